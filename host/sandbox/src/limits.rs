//! Every limit by name, value and setting: what `plugin inspect` lists, and what the failures quote.

use crate::http::HttpLimits;
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
    /// A key of the operator's settings: `host.instances`.
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
            scratch_bytes_max,
            scratch_entries_max,
            open_files_max,
            tool_calls_max,
        } = *self;
        let limit = |name, value, unit, set_by| Limit { name, value, unit, set_by };
        let (bytes, pieces, host) = (Unit::Bytes, Unit::Pieces, SetBy::Host);
        let memory = wide(memory_bytes_max.min(MEMORY_BYTES_CEILING));
        vec![
            limit("memory", memory, bytes, SetBy::Workflow("limits.memory")),
            limit("attempt-timeout", wall_ms, Unit::Milliseconds, SetBy::Workflow("timeout")),
            limit("cpu", cpu_ms, Unit::Milliseconds, SetBy::Workflow("limits.cpu")),
            limit("too-large", wide(output_bytes_max), bytes, SetBy::Workflow("limits.output")),
            limit("log", wide(log_bytes_max), bytes, SetBy::Workflow("limits.log")),
            limit("progress", wide(progress_bytes_max), bytes, host("limits.progress")),
            limit("host-calls", wide(host_call_bytes_max), bytes, host("limits.host-calls")),
            limit("table-elements", wide(table_elements_max), pieces, host("limits.table-elements")),
            limit("handles", wide(handles_max), pieces, host("limits.handles")),
            limit("scratch", scratch_bytes_max, bytes, host("limits.scratch")),
            limit("scratch-entries", wide(scratch_entries_max), pieces, host("limits.scratch-entries")),
            limit("open-files", wide(open_files_max), pieces, host("limits.open-files")),
            limit("tool-calls", wide(tool_calls_max), pieces, host("limits.tool-calls")),
            limit("tool-depth", wide(TOOL_DEPTH_MAX), pieces, SetBy::Fixed),
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
            cache_bytes_max,
            compiler,
            worker_threads: _,
            scratch_dir: _,
            scratch_bytes_total_max,
        } = self;
        let limit = |name, value, unit, setting| Limit { name, value, unit, set_by: SetBy::Host(setting) };
        let mut limits = vec![
            limit("instances", wide(*instances_max), Unit::Pieces, "host.instances"),
            limit("tool-instances", wide(self.tool_instances(1)), Unit::Pieces, "host.instances"),
            limit("queue", wide(*queue_max), Unit::Pieces, "host.queue"),
            limit("queue-wait", *queue_wait_ms_max, Unit::Milliseconds, "host.queue-wait"),
            limit("host-memory", wide(*memory_bytes_total_max), Unit::Bytes, "host.memory"),
            limit("compile-cache", *cache_bytes_max, Unit::Bytes, "compile.cache"),
            limit("host-scratch", *scratch_bytes_total_max, Unit::Bytes, "host.scratch"),
            Limit {
                name: "component",
                value: wide(*component_bytes_max),
                unit: Unit::Bytes,
                set_by: SetBy::Fixed,
            },
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

impl HttpLimits {
    /// The limits of outgoing HTTP.
    #[must_use]
    pub fn all(&self) -> Vec<Limit> {
        let HttpLimits {
            requests_max,
            requests_per_attempt_max,
            slot_wait_ms,
            connect_ms,
            first_byte_ms,
            head_bytes_max,
            path_bytes_max,
            request_body_bytes_max,
            response_body_bytes_max,
        } = *self;
        let limit = |name, value, unit, setting| Limit { name, value, unit, set_by: SetBy::Host(setting) };
        let (bytes, ms, pieces) = (Unit::Bytes, Unit::Milliseconds, Unit::Pieces);
        vec![
            limit("http-requests", wide(requests_max), pieces, "http.requests"),
            limit("http-in-attempt", wide(requests_per_attempt_max), pieces, "http.requests-per-attempt"),
            limit("http-wait", slot_wait_ms, ms, "http.wait"),
            limit("http-connect", connect_ms, ms, "http.connect"),
            limit("http-first-byte", first_byte_ms, ms, "http.first-byte"),
            limit("http-head", wide(head_bytes_max), bytes, "http.head"),
            limit("http-path", wide(path_bytes_max), bytes, "http.path"),
            limit("http-request", request_body_bytes_max, bytes, "http.request-body"),
            limit("http-response", response_body_bytes_max, bytes, "http.response-body"),
        ]
    }
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
