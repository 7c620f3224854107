//! R5.5, R5.6, R4.4, R2.6: workflows that run others as children, on the real binary.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod agent;
mod bandstand;

use agent::{fails_first, says};
use bandstand::Folder;
use serde_json::{Value, json};

/// Asks about each item; the child asks a person where the item says so.
const PARENT: &str = "\
format: 1
name: parent
version: 1
workflows: { child: { path: children/child.yaml, version: 2 } }
nodes:
  all:
    map: { over: input.items, join: all, do: { workflow: child, input: { item: \"${{ item }}\" } } }
    next: end
result: { all: \"${{ output.results }}\" }
";

const CHILD: &str = "\
format: 1
name: child
version: 2
plugins: { one: { path: ../one.wasm } }
state: { seen: { reduce: replace } }
input: { type: object, required: [item], properties: { item: { type: string } } }
nodes:
  work: { agent: one, update: { seen: \"${{ input.item }}\" }, next: [{ when: \"input.item == 'ask'\", to: ask }, { to: end }] }
  ask: { review: { title: Go on?, propose: { item: \"${{ input.item }}\" } }, approved: end, rejected: refuse }
  refuse: { fail: { code: refused, message: no } }
result: \"${{ state.seen }}\"
";

fn project() -> Folder {
    let folder = Folder::new();
    folder.write("one.wasm", says("{\"n\":1}"));
    folder.write("flow.yaml", PARENT);
    folder.write("children/child.yaml", CHILD);
    folder
}

fn runs(folder: &Folder) -> Vec<Value> {
    folder.call(&["runs", "list", "--children", "--json"]).expect(0, &[]).lines()
}

fn of<'r>(runs: &'r [Value], workflow: &str) -> Vec<&'r Value> {
    runs.iter().filter(|run| run["workflow"] == workflow).collect()
}

fn id(run: &Value) -> String {
    run["run_id"].as_str().unwrap().to_owned()
}

fn show(folder: &Folder, run: &str) -> Value {
    folder.call(&["runs", "show", run, "--json"]).expect(0, &[]).json()
}

// R5.5, R4.4
#[test]
fn each_child_is_a_run_of_its_own_and_gives_its_result() {
    let folder = project();
    let outcome = folder
        .call(&[
            "run",
            "flow.yaml",
            "--input",
            "{\"items\": [\"a\", \"b\"]}",
            "--thread",
            "t",
            "--user",
            "ann",
        ])
        .expect(0, &["all@1[0]@1  child run", "run succeeded"]);
    assert_eq!(outcome.json(), json!({ "all": ["a", "b"] }));
    let all = runs(&folder);
    let (parents, children) = (of(&all, "parent"), of(&all, "child"));
    assert_eq!((parents.len(), children.len()), (1, 2));
    assert_eq!(
        folder.call(&["runs", "list", "--json"]).lines().len(),
        1,
        "children are listed when asked for"
    );
    for child in &children {
        assert_eq!((&child["parent"], &child["status"]), (&json!(id(parents[0])), &json!("succeeded")));
        assert_eq!((&child["thread_id"], &child["user_id"]), (&json!("t"), &json!("ann")));
    }
    let shown = show(&folder, &id(parents[0]));
    let paths: Vec<&Value> = shown["children"].as_array().unwrap().iter().map(|link| &link["path"]).collect();
    assert!(paths.contains(&&json!("all@1[0]@1#1")) && paths.contains(&&json!("all@1[1]@1#1")), "{paths:?}");
    assert_eq!(show(&folder, &id(children[0]))["from"]["kind"], "child");
    let text = folder.call(&["runs", "show", &id(children[0])]).expect(0, &[]).stdout;
    assert!(text.contains("of which it is all@1["), "{text}");
    for run in &all {
        folder.call(&["runs", "replay", &id(run)]).expect(0, &[]);
    }
    // A child can be done again by itself: then it is nobody's.
    let again = folder.call(&["runs", "rerun", &id(children[0]), "--json"]).expect(0, &[]).last();
    assert_eq!(show(&folder, &id(&again))["from"]["kind"], "rerun");
}

// R2.6, R5.4: a person is asked by the child; answering makes the parent go on, in another process.
#[test]
fn a_parent_waits_for_the_people_its_children_ask() {
    let folder = project();
    folder
        .call(&["run", "flow.yaml", "--input", "{\"items\": [\"a\", \"ask\"]}"])
        .expect(4, &["waits for 1 review", "Go on?", "bandstand review approve"]);
    let reviews = folder.call(&["review", "list", "--json"]).expect(0, &[]).lines();
    let [review] = &reviews[..] else { panic!("{reviews:?}") };
    assert_eq!(review["workflow"], "child");
    assert_eq!(review["parent"]["path"], "all@1[1]@1#1", "it carries the parent's path");
    let all = runs(&folder);
    let parent = id(of(&all, "parent")[0]);
    assert_eq!(review["parent"]["run_id"], json!(parent));
    assert_eq!(of(&all, "parent")[0]["status"], "waiting");
    folder.call(&["runs", "drive", &parent, "--no-ask"]).expect(4, &["waits for 1 review"]);
    folder.call(&["runs", "drive", "--all"]).expect(4, &[]);

    let approved = folder
        .call(&["review", "approve", review["review_id"].as_str().unwrap(), "--by", "ann"])
        .expect(0, &["run succeeded"]);
    assert_eq!(approved.json(), json!({ "all": ["a", "ask"] }), "the result is the parent's");
}

// R1.3, R1.8
#[test]
fn a_childs_failure_is_its_parents() {
    let folder = project();
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\"]}"]).expect(4, &[]);
    let review = folder.call(&["review", "list", "--json"]).lines().remove(0);
    folder
        .call(&["review", "reject", review["review_id"].as_str().unwrap(), "--by", "ann"])
        .expect(1, &["failed at all@1", "child run", "no"]);
    let all = runs(&folder);
    let (parent, child) = (id(of(&all, "parent")[0]), id(of(&all, "child")[0]));
    folder
        .call(&["runs", "retry", &child])
        .expect(3, &["is a part of run", &format!("bandstand runs retry {parent}")]);
    // Retried, the parent has a child of its own again, which asks again.
    folder.call(&["runs", "retry", &parent, "--no-ask"]).expect(4, &["waits for 1 review"]);
    assert_eq!(of(&runs(&folder), "child").len(), 2);
}

// R1.2: `retry` of the node runs the child anew.
#[test]
fn a_child_that_failed_is_run_anew() {
    let folder = project();
    folder.write("one.wasm", fails_first("{\"n\":1}"));
    let text = CHILD.replace("agent: one,", "agent: one, retry: { strategy: none },");
    folder.write("children/child.yaml", text);
    let retry = "input: { item: \"${{ item }}\" }, retry: { max-retries: 1, strategy: immediate }";
    folder.write("flow.yaml", PARENT.replace("input: { item: \"${{ item }}\" }", retry));
    // It fails in the first attempt of each visit, and a new run's visit is a new one; permanently, so there is no retry.
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"a\"]}"]).expect(1, &["child run"]);
    assert_eq!(of(&runs(&folder), "child").len(), 1);
}

// R5.5: cancel and kill go down, and leave nothing open behind.
#[test]
fn cancelling_and_killing_reach_the_children() {
    for (verb, status) in [("cancel", "cancelled"), ("kill", "killed")] {
        let folder = project();
        folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\", \"ask\"]}"]).expect(4, &[]);
        let parent = id(of(&runs(&folder), "parent")[0]);
        let child = id(of(&runs(&folder), "child")[0]);
        folder.call(&["runs", "delete", &child, "--yes"]).expect(3, &["has not ended"]);
        folder.call(&["runs", verb, &parent, "--yes"]).expect(0, &[status]);
        let all = runs(&folder);
        assert!(all.iter().all(|run| run["status"] == status), "{all:?}");
        assert!(folder.call(&["review", "list", "--json"]).lines().is_empty());
        let history = show(&folder, &child);
        assert_eq!(history["status"], status);
        for run in &all {
            folder.call(&["runs", "replay", &id(run)]).expect(0, &[]);
        }
    }
}

// R5.7: a child that has ended stays as long as its parent goes on.
#[test]
fn an_ended_child_is_kept_for_its_open_parent() {
    let folder = project();
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"a\", \"ask\"]}"]).expect(4, &[]);
    let all = runs(&folder);
    let ended = all.iter().find(|run| run["status"] == "succeeded").unwrap();
    folder
        .call(&["runs", "delete", &id(ended), "--yes"])
        .expect(3, &["is a part of a run that has not ended"]);
    folder.write("bandstand.toml", "[retention]\ncount = 0\n");
    folder.call(&["prune"]).expect(0, &[]);
    assert_eq!(runs(&folder).len(), 3);
    folder.call(&["runs", "cancel", &id(of(&all, "parent")[0]), "--yes"]).expect(0, &[]);
    folder.call(&["prune"]).expect(0, &[]);
    assert!(runs(&folder).is_empty());
}

