//! What can be observed of a host from outside: metrics, traces and logs.
//!
//! Counters and spans follow from rows of the journal that are durable, told by [`Tap`] in one place; gauges are looked at
//! when somebody asks. Nothing here decides anything, and nothing here can slow a run: what takes long happens on threads of
//! its own, behind queues with bounds.

mod counting;
mod families;
pub mod log;
mod metrics;
pub mod names;
mod process;
pub(crate) mod trace;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bandstand_driver::{Row, RunId};
use bandstand_engine::{Event, Run};

use counting::{Begun, Counting};
use families::set;
pub use log::LogFormat;
pub use metrics::Metrics;
pub(crate) use metrics::Sources;
use trace::{Exporter, Traces};
pub use trace::{Headers, Otlp, OtlpError};

use crate::driver::Tap;

/// Hears of all runs of a host, and keeps its metrics.
pub(crate) struct Telemetry {
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    counting: Counting,
    /// None: nobody takes them.
    traces: Option<Traces>,
    /// The runs in memory.
    runs: HashMap<RunId, Begun>,
    /// Runs that are still to be read, and since when.
    recovering: Option<(HashSet<RunId>, Instant)>,
}

impl Telemetry {
    /// For a host that begins.
    pub(crate) fn new(sources: Sources, otlp: Option<Otlp>) -> Telemetry {
        let metrics = Metrics::new(sources);
        let counting = Counting::new(metrics.families().clone());
        let traces = otlp.and_then(|otlp| {
            let families = metrics.families();
            let exporter = Exporter::start(otlp, families.spans_sent.clone(), families.spans_dropped.clone());
            exporter
                .map(Traces::new)
                .map_err(|error| tracing::warn!(%error, "there are no traces: no thread"))
                .ok()
        });
        let state = State { counting, traces, runs: HashMap::new(), recovering: None };
        Telemetry { metrics, state: Mutex::new(state) }
    }

    /// Sends the last spans, as long as that takes no longer than a moment. Blocks.
    pub(crate) fn close(&self) {
        let traces = self.lock().traces.take();
        if let Some(traces) = traces {
            traces.into_exporter().close();
        }
    }

    /// What was counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The host is about to read these runs, to carry them on; it was opened at that moment.
    pub(crate) fn recovers(&self, run_ids: &[String], since: Instant) {
        let mut state = self.lock();
        // Somebody may have asked for one already.
        let waiting = run_ids.iter().map(|run_id| RunId::from(run_id.as_str()));
        let waiting: HashSet<RunId> = waiting.filter(|run_id| !state.runs.contains_key(run_id)).collect();
        state.recovering = Some((waiting, since));
        state.recovered(None, &self.metrics);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Numbers and names, whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One more is read, or cannot be.
    fn recovered(&mut self, run_id: Option<&RunId>, metrics: &Metrics) {
        let Some((waiting, since)) = &mut self.recovering else { return };
        if let Some(run_id) = run_id {
            waiting.remove(run_id);
        }
        let families = metrics.families();
        set(&families.recovery_waiting, waiting.len() as u64);
        if waiting.is_empty() {
            // Never 0, which says that it goes on.
            families.recovery.set(since.elapsed().as_secs_f64().max(1e-6));
            self.recovering = None;
        }
    }
}

impl Tap for Telemetry {
    fn loaded(&self, run: &Run) {
        let run_id: RunId = run.id().into();
        let reviews = run.open_reviews().into_iter().map(|review| (review.review_id, review.opened_at));
        let begun = Begun {
            workflow: run.started().workflow.name.clone(),
            at: run.started_at(),
            reviews: reviews.collect(),
        };
        let mut state = self.lock();
        state.runs.insert(run_id.clone(), begun);
        if let Some(traces) = &mut state.traces {
            traces.loaded(run);
        }
        state.recovered(Some(&run_id), &self.metrics);
        set(&self.metrics.families().runs_loaded, state.runs.len() as u64);
    }

    fn not_loaded(&self, run_id: &RunId) {
        self.lock().recovered(Some(run_id), &self.metrics);
    }

    fn row(&self, run_id: &RunId, row: &Row) {
        let mut state = self.lock();
        let State { counting, traces, runs, .. } = &mut *state;
        if let Some(Event::RunStarted(started)) = row.events.first() {
            let begun = Begun { workflow: started.workflow.name.clone(), at: row.at, reviews: Vec::new() };
            runs.insert(run_id.clone(), begun);
            set(&self.metrics.families().runs_loaded, runs.len() as u64);
        }
        // One that is neither new nor loaded is not this host's.
        let Some(run) = runs.get_mut(run_id) else { return };
        for event in row.events.iter() {
            counting.event(run, row.at, event);
        }
        if let Some(traces) = traces {
            traces.row(run_id, row);
        }
    }

    fn evicted(&self, run_id: &RunId) {
        let mut state = self.lock();
        state.runs.remove(run_id);
        if let Some(traces) = &mut state.traces {
            traces.evicted(run_id);
        }
        set(&self.metrics.families().runs_loaded, state.runs.len() as u64);
    }

    fn appended(&self, took: Duration) {
        self.metrics.families().journal_append.observe(took.as_secs_f64());
    }

    fn attempts(&self, active: usize) {
        set(&self.metrics.families().attempts_active, active as u64);
    }
}
