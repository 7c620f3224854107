//! Wrong input of every kind: what, where, what next, and the exit code that goes with it. R8.1

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use agent::{agent, agent_with, component, workflow};
use bandstand::Folder;

const PLAIN: &str = "format: 1\nname: plain\nversion: 1\nnodes:\n  go: { value: { a: 1 }, next: end }\n";

#[test]
fn help_is_data_and_everything_unknown_is_a_usage_error() {
    let folder = Folder::new();
    let help = folder.call(&["--help"]).expect(0, &[]);
    for verb in
        ["init", "check", "run", "runs", "review", "routing", "workflow", "plugin", "completions", "schema"]
    {
        assert!(help.stdout.contains(&format!("  {verb} ")), "{verb}: {}", help.stdout);
    }
    assert!(!help.stdout.contains("docs"), "hidden");
    folder.call(&["--version"]).expect(0, &[]);
    folder.call(&[]).expect(2, &["Usage"]);
    folder.call(&["runn"]).expect(2, &["runn", "run"]);
    folder.call(&["run"]).expect(2, &["FILE"]);
    folder.call(&["run", "x.yaml", "--inputs", "{}"]).expect(2, &["--input"]);
    folder.call(&["review", "approve", "x", "--confidence", "2"]).expect(2, &["between 0 and 1"]);
    folder.call(&["runs", "list", "--status", "odd"]).expect(2, &["running, waiting"]);
    folder.call(&["completions", "tcl"]).expect(2, &["bash"]);
}

#[test]
fn completions_and_schema_are_printed() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.call(&["completions", shell]).expect(0, &[]);
        assert!(script.stdout.contains("bandstand"), "{shell}");
    }
    let schema = folder.call(&["schema", "workflow"]).expect(0, &[]).json();
    assert!(schema.get("properties").is_some_and(|properties| properties.get("nodes").is_some()), "{schema}");
}

#[test]
fn input_that_is_not_what_it_must_be_is_refused_before_anything_runs() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.write("input.json", "{\"a\": 1}");
    let run = |input: &str| folder.call(&["run", "flow.yaml", "--input", input]);
    run("{'a': 1}").expect(2, &["--input", "not the JSON", "double quotes"]);
    run("input.json").expect(2, &["write --input @input.json"]);
    run("@none.json").expect(2, &["none.json", "cannot read"]);
    run("{\"order\": {\"id\": 99999999999999999999}}")
        .expect(2, &["`order.id` is 99999999999999999999", "64-bit"]);
    run("{\"a\": 1, \"a\": 2}").expect(2, &["`a` is given twice"]);
    run("[1]").expect(2, &["input", "object"]);
    assert!(
        !folder.path().join(".bandstand/bandstand.db").exists() || {
            let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]);
            runs.stdout.is_empty()
        }
    );
    run("@input.json").expect(0, &[]);
    folder.call_with(&["run", "flow.yaml", "--input", "-"], "{\"a\": 2}").expect(0, &[]);
}

#[test]
fn input_against_the_schema_names_the_place() {
    let folder = Folder::new();
    let typed = PLAIN.replace(
        "nodes:",
        "input: { type: object, required: [count], properties: { count: { type: integer } } }\nnodes:",
    );
    folder.write("flow.yaml", typed);
    folder.call(&["run", "flow.yaml"]).expect(2, &["count"]);
    let refused =
        folder.call(&["run", "flow.yaml", "--json", "--input", "{\"count\": \"x\"}"]).expect(2, &["count"]);
    let last = refused.last();
    assert_eq!(last["type"], "outcome");
    assert_eq!(last["status"], "not-started");
    assert_eq!(last["exit_code"], 2);
    assert!(last["error"]["message"].as_str().unwrap().contains("count"), "{last}");
}

