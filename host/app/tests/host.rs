//! A host from outside: real store, real sandbox, real agents; crashes are real deaths of a process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bandstand::host::{
    Access, AnswerRequest, Drive, ForkRequest, HostError, HostOptions, Latest, Limits, Published, Settled,
    StartRequest, SteerRequest, Steering, Watched,
};
use bandstand::project::load::{self, Resolve};
use bandstand_engine::event::Event;
use bandstand_engine::input::{ActorKind, By, Verdict};
use bandstand_engine::{Run, Status};
use bandstand_store::Reader;
use serde_json::json;

/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// A workflow file with its plugins beside it.
    fn new(nodes: &str, plugins: &[(&str, Vec<u8>)]) -> Project {
        let dir = tempfile::tempdir().unwrap();
        let mut text = "format: 1\nname: test\nversion: 1\nplugins:\n".to_owned();
        for (name, bytes) in plugins {
            std::fs::write(dir.path().join(format!("{name}.wasm")), bytes).unwrap();
            text += &format!("  {name}: {{ path: {name}.wasm }}\n");
        }
        text += nodes;
        std::fs::write(dir.path().join("flow.yaml"), text).unwrap();
        Project { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn request(&self) -> StartRequest {
        request(&self.dir.path().join("flow.yaml"))
    }

    async fn access(&self) -> Access {
        Access::open(HostOptions::new(self.data())).await.unwrap()
    }

    fn events(&self, run_id: &str) -> Vec<Event> {
        let page = Reader::open(&self.data()).unwrap().history(run_id, 0, 1_000).unwrap();
        page.rows.into_iter().flat_map(|row| row.events).collect()
    }

    fn count(&self, run_id: &str, name: &str) -> usize {
        self.events(run_id).iter().filter(|event| event.name() == name).count()
    }
}

fn request(file: &Path) -> StartRequest {
    let loaded = load::load(file, Resolve::Yes).unwrap();
    assert!(load::can_run(&loaded), "{:?}", loaded.diagnostics);
    StartRequest { input: json!({}), ..loaded.into_start_request().unwrap() }
}

async fn settled(access: &Access, run_id: &str) -> Settled {
    tokio::time::timeout(PATIENCE, access.until_settled(run_id)).await.expect("it settles").unwrap()
}

fn answer(run_id: &str, review_id: &str, decision: Verdict) -> AnswerRequest {
    AnswerRequest {
        run_id: run_id.to_owned(),
        review_id: review_id.to_owned(),
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
        request_id: None,
    }
}

const TWO: &str = "nodes:\n  first: { agent: p, input: { x: 1 }, next: second }\n  second: { agent: p, input: { x: \"${{ nodes.first.output.x }}\" }, next: end }\n";

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_run_to_their_end_and_every_row_is_shown_once() {
    let project = Project::new(TWO, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    assert!(access.is_holder());
    let run_id = access.start_run(project.request()).await.unwrap();
    let mut watch = access.watch(&run_id, 0).await.unwrap();
    let mut rows: Vec<Published> = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("it goes on").unwrap() {
            Watched::Published(row) => rows.push(row),
            Watched::Live(_) => {}
            Watched::Settled(settled) => {
                assert_eq!(settled, Settled::Ended(Status::Succeeded));
                break;
            }
        }
    }
    let mut seq = 0;
    for row in &rows {
        assert_eq!(row.seq, seq, "no gap and no repetition");
        seq += row.events.len() as u64;
    }
    let graph = project.request().graph;
    let events = rows.iter().flat_map(|row| row.events.iter().map(|event| (row.at, event.clone())));
    let run = Run::fold(graph, None, events).unwrap();
    assert_eq!(run.output().map(|output| (**output).clone()), Some(json!({ "x": 1 })));
    // Who comes later sees the same.
    let mut late = access.watch(&run_id, 0).await.unwrap();
    for row in rows {
        let Watched::Published(seen) = late.next().await.unwrap() else { panic!("a row comes first") };
        assert_eq!(seen, row);
    }
    access.close().await.unwrap();
    assert!(!project.data().join("host.sock").exists());
}

// R1.4, R1.1
#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_repeated_as_the_policy_says() {
    let nodes = "nodes:\n  try: { agent: p, retry: { strategy: fixed, base-delay: 10ms }, next: end }\n";
    let project = Project::new(nodes, &[("p", bandstand_test_guests::recoverable_until(3))]);
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    access.close().await.unwrap();
    assert_eq!(project.count(&run_id, "attempt.failed"), 2);
}

