//! Quarantine on the real binary (R1.10): a plugin that keeps crashing is taken out of service, what waits for it is not
//! spent and nobody else is harmed; it is seen, and released by hand or by success.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use ::bandstand::host::{Drive, Host, HostOptions, Limits, QuarantineStats, StartRequest};
use ::bandstand::project::load::{self, Resolve};
use ::bandstand::{host, project};
use bandstand::{Ended, Folder};
use serde_json::{Value, json};

/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A workflow that hands its input to an agent, tried twice.
fn flow(name: &str, plugin: &str) -> String {
    format!(
        "format: 1\nname: {name}\nversion: 1\nplugins:\n  {plugin}: {{ path: {plugin}.wasm }}\nnodes:\n  ask:\n    \
         agent: {plugin}\n    input: \"${{{{ input }}}}\"\n    retry: {{ max-retries: 1, base-delay: 10ms }}\n    next: end\n"
    )
}

/// A project with a plugin that dies when it is told to and one that never does.
fn project_with(settings: &str) -> Folder {
    let folder = Folder::new();
    folder.write("bandstand.toml", format!("[quarantine]\n{settings}"));
    folder.write("fragile.wasm", bandstand_test_guests::scripted());
    folder.write("sound.wasm", bandstand_test_guests::echo());
    folder.write("crash.yaml", flow("crash", "fragile"));
    folder.write("healthy.yaml", flow("healthy", "sound"));
    folder
}

const DIES: &str = r#"{"do":"t"}"#;
const WORKS: &str = r#"{"do":"e"}"#;

/// A `run --json` that goes on beside the test.
struct Run {
    child: Child,
    stdout: BufReader<ChildStdout>,
    run_id: String,
}

