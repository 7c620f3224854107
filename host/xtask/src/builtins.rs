//! `cargo xtask builtins`: the agents that come with the host and are made of Rust, built into `host/app/assets`.
//!
//! Beside each component lies the digest of what it is made of; a test of the host fails when the sources have changed
//! since. The bytes themselves depend on the compiler, so they are not compared.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::args::PluginOptions;
use crate::plugins;
use crate::shell::{Repo, say};

/// Their folders in `plugins/agents`.
const BUILTINS: [&str; 1] = ["chat"];
/// What each of them is made of besides its own folder.
const SHARED: [&str; 2] = ["plugins/sdk/src", "wit"];

/// Builds them and writes component and digest.
pub(crate) fn build(repo: &Repo) -> Result<()> {
    let only = BUILTINS.map(str::to_owned).to_vec();
    plugins::build(repo, &PluginOptions { only, debian: false })?;
    for name in BUILTINS {
        let made = repo.root.join(format!("target/plugins/{name}.wasm"));
        let asset = repo.root.join(format!("host/app/assets/{name}.wasm"));
        fs::copy(&made, &asset).with_context(|| format!("cannot write {}", asset.display()))?;
        let digest = sources_digest(&repo.root, name)?;
        fs::write(asset.with_extension("sources"), format!("{digest}\n"))?;
    }
    say(&format!("written: host/app/assets/{{{}}}.wasm", BUILTINS.join(",")));
    Ok(())
}

/// The digest of paths and contents, in order. `host/app/tests/builtin.rs` has the same.
fn sources_digest(root: &Path, name: &str) -> Result<String> {
    let mut files = Vec::new();
    for folder in [format!("plugins/agents/{name}")].iter().map(String::as_str).chain(SHARED) {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        hasher.update(relative.as_bytes());
        hasher.update([0]);
        hasher.update(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        hasher.update([0]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}
