//! What is valid and probably not meant: things declared and never used, errors that nobody reads, retry keys without
//! effect; and deadlines that no attempt can meet (`BW407`, `BW503` to `BW505`).

use std::collections::BTreeSet;

use crate::diagnostic::Report;
use crate::expressions::Uses;
use crate::outline::{By, Goal, Outline, Scope, Step};
use crate::places::At;
use crate::quantity::duration_ms;
use crate::yaml::{Node, Yaml};

/// Timeout of an attempt when nothing says one.
pub(crate) const ATTEMPT_TIMEOUT_MS: u64 = 60_000;

/// Tells it.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>, uses: &Uses) {
    unused(report, outline, uses);
    let defaults = outline.file.get("defaults");
    if let Some(retry) = defaults.and_then(|defaults| defaults.get("retry")) {
        idle_retry(report, retry);
    }
    for (index, scope) in outline.scopes.iter().enumerate() {
        for (node, step) in scope.nodes.iter().enumerate() {
            unread_errors(report, outline, uses, index, node);
            let retries =
                [step.get("retry"), step.get("compensate").and_then(|compensate| compensate.get("retry"))];
            retries.into_iter().flatten().for_each(|retry| idle_retry(report, retry));
            if step.kind_name() == "agent" {
                deadline(report, defaults, step);
            }
        }
    }
}

fn unused(report: &mut Report<'_>, outline: &Outline<'_>, uses: &Uses) {
    let steps = || outline.scopes.iter().flat_map(|scope| &scope.nodes);
    let mut agents: BTreeSet<&str> = BTreeSet::new();
    let mut children: BTreeSet<&str> = BTreeSet::new();
    let mut written: BTreeSet<&str> = BTreeSet::new();
    let mut writes_any = false;
    for step in steps() {
        agents.extend(step.get("agent").and_then(Node::text));
        agents.extend(
            step.get("compensate").and_then(|compensate| compensate.get("agent")).and_then(Node::text),
        );
        children.extend(step.get("workflow").and_then(Node::text));
        for key in ["update", "set"] {
            written.extend(
                step.get(key).map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.as_str()),
            );
            writes_any |= step.get(key).is_some_and(|value| matches!(value.value, Yaml::Scalar(_)));
        }
    }
    // Plugins that other plugins may call.
    let plugins = outline.file.get("plugins").map(Node::entries).unwrap_or_default();
    let granted =
        plugins.iter().filter_map(|entry| entry.value.get("grants").and_then(|grants| grants.get("tools")));
    agents.extend(granted.flat_map(Node::items).filter_map(Node::text));
    let read = |root: &str, name: &str| {
        uses.incomplete
            || uses.references.iter().any(|(_, reference)| {
                reference.root == root && reference.path.first().is_none_or(|step| step == name)
            })
    };
    let rendered = |name: &str| {
        uses.renders.iter().any(|(render, _)| render.name.as_deref().is_none_or(|of| of == name))
    };
    let mut tell = |section: &str, what: &str, used: &dyn Fn(&str) -> bool| {
        for entry in outline.file.get(section).map(Node::entries).unwrap_or_default() {
            if !used(&entry.key) {
                let message = format!("nothing uses the {what} `{}`", entry.key);
                report.add("BW407", entry.key_span, message, "use it or take it out");
            }
        }
    };
    tell("state", "channel", &|name| writes_any || written.contains(name) || read("state", name));
    tell("constants", "constant", &|name| read("constants", name) || rendered(name));
    tell("plugins", "plugin", &|name| agents.contains(name));
    tell("workflows", "child", &|name| children.contains(name));
}

fn idle_retry(report: &mut Report<'_>, retry: &Node) {
    let strategy = retry.get("strategy").and_then(Node::text);
    let idle: &[&str] = match strategy {
        Some("none") => &["max-retries", "base-delay", "factor", "max-delay", "jitter", "retry-on"],
        Some("immediate") => &["base-delay", "factor", "max-delay", "jitter"],
        Some("fixed") => &["factor"],
        _ => return,
    };
    for entry in retry.entries().iter().filter(|entry| idle.contains(&entry.key.as_str())) {
        let strategy = strategy.unwrap_or_default();
        let message = format!("`{}` has no effect with `strategy: {strategy}`", entry.key);
        report.add("BW505", entry.key_span, message, "take it out, or choose another strategy");
    }
}

fn deadline(report: &mut Report<'_>, defaults: Option<&Node>, step: &Step<'_>) {
    let Some(deadline) = step.get("deadline") else { return };
    let default = defaults.and_then(|defaults| defaults.get("timeout"));
    let timeout = step.get("timeout").or(default).and_then(Node::text).and_then(duration_ms);
    let timeout_ms = timeout.unwrap_or(ATTEMPT_TIMEOUT_MS);
    if deadline.text().and_then(duration_ms).is_some_and(|deadline_ms| deadline_ms < timeout_ms) {
        let message = format!(
            "the deadline is shorter than the timeout of one attempt ({} s)",
            timeout_ms as f64 / 1_000.0
        );
        report.add("BW504", deadline.span, message, "make the deadline longer or the timeout shorter");
    }
}

/// A block that settles with failures, which nobody would notice.
fn unread_errors(report: &mut Report<'_>, outline: &Outline<'_>, uses: &Uses, scope: usize, node: usize) {
    let step = &outline.scopes[scope].nodes[node];
    let Some(kind) = step.kind.filter(|kind| matches!(kind.key.as_str(), "parallel" | "map")) else { return };
    let settles = kind.value.get("join").is_none_or(|join| join.text() == Some("settle"));
    if !settles || kind.value.entry("max-errors").is_some() || uses.incomplete {
        return;
    }
    let body = &outline.scopes[scope];
    let last = body.sole || can_end(body, node);
    let read = uses.references.iter().any(|(place, reference)| {
        let path = &reference.path;
        let reads = |path: &[String]| path.first().is_none_or(|step| step == "errors");
        match reference.root.as_str() {
            "output" if place.scope == scope && place.node == Some(node) => reads(path),
            "output" if place.scope == scope && place.at == At::Result => last && reads(path),
            "nodes" => match path.as_slice() {
                [] => true,
                [id] => id == step.id && !reference.tested,
                [id, member, rest @ ..] => id == step.id && member == "output" && reads(rest),
            },
            _ => false,
        }
    });
    let given_on = last && body.result.is_none();
    if !(read || given_on) {
        let message = format!("`{}` goes on when branches fail, and nothing reads their errors", step.id);
        let help = "set `max-errors`, take `join: all`, or read `output.errors`";
        report.add("BW503", kind.key_span, message, help);
    }
}

/// Whether a node may be the last of its scope.
fn can_end(scope: &Scope<'_>, node: usize) -> bool {
    scope.nodes[node].edges.iter().any(|edge| edge.by != By::OnFailure && edge.target == Some(Goal::End))
}
