//! How an agent says that it could not do its work.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::memory::{self, ErrorKind};

/// Whether another attempt can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The same input fails in the same way: no retry.
    Permanent,
    /// The host retries as the workflow file says.
    Recoverable,
}

/// An attempt that failed, with its reason. For people `message`, for workflows `code` and `data`.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    kind: FailureKind,
    code: String,
    message: String,
    retry_after_ms: Option<u32>,
    data: Option<Value>,
}

impl Failure {
    /// No other attempt will help. `code` is kebab-case, the agent's own: `text-empty`.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Failure {
        let (code, message) = (code.into(), message.into());
        Failure { kind: FailureKind::Permanent, code, message, retry_after_ms: None, data: None }
    }

    /// Another attempt may help.
    ///
    /// ```
    /// # use bandstand_sdk::Failure;
    /// let failure = Failure::recoverable("service-busy", "the register answered 503").retry_after_ms(2_000);
    /// assert_eq!(failure.to_string(), "service-busy: the register answered 503");
    /// ```
    pub fn recoverable(code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Recoverable, ..Failure::permanent(code, message) }
    }

    /// The earliest sensible time for another attempt, from now. The longer of this and the policy's delay wins.
    #[must_use]
    pub fn retry_after_ms(mut self, span_ms: u32) -> Failure {
        self.retry_after_ms = Some(span_ms);
        self
    }

    /// Anything that the node which handles the failure may want to see. What is no JSON becomes its error's text.
    #[must_use]
    pub fn data(mut self, data: impl Serialize) -> Failure {
        self.data = Some(serde_json::to_value(data).unwrap_or_else(|error| Value::String(error.to_string())));
        self
    }

    /// Whether another attempt can help.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The cause's name.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The cause for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// See [`Failure::retry_after_ms`].
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after_ms
    }

    /// See [`Failure::data`].
    #[must_use]
    pub fn data_value(&self) -> Option<&Value> {
        self.data.as_ref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

/// JSON of the agent's own that cannot be read or written: the same in every attempt.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::permanent("json-invalid", error.to_string())
    }
}

/// What the host would not do: recoverable where it says that another try may help.
impl From<memory::Error> for Failure {
    fn from(error: memory::Error) -> Failure {
        let recoverable = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Cancelled);
        let kind = if recoverable { FailureKind::Recoverable } else { FailureKind::Permanent };
        Failure {
            kind,
            retry_after_ms: error.retry_after_ms,
            ..Failure::permanent(error.code, error.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_host_keep_whether_a_retry_helps() {
        let error =
            |kind| memory::Error { kind, code: "c".into(), message: "m".into(), retry_after_ms: Some(5) };
        let failure = Failure::from(error(ErrorKind::Unavailable));
        assert_eq!((failure.kind(), failure.retry_after()), (FailureKind::Recoverable, Some(5)));
        assert_eq!(Failure::from(error(ErrorKind::Denied)).kind(), FailureKind::Permanent);
    }
}
