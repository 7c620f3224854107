//! Folding events into the state. Nothing is decided here: no expression, policy, default or random number.
//!
//! Every arm checks that the event follows from what was before, so that a damaged journal is found instead of believed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::state::{
    Attempt, Block, BranchState, BranchStatus, ClosedReview, End, GivenAnswer, Json, KeptSignal, Phase,
    Place, REMEMBERED_MAX, ReviewState, Scope, State, View, Visit, VisitStatus,
};
use super::write;
use super::{Run, point, request};
use crate::event::{
    AskedBy, BranchEnded, BranchKey, BranchOutcome, Event, NodeFailed, NodeStarted, NodeSucceeded, Payload,
    ReviewAnswered, ReviewOpened, ReviewOutcome, RouteDecided, RunStarted, WaitCause, WaitEnded,
};
use crate::graph::{Body, Graph, Kind, Stage, Target};
use crate::id::Id;
use crate::input::Spent;
use crate::mistake::{self, Mistake};
use crate::path::{Path, Segment};
use crate::time::Timestamp;

impl State {
    /// The state after `run.started`.
    pub(super) fn begin(graph: &Graph, started: &RunStarted, now: Timestamp) -> Result<State, String> {
        let mut channels = BTreeMap::new();
        for (id, channel) in &graph.state {
            let value = match started.state.get(id) {
                Some(payload) => payload.value().ok_or("a first value that is not at hand")?.clone(),
                None => write::initial(channel.reduce),
            };
            channels.insert(id.clone(), value.into());
        }
        started.input.value().ok_or("an input that is not at hand")?;
        let begun = super::thread::Begun::of(graph, started, now);
        Ok(State {
            started: started.clone(),
            started_at: now,
            now,
            seq: 0,
            steps: 0,
            stage: Stage::Init,
            paused: false,
            end: None,
            root: Scope { changed: Arc::new(channels), ..Scope::ready(Some(graph.root.start.clone())) },
            signals: BTreeMap::new(),
            requests: Default::default(),
            requested: Default::default(),
            closed_reviews: Default::default(),
            retries: 0,
            gate: begun.gate,
            starts_at: started.start_at,
            unwritten: begun.unwritten,
            spent: Spent::default(),
        })
    }
}

