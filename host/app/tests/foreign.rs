//! R7.2, R8.5: functions of components that know nothing of agents, through the real binary: called by nodes and as tools,
//! checked before anything runs, shown and tried by hand.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use bandstand_test_guests as guests;
use serde_json::json;

/// Two plugins of one file, called one after the other, and a third whose error is caught.
const WORKFLOW: &str = r#"format: 1
name: people
version: 1
input: { type: object, properties: { sum: { type: integer } } }
plugins:
  add: { path: people.wasm, function: add }
  half: { path: people.wasm, function: "test:people/registry#half" }
  first: { path: people.wasm, function: "test:people/registry@1.2.0#first" }
nodes:
  sum: { agent: add, input: { x: 2, y: "${{ input.sum }}" }, next: half }
  half: { agent: half, input: { of: "${{ nodes.sum.output.result }}" }, on-failure: odd, next: person }
  odd: { value: { odd: "${{ error }}" }, next: end }
  person:
    agent: first
    input:
      people:
        - full-name: Ada
          age: "${{ nodes.half.output.result }}"
          mood: calm
          rights: [read, grant]
          contact: { mail: "ada@example.com" }
          scores: [1.5, 0.5]
    next: end
"#;

fn project(workflow: &str) -> Folder {
    let folder = Folder::new();
    folder.write("people.wasm", guests::people());
    folder.write("workflow.yaml", workflow);
    folder
}

