//! Requests of people: the same one again is the same answer, and another one under its name is refused. What requests
//! said is remembered as a digest, for as long as their names are.

use serde_json::{Value, json};

use super::Run;
use super::state::REMEMBERED_MAX;
use crate::event::ReviewAnswered;
use crate::input::{Answer, Rejected, Verdict};

impl Run {
    /// Whether the request was carried out before. One whose content is no longer known, because an older host remembered
    /// its name only, is taken for the same.
    pub(super) fn knows_request(
        &self,
        request_id: Option<&str>,
        said: impl FnOnce() -> String,
    ) -> Result<bool, Rejected> {
        let Some(request) = request_id.filter(|id| self.state.requests.iter().any(|known| known == id))
        else {
            return Ok(false);
        };
        match self.state.requested.0.get(request) {
            Some(before) if *before != said() => Err(Rejected::RequestTaken(request.to_owned())),
            _ => Ok(true),
        }
    }

    /// Remembers a request and what it said; the oldest is forgotten.
    pub(super) fn remember_request(&mut self, request_id: Option<&str>, said: impl FnOnce() -> String) {
        let Some(request) = request_id else { return };
        self.state.requests.push_back(request.to_owned());
        self.state.requested.0.insert(request.to_owned(), said());
        if self.state.requests.len() > REMEMBERED_MAX
            && let Some(forgotten) = self.state.requests.pop_front()
            && !self.state.requests.contains(&forgotten)
        {
            self.state.requested.0.remove(&forgotten);
        }
    }
}

/// What a signal says, whoever sends it.
pub(super) fn of_signal(name: &str, data: &Value) -> String {
    digest(&json!(["signal", name, data]))
}

/// What a retry says: nothing but that.
pub(super) fn of_retry() -> String {
    digest(&json!(["retry"]))
}

/// What an answer says that comes.
pub(super) fn of_answer_given(answer: &Answer) -> String {
    let Answer { review_id, reviewer, decision, comments, changes, confidence, .. } = answer;
    answer_digest(review_id, reviewer, *decision, comments, changes.as_deref(), *confidence)
}

/// What an answer said that was taken; its changes are at hand.
pub(super) fn of_answer(answered: &ReviewAnswered, changes: Option<&Value>) -> String {
    let ReviewAnswered { review_id, reviewer, decision, comments, confidence, .. } = answered;
    answer_digest(review_id, reviewer, *decision, comments, changes, *confidence)
}

fn answer_digest(
    review_id: &str,
    reviewer: &str,
    decision: Verdict,
    comments: &str,
    changes: Option<&Value>,
    confidence: Option<f64>,
) -> String {
    digest(&json!(["answer", review_id, reviewer, decision.name(), comments, changes, confidence]))
}

/// Short: it tells mistakes apart, nobody gains by making two alike.
fn digest(said: &Value) -> String {
    blake3::hash(said.to_string().as_bytes()).to_hex()[..16].to_owned()
}
