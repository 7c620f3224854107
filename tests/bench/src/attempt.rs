//! Figure (g): one attempt of the sandbox against a loop that only instantiates, calls and drops.

use anyhow::{Result, anyhow};
use bandstand_sandbox::{CallRequest, Grants, Plugin, Sandbox, Settings};
use tokio::runtime::Runtime;

use crate::measure::{Mark, Spent, least, median, us_each};
use crate::{Bench, Readings, flows};

/// Attempts of each round.
const ATTEMPTS: u32 = 2_000;

/// Measures it.
pub(crate) fn measure(bench: &Bench, runtime: &Runtime) -> Result<Readings> {
    let sandbox = Sandbox::new(Settings::default())?;
    let plugin = sandbox.load(&bench.agent, &Grants::default())?;
    let input = flows::line_input().to_string();
    let request = || flows::call(&input);
    let (bare, ours) = rounds(&sandbox, &plugin, runtime, &request, bench.rounds, ATTEMPTS)?;
    let of = |spans: &[Spent], cpu: bool| -> Vec<f64> {
        let spans = spans.iter();
        spans.map(|spent| us_each(if cpu { spent.cpu } else { spent.wall }, ATTEMPTS.into())).collect()
    };
    let row = |name: &str, cpu: bool| {
        let (bare, ours) = (of(&bare, cpu), of(&ours, cpu));
        let (bare_least, ours_least) = (least(bare.iter().copied()), least(ours.iter().copied()));
        (
            format!("one attempt against instantiate, call, drop: {name}"),
            format!(
                "best {ours_least:.0} us against {bare_least:.0} us, {:.2}x; medians {:.0} and {:.0} us, {:.2}x",
                ours_least / bare_least,
                median(ours.iter().copied()),
                median(bare.iter().copied()),
                median(ours) / median(bare)
            ),
        )
    };
    Ok(vec![row("CPU", true), row("wall", false)])
}

/// Calls by the bare loop and by the sandbox, in turn, after a first round that warms up.
pub(crate) fn rounds(
    sandbox: &Sandbox,
    plugin: &Plugin,
    runtime: &Runtime,
    request: &impl Fn() -> CallRequest,
    rounds: u32,
    calls: u32,
) -> Result<(Vec<Spent>, Vec<Spent>)> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mark = Mark::now();
        sandbox.bench_bare(plugin, &request(), calls).map_err(|problem| anyhow!(problem))?;
        let bare_spent = mark.spent();
        let mark = Mark::now();
        runtime.block_on(async {
            for _ in 0..calls {
                let outcome = sandbox.call(plugin, request()).await;
                outcome.result.map_err(|failure| anyhow!("{}", failure.message))?;
            }
            anyhow::Ok(())
        })?;
        if round > 0 {
            bare.push(bare_spent);
            ours.push(mark.spent());
        }
    }
    Ok((bare, ours))
}
