//! R5.5: forks. A new run adopts where another one was and goes on from there; the other one stays as it is.

use bandstand_engine::event::{AttemptCause, Origin};
use bandstand_engine::input::Verdict;
use bandstand_engine::run::{EditPath, ForkError};
use bandstand_engine::{Event, Status};
use bandstand_rules::{Table, graph, permanent, recoverable, says};
use serde_json::json;

const CHAIN: &str = "\
format: 1
name: chain
version: 1
plugins: { p: { builtin: echo } }
state:
  total: { reduce: sum, initial: 0, schema: { type: number } }
  log: { reduce: append, schema: { type: array, items: { type: string } } }
nodes:
  a: { agent: p, input: { n: 1 }, update: { total: 1, log: [a] }, next: b }
  b: { agent: p, input: { total: \"${{ state.total }}\", word: \"${{ input.word }}\" }, update: { total: 10 }, next: c }
  c: { agent: p, input: { total: \"${{ state.total }}\" }, next: end }
result: { total: \"${{ state.total }}\", log: \"${{ state.log }}\" }
";

fn chain() -> Table {
    let mut table = Table::start(CHAIN, json!({ "word": "one" }));
    for id in ["a@1#1", "b@1#1", "c@1#1"] {
        table.now = table.now.plus_ms(1_000);
        table.done(id, json!({}));
    }
    table
}

// R5.5
#[test]
fn a_fork_adopts_the_results_so_far_and_does_only_the_rest() {
    let table = chain();
    let mut fork = table.fork(table.before("c@1"), &[]).unwrap();
    assert_eq!(fork.owed_text(), ["c@1#1"]);
    assert_eq!(fork.input_of("c@1#1"), json!({ "total": 11 }));
    fork.done("c@1#1", json!({}));
    assert_eq!(fork.output(), table.output(), "without an edit it ends as the other did");
    let Some((_, Event::RunAdopted(adopted))) = fork.journal.get(1) else { panic!("{:?}", fork.names()) };
    assert_eq!(adopted.from, Origin { run: "run-1".to_owned(), seq: table.before("c@1") });
}

// R5.5
#[test]
fn edits_of_state_and_input_reach_what_is_entered_after_the_point() {
    let table = chain();
    let before = table.run.snapshot();
    let edits = [("state.total", json!(100)), ("input.word", json!("two")), ("state.log.0", json!("A"))];
    let mut fork = table.fork(table.before("b@1"), &edits).unwrap();
    assert_eq!(fork.input_of("b@1#1"), json!({ "total": 100, "word": "two" }));
    fork.done("b@1#1", json!({}));
    fork.done("c@1#1", json!({}));
    assert_eq!(fork.output(), json!({ "total": 110, "log": ["A"] }));
    assert_eq!(table.output(), json!({ "total": 11, "log": ["a"] }), "the other run is as it was");
    assert_eq!(serde_json::to_value(&before).unwrap(), serde_json::to_value(table.run.snapshot()).unwrap());
}

// R5.1, R5.5
#[test]
fn an_edit_that_does_not_fit_its_channel_is_refused_by_name() {
    let table = chain();
    let refused = |path: &str, value| match table.fork(table.before("b@1"), &[(path, value)]) {
        Err(ForkError::Edit { path, problem }) => format!("{path}: {problem}"),
        other => panic!("{:?}", other.map(|fork| fork.names())),
    };
    assert!(refused("state.total", json!("much")).contains("`sum` takes a number"));
    assert!(refused("state.log", json!([1])).contains("at `/0`"));
    assert!(refused("state.sum", json!(1)).contains("there are: log, total"));
    assert!(refused("state.log.7", json!("x")).contains("no item of a list of 1"));
    assert!("total".parse::<bandstand_engine::run::EditPath>().is_err());
}

// R5.5
#[test]
fn a_point_in_the_middle_of_a_decision_is_the_one_before_it() {
    let table = chain();
    for seq in 1..table.before("c@1") + 2 {
        let fork = table.fork(seq, &[]).unwrap();
        assert_eq!(fork.run.status(), Status::Running, "event {seq}");
        assert_eq!(fork.owed_text().len(), 1, "event {seq}");
    }
}

const SIDES: &str = "\
format: 1
name: sides
version: 1
plugins: { p: { builtin: echo } }
nodes:
  fan:
    parallel:
      branches:
        call: { agent: p, retry: { strategy: fixed, base-delay: 10s, max-retries: 5 } }
        ask:
          nodes:
            look: { review: { title: \"well?\", quorum: 2, timeout: 5m }, approved: end, rejected: end }
        rest: { wait: { for: 1h } }
        job:
          nodes:
            first: { agent: p, next: second }
            second: { agent: p, next: end }
    timeout: 2h
    next: end
";

// R5.5, R1.6: what was under way is begun anew, and time stood still.
#[test]
fn what_was_under_way_is_begun_anew_under_the_new_run() {
    let mut table = Table::start(SIDES, json!({}));
    table.fail("fan@1/call@1#1", recoverable());
    table.now = table.now.plus_ms(4_000);
    let review = table.review();
    let answer = table.answer(&review, "bo", Verdict::Approved);
    table.handle(bandstand_engine::Input::Answer(answer)).unwrap();
    table.done("fan@1/job/first@1#1", json!({}));
    // The run goes on; somebody forks it a day later.
    let seq = table.before("fan@1/job/second@1");
    table.now = table.now.plus_ms(86_400_000);
    let mut fork = table.fork(seq, &[]).unwrap();
    assert_eq!(fork.owed_text(), ["fan@1/job/second@1#1"]);
    assert_ne!(fork.review(), review, "a review of its own");
    let open = fork.run.open_reviews();
    assert_eq!((open[0].approvals, open[0].deadline), (0, fork.now.plus_ms(300_000)), "and its whole time");
    assert_eq!(fork.run.next_deadline(), Some(fork.now.plus_ms(6_000)), "six of ten seconds were left");
    fork.pass(6_000);
    assert!(fork.owed_text().contains(&"fan@1/call@1#2".to_owned()), "the attempts' numbers go on");
    let key = fork.run.owed().next().unwrap().idempotency_key(fork.run.id());
    assert!(key.starts_with("run-2/"), "{key}");
    let adopted = fork.journal.iter().any(
        |(_, event)| matches!(event, Event::AttemptScheduled(e) if e.because == AttemptCause::Adopted && e.attempt == 2),
    );
    assert!(adopted);
    assert_eq!(table.run.open_reviews()[0].approvals, 1, "the other run is as it was");
}

// R5.5
#[test]
fn an_ended_run_has_no_point_at_its_end() {
    use bandstand_engine::run::{NoPoint, Point};
    let table = chain();
    let has = table.run.seq();
    let within = |seq| Point::within(table.run.graph().clone(), &table.rows, seq).map(|_| ());
    assert_eq!(within(has), Err(NoPoint::Ended { how: "succeeded" }));
    assert_eq!(within(has + 1), Err(NoPoint::Beyond { has }));
    assert_eq!(within(0), Err(NoPoint::Beyond { has }));
}

// R5.5, R5.6: as the file is now, if that can go on from there.
#[test]
fn a_changed_workflow_takes_the_point_or_says_why_not() {
    let table = chain();
    let seq = table.before("b@1");
    let changed =
        CHAIN.replace("input: { total: \"${{ state.total }}\" }", "input: { sum: \"${{ state.total }}\" }");
    let mut fork = table.fork_with(graph(&changed), seq, &[]).unwrap();
    fork.done("b@1#1", json!({}));
    assert_eq!(fork.input_of("c@1#1"), json!({ "sum": 11 }));
    let refused =
        |text: &str| table.fork_with(graph(text), seq, &[]).err().map(|error| error.to_string()).unwrap();
    let renamed = CHAIN.replace("next: b", "next: bb").replace("  b:", "  bb:");
    assert!(refused(&renamed).contains("`b@1`, which the workflow no longer has"), "{}", refused(&renamed));
    let typed =
        CHAIN.replace("type: number", "type: number, minimum: 50").replace("initial: 0", "initial: 50");
    assert!(refused(&typed).contains("channel `total`"), "{}", refused(&typed));
}

// R5.5: a fork of a failed run can be one that does not fail.
#[test]
fn a_failed_run_can_be_forked_before_its_failure() {
    let mut table = Table::start(CHAIN, json!({ "word": "one" }));
    table.done("a@1#1", json!({}));
    table.fail("b@1#1", permanent());
    let mut fork = table.fork(table.before("b@1"), &[]).unwrap();
    fork.reply("b@1#1", says(json!({})));
    fork.done("c@1#1", json!({}));
    assert_eq!(fork.output()["total"], 11);
    assert_eq!(table.run.status(), Status::Failed);
    // And a fork of the fork.
    let again = fork.fork(fork.before("c@1"), &[]).unwrap();
    assert_eq!(again.owed_text(), ["c@1#1"]);
}

// R5.5: what people type never makes a value that cannot be walked.
#[test]
fn an_edit_names_no_place_deeper_than_values_nest() {
    let path = |names: usize| format!("input{}", ".a".repeat(names)).parse::<EditPath>();
    assert!(path(64).is_ok());
    for names in [0, 65, 60_000] {
        let problem = path(names).unwrap_err().to_string();
        assert!(problem.len() < 500 && problem.contains("state.CHANNEL"), "{problem}");
    }
}

// A long journal is not held: what is read is no more than leads to the point.
#[test]
fn a_point_is_reached_without_the_rows_after_it() {
    use bandstand_engine::run::Point;
    let table = chain();
    let rows = || {
        let rows = table.rows.iter().cloned().map(Ok);
        rows.chain([Err("nobody asked for this one")])
    };
    let graph = table.run.graph();
    let has = table.journal.len() as u64;
    for seq in 1..has {
        let point = Point::reached(graph.clone(), rows(), seq).unwrap().unwrap();
        assert!(point.seq() <= seq);
    }
    assert!(matches!(Point::reached(graph.clone(), rows(), has + 1), Err("nobody asked for this one")));
}

// R5.3: the point that a checkpoint names: its node's writes are made, the next node has not begun.
#[test]
fn a_fork_after_a_checkpoint_has_what_was_written_before_it() {
    let text = "
format: 1
name: named
version: 1
plugins: { p: { path: p.wasm } }
state: { total: { reduce: sum, initial: 0 } }
nodes:
  a: { agent: p, update: { total: 1 }, checkpoint: counted, next: b }
  b: { agent: p, update: { total: \"${{ state.total }}\" }, next: end }
";
    let mut table = Table::start(text, json!({}));
    table.done("a@1#1", json!({}));
    table.done("b@1#1", json!({}));
    let named = table.names().iter().position(|name| *name == "checkpoint.named").unwrap();
    let mut fork = table.fork(named as u64 + 1, &[("state.total", json!(10))]).unwrap();
    assert_eq!(fork.owed_text(), ["b@1#1"]);
    fork.done("b@1#1", json!({}));
    assert_eq!(fork.state()["total"], json!(20));
}
