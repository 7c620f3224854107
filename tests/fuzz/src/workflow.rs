//! Workflow files: whatever the bytes are, `check` tells what is wrong with places that exist; a file without errors has
//! a graph that survives being stored, and runs.

use std::sync::Arc;

use bandstand_engine::Graph;
use bandstand_engine::graph::PluginSource;
use bandstand_engine::run::NewRun;
use bandstand_engine::{Input, Outcome, Run, Start};
use bandstand_rules::{START, Table, says};
use bandstand_workflow::{
    FileProblem, Options, Permitted, PluginFacts, PluginProblem, Resolver, Severity, check, graph_dot,
    graph_mermaid, render,
};
use serde_json::json;

/// Steps that a run of a fuzzed file may take.
const STEPS_MAX: usize = 50;

pub(crate) fn run(bytes: &[u8]) {
    let options =
        Options { file: "fuzzed.yaml".to_owned(), resolver: Some(&Everything), ..Options::default() };
    let checked = check(bytes, &options);
    for diagnostic in &checked.diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(
            (diagnostic.line, diagnostic.column) <= (diagnostic.end_line, diagnostic.end_column),
            "{diagnostic:?}"
        );
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = render(diagnostic, text);
        }
    }
    let errors = checked.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    let Some(graph) = checked.graph else {
        // An error, or the warning that this build lacks what the file uses.
        assert!(!checked.diagnostics.is_empty(), "there is no graph, and nothing says why");
        return;
    };
    let _ = (graph_dot(&graph), graph_mermaid(&graph));
    let stored = serde_json::to_string(&graph).unwrap();
    let graph: Graph = serde_json::from_str(&stored).unwrap_or_else(|error| panic!("{error}: {stored}"));
    assert_eq!(serde_json::to_string(&graph).unwrap(), stored, "a graph that was stored is another one");
    if !errors {
        go(Arc::new(graph));
    }
}

/// Every file and every plugin that a workflow file may name.
struct Everything;

const CHILD: &str = "{ format: 1, name: child, version: 1, nodes: { a: { value: { n: 1 }, next: end } } }";

impl Resolver for Everything {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, FileProblem> {
        Ok(match path.rsplit('.').next() {
            Some("yaml" | "yml") => CHILD,
            Some("json") => "{}",
            _ => "words {{ input.text }}",
        }
        .into())
    }

    fn plugin(&self, _: &PluginSource, _: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        Ok(PluginFacts { digest: "sha256:00".to_owned(), needs: Vec::new(), input: None, function: None })
    }

    fn builtins(&self) -> Vec<String> {
        vec!["echo".to_owned()]
    }

    fn permitted(&self, _: &PluginSource, _: &str) -> Option<Permitted> {
        None
    }
}

/// Runs it with agents that answer `{}` at once.
fn go(graph: Arc<Graph>) {
    let new: NewRun = Table::new_run(&graph, "run-1", json!({}));
    // It may want an input.
    let Ok(start) = Start::new(&graph, new, START) else { return };
    let (mut run, _) = Run::start(graph, start, START);
    for _ in 0..STEPS_MAX {
        let owed = run.owed().next().map(|command| command.id.clone());
        let now = run.last_at();
        let decision = match (owed, run.next_deadline()) {
            (Some(id), _) => {
                run.handle(Input::Done { id, reply: says(json!({})), usage: Default::default() }, now)
            }
            (None, Some(deadline)) => run.handle(Input::Tick, deadline.max(now)),
            (None, None) => break,
        };
        match decision {
            Ok(decision) => assert_eq!(decision.outcome, Outcome::Changed),
            // A child that is not there, for one.
            Err(_) => break,
        }
    }
}
