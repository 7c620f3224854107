//! The metrics of `names.rs` as they are counted: a family for each, made from its definition and registered under its name.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric as Registered, Registry, Unit};

use super::names::{self, Metric};

/// Names and values of labels, in the order of the definition.
pub(super) type Labels = Vec<(&'static str, String)>;
/// Counts in fractions.
pub(super) type Amount = Counter<f64, AtomicU64>;

/// A histogram's buckets, so that a family can make more of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// A metric by the values of its labels. Looking one up takes a lock and a hash; whoever counts often keeps what it got.
#[derive(Clone, Debug)]
pub(super) struct By<M, C = fn() -> M> {
    of: &'static Metric,
    family: Family<Labels, M, C>,
}

impl<M: Clone, C: MetricConstructor<M>> By<M, C> {
    /// The one with these values.
    pub(super) fn with(&self, values: &[&str]) -> M {
        self.family.get_or_create_owned(&labels(self.of, values))
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.family.clear();
    }
}

/// Names and values of a metric's labels.
fn labels(of: &Metric, values: &[&str]) -> Labels {
    debug_assert_eq!(of.labels.len(), values.len(), "{} has other labels", of.name);
    of.labels.iter().copied().zip(values.iter().map(|value| (*value).to_owned())).collect()
}

fn unit(of: &Metric) -> Option<Unit> {
    match of.unit {
        "" => None,
        "seconds" => Some(Unit::Seconds),
        "bytes" => Some(Unit::Bytes),
        other => Some(Unit::Other(other.to_owned())),
    }
}

fn register<M: Registered + Clone>(registry: &mut Registry, of: &Metric, metric: &M) {
    match unit(of) {
        Some(unit) => registry.register_with_unit(of.stem(), of.help, unit, metric.clone()),
        None => registry.register(of.stem(), of.help, metric.clone()),
    }
}

/// What is registered under one definition.
trait Made: Registered + Clone {
    fn made(of: &'static Metric) -> Self;
}

macro_rules! made {
    ($($type:ty),*) => { $( impl Made for $type {
        fn made(_: &'static Metric) -> Self { <$type>::default() }
    } )* };
}
made!(Counter, Gauge, Amount, Gauge<f64, AtomicU64>);

impl Made for Histogram {
    fn made(of: &'static Metric) -> Self {
        Buckets(of.buckets).new_metric()
    }
}

fn one<M: Made>(registry: &mut Registry, of: &'static Metric) -> M {
    let metric = M::made(of);
    register(registry, of, &metric);
    metric
}

fn by<M>(registry: &mut Registry, of: &'static Metric) -> By<M>
where
    M: Default + Clone,
    Family<Labels, M>: Registered,
{
    let family = Family::<Labels, M>::default();
    register(registry, of, &family);
    By { of, family }
}

fn histograms(registry: &mut Registry, of: &'static Metric) -> By<Histogram, Buckets> {
    let family = Family::new_with_constructor(Buckets(of.buckets));
    register(registry, of, &family);
    By { of, family }
}

macro_rules! families {
    ($($field:ident: $type:ty = $make:ident $of:ident;)*) => {
        /// All that is counted here. Clones count together.
        #[derive(Clone, Debug)]
        pub(super) struct Families { $( #[doc = concat!("[`names::", stringify!($of), "`].")] pub(super) $field: $type, )* }

        impl Families {
            /// Registers all of them.
            pub(super) fn new(registry: &mut Registry) -> Families {
                let version: Labels = labels(&names::BUILD, &[env!("CARGO_PKG_VERSION")]);
                registry.register(names::BUILD.stem(), names::BUILD.help, Info::new(version));
                Families { $( $field: $make(registry, &names::$of), )* }
            }
        }
    };
}

families! {
    runs_started: By<Counter> = by RUNS_STARTED;
    runs_finished: By<Counter> = by RUNS_FINISHED;
    runs_active: By<Gauge> = by RUNS_ACTIVE;
    runs_loaded: Gauge = one RUNS_LOADED;
    run_duration: By<Histogram, Buckets> = histograms RUN_DURATION;
    nodes_finished: By<Counter> = by NODES_FINISHED;
    node_attempts: By<Counter> = by NODE_ATTEMPTS;
    node_attempt_duration: By<Histogram, Buckets> = histograms NODE_ATTEMPT_DURATION;
    node_queue: Histogram = one NODE_QUEUE;
    node_cpu: By<Amount> = by NODE_CPU;
    node_retries: By<Counter> = by NODE_RETRIES;
    node_retries_succeeded: By<Counter> = by NODE_RETRIES_SUCCEEDED;
    node_cached: By<Counter> = by NODE_CACHED;
    edges_taken: By<Counter> = by EDGES_TAKEN;
    routes_decided: By<Counter> = by ROUTES_DECIDED;
    routes_low: By<Counter> = by ROUTES_LOW;
    branches_started: By<Counter> = by BRANCHES_STARTED;
    branches_ended: By<Counter> = by BRANCHES_ENDED;
    reviews_opened: By<Counter> = by REVIEWS_OPENED;
    reviews_open: By<Gauge> = by REVIEWS_OPEN;
    reviews_answered: By<Counter> = by REVIEWS_ANSWERED;
    reviews_decided: By<Counter> = by REVIEWS_DECIDED;
    review_wait: Histogram = one REVIEW_WAIT;
    journal_append: Histogram = one JOURNAL_APPEND;
    journal_bytes: Gauge = one JOURNAL_BYTES;
    journal_written: Counter = one JOURNAL_WRITTEN;
    journal_commits: Counter = one JOURNAL_COMMITS;
    journal_rows: Counter = one JOURNAL_ROWS;
    journal_queue: Gauge = one JOURNAL_QUEUE;
    journal_log: Gauge = one JOURNAL_LOG;
    recovery: Gauge<f64, AtomicU64> = one RECOVERY;
    recovery_waiting: Gauge = one RECOVERY_WAITING;
    attempts_active: Gauge = one ATTEMPTS_ACTIVE;
    attempts_held: By<Gauge> = by ATTEMPTS_HELD;
    plugin_memory_peak: By<Gauge> = by PLUGIN_MEMORY_PEAK;
    plugin_denied: By<Counter> = by PLUGIN_DENIED;
    plugin_faults: Counter = one PLUGIN_FAULTS;
    plugin_quarantines: Counter = one PLUGIN_QUARANTINES;
    plugins_quarantined: Gauge = one PLUGINS_QUARANTINED;
    tool_calls: By<Counter> = by TOOL_CALLS;
    model_requests: By<Counter> = by MODEL_REQUESTS;
    model_cost: By<Amount> = by MODEL_COST;
    model_tokens: By<Histogram, Buckets> = histograms MODEL_TOKENS;
    model_duration: By<Histogram, Buckets> = histograms MODEL_DURATION;
    spans_sent: Counter = one SPANS_SENT;
    spans_dropped: Counter = one SPANS_DROPPED;
    process_cpu: Amount = one PROCESS_CPU;
    process_memory: Gauge = one PROCESS_MEMORY;
    process_virtual: Gauge = one PROCESS_VIRTUAL;
    process_files: Gauge = one PROCESS_FILES;
    process_files_max: Gauge = one PROCESS_FILES_MAX;
    process_threads: Gauge = one PROCESS_THREADS;
    process_start: Gauge<f64, AtomicU64> = one PROCESS_START;
}

/// A number as gauges have it.
pub(super) fn level(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Sets a gauge that is kept under shared families.
pub(super) fn set(gauge: &Gauge, number: u64) {
    gauge.set(level(number));
}

/// For who keeps a definition and its families apart.
pub(super) type Shared = Arc<Families>;
