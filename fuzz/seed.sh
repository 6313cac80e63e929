#!/usr/bin/env bash
# Makes fuzz/corpus from the stack files of tests/compose and examples and from fuzz/seeds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p corpus/loader corpus/interpolation
for case in ../tests/compose/*/ ../examples/*/; do
  name=$(basename "$case")
  main=$(find "$case" -maxdepth 1 \( -name 'compose.y*ml' -o -name 'stack.y*ml' -o -name 'docker-compose.y*ml' \) | head -n 1)
  [ -n "$main" ] || continue
  {
    cat "$main"
    find "$case" -maxdepth 2 -type f -size -20k ! -path "$main" ! -name 'expected*' -print0 | sort -z \
      | while IFS= read -r -d '' file; do
        if grep -Iq . "$file"; then
          printf '\n#=%s\n' "${file#"$case"}"
          cat "$file"
        fi
      done
  } >"corpus/loader/$name"
done
cp seeds/loader/* corpus/loader/ 2>/dev/null || true
cp seeds/interpolation/* corpus/interpolation/ 2>/dev/null || true
