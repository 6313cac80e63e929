#!/bin/bash
# The checks, inside the machine: each is a function `check_NAME` in a project of its own, and leaves nothing behind.
#
# One line for each on the console, what it said when it fails, and at the end `machine: N passed, M failed`.
export PATH=/machine:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
export STACK_ROOT=/machine/store
exec </dev/null >/dev/ttyS0 2>&1
readonly group=/sys/fs/cgroup
passed=0 failed=0
systemd=
if [ -d /run/systemd/system ]; then systemd=yes; fi

# --- What checks are written with. ---

# The stack file of the project.
file() { cat >compose.yaml; }

# until COMMAND…: repeats it until it succeeds; half a minute, for a machine that is interpreted.
until_ok() {
  local deadline=$((SECONDS + 30))
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      echo "never: $*"
      "$@"
      return 1
    fi
    sleep 0.1
  done
}

# same WHAT FOUND EXPECTED
same() {
  if [ "$2" = "$3" ]; then return; fi
  echo "$1: \`$2\` instead of \`$3\`"
  return 1
}

# has WHAT TEXT PATTERN: a shell pattern that must be somewhere in the text.
has() {
  # shellcheck disable=SC2254
  case $2 in *$3*) return ;; esac
  echo "$1: no \`$3\` in \`$2\`"
  return 1
}

fails() { if "$@"; then echo "succeeds: $*"; return 1; fi; }

id_of() { stack ps -aq --no-trunc "$1" 2>/dev/null || stack ps -aq "$1"; }
state_of() { stack inspect "$(id_of "$1")" --format "$2"; }
is_state() { [ "$(state_of "$1" '{{.State.Status}}')" = "$2" ]; }

# The directory of a service's cgroup.
cgroup_of() { printf '%s/stack/%s/%s\n' "$group" "$(basename "$PWD")" "$(id_of "$1")"; }

# limit SERVICE FILE VALUE
limit() { same "$1 $2" "$(cat "$(cgroup_of "$1")/$2")" "$3"; }

# --- The checks. ---

check_hierarchy() {
  has "filesystems" "$(stat -fc %T $group)" cgroup2
  has "controllers" "$(cat $group/cgroup.controllers)" memory
  has "this process" "$(cat /proc/self/cgroup)" "0::/s"
  uname -r
}

# Nothing that is tried in vain at every start.
check_quiet() {
  file <<'END'
services: {one: {image: layered, command: sleep 1000}}
END
  dmesg -C
  stack up -d
  same "the kernel's log" "$(dmesg | grep -iE 'overlay|cgroup' || true)" ""
  # The program that the shim is: a view of the file, and no copy in memory.
  has "the shim" "$(readlink /proc/"$(pgrep -xo stack-shim)"/exe)" "stack"
  fails grep -q memfd <<<"$(readlink /proc/"$(pgrep -xo stack-shim)"/exe)"
}

check_lifecycle() {
  file <<'END'
services:
  web:
    image: busybox
    command: sh -c 'echo hello; trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done'
    healthcheck: {test: test -e /tmp, interval: 1s}
  late: {image: layered, command: sleep 1000, depends_on: {web: {condition: service_healthy}}}
END
  stack up -d
  has "ps" "$(stack ps)" "(healthy)"
  same "exec" "$(stack exec -T web cat /proc/self/cgroup)" "0::/"
  same "both layers" "$(stack exec -T late sh -c 'cat /layered/file; test -x /bin/sh && echo yes')" "of the upper layer"$'\n'yes
  until_ok has "logs" "$(stack logs --no-log-prefix web)" hello
  has "top" "$(stack top web)" sleep
  stack pause web
  same "frozen" "$(grep frozen "$(cgroup_of web)/cgroup.events")" "frozen 1"
  has "ps" "$(stack ps -a)" Paused
  fails stack exec -T web true
  stack unpause web
  same "thawed" "$(grep frozen "$(cgroup_of web)/cgroup.events")" "frozen 0"
  stack restart web
  is_state web running
  stack kill late
  until_ok is_state late exited
  stack stop
  has "logs" "$(stack logs --no-log-prefix web)" bye
  same "cgroup after stop" "$(find $group -path '*/stack/lifecycle*' -type d)" ""
}

