//! Points of a run: where it is, to go on from there in another run (a fork) or in the same one (a retry).
//!
//! At a point, what is under way is laid down: its visit is between two events, and events begin it anew after the
//! one that took the point over. Time stands still between the point and then: what was to happen in a minute happens a
//! minute later, and nobody's deadline passes while a run lies in a drawer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failing::JournalRow;
use super::state::{
    Attempt, Block, BranchStatus, Gate, Kept, KeptSignal, Phase, Place, ReviewState, Scope, Visit,
};
use super::{Corrupt, Run, request};
use crate::event::{
    AttemptCause, BranchKey, Event, Lease, Payload, ReviewOpened, RunAdopted, RunRetried, StageEntered,
    WaitStarted,
};
use crate::graph::{Graph, Kind, Stage};
use crate::id::Id;
use crate::input::{Rejected, ReplyNext};
use crate::path::{CommandId, Path, Segment};
use crate::time::Timestamp;

/// A point of a run from which it, or another one, can go on.
#[derive(Clone, Debug)]
pub struct Point {
    pub(super) run_id: String,
    /// How many events had happened; of a failure, all.
    pub(super) seq: u64,
    /// The time of the last of them.
    pub(super) at: Timestamp,
    pub(super) stage: Stage,
    pub(super) steps: u64,
    pub(super) root: Scope,
    /// Signals that no wait had taken. A retry keeps those that the run has.
    pub(super) signals: BTreeMap<Id, VecDeque<KeptSignal>>,
    /// Of a failure: the visits that failed, and the scopes whose end did.
    pub(super) failed: Vec<Path>,
    /// The run waited for its thread and had not begun: whoever goes on from here begins.
    pub(super) fresh: bool,
}

/// A run has no such point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPoint {
    /// It had ended.
    #[error("the run had {how} by then; name an earlier event, or a node before which to leave it")]
    Ended {
        /// In words that follow `had`.
        how: &'static str,
    },
    /// It has fewer events.
    #[error("the run has {has} events; the points are 1 to {has}")]
    Beyond {
        /// How many.
        has: u64,
    },
    /// Its journal cannot be folded.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// A point as its event keeps it. Other versions are read for as long as journals with them exist.
#[derive(Serialize, Deserialize)]
struct StoredPoint {
    version: u32,
    steps: u64,
    root: Scope,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    signals: BTreeMap<Id, VecDeque<KeptSignal>>,
    /// Of a run that waited for its thread and had not begun. Absent: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    fresh: bool,
}

/// Items that were kept back and have their places, as their event keeps them.
#[derive(Serialize, Deserialize)]
struct StoredScopes {
    version: u32,
    items: BTreeMap<u32, Scope>,
}

/// Since 2 a map may keep items back. A host that reads 1 only would lose them.
const VERSION: u32 = 2;

/// What a visit that was laid down needs to go on.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Attempt {
        attempt: u32,
        due: Option<Timestamp>,
    },
    Wait {
        until: Timestamp,
    },
    Signal {
        name: Id,
        deadline: Option<Timestamp>,
    },
    Review(Box<ReviewState>),
    /// A block whose `update` or exit had failed after its join, or that has nothing open.
    Block,
    /// A scope whose end had failed.
    End,
}

/// For whom things are laid down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Fork,
    Retry,
}

impl Point {
    /// The run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// How many events of the run are in it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The visits that failed and are to be opened again, and the scopes whose end failed; empty for a fork.
    pub fn failed(&self) -> &[Path] {
        &self.failed
    }

    /// The latest point of a run within its first `seq` events. There is one before each decision and before each
    /// node that is entered.
    ///
    /// # Errors
    /// When the run had ended by then, or has fewer events.
    pub fn within(graph: Arc<Graph>, rows: &[JournalRow], seq: u64) -> Result<Point, NoPoint> {
        let rows = rows.iter().cloned().map(Ok::<_, std::convert::Infallible>);
        Point::reached(graph, rows, seq).unwrap_or_else(|never| match never {})
    }

