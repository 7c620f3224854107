//! The events of a run, version 1: facts that have happened, as the journal keeps them.
//!
//! Every value that a decision computed is in its event, so that folding a journal evaluates nothing. An event's
//! `type` names it; a changed meaning is a new name (`node.started@2`), a new field is optional and its absence means
//! what its documentation says. Events are never renamed or reused. How rows, digests and blobs look is the store's
//! business.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::ErrorRecord;
use crate::graph::{Reducer, Stage, Target};
use crate::id::Id;
use crate::input::{By, Reply, ReplyNext, Usage, Verdict};
use crate::path::{CommandId, Path};
use crate::time::Timestamp;

/// A value in an event: itself, or where it stands already. What is derivable without evaluating anything is
/// referred to, never copied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// The value.
    #[serde(rename = "v")]
    Value(Arc<Value>),
    /// Kept apart by the store because it is large; the store puts the value back before an event is folded.
    #[serde(rename = "blob")]
    Blob {
        /// Of the value's JSON.
        digest: String,
        /// Of the value's JSON.
        bytes: u64,
    },
    /// The same as a value that stands earlier in the row; the store puts the value back before an event is folded.
    #[serde(rename = "same")]
    Same {
        /// Which event of the row, from 0.
        event: usize,
        /// Which of its payloads, from 0, in the order of [`Event::payloads_mut`].
        #[serde(default, skip_serializing_if = "is_first")]
        payload: usize,
        /// A member of that value; absent: the whole value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
    /// The output of that visit: of its last attempt, or of the node's latest completed visit.
    #[serde(rename = "output")]
    Output(Path),
    /// What the block at that path has gathered: `{ results, errors, times }`.
    #[serde(rename = "block")]
    Block(Path),
}

impl Payload {
    /// The value itself.
    pub fn new(value: impl Into<Arc<Value>>) -> Payload {
        Payload::Value(value.into())
    }

    /// The value, when it stands here.
    pub fn value(&self) -> Option<&Arc<Value>> {
        match self {
            Payload::Value(value) => Some(value),
            Payload::Blob { .. } | Payload::Same { .. } | Payload::Output(_) | Payload::Block(_) => None,
        }
    }
}

fn is_first(index: &usize) -> bool {
    *index == 0
}

/// Who did it.
pub type Actor = By;

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[allow(missing_docs)] // each variant's struct says what it is
pub enum Event {
    #[serde(rename = "run.started")]
    RunStarted(Box<RunStarted>),
    #[serde(rename = "run.due")]
    RunDue(RunDue),
    #[serde(rename = "run.adopted")]
    RunAdopted(Box<RunAdopted>),
    #[serde(rename = "run.retried")]
    RunRetried(Box<RunRetried>),
    #[serde(rename = "run.succeeded")]
    RunSucceeded(RunSucceeded),
    #[serde(rename = "run.failed")]
    RunFailed(Box<RunFailed>),
    #[serde(rename = "run.cancelled")]
    RunCancelled(RunCancelled),
    #[serde(rename = "run.paused")]
    RunPaused(RunPaused),
    #[serde(rename = "run.resumed")]
    RunResumed(RunResumed),
    #[serde(rename = "run.killed")]
    RunKilled(RunKilled),
    #[serde(rename = "stage.entered")]
    StageEntered(StageEntered),
    #[serde(rename = "node.started")]
    NodeStarted(NodeStarted),
    #[serde(rename = "node.succeeded")]
    NodeSucceeded(NodeSucceeded),
    #[serde(rename = "node.failed")]
    NodeFailed(Box<NodeFailed>),
    #[serde(rename = "node.cancelled")]
    NodeCancelled(NodeCancelled),
    #[serde(rename = "attempt.scheduled")]
    AttemptScheduled(AttemptScheduled),
    #[serde(rename = "attempt.due")]
    AttemptDue(AttemptDue),
    #[serde(rename = "attempt.interrupted")]
    AttemptInterrupted(AttemptInterrupted),
    #[serde(rename = "attempt.succeeded")]
    AttemptSucceeded(AttemptSucceeded),
    #[serde(rename = "attempt.failed")]
    AttemptFailed(Box<AttemptFailed>),
    #[serde(rename = "attempt.cancelled")]
    AttemptCancelled(AttemptCancelled),
    #[serde(rename = "edge.taken")]
    EdgeTaken(EdgeTaken),
    #[serde(rename = "route.decided")]
    RouteDecided(RouteDecided),
    #[serde(rename = "branches.opened")]
    BranchesOpened(BranchesOpened),
    #[serde(rename = "branches.started")]
    BranchesStarted(BranchesStarted),
    #[serde(rename = "branch.ended")]
    BranchEnded(Box<BranchEnded>),
    #[serde(rename = "branches.joined")]
    BranchesJoined(BranchesJoined),
    #[serde(rename = "review.opened")]
    ReviewOpened(Box<ReviewOpened>),
    #[serde(rename = "review.answered")]
    ReviewAnswered(Box<ReviewAnswered>),
    #[serde(rename = "review.decided")]
    ReviewDecided(ReviewDecided),
    #[serde(rename = "review.withdrawn")]
    ReviewWithdrawn(ReviewWithdrawn),
    #[serde(rename = "wait.started")]
    WaitStarted(WaitStarted),
    #[serde(rename = "wait.ended")]
    WaitEnded(WaitEnded),
    #[serde(rename = "signal.received")]
    SignalReceived(SignalReceived),
    #[serde(rename = "checkpoint.named")]
    CheckpointNamed(CheckpointNamed),
    #[serde(rename = "thread.entered")]
    ThreadEntered(ThreadEntered),
    #[serde(rename = "thread.written")]
    ThreadWritten(ThreadWritten),
    #[serde(rename = "warning")]
    Warning(Warning),
}

