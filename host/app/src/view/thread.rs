//! A thread as lists show it.

use std::collections::BTreeMap;

use bandstand_store::{KeptThread, ReadError, Reader};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A thread as lists show it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ThreadSummary {
    /// The workflow.
    pub workflow: String,
    /// The thread, by the name that whoever started its runs gave it.
    pub thread_id: String,
    /// The channels that it keeps, and how large each value is. Bytes.
    pub channels: BTreeMap<String, u64>,
    /// When it was last written.
    pub written_at: Option<String>,
    /// The run that wrote it last.
    pub written_by: Option<String>,
    /// The run that may write it now.
    pub holder: Option<String>,
    /// The runs that wait for it, in their order.
    pub queued: Vec<String>,
}

impl ThreadSummary {
    /// A thread that keeps something, and the runs that have it or wait for it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(reader: &Reader, thread: KeptThread) -> Result<ThreadSummary, ReadError> {
        let runs = reader.thread_runs(&thread.key)?;
        Ok(ThreadSummary {
            workflow: thread.key.workflow,
            thread_id: thread.key.thread_id,
            channels: thread.channels.into_iter().collect(),
            written_at: thread.written_at.map(|at| at.to_string()),
            written_by: thread.written_by,
            holder: runs.holder.map(|run| run.run_id),
            queued: runs.queued.into_iter().map(|run| run.run_id).collect(),
        })
    }
}
