//! Deploying over HTTP: workflows and plugins that are looked at, checked, put into service and taken out while runs go on.

#![allow(clippy::unwrap_used)]

use std::fs;

use bandstand_api::{Answer, Client, Server};
use bandstand_crash::{Site, wait_for};
use serde_json::{Value, json};

const DESK: &str = include_str!("desk.yaml");
const ECHO: &[u8] = include_bytes!("../../../host/app/assets/echo.wasm");

/// The same agent with other bytes: a section that nobody reads is added.
fn echo_with(name: u8) -> Vec<u8> {
    [ECHO, &[0, 3, 1, name, 0]].concat()
}

fn value(name: &str, result: u8) -> String {
    format!(
        "format: 1\nname: {name}\nversion: {result}\nnodes:\n  go: {{ value: {{ is: {result} }}, next: end }}\n"
    )
}

fn calls(name: &str) -> String {
    format!(
        "format: 1\nname: {name}\nversion: 1\nplugins:\n  p: {{ path: plugins/p.wasm }}\nnodes:\n  \
         go: {{ agent: p, input: {{ a: 1 }}, next: end }}\n"
    )
}

fn put(client: &Client, name: &str, headers: &[(&str, &str)], text: &str) -> Answer {
    let mut all = vec![("content-type", "application/yaml")];
    all.extend(headers);
    client.send("PUT", &format!("/api/v1/workflows/{name}"), &all, Some(text.as_bytes()))
}

fn upload(client: &Client, name: &str, bytes: &[u8]) -> Answer {
    let path = format!("/api/v1/plugins/{name}");
    client.send("PUT", &path, &[("content-type", "application/wasm")], Some(bytes))
}

fn result(client: &Client, workflow: &str) -> Value {
    client.run(workflow, &json!({}))["result"].clone()
}

// R8.4
#[test]
fn a_workflow_is_put_looked_at_run_and_taken_out() {
    let site = Site::new(&[]);
    let server = Server::start(&site);
    let client = server.client();
    assert_eq!(
        client.get("/api/v1/workflows").ok(),
        json!({ "items": [], "next_cursor": null, "problems": [] })
    );
    let made = put(&client, "first", &[("if-none-match", "*")], &value("first", 1));
    assert_eq!((made.status, &made.ok()["file"]), (201, &json!("first.yaml")));
    let tag = made.header("etag").to_owned();
    assert_eq!(made.ok()["etag"], tag);
    assert_eq!(result(&client, "first"), json!({ "is": 1 }));
    // Two who write: the second is told, and what is there stays.
    let replaced = put(&client, "first", &[("if-match", &tag)], &value("first", 2));
    assert_eq!((replaced.status, &replaced.ok()["version"]), (200, &json!(2)));
    for headers in [("if-match", tag.as_str()), ("if-none-match", "*")] {
        let late = put(&client, "first", &[headers], &value("first", 3));
        assert_eq!((late.status, late.problem().as_str()), (412, "changed"));
    }
    assert_eq!(put(&client, "first", &[("if-match", "x")], &value("first", 3)).problem(), "changed");
    assert_eq!(result(&client, "first"), json!({ "is": 2 }));
    let source = client.get("/api/v1/workflows/first/source");
    assert_eq!(
        (source.text.as_str(), source.header("content-type")),
        (value("first", 2).as_str(), "application/yaml")
    );
    let known = [("if-none-match", source.header("etag"))];
    assert_eq!(client.send("GET", "/api/v1/workflows/first/source", &known, None).status, 304);
    let gone = client.send("DELETE", "/api/v1/workflows/first", &[("if-match", &tag)], None);
    assert_eq!(gone.problem(), "changed");
    assert_eq!(client.send("DELETE", "/api/v1/workflows/first", &[], None).status, 204);
    assert_eq!(client.send("DELETE", "/api/v1/workflows/first", &[], None).problem(), "not-found");
    assert!(!site.path().join("first.yaml").exists());
    let started = client.post("/api/v1/runs", &json!({ "workflow": "first" }));
    assert_eq!(started.problem(), "not-found");
    server.end();
}

