//! What the host keeps for one attempt, and the interfaces every agent may import: log and progress.

use crate::bindings::{log, progress, types};
use crate::call::{CallRequest, GuestEvent, LogLevel, Observer};
use crate::cancel::CancelToken;
use crate::capture::Capture;
use crate::clocks::Clocks;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::files::{AttemptFiles, Quotas};
use crate::guest_tools::Calling;
use crate::http::{AttemptHttp, Reach};
use crate::limiter::{Limiter, MemoryBudget};
use crate::memory::Memory;
use crate::meter::{HostBytes, Meter};
use crate::model::{Model, ModelUsage};
use crate::random::{RANDOM_BYTES_MAX, Seeded};
use crate::sanitise::sanitise;
use crate::settings::{Grants, MEMORY_BYTES_CEILING};
use crate::tools::{ToolUse, Tools};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceTable;
use wasmtime::{UpdateDeadline, bail};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// One log line or piece of progress. Bytes.
const LINE_BYTES_MAX: usize = 8 << 10;
/// What each event counts besides its text, so that empty ones are not free. Bytes.
const EVENT_BYTES: usize = 32;
/// What each host call counts besides its data. Bytes.
const CALL_BYTES: usize = 256;
/// Log lines kept for a failure.
const KEPT_LINES: usize = 8;
/// Bytes kept of a panic's text, and of each captured stream, for a failure.
const WORDS_BYTES_MAX: usize = 4 << 10;
/// Headers of one request, as the host holds them: there may be as many as there are handles, sent or not. Bytes.
const HEADERS_BYTES_MAX: usize = 32 << 10;
/// Beyond this a wall limit is as good as none, and adding it to an instant would overflow.
const WALL_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Why the host put an end to the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Wall clock.
    Wall,
    /// Processor time.
    Cpu,
    /// From outside.
    Cancelled,
    /// Too much went through host calls.
    HostCalls,
    /// Too much in its scratch directories.
    Scratch,
    /// Too many files there.
    ScratchEntries,
    /// Too much in the scratch directories of all attempts, which may hold so many bytes.
    HostScratch(u64),
    /// Too many files held open.
    OpenFiles,
    /// Too many files held open by all attempts, which may hold so many.
    HostOpenFiles(u64),
    /// Something of the host's broke.
    HostFault(String),
}

/// The data of one store.
pub(crate) struct Guest {
    pub(crate) wasi: WasiCtx,
    pub(crate) clocks: Clocks,
    /// `None`: random numbers are the system's.
    pub(crate) seeded: Option<Seeded>,
    pub(crate) files: AttemptFiles,
    pub(crate) resources: ResourceTable,
    stdout: Capture,
    stderr: Capture,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) deadline: Instant,
    cpu_us_max: u64,
    cancel: CancelToken,
    pub(crate) ending: Option<Ending>,
    pub(crate) host_bytes: Arc<HostBytes>,
    http_context: WasiHttpCtx,
    pub(crate) http: AttemptHttp,
    observer: Option<Arc<dyn Observer>>,
    log: Quota,
    progress: Quota,
    pub(crate) events_dropped: u32,
    log_tail: VecDeque<String>,
    last_words: Option<String>,
    pub(crate) memory: Option<Arc<dyn Memory>>,
    pub(crate) model: Option<Arc<dyn Model>>,
    /// Answers of models in the making.
    pub(crate) answers_open: usize,
    pub(crate) tools: Option<Arc<dyn Tools>>,
    /// `None`: it may call none.
    pub(crate) calling: Option<Box<Calling>>,
    pub(crate) tool_calls_max: usize,
    /// The calls of tools so far; the last one is under way while `tool_since` says since when.
    pub(crate) tool_uses: Vec<ToolUse>,
    pub(crate) tool_since: Option<Instant>,
    pub(crate) grants: Arc<Grants>,
    /// Code of the latest refusal for want of a grant or a budget.
    pub(crate) denied: Option<&'static str>,
}

/// What the host has ready for an attempt.
pub(crate) struct HostSide<'a> {
    /// Of all attempts together.
    pub(crate) budget: Arc<MemoryBudget>,
    pub(crate) reach: &'a Arc<Reach>,
    pub(crate) disk: &'a Arc<Disk>,
    /// What calling tools takes, if it was granted any.
    pub(crate) calling: Option<Box<Calling>>,
    /// Where it is billed.
    pub(crate) meter: Arc<Meter>,
}

