#!/usr/bin/env bash
# Builds the agent `stats` in the languages named (all of them without a name) to target/plugins/stats-LANGUAGE.wasm.
#
#     plugins/stats/build.sh python javascript
#
# The tools are looked for on PATH. Each function is the recipe of one language and names the versions that it was run with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/plugins
work=$root/target/stats
mkdir -p "$out"

# The name of the only world that a guest's bindings are made of.
world=plugin

# uses DIR: the interfaces that DIR/plugin.toml names, a word each.
uses() {
    sed -n 's/^uses = \[\(.*\)\]$/\1/p' "$1/plugin.toml" | tr -d '",'
}

# write_world DIR INTERFACE...: a world of what every agent may import and of these, into DIR/wit.
write_world() {
    local dir=$1
    shift
    rm -rf "$dir/wit"
    mkdir -p "$dir/wit/deps/bandstand-agent"
    cp "$root/wit/agent.wit" "$dir/wit/deps/bandstand-agent/"
    {
        echo "package local:plugin;"
        echo "world $world {"
        echo "  include bandstand:agent/minimal@0.1.0;"
        for interface in "$@"; do echo "  import bandstand:agent/$interface@0.1.0;"; done
        echo "}"
    } >"$dir/wit/world.wit"
}

# Python: pip install componentize-py==0.25.1
build_python() {
    local source=$here/python build=$work/python
    # shellcheck disable=SC2046
    write_world "$build" $(uses "$source")
    # The tool adds the site-packages of whatever Python it finds: not of an environment that happens to be active.
    env -u VIRTUAL_ENV PYTHONDONTWRITEBYTECODE=1 componentize-py -d "$build/wit" -w "$world" componentize entry \
        -p "$source" -p "$root/plugins/sdk-python" -o "$out/stats-python.wasm"
}

for language in "${@:-python}"; do
    start=$(date +%s%N)
    "build_$language" >&2
    echo "stats-$language.wasm: $(stat -c %s "$out/stats-$language.wasm") bytes in $((($(date +%s%N) - start) / 1000000)) ms"
done
