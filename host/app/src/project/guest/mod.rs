//! Projects of agents: what `plugin new` writes and `plugin build` makes components of, in six languages.
//!
//! `plugin.toml` says what a project is; [`new`] writes one that stands alone, with the SDK and the interface
//! of this host in it; [`tool`] finds what the language's toolchain needs; [`recipe`] builds. Nothing here prints.

mod component;
mod language;
mod name;
pub mod new;
mod newer;
pub mod recipe;
mod run;
mod sdk;
pub mod tool;
mod wasi_http;

pub use language::Language;
pub use name::name_problem;
pub use newer::newer_source;
pub use run::{BuildError, Runner};

use std::path::PathBuf;

use super::plugin_toml::PluginToml;

/// A project on the disk.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// What its `plugin.toml` says.
    pub settings: PluginToml,
}

impl Project {
    /// The interface that the agent speaks: the project's own copy, or this host's where it has none.
    fn wit(&self) -> Result<String, BuildError> {
        let path = self.dir.join("wit/agent.wit");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(sdk::WIT.to_owned()),
            Err(source) => Err(BuildError::Read { path, source }),
        }
    }

    /// The interfaces that it says it uses.
    fn uses(&self) -> &[String] {
        self.settings.uses.as_deref().unwrap_or_default()
    }

    /// Where the SDK lies, from the project's folder; in a project that stands alone `alone`.
    fn sdk(&self, alone: &str) -> String {
        self.settings.sdk.clone().unwrap_or_else(|| alone.to_owned())
    }

    /// Makes `target` for what is made on the way.
    fn target(&self) -> Result<PathBuf, BuildError> {
        let path = self.dir.join("target");
        std::fs::create_dir_all(&path).map_err(|source| BuildError::Write { path: path.clone(), source })?;
        Ok(path)
    }
}