    /// [`Point::within`] of a journal that is read as it is folded, so that a long one needs no memory. No row after the
    /// point is asked for.
    ///
    /// # Errors
    /// The outer one is the first of the rows' own.
    pub fn reached<E>(
        graph: Arc<Graph>,
        rows: impl IntoIterator<Item = Result<JournalRow, E>>,
        seq: u64,
    ) -> Result<Result<Point, NoPoint>, E> {
        let (mut run, mut has) = (None, 0_u64);
        for row in rows {
            let JournalRow { at, events } = row?;
            let before_row = has;
            has += events.len() as u64;
            if seq == 0 {
                continue;
            }
            let mut rest = has;
            if has > seq {
                // There is one before the row, and one before each node that it enters; none before the run.
                let rests = (before_row..=seq)
                    .zip(&events)
                    .filter(|(index, event)| *index == before_row || matches!(event, Event::NodeStarted(_)));
                rest = rests.map(|(index, _)| index).max().unwrap_or(before_row).max(1);
            }
            for event in events.into_iter().take(usize::try_from(rest - before_row).unwrap_or(usize::MAX)) {
                match Run::fold_on(run, &graph, at, &event) {
                    Ok(folded) => run = Some(folded),
                    Err(corrupt) => return Ok(Err(corrupt.into())),
                }
            }
            if has < seq {
                continue;
            }
            let Some(run) = run else { break };
            return Ok(match run.check_open() {
                Err(Rejected::Ended(how)) => Err(NoPoint::Ended { how }),
                _ => Ok(run.point()),
            });
        }
        Ok(Err(NoPoint::Beyond { has }))
    }

    /// As events keep it.
    pub(super) fn to_payload(&self) -> Payload {
        let (root, signals) = (self.root.clone(), self.signals.clone());
        let stored = StoredPoint { version: VERSION, steps: self.steps, root, signals, fresh: self.fresh };
        Payload::new(serde_json::to_value(stored).expect("a state is JSON: its keys are text"))
    }

    /// Moves all times of what is under way, so that time stood still until `now`.
    pub(super) fn wake_at(&mut self, now: Timestamp) {
        let span_ms = now.since_ms(self.at);
        shift(&mut self.root, span_ms);
        self.at = now;
    }
}

impl StoredPoint {
    fn read(payload: &Payload) -> Result<StoredPoint, String> {
        read(payload)
    }
}

/// What a point's format keeps.
fn read<T: DeserializeOwned>(payload: &Payload) -> Result<T, String> {
    let value = payload.value().ok_or("a point that is not at hand")?;
    let version = value.get("version").and_then(Value::as_u64);
    if !version.is_some_and(|version| (1..=u64::from(VERSION)).contains(&version)) {
        return Err(format!("a point of version {version:?}; this host reads 1 to {VERSION}"));
    }
    T::deserialize(&**value).map_err(|error| format!("a point that does not read: {error}"))
}

/// The scopes of items that have their places, as their event keeps them.
pub(super) fn scopes_payload(items: BTreeMap<u32, Scope>) -> Payload {
    let stored = StoredScopes { version: VERSION, items };
    Payload::new(serde_json::to_value(stored).expect("a state is JSON: its keys are text"))
}

/// [`scopes_payload`] read back.
pub(super) fn read_scopes(payload: &Payload) -> Result<BTreeMap<BranchKey, Scope>, String> {
    let StoredScopes { items, .. } = read(payload)?;
    Ok(items.into_iter().map(|(item, scope)| (BranchKey::Item(item), scope)).collect())
}

impl Run {
    /// Folds one more event; without a run, the first one.
    pub(super) fn fold_on(
        run: Option<Run>,
        graph: &Arc<Graph>,
        at: Timestamp,
        event: &Event,
    ) -> Result<Run, Corrupt> {
        let Some(mut run) = run else { return Run::fold(graph.clone(), None, [(at, event.clone())]) };
        let seq = run.state.seq;
        run.apply(at, event).map_err(|problem| Corrupt { seq, event: event.name().to_owned(), problem })?;
        // Nobody is told which commands come and go while a run is folded.
        run.index.opened.clear();
        run.index.closed.clear();
        Ok(run)
    }

    /// Where it is. Between two decisions only: then everything is at rest.
    pub(super) fn point(&self) -> Point {
        Point {
            run_id: self.state.started.run_id.clone(),
            seq: self.state.seq,
            // While a run waits for its thread, time stands still in it.
            at: self.state.gate.map_or(self.state.now, |gate| gate.since),
            stage: self.state.stage,
            steps: self.state.steps,
            root: self.state.root.clone(),
            signals: self.state.signals.clone(),
            failed: Vec::new(),
            fresh: self.state.starts_at.is_some() || self.state.gate.is_some_and(|gate| !gate.begun),
        }
    }