impl Guest {
    pub(crate) fn new(request: &CallRequest, host: HostSide<'_>, start: Instant) -> Result<Self, Failure> {
        let HostSide { budget, reach, disk, calling, meter } = host;
        let (stdout, stderr) = (Capture::default(), Capture::default());
        let limits = &request.limits;
        let memory_bytes_max = limits.memory_bytes_max.min(MEMORY_BYTES_CEILING);
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits.handles_max);
        let deadline = start + Duration::from_millis(limits.wall_ms).min(WALL_MAX);
        let host_bytes = HostBytes::new(limits.host_call_bytes_max);
        let mut http_context = WasiHttpCtx::new();
        http_context.set_field_size_limit(HEADERS_BYTES_MAX);
        let http = AttemptHttp::new(
            reach.clone(),
            request.grants.clone(),
            host_bytes.clone(),
            deadline,
            request.events.clone(),
        );
        let quotas = Quotas {
            bytes_max: limits.scratch_bytes_max,
            entries_max: limits.scratch_entries_max,
            open_max: limits.open_files_max,
        };
        let files = AttemptFiles::open(&request.grants.files, disk, quotas, host_bytes.clone())?;
        Ok(Self {
            // No arguments, files or network. Files, clocks and random numbers are ours, what is granted of them and
            // what is not.
            wasi: WasiCtx::builder()
                .stdout(stdout.clone())
                .stderr(stderr.clone())
                .envs(&request.env)
                .max_random_size(RANDOM_BYTES_MAX)
                .build(),
            clocks: Clocks::new(start, request.grants.clock),
            seeded: (!request.grants.random).then(|| Seeded::new(request.seed)),
            files,
            resources,
            stdout,
            stderr,
            limiter: Limiter::new(budget, memory_bytes_max, limits.table_elements_max),
            meter,
            deadline,
            cpu_us_max: limits.cpu_ms.saturating_mul(1_000),
            cancel: request.cancel.clone(),
            ending: None,
            host_bytes,
            http_context,
            http,
            observer: request.events.clone(),
            log: Quota::new(limits.log_bytes_max),
            progress: Quota::new(limits.progress_bytes_max),
            events_dropped: 0,
            log_tail: VecDeque::new(),
            last_words: None,
            memory: request.memory.clone(),
            model: request.model.clone(),
            answers_open: 0,
            tools: request.tools.clone(),
            calling,
            tool_calls_max: limits.tool_calls_max,
            tool_uses: Vec::new(),
            tool_since: None,
            grants: request.grants.clone(),
            denied: None,
        })
    }

    /// Decides at each tick whether the guest may go on. It runs inside the guest's poll.
    pub(crate) fn at_tick(&mut self) -> UpdateDeadline {
        let ending = if self.cancel.is_cancelled() {
            Ending::Cancelled
        } else if Instant::now() >= self.deadline {
            Ending::Wall
        } else if self.meter.spent_us_inside_poll() >= self.cpu_us_max {
            Ending::Cpu
        } else if self.host_bytes.is_used_up() {
            Ending::HostCalls
        } else {
            // Others get their turn, and the timer that waits beside this guest is looked at.
            return UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()));
        };
        self.ending.get_or_insert(ending);
        UpdateDeadline::Interrupt
    }

    /// Counts a host call with this much data.
    pub(crate) fn charge_call(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.charge_answer(CALL_BYTES.saturating_add(bytes))
    }

    /// Counts what a host call brings back.
    pub(crate) fn charge_answer(&mut self, bytes: usize) -> wasmtime::Result<()> {
        if !self.host_bytes.take(bytes) {
            self.ending.get_or_insert(Ending::HostCalls);
            bail!("quota of host calls used up");
        }
        Ok(())
    }

    fn tell(&mut self, text_bytes: usize, event: GuestEvent) {
        let (quota, what, setting) = match &event {
            GuestEvent::Log { .. } => (&mut self.log, "log", "setting limits.log"),
            GuestEvent::Chunk(_) | GuestEvent::Report { .. } => {
                (&mut self.progress, "progress", "setting limits.progress")
            }
        };
        let taken = quota.take(text_bytes.saturating_add(EVENT_BYTES));
        let notice = || GuestEvent::Log {
            level: LogLevel::Warn,
            message: format!(
                "the agent's {what} reached its limit of {} bytes ({setting}); the rest is dropped",
                quota.bytes_max
            ),
            fields: None,
        };
        let event = match taken {
            Taken::Fits => Some(event),
            Taken::FirstBeyond => Some(notice()),
            Taken::Beyond => None,
        };
        if taken != Taken::Fits {
            self.events_dropped = self.events_dropped.saturating_add(1);
        }
        if let (Some(event), Some(observer)) = (event, &self.observer) {
            observer.event(event);
        }
    }

    /// Who hears what it tells.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.observer.clone()
    }

    /// Gives up what is under way, and tells what the attempt's calls of models took.
    pub(crate) fn end_models(&mut self) -> ModelUsage {
        if self.answers_open > 0 {
            self.resources = ResourceTable::new();
        }
        self.model.as_ref().map(|model| model.usage()).unwrap_or_default()
    }

    /// What the guest said before it ended, if anything.
    pub(crate) fn last_words(&self) -> Option<String> {
        let mut parts: Vec<String> = self.last_words.iter().cloned().collect();
        let mut add = |what: &str, text: &str| {
            let text = text.trim_end();
            if !text.is_empty() {
                parts.push(format!("[{what}]\n{text}"));
            }
        };
        add("stderr", &sanitise(&self.stderr.tail(WORDS_BYTES_MAX), WORDS_BYTES_MAX));
        add("stdout", &sanitise(&self.stdout.tail(WORDS_BYTES_MAX), WORDS_BYTES_MAX));
        let lines: Vec<&str> = self.log_tail.iter().map(String::as_str).collect();
        add("log", &lines.join("\n"));
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

/// How much of one kind of sign of life gets through.
struct Quota {
    bytes_left: usize,
    bytes_max: usize,
    spent: bool,
}

/// Whether something fits a [`Quota`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Fits,
    FirstBeyond,
    Beyond,
}

