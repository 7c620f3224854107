//! R5.2: a run that is to begin later. Nothing in it moves before its time; people may steer it, signals are kept, and its
//! own times count from its beginning.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use bandstand_engine::run::{NewRun, START_DAYS_MAX, ThreadNow, Waiting};
use bandstand_engine::{Event, Input, Start, StartError, Status};
use bandstand_rules::{START, Table, graph};
use serde_json::{Value, json};

const TEXT: &str = "
format: 1
name: later
version: 1
timeout: 1m
plugins: { p: { path: p.wasm } }
state: { began: { reduce: replace } }
nodes:
  a: { agent: p, timeout: 10s, update: { began: \"${{ run.started_at }}\" }, next: hear }
  hear: { wait: { signal: go, timeout: 30s }, next: end }
result: \"${{ state.began }}\"
";

const HOUR_MS: u64 = 3_600_000;

fn later(span_ms: u64) -> Table {
    let graph = graph(TEXT);
    let new = Table::new_run(&graph, "run-1", json!({}));
    Table::start_new(graph, NewRun { start_at: Some(START.plus_ms(span_ms)), ..new })
}

#[test]
fn nothing_moves_before_its_time_and_then_it_begins_once() {
    let mut table = later(HOUR_MS);
    let at = START.plus_ms(HOUR_MS);
    assert_eq!(table.names(), ["run.started"]);
    assert_eq!((table.run.status(), table.owed().len()), (Status::Waiting, 0));
    assert_eq!(table.run.waits_for_start(), Some(at));
    assert_eq!(table.run.waiting(), [Waiting::Start { until: at }]);
    assert_eq!(table.run.next_deadline(), Some(at), "its timeout does not count yet");
    assert!(table.pass(HOUR_MS - 1).events.is_empty(), "early");
    let decision = table.pass(1);
    assert!(matches!(&decision.events[0], Event::RunDue(e) if e.deadline == Some(at.plus_ms(60_000))));
    assert_eq!(table.owed_text(), ["a@1#1"]);
    assert_eq!((table.run.waits_for_start(), table.run.started_at()), (None, at));
    assert_eq!(table.run.next_deadline(), Some(at.plus_ms(60_000)));
    assert!(table.pass(0).events.is_empty(), "it begins once");
    table.done("a@1#1", json!({}));
    table.signal("go", json!(null)).unwrap();
    assert_eq!(table.output(), json!(at.to_string()), "expressions see when it began");
}

#[test]
fn a_host_that_was_away_begins_it_late_and_its_timeout_counts_from_then() {
    let mut table = later(HOUR_MS);
    table.pass(5 * HOUR_MS);
    assert_eq!(table.run.started_at(), table.now);
    table.pass(59_999);
    assert_eq!(table.run.status(), Status::Running);
    table.pass(1);
    assert_eq!(table.run.status(), Status::Failed);
}

#[test]
fn a_time_that_has_passed_begins_at_once_and_leaves_no_trace() {
    for past in [START, bandstand_engine::Timestamp(0)] {
        let graph = graph(TEXT);
        let new = Table::new_run(&graph, "run-1", json!({}));
        let table = Table::start_new(graph, NewRun { start_at: Some(past), ..new });
        assert_eq!(table.owed_text(), ["a@1#1"]);
        assert_eq!(table.run.started().start_at, None);
    }
}

#[test]
fn it_begins_in_a_year_at_the_latest() {
    let graph = graph(TEXT);
    let new =
        |ms: u64| NewRun { start_at: Some(START.plus_ms(ms)), ..Table::new_run(&graph, "run-1", json!({})) };
    let most = u64::from(START_DAYS_MAX) * 24 * HOUR_MS;
    assert!(Start::new(&graph, new(most), START).is_ok());
    assert!(matches!(Start::new(&graph, new(most + 1), START), Err(StartError::TooLate { .. })));
}

#[test]
fn while_it_is_paused_its_time_may_pass_and_it_begins_when_it_is_resumed() {
    let mut table = later(HOUR_MS);
    table.pause().unwrap();
    assert_eq!(table.run.next_deadline(), None);
    assert!(table.pass(2 * HOUR_MS).events.is_empty());
    table.resume().unwrap();
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(HOUR_MS)), "it asks to go on at once");
    table.pass(0);
    assert_eq!((table.count("run.due"), table.run.started_at()), (1, START.plus_ms(2 * HOUR_MS)));

    let mut early = later(HOUR_MS);
    early.pause().unwrap();
    early.resume().unwrap();
    assert!(early.owed().is_empty());
    early.pass(HOUR_MS);
    assert_eq!(early.owed_text(), ["a@1#1"]);
}

#[test]
fn it_can_be_ended_before_it_began() {
    let mut cancelled = later(HOUR_MS);
    cancelled.cancel().unwrap();
    let mut killed = later(HOUR_MS);
    killed.kill().unwrap();
    for (mut table, status) in [(cancelled, Status::Cancelled), (killed, Status::Killed)] {
        assert_eq!((table.run.status(), table.run.next_deadline()), (status, None));
        assert!((table.run.waiting().is_empty(), table.run.waits_for_start()) == (true, None));
        assert!(table.pass(2 * HOUR_MS).events.is_empty());
    }
}

#[test]
fn signals_that_come_before_are_kept() {
    let mut table = later(HOUR_MS);
    table.signal("go", json!({ "n": 1 })).unwrap();
    assert_eq!(table.count("node.started"), 0);
    table.pass(HOUR_MS);
    table.done("a@1#1", json!({}));
    assert_eq!(table.run.status(), Status::Succeeded);
}

#[test]
fn a_fork_of_it_begins_at_once() {
    let table = later(HOUR_MS);
    let fork = table.fork(1, &[]).unwrap();
    assert_eq!((fork.owed_text(), fork.run.started().start_at), (vec!["a@1#1".to_owned()], None));
}

// R5.8: whoever has its place in a thread keeps others out, so a run that writes its thread cannot begin later.
#[test]
fn a_run_that_may_write_its_thread_is_refused() {
    let graph = graph(&TEXT.replace("timeout: 1m", "timeout: 1m\nthread: { second-run: queue }"));
    for thread in [ThreadNow::Taken, ThreadNow::Free(Default::default())] {
        let new = NewRun {
            start_at: Some(START.plus_ms(1)),
            thread: Some(thread),
            ..Table::new_run(&graph, "run-1", Value::Object(Default::default()))
        };
        assert!(matches!(Start::new(&graph, new, START), Err(StartError::DelayedInThread { .. })));
    }
}

// An input that speaks of nothing that is there changes nothing.
#[test]
fn a_late_reply_is_stale() {
    let mut table = later(HOUR_MS);
    let reply = bandstand_rules::says(json!({}));
    let input = Input::Done { id: "a@1#1".parse().unwrap(), reply, usage: Default::default() };
    assert_eq!(table.handle(input).unwrap().outcome, bandstand_engine::Outcome::Stale);
}
