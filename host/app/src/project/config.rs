//! `bandstand.toml`: what the operator permits. Every key is optional; an unknown one is an error.
//! Where the file is looked for is [`super::directory`]'s business, what follows from it [`super::permits`]'s.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};

use bandstand_engine::graph::{ClockGrant, HttpOrigin, MemoryAccess};
use bandstand_sandbox::{CallLimits, HttpLimits, Network, Settings, origin_problem};
use bandstand_store::{Keep, Retention, Rule, RunStatus};
use serde::Deserialize;

use super::models::{self, BudgetSettings, Choices};
use super::notify::NotifySettings;
use super::permits;
use super::server::{ServerSettings, Tokens};
use super::telemetry::{self, TelemetrySettings};
use super::tools::ToolSettings;
use crate::host::{Notify, Outgoing, SecretFrom, SecretSource};

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
}

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Http {
    /// Networks that are not public and that granted origins may lead to all the same: `127.0.0.0/8`.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
    /// Files with certificates of authorities beside the usual ones, PEM.
    pub authorities: Vec<PathBuf>,
    /// Requests at once, over all plugins.
    pub requests: Option<NonZeroU32>,
    /// Requests at once in one attempt.
    pub requests_per_attempt: Option<NonZeroU32>,
    /// How long a request waits for its turn, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub wait: Option<u64>,
    /// From the request to a connection, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub connect: Option<u64>,
    /// From the request to the head of the response, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub first_byte: Option<u64>,
    /// The headers of a request, and of a response.
    #[serde(deserialize_with = "size")]
    pub head: Option<u64>,
    /// The URL's path and query.
    #[serde(deserialize_with = "size")]
    pub path: Option<u64>,
    /// The body of a request.
    #[serde(deserialize_with = "size")]
    pub request_body: Option<u64>,
    /// The body of a response.
    #[serde(deserialize_with = "size")]
    pub response_body: Option<u64>,
}

impl Http {
    /// As the sandbox takes them.
    pub fn limits(&self) -> HttpLimits {
        let default = HttpLimits::default();
        let pieces =
            |set: Option<NonZeroU32>, default: usize| set.map_or(default, |set| whole(set.get().into()));
        let bytes = |set: Option<u64>, default: usize| set.map_or(default, whole);
        HttpLimits {
            requests_max: pieces(self.requests, default.requests_max),
            requests_per_attempt_max: pieces(self.requests_per_attempt, default.requests_per_attempt_max),
            slot_wait_ms: self.wait.unwrap_or(default.slot_wait_ms),
            connect_ms: self.connect.unwrap_or(default.connect_ms),
            first_byte_ms: self.first_byte.unwrap_or(default.first_byte_ms),
            head_bytes_max: bytes(self.head, default.head_bytes_max),
            path_bytes_max: bytes(self.path, default.path_bytes_max),
            request_body_bytes_max: self.request_body.unwrap_or(default.request_body_bytes_max),
            response_body_bytes_max: self.response_body.unwrap_or(default.response_body_bytes_max),
        }
    }
}

/// `[host]`: what all attempts take together; none: as [`bandstand_sandbox::Settings`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Together {
    /// Instances alive at once.
    pub instances: Option<NonZeroU32>,
    /// Attempts that may wait for one; 0: none may.
    pub queue: Option<u32>,
    /// How long one may wait, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub queue_wait: Option<u64>,
    /// Linear memory.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// What is in scratch directories.
    #[serde(deserialize_with = "size")]
    pub scratch: Option<u64>,
}

/// More instances than this have no room among a process's addresses.
const INSTANCES_MAX: u32 = 4_096;

