//! R5.5, R5.4: links between runs, what is stored against the journal, and runs as files.

mod support;

use bandstand_engine::event::{Event, Origin, Payload, RunAdopted, RunRetried, RunStarted};
use bandstand_engine::input::{ActorKind, By};
use bandstand_engine::time::Timestamp;
use bandstand_store::{
    Append, From, ImportError, LinkKind, NotAnExport, Options, Parcel, PluginFile, Refused, RunStatus, Store,
};
use serde_json::{Value, json};
use support::*;

fn adopted(from: &str, seq: u64) -> Event {
    Event::RunAdopted(Box::new(RunAdopted {
        from: Origin { run: from.to_owned(), seq },
        snapshot: Payload::new(json!({ "version": 1, "text": "x".repeat(5_000) })),
        edits: Vec::new(),
    }))
}

fn rerun(run_id: &str, of: &str) -> Event {
    match started(run_id, "buy", json!({})) {
        Event::RunStarted(e) => {
            Event::RunStarted(Box::new(RunStarted { rerun_of: Some(of.to_owned()), ..*e }))
        }
        other => other,
    }
}

fn failed() -> Event {
    serde_json::from_value(json!({
        "type": "run.failed", "error": {
            "id": "e", "class": "agent", "code": "x", "message": "m", "recoverable": false, "path": "a@1",
            "attempt": 1, "attempts": 1,
        },
    }))
    .expect("an event")
}

fn retried(failed_at: i64) -> Event {
    Event::RunRetried(Box::new(RunRetried {
        by: By { kind: ActorKind::Person, id: "ann".to_owned() },
        paths: Vec::new(),
        failed_at: Timestamp(failed_at),
        snapshot: Payload::new(json!({ "version": 1 })),
        deadline: None,
        request_id: None,
        lease: None,
    }))
}

// R5.5
#[test]
fn a_fork_and_a_rerun_are_linked_from_both_ends() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 1, vec![started("run-1", "buy", json!({}))]);
    append(&store, "run-2", 0, 2, vec![started("run-2", "buy", json!({})), adopted("run-1", 7)]);
    append(&store, "run-3", 0, 3, vec![rerun("run-3", "run-1")]);
    let check = |store: &Store| {
        let links = store.reader().links("run-1").expect("read");
        let to: Vec<_> = links.to.iter().map(|link| (link.run_id.as_str(), link.kind, link.seq)).collect();
        assert_eq!(to, [("run-3", LinkKind::Rerun, None), ("run-2", LinkKind::Fork, Some(7))]);
        assert_eq!(links.from, None);
        let from = store.reader().links("run-2").expect("read").from.expect("a link");
        assert_eq!((from.run_id.as_str(), from.kind, from.seq), ("run-1", LinkKind::Fork, Some(7)));
    };
    check(&store);
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    check(&store);
    drop((store, directory));
}

// R3.4, R5.5: a failure that is taken back does not count among the ends of a route.
#[test]
fn a_retried_run_ends_once_in_the_statistics() {
    let (_directory, store) = store();
    append(
        &store,
        "run-1",
        0,
        10,
        vec![started("run-1", "buy", json!({})), routed("a@1", Some("x"), Some(0.9), false)],
    );
    append(&store, "run-1", 2, 20, vec![failed()]);
    append(&store, "run-1", 3, 90, vec![retried(20)]);
    append(&store, "run-1", 4, 110, vec![succeeded(json!(1))]);
    let stats = store.reader().routing_stats(None).expect("read");
    assert_eq!(
        (stats[0].runs_ended, stats[0].runs_succeeded, stats[0].duration_average_ms),
        (1, 1, Some(100.0))
    );
}

// The check that an upgrade did not change history.
#[test]
fn what_does_not_follow_from_the_journal_is_told_by_its_place() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 1, vec![started("run-1", "buy", json!({})), review_opened("rev-a", 100)]);
    append(&store, "run-1", 2, 5, vec![routed("a@1", Some("x"), Some(0.9), false)]);
    let stand = change(RunStatus::Running);
    let compare = |seq| store.reader().compare("run-1", seq, &stand).expect("read");
    assert_eq!(compare(3), Some(Vec::new()));
    assert_eq!(compare(2), None, "it went on");
    let file = raw(directory.path());
    file.execute("UPDATE reviews SET open = 0, title = 'other'", []).expect("changed");
    file.execute("UPDATE runs SET stage = 'error'", []).expect("changed");
    file.execute("DELETE FROM run_routes", []).expect("changed");
    let differences = compare(3).expect("compared");
    let places: Vec<&str> = differences.iter().map(|found| found.place.as_str()).collect();
    assert_eq!(places, ["runs run-1 stage", "reviews rev-a title", "reviews rev-a open", "run_routes a"]);
    assert_eq!((differences[0].stored.as_str(), differences[0].by_journal.as_str()), ("error", "none"));
}

