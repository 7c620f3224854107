//! The tools that stand behind an agent: the trait that a host implements, and its plain types.
//!
//! A tool is an agent like any other, called by an agent instead of a workflow. The sandbox checks the grant and the
//! arguments, makes the attempt in an instance of its own, and sees to it that it ends with its caller; which plugin a
//! name means, with which powers and limits, is the implementer's: a [`Tools`] is made for one attempt and serves its
//! tools, too.

use crate::call::Outcome;
use crate::memory::Memory;
use crate::model::ToolSpec;
use crate::plugin::Plugin;
use crate::power_error::PowerError;
use crate::settings::{CallLimits, Grants};
use std::sync::Arc;

/// Tools may call tools so deep: the first that an attempt calls is at depth 1.
pub const TOOL_DEPTH_MAX: usize = 4;

/// What the interface `tools` of `wit/agent.wit` asks for. Methods are called on the guests' threads, so neither may block.
pub trait Tools: Send + Sync + 'static {
    /// What a model is told of the tool of that name, granted or not. `None`: there is no such tool, or nobody described it.
    fn describe(&self, name: &str) -> Option<ToolSpec>;

    /// The plugin that a granted name means.
    ///
    /// # Errors
    /// When there is none, or it cannot be called now; the guest gets the error as it is.
    fn find(&self, name: &str) -> Result<Tool, PowerError>;
}

/// Hears how a call of a tool ended.
pub type OnEnd = Box<dyn FnOnce(&Outcome) + Send>;

/// A plugin that is called as a tool. Run, node, attempt and user are its caller's; the idempotency key and the seed are
/// derived from its caller's; models are asked through its caller's [`Model`](crate::Model), so that there is one bill.
pub struct Tool {
    /// What is called.
    pub plugin: Plugin,
    /// Its bounds. The wall clock's is what its caller has left.
    pub limits: CallLimits,
    /// Its powers; none of its caller's are added.
    pub grants: Arc<Grants>,
    /// What it remembers.
    pub memory: Option<Arc<dyn Memory>>,
    /// The environment variables that it sees; none of its caller's are added.
    pub env: Vec<(String, String)>,
    /// Hears how the call ended, on a thread that must not be blocked; dropped unheard if it was given up.
    pub ended: Option<OnEnd>,
}

/// One call of a tool: a child of the attempt that made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolUse {
    /// As it was called.
    pub name: String,
    /// From the start of the attempt that made it to its call. Milliseconds.
    pub at_ms: u64,
    /// From its call to its answer. Milliseconds.
    pub took_ms: u64,
    /// The code of its failure, `cancelled` if its caller ended first. `None`: it succeeded.
    pub failed: Option<String>,
    /// The tools that it called itself, in order.
    pub tools: Vec<ToolUse>,
}