// R8.5
#[test]
fn nodes_call_functions_of_one_component() {
    let folder = project(WORKFLOW);
    let checked = folder.call(&["check", "workflow.yaml"]).expect(0, &[]);
    assert!(
        checked.stderr.contains("half (people.wasm, function test:people/registry#half, "),
        "{}",
        checked.stderr
    );
    let run = |sum: &str| folder.call(&["--json", "run", "workflow.yaml", "--input", sum]);
    let ended = run(r#"{"sum":20}"#).expect(0, &[]);
    assert_eq!(
        ended.last()["result"],
        json!({
            "full-name": "Ada", "age": 11, "nick": null, "mood": "calm", "rights": ["read", "grant"],
            "contact": { "mail": "ada@example.com" }, "scores": [1.5, 0.5],
        })
    );
    // An error that it returns is a permanent failure with the error as data.
    let ended = run(r#"{"sum":1}"#).expect(0, &[]);
    let error = &ended.last()["result"]["odd"];
    assert_eq!((&error["class"], &error["code"]), (&json!("agent"), &json!("returned-error")));
    assert_eq!((&error["data"], &error["recoverable"]), (&json!("odd"), &json!(false)));
    assert_eq!(error["attempts"], 1);
    // What an expression gives is told when it is called, with its place.
    let ended = run(r#"{"sum":600}"#).expect(1, &[]);
    let error = &ended.last()["error"];
    assert_eq!(error["code"], "bad-arguments");
    assert!(error["message"].as_str().unwrap().contains("/people/0/age: wanted `u8`"), "{error}");
    // The run pins its function with the graph, so it can be repeated.
    let first = folder.call(&["--json", "runs", "list"]).expect(0, &[]).lines();
    assert_eq!(first.len(), 3);
}

// R8.5: functions of one component are different agents, also for replies that are kept.
#[test]
fn what_is_kept_of_one_function_is_not_given_for_another() {
    let pair = |id: &str, agent: &str| {
        format!(
            "  {id}: {{ agent: {agent}, input: {{ people: [] }}, cache: {{ for: 1h }}, on-failure: {{ value: {{ none: true }} }}"
        )
    };
    let text = format!(
        "format: 1\nname: kept\nversion: 1\nplugins:\n  all: {{ path: people.wasm, function: \"test:people/registry#all\" \
         }}\n  first: {{ path: people.wasm, function: \"test:people/registry#first\" }}\nnodes:\n{}, next: b }}\n{}, next: \
         end }}\nresult: [\"${{{{ nodes.a.output }}}}\", \"${{{{ nodes.b.output }}}}\"]\n",
        pair("a", "all"),
        pair("b", "first"),
    );
    let folder = project(&text);
    for _ in 0..2 {
        let ended = folder.call(&["--json", "run", "workflow.yaml"]).expect(0, &[]);
        let result = &ended.last()["result"];
        assert_eq!(result[0], json!({ "result": [] }));
        // Nobody is first among none: it reads what happens to be in its memory.
        assert_ne!(result[1], result[0]);
    }
}

// R7.6, R8.5: a function is a tool like any other plugin, described by its type.
#[test]
fn functions_are_tools() {
    let folder = project(
        "format: 1\nname: call\nversion: 1\nplugins:\n  caller: { path: caller.wasm, grants: { tools: [search] } }\n  search: { \
         path: people.wasm, function: \"test:people/registry#half\" }\nnodes:\n  ask: { agent: caller, input: '${{ input \
         }}', next: end }\n",
    );
    folder.write("caller.wasm", guests::calls_tool("search"));
    let ended = folder.call(&["--json", "run", "workflow.yaml", "--input", r#"{"of":8}"#]).expect(0, &[]);
    assert_eq!(ended.last()["result"], json!({ "result": 4 }));
}

// R7.2
#[test]
fn check_says_what_a_component_has_and_what_does_not_fit() {
    let folder = project(&WORKFLOW.replace("registry#half", "registry#halve").replace("x: 2", "x: -2"));
    let told = folder.call(&["check", "workflow.yaml"]).expect(2, &[]).stdout;
    for part in [
        "error[BW612]",
        "error[BW613]",
        "the component exports no function `test:people/registry#halve`",
        "did you mean `test:people/registry@1.2.0#half`?",
        "the input does not fit `add`: /x: wanted `u32`, an integer from 0 to 4294967295, found -2",
        "`func(x: u32, y: u32) -> u32`",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let folder = project(&WORKFLOW.replace("registry#half", "registry#open"));
    let told = folder.call(&["check", "workflow.yaml"]).expect(2, &[]).stdout;
    assert!(told.contains("BW612") && told.contains("`own<desk>`, which is no plain data"), "{told}");
    let folder = project(&WORKFLOW.replace(", function: add", ""));
    folder.call(&["run", "workflow.yaml"]).expect(2, &["BW602", "`function: \"add\"`"]);
}

// R7.2, R8.5: one rule, whoever is asked.
#[test]
fn an_agent_is_no_function() {
    let folder = project(
        "format: 1\nname: own\nversion: 1\nplugins:\n  own: { path: agent/own.wasm, function: \"bandstand:agent/node#run\" }\nnodes:\n  \
         a: { agent: own, input: {}, next: end }\n",
    );
    folder.write("agent/own.wasm", guests::echo());
    folder.write("agent/plugin.toml", "name = \"own\"\n");
    let rule = "it is the agent itself, which is called when `function` is left out";
    let told = folder.call(&["check", "workflow.yaml"]).expect(2, &[]).stdout;
    assert!(told.contains("BW612") && told.contains(rule), "{told}");
    folder.call(&["run", "workflow.yaml"]).expect(2, &["BW612", rule]);
    for name in ["bandstand:agent/node#run", "bandstand:agent/node@0.1.0#run"] {
        folder.call(&["plugin", "test", "agent", "--function", name]).expect(2, &[rule]);
    }
    let shown = folder.call(&["plugin", "inspect", "agent", "--json"]).expect(0, &[]).json();
    assert_eq!(shown["functions"], json!([]));
}

// R8.5: the cases of an agent are of what it is as an agent.
#[test]
fn a_function_is_not_held_to_the_agents_cases() {
    let folder = Folder::new();
    folder.write("own/people.wasm", guests::people());
    folder.write("own/cases/a.yaml", "input: { x: 1, y: 2 }\nexpect: { output: { result: 4 } }\n");
    let add = ["plugin", "test", "own", "--function", "add"];
    folder.call(&add).expect(1, &["bad-arguments"]);
    folder.call(&[&add[..], &["--cases", "own/cases"]].concat()).expect(1, &["0 of 1 case as expected"]);
}

// R8.5
#[test]
fn functions_are_shown_and_tried_by_hand() {
    let folder = project(WORKFLOW);
    let shown = folder.call(&["plugin", "inspect", "people.wasm"]).expect(0, &[]).stdout;
    for line in [
        "functions, for a plugin with `function: NAME`",
        "  test:people/registry@1.2.0#half: func(of: s32) -> result<s32, string>",
        "    record person { full-name: string, age: u8, nick: option<string>, mood: mood, rights: rights, contact: contact, \
         scores: list<f64> }",
        "    flags rights { read, write, grant }",
        "  test:people/registry@1.2.0#open: func() -> own<desk>  (cannot be called: the result holds `own<desk>`, which is no \
         plain data)",
        "  add: func(x: u32, y: u32) -> u32",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let told = folder.call(&["plugin", "inspect", "people.wasm", "--json"]).expect(0, &[]).json();
    let functions = told["functions"].as_array().unwrap();
    let half =
        functions.iter().find(|function| function["name"] == "test:people/registry@1.2.0#half").unwrap();
    assert_eq!(
        half["input"],
        json!({
            "type": "object", "required": ["of"], "additionalProperties": false,
            "properties": { "of": { "type": "integer", "minimum": -2_147_483_648_i64, "maximum": 2_147_483_647 } },
        })
    );
    assert_eq!(half["output"]["required"], json!(["result"]));
    assert_eq!(told["usable"], true);
    let call = |function: &str, input: &str| {
        folder.call(&["plugin", "test", "people.wasm", "--function", function, "--input", input])
    };
    call("test:people/registry#half", r#"{"of":8}"#).expect(0, &["took "]);
    call("test:people/registry#half", r#"{"of":7}"#).expect(1, &["returned-error", "odd"]);
    call("test:people/registry#crash", "{}").expect(1, &["trap", "unreachable"]);
    call("test:people/registry#nope", "{}")
        .expect(2, &["exports no function", "add: func(x: u32, y: u32) -> u32"]);
    folder.call(&["plugin", "precompile", "people.wasm"]).expect(0, &[]);
    folder.call(&["plugin", "verify", "people.wasm"]).expect(0, &[]);
}
