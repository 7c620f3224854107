//! Deleting runs and what only they needed, in steps so short that no other run waits long: by hand, by the rules of
//! retention, and what a host that died in between left over; and kept replies whose time is over. Which runs may go is the store's business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bandstand_store::{Because, Chooser, Deletion, Going, Reader, Refused, Retention, RunStatus, Store};
use serde::{Deserialize, Serialize};

use super::error::HostError;
use crate::driver::{Plugins, now};

/// Between two tries when the store is behind.
const PAUSE: Duration = Duration::from_millis(20);
/// Tries to find the store idle before the file is left as long as it is: its free pages are used again.
const IDLE_TRIES_MAX: u32 = 100;

/// What retention took, or would take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// By workflow, status and reason, in that order.
    pub groups: Vec<PrunedGroup>,
    /// Bytes by which the file shrinks. 0 when nothing was deleted yet.
    pub file_bytes: u64,
    /// Plugin files that no run pins any more and that were removed.
    pub plugins: u64,
}

/// Runs that went for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrunedGroup {
    /// Their workflow.
    pub workflow: String,
    /// How they ended.
    pub status: RunStatus,
    /// Why they went.
    pub because: Because,
    /// How many.
    pub runs: u64,
    /// Their events and snapshots, and the values that nobody else names. Bytes.
    pub bytes: u64,
}

/// What deleting runs by hand came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// In the order of the request.
    pub runs: Vec<Deletion>,
    /// Bytes by which the file shrinks.
    pub file_bytes: u64,
}

/// Whether somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Yes: one step after the other.
    Brisk,
    /// No: after each step the disk is left to the runs for as long as the step took.
    Gentle,
}

impl Pruned {
    /// How many runs.
    pub fn runs(&self) -> u64 {
        self.groups.iter().map(|group| group.runs).sum()
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.groups.iter().map(|group| group.bytes).sum()
    }

    /// What would go now by these rules. Changes nothing, needs no host.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn plan(reader: &Reader, retention: &Retention) -> Result<Pruned, HostError> {
        let mut chooser = Chooser::new(reader.clone(), retention.clone(), now());
        let mut tally = Tally::default();
        while let Some(going) = chooser.next_page()? {
            going.iter().for_each(|run| tally.add(run));
        }
        Ok(Pruned { groups: tally.groups(), ..Pruned::default() })
    }
}

#[derive(Default)]
struct Tally(BTreeMap<(String, RunStatus, Because), (u64, u64)>);

impl Tally {
    fn add(&mut self, run: &Going) {
        let (runs, bytes) = self.0.entry((run.workflow.clone(), run.status, run.because)).or_default();
        *runs += 1;
        *bytes = bytes.saturating_add(run.bytes);
    }

    fn groups(self) -> Vec<PrunedGroup> {
        let group = |((workflow, status, because), (runs, bytes))| PrunedGroup {
            workflow,
            status,
            because,
            runs,
            bytes,
        };
        self.0.into_iter().map(group).collect()
    }
}

/// Deletes in a data directory. One at a time; everything here blocks.
#[derive(Debug)]
pub(super) struct Tidy {
    store: Arc<Store>,
    data_dir: PathBuf,
    turn: Mutex<()>,
    /// Plugins of workflows in service.
    held: Mutex<BTreeSet<String>>,
}

impl Tidy {
    pub(super) fn new(store: Arc<Store>, data_dir: PathBuf) -> Tidy {
        Tidy { store, data_dir, turn: Mutex::new(()), held: Mutex::default() }
    }

