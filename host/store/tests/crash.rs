//! A process killed while it writes: what it was told to be durable is there, and nothing is half there.

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bandstand_engine::time::Timestamp;
use bandstand_store::{
    Append, Chooser, From, InFlight, Keep, Lock, Options, Retention, Rule, RunStatus, Store,
};
use serde_json::json;
use support::*;

const DIRECTORY: &str = "STORE_CRASH_TEST_DIRECTORY";
const PRUNED: &str = "STORE_PRUNE_TEST_DIRECTORY";

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

/// The process to be killed while it deletes. It does nothing unless the test below starts it.
#[test]
fn prune_until_killed() {
    let Some(directory) = std::env::var_os(PRUNED).map(PathBuf::from) else { return };
    let _lock = Lock::acquire(&directory).expect("free after the former one was killed");
    let store = Store::open(&directory, Options::default()).expect("opened");
    let newest = store.reader().runs(&Default::default(), None, 1).expect("read").runs.pop();
    let next = newest.map_or(0, |run| run.run_id[4..10].parse::<u64>().expect("a number") + 1);
    for number in next.. {
        // One that stays, with a value that those which go name too, and one of its own.
        let (stays, goes) = (format!("run-{number:06}-stays"), format!("run-{number:06}-goes"));
        let shared = json!(format!("{}{}", number % 5, "s".repeat(5_000)));
        append(&store, &stays, 0, 0, vec![started(&stays, "keep", shared.clone())]);
        append(
            &store,
            &stays,
            1,
            0,
            vec![node_succeeded("a@1", json!(format!("{number}{}", "o".repeat(5_000))))],
        );
        append(
            &store,
            &goes,
            0,
            0,
            vec![started(&goes, "go", shared), routed("r@1", Some("x"), Some(0.5), false)],
        );
        let rows: Vec<_> = (2..400)
            .map(|seq| {
                let size = if seq % 40 == 0 { 5_000 } else { 10 };
                let events = vec![node_succeeded("a@1", json!(format!("{number}{seq}{}", "g".repeat(size))))];
                send(&store, Append::new(Arc::from(&*goes), seq, Timestamp(0), events, None))
            })
            .collect();
        for row in rows {
            row.recv().expect("answered").expect("appended");
        }
        try_append(&store, &goes, 400, 0, vec![succeeded(json!(1))], Some(change(RunStatus::Succeeded)))
            .expect("appended");
        println!("stays {stays}");
        let keep = Keep { count: Some(0), ..Keep::default() };
        let rules = Retention { rules: vec![Rule { workflow: Some("go".to_owned()), status: None, keep }] };
        let mut chooser = Chooser::new(store.reader().clone(), rules, Timestamp(0));
        while let Some(page) = chooser.next_page().expect("read") {
            let run_ids: Vec<String> = page.into_iter().map(|run| run.run_id).collect();
            store.delete_runs(&run_ids).expect("taken");
            run_ids.iter().for_each(|run_id| println!("gone {run_id}"));
        }
        while store.sweep().expect("swept").more {}
        while store.shrink().expect("shrunk").more {}
        println!("swept {number}");
    }
}

// R5.7: a kill while runs are deleted leaves a store that is sound, with all that was to stay.
#[test]
fn a_killed_pruner_takes_nothing_that_was_to_stay() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut stay, mut gone) = (Vec::new(), Vec::new());
    let mut left_over = 0;
    for kill_after in 1..=12_u32 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "prune_until_killed", "--nocapture"])
            .env(PRUNED, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut seen, mut killed) = (0, false);
        for line in lines.map_while(Result::ok) {
            if let Some((_, run_id)) = line.split_once("stays ") {
                stay.push(run_id.to_owned());
            }
            if let Some((_, run_id)) = line.split_once("gone ") {
                gone.push(run_id.to_owned());
                seen += 1;
            }
            // Right after something was deleted: what it left is being swept, or the file shrinks.
            if seen > kill_after % 3 && !killed {
                std::thread::sleep(std::time::Duration::from_micros(u64::from(kill_after) * 700));
                child.kill().expect("killed");
                killed = true;
            }
        }
        assert!(killed && !child.wait().expect("ended").success(), "it was killed, not done");

        let store = Store::open(directory.path(), Options::default()).expect("opened after the kill");
        left_over += u32::from(store.reader().has_leftovers().expect("read"));
        let known: Vec<_> = store.reader().runs(&Default::default(), None, 1_000).expect("read").runs;
        let before = store.reader().dump_read_models().expect("read");
        let stands = |run_id: &str| {
            let row = known.iter().find(|row| row.run_id == run_id).ok_or("not listed")?;
            Ok(change(row.status))
        };
        store.rebuild(|run| stands(&run.run_id).map_err(str::to_owned)).expect("rebuilt");
        assert_eq!(store.reader().dump_read_models().expect("read"), before);
        while store.sweep().expect("swept").more {}
        for run_id in &stay {
            let opened = store.reader().open_run(run_id, From::Start).expect("whole, with its values");
            assert_eq!(opened.next_seq, 2, "{run_id}");
        }
        assert!(known.iter().all(|row| !gone.contains(&row.run_id)), "a run came back");
        let counted = |query: &str| raw(directory.path()).query_row(query, [], |row| row.get::<_, i64>(0));
        for dangling in [
            "SELECT count(*) FROM blobs WHERE digest NOT IN (SELECT digest FROM blob_refs)",
            "SELECT count(*) FROM blob_refs WHERE digest NOT IN (SELECT digest FROM blobs)",
            "SELECT count(*) FROM blob_refs WHERE run NOT IN (SELECT id FROM runs)",
            "SELECT count(*) FROM journal WHERE run NOT IN (SELECT id FROM runs)",
            "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
        ] {
            assert_eq!(counted(dangling), Ok(0), "{dangling}");
        }
        let routes = store.reader().routing_stats(Some("go")).expect("read");
        let made = gone.len() + known.iter().filter(|row| row.workflow == "go").count();
        // One that was deleted and could not say so any more counts too.
        assert!(routes[0].count as usize >= made, "{} of {made}", routes[0].count);
        store.close();
    }
    println!("{left_over} of 12 kills left something to sweep");
}
