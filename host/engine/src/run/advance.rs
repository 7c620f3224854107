//! Entering nodes, ending visits and scopes: how a run moves.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use super::cached::CacheNote;
use super::exit::{self, Way};
use super::names::Context;
use super::state::{Json, Place, View, VisitStatus};
use super::write::{Changed, json_bytes, type_name};
use crate::event::{
    AskedBy, AttemptCause, BranchOutcome, CheckpointNamed, EdgeCause, EdgeTaken, Event, NodeFailed,
    NodeStarted, NodeSucceeded, Payload, ReviewOpened, RunFailed, RunSucceeded, StageEntered, WaitStarted,
    Warning,
};
use crate::expression::Template;
use crate::failure::{Class, ErrorRecord, Failure};
use crate::graph::{Graph, Kind, Node, OnFailure, OnTimeout, Review, Stage, Target};
use crate::input::ReplyNext;
use crate::mistake::{self, Mistake};
use crate::path::{CommandId, Path, Segment};

/// Nodes entered in one decision. More go into the next one, so that a loop of pure steps cannot make a decision, and
/// with it a journal row, of any size: such a run asks to be ticked at once.
const STEPS_PER_DECISION_MAX: u32 = 250;

/// How a visit that succeeded is left.
pub(super) enum Leave<'a> {
    /// By the reply and the node's exits.
    ByReply(&'a ReplyNext),
    /// By `approved`, or as `ByReply` where the node has none.
    Approved,
    /// By `rejected`, which the node has.
    Rejected,
    /// By `on-timeout: { to }`: nothing is written.
    Expired(Target),
}

/// What was evaluated before a node is entered.
enum Prepared {
    /// The input of an agent or a child, and the value of an agent's `cache.key`.
    Called {
        input: Json,
        cache_key: Option<Json>,
    },
    Review(Box<ReviewOpened>),
    Value(Json),
    Items(Json),
    Fail(Failure),
    Nothing,
}

impl Run {
    /// Enters nodes until nothing is ready, or enough for one decision. A paused run enters none.
    pub(super) fn advance(&mut self) {
        for _ in 0..STEPS_PER_DECISION_MAX {
            if self.state.end.is_some() || self.state.paused {
                return;
            }
            let Some(scope) = self.index.ready.first().cloned() else { return };
            self.enter(&scope);
        }
    }

    fn enter(&mut self, scope_path: &Path) {
        let graph = self.graph.clone();
        let Some(scope) = self.state.root.inner(scope_path.segments()) else { return };
        let Place::Ready(id) = &scope.place else { return };
        let segment = match id {
            Some(id) => Segment::Node(id.clone(), scope.visits.get(id).copied().unwrap_or(0) + 1),
            None => Segment::Sole(1),
        };
        let p = scope_path.join(segment);
        let node = graph.node(&p).expect("an edge leads to a node of its scope: the graph was checked");
        if self.state.steps >= graph.limits.max_total_steps {
            let failure = step_limit("the run", "max-total-steps", graph.limits.max_total_steps);
            let error = self.record(&p, failure, (1, 1), None);
            return self.fail_run(error);
        }
        if scope.steps >= graph.limits.max_steps {
            let failure = step_limit("this scope", "max-steps", graph.limits.max_steps);
            let error = self.record(&p, failure, (1, 1), None);
            return self.fail_scope(scope_path, error);
        }
        let prepared = self.prepare(&p, scope_path, node);
        let timeout_ms = node.kind.visit_ms_max();
        self.emit(Event::NodeStarted(NodeStarted {
            p: p.clone(),
            kind: node.kind.name().to_owned(),
            input: match &prepared {
                Ok(Prepared::Called { input, .. }) => Some(Payload::Value(input.clone())),
                _ => None,
            },
            deadline: timeout_ms.map(|timeout_ms| self.clock.plus_ms(timeout_ms)),
            cache_key: match &prepared {
                Ok(Prepared::Called { cache_key, .. }) => cache_key.clone().map(Payload::Value),
                _ => None,
            },
        }));
        if let Some(stage) = node.stage.filter(|stage| *stage != self.state.stage) {
            self.emit(Event::StageEntered(StageEntered { stage, p: p.clone() }));
        }
        match prepared {
            Ok(prepared) => self.begin(&p, node, prepared),
            Err(failure) => self.fail_visit(&p, failure, (1, 1), false, None),
        }
    }

