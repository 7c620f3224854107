//! Section 6: the deadline of an agent's visit bounds queueing, attempts and delays; and named checkpoints (R5.3).

use bandstand_engine::event::CancelCause;
use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::{Class, Event, Input, Outcome, Status};
use bandstand_rules::{START, Table, asks, recoverable};
use serde_json::json;

fn late(more: &str) -> String {
    format!(
        "
format: 1
name: late
version: 1
plugins: {{ p: {{ path: p.wasm }} }}
nodes:
  a: {{ agent: p, timeout: 10s, deadline: 30s, retry: {{ strategy: fixed, base-delay: 8s, max-retries: 9 }}, {more} next: end }}
"
    )
}

// R1: what is owed or waits for its time when the deadline passes is cancelled; the visit fails, permanently.
#[test]
fn a_visit_that_gives_no_reply_in_time_fails_whatever_it_is_doing() {
    let mut table = Table::start(&late(""), json!({}));
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(30_000)));
    assert!(table.pass(29_999).events.is_empty());
    let decision = table.pass(1);
    assert_eq!(decision.closed.len(), 1, "the attempt is stopped");
    assert!(decision.events.iter().any(|event| {
        matches!(event, Event::AttemptCancelled(e) if e.because == CancelCause::Deadline && e.attempt == 1)
    }));
    assert_eq!(table.failed(), (Class::Timeout, "deadline".to_owned()));
    let error = table.run.error().unwrap();
    assert_eq!((error.failure.recoverable, error.attempts), (false, 1));
    // Its result comes too late.
    let id = "a@1#1".parse().unwrap();
    let reply = bandstand_rules::says(json!({}));
    let late = Input::Done { id, reply, usage: Default::default() };
    assert_eq!(table.handle(late).unwrap().outcome, Outcome::Stale);
}

#[test]
fn delays_and_retries_do_not_move_the_deadline() {
    let mut table = Table::start(&late(""), json!({}));
    table.now = START.plus_ms(9_000);
    table.fail("a@1#1", recoverable());
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(17_000)), "the retry comes first");
    table.pass(8_000);
    table.now = START.plus_ms(26_000);
    table.fail("a@1#2", recoverable());
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(30_000)), "its retry would be too late");
    table.pass(4_000);
    assert_eq!(table.failed().1, "deadline");
    assert_eq!(table.run.error().unwrap().attempts, 2, "the third was never made");
}

#[test]
fn the_deadline_ends_with_the_reply_and_can_be_caught() {
    let mut table = Table::start(&late("on-failure: { value: { late: \"${{ error.code }}\" } },"), json!({}));
    table.pass(30_000);
    assert_eq!(table.output(), json!({ "late": "deadline" }));

    // A review that the reply asks for has a time of its own.
    let mut table = Table::start(&late(""), json!({}));
    table.reply("a@1#1", asks(json!({ "n": 1 }), "Look"));
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(3_600_000)));
    table.pass(60_000);
    let review = table.review();
    let answer = table.answer(&review, "bob", Approved);
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!(table.output(), json!({ "n": 1 }));
}

#[test]
fn a_deadline_holds_while_the_run_is_paused() {
    let mut table = Table::start(&late(""), json!({}));
    table.now = START.plus_ms(9_000);
    table.fail("a@1#1", recoverable());
    table.pause().unwrap();
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(30_000)));
    table.pass(21_000);
    assert_eq!(table.failed().1, "deadline");
}

// R5.3
#[test]
fn a_checkpoint_names_the_point_after_the_exit_was_chosen() {
    let text = "
format: 1
name: named
version: 1
plugins: { p: { path: p.wasm } }
nodes:
  a: { agent: p, checkpoint: drafted, on-failure: b, next: b }
  b: { value: { n: \"${{ visit }}\" }, checkpoint: counted, next: [{ when: visit < 2, to: b }, { to: end }] }
";
    let mut table = Table::start(text, json!({}));
    table.done("a@1#1", json!({}));
    assert_eq!(table.run.status(), Status::Succeeded);
    let named: Vec<String> = table
        .journal
        .iter()
        .zip(table.journal.iter().skip(1))
        .filter_map(|((_, before), (_, event))| match event {
            Event::CheckpointNamed(e) => Some(format!("{} {} after {}", e.name, e.p, before.name())),
            _ => None,
        })
        .collect();
    assert_eq!(
        named,
        ["drafted a@1 after edge.taken", "counted b@1 after edge.taken", "counted b@2 after edge.taken"]
    );
    // However the node was left.
    let mut table = Table::start(text, json!({}));
    table.fail("a@1#1", bandstand_rules::permanent());
    assert_eq!(table.count("checkpoint.named"), 3);
}
