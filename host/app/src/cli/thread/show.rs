//! `bandstand thread show`: what a thread keeps, and which runs have it or wait for it.

use bandstand_store::{Reader, ThreadKey};
use serde_json::json;

use super::ThreadArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::term::safe;
use crate::host::HostError;
use crate::view::ThreadDetail;

/// Prints it.
pub fn execute(args: &ThreadArgs, context: &Context) -> Result<Exit, Failure> {
    let thread = context.site()?.thread(&args.key())?;
    let out = &context.out;
    if out.json {
        out.json_line(&json!(thread));
        return Ok(Exit::Succeeded);
    }
    out.data(&safe::line(&format!("workflow  {}", thread.workflow)));
    out.data(&safe::line(&format!("thread    {}", thread.thread_id)));
    if let Some(holder) = thread.holder {
        out.data(&safe::line(&format!("run       {holder}")));
    }
    for run in thread.queued {
        out.data(&safe::line(&format!("queued    {run}")));
    }
    for (channel, value) in thread.values.as_object().into_iter().flatten() {
        out.data(&format!("{}: {}", safe::line(channel), safe::json(value)));
    }
    Ok(Exit::Succeeded)
}

/// What a thread of a store keeps. One that keeps nothing and that no run has is none.
pub(crate) fn detail(reader: &Reader, key: &ThreadKey) -> Result<ThreadDetail, HostError> {
    let values = reader.thread_values(key)?;
    let runs = reader.thread_runs(key)?;
    let holder = runs.holder.map(|run| run.run_id);
    let queued: Vec<String> = runs.queued.into_iter().map(|run| run.run_id).collect();
    let ThreadKey { workflow, thread_id } = key.clone();
    if values.is_empty() && holder.is_none() && queued.is_empty() {
        return Err(HostError::NoSuchThread { workflow, thread_id });
    }
    let values = values.into_iter().map(|(id, value)| (id.to_string(), (*value).clone())).collect();
    Ok(ThreadDetail { workflow, thread_id, values, holder, queued })
}
