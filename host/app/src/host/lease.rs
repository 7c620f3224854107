//! Who may write a thread (R5.8): at most one run, from its start to its end. The store's table says who does and who
//! waits; it changes with the events of these runs, in their transactions. Here is what changes it in order: whoever begins
//! a run of a thread, or hands the thread on, has the thread's *turn*, looks at the table, and keeps the turn until what
//! follows from it is durable. Only the holder of the data directory's lock starts runs, so that is exact.
//!
//! A run that is queued is handed its thread by [`Host::hand_on`]: when a run of the thread has ended, when one was queued
//! (the one before it may have ended meanwhile), and when a host begins. A host that does not drive all runs hands on only
//! to those that it was told to drive, and to those before them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bandstand_driver::{Message, Refusal};
use bandstand_engine::graph::SecondRun;
use bandstand_engine::input::{ActorKind, By};
use bandstand_engine::run::ThreadNow;
use bandstand_engine::{Graph, Input, Rejected};
use bandstand_store::{Forgotten, ThreadKey};
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::error::HostError;
use super::holder::{Host, Inner};
use super::request::Drive;

/// Interruptions of one thread before one run, at most: others may come while the first is cancelled.
const INTERRUPTIONS_MAX: u32 = 1_000;

/// Whose turn it is with each thread, and which queued runs this host is to make go on.
#[derive(Debug, Default)]
pub(super) struct Leases {
    turns: Mutex<HashMap<ThreadKey, Weak<tokio::sync::Mutex<()>>>>,
    wanted: Mutex<HashSet<String>>,
}

/// While it is held, nobody else begins a run of the thread or hands it on.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Leases {
    async fn turn(&self, key: &ThreadKey) -> Turn {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            match turns.get(key).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    turns.retain(|_, turn| turn.strong_count() > 0);
                    let turn = Arc::new(tokio::sync::Mutex::new(()));
                    turns.insert(key.clone(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }

    fn want(&self, run_id: &str) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id.to_owned());
    }

    fn is_wanted(&self, run_id: &str) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).contains(run_id)
    }

    fn forget(&self, run_id: &str) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).remove(run_id);
    }
}

/// The thread that a run of this graph would write, if it is given that id.
pub(super) fn thread_key(graph: &Graph, thread_id: Option<&str>) -> Option<ThreadKey> {
    graph.second_run()?;
    Some(ThreadKey { workflow: graph.name.clone(), thread_id: thread_id?.to_owned() })
}

/// Hands on the threads that runs leave, until the host ends.
pub(super) async fn hand_on_left(host: Weak<Inner>, mut left: mpsc::UnboundedReceiver<ThreadKey>) {
    while let Some(key) = left.recv().await {
        let Some(inner) = host.upgrade() else { return };
        // Each for itself: a run that is long to load keeps no other thread waiting.
        tokio::spawn(async move { Host(inner).hand_on(&key).await });
    }
}

impl Host {
    /// Waits until nobody else changes who has the thread.
    pub(super) async fn turn(&self, key: &ThreadKey) -> Turn {
        self.0.leases.turn(key).await
    }

    /// Whether a run that begins now would end others: what may be wrong with it is to be found before that.
    pub(super) fn would_interrupt(&self, key: &ThreadKey, second_run: SecondRun) -> Result<bool, HostError> {
        let runs = self.0.store.reader().thread_runs(key)?;
        Ok(second_run == SecondRun::Interrupt && (runs.holder.is_some() || !runs.queued.is_empty()))
    }

    /// What the thread keeps now.
    pub(super) fn kept(&self, key: &ThreadKey) -> Result<ThreadNow, HostError> {
        Ok(ThreadNow::Free(self.0.store.reader().thread_values(key)?))
    }

