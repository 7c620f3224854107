//! R5.2, R8.2 over HTTP: runs that are to begin later, requests that come again after the workflow has gone, and four eyes
//! where somebody does another person's run again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bandstand_api::{Client, Server};
use bandstand_crash::Site;
use serde_json::{Value, json};

const QUICK: &str = "format: 1\nname: quick\nversion: 1\nnodes:\n  a: { value: { at: \"${{ run.started_at }}\" }, \
                     next: end }\nresult: \"${{ nodes.a.output }}\"\n";
const EYES: &str = "format: 1\nname: eyes\nversion: 1\nnodes:\n  ask: { review: { title: \"Take it?\", self-approval: \
                    false }, approved: end, rejected: end }\n";
const THREAD: &str = "format: 1\nname: chat\nversion: 1\nthread: { second-run: queue }\nnodes:\n  a: { value: 1, next: end }\n";

fn until_ended(client: &Client, id: &str) -> Value {
    let since = Instant::now();
    loop {
        let run = client.get(&format!("/api/v1/runs/{id}")).ok();
        if run["ended_at"].is_string() {
            return run;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{run}");
        sleep(Duration::from_millis(50));
    }
}

// R5.2: killed while it waits, started again: it starts once, at its time.
#[test]
fn a_run_starts_at_its_time_once_though_its_host_was_killed() {
    let site = Site::new(&[("quick.yaml", QUICK)]);
    let server = Server::start(&site);
    let body = json!({ "workflow": "quick", "start_in": "4s" });
    let key = [("idempotency-key", "later")];
    let run = server.client().post_with("/api/v1/runs", &key, &body).ok();
    let id = run["run_id"].as_str().unwrap().to_owned();
    assert_eq!((&run["status"], &run["settled"]), (&json!("waiting"), &json!(false)));
    let starts_at = run["starts_at"].as_str().unwrap().to_owned();
    server.kill_nine();
    let server = Server::start(&site);
    let client = server.client();
    let shown = client.get(&format!("/api/v1/runs/{id}")).ok();
    assert_eq!(shown["starts_at"], starts_at.as_str());
    assert_eq!(shown["waiting_for"][0], json!({ "kind": "start", "until": starts_at }), "{shown}");
    assert_eq!(client.post_with("/api/v1/runs", &key, &body).ok()["run_id"], id.as_str());
    let other = json!({ "workflow": "quick", "start_in": "5s" });
    assert_eq!(client.post_with("/api/v1/runs", &key, &other).problem(), "key-reused");
    let ended = until_ended(&client, &id);
    assert_eq!((&ended["status"], &ended["starts_at"]), (&json!("succeeded"), &Value::Null));
    assert!(ended["started_at"].as_str().unwrap() >= starts_at.as_str(), "{ended}");
    assert_eq!(ended["result"]["at"], ended["started_at"]);
    let events = client.get(&format!("/api/v1/runs/{id}/events")).ok();
    let due = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == "run.due").count();
    assert_eq!(due, 1);
}

#[test]
fn a_run_that_waits_for_its_start_is_steered_and_what_cannot_be_is_refused() {
    let site = Site::new(&[("quick.yaml", QUICK), ("chat.yaml", THREAD)]);
    let server = Server::start(&site);
    let client = server.client();
    let start = |more: Value| {
        let mut body = json!({ "workflow": "quick" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.post("/api/v1/runs", &body)
    };
    let later = || start(json!({ "start_at": "2027-06-01T08:00:00+02:00" })).ok();
    let run = later();
    assert_eq!(run["starts_at"], "2027-06-01T06:00:00.000Z");
    let path = format!("/api/v1/runs/{}", run["run_id"].as_str().unwrap());
    assert_eq!(client.post(&format!("{path}/pause"), &json!({})).ok()["run"]["status"], "paused");
    assert_eq!(client.post(&format!("{path}/resume"), &json!({})).ok()["run"]["status"], "waiting");
    assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).ok()["run"]["status"], "cancelled");
    assert_eq!(client.get(&path).ok()["starts_at"], Value::Null);
    assert_eq!(client.send("DELETE", &path, &[], None).status, 204);
    let killed = format!("/api/v1/runs/{}/kill", later()["run_id"].as_str().unwrap());
    assert_eq!(client.post(&killed, &json!({})).ok()["run"]["status"], "killed");
    let past = start(json!({ "start_at": "2020-01-01T00:00:00Z" })).ok();
    assert_eq!(until_ended(&client, past["run_id"].as_str().unwrap())["status"], "succeeded");
    for wrong in [
        json!({ "start_at": "tomorrow" }),
        json!({ "start_at": "2099-01-01T00:00:00Z" }),
        json!({ "start_in": "soon" }),
        json!({ "start_in": "1h", "start_at": "2027-06-01T08:00:00Z" }),
        json!({ "start_in": "1h", "workflow": "chat", "thread_id": "t" }),
    ] {
        assert_eq!(start(wrong.clone()).status, 422, "{wrong}");
    }
}

