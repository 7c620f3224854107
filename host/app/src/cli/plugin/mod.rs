//! `bandstand plugin ...`: what plugins are, what is compiled of them, and which of them are in quarantine. Nothing of a
//! plugin runs here.

pub mod inspect;
pub mod list;
pub mod precompile;
pub mod quarantine;
pub mod release;
pub mod verify;

use bandstand_sandbox::{Sandbox, Settings};
use clap::Subcommand;

use super::context::{Context, sandbox_settings};
use super::exit::{Exit, Failure};
use crate::driver::compiled_dir;
use crate::project::config::Config;

/// What is wanted of plugins.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Show what a plugin needs and offers, running nothing of it
    Inspect(inspect::InspectArgs),
    /// Compile plugins now, so that their first call need not wait for it
    Precompile(precompile::PrecompileArgs),
    /// Tell whether plugins load here: digest, imports, grants by bandstand.toml, compiled code
    Verify(verify::VerifyArgs),
    /// List the plugins that are kept for runs, and which of them are in quarantine
    List(list::ListArgs),
    /// Put a plugin that is in quarantine back in service; its faults are forgotten
    Release(release::ReleaseArgs),
}

/// Does it.
pub fn execute(verb: &PluginVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        PluginVerb::Inspect(args) => inspect::execute(args, context),
        PluginVerb::Precompile(args) => precompile::execute(args, context),
        PluginVerb::Verify(args) => verify::execute(args, context),
        PluginVerb::List(args) => list::execute(args, context),
        PluginVerb::Release(args) => release::execute(args, context),
    }
}

/// Loads as a host of this data directory would, with the same engine, so that it finds what it is looking for.
fn sandbox(context: &Context, config: Option<&Config>, cache_read_only: bool) -> Result<Sandbox, Failure> {
    let settings = Settings {
        cache_dir: Some(compiled_dir(context.data_dir())),
        cache_read_only,
        ..sandbox_settings(config)
    };
    Sandbox::new(settings).map_err(Failure::other)
}
