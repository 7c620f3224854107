//! Runs on the real binary: out of the box, in JSON, failing, waiting, answered, driven on, interrupted.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use agent::{fails, workflow};
use bandstand::{Ended, Folder};
use serde_json::json;

/// A flow that asks a person, in a project where nothing else happens.
const ASKING: &str = "\
format: 1
name: asking
version: 1
nodes:
  ask:
    stage: review
    review:
      title: \"Take ${{ input.amount }}?\"
      reason: \"More than \\e[31musual\"
      propose: { amount: \"${{ input.amount }}\" }
      form: { type: object, properties: { amount: { type: integer } } }
    approved: end
    rejected: refused
  refused:
    fail: { code: refused, message: \"a person said no\" }
result: { amount: \"${{ review.value.amount }}\", by: \"${{ review.decided_by }}\" }
";

fn asking() -> (Folder, String, String) {
    let folder = Folder::new();
    folder.write("flow.yaml", ASKING);
    let ended = folder.call(&["run", "flow.yaml", "--input", "{\"amount\": 5}"]);
    let ended = ended.expect(4, &["waits for 1 review", "Take 5?", "bandstand review approve"]);
    assert_eq!(ended.stdout, "");
    let reviews = folder.call(&["review", "list", "--json"]).expect(0, &[]).lines();
    assert_eq!(reviews.len(), 1);
    let text = |name: &str| reviews[0][name].as_str().unwrap().to_owned();
    let (run, review) = (text("run_id"), text("review_id"));
    (folder, run, review)
}

// R8.1
#[test]
fn a_new_project_runs_out_of_the_box() {
    let folder = Folder::new();
    let made = folder.call(&["init", "hello"]).expect(0, &["cd hello && bandstand run workflow.yaml"]);
    assert!(made.stdout.contains("hello/workflow.yaml"), "{}", made.stdout);
    folder.call(&["init", "hello"]).expect(3, &["workflow.yaml", "nothing was written"]);
    folder.call(&["check", "hello/workflow.yaml"]).expect(0, &["ok", "echo (builtin echo, no grants)"]);
    let ended = folder.call(&["run", "hello/workflow.yaml"]).expect(0, &["greet@1", "run succeeded"]);
    assert_eq!(ended.json(), json!({"greeting": "Hello, world!"}));
    let ended = folder.call(&["run", "hello/workflow.yaml", "--input", "{\"name\": \"Ada\"}", "--quiet"]);
    let ended = ended.expect(0, &[]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("{\"greeting\":\"Hello, Ada!\"}\n", ""));
    folder
        .call(&["run", "hello/workflow.yaml", "--input", "{\"name\": \"\"}"])
        .expect(4, &["Who is to be greeted?"]);
    // The schema that editors use comes with the project.
    let schema = std::fs::read_to_string(folder.path().join("hello/workflow.schema.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&schema).unwrap();
}

#[test]
fn one_text_of_the_result_is_printed_as_it_is() {
    let folder = Folder::new();
    let text = "format: 1\nname: text\nversion: 1\nnodes:\n  go: { value: { report: { md: \"# Hi\\n\\e[31mred\\n\" } }, next: end }\n";
    folder.write("flow.yaml", text);
    let ended = folder.call(&["run", "flow.yaml", "--print", "report.md"]).expect(0, &[]);
    assert_eq!(ended.stdout, "# Hi\nred\n");
    folder.call(&["run", "flow.yaml", "--print", "report.html"]).expect(2, &["there is md"]);
    folder.call(&["run", "flow.yaml", "--print", "report.md", "--json"]).expect(2, &["--print"]);
    let runs = folder.call(&["runs", "list", "--json"]).lines();
    let id = runs[0]["run_id"].as_str().unwrap();
    assert_eq!(
        folder.call(&["runs", "show", id, "--print", "report.md"]).expect(0, &[]).stdout,
        "# Hi\nred\n"
    );
}

// R8.1
#[test]
fn in_json_every_event_is_a_line_and_the_last_one_tells_the_outcome() {
    let folder = Folder::new();
    folder.call(&["init"]).expect(0, &[]);
    let ended =
        folder.call(&["run", "workflow.yaml", "--json", "--thread", "t1", "--user", "ada"]).expect(0, &[]);
    assert_eq!(ended.stderr, "");
    let lines = ended.lines();
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types[0], "run.started");
    for name in ["node.started", "attempt.succeeded", "node.succeeded", "run.succeeded"] {
        assert!(types.contains(&name), "{name}: {types:?}");
    }
    let (last, events) = lines.split_last().unwrap();
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], seq, "gapless");
        assert_eq!(event["run_id"], last["run_id"]);
        assert!(event["at"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(last["type"], "outcome");
    assert_eq!(last["status"], "succeeded");
    assert_eq!(last["result"], json!({"greeting": "Hello, world!"}));
    assert_eq!(last["exit_code"], 0);

    // The same events are in the journal. R5.2
    let id = last["run_id"].as_str().unwrap();
    let stored = folder.call(&["runs", "show", id, "--events", "--json"]).expect(0, &[]).lines();
    assert_eq!(stored, events);
}

// R1.4, R1.5, R5.3
#[test]
fn a_failed_run_tells_its_errors_and_retries() {
    let folder = Folder::new();
    folder.write("agent.wasm", fails(true));
    let retrying = workflow("{ path: agent.wasm }")
        .replace("{ max-retries: 0 }", "{ strategy: fixed, base-delay: 1ms, max-retries: 2 }");
    folder.write("flow.yaml", retrying);
    let ended = folder
        .call(&["run", "flow.yaml"])
        .expect(1, &["agent/busy", "attempt 3 of 3", "bandstand runs show"]);
    assert_eq!(ended.stdout, "");
    let last = folder.call(&["run", "flow.yaml", "--json"]).expect(1, &[]).last();
    assert_eq!(last["status"], "failed");
    assert_eq!(last["error"]["code"], "busy");
    let id = last["run_id"].as_str().unwrap();
    let shown = folder.call(&["runs", "show", id, "--json"]).expect(0, &[]).json();
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["stage"], "error");
    let errors = shown["errors"].as_array().unwrap();
    let attempts: Vec<_> = errors.iter().filter(|error| error["of"] == "attempt").collect();
    assert_eq!(attempts.len(), 3);
    assert_eq!(attempts[0]["strategy"], "fixed");
    assert!(errors.iter().any(|error| error["of"] == "node" && error["exhausted"] == true), "{errors:?}");
    assert_eq!(shown["retries"], json!([{"path": "ask@1", "attempt": 3, "attempts_max": 3}]));
    let text = folder.call(&["runs", "show", &id[..id.len() - 1]]).expect(0, &[]).stdout;
    for part in
        ["Errors", "retries exhausted after 3 attempts", "Retries", "ask@1: attempt 3 of 3", "Outcome"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    for line in text.lines().chain(ended.stderr.lines()) {
        assert!(line.matches("retries exhausted").count() < 2, "said once: {line}");
    }
}

// R1.4
#[test]
fn the_last_words_of_a_crash_are_told_at_once_and_kept_whole() {
    let folder = Folder::new();
    folder.write("agent.wasm", bandstand_test_guests::panics_with_last_words());
    folder.write("flow.yaml", workflow("{ path: agent.wasm }"));
    let ended = folder.call(&["run", "flow.yaml"]).expect(1, &["its last words: index 7 out of range"]);
    assert!(!ended.stderr.contains("[31m"), "{}", ended.stderr);
    let id = folder.call(&["runs", "list", "--json"]).lines()[0]["run_id"].as_str().unwrap().to_owned();
    let text = folder.call(&["runs", "show", &id]).expect(0, &[]).stdout;
    for part in ["last words:", "index 7 out of range", "at agent.rs:7", "backtrace:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let shown = folder.call(&["runs", "show", &id, "--json"]).json();
    let words = shown["errors"][0]["last_words"].as_str().unwrap();
    assert!(words.contains("out of range") && words.contains("at agent.rs:7"), "{words}");
    assert!(shown["errors"][0]["backtrace"].is_string());
}

/// Runs a flow without a `result`; what its last node gave is the result, as `run` and `runs show` tell it.
fn result_of(folder: &Folder, nodes: &str) -> serde_json::Value {
    let plugins = if nodes.contains("agent:") { "plugins:\n  agent: { path: agent.wasm }\n" } else { "" };
    folder.write("flow.yaml", format!("format: 1\nname: last\nversion: 1\n{plugins}nodes:\n{nodes}"));
    let ended = folder.call(&["run", "flow.yaml", "--json"]);
    let last = match ended.code {
        4 => {
            let review = ended.last()["reviews"][0].as_str().unwrap().to_owned();
            let approve = ["review", "approve", &review, "--by", "ada", "--changes", "{\"n\": 2}", "--json"];
            folder.call(&approve).expect(0, &[]).last()
        }
        _ => ended.expect(0, &[]).last(),
    };
    let id = last["run_id"].as_str().unwrap();
    let shown = folder.call(&["runs", "show", id, "--json"]).expect(0, &[]).json();
    assert_eq!(shown["result"], last["result"], "{shown}");
    let text = folder.call(&["runs", "drive", id]).expect(0, &[]);
    assert_eq!(text.json(), last["result"]);
    last["result"].clone()
}

// R5.3
#[test]
fn without_a_result_it_is_what_the_last_node_gave_whatever_kind_it_is() {
    let folder = Folder::new();
    folder.write("agent.wasm", agent::says("{\"said\": 1}"));
    let review = "review: { title: Take it?, propose: { n: 1 }, form: { type: object } }";
    let result = |nodes: &str| result_of(&folder, nodes);
    assert_eq!(result("  go: { value: { a: 1 }, next: end }\n"), json!({"a": 1}));
    assert_eq!(result("  go: { agent: agent, next: end }\n"), json!({"said": 1}));
    let reviewed = result(&format!("  go:\n    {review}\n    approved: end\n    rejected: end\n"));
    assert_eq!(reviewed["decision"], "approved");
    assert_eq!((&reviewed["value"], &reviewed["decided_by"]), (&json!({"n": 2}), &json!("ada")));
    let block = "  go:\n    parallel:\n      branches:\n        a: { agent: agent }\n        b: { value: { b: 2 } }\n    next: end\n";
    assert_eq!(result(block)["results"], json!({"a": {"said": 1}, "b": {"b": 2}}));
    let items = "  go: { map: { over: range(2), do: { agent: agent } }, next: end }\n";
    assert_eq!(result(items)["results"], json!([{"said": 1}, {"said": 1}]));
    // A review as the last node of a branch: the block's result has what it gave, in `parallel`, too.
    let inner = format!(
        "  go:\n    parallel:\n      branches:\n        a:\n          nodes:\n            ask:\n              {review}\n              \
         approved: end\n              rejected: end\n    next: end\n"
    );
    let reviewed = result(&inner);
    assert_eq!(reviewed["results"]["a"]["value"], json!({"n": 2}));
    let id = folder.call(&["runs", "list", "--json"]).lines()[0]["run_id"].as_str().unwrap().to_owned();
    let shown = folder.call(&["runs", "show", &id, "--json"]).json();
    assert_eq!(shown["parallel"][0]["results"], reviewed["results"], "{shown}");
}

// R2.1, R2.3, R2.5
#[test]
fn a_review_is_shown_answered_once_and_the_run_goes_on() {
    let (folder, run, review) = asking();
    let shown = folder.call(&["runs", "show", &run, "--json"]).expect(0, &[]).json();
    assert_eq!(shown["status"], "waiting");
    assert_eq!(shown["waiting_for"][0]["kind"], "review");
    let text = folder.call(&["review", "show", &review]).expect(0, &["bandstand review approve"]).stdout;
    assert!(text.contains("\"amount\": 5") && text.contains("More than usual"), "{text:?}");

    let approve = ["review", "approve", &review, "--by", "ada", "--comments", "fine", "--confidence", "0.9"];
    // An edit that the form refuses changes nothing.
    let mut bad = approve.to_vec();
    bad.extend(["--changes", "{\"amount\": \"many\"}"]);
    let refused = folder.call(&bad);
    assert!([2, 3].contains(&refused.code) && refused.stderr.contains("amount"), "{refused:#?}");
    let mut edited = approve.to_vec();
    edited.extend(["--changes", "{\"amount\": 4}"]);
    let ended = folder.call(&edited).expect(0, &["approved"]);
    assert_eq!(ended.json(), json!({"amount": 4, "by": "ada"}));

    // The same answer again is accepted, another one is a conflict.
    folder.call(&edited).expect(0, &["nothing changed"]);
    folder.call(&["review", "reject", &review, "--by", "bob"]).expect(3, &["approved"]);
    let shown = folder.call(&["runs", "show", &run, "--json"]).expect(0, &[]).json();
    let answer = &shown["reviews"][0]["answers"][0];
    assert_eq!(answer["reviewer"], "ada");
    assert_eq!(answer["comments"], "fine");
    assert_eq!(answer["changes"], json!({"amount": 4}));
    assert_eq!(shown["result"], json!({"amount": 4, "by": "ada"}));
    assert_eq!(folder.call(&["review", "list"]).expect(0, &["nothing waits"]).stdout, "");
}

// R2.5
#[test]
fn a_rejection_leaves_by_its_own_edge() {
    let (folder, _, review) = asking();
    let ended = folder
        .call(&["review", "reject", &review[..review.len() - 1], "--by", "bob", "--json"])
        .expect(1, &[]);
    let last = ended.last();
    assert_eq!(last["status"], "failed");
    assert_eq!(last["error"]["code"], "refused");
    assert!(
        ended.lines().iter().all(|line| line["type"] != "run.started"),
        "only what is new: {}",
        ended.stdout
    );
}

#[test]
fn a_run_is_cancelled_once_and_then_takes_no_answer() {
    let (folder, run, review) = asking();
    folder
        .call(&["runs", "cancel", &run, "--yes", "--by", "ada", "--reason", "a mistake"])
        .expect(0, &["cancelled"]);
    let ended = folder.call(&["runs", "drive", &run]).expect(1, &["cancelled by ada: a mistake"]);
    assert_eq!(ended.stdout, "");
    folder.call(&["review", "approve", &review, "--by", "ada"]).expect(3, &["error:"]);
    let listed = folder.call(&["runs", "list", "--status", "cancelled", "--json"]).expect(0, &[]).lines();
    assert_eq!(listed.len(), 1);
}

// R3.2, R3.4
#[test]
fn routes_are_counted_over_runs() {
    let folder = Folder::new();
    folder.write(
        "flow.yaml",
        "format: 1\nname: routed\nversion: 1\nnodes:\n  pick:\n    value: { law: \"${{ input.law }}\", tax: 0.2 }\n    \
         route:\n      options: output\n      to: { law: end, tax: end }\n",
    );
    for law in ["0.9", "0.5"] {
        folder
            .call(&["run", "flow.yaml", "--input", &format!("{{\"law\": {law}}}")])
            .expect(0, &["route law"]);
    }
    let stats = folder.call(&["routing", "routed", "--json"]).expect(0, &[]).lines();
    assert_eq!(stats.len(), 1, "{stats:?}");
    assert_eq!(stats[0]["route"], "law");
    assert_eq!(stats[0]["count"], 2);
    assert_eq!(stats[0]["confidence_average"], 0.7);
    assert_eq!(stats[0]["low"], 1);
    assert_eq!(stats[0]["success_rate"], 1.0);
    let text = folder.call(&["routing"]).expect(0, &[]).stdout;
    assert!(text.contains("0.50..0.90") && text.contains("100%"), "{text}");
    let runs = folder.call(&["runs", "list", "--json"]).lines();
    let shown = folder.call(&["runs", "show", runs[0]["run_id"].as_str().unwrap(), "--json"]).json();
    assert_eq!(shown["routing"][0]["decision"], "law");
    assert_eq!(shown["routing"][0]["alternatives"][0]["name"], "tax");
}

// R4.4, R4.5, R5.3
#[test]
fn branches_and_items_are_shown_with_results_errors_and_times() {
    let folder = Folder::new();
    folder.write(
        "flow.yaml",
        "format: 1\nname: fan\nversion: 1\nnodes:\n  fan:\n    parallel:\n      branches:\n        good: { value: { a: 1 } }\n        \
         bad: { fail: { code: odd, message: broken } }\n    next: each\n  each:\n    map:\n      over: range(3)\n      do: { value: \"${{ item }}\" }\n    \
         next: end\nresult: { errors: \"${{ nodes.fan.output.errors }}\", items: \"${{ nodes.each.output.results }}\" }\n",
    );
    let ended = folder.call(&["run", "flow.yaml", "--json"]).expect(0, &[]);
    let last = ended.last();
    assert_eq!(last["result"]["items"], json!([0, 1, 2]));
    let shown =
        folder.call(&["runs", "show", last["run_id"].as_str().unwrap(), "--json"]).expect(0, &[]).json();
    assert_eq!(shown["parallel"][0]["results"], json!({"good": {"a": 1}}));
    assert_eq!(shown["parallel"][0]["errors"]["bad"]["code"], "odd");
    assert_eq!(shown["parallel"][1]["results"], json!([0, 1, 2]));
    assert_eq!(shown["result"], last["result"]);
}

// R1.6, R5.4
#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_run_to_be_driven_on() {
    let folder = Folder::new();
    folder.write(
        "flow.yaml",
        "format: 1\nname: slow\nversion: 1\nnodes:\n  pause: { wait: { for: 3s }, next: end }\nresult: { done: true }\n",
    );
    let mut command = folder.command(&["run", "flow.yaml", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let waits = |line: &String| line.contains("wait.started");
    assert!(lines.by_ref().any(|line| waits(&line)), "it waits");
    // Another process sees the run while this one holds the data directory, and may follow it.
    assert_eq!(folder.call(&["runs", "list", "--json"]).lines()[0]["status"], "waiting");
    folder.write(
        "quick.yaml",
        "format: 1\nname: quick\nversion: 1\nnodes:\n  go: { value: { a: 1 }, next: end }\n",
    );
    let other =
        folder.call(&["run", "quick.yaml"]).expect(0, &["other open runs: ", "bandstand runs drive --all"]);
    assert_eq!(other.json(), json!({"a": 1}));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let last = lines.last().unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap()).expect(130, &["bandstand runs drive"]);
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["status"], "interrupted", "{ended:#?}");
    let id = last["run_id"].as_str().unwrap();
    let ended = folder.call(&["runs", "drive", id]).expect(0, &[]);
    assert_eq!(ended.json(), json!({"done": true}));
    folder.call(&["runs", "drive", "--all"]).expect(0, &["driving 0 runs"]);
}

// R2.1
#[test]
fn the_data_directory_is_where_it_is_said_to_be() {
    let folder = Folder::new();
    folder.call(&["init"]).expect(0, &[]);
    let args = ["run", "workflow.yaml", "--data", "elsewhere", "--input", "{\"name\": \"\"}"];
    folder.call(&args).expect(4, &["--by NAME --data elsewhere"]);
    assert!(!folder.path().join(".bandstand").exists());
    let mut command = folder.command(&["review", "list", "--json"]);
    let listed = Ended::of(command.env("BANDSTAND_DATA", "elsewhere").output().unwrap());
    assert_eq!(listed.lines().len(), 1);
}
