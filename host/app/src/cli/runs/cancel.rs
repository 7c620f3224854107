//! `bandstand runs cancel`: ends a run, durably.

use bandstand_engine::input::{ActorKind, By};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::review::who_sits_here;
use crate::cli::stored;
use crate::cli::term::ask;
use crate::host::{CancelRequest, Drive, Taken};

/// What `cancel` is given.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// Why; kept with the run
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Who wants it [default: the user of the system]
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub by: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Does it. A run that has ended otherwise is a conflict.
pub fn execute(args: &CancelArgs, context: &Context) -> Result<Exit, Failure> {
    let run = stored::run(&stored::open(context)?, &args.run)?;
    let question = format!("End run {} of {} ({})? [y/N] ", run.run_id, run.workflow, run.status.name());
    if !args.yes && context.out.can_ask && !ask::yes(&question) {
        return Err(Failure::not_found(format!("run {} was left alone", run.run_id)));
    }
    let request = CancelRequest {
        run_id: run.run_id.clone(),
        by: By { kind: ActorKind::Person, id: args.by.clone().unwrap_or_else(who_sits_here) },
        reason: args.reason.clone(),
    };
    let config = context.config_here()?;
    let taken = block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let taken = access.cancel(request).await;
        access.close().await?;
        Ok(taken?)
    })?;
    let words = match taken {
        Taken::Changed => "cancelled",
        Taken::Known => "was cancelled before",
    };
    if context.out.json {
        context.out.json_line(
            &json!({ "run_id": run.run_id, "status": "cancelled", "changed": taken == Taken::Changed }),
        );
    } else {
        context.out.note(&format!("run {} {words}", run.run_id));
    }
    Ok(Exit::Succeeded)
}
