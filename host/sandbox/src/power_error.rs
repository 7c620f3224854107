//! Why a host function did not do as asked, for all powers alike: what stands behind one says it, the guest gets it as
//! the record `error` of the WIT.

use crate::bindings::types;

/// The kinds of `error-kind` in the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerErrorKind {
    /// Not granted, or refused to the operator.
    Denied,
    /// The arguments are wrong.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// A limit; the message names it, its value and its setting.
    Limit,
    /// Not now, or not here.
    Unavailable,
    /// The attempt is being ended.
    Cancelled,
    /// Anything else.
    Other,
}

/// Why what stands behind a power did not do as asked; the guest gets it as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct PowerError {
    /// The broad reason.
    pub kind: PowerErrorKind,
    /// The exact reason, kebab-case.
    pub code: String,
    /// For people.
    pub message: String,
    /// The earliest sensible time for another try. Milliseconds from now.
    pub retry_after_ms: Option<u32>,
}

impl PowerError {
    /// An error that gives no time for another try.
    pub fn new(kind: PowerErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), retry_after_ms: None }
    }
}

impl From<PowerError> for types::Error {
    fn from(told: PowerError) -> Self {
        let kind = match told.kind {
            PowerErrorKind::Denied => types::ErrorKind::Denied,
            PowerErrorKind::Invalid => types::ErrorKind::Invalid,
            PowerErrorKind::NotFound => types::ErrorKind::NotFound,
            PowerErrorKind::Limit => types::ErrorKind::Limit,
            PowerErrorKind::Unavailable => types::ErrorKind::Unavailable,
            PowerErrorKind::Cancelled => types::ErrorKind::Cancelled,
            PowerErrorKind::Other => types::ErrorKind::Other,
        };
        Self { kind, code: told.code, message: told.message, retry_after_ms: told.retry_after_ms }
    }
}

/// What the sandbox itself answers a guest.
pub(crate) fn error(kind: types::ErrorKind, code: &str, message: impl Into<String>) -> types::Error {
    types::Error { kind, code: code.to_owned(), message: message.into(), retry_after_ms: None }
}

/// The arguments are wrong.
pub(crate) fn invalid(code: &str, message: impl Into<String>) -> types::Error {
    error(types::ErrorKind::Invalid, code, message)
}
