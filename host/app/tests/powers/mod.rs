//! What the agent `powers` is asked in each language: one run of one workflow, with grants, recorded replies, a tool and a server on
//! this machine; the same once more by a plugin that is granted less.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::NOT_COVERED;
use crate::bandstand::{Ended, Folder};

const SECRET: &str = "t0p-s3cret-key-of-the-register";
/// Granted, and never asked.
const NOWHERE: &str = "http://127.0.0.1:1";

/// What is tried, for people.
pub(crate) const NAMES: [&str; 23] = [
    "memory: a slot set, read, emptied",
    "memory: the names of slots",
    "memory: facts put and found",
    "memory: an entry appended",
    "memory: entries read",
    "model: an answer",
    "model: an answer piece by piece",
    "model: an answer that asks for a tool",
    "model: vectors",
    "model: one that is busy",
    "tool: called",
    "tool: one that fails",
    "tool: those that are granted",
    "HTTP: a response, with a secret in the request",
    "HTTP: a large body sent",
    "HTTP: status 404",
    "HTTP: a response that is too large",
    "HTTP: nobody listens",
    "HTTP: no URL",
    "memory: to write, granted to read",
    "model: one that is not granted",
    "tool: one that is not granted",
    "HTTP: an origin that is not granted",
];

/// What the plugin with all grants is asked, in the order of [`NAMES`].
fn asked(origin: &str, closed: &str) -> Vec<Value> {
    let http = |path: &str| json!({ "do": "http", "url": format!("{origin}{path}") });
    let with = |mut asked: Value, name: &str, value: Value| {
        asked[name] = value;
        asked
    };
    let posted = with(http("/length"), "method", json!("POST"));
    vec![
        json!({ "do": "slot" }),
        json!({ "do": "slot-names" }),
        json!({ "do": "facts" }),
        json!({ "do": "audit" }),
        json!({ "do": "audit-read" }),
        json!({ "do": "model" }),
        json!({ "do": "model-stream" }),
        json!({ "do": "model-tools" }),
        json!({ "do": "embed" }),
        json!({ "do": "model" }),
        json!({ "do": "tool", "name": "echo", "args": { "said": "\u{e9}\u{1f600}" } }),
        json!({ "do": "tool", "name": "broken", "args": { "url": "nowhere" } }),
        json!({ "do": "tool-names" }),
        http("/hello"),
        with(posted, "body", json!("\u{e9}".repeat(50_000))),
        http("/missing"),
        with(http("/large"), "limit", json!(1000)),
        json!({ "do": "http", "url": closed }),
        json!({ "do": "http", "url": "nowhere" }),
    ]
}

/// And the one that is granted less.
fn asked_of_poor(origin: &str) -> Vec<Value> {
    vec![
        json!({ "do": "slot" }),
        json!({ "do": "model" }),
        json!({ "do": "tool", "name": "echo", "args": {} }),
        json!({ "do": "http", "url": format!("{origin}/hello") }),
    ]
}

/// An origin on this machine where nobody listens.
fn closed() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// Answers by the path: a greeting that tells what came in `x-asked-by`, the length of the body, or much.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let field =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let mut body = vec![0; field("content-length: ").parse().unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let words: Vec<&str> = head.split_whitespace().take(2).collect();
            let (status, text) = match words[..] {
                ["GET", "/hello"] => ("200 OK", format!("caf\u{e9}, {}", field("x-asked-by: "))),
                ["POST", "/length"] => ("200 OK", body.len().to_string()),
                ["GET", "/large"] => ("200 OK", "x".repeat(100_000)),
                _ => ("404 Not Found", "no such page".to_owned()),
            };
            let length = text.len();
            // Who has read enough may be gone.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{text}"
            );
        }
    });
    port
}

