//! `bandstand plugin build`: makes the component of a project in any of the languages, says every command that it runs, and looks at
//! the result as a host would that loads it.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use bandstand_sandbox::LoadError;
use clap::Args;
use serde_json::json;

use super::inspect::{self, Code};
use super::pack::{place_problem, replace};
use super::refused;
use crate::cli::context::{Context, shell_word};
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};
use crate::project::guest::tool::Tools;
use crate::project::guest::{BuildError, Language, Project, Runner, recipe};
use crate::project::manifest::{self, Manifest};
use crate::project::plugin_toml::{FILE_NAME, PluginToml};
use crate::view::PluginDetail;

/// What `build` is given.
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// The folder of the project, with its plugin.toml
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the component goes [default: NAME.wasm beside plugin.toml]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Builds it.
pub fn execute(args: &BuildArgs, context: &Context) -> Result<Exit, Failure> {
    let out = &context.out;
    let (begun, began_at) = (Instant::now(), SystemTime::now());
    let toml = args.dir.join(FILE_NAME);
    let settings = settings(&args.dir, &toml)?;
    let language = settings.language.ok_or_else(|| {
        Failure::usage(format!("{} does not say what the agent is written in", toml.display())).help(format!(
            "such as language = \"rust\"; there is {}",
            Language::ALL.map(Language::id).join(", ")
        ))
    })?;
    // First: whoever mistyped a schema need not wait for a compiler.
    let said = settings.manifest(&toml)?;
    let dir =
        std::fs::canonicalize(&args.dir).map_err(|error| Failure::unreadable(args.dir.display(), &error))?;
    let file = args.out.clone().unwrap_or_else(|| args.dir.join(format!("{}.wasm", settings.name)));
    if let Some(problem) = place_problem(&file) {
        return Err(problem);
    }
    let file = file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
    let project = Project { dir, language, settings };
    let commands = std::cell::RefCell::new(Vec::new());
    let say = |command: &str| {
        // As data they stand in `commands`.
        if !out.json {
            out.note(&out.paint_err(Tone::Faint, &format!("$ {}", safe::line(command))));
        }
        commands.borrow_mut().push(command.to_owned());
    };
    let warned = std::cell::RefCell::new(Vec::new());
    let warn = |what: &str| warned.borrow_mut().push(what.to_owned());
    let live = !out.quiet && !out.json;
    let runner = Runner { dir: &project.dir, say: &say, warn: &warn, live };
    let component = recipe::build(&project, &Tools::of_this_process(&project.dir), &runner)?;
    let component = with_manifest(&component, said, language)?;

    let name = file.to_string_lossy().into_owned();
    let unusable = |what: &str, error: LoadError| refused(&format!("what was built {what}"), &error);
    let (mut detail, problem) = inspect::inspected(&name, &component, None, Code::Unknown)
        .map_err(|error| unusable("does not load", error))?;
    detail.warnings.extend(warned.into_inner());
    if let Some(error) = problem {
        return Err(unusable("is not what this host can run", error));
    }
    let is_new = write_if_changed(&file, &component, began_at)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", file.display())))?;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if out.json {
        out.json_line(&json!({
            "file": name, "changed": is_new, "digest": detail.digest, "size_bytes": detail.size_bytes,
            "imports": detail.imports, "grants_needed": detail.grants_needed, "warnings": detail.warnings, "commands": commands.into_inner(),
            "took_ms": took_ms,
        }));
        return Ok(Exit::Succeeded);
    }
    for line in lines(&detail, is_new) {
        out.data(&line);
    }
    for warning in &detail.warnings {
        out.note(&safe::line(&format!("warning: {warning}")));
    }
    out.note(&format!("built in {}", words::span(took_ms)));
    out.note(&format!("now try: {}", next_command(args, &detail)));
    Ok(Exit::Succeeded)
}

