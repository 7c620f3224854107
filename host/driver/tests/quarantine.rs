//! Quarantine (R1.10): a plugin that keeps crashing is taken out of service, its attempts wait unspent, and nobody else is
//! harmed. The real engine, a disk that writes at once, and time that is a number.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_driver::{
    Action, Breaker, BreakerState, Core, Evidence, Held, Limits, Message, Quarantine, Request, Row, RunId,
};
use bandstand_engine::event::{Event, PluginPin};
use bandstand_engine::input::{ActorKind, By, Reply, ReplyNext, Usage};
use bandstand_engine::run::NewRun;
use bandstand_engine::{
    Class, Command, CommandId, Failure, Graph, Id, Input, Outcome, Run, Start, Status, Timestamp,
};
use serde_json::{Value, json};

const BAD: &str = "sha256:bad";
const GOOD: &str = "sha256:good";
const COOL_DOWN_MS: u64 = 30_000;

/// Three faults in a row open a breaker.
fn settings() -> Quarantine {
    Quarantine { faults: 3, cool_down_ms: COOL_DOWN_MS, cool_down_max_ms: 100_000, ..Quarantine::default() }
}

struct World {
    core: Core,
    limits: Limits,
    now: Timestamp,
    graphs: BTreeMap<RunId, Arc<Graph>>,
    disk: BTreeMap<RunId, Vec<Row>>,
    flying: BTreeMap<(RunId, CommandId), Command>,
    breakers: BTreeMap<Arc<str>, Breaker>,
    answers: Vec<(Request, Outcome)>,
    /// What is told to followers: run and next probe.
    shut_out: Vec<(RunId, Timestamp)>,
    wake_at: Option<Timestamp>,
}

impl World {
    fn new(quarantine: Quarantine) -> World {
        let limits = Limits { quarantine, ..Limits::default() };
        World {
            core: Core::new(limits),
            limits,
            now: Timestamp(1_000_000),
            graphs: BTreeMap::new(),
            disk: BTreeMap::new(),
            flying: BTreeMap::new(),
            breakers: BTreeMap::new(),
            answers: Vec::new(),
            shut_out: Vec::new(),
            wake_at: None,
        }
    }

