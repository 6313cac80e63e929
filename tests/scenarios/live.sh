#!/usr/bin/env bash
# Holds the recorded answers against Docker Compose and its engine: they must be what is said now.
#
#   live.sh [SCENARIO…]        none = all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
if [ $# -eq 0 ]; then set -- --all; fi
GOLDENS=$fresh ./generate.sh "$@"
stale=0 total=0
for scenario in "$fresh"/*/; do
  scenario=$(basename "$scenario")
  total=$((total + 1))
  if ! diff -u "$scenario/expected" "$fresh/$scenario/expected"; then stale=$((stale + 1)); fi
done
echo "$total scenarios, $stale stale"
[ "$total" -gt 0 ] && [ $stale -eq 0 ]
