//! R7.6 and its neighbours: plugins that call other plugins as tools, through the real binary. Each tool has its own
//! grants and limits, is pinned by the run, and is recorded with the attempt that called it. Files of the corpus that use
//! the builtin `tool` run from recorded replies.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use std::path::Path;

use bandstand::{Ended, Folder};
use bandstand_test_guests as guests;
use serde_json::{Value, json};

fn corpus(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn answer(text: &str, calls: &[(&str, Value)]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(index, (name, args))| json!({ "id": format!("c{index}"), "name": name, "args": args }))
        .collect();
    let finish = if calls.is_empty() { "stop" } else { "tool-calls" };
    json!({ "text": text, "tool_calls": calls, "finish": finish, "usage": { "input": 9, "output": 3 } })
}

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn run_id(ended: &Ended) -> String {
    ended.last()["run_id"].as_str().unwrap().to_owned()
}

/// What was recorded of tools with the attempts of a run.
fn tools_of(folder: &Folder, run_id: &str) -> Vec<Value> {
    let events = folder.call(&["runs", "show", run_id, "--events", "--json"]).expect(0, &[]).lines();
    let tools = |event: &Value| event["usage"]["tools"].as_array().cloned();
    events.iter().filter_map(tools).flatten().map(without_time).collect()
}

fn without_time(mut tool: Value) -> Value {
    for time in ["at_ms", "took_ms"] {
        tool.as_object_mut().unwrap().remove(time);
    }
    tool
}

/// A workflow whose one node has `caller.wasm` call a tool; `tool` is what the file says of `search`.
fn project(tool: &str) -> Folder {
    let folder = Folder::new();
    folder.write("caller.wasm", guests::calls_tool("search"));
    folder.write("search.wasm", guests::scripted());
    folder.write(
        "workflow.yaml",
        format!(
            "format: 1\nname: call\nversion: 1\nplugins:\n  caller: {{ path: caller.wasm, grants: {{ tools: [search] }} }}\n\
             {tool}nodes:\n  ask: {{ agent: caller, input: '${{{{ input }}}}', retry: {{ max-retries: 0 }}, next: end }}\n"
        ),
    );
    folder
}

const OWN: &str = "  search: { path: search.wasm }\n";
const OF_HOST: &str =
    "[grants]\n\"caller.wasm\" = { tools = [\"search\"] }\n[tools.search]\npath = \"search.wasm\"\n";

fn run(folder: &Folder, input: &str) -> Ended {
    folder.call(&["--json", "run", "workflow.yaml", "--input", input])
}