    /// A run of one agent with so many retries; `deadline_ms` is the node's.
    fn start(&mut self, run: &str, digest: &str, max_retries: u32, deadline_ms: Option<u64>) {
        let graph: Graph = serde_json::from_value(graph(max_retries, deadline_ms)).unwrap();
        let graph = Arc::new(graph);
        self.graphs.insert(run.into(), graph.clone());
        let new = NewRun {
            plugins: [(Id::new("p").unwrap(), PluginPin { digest: digest.to_owned() })].into(),
            seed: 7,
            ..NewRun::new(run, json!({}))
        };
        let start = Start::new(&graph, new, self.now).unwrap();
        let (run, decision) = Run::start(graph, start, self.now);
        let at = self.now;
        self.send(Message::RunStarted { run: Box::new(run), decision, at, request: None });
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
            Action::StartCall { run_id, command } => {
                let earlier = self.flying.insert((run_id, command.id.clone()), command);
                assert!(earlier.is_none(), "one live call per command");
            }
            Action::StopCall { run_id, id } => {
                self.flying.remove(&(run_id.clone(), id.clone()));
                return Some(Message::CallStopped { run_id, id });
            }
            Action::Load { run_id } => return Some(self.load(&run_id, Vec::new())),
            Action::Breaker { plugin, breaker: Some(breaker) } => drop(self.breakers.insert(plugin, breaker)),
            Action::Breaker { plugin, breaker: None } => drop(self.breakers.remove(&plugin)),
            Action::ShutOut { run_id, breaker, .. } => {
                self.shut_out.push((run_id, breaker.probe_at.unwrap()));
            }
            Action::Answer { request, result } => self.answers.push((request, result.unwrap())),
            Action::WakeAt { at } => self.wake_at = at,
            _ => {}
        }
        None
    }

    fn load(&self, run_id: &RunId, interrupted: Vec<CommandId>) -> Message {
        let rows = self.disk[run_id].iter();
        let events = rows.flat_map(|row| row.events.iter().map(|event| (row.at, event.clone())));
        let run = Box::new(Run::fold(self.graphs[run_id].clone(), None, events).unwrap());
        let tail_events = run.seq();
        Message::Loaded { run, tail_events, tail_bytes: 0, interrupted, unwanted: None }
    }

    /// The process dies with its calls and another begins, with what was kept.
    fn crash(&mut self) {
        self.core = Core::new(self.limits);
        self.core.restore(self.breakers.values().cloned().collect());
        self.wake_at = None;
        let marks: Vec<(RunId, CommandId)> = std::mem::take(&mut self.flying).into_keys().collect();
        for run_id in self.disk.keys().cloned().collect::<Vec<_>>() {
            let of_it = marks.iter().filter(|(of, _)| *of == run_id);
            let loaded = self.load(&run_id, of_it.map(|(_, id)| id.clone()).collect());
            let mut actions = Vec::new();
            self.core.handle(Message::Drive { run_id: run_id.clone() }, self.now, &mut actions);
            self.send(loaded);
        }
    }

    fn ends(&mut self, run: &str, input: impl FnOnce(CommandId) -> Input) {
        let (key, _) =
            self.flying.iter().find(|((of, _), _)| **of == *run).expect("a call of it is in flight");
        let (run_id, id) = key.clone();
        self.flying.remove(&(run_id.clone(), id.clone()));
        let input = input(id.clone());
        let evidence = Evidence::of(&input);
        self.send(Message::CallEnded { run_id, id, input, evidence });
    }

    fn verb(&mut self, run: &str, verb: fn(By, String) -> Input) {
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        self.send(Message::Input { run_id: run.into(), input: verb(by, String::new()), request: None });
    }

    fn release(&mut self, request: u64) {
        self.send(Message::PutBackInService { plugin: BAD.into(), request: Some(Request(request)) });
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.send(Message::Tick);
    }

    fn flies(&self, run: &str) -> bool {
        self.flying.keys().any(|(of, _)| **of == *run)
    }

    fn held(&self, run: &str) -> Option<Held> {
        self.core.held(run).first().map(|(_, held)| *held)
    }

    fn state(&self) -> BreakerState {
        self.core.breaker(BAD).map_or(BreakerState::Closed, |breaker| breaker.state)
    }

    fn event_count(&self, run: &str) -> usize {
        self.disk[run].iter().map(|row| row.events.len()).sum()
    }

    fn has_event(&self, run: &str, name: &str) -> bool {
        self.disk[run].iter().flat_map(|row| row.events.iter()).any(|event: &Event| event.name() == name)
    }

    /// Three runs of the bad plugin crash at once: it goes to quarantine.
    fn quarantine(&mut self) {
        for run in ["first", "second", "third"] {
            self.start(run, BAD, 0, None);
            self.ends(run, trapped);
        }
        assert_eq!(self.state(), BreakerState::Open);
    }
}

fn graph(max_retries: u32, deadline_ms: Option<u64>) -> Value {
    let retry = json!({
        "strategy": "fixed", "max_retries": max_retries, "base_delay_ms": 500, "factor": 2.0,
        "max_delay_ms": 60_000, "jitter": 0.0, "retry_on": ["agent", "trap", "timeout", "limit", "invalid-output"],
    });
    let mut node = json!({
        "kind": { "agent": { "plugin": "p", "input": { "lit": {} }, "retry": retry, "timeout_ms": 1_000 } },
        "exit": { "next": { "otherwise": "end" } },
    });
    if let Some(deadline_ms) = deadline_ms {
        node["kind"]["agent"]["deadline_ms"] = json!(deadline_ms);
    }
    json!({
        "name": "w", "version": 1,
        "limits": {
            "max_steps": 100, "max_total_steps": 1000, "max_items": 100, "payload_bytes": 100_000,
            "state_bytes": 100_000, "expression_fuel": 100_000
        },
        "plugins": { "p": { "source": { "path": "p.wasm" } } },
        "root": { "start": "a", "nodes": { "a": node } },
    })
}

fn done(id: CommandId) -> Input {
    let reply = Reply { output: Arc::new(json!({})), confidence: None, next: ReplyNext::Edges };
    Input::Done { id, reply, usage: Usage::default() }
}

fn failed(class: Class) -> impl Fn(CommandId) -> Input {
    move |id| {
        let failure = Failure { recoverable: true, ..Failure::permanent(class, "it", "did not work") };
        Input::Failed { id, failure, retry_after_ms: None, usage: Usage::default() }
    }
}

