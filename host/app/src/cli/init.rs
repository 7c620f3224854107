//! `bandstand init`: a project that runs as it is. Overwrites nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What `init` is given.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The folder of the project; made when missing
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Writes the project.
pub fn execute(args: &InitArgs, context: &Context) -> Result<Exit, Failure> {
    let schema = format!("{:#}\n", bandstand_workflow::json_schema());
    let files = [
        ("bandstand.toml", include_str!("init/bandstand.toml")),
        ("workflow.yaml", include_str!("init/workflow.yaml")),
        ("workflow.schema.json", schema.as_str()),
        ("README.md", include_str!("init/README.md")),
        (".gitignore", ".bandstand/\n"),
    ];
    let dir = &args.dir;
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::usage(format!("cannot make the folder {}: {error}", dir.display())))?;
    let taken: Vec<&str> = files
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| dir.join(name).symlink_metadata().is_ok())
        .collect();
    if !taken.is_empty() {
        return Err(Failure::not_found(format!(
            "{} already has {}; nothing was written",
            dir.display(),
            taken.join(", ")
        ))
        .help("name a new folder: bandstand init hello"));
    }
    for (name, text) in files {
        write(&dir.join(name), text)?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    if context.out.json {
        context.out.json_line(&json!({ "dir": dir.to_string_lossy(), "files": names }));
        return Ok(Exit::Succeeded);
    }
    for name in names {
        context.out.data(&dir.join(name).display().to_string());
    }
    let go = if dir == Path::new(".") { String::new() } else { format!("cd {} && ", dir.display()) };
    context.out.note(&format!("now try: {go}bandstand run workflow.yaml --input '{{\"name\": \"Ada\"}}'"));
    Ok(Exit::Succeeded)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    // `create_new`: whoever was faster keeps theirs.
    std::fs::File::create_new(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))
}
