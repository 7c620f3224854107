//! The files that a workflow file names: read through the resolver, once each, with their diagnostics (`BW601`, `BW605`
//! to `BW607`).

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Report;
use crate::resolver::{FileProblem, Resolver};
use crate::source::{Source, Span};
use crate::yaml::{self, Node};

/// Largest file that a workflow file may name, plugins aside.
const FILE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of child workflows.
const CHILDREN_DEEP_MAX: usize = 8;

/// Reads files and remembers them.
pub(crate) struct Files<'a> {
    resolver: Option<&'a dyn Resolver>,
    read: BTreeMap<String, Option<String>>,
    /// Every path that was asked for.
    pub(crate) asked: BTreeSet<String>,
    /// A file was needed and there was no resolver.
    pub(crate) left_out: bool,
}

impl<'a> Files<'a> {
    pub(crate) fn new(resolver: Option<&'a dyn Resolver>) -> Files<'a> {
        Files { resolver, read: BTreeMap::new(), asked: BTreeSet::new(), left_out: false }
    }

    /// The text of the file that a value names; `None` was told, or there is no resolver.
    pub(crate) fn text(&mut self, report: &mut Report<'_>, path: &Node) -> Option<String> {
        let name = path.text()?;
        self.asked.insert(name.to_owned());
        if let Some(known) = self.read.get(name) {
            return known.clone();
        }
        let Some(resolver) = self.resolver else {
            self.left_out = true;
            return None;
        };
        let text = match resolver.read(name, FILE_BYTES_MAX) {
            Ok(bytes) => String::from_utf8(bytes).ok().or_else(|| {
                report.add("BW601", path.span, format!("`{name}` is not text in UTF-8"), "save it as UTF-8");
                None
            }),
            Err(problem) => {
                file_problem(report, path.span, &problem);
                None
            }
        };
        self.read.insert(name.to_owned(), text.clone());
        text
    }

    /// The children: their version, and that they do not call each other in a circle.
    pub(crate) fn children(&mut self, report: &mut Report<'_>, file: &Node, own_name: &str) {
        for entry in file.get("workflows").map(Node::entries).unwrap_or_default() {
            let Some(path) = entry.value.get("path") else { continue };
            let Some(text) = self.text(report, path) else { continue };
            // What is wrong with it is told with the child.
            let Some(child) = tree(&text) else { continue };
            let (wanted, found) = (entry.value.get("version"), child.get("version").and_then(Node::integer));
            if let (Some(wanted), Some(found)) = (wanted, found)
                && wanted.integer().is_some_and(|wanted| wanted != found)
            {
                let message =
                    format!("the file has version {found}, not {}", wanted.integer().unwrap_or_default());
                report.add(
                    "BW605",
                    wanted.span,
                    message,
                    format!("look at what changed, then write `version: {found}`"),
                );
            }
            let own = own_name.rsplit('/').next().unwrap_or(own_name).to_owned();
            let name = normal(path.text().unwrap_or_default());
            if let Some(way) = self.circle(vec![own, name], &child) {
                let is_circle = way.split_last().is_some_and(|(last, before)| before.contains(last));
                let (message, what) = if is_circle {
                    ("workflows call each other in a circle".to_owned(), "the circle")
                } else {
                    let message = format!("workflows call each other more than {CHILDREN_DEEP_MAX} deep");
                    (message, "make this chain shorter")
                };
                report.add("BW606", path.span, message, format!("{what}: {}", way.join(" -> ")));
            }
        }
    }

    /// The way to a file that is on it already, or that is too deep.
    fn circle(&mut self, way: Vec<String>, child: &Node) -> Option<Vec<String>> {
        let last = way.last()?;
        if way[..way.len() - 1].contains(last) || way.len() > CHILDREN_DEEP_MAX + 1 {
            return Some(way);
        }
        for entry in child.get("workflows").map(Node::entries).unwrap_or_default() {
            let Some(path) = entry.value.get("path").and_then(Node::text) else { continue };
            let path = beside(last, path);
            let mut further = way.clone();
            further.push(path.clone());
            if way.contains(&path) {
                return Some(further);
            }
            let text = self.resolver.and_then(|resolver| resolver.read(&path, FILE_BYTES_MAX).ok());
            let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(grandchild) = text.as_deref().and_then(tree) else { continue };
            if let Some(circle) = self.circle(further, &grandchild) {
                return Some(circle);
            }
        }
        None
    }
}

/// Tells why a file cannot be read.
pub(crate) fn file_problem(report: &mut Report<'_>, at: Span, problem: &FileProblem) {
    let (code, help) = match problem {
        FileProblem::Outside { .. } => {
            ("BW607", "move the file into the project directory, that of `bandstand.toml`")
        }
        FileProblem::TooLarge { .. } => ("BW601", "make it smaller"),
        _ => ("BW601", "paths are relative to the workflow file"),
    };
    report.add(code, at, problem.to_string(), help);
}

fn tree(text: &str) -> Option<Node> {
    let source = Source::new(text);
    yaml::parse(&mut Report::new(&source, "")).filter(Node::is_map)
}

/// A path that `file` names, seen from where `file` is named. One from the root of the file system stays what it is.
pub fn beside(file: &str, path: &str) -> String {
    match file.rsplit_once('/') {
        _ if path.starts_with('/') => path.to_owned(),
        Some((directory, _)) if directory.starts_with('/') => {
            format!("/{}", normal(&format!("{directory}/{path}")))
        }
        Some((directory, _)) => normal(&format!("{directory}/{path}")),
        None => normal(path),
    }
}

/// The path without `.` and `..` where they can be resolved.
fn normal(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => {
                steps.pop();
            }
            _ => steps.push(step),
        }
    }
    steps.join("/")
}
