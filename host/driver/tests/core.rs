//! The promises of the core, each against the real engine: what it releases, when, and what a crash leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bandstand_driver::{
    Action, Core, Evidence, Held, Limits, LoadProblem, Message, Refusal, Request, Row, Standing, Token,
};
use bandstand_engine::event::{CachedFrom, Event, PluginPin};
use bandstand_engine::input::{ActorKind, By, Reply, ReplyNext, Retry, Usage, Verdict};
use bandstand_engine::run::{JournalRow, NewRun, Point, ThreadNow};
use bandstand_engine::{Answer, Class, CommandId, Failure, Graph, Id, Input, Run, Start, Timestamp};
use serde_json::{Value, json};

/// A core, a disk and a list of what came out. Time is a number.
struct World {
    core: Core,
    now: Timestamp,
    graph: Arc<Graph>,
    /// What is durable.
    disk: Vec<Row>,
    marks: BTreeSet<CommandId>,
    flying: BTreeSet<CommandId>,
    appends: Vec<(Token, Vec<Row>)>,
    wake_at: Option<Timestamp>,
    log: Vec<String>,
}

const RUN: &str = "run-1";

impl World {
    fn new(graph: Value, limits: Limits) -> World {
        World {
            core: Core::new(limits),
            now: Timestamp(1_000_000),
            graph: Arc::new(serde_json::from_value(graph).unwrap()),
            disk: Vec::new(),
            marks: BTreeSet::new(),
            flying: BTreeSet::new(),
            appends: Vec::new(),
            wake_at: None,
            log: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.start_in(None);
    }

    fn start_in(&mut self, thread: Option<ThreadNow>) {
        let new = NewRun {
            thread_id: thread.as_ref().map(|_| "t".to_owned()),
            thread,
            plugins: [(Id::new("p").unwrap(), PluginPin { digest: "sha256:0".to_owned() })].into(),
            seed: 7,
            ..NewRun::new(RUN, json!({}))
        };
        let start = Start::new(&self.graph, new, self.now).unwrap();
        let (run, decision) = Run::start(self.graph.clone(), start, self.now);
        let at = self.now;
        self.send(Message::RunStarted { run: Box::new(run), decision, at, request: Some(Request(0)) });
    }

    fn send(&mut self, message: Message) {
        let mut actions = Vec::new();
        self.core.handle(message, self.now, &mut actions);
        for action in actions {
            let line = match action {
                Action::Append { rows, token, .. } => {
                    let line = format!("append {}", names(&rows));
                    assert!(self.appends.is_empty(), "one append of a run at a time");
                    self.appends.push((token, rows));
                    line
                }
                Action::StartCall { command, .. } => {
                    self.marks.insert(command.id.clone());
                    assert!(self.flying.insert(command.id.clone()), "one live call per command");
                    format!("call {} after {} interruptions", command.id, command.interruptions)
                }
                Action::StartChild { new, .. } => format!("child {}", new.child.id),
                Action::Change { summary, .. } => format!("change owes={}", summary.owes),
                Action::LookUp { id, .. } => format!("look up {id}"),
                Action::StopCall { id, .. } => format!("stop {id}"),
                Action::ClearMark { id, .. } => {
                    self.marks.remove(&id);
                    format!("clear {id}")
                }
                Action::Answer { request, result } => match result {
                    Ok(outcome) => format!("answer {} {outcome:?}", request.0),
                    Err(refusal) => format!("refuse {} {refusal}", request.0),
                },
                Action::Publish { rows, .. } => format!("publish {}", rows.len()),
                Action::Stands { standing, .. } => format!("stands {}", word(&standing)),
                Action::Load { .. } => "load".to_owned(),
                Action::Evict { .. } => "evict".to_owned(),
                Action::SaveSnapshot { snapshot, .. } => format!("snapshot {}", snapshot.seq),
                Action::WakeAt { at } => {
                    self.wake_at = at;
                    continue;
                }
                Action::RunEnded { status, .. } => format!("ended {}", status.name()),
                Action::ThreadLeft { thread_id, .. } => format!("left {thread_id}"),
                Action::Breaker { breaker, .. } => {
                    format!("breaker {}", breaker.map_or("gone", |breaker| breaker.state.name()))
                }
                Action::ShutOut { id, .. } => format!("shut out {id}"),
                Action::Die { problem } => format!("die {problem}"),
            };
            self.log.push(line);
        }
    }

    /// Makes the append under way durable.
    fn sync(&mut self) {
        let (token, rows) = self.appends.pop().expect("an append is under way");
        self.disk.extend(rows);
        self.send(Message::Appended { token, size_bytes: 100 });
    }

    fn sync_all(&mut self) {
        while !self.appends.is_empty() {
            self.sync();
        }
    }

    fn ends(&mut self, id: &str, input: impl FnOnce(CommandId) -> Input) {
        let id: CommandId = id.parse().unwrap();
        self.flying.remove(&id);
        let input = input(id.clone());
        let evidence = Evidence::of(&input);
        self.send(Message::CallEnded { run_id: RUN.into(), id, input, evidence });
    }

    fn looked_up(&mut self, id: &str, found: bool) {
        let id: CommandId = id.parse().unwrap();
        let from = CachedFrom { run: "run-0".to_owned(), p: "a@1".parse().unwrap() };
        let reply = Reply { output: Arc::new(json!({})), confidence: None, next: ReplyNext::Edges };
        let found = found.then(|| Input::Cached { id: id.clone(), reply, from });
        self.send(Message::LookedUp { run_id: RUN.into(), id, found });
    }

    fn blocked(&mut self, id: &str) {
        let id: CommandId = id.parse().unwrap();
        self.flying.remove(&id);
        self.send(Message::CallBlocked { run_id: RUN.into(), id, problem: "a file is missing".to_owned() });
    }

    fn wake(&mut self) {
        self.now = self.wake_at.expect("there is something to wake for").max(self.now);
        self.send(Message::Tick);
    }

    /// The process dies and another begins; what was not durable is gone.
    fn crash(&mut self) {
        self.core = Core::new(Limits::default());
        self.appends.clear();
        self.flying.clear();
        self.wake_at = None;
        self.log.push("crash".to_owned());
        self.send(Message::Drive { run_id: RUN.into() });
        self.load(true);
    }

    fn load(&mut self, first: bool) {
        let rows = self.disk.iter().flat_map(|row| row.events.iter().map(|event| (row.at, event.clone())));
        let run = Run::fold(self.graph.clone(), None, rows).unwrap();
        let interrupted = if first { self.marks.iter().cloned().collect() } else { Vec::new() };
        let tail_events = run.seq();
        self.send(Message::Loaded {
            run: Box::new(run),
            tail_events,
            tail_bytes: 0,
            interrupted,
            unwanted: None,
        });
    }

    fn took(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn names(rows: &[Row]) -> String {
    let of = |row: &Row| row.events.iter().map(Event::name).collect::<Vec<_>>().join(" ");
    rows.iter().map(of).collect::<Vec<_>>().join(" | ")
}

fn word(standing: &Standing) -> String {
    match standing {
        Standing::Running => "running".to_owned(),
        Standing::Sleeping(_) => "sleeping".to_owned(),
        Standing::People { reviews } => format!("people {}", reviews.len()),
        Standing::Paused => "paused".to_owned(),
        Standing::Queued => "queued".to_owned(),
        Standing::Ended(status) => status.name().to_owned(),
        Standing::Stuck(_) => "stuck".to_owned(),
    }
}

fn done(id: CommandId) -> Input {
    let reply = Reply { output: Arc::new(json!({})), confidence: None, next: ReplyNext::Edges };
    Input::Done { id, reply, usage: Usage::default() }
}

fn failed(id: CommandId) -> Input {
    let failure = Failure { recoverable: true, ..Failure::permanent(Class::Agent, "busy", "not now") };
    Input::Failed { id, failure, retry_after_ms: None, usage: Usage::default() }
}

fn graph(start: &str, nodes: Value) -> Value {
    json!({
        "name": "w", "version": 1,
        "limits": {
            "max_steps": 100, "max_total_steps": 1000, "max_items": 100, "payload_bytes": 100_000,
            "state_bytes": 100_000, "expression_fuel": 100_000
        },
        "plugins": { "p": { "source": { "path": "p.wasm" } } },
        "root": { "start": start, "nodes": nodes },
    })
}

fn agent(next: Value, max_retries: u32) -> Value {
    let mut node = agent_of_a_body(max_retries);
    node["exit"] = json!({ "next": { "otherwise": next } });
    node
}

fn agent_of_a_body(max_retries: u32) -> Value {
    let retry = json!({
        "strategy": "fixed", "max_retries": max_retries, "base_delay_ms": 500, "factor": 2.0,
        "max_delay_ms": 60_000, "jitter": 0.0, "retry_on": ["agent"],
    });
    json!({
        "kind": { "agent": { "plugin": "p", "input": { "lit": {} }, "retry": retry, "timeout_ms": 1_000 } },
        "exit": { "next": { "otherwise": "end" } },
    })
}

fn two_agents() -> Value {
    graph("a", json!({ "a": agent(json!({ "node": "b" }), 3), "b": agent(json!("end"), 3) }))
}

fn review() -> Value {
    graph(
        "ask",
        json!({ "ask": {
            "kind": { "review": {
                "title": { "lit": "?" }, "propose": { "lit": {} }, "quorum": 1, "timeout_ms": 60_000, "on_timeout": "fail"
            } },
            "approved": { "otherwise": "end" }, "rejected": { "otherwise": "end" },
        } }),
    )
}

fn race() -> Value {
    let branch = |id: &str| json!({ "id": id, "body": { "node": agent_of_a_body(0) } });
    graph(
        "fan",
        json!({ "fan": {
            "kind": { "parallel": { "join": "any", "branches": [branch("x"), branch("y"), branch("z")] } },
            "exit": { "next": { "otherwise": "end" } },
        } }),
    )
}

fn answer(review_id: &str, request: u64, decision: Verdict) -> Message {
    let answer = Answer {
        review_id: review_id.to_owned(),
        feedback_id: format!("f{request}"),
        request_id: None,
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
    };
    Message::Input { run_id: RUN.into(), input: Input::Answer(answer), request: Some(Request(request)) }
}

fn open_review(world: &World) -> String {
    let opened = world.disk.iter().flat_map(|row| row.events.iter()).find_map(|event| match event {
        Event::ReviewOpened(opened) => Some(opened.review_id.clone()),
        _ => None,
    });
    opened.expect("a review is open")
}

#[test]
fn the_world_hears_of_a_decision_only_when_it_is_durable() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    assert_eq!(world.took(), ["append run.started node.started attempt.scheduled"]);
    world.sync();
    let released = world.took();
    assert_eq!(
        released,
        ["publish 1", "stands running", "answer 0 Changed", "call a@1#1 after 0 interruptions"]
    );
    world.ends("a@1#1", done);
    let took = world.took();
    assert!(matches!(&took[..], [append] if append.starts_with("append attempt.succeeded")), "{took:?}");
    world.sync();
    assert_eq!(world.took(), ["publish 1", "clear a@1#1", "call b@1#1 after 0 interruptions"]);
    world.ends("b@1#1", done);
    world.took();
    world.sync();
    assert_eq!(world.took(), ["publish 1", "stands succeeded", "ended succeeded", "clear b@1#1", "evict"]);
    assert_eq!(world.wake_at, None);
}

#[test]
fn what_is_decided_meanwhile_rides_in_the_next_append() {
    let mut world = World::new(review(), Limits::default());
    world.start();
    world.sync();
    let review_id = open_review(&world);
    world.took();
    world.send(answer(&review_id, 1, Verdict::Approved));
    world.send(answer(&review_id, 2, Verdict::Approved));
    world.send(answer(&review_id, 3, Verdict::Rejected));
    let took = world.took();
    assert_eq!(took.len(), 1, "one append, and nobody is answered yet, not even refused: {took:?}");
    world.sync();
    let took = world.took();
    assert_eq!(took[..4], ["publish 1", "stands succeeded", "ended succeeded", "answer 1 Changed"]);
    assert_eq!(took[4], "answer 2 Unchanged");
    assert!(took[5].starts_with("refuse 3 "), "{took:?}");
}

// R5.4
#[test]
fn an_interrupted_attempt_is_recorded_and_then_repeated_under_its_number() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.ends("a@1#1", done);
    // The result is decided, not durable: it is lost, and the mark is there.
    world.took();
    world.crash();
    assert_eq!(world.took(), ["crash", "load", "stands running", "append attempt.interrupted"]);
    world.sync();
    assert_eq!(world.took(), ["publish 1", "clear a@1#1", "call a@1#1 after 1 interruptions"]);
    world.ends("a@1#1", done);
    world.sync();
    world.took();
    // Now it is durable: another crash does not repeat it.
    world.crash();
    let took = world.took();
    assert!(!took.iter().any(|line| line.contains("a@1#1") && line.starts_with("call")), "{took:?}");
    world.sync();
    assert!(world.took().contains(&"call b@1#1 after 1 interruptions".to_owned()));
}

// R5.4
#[test]
fn a_mark_of_what_is_owed_no_longer_does_no_harm() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.ends("a@1#1", done);
    // The append reaches the disk, the release does not happen.
    let (_, rows) = world.appends.pop().unwrap();
    world.disk.extend(rows);
    world.took();
    world.crash();
    let took = world.took();
    assert_eq!(took, ["crash", "load", "stands running", "clear a@1#1", "call b@1#1 after 0 interruptions"]);
}

