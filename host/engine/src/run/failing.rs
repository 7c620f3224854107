//! Where a failed run goes on when it is retried: just before what made it fail.
//!
//! A failure spreads within one decision: a visit fails, with it its branch, with that perhaps the block, and so on up
//! to the run. So the run is taken as it was before the first event of that *spread*, which may be in the middle of a
//! row: what finished in the same decision stays finished. Branches that had failed before, and which the failed blocks
//! counted, are taken as they were before their own failures, and put in their places: what went on beside them in
//! the meantime stays, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::point::{Point, shift};
use super::state::{Attempt, BranchStatus, Phase, Place, Scope};
use super::{Corrupt, Run};
use crate::event::{BranchOutcome, Event};
use crate::graph::{Graph, Stage};
use crate::path::Path;
use crate::time::Timestamp;

/// One row of a run's journal: a decision.
#[derive(Clone, Debug)]
pub struct JournalRow {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub events: Vec<Event>,
}

/// A run cannot be retried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRetried {
    /// It did not end as failed.
    #[error("the run's last event is not its failure")]
    NotFailed,
    /// Its journal cannot be folded.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// What had failed is not where the journal says.
    #[error(
        "the journal does not tell where `{0}` had been before it failed; please report it with the run's journal"
    )]
    Lost(Path),
}

/// Events from `from` to before `to`, by number, in which a failure spread. They are of one row.
#[derive(Clone, Copy, Debug)]
struct Spread {
    from: u64,
    to: u64,
    at: Timestamp,
}

/// What the events alone say about failures. Of a journal it keeps only that.
struct Analysis {
    /// How many events there are.
    count: u64,
    /// The latest failure of each branch's scope.
    branches: BTreeMap<Path, Spread>,
    /// The joins that were not satisfied, by event.
    broken_joins: BTreeMap<u64, Path>,
    /// The run's failure, which is the last event.
    run: Spread,
}

impl Point {
    /// Where a failed run goes on when it is retried, by its whole journal. Nothing of it is decided again but what
    /// failed.
    ///
    /// # Errors
    /// When the run has not failed, or the journal cannot be folded.
    pub fn of_failure(graph: Arc<Graph>, rows: &[JournalRow]) -> Result<Point, NotRetried> {
        let rows = || rows.iter().cloned().map(Ok::<_, std::convert::Infallible>);
        Point::before_failure(graph, rows).unwrap_or_else(|never| match never {})
    }

    /// [`Point::of_failure`] of a journal that is read as it is folded, twice, so that a long one needs no memory.
    ///
    /// # Errors
    /// The outer one is the first of the rows' own.
    pub fn before_failure<E, I>(
        graph: Arc<Graph>,
        rows: impl Fn() -> I,
    ) -> Result<Result<Point, NotRetried>, E>
    where
        I: IntoIterator<Item = Result<JournalRow, E>>,
    {
        let Some(analysis) = Analysis::of(rows())? else { return Ok(Err(NotRetried::NotFailed)) };
        let mut wanted = BTreeMap::new();
        analysis.want(&Path::root(), analysis.run, &mut wanted);
        let taken = analysis.take(&graph, &wanted, rows())?;
        Ok(taken.and_then(|(taken, before)| analysis.point(&graph, &taken, before)))
    }
}

/// What is kept of the run just before its failure spread.
struct Before {
    run_id: String,
    stage: Stage,
}

