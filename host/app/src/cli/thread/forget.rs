//! `bandstand thread forget`: forgets what a thread keeps, for good. The next run of it begins with `initial`.

use clap::Args;
use serde_json::json;

use super::ThreadArgs;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::ask;
use crate::host::Drive;

/// What `forget` is given.
#[derive(Args, Debug)]
pub struct ForgetArgs {
    /// Which thread
    #[command(flatten)]
    pub thread: ThreadArgs,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Does it, unless a run has the thread or waits for it.
pub fn execute(args: &ForgetArgs, context: &Context) -> Result<Exit, Failure> {
    let ThreadArgs { workflow, thread } = &args.thread;
    let what = format!("what thread `{thread}` of workflow `{workflow}` keeps");
    if !args.yes {
        if !context.out.can_ask {
            return Err(Failure::usage(format!(
                "forgetting {what} cannot be undone, and nobody can be asked here"
            ))
            .help("if it is meant, say it with --yes"));
        }
        if !ask::yes(&format!("Forget {what} for good? [y/N] ")) {
            return Err(Failure::not_found(format!("{what}: nothing was forgotten")));
        }
    }
    let config = context.config_here()?;
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let forgotten = access.forget_thread(workflow, thread).await;
        access.close().await?;
        Ok(forgotten?)
    })?;
    if context.out.json {
        context.out.json_line(&json!({ "workflow": workflow, "thread_id": thread, "forgotten": true }));
    } else {
        context.out.note(&format!("{what} is forgotten"));
    }
    Ok(Exit::Succeeded)
}
