//! `bandstand thread list`: the threads that keep something.

use bandstand_store::Reader;
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::table::Table;
use crate::cli::term::words;
use crate::view::{ThreadSummary, moment};

/// What `list` is given.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only threads of this workflow
    #[arg(long, value_name = "NAME", value_parser = arguments::name)]
    pub workflow: Option<String>,
}

/// Prints them all.
pub fn execute(args: &ListArgs, context: &Context) -> Result<Exit, Failure> {
    let Some(site) = context.site_if_there()? else { return Ok(Exit::Succeeded) };
    let threads = site.threads(args.workflow.as_deref())?;
    if context.out.json {
        threads.iter().for_each(|thread| context.out.json_line(&json!(thread)));
        return Ok(Exit::Succeeded);
    }
    let mut table = Table::new(&["workflow", "thread", "keeps", "written", "run"]);
    for thread in threads {
        let channels: Vec<&str> = thread.channels.keys().map(String::as_str).collect();
        table.row([
            thread.workflow,
            thread.thread_id,
            channels.join(", "),
            thread.written_at.as_deref().map(moment).map(words::instant).unwrap_or_default(),
            thread.holder.unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        context.out.note("no thread keeps anything");
    } else {
        table.lines(0).iter().for_each(|line| context.out.data(line));
    }
    Ok(Exit::Succeeded)
}

/// The threads of a store that keep something.
pub(crate) fn all(reader: &Reader, workflow: Option<&str>) -> Result<Vec<ThreadSummary>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let threads = reader.threads(workflow, after.as_ref())?;
        let Some(last) = threads.last() else { return Ok(all) };
        after = Some(last.key.clone());
        for thread in threads {
            all.push(ThreadSummary::of(reader, thread)?);
        }
    }
}
