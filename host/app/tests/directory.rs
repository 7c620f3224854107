//! What may happen to the data directory and to whoever holds it: it is stopped, or files go missing under it.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bandstand::{Ended, Folder};
use serde_json::json;

const QUICK: &str =
    "format: 1\nname: quick\nversion: 1\nnodes:\n  go: { value: { a: 1 }, next: end }\nresult: { a: 1 }\n";

/// A run that waits so long.
fn slow(span: &str) -> String {
    format!(
        "format: 1\nname: slow\nversion: 1\nnodes:\n  pause: {{ wait: {{ for: {span} }}, next: end }}\nresult: {{ done: true }}\n"
    )
}

/// A process that holds the data directory and waits.
struct Holder {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    run_id: String,
}

impl Holder {
    fn start(folder: &Folder, span: &str) -> Holder {
        folder.write("slow.yaml", slow(span));
        let mut command = folder.command(&["run", "slow.yaml", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap).find(|line| line.contains("wait.started")).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        Holder { child, lines, run_id: line["run_id"].as_str().unwrap().to_owned() }
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// How it ends; what it says on stdout meanwhile is not kept.
    fn wait(self) -> Ended {
        self.lines.for_each(drop);
        Ended::of(self.child.wait_with_output().unwrap())
    }
}

// R5.4
#[test]
fn a_holder_that_was_stopped_is_named_and_not_waited_for_without_end() {
    let folder = Folder::new();
    folder.write("quick.yaml", QUICK);
    let holder = Holder::start(&folder, "5m");
    let id = holder.run_id.clone();
    let follow = ["runs", "drive", &id, "--json"];
    let mut follower = folder.command(&follow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut told = BufReader::new(follower.stdout.take().unwrap());
    told.read_line(&mut first).unwrap();
    assert!(first.contains("run.started"), "it follows: {first}");
    holder.signal("-STOP");
    let begun = Instant::now();
    let pid = format!("process {}", holder.child.id());
    let (look, on) = (
        format!("ps -o pid,stat,args -p {}", holder.child.id()),
        format!("kill -CONT {}", holder.child.id()),
    );
    let says = [pid.as_str(), ".bandstand", &look, &on, "--data"];
    let calls = [
        vec!["run", "quick.yaml"],
        vec!["runs", "drive", &id],
        vec!["runs", "cancel", &id, "--yes", "--by", "ada"],
    ];
    std::thread::scope(|scope| {
        for args in &calls {
            let (folder, says) = (&folder, &says);
            scope.spawn(move || folder.call(args).expect(3, says));
        }
    });
    // Whoever followed it before it was stopped hears it, too.
    let last = told.lines().map(Result::unwrap).last();
    Ended::of(follower.wait_with_output().unwrap()).expect(3, &says);
    assert!(last.is_none_or(|line| !line.contains("succeeded")));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    // Those that only read do not need it, and it is as good as new when it goes on.
    assert_eq!(folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines()[0]["status"], "waiting");
    holder.signal("-CONT");
    assert_eq!(folder.call(&["run", "quick.yaml"]).expect(0, &[]).json(), json!({"a": 1}));
    holder.signal("-INT");
    holder.wait().expect(130, &[]);
}

// R5.4
#[test]
fn a_holder_that_has_nothing_to_say_for_long_is_waited_for() {
    let folder = Folder::new();
    // Longer than a holder may be silent.
    let holder = Holder::start(&folder, "13s");
    assert_eq!(folder.call(&["runs", "drive", &holder.run_id]).expect(0, &[]).json(), json!({"done": true}));
    holder.wait().expect(0, &[]);
}

// R5.1
#[test]
fn a_host_whose_directory_is_removed_or_moved_ends_at_once_and_writes_no_more() {
    let folder = Folder::new();
    let data = folder.path().join(".bandstand");
    let says = ["error: the data directory .bandstand was removed, moved or replaced", "help: "];
    let holder = Holder::start(&folder, "5m");
    std::fs::remove_dir_all(&data).unwrap();
    let begun = Instant::now();
    holder.wait().expect(74, &says);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(!data.exists(), "nothing was made anew");
    // Moved back, nothing is lost.
    let holder = Holder::start(&folder, "6s");
    let (id, moved) = (holder.run_id.clone(), folder.path().join("moved"));
    std::fs::rename(&data, &moved).unwrap();
    // Replaced: another host has another directory there.
    folder.write("quick.yaml", QUICK);
    folder.call(&["run", "quick.yaml"]).expect(0, &[]);
    holder.wait().expect(74, &says);
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&moved, &data).unwrap();
    assert_eq!(folder.call(&["runs", "drive", &id]).expect(0, &[]).json(), json!({"done": true}));
}

/// A run that has asked a person before it calls its agent, and where its plugin is kept.
fn before_the_call(folder: &Folder) -> (String, String, PathBuf) {
    folder.write("agent.wasm", agent::says("{\"said\":1}"));
    folder.write(
        "flow.yaml",
        "format: 1\nname: late\nversion: 1\nplugins:\n  agent: { path: agent.wasm }\nnodes:\n  ask:\n    \
         review: { title: Go on?, propose: { a: 1 } }\n    approved: call\n    rejected: end\n  \
         call: { agent: agent, next: end }\n",
    );
    folder.call(&["run", "flow.yaml"]).expect(4, &[]);
    let reviews = folder.call(&["review", "list", "--json"]).lines();
    let text = |name: &str| reviews[0][name].as_str().unwrap().to_owned();
    let kept: Vec<_> = std::fs::read_dir(folder.path().join(".bandstand/plugins")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    let kept = kept.into_iter().next().unwrap().unwrap().path();
    (text("run_id"), text("review_id"), kept)
}

fn names_of_events(folder: &Folder, id: &str) -> Vec<String> {
    let events = folder.call(&["runs", "show", id, "--events", "--json"]).expect(0, &[]).lines();
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

// R5.1, R5.4
#[test]
fn a_run_whose_plugin_file_is_gone_is_stuck_says_so_and_goes_on_when_it_is_back() {
    let folder = Folder::new();
    let (id, review, kept) = before_the_call(&folder);
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    let digest = file_name(&kept).replace("sha256-", "sha256:").replace(".wasm", "");
    let drive = format!("bandstand runs drive {id}");
    let says = ["is stuck", digest.as_str(), file_name(&kept), "put the same file back", &drive];
    // The answer is taken; what it leads to is not started.
    folder.call(&["review", "approve", &review, "--by", "ada"]).expect(1, &says);
    let ended = folder.call(&["runs", "drive", &id, "--json"]).expect(1, &[]);
    assert_eq!(ended.last()["status"], "stuck");
    assert!(ended.last()["error"]["message"].as_str().unwrap().contains(&digest), "{ended:#?}");
    let listed = folder.call(&["runs", "list", "--status", "stuck", "--json"]).lines();
    assert_eq!((listed.len(), &listed[0]["held"]), (1, &json!(null)), "{listed:?}");
    let shown = folder.call(&["runs", "show", &id, "--json"]).json();
    assert_eq!(shown["status"], "stuck");
    assert!(shown["problem"].as_str().unwrap().contains(&digest), "{shown}");
    let text = folder.call(&["runs", "show", &id]).expect(0, &[]).stdout;
    assert!(text.contains(&digest) && text.contains(&drive), "{text}");
    // Half of it is not it.
    std::fs::write(&kept, &bytes[..bytes.len() / 2]).unwrap();
    folder
        .call(&["runs", "drive", &id])
        .expect(1, &["is stuck", "does not have the digest of its name", &drive]);
    let before = names_of_events(&folder, &id);
    assert!(
        !before.iter().any(|name| name.starts_with("attempt.") && name != "attempt.scheduled"),
        "{before:?}"
    );

    std::fs::write(&kept, &bytes).unwrap();
    assert_eq!(folder.call(&["runs", "drive", &id]).expect(0, &[]).json(), json!({"said": 1}));
    let after = names_of_events(&folder, &id);
    assert_eq!(after[..before.len()], before[..], "nothing was lost");
    let attempts: Vec<_> = after.iter().filter(|name| name.starts_with("attempt.")).collect();
    assert_eq!(attempts, ["attempt.scheduled", "attempt.succeeded"], "and nothing spent");
    let shown = folder.call(&["runs", "show", &id, "--json"]).json();
    assert_eq!((&shown["status"], &shown["problem"]), (&json!("succeeded"), &json!(null)));
}

// R5.4
#[test]
fn a_run_that_is_stuck_can_be_cancelled() {
    let folder = Folder::new();
    let (id, review, kept) = before_the_call(&folder);
    std::fs::remove_file(&kept).unwrap();
    folder.call(&["review", "approve", &review, "--by", "ada"]).expect(1, &["is stuck"]);
    folder.call(&["runs", "cancel", &id, "--yes", "--by", "ada"]).expect(0, &["cancelled"]);
    let shown = folder.call(&["runs", "show", &id, "--json"]).json();
    assert_eq!((&shown["status"], &shown["problem"]), (&json!("cancelled"), &json!(null)));
}