impl Quota {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_left: bytes_max, bytes_max, spent: false }
    }

    /// Once something did not fit, nothing does, even what would: gaps in the middle mislead.
    fn take(&mut self, bytes: usize) -> Taken {
        if self.spent {
            return Taken::Beyond;
        }
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Taken::Fits
            }
            None => {
                self.spent = true;
                Taken::FirstBeyond
            }
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.http, table: &mut self.resources, ctx: &mut self.http_context }
    }
}

impl types::Host for Guest {}

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String, fields: String) -> wasmtime::Result<()> {
        self.charge_call(message.len() + fields.len())?;
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let mut message = sanitise(&message, LINE_BYTES_MAX);
        let mut kept = None;
        if !fields.is_empty() {
            let whole = fields.len() <= LINE_BYTES_MAX && fields.trim_start().starts_with('{');
            if whole && crate::reply::json_problem(&fields).is_none() {
                // Control characters inside JSON text are escaped already; direction marks are not.
                kept = Some(sanitise(&fields, LINE_BYTES_MAX));
            } else {
                // Not what was asked for, but perhaps what explains the trouble.
                message = format!("{message} {}", sanitise(&fields, 200));
            }
        }
        if self.log_tail.len() == KEPT_LINES {
            self.log_tail.pop_front();
        }
        self.log_tail.push_back(sanitise(&message, 500));
        let bytes = message.len() + kept.as_ref().map_or(0, String::len);
        self.tell(bytes, GuestEvent::Log { level, message, fields: kept });
        Ok(())
    }

    async fn last_words(&mut self, message: String, backtrace: String) -> wasmtime::Result<()> {
        self.charge_call(message.len() + backtrace.len())?;
        let mut words = sanitise(&message, WORDS_BYTES_MAX);
        if !backtrace.trim().is_empty() {
            words.push('\n');
            words.push_str(&sanitise(&backtrace, WORDS_BYTES_MAX));
        }
        self.last_words = Some(words);
        Ok(())
    }
}

impl progress::Host for Guest {
    async fn chunk(&mut self, text: String) -> wasmtime::Result<()> {
        self.charge_call(text.len())?;
        let text = sanitise(&text, LINE_BYTES_MAX);
        self.tell(text.len(), GuestEvent::Chunk(text));
        Ok(())
    }

    async fn report(&mut self, fraction: Option<f64>, message: String) -> wasmtime::Result<()> {
        self.charge_call(message.len())?;
        let message = sanitise(&message, LINE_BYTES_MAX);
        // A fraction that is none tells nothing; it is not worth failing for.
        let fraction = fraction.filter(|fraction| (0.0..=1.0).contains(fraction));
        self.tell(message.len(), GuestEvent::Report { fraction, message });
        Ok(())
    }
}
