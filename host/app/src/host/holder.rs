//! The host itself: one process that holds a data directory, with everything needed to make its runs go on.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bandstand_driver::{Message, Refusal, RunId, Standing};
use bandstand_engine::input::{ActorKind, By};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Answer, CommandId, Graph, Input, Outcome, Signal};
use bandstand_sandbox::{Sandbox, Settings};
use bandstand_store::{Document, DocumentKind, InFlight, Lock, Mark, Reader, Retention, RunLease, Store};

use super::begin::{Asked, Beginning, How};
use super::error::HostError;
use super::lease::{self, Leases};
use super::memory;
use super::notify;
use super::quarantine::{self, Counters};
use super::request::{
    AnswerRequest, Deployed, Drive, Durability, HostOptions, Settled, SignalRequest, StartRequest,
    SteerRequest, Steering, Taken, Watched,
};
use super::serve::Server;
use super::tidy::{Deleted, Pace, Pruned, Tidy};
use super::uses::Uses;
use super::watch::{NO_ROWS, Watch};
use crate::driver::{Caller, Hub, Loader, Mailbox, Parts, Plugins, Shell, Subscription, Wanted, now};
use crate::telemetry::{Metrics, Sources, Telemetry};

/// How many runs with deadlines are looked at ahead.
const DEADLINES_MAX: u32 = 1_000;
/// How often the next ones are looked for at least. Milliseconds.
const DEADLINES_EVERY_MS: u64 = 30_000;

/// A host that does not answer for so long is not well.
const ALIVE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// How often a host that drives all runs looks which ended ones go.
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(600);

/// Holds a data directory. Clones are the same host.
#[derive(Clone)]
pub struct Host(pub(super) Arc<Inner>);

pub(super) struct Inner {
    options: HostOptions,
    pub(super) store: Arc<Store>,
    plugins: Arc<Plugins>,
    pub(super) loader: Arc<Loader>,
    marks: Arc<InFlight>,
    hub: Arc<Hub>,
    pub(super) mailbox: Mailbox,
    documents: Arc<Mutex<HashMap<RunId, Vec<Document>>>>,
    tidy: Arc<Tidy>,
    pub(super) leases: Leases,
    /// How often notifications were to be sent again, so that the notifier looks.
    pub(super) resends: std::sync::atomic::AtomicU64,
    pub(super) counters: Arc<Counters>,
    telemetry: Arc<Telemetry>,
    opened_at: Instant,
    /// Who listens to the run that was begun last, until somebody follows it.
    early: Mutex<Option<(RunId, Subscription)>>,
    /// The socket, and last the lock: given up in this order.
    held: Mutex<Option<(Server, Lock)>>,
}

