//! Nodes, exits and scopes: kinds and their keys, targets, reachability, cycles, blocks (`BW105`, `BW114`, `BW115`,
//! `BW202` to `BW218`, `BW501`, `BW502`). Names inside expressions are looked at elsewhere.

use std::collections::BTreeSet;

use crate::diagnostic::Report;
use crate::grammar::{BLOCKS_DEEP_MAX, BRANCHES_MAX, KEYS_OF_KINDS, KINDS, NODE, NODES_MAX};
use crate::graph_paths::Arrows;
use crate::outline::{By, Goal, Outline, Scope, Step};
use crate::quantity::{listed, suggest};
use crate::source::Span;
use crate::yaml::{Node, Yaml};

/// Tells everything that is wrong with the graph as a graph.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>) {
    counts(report, outline);
    for (index, scope) in outline.scopes.iter().enumerate() {
        for step in &scope.nodes {
            kind(report, scope, step);
            if scope.owner.is_some()
                && let Some(stage) = step.tree.entry("stage")
            {
                let help = "set the stage at the block, or at a node of the root scope";
                report.add("BW216", stage.key_span, "`stage` is possible in the root scope only", help);
            }
            block(report, outline, step);
            bodies(report, step);
            references(report, outline, step);
        }
        if !scope.sole {
            targets(report, outline, index);
            shape_of_graph(report, scope);
        }
        shadowing(report, outline, index);
    }
}

fn counts(report: &mut Report<'_>, outline: &Outline<'_>) {
    let mut nodes: Vec<Span> =
        outline.scopes.iter().flat_map(|scope| scope.nodes.iter().map(|step| step.key)).collect();
    nodes.sort();
    if let Some(first) = nodes.get(NODES_MAX) {
        let message = format!("more than {NODES_MAX} nodes in a file");
        report.add("BW114", *first, message, "split the workflow: a part of it can be a workflow of its own");
    }
    let branch = |scope: &Scope<'_>| scope.owner.and_then(|owner| owner.branch).map(|branch| branch.key_span);
    let mut branches: Vec<Span> = outline.scopes.iter().filter_map(branch).collect();
    branches.sort();
    if let Some(first) = branches.get(BRANCHES_MAX) {
        let message = format!("more than {BRANCHES_MAX} branches in a file");
        report.add("BW114", *first, message, "use `map` over a list instead of a branch each");
    }
    for index in 0..outline.scopes.len() {
        let depth = outline.chain(index).count() - 1;
        if let Some(owner) = outline.scopes[index].owner.filter(|_| depth == BLOCKS_DEEP_MAX + 1) {
            let step = outline.owner_step(owner);
            let at = step.kind.map_or(step.key, |kind| kind.key_span);
            let message = format!("blocks nested more than {BLOCKS_DEEP_MAX} deep");
            report.add("BW114", at, message, "move the inner blocks to a workflow of their own");
        }
    }
}

/// The node's kind, and whether its keys belong to it.
fn kind(report: &mut Report<'_>, scope: &Scope<'_>, step: &Step<'_>) {
    if !step.tree.is_map() {
        return;
    }
    let kinds: Vec<_> =
        step.tree.entries().iter().filter(|entry| KINDS.contains(&entry.key.as_str())).collect();
    for second in kinds.iter().skip(1) {
        let message = format!("`{}` beside `{}`: a node has one kind", second.key, kinds[0].key);
        report.add("BW210", second.key_span, message, "make two nodes of it, one after the other");
    }
    let kind = step.kind_name();
    let unknown = step.tree.entries().iter().any(|entry| NODE.key(&entry.key).is_none());
    // A misspelt kind would make every key of it a second problem.
    let judged = !(unknown && step.kind.is_none());
    for entry in step.tree.entries() {
        if scope.sole && sole_key(report, entry, kind) {
            continue;
        }
        let key = entry.key.as_str();
        if exit_key(report, entry, kind) || !judged {
            continue;
        }
        let Some((_, of)) = KEYS_OF_KINDS.iter().find(|(name, _)| *name == key) else { continue };
        if !of.contains(&kind) && !kinds.iter().any(|kind| of.contains(&kind.key.as_str())) {
            let what = if kind == "step" { "a node without a kind".to_owned() } else { format!("`{kind}`") };
            let kinds: Vec<&str> = of.iter().copied().filter(|kind| *kind != "step").collect();
            let message = format!("`{key}` is not a key of {what}");
            report.add("BW217", entry.key_span, message, format!("kinds that have it: {}", listed(&kinds)));
        }
    }
    if !scope.sole {
        exits(report, step, kind);
    }
    if scope.sole || kind == "wait" {
        on_timeout(report, scope, step, kind);
    }
}

