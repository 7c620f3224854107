//! `kill -9` at random moments while many runs of few threads wait for one another. Afterwards every run must have ended, no
//! two runs of a thread may have been at work at once, and each must have begun with all that the ones before it left.
//!
//! `BANDSTAND_CRASH_ROUNDS` sets the number of kills (10 by default), `BANDSTAND_CRASH_SEED` the moments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;

use bandstand_crash::{Journal, Process, Random, Site, sleep_ms};
use serde_json::{Value, json};

const RUNS: u64 = 36;
const THREADS: u64 = 3;
const ROUNDS_DEFAULT: u64 = 10;
const WORKFLOW: &str = include_str!("threads.yaml");

fn thread_of(n: u64) -> String {
    format!("t{}", n % THREADS)
}

fn start_run(site: &Site, n: u64) -> Process {
    let (input, request) = (json!({ "n": n }).to_string(), format!("request-{n}"));
    let thread = thread_of(n);
    let args =
        ["run", "threads.yaml", "--no-ask", "--thread", &thread, "--request", &request, "--input", &input];
    site.start(&args)
}

// R5.4, R5.8
#[test]
fn queued_runs_of_a_thread_lose_nothing_when_the_host_is_killed() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) =
        (number("BANDSTAND_CRASH_ROUNDS", ROUNDS_DEFAULT), number("BANDSTAND_CRASH_SEED", 1));
    println!("seed {seed}, {rounds} rounds");
    let mut random = Random::new(seed);
    let site = Site::new(&[("threads.yaml", WORKFLOW)]);
    // It compiles the agents.
    start_run(&site, RUNS).wait().with_code(0);
    let mut to_start: Vec<u64> = (0..RUNS).collect();
    let mut kills = 0;
    for left in (1..=rounds).rev() {
        let mut going: Vec<(Option<u64>, Process)> = Vec::new();
        for _ in 0..(to_start.len() as u64).div_ceil(left) {
            let Some(n) = random.take(&mut to_start) else { break };
            going.push((Some(n), start_run(&site, n)));
        }
        going.push((None, site.start(&["runs", "drive", "--all"])));
        while !going.is_empty() {
            sleep_ms(random.between(5, 250));
            // Sometimes one, so that another takes over; sometimes all at once.
            let now = if random.between(0, 2) == 0 { 1 } else { going.len() };
            for _ in 0..now {
                let Some((n, mut process)) = random.take(&mut going) else { break };
                kills += u64::from(process.is_alive());
                let ended = process.kill_nine();
                assert!(ended.signal == Some(9) || [Some(0), Some(1)].contains(&ended.code), "{ended}");
                // Nothing was promised: the same request is made again.
                to_start.extend(n.filter(|_| ended.run_id().is_none()));
            }
        }
    }
    let open = site.journal().runs().into_iter().filter(|(_, status)| !is_ended(status)).count();
    println!("{kills} kills; {open} runs were open after the last");
    for n in to_start {
        let ended = start_run(&site, n).wait();
        assert!([Some(0), Some(1)].contains(&ended.code), "{ended}");
    }
    let ended = site.call(&["runs", "drive", "--all"]);
    assert!([Some(0), Some(1)].contains(&ended.code), "{ended}");
    check(&site.journal());
}

fn is_ended(status: &str) -> bool {
    ["succeeded", "failed"].contains(&status)
}

/// All events of all runs in the order of the journal: the run's id and thread, and the event.
fn in_order(journal: &Journal) -> Vec<(String, String, Value)> {
    let text =
        "SELECT r.run_id, r.thread_id, j.events FROM journal j JOIN runs r ON r.id = j.run ORDER BY j.pos";
    let mut select = journal.connection().prepare(text).unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut all = Vec::new();
    for row in rows {
        let (run_id, thread, events): (String, String, String) = row.unwrap();
        let events: Vec<Value> = serde_json::from_str(&events).unwrap();
        all.extend(events.into_iter().map(|event| (run_id.clone(), thread.clone(), event)));
    }
    all
}

/// A thread as the journal tells it so far.
#[derive(Default)]
struct Thread {
    /// The run that is at work.
    at_work: Option<String>,
    /// What it holds after each write.
    log: Vec<u64>,
    /// Runs that wait, in the order in which they came.
    queued: Vec<String>,
    runs: usize,
}

fn check(journal: &Journal) {
    assert_eq!(journal.integrity(), "ok");
    for (run_id, status) in journal.runs() {
        assert!(is_ended(&status), "{run_id} is {status}");
    }
    let mut threads: BTreeMap<String, Thread> = BTreeMap::new();
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let mut entered = 0;
    for (run_id, name, event) in in_order(journal) {
        let thread = threads.entry(name.clone()).or_default();
        match event["type"].as_str().unwrap() {
            "run.started" => {
                numbers.insert(run_id.clone(), event["input"]["v"]["n"].as_u64().unwrap());
                if event["lease"] == "queued" {
                    thread.queued.push(run_id);
                } else {
                    assert_eq!(event["lease"], "held", "{run_id}");
                    assert!(thread.queued.is_empty(), "{run_id} went before others in {name}");
                    assert_eq!(thread.at_work.replace(run_id), None, "two at work in {name}");
                }
            }
            "thread.entered" => {
                entered += 1;
                assert_eq!(thread.queued.remove(0), run_id, "the order of arrival in {name}");
                assert_eq!(thread.at_work.replace(run_id), None, "two at work in {name}");
            }
            "thread.written" => {
                assert_eq!(thread.at_work.as_ref(), Some(&run_id), "who writes {name} has it");
                if event["values"].get("log").is_some() {
                    let log = &event["values"]["log"]["v"];
                    let log: Vec<u64> = log.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
                    let mut wanted = thread.log.clone();
                    wanted.push(numbers[&run_id]);
                    assert_eq!(log, wanted, "{run_id} in {name}");
                    thread.log = log;
                    thread.runs += 1;
                }
            }
            "run.succeeded" | "run.failed" => {
                assert_eq!(thread.at_work.take(), Some(run_id), "who ends had {name}");
            }
            kind => {
                let quiet = ["node.", "attempt.", "edge.", "wait."].iter().any(|part| kind.starts_with(part));
                if quiet {
                    assert_eq!(
                        thread.at_work.as_ref(),
                        Some(&run_id),
                        "{kind} of {run_id}, which has not {name}"
                    );
                }
            }
        }
    }
    let runs: usize = threads.values().map(|thread| thread.runs).sum();
    assert_eq!(runs as u64, RUNS + 1, "each run wrote its number once");
    println!("{entered} of {runs} runs had waited for their thread");
    assert!(entered > 10, "too few waited to show anything: {entered}");
    for (name, thread) in &threads {
        assert!(thread.at_work.is_none() && thread.queued.is_empty(), "{name}");
        println!("{name}: {:?}", thread.log);
    }
    // What the tables say is what the journal says.
    let left: i64 =
        journal.connection().query_row("SELECT count(*) FROM thread_leases", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    let mut kept = journal
        .connection()
        .prepare("SELECT t.thread_id, v.value FROM threads t JOIN thread_values v ON v.thread = t.id WHERE v.channel = 'log'")
        .unwrap();
    let kept = kept.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    for row in kept {
        let (name, value) = row.unwrap();
        assert_eq!(value, json!(threads[&name].log).to_string(), "{name}");
    }
}
