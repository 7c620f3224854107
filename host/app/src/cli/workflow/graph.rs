//! `bandstand workflow graph`: a picture of a workflow, as text that others draw.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::check;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::project::load;

/// What `graph` is given.
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// The workflow file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// For which program
    #[arg(long, value_enum, default_value_t = Format::Mermaid, value_name = "FORMAT")]
    pub format: Format,
}

/// Who draws it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// Mermaid, as Markdown pages show it
    Mermaid,
    /// Graphviz
    Dot,
}

/// Prints it. Plugins need not be there.
pub fn execute(args: &GraphArgs, context: &Context) -> Result<Exit, Failure> {
    let loaded = load::load_to_look_at(&args.file)?;
    let Some(graph) = &loaded.graph else {
        return Err(check::refused(&loaded, context));
    };
    let text = match args.format {
        Format::Mermaid => bandstand_workflow::graph_mermaid(graph),
        Format::Dot => bandstand_workflow::graph_dot(graph),
    };
    if context.out.json {
        let format = args.format.to_possible_value().map(|value| value.get_name().to_owned());
        context.out.json_line(&json!({ "workflow": graph.name, "format": format, "text": text }));
    } else {
        context.out.text(&text);
    }
    Ok(Exit::Succeeded)
}
