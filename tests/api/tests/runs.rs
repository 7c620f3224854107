//! R8.2, R5.5 over HTTP: runs are started, listed, followed and steered, and what is wrong is told as a problem.

#![allow(clippy::unwrap_used)]

use bandstand_api::Server;
use bandstand_crash::Site;
use serde_json::{Value, json};

const DESK: &str = include_str!("desk.yaml");
const SIGNAL: &str = "format: 1\nname: hold\nversion: 1\nnodes:\n  hold:\n    wait: { signal: go, schema: { type: \
                      integer } }\n    next: end\nresult: { got: \"${{ output }}\" }\n";

const NAP: &str = "format: 1\nname: nap\nversion: 1\nnodes:\n  nap:\n    wait: { for: 10m }\n    next: end\n";

fn site() -> Site {
    Site::new(&[("desk.yaml", DESK), ("hold.yaml", SIGNAL), ("nap.yaml", NAP)])
}

// R8.2
#[test]
fn a_run_is_started_once_for_a_key_and_shown_whole() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let body = json!({ "workflow": "desk", "input": { "n": 4 }, "user_id": "ada" });
    let start =
        |key: &str, body: &Value| client.post_with("/api/v1/runs?wait=60", &[("idempotency-key", key)], body);
    let first = start("k1", &body);
    assert_eq!(first.status, 201, "{}", first.text);
    let run = first.json();
    let id = run["run_id"].as_str().unwrap();
    assert_eq!(first.header("location"), format!("/api/v1/runs/{id}"));
    assert_eq!((run["settled"].as_bool(), run["status"].as_str()), (Some(true), Some("waiting")));
    assert_eq!(start("\"k1\"", &body).ok()["run_id"], run["run_id"]);
    let other = json!({ "workflow": "desk", "input": { "n": 5 } });
    assert_eq!(start("k1", &other).problem(), "key-reused");
    let shown = client.get(&format!("/api/v1/runs/{id}")).ok();
    assert_eq!((&shown["state"]["total"], &shown["user_id"]), (&json!(4), &json!("ada")));
    let events = client.get(&format!("/api/v1/runs/{id}/events?limit=3")).ok();
    let first_page = events["items"].as_array().unwrap();
    assert_eq!(first_page[0]["type"], "run.started");
    let next = events["next_from"].as_u64().unwrap();
    let rest = client.get(&format!("/api/v1/runs/{id}/events?from={next}")).ok();
    assert_eq!(rest["items"][0]["seq"], next);
    assert_eq!(rest["next_from"], Value::Null);
    assert_eq!(client.get(&format!("/api/v1/runs/{id}/replay")).ok()["same"], true);
}

// R8.2
#[test]
fn lists_go_on_where_they_were_and_filters_hold() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    for n in 0..5 {
        client.run("desk", &json!({ "n": n }));
    }
    client.post("/api/v1/runs", &json!({ "workflow": "hold" })).ok();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            client.get(&format!("/api/v1/runs?workflow=desk&status=waiting,failed&limit=2{cursor}")).ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|run| run["run_id"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert_eq!(client.get("/api/v1/runs?until=2020-01-01T00:00:00Z").ok()["items"], json!([]));
    assert_eq!(
        client.get("/api/v1/runs?since=2020-01-01T00:00:00Z").ok()["items"].as_array().unwrap().len(),
        6
    );
    let reviews = client.get("/api/v1/reviews?limit=3").ok();
    assert_eq!((reviews["items"].as_array().unwrap().len(), &reviews["open"]), (3, &json!(5)));
    let next = reviews["next_cursor"].as_str().unwrap();
    let rest = client.get(&format!("/api/v1/reviews?limit=3&cursor={next}")).ok();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
}

// R5.5, R8.2
#[test]
fn every_verb_is_there() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let run = client.run("desk", &json!({ "n": 1 }));
    let id = run["run_id"].as_str().unwrap().to_owned();
    let verb = |id: &str, verb: &str, body: Value| client.post(&format!("/api/v1/runs/{id}/{verb}"), &body);
    assert_eq!(verb(&id, "pause", json!({ "reason": "lunch" })).ok()["run"]["status"], "paused");
    assert_eq!(verb(&id, "pause", json!({})).ok()["changed"], false);
    assert_eq!(verb(&id, "resume", json!({})).ok()["changed"], true);
    let fork = verb(&id, "fork?wait=60", json!({ "from": "ask", "set": { "state.total": 7 } })).ok();
    let fork_id = fork["run_id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/api/v1/runs/{fork_id}")).ok()["state"]["total"], 7);
    assert_eq!(verb(&id, "fork", json!({ "from": "nowhere" })).problem(), "not-found");
    for latest in [false, true] {
        let again = verb(&id, "rerun?wait=60", json!({ "latest": latest })).ok();
        assert_eq!(again["status"], "waiting");
    }
    assert_eq!(verb(&id, "retry", json!({})).problem(), "conflict");
    let review = run["reviews"][0].as_str().unwrap();
    let answer = json!({ "decision": "rejected", "reviewer": "ada" });
    client.post(&format!("/api/v1/reviews/{review}/decision"), &answer).ok();
    let failed = client.get(&format!("/api/v1/runs/{id}/wait?wait=60")).ok();
    assert_eq!(failed["status"], "failed");
    assert_eq!(verb(&id, "retry", json!({})).ok()["changed"], true);
    assert_eq!(verb(fork_id, "cancel", json!({})).ok()["run"]["status"], "cancelled");
    assert_eq!(client.send("DELETE", &format!("/api/v1/runs/{fork_id}"), &[], None).status, 204);
    assert_eq!(client.get(&format!("/api/v1/runs/{fork_id}")).problem(), "not-found");
    let hold = client.post("/api/v1/runs", &json!({ "workflow": "hold" })).ok();
    let hold = hold["run_id"].as_str().unwrap();
    assert_eq!(client.send("DELETE", &format!("/api/v1/runs/{hold}"), &[], None).problem(), "conflict");
    assert_eq!(verb(hold, "signals/go", json!({ "data": "x" })).problem(), "conflict");
    assert_eq!(verb(hold, "signals/other", json!({})).problem(), "conflict");
    verb(hold, "signals/go", json!({ "data": 3 })).ok();
    assert_eq!(client.get(&format!("/api/v1/runs/{hold}/wait")).ok()["result"], json!({ "got": 3 }));
    assert_eq!(verb(hold, "kill", json!({})).problem(), "conflict");
    let exported = client.get(&format!("/api/v1/runs/{hold}/export"));
    assert_eq!((exported.status, exported.header("content-type")), (200, "application/x-ndjson"));
}

