//! Storage that fails or is held by others, with the real program: a full disk, readers and writers that stay, damaged
//! rows, a file without its log, a directory that is taken. What a failing fsync does is tested in the store's own crate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bandstand_crash::{Ended, Row, Site, sleep_ms, wait_for};
use rusqlite::Connection;
use serde_json::{Value, json};

/// Waits, then writes traces and works.
const WORK: &str = r#"
format: 1
name: work
version: 1
input: { type: object, required: [n], properties: { n: { type: integer } } }
plugins:
  audit: { path: audit.wasm, grants: { memory: write } }
  flaky: { path: flaky.wasm }
nodes:
  nap: { wait: { for: 3s }, next: first }
  first: { agent: audit, input: { action: first }, next: shaky }
  shaky:
    agent: flaky
    input: { fail_times: 1, result: "${{ input.n }}" }
    retry: { base-delay: 10ms }
    next: second
  second: { agent: audit, input: { action: second }, next: end }
result: { n: "${{ nodes.shaky.output.result }}", attempt: "${{ nodes.shaky.output.attempt }}" }
"#;

/// Waits for a person with something behind it.
const ASK: &str = r#"
format: 1
name: ask
version: 1
input: { type: object, required: [word], properties: { word: { type: string } } }
plugins: { audit: { path: audit.wasm, grants: { memory: write } } }
nodes:
  first: { agent: audit, input: { action: first }, next: ask }
  ask: { review: { title: Go on? }, approved: second, rejected: end }
  second: { agent: audit, input: { action: second }, next: end }
result: { word: "${{ input.word }}" }
"#;

fn wanted(n: u64) -> Value {
    json!({ "n": n, "attempt": 2 })
}

fn input(n: u64) -> String {
    json!({ "n": n }).to_string()
}

/// A run that waits for a person: run id and review id.
fn asked(site: &Site, word: &str) -> (String, String) {
    let ended = site.run("ask.yaml", &json!({ "word": word }).to_string()).wait().with_code(4);
    let outcome = ended.outcome();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&outcome["run_id"]), text(&outcome["reviews"][0]))
}

/// A small disk of memory. Unmounted when dropped.
struct Disk {
    at: tempfile::TempDir,
}

impl Disk {
    /// None: this user may not mount; the reason is printed.
    fn mount(size_mib: u64) -> Option<Disk> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={size_mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Disk { at }),
            Ok(output) => {
                println!(
                    "skipped, no disk can be mounted here: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                println!("skipped, there is no `mount` here: {error}");
                None
            }
        }
    }

    /// Writes until nothing more fits, but for so much.
    fn fill(&self, left_mib: usize) {
        let mut file = File::create(self.filler()).unwrap();
        let block = vec![1; 64 << 10];
        let mut written = 0;
        while file.write_all(&block).is_ok() {
            written += block.len();
        }
        if left_mib > 0 {
            file.set_len((written - (left_mib << 20)) as u64).unwrap();
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.path().join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.at.path()).status();
    }
}

/// Every attempt ended once, and every agent that leaves a trace left one.
fn nothing_twice(site: &Site, run_id: &str) {
    let ended =
        |row: &Row| ["attempt.succeeded", "attempt.failed"].contains(&row.event["type"].as_str().unwrap());
    let events = site.journal().events(run_id);
    let mut names: Vec<String> = events
        .iter()
        .filter(|row| ended(row))
        .map(|row| format!("{}#{}", row.event["p"].as_str().unwrap(), row.event["attempt"]))
        .collect();
    names.sort();
    assert_eq!(names, ["first@1#1", "second@1#1", "shaky@1#1", "shaky@1#2"]);
    let audit = site.journal().audit();
    for path in ["first@1", "second@1"] {
        assert_eq!(audit.get(&(run_id.to_owned(), path.to_owned())), Some(&1), "{path}");
    }
}

