//! `bandstand schedule list`: the cron triggers of what is served here, or was served last.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::table::Table;
use crate::driver::now;
use crate::view::ScheduleSummary;

/// Prints them all.
pub fn execute(context: &Context) -> Result<Exit, Failure> {
    let Some(reader) = stored::open_if_there(context)? else { return Ok(Exit::Succeeded) };
    let mut table =
        Table::new(&["workflow", "trigger", "cron", "zone", "overlap", "next", "last", "run", "problem"]);
    for kept in reader.schedules()? {
        let schedule = ScheduleSummary::of(&reader, kept, now())?;
        if context.out.json {
            context.out.json_line(&json!(schedule));
            continue;
        }
        table.row([
            schedule.workflow,
            schedule.trigger.to_string(),
            schedule.cron,
            schedule.zone,
            schedule.overlap.unwrap_or_default(),
            schedule.next_at.unwrap_or_default(),
            schedule.last_at.unwrap_or_default(),
            schedule.last_run_id.unwrap_or_default(),
            schedule.problem.unwrap_or_default(),
        ]);
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note("no workflow with a cron trigger is served: bandstand serve [DIR] does");
        } else {
            table.lines(0).iter().for_each(|line| context.out.data(line));
        }
    }
    Ok(Exit::Succeeded)
}
