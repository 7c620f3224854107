//! The core with parents and children (R5.4, R5.5): who hears of whose end, how a parent stands, and what is loaded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_driver::{Action, Core, Limits, LoadProblem, Message, NewChild, Row, RunId, Standing};
use bandstand_engine::input::{ActorKind, By, Verdict};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Answer, Graph, Input, Run, Start, Timestamp};
use serde_json::{Value, json};

/// Everything outside the core: a disk that writes at once, and a log.
struct World {
    core: Core,
    graphs: BTreeMap<RunId, Arc<Graph>>,
    disk: BTreeMap<RunId, Vec<Row>>,
    standings: BTreeMap<RunId, Standing>,
    loads: Vec<RunId>,
    starts: Vec<RunId>,
    now: Timestamp,
    wake_at: Option<Timestamp>,
}

impl World {
    fn new() -> World {
        World {
            core: Core::new(Limits::default()),
            graphs: BTreeMap::new(),
            disk: BTreeMap::new(),
            standings: BTreeMap::new(),
            loads: Vec::new(),
            starts: Vec::new(),
            now: Timestamp(1_000),
            wake_at: None,
        }
    }

    fn send(&mut self, message: Message) {
        let mut messages = vec![message];
        while !messages.is_empty() {
            let mut actions = Vec::new();
            self.core.handle(messages.remove(0), self.now, &mut actions);
            for action in actions {
                messages.extend(self.carry_out(action));
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Message> {
        match action {
            Action::Append { run_id, rows, token, .. } => {
                self.disk.entry(run_id).or_default().extend(rows);
                return Some(Message::Appended { token, size_bytes: 100 });
            }
            Action::StartChild { new, .. } => return Some(self.child(*new)),
            Action::Load { run_id } => {
                self.loads.push(run_id.clone());
                return Some(self.load(run_id));
            }
            Action::Stands { run_id, standing } => drop(self.standings.insert(run_id, standing)),
            Action::WakeAt { at } => self.wake_at = at,
            Action::StartCall { .. } => panic!("these workflows call nobody"),
            _ => {}
        }
        None
    }

    fn child(&mut self, new: NewChild) -> Message {
        let run_id: RunId = new.child.run_id.as_str().into();
        if self.disk.contains_key(&run_id) {
            return Message::Drive { run_id };
        }
        self.starts.push(run_id.clone());
        let run =
            NewRun { parent: Some(new.parent), ..NewRun::new(new.child.run_id, (*new.child.input).clone()) };
        self.started(new.definition.graph, run)
    }

    fn started(&mut self, graph: Arc<Graph>, new: NewRun) -> Message {
        self.graphs.insert(new.run_id.as_str().into(), graph.clone());
        let start = Start::new(&graph, new, self.now).unwrap();
        let (run, decision) = Run::start(graph, start, self.now);
        Message::RunStarted { run: Box::new(run), decision, at: self.now, request: None }
    }

    fn load(&self, run_id: RunId) -> Message {
        let Some(rows) = self.disk.get(&run_id) else {
            return Message::LoadFailed { run_id, problem: LoadProblem::NoSuchRun };
        };
        let events = rows.iter().flat_map(|row| row.events.iter().map(|event| (row.at, event.clone())));
        let run = Run::fold(self.graphs[&run_id].clone(), None, events).unwrap();
        let tail_events = run.seq();
        Message::Loaded {
            run: Box::new(run),
            tail_events,
            tail_bytes: 0,
            interrupted: Vec::new(),
            unwanted: None,
        }
    }

    fn start(&mut self, graph: Value) {
        let graph: Arc<Graph> = Arc::new(serde_json::from_value(graph).unwrap());
        let message = self.started(graph, NewRun::new(TOP, json!({})));
        self.send(message);
    }

    /// The runs that are not the topmost one.
    fn children(&self) -> Vec<RunId> {
        self.disk.keys().filter(|run_id| ***run_id != *TOP).cloned().collect()
    }

    /// The run that asks, and its review.
    fn asking(&self) -> (RunId, String) {
        let ask = |run: &Run| run.open_reviews().first().map(|review| review.review_id.clone());
        self.disk
            .keys()
            .find_map(|run_id| {
                let Message::Loaded { run, .. } = self.load(run_id.clone()) else { return None };
                Some((run_id.clone(), ask(&run)?))
            })
            .expect("a run asks")
    }

    /// Time passes until nobody is in memory.
    fn rest(&mut self) {
        self.now = self.now.plus_ms(2_000);
        self.send(Message::Tick);
        assert_eq!(self.core.runs().count(), 0, "everybody rests");
    }
}

const TOP: &str = "top";

fn graph(name: &str, nodes: Value, workflows: Value) -> Value {
    json!({
        "name": name, "version": 1, "state": {}, "plugins": {}, "workflows": workflows,
        "limits": {
            "max_steps": 100, "max_total_steps": 100, "max_items": 100, "payload_bytes": 100_000,
            "state_bytes": 100_000, "expression_fuel": 10_000
        },
        "root": { "start": "a", "nodes": nodes },
    })
}

fn child(name: &str, graph: Value) -> Value {
    json!({ name: { "path": "child.yaml", "source": "", "graph": graph } })
}

fn next(to: &str) -> Value {
    let target = if to == "end" { json!("end") } else { json!({ "node": to }) };
    json!({ "next": { "otherwise": target } })
}

fn runs(workflow: &str, to: &str) -> Value {
    let retry = json!({
        "strategy": "none", "max_retries": 0, "base_delay_ms": 1, "factor": 1.0, "max_delay_ms": 1, "jitter": 0.0,
        "retry_on": []
    });
    json!({ "kind": { "workflow": { "workflow": workflow, "input": { "lit": {} }, "retry": retry } }, "exit": next(to) })
}

fn asks() -> Value {
    json!({
        "kind": { "review": {
            "title": { "lit": "Go on?" }, "propose": { "lit": {} }, "quorum": 1, "timeout_ms": 3_600_000,
            "on_timeout": "fail"
        } },
        "approved": { "otherwise": "end" }, "rejected": { "otherwise": "end" },
    })
}

fn value() -> Value {
    json!({ "kind": { "value": { "lit": { "n": 1 } } }, "exit": next("end") })
}

/// Top runs a child that runs a grandchild, and then asks.
fn family() -> Value {
    let inner = graph("inner", json!({ "a": value() }), json!({}));
    let outer = graph("outer", json!({ "a": runs("inner", "b"), "b": asks() }), child("inner", inner));
    graph("top", json!({ "a": runs("outer", "end") }), child("outer", outer))
}

// A child whose own child has just ended once went on to stand as running, and with it everybody above it.
#[test]
fn a_parent_stands_as_its_child_does_once_that_childs_child_has_ended() {
    let mut world = World::new();
    world.start(family());
    let (asking, review_id) = world.asking();
    let people = Standing::People { reviews: vec![review_id] };
    assert_eq!(world.standings.get(&asking), Some(&people));
    assert_eq!(world.standings.get(TOP), Some(&people));
}

// It once was loaded, to be told that it is not wanted any more.
#[test]
fn a_child_that_has_ended_is_left_alone() {
    let mut world = World::new();
    world.start(family());
    assert_eq!((world.starts.len(), world.loads.as_slice()), (2, &[][..]));
}

// Its standing once was not heard of when it was in memory before its parent.
#[test]
fn a_parent_that_comes_back_asks_how_its_children_stand() {
    let mut world = World::new();
    world.start(family());
    let (asking, review_id) = world.asking();
    for child_first in [true, false] {
        world.rest();
        world.standings.clear();
        if child_first {
            world.send(Message::Drive { run_id: asking.clone() });
        }
        world.send(Message::Drive { run_id: TOP.into() });
        assert_eq!(world.standings.get(TOP), Some(&Standing::People { reviews: vec![review_id.clone()] }));
    }
    assert_eq!(world.starts.len(), 2, "nobody is started twice");
}

#[test]
fn the_answer_to_a_child_ends_its_parent_though_neither_was_in_memory() {
    let mut world = World::new();
    world.start(family());
    let (asking, review_id) = world.asking();
    world.rest();
    let answer = Answer {
        review_id,
        feedback_id: "f".to_owned(),
        request_id: None,
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision: Verdict::Approved,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
    };
    world.send(Message::Input { run_id: asking, input: Input::Answer(answer), request: None });
    assert!(matches!(world.standings.get(TOP), Some(Standing::Ended(bandstand_engine::Status::Succeeded))));
}

#[test]
fn whoever_ends_a_parent_ends_its_children() {
    type Verb = fn(By, String) -> Input;
    let verbs: [(Verb, bandstand_engine::Status); 2] = [
        (|by, reason| Input::Cancel { by, reason }, bandstand_engine::Status::Cancelled),
        (|by, reason| Input::Kill { by, reason }, bandstand_engine::Status::Killed),
    ];
    for (verb, status) in verbs {
        let mut world = World::new();
        world.start(family());
        let (asking, _) = world.asking();
        world.rest();
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        world.send(Message::Input { run_id: TOP.into(), input: verb(by, String::new()), request: None });
        assert_eq!(world.standings.get(&asking), Some(&Standing::Ended(status)));
        assert_eq!(world.children().len(), 2);
    }
}
