//! Failures: what ended an attempt, a node, a branch or a run, as a value.
//! How failures are caught and tried again is `run`'s business; how a dead guest becomes one is the sandbox's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::Payload;
use crate::path::Path;

/// What kind of thing went wrong. Which classes are tried again is policy (`retry-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The agent said so.
    Agent,
    /// The guest's code died by itself.
    Trap,
    /// An attempt, a block, a wait or the run took too long.
    Timeout,
    /// The reply was not what a reply must be.
    InvalidOutput,
    /// A limit was exceeded.
    Limit,
    /// A power was used that is not granted.
    Denied,
    /// An expression failed.
    Expression,
    /// A value did not fit its channel, reducer or schema.
    State,
    /// No way out of a route.
    Route,
    /// A block's branches did not satisfy its join.
    Join,
    /// A review was rejected or not answered.
    Review,
    /// A branch that others needed did not succeed.
    Skipped,
    /// The workflow's own `fail`.
    Workflow,
}

impl Class {
    /// The keyword of the language.
    pub fn name(self) -> &'static str {
        match self {
            Class::Agent => "agent",
            Class::Trap => "trap",
            Class::Timeout => "timeout",
            Class::InvalidOutput => "invalid-output",
            Class::Limit => "limit",
            Class::Denied => "denied",
            Class::Expression => "expression",
            Class::State => "state",
            Class::Route => "route",
            Class::Join => "join",
            Class::Review => "review",
            Class::Skipped => "skipped",
            Class::Workflow => "workflow",
        }
    }
}

/// Why something ended badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of thing.
    pub class: Class,
    /// Kebab-case, finer than the class.
    pub code: String,
    /// For people: what, where, what to do.
    pub message: String,
    /// Whether another attempt may help. The agent says it of its own failures, the host of the others.
    pub recoverable: bool,
    /// The agent's own data for a fallback node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Payload>,
    /// The guest's frames, outermost last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// The guest's panic text and the tail of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
}

impl Failure {
    /// A permanent failure without data.
    pub fn permanent(class: Class, code: &str, message: impl Into<String>) -> Failure {
        Failure {
            class,
            code: code.to_owned(),
            message: message.into(),
            recoverable: false,
            data: None,
            backtrace: None,
            last_words: None,
        }
    }
}

/// The record of a failure (R1.4): what, where, and of how many attempts. Its time is that of its journal row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// Derived from the run's seed and the place.
    pub id: String,
    /// What went wrong.
    #[serde(flatten)]
    pub failure: Failure,
    /// The visit; the root path when the run itself failed.
    pub path: Path,
    /// The attempt it ended, from 1.
    pub attempt: u32,
    /// Attempts made (for a node) or allowed (for an attempt).
    pub attempts: u32,
    /// Of a failed block: its results and errors by branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Payload>,
}

impl ErrorRecord {
    /// The object that expressions see as `error`: `{ class, code, message, node, path, attempt, attempts,
    /// recoverable, data }`, and `results`, `errors` for blocks. `block` is the block's resolved output.
    pub fn to_visible(&self, block: Option<&Value>) -> Arc<Value> {
        let failure = &self.failure;
        let mut visible = json!({
            "class": failure.class.name(),
            "code": failure.code,
            "message": failure.message,
            "node": self.path.node_name().map(|id| id.as_str()),
            "path": self.path.to_string(),
            "attempt": self.attempt,
            "attempts": self.attempts,
            "recoverable": failure.recoverable,
            "data": failure.data.as_ref().and_then(Payload::value).map(|value| (**value).clone()),
        });
        if let (Value::Object(members), Some(block)) = (&mut visible, block) {
            for key in ["results", "errors"] {
                members.insert(key.to_owned(), block.get(key).cloned().unwrap_or(Value::Null));
            }
        }
        Arc::new(visible)
    }
}
