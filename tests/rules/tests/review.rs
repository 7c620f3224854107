//! R2: reviews by a node, by an agent, by a route; quorum, edits, second answers, deadlines.

use std::sync::Arc;

use bandstand_engine::input::Verdict::{Approved, Rejected as No};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Class, Event, Input, Outcome, Rejected, Status};
use bandstand_rules::{START, Table, asks, chooses, graph};
use serde_json::json;

fn reviewed(review: &str) -> String {
    format!(
        "
format: 1
name: reviewed
version: 1
nodes:
  ask:
    review: {{ title: \"Publish?\", propose: {{ text: \"draft\", n: 1 }}, {review} }}
    approved: yes_node
    rejected: no_node
  yes_node: {{ value: {{ published: \"${{{{ review.value }}}}\", by: \"${{{{ review.decided_by }}}}\" }}, next: end }}
  no_node: {{ value: {{ refused: \"${{{{ review.comments }}}}\" }}, next: end }}
"
    )
}

// R2.1, R2.2
#[test]
fn a_review_waits_without_owing_anything_and_for_an_hour_by_default() {
    let table = Table::start(&reviewed(""), json!({}));
    assert_eq!(table.run.status(), Status::Waiting);
    assert!(table.owed().is_empty());
    assert_eq!(table.run.next_deadline(), Some(START.plus_ms(60 * 60 * 1_000)));
    let review = table.run.open_reviews().remove(0);
    assert_eq!((review.title.as_str(), review.quorum), ("Publish?", 1));
    assert_eq!(*review.proposed, json!({ "text": "draft", "n": 1 }));
}

// R2.3, R2.5
#[test]
fn approval_and_rejection_take_their_own_edges() {
    let mut table = Table::start(&reviewed(""), json!({}));
    let id = table.review();
    let answer = table.answer(&id, "bob", Approved);
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!(table.output(), json!({ "published": { "text": "draft", "n": 1 }, "by": "bob" }));

    let mut table = Table::start(&reviewed(""), json!({}));
    let id = table.review();
    let answer = bandstand_engine::Answer { comments: "too long".to_owned(), ..table.answer(&id, "bob", No) };
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!(table.output(), json!({ "refused": "too long" }));
}

// R2.3
#[test]
fn feedback_is_stamped_and_stays_on_the_run() {
    let mut table = Table::start(&reviewed(""), json!({}));
    let id = table.review();
    table.now = START.plus_ms(1_234);
    let answer = bandstand_engine::Answer {
        comments: "fine".to_owned(),
        confidence: Some(0.9),
        changes: Some(Arc::new(json!({ "n": 2 }))),
        ..table.answer(&id, "bob", Approved)
    };
    table.handle(Input::Answer(answer)).unwrap();
    let given = table
        .journal
        .iter()
        .find_map(|(_, event)| match event {
            Event::ReviewAnswered(answered) => Some(answered.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(
        (given.reviewer.as_str(), given.comments.as_str(), given.confidence),
        ("bob", "fine", Some(0.9))
    );
    assert_eq!((given.at, given.feedback_id.as_str()), (START.plus_ms(1_234), "f-1"));
    assert_eq!(table.output()["published"], json!({ "text": "draft", "n": 2 }));
}

// R2.5
#[test]
fn the_same_answer_again_changes_nothing_and_another_is_a_conflict() {
    let mut table = Table::start(&reviewed("quorum: 2"), json!({}));
    let id = table.review();
    let first = table.answer(&id, "bob", Approved);
    table.handle(Input::Answer(first.clone())).unwrap();
    assert_eq!(table.handle(Input::Answer(first)).unwrap().outcome, Outcome::Unchanged);
    let other = table.answer(&id, "bob", No);
    assert!(matches!(table.handle(Input::Answer(other)), Err(Rejected::Answered { .. })));
    assert_eq!(table.run.status(), Status::Waiting);
    let second = table.answer(&id, "eve", Approved);
    table.handle(Input::Answer(second)).unwrap();
    assert_eq!(table.run.status(), Status::Succeeded);
    let late = table.answer(&id, "joe", Approved);
    assert_eq!(table.handle(Input::Answer(late)).unwrap().outcome, Outcome::Unchanged);
    let late = table.answer(&id, "joe", No);
    assert!(matches!(table.handle(Input::Answer(late)), Err(Rejected::Decided { outcome: "approved", .. })));
}

#[test]
fn a_repeated_request_is_the_same_answer() {
    let mut table = Table::start(&reviewed("quorum: 2"), json!({}));
    let id = table.review();
    let request_id = Some("r-1".to_owned());
    let first =
        bandstand_engine::Answer { request_id: request_id.clone(), ..table.answer(&id, "bob", Approved) };
    table.handle(Input::Answer(first)).unwrap();
    let again =
        bandstand_engine::Answer { request_id: request_id.clone(), ..table.answer(&id, "bob", Approved) };
    assert_eq!(table.handle(Input::Answer(again)).unwrap().outcome, Outcome::Unchanged);
    // Eve's answer would be lost without a word.
    let other = bandstand_engine::Answer { request_id, ..table.answer(&id, "eve", Approved) };
    assert_eq!(table.handle(Input::Answer(other)).map(|_| ()), Err(Rejected::RequestTaken("r-1".to_owned())));
}

// R2.2
#[test]
fn only_the_reviewers_named_may_answer() {
    let mut table = Table::start(&reviewed("reviewers: [\"user:ann\", \"group:editors\"]"), json!({}));
    let id = table.review();
    let stranger = table.answer(&id, "bob", Approved);
    let refused = table.handle(Input::Answer(stranger)).unwrap_err().to_string();
    assert!(refused.contains("user:ann, group:editors"), "{refused}");
    let editor =
        bandstand_engine::Answer { groups: vec!["editors".to_owned()], ..table.answer(&id, "bob", Approved) };
    table.handle(Input::Answer(editor)).unwrap();
    assert_eq!(table.run.status(), Status::Succeeded);
}

// R2.2
#[test]
fn whoever_the_run_is_for_may_reject_but_not_approve_where_the_file_says_so() {
    // Runs of this table are for ann.
    let start = |review: &str| Table::start(&reviewed(review), json!({}));
    let review = "self-approval: false, reviewers: [\"user:ann\", \"group:editors\"], quorum: 2";
    let mut table = start(review);
    let id = table.review();
    let editor = |table: &mut Table, who: &str| {
        let answer = bandstand_engine::Answer {
            groups: vec!["editors".to_owned()],
            ..table.answer(&id, who, Approved)
        };
        table.handle(Input::Answer(answer))
    };
    let refused = editor(&mut table, "ann").unwrap_err();
    assert!(matches!(&refused, Rejected::SelfApproval { reviewer, .. } if reviewer == "ann"));
    assert!(refused.to_string().contains("the review has `self-approval: false`"));
    editor(&mut table, "bob").unwrap();
    assert!(editor(&mut table, "ann").is_err(), "nor as the second one");
    editor(&mut table, "eve").unwrap();
    assert_eq!(table.run.status(), Status::Succeeded);

    let mut table = start(review);
    let rejection = table.answer(&id, "ann", No);
    table.handle(Input::Answer(rejection)).unwrap();
    assert_eq!(table.output(), json!({ "refused": "" }), "a rejection is fine");

    // What was asked so is asked so again.
    let table = start(review);
    let mut fork = table.fork(table.before("ask@1") + 2, &[]).unwrap();
    let again = fork.review();
    let approval = fork.answer(&again, "ann", Approved);
    assert!(matches!(fork.handle(Input::Answer(approval)), Err(Rejected::SelfApproval { .. })));

    let mut table = start("reviewers: [\"user:ann\"]");
    let id = table.review();
    let approval = table.answer(&id, "ann", Approved);
    table.handle(Input::Answer(approval)).unwrap();
    assert_eq!(table.run.status(), Status::Succeeded, "by default they may");
}

// R8.2: whoever began the run for somebody else, or the run that it comes from, counts as those it is for.
#[test]
fn whoever_began_the_run_does_not_approve_it_either() {
    let graph = graph(&reviewed("self-approval: false"));
    let new = Table::new_run(&graph, "run-1", json!({}));
    let starters = vec!["bob".to_owned(), "eve".to_owned()];
    let mut table = Table::start_new(graph, NewRun { starters, ..new });
    let id = table.review();
    for who in ["ann", "bob", "eve"] {
        let approval = table.answer(&id, who, Approved);
        assert!(matches!(table.handle(Input::Answer(approval)), Err(Rejected::SelfApproval { .. })), "{who}");
    }
    let approval = table.answer(&id, "kim", Approved);
    table.handle(Input::Answer(approval)).unwrap();
    assert_eq!(table.run.status(), Status::Succeeded);
}

// R2.2, R2.3
#[test]
fn an_edit_must_satisfy_the_form_and_name_the_edit_it_saw() {
    let form = "quorum: 3, form: { type: object, properties: { n: { type: integer, maximum: 5 } } }";
    let mut table = Table::start(&reviewed(form), json!({}));
    let id = table.review();
    let edit = |changes| Some(Arc::new(changes));
    let bad =
        bandstand_engine::Answer { changes: edit(json!({ "n": 9 })), ..table.answer(&id, "bob", Approved) };
    assert!(matches!(table.handle(Input::Answer(bad)), Err(Rejected::BadEdit { .. })));
    let good =
        bandstand_engine::Answer { changes: edit(json!({ "n": 3 })), ..table.answer(&id, "bob", Approved) };
    let seen = good.feedback_id.clone();
    table.handle(Input::Answer(good)).unwrap();
    let blind =
        bandstand_engine::Answer { changes: edit(json!({ "n": 4 })), ..table.answer(&id, "eve", Approved) };
    assert!(matches!(table.handle(Input::Answer(blind.clone())), Err(Rejected::Edited { .. })));
    table.handle(Input::Answer(bandstand_engine::Answer { saw: Some(seen), ..blind })).unwrap();
    let plain = table.answer(&id, "joe", Approved);
    table.handle(Input::Answer(plain)).unwrap();
    assert_eq!(table.output()["published"], json!({ "text": "draft", "n": 4 }));
}

// R2.4
#[test]
fn nobody_answering_does_what_the_review_says() {
    let mut table = Table::start(&reviewed("timeout: 10m"), json!({}));
    assert_eq!(table.pass(10 * 60 * 1_000 - 1).outcome, Outcome::Unchanged);
    table.pass(1);
    assert_eq!(table.failed(), (Class::Review, "review-expired".to_owned()));

    let mut table = Table::start(&reviewed("timeout: 10m, on-timeout: approve"), json!({}));
    table.pass(600_000);
    assert_eq!(table.output()["by"], "policy");

    let mut table = Table::start(&reviewed("timeout: 10m, on-timeout: reject"), json!({}));
    table.pass(600_000);
    assert_eq!(table.output(), json!({ "refused": "" }));

    let mut table = Table::start(&reviewed("timeout: 10m, on-timeout: { to: no_node }"), json!({}));
    let id = table.review();
    table.pass(86_400_000);
    assert_eq!(table.run.status(), Status::Failed, "`review.comments` of a review that never was decided");
    let late = table.answer(&id, "bob", Approved);
    assert!(matches!(table.handle(Input::Answer(late)), Err(Rejected::Decided { outcome: "expired", .. })));
}

// R2.6
#[test]
fn an_agent_may_ask_for_a_review_of_its_output() {
    let text = "
format: 1
name: asked
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: b }
  b: { value: { text: \"${{ nodes.a.output.text }}\" }, next: end }
";
    let mut table = Table::start(text, json!({}));
    table.reply("a@1#1", asks(json!({ "text": "draft" }), "look"));
    assert_eq!(table.run.status(), Status::Waiting);
    let id = table.review();
    let answer = bandstand_engine::Answer {
        changes: Some(Arc::new(json!({ "text": "better" }))),
        ..table.answer(&id, "bob", Approved)
    };
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!(table.output(), json!({ "text": "better" }));
    assert_eq!(table.count("attempt.scheduled"), 1, "the agent is not run again");

    let mut table = Table::start(text, json!({}));
    table.reply("a@1#1", asks(json!({ "text": "draft" }), "look"));
    let id = table.review();
    let answer = table.answer(&id, "bob", No);
    table.handle(Input::Answer(answer)).unwrap();
    assert_eq!(table.failed(), (Class::Review, "review-rejected".to_owned()));
}

// R2.6, R3.3
#[test]
fn a_route_below_its_threshold_may_lead_to_a_review() {
    let text = "
format: 1
name: unsure
version: 1
plugins: { p: { builtin: echo } }
nodes:
  pick:
    agent: p
    route: { to: { good: end, bad: end }, below: ask }
  ask:
    review: { title: \"Which?\", propose: { next: \"${{ nodes.pick.routing.decision }}\" } }
    approved: end
    rejected: end
";
    let mut table = Table::start(text, json!({}));
    table.reply("pick@1#1", chooses(&[("good", 0.6), ("bad", 0.3)]));
    assert_eq!(*table.run.open_reviews()[0].proposed, json!({ "next": "good" }));
}

#[test]
fn an_answer_to_a_withdrawn_review_is_a_conflict() {
    let text = "
format: 1
name: race
version: 1
plugins: { p: { builtin: echo } }
nodes:
  race:
    parallel:
      join: any
      branches:
        person: { review: { title: \"?\" } }
        machine: { agent: p }
    next: end
";
    let mut table = Table::start(text, json!({}));
    let id = table.review();
    table.done("race@1/machine@1#1", json!({}));
    let answer = table.answer(&id, "bob", Approved);
    assert!(matches!(table.handle(Input::Answer(answer)), Err(Rejected::Withdrawn(_))));
    let unknown = table.answer("nope", "bob", Approved);
    assert!(matches!(table.handle(Input::Answer(unknown)), Err(Rejected::UnknownReview(_))));
}

#[test]
fn an_edit_that_comes_too_late_is_a_conflict_and_not_lost() {
    let mut table = Table::start(&reviewed(""), json!({}));
    let id = table.review();
    let edit = |changes| Some(Arc::new(changes));
    let first =
        bandstand_engine::Answer { changes: edit(json!({ "n": 3 })), ..table.answer(&id, "bob", Approved) };
    table.handle(Input::Answer(first.clone())).unwrap();
    assert_eq!(table.handle(Input::Answer(first)).unwrap().outcome, Outcome::Unchanged);
    let late =
        bandstand_engine::Answer { changes: edit(json!({ "n": 4 })), ..table.answer(&id, "eve", Approved) };
    assert!(matches!(table.handle(Input::Answer(late)), Err(Rejected::Decided { .. })));

    let mut table = Table::start(&reviewed("quorum: 2"), json!({}));
    let id = table.review();
    let plain = table.answer(&id, "bob", Approved);
    table.handle(Input::Answer(plain)).unwrap();
    let again =
        bandstand_engine::Answer { changes: edit(json!({ "n": 4 })), ..table.answer(&id, "bob", Approved) };
    assert!(matches!(table.handle(Input::Answer(again)), Err(Rejected::Answered { .. })));
}

#[test]
fn the_changes_of_a_review_are_all_edits_together() {
    let text = reviewed("quorum: 2")
        .replace("by: \"${{ review.decided_by }}\"", "changes: \"${{ review.changes }}\"");
    let mut table = Table::start(&text, json!({}));
    let id = table.review();
    let edit = |changes| Some(Arc::new(changes));
    let first = bandstand_engine::Answer {
        changes: edit(json!({ "n": 3, "x": 1 })),
        ..table.answer(&id, "bob", Approved)
    };
    let saw = Some(first.feedback_id.clone());
    table.handle(Input::Answer(first)).unwrap();
    let changes = edit(json!({ "text": null, "x": { "y": 2 } }));
    let second = bandstand_engine::Answer { changes, saw, ..table.answer(&id, "eve", Approved) };
    table.handle(Input::Answer(second)).unwrap();
    assert_eq!(
        table.output(),
        json!({ "published": { "n": 3, "x": { "y": 2 } }, "changes": { "n": 3, "text": null, "x": { "y": 2 } } })
    );
}
