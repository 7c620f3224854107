//! Figure (c): a fan-out of 100 and its join.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bandstand::driver::now;
use bandstand::host::{Durability, Host, HostOptions};
use bandstand_engine::input::{Reply, ReplyNext, Usage};
use bandstand_engine::{Input, Run, Start, Status};

use crate::line::run_to_end;
use crate::measure::{Mark, least, median, ms};
use crate::{Bench, Readings, flows};

const BRANCHES: usize = 100;
/// Runs of each round.
const RUNS: usize = 20;

/// Measures it: the engine alone, then the whole host without and with fsync.
pub(crate) async fn measure(bench: &Bench) -> Result<Readings> {
    let mut readings = Readings::new();
    let text = flows::fan(BRANCHES);
    let alone: Vec<f64> = (0..RUNS).map(|_| engine_alone(&text)).collect::<Result<_>>()?;
    readings.push((
        format!("fan-out of {BRANCHES} and join, engine alone"),
        format!("best {:.2} ms, median {:.2} ms", least(alone.iter().copied()), median(alone)),
    ));
    for (durability, name) in [(Durability::Process, "in memory (no fsync)"), (Durability::Full, "durable")] {
        let folder = bench.folder()?;
        let host = Host::open(HostOptions { durability, ..HostOptions::new(folder.path()) }).await?;
        let request = flows::request(&text, &bench.agent, flows::line_input())?;
        run_to_end(&host, &request).await?;
        let (mut walls, mut cpus, mut commits) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds as usize * RUNS {
            let before = host.stats().commits;
            let mark = Mark::now();
            run_to_end(&host, &request).await?;
            let spent = mark.spent();
            walls.push(ms(spent.wall));
            cpus.push(ms(spent.cpu));
            commits.push((host.stats().commits - before) as f64);
        }
        readings.push((
            format!("{name}: the whole run, from the request to its end"),
            format!(
                "best {:.1} ms, median {:.1} ms; CPU best {:.1} ms, median {:.1} ms",
                least(walls.iter().copied()),
                median(walls),
                least(cpus.iter().copied()),
                median(cpus)
            ),
        ));
        readings.push((
            format!("{name}: commits"),
            format!("fewest {:.0}, median {:.0}", least(commits.iter().copied()), median(commits)),
        ));
        host.close().await?;
    }
    Ok(readings)
}

fn engine_alone(text: &str) -> Result<f64> {
    let graph = flows::graph(text)?;
    let new = flows::new_run(&graph, flows::line_input());
    let mark = Mark::now();
    let at = now();
    let start = Start::new(&graph, new, at)?;
    let (mut run, decision) = Run::start(graph, start, at);
    for id in decision.opened {
        let output = run.command(&id).map(|command| command.input.clone()).unwrap_or_default();
        let reply = Reply { output, confidence: None, next: ReplyNext::Edges };
        run.handle(Input::Done { id, reply, usage: Usage::default() }, at)?;
    }
    let spent = mark.spent();
    ensure!(run.status() == Status::Succeeded, "the measured run came to {:?}", run.status());
    drop(Arc::new(run));
    Ok(ms(spent.wall))
}
