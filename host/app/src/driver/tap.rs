//! Who is told what has become durable, in the order in which it did: metrics and traces. One place, so that they cannot
//! disagree with the journal.

use std::time::Duration;

use bandstand_driver::{Row, RunId};
use bandstand_engine::Run;

/// Hears of runs. Called on the driver's task: it must return at once.
pub trait Tap: Send + Sync {
    /// A run was read from the store, with all that is durable of it. Comes before its next row.
    fn loaded(&self, run: &Run);

    /// A run could not be read.
    fn not_loaded(&self, run_id: &RunId);

    /// A row has become durable. Each row of a process comes once; the first one of a run that is not loaded begins it.
    fn row(&self, run_id: &RunId, row: &Row);

    /// A run left memory; before more of it comes, it is loaded.
    fn evicted(&self, run_id: &RunId);

    /// From handing an append over until it was durable. Called on the store's thread.
    fn appended(&self, took: Duration);

    /// So many attempts go on now.
    fn attempts(&self, active: usize);
}
