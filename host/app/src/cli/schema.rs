//! `bandstand schema workflow`: the JSON Schema of workflow files, for editors.

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// Which schema.
#[derive(Debug, Subcommand)]
pub enum SchemaVerb {
    /// Print the JSON Schema of workflow files
    Workflow,
}

/// Prints it.
pub fn execute(verb: &SchemaVerb, context: &Context) -> Result<Exit, Failure> {
    let SchemaVerb::Workflow = verb;
    let schema = bandstand_workflow::json_schema();
    if context.out.json {
        context.out.json_line(&schema);
    } else {
        context.out.text(&format!("{schema:#}"));
    }
    Ok(Exit::Succeeded)
}
