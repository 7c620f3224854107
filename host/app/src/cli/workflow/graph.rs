//! `bandstand workflow graph`: a picture of a workflow, as text that others draw.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::api::{Asked, escaped};
use crate::cli::check;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::cli::term::safe;
use crate::project::load;

/// What `graph` is given.
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// The workflow file; of a server, the workflow's name
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
    let format = match args.format {
        Format::Mermaid => "mermaid",
        Format::Dot => "dot",
    };
    let (name, text) = match context.api() {
        Some(api) => {
            let name = super::served_name(&args.file, context)?;
            let path = format!("/workflows/{}/graph?format={format}", escaped(&name));
            let text = site::wait(api.text(Asked::get(path)))?;
            (name, safe::block(&text))
        }
        None => {
            let loaded = load::load_to_look_at(&args.file)?;
            let Some(graph) = &loaded.graph else {
                return Err(check::refused(&loaded, context));
            };
            let text = match args.format {
                Format::Mermaid => bandstand_workflow::graph_mermaid(graph),
                Format::Dot => bandstand_workflow::graph_dot(graph),
            };
            (graph.name.clone(), text)
        }
    };
    if context.out.json {
        context.out.json_line(&json!({ "workflow": name, "format": format, "text": text }));
    } else {
        context.out.text(&text);
    }
    Ok(Exit::Succeeded)
}
