//! `bandstand notify ...`: who is told when reviews open, are answered or expire, and when runs end (R2.8).

pub mod list;
pub mod resend;
pub mod test;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of notifications.
#[derive(Debug, Subcommand)]
pub enum NotifyVerb {
    /// List who is told of what, what waits to be delivered, and what was given up and why
    List(list::ListArgs),
    /// Send again what was given up: one delivery by its id, or all of an endpoint
    Resend(resend::ResendArgs),
    /// Send somebody something that never happened, signed as everything is
    Test(test::TestArgs),
}

/// Does it.
pub fn execute(verb: &NotifyVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        NotifyVerb::List(args) => list::execute(args, context),
        NotifyVerb::Resend(args) => resend::execute(args, context),
        NotifyVerb::Test(args) => test::execute(args, context),
    }
}
