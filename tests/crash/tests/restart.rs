//! The host ends in the middle of things and another one carries on: by Ctrl-C, by the signal of service managers, by
//! `kill -9` with others waiting; and files that change meanwhile change nothing for runs that go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;

use bandstand_crash::{Process, Random, Site, sleep_ms, wait_for};
use serde_json::json;

/// Writes a trace, works for some seconds on an ordinary machine, then writes another.
const LONG: &str = r#"
format: 1
name: long
version: 1
plugins:
  audit: { path: audit.wasm, grants: { memory: write } }
  flaky: { path: flaky.wasm, limits: { cpu: 30s } }
nodes:
  before: { agent: audit, input: { action: before }, next: work }
  work: { agent: flaky, input: { work: 600000000, result: done }, timeout: 60s, next: after }
  after: { agent: audit, input: { action: after }, next: end }
result: { result: "${{ nodes.work.output.result }}", attempt: "${{ nodes.work.output.attempt }}" }
"#;

const WAIT: &str = r#"
format: 1
name: wait
version: 1
input: { type: object, required: [n], properties: { n: { type: integer } } }
plugins: { echo: { path: echo.wasm } }
nodes:
  nap: { wait: { for: 3s }, next: tell }
  tell: { agent: echo, input: { n: "${{ input.n }}" }, next: end }
"#;

const ASK: &str = r#"
format: 1
name: ask
version: 1
plugins: { agent: { path: agent.wasm } }
nodes:
  ask: { review: { title: Go on? }, approved: call, rejected: end }
  call: { agent: agent, input: { fail_times: 0, result: old }, next: end }
result: { text: old text, output: "${{ nodes.call.output if nodes.call is defined else none }}" }
"#;

/// A run whose agent is at work.
fn at_work(site: &Site) -> (Process, String) {
    let mut process = site.run("long.yaml", "{}");
    let run_id = process.run_id();
    process.line("the start of `work`", |line| line["type"] == "node.started" && line["p"] == "work@1");
    (process, run_id)
}

/// Drives it on; it must come to its end as if nothing had happened, and nothing finished may be done again.
fn carries_on(site: &Site, run_id: &str) {
    let ended = site.call(&["runs", "drive", run_id]).with_code(0);
    assert_eq!(ended.outcome()["result"], json!({ "result": "done", "attempt": 1 }), "{ended}");
    let audit = site.journal().audit();
    for path in ["before@1", "after@1"] {
        assert_eq!(audit.get(&(run_id.to_owned(), path.to_owned())), Some(&1), "{path}: {audit:?}");
    }
    let succeeded = site.journal().of_type(run_id, "attempt.succeeded");
    assert_eq!(succeeded.len(), 3, "{succeeded:?}");
}

// R5.4
#[test]
fn ctrl_c_ends_with_130_and_the_run_carries_on() {
    let site = Site::new(&[("long.yaml", LONG)]);
    let (process, run_id) = at_work(&site);
    process.interrupt();
    let ended = process.wait().with_code(130);
    assert_eq!(ended.outcome()["status"], "interrupted", "{ended}");
    assert!(ended.stderr.contains(&format!("bandstand runs drive {run_id}")), "{ended}");
    assert!(!site.data().join("bandstand.db-wal").exists(), "an end in order leaves one file");
    carries_on(&site, &run_id);
    // Stopped in order: what was cut off was no accident.
    assert_eq!(site.journal().of_type(&run_id, "attempt.interrupted"), []);
}

// R5.4
#[test]
fn the_signal_of_service_managers_ends_it_like_ctrl_c() {
    let site = Site::new(&[("long.yaml", LONG)]);
    let (process, run_id) = at_work(&site);
    process.terminate();
    let ended = process.wait().with_code(130);
    assert_eq!(ended.outcome()["status"], "interrupted", "{ended}");
    let drive = site.start(&["runs", "drive", "--all"]);
    wait_for("the driver to take over", || {
        let started = drive.stderr().contains("driving 1 run");
        started.then_some(())
    });
    drive.terminate();
    drive.wait().with_code(130);
    carries_on(&site, &run_id);
}