/// What the node of a one-node body cannot have; whether it was told.
fn sole_key(report: &mut Report<'_>, entry: &crate::yaml::Entry, kind: &str) -> bool {
    let key = entry.key.as_str();
    if kind == "fail" && key == "on-failure" {
        return exit_key(report, entry, kind);
    }
    let node_to_node = key == "on-failure" && entry.value.entry("value").is_none() && !entry.value.is_map();
    if !matches!(key, "next" | "route" | "goto" | "approved" | "rejected") && !node_to_node {
        return false;
    }
    let message = format!("`{key}` is not possible on the only node of a branch or body: it ends with it");
    let help = if node_to_node {
        "use `on-failure: { value: .. }`, or write a graph: `nodes: { .. }`"
    } else {
        "leave it out, or write a graph: `nodes: { .. }`"
    };
    report.add("BW208", entry.key_span, message, help);
    true
}

/// An exit key that the kind cannot have at all; whether it was told.
fn exit_key(report: &mut Report<'_>, entry: &crate::yaml::Entry, kind: &str) -> bool {
    let key = entry.key.as_str();
    let exit = matches!(key, "next" | "route" | "approved" | "rejected" | "on-failure");
    let refused = match kind {
        "fail" => exit,
        "review" => matches!(key, "next" | "route"),
        _ => false,
    };
    if refused {
        let message = format!("`{key}` is not possible on `{kind}`");
        let help = match kind {
            "fail" => "a `fail` ends its scope: leave the exit out",
            _ => "a review is left by `approved` and `rejected`",
        };
        report.add("BW208", entry.key_span, message, help);
    }
    refused
}

fn exits(report: &mut Report<'_>, step: &Step<'_>, kind: &str) {
    match kind {
        "fail" => {}
        "review" => {
            for key in ["approved", "rejected"].into_iter().filter(|key| step.get(key).is_none()) {
                let message = format!("the review `{}` has no `{key}`", step.id);
                report.add("BW105", step.key, message, format!("add where it goes then: `{key}: end`"));
            }
        }
        _ => match (step.tree.entry("next"), step.tree.entry("route")) {
            (None, None) => {
                let message = format!("`{}` has no exit", step.id);
                report.add("BW202", step.key, message, "say where the run goes: `next: end`");
            }
            (Some(next), Some(route)) => {
                let second = next.key_span.max(route.key_span);
                report.add("BW115", second, "`next` cannot stand beside `route`", "keep one of them");
            }
            _ => {}
        },
    }
}

fn on_timeout(report: &mut Report<'_>, scope: &Scope<'_>, step: &Step<'_>, kind: &str) {
    let Some(entry) = step.kind.and_then(|kind| kind.value.entry("on-timeout")) else { return };
    if kind == "wait" && step.of_kind("for").is_some() {
        let help = "a wait for a time ends by itself: leave `on-timeout` out, or wait for a `signal`";
        report.add("BW218", entry.key_span, "`on-timeout` is not possible beside `for`", help);
    } else if scope.sole && entry.value.entry("to").is_some() {
        let message = "`on-timeout: { to }` is not possible on the only node of a branch or body";
        let help = "use `fail`, or `approve` or `reject` for a review; or write a graph: `nodes: { .. }`";
        report.add("BW218", entry.key_span, message, help);
    }
}

