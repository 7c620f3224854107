//! Deleting runs and choosing which: what goes is gone, what stays is whole, and no step of it is long (R5.7).

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bandstand_engine::event::Event;
use bandstand_engine::time::Timestamp;
use bandstand_store::retention::PASSING_REQUEST;
use bandstand_store::{
    Append, AppendError, Because, Chooser, Deletion, Document, DocumentKind, From, Keep, OpenRunError,
    Retention, Rule, RunStatus, Scope, Store,
};
use serde_json::{Value, json};
use support::*;

const DAY: i64 = 86_400_000;

/// A run with a start and an end.
fn ended(store: &Store, run_id: &str, workflow: &str, at: i64, end: RunStatus, input: Value) {
    let last = if end == RunStatus::Succeeded { succeeded(json!(1)) } else { cancelled() };
    append(store, run_id, 0, at, vec![started(run_id, workflow, input)]);
    try_append(store, run_id, 1, at, vec![last], Some(change(end))).expect("appended");
}

fn number(directory: &Path, query: &str) -> i64 {
    raw(directory).query_row(query, [], |row| row.get(0)).expect("counted")
}

/// Sweeps to the end; rows and bytes of each step.
fn sweep(store: &Store) -> Vec<(u64, u64)> {
    let mut steps = Vec::new();
    loop {
        let swept = store.sweep().expect("swept");
        steps.push((swept.rows, swept.bytes));
        if !swept.more {
            return steps;
        }
    }
}

fn delete(store: &Store, run_ids: &[&str]) -> Vec<Deletion> {
    let run_ids: Vec<String> = run_ids.iter().map(|run_id| (*run_id).to_owned()).collect();
    store.delete_runs(&run_ids).expect("taken")
}

/// The read models are what the journal makes of them, and every value has a run that names it.
fn sound(store: &Store, directory: &Path) {
    let before = store.reader().dump_read_models().expect("read");
    let standing = store.reader().clone();
    let stands = |run_id: &str| {
        let row = standing.run(run_id).expect("read").expect("there");
        bandstand_store::RunChange {
            status: row.status,
            stage: row.stage,
            held: row.held,
            owed: row.owed,
            next_deadline: row.next_deadline,
        }
    };
    let known: std::collections::BTreeMap<String, _> = {
        let page = standing.runs(&Default::default(), None, 1_000).expect("read");
        page.runs.into_iter().map(|run| (run.run_id.clone(), stands(&run.run_id))).collect()
    };
    store.rebuild(|run| known.get(&run.run_id).cloned().ok_or("not listed".to_owned())).expect("rebuilt");
    assert_eq!(store.reader().dump_read_models().expect("read"), before);
    for dangling in [
        "SELECT count(*) FROM blobs WHERE digest NOT IN (SELECT digest FROM blob_refs)",
        "SELECT count(*) FROM blob_refs WHERE digest NOT IN (SELECT digest FROM blobs)",
        "SELECT count(*) FROM blob_refs WHERE run NOT IN (SELECT run FROM journal)",
        "SELECT count(*) FROM journal WHERE run NOT IN (SELECT id FROM runs)",
        "SELECT count(*) FROM snapshots WHERE run NOT IN (SELECT id FROM runs)",
        "SELECT count(*) FROM doomed",
    ] {
        assert_eq!(number(directory, dangling), 0, "{dangling}");
    }
}

