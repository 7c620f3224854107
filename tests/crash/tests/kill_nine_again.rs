//! `kill -9` at random moments while runs are forked and retried. Afterwards each fork that was asked for is there once,
//! each failed run was retried once, all ended as computed, and the run that was forked is as it was.
//!
//! `BANDSTAND_CRASH_ROUNDS` sets the number of kills (12 by default), `BANDSTAND_CRASH_SEED` the moments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use bandstand_crash::{Ended, Process, Random, Site, sleep_ms};
use serde_json::{Value, json};

const FORKS: u64 = 20;
const FAILED: usize = 20;
const ROUNDS_DEFAULT: u64 = 12;
const WORKFLOW: &str = include_str!("kill_nine_again.yaml");

/// What is asked for again and again until it is known to be done.
#[derive(Clone)]
enum Wish {
    /// The fork of that number.
    Fork(u64),
    /// A retry of that run.
    Retry(String),
}

struct Scene {
    site: Site,
    /// The run that is forked.
    original: String,
    /// The forks that were acknowledged.
    forks: BTreeMap<u64, String>,
    kills: u64,
    holders_killed: u64,
}

impl Scene {
    fn start(&self, wish: &Wish) -> Process {
        match wish {
            Wish::Fork(n) => {
                let (request, total) = (format!("fork-{n}"), format!("state.total={n}"));
                let fork = ["runs", "fork", &self.original, "--from", "nap", "--set", &total];
                self.site.start(&[&fork[..], &["--request", &request, "--no-ask"]].concat())
            }
            Wish::Retry(run_id) => self.site.start(&["runs", "retry", run_id, "--no-ask"]),
        }
    }

    /// What it promised, whatever became of it then; whether it has to be asked for again.
    fn keep(&mut self, wish: &Wish, ended: &Ended) -> bool {
        match wish {
            Wish::Fork(n) => {
                let Some(run_id) = ended.run_id() else { return true };
                let before = self.forks.insert(*n, run_id.clone());
                assert!(before.is_none_or(|before| before == run_id), "fork {n} is two runs: {ended}");
                false
            }
            Wish::Retry(run_id) => self.site.journal().status(run_id).as_deref() == Some("failed"),
        }
    }

