//! Every example, run with the real program. What each must come to stands in its `expected.json`; here is only what
//! a pattern cannot say.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use bandstand_examples::{Program, names, root, run};
use serde_json::Value;

// R1.1, R1.3, R1.5, R1.7, R1.8
#[test]
fn error_recovery() {
    run("01-error-recovery");
}

// R2.2, R2.3, R2.5, R2.6
#[test]
fn human_review() {
    run("02-human-review");
}

/// The example with a time limit that a test can wait for. Nobody answers; the host was not even there at the time.
// R2.1, R2.4
#[test]
fn human_review_that_nobody_answers() {
    let example = root().join("examples/02-human-review");
    let text = fs::read_to_string(example.join("workflow.yaml")).unwrap();
    assert!(text.contains("timeout: 60m"));
    // As deep below the root as the example, so that the paths of its plugins hold.
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let workflow = folder.path().join("workflow.yaml");
    fs::write(&workflow, text.replace("timeout: 60m", "timeout: 1500ms")).unwrap();
    let program = Program::find();
    let input = format!("@{}", example.join("input.json").display());
    let waiting = program.json(&["run", workflow.to_str().unwrap(), "--input", &input]);
    assert_eq!(waiting.code, 4, "{waiting}");
    std::thread::sleep(Duration::from_millis(1600));
    let run_id = waiting.outcome()["run_id"].as_str().unwrap().to_owned();
    // The first command may look a moment before the overdue deadline is handled, and say that the run still waits.
    let drive = || program.json(&["runs", "drive", &run_id]);
    let driven = Some(drive()).filter(|driven| driven.code != 4).unwrap_or_else(drive);
    assert_eq!(driven.code, 0, "{driven}");
    assert_eq!(driven.outcome()["result"]["published"], false, "{driven}");
    let late = program.json(&[
        "review",
        "approve",
        waiting.outcome()["reviews"][0].as_str().unwrap(),
        "--by",
        "ann",
    ]);
    assert_eq!(late.code, 3, "an answer after the end is a conflict: {late}");
}

/// Without `--json`: what a person reads, and what can be copied from it.
// R2.5
#[test]
fn human_review_in_words() {
    let program = Program::find();
    let args =
        ["run", "examples/02-human-review/workflow.yaml", "--input", "@examples/02-human-review/input.json"];
    let waiting = program.call(&args);
    assert_eq!(waiting.code, 4, "{waiting}");
    assert_eq!(waiting.stdout, "", "there is no result yet");
    let command = waiting.stderr.lines().find_map(|line| line.split_once("approve:")).unwrap().1.trim();
    assert!(command.starts_with("bandstand review approve ") && command.ends_with(" --by NAME"), "{command}");
    let typed: Vec<&str> =
        command.split_whitespace().skip(1).map(|word| if word == "NAME" { "ann" } else { word }).collect();
    let approved = program.call(&[&typed[..], &["--print", "text"]].concat());
    assert_eq!(approved.code, 0, "{approved}");
    assert!(approved.stdout.starts_with("# Moving the ticket desk\n"), "{approved}");
    // The same answer once more changes nothing; another one is refused.
    let again = program.call(&typed);
    assert_eq!(again.code, 0, "{again}");
    let other = program.call(&["review", "reject", typed[2], "--by", "ann"]);
    assert_eq!(other.code, 3, "{other}");
}

// R3.1, R3.2, R3.3, R3.4, R3.6
#[test]
fn routing() {
    run("03-routing");
}

// R4.1, R4.2, R4.3, R4.4, R4.5
#[test]
fn parallel() {
    run("04-parallel");
}

// R6.1, R6.2, R6.4
#[test]
fn memory() {
    run("05-memory");
}

/// What agents wrote into the audit log stands with the run.
// R5.3, R6.1
#[test]
fn memory_shows_the_audit_events_of_a_run() {
    let program = Program::find();
    let input = "@examples/05-memory/input.json";
    let run =
        program.json(&["run", "examples/05-memory/workflow.yaml", "--input", input, "--thread", "concerts"]);
    assert_eq!(run.code, 0, "{run}");
    let run_id = run.outcome()["run_id"].as_str().unwrap().to_owned();
    let shown = program.json(&["runs", "show", &run_id]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let audit = shown["audit"].as_array().unwrap();
    let actions: Vec<_> = audit.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["note-taken", "question-answered"], "{shown}");
    assert_eq!(shown["audit_cut"], false);
    for event in audit {
        assert_eq!(event["thread_id"], "concerts");
        assert!(event["payload"].is_object() && event["tags"].is_array(), "{event}");
        assert!(event["id"].is_string() && event["at"].is_string() && event["source"].is_string(), "{event}");
    }
    let text = program.call(&["runs", "show", &run_id]).stdout;
    assert!(text.contains("\nAudit\n") && text.contains(": note-taken {"), "{text}");
}