// R1.6, R1.1
#[test]
fn a_retry_delay_survives_a_crash_and_fires_once_at_its_time() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.ends("a@1#1", failed);
    world.sync();
    let due = world.now.plus_ms(500);
    world.crash();
    world.took();
    assert_eq!(world.wake_at, Some(due));
    world.now = due.plus_ms(0);
    world.now.0 -= 1;
    world.send(Message::Tick);
    assert_eq!(world.took(), Vec::<String>::new(), "never before its time");
    world.wake();
    world.sync();
    world.send(Message::Tick);
    assert_eq!(
        world.took(),
        ["append attempt.due", "publish 1", "stands running", "call a@1#2 after 0 interruptions"]
    );
}

// R2.1, R2.4
#[test]
fn a_waiting_run_leaves_memory_and_comes_back_for_its_deadline_or_an_answer() {
    let mut world = World::new(review(), Limits::default());
    world.start();
    world.sync();
    world.took();
    world.wake();
    assert_eq!(world.took(), ["evict"]);
    assert_eq!(world.core.runs().count(), 0);
    let review_id = open_review(&world);
    world.send(answer("no-such", 1, Verdict::Approved));
    assert_eq!(world.took(), ["load"]);
    world.load(false);
    let took = world.took();
    assert!(took[1].starts_with("refuse 1 no review `no-such`"), "{took:?}");
    world.wake();
    assert_eq!(world.took(), ["evict"]);
    let deadline = world.wake_at.expect("the review's deadline is remembered");
    world.wake();
    assert_eq!(world.now, deadline);
    assert_eq!(world.took(), ["load"]);
    world.load(false);
    let took = world.took();
    assert!(took[1].starts_with("append review.decided"), "{took:?}");
    world.send(answer(&review_id, 2, Verdict::Approved));
    world.sync_all();
    let took = world.took();
    assert!(took.iter().any(|line| line.starts_with("refuse 2")), "{took:?}");
}

