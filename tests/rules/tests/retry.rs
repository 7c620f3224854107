//! R1: how failures are classified, tried again, recorded and caught.

use bandstand_engine::event::AttemptCause;
use bandstand_engine::{Class, Event, Input, Outcome, Timestamp};
use bandstand_rules::{START, Table, of_class, permanent, recoverable, says};
use serde_json::json;

fn one(retry: &str) -> String {
    format!(
        "format: 1\nname: one\nversion: 1\nplugins: {{ p: {{ builtin: echo }} }}\nnodes:\n  a: {{ agent: p, {retry} next: end }}\n"
    )
}

/// The delays before each retry when every attempt fails, and the number of attempts.
fn delays(retry: &str) -> (Vec<u64>, u32) {
    let mut table = Table::start(&one(retry), json!({}));
    let mut delays = Vec::new();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failed_at = table.now;
        table.fail(&format!("a@1#{attempts}"), recoverable());
        if table.run.status().is_ended() {
            return (delays, attempts);
        }
        if let Some(due) = table.run.next_deadline() {
            assert!(table.owed().is_empty(), "nothing is owed before its time");
            table.now = due;
            table.pass(0);
        }
        delays.push(table.now.since_ms(failed_at));
    }
}

// R1.1, R1.2
#[test]
fn the_defaults_are_three_retries_after_1_2_and_4_seconds() {
    assert_eq!(delays(""), (vec![1_000, 2_000, 4_000], 4));
}

// R1.1
#[test]
fn each_strategy_delays_as_it_says() {
    assert_eq!(
        delays("retry: { strategy: exponential, max-retries: 4, base-delay: 1s },").0,
        [1_000, 2_000, 4_000, 8_000]
    );
    assert_eq!(delays("retry: { strategy: fixed, max-retries: 2, base-delay: 3s },").0, [3_000, 3_000]);
    assert_eq!(delays("retry: { strategy: immediate, max-retries: 2 },").0, [0, 0]);
    assert_eq!(delays("retry: { strategy: none },"), (vec![], 1));
    assert_eq!(delays("retry: { max-retries: 0 },"), (vec![], 1));
}

// R1.2
#[test]
fn a_delay_has_a_ceiling_and_a_factor() {
    assert_eq!(
        delays("retry: { max-retries: 4, factor: 3, max-delay: 10s },").0,
        [1_000, 3_000, 9_000, 10_000]
    );
}

// R1.2
#[test]
fn jitter_spreads_a_delay_around_its_value_and_is_the_same_each_time() {
    let policy = "retry: { strategy: fixed, max-retries: 20, base-delay: 10s, jitter: 0.2 },";
    let (spread, _) = delays(policy);
    assert!(spread.iter().all(|delay| (8_000..=12_000).contains(delay)), "{spread:?}");
    assert!(
        spread.iter().any(|delay| *delay < 9_500) && spread.iter().any(|delay| *delay > 10_500),
        "{spread:?}"
    );
    assert_eq!(delays(policy).0, spread);
}

// R1.3
#[test]
fn a_permanent_failure_is_never_tried_again() {
    let mut table = Table::start(&one(""), json!({}));
    table.fail("a@1#1", permanent());
    assert_eq!(table.failed(), (Class::Agent, "no-luck".to_owned()));
}

// R1.3
#[test]
fn which_classes_are_tried_again_is_policy() {
    for (retry_on, class, again) in [
        ("", Class::Trap, true),
        ("", Class::Timeout, true),
        ("", Class::InvalidOutput, true),
        ("", Class::Limit, false),
        ("", Class::Denied, false),
        ("retry: { retry-on: [limit] },", Class::Limit, true),
        ("retry: { retry-on: [limit] },", Class::Trap, false),
        ("retry: { retry-on: [trap] },", Class::Agent, false),
    ] {
        let mut table = Table::start(&one(retry_on), json!({}));
        table.fail("a@1#1", of_class(class));
        assert_eq!(!table.run.status().is_ended(), again, "{retry_on} {class:?}");
    }
}

// R1.4
#[test]
fn every_failed_attempt_leaves_a_record() {
    let mut table = Table::start(&one(""), json!({}));
    table.now = START.plus_ms(25);
    let failure = bandstand_engine::Failure { backtrace: Some("a\nb".to_owned()), ..recoverable() };
    table.fail("a@1#1", failure);
    let (at, record) = table
        .journal
        .iter()
        .find_map(|(at, event)| match event {
            Event::AttemptFailed(failed) => Some((*at, failed.clone())),
            _ => None,
        })
        .unwrap();
    assert_eq!(at, START.plus_ms(25));
    assert_eq!(record.p.to_string(), "a@1");
    assert_eq!((record.attempt, record.error.attempts, record.strategy.as_str()), (1, 4, "exponential"));
    assert_eq!((record.error.failure.class, record.error.failure.code.as_str()), (Class::Agent, "no-luck"));
    assert!(record.error.failure.recoverable && !record.error.id.is_empty());
    assert_eq!(record.error.failure.backtrace.as_deref(), Some("a\nb"));
}

