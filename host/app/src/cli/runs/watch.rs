//! `bandstand runs watch`: follows a run that another process drives, and changes nothing: neither the run nor who holds
//! the data directory.

use std::time::Duration;

use bandstand_engine::Status;
use bandstand_store::{Lock, Reader, ReviewFilter, RunLease, RunRow, RunStatus};
use clap::Args;

use crate::cli::arguments;
use crate::cli::context::{Context, block_on, told_to_end};
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::{self, Manner, event_line};
use crate::cli::history::History;
use crate::cli::stored;
use crate::host::{Access, Settled};
use crate::view::event_value;

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rows that are read at a time.
const PAGE_ROWS: u32 = 500;
/// Every so many looks it is found out whether anybody drives the run. Not at each: asking holds the lock for a moment.
const LOOKS_BETWEEN_ASKING: u32 = 20;

/// What `watch` is given.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
    /// Print one text member of the result as it is, such as `report.markdown`
    #[arg(long, value_name = "PATH", conflicts_with = "json")]
    pub print: Option<String>,
}

/// Follows it until it has ended or only a person can move it; ends with the exit code that goes with that.
pub fn execute(args: &WatchArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(api) = context.api() {
        let run = context.site()?.run(&args.run)?;
        let manner = Manner { from_seq: 0, ask_as: None, print: args.print.clone() };
        let access = Access::at(api.clone());
        return block_on(async { follow::to_the_end(&access, &run.run_id, context, &manner).await });
    }
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    block_on(async {
        tokio::select! {
            exit = follow_rows(&reader, run, args, context) => exit,
            () = told_to_end() => Err(Failure {
                exit: Exit::Interrupted,
                what: "no longer watching; the run is as it was".to_owned(),
                help: None,
            }),
        }
    })
}

async fn follow_rows(
    reader: &Reader,
    run: RunRow,
    args: &WatchArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    let run_id = run.run_id;
    let (mut history, mut looks, mut told) = (History::default(), 0_u32, false);
    loop {
        // First where it stands, then what led there: nothing is missed.
        let row = reader.run(&run_id)?.ok_or_else(|| Failure::not_found(format!("run {run_id} is gone")))?;
        let settled = settled(reader, &row)?;
        loop {
            let page = reader.history(&run_id, history.events, PAGE_ROWS)?;
            for row in &page.rows {
                for (seq, event) in (row.seq..).zip(&row.events) {
                    if context.out.json {
                        context.out.json_line(&event_value(&row.run_id, seq, row.at, event));
                    } else if let Some(line) = event_line(&context.out, row.at, event) {
                        context.out.note(&line);
                    }
                }
                history.add(row.at, &row.events);
            }
            if page.next.is_none() {
                break;
            }
        }
        if let Some(settled) = settled {
            let manner = Manner { from_seq: 0, ask_as: None, print: args.print.clone() };
            return follow::outcome(&run_id, &history, &settled, context, &manner);
        }
        looks = looks.wrapping_add(1);
        if !told
            && looks.is_multiple_of(LOOKS_BETWEEN_ASKING)
            && matches!(Lock::holder(context.data_dir()), Ok(None))
        {
            told = true;
            context.out.note(&format!(
                "no process drives it now; to make it go on: bandstand runs drive {run_id}{}",
                context.data_option()
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `None`: it goes on by itself.
fn settled(reader: &Reader, run: &RunRow) -> Result<Option<Settled>, Failure> {
    Ok(match run.status {
        RunStatus::Succeeded => Some(Settled::Ended(Status::Succeeded)),
        RunStatus::Failed => Some(Settled::Ended(Status::Failed)),
        RunStatus::Cancelled | RunStatus::Killed => Some(Settled::Ended(Status::Cancelled)),
        RunStatus::Stuck => {
            let unknown = "the host that drove it could not go on; driving it again tells why";
            Some(Settled::Stuck(crate::view::problem(run).unwrap_or(unknown).to_owned()))
        }
        RunStatus::Paused => Some(Settled::Paused),
        RunStatus::Running => None,
        RunStatus::Waiting if run.lease.as_ref().is_some_and(|lease| *lease != RunLease::Held) => {
            behind(reader, run)?
        }
        RunStatus::Waiting if stored::can_be_driven(reader, run) => None,
        RunStatus::Waiting => {
            let filter = ReviewFilter { run_id: Some(run.run_id.clone()), ..ReviewFilter::default() };
            let reviews = reader.reviews(&filter, None, 1_000)?;
            Some(Settled::WaitingForPeople {
                reviews: reviews.into_iter().map(|review| review.review_id).collect(),
            })
        }
    })
}

/// Of a run that waits for its thread: whether only a person can move the one that has it.
fn behind(reader: &Reader, run: &RunRow) -> Result<Option<Settled>, Failure> {
    let Some(RunLease::Queued { behind: Some(ahead) }) = &run.lease else { return Ok(None) };
    let Some(ahead) = reader.run(ahead)? else { return Ok(None) };
    Ok(match settled(reader, &ahead)? {
        None | Some(Settled::Ended(_)) => None,
        Some(_) => Some(Settled::QueuedBehind { run_id: ahead.run_id }),
    })
}
