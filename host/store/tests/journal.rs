//! The journal: what was appended comes back, in groups, checked, and nothing else does.

mod support;

use std::sync::Arc;

use bandstand_engine::event::{Event, Payload};
use bandstand_engine::time::Timestamp;
use bandstand_store::{
    Append, AppendError, Document, DocumentKind, FindError, From, OpenError, OpenRunError, Options, Reader,
    Refused, RunChange, RunFilter, RunStatus, Store,
};
use serde_json::json;
use support::*;

// R5.2, R5.6
#[test]
fn what_was_appended_comes_back_after_a_restart() {
    let (directory, store) = store();
    let large = json!({ "text": "x".repeat(10_000) });
    let mut first = Append::new(
        Arc::from("run-1"),
        0,
        Timestamp(5),
        vec![started("run-1", "greet", json!({ "name": "Ada" })), node_succeeded("a@1", large.clone())],
        Some(change(RunStatus::Running)),
    );
    first.documents = vec![
        Document {
            digest: "sha256:source".to_owned(),
            kind: DocumentKind::Source,
            bytes: b"name: greet".to_vec(),
        },
        Document { digest: "blake3:graph".to_owned(), kind: DocumentKind::Graph, bytes: b"{}".to_vec() },
    ];
    assert!(first.events.len() < 2_000 && first.blobs.len() == 1, "the large value left the row");
    send(&store, first).recv().expect("answered").expect("appended");
    append(&store, "run-1", 2, 9, vec![node_succeeded("b@1", json!({ "score": 0.1_f64 + 0.2_f64 }))]);
    store.close();

    let names: Vec<_> = std::fs::read_dir(directory.path()).expect("there").flatten().collect();
    assert_eq!(names.len(), 1, "a clean end leaves one file: {names:?}");

    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    let run = store.reader().open_run("run-1", From::Snapshot).expect("whole");
    assert_eq!((run.next_seq, run.tail.len()), (3, 3));
    assert_eq!(run.tail[1], (Timestamp(5), node_succeeded("a@1", large)));
    assert_eq!(run.tail[2], (Timestamp(9), node_succeeded("b@1", json!({ "score": 0.1_f64 + 0.2_f64 }))));
    assert_eq!(run.pins.source.as_deref(), Some("name: greet"));
    assert_eq!(run.pins.graph.as_deref(), Some("{}"));
    assert_eq!(store.reader().owed_runs(None, 10).expect("read"), ["run-1"]);
    append(&store, "run-1", 3, 10, vec![succeeded(json!(1))]);

    raw(directory.path())
        .execute_batch("UPDATE documents SET bytes = x'7b20' WHERE kind = 'graph'")
        .expect("damaged");
    let error = store.reader().open_run("run-1", From::Snapshot).expect_err("not what it pinned");
    assert!(error.to_string().contains("document blake3:graph, which it pins, is damaged"), "{error}");
}

// R5.4: "nothing accepted is lost" needs that nothing is accepted twice or out of order.
#[test]
fn an_append_that_does_not_follow_is_refused_and_changes_nothing() {
    let (_directory, store) = store();
    let begin = |run: &str| vec![started(run, "greet", json!({}))];
    assert!(matches!(
        try_append(&store, "run-1", 4, 0, vec![succeeded(json!(1))], None),
        Err(AppendError::UnknownRun(_))
    ));
    assert!(matches!(
        try_append(&store, "run-1", 0, 0, vec![succeeded(json!(1))], None),
        Err(AppendError::NotAStart(_))
    ));
    append(&store, "run-1", 0, 0, begin("run-1"));
    for seq in [0, 2] {
        let refused = try_append(&store, "run-1", seq, 0, begin("run-1"), None);
        assert!(matches!(refused, Err(AppendError::OutOfOrder { expected: 1, .. })), "{refused:?}");
    }
    append(&store, "run-1", 1, 0, vec![succeeded(json!(1))]);
    assert_eq!(store.reader().history("run-1", 0, 10).expect("read").rows.len(), 2);
}

