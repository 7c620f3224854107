//! What one attempt is given, what it may tell while it runs, and what comes out.

use crate::cancel::CancelToken;
use crate::failure::Failure;
use crate::memory::Memory;
use crate::model::{Model, ModelUsage};
use crate::reply::Reply;
use crate::settings::{CallLimits, Grants};
use crate::tools::{ToolUse, Tools};
use std::sync::Arc;

/// One attempt. The fields that are not explained are those of the record `call` in `wit/agent.wit`.
#[derive(Clone, Default)]
pub struct CallRequest {
    #[expect(missing_docs, reason = "as in the WIT")]
    pub run_id: String,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub thread_id: Option<String>,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub user_id: Option<String>,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub workflow: String,
    /// Path of the node: `fan@1/law@1`.
    pub node: String,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub visit: u32,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub attempt: u32,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub attempts_max: u32,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub idempotency_key: String,
    /// RFC 3339.
    pub started_at: String,
    #[expect(missing_docs, reason = "as in the WIT")]
    pub seed: u32,
    /// JSON text, an object; the caller answers for that.
    pub input: String,
    /// JSON text, an object; empty means `{}`.
    pub context: String,
    /// Bounds of this attempt.
    pub limits: CallLimits,
    /// The powers of this attempt.
    pub grants: Arc<Grants>,
    /// What stands behind the memory interfaces; made for this attempt.
    pub memory: Option<Arc<dyn Memory>>,
    /// What stands behind the interface `model`; made for this attempt, its tools' calls included.
    pub model: Option<Arc<dyn Model>>,
    /// The environment variables that the guest sees, and no others.
    pub env: Vec<(String, String)>,
    /// What stands behind the interface `tools`, and what models are told of tools that come with their name alone; made
    /// for this attempt.
    pub tools: Option<Arc<dyn Tools>>,
    /// Hears log lines and progress.
    pub events: Option<Arc<dyn Observer>>,
    /// Ends the attempt from outside.
    pub cancel: CancelToken,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A sign of life. All text is bounded and safe to show; the text inside `fields` once decoded is not.
#[derive(Debug, Clone, PartialEq)]
pub enum GuestEvent {
    /// A line for the operator.
    Log {
        /// How loud.
        level: LogLevel,
        /// The line.
        message: String,
        /// Details: JSON text, an object.
        fields: Option<String>,
    },
    /// The next piece of a text in the making.
    Chunk(String),
    /// How far the work is.
    Report {
        /// 0 to 1.
        fraction: Option<f64>,
        /// What is being done.
        message: String,
    },
}

/// Hears what a guest tells while it runs. Called on the guest's thread: it must return at once.
pub trait Observer: Send + Sync + 'static {
    /// Takes one event.
    fn event(&self, event: GuestEvent);
}

/// How an attempt ended, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The reply, or why there is none.
    pub result: Result<Reply, Failure>,
    /// What it took.
    pub usage: Usage,
}

/// What an attempt took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Waiting for an instance slot. Milliseconds.
    pub queued_ms: u64,
    /// From slot to end. Microseconds.
    pub wall_us: u64,
    /// Processor time of the guest. Microseconds.
    pub cpu_us: u64,
    /// The most linear memory held. Bytes.
    pub memory_bytes_max: usize,
    /// What crossed in host calls. Bytes.
    pub host_call_bytes: usize,
    /// Log lines and progress beyond the quota, which nobody saw.
    pub events_dropped: u32,
    /// Its calls of models, and those of its tools.
    pub model: ModelUsage,
    /// The tools it called, in order. What they took of processor and memory is not in the numbers here.
    pub tools: Vec<ToolUse>,
}
