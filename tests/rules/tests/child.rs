//! Sections 2, 6 and 7: nodes that run another workflow as a child (R5.5, R5.6, R4.4).

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use bandstand_engine::event::CancelCause;
use bandstand_engine::input::ChildOutcome;
use bandstand_engine::run::Waiting;
use bandstand_engine::{Class, Event, Failure, Outcome, Status};
use bandstand_rules::{Table, graph_with, permanent, recoverable};
use serde_json::json;

const CHILD: &str = "
format: 1
name: child
version: 3
nodes:
  only: { value: \"${{ input }}\", next: end }
";

fn parent(node: &str) -> Table {
    let text = format!(
        "
format: 1
name: parent
version: 1
state: {{ seen: {{ reduce: append }} }}
plugins: {{ p: {{ path: p.wasm }} }}
workflows: {{ child: {{ path: child.yaml, version: 3 }} }}
nodes:
  a: {{ workflow: child, input: {{ n: \"${{{{ visit }}}}\" }}, {node} }}
  b: {{ agent: p, input: {{ code: \"${{{{ error.code }}}}\" }}, next: end }}
result: {{ seen: \"${{{{ state.seen }}}}\", last: \"${{{{ output }}}}\" }}
"
    );
    Table::start_graph(graph_with(&text, &[("child.yaml", CHILD)]), json!({}))
}

fn succeeded(output: serde_json::Value) -> ChildOutcome {
    ChildOutcome::Succeeded(Arc::new(output))
}

// R5.6: the child's text and graph are a part of the parent's graph.
#[test]
fn a_child_is_pinned_with_its_parent() {
    let table = parent("next: end");
    let text = serde_json::to_string(&**table.run.graph()).unwrap();
    let read: bandstand_engine::Graph = serde_json::from_str(&text).unwrap();
    let child = &read.workflows[&bandstand_engine::Id::new("child").unwrap()];
    assert_eq!((&*child.source, child.graph.version), (CHILD, 3));
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn its_result_is_the_output_of_the_node_whatever_it_is() {
    for result in [json!({ "passed": true }), json!([1, 2]), json!("yes"), json!(null)] {
        let mut table = parent("update: { seen: [\"${{ output }}\"] }, next: end");
        assert_eq!(table.owed_text(), ["a@1#1"]);
        assert_eq!(table.run.status(), Status::Waiting, "only its child can move it");
        let child = table.run.children().next().unwrap();
        assert_eq!(*child.input, json!({ "n": 1 }));
        let waiting = table.run.waiting();
        assert!(
            matches!(&waiting[..], [Waiting::Child { run_id, .. }] if *run_id == child.run_id),
            "{waiting:?}"
        );
        let decision = table.child_ended("a@1#1", succeeded(result.clone()));
        assert_eq!(decision.outcome, Outcome::Changed);
        assert_eq!(table.output(), json!({ "seen": [result], "last": result }));
        assert_eq!(table.child_ended("a@1#1", succeeded(json!(1))).outcome, Outcome::Stale);
    }
}

// R4.4: starting a child twice is starting it once: its id follows from the attempt.
#[test]
fn the_id_of_a_child_follows_from_its_attempt() {
    let table = parent("next: end");
    let again = parent("next: end");
    let id = |table: &Table| table.run.children().next().unwrap().run_id;
    assert_eq!(id(&table), id(&again));
    assert!(table.journal.iter().any(|(_, event)| {
        matches!(event, Event::AttemptScheduled(e) if e.child.as_deref() == Some(&id(&table)))
    }));
    let fork = table.fork(table.run.seq(), &[]).unwrap();
    assert_ne!(id(&table), id(&fork), "a fork has children of its own");
}

// R1.3: a child's failure keeps its class and code.
#[test]
fn its_failure_is_the_failure_of_the_node() {
    let mut table = parent("next: end");
    table.child_ended("a@1#1", ChildOutcome::Failed(permanent()));
    assert_eq!(table.failed(), (Class::Agent, "no-luck".to_owned()));
    let message = &table.run.error().unwrap().failure.message;
    assert!(message.starts_with("child run ") && message.ends_with(": it did not work"), "{message}");

    let mut table = parent("next: end, on-failure: b");
    table.child_ended("a@1#1", ChildOutcome::Failed(permanent()));
    assert_eq!(table.input_of("b@1#1"), json!({ "code": "no-luck" }));
}

// R1.2: none by default; each retry is a new run; whether the failure is recoverable decides, whatever its class.
#[test]
fn a_retry_is_a_new_run() {
    let mut table = parent("next: end");
    table.child_ended("a@1#1", ChildOutcome::Failed(recoverable()));
    assert_eq!(table.run.status(), Status::Failed, "without `retry` there is none");

    let retry = "retry: { max-retries: 1, strategy: fixed, base-delay: 1s }, next: end";
    let mut table = parent(retry);
    let first = table.run.children().next().unwrap();
    let failure = Failure { recoverable: true, ..Failure::permanent(Class::State, "odd", "odd") };
    table.child_ended("a@1#1", ChildOutcome::Failed(failure));
    assert!(table.owed_text().is_empty(), "it waits for its time");
    table.pass(1_000);
    let second = table.run.children().next().unwrap();
    assert_ne!((&first.run_id, first.seed), (&second.run_id, second.seed));
    table.child_ended("a@1#2", ChildOutcome::Failed(recoverable()));
    assert_eq!(table.failed(), (Class::Agent, "no-luck".to_owned()));
    assert_eq!(table.run.error().unwrap().attempts, 2);

    let mut table = parent(retry);
    table.child_ended("a@1#1", ChildOutcome::Failed(permanent()));
    assert_eq!(table.run.status(), Status::Failed, "a permanent failure is not retried");
}

#[test]
fn a_child_that_somebody_ended_fails_the_node() {
    for (outcome, code) in
        [(ChildOutcome::Cancelled, "child-cancelled"), (ChildOutcome::Killed, "child-killed")]
    {
        let mut table = parent("retry: { max-retries: 3 }, next: end");
        table.child_ended("a@1#1", outcome);
        assert_eq!(table.failed(), (Class::Workflow, code.to_owned()));
    }
}

// Section 6: `timeout` bounds the node from its entry to its exit, retries included, and cancels inside.
#[test]
fn its_timeout_cancels_it() {
    let mut table =
        parent("timeout: 10s, retry: { max-retries: 9, strategy: fixed, base-delay: 4s }, next: end");
    table.child_ended("a@1#1", ChildOutcome::Failed(recoverable()));
    table.pass(4_000);
    let child = table.run.children().next().unwrap().run_id;
    let decision = table.pass(6_000);
    assert_eq!(decision.closed.len(), 1);
    assert!(decision.events.iter().any(|event| matches!(
        event,
        Event::AttemptCancelled(e) if e.because == CancelCause::Timeout && e.child.as_ref() == Some(&child)
    )));
    assert_eq!(table.failed(), (Class::Timeout, "block-timeout".to_owned()));
    assert_eq!(table.child_ended("a@1#2", succeeded(json!({}))).outcome, Outcome::Stale);
}

// R5.5: cancelling and killing go down, by name, so that a host that dies now can find the children.
#[test]
fn cancelling_and_killing_name_the_children() {
    let mut table = parent("next: end");
    let child = table.run.children().next().unwrap().run_id;
    let decision = table.cancel().unwrap();
    assert!(
        decision
            .events
            .iter()
            .any(|event| matches!(event, Event::AttemptCancelled(e) if e.child.as_ref() == Some(&child)))
    );

    let mut table = parent("next: end");
    let decision = table.kill().unwrap();
    assert_eq!(decision.closed.len(), 1);
    assert!(
        decision
            .events
            .iter()
            .any(|event| matches!(event, Event::RunKilled(e) if e.children == [child.clone()]))
    );
}

// R5.5: a failed parent is retried with a new child; the first one stays what it was.
#[test]
fn a_retried_parent_has_a_new_child() {
    let mut table = parent("next: end");
    let first = table.run.children().next().unwrap().run_id;
    table.child_ended("a@1#1", ChildOutcome::Failed(permanent()));
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["a@1#2"]);
    assert_ne!(table.run.children().next().unwrap().run_id, first);
    table.child_ended("a@1#2", succeeded(json!({ "ok": true })));
    assert_eq!(table.output()["last"], json!({ "ok": true }));
}

#[test]
fn what_is_no_object_is_no_input_of_a_child() {
    let text = "
format: 1
name: parent
version: 1
workflows: { child: { path: child.yaml, version: 3 } }
nodes: { a: { workflow: child, input: \"${{ [1] }}\", next: end } }
";
    let table = Table::start_graph(graph_with(text, &[("child.yaml", CHILD)]), json!({}));
    assert_eq!(table.failed(), (Class::Expression, "input-not-object".to_owned()));
}

// R7.4: the child's limits may be wider than its parent's.
#[test]
fn a_result_above_the_parents_limit_is_a_failure() {
    let mut table = parent("next: end");
    table.child_ended("a@1#1", succeeded(json!("x".repeat(2 << 20))));
    assert_eq!(table.failed(), (Class::Limit, "payload".to_owned()));
}
