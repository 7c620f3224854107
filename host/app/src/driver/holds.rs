//! Which runs are shown as held: calls of them are owed and wait at the gate. Lists read it from the run's row.
//!
//! Nearly every call waits for a moment, so only what still waits at the next look is shown; and no look writes many
//! rows, so that showing that the host is busy does not make it busier.

use std::collections::BTreeMap;

use bandstand_driver::{Core, Held, RunId};

/// Rows written for one look at most. The next look goes on.
const ROWS_MAX: usize = 100;

/// What was seen and shown.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// At the look before.
    seen: BTreeMap<RunId, Held>,
    /// In the runs' rows.
    shown: BTreeMap<RunId, Held>,
}

impl Holds {
    /// Looks again; what is to be written for which runs.
    pub(super) fn look(&mut self, core: &Core) -> Vec<(RunId, Option<Held>)> {
        let now: BTreeMap<RunId, Held> =
            core.held_runs().map(|(run_id, held)| (run_id.clone(), held)).collect();
        let mut rows = Vec::new();
        // What left memory said so in its last row.
        self.shown.retain(|run_id, _| core.run(run_id).is_some());
        for run_id in self.shown.keys().filter(|run_id| !now.contains_key(*run_id)) {
            rows.push((run_id.clone(), None));
        }
        for (run_id, held) in &now {
            if self.seen.contains_key(run_id) && self.shown.get(run_id) != Some(held) {
                rows.push((run_id.clone(), Some(*held)));
            }
        }
        // While a decision is on its way to the disk, its row tells.
        rows.retain(|(run_id, _)| core.summary(run_id).is_some());
        rows.truncate(ROWS_MAX);
        for (run_id, held) in &rows {
            match held {
                Some(held) => self.shown.insert(run_id.clone(), *held),
                None => self.shown.remove(run_id),
            };
        }
        self.seen = now;
        rows
    }

    /// What the row of a decision says.
    pub(super) fn of(&mut self, core: &Core, run_id: &RunId) -> Option<Held> {
        let shown = *self.shown.get(run_id)?;
        if core.held(run_id).is_empty() {
            self.shown.remove(run_id);
            return None;
        }
        Some(shown)
    }

    /// The run is stuck, and its row says why.
    pub(super) fn forget(&mut self, run_id: &RunId) {
        self.shown.remove(run_id);
    }

    /// Nobody drives these any more; they were shown.
    pub(super) fn take(&mut self) -> impl Iterator<Item = RunId> + use<> {
        std::mem::take(&mut self.shown).into_keys()
    }
}
