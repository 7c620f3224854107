//! What the verbs tell of a plugin's quarantine (R1.10), in JSON and in words.

use bandstand_store::KeptBreaker;
use serde_json::{Value, json};

use crate::cli::context::now;
use crate::cli::term::{safe, words};
use crate::view::{Quarantine, moment};

/// Whether attempts on the plugin wait.
pub fn holds(breaker: &KeptBreaker) -> bool {
    breaker.state != CLOSED
}

/// The state of a plugin that is in service.
const CLOSED: &str = "closed";

/// Whether attempts on the plugin wait.
pub fn is_quarantined(quarantine: &Quarantine) -> bool {
    quarantine.state != CLOSED
}

/// Whether something is known against the plugin, or was: it has a name then, by which people may call it.
pub fn is_known(quarantine: &Quarantine) -> bool {
    quarantine.name.is_some()
}

/// What is known against a plugin; of none, that it is in service.
pub fn as_json(quarantine: &Quarantine) -> Value {
    if !is_known(quarantine) {
        return json!({ "state": CLOSED, "faults": 0 });
    }
    json!(quarantine)
}

/// When an attempt is let through next, of a plugin that is in quarantine.
pub fn next_probe(quarantine: &Quarantine) -> String {
    let at = quarantine.next_probe_at.as_deref().map(moment);
    match (quarantine.state.as_str(), at) {
        ("half-open", _) => "under way".to_owned(),
        ("open", Some(at)) if at > now() => words::relative(at, now()),
        ("open", _) => "at the next attempt".to_owned(),
        _ => String::new(),
    }
}

/// Since when, and when it is tried again.
pub fn sentence(quarantine: &Quarantine) -> String {
    let since = quarantine.since.as_deref().map(moment);
    let since = since.map(|at| format!(" since {}", words::instant(at))).unwrap_or_default();
    safe::line(&format!(
        "{} after {} in a row{since}; next probe {}; last: {}",
        quarantine.state,
        words::count(usize::try_from(quarantine.faults).unwrap_or(usize::MAX), "fault"),
        next_probe(quarantine),
        quarantine.fault.as_deref().unwrap_or_default()
    ))
}
