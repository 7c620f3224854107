//! Blocks: `parallel` and `map`. Starting branches, joining them, cancelling what is left.

use std::collections::{BTreeMap, VecDeque};

use super::Run;
use super::point::{self, Purpose, Work};
use super::state::{Block, BranchStatus, Json, Phase, Place};
use crate::event::{
    AttemptCause, BranchEnded, BranchKey, BranchOutcome, BranchesJoined, BranchesOpened, BranchesStarted,
    CancelCause, Event, JoinCounts, NodeCancelled, Payload, ReviewWithdrawn,
};
use crate::failure::{Class, ErrorRecord, Failure};
use crate::graph::{Join, Kind, MaxErrors, Parallel};
use crate::id::Id;
use crate::input::ReplyNext;
use crate::mistake::{self, Mistake};
use crate::path::{CommandId, Path, Segment};

/// The branches that `id` waits for, directly or not, in declared order.
pub(super) fn needs(parallel: &Parallel, id: &Id) -> Vec<Id> {
    let after =
        |id: &Id| parallel.branches.iter().find(|branch| branch.id == *id).map(|branch| &branch.after);
    let mut found: Vec<Id> = Vec::new();
    let mut open: Vec<&Id> = after(id).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if !found.contains(next) {
            found.push(next.clone());
            open.extend(after(next).into_iter().flatten());
        }
    }
    let declared = parallel.branches.iter().map(|branch| &branch.id);
    declared.filter(|id| found.contains(id)).cloned().collect()
}

/// What is to be begun anew of items that had been kept back and have their places now, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Begins {
    waiting: VecDeque<(Vec<(Path, Work)>, AttemptCause)>,
    /// Somebody further up takes them one by one: an item that ends at once makes room for the next, and there may be many.
    taken: bool,
}

/// Whether and how a join is decided.
enum Joined {
    Satisfied,
    Failed(&'static str, String),
}

impl Run {
    pub(super) fn open_parallel(&mut self, p: &Path, parallel: &Parallel) {
        let names: Vec<Id> = parallel.branches.iter().map(|branch| branch.id.clone()).collect();
        self.emit(Event::BranchesOpened(BranchesOpened { p: p.clone(), names, items: None }));
        self.go_on_with_block(p);
    }

    pub(super) fn open_map(&mut self, p: &Path, items: Json) {
        let items = Some(Payload::Value(items));
        self.emit(Event::BranchesOpened(BranchesOpened { p: p.clone(), names: Vec::new(), items }));
        self.go_on_with_block(p);
    }

    /// Ends the branch or item whose scope is `path`.
    pub(super) fn end_branch(
        &mut self,
        path: &Path,
        outcome: BranchOutcome,
        result: Option<Payload>,
        error: Option<ErrorRecord>,
    ) {
        let p = path.parent().expect("a branch is in a block");
        let branch = match path.last() {
            Some(Segment::Branch(id)) => BranchKey::Name(id.clone()),
            Some(Segment::Item(item)) => BranchKey::Item(*item),
            _ => unreachable!("a scope's path ends in a branch or an item"),
        };
        let took_ms = self.branch_took_ms(&p, &branch);
        self.emit(Event::BranchEnded(Box::new(BranchEnded {
            p: p.clone(),
            branch,
            outcome,
            result,
            error,
            took_ms,
        })));
        self.go_on_with_block(&p);
    }

    fn branch_took_ms(&self, p: &Path, branch: &BranchKey) -> Option<u64> {
        let block = self.visit(p)?.block()?;
        let started_at = block.branches.get(block.position(&branch.segment())?)?.started_at?;
        Some(self.clock.since_ms(started_at))
    }

    /// Skips what can no longer start, joins when the join is decided, else starts what may start.
    pub(super) fn go_on_with_block(&mut self, p: &Path) {
        let graph = self.graph.clone();
        let node = graph.node(p).expect("a block is a node of the graph");
        let (join, max_errors) = match &node.kind {
            Kind::Parallel(parallel) => {
                self.skip_branches(p, parallel);
                (parallel.join, parallel.max_errors)
            }
            Kind::Map(map) => (map.join, map.max_errors),
            _ => return,
        };
        let Some(block) = self.visit(p).and_then(|visit| visit.block()) else { return };
        if block.joined {
            return;
        }
        match decide_join(block, join, max_errors) {
            Some(joined) => self.join(p, joined),
            None => self.start_branches(p, node),
        }
    }

