//! `bandstand runs resume`: makes a paused run carry on; if no other process holds the data directory, drives and follows
//! it.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::go_on::GoOnArgs;
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
    let who = context.who(args.steer.by.as_ref());
    args.go_on.execute(&run.run_id, who, context, async |access| {
        args.steer.hand_over(access, &run, Steering::Resume, context).await.map(drop)
    })
}
