//! `bandstand workflow ...`: what workflow files are, without running them; and putting one into service at a server.

pub mod graph;
pub mod list;
pub mod put;

use std::path::Path;

use clap::Subcommand;

use super::context::{Context, shell_word};
use super::exit::{Exit, Failure};

/// What is wanted of workflow files.
#[derive(Debug, Subcommand)]
pub enum WorkflowVerb {
    /// List the workflow files below a folder, or those of a server
    List(list::ListArgs),
    /// Draw the graph of a workflow file, as text for Mermaid or Graphviz
    Graph(graph::GraphArgs),
    /// Put a workflow file into service at a server (--server): checked, compiled and linked first
    Put(put::PutArgs),
}

/// Does it.
pub fn execute(verb: &WorkflowVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        WorkflowVerb::List(args) => list::execute(args, context),
        WorkflowVerb::Graph(args) => graph::execute(args, context),
        WorkflowVerb::Put(args) => put::execute(args, context),
    }
}

/// The name of a workflow that a server has, where a file would be named without one.
pub(super) fn served_name(argument: &Path, context: &Context) -> Result<String, Failure> {
    let text = argument.to_string_lossy();
    let is_file = argument.components().count() != 1
        || [".yaml", ".yml", ".json"].iter().any(|end| text.ends_with(end))
        || argument.is_file();
    if !is_file {
        return Ok(text.into_owned());
    }
    let data = context.data_option();
    let what =
        format!("{text} is a file of this machine; a server runs the workflows that it has, by their names");
    Err(Failure::usage(what).help(format!(
        "those that it has: bandstand workflow list{data}; to put this one there: bandstand workflow put {}{data}",
        shell_word(&text)
    )))
}
