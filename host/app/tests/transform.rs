//! The builtin `transform` in the real binary: what comes out, and filters that fail, never end or dig too deep.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::{Ended, Folder};
use serde_json::{Value, json};

const WORKFLOW: &str = "\
format: 1
name: shape
version: 1
plugins:
  transform: { builtin: transform, limits: { cpu: 500ms } }
nodes:
  shape:
    agent: transform
    input: \"${{ input }}\"
    retry: { strategy: none }
    next: end
result: \"${{ nodes.shape.output }}\"
";

fn run(folder: &Folder, input: &Value) -> Ended {
    folder.call(&["--json", "run", "flow.yaml", "--input", &input.to_string()])
}

// R6.4
#[test]
fn a_filter_shapes_what_a_node_gives() {
    let folder = Folder::new();
    folder.write("flow.yaml", WORKFLOW);
    let checked = folder.call(&["check", "flow.yaml"]).expect(0, &[]);
    assert!(
        checked.stdout.contains("builtin transform, no grants")
            || checked.stderr.contains("builtin transform, no grants"),
        "{checked:#?}"
    );
    let orders = json!([{ "id": 1, "sum": 5 }, { "id": 2, "sum": 70.5 }]);
    let ended = run(
        &folder,
        &json!({ "filter": "map(select(.sum > $least)) | add", "value": orders, "vars": { "least": 6 } }),
    );
    assert_eq!(ended.expect(0, &[]).last()["result"], json!({ "value": { "id": 2, "sum": 70.5 } }));
    let ended = run(&folder, &json!({ "filter": ".[].id | debug", "value": orders, "all": true }));
    assert_eq!(ended.expect(0, &[]).last()["result"], json!({ "values": [1, 2] }));
    // What is kept for runs and what an operator looks at have the same name.
    let listed = folder.call(&["--json", "plugin", "list"]).expect(0, &[]).last();
    assert_eq!(
        (&listed["builtin"], &listed["quarantine"]["state"]),
        (&json!("builtin:transform"), &json!("closed"))
    );
    let told = folder.call(&["plugin", "inspect", "builtin:transform"]).expect(0, &[]).stdout;
    for part in ["grants    none needed", "sha256:", "in service", "bandstand:agent/log", "cpu", "exports"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = folder.call(&["plugin", "inspect", "builtin:chat"]).expect(0, &[]).stdout;
    assert!(told.contains("grants: { model: [NAME] }"), "{told}");
    let inspected = folder.call(&["--json", "plugin", "inspect", "builtin:transform"]).expect(0, &[]).json();
    assert_eq!((&inspected["grants_needed"], &inspected["usable"]), (&json!([]), &json!(true)));
}

// R7.3: whatever the filter is, only its attempt ends, and its class says how.
#[test]
fn a_filter_that_goes_wrong_ends_its_attempt_with_the_right_class() {
    let folder = Folder::new();
    folder.write("flow.yaml", WORKFLOW);
    for (filter, class, code) in [
        (".a | nosuch", "agent", "filter-invalid"),
        (".a.b", "agent", "filter-failed"),
        ("empty", "agent", "no-result"),
        (".a, .a", "agent", "several-results"),
        ("def f: f; f", "limit", "cpu"),
        ("\"x\" | until(false; . + .)", "limit", "memory"),
        ("def f: 1 + f; f", "trap", "out-of-bounds"),
        ("reduce range(300000) as $i (null; [.])", "agent", "result-too-deep"),
    ] {
        let ended = run(&folder, &json!({ "filter": filter, "value": { "a": 1 } })).expect(1, &[]);
        let error = &ended.last()["error"];
        assert_eq!((&error["class"], &error["code"]), (&json!(class), &json!(code)), "{filter}: {error}");
    }
    // The place is told to people and to workflows.
    let ended = run(&folder, &json!({ "filter": ".a\n| nosuch" })).expect(1, &[]);
    let error = &ended.last()["error"];
    assert!(error["message"].as_str().unwrap().contains("line 2, column 3"), "{error}");
    assert_eq!(error["data"], json!({ "line": 2, "column": 3, "found": "nosuch" }));
}
