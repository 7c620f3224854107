//! `bandstand workflow put`: puts a workflow file into service at a server. The server checks, compiles and links it first; runs
//! that go on there keep what they pinned.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use hyper::{Method, header};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Api, ApiError, Asked, escaped};
use crate::cli::check;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::site;
use crate::cli::term::safe;
use crate::project::directory::open_file;
use crate::project::load;
use crate::view::WorkflowSummary;

/// No larger file is sent; servers take no more either. Bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What `put` is given.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// The workflow file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only if the server has no workflow of that name
    #[arg(long, conflicts_with = "seen")]
    pub new: bool,
    /// Only in place of the text with this tag, as `put` and `GET /workflows/NAME` told it: somebody else may have been faster
    #[arg(long, value_name = "ETAG")]
    pub seen: Option<String>,
}

/// Does it.
pub fn execute(args: &PutArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(api) = context.api() else {
        return Err(Failure::usage("workflow put is for a server: --server URL").help(
            "on this machine a file is run as it is, and `bandstand serve` takes up what is in its folder by itself",
        ));
    };
    // Its plugins and other files are the server's.
    let loaded = load::load_to_look_at(&args.file)?;
    let Some(graph) = &loaded.graph else {
        return Err(check::refused(&loaded, context));
    };
    let name = graph.name.clone();
    let text = read(args)?;
    let asked = Asked::new(Method::PUT, format!("/workflows/{}", escaped(&name)))
        .body("application/yaml", text.clone())
        .header(header::IF_NONE_MATCH, args.new.then_some("*"))
        .header(header::IF_MATCH, args.seen.as_deref());
    let put: WorkflowSummary = match site::wait_for(api.json(asked))? {
        Ok(put) => put,
        Err(error) => {
            if matches!(&error, ApiError::Problem { told, .. } if !told.diagnostics.is_empty()) {
                rendered(api, &name, text, context)?;
            }
            return Err(error.into());
        }
    };
    if context.out.json {
        context.out.json_line(&json!(put));
        return Ok(Exit::Succeeded);
    }
    context.out.data(&safe::line(&put.etag));
    let told = format!("workflow {} version {} is in service at {}", put.name, put.version, api.origin());
    context.out.note(&safe::line(&format!("{told}, as {}", put.file)));
    Ok(Exit::Succeeded)
}

fn read(args: &PutArgs) -> Result<Vec<u8>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", args.file.display()));
    let mut text = Vec::new();
    let file = open_file(&args.file).map_err(cannot)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(cannot)?;
    Ok(text)
}

/// What a server says of a text.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct CheckedText {
    /// Whether it would be put into service, if its plugins compile.
    pub ok: bool,
    /// Its problems.
    pub diagnostics: Vec<serde_json::Value>,
    /// The same for people.
    pub rendered: Vec<String>,
    /// Its name, if it has no errors.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<u64>,
}

/// Asks a server what is wrong with a text, as a file of its directory.
pub(in crate::cli) fn checked(api: &Api, name: Option<&str>, text: Vec<u8>) -> Result<CheckedText, Failure> {
    let parameters = [("workflow", name.map(str::to_owned))];
    let asked = Asked::new(Method::POST, format!("/workflows/check{}", crate::api::query(&parameters)));
    site::wait(api.json(asked.body("application/yaml", text)))
}

/// Shows what is wrong with a text, for people.
fn rendered(api: &Api, name: &str, text: Vec<u8>, context: &Context) -> Result<(), Failure> {
    if !context.out.json {
        let checked = checked(api, Some(name), text)?;
        checked.rendered.iter().for_each(|problem| context.out.error_line(&safe::block(problem)));
    }
    Ok(())
}