impl Inner {
    /// Whether it still holds the directory; closed, it does not.
    pub(super) fn is_held(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Host {
    /// Takes the directory and makes its runs go on, as the options say. Needs a tokio runtime.
    ///
    /// # Errors
    /// When another process holds it, or store or sandbox cannot be opened.
    pub async fn open(options: HostOptions) -> Result<Host, HostError> {
        let opened_at = Instant::now();
        let opened = {
            let options = options.clone();
            tokio::task::spawn_blocking(move || Opened::new(&options))
                .await
                .map_err(|_| HostError::Closing)??
        };
        let Opened { lock, store, sandbox, marks, marked, interrupted } = opened;
        let (store, sandbox, marks) = (Arc::new(store), Arc::new(sandbox), Arc::new(marks));
        let plugins = Arc::new(Plugins::new(&options.data_dir, sandbox.clone()));
        let loader = Arc::new(Loader::new(store.reader().clone(), interrupted));
        let hub = Arc::new(Hub::default());
        let documents = Arc::new(Mutex::default());
        let memory_store = store.clone();
        let counters = Arc::new(Counters::default());
        let telemetry = Arc::new(Telemetry::new(
            Sources {
                store: Arc::downgrade(&store),
                sandbox: Arc::downgrade(&sandbox),
                counters: Arc::downgrade(&counters),
                data_dir: options.data_dir.clone(),
            },
            options.otlp.clone(),
        ));
        let (leave, left) = tokio::sync::mpsc::unbounded_channel();
        let caller = Caller {
            sandbox,
            plugins: plugins.clone(),
            hub: hub.clone(),
            models: options.models.clone(),
            lending: Arc::new({
                let mut lending = options.lending.clone();
                lending.paths_kept.push(options.data_dir.clone());
                lending
            }),
            attempt: options.attempt.clone(),
            out_of_service: Arc::default(),
            memory_for: Arc::new(move |started, id| memory::of(&memory_store, started, id)),
        };
        let mailbox = Shell::spawn(Parts {
            limits: options.limits,
            breakers: quarantine::restored(&store, options.limits.quarantine.enabled)?,
            counters: counters.clone(),
            tap: telemetry.clone(),
            store: store.clone(),
            marks: marks.clone(),
            marked,
            loader: loader.clone(),
            caller,
            documents: documents.clone(),
            die: Arc::new(end_the_process),
            place: lock.place()?,
            // Nobody hands on any more when the host has ended.
            thread_left: Arc::new(move |key| drop(leave.send(key))),
            removed: {
                let data_dir = options.data_dir.clone();
                Arc::new(move || end_without_directory(&data_dir))
            },
        });
        let tidy = Arc::new(Tidy::new(store.clone(), options.data_dir.clone()));
        let host = Host(Arc::new(Inner {
            options,
            store,
            plugins,
            loader,
            marks,
            hub,
            mailbox,
            documents,
            tidy,
            leases: Leases::default(),
            counters,
            telemetry,
            opened_at,
            early: Mutex::default(),
            resends: std::sync::atomic::AtomicU64::new(0),
            held: Mutex::default(),
        }));
        tokio::spawn(lease::hand_on_left(Arc::downgrade(&host.0), left));
        let server = Server::start(host.clone())?;
        *host.0.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, lock));
        if host.0.options.drive == Drive::All {
            notify::begin(&host.0, host.0.options.notify.clone()).await?;
        }
        host.carry_on().await?;
        tokio::spawn(host.clone().keep_tidy());
        Ok(host)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.0.options.data_dir
    }

    pub(super) fn plugins(&self) -> &Plugins {
        &self.0.plugins
    }

    pub(super) fn tidy(&self) -> &Tidy {
        &self.0.tidy
    }

    /// How it was opened.
    pub(super) fn options(&self) -> &HostOptions {
        &self.0.options
    }

    /// Counters of the store since the host was opened.
    pub fn stats(&self) -> bandstand_store::Stats {
        self.0.store.stats()
    }

    /// The metrics of this host. They are kept by whoever has them, without the host.
    pub fn metrics(&self) -> Metrics {
        self.0.telemetry.metrics().clone()
    }

    /// Starts a run; it is durable when this returns its id.
    ///
    /// # Errors
    /// When the input does not fit, a plugin cannot be used, or there is no room on the disk.
    pub async fn start_run(&self, request: StartRequest) -> Result<String, HostError> {
        let host = self.clone();
        let plugins = request.plugins.clone();
        // Reading, hashing and compiling block.
        let digests = tokio::task::spawn_blocking(move || host.keep(&plugins))
            .await
            .map_err(|_| HostError::Closing)??;
        self.start_pinned(request, digests).await
    }

    /// [`Host::start_run`] of a workflow that is served. The request's own graph, text and plugins are not looked at.
    ///
    /// # Errors
    /// As [`Host::start_run`].
    pub async fn start_deployed(
        &self,
        deployed: Deployed,
        request: StartRequest,
    ) -> Result<String, HostError> {
        let Deployed { graph, source, plugins } = deployed;
        let request = StartRequest { graph, source: source.to_string(), ..request };
        self.start_pinned(request, plugins).await
    }

    /// Reads what is stored, without a lock.
    pub fn reader(&self) -> &Reader {
        self.0.store.reader()
    }

    /// Whether the task that owns the runs answers, soon enough for whoever watches the process.
    pub async fn is_alive(&self) -> bool {
        // It has to look for a run that there is not, so the store has to answer, too.
        let by = By { kind: ActorKind::Host, id: String::new() };
        let asked = self.input("", Input::Resume { by, reason: String::new() });
        matches!(tokio::time::timeout(ALIVE_WITHIN, asked).await, Ok(Err(HostError::NoSuchRun(_))))
    }

