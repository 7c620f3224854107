//! What the verbs tell of a plugin's quarantine (R1.10), in JSON and in words.

use bandstand_store::KeptBreaker;
use serde_json::{Value, json};

use crate::cli::context::now;
use crate::cli::term::{safe, words};
use crate::view::Quarantine;

/// Whether attempts on the plugin wait.
pub fn is_quarantined(breaker: &KeptBreaker) -> bool {
    breaker.state != "closed"
}

/// What is known against a plugin; of none, that it is in service.
pub fn as_json(breaker: Option<&KeptBreaker>) -> Value {
    if breaker.is_none() {
        return json!({ "state": "closed", "faults": 0 });
    }
    // Plain data, so writing it cannot fail.
    serde_json::to_value(Quarantine::from(breaker)).unwrap_or_default()
}

/// The state in a word.
pub fn state(breaker: Option<&KeptBreaker>) -> &str {
    breaker.map_or("closed", |breaker| &breaker.state)
}

/// When an attempt is let through next, of a plugin that is in quarantine.
pub fn next_probe(breaker: &KeptBreaker) -> String {
    match (breaker.state.as_str(), breaker.probe_at) {
        ("half-open", _) => "under way".to_owned(),
        ("open", Some(at)) if at > now() => words::relative(at, now()),
        ("open", _) => "at the next attempt".to_owned(),
        _ => String::new(),
    }
}

/// Since when, and when it is tried again.
pub fn sentence(breaker: &KeptBreaker) -> String {
    let since = breaker.since.map(|at| format!(" since {}", words::instant(at))).unwrap_or_default();
    safe::line(&format!(
        "{} after {} in a row{since}; next probe {}; last: {}",
        breaker.state,
        words::count(usize::try_from(breaker.faults).unwrap_or(usize::MAX), "fault"),
        next_probe(breaker),
        breaker.fault
    ))
}