// R8.1
#[test]
fn licence_review() {
    let results = run("06-licence-review");
    let reports = results.iter().filter_map(|result| result["markdown"].as_str());
    assert!(reports.clone().count() > 1);
    reports
        .for_each(|report| assert!(report.starts_with("# ") && report.contains("\n## Risk\n"), "{report}"));
}

/// What `cargo xtask demo` types.
// R8.1
#[test]
fn licence_review_as_the_demo_prints_it() {
    let (workflow, input) =
        ("examples/06-licence-review/workflow.yaml", "@examples/06-licence-review/input.json");
    let ended = Program::find().call(&["run", workflow, "--input", input, "--print", "markdown"]);
    assert_eq!(ended.code, 0, "{ended}");
    assert!(ended.stdout.starts_with("# GNU General Public License 3: high risk\n\n"), "{ended}");
    assert!(ended.stdout.lines().count() > 60, "{ended}");
}

// R7.6
#[test]
fn agent_loop() {
    run("07-agent-loop");
}

// R7.2, R7.4
#[test]
fn transform() {
    run("08-transform");
}

/// Its agents need the tools of four languages: it is run where `BANDSTAND_GUEST_LANGUAGES` says that they are here, and builds what
/// is not built yet.
// R7.2
#[test]
fn polyglot() {
    let here = std::env::var("BANDSTAND_GUEST_LANGUAGES").unwrap_or_default();
    if !["python", "javascript", "go"]
        .iter()
        .all(|language| here.split_whitespace().any(|one| one == *language))
    {
        eprintln!("NOT RUN: BANDSTAND_GUEST_LANGUAGES does not name python, javascript and go");
        return;
    }
    for language in ["rust", "python", "javascript", "go"] {
        if !root().join(format!("target/plugins/stats-{language}.wasm")).is_file() {
            let mut build = Command::new(root().join("plugins/stats/build.sh"));
            build.arg(language).env("BANDSTAND", root().join("target/debug/bandstand"));
            let built = build.output().unwrap();
            assert!(built.status.success(), "{language}: {}", String::from_utf8_lossy(&built.stderr));
        }
    }
    run("09-polyglot");
}

/// The component is fetched by its version and digest. Where nothing can be fetched there is nothing to be shown, and the test
/// says so; it fails where `BANDSTAND_REQUIRE_FOREIGN` is set.
// R7.2, R8.5
#[test]
fn foreign() {
    let fetched = Command::new(root().join("examples/10-foreign/fetch.sh")).output().unwrap();
    if !fetched.status.success() && !root().join("target/foreign/prophet-wasmstan.wasm").is_file() {
        let why = String::from_utf8_lossy(&fetched.stderr);
        assert!(std::env::var_os("BANDSTAND_REQUIRE_FOREIGN").is_none(), "{why}");
        eprintln!("NOT RUN: {why}");
        return;
    }
    run("10-foreign");
}

#[test]
fn every_example_has_its_files_and_a_test() {
    let own = fs::read_to_string(root().join("tests/examples/tests/examples.rs")).unwrap();
    let all = names();
    assert!(all.len() >= 7, "{all:?}");
    for name in all {
        for file in ["README.md", "workflow.yaml", "input.json", "expected.json"] {
            assert!(
                root().join("examples").join(&name).join(file).is_file(),
                "examples/{name} has no {file}"
            );
        }
        assert!(own.contains(&format!("run(\"{name}\")")), "no test runs examples/{name}");
    }
}

/// The inputs carry the texts so that one file is enough to run; the texts are what people read.
#[test]
fn the_inputs_of_the_licence_review_hold_the_texts_unchanged() {
    let folder = root().join("examples/06-licence-review");
    let inputs = fs::read_dir(folder.join("inputs")).unwrap().map(|entry| entry.unwrap().path());
    let pairs = inputs.map(|path| (path.clone(), path.file_stem().unwrap().to_str().unwrap().to_owned()));
    let pairs: Vec<_> = pairs.chain([(folder.join("input.json"), "gpl-3.0".to_owned())]).collect();
    assert!(pairs.len() >= 5);
    for (input, name) in pairs {
        let value: Value = serde_json::from_str(&fs::read_to_string(&input).unwrap()).unwrap();
        let text = fs::read_to_string(folder.join("texts").join(format!("{name}.txt"))).unwrap();
        assert!(value["text"] == *text, "{} does not hold texts/{name}.txt", input.display());
    }
}
