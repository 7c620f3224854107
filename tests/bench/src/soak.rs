//! Figure (j): very many trivial calls, one after the other and some at once, and what the process holds meanwhile:
//! memory, open files, threads. First by the sandbox alone, then as steps of runs of a whole host.
//!
//! What comes at the end is held against what was there after the first tenth, in which pools and caches fill.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};
use bandstand::host::{Durability, Host, HostOptions};
use bandstand_sandbox::{Grants, Plugin, Sandbox, Settings};

use crate::line::run_to_end;
use crate::measure::{Held, Mark, held, us_each};
use crate::{Bench, Readings, flows};

/// Calls by the sandbox alone, when nobody says how many.
pub(crate) const CALLS: u64 = 5_000_000;
/// Of so many calls one is made by the whole host, too.
const HOST_SHARE: u64 = 10;
/// Calls that are under way at once.
const AT_ONCE: u64 = 8;
/// Looks at what is held.
const LOOKS: u64 = 50;
/// Steps of each run.
const NODES: usize = 10;

/// Measures it.
pub(crate) async fn measure(bench: &Bench) -> Result<Readings> {
    let mut readings = sandbox_alone(bench).await?;
    readings.extend(whole_host(bench).await?);
    Ok(readings)
}

async fn sandbox_alone(bench: &Bench) -> Result<Readings> {
    let sandbox = Arc::new(Sandbox::new(Settings::default())?);
    let plugin = sandbox.load(&bench.agent, &Grants::default())?;
    let input: Arc<str> = flows::line_input().to_string().into();
    let share = bench.calls / LOOKS;
    let (mark, mut looks) = (Mark::now(), vec![held()]);
    for _ in 0..LOOKS {
        let (sandbox, plugin, input) = (sandbox.clone(), plugin.clone(), input.clone());
        at_once(share, move |_| call(sandbox.clone(), plugin.clone(), input.clone())).await?;
        looks.push(held());
    }
    let spent = mark.spent();
    let mut readings = flat(&format!("{} calls by the sandbox, {AT_ONCE} at once", share * LOOKS), &looks);
    readings.push(("CPU a call".to_owned(), format!("{:.0} us", us_each(spent.cpu, share * LOOKS))));
    Ok(readings)
}

async fn call(sandbox: Arc<Sandbox>, plugin: Plugin, input: Arc<str>) -> Result<()> {
    let outcome = sandbox.call(&plugin, flows::call(&input)).await;
    outcome.result.map(drop).map_err(|failure| anyhow!("{failure}"))
}

async fn whole_host(bench: &Bench) -> Result<Readings> {
    let folder = bench.folder()?;
    // What the disk takes is not the matter here.
    let options = HostOptions { durability: Durability::Process, ..HostOptions::new(folder.path()) };
    let host = Host::open(options).await?;
    let line = Arc::new(flows::request(&flows::line(NODES), &bench.agent, flows::line_input())?);
    let runs = bench.calls / HOST_SHARE / NODES as u64 / LOOKS;
    let (mark, mut looks) = (Mark::now(), vec![held()]);
    for _ in 0..LOOKS {
        let (host, line) = (host.clone(), line.clone());
        let run = move |_| {
            let (host, line) = (host.clone(), line.clone());
            async move { run_to_end(&host, &line).await.map(drop) }
        };
        at_once(runs, run).await?;
        looks.push(held());
    }
    let (spent, steps) = (mark.spent(), runs * LOOKS * NODES as u64);
    host.close().await?;
    let mut readings = flat(&format!("{steps} steps of runs by the host, {AT_ONCE} runs at once"), &looks);
    readings.push(("CPU a step".to_owned(), format!("{:.0} us", us_each(spent.cpu, steps))));
    Ok(readings)
}

/// Makes so many of these, some at once.
async fn at_once<F>(number: u64, make: impl Fn(u64) -> F + Clone + Send + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (next, make) = (next.clone(), make.clone());
            tokio::spawn(async move {
                loop {
                    let one = next.fetch_add(1, Ordering::Relaxed);
                    if one >= number {
                        return anyhow::Ok(());
                    }
                    make(one).await?;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// What was held at a tenth of the way, at most after that, and at the end.
fn flat(what: &str, looks: &[Held]) -> Readings {
    let early = looks.get(looks.len() / 10).copied().unwrap_or_default();
    let late = looks.get(looks.len() / 10..).unwrap_or_default();
    let row = |name: &str, of: fn(&Held) -> f64, digits: usize| {
        let most = late.iter().map(of).fold(0.0, f64::max);
        let end = looks.last().map_or(0.0, of);
        let text = format!("{:.digits$}, at most {most:.digits$}, {end:.digits$}", of(&early));
        (format!("{what}: {name}, after a tenth, later, at the end"), text)
    };
    vec![
        row("resident memory in MB", |held| held.memory.now_mb, 1),
        row("of it of no file", |held| held.memory.anonymous_mb, 1),
        row("open files", |held| held.files as f64, 0),
        row("threads", |held| held.threads as f64, 0),
    ]
}
