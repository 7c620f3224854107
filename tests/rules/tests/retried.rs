//! R5.5, R4.4: retrying a failed run. What failed is tried again, as the same visit; what finished stays finished.

use bandstand_engine::input::Verdict;
use bandstand_engine::run::{NotRetried, Point};
use bandstand_engine::{Event, Rejected, Status};
use bandstand_rules::{Table, permanent, recoverable};
use serde_json::json;

const PAIR: &str = "\
format: 1
name: pair
version: 1
plugins: { p: { builtin: echo } }
state: { total: { reduce: sum, initial: 0 } }
nodes:
  a: { agent: p, update: { total: 1 }, next: b }
  b: { agent: p, retry: { strategy: fixed, base-delay: 5s, max-retries: 1 }, update: { total: 10 }, next: end }
result: { total: \"${{ state.total }}\" }
";

// R5.5
#[test]
fn the_failed_visit_gets_the_next_attempt_and_a_fresh_budget() {
    let mut table = Table::start(PAIR, json!({}));
    let key = table.run.owed().next().unwrap().idempotency_key("run-1");
    table.done("a@1#1", json!({}));
    table.fail("b@1#1", recoverable());
    table.pass(5_000);
    table.fail("b@1#2", recoverable());
    assert_eq!(table.run.status(), Status::Failed);
    table.now = table.now.plus_ms(60_000);
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["b@1#3"]);
    assert_eq!(table.run.stage(), bandstand_engine::graph::Stage::Init);
    let command = table.run.owed().next().unwrap();
    assert_eq!((command.attempts_max, command.idempotency_key("run-1")), (4, key.replace("a@1", "b@1")));
    // One retry by policy again, after its first delay.
    table.fail("b@1#3", recoverable());
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(5_000)));
    table.pass(5_000);
    table.done("b@1#4", json!({}));
    assert_eq!(table.output(), json!({ "total": 11 }));
    assert_eq!(table.count("node.started"), 2, "nothing was entered twice");
    assert_eq!(table.count("run.retried"), 1);
    let Some((_, Event::RunRetried(retried))) = table.journal.iter().find(|(_, e)| e.name() == "run.retried")
    else {
        panic!()
    };
    assert_eq!(retried.paths, ["b@1".parse().unwrap()]);
}

// R5.5
#[test]
fn only_a_failed_run_is_retried_and_only_once_at_a_time() {
    let mut table = Table::start(PAIR, json!({}));
    assert!(matches!(Point::of_failure(table.run.graph().clone(), &table.rows), Err(NotRetried::NotFailed)));
    table.fail("a@1#1", permanent());
    let point = Point::of_failure(table.run.graph().clone(), &table.rows).unwrap();
    table.retry().unwrap();
    let by =
        bandstand_engine::input::By { kind: bandstand_engine::input::ActorKind::Person, id: "bo".to_owned() };
    let late = bandstand_engine::input::Retry { by, request_id: None, point, thread: None };
    let refused = table.handle(bandstand_engine::Input::Retry(Box::new(late))).unwrap_err();
    assert_eq!(refused, Rejected::NotFailed("running"));
    // It fails again and is retried again.
    table.fail("a@1#2", permanent());
    table.retry().unwrap();
    table.done("a@1#3", json!({}));
    table.done("b@1#1", json!({}));
    assert_eq!(table.output(), json!({ "total": 11 }));
}

fn fan(join: &str) -> String {
    format!(
        "format: 1\nname: fan\nversion: 1\nplugins: {{ p: {{ builtin: echo }} }}\nstate: {{ total: {{ reduce: sum, initial: 0 }} }}\nnodes:\n  \
         fan:\n    parallel:\n      {join}\n      branches:\n        \
         x: {{ nodes: {{ one: {{ agent: p, update: {{ total: 1 }}, next: two }}, two: {{ agent: p, update: {{ total: 2 }}, next: end }} }} }}\n        \
         y: {{ nodes: {{ one: {{ agent: p, update: {{ total: 4 }}, next: two }}, two: {{ agent: p, update: {{ total: 8 }}, next: end }} }} }}\n        \
         z: {{ after: [x], agent: p }}\n    next: end\nresult: {{ total: \"${{{{ state.total }}}}\" }}\n"
    )
}