fn trapped(id: CommandId) -> Input {
    failed(Class::Trap)(id)
}

// R1.10
#[test]
fn faults_of_the_plugin_count_and_nothing_else_does() {
    for (class, opens) in [
        (Class::Trap, true),
        (Class::Limit, true),
        (Class::Timeout, true),
        (Class::InvalidOutput, true),
        (Class::Agent, false),
        (Class::Denied, false),
    ] {
        let mut world = World::new(settings());
        for number in 1..=5 {
            world.start(&number.to_string(), BAD, 0, None);
            if world.flies(&number.to_string()) {
                world.ends(&number.to_string(), failed(class));
            }
        }
        assert_eq!(world.state() == BreakerState::Open, opens, "{class:?}");
        assert_eq!(world.breakers.contains_key(BAD), opens, "{class:?}: it is told");
    }
}

// R1.10
#[test]
fn a_call_that_works_sets_the_faults_back() {
    let mut world = World::new(settings());
    for number in 1..=30 {
        let run = number.to_string();
        world.start(&run, BAD, 0, None);
        // Two faults, then a reply or a failure of the agent's own.
        match number % 6 {
            0 => world.ends(&run, done),
            3 => world.ends(&run, failed(Class::Agent)),
            _ => world.ends(&run, trapped),
        }
    }
    assert_eq!(world.state(), BreakerState::Closed);
    assert!(world.breakers.is_empty(), "nothing is known against it");
}

// R1.10
#[test]
fn calls_that_were_stopped_found_no_room_or_failed_by_the_host_say_nothing() {
    let mut world = World::new(settings());
    for number in 1..=5 {
        let run = number.to_string();
        world.start(&run, BAD, 0, None);
        let (run_id, id) = world.flying.keys().next().unwrap().clone();
        world.flying.clear();
        world.send(Message::CallRefused { run_id: run_id.clone(), id: id.clone() });
        world.pass(100);
        world.flying.clear();
        let input = trapped(id.clone());
        world.send(Message::CallEnded { run_id, id, input, evidence: Evidence::Nothing });
    }
    world.start("stopped", BAD, 0, None);
    world.verb("stopped", |by, reason| Input::Cancel { by, reason });
    assert!(world.flying.is_empty() && world.breakers.is_empty());
}

// R1.10: the attempts of both wait, are not begun and not spent; a healthy plugin beside is not touched.
#[test]
fn attempts_on_a_quarantined_plugin_wait_unspent_and_harm_nobody() {
    let mut world = World::new(settings());
    // Its retry comes due while the plugin is out of service.
    world.start("retries", BAD, 1, None);
    world.ends("retries", trapped);
    world.start("first", BAD, 0, None);
    world.ends("first", trapped);
    world.start("second", BAD, 0, None);
    world.ends("second", trapped);
    let opened_at = world.now;
    world.start("new", BAD, 0, None);
    let events = world.event_count("new");
    world.pass(1_000);
    for run in ["new", "retries"] {
        assert!(!world.flies(run), "{run}");
        assert_eq!(world.held(run), Some(Held::Breaker), "{run}");
        assert_eq!(world.held(run).unwrap().name(), "breaker");
        assert!(world.shut_out.contains(&(run.into(), opened_at.plus_ms(COOL_DOWN_MS))), "{run}: it is told");
    }
    assert_eq!(world.core.held_runs().collect::<Vec<_>>().len(), 2);
    assert_eq!(world.event_count("new"), events, "nothing is recorded: it is as owed as before");
    let breaker = &world.breakers[BAD];
    assert_eq!((breaker.faults, breaker.opened, breaker.since), (3, 1, Some(opened_at)));
    assert_eq!((breaker.name.as_str(), breaker.workflow.as_str()), ("p", "w"));
    assert!(breaker.fault.contains("trap (it): did not work"), "{}", breaker.fault);
    world.start("healthy", GOOD, 0, None);
    world.ends("healthy", done);
    assert_eq!(world.held("healthy"), None);

    // The one that waited longest goes first, and its success lets the other go on: with the attempts they had.
    world.now = world.wake_at.unwrap();
    assert_eq!(world.now, opened_at.plus_ms(COOL_DOWN_MS));
    world.send(Message::Tick);
    assert!(world.flies("new") && !world.flies("retries"));
    assert_eq!(world.state(), BreakerState::HalfOpen);
    world.ends("new", done);
    assert_eq!(world.state(), BreakerState::Closed);
    let retry = world.flying.keys().find(|(run, _)| &**run == "retries").unwrap();
    assert_eq!(retry.1.attempt, 2);
    world.ends("retries", done);
    for run in ["new", "retries"] {
        assert!(world.has_event(run, "run.succeeded"), "{run}");
    }
    assert!(world.breakers.is_empty());
}