#[test]
fn what_was_closed_while_it_queued_never_starts_and_what_flies_is_stopped() {
    let limits = Limits { calls_max: 2, ..Limits::default() };
    let mut world = World::new(race(), limits);
    world.start();
    world.sync();
    assert_eq!(world.flying.len(), 2);
    world.took();
    world.ends("fan@1/x@1#1", done);
    // The place that x left goes to nobody: z is closed, in memory at least.
    let took = world.took();
    assert_eq!(took.len(), 1, "{took:?}");
    assert!(took[0].starts_with("append "), "{took:?}");
    world.sync();
    let took = world.took();
    assert!(took.contains(&"stop fan@1/y@1#1".to_owned()), "{took:?}");
    assert!(!took.iter().any(|line| line.starts_with("call")), "{took:?}");
    world.flying.clear();
    world.send(Message::CallStopped { run_id: RUN.into(), id: "fan@1/y@1#1".parse().unwrap() });
    assert_eq!(world.took(), ["clear fan@1/y@1#1", "evict"]);
    assert_eq!(world.core.calls(), 0);
}

// R1.9
#[test]
fn an_overload_delays_an_attempt_and_never_spends_one() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.took();
    let id: CommandId = "a@1#1".parse().unwrap();
    world.flying.remove(&id);
    world.send(Message::CallRefused { run_id: RUN.into(), id });
    assert_eq!(world.took(), ["clear a@1#1"]);
    assert_eq!(world.core.held(RUN).len(), 1);
    world.wake();
    assert_eq!(world.took(), ["call a@1#1 after 0 interruptions"]);
}

