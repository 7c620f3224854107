//! One attempt, from a fresh store to an outcome, and what each way of ending means.

use crate::bindings::{AgentPre, types};
use crate::call::{CallRequest, Outcome, Usage};
use crate::callable::Callable;
use crate::failure::{Class, Failure};
use crate::guest::{Ending, Guest, HostSide};
use crate::guest_memory::READ_ONLY;
use crate::guest_model;
use crate::guest_tools;
use crate::limiter::Refusal;
use crate::meter::Metered;
use crate::model::BUDGET_CODE;
use crate::plugin::{Entry, Plugin};
use crate::reply::{self, Reply};
use crate::sanitise::sanitise;
use crate::settings::{CallLimits, MEMORY_BYTES_CEILING};
use crate::values::VALUE_BYTES;
use std::time::Instant;
use wasmtime::component::{ResourceTableError, Val};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// What a guest may hand over in one host call, or in its reply, before the host stops copying. Bytes.
const CROSSING_BYTES_MAX: usize = 16 << 20;

/// Makes the attempt. Everything it held is gone when this returns.
pub(crate) async fn make(
    host: HostSide<'_>,
    plugin: &Plugin,
    request: &CallRequest,
    queued_ms: u64,
) -> Outcome {
    let (start, meter) = (Instant::now(), host.meter.clone());
    let prepared =
        Prepared::new(plugin, request).and_then(|call| Ok((call, Guest::new(request, host, start)?)));
    let (call, mut guest) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => {
            return Outcome { result: Err(failure), usage: Usage { queued_ms, ..Usage::default() } };
        }
    };
    if let Prepared::Function(callable, _) = &call
        && callable.gives_any_size
        && !guest.limiter.reserve(crossing_bytes_max(&request.limits))
    {
        let failure = no_room(&guest, Class::Overload);
        return Outcome { result: Err(failure), usage: Usage { queued_ms, ..Usage::default() } };
    }
    let deadline = guest.deadline;
    let engine = plugin.loaded.linked.engine();
    let mut store = new_store(engine, guest, &request.limits);
    let work = Metered::new(meter, async {
        match call {
            Prepared::Node(agent, call) => {
                let agent =
                    agent.instantiate_async(&mut store).await.map_err(|error| (Phase::Start, error))?;
                let answer = agent.bandstand_agent_node().call_run(&mut store, &call).await;
                answer.map(Answer::Node).map_err(|error| (Phase::Run, error))
            }
            Prepared::Function(callable, arguments) => {
                let linked = &plugin.loaded.linked;
                let instance =
                    linked.instantiate_async(&mut store).await.map_err(|error| (Phase::Start, error))?;
                let result = callable.call(&mut store, &instance, arguments).await;
                result.map(|result| Answer::Function(callable, result)).map_err(|error| (Phase::Run, error))
            }
        }
    });
    // The work comes first: an answer that is there counts, even if it is late by less than a tick.
    let ended = tokio::select! {
        biased;
        ended = work => ended.map_err(Some),
        () = request.cancel.cancelled() => Err(None),
        () = tokio::time::sleep_until(deadline.into()) => Err(None),
    };
    let guest = store.data_mut();
    let result = match ended {
        // The bytes of a body are counted beside the guest, which hears only that there are no more.
        Ok(_) if guest.host_bytes.is_used_up() => Err(ended_by_host(&Ending::HostCalls, &request.limits)),
        Ok(answer) => {
            let denied = guest.denied;
            let reply = match answer {
                Answer::Node(answer) => reply::check(answer, &request.limits),
                Answer::Function(callable, result) => callable.reply(result, &request.limits),
            };
            reply
                .map_err(|failure| blame_grant(failure, denied))
                .map_err(|failure| blame_http(failure, guest.http.refusal()))
                .and_then(|reply| plugin.gives(&reply.output).map(|()| reply))
        }
        Err(cause) => {
            if cause.is_none() {
                let outside = if request.cancel.is_cancelled() { Ending::Cancelled } else { Ending::Wall };
                guest.ending.get_or_insert(outside);
            } else if guest.host_bytes.is_used_up() {
                guest.ending.get_or_insert(Ending::HostCalls);
            } else if let Some(end) = guest.files.books.end() {
                guest.ending.get_or_insert(end);
            }
            Err(classify(guest, cause, request, plugin.function().is_some()))
        }
    };
    let result: Result<Reply, Failure> =
        result.map_err(|failure| Failure { last_words: guest.last_words(), ..failure });
    let usage = Usage {
        queued_ms,
        wall_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        cpu_us: guest.meter.spent_us(),
        memory_bytes_max: guest.limiter.memory_bytes(),
        host_call_bytes: guest.host_bytes.spent(),
        events_dropped: guest.events_dropped,
        model: guest.end_models(),
        tools: guest.end_tools(),
    };
    let books = guest.files.books.clone();
    drop(store);
    if !request.grants.files.is_empty() {
        // Nothing else holds them: this removes the scratch directory. Should the attempt be dropped while it waits, the
        // directory goes all the same.
        let _ = tokio::task::spawn_blocking(move || drop(books)).await;
    }
    Outcome { result, usage }
}

