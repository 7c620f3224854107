//! When a server compiles plugins: before a workflow is in service, and never while a call waits for it.

#![allow(clippy::unwrap_used)]

use bandstand_api::{Client, Server};
use bandstand_crash::Site;
use serde_json::json;

const ECHO: &[u8] = include_bytes!("../../../host/app/assets/echo.wasm");
const WORKFLOW: &str = "format: 1\nname: calls\nversion: 1\nplugins:\n  p: { path: p.wasm }\nnodes:\n  \
                        go: { agent: p, input: { a: 1 }, next: end }\n";

/// The same agent with other bytes, which nobody has compiled.
fn echo_with(name: u8) -> Vec<u8> {
    [ECHO, &[0, 3, 1, name, 0]].concat()
}

/// How many plugins this process has compiled.
fn compiled(client: &Client) -> u64 {
    let text = client.get("/metrics").text;
    let count = |line: &str| line.strip_prefix("bandstand_plugin_compile_seconds_count ")?.parse().ok();
    text.lines().find_map(count).unwrap_or(0)
}

fn call(client: &Client) {
    assert_eq!(client.run("calls", &json!({}))["result"], json!({ "a": 1 }));
}

// R8.5
#[test]
fn no_call_waits_for_a_compiler() {
    let site = Site::new(&[("calls.yaml", WORKFLOW)]);
    std::fs::write(site.path().join("p.wasm"), echo_with(b'1')).unwrap();
    let server = Server::start(&site);
    let client = server.client();
    assert_eq!(compiled(&client), 1, "it is compiled before the host serves");
    call(&client);
    assert_eq!(compiled(&client), 1, "its first call found it compiled");
    // A newer one is compiled before it takes the place of the old one.
    let newer = echo_with(b'2');
    let path = "/api/v1/plugins/p";
    let put = client.send("PUT", path, &[("content-type", "application/wasm")], Some(&newer));
    assert_eq!(put.status, 201);
    let workflow = WORKFLOW.replace("p.wasm", "plugins/p.wasm");
    let headers = [("content-type", "application/yaml")];
    let put = client.send("PUT", "/api/v1/workflows/calls", &headers, Some(workflow.as_bytes()));
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(compiled(&client), 2);
    call(&client);
    assert_eq!(compiled(&client), 2);
    server.end();
    // What was compiled outlives the process.
    let server = Server::start(&site);
    call(&server.client());
    assert_eq!(compiled(&server.client()), 0);
    server.end();
}

// R8.5
#[test]
fn what_was_compiled_ahead_is_not_compiled_at_the_start() {
    let site = Site::new(&[("calls.yaml", WORKFLOW)]);
    std::fs::write(site.path().join("p.wasm"), echo_with(b'3')).unwrap();
    let ahead = site.call(&["plugin", "precompile", "p.wasm"]);
    assert_eq!(ahead.code, Some(0), "{ahead}");
    let server = Server::start(&site);
    call(&server.client());
    assert_eq!(compiled(&server.client()), 0);
    server.end();
}