// R1.10: of many that wait, one is let through, and each time that is in vain the next one comes later.
#[test]
fn one_probe_at_a_time_and_each_that_faults_doubles_the_cool_down() {
    let mut world = World::new(settings());
    world.quarantine();
    for number in 1..=20 {
        world.start(&format!("w{number:02}"), BAD, 0, None);
    }
    let mut cool_down = COOL_DOWN_MS;
    for number in 1..=5 {
        let until = world.now.plus_ms(cool_down);
        assert_eq!(world.wake_at, Some(until));
        world.pass(cool_down - 1);
        assert!(world.flying.is_empty(), "not before its time");
        world.pass(1);
        let probe = format!("w{number:02}");
        assert!(world.flies(&probe) && world.flying.len() == 1, "the one that waited longest, alone");
        world.pass(500_000);
        assert_eq!(world.flying.len(), 1, "nobody else as long as it is under way");
        world.ends(&probe, trapped);
        assert_eq!(world.breakers[BAD].opened, number + 1);
        cool_down = (cool_down * 2).min(100_000);
    }
    let faults_known = world.breakers[BAD].faults;
    assert_eq!(faults_known, 8);
    world.pass(cool_down);
    world.ends("w06", failed(Class::Agent));
    assert_eq!(world.flying.len(), 14, "it works, though not well: all go on");
}

// R1.10: a call that was under way when the breaker opened.
#[test]
fn late_results_count_as_what_they_show() {
    let mut world = World::new(settings());
    for run in ["late", "later"] {
        world.start(run, BAD, 0, None);
    }
    world.quarantine();
    world.start("waits", BAD, 0, None);
    world.ends("late", trapped);
    let breaker = world.breakers[BAD].clone();
    assert_eq!((breaker.faults, breaker.opened), (4, 1), "one more fault does not open it twice");
    assert!(!world.flies("waits"));
    world.ends("later", done);
    assert!(world.flies("waits"));
}

// R1.10
#[test]
fn a_probe_that_shows_nothing_makes_room_for_the_next() {
    let mut world = World::new(settings());
    world.quarantine();
    for run in ["a", "b", "c", "d"] {
        world.start(run, BAD, 0, None);
    }
    world.pass(COOL_DOWN_MS);
    assert!(world.flies("a"));
    world.verb("a", |by, reason| Input::Kill { by, reason });
    assert!(world.flies("b"), "the probe was stopped: the next one follows at once");
    // The sandbox has no room for it: it stays the first, and is not spent.
    let (run_id, id) = world.flying.keys().next().unwrap().clone();
    world.flying.clear();
    world.send(Message::CallRefused { run_id, id });
    assert!(world.flying.is_empty());
    world.pass(100);
    assert!(world.flies("b") && world.flying.len() == 1);
    assert_eq!(world.state(), BreakerState::HalfOpen);
    // The run was paused while its probe was under way: what that shows still counts.
    world.verb("b", |by, reason| Input::Pause { by, reason });
    world.ends("b", done);
    assert!(world.flies("c") && world.flies("d"));
}

// R1.10
#[test]
fn a_probe_that_is_withdrawn_from_its_queue_makes_room_for_the_next() {
    let mut world = World::new(settings());
    world.limits.calls_per_workflow_max = 1;
    world.core = Core::new(world.limits);
    world.quarantine();
    for run in ["a", "b"] {
        world.start(run, BAD, 0, None);
    }
    world.start("healthy", GOOD, 0, None);
    world.pass(COOL_DOWN_MS);
    assert_eq!(world.held("a"), Some(Held::Limit), "let through, and waits for its turn");
    assert_eq!(world.held("b"), Some(Held::Breaker));
    world.verb("a", |by, reason| Input::Pause { by, reason });
    assert_eq!((world.held("a"), world.held("b")), (Some(Held::Paused), Some(Held::Limit)), "the next one");
    world.ends("healthy", done);
    assert!(world.flies("b"));
    world.verb("a", |by, reason| Input::Resume { by, reason });
    assert_eq!(world.held("a"), Some(Held::Breaker));
    world.ends("b", done);
    assert!(world.flies("a"));
}

