//! R8.4: lists of runs look at few rows, whatever is asked for; and runs that are to begin later say so until they begin.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

mod support;

use bandstand_engine::event::{Event, RunDue};
use bandstand_engine::time::Timestamp;
use bandstand_store::{RunFilter, RunStatus};
use serde_json::json;
use support::*;

/// Every filter, alone and beside others: along an index or down the numbers, never over all runs, never sorted.
#[test]
fn every_filter_is_served_by_an_index_in_the_right_order() {
    let (_directory, store) = store();
    let reader = store.reader();
    let name = || Some("x".to_owned());
    let all = RunFilter::default;
    for (filter, index) in [
        (RunFilter { user_id: name(), ..all() }, "runs_user"),
        (RunFilter { thread_id: name(), ..all() }, "runs_thread"),
        (RunFilter { workflow: name(), ..all() }, "runs_workflow"),
        (RunFilter { statuses: vec![RunStatus::Failed, RunStatus::Stuck], ..all() }, "runs_status"),
        (RunFilter { since: Some(Timestamp(5)), ..all() }, "runs_started"),
        (RunFilter { user_id: name(), statuses: vec![RunStatus::Failed], ..all() }, "runs_user"),
        (RunFilter { workflow: name(), statuses: vec![RunStatus::Failed], ..all() }, "runs_status"),
        (RunFilter { workflow: name(), statuses: vec![RunStatus::Succeeded], ..all() }, "runs_workflow"),
        (RunFilter { user_id: name(), workflow: name(), since: Some(Timestamp(5)), ..all() }, "runs_user"),
        (RunFilter { children_too: true, ..all() }, "INTEGER PRIMARY KEY"),
    ] {
        let plan = reader.explain_runs(&filter).unwrap();
        assert!(plan.iter().any(|line| line.contains(index)), "{filter:?}: {plan:?}");
        assert!(
            plan.iter().all(|line| !line.contains("SCAN runs") && !line.contains("TEMP B-TREE")),
            "{filter:?}: {plan:?}"
        );
    }
}

#[test]
fn several_statuses_and_times_come_in_one_order_page_by_page() {
    let (_directory, store) = store();
    for number in 0..20_i64 {
        let run = format!("run-{number:02}");
        let status = if number % 3 == 0 { RunStatus::Failed } else { RunStatus::Waiting };
        let events = vec![started(&run, "w", json!({}))];
        try_append(&store, &run, 0, number * 10, events, Some(change(status))).unwrap();
    }
    let reader = store.reader();
    let listed = |filter: &RunFilter, limit: u32| {
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = reader.runs(filter, cursor.as_deref(), limit).unwrap();
            ids.extend(page.runs.iter().map(|run| run.run_id[4..].parse::<i64>().unwrap()));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return ids,
            }
        }
    };
    let both = RunFilter { statuses: vec![RunStatus::Waiting, RunStatus::Failed], ..RunFilter::default() };
    assert_eq!(listed(&both, 3), (0..20).rev().collect::<Vec<_>>());
    let failed = RunFilter { statuses: vec![RunStatus::Failed, RunStatus::Failed], ..RunFilter::default() };
    assert_eq!(listed(&failed, 2), [18, 15, 12, 9, 6, 3, 0]);
    let times = RunFilter { since: Some(Timestamp(45)), until: Some(Timestamp(90)), ..failed };
    assert_eq!(listed(&times, 1), [6]);
    let none = RunFilter { since: Some(Timestamp(1_000)), ..RunFilter::default() };
    assert_eq!(listed(&none, 5), Vec::<i64>::new());
}

// R5.2
#[test]
fn a_run_that_is_to_begin_later_says_so_until_it_begins_and_counts_from_then() {
    let (directory, store) = store();
    let Event::RunStarted(mut later) = started("run-1", "w", json!({})) else { unreachable!() };
    later.start_at = Some(Timestamp(500));
    let waits = Some(change(RunStatus::Waiting));
    try_append(&store, "run-1", 0, 10, vec![Event::RunStarted(later)], waits).unwrap();
    let row = || store.reader().run("run-1").unwrap().unwrap();
    assert_eq!((row().started_at, row().starts_at), (Timestamp(10), Some(Timestamp(500))));
    append(&store, "run-1", 1, 510, vec![Event::RunDue(RunDue { deadline: None })]);
    assert_eq!((row().started_at, row().starts_at), (Timestamp(510), None));
    append(&store, "run-1", 2, 520, vec![routed("pick@1", Some("left"), Some(0.5), false)]);
    let ended = Some(change(RunStatus::Succeeded));
    try_append(&store, "run-1", 3, 600, vec![succeeded(json!(1))], ended).unwrap();
    let stats = store.reader().routing_stats(None).unwrap();
    assert_eq!(stats[0].duration_average_ms, Some(90.0), "what it waited before is no part of it");
    let before = store.reader().dump_read_models().unwrap();
    store.rebuild(|_| Ok(change(RunStatus::Succeeded))).unwrap();
    assert_eq!(store.reader().dump_read_models().unwrap(), before, "the journal alone says the same");
    drop(directory);
}
