//! Section 7: signals. Kept by name in order of arrival, checked when they come, taken by the wait that was entered first.

use bandstand_engine::event::WaitCause;
use bandstand_engine::run::Waiting;
use bandstand_engine::{Class, Event, Outcome, Rejected, Status};
use bandstand_rules::{START, Table};
use serde_json::json;

fn waits(wait: &str, more: &str) -> String {
    format!(
        "
format: 1
name: waits
version: 1
plugins: {{ p: {{ path: p.wasm }} }}
state: {{ got: {{ reduce: append }} }}
nodes:
  hear:
    wait: {{ signal: go, {wait} }}
    update: {{ got: [\"${{{{ output }}}}\"] }}
    next: [{{ when: \"visit < 2\", to: hear }}, {{ to: end }}]
{more}
result: \"${{{{ state.got }}}}\"
"
    )
}

#[test]
fn a_wait_ends_with_the_data_of_the_signal_and_owes_nothing_before() {
    let mut table = Table::start(&waits("", ""), json!({}));
    assert_eq!((table.run.status(), table.run.next_deadline()), (Status::Waiting, None));
    let waiting = table.run.waiting();
    assert!(matches!(&waiting[..], [Waiting::Signal { name, deadline: None, .. }] if name.as_str() == "go"));
    table.pass(365 * 24 * 3_600_000);
    table.signal("go", json!({ "n": 1 })).unwrap();
    assert_eq!(table.run.status(), Status::Waiting, "the second visit waits for another");
    table.signal("go", json!(null)).unwrap();
    assert_eq!(table.output(), json!([{ "n": 1 }, null]));
    assert_eq!(table.count("warning"), 0);
}

#[test]
fn signals_that_come_before_their_wait_are_kept_in_order() {
    let text = waits("", "  unused: { wait: { signal: other }, next: end }")
        .replace("nodes:\n  hear:", "start: first\nnodes:\n  first: { agent: p, next: hear }\n  hear:");
    let text = text.replace("{ to: end }]", "{ when: \"false\", to: unused }, { to: end }]");
    let mut table = Table::start(&text, json!({}));
    for n in 1..=3 {
        table.signal("go", json!({ "n": n })).unwrap();
    }
    table.signal("other", json!({})).unwrap();
    assert_eq!(table.count("wait.ended"), 0);
    table.done("first@1#1", json!({}));
    assert_eq!(table.output(), json!([{ "n": 1 }, { "n": 2 }]));
    let warnings: Vec<String> = table
        .journal
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Warning(e) => Some(format!("{}: {}", e.code, e.message)),
            _ => None,
        })
        .collect();
    assert_eq!(warnings, ["unused-signals: no wait took these signals: go (1), other (1)"]);
}

#[test]
fn a_signal_is_refused_that_the_file_never_waits_for_or_that_does_not_fit() {
    let wait = "schema: { type: object, required: [n], properties: { n: { type: number } } }";
    let mut table = Table::start(&waits(wait, ""), json!({}));
    let events = table.journal.len();
    let unknown = table.signal("gone", json!({})).unwrap_err();
    assert_eq!(unknown.to_string(), "this workflow never waits for signal `gone`; it waits for: go");
    let bad = table.signal("go", json!({ "n": "x" })).unwrap_err();
    assert!(bad.to_string().starts_with("the data of signal `go` does not fit: "), "{bad}");
    let deep = (0..70).fold(json!(1), |value, _| json!([value]));
    assert!(matches!(table.signal("go", json!({ "n": 1, "deep": deep })), Err(Rejected::BadSignal { .. })));
    let large = json!({ "n": 1, "text": "x".repeat(1 << 20) });
    assert!(matches!(table.signal("go", large), Err(Rejected::TooLarge { .. })));
    assert_eq!(table.journal.len(), events);
    table.signal("go", json!({ "n": 1 })).unwrap();

    let mut table = Table::start(
        "format: 1\nname: none\nversion: 1\nnodes: { a: { wait: { for: 1h }, next: end } }",
        json!({}),
    );
    let none = table.signal("go", json!({})).unwrap_err();
    assert_eq!(none.to_string(), "this workflow never waits for signal `go`; it waits for none");
}

#[test]
fn the_same_request_again_is_the_same_signal() {
    let mut table = Table::start(&waits("", ""), json!({}));
    assert_eq!(table.signal_by("r", "go", json!(1)).unwrap().outcome, Outcome::Changed);
    assert_eq!(table.signal_by("r", "go", json!(1)).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(table.count("signal.received"), 1);
    table.signal_by("s", "go", json!(2)).unwrap();
    assert_eq!(table.output(), json!([1, 2]));
    // Also after the run has ended; a new one is refused then.
    assert_eq!(table.signal_by("s", "go", json!(2)).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(table.signal_by("t", "go", json!(3)).unwrap_err(), Rejected::Ended("succeeded"));
}

// R2.5: what a request says is not dropped silently.
#[test]
fn a_request_that_says_something_else_is_refused() {
    let mut table = Table::start(&waits("", ""), json!({}));
    table.signal_by("r", "go", json!(1)).unwrap();
    let taken = Err(Rejected::RequestTaken("r".to_owned()));
    assert_eq!(table.signal_by("r", "go", json!(2)).map(|_| ()), taken);
    assert_eq!(table.signal_by("r", "stop", json!(1)).map(|_| ()), taken);
    assert_eq!(table.count("signal.received"), 1);
    // As it was folded, and from a snapshot of a host that kept the names only.
    let mut snapshot = serde_json::to_value(table.run.snapshot()).unwrap();
    let state = snapshot["state"].as_object_mut().unwrap();
    assert_eq!(state["requested"].as_object().map(serde_json::Map::len), Some(1));
    state.remove("requested");
    let older = serde_json::from_value(snapshot).unwrap();
    let older = bandstand_engine::Run::fold(table.run.graph().clone(), Some(older), []).unwrap();
    assert!(older.is_same(&table.run) && table.run.is_same(&older));
    table.run = older;
    assert_eq!(table.signal_by("r", "go", json!(2)).unwrap().outcome, Outcome::Unchanged);
}

// What a run remembers is bounded, and what is forgotten leaves nothing behind.
#[test]
fn the_latest_thousand_requests_are_known_with_what_they_said() {
    let text = "format: 1\nname: w\nversion: 1\nlimits: { max-steps: 2000 }\nnodes:\n  hear:\n    wait: { signal: go }\n    next: [{ when: visit < 1100, to: hear }, { to: end }]\n";
    let mut table = Table::start(text, json!({}));
    for n in 0..1_050 {
        // Without the harness's folding.
        let signal = bandstand_engine::Signal {
            signal_id: format!("s{n}"),
            name: "go".to_owned(),
            data: std::sync::Arc::new(json!(n)),
            by: bandstand_engine::input::By {
                kind: bandstand_engine::input::ActorKind::Agent,
                id: "sensor".to_owned(),
            },
            request_id: Some(format!("r{n}")),
        };
        let decision = table.run.handle(bandstand_engine::Input::Signal(signal), START).unwrap();
        table.journal.extend(decision.events.into_iter().map(|event| (START, event)));
    }
    let snapshot = serde_json::to_value(table.run.snapshot()).unwrap();
    assert_eq!(snapshot["state"]["requests"].as_array().map(Vec::len), Some(1_000));
    let said = snapshot["state"]["requested"].as_object().unwrap();
    assert_eq!(said.len(), 1_000);
    assert!(!said.contains_key("r49") && said.contains_key("r50"));
}

#[test]
fn a_thousand_signals_are_kept_and_the_next_is_refused() {
    let text = waits("", "").replace(
        "nodes:\n  hear:",
        "start: first\nnodes:\n  first: { wait: { for: 1h }, next: hear }\n  hear:",
    );
    let graph = bandstand_rules::graph(&text);
    let mut table = Table::start_graph(graph, json!({}));
    for n in 0..1_000 {
        // Without the harness's folding, which would be a thousand times a thousand.
        let signal = bandstand_engine::Signal {
            signal_id: format!("s{n}"),
            name: "go".to_owned(),
            data: std::sync::Arc::new(json!(n)),
            by: bandstand_engine::input::By {
                kind: bandstand_engine::input::ActorKind::Agent,
                id: "sensor".to_owned(),
            },
            request_id: None,
        };
        let decision = table.run.handle(bandstand_engine::Input::Signal(signal), START).unwrap();
        table.journal.extend(decision.events.into_iter().map(|event| (START, event)));
    }
    let full = table.signal("go", json!(0)).unwrap_err();
    assert!(full.to_string().starts_with("1000 signals that no wait has taken yet are kept"), "{full}");
    table.pass(3_600_000);
    assert_eq!(table.output(), json!([0, 1]));
}

#[test]
fn what_becomes_of_a_wait_that_nobody_signals() {
    let mut table = Table::start(&waits("timeout: 10s", ""), json!({}));
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(10_000)));
    table.pass(9_999);
    assert_eq!(table.count("wait.ended"), 0);
    table.pass(1);
    assert_eq!(table.failed(), (Class::Timeout, "wait-expired".to_owned()));

    let more = "  late: { value: { status: \"${{ nodes.hear.status }}\", output: \"${{ nodes.hear.output }}\" }, update: { got: [\"${{ output }}\"] }, next: end }";
    let mut table = Table::start(&waits("timeout: 10s, on-timeout: { to: late }", more), json!({}));
    table.pass(10_000);
    assert_eq!(table.output(), json!([{ "status": "expired", "output": null }]));
    assert!(
        table
            .journal
            .iter()
            .any(|(_, event)| matches!(event, Event::WaitEnded(e) if e.because == WaitCause::Timeout))
    );

    // In time, the deadline is gone with the wait.
    let mut table = Table::start(&waits("timeout: 10s", ""), json!({}));
    table.now = START.plus_ms(9_000);
    table.signal("go", json!(1)).unwrap();
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(19_000)), "that of the second visit");
}

#[test]
fn of_several_waits_the_one_that_was_entered_first_is_served_first() {
    let text = "
format: 1
name: several
version: 1
nodes:
  fan:
    parallel:
      join: all
      branches:
        late: { nodes: { nap: { wait: { for: 1s }, next: hear }, hear: { wait: { signal: go }, next: end } } }
        soon: { wait: { signal: go } }
    next: end
result: \"${{ nodes.fan.output.results }}\"
";
    let mut table = Table::start(text, json!({}));
    table.pass(1_000);
    table.signal("go", json!("first")).unwrap();
    table.signal("go", json!("second")).unwrap();
    assert_eq!(table.output(), json!({ "late": "second", "soon": "first" }));
}

// A paused run hears signals; nothing starts by them.
#[test]
fn a_signal_ends_the_wait_of_a_paused_run_and_starts_nothing() {
    let text = waits("", "").replace("visit < 2", "visit < 1").replace("{ to: end }", "{ to: work }") + "\n";
    let text = text.replace("result:", "  work: { agent: p, next: end }\nresult:");
    let mut table = Table::start(&text, json!({}));
    table.pause().unwrap();
    table.signal("go", json!(1)).unwrap();
    assert_eq!((table.count("wait.ended"), table.run.status(), table.owed().len()), (1, Status::Paused, 0));
    table.resume().unwrap();
    assert_eq!(table.owed_text(), ["work@1#1"]);
}