// R8.4
#[test]
fn what_is_in_service_can_be_looked_at() {
    let site =
        Site::new(&[("desk.yaml", DESK), ("plain.yaml", &value("plain", 1)), ("bad.yaml", "format: 1\n")]);
    let server = Server::start(&site);
    let client = server.client();
    let all = client.get("/api/v1/workflows").ok();
    assert_eq!((&all["items"][0]["name"], &all["items"][1]["name"]), (&json!("desk"), &json!("plain")));
    assert_eq!(all["problems"][0]["file"], "bad.yaml");
    assert_eq!(all["problems"][0]["diagnostics"][0]["code"], "BW105");
    let page = client.get("/api/v1/workflows?limit=1").ok();
    let next = page["next_cursor"].as_str().unwrap();
    let rest = client.get(&format!("/api/v1/workflows?limit=1&cursor={next}")).ok();
    assert_eq!((&rest["items"][0]["name"], &rest["next_cursor"]), (&json!("plain"), &Value::Null));
    let desk = client.get("/api/v1/workflows/desk").ok();
    assert_eq!((&desk["version"], &desk["nodes"], &desk["problem"]), (&json!(3), &json!(4), &Value::Null));
    assert_eq!(desk["plugins"][0]["id"], "echo");
    assert_eq!(client.get("/api/v1/workflows/desk/schema").ok()["required"], json!(["n"]));
    assert_eq!(client.get("/api/v1/workflows/plain/schema").ok(), json!({ "type": "object" }));
    let graph = client.get("/api/v1/workflows/desk/graph");
    assert_eq!((&graph.ok()["name"], graph.header("content-type")), (&json!("desk"), "application/json"));
    assert!(client.get("/api/v1/workflows/desk/graph?format=mermaid").text.contains("ask"));
    assert!(client.get("/api/v1/workflows/desk/graph?format=dot").text.starts_with("digraph"));
    assert_eq!(client.get("/api/v1/workflows/desk/graph?format=png").problem(), "bad-request");
    assert_eq!(client.get("/api/v1/schema/workflow").ok()["type"], "object");
    for part in ["", "/source", "/graph", "/schema"] {
        assert_eq!(client.get(&format!("/api/v1/workflows/bad{part}")).problem(), "not-found");
    }
    // A file that breaks is shown beside what stays in service.
    fs::write(site.path().join("plain.yaml"), "format: 1\nname: plain\n").unwrap();
    let problem = wait_for("the problem is shown", || {
        let problem = client.get("/api/v1/workflows/plain").ok()["problem"].clone();
        (!problem.is_null()).then_some(problem)
    });
    assert_eq!((&problem["workflow"], &problem["file"]), (&json!("plain"), &json!("plain.yaml")));
    assert_eq!(result(&client, "plain"), json!({ "is": 1 }));
    fs::write(site.path().join("plain.yaml"), value("plain", 2)).unwrap();
    wait_for("the mended one is in service", || {
        (result(&client, "plain") == json!({ "is": 2 })).then_some(())
    });
    server.end();
}

// R8.4
#[test]
fn what_is_wrong_is_told_with_its_diagnostics_and_nothing_is_written() {
    let site = Site::new(&[]);
    let server = Server::start(&site);
    let client = server.client();
    let wrong = "format: 1\nname: wrong\nversion: 1\nnodes:\n  go: { value: 1, next: nowhere }\n";
    let refused = put(&client, "wrong", &[], wrong);
    assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid"));
    let found = &refused.json()["diagnostics"][0];
    assert_eq!(
        (&found["code"], &found["line"], &found["file"]),
        (&json!("BW201"), &json!(5), &json!("wrong.yaml"))
    );
    for (name, text) in [("other", value("wrong", 1).as_str()), ("A", ""), ("%2e%2e%2fx", ""), ("x", "\u{0}")]
    {
        assert_eq!(put(&client, name, &[], text).problem(), "invalid", "{name}");
    }
    assert_eq!(put(&client, "large", &[], &"#".repeat(2 << 20)).problem(), "too-large");
    let checked = client.send("POST", "/api/v1/workflows/check", &[], Some(wrong.as_bytes())).ok();
    assert_eq!((&checked["ok"], &checked["diagnostics"][0]["code"]), (&json!(false), &json!("BW201")));
    assert!(checked["rendered"][0].as_str().unwrap().contains("nowhere"));
    let fine = client.send("POST", "/api/v1/workflows/check", &[], Some(value("fine", 4).as_bytes())).ok();
    assert_eq!((&fine["ok"], &fine["name"], &fine["version"]), (&json!(true), &json!("fine"), &json!(4)));
    // Without bandstand.toml nothing is granted, and the line is named that would.
    let asks = "format: 1\nname: asks\nversion: 1\nplugins:\n  c: { builtin: chat, grants: { model: [small] } }\nnodes:\n  \
                go: { agent: c, next: end }\n";
    fs::remove_file(site.path().join("bandstand.toml")).unwrap();
    let refused = put(&client, "asks", &[], asks);
    assert_eq!(refused.problem(), "invalid");
    let help = refused.json()["diagnostics"][0]["help"].to_string();
    assert!(help.contains("[grants]") && help.contains("model"), "{help}");
    // One that is called like a route is a workflow like any other.
    assert_eq!(put(&client, "check", &[], &value("check", 1)).status, 201);
    assert_eq!(client.get("/api/v1/workflows/check").ok()["name"], "check");
    assert_eq!(client.send("DELETE", "/api/v1/workflows/check", &[], None).status, 204);
    let yaml = |name: &str| name.ends_with(".yaml");
    let left =
        fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| yaml(name)).count(), 0);
    server.end();
}

