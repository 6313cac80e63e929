#!/usr/bin/env bash
# Times the pull of one image (eight gzip layers, 670 MB unpacked) from a registry on this machine, by several tools in
# turn, and prints medians as a Markdown table: seconds, and seconds of processor time, which a busy machine changes less.
# `gunzip` of the same layers on all cores is the yardstick. The registry's own work is not counted.
#
#   benches/pull.sh [--runs N] [--only NAME,NAME…] [--image DIRECTORY]
#
#   NAME       stack docker podman skopeo gunzip
#   DIRECTORY  an OCI layout with the image `bench`, as pull_image.py makes it (default: made anew)
#   STACK      the stack program (default: this checkout's release build, which is made first)
#   BENCH_DIR  where everything is written (default: /var/tmp); it should be a real disk
#
# Needs docker-registry, skopeo, umoci, podman, dockerd and docker. `dockerd` is started here with a socket and a data
# folder of its own, without networks, and is ended by its pid. Every pull starts with an empty store and clean disk.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=3
only=stack,docker,podman,skopeo,gunzip
image=
while [ $# -gt 0 ]; do
  case $1 in
    --runs) runs=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --image) image=$(realpath "$2"); shift 2 ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;;
    *) echo "pull.sh: unknown argument $1" >&2; exit 1 ;;
  esac
done

work=$(mktemp -d "${BENCH_DIR:-/var/tmp}/stack-pull.XXXXXX")
pids=()
dockerd=
clean_up() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  # What a killed engine may have left mounted.
  awk -v under="$work/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n1 umount -l 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&2; }
wanted() { case ,$only, in *,$1,*) return 0 ;; *) return 1 ;; esac }

stack=${STACK:-}
if [ -z "$stack" ] && wanted stack; then
  (cd "$here/.." && cargo build --release)
  stack=${CARGO_TARGET_DIR:-$here/../target}/release/stack
fi
if [ -z "$image" ]; then
  image=$work/image
  say "making the image"
  say "$(python3 "$here/pull_image.py" "$image")"
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:$port}
YML
OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  if (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null; then break; fi
  sleep 0.1
done
name=127.0.0.1:$port/bench
skopeo --insecure-policy copy -q --preserve-digests --dest-tls-verify=false "oci:$image:bench" "docker://$name"

if wanted docker; then
  mkdir -p "$work/docker"
  dockerd -H "unix://$work/docker/d.sock" --data-root "$work/docker/data" --exec-root "$work/docker/exec" \
    --pidfile "$work/docker/pid" --bridge none --iptables=false --ip6tables=false >"$work/docker/log" 2>&1 &
  dockerd=$!
  pids+=("$dockerd")
  for _ in $(seq 200); do
    if docker -H "unix://$work/docker/d.sock" version >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
fi

# Each pull has a place of its own: ext4 looks for a minute at every inode that was deleted before it makes another one near it,
# and what is measured then is that (twice the time at the third run).
pull_stack() { STACK_ROOT=$work/stack-$run "$stack" image pull -q "$name"; }
clean_stack() { :; }
pull_docker() { docker -H "unix://$work/docker/d.sock" pull -q "$name"; }
clean_docker() { docker -H "unix://$work/docker/d.sock" image rm -f "$name"; }
podman_here() { podman --root "$work/podman-$run" --runroot "$work/podman-run" --storage-driver overlay "$@"; }
pull_podman() { podman_here pull -q --tls-verify=false "$name"; }
clean_podman() { :; }
pull_skopeo() {
  skopeo --insecure-policy copy -q --src-tls-verify=false "docker://$name" "oci:$work/oci-$run:bench" &&
    umoci unpack --image "$work/oci-$run:bench" "$work/bundle-$run"
}
clean_skopeo() { :; }
# Docker's distribution of the work: each core takes the next layer.
pull_gunzip() { find "$image/blobs/sha256" -size +1M -print0 | xargs -0 -n1 -P"$(nproc)" sh -c 'exec gunzip -c <"$0" >/dev/null'; }
clean_gunzip() { :; }

# Processor time of a process and all below it, in hundredths of a second; those that have ended are counted with their
# parents.
cpu_below() {
  python3 - "$1" <<'PY'
import os, sys

stats = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    except OSError:
        continue
    stats[int(pid)] = (int(fields[1]), sum(map(int, fields[11:15])))
wanted, total = [int(sys.argv[1])], 0
while wanted:
    pid = wanted.pop()
    total += stats.get(pid, (0, 0))[1]
    wanted += [child for child, (parent, _) in stats.items() if parent == pid]
print(total)
PY
}

for ((run = 1; run <= runs; run++)); do
  for tool in stack docker podman skopeo gunzip; do
    wanted "$tool" || continue
    "clean_$tool" >/dev/null 2>&1 || true
    sync
    daemon=$([ "$tool" = docker ] && cpu_below "$dockerd" || echo 0)
    TIMEFORMAT='%R %U %S'
    # What the tool leaves behind to work on is not its time to answer, but `sync` above is not either.
    if ! { time "pull_$tool" >"$work/out" 2>&1; } 2>"$work/time"; then
      say "$tool failed: $(tail -3 "$work/out")"
      exit 1
    fi
    daemon=$(($([ "$tool" = docker ] && cpu_below "$dockerd" || echo 0) - daemon))
    awk -v d="$daemon" '{ print $1, $2 + $3 + d / 100 }' "$work/time" | tee -a "$work/$tool.times" |
      awk -v t="$tool" -v r="$run" '{ printf "run %s: %s %.2f s, %.2f s of processors\n", r, t, $1, $2 }' >&2
  done
done

printf '| tool | median of %s | to gunzip | processors | to gunzip |\n| --- | ---: | ---: | ---: | ---: |\n' "$runs"
median() { sort -n -k"$2" "$work/$1.times" | awk -v c="$2" '{ v[NR] = $c } END { print v[int((NR + 1) / 2)] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b }'; }
for tool in gunzip stack docker podman skopeo; do
  wanted "$tool" || continue
  row="| $tool |"
  for column in 1 2; do
    yard=$(wanted gunzip && median gunzip $column || echo 0)
    value=$(median "$tool" $column)
    row+=$(printf ' %.2f s | %s |' "$value" "$(ratio "$value" "$yard")")
  done
  printf '%s\n' "$row"
done
