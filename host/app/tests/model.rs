//! R7.6: an agent asks a model through the host. The key reaches nobody, what it took is recorded with each attempt, a
//! budget stops the run, and recorded replies stand in for a provider.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;
#[path = "../../model/tests/fake/mod.rs"]
mod fake;

use std::path::Path;
use std::process::Command;

use bandstand::{Ended, Folder};
use serde_json::{Value, json};

const KEY: &str = "sk-very-secret-0123456789";

const WORKFLOW: &str = "
format: 1
name: talk
version: 1
plugins:
  chat: { builtin: chat, grants: { model: [small] } }
nodes:
  say:
    agent: chat
    input: { text: '${{ input.text }}', model: '${{ input.model if input.model is defined else \"small\" }}' }
    retry: { strategy: fixed, base-delay: 10ms, max-retries: 1, retry-on: [agent] }
    next: again
  again:
    agent: chat
    input: { messages: ['${{ nodes.say.output.message }}'], text: 'And now?' }
    next: end
result: { text: '${{ output.text }}', used: '${{ run.usage }}' }
";

const ANSWER: &[&str] = &[
    r#"{"model":"m-1","choices":[{"delta":{"content":"Good "}}]}"#,
    r#"{"choices":[{"delta":{"content":"day."},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10}}"#,
    "[DONE]",
];

/// A project whose model is at that address.
fn project(url: &str, more: &str) -> Folder {
    let folder = Folder::new();
    folder.write("workflow.yaml", WORKFLOW);
    folder.write(
        "bandstand.toml",
        format!(
            "[grants]\n\"builtin:chat\" = {{ model = [\"small\"] }}\n[models.small]\nprovider = \"openai\"\nmodel = \"m\"\n\
             key-env = \"TEST_MODEL_KEY\"\nbase-url = \"{url}\"\ninput-price = \"2.5\"\noutput-price = 10\n{more}"
        ),
    );
    folder
}

fn call(folder: &Folder, args: &[&str]) -> Ended {
    let mut command: Command = folder.command(args);
    command.env("TEST_MODEL_KEY", KEY).env("RUST_LOG", "trace").env_remove("BANDSTAND_REPLIES");
    Ended::of(command.output().unwrap())
}

fn run(folder: &Folder, more: &[&str]) -> Ended {
    call(folder, &[&["--json", "run", "workflow.yaml", "--input", r#"{"text":"Hello"}"#], more].concat())
}

/// No file below the folder holds the key, and nothing that was printed.
#[track_caller]
fn no_key(folder: &Folder, ended: &[&Ended]) {
    for ended in ended {
        assert!(!ended.stdout.contains("secret") && !ended.stderr.contains("secret"), "{ended:#?}");
    }
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                assert!(!holds_key(&path), "{} holds the key", path.display());
            }
        }
    }
}

fn holds_key(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
}

#[test]
fn what_a_model_took_is_recorded_by_node_and_the_key_is_nowhere() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(stream, ANSWER);
    });
    let folder = project(&url, "");
    let ended = run(&folder, &[]).expect(0, &[]);
    let outcome = ended.last();
    // 100 tokens at 2.50 and 10 at 10 for a million, twice.
    let used = json!({ "tokens_in": 200, "tokens_out": 20, "cost_micros": 700 });
    assert_eq!(outcome["result"], json!({ "text": "Good day.", "used": used }));
    assert_eq!(asked.body(1)["messages"][0], json!({ "role": "assistant", "content": "Good day." }));
    assert!(asked.head(0).contains(KEY));
    let run_id = outcome["run_id"].as_str().unwrap();
    let shown = call(&folder, &["--json", "runs", "show", run_id]).expect(0, &[]);
    let run = shown.json();
    let usage = &run["usage"];
    assert_eq!(
        (&usage["model_calls"], &usage["tokens_in"], &usage["cost_micros"]),
        (&json!(2), &json!(200), &json!(700))
    );
    let node = run["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "say").unwrap();
    assert_eq!(
        (&node["model_calls"], &node["tokens_out"], &node["cost_micros"]),
        (&json!(1), &json!(10), &json!(350))
    );
    let text = call(&folder, &["runs", "show", run_id]).expect(0, &[]);
    assert!(text.stdout.contains("\nModels\n") && text.stdout.contains("cost 0.0007"), "{text:#?}");
    let exported = call(&folder, &["runs", "export", run_id, "--output", "run.jsonl"]);
    no_key(&folder, &[&ended, &shown, &text, &exported]);
}