// R1.10: deadlines and verbs hold for an attempt that waits.
#[test]
fn a_run_that_waits_for_a_quarantined_plugin_can_end_and_be_steered() {
    let mut world = World::new(settings());
    world.quarantine();
    world.start("deadline", BAD, 3, Some(5_000));
    for run in ["cancel", "kill", "pause"] {
        world.start(run, BAD, 0, None);
    }
    world.pass(5_000);
    assert!(world.has_event("deadline", "run.failed"), "the node's deadline counts its waiting");
    world.verb("cancel", |by, reason| Input::Cancel { by, reason });
    world.verb("kill", |by, reason| Input::Kill { by, reason });
    world.verb("pause", |by, reason| Input::Pause { by, reason });
    assert!(world.has_event("cancel", "run.cancelled") && world.has_event("kill", "run.killed"));
    assert_eq!(world.held("pause"), Some(Held::Paused));
    world.pass(COOL_DOWN_MS);
    assert!(world.flying.is_empty(), "nobody is left to be let through");
    assert_eq!(world.wake_at, None, "and nothing to wake up for");
    world.verb("pause", |by, reason| Input::Resume { by, reason });
    assert!(world.flies("pause"), "the cool-down is over");
    world.ends("pause", done);
    assert_eq!(world.state(), BreakerState::Closed);
}

// R1.10
#[test]
fn a_person_puts_a_plugin_back_in_service() {
    let mut world = World::new(settings());
    world.quarantine();
    for run in ["a", "b"] {
        world.start(run, BAD, 0, None);
    }
    assert!(world.flying.is_empty());
    world.release(1);
    world.release(2);
    assert_eq!(world.answers, [(Request(1), Outcome::Changed), (Request(2), Outcome::Unchanged)]);
    assert!(world.flies("a") && world.flies("b") && world.breakers.is_empty());
    // It begins anew: with no fault known, and the first cool-down.
    world.ends("a", trapped);
    world.ends("b", trapped);
    assert_eq!(world.state(), BreakerState::Closed);
    world.start("c", BAD, 0, None);
    world.ends("c", trapped);
    assert_eq!((world.state(), world.breakers[BAD].opened), (BreakerState::Open, 1));
}

// R1.10, R5.4
#[test]
fn a_quarantine_outlives_the_process() {
    let mut world = World::new(settings());
    world.quarantine();
    for run in ["a", "b"] {
        world.start(run, BAD, 0, None);
    }
    world.pass(10_000);
    world.crash();
    assert!(world.flying.is_empty());
    assert_eq!(world.held("a"), Some(Held::Breaker));
    world.pass(COOL_DOWN_MS - 10_000);
    assert!(world.flies("a"), "at the time that was told before");
    // The process dies with the probe: another one may follow at once, and only one.
    world.crash();
    assert_eq!((world.flying.len(), world.state()), (1, BreakerState::HalfOpen));
    let probe = world.flying.keys().next().unwrap().0.to_string();
    world.ends(&probe, trapped);
    assert_eq!(world.breakers[BAD].opened, 2, "the cool-down goes on growing");
    // What is known of one in service is kept as well: a crash-looping host would never count to three.
    let mut world = World::new(settings());
    for run in ["a", "b", "c"] {
        world.start(run, BAD, 0, None);
        world.ends(run, trapped);
        world.crash();
    }
    assert_eq!(world.state(), BreakerState::Open);
}

// R1.10, R5.4: the guide's rule for an attempt that may be what kills the host.
#[test]
fn an_attempt_that_was_cut_off_three_times_opens_its_plugins_breaker() {
    let mut world = World::new(settings());
    world.start("a", BAD, 0, None);
    world.start("healthy", GOOD, 0, None);
    world.crash();
    world.crash();
    assert!(world.flies("a"), "after two it runs alone");
    world.crash();
    assert_eq!((world.state(), world.held("a")), (BreakerState::Open, Some(Held::Breaker)));
    assert!(world.breakers[BAD].fault.contains("3 times"), "{}", world.breakers[BAD].fault);
    assert!(world.flies("healthy"), "it waits for nobody that runs alone");
    world.ends("healthy", done);
    world.pass(COOL_DOWN_MS);
    assert!(world.flies("a"));
    world.crash();
    assert_eq!(world.breakers[BAD].opened, 2, "for twice as long");
    world.pass(COOL_DOWN_MS);
    assert!(!world.flies("a"));
    world.pass(COOL_DOWN_MS);
    world.ends("a", done);
    assert!(world.has_event("a", "run.succeeded"), "interruptions spend nothing");
}

