//! Notifications between the event and whoever is told of it (R2.8): none is lost, none is written down twice, those of a run keep
//! their order, and what is kept outlives the process and a rebuild.

mod support;

use bandstand_engine::event::{Event, ReviewOutcome};
use bandstand_engine::input::Verdict;
use bandstand_engine::time::Timestamp;
use bandstand_store::{DeliveryEnd, KeptSchedule, NewDelivery, Notable, Options, Resent, RunStatus, Store};
use serde_json::json;
use support::*;

fn new(endpoint: &str, found: &Notable) -> NewDelivery {
    NewDelivery {
        endpoint: endpoint.to_owned(),
        id: format!("{}-{}", found.run_id, found.seq),
        event: found.event.name().to_owned(),
        run_id: found.run_id.clone(),
        body: "{}".to_owned(),
        at: found.at,
    }
}

fn due(store: &Store, now: i64) -> Vec<(String, u32)> {
    let due = store.reader().due_deliveries("chat", Timestamp(now), 10).expect("read");
    due.into_iter().map(|delivery| (delivery.id, delivery.attempts)).collect()
}

fn two_runs(store: &Store) {
    append(
        store,
        "run-1",
        0,
        5,
        vec![started("run-1", "w", json!({ "note": "\"review.x" })), review_opened("rev-1", 900)],
    );
    append(store, "run-2", 0, 6, vec![started("run-2", "w", json!({})), node_succeeded("a@1", json!({}))]);
    append(
        store,
        "run-1",
        2,
        7,
        vec![review_answered("rev-1", Verdict::Approved), review_decided("rev-1", ReviewOutcome::Approved)],
    );
    append(store, "run-2", 2, 8, vec![succeeded(json!(1))]);
}

#[test]
fn what_is_notable_is_found_by_place_and_a_new_endpoint_begins_at_the_end() {
    let (_directory, store) = store();
    append(&store, "run-0", 0, 1, vec![started("run-0", "w", json!({})), review_opened("rev-0", 900)]);
    let known = store.begin_endpoints(vec!["chat".to_owned()]).expect("taken");
    assert_eq!(known["chat"], 1, "what happened before is nobody's business");
    two_runs(&store);
    let page = store.reader().notable_after(1, 2).expect("read");
    assert_eq!((page.events.len(), page.up_to, page.more), (1, 3, true));
    let first = &page.events[0];
    assert_eq!((first.run_id.as_str(), first.seq, first.workflow.as_str()), ("run-1", 1, "w"));
    assert_eq!(first.review, Some(("Look at rev-1".to_owned(), Timestamp(900))));
    let page = store.reader().notable_after(3, 10).expect("read");
    let found: Vec<(&str, u64)> = page.events.iter().map(|found| (found.event.name(), found.seq)).collect();
    assert_eq!(found, [("review.answered", 2), ("review.decided", 3), ("run.succeeded", 2)]);
    assert_eq!((page.up_to, page.more), (5, false));
    assert!(matches!(page.events[2].event, Event::RunSucceeded(_)));
}

#[test]
fn a_damaged_or_newer_row_keeps_nobody_else_waiting() {
    let (directory, store) = store();
    two_runs(&store);
    raw(directory.path())
        .execute("UPDATE journal SET events = '[{\"type\":\"review.opened@2\"}]' WHERE pos = 1", [])
        .expect("damaged");
    let page = store.reader().notable_after(0, 10).expect("read");
    assert_eq!((page.events.len(), page.up_to), (3, 4));
}

#[test]
fn deliveries_wait_in_the_order_of_their_run_and_outlive_process_and_rebuild() {
    let (directory, store) = store();
    store.begin_endpoints(vec!["chat".to_owned()]).expect("taken");
    two_runs(&store);
    let page = store.reader().notable_after(0, 10).expect("read");
    let all: Vec<NewDelivery> = page.events.iter().map(|found| new("chat", found)).collect();
    let places = vec![("chat".to_owned(), page.up_to)];
    store.plan_deliveries(all.clone(), places.clone()).expect("taken");
    // Written down again after a crash that hid the answer: nothing doubles, and no place goes back.
    store.plan_deliveries(all, vec![("chat".to_owned(), 2)]).expect("taken");
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    store.close();
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.begin_endpoints(vec!["chat".to_owned()]).expect("taken")["chat"], 4);
    let state = store.reader().endpoints().expect("read").remove(0);
    assert_eq!((state.waiting, state.failed, state.delivered), (4, 0, 0));
    assert_eq!(due(&store, 4), [], "not yet");
    // The first of each run; the others wait for it.
    assert_eq!(due(&store, 100), [("run-1-1".to_owned(), 0), ("run-2-2".to_owned(), 0)]);
    let waiting = store.reader().deliveries("chat", false, 0, 10).expect("read");
    let again = DeliveryEnd::Again { next_at: Timestamp(500), problem: "it answered 503".to_owned() };
    store.end_delivery(waiting[0].number, Timestamp(101), again).expect("taken");
    assert_eq!(due(&store, 499), [("run-2-2".to_owned(), 0)], "what comes after it waits, too");
    assert_eq!(due(&store, 500)[1], ("run-1-1".to_owned(), 1));
    store.end_delivery(waiting[3].number, Timestamp(102), DeliveryEnd::Delivered).expect("taken");
    let over = DeliveryEnd::GivenUp { problem: "it answered 410".to_owned() };
    store.end_delivery(waiting[0].number, Timestamp(501), over).expect("taken");
    assert_eq!(due(&store, 502), [("run-1-2".to_owned(), 0)], "given up, it holds nothing back");
    let state = store.reader().endpoints().expect("read").remove(0);
    assert_eq!((state.waiting, state.failed, state.delivered), (2, 1, 1));
    assert_eq!(state.delivered_at, Some(Timestamp(102)));
    let failed = store.reader().deliveries("chat", true, 0, 10).expect("read").remove(0);
    assert_eq!((failed.attempts, failed.problem.as_deref()), (2, Some("it answered 410")));
    assert_eq!(store.forget_failed_deliveries(None, Timestamp(501)), Ok(0));
    assert_eq!(store.forget_failed_deliveries(Some("chat".to_owned()), Timestamp(502)), Ok(1));
    assert_eq!(store.reader().deliveries("chat", true, 0, 10).expect("read"), []);
}

