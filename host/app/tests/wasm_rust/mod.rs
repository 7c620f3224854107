//! The Rust that makes WebAssembly on this machine, for tests that build agents of Rust.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use std::path::{Path, PathBuf};
use std::process::Command;

/// Has a call of `plugin build` use it, and what is built of the repository's agents already.
pub(crate) fn prepare(command: &mut Command, repository: &Path) {
    command.env("CARGO_TARGET_DIR", repository.join("plugins/target"));
    if let Some(rustc) = rustc_of_xtask() {
        command.env("RUSTC", rustc);
    }
}

/// Where the active rustc lacks the target, the one that `cargo xtask plugins` made.
fn rustc_of_xtask() -> Option<PathBuf> {
    let ours = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = ours("XDG_CACHE_HOME").or_else(|| Some(ours("HOME")?.join(".cache")))?;
    let made = cache.join("bandstand/wasm-rust/bin/rustc");
    let active = ours("RUSTC").unwrap_or_else(|| PathBuf::from("rustc"));
    let args = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
    let found = Command::new(active).args(args).output().ok()?;
    let has_target = Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir();
    (!has_target && made.is_file()).then_some(made)
}
