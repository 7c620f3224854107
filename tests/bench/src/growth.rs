//! Figure (d): how much a loop leaves on disk, and whether its last steps take as long as its first.
//!
//! What a step takes says more about the machine of that minute than about the run. So short loops run beside the long
//! one, one after the other, and the figure is the long one's time per step by that of the short one at the same moment:
//! where steps do not slow down with their number, it is the same at both ends.

use std::path::Path;

use anyhow::{Result, ensure};
use bandstand::host::{Host, HostOptions, StartRequest};
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
/// Steps of the loops beside the one that is timed.
const BESIDE: usize = 200;
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
    let long = flows::request(&flows::turns(turns), &bench.agent, input.clone())?;
    let short = flows::request(&flows::turns(BESIDE), &bench.agent, input)?;
    let (run_id, beside) = side_by_side(&host, &long, &short).await?;
    let (spent, samples) = (mark.spent(), sampler.stop());
    let stats = host.stats();
    host.close().await?;
    drop(host);
    let after = file_bytes(folder.path())?;
    let steps = WARM_UP + turns + BESIDE * beside.len();
    let ends = ends(folder.path(), &run_id, turns)?;
    let size = turns / WINDOWS;
    let edges: Vec<f64> = ends.iter().skip(size - 1).step_by(size).copied().collect();
    let wall = compared(&edges, turns, |at_ms| at_ms * 1e3);
    let cpu = compared(&edges, turns, |at_ms| samples.cpu_us(at_ms));
    let by_short = by_short(folder.path(), &beside, &ends)?;
    let bytes_each = (after - before) as f64 / steps as f64;
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
                stats.bytes as f64 / steps as f64
            ),
        ),
        (
            format!(
                "CPU per step of it and of the {} loops of {BESIDE} beside it, wall per step of it",
                beside.len()
            ),
            format!(
                "{:.0} us and {:.0} us",
                us_each(spent.cpu, (turns + BESIDE * beside.len()) as u64),
                us_each(spent.wall, turns as u64)
            ),
        ),
        (format!("CPU of the host while it makes a step, {of_windows}"), cpu),
        (format!("wall per step, {of_windows}"), wall),
        (format!("wall per step by that of the {BESIDE}-step loop beside it, at both ends"), by_short),
    ])
}

/// Runs one to its end, and others beside it, one after the other.
async fn side_by_side(
    host: &Host,
    long: &StartRequest,
    short: &StartRequest,
) -> Result<(String, Vec<String>)> {
    let mut beside = Vec::new();
    let mut long = std::pin::pin!(run_to_end(host, long));
    loop {
        let mut one = std::pin::pin!(run_to_end(host, short));
        tokio::select! {
            run_id = &mut long => {
                beside.push(one.await?);
                return Ok((run_id?, beside));
            }
            run_id = &mut one => beside.push(run_id?),
        }
    }
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

/// How many steps the short loops made while the long one made one: medians of the first and of the last of them.
fn by_short(data_dir: &Path, beside: &[String], long: &[f64]) -> Result<String> {
    let mut each = Vec::with_capacity(beside.len());
    for run_id in beside {
        let short = ends(data_dir, run_id, BESIDE)?;
        let (Some(start), Some(end)) = (short.first(), short.last()) else { continue };
        let made = long.partition_point(|at| at <= end) - long.partition_point(|at| at <= start);
        // The last one goes on alone when the long one has ended.
        if made > 0 && long.last().is_some_and(|last| end < last) {
            each.push((BESIDE - 1) as f64 / made as f64);
        }
    }
    let compared = COMPARED.min(each.len() / 2);
    let first = median(each.iter().take(compared).copied());
    let last = median(each.iter().rev().take(compared).copied());
    Ok(format!(
        "{first:.3} and {last:.3}, {:+.1} % (medians of {compared} of {})",
        (last / first - 1.0) * 100.0,
        each.len()
    ))
}

/// When each step ended, as the journal's times have it, in milliseconds since the Unix epoch.
fn ends(data_dir: &Path, run_id: &str, turns: usize) -> Result<Vec<f64>> {
    let reader = Reader::open(data_dir)?;
    let (mut from, mut ends) = (0, Vec::with_capacity(turns));
    loop {
        let page = reader.history(run_id, from, 1_000)?;
        for row in &page.rows {
            let ended = row.events.iter().filter(|event| matches!(event, Event::NodeSucceeded(_))).count();
            ends.extend(std::iter::repeat_n(row.at.0 as f64, ended));
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    ensure!(ends.len() == turns, "{} steps of {turns} are in the journal", ends.len());
    Ok(ends)
}

fn file_bytes(dir: &Path) -> Result<u64> {
    Ok(std::fs::metadata(dir.join(FILE_NAME))?.len())
}
