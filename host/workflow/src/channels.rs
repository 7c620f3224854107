//! The state: what writes to which channel, and whether it can (`BW401` to `BW405`).

use bandstand_engine::schema::Schema;

use crate::diagnostic::Report;
use crate::literal::Known;
use crate::outline::{Outline, Step};
use crate::quantity::suggest;
use crate::schemas::Schemas;
use crate::source::Span;
use crate::yaml::{Entry, Node};

/// Tells everything that is wrong with reads and writes of channels.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>, schemas: &Schemas) {
    let channels = outline.file.get("state").map(Node::entries).unwrap_or_default();
    for channel in channels {
        if let Some(initial) = channel.value.get("initial") {
            // Without `initial` a `min` or `max` starts from null, so that is its only value that is no operand.
            let null = matches!(Known::of(initial), Known::Value(serde_json::Value::Null));
            if !(null && matches!(reducer(channel), "min" | "max")) {
                operand(report, channel, initial);
            }
            literal(report, schemas.of(channel.value.get("schema")), initial, "the channel's schema");
        }
    }
    for (index, scope) in outline.scopes.iter().enumerate() {
        for step in &scope.nodes {
            writes(report, outline, schemas, index, step);
            concurrent(report, outline, step);
        }
    }
    let root = &outline.scopes[0];
    if let Some(result) = root.result {
        literal(report, schemas.of(outline.file.get("output")), result, "`output`");
    }
    for trigger in outline.file.get("triggers").map(Node::items).unwrap_or_default() {
        if let Some(input) = trigger.get("input") {
            literal(report, schemas.of(outline.file.get("input")), input, "`input`");
        }
    }
}

fn reducer(channel: &Entry) -> &str {
    channel.value.get("reduce").and_then(Node::text).unwrap_or_default()
}

fn keep(channel: &Entry) -> &str {
    channel.value.get("keep").and_then(Node::text).unwrap_or("run")
}

/// Whether the reducer can take what is known of a value.
fn operand(report: &mut Report<'_>, channel: &Entry, value: &Node) {
    use serde_json::Value;
    let known = Known::of(value);
    let (fits, wanted) = match reducer(channel) {
        "append" => (matches!(known, Known::Value(Value::Array(_)) | Known::List | Known::Unknown), "a list"),
        "merge" => {
            (matches!(known, Known::Value(Value::Object(_)) | Known::Object | Known::Unknown), "an object")
        }
        "sum" | "min" | "max" => {
            (matches!(known, Known::Value(Value::Number(_)) | Known::Unknown), "a number")
        }
        _ => (true, ""),
    };
    if !fits {
        let message = format!("`{}` takes {wanted}, found {}", reducer(channel), known.name());
        let help = match reducer(channel) {
            "append" => "put it in a list: `[ .. ]`".to_owned(),
            _ => format!("write {wanted}, or declare the channel `{}` with another `reduce`", channel.key),
        };
        report.add("BW402", value.span, message, help);
    }
}

fn literal(report: &mut Report<'_>, schema: Option<&Schema>, value: &Node, of: &str) {
    let (Some(schema), Some(literal)) = (schema, Known::of(value).value()) else { return };
    if let Err(unsatisfied) = schema.check(&literal) {
        report.add(
            "BW403",
            value.span,
            format!("against {of}: {unsatisfied}"),
            "change the value or the schema",
        );
    }
}

fn writes(report: &mut Report<'_>, outline: &Outline<'_>, schemas: &Schemas, scope: usize, step: &Step<'_>) {
    let channels = outline.file.get("state").map(Node::entries).unwrap_or_default();
    let names: Vec<&str> = channels.iter().map(|channel| channel.key.as_str()).collect();
    for (key, entry) in
        ["update", "set"].into_iter().flat_map(|key| entries(step, key).iter().map(move |e| (key, e)))
    {
        let Some(channel) = channels.iter().find(|channel| channel.key == entry.key) else {
            let help = if names.is_empty() {
                format!("declare it: `state: {{ {}: {{ reduce: replace }} }}`", entry.key)
            } else {
                suggest(&entry.key, &names, "the channels")
            };
            report.add("BW401", entry.key_span, format!("there is no channel `{}`", entry.key), help);
            continue;
        };
        let schema = schemas.of(channel.value.get("schema"));
        if key == "update" {
            operand(report, channel, &entry.value);
            if reducer(channel) == "replace" {
                literal(report, schema, &entry.value, "the channel's schema");
            }
            continue;
        }
        literal(report, schema, &entry.value, "the channel's schema");
        if outline.scopes[scope].owner.is_some() && keep(channel) != "branch" {
            let message = format!("`set` of `{}`, which branches share", entry.key);
            let help = "use `update`, whose operations are joined; or give each branch its own copy by `keep: branch`";
            report.add("BW405", entry.key_span, message, help);
        }
    }
}

