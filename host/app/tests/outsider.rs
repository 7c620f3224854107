//! What a stranger does to the program: odd files, odd names, a disk that takes nothing, a directory that may not be
//! read. R8.1

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use agent::{agent_with, workflow};
use bandstand::{Ended, Folder};

const PLAIN: &str = "format: 1\nname: plain\nversion: 1\ninput: { type: object }\nnodes:\n  go: { value: { a: 1 }, next: end }\n";

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_no_success_and_told_once() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    for args in [&["run", "flow.yaml"][..], &["run", "flow.yaml", "--json"], &["--help"], &["runs", "list"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = folder.command(args);
        command.stdout(full).stderr(std::process::Stdio::piped());
        let ended = Ended::of(command.spawn().unwrap().wait_with_output().unwrap());
        let ended = ended.expect(1, &["cannot write to standard output", "No space left"]);
        assert_eq!(ended.stderr.matches("cannot write").count(), 1, "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_no_file_is_refused_before_it_is_opened() {
    let folder = Folder::new();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    folder.write("folder/x", "");
    folder.write("plugin.yaml", workflow("{ path: fifo }"));
    for odd in ["fifo", "folder", "/dev/zero"] {
        folder.call(&["check", odd]).expect(2, &["it is not a file"]);
        folder.call(&["run", odd]).expect(2, &["it is not a file"]);
    }
    for odd in ["fifo", "/dev/zero"] {
        folder.call(&["plugin", "inspect", odd]).expect(2, &["it is not a file"]);
    }
    // In place of a component may stand the folder of one.
    folder.call(&["plugin", "inspect", "folder"]).expect(3, &["there is no component in folder"]);
    let told = folder.call(&["check", "plugin.yaml"]).expect(2, &[]);
    assert!(told.stdout.contains("BW601") && told.stdout.contains("it is not a file"), "{}", told.stdout);
    for text in ["constants:\n  c: { template: fifo }\nnodes:\n", "schemas:\n  s: { path: fifo }\nnodes:\n"] {
        folder.write("other.yaml", PLAIN.replace("nodes:\n", text));
        folder.call(&["check", "other.yaml"]).expect(2, &[]);
    }
}

#[test]
fn names_and_ids_that_nobody_could_mean_are_wrong_usage() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.call(&["run", "flow.yaml"]).expect(0, &[]);
    for verb in [
        &["runs", "show", ""][..],
        &["runs", "drive", ""],
        &["runs", "cancel", "", "--yes"],
        &["review", "show", ""],
        &["review", "approve", ""],
        &["review", "reject", ""],
        &["review", "list", "--run", ""],
    ] {
        folder.call(verb).expect(2, &["empty"]);
    }
    let long = "x".repeat(201);
    for (name, problem) in [("", "empty"), ("a\u{7}b", "control"), (long.as_str(), "200")] {
        for option in ["--request", "--thread", "--user"] {
            folder.call(&["run", "flow.yaml", option, name]).expect(2, &[option, problem]);
        }
        for option in ["--by", "--group", "--request"] {
            folder.call(&["review", "approve", "x", option, name]).expect(2, &[option, problem]);
        }
    }
    folder.call(&["runs", "drive"]).expect(2, &["--all"]);
    folder.call(&["help", "run"]).expect(0, &[]);
    assert!(folder.call(&["help"]).expect(0, &[]).stdout.contains("  run "));
    let told = folder.call(&["run", "flow.yaml", "--input", "{'a'}"]).expect(2, &["--input is not the JSON"]);
    assert!(!told.stderr.contains("--input: --input"), "{}", told.stderr);
}

// R1.6
#[test]
fn a_request_that_asks_for_something_else_is_a_conflict() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.write("other.yaml", PLAIN.replace("plain", "other"));
    let run = |file: &str, input: &str| folder.call(&["run", file, "--request", "q1", "--input", input]);
    run("flow.yaml", "{\"n\": 1}").expect(0, &[]);
    run("flow.yaml", "{\"n\": 1}").expect(0, &[]);
    let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines();
    assert_eq!(runs.len(), 1);
    let id = runs[0]["run_id"].as_str().unwrap();
    run("flow.yaml", "{\"n\": 2}").expect(3, &["`q1`", id, "another input"]);
    run("other.yaml", "{\"n\": 1}").expect(3, &["`q1`", id, "workflow `plain`"]);
    folder.write("flow.yaml", PLAIN.replace("a: 1", "a: 2"));
    run("flow.yaml", "{\"n\": 1}").expect(3, &["`q1`", id, "another text"]);
}