#[test]
fn how_far_triggers_are_outlives_the_process() {
    let (directory, store) = store();
    let first = KeptSchedule {
        workflow: "w".to_owned(),
        trigger: 1,
        cron: "0 6 * * *".to_owned(),
        zone: "UTC".to_owned(),
        overlap: "skip".to_owned(),
        up_to: Timestamp(60_000),
        queued_at: None,
        run_id: None,
        problem: Some("it was still going".to_owned()),
    };
    store.keep_schedule(first.clone()).expect("taken");
    let later = KeptSchedule {
        up_to: Timestamp(120_000),
        queued_at: Some(Timestamp(120_000)),
        run_id: Some("run-1".to_owned()),
        problem: None,
        ..first
    };
    store.keep_schedule(later.clone()).expect("taken");
    store.rebuild(|_| Ok(change(RunStatus::Running))).expect("rebuilt");
    store.close();
    let store = Store::open(directory.path(), Options::default()).expect("opened again");
    assert_eq!(store.reader().schedules().expect("read"), [later]);
    store.forget_schedule("w", 1).expect("taken");
    assert_eq!(store.reader().schedules().expect("read"), []);
}

// R2.8: what waits is bounded without holding the journal back: the oldest is given up, and can be sent again.
#[test]
fn above_the_limit_the_oldest_is_given_up_and_can_be_sent_again() {
    let (_directory, store) = store();
    store.begin_endpoints(vec!["chat".to_owned()]).expect("taken");
    let many = |from: u32, count: u32| {
        let new = |number: u32| NewDelivery {
            endpoint: "chat".to_owned(),
            id: format!("id-{number}"),
            event: "run.ended".to_owned(),
            run_id: format!("run-{}", number / 2),
            body: "{}".to_owned(),
            at: Timestamp(i64::from(number)),
        };
        store.plan_deliveries((from..from + count).map(new).collect(), vec![("chat".to_owned(), 9)])
    };
    assert_eq!(many(0, 10_000).expect("taken"), 0);
    assert_eq!(many(10_000, 5).expect("taken"), 5);
    let reader = store.reader();
    let state = &reader.endpoints().expect("read")[0];
    assert_eq!((state.waiting, state.failed), (10_000, 5));
    let failed = reader.all_deliveries(None, Some(true), 0, 10).expect("read");
    assert_eq!(failed[0].id, "id-0");
    assert!(failed[0].problem.as_deref().is_some_and(|problem| problem.contains("more than 10000 waited")));
    assert_eq!(many(20_000, 10_000).expect("taken"), 10_000);
    let state = &reader.endpoints().expect("read")[0];
    assert_eq!((state.waiting, state.failed), (10_000, 10_000), "of those given up only the newest are kept");

    // One that is sent again comes before what is told of its run later.
    let failed = reader.all_deliveries(Some("chat"), Some(true), 0, 10).expect("read");
    let first = &failed[1];
    let at = Timestamp(40_000);
    assert_eq!(store.resend_deliveries(Resent::Id(first.id.clone()), at).expect("taken"), 1);
    assert_eq!(
        store.resend_deliveries(Resent::Id(first.id.clone()), at).expect("taken"),
        0,
        "it waits already"
    );
    let again = reader.all_deliveries(None, Some(false), 0, 1).expect("read").remove(0);
    assert_eq!((again.id, again.attempts, again.next_at), (first.id.clone(), 0, Some(at)));
    // What is above the limit would be given up again at once.
    assert_eq!(store.resend_deliveries(Resent::Endpoint("chat".to_owned()), at).expect("taken"), 0);
    for waiting in reader.all_deliveries(Some("chat"), Some(false), 0, 100).expect("read") {
        store.end_delivery(waiting.number, at, DeliveryEnd::Delivered).expect("taken");
    }
    let resent = store.resend_deliveries(Resent::Endpoint("chat".to_owned()), at).expect("taken");
    let state = &reader.endpoints().expect("read")[0];
    assert_eq!(
        (resent, state.waiting),
        (99, 10_000),
        "as many as there is room for, one of 10,001 being sent again before"
    );
    assert_eq!(store.resend_deliveries(Resent::Endpoint("desk".to_owned()), at).expect("taken"), 0);
}
