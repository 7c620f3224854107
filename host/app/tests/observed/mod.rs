//! A project with something of everything that is observed, real runs of it on a host of the test's own process, and servers:
//! one that shows the metrics, one that records traces.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bandstand::host::{AnswerRequest, Drive, Host, HostOptions, Settled, StartRequest};
use bandstand::project::load::{self, Resolve};
use bandstand::project::{Directory, models};
use bandstand_engine::input::Verdict;
use bandstand_test_guests as guests;
use serde_json::{Value, json};

/// Long enough for a busy machine; reached only by what hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const TOUR: &str = "
format: 1
name: tour
version: 3
plugins:
  late: { path: late.wasm }
  unsure: { path: unsure.wasm }
  echo: { path: echo.wasm }
  chat: { builtin: chat, grants: { model: [small] } }
  caller: { path: caller.wasm, grants: { tools: [search] } }
  search: { path: search.wasm }
workflows: { child: { path: child.yaml, version: 1 } }
nodes:
  first:
    agent: late
    retry: { strategy: fixed, base-delay: 10ms, max-retries: 2 }
    next: pick
  pick:
    agent: unsure
    route: { threshold: 0.7, to: { a: fan }, below: fan, default: fan }
  fan:
    parallel:
      branches:
        left: { agent: echo, input: { a: 1 } }
        right: { agent: echo, input: { a: 2 } }
    next: say
  say: { agent: chat, input: { text: Hello, model: small }, next: use }
  use: { agent: caller, input: { do: e }, next: below }
  below: { workflow: child, input: {}, next: ask }
  ask: { review: { title: Go on?, propose: { a: 1 } }, approved: end, rejected: refuse }
  refuse: { fail: { code: refused, message: no } }
";

const CHILD: &str = "
format: 1
name: child
version: 1
plugins: { echo: { path: echo.wasm } }
nodes:
  only: { agent: echo, input: { a: 1 }, next: end }
";

const CRASH: &str = "
format: 1
name: crash
version: 1
plugins: { dies: { path: dies.wasm }, asks: { path: asks.wasm } }
nodes:
  ask: { agent: dies, retry: { max-retries: 0 }, next: end }
";

/// Asks for a tool that it is not granted.
const DENIED: &str = "
format: 1
name: denied
version: 1
plugins: { caller: { path: caller.wasm, grants: { tools: [other] } }, other: { path: echo.wasm } }
nodes:
  ask: { agent: caller, input: { do: e }, retry: { max-retries: 0 }, next: end }
";

