//! Whoever is named in `[notify.NAME]` is told of reviews and runs (R2.8), by a real host over a real socket: signed, in order, again
//! when it must be, and after `kill -9`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

mod bandstand;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::bandstand::host::signature::SigningKey;
use ::bandstand::host::{
    AnswerRequest, Drive, Endpoint, Host, HostOptions, Notify, Persistence, SecretFrom, Settled, StartRequest,
};
use ::bandstand::project::load::{self, Resolve};
use bandstand_engine::input::Verdict;
use bandstand_engine::{Status, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const REVIEW: &str = "format: 1\nname: ask\nversion: 1\nnodes:\n  ask:\n    review: { title: \"Is ${{ input.what }} well?\", \
    propose: { what: \"${{ input.what }}\" } }\n    approved: end\n    rejected: end\n";

/// One request as it came.
#[derive(Clone, Debug)]
struct Got {
    head: String,
    body: String,
    at: Instant,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(given, _)| given.eq_ignore_ascii_case(name)));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn says(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn check_signature(&self) {
        let seconds = self.header("webhook-timestamp");
        let key = SigningKey::new(SECRET).unwrap();
        let now = Timestamp(seconds.parse::<i64>().unwrap() * 1_000);
        let (id, signature) = (self.header("webhook-id"), self.header("webhook-signature"));
        key.verify(id, seconds, signature, self.body.as_bytes(), now).unwrap();
        assert_eq!(self.json()["id"], id);
    }
}

/// Answers as the script says, request by request: a head of an answer, or nothing at all; then `204` for ever.
#[derive(Clone)]
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    async fn start(script: &[Option<&str>]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver { port: listener.local_addr().unwrap().port(), got: Arc::default() };
        let got = receiver.got.clone();
        let script: Vec<Option<String>> = script.iter().map(|answer| answer.map(str::to_owned)).collect();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (got, script) = (got.clone(), script.clone());
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    let (head, body) = loop {
                        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                            return;
                        }
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                        if body.len() == length.unwrap().parse::<usize>().unwrap() {
                            break (head.to_owned(), body.to_owned());
                        }
                    };
                    let number = {
                        let mut got = got.lock().unwrap();
                        got.push(Got { head, body, at: Instant::now() });
                        got.len() - 1
                    };
                    match script.get(number) {
                        Some(None) => tokio::time::sleep(PATIENCE).await,
                        Some(Some(answer)) => {
                            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await;
                        }
                        None => {
                            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                        }
                    }
                });
            }
        });
        receiver
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Got> {
        let begun = Instant::now();
        while self.got().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{count} requests: {:#?}", self.got());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.got()
    }
}

fn endpoint(dir: &Path, port: u16) -> Endpoint {
    let key = dir.join("key");
    std::fs::write(&key, format!("{SECRET}\n")).unwrap();
    let url = format!("http://127.0.0.1:{port}/hook?token=hidden");
    let mut endpoint = Endpoint::new("chat", &url, SecretFrom::File(key)).unwrap();
    endpoint.timeout_ms = 500;
    endpoint.persistence = Persistence { delay_ms: 20, ..Persistence::default() };
    endpoint
}

async fn open(data: PathBuf, drive: Drive, endpoint: Endpoint) -> Host {
    let mut options = HostOptions::new(data);
    options.drive = drive;
    options.notify = Notify { endpoints: vec![endpoint], authorities: Vec::new() };
    Host::open(options).await.unwrap()
}

fn request(dir: &Path, what: &str) -> StartRequest {
    let file = dir.join("flow.yaml");
    std::fs::write(&file, REVIEW).unwrap();
    let loaded = load::load(&file, Resolve::Yes).unwrap();
    assert!(load::can_run(&loaded), "{:?}", loaded.diagnostics);
    StartRequest { input: json!({ "what": what }), ..loaded.into_start_request().unwrap() }
}

