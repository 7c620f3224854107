//! All that is known of one run (R5.3), as `bandstand runs show --json` prints it and `GET /runs/RUN` gives it. What people
//! read on a terminal is made of this too, so that it is the same for a run that a server holds elsewhere.

use std::collections::BTreeMap;

use bandstand_engine::event::{AskedBy, RouteDecided};
use bandstand_engine::input::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Quarantine, RunSummary};

/// All that is known of one run. Of long lists the newest entries are there; `cut` says how many are not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// What lists show of it. Its `problem` says also why the run cannot be folded, if it cannot.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Events so far.
    pub events: u64,
    /// From its start to its end, or to now. Milliseconds.
    pub duration_ms: u64,
    /// What it was given.
    pub input: Option<Value>,
    /// What it is made of.
    pub pins: Option<ReportPins>,
    /// The run that it comes from.
    pub from: Option<ReportLink>,
    /// Of a fork: what is different.
    pub edits: Vec<ReportEdit>,
    /// The forks and reruns that come from it.
    pub forks: Vec<ReportLink>,
    /// Its child runs.
    pub children: Vec<ReportLink>,
    /// When it was retried.
    pub retried: Vec<ReportRetried>,
    /// The stages, in order.
    pub stages: Vec<ReportStage>,
    /// What it waits for.
    pub waiting_for: Vec<WaitsFor>,
    /// Every failed attempt, and every failed visit.
    pub errors: Vec<ReportError>,
    /// Visits that were tried more than once, or failed.
    pub retries: Vec<ReportRetries>,
    /// Its reviews, in order of opening.
    pub reviews: Vec<ReportReview>,
    /// Every choice by confidence.
    pub routing: Vec<ReportRoute>,
    /// Every block.
    pub parallel: Vec<ReportBlock>,
    /// What each node took, by its place in the file.
    pub nodes: Vec<ReportNode>,
    /// Visits that ended by a kept reply.
    pub cached: Vec<ReportCached>,
    /// The named points that it passed.
    pub checkpoints: Vec<ReportCheckpoint>,
    /// Every signal.
    pub signals: Vec<ReportSignal>,
    /// What all attempts together cost.
    pub usage: Usage,
    /// Attempts that were cut off by the death of a host.
    pub interruptions: u32,
    /// What the run should be told about.
    pub warnings: Vec<ReportWarning>,
    /// How many entries of each list are older than those that are shown.
    pub cut: BTreeMap<String, u64>,
    /// The latest audit entries of its thread, oldest first.
    pub audit: Vec<ReportAudit>,
    /// Whether there are earlier ones.
    pub audit_cut: bool,
    /// Its channels; none: they cannot be told.
    pub state: Option<Value>,
    /// Why the run cannot be folded, so that there is no `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What it came to, if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::page::present")]
    pub result: Option<Value>,
    /// Why it failed, if it did.
    pub error: Option<VisibleError>,
    /// Who cancelled it.
    pub cancelled: Option<ByWhom>,
    /// Who killed it.
    pub killed: Option<ByWhom>,
    /// Who paused it, if it is.
    pub paused: Option<PausedBy>,
}

/// What a run is made of, for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportPins {
    /// Digest of the workflow's text.
    pub source: String,
    /// Digest of its graph.
    pub graph: String,
    /// Digest of each plugin.
    pub plugins: BTreeMap<String, String>,
    /// The host that began it.
    pub host_version: String,
}

/// A run that this one comes from, or that comes from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportLink {
    /// That run.
    pub run_id: String,
    /// `fork`, `rerun` or `child`.
    pub kind: String,
    /// Of a fork: from which event on.
    pub seq: Option<u64>,
    /// Of a child: the attempt that it is.
    pub path: Option<String>,
}

/// What is different in a fork.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportEdit {
    /// `state.CHANNEL...` or `input.MEMBER...`.
    pub path: String,
    /// What it became.
    pub value: Option<Value>,
}

/// A retry by hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRetried {
    /// When.
    pub at: String,
    /// By whom.
    pub by: String,
}

/// A stage that was entered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportStage {
    /// Its name.
    pub stage: String,
    /// When.
    pub at: String,
    /// By which visit.
    pub path: String,
}

/// What a run waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(missing_docs, reason = "each member is what its name says, as in the journal")]
pub enum WaitsFor {
    /// The time at which it is to start.
    Start { until: String },
    /// A plugin that is in quarantine.
    Plugin {
        path: String,
        attempt: u32,
        until: Option<String>,
        plugin: String,
        digest: String,
        quarantine: Quarantine,
    },
    /// Its thread.
    Thread { thread_id: Option<String>, behind: Option<String> },
    /// A person's answer.
    Review { path: String, until: String, review_id: String, title: String },
    /// A signal.
    Signal { path: String, until: Option<String>, signal: String },
    /// A child run.
    Child { path: String, until: Option<String>, run_id: String },
    /// A time.
    Wait { path: String, until: String },
    /// The time of another attempt.
    Retry { path: String, until: String },
}

