//! `bandstand thread show`: what a thread keeps, and which runs have it or wait for it.

use serde_json::{Value, json};

use super::ThreadArgs;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::safe;
use crate::host::HostError;

/// Prints it.
pub fn execute(args: &ThreadArgs, context: &Context) -> Result<Exit, Failure> {
    let reader = stored::open(context)?;
    let key = args.key();
    let values = reader.thread_values(&key)?;
    let (holder, queued) = super::runs_of(&reader, &key)?;
    if values.is_empty() && holder.is_none() && queued.is_empty() {
        return Err(HostError::NoSuchThread { workflow: key.workflow, thread_id: key.thread_id }.into());
    }
    let values: Value = values.into_iter().map(|(id, value)| (id.to_string(), (*value).clone())).collect();
    let out = &context.out;
    if out.json {
        out.json_line(&json!({
            "workflow": key.workflow,
            "thread_id": key.thread_id,
            "values": values,
            "holder": holder,
            "queued": queued,
        }));
        return Ok(Exit::Succeeded);
    }
    out.data(&safe::line(&format!("workflow  {}", key.workflow)));
    out.data(&safe::line(&format!("thread    {}", key.thread_id)));
    if let Some(holder) = holder {
        out.data(&format!("run       {holder}"));
    }
    for run in queued {
        out.data(&format!("queued    {run}"));
    }
    for (channel, value) in values.as_object().into_iter().flatten() {
        out.data(&format!("{channel}: {}", safe::json(value)));
    }
    Ok(Exit::Succeeded)
}
