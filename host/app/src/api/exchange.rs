//! One request and its answer: HTTP/1.1 over a connection of its own. What a server says is read within bounds of size and
//! time; an answer that is none of Bandstand's is told as that.

use std::io::Write;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use super::error::{ApiError, Told};
use super::target::Api;
use crate::host::outward::{AGENT, Unreached};
use crate::server::guard::VERSION;

/// The largest head of an answer. Bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
/// The largest answer that is held in memory. Bytes.
const ANSWER_BYTES_MAX: u64 = 128 << 20;
/// The largest problem. Bytes.
const PROBLEM_BYTES_MAX: u64 = 1 << 20;
/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take to begin, beyond what it was asked to wait for, and to go on.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A line may be as slow as this. Bytes a second.
const SENT_A_SECOND_MIN: usize = 64 << 10;
/// What the path of a server's own answer that knows no such path begins with.
const NO_SUCH_PATH: &str = "there is nothing at this path";

/// What is asked.
#[derive(Debug)]
pub struct Asked {
    method: Method,
    /// Behind the API's prefix.
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// So long it may wait before it answers.
    waits: Duration,
    /// A header whose value cannot be sent.
    wrong: Option<HeaderName>,
}

impl Asked {
    /// A request without a body. `path` begins with a slash.
    pub fn new(method: Method, path: impl Into<String>) -> Asked {
        let (headers, body) = (Vec::new(), Bytes::new());
        Asked { method, path: path.into(), headers, body, waits: Duration::ZERO, wrong: None }
    }

    /// GET.
    pub fn get(path: impl Into<String>) -> Asked {
        Asked::new(Method::GET, path)
    }

    /// POST with a JSON body.
    pub fn post(path: impl Into<String>, body: &Value) -> Asked {
        Asked::new(Method::POST, path).body("application/json", body.to_string().into_bytes())
    }

    /// With that body.
    pub fn body(mut self, typed: &'static str, body: Vec<u8>) -> Asked {
        self.body = body.into();
        self.headers.push((header::CONTENT_TYPE, HeaderValue::from_static(typed)));
        self
    }

    /// With a header, if there is a value. One that cannot stand in a header is refused when it is asked.
    pub fn header(mut self, name: HeaderName, value: Option<&str>) -> Asked {
        match value.map(HeaderValue::from_str) {
            Some(Ok(value)) => self.headers.push((name, value)),
            Some(Err(_)) => self.wrong = Some(name),
            None => {}
        }
        self
    }

    /// Named, so that the same request again is known.
    pub fn key(self, request_id: Option<&str>) -> Asked {
        self.header(HeaderName::from_static("idempotency-key"), request_id)
    }

    /// It is answered later by so much.
    pub fn waiting(mut self, waits: Duration) -> Asked {
        self.waits = waits;
        self
    }
}

/// An answer whose body was not read yet.
pub(super) struct Answered {
    response: Response<Incoming>,
    origin: String,
    /// Drives the connection; dropped, it is closed.
    _driver: JoinSet<()>,
}

impl Api {
    /// Asks, and reads the JSON of the answer.
    ///
    /// # Errors
    /// When the server cannot be reached, says no, or is none.
    pub async fn json<T: DeserializeOwned>(&self, asked: Asked) -> Result<T, ApiError> {
        let answered = self.ask(asked).await?;
        let theirs = answered.version();
        let bytes = answered.bytes(ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_understood(theirs, &error.to_string()))
    }

