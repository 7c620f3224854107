//! What an operator may set: the size of the sandbox, the limits of one attempt, and what is granted.
//! Reading these from files or flags is the caller's work.

use crate::compiler::Compiler;
use crate::tools::TOOL_DEPTH_MAX;
use std::path::PathBuf;

/// No attempt gets more linear memory than this, whatever its limit says: pool slots are laid out for it. Bytes.
pub const MEMORY_BYTES_CEILING: usize = 512 << 20;

/// How large the sandbox as a whole may be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Instances alive at once, over all plugins that workflows call. Further calls queue (`host.instances`). Tools that
    /// attempts call have places beside: a quarter as many at depth 1, an eighth at depth 2, and so on, one at least.
    pub instances_max: usize,
    /// Calls that may queue for an instance; one more is refused as overload (`host.queue`).
    pub queue_max: usize,
    /// How long a call may queue before it is refused as overload. Milliseconds (`host.queue-wait`).
    pub queue_wait_ms_max: u64,
    /// Linear memory of all instances together. Bytes (`host.memory`).
    pub memory_bytes_total_max: usize,
    /// The largest component that is looked at. Bytes.
    pub component_bytes_max: usize,
    /// Where compiled code is kept between starts, with its key beside it. `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Whether the cache is left as it is: what is in it is used, nothing is added or mended.
    pub cache_read_only: bool,
    /// How much is kept there; what was not used for longest goes first. Bytes (`compile.cache`).
    pub cache_bytes_max: u64,
    /// The child processes that compile. `None`: this process does, so a component can take all its memory and time.
    pub compiler: Option<Compiler>,
    /// Threads that run guests. 0: as many as there are cores.
    pub worker_threads: usize,
    /// Where guests have their scratch directories. It belongs to this sandbox alone, which empties it when it starts.
    /// `None`: nobody gets one.
    pub scratch_dir: Option<PathBuf>,
    /// What all scratch directories hold together. Bytes (`host.scratch`).
    pub scratch_bytes_total_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instances_max: 512,
            queue_max: 8_192,
            queue_wait_ms_max: 60_000,
            memory_bytes_total_max: memory_budget_of_this_machine(),
            component_bytes_max: 64 << 20,
            cache_dir: None,
            cache_read_only: false,
            cache_bytes_max: 2 << 30,
            compiler: None,
            worker_threads: 0,
            scratch_dir: None,
            scratch_bytes_total_max: 1 << 30,
        }
    }
}

impl Settings {
    /// Instances of tools at that depth, from 1.
    pub(crate) fn tool_instances(&self, depth: usize) -> usize {
        (self.instances_max >> (depth + 1)).max(1)
    }

    /// Instances of all depths together.
    pub(crate) fn instances_with_tools(&self) -> usize {
        let tools: usize = (1..=TOOL_DEPTH_MAX).map(|depth| self.tool_instances(depth)).sum();
        self.instances_max + tools
    }
}