    fn skip_branches(&mut self, p: &Path, parallel: &Parallel) {
        // Each pass may skip branches that others wait for.
        loop {
            let Some(block) = self.visit(p).and_then(|visit| visit.block()) else { return };
            let status = |id: &Id| {
                let position = block.names.iter().position(|name| name == id)?;
                block.branches.get(position).map(|branch| branch.status)
            };
            let skipped = parallel.branches.iter().find_map(|branch| {
                let failed = branch
                    .after
                    .iter()
                    .find(|id| matches!(status(id), Some(BranchStatus::Failed | BranchStatus::Skipped)))?;
                (status(&branch.id) == Some(BranchStatus::Pending))
                    .then(|| (branch.id.clone(), failed.clone()))
            });
            let Some((id, failed)) = skipped else { return };
            let message = format!("branch `{id}` needs `{failed}`, which did not succeed");
            let path = p.join(Segment::Branch(id.clone()));
            let error =
                self.record(&path, Failure::permanent(Class::Skipped, "needs", message), (1, 1), None);
            self.emit(Event::BranchEnded(Box::new(BranchEnded {
                p: p.clone(),
                branch: BranchKey::Name(id),
                outcome: BranchOutcome::Skipped,
                result: None,
                error: Some(error),
                took_ms: None,
            })));
        }
    }

    fn start_branches(&mut self, p: &Path, node: &crate::graph::Node) {
        let Some(block) = self.visit(p).and_then(|visit| visit.block()) else { return };
        let branches: Vec<BranchKey> = match &node.kind {
            Kind::Parallel(parallel) => parallel
                .branches
                .iter()
                .enumerate()
                .filter(|(position, branch)| {
                    let succeeded = |id: &Id| {
                        let position = block.names.iter().position(|name| name == id);
                        position.is_some_and(|at| block.branches[at].status == BranchStatus::Succeeded)
                    };
                    block.branches[*position].status == BranchStatus::Pending
                        && branch.after.iter().all(succeeded)
                })
                .map(|(_, branch)| BranchKey::Name(branch.id.clone()))
                .collect(),
            Kind::Map(map) => {
                let count = u32::try_from(block.branches.len()).unwrap_or(u32::MAX);
                let room = usize::try_from(map.concurrency.saturating_sub(block.open)).unwrap_or(usize::MAX);
                // What was kept back had started before those.
                let items = block.kept.keys().copied().chain(block.next_item..count);
                items.take(room).map(BranchKey::Item).collect()
            }
            _ => Vec::new(),
        };
        if branches.is_empty() {
            return;
        }
        let scopes = self.take_up(p, &branches);
        self.emit(Event::BranchesStarted(BranchesStarted { p: p.clone(), branches, scopes }));
        if !std::mem::replace(&mut self.begins.taken, true) {
            while let Some((works, because)) = self.begins.waiting.pop_front() {
                self.begin_anew(self.state.stage, works, because);
            }
            self.begins.taken = false;
        }
    }

    /// Lays down what was kept back of these items, to be begun anew now.
    fn take_up(&mut self, p: &Path, branches: &[BranchKey]) -> Option<Payload> {
        let block = self.visit(p)?.block()?;
        let mut scopes = BTreeMap::new();
        let mut begins = Vec::new();
        for branch in branches {
            let BranchKey::Item(item) = branch else { continue };
            let Some(kept) = block.kept.get(item) else { continue };
            let (mut scope, mut works) = (kept.scope.clone(), Vec::new());
            point::shift(&mut scope, self.clock.since_ms(kept.since));
            let (purpose, because) = match kept.retried {
                true => (Purpose::Retry, AttemptCause::Person),
                false => (Purpose::Fork, AttemptCause::Adopted),
            };
            let inner = p.join(branch.segment());
            point::lay_down(&self.graph, &inner, &mut scope, purpose, self.clock, &mut works);
            scopes.insert(*item, scope);
            begins.push((works, because));
        }
        self.begins.waiting.extend(begins);
        (!scopes.is_empty()).then(|| point::scopes_payload(scopes))
    }

    fn join(&mut self, p: &Path, joined: Joined) {
        self.cancel_branches(p, CancelCause::Join);
        self.emit_joined(p, matches!(joined, Joined::Satisfied));
        match joined {
            Joined::Satisfied => {
                let payload = Payload::Block(p.clone());
                let output = self.resolve(&payload).expect("the block is there until its visit ends");
                self.succeed(p, payload, output, None, &ReplyNext::Edges);
            }
            Joined::Failed(code, message) => {
                let failure = Failure::permanent(Class::Join, code, message);
                self.fail_visit(p, failure, (1, 1), false, Some(Payload::Block(p.clone())));
            }
        }
    }

    fn emit_joined(&mut self, p: &Path, satisfied: bool) {
        let Some(block) = self.visit(p).and_then(|visit| visit.block()) else { return };
        let counts =
            JoinCounts { succeeded: block.succeeded, failed: block.failed, cancelled: block.cancelled };
        self.emit(Event::BranchesJoined(BranchesJoined { p: p.clone(), satisfied, counts }));
    }