// R5.4
#[test]
fn a_call_that_cannot_be_made_spends_nothing_stops_no_other_and_is_made_when_driven_again() {
    let mut nodes = race();
    nodes["root"]["nodes"]["fan"]["kind"]["parallel"]["join"] = json!("all");
    let mut world = World::new(nodes, Limits { calls_max: 2, ..Limits::default() });
    world.start();
    world.sync();
    world.took();
    world.blocked("fan@1/x@1#1");
    assert_eq!(world.took(), ["clear fan@1/x@1#1"], "z does not take its place");
    world.send(Message::Drive { run_id: RUN.into() });
    assert_eq!(world.took(), Vec::<String>::new(), "it is not stuck while y works");
    world.ends("fan@1/y@1#1", done);
    assert!(world.took()[0].starts_with("append attempt.succeeded"));
    world.sync();
    let took = world.took();
    assert_eq!(took[..], ["publish 1", "clear fan@1/y@1#1", "stands stuck"], "what y gave is kept");
    assert_eq!((world.core.calls(), world.core.held(RUN).len()), (0, 0));
    // Driven, it is read anew and tries again: now with success.
    for _ in 0..2 {
        world.send(Message::Drive { run_id: RUN.into() });
    }
    assert_eq!(world.took(), ["load"]);
    world.load(false);
    let took = world.took();
    assert_eq!(
        took,
        [
            "stands running",
            "call fan@1/x@1#1 after 0 interruptions",
            "call fan@1/z@1#1 after 0 interruptions"
        ]
    );
    world.ends("fan@1/x@1#1", done);
    world.ends("fan@1/z@1#1", done);
    world.sync_all();
    assert!(world.took().contains(&"ended succeeded".to_owned()));
}

