//! A served directory: real files, real agents, a real host. What is in service is only replaced by what is better.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

mod agent;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bandstand::host::{Host, HostOptions, Settled, StartRequest, Uses};
use bandstand::project::catalogue::{
    Catalogue, Change, Deployed, OpenError, Pace, Precondition, PutError, Served,
};
use bandstand_engine::{Run, Status};
use bandstand_store::Reader;
use serde_json::json;

/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that is served.
struct Project {
    dir: tempfile::TempDir,
    host: Host,
}

impl Drop for Project {
    fn drop(&mut self) {
        // A host whose directory is gone ends the process.
        let closed =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.host.close()));
        assert!(closed.is_ok() || std::thread::panicking(), "{closed:?}");
    }
}

impl Project {
    async fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("served")).unwrap();
        let host = Host::open(HostOptions::new(dir.path().join("data"))).await.unwrap();
        Project { dir, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("served").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Looks only when it is told to.
    async fn still(&self) -> Catalogue {
        let pace = Pace {
            settle: Duration::from_millis(20),
            poll: Duration::from_secs(3_600),
            watch: false,
            log: false,
        };
        self.open(pace).await
    }

    async fn open(&self, pace: Pace) -> Catalogue {
        Catalogue::open(&self.path(""), self.host.clone(), pace).await.unwrap()
    }

    /// What a run of it comes to.
    async fn run(&self, deployed: &Deployed) -> serde_json::Value {
        let run_id = self.host.start_deployed(deployed.to_start(), request()).await.unwrap();
        let settled = tokio::time::timeout(PATIENCE, self.host.until_settled(&run_id)).await.unwrap();
        assert_eq!(settled.unwrap(), Settled::Ended(Status::Succeeded));
        let reader = Reader::open(&self.dir.path().join("data")).unwrap();
        let rows = reader.history(&run_id, 0, 1_000).unwrap().rows;
        let events =
            rows.into_iter().flat_map(|row| row.events.into_iter().map(move |event| (row.at, event)));
        let run = Run::fold(deployed.graph.clone(), None, events).unwrap();
        (**run.output().unwrap()).clone()
    }
}

/// What is asked beside the workflow.
fn request() -> StartRequest {
    let nothing = "format: 1\nname: none\nversion: 1\nnodes:\n  go: { value: {}, next: end }\n";
    let graph = bandstand_workflow::check(nothing.as_bytes(), &bandstand_workflow::Options::default()).graph;
    StartRequest {
        graph: Arc::new(graph.unwrap()),
        source: String::new(),
        plugins: Uses::default(),
        input: json!({}),
        thread_id: None,
        user_id: None,
        request_id: None,
        seed: None,
        request_digest: None,
        start_at: None,
        starters: Vec::new(),
        linked: Vec::new(),
        rerun_of: None,
    }
}

/// A workflow without agents, whose result is this.
fn value(name: &str, result: &str) -> String {
    format!("format: 1\nname: {name}\nversion: 1\nnodes:\n  go: {{ value: {{ is: {result} }}, next: end }}\n")
}

/// One that calls the plugin in that file.
fn calls(name: &str, plugin: &str) -> String {
    format!(
        "format: 1\nname: {name}\nversion: 1\nplugins:\n  p: {{ path: {plugin} }}\nnodes:\n  go: {{ agent: p, next: end }}\n"
    )
}

fn says(text: &str) -> Vec<u8> {
    agent::says(&json!({ "is": text }).to_string())
}

fn names(served: &Served) -> Vec<&str> {
    served.workflows.keys().map(String::as_str).collect()
}

fn problem(served: &Served, file: &str) -> String {
    let found = served.problems.iter().find(|problem| problem.file == file);
    found.unwrap_or_else(|| panic!("no problem of {file}: {served:?}")).what.clone()
}

fn source(catalogue: &Catalogue, name: &str) -> String {
    catalogue.workflow(name).unwrap().source.to_string()
}