/// What the folder's `plugin.toml` says.
fn settings(dir: &Path, toml: &Path) -> Result<PluginToml, Failure> {
    if !dir.is_dir() {
        let what = if dir.exists() { "is not a folder" } else { "is not there" };
        return Err(Failure::not_found(format!("{} {what}", dir.display()))
            .help("name the folder of a project; a new one: bandstand plugin new NAME --lang rust"));
    }
    if !toml.exists() {
        return Err(Failure::not_found(format!("{} has no {FILE_NAME}, which says what is to be built", dir.display()))
            .help("name the project's folder: bandstand plugin build DIR; a new project: bandstand plugin new NAME --lang rust"));
    }
    PluginToml::read(toml).map_err(|error| {
        Failure::from(error).help("it has name, version, description, language, and if need be uses, input, output, secrets and sdk")
    })
}

/// The component with the section in it that says what it is. The one place between building and writing where bytes are added.
fn with_manifest(component: &[u8], said: Manifest, language: Language) -> Result<Vec<u8>, Failure> {
    let made_with = format!("{} {}", language.id(), env!("CARGO_PKG_VERSION"));
    let manifest = Manifest { sdk: said.sdk.or(Some(made_with)), ..said };
    manifest::append(component, &manifest)
        .map_err(|error| Failure::usage(format!("what was built does not load: {error}")))
}

/// Equal bytes are left alone: what the host compiled of them stays. The file's time is the one at which the build began, so that a
/// source which was changed meanwhile is newer.
fn write_if_changed(path: &Path, bytes: &[u8], begun: SystemTime) -> std::io::Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        // The file of somebody else cannot be touched, and is right all the same.
        let _ = std::fs::File::open(path).and_then(|file| file.set_modified(begun));
        return Ok(false);
    }
    replace(path, bytes, Some(begun)).map(|()| true)
}

fn lines(detail: &PluginDetail, is_new: bool) -> Vec<String> {
    let unchanged = if is_new { "" } else { "  (as it was)" };
    let needed = &detail.grants_needed;
    let grants =
        if needed.is_empty() { "none needed".to_owned() } else { format!("needs {}", needed.join(", ")) };
    let (wasi, own): (Vec<_>, Vec<_>) =
        detail.imports.iter().partition(|import| import.interface.starts_with("wasi:"));
    let mut imports: Vec<String> = own.iter().map(|import| safe::line(&import.interface)).collect();
    if !wasi.is_empty() {
        imports.push(format!("{} of WASI", words::count(wasi.len(), "interface")));
    }
    vec![
        format!("file      {}{unchanged}", safe::line(&detail.file)),
        format!("digest    {}", detail.digest),
        format!("size      {}", words::size(detail.size_bytes)),
        format!("imports   {}", if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") }),
        format!("grants    {grants}"),
    ]
}

/// In the project's folder the component and its cases are found by themselves.
fn next_command(args: &BuildArgs, detail: &PluginDetail) -> String {
    let mut command = "bandstand plugin test".to_owned();
    match &args.out {
        Some(file) => command.push_str(&format!(" {} --input '{{}}'", shell_word(&file.to_string_lossy()))),
        None if args.dir == Path::new(".") => {}
        None => command.push_str(&format!(" {}", shell_word(&args.dir.to_string_lossy()))),
    }
    if !detail.grants_needed.is_empty() {
        command.push_str(" --grants '{ ... }'");
    }
    command
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        match &error {
            BuildError::Lacking(_) => Failure::not_found(&error)
                .help("type these in the project's folder, then build again; nothing was run yet"),
            BuildError::Failed { said, .. } if said.is_empty() => Failure::other(&error)
                .help("what it said is above; the command can be typed again in the project's folder"),
            BuildError::Failed { .. } => {
                Failure::other(&error).help("the command can be typed again in the project's folder")
            }
            BuildError::Start { .. } | BuildError::Read { .. } | BuildError::Write { .. } => {
                Failure::other(&error)
            }
            BuildError::Source { help, .. } => Failure::usage(&error).help(help),
        }
    }
}
