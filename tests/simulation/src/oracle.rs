//! What a run must come to: a plain recursive interpreter of the graph and the script, written from the language's
//! reference and not from the engine. It knows no time and no crash.
//!
//! Where time decides (which branch ended first, whether a review or a block expired), it takes that from the journal as
//! [`Facts`] and checks everything that follows from it; for `settle` and `all` without failures nothing is taken.

mod block;
mod names;
mod reduce;
mod review;
mod route;

use std::collections::BTreeMap;

use bandstand_engine::failure::Class;
use bandstand_engine::graph::{
    Agent, Body, Child, Edges, Exit, Kind, Node, OnFailure, OnTimeout, ScopeGraph, Strategy, Target,
};
use bandstand_engine::path::{Path, Segment};
use bandstand_engine::{CommandId, Id};
use serde_json::{Value, json};

use crate::children::{ChildEnd, Children};
use crate::facts::Facts;
use crate::generate::World;
use crate::script::{AttemptEnd, Wish, normal, output_of};
use crate::signals;
use names::Scope;

/// What became of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The result, or why not: class, code and path.
    pub end: Result<Value, (String, String, String)>,
    /// The channels of the root scope.
    pub state: BTreeMap<String, Value>,
    /// What became of each visit, by path.
    pub visits: BTreeMap<String, Vec<String>>,
    /// Attempts of each visit of an agent.
    pub attempts: BTreeMap<String, u32>,
}

/// The world cannot be told: the journal took a way that the language does not allow.
#[derive(Clone, Debug, PartialEq)]
pub struct Impossible(pub String);

/// A failure on its way up.
#[derive(Clone, Debug)]
struct Fault {
    class: Class,
    code: String,
    path: Path,
    attempt: u32,
    recoverable: bool,
    data: Value,
    /// Results and errors of a block.
    block: Option<(Value, Value)>,
}

/// Why a scope or node stops.
#[derive(Clone, Debug)]
enum Stop {
    /// It failed; what encloses it may catch it.
    Fault(Box<Fault>),
    /// The node's scope fails, uncatchably by its own node.
    Limit(Box<Fault>),
    /// The journal contradicts the language.
    Impossible(String),
}

type Outcome<T> = Result<T, Stop>;

/// How a node was done.
struct Done {
    output: Value,
    confidence: Option<f64>,
    leave: Leave,
    /// Writes of the branches that count.
    joined: Vec<names::Write>,
    attempts: u32,
}

enum Leave {
    Edges,
    Goto(String),
    Choose(Vec<bandstand_engine::input::Choice>),
    Approved,
    Rejected,
    Expired(Target),
}

struct Oracle<'w> {
    world: &'w World,
    facts: &'w Facts,
    children: &'w dyn Children,
    visits: BTreeMap<String, Vec<String>>,
    attempts: BTreeMap<String, u32>,
}

/// What the run must come to, given what time decided.
pub fn expect(world: &World, facts: &Facts, children: &dyn Children) -> Result<Expected, Impossible> {
    let mut oracle = Oracle { world, facts, children, visits: BTreeMap::new(), attempts: BTreeMap::new() };
    let mut root = Scope::root(world).map_err(Impossible)?;
    let end = oracle.graph(&world.graph.root, &mut root).and_then(|last| {
        let value = match &world.graph.result {
            Some(template) => {
                root.template(world, template, &names::Extra::output(&last)).map_err(at(&root.path))?
            }
            None => last,
        };
        match &world.graph.output {
            Some(schema) if schema.check(&value).is_err() => {
                Err(fault(Class::State, "bad-value", &root.path))
            }
            _ => Ok(value),
        }
    });
    let end = match end {
        Ok(value) => Ok(normal(&value)),
        Err(Stop::Fault(fault) | Stop::Limit(fault)) => {
            Err((fault.class.name().to_owned(), fault.code.clone(), fault.path.to_string()))
        }
        Err(Stop::Impossible(problem)) => return Err(Impossible(problem)),
    };
    let state = root.channels.iter().map(|(id, value)| (id.to_string(), normal(value))).collect();
    Ok(Expected { end, state, visits: oracle.visits, attempts: oracle.attempts })
}

/// Whether a run of the world begins with its input.
pub fn begins(world: &World) -> bool {
    let fits = world.graph.input.as_ref().is_none_or(|schema| schema.check(&world.input).is_ok());
    let first_values_fit = |scope: Scope<'_>| {
        world.graph.state.iter().all(|(id, channel)| match (&channel.schema, &channel.initial) {
            (Some(schema), Some(_)) => schema.check(&scope.channels[id]).is_ok(),
            _ => true,
        })
    };
    fits && Scope::root(world).is_ok_and(first_values_fit)
}

