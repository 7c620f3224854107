//! The workflow file: text to a checked [`Graph`], or diagnostics.
//!
//! [`check`] reads one strict YAML file, tells every problem in one pass, and, when there is none, gives the graph that
//! the engine runs. It opens no file and knows no component: what lies outside of the text it asks a [`Resolver`] for.
//! It runs nothing, stores nothing and prints nothing.
//!
//! The way of a file: `yaml` (a tree that knows its places), `shape` against the table in `grammar`, `outline` (scopes,
//! nodes, edges), then the checks that need more than one place: `structure`, `schemas`, `channels`, `expressions` with
//! `places` and `unset`, `triggers` with [`cron`], `advice`, `plugins`, `arguments`; last `lower`.
//! `editor` makes the JSON Schema for editors from the same table; `drawing` draws a graph.

mod advice;
mod arguments;
mod channels;
mod children;
pub mod cron;
mod diagnostic;
mod document;
mod drawing;
mod editor;
mod expressions;
mod feature;
mod files;
mod grammar;
mod grants;
mod graph_paths;
mod inputs;
mod literal;
mod lower;
mod outline;
mod places;
mod plugins;
mod quantity;
mod resolver;
mod schemas;
mod shape;
mod source;
mod structure;
mod triggers;
mod unset;
mod yaml;

use std::collections::BTreeMap;

use bandstand_engine::Graph;

pub use diagnostic::{CODES, Code, Diagnostic, Severity, code, render};
pub use document::document;
pub use drawing::{graph_dot, graph_mermaid};
pub use editor::json_schema;
pub use feature::{Feature, Features, features};
pub use files::beside;
pub use grants::grant_example;
pub use quantity::{duration_ms, nearest};
pub use resolver::{FileProblem, Need, Needs, Permitted, PluginFacts, PluginProblem, Resolver};

use diagnostic::Report;
use source::{Source, Span};
use yaml::Node;

/// Largest workflow file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How a file is checked.
#[derive(Clone, Default)]
pub struct Options<'a> {
    /// The file's name for people; its last part is the name by which children may call it in a circle.
    pub file: String,
    /// Answers what lies outside of the text; without one the `BW6xx` codes are left out, and a file that needs other
    /// files gives no graph.
    pub resolver: Option<&'a dyn Resolver>,
    /// What the build has beyond the core.
    pub features: Features,
}

/// What `check` found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Every problem, by position; after those of the file those of its children.
    pub diagnostics: Vec<Diagnostic>,
    /// The graph, when there is no error, no feature that the build lacks, and every file could be read.
    pub graph: Option<Graph>,
    /// What the file needs from outside. What its children need they ask for themselves.
    pub needs: Needs,
    /// The texts of child files that have problems, by the `file` of their diagnostics.
    pub texts: BTreeMap<String, String>,
}

impl Checked {
    fn refused(report: Report<'_>) -> Checked {
        let diagnostics = report.finish();
        Checked { diagnostics, graph: None, needs: Needs::default(), texts: BTreeMap::new() }
    }

    /// Whether the file has an error; warnings are none.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// Checks a workflow file, and with a resolver its children.
pub fn check(bytes: &[u8], options: &Options<'_>) -> Checked {
    check_inner(bytes, options, &children::Followed::default())
}

fn check_inner(bytes: &[u8], options: &Options<'_>, followed: &children::Followed) -> Checked {
    if bytes.len() > FILE_BYTES_MAX {
        return too_large(bytes, options);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => check_text(text, options, followed),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let source = Source::new(&valid);
            let mut report = Report::new(&source, &options.file);
            let at = Span::new(valid.len(), valid.len());
            report.add("BW102", at, "the file is not UTF-8", "save it as UTF-8");
            Checked::refused(report)
        }
    }
}

fn too_large(bytes: &[u8], options: &Options<'_>) -> Checked {
    let text = String::from_utf8_lossy(&bytes[..FILE_BYTES_MAX]);
    let source = Source::new(&text);
    let mut report = Report::new(&source, &options.file);
    let message = format!("the file has {} bytes, at most {FILE_BYTES_MAX} (1 MiB) are allowed", bytes.len());
    let help = "put long texts into files of their own: `constants: { text: { path: FILE } }`";
    report.add("BW114", Span::new(text.len(), text.len()), message, help);
    Checked::refused(report)
}