    /// Evaluates what the node's kind needs. Once: the values go into the journal.
    fn prepare(&self, p: &Path, scope: &Path, node: &Node) -> Result<Prepared, Failure> {
        let context = Context::new(self, scope).at_visit(visit_number(p));
        match &node.kind {
            Kind::Agent(agent) => Ok(Prepared::Called {
                input: self.prepare_input(&context, &agent.input, "an agent")?,
                cache_key: self.cache_key_value(agent, &context)?,
            }),
            Kind::Workflow(child) => Ok(Prepared::Called {
                input: self.prepare_input(&context, &child.input, "a child run")?,
                cache_key: None,
            }),
            Kind::Review(review) => Ok(Prepared::Review(Box::new(self.prepare_review(p, review, &context)?))),
            Kind::Value(template) => {
                let value = context.template(template)?;
                self.check_payload("the node's value", json_bytes(&value))?;
                Ok(Prepared::Value(Arc::new(value)))
            }
            Kind::Map(map) => {
                let items = context.expression(&map.over)?;
                let Value::Array(list) = &items else {
                    let message = format!("`over` gave {}; it must be a list", type_name(&items));
                    return Err(Failure::permanent(Class::Expression, "not-a-list", message));
                };
                let (count, count_max) = (list.len() as u64, self.graph.limits.max_items);
                if count > count_max {
                    let message = format!(
                        "the map has {count} items, above `limits.max-items` = {count_max}; the workflow file can raise it to 10000"
                    );
                    return Err(Failure::permanent(Class::Limit, "max-items", message));
                }
                Ok(Prepared::Items(Arc::new(items)))
            }
            Kind::Fail(fail) => {
                let data = fail.data.as_ref().map(|data| context.template(data)).transpose()?;
                Ok(Prepared::Fail(Failure {
                    data: data.map(Payload::new),
                    ..Failure::permanent(Class::Workflow, &fail.code, context.text(&fail.message)?)
                }))
            }
            Kind::Wait { .. } | Kind::Signal(_) | Kind::Pure | Kind::Parallel(_) => Ok(Prepared::Nothing),
        }
    }

    fn prepare_input(&self, context: &Context<'_>, template: &Template, of: &str) -> Result<Json, Failure> {
        let input = context.template(template)?;
        if !input.is_object() {
            let message = format!("`input` gave {}; the input of {of} must be an object", type_name(&input));
            return Err(Failure::permanent(Class::Expression, "input-not-object", message));
        }
        self.check_payload(&format!("the input of {of}"), json_bytes(&input))?;
        Ok(Arc::new(input))
    }

    fn prepare_review(
        &self,
        p: &Path,
        review: &Review,
        context: &Context<'_>,
    ) -> Result<ReviewOpened, Failure> {
        let proposed = context.template(&review.propose)?;
        self.check_payload("what the review proposes", json_bytes(&proposed))?;
        let reviewers =
            review.reviewers.iter().map(|reviewer| context.text(reviewer)).collect::<Result<_, _>>()?;
        Ok(ReviewOpened {
            review_id: self.review_id(p),
            p: p.clone(),
            asked_by: AskedBy::Node,
            title: context.text(&review.title)?,
            reason: review
                .reason
                .as_ref()
                .map(|reason| context.text(reason))
                .transpose()?
                .unwrap_or_default(),
            proposed: Payload::new(proposed),
            form: review.form.as_ref().map(|form| Payload::Value(form.source().clone())),
            reviewers,
            quorum: review.quorum,
            deadline: self.clock.plus_ms(review.timeout_ms),
            on_timeout: on_timeout_text(&review.on_timeout),
            self_approval: review.self_approval,
        })
    }

    /// Does what the entered node is for, as far as it can be done at once.
    fn begin(&mut self, p: &Path, node: &Node, prepared: Prepared) {
        match (&node.kind, prepared) {
            (Kind::Agent(_) | Kind::Workflow(_), _) => {
                self.schedule(CommandId { path: p.clone(), attempt: 1 }, None, None, AttemptCause::First);
            }
            (Kind::Wait { for_ms }, _) => {
                let until = Some(self.clock.plus_ms(*for_ms));
                self.emit(Event::WaitStarted(WaitStarted {
                    p: p.clone(),
                    until,
                    signal: None,
                    deadline: None,
                }));
            }
            (Kind::Signal(wait), _) => self.wait_for_signal(p, wait),
            (Kind::Parallel(parallel), _) => self.open_parallel(p, parallel),
            (Kind::Map(_), Prepared::Items(items)) => self.open_map(p, items),
            (_, Prepared::Review(opened)) => self.emit(Event::ReviewOpened(opened)),
            (_, Prepared::Value(value)) => {
                self.succeed(p, Payload::Value(value.clone()), value, None, &ReplyNext::Edges)
            }
            (_, Prepared::Fail(failure)) => self.fail_visit(p, failure, (1, 1), false, None),
            _ => {
                let nothing = empty();
                self.succeed(p, Payload::Value(nothing.clone()), nothing, None, &ReplyNext::Edges);
            }
        }
    }