    /// The block's time is up.
    pub(super) fn block_expired(&mut self, p: &Path) {
        let timeout_ms = self.graph.node(p).and_then(|node| node.kind.visit_ms_max());
        self.cancel_branches(p, CancelCause::Timeout);
        self.emit_joined(p, false);
        let message = format!("the block did not end within its `timeout` of {} ms", timeout_ms.unwrap_or(0));
        let failure = Failure::permanent(Class::Timeout, "block-timeout", message);
        self.fail_visit(p, failure, (1, 1), false, Some(Payload::Block(p.clone())));
    }

    /// Ends what is open in a block. Items and branches that never started are left as they are.
    fn cancel_branches(&mut self, p: &Path, because: CancelCause) {
        let Some(block) = self.visit(p).and_then(|visit| visit.block()) else { return };
        let open: Vec<BranchKey> = (0..block.branches.len())
            .filter(|position| block.branches[*position].status == BranchStatus::Open)
            .map(|position| block.key(position))
            .collect();
        for branch in open {
            self.cancel_scope(&p.join(branch.segment()), because);
            let took_ms = self.branch_took_ms(p, &branch);
            self.emit(Event::BranchEnded(Box::new(BranchEnded {
                p: p.clone(),
                branch,
                outcome: BranchOutcome::Cancelled,
                result: None,
                error: None,
                took_ms,
            })));
        }
    }

    /// Ends the visit that is going on in a scope, and everything inside it.
    pub(super) fn cancel_scope(&mut self, path: &Path, because: CancelCause) {
        let Some(Place::At(visit)) = self.state.root.inner(path.segments()).map(|scope| &scope.place) else {
            return;
        };
        let p = path.join(visit.segment());
        match &visit.phase {
            Phase::Attempt(attempt) => {
                let id = CommandId { path: p.clone(), attempt: attempt.number };
                self.cancel_attempt(id, because);
            }
            Phase::Review(review) => {
                let review_id = review.id.clone();
                self.emit(Event::ReviewWithdrawn(ReviewWithdrawn { review_id, p: p.clone(), because }));
            }
            Phase::Block(_) => self.cancel_branches(&p, because),
            Phase::Wait { .. } | Phase::Signal { .. } | Phase::Deciding => {}
        }
        self.emit(Event::NodeCancelled(NodeCancelled { p, because }));
    }
}

/// `None`: not yet.
fn decide_join(block: &Block, join: Join, max_errors: Option<MaxErrors>) -> Option<Joined> {
    let total = u32::try_from(block.branches.len()).unwrap_or(u32::MAX);
    let (succeeded, failed) = (block.succeeded, block.failed);
    let all_failed =
        || Joined::Failed("all-failed", format!("all {total} branches failed; {}", first_error(block)));
    match join {
        Join::Settle => {
            if let Some(allowed) = max_errors.map(|max_errors| max_errors.of(u64::from(total)))
                && u64::from(failed) > allowed
            {
                let message = format!(
                    "{failed} of {total} branches failed, `max-errors` allows {allowed}; {}",
                    first_error(block)
                );
                return Some(Joined::Failed("too-many-errors", message));
            }
            if succeeded + failed < total {
                None
            } else if succeeded > 0 || total == 0 {
                Some(Joined::Satisfied)
            } else {
                Some(all_failed())
            }
        }
        Join::All if failed > 0 => Some(Joined::Failed(
            "branch-failed",
            format!("`join: all` needs every branch; {}", first_error(block)),
        )),
        Join::All => (succeeded == total).then_some(Joined::Satisfied),
        Join::Any if succeeded > 0 => Some(Joined::Satisfied),
        Join::Any if total == 0 => Some(Joined::Failed(
            "all-failed",
            "`join: any` needs one success, but there were no items".to_owned(),
        )),
        Join::Any => (failed == total).then(all_failed),
        Join::Quorum(needed) if succeeded + u32::from(mistake::is(Mistake::QuorumOneShort)) >= needed => {
            Some(Joined::Satisfied)
        }
        Join::Quorum(needed) if total - failed < needed => {
            let message = format!(
                "the quorum of {needed} is out of reach: {failed} of {total} branches failed; {}",
                first_error(block)
            );
            Some(Joined::Failed("quorum-lost", message))
        }
        Join::Quorum(_) => None,
    }
}

/// The first failed branch in words.
fn first_error(block: &Block) -> String {
    let failed = block
        .branches
        .iter()
        .enumerate()
        .find_map(|(position, branch)| Some((position, branch.error.as_ref()?)));
    match failed {
        None => "no branch failed".to_owned(),
        Some((position, error)) => {
            let name = match block.key(position) {
                BranchKey::Name(name) => format!("branch `{name}`"),
                BranchKey::Item(item) => format!("item {item}"),
            };
            format!("the first, {name}: {}", error["message"].as_str().unwrap_or("no message"))
        }
    }
}
