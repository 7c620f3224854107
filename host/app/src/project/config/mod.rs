//! `bandstand.toml`: what the operator permits. Every key is optional; an unknown one is an error.
//! Where the file is looked for is [`super::directory`]'s business, what follows from it [`super::permits`]'s.

mod bounds;
mod grants;
pub mod known;
pub mod layers;
mod retention;
mod values;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use bandstand_sandbox::origin_problem;
use serde::Deserialize;
use toml::Value;

pub use bounds::{Compile, Http, Maxima, Quarantine, Together};
pub use grants::{Origin, Permitted, SecretConfig};
pub use layers::{Environment, Layers};
pub use retention::Kept;
pub use values::span_ms;
pub(super) use values::{duration, size};

use super::models::{self, BudgetSettings, Choices};
use super::notify::NotifySettings;
use super::permits;
use super::server::{ServerSettings, Tokens};
use super::telemetry::{self, TelemetrySettings};
use super::tools::ToolSettings;
use crate::host::{Notify, Outgoing, SecretFrom, SecretSource};
use bounds::INSTANCES_MAX;

/// The name of the file; the folder it lies in is the project directory.
pub const FILE_NAME: &str = "bandstand.toml";
/// No larger file is read. Bytes.
const SIZE_BYTES_MAX: u64 = 1 << 20;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What survives what.
    pub durability: Durability,
    /// What plugins may be granted, by file path in the project, `builtin:NAME` or `sha256:HEX`.
    pub grants: BTreeMap<String, Permitted>,
    /// The most that a workflow file may ask for, and what an attempt gets that no workflow file speaks of.
    pub limits: Maxima,
    /// What all attempts take together.
    pub host: Together,
    /// What compiling one plugin may take.
    pub compile: Compile,
    /// How long ended runs are kept; nothing: for ever.
    pub retention: Kept,
    /// When a plugin that keeps crashing is taken out of service.
    pub quarantine: Quarantine,
    /// Outgoing HTTP as a whole.
    pub http: Http,
    /// What may be put into HTTP requests without the plugin seeing it, by name.
    pub secrets: BTreeMap<String, SecretConfig>,
    /// Language models by the names that workflow files use.
    pub models: BTreeMap<String, Choices>,
    /// What each run may spend on them.
    pub budget: BudgetSettings,
    /// Plugins that those of workflow files may call as tools, by id.
    pub tools: BTreeMap<String, ToolSettings>,
    /// Where and how `serve` listens.
    pub server: ServerSettings,
    /// Who may ask what of it, by name.
    pub tokens: Tokens,
    /// Where traces go, and how the log is written.
    pub telemetry: TelemetrySettings,
    /// Whom the host tells when reviews open, are answered or expire, and when runs end, by name.
    pub notify: BTreeMap<String, NotifySettings>,
    /// Where the file lies; paths in it begin there.
    #[serde(skip)]
    pub folder: PathBuf,
    /// There is such a file; else the environment alone sets something.
    #[serde(skip)]
    pub has_file: bool,
}

/// When an event counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// When it survives the machine: an fsync for each group of events.
    #[default]
    Full,
    /// When it survives the process, not the machine.
    Process,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{} has more than {SIZE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not what it must be.
    #[error("{} is not valid:\n{problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        problem: String,
    },
    /// An environment variable is not what it must be.
    #[error("the environment variable {name} is not valid: {problem}")]
    Environment {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// File and environment do not go together.
    #[error("the settings are not valid with what environment variables set ({names}): {problem}")]
    Together {
        /// The names of the variables.
        names: String,
        /// What is wrong.
        problem: String,
    },
}

