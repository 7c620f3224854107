//! What a run is: the state that events fold into, and the index derived from it.
//!
//! The state's size is bounded by graph, channels and open work, never by history. The index holds nothing that the
//! state does not say; it saves looking for commands, timers and reviews.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::measured::Measured;
use crate::command::{Callee, Command};
use crate::event::{AskedBy, BranchKey, ReviewOutcome, RunStarted, Write};
use crate::failure::ErrorRecord;
use crate::graph::{Graph, Kind, Stage};
use crate::id::Id;
use crate::input::{By, Spent, Verdict};
use crate::path::{CommandId, Path, Segment};
use crate::time::Timestamp;

/// A shared JSON value.
pub(super) type Json = Arc<Value>;

/// How many closed reviews and request ids a run remembers, to answer a repeated answer.
pub(super) const REMEMBERED_MAX: usize = 1_000;

/// Everything a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) started: RunStarted,
    pub(super) started_at: Timestamp,
    /// Time of the last event; times never fall.
    pub(super) now: Timestamp,
    /// Events so far.
    pub(super) seq: u64,
    pub(super) steps: u64,
    pub(super) stage: Stage,
    /// Nothing new starts. Absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) paused: bool,
    pub(super) end: Option<End>,
    pub(super) root: Scope,
    /// Signals that no wait has taken yet, the oldest first. Absent: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) signals: BTreeMap<Id, VecDeque<KeptSignal>>,
    /// The latest requests that brought an answer, a signal or a retry.
    pub(super) requests: VecDeque<String>,
    /// What each of them said. Absent: not known, so that whatever comes under its name is taken for the same.
    #[serde(default, skip_serializing_if = "Requested::is_empty")]
    pub(super) requested: Requested,
    /// The latest reviews that are no longer open.
    pub(super) closed_reviews: VecDeque<(String, ClosedReview)>,
    /// How often the run was retried, so that a review that is asked for again is another one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) retries: u32,
    /// The run waits for its thread: nothing in it moves. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gate: Option<Gate>,
    /// The run was to begin later and has not begun: nothing in it moves before that time. Absent: it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) starts_at: Option<Timestamp>,
    /// Channels of a thread's writer whose values the thread does not keep yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) unwritten: BTreeSet<Id>,
    /// What models cost so far. Absent: nothing.
    #[serde(default, skip_serializing_if = "Spent::is_nothing")]
    pub(super) spent: Spent,
}

/// A run that waits for its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gate {
    pub(super) since: Timestamp,
    /// It goes on from a point, which lies in `root` as it was: time stands still there. Else it has not begun.
    pub(super) begun: bool,
}

/// Digests of what requests said, by their names. A snapshot of an older host has none; that is no difference to a run
/// that was folded from its first event, so only what both know is compared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Requested(pub(super) BTreeMap<String, String>);

impl Requested {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Requested {
    fn eq(&self, other: &Requested) -> bool {
        self.0.iter().all(|(request, said)| other.0.get(request).is_none_or(|theirs| theirs == said))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A signal that no wait has taken yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptSignal {
    pub(super) id: String,
    pub(super) data: Json,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum End {
    Succeeded { output: Json },
    Failed { error: ErrorRecord },
    Cancelled { by: By, reason: String },
    Killed { by: By, reason: String },
}

/// Why a review is no longer open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ClosedReview {
    Decided {
        outcome: ReviewOutcome,
        /// Digests of the edits that were taken, to know one that comes again.
        edits: Vec<String>,
    },
    Withdrawn,
}

/// A scope instance: the run, a branch, or an item. It has one place where it is. Expressions share its channels and
/// views while they are evaluated, so that showing them copies nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Scope {
    /// Channels as this scope sees them, where that differs from the enclosing scope. The root has all.
    pub(super) changed: Arc<BTreeMap<Id, Measured>>,
    /// In a branch: the writes that the join replays, in order.
    pub(super) writes: Vec<Write>,
    /// The latest completed visit of each node.
    pub(super) views: Arc<BTreeMap<Id, View>>,
    /// How often each node was entered.
    pub(super) visits: BTreeMap<Id, u32>,
    pub(super) steps: u64,
    /// The latest caught failure, as expressions see it.
    pub(super) error: Option<Json>,
    /// The latest decided review, as expressions see it.
    pub(super) review: Option<Json>,
    /// The output of the node that was completed last.
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) last_output: Option<Json>,
    pub(super) place: Place,
}

/// Where a scope is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Place {
    /// About to enter a node; `None` is the only node of a one-node body.
    Ready(Option<Id>),
    /// At a node.
    At(Box<Visit>),
    /// Through with its last node; its end is decided in the same decision.
    Left,
}

