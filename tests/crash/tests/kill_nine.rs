//! `kill -9` at random moments while runs with retries, branches, waits and reviews go on. Afterwards every run must have
//! ended as if nothing had happened, nothing acknowledged may be missing, and nothing finished may have been done twice.
//!
//! `BANDSTAND_CRASH_ROUNDS` sets the number of kills (12 by default), `BANDSTAND_CRASH_SEED` the moments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use bandstand_crash::{Ended, Journal, Process, Random, Site, sleep_ms};
use serde_json::{Value, json};

const RUNS: u64 = 50;
const ROUNDS_DEFAULT: u64 = 12;
const WORKFLOW: &str = include_str!("kill_nine.yaml");

/// What the input says, and what must come of it.
struct Wanted {
    input: Value,
    status: &'static str,
    result: Value,
    /// Audit entries, by path: each agent that writes one succeeds once.
    audit: &'static [&'static str],
}

fn wanted(n: u64) -> Wanted {
    // Every seventh run fails for good, after all of its retries.
    let hopeless = n % 7 == 6;
    let fails = if hopeless { 99 } else { n % 3 };
    let input = json!({ "n": n, "fails": fails });
    if hopeless {
        return Wanted { input, status: "failed", result: Value::Null, audit: &["note@1"] };
    }
    let total = n * 2 + 3 + 4 + (0..4).map(|item| item * 10 + n).sum::<u64>();
    let items: Vec<u64> = (0..4).map(|item| item * 10 + n).collect();
    let result = json!({ "n": n, "total": total, "attempt": fails + 1, "items": items, "verdict": "ann" });
    Wanted { input, status: "succeeded", result, audit: &["note@1", "pair@1/left/two@1", "after@1"] }
}

/// What commands said, which must hold ever after.
#[derive(Default)]
struct Promises {
    /// Run ids by number of the run.
    started: BTreeMap<u64, String>,
    /// Reviews whose answer was taken.
    answered: BTreeSet<String>,
    kills: u64,
    holders_killed: u64,
}

impl Promises {
    fn keep_start(&mut self, n: u64, run_id: String) {
        let before = self.started.insert(n, run_id.clone());
        assert!(
            before.as_ref().is_none_or(|before| *before == run_id),
            "request {n} gave {run_id}, then {before:?}"
        );
    }

    fn keep_answers(&mut self, ended: &Ended) {
        let answers = ended.lines().into_iter().filter(|line| line["type"] == "answer");
        self.answered.extend(answers.map(|line| line["review_id"].as_str().unwrap().to_owned()));
    }
}

fn start_run(site: &Site, n: u64) -> Process {
    let (input, request) = (wanted(n).input.to_string(), format!("request-{n}"));
    site.start(&["run", "kill_nine.yaml", "--no-ask", "--request", &request, "--input", &input])
}

fn approve(site: &Site, review_id: &str) -> Process {
    let request = format!("answer-{review_id}");
    site.start(&["review", "approve", review_id, "--by", "ann", "--no-ask", "--request", &request])
}