impl Run {
    /// Folds one event. `Err` says why it does not follow from what was before.
    pub(super) fn apply(&mut self, at: Timestamp, event: &Event) -> Result<(), String> {
        if self.state.end.is_some() && !matches!(event, Event::RunRetried(_)) {
            return Err("the run has ended".to_owned());
        }
        self.state.now = self.state.now.max(at);
        match event {
            Event::RunStarted(_) if self.state.seq > 0 => return Err("a second start".to_owned()),
            Event::RunStarted(_) | Event::Warning(_) => {}
            Event::RunDue(e) => {
                self.state.starts_at.take().ok_or("it has begun already")?;
                self.state.started.deadline = e.deadline;
                self.state.started_at = self.state.now;
                self.stand_at(self.state.root.clone());
            }
            Event::RunAdopted(e) => self.adopted(e)?,
            Event::RunRetried(e) => self.retried(e)?,
            Event::RunSucceeded(e) => {
                let output = self.resolve(&e.output)?;
                self.end(End::Succeeded { output })?;
            }
            Event::RunFailed(e) => self.end(End::Failed { error: e.error.clone() })?,
            Event::RunCancelled(e) => {
                self.end(End::Cancelled { by: e.by.clone(), reason: e.reason.clone() })?
            }
            Event::RunPaused(_) if self.state.paused => return Err("it is paused already".to_owned()),
            Event::RunPaused(_) => self.state.paused = true,
            Event::RunResumed(_) if !self.state.paused => return Err("it is not paused".to_owned()),
            Event::RunResumed(_) => self.state.paused = false,
            Event::RunKilled(e) => {
                self.index.clear();
                self.state.root.place = Place::Left;
                self.state.end = Some(End::Killed { by: e.by.clone(), reason: e.reason.clone() });
            }
            Event::StageEntered(e) => self.state.stage = e.stage,
            Event::NodeStarted(e) => self.node_started(e)?,
            Event::NodeSucceeded(e) => self.node_succeeded(e)?,
            Event::NodeFailed(e) => self.node_failed(e)?,
            Event::NodeCancelled(e) => {
                let segment = e.p.last().ok_or("no visit")?.clone();
                self.change(&scope_of(&e.p)?, |scope| {
                    scope.visit(&segment).ok_or("no such visit")?;
                    scope.place = Place::Left;
                    Ok(())
                })?;
            }
            Event::AttemptScheduled(e) => {
                let attempt = Attempt { number: e.attempt, due: e.due, interruptions: 0 };
                let now = self.state.now;
                self.change_phase(&e.p, |visit| {
                    visit.attempts = e.attempt;
                    if mistake::is(Mistake::DeadlineRestarts) {
                        let gone_ms = now.since_ms(visit.started_at);
                        visit.deadline = visit.deadline.map(|deadline| deadline.plus_ms(gone_ms));
                    }
                    Ok(Phase::Attempt(attempt))
                })?;
            }
            Event::AttemptDue(e) => self.change_phase(&e.p, |visit| match &visit.phase {
                Phase::Attempt(Attempt { number, due: Some(_), .. }) if *number == e.attempt => {
                    Ok(Phase::Attempt(Attempt { number: *number, due: None, interruptions: 0 }))
                }
                _ => Err("that attempt does not wait".to_owned()),
            })?,
            Event::AttemptInterrupted(e) => self.change_phase(&e.p, |visit| match &visit.phase {
                Phase::Attempt(Attempt { number, due: None, .. }) if *number == e.attempt => {
                    Ok(Phase::Attempt(Attempt { number: *number, due: None, interruptions: e.times }))
                }
                _ => Err("that attempt is not owed".to_owned()),
            })?,
            Event::AttemptSucceeded(e) => {
                self.state.spent.add(&e.usage);
                let output = self.resolve(&e.output)?;
                self.change_phase(&e.p, |visit| {
                    owed(visit, e.attempt)?;
                    visit.reply = Some(output);
                    visit.confidence = e.confidence;
                    Ok(Phase::Deciding)
                })?;
            }
            Event::AttemptFailed(e) => {
                self.state.spent.add(&e.usage);
                self.change_phase(&e.p, |visit| {
                    owed(visit, e.attempt)?;
                    Ok(Phase::Deciding)
                })?;
            }
            Event::AttemptCancelled(e) => self.change_phase(&e.p, |visit| match &visit.phase {
                Phase::Attempt(attempt) if attempt.number == e.attempt => Ok(Phase::Deciding),
                _ => Err("no such attempt".to_owned()),
            })?,
            Event::EdgeTaken(e) => self.edge_taken(&e.p, &e.to)?,
            Event::RouteDecided(e) => self.route_decided(e)?,
            Event::BranchesOpened(e) => {
                let items = e.items.as_ref().map(|items| self.resolve(items)).transpose()?;
                let block = open_block(e.names.clone(), items)?;
                self.change_phase(&e.p, |_| Ok(Phase::Block(Box::new(block))))?;
            }
            Event::BranchesStarted(e) => {
                let mut scopes = e.scopes.as_ref().map(point::read_scopes).transpose()?.unwrap_or_default();
                for branch in &e.branches {
                    match scopes.remove(branch) {
                        Some(scope) => self.item_taken_up(&e.p, branch, scope)?,
                        None => self.branch_started(&e.p, &branch.segment())?,
                    }
                }
            }
            Event::BranchEnded(e) => self.branch_ended(e)?,
            Event::BranchesJoined(e) => {
                let block = self.block_mut(&e.p)?;
                none_open(block)?;
                block.joined = true;
            }
            Event::ReviewOpened(e) => self.review_opened(e)?,
            Event::ReviewAnswered(e) => self.review_answered(e)?,
            Event::ReviewDecided(e) => self.review_decided(&e.p, &e.review_id, e.outcome)?,
            Event::ReviewWithdrawn(e) => {
                self.change_phase(&e.p, |visit| {
                    visit.review().filter(|review| review.id == e.review_id).ok_or("no such review")?;
                    Ok(Phase::Deciding)
                })?;
                self.remember_review(&e.review_id, ClosedReview::Withdrawn);
            }
            Event::WaitStarted(e) => {
                let phase = match (e.until, &e.signal) {
                    (Some(until), None) => Phase::Wait { until },
                    (None, Some(name)) => Phase::Signal { name: name.clone(), deadline: e.deadline },
                    _ => return Err("a wait for a time or for a signal".to_owned()),
                };
                self.change_phase(&e.p, |_| Ok(phase))?;
            }
            Event::WaitEnded(e) => self.wait_ended(e)?,
            Event::SignalReceived(e) => {
                let data = self.resolve(&e.data)?;
                self.remember_request(e.request_id.as_deref(), || request::of_signal(e.name.as_str(), &data));
                let kept = KeptSignal { id: e.signal_id.clone(), data };
                if !mistake::is(Mistake::SignalLost) || self.index.signal_waits.contains_key(&e.name) {
                    self.state.signals.entry(e.name.clone()).or_default().push_back(kept);
                }
            }
            Event::CheckpointNamed(_) => {}
            Event::ThreadEntered(e) => self.thread_entered(e)?,
            Event::ThreadWritten(e) => self.thread_written(e)?,
        }
        self.state.seq += 1;
        Ok(())
    }