fn entries<'t>(step: &Step<'t>, key: &str) -> &'t [Entry] {
    step.get(key).map(Node::entries).unwrap_or_default()
}

/// `replace` by several at once: which one wins would be an accident.
fn concurrent(report: &mut Report<'_>, outline: &Outline<'_>, step: &Step<'_>) {
    let help = "let each give it in its `result`, and set the channel in the block's own `update` from `output.results`; or `keep: branch`";
    let channels = outline.file.get("state").map(Node::entries).unwrap_or_default();
    let shared = channels.iter().filter(|channel| reducer(channel) == "replace" && keep(channel) != "branch");
    for channel in shared {
        let written: Vec<(usize, Span)> = step
            .inner
            .iter()
            .enumerate()
            .flat_map(|(branch, scope)| {
                replaced(outline, *scope, &channel.key).into_iter().map(move |at| (branch, at))
            })
            .collect();
        if step.kind_name() == "map" {
            for (_, at) in &written {
                let message = format!(
                    "every item of the map replaces `{}`: the last one to be joined would win",
                    channel.key
                );
                report.add("BW404", *at, message, help);
            }
            continue;
        }
        let ids: Vec<&str> = step
            .inner
            .iter()
            .map(|scope| {
                outline.scopes[*scope]
                    .owner
                    .and_then(|owner| owner.branch)
                    .map_or("", |branch| branch.key.as_str())
            })
            .collect();
        let before: Vec<_> = step.inner.iter().map(|scope| waits_for(outline, *scope)).collect();
        let ordered = |a: usize, b: usize| before[a].contains(ids[b]) || before[b].contains(ids[a]);
        for (index, (branch, at)) in written.iter().enumerate() {
            let other =
                written[..index].iter().find(|(other, _)| other != branch && !ordered(*other, *branch));
            if let Some((other, _)) = other {
                let message = format!(
                    "the branches `{}` and `{}` both replace `{}`, and nothing orders them",
                    ids[*other], ids[*branch], channel.key
                );
                report.add("BW404", *at, message, help);
            }
        }
    }
}

/// The branches that a branch waits for, transitively, in its own block.
fn waits_for(outline: &Outline<'_>, scope: usize) -> std::collections::BTreeSet<String> {
    let mut seen = std::collections::BTreeSet::new();
    let Some(owner) = outline.scopes[scope].owner else { return seen };
    let siblings = outline.owner_step(owner).of_kind("branches").map(Node::entries).unwrap_or_default();
    let mut open: Vec<&Entry> = owner.branch.into_iter().collect();
    while let Some(branch) = open.pop() {
        for name in
            branch.value.get("after").map(Node::items).unwrap_or_default().iter().filter_map(Node::text)
        {
            if seen.insert(name.to_owned()) {
                open.extend(siblings.iter().find(|sibling| sibling.key == name));
            }
        }
    }
    seen
}

/// Where a scope and those inside it update a channel, in file order.
fn replaced(outline: &Outline<'_>, scope: usize, channel: &str) -> Vec<Span> {
    let mut found = Vec::new();
    let mut open = vec![scope];
    while let Some(scope) = open.pop() {
        for step in &outline.scopes[scope].nodes {
            let update = entries(step, "update").iter().find(|entry| entry.key == channel);
            found.extend(update.map(|entry| entry.key_span));
            open.extend(&step.inner);
        }
    }
    found.sort();
    found
}
