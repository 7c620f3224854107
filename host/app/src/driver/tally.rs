//! How the calls of each plugin ended since this process began: what people look at first when they ask how a plugin does. By
//! digest, as workflows pin them; calls as tools are the caller's. It is kept in memory only and decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bandstand_driver::Message;
use bandstand_engine::Input;
use bandstand_engine::input::Usage;
use bandstand_engine::time::Timestamp;

/// Plugins that are counted at once; when there are more, it begins anew.
const COUNTED_MAX: usize = 10_000;

/// How the calls of a plugin ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// With a reply.
    pub succeeded: u64,
    /// Without one, by the failure's class.
    pub failed: BTreeMap<&'static str, u64>,
    /// From slot to end, all together. Microseconds.
    pub wall_us: u64,
    /// Processor time, all together. Microseconds.
    pub cpu_us: u64,
    /// The most linear memory that one held. Bytes.
    pub memory_bytes_max: u64,
    /// When the last one ended.
    pub last_at: Option<Timestamp>,
}

/// The calls of all plugins.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, Calls>>);

impl Tally {
    /// Counts a call of that plugin, as its end is told. One that was stopped or is made again is none.
    pub(super) fn count(&self, digest: &str, ended: &Message, at: Timestamp) {
        let Message::CallEnded { input, .. } = ended else { return };
        let mut all = self.lock();
        if all.len() >= COUNTED_MAX && !all.contains_key(digest) {
            all.clear();
        }
        if !all.contains_key(digest) {
            all.insert(digest.to_owned(), Calls::default());
        }
        let Some(calls) = all.get_mut(digest) else { return };
        match input {
            Input::Done { usage, .. } => {
                calls.succeeded += 1;
                calls.take(usage, at);
            }
            Input::Failed { failure, usage, .. } => {
                *calls.failed.entry(failure.class.name()).or_default() += 1;
                calls.take(usage, at);
            }
            _ => {}
        }
    }

    /// The calls of that plugin.
    pub fn of(&self, digest: &str) -> Calls {
        self.lock().get(digest).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Calls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn take(&mut self, usage: &Usage, at: Timestamp) {
        self.wall_us = self.wall_us.saturating_add(usage.wall_us);
        self.cpu_us = self.cpu_us.saturating_add(usage.cpu_us);
        self.memory_bytes_max = self.memory_bytes_max.max(usage.memory_bytes_max);
        self.last_at = Some(at);
    }
}
