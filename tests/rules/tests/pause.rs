//! R5.5: a paused run. Nothing new starts, what is in flight may finish, people may answer, deadlines hold.

use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::{Input, Status};
use bandstand_rules::{START, Table, asks, recoverable};
use serde_json::json;

const TWO: &str = "
format: 1
name: two
version: 1
plugins: { p: { path: p.wasm } }
nodes:
  a: { agent: p, retry: { strategy: fixed, base-delay: 10s }, next: b }
  b: { agent: p, next: end }
";

#[test]
fn an_attempt_in_flight_may_finish_and_is_decided_and_the_next_node_waits_for_the_resumption() {
    let mut table = Table::start(TWO, json!({}));
    table.pause().unwrap();
    assert_eq!(table.owed_text(), ["a@1#1"], "it stays owed: the driver holds it, or lets it finish");
    table.done("a@1#1", json!({ "n": 1 }));
    assert_eq!(table.run.status(), Status::Paused);
    assert!(table.owed().is_empty());
    assert_eq!(table.run.next_deadline(), None, "it does not ask to go on");
    assert_eq!(table.count("edge.taken"), 1);
    assert_eq!(table.count("node.started"), 1);
    table.pass(3_600_000);
    assert_eq!(table.count("node.started"), 1);
    table.resume().unwrap();
    assert_eq!(table.owed_text(), ["b@1#1"]);
    table.done("b@1#1", json!({ "n": 2 }));
    assert_eq!(table.output(), json!({ "n": 2 }));
}

#[test]
fn a_retry_that_falls_due_does_not_start_and_comes_at_once_after_the_resumption() {
    let mut table = Table::start(TWO, json!({}));
    table.fail("a@1#1", recoverable());
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(10_000)));
    table.pause().unwrap();
    assert_eq!(table.run.next_deadline(), None);
    assert!(table.pass(60_000).events.is_empty());
    assert!(table.owed().is_empty());
    table.resume().unwrap();
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(10_000)));
    table.pass(0);
    assert_eq!(table.owed_text(), ["a@1#2"]);

    // A failure while it is paused is recorded, and its retry scheduled.
    table.pause().unwrap();
    table.fail("a@1#2", recoverable());
    assert_eq!(table.count("attempt.scheduled"), 3);
    assert!(table.pass(60_000).events.is_empty());
}

// Section 6: waits, reviews, blocks and the run keep their times; what follows from them is decided, and nothing starts.
#[test]
fn deadlines_hold_while_a_run_is_paused() {
    let waits = "
format: 1
name: waits
version: 1
plugins: { p: { path: p.wasm } }
nodes:
  nap: { wait: { for: 5s }, next: b }
  b: { agent: p, next: end }
";
    let mut table = Table::start(waits, json!({}));
    table.pause().unwrap();
    table.pass(5_000);
    assert_eq!((table.count("wait.ended"), table.count("node.started")), (1, 1));
    table.resume().unwrap();
    assert_eq!(table.owed_text(), ["b@1#1"]);

    let reviewed = "
format: 1
name: reviewed
version: 1
timeout: 1h
nodes:
  ask: { review: { title: \"Go on?\", timeout: 10s, on-timeout: { to: late } }, approved: end, rejected: end }
  late: { wait: { for: 1d }, next: end }
";
    let mut table = Table::start(reviewed, json!({}));
    table.pause().unwrap();
    table.pass(10_000);
    assert_eq!((table.count("review.decided"), table.run.status()), (1, Status::Paused));
    assert_eq!(table.count("node.started"), 1);
    table.pass(3_600_000);
    assert_eq!(table.failed().1, "run-timeout");

    let block = "
format: 1
name: block
version: 1
plugins: { p: { path: p.wasm } }
nodes:
  fan: { parallel: { branches: { x: { agent: p } } }, timeout: 10s, next: end }
";
    let mut table = Table::start(block, json!({}));
    table.pause().unwrap();
    table.pass(10_000);
    assert_eq!(table.failed().1, "block-timeout");
    assert!(table.owed().is_empty());
}

#[test]
fn a_review_can_be_answered_and_opened_while_the_run_is_paused() {
    let mut table = Table::start(TWO, json!({}));
    table.pause().unwrap();
    // The reply asks for a review: that is part of deciding about the attempt.
    table.reply("a@1#1", asks(json!({ "n": 1 }), "Look"));
    let review = table.review();
    let answer = table.answer(&review, "bob", Approved);
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!((table.run.status(), table.owed().len()), (Status::Paused, 0));
    table.resume().unwrap();
    assert_eq!(table.owed_text(), ["b@1#1"]);
}

#[test]
fn a_loop_of_pure_steps_and_a_map_stop_where_they_are() {
    let looped = "
format: 1
name: looped
version: 1
limits: { max-steps: 1000 }
nodes:
  turn: { value: { n: \"${{ visit }}\" }, next: [{ when: visit < 600, to: turn }, { to: end }] }
";
    let mut table = Table::start(looped, json!({}));
    assert_eq!(table.run.status(), Status::Running, "a decision enters so many nodes only");
    let steps = table.run.steps();
    table.pause().unwrap();
    table.pass(1_000);
    assert_eq!(table.run.steps(), steps);
    table.resume().unwrap();
    while !table.run.status().is_ended() {
        table.pass(0);
    }
    assert_eq!(table.output(), json!({ "n": 600 }));

    let mapped = "
format: 1
name: mapped
version: 1
plugins: { p: { path: p.wasm } }
nodes:
  each: { map: { over: \"[1, 2, 3]\", concurrency: 1, do: { agent: p } }, next: end }
";
    let mut table = Table::start(mapped, json!({}));
    table.pause().unwrap();
    table.done("each@1[0]@1#1", json!({}));
    assert!(table.owed().is_empty());
    table.resume().unwrap();
    assert_eq!(table.owed_text(), ["each@1[1]@1#1"]);
    table.done("each@1[1]@1#1", json!({}));
    table.done("each@1[2]@1#1", json!({}));
    assert_eq!(table.run.status(), Status::Succeeded);
}

// What the first version wrote has no word of pausing; a run that is not paused is written as it always was.
#[test]
fn a_snapshot_of_a_run_that_is_not_paused_is_what_it_was() {
    let mut table = Table::start(TWO, json!({}));
    let text = serde_json::to_string(&table.run.snapshot()).unwrap();
    assert!(!text.contains("paused"));
    table.pause().unwrap();
    let text = serde_json::to_string(&table.run.snapshot()).unwrap();
    assert!(text.contains("\"paused\":true"));
}
