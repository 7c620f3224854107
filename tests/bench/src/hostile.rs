//! Figure (i): what a step of an ordinary run takes beside each attack of `tests/sandbox`, made 100 times at once, against
//! what it takes in a sandbox without attacks. A run is a line of calls, one after the other. An attack that does not come
//! to what it must, or a call that does not answer, is an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bandstand_hostile::{Attack, answers, attacks, ordinary, sandbox};
use bandstand_sandbox::{Plugin, Sandbox};
use tokio::task::JoinHandle;

use crate::measure::{median, ms};
use crate::{Bench, Readings};

/// How often each attack is made at once.
const ATTACKS: u32 = 100;
/// Ordinary runs beside them, all at once, too.
const RUNS: u32 = 50;
/// Steps of each run.
const STEPS: u32 = 20;

/// Measures it.
pub(crate) async fn measure(bench: &Bench) -> Result<Readings> {
    // Room for all of them: what waiting for a slot costs is another matter.
    let sandbox = Arc::new(sandbox((ATTACKS + RUNS) as usize));
    let plugin = ordinary(&sandbox);
    let run = |number| timed(sandbox.clone(), plugin.clone(), number);
    // The first one warms up.
    finished((0..RUNS).map(run).collect()).await?;
    let (mut beside, mut all_alone) = (Vec::new(), Vec::new());
    for attack in attacks() {
        let loaded = attack.load(&sandbox).map_err(|broken| anyhow!(broken))?;
        let (mut medians, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            // At the same moment, since a shared machine is not as quick at every moment.
            alone.push(median(finished((0..RUNS).map(run).collect()).await?));
            let (mut attackers, mut healthy) = (Vec::new(), Vec::new());
            for number in 0..ATTACKS {
                attackers.push(again(sandbox.clone(), attack.clone(), loaded.clone()));
                if number % (ATTACKS / RUNS) == 0 {
                    healthy.push(run(number));
                }
            }
            medians.push(median(finished(healthy).await?));
            for attacker in attackers {
                attacker.await?.map_err(|broken| anyhow!(broken))?;
            }
            ensure!(sandbox.instances_in_use() == 0, "{} still holds an instance", attack.name);
        }
        let (taken, alone) = (median(medians), median(alone));
        beside.push((attack.name, taken, taken / alone));
        all_alone.push(alone);
    }
    beside.sort_by(|one, other| other.2.total_cmp(&one.2));
    let mut readings = vec![(
        format!("{RUNS} ordinary runs of {STEPS} steps at once, no attack: median step"),
        format!("{:.2} ms", median(all_alone)),
    )];
    let rank = ["worst", "second", "third"];
    readings.extend(rank.iter().zip(&beside).map(|(rank, (name, taken, by_alone))| {
        let what = format!("the same beside {ATTACKS} times the {rank} of {} attacks", beside.len());
        (what, format!("`{name}`: {taken:.2} ms, {by_alone:.2}x"))
    }));
    let usual = median(beside.iter().map(|(_, _, by_alone)| *by_alone));
    let slower = beside.iter().filter(|(_, _, by_alone)| *by_alone > 1.5);
    let slower: Vec<String> = slower.map(|(name, _, by_alone)| format!("{name} {by_alone:.2}x")).collect();
    readings.push((
        "the same beside the attack in the middle; attacks beyond 1.5x".to_owned(),
        format!("{usual:.2}x; {}: {}", slower.len(), slower.join(", ")),
    ));
    Ok(readings)
}

/// One more of an attack, beside all others.
fn again(
    sandbox: Arc<Sandbox>,
    attack: Attack,
    loaded: Result<Plugin, String>,
) -> JoinHandle<Result<(), String>> {
    match loaded {
        Ok(plugin) => {
            tokio::spawn(
                async move { attack.call(&sandbox, &plugin, Duration::from_secs(60)).await.map(drop) },
            )
        }
        // What is refused never runs: the attack is that it is read.
        Err(_) => tokio::task::spawn_blocking(move || attack.load(&sandbox).map(drop)),
    }
}

/// An ordinary run, and what each of its steps took. Milliseconds.
fn timed(sandbox: Arc<Sandbox>, plugin: Plugin, number: u32) -> JoinHandle<Result<Vec<f64>, String>> {
    tokio::spawn(async move {
        let mut taken = Vec::with_capacity(STEPS as usize);
        for _ in 0..STEPS {
            let begun = Instant::now();
            answers(&sandbox, &plugin, number).await?;
            taken.push(ms(begun.elapsed()));
        }
        Ok(taken)
    })
}

/// What each step of all of them took.
async fn finished(runs: Vec<JoinHandle<Result<Vec<f64>, String>>>) -> Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(runs.len() * STEPS as usize);
    for run in runs {
        taken.extend(run.await?.map_err(|broken| anyhow!(broken))?);
    }
    Ok(taken)
}