// R1.6, R4.5, R5.4
#[test]
fn kill_nine() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) =
        (number("BANDSTAND_CRASH_ROUNDS", ROUNDS_DEFAULT), number("BANDSTAND_CRASH_SEED", 1));
    println!(
        "seed {seed}, {rounds} rounds; again: BANDSTAND_CRASH_ROUNDS={rounds} BANDSTAND_CRASH_SEED={seed}"
    );
    let mut random = Random::new(seed);
    let site = Site::new(&[("kill_nine.yaml", WORKFLOW)]);
    // One run without a kill: it compiles the agents, and shows what an undisturbed run comes to.
    let undisturbed = start_run(&site, RUNS + 7).wait().with_code(4);
    let mut promises = Promises::default();
    promises.keep_start(RUNS + 7, undisturbed.run_id().unwrap());
    let review_id = undisturbed.outcome()["reviews"][0].as_str().unwrap().to_owned();
    let ended = approve(&site, &review_id).wait().with_code(0);
    assert_eq!(ended.outcome()["result"], wanted(RUNS + 7).result, "{ended}");

    let mut to_start: Vec<u64> = (0..RUNS).collect();
    // Only the death of the holder counts; some rounds end before it comes.
    for left in (1..=rounds * 2).rev() {
        if promises.holders_killed >= rounds {
            break;
        }
        one_round(&site, &mut random, &mut promises, &mut to_start, left);
    }
    assert!(
        promises.holders_killed * 2 >= rounds,
        "too few were killed to show anything: {}",
        promises.holders_killed
    );
    let open = site.journal().runs().into_iter().filter(|(_, status)| !is_ended(status)).count();
    println!(
        "{} kills, {} of them of the holder; {open} runs were open after the last",
        promises.kills, promises.holders_killed
    );
    undisturbed_to_the_end(&site, &mut promises);
    check(&site.journal(), &promises);
}

fn is_ended(status: &str) -> bool {
    ["succeeded", "failed", "cancelled", "killed"].contains(&status)
}

/// Some processes side by side, killed at random moments.
fn one_round(site: &Site, random: &mut Random, promises: &mut Promises, to_start: &mut Vec<u64>, left: u64) {
    let journal = site.journal();
    let mut reviews: Vec<String> =
        journal.open_reviews().into_iter().map(|(review_id, _)| review_id).collect();
    drop(journal);
    let mut going: Vec<(Option<u64>, Process)> = Vec::new();
    for _ in 0..share(random, to_start.len(), left) {
        let Some(n) = random.take(to_start) else { break };
        going.push((Some(n), start_run(site, n)));
    }
    going.push((None, site.start(&["runs", "drive", "--all"])));
    for _ in 0..share(random, reviews.len(), left) {
        let Some(review_id) = random.take(&mut reviews) else { break };
        going.push((None, approve(site, &review_id)));
    }
    while !going.is_empty() {
        sleep_ms(random.between(5, 400));
        // Sometimes one, so that another takes over; sometimes all at once.
        let now = if random.between(0, 2) == 0 { 1 } else { going.len() };
        for _ in 0..now {
            let Some((n, mut process)) = random.take(&mut going) else { break };
            let holds = holder(site) == Some(process.id());
            promises.kills += u64::from(process.is_alive());
            promises.holders_killed += u64::from(process.is_alive() && holds);
            let ended = process.kill_nine();
            assert!(ended.signal == Some(9) || [Some(0), Some(1), Some(4)].contains(&ended.code), "{ended}");
            promises.keep_answers(&ended);
            match (n, ended.run_id()) {
                (Some(n), Some(run_id)) => promises.keep_start(n, run_id),
                // Nothing was promised: the same request is made again.
                (Some(n), None) => to_start.push(n),
                (None, _) => {}
            }
        }
    }
}

/// The work is spread over the rounds, so that there is always something to disturb.
fn share(random: &mut Random, count: usize, left: u64) -> u64 {
    let count = count as u64;
    count / left + u64::from(random.between(1, left) <= count % left)
}

