//! `bandstand runs ...`: what was run and what goes on.

pub mod cancel;
pub mod drive;
pub mod kill;
pub mod list;
pub mod pause;
pub mod resume;
pub mod show;
pub mod signal;
pub mod steer;

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
    /// Pause a run: nothing new starts, what goes on may finish
    Pause(pause::PauseArgs),
    /// Make a paused run carry on, and follow it
    Resume(resume::ResumeArgs),
    /// Send a signal to a run, and make it go on
    Signal(signal::SignalArgs),
    /// End a run in order; attempts that go on are stopped
    Cancel(cancel::CancelArgs),
    /// End a run at once, without cleanup
    Kill(kill::KillArgs),
}

/// Does it.
pub fn execute(verb: &RunsVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        RunsVerb::List(args) => list::execute(args, context),
        RunsVerb::Show(args) => show::execute(args, context),
        RunsVerb::Drive(args) => drive::execute(args, context),
        RunsVerb::Pause(args) => pause::execute(args, context),
        RunsVerb::Resume(args) => resume::execute(args, context),
        RunsVerb::Signal(args) => signal::execute(args, context),
        RunsVerb::Cancel(args) => cancel::execute(args, context),
        RunsVerb::Kill(args) => kill::execute(args, context),
    }
}