    /// Whether the disk is nearly full, so that nothing new is started.
    pub fn low_space(&self) -> bool {
        self.0.store.low_space()
    }

    /// What is stored.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// Where news of runs come from.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// [`Host::start_run`] with plugins that are kept already.
    pub(super) async fn start_pinned(
        &self,
        request: StartRequest,
        digests: Uses<String>,
    ) -> Result<String, HostError> {
        let asked = Asked {
            id: request.request_id.clone(),
            digest: request.request_digest.clone(),
            seed: request.seed,
        };
        self.begin(asked, move |host| host.prepare(request, digests)).await
    }

    /// Everything about a new run that takes time but no turn.
    fn prepare(&self, request: StartRequest, digests: Uses<String>) -> Result<Beginning, HostError> {
        self.can_call(&request.graph, &digests)?;
        let documents = documents(&request.graph, request.source);
        let graph: Arc<Graph> = self.0.loader.share(&documents[1].digest, &request.graph);
        let pins = digests.into_pins();
        let new = NewRun {
            run_id: uuid::Uuid::now_v7().to_string(),
            source_digest: documents[0].digest.clone(),
            graph_digest: documents[1].digest.clone(),
            plugins: pins.plugins,
            children: pins.children,
            parent: None,
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: request.seed.unwrap_or_else(random),
            thread_id: request.thread_id,
            user_id: request.user_id,
            input: request.input,
            start_at: request.start_at,
            request_id: request.request_id,
            request_digest: request.request_digest,
            starters: request.starters,
            linked: request.linked,
            rerun_of: request.rerun_of,
            thread: None,
        };
        Ok(Beginning { graph, how: How::Anew(Box::new(new)), documents })
    }

    /// Whether every plugin of the graph and of its children can be called. Their files stay from now on, though no run pins
    /// them yet, and though the last one that does may be deleted now.
    pub(super) fn can_call(&self, graph: &Graph, digests: &Uses<String>) -> Result<(), HostError> {
        for (id, plugin) in &graph.plugins {
            let digest = digests.plugins.get(id).ok_or_else(|| HostError::PluginMissing(id.to_string()))?;
            let spared = Plugins::spare(self.data_dir(), digest);
            spared
                .and_then(|()| self.0.plugins.get(digest, plugin))
                .map_err(|source| HostError::Plugin { plugin: id.to_string(), source })?;
        }
        let none = Uses::default();
        graph.workflows.iter().try_for_each(|(id, child)| {
            self.can_call(&child.graph, digests.children.get(id).unwrap_or(&none))
        })
    }

