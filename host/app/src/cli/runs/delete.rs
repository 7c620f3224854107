//! `bandstand runs delete`: deletes runs that have ended, for good.

use bandstand_store::{Deletion, RunStatus};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on};
use crate::cli::exit::{Exit, Failure};
use crate::cli::runs::list::status_words;
use crate::cli::term::{ask, words};
use crate::host::Drive;
use crate::view::RunSummary;

/// What `delete` is given.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// The runs; the beginning of an id is enough
    #[arg(value_name = "RUN", required = true, value_parser = arguments::id)]
    pub runs: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Does it: all of them, or none if one has not ended.
pub fn execute(args: &DeleteArgs, context: &Context) -> Result<Exit, Failure> {
    let site = context.site()?;
    let mut runs: Vec<RunSummary> = Vec::new();
    for prefix in &args.runs {
        let run = site.run(prefix)?;
        if !run.is_ended() && run.status != RunStatus::Stuck.name() {
            return Err(not_ended(&run.run_id, &status_words(&run), context));
        }
        if runs.iter().all(|other| other.run_id != run.run_id) {
            runs.push(run);
        }
    }
    drop(site);
    if !args.yes {
        sure(&runs, context)?;
    }
    let run_ids: Vec<String> = runs.iter().map(|run| run.run_id.clone()).collect();
    let config = context.config_here()?;
    let deleted = block_on(async {
        let access = context.access(config.as_ref(), Drive::Only(Vec::new())).await?;
        let deleted = access.delete_runs(run_ids.clone()).await;
        access.close().await?;
        Ok(deleted?)
    })?;
    let mut refused = None;
    for (run_id, end) in run_ids.iter().zip(&deleted.runs) {
        match end {
            // Unknown: somebody else was faster, or a holder that left before it could answer.
            Deletion::Deleted | Deletion::Unknown if context.out.json => {
                context.out.json_line(&json!({ "run_id": run_id, "deleted": true }));
            }
            Deletion::Deleted | Deletion::Unknown => context.out.note(&format!("run {run_id} is deleted")),
            Deletion::OfOpenParent => {
                let what = format!("run {run_id} is a part of a run that has not ended; it was not deleted");
                let help = format!("which one: bandstand runs show {run_id}{}", context.data_option());
                refused = Some(Failure::not_found(what).help(help));
            }
            Deletion::NotEnded(status) => refused = Some(not_ended(run_id, status.name(), context)),
        }
    }
    match refused {
        Some(failure) => Err(failure),
        None => Ok(Exit::Succeeded),
    }
}

/// Asks; where nobody can be asked, `--yes` must say it.
fn sure(runs: &[RunSummary], context: &Context) -> Result<(), Failure> {
    let what = match runs {
        [run] => format!("run {} of {} ({})", run.run_id, run.workflow, run.status),
        runs => words::count(runs.len(), "run"),
    };
    if !context.out.can_ask {
        return Err(Failure::usage(format!(
            "deleting {what} cannot be undone, and nobody can be asked here"
        ))
        .help("if it is meant, say it with --yes"));
    }
    if ask::yes(&format!("Delete {what} for good? [y/N] ")) {
        Ok(())
    } else {
        Err(Failure::not_found(format!("{what}: nothing was deleted")))
    }
}

fn not_ended(run_id: &str, status: &str, context: &Context) -> Failure {
    Failure::not_found(format!("run {run_id} has not ended: it is {status}; it was not deleted"))
        .help(format!("to end it first: bandstand runs cancel {run_id}{}", context.data_option()))
}