impl Together {
    /// As the sandbox takes it.
    pub fn apply(&self, default: Settings) -> Settings {
        Settings {
            instances_max: self.instances.map_or(default.instances_max, |set| whole(set.get().into())),
            queue_max: self.queue.map_or(default.queue_max, |set| whole(set.into())),
            queue_wait_ms_max: self.queue_wait.unwrap_or(default.queue_wait_ms_max),
            memory_bytes_total_max: self.memory.map_or(default.memory_bytes_total_max, whole),
            scratch_bytes_total_max: self.scratch.unwrap_or(default.scratch_bytes_total_max),
            ..default
        }
    }
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
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

/// Limits of one attempt. The first four are maxima of what a workflow file asks for; none: as it asks. No workflow file
/// speaks of the others; none: as [`bandstand_sandbox::CallLimits`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Maxima {
    /// Linear memory of one attempt.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// Processor time of one attempt, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cpu: Option<u64>,
    /// The reply of one attempt.
    #[serde(deserialize_with = "size")]
    pub output: Option<u64>,
    /// Log lines and captured output of one attempt.
    #[serde(deserialize_with = "size")]
    pub log: Option<u64>,
    /// What it tells of its progress.
    #[serde(deserialize_with = "size")]
    pub progress: Option<u64>,
    /// What crosses in host calls, files and HTTP among them.
    #[serde(deserialize_with = "size")]
    pub host_calls: Option<u64>,
    /// Elements of its tables.
    pub table_elements: Option<NonZeroU32>,
    /// Handles to things of the host.
    pub handles: Option<NonZeroU32>,
    /// What is in its scratch directories.
    #[serde(deserialize_with = "size")]
    pub scratch: Option<u64>,
    /// Files, directories and links there.
    pub scratch_entries: Option<NonZeroU32>,
    /// Files that it holds open.
    pub open_files: Option<NonZeroU32>,
    /// Tools that it calls, those that its tools call included. 0: none.
    pub tool_calls: Option<u32>,
}

impl Maxima {
    /// The limits of an attempt, as the sandbox takes them. Those of workflow files are narrowed, too: what is shown of a
    /// plugin without a workflow file is what such a file gets that says nothing.
    pub fn apply(&self, default: CallLimits) -> CallLimits {
        let bytes = |set: Option<u64>, default: usize| set.map_or(default, whole);
        let most = |set: Option<u64>, default: usize| set.map_or(default, |set| whole(set).min(default));
        let pieces =
            |set: Option<NonZeroU32>, default: usize| set.map_or(default, |set| whole(set.get().into()));
        CallLimits {
            memory_bytes_max: most(self.memory, default.memory_bytes_max),
            wall_ms: default.wall_ms,
            cpu_ms: self.cpu.map_or(default.cpu_ms, |set| set.min(default.cpu_ms)),
            output_bytes_max: most(self.output, default.output_bytes_max),
            log_bytes_max: most(self.log, default.log_bytes_max),
            progress_bytes_max: bytes(self.progress, default.progress_bytes_max),
            host_call_bytes_max: bytes(self.host_calls, default.host_call_bytes_max),
            table_elements_max: pieces(self.table_elements, default.table_elements_max),
            handles_max: pieces(self.handles, default.handles_max),
            scratch_bytes_max: self.scratch.unwrap_or(default.scratch_bytes_max),
            scratch_entries_max: pieces(self.scratch_entries, default.scratch_entries_max),
            open_files_max: pieces(self.open_files, default.open_files_max),
            tool_calls_max: self.tool_calls.map_or(default.tool_calls_max, |set| whole(set.into())),
        }
    }
}

/// `[compile]`: bounds of the process that compiles one plugin; none: as [`bandstand_sandbox::Compiler`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// Its address space.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// From its start to its answer, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub time: Option<u64>,
    /// How much compiled code is kept.
    #[serde(deserialize_with = "size")]
    pub cache: Option<u64>,
}

/// `[quarantine]`: as the driver has it by default, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Quarantine {
    /// `false`: never.
    pub enabled: Option<bool>,
    /// So many faults in a row, over all runs.
    pub faults: Option<NonZeroU32>,
    /// From then to the first attempt that is let through, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cool_down: Option<u64>,
    /// It doubles up to this, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cool_down_max: Option<u64>,
}

impl Quarantine {
    /// As the driver takes it.
    pub fn settings(&self) -> bandstand_driver::Quarantine {
        let default = bandstand_driver::Quarantine::default();
        let cool_down_ms = self.cool_down.unwrap_or(default.cool_down_ms);
        bandstand_driver::Quarantine {
            enabled: self.enabled.unwrap_or(default.enabled),
            faults: self.faults.map_or(default.faults, NonZeroU32::get),
            cool_down_ms,
            cool_down_max_ms: self.cool_down_max.unwrap_or(default.cool_down_max_ms.max(cool_down_ms)),
        }
    }
}

