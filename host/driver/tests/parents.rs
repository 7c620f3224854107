//! The promises of the core about parents and child runs: who begins, who is told, how a parent stands (R5.5, R5.6, R4.4).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_driver::{Action, Core, Limits, Message, NewChild, Request, RunId, Standing, Summary, Token};
use bandstand_engine::graph::{ChildWorkflow, Graph};
use bandstand_engine::input::{ActorKind, By, Verdict};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Answer, Event, Id, Input, Run, Start, Timestamp};
use serde_json::{Value, json};

/// A core and what it wanted. Nothing is done but what a test does.
struct World {
    core: Core,
    now: Timestamp,
    parent: Arc<Graph>,
    appends: Vec<(RunId, Token, Summary, Vec<Event>)>,
    disk: BTreeMap<RunId, Vec<(Timestamp, Event)>>,
    starting: Vec<NewChild>,
    stands: BTreeMap<RunId, Standing>,
    loads: Vec<RunId>,
    changes: Vec<(RunId, Summary)>,
}

fn graph(name: &str, nodes: Value) -> Value {
    json!({
        "name": name, "version": 1,
        "limits": { "max_steps": 1000, "max_total_steps": 1000, "max_items": 10, "payload_bytes": 100_000,
            "state_bytes": 100_000, "expression_fuel": 100_000 },
        "plugins": {},
        "root": { "start": "a", "nodes": nodes },
    })
}

fn end() -> Value {
    json!({ "next": { "otherwise": "end" } })
}

fn to(node: &str) -> Value {
    json!({ "next": { "otherwise": { "node": node } } })
}

fn review(exit: &Value, quorum: u32) -> Value {
    let edges = exit["next"].clone();
    let kind = json!({ "title": { "lit": "is it so?" }, "propose": { "lit": {} }, "quorum": quorum,
        "timeout_ms": 3_600_000, "on_timeout": "fail" });
    json!({ "kind": { "review": kind }, "approved": edges, "rejected": edges })
}

/// A child run beside a review that needs three answers.
fn beside_a_review() -> Value {
    let branch = |id: &str, node: Value| json!({ "id": id, "body": { "node": node } });
    let branches = [branch("x", child(end())), branch("y", review(&end(), 3))];
    json!({ "a": { "kind": { "parallel": { "join": "all", "branches": branches } }, "exit": end() } })
}

fn child(exit: Value) -> Value {
    let retry = json!({ "strategy": "none", "max_retries": 0, "base_delay_ms": 0, "factor": 1.0, "max_delay_ms": 0,
        "jitter": 0.0, "retry_on": [] });
    json!({ "kind": { "workflow": { "workflow": "w", "input": { "lit": {} }, "retry": retry } }, "exit": exit })
}

impl World {
    /// A parent of these nodes, whose workflow `w` is one review.
    fn new(nodes: Value) -> World {
        let mut parent: Graph = serde_json::from_value(graph("parent", nodes)).unwrap();
        let of_child = graph("child", json!({ "a": review(&end(), 1) }));
        let definition = ChildWorkflow {
            path: "child.yaml".to_owned(),
            source: "its text".into(),
            graph: Arc::new(serde_json::from_value(of_child).unwrap()),
        };
        parent.workflows.insert(Id::new("w").unwrap(), definition);
        let mut world = World {
            core: Core::new(Limits::default()),
            now: Timestamp(1_000_000),
            parent: Arc::new(parent),
            appends: Vec::new(),
            disk: BTreeMap::new(),
            starting: Vec::new(),
            stands: BTreeMap::new(),
            loads: Vec::new(),
            changes: Vec::new(),
        };
        let start = Start::new(&world.parent, NewRun::new("parent", json!({})), world.now).unwrap();
        let (run, decision) = Run::start(world.parent.clone(), start, world.now);
        let at = world.now;
        world.send(Message::RunStarted { run: Box::new(run), decision, at, request: Some(Request(0)) });
        world
    }

    fn send(&mut self, message: Message) {
        let mut actions = Vec::new();
        self.core.handle(message, self.now, &mut actions);
        for action in actions {
            match action {
                Action::Append { run_id, rows, summary, token } => {
                    let events = rows.iter().flat_map(|row| row.events.iter().cloned()).collect();
                    self.appends.push((run_id, token, summary, events));
                }
                Action::StartChild { new, .. } => self.starting.push(*new),
                Action::Stands { run_id, standing } => drop(self.stands.insert(run_id, standing)),
                Action::Load { run_id } => self.loads.push(run_id),
                Action::Change { run_id, summary } => self.changes.push((run_id, summary)),
                _ => {}
            }
        }
    }

    /// Makes the oldest append durable.
    fn sync(&mut self) -> Summary {
        let (run_id, token, summary, events) = self.appends.remove(0);
        let at = self.now;
        self.disk.entry(run_id).or_default().extend(events.into_iter().map(|event| (at, event)));
        self.send(Message::Appended { token, size_bytes: 100 });
        summary
    }

