//! Replies that are kept for equal visits: found while their time lasts, replaced, bounded, and left alone by what deletes
//! runs or makes read models again.

mod support;

use bandstand_engine::event::{AttemptSucceeded, Event, Kept, NodeSucceeded, Payload};
use bandstand_engine::input::{Choice, Reply, ReplyNext, Usage};
use bandstand_engine::time::Timestamp;
use bandstand_store::{CacheLimits, Options, Parcel, ReadError, RunStatus, Store};
use serde_json::{Value, json};
use support::*;

fn replied(key: &str, until: i64, output: &Value, next: ReplyNext) -> Vec<Event> {
    let reply = Reply { output: output.clone().into(), confidence: Some(0.25), next };
    let p: bandstand_engine::Path = "a@1".parse().expect("a path");
    let attempt = AttemptSucceeded::new(p.clone(), 1, &reply, Usage::default());
    let Event::NodeSucceeded(node) = node_succeeded("a@1", json!({})) else { unreachable!() };
    let kept = Some(Kept { key: key.to_owned(), until: Timestamp(until) });
    let output = Payload::Output(p);
    vec![Event::AttemptSucceeded(attempt), Event::NodeSucceeded(NodeSucceeded { output, kept, ..node })]
}

/// A run that has ended and kept a reply on the way.
fn keep(store: &Store, run_id: &str, key: &str, until: i64, output: &Value) {
    append(store, run_id, 0, 1, vec![started(run_id, "w", json!({}))]);
    append(store, run_id, 1, 2, replied(key, until, output, ReplyNext::Edges));
    try_append(store, run_id, 3, 3, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
}

/// The output under a key, and whose it is.
fn found(store: &Store, key: &str, now: i64) -> Option<(Value, String)> {
    let found = store.reader().kept_reply(key, Timestamp(now)).expect("read");
    found.map(|(reply, from)| ((*reply.output).clone(), format!("{} {}", from.run, from.p)))
}

fn number(directory: &std::path::Path, query: &str) -> i64 {
    raw(directory).query_row(query, [], |row| row.get(0)).expect("counted")
}

/// The totals are those of the rows, and every value is named by somebody and there.
fn sound(directory: &std::path::Path) {
    for (wanted, query) in [
        (1, "SELECT (SELECT count(*) FROM kept_replies) = (SELECT entries FROM kept_total)"),
        (1, "SELECT (SELECT ifnull(sum(bytes), 0) FROM kept_replies) = (SELECT bytes FROM kept_total)"),
        (0, "SELECT count(*) FROM blobs WHERE digest NOT IN (SELECT digest FROM blob_refs)"),
        (0, "SELECT count(*) FROM blob_refs WHERE digest NOT IN (SELECT digest FROM blobs)"),
        (0, "SELECT count(*) FROM blob_refs WHERE run < 0 AND run NOT IN (SELECT -2 * id FROM kept_replies)"),
    ] {
        assert_eq!(number(directory, query), wanted, "{query}");
    }
}

#[test]
fn a_reply_is_found_until_its_time_is_over() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 1, vec![started("run-1", "w", json!({}))]);
    let choices = vec![Choice { name: "left".to_owned(), confidence: 0.5, reason: Some("so".to_owned()) }];
    let next = ReplyNext::Choose(choices);
    append(&store, "run-1", 1, 2, replied("k", 100, &json!({ "n": 1 }), next.clone()));
    let (reply, from) = store.reader().kept_reply("k", Timestamp(99)).expect("read").expect("kept");
    assert_eq!(reply, Reply { output: json!({ "n": 1 }).into(), confidence: Some(0.25), next });
    assert_eq!((from.run.as_str(), from.p.to_string().as_str()), ("run-1", "a@1"));
    assert_eq!((found(&store, "k", 100), found(&store, "other", 0)), (None, None));
    let (entries, bytes) = store.reader().kept_total().expect("read");
    assert!(entries == 1 && bytes > 0);
    sound(directory.path());
}

#[test]
fn a_later_reply_takes_the_place_of_an_earlier_one() {
    let (directory, store) = store();
    let (large, other) = (json!({ "text": "l".repeat(5_000) }), json!({ "text": "o".repeat(6_000) }));
    keep(&store, "run-1", "k", 100, &large);
    keep(&store, "run-2", "k", 200, &other);
    assert_eq!(found(&store, "k", 150), Some((other, "run-2 a@1".to_owned())));
    assert_eq!(store.reader().kept_total().expect("read").0, 1);
    sound(directory.path());
}