    fn end(&mut self, end: End) -> Result<(), String> {
        self.change(&Path::root(), |scope| {
            scope.place = Place::Left;
            Ok(())
        })?;
        self.state.end = Some(end);
        Ok(())
    }

    fn node_started(&mut self, e: &NodeStarted) -> Result<(), String> {
        let input = e.input.as_ref().map(|input| self.resolve(input)).transpose()?;
        let cache_key = e.cache_key.as_ref().map(|key| self.resolve(key)).transpose()?;
        let (node, number) = match e.p.last() {
            Some(Segment::Node(id, number)) => (Some(id.clone()), *number),
            Some(Segment::Sole(number)) => (None, *number),
            _ => return Err("not a visit".to_owned()),
        };
        let now = self.state.now;
        self.change(&scope_of(&e.p)?, |scope| {
            match &scope.place {
                Place::Ready(ready) if *ready == node => {}
                _ => return Err("the scope is not about to enter it".to_owned()),
            }
            if let Some(id) = &node {
                let visits = scope.visits.entry(id.clone()).or_insert(0);
                *visits += 1;
                if *visits != number {
                    return Err(format!("visit {number} after {} visits", *visits - 1));
                }
            }
            scope.steps += 1;
            scope.place = Place::At(Box::new(Visit {
                node,
                number,
                started_at: now,
                input,
                cache_key,
                reply: None,
                confidence: None,
                attempts: 1,
                attempts_before: 0,
                deadline: e.deadline,
                phase: Phase::Deciding,
            }));
            Ok(())
        })?;
        self.state.steps += 1;
        Ok(())
    }

    fn node_succeeded(&mut self, e: &NodeSucceeded) -> Result<(), String> {
        let output = self.resolve(&e.output)?;
        let path = scope_of(&e.p)?;
        self.apply_join(&e.p)?;
        e.update.iter().try_for_each(|write| self.apply_write(&path, write))?;
        let segment = e.p.last().ok_or("no visit")?;
        self.change(&path, |scope| {
            let visit = scope.visit(segment).ok_or("no such visit")?;
            let view = View {
                output: Some(output.clone()),
                error: None,
                visits: visit.number,
                status: if e.expired { VisitStatus::Expired } else { VisitStatus::Succeeded },
                confidence: e.confidence,
                routing: None,
            };
            if let Some(id) = visit.node.clone() {
                Arc::make_mut(&mut scope.views).insert(id, view);
            }
            scope.last_output = Some(output);
            scope.place = Place::Left;
            Ok(())
        })
    }