const WORKFLOW: &str = "format: 1
name: powers
version: 1
plugins:
  rich:
    path: powers.wasm
    grants: { memory: write, model: [small], tools: [echo, broken], http: [\"OPEN\", \"CLOSED\"], secrets: [KEY] }
  poor:
    path: powers.wasm
    grants: { memory: read, model: [large], tools: [broken], http: [\"http://127.0.0.1:1\"], secrets: [KEY] }
  echo: { builtin: echo }
  broken: { builtin: http, grants: { http: [\"http://127.0.0.1:1\"] } }
nodes:
  all:
    map:
      over: input.asked
      as: asked
      concurrency: 1
      do: { agent: rich, input: '${{ asked }}', retry: { max-retries: 0 }, on-failure: { value: { failed: '${{ error }}' } } }
    next: less
  less:
    map:
      over: input.less
      as: asked
      concurrency: 1
      do: { agent: poor, input: '${{ asked }}', retry: { max-retries: 0 }, on-failure: { value: { failed: '${{ error }}' } } }
    next: end
result: { all: '${{ nodes.all.output.results }}', less: '${{ nodes.less.output.results }}' }
";

const REPLIES: &str = r#"{"model":"small","ask":{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Greet me."}]},"answer":{"text":"Good day."}}
{"model":"small","ask":{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Greet me."}]},"error":{"kind":"unavailable","code":"overloaded","message":"busy","retry_after_ms":1500}}
{"model":"small","ask":{"messages":[{"role":"user","content":"Go on."}]},"answer":{"text":"On and on."}}
{"model":"small","ask":{"messages":[{"content":"Ask the tool.","role":"user"}],"tools":[{"description":"its output is its input","name":"echo","parameters":{"type":"object"}},{"description":"one HTTP request","name":"broken","parameters":{"type":"object"}}]},"answer":{"tool_calls":[{"id":"c1","name":"echo","args":{"n":1}}],"finish":"tool-calls"}}
{"model":"small","ask":{"messages":[{"content":"Ask the tool.","role":"user"},{"content":[{"tool_call":{"args":{"n":1},"id":"c1","name":"echo"}}],"role":"assistant"},{"content":[{"tool_result":{"id":"c1","output":{"n":1}}}],"role":"tool"}],"tools":[{"description":"its output is its input","name":"echo","parameters":{"type":"object"}},{"description":"one HTTP request","name":"broken","parameters":{"type":"object"}}]},"answer":{"text":"It said 1."}}
{"model":"small","embed":["a","b"],"vectors":[[1,0.5],[0,1]]}
"#;

fn config(open: &str, closed: &str) -> String {
    format!(
        "[compile]
time = \"10m\"
[grants]
\"powers.wasm\" = {{ memory = \"write\", model = [\"small\", \"large\"], tools = [\"echo\", \"broken\"], http = [\"{open}\", \"{closed}\", \"{NOWHERE}\"], \
         secrets = [\"KEY\"] }}
\"builtin:http\" = {{ http = [\"{NOWHERE}\"] }}
[http]
networks = [\"127.0.0.0/8\"]
[secrets.KEY]
env = \"REGISTER_KEY\"
hosts = [\"{open}\", \"{closed}\", \"{NOWHERE}\"]
"
    )
}

/// What it does, for each of [`NAMES`].
pub(crate) fn cells(component: &Path, folder: &Folder) -> Vec<String> {
    let (open, closed) = (format!("http://127.0.0.1:{}", serve()), closed());
    folder.write("powers.wasm", std::fs::read(component).unwrap());
    folder.write("workflow.yaml", WORKFLOW.replace("OPEN", &open).replace("CLOSED", &closed));
    folder.write("replies.jsonl", REPLIES);
    folder.write("bandstand.toml", config(&open, &closed));
    folder.write(
        "input.json",
        json!({ "asked": asked(&open, &closed), "less": asked_of_poor(&open) }).to_string(),
    );
    let args = ["--json", "run", "workflow.yaml", "--input", "@input.json", "--replies", "replies.jsonl"];
    let ended = Ended::of(folder.command(&args).env("REGISTER_KEY", SECRET).output().unwrap()).expect(0, &[]);
    assert!(!ended.stdout.contains(SECRET), "{ended:#?}");
    let result = &ended.last()["result"];
    let told = |list: &str| result[list].as_array().unwrap().iter().map(cell).collect::<Vec<String>>();
    let cells: Vec<String> =
        [told("all"), told("less")].concat().iter().map(|cell| cell.replace(&open, "http://open")).collect();
    assert_eq!(cells.len(), NAMES.len(), "{result:#}");
    cells
}

/// An output, or how the call failed.
fn cell(told: &Value) -> String {
    let text = match told.get("failed") {
        None => told.to_string(),
        Some(error) if error["code"] == "not-covered" => return NOT_COVERED.to_owned(),
        Some(error) => {
            let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            let again = if error["recoverable"] == true { ", again" } else { "" };
            format!("{}/{}{again}: {}", word("class"), word("code"), word("message"))
        }
    };
    // Without what would end a cell of a table; and these files are in ASCII.
    let shown = text.replace(['`', '|'], "'").replace('\n', " ");
    shown.chars().map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}