#[test]
fn a_provider_that_wants_to_be_left_alone_is_asked_again_and_one_that_refuses_the_key_is_not() {
    let (url, asked) = fake::start(|stream, number| {
        if number == 0 {
            fake::whole(
                stream,
                "429 Too Many Requests",
                "retry-after-ms: 20\r\n",
                r#"{"error":{"message":"slow"}}"#,
            );
        } else {
            fake::begin_events(stream);
            fake::events(stream, ANSWER);
        }
    });
    let folder = project(&url, "");
    run(&folder, &[]).expect(0, &[]);
    assert_eq!(asked.count(), 3);
    let (url, asked) = fake::start(|stream, _| {
        let body = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
        fake::whole(stream, "401 Unauthorized", "", &body);
    });
    let folder = project(&url, "");
    let ended = run(&folder, &[]).expect(1, &[]);
    assert_eq!(ended.last()["error"]["code"], "key-refused", "{ended:#?}");
    assert_eq!(asked.count(), 1);
    no_key(&folder, &[&ended]);
}

#[test]
fn a_budget_ends_the_run_and_names_itself() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(stream, ANSWER);
    });
    for (budget, named) in [("tokens = 112", "budget.tokens"), ("cost = \"0.000355\"", "budget.cost")] {
        let before = asked.count();
        let folder = project(&url, &format!("[budget]\n{budget}\n"));
        let ended = run(&folder, &[]).expect(1, &[]);
        let error = &ended.last()["error"];
        assert_eq!(
            (&error["class"], &error["code"], &error["node"]),
            (&json!("limit"), &json!("budget"), &json!("again"))
        );
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
        assert_eq!((&error["recoverable"], &error["attempt"]), (&json!(false), &json!(1)));
        assert_eq!(asked.count(), before + 1);
    }
}

