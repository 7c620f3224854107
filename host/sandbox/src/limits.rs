//! Every limit by name, value and setting: what `plugin inspect` lists, and what the failures quote.

use crate::settings::{CallLimits, MEMORY_BYTES_CEILING, Settings};
use crate::tools::TOOL_DEPTH_MAX;
use std::fmt;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Bytes,
    Milliseconds,
    Pieces,
}

impl Unit {
    /// As lists and records have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "ms",
            Unit::Pieces => "pieces",
        }
    }
}

/// Where a limit can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// A key of the workflow file: `limits.cpu`.
    Workflow(&'static str),
    /// A field of [`Settings`], or of the limits that whoever embeds the sandbox gives: a setting of the host.
    Host(&'static str),
    /// Nowhere: it is the same for every attempt on every host.
    Fixed,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetBy::Workflow(key) | SetBy::Host(key) => write!(f, "setting {key}"),
            SetBy::Fixed => f.write_str("fixed by the host"),
        }
    }
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The code of the failure of whoever exceeds it, or what is dropped.
    pub name: &'static str,
    /// The most there may be.
    pub value: u64,
    /// Of what.
    pub unit: Unit,
    /// Where it can be changed.
    pub set_by: SetBy,
}

impl CallLimits {
    /// The limits of one attempt.
    #[must_use]
    pub fn all(&self) -> Vec<Limit> {
        // Taken apart whole: a limit that is added must be listed.
        let CallLimits {
            memory_bytes_max,
            wall_ms,
            cpu_ms,
            output_bytes_max,
            log_bytes_max,
            progress_bytes_max,
            host_call_bytes_max,
            table_elements_max,
            handles_max,
            tool_calls_max,
        } = *self;
        let limit = |name, value, unit, set_by| Limit { name, value, unit, set_by };
        let (bytes, pieces, fixed) = (Unit::Bytes, Unit::Pieces, SetBy::Fixed);
        let memory = wide(memory_bytes_max.min(MEMORY_BYTES_CEILING));
        vec![
            limit("memory", memory, bytes, SetBy::Workflow("limits.memory")),
            limit("attempt-timeout", wall_ms, Unit::Milliseconds, SetBy::Workflow("timeout")),
            limit("cpu", cpu_ms, Unit::Milliseconds, SetBy::Workflow("limits.cpu")),
            limit("too-large", wide(output_bytes_max), bytes, SetBy::Workflow("limits.output")),
            limit("log", wide(log_bytes_max), bytes, SetBy::Workflow("limits.log")),
            limit("progress", wide(progress_bytes_max), bytes, fixed),
            limit("host-calls", wide(host_call_bytes_max), bytes, fixed),
            limit("table-elements", wide(table_elements_max), pieces, fixed),
            limit("handles", wide(handles_max), pieces, fixed),
            limit("tool-calls", wide(tool_calls_max), pieces, SetBy::Host("limits.tool-calls")),
            limit("tool-depth", wide(TOOL_DEPTH_MAX), pieces, fixed),
        ]
    }
}

impl Settings {
    /// The limits of the sandbox as a whole.
    #[must_use]
    pub fn all(&self) -> Vec<Limit> {
        let Settings {
            instances_max,
            queue_max,
            queue_wait_ms_max,
            memory_bytes_total_max,
            component_bytes_max,
            cache_dir: _,
            cache_read_only: _,
            compiler,
            worker_threads: _,
        } = self;
        let limit = |name, value, unit, setting| Limit { name, value, unit, set_by: SetBy::Host(setting) };
        let mut limits = vec![
            limit("instances", wide(*instances_max), Unit::Pieces, "instances_max"),
            limit("tool-instances", wide(self.tool_instances(1)), Unit::Pieces, "instances_max"),
            limit("queue", wide(*queue_max), Unit::Pieces, "queue_max"),
            limit("queue-wait", *queue_wait_ms_max, Unit::Milliseconds, "queue_wait_ms_max"),
            limit("host-memory", wide(*memory_bytes_total_max), Unit::Bytes, "memory_bytes_total_max"),
            limit("component", wide(*component_bytes_max), Unit::Bytes, "component_bytes_max"),
        ];
        if let Some(compiler) = compiler {
            limits.extend([
                limit("compile-memory", compiler.memory_bytes_max, Unit::Bytes, "compile.memory"),
                limit("compile-time", compiler.wall_ms_max, Unit::Milliseconds, "compile.time"),
            ]);
        }
        limits
    }
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
