//! Triggers of served workflows on a real host: cron over restarts, and webhooks in. When a cron fires is tested where it is decided.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bandstand::host::signature::{NotSigned, SigningKey};
use bandstand::host::{
    AnswerRequest, Call, Deployed, Deployments, Drive, Host, HostOptions, Scheduler, SecretFrom, Settled,
    StartRequest, Uses, WebhookError, Webhooks,
};
use bandstand::project::load::{self, Resolve};
use bandstand_engine::Timestamp;
use bandstand_engine::event::Event;
use bandstand_engine::input::Verdict;
use bandstand_store::{KeptSchedule, Options, Reader, RunFilter, RunStatus, Store};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 3_600_000;
const SECRET: &str = "a key of thirty-two characters!!";

fn deployed(dir: &Path, text: &str) -> Deployed {
    let file = dir.join("flow.yaml");
    std::fs::write(&file, text).unwrap();
    let loaded = load::load(&file, Resolve::Yes).unwrap();
    assert!(load::can_run(&loaded), "{:?}", loaded.diagnostics);
    let request = loaded.into_start_request().unwrap();
    Deployed { graph: request.graph, source: request.source.into(), plugins: Uses::default() }
}

fn hourly(overlap: &str, nodes: &str) -> String {
    format!(
        "format: 1\nname: hourly\nversion: 1\nconstants: {{ who: me }}\ntriggers:\n  - {{ cron: \"0 * * * *\", zone: \
         Europe/Berlin, overlap: {overlap}, input: {{ at: \"${{{{ trigger.at }}}}\", who: \"${{{{ constants.who }}}}\" \
         }} }}\nnodes:\n{nodes}"
    )
}

const QUICK: &str = "  go: { value: \"${{ input }}\", next: end }\n";
const ASKS: &str = "  ask:\n    review: { title: \"Well?\" }\n    approved: end\n    rejected: end\n";

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// The hour that has begun.
fn this_hour() -> Timestamp {
    let now = now().0;
    Timestamp(now - now.rem_euclid(HOUR_MS as i64))
}

/// As a host left it that was down for some hours.
fn kept(hours: u64, run_id: Option<&str>) -> KeptSchedule {
    KeptSchedule {
        workflow: "hourly".to_owned(),
        trigger: 0,
        cron: "0 * * * *".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        overlap: "skip".to_owned(),
        up_to: Timestamp(now().0.saturating_sub_unsigned(hours * HOUR_MS)),
        queued_at: None,
        run_id: run_id.map(str::to_owned),
        problem: None,
    }
}

fn keep(data: &Path, schedule: KeptSchedule) {
    let store = Store::open(data, Options::default()).unwrap();
    store.keep_schedule(schedule).unwrap();
    store.close();
}

async fn open(data: &Path) -> Host {
    let mut options = HostOptions::new(data);
    options.drive = Drive::All;
    Host::open(options).await.unwrap()
}

