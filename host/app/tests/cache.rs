//! Section 6, `cache`: an equal visit ends by a kept reply instead of a call, on the real binary with real plugins.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use agent::{agent_with, fails_first, says};
use bandstand::Folder;
use serde_json::{Value, json};

fn flow(cache: &str, more: &str) -> String {
    format!(
        "\
format: 1
name: kept
version: 1
plugins: {{ one: {{ path: one.wasm }} }}
nodes:
  ask: {{ agent: one, input: {{ text: \"${{{{ input.text }}}}\" }}, cache: {cache}, retry: {{ strategy: none }}, {more} }}
  other: {{ value: {{}}, next: end }}
"
    )
}

fn project(plugin: Vec<u8>, flow: &str) -> Folder {
    let folder = Folder::new();
    folder.write("one.wasm", plugin);
    folder.write("flow.yaml", flow);
    folder
}

/// Runs it with that text, however it ends: its id, and the calls that were made.
fn run_with(folder: &Folder, text: &str, more: &[&str]) -> (String, Vec<String>) {
    let input = json!({ "text": text }).to_string();
    let ended = folder.call(&[&["run", "flow.yaml", "--input", &input, "--json"], more].concat());
    let run = ended.last()["run_id"].as_str().unwrap().to_owned();
    let calls = calls(folder, &run);
    (run, calls)
}

fn run(folder: &Folder, text: &str) -> (String, Vec<String>) {
    run_with(folder, text, &[])
}

fn events(folder: &Folder, run: &str) -> Vec<Value> {
    folder.call(&["runs", "show", run, "--events", "--json"]).expect(0, &[]).lines()
}

/// Attempts that were made, however they ended.
fn calls(folder: &Folder, run: &str) -> Vec<String> {
    let made =
        |event: &&Value| ["attempt.succeeded", "attempt.failed"].iter().any(|name| event["type"] == *name);
    let of = |event: &Value| format!("{}#{}", event["p"].as_str().unwrap(), event["attempt"]);
    events(folder, run).iter().filter(made).map(of).collect()
}

fn show(folder: &Folder, run: &str) -> Value {
    folder.call(&["runs", "show", run, "--json"]).expect(0, &[]).json()
}

// R5.3, R8.1
#[test]
fn a_second_run_makes_no_call_and_says_whose_reply_it_used() {
    let folder = project(says("{\"n\":1}"), &flow("{ for: 1h }", "next: end"));
    let (first, made) = run(&folder, "x");
    assert_eq!(made, ["ask@1#1"]);
    let again =
        folder.call(&["run", "flow.yaml", "--input", "{\"text\":\"x\"}"]).expect(0, &["cached: from ask@1"]);
    assert_eq!(again.json(), json!({ "n": 1 }));
    let (second, made) = run(&folder, "x");
    assert_eq!(made, Vec::<String>::new());
    let shown = show(&folder, &second);
    assert_eq!(shown["result"], json!({ "n": 1 }));
    let cached = &shown["cached"][0];
    assert_eq!(
        (&cached["path"], &cached["from_run"], &cached["from_path"]),
        (&json!("ask@1"), &json!(first), &json!("ask@1"))
    );
    assert_eq!(cached["from_is_gone"], json!(false));
    let node = &shown["nodes"][0];
    assert_eq!((&node["visits"], &node["attempts"], &node["cached"]), (&json!(1), &json!(0), &json!(1)));
    assert_eq!(shown["usage"], json!({}), "it has cost nothing");
    folder.call(&["runs", "replay", &second]).expect(0, &[]);
    // What it says is kept when the run that said it is not.
    folder.call(&["runs", "delete", &first, "--yes"]).expect(0, &[]);
    let (third, made) = run(&folder, "x");
    assert_eq!(made, Vec::<String>::new());
    assert_eq!(show(&folder, &third)["cached"][0]["from_is_gone"], json!(true));
    let text = folder.call(&["runs", "show", &third]).expect(0, &[]).stdout;
    assert!(text.contains(&format!("cached: from ask@1 of run {first}, which is gone")), "{text}");
}

#[test]
fn another_input_key_or_plugin_is_called() {
    let folder = project(
        says("{\"n\":1}"),
        &flow("{ for: 1h, key: \"input.who if input.who is defined else none\" }", "next: end"),
    );
    assert_eq!(run(&folder, "x").1.len(), 1);
    assert_eq!(run(&folder, "y").1.len(), 1, "another input");
    let ann = ["run", "flow.yaml", "--input", "{\"text\":\"x\",\"who\":\"ann\"}", "--json"];
    let of = folder.call(&ann).last()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(calls(&folder, &of).len(), 1, "another key");
    folder.write("one.wasm", says("{\"n\":2}"));
    let (other, made) = run(&folder, "x");
    assert_eq!((made.len(), &show(&folder, &other)["result"]), (1, &json!({ "n": 2 })), "another plugin");
    for text in ["x", "y"] {
        run(&folder, text);
        assert_eq!(run(&folder, text).1.len(), 0);
    }
}

#[test]
fn a_reply_whose_time_is_over_is_not_used() {
    let folder = project(says("{\"n\":1}"), &flow("{ for: 1500ms }", "next: end"));
    assert_eq!(run(&folder, "x").1.len(), 1);
    assert_eq!(run(&folder, "x").1.len(), 0);
    std::thread::sleep(std::time::Duration::from_millis(1_600));
    assert_eq!(run(&folder, "x").1.len(), 1);
}

#[test]
fn failures_and_replies_that_jump_or_ask_are_never_kept() {
    // R1
    let folder = project(fails_first("{}"), &flow("{ for: 1h }", "next: end"));
    assert_eq!(run(&folder, "x").1, ["ask@1#1"]);
    assert_eq!(run(&folder, "x").1, ["ask@1#1"]);

    // The reply at 8: output 8, confidence 16, next 32 with its data from 36 on; a quorum of one at 92.
    let says_next = |next: u32, text: &str| {
        let data = format!(r#"(data (i32.const 1024) "{{}}") (data (i32.const 1040) "{text}")"#);
        let run = format!(
            "(i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const 2))
             (i32.store8 (i32.const 32) (i32.const {next}))
             (i32.store (i32.const 36) (i32.const 1040)) (i32.store (i32.const 40) (i32.const {}))
             (i32.store (i32.const 92) (i32.const 1))
             (i32.const 0)",
            text.len()
        );
        agent_with("", &data, &run)
    };
    let folder = project(says_next(1, "other"), &flow("{ for: 1h }", "goto: [other], next: end"));
    for _ in 0..2 {
        let (jumps, made) = run(&folder, "x");
        assert_eq!(made, ["ask@1#1"]);
        assert!(events(&folder, &jumps).iter().any(|event| event["p"] == "other@1"));
    }
    let folder = project(says_next(3, "is it so?"), &flow("{ for: 1h }", "next: end"));
    for _ in 0..2 {
        let (asks, made) = run(&folder, "x");
        assert_eq!(made, ["ask@1#1"]);
        assert_eq!(show(&folder, &asks)["status"], json!("waiting"));
        let reviews = show(&folder, &asks)["reviews"].clone();
        let review = reviews[0]["review_id"].as_str().unwrap().to_owned();
        folder.call(&["review", "approve", &review, "--by", "ann"]).expect(0, &[]);
    }
}

#[test]
fn who_shares_what_is_kept() {
    let twice = "next: [{ when: \"visit < 2\", to: ask }, { to: end }]";
    let folder = project(says("{\"n\":1}"), &flow("{ for: 1h, scope: run }", twice));
    for _ in 0..2 {
        assert_eq!(run(&folder, "x").1, ["ask@1#1"], "the second visit of each run is a hit");
    }
    let folder = project(says("{\"n\":1}"), &flow("{ for: 1h, scope: thread }", "next: end"));
    assert_eq!(run_with(&folder, "x", &["--thread", "t1"]).1.len(), 1);
    assert_eq!(run_with(&folder, "x", &["--thread", "t1"]).1.len(), 0);
    assert_eq!(run_with(&folder, "x", &["--thread", "t2"]).1.len(), 1);
    assert_eq!(run(&folder, "x").1.len(), 1);
    assert_eq!(run(&folder, "x").1.len(), 1, "a run without a thread is alone");
}

#[test]
fn a_reply_above_todays_limit_is_called_again() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(3_000));
    let folder = project(says(&long), &flow("{ for: 1h }", "next: end"));
    assert_eq!(run(&folder, "x").1.len(), 1);
    let tight =
        flow("{ for: 1h }", "next: end").replace("version: 1\n", "version: 1\nlimits: { payload: 1KiB }\n");
    folder.write("flow.yaml", tight);
    let (tight, made) = run(&folder, "x");
    assert_eq!((made.len(), &show(&folder, &tight)["status"]), (1, &json!("failed")));
}

// R5.7
#[test]
fn a_large_reply_outlives_its_run() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(9_000));
    let data = format!("(data (i32.const 40000) {long:?})");
    let run_it = format!(
        "(i32.store (i32.const 8) (i32.const 40000)) (i32.store (i32.const 12) (i32.const {})) (i32.const 0)",
        long.len()
    );
    let folder = project(agent_with("", &data, &run_it), &flow("{ for: 1h }", "next: end"));
    let (first, made) = run(&folder, "x");
    assert_eq!(made.len(), 1);
    folder.call(&["runs", "delete", &first, "--yes"]).expect(0, &[]);
    let (second, made) = run(&folder, "x");
    assert_eq!(made.len(), 0);
    assert_eq!(show(&folder, &second)["result"]["text"].as_str().unwrap().len(), 9_000);
}
