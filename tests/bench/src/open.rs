//! Opening a run of 100,000 events: from its latest snapshot and the tail, and, for comparison, from its first event. The run
//! is made by the engine and kept in the store, without agents.

use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, ensure};
use bandstand::driver::now;
use bandstand_engine::input::{Reply, ReplyNext, Usage};
use bandstand_engine::{Graph, Input, Run, Snapshot, Start};
use bandstand_store::{Append, From, Options, Store};
use serde_json::json;

use crate::measure::{Mark, least, median, ms};
use crate::{Bench, Readings, flows};

/// Events of the run, at least.
const EVENTS: u64 = 100_000;
/// Events between two snapshots, as the driver keeps them.
const SNAPSHOT_EVENTS: u64 = 500;
/// Of the channel that never changes. Bytes.
const LARGE_BYTES: usize = 10_000;

/// Makes the run, then opens it again and again.
pub(crate) fn measure(bench: &Bench) -> Result<Readings> {
    let folder = bench.folder()?;
    let store = Store::open(folder.path(), Options::default())?;
    let graph = flows::graph(&flows::turns(100_000))?;
    let run = make(&store, &graph)?;
    store.close();
    let store = Store::open(folder.path(), Options::default())?;
    let mut times = Vec::new();
    for _ in 0..bench.rounds * 4 {
        let mark = Mark::now();
        let (opened, tail) = open(&store, run.id(), &graph, From::Snapshot)?;
        times.push(ms(mark.spent().wall));
        ensure!(opened.is_same(&run), "the opened run is another one");
        ensure!(tail < SNAPSHOT_EVENTS * 2, "a tail of {tail} events");
    }
    let mark = Mark::now();
    let (opened, _) = open(&store, run.id(), &graph, From::Start)?;
    let whole = ms(mark.spent().wall);
    ensure!(opened.is_same(&run), "the run folded from its first event is another one");
    Ok(vec![(
        format!("opening a run of {} events with 10 kB of state", run.seq()),
        format!(
            "best {:.1} ms, median {:.1} ms; from its first event {whole:.0} ms",
            least(times.iter().copied()),
            median(times.iter().copied())
        ),
    )])
}

fn make(store: &Store, graph: &Arc<Graph>) -> Result<Run> {
    let input = json!({ "large": "l".repeat(LARGE_BYTES), "text": "s" });
    let (run_id, at) = (Arc::<str>::from("run-of-100-000"), now());
    let new = bandstand_engine::run::NewRun { run_id: run_id.to_string(), ..flows::new_run(graph, input) };
    let (mut run, decision) = Run::start(graph.clone(), Start::new(graph, new, at)?, at);
    let (mut opened, mut snapshot) = (decision.opened, 0);
    store.append(Append::new(run_id.clone(), 0, at, decision.events, None), |_| ())?;
    let (sender, answers) = channel();
    while run.seq() < EVENTS {
        let id = opened.pop().context("a turn is owed")?;
        let output = Arc::new(json!({ "text": format!("{:0>96}", run.seq()) }));
        let reply = Reply { output, confidence: None, next: ReplyNext::Edges };
        let (seq, at) = (run.seq(), now());
        let decision = run.handle(Input::Done { id, reply, usage: Usage::default() }, at)?;
        opened = decision.opened;
        let sender = sender.clone();
        store.append(Append::new(run_id.clone(), seq, at, decision.events, None), move |end| {
            drop(sender.send(end));
        })?;
        if run.seq() - snapshot >= SNAPSHOT_EVENTS {
            snapshot = run.seq();
            // Only the last one counts, but the queue must take it.
            answers.try_iter().last();
            store.keep_snapshot(run_id.clone(), snapshot, serde_json::to_vec(&run.snapshot())?);
        }
    }
    drop(sender);
    for end in answers {
        end?;
    }
    Ok(run)
}

/// As a host loads a run.
fn open(store: &Store, run_id: &str, graph: &Arc<Graph>, from: From) -> Result<(Run, u64)> {
    let opened = store.reader().open_run(run_id, from)?;
    let snapshot = match &opened.snapshot {
        Some(stored) => Some(serde_json::from_slice::<Snapshot>(&stored.bytes)?),
        None => None,
    };
    let tail = opened.tail.len() as u64;
    Ok((Run::fold(graph.clone(), snapshot, opened.tail)?, tail))
}
