//! Sends spans to a receiver of OTLP over HTTP, on a thread of its own. The queue is bounded: when it is full, or the receiver
//! does not take them, spans are dropped and counted. Nobody ever waits for it but who closes the host, and only a moment.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{Span, otlp};
use crate::host::outward::{self, AGENT, Place, Stream, Unreached};

/// Spans that wait. With about 700 bytes each, some megabytes.
const QUEUE_MAX: usize = 8_192;
/// Spans of one request.
const BATCH_MAX: usize = 512;
/// How long the first span of a batch waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// A request may take so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before a batch is sent again.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How often it is told that spans are dropped.
const WARNING_EVERY: Duration = Duration::from_secs(60);
/// How long the end of a host waits for the last spans.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// The largest answer that is read. Bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A receiver of traces.
#[derive(Clone, Debug)]
pub struct Otlp {
    place: Place,
    headers: Headers,
    service: String,
}

/// Why there is no receiver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// The address is none.
    #[error("`otlp` is no address such as \"http://127.0.0.1:4318\"")]
    Address,
    /// The headers cannot be read.
    #[error("{0} holds no headers: it must be `name=value` pairs with commas between")]
    Headers(String),
}

/// Headers that go with each request; they may hold keys, so they cannot be shown.
#[derive(Clone, Default)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Headers {
    /// Reads `name=value,name=value`. `from` is where the text comes from, for the error.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str, from: &str) -> Result<Headers, OtlpError> {
        let wrong = || OtlpError::Headers(from.to_owned());
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let header = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse::<HeaderName>().ok()?, value))
        };
        pairs.map(|pair| header(pair).ok_or_else(wrong)).collect::<Result<_, _>>().map(Headers)
    }
}

impl Otlp {
    /// A receiver at that address, to which `/v1/traces` is added.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(address: &str, headers: Headers, service: &str) -> Result<Otlp, OtlpError> {
        let place = place_of(address).ok_or(OtlpError::Address)?;
        Ok(Otlp { place, headers, service: service.to_owned() })
    }
}

/// The place of traces at an address.
fn place_of(address: &str) -> Option<Place> {
    Place::of(&format!("{}/v1/traces", address.trim_end_matches('/')).parse().ok()?)
}

/// What spans are given to.
#[derive(Debug)]
pub(crate) struct Exporter {
    spans: mpsc::Sender<Span>,
    dropped: Counter,
    closing: Arc<AtomicBool>,
    /// Its other end goes with the thread.
    done: std::sync::mpsc::Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) fn start(otlp: Otlp, sent: Counter, dropped: Counter) -> std::io::Result<Exporter> {
        let (spans, queue) = mpsc::channel(QUEUE_MAX);
        let closing = Arc::new(AtomicBool::new(false));
        let (ended, done) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sender = Sender {
            otlp,
            tls: None,
            sent,
            dropped: dropped.clone(),
            closing: closing.clone(),
            warned: None,
        };
        std::thread::Builder::new().name("traces".to_owned()).spawn(move || {
            runtime.block_on(sender.run(queue));
            drop(ended);
        })?;
        Ok(Exporter { spans, dropped, closing, done })
    }

    /// Hands over a span; drops it when too many wait.
    pub(super) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    /// Sends what waits, as long as that takes no longer than a moment. Blocks.
    pub(crate) fn close(self) {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.spans);
        // Nothing is ever sent there: either the thread ends, or the time.
        let _ = self.done.recv_timeout(CLOSING_MAX);
    }
}

/// The thread's side.
struct Sender {
    otlp: Otlp,
    tls: Option<TlsConnector>,
    sent: Counter,
    dropped: Counter,
    closing: Arc<AtomicBool>,
    warned: Option<Instant>,
}

/// Why a batch was not taken.
enum Lost {
    /// Another try may help.
    Now(String),
    /// None will.
    ForGood(String),
}