// R8.2: a request that comes again gets its first answer, whatever became of the workflow.
#[test]
fn a_request_that_comes_again_is_known_after_its_workflow_changed_or_went() {
    let site = Site::new(&[("quick.yaml", QUICK)]);
    let server = Server::start(&site);
    let client = server.client();
    let start = |key: &str, body: &Value| client.post_with("/api/v1/runs", &[("idempotency-key", key)], body);
    let body = json!({ "workflow": "quick", "seed": 7 });
    let id = start("k", &body).ok()["run_id"].as_str().unwrap().to_owned();
    until_ended(&client, &id);
    let again = |path: &str, key: &str, body: &Value| {
        client.post_with(&format!("/api/v1/runs/{id}/{path}"), &[("idempotency-key", key)], body)
    };
    let rerun = again("rerun", "r", &json!({ "latest": true })).ok()["run_id"].clone();
    let fork = again("fork", "f", &json!({ "from": 1, "latest": true })).ok()["run_id"].clone();

    let changed = QUICK.replace("version: 1", "version: 2").replace("next: end", "next: b") + "";
    let changed = changed.replace("\nresult", "\n  b: { value: 2, next: end }\nresult");
    fs::write(site.path().join("quick.yaml"), &changed).unwrap();
    let since = Instant::now();
    let version = || client.get("/api/v1/workflows/quick").json()["version"].clone();
    while version() != 2 {
        assert!(since.elapsed() < Duration::from_secs(30), "{}", client.get("/api/v1/workflows/quick").text);
        sleep(Duration::from_millis(50));
    }
    assert_eq!(start("k", &body).ok()["run_id"], id.as_str());
    assert_eq!(start("k", &json!({ "workflow": "quick", "seed": 8 })).problem(), "key-reused");
    assert_eq!(
        start("k", &json!({ "workflow": "quick" })).problem(),
        "key-reused",
        "the seed is compared, too"
    );
    fs::remove_file(site.path().join("quick.yaml")).unwrap();
    while client.get("/api/v1/workflows/quick").status != 404 {
        assert!(since.elapsed() < Duration::from_secs(60));
        sleep(Duration::from_millis(50));
    }
    assert_eq!(start("k", &body).ok()["run_id"], id.as_str());
    assert_eq!(start("new", &body).problem(), "not-found");
    assert_eq!(again("rerun", "r", &json!({ "latest": true })).ok()["run_id"], rerun);
    assert_eq!(again("fork", "f", &json!({ "from": 1, "latest": true })).ok()["run_id"], fork);
    assert_eq!(again("fork", "f", &json!({ "from": 2, "latest": true })).problem(), "key-reused");
}

// R2.5, R8.2: whoever did a run again, or forked it, counts as who began it, and so does who began the other one.
#[test]
fn nobody_approves_a_run_that_they_began_did_again_or_forked() {
    let site = Site::new(&[("eyes.yaml", EYES)]);
    let mut settings = fs::read_to_string(site.path().join("bandstand.toml")).unwrap();
    let mut token = |name: &str| {
        let made =
            site.call(&["token", "new", name, "--role", "operator", "--role", "reviewer", "--user", name]);
        let made = made.lines().remove(0);
        settings.push_str(made["settings"].as_str().unwrap());
        made["token"].as_str().unwrap().to_owned()
    };
    let (ann, bob, eve) = (token("ann"), token("bob"), token("eve"));
    fs::write(site.path().join("bandstand.toml"), settings).unwrap();
    let server = Server::start(&site);
    let (ann, bob, eve) = (server.client_with(&ann), server.client_with(&bob), server.client_with(&eve));
    let approve = |client: &Client, run: &Value| {
        let review = run["reviews"][0].as_str().unwrap();
        client.post(&format!("/api/v1/reviews/{review}/decision"), &json!({ "decision": "approved" }))
    };
    let run = ann.run("eyes", &json!({}));
    let id = run["run_id"].as_str().unwrap();
    let rerun = bob.post(&format!("/api/v1/runs/{id}/rerun?wait=60"), &json!({})).ok();
    let fork = bob.post(&format!("/api/v1/runs/{id}/fork?wait=60"), &json!({ "from": 1 })).ok();
    let of_rerun = rerun["run_id"].as_str().unwrap();
    let twice = eve.post(&format!("/api/v1/runs/{of_rerun}/rerun?wait=60"), &json!({})).ok();
    for run in [&rerun, &fork, &twice] {
        for client in [&ann, &bob] {
            assert!(approve(client, run).status >= 400, "{run}");
        }
    }
    assert!(approve(&eve, &twice).status >= 400);
    approve(&eve, &rerun).ok();
    approve(&eve, &fork).ok();
    approve(&bob, &run).ok();
}