// R5.6: a child is pinned when its parent starts; rerun and fork take what was pinned.
#[test]
fn changed_files_are_for_new_runs() {
    let folder = project();
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\"]}"]).expect(4, &[]);
    let parent = id(of(&runs(&folder), "parent")[0]);
    folder.write("one.wasm", says("{\"n\":2}"));
    folder.write("children/child.yaml", CHILD.replace("result: \"${{ state.seen }}\"", "result: changed"));
    let rerun = folder.call(&["runs", "rerun", &parent, "--no-ask", "--json"]).expect(4, &[]).last();
    let forked =
        folder.call(&["runs", "fork", &parent, "--from", "all", "--no-ask", "--json"]).expect(4, &[]).last();
    for run in [parent, id(&rerun), id(&forked)] {
        let child =
            id(of(&runs(&folder), "child").into_iter().find(|child| child["parent"] == json!(run)).unwrap());
        let reviews = folder.call(&["review", "list", "--run", &child, "--json"]).lines();
        let ended =
            folder.call(&["review", "approve", reviews[0]["review_id"].as_str().unwrap(), "--by", "ann"]);
        assert_eq!(ended.expect(0, &[]).json(), json!({ "all": ["ask"] }));
    }
    let latest = folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"a\"]}"]).expect(0, &[]);
    assert_eq!(latest.json(), json!({ "all": ["changed"] }));
}