fn fault(class: Class, code: &str, path: &Path) -> Stop {
    Stop::Fault(Box::new(Fault::new(class, code, path)))
}

/// Places a failure of an expression or a write.
fn at(path: &Path) -> impl Fn((Class, String)) -> Stop + '_ {
    move |(class, code)| fault(class, &code, path)
}

impl Fault {
    fn new(class: Class, code: &str, path: &Path) -> Fault {
        Fault {
            class,
            code: code.to_owned(),
            path: path.clone(),
            attempt: 1,
            recoverable: false,
            data: Value::Null,
            block: None,
        }
    }

    /// As expressions see it.
    fn visible(&self) -> Value {
        let mut visible = json!({
            "class": self.class.name(),
            "code": self.code,
            "message": null,
            "node": self.path.node_name().map(Id::as_str),
            "path": self.path.to_string(),
            "attempt": self.attempt,
            "attempts": self.attempt,
            "recoverable": self.recoverable,
            "data": self.data,
        });
        if let Some((results, errors)) = &self.block {
            visible["results"] = results.clone();
            visible["errors"] = errors.clone();
        }
        visible
    }
}

impl Oracle<'_> {
    fn note(&mut self, path: &Path, what: String) {
        self.visits.entry(path.to_string()).or_default().push(what);
    }

    /// Runs a scope to its end; gives its last output.
    fn graph(&mut self, graph: &ScopeGraph, scope: &mut Scope<'_>) -> Outcome<Value> {
        let mut id = graph.start.clone();
        loop {
            let visit = scope.visits.get(&id).copied().unwrap_or(0) + 1;
            let path = scope.path.join(Segment::Node(id.clone(), visit));
            if scope.steps >= self.world.graph.limits.max_steps {
                return Err(Stop::Limit(Box::new(Fault::new(Class::Limit, "max-steps", &path))));
            }
            scope.steps += 1;
            scope.visits.insert(id.clone(), visit);
            let node = graph.nodes.get(&id).ok_or_else(|| Stop::Impossible(format!("no node {id}")))?;
            match self.visit(node, Some(&id), visit, &path, scope)? {
                Target::End => return Ok(scope.last.clone()),
                Target::Node(next) => id = next,
            }
        }
    }

    fn body(&mut self, body: &Body, scope: &mut Scope<'_>) -> Outcome<Value> {
        match body {
            Body::Graph(graph) => self.graph(graph, scope),
            Body::Node(node) => {
                let path = scope.path.join(Segment::Sole(1));
                self.visit(node, None, 1, &path, scope)?;
                Ok(scope.last.clone())
            }
        }
    }

    /// One visit, from entering to the chosen exit.
    fn visit(
        &mut self,
        node: &Node,
        id: Option<&Id>,
        visit: u32,
        path: &Path,
        scope: &mut Scope<'_>,
    ) -> Outcome<Target> {
        if self.facts.cancelled.contains(path) {
            return Err(Stop::Impossible(format!("{path} was cancelled, but its branch ended")));
        }
        let done = self.kind(node, visit, path, scope);
        let left = done.and_then(|done| {
            let attempts = done.attempts;
            self.leave(node, id, visit, path, scope, done).map_err(|stop| match stop {
                Stop::Fault(mut fault) => {
                    fault.attempt = attempts;
                    if matches!(node.kind, Kind::Parallel(_) | Kind::Map(_)) && fault.block.is_none() {
                        fault.block = self.gathered(path);
                    }
                    Stop::Fault(fault)
                }
                other => other,
            })
        });
        match left {
            Err(Stop::Fault(fault)) => self.caught(node, id, visit, path, scope, *fault),
            other => other,
        }
    }

    /// `results` and `errors` of a block whose own update failed.
    fn gathered(&self, path: &Path) -> Option<(Value, Value)> {
        let output = self.facts.gathered.borrow().get(path).cloned()?;
        Some((output["results"].clone(), output["errors"].clone()))
    }

    fn caught(
        &mut self,
        node: &Node,
        id: Option<&Id>,
        visit: u32,
        path: &Path,
        scope: &mut Scope<'_>,
        fault: Fault,
    ) -> Outcome<Target> {
        let told = |caught: bool| format!("failed {} {} caught={caught}", fault.class.name(), fault.code);
        let Some(on_failure) = &node.on_failure else {
            self.note(path, told(false));
            return Err(Stop::Fault(Box::new(fault)));
        };
        let error = fault.visible();
        let view = json!({ "error": error, "visits": visit, "status": "failed", "confidence": null });
        let extra = names::Extra {
            visit: Some(visit),
            present: present(id, &view),
            error: Some(&error),
            ..Default::default()
        };
        let again = |oracle: &mut Self, stop: Stop| match stop {
            Stop::Fault(mut second) => {
                second.attempt = fault.attempt;
                oracle.note(path, format!("failed {} {} caught=false", second.class.name(), second.code));
                Stop::Fault(second)
            }
            other => other,
        };
        match on_failure {
            OnFailure::To(edges) => {
                let (to, why) = match self.first(edges, "on-failure", path, scope, &extra) {
                    Ok(way) => way,
                    Err(stop) => return Err(again(self, stop)),
                };
                self.note(path, told(true));
                scope.error = Some(error.clone());
                scope.show(id, view);
                self.note(path, edge(&to, &why));
                Ok(to)
            }
            OnFailure::Value(template) => {
                let output = match scope.template(self.world, template, &extra).map_err(at(path)) {
                    Ok(output) => output,
                    Err(stop) => return Err(again(self, stop)),
                };
                self.note(path, told(true));
                scope.error = Some(error.clone());
                let done = Done {
                    output,
                    confidence: None,
                    leave: Leave::Edges,
                    joined: Vec::new(),
                    attempts: fault.attempt,
                };
                match self.leave(node, id, visit, path, scope, done) {
                    Ok(to) => Ok(to),
                    Err(stop) => Err(again(self, stop)),
                }
            }
        }
    }

    /// Writes, chooses the exit, and only then changes anything.
    fn leave(
        &mut self,
        node: &Node,
        id: Option<&Id>,
        visit: u32,
        path: &Path,
        scope: &mut Scope<'_>,
        done: Done,
    ) -> Outcome<Target> {
        let expired = matches!(done.leave, Leave::Expired(_));
        let mut view = json!({
            "output": done.output,
            "visits": visit,
            "status": if expired { "expired" } else { "succeeded" },
            "confidence": done.confidence,
        });
        let mut after = scope.draft();
        let (to, why, routing) = {
            let extra = names::Extra {
                visit: Some(visit),
                output: Some(&done.output),
                present: present(id, &view),
                ..Default::default()
            };
            if let Leave::Expired(to) = &done.leave {
                (to.clone(), "timeout".to_owned(), None)
            } else {
                for write in &done.joined {
                    after.write(self.world, write).map_err(at(path))?;
                }
                let before = after.draft();
                let writes = before.evaluate_writes(self.world, node, &extra).map_err(at(path))?;
                for write in &writes {
                    after.write(self.world, write).map_err(at(path))?;
                }
                self.way(node, path, &after, &extra, &done.leave)?
            }
        };
        let (channels, writes) = (after.channels, after.writes);
        scope.channels = channels;
        scope.writes = writes;
        scope.last.clone_from(&done.output);
        self.note(path, format!("succeeded {} expired={expired}", normal(&done.output)));
        if let Some(routing) = routing {
            self.note(path, format!("routed {routing}"));
            view["routing"] = routing;
        }
        scope.show(id, view);
        self.note(path, edge(&to, &why));
        Ok(to)
    }

    fn way(
        &self,
        node: &Node,
        path: &Path,
        scope: &Scope<'_>,
        extra: &names::Extra<'_>,
        leave: &Leave,
    ) -> Outcome<(Target, String, Option<Value>)> {
        let chosen = match leave {
            Leave::Approved => node.approved.as_ref().map(|edges| (edges, "approved")),
            Leave::Rejected => node.rejected.as_ref().map(|edges| (edges, "rejected")),
            _ => None,
        };
        if let Some((edges, why)) = chosen {
            let (to, why) = self.first(edges, why, path, scope, extra)?;
            return Ok((to, why, None));
        }
        let choices = match leave {
            Leave::Goto(to) => {
                let listed = node.goto.iter().find(|id| id.as_str() == to);
                let to = listed.ok_or_else(|| fault(Class::Route, "undeclared-goto", path))?;
                return Ok((Target::Node(to.clone()), "goto".to_owned(), None));
            }
            Leave::Choose(choices) => choices.clone(),
            _ => Vec::new(),
        };
        match &node.exit {
            None => Ok((Target::End, "next".to_owned(), None)),
            Some(Exit::Next(edges)) => {
                let (to, why) = self.first(edges, "next", path, scope, extra)?;
                Ok((to, why, None))
            }
            Some(Exit::Route(route)) => {
                let options = match &route.options {
                    None => choices,
                    Some(expression) => {
                        let value = scope.expression(self.world, expression, extra).map_err(at(path))?;
                        route::options(&value).ok_or_else(|| fault(Class::Route, "bad-options", path))?
                    }
                };
                let (to, why, routing) =
                    route::decide(route, options).map_err(|code| fault(Class::Route, code, path))?;
                Ok((to, why.to_owned(), Some(routing)))
            }
        }
    }

    fn first(
        &self,
        edges: &Edges,
        otherwise: &str,
        path: &Path,
        scope: &Scope<'_>,
        extra: &names::Extra<'_>,
    ) -> Outcome<(Target, String)> {
        for (index, arm) in edges.when.iter().enumerate() {
            match scope.expression(self.world, &arm.when, extra).map_err(at(path))? {
                Value::Bool(true) => return Ok((arm.to.clone(), format!("when {index}"))),
                Value::Bool(false) => {}
                _ => return Err(fault(Class::Expression, "not-bool", path)),
            }
        }
        Ok((edges.otherwise.clone(), otherwise.to_owned()))
    }

    fn kind(&mut self, node: &Node, visit: u32, path: &Path, scope: &mut Scope<'_>) -> Outcome<Done> {
        let extra = names::Extra { visit: Some(visit), ..Default::default() };
        let plain = |output: Value| {
            Ok(Done { output, confidence: None, leave: Leave::Edges, joined: Vec::new(), attempts: 1 })
        };
        match &node.kind {
            Kind::Value(template) => plain(scope.template(self.world, template, &extra).map_err(at(path))?),
            Kind::Pure | Kind::Wait { .. } => plain(json!({})),
            Kind::Signal(wait) => match (self.facts.waits.get(path), &wait.on_timeout) {
                (None, _) => Err(Stop::Impossible(format!("the wait at {path} never ended"))),
                (Some(Some(id)), _) => plain(signals::data(id)),
                (Some(None), _) if wait.timeout_ms.is_none() => {
                    Err(Stop::Impossible(format!("the wait at {path} expired, but has no timeout")))
                }
                (Some(None), None) => Err(fault(Class::Timeout, "wait-expired", path)),
                (Some(None), Some(to)) => Ok(Done {
                    output: Value::Null,
                    confidence: None,
                    leave: Leave::Expired(to.clone()),
                    joined: Vec::new(),
                    attempts: 1,
                }),
            },
            Kind::Fail(fail) => {
                let data = match &fail.data {
                    Some(data) => scope.template(self.world, data, &extra).map_err(at(path))?,
                    None => Value::Null,
                };
                Err(Stop::Fault(Box::new(Fault { data, ..Fault::new(Class::Workflow, &fail.code, path) })))
            }
            Kind::Workflow(child) => self.child(child, path, scope, &extra),
            Kind::Agent(agent) => self.agent(agent, node, path, scope, &extra),
            Kind::Review(review) => {
                let propose = scope.template(self.world, &review.propose, &extra).map_err(at(path))?;
                let people = review::People {
                    allowed: !review.reviewers.is_empty(),
                    form: review.form.clone(),
                    quorum: review.quorum,
                    on_timeout: review.on_timeout.clone(),
                    self_approval: review.self_approval,
                };
                let told = self.people(&people, &propose, path)?;
                let leave = match told.decision {
                    review::Decision::Approved => Leave::Approved,
                    review::Decision::Rejected if node.rejected.is_some() => Leave::Rejected,
                    review::Decision::Rejected => {
                        scope.review = Some(told.output);
                        return Err(fault(Class::Review, "review-rejected", path));
                    }
                    review::Decision::Expired => match &review.on_timeout {
                        OnTimeout::To(to) => Leave::Expired(to.clone()),
                        _ => return Err(fault(Class::Review, "review-expired", path)),
                    },
                };
                if !matches!(leave, Leave::Expired(_)) {
                    scope.review = Some(told.output.clone());
                }
                Ok(Done { output: told.output, confidence: None, leave, joined: Vec::new(), attempts: 1 })
            }
            Kind::Parallel(parallel) => self.parallel(parallel, path, scope),
            Kind::Map(map) => {
                let over = scope.expression(self.world, &map.over, &extra).map_err(at(path))?;
                let Value::Array(items) = over else {
                    return Err(fault(Class::Expression, "not-a-list", path));
                };
                self.map(map, items, path, scope)
            }
        }
    }

    fn people(&self, people: &review::People, propose: &Value, path: &Path) -> Outcome<review::Told> {
        let plan = self.world.script.review(path);
        let expired = self.facts.expired.get(path).copied();
        review::tell(people, propose, plan, expired, path).map_err(Stop::Impossible)
    }

    fn agent(
        &mut self,
        agent: &Agent,
        node: &Node,
        path: &Path,
        scope: &mut Scope<'_>,
        extra: &names::Extra<'_>,
    ) -> Outcome<Done> {
        let input = scope.template(self.world, &agent.input, extra).map_err(at(path))?;
        if !input.is_object() {
            return Err(fault(Class::Expression, "input-not-object", path));
        }
        if let Some(key) = agent.cache.as_ref().and_then(|cache| cache.key.as_ref()) {
            scope.expression(self.world, key, extra).map_err(at(path))?;
        }
        let allowed = if agent.retry.strategy == Strategy::None { 1 } else { agent.retry.max_retries + 1 };
        let (mut before, mut attempt) = (0, 0);
        loop {
            attempt += 1;
            self.attempts.insert(path.to_string(), attempt);
            if self.facts.is_fresh(path, attempt + 1) {
                // Whatever it said came to nothing: the run failed, and somebody retried it. What people decided stays said.
                before = attempt;
                if self.facts.is_decided(path, attempt)
                    && let Some(behaviour) = self.world.script.behaviour(path, attempt)
                    && let AttemptEnd::Reply { next: Wish::Review { propose, form, quorum, .. }, .. } =
                        &behaviour.end
                {
                    let output = output_of(behaviour, &input);
                    let people = review::People::asked(form.as_ref(), *quorum);
                    let plan = self.world.script.review(path);
                    let told = review::tell(&people, propose.as_ref().unwrap_or(&output), plan, None, path);
                    scope.review = Some(told.map_err(Stop::Impossible)?.output);
                }
                continue;
            }
            if let Some((late, made)) = self.facts.late.get(path).filter(|(late, _)| *late == attempt) {
                if agent.deadline_ms.is_none() || *made == 0 {
                    return Err(Stop::Impossible(format!("{path} was late in attempt {late}, {made} made")));
                }
                let fault = Fault { attempt: *made, ..Fault::new(Class::Timeout, "deadline", path) };
                return Err(Stop::Fault(Box::new(fault)));
            }
            if self.facts.cached.get(path) == Some(&attempt) {
                return self.cached(agent, path, &input, attempt);
            }
            let behaviour = self.world.script.behaviour(path, attempt);
            let behaviour = behaviour.ok_or_else(|| Stop::Impossible(format!("no script for {path}")))?;
            let (class, code, recoverable) = match &behaviour.end {
                AttemptEnd::Reply { broken: true, .. } => (Class::InvalidOutput, "not-object", true),
                AttemptEnd::Failure { class, code, recoverable, .. } => (*class, code.as_str(), *recoverable),
                AttemptEnd::Reply { confidence, next, .. } => {
                    let output = output_of(behaviour, &input);
                    let leave = match next {
                        Wish::Edges => Leave::Edges,
                        Wish::Goto(to) => Leave::Goto(to.clone()),
                        Wish::Choose(choices) => Leave::Choose(choices.clone()),
                        Wish::Review { propose, form, quorum, .. } => {
                            let people = review::People::asked(form.as_ref(), *quorum);
                            return self
                                .asked(&people, propose.as_ref(), &output, node, path, scope)
                                .map(|(output, leave)| Done {
                                    output,
                                    confidence: *confidence,
                                    leave,
                                    joined: Vec::new(),
                                    attempts: attempt,
                                })
                                .map_err(|stop| with_attempt(stop, attempt));
                        }
                    };
                    return Ok(Done {
                        output,
                        confidence: *confidence,
                        leave,
                        joined: Vec::new(),
                        attempts: attempt,
                    });
                }
            };
            if !(recoverable && agent.retry.retry_on.contains(&class) && attempt - before < allowed) {
                let fault = Fault { attempt, recoverable, ..Fault::new(class, code, path) };
                return Err(Stop::Fault(Box::new(fault)));
            }
        }
    }

    /// The visit ended by a kept reply.
    fn cached(&self, agent: &Agent, path: &Path, input: &Value, attempt: u32) -> Outcome<Done> {
        let impossible = |why: &str| Stop::Impossible(format!("{path} was cached, {why}"));
        agent.cache.as_ref().ok_or_else(|| impossible("but keeps nothing"))?;
        let kept = self.world.script.kept(path).ok_or_else(|| impossible("and nothing is kept"))?;
        let AttemptEnd::Reply { confidence, next, broken: false, .. } = &kept.end else {
            return Err(impossible("by what is no reply"));
        };
        let leave = match next {
            Wish::Edges => Leave::Edges,
            Wish::Choose(choices) => Leave::Choose(choices.clone()),
            Wish::Goto(_) | Wish::Review { .. } => return Err(impossible("by a reply that jumps or asks")),
        };
        let output = output_of(kept, input);
        Ok(Done { output, confidence: *confidence, leave, joined: Vec::new(), attempts: attempt })
    }

    /// A node that runs another workflow: each attempt is a run.
    fn child(
        &mut self,
        child: &Child,
        path: &Path,
        scope: &Scope<'_>,
        extra: &names::Extra<'_>,
    ) -> Outcome<Done> {
        let input = scope.template(self.world, &child.input, extra).map_err(at(path))?;
        if !input.is_object() {
            return Err(fault(Class::Expression, "input-not-object", path));
        }
        let allowed = if child.retry.strategy == Strategy::None { 1 } else { child.retry.max_retries + 1 };
        let (mut before, mut attempt) = (0, 0);
        loop {
            attempt += 1;
            self.attempts.insert(path.to_string(), attempt);
            if self.facts.is_fresh(path, attempt + 1) {
                // Whatever came of it, the run failed, and somebody retried it.
                before = attempt;
                continue;
            }
            if let Some((late, made)) = self.facts.overrun.get(path).filter(|(late, _)| *late == attempt) {
                if child.timeout_ms.is_none() || *made == 0 {
                    return Err(Stop::Impossible(format!("{path} timed out in attempt {late}, {made} made")));
                }
                let fault = Fault { attempt: *made, ..Fault::new(Class::Timeout, "block-timeout", path) };
                return Err(Stop::Fault(Box::new(fault)));
            }
            let id = CommandId { path: path.clone(), attempt };
            let told = self.children.told(&child.workflow, &id, &input).map_err(Stop::Impossible)?;
            let Some((class, code, recoverable, data)) = told.failure() else {
                let ChildEnd::Succeeded(output) = told else {
                    return Err(Stop::Impossible(format!("the child run {id} did not fail nor succeed")));
                };
                return Ok(Done {
                    output,
                    confidence: None,
                    leave: Leave::Edges,
                    joined: Vec::new(),
                    attempts: attempt,
                });
            };
            // Its class does not matter: it was tried again by its class where it happened.
            if !(recoverable && attempt - before < allowed) {
                let fault = Fault { attempt, recoverable, data, ..Fault::new(class, code, path) };
                return Err(Stop::Fault(Box::new(fault)));
            }
        }
    }

    /// A review that an agent asked for.
    fn asked(
        &mut self,
        people: &review::People,
        propose: Option<&Value>,
        reply: &Value,
        node: &Node,
        path: &Path,
        scope: &mut Scope<'_>,
    ) -> Outcome<(Value, Leave)> {
        let told = self.people(people, propose.unwrap_or(reply), path)?;
        match told.decision {
            review::Decision::Expired => Err(fault(Class::Review, "review-expired", path)),
            review::Decision::Approved => {
                let value = told.output["value"].clone();
                scope.review = Some(told.output);
                Ok((value, Leave::Approved))
            }
            review::Decision::Rejected => {
                scope.review = Some(told.output);
                if node.rejected.is_none() {
                    return Err(fault(Class::Review, "review-rejected", path));
                }
                // Only an approved value takes the place of the reply's output.
                Ok((reply.clone(), Leave::Rejected))
            }
        }
    }
}

fn with_attempt(stop: Stop, attempt: u32) -> Stop {
    match stop {
        Stop::Fault(mut fault) => {
            fault.attempt = attempt;
            Stop::Fault(fault)
        }
        other => other,
    }
}

fn present<'a>(id: Option<&Id>, view: &'a Value) -> Option<(String, &'a Value)> {
    id.map(|id| (id.to_string(), view))
}

/// An edge in words, as the journal's is put.
pub fn edge(to: &Target, why: &str) -> String {
    match to {
        Target::End => format!("edge end {why}"),
        Target::Node(id) => format!("edge {id} {why}"),
    }
}