/// A run began. The first event of every journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run's id.
    pub run_id: String,
    /// What it runs, by digest.
    pub workflow: WorkflowPin,
    /// Its plugins, by digest.
    pub plugins: BTreeMap<Id, PluginPin>,
    /// Version of the deciding logic.
    pub rules: u32,
    /// The host that started it.
    pub host_version: String,
    /// Source of all the run's randomness.
    pub seed: u64,
    /// Runs of one thread share memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// For whom it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The input, defaults filled in.
    pub input: Payload,
    /// First values of the channels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<Id, Payload>,
    /// When the run must have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// It does nothing before that time: `run.due` says when it began. Absent: it begins at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// The request that asked for it, so that a repeated one finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Digest of what that request said, as it was sent. Absent: it is compared by what it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<String>,
    /// Who else began it, or the run that it comes from, beside `user_id`: none of them approves where `self-approval` is
    /// off. Absent: nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starters: Vec<String>,
    /// Spans of other traces that led to it, as `traceparent` writes them: its caller's, and of a fork that of the run it
    /// goes on from. Absent: none is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<String>,
    /// The run that this one does again from the start. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<String>,
    /// The run whose attempt this one is. Absent: it was started for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What its child runs will use. Absent: it has no children with plugins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<Id, ChildPins>,
    /// How it stands to its thread. Absent: it keeps nothing there, others may go on beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The channels that begin with what the thread keeps for them, not with their `initial`. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Id>,
}

/// How a run that may write its thread stands to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lease {
    /// The thread is the run's until it ends: no other run writes it.
    Held,
    /// Others are before it: it does nothing until `thread.entered`.
    Queued,
}

/// Of which run an attempt is a child run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: String,
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
}

impl Parent {
    /// The attempt that the run is.
    pub fn command(&self) -> CommandId {
        CommandId { path: self.p.clone(), attempt: self.attempt }
    }
}

/// What the runs of a child workflow use, by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildPins {
    /// Its plugins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<Id, PluginPin>,
    /// What its own children use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<Id, ChildPins>,
}

impl RunStarted {
    /// The digests of all plugins that it and its children use, in any order, perhaps repeated.
    pub fn plugin_digests(&self) -> Vec<&str> {
        fn of<'a>(children: &'a BTreeMap<Id, ChildPins>, found: &mut Vec<&'a str>) {
            for child in children.values() {
                found.extend(child.plugins.values().map(|pin| pin.digest.as_str()));
                of(&child.children, found);
            }
        }
        let mut found: Vec<&str> = self.plugins.values().map(|pin| pin.digest.as_str()).collect();
        of(&self.children, &mut found);
        found
    }
}

