//! `bandstand.toml`: what the operator permits. Every key is optional; an unknown one is an error.
//! Where the file is looked for is [`super::directory`]'s business, what follows from it [`super::permits`]'s.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use bandstand_engine::graph::{ClockGrant, HttpOrigin, MemoryAccess};
use bandstand_sandbox::{Network, origin_problem};
use bandstand_store::{Keep, Retention, Rule, RunStatus};
use serde::Deserialize;

use super::models::{self, BudgetSettings, Choices};
use super::tools::ToolSettings;
use crate::host::{Outgoing, SecretFrom, SecretSource};

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
    /// The most that a workflow file may ask for.
    pub limits: Maxima,
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
    /// Where the file lies; paths in it begin there.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Networks that are not public and that granted origins may lead to all the same: `127.0.0.0/8`.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
    /// Files with certificates of authorities beside the usual ones, PEM.
    pub authorities: Vec<PathBuf>,
}

/// `[secrets.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretConfig {
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<PathBuf>,
    /// The origins it may go to.
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

/// Maxima of the limits of plugins; none: as the file asks.
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
    /// Tools that one attempt may call, those that its tools call included; none: as the sandbox has it.
    pub tool_calls: Option<usize>,
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
        let secrets = self.secrets.iter().map(|(name, secret)| {
            let from = match (&secret.env, &secret.file) {
                (Some(env), _) => SecretFrom::Env(env.clone()),
                (None, file) => SecretFrom::File(at(&file.clone().unwrap_or_default())),
            };
            (name.clone(), SecretSource { from, hosts: secret.hosts.clone() })
        });
        Outgoing {
            networks: self.http.networks.clone(),
            authorities: self.http.authorities.iter().map(at).collect(),
            secrets: secrets.collect(),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let quarantine = config.quarantine.settings();
        if quarantine.cool_down_max_ms < quarantine.cool_down_ms {
            return Err("[quarantine] `cool-down-max` is shorter than `cool-down`".to_owned());
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
        match models::problem(&config) {
            Some(problem) => Err(problem),
            None => Ok(config),
        }
    }
}

impl SecretConfig {
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
        if self.hosts.is_empty() {
            return Some(
                "`hosts` lists the origins it may go to, such as [\"https://api.example.com\"]".to_owned(),
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
        assert_eq!(config.compile, Compile { memory: Some(8 << 30), time: Some(300_000) });
        assert_eq!(Config::parse("").unwrap(), Config::default());
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
            ("[compile]\ncores = 3", "`cores`, expected `memory` or `time`"),
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
            ("[secrets.A]\nenv = \"A\"", "hosts"),
            ("[secrets.A]\nenv = \"A\"\nhosts = []", "lists the origins"),
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
