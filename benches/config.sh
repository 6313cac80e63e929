#!/usr/bin/env bash
# Times `config -q` of stacks of 2, 200 and 2,000 services, ours and Docker Compose's: whole process, medians.
#
#   benches/config.sh [--runs N]
#
#   STACK    the stack program (default: target/release/stack)
#   COMPOSE  Docker Compose (default: docker-compose; left out when it is not there)
#
# Where the machine is busy, times say little: with valgrind the instructions of each run are counted too.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stack=${STACK:-$(find "$here/../target" -path '*/release/stack' -type f | head -n 1)}
compose=${COMPOSE:-docker-compose}
runs=20
if [ "${1:-}" = --runs ]; then runs=$2; fi
[ -x "$stack" ] || { echo "config.sh: no stack program; build one with cargo build --release" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One service in a hundred shapes: anchors, variables, environment files, health, limits, labels.
write_stack() {
  local count=$1 directory=$2 index
  mkdir -p "$directory"
  printf 'TAG=1.2.3\nDOMAIN=example.test\n' >"$directory/.env"
  printf 'LEVEL=info\nWORKERS=4\nURL=http://${DOMAIN}/x\n' >"$directory/common.env"
  {
    printf 'name: bench\nx-common: &common\n  restart: unless-stopped\n  init: true\n  env_file: [common.env]\n'
    printf '  logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}\nservices:\n'
    for ((index = 0; index < count; index++)); do
      printf '  s%d:\n    <<: *common\n    image: registry.test/app%d:${TAG:-latest}\n' "$index" "$((index % 100))"
      printf '    command: ["serve", "--port", "80", "--name", "s%d"]\n' "$index"
      printf '    environment:\n      NAME: s%d\n      HOST: s%d.${DOMAIN}\n      DEBUG: "false"\n      LIMIT: 10\n' "$index" "$index"
      printf '    labels:\n      - app.name=s%d\n      - app.url=https://s%d.${DOMAIN}/\n' "$index" "$index"
      printf '    ports: ["127.0.0.1:%d:80"]\n    volumes: [./data/%d:/data, cache:/cache]\n' "$((10000 + index))" "$index"
      printf '    networks: [front, back]\n    healthcheck: {test: "curl -f localhost", interval: 10s, retries: 3}\n'
      printf '    deploy: {resources: {limits: {cpus: "0.5", memory: 256m}}}\n'
      if [ "$index" -gt 0 ]; then printf '    depends_on: {s%d: {condition: service_healthy}}\n' "$((index / 2))"; fi
    done
    printf 'networks: {front: , back: {internal: true}}\nvolumes: {cache: }\n'
  } >"$directory/compose.yaml"
}

# The median of so many runs, in milliseconds.
median() {
  local count=$1 index from to
  shift
  for ((index = 0; index < count; index++)); do
    from=$(date +%s%N)
    "$@" >/dev/null 2>&1
    to=$(date +%s%N)
    echo $(((to - from) / 1000))
  done | sort -n | awk '{ all[NR] = $1 } END { printf "%.1f", all[int((NR + 1) / 2)] / 1000 }'
}

instructions() {
  command -v valgrind >/dev/null || { echo -; return; }
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null | awk '/Collected/ { printf "%.0f M", $NF / 1e6 }'
}

echo '| services | stack ms | Docker Compose ms | ratio | stack instructions |'
echo '| ---: | ---: | ---: | ---: | ---: |'
for count in 2 200 2000; do
  write_stack "$count" "$work/$count"
  ours=$(median "$runs" "$stack" -f "$work/$count/compose.yaml" config -q)
  theirs=- ratio=-
  if command -v "$compose" >/dev/null; then
    few=$((count > 1000 ? 3 : runs))
    theirs=$(DOCKER_HOST=unix:///nonexistent median "$few" "$compose" -f "$work/$count/compose.yaml" config -q)
    ratio=$(awk "BEGIN { printf \"%.0f\", $theirs / $ours }")
  fi
  echo "| $count | $ours | $theirs | $ratio | $(instructions "$stack" -f "$work/$count/compose.yaml" config -q) |"
done