/// The time of a run that was to begin later has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDue {
    /// When the run must have ended. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// The run goes on from a point of another one, which stays as it is. Follows `run.started`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunAdopted {
    /// Whose point, and which.
    pub from: Origin,
    /// The point: where the run is from now on, edits included. What was under way there is at rest; the events after
    /// this one begin it anew.
    pub snapshot: Payload,
    /// What somebody changed, for people: the point and the input have it already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edited>,
}

/// A point of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The run.
    pub run: String,
    /// How many of its events had happened.
    pub seq: u64,
}

/// One value that somebody changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// Which: `state.CHANNEL...` or `input.MEMBER...`.
    pub path: String,
    /// What it became.
    pub value: Payload,
}

/// A run that had failed goes on: what failed is tried again, as the same visit with the same key; what had finished
/// stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRetried {
    /// By whom.
    pub by: By,
    /// The failed visits that are opened again; a scope whose end had failed by its own path.
    pub paths: Vec<Path>,
    /// When the run had failed: that is taken back.
    pub failed_at: Timestamp,
    /// Where the run is from now on. What was under way there is at rest; the events after this one begin it anew.
    pub snapshot: Payload,
    /// When the run must have ended now. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The request that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How it stands to its thread now. `queued`: what is under way is not at rest yet, `thread.entered` lays it down.
    /// Absent: it takes part in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// Which workflow a run runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowPin {
    /// Its name.
    pub name: String,
    /// The author's version.
    pub version: u64,
    /// Digest of the file's text.
    pub source: String,
    /// Digest of the checked graph's canonical JSON.
    pub graph: String,
}

/// Which plugin a run uses under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPin {
    /// `sha256:HEX` of its bytes.
    pub digest: String,
}

/// The run reached its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSucceeded {
    /// What it returns.
    pub output: Payload,
}

/// The run failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFailed {
    /// Why.
    pub error: ErrorRecord,
}

/// The run was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCancelled {
    /// By whom.
    pub by: By,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Nothing new starts: no node is entered, no attempt begins. What is in flight may finish, reviews can be answered, and
/// deadlines hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPaused {
    /// By whom.
    pub by: By,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A paused run carries on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResumed {
    /// By whom.
    pub by: By,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The run was ended at once. Whatever was open in it ends with it and has no event of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunKilled {
    /// By whom.
    pub by: By,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The child runs that were under way and are to be killed. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
}

/// The run entered a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEntered {
    /// Which.
    pub stage: Stage,
    /// The visit that named it; the root path at the run's start and end.
    pub p: Path,
}

/// A visit began. It counts one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStarted {
    /// The visit.
    pub p: Path,
    /// The node's kind, for readers.
    pub kind: String,
    /// An agent's or a child's evaluated input. Absent on other kinds, and when evaluating it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// When a block or a child must have ended, or an agent given the reply that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The value of an agent's `cache.key`. Absent: nothing is compared besides the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<Payload>,
}

/// A visit ended well, or expired with a way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeSucceeded {
    /// The visit.
    pub p: Path,
    /// Its output.
    pub output: Payload,
    /// The agent's confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What it writes, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<Write>,
    /// A review that nobody answered and that went its own way. Absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
    /// From its start to now.
    pub took_ms: u64,
    /// The reply of its last attempt, in the same row, is kept for equal visits. Absent: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// No attempt gave its output: an equal visit did before. Absent: it is the visit's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_from: Option<CachedFrom>,
}

/// How a reply is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// A digest of all that must be equal, in hexadecimal.
    pub key: String,
    /// From then on it is not used.
    pub until: Timestamp,
}

/// Whose kept reply was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedFrom {
    /// The run; it may have been deleted.
    pub run: String,
    /// The visit in it.
    pub p: Path,
}

/// One write to a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// The channel.
    pub channel: Id,
    /// How.
    pub op: WriteOp,
    /// The operand.
    pub value: Payload,
}

/// How a write changes a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteOp {
    /// Overwrites, whatever the reducer.
    Set,
    /// By this reducer.
    #[serde(untagged)]
    Reduce(Reducer),
}

/// A visit failed after its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeFailed {
    /// The visit.
    pub p: Path,
    /// Why.
    pub error: ErrorRecord,
    /// Whether retries were allowed and used up (R1.5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exhausted: bool,
    /// Whether `on-failure` caught it. If not, the scope fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub caught: bool,
    /// From its start to now.
    pub took_ms: u64,
}