check_limits() {
  file <<'END'
services:
  one:
    image: busybox
    command: sleep 1000
    mem_limit: 64m
    memswap_limit: 96m
    mem_reservation: 32m
    pids_limit: 17
    cpus: 0.5
    cpu_shares: 1024
    cpuset: "1"
  two: {image: busybox, command: sleep 1000, deploy: {resources: {limits: {cpus: "1.5", memory: 20M, pids: 9}, reservations: {memory: 10M}}}}
  none: {image: busybox, command: sleep 1000, pids_limit: -1, cgroup: host}
END
  stack up -d
  limit one memory.max 67108864
  limit one memory.swap.max 33554432
  limit one memory.low 33554432
  limit one pids.max 17
  limit one cpu.max "50000 100000"
  # What a cgroup has that nobody wrote a weight for.
  limit one cpu.weight 100
  limit one cpuset.cpus 1
  limit one cpuset.cpus.effective 1
  limit two memory.max 20971520
  limit two memory.swap.max 20971520
  limit two memory.low 10485760
  limit two cpu.max "150000 100000"
  limit two pids.max 9
  limit none memory.max max
  limit none pids.max max
  limit none cpu.max "max 100000"
  same "seen inside" "$(stack exec -T one cat /sys/fs/cgroup/memory.max)" 67108864
  has "the host's namespace" "$(stack exec -T none cat /proc/self/cgroup)" /stack/limits/
  same "processors inside" "$(stack exec -T one nproc)" 1
  fails stack exec -T one sh -c 'echo max >/sys/fs/cgroup/memory.max'
}

check_oom() {
  file <<'END'
services:
  hungry: {image: busybox, command: "sh -c 'echo up; tail /dev/zero'", mem_limit: 16m, memswap_limit: 16m}
  again: {image: busybox, command: "sh -c 'tail /dev/zero; echo tail ended with $$?; sleep 1; exit 3'", mem_limit: 16m, memswap_limit: 16m, restart: "on-failure:2"}
  calm: {image: busybox, command: sleep 1000, mem_limit: 16m}
END
  stack up -d
  until_ok is_state hungry exited
  same "state" "$(state_of hungry '{{.State.OOMKilled}} {{.State.ExitCode}}')" "true 137"
  has "why" "$(stack why hungry)" "memory"
  until_ok is_state again exited
  until_ok test "$(state_of again '{{.RestartCount}}')" = 2
  same "state" "$(state_of again '{{.State.OOMKilled}} {{.State.ExitCode}}')" "true 3"
  has "logs" "$(stack logs again)" "ended with 137"
  same "state" "$(state_of calm '{{.State.OOMKilled}} {{.State.Status}}')" "false running"
  stack why hungry
}

check_processes() {
  file <<'END'
services:
  few: {image: busybox, command: "sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; wait'", pids_limit: 5}
END
  stack up -d
  until_ok has "logs" "$(stack logs few)" "fork"
}