/// What a block says about its branches.
fn block(report: &mut Report<'_>, outline: &Outline<'_>, step: &Step<'_>) {
    let Some(kind) = step.kind else { return };
    let join = kind.value.get("join");
    if let Some(max_errors) = kind.value.entry("max-errors")
        && join.is_some_and(|join| join.text() != Some("settle"))
        && matches!(kind.key.as_str(), "parallel" | "map")
    {
        let help = "leave `max-errors` out, or use `join: settle`";
        report.add("BW215", max_errors.key_span, "`max-errors` is possible with `join: settle` only", help);
    }
    let quorum = |node: Option<&Node>| node.and_then(|node| node.integer().map(|count| (node.span, count)));
    match kind.key.as_str() {
        "parallel" => {
            let branches = kind.value.get("branches").map(Node::entries).unwrap_or_default().len() as u64;
            if let Some((at, count)) =
                quorum(join.and_then(|join| join.get("quorum"))).filter(|(_, n)| *n > branches)
            {
                let message =
                    format!("a quorum of {count} can never be reached: the number of branches is {branches}");
                report.add("BW214", at, message, format!("at most {branches}"));
            }
            after(report, outline, step);
        }
        "review" => {
            let reviewers = step.of_kind("reviewers").map(Node::items).unwrap_or_default();
            let users = reviewers
                .iter()
                .filter(|node| node.text().is_some_and(|text| text.starts_with("user:")))
                .count();
            let all_users = !reviewers.is_empty() && users == reviewers.len();
            if let Some((at, count)) =
                quorum(step.of_kind("quorum")).filter(|(_, n)| all_users && *n > users as u64)
            {
                let message = format!(
                    "a quorum of {count} can never be reached: the number of `user:` reviewers is {users}"
                );
                report.add("BW214", at, message, format!("at most {users}, or name a `group:`"));
            }
            for reviewer in reviewers {
                let fits = |text: &str| {
                    text.contains("${{")
                        || text
                            .strip_prefix("user:")
                            .or(text.strip_prefix("group:"))
                            .is_some_and(|id| !id.is_empty())
                };
                if reviewer.text().is_some_and(|text| !fits(text)) {
                    let message = format!("found {}, wanted a reviewer", reviewer.found());
                    report.add("BW107", reviewer.span, message, "`user:ID` or `group:ID`");
                }
            }
        }
        _ => {}
    }
}

/// A body is a graph or one node, not both.
fn bodies(report: &mut Report<'_>, step: &Step<'_>) {
    let branches = step.of_kind("branches").map(Node::entries).unwrap_or_default();
    let body = step.kind.filter(|kind| kind.key == "map").and_then(|kind| kind.value.entry("do"));
    for body in branches.iter().filter(|_| step.kind_name() == "parallel").chain(body) {
        let graph = ["nodes", "start"].into_iter().find_map(|key| body.value.entry(key));
        let Some(graph) = graph else { continue };
        if body.value.entry("nodes").is_none() {
            let help = "write `nodes`, or leave `start` out";
            report.add("BW105", body.key_span, "`start` without `nodes`", help);
        }
        for entry in body.value.entries().iter().filter(|entry| NODE.key(&entry.key).is_some()) {
            let second = entry.key_span.max(graph.key_span);
            let message =
                format!("`{}` cannot stand beside `{}`: a body is one node or a graph", entry.key, graph.key);
            report.add(
                "BW115",
                second,
                message,
                "move the key to a node under `nodes`, or leave `nodes` out",
            );
        }
    }
}