    /// Makes a run go on.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn drive(&self, run_id: &str) -> Result<(), HostError> {
        let Some(row) = self.0.store.reader().run(run_id)? else {
            return Err(HostError::NoSuchRun(run_id.to_owned()));
        };
        self.0.mailbox.tell(Message::Drive { run_id: run_id.into() });
        match row.lease {
            Some(RunLease::Queued { .. }) => self.drive_queued(run_id),
            Some(RunLease::Held) | None => Ok(()),
        }
    }

    /// Takes a person's answer; durable when this returns. Makes the run go on.
    ///
    /// # Errors
    /// When the run refuses it, or there is no such run.
    pub async fn answer(&self, answer: AnswerRequest) -> Result<Taken, HostError> {
        let input = Input::Answer(Answer {
            review_id: answer.review_id,
            feedback_id: uuid::Uuid::now_v7().to_string(),
            request_id: answer.request_id,
            reviewer: answer.reviewer,
            groups: answer.groups,
            decision: answer.decision,
            comments: answer.comments,
            changes: answer.changes.map(Arc::new),
            saw: answer.saw,
            confidence: answer.confidence,
        });
        self.input(&answer.run_id, input).await
    }

    /// Takes a signal for a run; durable when this returns. Makes the run go on.
    ///
    /// # Errors
    /// When the run refuses it, or there is no such run.
    pub async fn signal(&self, request: SignalRequest) -> Result<Taken, HostError> {
        let signal = Signal {
            signal_id: uuid::Uuid::now_v7().to_string(),
            name: request.name,
            data: Arc::new(request.data),
            by: request.by,
            request_id: request.request_id,
        };
        self.input(&request.run_id, Input::Signal(signal)).await
    }

    /// Pauses, resumes, cancels or kills a run; durable when this returns.
    ///
    /// # Errors
    /// When it has ended otherwise, or there is no such run.
    pub async fn steer(&self, request: SteerRequest) -> Result<Taken, HostError> {
        let SteerRequest { run_id, steering, by, reason } = request;
        let input = match steering {
            Steering::Pause => Input::Pause { by, reason },
            Steering::Resume => Input::Resume { by, reason },
            Steering::Cancel => Input::Cancel { by, reason },
            Steering::Kill => Input::Kill { by, reason },
        };
        self.input(&run_id, input).await
    }

    /// Deletes runs that have ended, and what only they needed. What could not be deleted is told.
    ///
    /// # Errors
    /// When the host is closing; what was not told may be deleted or not.
    pub async fn delete_runs(&self, run_ids: Vec<String>) -> Result<Deleted, HostError> {
        let tidy = self.0.tidy.clone();
        let deleted = tokio::task::spawn_blocking(move || tidy.delete(&run_ids))
            .await
            .map_err(|_| HostError::Closing)?;
        // One that was stuck may have had a thread.
        tokio::spawn(self.clone().hand_on_all());
        deleted
    }

    /// Deletes the ended runs that these rules do not keep, and what only they needed.
    ///
    /// # Errors
    /// When the store cannot be read, or the host is closing; what is deleted by then stays deleted.
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, HostError> {
        let tidy = self.0.tidy.clone();
        let pruned = tokio::task::spawn_blocking(move || tidy.prune(&retention, Pace::Brisk));
        pruned.await.map_err(|_| HostError::Closing)?
    }

    pub(super) async fn input(&self, run_id: &str, input: Input) -> Result<Taken, HostError> {
        let message = |request| Message::Input { run_id: run_id.into(), input, request: Some(request) };
        match self.0.mailbox.ask(message).await.map_err(|_| HostError::Closing)? {
            Ok(Outcome::Changed) => Ok(Taken::Changed),
            Ok(Outcome::Unchanged | Outcome::Stale) => Ok(Taken::Known),
            Err(Refusal::NoSuchRun(run_id)) => Err(HostError::NoSuchRun(run_id.to_string())),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Follows a run from that event on; it is made to go on.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn watch(&self, run_id: &str, from_seq: u64) -> Result<Watch, HostError> {
        let id: RunId = run_id.into();
        // Whoever wants no rows is not woken for each.
        let wanted = if from_seq == NO_ROWS { Wanted::Standing } else { Wanted::News };
        let early = self.early().take_if(|(of, _)| *of == id).filter(|_| wanted == Wanted::News);
        let mut subscription =
            early.map_or_else(|| self.0.hub.subscribe(&id, wanted), |(_, subscription)| subscription);
        // Driven, it is read anew; whether it is stuck still is told then.
        subscription.standing.take_if(|standing| matches!(standing, Standing::Stuck(_)));
        self.drive(run_id).await?;
        Ok(Watch::local(id, from_seq, subscription, self.0.store.reader().clone(), self.0.hub.clone()))
    }

    /// Listens to a run that is about to begin, where whoever begins it will follow it: what its first attempt says is not
    /// kept, and may be said before there is time to ask for it. Who drives all runs follows none.
    pub(super) fn listen_early(&self, run_id: &RunId) -> Option<Subscription> {
        (self.options().drive != Drive::All).then(|| self.0.hub.subscribe(run_id, Wanted::News))
    }

    /// Keeps that for [`Host::watch`]; of the latest run only.
    pub(super) fn keep_early(&self, run_id: RunId, early: Option<Subscription>) {
        *self.early() = early.map(|early| (run_id, early));
    }

    fn early(&self) -> std::sync::MutexGuard<'_, Option<(RunId, Subscription)>> {
        self.0.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a run has ended or only people can move it.
    ///
    /// # Errors
    /// When there is no such run, or its journal cannot be read.
    pub async fn until_settled(&self, run_id: &str) -> Result<Settled, HostError> {
        let mut watch = self.watch(run_id, NO_ROWS).await?;
        loop {
            if let Watched::Settled(settled) = watch.next().await? {
                return Ok(settled);
            }
        }
    }

    /// Ends in order: what is decided becomes durable, calls are stopped, one file stays behind.
    ///
    /// # Errors
    /// When the marks of attempts cannot be removed.
    pub async fn close(&self) -> Result<(), HostError> {
        let Some((server, lock)) = self.0.held.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        server.stop().await;
        let unseen = self.0.mailbox.close().await.unwrap_or_default();
        let host = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let there = lock.place()?.is_there().unwrap_or(true);
            host.0.store.close();
            host.0.telemetry.close();
            // Stopped in order, so nothing was interrupted but what nobody has looked at since.
            host.0.marks.clear_all_but(|run_id, command| {
                let id = command.parse::<CommandId>().ok();
                id.is_some_and(|id| unseen.contains(&(run_id.into(), id)))
            })?;
            drop(lock);
            // It may have gone since the last look.
            if there { Ok(()) } else { Err(HostError::Storage(removed(host.data_dir()))) }
        });
        closed.await.map_err(|_| HostError::Closing)?
    }

    /// Tells the core what it has to drive.
    async fn carry_on(&self) -> Result<(), HostError> {
        let run_ids = match &self.0.options.drive {
            Drive::Only(run_ids) => run_ids.clone(),
            Drive::All => {
                let (mut run_ids, mut after) = (Vec::new(), None);
                loop {
                    let page = self.0.store.reader().owed_runs(after.as_deref(), DEADLINES_MAX)?;
                    let Some(last) = page.last() else { break };
                    after = Some(last.clone());
                    run_ids.extend(page);
                }
                tokio::spawn(self.clone().look_ahead());
                tokio::spawn(self.clone().hand_on_all());
                run_ids
            }
        };
        self.0.telemetry.recovers(&run_ids, self.0.opened_at);
        for run_id in run_ids {
            self.drive_queued(&run_id)?;
            self.0.mailbox.tell(Message::Drive { run_id: run_id.into() });
        }
        Ok(())
    }

    /// Tells the core of deadlines of runs that are not in memory, a window at a time.
    async fn look_ahead(self) {
        loop {
            let horizon = now().plus_ms(DEADLINES_EVERY_MS * 2);
            match self.0.store.reader().deadlines_before(horizon, DEADLINES_MAX) {
                Ok(rows) => {
                    let all = rows.len() < DEADLINES_MAX as usize;
                    for (run_id, deadline) in rows {
                        self.0.mailbox.tell(Message::Sleeper { run_id: run_id.into(), deadline });
                    }
                    let pause = if all { DEADLINES_EVERY_MS } else { 1_000 };
                    tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "deadlines cannot be read; next try in a second");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
            if self.0.held.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                return;
            }
        }
    }

    /// Finishes what a former host began to delete and removes kept replies whose time is over; then, if it drives all runs,
    /// does so and applies its rules from time to time.
    async fn keep_tidy(self) {
        let tidy = self.0.tidy.clone();
        let finished = tokio::task::spawn_blocking(move || tidy.finish()).await;
        if let Ok(Err(error)) = finished
            && !error.is_gone()
        {
            tracing::warn!(%error, "what deleted runs left stays for now");
        }
        let retention = self.0.options.retention.clone();
        if self.0.options.drive != Drive::All {
            let tidy = self.0.tidy.clone();
            drop(self);
            return forget_expired(tidy).await;
        }
        // Asleep, it keeps nothing of a host that was closed.
        let host = Arc::downgrade(&self.0);
        drop(self);
        while let Some(inner) = host.upgrade() {
            if inner.held.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
                return;
            }
            let (tidy, retention) = (inner.tidy.clone(), retention.clone());
            drop(inner);
            forget_expired(tidy.clone()).await;
            let pruned = tokio::task::spawn_blocking(move || tidy.prune(&retention, Pace::Gentle)).await;
            match pruned {
                Ok(Ok(pruned)) if pruned.runs() > 0 => {
                    tracing::info!(runs = pruned.runs(), bytes = pruned.bytes(), "ended runs were deleted");
                }
                Ok(Err(error)) if !error.is_gone() => {
                    tracing::warn!(%error, "ended runs cannot be deleted now; next try in ten minutes");
                }
                _ => {}
            }
            tokio::time::sleep(PRUNE_EVERY).await;
        }
    }

    pub(super) fn documents(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Vec<Document>>> {
        self.0.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("data_dir", &self.0.options.data_dir).finish_non_exhaustive()
    }
}

