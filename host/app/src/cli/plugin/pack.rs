//! `bandstand plugin pack`: writes what `plugin.toml` says of an agent into its component, whatever built that.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bandstand_sandbox::LoadError;
use clap::Args;
use serde_json::json;

use super::component::{self, Component};
use super::refused;
use crate::cli::context::{Context, compiler};
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::{safe, words};
use crate::project::manifest::{self, Manifest};
use crate::project::plugin_toml::{FILE_NAME, PluginToml};

/// What `pack` is given.
#[derive(Args, Debug)]
pub struct PackArgs {
    /// The component, or the folder of an agent that is built
    #[arg(value_name = "DIR|FILE", default_value = ".")]
    pub file: String,
    /// What is said of it [default: plugin.toml in DIR, or here]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Where the component with its manifest goes [default: in place of the component]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Does it. A manifest that is there already is replaced, also a damaged one; one that nobody could read again is refused.
pub fn execute(args: &PackArgs, context: &Context) -> Result<Exit, Failure> {
    let component = Component::named(&args.file)?;
    let bytes = component::read(&component.file)?;
    if component.is_builtin() && args.out.is_none() {
        return Err(Failure::usage(format!("{} is a part of the host and stays as it is", component.file))
            .help("for a copy with another manifest: --out FILE"));
    }
    let beside = component.dir.as_deref().unwrap_or(Path::new("")).join(FILE_NAME);
    let from = args.manifest.clone().unwrap_or(beside);
    let told = PluginToml::read(&from).map_err(|error| {
        Failure::from(error).help("--manifest names another file; host/docs/agents.md says what it holds")
    })?;
    let said = told.manifest(&from)?;
    let out = args.out.as_deref().unwrap_or(Path::new(&component.file));
    if let Some(problem) = args.out.as_deref().and_then(place_problem) {
        return Err(problem);
    }
    let outdated = component.outdated().map(|outdated| outdated.sentence());
    let mut packed = packed(&component.file, &bytes, said)?;
    packed.warnings.extend(outdated);
    // It is as old as before: what it was made of is the same.
    let made = std::fs::metadata(&component.file).and_then(|file| file.modified()).ok();
    replace(out, &packed.bytes, made)
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
struct Packed {
    bytes: Vec<u8>,
    digest: String,
    /// What it says of itself now.
    manifest: Manifest,
    /// Where that is not what the component is.
    warnings: Vec<String>,
}

/// The component of a file with that manifest. What made it is kept, where the component said so before.
fn packed(file: &str, bytes: &[u8], said: Manifest) -> Result<Packed, Failure> {
    let unusable = |error: LoadError| refused(file, &error);
    let before = bandstand_sandbox::inspect(bytes).map_err(unusable)?;
    compiler(None).validate(bytes).map_err(unusable)?;
    let sdk = Manifest::of(&before).ok().flatten().and_then(|manifest| manifest.sdk);
    let manifest = Manifest { sdk: said.sdk.or(sdk), ..said };
    let bytes =
        manifest::append(bytes, &manifest).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
    let after = bandstand_sandbox::inspect(&bytes).map_err(unusable)?;
    Ok(Packed { digest: after.digest.clone(), warnings: manifest.doubts(&after), manifest, bytes })
}

/// Why no component can be written there, as far as that can be told before one is made.
pub(super) fn place_problem(path: &Path) -> Option<Failure> {
    if path.is_dir() {
        return Some(
            Failure::usage(format!("{} is a folder, and a component is a file", path.display()))
                .help(format!("name the file: --out {}", path.join("NAME.wasm").display())),
        );
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Some(
            Failure::not_found(format!("there is no folder {} for {}", folder.display(), path.display()))
                .help("make it first, or name a file elsewhere: --out FILE"),
        );
    }
    let part = part_of(path);
    let tried = std::fs::File::create_new(&part).and_then(|_| std::fs::remove_file(&part));
    tried.err().map(|error| {
        Failure::usage(format!("cannot write into {}: {error}", folder.display()))
            .help("name a file elsewhere: --out FILE")
    })
}

/// Where it is written before it takes its place.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// Whole or not at all: the component may be the only one there is. A link stays one, and permissions stay as they were. `made`: the
/// time that it gets; none: now.
pub(super) fn replace(path: &Path, bytes: &[u8], made: Option<SystemTime>) -> std::io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let part = part_of(&path);
    let mut file = std::fs::File::create_new(&part)?;
    let kept = std::fs::metadata(&path).map(|before| before.permissions());
    let written = kept
        .map_or(Ok(()), |permissions| file.set_permissions(permissions))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| made.map_or(Ok(()), |made| file.set_modified(made)))
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&part, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}
