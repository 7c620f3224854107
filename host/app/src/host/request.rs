//! What callers hand to a host and get back: the vocabulary shared by [`Host`](super::Host), the socket and the
//! command line.

use std::path::PathBuf;
use std::sync::Arc;

use bandstand_engine::event::Event;
use bandstand_engine::input::{By, Verdict};
use bandstand_engine::{Graph, Status, Timestamp};
use bandstand_model::Models;
use bandstand_sandbox::{CallLimits, Compiler, Settings};
use bandstand_store::Retention;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lending::Lending;
use super::notify::Notify;
use super::outgoing::Outgoing;
use super::uses::Uses;
use crate::telemetry::Otlp;
pub use bandstand_driver::Limits;

/// How a host is to be opened.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where journal, plugins and socket live; created when missing.
    pub data_dir: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// How many calls may go on at once.
    pub limits: Limits,
    /// Which runs it makes go on.
    pub drive: Drive,
    /// Which ended runs it keeps, if it drives all; without rules, all.
    pub retention: Retention,
    /// The processes that compile plugins; none: the host's own does, so an untrusted plugin can take its memory and time.
    pub compiler: Option<Compiler>,
    /// What HTTP requests of agents may reach beside the public internet, and their secrets.
    pub outgoing: Outgoing,
    /// The language models of agents.
    pub models: Models,
    /// Who is told when reviews and runs end, if it drives all runs.
    pub notify: Notify,
    /// What plugins may be lent of the host's directories and environment.
    pub lending: Lending,
    /// How large the sandbox is; its folders and its compiler are set when it opens.
    pub sandbox: Settings,
    /// The limits of an attempt as far as no workflow file says.
    pub attempt: CallLimits,
    /// Where traces go; none: nowhere.
    pub otlp: Option<Otlp>,
}

impl HostOptions {
    /// A durable host with the default limits, which drives what it is told to.
    pub fn new(data_dir: impl Into<PathBuf>) -> HostOptions {
        HostOptions {
            data_dir: data_dir.into(),
            durability: Durability::Full,
            limits: Limits::default(),
            drive: Drive::Only(Vec::new()),
            retention: Retention::default(),
            compiler: None,
            outgoing: Outgoing::default(),
            models: Models::default(),
            notify: Notify::default(),
            lending: Lending::default(),
            sandbox: Settings::default(),
            attempt: CallLimits::default(),
            otlp: None,
        }
    }
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The death of the machine.
    #[default]
    Full,
    /// The death of the process only; faster.
    Process,
}

/// Which runs a host makes go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drive {
    /// These, those it starts, and those it is told to drive.
    Only(Vec<String>),
    /// Every open run of the data directory.
    All,
}

/// A run to be started.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// The checked workflow.
    pub graph: Arc<Graph>,
    /// The workflow file's text; kept, and pinned by digest.
    pub source: String,
    /// The bytes of the graph's plugins and of its children's, read once and checked by the caller against `digest` pins
    /// of the files. The host keeps them by digest.
    pub plugins: Uses<Arc<[u8]>>,
    /// What the run is given.
    pub input: Value,
    /// Runs of one thread share memory.
    pub thread_id: Option<String>,
    /// For whom it runs.
    pub user_id: Option<String>,
    /// The same id again finds the same run.
    pub request_id: Option<String>,
    /// Digest of what was asked, as it was sent; a request of that id with another one is refused. None: what it leads to is
    /// compared.
    pub request_digest: Option<String>,
    /// When the run is to begin; none, or a time that has passed: at once.
    pub start_at: Option<Timestamp>,
    /// Who else begins it, or began what it comes from, beside `user_id`: with `self-approval: false` none of them approves.
    pub starters: Vec<String>,
    /// Spans of other traces that led to it, as `traceparent` writes them.
    pub linked: Vec<String>,
    /// Source of the run's randomness; none: the host picks one.
    pub seed: Option<u64>,
    /// The run that it does again from the start.
    pub rerun_of: Option<String>,
}

impl StartRequest {
    /// A run of that workflow of which nothing else is said: its input is `null`.
    pub fn of(graph: Arc<Graph>, source: String, plugins: Uses<Arc<[u8]>>) -> StartRequest {
        StartRequest {
            graph,
            source,
            plugins,
            input: Value::Null,
            thread_id: None,
            user_id: None,
            request_id: None,
            request_digest: None,
            start_at: None,
            starters: Vec::new(),
            linked: Vec::new(),
            seed: None,
            rerun_of: None,
        }
    }
}

/// A workflow that is served: checked, its plugins in the data directory.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The checked workflow, with the limits that hold here.
    pub graph: Arc<Graph>,
    /// The workflow file's text.
    pub source: Arc<str>,
    /// The digest of each plugin.
    pub plugins: Uses<String>,
}

impl Deployed {
    /// What [`Host::start_deployed`](super::Host::start_deployed) takes beside it, with nothing said of the run: text and
    /// plugins are its own.
    pub fn request(&self) -> StartRequest {
        StartRequest::of(self.graph.clone(), String::new(), Uses::default())
    }
}

/// A run is to go on elsewhere, from one of its points.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForkRequest {
    /// The run that is left as it is.
    pub run_id: String,
    /// How many of its events are adopted; in the middle of a decision, the point before it.
    pub seq: u64,
    /// What is different: `state.CHANNEL...` or `input.MEMBER...`, and what it becomes.
    pub edits: Vec<(String, Value)>,
    /// Another workflow than the one that the run pins.
    pub latest: Option<Box<Latest>>,
    /// The same id again finds the same fork.
    pub request_id: Option<String>,
    /// As of a [`StartRequest`].
    #[serde(default)]
    pub request_digest: Option<String>,
    /// Who begins it: with `self-approval: false` neither they nor who began the other run approve.
    #[serde(default)]
    pub starters: Vec<String>,
    /// Spans of other traces that led to it, as `traceparent` writes them.
    #[serde(default)]
    pub linked: Vec<String>,
}

