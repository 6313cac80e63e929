#!/usr/bin/env bash
# Times the pull of one image (eight gzip layers, 670 MB unpacked) from a registry on this machine, by several tools in
# turn, and prints medians as a Markdown table. `gunzip` of the same layers on both cores is the yardstick.
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
  pids+=($!)
  for _ in $(seq 200); do
    if docker -H "unix://$work/docker/d.sock" version >/dev/null 2>&1; then break; fi
    sleep 0.1
  done
fi

pull_stack() { STACK_ROOT=$work/stack "$stack" image pull -q "$name"; }
clean_stack() { rm -rf "$work/stack"; }
pull_docker() { docker -H "unix://$work/docker/d.sock" pull -q "$name"; }
clean_docker() { docker -H "unix://$work/docker/d.sock" image rm -f "$name"; }
podman_here() { podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver overlay "$@"; }
pull_podman() { podman_here pull -q --tls-verify=false "$name"; }
clean_podman() { podman_here rmi -f "$name"; }
pull_skopeo() {
  skopeo --insecure-policy copy -q --src-tls-verify=false "docker://$name" "oci:$work/oci:bench" &&
    umoci unpack --image "$work/oci:bench" "$work/bundle"
}
clean_skopeo() { rm -rf "$work/oci" "$work/bundle"; }
# Docker's distribution of the work: each core takes the next layer.
pull_gunzip() { find "$image/blobs/sha256" -size +1M -print0 | xargs -0 -n1 -P"$(nproc)" sh -c 'exec gunzip -c <"$0" >/dev/null'; }
clean_gunzip() { :; }

for ((run = 1; run <= runs; run++)); do
  for tool in stack docker podman skopeo gunzip; do
    wanted "$tool" || continue
    "clean_$tool" >/dev/null 2>&1 || true
    sync
    start=$(date +%s.%N)
    if ! "pull_$tool" >"$work/out" 2>&1; then
      say "$tool failed: $(tail -3 "$work/out")"
      exit 1
    fi
    seconds=$(echo "$(date +%s.%N) - $start" | bc)
    printf '%s\n' "$seconds" >>"$work/$tool.times"
    say "run $run: $tool $(printf '%.2f' "$seconds") s"
  done
done

printf '| tool | median of %s | to gunzip |\n| --- | ---: | ---: |\n' "$runs"
median() { sort -n "$work/$1.times" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
yard=$(wanted gunzip && median gunzip || echo 0)
for tool in gunzip stack docker podman skopeo; do
  wanted "$tool" || continue
  awk -v t="$tool" -v m="$(median "$tool")" -v y="$yard" \
    'BEGIN { printf "| %s | %.2f s | %s |\n", t, m, y > 0 ? sprintf("%.2f", m / y) : "" }'
done