#[test]
fn a_reply_outlives_its_run_and_goes_with_its_value_when_its_time_is_over() {
    // R5.7
    let (directory, store) = store();
    let large = json!({ "text": "l".repeat(5_000) });
    keep(&store, "run-1", "k", 100, &large);
    keep(&store, "run-2", "small", 300, &json!({ "n": 1 }));
    store.delete_runs(&["run-1".to_owned()]).expect("taken");
    while store.sweep().expect("swept").more {}
    assert_eq!(found(&store, "k", 50), Some((large, "run-1 a@1".to_owned())), "its value stays with it");
    sound(directory.path());
    assert!(!store.reader().has_expired_replies(Timestamp(99)).expect("read"));
    assert_eq!(store.forget_expired_replies(Timestamp(99)).expect("taken").rows, 0);
    assert!(store.reader().has_expired_replies(Timestamp(100)).expect("read"));
    let swept = store.forget_expired_replies(Timestamp(100)).expect("taken");
    assert!((swept.rows, swept.more) == (1, false) && swept.bytes > 5_000, "{swept:?}");
    assert_eq!(number(directory.path(), "SELECT count(*) FROM blobs"), 0);
    assert!(found(&store, "small", 200).is_some());
    sound(directory.path());
}

#[test]
fn a_value_that_a_run_names_stays_when_the_reply_goes() {
    let (directory, store) = store();
    let large = json!({ "text": "l".repeat(5_000) });
    keep(&store, "run-1", "k", 100, &large);
    store.forget_expired_replies(Timestamp(100)).expect("taken");
    sound(directory.path());
    let opened = store.reader().open_run("run-1", bandstand_store::From::Start).expect("whole");
    assert_eq!(opened.next_seq, 4);
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_they_take_too_much() {
    let directory = tempfile::tempdir().expect("a directory");
    let cache = CacheLimits { entries_max: 3, bytes_max: 12_000 };
    let store = Store::open(directory.path(), Options { cache, ..Options::default() }).expect("opened");
    for number in 0..5 {
        keep(&store, &format!("run-{number}"), &format!("k{number}"), 100, &json!({ "n": number }));
    }
    let left = |keys: &[&str]| keys.iter().map(|key| found(&store, key, 50).is_some()).collect::<Vec<_>>();
    assert_eq!(left(&["k0", "k1", "k2", "k3", "k4"]), [false, false, true, true, true]);
    keep(&store, "run-5", "k5", 100, &json!("x".repeat(11_300)));
    assert_eq!(left(&["k2", "k3", "k4", "k5"]), [false, false, true, true], "it takes the room of two");
    keep(&store, "run-6", "k4", 100, &json!("y".repeat(12_000)));
    assert_eq!(left(&["k4", "k5"]), [false, true], "too large by itself: not kept, nor is what it replaces");
    sound(directory.path());
}

#[test]
fn a_rebuild_leaves_replies_alone_and_an_import_brings_none() {
    let (directory, store) = store();
    keep(&store, "run-1", "k", 100, &json!({ "n": 1 }));
    keep(&store, "run-2", "gone", 100, &json!({ "n": 2 }));
    store.forget_expired_replies(Timestamp(0)).expect("taken");
    store.delete_runs(&["run-2".to_owned()]).expect("taken");
    let before = store.reader().dump_read_models().expect("read");
    store.rebuild(|_| Ok(change(RunStatus::Succeeded))).expect("rebuilt");
    assert_eq!(store.reader().dump_read_models().expect("read"), before);
    assert!(found(&store, "k", 50).is_some() && found(&store, "gone", 50).is_some());
    let differences = store.reader().compare("run-1", 4, &change(RunStatus::Succeeded)).expect("read");
    assert_eq!(differences, Some(vec![]));
    sound(directory.path());

    let mut file = Vec::new();
    store.reader().export("run-1", &[], &mut file).expect("exported");
    let (_other_directory, other) = support::store();
    let parcel = Parcel::read(&String::from_utf8(file).expect("text")).expect("an export");
    other.import(parcel, change(RunStatus::Succeeded)).expect("taken in");
    assert_eq!(found(&other, "k", 50), None);
}

#[test]
fn a_damaged_reply_is_not_used() {
    let (directory, store) = store();
    keep(&store, "run-1", "k", 100, &json!({ "text": "l".repeat(5_000) }));
    raw(directory.path()).execute("UPDATE blobs SET bytes = x'7b7d'", []).expect("damaged");
    let read = store.reader().kept_reply("k", Timestamp(50));
    assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
}