// R5.4, aim: one fsync for many rows.
#[test]
fn what_waits_is_committed_together_and_in_order() {
    let (_directory, store) = store();
    let mut answers = Vec::new();
    for run in 0..200 {
        let id = format!("run-{run}");
        answers.push(send(
            &store,
            Append::new(Arc::from(&*id), 0, Timestamp(0), vec![started(&id, "w", json!({}))], None),
        ));
        for seq in 1..5 {
            let events = vec![node_succeeded("a@1", json!({ "seq": seq }))];
            answers.push(send(&store, Append::new(Arc::from(&*id), seq, Timestamp(0), events, None)));
        }
    }
    let places: Vec<i64> =
        answers.iter().map(|answer| answer.recv().expect("answered").expect("appended").pos).collect();
    assert!(places.is_sorted(), "appends keep the order of their handing over");
    let stats = store.stats();
    assert_eq!(stats.rows, 1_000);
    assert!(stats.commits < 500, "{} commits for 1,000 rows", stats.commits);
    assert_eq!(store.reader().journal_end().expect("read"), 1_000);
    assert_eq!(store.reader().open_run("run-7", From::Start).expect("whole").next_seq, 5);
}

// R5.2: a plain step writes its journal row and no other.
#[test]
fn the_row_of_a_run_changes_only_when_it_says_something_else() {
    let (directory, store) = store();
    let running = change(RunStatus::Running);
    try_append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))], Some(running.clone()))
        .expect("appended");
    raw(directory.path())
        .execute_batch(
            "CREATE TABLE seen(n); CREATE TRIGGER t AFTER UPDATE ON runs BEGIN INSERT INTO seen VALUES (1); END;",
        )
        .expect("a trap is set");
    for seq in 1..4 {
        try_append(&store, "run-1", seq, 0, vec![node_succeeded("a@1", json!({}))], Some(running.clone()))
            .expect("appended");
    }
    let updates =
        || raw(directory.path()).query_row("SELECT count(*) FROM seen", [], |row| row.get::<_, i64>(0));
    assert_eq!(updates(), Ok(0));
    try_append(&store, "run-1", 4, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    assert_eq!(updates(), Ok(1));
    let row = store.reader().run("run-1").expect("read").expect("there");
    assert_eq!((row.status, row.owed, row.ended_at), (RunStatus::Succeeded, false, Some(Timestamp(0))));
}

#[test]
fn the_same_request_begins_one_run() {
    let (_directory, store) = store();
    let begin = |run: &str| {
        let Event::RunStarted(mut event) = started(run, "w", json!({})) else { unreachable!() };
        event.request_id = Some("key-1".to_owned());
        vec![Event::RunStarted(event)]
    };
    let day = 24 * 60 * 60 * 1000;
    append(&store, "run-1", 0, 1_000, begin("run-1"));
    assert_eq!(
        try_append(&store, "run-2", 0, 2_000, begin("run-2"), None),
        Err(AppendError::DuplicateRequest { key: "key-1".to_owned(), run_id: "run-1".to_owned() })
    );
    assert_eq!(store.reader().request("key-1", Timestamp(2_000)).expect("read").as_deref(), Some("run-1"));
    assert_eq!(store.reader().run("run-2").expect("read"), None);
    append(&store, "run-3", 0, 2_000 + day, begin("run-3"));
}

