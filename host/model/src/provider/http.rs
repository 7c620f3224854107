//! Requests to a provider: HTTP/1.1 over TLS, one connection a call, no redirects, no proxies, the key in one header, and
//! a bound to what is read. Dropping a call closes its connection.

use std::sync::Arc;
use std::time::Duration;

use bandstand_sandbox::{PowerError, PowerErrorKind};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto, pki_types::ServerName};

use super::{Provider, ProviderKind};
use crate::key::Key;
use crate::refusal;

/// The largest answer that is read. Bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The largest refusal that is read; it only has to hold a message. Bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// The largest head of an answer. Bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Of Anthropic's interface.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Reaches providers. Clones share what they trust.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The connection broke.
    Broken,
    /// Its certificate is not trusted.
    NoTrust,
    /// Nobody is there.
    NoWay,
    /// What came is no HTTP.
    Nonsense,
}

impl From<hyper::Error> for Lost {
    fn from(error: hyper::Error) -> Lost {
        if error.is_parse() || error.is_parse_too_large() { Lost::Nonsense } else { Lost::Broken }
    }
}

/// A place in an `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    secure: bool,
    authority: HeaderValue,
    host: String,
    port: u16,
    path: Uri,
}

impl Place {
    /// `None`: the address is none, has no host or names a user.
    fn of(url: &str) -> Option<Place> {
        let uri: Uri = url.parse().ok()?;
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        // An IPv6 address stands in brackets, which are not a part of it.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.port() {
            Some(_) => authority.port_u16()?,
            // A colon that no number follows.
            None if authority.as_str().len() > authority.host().len() => return None,
            None if secure => 443,
            None => 80,
        };
        Some(Place {
            secure,
            authority: HeaderValue::from_str(authority.as_str()).ok()?,
            host,
            port,
            path: uri.path_and_query()?.as_str().parse().ok()?,
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Client {
    /// Trusts the authorities that browsers trust, and those that this machine does: companies look into connections.
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` name others than the machine's.
    pub(crate) fn new() -> Result<Client, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // What cannot be read trusts nobody more.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn connect(&self, place: &Place) -> Result<Box<dyn Stream>, Lost> {
        let connect = async {
            let stream =
                TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|_| Lost::NoWay)?;
            // Small pieces are what a stream is about.
            let _ = stream.set_nodelay(true);
            if !place.secure {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let server = ServerName::try_from(place.host.clone()).map_err(|_| Lost::NoWay)?;
            let stream = self.tls.connect(server, stream).await.map_err(|_| Lost::NoTrust)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await.unwrap_or(Err(Lost::NoWay))
    }

    /// Connects, sends, and reads the head of the answer.
    async fn send(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<Reply, Lost> {
        let stream = self.connect(place).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        let mut driver = JoinSet::new();
        // What ends the connection early is told by whoever reads from it.
        driver.spawn(async { drop(connection.await) });
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body, _driver: driver })
    }
}

/// An answer that has begun.
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Incoming,
    /// What reads from the connection; dropping it closes that.
    _driver: JoinSet<()>,
}

impl Reply {
    /// The next piece of the body; `None` at its end.
    async fn chunk(&mut self) -> Result<Option<Bytes>, Lost> {
        while let Some(frame) = self.body.frame().await {
            // After the last piece may come trailers, which nobody reads.
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// How long the provider wants to be left alone.
fn retry_after_ms(headers: &HeaderMap) -> Option<u32> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number("retry-after-ms").or_else(|| number("retry-after").map(|seconds| seconds * 1_000.0));
    // A cast keeps within the type: what is too long becomes the longest.
    ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| ms.ceil() as u32)
}

/// The request, with the key where this kind of provider looks for it.
fn request(
    kind: ProviderKind,
    key: Option<&Key>,
    place: &Place,
    body: String,
) -> Option<Request<Full<Bytes>>> {
    const AGENT: HeaderValue = HeaderValue::from_static(concat!("bandstand/", env!("CARGO_PKG_VERSION")));
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = place.path.clone();
    let headers = request.headers_mut();
    headers.insert(header::HOST, place.authority.clone());
    headers.insert(header::USER_AGENT, AGENT);
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if kind == ProviderKind::Anthropic {
        headers.insert(HeaderName::from_static("anthropic-version"), ANTHROPIC_VERSION);
    }
    if let Some(key) = key {
        let (name, text) = match kind {
            ProviderKind::Anthropic => (HeaderName::from_static("x-api-key"), key.reveal().to_owned()),
            _ => (header::AUTHORIZATION, format!("Bearer {}", key.reveal())),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Some(request)
}

/// Sends a body and gives the answer, if it is a good one.
pub(super) async fn post(
    provider: &Provider,
    client: &Client,
    name: &str,
    path: &str,
    body: &Value,
) -> Result<Reply, PowerError> {
    let key = provider.usable_key(name)?;
    let lost = |lost| refusal::lost(lost, name);
    let place = Place::of(&provider.url(path)).ok_or(Lost::NoWay).map_err(lost)?;
    // A key has visible characters only, so there is always a request.
    let request = request(provider.kind, key, &place, body.to_string()).ok_or(Lost::NoWay).map_err(lost)?;
    let mut reply = client.send(&place, request).await.map_err(lost)?;
    if reply.status.is_success() {
        return Ok(reply);
    }
    let mut refused = Vec::new();
    while let Ok(Some(chunk)) = reply.chunk().await {
        refused.extend_from_slice(&chunk);
        if refused.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let retry_after_ms = retry_after_ms(&reply.headers);
    Err(refusal::of_status(reply.status.as_u16(), retry_after_ms, &refused, name, key))
}

/// A whole answer as JSON.
pub(super) async fn whole(mut reply: Reply, name: &str) -> Result<Value, PowerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reply.chunk().await.map_err(|lost| refusal::lost(lost, name))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(too_large(name));
        }
    }
    serde_json::from_slice(&bytes).map_err(|_| refusal::unreadable(name))
}

/// The `data` of Server-Sent Events, one by one.
pub(super) struct EventData<'a> {
    reply: Reply,
    name: &'a str,
    read: usize,
    waiting: Vec<u8>,
    /// How much of `waiting` was looked at and holds no end of a line.
    seen: usize,
}

impl<'a> EventData<'a> {
    pub(super) fn new(reply: Reply, name: &'a str) -> Self {
        Self { reply, name, read: 0, waiting: Vec::new(), seen: 0 }
    }

    /// The next; `None` at the end. Each event's data is one line, as both providers write it.
    pub(super) async fn next(&mut self) -> Result<Option<String>, PowerError> {
        loop {
            while let Some(end) = self.waiting[self.seen..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=self.seen + end).collect();
                self.seen = 0;
                if let Some(data) = data_of(&line) {
                    return Ok(Some(data));
                }
            }
            self.seen = self.waiting.len();
            match self.reply.chunk().await.map_err(|lost| refusal::lost(lost, self.name))? {
                Some(chunk) => {
                    self.read += chunk.len();
                    if self.read > ANSWER_BYTES_MAX {
                        return Err(too_large(self.name));
                    }
                    self.waiting.extend_from_slice(&chunk);
                }
                None => {
                    let line = std::mem::take(&mut self.waiting);
                    self.seen = 0;
                    return Ok(data_of(&line));
                }
            }
        }
    }
}

fn data_of(line: &[u8]) -> Option<String> {
    let data = String::from_utf8_lossy(line.strip_prefix(b"data:")?).trim().to_owned();
    (!data.is_empty()).then_some(data)
}

fn too_large(name: &str) -> PowerError {
    let what = format!(
        "the answer of the model `{name}` has more than {ANSWER_BYTES_MAX} bytes (limit answer-bytes, fixed by the host)"
    );
    PowerError::new(PowerErrorKind::Limit, "answer-too-large", what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn places_are_read_and_odd_ones_are_none() {
        let place =
            |url| Place::of(url).map(|place| (place.secure, place.host, place.port, place.path.to_string()));
        let some =
            |secure, host: &str, port, path: &str| Some((secure, host.to_owned(), port, path.to_owned()));
        assert_eq!(place("https://a.example/v1/x"), some(true, "a.example", 443, "/v1/x"));
        assert_eq!(place("http://[::1]:8080/x"), some(false, "::1", 8080, "/x"));
        assert_eq!(place("http://[::1]/x?y=1"), some(false, "::1", 80, "/x?y=1"));
        for odd in [
            "ftp://a/x",
            "https://me@a/x",
            "https:///x",
            "https://a/x y",
            "https://a:b/x",
            "https://a:/x",
            "/x",
        ] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }

    #[test]
    fn how_long_to_wait_is_read_from_either_header() {
        let wait = |name: &'static str, value: &str| {
            retry_after_ms(&HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]))
        };
        assert_eq!(wait("retry-after", "1.5"), Some(1_500));
        assert_eq!(wait("retry-after-ms", "20"), Some(20));
        assert_eq!(wait("retry-after", "99999999999"), Some(u32::MAX));
        assert_eq!(wait("retry-after", "-1"), None);
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn the_key_is_where_the_provider_looks_and_cannot_be_printed() {
        let key = Key::new("sk-0123456789").unwrap();
        let place = Place::of("http://127.0.0.1:1/v1/x").unwrap();
        for (kind, name, value) in [
            (ProviderKind::OpenAi, "authorization", "Bearer sk-0123456789"),
            (ProviderKind::Anthropic, "x-api-key", "sk-0123456789"),
        ] {
            let request = request(kind, Some(&key), &place, "{}".to_owned()).unwrap();
            assert_eq!(request.headers()[name], value);
            assert!(!format!("{request:?}").contains("sk-0"));
        }
    }

    /// What a provider that answers with these bytes is understood to say.
    async fn answered(pieces: &'static [&'static [u8]]) -> Result<(u16, String), Lost> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::of(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}") {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            for piece in pieces {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let request = request(ProviderKind::Ollama, None, &place, "{}".to_owned()).unwrap();
        let mut reply = Client::new().unwrap().send(&place, request).await?;
        let mut all = Vec::new();
        while let Some(piece) = reply.chunk().await? {
            all.extend_from_slice(&piece);
        }
        served.await.unwrap();
        Ok((reply.status.as_u16(), String::from_utf8(all).unwrap()))
    }

    #[tokio::test]
    async fn bodies_are_read_however_they_are_cut() {
        let ok = |text: &str| Ok((200, text.to_owned()));
        let chunks: &[&[u8]] = &[
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-",
            b"Encoding: chunked\r\n\r\n5\r\nhel",
            b"lo\r",
            b"\n1;x=y\r\n,\r\n",
            b"A\r\n the world\r\n0\r\n\r\n",
        ];
        assert_eq!(answered(chunks).await, ok("hello, the world"));
        assert_eq!(
            answered(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", b"lloX"]).await,
            ok("hello")
        );
        assert_eq!(answered(&[b"HTTP/1.1 200 OK\r\n\r\nhe", b"llo"]).await, ok("hello"));
        let cut = answered(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"]).await;
        assert_eq!(cut, Err(Lost::Broken));
        let cut = answered(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe"]).await;
        assert_eq!(cut, Err(Lost::Broken));
        assert_eq!(answered(&[b"SSH-2.0-x\r\n\r\n"]).await, Err(Lost::Nonsense));
        assert_eq!(answered(&[b""]).await, Err(Lost::Broken));
    }
}
