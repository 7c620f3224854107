//! `cargo xtask builtins`: the agents that come with the host, from `plugins/agents` into `host/app/assets`.
//!
//! They are committed, so that building the host needs no WebAssembly toolchain. Their bytes differ from compiler to
//! compiler, so beside `NAME.wasm` stands `NAME.sources`: the digest of what it was made of. A test here fails when that
//! is no longer what lies in the checkout. A new builtin is an agent in `plugins/agents`, a line in
//! `host/app/src/project/builtin.rs`, and `cargo xtask builtins NAME`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::plugins::{self, write_if_changed};
use crate::shell::{Repo, say};

/// Builds these builtins, or all there are, and records what they are made of.
pub(crate) fn write(repo: &Repo, names: &[String], debian: bool) -> Result<()> {
    let names = if names.is_empty() { recorded(repo)? } else { names.to_vec() };
    for name in names {
        let digest = sources_digest(repo, &name)?;
        let component = plugins::component(repo, &name, debian)?;
        write_if_changed(&assets(repo).join(format!("{name}.wasm")), &component)?;
        write_if_changed(&record(repo, &name), format!("{digest}\n").as_bytes())?;
        say(&format!("builtin {name}: {} bytes", component.len()));
    }
    Ok(())
}

/// The builtins whose sources are not those that were recorded.
#[cfg(test)]
fn stale(repo: &Repo) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for name in recorded(repo)? {
        let known = fs::read_to_string(record(repo, &name))?;
        if known.trim() != sources_digest(repo, &name)? {
            stale.push(name);
        }
    }
    Ok(stale)
}

fn assets(repo: &Repo) -> PathBuf {
    repo.root.join("host/app/assets")
}

fn record(repo: &Repo, name: &str) -> PathBuf {
    assets(repo).join(format!("{name}.sources"))
}

/// Names of the builtins that were made here, sorted.
fn recorded(repo: &Repo) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(assets(repo)).context("cannot read host/app/assets")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".sources").map(str::to_owned));
    }
    Ok(names.into_iter().collect())
}

/// Digest of an agent's crate, of the crates of this workspace that it uses, of the interface, and of the names and
/// versions of what else it uses.
fn sources_digest(repo: &Repo, name: &str) -> Result<String> {
    let workspace = repo.root.join("plugins");
    let lock = fs::read_to_string(workspace.join("Cargo.lock")).context("cannot read plugins/Cargo.lock")?;
    let packages = closure(&lock, &format!("bandstand-agent-{name}"))?;
    let mut files = vec![repo.root.join("wit/agent.wit")];
    let mut hasher = Sha256::new();
    for (package, version) in &packages {
        match package.strip_prefix("bandstand-") {
            Some(own) => collect(&workspace.join(own.replace("agent-", "agents/")), &mut files)?,
            None => hasher.update(format!("{package} {version}\n")),
        }
    }
    files.sort();
    for path in files {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let named = path.strip_prefix(&repo.root).unwrap_or(&path);
        hasher.update(format!("{} {}\n", named.display(), bytes.len()));
        hasher.update(bytes);
    }
    let mut text = String::from("sha256:");
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A package and all that it needs, with versions, out of a lock file.
fn closure(lock: &str, root: &str) -> Result<BTreeMap<String, String>> {
    // Of a package with two versions both count.
    let mut known: BTreeMap<&str, (String, Vec<&str>)> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"')).unwrap_or_default()
        };
        let needs = package.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
        let (versions, all_needs) = known.entry(field("name")).or_default();
        if !versions.is_empty() {
            versions.push(' ');
        }
        versions.push_str(field("version"));
        all_needs.extend(needs);
    }
    let mut found = BTreeMap::new();
    let mut open = vec![root];
    while let Some(name) = open.pop() {
        let Some((versions, needs)) = known.get(name) else {
            bail!("plugins/Cargo.lock knows no {name}; is there an agent of that name in plugins/agents?");
        };
        if found.insert(name.to_owned(), versions.clone()).is_none() {
            open.extend(needs);
        }
    }
    Ok(found)
}

/// Every file below a folder.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtins_are_made_of_their_sources() {
        let stale = stale(&Repo::find().unwrap()).unwrap();
        assert!(
            stale.is_empty(),
            "the sources of {} changed: type `cargo xtask builtins` and commit host/app/assets",
            stale.join(", ")
        );
    }

    #[test]
    fn a_lock_file_tells_what_an_agent_needs() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b\",\n \"c 2.0.0\",\n]\n\n\
                    [[package]]\nname = \"b\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
                    [[package]]\nname = \"c\"\nversion = \"2.0.0\"\n\n[[package]]\nname = \"d\"\nversion = \"1.0.0\"\n";
        let found = closure(lock, "a").unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
        assert_eq!(found, [("a", "1.0.0"), ("b", "0.1.0"), ("c", "2.0.0")]);
        assert!(closure(lock, "e").is_err());
    }
}