impl Run {
    /// Begins it and waits until it is told to wait for its plugin.
    fn held(folder: &Folder, input: &str) -> (Run, Value) {
        let mut command = folder.command(&["run", "crash.yaml", "--json", "--input", input]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut run = Run { child, stdout, run_id: String::new() };
        loop {
            let line = run.line();
            if line["type"] == "run.started" {
                run.run_id = line["run_id"].as_str().unwrap().to_owned();
            }
            if line["type"] == "live.held" {
                return (run, line);
            }
            assert_ne!(line["type"], "outcome", "it was to be held");
        }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Its last line, and how it ended.
    fn ends(mut self) -> (Value, i32) {
        loop {
            let line = self.line();
            if line["type"] == "outcome" {
                return (line, self.child.wait().unwrap().code().unwrap());
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn events(folder: &Folder, run_id: &str) -> Vec<String> {
    let lines = folder.call(&["runs", "show", run_id, "--events", "--json"]).expect(0, &[]).lines();
    lines.iter().map(|line| line["type"].as_str().unwrap().to_owned()).collect()
}

/// What is told of the fragile plugin.
fn of_fragile(folder: &Folder) -> Value {
    let digest =
        folder.call(&["plugin", "inspect", "fragile.wasm", "--json"]).expect(0, &[]).json()["digest"].clone();
    let listed: Vec<Value> = folder.call(&["plugin", "list", "--json"]).expect(0, &[]).lines();
    listed.into_iter().find(|plugin| plugin["digest"] == digest).expect("it is kept")
}

// R1.10, R8.1
#[test]
fn a_plugin_that_keeps_crashing_waits_for_a_person_and_harms_nobody() {
    let folder = project_with("faults = 3\ncool-down = \"1h\"\n");
    folder.call(&["run", "crash.yaml", "--input", DIES]).expect(1, &["trap"]);
    // Its first attempt is the third fault; its second one waits, and this process holds the directory.
    let (dying, line) = Run::held(&folder, DIES);
    assert_eq!((line["because"].as_str(), line["command_id"].as_str()), (Some("breaker"), Some("ask@1#2")));
    assert!(line["fault"].as_str().unwrap().starts_with("trap"), "{line}");
    assert!(line["since"].is_string() && line["next_probe_at"].is_string(), "{line}");
    // A second run waits with its first attempt. A third one, of another plugin, does not.
    let (waiting, line) = Run::held(&folder, WORKS);
    assert_eq!(line["command_id"], "ask@1#1");
    let healthy = folder.call(&["run", "healthy.yaml", "--input", "{\"a\":1}"]).expect(0, &[]);
    assert!(!healthy.stderr.contains("quarantine"), "{healthy:?}");
    assert_eq!(events(&folder, &waiting.run_id), ["run.started", "node.started", "attempt.scheduled"]);

    // It is seen everywhere.
    let told = of_fragile(&folder);
    let quarantine = &told["quarantine"];
    assert_eq!((&quarantine["state"], &quarantine["faults"]), (&json!("open"), &json!(3)));
    assert_eq!((&quarantine["name"], &quarantine["workflow"]), (&json!("fragile"), &json!("crash")));
    assert_eq!(quarantine["next_probe_at"], line["next_probe_at"]);
    let listed = folder.call(&["plugin", "list", "--quarantined"]).expect(0, &[]);
    assert_eq!(listed.stdout.lines().count(), 2, "a head and one plugin: {listed:?}");
    assert!(listed.stdout.contains("open"), "{listed:?}");
    let inspected = folder.call(&["plugin", "inspect", "fragile.wasm"]).expect(0, &[]);
    assert!(inspected.stdout.contains("quarantine  open after 3 faults in a row since "), "{inspected:?}");
    let shown = folder.call(&["runs", "show", &waiting.run_id]).expect(0, &[]);
    assert!(
        shown.stdout.contains("plugin fragile at ask@1#1, in quarantine: open after 3 faults"),
        "{shown:?}"
    );
    let begun = Instant::now();
    loop {
        let shown = folder.call(&["runs", "show", &waiting.run_id, "--json"]).expect(0, &[]).json();
        assert_eq!(shown["waiting_for"][0]["kind"], "plugin", "{shown}");
        if shown["held"] == "breaker" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the list says so in a moment: {shown}");
        std::thread::sleep(Duration::from_millis(100));
    }

    // A run that waits is paused, resumed and cancelled like any other.
    let (third, _) = Run::held(&folder, WORKS);
    folder.call(&["runs", "pause", &third.run_id]).expect(0, &[]);
    folder.call(&["runs", "cancel", &third.run_id]).expect(0, &[]);
    assert!(events(&folder, &third.run_id).contains(&"run.cancelled".to_owned()));

    // Released through the holder: both go on with the attempts they had.
    folder.call(&["plugin", "release", "fragile"]).expect(0, &["is in service again"]);
    let (outcome, code) = waiting.ends();
    assert_eq!((outcome["status"].as_str(), code), (Some("succeeded"), 0), "{outcome}");
    let (outcome, code) = dying.ends();
    assert_eq!((outcome["status"].as_str(), code), (Some("failed"), 1), "{outcome}");

    // Whoever asks again is told that nothing changed, by any name. Nobody holds the directory now.
    let digest = of_fragile(&folder)["digest"].as_str().unwrap().to_owned();
    for name in ["fragile.wasm", &digest] {
        let ended = folder.call(&["plugin", "release", name, "--json"]).expect(0, &[]);
        assert_eq!(ended.json(), json!({ "digest": digest, "changed": false }));
    }
    folder.call(&["plugin", "release", "nobody"]).expect(3, &["bandstand plugin list"]);
    folder.call(&["plugin", "release", "sha256:12"]).expect(3, &["bandstand plugin list"]);
}

// R1.10, R5.4
#[test]
fn a_quarantine_outlives_its_process_and_ends_by_success() {
    let folder = project_with("faults = 2\ncool-down = \"5s\"\n");
    folder.call(&["run", "crash.yaml", "--input", DIES]).expect(1, &["trap"]);
    let told = of_fragile(&folder);
    assert_eq!(told["quarantine"]["state"], "open", "{told}");
    // A new process knows. The attempt waits for its probe, and that it works ends the quarantine.
    let ended = folder.call(&["run", "crash.yaml", "--input", WORKS]).expect(
        0,
        &["ask@1#1  waits: its plugin is in quarantine since", "bandstand plugin release sha256:"],
    );
    assert_eq!(ended.stderr.matches("waits: its plugin").count(), 1, "told once: {ended:?}");
    assert_eq!(of_fragile(&folder)["quarantine"], json!({ "state": "closed", "faults": 0 }));
    let again = folder.call(&["run", "crash.yaml", "--input", WORKS]).expect(0, &[]);
    assert!(!again.stderr.contains("quarantine"), "{again:?}");
}

// R1.10
#[test]
fn a_quarantined_plugin_is_released_without_a_host() {
    let folder = project_with("faults = 2\ncool-down = \"1h\"\n");
    folder.call(&["run", "crash.yaml", "--input", DIES]).expect(1, &["trap"]);
    let digest = of_fragile(&folder)["digest"].as_str().unwrap().to_owned();
    let ended = folder.call(&["plugin", "release", &digest[..20], "--json"]).expect(0, &[]);
    assert_eq!(ended.json(), json!({ "digest": digest, "changed": true }));
    folder.call(&["run", "crash.yaml", "--input", WORKS]).expect(0, &[]);
    // And it can be switched off.
    folder.call(&["run", "crash.yaml", "--input", DIES]).expect(1, &["trap"]);
    assert_eq!(of_fragile(&folder)["quarantine"]["state"], "open");
    folder.write("bandstand.toml", "[quarantine]\nenabled = false\n");
    let ended: Ended = folder.call(&["run", "crash.yaml", "--input", WORKS]).expect(0, &[]);
    assert!(!ended.stderr.contains("quarantine"), "{ended:?}");
    assert_eq!(of_fragile(&folder)["quarantine"]["state"], "closed");
}

// R1.10, R8.4
#[tokio::test(flavor = "multi_thread")]
async fn a_host_counts_faults_quarantines_and_what_waits() {
    let folder = project_with("");
    let quarantine = bandstand_driver::Quarantine { faults: 2, ..bandstand_driver::Quarantine::default() };
    let options = HostOptions {
        limits: Limits { quarantine, ..Limits::default() },
        drive: Drive::All,
        ..HostOptions::new(folder.path().join("data"))
    };
    let host: Host = host::Host::open(options).await.unwrap();
    let request = |input: &str| {
        let loaded = project::load::load(&folder.path().join("crash.yaml"), Resolve::Yes).unwrap();
        assert!(load::can_run(&loaded), "{:?}", loaded.diagnostics);
        let input = serde_json::from_str(input).unwrap();
        StartRequest { input, ..loaded.into_start_request().unwrap() }
    };
    assert_eq!(host.quarantine_stats(), QuarantineStats::default());
    let dies = host.start_run(request(DIES)).await.unwrap();
    host.until_settled(&dies).await.unwrap();
    host.start_run(request(WORKS)).await.unwrap();
    let wanted =
        QuarantineStats { faults_total: 2, quarantines_total: 1, plugins_quarantined: 1, attempts_held: 1 };
    let begun = Instant::now();
    while host.quarantine_stats() != wanted {
        assert!(begun.elapsed() < PATIENCE, "{:?}", host.quarantine_stats());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    host.close().await.unwrap();
}
