//! What can go wrong with an expression: syntax when it is compiled, a coded failure when it is evaluated.

use std::fmt;

use minijinja::{Error, ErrorKind};

/// The code of a failed evaluation; the class is always `expression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// A value that does not exist was used.
    Undefined,
    /// A value has a type that the operation does not take.
    Type,
    /// The instructions of one expression or template are used up.
    Fuel,
    /// The work units of one expression or template are used up, or a count is above its bound.
    Work,
    /// `none` where text is wanted.
    NullInText,
    /// A condition that is not a boolean.
    NotBool,
    /// `over` that is not a list. Raised by the engine.
    NotAList,
    /// An `input` that is not an object. Raised by the engine.
    InputNotObject,
    /// A number that is not finite or too big, or a division by zero.
    Number,
    /// The result is larger than its bound.
    ResultTooLarge,
    /// Anything else.
    Other,
}

impl ErrorCode {
    /// The code as it stands in journals and messages, in kebab-case.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::Undefined => "undefined",
            ErrorCode::Type => "type",
            ErrorCode::Fuel => "fuel",
            ErrorCode::Work => "work",
            ErrorCode::NullInText => "null-in-text",
            ErrorCode::NotBool => "not-bool",
            ErrorCode::NotAList => "not-a-list",
            ErrorCode::InputNotObject => "input-not-object",
            ErrorCode::Number => "number",
            ErrorCode::ResultTooLarge => "result-too-large",
            ErrorCode::Other => "other",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed evaluation. Permanent: the same expression over the same values fails again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}, in `{expression}` at {line}:{column}")]
pub struct EvaluateError {
    /// The code that the journal keeps.
    pub code: ErrorCode,
    /// What happened, with the type found; without the expression.
    pub message: String,
    /// The source of the expression.
    pub expression: String,
    /// Line of the expression's first character, from 1; 0 when unknown.
    pub line: u32,
    /// Column of the expression's first character, from 1; 0 when unknown.
    pub column: u32,
}

/// An expression or template that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, in `{expression}` at {line}:{column}")]
pub struct SyntaxError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// The source of the expression.
    pub expression: String,
    /// Byte offset of the problem in the source.
    pub offset: usize,
    /// Line of the expression's first character, from 1; 0 when unknown.
    pub line: u32,
    /// Column of the expression's first character, from 1; 0 when unknown.
    pub column: u32,
}

/// A failure on its way out of the virtual machine, which only knows its own kind of error.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }

    pub(super) fn of_type(message: impl Into<String>) -> Failure {
        Failure::new(ErrorCode::Type, message)
    }

    pub(super) fn undefined(message: impl Into<String>) -> Failure {
        Failure::new(ErrorCode::Undefined, message)
    }

    /// Takes the failure out of an error of the virtual machine, or makes one out of its kind.
    pub(super) fn from_error(error: &Error, source: &str) -> Failure {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(step) = cause {
            if let Some(failure) = step.downcast_ref::<Failure>() {
                return failure.clone();
            }
            cause = step.source();
        }
        // The machine's errors name the piece of source that failed by its place only.
        let piece = error.range().and_then(|range| source.get(range)).unwrap_or(source).trim();
        match error.kind() {
            ErrorKind::UndefinedError => {
                Failure::undefined(format!("`{piece}` uses a value that is undefined"))
            }
            ErrorKind::OutOfFuel => {
                Failure::new(ErrorCode::Fuel, "the expression takes too many instructions")
            }
            ErrorKind::InvalidOperation
            | ErrorKind::NonPrimitive
            | ErrorKind::NonKey
            | ErrorKind::TooManyArguments
            | ErrorKind::MissingArgument
            | ErrorKind::CannotUnpack => {
                let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                Failure::of_type(format!("`{piece}`: {detail}"))
            }
            _ => {
                let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
                Failure::new(ErrorCode::Other, format!("`{piece}`: {detail}"))
            }
        }
    }

    pub(super) fn at(self, expression: &str, line: u32, column: u32) -> EvaluateError {
        EvaluateError {
            code: self.code,
            message: self.message,
            expression: expression.to_owned(),
            line,
            column,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error::new(ErrorKind::InvalidOperation, failure.message.clone()).with_source(failure)
    }
}
