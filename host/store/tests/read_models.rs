//! Read models: inbox, routing statistics, and that the journal alone makes them again.

mod support;

use std::sync::Arc;
use std::time::Instant;

use bandstand_engine::event::{Event, ReviewOutcome, RunKilled};
use bandstand_engine::input::{ActorKind, By, Verdict};
use bandstand_engine::time::Timestamp;
use bandstand_store::{Append, ReadError, ReviewFilter, RunStatus, Store};
use serde_json::json;
use support::*;

// R2.7, R2.3
#[test]
fn the_inbox_shows_what_waits_oldest_deadline_first() {
    let (_directory, store) = store();
    append(&store, "run-1", 0, 1, vec![started("run-1", "buy", json!({})), review_opened("rev-b", 900)]);
    append(&store, "run-2", 0, 2, vec![started("run-2", "sell", json!({})), review_opened("rev-a", 100)]);
    append(&store, "run-3", 0, 3, vec![started("run-3", "buy", json!({})), review_opened("rev-c", 500)]);
    append(
        &store,
        "run-3",
        2,
        60,
        vec![review_answered("rev-c", Verdict::Approved), review_decided("rev-c", ReviewOutcome::Approved)],
    );
    let reader = store.reader();
    let ids = |filter: &ReviewFilter, after| {
        let rows = reader.reviews(filter, after, 10).expect("read");
        rows.into_iter().map(|row| row.review_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&ReviewFilter::default(), None), ["rev-a", "rev-b"]);
    assert_eq!(ids(&ReviewFilter::default(), Some((Timestamp(100), "rev-a"))), ["rev-b"]);
    let all_of_buy = ReviewFilter { closed_too: true, workflow: Some("buy".to_owned()), run_id: None };
    assert_eq!(ids(&all_of_buy, None), ["rev-c", "rev-b"]);
    assert_eq!(
        ids(&ReviewFilter { run_id: Some("run-2".to_owned()), ..ReviewFilter::default() }, None),
        ["rev-a"]
    );
    assert_eq!(reader.open_review_count().expect("read"), 2);

    let detail = reader.review("rev-c").expect("there");
    assert_eq!(detail.row.outcome.as_deref(), Some("approved"));
    assert_eq!((detail.row.approvals, detail.row.closed_at), (1, Some(Timestamp(60))));
    assert_eq!(detail.opened.proposed.value().map(|value| (**value).clone()), Some(json!({ "amount": 12 })));
    assert_eq!((detail.answers.len(), detail.answers[0].reviewer.as_str()), (1, "ada"));
    assert!(matches!(reader.review("rev-"), Err(ReadError::NotFound(text)) if text.contains("rev-a, rev-b")));
    assert!(reader.review("nope").is_err());
}

// R5.5: a kill is one event; its reviews wait no longer, those of others do.
#[test]
fn a_killed_run_leaves_no_open_review() {
    let (_directory, store) = store();
    append(&store, "run-1", 0, 1, vec![started("run-1", "buy", json!({})), review_opened("rev-a", 900)]);
    append(&store, "run-2", 0, 2, vec![started("run-2", "buy", json!({})), review_opened("rev-b", 100)]);
    let by = By { kind: ActorKind::Person, id: "ada".to_owned() };
    let killed = Event::RunKilled(RunKilled { by, reason: String::new(), children: Vec::new() });
    try_append(&store, "run-1", 2, 60, vec![killed], Some(change(RunStatus::Killed))).expect("appended");
    let reader = store.reader();
    let open = reader.reviews(&ReviewFilter::default(), None, 10).expect("read");
    assert_eq!(open.iter().map(|row| row.review_id.as_str()).collect::<Vec<_>>(), ["rev-b"]);
    let closed = reader.review("rev-a").expect("there").row;
    assert_eq!((closed.outcome.as_deref(), closed.closed_at), (Some("withdrawn"), Some(Timestamp(60))));
    let row = reader.run("run-1").expect("read").expect("there");
    assert_eq!((row.status, row.ended_at), (RunStatus::Killed, Some(Timestamp(60))));
}