/// A visit was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCancelled {
    /// The visit.
    pub p: Path,
    /// By what.
    pub because: CancelCause,
}

/// What ends visits, attempts and reviews from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelCause {
    /// The block had what it needed, or could no longer get it.
    Join,
    /// The timeout of the block, of the node that runs a child, or of the run.
    Timeout,
    /// The agent's deadline.
    Deadline,
    /// The run ended.
    Run,
}

/// An attempt is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptScheduled {
    /// The visit.
    pub p: Path,
    /// From 1.
    pub attempt: u32,
    /// When; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The delay that led to `due`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Whose wish it is.
    pub because: AttemptCause,
    /// The id of the run that the attempt is. Absent: it is a call of a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
}

/// Why there is an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptCause {
    /// The visit's first.
    First,
    /// The retry policy.
    Policy,
    /// The agent's `retry-after` was longer than the policy's delay.
    RetryAfter,
    /// Somebody retried the failed run.
    Person,
    /// It was under way at the point that a fork adopted.
    Adopted,
}

/// A delayed attempt's time has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptDue {
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
}

/// The host died while the attempt ran; it is repeated with the same number and key. Spends no attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptInterrupted {
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
    /// How often this attempt was interrupted so far.
    pub times: u32,
}

/// An attempt gave a reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptSucceeded {
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
    /// The reply's output.
    pub output: Payload,
    /// The reply's confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Where the reply wants to go; absent: by the edges of the file.
    #[serde(default, skip_serializing_if = "ReplyNext::is_edges")]
    pub next: ReplyNext,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
}

/// An attempt failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
    /// Why; its `attempts` is the number allowed.
    pub error: ErrorRecord,
    /// The retry strategy in force.
    pub strategy: String,
    /// What the agent asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What it cost.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
}

/// An attempt was ended from outside; a late reply is discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCancelled {
    /// The visit.
    pub p: Path,
    /// The attempt.
    pub attempt: u32,
    /// By what.
    pub because: CancelCause,
    /// The child run that was under way and is to be cancelled. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
}

/// The run goes on from a visit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeTaken {
    /// The visit it leaves.
    pub p: Path,
    /// Where to: a node's id, or `end`.
    #[serde(with = "target_text")]
    pub to: Target,
    /// Why there.
    pub because: EdgeCause,
}

/// Why an edge was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeCause {
    /// The last entry of a list, or the only one.
    Next,
    /// The entry with that index: its `when` was the first to hold.
    When(u32),
    /// The agent's reply.
    Goto,
    /// The review was approved.
    Approved,
    /// The review was rejected.
    Rejected,
    /// Nobody answered in time.
    Timeout,
    /// The node failed.
    OnFailure,
    /// The route's winner.
    Route,
    /// The winner was below the threshold.
    Below,
    /// There were no options.
    Default,
}

/// A choice by confidence. `below` makes it the low-confidence alert of R3.3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteDecided {
    /// The visit that decided.
    pub p: Path,
    /// The winner; `default` was taken when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// The winner's confidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// The winner's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every other option, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<crate::input::Choice>,
    /// What the confidence is held against.
    pub threshold: f64,
    /// Whether it was lower.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below: bool,
}

/// A branch by its name, or an item by its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BranchKey {
    /// Of a `map`, from 0.
    Item(u32),
    /// Of a `parallel`.
    Name(Id),
}

/// A block began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesOpened {
    /// The block's visit.
    pub p: Path,
    /// The branches of a `parallel` in declared order; empty for a `map`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Id>,
    /// The items of a `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Payload>,
}

/// Branches or items began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchesStarted {
    /// The block's visit.
    pub p: Path,
    /// Which.
    pub branches: Vec<BranchKey>,
    /// Where those go on that a retry or a fork had kept back, laid down to be begun anew, as a point keeps them. Absent:
    /// all begin at their start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Payload>,
}

/// A branch or item ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchEnded {
    /// The block's visit.
    pub p: Path,
    /// Which.
    pub branch: BranchKey,
    /// How.
    pub outcome: BranchOutcome,
    /// What it gives, when it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// Why it failed, or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// From its start to now; absent when it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// How a branch or item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BranchOutcome {
    /// Well; it counts for the join.
    Succeeded,
    /// Badly.
    Failed,
    /// What it needed did not succeed.
    Skipped,
    /// The block ended before it.
    Cancelled,
}

