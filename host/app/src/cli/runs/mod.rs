//! `bandstand runs ...`: what was run and what goes on.

pub mod cancel;
pub mod delete;
pub mod drive;
pub mod list;
pub mod show;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of runs.
#[derive(Debug, Subcommand)]
pub enum RunsVerb {
    /// List runs, newest first
    List(list::ListArgs),
    /// Show all about one run: what it waits for, errors, retries, reviews, routes, branches, times
    Show(show::ShowArgs),
    /// Make a run go on, and follow it
    Drive(drive::DriveArgs),
    /// End a run; attempts that go on are stopped
    Cancel(cancel::CancelArgs),
    /// Delete runs that have ended, for good; what agents remember stays
    Delete(delete::DeleteArgs),
}

/// Does it.
pub fn execute(verb: &RunsVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        RunsVerb::List(args) => list::execute(args, context),
        RunsVerb::Show(args) => show::execute(args, context),
        RunsVerb::Drive(args) => drive::execute(args, context),
        RunsVerb::Cancel(args) => cancel::execute(args, context),
        RunsVerb::Delete(args) => delete::execute(args, context),
    }
}
