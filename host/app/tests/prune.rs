//! Deleting runs with the real binary: by hand, by `[retention]`, by a host that drives all (R5.7).

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use bandstand::Folder;
use serde_json::{Value, json};

/// Succeeds, fails, or waits for a person, as its input says.
const FLOW: &str = "\
format: 1
name: flow
version: 1
plugins: { echo: { builtin: echo } }
nodes:
  say: { agent: echo, input: { text: \"${{ input.text }}\" }, next: [{ when: \"input.do == 'fail'\", to: fail }, { when: \"input.do == 'ask'\", to: ask }, { to: end }] }
  ask: { review: { title: Go on? }, approved: end, rejected: end }
  fail: { fail: { code: asked-to, message: \"the input says so\" } }
";

fn run(folder: &Folder, what: &str, text: &str) -> String {
    let input = json!({ "do": what, "text": text }).to_string();
    let ended = folder.call(&["run", "flow.yaml", "--json", "--no-ask", "--input", &input]);
    ended.last()["run_id"].as_str().unwrap().to_owned()
}

fn listed(folder: &Folder) -> Vec<String> {
    let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines();
    runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

fn plugins(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path().join(".bandstand/plugins")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// As if the plugins had last been asked for yesterday.
fn age_plugins(folder: &Folder) {
    for path in plugins(folder) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    }
}

fn file_bytes(folder: &Folder) -> u64 {
    std::fs::metadata(folder.path().join(".bandstand/bandstand.db")).unwrap().len()
}

// R5.7
#[test]
fn a_run_is_deleted_when_it_has_ended_and_somebody_is_sure() {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    let (done, failed, waiting) =
        (run(&folder, "", "a"), run(&folder, "fail", "b"), run(&folder, "ask", "c"));
    // Where nobody can be asked, it must be said.
    folder.call(&["runs", "delete", &done]).expect(2, &["cannot be undone", "--yes"]);
    // One that has not ended keeps the others.
    let refused = folder.call(&["runs", "delete", "--yes", &done, &waiting]);
    refused.expect(3, &[&waiting, "has not ended: it is waiting", "bandstand runs cancel"]);
    assert_eq!(listed(&folder).len(), 3);
    let deleted = folder.call(&["runs", "delete", "--yes", "--json", &done, &failed, &done]).expect(0, &[]);
    assert_eq!(
        deleted.lines(),
        [json!({ "run_id": done, "deleted": true }), json!({ "run_id": failed, "deleted": true })]
    );
    assert_eq!(listed(&folder), [waiting.as_str()]);
    folder.call(&["runs", "show", &done]).expect(3, &["no run's id begins with"]);
    folder.call(&["runs", "delete", "--yes", &done]).expect(3, &["bandstand runs list"]);
    // The other one goes on with what all three pinned.
    let review =
        folder.call(&["review", "list", "--json"]).lines()[0]["review_id"].as_str().unwrap().to_owned();
    folder.call(&["review", "approve", &review]).expect(0, &[]);
    folder.call(&["runs", "delete", "--yes", &waiting]).expect(0, &["is deleted"]);
    assert_eq!(listed(&folder), Vec::<String>::new());
}

// R5.7
#[test]
fn prune_tells_what_goes_and_takes_it() {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    folder.call(&["prune", "--dry-run"]).expect(0, &["no `[retention]`"]);
    let large = |letter: &str| letter.repeat(60_000);
    for letter in ["a", "b", "c", "d"] {
        run(&folder, "", &large(letter));
    }
    let waiting = run(&folder, "ask", &large("e"));
    let failed = run(&folder, "fail", "f");
    folder.write("bandstand.toml", "[retention]\ncount = 1\n[retention.status.failed]\ncount = 5\n");
    let before = file_bytes(&folder);
    let told = folder.call(&["prune", "--dry-run", "--json"]).expect(0, &[]).lines();
    let [group, total] = &told[..] else { panic!("{told:?}") };
    let bytes = group["bytes"].as_u64().unwrap();
    assert!(bytes > 3 * 60_000, "{bytes}");
    assert_eq!(
        *group,
        json!({ "type": "group", "workflow": "flow", "status": "succeeded", "because": "count", "runs": 3, "bytes": bytes })
    );
    assert_eq!(
        (&total["runs"], &total["bytes"], &total["dry_run"]),
        (&json!(3), &json!(bytes), &json!(true))
    );
    assert_eq!(listed(&folder).len(), 6, "nothing was deleted");
    let table = folder.call(&["prune", "--dry-run"]).expect(0, &["3 runs of", "nothing was deleted"]).stdout;
    assert!(table.contains("WORKFLOW") && table.contains("succeeded"), "{table}");

    age_plugins(&folder);
    let done = folder.call(&["prune", "--json"]).expect(0, &[]).last();
    assert_eq!((&done["runs"], &done["bytes"], &done["plugins"]), (&json!(3), &json!(bytes), &json!(0)));
    assert_eq!(file_bytes(&folder), before - done["file_bytes"].as_u64().unwrap(), "the file is shorter");
    assert!(done["file_bytes"].as_u64().unwrap() > 100_000, "{done}");
    let left = listed(&folder);
    assert!(left.len() == 3 && left.contains(&waiting) && left.contains(&failed), "{left:?}");
    assert_eq!(folder.call(&["prune", "--json"]).expect(0, &[]).last()["runs"], 0);

    // What waits goes on; the plugin goes with the last run that pins it.
    folder.call(&["runs", "cancel", "--yes", &waiting]).expect(0, &[]);
    folder.write("bandstand.toml", "[retention]\ncount = 0\n");
    assert_eq!(plugins(&folder).len(), 1);
    age_plugins(&folder);
    let done = folder.call(&["prune", "--json"]).expect(0, &[]).last();
    assert_eq!((&done["runs"], &done["plugins"]), (&json!(3), &json!(1)));
    assert_eq!(plugins(&folder), Vec::<PathBuf>::new());
    // A plugin that was only just asked for stays: its run may be about to begin.
    run(&folder, "", "again");
    let done = folder.call(&["prune", "--json"]).expect(0, &[]).last();
    assert_eq!((&done["runs"], &done["plugins"]), (&json!(1), &json!(0)));
    run(&folder, "", "and again");
}

// R5.7
#[test]
fn a_host_that_drives_all_applies_retention() {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    folder.write(
        "nap.yaml",
        "format: 1\nname: nap\nversion: 1\nnodes: { nap: { wait: { for: 1h }, next: end } }\n",
    );
    for letter in ["a", "b", "c"] {
        run(&folder, "", letter);
    }
    let mut nap = folder
        .command(&["run", "nap.yaml", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while listed(&folder).len() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    nap.kill().unwrap();
    nap.wait().unwrap();
    folder.write("bandstand.toml", "[retention.workflow.flow]\ncount = 1\n");
    let mut host = folder
        .command(&["runs", "drive", "--all"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while listed(&folder).len() > 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing goes");
        std::thread::sleep(Duration::from_millis(50));
    }
    // By hand through the socket of that host.
    folder.write("bandstand.toml", "[retention]\ncount = 0\n");
    let done: Value = folder.call(&["prune", "--json"]).expect(0, &[]).last();
    assert_eq!(done["runs"], 1);
    assert!(host.try_wait().unwrap().is_none(), "it still waits for the nap");
    host.kill().unwrap();
    host.wait().unwrap();
    let left = folder.call(&["runs", "list", "--json"]).lines();
    assert_eq!((left.len(), &left[0]["workflow"]), (1, &json!("nap")));
}
