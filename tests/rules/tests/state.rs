//! R5: channels, results, what a step writes.

use bandstand_engine::input::Usage;
use bandstand_engine::{Class, Event, Input, Run, StartError, Status};
use bandstand_rules::{Table, graph, recoverable, says};
use serde_json::{Value, json};

const CHANNELS: &str = "
format: 1
name: channels
version: 1
input: { type: object, properties: { n: { type: integer, default: 5 } } }
plugins: { p: { builtin: echo } }
state:
  text: { reduce: replace, schema: { type: [string, \"null\"], maxLength: 5 } }
  list: { reduce: append, initial: [\"${{ input.n }}\"] }
  map: { reduce: merge }
  sum: { reduce: sum }
  low: { reduce: min }
  high: { reduce: max }
nodes:
  a: { agent: p, retry: { strategy: none }, update: \"${{ output }}\", next: b }
  b: { agent: p, retry: { strategy: none }, update: { sum: \"${{ output.sum }}\" }, set: { list: [] }, next: end }
result: \"${{ state }}\"
";

// R5.1
#[test]
fn channels_are_reduced_and_set() {
    let mut table = Table::start(CHANNELS, json!({}));
    assert_eq!(table.state()["list"], json!([5]));
    table.done(
        "a@1#1",
        json!({ "text": "hi", "list": [1, 2], "map": { "a": 1 }, "sum": 2, "low": 3, "high": 3 }),
    );
    assert_eq!(table.state()["list"], json!([5, 1, 2]));
    table.done("b@1#1", json!({ "sum": 0.5 }));
    assert_eq!(
        table.output(),
        json!({ "text": "hi", "list": [], "map": { "a": 1 }, "sum": 2.5, "low": 3, "high": 3 })
    );
}

// R5.1
#[test]
fn an_unknown_key_and_a_wrong_value_are_errors_that_name_the_channel() {
    for (output, code) in [
        (json!({ "txt": 1 }), "unknown-channel"),
        (json!({ "text": "too long" }), "bad-value"),
        (json!({ "list": 1 }), "bad-operand"),
        (json!({ "sum": "1" }), "bad-operand"),
    ] {
        let mut table = Table::start(CHANNELS, json!({}));
        let key = output.as_object().unwrap().keys().next().unwrap().clone();
        table.done("a@1#1", output);
        assert_eq!(table.failed(), (Class::State, code.to_owned()));
        assert!(table.run.error().unwrap().failure.message.contains(&format!("`{key}`")));
        assert_eq!(table.state()["text"], Value::Null, "no write of the node stays");
    }
}

#[test]
fn a_failing_exit_leaves_no_write() {
    let text = "
format: 1
name: exits
version: 1
plugins: { p: { builtin: echo } }
state: { n: { reduce: sum } }
nodes:
  a: { agent: p, update: { n: 1 }, next: [{ when: \"output.missing\", to: a }, { to: end }], on-failure: b }
  b: { value: { n: \"${{ state.n }}\", code: \"${{ error.code }}\" }, next: end }
";
    let mut table = Table::start(text, json!({}));
    table.done("a@1#1", json!({}));
    assert_eq!(table.output(), json!({ "n": 0, "code": "undefined" }));
}

// R5.2
#[test]
fn what_is_written_grows_with_what_changed() {
    let text = "
format: 1
name: grows
version: 1
plugins: { p: { builtin: echo } }
state: { big: { reduce: append, initial: \"${{ input.big }}\" } }
nodes:
  a: { agent: p, update: { big: [\"${{ output.x }}\"] }, next: [{ when: \"visit >= 50\", to: end }, { to: a }] }
result: { length: \"${{ state.big|length }}\" }
";
    let mut table = Table::start(text, json!({ "big": vec!["x".repeat(100); 100] }));
    let start = table.journal.len();
    for visit in 1..=50 {
        table.done(&format!("a@{visit}#1"), json!({ "x": "y".repeat(100) }));
    }
    assert_eq!(table.output(), json!({ "length": 150 }));
    let bytes: usize =
        table.journal[start..].iter().map(|(_, event)| serde_json::to_string(event).unwrap().len()).sum();
    assert!(bytes / 50 < 1_000, "{} bytes a step", bytes / 50);
}

#[test]
fn an_input_that_does_not_fit_is_refused_before_anything_is_recorded() {
    let graph = graph(CHANNELS);
    let start = |input: Value| {
        bandstand_engine::Start::new(
            &graph,
            bandstand_engine::run::NewRun::new("r", input),
            bandstand_rules::START,
        )
    };
    assert!(matches!(start(json!({ "n": "x" })), Err(StartError::Input { .. })));
    assert!(matches!(start(json!([])), Err(StartError::Input { .. })));
    assert!(matches!(start(json!({ "x": "y".repeat(2 << 20) })), Err(StartError::InputTooLarge { .. })));
    assert!(start(json!({})).is_ok());
}

// R5.3
#[test]
fn stages_are_entered_and_recorded() {
    let text = "
format: 1
name: stages
version: 1
nodes:
  a: { stage: validation, next: b }
  b: { stage: processing, next: c }
  c: { stage: processing, next: end }
";
    let table = Table::start(text, json!({}));
    let stages: Vec<&str> = table
        .journal
        .iter()
        .filter_map(|(_, event)| match event {
            Event::StageEntered(entered) => Some(entered.stage.name()),
            _ => None,
        })
        .collect();
    assert_eq!(stages, ["validation", "processing", "completion"]);
    assert_eq!(table.run.steps(), 3);
}

#[test]
fn the_run_timeout_ends_the_run() {
    let text = "
format: 1
name: late
version: 1
timeout: 1m
plugins: { p: { builtin: echo } }
nodes: { a: { agent: p, next: end, on-failure: end } }
";
    let mut table = Table::start(text, json!({}));
    assert_eq!(table.run.next_deadline(), Some(bandstand_rules::START.plus_ms(60_000)));
    table.pass(60_000);
    assert_eq!(table.failed(), (Class::Timeout, "run-timeout".to_owned()));
}

#[test]
fn a_wait_ends_at_its_time() {
    let text = "format: 1\nname: w\nversion: 1\nnodes: { w: { wait: { for: 2d }, next: end } }\n";
    let mut table = Table::start(text, json!({}));
    assert_eq!(table.run.status(), Status::Waiting);
    table.pass(2 * 86_400_000 - 1);
    assert_eq!(table.run.status(), Status::Waiting);
    table.pass(1);
    assert_eq!(table.output(), json!({}));
}

#[test]
fn fail_says_code_message_and_data() {
    let text = "
format: 1
name: fails
version: 1
nodes:
  a: { fail: { code: no-plan, message: \"after ${{ visit }}\", data: { x: 1 } } }
";
    let table = Table::start(text, json!({}));
    assert_eq!(table.failed(), (Class::Workflow, "no-plan".to_owned()));
    assert_eq!(table.run.error().unwrap().failure.message, "after 1");
}

/// The size that the limit is about is kept beside each channel: joins, folds and snapshots must not make it wrong.
#[test]
fn the_size_of_the_state_is_the_same_after_joins_and_for_a_run_opened_again() {
    let text = "
format: 1
name: sizes
version: 1
limits: { state: 1KiB }
plugins: { p: { builtin: echo } }
state: { beside: { reduce: replace, initial: \"\u{e4}\" }, list: { reduce: append }, map: { reduce: merge }, n: { reduce: sum } }
nodes:
  fan:
    parallel:
      join: all
      branches:
        a: { agent: p, update: { list: [\"${{ output.x }}\"], n: 9 } }
        b: { agent: p, update: { list: [\"${{ output.x }}\"], map: { k: \"${{ output.x }}\" } } }
    next: one
  one: { agent: p, update: { beside: \"${{ output.x }}\", n: 1 }, next: [{ when: \"visit >= 9\", to: end }, { to: fan }] }
";
    let mut table = Table::start(text, json!({}));
    while table.run.status() == Status::Running {
        let id = table.owed()[0].clone();
        let snapshot = serde_json::to_vec(&table.run.snapshot()).unwrap();
        let snapshot = serde_json::from_slice(&snapshot).unwrap();
        let mut opened = Run::fold(table.run.graph().clone(), Some(snapshot), []).unwrap();
        let mut folded = Run::fold(table.run.graph().clone(), None, table.journal.iter().cloned()).unwrap();
        let reply = says(json!({ "x": "y".repeat(100) }));
        let input = || Input::Done { id: id.clone(), reply: reply.clone(), usage: Usage::default() };
        let again = [&mut opened, &mut folded].map(|run| run.handle(input(), table.now).unwrap().events);
        let events = table.handle(input()).unwrap().events;
        assert_eq!(again, [events.clone(), events]);
    }
    assert_eq!(table.failed(), (Class::Limit, "state".to_owned()));
    // The fourth join would bring two more texts of 100 letters, and a number of two digits stays one.
    let now: usize = table.state().values().map(|value| value.to_string().len()).sum();
    let message = &table.run.error().unwrap().failure.message;
    assert!(message.contains(&format!("the state would have {} bytes", now + 2 * 103)), "{now}: {message}");
}

#[test]
fn the_state_has_a_limit_that_names_itself() {
    let text = "
format: 1
name: fat
version: 1
limits: { state: 1KiB }
plugins: { p: { builtin: echo } }
state: { s: { reduce: append } }
nodes: { a: { agent: p, update: { s: [\"${{ output.x }}\"] }, next: a2 }, a2: { agent: p, update: { s: [\"${{ output.x }}\"] }, next: end } }
result: \"${{ state.s|length }}\"
";
    let mut table = Table::start(text, json!({}));
    table.done("a@1#1", json!({ "x": "y".repeat(600) }));
    table.done("a2@1#1", json!({ "x": "y".repeat(600) }));
    assert_eq!(table.failed(), (Class::Limit, "state".to_owned()));
    let message = &table.run.error().unwrap().failure.message;
    assert!(message.contains("limits.state") && message.contains("1024"), "{message}");
}

// R7.3
#[test]
fn a_value_that_nests_too_deep_to_be_read_again_is_refused_wherever_it_comes_from() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
    let text = "format: 1\nname: deep\nversion: 1\nplugins: { p: { builtin: echo } }\nnodes: { a: { agent: p, retry: { strategy: none }, next: end } }\n";
    let mut table = Table::start(text, nested(64));
    table.done("a@1#1", nested(64));
    assert_eq!(table.run.status(), Status::Succeeded);

    let mut table = Table::start(text, json!({}));
    table.done("a@1#1", nested(65));
    assert_eq!(table.failed(), (Class::InvalidOutput, "bad-reply".to_owned()));

    let mut table = Table::start(text, json!({}));
    let data = Some(bandstand_engine::Payload::new(nested(65)));
    table.fail("a@1#1", bandstand_engine::Failure { data, ..bandstand_rules::permanent() });
    let failure = &table.run.error().unwrap().failure;
    assert!(failure.data.is_none() && failure.message.contains("64 deep"), "{failure:?}");
}

// R7.6
#[test]
fn what_models_cost_adds_up_over_attempts_and_a_workflow_can_see_it() {
    let text = "
format: 1
name: spent
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: b }
  b: { value: \"${{ run.usage }}\", next: end }
result: \"${{ run.usage }}\"
";
    let mut table = Table::start(text, json!({}));
    let spent =
        |tokens_in, tokens_out, cost_micros| Usage { tokens_in, tokens_out, cost_micros, ..Usage::default() };
    let failure = recoverable();
    table
        .handle(Input::Failed {
            id: "a@1#1".parse().unwrap(),
            failure,
            retry_after_ms: None,
            usage: spent(10, 1, 100),
        })
        .unwrap();
    table.pass(1_000);
    let reply = says(json!({}));
    table.handle(Input::Done { id: "a@1#2".parse().unwrap(), reply, usage: spent(5, 2, 30) }).unwrap();
    assert_eq!(table.output(), json!({ "tokens_in": 15, "tokens_out": 3, "cost_micros": 130 }));
}