// R5.4
#[test]
fn on_a_full_disk_runs_hold_and_go_on_when_there_is_room() {
    let Some(disk) = Disk::mount(320) else { return };
    let site = Site::new(&[("work.yaml", WORK)]).with_data(&disk.at.path().join("data"));
    // Compiles the agents while there is room.
    site.run("work.yaml", &input(0)).wait().with_code(0);
    let mut process = site.run("work.yaml", &input(1));
    let run_id = process.run_id();
    disk.fill(0);
    // Longer than the wait of the workflow: its end is decided and cannot be kept.
    sleep_ms(6_000);
    assert!(process.is_alive(), "{}", process.stderr());
    assert!(process.lines().iter().all(|line| line["type"] != "outcome"));
    assert_eq!(site.call(&["runs", "list"]).with_code(0).lines().len(), 2, "reading needs no room");
    disk.free();
    let ended = process.wait().with_code(0);
    assert_eq!(ended.outcome()["result"], wanted(1), "{ended}");
    nothing_twice(&site, &run_id);
    assert_eq!(site.journal().integrity(), "ok");
}

// R5.4
#[test]
fn a_host_killed_on_a_full_disk_loses_nothing() {
    let Some(disk) = Disk::mount(320) else { return };
    let site = Site::new(&[("work.yaml", WORK)]).with_data(&disk.at.path().join("data"));
    site.run("work.yaml", &input(0)).wait().with_code(0);
    let mut process = site.run("work.yaml", &input(1));
    let run_id = process.run_id();
    disk.fill(0);
    sleep_ms(4_500);
    process.kill_nine();
    // It cannot work there: it says so, or waits for room; it never acts as if.
    let mut again = site.start(&["runs", "drive", &run_id, "--no-ask"]);
    sleep_ms(2_000);
    if again.is_alive() {
        again.kill_nine();
    } else {
        let ended = again.wait().with_code(74);
        assert!(ended.stderr.contains("full"), "{ended}");
    }
    disk.free();
    let ended = site.call(&["runs", "drive", &run_id]).with_code(0);
    assert_eq!(ended.outcome()["result"], wanted(1), "{ended}");
    nothing_twice(&site, &run_id);
}

// R5.4
#[test]
fn no_run_is_begun_on_a_disk_that_is_nearly_full() {
    let Some(disk) = Disk::mount(320) else { return };
    let site = Site::new(&[("work.yaml", WORK)]).with_data(&disk.at.path().join("data"));
    disk.fill(100);
    let ended = site.run("work.yaml", &input(1)).wait().with_code(74);
    assert!(ended.stderr.contains("nearly full") && ended.stderr.contains("--data"), "{ended}");
    assert_eq!(site.journal().runs(), []);
    disk.free();
    site.run("work.yaml", &input(1)).wait().with_code(0);
}