/// An error as expressions see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VisibleError {
    /// What kind of thing.
    pub class: String,
    /// Finer than the class.
    pub code: String,
    /// What, where, what to do.
    pub message: String,
    /// The node.
    pub node: Option<String>,
    /// The visit.
    pub path: String,
    /// The attempt that it ended.
    pub attempt: u32,
    /// Attempts made or allowed.
    pub attempts: u32,
    /// Whether another attempt may help.
    pub recoverable: bool,
    /// The agent's own data.
    pub data: Option<Value>,
}

/// A failed attempt, or a failed visit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportError {
    /// What went wrong.
    #[serde(flatten)]
    pub error: VisibleError,
    /// The error's id.
    pub id: String,
    /// When.
    pub at: String,
    /// `attempt` or `node`.
    pub of: String,
    /// The plugin, by the workflow's name for it.
    pub plugin: Option<String>,
    /// The strategy in force; none: this is the visit's failure.
    pub strategy: Option<String>,
    /// Whether retries were allowed and used up.
    pub exhausted: bool,
    /// Whether the workflow went on by `on-failure`.
    pub caught: bool,
    /// The guest's frames.
    pub backtrace: Option<String>,
    /// The guest's panic text and the tail of its output.
    pub last_words: Option<String>,
}

/// How often a visit was tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRetries {
    /// The visit.
    pub path: String,
    /// Attempts made.
    pub attempt: u32,
    /// Attempts allowed; 0: that is not known.
    pub attempts_max: u32,
}

/// A review and what was said about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportReview {
    /// Its id.
    pub review_id: String,
    /// The visit.
    pub path: String,
    /// Who asks.
    pub asked_by: AskedBy,
    /// One line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// What is proposed, edits included.
    pub proposed: Value,
    /// `user:ID` or `group:ID`.
    pub reviewers: Vec<String>,
    /// Approvals that are needed.
    pub quorum: u32,
    /// When it opened.
    pub opened_at: String,
    /// When it expires.
    pub deadline: String,
    /// What happens then.
    pub on_timeout: String,
    /// What it came to; none: it is open.
    pub outcome: Option<String>,
    /// The answers, in order.
    pub answers: Vec<Value>,
}

/// A choice by confidence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportRoute {
    /// The choice.
    #[serde(flatten)]
    pub route: RouteDecided,
    /// When.
    pub at: String,
}

/// A block and its branches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportBlock {
    /// The visit.
    pub path: String,
    /// `map` or `parallel`.
    pub kind: String,
    /// Branches or items.
    pub size: u64,
    /// Whether the join was satisfied; none: not decided.
    pub satisfied: Option<bool>,
    /// The branches that ended, in order of ending.
    pub ended: Vec<ReportBranch>,
    /// What those gave that succeeded.
    pub results: Value,
    /// Why the others failed.
    pub errors: Value,
    /// What each took. Milliseconds.
    pub times: Value,
}

/// A branch that ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportBranch {
    /// Its name, or its item's number.
    pub branch: Value,
    /// `succeeded`, `failed`, `skipped` or `cancelled`.
    pub outcome: String,
    /// What it took. Milliseconds.
    pub took_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<VisibleError>,
}

/// What visits of one node took.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each member is what its name says; the history has the same")]
pub struct ReportNode {
    pub node: String,
    pub visits: u32,
    pub failed: u32,
    pub attempts: u32,
    pub cached: u32,
    pub total_ms: u64,
    pub longest_ms: u64,
    pub cpu_us: u64,
    pub model_calls: u64,
    pub model_ms: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub cost_micros: u64,
    /// The tools that it called.
    pub tools: Vec<ReportTool>,
}

/// What calls of one tool took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportTool {
    /// The tool.
    pub name: String,
    /// How often it was called.
    pub calls: u64,
    /// How often that failed.
    pub failed: u64,
    /// What it took. Milliseconds.
    pub took_ms: u64,
}

/// A visit that ended by a kept reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportCached {
    /// The visit.
    pub path: String,
    /// When.
    pub at: String,
    /// The run whose reply it was.
    pub from_run: String,
    /// The visit whose reply it was.
    pub from_path: String,
    /// Whether that run is gone.
    pub from_is_gone: bool,
}

/// A named point that was passed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportCheckpoint {
    /// Its name.
    pub name: String,
    /// The visit after which it stands.
    pub path: String,
    /// When.
    pub at: String,
    /// The number of the event.
    pub seq: u64,
}

/// A signal, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportSignal {
    /// Its id.
    pub signal_id: String,
    /// Its name.
    pub name: String,
    /// When it came.
    pub at: String,
    /// Who sent it.
    pub by: String,
    /// What it says.
    pub data: Value,
    /// The wait that took it.
    pub taken_by: Option<String>,
    /// When.
    pub taken_at: Option<String>,
}

/// What the run should be told about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportWarning {
    /// When.
    pub at: String,
    /// The visit.
    pub path: String,
    /// What.
    pub message: String,
}

/// An audit entry, as agents see it in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReportAudit {
    /// Its id.
    pub id: String,
    /// When.
    pub at: String,
    /// For whom the run was.
    pub user_id: Option<String>,
    /// The thread.
    pub thread_id: Option<String>,
    /// Who wrote it.
    pub source: String,
    /// What was done.
    pub action: String,
    /// What there is to say of it.
    pub payload: Value,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Who ended a run, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ByWhom {
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Who paused a run, when and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PausedBy {
    /// Who.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: String,
}
