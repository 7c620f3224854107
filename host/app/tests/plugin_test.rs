//! `bandstand plugin test`: one call in the real sandbox without a workflow, and cases with what is expected of them.
//! R7.2, R7.3, R8.1

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use bandstand_test_guests as guests;
use serde_json::json;

#[test]
fn a_plugin_is_called_without_a_workflow() {
    let folder = Folder::new();
    let input = r#"{"a":[1,"x"]}"#;
    let ended = folder.call(&["plugin", "test", "builtin:echo", "--input", input]);
    let ended = ended.expect(0, &["took", "of processor", "of memory", "in host calls"]);
    assert_eq!(ended.stdout, "{\"a\":[1,\"x\"]}\n");
    let ended = folder.call_with(&["plugin", "test", "builtin:echo", "--input", "-", "--json"], input);
    let outcome = ended.expect(0, &[]).last();
    assert_eq!(
        (&outcome["type"], &outcome["status"], &outcome["output"], &outcome["exit_code"]),
        (&json!("outcome"), &json!("succeeded"), &json!({ "a": [1, "x"] }), &json!(0))
    );
    assert!(outcome["usage"]["memory_bytes_max"].as_u64().unwrap() > 0, "{outcome}");
    // What it says and where it wants the run to go are told beside the output.
    folder.write("logs.wasm", guests::logs("hello there", "{\"n\":1}"));
    folder.call(&["plugin", "test", "logs.wasm"]).expect(0, &["hello there", "{\"n\":1}"]);
    folder.write("chooses.wasm", guests::replies_choose("{}", "left", 0.75));
    let ended = folder.call(&["plugin", "test", "chooses.wasm", "--json"]).expect(0, &[]);
    assert_eq!(ended.last()["next"]["choose"][0]["name"], "left");
    // No run and no plugin was kept.
    let listed = folder.call(&["runs", "list", "--json"]).expect(0, &[]);
    assert_eq!(listed.stdout, "");
}

