//! R8.4: one trace for each run, over a restart of its host; what came is recorded by a receiver of the test's own.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

#[path = "bandstand/mod.rs"]
mod binary;
mod observed;

use std::process::Stdio;
use std::time::Instant;

use bandstand::host::Host;
use bandstand::telemetry::{Headers, Otlp};
use bandstand_engine::input::Verdict;
use observed::{Project, receiver, serve, sum, until};
use serde_json::Value;

const SECRET: &str = "s3cret-of-the-receiver";

async fn host(project: &Project, port: u16) -> Host {
    let headers = Headers::parse(&format!("x-key={SECRET}"), "KEYS").unwrap();
    let otlp = Otlp::new(&format!("http://127.0.0.1:{port}"), headers, "test").unwrap();
    project.host(|options| options.otlp = Some(otlp)).await
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s Value> {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|attribute| attribute["key"] == key)?["value"].as_object()?.values().next()
}

fn named<'s>(spans: &'s [Value], name: &str) -> Vec<&'s Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

fn one<'s>(spans: &'s [Value], name: &str) -> &'s Value {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

fn time(span: &Value, which: &str) -> u64 {
    span[which].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_although_its_host_was_restarted() {
    let project = Project::new();
    let (port, received) = receiver(|head| {
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("content-type: application/json") && head.contains(SECRET), "{head}");
    });
    let first = host(&project, port).await;
    let (run_id, _) = project.run(&first, "tour.yaml").await;
    first.close().await.unwrap();
    let before = received.spans();
    assert!(named(&before, "invoke_workflow tour").is_empty(), "it has not ended");
    assert_eq!(named(&before, "invoke_agent first").len(), 2, "{before:#?}");

    let second = host(&project, port).await;
    project.answer(&second, &run_id, Verdict::Approved).await;
    second.close().await.unwrap();
    let spans = received.spans();

    // The run's number is the trace's; the child has one of its own.
    let trace = run_id.replace('-', "");
    let (own, others): (Vec<Value>, Vec<Value>) =
        spans.iter().cloned().partition(|span| span["traceId"] == trace.as_str());
    let root = one(&own, "invoke_workflow tour");
    assert_eq!(root["parentSpanId"], Value::Null);
    assert_eq!(attribute(root, "gen_ai.operation.name").unwrap(), "invoke_workflow");
    assert_eq!(attribute(root, "gen_ai.workflow.name").unwrap(), "tour");
    assert_eq!(attribute(root, "bandstand.run.id").unwrap(), run_id.as_str());

    // Attempts, also those of the process before, lie below the run and within its time.
    let attempts: Vec<&Value> =
        own.iter().filter(|span| span["name"].as_str().unwrap().starts_with("invoke_agent")).collect();
    assert_eq!(attempts.len(), 8, "{own:#?}");
    for attempt in &attempts {
        assert_eq!(attempt["parentSpanId"], root["spanId"]);
        assert!(time(attempt, "endTimeUnixNano") >= time(attempt, "startTimeUnixNano"));
        assert!(time(attempt, "endTimeUnixNano") <= time(root, "endTimeUnixNano"));
    }
    // A retry is linked to the attempt before, which failed with a class.
    let tries = named(&own, "invoke_agent first");
    let number = |span: &Value| attribute(span, "bandstand.attempt").unwrap().as_str().unwrap().to_owned();
    let failed = tries.iter().find(|span| number(span) == "1").unwrap();
    let again = tries.iter().find(|span| number(span) == "2").unwrap();
    assert_eq!((&failed["status"]["code"], &failed["status"]["message"]), (&2.into(), &"agent".into()));
    assert_eq!(attribute(failed, "error.type").unwrap(), "agent");
    assert_eq!(again["links"][0]["spanId"], failed["spanId"]);
    assert_eq!(again["status"], serde_json::json!({}));

    // What an attempt did lies below it.
    let chat = one(&own, "chat small");
    assert_eq!(chat["parentSpanId"], one(&own, "invoke_agent say")["spanId"]);
    assert_eq!(
        (&chat["kind"], attribute(chat, "gen_ai.usage.input_tokens").unwrap()),
        (&3.into(), &"9".into())
    );
    assert_eq!(attribute(chat, "gen_ai.request.model").unwrap(), "small");
    assert_eq!(attribute(chat, "gen_ai.provider.name").unwrap(), "recorded");
    let tool = one(&own, "execute_tool search");
    assert_eq!(tool["parentSpanId"], one(&own, "invoke_agent use")["spanId"]);
    assert_eq!(attribute(tool, "gen_ai.tool.name").unwrap(), "search");

    // Parent and child know each other.
    let child = one(&others, "invoke_workflow child");
    let below = one(&own, "invoke_agent below");
    assert_eq!(
        (&child["links"][0]["traceId"], &child["links"][0]["spanId"]),
        (&below["traceId"], &below["spanId"])
    );
    assert_eq!(
        (&below["links"][0]["traceId"], &below["links"][0]["spanId"]),
        (&child["traceId"], &child["spanId"])
    );
    assert_eq!(one(&others, "invoke_agent only")["parentSpanId"], child["spanId"]);

    // No id comes twice, nothing was asked or answered is there, nor the key.
    let mut ids: Vec<&str> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
    let all = serde_json::to_string(&received.bodies()).unwrap();
    assert!(!all.contains("Good day") && !all.contains("Hello") && !all.contains(SECRET), "{all}");
    assert!(all.contains(r#"{"key":"service.name","value":{"stringValue":"test"}}"#), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_or_is_gone_costs_spans_and_nothing_else() {
    let refuses = serve(|_| ("400 Bad Request", "text/plain", "no".to_owned()));
    let project = Project::new();
    let host = host(&project, refuses).await;
    let (_, settled) = project.run(&host, "crash.yaml").await;
    assert!(format!("{settled:?}").contains("Failed"), "{settled:?}");
    let metrics = host.metrics();
    // The attempt and the run.
    until("that they are counted", || {
        (sum(&metrics.encode(), "bandstand_trace_spans_dropped_total", &[]) == 2.0).then_some(())
    });
    host.close().await.unwrap();

    // Nobody is there: closing does not wait for ever.
    let project = Project::new();
    let host = crate::host(&project, 1).await;
    project.run(&host, "crash.yaml").await;
    let begun = Instant::now();
    host.close().await.unwrap();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

/// The second attempt never ends by itself, and has time to be killed in.
const CRASHED: &str = "
format: 1
name: crashed
version: 1
plugins: { echo: { path: echo.wasm }, loops: { path: loops.wasm } }
nodes:
  before: { agent: echo, next: during }
  during: { agent: loops, timeout: 2s, retry: { max-retries: 0 }, next: end }
";

// R5.4
#[test]
fn a_killed_host_leaves_a_trace_that_the_next_one_goes_on_with() {
    let (port, received) = receiver(|_| ());
    let folder = binary::Folder::new();
    folder.write("workflow.yaml", CRASHED);
    folder.write("echo.wasm", bandstand_test_guests::echo());
    folder.write("loops.wasm", bandstand_test_guests::endless_loop());
    folder.write("bandstand.toml", format!("[telemetry]\notlp = \"http://127.0.0.1:{port}\"\n"));
    let mut first = folder.command(&["run", "workflow.yaml"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Sent half a second after its end, while the other goes on.
    until("the first attempt's span", || received.spans().first().map(|_| ()));
    first.kill().unwrap();
    first.wait().unwrap();
    let runs = folder.call(&["runs", "list", "--json"]).expect(0, &[]).lines();
    let run_id = runs[0]["run_id"].as_str().unwrap().to_owned();
    folder.call(&["runs", "drive", &run_id]).expect(1, &["timeout"]);

    let spans = received.spans();
    let root = one(&spans, "invoke_workflow crashed");
    for name in ["invoke_agent before", "invoke_agent during"] {
        let span = one(&spans, name);
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&root["traceId"], &root["spanId"]));
    }
    assert_eq!(root["traceId"], run_id.replace('-', "").as_str());
    let during = one(&spans, "invoke_agent during");
    assert_eq!(attribute(during, "bandstand.interruptions").unwrap(), "1");
    assert_eq!(attribute(during, "error.type").unwrap(), "timeout");
    // The run began before the first process died.
    assert!(time(root, "startTimeUnixNano") <= time(one(&spans, "invoke_agent before"), "startTimeUnixNano"));
}

// The trace of a run links to the span of whoever began it, also after a restart; that of a fork to the run it comes from.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_links_to_its_callers_span_and_a_fork_to_its_origin() {
    let project = Project::new();
    let (port, received) = receiver(|_| {});
    let first = host(&project, port).await;
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let request =
        bandstand::host::StartRequest { linked: vec![caller.to_owned()], ..project.request("tour.yaml") };
    let run_id = first.start_run(request).await.unwrap();
    first.until_settled(&run_id).await.unwrap();
    first.close().await.unwrap();
    let second = host(&project, port).await;
    project.answer(&second, &run_id, Verdict::Approved).await;
    let request = bandstand::host::ForkRequest {
        run_id: run_id.clone(),
        seq: 1,
        edits: Vec::new(),
        latest: None,
        request_id: None,
        request_digest: None,
        starters: Vec::new(),
        linked: Vec::new(),
    };
    let fork = second.fork(request).await.unwrap();
    second.until_settled(&fork).await.unwrap();
    project.answer(&second, &fork, Verdict::Approved).await;
    second.close().await.unwrap();
    let spans = received.spans();
    let root = |run_id: &str| {
        let trace = run_id.replace('-', "");
        let of_run = |span: &&Value| span["traceId"] == trace.as_str();
        let roots: Vec<Value> = spans.iter().filter(of_run).cloned().collect();
        one(&roots, "invoke_workflow tour").clone()
    };
    let (original, forked) = (root(&run_id), root(&fork));
    let link = &original["links"][0];
    assert_eq!(link["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(link["spanId"], "b7ad6b7169203331");
    assert_eq!(forked["links"][0]["traceId"], original["traceId"]);
    assert_eq!(forked["links"][0]["spanId"], original["spanId"]);
}
