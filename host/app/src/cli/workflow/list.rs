//! `bandstand workflow list`: the workflow files below a folder.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{Api, query};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::project::{find, load};
use crate::view::{FileProblem, WorkflowSummary};

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Where to look; of a server all are listed
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Prints them.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let mut listed = match context.api() {
        Some(api) => served(api)?,
        None => files(&args.dir)?,
    };
    listed.sort_by(|a, b| a.file.cmp(&b.file));
    if context.out.json {
        listed.iter().for_each(|listed| context.out.json_line(&json!(listed)));
        return Ok(Exit::Succeeded);
    }
    let mut table = Table::new(&["file", "name", "version", "problems", "description"]);
    for listed in listed {
        table.row([
            listed.file,
            listed.name.unwrap_or_else(|| "-".to_owned()),
            listed.version.map_or("-".to_owned(), |version| version.to_string()),
            if listed.problems == 0 { "none".to_owned() } else { words::count(listed.problems, "error") },
            listed.description,
        ]);
    }
    if table.is_empty() {
        context.out.note(match context.api() {
            Some(_) => "the server has no workflow; to put one there: bandstand workflow put FILE",
            None => "no workflow file here; `bandstand init hello` makes a project",
        });
        return Ok(Exit::Succeeded);
    }
    table.lines(0).iter().for_each(|line| context.out.data(line));
    Ok(Exit::Succeeded)
}

/// A workflow file.
#[derive(Serialize)]
struct Listed {
    file: String,
    /// None: it cannot be read so far.
    name: Option<String>,
    version: Option<u64>,
    /// Errors in it.
    problems: usize,
    description: String,
}

/// The workflow files below a folder of this machine.
fn files(dir: &Path) -> Result<Vec<Listed>, Failure> {
    let each = workflow_files(dir)?.into_iter().map(|file| {
        let loaded = load::load_to_look_at(&file)?;
        let graph = loaded.graph.as_ref();
        Ok(Listed {
            file: file.display().to_string(),
            name: graph.map(|graph| graph.name.clone()),
            version: graph.map(|graph| graph.version),
            problems: loaded.diagnostics.iter().filter(|found| load::is_error(found)).count(),
            description: graph.map(|graph| graph.description.clone()).unwrap_or_default(),
        })
    });
    each.collect()
}

/// The workflows that a server has in service, and its files that are not as they should be.
fn served(api: &Api) -> Result<Vec<Listed>, Failure> {
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let parameters = [("limit", Some("1000".to_owned())), ("cursor", cursor)];
        let page: Served = site::get(api, format!("/workflows{}", query(&parameters)))?;
        listed.extend(page.items.into_iter().map(|workflow| Listed {
            problems: workflow.problem.as_ref().map_or(0, errors),
            file: workflow.file,
            name: Some(workflow.name),
            version: Some(workflow.version),
            description: workflow.description,
        }));
        cursor = page.next_cursor;
        if cursor.is_none() {
            // Those of which a workflow is in service, as it was before, are told with that.
            let others = page.problems.into_iter().filter(|problem| problem.workflow.is_none());
            listed.extend(others.map(|problem| Listed {
                problems: errors(&problem),
                file: problem.file,
                name: None,
                version: None,
                description: String::new(),
            }));
            return Ok(listed);
        }
    }
}

#[derive(Deserialize)]
struct Served {
    items: Vec<WorkflowSummary>,
    next_cursor: Option<String>,
    problems: Vec<FileProblem>,
}

/// How much is wrong with a file: at least one thing, since it is not in service.
fn errors(problem: &FileProblem) -> usize {
    let errors = problem.diagnostics.iter().filter(|found| found["severity"] == "error");
    errors.count().max(1)
}

/// The workflow files below a folder.
pub fn workflow_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    find::workflow_files(dir)
        .map_err(|error| Failure::usage(format!("cannot look into {}: {error}", dir.display())))
}
