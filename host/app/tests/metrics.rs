//! R8.4: metrics follow from what is durable: real runs, every metric as `names.rs` has it, and dashboards that ask for
//! nothing else.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod observed;

use std::collections::BTreeSet;

use bandstand::telemetry::Metrics;
use bandstand::telemetry::names::{ALL, Kind};
use bandstand_engine::input::Verdict;
use observed::{Project, series, sum, until};

/// What was counted when the runs of a whole project have ended but one, which waits for a person.
async fn after_runs(project: &Project) -> (bandstand::host::Host, Metrics) {
    let host = project.host(|_| ()).await;
    let (approved, _) = project.run(&host, "tour.yaml").await;
    project.answer(&host, &approved, Verdict::Approved).await;
    project.run(&host, "tour.yaml").await;
    project.run(&host, "crash.yaml").await;
    project.run(&host, "denied.yaml").await;
    let metrics = host.metrics();
    (host, metrics)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted_as_the_journal_has_it() {
    let project = Project::new();
    let (host, metrics) = after_runs(&project).await;
    let text = metrics.encode();
    let is = |name: &str, labels: &[(&str, &str)], value: f64| {
        let sum = sum(&text, name, labels);
        assert!((sum - value).abs() < 1e-9, "{name} {labels:?} is {sum}, not {value}:\n{text}");
    };
    is("bandstand_runs_started_total", &[("workflow", "tour")], 2.0);
    is("bandstand_runs_started_total", &[("workflow", "child")], 2.0);
    is("bandstand_runs_finished_total", &[("workflow", "tour"), ("outcome", "succeeded")], 1.0);
    is("bandstand_runs_finished_total", &[("workflow", "crash"), ("outcome", "failed")], 1.0);
    is("bandstand_runs_active", &[("state", "waiting")], 1.0);
    is("bandstand_runs_active", &[("state", "running")], 0.0);
    is("bandstand_run_duration_seconds_count", &[("workflow", "tour")], 1.0);
    let first = [("workflow", "tour"), ("node", "first")];
    is("bandstand_node_attempts_total", &[first[0], first[1], ("outcome", "agent")], 2.0);
    is("bandstand_node_attempts_total", &[first[0], first[1], ("outcome", "ok")], 2.0);
    is("bandstand_node_attempts_total", &[("workflow", "crash"), ("outcome", "trap")], 1.0);
    is("bandstand_node_attempt_duration_seconds_count", &first, 4.0);
    is("bandstand_node_retries_succeeded_total", &first, 2.0);
    is("bandstand_edges_taken_total", &[("from", "first"), ("to", "pick")], 2.0);
    is("bandstand_edges_taken_total", &[("from", "ask"), ("to", "end")], 1.0);
    is("bandstand_routes_low_confidence_total", &[("node", "pick")], 2.0);
    is("bandstand_branches_started_total", &[("node", "fan")], 4.0);
    is("bandstand_branches_ended_total", &[("node", "fan"), ("outcome", "succeeded")], 4.0);
    is("bandstand_node_attempts_total", &[("node", "fan/left"), ("outcome", "ok")], 2.0);
    is("bandstand_reviews_opened_total", &[], 2.0);
    is("bandstand_reviews_open", &[("workflow", "tour")], 1.0);
    is("bandstand_reviews_answered_total", &[("decision", "approved")], 1.0);
    is("bandstand_review_wait_seconds_count", &[], 1.0);
    is("bandstand_plugin_denied_total", &[("capability", "tools")], 1.0);
    is("bandstand_plugin_faults_total", &[], 1.0);
    is("bandstand_tool_calls_total", &[("tool", "search"), ("outcome", "ok")], 2.0);
    is("bandstand_model_requests_total", &[("model", "small"), ("outcome", "ok")], 2.0);
    let read = [("gen_ai_request_model", "small"), ("gen_ai_token_type", "input")];
    is("gen_ai_client_token_usage_sum", &read, 18.0);
    is("bandstand_recovery_runs", &[], 0.0);
    assert!(metrics.is_recovered() && sum(&text, "bandstand_recovery_seconds", &[]) > 0.0);
    assert!(sum(&text, "bandstand_plugin_memory_peak_bytes", &first) >= 65_536.0, "{text}");
    assert!(sum(&text, "bandstand_journal_append_seconds_count", &[]) >= 20.0, "{text}");
    assert!(sum(&text, "bandstand_plugin_compile_seconds_count", &[]) >= 5.0, "{text}");
    for name in ["bandstand_journal_bytes", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(sum(&text, name, &[]) > 0.0, "{name}:\n{text}");
    }
    // A run's id is nowhere.
    let ids = bandstand_store::Reader::open(&project.path().join("data")).unwrap();
    for run in ids.runs(&bandstand_store::RunFilter::default(), None, 100).unwrap().runs {
        assert!(!text.contains(&run.run_id), "{text}");
    }
    host.close().await.unwrap();
    assert!(metrics.encode().ends_with("# EOF\n"), "whoever keeps metrics may look at them for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_the_process_before_is_counted_on() {
    let project = Project::new();
    let host = project.host(|_| ()).await;
    let (run_id, _) = project.run(&host, "tour.yaml").await;
    host.close().await.unwrap();
    let host = project.host(|_| ()).await;
    let metrics = host.metrics();
    until("recovery", || metrics.is_recovered().then_some(()));
    project.answer(&host, &run_id, Verdict::Rejected).await;
    let text = metrics.encode();
    let of = [("workflow", "tour"), ("outcome", "failed")];
    assert_eq!(sum(&text, "bandstand_runs_started_total", &[]), 0.0, "{text}");
    assert_eq!(sum(&text, "bandstand_runs_finished_total", &of), 1.0, "{text}");
    // From the start of the run, and of the review, not of this process.
    assert_eq!(sum(&text, "bandstand_review_wait_seconds_count", &[]), 1.0, "{text}");
    assert!(sum(&text, "bandstand_run_duration_seconds_sum", &of) > 0.0, "{text}");
    host.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_one_that_is_documented() {
    let project = Project::new();
    let (host, metrics) = after_runs(&project).await;
    let text = metrics.encode();
    host.close().await.unwrap();
    for series in series(&text) {
        let metric = ALL.iter().find(|metric| metric.series().contains(&series.name));
        let metric = metric.unwrap_or_else(|| panic!("{} is not in names.rs", series.name));
        let mut labels: BTreeSet<&str> = series.labels.keys().map(String::as_str).collect();
        labels.remove("le");
        assert_eq!(labels, metric.labels.iter().copied().collect(), "{}", metric.name);
        let head = match metric.kind {
            Kind::Counter => metric.name.trim_end_matches("_total"),
            Kind::Info => metric.name.trim_end_matches("_info"),
            Kind::Gauge | Kind::Histogram => metric.name,
        };
        let kind = format!("# TYPE {head} {}\n", metric.kind.name());
        assert!(text.contains(&kind), "{kind}:\n{text}");
        assert!(text.contains(&format!("# HELP {head} {}.\n", metric.help)), "{head}:\n{text}");
    }
    // What is not there has nothing to say yet; all others are.
    let missing = ALL.iter().filter(|metric| !text.contains(&metric.series()[0]));
    let missing: Vec<&str> = missing.map(|metric| metric.name).collect();
    assert_eq!(missing, ["bandstand_node_cached_total"], "{text}");
}