// R8.4, R5.6: runs that go on keep the plugin that they pinned.
#[test]
fn a_plugin_is_uploaded_and_swapped() {
    let site = Site::new(&[]);
    let server = Server::start(&site);
    let client = server.client();
    let first = upload(&client, "p", &echo_with(b'1'));
    assert_eq!((first.status, &first.ok()["file"]), (201, &json!("plugins/p.wasm")));
    let digest = first.ok()["digest"].as_str().unwrap().to_owned();
    for name in ["a", "b"] {
        assert_eq!(put(&client, name, &[], &calls(name)).status, 201);
    }
    assert_eq!(result(&client, "a"), json!({ "a": 1 }));
    let second = upload(&client, "p", &echo_with(b'2'));
    assert_eq!((second.status, &second.ok()["workflows"]), (200, &json!(["a", "b"])));
    assert_ne!(second.ok()["digest"], digest);
    assert_eq!(client.get("/api/v1/workflows/a").ok()["plugins"][0]["digest"], second.ok()["digest"]);
    assert_eq!(result(&client, "b"), json!({ "a": 1 }));
    let all = client.get("/api/v1/plugins").ok();
    let of = |digest: &Value| {
        all["items"].as_array().unwrap().iter().find(|plugin| plugin["digest"] == *digest).unwrap().clone()
    };
    assert_eq!(of(&second.ok()["digest"])["workflows"], json!(["a", "b"]));
    let old = of(&json!(digest));
    assert_eq!((&old["workflows"], &old["quarantine"]["state"]), (&json!([]), &json!("closed")));
    for name in [digest.as_str(), "builtin:echo"] {
        let shown = client.get(&format!("/api/v1/plugins/{name}")).ok();
        assert_eq!((&shown["usable"], &shown["grants_needed"]), (&json!(true), &json!([])), "{name}");
        assert!(shown["limits"]["host"].as_array().unwrap().len() > 3);
    }
    // R8.5: what it says of itself is shown, and what it needs is read from what it imports.
    let said = br#"{"name":"m","uses":["model"]}"#;
    let size = u8::try_from(said.len() + 19).unwrap();
    let section = [&[0, size, 18][..], b"bandstand:manifest", said].concat();
    let digest_said = upload(&client, "m", &[ECHO, &section].concat()).ok()["digest"].clone();
    let says = put(&client, "says", &[], &calls("says").replace("plugins/p.wasm", "plugins/m.wasm"));
    assert_eq!(says.status, 201);
    let shown = client.get(&format!("/api/v1/plugins/{}", digest_said.as_str().unwrap())).ok();
    assert_eq!(shown["manifest"], json!({ "name": "m", "uses": ["model"] }));
    assert_eq!((&shown["grants_needed"], shown["warnings"].as_array().unwrap().len()), (&json!([]), 1));
    let released = client.send("POST", &format!("/api/v1/plugins/{digest}/release"), &[], None).ok();
    assert_eq!(released, json!({ "digest": digest, "changed": false }));
    for name in ["p", "builtin:none", "sha256:00", "..%2f..%2fx"] {
        assert_eq!(client.get(&format!("/api/v1/plugins/{name}")).problem(), "not-found");
        let release = client.send("POST", &format!("/api/v1/plugins/{name}/release"), &[], None);
        assert_eq!(release.problem(), "not-found");
    }
    for (name, bytes) in [("p", &b"none"[..]), ("..%2fp", ECHO), (".p", ECHO)] {
        assert_eq!(upload(&client, name, bytes).problem(), "invalid", "{name}");
    }
    // Larger than any other body may be.
    assert_eq!(upload(&client, "large", &vec![0; 5 << 20]).problem(), "invalid");
    server.end();
}

// R8.4
#[test]
fn what_was_acknowledged_is_there_after_kill_nine() {
    let site = Site::new(&[]);
    let server = Server::start(&site);
    let client = server.client();
    upload(&client, "p", ECHO).ok();
    put(&client, "a", &[], &calls("a")).ok();
    let ended = put(&client, "b", &[], &value("b", 1));
    server.kill_nine();
    let server = Server::start(&site);
    let client = server.client();
    assert_eq!(result(&client, "a"), json!({ "a": 1 }));
    assert_eq!(client.get("/api/v1/workflows/b").ok()["etag"], ended.ok()["etag"]);
    server.end();
}

#[test]
fn dev_shows_what_is_wrong_as_files_are_saved() {
    let site = Site::new(&[("a.yaml", &value("a", 1))]);
    let refused = site.call(&["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    let mut dev = site.start(&["dev", "--listen", "127.0.0.1:0"]);
    let line = dev.line("what is in service", |line| line["type"] == "workflow.in-service");
    assert_eq!((&line["workflow"], &line["file"]), (&json!("a"), &json!("a.yaml")));
    dev.line("that it serves", |line| line["type"] == "serving");
    fs::write(site.path().join("a.yaml"), "format: 1\nname: a\nnods: 1\n").unwrap();
    let line = dev.line("what is wrong", |line| line["type"] == "workflow.refused");
    assert_eq!((&line["workflow"], &line["diagnostics"][0]["code"]), (&json!("a"), &json!("BW105")));
    fs::write(site.path().join("a.yaml"), value("a", 1)).unwrap();
    dev.line("that it is mended", |line| line["type"] == "workflow.mended");
    fs::remove_file(site.path().join("a.yaml")).unwrap();
    dev.line("that it is gone", |line| line["type"] == "workflow.removed");
    dev.terminate();
    assert_eq!(dev.wait().code, Some(0));
}