// R1.5
#[test]
fn after_the_last_attempt_the_error_names_node_attempts_and_last_error() {
    let mut table = Table::start(&one("retry: { strategy: immediate, max-retries: 2 },"), json!({}));
    for attempt in 1..=3 {
        table.fail(&format!("a@1#{attempt}"), recoverable());
    }
    let error = table.run.error().unwrap();
    assert_eq!(
        error.failure.message,
        "retries exhausted after 3 attempts of `a`; the last error: it did not work"
    );
    assert_eq!(error.attempts, 3);
    let exhausted =
        table.journal.iter().any(|(_, event)| matches!(event, Event::NodeFailed(e) if e.exhausted));
    assert!(exhausted);
}

// R1.6
#[test]
fn a_retry_happens_once_and_at_its_time() {
    let mut table = Table::start(&one(""), json!({}));
    table.fail("a@1#1", recoverable());
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(1_000)));
    assert_eq!(table.pass(999).outcome, Outcome::Unchanged);
    assert_eq!(table.owed_text(), Vec::<String>::new());
    table.pass(1);
    assert_eq!(table.owed_text(), ["a@1#2"]);
    assert_eq!(table.pass(0).outcome, Outcome::Unchanged);
    assert_eq!(table.pass(5_000).outcome, Outcome::Unchanged);
    assert_eq!(table.owed_text(), ["a@1#2"]);
    table.done("a@1#2", json!({ "ok": true }));
    assert_eq!(table.output(), json!({ "ok": true }));
}

// R1.7
#[test]
fn the_longer_of_policy_and_retry_after_wins() {
    for (retry_after_ms, delay_ms, cause) in
        [(Some(500), 1_000, AttemptCause::Policy), (Some(60_000), 60_000, AttemptCause::RetryAfter)]
    {
        let mut table = Table::start(&one(""), json!({}));
        table.fail_after("a@1#1", recoverable(), retry_after_ms);
        assert_eq!(table.run.next_deadline(), Some(START.plus_ms(delay_ms)));
        let because = table.journal.iter().rev().find_map(|(_, event)| match event {
            Event::AttemptScheduled(scheduled) => Some(scheduled.because),
            _ => None,
        });
        assert_eq!(because, Some(cause));
    }
}

// R1.8
#[test]
fn on_failure_goes_to_the_fallback_with_the_error_in_scope() {
    let text = "
format: 1
name: fallback
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, retry: { strategy: none }, next: end, on-failure: b }
  b:
    agent: p
    input: { code: \"${{ error.code }}\", node: \"${{ error.node }}\", class: \"${{ error.class }}\", n: \"${{ error.attempts }}\" }
    next: end
";
    let mut table = Table::start(text, json!({}));
    table.fail("a@1#1", recoverable());
    assert_eq!(table.input_of("b@1#1"), json!({ "code": "no-luck", "node": "a", "class": "agent", "n": 1 }));
    table.done("b@1#1", json!({ "saved": true }));
    assert_eq!(table.output(), json!({ "saved": true }));
}

// R1.8
#[test]
fn on_failure_can_turn_a_failure_into_a_value() {
    let text = "
format: 1
name: value
version: 1
plugins: { p: { builtin: echo } }
state: { log: { reduce: append } }
nodes:
  a:
    agent: p
    retry: { strategy: none }
    on-failure: { value: { error: \"${{ error.message }}\" } }
    update: { log: [\"${{ output.error }}\"] }
    next: end
result: { status: \"${{ nodes.a.status }}\", log: \"${{ state.log }}\" }
";
    let mut table = Table::start(text, json!({}));
    table.fail("a@1#1", permanent());
    assert_eq!(table.output(), json!({ "status": "succeeded", "log": ["it did not work"] }));
}

// R5.4
#[test]
fn an_interrupted_attempt_is_repeated_and_spends_nothing() {
    let mut table = Table::start(&one("retry: { max-retries: 0 },"), json!({}));
    for times in 1..=3 {
        let input = Input::Interrupted { id: "a@1#1".parse().unwrap() };
        assert_eq!(table.handle(input).unwrap().outcome, Outcome::Changed);
        assert_eq!(table.owed_text(), ["a@1#1"]);
        assert_eq!(table.run.owed().next().unwrap().interruptions, times);
    }
    table.done("a@1#1", json!({}));
    assert_eq!(table.output(), json!({}));
}

#[test]
fn what_comes_late_or_twice_is_stale() {
    let mut table = Table::start(&one("retry: { strategy: immediate },"), json!({}));
    table.fail("a@1#1", recoverable());
    assert_eq!(table.reply("a@1#1", says(json!({}))).outcome, Outcome::Stale);
    table.done("a@1#2", json!({}));
    assert_eq!(table.reply("a@1#2", says(json!({}))).outcome, Outcome::Stale);
    assert_eq!(table.reply("b@1#1", says(json!({}))).outcome, Outcome::Stale);
}

#[test]
fn a_reply_that_is_no_object_is_an_invalid_output() {
    let mut table = Table::start(&one("retry: { strategy: none },"), json!({}));
    table.done("a@1#1", json!([1]));
    assert_eq!(table.failed(), (Class::InvalidOutput, "not-object".to_owned()));
}

#[test]
fn times_never_fall() {
    let mut table = Table::start(&one(""), json!({}));
    table.now = START.plus_ms(5_000);
    table.fail("a@1#1", recoverable());
    table.now = Timestamp(0);
    table.pass(0);
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(6_000)));
    assert_eq!(table.run.last_at(), START.plus_ms(5_000));
}
