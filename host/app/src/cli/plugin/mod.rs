//! `bandstand plugin ...`: projects of agents and how they are built; what plugins are, what is compiled of them, and which of
//! them are in quarantine; and one call by hand. Nothing of a plugin runs but in `test`.

pub mod build;
pub(crate) mod component;
pub mod inspect;
pub mod list;
pub mod new;
pub mod pack;
pub mod precompile;
pub mod put;
pub mod quarantine;
pub mod release;
pub mod test;
mod test_cases;
mod test_report;
mod test_tools;
pub mod verify;

use bandstand_sandbox::{LoadError, Sandbox, Settings};
use clap::Subcommand;

use super::context::{Context, sandbox_settings};
use super::exit::{Exit, Failure};
use crate::driver::compiled_dir;
use crate::project::config::Config;

/// What is wanted of plugins.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Start a project of an agent: sources, tests, cases, README, the SDK and the interface
    New(new::NewArgs),
    /// Build the component of a project, in any of the languages
    Build(build::BuildArgs),
    /// Show what a plugin needs and offers, running nothing of it
    Inspect(inspect::InspectArgs),
    /// Write what plugin.toml says of an agent into its component
    Pack(pack::PackArgs),
    /// Compile plugins now, so that their first call need not wait for it
    Precompile(precompile::PrecompileArgs),
    /// Tell whether plugins load here: digest, imports, grants by bandstand.toml, compiled code
    Verify(verify::VerifyArgs),
    /// Call a plugin once, in the sandbox and without a workflow, and show what it gave and took
    Test(test::TestArgs),
    /// List the plugins that are kept for runs, and which of them are in quarantine
    List(list::ListArgs),
    /// Put a component into the served directory of a server (--server)
    Put(put::PutArgs),
    /// Put a plugin that is in quarantine back in service; its faults are forgotten
    Release(release::ReleaseArgs),
}

/// Does it.
pub fn execute(verb: &PluginVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        PluginVerb::New(args) => new::execute(args, context),
        PluginVerb::Build(args) => build::execute(args, context),
        PluginVerb::Inspect(args) => inspect::execute(args, context),
        PluginVerb::Pack(args) => pack::execute(args, context),
        PluginVerb::Precompile(args) => precompile::execute(args, context),
        PluginVerb::Verify(args) => verify::execute(args, context),
        PluginVerb::Test(args) => test::execute(args, context),
        PluginVerb::List(args) => list::execute(args, context),
        PluginVerb::Put(args) => put::execute(args, context),
        PluginVerb::Release(args) => release::execute(args, context),
    }
}

/// Loads as a host of this data directory would, with the same engine, so that it finds what it is looking for.
fn sandbox(context: &Context, config: Option<&Config>, cache_read_only: bool) -> Result<Sandbox, Failure> {
    Sandbox::new(settings(context, config, cache_read_only)).map_err(Failure::other)
}

fn settings(context: &Context, config: Option<&Config>, cache_read_only: bool) -> Settings {
    Settings {
        cache_dir: Some(compiled_dir(context.data_dir())),
        cache_read_only,
        ..sandbox_settings(config)
    }
}

/// A plugin that does not load, with advice for this very reason: who brings a good file need not hear how to build one.
fn unloaded(error: &LoadError) -> Failure {
    let failure = Failure::usage(error);
    match error {
        LoadError::CompileTime { .. } | LoadError::CompileMemory { .. } => {
            failure.help("the bounds stand in bandstand.toml: [compile] memory = \"8GiB\", time = \"5m\"")
        }
        // What they say ends with what to do.
        LoadError::CompilerCrash { .. }
        | LoadError::CompilerAnswer { .. }
        | LoadError::CompilerStart { .. }
        | LoadError::CoreModule
        | LoadError::TooLarge { .. }
        | LoadError::WrongVersion { .. } => failure,
        LoadError::Compile { .. } | LoadError::Incompatible { .. } | LoadError::Malformed { .. } => failure.help(
            "the file is a component, but not one that works here: it was damaged, or made by other tools than the SDK's; make it \
             anew, in an agent's project with: bandstand plugin build",
        ),
        LoadError::UnknownImports(_) => {
            failure.help("what a plugin may import is in host/docs/agents.md, \"What it may use\"; make it without the rest")
        }
        LoadError::NotGranted(_) => failure.help("bandstand.toml permits it to a plugin by [grants]"),
        LoadError::FunctionName { .. }
        | LoadError::NoFunction { .. }
        | LoadError::SeveralFunctions { .. }
        | LoadError::NotCallable { .. } => {
            failure.help("what it exports, with types: bandstand plugin inspect FILE")
        }
        _ => failure.help(inspect::HOW_TO_BUILD),
    }
}

/// The same, of the file of that name.
fn refused(file: &str, error: &LoadError) -> Failure {
    let failure = unloaded(error);
    Failure { what: format!("{file}: {}", failure.what), ..failure }
}

/// The last word after several failures that were told: one, with the gravest exit code and its advice.
fn summary(failures: Vec<Failure>, what: impl Fn(usize) -> String) -> Option<Failure> {
    let what = what(failures.len());
    let gravest = failures.into_iter().max_by_key(|failure| failure.exit.code())?;
    Some(Failure { what, ..gravest })
}
