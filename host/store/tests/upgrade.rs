//! Files of earlier schemas, kept as SQL, open with this host and say what they said (R5.4). A fixture is never written
//! again. To keep one of the present schema before the next one: `BANDSTAND_NEW_FIXTURES=1 cargo test -p bandstand-store
//! --test upgrade`.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::event::{Event, ReviewOutcome};
use bandstand_engine::input::Verdict;
use bandstand_engine::time::Timestamp;
use bandstand_store::{
    Append, Document, DocumentKind, FILE_NAME, From, OpenRunError, Options, RunStatus, Store,
};
use rusqlite::types::ValueRef;
use serde_json::json;
use support::*;

fn fixture(schema: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema-{schema}.sql"))
}

/// What every fixture holds: a run that waits, one that ended, and one that a newer host has written to.
fn fill(store: &Store) {
    let Event::RunStarted(mut first) = started("run-1", "w", json!({ "large": "x".repeat(5_000) })) else {
        unreachable!()
    };
    (first.request_id, first.thread_id) = (Some("key-1".to_owned()), Some("t-1".to_owned()));
    let events = vec![
        Event::RunStarted(first),
        routed("pick@1", Some("left"), Some(0.5), true),
        review_opened("rev-1", 900),
        review_opened("rev-2", 100),
    ];
    let waits = Some(change(RunStatus::Waiting));
    let mut begin = Append::new(Arc::from("run-1"), 0, Timestamp(1), events, waits);
    let document = |digest: &str, kind| Document { digest: digest.to_owned(), kind, bytes: b"text".to_vec() };
    begin.documents =
        vec![document("sha256:source", DocumentKind::Source), document("blake3:graph", DocumentKind::Graph)];
    send(store, begin).recv().expect("answered").expect("appended");
    append(
        store,
        "run-1",
        4,
        2,
        vec![review_answered("rev-2", Verdict::Approved), review_decided("rev-2", ReviewOutcome::Approved)],
    );
    append(
        store,
        "run-2",
        0,
        3,
        vec![
            started("run-2", "w", json!({ "large": "x".repeat(5_000) })),
            routed("pick@1", Some("left"), Some(0.875), false),
            routed("pick@2", None, None, false),
        ],
    );
    store.keep_snapshot(Arc::from("run-2"), 3, b"a state".to_vec());
    try_append(store, "run-2", 3, 9, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
        .expect("appended");
    append(store, "run-3", 0, 4, vec![started("run-3", "w", json!({}))]);
    let mut newer = Append::new(Arc::from("run-3"), 1, Timestamp(5), vec![succeeded(json!(1))], None);
    newer.events = r#"[{"type":"node.started@2","p":"a@1"}]"#.to_owned();
    send(store, newer).recv().expect("answered").expect("appended");
}

/// The present schema and its rows as SQL.
fn dump(directory: &Path) -> String {
    let file = raw(directory);
    let number = |name: &str| file.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("read");
    let mut sql = format!(
        "PRAGMA auto_vacuum = INCREMENTAL;\nPRAGMA application_id = {};\nPRAGMA user_version = {};\n",
        number("application_id"),
        number("user_version")
    );
    let mut tables = Vec::new();
    let mut schema = file
        .prepare("SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .expect("prepared");
    let mut rows = schema.query([]).expect("read");
    while let Some(row) = rows.next().expect("read") {
        let (name, kind, text): (String, String, String) =
            (row.get(0).expect("a name"), row.get(1).expect("a type"), row.get(2).expect("a text"));
        if name.starts_with("facts_words_") {
            continue; // made by the virtual table
        }
        let _ = writeln!(sql, "{text};");
        if kind == "table" && name != "facts_words" {
            tables.push(name);
        }
    }
    for table in tables {
        let mut statement = file.prepare(&format!("SELECT * FROM {table}")).expect("prepared");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("read");
        while let Some(row) = rows.next().expect("read") {
            let values: Vec<String> = (0..columns)
                .map(|index| match row.get_ref(index).expect("a value") {
                    ValueRef::Null => "NULL".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => format!("{number:?}"),
                    ValueRef::Text(text) => {
                        format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''"))
                    }
                    ValueRef::Blob(bytes) => {
                        format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
                    }
                })
                .collect();
            let _ = writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", "));
        }
    }
    sql
}

#[test]
fn a_file_of_each_schema_opens_and_says_what_it_said() {
    let (now_directory, now) = store();
    fill(&now);
    let wanted = now.reader().dump_read_models().expect("read");
    now.close();
    if std::env::var_os("BANDSTAND_NEW_FIXTURES").is_some() {
        let sql = dump(now_directory.path());
        let version: i64 = raw(now_directory.path())
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("read");
        if !fixture(version).exists() {
            std::fs::write(fixture(version), sql).expect("written");
        }
    }
    let version: i64 =
        raw(now_directory.path()).pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
    let kept: Vec<i64> = (1..=version).filter(|schema| fixture(*schema).exists()).collect();
    assert_eq!(kept, [1, 2, 3, 6, 7, 8], "fixtures stay; a new one is named here");
    for schema in kept {
        let directory = tempfile::tempdir().expect("a directory");
        let sql = std::fs::read_to_string(fixture(schema)).expect("read");
        raw(directory.path()).execute_batch(&sql).expect("a file of that schema");
        assert!(directory.path().join(FILE_NAME).exists());
        let store = Store::open(directory.path(), Options::default()).expect("brought up to date");
        check(&store, schema, &wanted);
    }
}

fn check(store: &Store, schema: i64, wanted: &[String]) {
    let reader = store.reader();
    let models = reader.dump_read_models().expect("read");
    assert_eq!(models, wanted, "schema {schema}");
    // The journal alone says the same.
    let page = reader.runs(&Default::default(), None, 10).expect("read");
    let statuses: BTreeMap<String, RunStatus> =
        page.runs.into_iter().map(|run| (run.run_id, run.status)).collect();
    assert_eq!(statuses.len(), 3);
    let waiting = reader.open_run("run-1", From::Start).expect("whole");
    assert_eq!((waiting.next_seq, waiting.pins.source.as_deref()), (6, Some("text")));
    let Event::RunStarted(event) = &waiting.tail[0].1 else { unreachable!("its start") };
    assert_eq!(event.input.value().expect("put back")["large"], "x".repeat(5_000));
    let ended = reader.open_run("run-2", From::Snapshot).expect("whole");
    assert_eq!((ended.snapshot.expect("kept").bytes.as_slice(), ended.tail.len()), (&b"a state"[..], 1));
    let newer = reader.open_run("run-3", From::Start).expect_err("newer");
    assert!(
        matches!(&newer, OpenRunError::NewerJournal { event, seq: 1, .. } if event == "node.started@2"),
        "{newer}"
    );
    assert!(newer.to_string().contains("run run-3 has an event this host does not know, `node.started@2`"));
    append(store, "run-1", 6, 20, vec![node_succeeded("a@1", json!({}))]);
    let rebuilt = store.rebuild(|run| Ok(change(statuses[&run.run_id]))).expect("rebuilt");
    assert_eq!(rebuilt.stuck, ["run-3"]);
    // A run of that file can be deleted, with what only it pins and names.
    store.delete_runs(&["run-2".to_owned()]).expect("taken");
    while store.sweep().expect("swept").more {}
    assert!(store.reader().pinned().expect("read").contains("sha256:source"), "run-1 pins it");
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("whole").next_seq, 7);
    let left: Vec<_> = store.reader().routing_stats(None).expect("read");
    assert_eq!(left.iter().map(|route| route.count).sum::<u64>(), 3, "statistics stay: {left:?}");
}
