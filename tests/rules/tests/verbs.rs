//! R5.5: every verb on a run in every state either does what it says or refuses with a reason. The table is the whole cross
//! product; a new verb or state does not compile before it says what is expected of it.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::input::{ActorKind, By, Retry};
use bandstand_engine::run::{NotRetried, Point, ThreadNow};
use bandstand_engine::{Input, Outcome, Rejected, Status};
use bandstand_rules::{Table, graph_with, permanent, recoverable};
use serde_json::json;

/// Where a run can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An attempt is owed.
    Running,
    /// A retry waits for its time.
    Retry,
    /// A `wait` waits for its time.
    Time,
    /// A review waits for people.
    Review,
    /// A `wait` waits for a signal.
    Signal,
    /// A child run is at work.
    Child,
    /// Other runs have its thread.
    Queued,
    /// Paused while other runs have its thread.
    PausedInQueue,
    /// Paused while a child run is at work.
    PausedInChild,
    /// Paused with an attempt owed.
    Paused,
    /// Paused, and a retry would be due.
    PausedInRetry,
    /// Paused, and a review waits.
    PausedInReview,
    /// Paused, and a `wait` waits for a signal.
    PausedInSignal,
    Succeeded,
    Failed,
    Cancelled,
    Killed,
}

const STATES: [State; 17] = [
    State::Running,
    State::Retry,
    State::Time,
    State::Review,
    State::Signal,
    State::Child,
    State::Queued,
    State::PausedInQueue,
    State::PausedInChild,
    State::Paused,
    State::PausedInRetry,
    State::PausedInReview,
    State::PausedInSignal,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
    State::Killed,
];

/// What a person can ask of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Pause,
    Resume,
    Cancel,
    Kill,
    /// A signal that the workflow waits for somewhere.
    Signal,
    /// Going on where it failed.
    Retry,
    /// Another run that goes on from where this one is.
    Fork,
    /// Another run that goes on from where this one began.
    ForkFromStart,
}

const VERBS: [Verb; 8] = [
    Verb::Pause,
    Verb::Resume,
    Verb::Cancel,
    Verb::Kill,
    Verb::Signal,
    Verb::Retry,
    Verb::Fork,
    Verb::ForkFromStart,
];

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It does what it says; the run stands so then.
    Does(Status),
    /// It has come true already.
    Unchanged,
    /// Another run begins and stands so; this one stays as it is.
    Begins(Status),
    /// It is refused, in these words.
    Refused(&'static str),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Here(Outcome),
    /// In another run, which stands so.
    Elsewhere(Status),
}

