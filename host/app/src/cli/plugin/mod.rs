//! `bandstand plugin ...`: what plugins are, read from their bytes.

pub mod inspect;

use clap::Subcommand;

use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of plugins.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Show what a plugin needs and offers, running nothing of it
    Inspect(inspect::InspectArgs),
}

/// Does it.
pub fn execute(verb: &PluginVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        PluginVerb::Inspect(args) => inspect::execute(args, context),
    }
}
