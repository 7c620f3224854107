//! `bandstand plugin pack`: writes what `plugin.toml` says of an agent into its component, whatever built that.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::inspect;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::{safe, words};
use crate::project::manifest::{self, Manifest};
use crate::project::plugin_toml::{FILE_NAME, PluginToml};

/// What `pack` is given.
#[derive(Args, Debug)]
pub struct PackArgs {
    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What is said of it [default: plugin.toml here]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Where the component with its manifest goes [default: in place of the component]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Does it. A manifest that is there already is replaced, also a damaged one; one that nobody could read again is refused.
pub fn execute(args: &PackArgs, context: &Context) -> Result<Exit, Failure> {
    let from = args.manifest.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
    let told = PluginToml::read(&from).map_err(|error| {
        Failure::usage(error).help("--manifest names another file; host/docs/agents.md says what it holds")
    })?;
    let said = told.manifest(&from).map_err(Failure::usage)?;
    let out = args.out.as_deref().unwrap_or(&args.file);
    let packed = packed(&args.file, said)?;
    replace(out, &packed.bytes)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", out.display())))?;
    let Packed { bytes, digest, manifest, warnings } = packed;
    if context.out.json {
        context.out.json_line(&json!({
            "file": out.to_string_lossy(), "digest": digest, "size_bytes": bytes.len(), "manifest": manifest,
            "warnings": warnings,
        }));
        return Ok(Exit::Succeeded);
    }
    context.out.data(&digest);
    let name = [manifest.name, manifest.version].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let size = words::size(bytes.len() as u64);
    context.out.note(&safe::line(&format!("{} is {name}, {size}", out.display())));
    for warning in &warnings {
        context.out.note(&safe::line(&format!("warning: {warning}")));
    }
    Ok(Exit::Succeeded)
}

/// A component with its manifest.
pub(super) struct Packed {
    /// The component.
    pub(super) bytes: Vec<u8>,
    /// Its digest.
    pub(super) digest: String,
    /// What it says of itself now.
    pub(super) manifest: Manifest,
    /// Where that is not what the component is.
    pub(super) warnings: Vec<String>,
}

/// The component of a file with that manifest. What made it is kept, where the component said so before.
pub(super) fn packed(file: &Path, said: Manifest) -> Result<Packed, Failure> {
    let shown = file.display();
    let bytes = inspect::read(&file.to_string_lossy())?;
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{shown}: {error}")).help(inspect::HOW_TO_BUILD)
    };
    let before = bandstand_sandbox::inspect(&bytes).map_err(|error| unusable(&error))?;
    let sdk = Manifest::of(&before).ok().flatten().and_then(|manifest| manifest.sdk);
    let manifest = Manifest { sdk: said.sdk.or(sdk), ..said };
    let bytes = manifest::append(&bytes, &manifest).map_err(|error| unusable(&error))?;
    let after = bandstand_sandbox::inspect(&bytes).map_err(|error| unusable(&error))?;
    Ok(Packed { digest: after.digest.clone(), warnings: manifest.doubts(&after), manifest, bytes })
}

/// Whole or not at all: the component may be the only one there is. A link stays one, and permissions stay as they were.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create_new(&part)?;
    let kept = std::fs::metadata(&path).map(|before| before.permissions());
    let written = kept
        .map_or(Ok(()), |permissions| file.set_permissions(permissions))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&part, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}
