//! The workflows that are measured, as text, and how a run of them is asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use bandstand::host::StartRequest;
use bandstand_engine::Graph;
use bandstand_engine::event::PluginPin;
use bandstand_engine::run::NewRun;
use bandstand_sandbox::CallRequest;
use serde_json::{Value, json};

/// The head of every workflow here. What `echo` is, the caller says.
const HEAD: &str = "format: 1\nname: bench\nversion: 1\nplugins: { echo: { builtin: echo } }\n";

/// So many nodes in a line, each handing some hundred bytes to the next.
pub(crate) fn line(nodes: usize) -> String {
    let mut text = format!("{HEAD}nodes:\n");
    for node in 0..nodes {
        let said =
            if node == 0 { "input.text".to_owned() } else { format!("nodes.n{}.output.text", node - 1) };
        let next = if node + 1 == nodes { "end".to_owned() } else { format!("n{}", node + 1) };
        let _ = writeln!(
            text,
            "  n{node}: {{ agent: echo, input: {{ step: {node}, text: \"${{{{ {said} }}}}\" }}, next: {next} }}"
        );
    }
    text
}

/// The same, with replies that are kept.
pub(crate) fn kept_line(nodes: usize) -> String {
    line(nodes)
        .replace("agent: echo,", "agent: echo, cache: { for: 1h },")
        .replace("name: bench", "name: bench-kept")
}

/// What [`line`] and [`fan`] are given.
pub(crate) fn line_input() -> Value {
    json!({ "text": "The licence allows commercial use, asks for attribution, and gives no warranty of any kind." })
}

/// One call with this input by the sandbox alone, without a run.
pub(crate) fn call(input: &str) -> CallRequest {
    CallRequest {
        run_id: "run-1".to_owned(),
        workflow: "bench".to_owned(),
        node: "n@1".to_owned(),
        visit: 1,
        attempt: 1,
        attempts_max: 1,
        idempotency_key: "run-1/n@1".to_owned(),
        started_at: "2026-01-01T00:00:00.000Z".to_owned(),
        input: input.to_owned(),
        ..CallRequest::default()
    }
}

/// So many branches of one node, and their join.
pub(crate) fn fan(branches: usize) -> String {
    let mut text = format!("{HEAD}nodes:\n  fan:\n    parallel:\n      join: all\n      branches:\n");
    for branch in 0..branches {
        let _ = writeln!(
            text,
            "        b{branch}: {{ agent: echo, input: {{ branch: {branch}, text: \"${{{{ input.text }}}}\" }} }}"
        );
    }
    text.push_str("    next: end\nresult: { joined: \"${{ output.results|length }}\" }\n");
    text
}

/// A loop over a state of two channels, of which each turn changes the small one. At most as many turns as a run may have
/// steps.
pub(crate) fn turns(turns: usize) -> String {
    format!(
        "{HEAD}limits: {{ max-steps: 100000 }}
state:
  large: {{ reduce: replace, initial: \"${{{{ input.large }}}}\" }}
  small: {{ reduce: replace, initial: \"\" }}
nodes:
  turn:
    agent: echo
    input: {{ text: \"${{{{ input.text }}}} ${{{{ visit }}}}\" }}
    update: {{ small: \"${{{{ output.text }}}}\" }}
    next: [{{ when: visit < {turns}, to: turn }}, {{ to: end }}]
result: {{ small: \"${{{{ state.small }}}}\", large: \"${{{{ state.large|length }}}}\" }}
"
    )
}

/// An agent, a review, and an agent after it.
pub(crate) fn review() -> String {
    format!(
        "{HEAD}nodes:
  read: {{ agent: echo, input: {{ text: \"${{{{ input.text }}}}\" }}, next: ask }}
  ask:
    stage: review
    review:
      title: Release this text?
      propose: {{ text: \"${{{{ nodes.read.output.text }}}}\" }}
      timeout: 30d
    approved: publish
    rejected: end
  publish: {{ agent: echo, input: {{ text: \"${{{{ review.value.text }}}}\" }}, next: end }}
"
    )
}

/// The checked workflow of that text.
pub(crate) fn graph(text: &str) -> Result<Arc<Graph>> {
    let checked = bandstand_workflow::check(text.as_bytes(), &bandstand_workflow::Options::default());
    let problems = checked.diagnostics;
    checked.graph.map(Arc::new).ok_or_else(|| anyhow!("the measured workflow is wrong: {problems:#?}"))
}

/// A run of it, every plugin being that agent.
pub(crate) fn request(text: &str, agent: &Arc<[u8]>, input: Value) -> Result<StartRequest> {
    let graph = graph(text)?;
    let plugins: BTreeMap<_, _> = graph.plugins.keys().map(|id| (id.clone(), agent.clone())).collect();
    Ok(StartRequest {
        graph,
        source: text.to_owned(),
        plugins: plugins.into(),
        input,
        thread_id: None,
        user_id: None,
        request_id: None,
        request_digest: None,
        start_at: None,
        starters: Vec::new(),
        linked: Vec::new(),
        rerun_of: None,
        seed: Some(1),
    })
}

/// A run that no host knows, for measuring the engine alone.
pub(crate) fn new_run(graph: &Graph, input: Value) -> NewRun {
    NewRun {
        source_digest: "sha256:0".to_owned(),
        graph_digest: "sha256:1".to_owned(),
        plugins: graph
            .plugins
            .keys()
            .map(|id| (id.clone(), PluginPin { digest: "sha256:2".to_owned() }))
            .collect(),
        host_version: "0.0.0".to_owned(),
        seed: 1,
        ..NewRun::new(uuid::Uuid::now_v7().to_string(), input)
    }
}
