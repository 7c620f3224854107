//! R8.2: what clients meet at the edges: changes of workflows while they follow, how plugins do, too many commands, a body that is
//! too large, a reader that reads nothing, a trace that is theirs, a notification that nobody took, TLS of their own authority.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bandstand_api::{Message, Server};
use bandstand_crash::{Site, wait_for};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;

const VALUE: &str = "format: 1\nname: value\nversion: 1\nnodes:\n  a: { value: { n: 1 }, next: end }\n";
const BULKY: &str = "format: 1\nname: bulky\nversion: 1\ninput: { type: object }\nplugins:\n  echo: { builtin: echo }\nnodes:\n  a: \
                     { agent: echo, input: \"${{ input }}\", next: end }\n";
const CALLS: &str = "format: 1\nname: calls\nversion: 1\ninput: { type: object }\nplugins:\n  jq: { builtin: transform }\nnodes:\n  a: \
                     { agent: jq, input: \"${{ input }}\", next: end }\n";

fn address(server: &Server) -> &str {
    server.url().trim_start_matches("http://")
}

// R8.2
#[test]
fn who_hears_of_all_runs_hears_what_becomes_of_workflow_files() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    let server = Server::start(&site);
    let mut all = server.client().stream("/api/v1/stream", None);
    let mut next = |event: &str| {
        let told: Message = all.next_message().unwrap();
        assert_eq!((told.event.as_str(), told.id), (event, None), "{}", told.data);
        assert_eq!((&told.data["type"], &told.data["file"]), (&json!(event), &json!("value.yaml")));
        told.data
    };
    fs::write(site.path().join("value.yaml"), VALUE.replace("version: 1", "version: 2")).unwrap();
    let told = next("workflow.in-service");
    assert_eq!((&told["workflow"], &told["version"]), (&json!("value"), &json!(2)));
    fs::write(site.path().join("value.yaml"), VALUE.replace("next: end", "next: nowhere")).unwrap();
    let told = next("workflow.refused");
    assert_eq!(told["workflow"], "value", "it stays in service: {told}");
    assert!(!told["diagnostics"].as_array().unwrap().is_empty());
    fs::write(site.path().join("value.yaml"), VALUE.replace("version: 1", "version: 2")).unwrap();
    next("workflow.mended");
    fs::remove_file(site.path().join("value.yaml")).unwrap();
    assert_eq!(next("workflow.removed")["workflow"], "value");
}

// R8.2, R1.10
#[test]
fn how_the_calls_of_a_plugin_ended_stands_with_it() {
    let site = Site::new(&[("calls.yaml", CALLS)]);
    let server = Server::start(&site);
    let client = server.client();
    let calls = || client.get("/api/v1/plugins").ok()["items"][0]["calls"].clone();
    for _ in 0..3 {
        assert_eq!(client.run("calls", &json!({ "filter": "{ n: . }", "value": 1 }))["status"], "succeeded");
    }
    let told = calls();
    assert_eq!((&told["succeeded"], &told["failed"]), (&json!(3), &json!({})), "{told}");
    assert!(told["memory_bytes_max"].as_u64().unwrap() > 0 && told["last_at"].is_string(), "{told}");
    assert_eq!(client.run("calls", &json!({ "filter": "error", "value": 1 }))["status"], "failed");
    let told = calls();
    assert_eq!((&told["succeeded"], &told["failed"]), (&json!(3), &json!({ "agent": 1 })), "{told}");
}

// R8.2: otherwise one connection would be a way round the rate.
#[test]
fn commands_of_a_socket_count_as_requests_do() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    fs::write(site.path().join("bandstand.toml"), "[server]\nrate = 3\n").unwrap();
    let server = Server::start(&site);
    let request = format!("ws://{}/api/v1/ws", address(&server)).into_client_request().unwrap();
    let mut socket = tungstenite::client(request, TcpStream::connect(address(&server)).unwrap()).unwrap().0;
    let mut ask = |id: u64| -> Value {
        let command = json!({ "id": id, "do": "unfollow", "follow": 1 });
        socket.send(tungstenite::Message::text(command.to_string())).unwrap();
        loop {
            if let tungstenite::Message::Text(text) = socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    // The request that opened it was one of the three; a slow machine may give back one meanwhile.
    let refused = (1..20).map(&mut ask).find(|answer| answer.get("problem").is_some()).unwrap();
    assert_eq!(refused["problem"]["code"], "too-many", "{refused}");
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(ask(99), json!({ "answer": 99, "ok": { "changed": false } }));
}

// R8.2
#[test]
fn who_sends_too_much_hears_that_it_was_too_much() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    let server = Server::start(&site);
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        let body = vec![b' '; 12 << 20];
        let host = address(&server);
        write!(
            stream,
            "POST /api/v1/runs HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        // As simple clients do: all of it is sent before the answer is read.
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"too-large\""), "{answer}");
    }
}

