#!/usr/bin/env bash
# Holds the corpus against Docker Compose itself: every case's goldens must be what the program says now.
#
#   live.sh [CASE…]        none = all
#
# A part of what the program prints has another order at every run. A case that differs is asked again, some times: it is
# stale when the golden never comes.
#
# Whether our own loader agrees with the goldens is a test (`cargo test --lib compose::corpus`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
if [ $# -eq 0 ]; then set -- --all; fi
GOLDENS=$fresh ./generate.sh "$@"

# What is compared; which of several mistakes it names is another one at every run.
sums() { (cd "$1" && sha256sum expected.{json,yaml,hash,out,warnings} 2>/dev/null; ls expected.error 2>/dev/null); }

is_current() { [ "$(sums "$1")" = "$(sums "$fresh/$1")" ]; }

comes_again() {
  local try
  for try in 1 2 3 4 5 6; do
    GOLDENS=$fresh ./generate.sh "$1"
    if is_current "$1"; then return; fi
  done
  return 1
}

stale=0 total=0
for case in "$fresh"/*/; do
  case=$(basename "$case")
  total=$((total + 1))
  if is_current "$case"; then continue; fi
  if comes_again "$case"; then
    echo "$case: Docker Compose says one thing or another"
    continue
  fi
  stale=$((stale + 1))
  echo "$case: Docker Compose says something else:"
  for golden in "$fresh/$case"/expected.*; do diff -u "$case/$(basename "$golden")" "$golden" || true; done | head -n 20
done
echo "$total cases, $stale stale"
[ "$total" -gt 0 ] && [ $stale -eq 0 ]
