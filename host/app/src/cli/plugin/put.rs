//! `bandstand plugin put`: puts a component into the directory that a server serves, where workflows name it by
//! `plugins/NAME.wasm`.

use std::path::Path;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::component::{self, Component};
use crate::api::{Asked, escaped};
use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::cli::term::safe;
use crate::view::UploadedPlugin;

/// What `put` is given.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// The component, or the folder of an agent that is built
    #[arg(value_name = "DIR|FILE")]
    pub file: String,
    /// What its file is called there, without `.wasm` [default: as here]
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    pub name: Option<String>,
}

/// Does it. Workflows that are made of the file are swapped together; those that cannot be run with it stay as they were.
pub fn execute(args: &PutArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(api) = context.api() else {
        return Err(Failure::usage("plugin put is for a server: --server URL")
            .help("in a folder of this machine, copy the component to where the workflow file names it"));
    };
    let component = Component::named(&args.file)?;
    component.warn_if_outdated(&context.out);
    let file = component.file;
    let name = args.name.clone().or_else(|| Some(Path::new(&file).file_stem()?.to_str()?.to_owned()));
    let name = name.ok_or_else(|| {
        Failure::usage(format!("{file} has no name that a plugin can have")).help("give it one: --name NAME")
    })?;
    let bytes = component::read(&file)?;
    let asked = Asked::new(Method::PUT, format!("/plugins/{}", escaped(&name)));
    let put: UploadedPlugin = site::wait(api.json(asked.body("application/wasm", bytes)))?;
    if context.out.json {
        context.out.json_line(&json!(put));
        return Ok(Exit::Succeeded);
    }
    context.out.data(&safe::line(&put.digest));
    context.out.note(&safe::line(&format!("it is {} at {}", put.file, api.origin())));
    for workflow in &put.workflows {
        context.out.note(&safe::line(&format!("workflow {workflow} runs with it from now on")));
    }
    for problem in &put.problems {
        context
            .out
            .note(&safe::line(&format!("{} is not in service with it: {}", problem.file, problem.what)));
    }
    Ok(Exit::Succeeded)
}