#[test]
fn a_file_that_is_missing_broken_or_ahead_of_this_build_is_refused_by_name() {
    let folder = Folder::new();
    folder.call(&["run", "none.yaml"]).expect(2, &["none.yaml"]);
    folder.call(&["check", "none.yaml"]).expect(2, &["none.yaml"]);
    folder.call(&["check"]).expect(2, &["bandstand init"]);
    folder.write("bad.yaml", "format: 1\nname: [");
    folder.call(&["run", "bad.yaml"]).expect(2, &["BW102", "bandstand check bad.yaml"]);
    folder.write("latin.yaml", b"format: 1\nname: caf\xe9\n");
    folder.call(&["run", "latin.yaml"]).expect(2, &["UTF-8"]);
    let ahead = PLAIN.replace("next: end", "route: { weights: { x: 1 }, key: \"'k'\", to: { x: end } }");
    folder.write("ahead.yaml", ahead);
    folder.call(&["check", "ahead.yaml"]).expect(0, &[]);
    folder.call(&["run", "ahead.yaml"]).expect(2, &["BW109", "weights"]);
}

#[test]
fn bandstand_toml_is_checked_like_everything_else() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.write("bandstand.toml", "durabilty = \"full\"\n");
    folder.call(&["run", "flow.yaml"]).expect(2, &["bandstand.toml", "durabilty", "durability"]);
}

// R7.2
#[test]
fn what_is_no_agent_is_told_as_what_it_is() {
    let folder = Folder::new();
    folder.write("flow.yaml", workflow("{ path: agent.wasm }"));
    let run = || folder.call(&["run", "flow.yaml"]);
    run().expect(2, &["BW601", "agent.wasm"]);
    folder.write("agent.wasm", "just text");
    run().expect(2, &["BW602", "text file"]);
    folder.call(&["plugin", "inspect", "agent.wasm"]).expect(2, &["text file", "bandstand plugin new"]);
    folder.write("agent.wasm", wat::parse_str("(module)").unwrap());
    run().expect(2, &["BW602", "core WebAssembly module"]);
    folder.write("agent.wasm", wat::parse_str("(component)").unwrap());
    run().expect(2, &["BW602", "bandstand:agent/node"]);
    let core = include_str!("../assets/echo.wat").replace("@0.1.0", "@0.2.0");
    folder.write("agent.wasm", component(&core, "0.2.0"));
    run().expect(2, &["BW602", "0.2.0", "0.1.0"]);
    folder.write("flow.yaml", workflow("{ builtin: ekko }"));
    run().expect(2, &["BW609", "echo"]);
    folder.write("flow.yaml", workflow("{ path: ../agent.wasm }"));
    run().expect(2, &["BW607"]);
}

/// An agent that lists its slots, so it needs the grant `memory`.
fn needs_memory() -> Vec<u8> {
    let import = r#"(import "bandstand:agent/memory-slots@0.1.0" "list" (func $list (param i32)))"#;
    agent_with(import, "", "(call $list (i32.const 2048)) unreachable")
}

// R7.2
#[test]
fn a_power_must_be_granted_by_the_file_and_permitted_by_the_operator() {
    let folder = Folder::new();
    folder.write("agent.wasm", needs_memory());
    let inspected = folder.call(&["plugin", "inspect", "agent.wasm", "--json"]).expect(0, &[]).json();
    assert_eq!(inspected["grants_needed"], serde_json::json!(["memory"]));
    folder.write("flow.yaml", workflow("{ path: agent.wasm }"));
    folder.call(&["run", "flow.yaml"]).expect(2, &["BW603", "memory"]);
    folder.write("flow.yaml", workflow("{ path: agent.wasm, grants: { memory: write } }"));
    folder.call(&["check", "flow.yaml"]).expect(0, &[]);
    folder.write("bandstand.toml", "[grants]\n\"agent.wasm\" = { memory = \"read\" }\n");
    folder.call(&["run", "flow.yaml"]).expect(2, &["BW604", "bandstand.toml"]);
    folder.write("bandstand.toml", "[grants]\n\"agent.wasm\" = { memory = \"write\" }\n");
    folder.call(&["check", "flow.yaml"]).expect(0, &[]);
    let digest = inspected["digest"].as_str().unwrap();
    folder.write("bandstand.toml", format!("[grants]\n\"{digest}\" = {{ memory = \"write\" }}\n"));
    folder.call(&["check", "flow.yaml"]).expect(0, &[]);
}

