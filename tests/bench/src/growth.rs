//! Figure (d): how much a loop leaves on disk, and whether its last steps take as long as its first.

use std::path::Path;

use anyhow::{Result, ensure};
use bandstand::host::{Host, HostOptions};
use bandstand_engine::event::Event;
use bandstand_store::{FILE_NAME, Reader};
use serde_json::json;

use crate::line::run_to_end;
use crate::measure::{Mark, Sampler, median, us_each};
use crate::{Bench, Readings, flows};

/// Steps of the loop, when nobody says how many.
pub(crate) const TURNS: usize = 1_000;
/// Fewer say nothing.
pub(crate) const TURNS_MIN: usize = 100;
/// A run may have no more steps.
pub(crate) const TURNS_MAX: usize = 100_000;
/// Of the channel that never changes. Bytes.
const LARGE_BYTES: usize = 10_000;
/// Of the channel that each turn changes, about. Bytes.
const SMALL_BYTES: usize = 96;
/// Windows of steps, each timed on its own.
const WINDOWS: usize = 100;
/// Steps of another run before the one that is timed, so that nothing of it is the first of its kind. What it leaves in the
/// file counts, by the step.
const WARM_UP: usize = 1_000;
/// Windows at each end that are compared.
const COMPARED: usize = 10;

/// Measures it: the file before and after, each time with the log moved into it.
pub(crate) async fn measure(bench: &Bench) -> Result<Readings> {
    let turns = bench.turns;
    let folder = bench.folder()?;
    let input = json!({ "large": "l".repeat(LARGE_BYTES), "text": "s".repeat(SMALL_BYTES) });
    // The first run brings what is kept once, the documents, and pages that are begun.
    let host = Host::open(HostOptions::new(folder.path())).await?;
    run_to_end(&host, &flows::request(&flows::turns(2), &bench.agent, input.clone())?).await?;
    host.close().await?;
    drop(host);
    let before = file_bytes(folder.path())?;
    let host = Host::open(HostOptions::new(folder.path())).await?;
    run_to_end(&host, &flows::request(&flows::turns(WARM_UP), &bench.agent, input.clone())?).await?;
    let (mark, sampler) = (Mark::now(), Sampler::start());
    let run_id = run_to_end(&host, &flows::request(&flows::turns(turns), &bench.agent, input)?).await?;
    let (spent, samples) = (mark.spent(), sampler.stop());
    let stats = host.stats();
    host.close().await?;
    drop(host);
    let after = file_bytes(folder.path())?;
    let edges = edges(folder.path(), &run_id, turns)?;
    let wall = compared(&edges, turns, |at_ms| at_ms * 1e3);
    let cpu = compared(&edges, turns, |at_ms| samples.cpu_us(at_ms));
    let bytes_each = (after - before) as f64 / (WARM_UP + turns) as f64;
    let of_windows = format!(
        "median of {COMPARED} windows of {} steps: from step {}, and up to step {turns}",
        turns / WINDOWS,
        turns / WINDOWS
    );
    Ok(vec![
        (
            format!("loop of {turns} steps, 10 kB of state, 100 bytes change: growth of the file"),
            format!(
                "{:.0} kB, {:.0} bytes a step; handed to the store {:.0} bytes a step",
                bytes_each * turns as f64 / 1e3,
                bytes_each,
                stats.bytes as f64 / (WARM_UP + turns) as f64
            ),
        ),
        (
            "CPU and wall per step of the loop".to_owned(),
            format!(
                "{:.0} us and {:.0} us",
                us_each(spent.cpu, turns as u64),
                us_each(spent.wall, turns as u64)
            ),
        ),
        (format!("CPU per step, {of_windows}"), cpu),
        (format!("wall per step, {of_windows}"), wall),
    ])
}

/// What each step of the first windows took, and of the last, by a clock that tells microseconds at a moment.
fn compared(edges: &[f64], turns: usize, clock: impl Fn(f64) -> f64) -> String {
    let size = (turns / WINDOWS) as f64;
    let each: Vec<f64> = edges
        .windows(2)
        .filter_map(|pair| match pair {
            [start, end] => Some((clock(*end) - clock(*start)) / size),
            _ => None,
        })
        .collect();
    let first = median(each.iter().take(COMPARED).copied());
    let last = median(each.iter().rev().take(COMPARED).copied());
    format!("{first:.0} us and {last:.0} us, {:+.1} %", (last / first - 1.0) * 100.0)
}

/// When each window ended, as the journal's times have it, in milliseconds since the Unix epoch. The first window only
/// gives its end: there the agent is loaded.
fn edges(data_dir: &Path, run_id: &str, turns: usize) -> Result<Vec<f64>> {
    let reader = Reader::open(data_dir)?;
    let (mut from, mut ends) = (0, Vec::with_capacity(turns));
    loop {
        let page = reader.history(run_id, from, 1_000)?;
        for row in &page.rows {
            let ended = row.events.iter().filter(|event| matches!(event, Event::NodeSucceeded(_))).count();
            ends.extend(std::iter::repeat_n(row.at, ended));
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    ensure!(ends.len() == turns, "{} steps of {turns} are in the journal", ends.len());
    let size = turns / WINDOWS;
    Ok(ends.iter().skip(size - 1).step_by(size).map(|at| at.0 as f64).collect())
}

fn file_bytes(dir: &Path) -> Result<u64> {
    Ok(std::fs::metadata(dir.join(FILE_NAME))?.len())
}
