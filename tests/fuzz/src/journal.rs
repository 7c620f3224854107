//! Stored journals: lines as the fixtures of `tests/rules` have them, first the graph, then rows. Whatever they say, they
//! fold to a run or are refused as damaged, and a run that folds can be stored as a snapshot and read again.

use std::sync::Arc;

use bandstand_engine::{Event, Graph, Run, Snapshot, Timestamp};
use serde_json::Value;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let Some(graph) = lines
        .next()
        .and_then(|line| serde_json::from_str::<Value>(line).ok())
        .and_then(|first| serde_json::from_value::<Graph>(first.get("graph")?.clone()).ok())
    else {
        return;
    };
    let mut events = Vec::new();
    for line in lines {
        let Ok(row) = serde_json::from_str::<Value>(line) else { return };
        let at = Timestamp(row.get("at").and_then(Value::as_i64).unwrap_or_default());
        for event in row.get("events").and_then(Value::as_array).into_iter().flatten() {
            let Ok(event) = serde_json::from_value::<Event>(event.clone()) else { return };
            events.push((at, event));
        }
    }
    let graph = Arc::new(graph);
    let Ok(run) = Run::fold(graph.clone(), None, events) else { return };
    // What everybody asks of a run that was read.
    let _ = (run.status(), run.waiting(), run.open_reviews(), run.next_deadline(), run.owed().count());
    let stored = serde_json::to_string(&run.snapshot()).unwrap();
    let snapshot: Snapshot =
        serde_json::from_str(&stored).unwrap_or_else(|error| panic!("{error}: {stored}"));
    let again = Run::fold(graph, Some(snapshot), []).unwrap();
    assert!(again.is_same(&run), "a snapshot leads to another run");
}