/// `[retention]`: what is kept of all ended runs, and what narrower tables say of some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// Since their end, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// How many, the newest.
    pub count: Option<u64>,
    /// How much they may take together, in bytes.
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// Runs that ended so.
    pub status: BTreeMap<EndedStatus, KeptSome>,
    /// Runs of a workflow, by its name.
    pub workflow: BTreeMap<String, KeptWorkflow>,
}

/// `[retention.workflow.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeptWorkflow {
    /// As in [`Kept`].
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// As in [`Kept`].
    pub count: Option<u64>,
    /// As in [`Kept`].
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// All of them, whatever wider tables say.
    pub all: bool,
    /// Of these, runs that ended so.
    pub status: BTreeMap<EndedStatus, KeptSome>,
}

/// `[retention.status.STATUS]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeptSome {
    /// As in [`Kept`].
    #[serde(deserialize_with = "duration")]
    pub age: Option<u64>,
    /// As in [`Kept`].
    pub count: Option<u64>,
    /// As in [`Kept`].
    #[serde(deserialize_with = "size")]
    pub size: Option<u64>,
    /// All of them, whatever wider tables say.
    pub all: bool,
}

/// How a run can have ended. Others are never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // the words of `RunStatus`
pub enum EndedStatus {
    Succeeded,
    Failed,
    Cancelled,
    Killed,
}

impl Kept {
    /// As the store takes it.
    pub fn rules(&self) -> Retention {
        let some = |some: &KeptSome| Keep {
            age_ms: some.age,
            count: some.count,
            size_bytes: some.size,
            all: some.all,
        };
        let by_status = |workflow: Option<&String>, table: &BTreeMap<EndedStatus, KeptSome>| {
            let rule = |(status, kept): (&EndedStatus, &KeptSome)| Rule {
                workflow: workflow.cloned(),
                status: Some(RunStatus::from(*status)),
                keep: some(kept),
            };
            table.iter().map(rule).collect::<Vec<_>>()
        };
        let all = Keep { age_ms: self.age, count: self.count, size_bytes: self.size, all: false };
        let mut rules = vec![Rule { workflow: None, status: None, keep: all }];
        rules.extend(by_status(None, &self.status));
        for (name, kept) in &self.workflow {
            let keep = Keep { age_ms: kept.age, count: kept.count, size_bytes: kept.size, all: kept.all };
            rules.push(Rule { workflow: Some(name.clone()), status: None, keep });
            rules.extend(by_status(Some(name), &kept.status));
        }
        Retention { rules }
    }
}

