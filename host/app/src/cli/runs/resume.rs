//! `bandstand runs resume`: makes a paused run carry on; if no other process holds the data directory, drives and follows
//! it.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::go_on::GoOnArgs;
use crate::cli::review::who_sits_here;
use crate::cli::stored;
use crate::host::Steering;

/// What `resume` is given.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    steer: SteerArgs,
    #[command(flatten)]
    go_on: GoOnArgs,
}

/// Does it. A run that has ended is a conflict; one that is not paused stays as it is.
pub fn execute(args: &ResumeArgs, context: &Context) -> Result<Exit, Failure> {
    let run = args.steer.run(context)?;
    let who = args.steer.by.clone().unwrap_or_else(who_sits_here);
    args.go_on.execute(stored::open(context)?, &run.run_id, who, context, async |access| {
        args.steer.hand_over(access, &run, Steering::Resume, context).await.map(drop)
    })
}
