//! Nodes, exits and blocks of a generated workflow.

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::graph::{
    Agent, Arm, Body, Branch, Cache, CacheScope, Child, Edges, Exit, Fail, Join, Keep, Kind, Map, MaxErrors,
    Node, OnFailure, OnTimeout, Parallel, Reducer, Review, Route, SignalWait, Stage, Target, Update,
};
use serde_json::{Value, json};

use super::people::form;
use super::{Feature, Generator, LEVELS_MAX, OutputShape, Place, id, schema};

/// The names of routes.
const OPTIONS: [&str; 3] = ["left", "right", "middle"];

/// The scope's nodes and which of them this one is; none in a one-node body.
type Position<'a> = Option<(&'a [String], usize)>;

impl Generator<'_> {
    /// A node; `name` is its own, or that of its branch or block.
    pub(super) fn node(
        &mut self,
        place: &Place,
        position: Option<(&Vec<String>, usize)>,
        name: &str,
    ) -> Node {
        let position: Position<'_> = position.map(|(ids, index)| (ids.as_slice(), index));
        self.nodes_left = self.nodes_left.saturating_sub(1);
        let path = if place.path.is_empty() { name.to_owned() } else { format!("{}/{name}", place.path) };
        let path = if position.is_some() { path } else { place.path.clone() };
        let mut place = Place { visit: true, ..place.clone() };
        let routes = self.maybe(Feature::Routes, 50) && position.is_some();
        let options: Vec<String> = if routes {
            OPTIONS[..1 + self.tape.index(OPTIONS.len())].iter().map(|name| (*name).to_owned()).collect()
        } else {
            Vec::new()
        };
        let goto: Vec<String> = match position {
            Some((ids, _)) if self.on(Feature::Goto) => {
                ids.iter().filter(|_| self.tape.chance(50)).cloned().collect()
            }
            _ => Vec::new(),
        };
        let (kind, shape) = self.kind(&place, &path, name, position, &goto, &options);
        place.output = Some(shape);
        let is_review = matches!(kind, Kind::Review(_));
        let is_agent = matches!(kind, Kind::Agent(_));
        let mut node = Node {
            description: String::new(),
            stage: self.stage(&place),
            update: None,
            set: BTreeMap::new(),
            exit: None,
            approved: None,
            rejected: None,
            on_failure: None,
            goto: if is_agent { goto.iter().map(|to| id(to)).collect() } else { BTreeSet::new() },
            checkpoint: None,
            kind,
        };
        if matches!(node.kind, Kind::Fail(_)) {
            return node;
        }
        self.writes(&place, &mut node);
        node.checkpoint = self.maybe(Feature::Checkpoints, 30).then(|| id(&format!("k_{name}")));
        node.on_failure = self.on_failure(&place, position);
        if is_review {
            if position.is_some() {
                node.approved = Some(self.edges(&place, position));
                node.rejected = Some(self.edges(&place, position));
            }
            return node;
        }
        if is_agent && position.is_some() && self.on(Feature::AskedReviews) {
            node.approved = self.tape.chance(40).then(|| self.edges(&place, position));
            node.rejected = self.tape.chance(40).then(|| self.edges(&place, position));
        }
        node.exit = Some(if routes {
            Exit::Route(self.route(position, &options, shape))
        } else {
            Exit::Next(self.edges(&place, position))
        });
        node
    }

    fn kind(
        &mut self,
        place: &Place,
        path: &str,
        name: &str,
        position: Position<'_>,
        goto: &[String],
        options: &[String],
    ) -> (Kind, OutputShape) {
        let deep = place.depth >= 2 || self.nodes_left == 0;
        let choice = self.tape.below(20);
        match choice {
            8 | 9 | 19 if self.on(Feature::Signals) => {
                (Kind::Signal(self.signal_wait(position)), OutputShape::Other)
            }
            6 | 7 if self.on(Feature::Children) && self.level < LEVELS_MAX => {
                (Kind::Workflow(self.child(place, path)), OutputShape::Other)
            }
            1..=9 => {
                // An agent names routes and nodes that exist, and sometimes one that does not.
                let mut wishes = goto.to_vec();
                wishes.push("nowhere".to_owned());
                self.behaviours(path, &wishes, options);
                let input = if self.maybe(Feature::BadExpressions, 5) {
                    json!("${{ 5 }}")
                } else {
                    self.call_input(place)
                };
                let agent = Agent {
                    plugin: id(if self.tape.below(2) == 0 { "p" } else { "q" }),
                    input: self.template(&input),
                    retry: self.retry(),
                    timeout_ms: 60_000,
                    deadline_ms: self.maybe(Feature::Deadlines, 50).then(|| 1 + self.tape.below(6_000)),
                    cache: self.cache(place),
                    stream: None,
                };
                (Kind::Agent(agent), OutputShape::Agent)
            }
            10 | 11 if self.on(Feature::Reviews) => {
                self.people(path);
                (Kind::Review(self.review(place, position)), OutputShape::Review)
            }
            12 if self.on(Feature::Waits) => {
                (Kind::Wait { for_ms: 1 + self.tape.below(20_000) }, OutputShape::Other)
            }
            13 | 14 if self.on(Feature::Parallel) && !deep => {
                (Kind::Parallel(self.parallel(place, path, name)), OutputShape::Other)
            }
            15 | 16 if self.on(Feature::Map) && !deep => {
                (Kind::Map(self.map(place, path, name)), OutputShape::Other)
            }
            17 if self.on(Feature::FailNodes) => {
                let data = self.tape.chance(50).then(|| self.object(place));
                let fail = Fail {
                    code: "given-up".to_owned(),
                    message: self.template(&json!("it cannot be done")),
                    data: data.map(|data| self.template(&data)),
                };
                (Kind::Fail(fail), OutputShape::Other)
            }
            18 => (Kind::Pure, OutputShape::Other),
            _ => {
                if options.is_empty() && self.tape.chance(5) {
                    return (Kind::Value(self.template(&Value::Null)), OutputShape::Other);
                }
                let mut value = self.object(place);
                if !options.is_empty() {
                    value["options"] = json!({ "left": 0.8, "right": "${{ 0.8 if input.n > 1 else 0.3 }}" });
                }
                (Kind::Value(self.template(&value)), OutputShape::Numbered)
            }
        }
    }

    fn cache(&mut self, place: &Place) -> Option<Cache> {
        if !self.maybe(Feature::Cache, 70) {
            return None;
        }
        let key = self.tape.chance(40).then(|| self.number(place));
        Some(Cache {
            for_ms: 1 + self.tape.below(100_000),
            key: key.map(|key| self.expression(&key)),
            scope: *self.tape.pick(&[CacheScope::Workflow, CacheScope::Thread, CacheScope::Run]),
        })
    }

    fn child(&mut self, place: &Place, path: &str) -> Child {
        let workflow = if self.runs_children {
            self.child_world()
        } else {
            self.child_behaviours(path);
            id("w1")
        };
        let input = if self.maybe(Feature::BadExpressions, 5) {
            json!("${{ 5 }}")
        } else {
            let number = self.number(place);
            let list = *self.tape.pick(&["${{ [] }}", "${{ [1, 2] }}", "${{ input.list }}"]);
            json!({ "n": format!("${{{{ {number} }}}}"), "list": list })
        };
        Child {
            workflow,
            input: self.template(&input),
            retry: self.retry(),
            timeout_ms: self.maybe(Feature::BlockTimeouts, 60).then(|| 1 + self.tape.below(6_000)),
        }
    }

    /// A workflow to run as a child: one that is there, or a new small one.
    fn child_world(&mut self) -> bandstand_engine::Id {
        let new = self.children.is_empty() || (self.children.len() < 2 && self.tape.chance(40));
        if !new {
            let all: Vec<bandstand_engine::Id> = self.children.keys().cloned().collect();
            return self.tape.pick(&all).clone();
        }
        let name = id(&format!("w{}", self.children.len() + 1));
        let generator = Generator {
            tape: &mut *self.tape,
            features: self.features.clone(),
            script: Default::default(),
            next_id: 0,
            nodes_left: 4,
            channels: BTreeMap::new(),
            awaited: BTreeMap::new(),
            children: BTreeMap::new(),
            runs_children: true,
            level: self.level + 1,
        };
        let world = generator.world();
        self.children.insert(name.clone(), world);
        name
    }

    fn signal_wait(&mut self, position: Position<'_>) -> SignalWait {
        let name = *self.tape.pick(&["go", "stop"]);
        let strict = self.maybe(Feature::Schemas, 40);
        *self.awaited.entry(name.to_owned()).or_default() |= strict;
        SignalWait {
            signal: id(name),
            schema: strict.then(|| schema(&json!({ "type": "object" }))),
            timeout_ms: (!self.tape.chance(40)).then(|| 1 + self.tape.below(8_000)),
            on_timeout: if self.tape.chance(50) && position.is_some() {
                Some(self.forward(position))
            } else {
                None
            },
        }
    }

    fn stage(&mut self, place: &Place) -> Option<Stage> {
        if place.depth > 0 || !self.maybe(Feature::Stages, 40) {
            return None;
        }
        Some(*self.tape.pick(&[Stage::Validation, Stage::Processing, Stage::Review, Stage::Approval]))
    }

    fn review(&mut self, place: &Place, position: Position<'_>) -> Review {
        let propose = self.object(place);
        let on_timeout = match self.tape.below(5) {
            1 => OnTimeout::Approve,
            2 => OnTimeout::Reject,
            3 | 4 if position.is_some() => OnTimeout::To(self.forward(position)),
            _ => OnTimeout::Fail,
        };
        let reviewers: Vec<Value> = if self.tape.chance(30) {
            vec![json!("user:ann"), json!("user:${{ 'bob' }}"), json!("group:staff")]
        } else {
            Vec::new()
        };
        Review {
            title: self.template(&json!("is it ${{ 1 }}?")),
            reason: None,
            propose: self.template(&propose),
            form: self.maybe(Feature::Schemas, 40).then(|| schema(&form())),
            reviewers: reviewers.iter().map(|reviewer| self.template(reviewer)).collect(),
            quorum: u32::try_from(1 + self.tape.below(2)).unwrap_or(1),
            timeout_ms: if self.on(Feature::Expiry) { 1 + self.tape.below(10_000) } else { 3_600_000 },
            on_timeout,
            self_approval: !self.tape.chance(20),
        }
    }

    fn join(&mut self, count: u64) -> (Join, Option<MaxErrors>) {
        let which = self.tape.below(6);
        let join = match which {
            1 if self.on(Feature::Joins) => Join::All,
            2 | 3 if self.on(Feature::Joins) => Join::Any,
            4 | 5 if self.on(Feature::Joins) => {
                Join::Quorum(u32::try_from(1 + self.tape.below(count)).unwrap_or(1))
            }
            _ => Join::Settle,
        };
        let max_errors = match self.tape.below(3) {
            1 if self.on(Feature::MaxErrors) => Some(MaxErrors::Count(self.tape.below(3))),
            2 if self.on(Feature::MaxErrors) => {
                Some(MaxErrors::Percent(u32::try_from(self.tape.below(101)).unwrap_or(0)))
            }
            _ => None,
        };
        (join, max_errors.filter(|_| join == Join::Settle))
    }

    fn block_timeout(&mut self) -> Option<u64> {
        self.maybe(Feature::BlockTimeouts, 60).then(|| 1 + self.tape.below(5_000))
    }

    fn inside(place: &Place, path: &str, name: &str) -> Place {
        let mut inner = place.clone();
        inner.nodes.retain(|node| node != name);
        inner.depth += 1;
        path.clone_into(&mut inner.path);
        inner.visit = false;
        inner.output = None;
        inner
    }

    fn parallel(&mut self, place: &Place, path: &str, name: &str) -> Parallel {
        let count = 1 + self.tape.index(4);
        let names: Vec<String> = (0..count).map(|_| self.fresh('b')).collect();
        let (join, max_errors) = self.join(count as u64);
        let mut waits: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut branches = Vec::new();
        for (index, branch) in names.iter().enumerate() {
            let after: Vec<String> =
                names[..index].iter().filter(|_| self.maybe(Feature::After, 40)).cloned().collect();
            let mut inner = Self::inside(place, &format!("{path}/{branch}"), name);
            let mut all: BTreeSet<String> = after.iter().cloned().collect();
            for one in &after {
                all.extend(waits.get(one).into_iter().flatten().cloned());
            }
            inner.after = all.into_iter().collect();
            waits.insert(branch.clone(), inner.after.clone());
            let body = self.body(&inner, branch);
            let result = self.branch_result(&inner);
            branches.push(Branch {
                id: id(branch),
                after: after.iter().map(|name| id(name)).collect(),
                body,
                result,
            });
        }
        // Declared order need not be the order of waiting.
        if self.tape.chance(30) {
            branches.reverse();
        }
        Parallel { join, max_errors, branches, timeout_ms: self.block_timeout() }
    }

    fn map(&mut self, place: &Place, path: &str, name: &str) -> Map {
        let item = self.fresh('i');
        let over = self.list(place);
        let (join, max_errors) = self.join(3);
        let mut inner = Self::inside(place, path, name);
        inner.items.push(item.clone());
        let body = self.body(&inner, name);
        let result = self.branch_result(&inner);
        Map {
            over: self.expression(&over),
            item: id(&item),
            concurrency: *self.tape.pick(&[32, 1, 2]),
            join,
            max_errors,
            body,
            result,
            timeout_ms: self.block_timeout(),
        }
    }

    fn branch_result(&mut self, inner: &Place) -> Option<bandstand_engine::expression::Template> {
        if !self.maybe(Feature::Results, 50) {
            return None;
        }
        let place = Place { output: Some(OutputShape::Other), ..inner.clone() };
        let value = self.object(&place);
        Some(self.template(&value))
    }

    fn body(&mut self, inner: &Place, name: &str) -> Body {
        if self.tape.chance(50) {
            return Body::Graph(self.scope(inner));
        }
        Body::Node(Box::new(self.node(inner, None, name)))
    }

    /// A node further on, or the end.
    fn forward(&mut self, position: Position<'_>) -> Target {
        let Some((ids, index)) = position else { return Target::End };
        let later = &ids[index + 1..];
        // Mostly the next one, so that runs get somewhere.
        let choice = if self.tape.chance(30) { self.tape.index(later.len() + 1) } else { 0 };
        later.get(choice).map_or(Target::End, |next| Target::Node(id(next)))
    }

    fn edges(&mut self, place: &Place, position: Position<'_>) -> Edges {
        let mut when = Vec::new();
        let Some((ids, index)) = position else { return Edges { when, otherwise: Target::End } };
        if self.maybe(Feature::Loops, 35) {
            let bound = 2 + self.tape.below(3);
            let back = ids[self.tape.index(index + 1)].clone();
            when.push(Arm {
                when: self.expression(&format!("visit < {bound}")),
                to: Target::Node(id(&back)),
            });
        }
        if self.maybe(Feature::Conditions, 35) {
            let condition = self.condition(place);
            let to = self.forward(position);
            when.insert(0, Arm { when: self.expression(&condition), to });
        }
        Edges { when, otherwise: self.forward(position) }
    }

    fn on_failure(&mut self, place: &Place, position: Position<'_>) -> Option<OnFailure> {
        if !self.maybe(Feature::OnFailure, 70) {
            return None;
        }
        let place = Place { output: None, ..place.clone() };
        if position.is_none() || self.tape.chance(40) {
            let value = self.object(&place);
            return Some(OnFailure::Value(self.template(&value)));
        }
        let mut edges = self.edges(&place, position);
        let own = position.map(|(ids, index)| Target::Node(id(&ids[index])));
        edges.when.retain(|arm| Some(&arm.to) != own.as_ref());
        Some(OnFailure::To(edges))
    }

    fn route(&mut self, position: Position<'_>, options: &[String], shape: OutputShape) -> Route {
        let from_output =
            shape == OutputShape::Numbered || (shape == OutputShape::Agent && self.tape.chance(50));
        let source = match (shape, from_output) {
            (OutputShape::Agent, false) => None,
            (OutputShape::Agent, true) => Some("output.options if output.options is defined else {}"),
            (OutputShape::Numbered, _) => Some("output.options"),
            _ => Some("{'left': 0.9}"),
        };
        Route {
            options: source.map(|source| self.expression(source)),
            threshold: *self.tape.pick(&[0.75, 0.5, 0.0, 1.0]),
            to: options.iter().map(|option| (option.clone(), self.forward(position))).collect(),
            below: self.tape.chance(50).then(|| self.forward(position)),
            default: self.tape.chance(50).then(|| self.forward(position)),
        }
    }

    fn writes(&mut self, place: &Place, node: &mut Node) {
        if !self.maybe(Feature::Updates, 70) {
            return;
        }
        if self.tape.chance(15) {
            // The whole output, whose keys are channels or not.
            let whole = match self.tape.below(4) {
                0 => json!({ "total": 1, "log": ["w"] }),
                1 => json!("${{ {'facts': {'k': visit}} }}"),
                2 => json!("${{ output }}"),
                _ => json!("${{ [1] }}"),
            };
            node.update = Some(Update::Whole(self.template(&whole)));
        } else {
            let mut channels = BTreeMap::new();
            for name in ["best", "facts", "last", "log", "low", "own", "total"] {
                if self.tape.chance(25) {
                    let operand = self.operand(place, name);
                    channels.insert(id(name), self.template(&operand));
                }
            }
            if !channels.is_empty() {
                node.update = Some(Update::Channels(channels));
            }
        }
        if self.maybe(Feature::Set, 25) {
            let name = if place.depth == 0 { *self.tape.pick(&["last", "total", "log"]) } else { "own" };
            if place.depth == 0 || self.keeps_branch(name) {
                let value = if name == "log" {
                    json!([])
                } else {
                    json!(format!("${{{{ {} }}}}", self.number(place)))
                };
                node.set.insert(id(name), self.template(&value));
            }
        }
    }

    fn keeps_branch(&self, name: &str) -> bool {
        self.channels.get(&id(name)).is_some_and(|channel| channel.keep == Keep::Branch)
    }

    fn operand(&mut self, place: &Place, channel: &str) -> Value {
        let reducer = self.channels.get(&id(channel)).map_or(Reducer::Replace, |channel| channel.reduce);
        if self.maybe(Feature::BadWrites, 10) {
            return json!("wrong");
        }
        let number = self.number(place);
        let number = json!(format!("${{{{ {number} }}}}"));
        match reducer {
            Reducer::Sum | Reducer::Min | Reducer::Max => number,
            Reducer::Append => json!([number]),
            Reducer::Merge => json!({ (*self.tape.pick(&["k", "l", "m"])).to_owned(): number }),
            Reducer::Replace => self.object(place),
        }
    }
}
