//! The task that owns the core: drains the mailbox, carries out actions, wakes up for deadlines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bandstand_driver::{
    Action, Breaker, BreakerState, Core, Held, Limits, Message, NewChild, Refusal, Request, Row, RunId,
    Standing, Summary, Token,
};
use bandstand_engine::event::RunStarted;
use bandstand_engine::{Command, CommandId, Graph, Input, Outcome, Run, Snapshot, Status, Timestamp};
use bandstand_sandbox::CancelToken;
use bandstand_store::{
    Append, Document, InFlight, LockPlace, Mark, Refused, RunChange, RunStatus, Store, ThreadKey,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::call::{Caller, Of};
use super::child::Children;
use super::clock::now;
use super::holds::Holds;
use super::load::Loader;
use super::tap::Tap;
use crate::host::{Counters, Live, LiveKind, Published, to_kept};

/// Messages handled before the task lets others have the thread.
const MESSAGES_AT_ONCE_MAX: usize = 256;
/// The wall clock is looked at this often at least: it may have jumped.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// At an end in order, how long calls that are at work may take to finish. What finishes is not done again.
const GRACE: Duration = Duration::from_secs(1);
/// Runs read from the store at once.
const LOADS_MAX: usize = 4;

/// What a person's input came to.
pub type Ended = Result<Outcome, Refusal>;

/// Where messages for the core are put.
#[derive(Clone, Debug)]
pub struct Mailbox {
    people: mpsc::UnboundedSender<Message>,
    others: mpsc::UnboundedSender<Message>,
    close: mpsc::UnboundedSender<oneshot::Sender<Unseen>>,
    requests: Arc<Requests>,
}

/// Who waits for an answer.
#[derive(Debug, Default)]
struct Requests {
    next: AtomicU64,
    waiting: Mutex<HashMap<Request, oneshot::Sender<Ended>>>,
}

/// Attempts that the process before left behind and this one has not looked at: their marks must stay.
pub type Unseen = BTreeSet<(RunId, CommandId)>;

/// The host is going away and answers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl Mailbox {
    /// Sends what somebody waits for, and waits. `Err`: the host is closing.
    pub async fn ask(&self, message: impl FnOnce(Request) -> Message) -> Result<Ended, Gone> {
        let request = Request(self.requests.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        self.requests.lock().insert(request, answer);
        if self.people.send(message(request)).is_err() {
            self.requests.lock().remove(&request);
            return Err(Gone);
        }
        answered.await.map_err(|_| Gone)
    }

    /// Sends what nobody waits for.
    pub fn tell(&self, message: Message) {
        // A closed host has nothing to hear.
        let _ = self.others.send(message);
    }

    /// Ends the task: calls get a moment to finish and are stopped then, what is decided becomes durable. `None`: it had
    /// ended already.
    pub async fn close(&self) -> Option<Unseen> {
        let (closed, wait) = oneshot::channel();
        self.close.send(closed).ok()?;
        wait.await.ok()
    }
}

impl Requests {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Request, oneshot::Sender<Ended>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the shell works with.
pub struct Parts {
    /// Bounds of the driver.
    pub limits: Limits,
    /// What the process before knew against plugins.
    pub breakers: Vec<Breaker>,
    /// Shows how many plugins and attempts are out of service.
    pub(crate) counters: Arc<Counters>,
    /// Hears what is durable.
    pub tap: Arc<dyn Tap>,
    /// Keeps.
    pub store: Arc<Store>,
    /// Marks of calls in flight.
    pub marks: Arc<InFlight>,
    /// Marks that were found at start and set again.
    pub marked: BTreeMap<(RunId, CommandId), Mark>,
    /// Reads runs.
    pub loader: Arc<Loader>,
    /// Makes calls.
    pub caller: Caller,
    /// Texts that a new run pins, kept with its first row.
    pub documents: Arc<Mutex<HashMap<RunId, Vec<Document>>>>,
    /// Called when the process must end; does not return in a real host.
    pub die: Arc<dyn Fn(&str) + Send + Sync>,
    /// Called when a run that wrote a thread, or waited for it, has ended.
    pub thread_left: Arc<dyn Fn(ThreadKey) + Send + Sync>,
    /// Of the data directory.
    pub place: LockPlace,
    /// Called when the directory is not at its place any more; does not return in a real host.
    pub removed: Arc<dyn Fn() + Send + Sync>,
}

/// The task's state.
pub struct Shell {
    core: Core,
    parts: Parts,
    mailbox: Mailbox,
    flying: BTreeMap<(RunId, CommandId), CancelToken>,
    unseen: Unseen,
    /// Of runs that make calls: what a call must know.
    infos: HashMap<RunId, (Arc<Graph>, RunStarted)>,
    loads: Arc<Semaphore>,
    children: Arc<Children>,
    wake_at: Option<Timestamp>,
    held: bool,
    holds: Holds,
    gate_looked_at: Instant,
    /// The wall clock when it was last looked at.
    clock_was: Timestamp,
    actions: Vec<Action>,
}

impl Shell {
    /// Starts the task on the current tokio runtime.
    pub fn spawn(mut parts: Parts) -> Mailbox {
        let (people, people_inbox) = mpsc::unbounded_channel();
        let (others, others_inbox) = mpsc::unbounded_channel();
        let (close, close_inbox) = mpsc::unbounded_channel();
        let mailbox = Mailbox { people, others, close, requests: Arc::default() };
        let children = Children::new(parts.store.clone(), parts.loader.clone(), parts.documents.clone());
        for breaker in &parts.breakers {
            parts.caller.out_of_service.set(&breaker.plugin, Some(breaker));
        }
        let mut core = Core::new(parts.limits);
        core.restore(std::mem::take(&mut parts.breakers));
        let shell = Shell {
            children: Arc::new(children),
            core,
            unseen: parts.marked.keys().cloned().collect(),
            parts,
            mailbox: mailbox.clone(),
            flying: BTreeMap::new(),
            infos: HashMap::new(),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
            wake_at: None,
            held: false,
            holds: Holds::default(),
            gate_looked_at: Instant::now(),
            clock_was: now(),
            actions: Vec::new(),
        };
        tokio::spawn(shell.run(people_inbox, others_inbox, close_inbox));
        mailbox
    }

    async fn run(
        mut self,
        mut people: mpsc::UnboundedReceiver<Message>,
        mut others: mpsc::UnboundedReceiver<Message>,
        mut close: mpsc::UnboundedReceiver<oneshot::Sender<Unseen>>,
    ) {
        let mut look = tokio::time::interval(CLOCK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut since_yield = 0;
        let closed = loop {
            let nap = self.nap();
            tokio::select! {
                biased;
                Some(closed) = close.recv() => break closed,
                Some(message) = people.recv() => self.handle(message),
                Some(message) = others.recv() => self.handle(message),
                () = tokio::time::sleep(nap), if self.wake_at.is_some() => self.wake(),
                _ = look.tick() => {
                    self.wake();
                    self.look_at_the_disk();
                    self.look_at_the_gate();
                }
            }
            since_yield += 1;
            if since_yield >= MESSAGES_AT_ONCE_MAX {
                // A full mailbox hides the timers.
                since_yield = 0;
                self.wake();
                self.look_at_the_disk();
                if self.gate_looked_at.elapsed() >= CLOCK_EVERY {
                    self.look_at_the_gate();
                }
                tokio::task::yield_now().await;
            }
        };
        for run_id in self.holds.take() {
            self.show_held(&run_id, None);
        }
        self.handle(Message::Hold(true));
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        while !self.flying.is_empty() {
            tokio::select! {
                Some(message) = others.recv() => self.handle(message),
                () = &mut grace => break,
            }
        }
        while !self.core.is_flushed() {
            // Only the store can say anything that matters now, and it always answers or ends the process.
            let Some(message) = others.recv().await else { break };
            self.handle(message);
        }
        for cancel in self.flying.values() {
            cancel.cancel();
        }
        // In this order: whoever asks from now on cannot send, whoever asked before is told that the host is gone.
        people.close();
        self.mailbox.requests.lock().clear();
        let _ = closed.send(self.unseen);
    }

    fn handle(&mut self, message: Message) {
        if let Message::CallEnded { run_id, id, .. }
        | Message::CallStopped { run_id, id }
        | Message::CallRefused { run_id, id }
        | Message::CallBlocked { run_id, id, .. } = &message
        {
            self.flying.remove(&(run_id.clone(), id.clone()));
        }
        let begun = match &message {
            Message::RunStarted { run, .. } => Some(RunId::from(run.id())),
            _ => None,
        };
        match &message {
            Message::Loaded { run, .. } if self.core.run(run.id()).is_none() => self.parts.tap.loaded(run),
            Message::LoadFailed { run_id, .. } => self.parts.tap.not_loaded(run_id),
            _ => {}
        }
        let mut actions = std::mem::take(&mut self.actions);
        self.core.handle(message, now(), &mut actions);
        self.parts.counters.set(self.core.quarantine_counts());
        for action in actions.drain(..) {
            self.carry_out(action);
        }
        self.actions = actions;
        self.parts.tap.attempts(self.flying.len());
        if let Some(run_id) = begun {
            // Its first row has them by now; of a child run that nobody wanted any more there is none.
            self.parts.documents.lock().unwrap_or_else(PoisonError::into_inner).remove(&run_id);
        }
    }

    /// How long to sleep until the core wants to be woken.
    fn nap(&self) -> Duration {
        let Some(wake_at) = self.wake_at else { return CLOCK_EVERY };
        Duration::from_millis(wake_at.since_ms(now())).min(CLOCK_EVERY)
    }

    fn wake(&mut self) {
        let at = now();
        // Set back, the clock would be waited for: the core knows what that means for those who wait.
        let set_back = at < self.clock_was;
        self.clock_was = at;
        if set_back || self.wake_at.is_some_and(|wake_at| wake_at <= at) {
            self.handle(Message::Tick);
        }
    }

    fn look_at_the_disk(&mut self) {
        match self.parts.place.is_there() {
            Ok(true) => {}
            Ok(false) => (self.parts.removed)(),
            Err(error) => {
                tracing::warn!(%error, "the data directory cannot be looked at; next try in a second")
            }
        }
        let low = self.parts.store.low_space();
        if low != self.held {
            self.held = low;
            if low {
                tracing::warn!("the disk is nearly full: no attempt starts until there is room again");
            }
            self.handle(Message::Hold(low));
        }
    }

    fn look_at_the_gate(&mut self) {
        self.gate_looked_at = Instant::now();
        for (run_id, held) in self.holds.look(&self.core) {
            self.show_held(&run_id, held);
        }
    }

    fn show_held(&self, run_id: &RunId, held: Option<Held>) {
        // One that has more to record says it with that.
        if let Some(summary) = self.core.summary(run_id) {
            // When the store takes nothing more, there is nothing to show either.
            let _ = self.parts.store.change_run(run_id.clone(), now(), change(summary, held), |_| ());
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Append { run_id, rows, summary, token } => self.append(run_id, rows, summary, token),
            Action::LookUp { run_id, id, key } => self.look_up(run_id, id, key),
            Action::StartCall { run_id, command } => self.start(run_id, command),
            Action::StartChild { run_id, new } => self.start_child(run_id, *new),
            Action::Change { run_id, summary } => {
                // If it is not taken the run is looked at once more at the next start.
                let _ = self.parts.store.change_run(run_id, now(), change(summary, None), |_| ());
            }
            Action::StopCall { run_id, id } => {
                if let Some(cancel) = self.flying.get(&(run_id, id)) {
                    cancel.cancel();
                }
            }
            Action::ClearMark { run_id, id } => {
                let key = (run_id, id);
                self.unseen.remove(&key);
                if let Some(mark) = self.parts.marked.remove(&key)
                    && let Err(error) = self.parts.marks.clear(mark)
                {
                    tracing::warn!(%error, "a mark stays; if the host dies, one attempt counts as interrupted");
                }
            }
            Action::Answer { request, result } => {
                if let Some(waiting) = self.mailbox.requests.lock().remove(&request) {
                    let _ = waiting.send(result);
                }
            }
            Action::Publish { run_id, rows } => {
                for row in rows {
                    self.parts.tap.row(&run_id, &row);
                    let Row { seq, at, events } = row;
                    let next_seq = seq + events.len() as u64;
                    let row = || Published { run_id: run_id.to_string(), seq, at, events };
                    self.parts.caller.hub.publish(&run_id, row, next_seq);
                }
            }
            Action::Stands { run_id, standing } => {
                if let Standing::Stuck(problem) = &standing {
                    self.holds.forget(&run_id);
                    self.parts.tap.evicted(&run_id);
                    self.stuck(&run_id, problem);
                }
                self.parts.caller.hub.stands(&run_id, standing);
            }
            Action::Load { run_id } => self.load(run_id),
            Action::Evict { run_id } => {
                self.infos.remove(&run_id);
                self.parts.tap.evicted(&run_id);
                self.parts.caller.hub.evict(&run_id);
            }
            Action::SaveSnapshot { run_id, snapshot } => self.save(run_id, *snapshot),
            Action::WakeAt { at } => self.wake_at = at,
            Action::RunEnded { run_id, status } => {
                tracing::debug!(%run_id, status = status.name(), "the run has ended")
            }
            Action::ThreadLeft { workflow, thread_id } => {
                (self.parts.thread_left)(ThreadKey { workflow, thread_id })
            }
            Action::Breaker { plugin, breaker } => self.breaker(&plugin, breaker),
            Action::ShutOut { run_id, id, breaker } => {
                self.parts.caller.hub.live(&run_id, || Live {
                    run_id: run_id.to_string(),
                    command_id: id.to_string(),
                    what: LiveKind::Held {
                        because: Held::Breaker.name().to_owned(),
                        plugin: breaker.plugin.to_string(),
                        since: breaker.since,
                        probe_at: breaker.probe_at,
                        fault: breaker.fault,
                    },
                    stream: None,
                });
            }
            Action::Die { problem } => (self.parts.die)(&problem),
        }
    }

    /// Keeps what is known against a plugin.
    fn breaker(&self, plugin: &str, breaker: Option<Breaker>) {
        self.parts.caller.out_of_service.set(plugin, breaker.as_ref());
        match &breaker {
            Some(breaker) if breaker.state == BreakerState::Open => tracing::warn!(
                plugin,
                name = breaker.name,
                workflow = breaker.workflow,
                fault = breaker.fault,
                "a plugin is in quarantine: attempts on it wait until it works again or is released"
            ),
            Some(_) => {}
            None => tracing::debug!(plugin, "nothing is known against a plugin any more"),
        }
        // If it is not taken, the next start knows less of the plugin.
        let _ = self.parts.store.keep_breaker(plugin, breaker.map(to_kept));
    }

    fn append(&mut self, run_id: RunId, rows: Vec<Row>, summary: Summary, token: Token) {
        let held = self.holds.of(&self.core, &run_id);
        let last = rows.len().saturating_sub(1);
        let mut size_bytes = 0;
        for (index, row) in rows.into_iter().enumerate() {
            let change = (index == last).then(|| change(summary, held));
            let mut append = Append::new(run_id.clone(), row.seq, row.at, row.events.to_vec(), change);
            if row.seq == 0 {
                let mut documents = self.parts.documents.lock().unwrap_or_else(PoisonError::into_inner);
                append.documents = documents.remove(&run_id).unwrap_or_default();
            }
            size_bytes += append.events.len() as u64;
            let (others, tap) = (self.mailbox.others.clone(), self.parts.tap.clone());
            let begun = Instant::now();
            let done = move |result: Result<_, bandstand_store::AppendError>| {
                if result.is_ok() {
                    tap.appended(begun.elapsed());
                }
                let message = match result {
                    Ok(_) if index < last => return,
                    Ok(_) => Message::Appended { token, size_bytes },
                    Err(bandstand_store::AppendError::Closed) => Message::AppendFailed {
                        token,
                        problem: bandstand_store::AppendError::Closed.to_string(),
                    },
                    Err(error) => Message::AppendRefused { token, problem: error.to_string() },
                };
                let _ = others.send(message);
            };
            if let Err(refused) = self.parts.store.append(append, done) {
                let problem = refused.to_string();
                self.mailbox.tell(match refused {
                    Refused::QueueFull { .. } => Message::AppendRefused { token, problem },
                    Refused::Stopped => Message::AppendFailed { token, problem },
                });
                return;
            }
        }
    }

    /// Looks for a kept reply. One that cannot be read is as none: the call is made.
    fn look_up(&self, run_id: RunId, id: CommandId, key: String) {
        let (reader, others) = (self.parts.store.reader().clone(), self.mailbox.others.clone());
        tokio::task::spawn_blocking(move || {
            let found = reader.kept_reply(&key, now()).unwrap_or_else(|error| {
                tracing::warn!(%run_id, %id, %error, "the kept reply cannot be used; the call is made");
                None
            });
            let found = found.map(|(reply, from)| Input::Cached { id: id.clone(), reply, from });
            let _ = others.send(Message::LookedUp { run_id, id, found });
        });
    }

    fn start(&mut self, run_id: RunId, command: Command) {
        let id = command.id.clone();
        let key = (run_id.clone(), id.clone());
        // That it was interrupted is recorded by now.
        self.unseen.remove(&key);
        if !self.parts.marked.contains_key(&key) {
            match self.parts.marks.mark(&run_id, &id.to_string()) {
                Ok(mark) => {
                    self.parts.marked.insert(key.clone(), mark);
                }
                Err(bandstand_store::InFlightError::Io { path, source }) => {
                    return (self.parts.die)(&format!(
                        "cannot mark an attempt in {}: {source}",
                        path.display()
                    ));
                }
                Err(error) => {
                    tracing::warn!(%error, "an attempt waits");
                    return self.mailbox.tell(Message::CallRefused { run_id, id });
                }
            }
        }
        let Some((graph, started)) = self.info(&run_id) else {
            return self.mailbox.tell(Message::CallStopped { run_id, id });
        };
        let cancel = CancelToken::new();
        self.flying.insert(key, cancel.clone());
        let spent = self.core.run(&run_id).map(|run| *run.spent()).unwrap_or_default();
        let of = Of { run_id, graph, started, spent, mailbox: self.mailbox.clone() };
        let others = self.mailbox.others.clone();
        self.parts.caller.clone().start(of, command, cancel, move |message| drop(others.send(message)));
    }

    fn start_child(&self, run_id: RunId, new: NewChild) {
        let (children, loads, others) =
            (self.children.clone(), self.loads.clone(), self.mailbox.others.clone());
        tokio::spawn(async move {
            let _turn = loads.acquire().await;
            let child: RunId = new.child.run_id.as_str().into();
            let made = tokio::task::spawn_blocking(move || children.message(run_id, new)).await;
            let message = made.unwrap_or_else(|error| Message::LoadFailed {
                run_id: child,
                problem: bandstand_driver::LoadProblem::Stuck(format!(
                    "starting it failed ({error}); this is a defect of the host, please report it with its parent's journal"
                )),
            });
            let _ = others.send(message);
        });
    }

    fn info(&mut self, run_id: &RunId) -> Option<(Arc<Graph>, RunStarted)> {
        if let Some(known) = self.infos.get(run_id) {
            return Some(known.clone());
        }
        let run = self.core.run(run_id)?;
        // What a call needs of it is small; the first values of the channels are not.
        let started = RunStarted { state: BTreeMap::new(), ..run.started().clone() };
        let info = (run.graph().clone(), started);
        self.infos.insert(run_id.clone(), info.clone());
        Some(info)
    }

    fn load(&self, run_id: RunId) {
        let (loader, loads, others) =
            (self.parts.loader.clone(), self.loads.clone(), self.mailbox.others.clone());
        let store = self.parts.store.clone();
        tokio::spawn(async move {
            let _turn = loads.acquire().await;
            let of = run_id.clone();
            let loaded = tokio::task::spawn_blocking(move || {
                let message = loader.load(&of);
                if let Message::Loaded { run, .. } = &message {
                    no_longer_stuck(&store, &of, run);
                }
                message
            })
            .await;
            let message = loaded.unwrap_or_else(|error| Message::LoadFailed {
                run_id,
                problem: bandstand_driver::LoadProblem::Stuck(format!(
                    "reading it failed ({error}); this is a defect of the host, please report it with the run's journal"
                )),
            });
            let _ = others.send(message);
        });
    }

    fn save(&self, run_id: RunId, snapshot: Snapshot) {
        let store = self.parts.store.clone();
        tokio::task::spawn_blocking(move || match serde_json::to_vec(&snapshot) {
            Ok(bytes) => store.keep_snapshot(run_id, snapshot.seq, bytes),
            Err(error) => tracing::warn!(%run_id, %error, "a snapshot cannot be written"),
        });
    }

    /// Shows in lists that the host cannot go on with a run.
    fn stuck(&self, run_id: &RunId, problem: &str) {
        tracing::error!(%run_id, problem, "the host cannot go on with this run; the others go on");
        let stage = self.parts.store.reader().run(run_id).ok().flatten().and_then(|row| row.stage);
        let held = Some(problem.to_owned());
        let change = RunChange { status: RunStatus::Stuck, stage, held, owed: false, next_deadline: None };
        let _ = self.parts.store.change_run(run_id.clone(), now(), change, |_| ());
    }
}

/// A run that was stuck and can be read is tried again: lists show where it stands. Before the core has it, so that this
/// row comes before those of its decisions.
fn no_longer_stuck(store: &Store, run_id: &RunId, run: &Run) {
    if store.reader().run(run_id).ok().flatten().is_some_and(|row| row.status == RunStatus::Stuck) {
        let _ = store.change_run(run_id.clone(), now(), change(Summary::of(run), None), |_| ());
    }
}

fn change(summary: Summary, held: Option<Held>) -> RunChange {
    let held = if summary.status == Status::Paused { Some(Held::Paused) } else { held };
    RunChange {
        status: summary.status.into(),
        stage: Some(summary.stage.name().to_owned()),
        held: held.map(|held| held.name().to_owned()),
        owed: summary.owes,
        next_deadline: summary.next_deadline,
    }
}