    pub(super) fn adopted(&mut self, e: &RunAdopted) -> Result<(), String> {
        if self.state.seq != 1 {
            return Err("it comes second, or not at all".to_owned());
        }
        let point = StoredPoint::read(&e.snapshot)?;
        self.state.steps = point.steps;
        self.state.signals = point.signals;
        if let Some(gate) = &mut self.state.gate {
            gate.begun = !point.fresh;
        }
        self.stand_at(point.root);
        Ok(())
    }

    pub(super) fn retried(&mut self, e: &RunRetried) -> Result<(), String> {
        if !matches!(self.state.end, Some(super::state::End::Failed { .. })) {
            return Err("the run had not failed".to_owned());
        }
        let point = StoredPoint::read(&e.snapshot)?;
        self.state.end = None;
        // A pause ended with the run: nobody could resume it since.
        self.state.paused = false;
        self.state.retries += 1;
        self.state.started.deadline = e.deadline;
        self.state.gate = match (self.state.gate, e.lease) {
            // It never had its thread: it begins when it has.
            (Some(_), _) => Some(Gate { since: self.state.now, begun: false }),
            (None, Some(Lease::Queued)) => Some(Gate { since: self.state.now, begun: true }),
            (None, _) => None,
        };
        self.remember_request(e.request_id.as_deref(), request::of_retry);
        self.stand_at(point.root);
        Ok(())
    }

    /// What a run that goes on from a point does when it has its thread.
    pub(super) fn entered(&mut self, snapshot: &Payload) -> Result<(), String> {
        let point = StoredPoint::read(snapshot)?;
        self.stand_at(point.root);
        Ok(())
    }

    pub(super) fn stand_at(&mut self, root: Scope) {
        self.state.root = root;
        let fresh = super::state::Index::of(&self.graph, &self.state);
        let index = std::mem::replace(&mut self.index, fresh);
        (self.index.opened, self.index.closed) = (index.opened, index.closed);
    }

    /// Begins anew what was laid down at a point that was just taken over.
    pub(super) fn begin_anew(&mut self, stage: Stage, works: Vec<(Path, Work)>, because: AttemptCause) {
        if stage != self.state.stage {
            self.emit(Event::StageEntered(StageEntered { stage, p: Path::root() }));
        }
        // What only goes on comes first: what is decided anew may end it.
        let (ends, goes_on): (Vec<_>, Vec<_>) =
            works.into_iter().partition(|(_, work)| matches!(work, Work::Block | Work::End));
        let mut signalled = Vec::new();
        for (p, work) in goes_on {
            let laid_down = self.visit(&p).is_some_and(|visit| visit.phase == Phase::Deciding);
            if self.state.end.is_some() || !laid_down {
                // What another item gave in the meantime has ended it.
                continue;
            }
            match work {
                Work::Attempt { attempt, due } => {
                    self.schedule(CommandId { path: p, attempt }, due, None, because);
                }
                Work::Wait { until } => self.emit(Event::WaitStarted(WaitStarted {
                    p,
                    until: Some(until),
                    signal: None,
                    deadline: None,
                })),
                Work::Signal { name, deadline } => {
                    signalled.push(p.clone());
                    self.emit(Event::WaitStarted(WaitStarted {
                        p,
                        until: None,
                        signal: Some(name),
                        deadline,
                    }));
                }
                Work::Review(review) => self.review_again(p, *review),
                Work::Block | Work::End => {}
            }
        }
        // Who waits longest is served first; of those entered in one millisecond, in order of their paths, as in the index.
        signalled.sort_by_cached_key(|p| (self.visit(p).map(|visit| visit.started_at), p.clone()));
        for p in signalled {
            // It may have come already.
            if self.state.end.is_none() {
                self.end_signal_wait(&p);
            }
        }
        for (p, work) in ends {
            if self.state.end.is_some() {
                return;
            }
            match work {
                Work::Block => match self.visit(&p).and_then(Visit::block) {
                    Some(block) if block.joined => {
                        let payload = Payload::Block(p.clone());
                        let output = self.resolve(&payload).expect("the block is there until its visit ends");
                        self.succeed(&p, payload, output, None, &ReplyNext::Edges);
                    }
                    Some(_) => self.go_on_with_block(&p),
                    None => {}
                },
                Work::End
                    if self
                        .state
                        .root
                        .inner(p.segments())
                        .is_some_and(|scope| scope.place == Place::Left) =>
                {
                    self.end_scope(&p);
                }
                _ => {}
            }
        }
    }