/// A workflow as it is now; its plugins are in the data directory already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latest {
    /// The checked workflow.
    pub graph: Graph,
    /// The workflow file's text.
    pub source: String,
    /// The digest of each plugin.
    pub plugins: Uses<String>,
}

/// Who wants a failed run to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetryRequest {
    /// The run.
    pub run_id: String,
    /// Who.
    pub by: By,
    /// The same id again is the same request.
    pub request_id: Option<String>,
}

/// A person's answer to a review, as the command line and the socket carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRequest {
    /// The run that asks.
    pub run_id: String,
    /// Which review.
    pub review_id: String,
    /// Who answers: a bare user id.
    pub reviewer: String,
    /// The groups they belong to.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Approved or rejected.
    pub decision: Verdict,
    /// What they say.
    #[serde(default)]
    pub comments: String,
    /// JSON merge patch of what is proposed.
    #[serde(default)]
    pub changes: Option<Value>,
    /// The id of the latest edit they saw.
    #[serde(default)]
    pub saw: Option<String>,
    /// How sure they are, 0 to 1.
    #[serde(default)]
    pub confidence: Option<f64>,
    /// The same id again is the same answer.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// How an answer or a verb was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// It changed the run, durably.
    Changed,
    /// It was known already; nothing changed.
    Known,
}

/// A signal for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalRequest {
    /// The run.
    pub run_id: String,
    /// The signal's name, as a `wait` of the workflow has it.
    pub name: String,
    /// What it says.
    pub data: Value,
    /// Who sends it.
    pub by: By,
    /// The same id again is the same signal.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// What people may want of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Steering {
    /// Nothing new starts.
    Pause,
    /// A paused run carries on.
    Resume,
    /// It ends, in order.
    Cancel,
    /// It ends at once.
    Kill,
}

impl Steering {
    /// The verb of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Steering::Pause => "pause",
            Steering::Resume => "resume",
            Steering::Cancel => "cancel",
            Steering::Kill => "kill",
        }
    }
}

/// Who wants what of a run, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteerRequest {
    /// The run.
    pub run_id: String,
    /// What.
    pub steering: Steering,
    /// Who.
    pub by: By,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Something to show about a run that is watched.
#[derive(Clone, Debug)]
pub enum Watched {
    /// One row of its journal, durable.
    Published(Published),
    /// A log line or a sign of life; some may be missing.
    Live(Live),
    /// Nothing more comes: it has ended, or only a person can move it. [`Watch::next`](super::Watch::next) gives it
    /// once; after that a watch goes on only when the run does.
    Settled(Settled),
}

/// One row of a run's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The run.
    pub run_id: String,
    /// Number of its first event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What one decision led to.
    pub events: Arc<Vec<Event>>,
}

/// What an attempt says while it works. Not part of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The run.
    pub run_id: String,
    /// The attempt, as `PATH#ATTEMPT`.
    pub command_id: String,
    /// What it says.
    pub what: LiveKind,
    /// Of a node with `stream`: which part of that it is. Started, held and log lines are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamPart>,
}

/// A part of what a node says in public, under the name that the workflow gives it. Parts may be missing: their numbers
/// show it. Of a later attempt the first part says [`LiveKind::Restart`]: what came before counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamPart {
    /// `stream` of the node.
    pub name: String,
    /// The visit.
    pub path: String,
    /// Its number at its node.
    pub visit: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Which part of the attempt's, from 0.
    pub sequence: u64,
}

/// What an attempt says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LiveKind {
    /// It does not begin: its plugin is in quarantine. May be told again, and with another time.
    Held {
        /// Why, in a word: `breaker`.
        because: String,
        /// The plugin, by digest.
        plugin: String,
        /// Since when it is in quarantine.
        since: Option<Timestamp>,
        /// When an attempt on it is let through next, to see whether it works.
        probe_at: Option<Timestamp>,
        /// The last fault of the plugin.
        fault: String,
    },
    /// It has its instance and begins. Shown as `running`; before that the attempt is queued.
    Started,
    /// A line of its log.
    Log {
        /// `trace`, `debug`, `info`, `warn` or `error`.
        level: String,
        /// The line.
        message: String,
        /// JSON object, or empty.
        fields: String,
    },
    /// How far it is.
    Progress {
        /// 0 to 1.
        fraction: Option<f64>,
        /// What it does.
        message: String,
    },
    /// A piece of text it produces.
    Chunk(String),
    /// A stream begins anew: an attempt that is not the first, or that the death of a host cut off, begins.
    Restart,
}

impl LiveKind {
    /// What it is called in streams and in the JSON of the command line.
    pub fn name(&self) -> &'static str {
        match self {
            LiveKind::Held { .. } => "live.held",
            LiveKind::Started => "live.started",
            LiveKind::Restart => "live.restart",
            LiveKind::Log { .. } => "live.log",
            LiveKind::Progress { .. } => "live.progress",
            LiveKind::Chunk(_) => "live.chunk",
        }
    }
}

/// Why a run does not go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// It has ended.
    Ended(Status),
    /// A person paused it: only a person can resume it.
    Paused,
    /// Only a person can move it.
    WaitingForPeople {
        /// Ids of the reviews that are open, in order of their deadlines.
        reviews: Vec<String>,
    },
    /// It waits for its thread, and only a person can move the run that has it.
    QueuedBehind {
        /// That run.
        run_id: String,
    },
    /// The host cannot go on with it: damage, or a newer journal.
    Stuck(String),
}