const FLOW: &str = "
format: 1
name: flow
version: 1
thread: { second-run: queue }
input: { type: object, properties: { to: { type: string } } }
plugins: { p: { path: p.wasm } }
nodes:
  first:
    value: {}
    next:
      - { when: \"input.to == 'wait'\", to: pause }
      - { when: \"input.to == 'review'\", to: ask }
      - { when: \"input.to == 'signal'\", to: hear }
      - { to: work }
  pause: { wait: { for: 1h }, next: work }
  ask: { review: { title: \"Go on?\" }, approved: work, rejected: end }
  hear: { wait: { signal: go }, next: work }
  work: { agent: p, retry: { strategy: fixed, base-delay: 10s }, next: end }
";

fn at(to: &str) -> Table {
    Table::start(FLOW, json!({ "to": to }))
}

/// The same, at a child run.
fn at_child() -> Table {
    let text = FLOW
        .replacen("nodes:", "workflows: { c: { path: c.yaml, version: 1 } }\nnodes:", 1)
        .replacen("      - { to: work }", "      - { to: inner }", 1)
        .replacen("  work:", "  inner: { workflow: c, next: work }\n  work:", 1);
    let child = "{ format: 1, name: c, version: 1, nodes: { only: { value: {}, next: end } } }";
    Table::start_graph(graph_with(&text, &[("c.yaml", child)]), json!({ "to": "child" }))
}

fn in_state(state: State) -> Table {
    let mut table = match state {
        State::Time => at("wait"),
        State::Review | State::PausedInReview => at("review"),
        State::Signal | State::PausedInSignal => at("signal"),
        State::Child | State::PausedInChild => at_child(),
        State::Queued | State::PausedInQueue => {
            Table::start_in(FLOW, json!({ "to": "work" }), ThreadNow::Taken).unwrap()
        }
        _ => at("work"),
    };
    if matches!(state, State::Retry | State::PausedInRetry) {
        table.fail("work@1#1", recoverable());
    }
    match state {
        State::Running
        | State::Retry
        | State::Time
        | State::Review
        | State::Signal
        | State::Child
        | State::Queued => {}
        State::Paused
        | State::PausedInReview
        | State::PausedInSignal
        | State::PausedInChild
        | State::PausedInQueue => {
            drop(table.pause().unwrap());
        }
        State::PausedInRetry => {
            drop(table.pause().unwrap());
            table.pass(60_000);
        }
        State::Succeeded => table.done("work@1#1", json!({})),
        State::Failed => table.fail("work@1#1", permanent()),
        State::Cancelled => drop(table.cancel().unwrap()),
        State::Killed => drop(table.kill().unwrap()),
    }
    table
}

fn status(state: State) -> Status {
    match state {
        State::Running => Status::Running,
        State::Retry | State::Time | State::Review | State::Signal | State::Child | State::Queued => {
            Status::Waiting
        }
        State::Paused
        | State::PausedInRetry
        | State::PausedInReview
        | State::PausedInSignal
        | State::PausedInChild
        | State::PausedInQueue => Status::Paused,
        State::Succeeded => Status::Succeeded,
        State::Failed => Status::Failed,
        State::Cancelled => Status::Cancelled,
        State::Killed => Status::Killed,
    }
}

fn ask(table: &mut Table, verb: Verb) -> Result<Came, String> {
    let decision = match verb {
        Verb::Pause => table.pause(),
        Verb::Resume => table.resume(),
        Verb::Cancel => table.cancel(),
        Verb::Kill => table.kill(),
        Verb::Signal => table.signal_by("the same", "go", json!({ "n": 1 })),
        Verb::Retry => retry(table),
        Verb::Fork => return fork(table, table.run.seq()),
        Verb::ForkFromStart => return fork(table, 1),
    };
    decision.map(|decision| Came::Here(decision.outcome)).map_err(|rejected| rejected.to_string())
}

/// Without a failure there is no point of it, and the engine refuses every other one.
fn retry(table: &mut Table) -> Result<bandstand_engine::Decision, Rejected> {
    let graph = table.run.graph().clone();
    let point = match Point::of_failure(graph.clone(), &table.rows) {
        Ok(point) => point,
        Err(none) => {
            assert_eq!(none, NotRetried::NotFailed);
            assert_ne!(table.run.status(), Status::Failed);
            Point::within(graph, &table.rows, 1).unwrap()
        }
    };
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let request_id = Some("the same retry".to_owned());
    table.handle(Input::Retry(Box::new(Retry { by, request_id, point, thread: None })))
}

fn fork(table: &Table, seq: u64) -> Result<Came, String> {
    // Asked for apart: the table takes a refusal of the point for a mistake of the test.
    Point::within(table.run.graph().clone(), &table.rows, seq).map_err(|none| none.to_string())?;
    let fork = table.fork(seq, &[]).map_err(|refused| refused.to_string())?;
    Ok(Came::Elsewhere(fork.run.status()))
}

fn expected(verb: Verb, state: State) -> Expected {
    use Expected::{Begins, Does, Refused, Unchanged};
    use State::{
        Cancelled, Child, Failed, Killed, Paused, PausedInChild, PausedInQueue, PausedInRetry,
        PausedInReview, PausedInSignal, Queued, Review, Running, Signal, Succeeded, Time,
    };
    match (verb, state) {
        (Verb::Cancel, Cancelled) | (Verb::Kill, Killed) => Unchanged,
        (Verb::Retry, Failed) => Does(Status::Running),
        (Verb::Retry, Running) => Refused(NOT_FAILED[0]),
        (Verb::Retry, State::Retry | Time | Review | Signal | Child | Queued) => Refused(NOT_FAILED[1]),
        (
            Verb::Retry,
            Paused | PausedInRetry | PausedInReview | PausedInSignal | PausedInChild | PausedInQueue,
        ) => Refused(NOT_FAILED[2]),
        (Verb::Retry, Succeeded) => Refused(NOT_FAILED[3]),
        (Verb::Retry, Cancelled) => Refused(NOT_FAILED[4]),
        (Verb::Retry, Killed) => Refused(NOT_FAILED[5]),
        // A fork is paused by nobody.
        // Its thread is free, as the fork is told.
        (Verb::Fork, Running | Paused | Queued | PausedInQueue) => Begins(Status::Running),
        (
            Verb::Fork,
            State::Retry
            | Time
            | Review
            | Signal
            | Child
            | PausedInRetry
            | PausedInReview
            | PausedInSignal
            | PausedInChild,
        ) => Begins(Status::Waiting),
        (Verb::Fork, Succeeded) => Refused(NO_POINT[0]),
        (Verb::Fork, Failed) => Refused(NO_POINT[1]),
        (Verb::Fork, Cancelled) => Refused(NO_POINT[2]),
        (Verb::Fork, Killed) => Refused(NO_POINT[3]),
        (
            Verb::ForkFromStart,
            Time | Review | Signal | Child | PausedInReview | PausedInSignal | PausedInChild,
        ) => Begins(Status::Waiting),
        (
            Verb::ForkFromStart,
            Running
            | State::Retry
            | Paused
            | PausedInRetry
            | Queued
            | PausedInQueue
            | Succeeded
            | Failed
            | Cancelled
            | Killed,
        ) => Begins(Status::Running),
        (_, Succeeded) => Refused("the run has already succeeded"),
        (_, Failed) => Refused("the run has already failed"),
        (_, Cancelled) => Refused("the run has already been cancelled"),
        (_, Killed) => Refused("the run has already been killed"),
        (Verb::Signal, Signal) => Does(Status::Running),
        (
            Verb::Signal,
            Running
            | State::Retry
            | Time
            | Review
            | Child
            | Queued
            | Paused
            | PausedInRetry
            | PausedInReview
            | PausedInSignal
            | PausedInChild
            | PausedInQueue,
        ) => Does(status(state)),
        (
            Verb::Pause,
            Paused | PausedInRetry | PausedInReview | PausedInSignal | PausedInChild | PausedInQueue,
        ) => Unchanged,
        (Verb::Pause, Running | State::Retry | Time | Review | Signal | Child | Queued) => {
            Does(Status::Paused)
        }
        (Verb::Resume, Paused) => Does(Status::Running),
        (Verb::Resume, PausedInRetry | PausedInReview | PausedInSignal | PausedInChild | PausedInQueue) => {
            Does(Status::Waiting)
        }
        (Verb::Resume, Running | State::Retry | Time | Review | Signal | Child | Queued) => Unchanged,
        (
            Verb::Cancel,
            Running
            | State::Retry
            | Time
            | Review
            | Signal
            | Child
            | Paused
            | PausedInRetry
            | PausedInReview
            | PausedInSignal
            | PausedInChild
            | Queued
            | PausedInQueue,
        ) => Does(Status::Cancelled),
        (
            Verb::Kill,
            Running
            | State::Retry
            | Time
            | Review
            | Signal
            | Child
            | Paused
            | PausedInRetry
            | PausedInReview
            | PausedInSignal
            | PausedInChild
            | Queued
            | PausedInQueue,
        ) => Does(Status::Killed),
    }
}

const NOT_FAILED: [&str; 6] = [
    "only a failed run can be retried, this one is running; to do it anew: bandstand runs rerun, or runs fork",
    "only a failed run can be retried, this one is waiting; to do it anew: bandstand runs rerun, or runs fork",
    "only a failed run can be retried, this one is paused; to do it anew: bandstand runs rerun, or runs fork",
    "only a failed run can be retried, this one is succeeded; to do it anew: bandstand runs rerun, or runs fork",
    "only a failed run can be retried, this one is cancelled; to do it anew: bandstand runs rerun, or runs fork",
    "only a failed run can be retried, this one is killed; to do it anew: bandstand runs rerun, or runs fork",
];

const NO_POINT: [&str; 4] = [
    "the run had succeeded by then; name an earlier event, or a node before which to leave it",
    "the run had failed by then; name an earlier event, or a node before which to leave it",
    "the run had been cancelled by then; name an earlier event, or a node before which to leave it",
    "the run had been killed by then; name an earlier event, or a node before which to leave it",
];

// R5.5
#[test]
fn every_verb_in_every_state_does_what_it_says_or_refuses_with_a_reason() {
    for state in STATES {
        for verb in VERBS {
            let case = format!("{verb:?} on a run that is {state:?}");
            let mut table = in_state(state);
            assert_eq!(table.run.status(), status(state), "{case}");
            let before = table.run.snapshot();
            let asked = ask(&mut table, verb);
            let unchanged = |table: &Table| {
                let (before, after) =
                    (serde_json::to_value(&before), serde_json::to_value(table.run.snapshot()));
                assert_eq!(before.unwrap(), after.unwrap(), "{case}");
            };
            match expected(verb, state) {
                Expected::Does(after) => {
                    assert_eq!(asked, Ok(Came::Here(Outcome::Changed)), "{case}");
                    assert_eq!(table.run.status(), after, "{case}");
                    // Asked again it has come true.
                    assert_eq!(ask(&mut table, verb), Ok(Came::Here(Outcome::Unchanged)), "{case}");
                }
                Expected::Unchanged => {
                    assert_eq!(asked, Ok(Came::Here(Outcome::Unchanged)), "{case}");
                    unchanged(&table);
                }
                Expected::Begins(there) => {
                    assert_eq!(asked, Ok(Came::Elsewhere(there)), "{case}");
                    unchanged(&table);
                }
                Expected::Refused(reason) => {
                    assert_eq!(asked, Err(reason.to_owned()), "{case}");
                    unchanged(&table);
                }
            }
            let waits = !table.owed().is_empty() || table.run.next_deadline().is_some();
            assert!(!(table.run.status().is_ended() && waits), "{case}: it has ended and waits");
        }
    }
}

// Cancel and kill: whatever was owed is owed no longer, in one decision; kill says nothing of the parts.
#[test]
fn a_killed_run_ends_with_one_event_and_a_cancelled_one_in_order() {
    let mut table = in_state(State::Running);
    let decision = table.kill().unwrap();
    assert_eq!(decision.events.iter().map(bandstand_engine::Event::name).collect::<Vec<_>>(), ["run.killed"]);
    assert_eq!(decision.closed.len(), 1);
    let bandstand_engine::Event::RunKilled(killed) = &decision.events[0] else { panic!("no kill") };
    assert_eq!((killed.by.id.as_str(), killed.reason.as_str()), ("ann", "enough"));

    let mut table = in_state(State::Running);
    let decision = table.cancel().unwrap();
    let names: Vec<_> = decision.events.iter().map(bandstand_engine::Event::name).collect();
    assert_eq!(names, ["attempt.cancelled", "node.cancelled", "run.cancelled"]);
    assert_eq!(decision.closed.len(), 1);

    // A review that a kill ended tells that the run has ended.
    let mut table = in_state(State::Review);
    let review = table.review();
    table.kill().unwrap();
    let answer = table.answer(&review, "bob", Approved);
    assert_eq!(table.handle(Input::Answer(answer)).unwrap_err(), Rejected::Ended("been killed"));
    assert!(table.run.open_reviews().is_empty());
}

#[test]
fn a_reason_of_any_length_is_no_reason() {
    let verbs: [fn(By, String) -> Input; 4] = [
        |by, reason| Input::Cancel { by, reason },
        |by, reason| Input::Pause { by, reason },
        |by, reason| Input::Resume { by, reason },
        |by, reason| Input::Kill { by, reason },
    ];
    for verb in verbs {
        for (bytes, outcome) in [(4_097, Err(Rejected::ReasonTooLong { bytes: 4_097 })), (4_096, Ok(()))] {
            let mut table = in_state(State::Running);
            let asked = table.verb(|by, _| verb(by, "x".repeat(bytes)));
            assert_eq!(asked.map(|_| ()), outcome);
        }
    }
    let told = Rejected::ReasonTooLong { bytes: 5_000 }.to_string();
    assert_eq!(told, "the reason has 5000 bytes; 4096 are the most (`--reason`)");
}
