//! What callers hand to the writer: a decision's row and what changes with it, and how that is answered.

use std::fmt;
use std::sync::Arc;

use bandstand_engine::event::Event;
use bandstand_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::{Blob, encode};
use crate::effect::{Effect, effects};
use crate::kept::{self, KeptReply};

/// One decision, to be made durable. Appends of a run keep the order in which they are handed over.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run_id: Arc<str>,
    /// Of the decision's first event: how many events the run had before.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The events as a JSON array, large values swapped for digests.
    pub events: String,
    /// How many events that are.
    pub count: u64,
    /// The large values.
    pub blobs: Vec<Blob>,
    /// What changes in the read models.
    pub effects: Vec<Effect>,
    /// Replies that are kept for equal visits. Empty for a run that is imported.
    pub kept: Vec<KeptReply>,
    /// Where the run stands after it. The writer compares it with what the file says and writes only a difference, so
    /// giving it always costs nothing.
    pub change: Option<RunChange>,
    /// What a new run pins; kept once for each digest.
    pub documents: Vec<Document>,
}

impl Append {
    /// The append of a decision's events: encoded, with their effects. All of it is the caller's work, not the writer's.
    pub fn new(
        run_id: Arc<str>,
        seq: u64,
        at: Timestamp,
        mut events: Vec<Event>,
        change: Option<RunChange>,
    ) -> Append {
        let (effects, kept) = (effects(&events), kept::of(&events));
        let encoded = encode(&mut events);
        Append {
            run_id,
            seq,
            at,
            events: encoded.events,
            count: encoded.count,
            blobs: encoded.blobs,
            effects,
            kept,
            change,
            documents: Vec::new(),
        }
    }

    /// Whether it begins a run of its own: a newcomer, refused when the queue is full. A child run is a part of one that
    /// was taken.
    pub fn is_newcomer(&self) -> bool {
        let is_child = matches!(self.effects.first(), Some(Effect::RunStarted { parent: Some(_), .. }));
        self.seq == 0 && !is_child
    }

    /// Its weight in the queue. Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let blobs: usize = self.blobs.iter().map(|blob| blob.bytes.len()).sum();
        let documents: usize = self.documents.iter().map(|document| document.bytes.len()).sum();
        (self.events.len() + blobs + documents + 256) as u64
    }
}

/// A text that runs pin by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// As `run.started` names it.
    pub digest: String,
    /// What it is.
    pub kind: DocumentKind,
    /// The text.
    pub bytes: Vec<u8>,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// A workflow file.
    Source,
    /// A checked graph's canonical JSON.
    Graph,
}

impl DocumentKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            DocumentKind::Source => "source",
            DocumentKind::Graph => "graph",
        }
    }
}

/// Where a run stands, as far as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunChange {
    /// In one word.
    pub status: RunStatus,
    /// The latest stage, by the language's keyword.
    pub stage: Option<String>,
    /// Why owed commands are not started: `overload`, `breaker`, `paused`, `limit`. Of a run that is stuck: what is
    /// wrong, and what to do.
    pub held: Option<String>,
    /// Whether commands are owed: then a starting host loads the run.
    pub owed: bool,
    /// When it must next be looked at.
    pub next_deadline: Option<Timestamp>,
}

/// A run's status. Words of the CLI and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Something is to be done now.
    Running,
    /// Nothing can move before a time or a person does.
    Waiting,
    /// A person stopped it for now.
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by somebody, in order.
    Cancelled,
    /// Ended by somebody, at once.
    Killed,
    /// The host cannot go on with it.
    Stuck,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [RunStatus; 8] = [
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Paused,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::Killed,
        RunStatus::Stuck,
    ];

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Paused => "paused",
            RunStatus::Succeeded => "succeeded",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Killed => "killed",
            RunStatus::Stuck => "stuck",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<RunStatus> {
        RunStatus::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing more will happen.
    pub fn is_ended(self) -> bool {
        matches!(self, RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled | RunStatus::Killed)
    }
}

impl From<bandstand_engine::Status> for RunStatus {
    fn from(status: bandstand_engine::Status) -> RunStatus {
        use bandstand_engine::Status;
        match status {
            Status::Running => RunStatus::Running,
            Status::Waiting => RunStatus::Waiting,
            Status::Succeeded => RunStatus::Succeeded,
            Status::Failed => RunStatus::Failed,
            Status::Cancelled => RunStatus::Cancelled,
            Status::Paused => RunStatus::Paused,
            Status::Killed => RunStatus::Killed,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// It is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The row's place in the journal: later rows have greater ones. 0 for what has no row.
    pub pos: i64,
}

/// What was handed over was not written, and never will be. Nothing of it changed the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The run's journal ends elsewhere: two hosts, or a lost append.
    #[error(
        "run {run_id} has {expected} events in the journal, the append begins at {seq}; open the run again"
    )]
    OutOfOrder {
        /// The run.
        run_id: Arc<str>,
        /// Where it must begin.
        expected: u64,
        /// Where it begins.
        seq: u64,
    },
    /// There is no such run, and this does not begin one.
    #[error("there is no run {0} in this store")]
    UnknownRun(Arc<str>),
    /// A first append without `run.started`.
    #[error("run {0} does not begin with run.started")]
    NotAStart(Arc<str>),
    /// A request with the same key began a run before.
    #[error("the request `{key}` already began run {run_id}")]
    DuplicateRequest {
        /// The key.
        key: String,
        /// The run it began.
        run_id: String,
    },
    /// The last row of the run cannot be read.
    #[error("run {0} is damaged: its last row does not read; it cannot go on")]
    Damaged(Arc<str>),
    /// The store was closed while the disk was full.
    #[error("the disk is full and the host is closing: this was not recorded")]
    Closed,
}

/// It was not even taken into the queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much waits for the disk. Only what begins something is refused so.
    #[error(
        "the store is behind: {bytes} bytes wait to be written, above `store.queue-bytes` = {bytes_max}; try again later"
    )]
    QueueFull {
        /// What waits.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The store was closed, or has failed.
    #[error("the store no longer writes: it was closed or has failed")]
    Stopped,
}