/// The project, and what tests do with it.
pub(crate) struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Project {
        let project = Project { dir: tempfile::tempdir().unwrap() };
        let write = |name: &str, bytes: &[u8]| std::fs::write(project.path().join(name), bytes).unwrap();
        write("tour.yaml", TOUR.as_bytes());
        write("child.yaml", CHILD.as_bytes());
        write("crash.yaml", CRASH.as_bytes());
        write("denied.yaml", DENIED.as_bytes());
        write("late.wasm", &guests::recoverable_until(2));
        write("unsure.wasm", &guests::replies_choose("{}", "a", 0.4));
        write("echo.wasm", &guests::echo());
        write("caller.wasm", &guests::calls_tool("search"));
        write("search.wasm", &guests::scripted());
        write("dies.wasm", &guests::traps());
        write("asks.wasm", &guests::echo());
        write(
            "bandstand.toml",
            b"[grants]\n\"builtin:chat\" = { model = [\"small\"] }\n\"caller.wasm\" = { tools = [\"search\", \"other\"] }\n\
              [models.small]\nreplies = \"replies.jsonl\"\n",
        );
        let answer = json!({ "text": "Good day.", "finish": "stop", "usage": { "input": 9, "output": 3 } });
        let reply = json!({ "model": "small", "answer": answer });
        write("replies.jsonl", format!("{reply}\n").repeat(20).as_bytes());
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A host of this project that goes on with what the one before left.
    pub(crate) async fn host(&self, change: impl FnOnce(&mut HostOptions)) -> Host {
        let config = Directory::at(self.path()).unwrap().config;
        let mut options = HostOptions {
            drive: Drive::All,
            models: models::models(config.as_ref(), None, None).unwrap(),
            ..HostOptions::new(self.path().join("data"))
        };
        change(&mut options);
        Host::open(options).await.unwrap()
    }

    pub(crate) fn request(&self, file: &str) -> StartRequest {
        let loaded = load::load(&self.path().join(file), Resolve::Yes).unwrap();
        assert!(load::can_run(&loaded), "{:?}", loaded.diagnostics);
        StartRequest { input: json!({}), ..loaded.into_start_request().unwrap() }
    }

    /// A run to where nothing but people moves it.
    pub(crate) async fn run(&self, host: &Host, file: &str) -> (String, Settled) {
        let run_id = host.start_run(self.request(file)).await.unwrap();
        let settled = tokio::time::timeout(PATIENCE, host.until_settled(&run_id)).await.unwrap().unwrap();
        (run_id, settled)
    }

    /// The review that a run waits for, approved or not, and the run to its end.
    pub(crate) async fn answer(&self, host: &Host, run_id: &str, decision: Verdict) {
        let reader = bandstand_store::Reader::open(&self.path().join("data")).unwrap();
        let reviews = reader.reviews(&bandstand_store::ReviewFilter::default(), None, 100).unwrap();
        let review = reviews.into_iter().find(|review| review.run_id == run_id).unwrap();
        let answer = AnswerRequest {
            run_id: run_id.to_owned(),
            review_id: review.review_id,
            request_id: None,
            reviewer: "ann".to_owned(),
            groups: Vec::new(),
            decision,
            comments: String::new(),
            changes: None,
            saw: None,
            confidence: None,
        };
        host.answer(answer).await.unwrap();
        tokio::time::timeout(PATIENCE, host.until_settled(run_id)).await.unwrap().unwrap();
    }
}

/// One series of the exposition: its name, labels and value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The series of an exposition.
pub(crate) fn series(text: &str) -> Vec<Series> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (head, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
            let labels = labels.trim_end_matches('}');
            let pairs = labels.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
                let (key, value) = pair.split_once("=\"").unwrap();
                (key.to_owned(), value.trim_end_matches('"').to_owned())
            });
            Series { name: name.to_owned(), labels: pairs.collect(), value: value.parse().unwrap() }
        })
        .collect()
}

/// The sum of the series of that name with these labels.
pub(crate) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let has = |series: &Series| {
        labels.iter().all(|(key, value)| series.labels.get(*key).map(String::as_str) == Some(*value))
    };
    series(text).iter().filter(|series| series.name == name && has(series)).map(|series| series.value).sum()
}

/// Waits until that holds.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One HTTP request as it came.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A server on a free port that answers each request by what `answer` gives: status line, content type, body.
pub(crate) fn serve(answer: impl Fn(&Asked) -> (&'static str, &'static str, String) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(asked) = read(&mut stream) else { continue };
            let (status, kind, body) = answer(&asked);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&piece[..read]);
    }
    Some(Asked { head, body })
}

/// A GET, its status and body.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Where a receiver of traces keeps what came.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let bodies = self.0.lock().unwrap();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let resources = bodies.iter().flat_map(|body| list(&body["resourceSpans"]));
        let scopes = resources.flat_map(|resource| list(&resource["scopeSpans"]));
        scopes.flat_map(|scope| list(&scope["spans"])).collect()
    }

    /// The bodies that came.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

/// A receiver of traces; what it was told in headers is looked at by `check`.
pub(crate) fn receiver(check: impl Fn(&str) + Send + 'static) -> (u16, Received) {
    let received = Received::default();
    let kept = received.clone();
    let port = serve(move |asked| {
        check(&asked.head);
        kept.0.lock().unwrap().push(serde_json::from_slice(&asked.body).unwrap());
        ("200 OK", "application/json", "{}".to_owned())
    });
    (port, received)
}

/// The repository's folder with that path.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