/// What is called, with what.
enum Prepared<'a> {
    Node(&'a AgentPre<Guest>, Box<types::Call>),
    Function(&'a Callable, Vec<Val>),
}

impl<'a> Prepared<'a> {
    fn new(plugin: &'a Plugin, request: &CallRequest) -> Result<Prepared<'a>, Failure> {
        match &plugin.entry {
            Entry::Node(agent) => Ok(Prepared::Node(agent, Box::new(wit_call(request)))),
            Entry::Function(callable) => {
                let arguments = callable.arguments(&request.input, CROSSING_BYTES_MAX)?;
                Ok(Prepared::Function(callable, arguments))
            }
        }
    }
}

/// What came back.
enum Answer<'a> {
    Node(Result<types::Reply, types::Failure>),
    Function(&'a Callable, Option<Val>),
}

/// What may cross at once, the way that the host counts it. Bytes.
fn crossing_bytes_max(limits: &CallLimits) -> usize {
    CROSSING_BYTES_MAX.max(limits.output_bytes_max.saturating_mul(2))
}

fn new_store(engine: &Engine, guest: Guest, limits: &CallLimits) -> Store<Guest> {
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_hostcall_fuel(crossing_bytes_max(limits));
    store.set_max_component_handles(limits.handles_max);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut context| Ok(context.data_mut().at_tick()));
    store
}

pub(crate) fn wit_call(request: &CallRequest) -> types::Call {
    types::Call {
        run_id: request.run_id.clone(),
        thread_id: request.thread_id.clone(),
        user_id: request.user_id.clone(),
        workflow: request.workflow.clone(),
        node: request.node.clone(),
        visit: request.visit,
        attempt: request.attempt,
        attempts_max: request.attempts_max,
        idempotency_key: request.idempotency_key.clone(),
        started_at: request.started_at.clone(),
        timeout_ms: u32::try_from(request.limits.wall_ms).unwrap_or(u32::MAX),
        seed: request.seed,
        input: request.input.clone(),
        context: if request.context.is_empty() { "{}".to_owned() } else { request.context.clone() },
    }
}

/// How far the attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Making the instance; start functions of the guest run here.
    Start,
    /// Inside `run`.
    Run,
}

/// An agent that passes on the refusal of a host function failed because of the grant or budget, not of its own accord.
fn blame_grant(failure: Failure, denied: Option<&'static str>) -> Failure {
    match denied {
        Some(code) if code == BUDGET_CODE && failure.class == Class::Agent && failure.code == code => {
            Failure { class: Class::Limit, recoverable: false, ..failure }
        }
        Some(code) if failure.class == Class::Agent && failure.code == code => {
            let mut message = failure.message.clone();
            // The host's own message names the grant already; an agent may have put another in its place.
            if !message.contains("grants:") {
                let needed = match code {
                    guest_model::NOT_GRANTED => "model: [NAME]",
                    guest_tools::NOT_GRANTED => "tools: [NAME]",
                    READ_ONLY => "memory: write",
                    _ => "memory: read",
                };
                message = format!("{message} (the plugin needs `grants: {{{needed}}}`)");
            }
            Failure {
                class: Class::Denied,
                code: match code {
                    guest_model::NOT_GRANTED => "model",
                    guest_tools::NOT_GRANTED => "tools",
                    _ => "memory",
                }
                .to_owned(),
                message,
                recoverable: false,
                ..failure
            }
        }
        _ => failure,
    }
}

/// As [`blame_grant`], for a request that was refused. The guest heard only an error code, which every toolchain words
/// in its own way.
fn blame_http(failure: Failure, refusal: Option<String>) -> Failure {
    const CODES: [&str; 2] = ["http-request-denied", "destination-ip-prohibited"];
    let Some(refusal) = refusal.filter(|_| failure.class == Class::Agent) else { return failure };
    let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let words = plain(&format!("{} {}", failure.code, failure.message));
    if !CODES.iter().any(|code| words.contains(&plain(code))) {
        return failure;
    }
    let message = format!("{} ({refusal})", failure.message);
    Failure { class: Class::Denied, code: "http".to_owned(), message, recoverable: false, ..failure }
}