/// A completed visit, as `nodes.X` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct View {
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<Json>,
    pub(super) error: Option<Json>,
    pub(super) visits: u32,
    pub(super) status: VisitStatus,
    pub(super) confidence: Option<f64>,
    pub(super) routing: Option<Json>,
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum VisitStatus {
    Succeeded,
    Failed,
    Expired,
}

impl VisitStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            VisitStatus::Succeeded => "succeeded",
            VisitStatus::Failed => "failed",
            VisitStatus::Expired => "expired",
        }
    }
}

/// A visit that is going on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Visit {
    /// `None`: the node of a one-node body.
    pub(super) node: Option<Id>,
    pub(super) number: u32,
    pub(super) started_at: Timestamp,
    /// Of an agent.
    pub(super) input: Option<Json>,
    /// Of an agent: the value of its `cache.key`. Absent: there is none.
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) cache_key: Option<Json>,
    /// The output of the latest attempt, or of the decided review.
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) reply: Option<Json>,
    pub(super) confidence: Option<f64>,
    /// Attempts so far, the present one included; 1 for what makes none.
    pub(super) attempts: u32,
    /// Of these, the ones before somebody retried the run: the policy counts from there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) attempts_before: u32,
    /// When a block must have ended, or an agent given the reply that is taken.
    pub(super) deadline: Option<Timestamp>,
    pub(super) phase: Phase,
}

/// What a visit is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Between two events of one decision.
    Deciding,
    Attempt(Attempt),
    Wait {
        until: Timestamp,
    },
    Signal {
        name: Id,
        deadline: Option<Timestamp>,
    },
    Review(Box<ReviewState>),
    Block(Box<Block>),
}

/// An attempt that is owed, or waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) number: u32,
    /// `Some`: not owed before.
    pub(super) due: Option<Timestamp>,
    pub(super) interruptions: u32,
}

/// A review that waits for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ReviewState {
    pub(super) id: String,
    pub(super) asked_by: AskedBy,
    pub(super) title: String,
    pub(super) reason: String,
    pub(super) proposed: Json,
    pub(super) form: Option<Json>,
    pub(super) reviewers: Vec<String>,
    pub(super) quorum: u32,
    pub(super) opened_at: Timestamp,
    pub(super) deadline: Timestamp,
    /// What is proposed with all edits so far.
    pub(super) value: Json,
    pub(super) answers: Vec<GivenAnswer>,
    /// Whether the user for whom the run is may not approve. Absent: they may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) not_by_self: bool,
}

/// An answer that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GivenAnswer {
    pub(super) id: String,
    pub(super) reviewer: String,
    pub(super) decision: Verdict,
    pub(super) comments: String,
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<Json>,
    pub(super) confidence: Option<f64>,
    pub(super) at: Timestamp,
}

/// A block and its branches or items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Block {
    /// Of a `parallel`, in declared order.
    pub(super) names: Vec<Id>,
    /// Of a `map`: a list.
    pub(super) items: Option<Json>,
    pub(super) branches: Vec<BranchState>,
    pub(super) open: u32,
    pub(super) succeeded: u32,
    /// Skipped ones included.
    pub(super) failed: u32,
    pub(super) cancelled: u32,
    /// Of a `map`: the first item that has not started.
    pub(super) next_item: u32,
    /// Of a `map`: items that had been under way when the run rested, and for which there is no room yet. They are pending.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) kept: BTreeMap<u32, Kept>,
    /// Whether the join was decided.
    pub(super) joined: bool,
}

