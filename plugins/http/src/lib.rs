//! One HTTP request at a time, for agents that are granted `http`.
//!
//! It speaks `wasi:http`, which the host answers only for the origins of the grant. It follows no redirect and keeps no
//! connection: whoever wants the next address asks for it. A secret is named by its placeholder, `{secret:NAME}`, in a
//! header's value; the host puts the value there.
//!
//! Off wasm, in `cargo test`, the network is played by [`fake`].

#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
mod url;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
use fake as host;
#[cfg(target_arch = "wasm32")]
use wasm as host;

use std::fmt;

use bandstand_sdk::Failure;

pub use url::Url;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In capitals.
    pub method: String,
    /// Where to.
    pub url: Url,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// None for methods that have none.
    pub body: Option<Vec<u8>>,
    /// The longest time to the first byte, and between any two. Milliseconds; none: the host's own.
    pub timeout_ms: Option<u64>,
    /// The largest response body that is read. Bytes.
    pub response_bytes_max: usize,
}

impl Request {
    /// A request without headers, body or time.
    pub fn new(method: &str, url: Url) -> Request {
        Request {
            method: method.to_owned(),
            url,
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            response_bytes_max: 1 << 20,
        }
    }
}

/// What came back, whatever its status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    /// Names in small letters and values, in the server's order.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, which is in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// There is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The name of the error in `wasi:http`: `http-request-denied`, `connection-refused`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the same request can end otherwise.
    pub is_transient: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let make = if error.is_transient { Failure::recoverable } else { Failure::permanent };
        make(error.code, error.message)
    }
}

/// Sends the request and reads the whole response.
///
/// # Errors
/// When there is none: not granted, no such host, no connection, no answer in time, too large. A status is no error.
pub fn send(request: &Request) -> Result<Response, Error> {
    host::send(request)
}