// R5.1: what the child does not take is told with the child's words, and nothing was recorded of it.
#[test]
fn an_input_that_the_child_does_not_take_fails_the_node() {
    let folder = project();
    folder
        .call(&["run", "flow.yaml", "--input", "{\"items\": [7]}"])
        .expect(1, &["the input does not fit workflow `child`"]);
    assert_eq!(runs(&folder).len(), 1);
}

// Sections 7 and 10: what is wrong with a child is told when its parent is checked.
#[test]
fn a_faulty_child_is_told_with_its_parent() {
    let folder = project();
    folder.call(&["check", "flow.yaml"]).expect(0, &["of child workflow child: one ("]);
    folder.write("children/child.yaml", "{ no: [yaml");
    let told = folder.call(&["check", "flow.yaml"]).expect(2, &[]).stdout;
    assert_eq!(told.matches("BW601").count(), 1, "{told}");
    folder.write("children/child.yaml", CHILD.replace("version: 2", "version: 3"));
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": []}"]).expect(2, &["BW605", "version: 3"]);
    folder.write("children/child.yaml", CHILD.replace("state.seen }}", "state.saw }}"));
    folder
        .call(&["run", "flow.yaml", "--input", "{\"items\": []}"])
        .expect(2, &["BW601", "has 1 error", "BW314", "children/child.yaml:", "state.saw"]);
    folder.write("children/child.yaml", CHILD.replace("../one.wasm", "../two.wasm"));
    let told = folder.call(&["check", "flow.yaml"]).expect(2, &[]).stdout;
    assert!(told.contains("two.wasm") && told.contains("--> children/child.yaml:"), "{told}");
    folder.write(
        "children/child.yaml",
        CHILD.replace("nodes:", "workflows: { up: { path: ../flow.yaml, version: 1 } }\nnodes:"),
    );
    let told = folder.call(&["check", "flow.yaml"]).expect(2, &[]).stdout;
    assert!(told.contains("BW606"), "{told}");
}