check_devices() {
  local disk
  disk=$(lsblk -ndo MAJ:MIN /dev/vda | xargs)
  mkdir -p /dev/mine/below
  mknod /dev/mine/a c 1 11
  mknod /dev/mine/below/b c 1 11
  file <<END
services:
  plain: {image: busybox, command: sleep 1000, cap_add: [MKNOD, SYSLOG]}
  given: {image: busybox, command: sleep 1000, cap_add: [SYSLOG], devices: ["/dev/kmsg:/dev/read:r", "/dev/vda:/dev/disk", "/dev/mine:/dev/theirs:r"]}
  ruled: {image: busybox, command: sleep 1000, cap_add: [MKNOD, SYSLOG], device_cgroup_rules: ["c 1:11 r", "b ${disk%:*}:* rmw"]}
  all: {image: busybox, command: sleep 1000, privileged: true}
END
  stack up -d
  local try="mknod /tmp/kmsg c 1 11; mknod /tmp/zero c 1 5; mknod /tmp/disk b ${disk/:/ }
    head -c 1 /tmp/zero >/dev/null && echo zero
    (: </tmp/kmsg) && echo read
    (: >/tmp/kmsg) && echo written
    dd if=/tmp/disk of=/dev/null bs=512 count=1 && echo disk; true"
  same "plain" "$(stack exec -T plain sh -c "$try" 2>/dev/null | xargs)" "zero"
  same "ruled" "$(stack exec -T ruled sh -c "$try" 2>/dev/null | xargs)" "zero read disk"
  same "privileged" "$(stack exec -T all sh -c "$try" 2>/dev/null | xargs)" "zero read written disk"
  same "given" "$(stack exec -T given sh -c '(: </dev/read) && echo read; (: >/dev/read) && echo written
    dd if=/dev/disk of=/dev/null bs=512 count=1 && echo disk; true' 2>/dev/null | xargs)" "read disk"
  same "a directory" "$(stack exec -T given sh -c '(: </dev/theirs/below/b) && ls /dev/theirs' | xargs)" "a below"
}

check_block() {
  file <<'END'
services:
  slow:
    image: busybox
    command: sleep 1000
    volumes: ["data:/data"]
    blkio_config:
      weight: 300
      device_read_bps: [{path: /dev/vda, rate: 1mb}]
      device_write_iops: [{path: /dev/vda, rate: 30}]
  free: {image: busybox, command: sleep 1000, volumes: ["data:/data"]}
volumes: {data: }
END
  stack up -d
  local number weight
  number=$(lsblk -ndo MAJ:MIN /dev/vda | xargs)
  limit slow io.max "$number rbps=1048576 wbps=max riops=max wiops=30"
  weight=$(cat "$(cgroup_of slow)"/io.bfq.weight 2>/dev/null || cat "$(cgroup_of slow)"/io.weight 2>/dev/null || echo none)
  echo "weight: $weight"
  if [ "$weight" != none ]; then has "weight" "$weight" "default 2930"; fi
  stack exec -T free sh -c 'dd if=/dev/zero of=/data/file bs=1M count=3; sync /data/file'
  stack exec -T free sh -c 'sync'
  stack stats --no-stream
  local io
  io=$(stack stats --no-stream --format '{{.Name}} {{.BlockIO}} {{.MemUsage}} {{.PIDs}}' | grep free)
  # What has ended counts too.
  until_ok sh -c "stack stats --no-stream --format '{{.Name}} {{.BlockIO}}' | grep 'free.*/ [3-9].*MB'"
}

check_stats() {
  file <<'END'
services:
  busy: {image: busybox, command: "sh -c 'while :; do :; done'", mem_limit: 32m}
  idle: {image: busybox, command: sleep 1000}
END
  stack up -d
  local list
  list=$(stack stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}')
  echo "$list"
  has "limit" "$list" "/ 32MiB 1"
  fails grep -q "busy-1 0.00%" <<<"$list"
  fails grep -q " 0B /" <<<"$list"
}

check_network() {
  file <<'END'
services:
  web:
    image: busybox
    command: sh -c 'mkdir /www; hostname >/www/index.html; exec httpd -f -p 80 -h /www'
    hostname: the-web
    ports: ["18080:80", "127.0.0.1:18081:80"]
    networks: [front, back]
  ask: {image: busybox, command: sleep 1000, networks: [back]}
networks: {front: , back: {internal: true}}
END
  stack up -d
  until_ok curl -sf http://127.0.0.1:18080/
  same "published" "$(curl -sf http://127.0.0.1:18081/)" the-web
  local address
  address=$(ip -4 -o addr show | awk '/br-|stk|stack/ { sub("/.*", "", $4); print $4; exit }')
  if [ -n "$address" ]; then same "by the bridge" "$(curl -sf "http://$address:18080/")" the-web; fi
  same "by name" "$(stack exec -T ask wget -qO- http://web/)" the-web
  stack exec -T ask nslookup web
  nft list ruleset >rules
  has "firewall" "$(cat rules)" 18080
}

