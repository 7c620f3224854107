//! R5.2: what the first version of the host wrote still folds, and a run that uses nothing new is written as it was.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use std::collections::BTreeSet;
use std::sync::Arc;

use bandstand_engine::{Event, Graph, Run, Snapshot, Status, Timestamp};
use bandstand_rules::START;
use serde_json::{Value, json};

/// As `run.started` pinned it: no `deadline_ms`, no `checkpoint`.
fn graph() -> Arc<Graph> {
    let retry = json!({
        "strategy": "exponential", "max_retries": 3, "base_delay_ms": 1000, "factor": 2.0, "max_delay_ms": 86_400_000,
        "jitter": 0.0, "retry_on": ["agent"]
    });
    let next = |to: Value| json!({ "next": { "otherwise": to } });
    let input = json!({ "lit": {} });
    let graph = json!({
        "name": "first", "version": 1,
        "limits": {
            "max_steps": 1000, "max_total_steps": 100_000, "max_items": 1000, "payload_bytes": 1_048_576,
            "state_bytes": 1_048_576, "expression_fuel": 100_000
        },
        "plugins": { "p": { "source": { "path": "p.wasm" } } },
        "root": { "start": "nap", "nodes": {
            "nap": { "kind": { "wait": { "for_ms": 1000 } }, "exit": next(json!({ "node": "work" })) },
            "work": {
                "kind": { "agent": { "plugin": "p", "input": input, "retry": retry, "timeout_ms": 60_000 } },
                "exit": next(json!("end"))
            }
        } },
    });
    Arc::new(serde_json::from_value(graph).unwrap())
}

/// Rows as the first version wrote them, with their times after the start.
fn journal() -> Vec<(Timestamp, Event)> {
    let rows = [
        (
            0,
            json!([
                {
                    "type": "run.started", "run_id": "run-1",
                    "workflow": { "name": "first", "version": 1, "source": "s", "graph": "g" },
                    "plugins": { "p": { "digest": "sha256:00" } }, "rules": 1, "host_version": "0.1.0", "seed": 7,
                    "input": { "v": {} }
                },
                { "type": "node.started", "p": "nap@1", "kind": "wait" },
                { "type": "wait.started", "p": "nap@1", "until": START.plus_ms(1000) },
            ]),
        ),
        (
            1000,
            json!([
                { "type": "wait.ended", "p": "nap@1" },
                { "type": "node.succeeded", "p": "nap@1", "output": { "v": {} }, "took_ms": 1000 },
                { "type": "edge.taken", "p": "nap@1", "to": "work", "because": "next" },
                { "type": "node.started", "p": "work@1", "kind": "agent", "input": { "v": {} } },
                { "type": "attempt.scheduled", "p": "work@1", "attempt": 1, "because": "first" },
            ]),
        ),
    ];
    rows.into_iter()
        .flat_map(|(after_ms, events)| {
            let events: Vec<Event> = serde_json::from_value(events).unwrap();
            events.into_iter().map(move |event| (START.plus_ms(after_ms), event))
        })
        .collect()
}

#[test]
fn a_journal_of_the_first_version_folds_and_is_written_as_it_was() {
    let run = Run::fold(graph(), None, journal()).unwrap();
    assert_eq!(run.status(), Status::Running);
    assert_eq!(run.owed().map(|command| command.id.to_string()).collect::<Vec<_>>(), ["work@1#1"]);
    let waits: Vec<Value> = journal().iter().map(|(_, event)| serde_json::to_value(event).unwrap()).collect();
    assert_eq!(waits[2], json!({ "type": "wait.started", "p": "nap@1", "until": START.plus_ms(1000) }));
    assert_eq!(waits[3], json!({ "type": "wait.ended", "p": "nap@1" }));
}

#[test]
fn a_snapshot_of_the_first_version_opens_and_has_the_same_parts() {
    let run = Run::fold(graph(), None, journal()).unwrap();
    let snapshot = serde_json::to_value(run.snapshot()).unwrap();
    assert_eq!(snapshot["version"], 1);
    let parts: BTreeSet<&str> = snapshot["state"].as_object().unwrap().keys().map(String::as_str).collect();
    let first = [
        "closed_reviews",
        "end",
        "now",
        "requests",
        "root",
        "seq",
        "stage",
        "started",
        "started_at",
        "steps",
    ];
    assert_eq!(parts, BTreeSet::from(first), "a new part is left out where it says nothing");
    let snapshot: Snapshot = serde_json::from_value(snapshot).unwrap();
    assert!(Run::fold(graph(), Some(snapshot), []).unwrap().is_same(&run));
}