// R4.4, R5.5: `all` fails at once; the sibling that was cancelled is open again, what it had finished stays.
#[test]
fn siblings_that_the_join_cancelled_go_on() {
    let mut table = Table::start(&fan("join: all"), json!({}));
    table.done("fan@1/x/one@1#1", json!({}));
    table.fail("fan@1/y/one@1#1", permanent());
    assert_eq!(table.run.status(), Status::Failed);
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["fan@1/x/two@1#2", "fan@1/y/one@1#2"], "numbers of their own");
    table.done("fan@1/x/two@1#2", json!({}));
    table.done("fan@1/y/one@1#2", json!({}));
    table.done("fan@1/y/two@1#1", json!({}));
    table.done("fan@1/z@1#1", json!({}));
    assert_eq!(table.output(), json!({ "total": 15 }));
}

// R4.4, R5.5: a branch that failed long before the block did.
#[test]
fn what_other_branches_did_after_an_early_failure_is_not_done_again() {
    let mut table = Table::start(&fan("max-errors: 1"), json!({}));
    table.fail("fan@1/x/one@1#1", permanent()); // and `z`, which needs it, is skipped
    assert_eq!(table.run.status(), Status::Failed, "two errors are too many");
    let mut table = Table::start(&fan("max-errors: 2"), json!({}));
    table.fail("fan@1/x/one@1#1", permanent());
    table.done("fan@1/y/one@1#1", json!({}));
    table.fail("fan@1/y/two@1#1", permanent());
    assert_eq!(table.run.status(), Status::Failed);
    table.now = table.now.plus_ms(1_000);
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["fan@1/x/one@1#2", "fan@1/y/two@1#2"]);
    table.done("fan@1/y/two@1#2", json!({}));
    table.done("fan@1/x/one@1#2", json!({}));
    table.done("fan@1/x/two@1#1", json!({}));
    assert_eq!(table.owed_text(), ["fan@1/z@1#1"], "the skipped branch has its turn");
    table.done("fan@1/z@1#1", json!({}));
    assert_eq!(table.output(), json!({ "total": 15 }));
}

// R5.5: nested blocks, items, and a second failure after a retry.
#[test]
fn a_retry_reaches_into_blocks_inside_blocks() {
    let text = "format: 1\nname: nest\nversion: 1\nplugins: { p: { builtin: echo } }\nnodes:\n  \
        each:\n    map: { over: \"[1, 2, 3]\", join: all, do: { nodes: { pick: { parallel: { join: any, branches: { l: { agent: p }, r: { agent: p } } }, next: end } } }, result: \"${{ item }}\" }\n    next: end\n\
        result: \"${{ nodes.each.output.results }}\"\n";
    let mut table = Table::start(text, json!({}));
    table.done("each@1[2]/pick@1/l@1#1", json!({}));
    table.fail("each@1[0]/pick@1/l@1#1", permanent());
    table.fail("each@1[0]/pick@1/r@1#1", permanent());
    assert_eq!(table.run.status(), Status::Failed);
    table.retry().unwrap();
    let owed = [
        "each@1[0]/pick@1/l@1#2",
        "each@1[0]/pick@1/r@1#2",
        "each@1[1]/pick@1/l@1#2",
        "each@1[1]/pick@1/r@1#2",
    ];
    assert_eq!(table.owed_text(), owed);
    table.done("each@1[1]/pick@1/r@1#2", json!({}));
    table.fail("each@1[0]/pick@1/r@1#2", permanent());
    table.fail("each@1[0]/pick@1/l@1#2", permanent());
    assert_eq!(table.run.status(), Status::Failed);
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["each@1[0]/pick@1/l@1#3", "each@1[0]/pick@1/r@1#3"]);
    table.done("each@1[0]/pick@1/l@1#3", json!({}));
    assert_eq!(table.output(), json!([1, 2, 3]));
}

