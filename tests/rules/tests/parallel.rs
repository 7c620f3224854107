//! R4: branches, items, joins.

use bandstand_engine::{Class, Event};
use bandstand_rules::{Table, permanent};
use serde_json::json;

fn fan(join: &str, rest: &str) -> String {
    format!(
        "
format: 1
name: fan
version: 1
plugins: {{ p: {{ builtin: echo }} }}
state: {{ log: {{ reduce: append }}, n: {{ reduce: sum }} }}
nodes:
  fan:
    parallel:
      {join}
      branches:
        a: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [a], n: 1 }} }}
        b:
          nodes:
            one: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [b1], n: 1 }}, next: two }}
            two: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [b2], n: 1 }}, next: end }}
        c: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [c], n: 1 }} }}
    {rest}
    next: end
result: {{ out: \"${{{{ output }}}}\", log: \"${{{{ state.log }}}}\", n: \"${{{{ state.n }}}}\" }}
"
    )
}

// R4.1, R4.4
#[test]
fn branches_start_together_and_are_gathered_by_name() {
    let mut table = Table::start(&fan("join: all", ""), json!({}));
    assert_eq!(table.owed_text(), ["fan@1/a@1#1", "fan@1/b/one@1#1", "fan@1/c@1#1"]);
    table.done("fan@1/c@1#1", json!({ "r": "c" }));
    table.done("fan@1/b/one@1#1", json!({ "r": "b1" }));
    table.done("fan@1/a@1#1", json!({ "r": "a" }));
    table.done("fan@1/b/two@1#1", json!({ "r": "b2" }));
    let output = table.output();
    assert_eq!(output["out"]["results"], json!({ "a": { "r": "a" }, "b": { "r": "b2" }, "c": { "r": "c" } }));
    assert_eq!(output["out"]["errors"], json!({}));
    // Operations are replayed by declared branch, whatever came first.
    assert_eq!((&output["log"], &output["n"]), (&json!(["a", "b1", "b2", "c"]), &json!(4)));
}

// R4.3
#[test]
fn one_failing_branch_stops_no_other_when_they_settle() {
    let mut table = Table::start(&fan("join: settle", ""), json!({}));
    table.fail("fan@1/a@1#1", permanent());
    table.done("fan@1/b/one@1#1", json!({}));
    table.done("fan@1/c@1#1", json!({}));
    table.done("fan@1/b/two@1#1", json!({}));
    let output = table.output();
    assert_eq!(output["out"]["errors"]["a"]["code"], "no-luck");
    assert_eq!(output["log"], json!(["b1", "b2", "c"]));
}

// R4.3
#[test]
fn settle_fails_when_all_failed_or_too_many() {
    let mut table = Table::start(&fan("join: settle", ""), json!({}));
    for id in ["fan@1/a@1#1", "fan@1/b/one@1#1", "fan@1/c@1#1"] {
        table.fail(id, permanent());
    }
    assert_eq!(table.failed(), (Class::Join, "all-failed".to_owned()));
    let mut table = Table::start(&fan("max-errors: 40%", ""), json!({}));
    table.fail("fan@1/a@1#1", permanent());
    assert!(!table.run.status().is_ended());
    table.fail("fan@1/c@1#1", permanent());
    assert_eq!(table.failed(), (Class::Join, "too-many-errors".to_owned()));
    assert_eq!(table.count("attempt.cancelled"), 1);
}

// R4.3
#[test]
fn all_ends_with_the_first_failure_and_cancels_the_others() {
    let mut table = Table::start(
        &fan(
            "join: all",
            "on-failure: { value: { got: \"${{ error.results }}\", code: \"${{ error.code }}\" } }",
        ),
        json!({}),
    );
    table.done("fan@1/c@1#1", json!({ "r": 1 }));
    table.fail("fan@1/b/one@1#1", permanent());
    assert!(table.owed().is_empty());
    let output = table.output();
    assert_eq!(output["out"], json!({ "got": { "c": { "r": 1 } }, "code": "branch-failed" }));
    assert_eq!(output["log"], json!([]), "a failed block that is caught replays nothing");
}

// R4.3
#[test]
fn any_and_quorum_count_exactly_the_winners() {
    let mut table = Table::start(&fan("join: any", ""), json!({}));
    table.done("fan@1/c@1#1", json!({ "r": "c" }));
    let output = table.output();
    assert_eq!((&output["out"]["results"], &output["log"]), (&json!({ "c": { "r": "c" } }), &json!(["c"])));

    let mut table = Table::start(&fan("join: { quorum: 2 }", ""), json!({}));
    table.done("fan@1/c@1#1", json!({}));
    table.done("fan@1/a@1#1", json!({}));
    assert_eq!(table.output()["log"], json!(["a", "c"]));

    let mut table = Table::start(&fan("join: { quorum: 2 }", ""), json!({}));
    table.fail("fan@1/c@1#1", permanent());
    table.fail("fan@1/a@1#1", permanent());
    assert_eq!(table.failed(), (Class::Join, "quorum-lost".to_owned()));
}

