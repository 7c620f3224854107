//! `bandstand schedule ...`: what begins by itself, and when.

pub mod list;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleVerb {
    /// List the cron triggers of the workflows that are served: when each fires next, and what it began last
    List,
}

/// Does it.
pub fn execute(verb: &ScheduleVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        ScheduleVerb::List => list::execute(context),
    }
}