// R2.1, R2.5
#[tokio::test(flavor = "multi_thread")]
async fn a_review_waits_over_a_restart_and_goes_on_with_the_answer() {
    let nodes = "nodes:\n  ask: { review: { title: ok }, approved: work, rejected: end }\n  work: { agent: p, next: end }\n";
    let project = Project::new(nodes, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    let Settled::WaitingForPeople { reviews } = settled(&access, &run_id).await else { panic!("it asks") };
    access.close().await.unwrap();
    let access = project.access().await;
    let wrong = access.answer(answer(&run_id, "nothing", Verdict::Approved)).await.unwrap_err();
    assert_eq!(wrong.exit_code(), 3);
    access.answer(answer(&run_id, &reviews[0], Verdict::Approved)).await.unwrap();
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    let again = access.answer(answer(&run_id, &reviews[0], Verdict::Rejected)).await.unwrap_err();
    assert_eq!(again.exit_code(), 3, "{again}");
    let none = access.drive("no-such-run").await.unwrap_err();
    assert!(matches!(none, HostError::NoSuchRun(_)), "{none}");
    access.close().await.unwrap();
}

// R5.6
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_with_the_plugin_it_began_with() {
    let nodes = "nodes:\n  nap: { wait: { for: 300ms }, next: work }\n  work: { agent: p, next: end }\n";
    let project = Project::new(nodes, &[("p", bandstand_test_guests::replies(r#"{"by":"old"}"#))]);
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    access.close().await.unwrap();
    std::fs::write(project.dir.path().join("p.wasm"), "nothing of use").unwrap();
    let access = project.access().await;
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    access.close().await.unwrap();
    let last = format!("{:?}", project.events(&run_id));
    assert!(last.contains("old"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_command_hands_its_run_over_and_takes_the_place_of_a_holder_that_leaves() {
    let nodes = "nodes:\n  nap: { wait: { for: 1500ms }, next: work }\n  work: { agent: p, next: end }\n";
    let project = Project::new(nodes, &[("p", bandstand_test_guests::echo())]);
    let holder = project.access().await;
    let second = project.access().await;
    assert!(holder.is_holder() && !second.is_holder());
    let run_id = second.start_run(project.request()).await.unwrap();
    let mut watch = second.watch(&run_id, 0).await.unwrap();
    let first = watch.next().await.unwrap();
    assert!(matches!(first, Watched::Published(ref row) if row.seq == 0), "{first:?}");
    holder.close().await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("it goes on").unwrap() {
            Watched::Settled(settled) => {
                assert_eq!(settled, Settled::Ended(Status::Succeeded));
                break;
            }
            Watched::Published(row) => assert!(row.seq > 0, "nothing twice"),
            Watched::Live(_) => {}
        }
    }
    assert!(second.is_holder(), "it took the place");
    second.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_finds_its_run() {
    let project = Project::new(TWO, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    let request = || StartRequest { request_id: Some("once".to_owned()), ..project.request() };
    let run_id = access.start_run(request()).await.unwrap();
    assert_eq!(access.start_run(request()).await.unwrap(), run_id);
    access.close().await.unwrap();
}

// R5.5: also eight at once; whoever asks for something else under the name is told what differs.
#[tokio::test(flavor = "multi_thread")]
async fn forks_with_one_request_are_one_fork() {
    let project = Project::new(TWO, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    settled(&access, &run_id).await;
    let point = |name: &str| {
        let is_it = |event: &Event| matches!(event, Event::NodeStarted(e) if e.p.to_string() == name);
        project.events(&run_id).iter().position(is_it).unwrap() as u64
    };
    let request = |name: &str| ForkRequest {
        run_id: run_id.clone(),
        seq: point(name),
        edits: Vec::new(),
        latest: None,
        request_id: Some("once".to_owned()),
        request_digest: None,
        starters: Vec::new(),
        linked: Vec::new(),
    };
    // Nobody but the run that is forked pins the plugin, and that may be deleted now.
    let file = std::fs::read_dir(project.data().join("plugins")).unwrap().next().unwrap().unwrap().path();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(100_000);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (access, request) = (access.clone(), request("second@1"));
        tasks.push(tokio::spawn(async move { access.fork(request).await }));
    }
    let mut forks = std::collections::BTreeSet::new();
    for task in tasks {
        forks.insert(task.await.unwrap().unwrap());
    }
    assert_eq!(forks.len(), 1, "{forks:?}");
    let touched = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert!(touched > long_ago + Duration::from_secs(1_000), "the file stays while the fork begins");
    let fork = forks.pop_first().unwrap();

    let differs = async |request: ForkRequest| match access.fork(request).await.unwrap_err() {
        HostError::RequestTaken { run_id, differs, .. } if run_id == fork => differs,
        error => panic!("{error}"),
    };
    let (there, here) = (point("second@1"), point("first@1"));
    assert_eq!(
        differs(request("first@1")).await,
        format!("a fork from event {there}, not from event {here}")
    );
    let edits = vec![("input.x".to_owned(), json!(1))];
    assert_eq!(differs(ForkRequest { edits, ..request("second@1") }).await, "other values: it set nothing");
    let loaded = project.request();
    let latest = Latest {
        graph: (*loaded.graph).clone(),
        source: format!("{}# a remark\n", loaded.source),
        plugins: project_pins(&project, &run_id).into(),
    };
    let latest = Some(Box::new(latest));
    assert_eq!(
        differs(ForkRequest { latest, ..request("second@1") }).await,
        "another text of workflow `test`"
    );
    assert_eq!(
        differs(ForkRequest { run_id: fork.clone(), ..request("second@1") }).await.split(' ').next(),
        Some("no")
    );
    // A start and a rerun are no forks.
    let start = |rerun_of: Option<&str>| StartRequest {
        request_id: Some("once".to_owned()),
        rerun_of: rerun_of.map(str::to_owned),
        ..project.request()
    };
    let error = access.start_run(start(None)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("with a fork of run {run_id};")), "{error}");
    let again = StartRequest { request_id: Some("again".to_owned()), ..start(Some(&run_id)) };
    let rerun = access.start_run(again.clone()).await.unwrap();
    assert_eq!(access.start_run(again.clone()).await.unwrap(), rerun);
    let other = StartRequest { rerun_of: Some(fork.clone()), ..again };
    let error = access.start_run(other).await.unwrap_err().to_string();
    assert!(error.contains(&format!("with a rerun of run {run_id};")), "{error}");
    access.close().await.unwrap();
}

fn project_pins(project: &Project, run_id: &str) -> std::collections::BTreeMap<bandstand_engine::Id, String> {
    match project.events(run_id).first() {
        Some(Event::RunStarted(e)) => {
            e.plugins.iter().map(|(id, pin)| (id.clone(), pin.digest.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

// R2.4
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_fires_within_20_ms_and_never_before() {
    let nodes = "nodes:\n  nap: { wait: { for: 700ms }, next: end }\n";
    let project = Project::new(nodes, &[]);
    let text = std::fs::read_to_string(project.dir.path().join("flow.yaml")).unwrap();
    std::fs::write(project.dir.path().join("flow.yaml"), text.replace("plugins:\n", "")).unwrap();
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    access.close().await.unwrap();
    let page = Reader::open(&project.data()).unwrap().history(&run_id, 0, 100).unwrap();
    let at = |name: &str| {
        page.rows
            .iter()
            .find(|row| row.events.iter().any(|event| event.name() == name))
            .map(|row| row.at.0)
            .unwrap()
    };
    let late_ms = at("wait.ended") - at("wait.started") - 700;
    // The machine that tests is busy; 20 ms hold for an idle host.
    assert!((0..200).contains(&late_ms), "{late_ms} ms late");
}

/// Not a test: the process that dies.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed() {
    let Ok(dir) = std::env::var("HOST_TEST_CHILD") else { return };
    let access = Access::open(HostOptions {
        limits: Limits::default(),
        drive: Drive::All,
        ..HostOptions::new(Path::new(&dir).join("data"))
    })
    .await
    .unwrap();
    if std::env::var_os("HOST_TEST_START").is_some() {
        let run_id = access.start_run(request(&Path::new(&dir).join("flow.yaml"))).await.unwrap();
        std::fs::write(Path::new(&dir).join("run-id"), run_id).unwrap();
    }
    tokio::time::sleep(PATIENCE).await;
}

// R5.4
#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_a_run_goes_on_and_what_was_finished_is_not_repeated() {
    let nodes = "nodes:\n  done: { agent: e, next: spin }\n  spin: { agent: s, input: { do: l }, timeout: 2s, retry: { strategy: none }, on-failure: { value: { gave: up } }, next: end }\n";
    let agents = [("e", bandstand_test_guests::echo()), ("s", bandstand_test_guests::scripted())];
    let project = Project::new(nodes, &agents);
    let dir = project.dir.path().to_owned();
    let spawn = |start: bool| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_is_killed"]).env("HOST_TEST_CHILD", &dir).stdout(Stdio::null());
        if start {
            command.env("HOST_TEST_START", "1");
        }
        command.spawn().unwrap()
    };
    let marked = || std::fs::read(dir.join("data/inflight")).is_ok_and(|marks| contains(&marks, b"spin@1#1"));
    let mut child = spawn(true);
    let begun = Instant::now();
    while !(marked() && dir.join("run-id").exists()) {
        assert!(begun.elapsed() < PATIENCE, "the attempt begins");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run_id = std::fs::read_to_string(dir.join("run-id")).unwrap();
    let access = project.access().await;
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    access.close().await.unwrap();
    assert_eq!(project.count(&run_id, "attempt.interrupted"), 1);
    assert_eq!(project.count(&run_id, "attempt.failed"), 1, "the interruption spent no attempt");
    assert_eq!(project.count(&run_id, "attempt.succeeded"), 1, "what was finished is not repeated");
    let marks = std::fs::read(dir.join("data/inflight")).unwrap();
    assert!(marks.is_empty(), "a clean end leaves no marks");
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_at_once_all_end() {
    let project = Project::new(TWO, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    let request = project.request();
    let mut started = Vec::new();
    for _ in 0..100 {
        let (access, request) = (access.clone(), request.clone());
        started.push(tokio::spawn(async move { access.start_run(request).await.unwrap() }));
    }
    for start in started {
        let run_id = start.await.unwrap();
        assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    }
    access.close().await.unwrap();
}

// R5.4
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stuck_goes_on_in_the_same_host_once_its_plugin_is_back() {
    let nodes = "nodes:\n  nap: { wait: { for: 300ms }, next: work }\n  work: { agent: p, next: end }\n";
    let project = Project::new(nodes, &[("p", bandstand_test_guests::echo())]);
    let access = project.access().await;
    let run_id = access.start_run(project.request()).await.unwrap();
    access.close().await.unwrap();
    let kept = std::fs::read_dir(project.data().join("plugins")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    let access = project.access().await;
    let stuck = settled(&access, &run_id).await;
    assert!(matches!(&stuck, Settled::Stuck(why) if why.contains("put the same file back")), "{stuck:?}");
    assert_eq!(settled(&access, &run_id).await, stuck, "asked again, it says so again");
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(settled(&access, &run_id).await, Settled::Ended(Status::Succeeded));
    access.close().await.unwrap();
    assert_eq!(project.count(&run_id, "attempt.scheduled"), 1);
}

// R1.9
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_calls_wait_for_room_is_shown_as_held_with_the_reason() {
    let nodes = "nodes:\n  spin: { agent: s, input: { do: l }, timeout: 2m, next: end }\n";
    let project = Project::new(nodes, &[("s", bandstand_test_guests::scripted())]);
    let limits = Limits { calls_max: 1, ..Limits::default() };
    let access = Access::open(HostOptions { limits, ..HostOptions::new(project.data()) }).await.unwrap();
    let first = access.start_run(project.request()).await.unwrap();
    let second = access.start_run(project.request()).await.unwrap();
    let told = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bandstand"));
        let output = command.args(args).arg("--data").arg(project.data()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let held = |run_id: &str| {
        let shown: serde_json::Value =
            serde_json::from_str(&told(&["runs", "show", run_id, "--json"])).unwrap();
        assert_eq!((&shown["status"], &shown["problem"]), (&json!("running"), &json!(null)));
        shown["held"].clone()
    };
    let becomes = async |run_id: &str, what: serde_json::Value| {
        let begun = Instant::now();
        while held(run_id) != what {
            assert!(begun.elapsed() < PATIENCE, "{run_id} becomes {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    becomes(&second, json!("limit")).await;
    assert_eq!(held(&first), json!(null));
    assert!(told(&["runs", "show", &second]).contains("running (held: limit)"));
    let listed = told(&["runs", "list"]);
    assert_eq!(listed.matches("running (held: limit)").count(), 1, "{listed}");
    assert!(told(&["runs", "list", "--json"]).contains(r#""held":"limit""#));
    // Room for it.
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    let cancel =
        SteerRequest { run_id: first.clone(), steering: Steering::Cancel, by, reason: String::new() };
    access.steer(cancel).await.unwrap();
    becomes(&second, json!(null)).await;
    // Nobody holds a run whose host has closed.
    let third = access.start_run(project.request()).await.unwrap();
    becomes(&third, json!("limit")).await;
    access.close().await.unwrap();
    assert_eq!(held(&third), json!(null));
}