// R5.7
#[test]
fn a_deleted_run_leaves_nothing_and_the_others_keep_what_is_theirs() {
    let (directory, store) = store();
    let (shared, alone) = (json!("s".repeat(5_000)), json!("a".repeat(6_000)));
    let mut first = Append::new(
        Arc::from("run-1"),
        0,
        Timestamp(0),
        vec![
            started("run-1", "w", shared.clone()),
            routed("pick@1", Some("left"), Some(0.9), false),
            review_opened("rev-1", 100),
        ],
        None,
    );
    let document =
        |digest: &str, kind| Document { digest: digest.to_owned(), kind, bytes: digest.as_bytes().to_vec() };
    first.documents =
        vec![document("sha256:source", DocumentKind::Source), document("blake3:graph", DocumentKind::Graph)];
    send(&store, first).recv().expect("answered").expect("appended");
    append(&store, "run-1", 3, 1, vec![node_succeeded("a@1", alone)]);
    store.keep_snapshot(Arc::from("run-1"), 4, b"a state".to_vec());
    try_append(&store, "run-1", 4, 2, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    append(&store, "run-2", 0, 3, vec![started("run-2", "w", shared.clone())]);
    let scope = Scope {
        workflow: "w".to_owned(),
        run_id: "run-1".to_owned(),
        thread_id: None,
        user_id: None,
        node: "a".to_owned(),
    };
    store.slot_set(&scope, Timestamp(5), "persona", "\"kind\"").expect("kept");
    let routes = store.reader().routing_stats(None).expect("read");

    assert_eq!(
        delete(&store, &["run-1", "nobody", "run-2"]),
        [Deletion::Deleted, Deletion::Unknown, Deletion::NotEnded(RunStatus::Running)]
    );
    // Gone at once, whatever is still in the file.
    assert!(matches!(store.reader().open_run("run-1", From::Start), Err(OpenRunError::Unknown(_))));
    assert!(store.reader().history("run-1", 0, 10).is_err());
    assert!(store.reader().reviews(&Default::default(), None, 10).expect("read").is_empty());
    assert_eq!(store.reader().journal_after(0, 10).expect("read").0.len(), 1);
    let late = try_append(&store, "run-1", 5, 9, vec![node_succeeded("a@1", json!(1))], None);
    assert_eq!(late, Err(AppendError::UnknownRun(Arc::from("run-1"))));
    assert!(store.reader().has_leftovers().expect("read"));
    assert_eq!(sweep(&store).len(), 1);
    assert!(!store.reader().has_leftovers().expect("read"));

    assert_eq!(number(directory.path(), "SELECT count(*) FROM blobs"), 1, "the shared value stays");
    let run = store.reader().open_run("run-2", From::Start).expect("whole");
    let Event::RunStarted(event) = &run.tail[0].1 else { unreachable!("its start") };
    assert_eq!(event.input.value().map(|value| (**value).clone()), Some(shared));
    assert_eq!(run.pins.source.as_deref(), Some("sha256:source"), "run-2 pins the same documents");
    assert_eq!(store.slot_list(&scope).expect("read").len(), 1, "memory is not the run's");
    assert_eq!(store.reader().routing_stats(None).expect("read"), routes, "statistics stay");
    sound(&store, directory.path());

    // The last one of a set takes the documents along.
    try_append(&store, "run-2", 1, 4, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    assert!(store.reader().pinned().expect("read").contains("blake3:graph"));
    assert_eq!(delete(&store, &["run-2"]), [Deletion::Deleted]);
    sweep(&store);
    assert_eq!(number(directory.path(), "SELECT count(*) FROM documents"), 0);
    assert_eq!(store.reader().pinned().expect("read"), BTreeSet::new());
    sound(&store, directory.path());
}

// R5.7: what follows runs or the journal is never led to something else.
#[test]
fn numbers_of_what_was_deleted_are_not_given_again() {
    let (directory, store) = store();
    ended(&store, "run-1", "w", 0, RunStatus::Succeeded, json!({}));
    let end = store.reader().journal_end().expect("read");
    delete(&store, &["run-1"]);
    // Before and after the sweep, and after a restart.
    let pos = append(&store, "run-2", 0, 0, vec![started("run-2", "w", json!({}))]).pos;
    assert!(pos > end);
    try_append(&store, "run-2", 1, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    delete(&store, &["run-2"]);
    sweep(&store);
    assert_eq!(number(directory.path(), "SELECT count(*) FROM journal"), 0);
    store.close();
    let store = Store::open(directory.path(), Default::default()).expect("opened again");
    let after = append(&store, "run-3", 0, 0, vec![started("run-3", "w", json!({}))]).pos;
    assert!(after > pos + 1, "{after} after {pos}");
    assert_eq!(number(directory.path(), "SELECT id FROM runs"), 3);
    assert_eq!(store.reader().open_run("run-3", From::Start).expect("whole").next_seq, 1);
}

// R5.7: no step waits long.
#[test]
fn a_long_run_goes_in_slices_and_survives_a_restart_in_between() {
    let (directory, store) = store();
    append(&store, "long", 0, 0, vec![started("long", "w", json!({}))]);
    let mut last = None;
    for seq in 1..4_500 {
        // Each 100th has a value of its own.
        let size = if seq % 100 == 0 { 5_000 } else { 10 };
        let events = vec![node_succeeded("a@1", json!(format!("{seq}{}", "x".repeat(size))))];
        last = Some(send(&store, Append::new(Arc::from("long"), seq, Timestamp(0), events, None)));
    }
    last.expect("sent").recv().expect("answered").expect("appended");
    try_append(&store, "long", 4_500, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    ended(&store, "other", "w", 0, RunStatus::Failed, json!({}));
    delete(&store, &["long"]);
    let swept = store.sweep().expect("swept");
    assert_eq!((swept.rows, swept.more), (1_000, true));
    store.close();
    let store = Store::open(directory.path(), Default::default()).expect("opened again");
    assert!(store.reader().has_leftovers().expect("read"));
    let steps = sweep(&store);
    assert!(steps.iter().all(|(rows, _)| *rows <= 1_000), "{steps:?}");
    assert_eq!(steps.iter().map(|(rows, _)| rows).sum::<u64>(), 4_501 + 44 - 1_000);
    assert_eq!(store.reader().open_run("other", From::Start).expect("whole").next_seq, 2);
    sound(&store, directory.path());
}

#[test]
fn a_slice_of_large_values_is_short_too() {
    let (_directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    for seq in 1..13 {
        append(
            &store,
            "run-1",
            seq,
            0,
            vec![node_succeeded("a@1", json!(format!("{seq}{}", "x".repeat(1 << 20))))],
        );
    }
    try_append(&store, "run-1", 13, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    delete(&store, &["run-1"]);
    let steps = sweep(&store);
    assert!(steps.len() >= 3 && steps.iter().all(|(_, bytes)| *bytes < 6 << 20), "{steps:?}");
}

// R5.7: the file shrinks.
#[test]
fn the_file_shrinks_a_little_at_a_time() {
    let (directory, store) = store();
    for run in 0..40 {
        let input = json!(format!("{run}{}", "x".repeat(200_000)));
        ended(&store, &format!("run-{run}"), "w", 0, RunStatus::Succeeded, input);
    }
    store.close();
    let length =
        || std::fs::metadata(directory.path().join(bandstand_store::FILE_NAME)).expect("there").len();
    let before = length();
    assert!(before > 8_000_000, "{before}");
    let store = Store::open(directory.path(), Default::default()).expect("opened again");
    let run_ids: Vec<String> = (0..38).map(|run| format!("run-{run}")).collect();
    store.delete_runs(&run_ids).expect("taken");
    sweep(&store);
    let (mut steps, mut given_back) = (0, 0);
    loop {
        let shrunk = store.shrink().expect("shrunk");
        assert!(shrunk.bytes <= (1 << 20) + 8_192, "and the pages that said where they lay: {shrunk:?}");
        (steps, given_back) = (steps + 1, given_back + shrunk.bytes);
        if !shrunk.more {
            break;
        }
    }
    store.close();
    let after = length();
    assert!(steps > 5 && after < 720_000, "{before} bytes became {after} in {steps} steps");
    assert_eq!(before - after, given_back);
    let store = Store::open(directory.path(), Default::default()).expect("opened again");
    assert_eq!(store.reader().open_run("run-39", From::Start).expect("whole").next_seq, 2);
    assert_eq!(
        number(directory.path(), "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
        1
    );
}

// R5.7: never what has not ended; a stuck run has no future, so a person may delete it.
#[test]
fn only_what_has_ended_can_be_deleted() {
    let (_directory, store) = store();
    for status in RunStatus::ALL {
        let id = format!("run-{status}");
        append(&store, &id, 0, 0, vec![started(&id, "w", json!({}))]);
        try_append(&store, &id, 1, 0, vec![node_succeeded("a@1", json!({}))], Some(change(status)))
            .expect("appended");
    }
    let all = Retention { rules: vec![rule(None, None, Keep { count: Some(0), ..Keep::default() })] };
    let chosen: BTreeSet<String> =
        going(&store, &all, 100 * DAY).into_iter().map(|(run_id, _)| run_id).collect();
    let ended = ["run-succeeded", "run-failed", "run-cancelled", "run-killed"];
    assert_eq!(chosen, ended.iter().map(|run_id| (*run_id).to_owned()).collect());
    for status in RunStatus::ALL {
        let wanted = match status {
            RunStatus::Running | RunStatus::Waiting | RunStatus::Paused => Deletion::NotEnded(status),
            _ => Deletion::Deleted,
        };
        assert_eq!(delete(&store, &[&format!("run-{status}")]), [wanted], "{status}");
    }
}

fn rule(workflow: Option<&str>, status: Option<RunStatus>, keep: Keep) -> Rule {
    Rule { workflow: workflow.map(str::to_owned), status, keep }
}

/// What goes at that time, newest first, and why.
fn going(store: &Store, retention: &Retention, now: i64) -> Vec<(String, Because)> {
    let mut chooser = Chooser::new(store.reader().clone(), retention.clone(), Timestamp(now));
    let mut all = Vec::new();
    while let Some(page) = chooser.next_page().expect("read") {
        all.extend(page.into_iter().map(|run| (run.run_id, run.because)));
    }
    all
}

// R5.7: by age, count and size, per workflow and status; the narrower rule holds.
#[test]
fn the_narrowest_rule_holds_for_each_bound() {
    let (_directory, store) = store();
    for day in 0..6 {
        ended(&store, &format!("a-{day}"), "a", day * DAY, RunStatus::Succeeded, json!({}));
        ended(&store, &format!("f-{day}"), "a", day * DAY, RunStatus::Failed, json!({}));
        ended(&store, &format!("b-{day}"), "b", day * DAY, RunStatus::Succeeded, json!({}));
    }
    let now = 6 * DAY;
    let keep = Keep::default();
    let ids = |rules: Vec<Rule>| {
        let mut ids: Vec<String> =
            going(&store, &Retention { rules }, now).into_iter().map(|(run_id, _)| run_id).collect();
        ids.sort();
        ids.join(" ")
    };
    assert_eq!(ids(vec![]), "");
    let age = |days: u64| Keep { age_ms: Some(days * DAY as u64), ..keep };
    assert_eq!(ids(vec![rule(None, None, age(4))]), "a-0 a-1 b-0 b-1 f-0 f-1");
    assert_eq!(
        ids(vec![
            rule(None, None, age(4)),
            rule(None, Some(RunStatus::Failed), age(5)),
            rule(Some("b"), None, age(2))
        ]),
        "a-0 a-1 b-0 b-1 b-2 b-3 f-0"
    );
    // A count is that of all runs for which its rule holds.
    let count = |count: u64| Keep { count: Some(count), ..keep };
    assert_eq!(ids(vec![rule(None, None, count(15))]), "a-0 b-0 f-0");
    assert_eq!(
        ids(vec![rule(None, None, count(9)), rule(Some("a"), Some(RunStatus::Failed), count(6))]),
        "a-0 a-1 b-0"
    );
    // Exempt, whatever wider rules say; bounds of its own still hold.
    assert_eq!(
        ids(vec![rule(None, None, count(0)), rule(Some("a"), None, Keep { all: true, ..keep })]),
        "b-0 b-1 b-2 b-3 b-4 b-5"
    );
    let both = Keep { all: true, ..count(5) };
    assert_eq!(
        ids(vec![rule(None, None, count(0)), rule(Some("a"), None, both), rule(Some("b"), None, both)]),
        "a-0 a-1 a-2 a-3 b-0 f-0 f-1 f-2"
    );
}

// R5.7
#[test]
fn by_size_the_newest_are_kept_and_counted_once() {
    let (directory, store) = store();
    let large = |text: &str| json!(text.repeat(50_000));
    for (day, input) in
        [large("a"), large("b"), json!("small"), large("c"), large("d")].into_iter().enumerate()
    {
        ended(&store, &format!("run-{day}"), "w", day as i64 * DAY, RunStatus::Succeeded, input);
    }
    let rules =
        Retention { rules: vec![rule(None, None, Keep { size_bytes: Some(120_000), ..Keep::default() })] };
    let mut chooser = Chooser::new(store.reader().clone(), rules, Timestamp(9 * DAY));
    let page = chooser.next_page().expect("read").expect("a page");
    let ids: Vec<&str> = page.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!(ids, ["run-1", "run-0"], "two large ones and the small one between them fit");
    let told: u64 = page.iter().map(|run| run.bytes).sum();
    let sizes = chooser.take_sizes();
    assert_eq!(sizes.len(), 5);
    store.keep_sizes(sizes).expect("taken");
    let ids: Vec<String> = page.iter().map(|run| run.run_id.clone()).collect();
    store.delete_runs(&ids).expect("taken");
    let swept: u64 = sweep(&store).iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(swept, told, "what was told is what goes");
    assert_eq!(number(directory.path(), "SELECT count(*) FROM runs WHERE bytes > 0"), 3, "counted once");
    sound(&store, directory.path());
}

// R5.7: the answer to a request that may come again stays.
#[test]
fn a_run_whose_request_is_remembered_is_kept() {
    let (_directory, store) = store();
    let Event::RunStarted(mut event) = started("run-1", "w", json!({})) else { unreachable!() };
    event.request_id = Some("key-1".to_owned());
    append(&store, "run-1", 0, 0, vec![Event::RunStarted(event)]);
    try_append(&store, "run-1", 1, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    let none = Retention { rules: vec![rule(None, None, Keep { count: Some(0), ..Keep::default() })] };
    assert_eq!(going(&store, &none, DAY), []);
    assert_eq!(going(&store, &none, DAY + 1), [("run-1".to_owned(), Because::Count)]);
    // Not one that only passed a run from one process to another.
    let Event::RunStarted(mut event) = started("run-2", "w", json!({})) else { unreachable!() };
    event.request_id = Some(format!("{PASSING_REQUEST}1"));
    append(&store, "run-2", 0, 0, vec![Event::RunStarted(event)]);
    try_append(&store, "run-2", 1, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    assert_eq!(going(&store, &none, 0), [("run-2".to_owned(), Because::Count)]);
    // By hand it goes, and with it the request.
    delete(&store, &["run-1"]);
    assert_eq!(store.reader().request("key-1", Timestamp(1)).expect("read"), None);
}
