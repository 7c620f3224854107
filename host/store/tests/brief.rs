//! R5.3: a long run is shown from sums and its newest entries, and they say what its events say.

mod support;

use bandstand_engine::event::Event;
use bandstand_store::{NodeSums, Told};
use serde_json::{Value, json};
use support::*;

fn events(events: Value) -> Vec<Event> {
    serde_json::from_value(events).expect("events")
}

/// The row in which visit `n` ends and the next one begins.
fn step(n: u64, stage: Option<&str>) -> Vec<Event> {
    let (p, next) = (format!("turn@{n}"), format!("turn@{}", n + 1));
    let mut row = events(json!([
        { "type": "attempt.succeeded", "p": p, "attempt": 1, "output": { "v": n },
          "usage": { "cpu_us": 5, "queued_ms": 1, "memory_bytes_max": n } },
        { "type": "node.succeeded", "p": p, "output": { "output": p }, "took_ms": n },
        { "type": "edge.taken", "p": p, "to": "turn", "because": "next" },
        { "type": "node.started", "p": next, "kind": "agent", "input": { "v": "\"quoted\"" } },
        { "type": "attempt.scheduled", "p": next, "attempt": 1, "because": "first" },
    ]));
    if let Some(stage) = stage {
        row.extend(events(json!([{ "type": "stage.entered", "stage": stage, "p": next }])));
    }
    row
}

#[test]
fn plain_steps_are_added_up_and_what_tells_more_is_given() {
    let (_directory, store) = store();
    let (mut seq, mut put) = (0, 0);
    let mut row = |events: Vec<Event>| {
        let count = events.len() as u64;
        append(&store, "run-1", seq, put, events);
        (seq, put) = (seq + count, put + 1);
        seq - count
    };
    row(vec![started("run-1", "w", json!({}))]);
    for n in 1..=30 {
        row(step(n, (n % 3 == 0).then_some("processing")));
    }
    // What is proposed stands in an earlier row.
    let mut asks = step(31, None);
    asks.extend(events(json!([{
        "type": "review.opened", "review_id": "r", "p": "ask@1", "asked_by": "node", "title": "t", "reason": "",
        "proposed": { "output": "turn@7" }, "reviewers": [], "quorum": 1, "deadline": 9, "on_timeout": "fail",
    }])));
    let asks = row(asks);
    let mut told = Vec::new();
    let sums = store.reader().brief("run-1", 4, |row| told.push(row)).expect("read");

    let all = store.reader().history("run-1", 0, 1_000).expect("read").rows;
    assert_eq!(sums.events, all.iter().map(|row| row.events.len() as u64).sum::<u64>());
    assert_eq!((sums.last_at, sums.stages_left_out, sums.routes_left_out), (all[31].at, 6, 0));
    // Of the thirty rows that are not given; the last one counts where it is given.
    let turn = NodeSums {
        visits: 30,
        attempts: 30,
        total_ms: 465,
        longest_ms: 30,
        cpu_us: 150,
        ..NodeSums::default()
    };
    assert_eq!(sums.nodes.into_iter().collect::<Vec<_>>(), [("turn".to_owned(), turn)]);
    assert_eq!((sums.usage.cpu_us, sums.usage.queued_ms, sums.usage.memory_bytes_max), (150, 30, 30));
    let given: Vec<(&str, u64)> = told
        .iter()
        .map(|told| match told {
            Told::Row(row) => ("row", row.seq),
            Told::Listed { row, stages: true, routes: false } => ("stages", row.seq),
            Told::Listed { row, .. } => ("other", row.seq),
            Told::Named(row) => ("named", row.seq),
        })
        .collect();
    let stages = [21, 24, 27, 30].map(|n| ("stages", all[n].seq));
    let (seventh, first) = (("named", all[7].seq), ("row", 0));
    assert_eq!(given, [&[first], &stages[..], &[seventh, ("row", asks)]].concat());
    assert!(matches!(&told[6], Told::Row(row) if *row == all[31]), "whole, as in the history");
    assert!(store.reader().brief("run-2", 4, |_| ()).is_err());
    assert_eq!(store.reader().event_count("run-1").expect("read"), sums.events);
}