// R5.5: a parent that ends when nobody drove it before leaves no child behind, and whoever looks sees them ended.
#[test]
fn a_parent_that_ends_elsewhere_leaves_no_child_behind() {
    let folder = project();
    let timeout = PARENT.replace("do: { workflow: child,", "do: { workflow: child, timeout: 1ms,");
    folder.write("flow.yaml", timeout);
    let ended = folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\", \"ask\"]}"]);
    // A deadline behind which only people are asked is not waited for: whoever drives it next finds it overdue.
    if ended.code == 4 {
        let parent = id(of(&runs(&folder), "parent")[0]);
        folder.call(&["runs", "drive", &parent, "--no-ask"]).expect(1, &["child run did not end within"]);
    } else {
        ended.expect(1, &["child run did not end within"]);
    }
    let all = runs(&folder);
    assert!(of(&all, "child").iter().all(|child| child["status"] == "cancelled"), "{all:?}");

    // One child's end is the block's: the other one is cancelled by the process that answers.
    folder.write("flow.yaml", PARENT.replace("join: all", "join: any"));
    folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\", \"ask\"]}"]).expect(4, &[]);
    let reviews = folder.call(&["review", "list", "--json"]).lines();
    assert_eq!(reviews.len(), 2);
    let first = reviews[0]["review_id"].as_str().unwrap();
    folder.call(&["review", "approve", first, "--by", "ann"]).expect(0, &["run succeeded"]);
    assert!(runs(&folder).iter().all(|run| run["status"] != "waiting"));
    assert!(folder.call(&["review", "list", "--json"]).lines().is_empty());
}

// R5.3: what a parent waits for is told, also by the signals of its children.
#[test]
fn a_parent_says_which_child_it_waits_for_and_what_that_waits_for() {
    let folder = project();
    folder.write("children/child.yaml", CHILD.replace("ask: { review: { title: Go on?, propose: { item: \"${{ input.item }}\" } }, approved: end, rejected: refuse }", "ask: { wait: { signal: go }, next: end }").replace("  refuse: { fail: { code: refused, message: no } }\n", ""));
    let waits = folder.call(&["run", "flow.yaml", "--input", "{\"items\": [\"ask\"]}"]);
    waits.expect(4, &["signal go, for its child run", "bandstand runs signal"]);
    let all = runs(&folder);
    let (parent, child) = (id(of(&all, "parent")[0]), id(of(&all, "child")[0]));
    assert_eq!(show(&folder, &parent)["waiting_for"][0]["run_id"], json!(child));
    let text = folder.call(&["runs", "show", &parent]).expect(0, &[]).stdout;
    assert!(text.contains(&format!("child run {child} at all@1[0]@1")), "{text}");
    let refused = folder.call(&["runs", "signal", &parent, "go"]);
    refused.expect(3, &["a child of it waits for signal go", &format!("bandstand runs signal {child} go")]);
    let sent = folder.call(&["runs", "signal", &child, "go"]).expect(0, &["run succeeded"]);
    assert_eq!(sent.json(), json!({ "all": ["ask"] }));
}
