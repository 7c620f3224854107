//! R8.4: the dashboards in the repository ask for metrics that there are, and a real Prometheus that looked at a real host
//! answers them. Without Prometheus on this machine that part is left out, unless `BANDSTAND_REQUIRE_PROMETHEUS=1`.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod observed;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bandstand::telemetry::Metrics;
use bandstand::telemetry::names::{ALL, Metric};
use bandstand_engine::input::Verdict;
use observed::{PATIENCE, Project, get, repository, serve, until};
use serde_json::Value;

/// What has nothing to show in a short life of a host; all other queries must have data.
const MAY_BE_EMPTY: [&str; 1] = ["bandstand_node_cached_total"];

struct Query {
    panel: String,
    text: String,
}

fn dashboards() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository("host/docs/grafana")).unwrap() {
        let path = entry.unwrap().path();
        let dashboard = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        found.push((path.file_name().unwrap().to_string_lossy().into_owned(), dashboard));
    }
    found
}

/// The queries of a dashboard, with what Grafana puts in for its variables.
fn queries(dashboard: &Value) -> Vec<Query> {
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| {
            let text = target["expr"].as_str().unwrap();
            Query {
                panel: title.clone(),
                text: text.replace("$__rate_interval", "1m").replace("$workflow", ".*"),
            }
        })
    };
    panels.iter().flat_map(of_panel).collect()
}

fn metric_of(series: &str) -> Option<&'static Metric> {
    ALL.iter().copied().find(|metric| metric.series().iter().any(|name| name == series))
}

/// The words of a query outside of texts, with what follows each.
fn words(query: &str) -> Vec<(String, char)> {
    let plain: String = query.split('"').step_by(2).collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for c in plain.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
        } else if !word.is_empty() {
            words.push((std::mem::take(&mut word), c));
        }
    }
    words
}

#[test]
fn every_query_names_metrics_and_labels_that_there_are() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 2, "overview and internals");
    let known: BTreeSet<&str> = ALL.iter().flat_map(|metric| metric.labels).copied().chain(["le"]).collect();
    for (file, dashboard) in &dashboards {
        let queries = queries(dashboard);
        assert!(queries.len() >= 10, "{file}");
        for Query { panel, text } in &queries {
            let metrics: Vec<&Metric> = words(text).iter().filter_map(|(word, _)| metric_of(word)).collect();
            assert!(!metrics.is_empty(), "{file}, {panel}: no known metric in {text}");
            let own: BTreeSet<&str> =
                metrics.iter().flat_map(|metric| metric.labels).copied().chain(["le"]).collect();
            for (word, _) in words(text) {
                let looks_like_one =
                    ["bandstand_", "gen_ai_client_", "process_"].iter().any(|p| word.starts_with(p));
                assert!(
                    !looks_like_one || metric_of(&word).is_some(),
                    "{file}, {panel}: there is no metric {word}"
                );
                assert!(
                    !known.contains(&*word) || own.contains(&*word),
                    "{file}, {panel}: {word} is none of its labels"
                );
            }
            // What stands in braces or behind `by` are labels, whatever they are called.
            let inside = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            let grouped = text.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
            for label in inside.flat_map(words).chain(grouped.flat_map(words)) {
                assert!(
                    own.contains(&*label.0),
                    "{file}, {panel}: {} is none of its labels: {text}",
                    label.0
                );
            }
        }
    }
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Ends with the test.
struct Prometheus {
    child: Child,
    _dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: u16) -> Prometheus {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: bandstand\n    \
             static_configs: [{{ targets: ['127.0.0.1:{target}'] }}]\n"
        );
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // Free now; should another take it meanwhile, Prometheus says so and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus { child, _dir: dir, port }
    }

    fn api(&self, path: &str) -> Option<Value> {
        let (_, body) = get(self.port, path)?;
        serde_json::from_str(&body).ok()
    }

    fn query(&self, text: &str) -> Value {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.api(&format!("/api/v1/query?query={encoded}")).unwrap_or_default()
    }
}

/// What an hour of a host looks like to dashboards, in some seconds: runs before the first look and between looks.
async fn work(project: &Project, metrics: &Metrics, host: &bandstand::host::Host) {
    let (run_id, _) = project.run(host, "tour.yaml").await;
    project.answer(host, &run_id, Verdict::Approved).await;
    project.run(host, "tour.yaml").await;
    project.run(host, "crash.yaml").await;
    project.run(host, "denied.yaml").await;
    let _ = metrics.encode();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_every_query() {
    if !is_there("prometheus") || !is_there("promtool") {
        let required = std::env::var("BANDSTAND_REQUIRE_PROMETHEUS").is_ok_and(|value| value == "1");
        assert!(!required, "Prometheus is required and not installed: apt-get install prometheus");
        eprintln!("left out: there is no `prometheus` on this machine (apt-get install prometheus)");
        return;
    }
    let project = Project::new();
    let host = project.host(|_| ()).await;
    let metrics = host.metrics();
    work(&project, &metrics, &host).await;

    // Its own tool finds nothing to say about the text.
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads the older format only.
    tool.stdin.take().unwrap().write_all(metrics.encode_plain().as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(!said.contains("error"), "{said}");

    let shown = metrics.clone();
    let port = serve(move |asked| {
        assert!(asked.head.starts_with("get /metrics "), "{}", asked.head);
        ("200 OK", Metrics::CONTENT_TYPE, shown.encode())
    });
    let prometheus = Prometheus::start(port);
    let runs = "sum(bandstand_runs_started_total)";
    let looked = || prometheus.query(runs)["data"]["result"][0]["value"][1].as_str().map(str::to_owned);
    let before = until("a first look of Prometheus", looked);
    let target = prometheus.api("/api/v1/targets").unwrap();
    assert_eq!(target["data"]["activeTargets"][0]["health"], "up", "{target}");
    work(&project, &metrics, &host).await;
    until("a later look of Prometheus", || looked().filter(|now| *now != before));

    let all: Vec<(String, Query)> = dashboards()
        .into_iter()
        .flat_map(|(file, dashboard)| queries(&dashboard).into_iter().map(move |query| (file.clone(), query)))
        .collect();
    // Rates need two looks after the change.
    let begun = Instant::now();
    loop {
        let mut empty = Vec::new();
        for (file, Query { panel, text }) in &all {
            let answer = prometheus.query(text);
            assert_eq!(answer["status"], "success", "{file}, {panel}: {text}: {answer}");
            let has_data = answer["data"]["result"].as_array().is_some_and(|result| !result.is_empty());
            if !has_data && !MAY_BE_EMPTY.iter().any(|name| text.contains(name)) {
                empty.push(format!("{file}, {panel}: {text}"));
            }
        }
        if empty.is_empty() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "these have no data:\n{}", empty.join("\n"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    host.close().await.unwrap();
}