/// What a run of this graph pins.
pub(crate) fn documents(graph: &Graph, source: String) -> Vec<Document> {
    let canonical = serde_json::to_vec(graph).expect("a graph is JSON: its keys are text");
    vec![
        Document {
            digest: crate::driver::digest(source.as_bytes()),
            kind: DocumentKind::Source,
            bytes: source.into_bytes(),
        },
        Document { digest: crate::driver::digest(&canonical), kind: DocumentKind::Graph, bytes: canonical },
    ]
}

/// What is opened before anything runs.
struct Opened {
    lock: Lock,
    store: Store,
    sandbox: Sandbox,
    marks: InFlight,
    marked: BTreeMap<(RunId, CommandId), Mark>,
    interrupted: BTreeMap<RunId, Vec<CommandId>>,
}

impl Opened {
    fn new(options: &HostOptions) -> Result<Opened, HostError> {
        let lock = Lock::acquire(&options.data_dir)?;
        let settings = Settings {
            cache_dir: Some(crate::driver::compiled_dir(&options.data_dir)),
            scratch_dir: Some(options.data_dir.join("scratch")),
            compiler: options.compiler.clone(),
            ..options.sandbox.clone()
        };
        let store = Store::open(&options.data_dir, store_options(options))?;
        let outbound = options.outgoing.open().map_err(HostError::Outgoing)?;
        let sandbox = Sandbox::with_outbound(settings, outbound)?;
        let marks = InFlight::open(&options.data_dir)?;
        // They stay set until the interruption is durable: this process may die, too.
        let (mut marked, mut interrupted) = (BTreeMap::new(), BTreeMap::<RunId, Vec<CommandId>>::new());
        for (run_id, command, mark) in marks.take_over()? {
            let run_id: RunId = run_id.into();
            let key = command.parse::<CommandId>().ok().map(|id| (run_id.clone(), id));
            let Some(key) = key.filter(|key| !marked.contains_key(key)) else {
                marks.clear(mark)?;
                continue;
            };
            let id = key.1.clone();
            marked.insert(key, mark);
            interrupted.entry(run_id).or_default().push(id);
        }
        Ok(Opened { lock, store, sandbox, marks, marked, interrupted })
    }
}

