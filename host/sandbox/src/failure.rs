//! The ways an attempt can fail. Whether another attempt is made is for the caller to decide.

use std::fmt;

/// What sort of end it was. The first six are the classes of the workflow language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The agent said so itself.
    Agent,
    /// The guest crashed; the code tells how.
    Trap,
    /// The wall clock ran out: code `attempt-timeout`.
    Timeout,
    /// The reply is not one: `bad-reply`, `not-object`, `too-large`, `output-invalid`.
    InvalidOutput,
    /// One of [`CallLimits`](crate::CallLimits) other than the wall clock.
    Limit,
    /// The plugin needs what it was not granted; the code names the power.
    Denied,
    /// The caller's token was raised.
    Cancelled,
    /// The host had no room. The guest did not run: nothing is spent by trying again later.
    Overload,
    /// The fault is the host's own.
    Host,
}

impl Class {
    /// The name in records and in the workflow language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Agent => "agent",
            Class::Trap => "trap",
            Class::Timeout => "timeout",
            Class::InvalidOutput => "invalid-output",
            Class::Limit => "limit",
            Class::Denied => "denied",
            Class::Cancelled => "cancelled",
            Class::Overload => "overload",
            Class::Host => "host",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an attempt failed. All text but `data` is bounded and safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}/{code}: {message}")]
pub struct Failure {
    /// What sort of end it was.
    pub class: Class,
    /// The exact reason, kebab-case.
    pub code: String,
    /// For people: what happened, and what to do about it where that is known.
    pub message: String,
    /// Whether another attempt could end otherwise.
    pub recoverable: bool,
    /// The agent's own wish. Milliseconds from the end of the attempt.
    pub retry_after_ms: Option<u32>,
    /// JSON text that the agent sent along: checked, no longer than the output may be, and otherwise as it was sent.
    pub data: Option<String>,
    /// Where in the guest it happened, innermost first, one frame a line.
    pub backtrace: Option<String>,
    /// What the guest said before it ended: its last words, then the ends of its error output, output and log.
    pub last_words: Option<String>,
}

impl Failure {
    pub(crate) fn new(class: Class, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            recoverable: !matches!(class, Class::Denied | Class::Cancelled),
            retry_after_ms: None,
            data: None,
            backtrace: None,
            last_words: None,
        }
    }
}
