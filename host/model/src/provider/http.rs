//! Requests to a provider: HTTP/1.1 over TLS, one connection a call, no redirects, no proxies, the key in one header, and
//! a bound to what is read. Dropping a call closes its connection.
//!
//! All that is needed of HTTP is one POST and its answer, so it is done here, over a parser of heads.

use std::sync::Arc;
use std::time::Duration;

use bandstand_sandbox::{PowerError, PowerErrorKind};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto, pki_types::ServerName};

use super::{Provider, ProviderKind};
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
const ANTHROPIC_VERSION: &str = "2023-06-01";

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

/// A place in an `http` or `https` address. There is no user, query or fragment in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place<'a> {
    secure: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Option<Place<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/')?);
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let good = !host.is_empty() && plain(authority) && plain(path) && !authority.contains('@');
        good.then_some(Place { secure, authority, host, port, path })
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

    async fn connect(&self, place: &Place<'_>) -> Result<Box<dyn Stream>, Lost> {
        let connect = async {
            let stream = TcpStream::connect((place.host, place.port)).await.map_err(|_| Lost::NoWay)?;
            // Small pieces are what a stream is about.
            let _ = stream.set_nodelay(true);
            if !place.secure {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let server = ServerName::try_from(place.host.to_owned()).map_err(|_| Lost::NoWay)?;
            let stream = self.tls.connect(server, stream).await.map_err(|_| Lost::NoTrust)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await.unwrap_or(Err(Lost::NoWay))
    }

    /// Connects, sends, and reads the head of the answer.
    async fn send(&self, place: &Place<'_>, request: &[u8]) -> Result<Reply, Lost> {
        let mut stream = self.connect(place).await?;
        stream.write_all(request).await.map_err(|_| Lost::Broken)?;
        stream.flush().await.map_err(|_| Lost::Broken)?;
        let mut bytes = Vec::new();
        loop {
            if let Some((head, length)) = Head::parse(&bytes)? {
                bytes.drain(..length);
                // An interim answer; the real one follows.
                if !(100..200).contains(&head.status) {
                    return Ok(Reply { stream, rest: bytes, body: head.body, head });
                }
                continue;
            }
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(Lost::Nonsense);
            }
            if read_more(&mut stream, &mut bytes).await? == 0 {
                return Err(Lost::Broken);
            }
        }
    }
}

async fn read_more(stream: &mut Box<dyn Stream>, into: &mut Vec<u8>) -> Result<usize, Lost> {
    into.reserve(16 << 10);
    stream.read_buf(into).await.map_err(|_| Lost::Broken)
}

/// What stands before an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    retry_after_ms: Option<u32>,
    body: Body,
}

/// How much of the body is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks: so many bytes of this one; none: a length is next.
    Chunked(u64),
    /// Up to the end of the connection.
    ToTheEnd,
    /// Nothing more.
    Over,
}

impl Head {
    /// The head at the beginning, and how long it is; `None`: it is not whole yet.
    fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Lost> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Lost::Nonsense),
        };
        let find = |name: &str| {
            let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        let status = parsed.code.ok_or(Lost::Nonsense)?;
        let chunked = find("transfer-encoding").is_some_and(|coding| {
            coding.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        });
        let body = if status == 204 || status == 304 || status < 200 {
            Body::Over
        } else if chunked {
            Body::Chunked(0)
        } else if let Some(length) = find("content-length") {
            Body::Length(length.parse().map_err(|_| Lost::Nonsense)?)
        } else {
            Body::ToTheEnd
        };
        let number = |name: &str| find(name)?.parse::<f64>().ok();
        let ms = number("retry-after-ms").or_else(|| number("retry-after").map(|seconds| seconds * 1_000.0));
        // A cast keeps within the type: what is too long becomes the longest.
        let retry_after_ms = ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| ms.ceil() as u32);
        Ok(Some((Head { status, retry_after_ms, body }, length)))
    }
}

/// An answer that has begun.
pub(super) struct Reply {
    stream: Box<dyn Stream>,
    head: Head,
    body: Body,
    /// Read, and not looked at.
    rest: Vec<u8>,
}