/// Limits of one attempt. Each failure about one of them names the setting given here in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallLimits {
    /// Linear memory, summed over all memories of the instance. Bytes (`limits.memory`).
    pub memory_bytes_max: usize,
    /// From the moment the attempt has its instance slot to its end. Milliseconds (`timeout`).
    pub wall_ms: u64,
    /// Processor time spent in the guest; waiting for the host does not count. Milliseconds (`limits.cpu`).
    pub cpu_ms: u64,
    /// The reply's output, and each other document in it. Bytes (`limits.output`).
    pub output_bytes_max: usize,
    /// Log lines; what exceeds it is dropped and counted. Bytes (`limits.log`).
    pub log_bytes_max: usize,
    /// Progress, chunks of a text in the making among it; what exceeds it is dropped and counted. Bytes
    /// (`limits.progress`).
    pub progress_bytes_max: usize,
    /// What crosses in host calls, both ways, each call counting 256 bytes besides its data. Bytes
    /// (`limits.host-calls`).
    pub host_call_bytes_max: usize,
    /// Table elements, summed over all tables of the instance (`limits.table-elements`).
    pub table_elements_max: usize,
    /// Handles to things of the host (streams, pollables) that the guest holds at once: they are the host's memory
    /// (`limits.handles`).
    pub handles_max: usize,
    /// What is in its scratch directories. Bytes (`limits.scratch`).
    pub scratch_bytes_max: u64,
    /// Files, directories and links in its scratch directories (`limits.scratch-entries`).
    pub scratch_entries_max: usize,
    /// Files, directories and streams of files that the guest holds open at once: each is one of the host's open files, or
    /// a buffer (`limits.open-files`).
    pub open_files_max: usize,
    /// Tools that the attempt calls, those that its tools call included (`limits.tool-calls` in `bandstand.toml`).
    pub tool_calls_max: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 << 20,
            wall_ms: 60_000,
            cpu_ms: 10_000,
            output_bytes_max: 1 << 20,
            log_bytes_max: 64 << 10,
            // The whole of an output of default size can be told piece by piece.
            progress_bytes_max: 1 << 20,
            host_call_bytes_max: 64 << 20,
            // Debug builds of some C# guests need more than 10 000.
            table_elements_max: 100_000,
            handles_max: 4_096,
            scratch_bytes_max: 64 << 20,
            scratch_entries_max: 1_024,
            open_files_max: 128,
            tool_calls_max: 100,
        }
    }
}

/// What may be done with the memory of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryGrant {
    /// Only look.
    Read,
    /// Look and change.
    Write,
}

/// The powers an operator gives a plugin. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The interfaces `memory-audit`, `memory-facts` and `memory-slots`.
    pub memory: Option<MemoryGrant>,
    /// Whom it may call over HTTP.
    pub http: Vec<HttpGrant>,
    /// The models it may use, by name. The first is the one it gets when it names none.
    pub models: Vec<String>,
    /// The tools it may call, by name.
    pub tools: Vec<String>,
    /// The secrets that may be put into its HTTP requests, by name.
    pub secrets: Vec<String>,
    /// The directories it sees.
    pub files: Vec<FilesGrant>,
    /// Whether its clocks go, in steps of 10 ms. If not, they stand still where the attempt began.
    pub clock: bool,
    /// Whether its random numbers come from the system. If not, they follow from the attempt's seed.
    pub random: bool,
}

/// A directory that a guest sees as `/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesGrant {
    /// Its name there: one part of a path.
    pub name: String,
    /// What it is.
    pub directory: FilesDirectory,
}

/// What stands behind a [`FilesGrant`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesDirectory {
    /// This directory, which the guest can only read. Absolute, links resolved: an attempt is refused when it leads
    /// elsewhere by then.
    Read(PathBuf),
    /// An empty directory of its own, which is gone after the attempt.
    Scratch,
}

impl Grants {
    /// Whether the power called `capability` is given at all.
    #[must_use]
    pub fn covers(&self, capability: &str) -> bool {
        match capability {
            "memory" => self.memory.is_some(),
            "http" => !self.http.is_empty(),
            "model" => !self.models.is_empty(),
            "tools" => !self.tools.is_empty(),
            _ => false,
        }
    }
}

/// Somebody who may be called over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Scheme, host and perhaps port, in small letters: `https://api.example.com`, `https://*.example.com`.
    pub origin: String,
    /// In capitals. Empty: all.
    pub methods: Vec<String>,
}

/// Three quarters of what the control group or the machine has, 4 GiB where neither tells.
fn memory_budget_of_this_machine() -> usize {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let group = number("/sys/fs/cgroup/memory.max");
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()?.checked_mul(1024)
    });
    let all = match (group, machine) {
        (Some(group), Some(machine)) => group.min(machine),
        (one, other) => one.or(other).unwrap_or(4 << 30),
    };
    all / 4 * 3
}
