#!/bin/busybox sh
# PID 1 of the first root file system: loads the modules for the disks, goes on from them.
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
while read -r module; do busybox insmod "/modules/$module"; done </load
tries=0
while [ ! -b /dev/vdb ] && [ $tries -lt 100 ]; do
  busybox sleep 0.1
  tries=$((tries + 1))
done
busybox mount -t ext4 /dev/vda /new
busybox mount -t ext4 /dev/vdb /new/machine
busybox mount --bind /new/machine/modules /new/usr/lib/modules
init=/machine/plain.sh
if busybox grep -q machine.init=systemd /proc/cmdline; then init=/lib/systemd/systemd; fi
busybox umount /dev
busybox umount /proc
exec busybox switch_root /new $init
