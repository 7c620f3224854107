//! `bandstand notify resend`: what was given up waits again, with all its attempts.

use bandstand_store::Resent;
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::host::Drive;

/// What `resend` is given.
#[derive(Args, Debug)]
pub struct ResendArgs {
    /// The id of a delivery that was given up, as `notify list NAME` shows it
    #[arg(value_name = "ID", value_parser = arguments::name, required_unless_present = "given_up")]
    pub id: Option<String>,
    /// All that was given up of this endpoint
    #[arg(long, value_name = "NAME", value_parser = arguments::name, conflicts_with = "id")]
    pub given_up: Option<String>,
}

/// Does it, by whoever holds the data directory.
pub fn execute(args: &ResendArgs, context: &Context) -> Result<Exit, Failure> {
    let (which, what) = match (&args.id, &args.given_up) {
        (Some(id), _) => (Resent::Id(id.clone()), format!("no delivery `{id}` was given up")),
        (None, Some(name)) => {
            (Resent::Endpoint(name.clone()), format!("nothing was given up of endpoint `{name}`"))
        }
        (None, None) => return Err(Failure::usage("which delivery: its id, or --given-up NAME")),
    };
    let config = context.config_here()?;
    let resent = block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let resent = access.resend(&which).await;
        access.close().await?;
        Ok(resent?)
    })?;
    if resent == 0 {
        return Err(Failure::not_found(what).help("what there is: bandstand notify list NAME"));
    }
    if context.out.json {
        context.out.json_line(&json!({ "resent": resent }));
    } else {
        context.out.note(&format!(
            "{resent} waiting again; a host that drives all runs sends them (bandstand serve)"
        ));
    }
    Ok(Exit::Succeeded)
}
