//! Figure (i): what an ordinary call takes beside each attack of `tests/sandbox`, made 100 times at once, against what it
//! takes in an idle sandbox. An attack that does not come to what it must, or a call that does not answer, is an error.

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
/// Ordinary calls beside them, all at once, too.
const CALLS: u32 = 50;

/// Measures it.
pub(crate) async fn measure(_: &Bench) -> Result<Readings> {
    // Room for all of them: what waiting for a slot costs is another matter.
    let sandbox = Arc::new(sandbox((ATTACKS + CALLS) as usize));
    let plugin = ordinary(&sandbox);
    let calls = |number| timed(sandbox.clone(), plugin.clone(), number);
    // The first ones warm up.
    let mut idle = f64::NAN;
    for _ in 0..2 {
        idle = median(finished((0..CALLS).map(calls).collect()).await?);
    }
    let mut beside = Vec::new();
    for attack in attacks() {
        let loaded = attack.load(&sandbox).map_err(|broken| anyhow!(broken))?;
        let (mut attackers, mut healthy) = (Vec::new(), Vec::new());
        for number in 0..ATTACKS {
            attackers.push(again(sandbox.clone(), attack.clone(), loaded.clone()));
            if number % (ATTACKS / CALLS) == 0 {
                healthy.push(calls(number));
            }
        }
        let taken = finished(healthy).await?;
        for attacker in attackers {
            attacker.await?.map_err(|broken| anyhow!(broken))?;
        }
        ensure!(sandbox.instances_in_use() == 0, "{} still holds an instance", attack.name);
        beside.push((attack.name, median(taken)));
    }
    beside.sort_by(|one, other| other.1.total_cmp(&one.1));
    let mut readings =
        vec![(format!("{CALLS} ordinary calls at once, idle sandbox: median"), format!("{idle:.2} ms"))];
    let rank = ["worst", "second", "third"];
    readings.extend(rank.iter().zip(&beside).map(|(rank, (name, taken))| {
        let what = format!("the same beside {ATTACKS} times the {rank} of {} attacks", beside.len());
        (what, format!("`{name}`: {taken:.2} ms, {:.1}x", taken / idle))
    }));
    let usual = median(beside.iter().map(|(_, taken)| *taken));
    readings.push(("the same beside the attack in the middle".to_owned(), format!("{usual:.2} ms")));
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

/// An ordinary call, and what it took. Milliseconds.
fn timed(sandbox: Arc<Sandbox>, plugin: Plugin, number: u32) -> JoinHandle<Result<f64, String>> {
    tokio::spawn(async move {
        let begun = Instant::now();
        answers(&sandbox, &plugin, number).await?;
        Ok(ms(begun.elapsed()))
    })
}

async fn finished(calls: Vec<JoinHandle<Result<f64, String>>>) -> Result<Vec<f64>> {
    let mut taken = Vec::with_capacity(calls.len());
    for call in calls {
        taken.push(call.await?.map_err(|broken| anyhow!(broken))?);
    }
    Ok(taken)
}
