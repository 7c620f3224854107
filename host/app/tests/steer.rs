//! R5.5: pausing, resuming, killing and signalling runs on the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use serde_json::json;

/// A flow that hears a signal, then asks a person, then works; a checkpoint lies between.
const HEARING: &str = "\
format: 1
name: hearing
version: 1
plugins: { echo: { builtin: echo } }
nodes:
  hear:
    wait: { signal: go, schema: { type: object, required: [n], properties: { n: { type: integer } } } }
    checkpoint: heard
    next: work
  work: { agent: echo, input: { n: \"${{ nodes.hear.output.n }}\" }, deadline: 5m, next: end }
";

fn hearing() -> (Folder, String) {
    let folder = Folder::new();
    folder.write("flow.yaml", HEARING);
    folder
        .call(&["run", "flow.yaml"])
        .expect(4, &["waits for 1 signal", "bandstand runs signal", " go --input JSON"]);
    let run = folder.call(&["runs", "list", "--json"]).last()["run_id"].as_str().unwrap().to_owned();
    (folder, run)
}

#[test]
fn a_signal_ends_a_wait_and_the_run_goes_on() {
    let (folder, run) = hearing();
    folder
        .call(&["runs", "signal", &run, "stop"])
        .expect(3, &["never waits for signal `stop`; it waits for: go"]);
    folder.call(&["runs", "signal", &run, "go", "--input", "{\"n\": \"x\"}"]).expect(3, &["does not fit"]);
    folder.call(&["runs", "signal", &run, "go", "--input", "{"]).expect(2, &["--input"]);
    let sent = folder.call(&["runs", "signal", &run, "go", "--input", "{\"n\": 7}", "--request", "r1"]);
    assert_eq!(sent.expect(0, &["signal go was sent", "run succeeded"]).json(), json!({ "n": 7 }));
    folder
        .call(&["runs", "signal", &run, "go", "--input", "{\"n\": 7}", "--request", "r1", "--no-drive"])
        .expect(0, &["before; nothing changed"]);
    let told = folder.call(&["runs", "show", &run, "--json"]).expect(0, &[]).json();
    assert_eq!(told["checkpoints"][0]["name"], "heard");
    assert_eq!(
        (&told["signals"][0]["data"], &told["signals"][0]["taken_by"]),
        (&json!({ "n": 7 }), &json!("hear@1"))
    );
    let told = folder.call(&["runs", "show", &run]).expect(0, &[]).stdout;
    for part in ["Signals", "go by tester, taken by hear@1", "Checkpoints", "heard after hear@1"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_paused_run_hears_but_does_not_work_until_it_is_resumed() {
    let (folder, run) = hearing();
    folder.call(&["runs", "pause", &run, "--reason", "too hot"]).expect(0, &["paused"]);
    folder.call(&["runs", "pause", &run]).expect(0, &["was paused before"]);
    let listed = folder.call(&["runs", "list", "--status", "paused", "--json"]).last();
    assert_eq!((listed["status"].as_str(), listed["held"].as_str()), (Some("paused"), Some("paused")));
    folder
        .call(&["runs", "drive", &run])
        .expect(4, &["is paused by tester: too hot", "bandstand runs resume"]);
    folder.call(&["runs", "signal", &run, "go", "--input", "{\"n\": 1}"]).expect(4, &["is paused"]);
    let told = folder.call(&["runs", "show", &run, "--json"]).expect(0, &[]).json();
    assert_eq!(told["paused"]["reason"], "too hot");
    let ended = folder.call(&["runs", "resume", &run]).expect(0, &["resumed", "run succeeded"]);
    assert_eq!(ended.json(), json!({ "n": 1 }));
    folder.call(&["runs", "resume", &run]).expect(3, &["the run has already succeeded"]);
}

#[test]
fn a_killed_run_is_over_and_a_cancelled_one_too() {
    let (folder, run) = hearing();
    folder.call(&["runs", "kill", &run, "--yes", "--reason", "wrong one"]).expect(0, &["killed"]);
    folder.call(&["runs", "kill", &run, "--yes"]).expect(0, &["was killed before"]);
    folder.call(&["runs", "cancel", &run, "--yes"]).expect(3, &["the run has already been killed"]);
    folder.call(&["runs", "signal", &run, "go", "--input", "{\"n\": 1}"]).expect(3, &["already been killed"]);
    folder.call(&["runs", "drive", &run]).expect(1, &["was killed by tester: wrong one"]);
    let told = folder.call(&["runs", "show", &run, "--json"]).expect(0, &[]).json();
    assert_eq!((&told["status"], &told["killed"]["by"]), (&json!("killed"), &json!("tester")));

    let (folder, run) = hearing();
    folder.call(&["runs", "pause", &run]).expect(0, &[]);
    let cancelled = folder.call(&["runs", "cancel", &run, "--yes", "--json"]).expect(0, &[]).last();
    assert_eq!((&cancelled["status"], &cancelled["changed"]), (&json!("cancelled"), &json!(true)));
}

#[test]
fn a_watch_ends_at_a_pause_since_only_a_person_ends_it() {
    let (folder, run) = hearing();
    folder.call(&["runs", "pause", &run, "--by", "ada"]).expect(0, &[]);
    folder.call(&["runs", "watch", &run]).expect(4, &["paused"]);
}

/// A call that must end by itself: one that would go on for ever fails the test instead of stopping it.
fn ends(folder: &Folder, args: &[&str]) -> bandstand::Ended {
    let piped = std::process::Stdio::piped;
    let mut child = folder.command(args).stdout(piped()).stderr(piped()).spawn().unwrap();
    for _ in 0..400 {
        if child.try_wait().unwrap().is_some() {
            return bandstand::Ended::of(child.wait_with_output().unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("{args:?} does not end");
}

// A signal's deadline is its sender's, as a review's is its reviewers'.
#[test]
fn a_run_that_waits_for_a_signal_with_a_timeout_waits_for_people() {
    let folder = Folder::new();
    let waits = |wait: &str| {
        format!("format: 1\nname: hearing\nversion: 1\nnodes:\n  hear: {{ wait: {wait}, next: end }}\n")
    };
    folder.write("flow.yaml", waits("{ signal: go, timeout: 1h }"));
    let last = ends(&folder, &["run", "flow.yaml", "--json"]).expect(4, &[]).last();
    let run = last["run_id"].as_str().unwrap().to_owned();
    let watched = ends(&folder, &["runs", "watch", &run, "--json"]).expect(4, &[]).last();
    assert_eq!((&watched["status"], &watched["signals"]), (&json!("waiting"), &json!(["go"])));
    ends(&folder, &["runs", "watch", &run]).expect(4, &["waits for 1 signal", "signal go (expires in"]);
    // Nor is it named among those that a host would move.
    folder.write("other.yaml", waits("{ for: 1ms }"));
    let other = ends(&folder, &["run", "other.yaml"]).expect(0, &[]);
    assert!(!other.stderr.contains("other open runs"), "{other:?}");
}

#[test]
fn a_reason_has_a_greatest_length() {
    let (folder, run) = hearing();
    let long = "x".repeat(4_097);
    for verb in ["pause", "resume", "cancel", "kill"] {
        folder
            .call(&["runs", verb, &run, "--reason", &long])
            .expect(2, &["--reason", "4097 bytes; 4096 are the most"]);
    }
    folder.call(&["runs", "cancel", &run, "--yes", "--reason", &long[1..]]).expect(0, &[]);
}
