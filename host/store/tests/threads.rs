//! R5.8: who writes a thread and who waits for it, and what it keeps when the runs that wrote it are gone.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::Id;
use bandstand_engine::event::{Event, Lease, Payload, RunStarted, ThreadEntered, ThreadWritten};
use bandstand_store::{
    Deletion, Forgotten, ImportError, Parcel, RunFilter, RunLease, RunStatus, Store, ThreadKey,
};
use serde_json::{Value, json};
use support::*;

fn begins(run_id: &str, thread: &str, lease: Lease) -> Event {
    match started(run_id, "chat", json!({})) {
        Event::RunStarted(e) => Event::RunStarted(Box::new(RunStarted {
            thread_id: Some(thread.to_owned()),
            lease: Some(lease),
            ..*e
        })),
        other => other,
    }
}

fn entered() -> Event {
    Event::ThreadEntered(ThreadEntered { values: BTreeMap::new(), snapshot: None, deadline: None })
}

fn written(values: &[(&str, Value)]) -> Event {
    let values = values.iter().map(|(id, value)| (Id::new(id).expect("an id"), Payload::new(value.clone())));
    Event::ThreadWritten(ThreadWritten { values: values.collect() })
}

fn key(thread: &str) -> ThreadKey {
    ThreadKey { workflow: "chat".to_owned(), thread_id: thread.to_owned() }
}

fn runs(store: &Store, thread: &str) -> (Option<String>, Vec<String>) {
    let runs = store.reader().thread_runs(&key(thread)).expect("read");
    (runs.holder.map(|run| run.run_id), runs.queued.into_iter().map(|run| run.run_id).collect())
}

fn kept(store: &Store, thread: &str) -> BTreeMap<String, Value> {
    let values = store.reader().thread_values(&key(thread)).expect("read");
    values.into_iter().map(|(id, value): (Id, Arc<Value>)| (id.to_string(), (*value).clone())).collect()
}

fn lease(store: &Store, run_id: &str) -> Option<RunLease> {
    store.reader().run(run_id).expect("read").expect("a run").lease
}

fn blobs(directory: &std::path::Path) -> (i64, i64) {
    let count = |table: &str| {
        raw(directory)
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .expect("read")
    };
    (count("blobs"), count("blob_refs"))
}