    /// Ends a visit well, or by the failure of its `update` or exit.
    pub(super) fn succeed(
        &mut self,
        p: &Path,
        payload: Payload,
        output: Json,
        confidence: Option<f64>,
        next: &ReplyNext,
    ) {
        self.leave(p, payload, output, confidence, &Leave::ByReply(next));
    }

    /// Ends a visit well by the given way out, or by the failure of its `update` or exit.
    pub(super) fn leave(
        &mut self,
        p: &Path,
        payload: Payload,
        output: Json,
        confidence: Option<f64>,
        leave: &Leave<'_>,
    ) {
        self.leave_noted(p, payload, output, confidence, leave, CacheNote::default());
    }

    /// As [`Run::leave`], with what is said about keeping the reply.
    pub(super) fn leave_noted(
        &mut self,
        p: &Path,
        payload: Payload,
        output: Json,
        confidence: Option<f64>,
        leave: &Leave<'_>,
        note: CacheNote,
    ) {
        let attempts = self.attempts_made(p);
        if let Err(failure) = self.try_leave(p, payload, output, confidence, leave, note) {
            let block = self.visit(p).and_then(|visit| visit.block()).map(|_| Payload::Block(p.clone()));
            self.fail_visit(p, failure, (attempts, attempts), false, block);
        }
    }

    /// Nothing has changed when it fails.
    pub(super) fn try_leave(
        &mut self,
        p: &Path,
        payload: Payload,
        output: Json,
        confidence: Option<f64>,
        leave: &Leave<'_>,
        note: CacheNote,
    ) -> Result<(), Failure> {
        let graph = self.graph.clone();
        let node = graph.node(p).expect("a visit is at a node of the graph");
        let scope = p.parent().expect("a visit is in a scope");
        let expired = matches!(leave, Leave::Expired(_));
        let view = View {
            output: Some(output.clone()),
            error: None,
            visits: visit_number(p),
            status: if expired { VisitStatus::Expired } else { VisitStatus::Succeeded },
            confidence,
            routing: None,
        };
        let context = Context::new(self, &scope)
            .at_visit(visit_number(p))
            .with_output(output)
            .with_present(node_id(p), view);
        let (writes, way) = match leave {
            Leave::Expired(to) => (Vec::new(), Way::plain(to.clone(), EdgeCause::Timeout)),
            leave => {
                let replayed: Changed = self.plan_join(p)?;
                let plan = self.plan_writes(
                    &scope,
                    node,
                    replayed.clone(),
                    &context.clone().with_changed(&replayed),
                )?;
                let old = mistake::is(Mistake::ExitSeesOldState);
                let seen = if old { &replayed } else { &plan.changed };
                let way = choose_way(p, node, leave, &context.with_changed(seen))?;
                (plan.writes, way)
            }
        };
        let took_ms = self.visit(p).map_or(0, |visit| self.clock.since_ms(visit.started_at));
        let CacheNote { kept, cached_from } = note;
        self.emit(Event::NodeSucceeded(NodeSucceeded {
            p: p.clone(),
            output: payload,
            confidence,
            update: writes,
            expired,
            took_ms,
            kept,
            cached_from,
        }));
        if way.unused_choices {
            let message =
                "the agent's reply chooses between options, but the node's exit does not ask for them";
            self.emit(Event::Warning(Warning {
                p: p.clone(),
                code: "unused-choices".to_owned(),
                message: message.to_owned(),
            }));
        }
        if let Some(route) = way.route {
            self.emit(Event::RouteDecided(route));
        }
        self.take_edge(p, way.to, way.because);
        Ok(())
    }

    fn take_edge(&mut self, p: &Path, to: Target, because: EdgeCause) {
        let ends = to == Target::End;
        self.emit(Event::EdgeTaken(EdgeTaken { p: p.clone(), to, because }));
        let name = self.graph.node(p).and_then(|node| node.checkpoint.clone());
        if let Some(name) = name {
            self.emit(Event::CheckpointNamed(CheckpointNamed { name, p: p.clone() }));
        }
        if ends {
            let scope = p.parent().expect("a visit is in a scope");
            self.end_scope(&scope);
        }
    }

