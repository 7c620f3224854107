//! Figure (d): how much a loop of 1,000 steps leaves on disk.

use std::path::Path;

use anyhow::Result;
use bandstand::host::{Host, HostOptions};
use bandstand_store::FILE_NAME;
use serde_json::json;

use crate::line::run_to_end;
use crate::measure::{Mark, us_each};
use crate::{Bench, Readings, flows};

const TURNS: usize = 1_000;
/// Of the channel that never changes. Bytes.
const LARGE_BYTES: usize = 10_000;
/// Of the channel that each turn changes, about. Bytes.
const SMALL_BYTES: usize = 96;

/// Measures it: the file before and after, each time with the log moved into it.
pub(crate) async fn measure(bench: &Bench) -> Result<Readings> {
    let folder = bench.folder()?;
    let input = json!({ "large": "l".repeat(LARGE_BYTES), "text": "s".repeat(SMALL_BYTES) });
    // The first run brings what is kept once, the documents, and pages that are begun.
    let host = Host::open(HostOptions::new(folder.path())).await?;
    run_to_end(&host, &flows::request(&flows::turns(2), &bench.agent, input.clone())?).await?;
    host.close().await?;
    drop(host);
    let before = file_bytes(folder.path())?;
    let host = Host::open(HostOptions::new(folder.path())).await?;
    let mark = Mark::now();
    run_to_end(&host, &flows::request(&flows::turns(TURNS), &bench.agent, input)?).await?;
    let spent = mark.spent();
    let stats = host.stats();
    host.close().await?;
    drop(host);
    let after = file_bytes(folder.path())?;
    Ok(vec![
        (
            format!("loop of {TURNS} steps, 10 kB of state, 100 bytes change: growth of the file"),
            format!(
                "{:.0} kB, {:.0} bytes a step; handed to the store {:.0} bytes a step",
                (after - before) as f64 / 1e3,
                (after - before) as f64 / TURNS as f64,
                stats.bytes as f64 / TURNS as f64
            ),
        ),
        (
            "CPU and wall per step of the loop".to_owned(),
            format!(
                "{:.0} us and {:.0} us",
                us_each(spent.cpu, TURNS as u64),
                us_each(spent.wall, TURNS as u64)
            ),
        ),
    ])
}

fn file_bytes(dir: &Path) -> Result<u64> {
    Ok(std::fs::metadata(dir.join(FILE_NAME))?.len())
}