/// Waits until it is so; with a system that tells of changes that is soon.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn put(catalogue: &Catalogue, name: &str, text: &str) -> Result<Arc<Deployed>, PutError> {
    put_when(catalogue, name, text, Precondition::default()).await
}

async fn put_when(
    catalogue: &Catalogue,
    name: &str,
    text: &str,
    when: Precondition,
) -> Result<Arc<Deployed>, PutError> {
    catalogue.put_workflow(name, text.as_bytes().to_vec(), when).await.map(|put| put.deployed)
}

// R2.7
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_run_is_in_service_and_the_rest_is_told() {
    let project = Project::new().await;
    project.write("a.yaml", value("first", "1"));
    project.write("deep/b.yml", calls("second", "../p.wasm"));
    project.write("deep/.hidden/c.yaml", value("hidden", "1"));
    project.write("bad.yaml", "format: 1\nname: bad\n");
    project.write("none.yaml", "kind: Deployment\n");
    project.write("p.wasm", says("b"));
    // Without bandstand.toml the project is the file's own folder.
    let catalogue = project.still().await;
    assert_eq!(names(&catalogue.served()), ["first"]);
    assert!(problem(&catalogue.served(), "deep/b.yml").contains("BW607"));
    assert!(problem(&catalogue.served(), "bad.yaml").contains("bad.yaml:1: BW105"), "{catalogue:?}");
    assert_eq!(catalogue.served().problems.len(), 2);
    project.write("bandstand.toml", "");
    catalogue.look().await;
    assert_eq!(names(&catalogue.served()), ["first", "second"]);
    let second = catalogue.workflow("second").unwrap();
    assert_eq!((second.file.as_str(), second.version), ("deep/b.yml", 1));
    assert_eq!(project.run(&second).await, json!({ "is": "b" }));
    let none = Catalogue::open(&project.path("nowhere"), project.host.clone(), Pace::default()).await;
    assert!(matches!(none, Err(OpenError::Directory { .. })));
}

// R2.7
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_swapped_in_only_when_it_is_valid() {
    let project = Project::new().await;
    project.write("a.yaml", value("first", "1"));
    let catalogue = project.still().await;
    let mut changes = catalogue.subscribe();
    let before = catalogue.workflow("first").unwrap();
    for broken in [&value("first", "1").replace("end }", "nowhere }"), "", "format"] {
        project.write("a.yaml", broken);
        catalogue.look().await;
        assert!(Arc::ptr_eq(&before, &catalogue.workflow("first").unwrap()), "{broken}");
        assert_eq!(catalogue.served().problems[0].in_service.as_deref(), Some("first"), "{broken}");
        let Ok(Change::Refused(told)) = changes.try_recv() else { panic!("{broken} is told") };
        assert!(!told.rendered.is_empty() && told.file == "a.yaml");
    }
    // The same problem is told once.
    project.write("a.yaml", "format");
    catalogue.look().await;
    assert!(changes.try_recv().is_err());
    project.write("a.yaml", value("first", "2"));
    catalogue.look().await;
    let Ok(Change::Deployed(now)) = changes.try_recv() else { panic!("it is told") };
    assert!(Arc::ptr_eq(&now, &catalogue.workflow("first").unwrap()) && now.etag != before.etag);
    assert!(catalogue.served().problems.is_empty());
    assert_eq!(project.run(&now).await, json!({ "is": 2 }));
    // What a run was given before goes on as it was.
    assert_eq!(project.run(&before).await, json!({ "is": 1 }));
    // A file that is as it was, and one that is broken and mended, change nothing.
    project.write("a.yaml", "format");
    catalogue.look().await;
    project.write("a.yaml", value("first", "2"));
    catalogue.look().await;
    assert!(Arc::ptr_eq(&now, &catalogue.workflow("first").unwrap()));
    assert!(catalogue.served().problems.is_empty());
}