    fn node_failed(&mut self, e: &NodeFailed) -> Result<(), String> {
        let block = e.error.block.as_ref().map(|block| self.resolve(block)).transpose()?;
        let error = e.error.to_visible(block.as_deref());
        let segment = e.p.last().ok_or("no visit")?;
        self.change(&scope_of(&e.p)?, |scope| {
            let visit = scope.visit_mut(segment).ok_or("no such visit")?;
            visit.phase = Phase::Deciding;
            let view = View {
                output: None,
                error: Some(error.clone()),
                visits: visit.number,
                status: VisitStatus::Failed,
                confidence: None,
                routing: None,
            };
            if let Some(id) = visit.node.clone() {
                Arc::make_mut(&mut scope.views).insert(id, view);
            }
            if e.caught {
                scope.error = Some(error);
            } else {
                scope.place = Place::Left;
            }
            Ok(())
        })
    }

    fn edge_taken(&mut self, p: &Path, to: &Target) -> Result<(), String> {
        self.change(&scope_of(p)?, |scope| {
            if let Place::Ready(_) = scope.place {
                return Err("the scope has left that node".to_owned());
            }
            scope.place = match to {
                Target::End => Place::Left,
                Target::Node(id) => Place::Ready(Some(id.clone())),
            };
            Ok(())
        })
    }

    fn route_decided(&mut self, e: &RouteDecided) -> Result<(), String> {
        let Some(Segment::Node(id, _)) = e.p.last() else { return Err("not a node with a route".to_owned()) };
        let scope = self.state.root.inner_mut(scope_of(&e.p)?.segments()).ok_or("no such scope")?;
        let view =
            Arc::make_mut(&mut scope.views).get_mut(id).ok_or("a route of a node that was not visited")?;
        view.routing = Some(routing(e));
        Ok(())
    }

    fn branch_started(&mut self, p: &Path, segment: &Segment) -> Result<(), String> {
        let (Some(node), now) = (self.graph.node(p), self.state.now) else {
            return Err("no such block".to_owned());
        };
        let (body, needs): (&Body, Vec<Id>) = match (&node.kind, segment) {
            (Kind::Parallel(parallel), Segment::Branch(id)) => {
                let branch =
                    parallel.branches.iter().find(|branch| branch.id == *id).ok_or("no such branch")?;
                (&branch.body, super::block::needs(parallel, &branch.id))
            }
            (Kind::Map(map), Segment::Item(_)) => (&map.body, Vec::new()),
            _ => return Err("no such branch".to_owned()),
        };
        let start = match body {
            Body::Graph(graph) => Some(graph.start.clone()),
            Body::Node(_) => None,
        };
        // What the branches it waited for have written is in its state, though not among its own writes.
        let mut inherited: BTreeMap<Id, Json> = BTreeMap::new();
        let scope = scope_of(p)?;
        let block = self.visit(p).and_then(Visit::block).ok_or("no such block")?;
        for (name, branch) in block.names.iter().zip(&block.branches) {
            if needs.contains(name) {
                for write in &branch.writes {
                    let operand = write.value.value().ok_or("a write without its value")?;
                    let current = match inherited.remove(&write.channel) {
                        Some(value) => value,
                        None => self.channel(&scope, &write.channel).ok_or("no such channel")?,
                    };
                    inherited.insert(write.channel.clone(), write::reduce(write.op, current, operand)?);
                }
            }
        }
        let inner = p.join(segment.clone());
        let block = self.block_mut(p)?;
        let position = block.position(segment).ok_or("no such branch")?;
        let branch = block.branches.get_mut(position).ok_or("no such branch")?;
        if branch.status != BranchStatus::Pending {
            return Err("that branch has started".to_owned());
        }
        branch.status = BranchStatus::Open;
        branch.started_at = Some(now);
        let changed = inherited.into_iter().map(|(id, value)| (id, value.into())).collect();
        branch.scope = Some(Box::new(Scope { changed: Arc::new(changed), ..Scope::ready(start.clone()) }));
        block.open += 1;
        if let Segment::Item(item) = segment {
            if block.kept.contains_key(item) {
                return Err("that item was kept back, and goes on".to_owned());
            }
            block.next_item = item + 1;
        }
        self.index.add_place(&self.graph, &inner, &Place::Ready(start));
        Ok(())
    }