    /// How the thread is for a run that begins now, after what its workflow says of a second run was done. The caller has
    /// the thread's turn.
    ///
    /// # Errors
    /// When another run has the thread, and the workflow says that a second one is refused, or that one cannot be ended.
    pub(super) async fn place(
        &self,
        key: &ThreadKey,
        second_run: SecondRun,
        run_id: &str,
    ) -> Result<ThreadNow, HostError> {
        for _ in 0..INTERRUPTIONS_MAX {
            let runs = self.0.store.reader().thread_runs(key)?;
            let Some(first) = runs.holder.iter().chain(&runs.queued).next() else { return self.kept(key) };
            let held = |problem: &'static str| HostError::ThreadHeld {
                workflow: key.workflow.clone(),
                thread_id: key.thread_id.clone(),
                run_id: first.run_id.clone(),
                status: first.status.name(),
                problem,
            };
            match second_run {
                SecondRun::Queue => return Ok(ThreadNow::Taken),
                SecondRun::Reject => {
                    return Err(held("a second run is refused (`thread: { second-run: reject }`)"));
                }
                SecondRun::Interrupt => {}
            }
            // The queued ones first, so that none of them gets the thread in between.
            for other in runs.queued.iter().rev().chain(&runs.holder) {
                let by = By { kind: ActorKind::Policy, id: "second-run".to_owned() };
                let reason = format!("run {run_id} of the same thread interrupts it");
                match self.input(&other.run_id, Input::Cancel { by, reason }).await {
                    // It has ended by itself meanwhile.
                    Ok(_) | Err(HostError::Refused(Refusal::Rejected(Rejected::Ended(_)))) => {}
                    Err(HostError::Refused(Refusal::Stuck { .. })) => {
                        return Err(held(
                            "it is stuck and cannot be interrupted; delete it (bandstand runs delete)",
                        ));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(ThreadNow::Taken)
    }

    /// A run was queued: it is to get its thread in its turn, and what is before it is made to go on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) fn drive_queued(&self, run_id: &str) -> Result<(), HostError> {
        let reader = self.0.store.reader();
        let Some((key, false)) = reader.thread_of(run_id)? else { return Ok(()) };
        for before in reader.thread_runs(&key)?.queued {
            self.0.leases.want(&before.run_id);
            if before.run_id == run_id {
                break;
            }
        }
        // Looked at once more: who has the thread may have ended before this one was wanted.
        if let Some(holder) = reader.thread_runs(&key)?.holder {
            self.0.mailbox.tell(Message::Drive { run_id: holder.run_id.as_str().into() });
        }
        let host = self.clone();
        tokio::spawn(async move { host.hand_on(&key).await });
        Ok(())
    }

    /// Gives a thread that nobody has to the run that waits longest for it.
    pub(super) async fn hand_on(&self, key: &ThreadKey) {
        let _turn = self.turn(key).await;
        if let Err(error) = self.try_hand_on(key).await
            && !error.is_gone()
        {
            tracing::error!(
                %error, workflow = key.workflow, thread = key.thread_id, "runs that wait for this thread wait on"
            );
        }
    }

    async fn try_hand_on(&self, key: &ThreadKey) -> Result<(), HostError> {
        let reader = self.0.store.reader();
        let runs = reader.thread_runs(key)?;
        if runs.holder.is_some() {
            return Ok(());
        }
        for next in runs.queued {
            if self.options().drive != Drive::All && !self.0.leases.is_wanted(&next.run_id) {
                return Ok(()); // whoever drives it hands on
            }
            let values = reader.thread_values(key)?;
            match self.input(&next.run_id, Input::Enter(values)).await {
                Ok(_) => {
                    self.0.leases.forget(&next.run_id);
                    // If it ended by that, it leaves the thread, and the next one is looked for.
                    return Ok(());
                }
                Err(HostError::Refused(Refusal::Stuck { problem, .. })) => {
                    tracing::warn!(
                        run_id = next.run_id,
                        problem,
                        "a queued run is stuck; the next one begins"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands on every thread that runs wait for and nobody has.
    pub(super) async fn hand_on_all(self) {
        let mut seen = HashSet::new();
        loop {
            let awaited = match self.0.store.reader().awaited_threads() {
                Ok(awaited) => awaited,
                Err(error) => {
                    tracing::error!(%error, "it cannot be read which threads runs wait for");
                    return;
                }
            };
            // One that nobody could be given is not tried for ever.
            let fresh: Vec<ThreadKey> = awaited.into_iter().filter(|key| seen.insert(key.clone())).collect();
            if fresh.is_empty() {
                return;
            }
            for key in fresh {
                self.hand_on(&key).await;
            }
        }
    }

    /// Forgets what a thread keeps, for good.
    ///
    /// # Errors
    /// When there is no such thread, or a run writes it or waits for it.
    pub async fn forget_thread(&self, workflow: String, thread_id: String) -> Result<(), HostError> {
        let key = ThreadKey { workflow, thread_id };
        let _turn = self.turn(&key).await;
        let (store, of) = (self.0.store.clone(), key.clone());
        let forgotten = tokio::task::spawn_blocking(move || store.forget_thread(of));
        let ThreadKey { workflow, thread_id } = key;
        match forgotten.await.map_err(|_| HostError::Closing)? {
            Ok(Forgotten::Done) => Ok(()),
            Ok(Forgotten::Unknown) => Err(HostError::NoSuchThread { workflow, thread_id }),
            Ok(Forgotten::InUse(run_id)) => Err(HostError::ThreadBusy { workflow, thread_id, run_id }),
            Err(refused) => Err(HostError::Storage(refused.to_string())),
        }
    }
}
