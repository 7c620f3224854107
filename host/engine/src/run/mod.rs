//! The contract of the engine: one run as a state machine.
//!
//! - [`Start::new`] checks the input and computes the first state; [`Run::start`] begins.
//! - [`Run::handle`] takes one [`Input`] and the time, decides, applies its events at once and says what changed.
//!   Completions are never refused, only [`Outcome::Stale`]; people's inputs can be [`Rejected`].
//! - [`Run::owed`] is everything to be done now, [`Run::next_deadline`] when to come back with a [`Input::Tick`].
//! - [`Run::fold`] makes a run of its events. It evaluates no expression, policy, default or random number.
//!
//! Memory may run ahead of the disk, the world may not: a driver appends a decision's events first and acts on `opened`
//! and `closed` when they are durable. A command stays in flight until the input that ends it was handled.
//!
//! `state` holds what a run is, `apply` folds events into it, `decide` and its siblings (one file for each concern)
//! choose events. Not here: queues, clocks, storage, the calls themselves.

mod advance;
mod answer;
mod apply;
mod attempt;
mod block;
mod cached;
mod child;
mod decide;
mod exit;
mod failing;
mod fork;
mod measured;
mod names;
mod point;
mod request;
mod retry;
mod signal;
mod state;
mod thread;
mod verb;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::Command;
use crate::event::{ChildPins, Event, Parent, Payload, PluginPin, RunStarted, WorkflowPin};
use crate::failure::ErrorRecord;
use crate::graph::{Graph, Stage};
use crate::id::Id;
use crate::input::{Input, Rejected};
use crate::path::{CommandId, Path};
use crate::time::Timestamp;

pub use child::ChildRun;
pub use failing::{JournalRow, NotRetried};
pub use fork::{Edit, EditPath, Fork, ForkError, NotAnEditPath};
pub use point::{NoPoint, Point};
pub use state::{OpenReview, Waiting};
pub use thread::ThreadNow;

/// Version of the deciding logic, recorded in `run.started`. It grows when the same inputs would give other events.
pub const RULES: u32 = 1;

/// A run begins so many days after it was asked for at the latest.
pub const START_DAYS_MAX: u32 = 366;

/// One run. Not shared: its driver owns it.
#[derive(Clone, Debug)]
pub struct Run {
    graph: Arc<Graph>,
    state: state::State,
    index: state::Index,
    /// The time of the input being handled.
    clock: Timestamp,
    /// Events of the decision being made.
    events: Vec<Event>,
    /// What is to be begun anew in it, of items that had been kept back.
    begins: block::Begins,
}

/// What a run is to begin with, checked: ids, input with its defaults, first values of the channels.
#[derive(Clone, Debug)]
pub struct Start(pub(crate) RunStarted);

/// What a caller says about a run to be started.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The run's id; no other run has it.
    pub run_id: String,
    /// Digest of the workflow file's text.
    pub source_digest: String,
    /// Digest of the graph's canonical JSON.
    pub graph_digest: String,
    /// The digest of each plugin of the graph.
    pub plugins: BTreeMap<Id, PluginPin>,
    /// The host's version.
    pub host_version: String,
    /// Source of all the run's randomness.
    pub seed: u64,
    /// Runs of one thread share memory.
    pub thread_id: Option<String>,
    /// For whom it runs.
    pub user_id: Option<String>,
    /// The input as given.
    pub input: Value,
    /// When it is to begin. `None`, or not later than now: at once.
    pub start_at: Option<Timestamp>,
    /// The request that asks for it.
    pub request_id: Option<String>,
    /// Digest of what it says.
    pub request_digest: Option<String>,
    /// Who else begins it, or began what it comes from, beside `user_id`.
    pub starters: Vec<String>,
    /// Spans of other traces that led to it, as `traceparent` writes them.
    pub linked: Vec<String>,
    /// The run that it does again from the start.
    pub rerun_of: Option<String>,
    /// The run whose attempt it is.
    pub parent: Option<Parent>,
    /// What its child runs will use.
    pub children: BTreeMap<Id, ChildPins>,
    /// How its thread is, if its workflow asks that ([`Graph::second_run`]) and it has one. `None`: it takes no part in the
    /// thread's state, and may go on beside other runs.
    pub thread: Option<ThreadNow>,
}