#[test]
fn corpus_01_runs_with_tools_that_the_model_is_told_of() {
    let folder = Folder::new();
    folder.write("workflow.yaml", corpus("01-react-loop.yaml"));
    folder.write("search.wasm", agent::says(r#"{"hits":["a wren"]}"#));
    folder.write("calculator.wasm", agent::fails(false));
    folder.write(
        "bandstand.toml",
        "[grants]\n\"builtin:chat\" = { model = [\"small\"] }\n\
         \"builtin:tool\" = { tools = [\"search\", \"calculator\"] }\n\
         [tools.search]\npath = \"search.wasm\"\ndescription = \"Looks birds up\"\n\
         parameters = { type = \"object\", properties = { q = { type = \"string\" } } }\n\
         [tools.calculator]\npath = \"calculator.wasm\"\ndescription = \"Does sums\"\n",
    );
    let told = json!([
        { "name": "search", "description": "Looks birds up",
          "parameters": { "type": "object", "properties": { "q": { "type": "string" } } } },
        { "name": "calculator", "description": "Does sums", "parameters": { "type": "object" } },
    ]);
    let ask = json!({ "messages": [{ "role": "user", "content": "Which bird?" }], "tools": told });
    let both = [("search", json!({ "q": "bird" })), ("calculator", json!({ "sum": "1+1" }))];
    let replies = [
        json!({ "model": "small", "ask": ask, "answer": answer("", &both) }),
        json!({ "model": "small", "answer": answer("A wren.", &[]) }),
    ];
    folder.write("replies.jsonl", lines(&replies));
    let input = ["--input", r#"{"question":"Which bird?"}"#, "--replies", "replies.jsonl"];
    let ended = folder.call(&[&["--json", "run", "workflow.yaml"], &input[..]].concat()).expect(0, &[]);
    assert_eq!(ended.last()["result"], json!({ "role": "assistant", "content": "A wren." }));
    let run_id = run_id(&ended);
    let mut tools = tools_of(&folder, &run_id);
    tools.sort_by_key(|tool| tool["name"].as_str().unwrap().to_owned());
    assert_eq!(tools, [json!({ "name": "calculator", "failed": "busy" }), json!({ "name": "search" })]);
    // What went wrong with one was told to the model as the workflow says.
    let shown = folder.call(&["--json", "runs", "show", &run_id]).expect(0, &[]).json();
    let act = shown["nodes"].as_array().unwrap().iter().find(|node| node["node"] == "act");
    let act = act.unwrap_or_else(|| panic!("{}", shown["nodes"]));
    assert_eq!((&act["tools"][0]["name"], &act["tools"][0]["failed"]), (&json!("calculator"), &json!(1)));
    let text = folder.call(&["runs", "show", &run_id]).expect(0, &[]);
    assert!(text.stdout.contains("\nTools\n") && text.stdout.contains("calculator"), "{text:#?}");
}

#[test]
fn corpus_02_calls_what_a_person_approved() {
    let folder = Folder::new();
    folder.write("workflow.yaml", corpus("02-tool-approval.yaml"));
    folder.write("refund.wasm", guests::echo());
    folder.write("lookup.wasm", agent::says(r#"{"order":7}"#));
    folder.write(
        "bandstand.toml",
        "[grants]\n\"builtin:chat\" = { model = [\"small\"] }\n\
         \"builtin:tool\" = { tools = [\"refund\", \"lookup\"] }\n\
         [tools.refund]\npath = \"refund.wasm\"\n[tools.lookup]\npath = \"lookup.wasm\"\n",
    );
    let both = [("refund", json!({ "amount": 20 })), ("lookup", json!({ "id": 7 }))];
    folder.write("first.jsonl", lines(&[json!({ "model": "small", "answer": answer("", &both) })]));
    folder.write("second.jsonl", lines(&[json!({ "model": "small", "answer": answer("Done.", &[]) })]));
    let input = r#"{"messages":[{"role":"user","content":"My money back"}]}"#;
    let ended = folder
        .call(&["--json", "run", "workflow.yaml", "--no-ask", "--input", input, "--replies", "first.jsonl"])
        .expect(4, &[]);
    let review = folder.call(&["review", "list", "--json"]).lines().remove(0);
    assert_eq!(review["title"], "Run refund?");
    let mut approve =
        folder.command(&["review", "approve", review["review_id"].as_str().unwrap(), "--by", "ann"]);
    approve.env("BANDSTAND_REPLIES", "second.jsonl");
    Ended::of(approve.output().unwrap()).expect(0, &["run succeeded"]);
    let mut tools = tools_of(&folder, &run_id(&ended));
    tools.sort_by_key(|tool| tool["name"].as_str().unwrap().to_owned());
    assert_eq!(tools, [json!({ "name": "lookup" }), json!({ "name": "refund" })]);
}

#[test]
fn corpus_12_acts_when_its_user_says_so() {
    let folder = Folder::new();
    folder.write("workflow.yaml", corpus("12-support-thread.yaml"));
    let asks = r#"{"message":{"role":"assistant","content":"Shall I?"},"action":{"name":"refund","title":"Refund 20","args":{"amount":20}}}"#;
    let done = r#"{"message":{"role":"assistant","content":"It is done."},"resolved":true}"#;
    // `visit` stands at 48 in the call.
    let data = format!("(data (i32.const 1024) {asks:?}) (data (i32.const 2048) {done:?})");
    let support = format!(
        "(if (result i32) (i32.eq (i32.load offset=48 (local.get $call)) (i32.const 1))
           (then (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const {})) (i32.const 0))
           (else (i32.store (i32.const 8) (i32.const 2048)) (i32.store (i32.const 12) (i32.const {})) (i32.const 0)))",
        asks.len(),
        done.len()
    );
    folder.write("plugins/support.wasm", agent::agent_with("", &data, &support));
    folder.write("plugins/summariser.wasm", agent::says(r#"{"text":""}"#));
    folder.write("refund.wasm", guests::echo());
    folder.write("rebook.wasm", guests::echo());
    folder.write(
        "bandstand.toml",
        "[grants]\n\"plugins/support.wasm\" = { model = [\"large\"], memory = \"write\" }\n\
         \"plugins/summariser.wasm\" = { model = [\"small\"] }\n\
         \"builtin:tool\" = { tools = [\"refund\", \"rebook\"] }\n\
         [tools.refund]\npath = \"refund.wasm\"\n[tools.rebook]\npath = \"rebook.wasm\"\n",
    );
    let run = ["--json", "run", "workflow.yaml", "--no-ask", "--user", "ann", "--thread", "t1"];
    let ended = folder.call(&[&run[..], &["--input", r#"{"message":"Money back"}"#]].concat()).expect(4, &[]);
    let review = folder.call(&["review", "list", "--json"]).lines().remove(0);
    let id = review["review_id"].as_str().unwrap();
    folder.call(&["review", "approve", id, "--by", "ann"]).expect(0, &["run succeeded"]);
    assert_eq!(tools_of(&folder, &run_id(&ended)), [json!({ "name": "refund" })]);
}

// R7.2: a tool of the host is the operator's own word; a plugin of the file needs a permit like any other.
#[test]
fn a_name_means_a_plugin_of_the_file_or_a_tool_of_the_host_and_nothing_else() {
    let folder = project(OWN);
    assert_eq!(run(&folder, r#"{"a":1}"#).expect(0, &[]).last()["result"], json!({ "a": 1 }));
    let folder = project("");
    run(&folder, "{}").expect(2, &["BW610", "there is no tool `search`"]);
    let checked = folder.call(&["check", "workflow.yaml"]).expect(2, &[]);
    assert!(format!("{checked:?}").contains("[tools.search] in bandstand.toml"), "{checked:#?}");
    folder.write("bandstand.toml", OF_HOST);
    assert_eq!(run(&folder, r#"{"a":1}"#).expect(0, &[]).last()["result"], json!({ "a": 1 }));
    folder.write(
        "bandstand.toml",
        OF_HOST.replace("[grants]\n\"caller.wasm\" = { tools = [\"search\"] }\n", ""),
    );
    run(&folder, "{}").expect(2, &["BW604", "`tools` of `search`"]);
    folder.write("bandstand.toml", format!("{OF_HOST}digest = \"sha256:{}\"\n", "0".repeat(64)));
    run(&folder, "{}").expect(2, &["BW610", "its digest is sha256:"]);
    folder.write("search.wasm", "no wasm");
    folder.write("bandstand.toml", OF_HOST);
    run(&folder, "{}").expect(2, &["BW610", "`search` of the host cannot be used", "text file"]);
    // It needs what it was not given.
    folder.write("search.wasm", guests::keeps_input());
    run(&folder, "{}").expect(2, &["BW610", "memory"]);
    folder.write("bandstand.toml", format!("{OF_HOST}grants = {{ memory = \"write\" }}\n"));
    run(&folder, r#"{"a":1}"#).expect(0, &[]);
    for (toml, says) in [
        ("[tools.Search]\npath = \"a\"\n", "a tool's id"),
        ("[tools.search]\n", "either `path"),
        ("[tools.search]\nbuiltin = \"ehco\"\n", "no builtin `ehco`"),
        ("[tools.search]\npath = \"a\"\ngrants = { tools = [\"b\"] }\n", "no tool `b`"),
        ("[tools.search]\npath = \"a\"\ngrants = { net = true }\n", "net"),
    ] {
        folder.write("bandstand.toml", toml);
        run(&folder, "{}").expect(2, &[says]);
    }
}

// R7.3, R7.4
#[test]
fn a_tool_that_dies_leaves_its_caller_alive_and_is_held_to_its_own_limits() {
    let folder = project("");
    folder.write("bandstand.toml", format!("{OF_HOST}limits = {{ cpu = \"80ms\", memory = \"4MiB\" }}\n"));
    for (input, code, says, noted) in [
        (r#"{"do":"trap"}"#, "trap", "stopped itself", "unreachable"),
        (r#"{"do":"loop"}"#, "limit", "80 ms of processor time", "cpu"),
        (r#"{"do":"memory"}"#, "limit", "4194304 bytes", "memory"),
    ] {
        let ended = run(&folder, input).expect(1, &[]);
        let error = &ended.last()["error"];
        assert_eq!((&error["class"], &error["code"]), (&json!("agent"), &json!(code)), "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
        let noted = json!({ "name": "search", "failed": noted });
        assert_eq!(tools_of(&folder, &run_id(&ended)), [noted]);
    }
    folder.write("bandstand.toml", format!("{OF_HOST}[limits]\ntool-calls = 3\n"));
    folder.write("caller.wasm", guests::calls_tool_until_refused("search"));
    let ended = run(&folder, "{}").expect(1, &[]);
    let error = &ended.last()["error"];
    let message = error["message"].as_str().unwrap();
    assert!(
        error["code"] == "tool-calls" && message.contains("3 tools") && message.contains("limits.tool-calls"),
        "{error}"
    );
    assert_eq!(tools_of(&folder, &run_id(&ended)).len(), 3);
}

// R1.10: what a tool does counts against the tool, and a tool in quarantine is not called.
#[test]
fn a_tool_that_keeps_crashing_goes_to_quarantine_and_its_caller_does_not() {
    let folder = project("");
    folder.write("bandstand.toml", format!("{OF_HOST}[quarantine]\nfaults = 2\ncool-down = \"1h\"\n"));
    for _ in 0..2 {
        run(&folder, r#"{"do":"trap"}"#).expect(1, &[]);
    }
    let ended = run(&folder, r#"{"a":1}"#).expect(1, &[]);
    let error = &ended.last()["error"];
    assert_eq!(error["code"], "tool-quarantined", "{error}");
    let digest = |file: &str| {
        folder.call(&["plugin", "inspect", file, "--json"]).expect(0, &[]).json()["digest"].clone()
    };
    let listed = folder.call(&["plugin", "list", "--quarantined", "--json"]).expect(0, &[]).lines();
    let shut: Vec<&Value> = listed.iter().map(|plugin| &plugin["digest"]).collect();
    assert_eq!(shut, [&digest("search.wasm")]);
    folder.call(&["plugin", "release", "search"]).expect(0, &[]);
    run(&folder, r#"{"a":1}"#).expect(0, &[]);
}

// R5.6: a run that goes on calls the bytes and has the grants it began with.
#[test]
fn a_run_pins_its_tools() {
    let folder = project("");
    folder.write("bandstand.toml", OF_HOST);
    let text = std::fs::read_to_string(folder.path().join("workflow.yaml")).unwrap();
    let waits = text.replace("next: end }", "next: look }\n  look: { review: { title: Look }, approved: again, rejected: end }\n  again: { agent: caller, input: '${{ input }}', next: end }");
    folder.write("workflow.yaml", waits);
    folder.write("search.wasm", agent::says(r#"{"old":true}"#));
    let ended = folder.call(&["--json", "run", "workflow.yaml", "--no-ask"]).expect(4, &[]);
    folder.write("search.wasm", agent::says(r#"{"new":true}"#));
    folder.write("bandstand.toml", "");
    let review = folder.call(&["review", "list", "--json"]).lines().remove(0);
    let id = review["review_id"].as_str().unwrap();
    folder.call(&["review", "approve", id, "--by", "ann"]).expect(0, &["run succeeded"]);
    let shown = folder.call(&["--json", "runs", "show", &run_id(&ended)]).expect(0, &[]).json();
    assert_eq!(shown["result"], json!({ "old": true }), "{shown}");
    assert!(shown["pins"]["plugins"]["search"].is_string(), "{}", shown["pins"]);
}

// A file that runs as a child may call tools of the host, too.
#[test]
fn a_workflow_that_runs_as_a_child_calls_tools_of_the_host() {
    let folder = project("");
    std::fs::rename(folder.path().join("workflow.yaml"), folder.path().join("child.yaml")).unwrap();
    folder.write(
        "workflow.yaml",
        "format: 1\nname: parent\nversion: 1\nworkflows: { call: { path: child.yaml, version: 1 } }\n\
         nodes:\n  go: { workflow: call, input: '${{ input }}', next: end }\n",
    );
    folder.write("bandstand.toml", OF_HOST);
    let ended = run(&folder, r#"{"a":1}"#).expect(0, &[]);
    assert_eq!(ended.last()["result"], json!({ "a": 1 }));
}

// R7.6: what the operator lends a tool is lent to it and to nobody else, and needs no line in `[grants]`.
#[test]
fn a_tool_of_the_host_is_lent_what_its_settings_say() {
    let folder = project("");
    folder.write("search.wasm", guests::scripted());
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let with = |grants: &str| format!("{OF_HOST}grants = {{ {grants} }}\n");
    folder.write(
        "bandstand.toml",
        with("env = [\"PATH\"], files = { data = { path = \"data\", access = \"read\" }, tmp = { path = \".\", access = \"scratch\" } }, clock = \"coarse\", random = true"),
    );
    run(&folder, r#"{"a":1}"#).expect(0, &[]);
    // What its caller is lent is not lent to it.
    let workflow = std::fs::read_to_string(folder.path().join("workflow.yaml")).unwrap();
    folder.write("workflow.yaml", workflow.replace("tools: [search]", "tools: [search], env: [OTHER]"));
    folder.write("search.wasm", guests::powers::tells_environment());
    let permits = OF_HOST.replace("tools = [\"search\"] }", "tools = [\"search\"], env = [\"OTHER\"] }");
    folder.write("bandstand.toml", format!("{permits}grants = {{ env = [\"STYLE\"] }}\n"));
    let mut command = folder.command(&["--json", "run", "workflow.yaml", "--input", "{}"]);
    let ended = Ended::of(command.env("STYLE", "plain").env("OTHER", "no").output().unwrap()).expect(0, &[]);
    let told = ended.last()["result"].to_string();
    assert!(told.contains("STYLE") && !told.contains("OTHER"), "{told}");
    folder.write("bandstand.toml", with("files = { data = { path = \"data\", access = \"read\" } }"));
    std::fs::remove_dir(folder.path().join("data")).unwrap();
    run(&folder, "{}").expect(2, &["BW610", "cannot find"]);
    for (grants, says) in [
        ("env = [\"OPENAI_API_KEY\"]", "the key of a model"),
        ("env = [\"BANDSTAND_X\"]", "the host's own"),
        ("files = { data = { path = \"../data\", access = \"read\" } }", "no path inside the project"),
    ] {
        folder.write("bandstand.toml", with(grants));
        run(&folder, "{}").expect(2, &[says]);
    }
}
