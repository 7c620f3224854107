//! The sandbox: loads components, and makes attempts on threads of its own.

use crate::attempt;
use crate::bindings::{log, memory_audit, memory_facts, memory_slots, model, progress, tools, types};
use crate::cache::{Cache, KeptCode};
use crate::call::{CallRequest, Outcome, Usage};
use crate::compile_child::panic_text;
use crate::compile_times::CompileTimes;
use crate::disk::Disk;
use crate::engine;
use crate::failure::{Class, Failure};
use crate::guest::{Guest, HostSide};
use crate::guest_tools::{Calling, Nesting};
use crate::http::{Outbound, Reach};
use crate::lane::{LaneHandles, Lanes, Runner};
use crate::limiter::MemoryBudget;
use crate::load_error::{LoadError, SetupError};
use crate::loader::Loader;
use crate::meter::Meter;
use crate::plugin::Plugin;
use crate::sanitise::sanitise;
use crate::settings::{Grants, Settings};
use crate::tools::{OnEnd, TOOL_DEPTH_MAX};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::{clocks, filesystem, random};

/// Runs agents. One per process is enough; dropping it ends the attempts that are still going on.
pub struct Sandbox {
    shared: Arc<Shared>,
    /// Guests have threads of their own, so that a busy guest delays no timer of the host. Taken only by `drop`.
    lanes: Option<Lanes>,
}

pub(crate) struct Shared {
    id: u64,
    settings: Settings,
    engine: Engine,
    loader: Loader,
    budget: Arc<MemoryBudget>,
    reach: Arc<Reach>,
    disk: Arc<Disk>,
    lanes: LaneHandles,
    slots: Arc<Semaphore>,
    /// Places of tools, for each depth its own: who holds one waits for a deeper one at most, so never for each other.
    tool_slots: Vec<Arc<Semaphore>>,
    waiting: AtomicUsize,
}

impl Sandbox {
    /// Starts the engine and the threads for guests.
    ///
    /// # Errors
    /// When a setting is out of range, or the machine does not give what they ask for.
    pub fn new(settings: Settings) -> Result<Sandbox, SetupError> {
        Sandbox::with_outbound(settings, Outbound::default())
    }