#[test]
fn a_call_that_cannot_be_made_and_that_nobody_wants_any_more_keeps_nothing_up() {
    let mut world = World::new(race(), Limits { calls_max: 2, ..Limits::default() });
    world.start();
    world.sync();
    world.took();
    world.blocked("fan@1/x@1#1");
    world.ends("fan@1/y@1#1", done);
    world.sync_all();
    let took = world.took();
    assert!(took.contains(&"ended succeeded".to_owned()), "{took:?}");
    assert!(!took.contains(&"stands stuck".to_owned()), "{took:?}");
}

#[test]
fn a_run_that_was_given_up_is_not_read_anew_while_its_calls_have_not_ended() {
    let mut world = World::new(race(), Limits { calls_max: 2, ..Limits::default() });
    world.start();
    world.sync();
    world.ends("fan@1/x@1#1", failed);
    let (token, _) = world.appends.pop().unwrap();
    world.send(Message::AppendRefused { token, problem: "damaged".to_owned() });
    world.took();
    world.send(Message::Drive { run_id: RUN.into() });
    assert_eq!(world.took(), ["stands stuck"]);
    // z has the place that x left.
    world.flying.clear();
    for id in ["fan@1/y@1#1", "fan@1/z@1#1"] {
        world.send(Message::CallStopped { run_id: RUN.into(), id: id.parse().unwrap() });
    }
    world.send(Message::Drive { run_id: RUN.into() });
    assert_eq!(world.took(), ["load"]);
}

// R1.9
#[test]
fn runs_whose_calls_wait_at_the_gate_are_told_with_the_reason() {
    let mut world = World::new(race(), Limits { calls_max: 2, ..Limits::default() });
    world.start();
    assert_eq!(world.core.summary(RUN), None, "nothing of it is durable");
    world.sync();
    let held = |world: &World| world.core.held_runs().map(|(_, held)| held.name()).collect::<Vec<_>>();
    assert_eq!(held(&world), ["limit"]);
    assert!(world.core.summary(RUN).unwrap().owes);
    let id: CommandId = "fan@1/x@1#1".parse().unwrap();
    world.flying.remove(&id);
    world.send(Message::CallRefused { run_id: RUN.into(), id });
    assert_eq!(held(&world), ["overload"]);
    world.ends("fan@1/y@1#1", done);
    world.sync_all();
    assert!(held(&world).is_empty());
}

#[test]
fn a_failed_append_ends_everything() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    let (token, _) = world.appends.pop().unwrap();
    world.took();
    world.send(Message::AppendFailed { token, problem: "no disk".to_owned() });
    assert_eq!(world.took(), ["die no disk"]);
    world.send(Message::Appended { token, size_bytes: 1 });
    world.send(Message::Tick);
    assert_eq!(world.took(), Vec::<String>::new());
}