fn classify(
    guest: &Guest,
    cause: Option<(Phase, wasmtime::Error)>,
    request: &CallRequest,
    is_function: bool,
) -> Failure {
    let backtrace = cause.as_ref().and_then(|(_, error)| frames(error));
    let failure = if let Some(ending) = &guest.ending {
        ended_by_host(ending, &request.limits)
    } else if let Some((phase, error)) = cause {
        ended_by_itself(guest, phase, &error, &request.limits, is_function)
    } else {
        Failure::new(Class::Host, "unknown", "the attempt ended without a cause")
    };
    Failure { backtrace, ..failure }
}

fn ended_by_host(ending: &Ending, limits: &CallLimits) -> Failure {
    match ending {
        Ending::Wall => Failure::new(
            Class::Timeout,
            "attempt-timeout",
            format!("the attempt took longer than {} ms (setting timeout)", limits.wall_ms),
        ),
        Ending::Cpu => Failure::new(
            Class::Limit,
            "cpu",
            format!("the agent used more than {} ms of processor time (setting limits.cpu)", limits.cpu_ms),
        ),
        Ending::Cancelled => Failure::new(Class::Cancelled, "cancelled", "the attempt was cancelled"),
        Ending::HostCalls => Failure::new(
            Class::Limit,
            "host-calls",
            format!(
                "the agent moved more than {} bytes through host calls, each of which counts 256 bytes and its data \
                 (setting limits.host-calls)",
                limits.host_call_bytes_max
            ),
        ),
        Ending::Scratch => Failure::new(
            Class::Limit,
            "scratch",
            format!(
                "the agent wrote more than {} bytes to its scratch directories, where each file counts 4096 bytes \
                 besides its content (setting limits.scratch)",
                limits.scratch_bytes_max
            ),
        ),
        Ending::ScratchEntries => Failure::new(
            Class::Limit,
            "scratch-entries",
            format!(
                "the agent made more than {} files in its scratch directories (setting limits.scratch-entries)",
                limits.scratch_entries_max
            ),
        ),
        Ending::HostScratch(bytes_max) => Failure::new(
            Class::Limit,
            "host-scratch",
            format!(
                "the scratch directories of all agents together are limited to {bytes_max} bytes (setting \
                 host.scratch), and this one needed more"
            ),
        ),
        Ending::OpenFiles => Failure::new(
            Class::Limit,
            "open-files",
            format!(
                "the agent held more than {} files open (setting limits.open-files)",
                limits.open_files_max
            ),
        ),
        Ending::HostOpenFiles(max) => Failure::new(
            Class::Limit,
            "host-open-files",
            format!(
                "all agents together hold {max} files open, half of what the system allows the host (`ulimit -n`), and \
                 this one needed more"
            ),
        ),
        Ending::HostFault(what) => {
            Failure::new(Class::Host, "host-panic", format!("a fault of the host: {what}"))
        }
    }
}

