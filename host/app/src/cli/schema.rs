//! `bandstand schema workflow|api`: the JSON Schema of workflow files, for editors, and the OpenAPI document of the server.

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// Which schema.
#[derive(Debug, Subcommand)]
pub enum SchemaVerb {
    /// Print the JSON Schema of workflow files
    Workflow,
    /// Print the OpenAPI document of the HTTP API
    Api,
}

/// Prints it.
pub fn execute(verb: &SchemaVerb, context: &Context) -> Result<Exit, Failure> {
    let schema = match verb {
        SchemaVerb::Workflow => bandstand_workflow::json_schema(),
        SchemaVerb::Api => serde_json::from_str(&crate::server::openapi())
            .map_err(|error| Failure::other(format!("the document does not read: {error}")))?,
    };
    if context.out.json {
        context.out.json_line(&schema);
    } else {
        context.out.text(&format!("{schema:#}"));
    }
    Ok(Exit::Succeeded)
}