/// `after` names siblings, without a circle.
fn after(report: &mut Report<'_>, outline: &Outline<'_>, step: &Step<'_>) {
    let branches: Vec<_> =
        step.inner.iter().filter_map(|scope| outline.scopes[*scope].owner?.branch).collect();
    let names: Vec<&str> = branches.iter().map(|branch| branch.key.as_str()).collect();
    let mut arrows = Arrows::new(branches.len());
    for (index, branch) in branches.iter().enumerate() {
        for after in branch.value.get("after").map(Node::items).unwrap_or_default() {
            let Some(name) = after.text() else { continue };
            match names.iter().position(|sibling| *sibling == name) {
                Some(to) => arrows.add(index, to),
                None => {
                    let siblings: Vec<&str> =
                        names.iter().copied().filter(|name| *name != branch.key).collect();
                    let message = format!("`{name}` is not a branch of this block");
                    report.add("BW212", after.span, message, suggest(name, &siblings, "siblings"));
                }
            }
        }
    }
    for circle in arrows.circles() {
        let first = circle.iter().copied().min().unwrap_or_default();
        let at =
            branches[first].value.get("after").and_then(|after| after.items().first()).map(|node| node.span);
        let walk = arrows
            .round(&circle, first)
            .into_iter()
            .map(|index| names[index])
            .collect::<Vec<_>>()
            .join(" -> ");
        let help = format!("the circle: {walk}; take one of them out");
        report.add(
            "BW213",
            at.unwrap_or(branches[first].key_span),
            "branches wait for one another in a circle",
            help,
        );
    }
}

/// Plugins and children that a node names.
fn references(report: &mut Report<'_>, outline: &Outline<'_>, step: &Step<'_>) {
    let mut agents: Vec<&Node> = step.get("agent").into_iter().collect();
    agents.extend(step.get("compensate").and_then(|compensate| compensate.get("agent")));
    for (value, section, code) in agents
        .into_iter()
        .map(|agent| (agent, "plugins", "BW501"))
        .chain(step.get("workflow").map(|child| (child, "workflows", "BW502")))
    {
        let Some(name) = value.text() else { continue };
        let declared = outline.file.get(section).map(Node::entries).unwrap_or_default();
        if declared.iter().any(|entry| entry.key == name) {
            continue;
        }
        let names: Vec<&str> = declared.iter().map(|entry| entry.key.as_str()).collect();
        let message = format!("`{name}` is not declared in `{section}`");
        let help = if names.is_empty() {
            let example = if section == "plugins" {
                "{ path: plugins/NAME.wasm }"
            } else {
                "{ path: FILE, version: 1 }"
            };
            format!("declare it: `{section}: {{ {name}: {example} }}`")
        } else {
            suggest(name, &names, "declared")
        };
        report.add(code, value.span, message, help);
    }
}

/// Targets exist in this scope; lists of exits are total.
fn targets(report: &mut Report<'_>, outline: &Outline<'_>, index: usize) {
    let scope = &outline.scopes[index];
    let ids: Vec<&str> = scope.nodes.iter().map(|step| step.id).collect();
    let mut judge = |to: &Node, end: bool| {
        let Some(name) = to.text() else { return };
        if (end && name == "end") || scope.find(name).is_some() {
            return;
        }
        let elsewhere = outline.scopes.iter().any(|scope| scope.find(name).is_some());
        if elsewhere {
            let message = format!("`{name}` is a node of another scope");
            let help = "an exit leads to a node of its own scope; leave a block early by `fail`, `join: any`, or a flag in its `result`";
            report.add("BW206", to.span, message, help);
        } else {
            let mut near = ids.clone();
            if end {
                near.push("end");
            }
            report.add(
                "BW201",
                to.span,
                format!("there is no node `{name}`"),
                suggest(name, &near, "the nodes here"),
            );
        }
    };
    if let Some(start) = scope.start {
        judge(start, false);
    }
    for step in &scope.nodes {
        for edge in &step.edges {
            judge(edge.to, edge.by != By::Goto);
        }
    }
    for step in &scope.nodes {
        for edge in step.edges.iter().filter(|edge| edge.by == By::OnFailure) {
            if edge.to.text() == Some(step.id) {
                let help = "use `retry` to try again, or go to another node";
                report.add("BW209", edge.to.span, "`on-failure` leads to the node itself", help);
            }
        }
        for key in ["next", "approved", "rejected", "on-failure"] {
            let Some(Yaml::List(entries)) = step.get(key).map(|value| &value.value) else { continue };
            entry_order(report, entries);
        }
    }
}