    /// As [`Sandbox::new`], with what outgoing HTTP may reach beside the public internet.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn with_outbound(settings: Settings, outbound: Outbound) -> Result<Sandbox, SetupError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let engine = engine::start(&settings)?;
        let linker = linker(&engine).map_err(|error| SetupError::Engine(format!("{error:#}")))?;
        let cache = match &settings.cache_dir {
            Some(dir) => Cache::open(dir, settings.cache_read_only, settings.cache_bytes_max, &engine)?,
            None => None,
        };
        let disk = Disk::open(settings.scratch_dir.as_deref(), settings.scratch_bytes_total_max).map_err(
            |source| SetupError::Scratch { path: settings.scratch_dir.clone().unwrap_or_default(), source },
        )?;
        let lanes = Lanes::start(settings.worker_threads).map_err(SetupError::Threads)?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let shared = Shared {
            id,
            loader: Loader::new(engine.clone(), linker, cache, settings.clone(), id),
            engine,
            budget: Arc::new(MemoryBudget::new(settings.memory_bytes_total_max)),
            reach: Reach::new(outbound),
            disk: Arc::new(disk),
            lanes: lanes.handles(),
            slots: Arc::new(Semaphore::new(settings.instances_max)),
            tool_slots: (1..=TOOL_DEPTH_MAX)
                .map(|depth| Arc::new(Semaphore::new(settings.tool_instances(depth))))
                .collect(),
            waiting: AtomicUsize::new(0),
            settings,
        };
        Ok(Self { shared: Arc::new(shared), lanes: Some(lanes) })
    }

    /// Reads, checks and compiles a component, or takes its compiled code from memory or from the cache. Compiling
    /// takes milliseconds for small agents and many seconds for those that bring a language runtime: call it where
    /// blocking is allowed. Callers with the same component share the work and its end.
    ///
    /// # Errors
    /// When it is not an agent that this host can run with these grants, all missing imports or grants being named; or
    /// when it cannot be compiled within the bounds of [`Compiler`](crate::Compiler).
    pub fn load(&self, bytes: &[u8], grants: &Grants) -> Result<Plugin, LoadError> {
        self.shared.loader.load(bytes, grants, None)
    }

    /// As [`Sandbox::load`], of any component of WASI 0.2: what is called is its function of that name, which need not know
    /// of agents. Its arguments are the members of the request's input, its result is the reply's output.
    ///
    /// # Errors
    /// As [`Sandbox::load`]; when there is no such function (all that there are are listed), or it takes or gives what is no
    /// plain data.
    pub fn load_function(&self, bytes: &[u8], grants: &Grants, name: &str) -> Result<Plugin, LoadError> {
        self.shared.loader.load(bytes, grants, Some(name))
    }

    /// As [`Sandbox::load`] for whoever does not call it: the component's code is kept, nothing is granted. One that is no
    /// agent has functions that can be called.
    ///
    /// # Errors
    /// As [`Sandbox::load`], except for grants.
    pub fn precompile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        self.shared.loader.precompile(bytes)
    }

    /// How long compiling took since the sandbox was made.
    #[must_use]
    pub fn compile_times(&self) -> CompileTimes {
        self.shared.loader.clock.times()
    }

    /// What the cache holds for the component of that digest. Reads and authenticates the whole file.
    #[must_use]
    pub fn kept_code(&self, digest: &str) -> KeptCode {
        self.shared.loader.kept_code(digest)
    }

    /// Makes one attempt. It ends when the agent answers or dies, when a limit is reached, when the request's token
    /// is raised, or when the returned future is dropped. Callable from any executor.
    pub async fn call(&self, plugin: &Plugin, request: CallRequest) -> Outcome {
        let (done, outcome) = oneshot::channel();
        let started = self.start(plugin, move || request, move |outcome| drop(done.send(outcome)));
        let _abort = started.map(AbortOnDrop);
        outcome.await.unwrap_or_else(|_| stopped())
    }

    /// Makes one attempt of the request that `prepare` gives, and hands its outcome to `done`: exactly once, whatever
    /// happens, also when the sandbox is dropped. Returns at once. Both are called on the guests' threads (`done` on
    /// the caller's when there is nothing to make), so neither may block. No thread but the guests' is involved: an
    /// attempt costs one wake-up that way. Dropping the handle changes nothing.
    pub fn start(
        &self,
        plugin: &Plugin,
        prepare: impl FnOnce() -> CallRequest + Send + 'static,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) -> Option<AbortHandle> {
        let done = Done(Some(done));
        if plugin.loaded.sandbox_id != self.shared.id {
            let what = "the plugin was loaded by another sandbox; load it with the one that calls it";
            done.call(failed(Failure::new(Class::Host, "foreign-plugin", what), 0));
            return None;
        }
        // Without it the guard says that the sandbox is being dropped.
        self.lanes.as_ref()?;
        let (shared, plugin, meter) = (self.shared.clone(), plugin.clone(), Arc::new(Meter::default()));
        let bill = meter.clone();
        let runner = Runner { meter, habit: plugin.loaded.habit.clone() };
        let attempt = async move { shared.attempt(&plugin, prepare(), Nesting::default(), bill).await };
        let attempt = Unwinding(Box::pin(attempt));
        Some(self.shared.lanes.spawn(attempt, runner, |outcome| match outcome {
            Some(Ok(outcome)) => done.call(outcome),
            Some(Err(panic)) => done.call(host_panic(&*panic)),
            None => done.call(stopped()),
        }))
    }

    /// Attempts going on now, those of tools included.
    #[must_use]
    pub fn instances_in_use(&self) -> usize {
        let Shared { settings, slots, tool_slots, .. } = &*self.shared;
        let free = slots.available_permits()
            + tool_slots.iter().map(|slots| slots.available_permits()).sum::<usize>();
        settings.instances_with_tools().saturating_sub(free)
    }

    /// Linear memory of all attempts going on now. Bytes.
    #[must_use]
    pub fn memory_bytes_in_use(&self) -> usize {
        self.shared.budget.in_use_bytes()
    }

    /// What the bench compares an attempt with: instantiate, call and drop, `rounds` times, without limits, metering,
    /// checks, queue or task. For agents that behave and import no memory. Blocks.
    ///
    /// # Errors
    /// What the agent died of.
    #[doc(hidden)]
    pub fn bench_bare(
        &self,
        plugin: &Plugin,
        request: &CallRequest,
        rounds: u32,
    ) -> Result<Duration, String> {
        let lanes = self.lanes.as_ref().ok_or("stopped")?;
        let agent = plugin.loaded.node.as_ref().map_err(|error| error.to_string())?;
        let start = Instant::now();
        lanes.quick().block_on(async {
            for _ in 0..rounds {
                let host = self.shared.host_side(None, Arc::default());
                let guest = Guest::new(request, host, start).map_err(|failure| failure.message)?;
                let mut store = wasmtime::Store::new(&self.shared.engine, guest);
                store.set_epoch_deadline(1 << 40);
                let instance =
                    agent.instantiate_async(&mut store).await.map_err(|error| error.to_string())?;
                let call = attempt::wit_call(request);
                let answer = instance.bandstand_agent_node().call_run(&mut store, &call).await;
                answer.map_err(|error| error.to_string())?.map_err(|failure| failure.message)?;
            }
            Ok(start.elapsed())
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(lanes) = self.lanes.take() {
            lanes.stop();
        }
    }
}

impl Shared {
    /// One attempt, from asking for a slot to its outcome.
    async fn attempt(
        self: &Arc<Shared>,
        plugin: &Plugin,
        mut request: CallRequest,
        nesting: Nesting,
        meter: Arc<Meter>,
    ) -> Outcome {
        let missing = plugin.not_granted(&request.grants);
        if let Some(first) = missing.first() {
            let code = crate::offered::capability(&first.interface).unwrap_or("grant");
            return failed(Failure::new(Class::Denied, code, LoadError::NotGranted(missing).to_string()), 0);
        }
        // Without a slot, and without a trace of it in what the attempt took: the guest never began.
        if let Err(failure) = plugin.takes(&request.input) {
            return failed(failure, 0);
        }
        let asked = Instant::now();
        let slot = self.slot(&request, nesting.depth).await;
        let queued_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        if nesting.depth > 0 {
            // Its caller's clock went on meanwhile.
            request.limits.wall_ms = request.limits.wall_ms.saturating_sub(queued_ms);
        }
        match slot {
            Ok(_slot) => {
                let host = self.host_side(Calling::new(self, &request, nesting), meter);
                attempt::make(host, plugin, &request, queued_ms).await
            }
            Err(failure) => failed(failure, queued_ms),
        }
    }

    fn host_side(&self, calling: Option<Box<Calling>>, meter: Arc<Meter>) -> HostSide<'_> {
        HostSide { budget: self.budget.clone(), reach: &self.reach, disk: &self.disk, calling, meter }
    }

    /// An attempt that another attempt makes. Its type has an end that way, though attempts nest.
    /// It is a task of its own in the lanes, as if a workflow had called it; dropping this future ends it.
    pub(crate) fn nested(
        self: Arc<Shared>,
        plugin: Plugin,
        request: CallRequest,
        nesting: Nesting,
        ended: Option<OnEnd>,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move {
            let (done, outcome) = oneshot::channel();
            let (meter, shared) = (Arc::new(Meter::default()), self.clone());
            let bill = meter.clone();
            let runner = Runner { meter, habit: plugin.loaded.habit.clone() };
            let attempt = async move { shared.attempt(&plugin, request, nesting, bill).await };
            let task = self.lanes.spawn(Unwinding(Box::pin(attempt)), runner, |outcome| {
                let outcome = match outcome {
                    Some(Ok(outcome)) => outcome,
                    Some(Err(panic)) => host_panic(&*panic),
                    None => stopped(),
                };
                if let Some(ended) = ended {
                    ended(&outcome);
                }
                // Nobody waits any more: the caller ended at the same moment.
                drop(done.send(outcome));
            });
            let _abort = AbortOnDrop(task);
            outcome.await.unwrap_or_else(|_| stopped())
        })
    }

    /// Waits for room for one more instance at that depth.
    async fn slot(&self, request: &CallRequest, depth: usize) -> Result<OwnedSemaphorePermit, Failure> {
        if request.cancel.is_cancelled() {
            return Err(Failure::new(
                Class::Cancelled,
                "cancelled",
                "the attempt was cancelled before it started",
            ));
        }
        let slots = if depth == 0 { &self.slots } else { &self.tool_slots[depth - 1] };
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let Settings { queue_max, queue_wait_ms_max, .. } = self.settings;
        // A tool has no longer than its caller has left.
        let queue_wait_ms_max =
            if depth == 0 { queue_wait_ms_max } else { queue_wait_ms_max.min(request.limits.wall_ms) };
        let instances_max =
            if depth == 0 { self.settings.instances_max } else { self.settings.tool_instances(depth) };
        let of_tools = if depth == 0 { "" } else { " of tools at this depth" };
        // Whoever waits for a tool has an instance, so no more can wait than there are instances.
        let place = if depth == 0 { Place::take(&self.waiting, queue_max).map(Some) } else { Some(None) };
        let _place = place.ok_or_else(|| {
            Failure::new(
                Class::Overload,
                "queue",
                format!(
                    "no instance is free of {instances_max}, nor a place to wait for one of {queue_max} (settings \
                     host.instances, host.queue)"
                ),
            )
        })?;
        tokio::select! {
            slot = slots.clone().acquire_owned() => {
                slot.map_err(|_| Failure::new(Class::Host, "stopped", "the sandbox is being dropped"))
            }
            () = request.cancel.cancelled() => {
                Err(Failure::new(Class::Cancelled, "cancelled", "the attempt was cancelled before it started"))
            }
            () = tokio::time::sleep(Duration::from_millis(queue_wait_ms_max)) => Err(Failure::new(
                Class::Overload,
                "instances",
                format!(
                    "{instances_max} instances{of_tools} were busy for {queue_wait_ms_max} ms (settings \
                     host.instances, host.queue-wait)"
                ),
            )),
        }
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let taken =
            waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then_some(now + 1));
        taken.is_ok().then_some(Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever drops the call drops the attempt.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sees to it that whoever waits for an outcome gets one, also when the task is dropped in the middle.
struct Done<F: FnOnce(Outcome)>(Option<F>);

impl<F: FnOnce(Outcome)> Done<F> {
    fn call(mut self, outcome: Outcome) {
        if let Some(done) = self.0.take() {
            done(outcome);
        }
    }
}

impl<F: FnOnce(Outcome)> Drop for Done<F> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(stopped());
        }
    }
}

/// A future whose panic is a value: a fault of the host's code ends one attempt.
struct Unwinding<F>(Pin<Box<F>>);

impl<F: Future> Future for Unwinding<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A future that panicked is not polled again.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

fn failed(failure: Failure, queued_ms: u64) -> Outcome {
    Outcome { result: Err(failure), usage: Usage { queued_ms, ..Usage::default() } }
}

fn host_panic(panic: &(dyn Any + Send)) -> Outcome {
    let what = format!("a fault of the host: {}", sanitise(panic_text(panic), 500));
    failed(Failure::new(Class::Host, "host-panic", what), 0)
}

fn stopped() -> Outcome {
    failed(Failure::new(Class::Host, "stopped", "the attempt was ended with its sandbox"), 0)
}

/// Everything that may be granted is linked; what is not granted is refused before, by name.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    log::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    progress::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    memory_audit::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    memory_facts::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    memory_slots::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    model::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    tools::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    // What is ours stands before what wasmtime brings: clocks, random numbers and files are as they are granted.
    linker.allow_shadowing(true);
    clocks::monotonic_clock::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    clocks::wall_clock::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    filesystem::preopens::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    filesystem::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    random::insecure::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    random::insecure_seed::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    random::random::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(linker)
}
