//! Whoever follows a run hears here what is durable about it, and the lossy lines of its attempts.
//!
//! Only news pass through; what was missed is read from the store. So a slow listener costs nobody anything. Who follows
//! all runs is told that there is something in the store, not what: one wake-up, however many rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bandstand_driver::{RunId, Standing};
use tokio::sync::{broadcast, watch};

use crate::host::{Live, Published};

/// News that a listener may be behind before it must read the store.
const NEWS_MAX: usize = 1_024;
/// Standings that a listener may be behind. It misses none that matters: the last one is always among them.
const STANDINGS_MAX: usize = 16;
/// What attempts of all runs said that a listener may be behind; the rest it misses.
const LIVE_MAX: usize = 4_096;

/// One piece of news about a run.
#[derive(Clone, Debug)]
pub enum Signal {
    /// A row has become durable.
    Row(Published),
    /// An attempt said something.
    Live(Live),
    /// Who can move the run now.
    Stands(Standing),
}

/// The listeners of all runs, and how each run in memory stands.
#[derive(Debug)]
pub struct Hub {
    runs: Mutex<BTreeMap<RunId, Entry>>,
    /// Of all runs: whether rows have become durable since a listener looked.
    rows: watch::Sender<()>,
    /// Of all runs: what attempts say.
    said: broadcast::Sender<Arc<Live>>,
}

/// What a listener wants to hear. Each thing heard wakes it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    News,
    /// Only how the run stands.
    Standing,
}

#[derive(Debug)]
struct Entry {
    /// Of those who want everything.
    listeners: Option<broadcast::Sender<Signal>>,
    /// Of those who only want to know how the run stands.
    waiters: Option<broadcast::Sender<Signal>>,
    standing: Option<Standing>,
    /// Events published so far, as far as known.
    head_seq: u64,
    /// The run left memory; somebody listened then.
    evicted: bool,
}

/// What a new listener begins with.
#[derive(Debug)]
pub struct Subscription {
    /// News from now on.
    pub news: broadcast::Receiver<Signal>,
    /// How the run stands, if it is in memory.
    pub standing: Option<Standing>,
    /// Events that were published before.
    pub head_seq: u64,
}

impl Default for Hub {
    fn default() -> Hub {
        Hub { runs: Mutex::default(), rows: watch::Sender::new(()), said: broadcast::channel(LIVE_MAX).0 }
    }
}

impl Hub {
    /// Hears that rows have become durable, of whatever run.
    pub fn rows(&self) -> watch::Receiver<()> {
        self.rows.subscribe()
    }

    /// Hears what attempts say, of whatever run.
    pub fn said(&self) -> broadcast::Receiver<Arc<Live>> {
        self.said.subscribe()
    }

    /// Listens to a run.
    pub fn subscribe(&self, run_id: &RunId, wanted: Wanted) -> Subscription {
        let mut runs = self.lock();
        runs.retain(|_, entry| !entry.evicted || entry.is_heard());
        let entry = runs.entry(run_id.clone()).or_default();
        let (of, room) = match wanted {
            Wanted::News => (&mut entry.listeners, NEWS_MAX),
            Wanted::Standing => (&mut entry.waiters, STANDINGS_MAX),
        };
        let listeners = of.get_or_insert_with(|| broadcast::channel(room).0);
        Subscription {
            news: listeners.subscribe(),
            standing: entry.standing.clone(),
            head_seq: entry.head_seq,
        }
    }

    /// Passes a row on.
    pub fn publish(&self, run_id: &RunId, row: impl FnOnce() -> Published, next_seq: u64) {
        let mut runs = self.lock();
        let entry = runs.entry(run_id.clone()).or_default();
        entry.head_seq = next_seq;
        entry.evicted = false;
        if let Some(listeners) = heard(&entry.listeners) {
            let _ = listeners.send(Signal::Row(row()));
        }
        drop(runs);
        if self.rows.receiver_count() > 0 {
            self.rows.send_replace(());
        }
    }

    /// Passes on what an attempt says, if anybody listens.
    pub fn live(&self, run_id: &RunId, live: impl FnOnce() -> Live) {
        let runs = self.lock();
        let listeners = runs.get(run_id).and_then(|entry| heard(&entry.listeners));
        if listeners.is_none() && self.said.receiver_count() == 0 {
            return;
        }
        let live = live();
        if self.said.receiver_count() > 0 {
            let _ = self.said.send(Arc::new(live.clone()));
        }
        if let Some(listeners) = listeners {
            let _ = listeners.send(Signal::Live(live));
        }
    }

    /// Passes on how a run stands.
    pub fn stands(&self, run_id: &RunId, standing: Standing) {
        let mut runs = self.lock();
        let entry = runs.entry(run_id.clone()).or_default();
        for listeners in [&entry.listeners, &entry.waiters].into_iter().filter_map(heard) {
            let _ = listeners.send(Signal::Stands(standing.clone()));
        }
        entry.evicted = false;
        entry.standing = Some(standing);
    }

    /// The run left memory.
    pub fn evict(&self, run_id: &RunId) {
        let mut runs = self.lock();
        let Some(entry) = runs.get_mut(run_id) else { return };
        entry.evicted = true;
        if !entry.is_heard() {
            runs.remove(run_id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Entry>> {
        // Plain data, whole after every statement.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Entry {
    fn default() -> Entry {
        // Not in memory until it says how it stands.
        Entry { listeners: None, waiters: None, standing: None, head_seq: 0, evicted: true }
    }
}

impl Entry {
    fn is_heard(&self) -> bool {
        heard(&self.listeners).is_some() || heard(&self.waiters).is_some()
    }
}

/// The listeners, if there are any.
fn heard(listeners: &Option<broadcast::Sender<Signal>>) -> Option<&broadcast::Sender<Signal>> {
    listeners.as_ref().filter(|listeners| listeners.receiver_count() > 0)
}