// R5.7 needs lists that page; people need short ids.
#[test]
fn runs_are_listed_newest_first_and_found_by_the_beginning_of_their_ids() {
    let (_directory, store) = store();
    for (run, workflow) in [("3f20", "a"), ("3f31", "b"), ("77aa", "a")] {
        append(&store, run, 0, 0, vec![started(run, workflow, json!({}))]);
    }
    let reader = store.reader();
    let ids = |filter: &RunFilter, cursor: Option<&str>| {
        let page = reader.runs(filter, cursor, 2).expect("read");
        (page.runs.into_iter().map(|run| run.run_id).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = ids(&RunFilter::default(), None);
    assert_eq!(first, ["77aa", "3f31"]);
    assert_eq!(ids(&RunFilter::default(), next.as_deref()), (vec!["3f20".to_owned()], None));
    let of_a = RunFilter {
        workflow: Some("a".to_owned()),
        statuses: vec![RunStatus::Running],
        ..RunFilter::default()
    };
    assert_eq!(ids(&of_a, None).0, ["77aa", "3f20"]);
    assert_eq!(reader.find_run("7").expect("one"), "77aa");
    assert_eq!(reader.find_run("3f20").expect("whole"), "3f20");
    assert!(
        matches!(reader.find_run("3f"), Err(FindError::Ambiguous { candidates, .. }) if candidates.len() == 2)
    );
    assert!(matches!(reader.find_run("x"), Err(FindError::Unknown(_))));
    assert!(reader.runs(&RunFilter::default(), Some("x"), 2).is_err());
}

fn three_runs() -> (tempfile::TempDir, Store) {
    let (directory, store) = store();
    for run in ["run-1", "run-2", "run-3"] {
        append(&store, run, 0, 0, vec![started(run, "w", json!({}))]);
        for seq in 1..4 {
            append(&store, run, seq, 0, vec![node_succeeded("a@1", json!({ "seq": seq }))]);
        }
    }
    (directory, store)
}

/// Damages the file, then says how run 2 opens; the others must be whole.
fn after(damage: &str) -> OpenRunError {
    let (directory, store) = three_runs();
    raw(directory.path()).execute_batch(damage).expect("damaged");
    for run in ["run-1", "run-3"] {
        assert_eq!(store.reader().open_run(run, From::Start).expect("not concerned").next_seq, 4);
    }
    store.reader().open_run("run-2", From::Start).expect_err("damaged")
}

// R5.4: a damaged journal stops its run, by name, and no other.
#[test]
fn a_flipped_byte_stops_that_run() {
    let error = after(
        "UPDATE journal SET events = replace(events, '\"seq\":2', '\"seq\":3') WHERE run = 2 AND seq = 2",
    );
    assert!(matches!(&error, OpenRunError::Damaged { run_id, seq: 2, .. } if run_id == "run-2"), "{error}");
    assert!(error.to_string().contains("run run-2 is damaged at event 2"), "{error}");
}

#[test]
fn a_missing_row_stops_that_run() {
    let error = after("DELETE FROM journal WHERE run = 2 AND seq = 2");
    assert!(
        matches!(&error, OpenRunError::Damaged { seq: 2, what, .. } if what.contains("missing")),
        "{error}"
    );
    let error = after("DELETE FROM journal WHERE run = 2 AND seq = 0");
    assert!(matches!(&error, OpenRunError::Damaged { seq: 0, .. }), "{error}");
}

#[test]
fn swapped_rows_stop_that_run() {
    let swap = "UPDATE journal SET seq = 9 WHERE run = 2 AND seq = 1; UPDATE journal SET seq = 1 WHERE run = 2 AND seq = 2; \
                UPDATE journal SET seq = 2 WHERE run = 2 AND seq = 9;";
    let error = after(swap);
    assert!(matches!(&error, OpenRunError::Damaged { seq: 1, .. }), "{error}");
}

#[test]
fn a_missing_end_is_noticed_when_the_run_ended_after_it() {
    let (directory, store) = three_runs();
    try_append(&store, "run-2", 4, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    raw(directory.path()).execute_batch("DELETE FROM journal WHERE run = 2 AND seq > 2").expect("damaged");
    let error = store.reader().open_run("run-2", From::Start).expect_err("damaged");
    assert!(
        matches!(&error, OpenRunError::Damaged { seq: 3, what, .. } if what.contains("missing")),
        "{error}"
    );
}

#[test]
fn a_lost_or_damaged_blob_stops_the_run_that_needs_it() {
    for damage in ["DELETE FROM blobs", "UPDATE blobs SET bytes = x'22'"] {
        let (directory, store) = store();
        append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!("x".repeat(5_000)))]);
        raw(directory.path()).execute_batch(damage).expect("damaged");
        let error = store.reader().open_run("run-1", From::Start).expect_err("damaged");
        assert!(matches!(&error, OpenRunError::Damaged { what, .. } if what.contains("value ")), "{error}");
    }
}

// R5.4: an event of a newer host is not damage.
#[test]
fn an_unknown_event_is_refused_by_name() {
    let (_directory, store) = three_runs();
    let mut newer = Append::new(Arc::from("run-2"), 4, Timestamp(0), vec![succeeded(json!(1))], None);
    newer.events = r#"[{"type":"run.teleported","to":"mars"}]"#.to_owned();
    send(&store, newer).recv().expect("answered").expect("appended");
    let error = store.reader().open_run("run-2", From::Start).expect_err("newer");
    assert!(
        matches!(&error, OpenRunError::NewerJournal { event, seq: 4, .. } if event == "run.teleported"),
        "{error}"
    );
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("not concerned").next_seq, 4);
}

