//! A graph as text for drawing tools: Mermaid and DOT. Nodes with their kind, edges with what takes them, branches and
//! bodies as groups. Nothing here looks at files.

use std::collections::BTreeMap;
use std::fmt::Write;

use bandstand_engine::Graph;
use bandstand_engine::graph::{
    Body, Edges, Exit, Join, Kind, MaxErrors, Node, OnFailure, OnTimeout, Route, ScopeGraph, Target,
};
use bandstand_engine::id::Id;

/// The graph in the language of Mermaid.
pub fn graph_mermaid(graph: &Graph) -> String {
    let drawing = Drawing::of(graph);
    let mut text = String::from("flowchart TD\n");
    drawing.mermaid_group(None, 1, &mut text);
    for line in &drawing.lines {
        let arrow = if line.dashed { "-.->" } else { "-->" };
        let label = if line.label.is_empty() {
            String::new()
        } else {
            format!("|\"{}\"|", mermaid_text(&line.label))
        };
        let _ = writeln!(text, "  p{} {arrow}{label} p{}", line.from, line.to);
    }
    text
}

/// The graph in the language of Graphviz.
pub fn graph_dot(graph: &Graph) -> String {
    let drawing = Drawing::of(graph);
    let mut text = format!("digraph {} {{\n", dot_text(&graph.name));
    text.push_str("  node [shape=box, style=rounded];\n");
    drawing.dot_group(None, 1, &mut text);
    for line in &drawing.lines {
        let style = if line.dashed { ", style=dashed" } else { "" };
        let _ = writeln!(text, "  p{} -> p{} [label={}{style}];", line.from, line.to, dot_text(&line.label));
    }
    text.push_str("}\n");
    text
}

/// What is drawn, without a language.
#[derive(Default)]
struct Drawing {
    points: Vec<Point>,
    lines: Vec<Line>,
    groups: Vec<Group>,
}

struct Point {
    group: Option<usize>,
    label: String,
    outline: Outline,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outline {
    Box,
    Round,
    Person,
    Block,
    Stop,
}

struct Line {
    from: usize,
    to: usize,
    label: String,
    dashed: bool,
}

struct Group {
    parent: Option<usize>,
    label: String,
}

impl Drawing {
    fn of(graph: &Graph) -> Drawing {
        let mut drawing = Drawing::default();
        drawing.scope(&graph.root, None);
        drawing
    }

    fn point(&mut self, group: Option<usize>, label: impl Into<String>, outline: Outline) -> usize {
        self.points.push(Point { group, label: label.into(), outline });
        self.points.len() - 1
    }

    fn line(&mut self, from: usize, to: usize, label: impl Into<String>, dashed: bool) {
        self.lines.push(Line { from, to, label: label.into(), dashed });
    }

    /// Draws a scope; gives the point where it starts.
    fn scope(&mut self, scope: &ScopeGraph, group: Option<usize>) -> usize {
        let start = self.point(group, "start", Outline::Round);
        let mut of: BTreeMap<&Id, usize> = BTreeMap::new();
        for (id, node) in &scope.nodes {
            of.insert(id, self.point(group, label(id.as_str(), node), outline(node)));
        }
        let end = self.point(group, "end", Outline::Round);
        if let Some(first) = of.get(&scope.start) {
            self.line(start, *first, "", false);
        }
        let target = |target: &Target| match target {
            Target::End => end,
            Target::Node(id) => of.get(id).copied().unwrap_or(end),
        };
        for (id, node) in &scope.nodes {
            let Some(from) = of.get(id).copied() else { continue };
            self.exits(from, node, &target);
            self.bodies(from, node, group);
        }
        start
    }

    fn exits(&mut self, from: usize, node: &Node, target: &dyn Fn(&Target) -> usize) {
        match &node.exit {
            Some(Exit::Next(edges)) => self.edges(from, edges, "", target),
            Some(Exit::Route(route)) => self.route(from, route, target),
            None => {}
        }
        for (edges, name) in [(&node.approved, "approved"), (&node.rejected, "rejected")] {
            if let Some(edges) = edges {
                self.edges(from, edges, name, target);
            }
        }
        if let Kind::Review(review) = &node.kind
            && let OnTimeout::To(to) = &review.on_timeout
        {
            self.line(from, target(to), "on-timeout", true);
        }
        if let Kind::Signal(wait) = &node.kind
            && let Some(to) = &wait.on_timeout
        {
            self.line(from, target(to), "on-timeout", true);
        }
        for id in &node.goto {
            self.line(from, target(&Target::Node(id.clone())), "goto", true);
        }
        if let Some(OnFailure::To(edges)) = &node.on_failure {
            let first = self.lines.len();
            self.edges(from, edges, "on-failure", target);
            self.lines[first..].iter_mut().for_each(|line| line.dashed = true);
        }
    }

    fn edges(&mut self, from: usize, edges: &Edges, name: &str, target: &dyn Fn(&Target) -> usize) {
        let lead = if name.is_empty() { String::new() } else { format!("{name}: ") };
        for arm in &edges.when {
            self.line(from, target(&arm.to), format!("{lead}{}", arm.when.source()), false);
        }
        let label = match (name, edges.when.is_empty()) {
            ("", true) => String::new(),
            (name, true) => name.to_owned(),
            (_, false) => format!("{lead}else"),
        };
        self.line(from, target(&edges.otherwise), label, false);
    }

