//! `bandstand workflow ...`: what workflow files are, without running them.

pub mod graph;
pub mod list;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of workflow files.
#[derive(Debug, Subcommand)]
pub enum WorkflowVerb {
    /// List the workflow files below a folder
    List(list::ListArgs),
    /// Draw the graph of a workflow file, as text for Mermaid or Graphviz
    Graph(graph::GraphArgs),
}

/// Does it.
pub fn execute(verb: &WorkflowVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        WorkflowVerb::List(args) => list::execute(args, context),
        WorkflowVerb::Graph(args) => graph::execute(args, context),
    }
}
