//! `bandstand notify test`: sends an endpoint something that never happened, to see whether it arrives and its signature is
//! believed. Nothing is kept of it.

use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};

/// What `test` is given.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The name of the endpoint: `chat` of `[notify.chat]`
    #[arg(value_name = "NAME", value_parser = arguments::name)]
    pub name: String,
}

/// Does it, once.
pub fn execute(args: &TestArgs, context: &Context) -> Result<Exit, Failure> {
    let notify = context.config_here()?.map(|config| config.notify()).unwrap_or_default();
    let Some(endpoint) = notify.endpoints.iter().find(|endpoint| endpoint.name == args.name) else {
        return Err(Failure::not_found(format!("bandstand.toml has no [notify.{}]", args.name))
            .help("those there are: bandstand notify list"));
    };
    let sent = block_on(async { Ok(notify.test(&args.name).await) })?;
    if context.out.json {
        context.out.json_line(&json!({
            "endpoint": args.name,
            "origin": endpoint.origin(),
            "accepted": sent.is_ok(),
            "problem": sent.as_ref().err(),
        }));
    }
    match sent {
        Ok(()) => {
            context.out.note(&format!("{} accepted it", endpoint.origin()));
            Ok(Exit::Succeeded)
        }
        Err(_) if context.out.json => Ok(Exit::Failed),
        Err(problem) => Err(Failure::other(format!("{} did not accept it: {problem}", endpoint.origin()))
            .help("see to url and secret of it in bandstand.toml, and to the receiver")),
    }
}
