//! R5.5, R5.6: what follows from a run being its journal, on the real binary: fork, retry, rerun, replay, export,
//! import, watch.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use agent::{fails_first, says};
use bandstand::{Ended, Folder};
use serde_json::{Value, json};

/// Two agents and a sum.
const SUM: &str = "\
format: 1
name: sum
version: 1
plugins: { one: { path: one.wasm }, two: { path: two.wasm } }
state: { total: { reduce: sum, initial: 0, schema: { type: integer } } }
nodes:
  first: { agent: one, update: { total: \"${{ output.n }}\" }, next: second }
  second: { agent: two, update: { total: \"${{ output.n * input.factor }}\" }, next: end }
result: { total: \"${{ state.total }}\" }
";

fn project() -> Folder {
    let folder = Folder::new();
    folder.write("one.wasm", says("{\"n\":1}"));
    folder.write("two.wasm", says("{\"n\":10}"));
    folder.write("flow.yaml", SUM);
    folder
}

fn sum() -> (Folder, String) {
    let folder = project();
    let last =
        folder.call(&["run", "flow.yaml", "--input", "{\"factor\": 2}", "--json"]).expect(0, &[]).last();
    assert_eq!(last["result"], json!({ "total": 21 }));
    let run = id(&last);
    (folder, run)
}

fn id(outcome: &Value) -> String {
    outcome["run_id"].as_str().unwrap().to_owned()
}

fn show(folder: &Folder, run: &str) -> Value {
    folder.call(&["runs", "show", run, "--json"]).expect(0, &[]).json()
}

fn calls(folder: &Folder, run: &str) -> Vec<String> {
    let events = folder.call(&["runs", "show", run, "--events", "--json"]).expect(0, &[]).lines();
    let calls = events.iter().filter(|event| event["type"] == "attempt.succeeded");
    calls.map(|event| format!("{}#{}", event["p"].as_str().unwrap(), event["attempt"])).collect()
}

// R5.5
#[test]
fn a_fork_adopts_what_was_done_and_both_runs_tell_of_each_other() {
    let (folder, run) = sum();
    let before = show(&folder, &run);
    let forked = folder
        .call(&[
            "runs",
            "fork",
            &run,
            "--from",
            "second",
            "--set",
            "state.total=100",
            "--set",
            "input.factor=3",
        ])
        .expect(0, &["goes on from event", "run succeeded"]);
    assert_eq!(forked.json(), json!({ "total": 130 }));
    let runs = folder.call(&["runs", "list", "--json"]).lines();
    let fork = id(runs.iter().find(|line| line["run_id"] != json!(run)).unwrap());
    assert_eq!(calls(&folder, &fork), ["second@1#1"], "the first node is not called again");
    let shown = show(&folder, &fork);
    assert_eq!(shown["from"]["run_id"], json!(run));
    assert_eq!(shown["from"]["kind"], "fork");
    assert_eq!(shown["edits"][0], json!({ "path": "state.total", "value": 100 }));
    let mut after = show(&folder, &run);
    assert_eq!(after["forks"][0]["run_id"], json!(fork));
    after["forks"] = json!([]);
    assert_eq!(after, before, "the run itself is as it was");
    let text = folder.call(&["runs", "show", &run]).expect(0, &[]).stdout;
    assert!(text.contains(&format!("run {fork}, a fork from event")), "{text}");
    let text = folder.call(&["runs", "show", &fork]).expect(0, &[]).stdout;
    assert!(text.contains(&format!("fork of run {run} from its event")), "{text}");

    // Without an edit it ends as the other did; the same request finds the same fork.
    let args = ["runs", "fork", &run, "--from", "second@1", "--request", "once", "--json"];
    let one = folder.call(&args).expect(0, &[]).last();
    assert_eq!(one["result"], json!({ "total": 21 }));
    assert_eq!(id(&folder.call(&args).expect(0, &[]).last()), id(&one));
    // Under the same name, something else: refused, and told what differs.
    let other = ["runs", "fork", &run, "--from", "first", "--request", "once"];
    folder.call(&other).expect(3, &["the request `once` began run", &id(&one), "a fork from event"]);
    let other = ["runs", "fork", &run, "--from", "second", "--request", "once", "--set", "state.total=2"];
    folder.call(&other).expect(3, &["other values: it set nothing", "bandstand runs show"]);
}

// R5.1, R5.5
#[test]
fn a_fork_that_cannot_be_says_why_and_leaves_nothing() {
    let (folder, run) = sum();
    let fork = |more: &[&str]| -> Ended { folder.call(&[&["runs", "fork", &run], more].concat()) };
    fork(&["--from", "third"]).expect(3, &["never entered `third`", "it entered: first, second"]);
    fork(&["--from", "999"]).expect(3, &["the points are 1 to"]);
    let events = show(&folder, &run)["events"].to_string();
    fork(&["--from", &events]).expect(3, &["had succeeded by then"]);
    fork(&["--from", "second", "--set", "state.total=\"x\""])
        .expect(2, &["cannot set `state.total`", "a number"]);
    fork(&["--from", "second", "--set", "state.total=1.5"]).expect(2, &["state.total", "schema"]);
    fork(&["--from", "second", "--set", "total=1"]).expect(2, &["state.CHANNEL"]);
    fork(&["--from", "second", "--set", "state.total=x"]).expect(2, &["is not JSON"]);
    fork(&["--from", "second", "--set", "state.none=1"]).expect(2, &["there are: total"]);
    assert_eq!(folder.call(&["runs", "list", "--json"]).lines().len(), 1, "nothing was begun");
}

// R5.6: as it was, or as it is now.
#[test]
fn fork_and_rerun_take_the_files_as_they_were_or_as_they_are_now() {
    let (folder, run) = sum();
    folder.write("two.wasm", says("{\"n\":1000}"));
    folder.write("one.wasm", says("{\"n\":7}"));
    let again = folder.call(&["runs", "rerun", &run, "--json"]).expect(0, &[]).last();
    assert_eq!(again["result"], json!({ "total": 21 }));
    let latest = folder.call(&["runs", "rerun", &run, "--latest", "--json"]).expect(0, &[]).last();
    assert_eq!(latest["result"], json!({ "total": 2007 }));
    assert_eq!(
        show(&folder, &id(&latest))["from"],
        json!({ "run_id": run, "kind": "rerun", "seq": null, "path": null })
    );
    assert_eq!(show(&folder, &run)["forks"].as_array().unwrap().len(), 2);
    let fork = ["runs", "fork", &run, "--from", "second", "--json"];
    assert_eq!(folder.call(&fork).expect(0, &[]).last()["result"], json!({ "total": 21 }));
    let fork = [&fork[..], &["--latest=flow.yaml"]].concat();
    assert_eq!(folder.call(&fork).expect(0, &[]).last()["result"], json!({ "total": 2001 }));
    folder.write("flow.yaml", SUM.replace("second", "other"));
    folder
        .call(&fork)
        .expect(3, &["cannot go on from event", "`second@1`, which the workflow no longer has"]);
    std::fs::remove_file(folder.path().join("flow.yaml")).unwrap();
    folder.call(&["runs", "rerun", &run, "--latest"]).expect(2, &["no workflow file below here is `sum`"]);
    folder.write("flow.yaml", SUM.replace("next: second", "next: secund"));
    let faulty = folder.call(&["runs", "rerun", &run, "--latest"]);
    faulty.expect(2, &["flow.yaml has 1 error", "secund", "--> flow.yaml:"]);
    let again = folder.call(&["runs", "rerun", &run, "--json"]).expect(0, &[]).last();
    assert_eq!(again["result"], json!({ "total": 21 }), "what a run pins is kept");
}

// R5.5, R4.4
#[test]
fn a_retried_run_goes_on_where_it_failed() {
    let folder = project();
    folder.write("two.wasm", fails_first("{\"n\":10}"));
    let args = ["run", "flow.yaml", "--input", "{\"factor\": 2}", "--json"];
    let run = id(&folder.call(&args).expect(1, &[]).last());
    let retried =
        folder.call(&["runs", "retry", &run, "--by", "ann"]).expect(0, &["run retried by ann: second@1"]);
    assert_eq!(retried.json(), json!({ "total": 21 }));
    assert_eq!(calls(&folder, &run), ["first@1#1", "second@1#2"], "the first node is not called again");
    let shown = show(&folder, &run);
    assert_eq!((&shown["status"], &shown["retried"][0]["by"]), (&json!("succeeded"), &json!("ann")));
    folder.call(&["runs", "retry", &run]).expect(3, &["it is succeeded; only a failed run is retried"]);
    folder.call(&["runs", "replay", &run]).expect(0, &[]);
    folder.call(&["runs", "retry", "nope"]).expect(3, &["no run's id begins with"]);
}

// The check that an upgrade did not change history.
#[test]
fn a_replay_compares_and_tells_what_differs() {
    let (folder, run) = sum();
    let same = folder.call(&["runs", "replay", &run]).expect(0, &[]);
    assert!(same.stdout.contains("fold to what is stored"), "{}", same.stdout);
    assert_eq!(folder.call(&["runs", "replay", &run, "--json"]).expect(0, &[]).json()["same"], true);
    let file = folder.path().join(".bandstand/bandstand.db");
    let sql = |text: &str| rusqlite::Connection::open(&file).unwrap().execute(text, []).unwrap();
    sql("UPDATE runs SET status = 'failed'");
    let differs = folder.call(&["runs", "replay", &run]).expect(1, &[]);
    assert!(
        differs.stdout.contains("status") && differs.stdout.contains("by journal: succeeded"),
        "{}",
        differs.stdout
    );
    sql("UPDATE runs SET status = 'succeeded'");
    folder.call(&["runs", "replay", &run]).expect(0, &[]);
    sql("UPDATE journal SET at = at + 1 WHERE seq > 0");
    let differs = folder.call(&["runs", "replay", &run, "--json"]).expect(1, &[]).json();
    assert!(
        differs["differences"][0]["by_journal"].as_str().unwrap().contains("damaged at event"),
        "{differs}"
    );
}

// R5.5
#[test]
fn an_exported_run_lives_on_in_another_data_directory() {
    let (folder, run) = sum();
    folder.call(&["runs", "export", &run, "--output", "run.ndjson"]).expect(0, &["is in run.ndjson"]);
    let text = std::fs::read_to_string(folder.path().join("run.ndjson")).unwrap();
    assert_eq!(folder.call(&["runs", "export", &run]).expect(0, &[]).stdout, text, "the same on stdout");
    let there = |args: &[&str]| folder.call(&[args, &["--data", "there"]].concat());
    assert_eq!(there(&["runs", "import", "run.ndjson"]).expect(0, &[]).stdout.trim(), run);
    there(&["runs", "import", "run.ndjson"]).expect(3, &["is in this store already"]);
    there(&["runs", "replay", &run]).expect(0, &[]);
    let events = |data: &str| {
        folder.call(&["runs", "show", &run, "--events", "--json", "--data", data]).expect(0, &[]).stdout
    };
    assert_eq!(events("there"), events(".bandstand"));
    let fork = there(&["runs", "fork", &run, "--from", "second", "--json"]).expect(0, &[]).last();
    assert_eq!(fork["result"], json!({ "total": 21 }), "its plugins came with it");

    for (changed, why) in [
        (text.replacen("attempt", "attemqt", 1), "is damaged"),
        (text[..text.len() / 2].to_owned(), "cut off"),
        (text.replacen("{\"bandstand_run\":1", "{\"bandstand_run\":9", 1), "use the newer host"),
        ("name: x\n".to_owned(), "no exported run"),
    ] {
        folder.write("bad.ndjson", changed);
        folder
            .call(&["runs", "import", "bad.ndjson", "--data", "other"])
            .expect(2, &["bad.ndjson is not imported", why]);
    }
    folder.call(&["runs", "import", "missing", "--data", "other"]).expect(2, &["cannot be read"]);
    assert_eq!(folder.call(&["runs", "list", "--json", "--data", "other"]).stdout, "", "nothing changed");
}

const ASKING: &str = "\
format: 1
name: asking
version: 1
nodes:
  ask: { review: { title: \"well?\" }, approved: end, rejected: end }
result: { decision: \"${{ review.decision }}\" }
";

// R5.5, R2.1: an open run can be imported, and goes on there when somebody drives it; a fork asks anew.
#[test]
fn an_open_run_goes_on_where_it_was_imported() {
    let folder = Folder::new();
    folder.write("flow.yaml", ASKING);
    let run = id(&folder.call(&["run", "flow.yaml", "--json"]).expect(4, &[]).last());
    folder.call(&["runs", "export", &run, "-o", "run.ndjson"]).expect(0, &[]);
    folder.call(&["runs", "import", "run.ndjson", "--data", "there"]).expect(0, &["if it goes on there"]);
    let reviews = folder.call(&["review", "list", "--json", "--data", "there"]).lines();
    let review = reviews[0]["review_id"].as_str().unwrap();
    folder.call(&["review", "approve", review, "--by", "ann", "--data", "there"]).expect(0, &[]);
    assert_eq!(show(&folder, &run)["status"], "waiting", "here it is as it was");

    // Open here: a review of its own, and nothing of the other one's.
    let seq = show(&folder, &run)["events"].to_string();
    let fork = id(&folder.call(&["runs", "fork", &run, "--from", &seq, "--json"]).expect(4, &[]).last());
    let reviews = folder.call(&["review", "list", "--json"]).lines();
    assert_eq!(reviews.len(), 2);
    let own = reviews.iter().find(|line| line["run_id"] == json!(fork)).unwrap();
    assert_ne!(own["review_id"], json!(review));
    let own = own["review_id"].as_str().unwrap().to_owned();
    folder.call(&["review", "reject", &own, "--by", "ann"]).expect(0, &[]);
    assert_eq!(show(&folder, &fork)["result"], json!({ "decision": "rejected" }));
    assert_eq!(show(&folder, &run)["status"], "waiting");
    folder.call(&["runs", "watch", &run]).expect(4, &["waits for 1 review"]);
    folder.call(&["runs", "watch", &fork]).expect(0, &["run succeeded"]);
}

// R8.1: another process drives, this one only looks.
#[test]
fn a_watch_follows_what_another_process_drives() {
    let folder = Folder::new();
    let text = "format: 1\nname: slow\nversion: 1\nnodes:\n  rest: { wait: { for: 1s }, next: done }\n  \
                done: { value: { well: true }, next: end }\n";
    folder.write("flow.yaml", text);
    let mut driving =
        folder.command(&["run", "flow.yaml", "--json"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let run = loop {
        let runs = folder.call(&["runs", "list", "--json"]);
        if let Some(line) = runs.stdout.lines().next() {
            break id(&serde_json::from_str(line).unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let watched = folder.call(&["runs", "watch", &run, "--json"]).expect(0, &[]).lines();
    assert!(driving.wait().unwrap().success());
    let (last, events) = watched.split_last().unwrap();
    assert_eq!((&last["type"], &last["result"]), (&json!("outcome"), &json!({ "well": true })));
    let stored = folder.call(&["runs", "show", &run, "--events", "--json"]).expect(0, &[]).lines();
    assert_eq!(events, stored);
    let lines = folder.call(&["runs", "watch", &run]).expect(0, &["rest@1", "run succeeded"]);
    assert_eq!(lines.json(), json!({ "well": true }));
}

// R5.5: the run's row tells of the latest end, also when that is the same failure at once.
#[test]
fn a_retry_that_fails_again_is_the_runs_new_end() {
    let folder = Folder::new();
    folder.write(
        "fails.yaml",
        "format: 1\nname: fails\nversion: 1\nnodes:\n  no: { fail: { code: never, message: no } }\n",
    );
    folder.call(&["run", "fails.yaml"]).expect(1, &["never"]);
    let run = folder.call(&["runs", "list", "--json"]).last()["run_id"].as_str().unwrap().to_owned();
    let first = show(&folder, &run)["ended_at"].clone();
    folder.call(&["runs", "retry", &run]).expect(1, &["never"]);
    assert_ne!(show(&folder, &run)["ended_at"], first);
    folder.call(&["runs", "replay", &run]).expect(0, &[]);
}

// R5.5, R5.4
#[test]
fn an_imported_run_answers_no_request_of_a_run_that_was_begun_here() {
    let (here, there) = (project(), project());
    let start = |folder: &Folder| {
        folder.write("say.yaml", "format: 1\nname: say\nversion: 1\nnodes:\n  a: { value: 1, next: end }\n");
        folder.call(&["run", "say.yaml", "--request", "once", "--json"]).expect(0, &[]);
        folder.call(&["runs", "list", "--json"]).last()["run_id"].as_str().unwrap().to_owned()
    };
    let (local, other) = (start(&here), start(&there));
    there.call(&["runs", "export", &other, "--output", "other.ndjson"]).expect(0, &[]);
    let file = there.path().join("other.ndjson");
    here.call(&["runs", "import", file.to_str().unwrap()]).expect(0, &[]);
    let again = here.call(&["run", "say.yaml", "--request", "once", "--json"]).expect(0, &[]);
    assert_eq!(again.last()["run_id"], json!(local));
}

// R5.3, R5.5
#[test]
fn a_fork_begins_where_a_checkpoint_was_passed() {
    let folder = project();
    let flow = SUM
        .replace(
            "next: second }",
            "checkpoint: counted, next: [{ when: \"visit < 2\", to: first }, { to: second }] }",
        )
        .replace("next: end }", "checkpoint: first, next: end }");
    folder.write("flow.yaml", flow);
    let last =
        folder.call(&["run", "flow.yaml", "--input", "{\"factor\": 2}", "--json"]).expect(0, &[]).last();
    assert_eq!(last["result"], json!({ "total": 22 }));
    let run = id(&last);
    let fork = |from: &str| folder.call(&["runs", "fork", &run, "--from", from, "--set", "state.total=100"]);
    assert_eq!(
        fork("counted").expect(0, &[]).json(),
        json!({ "total": 120 }),
        "the last time: second is left"
    );
    assert_eq!(
        fork("counted@1").expect(0, &[]).json(),
        json!({ "total": 121 }),
        "the first time: first again"
    );
    assert_eq!(fork("checkpoint:counted@2").expect(0, &[]).json(), json!({ "total": 120 }));
    fork("counted@3").expect(3, &["passed that checkpoint 2 times"]);
    fork("first").expect(2, &["a node and a checkpoint", "--from first@1", "--from checkpoint:first"]);
    assert_eq!(fork("first@2").expect(0, &[]).json(), json!({ "total": 121 }), "the visit");
    fork("checkpoint:first").expect(3, &["ended when it had passed", "an earlier point"]);
    fork("never").expect(3, &["nor passed a checkpoint", "it passed the checkpoints: counted, first"]);
}
