//! Runs that have children, and one that is a child.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::event::{ChildPins, Parent, PluginPin};
use bandstand_engine::input::{ActorKind, By, ChildOutcome};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Class, Failure, Id, Input};
use bandstand_rules::graph_with;
use serde_json::json;

use crate::tape::Tape;

/// Every scenario by the name of its fixture.
pub(crate) fn all() -> Vec<(&'static str, Tape)> {
    vec![
        ("child-succeeded", child_succeeded()),
        ("child-cancelled", child_cancelled()),
        ("child-killed", child_killed()),
        ("is-a-child", is_a_child()),
    ]
}

const GRANDCHILD: &str = "
format: 1
name: grandchild
version: 1
plugins: { q: { builtin: echo } }
nodes: { only: { agent: q, next: end } }
";

const CHILD: &str = "
format: 1
name: child
version: 2
plugins: { p: { builtin: echo } }
workflows: { inner: { path: grandchild.yaml, version: 1 } }
nodes:
  a: { agent: p, next: b }
  b: { workflow: inner, next: end }
";

const PARENT: &str = "
format: 1
name: parent
version: 1
workflows: { outer: { path: child.yaml, version: 2 } }
nodes:
  a: { workflow: outer, input: { n: 1 }, retry: { max-retries: 1, strategy: fixed, base-delay: 1s }, timeout: 1h, next: end }
";

fn id(name: &str) -> Id {
    Id::new(name).unwrap()
}

fn pins(plugin: &str, children: BTreeMap<Id, ChildPins>) -> ChildPins {
    let digest = format!("sha256:{plugin}");
    ChildPins { plugins: [(id(plugin), PluginPin { digest })].into(), children }
}

fn started() -> Tape {
    let graph = graph_with(PARENT, &[("child.yaml", CHILD), ("grandchild.yaml", GRANDCHILD)]);
    let inner = pins("q", BTreeMap::new());
    let outer = pins("p", [(id("inner"), inner)].into());
    Tape::start_as(graph, |new| NewRun { children: [(id("outer"), outer)].into(), ..new })
}

fn ended(tape: &mut Tape, attempt: &str, outcome: ChildOutcome) {
    tape.take(Input::ChildEnded { id: attempt.parse().unwrap(), outcome });
}

fn child_succeeded() -> Tape {
    let mut tape = started();
    let failure =
        Failure { recoverable: true, ..Failure::permanent(Class::Agent, "no-luck", "it did not work") };
    ended(&mut tape, "a@1#1", ChildOutcome::Failed(failure));
    tape.until_due();
    ended(&mut tape, "a@1#2", ChildOutcome::Succeeded(Arc::new(json!([1, "two"]))));
    tape
}

fn child_cancelled() -> Tape {
    let mut tape = started();
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    tape.take(Input::Cancel { by, reason: "enough".to_owned() });
    tape
}

fn child_killed() -> Tape {
    let mut tape = started();
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    tape.take(Input::Kill { by, reason: "enough".to_owned() });
    tape
}

fn is_a_child() -> Tape {
    let graph = graph_with(CHILD, &[("grandchild.yaml", GRANDCHILD)]);
    let children = [(id("inner"), pins("q", BTreeMap::new()))].into();
    let parent = Parent { run: "run-0".to_owned(), p: "a@1".parse().unwrap(), attempt: 1 };
    let mut tape = Tape::start_as(graph, |new| NewRun { parent: Some(parent), children, ..new });
    crate::scenarios::done_plainly(&mut tape, "a@1#1", json!({ "said": true }));
    ended(&mut tape, "b@1#1", ChildOutcome::Succeeded(Arc::new(json!({ "whole": true }))));
    tape
}
