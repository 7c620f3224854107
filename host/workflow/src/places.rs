//! Where expressions stand, and which names each place has.

use std::collections::BTreeSet;

use crate::outline::{Outline, Step};
use crate::yaml::{Node, Yaml};

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// `initial` of a channel.
    Initial,
    /// `input` and `key` of a trigger.
    Trigger,
    /// What a node evaluates on entry.
    Before,
    /// `update`, `set` and exits of a node that succeeded.
    After,
    /// `on-failure` of a node.
    OnFailure,
    /// The `result` of a scope.
    Result,
}

/// A place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) at: At,
    pub(crate) scope: usize,
    /// The node in the scope; `None` for results and the top of the file.
    pub(crate) node: Option<usize>,
}

/// Whether the value is an expression or a value with expressions in its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Expression,
    Template,
}

/// Calls `visit` for every value of the file that may hold expressions.
pub(crate) fn visit<'t>(outline: &Outline<'t>, mut visit: impl FnMut(&'t Node, Form, Place)) {
    let file = outline.file;
    for channel in file.get("state").map(Node::entries).unwrap_or_default() {
        if let Some(initial) = channel.value.get("initial") {
            visit(initial, Form::Template, Place { at: At::Initial, scope: 0, node: None });
        }
    }
    for trigger in file.get("triggers").map(Node::items).unwrap_or_default() {
        let place = Place { at: At::Trigger, scope: 0, node: None };
        trigger.get("input").into_iter().for_each(|input| visit(input, Form::Template, place));
        trigger.get("key").into_iter().for_each(|key| visit(key, Form::Expression, place));
    }
    for (scope, body) in outline.scopes.iter().enumerate() {
        if let Some(result) = body.result {
            visit(result, Form::Template, Place { at: At::Result, scope, node: None });
        }
        for (node, step) in body.nodes.iter().enumerate() {
            visit_node(step, &mut |value, form, at| {
                visit(value, form, Place { at, scope, node: Some(node) })
            });
        }
    }
}

fn visit_node<'t>(step: &Step<'t>, visit: &mut dyn FnMut(&'t Node, Form, At)) {
    let templates: &[&str] = match step.kind_name() {
        "review" => &["title", "reason", "propose"],
        "fail" => &["message", "data"],
        _ => &[],
    };
    for key in templates {
        step.of_kind(key).into_iter().for_each(|value| visit(value, Form::Template, At::Before));
    }
    match step.kind_name() {
        "review" => {
            let reviewers = step.of_kind("reviewers").map(Node::items).unwrap_or_default();
            reviewers.iter().for_each(|value| visit(value, Form::Template, At::Before));
        }
        "map" => step.of_kind("over").into_iter().for_each(|over| visit(over, Form::Expression, At::Before)),
        "value" => step.get("value").into_iter().for_each(|value| visit(value, Form::Template, At::Before)),
        _ => {}
    }
    step.get("input").into_iter().for_each(|input| visit(input, Form::Template, At::Before));
    let under = |outer: &str, inner: &str| step.get(outer).and_then(|outer| outer.get(inner));
    under("cache", "key").into_iter().for_each(|key| visit(key, Form::Expression, At::Before));
    under("compensate", "input").into_iter().for_each(|input| visit(input, Form::Template, At::After));
    for key in ["update", "set"] {
        step.get(key).into_iter().for_each(|value| visit(value, Form::Template, At::After));
    }
    for key in ["options", "key"] {
        under("route", key).into_iter().for_each(|value| visit(value, Form::Expression, At::After));
    }
    for (key, at) in
        [("next", At::After), ("approved", At::After), ("rejected", At::After), ("on-failure", At::OnFailure)]
    {
        let Some(value) = step.get(key) else { continue };
        if let Yaml::List(entries) = &value.value {
            entries
                .iter()
                .filter_map(|entry| entry.get("when"))
                .for_each(|when| visit(when, Form::Expression, at));
        }
        if at == At::OnFailure {
            value.get("value").into_iter().for_each(|value| visit(value, Form::Template, at));
        }
    }
}

/// All names there are anywhere, with where they are; items of maps come on top.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("input", "everywhere but in `triggers`"),
    ("constants", "everywhere"),
    ("state", "everywhere but in `initial` and `triggers`"),
    ("nodes", "in nodes and in `result`"),
    (
        "output",
        "in `update`, `set`, `next`, `route`, `approved`, `rejected` and `result`: once the node has one",
    ),
    ("visit", "in nodes"),
    ("error", "in nodes and in `result`"),
    ("review", "in nodes and in `result`"),
    ("branches", "in branches that have `after`"),
    ("run", "everywhere but in `triggers`"),
    ("now", "in nodes and in `result`"),
    ("trigger", "in `triggers`"),
];

/// The names that a place has.
pub(crate) fn names_at(outline: &Outline<'_>, place: Place) -> BTreeSet<String> {
    let in_node = matches!(place.at, At::Before | At::After | At::OnFailure);
    let in_graph = in_node || place.at == At::Result;
    let has = |name: &str| match name {
        "constants" => true,
        "input" | "run" => place.at != At::Trigger,
        "state" | "nodes" | "error" | "review" | "now" => in_graph,
        "output" => matches!(place.at, At::After | At::Result),
        "visit" => in_node,
        "trigger" => place.at == At::Trigger,
        "branches" => in_graph && outline.chain(place.scope).any(|scope| has_after(outline, scope)),
        _ => false,
    };
    let mut names: BTreeSet<String> =
        NAMES.iter().map(|(name, _)| *name).filter(|name| has(name)).map(str::to_owned).collect();
    if in_graph {
        for item in outline.chain(place.scope).filter_map(|scope| outline.item_name(scope)) {
            names.insert(item.to_owned());
            names.insert(format!("{item}_index"));
        }
    }
    names
}

fn has_after(outline: &Outline<'_>, scope: usize) -> bool {
    let branch = outline.scopes[scope].owner.and_then(|owner| owner.branch);
    branch.and_then(|branch| branch.value.get("after")).is_some_and(|after| !after.items().is_empty())
}

/// The branches whose result a scope sees, through `after`, transitively, of all enclosing blocks.
pub(crate) fn branches_at(outline: &Outline<'_>, scope: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for scope in outline.chain(scope) {
        let Some(owner) = outline.scopes[scope].owner else { continue };
        let Some(branch) = owner.branch else { continue };
        let siblings = outline.owner_step(owner).of_kind("branches").map(Node::entries).unwrap_or_default();
        let mut open = vec![branch];
        while let Some(branch) = open.pop() {
            for name in
                branch.value.get("after").map(Node::items).unwrap_or_default().iter().filter_map(Node::text)
            {
                let sibling = siblings.iter().find(|sibling| sibling.key == name);
                if let Some(sibling) = sibling.filter(|_| seen.insert(name.to_owned())) {
                    open.push(sibling);
                }
            }
        }
    }
    seen
}