async fn asked(host: &Host, run_id: &str) -> String {
    match tokio::time::timeout(PATIENCE, host.until_settled(run_id)).await.unwrap().unwrap() {
        Settled::WaitingForPeople { mut reviews } => reviews.remove(0),
        other => panic!("{other:?}"),
    }
}

async fn answer(host: &Host, run_id: &str, review_id: String, decision: Verdict) {
    let answer = AnswerRequest {
        run_id: run_id.to_owned(),
        review_id,
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision,
        comments: "hush".to_owned(),
        changes: None,
        saw: None,
        confidence: None,
        request_id: None,
    };
    host.answer(answer).await.unwrap();
}

async fn until_delivered(host: &Host, waiting: u64) {
    let begun = Instant::now();
    loop {
        let reader = bandstand_store::Reader::open(host.data_dir()).unwrap();
        let state = reader.endpoints().unwrap().remove(0);
        if state.waiting == waiting && state.delivered + state.failed > 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{state:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// R2.8
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_review_and_its_run_is_told_in_order_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[]).await;
    let host = open(dir.path().join("data"), Drive::All, endpoint(dir.path(), receiver.port)).await;
    let run_id = host.start_run(request(dir.path(), "it")).await.unwrap();
    let review_id = asked(&host, &run_id).await;
    answer(&host, &run_id, review_id.clone(), Verdict::Approved).await;
    let got = receiver.until(3).await;
    got.iter().for_each(Got::check_signature);
    let says: Vec<String> = got.iter().map(Got::says).collect();
    assert_eq!(says, ["review.opened", "review.answered", "run.ended"]);
    let opened = got[0].json();
    assert_eq!((&opened["title"], &opened["workflow"]), (&json!("Is it well?"), &json!("ask")));
    assert_eq!((&opened["review_id"], &opened["run_id"]), (&json!(review_id), &json!(run_id)));
    assert!(opened["deadline"].is_string() && opened.get("proposed").is_none());
    let answered = got[1].json();
    assert_eq!((&answered["decision"], &answered["outcome"]), (&json!("approved"), &json!("approved")));
    assert_eq!(got[2].json()["outcome"], "succeeded");
    assert!(got.iter().all(|got| !got.body.contains("hush")), "no data of the run");
    until_delivered(&host, 0).await;
    host.close().await.unwrap();
    // A host that comes later tells nothing again.
    let host = open(dir.path().join("data"), Drive::All, endpoint(dir.path(), receiver.port)).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(receiver.got().len(), 3);
    host.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_comes_again_with_the_same_id_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        [Some("503 Busy"), None, Some("nonsense"), Some("429 Slow\r\nRetry-After: 1"), Some("200 Fine")];
    let receiver = Receiver::start(&script).await;
    let host = open(dir.path().join("data"), Drive::All, endpoint(dir.path(), receiver.port)).await;
    let run_id = host.start_run(request(dir.path(), "it")).await.unwrap();
    let review_id = asked(&host, &run_id).await;
    answer(&host, &run_id, review_id, Verdict::Rejected).await;
    let got = receiver.until(7).await;
    let says: Vec<String> = got.iter().map(Got::says).collect();
    assert_eq!(says[..5], ["review.opened"; 5], "what comes after it waits");
    assert_eq!(says[5..], ["review.answered", "run.ended"]);
    assert!(got[..5].iter().all(|again| again.header("webhook-id") == got[0].header("webhook-id")));
    got.iter().for_each(Got::check_signature);
    assert!(
        got[4].at - got[3].at >= Duration::from_millis(950),
        "the receiver is left alone as long as it asked"
    );
    until_delivered(&host, 0).await;
    host.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_given_up_and_shown_without_the_address() {
    let folder = bandstand::Folder::new();
    let receiver =
        Receiver::start(&[Some("400 Bad"), Some("302 Elsewhere\r\nLocation: http://127.0.0.1/")]).await;
    let mut endpoint = endpoint(folder.path(), receiver.port);
    endpoint.with_proposal = true;
    let data = folder.path().join(".bandstand");
    let host = open(data, Drive::All, endpoint).await;
    let run_id = host.start_run(request(folder.path(), "it")).await.unwrap();
    let review_id = asked(&host, &run_id).await;
    answer(&host, &run_id, review_id, Verdict::Approved).await;
    let got = receiver.until(3).await;
    assert_eq!(got[0].json()["proposed"], json!({ "what": "it" }), "as the operator said");
    assert_eq!(got[1].json()["comments"], "hush");
    until_delivered(&host, 0).await;
    folder.write(
        "bandstand.toml",
        format!(
            "[notify.chat]\nurl = \"http://127.0.0.1:{}/hook?token=hidden\"\nsecret = {{ file = \"key\" }}\n\
             [notify.mail]\nurl = \"http://127.0.0.1:1/\"\nsecret = {{ env = \"NO_SUCH_SECRET\" }}\n",
            receiver.port
        ),
    );
    let listed = folder.call(&["notify", "list", "--json"]).expect(0, &[]);
    let lines = listed.lines();
    assert_eq!((&lines[0]["delivered"], &lines[0]["failed"]), (&json!(1), &json!(2)), "{listed:?}");
    assert!(lines[0]["problem"].as_str().unwrap().contains("400"));
    assert!(lines[1]["problem"].as_str().unwrap().contains("NO_SUCH_SECRET is not set"));
    let failed = folder.call(&["notify", "list", "chat"]).expect(0, &[]);
    assert!(failed.stdout.contains("redirects are not followed"), "{failed:?}");
    assert!(!listed.stdout.contains("hidden") && !failed.stdout.contains("hidden"));
    folder.call(&["notify", "list", "none"]).expect(3, &["[notify.none]"]);
    // A test is signed like everything else, also while a host runs.
    folder.call(&["notify", "test", "chat"]).expect(0, &["accepted"]);
    let test = receiver.until(4).await.remove(3);
    test.check_signature();
    assert_eq!(test.says(), "test");
    let failed = folder.call(&["notify", "test", "mail"]).expect(1, &["NO_SUCH_SECRET"]);
    assert!(failed.stderr.contains("see to url and secret"));
    host.close().await.unwrap();
}

/// Not a test: what the next one kills.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os("NOTIFY_TEST_CHILD").map(PathBuf::from) else { return };
    let port = std::env::var("NOTIFY_TEST_PORT").unwrap().parse().unwrap();
    let host = open(dir.join("data"), Drive::All, endpoint(&dir, port)).await;
    host.start_run(request(&dir, "it")).await.unwrap();
    tokio::time::sleep(PATIENCE).await;
}

// R5.4
#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_in_the_middle_of_a_delivery_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&[None]).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed"])
        .env("NOTIFY_TEST_CHILD", dir.path())
        .env("NOTIFY_TEST_PORT", receiver.port.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    receiver.until(1).await;
    child.kill().unwrap();
    child.wait().unwrap();
    // Meanwhile a host that does not drive all decides the review; it tells nobody, and nothing of it is lost.
    let host =
        open(dir.path().join("data"), Drive::Only(Vec::new()), endpoint(dir.path(), receiver.port)).await;
    let run_id = receiver.got()[0].json()["run_id"].as_str().unwrap().to_owned();
    let review_id = asked(&host, &run_id).await;
    answer(&host, &run_id, review_id, Verdict::Approved).await;
    let ended = host.until_settled(&run_id).await.unwrap();
    assert_eq!(ended, Settled::Ended(Status::Succeeded));
    host.close().await.unwrap();
    assert_eq!(receiver.got().len(), 1);
    let host = open(dir.path().join("data"), Drive::All, endpoint(dir.path(), receiver.port)).await;
    let got = receiver.until(4).await;
    let says: Vec<String> = got.iter().map(Got::says).collect();
    assert_eq!(says, ["review.opened", "review.opened", "review.answered", "run.ended"]);
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[0].body, got[1].body);
    until_delivered(&host, 0).await;
    host.close().await.unwrap();
}
