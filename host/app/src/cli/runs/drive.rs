//! `bandstand runs drive`: makes one run, or all open ones, go on until they end or only people can move them.

use bandstand_store::{Reader, RunFilter, RunRow, RunStatus};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on, told_to_end};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner};
use crate::cli::stored;
use crate::cli::term::words;
use crate::host::{Access, Drive, Settled};
use crate::view::RunSummary;

/// What `drive` is given.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["run", "all"])))]
pub struct DriveArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: Option<String>,
    /// All runs that have not ended
    #[arg(long)]
    pub all: bool,
    /// At a review, do not ask on the terminal: end with exit code 4
    #[arg(long)]
    pub no_ask: bool,
    /// Print one text member of the result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with_all = ["json", "all"])]
    pub print: Option<String>,
}

/// Does it.
pub fn execute(args: &DriveArgs, context: &Context) -> Result<Exit, Failure> {
    if args.all && context.api().is_some() {
        return Err(Failure::usage("a server makes all its runs go on by itself")
            .help("to see them: bandstand runs list; to follow one: bandstand runs watch RUN"));
    }
    let site = context.site()?;
    let config = context.config_here()?;
    let run = args.run.as_ref().map(|beginning| site.run(beginning)).transpose()?;
    drop(site);
    block_on(async {
        match run {
            Some(run) => {
                let access = context.access(config.as_ref(), Drive::Only(vec![run.run_id.clone()])).await?;
                let ended = one(&access, &run, args, context).await;
                let closed = access.close().await;
                let exit = ended?;
                closed?;
                Ok(exit)
            }
            None => {
                let access = context.access(config.as_ref(), Drive::All).await?;
                let ended = all(&access, context).await;
                let closed = access.close().await;
                let exit = ended?;
                closed?;
                Ok(exit)
            }
        }
    })
}

async fn one(
    access: &Access,
    run: &RunSummary,
    args: &DriveArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    if !run.is_ended() {
        access.drive(&run.run_id).await?;
    }
    let manner = Manner {
        from_seq: 0,
        ask_as: (!args.no_ask).then(|| context.who(run.user_id.as_ref())),
        print: args.print.clone(),
    };
    let ended = follow::to_the_end(access, &run.run_id, context, &manner).await;
    stored::name_other_open_runs(context, &run.run_id);
    ended
}

/// Whether a run is a part of one that has not ended.
fn has_open_parent(reader: &Reader, run: &RunRow) -> Result<bool, Failure> {
    let Some(parent) = &run.parent else { return Ok(false) };
    Ok(reader.run(parent)?.is_some_and(|parent| !parent.status.is_ended()))
}

/// One line for each run as it settles. Failed ones outweigh waiting ones in the exit code.
async fn all(access: &Access, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    // A paused one does not go on, but its deadlines hold, and whoever drives all is to hear of it.
    let statuses = vec![RunStatus::Running, RunStatus::Waiting, RunStatus::Paused];
    let filter = RunFilter { statuses, children_too: true, ..RunFilter::default() };
    let mut cursor = None;
    let mut open = tokio::task::JoinSet::new();
    loop {
        let page = reader.runs(&filter, cursor.as_deref(), 1_000)?;
        for run in page.runs {
            if has_open_parent(&reader, &run)? {
                // It is driven and heard of with that.
                continue;
            }
            let access = access.clone();
            open.spawn(async move {
                access.drive(&run.run_id).await?;
                Ok::<_, Failure>((run.run_id.clone(), access.until_settled(&run.run_id).await?))
            });
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    // One for the whole loop: a signal between two turns is not missed, nor one that comes as soon as it is told that they are driven.
    let told_to_end = told_to_end();
    tokio::pin!(told_to_end);
    context.out.note(&format!("driving {}", words::count(open.len(), "run")));
    let (mut failed, mut waiting) = (false, false);
    loop {
        let settled = tokio::select! {
            settled = open.join_next() => settled,
            () = &mut told_to_end => {
                return Err(Failure {
                    exit: Exit::Interrupted,
                    what: "interrupted; the runs stay as they are".to_owned(),
                    help: Some(format!("to go on: bandstand runs drive --all{}", context.data_option())),
                });
            }
        };
        let Some(settled) = settled else { break };
        let (run_id, settled) =
            settled.map_err(|error| Failure::other(format!("a run could not be followed: {error}")))??;
        if matches!(settled, Settled::Ended(_)) {
            follow::end_of_children(access, &run_id, context).await?;
        }
        let status = match &settled {
            Settled::Ended(status) => status.name(),
            Settled::WaitingForPeople { .. } | Settled::QueuedBehind { .. } => "waiting",
            Settled::Paused => "paused",
            Settled::Stuck(_) => "stuck",
        };
        waiting |= ["waiting", "paused"].contains(&status);
        failed |= ["failed", "stuck"].contains(&status);
        if context.out.json {
            context.out.json_line(&json!({ "type": "outcome", "run_id": run_id, "status": status }));
        } else {
            context.out.data(&format!("{run_id}  {status}"));
        }
    }
    Ok(match (failed, waiting) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Waiting,
        (false, false) => Exit::Succeeded,
    })
}
