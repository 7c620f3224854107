//! R8.2: streams tell every event once, in order, and go on where a client was.

#![allow(clippy::unwrap_used)]

use bandstand_api::{Client, Message, Server};
use bandstand_crash::Site;
use serde_json::{Value, json};

const DESK: &str = include_str!("desk.yaml");

fn site() -> Site {
    Site::new(&[("desk.yaml", DESK)])
}

fn approve(client: &Client, run: &Value) {
    let review = run["reviews"][0].as_str().unwrap();
    let body = json!({ "decision": "approved", "reviewer": "ada" });
    client.post(&format!("/api/v1/reviews/{review}/decision"), &body).ok();
}

/// What is kept of a stream: the numbers and the data.
fn kept(messages: &[Message]) -> Vec<(String, Value)> {
    let kept = messages.iter().filter_map(|message| Some((message.id.clone()?, message.data.clone())));
    kept.collect()
}

// R8.2
#[test]
fn a_run_is_told_from_any_event_on_and_ends() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let run = client.run("desk", &json!({ "n": 1 }));
    let id = run["run_id"].as_str().unwrap();
    let path = format!("/api/v1/runs/{id}/stream");
    let mut stream = client.stream(&path, None);
    let mut live: Vec<Message> = Vec::new();
    while live.last().is_none_or(|message| message.event != "review.opened") {
        live.push(stream.next_message().unwrap());
    }
    approve(&client, &run);
    live.extend(stream);
    assert_eq!(live.last().unwrap().event, "end");
    let events = client.get(&format!("/api/v1/runs/{id}/events")).ok();
    let events = events["items"].as_array().unwrap();
    let expected: Vec<(String, Value)> =
        events.iter().map(|event| (event["seq"].to_string(), event.clone())).collect();
    assert_eq!(kept(&live), expected);
    for last in 0..events.len() {
        let rest: Vec<Message> = client.stream(&path, Some(&last.to_string())).collect();
        if last + 1 < events.len() {
            assert_eq!(kept(&rest), expected[last + 1..], "after {last}");
        } else {
            assert_eq!((rest.len(), client.stream(&path, Some(&last.to_string())).status), (0, 204));
        }
    }
}

// R8.2
#[test]
fn all_runs_and_threads_are_told_from_any_place_on_without_gap_or_repeat() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let mut all = client.stream("/api/v1/stream", None);
    let mut thread = client.stream("/api/v1/threads/desk/one/stream", None);
    let mut runs = Vec::new();
    for (n, thread) in [(1, Some("one")), (2, Some("two")), (3, None)] {
        let body = json!({ "workflow": "desk", "input": { "n": n }, "thread_id": thread });
        runs.push(client.post("/api/v1/runs?wait=60", &body).ok());
    }
    runs.iter().for_each(|run| approve(&client, run));
    let mut told = Vec::new();
    let mut ended = 0;
    while ended < 3 {
        let message = all.next_message().unwrap();
        ended += usize::from(message.event == "run.succeeded");
        told.push(message);
    }
    let told = kept(&told);
    for run in &runs {
        let of_run = told.iter().filter(|(_, event)| event["run_id"] == run["run_id"]);
        let seqs: Vec<u64> = of_run.map(|(_, event)| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
    }
    for at in [0, 1, told.len() / 2, told.len() - 2] {
        let again = client.stream("/api/v1/stream", Some(&told[at].0)).filter(|message| message.id.is_some());
        let again: Vec<Message> = again.take(told.len() - at - 1).collect();
        assert_eq!(kept(&again), told[at + 1..], "after {}", told[at].0);
    }
    let mut of_thread = Vec::new();
    loop {
        let message = thread.next_message().unwrap();
        let over = message.event == "run.succeeded";
        of_thread.push(message);
        if over {
            break;
        }
    }
    let expected: Vec<_> =
        told.iter().filter(|(_, event)| event["run_id"] == runs[0]["run_id"]).cloned().collect();
    assert_eq!(kept(&of_thread), expected);
    let mut stream = client.stream("/api/v1/stream", Some("99999999.0"));
    assert_eq!(stream.next_message().unwrap().event, "reset");
}

// R8.2
#[test]
fn deleted_runs_leave_no_gap_in_which_a_stream_gets_lost() {
    let site = site();
    let server = Server::start(&site);
    let client = server.client();
    let start = |n: u64| {
        client.post("/api/v1/runs?wait=60", &json!({ "workflow": "desk", "input": { "n": n } })).ok()
    };
    let end = |run: &Value| {
        approve(&client, run);
        let id = run["run_id"].as_str().unwrap().to_owned();
        client.stream(&format!("/api/v1/runs/{id}/stream"), None).for_each(drop);
        id
    };
    let runs: Vec<String> = (1..=3).map(|n| end(&start(n))).collect();
    let mut seen = client.stream("/api/v1/stream?from=0", None).filter(|message| message.id.is_some());
    let last = seen.find(|message| message.event == "run.succeeded" && message.data["run_id"] == runs[2]);
    let last = last.unwrap().id.unwrap();
    // One in the middle of the journal and one at its end.
    for id in &runs[1..] {
        assert_eq!(client.send("DELETE", &format!("/api/v1/runs/{id}"), &[], None).status, 204);
    }
    let stream = client.stream("/api/v1/stream?from=0", None).filter(|message| message.id.is_some());
    let mut back =
        client.stream("/api/v1/stream", Some(&last)).filter(|message| !message.event.starts_with("live."));
    let later = end(&start(4));
    // Whoever had seen all of it goes on where it was.
    let first = back.next().unwrap();
    assert_eq!((first.event.as_str(), &first.data["run_id"]), ("run.started", &json!(later)));
    let mut of: Vec<String> = Vec::new();
    for message in stream {
        of.push(message.data["run_id"].as_str().unwrap().to_owned());
        if message.event == "run.succeeded" && *of.last().unwrap() == later {
            break;
        }
    }
    of.dedup();
    assert_eq!(of, [runs[0].clone(), later]);
}