#[test]
fn a_refused_append_gives_up_that_run_and_tells_who_waits() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    let (token, _) = world.appends.pop().unwrap();
    world.took();
    world.send(Message::AppendRefused { token, problem: "damaged".to_owned() });
    let took = world.took();
    assert!(took[0].starts_with("refuse 0 run `run-1` is stuck: damaged"), "{took:?}");
    assert_eq!(took[1..], ["stands stuck"]);
    world.send(answer("r", 1, Verdict::Approved));
    assert!(world.took()[0].starts_with("refuse 1 run `run-1` is stuck"));
}

#[test]
fn who_asks_for_a_run_that_is_not_there_is_told_so() {
    let mut world = World::new(two_agents(), Limits::default());
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let input = Input::Cancel { by, reason: String::new() };
    world.send(Message::Input { run_id: RUN.into(), input, request: Some(Request(1)) });
    world.send(Message::LoadFailed { run_id: RUN.into(), problem: LoadProblem::NoSuchRun });
    let expected = format!("refuse 1 {}", Refusal::NoSuchRun(RUN.into()));
    assert_eq!(world.took(), ["load".to_owned(), expected]);
}

#[test]
fn a_cancelled_run_stops_its_calls_once_that_is_durable() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.took();
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let input = Input::Cancel { by, reason: String::new() };
    world.send(Message::Input { run_id: RUN.into(), input, request: Some(Request(1)) });
    assert_eq!(world.took().len(), 1);
    world.sync();
    let took = world.took();
    assert_eq!(took[1..], ["stands cancelled", "ended cancelled", "stop a@1#1", "answer 1 Changed"]);
    // A result that comes all the same changes nothing.
    world.ends("a@1#1", done);
    assert_eq!(world.took(), ["clear a@1#1", "evict"]);
}

fn verb(request: u64, verb: fn(By, String) -> Input) -> Message {
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let input = verb(by, String::new());
    Message::Input { run_id: RUN.into(), input, request: Some(Request(request)) }
}

fn pause(by: By, reason: String) -> Input {
    Input::Pause { by, reason }
}

fn resume(by: By, reason: String) -> Input {
    Input::Resume { by, reason }
}

// What is in flight may finish and is decided; what comes after it is owed to nobody before the run is resumed.
#[test]
fn a_paused_run_starts_nothing_and_carries_on_when_that_is_durable() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.send(verb(1, pause));
    world.took();
    world.sync();
    assert_eq!(world.took(), ["publish 1", "answer 1 Changed"], "a call is in flight: it still runs");
    world.ends("a@1#1", done);
    world.sync();
    let took = world.took();
    assert_eq!(took[took.len() - 2..], ["stands paused", "clear a@1#1"], "{took:?}");
    world.wake();
    assert_eq!(world.took(), ["evict"], "nothing holds it in memory");

    world.send(verb(2, resume));
    world.load(false);
    world.took();
    world.sync();
    let took = world.took();
    assert!(
        took.ends_with(&["answer 2 Changed".to_owned(), "call b@1#1 after 0 interruptions".to_owned()]),
        "{took:?}"
    );
}

// The run failed while it was paused: its retry ends the pause, and calls start when that is durable.
#[test]
fn the_calls_of_a_retried_run_start_although_it_was_paused_when_it_failed() {
    let mut world = World::new(graph("a", json!({ "a": agent(json!("end"), 0) })), Limits::default());
    world.start();
    world.sync();
    world.send(verb(1, pause));
    world.sync();
    world.ends("a@1#1", failed);
    world.sync_all();
    let rows: Vec<JournalRow> =
        world.disk.iter().map(|row| JournalRow { at: row.at, events: row.events.to_vec() }).collect();
    let point = Point::of_failure(world.graph.clone(), &rows).unwrap();
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let input = Input::Retry(Box::new(Retry { by, request_id: None, point, thread: None }));
    world.send(Message::Input { run_id: RUN.into(), input, request: Some(Request(2)) });
    if world.appends.is_empty() {
        world.load(false); // it had left memory when it ended
    }
    assert!(!world.took().iter().any(|line| line.starts_with("call a@1#2")), "not before it is durable");
    world.sync_all();
    let took = world.took();
    assert!(took.contains(&"call a@1#2 after 0 interruptions".to_owned()), "{took:?}");
}

