//! R8.2: the server does what its OpenAPI document says, by schemathesis: no answer of the class 5xx, none that the document
//! does not describe. Needs `schemathesis` on the path, or where `SCHEMATHESIS` says; without
//! it the test says so and passes, unless `BANDSTAND_REQUIRE_SCHEMATHESIS` is set.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use bandstand_api::Server;
use bandstand_crash::Site;
use serde_json::json;

// R8.2
#[test]
fn the_server_does_what_the_document_says() {
    let program = std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    if Command::new(&program).arg("--version").output().is_err() {
        let required = std::env::var_os("BANDSTAND_REQUIRE_SCHEMATHESIS").is_some();
        assert!(!required, "there is no `{program}`: pip install schemathesis");
        eprintln!("not looked at: there is no `{program}` (pip install schemathesis)");
        return;
    }
    let site = Site::new(&[("desk.yaml", include_str!("desk.yaml"))]);
    let server = Server::start(&site);
    let client = server.client();
    for n in 0..3 {
        client
            .post(
                "/api/v1/runs?wait=60",
                &json!({ "workflow": "desk", "input": { "n": n }, "thread_id": "t" }),
            )
            .ok();
    }
    // Streams have no end.
    let output = Command::new(&program)
        .args(["run", &format!("{}/api/v1/openapi.json", server.url())])
        .args([
            "--exclude-path-regex",
            "stream$",
            "--max-examples",
            "25",
            "--request-timeout",
            "30",
            "--seed",
            "1",
        ])
        // Links between operations that it guesses are not always ones that there can be.
        .args(["--phases", "examples,coverage,fuzzing"])
        // What a workflow's own schema refuses the document allows, and more is taken than it promises.
        .args(["--exclude-checks", "positive_data_acceptance,negative_data_rejection"])
        .args(["--suppress-health-check", "all", "--no-color"])
        .current_dir(site.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary: Vec<&str> = text.lines().rev().take(12).collect();
    eprintln!("{}", summary.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert_eq!(client.get("/readyz").status, 200);
}