    fn route(&mut self, from: usize, route: &Route, target: &dyn Fn(&Target) -> usize) {
        for (option, to) in &route.to {
            self.line(from, target(to), format!("route: {option}"), false);
        }
        if let Some(below) = &route.below {
            self.line(from, target(below), format!("below {}", route.threshold), false);
        }
        if let Some(default) = &route.default {
            self.line(from, target(default), "default", false);
        }
    }

    /// Draws what a block holds, each branch or body in a group.
    fn bodies(&mut self, block: usize, node: &Node, group: Option<usize>) {
        match &node.kind {
            Kind::Parallel(parallel) => {
                let mut starts: BTreeMap<&Id, usize> = BTreeMap::new();
                for branch in &parallel.branches {
                    let inner = self.group(group, format!("branch {}", branch.id));
                    starts.insert(&branch.id, self.body(&branch.body, branch.id.as_str(), inner));
                }
                for branch in &parallel.branches {
                    let Some(to) = starts.get(&branch.id).copied() else { continue };
                    if branch.after.is_empty() {
                        self.line(block, to, "", true);
                    }
                    for after in branch.after.iter().filter_map(|after| starts.get(after).copied()) {
                        self.line(after, to, "after", true);
                    }
                }
            }
            Kind::Map(map) => {
                let inner = self.group(group, format!("each {} of {}", map.item, map.over.source()));
                let start = self.body(&map.body, map.item.as_str(), inner);
                self.line(block, start, "each", true);
            }
            _ => {}
        }
    }

    fn group(&mut self, parent: Option<usize>, label: String) -> usize {
        self.groups.push(Group { parent, label });
        self.groups.len() - 1
    }

    fn body(&mut self, body: &Body, name: &str, group: usize) -> usize {
        match body {
            Body::Graph(graph) => self.scope(graph, Some(group)),
            Body::Node(node) => {
                let point = self.point(Some(group), label(name, node), outline(node));
                self.bodies(point, node, Some(group));
                point
            }
        }
    }

    fn mermaid_group(&self, group: Option<usize>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        for (index, point) in self.points.iter().enumerate().filter(|(_, point)| point.group == group) {
            let (open, close) = match point.outline {
                Outline::Box => ("[", "]"),
                Outline::Round => ("([", "])"),
                Outline::Person => ("{{", "}}"),
                Outline::Block => ("[[", "]]"),
                Outline::Stop => (">", "]"),
            };
            let _ = writeln!(text, "{indent}p{index}{open}\"{}\"{close}", mermaid_text(&point.label));
        }
        for (index, inner) in self.groups.iter().enumerate().filter(|(_, inner)| inner.parent == group) {
            let _ = writeln!(text, "{indent}subgraph g{index} [\"{}\"]", mermaid_text(&inner.label));
            self.mermaid_group(Some(index), depth + 1, text);
            let _ = writeln!(text, "{indent}end");
        }
    }

    fn dot_group(&self, group: Option<usize>, depth: usize, text: &mut String) {
        let indent = "  ".repeat(depth);
        for (index, point) in self.points.iter().enumerate().filter(|(_, point)| point.group == group) {
            let shape = match point.outline {
                Outline::Box => "",
                Outline::Round => ", shape=oval",
                Outline::Person => ", shape=hexagon",
                Outline::Block => ", peripheries=2",
                Outline::Stop => ", shape=octagon",
            };
            let _ = writeln!(text, "{indent}p{index} [label={}{shape}];", dot_text(&point.label));
        }
        for (index, inner) in self.groups.iter().enumerate().filter(|(_, inner)| inner.parent == group) {
            let _ = writeln!(text, "{indent}subgraph cluster_{index} {{");
            let _ = writeln!(text, "{indent}  label={};", dot_text(&inner.label));
            self.dot_group(Some(index), depth + 1, text);
            let _ = writeln!(text, "{indent}}}");
        }
    }
}

fn label(id: &str, node: &Node) -> String {
    let what = match &node.kind {
        Kind::Agent(agent) => format!("agent {}", agent.plugin),
        Kind::Workflow(child) => format!("workflow {}", child.workflow),
        Kind::Wait { for_ms } => format!("wait {}", span(*for_ms)),
        Kind::Signal(wait) => format!("wait for {}", wait.signal),
        Kind::Fail(fail) => format!("fail {}", fail.code),
        Kind::Parallel(parallel) => format!("parallel, {}", join(parallel.join, parallel.max_errors)),
        Kind::Map(map) => format!("map, {}", join(map.join, map.max_errors)),
        kind => kind.name().to_owned(),
    };
    format!("{id}\n{what}")
}

fn join(join: Join, max_errors: Option<MaxErrors>) -> String {
    let name = match join {
        Join::Settle => "settle".to_owned(),
        Join::All => "all".to_owned(),
        Join::Any => "any".to_owned(),
        Join::Quorum(count) => format!("quorum {count}"),
    };
    match max_errors {
        Some(MaxErrors::Count(count)) => format!("{name}, max-errors {count}"),
        Some(MaxErrors::Percent(percent)) => format!("{name}, max-errors {percent}%"),
        None => name,
    }
}

/// The span in the greatest unit that holds it.
fn span(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fitting = units.into_iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

fn outline(node: &Node) -> Outline {
    match &node.kind {
        Kind::Review(_) => Outline::Person,
        Kind::Parallel(_) | Kind::Map(_) => Outline::Block,
        Kind::Fail(_) => Outline::Stop,
        _ => Outline::Box,
    }
}

fn mermaid_text(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('\n', "<br/>")
}

fn dot_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
