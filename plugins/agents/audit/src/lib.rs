//! `audit`: appends what happened to the audit log of the thread. Needs the grant `memory: write`.
//!
//! Input: `action` (required, kebab-case), `payload` (any JSON, default `{}`), `tags` (list of texts, default none),
//! `snapshot` (default 0: how many of the thread's latest entries to give back, at most 1000).
//!
//! Output: `entry_id`, `action`, `tags` (as kept: lower case, sorted, once each), and with `snapshot`: `entries`, oldest
//! first, each `{ id, at, user_id, thread_id, source, action, payload, tags }`, and `count` of them.
//!
//! Confidence: 1, since nothing is judged. Failures: `input-invalid`; `action-invalid`; the memory's own.

use bandstand_sdk::memory::audit::{self, Recorded};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

agent!(run);

#[derive(Deserialize)]
struct Input {
    action: String,
    #[serde(default = "nothing")]
    payload: Value,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    snapshot: u32,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

#[derive(Serialize)]
struct Output {
    entry_id: String,
    action: String,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Recorded>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

/// More entries than this make an output that the host would refuse.
const SNAPSHOT_MAX: u32 = 1000;

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if input.action.is_empty() || !input.action.chars().all(kebab) {
        let message =
            format!("`action` must be kebab-case, such as `clause-flagged`; it is `{}`", input.action);
        return Err(Failure::permanent("action-invalid", message));
    }
    let mut tags: Vec<String> =
        input.tags.iter().map(|tag| tag.trim().to_lowercase()).filter(|tag| !tag.is_empty()).collect();
    tags.sort();
    tags.dedup();
    let entry_id = audit::append(&input.action, &input.payload, &tags)?;
    let entries = match input.snapshot {
        0 => None,
        limit => Some(audit::snapshot(limit.min(SNAPSHOT_MAX))?),
    };
    let count = entries.as_ref().map(Vec::len);
    Ok(Reply::new(Output { entry_id, action: input.action, tags, entries, count }).confidence(1.0))
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::fake;
    use serde_json::json;

    use super::*;

    // R6.1
    #[test]
    fn an_entry_is_kept_and_given_back() {
        fake::reset();
        fake::speak_for(Some("case-7"), Some("ann"));
        let input = json!({ "action": "clause-flagged", "payload": { "clause": 7 }, "tags": [" Risk", "risk", "law"], "snapshot": 5 });
        let output = run(&Call::with_input(input)).unwrap().output();
        assert_eq!(output["tags"], json!(["law", "risk"]));
        assert_eq!(output["entries"][0]["payload"], json!({ "clause": 7 }));
        assert_eq!((&output["entries"][0]["id"], &output["count"]), (&output["entry_id"], &json!(1)));
        assert_eq!(output["entries"][0]["thread_id"], "case-7");
    }

    #[test]
    fn bad_actions_and_missing_grants_are_told() {
        fake::reset();
        let failure = run(&Call::with_input(json!({ "action": "Clause Flagged" }))).unwrap_err();
        assert_eq!(failure.code(), "action-invalid");
        fake::deny_memory();
        let failure = run(&Call::with_input(json!({ "action": "a" }))).unwrap_err();
        assert!(failure.message().contains("grant"), "{failure}");
    }
}
