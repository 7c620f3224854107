//! `bandstand runs kill`: ends a run at once, without cleanup, durably.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::host::Steering;

/// What `kill` is given.
#[derive(Args, Debug)]
pub struct KillArgs {
    #[command(flatten)]
    steer: SteerArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Does it. A run that has ended otherwise is a conflict.
pub fn execute(args: &KillArgs, context: &Context) -> Result<Exit, Failure> {
    let run = args.steer.run(context)?;
    args.steer.ask(&run, "Kill", args.yes, context)?;
    args.steer.execute(&run, Steering::Kill, context)
}