// R5.4
#[test]
fn a_killed_attempt_is_repeated_under_the_same_key() {
    let site = Site::new(&[("long.yaml", LONG)]);
    let (process, run_id) = at_work(&site);
    sleep_ms(100);
    process.kill_nine();
    carries_on(&site, &run_id);
    let cut = site.journal().of_type(&run_id, "attempt.interrupted");
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert_eq!((&cut[0].event["p"], &cut[0].event["attempt"]), (&json!("work@1"), &json!(1)));
    let work =
        site.journal().of_type(&run_id, "node.succeeded").into_iter().find(|row| row.event["p"] == "work@1");
    let attempts = site.journal().of_type(&run_id, "attempt.succeeded");
    let attempt = attempts.iter().find(|row| row.event["p"] == "work@1").unwrap();
    assert_eq!(attempt.event["output"]["v"]["idempotency_key"], json!(format!("{run_id}/work@1")));
    assert!(work.is_some());
}

/// Two steps of some tenths of a second each.
const STEPS: &str = r#"
format: 1
name: steps
version: 1
plugins:
  flaky: { path: flaky.wasm }
nodes:
  one: { agent: flaky, input: { work: 60000000 }, next: two }
  two: { agent: flaky, input: { work: 60000000 }, next: end }
result: done
"#;

// R5.4
#[test]
fn what_finishes_soon_after_ctrl_c_is_not_done_again() {
    let site = Site::new(&[("steps.yaml", STEPS)]);
    let mut process = site.run("steps.yaml", "{}");
    let run_id = process.run_id();
    process.line("the start of `one`", |line| line["type"] == "attempt.scheduled" && line["p"] == "one@1");
    process.interrupt();
    process.wait().with_code(130);
    let scheduled = |path: &str| {
        let rows = site.journal().of_type(&run_id, "attempt.scheduled");
        rows.iter().filter(|row| row.event["p"] == *path).count()
    };
    assert_eq!((scheduled("one@1"), scheduled("two@1")), (1, 1), "one has ended, two is to begin");
    assert_eq!(site.journal().of_type(&run_id, "attempt.succeeded").len(), 1, "two did not begin");
    let ended = site.call(&["runs", "drive", &run_id]).with_code(0);
    assert_eq!(ended.outcome()["result"], json!("done"));
    assert_eq!(site.journal().of_type(&run_id, "attempt.succeeded").len(), 2);
}

// R5.4, R1.8
#[test]
fn an_attempt_that_is_killed_again_and_again_spends_no_retry() {
    let text = LONG.replace("timeout: 60s", "timeout: 60s, retry: { strategy: none }");
    let site = Site::new(&[("long.yaml", &text)]);
    let (process, run_id) = at_work(&site);
    process.kill_nine();
    let mut random = Random::new(3);
    for _ in 0..10 {
        let process = site.start(&["runs", "drive", &run_id]);
        sleep_ms(random.between(10, 250));
        process.kill_nine();
    }
    carries_on(&site, &run_id);
    let cut = site.journal().of_type(&run_id, "attempt.interrupted");
    assert!((1..=11).contains(&cut.len()), "{cut:?}");
    assert!(cut.iter().all(|row| row.event["attempt"] == 1), "{cut:?}");
    let times: Vec<_> = cut.iter().filter_map(|row| row.event["times"].as_u64()).collect();
    assert_eq!(times, (1..=cut.len() as u64).collect::<Vec<_>>(), "each is counted");
}