/// The process that holds the data directory, as its lock file says.
fn holder(site: &Site) -> Option<u32> {
    let text = std::fs::read_to_string(site.data().join("host.lock")).ok()?;
    let lock: Value = serde_json::from_str(&text).ok()?;
    lock["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// From here on nobody is killed.
fn undisturbed_to_the_end(site: &Site, promises: &mut Promises) {
    for n in 0..RUNS {
        if promises.started.contains_key(&n) {
            continue;
        }
        let ended = start_run(site, n).wait();
        promises.keep_start(n, ended.run_id().unwrap_or_else(|| panic!("{ended}")));
    }
    let ended = site.call(&["runs", "drive", "--all"]);
    assert!([Some(0), Some(1), Some(4)].contains(&ended.code), "{ended}");
    for (review_id, _) in site.journal().open_reviews() {
        let ended = approve(site, &review_id).wait().with_code(0);
        promises.keep_answers(&ended);
    }
}

fn check(journal: &Journal, promises: &Promises) {
    assert_eq!(journal.integrity(), "ok");
    assert_eq!(journal.open_reviews(), []);
    let runs: BTreeMap<String, String> = journal.runs().into_iter().collect();
    // One run for each request, however often it was made.
    assert_eq!(runs.len() as u64, RUNS + 1, "{runs:?}");
    let (mut interrupted, mut repeated) = (0, 0);
    let audit = journal.audit();
    let mut decided = BTreeSet::new();
    for (n, run_id) in &promises.started {
        let wanted = wanted(*n);
        let events = journal.events(run_id);
        let of = |kind: &str| {
            events.iter().map(|row| &row.event).filter(move |event| event["type"] == kind).collect::<Vec<_>>()
        };
        assert_eq!(runs.get(run_id).map(String::as_str), Some(wanted.status), "run {n}: {run_id}");
        match wanted.status {
            "succeeded" => {
                assert_eq!(of("run.succeeded")[0]["output"]["v"], wanted.result, "run {n}: {run_id}")
            }
            _ => assert_eq!(of("run.failed")[0]["error"]["code"], "hopeless", "run {n}: {run_id}"),
        }
        once(run_id, &events.iter().map(|row| &row.event).collect::<Vec<_>>());
        let times = events.iter().map(|row| row.at).collect::<Vec<_>>();
        assert!(times.is_sorted(), "the times of {run_id} fall");
        decided.extend(
            of("review.decided").into_iter().map(|event| event["review_id"].as_str().unwrap().to_owned()),
        );
        interrupted += of("attempt.interrupted").len();
        for path in wanted.audit {
            let written = audit.get(&(run_id.clone(), (*path).to_owned())).copied().unwrap_or_default();
            let breaks = of("attempt.interrupted").iter().filter(|event| event["p"] == **path).count() as u64;
            // What the agent did is told by what it did: once, and once more at most for each attempt that was cut off.
            assert!(
                (1..=1 + breaks).contains(&written),
                "{path} of {run_id} wrote {written} times, cut off {breaks} times"
            );
            repeated += written - 1;
        }
    }
    let lost: Vec<_> = promises.answered.difference(&decided).collect();
    assert!(lost.is_empty(), "answers that were acknowledged are not there: {lost:?}");
    let runs_with_audit: BTreeSet<&String> = audit.keys().map(|(run_id, _)| run_id).collect();
    assert!(
        runs_with_audit.iter().all(|run_id| runs.contains_key(*run_id)),
        "an agent worked for a run that is not there"
    );
    println!(
        "{interrupted} attempts were cut off; {repeated} of those that write had written already and wrote again"
    );
}

/// Nothing in a run happened twice.
fn once(run_id: &str, events: &[&Value]) {
    let mut seen = BTreeSet::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let ends = ["attempt.succeeded", "attempt.failed"].contains(&kind);
        let name = if ends { "attempt ended" } else { kind };
        let key = match kind {
            "attempt.scheduled" | "attempt.due" | "attempt.succeeded" | "attempt.failed" => {
                format!("{name} {}#{}", event["p"].as_str().unwrap(), event["attempt"])
            }
            "node.started" | "node.succeeded" | "node.failed" | "wait.started" | "wait.ended"
            | "branches.joined" => {
                format!("{name} {}", event["p"].as_str().unwrap())
            }
            "review.opened" | "review.decided" => format!("{name} {}", event["review_id"]),
            "run.started" | "run.succeeded" | "run.failed" => kind.to_owned(),
            _ => continue,
        };
        assert!(seen.insert(key.clone()), "twice in {run_id}: {key}");
    }
}