/// A branch or item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BranchState {
    pub(super) status: BranchStatus,
    pub(super) started_at: Option<Timestamp>,
    pub(super) took_ms: Option<u64>,
    /// While it is open.
    pub(super) scope: Option<Box<Scope>>,
    #[serde(default, deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<Json>,
    /// As expressions see it.
    pub(super) error: Option<Json>,
    /// What the join replays, once it has succeeded.
    pub(super) writes: Vec<Write>,
}

/// An item that waits for its place, as it rested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) scope: Scope,
    /// Time stands still in it since then.
    pub(super) since: Timestamp,
    /// It goes on as what a retry opens does, else as in a fork.
    pub(super) retried: bool,
}

/// Where a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BranchStatus {
    Pending,
    Open,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

impl BranchState {
    pub(super) fn pending() -> BranchState {
        BranchState {
            status: BranchStatus::Pending,
            started_at: None,
            took_ms: None,
            scope: None,
            result: None,
            error: None,
            writes: Vec::new(),
        }
    }
}

impl Scope {
    pub(super) fn ready(start: Option<Id>) -> Scope {
        Scope {
            changed: Arc::default(),
            writes: Vec::new(),
            views: Arc::default(),
            visits: BTreeMap::new(),
            steps: 0,
            error: None,
            review: None,
            last_output: None,
            place: Place::Ready(start),
        }
    }

    /// The visit that is going on, if the segment names it.
    pub(super) fn visit(&self, segment: &Segment) -> Option<&Visit> {
        match &self.place {
            Place::At(visit) if visit.is(segment) => Some(visit),
            _ => None,
        }
    }

    pub(super) fn visit_mut(&mut self, segment: &Segment) -> Option<&mut Visit> {
        match &mut self.place {
            Place::At(visit) if visit.is(segment) => Some(visit),
            _ => None,
        }
    }

    /// The scope instance that `segments` lead to from here.
    pub(super) fn inner(&self, segments: &[Segment]) -> Option<&Scope> {
        let mut scope = self;
        for pair in segments.chunks(2) {
            let [node, branch] = pair else { return None };
            let block = scope.visit(node)?.block()?;
            scope = block.branches.get(block.position(branch)?)?.scope.as_deref()?;
        }
        Some(scope)
    }

    pub(super) fn inner_mut(&mut self, segments: &[Segment]) -> Option<&mut Scope> {
        let mut scope = self;
        for pair in segments.chunks(2) {
            let [node, branch] = pair else { return None };
            let block = scope.visit_mut(node)?.block_mut()?;
            let position = block.position(branch)?;
            scope = block.branches.get_mut(position)?.scope.as_deref_mut()?;
        }
        Some(scope)
    }
}

impl Visit {
    fn is(&self, segment: &Segment) -> bool {
        match (segment, &self.node) {
            (Segment::Node(id, number), Some(node)) => id == node && *number == self.number,
            (Segment::Sole(number), None) => *number == self.number,
            _ => false,
        }
    }

    pub(super) fn segment(&self) -> Segment {
        match &self.node {
            Some(id) => Segment::Node(id.clone(), self.number),
            None => Segment::Sole(self.number),
        }
    }

    pub(super) fn block(&self) -> Option<&Block> {
        match &self.phase {
            Phase::Block(block) => Some(block),
            _ => None,
        }
    }

    pub(super) fn block_mut(&mut self) -> Option<&mut Block> {
        match &mut self.phase {
            Phase::Block(block) => Some(block),
            _ => None,
        }
    }

    pub(super) fn review(&self) -> Option<&ReviewState> {
        match &self.phase {
            Phase::Review(review) => Some(review),
            _ => None,
        }
    }
}

impl Block {
    /// The place of a branch or item among `branches`.
    pub(super) fn position(&self, segment: &Segment) -> Option<usize> {
        match segment {
            Segment::Branch(id) => self.names.iter().position(|name| name == id),
            Segment::Item(item) if self.items.is_some() => usize::try_from(*item).ok(),
            _ => None,
        }
    }

    /// The name or index of the branch at that place.
    pub(super) fn key(&self, position: usize) -> BranchKey {
        match self.names.get(position) {
            Some(name) => BranchKey::Name(name.clone()),
            None => BranchKey::Item(u32::try_from(position).unwrap_or(u32::MAX)),
        }
    }
}