// R4.6
#[test]
fn a_branch_starts_as_soon_as_what_it_needs_is_there() {
    let text = "
format: 1
name: dag
version: 1
plugins: { p: { builtin: echo } }
state: { seen: { reduce: append } }
nodes:
  load:
    parallel:
      branches:
        a: { agent: p, retry: { strategy: none }, update: { seen: [a] } }
        b: { agent: p, retry: { strategy: none } }
        c: { after: [a], agent: p, input: { from: \"${{ branches.a.result.x }}\", seen: \"${{ state.seen }}\" } }
        d: { after: [a, b], agent: p }
        e: { after: [d], agent: p }
    next: end
result: \"${{ output }}\"
";
    let mut table = Table::start(text, json!({}));
    assert_eq!(table.owed_text(), ["load@1/a@1#1", "load@1/b@1#1"]);
    table.done("load@1/a@1#1", json!({ "x": 7 }));
    assert_eq!(table.owed_text(), ["load@1/b@1#1", "load@1/c@1#1"]);
    assert_eq!(table.input_of("load@1/c@1#1"), json!({ "from": 7, "seen": ["a"] }));
    table.fail("load@1/b@1#1", permanent());
    table.done("load@1/c@1#1", json!({}));
    let output = table.output();
    assert_eq!(output["errors"]["d"]["code"], "needs");
    assert_eq!(output["errors"]["e"]["code"], "needs");
    assert_eq!(output["results"], json!({ "a": { "x": 7 }, "c": {} }));
}

// R4.2
#[test]
fn a_map_is_bounded_and_keeps_input_order() {
    let text = "
format: 1
name: each
version: 1
plugins: { p: { builtin: echo } }
nodes:
  each:
    map:
      over: input.list
      as: word
      concurrency: 2
      do: { agent: p, input: { word: \"${{ word }}\", n: \"${{ word_index }}\" }, retry: { strategy: none } }
      result: { was: \"${{ word }}\", len: \"${{ output.len }}\" }
    next: end
result: \"${{ output }}\"
";
    let mut table = Table::start(text, json!({ "list": ["a", "bb", "ccc", "dddd"] }));
    assert_eq!(table.owed_text(), ["each@1[0]@1#1", "each@1[1]@1#1"]);
    table.done("each@1[1]@1#1", json!({ "len": 2 }));
    assert_eq!(table.owed_text(), ["each@1[0]@1#1", "each@1[2]@1#1"]);
    assert_eq!(table.input_of("each@1[2]@1#1"), json!({ "word": "ccc", "n": 2 }));
    table.fail("each@1[2]@1#1", permanent());
    table.done("each@1[3]@1#1", json!({ "len": 4 }));
    table.now = table.now.plus_ms(5);
    table.done("each@1[0]@1#1", json!({ "len": 1 }));
    let output = table.output();
    assert_eq!(
        output["results"],
        json!([{ "was": "a", "len": 1 }, { "was": "bb", "len": 2 }, { "was": "dddd", "len": 4 }])
    );
    assert_eq!(output["errors"][0]["index"], 2);
    assert_eq!(output["errors"][0]["item"], "ccc");
    // R4.5
    assert_eq!(output["times"], json!([5, 0, 0, 0]));

    let empty = Table::start(text, json!({ "list": [] }));
    assert_eq!(empty.output(), json!({ "results": [], "errors": [], "times": [] }));
    let wrong = Table::start(text, json!({ "list": "abc" }));
    assert_eq!(wrong.failed(), (Class::Expression, "not-a-list".to_owned()));
}

// R4.5
#[test]
fn time_is_recorded_for_each_branch_and_for_the_whole() {
    let mut table = Table::start(&fan("join: all", ""), json!({}));
    table.now = table.now.plus_ms(10);
    table.done("fan@1/a@1#1", json!({}));
    table.done("fan@1/c@1#1", json!({}));
    table.done("fan@1/b/one@1#1", json!({}));
    table.now = table.now.plus_ms(30);
    table.done("fan@1/b/two@1#1", json!({}));
    assert_eq!(table.output()["out"]["times"], json!({ "a": 10, "b": 40, "c": 10 }));
    let whole = table.journal.iter().find_map(|(_, event)| match event {
        Event::NodeSucceeded(node) if node.p.to_string() == "fan@1" => Some(node.took_ms),
        _ => None,
    });
    assert_eq!(whole, Some(40));
}

#[test]
fn a_block_that_takes_too_long_cancels_what_is_inside() {
    let mut table = Table::start(&fan("join: all", "timeout: 1m"), json!({}));
    table.done("fan@1/a@1#1", json!({}));
    table.pass(59_999);
    assert!(!table.run.status().is_ended());
    table.pass(1);
    assert_eq!(table.failed(), (Class::Timeout, "block-timeout".to_owned()));
    assert!(table.owed().is_empty());
}

#[test]
fn a_private_channel_is_never_joined() {
    let text = "
format: 1
name: private
version: 1
plugins: { p: { builtin: echo } }
state: { own: { reduce: sum, keep: branch }, all: { reduce: sum } }
nodes:
  fan:
    parallel:
      join: all
      branches:
        a:
          nodes:
            x: { update: { own: 1, all: 1 }, next: y }
            y: { update: { own: 1, all: 1 }, next: [{ when: \"state.own == 2\", to: end }, { to: x }] }
        b: { update: { own: 5, all: 1 } }
    next: end
result: { own: \"${{ state.own }}\", all: \"${{ state.all }}\" }
";
    assert_eq!(Table::start(text, json!({})).output(), json!({ "own": 0, "all": 3 }));
}

#[test]
fn cancelling_a_run_closes_everything_that_is_open() {
    let mut table = Table::start(&fan("join: all", ""), json!({}));
    let decision = table.cancel().unwrap();
    assert_eq!(decision.closed.len(), 3);
    assert_eq!(table.run.status(), bandstand_engine::Status::Cancelled);
    assert!(table.cancel().unwrap().events.is_empty());
}
