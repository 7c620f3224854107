//! `bandstand review approve`: approves, with an edit or without.

use bandstand_engine::input::Verdict;
use clap::Args;

use super::answer::{self, AnswerArgs};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::json_input;

/// What `approve` is given.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// As for `reject`.
    #[command(flatten)]
    pub answer: AnswerArgs,
    /// An edit of what is proposed, as a JSON merge patch: JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub changes: Option<String>,
    /// Id of the latest edit you saw; needed to edit what another reviewer has edited
    #[arg(long, value_name = "ID")]
    pub saw: Option<String>,
}

/// Does it.
pub fn execute(args: &ApproveArgs, context: &Context) -> Result<Exit, Failure> {
    let changes = args.changes.as_deref().map(|text| json_input::read("--changes", text)).transpose()?;
    answer::execute(&args.answer, Verdict::Approved, changes, args.saw.clone(), context)
}