impl Analysis {
    /// `None`: the last event is not a failure of the run.
    fn of<E>(rows: impl IntoIterator<Item = Result<JournalRow, E>>) -> Result<Option<Analysis>, E> {
        let mut count = 0_u64;
        let (mut branches, mut broken_joins) = (BTreeMap::new(), BTreeMap::new());
        let mut run = None;
        for row in rows {
            let row = row?;
            let mut from: Option<u64> = None;
            for event in &row.events {
                let index = count;
                count += 1;
                match event {
                    Event::NodeFailed(_)
                    | Event::NodeCancelled(_)
                    | Event::AttemptCancelled(_)
                    | Event::ReviewWithdrawn(_) => {
                        from.get_or_insert(index);
                    }
                    Event::StageEntered(e) if e.stage == Stage::Error && e.p == Path::root() => {
                        from.get_or_insert(index);
                    }
                    Event::BranchesJoined(e) if !e.satisfied => {
                        from.get_or_insert(index);
                        broken_joins.insert(index, e.p.clone());
                    }
                    // Signals left over are listed while the failure spreads.
                    Event::Warning(_) => {}
                    Event::BranchEnded(e) => match e.outcome {
                        BranchOutcome::Succeeded => from = None,
                        BranchOutcome::Skipped => {}
                        BranchOutcome::Cancelled => {
                            from.get_or_insert(index);
                        }
                        BranchOutcome::Failed => {
                            let from = *from.get_or_insert(index);
                            let spread = Spread { from, to: index, at: row.at };
                            branches.insert(e.p.join(e.branch.segment()), spread);
                        }
                    },
                    Event::RunFailed(_) => {
                        run = Some(Spread { from: from.unwrap_or(index), to: index, at: row.at });
                    }
                    _ => from = None,
                }
            }
        }
        let run = run.filter(|run| run.to + 1 == count);
        Ok(run.map(|run| Analysis { count, branches, broken_joins, run }))
    }

    /// The point, of the scopes that were taken.
    fn point(
        &self,
        graph: &Graph,
        taken: &BTreeMap<Path, Scope>,
        before: Before,
    ) -> Result<Point, NotRetried> {
        let failed_at = self.run.at;
        let mut failed = Vec::new();
        let mut root = self.put_together(&Path::root(), self.run, failed_at, taken)?;
        refresh_overdue(graph, &Path::root(), &mut root, failed_at, &mut failed);
        find_failed(&Path::root(), &root, &mut failed);
        // A branch that may enter no more nodes stopped between two visits.
        let stopped = self.branches.keys().filter(|branch| {
            root.inner(branch.segments()).is_some_and(|scope| matches!(scope.place, Place::Ready(_)))
        });
        failed.extend(stopped.cloned());
        failed.sort();
        failed.dedup();
        Ok(Point {
            run_id: before.run_id,
            seq: self.count,
            at: failed_at,
            stage: before.stage,
            steps: 0,
            root,
            signals: BTreeMap::new(),
            failed,
            fresh: false,
        })
    }

    /// The branches that the blocks which failed in this spread had lost before it.
    fn lost_before(&self, scope: &Path, spread: Spread) -> impl Iterator<Item = (&Path, Spread)> {
        let joins = self.broken_joins.range(spread.from..spread.to).map(|(_, block)| block);
        let blocks: Vec<&Path> = joins.filter(|block| block.is_within(scope)).collect();
        self.branches
            .iter()
            .filter(move |(branch, lost)| {
                lost.to < spread.from
                    && branch.parent().is_some_and(|block| blocks.iter().any(|failed| **failed == block))
            })
            .map(|(branch, lost)| (branch, *lost))
    }

    /// Which scopes are to be taken before which events.
    fn want(&self, scope: &Path, spread: Spread, wanted: &mut BTreeMap<u64, Vec<Path>>) {
        wanted.entry(spread.from).or_default().push(scope.clone());
        for (branch, lost) in self.lost_before(scope, spread) {
            self.want(branch, lost, wanted);
        }
    }

    /// Folds the journal up to the failure and takes them.
    #[allow(clippy::type_complexity, reason = "the two results are told in `Point::before_failure`")]
    fn take<E>(
        &self,
        graph: &Arc<Graph>,
        wanted: &BTreeMap<u64, Vec<Path>>,
        rows: impl IntoIterator<Item = Result<JournalRow, E>>,
    ) -> Result<Result<(BTreeMap<Path, Scope>, Before), NotRetried>, E> {
        let mut taken = BTreeMap::new();
        let (mut run, mut index) = (None::<Run>, 0_u64);
        for row in rows {
            let JournalRow { at, events } = row?;
            for event in events {
                if let Some(run) = &run {
                    for path in wanted.get(&index).into_iter().flatten() {
                        let Some(scope) = run.state.root.inner(path.segments()) else {
                            return Ok(Err(NotRetried::Lost(path.clone())));
                        };
                        taken.insert(path.clone(), scope.clone());
                    }
                }
                if index == self.run.from
                    && let Some(run) = run
                {
                    let (run_id, stage) = (run.state.started.run_id.clone(), run.state.stage);
                    return Ok(Ok((taken, Before { run_id, stage })));
                }
                match Run::fold_on(run, graph, at, &event) {
                    Ok(folded) => run = Some(folded),
                    Err(corrupt) => return Ok(Err(corrupt.into())),
                }
                index += 1;
            }
        }
        Ok(Err(NotRetried::Lost(Path::root())))
    }