#[test]
fn what_was_recorded_stands_in_for_the_provider() {
    let (url, asked) = fake::start(|stream, _| {
        fake::begin_events(stream);
        fake::events(stream, ANSWER);
    });
    let folder = project(&url, "");
    let recorded = run(&folder, &["--record", "replies.jsonl"]).expect(0, &[]);
    assert_eq!(asked.count(), 2);
    no_key(&folder, &[&recorded]);
    let lines = std::fs::read_to_string(folder.path().join("replies.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["ask"]["messages"][0], json!({ "role": "user", "content": "Hello" }));
    assert_eq!(first["answer"]["text"], "Good day.");
    let played = run(&folder, &["--replies", "replies.jsonl"]).expect(0, &[]);
    assert_eq!(played.last()["result"], recorded.last()["result"]);
    // No settings, no key, no provider.
    let bare = Folder::new();
    bare.write("workflow.yaml", WORKFLOW);
    bare.write("replies.jsonl", &lines);
    let ended = Ended::of(
        bare.command(&["run", "workflow.yaml", "--input", r#"{"text":"Hello"}"#])
            .env("BANDSTAND_REPLIES", "replies.jsonl")
            .output()
            .unwrap(),
    );
    ended.expect(0, &[]);
    let other = [r#"{"text":"Bye"}"#, "--replies", "replies.jsonl"];
    let ended =
        bare.call(&[&["--json", "run", "workflow.yaml", "--input"], &other[..]].concat()).expect(1, &[]);
    let error = &ended.last()["error"];
    assert_eq!(error["code"], "no-recorded-reply");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"Bye\"") && message.contains("--record"), "{message}");
    assert_eq!(asked.count(), 2);
    bare.write("bad.jsonl", "{\"model\":\"small\"}\n");
    bare.call(&["run", "workflow.yaml", "--replies", "bad.jsonl"]).expect(2, &["line 1", "--record FILE"]);
}

#[test]
fn a_model_of_the_settings_may_be_played_from_a_file() {
    let folder = Folder::new();
    folder.write("workflow.yaml", WORKFLOW);
    folder.write(
        "bandstand.toml",
        "[grants]\n\"builtin:chat\" = { model = [\"small\"] }\n[models.small]\nreplies = \"r.jsonl\"\n",
    );
    let limited = r#"{"model":"small","error":{"kind":"unavailable","code":"rate-limited","message":"slow","retry_after_ms":5}}"#;
    let answer = r#"{"model":"small","answer":{"text":"Hm.","usage":{"input":1,"output":2}}}"#;
    folder.write("r.jsonl", format!("{limited}\n{answer}\n{answer}\n"));
    let ended = run(&folder, &[]).expect(0, &[]);
    assert_eq!(ended.last()["result"]["text"], "Hm.");
    assert_eq!(ended.last()["result"]["used"], json!({ "tokens_in": 2, "tokens_out": 4, "cost_micros": 0 }));
}

#[test]
fn only_granted_names_are_asked_and_names_that_mean_nothing_are_said() {
    let folder = project("http://127.0.0.1:1", "");
    let input = ["--input", r#"{"text":"Hello","model":"large"}"#];
    let ended = call(&folder, &[&["--json", "run", "workflow.yaml"], &input[..]].concat()).expect(1, &[]);
    let error = &ended.last()["error"];
    assert_eq!((&error["class"], &error["code"]), (&json!("denied"), &json!("model")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("grants: {model: [large]}"), "{error}");
    // Granted by the file, permitted by nobody.
    folder.write("workflow.yaml", WORKFLOW.replace("[small]", "[small, large]"));
    call(&folder, &["run", "workflow.yaml"]).expect(2, &["BW604"]);
    let bare = Folder::new();
    bare.write("workflow.yaml", WORKFLOW);
    let ended = run(&bare, &[]).expect(1, &[]);
    let error = &ended.last()["error"];
    assert!(
        error["code"] == "model-unknown" && error["message"].as_str().unwrap().contains("[models.small]"),
        "{error}"
    );
    bare.write("workflow.yaml", WORKFLOW.replace(", grants: { model: [small] }", ""));
    bare.call(&["run", "workflow.yaml"]).expect(2, &["BW603", "grants: { model: [name] }"]);
}

#[test]
fn a_run_that_is_cancelled_gives_its_call_up() {
    let (said, hears) = std::sync::mpsc::channel();
    let said = std::sync::Mutex::new(said);
    let (url, _) = fake::start(move |stream, _| {
        use std::io::Read as _;
        fake::begin_events(stream);
        fake::events(stream, &ANSWER[..1]);
        said.lock().unwrap().send("asked").unwrap();
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|read| read > 0) {}
        said.lock().unwrap().send("gone").unwrap();
    });
    let folder = project(&url, "");
    let mut command = folder.command(&["--json", "run", "workflow.yaml", "--input", r#"{"text":"Hello"}"#]);
    let child = command
        .env("TEST_MODEL_KEY", KEY)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    assert_eq!(hears.recv().unwrap(), "asked");
    let listed = folder.call(&["--json", "runs", "list"]).lines();
    let run_id = listed[0]["run_id"].as_str().unwrap().to_owned();
    folder.call(&["runs", "cancel", &run_id]).expect(0, &[]);
    assert_eq!(hears.recv().unwrap(), "gone");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.last()["status"], "cancelled", "{ended:#?}");
}
