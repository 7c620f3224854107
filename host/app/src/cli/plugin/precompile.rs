//! `bandstand plugin precompile`: fills the cache of compiled code, so that the first call of a plugin costs milliseconds.

use std::path::Path;
use std::time::Instant;

use bandstand_sandbox::{KeptCode, Sandbox};
use clap::Args;
use serde_json::json;

use super::component::{components, read};
use super::{refused, sandbox, summary};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::{safe, words};

/// What `precompile` is given.
#[derive(Args, Debug)]
pub struct PrecompileArgs {
    /// Components, `builtin:NAME`, or folders of `.wasm` files
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<String>,
}

/// Compiles them, one after the other. One that cannot be compiled does not keep the others from it.
pub fn execute(args: &PrecompileArgs, context: &Context) -> Result<Exit, Failure> {
    let files = files(&args.files)?;
    let config = context.config_here()?;
    let sandbox = sandbox(context, config.as_ref(), false)?;
    let mut failures = Vec::new();
    for file in &files {
        let begun = Instant::now();
        match compiled(file, &sandbox) {
            Ok(done) => {
                let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                tell(file, &done, took_ms, context);
            }
            Err(failure) => {
                if context.out.json {
                    context.out.json_line(&json!({ "file": file, "problem": failure.what }));
                } else {
                    context.out.error_line(&safe::block(&failure.what));
                }
                failures.push(failure);
            }
        }
    }
    let what = |failed: usize| format!("{failed} of {} not compiled", words::count(files.len(), "plugin"));
    summary(failures, what).map_or(Ok(Exit::Succeeded), Err)
}

struct Done {
    digest: String,
    was_kept: bool,
    code_bytes: usize,
}

fn compiled(file: &str, sandbox: &Sandbox) -> Result<Done, Failure> {
    let bytes = read(file)?;
    let digest = bandstand_sandbox::inspect(&bytes).map_err(|error| refused(file, &error))?.digest;
    let was_kept = matches!(sandbox.kept_code(&digest), KeptCode::Authentic { .. });
    sandbox.precompile(&bytes).map_err(|error| refused(file, &error))?;
    match sandbox.kept_code(&digest) {
        KeptCode::Authentic { size_bytes } => Ok(Done { digest, was_kept, code_bytes: size_bytes }),
        // Why is among the warnings.
        _ => Err(Failure::storage(format!("{file}: its compiled code could not be kept"))
            .help("see to the folder `compiled` of the data directory: room, owner, permissions")),
    }
}

fn tell(file: &str, done: &Done, took_ms: u64, context: &Context) {
    let Done { digest, was_kept, code_bytes } = done;
    if context.out.json {
        context.out.json_line(&json!({
            "file": file, "digest": digest, "was_kept": was_kept, "code_bytes": code_bytes, "took_ms": took_ms,
        }));
        return;
    }
    let what = if *was_kept { "was compiled already" } else { "compiled" };
    context.out.data(&format!(
        "{}  {digest}  {what}, {} of code, {}",
        safe::line(file),
        words::size(*code_bytes as u64),
        words::span(took_ms)
    ));
}

/// What is named, and in place of a folder the `.wasm` files in it, by name.
fn files(named: &[String]) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    for name in named {
        if !Path::new(name).is_dir() {
            files.push(name.clone());
            continue;
        }
        let found = components(Path::new(name))?;
        if found.is_empty() {
            return Err(Failure::not_found(format!("there is no `.wasm` file in {name}")));
        }
        files.extend(found.iter().map(|path| path.to_string_lossy().into_owned()));
    }
    Ok(files)
}