// R5.6
#[test]
fn replaced_files_change_new_runs_only() {
    let site = Site::new(&[("ask.yaml", ASK)]);
    let agent = site.path().join("agent.wasm");
    fs::copy(site.path().join("flaky.wasm"), &agent).unwrap();
    let waiting = site.run("ask.yaml", "{}").wait().with_code(4);
    let review_id = waiting.outcome()["reviews"][0].as_str().unwrap().to_owned();

    fs::copy(site.path().join("echo.wasm"), &agent).unwrap();
    fs::write(site.path().join("ask.yaml"), ASK.replace("old", "new")).unwrap();
    let newer = site.run("ask.yaml", "{}").wait().with_code(4);
    let newer_review_id = newer.outcome()["reviews"][0].as_str().unwrap().to_owned();
    // Not even the files themselves are needed for what goes on.
    fs::remove_file(&agent).unwrap();
    fs::remove_file(site.path().join("ask.yaml")).unwrap();

    let old = site.call(&["review", "approve", &review_id]).with_code(0).outcome();
    assert_eq!(
        (&old["result"]["text"], &old["result"]["output"]["result"]),
        (&json!("old text"), &json!("old"))
    );
    assert_eq!(old["result"]["output"]["attempt"], 1, "only the old agent tells its attempt: {old}");
    let new = site.call(&["review", "approve", &newer_review_id]).with_code(0).outcome();
    let wanted = json!({ "text": "new text", "output": { "fail_times": 0, "result": "new" } });
    assert_eq!(new["result"], wanted, "the new agent gives back what it gets");
}

// R5.4
#[test]
fn a_second_command_hands_its_run_over_and_takes_the_place_of_a_killed_holder() {
    let site = Site::new(&[("wait.yaml", WAIT)]);
    let mut first = site.run("wait.yaml", r#"{ "n": 1 }"#);
    let first_run = first.run_id();
    let mut second = site.run("wait.yaml", r#"{ "n": 2 }"#);
    let second_run = second.run_id();
    assert!(first.is_alive(), "the machine is too slow for this test: the holder has ended already");
    assert_eq!(holder(&site), first.id(), "the second hands its run over");
    first.kill_nine();
    let ended = second.wait().with_code(0);
    let outcome = ended.outcome();
    assert_eq!((&outcome["run_id"], &outcome["result"]), (&json!(second_run), &json!({ "n": 2 })), "{ended}");
    let told: Vec<_> = ended.lines().iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(
        told,
        (0..told.len() as u64).collect::<Vec<_>>(),
        "each event is told once, in order, whoever holds"
    );
    assert_eq!(site.journal().of_type(&second_run, "run.started").len(), 1);
    // The other run is nobody's: it stays, and goes on when asked to.
    let ended = site.call(&["runs", "drive", &first_run]).with_code(0);
    assert_eq!(ended.outcome()["result"], json!({ "n": 1 }));
}

// R5.4
#[test]
fn when_the_holder_leaves_in_order_the_others_carry_on() {
    let site = Site::new(&[("wait.yaml", WAIT)]);
    let mut first = site.run("wait.yaml", r#"{ "n": 1 }"#);
    first.run_id();
    let mut second = site.run("wait.yaml", r#"{ "n": 2 }"#);
    second.run_id();
    let mut third = site.start(&["runs", "drive", "--all"]);
    wait_for("the third to reach the holder", || third.stderr().contains("driving 2 runs").then_some(()));
    assert!(third.is_alive() && holder(&site) == first.id());
    first.interrupt();
    first.wait().with_code(130);
    assert_eq!(second.wait().with_code(0).outcome()["result"], json!({ "n": 2 }));
    let ended = third.wait().with_code(0);
    let succeeded = ended.lines().iter().filter(|line| line["status"] == "succeeded").count();
    assert_eq!(succeeded, 2, "all runs are driven to their ends: {ended}");
}

/// The process that holds the data directory, as its lock file says.
fn holder(site: &Site) -> u32 {
    let text = fs::read_to_string(site.data().join("host.lock")).unwrap();
    let pid = text.split("\"pid\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap();
    pid.trim().parse().unwrap()
}