fn entry_order(report: &mut Report<'_>, entries: &[Node]) {
    let Some((last, before)) = entries.split_last() else { return };
    for entry in before.iter().filter(|entry| entry.is_map() && entry.entry("when").is_none()) {
        let help = "it hides the entries after it: give it a `when`, or put it last";
        report.add("BW204", entry.span, "an entry without `when` that is not the last", help);
    }
    if let Some(when) = last.get("when") {
        let help = "the list must be total: add a last entry without `when`, for example `- { to: end }`";
        report.add("BW203", when.span, "the last entry has `when`, so there may be no way out", help);
    }
}

/// Every node is reachable, and every cycle has a way out.
fn shape_of_graph(report: &mut Report<'_>, scope: &Scope<'_>) {
    let arrows = Arrows::of_scope(scope);
    if let Some(start) = scope.first() {
        let reached = arrows.reached(start);
        for (index, step) in scope.nodes.iter().enumerate().filter(|(index, _)| !reached.contains(index)) {
            let message = format!("no path reaches `{}`", scope.nodes[index].id);
            let help = format!("let a node lead to it (`next: {}`), or take it out", step.id);
            report.add("BW205", step.key, message, help);
        }
    }
    for circle in arrows.circles() {
        let inside: BTreeSet<usize> = circle.iter().copied().collect();
        let leaves = |step: &Step<'_>| {
            step.edges.iter().any(|edge| !matches!(edge.target, Some(Goal::Node(to)) if inside.contains(&to)))
        };
        if circle.iter().any(|index| leaves(&scope.nodes[*index])) {
            continue;
        }
        let first = circle.iter().copied().min().unwrap_or_default();
        let walk =
            arrows.round(&circle, first).into_iter().map(|index| scope.nodes[index].id).collect::<Vec<_>>();
        let message = format!("a cycle without a way out: {}", walk.join(" -> "));
        let help =
            "give one of its nodes a condition: `next: [{ when: \"visit >= 3\", to: end }, { to: .. }]`";
        report.add("BW207", scope.nodes[first].key, message, help);
    }
}

/// Ids of nodes, branches and items differ from those that enclose them.
fn shadowing(report: &mut Report<'_>, outline: &Outline<'_>, index: usize) {
    let Some(owner) = outline.scopes[index].owner else { return };
    let scope = &outline.scopes[index];
    let enclosing: Vec<usize> = outline.chain(index).skip(1).collect();
    let mut tell = |id: &str, at: Span, what: &str| {
        let help = format!("rename it, for example `{id}_2`");
        report.add("BW211", at, format!("`{id}` is already the name of {what}"), help);
    };
    if !scope.sole {
        for step in &scope.nodes {
            if enclosing.iter().any(|scope| outline.scopes[*scope].find(step.id).is_some()) {
                tell(step.id, step.key, "a node of an enclosing scope");
            }
        }
    }
    if let Some(branch) = owner.branch {
        let same = |scope: &usize| {
            let branch_of = outline.scopes[*scope].owner.and_then(|owner| owner.branch);
            branch_of.is_some_and(|outer| outer.key == branch.key)
        };
        if enclosing.iter().any(same) {
            tell(&branch.key, branch.key_span, "an enclosing branch");
        }
    }
    if let Some(item) = outline.item_name(index) {
        let step = outline.owner_step(owner);
        let at = step.of_kind("as").map(|name| name.span).or(step.kind.map(|kind| kind.key_span));
        let outer = enclosing.iter().filter_map(|scope| outline.item_name(*scope));
        let collides = |outer: &str| {
            outer == item || format!("{outer}_index") == item || format!("{item}_index") == outer
        };
        if let Some(at) = at.filter(|_| outer.into_iter().any(collides)) {
            tell(item, at, "an item of an enclosing map");
        }
    }
}