// R5.4: neither is a later version of a known event, nor a word in one that this host does not know.
#[test]
fn a_later_version_of_an_event_is_refused_by_name() {
    for (events, name) in [
        (r#"[{"type":"node.started@2","p":"a@1"}]"#, "node.started@2"),
        (
            r#"[{"type":"stage.entered","stage":"review","p":""},{"type":"node.cancelled","p":"a@1","because":"boredom"}]"#,
            "node.cancelled",
        ),
    ] {
        let (_directory, store) = three_runs();
        let mut newer = Append::new(Arc::from("run-2"), 4, Timestamp(0), vec![succeeded(json!(1))], None);
        newer.events = events.to_owned();
        send(&store, newer).recv().expect("answered").expect("appended");
        let error = store.reader().open_run("run-2", From::Start).expect_err("newer");
        assert!(
            error.to_string().contains(&format!("run run-2 has an event this host does not know, `{name}`")),
            "{error}"
        );
        for other in ["run-1", "run-3"] {
            assert_eq!(store.reader().open_run(other, From::Start).expect("not concerned").next_seq, 4);
        }
        let page = store.reader().history("run-2", 0, 4).expect("its earlier rows are read");
        assert_eq!(page.rows.len(), 4);
    }
}

#[test]
fn a_run_is_opened_from_its_snapshot_and_the_tail() {
    let (directory, store) = three_runs();
    store.keep_snapshot(Arc::from("run-2"), 3, b"state after 3".to_vec());
    store.keep_snapshot(Arc::from("run-1"), 77, b"from nowhere".to_vec());
    append(&store, "run-2", 4, 0, vec![succeeded(json!(1))]);
    let run = store.reader().open_run("run-2", From::Snapshot).expect("whole");
    assert_eq!(run.snapshot.expect("kept").bytes, b"state after 3");
    assert_eq!((run.tail.len(), run.next_seq), (2, 5));
    let whole = store.reader().open_run("run-2", From::Start).expect("whole");
    assert_eq!(whole.tail.len(), 5);
    // Aim: a run that is loaded with a long tail gets a snapshot soon.
    let bytes = |from: u64| {
        let sql = "SELECT sum(length(events)) FROM journal j JOIN runs r ON r.id = j.run WHERE run_id = 'run-2' AND seq >= ?1";
        raw(directory.path()).query_row(sql, [from as i64], |row| row.get::<_, i64>(0)).expect("counted")
            as u64
    };
    assert_eq!((run.tail_bytes, whole.tail_bytes), (bytes(3), bytes(0)));
    assert_eq!(store.reader().open_run("run-1", From::Snapshot).expect("whole").snapshot, None);
    // Damage of the tail shows from a snapshot too; a damaged snapshot is only a lost one.
    raw(directory.path()).execute_batch("UPDATE snapshots SET bytes = x'00'").expect("damaged");
    let run = store.reader().open_run("run-2", From::Snapshot).expect("whole");
    assert_eq!((run.snapshot, run.tail.len()), (None, 5));
}

// Aim: a long run opens quickly; large values are read when they are needed.
#[test]
fn from_a_snapshot_only_the_tail_and_its_values_are_read() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!("x".repeat(5_000)))]);
    append(&store, "run-1", 1, 0, vec![node_succeeded("a@1", json!("y".repeat(5_000)))]);
    store.keep_snapshot(Arc::from("run-1"), 2, b"state after 2".to_vec());
    append(&store, "run-1", 2, 0, vec![node_succeeded("a@2", json!("z".repeat(5_000)))]);
    let lose = |letter: &str| {
        let like = format!("\"{letter}%");
        raw(directory.path())
            .execute("DELETE FROM blobs WHERE CAST(bytes AS TEXT) LIKE ?1", [like])
            .expect("lost")
    };
    assert_eq!((lose("x"), lose("y")), (1, 1));
    let opened = store.reader().open_run("run-1", From::Snapshot).expect("it needs neither");
    assert_eq!((opened.tail.len(), opened.next_seq, opened.pins.workflow.name.as_str()), (1, 3, "w"));
    assert!(store.reader().open_run("run-1", From::Start).is_err());
    assert_eq!(lose("z"), 1);
    assert!(store.reader().open_run("run-1", From::Snapshot).is_err());
}

#[test]
fn a_full_queue_refuses_what_begins_and_takes_what_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { queue_bytes_max: 1_000, ..Options::default() };
    let store = Store::open(directory.path(), options).expect("opened");
    let stranger = raw(directory.path());
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    stranger.execute_batch("BEGIN IMMEDIATE").expect("a stranger holds the write lock");
    let step = |seq| {
        Append::new(Arc::from("run-1"), seq, Timestamp(0), vec![node_succeeded("a@1", json!({}))], None)
    };
    let waiting: Vec<_> = (1..6).map(|seq| send(&store, step(seq))).collect();
    let newcomer =
        Append::new(Arc::from("run-2"), 0, Timestamp(0), vec![started("run-2", "w", json!({}))], None);
    let refused = store.append(newcomer, |_| ()).expect_err("full");
    assert!(matches!(refused, Refused::QueueFull { bytes_max: 1_000, .. }), "{refused}");
    assert!(refused.to_string().contains("`store.queue-bytes` = 1000"), "{refused}");
    while store.stats().busy == 0 {
        std::thread::yield_now();
    }
    stranger.execute_batch("ROLLBACK").expect("let go");
    for answer in waiting {
        answer.recv().expect("answered").expect("appended once the stranger let go");
    }
}

