//! A run's state is bounded by its graph, channels and open work, never by its history.
#![cfg(not(feature = "mistakes"))]
#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::input::{Reply, ReplyNext, Usage};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Graph, Input, Run, Start, Timestamp};
use serde_json::json;

/// One agent that goes back to itself, adding to a channel.
fn graph() -> Arc<Graph> {
    let mut graph = json!({
        "name": "loop", "version": 1,
        "state": { "total": { "reduce": "sum", "keep": "run" } },
        "limits": { "max_steps": 100_000, "max_total_steps": 100_000, "max_items": 1, "payload_bytes": 1_000_000,
            "state_bytes": 1_000_000, "expression_fuel": 100_000 },
        "plugins": {},
        "root": { "start": "again", "nodes": { "again": {} } },
    });
    let node = bandstand_engine::graph::Node {
        kind: bandstand_engine::graph::Kind::Agent(bandstand_engine::graph::Agent {
            plugin: bandstand_engine::Id::new("p").unwrap(),
            input: bandstand_engine::expression::Template::from_json(&json!({ "n": "${{ state.total }}" }))
                .unwrap(),
            retry: bandstand_engine::graph::Retry::default(),
            timeout_ms: 60_000,
            deadline_ms: None,
            cache: None,
            stream: None,
        }),
        description: String::new(),
        stage: None,
        update: Some(bandstand_engine::graph::Update::Channels(BTreeMap::from([(
            bandstand_engine::Id::new("total").unwrap(),
            bandstand_engine::expression::Template::from_json(&json!(1)).unwrap(),
        )]))),
        set: BTreeMap::new(),
        exit: Some(bandstand_engine::graph::Exit::Next(bandstand_engine::graph::Edges {
            when: Vec::new(),
            otherwise: bandstand_engine::graph::Target::Node(bandstand_engine::Id::new("again").unwrap()),
        })),
        approved: None,
        rejected: None,
        on_failure: None,
        goto: Default::default(),
        checkpoint: None,
    };
    graph["root"]["nodes"]["again"] = serde_json::to_value(node).unwrap();
    Arc::new(serde_json::from_value(graph).unwrap())
}

fn bytes_after(steps: u32) -> usize {
    let graph = graph();
    let now = Timestamp(1_700_000_000_000);
    let new = NewRun::new("run", json!({}));
    let (mut run, _) = Run::start(graph.clone(), Start::new(&graph, new, now).unwrap(), now);
    for _ in 0..steps {
        let id = run.owed().next().unwrap().id.clone();
        let reply = Reply { output: Arc::new(json!({ "n": 1 })), confidence: None, next: ReplyNext::Edges };
        let _ = run.handle(Input::Done { id, reply, usage: Usage::default() }, now).unwrap();
    }
    serde_json::to_string(&run.snapshot()).unwrap().len()
}

#[test]
fn a_hundred_times_the_steps_are_a_few_digits_more() {
    let (short, long) = (bytes_after(100), bytes_after(10_000));
    assert!(long < short + 64, "{short} bytes after 100 steps, {long} after 10,000");
}
