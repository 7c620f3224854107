//! R7.2, R7.5: what a guest sees of the grant `http`: refusals by name, limits, redirects, secrets. The agent is the
//! builtin `http`. Every way round the grant is tried one level deeper, in `src/http/tests.rs`, where requests can be
//! made that no toolchain would make.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{
    CallRequest, Class, Grants, GuestEvent, HttpGrant, LoadError, LogLevel, Outbound, Outcome, Sandbox,
    Secret, SecretValue,
};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Heard, end, failure, request, settings, still_works};

const AGENT: &[u8] = include_bytes!("../../app/assets/http.wasm");

struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(serve: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (kept, serve) = (heads.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, kept, serve) = (stream.unwrap(), kept.clone(), serve.clone());
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    kept.lock().unwrap().push(head.clone());
                    // A server that closes with a body unread resets the connection, and its answer with it.
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                    stream.read_exact(&mut body).unwrap();
                    serve(&head, &mut stream);
                });
            }
        });
        Server { port, heads }
    }

    fn saying(response: &'static str) -> Server {
        Server::start(move |_, stream| drop(stream.write_all(response.as_bytes())))
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn heads(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

fn sandbox(networks: &[&str]) -> Sandbox {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Sandbox::with_outbound(settings(), Outbound { networks, ..Outbound::default() }).unwrap()
}

fn call(origin: &str, input: Value) -> CallRequest {
    let http = vec![HttpGrant { origin: origin.to_owned(), methods: Vec::new() }];
    let grants = Arc::new(Grants { http, ..Grants::default() });
    CallRequest { grants, ..request(&input.to_string()) }
}

async fn make(sandbox: &Sandbox, call: CallRequest) -> Outcome {
    support::run(sandbox, AGENT, call).await
}

fn output(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.result.unwrap().output).unwrap()
}

#[test]
fn without_the_grant_it_is_refused_before_the_run_by_name() {
    let error = sandbox(&[]).load(AGENT, &Grants::default()).unwrap_err();
    assert!(matches!(error, LoadError::NotGranted(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("wasi:http/outgoing-handler@0.2.") && text.contains("grants: {http: ["), "{text}");
}

#[tokio::test]
async fn a_granted_request_gets_through_and_counts() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":1}");
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let input = json!({ "url": format!("{}/x", server.origin()), "method": "POST", "json": { "b": 2 } });
    let outcome = make(&sandbox, call(&server.origin(), input)).await;
    assert!(outcome.usage.host_call_bytes > 256, "{:?}", outcome.usage);
    let output = output(outcome);
    assert_eq!((&output["status"], &output["json"]), (&json!(200), &json!({ "a": 1 })));
    assert!(server.heads.lock().unwrap()[0].starts_with("POST /x HTTP/1.1\r\n"));
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_refusal_that_the_agent_passes_on_is_denied_with_the_grant_to_add() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\n");
    let sandbox = sandbox(&[]);
    let heard = Arc::new(Heard::default());
    let mut elsewhere = call("https://a.example", json!({ "url": server.origin() }));
    elsewhere.events = Some(heard.clone());
    let outcome = make(&sandbox, elsewhere).await;
    assert_eq!(end(&outcome), (Class::Denied, "http"));
    let told = failure(outcome);
    assert!(told.message.contains("grants: {http: [") && !told.recoverable, "{}", told.message);
    let events = heard.0.lock().unwrap().clone();
    let warned = |event: &GuestEvent| matches!(event, GuestEvent::Log { level: LogLevel::Warn, message, .. } if message.contains("refused"));
    assert!(events.iter().any(warned), "{events:?}");

    let inside = make(&sandbox, call(&server.origin(), json!({ "url": server.origin() }))).await;
    assert_eq!(end(&inside), (Class::Denied, "http"));
    let told = failure(inside);
    assert!(told.message.contains("[http] networks = ["), "{}", told.message);
    assert_eq!(server.heads(), 0);
}

#[tokio::test]
async fn the_grants_of_the_call_count_not_those_of_the_load() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\n");
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let granted = call(&server.origin(), json!({ "url": server.origin() }));
    let plugin = sandbox.load(AGENT, &granted.grants).unwrap();
    let without = CallRequest { grants: Arc::default(), ..granted };
    assert_eq!(end(&sandbox.call(&plugin, without).await), (Class::Denied, "http"));
    assert_eq!(server.heads(), 0);
}