    /// The scope as it was before the spread, with the branches that were lost before, all as if at `at`.
    fn put_together(
        &self,
        path: &Path,
        spread: Spread,
        at: Timestamp,
        taken: &BTreeMap<Path, Scope>,
    ) -> Result<Scope, NotRetried> {
        let mut scope = taken.get(path).ok_or_else(|| NotRetried::Lost(path.clone()))?.clone();
        shift(&mut scope, at.since_ms(spread.at));
        for (branch, lost) in self.lost_before(path, spread) {
            let inner = self.put_together(branch, lost, at, taken)?;
            put_back(&mut scope, path, branch, inner).ok_or_else(|| NotRetried::Lost(branch.clone()))?;
        }
        Ok(scope)
    }
}

/// Opens a failed branch of a block again, with the siblings that were skipped because of failures. A branch that was
/// retried before and did not fail since is left alone.
fn put_back(scope: &mut Scope, path: &Path, branch: &Path, inner: Scope) -> Option<()> {
    let (segment, block) = branch.segments().split_last()?;
    let (visit, block) = block.split_last()?;
    let around = scope.inner_mut(block.get(path.segments().len()..)?)?;
    let block = around.visit_mut(visit)?.block_mut()?;
    let position = block.position(segment)?;
    let state = block.branches.get_mut(position)?;
    if state.status != BranchStatus::Failed {
        return Some(());
    }
    state.status = BranchStatus::Open;
    state.scope = Some(Box::new(inner));
    state.error = None;
    state.took_ms = None;
    block.failed -= 1;
    block.open += 1;
    for skipped in block.branches.iter_mut().filter(|branch| branch.status == BranchStatus::Skipped) {
        skipped.status = BranchStatus::Pending;
        skipped.error = None;
        block.failed -= 1;
    }
    Some(())
}

/// A block whose time was up gets its whole time again. An agent whose time was up, and that waited for its next attempt,
/// need not wait for it any longer.
fn refresh_overdue(graph: &Graph, path: &Path, scope: &mut Scope, now: Timestamp, failed: &mut Vec<Path>) {
    let Place::At(visit) = &mut scope.place else { return };
    let p = path.join(visit.segment());
    if visit.deadline.is_some_and(|deadline| deadline <= now) {
        let timeout_ms = graph.node(&p).and_then(|node| node.kind.visit_ms_max());
        visit.deadline = timeout_ms.map(|timeout_ms| now.plus_ms(timeout_ms));
        if let Phase::Attempt(Attempt { due: Some(due), .. }) = &mut visit.phase {
            *due = now;
        }
        failed.push(p.clone());
    }
    if let Phase::Block(block) = &mut visit.phase {
        for position in 0..block.branches.len() {
            let inner = p.join(block.key(position).segment());
            if let Some(scope) = &mut block.branches[position].scope {
                refresh_overdue(graph, &inner, scope, now, failed);
            }
        }
    }
}

/// The visits that had failed, and the scopes whose end had.
fn find_failed(path: &Path, scope: &Scope, failed: &mut Vec<Path>) {
    let visit = match &scope.place {
        Place::Ready(_) => return,
        Place::Left => return failed.push(path.clone()),
        Place::At(visit) => visit,
    };
    let p = path.join(visit.segment());
    match &visit.phase {
        Phase::Deciding => failed.push(p),
        Phase::Block(block) => {
            if block.joined || block.open == 0 {
                failed.push(p.clone());
            }
            for (position, branch) in block.branches.iter().enumerate() {
                if let Some(inner) = &branch.scope {
                    find_failed(&p.join(block.key(position).segment()), inner, failed);
                }
            }
        }
        Phase::Attempt(_) | Phase::Wait { .. } | Phase::Signal { .. } | Phase::Review(_) => {}
    }
}