// R2.7
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_swapped_when_a_file_that_it_is_made_of_changes() {
    let project = Project::new().await;
    project.write("plugin.yaml", calls("plugin", "p.wasm"));
    project.write("p.wasm", says("old"));
    let parent = "format: 1\nname: parent\nversion: 1\nworkflows:\n  c: { path: child.yaml, version: 1 }\nnodes:\n  \
                  go: { workflow: c, next: end }\n";
    project.write("parent.yaml", parent);
    project.write("child.yaml", value("child", "1"));
    let text = "format: 1\nname: text\nversion: 1\nconstants: { t: { path: t.txt } }\nnodes:\n  \
                go: { value: { is: \"${{ constants.t }}\" }, next: end }\n";
    project.write("text.yaml", text);
    project.write("t.txt", "old");
    let catalogue = project.still().await;
    assert_eq!(names(&catalogue.served()), ["child", "parent", "plugin", "text"], "{:?}", catalogue.served());
    let output = async |name: &str| project.run(&catalogue.workflow(name).unwrap()).await["is"].clone();
    assert_eq!(output("plugin").await, "old");
    project.write("p.wasm", says("new"));
    project.write("child.yaml", value("child", "2"));
    project.write("t.txt", "new");
    catalogue.look().await;
    assert_eq!(output("plugin").await, "new");
    assert_eq!(output("text").await, "new");
    assert_eq!(output("parent").await, 2);
    // One that breaks leaves all that use it as they were.
    project.write("p.wasm", "no component");
    project.write("child.yaml", value("child", "3").replace("version: 1", "version: 2"));
    std::fs::remove_file(project.path("t.txt")).unwrap();
    catalogue.look().await;
    for (file, code) in [("plugin.yaml", "BW602"), ("parent.yaml", "BW605"), ("text.yaml", "BW601")] {
        assert!(problem(&catalogue.served(), file).contains(code), "{:?}", catalogue.served());
    }
    assert_eq!(output("plugin").await, "new");
    assert_eq!(output("parent").await, 2);
    assert_eq!(output("child").await, 3);
}

