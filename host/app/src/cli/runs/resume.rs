//! `bandstand runs resume`: makes a paused run carry on; if no other process holds the data directory, drives and follows
//! it.

use clap::Args;

use super::steer::SteerArgs;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner};
use crate::cli::review::who_sits_here;
use crate::cli::stored;
use crate::host::{Access, Drive, Steering};

/// What `resume` is given.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    steer: SteerArgs,
    /// Only record it: do not make the run go on
    #[arg(long)]
    no_drive: bool,
    /// At a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    no_ask: bool,
    /// Print one text member of the run's result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    print: Option<String>,
}

/// Does it. A run that has ended is a conflict; one that is not paused stays as it is.
pub fn execute(args: &ResumeArgs, context: &Context) -> Result<Exit, Failure> {
    let run = args.steer.run(context)?;
    let mut seq_known = 0;
    stored::each_row(&stored::open(context)?, &run.run_id, |row| {
        seq_known = row.seq + row.events.len() as u64;
    })?;
    let manner = Manner {
        from_seq: seq_known,
        ask_as: (!args.no_ask).then(|| args.steer.by.clone().unwrap_or_else(who_sits_here)),
        print: args.print.clone(),
    };
    let config = context.config_here()?;
    block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let ended = resume_and_drive(&access, args, &run, &manner, context).await;
        let closed = access.close().await;
        let exit = ended?;
        closed?;
        Ok(exit)
    })
}

async fn resume_and_drive(
    access: &Access,
    args: &ResumeArgs,
    run: &bandstand_store::RunRow,
    manner: &Manner,
    context: &Context,
) -> Result<Exit, Failure> {
    args.steer.hand_over(access, run, Steering::Resume, context).await?;
    if args.no_drive || !access.is_holder() {
        return Ok(Exit::Succeeded);
    }
    access.drive(&run.run_id).await?;
    follow::to_the_end(access, &run.run_id, context, manner).await
}