fn check_text(text: &str, options: &Options<'_>, followed: &children::Followed) -> Checked {
    let source = Source::new(text);
    let mut report = Report::new(&source, &options.file);
    let root = yaml::parse(&mut report);
    let Some(root) = root.filter(|_| !report.has(&["BW102", "BW103", "BW104"])) else {
        return Checked::refused(report);
    };
    if !root.is_map() {
        let message = format!("found {}, wanted the keys of a workflow", root.found());
        report.add("BW106", root.span, message, "a workflow starts with `format: 1`");
        return Checked::refused(report);
    }
    check_tree(report, &root, options, followed)
}

fn check_tree(
    mut report: Report<'_>,
    root: &Node,
    options: &Options<'_>,
    followed: &children::Followed,
) -> Checked {
    let source = report.source;
    let shaped = shape::check(&mut report, &options.features, root);
    let outline = outline::Outline::new(root);
    let mut files = files::Files::new(options.resolver);
    structure::check(&mut report, &outline);
    let schemas = schemas::check(&mut report, &outline, &mut files);
    channels::check(&mut report, &outline, &schemas);
    let declared = declared(root, &schemas);
    let uses = expressions::check(&mut report, &outline, &shaped, &declared);
    triggers::check(&mut report, &outline);
    advice::check(&mut report, &outline, &uses);
    let constants = lower::constants(&mut report, root, &mut files);
    let templates = plugins::templates(&mut report, root, &mut files, &uses);
    let mut needs = Needs::default();
    if let Some(resolver) = options.resolver {
        files.children(&mut report, root, &options.file);
        needs.plugins = plugins::check(&mut report, root, resolver);
        inputs::check(&mut report, &outline, &needs.plugins);
        arguments::check(&mut report, &outline, &needs.plugins);
    }
    let mut children = children::Children::default();
    if !report.has(&["BW606"]) {
        children = children::check(&mut report, root, &mut files, options, followed);
    }
    files.left_out |= options.resolver.is_none() && root.get("workflows").is_some();
    needs.files = std::mem::take(&mut files.asked);
    let mut graph = None;
    if !report.has_errors() && !report.has(&["BW109"]) && !files.left_out {
        let outline = &outline;
        let workflows = children.workflows;
        let is_parent = !workflows.is_empty();
        graph =
            lower::Lower { source, outline, schemas: &schemas, constants, templates, children: workflows }
                .graph();
        if is_parent && graph.as_ref().is_some_and(|graph| !children::reads_back(graph)) {
            let at = root.entry("workflows").map_or(root.span, |entry| entry.key_span);
            let message = "the workflow and its children nest too deep in each other to be kept";
            report.add("BW114", at, message, "nest children, blocks and literal values less deep");
            graph = None;
        } else if graph.is_none() {
            // Never a silent nothing: a gap in the checks is told as what it is.
            let message = "the file passed every check, but no graph could be made of it: this is a mistake of the host";
            report.add("BW102", root.span, message, "report it with the file");
        }
    }
    let mut diagnostics = report.finish();
    diagnostics.extend(children.diagnostics);
    Checked { diagnostics, graph, needs, texts: children.texts }
}

fn declared<'t>(root: &'t Node, schemas: &schemas::Schemas) -> expressions::Declared<'t> {
    let keys = |section: &str| root.get(section).map(Node::entries).unwrap_or_default().iter();
    let (templates, constants): (Vec<_>, Vec<_>) =
        keys("constants").partition(|entry| entry.value.entry("template").is_some());
    expressions::Declared {
        channels: keys("state").map(|entry| entry.key.as_str()).collect(),
        constants: constants.into_iter().map(|entry| entry.key.as_str()).collect(),
        templates: templates.into_iter().map(|entry| entry.key.as_str()).collect(),
        input: schemas.of(root.get("input")).and_then(schemas::properties),
    }
}
