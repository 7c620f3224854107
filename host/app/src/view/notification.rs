//! A notification that is not delivered, as lists show it.

use bandstand_store::Delivery;
use serde::Serialize;
use utoipa::ToSchema;

/// A notification that is not delivered. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NotificationSummary {
    /// As `webhook-id` has it; the same at each endpoint.
    pub id: String,
    /// To whom.
    pub endpoint: String,
    /// What it tells: `review.opened`, `run.ended`.
    pub event: String,
    /// The run.
    pub run_id: String,
    /// Since when it waits: when it happened, or was to be sent again.
    pub at: String,
    /// `waiting`, or `failed`: it was given up.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: Option<String>,
    /// When it was tried last.
    pub tried_at: Option<String>,
    /// Why it was not accepted.
    pub problem: Option<String>,
}

impl From<&Delivery> for NotificationSummary {
    fn from(delivery: &Delivery) -> NotificationSummary {
        NotificationSummary {
            id: delivery.id.clone(),
            endpoint: delivery.endpoint.clone(),
            event: delivery.event.clone(),
            run_id: delivery.run_id.clone(),
            at: delivery.created_at.to_string(),
            state: if delivery.next_at.is_none() { "failed" } else { "waiting" }.to_owned(),
            attempts: delivery.attempts,
            next_at: delivery.next_at.map(|at| at.to_string()),
            tried_at: delivery.tried_at.map(|at| at.to_string()),
            problem: delivery.problem.clone(),
        }
    }
}
