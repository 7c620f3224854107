//! `bandstand workflow list`: the workflow files below a folder.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::project::{find, load};

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Where to look
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Prints them.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let files = workflow_files(&args.dir)?;
    let mut table = Table::new(&["file", "name", "version", "problems", "description"]);
    for file in files {
        let loaded = load::load_to_look_at(&file)?;
        let problems = loaded.diagnostics.iter().filter(|found| load::is_error(found)).count();
        let name = loaded.graph.as_ref().map(|graph| graph.name.clone());
        let version = loaded.graph.as_ref().map(|graph| graph.version);
        let description = loaded.graph.as_ref().map(|graph| graph.description.clone()).unwrap_or_default();
        if context.out.json {
            context.out.json_line(&json!({
                "file": file.to_string_lossy(), "name": name, "version": version, "problems": problems,
                "description": description,
            }));
        } else {
            table.row([
                file.display().to_string(),
                name.unwrap_or_else(|| "-".to_owned()),
                version.map_or("-".to_owned(), |version| version.to_string()),
                if problems == 0 { "none".to_owned() } else { words::count(problems, "error") },
                description,
            ]);
        }
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note("no workflow file here; `bandstand init hello` makes a project");
            return Ok(Exit::Succeeded);
        }
        table.lines(0).iter().for_each(|line| context.out.data(line));
    }
    Ok(Exit::Succeeded)
}

/// The workflow files below a folder.
pub fn workflow_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    find::workflow_files(dir)
        .map_err(|error| Failure::usage(format!("cannot look into {}: {error}", dir.display())))
}