impl Reply {
    /// The next piece of the body; `None` at its end.
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Lost> {
        loop {
            match self.body {
                Body::Over | Body::Length(0) => return Ok(None),
                Body::Chunked(0) => {
                    if let Some(size) = self.chunk_size()? {
                        // After the last one come trailers, which nobody reads.
                        self.body = if size == 0 { Body::Over } else { Body::Chunked(size) };
                        continue;
                    }
                }
                _ if self.rest.is_empty() => {}
                Body::Length(left) => {
                    let piece = self.take(left);
                    self.body = Body::Length(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Body::Chunked(left) => {
                    let piece = self.take(left);
                    self.body = Body::Chunked(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Body::ToTheEnd => return Ok(Some(std::mem::take(&mut self.rest))),
            }
            if read_more(&mut self.stream, &mut self.rest).await? == 0 {
                return if self.body == Body::ToTheEnd { Ok(None) } else { Err(Lost::Broken) };
            }
        }
    }

    fn take(&mut self, at_most: u64) -> Vec<u8> {
        let length = usize::try_from(at_most).unwrap_or(usize::MAX).min(self.rest.len());
        self.rest.drain(..length).collect()
    }

    /// The length of the next chunk, once its line is there. The line end of the chunk before stands in front of it.
    fn chunk_size(&mut self) -> Result<Option<u64>, Lost> {
        let skip = if self.rest.starts_with(b"\r\n") { 2 } else { 0 };
        match httparse::parse_chunk_size(&self.rest[skip..]) {
            Ok(httparse::Status::Complete((length, size))) => {
                self.rest.drain(..skip + length);
                Ok(Some(size))
            }
            // Such a line is short; one that never ends is none.
            Ok(httparse::Status::Partial) if self.rest.len() <= HEAD_BYTES_MAX => Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => Err(Lost::Nonsense),
        }
    }
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
    let url = provider.url(path);
    let place = Place::of(&url).ok_or_else(|| refusal::lost(Lost::NoWay, name))?;
    let body = body.to_string();
    let mut request = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: bandstand/{}\r\naccept-encoding: identity\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n",
        place.path,
        place.authority,
        env!("CARGO_PKG_VERSION"),
        body.len()
    );
    if provider.kind == ProviderKind::Anthropic {
        request.push_str(&format!("anthropic-version: {ANTHROPIC_VERSION}\r\n"));
    }
    if let Some(key) = key {
        // A key has visible characters only, so it ends no line.
        let header = match provider.kind {
            ProviderKind::Anthropic => format!("x-api-key: {}\r\n", key.reveal()),
            _ => format!("authorization: Bearer {}\r\n", key.reveal()),
        };
        request.push_str(&header);
    }
    request.push_str("\r\n");
    request.push_str(&body);
    let sent = client.send(&place, request.as_bytes()).await;
    let mut reply = sent.map_err(|lost| refusal::lost(lost, name))?;
    if (200..300).contains(&reply.head.status) {
        return Ok(reply);
    }
    let mut refused = Vec::new();
    while let Ok(Some(chunk)) = reply.chunk().await {
        refused.extend_from_slice(&chunk);
        if refused.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    Err(refusal::of_status(reply.head.status, reply.head.retry_after_ms, &refused, name, key))
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
    use super::*;

    #[test]
    fn places_are_read_and_odd_ones_are_none() {
        let place = |url| Place::of(url).map(|place| (place.secure, place.host, place.port, place.path));
        assert_eq!(place("https://a.example/v1/x"), Some((true, "a.example", 443, "/v1/x")));
        assert_eq!(place("http://[::1]:8080/x"), Some((false, "::1", 8080, "/x")));
        assert_eq!(place("http://[::1]/x"), Some((false, "::1", 80, "/x")));
        for odd in
            ["ftp://a/x", "https://me@a/x", "https://a", "https:///x", "https://a/x y", "https://a:b/x"]
        {
            assert_eq!(place(odd), None, "{odd}");
        }
    }

    #[test]
    fn heads_are_read() {
        let head = |text: &str| Head::parse(text.as_bytes()).map(|head| head.map(|(head, _)| head));
        let limited = "HTTP/1.1 429 Too Many\r\nRetry-After: 1.5\r\nContent-Length: 3\r\n\r\n";
        let expected = Head { status: 429, retry_after_ms: Some(1_500), body: Body::Length(3) };
        assert_eq!(head(limited), Ok(Some(expected)));
        let chunked =
            head("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\ncontent-length: 9\r\n\r\n").unwrap();
        assert_eq!(chunked.unwrap().body, Body::Chunked(0));
        assert_eq!(head("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().body, Body::ToTheEnd);
        assert_eq!(head("HTTP/1.1 200 OK\r\ncont"), Ok(None));
        assert_eq!(head("SSH-2.0-x\r\n"), Err(Lost::Nonsense));
    }

    async fn read(body: Body, pieces: &'static [&'static [u8]]) -> Result<String, Lost> {
        let (stream, mut other) = tokio::io::duplex(64);
        tokio::spawn(async move {
            for piece in pieces {
                other.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let head = Head { status: 200, retry_after_ms: None, body };
        let mut reply = Reply { stream: Box::new(stream), head, body, rest: Vec::new() };
        let mut all = Vec::new();
        while let Some(piece) = reply.chunk().await? {
            all.extend(piece);
        }
        Ok(String::from_utf8(all).unwrap())
    }

    #[tokio::test]
    async fn bodies_are_read_however_they_are_cut() {
        let chunks: &[&[u8]] = &[b"5\r\nhel", b"lo\r", b"\n1;x=y\r\n,\r\n", b"A\r\n the world\r\n0\r\n\r\n"];
        assert_eq!(read(Body::Chunked(0), chunks).await.unwrap(), "hello, the world");
        assert_eq!(read(Body::Length(5), &[b"he", b"lloX"]).await.unwrap(), "hello");
        assert_eq!(read(Body::ToTheEnd, &[b"he", b"llo"]).await.unwrap(), "hello");
        assert_eq!(read(Body::Length(5), &[b"he"]).await, Err(Lost::Broken));
        assert_eq!(read(Body::Chunked(0), &[b"5\r\nhe"]).await, Err(Lost::Broken));
        assert_eq!(read(Body::Chunked(0), &[b"zz\r\n"]).await, Err(Lost::Nonsense));
    }
}
