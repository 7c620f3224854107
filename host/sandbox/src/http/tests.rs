//! R7.5: each way round the grant `http` is tried here against a server on this machine, with a name server that says
//! what the test wants. None works. What a guest sees of it is tested in `tests/http.rs`.

use super::hooks::AttemptHttp;
use super::resolver::{Resolved, Resolver};
use super::secret::{Secret, SecretValue};
use super::{HttpLimits, Outbound, Reach};
use crate::call::{GuestEvent, Observer};
use crate::meter::HostBytes;
use crate::settings::{Grants, HttpGrant};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Empty, Full};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// A server that gives each connection to one function, and keeps the heads of requests.
struct Server {
    at: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(serve: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (kept, serve) = (heads.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, serve) = (stream.unwrap(), kept.clone(), serve.clone());
                std::thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    kept.lock().unwrap().push(head.clone());
                    serve(&head, &mut stream);
                });
            }
        });
        Server { at, heads }
    }

    fn saying(response: &'static str) -> Server {
        Server::start(move |_, stream| drop(stream.write_all(response.as_bytes())))
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.at.port())
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Answers in turn; keeps what it was asked.
#[derive(Default)]
struct Names {
    answers: BTreeMap<String, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn answering(name: &str, answers: &[&[&str]]) -> Arc<Names> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        let answers = [(name.to_owned(), answers.iter().map(parse).collect())].into();
        Arc::new(Names { answers, asked: Mutex::default() })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolver for Names {
    fn resolve(&self, host: &str) -> Resolved {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.iter().filter(|name| *name == host).count();
        asked.push(host.to_owned());
        let answers = self.answers.get(host).cloned().unwrap_or_default();
        let answer = answers.get(before.min(answers.len().saturating_sub(1))).cloned();
        Box::pin(async move { answer.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn event(&self, event: GuestEvent) {
        if let GuestEvent::Log { message, .. } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

/// One attempt's HTTP: what it is granted, and the host's settings.
struct Attempt {
    http: AttemptHttp,
    heard: Arc<Heard>,
    bytes: Arc<HostBytes>,
}

struct Setup {
    grants: Grants,
    outbound: Outbound,
    wall: Duration,
    bytes: usize,
}

impl Setup {
    fn granting(origins: &[&str]) -> Setup {
        let http = origins
            .iter()
            .map(|origin| HttpGrant { origin: (*origin).to_owned(), methods: Vec::new() })
            .collect();
        let grants = Grants { http, ..Grants::default() };
        let resolver = Arc::new(Names::default());
        let outbound = Outbound { resolver, ..Outbound::default() };
        Setup { grants, outbound, wall: Duration::from_secs(20), bytes: 64 << 20 }
    }

    fn to(server: &Server, host: &str) -> Setup {
        Setup::granting(&[&format!("http://{host}:{}", server.at.port())])
    }

    fn names(mut self, names: &Arc<Names>) -> Setup {
        self.outbound.resolver = names.clone();
        self
    }

    fn permitting(mut self, network: &str) -> Setup {
        self.outbound.networks.push(network.parse().unwrap());
        self
    }

    fn limits(mut self, change: impl FnOnce(&mut HttpLimits)) -> Setup {
        change(&mut self.outbound.limits);
        self
    }

    fn secret(mut self, name: &str, value: &str, origin: &str) -> Setup {
        let value = SecretValue::new(value.to_owned());
        let secret = Secret::new(value, &[origin.to_owned()]).unwrap_or_else(|why| panic!("{why}"));
        self.outbound.secrets.insert(name.to_owned(), secret);
        self
    }

    fn with(mut self, secrets: &[&str]) -> Setup {
        self.grants.secrets = secrets.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn attempt(self) -> Attempt {
        self.attempts(1).remove(0)
    }

    /// Several attempts of one host.
    fn attempts(self, count: usize) -> Vec<Attempt> {
        let (reach, grants) = (Reach::new(self.outbound), Arc::new(self.grants));
        let one = |_| {
            let (heard, bytes) = (Arc::new(Heard::default()), HostBytes::new(self.bytes));
            let deadline = Instant::now() + self.wall;
            let events: Arc<dyn Observer> = heard.clone();
            let http = AttemptHttp::new(reach.clone(), grants.clone(), bytes.clone(), deadline, Some(events));
            Attempt { http, heard, bytes }
        };
        (0..count).map(one).collect()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Result<String, Error>,
}

fn get(url: &str) -> Request<WasiBody> {
    request(Method::GET, url, &[])
}

fn request(method: Method, url: &str, headers: &[(&str, &str)]) -> Request<WasiBody> {
    let mut builder = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
}

impl Attempt {
    async fn send(&mut self, request: Request<WasiBody>) -> Result<Answer, Error> {
        self.send_with(request, None).await
    }

    async fn send_with(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Answer, Error> {
        let sent = self.http.send_request(request, options, Box::new(async { Ok(()) }));
        let (response, io) = Box::into_pin(sent).await?;
        let io = tokio::spawn(Box::into_pin(io));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|all| String::from_utf8_lossy(&all.to_bytes()).into_owned());
        io.abort();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// The refusal's words, after seeing that it is one.
    async fn refused(&mut self, request: Request<WasiBody>, is: fn(&Error) -> bool) -> String {
        let error = self.send(request).await.unwrap_err();
        assert!(is(&error), "{error:?}");
        self.http.refusal().unwrap_or_default()
    }
}

fn denied(error: &Error) -> bool {
    matches!(error, Error::HttpRequestDenied)
}

fn prohibited(error: &Error) -> bool {
    matches!(error, Error::DestinationIpProhibited)
}

#[tokio::test]
async fn a_granted_request_gets_its_answer() {
    let server = Server::saying(OK);
    let names = Names::answering("good.example", &[&["127.0.0.1"]]);
    let mut attempt = Setup::to(&server, "good.example").names(&names).permitting("127.0.0.0/8").attempt();
    let answer = attempt.send(get(&format!("{}a?b=c", server.url("GOOD.example.")))).await.unwrap();
    assert_eq!((answer.status, answer.body.unwrap().as_str()), (200, "hello"));
    let head = &server.heads()[0];
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: good.example:{}\r\n", server.at.port())), "{head}");
    assert_eq!(names.asked(), 1);
    assert!(attempt.bytes.spent() > 256, "it is charged as a host call");
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_not_even_looked_up() {
    let server = Server::saying(OK);
    let names = Names::answering("evil.example", &[&["127.0.0.1"]]);
    let mut attempt = Setup::to(&server, "good.example").names(&names).permitting("0.0.0.0/0").attempt();
    let why = attempt.refused(get(&server.url("data-of-mine.evil.example")), denied).await;
    assert!(why.contains("grants: {http: [\"http://data-of-mine.evil.example:"), "{why}");
    assert_eq!((names.asked(), server.heads().len()), (0, 0), "the name itself would carry data out");
    assert!(attempt.heard.0.lock().unwrap()[0].contains("HTTP request refused"), "and it is in the log");
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let server = Server::saying(OK);
    let mut attempt = Setup::granting(&[]).permitting("0.0.0.0/0").attempt();
    attempt.refused(get(&server.url("127.0.0.1")), denied).await;
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn scheme_port_and_method_are_part_of_the_grant() {
    let server = Server::saying(OK);
    let mut setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    setup.grants.http[0].methods = vec!["GET".to_owned(), "POST".to_owned()];
    let mut attempt = setup.attempt();
    let url = server.url("127.0.0.1");
    attempt.refused(get(&url.replace("http:", "https:")), denied).await;
    attempt.refused(get("http://127.0.0.1/"), denied).await;
    let why = attempt.refused(request(Method::DELETE, &url, &[]), denied).await;
    assert!(why.contains("methods: [DELETE]") && why.contains("only GET, POST"), "{why}");
    assert!(server.heads().is_empty());
    assert_eq!(attempt.send(get(&url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn connect_and_trace_are_refused_whatever_is_granted() {
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    for method in [Method::CONNECT, Method::TRACE] {
        attempt
            .refused(request(method, &server.url("127.0.0.1"), &[]), |error| {
                matches!(error, Error::HttpRequestMethodInvalid)
            })
            .await;
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_granted_name_that_leads_inside_is_refused() {
    let server = Server::saying(OK);
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
        "fe80::1",
        "0.0.0.0",
        "255.255.255.255",
    ] {
        let names = Names::answering("good.example", &[&[address]]);
        let mut attempt = Setup::to(&server, "good.example").names(&names).attempt();
        let why = attempt.refused(get(&server.url("good.example")), prohibited).await;
        assert!(why.contains("[http] networks = [\"") && why.contains("good.example"), "{why}");
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn one_bad_address_among_good_ones_is_enough() {
    let server = Server::saying(OK);
    let names = Names::answering("good.example", &[&["127.0.0.1", "10.0.0.1"]]);
    let mut attempt = Setup::to(&server, "good.example").names(&names).permitting("127.0.0.0/8").attempt();
    let why = attempt.refused(get(&server.url("good.example")), prohibited).await;
    assert!(why.contains("10.0.0.1"), "{why}");
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_granted_address_inside_needs_its_network_too() {
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").attempt();
    let why = attempt.refused(get(&server.url("127.0.0.1")), prohibited).await;
    assert!(why.contains("loopback") && why.contains("networks = [\"127.0.0.1\"]"), "{why}");
    let mapped = format!("http://[::ffff:127.0.0.1]:{}", server.at.port());
    let mut attempt = Setup::granting(&[&mapped]).attempt();
    attempt.refused(get(&format!("{mapped}/")), prohibited).await;
    assert!(server.heads().is_empty());
}

// The checked addresses are the dialled ones: a second look-up, if there were one, would lead inside.
#[tokio::test]
async fn a_name_that_changes_its_address_is_looked_up_once() {
    let server = Server::saying(OK);
    let names = Names::answering("good.example", &[&["127.0.0.1"], &["10.0.0.1"]]);
    let mut attempt = Setup::to(&server, "good.example").names(&names).permitting("127.0.0.0/8").attempt();
    assert_eq!(attempt.send(get(&server.url("good.example"))).await.unwrap().status, 200);
    assert_eq!(names.asked(), 1);
    attempt.refused(get(&server.url("good.example")), prohibited).await;
    assert_eq!((names.asked(), server.heads().len()), (2, 1));
}

#[tokio::test]
async fn other_ways_to_write_an_address_are_no_way_round() {
    let server = Server::saying(OK);
    let port = server.at.port();
    let everything: Vec<String> = ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1"]
        .iter()
        .map(|host| format!("http://{host}:{port}"))
        .collect();
    let everything: Vec<&str> = everything.iter().map(String::as_str).collect();
    for host in ["127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01"] {
        let mut attempt = Setup::granting(&everything).attempt();
        attempt.refused(get(&server.url(host)), |error| matches!(error, Error::HttpRequestUriInvalid)).await;
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_user_name_is_refused_and_names_nobody_else() {
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    for authority in ["good@127.0.0.1", "127.0.0.1:80@evil.example", "a:b@127.0.0.1"] {
        let url = format!("http://{authority}:{}/", server.at.port());
        let Ok(uri) = url.parse::<Uri>() else { continue };
        let mut request = get("http://x/");
        *request.uri_mut() = uri;
        attempt.refused(request, |error| matches!(error, Error::HttpRequestUriInvalid)).await;
    }
    assert!(server.heads().is_empty());
    // In a path it is only a letter.
    let answer = attempt.send(get(&format!("{}@evil.example/", server.url("127.0.0.1")))).await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test]
async fn hosts_that_readers_read_differently_are_refused() {
    let names = Names::answering("good.example", &[&["1.1.1.1"]]);
    let mut attempt = Setup::granting(&["http://good.example"]).names(&names).attempt();
    for host in ["good%2eexample", "good.example%00.evil.example", "good..example", "good.example.."] {
        let Ok(uri) = format!("http://{host}/").parse::<Uri>() else { continue };
        let mut request = get("http://x/");
        *request.uri_mut() = uri;
        attempt.refused(request, |error| matches!(error, Error::HttpRequestUriInvalid)).await;
    }
    assert_eq!(names.asked(), 0);
}

// GHSA-5qpp-g3j2-8frx: an absolute URL in the request line addresses another host than the one that was checked.
#[tokio::test]
async fn a_path_cannot_name_another_host() {
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    for path in ["http://evil.example/x", "evil.example/x", "*"] {
        let uri = Uri::builder()
            .scheme("http")
            .authority(format!("127.0.0.1:{}", server.at.port()))
            .path_and_query(path)
            .build();
        let Ok(uri) = uri else { continue };
        let mut request = get("http://x/");
        *request.uri_mut() = uri;
        attempt.refused(request, |error| matches!(error, Error::HttpRequestUriInvalid)).await;
    }
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn the_host_header_is_the_checked_one() {
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    for name in ["host", "connection", "proxy-authorization", "transfer-encoding", "upgrade", "te", "expect"]
    {
        assert!(attempt.http.is_forbidden_header(&name.parse().unwrap()), "{name}");
    }
    // Even if one came through.
    let sneaky = request(Method::GET, &server.url("127.0.0.1"), &[("host", "evil.example")]);
    attempt.send(sneaky).await.unwrap();
    let head = &server.heads()[0];
    assert!(!head.contains("evil.example") && head.matches("host:").count() == 1, "{head}");
}

#[tokio::test]
async fn a_redirect_is_followed_by_nobody_and_checked_again() {
    let inside = Server::saying(OK);
    let to =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", inside.url("127.0.0.2"));
    let server = Server::start(move |_, stream| drop(stream.write_all(to.as_bytes())));
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    let answer = attempt.send(get(&server.url("127.0.0.1"))).await.unwrap();
    assert_eq!(answer.status, 302);
    let next = answer.headers["location"].to_str().unwrap().to_owned();
    attempt.refused(get(&next), denied).await;
    assert!(inside.heads().is_empty());
}

#[tokio::test]
async fn nothing_of_the_environment_is_obeyed() {
    // Proxies and certificates of the environment are read nowhere; a test that set variables would disturb the others.
    let server = Server::saying(OK);
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    let source = concat!(
        include_str!("connect.rs"),
        include_str!("hooks.rs"),
        include_str!("resolver.rs"),
        include_str!("body.rs"),
        include_str!("mod.rs")
    );
    assert!(!source.contains("std::env") && !source.contains("env::var"));
    assert_eq!(attempt.send(get(&server.url("127.0.0.1"))).await.unwrap().status, 200);
}

#[tokio::test]
async fn one_attempt_has_a_quota_of_requests() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx");
        std::thread::sleep(Duration::from_secs(5));
    });
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let setup = setup.limits(|limits| (limits.requests_per_attempt_max, limits.slot_wait_ms) = (2, 100));
    let mut attempts = setup.attempts(2);
    let url = server.url("127.0.0.1");
    let mut open = Vec::new();
    for _ in 0..2 {
        let sent = attempts[0].http.send_request(get(&url), None, Box::new(async { Ok(()) }));
        open.push(Box::into_pin(sent).await.unwrap());
    }
    let full = attempts[0].send(get(&url)).await.unwrap_err();
    assert!(matches!(full, Error::ConnectionLimitReached), "{full:?}");
    // Others are not held up by it, and what is dropped makes room.
    let sent = attempts[1].http.send_request(get(&url), None, Box::new(async { Ok(()) }));
    assert!(Box::into_pin(sent).await.is_ok());
    open.pop();
    let sent = attempts[0].http.send_request(get(&url), None, Box::new(async { Ok(()) }));
    assert!(Box::into_pin(sent).await.is_ok());
}

#[tokio::test]
async fn all_attempts_together_have_a_quota() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx");
        std::thread::sleep(Duration::from_secs(5));
    });
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let setup = setup.limits(|limits| (limits.requests_max, limits.slot_wait_ms) = (1, 100));
    let mut attempts = setup.attempts(2);
    let url = server.url("127.0.0.1");
    let sent = attempts[0].http.send_request(get(&url), None, Box::new(async { Ok(()) }));
    let held = Box::into_pin(sent).await.unwrap();
    let full = attempts[1].send(get(&url)).await.unwrap_err();
    assert!(matches!(full, Error::ConnectionLimitReached), "{full:?}");
    drop(held);
    let sent = attempts[1].http.send_request(get(&url), None, Box::new(async { Ok(()) }));
    assert!(Box::into_pin(sent).await.is_ok());
}

#[tokio::test]
async fn a_server_that_drips_its_head_ends_with_the_time() {
    let server = Server::start(|_, stream| {
        for _ in 0..100 {
            if stream.write_all(b"H").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let mut setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    setup.wall = Duration::from_millis(300);
    let started = Instant::now();
    let error = setup.attempt().send(get(&server.url("127.0.0.1"))).await.unwrap_err();
    // It says `H` again and again, which is no HTTP, so a parser may be the first to give up.
    assert!(matches!(error, Error::ConnectionReadTimeout | Error::Hyper(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_with_the_time() {
    let server = Server::start(|_, _| std::thread::sleep(Duration::from_secs(5)));
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let options =
        RequestOptions { first_byte_timeout: Some(Duration::from_millis(200)), ..RequestOptions::default() };
    // The time to connect, of which next to nothing is used, is none for the answer.
    let mut attempt = setup.attempt();
    let started = Instant::now();
    let error = attempt.send_with(get(&server.url("127.0.0.1")), Some(options)).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_ends_as_the_guest_wished() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx");
        std::thread::sleep(Duration::from_secs(5));
    });
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    let options = RequestOptions {
        between_bytes_timeout: Some(Duration::from_millis(100)),
        ..RequestOptions::default()
    };
    let answer = attempt.send_with(get(&server.url("127.0.0.1")), Some(options)).await.unwrap();
    assert!(matches!(answer.body, Err(Error::ConnectionReadTimeout)), "{:?}", answer.body);
}

#[tokio::test]
async fn a_huge_response_is_cut() {
    let announced = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\nx");
    let setup = Setup::to(&announced, "127.0.0.1").permitting("127.0.0.0/8");
    let error = setup.attempt().send(get(&announced.url("127.0.0.1"))).await.unwrap_err();
    assert!(matches!(error, Error::HttpResponseBodySize(Some(_))), "{error:?}");

    let endless = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
    });
    let setup = Setup::to(&endless, "127.0.0.1").permitting("127.0.0.0/8");
    let setup = setup.limits(|limits| limits.response_body_bytes_max = 1 << 20);
    let answer = setup.attempt().send(get(&endless.url("127.0.0.1"))).await.unwrap();
    assert!(matches!(answer.body, Err(Error::HttpResponseBodySize(Some(_)))), "{:?}", answer.body);
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
        while stream.write_all(&[b'y'; 64 << 10]).is_ok() {}
    });
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    let error = attempt.send(get(&server.url("127.0.0.1"))).await.unwrap_err();
    assert!(matches!(&error, Error::Hyper(error) if error.is_parse_too_large()), "{error:?}");

    let url = server.url("127.0.0.1");
    let large = "v".repeat(70 << 10);
    let error = attempt.send(request(Method::GET, &url, &[("x", &large)])).await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestHeaderSectionSize(_)), "{error:?}");
    let error = attempt.send(get(&format!("{url}{}", "p".repeat(9 << 10)))).await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestUriTooLong), "{error:?}");
}

#[tokio::test]
async fn a_huge_request_body_is_cut() {
    let server = Server::start(|_, stream| while stream.read(&mut [0; 1 << 16]).is_ok_and(|n| n > 0) {});
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let mut attempt = setup.limits(|limits| limits.request_body_bytes_max = 1 << 16).attempt();
    let body = Full::new(Bytes::from(vec![0; 1 << 17])).map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder().method(Method::POST).uri(server.url("127.0.0.1")).body(body).unwrap();
    let error = attempt.send(request).await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestBodySize(Some(65536))), "{error:?}");
}

#[tokio::test]
async fn bodies_count_as_host_calls() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
    });
    let mut setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    setup.bytes = 1 << 20;
    let mut attempt = setup.attempt();
    let answer = attempt.send(get(&server.url("127.0.0.1"))).await.unwrap();
    assert!(answer.body.is_err() && attempt.bytes.is_used_up());
    assert!(attempt.send(get(&server.url("127.0.0.1"))).await.is_err(), "and there is no next one");
}

#[tokio::test]
async fn no_protocol_is_switched() {
    let server =
        Server::saying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    let mut attempt = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").attempt();
    assert!(attempt.send(get(&server.url("127.0.0.1"))).await.is_err());
}

#[tokio::test]
async fn refusals_fill_no_log() {
    let mut attempt = Setup::granting(&[]).attempt();
    for _ in 0..50 {
        attempt.refused(get("http://evil.example/"), denied).await;
    }
    assert_eq!(attempt.heard.0.lock().unwrap().len(), 8);
}

// TLS.

/// A server that speaks TLS with the certificate of `good.example`.
async fn tls_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ServerConfig, crypto};

    let certificate = CertificateDer::from_pem_slice(include_bytes!("certificates/leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("certificates/leaf.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let kept = heads.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = vec![0; 4096];
            let size = stream.read(&mut head).await.unwrap_or(0);
            kept.lock().unwrap().push(String::from_utf8_lossy(&head[..size]).into_owned());
            let _ = stream.write_all(OK.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (at, heads)
}

fn authority() -> Vec<Vec<u8>> {
    super::authorities_from_pem(include_bytes!("certificates/ca.pem")).unwrap()
}

#[tokio::test]
async fn https_asks_for_a_certificate_of_the_name_by_a_known_authority() {
    let (at, heads) = tls_server().await;
    let setup = |name: &str| {
        let names = Names::answering(name, &[&["127.0.0.1"]]);
        Setup::granting(&[&format!("https://{name}:{}", at.port())]).names(&names).permitting("127.0.0.0/8")
    };
    let url = |name: &str| format!("https://{name}:{}/", at.port());
    let is_wrong = |error: &Error| matches!(error, Error::TlsCertificateError);
    setup("good.example").attempt().refused(get(&url("good.example")), is_wrong).await;

    let mut other = setup("other.example");
    other.outbound.authorities = authority();
    other.attempt().refused(get(&url("other.example")), is_wrong).await;
    assert!(heads.lock().unwrap().is_empty());

    let mut good =
        setup("good.example").secret("KEY", VALUE, url("good.example").trim_end_matches('/')).with(&["KEY"]);
    good.outbound.authorities = authority();
    let answer = good.attempt().send(with_secret(&url("good.example"))).await.unwrap();
    assert_eq!(answer.body.unwrap(), "hello");
    assert!(heads.lock().unwrap()[0].contains(VALUE), "a secret goes over https");
}

#[test]
fn what_is_no_certificate_is_refused() {
    assert!(super::authorities_from_pem(b"").is_err());
    assert!(
        super::authorities_from_pem(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err()
    );
}

// Secrets.

const VALUE: &str = "s3cr3t-value-of-a-key";

/// A server that sends back what it was sent, in headers and body.
fn echo() -> Server {
    Server::start(|head, stream| {
        let sent = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("nothing");
        let body = format!("you sent {sent}");
        let answer =
            format!("HTTP/1.1 200 OK\r\nx-echo: {sent}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (first, second) = answer.split_at(answer.len() - 6);
        let _ = stream.write_all(first.as_bytes());
        std::thread::sleep(Duration::from_millis(20));
        let _ = stream.write_all(second.as_bytes());
    })
}

fn with_secret(url: &str) -> Request<WasiBody> {
    request(Method::GET, url, &[("authorization", "Bearer {secret:KEY}"), ("accept-encoding", "gzip")])
}

#[tokio::test]
async fn a_secret_goes_out_and_does_not_come_back() {
    let server = echo();
    let origin = format!("http://127.0.0.1:{}", server.at.port());
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let mut attempt = setup.secret("KEY", VALUE, &origin).with(&["KEY"]).attempt();
    let answer = attempt.send(with_secret(&server.url("127.0.0.1"))).await.unwrap();
    let head = &server.heads()[0];
    assert!(head.contains(&format!("authorization: Bearer {VALUE}\r\n")), "{head}");
    assert!(!head.contains("accept-encoding"), "what is compressed cannot be masked: {head}");
    assert_eq!(answer.headers["x-echo"], "Bearer {secret:KEY}");
    assert_eq!(answer.body.unwrap(), "you sent Bearer {secret:KEY}");
}

#[tokio::test]
async fn a_secret_goes_to_its_own_hosts_only() {
    let server = echo();
    let origin = format!("http://127.0.0.1:{}", server.at.port());
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let elsewhere = setup.secret("KEY", VALUE, "https://api.example").with(&["KEY"]);
    let why = elsewhere.attempt().refused(with_secret(&server.url("127.0.0.1")), denied).await;
    assert!(why.contains("`KEY` may go to https://api.example only"), "{why}");

    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let not_granted = setup.secret("KEY", VALUE, &origin).with(&["OTHER"]);
    let why = not_granted.attempt().refused(with_secret(&server.url("127.0.0.1")), denied).await;
    assert!(why.contains("grants: {secrets: [KEY]}"), "{why}");

    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8").with(&["KEY"]);
    let why = setup.attempt().refused(with_secret(&server.url("127.0.0.1")), denied).await;
    assert!(why.contains("[secrets.KEY]"), "{why}");
    assert!(server.heads().is_empty(), "never sent, not even with the placeholder");
}

#[tokio::test]
async fn a_secret_goes_over_https_or_stays_on_this_machine() {
    let server = echo();
    let origin = format!("http://good.example:{}", server.at.port());
    // An address of this machine that is not the loopback one would do as well; this one nobody has.
    let names = Names::answering("good.example", &[&["10.255.255.1"]]);
    let setup = Setup::to(&server, "good.example").names(&names).permitting("10.0.0.0/8");
    let mut attempt = setup.secret("KEY", VALUE, &origin).with(&["KEY"]).attempt();
    let why = attempt.refused(with_secret(&server.url("good.example")), denied).await;
    assert!(why.contains("over https only"), "{why}");
    assert!(server.heads().is_empty());
}

#[tokio::test]
async fn a_secret_without_a_value_and_one_in_a_url_are_refused() {
    let server = echo();
    let origin = format!("http://127.0.0.1:{}", server.at.port());
    let setup = Setup::to(&server, "127.0.0.1").permitting("127.0.0.0/8");
    let mut attempt = setup.secret("KEY", "short", &origin).with(&["KEY"]).attempt();
    let why = attempt.refused(with_secret(&server.url("127.0.0.1")), denied).await;
    assert!(why.contains("`KEY` has no value") && !why.contains("short one"), "{why}");
    let url = format!("{}?key=%7Bsecret:KEY%7D", server.url("127.0.0.1"));
    let why = attempt.refused(get(&url), denied).await;
    assert!(why.contains("headers only"), "{why}");
    assert!(server.heads().is_empty());
}
