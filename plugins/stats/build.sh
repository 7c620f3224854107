#!/usr/bin/env bash
# Builds the agent `stats` in the languages named (all of them without a name) to target/plugins/stats-LANGUAGE.wasm.
#
#     plugins/stats/build.sh python javascript
#
# `bandstand` is taken from PATH, or from the variable BANDSTAND.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../target/plugins
mkdir -p "$out"
[ $# -gt 0 ] || set -- rust python javascript typescript c go
for language in "$@"; do
    "${BANDSTAND:-bandstand}" plugin build "$here/$language" --out "$(cd "$out" && pwd)/stats-$language.wasm"
done
