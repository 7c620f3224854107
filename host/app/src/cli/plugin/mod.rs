//! `bandstand plugin ...`: what plugins are, read from their bytes, and which of them are in quarantine.

pub mod inspect;
pub mod list;
pub mod quarantine;
pub mod release;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of plugins.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Show what a plugin needs and offers, running nothing of it
    Inspect(inspect::InspectArgs),
    /// List the plugins that are kept for runs, and which of them are in quarantine
    List(list::ListArgs),
    /// Put a plugin that is in quarantine back in service; its faults are forgotten
    Release(release::ReleaseArgs),
}

/// Does it.
pub fn execute(verb: &PluginVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        PluginVerb::Inspect(args) => inspect::execute(args, context),
        PluginVerb::List(args) => list::execute(args, context),
        PluginVerb::Release(args) => release::execute(args, context),
    }
}