    /// An item that was kept back has its place.
    fn item_taken_up(&mut self, p: &Path, branch: &BranchKey, scope: Scope) -> Result<(), String> {
        let now = self.state.now;
        let segment = branch.segment();
        let block = self.block_mut(p)?;
        let position = block.position(&segment).ok_or("no such item")?;
        let BranchKey::Item(item) = branch else { return Err("not an item".to_owned()) };
        let kept = block.kept.remove(item).ok_or("that item was not kept back")?;
        let state = block.branches.get_mut(position).ok_or("no such item")?;
        if state.status != BranchStatus::Pending {
            return Err("that item has started".to_owned());
        }
        state.status = BranchStatus::Open;
        state.started_at = state.started_at.map(|at| at.plus_ms(now.since_ms(kept.since)));
        block.open += 1;
        self.index.add_scope(&self.graph, &p.join(segment), &scope);
        let block = self.block_mut(p)?;
        block.branches[position].scope = Some(Box::new(scope));
        Ok(())
    }

    fn branch_ended(&mut self, e: &BranchEnded) -> Result<(), String> {
        let result = e.result.as_ref().map(|result| self.resolve(result)).transpose()?;
        let error = match &e.error {
            None => None,
            Some(record) => {
                let block = record.block.as_ref().map(|block| self.resolve(block)).transpose()?;
                Some(record.to_visible(block.as_deref()))
            }
        };
        let segment = e.branch.segment();
        let block = self.block_mut(&e.p)?;
        let position = block.position(&segment).ok_or("no such branch")?;
        let branch = block.branches.get_mut(position).ok_or("no such branch")?;
        let was_open = match branch.status {
            BranchStatus::Open => true,
            BranchStatus::Pending => false,
            _ => return Err("that branch has ended".to_owned()),
        };
        let scope = branch.scope.take();
        branch.took_ms = e.took_ms;
        branch.status = match e.outcome {
            BranchOutcome::Succeeded => BranchStatus::Succeeded,
            BranchOutcome::Failed => BranchStatus::Failed,
            BranchOutcome::Skipped => BranchStatus::Skipped,
            BranchOutcome::Cancelled => BranchStatus::Cancelled,
        };
        branch.result = result;
        branch.error = error;
        let mut place = None;
        if let Some(scope) = scope {
            let Scope { writes, place: last, .. } = *scope;
            if e.outcome == BranchOutcome::Succeeded {
                branch.writes = writes;
            }
            place = Some(last);
        }
        block.open -= u32::from(was_open);
        match e.outcome {
            BranchOutcome::Succeeded => block.succeeded += 1,
            BranchOutcome::Failed | BranchOutcome::Skipped => block.failed += 1,
            BranchOutcome::Cancelled => block.cancelled += 1,
        }
        if let Some(place) = place {
            self.index.remove_place(&e.p.join(segment), &place);
        }
        Ok(())
    }

    fn wait_ended(&mut self, e: &WaitEnded) -> Result<(), String> {
        let phase = self.visit(&e.p).map(|visit| &visit.phase);
        let taken = match (phase, &e.because) {
            (Some(Phase::Wait { .. }), WaitCause::Time)
            | (Some(Phase::Signal { .. }), WaitCause::Timeout) => None,
            (Some(Phase::Signal { name, .. }), WaitCause::Signal(id)) => {
                let name = name.clone();
                let kept = self.state.signals.get_mut(&name).ok_or("no such signal was kept")?;
                let taken = next_signal(kept).filter(|at| kept[*at].id == *id).and_then(|at| kept.remove(at));
                if kept.is_empty() {
                    self.state.signals.remove(&name);
                }
                Some(taken.ok_or("that signal is not the oldest of its name")?.data)
            }
            _ => return Err("it does not wait for that".to_owned()),
        };
        self.change_phase(&e.p, |visit| {
            if taken.is_some() {
                visit.reply = taken;
            }
            Ok(Phase::Deciding)
        })
    }

