//! `bandstand workflow list`: the workflow files below a folder.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::project::load;

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Where to look
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// No more files are looked at, and no deeper.
const FILES_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;

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

/// Workflow files: YAML with a `format:` of its own at the top. Hidden folders and build output are passed over.
pub fn workflow_files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    walk(dir, 0, &mut found)
        .map_err(|error| Failure::usage(format!("cannot look into {}: {error}", dir.display())))?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let path = if dir == Path::new(".") { PathBuf::from(&name) } else { entry.path() };
        if found.len() >= FILES_MAX || name.starts_with('.') {
            continue;
        }
        if kind.is_dir() && depth < DEPTH_MAX && !["target", "node_modules"].contains(&name.as_str()) {
            // A folder that may not be read hides its files, not those of others.
            let _ = walk(&path, depth + 1, found);
        } else if kind.is_file() && (name.ends_with(".yaml") || name.ends_with(".yml")) && is_workflow(&path)
        {
            found.push(path);
        }
    }
    Ok(())
}

fn is_workflow(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(|line| line.starts_with("format:"))
}