#[test]
fn a_newer_file_or_anothers_is_refused_by_name() {
    let (directory, store) = store();
    store.close();
    raw(directory.path()).pragma_update(None, "user_version", 99).expect("set");
    let newer = Store::open(directory.path(), Options::default()).expect_err("newer");
    assert!(matches!(newer, OpenError::NewerSchema { found: 99, known: 9, .. }), "{newer}");
    assert!(newer.to_string().contains("has schema 99, this host reads up to 9"), "{newer}");
    assert!(matches!(Reader::open(directory.path()), Err(OpenError::NewerSchema { .. })));

    let other = tempfile::tempdir().expect("a directory");
    raw(other.path()).execute_batch("CREATE TABLE theirs(x)").expect("made");
    assert!(matches!(Store::open(other.path(), Options::default()), Err(OpenError::NotAStore(_))));
    std::fs::write(other.path().join(bandstand_store::FILE_NAME), "x".repeat(9_000)).expect("written");
    assert!(matches!(Store::open(other.path(), Options::default()), Err(OpenError::NotAStore(_))));
    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(Reader::open(empty.path()), Err(OpenError::Missing(_))));
}

#[test]
fn deadlines_come_earliest_first() {
    let (_directory, store) = store();
    for (run, deadline) in [("run-1", Some(300)), ("run-2", Some(100)), ("run-3", None), ("run-4", Some(200))]
    {
        let mut waiting = change(RunStatus::Waiting);
        waiting.next_deadline = deadline.map(Timestamp);
        try_append(&store, run, 0, 0, vec![started(run, "w", json!({}))], Some(waiting)).expect("appended");
    }
    let reader = store.reader();
    let due = reader.deadlines_before(Timestamp(250), 1_000).expect("read");
    assert_eq!(due, [("run-2".to_owned(), Timestamp(100)), ("run-4".to_owned(), Timestamp(200))]);
    assert!(reader.owed_runs(None, 10).expect("read").is_empty());
    let (sender, done) = std::sync::mpsc::channel();
    let stuck = change(RunStatus::Stuck);
    store
        .change_run(Arc::from("run-2"), Timestamp(9), stuck, move |end| drop(sender.send(end)))
        .expect("queued");
    done.recv().expect("answered").expect("changed");
    assert_eq!(reader.run("run-2").expect("read").expect("there").status, RunStatus::Stuck);
    assert_eq!(reader.deadlines_before(Timestamp(i64::MAX), 1).expect("read")[0].0, "run-4");
}

#[test]
fn a_host_that_died_holds_nothing_any_more_and_what_is_stuck_stays_so() {
    let (directory, store) = store();
    let held = |status, why: &str| RunChange { held: Some(why.to_owned()), ..change(status) };
    let rows = [("run-1", held(RunStatus::Running, "limit")), ("run-2", held(RunStatus::Stuck, "no plugin"))];
    for (run, change) in rows {
        try_append(&store, run, 0, 0, vec![started(run, "w", json!({}))], Some(change)).expect("appended");
    }
    let shown = |store: &Store, run: &str| store.reader().run(run).expect("read").expect("there").held;
    assert_eq!(shown(&store, "run-1").as_deref(), Some("limit"));
    store.close();
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(shown(&store, "run-1"), None);
    assert_eq!(shown(&store, "run-2").as_deref(), Some("no plugin"));
}

// R5.4: the file is whole for another process while a host writes it.
#[test]
fn another_reader_sees_what_was_answered() {
    let (directory, store) = store();
    let reader = Reader::open(directory.path()).expect("opened");
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({ "big": "y".repeat(5_000) }))]);
    let page = reader.history("run-1", 0, 10).expect("read");
    let Event::RunStarted(event) = &page.rows[0].events[0] else { unreachable!() };
    assert_eq!(event.input, Payload::new(json!({ "big": "y".repeat(5_000) })));
    assert_eq!(reader.journal_after(0, 10).expect("read").0.len(), 1);
    store.close();
    drop(reader);

    // And without a host: reading leaves nothing behind.
    let reader = Reader::open(directory.path()).expect("opened");
    assert_eq!(reader.run("run-1").expect("read").expect("there").workflow, "w");
    drop(reader);
    Store::open(directory.path(), Options::default()).expect("opened again").close();
    let names: Vec<_> = std::fs::read_dir(directory.path()).expect("there").flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
