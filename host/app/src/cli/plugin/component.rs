//! Which component a verb is about: a file, `builtin:NAME`, or the one of a project by its folder; its bytes; and whether the
//! project has changed since. Nothing is built or run.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::context::shell_word;
use crate::cli::exit::Failure;
use crate::cli::term::out::Out;
use crate::cli::term::{safe, words};
use crate::project::builtin;
use crate::project::directory::open_file;
use crate::project::guest::newer_source;
use crate::project::load::PLUGIN_BYTES_MAX;
use crate::project::plugin_toml::{self, PluginToml, PluginTomlError};

/// What begins the name of a component that the host brings with it.
pub(super) const BUILTIN: &str = "builtin:";

/// A component that was named.
#[derive(Debug)]
pub(super) struct Component {
    /// Its file, or `builtin:NAME`.
    pub(super) file: String,
    /// The folder by which it was named.
    pub(super) dir: Option<PathBuf>,
    /// What is to be typed to build it, where that is known.
    build: Option<String>,
}

impl Component {
    /// What was named: in place of a component may stand the folder of an agent that is built.
    ///
    /// # Errors
    /// When it is a folder in which there is none, or not one alone.
    pub(super) fn named(named: &str) -> Result<Component, Failure> {
        let dir = Path::new(named);
        if named.starts_with(BUILTIN) || !dir.is_dir() {
            return Ok(Component { file: named.to_owned(), dir: None, build: None });
        }
        let told = dir.join(plugin_toml::FILE_NAME);
        let (file, build) =
            if told.exists() { of_project(dir, &PluginToml::read(&told)?)? } else { (the_only(dir)?, None) };
        let file = plain(&file).to_string_lossy().into_owned();
        Ok(Component { file, dir: Some(dir.to_owned()), build })
    }

    /// Whether it is no file.
    pub(super) fn is_builtin(&self) -> bool {
        self.file.starts_with(BUILTIN)
    }

    /// Tells that its project has changed since it was made, if it has.
    pub(super) fn warn_if_outdated(&self, out: &Out) {
        let Some(outdated) = self.outdated() else { return };
        if out.json {
            out.json_line(&outdated.as_json());
        } else {
            out.note(&safe::line(&format!("warning: {}", outdated.sentence())));
        }
    }

    /// That its project has changed since it was made, if it has.
    pub(super) fn outdated(&self) -> Option<Outdated> {
        let build = self.build.clone()?;
        let source = newer_source(self.dir.as_deref()?, Path::new(&self.file))?;
        Some(Outdated { file: self.file.clone(), source: plain(&source).to_owned(), build })
    }
}

/// A component that may not be what its project says now.
#[derive(Debug)]
pub(super) struct Outdated {
    file: String,
    /// What was changed last.
    source: PathBuf,
    build: String,
}

impl Outdated {
    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let Outdated { file, source, build } = self;
        format!("{file} is older than {}; to make it anew: {build}", source.display())
    }

    /// As a line of `--json`.
    fn as_json(&self) -> Value {
        let Outdated { file, source, build } = self;
        json!({
            "type": "warning", "message": format!("{file} is older than {}", source.display()),
            "help": format!("to make it anew: {build}"), "file": file, "newer": source.to_string_lossy(),
        })
    }
}

impl From<PluginTomlError> for Failure {
    fn from(error: PluginTomlError) -> Failure {
        match &error {
            PluginTomlError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
                Failure::not_found(error)
            }
            _ => Failure::usage(error),
        }
    }
}

/// The component that is built in this folder, and what builds it. Another one that lies there is not it.
fn of_project(dir: &Path, told: &PluginToml) -> Result<(PathBuf, Option<String>), Failure> {
    let build = told.language.map(|_| build_command(dir));
    let file = dir.join(format!("{}.wasm", told.name));
    if file.is_file() {
        return Ok((file, build));
    }
    let what = format!(
        "there is no {}, the component of `{}` in {}",
        plain(&file).display(),
        told.name,
        plain(&dir.join(plugin_toml::FILE_NAME)).display()
    );
    let help = match build {
        Some(build) => format!("build it: {build}"),
        None => "build it there first, or name the component itself".to_owned(),
    };
    Err(Failure::not_found(what).help(help))
}

/// `read.wasm` for `./read.wasm`.
fn plain(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// In its own folder it needs no name.
fn build_command(dir: &Path) -> String {
    let command = "bandstand plugin build";
    if dir == Path::new(".") {
        command.to_owned()
    } else {
        format!("{command} {}", shell_word(&dir.to_string_lossy()))
    }
}

/// The component in a folder that is no project.
fn the_only(dir: &Path) -> Result<PathBuf, Failure> {
    match <[PathBuf; 1]>::try_from(components(dir)?) {
        Ok([only]) => Ok(only),
        Err(none) if none.is_empty() => {
            Err(Failure::not_found(format!("there is no component in {}", dir.display()))
                .help("name a component, or the folder of an agent; to begin one: bandstand plugin new NAME --lang rust"))
        }
        Err(several) => {
            let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::usage(format!("there are several components in {}", dir.display()))
                .help(format!("name one of them: {}", names.join(", "))))
        }
    }
}

/// The `.wasm` files of a folder, by name.
pub(super) fn components(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error| Failure::unreadable(dir.display(), &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_file() && path.extension().is_some_and(|ending| ending == "wasm") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The bytes of a file, or of `builtin:NAME`.
pub(crate) fn read(file: &str) -> Result<Vec<u8>, Failure> {
    if let Some(name) = file.strip_prefix(BUILTIN) {
        return builtin::named(name).map(|builtin| builtin.bytes.to_vec()).ok_or_else(|| {
            let names: Vec<&str> = builtin::ALL.iter().map(|builtin| builtin.name).collect();
            Failure::not_found(format!("there is no builtin `{name}`"))
                .help(format!("there is: {}", names.join(", ")))
        });
    }
    let cannot = |error| Failure::unreadable(file, &error);
    let mut bytes = Vec::new();
    open_file(Path::new(file))
        .map_err(cannot)?
        .take(PLUGIN_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > PLUGIN_BYTES_MAX {
        return Err(Failure::usage(format!("{file} has more than {}", words::size(PLUGIN_BYTES_MAX))));
    }
    Ok(bytes)
}
