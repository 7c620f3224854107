//! R5.4: a copy that is made while a server works is a whole data directory, and its runs go on in it.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use bandstand_api::Server;
use bandstand_crash::Site;
use serde_json::json;

// R5.4
#[test]
fn a_copy_made_under_way_is_whole_and_its_runs_go_on() {
    let site = Site::new(&[("desk.yaml", include_str!("desk.yaml"))]);
    let server = Server::start(&site);
    let (client, enough) = (server.client(), AtomicBool::new(false));
    let copy = site.path().join("copies/one");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    client.post("/api/v1/runs", &json!({ "workflow": "desk", "input": { "n": 1 } })).ok();
                }
            });
        }
        client.run("desk", &json!({ "n": 1 }));
        let made = site.call(&["backup", copy.to_str().unwrap()]);
        assert_eq!(made.code, Some(0), "{made}");
        assert_eq!(made.lines()[0]["plugins"], 1);
        enough.store(true, Ordering::Relaxed);
    });
    let again = site.call(&["backup", copy.to_str().unwrap()]);
    assert_eq!(again.code, Some(2), "{again}");
    drop(server.end());
    let site = site.with_data(&copy);
    let runs = site.call(&["runs", "list", "--limit", "1000"]).lines();
    assert!(!runs.is_empty());
    for run in runs.iter().take(20) {
        let same = site.call(&["runs", "replay", run["run_id"].as_str().unwrap()]);
        assert_eq!(same.code, Some(0), "{same}");
    }
    let server = Server::start(&site);
    let client = server.client();
    let run = runs.last().unwrap()["run_id"].as_str().unwrap();
    client.get(&format!("/api/v1/runs/{run}/wait")).ok();
    let review = client.get(&format!("/api/v1/reviews?run={run}")).ok()["items"][0]["review_id"].clone();
    let path = format!("/api/v1/reviews/{}/decision", review.as_str().unwrap());
    client.post(&path, &json!({ "decision": "approved", "reviewer": "ada" })).ok();
    assert_eq!(client.get(&format!("/api/v1/runs/{run}/wait")).ok()["status"], "succeeded");
}