check_layers() {
  mkdir context
  echo one >context/file
  cat >context/Dockerfile <<'END'
FROM layered
COPY file /layered/copied
RUN echo built >/layered/built && rm /layered/file && mkdir -p /deep/er && touch /deep/er/x
RUN mv /deep /moved && cat /proc/self/cgroup && ls /layered >/list
CMD ["sleep", "1000"]
END
  file <<'END'
services:
  built:
    build: context
    image: checks-built
    read_only: true
    tmpfs: ["/scratch:size=1m"]
    volumes: ["data:/layered", "./here:/here:ro"]
  other: {image: layered, command: sleep 1000, volumes_from: [built], shm_size: 8m, sysctls: {net.ipv4.ip_forward: 1}, init: true}
volumes: {data: }
END
  stack up -d
  same "built" "$(stack exec -T built sh -c 'cat /list; ls /moved/er; ls /layered' | xargs)" "built copied x built copied"
  fails stack exec -T built touch /file
  stack exec -T built touch /scratch/file
  fails stack exec -T built touch /here/file
  same "shared" "$(stack exec -T other ls /layered | xargs)" "built copied"
  stack exec -T other sh -c 'rm -rf /etc/passwd; mkdir /new; echo x >/new/x; mv /new /newer'
  stack cp other:/newer/x x
  same "copied" "$(cat x)" x
  stack cp compose.yaml other:/newer/
  stack exec -T other test -s /newer/compose.yaml
  stack commit other checks-committed
  stack run --rm -T --no-deps other true
  stack down -v
  stack image rm checks-built checks-committed || true
}

# A program in the container that makes cgroups of its own, as systemd or an engine does: its processes are in leaves.
check_manager() {
  file <<'END'
services:
  manager:
    image: busybox
    privileged: true
    command: |
      sh -c 'mkdir /sys/fs/cgroup/init && echo 1 >/sys/fs/cgroup/init/cgroup.procs &&
        echo "+memory +pids" >/sys/fs/cgroup/cgroup.subtree_control && mkdir /sys/fs/cgroup/job && touch /ready
        sh -c "echo 0 >/sys/fs/cgroup/job/cgroup.procs; exec sleep 1000" &
        exec sleep 2000'
    healthcheck: {test: test -e /ready, interval: 1s}
END
  stack up -d --wait
  stack exec -T manager cat /proc/self/cgroup
  has "top" "$(stack top)" "sleep 1000"
  has "top" "$(stack top)" "sleep 2000"
  has "stats" "$(stack stats --no-stream --format '{{.PIDs}}')" 2
  stack pause
  stack unpause
  stack restart -t 1
  stack up -d --wait
}

# As in a container: the root of the hierarchy is an ordinary cgroup with processes in it.
check_nested() {
  file <<'END'
services:
  one: {image: busybox, command: sleep 1000, mem_limit: 16m, pids_limit: 7}
END
  mkdir -p $group/outer/inner
  local inside='umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && stack up -d && stack exec -T one cat /sys/fs/cgroup/pids.max &&
    stack pause && stack unpause && stack down && find /sys/fs/cgroup -type d'
  for name in $(cat $group/cgroup.controllers); do echo "+$name" >$group/cgroup.subtree_control; done
  for name in $(cat $group/outer/cgroup.controllers); do echo "+$name" >$group/outer/cgroup.subtree_control; done
  local found
  found=$(sh -c "echo 0 >$group/outer/inner/cgroup.procs && exec unshare -C -m sh -c '$inside'")
  echo "$found"
  has "limit" "$found" 7
  fails grep -q "cgroup/stack/" <<<"$found"
  until_ok rmdir $group/outer/inner/stack.init $group/outer/inner $group/outer || find $group/outer
}

