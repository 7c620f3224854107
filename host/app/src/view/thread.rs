//! A thread as lists show it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// A thread as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
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