    /// Ends a visit badly: caught by its `on-failure`, or its scope fails.
    pub(super) fn fail_visit(
        &mut self,
        p: &Path,
        failure: Failure,
        attempts: (u32, u32),
        exhausted: bool,
        block: Option<Payload>,
    ) {
        let graph = self.graph.clone();
        let node = graph.node(p).expect("a visit is at a node of the graph");
        let scope = p.parent().expect("a visit is in a scope");
        let error = self.record(p, failure, attempts, block);
        let caught = match &node.on_failure {
            None => Err(None),
            Some(on_failure) => self.catch(p, &scope, on_failure, &error).map_err(Some),
        };
        let took_ms = self.visit(p).map_or(0, |visit| self.clock.since_ms(visit.started_at));
        let failed = |error: ErrorRecord, caught: bool| {
            Event::NodeFailed(Box::new(NodeFailed { p: p.clone(), error, exhausted, caught, took_ms }))
        };
        match caught {
            Ok(Caught::To(to, because)) => {
                self.emit(failed(error, true));
                self.take_edge(p, to, because);
            }
            Ok(Caught::Value(value)) => {
                self.emit(failed(error, true));
                let payload = Payload::Value(value.clone());
                let leave = Leave::ByReply(&ReplyNext::Edges);
                let left = self.try_leave(p, payload, value, None, &leave, CacheNote::default());
                if let Err(second) = left {
                    let error = self.record(p, second, attempts, None);
                    self.emit(failed(error.clone(), false));
                    self.fail_scope(&scope, error);
                }
            }
            Err(second) => {
                let mut error = match second {
                    None => error,
                    // What `on-failure` was to catch would be told nowhere else.
                    Some(second) => {
                        let message = format!(
                            "{}; this was in `on-failure`, which was to catch: {}",
                            second.message, error.failure.message
                        );
                        self.record(p, Failure { message, ..second }, attempts, None)
                    }
                };
                // The block ends with its visit, but its branch's error goes on telling what it had gathered.
                if let Some(Ok(block)) = error.block.as_ref().map(|block| self.resolve(block)) {
                    error.block = Some(Payload::Value(block));
                }
                self.emit(failed(error.clone(), false));
                self.fail_scope(&scope, error);
            }
        }
    }

    fn catch(
        &self,
        p: &Path,
        scope: &Path,
        on_failure: &OnFailure,
        error: &ErrorRecord,
    ) -> Result<Caught, Failure> {
        let block = error.block.as_ref().and_then(|block| self.resolve(block).ok());
        let visible = error.to_visible(block.as_deref());
        let view = View {
            output: None,
            error: Some(visible.clone()),
            visits: visit_number(p),
            status: VisitStatus::Failed,
            confidence: None,
            routing: None,
        };
        let context = Context::new(self, scope)
            .at_visit(visit_number(p))
            .with_present(node_id(p), view)
            .with_error(visible);
        match on_failure {
            OnFailure::To(edges) => {
                let (to, because) = exit::first(edges, EdgeCause::OnFailure, &context)?;
                Ok(Caught::To(to, because))
            }
            OnFailure::Value(template) => {
                let value = context.template(template)?;
                self.check_payload("the value of `on-failure`", json_bytes(&value))?;
                Ok(Caught::Value(Arc::new(value)))
            }
        }
    }

    /// Ends a scope whose last node was left by an edge to `end`.
    pub(super) fn end_scope(&mut self, path: &Path) {
        let graph = self.graph.clone();
        let last = self.state.root.inner(path.segments()).and_then(|scope| scope.last_output.clone());
        let template = result_of(&graph, path);
        let (payload, value) = match (template, last) {
            (Some(template), last) => {
                let context =
                    Context::new(self, path).with_output(last.unwrap_or_else(|| Arc::new(Value::Null)));
                match context.template(template) {
                    Ok(value) => {
                        let value = Arc::new(value);
                        (Payload::Value(value.clone()), value)
                    }
                    Err(failure) => return self.fail_ended_scope(path, failure),
                }
            }
            (None, Some(last)) => (Payload::Output(path.clone()), last),
            (None, None) => {
                let nothing = Arc::new(Value::Null);
                (Payload::Value(nothing.clone()), nothing)
            }
        };
        if let Err(failure) = self.check_payload("the result", json_bytes(&value)) {
            return self.fail_ended_scope(path, failure);
        }
        if !path.segments().is_empty() {
            return self.end_branch(path, BranchOutcome::Succeeded, Some(payload), None);
        }
        if let Some(Err(problem)) = graph.output.as_ref().map(|schema| schema.check(&value)) {
            let message = format!("the result does not satisfy the workflow's `output` schema: {problem}");
            return self.fail_ended_scope(path, Failure::permanent(Class::State, "bad-value", message));
        }
        if self.state.stage != Stage::Completion {
            self.emit(Event::StageEntered(StageEntered { stage: Stage::Completion, p: Path::root() }));
        }
        self.list_unused_signals();
        self.write_thread();
        self.emit(Event::RunSucceeded(RunSucceeded { output: payload }));
    }