// R1.10
#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut world = World::new(settings());
    world.quarantine();
    world.start("a", BAD, 0, None);
    world.now = Timestamp(world.now.0 - 3_600_000);
    world.send(Message::Tick);
    assert!(world.flies("a"));
    // R1.9: so it is after an overload.
    let (run_id, id) = world.flying.keys().next().unwrap().clone();
    world.flying.clear();
    world.send(Message::CallRefused { run_id, id });
    assert!(!world.flies("a"));
    world.now = Timestamp(world.now.0 - 3_600_000);
    world.send(Message::Tick);
    assert!(world.flies("a"));
}

// R1.10
#[test]
fn it_can_be_switched_off() {
    let mut world = World::new(Quarantine { enabled: false, ..settings() });
    for number in 1..=20 {
        world.start(&number.to_string(), BAD, 0, None);
        world.ends(&number.to_string(), trapped);
    }
    assert!(world.breakers.is_empty());
    assert_eq!(world.core.run("20").map(Run::status), None::<Status>, "it ended and left memory");
}

// R1.10
#[test]
fn whoever_begins_to_follow_a_run_is_told_why_it_waits() {
    let mut world = World::new(settings());
    world.quarantine();
    world.start("a", BAD, 0, None);
    world.shut_out.clear();
    world.send(Message::Drive { run_id: "a".into() });
    assert_eq!(world.shut_out.len(), 1);
    // And again when the next probe's time changes.
    world.start("b", BAD, 0, None);
    world.pass(COOL_DOWN_MS);
    world.shut_out.clear();
    world.ends("a", trapped);
    assert_eq!(world.shut_out, [("b".into(), world.now.plus_ms(2 * COOL_DOWN_MS))]);
}

fn tool(evidence: Evidence, probe: bool) -> Message {
    Message::ToolEnded {
        plugin: BAD.into(),
        name: "search".to_owned(),
        workflow: "w".to_owned(),
        evidence,
        fault: "trap (unreachable): it crashed".to_owned(),
        probe,
    }
}

// What is called as a tool counts like what a node calls; a probe that it makes leaves the breaker open.
#[test]
fn a_plugin_that_is_called_as_a_tool_counts_for_itself() {
    let mut world = World::new(settings());
    for _ in 0..2 {
        world.send(tool(Evidence::Fault, false));
    }
    world.send(tool(Evidence::Nothing, false));
    world.send(tool(Evidence::Works, false));
    assert!(world.breakers.is_empty(), "one that works sets the faults back");
    for _ in 0..3 {
        world.send(tool(Evidence::Fault, false));
    }
    let breaker = &world.breakers[BAD];
    assert_eq!((breaker.state, breaker.faults, breaker.name.as_str()), (BreakerState::Open, 3, "search"));
    let first = breaker.probe_at.unwrap();
    // Attempts of nodes on the same plugin wait.
    world.start("r", BAD, 0, None);
    assert_eq!(world.held("r"), Some(Held::Breaker));
    // One that was under way before says nothing new; a probe that faults doubles the cool-down.
    world.send(tool(Evidence::Fault, false));
    world.send(tool(Evidence::Fault, true));
    assert_eq!(world.breakers[BAD].probe_at, Some(first), "its time was not over");
    world.now = first;
    world.send(tool(Evidence::Works, true));
    assert!(world.breakers.is_empty() && world.flies("r"));
}

#[test]
fn a_tools_probe_that_faults_doubles_the_cool_down() {
    let mut world = World::new(settings());
    for _ in 0..3 {
        world.send(tool(Evidence::Fault, false));
    }
    world.now = world.breakers[BAD].probe_at.unwrap();
    world.send(tool(Evidence::Fault, true));
    let breaker = &world.breakers[BAD];
    assert_eq!((breaker.state, breaker.opened), (BreakerState::Open, 2));
    assert_eq!(breaker.probe_at.unwrap().since_ms(world.now), 2 * COOL_DOWN_MS);
}
