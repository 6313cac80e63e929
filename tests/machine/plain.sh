#!/bin/bash
# PID 1 of the plain machine: mounts what systemd would, and runs the checks in a cgroup that is not the root.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
hostname machine
ip link set lo up
mkdir -p /sys/fs/cgroup/session
(
  echo 0 >/sys/fs/cgroup/session/cgroup.procs
  exec /machine/checks.sh
)
# The checks have ended the machine, unless they could not be run.
echo o >/proc/sysrq-trigger
sleep 10
