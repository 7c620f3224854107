//! `kill -9` in the middle of pruning. Afterwards the store is sound, everything that was to stay is there, and the next
//! pruning goes on where the last one died. That the read models are what the journal makes of them is shown the same way
//! in the store's own crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

use bandstand_crash::{Journal, Random, Site, sleep_ms};
use serde_json::json;

/// A run with many rows and values, some of them its own, some shared with every other run.
const LOOP: &str = r#"
format: 1
name: loop
version: 1
plugins: { echo: { path: echo.wasm } }
nodes:
  turn:
    agent: echo
    input: { own: "${{ input.own }} ${{ visit }}" }
    next: [{ when: "visit < 60", to: turn }, { to: share }]
  share:
    agent: echo
    input: { shared: "${{ input.shared }}" }
    route: { options: "[{'name': 'done', 'confidence': 0.5}]", to: { done: end } }
"#;

/// Waits for a person, with a value that ended runs have, too.
const ASK: &str = r#"
format: 1
name: ask
version: 1
plugins: { echo: { path: echo.wasm } }
nodes:
  share: { agent: echo, input: { shared: "${{ input.shared }}" }, next: ask }
  ask: { review: { title: Go on? }, approved: end, rejected: end }
"#;

const RUNS: u64 = 24;
const ROUNDS: u64 = 10;

/// A value of its own and one that all have, each large enough to be kept apart.
fn input(n: u64) -> String {
    json!({ "own": n.to_string().repeat(5_000), "shared": "shared".repeat(1_000) }).to_string()
}

fn loops(journal: &Journal) -> u64 {
    let count = "SELECT count(*) FROM runs WHERE workflow = 'loop'";
    journal.connection().query_row(count, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
}

fn count(journal: &Journal, query: &str) -> i64 {
    journal.connection().query_row(query, [], |row| row.get(0)).unwrap()
}

/// What must hold at any moment, also between two steps of a deletion.
fn sound(journal: &Journal) {
    assert_eq!(journal.integrity(), "ok");
    for (what, query) in [
        (
            "values that nobody names",
            "SELECT count(*) FROM blobs WHERE digest NOT IN (SELECT digest FROM blob_refs)",
        ),
        (
            "values that are lost",
            "SELECT count(*) FROM blob_refs WHERE digest NOT IN (SELECT digest FROM blobs)",
        ),
        (
            "rows of no run",
            "SELECT count(*) FROM journal WHERE run NOT IN (SELECT id FROM runs) AND run NOT IN (SELECT run FROM doomed)",
        ),
        (
            "values of no run",
            "SELECT count(*) FROM blob_refs WHERE run NOT IN (SELECT id FROM runs) AND run NOT IN (SELECT run FROM doomed)",
        ),
        ("runs that are half gone", "SELECT count(*) FROM runs WHERE id IN (SELECT run FROM doomed)"),
        ("reviews of no run", "SELECT count(*) FROM reviews WHERE run NOT IN (SELECT id FROM runs)"),
        (
            "statistics that do not add up",
            "SELECT count(*) FROM routing_stats s WHERE s.count <> \
             ifnull((SELECT k.count FROM routing_kept k WHERE (k.workflow, k.node, k.route) = (s.workflow, s.node, s.route)), 0) \
             + ifnull((SELECT sum(o.count) FROM run_routes o JOIN runs r ON r.id = o.run \
             WHERE (r.workflow, o.node, o.route) = (s.workflow, s.node, s.route)), 0)",
        ),
    ] {
        assert_eq!(count(journal, query), 0, "{what}");
    }
}

// R5.7
#[test]
fn a_kill_while_pruning_loses_nothing_that_was_to_stay() {
    let site = Site::new(&[("loop.yaml", LOOP), ("ask.yaml", ASK)]);
    let waiting: Vec<String> =
        (0..2).map(|_| site.run("ask.yaml", &input(99)).wait().with_code(4).run_id().unwrap()).collect();
    let mut going = Vec::new();
    for n in 0..RUNS {
        going.push(site.run("loop.yaml", &input(n)));
        if going.len() == 8 {
            going.drain(..).for_each(|run| drop(run.wait().with_code(0)));
        }
    }
    assert_eq!(loops(&site.journal()), RUNS);
    let seed = std::env::var("BANDSTAND_CRASH_SEED").map_or(1, |text| text.parse().unwrap());
    println!("again: BANDSTAND_CRASH_SEED={seed}");
    let mut random = Random::new(seed);
    let (mut left_over, mut cut_short) = (0, 0);
    let mut stayed = RUNS;
    for round in 1..=ROUNDS {
        let keep = RUNS - round * 2;
        fs::write(site.path().join("bandstand.toml"), format!("[retention]\ncount = {keep}\n")).unwrap();
        let mut process = site.start(&["prune"]);
        // Until it has begun to take runs out; then some milliseconds.
        while process.is_alive() && loops(&site.journal()) == stayed {
            sleep_ms(1);
        }
        sleep_ms(random.between(0, 12));
        cut_short += u64::from(process.is_alive());
        process.kill_nine();
        let journal = site.journal();
        sound(&journal);
        stayed = loops(&journal);
        assert!(stayed >= keep, "round {round}: {stayed} of {keep} are left");
        left_over += u64::from(count(&journal, "SELECT count(*) FROM doomed") > 0);
        let runs: BTreeSet<String> = journal.runs().into_iter().map(|(run_id, _)| run_id).collect();
        assert!(waiting.iter().all(|run_id| runs.contains(run_id)), "a run that waits is gone");
    }
    println!("{cut_short} of {ROUNDS} were killed at work, {left_over} left something to sweep");
    let ended = site.call(&["prune"]).with_code(0);
    let journal = site.journal();
    sound(&journal);
    assert_eq!(count(&journal, "SELECT count(*) FROM doomed"), 0, "{ended}");
    assert_eq!(loops(&journal), RUNS - ROUNDS * 2);
    // What stayed is whole: every row and value is read.
    for (run_id, _) in journal.runs() {
        let shown = site.call(&["runs", "show", &run_id, "--events"]).with_code(0);
        assert!(shown.lines().len() > 5, "{shown}");
    }
    for (review_id, _) in journal.open_reviews() {
        site.call(&["review", "approve", &review_id, "--no-ask"]).with_code(0);
    }
    fs::write(site.path().join("bandstand.toml"), "[retention]\ncount = 0\n").unwrap();
    let before = fs::metadata(site.data().join("bandstand.db")).unwrap().len();
    site.call(&["prune"]).with_code(0);
    let journal = site.journal();
    for table in ["runs", "journal", "blobs", "blob_refs", "snapshots", "documents", "pins", "doomed"] {
        assert_eq!(count(&journal, &format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert!(count(&journal, "SELECT sum(count) FROM routing_stats") == RUNS as i64, "statistics stay");
    let after = fs::metadata(site.data().join("bandstand.db")).unwrap().len();
    assert!(after < before / 3, "{before} bytes became {after}");
}
