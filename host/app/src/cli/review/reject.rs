//! `bandstand review reject`: rejects.

use bandstand_engine::input::Verdict;
use clap::Args;

use super::answer::{self, AnswerArgs};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};

/// What `reject` is given.
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// As for `approve`.
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// Does it.
pub fn execute(args: &RejectArgs, context: &Context) -> Result<Exit, Failure> {
    answer::execute(&args.answer, Verdict::Rejected, None, None, context)
}