// R8.2
#[test]
fn what_is_wrong_is_told_as_a_problem() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let json = [("content-type", "application/json")];
    let runs = "/api/v1/runs";
    for (method, path, headers, body, code) in [
        ("GET", "/api/v1/nothing", &[][..], None, "not-found"),
        ("GET", "/", &[], None, "not-found"),
        ("PATCH", runs, &[], None, "method-not-allowed"),
        ("GET", "/api/v1/runs/none", &[], None, "not-found"),
        ("GET", "/api/v1/runs/none/stream", &[], None, "not-found"),
        ("GET", "/api/v1/runs/none/events", &[], None, "not-found"),
        ("GET", "/api/v1/reviews/none", &[], None, "not-found"),
        ("GET", "/api/v1/threads/desk/none", &[], None, "not-found"),
        ("GET", "/api/v1/runs?limit=0", &[], None, "bad-request"),
        ("GET", "/api/v1/runs?limit=1001", &[], None, "bad-request"),
        ("GET", "/api/v1/runs?cursor=x", &[], None, "bad-request"),
        ("GET", "/api/v1/runs?status=odd", &[], None, "bad-request"),
        ("GET", "/api/v1/runs?since=yesterday", &[], None, "bad-request"),
        ("GET", "/api/v1/runs?unknown=1", &[], None, "bad-request"),
        ("GET", "/api/v1/stream?from=x", &[], None, "bad-request"),
        ("POST", runs, &json, Some("{"), "bad-request"),
        ("POST", runs, &json, Some("[]"), "invalid"),
        ("POST", runs, &json, Some("{\"workflow\":\"desk\",\"more\":1}"), "invalid"),
        ("POST", runs, &json, Some("{\"workflow\":\"none\"}"), "not-found"),
        ("POST", runs, &json, Some("{\"workflow\":\"desk\",\"input\":{}}"), "invalid"),
        (
            "POST",
            runs,
            &json,
            Some("{\"workflow\":\"desk\",\"input\":{\"n\":1},\"user_id\":\"\"}"),
            "invalid",
        ),
        ("POST", "/api/v1/runs?wait=9999", &json, Some("{\"workflow\":\"desk\"}"), "bad-request"),
        ("POST", runs, &[("content-type", "text/plain")], Some("{}"), "unsupported-type"),
        ("GET", runs, &[("host", "evil.example")], None, "forbidden"),
        ("POST", runs, &[("origin", "https://evil.example")], None, "forbidden"),
    ] {
        let answer = client.send(method, path, headers, body.map(str::as_bytes));
        assert_eq!(answer.problem(), code, "{method} {path} {body:?}: {}", answer.text);
    }
    let large = vec![b' '; 5 << 20];
    // The server answers before it has read all and hangs up: a client that still sends may not get to read it.
    let answers = || client.try_send("POST", runs, &json, Some(&large));
    let refused = std::iter::repeat_with(answers).take(100).flatten().next().unwrap();
    assert_eq!(refused.problem(), "too-large");
    // It is alive all the same, and nothing was started.
    assert_eq!(client.get(runs).ok()["items"], json!([]));
}

// R8.2
#[test]
fn a_server_that_is_told_to_end_answers_what_is_under_way_and_ends_in_order() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let run = client.post("/api/v1/runs", &json!({ "workflow": "nap" })).ok();
    let id = run["run_id"].as_str().unwrap().to_owned();
    let waiting = {
        let (client, id) = (client.clone(), id.clone());
        std::thread::spawn(move || client.get(&format!("/api/v1/runs/{id}/wait?wait=60")))
    };
    let mut stream = client.stream(&format!("/api/v1/runs/{id}/stream"), None);
    assert_eq!(stream.next_message().unwrap().event, "run.started");
    server.terminate();
    let last = stream.by_ref().last().unwrap();
    assert_eq!(last.event, "closing");
    assert_eq!(waiting.join().unwrap().ok()["settled"], false);
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended}");
    let server = Server::start(&site);
    assert_eq!(server.client().get(&format!("/api/v1/runs/{id}")).ok()["status"], "waiting");
}
