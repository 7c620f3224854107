//! `bandstand plugin new`: a project of an agent that builds, and is tested, as it is. Overwrites nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, shell_word};
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::out::Tone;
use crate::project::guest::new::{self, NewError};
use crate::project::guest::tool::{Lack, Tools};
use crate::project::guest::{Language, name_problem};

/// What `new` is given.
#[derive(Args, Debug)]
pub struct NewArgs {
    /// What the plugin is called: lower-case letters, digits, single hyphens
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it is written in: rust, python, javascript, typescript, c or go
    #[arg(long, value_name = "LANGUAGE", value_parser = Language::named)]
    pub lang: Language,
    /// The folder of the project; made when missing, and empty else [default: NAME]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Writes the project, then tells what is missing to build it.
pub fn execute(args: &NewArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(problem) = name_problem(&args.name, args.lang) {
        return Err(Failure::usage(format!("no plugin can be called {:?}: {problem}", args.name))
            .help(format!("such as: bandstand plugin new my-agent --lang {}", args.lang.id())));
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let files = new::files(&args.name, args.lang);
    new::write(&dir, &files).map_err(|error| refused(&error, args))?;
    let absolute = std::path::absolute(&dir).map_err(Failure::other)?;
    let lacks = Tools::of_this_process(&absolute).lacks(args.lang);
    tell(&dir, &files, &lacks, args, context);
    Ok(Exit::Succeeded)
}

fn refused(error: &NewError, args: &NewArgs) -> Failure {
    match error {
        NewError::NotAFolder(_) | NewError::Taken(_) => Failure::not_found(error).help(format!(
            "name another folder: bandstand plugin new {} --lang {} --dir DIR",
            args.name,
            args.lang.id()
        )),
        NewError::Write { .. } => Failure::usage(error).help("name a folder that you may write: --dir DIR"),
    }
}

fn tell(dir: &Path, files: &[(String, String)], lacks: &[Lack], args: &NewArgs, context: &Context) {
    let out = &context.out;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    if out.json {
        let lacks: Vec<Value> = lacks.iter().map(lack_json).collect();
        out.json_line(&json!({
            "dir": dir.to_string_lossy(), "name": args.name, "language": args.lang.id(), "files": names, "missing": lacks,
        }));
        return;
    }
    for name in names {
        out.data(&dir.join(name).display().to_string());
    }
    let go = shell_word(&dir.to_string_lossy());
    if !lacks.is_empty() {
        out.note(&format!(
            "{} to build it, this is missing; the commands are for the folder {go}:",
            out.paint_err(Tone::Attention, "not yet:")
        ));
        for lack in lacks {
            out.note(&format!("  {lack}"));
        }
    }
    out.note(&format!("now try: cd {go} && bandstand plugin build && bandstand plugin test"));
}

/// A tool that is missing, as `--json` tells it.
pub(super) fn lack_json(lack: &Lack) -> Value {
    json!({ "tool": lack.tool, "purpose": lack.purpose, "found": lack.found, "install": lack.install })
}