impl From<EndedStatus> for RunStatus {
    fn from(status: EndedStatus) -> RunStatus {
        match status {
            EndedStatus::Succeeded => RunStatus::Succeeded,
            EndedStatus::Failed => RunStatus::Failed,
            EndedStatus::Cancelled => RunStatus::Cancelled,
            EndedStatus::Killed => RunStatus::Killed,
        }
    }
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
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or holds what is not known.
    pub fn read(path: &Path) -> Result<Config, Error> {
        let at = |source| Error::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(at)?.len() > SIZE_BYTES_MAX {
            return Err(Error::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(at)?;
        let mut config =
            Config::parse(&text).map_err(|problem| Error::Invalid { path: path.to_owned(), problem })?;
        config.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(config)
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
        let config: Config = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
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

impl SecretConfig {
    fn from(&self, folder: &Path) -> SecretFrom {
        match (&self.env, &self.file) {
            (Some(env), _) => SecretFrom::Env(env.clone()),
            (None, file) => SecretFrom::File(folder.join(file.clone().unwrap_or_default())),
        }
    }

    fn problem(&self, name: &str) -> Option<String> {
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

/// `["10.0.0.0/8"]`.
fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

/// `64MiB`, as in workflow files.
pub(super) fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed =
        [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)].into_iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(1_u64 << shift).filter(|bytes| *bytes > 0)
        });
    parsed
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a size such as `64MiB`")))
}

/// `10s`, as in workflow files.
pub(super) fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    span_ms(&text).map(Some).map_err(serde::de::Error::custom)
}

/// `500ms`, `10s`, `2m`, `1h`, `3d` in milliseconds.
///
/// # Errors
/// When it is none of these, or nothing.
pub fn span_ms(text: &str) -> Result<u64, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let parsed = units.into_iter().find_map(|(unit, factor)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(factor).filter(|ms| *ms > 0)
    });
    parsed.ok_or_else(|| format!("`{text}` is not a span such as `10s`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_read() {
        let text = "durability = \"process\"\n[grants]\n\"plugins/a.wasm\" = { memory = \"write\" }\n\
                    [limits]\nmemory = \"128MiB\"\ncpu = \"500ms\"\n[compile]\nmemory = \"8GiB\"\ntime = \"5m\"\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.durability, Durability::Process);
        assert_eq!(config.grants["plugins/a.wasm"].memory, Some(MemoryAccess::Write));
        assert_eq!(config.limits.memory, Some(128 << 20));
        assert_eq!(config.limits.cpu, Some(500));
        assert_eq!(config.limits.output, None);
        assert_eq!(config.compile, Compile { memory: Some(8 << 30), time: Some(300_000), cache: None });
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    // R7.4: what errors and `plugin inspect` call a setting is a key that this file takes, or one of workflow files.
    #[test]
    fn every_setting_that_is_named_is_there() {
        let named: Vec<bandstand_sandbox::Limit> = [
            CallLimits::default().all(),
            Settings {
                compiler: Some(bandstand_sandbox::Compiler::of_this_program([""])),
                ..Settings::default()
            }
            .all(),
            HttpLimits::default().all(),
        ]
        .concat();
        assert!(named.len() > 25);
        for no_key in ["host.cores", "limits.wall", "instances_max", "timeouts", "limits.memory-max"] {
            assert!(!is_a_key(no_key) && !is_in_workflow_files(no_key), "{no_key}");
        }
        for limit in named {
            match limit.set_by {
                bandstand_sandbox::SetBy::Host(key) => assert!(is_a_key(key), "{}: {key}", limit.name),
                bandstand_sandbox::SetBy::Workflow(key) => {
                    assert!(is_in_workflow_files(key), "{}: {key}", limit.name)
                }
                bandstand_sandbox::SetBy::Fixed => {}
            }
        }
        let mut found = 0;
        for name in named_in_texts(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))) {
            found += 1;
            assert!(is_a_key(&name) || is_in_workflow_files(&name), "an error names the setting `{name}`");
        }
        assert!(found > 15, "{found}");
    }

    /// `[table]` and `key`, with whatever value it takes.
    fn is_a_key(name: &str) -> bool {
        let Some((table, key)) = name.rsplit_once('.') else { return false };
        ["\"10s\"", "\"1MiB\"", "1", "true"]
            .iter()
            .any(|value| toml::from_str::<Config>(&format!("[{table}]\n{key} = {value}\n")).is_ok())
    }

    fn is_in_workflow_files(name: &str) -> bool {
        let (node, plugin) = match name.split_once('.') {
            None => (format!("    {name}: 10s\n"), String::new()),
            Some(("limits", "cpu")) => (String::new(), ", limits: { cpu: 10s }".to_owned()),
            Some(("limits", key)) => (String::new(), format!(", limits: {{ {key}: 1MiB }}")),
            Some(_) => return false,
        };
        let text = format!(
            "format: 1\nname: w\nversion: 1\nplugins:\n  p: {{ builtin: echo{plugin} }}\nnodes:\n  n:\n    agent: p\n\
             {node}    next: end\n"
        );
        let features = bandstand_workflow::Features::default();
        let options = bandstand_workflow::Options { file: "w.yaml".to_owned(), resolver: None, features };
        bandstand_workflow::check(text.as_bytes(), &options).graph.is_some()
    }

    /// What stands behind `setting` or `settings` and looks like a key, in the texts of all errors.
    fn named_in_texts(folder: &Path) -> std::collections::BTreeSet<String> {
        let mut names = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    names.extend(named_in_texts(&path));
                }
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // A text that goes over two lines of the source is one line of the error.
            let text = text.replace("\\\n", " ");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for (at, _) in
                text.match_indices("(setting").chain(text.match_indices(concat!("\"set", "ting limits.")))
            {
                let rest = text[at + 1..].trim_start_matches("settings").trim_start_matches("setting");
                let Some(rest) = rest.strip_prefix(' ') else { continue };
                for word in rest.split(", ") {
                    let key: String = word
                        .chars()
                        .take_while(|c| c.is_ascii_lowercase() || *c == '-' || *c == '.')
                        .collect();
                    let key = key.trim_end_matches('.');
                    if !key.is_empty() && !word.starts_with('{') && !word.contains("{name}") {
                        names.insert(key.to_owned());
                    }
                    if word.contains(')') || word.contains('"') {
                        break;
                    }
                }
            }
        }
        names
    }

    // R7.4
    #[test]
    fn limits_of_the_host_are_set_in_part() {
        let config = Config::parse(
            "[host]\ninstances = 4\nqueue = 0\nqueue-wait = \"1s\"\nmemory = \"1GiB\"\nscratch = \"2MiB\"\n\
             [limits]\nhost-calls = \"1MiB\"\nmemory = \"1GiB\"\ncpu = \"1s\"\nopen-files = 7\n\
             [http]\nrequests = 3\nfirst-byte = \"5s\"\nresponse-body = \"1MiB\"\n",
        )
        .unwrap();
        let settings = config.host.apply(Settings::default());
        assert_eq!((settings.instances_max, settings.queue_max, settings.queue_wait_ms_max), (4, 0, 1_000));
        assert_eq!((settings.memory_bytes_total_max, settings.scratch_bytes_total_max), (1 << 30, 2 << 20));
        assert_eq!(settings.component_bytes_max, Settings::default().component_bytes_max);
        let attempt = config.limits.apply(CallLimits::default());
        assert_eq!((attempt.host_call_bytes_max, attempt.open_files_max), (1 << 20, 7));
        // A maximum gives nobody more than was asked for.
        assert_eq!((attempt.memory_bytes_max, attempt.cpu_ms), (64 << 20, 1_000));
        let http = config.outgoing().limits;
        assert_eq!(
            (http.requests_max, http.first_byte_ms, http.response_body_bytes_max),
            (3, 5_000, 1 << 20)
        );
        assert_eq!(http.requests_per_attempt_max, HttpLimits::default().requests_per_attempt_max);
    }

    // R5.7
    #[test]
    fn what_is_kept_is_said_by_workflow_and_status() {
        let text = "[retention]\nage = \"30d\"\nsize = \"2GiB\"\n[retention.status.failed]\nage = \"90d\"\n\
                    [retention.workflow.triage]\ncount = 500\n\
                    [retention.workflow.\"audit log\".status.succeeded]\nall = true\n";
        let rules = Config::parse(text).unwrap().retention.rules().rules;
        let rule = |workflow: Option<&str>, status, keep| Rule {
            workflow: workflow.map(str::to_owned),
            status,
            keep,
        };
        let keep = Keep::default();
        let day = 86_400_000;
        assert_eq!(
            rules,
            [
                rule(None, None, Keep { age_ms: Some(30 * day), size_bytes: Some(2 << 30), ..keep }),
                rule(None, Some(RunStatus::Failed), Keep { age_ms: Some(90 * day), ..keep }),
                rule(Some("audit log"), None, keep),
                rule(Some("audit log"), Some(RunStatus::Succeeded), Keep { all: true, ..keep }),
                rule(Some("triage"), None, Keep { count: Some(500), ..keep }),
            ]
        );
        assert!(Config::parse("").unwrap().retention.rules().is_empty());
    }

    // R1.10
    #[test]
    fn quarantine_is_set_in_part_or_switched_off() {
        let settings = |text: &str| Config::parse(text).unwrap().quarantine.settings();
        let default = bandstand_driver::Quarantine::default();
        assert_eq!(settings(""), default);
        let set = settings("[quarantine]\nfaults = 3\ncool-down = \"1h\"\n");
        assert_eq!((set.faults, set.cool_down_ms, set.cool_down_max_ms), (3, 3_600_000, 3_600_000));
        assert!(set.enabled && !settings("[quarantine]\nenabled = false").enabled);
    }

    #[test]
    fn what_is_unknown_or_malformed_is_refused_with_its_place() {
        for (text, expected) in [
            ("durabilty = \"full\"", "durabilty"),
            ("[grants]\n\"a.wasm\" = { network = true }", "network"),
            ("[grants]\n\"sha256:abc\" = { memory = \"read\" }", "64 hexadecimal"),
            ("[limits]\nmemory = \"lots\"", "lots"),
            ("[limits]\ncpu = \"0s\"", "0s"),
            ("[limits", "line 1"),
            ("[compile]\ncores = 3", "`cores`, expected one of `memory`, `time`, `cache`"),
            ("[retention]\ncuont = 3", "`cuont`, expected one of `age`, `count`, `size`"),
            ("[retention]\nage = \"soon\"", "soon"),
            ("[retention]\ncount = -1", "count"),
            ("[retention.status.waiting]\ncount = 1", "`waiting`, expected one of `succeeded`, `failed`"),
            (
                "[quarantine]\nfault = 3",
                "`fault`, expected one of `enabled`, `faults`, `cool-down`, `cool-down-max`",
            ),
            ("[quarantine]\nfaults = 0", "nonzero"),
            ("[quarantine]\ncool-down = \"soon\"", "soon"),
            ("[quarantine]\ncool-down-max = \"1s\"", "`cool-down-max` is shorter than `cool-down`"),
            ("[http]\nnetworks = [\"10.0.0.0/40\"]", "no network"),
            ("[http]\nproxy = \"x\"", "proxy"),
            ("[host]\ninstances = 0", "nonzero"),
            ("[host]\ninstances = 5000", "4096 at most"),
            ("[host]\ncores = 3", "`cores`, expected one of `instances`"),
            ("[grants]\n\"a.wasm\" = { env = [\"BANDSTAND_DATA\"] }", "the host's own"),
            ("[grants]\n\"a.wasm\" = { env = [\"OPENAI_API_KEY\"] }", "holds the key of a model"),
            ("[grants]\n\"a.wasm\" = { env = [\"A=B\"] }", "no name"),
            ("[grants]\n\"a.wasm\" = { files = [\"../data\"] }", "no path inside the project"),
            ("[grants]\n\"a.wasm\" = { files = [\"/data\"] }", "no path inside the project"),
            (
                "[grants]\n\"a.wasm\" = { env = [\"K\"] }\n[models.m]\nprovider = \"openai\"\nmodel = \"x\"\nkey-env = \"K\"",
                "holds the key of a model",
            ),
            (
                "[grants]\n\"a.wasm\" = { env = [\"S\"] }\n[secrets.s]\nenv = \"S\"\nhosts = [\"https://a.example\"]",
                "holds a secret",
            ),
            (
                "[secrets.A]\nenv = \"A\"\n[grants]\n\"a.wasm\" = { secrets = [\"A\"] }",
                "has no `hosts`, so it goes nowhere",
            ),
            (
                "[grants]\n\"a.wasm\" = { env = [\"N\"] }\n[notify.n]\nurl = \"https://a.example/\"\nsecret = { env = \"N\" }",
                "holds the key of a [notify]",
            ),
            ("[secrets.A]\nhosts = [\"https://a.example\"]", "either `env"),
            ("[secrets.A]\nenv = \"A\"\nfile = \"a\"\nhosts = [\"https://a.example\"]", "either `env"),
            ("[secrets.A]\nenv = \"A\"\nhosts = [\"a.example\"]", "no origin"),
            ("[secrets.A]\nenv = \"A\"\nhosts = [\"http://a.example\"]", "https only"),
            ("[secrets.\"a b\"]\nenv = \"A\"\nhosts = [\"https://a.example\"]", "letters, digits"),
            ("[secrets.A]\nvalue = \"x\"\nhosts = [\"https://a.example\"]", "value"),
            ("[grants]\n\"a.wasm\" = { secrets = [\"A\"] }", "no secret `A`"),
            ("[grants]\n\"a.wasm\" = { http = [\"a.example\"] }", "no origin"),
            ("[retention.workflow.w]\nkeep = true", "`keep`, expected one of `age`"),
        ] {
            let problem = Config::parse(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