// R2.7: nothing is taken that is being written, and a file that is gone for a moment is not gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_half_written_is_not_taken() {
    let project = Project::new().await;
    project.write("a.yaml", value("first", "1"));
    let pace = Pace {
        settle: Duration::from_millis(100),
        poll: Duration::from_millis(200),
        watch: true,
        log: false,
    };
    let catalogue = project.open(pace).await;
    let mut changes = catalogue.subscribe();
    // Valid at each moment, so only time tells that it is not whole. The file stays open longer than it must be still.
    let mut file = std::fs::File::create(project.path("a.yaml")).unwrap();
    for (part, pause) in [(value("first", "2").as_str(), 600), ("result: { of: 2 }\n", 600), ("# end\n", 0)] {
        std::io::Write::write_all(&mut file, part.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        assert!(source(&catalogue, "first").contains("is: 1"), "taken while it is written");
    }
    drop(file);
    until("taken when it is closed", || source(&catalogue, "first").ends_with("# end\n")).await;
    assert!(matches!(changes.try_recv(), Ok(Change::Deployed(_))));
    // As editors do it: out of the way, then a new one.
    std::fs::rename(project.path("a.yaml"), project.path("a.yaml~")).unwrap();
    project.write("a.yaml", value("first", "3"));
    until("the new one is taken", || source(&catalogue, "first").contains("is: 3")).await;
    // Or a new one in its place.
    project.write("a.yaml.new", value("first", "4"));
    std::fs::rename(project.path("a.yaml.new"), project.path("a.yaml")).unwrap();
    until("the renamed one is taken", || source(&catalogue, "first").contains("is: 4")).await;
    while let Ok(change) = changes.try_recv() {
        assert!(matches!(change, Change::Deployed(_)), "{change:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_seen_by_being_told_and_by_looking_now_and_then() {
    for (watch, poll) in [(true, 3_600_000), (false, 50)] {
        let project = Project::new().await;
        let pace =
            Pace { settle: Duration::from_millis(20), poll: Duration::from_millis(poll), watch, log: true };
        let catalogue = project.open(pace).await;
        project.write("a.yaml", calls("first", "p.wasm"));
        project.write("p.wasm", says("1"));
        until("a new file", || catalogue.workflow("first").is_some()).await;
        // A folder that was not there before is watched, too.
        project.write("new/deep/b.yaml", value("second", "1"));
        until("a file in a new folder", || catalogue.workflow("second").is_some()).await;
        project.write("new/deep/b.yaml", value("second", "2"));
        until("a change there", || source(&catalogue, "second").contains("is: 2")).await;
        let before = catalogue.workflow("first").unwrap().digests.clone();
        project.write("p.wasm", says("2"));
        until("a changed plugin", || catalogue.workflow("first").unwrap().digests != before).await;
        std::fs::remove_dir_all(project.path("new")).unwrap();
        until("a removed folder", || catalogue.workflow("second").is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_name_the_first_stays() {
    let project = Project::new().await;
    project.write("b.yaml", value("same", "1"));
    let catalogue = project.still().await;
    project.write("a.yaml", value("same", "2"));
    catalogue.look().await;
    assert!(source(&catalogue, "same").contains("is: 1"));
    let told = problem(&catalogue.served(), "a.yaml");
    assert!(told.contains("`same` is in service from b.yaml"), "{told}");
    // A valid file that takes another's name changes nothing either.
    project.write("c.yaml", value("other", "3"));
    catalogue.look().await;
    project.write("c.yaml", value("same", "4"));
    catalogue.look().await;
    assert_eq!(names(&catalogue.served()), ["other", "same"]);
    assert_eq!(catalogue.served().problems.len(), 2);
    // Free, the name goes to the one that waits.
    let mut changes = catalogue.subscribe();
    std::fs::remove_file(project.path("b.yaml")).unwrap();
    catalogue.look().await;
    assert!(source(&catalogue, "same").contains("is: 2"));
    assert!(matches!(changes.try_recv(), Ok(Change::Deployed(_))), "it was never out of service");
    std::fs::remove_file(project.path("a.yaml")).unwrap();
    catalogue.look().await;
    assert_eq!(
        (names(&catalogue.served()), source(&catalogue, "same").contains("is: 4")),
        (vec!["same"], true)
    );
    assert!(catalogue.served().problems.is_empty());
    // A file that is renamed keeps its workflow in service, one that is removed does not.
    let mut changes = catalogue.subscribe();
    std::fs::rename(project.path("c.yaml"), project.path("z.yaml")).unwrap();
    catalogue.look().await;
    assert_eq!(catalogue.workflow("same").unwrap().file, "z.yaml");
    assert!(matches!(changes.try_recv(), Ok(Change::Deployed(_))));
    std::fs::remove_file(project.path("z.yaml")).unwrap();
    catalogue.look().await;
    assert!(matches!(changes.try_recv(), Ok(Change::Removed { name, .. }) if name == "same"));
    assert!(catalogue.served().workflows.is_empty());
}

// R7.2: without bandstand.toml `run` takes the file's own grants, `serve` takes none.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_without_bandstand_toml() {
    let project = Project::new().await;
    let text = "format: 1\nname: w\nversion: 1\nplugins:\n  c: { builtin: chat, grants: { model: [small] } }\nnodes:\n  \
                go: { agent: c, next: end }\n";
    project.write("flows/w.yaml", text);
    let catalogue = project.still().await;
    let told = catalogue.served().problems[0].rendered.concat();
    let line = "bandstand.toml, [grants]: \"builtin:chat\" = { model = [\"small\"] }";
    assert!(told.contains("BW604") && told.contains(line), "{told}");
    let root = project.path("").canonicalize().unwrap();
    assert!(told.contains(&format!("in {}", root.join("bandstand.toml").display())), "{told}");
    project.write("bandstand.toml", "[grants]\n\"builtin:chat\" = { model = [\"small\"] }\n");
    catalogue.look().await;
    assert_eq!(names(&catalogue.served()), ["w"], "{:?}", catalogue.served());
    // A line that is taken back leaves what is in service, and is told.
    project.write("bandstand.toml", "");
    catalogue.look().await;
    assert!(problem(&catalogue.served(), "flows/w.yaml").contains("BW604"));
    project.write("bandstand.toml", "what");
    catalogue.look().await;
    assert!(problem(&catalogue.served(), "flows/w.yaml").contains("bandstand.toml"));
}

// R7.8: who may deploy a workflow may not read by it what only the host is meant to read.
#[tokio::test(flavor = "multi_thread")]
async fn a_served_workflow_gets_no_file_of_the_hosts_own() {
    let project = Project::new().await;
    project.write("bandstand.toml", "[secrets.S]\nfile = \"keys/s\"\nhosts = [\"https://a.example\"]\n");
    project.write("keys/s", "hush");
    project.write(".env", "hush");
    project.write("fine.txt", "fine");
    let catalogue = project.still().await;
    for (file, taken) in [
        ("fine.txt", true),
        ("keys/s", false),
        (".env", false),
        ("bandstand.toml", false),
        ("x/../keys/s", false),
    ] {
        let text = format!(
            "format: 1\nname: w\nversion: 1\nconstants: {{ t: {{ path: {file} }} }}\nnodes:\n  \
             go: {{ value: {{ is: \"${{{{ constants.t }}}}\" }}, next: end }}\n"
        );
        match put(&catalogue, "w", &text).await {
            Ok(_) => assert!(taken, "{file}"),
            Err(PutError::Invalid { what, .. }) => {
                assert!(
                    !taken && what.contains("BW601") && what.contains("the host's own"),
                    "{file}: {what}"
                );
            }
            Err(error) => panic!("{file}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_put_is_in_service_and_in_the_directory() {
    let project = Project::new().await;
    project.write("deep/b.yaml", value("second", "1"));
    let catalogue = project.still().await;
    let first =
        catalogue.put_workflow("first", value("first", "1").into_bytes(), Precondition::absent()).await;
    let first = first.unwrap();
    assert!(first.is_new && first.deployed.file == "first.yaml");
    assert_eq!(std::fs::read_to_string(project.path("first.yaml")).unwrap(), value("first", "1"));
    assert_eq!(project.run(&first.deployed).await, json!({ "is": 1 }));
    // One that is there stays in its file.
    let second = put(&catalogue, "second", &value("second", "2")).await.unwrap();
    assert_eq!(second.file, "deep/b.yaml");
    assert!(std::fs::read_to_string(project.path("deep/b.yaml")).unwrap().contains("is: 2"));
    // What was written so is no change to look at; the same text again is none at all.
    catalogue.look().await;
    assert!(Arc::ptr_eq(&second, &catalogue.workflow("second").unwrap()));
    assert!(Arc::ptr_eq(&second, &put(&catalogue, "second", &value("second", "2")).await.unwrap()));
    // Another process finds the same.
    let again = project.still().await;
    assert_eq!(names(&again.served()), ["first", "second"]);
    assert_eq!(again.workflow("first").unwrap().etag, first.deployed.etag);
    catalogue.delete_workflow("second", Precondition::default()).await.unwrap();
    assert!(!project.path("deep/b.yaml").exists() && catalogue.workflow("second").is_none());
    let unknown = catalogue.delete_workflow("second", Precondition::default()).await;
    assert!(matches!(unknown, Err(PutError::Unknown(_))), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_refused_whole() {
    let project = Project::new().await;
    project.write("other.yaml", value("elsewhere", "1"));
    project.write("compose.yaml", "services: {}\n");
    project.write("broken.yaml", "format: 1\nname: broken\n");
    let catalogue = project.still().await;
    put(&catalogue, "first", &value("first", "1")).await.unwrap();
    let invalid = put(&catalogue, "first", "format: 1\nname: first\nnode: 1\n").await.unwrap_err();
    let PutError::Invalid { diagnostics, rendered, .. } = invalid else { panic!("{invalid}") };
    assert!(diagnostics.len() > 1 && diagnostics.len() == rendered.len());
    assert_eq!(diagnostics[0].file, "first.yaml");
    let large = put(&catalogue, "first", &"#".repeat(2 << 20)).await;
    assert!(matches!(large, Err(PutError::TooLarge { .. })));
    let other = put(&catalogue, "first", &value("second", "1")).await;
    assert!(matches!(other, Err(PutError::OtherName { .. })));
    for name in ["other", "compose"] {
        let taken = put(&catalogue, name, &value(name, "1")).await;
        assert!(matches!(taken, Err(PutError::InTheWay(_))), "{name}: {taken:?}");
    }
    for name in ["../x", "a/b", "A", "", ".x", "a.yaml", "/etc/x"] {
        let named = put(&catalogue, name, &value("x", "1")).await;
        assert!(matches!(named, Err(PutError::Name { .. })), "{name}: {named:?}");
        let checked = catalogue.check(Some(name), value("x", "1").into_bytes()).await;
        assert!(matches!(checked, Err(PutError::Name { .. })), "{name}");
    }
    // A file that has only problems may be replaced, unless it is to be a new one.
    let absent = put_when(&catalogue, "broken", &value("broken", "1"), Precondition::absent()).await;
    assert!(matches!(absent, Err(PutError::Condition { .. })), "{absent:?}");
    put(&catalogue, "broken", &value("broken", "1")).await.unwrap();
    assert!(catalogue.served().problems.is_empty());
    // Nothing of the refused ones was written.
    assert_eq!(std::fs::read_to_string(project.path("first.yaml")).unwrap(), value("first", "1"));
    assert_eq!(std::fs::read_to_string(project.path("compose.yaml")).unwrap(), "services: {}\n");
    let checked = catalogue.check(None, b"format: 1\n".to_vec()).await.unwrap();
    assert!(!checked.can_run && checked.graph.is_none() && checked.diagnostics[0].file == "workflow.yaml");
    assert!(catalogue.check(Some("first"), value("first", "9").into_bytes()).await.unwrap().can_run);
    assert!(source(&catalogue, "first").contains("is: 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_write_one_is_told() {
    let project = Project::new().await;
    let catalogue = project.still().await;
    let first = put_when(&catalogue, "w", &value("w", "1"), Precondition::absent()).await.unwrap();
    let is = |deployed: &Deployed| Precondition::is(&deployed.etag);
    let second = put_when(&catalogue, "w", &value("w", "2"), is(&first)).await.unwrap();
    for when in [is(&first), Precondition::absent()] {
        let Err(PutError::Condition { etag, .. }) =
            put_when(&catalogue, "w", &value("w", "3"), when.clone()).await
        else {
            panic!("{when:?} does not hold")
        };
        assert_eq!(etag.as_ref(), Some(&second.etag));
    }
    assert!(matches!(
        put_when(&catalogue, "none", &value("none", "3"), Precondition::is("*")).await,
        Err(PutError::Condition { etag: None, .. })
    ));
    let deleted = catalogue.delete_workflow("w", is(&first)).await;
    assert!(matches!(deleted, Err(PutError::Condition { .. })));
    // Somebody writes to the disk meanwhile: not overwritten by whoever names what they saw.
    project.write("w.yaml", "# half of it");
    let changed = put_when(&catalogue, "w", &value("w", "3"), is(&second)).await;
    assert!(matches!(changed, Err(PutError::Condition { .. })), "{changed:?}");
    assert_eq!(std::fs::read_to_string(project.path("w.yaml")).unwrap(), "# half of it");
    put_when(&catalogue, "w", &value("w", "3"), Precondition::is("*")).await.unwrap();
    let third = catalogue.workflow("w").unwrap();
    catalogue.delete_workflow("w", is(&third)).await.unwrap();
}

// R7.8
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn no_link_is_followed_out_of_the_directory() {
    use std::os::unix::fs::symlink;
    let project = Project::new().await;
    let outside = project.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("x.yaml"), value("x", "1")).unwrap();
    symlink(outside.join("x.yaml"), project.path("x.yaml")).unwrap();
    symlink(&outside, project.path("linked")).unwrap();
    symlink(&outside, project.path("plugins")).unwrap();
    let catalogue = project.still().await;
    assert!(catalogue.served().workflows.is_empty(), "links are not served either");
    let put_there = put(&catalogue, "x", &value("x", "2")).await;
    assert!(matches!(put_there, Err(PutError::InTheWay(_))), "{put_there:?}");
    let plugin = catalogue.put_plugin("p", says("1")).await;
    assert!(matches!(plugin, Err(PutError::InTheWay(_))), "{plugin:?}");
    assert_eq!(std::fs::read_to_string(outside.join("x.yaml")).unwrap(), value("x", "1"));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_put_swaps_all_that_use_it() {
    let project = Project::new().await;
    let catalogue = project.still().await;
    let put_plugin = async |name: &str, bytes| catalogue.put_plugin(name, bytes).await;
    let first = put_plugin("p", says("1")).await.unwrap();
    assert!(first.is_new && first.file == "plugins/p.wasm" && first.workflows.is_empty());
    for name in ["a", "b"] {
        put(&catalogue, name, &calls(name, "plugins/p.wasm")).await.unwrap();
    }
    // This one says which bytes it wants.
    let pinned =
        calls("c", "plugins/p.wasm").replace("p.wasm", &format!("p.wasm, digest: \"{}\"", first.digest));
    put(&catalogue, "c", &pinned).await.unwrap();
    let second = put_plugin("p.wasm", says("2")).await.unwrap();
    assert!(!second.is_new && second.digest != first.digest);
    assert_eq!(second.workflows, ["a", "b"]);
    assert!(second.problems.len() == 1 && second.problems[0].what.contains("BW608"), "{second:?}");
    for (name, expected) in [("a", "2"), ("b", "2"), ("c", "1")] {
        assert_eq!(
            project.run(&catalogue.workflow(name).unwrap()).await,
            json!({ "is": expected }),
            "{name}"
        );
    }
    let again = put_plugin("p", says("2")).await.unwrap();
    assert_eq!((again.workflows.len(), again.problems.len()), (2, 1));
    for (name, bytes) in [("p", b"no component".to_vec()), ("q", Vec::new())] {
        let unusable = put_plugin(name, bytes).await;
        assert!(matches!(unusable, Err(PutError::Unusable(_))), "{unusable:?}");
    }
    for name in ["../p", "a/b", ".p", "", "p\0", ".."] {
        assert!(matches!(put_plugin(name, says("3")).await, Err(PutError::Name { .. })), "{name:?}");
    }
    let names: Vec<_> = std::fs::read_dir(project.path("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["p.wasm"], "nothing is left over");
}

/// Makes a kept plugin look as if nobody had asked for it in a long time.
fn forget_about(data: &Path) {
    for entry in std::fs::read_dir(data.join("plugins")).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7_200)).unwrap();
    }
}

// R5.7: what is in service can be started at any time, though no run pins it.
#[tokio::test(flavor = "multi_thread")]
async fn plugins_in_service_stay_when_runs_are_pruned() {
    let project = Project::new().await;
    project.write("a.yaml", calls("a", "p.wasm"));
    project.write("b.yaml", calls("b", "q.wasm"));
    project.write("p.wasm", says("1"));
    project.write("q.wasm", says("2"));
    let catalogue = project.still().await;
    catalogue.delete_workflow("b", Precondition::default()).await.unwrap();
    let data = project.dir.path().join("data");
    forget_about(&data);
    let pruned = project.host.prune(bandstand_store::Retention::default()).await.unwrap();
    assert_eq!(pruned.plugins, 1, "that of the workflow that is gone");
    assert_eq!(project.run(&catalogue.workflow("a").unwrap()).await, json!({ "is": "1" }));
}