/// A block's join was decided; what succeeded until then counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchesJoined {
    /// The block's visit.
    pub p: Path,
    /// Whether the join is satisfied.
    pub satisfied: bool,
    /// How many ended each way.
    pub counts: JoinCounts,
}

/// How many branches or items ended each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCounts {
    /// Well.
    pub succeeded: u32,
    /// Badly, skipped ones included.
    pub failed: u32,
    /// Because the block ended.
    pub cancelled: u32,
}

/// A review waits for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReviewOpened {
    /// Derived from run and visit.
    pub review_id: String,
    /// The visit.
    pub p: Path,
    /// Who asks.
    pub asked_by: AskedBy,
    /// One line.
    pub title: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is to be approved.
    pub proposed: Payload,
    /// JSON Schema of the approved value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Payload>,
    /// `user:ID` or `group:ID`; empty: anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    /// Approvals needed.
    pub quorum: u32,
    /// When it expires.
    pub deadline: Timestamp,
    /// What happens then: `fail`, `approve`, `reject`, or `to NODE`.
    pub on_timeout: String,
    /// Whether the user for whom the run is may approve. Absent: yes.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub self_approval: bool,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// Who asks for a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// A `review` node.
    Node,
    /// An agent in its reply.
    Agent,
}

/// A person answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReviewAnswered {
    /// Which review.
    pub review_id: String,
    /// The visit.
    pub p: Path,
    /// The id of this answer.
    pub feedback_id: String,
    /// The request that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Who.
    pub reviewer: String,
    /// Approved or rejected.
    pub decision: Verdict,
    /// What they say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comments: String,
    /// JSON merge patch of what is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Payload>,
    /// How sure they are, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// When.
    pub at: Timestamp,
}

/// A review was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewDecided {
    /// Which review.
    pub review_id: String,
    /// The visit.
    pub p: Path,
    /// How.
    pub outcome: ReviewOutcome,
    /// By what.
    pub because: ReviewCause,
}

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewOutcome {
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
    /// Nobody answered in time.
    Expired,
}

impl ReviewOutcome {
    /// The word that expressions see.
    pub fn name(self) -> &'static str {
        match self {
            ReviewOutcome::Approved => "approved",
            ReviewOutcome::Rejected => "rejected",
            ReviewOutcome::Expired => "expired",
        }
    }
}

/// What decided a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewCause {
    /// Enough approvals, or one rejection.
    Answers,
    /// Its deadline.
    Timeout,
}

/// A review was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewWithdrawn {
    /// Which review.
    pub review_id: String,
    /// The visit.
    pub p: Path,
    /// By what.
    pub because: CancelCause,
}

/// A visit waits: for a time, or for a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitStarted {
    /// The visit.
    pub p: Path,
    /// Until when. Absent: for a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For which signal. Absent: for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Id>,
    /// When the signal must have come. Absent: it may come at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// A visit has waited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEnded {
    /// The visit.
    pub p: Path,
    /// What ended it. Absent: its time had come.
    #[serde(default, skip_serializing_if = "WaitCause::is_time")]
    pub because: WaitCause,
}

/// What ended a wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitCause {
    /// Its time had come.
    #[default]
    Time,
    /// The signal of that id.
    Signal(String),
    /// No signal had come by its deadline.
    Timeout,
}

impl WaitCause {
    fn is_time(&self) -> bool {
        *self == WaitCause::Time
    }
}

/// A signal came. It is kept until a wait takes it, the oldest of its name first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalReceived {
    /// Its own id, given by the host.
    pub signal_id: String,
    /// Its name.
    pub name: Id,
    /// What it says.
    pub data: Payload,
    /// Who sent it.
    pub by: By,
    /// The request that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The run passed a named point: the exit of that visit was chosen, and nothing after it has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointNamed {
    /// Its name.
    pub name: Id,
    /// The visit.
    pub p: Path,
}

/// The thread that the run waited for is its own now, until it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadEntered {
    /// The channels that begin with what the thread keeps. Absent: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Id, Payload>,
    /// Of a fork or a retry: where the run is from now on. What was under way there is at rest; the events after this one
    /// begin it anew. Absent: the run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Payload>,
    /// When the run must have ended. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// The thread keeps these values now: the run succeeds, or waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadWritten {
    /// By channel; those that the thread did not have so.
    pub values: BTreeMap<Id, Payload>,
}

