//! R5.8: threads on the real binary: what one run leaves to the next, and what happens to a second run.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bandstand::{Ended, Folder};
use serde_json::{Value, json};

const CHAT: &str = "\
format: 1
name: chat
version: 1
thread: { second-run: reject }
input: { type: object, properties: { n: { type: integer }, to: { type: string, default: end } } }
state: { log: { reduce: append, keep: thread, schema: { type: array, items: { type: integer } } } }
nodes:
  hear:
    update: { log: [\"${{ input.n }}\"] }
    next:
      - { when: \"input.to == 'review'\", to: ask }
      - { when: \"input.to == 'nap'\", to: nap }
      - { when: \"input.to == 'fail'\", to: fail }
      - { to: end }
  ask: { review: { title: Good? }, approved: tell, rejected: end }
  tell: { update: { log: [0] }, next: end }
  nap: { wait: { for: 1500ms }, next: end }
  fail: { fail: { code: asked-to, message: the input says so } }
result: \"${{ state.log }}\"
";

fn project(second_run: &str) -> Folder {
    let folder = Folder::new();
    folder.write("chat.yaml", CHAT.replace("second-run: reject", &format!("second-run: {second_run}")));
    folder
}

fn input(n: u32, to: &str) -> String {
    json!({ "n": n, "to": to }).to_string()
}

/// A run in thread `t`.
fn say(folder: &Folder, n: u32, to: &str) -> Ended {
    folder.call(&["run", "chat.yaml", "--json", "--no-ask", "--thread", "t", "--input", &input(n, to)])
}

/// The same, while the test goes on.
fn say_meanwhile(folder: &Folder, n: u32, to: &str) -> Child {
    let input = input(n, to);
    let args = ["run", "chat.yaml", "--json", "--no-ask", "--thread", "t", "--input", &input];
    folder.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn id(ended: &Ended) -> String {
    ended.last()["run_id"].as_str().unwrap().to_owned()
}

fn show(folder: &Folder, run: &str) -> Value {
    folder.call(&["runs", "show", run, "--json"]).expect(0, &[]).json()
}

fn approve(folder: &Folder, run: &str) -> Ended {
    let review = show(folder, run)["waiting_for"][0]["review_id"].as_str().unwrap().to_owned();
    folder.call(&["review", "approve", &review, "--by", "ann"])
}

fn runs(folder: &Folder) -> Vec<Value> {
    folder.call(&["runs", "list", "--json", "--thread", "t"]).expect(0, &[]).lines()
}

/// Waits until there are so many runs of the thread that have not ended.
fn until_open(folder: &Folder, count: usize) {
    let begun = Instant::now();
    loop {
        let listed = folder.call(&["runs", "list", "--json", "--thread", "t"]);
        let open = listed.stdout.lines().filter(|line| line.contains("\"ended_at\":null")).count();
        if open >= count {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{listed:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// R5.8
#[test]
fn a_run_goes_on_with_what_its_thread_keeps() {
    let folder = project("reject");
    assert_eq!(say(&folder, 1, "end").expect(0, &[]).last()["result"], json!([1]));
    assert_eq!(say(&folder, 2, "end").expect(0, &[]).last()["result"], json!([1, 2]));
    let other = |args: &[&str]| {
        let base = ["run", "chat.yaml", "--json", "--input", "{\"n\": 9}"];
        let args: Vec<&str> = base.iter().chain(args).copied().collect();
        folder.call(&args).expect(0, &[]).last()["result"].clone()
    };
    assert_eq!(other(&["--thread", "u"]), json!([9]), "another thread");
    assert_eq!(other(&[]), json!([9]), "no thread");
    assert_eq!(other(&[]), json!([9]), "nothing is kept without one");
    // A failed run writes nothing more.
    say(&folder, 3, "fail").expect(1, &[]);
    assert_eq!(say(&folder, 4, "end").expect(0, &[]).last()["result"], json!([1, 2, 4]));
    // A rerun begins with what the thread has now.
    let first = runs(&folder).pop().unwrap()["run_id"].as_str().unwrap().to_owned();
    let again = folder.call(&["runs", "rerun", &first, "--json"]).expect(0, &[]);
    assert_eq!(again.last()["result"], json!([1, 2, 4, 1]));
}

// R5.8
#[test]
fn a_second_run_is_refused_and_told_which_run_has_the_thread() {
    let folder = project("reject");
    let first = id(&say(&folder, 1, "review").expect(4, &[]));
    let second = say(&folder, 2, "end").expect(3, &["thread `t`", "bandstand runs cancel"]);
    assert!(second.stderr.contains(&first), "{second:#?}");
    assert_eq!(runs(&folder).len(), 1, "nothing was recorded");
    // So is a fork of the run that has it, and nobody else is concerned.
    folder.call(&["runs", "fork", &first, "--from", "tell"]).expect(3, &[]);
    let fork = folder.call(&["runs", "fork", &first, "--from", "hear"]).expect(3, &["thread `t`"]);
    assert!(fork.stderr.contains(&first), "{fork:#?}");
    folder.call(&["run", "chat.yaml", "--thread", "u", "--input", "{\"n\": 5}"]).expect(0, &[]);
    assert_eq!(show(&folder, &first)["lease"], json!({ "is": "held" }));
    let text = folder.call(&["runs", "show", &first]).expect(0, &[]).stdout;
    assert!(text.contains("t (no other run writes it until this one ends)"), "{text}");
    approve(&folder, &first).expect(0, &[]);
    assert_eq!(show(&folder, &first)["lease"], Value::Null);
    assert_eq!(say(&folder, 3, "end").expect(0, &[]).last()["result"], json!([1, 0, 3]));
}

// R5.8
#[test]
fn a_queued_run_begins_when_the_one_before_it_has_ended() {
    let folder = project("queue");
    let first = id(&say(&folder, 1, "review").expect(4, &[]));
    let second = say(&folder, 2, "end").expect(4, &[]);
    assert_eq!(second.last()["queued_behind"], json!(first));
    let second = id(&second);
    let third = folder
        .call(&["run", "chat.yaml", "--no-ask", "--thread", "t", "--input", &input(3, "end")])
        .expect(4, &["waits for its thread, which run", "that one waits for a person"]);
    assert!(third.stderr.contains(&first), "{third:#?}");
    let listed = folder.call(&["runs", "list"]).expect(0, &[]).stdout;
    assert!(listed.contains(&format!("waiting behind {first} in thread t")), "a pipe is not cut: {listed}");
    let shown = show(&folder, &second);
    assert_eq!((shown["status"].clone(), shown["events"].clone()), (json!("waiting"), json!(1)));
    assert_eq!(shown["waiting_for"], json!([{ "kind": "thread", "thread_id": "t", "behind": first }]));
    let text = folder.call(&["runs", "show", &second]).expect(0, &[]).stdout;
    assert!(text.contains(&format!("thread t, which run {first} has")), "{text}");
    // Whoever only looks is told the same.
    let watched = folder.call(&["runs", "watch", &second, "--json"]).expect(4, &[]);
    assert_eq!(watched.last()["queued_behind"], json!(first));
    folder.call(&["runs", "replay", &second]).expect(0, &[]);

    approve(&folder, &first).expect(0, &[]);
    // Driving the last one drives those before it.
    let third = runs(&folder)[0]["run_id"].as_str().unwrap().to_owned();
    let driven = folder.call(&["runs", "drive", &third, "--json"]).expect(0, &[]);
    assert_eq!(driven.last()["result"], json!([1, 0, 2, 3]));
    assert_eq!(show(&folder, &second)["result"], json!([1, 0, 2]));
}

// R5.5, R5.8
#[test]
fn a_queued_run_can_be_cancelled_killed_and_paused() {
    let folder = project("queue");
    let first = id(&say(&folder, 1, "review").expect(4, &[]));
    let queued: Vec<String> = (2..6).map(|n| id(&say(&folder, n, "end").expect(4, &[]))).collect();
    folder.call(&["runs", "cancel", "--yes", &queued[0]]).expect(0, &["cancelled"]);
    folder.call(&["runs", "kill", "--yes", &queued[1]]).expect(0, &["killed"]);
    folder.call(&["runs", "pause", &queued[2]]).expect(0, &["paused"]);
    approve(&folder, &first).expect(0, &[]);
    // In its turn the paused run has the thread, and rests there.
    let last = folder.call(&["runs", "drive", &queued[3], "--json"]).expect(4, &[]);
    assert_eq!(last.last()["queued_behind"], json!(queued[2]));
    assert_eq!(show(&folder, &queued[2])["lease"], json!({ "is": "held" }));
    folder.call(&["runs", "resume", &queued[2]]).expect(0, &[]);
    assert_eq!(show(&folder, &queued[2])["result"], json!([1, 0, 4]));
    let last = folder.call(&["runs", "drive", &queued[3], "--json"]).expect(0, &[]);
    assert_eq!(last.last()["result"], json!([1, 0, 4, 5]));
}

// R5.8
#[test]
fn an_interrupting_run_cancels_the_first_and_keeps_what_it_wrote() {
    let folder = project("interrupt");
    let first = id(&say(&folder, 1, "review").expect(4, &[]));
    let second = say(&folder, 2, "end").expect(0, &[]);
    assert_eq!(second.last()["result"], json!([1, 2]), "the first had written when it waited");
    let shown = show(&folder, &first);
    assert_eq!((&shown["status"], &shown["cancelled"]["by"]), (&json!("cancelled"), &json!("second-run")));
    let reason = shown["cancelled"]["reason"].as_str().unwrap();
    assert!(reason.contains(&id(&second)), "{reason}");
    // What cannot begin interrupts nothing.
    let third = id(&say(&folder, 3, "review").expect(4, &[]));
    folder
        .call(&["run", "chat.yaml", "--thread", "t", "--input", "{\"n\": \"text\"}"])
        .expect(2, &["does not fit"]);
    assert_eq!(show(&folder, &third)["status"], json!("waiting"));
}

// R5.8, language 7
#[test]
fn a_value_that_breaks_the_schema_fails_the_start_and_names_the_channel() {
    let folder = project("queue");
    say(&folder, 1, "end").expect(0, &[]);
    folder.write("chat.yaml", CHAT.replace("items: { type: integer }", "maxItems: 0"));
    say(&folder, 2, "end").expect(2, &["channel `log`", "thread `t`", "breaks its schema"]);
    assert_eq!(runs(&folder).len(), 1, "nothing was recorded");
}

// R5.5, R5.8
#[test]
fn a_retry_and_a_fork_wait_for_their_thread() {
    let folder = project("queue");
    let failed = id(&say(&folder, 1, "fail").expect(1, &[]));
    let holder = id(&say(&folder, 2, "review").expect(4, &[]));
    let retried = folder.call(&["runs", "retry", &failed, "--json"]).expect(4, &[]);
    assert_eq!(retried.last()["queued_behind"], json!(holder));
    let forked = folder.call(&["runs", "fork", &holder, "--from", "ask", "--json"]).expect(4, &[]);
    assert_eq!(forked.last()["queued_behind"], json!(holder));
    approve(&folder, &holder).expect(0, &[]);
    // It is reached again, and fails again.
    folder.call(&["runs", "drive", &failed]).expect(1, &[]);
    let fork = id(&forked);
    folder.call(&["runs", "drive", &fork, "--no-ask"]).expect(4, &["waits for 1 review"]);
    approve(&folder, &fork).expect(0, &[]);
    assert_eq!(show(&folder, &fork)["result"], json!([2, 0]), "it kept the values of its point");
}

// R5.8, R5.6: the order and the values hold between processes, and when the one that drives is killed.
#[test]
fn queued_runs_of_many_processes_go_on_when_one_is_killed() {
    let folder = project("queue");
    let mut first = say_meanwhile(&folder, 1, "nap");
    until_open(&folder, 1);
    let others: Vec<Child> = (2..5)
        .map(|n| {
            let child = say_meanwhile(&folder, n, "end");
            until_open(&folder, n as usize);
            child
        })
        .collect();
    first.kill().unwrap();
    first.wait().unwrap();
    let mut longest = 0;
    for child in others {
        let ended = Ended::of(child.wait_with_output().unwrap()).expect(0, &[]);
        longest = longest.max(ended.last()["result"].as_array().unwrap().len());
    }
    assert_eq!(longest, 4);
    assert_eq!(say(&folder, 5, "end").expect(0, &[]).last()["result"], json!([1, 2, 3, 4, 5]));
}

// R5.7, R5.8: what a thread keeps stays when its runs go, until it is forgotten.
#[test]
fn a_thread_outlives_its_runs_until_it_is_forgotten() {
    let folder = project("reject");
    let run = id(&say(&folder, 1, "end").expect(0, &[]));
    folder.call(&["runs", "delete", "--yes", &run]).expect(0, &[]);
    let second = say(&folder, 2, "review").expect(4, &[]);
    let listed = folder.call(&["thread", "list", "--json"]).expect(0, &[]).lines();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["workflow"], &listed[0]["thread_id"], &listed[0]["holder"]),
        (&json!("chat"), &json!("t"), &json!(id(&second)))
    );
    let shown = folder.call(&["thread", "show", "chat", "t", "--json"]).expect(0, &[]).json();
    assert_eq!(shown["values"], json!({ "log": [1, 2] }));
    let busy =
        folder.call(&["thread", "forget", "chat", "t", "--yes"]).expect(3, &["a thread is forgotten when"]);
    assert!(!busy.stderr.contains("second run"), "{}", busy.stderr);
    folder.call(&["runs", "cancel", "--yes", &id(&second)]).expect(0, &[]);
    folder.call(&["thread", "forget", "chat", "t", "--yes"]).expect(0, &["forgotten"]);
    folder.call(&["thread", "forget", "chat", "t", "--yes"]).expect(3, &["keeps nothing"]);
    folder.call(&["thread", "show", "chat", "t"]).expect(3, &["keeps nothing"]);
    assert_eq!(say(&folder, 3, "end").expect(0, &[]).last()["result"], json!([3]));
}

// R5.8: whoever waits behind a paused run, or has a thread that the file outgrew, is told what to do.
#[test]
fn what_stands_in_the_way_of_a_thread_is_told() {
    let folder = project("queue");
    let first = id(&say(&folder, 1, "review").expect(4, &[]));
    folder.call(&["runs", "pause", &first]).expect(0, &[]);
    let args = ["run", "chat.yaml", "--no-ask", "--thread", "t", "--input", &input(2, "end")];
    let behind = folder.call(&args).expect(4, &["that one is paused", &format!("runs resume {first}")]);
    assert!(!behind.stderr.contains("waits for a person"), "{behind:#?}");
    let queued = runs(&folder)[0]["run_id"].as_str().unwrap().to_owned();
    folder.call(&["runs", "fork", &queued, "--from", "hear"]).expect(3, &["it has not entered any node yet"]);
    folder.call(&["runs", "cancel", "--yes", &queued]).expect(0, &[]);
    folder.call(&["runs", "cancel", "--yes", &first]).expect(0, &[]);

    folder.write("chat.yaml", CHAT.replace("items: { type: integer }", "items: { type: string }"));
    let refused = folder.call(&args).expect(2, &["keeps a value for it", "bandstand thread forget chat t"]);
    assert!(!refused.stderr.contains("the `input` of"), "{refused:#?}");
}
