//! The inputs of nodes that call a function of some component (`BW613`): what is certain of them is held against its
//! parameters. What an expression gives is told when it is called.

use std::collections::BTreeMap;

use bandstand_signature::{Function, Problem, ProblemKind, Sketch};

use crate::diagnostic::Report;
use crate::literal::Known;
use crate::outline::{Outline, Step};
use crate::resolver::PluginFacts;
use crate::source::Span;
use crate::yaml::{Node, Typed, Yaml};

/// Tells what does not fit.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>, plugins: &BTreeMap<String, PluginFacts>) {
    for step in outline.scopes.iter().flat_map(|scope| &scope.nodes) {
        let plugin = step.get("agent").and_then(Node::text);
        let facts = plugin.and_then(|plugin| plugins.get(plugin));
        if let Some(function) = facts.and_then(|facts| facts.function.as_ref()) {
            arguments(report, step, function);
        }
    }
}

fn arguments(report: &mut Report<'_>, step: &Step<'_>, function: &Function) {
    let input = step.get("input");
    let sketch = input.map_or_else(|| Sketch::Object(Vec::new()), sketch);
    for problem in function.problems(&sketch) {
        let place = input.map_or(step.key, |input| place(step, input, &problem));
        let message = format!("the input does not fit `{}`: {problem}", function.full_name());
        report.add("BW613", place, message, format!("`{}`", function.signature()));
    }
}

/// A value where it stands; a key that means nothing, itself; what is missing, at the key of what it is missing in.
fn place(step: &Step<'_>, input: &Node, problem: &Problem) -> Span {
    let Some((above, last)) = problem.pointer.rsplit_once('/') else { return input.span };
    match problem.kind {
        ProblemKind::Wrong => input.at_pointer(&problem.pointer).span,
        ProblemKind::Unknown => {
            let last = last.replace("~1", "/").replace("~0", "~");
            let mapping = input.at_pointer(above);
            mapping.entry(&last).map_or(mapping.span, |entry| entry.key_span)
        }
        ProblemKind::Missing => match above.rsplit_once('/') {
            None => step.tree.entry("input").map_or(step.key, |entry| entry.key_span),
            Some((around, member)) => {
                let member = member.replace("~1", "/").replace("~0", "~");
                let around = input.at_pointer(around);
                around.entry(&member).map_or(input.at_pointer(above).span, |entry| entry.key_span)
            }
        },
    }
}

/// What is known of a value before anything is evaluated.
fn sketch(node: &Node) -> Sketch {
    match &node.value {
        Yaml::List(items) => Sketch::List(items.iter().map(sketch).collect()),
        Yaml::Map(entries) => {
            Sketch::Object(entries.iter().map(|entry| (entry.key.clone(), sketch(&entry.value))).collect())
        }
        Yaml::Scalar(scalar) if scalar.typed == Typed::Text => match Known::of(node) {
            Known::Value(value) => Sketch::from(&value),
            Known::Text => Sketch::SomeText,
            Known::List | Known::Object | Known::Unknown => Sketch::Unknown,
        },
        Yaml::Scalar(_) => Sketch::from(&node.json()),
    }
}
