//! `bandstand review ...`: what waits for people, and their answers.

pub mod answer;
pub mod approve;
pub mod list;
pub mod reject;
pub mod show;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of reviews.
#[derive(Debug, Subcommand)]
pub enum ReviewVerb {
    /// List what waits for people, the next to expire first
    List(list::ListArgs),
    /// Show one review: what is proposed, why, and what was answered
    Show(show::ShowArgs),
    /// Approve a review, with changes or as it is; the run goes on
    Approve(approve::ApproveArgs),
    /// Reject a review; the run goes on
    Reject(reject::RejectArgs),
}

/// Does it.
pub fn execute(verb: &ReviewVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        ReviewVerb::List(args) => list::execute(args, context),
        ReviewVerb::Show(args) => show::execute(args, context),
        ReviewVerb::Approve(args) => approve::execute(args, context),
        ReviewVerb::Reject(args) => reject::execute(args, context),
    }
}

/// The user of the system, in whose name the terminal answers when no other is given.
pub fn who_sits_here() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "operator".to_owned())
}
