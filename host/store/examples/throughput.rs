//! How fast steps become durable: a closed loop of so many runs, each of which appends its next step when the former
//! one is durable. `cargo run -p bandstand-store --example throughput -- DIRECTORY`; the directory must be empty.
#![allow(clippy::print_stdout)] // a measurement for people

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bandstand_engine::event::{Event, NodeSucceeded, Payload, RunStarted, WorkflowPin};
use bandstand_engine::time::Timestamp;
use bandstand_store::{Append, Options, Store};
use serde_json::json;

const MEASURED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name an empty directory")?;
    println!(
        "{:>6} {:>10} {:>12} {:>10} {:>10} {:>10}",
        "runs", "steps/s", "rows/commit", "p50 us", "p99 us", "max us"
    );
    for runs in [1, 10, 100, 1_000] {
        measure(&directory.join(runs.to_string()), runs)?;
    }
    Ok(())
}

fn measure(directory: &Path, runs: usize) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::open(directory, Options::default())?;
    let (sender, durable) = channel();
    let hand_over = |run: usize, seq: u64| {
        let sender = sender.clone();
        let id: Arc<str> = Arc::from(format!("run-{run}"));
        let events = if seq == 0 { vec![started(&id)] } else { step() };
        let events_count = events.len() as u64;
        let begun = Instant::now();
        store.append(Append::new(id, seq, Timestamp(0), events, None), move |end| {
            drop(sender.send((run, seq + events_count, begun.elapsed(), end)));
        })
    };
    for run in 0..runs {
        hand_over(run, 0)?;
    }
    let begun = Instant::now();
    let mut waited = Vec::new();
    while begun.elapsed() < MEASURED {
        let (run, next, took, end) = durable.recv()?;
        end?;
        waited.push(took.as_micros());
        hand_over(run, next)?;
    }
    let steps = waited.len();
    let stats = store.stats();
    waited.sort_unstable();
    let at = |share: f64| waited[((steps - 1) as f64 * share) as usize];
    println!(
        "{runs:>6} {:>10.0} {:>12.1} {:>10} {:>10} {:>10}",
        steps as f64 / begun.elapsed().as_secs_f64(),
        stats.rows as f64 / stats.commits as f64,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    store.close();
    Ok(())
}

fn started(run_id: &str) -> Event {
    Event::RunStarted(Box::new(RunStarted {
        run_id: run_id.to_owned(),
        workflow: WorkflowPin {
            name: "throughput".to_owned(),
            version: 1,
            source: String::new(),
            graph: String::new(),
        },
        plugins: Default::default(),
        rules: 1,
        host_version: String::new(),
        seed: 1,
        thread_id: None,
        user_id: None,
        input: Payload::new(json!({})),
        state: Default::default(),
        deadline: None,
        request_digest: None,
        starters: Vec::new(),
        linked: Vec::new(),
        start_at: None,
        request_id: None,
        rerun_of: None,
        parent: None,
        children: std::collections::BTreeMap::new(),
        lease: None,
        kept: Vec::new(),
    }))
}

/// Four events of a usual size: some 600 bytes.
fn step() -> Vec<Event> {
    let succeeded = NodeSucceeded {
        p: Default::default(),
        output: Payload::new(json!({ "summary": "The licence allows commercial use.", "score": 0.87 })),
        confidence: Some(0.9),
        update: Vec::new(),
        expired: false,
        took_ms: 12,
        kept: None,
        cached_from: None,
    };
    vec![Event::NodeSucceeded(succeeded); 4]
}
