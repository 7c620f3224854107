//! What the disk, the machine and strangers do to a store: nothing acknowledged is lost, nobody is waited for.

#[path = "support/fault_vfs.rs"]
mod fault_vfs;
mod support;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bandstand_engine::time::Timestamp;
use bandstand_store::{
    Append, AppendError, FILE_NAME, Fatal, From, Health, Options, ReadError, Refused, ReviewFilter, Store,
};
use fault_vfs::Fault;
use serde_json::json;
use support::*;

fn begin(run: &str) -> Append {
    Append::new(Arc::from(run), 0, Timestamp(0), vec![started(run, "w", json!({}))], None)
}

// R5.4: a commit whose fsync failed may be there after a restart or not, so nobody is told either.
#[test]
fn a_failed_fsync_ends_the_store_and_acknowledges_nothing() {
    let _turn = fault_vfs::register();
    let directory = tempfile::tempdir().expect("a directory");
    let (fatal, told) = channel::<Fatal>();
    let fatal = std::sync::Mutex::new(fatal);
    let options = Options {
        vfs: Some(fault_vfs::NAME.to_owned()),
        on_fatal: Some(Arc::new(move |problem| {
            drop(fatal.lock().expect("not poisoned").send(problem.clone()));
        })),
        ..Options::default()
    };
    let store = Store::open(directory.path(), options).expect("opened");
    send(&store, begin("run-1")).recv().expect("answered").expect("appended");

    fault_vfs::fail(Fault::Sync);
    let unknown = send(&store, begin("run-2"));
    let problem = told.recv_timeout(Duration::from_secs(10)).expect("the host is told to end");
    assert!(problem.problem.contains("1034"), "the code of a failed fsync: {problem}");
    assert!(problem.to_string().contains("exit code 74"), "{problem}");
    assert!(unknown.recv().is_err(), "neither yes nor no");
    assert_eq!(store.health(), Health::Failed(problem));
    assert_eq!(store.append(begin("run-3"), |_| ()), Err(Refused::Stopped));
    fault_vfs::fail(Fault::Nothing);
    store.close();

    // The next start reads the file: what was acknowledged is there, and what is there is whole.
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("acknowledged").next_seq, 1);
    if store.reader().run("run-2").expect("read").is_some() {
        assert_eq!(store.reader().open_run("run-2", From::Start).expect("whole").next_seq, 1);
    }
    assert_eq!(store.reader().run("run-3").expect("read"), None);
}

// R5.4: a full disk is waited for; the same rows are offered again.
#[test]
fn a_full_disk_holds_everything_until_there_is_room() {
    let _turn = fault_vfs::register();
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        vfs: Some(fault_vfs::NAME.to_owned()),
        full_retry: Duration::from_millis(20),
        ..Options::default()
    };
    let store = Store::open(directory.path(), options).expect("opened");
    send(&store, begin("run-1")).recv().expect("answered").expect("appended");

    fault_vfs::fail(Fault::Space);
    let step = Append::new(Arc::from("run-1"), 1, Timestamp(0), vec![node_succeeded("a@1", json!({}))], None);
    let (waiting, other) = (send(&store, step), send(&store, begin("run-2")));
    assert_eq!(waiting.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Timeout));
    assert_eq!(store.health(), Health::Full);
    assert!(store.low_space());
    fault_vfs::fail(Fault::Nothing);
    waiting.recv().expect("answered").expect("appended when there was room");
    other.recv().expect("answered").expect("appended when there was room");
    assert_ne!(store.health(), Health::Full);
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("whole").next_seq, 2);

    // A host that ends while the disk is full says so and does not hang.
    fault_vfs::fail(Fault::Space);
    let lost = send(&store, begin("run-3"));
    let begun = Instant::now();
    store.close();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(lost.recv().expect("answered"), Err(AppendError::Closed));
    fault_vfs::fail(Fault::Nothing);
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().run("run-3").expect("read"), None);
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("whole").next_seq, 2);
}

#[test]
fn little_space_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { free_bytes_min: u64::MAX, ..Options::default() };
    let store = Store::open(directory.path(), options).expect("opened");
    assert!(store.low_space() && matches!(store.health(), Health::LowSpace { free_bytes } if free_bytes > 0));
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
}