    /// Asks again what was asked, of people who have not answered yet.
    fn review_again(&mut self, p: Path, review: ReviewState) {
        let on_timeout = match self.graph.node(&p).map(|node| &node.kind) {
            Some(Kind::Review(review)) => super::advance::on_timeout_text(&review.on_timeout),
            _ => "fail".to_owned(),
        };
        let span_ms = review.deadline.since_ms(review.opened_at);
        self.emit(Event::ReviewOpened(Box::new(ReviewOpened {
            review_id: self.review_id(&p),
            p,
            asked_by: review.asked_by,
            title: review.title,
            reason: review.reason,
            proposed: Payload::Value(review.proposed),
            form: review.form.map(Payload::Value),
            reviewers: review.reviewers,
            quorum: review.quorum,
            deadline: self.clock.plus_ms(span_ms),
            on_timeout,
            self_approval: !review.not_by_self,
        })));
    }
}

/// Lays down what is under way in a scope, and says what it needs to go on, in order of paths. For a retry, failed
/// visits get ready to be tried again.
pub(super) fn lay_down(
    graph: &Graph,
    path: &Path,
    scope: &mut Scope,
    purpose: Purpose,
    now: Timestamp,
    works: &mut Vec<(Path, Work)>,
) {
    let Scope { place, visits, steps, .. } = scope;
    let visit = match place {
        Place::Ready(_) => return,
        Place::Left => return works.push((path.clone(), Work::End)),
        Place::At(visit) => visit,
    };
    let p = path.join(visit.segment());
    let node = visit.node.clone();
    if purpose == Purpose::Retry
        && let Some(kind) = graph.node(&p).map(|node| &node.kind).filter(|kind| kind.retry().is_some())
    {
        // Its whole time again, as its attempts.
        visit.deadline = kind.visit_ms_max().map(|span_ms| now.plus_ms(span_ms));
    }
    match std::mem::replace(&mut visit.phase, Phase::Deciding) {
        Phase::Attempt(Attempt { number, due, .. }) => {
            // An attempt that was in flight may have done something: the next one has a number of its own.
            let attempt = number + u32::from(purpose == Purpose::Retry && due.is_none());
            if purpose == Purpose::Retry {
                visit.attempts_before = attempt - 1;
            }
            works.push((p, Work::Attempt { attempt, due }));
        }
        Phase::Wait { until } => works.push((p, Work::Wait { until })),
        Phase::Signal { name, deadline } => works.push((p, Work::Signal { name, deadline })),
        Phase::Review(review) => works.push((p, Work::Review(review))),
        Phase::Block(mut block) => {
            if block.joined || block.open == 0 {
                works.push((p.clone(), Work::Block));
            }
            if let Some(Kind::Map(map)) = graph.node(&p).map(|node| &node.kind) {
                keep_back(&mut block, map.concurrency, purpose, now);
            }
            for position in 0..block.branches.len() {
                let inner = p.join(block.key(position).segment());
                if let Some(scope) = &mut block.branches[position].scope {
                    lay_down(graph, &inner, scope, purpose, now, works);
                }
            }
            visit.phase = Phase::Block(block);
        }
        Phase::Deciding => {
            let makes_attempts = graph.node(&p).is_some_and(|node| node.kind.retry().is_some());
            if makes_attempts && visit.input.is_some() {
                visit.attempts_before = visit.attempts;
                visit.reply = None;
                works.push((p, Work::Attempt { attempt: visit.attempts + 1, due: None }));
            } else {
                // It is entered once more, as the same visit.
                if let Some(entered) = node.as_ref().and_then(|id| visits.get_mut(id)) {
                    *entered = entered.saturating_sub(1);
                }
                *steps = steps.saturating_sub(1);
                *place = Place::Ready(node);
            }
        }
    }
}

/// Closes what is open in a map beyond its limit, until there is room: a retry opens what had failed beside what is open, and
/// a fork's map may allow less.
fn keep_back(block: &mut Block, concurrency: u32, purpose: Purpose, now: Timestamp) {
    let mut room = concurrency;
    for (item, branch) in (0_u32..).zip(&mut block.branches) {
        if branch.status != BranchStatus::Open {
            continue;
        }
        if room > 0 {
            room -= 1;
            continue;
        }
        let Some(scope) = branch.scope.take() else { continue };
        branch.status = BranchStatus::Pending;
        block.open -= 1;
        let kept = Kept { scope: *scope, since: now, retried: purpose == Purpose::Retry };
        block.kept.insert(item, kept);
    }
}

