//! Section 6: `cache`. An agent's success is kept and used again for equal visits, without an attempt (R1).

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::event::{CachedFrom, Kept, PluginPin};
use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::input::{Reply, ReplyNext};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Class, Event, Outcome, Status};
use bandstand_rules::{START, Table, asks, chooses, graph, permanent, recoverable, says};
use serde_json::{Value, json};

fn one(cache: &str, more: &str) -> String {
    format!(
        "
format: 1
name: kept
version: 1
plugins: {{ p: {{ path: p.wasm }} }}
state: {{ total: {{ reduce: sum, initial: 0 }} }}
nodes:
  a: {{ agent: p, input: {{ text: \"${{{{ input.text }}}}\" }}, cache: {cache}, retry: {{ base-delay: 1s }}, {more} }}
  b: {{ value: {{}}, next: end }}
"
    )
}

const HOUR: &str = "{ for: 1h }";

fn key(table: &Table) -> String {
    table.run.cache_key(&table.owed()[0]).expect("its node keeps replies")
}

fn key_of(text: &str, input: Value, change: impl FnOnce(NewRun) -> NewRun) -> String {
    let graph = graph(text);
    let new = change(Table::new_run(&graph, "run-1", input));
    key(&Table::start_new(graph, new))
}

fn kept(table: &Table) -> Vec<Kept> {
    let events = table.journal.iter();
    events
        .filter_map(|(_, event)| match event {
            Event::NodeSucceeded(e) => e.kept.clone(),
            _ => None,
        })
        .collect()
}

#[test]
fn a_success_is_kept_under_the_key_that_it_was_looked_for_with() {
    let mut table = Table::start(&one(HOUR, "next: end"), json!({ "text": "x" }));
    let looked_for = key(&table);
    table.now = START.plus_ms(5);
    table.done("a@1#1", json!({ "n": 1 }));
    assert_eq!(kept(&table), [Kept { key: looked_for, until: START.plus_ms(3_600_005) }]);
}

#[test]
fn a_hit_ends_the_visit_without_an_attempt_of_its_own() {
    let mut table =
        Table::start(&one(HOUR, "update: { total: \"${{ output.n }}\" }, next: end"), json!({ "text": "x" }));
    let reply = Reply { confidence: Some(0.5), ..says(json!({ "n": 4 })) };
    let decision = table.cached("a@1#1", reply);
    assert_eq!((decision.outcome, decision.closed.len()), (Outcome::Changed, 1));
    assert_eq!(table.output(), json!({ "n": 4 }));
    assert_eq!(table.state()["total"], json!(4), "its writes are made as if it had been called");
    assert_eq!((table.count("attempt.succeeded"), table.count("node.succeeded")), (0, 1));
    let succeeded = table.journal.iter().find_map(|(_, event)| match event {
        Event::NodeSucceeded(e) => Some(e.clone()),
        _ => None,
    });
    let succeeded = succeeded.unwrap();
    let from = CachedFrom { run: "run-0".to_owned(), p: "before@1".parse().unwrap() };
    assert_eq!((succeeded.cached_from, succeeded.kept), (Some(from), None), "what is used is not kept anew");
    assert_eq!(succeeded.confidence, Some(0.5));
}

#[test]
fn what_makes_two_visits_equal() {
    let text = one("{ for: 1h, key: \"input.who\" }", "next: end");
    let same = |new: NewRun| NewRun { run_id: "another".to_owned(), thread_id: None, seed: 1, ..new };
    let plugin = |new: NewRun| {
        let plugins = new.plugins.into_keys().map(|id| (id, PluginPin { digest: "sha256:11".to_owned() }));
        NewRun { plugins: plugins.collect::<BTreeMap<_, _>>(), ..new }
    };
    let first = key_of(&text, json!({ "text": "x", "who": "ann" }), |new| new);
    assert_eq!(first, key_of(&text, json!({ "text": "x", "who": "ann", "more": 1 }), same), "another run");
    let others = [
        key_of(&text, json!({ "text": "y", "who": "ann" }), |new| new),
        key_of(&text, json!({ "text": "x", "who": "bob" }), |new| new),
        key_of(&text, json!({ "text": "x", "who": ["ann"] }), |new| new),
        key_of(&text, json!({ "text": "x", "who": null }), |new| new),
        key_of(&text, json!({ "text": "x", "who": "ann" }), plugin),
        key_of(&text.replace("name: kept", "name: other"), json!({ "text": "x", "who": "ann" }), |new| new),
        key_of(&one(HOUR, "next: end"), json!({ "text": "x", "who": "ann" }), |new| new),
    ];
    for (index, other) in others.iter().enumerate() {
        assert!(*other != first && !others[..index].contains(other), "number {index} is like another");
    }
    // The node's name, its limits and how long things are kept make no difference.
    let renamed = text
        .replace(" a: {", " c: {")
        .replace("for: 1h", "for: 2d")
        .replace("agent: p,", "agent: p, timeout: 9s,");
    assert_eq!(first, key_of(&renamed, json!({ "text": "x", "who": "ann" }), |new| new));
}

// R8.5: functions of one component are different agents.
#[test]
fn the_function_of_a_component_is_part_of_the_key() {
    let key_of_function = |function: Option<&str>| {
        let mut graph = graph(&one(HOUR, "next: end"));
        let plugin = Arc::make_mut(&mut graph).plugins.get_mut("p").unwrap();
        plugin.function = function.map(str::to_owned);
        let new = Table::new_run(&graph, "run-1", json!({ "text": "x" }));
        key(&Table::start_new(graph, new))
    };
    let agent = key_of_function(None);
    assert_eq!(agent, key_of(&one(HOUR, "next: end"), json!({ "text": "x" }), |new| new), "as ever");
    let (one, other) = (key_of_function(Some("a:b/c#one")), key_of_function(Some("a:b/c#other")));
    assert!(one != other && one != agent && other != agent);
}

#[test]
fn who_shares_what_is_kept() {
    let of = |scope: &str, run: &str, thread: Option<&str>| {
        let text = one(&format!("{{ for: 1h, scope: {scope} }}"), "next: end");
        key_of(&text, json!({ "text": "x" }), |new| NewRun {
            run_id: run.to_owned(),
            thread_id: thread.map(str::to_owned),
            ..new
        })
    };
    assert_eq!(of("workflow", "r1", Some("t1")), of("workflow", "r2", None));
    assert_eq!(of("thread", "r1", Some("t1")), of("thread", "r2", Some("t1")));
    assert_ne!(of("thread", "r1", Some("t1")), of("thread", "r1", Some("t2")));
    assert_ne!(of("thread", "r1", Some("t1")), of("workflow", "r1", Some("t1")));
    assert_ne!(of("run", "r1", Some("t1")), of("run", "r2", Some("t1")));
    assert_eq!(of("thread", "r1", None), of("run", "r1", None), "a run without a thread is alone");
}

#[test]
fn replies_that_jump_or_ask_and_failures_are_not_kept() {
    // R1
    let mut table = Table::start(&one(HOUR, "goto: [b], next: end"), json!({ "text": "x" }));
    table.reply("a@1#1", Reply { next: ReplyNext::Goto("b".to_owned()), ..says(json!({})) });
    assert_eq!((table.run.status(), kept(&table)), (Status::Succeeded, vec![]));

    let mut table = Table::start(&one(HOUR, "next: end"), json!({ "text": "x" }));
    table.reply("a@1#1", asks(json!({}), "is it so?"));
    let review = table.review();
    let answer = table.answer(&review, "ann", Approved);
    table.handle(bandstand_engine::Input::Answer(answer)).unwrap();
    assert_eq!((table.run.status(), kept(&table)), (Status::Succeeded, vec![]));

    let mut table = Table::start(&one(HOUR, "on-failure: { value: {} }, next: end"), json!({ "text": "x" }));
    table.fail("a@1#1", permanent());
    assert_eq!(
        (table.run.status(), kept(&table)),
        (Status::Succeeded, vec![]),
        "what stands in is no success"
    );

    // Its reply was good, but the visit failed by it.
    let mut table =
        Table::start(&one(HOUR, "update: { total: \"${{ output.n }}\" }, next: end"), json!({ "text": "x" }));
    table.done("a@1#1", json!({ "n": "one" }));
    assert_eq!((table.run.status(), kept(&table)), (Status::Failed, vec![]));
}

#[test]
fn choices_are_kept_and_decide_again() {
    let text = one(HOUR, "route: { to: { left: b, right: end } }");
    let mut table = Table::start(&text, json!({ "text": "x" }));
    table.reply("a@1#1", chooses(&[("left", 0.9), ("right", 0.2)]));
    assert_eq!(kept(&table).len(), 1);
    let mut table = Table::start(&text, json!({ "text": "x" }));
    table.cached("a@1#1", chooses(&[("left", 0.9), ("right", 0.2)]));
    assert_eq!((table.run.status(), table.count("route.decided")), (Status::Succeeded, 1));
    assert_eq!(table.names().iter().filter(|name| **name == "node.started").count(), 2, "it went left");
}

#[test]
fn a_hit_that_does_not_serve_leaves_the_call_to_be_made() {
    let more = "update: { total: \"${{ output.n }}\" }, goto: [b], next: end";
    let text = one(HOUR, more).replace("version: 1", "version: 1\nlimits: { payload: 1KiB }");
    let mut table = Table::start(&text, json!({ "text": "x" }));
    let before = table.run.seq();
    let goto = Reply { next: ReplyNext::Goto("b".to_owned()), ..says(json!({ "n": 1 })) };
    let odd = Reply { confidence: Some(3.0), ..says(json!({ "n": 1 })) };
    let long = says(json!({ "n": 1, "text": "x".repeat(2_000) }));
    for reply in [says(json!([1])), long, odd, goto, asks(json!({}), "?"), says(json!({ "n": "one" }))] {
        assert_eq!(table.cached("a@1#1", reply).outcome, Outcome::Unchanged);
    }
    assert_eq!((table.run.seq(), table.owed_text()), (before, vec!["a@1#1".to_owned()]));
    table.done("a@1#1", json!({ "n": 2 }));
    assert_eq!(table.state()["total"], json!(2));
}

#[test]
fn a_node_that_keeps_nothing_takes_no_hit() {
    let text = one(HOUR, "next: end").replace("cache: { for: 1h }, ", "");
    let mut table = Table::start(&text, json!({ "text": "x" }));
    assert_eq!(table.run.cache_key(&table.owed()[0]), None);
    assert_eq!(table.cached("a@1#1", says(json!({}))).outcome, Outcome::Unchanged);
    table.done("a@1#1", json!({}));
    assert_eq!(kept(&table), []);
}

#[test]
fn a_late_hit_is_stale_and_a_retry_may_be_one() {
    let mut table = Table::start(&one(HOUR, "next: end"), json!({ "text": "x" }));
    table.fail("a@1#1", recoverable());
    assert_eq!(table.cached("a@1#1", says(json!({}))).outcome, Outcome::Stale);
    assert_eq!(table.cached("a@1#2", says(json!({}))).outcome, Outcome::Stale, "it waits for its time");
    table.pass(1_000);
    assert_eq!(table.cached("a@1#2", says(json!({ "n": 1 }))).outcome, Outcome::Changed);
    assert_eq!(table.output(), json!({ "n": 1 }));
}

#[test]
fn a_key_that_cannot_be_evaluated_fails_the_visit() {
    let text = one("{ for: 1h, key: \"input.who\" }", "next: end");
    let table = Table::start(&text, json!({ "text": "x" }));
    assert_eq!(table.failed(), (Class::Expression, "undefined".to_owned()));
}

#[test]
fn the_key_is_evaluated_once_and_survives_the_journal() {
    let text = one("{ for: 1h, key: \"now\" }", "next: end");
    let mut table = Table::start(&text, json!({ "text": "x" }));
    let first = key(&table);
    table.now = START.plus_ms(700);
    table.fail("a@1#1", recoverable());
    table.pass(1_000);
    assert_eq!(key(&table), first, "the second attempt is of the same visit");
    table.done("a@1#2", json!({}));
    assert_eq!(kept(&table)[0].key, first);
}

#[test]
fn a_fork_looks_under_its_own_keys() {
    let text = one("{ for: 1h, scope: run }", "next: end");
    let table = Table::start(&text, json!({ "text": "x" }));
    let fork = table.fork(table.run.seq(), &[]).unwrap();
    assert_eq!(fork.owed_text(), ["a@1#1"]);
    assert_ne!(key(&fork), key(&table));
    // The workflow as it is now has another key: what was entered before has none, and keeps nothing.
    let newer = graph(&one("{ for: 1h, key: \"input.text\" }", "next: end"));
    let mut fork = table.fork_with(newer, table.run.seq(), &[]).unwrap();
    assert_eq!(fork.run.cache_key(&fork.owed()[0]), None);
    fork.done("a@1#1", json!({}));
    assert_eq!(kept(&fork), []);
}