fn store_options(options: &HostOptions) -> bandstand_store::Options {
    bandstand_store::Options {
        durability: match options.durability {
            Durability::Full => bandstand_store::Durability::Full,
            Durability::Process => bandstand_store::Durability::Process,
        },
        on_fatal: Some(Arc::new(|fatal| end_the_process(&fatal.to_string()))),
        ..bandstand_store::Options::default()
    }
}

/// What is not known to be durable must not be acknowledged, so nothing more may happen here.
fn end_the_process(problem: &str) {
    eprintln!("error: the storage failed: {problem}");
    eprintln!(
        "help: nothing that was not saved was acknowledged; see to the disk, then start again: runs carry on"
    );
    std::process::exit(74);
}

/// What was acknowledged in the last second may be lost with the directory; nothing more is.
fn end_without_directory(data_dir: &Path) {
    let problem = removed(data_dir);
    eprintln!("error: {problem}");
    eprintln!(
        "help: its runs went with it; put the directory back if it was moved, then start again: runs carry on"
    );
    std::process::exit(74);
}

/// Not urgent: what fails now is tried again with the next host, or in ten minutes.
async fn forget_expired(tidy: Arc<Tidy>) {
    let forgotten = tokio::task::spawn_blocking(move || tidy.forget_expired()).await;
    if let Ok(Err(error)) = forgotten
        && !error.is_gone()
    {
        tracing::warn!(%error, "kept replies whose time is over stay for now");
    }
}

fn removed(data_dir: &Path) -> String {
    format!(
        "the data directory {} was removed, moved or replaced while this host held it, so nothing more is written",
        data_dir.display()
    )
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without a source of randomness the time has to do.
    if getrandom::fill(&mut bytes).is_err() {
        return now().0.unsigned_abs();
    }
    u64::from_le_bytes(bytes)
}
