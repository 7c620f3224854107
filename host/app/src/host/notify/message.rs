//! What is sent: from an event of the journal to a body of JSON. It tells that something happened, and where to look; data of
//! the run only where the operator said so.

use bandstand_engine::Timestamp;
use bandstand_engine::event::{Event, ReviewCause, ReviewOutcome};
use bandstand_engine::input::Verdict;
use bandstand_store::{NewDelivery, Notable, Reader};
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, EventKind};

/// What is proposed is left out beyond that, so that receivers need not take megabytes. Bytes of JSON.
const PROPOSAL_BYTES_MAX: usize = 64 << 10;

/// What kind of event it is, if anybody can be told of it.
pub(super) fn kind(found: &Notable) -> Option<EventKind> {
    match &found.event {
        Event::ReviewOpened(_) => Some(EventKind::ReviewOpened),
        Event::ReviewAnswered(_) => Some(EventKind::ReviewAnswered),
        Event::ReviewDecided(decided) if decided.because == ReviewCause::Timeout => {
            Some(EventKind::ReviewExpired)
        }
        Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_) | Event::RunKilled(_) => {
            found.parent.is_none().then_some(EventKind::RunEnded)
        }
        _ => None,
    }
}

/// The notification of an event for an endpoint. `row` is everything notable of the event's row.
pub(super) fn delivery(
    endpoint: &Endpoint,
    kind: EventKind,
    found: &Notable,
    row: &[Notable],
    reader: &Reader,
) -> NewDelivery {
    let id = id(&found.run_id, found.seq);
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    set("type", json!(kind.name()));
    set("id", json!(id));
    set("at", json!(found.at.to_string()));
    set("run_id", json!(found.run_id));
    set("workflow", json!(found.workflow));
    if let Some(parent) = &found.parent {
        set("parent", json!({ "run_id": parent.run_id, "path": parent.path }));
    }
    if let Some((title, deadline)) = &found.review {
        set("title", json!(title));
        set("deadline", json!(deadline.to_string()));
    }
    match &found.event {
        Event::ReviewOpened(opened) => {
            set("review_id", json!(opened.review_id));
            set("path", json!(opened.p.to_string()));
            set("reviewers", json!(opened.reviewers));
            set("quorum", json!(opened.quorum));
            set("on_timeout", json!(opened.on_timeout));
            if endpoint.with_proposal {
                // What the event refers to is put in its place by whoever shows a review.
                let shown = reader.review(&opened.review_id).ok();
                let proposed = shown.and_then(|review| review.opened.proposed.value().cloned());
                match proposed.filter(|value| value.to_string().len() <= PROPOSAL_BYTES_MAX) {
                    Some(value) => set("proposed", (*value).clone()),
                    None => set("proposed_left_out", json!(true)),
                }
            }
        }
        Event::ReviewAnswered(answered) => {
            set("review_id", json!(answered.review_id));
            set("path", json!(answered.p.to_string()));
            set("reviewer", json!(answered.reviewer));
            set("decision", json!(verdict(answered.decision)));
            // None: more answers are needed.
            set("outcome", json!(decided(row, &answered.review_id).map(ReviewOutcome::name)));
            if endpoint.with_proposal {
                set("comments", json!(answered.comments));
            }
        }
        Event::ReviewDecided(decided) => {
            set("review_id", json!(decided.review_id));
            set("path", json!(decided.p.to_string()));
            set("outcome", json!(decided.outcome.name()));
        }
        Event::RunFailed(failed) => {
            set("outcome", json!("failed"));
            let failure = &failed.error.failure;
            set(
                "error",
                json!({ "class": failure.class.name(), "code": failure.code, "path": failed.error.path.to_string() }),
            );
        }
        Event::RunSucceeded(_) => set("outcome", json!("succeeded")),
        Event::RunCancelled(_) => set("outcome", json!("cancelled")),
        Event::RunKilled(_) => set("outcome", json!("killed")),
        _ => {}
    }
    NewDelivery {
        endpoint: endpoint.name.clone(),
        id,
        event: kind.name().to_owned(),
        run_id: found.run_id.clone(),
        body: Value::Object(body).to_string(),
        at: found.at,
    }
}

/// The id and body that `notify test` sends.
pub(super) fn test(endpoint: &Endpoint, at: Timestamp) -> (String, String) {
    let id = format!("test-{}", uuid::Uuid::now_v7());
    let body = json!({ "type": "test", "id": id, "at": at.to_string(), "endpoint": endpoint.name });
    (id, body.to_string())
}

/// The same for one event, however often and to whomever it is sent. A full stop would be read as the end of it.
fn id(run_id: &str, seq: u64) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    format!("{}-{seq}", run_id.chars().map(plain).collect::<String>())
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
    }
}

fn decided(row: &[Notable], review_id: &str) -> Option<ReviewOutcome> {
    row.iter().find_map(|found| match &found.event {
        Event::ReviewDecided(decided) if decided.review_id == review_id => Some(decided.outcome),
        _ => None,
    })
}