fn step(run_id: &str, seq: u64) -> Append {
    Append::new(run_id.into(), seq, Timestamp(0), vec![node_succeeded("a@1", json!({}))], None)
}

fn exported(store: &Store, run_id: &str) -> String {
    let plugins = [PluginFile { digest: "sha256:00ff".to_owned(), bytes: vec![0, 255, 16] }];
    let mut bytes = Vec::new();
    let told = store.reader().export(run_id, &plugins, &mut bytes).expect("exported");
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(text.lines().count() as u64, told.lines);
    text
}

fn some_run(store: &Store) -> String {
    let large = json!({ "text": "y".repeat(9_000) });
    append(store, "run-1", 0, 1, vec![started("run-1", "buy", large.clone()), review_opened("rev-a", 100)]);
    append(
        store,
        "run-1",
        2,
        5,
        vec![node_succeeded("a@1", large), node_succeeded("b@1", json!("\"events\":[]}}"))],
    );
    exported(store, "run-1")
}

// R5.5: another store has the same run, row by row and value by value.
#[test]
fn an_exported_run_is_the_same_in_another_store() {
    let (_one, first) = store();
    let text = some_run(&first);
    for line in text.lines() {
        serde_json::from_str::<Value>(line).expect("each line is JSON, for a person to look at");
    }
    let (_two, second) = store();
    let parcel = Parcel::read(&text).expect("an export");
    assert_eq!((parcel.run_id.as_str(), parcel.workflow.as_str(), parcel.rows.len()), ("run-1", "buy", 2));
    assert_eq!(parcel.plugins[0].bytes, [0, 255, 16]);
    second.import(parcel, change(RunStatus::Waiting)).expect("imported");
    let open = |store: &Store| store.reader().open_run("run-1", From::Start).expect("opened");
    assert_eq!(open(&first).tail, open(&second).tail);
    assert_eq!(second.reader().open_review_count().expect("read"), 1);
    assert_eq!(second.reader().run("run-1").expect("read").expect("a row").status, RunStatus::Waiting);
    assert_eq!(
        second.reader().compare("run-1", 4, &change(RunStatus::Waiting)).expect("read"),
        Some(Vec::new())
    );
    assert_eq!(exported(&second, "run-1"), text, "and can be passed on");
    // It goes on there.
    append(&second, "run-1", 4, 9, vec![node_succeeded("c@1", json!(1))]);
    // Twice is refused by name.
    let again = second.import(Parcel::read(&text).expect("an export"), change(RunStatus::Waiting));
    assert_eq!(again, Err(ImportError::Known("run-1".to_owned())));
    assert_eq!(open(&second).next_seq, 5);
}

// R5.5: a long run is read and written in pages; nobody holds it whole.
#[test]
fn a_run_of_many_pages_is_read_row_by_row_and_exported_the_same() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "buy", json!({}))]);
    let large = |n: u64| json!({ "text": format!("{n}{}", "z".repeat(20_000)) });
    let rows: Vec<_> = (1..=700)
        .map(|n| {
            let value = if n % 7 == 0 { large(n) } else { json!(n) };
            // The run's row names its last one.
            let stand = (n == 700).then(|| change(RunStatus::Waiting));
            let event = node_succeeded("a@1", value);
            send(&store, Append::new("run-1".into(), n, Timestamp(0), vec![event], stand))
        })
        .collect();
    for row in rows {
        row.recv().expect("answered").expect("appended");
    }
    let read = |store: &Store| {
        let rows = store.reader().run_rows("run-1").expect("there").map(|row| row.expect("whole"));
        rows.flat_map(|row| row.events.into_iter().map(move |event| (row.at, event))).collect::<Vec<_>>()
    };
    assert_eq!(read(&store), store.reader().open_run("run-1", From::Start).expect("opened").tail);
    let text = exported(&store, "run-1");
    let (_other, second) = support::store();
    second.import(Parcel::read(&text).expect("an export"), change(RunStatus::Waiting)).expect("imported");
    assert_eq!(read(&second), read(&store));
    assert_eq!(exported(&second, "run-1"), text);
    // Damage in a later page ends it there, by name; what cannot be trusted is not passed on.
    let file = raw(directory.path());
    file.execute("DELETE FROM journal WHERE seq = 650", []).expect("deleted");
    let mut rows = store.reader().run_rows("run-1").expect("there");
    let good = rows.by_ref().take_while(Result::is_ok).count();
    assert_eq!((good, rows.next().is_none()), (600, true));
    let mut out = Vec::new();
    let damaged = store.reader().export("run-1", &[], &mut out).expect_err("damaged");
    assert!(damaged.to_string().contains("run run-1 is damaged at event 650"), "{damaged}");
    assert!(out.is_empty());
    file.execute("DELETE FROM journal WHERE seq > 650", []).expect("deleted");
    let cut = store.reader().run_rows("run-1").expect("there").last().expect("an end").expect_err("cut");
    assert!(cut.to_string().contains("the rows from here to event 700 are missing"), "{cut}");
}