// R2.5, R5.5
#[test]
fn a_rejected_review_is_asked_again_as_another_one() {
    let text = "format: 1\nname: ask\nversion: 1\nnodes:\n  ask: { review: { title: t }, approved: end, rejected: no }\n  no: { fail: { code: no, message: m } }\n";
    let plain = "format: 1\nname: ask\nversion: 1\nplugins: { p: { builtin: echo } }\nnodes:\n  ask: { agent: p, next: end }\n";
    let mut table = Table::start(plain, json!({}));
    table.reply("ask@1#1", bandstand_rules::asks(json!({ "n": 1 }), "look"));
    let first = table.review();
    let answer = table.answer(&first, "bo", Verdict::Rejected);
    table.handle(bandstand_engine::Input::Answer(answer)).unwrap();
    assert_eq!(table.failed().1, "review-rejected");
    table.retry().unwrap();
    table.reply("ask@1#2", bandstand_rules::asks(json!({ "n": 2 }), "look"));
    let second = table.review();
    assert_ne!(second, first);
    let answer = table.answer(&second, "bo", Verdict::Approved);
    table.handle(bandstand_engine::Input::Answer(answer)).unwrap();
    assert_eq!(table.output(), json!({ "n": 2 }));
    // A `fail` node fails again: it was reached, and is reached again.
    let mut table = Table::start(text, json!({}));
    let review = table.review();
    let answer = table.answer(&review, "bo", Verdict::Rejected);
    table.handle(bandstand_engine::Input::Answer(answer)).unwrap();
    table.retry().unwrap();
    assert_eq!(table.failed().1, "no");
}

// R5.5: times that passed while the run had failed do not count.
#[test]
fn blocks_and_runs_whose_time_was_up_get_it_again() {
    let text = "format: 1\nname: late\nversion: 1\ntimeout: 1h\nplugins: { p: { builtin: echo } }\nnodes:\n  \
        fan: { parallel: { branches: { x: { agent: p }, y: { wait: { for: 50s } } } }, timeout: 40s, next: end }\n";
    let mut table = Table::start(text, json!({}));
    table.pass(40_000);
    assert_eq!(table.failed().1, "block-timeout");
    table.now = table.now.plus_ms(100_000_000);
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["fan@1/x@1#2"]);
    table.done("fan@1/x@1#2", json!({}));
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(10_000)));
    table.pass(10_000);
    assert_eq!(table.run.status(), Status::Succeeded);
}

// R5.5: what cannot come out otherwise fails again, and harms nothing.
#[test]
fn a_failure_of_the_workflow_itself_comes_again() {
    for (nodes, code) in [
        ("a: { value: { n: \"${{ input.missing }}\" }, next: end }", "undefined"),
        ("a: { value: { n: 1 }, update: { total: \"${{ output.n / 0 }}\" }, next: end }", "number"),
        ("a: { map: { over: \"[]\", join: any, do: { value: 1 } }, next: end }", "all-failed"),
        (
            "a: { map: { over: \"[1]\", do: { value: 1 } }, update: { total: \"${{ 1 / 0 }}\" }, next: end }",
            "number",
        ),
        ("a: { next: a2 }\n  a2: { next: [{ when: \"visit > 5000\", to: end }, { to: a }] }", "max-steps"),
    ] {
        let text = format!(
            "format: 1\nname: f\nversion: 1\nstate: {{ total: {{ reduce: sum }} }}\nnodes:\n  {nodes}\n"
        );
        let mut table = Table::start(&text, json!({}));
        while table.run.status() == Status::Running {
            table.pass(0);
        }
        assert_eq!(table.failed().1, code);
        table.retry().unwrap();
        while table.run.status() == Status::Running {
            table.pass(0);
        }
        assert_eq!(table.failed().1, code);
        assert_eq!(table.count("run.retried"), 1);
    }
}

// R5.5: nobody could resume a run that has failed, so its pause ends there.
#[test]
fn a_run_that_failed_while_it_was_paused_is_retried_at_once() {
    let mut table = Table::start(PAIR, json!({}));
    table.pause().unwrap();
    table.fail("a@1#1", permanent());
    assert_eq!(table.resume().unwrap_err(), Rejected::Ended("failed"));
    table.retry().unwrap();
    assert_eq!((table.run.status(), table.run.is_paused()), (Status::Running, false));
    table.done("a@1#2", json!({}));
    assert_eq!(table.owed_text(), ["b@1#1"], "the next node is entered");
    // It can be paused again.
    table.pause().unwrap();
    assert_eq!(table.run.status(), Status::Paused);
}

// R5.5
#[test]
fn a_killed_run_is_not_retried() {
    let mut table = Table::start(PAIR, json!({}));
    table.fail("a@1#1", permanent());
    let point = Point::of_failure(table.run.graph().clone(), &table.rows).unwrap();
    table.retry().unwrap();
    table.kill().unwrap();
    assert!(matches!(Point::of_failure(table.run.graph().clone(), &table.rows), Err(NotRetried::NotFailed)));
    let by =
        bandstand_engine::input::By { kind: bandstand_engine::input::ActorKind::Person, id: "bo".to_owned() };
    let retry = bandstand_engine::input::Retry { by, request_id: None, point, thread: None };
    let refused = table.handle(bandstand_engine::Input::Retry(Box::new(retry))).unwrap_err();
    assert_eq!(refused, Rejected::NotFailed("killed"));
}

