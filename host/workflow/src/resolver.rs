//! What `check` must ask its caller for, since this crate opens no file and knows no component: files beside the workflow
//! file, what plugins are, what the host permits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bandstand_engine::graph::{HttpOrigin, MemoryAccess, PluginSource};
use bandstand_signature::Function;
use serde_json::Value;

/// Answers the questions of `check`. Paths are as written in the file: relative to the workflow file.
pub trait Resolver {
    /// The bytes of a file.
    ///
    /// # Errors
    /// When there is none, it is larger than `size_bytes_max`, or it lies outside of the project directory.
    fn read(&self, path: &str, size_bytes_max: usize) -> Result<Vec<u8>, FileProblem>;

    /// What a plugin's bytes tell; `function`: which of its functions is called, if it is no agent that is called.
    ///
    /// # Errors
    /// When the file cannot be read, is no agent, or has no such function.
    fn plugin(&self, source: &PluginSource, function: Option<&str>) -> Result<PluginFacts, PluginProblem>;

    /// The builtin components of this host.
    fn builtins(&self) -> Vec<String>;

    /// What the host permits a plugin, by its source and digest; `None` when no `bandstand.toml` says anything, so that
    /// the file's own grants hold.
    fn permitted(&self, source: &PluginSource, digest: &str) -> Option<Permitted>;

    /// What the host knows of a tool of that id, for ids that are no plugin of the file: the tools that it may call itself,
    /// or why it cannot be used. `None`: there is no such tool. By itself: there is none.
    fn tool(&self, id: &str) -> Option<Result<Vec<String>, String>> {
        let _ = id;
        None
    }

    /// The tools of the host, by id.
    fn tools(&self) -> Vec<String> {
        Vec::new()
    }

    /// A path of the workflow file as it is in the project, by which the host permits directories. By itself: as it is.
    fn in_project(&self, path: &str) -> String {
        path.to_owned()
    }

    /// Whether a directory can be granted. By itself: every one can.
    ///
    /// # Errors
    /// When there is none, or it lies outside of the project directory.
    fn directory(&self, _path: &str) -> Result<(), FileProblem> {
        Ok(())
    }

    /// Why the host shows no plugin that environment variable, whatever is granted; `None`: it may be granted.
    fn kept_env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// There is no such file.
    #[error("no file `{tried}`")]
    NotFound {
        /// The path that was tried.
        tried: String,
    },
    /// It is too large.
    #[error("`{tried}` is larger than {size_bytes_max} bytes")]
    TooLarge {
        /// The path that was tried.
        tried: String,
        /// The bound.
        size_bytes_max: usize,
    },
    /// It is not inside the project directory.
    #[error("`{tried}` is outside of the project directory `{project}`")]
    Outside {
        /// The path that was tried.
        tried: String,
        /// The project directory.
        project: String,
    },
    /// The system refused.
    #[error("`{tried}` cannot be read: {reason}")]
    Unreadable {
        /// The path that was tried.
        tried: String,
        /// What the system said.
        reason: String,
    },
}

/// What a plugin's bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFacts {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The powers it imports.
    pub needs: Vec<Need>,
    /// JSON Schema of the input that it says it takes; none: it says nothing.
    pub input: Option<Arc<Value>>,
    /// The function that is called. Absent: an agent is.
    pub function: Option<Function>,
}

/// A power that a plugin imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The interface, for people: `bandstand:agent/memory-facts@0.1.0`.
    pub import: String,
    /// The key of `grants` that gives it: `memory`, `model`, `tools`, `http`, `secrets`, `env`, `files`.
    pub grant: String,
    /// Whether it imports functions that change what the power is over, so that reading is not enough.
    pub writes: bool,
}

/// Why a plugin is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginProblem {
    /// Its file cannot be read.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// It is not a component of world `bandstand:agent`.
    #[error("{what}")]
    NotAnAgent {
        /// What it is instead.
        what: String,
    },
    /// It has no function of that name, or one that cannot be called.
    #[error("{what}")]
    NoFunction {
        /// Which, and why not.
        what: String,
        /// The functions that it has and that can be called, by their full names.
        functions: Vec<String>,
    },
}

/// What the host permits a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// How far it may use the memory.
    pub memory: Option<MemoryAccess>,
    /// Whom it may call over HTTP.
    pub http: Vec<HttpOrigin>,
    /// The models it may use.
    pub model: Vec<String>,
    /// The tools it may call.
    pub tools: Vec<String>,
    /// The secrets that may be put into its requests.
    pub secrets: Vec<String>,
    /// The environment variables it may see.
    pub env: Vec<String>,
    /// The directories it may read, by their paths in the project ([`Resolver::in_project`]).
    pub files: Vec<String>,
    /// Whether it may have directories of its own.
    pub scratch: bool,
    /// Whether it may read a clock.
    pub clock: bool,
    /// Whether its random numbers may be random.
    pub random: bool,
    /// Where the host says so, for people, as the beginning of a line there: `in bandstand.toml, [grants]: "plugins/a.wasm"`.
    pub place: String,
}

/// What a checked file needs from outside, as `check` found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Every file that the workflow file names besides plugins, as written, sorted.
    pub files: BTreeSet<String>,
    /// The plugins by their id, with what their bytes tell; empty without a resolver.
    pub plugins: BTreeMap<String, PluginFacts>,
}
