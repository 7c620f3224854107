//! The builtin `http` through the real binary: a server on this machine, networks and a secret in `bandstand.toml`.
//! R7.2, R7.5

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bandstand::{Ended, Folder};

const SECRET: &str = "t0p-s3cret-key-of-the-register";

/// Answers each request with what it was sent, and with status 503 where the path says so.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = heads.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let sent = head.lines().find_map(|line| line.strip_prefix("authorization: "));
                let body = format!("{{\"you_sent\":\"{}\"}}", sent.unwrap_or("nothing"));
                let status = match head.split_whitespace().nth(1) {
                    Some("/busy") => "503 Service Unavailable\r\nretry-after: 0",
                    _ => "200 OK",
                };
                kept.lock().unwrap().push(head);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Server { port, heads }
    }
}

fn workflow(port: u16, path: &str) -> String {
    format!(
        "format: 1
name: call
version: 1
plugins:
  http:
    builtin: http
    grants: {{ http: [\"http://127.0.0.1:{port}\"], secrets: [KEY] }}
nodes:
  ask:
    agent: http
    input:
      url: http://127.0.0.1:{port}{path}
      headers: {{ authorization: 'Bearer {{secret:KEY}}' }}
    retry: {{ max-retries: 1, base-delay: 1ms }}
    next: end
result: ${{{{ nodes.ask.output }}}}
"
    )
}

fn config(port: u16, http: &str) -> String {
    format!(
        "[grants]
\"builtin:http\" = {{ http = [\"http://127.0.0.1:{port}\"], secrets = [\"KEY\"] }}
{http}
[secrets.KEY]
env = \"REGISTER_KEY\"
hosts = [\"http://127.0.0.1:{port}\"]
"
    )
}

fn run(folder: &Folder) -> Ended {
    let mut command = folder.command(&["run", "flow.yaml", "--json"]);
    Ended::of(command.env("REGISTER_KEY", SECRET).output().unwrap())
}

/// Whether any file below a folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn a_workflow_calls_a_server_with_a_secret_that_is_written_nowhere() {
    let (folder, server) = (Folder::new(), Server::start());
    folder.write("flow.yaml", workflow(server.port, "/x"));
    folder.write("bandstand.toml", config(server.port, "[http]\nnetworks = [\"127.0.0.0/8\"]"));
    let ended = run(&folder).expect(0, &[]);
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{head}");
    assert!(ended.stdout.contains("Bearer {secret:KEY}"), "what came back is masked: {ended:#?}");

    let listed = folder.call(&["runs", "list", "--json"]).expect(0, &[]);
    let line: serde_json::Value = serde_json::from_str(listed.stdout.lines().next().unwrap()).unwrap();
    let id = line["run_id"].as_str().or(line["id"].as_str()).unwrap().to_owned();
    let shown = folder.call(&["runs", "show", &id, "--json"]).expect(0, &[]);
    let exported = folder.call(&["runs", "export", &id]).expect(0, &[]);
    for (what, ended) in [("run", &ended), ("show", &shown), ("export", &exported)] {
        assert!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{what}: {ended:#?}");
    }
    assert!(shown.stdout.contains("{secret:KEY}"), "it is this run: {shown:#?}");
    assert!(!holds(folder.path(), SECRET), "no file holds it, the database least of all");
}

#[test]
fn this_machine_needs_its_network_and_the_failure_says_so() {
    let (folder, server) = (Folder::new(), Server::start());
    folder.write("flow.yaml", workflow(server.port, "/x"));
    folder.write("bandstand.toml", config(server.port, ""));
    let ended = run(&folder);
    assert_eq!(ended.code, 1, "{ended:#?}");
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(all.contains("networks = ") && all.contains("loopback"), "{all}");
    assert!(all.contains("denied"), "{all}");
    assert!(server.heads.lock().unwrap().is_empty());
}

#[test]
fn a_grant_beyond_the_operators_is_refused_before_the_run() {
    let (folder, server) = (Folder::new(), Server::start());
    folder.write("flow.yaml", workflow(server.port, "/x"));
    folder.write("bandstand.toml", "[http]\nnetworks = [\"127.0.0.0/8\"]\n");
    run(&folder).expect(2, &["BW604", "does not permit `http`"]);
    assert!(server.heads.lock().unwrap().is_empty());
}

// R1.3
#[test]
fn a_busy_server_is_asked_again_and_then_the_run_fails() {
    let (folder, server) = (Folder::new(), Server::start());
    folder.write("flow.yaml", workflow(server.port, "/busy"));
    folder.write("bandstand.toml", config(server.port, "[http]\nnetworks = [\"127.0.0.0/8\"]"));
    let ended = run(&folder);
    assert_eq!(ended.code, 1, "{ended:#?}");
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("http-503"), "{ended:#?}");
    assert_eq!(server.heads.lock().unwrap().len(), 2);
    assert!(!holds(folder.path(), SECRET));
}