#[tokio::test]
async fn a_redirect_comes_back_and_its_goal_is_checked_like_any_other() {
    let server = Server::saying(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.2/\r\ncontent-length: 0\r\n\r\n",
    );
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let moved = output(make(&sandbox, call(&server.origin(), json!({ "url": server.origin() }))).await);
    assert_eq!(moved["status"], 307);
    let next = call(&server.origin(), json!({ "url": moved["headers"]["location"] }));
    assert_eq!(end(&make(&sandbox, next).await), (Class::Denied, "http"));
}

#[tokio::test]
async fn a_guests_own_host_header_is_refused() {
    let server = Server::saying("HTTP/1.1 200 OK\r\n\r\n");
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let input = json!({ "url": server.origin(), "headers": { "Host": "evil.example" } });
    let outcome = make(&sandbox, call(&server.origin(), input)).await;
    assert_eq!(end(&outcome), (Class::Agent, "header-refused"));
    assert_eq!(server.heads(), 0);
}

#[tokio::test]
async fn a_server_that_drips_ends_with_the_attempt() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let mut slow = call(&server.origin(), json!({ "url": server.origin() }));
    slow.limits.wall_ms = 500;
    let started = Instant::now();
    let outcome = make(&sandbox, slow).await;
    assert_eq!(end(&outcome), (Class::Timeout, "attempt-timeout"));
    assert!(started.elapsed() < Duration::from_secs(10));
    still_works(&sandbox).await;
}

#[tokio::test]
async fn an_endless_response_ends_the_attempt_by_its_quota() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
    });
    let sandbox = sandbox(&["127.0.0.0/8"]);
    let mut large = call(&server.origin(), json!({ "url": server.origin() }));
    large.limits.host_call_bytes_max = 256 << 10;
    assert_eq!(end(&make(&sandbox, large).await), (Class::Limit, "host-calls"));
    still_works(&sandbox).await;
}

#[tokio::test]
async fn a_secret_is_never_seen_by_the_guest() {
    let server = Server::start(|head, stream| {
        let sent = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("nothing");
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nx-echo: {sent}\r\n\r\n{sent}");
    });
    let mut outbound = Outbound { networks: vec!["127.0.0.0/8".parse().unwrap()], ..Outbound::default() };
    let value = SecretValue::new("value-that-nobody-sees".to_owned());
    let secret = Secret::new(value, &[server.origin()]).unwrap_or_else(|why| panic!("{why}"));
    outbound.secrets.insert("KEY".to_owned(), secret);
    let sandbox = Sandbox::with_outbound(settings(), outbound).unwrap();
    let input = json!({ "url": server.origin(), "headers": { "authorization": "Bearer {secret:KEY}" } });
    let mut with = call(&server.origin(), input.clone());
    let http = with.grants.http.clone();
    with.grants = Arc::new(Grants { http, secrets: vec!["KEY".to_owned()], ..Grants::default() });
    let output = output(make(&sandbox, with).await);
    assert!(server.heads.lock().unwrap()[0].contains("Bearer value-that-nobody-sees"));
    assert_eq!(output["body"], "Bearer {secret:KEY}");
    assert_eq!(output["headers"]["x-echo"], "Bearer {secret:KEY}");

    // Another plugin, which is not granted it.
    let outcome = make(&sandbox, call(&server.origin(), input)).await;
    assert_eq!(end(&outcome), (Class::Denied, "http"));
    assert!(failure(outcome).message.contains("grants: {secrets: [KEY]}"));
    assert_eq!(server.heads(), 1);
}
