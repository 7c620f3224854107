//! `bandstand runs ...`: what was run and what goes on.

mod anew;
pub mod cancel;
pub mod delete;
pub mod drive;
pub mod export;
pub mod fork;
pub mod import;
pub mod kill;
pub mod list;
pub mod pause;
mod point;
pub mod replay;
pub mod report;
pub mod rerun;
pub mod resume;
pub mod retry;
pub mod show;
pub mod signal;
pub mod steer;
pub mod watch;

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
    /// Delete runs that have ended, for good; what agents remember stays
    Delete(delete::DeleteArgs),
    /// Begin a new run that adopts another one's results up to a point, perhaps with edits
    Fork(fork::ForkArgs),
    /// Make a failed run go on where it failed; what had finished stays
    Retry(retry::RetryArgs),
    /// Do a run again from the start, as a new one
    Rerun(rerun::RerunArgs),
    /// Fold a run's journal again and compare with what is stored; nothing is run or changed
    Replay(replay::ReplayArgs),
    /// Write a run, with all that it pins, to one file
    Export(export::ExportArgs),
    /// Take an exported run into this data directory
    Import(import::ImportArgs),
    /// Follow a run that another process drives
    Watch(watch::WatchArgs),
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
        RunsVerb::Delete(args) => delete::execute(args, context),
        RunsVerb::Fork(args) => fork::execute(args, context),
        RunsVerb::Retry(args) => retry::execute(args, context),
        RunsVerb::Rerun(args) => rerun::execute(args, context),
        RunsVerb::Replay(args) => replay::execute(args, context),
        RunsVerb::Export(args) => export::execute(args, context),
        RunsVerb::Import(args) => import::execute(args, context),
        RunsVerb::Watch(args) => watch::execute(args, context),
    }
}
