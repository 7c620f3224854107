//! A process killed while it writes: what it was told to be durable is there, and nothing is half there.

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bandstand_engine::time::Timestamp;
use bandstand_store::{Append, From, InFlight, Lock, Options, Store};
use serde_json::json;
use support::*;

const DIRECTORY: &str = "STORE_CRASH_TEST_DIRECTORY";

/// The process to be killed. It does nothing unless the test below starts it.
#[test]
fn write_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let _lock = Lock::acquire(&directory).expect("free after the former one was killed");
    let store = Store::open(&directory, Options::default()).expect("opened");
    let marks = InFlight::open(&directory).expect("opened");
    let _mark = marks.mark("run-0", "ask@1#1").expect("marked");
    for run in 0..4 {
        let id = format!("run-{run}");
        if store.reader().run(&id).expect("read").is_none() {
            append(&store, &id, 0, 0, vec![started(&id, "w", json!({}))]);
        }
    }
    let mut next: Vec<u64> = (0..4)
        .map(|run| store.reader().open_run(&format!("run-{run}"), From::Start).expect("whole").next_seq)
        .collect();
    loop {
        // All four at once, so that a kill falls between them, with a blob now and then.
        let answers: Vec<_> = (0..4)
            .map(|run| {
                let size = if next[run].is_multiple_of(7) { 6_000 } else { 10 };
                let events = vec![node_succeeded("a@1", json!("x".repeat(size)))];
                send(
                    &store,
                    Append::new(Arc::from(format!("run-{run}")), next[run], Timestamp(0), events, None),
                )
            })
            .collect();
        for (run, answer) in answers.iter().enumerate() {
            answer.recv().expect("answered").expect("appended");
            next[run] += 1;
            println!("durable {run} {}", next[run]);
        }
    }
}

// R5.4: after a crash at any point nothing accepted is lost.
#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged = [0_u64; 4];
    for kill_after in [1, 40, 150, 400] {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "write_until_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut seen = 0;
        let mut killed = false;
        // What it still wrote to the pipe before it died counts as acknowledged too.
        for line in lines.map_while(Result::ok) {
            let Some((_, rest)) = line.split_once("durable ") else { continue };
            let mut words = rest.split(' ');
            let run: usize = words.next().and_then(|word| word.parse().ok()).expect("a run");
            let Some(next) = words.next().and_then(|word| word.parse().ok()) else { continue };
            acknowledged[run] = next;
            seen += 1;
            if seen >= kill_after && !killed {
                child.kill().expect("killed");
                killed = true;
            }
        }
        assert!(killed && !child.wait().expect("ended").success(), "it was killed, not done");

        let marks = InFlight::open(directory.path()).expect("opened").read_all().expect("read");
        assert!(marks.contains(&("run-0".to_owned(), "ask@1#1".to_owned())), "the mark outlives its process");
        let store = Store::open(directory.path(), Options::default()).expect("opened after the kill");
        for (run, acknowledged) in acknowledged.iter().enumerate() {
            let opened = store.reader().open_run(&format!("run-{run}"), From::Start).expect("whole");
            assert!(opened.next_seq >= *acknowledged, "run {run}: {} of {acknowledged}", opened.next_seq);
            assert_eq!(opened.tail.len() as u64, opened.next_seq);
        }
        store.close();
    }
    assert!(acknowledged[0] > 100, "{acknowledged:?}");
}
