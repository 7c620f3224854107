//! `bandstand runs pause`: nothing new starts in a run until it is resumed.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::host::Steering;

/// What `pause` is given.
#[derive(Args, Debug)]
pub struct PauseArgs {
    #[command(flatten)]
    steer: SteerArgs,
}

/// Does it. A run that has ended is a conflict.
pub fn execute(args: &PauseArgs, context: &Context) -> Result<Exit, Failure> {
    let run = args.steer.run(context)?;
    args.steer.execute(&run, Steering::Pause, context)
}