#[test]
fn a_huge_message_is_cut_and_the_whole_is_kept() {
    let folder = Folder::new();
    let fail = "format: 1\nname: loud\nversion: 1\nnodes:\n  go: { fail: { code: loud, message: \"${{ input.m }}\" } }\n";
    folder.write("flow.yaml", fail);
    let message = "m".repeat(300_000);
    folder.write("input.json", serde_json::json!({ "m": message }).to_string());
    let ended = folder.call(&["run", "flow.yaml", "--input", "@input.json"]);
    let ended = ended.expect(1, &["298000 more characters", "bandstand runs show ID --json"]);
    assert!(ended.stderr.len() < 20_000, "{} bytes", ended.stderr.len());
    let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines();
    let shown = folder.call(&["runs", "show", runs[0]["run_id"].as_str().unwrap(), "--json"]).expect(0, &[]);
    assert!(shown.stdout.contains(&message));
}

#[test]
fn other_open_runs_are_named_when_driving_moves_them() {
    let folder = Folder::new();
    folder.write("flow.yaml", PLAIN);
    folder.write(
        "ask.yaml",
        "format: 1\nname: ask\nversion: 1\nnodes:\n  ask:\n    stage: review\n    review: { title: T, reason: R, propose: { a: 1 } }\n    \
         approved: end\n    rejected: end\n",
    );
    folder.call(&["run", "ask.yaml"]).expect(4, &[]);
    let told = folder.call(&["run", "flow.yaml"]).expect(0, &[]);
    assert!(!told.stderr.contains("other open runs"), "it waits for people: {}", told.stderr);
}

// R7.2
#[test]
fn advice_on_grants_follows_the_functions_that_are_imported() {
    let folder = Folder::new();
    let import =
        r#"(import "bandstand:agent/memory-slots@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#;
    let bytes = agent_with(import, "", "unreachable");
    folder.write("agent.wasm", bytes);
    folder.write("bandstand.toml", "");
    let told = folder.call(&["plugin", "inspect", "agent.wasm"]).expect(0, &[]);
    assert!(told.stdout.contains("memory: write"), "{}", told.stdout);
    folder.write("flow.yaml", workflow("{ path: agent.wasm }"));
    let told = folder.call(&["check", "flow.yaml"]).expect(2, &[]);
    for part in
        ["grants: { memory: write }", "bandstand.toml, [grants]: \"agent.wasm\" = { memory = \"write\" }"]
    {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
}

/// The same call by somebody who is not the owner of the files, when this is the superuser: for that one nothing is
/// unreadable.
fn as_nobody(folder: &Folder, args: &[&str]) -> Ended {
    use std::os::unix::process::CommandExt;
    let mut command = folder.command(args);
    if std::fs::File::open(folder.path().join("locked/secret")).is_ok() {
        command.uid(65_534).gid(65_534);
    }
    Ended::of(command.output().unwrap())
}

// R5.1
#[test]
fn unreadable_is_not_empty_and_read_only_is_readable() {
    let folder = Folder::new();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(".", 0o755);
    folder.write("flow.yaml", PLAIN);
    folder.call(&["run", "flow.yaml", "--data", "locked"]).expect(0, &[]);
    folder.write("locked/secret", "");
    let verbs = [&["runs", "list"][..], &["review", "list"], &["routing"], &["runs", "show", "0"]];
    for verb in verbs {
        let mut args = verb.to_vec();
        args.extend(["--data", "flow.yaml"]);
        folder.call(&args).expect(2, &["flow.yaml is not a directory", "--data"]);
    }
    // Everything may be read, nothing written.
    mode("locked/secret", 0o000);
    mode("locked/bandstand.db", 0o444);
    mode("locked", 0o555);
    let listed = as_nobody(&folder, &["runs", "list", "--json", "--data", "locked"]).expect(0, &[]);
    assert_eq!(listed.lines().len(), 1);
    mode("locked/bandstand.db", 0o000);
    as_nobody(&folder, &["runs", "list", "--data", "locked"])
        .expect(74, &["cannot read locked/bandstand.db", "--data"]);
    mode("locked", 0o000);
    for verb in verbs {
        let mut args = verb.to_vec();
        args.extend(["--data", "locked"]);
        as_nobody(&folder, &args).expect(74, &["cannot read locked", "Permission denied", "--data"]);
    }
    mode("locked", 0o755);
}
