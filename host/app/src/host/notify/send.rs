//! Sending one notification: HTTP/1.1, over TLS where the address says so, one connection each, no redirects, no proxies. Only
//! the head of the answer is read, and nothing of it is shown but its status.

use std::path::PathBuf;
use std::time::Duration;

use bandstand_engine::Timestamp;
use bandstand_sandbox::authorities_from_pem;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use crate::host::outgoing;
use crate::host::outward::{self, AGENT, Place, Unreached};
use crate::host::signature::{ID_HEADER, SIGNATURE_HEADER, SigningKey, TIMESTAMP_HEADER};

/// The largest head of an answer. Bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;

/// `None`: the address is none, has no host, names a user, or has something after `#`.
pub(crate) fn place_of(url: &str) -> Option<Place> {
    if url.contains('#') {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    // A colon that no number follows, or one that is no port's.
    if authority.as_str().len() > authority.host().len() && !authority.as_str().contains('@') {
        authority.port_u16()?;
    }
    Place::of(&uri)
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was accepted.
    Accepted,
    /// It was not; it may be the next time.
    Again {
        /// Why.
        problem: String,
        /// How long the receiver wants to be left alone. Milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// It was not, and will not be.
    Refused {
        /// Why.
        problem: String,
    },
}

impl Sent {
    fn again(problem: impl Into<String>) -> Sent {
        Sent::Again { problem: problem.into(), retry_after_ms: None }
    }

    fn of(answer: &Response<Incoming>, now: Timestamp) -> Sent {
        let status = answer.status();
        let problem = format!("it answered {status}");
        match status.as_u16() {
            200..300 => Sent::Accepted,
            408 | 429 | 500..600 => {
                Sent::Again { problem, retry_after_ms: retry_after_ms(answer.headers(), now) }
            }
            300..400 => Sent::Refused { problem: format!("{problem}; redirects are not followed") },
            _ => Sent::Refused { problem },
        }
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after_ms(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    Some(Timestamp(at).since_ms(now))
}

/// Reaches endpoints. Clones share what they trust.
#[derive(Clone)]
pub(super) struct Sender {
    tls: TlsConnector,
}

impl Sender {
    /// Trusts the authorities that browsers trust, and those of these files.
    ///
    /// # Errors
    /// When a file holds no certificate.
    pub(super) fn new(authorities: &[PathBuf]) -> Result<Sender, String> {
        let mut roots = outward::usual_authorities();
        for path in authorities {
            let pem = outgoing::read(path)?;
            let found = authorities_from_pem(pem.as_bytes());
            for der in found.map_err(|problem| format!("{}: {problem}", path.display()))? {
                let added = roots.add(der.into());
                added.map_err(|problem| format!("{}: {problem}", path.display()))?;
            }
        }
        Ok(Sender { tls: outward::connector(roots)? })
    }

    /// Sends a body once, signed now.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        key: &SigningKey,
        (id, body): (&str, &str),
        now: Timestamp,
    ) -> Sent {
        let seconds = now.0.div_euclid(1_000);
        let signature = key.sign(id, seconds, body.as_bytes());
        let Some(request) = request(&endpoint.place, id, seconds, &signature, body) else {
            return Sent::Refused { problem: "its id cannot stand in a header".to_owned() };
        };
        let time = Duration::from_millis(endpoint.timeout_ms);
        match tokio::time::timeout(time, self.exchange(&endpoint.place, request)).await {
            Ok(Ok(answer)) => Sent::of(&answer, now),
            Ok(Err(problem)) => Sent::again(problem),
            Err(_) => Sent::again(format!("no answer within {} ms", endpoint.timeout_ms)),
        }
    }

    async fn exchange(
        &self,
        place: &Place,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let stream = place.connect(|| Ok(self.tls.clone())).await.map_err(|error| match error {
            Unreached::Nobody(error) => format!("no connection: {}", error.kind()),
            Unreached::Name => "its host is no name that a certificate can have".to_owned(),
            Unreached::NoTrust(problem) => problem,
            Unreached::Insecure(error) => format!("no secure connection: {error}"),
        })?;
        let broken = |error: hyper::Error| {
            if error.is_parse() || error.is_parse_too_large() {
                "its answer is no HTTP".to_owned()
            } else {
                "the connection broke before an answer".to_owned()
            }
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let mut driver = JoinSet::new();
        // What ends it early is told by the request. Dropped with this future, it closes the connection.
        driver.spawn(async { drop(connection.await) });
        sender.send_request(request).await.map_err(broken)
    }
}

fn request(
    place: &Place,
    id: &str,
    seconds: i64,
    signature: &str,
    body: &str,
) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = place.path.clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, place.authority.clone());
    headers.insert(header::USER_AGENT, AGENT);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(HeaderName::from_static(ID_HEADER), HeaderValue::from_str(id).ok()?);
    headers.insert(HeaderName::from_static(TIMESTAMP_HEADER), seconds.into());
    headers.insert(HeaderName::from_static(SIGNATURE_HEADER), HeaderValue::from_str(signature).ok()?);
    Some(request)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_path() {
        let place = place_of("https://hooks.example/T0/secret?x=1").unwrap();
        assert_eq!((place.origin().as_str(), place.port), ("https://hooks.example", 443));
        assert_eq!(place_of("http://[::1]:8080/x").unwrap().host, "::1");
        for odd in
            ["hooks.example", "ftp://a/x", "https://me@a/x", "https:///x", "https://a/x#y", "https://a:/x"]
        {
            assert_eq!(place_of(odd), None, "{odd}");
        }
    }

    #[test]
    fn how_long_to_wait_is_read_as_seconds_or_as_a_date() {
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            retry_after_ms(&headers, Timestamp(1_445_412_470_000))
        };
        assert_eq!(wait("7"), Some(7_000));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(10_000));
        assert_eq!(wait("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        assert_eq!(wait("soon"), None);
    }
}