impl Config {
    /// The settings in force in that folder: of the file in it, if there is one, and of the environment, which holds before
    /// it; and who set what. No settings: there is neither.
    ///
    /// # Errors
    /// When the file cannot be read, or one of both holds what is not known.
    pub fn read(
        folder: &Path,
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<(Option<Config>, Layers), Error> {
        let mut layers = Layers::default();
        let mut config = None;
        if let Some(path) = file {
            let at = |source| Error::Read { path: path.to_owned(), source };
            if std::fs::metadata(path).map_err(at)?.len() > SIZE_BYTES_MAX {
                return Err(Error::TooLarge { path: path.to_owned() });
            }
            let text = std::fs::read_to_string(path).map_err(at)?;
            let invalid = |problem| Error::Invalid { path: path.to_owned(), problem };
            // Even if the environment sets something else instead: whoever reads the file must find that it is right.
            config = Some(Config::parse(&text).map_err(invalid)?);
            layers = Layers::of_file(&text, path).map_err(invalid)?;
        }
        if !environment.is_empty() {
            layers.put_over(environment)?;
            let together = |problem| Error::Together { names: environment.names(), problem };
            let merged = Config::deserialize(Value::Table(layers.table().clone()))
                .map_err(|error| together(layers::without_value(&error)))?;
            config = Some(merged.checked().map_err(together)?);
        }
        if let Some(config) = &mut config {
            config.folder = folder.to_owned();
            config.has_file = file.is_some();
        }
        Ok((config, layers))
    }

    /// Whether plugins are granted nothing but what stands here: a file says so by being there.
    pub fn rules_grants(&self) -> bool {
        self.has_file || !self.grants.is_empty()
    }

    /// What HTTP requests of agents may reach.
    pub fn outgoing(&self) -> Outgoing {
        let at = |path: &PathBuf| self.folder.join(path);
        let sent = self.secrets.iter().filter(|(_, secret)| !secret.hosts.is_empty());
        let secrets = sent.map(|(name, secret)| {
            (name.clone(), SecretSource { from: secret.from(&self.folder), hosts: secret.hosts.clone() })
        });
        Outgoing {
            networks: self.http.networks.clone(),
            authorities: self.http.authorities.iter().map(at).collect(),
            secrets: secrets.collect(),
            limits: self.http.limits(),
        }
    }

    /// Where the secrets are that sign calls of webhooks, by name.
    pub fn webhook_secrets(&self) -> BTreeMap<String, SecretFrom> {
        self.secrets.iter().map(|(name, secret)| (name.clone(), secret.from(&self.folder))).collect()
    }

    /// Whom a host that drives all runs tells of what.
    pub fn notify(&self) -> Notify {
        let endpoints = self.notify.iter().filter_map(|(name, settings)| {
            // What cannot be used was refused when the file was read.
            settings.endpoint(name, &self.folder).ok()
        });
        Notify { endpoints: endpoints.collect(), authorities: self.outgoing().authorities }
    }

    pub(super) fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text)
            .map_err(|error| layers::with_suggestion(error.to_string().trim_end().to_owned()))?;
        config.checked()
    }

    /// It, if all that it says goes together.
    fn checked(self) -> Result<Config, String> {
        let config = self;
        let quarantine = config.quarantine.settings();
        if quarantine.cool_down_max_ms < quarantine.cool_down_ms {
            return Err("[quarantine] `cool-down-max` is shorter than `cool-down`".to_owned());
        }
        if config.host.instances.is_some_and(|instances| instances.get() > INSTANCES_MAX) {
            return Err(format!("[host] `instances` is {INSTANCES_MAX} at most"));
        }
        for key in config.grants.keys() {
            let hex = key.strip_prefix("sha256:");
            if hex.is_some_and(|hex| hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit())) {
                return Err(format!("[grants] `{key}`: a digest is `sha256:` and 64 hexadecimal digits"));
            }
        }
        for (plugin, line) in &config.grants {
            let problem = line.http.iter().find_map(|origin| origin_problem(&origin.grant().origin));
            if let Some(problem) = problem {
                return Err(format!("[grants] {plugin:?} http: {problem}"));
            }
            for name in &line.env {
                if let Some(why) = permits::kept_env(Some(&config), name) {
                    return Err(format!("[grants] {plugin:?} env: `{name}` cannot be permitted: {why}"));
                }
            }
            if let Some(path) = line.files.iter().find(|path| !inside(path)) {
                return Err(format!(
                    "[grants] {plugin:?} files: `{path}` is no path inside the project, such as \"data\""
                ));
            }
            let nowhere =
                |name: &&String| config.secrets.get(*name).is_some_and(|secret| secret.hosts.is_empty());
            if let Some(name) = line.secrets.iter().find(nowhere) {
                return Err(format!(
                    "[grants] {plugin:?} secrets: [secrets.{name}] has no `hosts`, so it goes nowhere; list the origins \
                     it may go to, such as [\"https://api.example.com\"]"
                ));
            }
            if let Some(name) = line.secrets.iter().find(|name| !config.secrets.contains_key(*name)) {
                return Err(format!(
                    "[grants] {plugin:?} secrets: there is no secret `{name}`; define it as [secrets.{name}]"
                ));
            }
        }
        for (name, secret) in &config.secrets {
            if let Some(problem) = secret.problem(name) {
                return Err(format!("[secrets.{name}] {problem}"));
            }
        }
        for (name, tool) in &config.tools {
            if let Some(problem) = tool.problem(name, &config) {
                return Err(format!("[tools.{name}] {problem}"));
            }
        }
        for (name, settings) in &config.notify {
            if let Some(problem) = settings.problem(name) {
                return Err(format!("[notify.{name}] {problem}"));
            }
        }
        match models::problem(&config).or_else(|| telemetry::problem(&config)) {
            Some(problem) => Err(problem),
            None => Ok(config),
        }
    }
}

/// Whether a path stays below where it begins, by its letters.
pub(super) fn inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