impl BranchKey {
    /// The path segment of the branch or item.
    pub fn segment(&self) -> Segment {
        match self {
            BranchKey::Name(name) => Segment::Branch(name.clone()),
            BranchKey::Item(item) => Segment::Item(*item),
        }
    }
}

/// A value that may be `null`: then it is there, and `null`. Absent, it is not there.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Before a retry of the same time: what must have ended does not begin.
    Deadline,
    Retry,
    Wait,
    Signal,
    Review,
    Block,
}

impl Timer {
    /// Whether it would start something, and so does not fire while the run is paused.
    fn starts(self) -> bool {
        matches!(self, Timer::Retry)
    }
}

/// What follows from the state, kept at hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) commands: BTreeMap<CommandId, Command>,
    pub(super) timers: BTreeSet<(Timestamp, Path, Timer)>,
    /// Scopes that are about to enter a node.
    pub(super) ready: BTreeSet<Path>,
    /// Open reviews by id.
    pub(super) reviews: BTreeMap<String, Path>,
    /// Waits for each signal, the earliest first.
    pub(super) signal_waits: BTreeMap<Id, BTreeSet<(Timestamp, Path)>>,
    /// Commands that came and went since the last decision was handed out.
    pub(super) opened: BTreeSet<CommandId>,
    pub(super) closed: BTreeSet<CommandId>,
}

impl Index {
    /// The timer that fires next.
    pub(super) fn next_timer(&self, paused: bool) -> Option<&(Timestamp, Path, Timer)> {
        self.timers.iter().find(|(_, _, timer)| !(paused && timer.starts()))
    }

    /// The index of a state that was read from a snapshot.
    pub(super) fn of(graph: &Graph, state: &State) -> Index {
        let mut index = Index::default();
        if state.end.is_none() && state.gate.is_none() && state.starts_at.is_none() {
            index.add_scope(graph, &Path::root(), &state.root);
        }
        index.opened.clear();
        index
    }

    pub(super) fn add_scope(&mut self, graph: &Graph, path: &Path, scope: &Scope) {
        self.add_place(graph, path, &scope.place);
        let Place::At(visit) = &scope.place else { return };
        let Some(block) = visit.block() else { return };
        let visit_path = path.join(visit.segment());
        for (position, branch) in block.branches.iter().enumerate() {
            if let Some(inner) = &branch.scope {
                self.add_scope(graph, &visit_path.join(block.key(position).segment()), inner);
            }
        }
    }

    /// Takes up what the place of one scope (not of those inside it) owes and waits for.
    pub(super) fn add_place(&mut self, graph: &Graph, path: &Path, place: &Place) {
        match place {
            Place::Ready(_) => {
                self.ready.insert(path.clone());
            }
            Place::At(visit) => {
                let visit_path = path.join(visit.segment());
                for (at, timer) in timers(visit) {
                    self.timers.insert((at, visit_path.clone(), timer));
                }
                if let Phase::Signal { name, .. } = &visit.phase {
                    let waits = self.signal_waits.entry(name.clone()).or_default();
                    waits.insert((visit.started_at, visit_path.clone()));
                }
                if let Some(review) = visit.review() {
                    self.reviews.insert(review.id.clone(), visit_path.clone());
                }
                if let Some(command) = command(graph, visit_path, visit) {
                    if !self.closed.remove(&command.id) {
                        self.opened.insert(command.id.clone());
                    }
                    self.commands.insert(command.id.clone(), command);
                }
            }
            Place::Left => {}
        }
    }

    /// Drops everything at once: the run has ended and nothing is left to be done.
    pub(super) fn clear(&mut self) {
        for (id, _) in std::mem::take(&mut self.commands) {
            if !self.opened.remove(&id) {
                self.closed.insert(id);
            }
        }
        self.timers.clear();
        self.ready.clear();
        self.reviews.clear();
        self.signal_waits.clear();
    }

