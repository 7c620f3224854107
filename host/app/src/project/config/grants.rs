//! `[grants]` and `[secrets.NAME]`: what plugins may be granted, and what may be put into their HTTP requests.

use std::path::{Path, PathBuf};

use bandstand_engine::graph::{ClockGrant, HttpOrigin, MemoryAccess};
use bandstand_sandbox::origin_problem;
use serde::Deserialize;

use crate::host::SecretFrom;

/// What one plugin may be granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Permitted {
    /// The three memory interfaces.
    pub memory: Option<MemoryAccess>,
    /// Whom it may call over HTTP: an origin, or one with methods.
    pub http: Vec<Origin>,
    /// Models, by their names here.
    pub model: Vec<String>,
    /// Tools, by their ids in workflow files.
    pub tools: Vec<String>,
    /// Secrets, by their names here.
    pub secrets: Vec<String>,
    /// Environment variables of the host.
    pub env: Vec<String>,
    /// Directories it may read, by their paths in the project.
    pub files: Vec<String>,
    /// Whether it may have directories of its own.
    pub scratch: bool,
    /// A clock.
    pub clock: Option<ClockGrant>,
    /// Random numbers that are random.
    pub random: bool,
}

/// `"https://api.example.com"` or `{ origin = "https://api.example.com", methods = ["GET"] }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "an origin such as \"https://api.example.com\", or { origin, methods }")]
pub enum Origin {
    /// With all methods.
    All(String),
    /// With these.
    Some(OriginAndMethods),
}

/// The long form of an [`Origin`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginAndMethods {
    /// Scheme, host and perhaps port.
    pub origin: String,
    /// Empty: all.
    #[serde(default)]
    pub methods: Vec<String>,
}

impl Origin {
    /// As workflow files have it.
    pub fn grant(&self) -> HttpOrigin {
        let (origin, methods) = match self {
            Origin::All(origin) => (origin, &[][..]),
            Origin::Some(long) => (&long.origin, &long.methods[..]),
        };
        HttpOrigin {
            origin: origin.to_ascii_lowercase(),
            methods: methods.iter().map(|method| method.to_ascii_uppercase()).collect(),
        }
    }
}

/// `[secrets.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<PathBuf>,
    /// The origins it may go to; none: it only checks who calls a webhook.
    #[serde(default)]
    pub hosts: Vec<String>,
}

impl SecretConfig {
    pub(super) fn from(&self, folder: &Path) -> SecretFrom {
        match (&self.env, &self.file) {
            (Some(env), _) => SecretFrom::Env(env.clone()),
            (None, file) => SecretFrom::File(folder.join(file.clone().unwrap_or_default())),
        }
    }

    pub(super) fn problem(&self, name: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Some("a secret's name has letters, digits, `-` and `_` only".to_owned());
        }
        if self.env.is_some() == self.file.is_some() {
            return Some(
                "say where its value is, either `env = \"VARIABLE\"` or `file = \"path\"`".to_owned(),
            );
        }
        self.hosts.iter().find_map(|origin| {
            let here = ["http://localhost", "http://127.", "http://[::1]"];
            let plain = origin.starts_with("http://") && !here.iter().any(|here| origin.starts_with(here));
            origin_problem(origin).or_else(|| {
                plain.then(|| format!("`{origin}`: secrets go over https only, or to this machine"))
            })
        })
    }
}