// R1, R5.5: a visit whose deadline passed while it waited for its next attempt does not wait on.
#[test]
fn a_visit_that_was_late_is_tried_at_once_with_its_whole_time() {
    let text = PAIR.replace(
        "agent: p, update: { total: 1 }",
        "agent: p, timeout: 10s, deadline: 30s, update: { total: 1 }",
    );
    let mut table = Table::start(&text, json!({}));
    table.fail_after("a@1#1", recoverable(), Some(600_000));
    table.pass(30_000);
    assert_eq!(table.failed().1, "deadline");
    table.now = table.now.plus_ms(1_000);
    table.retry().unwrap();
    assert_eq!(table.run.next_deadline(), Some(table.now), "the second attempt is due");
    table.pass(0);
    assert_eq!(table.owed_text(), ["a@1#2"]);
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(30_000)));
    table.done("a@1#2", json!({}));
    assert_eq!(table.owed_text(), ["b@1#1"]);
}

const HEARING: &str = "\
format: 1
name: hearing
version: 1
plugins: { p: { builtin: echo } }
nodes:
  fan:
    parallel:
      max-errors: 1
      branches:
        x:
          nodes:
            inner:
              parallel:
                join: all
                branches:
                  late: { nodes: { nap: { wait: { for: 1s }, next: hear }, hear: { wait: { signal: go }, next: end } } }
                  soon: { wait: { signal: go } }
                  boom: { agent: p }
              next: end
          result: \"${{ output.results }}\"
        y: { agent: p }
        z: { agent: p }
    next: end
result: \"${{ nodes.fan.output.results.x }}\"
";

// R5.5: what came while the waits were lost is kept, and given in the order in which they had been entered.
#[test]
fn waits_of_a_retried_run_take_what_came_meanwhile_in_their_old_order() {
    let mut table = Table::start(HEARING, json!({}));
    table.pass(1_000);
    table.fail("fan@1/x/inner@1/boom@1#1", permanent());
    table.signal("go", json!("first")).unwrap();
    table.fail("fan@1/y@1#1", permanent());
    assert_eq!(table.run.status(), Status::Failed);
    table.now = table.now.plus_ms(5_000);
    table.retry().unwrap();
    table.signal("go", json!("second")).unwrap();
    for id in ["fan@1/x/inner@1/boom@1#2", "fan@1/y@1#2", "fan@1/z@1#2"] {
        table.done(id, json!({}));
    }
    assert_eq!(table.output(), json!({ "boom": {}, "late": "second", "soon": "first" }));
}

// R5.5: a signal that the failed visit had taken is spent; a wait that expired waits its whole time again.
#[test]
fn a_wait_that_failed_waits_anew() {
    let text = "format: 1\nname: hear\nversion: 1\nstate: { got: { reduce: sum } }\nnodes:\n  \
        hear: { wait: { signal: go, timeout: 10s }, update: { got: \"${{ output }}\" }, next: end }\nresult: \"${{ state.got }}\"\n";
    let mut table = Table::start(text, json!({}));
    table.signal("go", json!("no number")).unwrap();
    assert_eq!(table.failed().1, "bad-operand");
    table.retry().unwrap();
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(10_000)));
    table.pass(10_000);
    assert_eq!(table.failed().1, "wait-expired");
    table.retry().unwrap();
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(10_000)));
    table.signal("go", json!(7)).unwrap();
    assert_eq!(table.output(), json!(7));
}

