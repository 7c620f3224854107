//! `bandstand runs list`: runs, newest first, page by page.

use bandstand_store::{RunFilter, RunLease, RunRow, RunStatus};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::arguments;
use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::view::{RunSummary, held};

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only runs with this status; may be given several times
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Vec<RunStatus>,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Only runs of this thread
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub thread: Option<String>,
    /// Only runs for this user
    #[arg(long, value_name = "ID", value_parser = arguments::name)]
    pub user: Option<String>,
    /// Child runs, too; else only runs that were started for themselves
    #[arg(long)]
    pub children: bool,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: u32,
    /// Where to go on: what the page before told
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

fn status(word: &str) -> Result<RunStatus, String> {
    RunStatus::from_name(word).ok_or_else(|| {
        let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.name()).collect();
        format!("there is {}", known.join(", "))
    })
}

/// Prints them.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(reader) = stored::open_if_there(context)? else { return Ok(Exit::Succeeded) };
    let filter = RunFilter {
        statuses: args.status.clone(),
        workflow: args.workflow.clone(),
        thread_id: args.thread.clone(),
        user_id: args.user.clone(),
        children_too: args.children,
        ..RunFilter::default()
    };
    let page = reader.runs(&filter, args.cursor.as_deref(), args.limit)?;
    if context.out.json {
        page.runs.iter().for_each(|run| context.out.json_line(&as_json(run)));
    } else if page.runs.is_empty() {
        context.out.note("no such runs");
    } else {
        let mut table = Table::new(&["run", "workflow", "status", "stage", "started", "took"]);
        for run in &page.runs {
            let end = run.ended_at.unwrap_or_else(now);
            table.row([
                run.run_id.clone(),
                format!("{} v{}", run.workflow, run.version),
                status_words(run),
                run.stage.clone().unwrap_or_default(),
                words::instant(run.started_at),
                words::span(end.since_ms(run.started_at)),
            ]);
        }
        table.lines(0).iter().for_each(|line| context.out.data(line));
    }
    if let Some(next) = page.next {
        context.out.note(&format!("there may be more: --cursor {next}"));
    }
    Ok(Exit::Succeeded)
}

/// `waiting until 2026-...`, `running (held: overload)`.
pub fn status_words(run: &RunRow) -> String {
    let mut text = run.status.name().to_owned();
    if let Some(RunLease::Queued { behind }) = &run.lease {
        let thread = run.thread_id.as_deref().unwrap_or_default();
        // In a list on a terminal what is long is cut at its end.
        match behind {
            Some(ahead) => text.push_str(&format!(" behind {ahead} in thread {thread}")),
            None => text.push_str(&format!(" for thread {thread}")),
        }
        return text;
    }
    if let Some(starts_at) = run.starts_at.filter(|_| run.status == RunStatus::Waiting) {
        return format!("waiting to start at {}", words::instant(starts_at));
    }
    if let Some(held) = held(run).filter(|held| *held != run.status.name()) {
        text.push_str(&format!(" (held: {held})"));
    } else if let (RunStatus::Waiting, Some(until)) = (run.status, run.next_deadline) {
        text.push_str(&format!(" until {}", words::instant(until)));
    }
    text
}

/// A run's row.
pub fn as_json(run: &RunRow) -> Value {
    json!(RunSummary::from(run))
}