    /// Keeps in mind that a request has come, to know it when it comes again.
    fn review_opened(&mut self, e: &ReviewOpened) -> Result<(), String> {
        let proposed = self.resolve(&e.proposed)?;
        let form = e.form.as_ref().map(|form| self.resolve(form)).transpose()?;
        let review = ReviewState {
            id: e.review_id.clone(),
            asked_by: e.asked_by,
            title: e.title.clone(),
            reason: e.reason.clone(),
            value: proposed.clone(),
            proposed,
            form,
            reviewers: e.reviewers.clone(),
            quorum: e.quorum,
            opened_at: self.state.now,
            deadline: e.deadline,
            answers: Vec::new(),
            not_by_self: !e.self_approval,
        };
        self.change_phase(&e.p, |_| Ok(Phase::Review(Box::new(review))))
    }

    fn review_answered(&mut self, e: &ReviewAnswered) -> Result<(), String> {
        let changes = e.changes.as_ref().map(|changes| self.resolve(changes)).transpose()?;
        self.remember_request(e.request_id.as_deref(), || request::of_answer(e, changes.as_deref()));
        self.change(&scope_of(&e.p)?, |scope| {
            let visit = scope.visit_mut(e.p.last().ok_or("no visit")?).ok_or("no such visit")?;
            let Phase::Review(review) = &mut visit.phase else { return Err("it is not a review".to_owned()) };
            if review.id != e.review_id {
                return Err("another review".to_owned());
            }
            if let Some(changes) = &changes {
                review.value = Arc::new(merge_patch(&review.value, changes));
            }
            review.answers.push(GivenAnswer {
                id: e.feedback_id.clone(),
                reviewer: e.reviewer.clone(),
                decision: e.decision,
                comments: e.comments.clone(),
                changes,
                confidence: e.confidence,
                at: e.at,
            });
            Ok(())
        })
    }

    fn review_decided(&mut self, p: &Path, review_id: &str, outcome: ReviewOutcome) -> Result<(), String> {
        let edits = self.change(&scope_of(p)?, |scope| {
            let visit = scope.visit_mut(p.last().ok_or("no visit")?).ok_or("no such visit")?;
            let review = visit.review().filter(|review| review.id == review_id).ok_or("no such review")?;
            let edits = review
                .answers
                .iter()
                .filter_map(|answer| answer.changes.as_deref())
                .map(edit_digest)
                .collect();
            let (output, value) = (review_output(review, outcome), effective_value(review, outcome));
            match review.asked_by {
                AskedBy::Node => visit.reply = Some(output.clone()),
                AskedBy::Agent if outcome == ReviewOutcome::Approved => visit.reply = Some(value),
                AskedBy::Agent => {}
            }
            visit.phase = Phase::Deciding;
            if outcome != ReviewOutcome::Expired {
                scope.review = Some(output);
            }
            Ok(edits)
        })?;
        self.remember_review(review_id, ClosedReview::Decided { outcome, edits });
        Ok(())
    }

    fn remember_review(&mut self, review_id: &str, closed: ClosedReview) {
        self.state.closed_reviews.push_back((review_id.to_owned(), closed));
        if self.state.closed_reviews.len() > REMEMBERED_MAX {
            self.state.closed_reviews.pop_front();
        }
    }

    /// Changes a scope and keeps the index true. The change must not touch the scopes inside it.
    fn change<R>(
        &mut self,
        path: &Path,
        change: impl FnOnce(&mut Scope) -> Result<R, String>,
    ) -> Result<R, String> {
        let scope = self.state.root.inner_mut(path.segments()).ok_or("no such scope")?;
        if let Place::At(visit) = &scope.place
            && let Some(block) = visit.block()
        {
            none_open(block)?;
        }
        self.index.remove_place(path, &scope.place);
        let result = change(scope);
        self.index.add_place(&self.graph, path, &scope.place);
        result
    }

