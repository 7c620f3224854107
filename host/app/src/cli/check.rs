//! `bandstand check`: every problem of workflow files in one pass, and what they ask to be granted. Runs nothing.

use std::path::PathBuf;

use bandstand_engine::graph::{Graph, PluginSource};
use clap::Args;

use super::context::Context;
use super::exit::{Exit, Failure};
use super::term::out::Tone;
use super::term::{safe, words};
use super::workflow::list::workflow_files;
use super::workflow::put;
use crate::api::Api;
use crate::project::load::{self, Loaded, Resolve};
use crate::project::permits::in_words;

/// What `check` is given.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The workflow files [default: all below the working directory]
    #[arg(value_name = "FILES")]
    pub files: Vec<PathBuf>,
    /// Leave out what needs plugins, schemas and other files
    #[arg(long)]
    pub no_resolve: bool,
}

/// Prints the problems: data, so on stdout.
pub fn execute(args: &CheckArgs, context: &Context) -> Result<Exit, Failure> {
    let files = if args.files.is_empty() { workflow_files(".".as_ref())? } else { args.files.clone() };
    if files.is_empty() {
        return Err(Failure::usage("there is no workflow file here")
            .help("name one, or start a project: bandstand init hello"));
    }
    if let Some(api) = context.api() {
        return by_server(api, &files, args, context);
    }
    let resolve = if args.no_resolve { Resolve::No } else { Resolve::Yes };
    let (mut errors, mut warnings) = (0, 0);
    for file in &files {
        let loaded = load::load(file, resolve)?;
        for found in &loaded.diagnostics {
            if load::is_error(found) {
                errors += 1;
            } else {
                warnings += 1;
            }
            if context.out.json {
                // A diagnostic is plain data, so writing it cannot fail.
                context.out.json_line(&serde_json::to_value(found).unwrap_or_default());
            } else {
                context.out.data(&safe::block(&bandstand_workflow::render(found, loaded.text_of(found))));
            }
        }
        if !loaded.diagnostics.iter().any(load::is_error) {
            context.out.note(&summary(&loaded, context));
        }
    }
    if errors + warnings > 0 && !context.out.json {
        let of = words::count(files.len(), "file");
        context.out.note(&format!(
            "{} and {} in {of}",
            words::count(errors, "error"),
            words::count(warnings, "warning")
        ));
    }
    Ok(if errors > 0 { Exit::Usage } else { Exit::Succeeded })
}

/// The same by a server: as files of its directory, with its plugins, schemas and permissions.
fn by_server(api: &Api, files: &[PathBuf], args: &CheckArgs, context: &Context) -> Result<Exit, Failure> {
    if args.no_resolve {
        return Err(Failure::usage("--no-resolve: a server looks at all of a file")
            .help("leave out --no-resolve, or --server"));
    }
    let (mut errors, mut warnings) = (0, 0);
    for file in files {
        let loaded = load::load_to_look_at(file)?;
        // Its file there, if there is one, is what it is compared with.
        let name = loaded.graph.as_ref().map(|graph| graph.name.clone());
        let checked = put::checked(api, name.as_deref(), loaded.text.clone().into_bytes())?;
        let wrong = checked.diagnostics.iter().filter(|found| found["severity"] == "error").count();
        errors += wrong;
        warnings += checked.diagnostics.len() - wrong;
        if context.out.json {
            checked.diagnostics.iter().for_each(|found| context.out.json_line(found));
        } else {
            checked.rendered.iter().for_each(|text| context.out.data(&safe::block(text)));
        }
        if let (true, Some(name), Some(version)) = (checked.ok, &checked.name, checked.version) {
            let ok = context.out.paint_err(Tone::Good, "ok");
            let told = format!("{name} version {version}, by {}", api.origin());
            context.out.note(&safe_but(&ok, &loaded.file, &told));
        } else if wrong == 0 {
            // It has no error of its own, and the server would not run it.
            errors += 1;
        }
    }
    if errors + warnings > 0 && !context.out.json {
        let of = words::count(files.len(), "file");
        let (errors, warnings) = (words::count(errors, "error"), words::count(warnings, "warning"));
        context.out.note(&format!("{errors} and {warnings} in {of}"));
    }
    Ok(if errors > 0 { Exit::Usage } else { Exit::Succeeded })
}