/// Something an author should know; nothing fails by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The visit.
    pub p: Path,
    /// Kebab-case: `unused-choices`, `unused-signals`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// `Target` as the text people write: a node's id, or `end` (which no node may be called).
mod target_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::graph::Target;
    use crate::id::Id;

    pub(super) fn serialize<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match target {
            Target::End => "end",
            Target::Node(id) => id.as_str(),
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "end" => Ok(Target::End),
            id => Id::new(id).map(Target::Node).map_err(D::Error::custom),
        }
    }
}

impl Event {
    /// Whether the run has ended with it.
    pub fn ends_run(&self) -> bool {
        matches!(
            self,
            Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_) | Event::RunKilled(_)
        )
    }

    /// The event's name, as in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Event::RunStarted(_) => "run.started",
            Event::RunDue(_) => "run.due",
            Event::RunAdopted(_) => "run.adopted",
            Event::RunRetried(_) => "run.retried",
            Event::RunSucceeded(_) => "run.succeeded",
            Event::RunFailed(_) => "run.failed",
            Event::RunCancelled(_) => "run.cancelled",
            Event::RunPaused(_) => "run.paused",
            Event::RunResumed(_) => "run.resumed",
            Event::RunKilled(_) => "run.killed",
            Event::StageEntered(_) => "stage.entered",
            Event::NodeStarted(_) => "node.started",
            Event::NodeSucceeded(_) => "node.succeeded",
            Event::NodeFailed(_) => "node.failed",
            Event::NodeCancelled(_) => "node.cancelled",
            Event::AttemptScheduled(_) => "attempt.scheduled",
            Event::AttemptDue(_) => "attempt.due",
            Event::AttemptInterrupted(_) => "attempt.interrupted",
            Event::AttemptSucceeded(_) => "attempt.succeeded",
            Event::AttemptFailed(_) => "attempt.failed",
            Event::AttemptCancelled(_) => "attempt.cancelled",
            Event::EdgeTaken(_) => "edge.taken",
            Event::RouteDecided(_) => "route.decided",
            Event::BranchesOpened(_) => "branches.opened",
            Event::BranchesStarted(_) => "branches.started",
            Event::BranchEnded(_) => "branch.ended",
            Event::BranchesJoined(_) => "branches.joined",
            Event::ReviewOpened(_) => "review.opened",
            Event::ReviewAnswered(_) => "review.answered",
            Event::ReviewDecided(_) => "review.decided",
            Event::ReviewWithdrawn(_) => "review.withdrawn",
            Event::WaitStarted(_) => "wait.started",
            Event::WaitEnded(_) => "wait.ended",
            Event::SignalReceived(_) => "signal.received",
            Event::CheckpointNamed(_) => "checkpoint.named",
            Event::ThreadEntered(_) => "thread.entered",
            Event::ThreadWritten(_) => "thread.written",
            Event::Warning(_) => "warning",
        }
    }

    /// The visit, block or scope it speaks of; none for what concerns the whole run.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Event::RunStarted(_)
            | Event::RunDue(_)
            | Event::RunAdopted(_)
            | Event::RunRetried(_)
            | Event::RunSucceeded(_)
            | Event::RunFailed(_)
            | Event::RunCancelled(_)
            | Event::RunPaused(_)
            | Event::RunResumed(_)
            | Event::RunKilled(_)
            | Event::SignalReceived(_)
            | Event::ThreadEntered(_)
            | Event::ThreadWritten(_) => None,
            Event::StageEntered(e) => Some(&e.p),
            Event::NodeStarted(e) => Some(&e.p),
            Event::NodeSucceeded(e) => Some(&e.p),
            Event::NodeFailed(e) => Some(&e.p),
            Event::NodeCancelled(e) => Some(&e.p),
            Event::AttemptScheduled(e) => Some(&e.p),
            Event::AttemptDue(e) => Some(&e.p),
            Event::AttemptInterrupted(e) => Some(&e.p),
            Event::AttemptSucceeded(e) => Some(&e.p),
            Event::AttemptFailed(e) => Some(&e.p),
            Event::AttemptCancelled(e) => Some(&e.p),
            Event::EdgeTaken(e) => Some(&e.p),
            Event::RouteDecided(e) => Some(&e.p),
            Event::BranchesOpened(e) => Some(&e.p),
            Event::BranchesStarted(e) => Some(&e.p),
            Event::BranchEnded(e) => Some(&e.p),
            Event::BranchesJoined(e) => Some(&e.p),
            Event::ReviewOpened(e) => Some(&e.p),
            Event::ReviewAnswered(e) => Some(&e.p),
            Event::ReviewDecided(e) => Some(&e.p),
            Event::ReviewWithdrawn(e) => Some(&e.p),
            Event::WaitStarted(e) => Some(&e.p),
            Event::WaitEnded(e) => Some(&e.p),
            Event::CheckpointNamed(e) => Some(&e.p),
            Event::Warning(e) => Some(&e.p),
        }
    }

    /// Every payload in it, so that the store can take large values out and put them back.
    pub fn payloads_mut(&mut self) -> Vec<&mut Payload> {
        fn error(record: &mut ErrorRecord) -> impl Iterator<Item = &mut Payload> {
            record.failure.data.iter_mut().chain(record.block.iter_mut())
        }
        match self {
            Event::RunStarted(e) => std::iter::once(&mut e.input).chain(e.state.values_mut()).collect(),
            Event::RunAdopted(e) => std::iter::once(&mut e.snapshot)
                .chain(e.edits.iter_mut().map(|edit| &mut edit.value))
                .collect(),
            Event::RunRetried(e) => vec![&mut e.snapshot],
            Event::RunSucceeded(e) => vec![&mut e.output],
            Event::RunFailed(e) => error(&mut e.error).collect(),
            Event::NodeStarted(e) => e.input.iter_mut().chain(e.cache_key.iter_mut()).collect(),
            Event::NodeSucceeded(e) => std::iter::once(&mut e.output)
                .chain(e.update.iter_mut().map(|write| &mut write.value))
                .collect(),
            Event::NodeFailed(e) => error(&mut e.error).collect(),
            Event::AttemptSucceeded(e) => {
                let asked = match &mut e.next {
                    ReplyNext::Review(request) => vec![request.propose.as_mut(), request.form.as_mut()],
                    ReplyNext::Edges | ReplyNext::Goto(_) | ReplyNext::Choose(_) => Vec::new(),
                };
                std::iter::once(&mut e.output).chain(asked.into_iter().flatten()).collect()
            }
            Event::AttemptFailed(e) => error(&mut e.error).collect(),
            Event::BranchesOpened(e) => e.items.iter_mut().collect(),
            Event::BranchesStarted(e) => e.scopes.iter_mut().collect(),
            Event::BranchEnded(e) => e.result.iter_mut().chain(e.error.iter_mut().flat_map(error)).collect(),
            Event::ReviewOpened(e) => std::iter::once(&mut e.proposed).chain(e.form.iter_mut()).collect(),
            Event::ReviewAnswered(e) => e.changes.iter_mut().collect(),
            Event::SignalReceived(e) => vec![&mut e.data],
            Event::ThreadEntered(e) => e.values.values_mut().chain(e.snapshot.iter_mut()).collect(),
            Event::ThreadWritten(e) => e.values.values_mut().collect(),
            Event::RunDue(_)
            | Event::RunCancelled(_)
            | Event::RunPaused(_)
            | Event::RunResumed(_)
            | Event::RunKilled(_)
            | Event::StageEntered(_)
            | Event::NodeCancelled(_)
            | Event::AttemptScheduled(_)
            | Event::AttemptDue(_)
            | Event::AttemptInterrupted(_)
            | Event::AttemptCancelled(_)
            | Event::EdgeTaken(_)
            | Event::RouteDecided(_)
            | Event::BranchesJoined(_)
            | Event::ReviewDecided(_)
            | Event::ReviewWithdrawn(_)
            | Event::WaitStarted(_)
            | Event::WaitEnded(_)
            | Event::CheckpointNamed(_)
            | Event::Warning(_) => Vec::new(),
        }
    }
}

impl AttemptSucceeded {
    /// The fact that this reply came.
    pub fn new(p: Path, attempt: u32, reply: &Reply, usage: Usage) -> AttemptSucceeded {
        AttemptSucceeded {
            p,
            attempt,
            output: Payload::Value(reply.output.clone()),
            confidence: reply.confidence,
            next: reply.next.clone(),
            usage,
        }
    }
}
