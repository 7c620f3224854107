//! Runs the examples as a reader of their READMEs would: the real program, the real agents, answers typed as commands.
//! What comes out is compared with each example's `expected.json` ([`Expected`]) and with what its README shows.
//!
//! Needs the built program and the built plugins; [`Program::find`] says how to get them. Only for tests: everything
//! here panics with the reason when a promise is not kept.

#![allow(clippy::panic, clippy::unwrap_used, reason = "used by tests only")]

mod example;
mod expected;
mod pattern;
mod program;
mod readme;

use std::path::{Path, PathBuf};

pub use example::run;
pub use expected::{Answer, Case, Command, Expected};
pub use pattern::differences;
pub use program::{Ended, Program};

/// The repository's root.
///
/// # Panics
/// When it was moved since this was compiled.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The folders of `examples`, in order.
///
/// # Panics
/// When they cannot be listed.
pub fn names() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
