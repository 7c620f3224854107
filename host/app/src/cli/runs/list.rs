//! `bandstand runs list`: runs, newest first, page by page.

use bandstand_store::RunStatus;
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::{Context, now};
use crate::cli::exit::{Exit, Failure};
use crate::cli::site::Runs;
use crate::cli::term::table::Table;
use crate::cli::term::{safe, words};
use crate::view::{Lease, LeaseIs, RunSummary, moment};

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
    let Some(site) = context.site_if_there()? else { return Ok(Exit::Succeeded) };
    let page = site.runs(Runs {
        statuses: args.status.clone(),
        workflow: args.workflow.clone(),
        thread: args.thread.clone(),
        user: args.user.clone(),
        children: args.children,
        limit: args.limit,
        cursor: args.cursor.clone(),
    })?;
    if context.out.json {
        page.items.iter().for_each(|run| context.out.json_line(&json!(run)));
    } else if page.items.is_empty() {
        context.out.note("no such runs");
    } else {
        let mut table = Table::new(&["run", "workflow", "status", "stage", "started", "took"]);
        for run in &page.items {
            let started = moment(&run.started_at);
            let end = run.ended_at.as_deref().map_or_else(now, moment);
            table.row([
                run.run_id.clone(),
                format!("{} v{}", run.workflow, run.version),
                status_words(run),
                run.stage.clone().unwrap_or_default(),
                words::instant(started),
                words::span(end.since_ms(started)),
            ]);
        }
        table.lines(0).iter().for_each(|line| context.out.data(line));
    }
    if let Some(next) = page.next_cursor {
        context.out.note(&safe::line(&format!("there may be more: --cursor {next}")));
    }
    Ok(Exit::Succeeded)
}

/// `waiting until 2026-...`, `running (held: overload)`.
pub fn status_words(run: &RunSummary) -> String {
    let mut text = run.status.clone();
    if let Some(Lease { is: LeaseIs::Queued, behind }) = &run.lease {
        let thread = run.thread_id.as_deref().unwrap_or_default();
        // In a list on a terminal what is long is cut at its end.
        match behind {
            Some(ahead) => text.push_str(&format!(" behind {ahead} in thread {thread}")),
            None => text.push_str(&format!(" for thread {thread}")),
        }
        return text;
    }
    if let (Some(starts_at), "waiting") = (&run.starts_at, run.status.as_str()) {
        return format!("waiting to start at {}", words::instant(moment(starts_at)));
    }
    if let Some(held) = run.held.as_ref().filter(|held| **held != run.status) {
        text.push_str(&format!(" (held: {held})"));
    } else if let ("waiting", Some(until)) = (run.status.as_str(), &run.next_deadline) {
        text.push_str(&format!(" until {}", words::instant(moment(until))));
    }
    text
}