fn runs(data: &Path) -> Vec<(String, RunStatus)> {
    let page = Reader::open(data).unwrap().runs(&RunFilter::default(), None, 100).unwrap();
    page.runs.into_iter().map(|run| (run.run_id, run.status)).collect()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn schedule(data: &Path) -> Option<KeptSchedule> {
    Reader::open(data).unwrap().schedules().unwrap().pop()
}

async fn settled(host: &Host, run_id: &str) -> Settled {
    tokio::time::timeout(PATIENCE, host.until_settled(run_id)).await.unwrap().unwrap()
}

async fn approve(host: &Host, run_id: &str) {
    let Settled::WaitingForPeople { mut reviews } = settled(host, run_id).await else { panic!("it asks") };
    let answer = AnswerRequest {
        run_id: run_id.to_owned(),
        review_id: reviews.remove(0),
        reviewer: "ann".to_owned(),
        groups: Vec::new(),
        decision: Verdict::Approved,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
        request_id: None,
    };
    host.answer(answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_one_run_is_made_up_and_a_crash_begins_it_no_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let flow: Arc<dyn Deployments> = Arc::new(vec![deployed(dir.path(), &hourly("skip", QUICK))]);
    let host = open(&data).await;
    Scheduler::spawn(&host, flow.clone());
    until("it is known", || schedule(&data).is_some()).await;
    host.close().await.unwrap();
    assert!(runs(&data).is_empty(), "a new trigger makes nothing up");
    keep(&data, kept(5, None));
    let hour = this_hour();
    let host = open(&data).await;
    Scheduler::spawn(&host, flow.clone());
    until("it fired", || schedule(&data).is_some_and(|kept| kept.run_id.is_some())).await;
    let (run_id, _) = runs(&data).remove(0);
    settled(&host, &run_id).await;
    host.close().await.unwrap();
    if this_hour() != hour {
        return; // the hour ended meanwhile: what follows would see one more run, rightly
    }
    assert_eq!(runs(&data), [(run_id.clone(), RunStatus::Succeeded)]);
    let rows = Reader::open(&data).unwrap().history(&run_id, 0, 1).unwrap().rows;
    let Event::RunStarted(started) = &rows[0].events[0] else { panic!("its start") };
    assert_eq!(started.request_id.as_deref(), Some(format!("cron:hourly:0:{hour}").as_str()));
    let input = (**started.input.value().unwrap()).clone();
    assert_eq!(input, json!({ "at": hour.to_string(), "who": "me" }));
    // As if the host had died before it wrote down that the trigger is so far.
    keep(&data, kept(5, None));
    let host = open(&data).await;
    Scheduler::spawn(&host, flow);
    until("it is so far again", || schedule(&data).is_some_and(|kept| kept.run_id.is_some())).await;
    host.close().await.unwrap();
    if this_hour() == hour {
        assert_eq!(runs(&data).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_last_run_goes_on_one_is_skipped_or_waits() {
    for overlap in ["skip", "queue", "allow"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let flow = deployed(dir.path(), &hourly(overlap, ASKS));
        let host = open(&data).await;
        let request = load::load(&dir.path().join("flow.yaml"), Resolve::Yes).unwrap();
        let request = StartRequest { input: json!({}), ..request.into_start_request().unwrap() };
        let first = host.start_run(request).await.unwrap();
        settled(&host, &first).await;
        host.close().await.unwrap();
        keep(&data, kept(3, Some(&first)));
        let host = open(&data).await;
        Scheduler::spawn(&host, Arc::new(vec![flow]));
        match overlap {
            "skip" => {
                until("it says so", || schedule(&data).is_some_and(|kept| kept.problem.is_some())).await;
                assert_eq!(runs(&data).len(), 1);
            }
            "queue" => {
                until("it waits", || schedule(&data).is_some_and(|kept| kept.queued_at.is_some())).await;
                assert_eq!(runs(&data).len(), 1);
                approve(&host, &first).await;
                until("its turn has come", || runs(&data).len() == 2).await;
            }
            _ => until("it is begun beside it", || runs(&data).len() == 2).await,
        }
        host.close().await.unwrap();
    }
}

const HOOKED: &str = "format: 1\nname: incident\nversion: 1\ntriggers:\n  - { webhook: pager, secret: pager_hmac, key: \
    trigger.body.event.id, input: { alert: \"${{ trigger.body.event }}\", from: \"${{ trigger.headers['user-agent'] }}\" } }\n  \
    - { webhook: open, input: { text: \"${{ trigger.body }}\" } }\nnodes:\n  go: { value: \"${{ input }}\", next: end }\n";

/// A call, signed now.
struct Signed {
    headers: HeaderMap,
    body: String,
    now: Timestamp,
}

impl Signed {
    fn new(id: &str, body: &Value) -> Signed {
        let (now, body) = (now(), body.to_string());
        let seconds = now.0 / 1_000;
        let signature = SigningKey::new(SECRET).unwrap().sign(id, seconds, body.as_bytes());
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
            ("user-agent", "pager/1".to_owned()),
            ("content-type", "application/json".to_owned()),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        }
        Signed { headers, body, now }
    }

    fn call(&self) -> Call<'_> {
        Call {
            webhook: "pager",
            headers: &self.headers,
            body: self.body.as_bytes(),
            now: self.now,
            may_start: false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_begins_one_run_for_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let key = dir.path().join("key");
    std::fs::write(&key, SECRET).unwrap();
    let secrets = BTreeMap::from([("pager_hmac".to_owned(), SecretFrom::File(key))]);
    let hooks = Webhooks::new(Arc::new(vec![deployed(dir.path(), HOOKED)]), secrets);
    let host = open(&data).await;
    let first = Signed::new("m1", &json!({ "event": { "id": "E1", "level": 2 } }));
    let run_id = hooks.start(&host, first.call()).await.unwrap();
    let again = Signed::new("m2", &json!({ "event": { "id": "E1", "level": 3 } }));
    assert_eq!(hooks.start(&host, again.call()).await.unwrap(), run_id, "equal keys are one run");
    let other = Signed::new("m3", &json!({ "event": { "id": "E2" } }));
    assert_ne!(hooks.start(&host, other.call()).await.unwrap(), run_id);
    settled(&host, &run_id).await;
    let rows = Reader::open(&data).unwrap().history(&run_id, 0, 1).unwrap().rows;
    let Event::RunStarted(started) = &rows[0].events[0] else { panic!("its start") };
    let input = (**started.input.value().unwrap()).clone();
    assert_eq!(input, json!({ "alert": { "id": "E1", "level": 2 }, "from": "pager/1" }));
    host.close().await.unwrap();
}

#[test]
fn a_call_that_is_not_believed_or_makes_no_input_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let flow = deployed(dir.path(), HOOKED);
    let key = dir.path().join("key");
    std::fs::write(&key, SECRET).unwrap();
    let secrets = BTreeMap::from([("pager_hmac".to_owned(), SecretFrom::File(key.clone()))]);
    let hooks = Webhooks::new(Arc::new(vec![flow.clone()]), secrets);
    let good = Signed::new("m1", &json!({ "event": { "id": "E1" } }));
    assert_eq!(
        hooks.receive(good.call()).unwrap().1.request_id.as_deref(),
        Some("hook:incident:pager:key:E1")
    );

    let late = Call { now: good.now.plus_ms(301_000), ..good.call() };
    assert!(matches!(hooks.receive(late), Err(WebhookError::NotSigned(NotSigned::Time))));
    let changed = Call { body: br#"{"event":{"id":"E9"}}"#, ..good.call() };
    assert!(matches!(hooks.receive(changed), Err(WebhookError::NotSigned(NotSigned::Signature))));
    let none = HeaderMap::new();
    let bare = Call { headers: &none, ..good.call() };
    assert!(matches!(hooks.receive(bare), Err(WebhookError::NotSigned(NotSigned::Headers))));
    // Whoever may start runs still has to sign where the file says so.
    assert!(hooks.receive(Call { may_start: true, ..bare }).is_err());
    let unknown = Call { webhook: "none", ..good.call() };
    assert!(matches!(hooks.receive(unknown), Err(WebhookError::Unknown(_))));
    let large = vec![b'x'; (1 << 20) + 1];
    assert!(matches!(
        hooks.receive(Call { body: &large, ..good.call() }),
        Err(WebhookError::TooLarge { .. })
    ));
    let odd = Signed::new("m1", &json!({ "event": "E1" }));
    let Err(WebhookError::Expression { what: "key", .. }) = hooks.receive(odd.call()) else {
        panic!("no key")
    };

    let open = Call { webhook: "open", body: b"hello", headers: &none, ..good.call() };
    assert!(matches!(hooks.receive(open), Err(WebhookError::Open(_))));
    let (_, taken) = hooks.receive(Call { may_start: true, ..open }).unwrap();
    assert_eq!((taken.input, taken.request_id), (json!({ "text": "hello" }), None));

    let nowhere = Webhooks::new(Arc::new(vec![flow.clone()]), BTreeMap::new());
    let problem = nowhere.receive(good.call()).unwrap_err().to_string();
    assert!(problem.contains("[secrets.pager_hmac]"), "{problem}");
    std::fs::write(&key, "too short").unwrap();
    let problem = hooks.receive(good.call()).unwrap_err().to_string();
    assert!(problem.contains("9 bytes") && !problem.contains("too short"), "{problem}");
    let twice = Webhooks::new(Arc::new(vec![flow.clone(), flow]), BTreeMap::new());
    assert!(matches!(twice.receive(good.call()), Err(WebhookError::Several { .. })));
}

/// `bandstand serve` in a folder; killed when dropped.
struct Served {
    child: std::process::Child,
    address: String,
}

impl Served {
    fn start(dir: &Path) -> Served {
        use std::io::BufRead as _;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_bandstand"))
            .args(["--json", "serve", "--listen", "127.0.0.1:0"])
            .current_dir(dir)
            .env_remove("BANDSTAND_DATA")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let serving: Value = serde_json::from_str(&line).unwrap();
        let address = serving["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Served { child, address }
    }

    /// Status and body of a call.
    fn post(&self, path: &str, headers: &HeaderMap, body: &str) -> (u16, Value) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// R8.2
#[test]
fn a_server_takes_signed_calls_without_a_token_and_fires_what_is_due() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hooked.yaml"), HOOKED).unwrap();
    std::fs::write(dir.path().join("hourly.yaml"), hourly("skip", QUICK)).unwrap();
    std::fs::write(dir.path().join("key"), SECRET).unwrap();
    // With tokens, so that nobody may start runs without one.
    std::fs::write(
        dir.path().join("bandstand.toml"),
        format!(
            "[secrets.pager_hmac]\nfile = \"key\"\n[tokens.desk]\ndigest = \"sha256:{}\"\nroles = [\"viewer\"]\n",
            "00".repeat(32)
        ),
    )
    .unwrap();
    let data = dir.path().join(".bandstand");
    keep(&data, kept(5, None));
    let served = Served::start(dir.path());
    let call = Signed::new("m1", &json!({ "event": { "id": "E1" } }));
    let (status, body) = served.post("/hooks/pager", &call.headers, &call.body);
    assert_eq!(status, 202, "{body}");
    let again = Signed::new("m2", &json!({ "event": { "id": "E1" }, "again": true }));
    assert_eq!(served.post("/hooks/pager", &again.headers, &again.body), (202, body));
    let none = HeaderMap::new();
    assert_eq!(served.post("/hooks/pager", &none, "{}").0, 401);
    assert_eq!(served.post("/hooks/pager", &call.headers, "{}").1["code"], "unauthorized");
    assert_eq!(served.post("/hooks/open", &none, "{}").0, 401, "it names no secret");
    assert_eq!(served.post("/hooks/none", &none, "{}").0, 404);
    assert_eq!(served.post("/hooks/pager", &none, &"x".repeat((1 << 20) + 1)).0, 413);
    let begun = Instant::now();
    let fired = || {
        let page = Reader::open(&data).unwrap().runs(&RunFilter::default(), None, 100).unwrap();
        page.runs.iter().any(|run| run.workflow == "hourly")
    };
    while !fired() {
        assert!(begun.elapsed() < PATIENCE, "the missed hour is made up");
        std::thread::sleep(Duration::from_millis(50));
    }
}
