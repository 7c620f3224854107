//! Figures (a), (b) and (h): a line of ten nodes, one run after the other, 200 at once, and by kept replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use bandstand::host::{Durability, Host, HostOptions, Settled, StartRequest};
use bandstand_engine::Status;

use crate::measure::{Mark, Spent, least, median, ms, us_each};
use crate::{Bench, Readings, durable, flows};

const NODES: usize = 10;
/// Runs measured together, one after the other.
const RUNS: u64 = 40;
/// Runs at once.
const AT_ONCE: u64 = 200;
/// Runs of each of them.
const RUNS_EACH: u64 = 10;

/// Figure (a).
pub(crate) async fn one(bench: &Bench) -> Result<Readings> {
    let mut readings = Readings::new();
    let folder = bench.folder()?;
    let (fsync, fsync_p99) = durable::fsync(folder.path())?;
    readings.push((
        "write 12 kB and fdatasync, nothing else".to_owned(),
        format!("median {:.2} ms, p99 {:.2} ms", ms(fsync), ms(fsync_p99)),
    ));
    for (durability, name) in [(Durability::Full, "durable"), (Durability::Process, "without fsync")] {
        let folder = bench.folder()?;
        let host = Host::open(HostOptions { durability, ..HostOptions::new(folder.path()) }).await?;
        let line = flows::request(&flows::line(NODES), &bench.agent, flows::line_input())?;
        let single = flows::request(&flows::line(1), &bench.agent, flows::line_input())?;
        run_to_end(&host, &line).await?;
        let (mut lines, mut singles, mut commits) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            let before = host.stats().commits;
            lines.push(series(&host, &line).await?);
            commits.push((host.stats().commits - before) as f64 / RUNS as f64);
            singles.push(series(&host, &single).await?);
        }
        let steps = RUNS * NODES as u64;
        let further = |of: fn(&Spent) -> f64| {
            let pairs = lines.iter().zip(&singles);
            median(
                pairs
                    .map(|(line, single)| (of(line) - of(single)) * 1e6 / (RUNS * (NODES as u64 - 1)) as f64),
            )
        };
        readings.push((
            format!("{name}: CPU per step, the run's start and end shared out"),
            format!(
                "best {:.0} us, median {:.0} us",
                least(lines.iter().map(|spent| us_each(spent.cpu, steps))),
                median(lines.iter().map(|spent| us_each(spent.cpu, steps)))
            ),
        ));
        readings.push((
            format!("{name}: CPU of each further step"),
            format!("median {:.0} us", further(|spent| spent.cpu.as_secs_f64())),
        ));
        readings.push((
            format!("{name}: wall per step, the run's start and end shared out"),
            format!(
                "best {:.0} us, median {:.0} us",
                least(lines.iter().map(|spent| us_each(spent.wall, steps))),
                median(lines.iter().map(|spent| us_each(spent.wall, steps)))
            ),
        ));
        readings.push((
            format!("{name}: wall of each further step"),
            format!("median {:.0} us", further(|spent| spent.wall.as_secs_f64())),
        ));
        let commits = median(commits);
        readings.push((
            format!("{name}: commits"),
            format!("{commits:.1} a run, {:.2} a step", commits / NODES as f64),
        ));
        host.close().await?;
    }
    Ok(readings)
}

/// Figure (b).
pub(crate) async fn many(bench: &Bench) -> Result<Readings> {
    let folder = bench.folder()?;
    let host = Host::open(HostOptions::new(folder.path())).await?;
    let line = Arc::new(flows::request(&flows::line(NODES), &bench.agent, flows::line_input())?);
    run_to_end(&host, &line).await?;
    let steps = AT_ONCE * RUNS_EACH * NODES as u64;
    let (mut rates, mut cpus, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let before = host.stats();
        let mark = Mark::now();
        let left = Arc::new(AtomicU64::new(AT_ONCE * RUNS_EACH));
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (host, line, left) = (host.clone(), line.clone(), left.clone());
                let take = move || {
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                };
                tokio::spawn(async move {
                    while take() {
                        run_to_end(&host, &line).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.await??;
        }
        let spent = mark.spent();
        let after = host.stats();
        rates.push(steps as f64 / spent.wall.as_secs_f64());
        cpus.push(us_each(spent.cpu, steps));
        commits.push((after.rows - before.rows) as f64 / (after.commits - before.commits) as f64);
    }
    host.close().await?;
    Ok(vec![
        (
            format!("{AT_ONCE} runs at once, steps per second, starts of runs included"),
            format!("best {:.0}, median {:.0}", -least(rates.iter().map(|rate| -rate)), median(rates)),
        ),
        (
            "CPU per step".to_owned(),
            format!("best {:.0} us, median {:.0} us", least(cpus.iter().copied()), median(cpus)),
        ),
        ("rows per commit".to_owned(), format!("median {:.0}", median(commits))),
    ])
}

/// Figure (h). The first run of the kept line is called; those that are measured are not.
pub(crate) async fn kept(bench: &Bench) -> Result<Readings> {
    let mut readings = Readings::new();
    for (durability, name) in [(Durability::Full, "durable"), (Durability::Process, "without fsync")] {
        let folder = bench.folder()?;
        let host = Host::open(HostOptions { durability, ..HostOptions::new(folder.path()) }).await?;
        let called = flows::request(&flows::line(NODES), &bench.agent, flows::line_input())?;
        let kept = flows::request(&flows::kept_line(NODES), &bench.agent, flows::line_input())?;
        run_to_end(&host, &called).await?;
        run_to_end(&host, &kept).await?;
        let (mut calls, mut hits) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            calls.push(series(&host, &called).await?);
            hits.push(series(&host, &kept).await?);
        }
        let steps = RUNS * NODES as u64;
        for (what, spent) in [("called", &calls), ("kept", &hits)] {
            readings.push((
                format!("{name}, {what}: CPU and wall per step"),
                format!(
                    "best {:.0} and {:.0} us, median {:.0} and {:.0} us",
                    least(spent.iter().map(|spent| us_each(spent.cpu, steps))),
                    least(spent.iter().map(|spent| us_each(spent.wall, steps))),
                    median(spent.iter().map(|spent| us_each(spent.cpu, steps))),
                    median(spent.iter().map(|spent| us_each(spent.wall, steps)))
                ),
            ));
        }
        host.close().await?;
    }
    Ok(readings)
}

/// So many runs, one after the other.
async fn series(host: &Host, request: &StartRequest) -> Result<Spent> {
    let mark = Mark::now();
    for _ in 0..RUNS {
        run_to_end(host, request).await?;
    }
    Ok(mark.spent())
}

/// One run, which must succeed. Its id.
pub(crate) async fn run_to_end(host: &Host, request: &StartRequest) -> Result<String> {
    let run_id = host.start_run(request.clone()).await?;
    let settled = host.until_settled(&run_id).await?;
    ensure!(settled == Settled::Ended(Status::Succeeded), "the measured run came to {settled:?}");
    Ok(run_id)
}