#[test]
fn calls_that_wait_when_the_run_is_paused_are_held_for_that_reason() {
    let limits = Limits { calls_max: 1, ..Limits::default() };
    let mut world = World::new(race(), limits);
    world.start();
    world.sync();
    let flying: CommandId = world.flying.iter().next().unwrap().clone();
    assert_eq!(world.core.held(RUN)[0].1, Held::Limit);
    world.send(verb(1, pause));
    let held = world.core.held(RUN);
    assert_eq!((held.len(), held[0].1, held[0].1.name()), (2, Held::Paused, "paused"));
    // The sandbox had no room: that call, too, waits for the resumption.
    world.flying.remove(&flying);
    world.send(Message::CallRefused { run_id: RUN.into(), id: flying });
    world.sync();
    assert_eq!(world.core.held(RUN).len(), 3);
    assert!(world.took().contains(&"stands paused".to_owned()));
    // Resumed and paused again before either is durable: still nothing starts.
    world.send(verb(2, resume));
    world.send(verb(3, pause));
    world.sync_all();
    world.now = world.now.plus_ms(60_000);
    world.send(Message::Tick);
    assert!(world.flying.is_empty());
    assert!(world.took().contains(&"evict".to_owned()), "what is parked does not hold it in memory");
    world.send(verb(4, resume));
    world.load(false);
    assert!(world.flying.is_empty(), "not before it is durable");
    world.sync();
    assert_eq!(world.flying.len(), 1);
}

#[test]
fn what_was_cut_off_in_a_paused_run_is_recorded_and_repeated_after_the_resumption() {
    let mut world = World::new(two_agents(), Limits::default());
    world.start();
    world.sync();
    world.send(verb(1, pause));
    world.sync();
    world.crash();
    world.sync_all();
    assert!(world.flying.is_empty() && world.marks.is_empty());
    world.took();
    world.send(verb(2, resume));
    world.sync();
    assert!(world.took().contains(&"call a@1#1 after 1 interruptions".to_owned()));
}

#[test]
fn a_killed_run_ends_with_one_event_and_its_calls_are_stopped() {
    let mut world = World::new(race(), Limits::default());
    world.start();
    world.sync();
    world.took();
    world.send(verb(1, |by, reason| Input::Kill { by, reason }));
    assert_eq!(world.took(), ["append run.killed"]);
    world.sync();
    let took = world.took();
    assert!(
        took.contains(&"stands killed".to_owned()) && took.contains(&"ended killed".to_owned()),
        "{took:?}"
    );
    assert_eq!(took.iter().filter(|line| line.starts_with("stop ")).count(), 3, "{took:?}");
}

#[test]
fn snapshots_are_of_durable_states_only() {
    let limits = Limits { snapshot_events: 6, ..Limits::default() };
    let mut world = World::new(two_agents(), limits);
    world.start();
    world.sync();
    world.ends("a@1#1", done);
    assert!(!world.took().iter().any(|line| line.starts_with("snapshot")));
    world.sync();
    let events: usize = world.disk.iter().map(|row| row.events.len()).sum();
    assert!(world.took().contains(&format!("snapshot {events}")));
}

#[test]
fn the_same_messages_give_the_same_actions() {
    let story = || {
        let mut world = World::new(race(), Limits::default());
        world.start();
        world.sync();
        world.ends("fan@1/y@1#1", done);
        world.sync();
        world.crash();
        world.sync_all();
        world.took()
    };
    assert_eq!(story(), story());
}

/// Two agents that keep their replies.
fn two_that_keep() -> Value {
    let mut graph = two_agents();
    for node in ["a", "b"] {
        graph["root"]["nodes"][node]["kind"]["agent"]["cache"] =
            json!({ "for_ms": 60_000, "scope": "workflow" });
    }
    graph
}

#[test]
fn what_is_kept_is_looked_up_before_the_gate_and_takes_no_place_there() {
    let limits = Limits { calls_max: 1, ..Limits::default() };
    let mut world = World::new(two_that_keep(), limits);
    world.start();
    assert!(!world.took().iter().any(|line| line.starts_with("look up")), "not before it is durable");
    world.sync();
    assert_eq!(world.took()[3..], ["look up a@1#1"]);
    assert_eq!((world.core.calls(), world.core.held(RUN).len(), world.core.is_idle()), (0, 0, false));
    world.looked_up("a@1#1", true);
    let took = world.took();
    assert_eq!(took, ["append node.succeeded edge.taken node.started attempt.scheduled"]);
    world.sync();
    assert_eq!(world.took(), ["publish 1", "look up b@1#1"], "no mark was set, so none is cleared");
    world.looked_up("b@1#1", false);
    assert_eq!(world.took(), ["call b@1#1 after 0 interruptions"]);
    // Told twice, or of something that is over.
    world.looked_up("b@1#1", true);
    world.looked_up("a@1#1", true);
    assert_eq!(world.took(), Vec::<String>::new());
    world.ends("b@1#1", done);
    world.sync();
    assert!(world.took().contains(&"ended succeeded".to_owned()));
}