// R5.4
#[test]
fn a_reader_that_stays_stops_nobody() {
    let site = Site::new(&[("work.yaml", WORK)]);
    site.run("work.yaml", &input(0)).wait().with_code(0);
    let reader = site.journal();
    reader.connection().execute_batch("BEGIN").unwrap();
    let seen = reader.runs().len();
    let started = Instant::now();
    let going: Vec<_> = (1..=8).map(|n| (n, site.run("work.yaml", &input(n)))).collect();
    for (n, process) in going {
        let ended = process.wait().with_code(0);
        assert_eq!(ended.outcome()["result"], wanted(n), "{ended}");
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    assert_eq!(reader.runs().len(), seen, "the reader held the file as it was");
    drop(reader);
    assert_eq!(site.journal().runs().len(), 9);
    site.run("work.yaml", &input(9)).wait().with_code(0);
    assert!(!site.data().join("bandstand.db-wal").exists(), "without a reader an end leaves one file");
}

// R5.4
#[test]
fn a_stranger_that_writes_delays_and_breaks_nothing() {
    let site = Site::new(&[("work.yaml", WORK)]);
    let mut process = site.run("work.yaml", &input(1));
    let run_id = process.run_id();
    let stranger = Connection::open(site.data().join("bandstand.db")).unwrap();
    stranger.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    sleep_ms(5_000);
    assert!(process.is_alive(), "{}", process.stderr());
    assert_eq!(site.journal().of_type(&run_id, "wait.ended"), [], "nothing gets past the stranger");
    stranger.execute_batch("ROLLBACK").unwrap();
    drop(stranger);
    let ended = process.wait().with_code(0);
    assert_eq!(ended.outcome()["result"], wanted(1), "{ended}");
    assert!(!ended.stderr.trim().is_empty(), "a warning tells who waits for whom");
    nothing_twice(&site, &run_id);
}

/// Breaks what the file says about a run.
type Damage = fn(&Site, &str);

/// One bit on the disk, as a dying one flips it: SQLite does not notice.
fn flip(site: &Site, word: &str) {
    let path = site.data().join("bandstand.db");
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = bytes
        .windows(word.len())
        .enumerate()
        .filter(|(_, at)| *at == word.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&path, bytes).unwrap();
}

fn change(site: &Site, statement: &str) {
    let connection = Connection::open(site.data().join("bandstand.db")).unwrap();
    assert!(connection.execute(statement, []).unwrap() > 0);
}

fn cut_text(site: &Site, _: &str) {
    change(site, "UPDATE journal SET events = substr(events, 1, 40) WHERE run = 2 AND seq = 0");
}

fn lose_first(site: &Site, _: &str) {
    change(site, "DELETE FROM journal WHERE run = 2 AND seq = 0");
}

fn lose_last(site: &Site, _: &str) {
    change(site, "DELETE FROM journal WHERE run = 2 AND seq = (SELECT max(seq) FROM journal WHERE run = 2)");
}

fn swap_rows(site: &Site, _: &str) {
    change(
        site,
        "UPDATE journal SET events = (SELECT events FROM journal WHERE run = 1 AND seq = 0) WHERE run = 2 AND seq = 0",
    );
}

// R5.4
#[test]
fn a_damaged_row_stops_its_run_by_name_and_no_other() {
    let ways: [(&str, Damage); 5] = [
        ("a bit", flip),
        ("cut text", cut_text),
        ("swapped rows", swap_rows),
        ("first row lost", lose_first),
        ("last row lost", lose_last),
    ];
    let fresh = Site::new(&[("ask.yaml", ASK)]);
    let asked: Vec<_> = ["aaa-one", "bbb-two", "ccc-three"].iter().map(|word| asked(&fresh, word)).collect();
    for (way, damage) in ways {
        let site = Site::new(&[("ask.yaml", ASK)]);
        copy_folder(fresh.data(), site.data());
        damage(&site, "bbb-two");
        let driven = site.call(&["runs", "drive", "--all"]).with_code(1);
        for (at, (run_id, _)) in asked.iter().enumerate() {
            let told = json!({ "type": "outcome", "run_id": run_id, "status": if at == 1 { "stuck" } else { "waiting" } });
            assert!(driven.lines().contains(&told), "{way}: {driven}");
        }
        for (at, (run_id, review_id)) in asked.iter().enumerate() {
            let ended = site.call(&["review", "approve", review_id, "--by", "ann"]);
            if at != 1 {
                let ended = ended.with_code(0);
                assert!(ended.outcome()["result"]["word"].is_string(), "{way}: {ended}");
                continue;
            }
            refused_by_name(way, run_id, &ended);
        }
        let run_id = &asked[1].0;
        refused_by_name(way, run_id, &site.call(&["runs", "drive", run_id]));
        let listed = site.call(&["runs", "list"]).with_code(0);
        let statuses: Vec<_> =
            listed.lines().iter().map(|line| (line["run_id"] == **run_id, line["status"].clone())).collect();
        assert_eq!(statuses.len(), 3, "{way}: {listed}");
        for (damaged, status) in statuses {
            assert_eq!(status, if damaged { "stuck" } else { "succeeded" }, "{way}: {listed}");
        }
        let written = site.journal().audit();
        assert_eq!(
            written.get(&(run_id.clone(), "second@1".to_owned())),
            None,
            "{way}: no agent works for it"
        );
    }
}

/// The host refuses the run (1), or what shows it cannot even read it (74).
fn refused_by_name(way: &str, run_id: &str, ended: &Ended) {
    assert!([Some(1), Some(74)].contains(&ended.code), "{way}: {ended}");
    let told = ended
        .stderr
        .lines()
        .any(|line| line.contains(run_id) && (line.contains("damaged") || line.contains("read")));
    assert!(told, "{way}, the run and what it has is told: {ended}");
}

// R5.4
#[test]
fn a_file_copied_without_its_log_is_an_earlier_state() {
    let site = Site::new(&[("work.yaml", WORK), ("ask.yaml", ASK)]);
    let asked: Vec<_> = ["one", "two"].iter().map(|word| asked(&site, word)).collect();
    let mut process = site.run("work.yaml", &input(1));
    let run_id = process.run_id();
    // The log is moved into the file some time after each step; now it rests.
    sleep_ms(500);
    assert!(site.data().join("bandstand.db-wal").exists(), "the test is about a log that is left behind");
    let copy = Site::new(&[]);
    copy_folder(site.data(), copy.data());
    for name in ["bandstand.db-wal", "bandstand.db-shm", "host.sock"] {
        let _ = fs::remove_file(copy.data().join(name));
    }
    process.wait().with_code(0);
    let known: Vec<String> = copy.journal().runs().into_iter().map(|(run_id, _)| run_id).collect();
    assert!(
        asked.iter().all(|(run_id, _)| known.contains(run_id)),
        "what ended in order before is there: {known:?}"
    );
    for run_id in &known {
        let (earlier, all) = (copy.journal().events(run_id), site.journal().events(run_id));
        assert!(all.starts_with(&earlier), "{run_id} is no earlier state");
    }
    let ended = copy.call(&["runs", "drive", "--all"]).with_code(4);
    assert!(!ended.stdout.contains("stuck"), "{ended}");
    if known.contains(&run_id) {
        assert_eq!(copy.journal().status(&run_id).unwrap(), "succeeded");
    }
    for (_, review_id) in &asked {
        copy.call(&["review", "approve", review_id]).with_code(0);
    }
    assert_eq!(copy.journal().integrity(), "ok");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

// R8.1
#[test]
fn a_directory_that_is_held_by_who_does_not_answer_is_told() {
    let site = Site::new(&[("ask.yaml", ASK)]);
    let (run_id, review_id) = asked(&site, "one");
    let lock = File::options().write(true).open(site.data().join("host.lock")).unwrap();
    lock.lock().unwrap();
    let data = site.data().display().to_string();
    for args in
        [&["runs", "drive", "--all"][..], &["review", "approve", &review_id], &["runs", "drive", &run_id]]
    {
        let ended = site.call(args).with_code(3);
        assert!(ended.stderr.contains(&data) && ended.stderr.contains("held by"), "{ended}");
    }
    assert_eq!(site.call(&["runs", "list"]).with_code(0).lines().len(), 1, "reading needs no holder");
    assert_eq!(site.journal().of_type(&run_id, "review.answered"), []);
    drop(lock);
    wait_for("the review to be answered", || {
        (site.call(&["review", "approve", &review_id]).code == Some(0)).then_some(())
    });
    assert_eq!(site.journal().status(&run_id).unwrap(), "succeeded");
}

// R2.6
#[test]
fn an_answer_while_another_process_holds_the_directory_goes_to_it() {
    let site = Site::new(&[("ask.yaml", ASK), ("work.yaml", WORK)]);
    let (run_id, review_id) = asked(&site, "one");
    let mut holder = site.run("work.yaml", &input(1));
    holder.run_id();
    let answer = site.call(&["review", "approve", &review_id, "--by", "ann"]).with_code(0);
    assert!(holder.is_alive(), "the machine is too slow for this test: the holder has ended already");
    assert_eq!(answer.lines()[0]["changed"], true, "{answer}");
    // A second one that says the same changes nothing; one that says otherwise is refused.
    let again = site.call(&["review", "approve", &review_id, "--by", "ann"]).with_code(0);
    assert_eq!(again.lines()[0]["changed"], false, "{again}");
    site.call(&["review", "reject", &review_id, "--by", "ann"]).with_code(3);
    holder.wait().with_code(0);
    site.call(&["runs", "drive", &run_id]).with_code(0);
    assert_eq!(site.journal().of_type(&run_id, "review.decided").len(), 1);
}
