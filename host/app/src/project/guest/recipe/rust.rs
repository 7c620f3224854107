//! Rust: cargo builds a module for a target that has nothing but the interface; this process makes the component of it.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::component;
use super::super::run::{BuildError, Runner};
use super::super::tool::{RUST_TARGET, Tools};
use super::{Project, must_have, read};

pub(super) fn build(project: &Project, tools: &Tools, runner: &Runner<'_>) -> Result<Vec<u8>, BuildError> {
    let rust = tools.rust().map_err(BuildError::Lacking)?;
    must_have(project, "Cargo.toml")?;
    if project.settings.sdk.is_some() {
        return Err(BuildError::Source {
            what: "plugin.toml: `sdk` says nothing in Rust".to_owned(),
            help: "leave it out: Cargo.toml says where the SDK is".to_owned(),
        });
    }
    let flags = flags(&project.dir);
    let mut args = vec!["build", "--release", "--target", RUST_TARGET, "--config", flags.as_str()];
    args.extend(["--message-format", "json-render-diagnostics"]);
    let messages = runner.stdout(&rust.cargo, &args)?;
    let module = module_in(&String::from_utf8_lossy(&messages), &project.dir.join("Cargo.toml"));
    let module = module.ok_or_else(|| BuildError::Source {
        what: format!("cargo made no module of {}", project.dir.join("Cargo.toml").display()),
        help: "an agent is a library: [lib] crate-type = [\"cdylib\"]".to_owned(),
    })?;
    component::encode(&read(&module)?).map_err(|problem| BuildError::Source {
        what: format!("{} is no agent: {problem}", module.display()),
        help: "does it call `bandstand_sdk::agent!(run)`?".to_owned(),
    })
}

/// Flags that keep this machine's paths out of the places that panics tell, as cargo's `--config` takes them. Cargo takes flags
/// from one place only: where `RUSTFLAGS` is set, these are lost.
fn flags(dir: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let maps = [Some((dir.to_owned(), "/agent")), home.map(|home| (home, "/cargo"))];
    let flags: Vec<String> = maps
        .into_iter()
        .flatten()
        // As a text of JSON, which is one of TOML too.
        .map(|(from, to)| {
            serde_json::json!(format!("--remap-path-prefix={}={to}", from.display())).to_string()
        })
        .collect();
    format!("target.{RUST_TARGET}.rustflags=[{}]", flags.join(", "))
}

/// One of cargo's messages, as far as it matters.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The module that cargo made of this manifest.
fn module_in(messages: &str, manifest: &Path) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    messages
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref() == Some(manifest))
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_in_what_cargo_says() {
        let messages = "\
{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/bandstand/sdk/Cargo.toml\",\"filenames\":[\"/a/x.rlib\"]}
not json
{\"reason\":\"compiler-artifact\",\"manifest_path\":\"/a/Cargo.toml\",\"filenames\":[\"/a/y.wasm\"]}
{\"reason\":\"build-finished\",\"success\":true}";
        assert_eq!(module_in(messages, Path::new("/a/Cargo.toml")), Some(PathBuf::from("/a/y.wasm")));
        assert_eq!(module_in(messages, Path::new("/b/Cargo.toml")), None);
        let flags = flags(Path::new("/home/me/my agent"));
        assert!(flags.contains("\"--remap-path-prefix=/home/me/my agent=/agent\""), "{flags}");
    }
}