/// `flow.yaml: ok, review version 2, 5 nodes; agents: split (plugins/split.wasm), audit (..., memory: write)`.
fn summary(loaded: &Loaded, context: &Context) -> String {
    let ok = context.out.paint_err(Tone::Good, "ok");
    let Some(graph) = &loaded.graph else { return format!("{}: {ok}", safe::line(&loaded.file)) };
    let nodes = words::count(graph.root.nodes.len(), "node");
    let agents = agents_of(graph);
    safe_but(&ok, &loaded.file, &format!("{} version {}, {nodes}; {agents}", graph.name, graph.version))
}

/// `agents: split (plugins/split.wasm, no grants); of child workflow review: audit (..., memory: write)`.
fn agents_of(graph: &Graph) -> String {
    let mut said = named(graph).map_or(Vec::new(), |agents| vec![format!("agents: {agents}")]);
    of_children(graph, "", &mut said);
    if said.is_empty() { "no agents".to_owned() } else { said.join("; ") }
}

fn of_children(graph: &Graph, around: &str, said: &mut Vec<String>) {
    for (id, child) in &graph.workflows {
        let path = format!("{around}{id}");
        said.extend(named(&child.graph).map(|agents| format!("of child workflow {path}: {agents}")));
        of_children(&child.graph, &format!("{path}/"), said);
    }
}

/// The agents of one workflow, without its children's; `None`: it has none.
fn named(graph: &Graph) -> Option<String> {
    let agents: Vec<String> = graph
        .plugins
        .iter()
        .map(|(id, plugin)| {
            let source = match &plugin.source {
                PluginSource::Path(path) => match &plugin.function {
                    None => path.clone(),
                    Some(function) => format!("{path}, function {function}"),
                },
                PluginSource::Builtin(name) => format!("builtin {name}"),
            };
            let powers = in_words(&plugin.grants);
            format!("{id} ({source}, {powers})")
        })
        .collect();
    (!agents.is_empty()).then(|| agents.join(", "))
}

/// Our colours stay, what the file says is made safe.
fn safe_but(ok: &str, file: &str, rest: &str) -> String {
    format!("{}: {ok}, {}", safe::line(file), safe::line(rest))
}

/// The refusal of a file that has errors, or uses what this build lacks: its problems on stderr, then this failure.
pub fn refused(loaded: &Loaded, context: &Context) -> Failure {
    let problems: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(|found| load::is_error(found) || found.code == load::LACKING)
        .collect();
    if !context.out.json {
        for found in &problems {
            context.out.error_line(&safe::block(&bandstand_workflow::render(found, loaded.text_of(found))));
        }
    }
    let lacking: Vec<String> = problems
        .iter()
        .filter(|found| found.code == load::LACKING)
        .map(|found| format!("line {}: {}", found.line, found.message))
        .collect();
    let what = if problems.iter().any(|found| load::is_error(found)) {
        let errors = problems.iter().filter(|found| load::is_error(found)).count();
        let first = problems.iter().find(|found| load::is_error(found));
        let first = first.map_or(String::new(), |found| {
            format!("; the first: line {}, {}: {}", found.line, found.code, found.message)
        });
        format!("{} has {}{first}", loaded.file, words::count(errors, "error"))
    } else {
        format!("{} uses what this build does not have: {}", loaded.file, lacking.join("; "))
    };
    let file = super::context::shell_word(&loaded.file);
    Failure::usage(what).help(format!("all of it: bandstand check {file}"))
}
