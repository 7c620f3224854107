//! `kill -9` at random moments while parents, their children and theirs go on, are answered and are cancelled. Afterwards
//! every run must have ended, each attempt must have been one run, and no child may outlive its parent.
//!
//! `BANDSTAND_CRASH_ROUNDS` sets the number of kills (10 by default), `BANDSTAND_CRASH_SEED` the moments.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;

use bandstand_crash::{Journal, Process, Random, Site, sleep_ms};
use serde_json::{Value, json};

const PARENT: &str = r#"
format: 1
name: parent
version: 1
workflows: { child: { path: child.yaml, version: 1 } }
nodes:
  all:
    map:
      over: "range(3)"
      join: all
      do: { workflow: child, input: { n: "${{ input.n * 10 + item }}", ask: "${{ input.n % 4 == 3 and item == 1 }}" } }
    next: end
result: { numbers: "${{ output.results|map(attribute='n') }}" }
"#;

const CHILD: &str = r#"
format: 1
name: child
version: 1
plugins: { flaky: { path: flaky.wasm } }
workflows: { grandchild: { path: grandchild.yaml, version: 1 } }
defaults: { retry: { base-delay: 20ms, max-retries: 3 } }
nodes:
  work:
    agent: flaky
    input: { fail_times: 1, work: 3000000, result: "${{ input.n }}" }
    next: inner
  inner:
    workflow: grandchild
    input: { n: "${{ input.n }}" }
    next: [{ when: "input.ask", to: ask }, { to: done }]
  ask: { review: { title: Go on? }, approved: done, rejected: done }
  done: { value: { n: "${{ nodes.inner.output.n }}" }, next: end }
"#;

const GRANDCHILD: &str = r#"
format: 1
name: grandchild
version: 1
plugins: { flaky: { path: flaky.wasm } }
nodes:
  work:
    agent: flaky
    input: { fail_times: 0, work: 3000000, result: "${{ input.n }}" }
    next: pause
  pause: { wait: { for: 30ms }, next: end }
result: { n: "${{ nodes.work.output.result }}" }
"#;

const RUNS: u64 = 20;
const ROUNDS_DEFAULT: u64 = 10;

fn start_run(site: &Site, n: u64) -> Process {
    let (input, request) = (json!({ "n": n }).to_string(), format!("request-{n}"));
    site.start(&["run", "parent.yaml", "--no-ask", "--request", &request, "--input", &input])
}

fn wanted(n: u64) -> Value {
    json!({ "numbers": [n * 10, n * 10 + 1, n * 10 + 2] })
}

/// Every fifth parent is cancelled some time.
fn is_cancelled(n: u64) -> bool {
    n % 5 == 4
}

// R5.4, R5.5, R4.4
#[test]
fn parents_and_children_survive_kill_nine() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (rounds, seed) =
        (number("BANDSTAND_CRASH_ROUNDS", ROUNDS_DEFAULT), number("BANDSTAND_CRASH_SEED", 1));
    println!("seed {seed}, {rounds} rounds");
    let mut random = Random::new(seed);
    let files = [("parent.yaml", PARENT), ("child.yaml", CHILD), ("grandchild.yaml", GRANDCHILD)];
    let site = Site::new(&files);
    // One without a kill: it compiles the agent.
    assert_eq!(start_run(&site, 100).wait().with_code(0).outcome()["result"], wanted(100));
    let mut started = BTreeMap::new();
    let mut to_start: Vec<u64> = (0..RUNS).collect();
    for left in (1..=rounds).rev() {
        let mut going: Vec<(Option<u64>, Process)> = vec![(None, site.start(&["runs", "drive", "--all"]))];
        for _ in 0..(to_start.len() as u64).div_ceil(left) {
            let Some(n) = random.take(&mut to_start) else { break };
            going.push((Some(n), start_run(&site, n)));
        }
        let wish = started
            .iter()
            .find(|(n, _)| is_cancelled(**n))
            .map(|(n, run_id): (&u64, &String)| (*n, run_id.clone()));
        if let Some((_, run_id)) = wish.filter(|_| random.between(0, 1) == 0) {
            going.push((None, site.start(&["runs", "cancel", &run_id, "--yes"])));
        }
        while !going.is_empty() {
            sleep_ms(random.between(5, 300));
            let now = if random.between(0, 2) == 0 { 1 } else { going.len() };
            for _ in 0..now {
                let Some((n, process)) = random.take(&mut going) else { break };
                let ended = process.kill_nine();
                assert!(
                    ended.signal == Some(9) || [Some(0), Some(1), Some(3), Some(4)].contains(&ended.code),
                    "{ended}"
                );
                match (n, ended.run_id()) {
                    (Some(n), Some(run_id)) => drop(started.insert(n, run_id)),
                    (Some(n), None) => to_start.push(n),
                    (None, _) => {}
                }
            }
        }
    }
    // From here on nobody is killed.
    for n in 0..RUNS {
        started.entry(n).or_insert_with(|| {
            let ended = start_run(&site, n).wait();
            ended.run_id().unwrap_or_else(|| panic!("{ended}"))
        });
        if is_cancelled(n) {
            // It may have ended before.
            let ended = site.call(&["runs", "cancel", &started[&n], "--yes"]);
            assert!([Some(0), Some(3)].contains(&ended.code), "{ended}");
        }
    }
    let ended = site.call(&["runs", "drive", "--all"]);
    assert!([Some(0), Some(1), Some(4)].contains(&ended.code), "{ended}");
    for (review_id, _) in site.journal().open_reviews() {
        site.call(&["review", "approve", &review_id, "--by", "ann", "--no-ask"]).with_code(0);
    }
    check(&site.journal(), &started);
}

fn check(journal: &Journal, started: &BTreeMap<u64, String>) {
    assert_eq!(journal.integrity(), "ok");
    assert_eq!(journal.open_reviews(), []);
    for (run_id, status) in journal.runs() {
        assert!(["succeeded", "cancelled"].contains(&status.as_str()), "{run_id} is {status}");
    }
    let mut cancelled = 0;
    for (n, run_id) in started {
        match journal.status(run_id).as_deref() {
            Some("succeeded") => {
                let ended = journal.of_type(run_id, "run.succeeded");
                assert_eq!(ended[0].event["output"]["v"], wanted(*n), "run {n}: {run_id}");
                family(journal, run_id);
            }
            Some("cancelled") if is_cancelled(*n) => cancelled += 1,
            other => panic!("run {n} ({run_id}) is {other:?}"),
        }
    }
    println!("{cancelled} parents were cancelled, {} runs in all", journal.runs().len());
    let count = |query: &str| journal.connection().query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM unwanted"), 0, "everybody was told");
    assert_eq!(count("SELECT count(*) FROM runs WHERE owed = 1"), 0, "nothing is owed any more");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM run_links WHERE kind = 'child' GROUP BY from_run, path HAVING count(*) > 1)";
    assert_eq!(count(twice), 0, "an attempt is one run");
}

/// Each attempt is one run, and each of them has ended well.
fn family(journal: &Journal, run_id: &str) {
    for row in journal.of_type(run_id, "attempt.scheduled") {
        let Some(child) = row.event["child"].as_str() else { continue };
        assert_eq!(journal.status(child).as_deref(), Some("succeeded"), "{child} of {run_id}");
        assert_eq!(journal.of_type(child, "run.started").len(), 1);
        family(journal, child);
    }
}
