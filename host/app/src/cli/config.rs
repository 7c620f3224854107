//! `bandstand config`: the settings in force and who set them, and a template of all settings there are.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::GlobalArgs;
use super::context::Context;
use super::exit::{Exit, Failure};
use super::term::safe;
use crate::project::Directory;
use crate::project::config::known;
use crate::project::config::layers::Source;
use crate::telemetry::log::LOG_ENV;

/// What is done with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print all settings in force: of the environment, of bandstand.toml, and what holds when nobody sets it
    Show(ShowArgs),
    /// Print a bandstand.toml with all settings there are, commented out
    Template,
}

/// What `show` is given.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The project
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    pub dir: PathBuf,
    /// Tell where each comes from: a default, a line of the file, a variable of the environment, an option
    #[arg(long)]
    pub origin: bool,
}

/// Does it.
pub fn execute(verb: &ConfigVerb, global: &GlobalArgs, context: &Context) -> Result<Exit, Failure> {
    match verb {
        ConfigVerb::Show(args) => show(args, global, context),
        ConfigVerb::Template if context.out.json => {
            let setting = |known: known::Known| json!({ "setting": known.path, "default": known.default, "example": known.example, "says": known.says });
            known::all().into_iter().for_each(|known| context.out.json_line(&setting(known)));
            Ok(Exit::Succeeded)
        }
        ConfigVerb::Template => {
            context.out.text(&known::template());
            Ok(Exit::Succeeded)
        }
    }
}

fn show(args: &ShowArgs, global: &GlobalArgs, context: &Context) -> Result<Exit, Failure> {
    let (_, mut layers) = Directory::with_layers(&args.dir)?;
    if let Some(format) = global.log_format.and_then(|format| format.to_possible_value()) {
        let typed =
            std::env::args_os().any(|argument| argument.to_string_lossy().starts_with("--log-format"));
        let source =
            if typed { Source::Flag("--log-format") } else { Source::Environment(LOG_ENV.to_owned()) };
        layers.put_flag(&["telemetry", "log"], format.get_name(), source);
    }
    for (place, value, source) in layers.in_force() {
        if context.out.json {
            let value = value.as_ref().map(|value| json!(value));
            context.out.json_line(
                &json!({ "setting": place.join("."), "path": place, "value": value, "origin": origin(&source) }),
            );
            continue;
        }
        let place = place.iter().map(|part| word(part)).collect::<Vec<_>>().join(".");
        let line = match &value {
            Some(value) => format!("{place} = {value}"),
            None => format!("# {place} is not set"),
        };
        let from =
            if args.origin && value.is_some() { format!("  # {}", told(&source)) } else { String::new() };
        context.out.data(&safe::line(&format!("{line}{from}")));
    }
    Ok(Exit::Succeeded)
}

/// A part of a path as TOML has it.
fn word(part: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !part.is_empty() && part.chars().all(bare) {
        part.to_owned()
    } else {
        toml::Value::from(part).to_string()
    }
}

fn told(source: &Source) -> String {
    match source {
        Source::Default => "default".to_owned(),
        Source::File(path, line) => format!("{}:{line}", in_short(path)),
        Source::Environment(name) => name.clone(),
        Source::Flag(name) => (*name).to_owned(),
    }
}

fn origin(source: &Source) -> Value {
    match source {
        Source::Default => json!({ "kind": "default" }),
        Source::File(path, line) => json!({ "kind": "file", "file": path.to_string_lossy(), "line": line }),
        Source::Environment(name) => json!({ "kind": "environment", "variable": name }),
        Source::Flag(name) => json!({ "kind": "flag", "flag": name }),
    }
}

/// From the working directory, if it is in there.
fn in_short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
