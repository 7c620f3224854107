#!/bin/sh
# Fetches the component of this example: it is a file inside a crate that others published on crates.io, and stays as it
# is. What comes is compared with the digests below before it is used; nothing of it is built or run here.
set -eu

CRATE=augurs-prophet
VERSION=0.8.1
CRATE_SHA256=051dee5f8eb449c99f6849c34b8fcf2dc643e89c0f2d77b7bdb9bb2153e11c23
FILE=prophet-wasmstan.wasm
FILE_SHA256=0b50fe158cffca61e15d9db603d2b8b74ce23e3c0eb484819f94cffd668716d2

root=$(cd "$(dirname "$0")/../.." && pwd)
into=$root/target/foreign

# is_it FILE SHA256
is_it() {
    [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status
}

# Cargo knows of mirrors and proxies that curl does not.
by_cargo() {
    echo "asking cargo instead" >&2
    mkdir -p "$work/ask/src"
    : >"$work/ask/src/lib.rs"
    printf '[package]\nname = "ask"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
        "$CRATE" "$VERSION" >"$work/ask/Cargo.toml"
    cargo fetch --quiet --manifest-path "$work/ask/Cargo.toml"
    # One for each registry or mirror that it knows; the digest below is what counts.
    set -- "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$CRATE-$VERSION.crate"
    cp "$1" "$work/crate"
}

if is_it "$into/$FILE" "$FILE_SHA256"; then
    echo "$into/$FILE is there already"
    exit 0
fi
mkdir -p "$into"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl --fail --silent --show-error --location --connect-timeout 20 --output "$work/crate" \
    "https://static.crates.io/crates/$CRATE/$CRATE-$VERSION.crate" || by_cargo
is_it "$work/crate" "$CRATE_SHA256" || { echo "the crate is not the one that was meant" >&2; exit 1; }
tar -xzf "$work/crate" -C "$work" "$CRATE-$VERSION/$FILE"
is_it "$work/$CRATE-$VERSION/$FILE" "$FILE_SHA256" || { echo "$FILE is not the one that was meant" >&2; exit 1; }
mv "$work/$CRATE-$VERSION/$FILE" "$into/$FILE"
echo "$into/$FILE"