    /// Begins the child run that is wanted, as the shell does; its id.
    fn begin(&mut self) -> RunId {
        let new = self.starting.remove(0);
        let run_id: RunId = new.child.run_id.as_str().into();
        let graph = new.definition.graph.clone();
        let parent = Some(new.parent);
        let new = NewRun { parent, ..NewRun::new(run_id.to_string(), (*new.child.input).clone()) };
        let start = Start::new(&graph, new, self.now).unwrap();
        let (run, decision) = Run::start(graph, start, self.now);
        let at = self.now;
        self.send(Message::RunStarted { run: Box::new(run), decision, at, request: None });
        run_id
    }

    fn load(&mut self, run_id: &RunId) {
        let graph = match &**run_id {
            "parent" => self.parent.clone(),
            _ => self.parent.workflows[&Id::new("w").unwrap()].graph.clone(),
        };
        let run = Run::fold(graph, None, self.disk[run_id].iter().cloned()).unwrap();
        self.send(Message::Loaded {
            run: Box::new(run),
            tail_events: 0,
            tail_bytes: 0,
            interrupted: Vec::new(),
            unwanted: None,
        });
    }

    fn approve(&mut self, run_id: &RunId) {
        self.approve_as("ann", run_id);
    }

    fn approve_as(&mut self, reviewer: &str, run_id: &RunId) {
        let review_id = self.core.run(run_id).unwrap().open_reviews()[0].review_id.clone();
        let answer = Answer {
            feedback_id: format!("answer of {reviewer} to {review_id}"),
            review_id,
            request_id: None,
            reviewer: reviewer.to_owned(),
            groups: Vec::new(),
            decision: Verdict::Approved,
            comments: String::new(),
            changes: None,
            saw: None,
            confidence: None,
        };
        self.send(Message::Input { run_id: run_id.clone(), input: Input::Answer(answer), request: None });
    }

    fn cancel(&mut self) {
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        let input = Input::Cancel { by, reason: String::new() };
        self.send(Message::Input { run_id: "parent".into(), input, request: None });
    }

    fn reviews_shown(&self, run_id: &str) -> usize {
        match &self.stands[run_id] {
            Standing::People { reviews } => reviews.len(),
            other => panic!("{run_id} stands as {other:?}"),
        }
    }
}

// The store marks a child as not wanted in the parent's transaction, if it is there. Rows are written in the order in which
// the core hands them over, so one that begins after its parent's decision would never be marked, and go on after a crash.
#[test]
fn a_child_that_its_parent_has_decided_against_does_not_begin() {
    let mut world = World::new(json!({ "a": child(end()) }));
    world.sync();
    world.cancel();
    assert_eq!(world.appends.len(), 1, "the cancel is on its way to the disk");
    world.begin();
    assert_eq!(world.appends.len(), 1, "the child does not follow it there");
}

#[test]
fn a_parent_that_waits_for_a_person_after_its_child_is_shown_so() {
    let mut world = World::new(json!({ "a": child(to("b")), "b": review(&end(), 1) }));
    world.sync();
    let child = world.begin();
    world.sync();
    assert_eq!(world.reviews_shown("parent"), 1, "the child's");
    world.approve(&child);
    world.sync();
    world.sync();
    assert_eq!(world.reviews_shown("parent"), 1, "its own");
    assert_eq!(world.loads, Vec::<RunId>::new(), "nothing of the child is looked at again");
}

#[test]
fn a_parent_that_comes_back_stands_as_its_child_in_memory() {
    let mut world = World::new(json!({ "a": child(end()) }));
    world.sync();
    let child = world.begin();
    world.sync();
    world.now = world.now.plus_ms(2_000);
    world.send(Message::Tick);
    assert!(world.core.runs().next().is_none(), "both rest");
    world.send(Message::Drive { run_id: child.clone() });
    world.load(&child);
    world.send(Message::Drive { run_id: "parent".into() });
    world.load(&"parent".into());
    assert_eq!(world.reviews_shown("parent"), 1);
}

// The store notes in the child's last transaction that its parent has to be looked at. A row of the parent's that follows in
// the store must not take that back.
#[test]
fn a_parent_is_not_written_as_cared_for_when_its_child_has_decided_its_end() {
    let mut world = World::new(beside_a_review());
    world.sync();
    let child = world.begin();
    world.sync();
    world.approve(&"parent".into());
    assert!(!world.sync().owes, "the child goes on by itself");
    world.approve_as("bob", &child);
    world.approve_as("cem", &"parent".into());
    let [(of_child, ..), (of_parent, _, summary, _)] = world.appends.as_slice() else {
        panic!("{:?}", world.appends)
    };
    assert_eq!((of_child, &**of_parent), (&child, "parent"));
    assert!(summary.owes, "it has to hear of an end that is on the disk before this row");
}

// What the store did not take is not there: after a restart nobody but its parent would begin it.
#[test]
fn the_parent_of_a_stuck_child_is_looked_at_when_the_host_starts() {
    let mut world = World::new(json!({ "a": child(end()) }));
    assert!(world.sync().owes);
    world.begin();
    let (_, token, ..) = world.appends.remove(0);
    world.send(Message::AppendRefused { token, problem: "no room".to_owned() });
    assert!(matches!(&world.stands["parent"], Standing::Stuck(problem) if problem.contains("no room")));
    world.now = world.now.plus_ms(2_000);
    world.send(Message::Tick);
    assert!(world.core.runs().next().is_none(), "it left memory");
    assert!(world.changes.is_empty(), "the table of runs still says that it owes");
}
