//! What one step is made of besides the attempt: deciding, JSON, encoding for the journal, the journal itself.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bandstand::driver::now;
use bandstand_engine::event::Event;
use bandstand_engine::input::{Reply, ReplyNext, Usage};
use bandstand_engine::{Input, Run, Start, Status, Timestamp};
use bandstand_store::{Append, Durability, InFlight, Options, RunChange, Store};
use serde_json::Value;

use crate::measure::{Mark, least, us_each};
use crate::{Bench, Readings, flows};

const NODES: usize = 10;
const RUNS: u64 = 300;

/// Processor time that steps took, by part.
#[derive(Clone, Copy, Default)]
struct Parts {
    start: Duration,
    decide: Duration,
    json: Duration,
    encode: Duration,
    journal_bytes: usize,
}

/// Measures them one by one, on one thread; the journal with its own.
pub(crate) fn measure(bench: &Bench) -> Result<Readings> {
    let mut rounds = Vec::new();
    for _ in 0..bench.rounds {
        rounds.push(engine_and_json()?);
    }
    let steps = RUNS * NODES as u64;
    let best =
        |of: fn(&Parts) -> Duration, things| least(rounds.iter().map(|parts| us_each(of(parts), things)));
    let bytes = rounds.first().map_or(0, |parts| parts.journal_bytes) as f64 / steps as f64;
    let mut readings = vec![
        (
            "engine: `handle` of one step's result".to_owned(),
            format!("{:.1} us", best(|parts| parts.decide, steps)),
        ),
        (
            "engine: `Start::new` and `Run::start`".to_owned(),
            format!("{:.1} us a run", best(|parts| parts.start, RUNS)),
        ),
        (
            "JSON: the call's input to text, the reply's text to a value".to_owned(),
            format!("{:.1} us", best(|parts| parts.json, steps)),
        ),
        (
            "journal: events to text and effects (`Append::new`)".to_owned(),
            format!("{:.1} us, {bytes:.0} bytes a step", best(|parts| parts.encode, steps)),
        ),
    ];
    let (mut marks, mut commits) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        marks.push(mark_and_clear(bench)?);
        commits.push([
            append(bench, Durability::Process, 1)?,
            append(bench, Durability::Full, 1)?,
            append(bench, Durability::Full, 100)?,
        ]);
    }
    readings
        .push(("mark in the file `inflight`, set and cleared".to_owned(), format!("{:.1} us", least(marks))));
    for (index, name) in
        ["alone, without fsync", "alone, durable", "100 at once, durable"].into_iter().enumerate()
    {
        let cpu = least(commits.iter().map(|all| all[index].0));
        let wall = least(commits.iter().map(|all| all[index].1));
        readings.push((
            format!("journal: one row committed, {name}"),
            format!("CPU {cpu:.0} us, wall {wall:.0} us"),
        ));
    }
    Ok(readings)
}

fn engine_and_json() -> Result<Parts> {
    let graph = flows::graph(&flows::line(NODES))?;
    let mut parts = Parts::default();
    for _ in 0..RUNS {
        let new = flows::new_run(&graph, flows::line_input());
        let mark = Mark::now();
        let start = Start::new(&graph, new, now())?;
        let (mut run, decision) = Run::start(graph.clone(), start, now());
        parts.start += mark.spent().cpu;
        let mut opened = decision.opened;
        while let Some(id) = opened.pop() {
            let input = run.command(&id).context("it is owed")?.input.clone();
            let mark = Mark::now();
            let text = black_box(input.to_string());
            let output: Value = serde_json::from_str(&text)?;
            parts.json += mark.spent().cpu;
            let reply = Reply { output: Arc::new(output), confidence: None, next: ReplyNext::Edges };
            let (seq, at) = (run.seq(), now());
            let mark = Mark::now();
            let decision = run.handle(Input::Done { id, reply, usage: Usage::default() }, at)?;
            parts.decide += mark.spent().cpu;
            opened = decision.opened;
            let mark = Mark::now();
            let append = Append::new("run-1".into(), seq, at, decision.events, None);
            parts.encode += mark.spent().cpu;
            parts.journal_bytes += append.events.len();
        }
        ensure!(run.status() == Status::Succeeded, "the measured run came to {:?}", run.status());
    }
    Ok(parts)
}

fn mark_and_clear(bench: &Bench) -> Result<f64> {
    const MARKS: u64 = 5_000;
    let folder = bench.folder()?;
    let marks = InFlight::open(folder.path())?;
    let begun = Mark::now();
    for _ in 0..MARKS {
        let mark = marks.mark("01890a5d-ac96-774b-bcce-b302099a8057", "n1@1#1")?;
        marks.clear(mark)?;
    }
    Ok(us_each(begun.spent().cpu, MARKS))
}

/// CPU and wall of one row of a step's usual size, so many runs at once, in microseconds.
fn append(bench: &Bench, durability: Durability, runs: usize) -> Result<(f64, f64)> {
    const ROWS: u64 = 1_000;
    let folder = bench.folder()?;
    let store = Store::open(folder.path(), Options { durability, ..Options::default() })?;
    // Each run begins with an event of its own: the store refuses two runs of one id.
    let begun: Vec<(Vec<Event>, Vec<Event>)> = (0..runs).map(|_| usual_events()).collect::<Result<_>>()?;
    let step = &begun.first().context("at least one run")?.1;
    let (sender, durable) = channel();
    let ids: Vec<Arc<str>> = begun.iter().map(|(started, _)| id_of(started)).collect::<Result<_>>()?;
    let hand_over = |run: usize, seq: u64, events: &[Event], change: Option<RunChange>| {
        let (sender, events_count) = (sender.clone(), events.len() as u64);
        let id = ids[run].clone();
        store.append(Append::new(id, seq, Timestamp(0), events.to_vec(), change), move |end| {
            drop(sender.send((run, seq + events_count, end)));
        })
    };
    for (run, (started, _)) in begun.iter().enumerate() {
        hand_over(run, 0, started, None)?;
    }
    let mut waiting = Vec::new();
    for _ in 0..runs {
        let (run, next, end) = durable.recv()?;
        end?;
        waiting.push((run, next));
    }
    let mark = Mark::now();
    for (run, next) in waiting {
        hand_over(run, next, step, None)?;
    }
    let rows = ROWS.max(50 * runs as u64);
    for _ in 0..rows {
        let (run, next, end) = durable.recv()?;
        end?;
        hand_over(run, next, step, None)?;
    }
    let spent = mark.spent();
    store.close();
    Ok((us_each(spent.cpu, rows), us_each(spent.wall, rows)))
}

/// The id in a run's first event.
fn id_of(started: &[Event]) -> Result<Arc<str>> {
    match started.first() {
        Some(Event::RunStarted(started)) => Ok(started.run_id.as_str().into()),
        other => anyhow::bail!("a run begins with {other:?}"),
    }
}

/// The first row of a run of the line, and a row from its middle.
fn usual_events() -> Result<(Vec<Event>, Vec<Event>)> {
    let graph = flows::graph(&flows::line(NODES))?;
    let start = Start::new(&graph, flows::new_run(&graph, flows::line_input()), now())?;
    let (mut run, decision) = Run::start(graph, start, now());
    let id = decision.opened.first().context("a call")?.clone();
    let output = run.command(&id).context("it is owed")?.input.clone();
    let reply = Reply { output, confidence: None, next: ReplyNext::Edges };
    let step = run.handle(Input::Done { id, reply, usage: Usage::default() }, now())?;
    Ok((decision.events, step.events))
}