// R5.5: a branch that `max-steps` stopped was entering a node, so no visit of it failed; the branch itself is named.
#[test]
fn a_branch_that_max_steps_stopped_is_named_and_opened_again() {
    let text = "format: 1\nname: steps\nversion: 1\nplugins: { p: { builtin: echo } }\nlimits: { max-steps: 2 }\nnodes:\n  \
        fan:\n    parallel:\n      max-errors: 1\n      branches:\n        \
        x: { nodes: { one: { agent: p, next: [{ when: \"visit < 9\", to: one }, { to: end }] } } }\n        \
        y: { agent: p }\n        z: { agent: p }\n    next: end\n";
    let mut table = Table::start(text, json!({}));
    table.done("fan@1/x/one@1#1", json!({}));
    table.done("fan@1/x/one@2#1", json!({}));
    table.fail("fan@1/y@1#1", permanent());
    assert_eq!(table.failed().1, "too-many-errors");
    table.retry().unwrap();
    let retried = table.journal.iter().find_map(|(_, event)| match event {
        Event::RunRetried(retried) => Some(retried.paths.clone()),
        _ => None,
    });
    assert_eq!(retried.unwrap(), ["fan@1/x".parse().unwrap(), "fan@1/y@1".parse().unwrap()]);
}

const EACH: &str = "\
format: 1
name: each
version: 1
plugins: { p: { builtin: echo } }
state: { total: { reduce: sum, initial: 0 } }
nodes:
  each:
    map:
      over: \"[1, 2, 3, 4, 5]\"
      concurrency: 2
      do: { nodes: { one: { agent: p, update: { total: 1 }, next: two }, two: { agent: p, next: end } } }
    next: end
result: { total: \"${{ state.total }}\", items: \"${{ nodes.each.output.results | length }}\" }
";

// R4.2, R5.5: what had failed is opened again in the order of the items, and only as many as `concurrency` allows.
#[test]
fn no_more_failed_items_are_open_at_once_than_the_map_allows() {
    let mut table = Table::start(EACH, json!({}));
    for item in 0..5 {
        // The first visit of the last one was finished: its second fails.
        let mut id = format!("each@1[{item}]/one@1#1");
        if item == 4 {
            table.done(&id, json!({}));
            id = "each@1[4]/two@1#1".to_owned();
        }
        table.fail(&id, permanent());
    }
    assert_eq!(table.failed().1, "all-failed");
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["each@1[0]/one@1#2", "each@1[1]/one@1#2"]);
    table.done("each@1[0]/one@1#2", json!({}));
    table.fail("each@1[1]/one@1#2", permanent());
    assert_eq!(table.owed_text(), ["each@1[0]/two@1#1", "each@1[2]/one@1#2"], "an item's place is taken");
    table.done("each@1[0]/two@1#1", json!({}));
    table.done("each@1[2]/one@1#2", json!({}));
    table.done("each@1[3]/one@1#2", json!({}));
    table.done("each@1[2]/two@1#1", json!({}));
    assert_eq!(table.owed_text(), ["each@1[3]/two@1#1", "each@1[4]/two@1#2"], "where it had failed");
    table.done("each@1[3]/two@1#1", json!({}));
    table.done("each@1[4]/two@1#2", json!({}));
    assert_eq!(table.output(), json!({ "total": 4, "items": 4 }));
}

// R4.2, R5.5: items that are kept back outlive a second failure, a snapshot and a pause of the clock: for them time stood
// still.
#[test]
fn items_that_wait_for_their_place_rest_until_they_are_opened() {
    let text = EACH
        .replace("concurrency: 2", "concurrency: 2\n      max-errors: 2")
        .replace("two: { agent: p, next: end }", "two: { wait: { signal: go, timeout: 1h }, next: end }");
    let mut table = Table::start(&text, json!({}));
    for item in 0..3 {
        table.fail(&format!("each@1[{item}]/one@1#1"), permanent());
    }
    // Item 3 was under way beside them, and was cancelled.
    assert_eq!(table.failed().1, "too-many-errors");
    table.retry().unwrap();
    assert_eq!(table.owed_text(), ["each@1[0]/one@1#2", "each@1[1]/one@1#2"]);
    table.now = table.now.plus_ms(7_200_000);
    for item in 0..3 {
        table.fail(&format!("each@1[{item}]/one@1#2"), permanent());
    }
    assert_eq!(table.failed().1, "too-many-errors", "what failed again counts");
    table.retry().unwrap();
    let folded = table.run.snapshot();
    assert!(serde_json::to_string(&folded).unwrap().contains("kept"), "{folded:?}");
    for item in 0..5 {
        table.done(&format!("each@1[{item}]/one@1#{}", [3, 3, 3, 3, 1][item]), json!({}));
        assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(3_600_000)));
        table.signal("go", json!(item)).unwrap();
    }
    assert_eq!(table.output(), json!({ "total": 5, "items": 5 }));
}
