//! Figure (f): very many runs that wait for a review: what they cost a host that starts, and how one goes on.
//!
//! The runs are made by the engine and handed to the store as a host would; only the calls in between are made up.
//! The host that is measured is a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use bandstand::driver::now;
use bandstand::host::{AnswerRequest, Drive, Host, HostOptions, Settled};
use bandstand_engine::input::{Reply, ReplyNext, Usage, Verdict};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Graph, Input, Run, Start, Status};
use bandstand_store::{
    Append, FILE_NAME, From as OpenFrom, Options, Reader, ReviewFilter, RunChange, RunFilter, Store,
};
use tokio::runtime::Runtime;

use crate::measure::{Mark, median, memory, ms, us_each};
use crate::{Bench, Readings, flows};

/// Appends that may wait for the disk; above it the maker of runs waits.
const APPENDS_WAITING_MAX: u64 = 4_000;
/// Runs that go on after the restart, one after the other.
const RESUMED: usize = 20;
/// Rows of a first page.
const PAGE: u32 = 100;

/// Measures it.
pub(crate) fn measure(bench: &Bench, runtime: &Runtime) -> Result<Readings> {
    let mut readings = with(bench, runtime, 10_000)?;
    if bench.large {
        readings.extend(with(bench, runtime, 1_000_000)?);
    }
    Ok(readings)
}

fn with(bench: &Bench, runtime: &Runtime, runs: u64) -> Result<Readings> {
    let folder = bench.folder()?;
    let mark = Mark::now();
    let first = runtime.block_on(first_run(bench, folder.path()))?;
    let filled = fill(folder.path(), &first, runs)?;
    let spent = mark.spent();
    let file_bytes = std::fs::metadata(folder.path().join(FILE_NAME))?.len();
    ensure!(filled == runs, "{filled} runs wait instead of {runs}");
    let output = Command::new(std::env::current_exe()?)
        .arg("--host-of")
        .arg(folder.path())
        .arg(&first)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the measured host failed");
    let mut readings = vec![(
        format!("{runs} runs wait for a review: the file"),
        format!(
            "{:.0} MB, {:.0} bytes a run; made in {:.0} s, {:.0} us CPU a run",
            file_bytes as f64 / 1e6,
            file_bytes as f64 / runs as f64,
            spent.wall.as_secs_f64(),
            us_each(spent.cpu, runs)
        ),
    )];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (what, measured) = line.split_once('\t').ok_or_else(|| anyhow!("not a reading: {line}"))?;
        readings.push((format!("{runs} runs: {what}"), measured.to_owned()));
    }
    Ok(readings)
}

/// The host of those runs, measured from inside; what it prints, `with` reads.
pub(crate) fn child(data_dir: &Path, first: &str) -> Result<()> {
    let runtime = bandstand::host::runtime()?;
    let before = memory("self");
    let begun = Instant::now();
    let options = HostOptions { drive: Drive::All, ..HostOptions::new(data_dir) };
    let host = runtime.block_on(Host::open(options))?;
    println!("start of the host, every run its to drive\t{:.1} ms", ms(begun.elapsed()));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let idle = memory("self");
    println!(
        "memory held by the idle host\t{:.1} MB, of which {:.1} MB belong to no file (before it was opened: {:.1} MB)",
        idle.now_mb, idle.anonymous_mb, before.anonymous_mb
    );
    let begun = Instant::now();
    let reader = Reader::open(data_dir)?;
    let reviews = reader.reviews(&ReviewFilter::default(), None, PAGE)?;
    println!(
        "open a reader and list the first {PAGE} reviews\t{:.1} ms (again: {:.1} ms)",
        ms(begun.elapsed()),
        timed(|| reader.reviews(&ReviewFilter::default(), None, PAGE).map(drop))?
    );
    println!(
        "list the first {PAGE} runs; count the open reviews\t{:.1} ms; {:.1} ms",
        timed(|| reader.runs(&RunFilter::default(), None, PAGE).map(drop))?,
        timed(|| reader.open_review_count().map(drop))?
    );
    let others = reviews.iter().map(|review| review.run_id.clone()).filter(|run_id| run_id != first);
    let run_ids: Vec<String> = std::iter::once(first.to_owned()).chain(others).take(RESUMED).collect();
    let mut took = Vec::new();
    for run_id in &run_ids {
        let filter = ReviewFilter { run_id: Some(run_id.clone()), ..ReviewFilter::default() };
        let review = reader.reviews(&filter, None, 1)?.pop().context("its review")?;
        let begun = Instant::now();
        let acknowledged = runtime.block_on(async {
            host.answer(answer(run_id, review.review_id)).await?;
            let acknowledged = ms(begun.elapsed());
            let settled = host.until_settled(run_id).await?;
            ensure!(settled == Settled::Ended(Status::Succeeded), "a run came to {settled:?}");
            anyhow::Ok(acknowledged)
        })?;
        took.push((acknowledged, ms(begun.elapsed())));
    }
    let (first_acknowledged, first_ended) = took.first().copied().unwrap_or_default();
    println!(
        "answer one after the restart: durable, and run to its end\tfirst {first_acknowledged:.1} and {first_ended:.1} ms \
         (with the plugin from the cache), then median {:.1} and {:.1} ms",
        median(took.iter().skip(1).map(|(acknowledged, _)| *acknowledged)),
        median(took.iter().skip(1).map(|(_, ended)| *ended))
    );
    let after = memory("self");
    println!("peak memory of that process\t{:.1} MB", after.peak_mb);
    runtime.block_on(host.close())?;
    Ok(())
}

