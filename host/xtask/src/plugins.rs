//! `cargo xtask plugins`: from the crates of `plugins/agents` to components in `target/plugins`.
//!
//! The bytes depend on the sources and the compiler alone: paths of this machine are mapped away, and a file is written
//! only when its bytes changed, so that its digest, and what the host compiled from it, stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use crate::args::PluginOptions;
use crate::debian::cargo_home;
use crate::shell::{self, Repo, say};
use crate::toolchain::{self, TARGET, Toolchain};

/// Builds what `options` name and says what changed.
pub(crate) fn build(repo: &Repo, options: &PluginOptions) -> Result<()> {
    let agents = chosen(agents(repo)?, &options.only)?;
    let toolchain = toolchain::find(options.debian)?;
    let start = Instant::now();
    compile(repo, &toolchain, &agents)?;
    let into = repo.root.join("target/plugins");
    fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    let mut changed = Vec::new();
    for agent in &agents {
        let module = target_dir(repo).join(TARGET).join("release").join(format!("{agent}.wasm"));
        let component = encode(&module)?;
        let leaks = machine_paths(repo).into_iter().find(|path| contains(&component, path.as_bytes()));
        if let Some(path) = leaks {
            bail!(
                "{agent}.wasm holds a path of this machine ({path}): its bytes would differ on every other one"
            );
        }
        if write_if_changed(&into.join(format!("{agent}.wasm")), &component)? {
            changed.push(agent.as_str());
        }
    }
    let news = if changed.is_empty() {
        "nothing changed".to_owned()
    } else {
        format!("new: {}", changed.join(", "))
    };
    say(&format!(
        "plugins in target/plugins: {}, {news} ({:.1} s)",
        agents.len(),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Builds one agent and gives its component.
pub(crate) fn component(repo: &Repo, agent: &str, debian: bool) -> Result<Vec<u8>> {
    let options = PluginOptions { only: vec![agent.to_owned()], debian };
    build(repo, &options)?;
    let path = repo.root.join("target/plugins").join(format!("{agent}.wasm"));
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The plugins' own target folder: their wasm and native builds share it, and the host's is left alone.
pub(crate) fn target_dir(repo: &Repo) -> PathBuf {
    repo.root.join("plugins/target")
}

/// Folders of `plugins/agents` that hold a crate, sorted.
fn agents(repo: &Repo) -> Result<Vec<String>> {
    let folder = repo.root.join("plugins/agents");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// `all`, or those of them that were asked for.
fn chosen(all: Vec<String>, only: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        bail!("there is no agent `{unknown}` in plugins/agents. There are: {}", all.join(", "));
    }
    Ok(if only.is_empty() { all } else { all.into_iter().filter(|name| only.contains(name)).collect() })
}

fn compile(repo: &Repo, toolchain: &Toolchain, agents: &[String]) -> Result<()> {
    let mut command = repo.cargo();
    command.args([
        "build",
        "--quiet",
        "--release",
        "--target",
        TARGET,
        "--manifest-path",
        "plugins/Cargo.toml",
        "--target-dir",
    ]);
    command.arg(target_dir(repo));
    for agent in agents {
        command.args(["--package", &format!("bandstand-agent-{agent}")]);
    }
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(repo));
    if let Some(rustc) = &toolchain.rustc {
        command.env("RUSTC", rustc);
    }
    say(&format!("building plugins for {TARGET}: {}", agents.len()));
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the plugins do not build ({status}); cargo's message is above");
    }
    Ok(())
}

/// Flags that keep this machine's paths out of panic messages, in cargo's encoding.
fn flags(repo: &Repo) -> String {
    let mut maps = vec![(repo.root.clone(), "/bandstand")];
    maps.extend(cargo_home().map(|home| (home, "/cargo")));
    let flags = maps.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    flags.collect::<Vec<_>>().join("\u{1f}")
}

/// What must not be found in a component. Short paths (`/`, `/root`) would be found by chance.
fn machine_paths(repo: &Repo) -> Vec<String> {
    let paths = [Some(repo.root.clone()), cargo_home()];
    paths.into_iter().flatten().map(|path| path.display().to_string()).filter(|path| path.len() > 6).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// From cargo's core module to a component, which imports just what the module uses.
fn encode(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module).with_context(|| format!("cargo left no {}", module.display()))?;
    let component =
        ComponentEncoder::default().validate(true).module(&bytes).and_then(|mut encoder| encoder.encode());
    component
        .with_context(|| format!("{} is no agent: does it call `bandstand_sdk::agent!`?", module.display()))
}

pub(crate) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    // By rename: a host that reads the file meanwhile gets the old one or the new one, whole.
    let part = path.with_extension(format!("part-{}", std::process::id()));
    fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot rename to {}", path.display()))?;
    Ok(true)
}

/// Runs the agents' native tests.
pub(crate) fn test(repo: &Repo) -> Result<()> {
    let mut command = repo.cargo();
    command.args(["test", "--quiet", "--workspace", "--manifest-path", "plugins/Cargo.toml", "--target-dir"]);
    shell::run(command.arg(target_dir(repo)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_agent_is_named_with_those_that_are() {
        let all = || vec!["echo".to_owned(), "split".to_owned()];
        assert_eq!(chosen(all(), &[]).unwrap(), all());
        assert_eq!(chosen(all(), &["split".to_owned()]).unwrap(), ["split"]);
        let text = chosen(all(), &["splt".to_owned()]).unwrap_err().to_string();
        assert!(text.contains("`splt`") && text.contains("echo, split"), "{text}");
    }

    #[test]
    fn a_file_is_written_only_when_its_bytes_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        assert!(write_if_changed(&path, b"one").unwrap());
        assert!(!write_if_changed(&path, b"one").unwrap());
        assert!(write_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left behind");
    }

    #[test]
    fn paths_are_mapped_away() {
        let repo = Repo { root: PathBuf::from("/home/me/bandstand") };
        assert!(flags(&repo).contains("--remap-path-prefix=/home/me/bandstand=/bandstand"));
        assert!(contains(b"at /home/me/bandstand/x", b"/home/me/bandstand"));
        assert!(!contains(b"short", b"/home/me/bandstand"));
    }

    #[test]
    fn what_is_no_module_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.wasm");
        fs::write(&path, b"not wasm").unwrap();
        assert!(encode(&path).unwrap_err().to_string().contains("odd.wasm is no agent"));
    }
}