    /// Drops what [`Index::add_place`] took up.
    pub(super) fn remove_place(&mut self, path: &Path, place: &Place) {
        match place {
            Place::Ready(_) => {
                self.ready.remove(path);
            }
            Place::At(visit) => {
                let visit_path = path.join(visit.segment());
                for (at, timer) in timers(visit) {
                    self.timers.remove(&(at, visit_path.clone(), timer));
                }
                if let Phase::Signal { name, .. } = &visit.phase
                    && let Some(waits) = self.signal_waits.get_mut(name)
                {
                    waits.remove(&(visit.started_at, visit_path.clone()));
                    if waits.is_empty() {
                        self.signal_waits.remove(name);
                    }
                }
                if let Some(review) = visit.review() {
                    self.reviews.remove(&review.id);
                }
                if let Phase::Attempt(Attempt { number, due: None, .. }) = visit.phase {
                    let id = CommandId { path: visit_path, attempt: number };
                    if self.commands.remove(&id).is_some() && !self.opened.remove(&id) {
                        self.closed.insert(id);
                    }
                }
            }
            Place::Left => {}
        }
    }
}

fn timers(visit: &Visit) -> impl Iterator<Item = (Timestamp, Timer)> {
    let all = match &visit.phase {
        Phase::Attempt(Attempt { due, .. }) => {
            [due.map(|due| (due, Timer::Retry)), visit.deadline.map(|deadline| (deadline, Timer::Deadline))]
        }
        Phase::Wait { until } => [Some((*until, Timer::Wait)), None],
        Phase::Signal { deadline, .. } => [deadline.map(|deadline| (deadline, Timer::Signal)), None],
        Phase::Review(review) => [Some((review.deadline, Timer::Review)), None],
        Phase::Block(_) => [visit.deadline.map(|deadline| (deadline, Timer::Block)), None],
        Phase::Deciding => [None, None],
    };
    all.into_iter().flatten()
}

fn command(graph: &Graph, path: Path, visit: &Visit) -> Option<Command> {
    let Phase::Attempt(Attempt { number, due: None, interruptions }) = visit.phase else { return None };
    let kind = &graph.node(&path)?.kind;
    let (callee, timeout_ms) = match kind {
        Kind::Agent(agent) => (Callee::Plugin(agent.plugin.clone()), agent.timeout_ms),
        Kind::Workflow(child) => (Callee::Workflow(child.workflow.clone()), 0),
        _ => return None,
    };
    Some(Command {
        callee,
        input: visit.input.clone()?,
        attempts_max: visit.attempts_before.saturating_add(super::attempt::attempts_max(kind.retry()?)),
        timeout_ms,
        interruptions,
        id: CommandId { path, attempt: number },
    })
}

/// A review that waits, for lists and screens.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenReview {
    /// Its id.
    pub review_id: String,
    /// The visit that asked.
    pub path: Path,
    /// One line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// What is to be approved, with the edits so far.
    pub proposed: Arc<Value>,
    /// JSON Schema of the approved value.
    pub form: Option<Arc<Value>>,
    /// Whom it asks; empty: anybody.
    pub reviewers: Vec<String>,
    /// Approvals needed.
    pub quorum: u32,
    /// Approvals so far.
    pub approvals: u32,
    /// The latest edit, to be named by the next one.
    pub edited_by: Option<String>,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
}

/// What a part of a run waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Waiting {
    /// The time at which the whole run is to begin.
    Start {
        /// Its time.
        until: Timestamp,
    },
    /// People.
    Review {
        /// Which.
        review_id: String,
        /// The visit.
        path: Path,
        /// Until when.
        deadline: Timestamp,
    },
    /// A child run.
    Child {
        /// The visit.
        path: Path,
        /// The child's id.
        run_id: String,
    },
    /// The time of a retry.
    Retry {
        /// The visit.
        path: Path,
        /// Which attempt it will be.
        attempt: u32,
        /// Its time.
        due: Timestamp,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: Id,
        /// The visit.
        path: Path,
        /// Until when; none: for ever.
        deadline: Option<Timestamp>,
    },
    /// The run's thread, which another run writes: the whole run waits.
    Thread {
        /// Its id.
        thread_id: String,
        /// Since when.
        since: Timestamp,
    },
    /// A `wait` node's time.
    Time {
        /// The visit.
        path: Path,
        /// Its time.
        until: Timestamp,
    },
}
