//! `bandstand runs retry`: a failed run goes on where it failed. What had finished, on other branches too, stays.

use bandstand_engine::input::{ActorKind, By};
use clap::Args;

use super::anew::{self, FollowArgs};
use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::host::{Drive, RetryRequest};

/// What `retry` is given.
#[derive(Args, Debug)]
pub struct RetryArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// Who wants it [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub by: Option<String>,
    /// How it is followed.
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// Makes it go on and follows it to its end. A run that has not failed is a conflict.
pub fn execute(args: &RetryArgs, context: &Context) -> Result<Exit, Failure> {
    let site = context.site()?;
    let run = site.run(&args.run)?;
    let from_seq = site.event_count(&run.run_id)?;
    drop(site);
    let config = context.config_here()?;
    let request = RetryRequest {
        run_id: run.run_id.clone(),
        by: By { kind: ActorKind::Person, id: context.who(args.by.as_ref()) },
        request_id: None,
    };
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        match access.retry(request).await {
            Ok(_) => {
                let user = run.user_id.as_ref();
                anew::follow_and_close(access, &run.run_id, from_seq, user, &args.follow, context).await
            }
            Err(error) => {
                access.close().await?;
                Err(error.into())
            }
        }
    })
}