    fn holder(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.site.data().join("host.lock")).ok()?;
        let lock: Value = serde_json::from_str(&text).ok()?;
        lock["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Some processes side by side, killed at random moments.
    fn one_round(&mut self, random: &mut Random, wishes: &mut Vec<Wish>, left: u64) {
        let mut going: Vec<(Option<Wish>, Process)> =
            vec![(None, self.site.start(&["runs", "drive", "--all"]))];
        for _ in 0..(wishes.len() as u64).div_ceil(left) {
            let Some(wish) = random.take(wishes) else { break };
            // Twice at once: it must not be done twice.
            going.extend([(Some(wish.clone()), self.start(&wish)), (Some(wish.clone()), self.start(&wish))]);
        }
        let mut open: Vec<Wish> = Vec::new();
        while !going.is_empty() {
            sleep_ms(random.between(5, 300));
            let now = if random.between(0, 2) == 0 { 1 } else { going.len() };
            for _ in 0..now {
                let Some((wish, mut process)) = random.take(&mut going) else { break };
                let holds = self.holder() == Some(process.id());
                self.kills += u64::from(process.is_alive());
                self.holders_killed += u64::from(process.is_alive() && holds);
                let ended = process.kill_nine();
                // 3: the same retry was taken from the other process.
                let codes = [Some(0), Some(1), Some(3), Some(4)];
                assert!(ended.signal == Some(9) || codes.contains(&ended.code), "{ended}");
                assert!(ended.code != Some(3) || matches!(wish, Some(Wish::Retry(_))), "{ended}");
                if let Some(wish) = wish
                    && self.keep(&wish, &ended)
                {
                    open.push(wish);
                }
            }
        }
        // Of the two that asked for the same, one may have been told.
        let (forks, journal) = (&self.forks, self.site.journal());
        let mut seen = BTreeSet::new();
        wishes.extend(open.into_iter().filter(|wish| match wish {
            Wish::Fork(n) => !forks.contains_key(n) && seen.insert(n.to_string()),
            Wish::Retry(run_id) => {
                journal.status(run_id).as_deref() == Some("failed") && seen.insert(run_id.clone())
            }
        }));
    }

    fn check(&self, failed: &[String], before: &[bandstand_crash::Row]) {
        let journal = self.site.journal();
        assert_eq!(journal.integrity(), "ok");
        assert_eq!(journal.events(&self.original), before, "the run that was forked is as it was");
        let runs: BTreeMap<String, String> = journal.runs().into_iter().collect();
        assert_eq!(runs.len() as u64, 1 + failed.len() as u64 + FORKS, "{runs:?}");
        for (n, run_id) in &self.forks {
            let adopted = &journal.of_type(run_id, "run.adopted")[0].event;
            assert_eq!(adopted["from"]["run"], json!(self.original), "fork {n}: {run_id}");
            let ended = journal.of_type(run_id, "run.succeeded");
            assert_eq!(ended[0].event["output"]["v"], json!({ "total": n + 1110 }), "fork {n}: {run_id}");
        }
        for run_id in failed {
            assert_eq!(journal.of_type(run_id, "run.retried").len(), 1, "{run_id}");
            let ended = journal.of_type(run_id, "run.succeeded");
            assert_eq!(ended[0].event["output"]["v"], json!({ "total": 1115 }), "{run_id}");
            let attempts = journal.of_type(run_id, "attempt.succeeded");
            let left: Vec<_> = attempts.iter().filter(|row| row.event["p"] == "pair@1/left@1").collect();
            assert_eq!((left.len(), &left[0].event["attempt"]), (1, &json!(4)), "{run_id}");
        }
        drop(journal);
        for run_id in runs.keys() {
            self.site.call(&["runs", "replay", run_id]).with_code(0);
        }
    }
}

// R1.6, R5.4, R5.5
#[test]
fn kill_nine_while_runs_are_forked_and_retried() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) =
        (number("BANDSTAND_CRASH_ROUNDS", ROUNDS_DEFAULT), number("BANDSTAND_CRASH_SEED", 1));
    println!(
        "seed {seed}, {rounds} rounds; again: BANDSTAND_CRASH_ROUNDS={rounds} BANDSTAND_CRASH_SEED={seed}"
    );
    let mut random = Random::new(seed);
    let site = Site::new(&[("again.yaml", WORKFLOW)]);
    let original = site.run("again.yaml", "{\"fails\": 0}").wait().with_code(0);
    assert_eq!(original.outcome()["result"], json!({ "total": 1115 }));
    let original = original.run_id().unwrap();
    let failing: Vec<Process> = (0..FAILED).map(|_| site.run("again.yaml", "{\"fails\": 3}")).collect();
    let failed: Vec<String> =
        failing.into_iter().map(|process| process.wait().with_code(1).run_id().unwrap()).collect();
    let before = site.journal().events(&original);
    let mut scene = Scene { site, original, forks: BTreeMap::new(), kills: 0, holders_killed: 0 };

    let mut wishes: Vec<Wish> = (1..=FORKS).map(Wish::Fork).collect();
    wishes.extend(failed.iter().cloned().map(Wish::Retry));
    for left in (1..=rounds * 2).rev() {
        if scene.holders_killed >= rounds {
            break;
        }
        scene.one_round(&mut random, &mut wishes, left.min(rounds));
    }
    assert!(scene.holders_killed * 2 >= rounds, "too few were killed: {}", scene.holders_killed);
    println!(
        "{} kills, {} of them of the holder; {} wishes were open after the last",
        scene.kills,
        scene.holders_killed,
        wishes.len()
    );
    // From here on nobody is killed. Whoever was told is told the same again.
    let again: Vec<Wish> = (1..=FORKS).map(Wish::Fork).collect();
    for wish in wishes.iter().filter(|wish| matches!(wish, Wish::Retry(_))).chain(&again) {
        let ended = scene.start(wish).wait().with_code(0);
        scene.keep(wish, &ended);
    }
    let ended = scene.site.call(&["runs", "drive", "--all"]);
    assert_eq!(ended.code, Some(0), "{ended}");
    scene.check(&failed, &before);
}
