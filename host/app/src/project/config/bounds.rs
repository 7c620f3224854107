//! What bounds plugins: `[http]`, `[host]`, `[limits]`, `[compile]`, `[quarantine]`. What is not said stays as the sandbox and
//! the driver have it by default.

use std::num::NonZeroU32;
use std::path::PathBuf;

use bandstand_sandbox::{CallLimits, HttpLimits, Network, Settings};
use serde::Deserialize;

use super::values::{duration, networks, size};

/// `[http]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Http {
    /// Networks that are not public and that granted origins may lead to all the same: `127.0.0.0/8`.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<Network>,
    /// Files with certificates of authorities beside the usual ones, PEM.
    pub authorities: Vec<PathBuf>,
    /// Requests at once, over all plugins.
    pub requests: Option<NonZeroU32>,
    /// Requests at once in one attempt.
    pub requests_per_attempt: Option<NonZeroU32>,
    /// How long a request waits for its turn, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub wait: Option<u64>,
    /// From the request to a connection, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub connect: Option<u64>,
    /// From the request to the head of the response, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub first_byte: Option<u64>,
    /// The headers of a request, and of a response.
    #[serde(deserialize_with = "size")]
    pub head: Option<u64>,
    /// The URL's path and query.
    #[serde(deserialize_with = "size")]
    pub path: Option<u64>,
    /// The body of a request.
    #[serde(deserialize_with = "size")]
    pub request_body: Option<u64>,
    /// The body of a response.
    #[serde(deserialize_with = "size")]
    pub response_body: Option<u64>,
}

impl Http {
    /// As the sandbox takes them.
    pub fn limits(&self) -> HttpLimits {
        let default = HttpLimits::default();
        let pieces =
            |set: Option<NonZeroU32>, default: usize| set.map_or(default, |set| whole(set.get().into()));
        let bytes = |set: Option<u64>, default: usize| set.map_or(default, whole);
        HttpLimits {
            requests_max: pieces(self.requests, default.requests_max),
            requests_per_attempt_max: pieces(self.requests_per_attempt, default.requests_per_attempt_max),
            slot_wait_ms: self.wait.unwrap_or(default.slot_wait_ms),
            connect_ms: self.connect.unwrap_or(default.connect_ms),
            first_byte_ms: self.first_byte.unwrap_or(default.first_byte_ms),
            head_bytes_max: bytes(self.head, default.head_bytes_max),
            path_bytes_max: bytes(self.path, default.path_bytes_max),
            request_body_bytes_max: self.request_body.unwrap_or(default.request_body_bytes_max),
            response_body_bytes_max: self.response_body.unwrap_or(default.response_body_bytes_max),
        }
    }
}

/// `[host]`: what all attempts take together; none: as [`bandstand_sandbox::Settings`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Together {
    /// Instances alive at once.
    pub instances: Option<NonZeroU32>,
    /// Attempts that may wait for one; 0: none may.
    pub queue: Option<u32>,
    /// How long one may wait, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub queue_wait: Option<u64>,
    /// Linear memory.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// What is in scratch directories.
    #[serde(deserialize_with = "size")]
    pub scratch: Option<u64>,
}

/// More instances than this have no room among a process's addresses.
pub(super) const INSTANCES_MAX: u32 = 4_096;

