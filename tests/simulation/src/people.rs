//! The people of a simulated world: who answers what, under which ids.

use std::sync::Arc;

use bandstand_engine::input::Answer;
use bandstand_engine::path::Path;

use crate::script::AnswerPlan;

/// The id of the answer with that number to the review of that visit.
pub fn answer_id(path: &Path, number: usize) -> String {
    format!("{path}!{number}")
}

/// The groups that somebody belongs to.
pub fn groups_of(reviewer: &str) -> Vec<String> {
    if reviewer == "cem" { vec!["staff".to_owned()] } else { Vec::new() }
}

/// The answer as the engine takes it. `seen`: the latest edit that was shown.
pub fn answer(
    plan: &AnswerPlan,
    path: &Path,
    number: usize,
    review_id: &str,
    seen: Option<String>,
) -> Answer {
    Answer {
        review_id: review_id.to_owned(),
        feedback_id: answer_id(path, number),
        request_id: Some(format!("request {review_id} {}", answer_id(path, number))),
        reviewer: plan.reviewer.clone(),
        groups: groups_of(&plan.reviewer),
        decision: plan.verdict,
        comments: "well".to_owned(),
        changes: plan.changes.clone().map(Arc::new),
        saw: seen.filter(|_| plan.looks),
        confidence: plan.confidence,
    }
}