    fn fail_ended_scope(&mut self, path: &Path, failure: Failure) {
        let error = self.record(path, failure, (1, 1), None);
        self.fail_scope(path, error);
    }

    /// Fails a scope: the run, or a branch of a block.
    pub(super) fn fail_scope(&mut self, path: &Path, error: ErrorRecord) {
        if path.segments().is_empty() {
            self.fail_run(error);
        } else {
            self.end_branch(path, BranchOutcome::Failed, None, Some(error));
        }
    }

    /// Fails the run; what is still open in it is cancelled.
    pub(super) fn fail_run(&mut self, error: ErrorRecord) {
        self.cancel_scope(&Path::root(), crate::event::CancelCause::Run);
        self.emit(Event::StageEntered(StageEntered { stage: Stage::Error, p: Path::root() }));
        self.list_unused_signals();
        // What a failed block had gathered is in its node's record.
        let error = ErrorRecord { block: None, ..error };
        self.emit(Event::RunFailed(Box::new(RunFailed { error })));
    }

    /// The record of a failure at a visit or scope.
    pub(super) fn record(
        &self,
        path: &Path,
        failure: Failure,
        attempts: (u32, u32),
        block: Option<Payload>,
    ) -> ErrorRecord {
        ErrorRecord {
            id: self.derived_id("error", &format!("{path}/{}", self.state.seq)),
            failure,
            path: path.clone(),
            attempt: attempts.0,
            attempts: attempts.1,
            block,
        }
    }

    /// How many attempts a visit has made, for the record of its failure.
    pub(super) fn attempts_made(&self, p: &Path) -> u32 {
        self.visit(p).map_or(1, |visit| visit.attempts)
    }
}

/// What `on-failure` makes of a failure.
enum Caught {
    To(Target, EdgeCause),
    Value(Json),
}

fn choose_way(p: &Path, node: &Node, leave: &Leave<'_>, context: &Context<'_>) -> Result<Way, Failure> {
    let edges = match leave {
        Leave::ByReply(next) => return exit::choose(p, node, next, context),
        Leave::Approved => node.approved.as_ref().map(|edges| (edges, EdgeCause::Approved)),
        Leave::Rejected => node.rejected.as_ref().map(|edges| (edges, EdgeCause::Rejected)),
        Leave::Expired(_) => None,
    };
    match edges {
        Some((edges, cause)) => {
            let (to, because) = exit::first(edges, cause, context)?;
            Ok(Way::plain(to, because))
        }
        None => exit::choose(p, node, &ReplyNext::Edges, context),
    }
}

/// The `result` of a scope: of the run, a branch, or a map.
fn result_of<'a>(graph: &'a Graph, path: &Path) -> Option<&'a Template> {
    let Some(last) = path.last() else { return graph.result.as_ref() };
    let block = graph.node(&path.parent()?)?;
    match (&block.kind, last) {
        (Kind::Map(map), _) => map.result.as_ref(),
        (Kind::Parallel(parallel), Segment::Branch(id)) => {
            parallel.branches.iter().find(|branch| branch.id == *id)?.result.as_ref()
        }
        _ => None,
    }
}

/// As `review.opened` says it.
pub(super) fn on_timeout_text(on_timeout: &OnTimeout) -> String {
    match on_timeout {
        OnTimeout::Fail => "fail".to_owned(),
        OnTimeout::Approve => "approve".to_owned(),
        OnTimeout::Reject => "reject".to_owned(),
        OnTimeout::To(Target::End) => "to end".to_owned(),
        OnTimeout::To(Target::Node(id)) => format!("to {id}"),
    }
}

fn step_limit(what: &str, name: &str, value: u64) -> Failure {
    let message = format!(
        "{what} has entered {value} nodes, which is `limits.{name}`; if the loop is meant to go on, raise it in the workflow file"
    );
    Failure::permanent(Class::Limit, name, message)
}

fn visit_number(p: &Path) -> u32 {
    match p.last() {
        Some(Segment::Node(_, number) | Segment::Sole(number)) => *number,
        _ => 1,
    }
}

fn node_id(p: &Path) -> Option<&crate::id::Id> {
    match p.last() {
        Some(Segment::Node(id, _)) => Some(id),
        _ => None,
    }
}

/// `{}`: the output of what has none.
pub(super) fn empty() -> Json {
    Arc::new(Value::Object(serde_json::Map::new()))
}