# A shim that is killed takes its container with it; what it leaves is swept.
check_killed() {
  file <<'END'
services:
  one: {image: busybox, command: sleep 1000, restart: always}
END
  stack up -d
  pkill -KILL -f supervise
  pkill -KILL -x stack-shim
  stack up -d
  until_ok is_state one running
  same "one cgroup" "$(find $group/stack/killed -mindepth 1 -type d)" "$(cgroup_of one)"
}

# unit ARGUMENTS…: runs stack as a unit that has ended, with all of its cgroup, when this returns.
unit() {
  cat >/run/systemd/system/checks.service <<END
[Service]
Type=oneshot
WorkingDirectory=$PWD
Environment=STACK_ROOT=$STACK_ROOT
ExecStart=/machine/stack $*
END
  systemctl daemon-reload
  systemctl start checks.service
}

# A unit of systemd ends with everything that is in its cgroup. What it brought up goes on.
check_unit() {
  if [ -z "$systemd" ]; then return; fi
  file <<'END'
services:
  one: {image: busybox, command: sleep 1000, restart: always}
  web: {image: busybox, command: httpd -f -p 80, ports: ["18090:80"]}
END
  local first
  unit up -d
  sleep 1
  first=$(state_of one '{{.State.Pid}} {{.RestartCount}}')
  echo "$first"
  has "pid" "$(cat /proc/"${first% *}"/cgroup)" /stack/unit/
  has "ps" "$(stack ps)" "Up "
  curl -s http://127.0.0.1:18090/ >/dev/null || same "curl" $? 22
  kill -KILL "${first% *}"
  until_ok test "$(state_of one '{{.RestartCount}}')" = 1
  systemctl daemon-reload
  limit one pids.max max
  unit down
}

# --- Running them. ---

left_behind() {
  find $group/stack -mindepth 1 -type d 2>/dev/null
  ip -o link | grep -v 'lo:' || true
  pgrep -af 'stack' | grep -v checks.sh || true
  grep -c "$STACK_ROOT" /proc/self/mountinfo | grep -vx 0 || true
}

run() {
  local name=$1 started=$SECONDS status left
  local log=/run/machine/$name.log
  mkdir -p "/run/machine/$name"
  (
    set -Eeuo pipefail
    trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
    cd "/run/machine/$name"
    "check_$name"
  ) >"$log" 2>&1
  status=$?
  if [ $status -ne 0 ]; then (cd "/run/machine/$name" && stack ps -a && stack logs --tail 20) >>"$log" 2>&1; fi
  (cd "/run/machine/$name" && if [ -e compose.yaml ]; then stack down -v -t 1; fi) >>"$log" 2>&1
  sleep 0.3
  left=$(left_behind)
  if [ -n "$left" ]; then
    sleep 2
    left=$(left_behind)
  fi
  if [ $status -eq 0 ] && [ -z "$left" ]; then
    passed=$((passed + 1))
    echo "ok      $name ($((SECONDS - started)) s)"
    return
  fi
  failed=$((failed + 1))
  echo "FAILED  $name ($((SECONDS - started)) s)"
  sed 's/^/  | /' "$log"
  if [ -n "$left" ]; then sed 's/^/  left: /' <<<"$left"; fi
}

chosen=$(sed -n 's/.*machine\.checks=\([^ ]*\).*/\1/p' /proc/cmdline | tr ',' ' ')
if [ -z "$chosen" ]; then chosen=$(sed -n 's/^check_\([a-z0-9_]*\)() .*/\1/p' "$0" | xargs); fi
# The console is for the checks; `dmesg` has it all.
dmesg -n 1
echo "machine begins"
for name in $chosen; do run "$name"; done
echo "machine: $passed passed, $failed failed"
sync
echo o >/proc/sysrq-trigger
sleep 10