fn strings(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

// R5.8
#[test]
fn one_run_has_a_thread_and_the_others_wait_in_order() {
    let (_directory, store) = store();
    append(&store, "run-1", 0, 1, vec![begins("run-1", "t", Lease::Held)]);
    append(&store, "run-2", 0, 2, vec![begins("run-2", "t", Lease::Queued)]);
    append(&store, "run-3", 0, 3, vec![begins("run-3", "t", Lease::Queued)]);
    append(&store, "run-4", 0, 4, vec![begins("run-4", "other", Lease::Held)]);
    append(&store, "run-5", 0, 5, vec![started("run-5", "chat", json!({}))]);
    assert_eq!(runs(&store, "t"), (Some("run-1".to_owned()), strings(&["run-2", "run-3"])));
    assert_eq!(lease(&store, "run-1"), Some(RunLease::Held));
    assert_eq!(lease(&store, "run-3"), Some(RunLease::Queued { behind: Some("run-1".to_owned()) }));
    assert_eq!(lease(&store, "run-5"), None);
    assert_eq!(store.reader().thread_of("run-2").expect("read"), Some((key("t"), false)));
    assert!(store.reader().awaited_threads().expect("read").is_empty(), "somebody has it");
    let before = store.reader().dump_read_models().expect("read");
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    assert_eq!(store.reader().dump_read_models().expect("read"), before);

    append(&store, "run-1", 1, 10, vec![succeeded(json!(1))]);
    assert_eq!(runs(&store, "t"), (None, strings(&["run-2", "run-3"])));
    assert_eq!(lease(&store, "run-2"), Some(RunLease::Queued { behind: None }));
    assert_eq!(store.reader().awaited_threads().expect("read"), [key("t")]);
    append(&store, "run-2", 1, 11, vec![entered()]);
    assert_eq!(runs(&store, "t"), (Some("run-2".to_owned()), strings(&["run-3"])));
    let page =
        store.reader().runs(&RunFilter { thread_id: Some("t".to_owned()), ..RunFilter::default() }, None, 10);
    assert_eq!(page.expect("read").runs.len(), 3);
}

// R5.8, R5.7: what a thread keeps stays when its runs go, also in a rebuild; large values too, and only the latest.
#[test]
fn a_threads_values_outlive_its_runs_and_a_rebuild() {
    let (directory, store) = store();
    let long = |letter: &str| json!({ "text": letter.repeat(10_000) });
    append(
        &store,
        "run-1",
        0,
        1,
        vec![begins("run-1", "t", Lease::Held), written(&[("log", json!([1])), ("memo", long("a"))])],
    );
    append(&store, "run-1", 2, 2, vec![written(&[("memo", long("b"))]), succeeded(json!(1))]);
    let expected: BTreeMap<String, Value> =
        [("log".to_owned(), json!([1])), ("memo".to_owned(), long("b"))].into();
    assert_eq!(kept(&store, "t"), expected);
    assert!(kept(&store, "other").is_empty());
    assert_eq!(blobs(directory.path()), (2, 3), "the journal names both, the thread the latter");
    let ended = change(RunStatus::Succeeded);
    store.change_run("run-1".into(), bandstand_engine::Timestamp(3), ended, |_| ()).expect("queued");
    assert_eq!(store.delete_runs(&strings(&["run-1"])).expect("deleted"), [Deletion::Deleted]);
    while store.sweep().expect("swept").more {}
    assert_eq!(kept(&store, "t"), expected);
    assert_eq!(blobs(directory.path()), (1, 1));
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    assert_eq!(kept(&store, "t"), expected);
    // Replaced by a short one, nobody names the long one any more.
    append(
        &store,
        "run-2",
        0,
        4,
        vec![begins("run-2", "t", Lease::Held), written(&[("memo", json!("short"))]), succeeded(json!(1))],
    );
    assert_eq!(kept(&store, "t")["memo"], json!("short"));
    assert_eq!(blobs(directory.path()), (0, 0));
}

// R5.8: two channels with the same large value; forgetting a thread.
#[test]
fn a_thread_is_forgotten_when_no_run_has_it() {
    let (directory, store) = store();
    let long = json!("x".repeat(10_000));
    append(
        &store,
        "run-1",
        0,
        1,
        vec![begins("run-1", "t", Lease::Held), written(&[("one", long.clone()), ("two", long.clone())])],
    );
    append(&store, "run-1", 2, 2, vec![written(&[("one", json!(1))])]);
    assert_eq!(kept(&store, "t")["two"], long);
    let threads = store.reader().threads(None, None).expect("read");
    assert_eq!(threads.len(), 1);
    assert_eq!(threads[0].channels, [("one".to_owned(), 1), ("two".to_owned(), 10_002)]);
    assert_eq!(threads[0].written_by.as_deref(), Some("run-1"));
    assert_eq!(store.forget_thread(key("t")).expect("asked"), Forgotten::InUse("run-1".to_owned()));
    append(&store, "run-1", 3, 3, vec![succeeded(json!(1))]);
    assert_eq!(store.forget_thread(key("t")).expect("asked"), Forgotten::Done);
    assert_eq!(store.forget_thread(key("t")).expect("asked"), Forgotten::Unknown);
    assert!(kept(&store, "t").is_empty());
    let threads: i64 = raw(directory.path())
        .query_row("SELECT count(*) FROM blob_refs WHERE run < 0", [], |row| row.get(0))
        .expect("read");
    assert_eq!(threads, 0);
}

// R5.5, R5.8: an imported run leaves the thread as it is here, and is refused if it would be its second writer.
#[test]
fn an_imported_run_changes_no_thread_and_is_no_second_writer() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 1, vec![begins("run-1", "t", Lease::Held), written(&[("log", json!([1]))])]);
    let mut text = Vec::new();
    store.reader().export("run-1", &[], &mut text).expect("exported");
    let text = String::from_utf8(text).expect("text");
    drop((store, directory));

    let (_directory, store) = support::store();
    append(&store, "run-2", 0, 1, vec![begins("run-2", "t", Lease::Held), written(&[("log", json!([7]))])]);
    let parcel = || Parcel::read(&text).expect("an export");
    let refused = store.import(parcel(), change(RunStatus::Running)).expect_err("a second writer");
    assert!(matches!(&refused, ImportError::ThreadHeld { holder, .. } if holder == "run-2"), "{refused}");
    assert!(store.reader().run("run-1").expect("read").is_none());
    append(&store, "run-2", 2, 2, vec![succeeded(json!(1))]);
    store.import(parcel(), change(RunStatus::Running)).expect("imported");
    assert_eq!(runs(&store, "t").0.as_deref(), Some("run-1"));
    assert_eq!(kept(&store, "t")["log"], json!([7]));
}