#[test]
fn a_hit_that_the_run_does_not_take_leads_to_the_call() {
    let mut graph = two_that_keep();
    // What is found is above the limit by now.
    graph["limits"]["payload_bytes"] = json!(2);
    let mut world = World::new(graph, Limits::default());
    world.start();
    world.sync();
    world.took();
    let id: CommandId = "a@1#1".parse().unwrap();
    let from = CachedFrom { run: "run-0".to_owned(), p: "a@1".parse().unwrap() };
    let reply = Reply { output: Arc::new(json!({ "n": 1 })), confidence: None, next: ReplyNext::Edges };
    let found = Some(Input::Cached { id: id.clone(), reply, from });
    world.send(Message::LookedUp { run_id: RUN.into(), id, found });
    assert_eq!(world.took(), ["call a@1#1 after 0 interruptions"]);
}

#[test]
fn a_hit_that_was_not_durable_is_looked_up_again_after_a_crash() {
    let mut world = World::new(two_that_keep(), Limits::default());
    world.start();
    world.sync();
    world.looked_up("a@1#1", true);
    world.crash();
    world.load(true);
    let took = world.took();
    assert!(took.contains(&"look up a@1#1".to_owned()), "{took:?}");
    assert!(!took.iter().any(|line| line.starts_with("append attempt.interrupted")), "nothing ran: {took:?}");
}

#[test]
fn nothing_is_looked_up_while_the_run_is_paused_or_the_disk_nearly_full() {
    let mut world = World::new(two_that_keep(), Limits::default());
    world.start();
    world.sync();
    world.took();
    world.send(verb(1, pause));
    world.looked_up("a@1#1", true);
    assert_eq!(world.took(), ["append run.paused"], "what was found after the pause is not used");
    world.sync();
    world.send(Message::Hold(true));
    world.send(verb(2, resume));
    world.sync();
    assert!(!world.took().iter().any(|line| line.starts_with("look up")), "the disk is nearly full");
    world.send(Message::Hold(false));
    assert_eq!(world.took(), ["look up a@1#1"]);
    world.looked_up("a@1#1", true);
    assert!(world.took()[0].starts_with("append node.succeeded"));
}

#[test]
fn a_command_that_was_closed_while_it_was_looked_up_is_not_called() {
    let mut world = World::new(two_that_keep(), Limits::default());
    world.start();
    world.sync();
    world.send(verb(1, |by, reason| Input::Cancel { by, reason }));
    world.looked_up("a@1#1", false);
    world.sync();
    assert!(world.flying.is_empty());
    assert!(world.took().contains(&"ended cancelled".to_owned()));
}

// R5.8: a queued run owes nothing and does not hold memory; given its thread it goes on, and its end leaves the thread.
#[test]
fn a_queued_run_sleeps_until_it_is_given_its_thread() {
    let mut graph = graph("a", json!({ "a": agent(json!("end"), 0) }));
    graph["thread"] = json!({ "second_run": "queue" });
    let mut world = World::new(graph, Limits::default());
    world.start_in(Some(ThreadNow::Taken));
    world.sync();
    assert!(world.took().contains(&"stands queued".to_owned()));
    world.wake();
    assert_eq!(world.took(), ["evict"], "it waits for no time");
    let input = Input::Enter(BTreeMap::new());
    world.send(Message::Input { run_id: RUN.into(), input, request: Some(Request(1)) });
    world.load(false);
    assert!(!world.took().iter().any(|line| line.starts_with("call")), "not before it is durable");
    world.sync();
    let took = world.took();
    assert!(
        took.contains(&"answer 1 Changed".to_owned())
            && took.contains(&"call a@1#1 after 0 interruptions".to_owned()),
        "{took:?}"
    );
    world.ends("a@1#1", done);
    assert!(!world.took().contains(&"left t".to_owned()), "not before it is durable");
    world.sync();
    let took = world.took();
    assert!(took.ends_with(&["left t".to_owned(), "clear a@1#1".to_owned(), "evict".to_owned()]), "{took:?}");
}
