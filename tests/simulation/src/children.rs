//! Child runs of a simulated world: how they end, and who tells the oracle. One run alone has scripted ones; behind the
//! driver's core they are runs of their own, each held against the oracle by itself.

use std::sync::Arc;

use bandstand_engine::event::Payload;
use bandstand_engine::failure::{Class, Failure};
use bandstand_engine::input::ChildOutcome;
use bandstand_engine::{CommandId, Id, Run, Status};
use serde::Serialize;
use serde_json::Value;

/// How a child run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChildEnd {
    /// With this result.
    Succeeded(Value),
    /// Badly.
    Failed {
        /// What kind.
        class: Class,
        /// Finer.
        code: String,
        /// Whether it may be tried again.
        recoverable: bool,
        /// What the failure brings along; null: nothing.
        data: Value,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody killed it.
    Killed,
}

/// What a scripted child run does.
#[derive(Clone, Debug, Serialize)]
pub struct ChildBehaviour {
    /// How long it takes. Much longer than any `timeout`: it never ends before that.
    pub duration_ms: u64,
    /// How it ends.
    pub end: ChildEnd,
}

/// Who knows how child runs ended.
pub trait Children {
    /// How the run ended that an attempt was, as the parent heard it.
    ///
    /// # Errors
    /// When the language does not allow it: in words.
    fn told(&self, workflow: &Id, id: &CommandId, input: &Value) -> Result<ChildEnd, String>;
}

impl ChildEnd {
    /// One that could not begin.
    pub fn refused() -> ChildEnd {
        ChildEnd::Failed {
            class: Class::Workflow,
            code: "child-refused".to_owned(),
            recoverable: false,
            data: Value::Null,
        }
    }

    /// How a run ended; none: it has not.
    pub fn of(run: &Run) -> Option<ChildEnd> {
        Some(match run.status() {
            Status::Succeeded => ChildEnd::Succeeded((**run.output()?).clone()),
            Status::Failed => {
                let failure = &run.error()?.failure;
                let data = failure.data.as_ref().and_then(Payload::value);
                ChildEnd::Failed {
                    class: failure.class,
                    code: failure.code.clone(),
                    recoverable: failure.recoverable,
                    data: data.map_or(Value::Null, |data| (**data).clone()),
                }
            }
            Status::Cancelled => ChildEnd::Cancelled,
            Status::Killed => ChildEnd::Killed,
            Status::Running | Status::Waiting | Status::Paused => return None,
        })
    }

    /// As the engine takes it.
    pub fn outcome(&self) -> ChildOutcome {
        match self {
            ChildEnd::Succeeded(output) => ChildOutcome::Succeeded(Arc::new(output.clone())),
            ChildEnd::Failed { class, code, recoverable, data } => ChildOutcome::Failed(Failure {
                recoverable: *recoverable,
                data: (!data.is_null()).then(|| Payload::new(data.clone())),
                ..Failure::permanent(*class, code, "as scripted")
            }),
            ChildEnd::Cancelled => ChildOutcome::Cancelled,
            ChildEnd::Killed => ChildOutcome::Killed,
        }
    }

    /// As the failure of its parent's node: class, code, whether it may be tried again, data. None: it succeeded.
    pub fn failure(&self) -> Option<(Class, &str, bool, Value)> {
        match self {
            ChildEnd::Succeeded(_) => None,
            ChildEnd::Failed { class, code, recoverable, data } => {
                Some((*class, code, *recoverable, data.clone()))
            }
            ChildEnd::Cancelled => Some((Class::Workflow, "child-cancelled", false, Value::Null)),
            ChildEnd::Killed => Some((Class::Workflow, "child-killed", false, Value::Null)),
        }
    }
}