    /// Says which plugins are needed though no run may pin them; the same ones, if they are others than before.
    pub(super) fn hold(&self, digests: BTreeSet<String>) -> Option<BTreeSet<String>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held == digests {
            return None;
        }
        held.clone_from(&digests);
        Some(digests)
    }

    /// Deletes these runs, those that have ended.
    pub(super) fn delete(&self, run_ids: &[String]) -> Result<Deleted, HostError> {
        let _turn = self.turn();
        let runs = self.insist(|| self.store.delete_runs(run_ids))?;
        let file_bytes = self.clean(Pace::Brisk)?;
        self.forget_plugins();
        Ok(Deleted { runs, file_bytes })
    }

    /// Applies the rules once.
    pub(super) fn prune(&self, retention: &Retention, pace: Pace) -> Result<Pruned, HostError> {
        let _turn = self.turn();
        let mut chooser = Chooser::new(self.store.reader().clone(), retention.clone(), now());
        let mut tally = Tally::default();
        while let Some(going) = chooser.next_page()? {
            // Counted again next time if the store is too busy now.
            let _ = self.store.keep_sizes(chooser.take_sizes());
            if going.is_empty() {
                continue;
            }
            let run_ids: Vec<String> = going.iter().map(|run| run.run_id.clone()).collect();
            let ends = self.insist(|| self.store.delete_runs(&run_ids))?;
            let gone = going.iter().zip(ends).filter(|(_, end)| *end == Deletion::Deleted);
            gone.for_each(|(run, _)| tally.add(run));
            self.sweep(pace)?;
        }
        let file_bytes = self.clean(pace)?;
        let plugins = self.forget_plugins();
        Ok(Pruned { groups: tally.groups(), file_bytes, plugins })
    }

    /// Removes kept replies whose time is over. They are not found any more; only their room is wanted.
    pub(super) fn forget_expired(&self) -> Result<(), HostError> {
        let now = now();
        if !self.store.reader().has_expired_replies(now)? {
            return Ok(());
        }
        let _turn = self.turn();
        loop {
            let step = Instant::now();
            if !self.insist(|| self.store.forget_expired_replies(now))?.more {
                return Ok(());
            }
            rest(Pace::Gentle, step);
        }
    }

    /// Goes on where a host that ended in between stopped.
    pub(super) fn finish(&self) -> Result<(), HostError> {
        if self.store.reader().has_leftovers()? {
            let _turn = self.turn();
            self.clean(Pace::Gentle)?;
        }
        Ok(())
    }

    /// Plugin files that no run pins. What cannot be removed now is tried again next time.
    fn forget_plugins(&self) -> u64 {
        let mut pinned = match self.store.reader().pinned() {
            Ok(pinned) => pinned,
            Err(error) => {
                tracing::warn!(%error, "which plugins are still needed cannot be told; none is removed");
                return 0;
            }
        };
        pinned.extend(self.held.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        Plugins::forget(&self.data_dir, &pinned).unwrap_or_else(|error| {
            tracing::warn!(%error, "plugins that no run pins stay for now");
            0
        })
    }

    /// Sweeps, then shrinks the file; how many bytes it loses.
    fn clean(&self, pace: Pace) -> Result<u64, HostError> {
        self.sweep(pace)?;
        let (mut bytes, mut tries) = (0, 0);
        while tries < IDLE_TRIES_MAX {
            if self.store.stats().queue_bytes > 0 {
                tries += 1;
                std::thread::sleep(PAUSE);
                continue;
            }
            let step = Instant::now();
            let shrunk = self.insist(|| self.store.shrink())?;
            bytes += shrunk.bytes;
            if !shrunk.more {
                break;
            }
            rest(pace, step);
        }
        Ok(bytes)
    }

    fn sweep(&self, pace: Pace) -> Result<(), HostError> {
        loop {
            let step = Instant::now();
            if !self.insist(|| self.store.sweep())?.more {
                return Ok(());
            }
            rest(pace, step);
        }
    }

    /// Tries again while the store is only behind.
    fn insist<T>(&self, mut step: impl FnMut() -> Result<T, Refused>) -> Result<T, HostError> {
        loop {
            match step() {
                Ok(done) => return Ok(done),
                Err(Refused::QueueFull { .. }) => std::thread::sleep(PAUSE),
                Err(Refused::Stopped) => return Err(HostError::Closing),
            }
        }
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        // It guards no data.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rest(pace: Pace, step: Instant) {
    if pace == Pace::Gentle {
        std::thread::sleep(step.elapsed());
    }
}
