//! `bandstand plugin ...`: what plugins are, and what is compiled of them. Nothing of a plugin runs here.

pub mod inspect;
pub mod precompile;
pub mod verify;

use bandstand_sandbox::{Sandbox, Settings};
use clap::Subcommand;

use super::context::{Context, compiler};
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
}

/// Does it.
pub fn execute(verb: &PluginVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        PluginVerb::Inspect(args) => inspect::execute(args, context),
        PluginVerb::Precompile(args) => precompile::execute(args, context),
        PluginVerb::Verify(args) => verify::execute(args, context),
    }
}

/// Loads as a host of this data directory would, with the same engine, so that it finds what it is looking for.
fn sandbox(context: &Context, config: Option<&Config>, cache_read_only: bool) -> Result<Sandbox, Failure> {
    let settings = Settings {
        cache_dir: Some(compiled_dir(context.data_dir())),
        cache_read_only,
        compiler: Some(compiler(config)),
        ..Settings::default()
    };
    Sandbox::new(settings).map_err(Failure::other)
}