/// Moves the times of what is under way.
pub(super) fn shift(scope: &mut Scope, span_ms: u64) {
    let Place::At(visit) = &mut scope.place else { return };
    visit.started_at = visit.started_at.plus_ms(span_ms);
    visit.deadline = visit.deadline.map(|deadline| deadline.plus_ms(span_ms));
    match &mut visit.phase {
        Phase::Attempt(attempt) => attempt.due = attempt.due.map(|due| due.plus_ms(span_ms)),
        Phase::Wait { until } => *until = until.plus_ms(span_ms),
        Phase::Signal { deadline, .. } => *deadline = deadline.map(|deadline| deadline.plus_ms(span_ms)),
        Phase::Block(block) => {
            for branch in &mut block.branches {
                if let Some(inner) = &mut branch.scope {
                    branch.started_at = branch.started_at.map(|at| at.plus_ms(span_ms));
                    shift(inner, span_ms);
                }
            }
            for (item, kept) in &mut block.kept {
                kept.since = kept.since.plus_ms(span_ms);
                shift(&mut kept.scope, span_ms);
                if let Some(branch) = block.branches.get_mut(*item as usize) {
                    branch.started_at = branch.started_at.map(|at| at.plus_ms(span_ms));
                }
            }
        }
        // A review is asked anew with its whole time.
        Phase::Review(_) | Phase::Deciding => {}
    }
}

/// Whether what is under way in a scope can go on in this graph: the same nodes and branches, of the same kinds.
pub(super) fn fits(graph: &Graph, path: &Path, scope: &Scope) -> Result<(), String> {
    let named = |segment: &Segment| format!("`{}`", path.join(segment.clone()));
    match &scope.place {
        Place::Ready(node) => {
            let segment = node.as_ref().map_or(Segment::Sole(1), |id| Segment::Node(id.clone(), 1));
            match graph.node(&path.join(segment.clone())) {
                Some(_) => Ok(()),
                None => Err(format!("it goes on at {}, which the workflow no longer has", named(&segment))),
            }
        }
        Place::Left => Ok(()),
        Place::At(visit) => {
            let segment = visit.segment();
            let p = path.join(segment.clone());
            let node = graph.node(&p).ok_or_else(|| {
                format!("{} is under way, which the workflow no longer has", named(&segment))
            })?;
            let was = match &visit.phase {
                Phase::Attempt(_) if node.kind.retry().is_some() => node.kind.name(),
                Phase::Attempt(_) => "agent",
                Phase::Wait { .. } | Phase::Signal { .. } => "wait",
                Phase::Review(review) if review.asked_by == crate::event::AskedBy::Agent => "agent",
                Phase::Review(_) => "review",
                Phase::Block(block) if block.items.is_some() => "map",
                Phase::Block(_) => "parallel",
                Phase::Deciding => node.kind.name(),
            };
            if was != node.kind.name() {
                return Err(format!(
                    "{} is under way as `{was}`, and is `{}` in the workflow now",
                    named(&segment),
                    node.kind.name()
                ));
            }
            let Phase::Block(block) = &visit.phase else { return Ok(()) };
            if let Kind::Parallel(parallel) = &node.kind
                && !parallel.branches.iter().map(|branch| &branch.id).eq(&block.names)
            {
                return Err(format!(
                    "{} is under way with other branches than the workflow has now",
                    named(&segment)
                ));
            }
            for (position, branch) in block.branches.iter().enumerate() {
                let kept = u32::try_from(position).ok().and_then(|item| block.kept.get(&item));
                let inner = branch.scope.as_deref().or(kept.map(|kept| &kept.scope));
                let written = inner.into_iter().flat_map(|inner| &inner.writes).chain(&branch.writes);
                let own = inner.into_iter().flat_map(|inner| inner.changed.keys());
                let mut channels = written.map(|write| &write.channel).chain(own);
                if let Some(gone) = channels.find(|id| !graph.state.contains_key(*id)) {
                    return Err(format!(
                        "a branch of {} has written channel `{gone}`, which the workflow no longer has",
                        named(&segment)
                    ));
                }
                if let Some(inner) = inner {
                    fits(graph, &p.join(block.key(position).segment()), inner)?;
                }
            }
            Ok(())
        }
    }
}
