//! Finds a rustc that can build agents for [`TARGET`]: the active one, else rustup's download of the target, else
//! [`crate::debian`]. It changes no toolchain but by `rustup target add`, which is what a person would type.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{debian, shell};

/// What agents are built for. It has no clock, files or sockets of its own: the WIT is all an agent can touch.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// A download of 20 MB over a slow line takes about a minute; without a network rustup fails in seconds.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// How to call rustc for [`TARGET`].
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// For cargo's `RUSTC`; none: whatever cargo takes by itself.
    pub(crate) rustc: Option<PathBuf>,
}

/// Looks in order of cost, saying on stderr what is being done.
pub(crate) fn find(debian_only: bool) -> Result<Toolchain> {
    let active = std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    if !debian_only {
        if has_target(&active) {
            return Ok(Toolchain { rustc: None });
        }
        shell::say(&format!("rustc has no {TARGET} yet: asking rustup for it"));
        if shell::try_for(Command::new("rustup").args(["target", "add", TARGET]), RUSTUP_LIMIT)?
            && has_target(&active)
        {
            return Ok(Toolchain { rustc: None });
        }
    }
    let folder = cache_folder()?.join("wasm-rust");
    let rustc = debian::rustc_in(&folder);
    if has_target(&rustc) {
        return Ok(Toolchain { rustc: Some(rustc) });
    }
    if !debian::is_at_hand() {
        bail!(
            "no Rust for {TARGET}, and neither rustup nor Debian's packages are at hand. Type:\n\n    {}\n\nand then \
             the same `cargo xtask` again",
            if on_path("rustup") { "rustup target add wasm32-unknown-unknown" } else { INSTALL_RUSTUP }
        );
    }
    debian::unpack_and_build(&folder, &active).with_context(|| {
        format!("rustup could not add {TARGET}, and the way by Debian's packages failed, too. With a network, type:\n\n    rustup target add {TARGET}\n\nWhy Debian's way failed")
    })?;
    if !has_target(&rustc) {
        bail!(
            "{} was made, but its rustc still has no {TARGET}. Remove the folder and try again",
            folder.display()
        );
    }
    Ok(Toolchain { rustc: Some(rustc) })
}

const INSTALL_RUSTUP: &str =
    "curl --proto '=https' -sSf https://sh.rustup.rs | sh -s -- --target wasm32-unknown-unknown";

/// Does this rustc find a compiled `std` for [`TARGET`]?
pub(crate) fn has_target(rustc: &Path) -> bool {
    let mut command = Command::new(rustc);
    let Ok(folder) = shell::text(command.args(["--print", "target-libdir", "--target", TARGET])) else {
        return false;
    };
    let Ok(entries) = std::fs::read_dir(folder.trim()) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

/// Is there a program of this name?
pub(crate) fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// The user's folder for what can be made again.
fn cache_folder() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set: no place to keep a toolchain in")?
        .join("bandstand"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_rustc_has_no_target() {
        assert!(!has_target(Path::new("no-such-rustc")));
        assert!(!has_target(Path::new("true")), "an empty answer is no folder with a std");
        assert!(on_path("sh") && !on_path("no-such-program-here"));
    }
}