// R8.2
#[test]
fn a_reader_that_reads_nothing_is_cut_off_and_others_are_not() {
    let site = Site::new(&[("bulky.yaml", BULKY)]);
    fs::write(site.path().join("bandstand.toml"), "[server]\nstalled = \"1s\"\n").unwrap();
    let server = Server::start(&site);
    let client = server.client();
    let open = || {
        let mut stream = TcpStream::connect(address(&server)).unwrap();
        write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: {}\r\n\r\n", address(&server)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut head = [0; 512];
        assert!(stream.read(&mut head).unwrap() > 0);
        stream
    };
    let (mut stalled, mut reading) = (open(), open());
    let established = || {
        // Of the server's sockets: that with the port of the one that reads nothing.
        let port = format!(":{:04X} ", stalled.local_addr().unwrap().port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            line.contains(&port) && line.split_whitespace().nth(2).unwrap().ends_with(port.trim())
        })
    };
    let bulk = json!({ "text": "x".repeat(200_000) });
    let mut read = 0;
    let begun = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    while established() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it is still there after {read} bytes for the other"
        );
        assert_eq!(client.run("bulky", &bulk)["status"], "succeeded");
        read += reading.read(&mut buffer).unwrap();
    }
    // What it was sent before may still be there; the rest never comes.
    let mut rest = Vec::new();
    let end = stalled.read_to_end(&mut rest).map_err(|error| error.kind());
    assert!(end.is_ok() || end == Err(std::io::ErrorKind::ConnectionReset), "{end:?}");
    // The other one still hears.
    client.run("bulky", &bulk);
    assert!(reading.read(&mut buffer).unwrap() > 0);
}

// R5.8, R8.2
#[test]
fn a_run_names_the_trace_of_its_caller_and_what_is_none_is_passed_over() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    let server = Server::start(&site);
    let client = server.client();
    let linked = |traceparent: &str| {
        let body = json!({ "workflow": "value" });
        let run = client.post_with("/api/v1/runs?wait=60", &[("traceparent", traceparent)], &body).ok();
        let events = client.get(&format!("/api/v1/runs/{}/events", run["run_id"].as_str().unwrap())).ok();
        events["items"][0]["linked"].clone()
    };
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // Which trace and which span; whether the caller keeps its trace is not of the run.
    let told = linked(caller);
    assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
    assert!(told[0].as_str().unwrap().starts_with(&caller[..caller.len() - 2]), "{told}");
    for none in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-x"] {
        assert_eq!(linked(none), Value::Null, "{none}");
    }
}

// R2.8
#[test]
fn a_notification_that_was_given_up_is_sent_again_when_asked() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    fs::write(site.path().join("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let settings = format!(
        "[notify.desk]\nurl = \"http://127.0.0.1:{port}/\"\nsecret = {{ file = \"key\" }}\nattempts = 1\nevents = \
         [\"run.ended\"]\n"
    );
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    let server = Server::start(&site);
    let client = server.client();
    let answer = |status: &str| {
        let (mut stream, _) = receiver.accept().unwrap();
        let mut request = vec![0; 64 << 10];
        let length = stream.read(&mut request).unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..length]).to_ascii_lowercase()
    };
    client.run("value", &json!({}));
    let first = answer("500 Internal Server Error");
    let given_up = wait_for("that it is given up", || {
        client.get("/api/v1/notifications?state=failed").ok()["items"].get(0).cloned()
    });
    let id = given_up["id"].as_str().unwrap();
    let resend = format!("/api/v1/notifications/{id}/resend");
    assert_eq!(client.post(&resend, &json!({})).ok(), json!({ "resent": 1 }));
    let second = answer("204 No Content");
    let named = |request: &str| {
        request.lines().find(|line| line.starts_with("webhook-id:")).map(str::to_owned).unwrap()
    };
    assert_eq!(named(&first), named(&second), "the receiver can tell that it is the same");
    wait_for("that nothing is left", || {
        client.get("/api/v1/notifications").ok()["items"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(client.post(&resend, &json!({})).problem(), "not-found");
}

// R8.4
#[test]
fn a_server_with_tls_is_asked_by_whoever_believes_its_authority() {
    let site = Site::new(&[("value.yaml", VALUE)]);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(site.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(site.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let settings = "[server]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    let server = Server::start(&site);
    assert!(server.url().starts_with("https://"), "{}", server.url());
    let run = ["--server", server.url(), "--ca-file", "cert.pem", "run", "value"];
    let ended = site.call(&run).with_code(0);
    assert_eq!(ended.outcome()["status"], "succeeded");
    let doubted = site.call(&["--server", server.url(), "runs", "list"]).with_code(1);
    assert!(doubted.stderr.contains("certificate"), "{}", doubted.stderr);
}