fn ended_by_itself(
    guest: &Guest,
    phase: Phase,
    error: &wasmtime::Error,
    limits: &CallLimits,
    is_function: bool,
) -> Failure {
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Failure::new(Class::Overload, "instances", format!("no room for another instance: {full}"));
    }
    let trap = error.downcast_ref::<Trap>().copied();
    if let Some(failure) = refused(guest, phase, trap, limits) {
        return failure;
    }
    if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        return Failure::new(
            Class::Trap,
            "exit",
            format!("the agent ended its process with status {status} instead of returning"),
        );
    }
    if let Some(trap) = trap {
        let (code, what) = trap_words(trap);
        return Failure::new(Class::Trap, code, format!("the agent crashed: {what}"));
    }
    let message = sanitise(&error.root_cause().to_string(), 500);
    if message.contains("store handle limit exceeded")
        || matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full))
    {
        return Failure::new(
            Class::Limit,
            "handles",
            format!(
                "the agent held more than {} handles to things of the host (setting limits.handles)",
                limits.handles_max
            ),
        );
    }
    // wasmtime keeps the types of these errors to itself; `tests/sandbox` notices if the texts change.
    let crossing = message.contains("fuel allocated for hostcalls");
    let no_room = message.starts_with("realloc return");
    match phase {
        Phase::Start => {
            Failure::new(Class::Trap, "not-started", format!("the agent could not be started: {message}"))
        }
        // Frames of the guest on the stack: it was calling the host. None: its answer was being read.
        Phase::Run if no_room || error.downcast_ref::<WasmBacktrace>().is_some() => {
            if crossing {
                let what =
                    format!("one host call carried more than {CROSSING_BYTES_MAX} bytes, which is fixed");
                Failure::new(Class::Limit, "host-calls", what)
            } else {
                Failure::new(Class::Trap, "bad-call", format!("the agent called the host wrongly: {message}"))
            }
        }
        Phase::Run if crossing && is_function => Failure::new(
            Class::InvalidOutput,
            "too-large",
            format!(
                "the result takes more than {} bytes of the host, where each value counts {VALUE_BYTES} bytes besides its \
                 text (twice the setting limits.output, or the {CROSSING_BYTES_MAX} that are fixed if that is more)",
                crossing_bytes_max(limits)
            ),
        ),
        Phase::Run if crossing => Failure::new(
            Class::InvalidOutput,
            "too-large",
            format!(
                "the reply is larger than the limit of {} bytes (setting limits.output)",
                limits.output_bytes_max
            ),
        ),
        Phase::Run => {
            Failure::new(Class::InvalidOutput, "bad-reply", format!("the reply cannot be read: {message}"))
        }
    }
}

/// Whether a refused growth is what the guest died of. A toolchain's allocator answers a refusal by `unreachable` or
/// by running into the end of memory; other traps have their own cause, even if something was refused before.
fn refused(guest: &Guest, phase: Phase, trap: Option<Trap>, limits: &CallLimits) -> Option<Failure> {
    let died_of_it = match trap {
        Some(trap) => matches!(
            trap,
            Trap::UnreachableCodeReached
                | Trap::MemoryOutOfBounds
                | Trap::TableOutOfBounds
                | Trap::AllocationTooLarge
        ),
        None => true,
    };
    let refusal = guest.limiter.refusal.filter(|_| died_of_it)?;
    Some(match refusal {
        Refusal::Memory => {
            let most = if limits.memory_bytes_max < MEMORY_BYTES_CEILING { "" } else { ", at its highest" };
            Failure::new(
                Class::Limit,
                "memory",
                format!(
                    "the agent needed more than {} bytes of memory (setting limits.memory{most})",
                    limits.memory_bytes_max.min(MEMORY_BYTES_CEILING)
                ),
            )
        }
        Refusal::Table => Failure::new(
            Class::Limit,
            "table-elements",
            format!(
                "the agent needed more than {} table elements (setting limits.table-elements)",
                limits.table_elements_max
            ),
        ),
        Refusal::HostMemory => {
            // Before `run` began nothing of the agent's work was done, so the attempt is not spent.
            no_room(guest, if phase == Phase::Start { Class::Overload } else { Class::Limit })
        }
    })
}

fn no_room(guest: &Guest, class: Class) -> Failure {
    let message = format!(
        "the memory of all agents together is limited to {} bytes (setting host.memory), and this one needed more",
        guest.limiter.budget_bytes_max()
    );
    Failure::new(class, "host-memory", message)
}

fn trap_words(trap: Trap) -> (&'static str, String) {
    let code = match trap {
        Trap::StackOverflow => "stack-overflow",
        Trap::MemoryOutOfBounds => "out-of-bounds",
        Trap::TableOutOfBounds => "table-out-of-bounds",
        Trap::IndirectCallToNull => "null-call",
        Trap::BadSignature => "bad-signature",
        Trap::IntegerOverflow => "integer-overflow",
        Trap::IntegerDivisionByZero => "division-by-zero",
        Trap::BadConversionToInteger => "bad-conversion",
        Trap::UnreachableCodeReached => "unreachable",
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent => "re-entered",
        _ => "other",
    };
    let text = trap.to_string();
    let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
    let what = match trap {
        Trap::UnreachableCodeReached => {
            "it stopped itself (`unreachable`), as panics and failed assertions do"
        }
        Trap::StackOverflow => "its calls nest too deep (stack exhausted)",
        _ => text,
    };
    (code, what.to_owned())
}

fn frames(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let lines: Vec<String> = trace
        .frames()
        .iter()
        .map(|frame| {
            let name = frame.symbols().iter().find_map(|symbol| symbol.name()).or_else(|| frame.func_name());
            match name {
                Some(name) => sanitise(name, 200),
                None => format!("function {}", frame.func_index()),
            }
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