#[test]
fn a_failure_is_told_with_all_that_is_known_of_it() {
    let folder = Folder::new();
    folder.write("panics.wasm", guests::panics_with_last_words());
    let ended = folder.call(&["plugin", "test", "panics.wasm"]);
    ended.expect(1, &["trap/", "last words:", "backtrace:", "took"]);
    folder.write("loops.wasm", guests::endless_loop());
    let ended = folder.call(&["plugin", "test", "loops.wasm", "--timeout", "300ms", "--json"]).expect(1, &[]);
    let outcome = ended.last();
    assert_eq!(
        (&outcome["status"], &outcome["error"]["class"]),
        (&json!("failed"), &json!("timeout")),
        "{outcome}"
    );
    let wrong = folder.call(&["plugin", "test", "builtin:transform", "--input", r#"{"filter":".a | b"}"#]);
    wrong.expect(1, &["agent/filter-invalid", "line 1, column 6", "another attempt would fail, too"]);
}

#[test]
fn what_cannot_be_called_is_told_before() {
    let folder = Folder::new();
    folder.call(&["plugin", "test", "builtin:nosuch"]).expect(3, &["there is no builtin `nosuch`"]);
    folder.call(&["plugin", "test", "no.wasm"]).expect(3, &["cannot read no.wasm"]);
    folder.write("text.wasm", "text");
    folder.call(&["plugin", "test", "text.wasm"]).expect(2, &["text.wasm: not a WebAssembly component"]);
    folder.call(&["plugin", "test", "builtin:echo", "--input", "[1]"]).expect(2, &["is no object"]);
    folder.call(&["plugin", "test", "builtin:echo", "--timeout", "soon"]).expect(2, &["not a span"]);
}

#[test]
fn powers_are_granted_by_hand_and_permitted_by_the_operator() {
    let folder = Folder::new();
    folder.write("plugins/facts.wasm", guests::puts_and_finds_fact(0.5));
    let call = |grants: &[&str]| folder.call(&[&["plugin", "test", "plugins/facts.wasm"], grants].concat());
    call(&[]).expect(2, &["not granted", "memory", "--grants '{ memory: write }'"]);
    call(&["--grants", "{ memory: write }"]).expect(0, &[]);
    call(&["--grants", "{ memori: write }"]).expect(2, &["--grants", "memori"]);
    call(&["--grants", "{ memory: read }"]).expect(1, &["denied/memory", "write"]);
    // The narrower of both holds; without --grants it is what the operator permits.
    folder.write("bandstand.toml", "[grants]\n");
    call(&["--grants", "{ memory: write }"]).expect(2, &["BW604"]);
    call(&[]).expect(2, &["not granted"]);
    folder.write("bandstand.toml", "[grants]\n\"plugins/facts.wasm\" = { memory = \"write\" }\n");
    call(&[]).expect(0, &[]);
    call(&["--grants", "{ memory: write }"]).expect(0, &[]);
}

// R8.5
#[test]
fn tools_are_given_by_hand_or_by_the_operator() {
    let folder = Folder::new();
    let ask =
        |tool: &str| json!({ "name": tool, "args": { "filter": ".a", "value": { "a": 7 } } }).to_string();
    let call = |tool: &str, more: &[&str]| {
        let input = ask(tool);
        let mut args = vec!["plugin", "test", "builtin:tool", "--input", &input];
        args.extend(more);
        folder.call(&args)
    };
    let given = ["--tool", "pick=builtin:transform"];
    let granted = ["--grants", "{ tools: [pick] }"];
    let ended = call("pick", &[&given[..], &granted].concat()).expect(0, &[]);
    assert_eq!(ended.stdout, "{\"value\":7}\n");
    // It is named, and that alone gives nothing.
    call("pick", &given)
        .expect(2, &["--tool pick: the plugin is not granted it", "--grants '{ tools: [pick] }'"]);
    call("pick", &granted).expect(2, &["there is no tool `pick`", "--tool NAME=FILE"]);
    call("other", &[&given[..], &granted].concat()).expect(1, &["denied"]);
    call("pick", &["--tool", "pick"]).expect(2, &["write NAME=FILE"]);
    call("pick", &[&["--tool", "pick=no.wasm"][..], &granted].concat()).expect(3, &["cannot read no.wasm"]);
    // It has no power of its own.
    folder.write("rich.wasm", guests::puts_and_finds_fact(0.5));
    call("pick", &[&["--tool", "pick=rich.wasm"][..], &granted].concat())
        .expect(2, &["the tool `pick`", "memory"]);
    // Of the operator's tools, what they are granted is the operator's word.
    let told = |text: &str| folder.write("bandstand.toml", text);
    told("[tools.pick]\nbuiltin = \"transform\"\n");
    call("pick", &granted).expect(2, &["the host does not permit `tools`"]);
    let permitted = "[grants]\n\"builtin:tool\" = { tools = [\"pick\"] }\n[tools.pick]\n";
    told(&format!("{permitted}builtin = \"transform\"\n"));
    for more in [&granted[..], &[]] {
        assert_eq!(call("pick", more).expect(0, &[]).stdout, "{\"value\":7}\n");
    }
    told(&format!("{permitted}path = \"gone.wasm\"\n"));
    call("pick", &granted).expect(2, &["the tool `pick` of the host cannot be used", "mend [tools.pick]"]);
}

// R7.6
#[test]
fn a_model_answers_from_recorded_replies() {
    let folder = Folder::new();
    folder.write(
        "replies.jsonl",
        r#"{"model":"small","answer":{"text":"A small wren.","usage":{"input":8,"output":3}}}"#,
    );
    let args = [
        "plugin",
        "test",
        "builtin:chat",
        "--input",
        r#"{"text":"Name a bird."}"#,
        "--grants",
        "{ model: [small] }",
    ];
    let ended = folder.call(&[&args[..], &["--replies", "replies.jsonl"]].concat());
    let ended = ended.expect(0, &["text      A small wren.", "model: 1 call, 8 tokens in, 3 out"]);
    assert_eq!(ended.json()["text"], "A small wren.");
    folder.call(&args[..5]).expect(2, &["not granted", "model"]);
}

// R8.5
#[test]
fn cases_tell_where_a_plugin_is_not_as_expected() {
    let folder = Folder::new();
    let cases = json!([
        { "name": "sum", "input": { "filter": "add", "value": [1, 2] }, "expect": { "output": { "value": 3 } } },
        { "input": { "filter": "empty" }, "expect": { "error": { "class": "agent", "code": "no-result" } } },
    ]);
    folder.write("cases/a.json", cases.to_string());
    folder.write("cases/notes.txt", "not a case");
    let call = |cases: &str, more: &[&str]| {
        folder.call(&[&["plugin", "test", "builtin:transform", "--cases", cases], more].concat())
    };
    let ended = call("cases", &[]).expect(0, &["2 of 2 cases as expected"]);
    assert!(ended.stdout.contains("ok    sum") && ended.stdout.contains("ok    a 2"), "{ended:#?}");
    let wrong = json!({ "input": { "filter": "{a: 1}" }, "expect": { "output": { "value": { "a": 2 } } } });
    folder.write("cases/b.json", wrong.to_string());
    let ended = call("cases", &[]).expect(1, &["2 of 3 cases as expected"]);
    assert!(ended.stdout.contains("FAIL  b"), "{ended:#?}");
    assert!(ended.stdout.contains("output.value.a: expected 2, found 1"), "{ended:#?}");
    let ended = call("cases/b.json", &["--json"]).expect(1, &[]);
    let lines = ended.lines();
    assert_eq!((&lines[0]["passed"], &lines[1]["failed"]), (&json!(false), &json!(1)));
    folder.write("c.json", r#"{"expects":{}}"#);
    call("c.json", &[]).expect(2, &["c.json: case 1", "a case is"]);
    call("nothing", &[]).expect(3, &["cannot read nothing"]);
    call("cases", &["--input", "{}"]).expect(2, &["--input"]);
}
