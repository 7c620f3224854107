//! A review as lists show it.

use bandstand_store::ReviewRow;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A review as lists show it. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewSummary {
    /// The review.
    pub review_id: String,
    /// The run that asks.
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// Where in the run.
    pub path: String,
    /// Of a child run's review: its parent.
    pub parent: Option<ReviewParent>,
    /// What it is about.
    pub title: String,
    /// Why a person is asked.
    pub reason: String,
    /// Who asked: `node`, `agent` or `route`.
    pub asked_by: String,
    /// Who may answer: `user:ID` or `group:ID`; empty: whoever may review.
    pub reviewers: Vec<String>,
    /// Approvals that are needed.
    pub quorum: u32,
    /// Approvals that were given.
    pub approvals: u32,
    /// When it opened.
    pub opened_at: String,
    /// When its time is over.
    pub deadline: String,
    /// What happens then: `fail`, `approve`, `reject` or `to:NODE`.
    pub on_timeout: String,
    /// Whether it waits.
    pub open: bool,
    /// What it came to.
    pub outcome: Option<String>,
    /// When.
    pub closed_at: Option<String>,
}

/// A review with what it proposes and all that was said about it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewDetail {
    /// What lists show of it.
    #[serde(flatten)]
    pub review: ReviewSummary,
    /// What is proposed; with the latest edit in it.
    #[schema(value_type = Object)]
    pub proposed: Value,
    /// JSON Schema that an edit must satisfy, if there is one.
    #[schema(value_type = Option<Object>)]
    pub form: Value,
    /// The answers in their order: `id`, `reviewer`, `decision`, `comments`, `changes`, `confidence`, `at`.
    #[schema(value_type = Vec<Object>)]
    pub answers: Vec<Value>,
    /// `open`, or what it came to.
    pub status: String,
}

/// Where in its parent a child run's review stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewParent {
    /// The parent.
    pub run_id: String,
    /// The attempt in it that the child run is.
    pub path: String,
}

impl From<&ReviewRow> for ReviewSummary {
    fn from(review: &ReviewRow) -> ReviewSummary {
        let parent = review.parent.as_ref();
        ReviewSummary {
            review_id: review.review_id.clone(),
            run_id: review.run_id.clone(),
            workflow: review.workflow.clone(),
            path: review.path.clone(),
            parent: parent.map(|(run_id, path)| ReviewParent { run_id: run_id.clone(), path: path.clone() }),
            title: review.title.clone(),
            reason: review.reason.clone(),
            asked_by: review.asked_by.clone(),
            reviewers: review.reviewers.clone(),
            quorum: review.quorum,
            approvals: review.approvals,
            opened_at: review.opened_at.to_string(),
            deadline: review.deadline.to_string(),
            on_timeout: review.on_timeout.clone(),
            open: review.open,
            outcome: review.outcome.clone(),
            closed_at: review.closed_at.map(|at| at.to_string()),
        }
    }
}
