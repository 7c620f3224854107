//! R5.4, R8.2: the server is killed (`kill -9`) again and again while twenty clients start runs with idempotency keys, follow
//! them and decide their reviews. Nothing that was acknowledged is lost, nothing is done twice, and every stream goes on
//! without gap or repeat.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bandstand_api::{Answer, Client, Server};
use bandstand_crash::{Random, Site};
use serde_json::{Value, json};

const CLIENTS: usize = 20;
/// How often the server is killed, unless `BANDSTAND_KILLS` says otherwise.
const KILLS: u32 = 100;

/// What the clients share.
struct Desk {
    /// Who serves at the moment.
    client: Mutex<Client>,
    /// No further runs are started.
    enough: AtomicBool,
}

/// What one client was told.
#[derive(Default)]
struct Told {
    /// Runs that were acknowledged, by key.
    runs: BTreeMap<String, String>,
    /// Decisions that were acknowledged, by review.
    decisions: BTreeMap<String, &'static str>,
    /// The events that streams told, by run.
    streams: BTreeMap<String, Vec<Value>>,
}

impl Desk {
    fn client(&self) -> Client {
        self.client.lock().unwrap().clone()
    }

    /// Asks until somebody answers who is not about to go away.
    fn insist(&self, ask: impl Fn(&Client) -> Option<Answer>) -> Answer {
        loop {
            match ask(&self.client()) {
                Some(answer) if answer.status != 503 => return answer,
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.insist(|client| client.try_send("POST", path, &headers, Some(body.to_string().as_bytes())))
    }
}

/// One client: run after run, each followed to its end.
fn work(desk: &Desk, number: usize) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        if desk.enough.load(Ordering::Relaxed) {
            return told;
        }
        let key = format!("client-{number}-{n}");
        let body = json!({ "workflow": "desk", "input": { "n": n } });
        let started = desk.post("/api/v1/runs", &key, &body).ok();
        let run_id = started["run_id"].as_str().unwrap().to_owned();
        told.runs.insert(key.clone(), run_id.clone());
        if n % 3 == 0 {
            // As whoever lost the answer asks again.
            assert_eq!(desk.post("/api/v1/runs", &key, &body).ok()["run_id"], started["run_id"]);
        }
        follow(desk, &run_id, n % 2 == 0, &mut told);
    }
    told
}

/// Follows a run to its end, through every death of the server, and decides its review.
fn follow(desk: &Desk, run_id: &str, approve: bool, told: &mut Told) {
    let mut events: Vec<Value> = Vec::new();
    'connections: loop {
        let last = events.last().map(|event| event["seq"].to_string());
        let path = format!("/api/v1/runs/{run_id}/stream");
        let Some(stream) = desk.client().try_stream(&path, last.as_deref()) else {
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        if stream.status == 204 {
            break;
        }
        for message in stream {
            match message.event.as_str() {
                "end" => {
                    if events.last().is_some_and(ends) {
                        break 'connections;
                    }
                    // The server is going away.
                    continue 'connections;
                }
                "problem" => continue 'connections,
                _ => {}
            }
            let Some(id) = message.id else { continue };
            assert_eq!(id, events.len().to_string(), "run {run_id} is told without gap or repeat");
            let opened = message.event == "review.opened";
            let review = message.data["review_id"].as_str().map(str::to_owned);
            events.push(message.data);
            if let (true, Some(review)) = (opened, review) {
                let decision = if approve { "approved" } else { "rejected" };
                let body = json!({ "decision": decision, "reviewer": "ada" });
                desk.post(&format!("/api/v1/reviews/{review}/decision"), &review, &body).ok();
                told.decisions.insert(review, decision);
            }
        }
    }
    told.streams.insert(run_id.to_owned(), events);
}

fn ends(event: &Value) -> bool {
    ["run.succeeded", "run.failed"].contains(&event["type"].as_str().unwrap())
}

// R5.4, R8.2
#[test]
fn nothing_acknowledged_is_lost_or_doubled_however_often_the_server_dies() {
    let kills = std::env::var("BANDSTAND_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let site = Site::new(&[("desk.yaml", include_str!("desk.yaml"))]);
    let mut random = Random::new(7);
    let mut server = Server::start(&site);
    let desk = Arc::new(Desk { client: Mutex::new(server.client()), enough: AtomicBool::new(false) });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let desk = desk.clone();
            std::thread::spawn(move || work(&desk, number))
        })
        .collect();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.between(20, 400)));
        drop(server.kill_nine());
        server = Server::start(&site);
        *desk.client.lock().unwrap() = server.client();
    }
    desk.enough.store(true, Ordering::Relaxed);
    let told: Vec<Told> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let client = server.client();
    let mut stored = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("/api/v1/runs?limit=1000{cursor}")).ok();
        for run in page["items"].as_array().unwrap() {
            stored.insert(
                run["run_id"].as_str().unwrap().to_owned(),
                run["status"].as_str().unwrap().to_owned(),
            );
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let acknowledged: BTreeSet<&String> = told.iter().flat_map(|told| told.runs.values()).collect();
    let keys: usize = told.iter().map(|told| told.runs.len()).sum();
    assert_eq!(acknowledged.len(), keys, "each key has a run of its own");
    assert_eq!(acknowledged, stored.keys().collect(), "the runs that were acknowledged, and no others");
    let mut decisions = 0;
    for told in &told {
        for (run_id, streamed) in &told.streams {
            let mut events = Vec::new();
            let mut from = Some(0);
            while let Some(next) = from {
                let page = client.get(&format!("/api/v1/runs/{run_id}/events?from={next}")).ok();
                events.extend(page["items"].as_array().unwrap().clone());
                from = page["next_from"].as_u64();
            }
            assert_eq!(streamed, &events, "run {run_id} was told as it is stored");
            let answers: Vec<&Value> =
                events.iter().filter(|event| event["type"] == "review.answered").collect();
            assert_eq!(answers.len(), 1, "run {run_id}");
            let review = answers[0]["review_id"].as_str().unwrap();
            assert_eq!(answers[0]["decision"], told.decisions[review], "review {review}");
            let status = if told.decisions[review] == "approved" { "succeeded" } else { "failed" };
            assert_eq!(stored[run_id], status, "run {run_id}");
            decisions += 1;
        }
    }
    eprintln!("{kills} kills, {keys} runs, {decisions} decisions");
    assert!(decisions >= CLIENTS, "they got something done");
    assert_eq!(server.end().code, Some(0));
}
