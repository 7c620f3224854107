//! `bandstand thread ...`: what threads keep for their next run, and forgetting it (R5.8).

pub mod forget;
pub mod list;
pub mod show;

use bandstand_store::ThreadKey;
use clap::{Args, Subcommand};

use super::arguments;
use super::context::Context;
use super::exit::{Exit, Failure};

/// What is wanted of threads.
#[derive(Debug, Subcommand)]
pub enum ThreadVerb {
    /// List the threads that keep something, by workflow and id
    List(list::ListArgs),
    /// Show what a thread keeps, and which runs have it or wait for it
    Show(ThreadArgs),
    /// Forget what a thread keeps, for good; its runs stay
    Forget(forget::ForgetArgs),
}

/// Which thread.
#[derive(Args, Debug)]
pub struct ThreadArgs {
    /// The workflow's name
    #[arg(value_name = "WORKFLOW", value_parser = arguments::name)]
    pub workflow: String,
    /// The thread's id, as `run --thread` was given it
    #[arg(value_name = "THREAD", value_parser = arguments::name)]
    pub thread: String,
}

/// Does it.
pub fn execute(verb: &ThreadVerb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        ThreadVerb::List(args) => list::execute(args, context),
        ThreadVerb::Show(args) => show::execute(args, context),
        ThreadVerb::Forget(args) => forget::execute(args, context),
    }
}

impl ThreadArgs {
    fn key(&self) -> ThreadKey {
        ThreadKey { workflow: self.workflow.clone(), thread_id: self.thread.clone() }
    }
}
