//! Events, appends and a store in a directory of its own, for the tests of this crate.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bandstand_engine::event::{
    AskedBy, Event, NodeSucceeded, Payload, ReviewAnswered, ReviewCause, ReviewDecided, ReviewOpened,
    ReviewOutcome, RouteDecided, RunCancelled, RunStarted, RunSucceeded, WorkflowPin,
};
use bandstand_engine::input::{ActorKind, By, Verdict};
use bandstand_engine::time::Timestamp;
use bandstand_store::{Append, AppendError, Appended, Options, RunChange, RunStatus, Store};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A store in a new directory. The directory lives as long as the first value.
pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path(), Options::default()).expect("opened");
    (directory, store)
}

/// The file itself, to look at or to damage.
pub(crate) fn raw(directory: &FilePath) -> Connection {
    Connection::open(directory.join(bandstand_store::FILE_NAME)).expect("opened")
}

pub(crate) fn change(status: RunStatus) -> RunChange {
    RunChange { status, stage: None, held: None, owed: status == RunStatus::Running, next_deadline: None }
}

pub(crate) fn started(run_id: &str, workflow: &str, input: Value) -> Event {
    Event::RunStarted(Box::new(RunStarted {
        run_id: run_id.to_owned(),
        workflow: WorkflowPin {
            name: workflow.to_owned(),
            version: 1,
            source: "sha256:source".to_owned(),
            graph: "blake3:graph".to_owned(),
        },
        plugins: BTreeMap::new(),
        rules: 1,
        host_version: "0.1.0".to_owned(),
        seed: 7,
        thread_id: None,
        user_id: None,
        input: Payload::new(input),
        state: BTreeMap::new(),
        deadline: None,
        request_digest: None,
        starters: Vec::new(),
        linked: Vec::new(),
        start_at: None,
        request_id: None,
        rerun_of: None,
        parent: None,
        children: BTreeMap::new(),
        lease: None,
        kept: Vec::new(),
    }))
}

pub(crate) fn node_succeeded(path: &str, output: Value) -> Event {
    Event::NodeSucceeded(NodeSucceeded {
        p: path.parse().expect("a path"),
        output: Payload::new(output),
        confidence: None,
        update: Vec::new(),
        expired: false,
        took_ms: 3,
        kept: None,
        cached_from: None,
    })
}

pub(crate) fn routed(path: &str, decision: Option<&str>, confidence: Option<f64>, below: bool) -> Event {
    Event::RouteDecided(RouteDecided {
        p: path.parse().expect("a path"),
        decision: decision.map(str::to_owned),
        confidence,
        reason: None,
        alternatives: Vec::new(),
        threshold: 0.75,
        below,
    })
}

pub(crate) fn review_opened(review_id: &str, deadline: i64) -> Event {
    Event::ReviewOpened(Box::new(ReviewOpened {
        review_id: review_id.to_owned(),
        p: "ask@1".parse().expect("a path"),
        asked_by: AskedBy::Node,
        title: format!("Look at {review_id}"),
        reason: "because".to_owned(),
        proposed: Payload::new(json!({ "amount": 12 })),
        form: None,
        reviewers: vec!["user:ada".to_owned()],
        quorum: 1,
        deadline: Timestamp(deadline),
        on_timeout: "fail".to_owned(),
        self_approval: true,
    }))
}

pub(crate) fn review_answered(review_id: &str, decision: Verdict) -> Event {
    Event::ReviewAnswered(Box::new(ReviewAnswered {
        review_id: review_id.to_owned(),
        p: "ask@1".parse().expect("a path"),
        feedback_id: "f1".to_owned(),
        request_id: None,
        reviewer: "ada".to_owned(),
        decision,
        comments: "fine".to_owned(),
        changes: None,
        confidence: Some(0.9),
        at: Timestamp(50),
    }))
}

pub(crate) fn review_decided(review_id: &str, outcome: ReviewOutcome) -> Event {
    Event::ReviewDecided(ReviewDecided {
        review_id: review_id.to_owned(),
        p: "ask@1".parse().expect("a path"),
        outcome,
        because: ReviewCause::Answers,
    })
}

pub(crate) fn succeeded(output: Value) -> Event {
    Event::RunSucceeded(RunSucceeded { output: Payload::new(output) })
}

pub(crate) fn cancelled() -> Event {
    let by = By { kind: ActorKind::Person, id: "ada".to_owned() };
    Event::RunCancelled(RunCancelled { by, reason: String::new() })
}

/// Hands it over; the answer comes through the receiver.
pub(crate) fn send(store: &Store, append: Append) -> Receiver<Result<Appended, AppendError>> {
    let (sender, receiver) = channel();
    store.append(append, move |answer| drop(sender.send(answer))).expect("queued");
    receiver
}

/// Appends and waits.
pub(crate) fn append(store: &Store, run_id: &str, seq: u64, at: i64, events: Vec<Event>) -> Appended {
    try_append(store, run_id, seq, at, events, None).expect("appended")
}

pub(crate) fn try_append(
    store: &Store,
    run_id: &str,
    seq: u64,
    at: i64,
    events: Vec<Event>,
    change: Option<RunChange>,
) -> Result<Appended, AppendError> {
    send(store, Append::new(Arc::from(run_id), seq, Timestamp(at), events, change)).recv().expect("answered")
}
