//! Errors as RFC 9457 has them: `application/problem+json`, with a code of our own and, where a workflow file is wrong, its
//! diagnostics.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bandstand_driver::Refusal;
use bandstand_store::{FindError, ReadError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::host::HostError;

/// What is wrong with a request, or why it was not carried out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `/problems/CODE`, where it is described.
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, where, and what to do next.
    pub detail: String,
    /// The kind, as programs look at it.
    pub code: Code,
    /// Of a workflow file: everything that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<Value>,
    /// When another try makes sense, in seconds.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident $word:literal $status:ident;)+) => {
        /// The kinds of problems. Further ones may come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$code),+];

            /// The word.
            pub fn name(self) -> &'static str {
                match self { $(Code::$code => $word),+ }
            }

            /// The HTTP status that it goes with.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$code => StatusCode::$status),+ }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$code => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read: its syntax, its parameters or its body are wrong.
    BadRequest "bad-request" BAD_REQUEST;
    /// No token, or one that is not known.
    Unauthorized "unauthorized" UNAUTHORIZED;
    /// The token's roles do not cover this, or the request comes from a page or for a name that is not permitted.
    Forbidden "forbidden" FORBIDDEN;
    /// There is no such thing.
    NotFound "not-found" NOT_FOUND;
    /// The thing is there, and this cannot be done to it.
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED;
    /// It is not in a state for this: it has ended, was answered otherwise, or another run is in the way.
    Conflict "conflict" CONFLICT;
    /// What was to be changed is not what the request was made for: somebody else was first.
    Changed "changed" PRECONDITION_FAILED;
    /// The body or a header is larger than is taken.
    TooLarge "too-large" PAYLOAD_TOO_LARGE;
    /// The body is of a type that is not taken here.
    UnsupportedType "unsupported-type" UNSUPPORTED_MEDIA_TYPE;
    /// The body can be read, but what it says does not fit: an input against its schema, a workflow file with errors.
    Invalid "invalid" UNPROCESSABLE_ENTITY;
    /// The idempotency key was used with another request.
    KeyReused "key-reused" UNPROCESSABLE_ENTITY;
    /// More requests than are permitted.
    TooMany "too-many" TOO_MANY_REQUESTS;
    /// The host met something unforeseen.
    Internal "internal" INTERNAL_SERVER_ERROR;
    /// The disk did not keep what it was given, so nothing of it was taken.
    Storage "storage" SERVICE_UNAVAILABLE;
    /// The host is starting, closing or has no room; the same request may be taken later.
    Unavailable "unavailable" SERVICE_UNAVAILABLE;
}

impl Problem {
    /// Of that kind; `detail` says what, where, and what to do next.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: format!("/problems/{}", code.name()),
            title: code.name().replace('-', " "),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            diagnostics: Vec::new(),
            retry_after: None,
        }
    }

    /// With what is wrong in a workflow file.
    pub fn with_diagnostics(mut self, diagnostics: Vec<Value>) -> Problem {
        self.diagnostics = diagnostics;
        self
    }

    /// With the time after which another try makes sense. Seconds.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// The server takes nothing more; the next one will.
    pub fn closing() -> Problem {
        Problem::new(Code::Unavailable, "the server is closing; ask again").retry_after(1)
    }

    /// There is no such run.
    pub fn no_run(run_id: &str) -> Problem {
        Problem::new(
            Code::NotFound,
            format!("there is no run `{run_id}` here; GET /api/v1/runs lists those there are"),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // What is left of the body is not read, so nothing more can be asked on this connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Problem {
        let code = match &error {
            HostError::NoSuchRun(_) | HostError::NoSuchThread { .. } => Code::NotFound,
            HostError::RequestTaken { .. } => Code::KeyReused,
            HostError::Closing | HostError::HolderLeft => Code::Unavailable,
            HostError::Storage(_) => Code::Storage,
            HostError::Refused(Refusal::NoSuchRun(_)) => Code::NotFound,
            error => match error.exit_code() {
                2 => Code::Invalid,
                3 => Code::Conflict,
                74 => Code::Storage,
                _ => Code::Internal,
            },
        };
        if code == Code::Internal {
            tracing::error!(%error, "a request met something unforeseen");
        }
        let problem = Problem::new(code, error.to_string());
        if [Code::Unavailable, Code::Storage].contains(&code) { problem.retry_after(1) } else { problem }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        let code = match &error {
            ReadError::BadCursor(_) => Code::BadRequest,
            ReadError::NotFound(_) => Code::NotFound,
            ReadError::TooSlow { .. } => Code::Unavailable,
            _ => Code::Internal,
        };
        if code == Code::Internal {
            tracing::error!(%error, "the store could not be read for a request");
        }
        Problem::new(code, error.to_string())
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Problem {
        match error {
            FindError::Read(error) => error.into(),
            error => Problem::new(Code::NotFound, error.to_string()),
        }
    }
}

impl From<crate::cli::exit::Failure> for Problem {
    fn from(failure: crate::cli::exit::Failure) -> Problem {
        use crate::cli::exit::Exit;
        let code = match failure.exit {
            Exit::Usage => Code::BadRequest,
            Exit::NotFound => Code::NotFound,
            Exit::Storage => Code::Storage,
            _ => Code::Internal,
        };
        Problem::new(code, failure.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_is_called() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(Value::from(code.name())));
        }
    }
}