// R7.3, R7.4
#[test]
fn however_an_attempt_dies_the_run_fails_with_its_class() {
    let huge = "(drop (memory.grow (i32.const 16384))) unreachable";
    let cases = [
        ("trap", agent("unreachable"), "trap/"),
        ("loop", agent("(loop $again (br $again)) unreachable"), "limits.cpu"),
        ("memory", agent(huge), "limits.memory"),
        ("text", agent::says("not JSON"), "invalid-output/"),
        ("list", agent::says("[1]"), "invalid-output/not-object"),
        ("busy", agent::fails(false), "agent/busy: the service is busy"),
    ];
    for (name, bytes, expected) in cases {
        let folder = Folder::new();
        folder.write("agent.wasm", bytes);
        folder.write("flow.yaml", workflow("{ path: agent.wasm, limits: { cpu: 200ms } }"));
        let ended = folder.call(&["run", "flow.yaml"]).expect(1, &["failed", "bandstand runs show"]);
        assert!(ended.stderr.contains(expected), "{name}: {expected}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{name}");
    }
}

#[test]
fn what_does_not_exist_is_told_with_the_command_that_lists() {
    let folder = Folder::new();
    folder.call(&["runs", "list"]).expect(0, &["nothing was run"]);
    folder.call(&["review", "list"]).expect(0, &["nothing was run"]);
    folder.call(&["routing"]).expect(0, &["nothing was run"]);
    folder.call(&["runs", "show", "x"]).expect(3, &["no store"]);
    folder.write("flow.yaml", PLAIN);
    folder.call(&["run", "flow.yaml"]).expect(0, &[]);
    folder.call(&["runs", "show", "x"]).expect(3, &["`x`", "bandstand runs list"]);
    folder.call(&["runs", "drive", "x"]).expect(3, &["`x`", "bandstand runs list"]);
    folder.call(&["runs", "cancel", "x", "--yes"]).expect(3, &["`x`"]);
    folder.call(&["review", "show", "x"]).expect(3, &["`x`", "bandstand review list"]);
    folder.call(&["review", "approve", "x", "--by", "me"]).expect(3, &["`x`"]);
    let json = folder.call(&["--json", "runs", "show", "x"]).expect(3, &[]);
    let error: serde_json::Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["error"]["exit_code"], 3);
}

#[test]
fn a_data_directory_that_is_none_or_another_programs_is_refused() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.write("file", "x");
    let ended = folder.call(&["run", "flow.yaml", "--data", "file"]);
    assert!(ended.code == 74 && ended.stderr.contains("file"), "{ended:#?}");
    folder.write(
        "other/bandstand.db",
        "not a database at all, but long enough to be looked at as one".repeat(100),
    );
    let ended = folder.call(&["run", "flow.yaml", "--data", "other"]);
    assert!([2, 74].contains(&ended.code) && ended.stderr.contains("bandstand.db"), "{ended:#?}");
}

#[test]
fn a_data_directory_whose_holder_does_not_answer_is_in_use() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.call(&["run", "flow.yaml"]).expect(0, &[]);
    let lock = std::fs::File::options().write(true).open(folder.path().join(".bandstand/host.lock")).unwrap();
    lock.lock().unwrap();
    folder.call(&["run", "flow.yaml"]).expect(3, &["is held by", "--data"]);
    // Those that only read go on.
    assert_eq!(folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines().len(), 1);
}

#[test]
fn every_refusal_of_a_file_says_what_to_do_next() {
    let folder = Folder::new();
    folder.write("bad/bandstand.toml", "nothing = 1\n");
    folder.write("bad/flow.yaml", PLAIN);
    folder.write("broken.yaml", "format: 1\n");
    for verb in ["run", "check"] {
        folder.call(&[verb, "nope.yaml"]).expect(2, &["nope.yaml", "help:", "bandstand workflow list"]);
        folder.call(&[verb, "bad"]).expect(2, &["help:", "name a file in it"]);
        folder.call(&[verb, "bad/flow.yaml"]).expect(2, &["bandstand.toml", "help:"]);
    }
    folder.call(&["run", "broken.yaml"]).expect(2, &["help:", "bandstand check broken.yaml"]);
    folder.call(&["runs", "show", "x"]).expect(3, &["bandstand run FILE", "--data"]);
}