// R3.4
#[test]
fn routes_are_counted_and_learn_how_their_runs_ended() {
    let (directory, store) = store();
    let run = |id: &str, confidence: f64, end: RunStatus| {
        append(
            &store,
            id,
            0,
            0,
            vec![
                started(id, "triage", json!({})),
                routed("pick@1", Some("legal"), Some(confidence), confidence < 0.75),
                routed("pick@2", Some("legal"), Some(0.9), false),
                routed("pick@3", None, None, false),
            ],
        );
        if end == RunStatus::Succeeded {
            try_append(&store, id, 4, 100, vec![succeeded(json!(1))], Some(change(end))).expect("appended");
        }
    };
    run("run-1", 0.5, RunStatus::Succeeded);
    run("run-2", 0.8, RunStatus::Running);
    store.close();
    let store = Store::open(directory.path(), Default::default()).expect("opened again");
    let stats = store.reader().routing_stats(Some("triage")).expect("read");
    assert_eq!(stats.iter().map(|route| route.route.as_str()).collect::<Vec<_>>(), ["default", "legal"]);
    let legal = &stats[1];
    assert_eq!((legal.node.as_str(), legal.count, legal.scored, legal.low), ("pick", 4, 4, 1));
    assert_eq!((legal.confidence_min, legal.confidence_max), (Some(0.5), Some(0.9)));
    assert!((legal.confidence_average.expect("scored") - 3.1 / 4.0).abs() < 1e-12);
    assert_eq!((legal.runs_ended, legal.runs_succeeded, legal.duration_average_ms), (1, 1, Some(100.0)));
    assert_eq!(legal.success_rate(), Some(1.0));
    assert_eq!((stats[0].count, stats[0].scored, stats[0].confidence_average), (2, 0, None));
    assert!(store.reader().routing_stats(Some("other")).expect("read").is_empty());
}

// R5.2, R3.4: nothing is only in a read model.
#[test]
fn a_rebuild_makes_the_same_read_models() {
    let (directory, store) = store();
    for number in 0..50 {
        let id = format!("run-{number}");
        let review = format!("rev-{number}");
        let first = vec![
            started(&id, if number % 2 == 0 { "a" } else { "b" }, json!({ "large": "x".repeat(5_000) })),
            routed(
                "pick@1",
                Some(if number % 3 == 0 { "left" } else { "right" }),
                Some(0.1 * f64::from(number % 10)),
                true,
            ),
            review_opened(&review, i64::from(number)),
        ];
        try_append(&store, &id, 0, 10, first, Some(change(RunStatus::Waiting))).expect("appended");
        if number % 4 == 0 {
            append(
                &store,
                &id,
                3,
                20,
                vec![
                    review_answered(&review, Verdict::Approved),
                    review_decided(&review, ReviewOutcome::Approved),
                ],
            );
            let end = vec![succeeded(json!(number))];
            try_append(&store, &id, 5, 30, end, Some(change(RunStatus::Succeeded))).expect("appended");
        }
    }
    let before = store.reader().dump_read_models().expect("read");
    assert!(before.len() > 150, "{}", before.len());
    raw(directory.path())
        .execute_batch("DELETE FROM reviews WHERE rowid % 2; UPDATE routing_stats SET count = 99; UPDATE runs SET owed = 1;")
        .expect("damaged");
    assert_ne!(store.reader().dump_read_models().expect("read"), before);
    let rebuilt = store
        .rebuild(|run| Ok(change(if run.next_seq == 6 { RunStatus::Succeeded } else { RunStatus::Waiting })))
        .expect("rebuilt");
    assert_eq!((rebuilt.runs, rebuilt.rows, rebuilt.stuck.len()), (50, 76, 0));
    assert_eq!(store.reader().dump_read_models().expect("read"), before);
    append(&store, "run-1", 3, 40, vec![node_succeeded("a@1", json!({}))]);

    // What cannot be folded is listed as stuck, and the others are as they were.
    let rebuilt = store
        .rebuild(|run| {
            if run.run_id == "run-3" {
                Err("no such node".to_owned())
            } else {
                Ok(change(RunStatus::Waiting))
            }
        })
        .expect("rebuilt");
    assert_eq!(rebuilt.stuck, ["run-3"]);
    assert_eq!(store.reader().run("run-3").expect("read").expect("there").status, RunStatus::Stuck);
}

// R2.7: measured, printed, and bounded so loosely that only a lost index fails it.
#[test]
fn ten_thousand_reviews_are_listed_quickly() {
    let (_directory, store) = store();
    let mut last = None;
    for number in 0..10_000 {
        let id = format!("run-{number}");
        let events =
            vec![started(&id, "w", json!({})), review_opened(&format!("rev-{number}"), 10_000 - number)];
        let waiting = Some(change(RunStatus::Waiting));
        last = Some(send(&store, Append::new(Arc::from(&*id), 0, Timestamp(0), events, waiting)));
    }
    last.expect("sent").recv().expect("answered").expect("appended");
    let mut best = u128::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let rows = store.reader().reviews(&ReviewFilter::default(), None, 10_000).expect("read");
        best = best.min(begun.elapsed().as_micros());
        assert_eq!(rows.len(), 10_000);
        assert!(rows.is_sorted_by_key(|row| row.deadline));
    }
    println!("10,000 open reviews listed in {best} us; {:?}", store.stats());
}