impl Sender {
    async fn run(mut self, mut queue: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            batch.clear();
            if queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            let until = tokio::time::Instant::now() + LINGER;
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                match tokio::time::timeout_at(until, queue.recv_many(&mut batch, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let body = otlp::request(&self.otlp.service, &batch).to_string();
            self.deliver(body.into(), batch.len() as u64).await;
        }
    }

    async fn deliver(&mut self, body: Bytes, spans: u64) {
        let mut pauses = PAUSES.iter();
        let problem = loop {
            let posted = tokio::time::timeout(REQUEST_TIMEOUT, self.post(body.clone())).await;
            match posted.unwrap_or_else(|_| Err(Lost::Now("it did not answer in time".to_owned()))) {
                Ok(()) => {
                    self.sent.inc_by(spans);
                    return;
                }
                Err(Lost::ForGood(problem)) => break problem,
                Err(Lost::Now(problem)) => match pauses.next() {
                    Some(pause) if !self.closing.load(Ordering::Relaxed) => tokio::time::sleep(*pause).await,
                    _ => break problem,
                },
            }
        };
        self.dropped.inc_by(spans);
        if self.warned.is_none_or(|warned| warned.elapsed() > WARNING_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!(
                problem,
                spans,
                "the receiver of traces ([telemetry] otlp) did not take spans; runs go on without"
            );
        }
    }

    async fn post(&mut self, body: Bytes) -> Result<(), Lost> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.otlp.place.path.clone();
        let headers = request.headers_mut();
        for (name, value) in &self.otlp.headers.0 {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(header::HOST, self.otlp.place.authority.clone());
        headers.insert(header::USER_AGENT, AGENT);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let stream = self.connect().await?;
        let broken = |error: hyper::Error| Lost::Now(format!("the connection broke: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        // Read to its end, so that the receiver is not cut off; what it says beyond the status is not needed.
        let _ = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        match head.status {
            status if status.is_success() => Ok(()),
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Err(Lost::Now(format!("it answers {status}"))),
            status => Err(Lost::ForGood(format!("it answers {status}"))),
        }
    }

    async fn connect(&mut self) -> Result<Box<dyn Stream>, Lost> {
        let known = &mut self.tls;
        let tls = || match known {
            Some(tls) => Ok(tls.clone()),
            None => Ok(known.insert(connector()?).clone()),
        };
        self.otlp.place.connect(tls).await.map_err(|error| match error {
            Unreached::Nobody(error) => Lost::Now(format!("it cannot be reached: {error}")),
            Unreached::Name => Lost::ForGood("its name is none that a certificate can have".to_owned()),
            Unreached::NoTrust(problem) => Lost::ForGood(problem),
            Unreached::Insecure(error) => Lost::Now(format!("no TLS with it: {error}")),
        })
    }
}

/// Trusts the authorities that browsers trust, and those that this machine does.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = outward::usual_authorities();
    // What cannot be read trusts nobody more.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    outward::connector(roots)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_headers_are_read_and_keys_are_not_shown() {
        let place = place_of("http://127.0.0.1:4318/").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.path.path()), ("127.0.0.1", 4318, "/v1/traces"));
        let place = place_of("https://otel.example.com/base").unwrap();
        assert_eq!((place.port, place.secure, place.path.path()), (443, true, "/base/v1/traces"));
        for wrong in ["", "127.0.0.1:4318", "ftp://a", "http://u:p@a", "http://"] {
            assert_eq!(place_of(wrong), None, "{wrong}");
        }
        let headers = Headers::parse("x-key = s3cret, x-team=a", "KEYS").unwrap();
        assert_eq!(headers.0.len(), 2);
        let otlp = Otlp::new("http://a", headers, "bandstand").unwrap();
        assert!(!format!("{otlp:?}").contains("s3cret"));
        let error = Headers::parse("nonsense", "KEYS").unwrap_err();
        assert!(error.to_string().starts_with("KEYS holds no headers"), "{error}");
    }
}
