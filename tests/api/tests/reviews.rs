//! R2.3, R2.5, R2.7 over HTTP: the inbox and its answers, and two people who decide at once.

#![allow(clippy::unwrap_used)]

use bandstand_api::{Client, Server};
use bandstand_crash::Site;
use serde_json::{Value, json};

const DESK: &str = include_str!("desk.yaml");

fn open_review(client: &Client) -> (String, String) {
    let run = client.run("desk", &json!({ "n": 2 }));
    (run["run_id"].as_str().unwrap().to_owned(), run["reviews"][0].as_str().unwrap().to_owned())
}

fn decide(client: &Client, review: &str, headers: &[(&str, &str)], body: &Value) -> bandstand_api::Answer {
    client.post_with(&format!("/api/v1/reviews/{review}/decision"), headers, body)
}

// R2.3, R2.5
#[test]
fn a_review_is_answered_once_with_an_edit() {
    let site = Site::new(&[("desk.yaml", DESK)]);
    let server = Server::start(&site);
    let client = server.client();
    let (run, review) = open_review(&client);
    let seen = client.get(&format!("/api/v1/reviews/{review}"));
    assert_eq!(seen.ok()["proposed"], json!({ "total": 2 }));
    let tag = seen.header("etag").to_owned();
    let answer = json!({
        "decision": "approved", "reviewer": "ada", "comments": "rounded", "changes": { "total": 3 }, "confidence": 0.9
    });
    let decided = decide(&client, &review, &[("if-match", &tag)], &answer);
    assert_eq!(
        (&decided.ok()["changed"], &decided.ok()["review"]["outcome"]),
        (&json!(true), &json!("approved"))
    );
    assert_ne!(decided.header("etag"), tag);
    assert_eq!(decide(&client, &review, &[], &answer).ok()["changed"], false);
    assert_eq!(decide(&client, &review, &[("if-match", &tag)], &answer).problem(), "changed");
    assert_eq!(
        decide(&client, &review, &[], &json!({ "decision": "rejected", "reviewer": "ada" })).problem(),
        "conflict"
    );
    let ended = client.get(&format!("/api/v1/runs/{run}/wait")).ok();
    assert_eq!(ended["result"], json!({ "total": 2, "value": { "total": 3 } }));
    let shown = client.get(&format!("/api/v1/reviews/{review}")).ok();
    assert_eq!(shown["answers"][0]["comments"], "rounded");
    assert_eq!(client.get("/api/v1/reviews").ok()["open"], 0);
    assert_eq!(client.get("/api/v1/reviews?all=true").ok()["items"][0]["review_id"], review);
}

// R2.5
#[test]
fn of_two_who_decide_at_once_one_is_told() {
    let site = Site::new(&[("desk.yaml", DESK)]);
    let server = Server::start(&site);
    let client = server.client();
    for _ in 0..10 {
        let (_, review) = open_review(&client);
        let threads: Vec<_> = [("ada", "approved"), ("bob", "rejected")]
            .map(|(who, decision)| {
                let (client, review) = (client.clone(), review.clone());
                std::thread::spawn(move || {
                    decide(&client, &review, &[], &json!({ "decision": decision, "reviewer": who })).status
                })
            })
            .into();
        let mut statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

// R5.8
#[test]
fn threads_show_what_they_keep_and_can_be_forgotten() {
    let site = Site::new(&[("desk.yaml", DESK)]);
    let server = Server::start(&site);
    let client = server.client();
    let body = json!({ "workflow": "desk", "input": { "n": 1 }, "thread_id": "t/1 \u{e4}" });
    let run = client.post("/api/v1/runs?wait=60", &body).ok();
    let path = "/api/v1/threads/desk/t%2F1%20%C3%A4";
    assert_eq!(client.get(path).ok()["holder"], run["run_id"]);
    assert_eq!(client.send("DELETE", path, &[], None).problem(), "conflict");
    let review = run["reviews"][0].as_str().unwrap();
    decide(&client, review, &[], &json!({ "decision": "approved", "reviewer": "ada" })).ok();
    client.get(&format!("/api/v1/runs/{}/wait", run["run_id"].as_str().unwrap())).ok();
    assert_eq!(client.get(path).ok()["values"], json!({ "said": ["ada"] }));
    assert_eq!(client.get("/api/v1/threads").ok()["items"][0]["thread_id"], "t/1 \u{e4}");
    assert_eq!(client.send("DELETE", path, &[], None).status, 204);
    assert_eq!(client.get(path).problem(), "not-found");
}