impl Together {
    /// As the sandbox takes it.
    pub fn apply(&self, default: Settings) -> Settings {
        Settings {
            instances_max: self.instances.map_or(default.instances_max, |set| whole(set.get().into())),
            queue_max: self.queue.map_or(default.queue_max, |set| whole(set.into())),
            queue_wait_ms_max: self.queue_wait.unwrap_or(default.queue_wait_ms_max),
            memory_bytes_total_max: self.memory.map_or(default.memory_bytes_total_max, whole),
            scratch_bytes_total_max: self.scratch.unwrap_or(default.scratch_bytes_total_max),
            ..default
        }
    }
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Limits of one attempt. The first four are maxima of what a workflow file asks for; none: as it asks. No workflow file
/// speaks of the others; none: as [`bandstand_sandbox::CallLimits`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Maxima {
    /// Linear memory of one attempt.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// Processor time of one attempt, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cpu: Option<u64>,
    /// The reply of one attempt.
    #[serde(deserialize_with = "size")]
    pub output: Option<u64>,
    /// Log lines and captured output of one attempt.
    #[serde(deserialize_with = "size")]
    pub log: Option<u64>,
    /// What it tells of its progress.
    #[serde(deserialize_with = "size")]
    pub progress: Option<u64>,
    /// What crosses in host calls, files and HTTP among them.
    #[serde(deserialize_with = "size")]
    pub host_calls: Option<u64>,
    /// Elements of its tables.
    pub table_elements: Option<NonZeroU32>,
    /// Handles to things of the host.
    pub handles: Option<NonZeroU32>,
    /// What is in its scratch directories.
    #[serde(deserialize_with = "size")]
    pub scratch: Option<u64>,
    /// Files, directories and links there.
    pub scratch_entries: Option<NonZeroU32>,
    /// Files that it holds open.
    pub open_files: Option<NonZeroU32>,
    /// Tools that it calls, those that its tools call included. 0: none.
    pub tool_calls: Option<u32>,
}

impl Maxima {
    /// The limits of an attempt, as the sandbox takes them. Those of workflow files are narrowed, too: what is shown of a
    /// plugin without a workflow file is what such a file gets that says nothing.
    pub fn apply(&self, default: CallLimits) -> CallLimits {
        let bytes = |set: Option<u64>, default: usize| set.map_or(default, whole);
        let most = |set: Option<u64>, default: usize| set.map_or(default, |set| whole(set).min(default));
        let pieces =
            |set: Option<NonZeroU32>, default: usize| set.map_or(default, |set| whole(set.get().into()));
        CallLimits {
            memory_bytes_max: most(self.memory, default.memory_bytes_max),
            wall_ms: default.wall_ms,
            cpu_ms: self.cpu.map_or(default.cpu_ms, |set| set.min(default.cpu_ms)),
            output_bytes_max: most(self.output, default.output_bytes_max),
            log_bytes_max: most(self.log, default.log_bytes_max),
            progress_bytes_max: bytes(self.progress, default.progress_bytes_max),
            host_call_bytes_max: bytes(self.host_calls, default.host_call_bytes_max),
            table_elements_max: pieces(self.table_elements, default.table_elements_max),
            handles_max: pieces(self.handles, default.handles_max),
            scratch_bytes_max: self.scratch.unwrap_or(default.scratch_bytes_max),
            scratch_entries_max: pieces(self.scratch_entries, default.scratch_entries_max),
            open_files_max: pieces(self.open_files, default.open_files_max),
            tool_calls_max: self.tool_calls.map_or(default.tool_calls_max, |set| whole(set.into())),
        }
    }
}

/// `[compile]`: bounds of the process that compiles one plugin; none: as [`bandstand_sandbox::Compiler`] has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compile {
    /// Its address space.
    #[serde(deserialize_with = "size")]
    pub memory: Option<u64>,
    /// From its start to its answer, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub time: Option<u64>,
    /// How much compiled code is kept.
    #[serde(deserialize_with = "size")]
    pub cache: Option<u64>,
}

/// `[quarantine]`: as the driver has it by default, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Quarantine {
    /// `false`: never.
    pub enabled: Option<bool>,
    /// So many faults in a row, over all runs.
    pub faults: Option<NonZeroU32>,
    /// From then to the first attempt that is let through, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cool_down: Option<u64>,
    /// It doubles up to this, in milliseconds.
    #[serde(deserialize_with = "duration")]
    pub cool_down_max: Option<u64>,
}

impl Quarantine {
    /// As the driver takes it.
    pub fn settings(&self) -> bandstand_driver::Quarantine {
        let default = bandstand_driver::Quarantine::default();
        let cool_down_ms = self.cool_down.unwrap_or(default.cool_down_ms);
        bandstand_driver::Quarantine {
            enabled: self.enabled.unwrap_or(default.enabled),
            faults: self.faults.map_or(default.faults, NonZeroU32::get),
            cool_down_ms,
            cool_down_max_ms: self.cool_down_max.unwrap_or(default.cool_down_max_ms.max(cool_down_ms)),
        }
    }
}
