#!/usr/bin/env bash
# Holds the corpus against Docker Compose itself: every case's goldens must be what the program says now.
#
#   live.sh [CASE…]        none = all
#
# Whether our own loader agrees with the goldens is a test (`cargo test --lib compose::corpus`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
if [ $# -eq 0 ]; then set -- --all; fi
GOLDENS=$fresh ./generate.sh "$@"
stale=0 total=0
for case in "$fresh"/*/; do
  case=$(basename "$case")
  total=$((total + 1))
  # Which of several mistakes it names is another one at every run.
  sums() { (cd "$1" && sha256sum expected.{json,yaml,hash,out,warnings} 2>/dev/null; ls expected.error 2>/dev/null); }
  if [ "$(sums "$case")" != "$(sums "$fresh/$case")" ]; then
    stale=$((stale + 1))
    echo "$case: Docker Compose says something else:"
    for golden in "$fresh/$case"/expected.*; do diff -u "$case/$(basename "$golden")" "$golden" || true; done | head -n 20
  fi
done
echo "$total cases, $stale stale"
[ "$total" -gt 0 ] && [ $stale -eq 0 ]