    fn change_phase(
        &mut self,
        p: &Path,
        change: impl FnOnce(&mut Visit) -> Result<Phase, String>,
    ) -> Result<(), String> {
        let segment = p.last().ok_or("no visit")?;
        self.change(&scope_of(p)?, |scope| {
            let visit = scope.visit_mut(segment).ok_or("no such visit")?;
            visit.phase = change(visit)?;
            Ok(())
        })
    }

    fn block_mut(&mut self, p: &Path) -> Result<&mut Block, String> {
        let scope = self.state.root.inner_mut(scope_of(p)?.segments()).ok_or("no such scope")?;
        let visit = scope.visit_mut(p.last().ok_or("no visit")?).ok_or("no such visit")?;
        visit.block_mut().ok_or_else(|| "it is not a block".to_owned())
    }

    /// The visit at `p`, if it is going on.
    pub(super) fn visit(&self, p: &Path) -> Option<&Visit> {
        let (last, scope) = p.segments().split_last()?;
        self.state.root.inner(scope)?.visit(last)
    }

    /// The value that a payload means.
    pub(super) fn resolve(&self, payload: &Payload) -> Result<Json, String> {
        match payload {
            Payload::Value(value) => Ok(value.clone()),
            Payload::Blob { digest, .. } => Err(format!("the value {digest} was not put back")),
            Payload::Same { event, .. } => {
                Err(format!("a value of the row's event {event} was not put back"))
            }
            Payload::Block(p) => {
                let block =
                    self.visit(p).and_then(Visit::block).ok_or_else(|| format!("no block at `{p}`"))?;
                Ok(Arc::new(block_output(block)))
            }
            Payload::Output(p) => {
                let missing = || format!("no output at `{p}`");
                match p.last() {
                    Some(Segment::Node(..) | Segment::Sole(_)) => {
                        self.visit(p).and_then(|visit| visit.reply.clone()).ok_or_else(missing)
                    }
                    _ => {
                        let scope = self.state.root.inner(p.segments()).ok_or_else(missing)?;
                        scope.last_output.clone().ok_or_else(missing)
                    }
                }
            }
        }
    }
}

fn scope_of(p: &Path) -> Result<Path, String> {
    p.parent().ok_or_else(|| "not a visit".to_owned())
}

/// A block ends after its branches: what goes on in an open one would go on without it.
fn none_open(block: &Block) -> Result<(), String> {
    if block.open > 0 { Err("branches of the block are open".to_owned()) } else { Ok(()) }
}

fn owed(visit: &Visit, attempt: u32) -> Result<(), String> {
    match &visit.phase {
        Phase::Attempt(Attempt { number, due: None, .. }) if *number == attempt => Ok(()),
        _ => Err("that attempt is not owed".to_owned()),
    }
}

fn open_block(names: Vec<Id>, items: Option<Json>) -> Result<Block, String> {
    let count = match &items {
        None => names.len(),
        Some(items) => items.as_array().ok_or("the items are no list")?.len(),
    };
    Ok(Block {
        names,
        items,
        branches: vec![BranchState::pending(); count],
        open: 0,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        next_item: 0,
        kept: BTreeMap::new(),
        joined: false,
    })
}

/// Which of the kept signals of a name a wait takes: the oldest.
pub(super) fn next_signal(kept: &VecDeque<KeptSignal>) -> Option<usize> {
    let last = kept.len().checked_sub(1)?;
    Some(if mistake::is(Mistake::SignalNewestFirst) { last } else { 0 })
}

/// `nodes.X.routing`.
pub(super) fn routing(e: &RouteDecided) -> Json {
    Arc::new(json!({
        "decision": e.decision,
        "confidence": e.confidence,
        "threshold": e.threshold,
        "below": e.below,
        "alternatives": e.alternatives.iter().map(|choice| {
            json!({ "name": choice.name, "confidence": choice.confidence, "reason": choice.reason })
        }).collect::<Vec<_>>(),
    }))
}

