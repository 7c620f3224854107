//! `bandstand thread list`: the threads that keep something.

use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::view::ThreadSummary;

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only threads of this workflow
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    pub workflow: Option<String>,
}

/// Prints them all.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(reader) = stored::open_if_there(context)? else { return Ok(Exit::Succeeded) };
    let mut table = Table::new(&["workflow", "thread", "keeps", "written", "run"]);
    let mut after = None;
    loop {
        let threads = reader.threads(args.workflow.as_deref(), after.as_ref())?;
        let Some(last) = threads.last() else { break };
        after = Some(last.key.clone());
        for thread in threads {
            let written_at = thread.written_at.map(words::instant).unwrap_or_default();
            let thread = ThreadSummary::of(&reader, thread)?;
            if context.out.json {
                context.out.json_line(&json!(thread));
                continue;
            }
            let channels: Vec<&str> = thread.channels.keys().map(String::as_str).collect();
            table.row([
                thread.workflow,
                thread.thread_id,
                channels.join(", "),
                written_at,
                thread.holder.unwrap_or_default(),
            ]);
        }
    }
    if !context.out.json {
        if table.is_empty() {
            context.out.note("no thread keeps anything");
        } else {
            table.lines(0).iter().for_each(|line| context.out.data(line));
        }
    }
    Ok(Exit::Succeeded)
}