    /// Asks, and reads the text of the answer.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn text(&self, asked: Asked) -> Result<String, ApiError> {
        let answered = self.ask(asked).await?;
        let theirs = answered.version();
        let bytes = answered.bytes(ANSWER_BYTES_MAX).await?;
        String::from_utf8(bytes).map_err(|error| self.not_understood(theirs, &error.to_string()))
    }

    /// Asks for something to be done whose answer says nothing more.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn done(&self, asked: Asked) -> Result<(), ApiError> {
        self.ask(asked).await.map(drop)
    }

    /// Asks, and writes the body of the answer as it comes; how many bytes it has.
    ///
    /// # Errors
    /// As [`Api::json`], or when it cannot be written.
    pub async fn download(&self, asked: Asked, to: &mut dyn Write) -> Result<u64, ApiError> {
        let mut answered = self.ask(asked).await?;
        let mut bytes = 0;
        while let Some(part) = answered.part(SILENCE_MAX).await? {
            bytes += part.len() as u64;
            to.write_all(&part).map_err(|error| ApiError::Written(error.to_string()))?;
        }
        to.flush().map_err(|error| ApiError::Written(error.to_string()))?;
        Ok(bytes)
    }

    /// Asks; the answer says that it was done.
    pub(super) async fn ask(&self, asked: Asked) -> Result<Answered, ApiError> {
        if let Some(name) = asked.wrong {
            return Err(ApiError::Header(name.to_string()));
        }
        // What is large takes its time on a slow line.
        let sending = Duration::from_secs((asked.body.len() / SENT_A_SECOND_MIN) as u64);
        let within = asked.waits + sending + SILENCE_MAX;
        let request = self.request(asked);
        let answered = tokio::time::timeout(within, self.exchange(request));
        let answered = answered.await.map_err(|_| self.broken("it did not answer in time"))??;
        let status = answered.response.status();
        let theirs = answered.version();
        if status.is_success() && theirs.is_some() {
            return Ok(answered);
        }
        let typed = answered.response.headers().get(header::CONTENT_TYPE);
        let problem = typed.is_some_and(|typed| typed.as_bytes().starts_with(b"application/problem+json"));
        if !problem || status.is_success() {
            let answered = if status.is_redirection() {
                format!("it answered {status}; redirects are not followed")
            } else {
                format!("it answered {status}")
            };
            return Err(ApiError::NotOurs { origin: self.origin(), problem: answered });
        }
        let bytes = answered.bytes(PROBLEM_BYTES_MAX).await?;
        let told: Told = serde_json::from_slice(&bytes)
            .map_err(|error| self.not_understood(theirs.clone(), &error.to_string()))?;
        if status == StatusCode::METHOD_NOT_ALLOWED || told.detail.starts_with(NO_SUCH_PATH) {
            return Err(self.not_understood(theirs, &told.detail));
        }
        Err(ApiError::Problem { told, with_token: self.has_token() })
    }

    fn request(&self, asked: Asked) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(asked.body));
        *request.method_mut() = asked.method;
        // Parts of paths are escaped, so this is one.
        *request.uri_mut() = format!("{}{}", self.0.prefix, asked.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.0.place.authority.clone());
        headers.insert(header::USER_AGENT, AGENT);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("application/json, application/problem+json, */*;q=0.5"),
        );
        if let Some(token) = &self.0.token {
            headers.insert(header::AUTHORIZATION, token.header());
        }
        headers.extend(asked.headers);
        request
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answered, ApiError> {
        let origin = self.origin();
        let tls =
            || self.0.tls.clone().ok_or_else(|| "there is nothing to check its certificate by".to_owned());
        let connected = tokio::time::timeout(CONNECT_WITHIN, self.0.place.connect(tls)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(unreached)) => return Err(self.unreached(unreached)),
            Err(_) => {
                let problem = format!("no connection within {} s", CONNECT_WITHIN.as_secs());
                return Err(ApiError::Unreached { origin, problem });
            }
        };
        let broken = |error: hyper::Error| {
            if error.is_parse() || error.is_parse_too_large() {
                ApiError::NotOurs { origin: self.origin(), problem: "what it sends is no HTTP".to_owned() }
            } else {
                self.broken(&error.to_string())
            }
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let mut driver = JoinSet::new();
        // What ends it early is told by the request or its body.
        driver.spawn(async { drop(connection.await) });
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(Answered { response, origin, _driver: driver })
    }

    fn unreached(&self, unreached: Unreached) -> ApiError {
        let origin = self.origin();
        let insecure = |problem: String| ApiError::Insecure { origin: self.origin(), problem };
        match unreached {
            Unreached::Nobody(error) => ApiError::Unreached { origin, problem: error.kind().to_string() },
            Unreached::Name => insecure("its host is no name that a certificate can have".to_owned()),
            Unreached::NoTrust(problem) => insecure(problem),
            Unreached::Insecure(error) => insecure(error.to_string()),
        }
    }

    fn broken(&self, problem: &str) -> ApiError {
        ApiError::Broken { origin: self.origin(), problem: problem.to_owned() }
    }

    /// Another version's words, or nobody's.
    pub(super) fn not_understood(&self, theirs: Option<String>, problem: &str) -> ApiError {
        let ours = env!("CARGO_PKG_VERSION");
        match theirs {
            Some(theirs) => {
                ApiError::Version { origin: self.origin(), theirs, ours, problem: problem.to_owned() }
            }
            None => ApiError::NotOurs { origin: self.origin(), problem: problem.to_owned() },
        }
    }
}

impl Answered {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The version that the server says it is.
    pub(super) fn version(&self) -> Option<String> {
        self.header(&VERSION)
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<String> {
        let value = self.response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    }

    /// The next part of the body; none: it is whole.
    pub(super) async fn part(&mut self, within: Duration) -> Result<Option<Bytes>, ApiError> {
        loop {
            let broken = |problem: String| ApiError::Broken { origin: self.origin.clone(), problem };
            let frame = tokio::time::timeout(within, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| broken(format!("nothing came for {} s", within.as_secs())))?;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers say nothing.
            if let Ok(part) = frame.map_err(|error| broken(error.to_string()))?.into_data() {
                return Ok(Some(part));
            }
        }
    }

    async fn bytes(mut self, bytes_max: u64) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::new();
        while let Some(part) = self.part(SILENCE_MAX).await? {
            if (bytes.len() + part.len()) as u64 > bytes_max {
                return Err(ApiError::TooLarge { origin: self.origin, bytes_max });
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }
}
