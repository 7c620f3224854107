//! `bandstand runs cancel`: ends a run in order, durably.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::host::Steering;

/// What `cancel` is given.
#[derive(Args, Debug)]
pub struct CancelArgs {
    #[command(flatten)]
    steer: SteerArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Does it. A run that has ended otherwise is a conflict.
pub fn execute(args: &CancelArgs, context: &Context) -> Result<Exit, Failure> {
    let run = args.steer.run(context)?;
    args.steer.ask(&run, "End", args.yes, context)?;
    args.steer.execute(&run, Steering::Cancel, context)
}
