//! Two files of the corpus (`tests/workflows`) with the builtin `chat`, in the real binary, from recorded replies. One asks for
//! a feature that this build lacks and is refused for it by name; without that one line it runs. R7.6

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use std::path::{Path, PathBuf};

use bandstand::Folder;
use serde_json::json;

fn corpus(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The file as it is is refused with these words; what it is without them.
#[track_caller]
fn without(folder: &Folder, text: &str, part: &str, instead: &str, named: &str) -> String {
    folder.write("asks-for-more.yaml", text);
    folder.call(&["run", "asks-for-more.yaml", "--input", "{}"]).expect(2, &["BW109", named]);
    assert!(text.contains(part), "the corpus changed");
    text.replace(part, instead)
}

#[test]
fn a_chat_goes_on_in_its_thread_and_streams_under_its_name() {
    let folder = Folder::new();
    folder.write("flow.yaml", corpus("20-streaming-chat.yaml"));
    // By what is asked, so the second turn must bring the first one along.
    let line = |messages: serde_json::Value, says: &str| {
        json!({ "model": "small", "ask": { "messages": messages }, "answer": { "text": says } }).to_string()
    };
    let hello = json!({ "role": "user", "content": "Hello" });
    let replies = [
        line(json!([hello]), "Good day."),
        line(
            json!([hello, { "role": "assistant", "content": "Good day." }, { "role": "user", "content": "And now?" }]),
            "Now we talk.",
        ),
    ];
    folder.write("replies.jsonl", replies.join("\n"));
    for (says, expected) in [("Hello", "Good day."), ("And now?", "Now we talk.")] {
        let input = json!({ "content": says }).to_string();
        let ended = folder.call(&[
            "--json",
            "-v",
            "run",
            "flow.yaml",
            "--thread",
            "t",
            "--input",
            &input,
            "--replies",
            "replies.jsonl",
        ]);
        let ended = ended.expect(0, &[]);
        let outcome = ended.last();
        assert_eq!(outcome["result"], json!({ "role": "assistant", "content": expected }));
        let lines = ended.lines();
        let parts: Vec<_> = lines.iter().filter(|line| line["type"] == "live.chunk").collect();
        let said: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        assert_eq!(said, expected);
        for (number, part) in parts.iter().enumerate() {
            let of = json!({ "name": "answer", "path": part["stream"]["path"], "visit": 1, "attempt": 1, "sequence": number });
            assert_eq!(part["stream"], of);
        }
    }
}

#[test]
fn prompts_are_compared_by_a_judge_with_a_condition_in_place_of_weights() {
    let folder = Folder::new();
    let text = corpus("16-prompt-ab.yaml");
    for prompt in ["prompts/terse.md", "prompts/warm.md"] {
        folder.write(prompt, corpus(prompt));
    }
    folder.write("plugins/judge.wasm", agent::says(r#"{"score":0.8}"#));
    let weighted = "    route:\n      weights: { terse: 80, warm: 20 }\n      key: run.user_id\n      to: { terse: terse, warm: warm }\n";
    let chosen = "    next:\n      - { when: \"run.user_id == 'ann'\", to: terse }\n      - { to: warm }\n";
    let text = without(&folder, &text, weighted, chosen, "weights");
    let decision = "  variant: \"${{ nodes.pick.routing.decision }}\"\n";
    assert!(text.contains(decision), "the corpus changed");
    folder.write(
        "flow.yaml",
        text.replace(decision, "  variant: \"${{ 'terse' if nodes.terse is defined else 'warm' }}\"\n"),
    );
    let system = |text: &str| json!({ "role": "system", "content": text });
    let line = |prompt: &str, says: &str| {
        let messages = json!([system(prompt), { "role": "user", "content": "Is it open?" }]);
        json!({ "model": "small", "ask": { "messages": messages }, "answer": { "text": says } }).to_string()
    };
    let terse = "Answer in one sentence. Do not explain.\nFacts:\n1. open on Sunday\n";
    let warm = "You talk with bob. Be friendly, answer in at most five sentences, and end with a question.\n- open on Sunday\n";
    folder.write(
        "replies.jsonl",
        [
            line(terse, "Yes."),
            line(terse.trim_end(), "Yes."),
            line(warm, "Yes, it is!"),
            line(warm.trim_end(), "Yes, it is!"),
        ]
        .join("\n"),
    );
    let input = json!({ "text": "Is it open?", "facts": ["open on Sunday"] }).to_string();
    for (user, variant) in [("ann", "terse"), ("bob", "warm")] {
        let ended = folder.call(&[
            "--json",
            "run",
            "flow.yaml",
            "--user",
            user,
            "--input",
            &input,
            "--replies",
            "replies.jsonl",
        ]);
        let outcome = ended.expect(0, &[]).last();
        assert_eq!(outcome["result"], json!({ "variant": variant, "quality": 0.8 }));
    }
}

#[test]
fn a_later_attempt_begins_its_stream_anew() {
    let folder = Folder::new();
    folder.write("busy.wasm", agent::fails(true));
    folder.write(
        "flow.yaml",
        "format: 1\nname: busy\nversion: 1\nplugins: { busy: { path: busy.wasm } }\nnodes:\n  ask:\n    agent: busy\n    \
         stream: answer\n    retry: { strategy: immediate, max-retries: 1 }\n    next: end\n",
    );
    let lines = folder.call(&["--json", "-v", "run", "flow.yaml"]).expect(1, &[]).lines();
    let restarts: Vec<_> = lines.iter().filter(|line| line["type"] == "live.restart").collect();
    assert_eq!(restarts.len(), 1, "the first attempt restarts nothing: {lines:?}");
    let part = json!({ "name": "answer", "path": "ask@1", "visit": 1, "attempt": 2, "sequence": 0 });
    assert_eq!(restarts[0]["stream"], part);
}
