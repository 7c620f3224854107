//! R3: routes by confidence, conditional edges, loops.

use bandstand_engine::event::{EdgeCause, RouteDecided};
use bandstand_engine::{Class, Event};
use bandstand_rules::{Table, chooses, says};
use serde_json::json;

const ROUTED: &str = "
format: 1
name: routed
version: 1
plugins: { p: { builtin: echo } }
nodes:
  pick:
    agent: p
    route: { to: { law: law, sales: sales }, default: other }
  law: { value: { went: law, routing: \"${{ nodes.pick.routing }}\" }, next: end }
  sales: { value: { went: sales }, next: end }
  other: { value: { went: other }, next: end }
";

fn decided(table: &Table) -> RouteDecided {
    let found = table.journal.iter().find_map(|(_, event)| match event {
        Event::RouteDecided(decided) => Some(decided.clone()),
        _ => None,
    });
    found.expect("a route was decided")
}

// R3.1
#[test]
fn the_highest_confidence_wins_and_ties_break_by_declaration() {
    for (options, went) in [
        (vec![("sales", 0.9), ("law", 0.8)], "sales"),
        (vec![("sales", 0.8), ("law", 0.8)], "law"),
        (vec![], "other"),
    ] {
        let mut table = Table::start(ROUTED, json!({}));
        table.reply("pick@1#1", chooses(&options));
        assert_eq!(table.output()["went"], went, "{options:?}");
    }
}

// R3.2
#[test]
fn the_decision_is_recorded_with_every_alternative() {
    let mut table = Table::start(ROUTED, json!({}));
    table.reply("pick@1#1", chooses(&[("x", 0.1), ("law", 0.8), ("sales", 0.5)]));
    let route = decided(&table);
    assert_eq!(route.p.to_string(), "pick@1");
    assert_eq!(
        (route.decision.as_deref(), route.confidence, route.threshold),
        (Some("law"), Some(0.8), 0.75)
    );
    let names: Vec<&str> = route.alternatives.iter().map(|choice| choice.name.as_str()).collect();
    assert_eq!(names, ["sales", "x"]);
    assert_eq!(
        table.output()["routing"],
        json!({
            "decision": "law", "confidence": 0.8, "threshold": 0.75, "below": false,
            "alternatives": [
                { "name": "sales", "confidence": 0.5, "reason": null },
                { "name": "x", "confidence": 0.1, "reason": null },
            ],
        })
    );
}

// R3.3
#[test]
fn below_the_threshold_the_alert_is_recorded_and_the_winner_goes_on_without_another_edge() {
    let mut table = Table::start(ROUTED, json!({}));
    table.reply("pick@1#1", chooses(&[("law", 0.7499), ("sales", 0.2)]));
    assert!(decided(&table).below);
    assert_eq!(table.output()["went"], "law");
}

// R3.5
#[test]
fn an_unknown_route_is_an_error_that_names_it_and_the_declared_ones() {
    let mut table = Table::start(ROUTED, json!({}));
    table.reply("pick@1#1", chooses(&[("marketing", 0.9), ("law", 0.8)]));
    assert_eq!(table.failed(), (Class::Route, "unknown-route".to_owned()));
    let message = &table.run.error().unwrap().failure.message;
    assert!(message.contains("`marketing`") && message.contains("`law`, `sales`"), "{message}");
}

// R3.2: the engine is handed what no JSON can hold, found by the fuzzer; the sandbox lets none of it through.
#[test]
fn a_confidence_beyond_its_bounds_fails_the_attempt_and_never_enters_the_journal() {
    for sure in [f64::INFINITY, f64::NAN, 1.5, -0.1] {
        // Also where the choices decide nothing.
        for text in [ROUTED, &ROUTED.replace("route: {", "route: { options: output.scores,")] {
            let mut table = Table::start(text, json!({}));
            table.reply("pick@1#1", chooses(&[("law", 0.5), ("sales", sure)]));
            let failed = table.journal.iter().find_map(|(_, event)| match event {
                Event::AttemptFailed(failed) => Some(failed.error.failure.clone()),
                _ => None,
            });
            let failure = failed.expect("the attempt failed");
            assert_eq!((failure.class, failure.code.as_str()), (Class::InvalidOutput, "bad-reply"));
            assert!(failure.message.contains("`sales`"), "{}", failure.message);
        }
    }
}

#[test]
fn options_come_from_an_expression_in_either_shape() {
    let text = ROUTED.replace("route: {", "route: { options: output.scores,");
    for scores in [
        json!({ "law": 0.9, "sales": 0.1 }),
        json!([{ "name": "law", "confidence": 0.9, "reason": "words" }]),
    ] {
        let mut table = Table::start(&text, json!({}));
        table.done("pick@1#1", json!({ "scores": scores }));
        assert_eq!(table.output()["went"], "law");
    }
    for scores in
        [json!("law"), json!({ "law": "high" }), json!({ "law": 1.5 }), json!([{ "confidence": 1 }])]
    {
        let mut table = Table::start(&text, json!({}));
        table.done("pick@1#1", json!({ "scores": scores }));
        assert_eq!(table.failed(), (Class::Route, "bad-options".to_owned()));
    }
}

#[test]
fn no_options_and_no_default_is_an_error() {
    let mut table = Table::start(
        &ROUTED
            .replace(", default: other", "")
            .replace("  other: { value: { went: other }, next: end }\n", ""),
        json!({}),
    );
    table.done("pick@1#1", json!({}));
    assert_eq!(table.failed(), (Class::Route, "no-route".to_owned()));
}

const LOOP: &str = "
format: 1
name: loop
version: 1
plugins: { p: { builtin: echo } }
limits: { max-steps: 10 }
state: { n: { reduce: sum } }
nodes:
  a:
    agent: p
    update: { n: 1 }
    next:
      - { when: \"output.stop and state.n >= 2\", to: end }
      - { when: \"output.skip\", to: b }
      - { to: a }
  b: { next: a }
result: \"${{ state.n }}\"
";

// R3.6
#[test]
fn the_first_condition_that_holds_wins_and_the_reason_is_recorded() {
    let mut table = Table::start(LOOP, json!({}));
    table.done("a@1#1", json!({ "stop": true, "skip": true }));
    table.done("a@2#1", json!({ "stop": false, "skip": false }));
    table.done("a@3#1", json!({ "stop": true, "skip": true }));
    assert_eq!(table.output(), json!(3));
    let causes: Vec<EdgeCause> = table
        .journal
        .iter()
        .filter_map(|(_, event)| match event {
            Event::EdgeTaken(edge) => Some(edge.because.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [EdgeCause::When(1), EdgeCause::Next, EdgeCause::Next, EdgeCause::When(0)]);
}

// R3.6
#[test]
fn a_loop_is_bounded_by_max_steps_and_nothing_in_its_scope_catches_that() {
    let mut table = Table::start(
        &LOOP.replace("    update: { n: 1 }", "    update: { n: 1 }\n    on-failure: end"),
        json!({}),
    );
    for visit in 1..=10 {
        table.done(&format!("a@{visit}#1"), json!({ "stop": false, "skip": false }));
    }
    assert_eq!(table.failed(), (Class::Limit, "max-steps".to_owned()));
    let message = &table.run.error().unwrap().failure.message;
    assert!(message.contains("10") && message.contains("limits.max-steps"), "{message}");
}

#[test]
fn a_condition_that_is_no_boolean_is_a_failure() {
    let mut table = Table::start(LOOP, json!({}));
    table.done("a@1#1", json!({ "stop": false, "skip": "yes" }));
    assert_eq!(table.failed(), (Class::Expression, "not-bool".to_owned()));
}

#[test]
fn a_jump_must_be_declared() {
    let text = "
format: 1
name: jump
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, goto: [c], next: b }
  b: { value: { at: b }, next: end }
  c: { value: { at: c }, next: end }
";
    let go = |to: &str| bandstand_engine::input::Reply {
        next: bandstand_engine::input::ReplyNext::Goto(to.to_owned()),
        ..says(json!({}))
    };
    let mut table = Table::start(text, json!({}));
    table.reply("a@1#1", go("c"));
    assert_eq!(table.output(), json!({ "at": "c" }));
    let mut table = Table::start(text, json!({}));
    table.reply("a@1#1", go("b"));
    assert_eq!(table.failed().1, "undeclared-goto");
}

#[test]
fn choices_that_no_route_asked_for_are_a_warning() {
    let mut table = Table::start(
        "format: 1\nname: w\nversion: 1\nplugins: { p: { builtin: echo } }\nnodes: { a: { agent: p, next: end } }\n",
        json!({}),
    );
    table.reply("a@1#1", chooses(&[("x", 1.0)]));
    assert_eq!(table.count("warning"), 1);
    assert_eq!(table.output(), json!({}));
}

#[test]
fn a_long_loop_of_pure_steps_is_cut_into_decisions() {
    let text = "
format: 1
name: spin
version: 1
limits: { max-steps: 5000 }
state: { n: { reduce: sum } }
nodes:
  a: { update: { n: 1 }, next: [{ when: \"state.n >= 2000\", to: end }, { to: a }] }
result: \"${{ state.n }}\"
";
    let mut table = Table::start(text, json!({}));
    let mut ticks = 0;
    while !table.run.status().is_ended() {
        assert_eq!(table.run.next_deadline(), Some(table.now), "it asks to go on at once");
        table.pass(0);
        ticks += 1;
    }
    assert_eq!(table.output(), json!(2000));
    assert!(ticks > 3, "{ticks}");
}