fn timed<E>(work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let begun = Instant::now();
    work()?;
    Ok(ms(begun.elapsed()))
}

fn answer(run_id: &str, review_id: String) -> AnswerRequest {
    AnswerRequest {
        run_id: run_id.to_owned(),
        review_id,
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision: Verdict::Approved,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
        request_id: None,
    }
}

/// A real run up to its review: brings plugin, compiled code and documents. Its id.
async fn first_run(bench: &Bench, data_dir: &Path) -> Result<String> {
    let host = Host::open(HostOptions::new(data_dir)).await?;
    let request = flows::request(&flows::review(), &bench.agent, flows::line_input())?;
    let run_id = host.start_run(request).await?;
    let settled = host.until_settled(&run_id).await?;
    ensure!(matches!(settled, Settled::WaitingForPeople { .. }), "the first run came to {settled:?}");
    host.close().await?;
    Ok(run_id)
}

/// As many more runs as are missing, pinning what the first one pins. How many wait.
fn fill(data_dir: &Path, first: &str, runs: u64) -> Result<u64> {
    let store = Store::open(data_dir, Options::default())?;
    let pins = store.reader().open_run(first, OpenFrom::Start)?.pins;
    let graph: Arc<Graph> = Arc::new(serde_json::from_str(&pins.graph.context("the graph is kept")?)?);
    let new = NewRun {
        source_digest: pins.workflow.source,
        graph_digest: pins.workflow.graph,
        plugins: pins.plugins,
        ..flows::new_run(&graph, flows::line_input())
    };
    let queue = Arc::new((Mutex::new(Waiting::default()), Condvar::new()));
    for _ in 1..runs {
        let new = NewRun { run_id: uuid::Uuid::now_v7().to_string(), ..new.clone() };
        for append in waiting_run(&graph, new)? {
            let (lock, below) = &*queue;
            let mut waiting = lock.lock().unwrap_or_else(PoisonError::into_inner);
            while waiting.appends >= APPENDS_WAITING_MAX {
                waiting = below.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if let Some(problem) = waiting.problem.take() {
                return Err(anyhow!(problem));
            }
            waiting.appends += 1;
            drop(waiting);
            let queue = queue.clone();
            store.append(append, move |end| {
                let (lock, below) = &*queue;
                let mut waiting = lock.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.appends -= 1;
                waiting.problem = end.err().map(|error| error.to_string()).or(waiting.problem.take());
                below.notify_one();
            })?;
        }
    }
    store.close();
    drop(store);
    Ok(Reader::open(data_dir)?.open_review_count()?)
}

#[derive(Default)]
struct Waiting {
    appends: u64,
    problem: Option<String>,
}

/// The two rows of a run up to its review.
fn waiting_run(graph: &Arc<Graph>, new: NewRun) -> Result<[Append; 2]> {
    let at = now();
    let id: Arc<str> = new.run_id.as_str().into();
    let start = Start::new(graph, new, at)?;
    let (mut run, begun) = Run::start(graph.clone(), start, at);
    let command = begun.opened.first().context("a call")?.clone();
    let first = Append::new(id.clone(), 0, at, begun.events, Some(change(&run)));
    let seq = run.seq();
    let output = run.command(&command).context("it is owed")?.input.clone();
    let reply = Reply { output, confidence: None, next: ReplyNext::Edges };
    let asked = run.handle(Input::Done { id: command, reply, usage: Usage::default() }, at)?;
    ensure!(run.status() == Status::Waiting, "the made run came to {:?}", run.status());
    Ok([first, Append::new(id, seq, at, asked.events, Some(change(&run)))])
}

fn change(run: &Run) -> RunChange {
    RunChange {
        status: run.status().into(),
        stage: Some(run.stage().name().to_owned()),
        held: None,
        owed: run.owed().next().is_some(),
        next_deadline: run.next_deadline(),
    }
}