impl NewRun {
    /// With that id and input and nothing more: nothing is pinned, nobody is named, the seed is 0. For tests and
    /// measurements, which say what else matters to them before `..NewRun::new(run_id, input)`.
    pub fn new(run_id: impl Into<String>, input: Value) -> NewRun {
        NewRun {
            run_id: run_id.into(),
            source_digest: String::new(),
            graph_digest: String::new(),
            plugins: BTreeMap::new(),
            host_version: String::new(),
            seed: 0,
            thread_id: None,
            user_id: None,
            input,
            start_at: None,
            request_id: None,
            request_digest: None,
            starters: Vec::new(),
            linked: Vec::new(),
            rerun_of: None,
            parent: None,
            children: BTreeMap::new(),
            thread: None,
        }
    }
}

/// A run cannot start. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StartError {
    /// The input is not what the workflow asks for.
    #[error("the input does not fit workflow `{workflow}`: {problem}")]
    Input {
        /// The workflow's name.
        workflow: String,
        /// What is wrong, with its place.
        problem: String,
    },
    /// The input is above `limits.payload`.
    #[error(
        "the input has {bytes} bytes, above `limits.payload` = {bytes_max}; the workflow file can raise it to 16MiB"
    )]
    InputTooLarge {
        /// Its size as JSON.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The first value of a channel cannot be computed or does not fit.
    #[error("channel `{channel}` of workflow `{workflow}` cannot start: {problem}")]
    Channel {
        /// The workflow's name.
        workflow: String,
        /// The channel.
        channel: Id,
        /// What is wrong.
        problem: String,
    },
    /// It may write its thread, and is to begin later.
    #[error(
        "a run of workflow `{workflow}` takes its place in its thread when it is asked for, so it cannot begin later: leave out \
         the time or the thread"
    )]
    DelayedInThread {
        /// The workflow's name.
        workflow: String,
    },
    /// It is to begin too late.
    #[error("a run begins {START_DAYS_MAX} days from now at the latest, not on {at}")]
    TooLate {
        /// When it was to begin.
        at: Timestamp,
    },
}

/// What one input led to.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// To be appended, in one row. Empty unless something changed.
    pub events: Vec<Event>,
    /// Commands that are owed since: to be started once the events are durable.
    pub opened: Vec<CommandId>,
    /// Commands that are owed no longer: to be stopped once the events are durable.
    pub closed: Vec<CommandId>,
    /// Whether it mattered.
    pub outcome: Outcome,
}

/// Whether an input mattered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// There are events.
    Changed,
    /// Known already, or not yet time: nothing changed.
    #[default]
    Unchanged,
    /// It speaks of something that has ended.
    Stale,
}

/// Where a run stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Something is to be done now.
    Running,
    /// Nothing can move before a time or a person does.
    Waiting,
    /// Nothing new starts before a person resumes it.
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by somebody, in order.
    Cancelled,
    /// Ended by somebody, at once.
    Killed,
}

impl Status {
    /// The word, as CLI, API and metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Waiting => "waiting",
            Status::Paused => "paused",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Killed => "killed",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_ended(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed | Status::Cancelled | Status::Killed)
    }
}

/// Events that no run of this graph can have had: damage, or a newer host's journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} (`{event}`) does not follow from what was before: {problem}")]
pub struct Corrupt {
    /// The event's number, from 0.
    pub seq: u64,
    /// Its name.
    pub event: String,
    /// What is wrong.
    pub problem: String,
}

/// A run's whole state, portable: opening a run is its latest snapshot and the events since.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of this format; another one is ignored while the journal before it exists.
    pub version: u32,
    /// How many events are folded into it.
    pub seq: u64,
    state: state::State,
}

impl Snapshot {
    /// The format this host writes.
    pub const VERSION: u32 = 1;
}