/// What a block has gathered: `{ results, errors, times }`, by branch name, or by index for a map.
pub(super) fn block_output(block: &Block) -> Value {
    let owned = |value: &Json| (**value).clone();
    if let Some(items) = &block.items {
        let mut results = Vec::new();
        let mut errors = Vec::new();
        for (index, branch) in block.branches.iter().enumerate() {
            results.extend(branch.result.as_ref().map(owned));
            if let Some(error) = &branch.error {
                errors.push(json!({ "index": index, "item": items[index], "error": owned(error) }));
            }
        }
        let times: Vec<Option<u64>> = block.branches.iter().map(|branch| branch.took_ms).collect();
        return json!({ "results": results, "errors": errors, "times": times });
    }
    let named = || block.names.iter().map(Id::to_string).zip(&block.branches);
    let members = |member: fn(&BranchState) -> Option<Value>| -> Value {
        named()
            .filter_map(|(name, branch)| Some((name, member(branch)?)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "results": members(|branch| branch.result.as_deref().cloned()),
        "errors": members(|branch| branch.error.as_deref().cloned()),
        "times": members(|branch| branch.took_ms.map(Value::from)),
    })
}

/// The value that a review's outcome stands for.
fn effective_value(review: &ReviewState, outcome: ReviewOutcome) -> Json {
    match outcome {
        ReviewOutcome::Approved => review.value.clone(),
        ReviewOutcome::Rejected | ReviewOutcome::Expired => review.proposed.clone(),
    }
}

/// The output of a review: decision, value and every answer.
pub(super) fn review_output(review: &ReviewState, outcome: ReviewOutcome) -> Json {
    let last = review.answers.last();
    // The answer that decided: the rejection, or the last approval. Without one, policy did.
    let deciding = last.filter(|answer| match outcome {
        ReviewOutcome::Rejected => answer.decision == crate::input::Verdict::Rejected,
        ReviewOutcome::Approved => approvals(review) >= review.quorum,
        ReviewOutcome::Expired => false,
    });
    let edits = review.answers.iter().filter_map(|answer| answer.changes.as_deref().cloned());
    let edit = edits.reduce(|earlier, later| both_patches(&earlier, &later));
    Arc::new(json!({
        "decision": outcome.name(),
        "value": *effective_value(review, outcome),
        "changes": edit,
        "comments": deciding.map_or("", |answer| answer.comments.as_str()),
        "confidence": deciding.and_then(|answer| answer.confidence),
        "decided_by": deciding.map_or("policy", |answer| answer.reviewer.as_str()),
        "answers": review.answers.iter().map(|answer| json!({
            "id": answer.id,
            "reviewer": answer.reviewer,
            "decision": answer.decision.name(),
            "comments": answer.comments,
            "changes": answer.changes.as_deref(),
            "confidence": answer.confidence,
            "at": answer.at.to_string(),
        })).collect::<Vec<_>>(),
    }))
}

/// How many have approved.
pub(super) fn approvals(review: &ReviewState) -> u32 {
    let count =
        review.answers.iter().filter(|answer| answer.decision == crate::input::Verdict::Approved).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A name for an edit.
pub(super) fn edit_digest(changes: &Value) -> String {
    blake3::hash(changes.to_string().as_bytes()).to_hex()[..16].to_owned()
}

/// The patch that does what `earlier` and then `later` do.
fn both_patches(earlier: &Value, later: &Value) -> Value {
    let (Value::Object(first), Value::Object(second)) = (earlier, later) else {
        return if later.is_object() { merge_patch(earlier, later) } else { later.clone() };
    };
    let mut members = first.clone();
    for (key, change) in second {
        let both = match members.get(key) {
            Some(before) => both_patches(before, change),
            None => change.clone(),
        };
        members.insert(key.clone(), both);
    }
    Value::Object(members)
}

/// RFC 7396: objects are merged, `null` removes, anything else replaces.
pub(super) fn merge_patch(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (key, change) in changes {
        if change.is_null() {
            members.remove(key);
        } else {
            let patched = merge_patch(members.get(key).unwrap_or(&Value::Null), change);
            members.insert(key.clone(), patched);
        }
    }
    Value::Object(members)
}
