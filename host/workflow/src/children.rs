//! The workflows that a file runs as children: each is checked as a file of its own, with everything it names, and becomes
//! a part of its parent's graph. That children have the version that is asked for and call nobody in a circle is told in
//! `files`.

use std::cell::Cell;
use std::collections::BTreeMap;

use bandstand_engine::Graph;
use bandstand_engine::graph::{ChildWorkflow, PluginSource};
use bandstand_engine::id::Id;

use crate::diagnostic::{Diagnostic, Report, Severity};
use crate::files::{Files, beside};
use crate::resolver::{FileProblem, Permitted, PluginFacts, PluginProblem, Resolver};
use crate::yaml::Node;
use crate::{Options, check_inner};

/// Most child workflows of a file, those of its children and so on included, each as often as it is named.
const CHILDREN_MAX: usize = 256;

/// How far the children of one file have been followed.
#[derive(Default)]
pub(crate) struct Followed {
    count: Cell<usize>,
}

/// What the children came to.
#[derive(Default)]
pub(crate) struct Children {
    pub(crate) workflows: BTreeMap<Id, ChildWorkflow>,
    /// Their problems, each with its own file.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The texts of the files that have problems.
    pub(crate) texts: BTreeMap<String, String>,
}

/// Checks the children of a file that was found to call nobody in a circle.
pub(crate) fn check(
    report: &mut Report<'_>,
    file: &Node,
    files: &mut Files<'_>,
    options: &Options<'_>,
    followed: &Followed,
) -> Children {
    let mut children = Children::default();
    let Some(resolver) = options.resolver else { return children };
    for entry in file.get("workflows").map(Node::entries).unwrap_or_default() {
        let (Some(path), Ok(id)) = (entry.value.get("path"), Id::new(&entry.key)) else { continue };
        // What cannot be read, or is no workflow at all, has been told.
        let (Some(name), Some(source)) = (path.text(), files.text(report, path)) else { continue };
        followed.count.set(followed.count.get() + 1);
        if followed.count.get() > CHILDREN_MAX {
            let message = format!("more than {CHILDREN_MAX} child workflows, those of the children included");
            report.add("BW114", path.span, message, "run some of them by themselves, or fewer of them");
            return children;
        }
        let inner = Beside { inner: resolver, file: name };
        let options = Options {
            file: beside(&options.file, name),
            resolver: Some(&inner),
            features: options.features.clone(),
        };
        let checked = check_inner(source.as_bytes(), &options, followed);
        if !checked.diagnostics.is_empty() {
            children.texts.insert(options.file.clone(), source.clone());
        }
        children.texts.extend(checked.texts);
        let errors = checked.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        children.diagnostics.extend(checked.diagnostics);
        match checked.graph {
            Some(graph) => {
                let (source, graph) = (source.into(), graph.into());
                children.workflows.insert(id, ChildWorkflow { path: name.to_owned(), source, graph });
            }
            // One that needs a feature the build lacks has told so itself, with a warning.
            None if errors == 0 => files.left_out = true,
            None => {
                let message = format!("the child file {} has {errors} error{}", options.file, plural(errors));
                report.add("BW601", path.span, message, "they are told with it; mend them first");
            }
        }
    }
    children.diagnostics.dedup();
    children
}

/// Whether a graph with its children can be kept: written as JSON it must read back.
pub(crate) fn reads_back(graph: &Graph) -> bool {
    serde_json::to_string(graph).is_ok_and(|text| serde_json::from_str::<Graph>(&text).is_ok())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Answers the questions of a child, whose paths are relative to its own file.
struct Beside<'a> {
    inner: &'a dyn Resolver,
    /// The child's file, as its parent names it.
    file: &'a str,
}

impl Beside<'_> {
    fn source(&self, source: &PluginSource) -> PluginSource {
        match source {
            PluginSource::Path(path) => PluginSource::Path(beside(self.file, path)),
            PluginSource::Builtin(name) => PluginSource::Builtin(name.clone()),
        }
    }
}

impl Resolver for Beside<'_> {
    fn read(&self, path: &str, size_bytes_max: usize) -> Result<Vec<u8>, FileProblem> {
        self.inner.read(&beside(self.file, path), size_bytes_max)
    }

    fn plugin(&self, source: &PluginSource, function: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        self.inner.plugin(&self.source(source), function)
    }

    fn builtins(&self) -> Vec<String> {
        self.inner.builtins()
    }

    fn permitted(&self, source: &PluginSource, digest: &str) -> Option<Permitted> {
        self.inner.permitted(&self.source(source), digest)
    }

    fn tool(&self, id: &str) -> Option<Result<Vec<String>, String>> {
        self.inner.tool(id)
    }

    fn tools(&self) -> Vec<String> {
        self.inner.tools()
    }

    fn in_project(&self, path: &str) -> String {
        self.inner.in_project(&beside(self.file, path))
    }

    fn directory(&self, path: &str) -> Result<(), FileProblem> {
        self.inner.directory(&beside(self.file, path))
    }

    fn kept_env(&self, name: &str) -> Option<String> {
        self.inner.kept_env(name)
    }
}