// Aim: the writer waits for nobody; the log is bounded again once the reader has gone.
#[test]
fn a_long_reader_never_stalls_the_writer() {
    let directory = tempfile::tempdir().expect("a directory");
    let limit = 512 << 10;
    let store = Store::open(directory.path(), Options { wal_bytes_max: limit, ..Options::default() })
        .expect("opened");
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    let reader = raw(directory.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM journal;").expect("a reader that stays");
    let seen = || reader.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0));
    assert_eq!(seen(), Ok(1));
    let log =
        || std::fs::metadata(directory.path().join(format!("{FILE_NAME}-wal"))).map_or(0, |file| file.len());

    let (mut seq, mut slowest) = (1, Duration::ZERO);
    let mut work = |until: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !until() && begun.elapsed() < Duration::from_secs(20) {
            let appended = Instant::now();
            append(&store, "run-1", seq, 0, vec![node_succeeded("a@1", json!("x".repeat(3_000)))]);
            slowest = slowest.max(appended.elapsed());
            seq += 1;
        }
    };
    work(&|| log() > 4 * limit);
    assert!(log() > 4 * limit, "the reader keeps the log from starting again");
    assert_eq!(seen(), Ok(1), "and still sees its own moment");
    reader.execute_batch("COMMIT").expect("the reader goes");
    work(&|| log() <= 2 * limit && store.stats().wal_bytes <= 2 * limit);
    assert!(log() <= 2 * limit, "{} bytes of log are left", log());
    assert!(slowest < Duration::from_secs(2), "an append waited {slowest:?}");
    println!("slowest append beside a long reader: {slowest:?}");
}

#[test]
fn a_read_that_takes_too_long_is_given_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let store =
        Store::open(directory.path(), Options { read_time_max: Duration::ZERO, ..Options::default() });
    let store = store.expect("opened");
    let mut last = None;
    for number in 0..1_000 {
        let id = format!("run-{number}");
        let events = vec![started(&id, "w", json!({})), review_opened(&format!("rev-{number}"), 0)];
        last = Some(send(&store, Append::new(Arc::from(&*id), 0, Timestamp(0), events, None)));
    }
    last.expect("sent").recv().expect("answered").expect("appended");
    let refused = store.reader().reviews(&ReviewFilter::default(), None, 10_000).expect_err("no time");
    assert!(matches!(refused, ReadError::TooSlow { .. }), "{refused}");
    assert!(refused.to_string().contains("`store.read-time` = 0 ms"), "{refused}");
    assert!(store.reader().run("run-1").expect("short reads go on").is_some());
}

// R5.4: the process dies without closing; and a file copied without its log is older, not wrong.
#[test]
fn a_file_without_its_log_is_an_older_one() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    store.close();
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    let reader = raw(directory.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM journal;")
        .expect("a reader keeps the log from being moved");
    let rows: i64 = reader.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).expect("read");
    assert_eq!(rows, 1);
    for seq in 1..20 {
        append(&store, "run-1", seq, 0, vec![node_succeeded("a@1", json!({}))]);
    }
    let copies = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    for (copy, with_log) in copies.iter().zip([true, false]) {
        std::fs::copy(directory.path().join(FILE_NAME), copy.path().join(FILE_NAME)).expect("copied");
        if with_log {
            let log = format!("{FILE_NAME}-wal");
            std::fs::copy(directory.path().join(&log), copy.path().join(&log)).expect("copied");
        }
        let copied = Store::open(copy.path(), Options::default()).expect("opened");
        let next = copied.reader().open_run("run-1", From::Start).expect("whole").next_seq;
        // With its log it is what a crash leaves: all that was acknowledged.
        assert_eq!(next, if with_log { 20 } else { 1 });
        append(&copied, "run-1", next, 0, vec![node_succeeded("b@1", json!({}))]);
    }
}

#[test]
fn what_was_answered_survives_without_a_clean_end() {
    let (directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    std::mem::forget(store); // no close, no last checkpoint: the file and its log are all there is
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("whole").next_seq, 1);
}

#[test]
fn a_panic_of_the_writer_ends_the_store_instead_of_hanging_it() {
    let (directory, store) = store();
    store.append(begin("run-1"), |_| panic!("a caller's mistake (expected in this test)")).expect("queued");
    let begun = Instant::now();
    while !matches!(store.health(), Health::Failed(_)) && begun.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert_eq!(store.append(begin("run-2"), |_| ()), Err(Refused::Stopped));
    store.close();
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().open_run("run-1", From::Start).expect("durable before the panic").next_seq, 1);
}

// What people write into runs is nobody else's to read: the log and its index are as private as the file.
#[test]
fn every_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, store) = store();
    append(&store, "run-1", 0, 0, vec![started("run-1", "w", json!({}))]);
    let files: Vec<_> = std::fs::read_dir(directory.path()).expect("there").flatten().collect();
    assert_eq!(files.len(), 3, "the file, its log and the log's index");
    for file in files {
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.file_name());
    }
}