// R5.4: a run larger than the queue is taken in whenever the queue has room at all.
#[test]
fn a_run_that_is_larger_than_the_queue_is_taken_in() {
    let (_one, first) = store();
    let text = some_run(&first);
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { queue_bytes_max: 1_000, ..Options::default() };
    let second = Store::open(directory.path(), options).expect("opened");
    let imported = second.import(Parcel::read(&text).expect("an export"), change(RunStatus::Waiting));
    assert_eq!(imported, Ok(()));
    assert_eq!(second.reader().open_run("run-1", From::Start).expect("opened").next_seq, 4);
}

// R5.4: a store that is behind says so; it was neither closed nor has it failed.
#[test]
fn a_full_queue_refuses_an_import_by_its_own_name() {
    let (_one, first) = store();
    let text = some_run(&first);
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { queue_bytes_max: 100, ..Options::default() };
    let second = Store::open(directory.path(), options).expect("opened");
    append(&second, "run-2", 0, 0, vec![started("run-2", "w", json!({}))]);
    let stranger = raw(directory.path());
    stranger.execute_batch("BEGIN IMMEDIATE").expect("a stranger holds the write lock");
    let waiting = send(&second, step("run-2", 1));
    let import = || second.import(Parcel::read(&text).expect("an export"), change(RunStatus::Waiting));
    let refused = import().expect_err("full");
    assert!(matches!(refused, ImportError::Refused(Refused::QueueFull { bytes_max: 100, .. })), "{refused}");
    assert!(refused.to_string().contains("`store.queue-bytes` = 100; try again later"), "{refused}");
    stranger.execute_batch("ROLLBACK").expect("let go");
    waiting.recv().expect("answered").expect("appended once the stranger let go");
    while second.stats().queue_bytes > 0 {
        std::thread::yield_now();
    }
    assert_eq!(import(), Ok(()));
}

// R5.4: every byte counts.
#[test]
fn a_damaged_or_newer_file_is_refused_with_a_reason() {
    let (_directory, store) = store();
    let text = some_run(&store);
    let refused = |text: &str| Parcel::read(text).map(|_| ()).expect_err("refused");
    let cut = &text[..text.len() - 200];
    assert!(matches!(refused(cut), NotAnExport::Damaged { what, .. } if what.contains("cut off")));
    let newer = text.replacen("\"bandstand_run\":1", "\"bandstand_run\":2", 1);
    assert_eq!(refused(&newer), NotAnExport::Newer { found: 2 });
    assert!(matches!(refused("a: 1\n"), NotAnExport::Other(_)));
    assert!(matches!(refused(""), NotAnExport::Other(_)));
    // Somebody mends the sum, too: the chain and the digests still tell.
    let resummed = |text: &str| {
        let body = text.trim_end().rsplit_once('\n').expect("lines").0;
        let sum = blake3::hash(format!("{body}\n").as_bytes()).to_hex();
        format!("{body}\n{{\"end\":{{\"lines\":1,\"sum\":\"{sum}\"}}}}\n")
    };
    assert!(Parcel::read(&resummed(&text)).is_ok());
    for (from, to, why) in [
        ("\"at\":5", "\"at\":6", "the row's check does not follow"),
        ("yyyy", "yyyz", "does not have the digest of its name"),
        ("\"took_ms\":3", "\"took_ms\":4", "the row's check does not follow"),
        ("{\"row\":{\"seq\":2", "{\"row\":{\"seq\":3", "a row begins at event 3, expected 2"),
        ("\"plugin\"", "\"plug\"", "a line of no known kind"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert!(
            matches!(refused(&changed), NotAnExport::Damaged { what, .. } if what.contains("the sum in it"))
        );
        let NotAnExport::Damaged { what, .. } = refused(&resummed(&changed)) else { panic!("{from}") };
        assert!(what.contains(why), "{from}: {what}");
    }
    assert!(
        store.reader().runs(&Default::default(), None, 10).expect("read").runs.len() == 1,
        "nothing changed"
    );
}
