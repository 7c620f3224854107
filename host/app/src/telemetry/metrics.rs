//! What `/metrics` shows: what was counted from events, and what is looked at when somebody asks.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bandstand_sandbox::{COMPILE_SECONDS, Sandbox};
use bandstand_store::{FILE_NAME, RunStatus, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Families, Shared, level, set};
use super::names;
use super::process::Process;
use crate::host::{Counters, QuarantineStats};

/// The store is not asked more often than this, however often somebody looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nor more than this part of the time: a look that took long is not repeated for so many times as long.
const LOOK_PART: u32 = 20;

/// The host's metrics. Clones are the same.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    families: Shared,
    /// Where numbers are looked at. Weak: who keeps metrics keeps no host.
    sources: Sources,
    /// When the store may be asked again.
    next_look: Mutex<Option<Instant>>,
}

/// What the metrics look at.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    pub(crate) store: Weak<Store>,
    pub(crate) sandbox: Weak<Sandbox>,
    pub(crate) counters: Weak<Counters>,
    pub(crate) data_dir: PathBuf,
}

impl Metrics {
    /// The content type of what [`Metrics::encode`] gives.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    pub(crate) fn new(sources: Sources) -> Metrics {
        let mut registry = Registry::default();
        let families = Arc::new(Families::new(&mut registry));
        registry.register_collector(Box::new(Compiles(sources.sandbox.clone())));
        Metrics(Arc::new(Inner { registry, families, sources, next_look: Mutex::new(None) }))
    }

    /// All metrics as OpenMetrics text. Reads the store, at most once a second, and `/proc`: call it where blocking is
    /// allowed. When the host is closed, numbers stay as they were.
    #[must_use]
    pub fn encode(&self) -> String {
        self.look_at_the_store();
        self.look_at_the_process();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0.registry)
            .expect("writing to a text does not fail");
        text
    }

    /// The content type of what [`Metrics::encode_plain`] gives.
    pub const PLAIN_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// As [`Metrics::encode`], in the older text format, for who does not read OpenMetrics.
    #[must_use]
    pub fn encode_plain(&self) -> String {
        self.look_at_the_store();
        self.look_at_the_process();
        let mut text = String::new();
        prometheus_client::encoding::prometheus_text::encode(&mut text, &self.0.registry)
            .expect("writing to a text does not fail");
        text
    }

    /// Whether every run that the host had to carry on when it was opened has been read.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.0.families.recovery.get() > 0.0
    }

    pub(super) fn families(&self) -> &Shared {
        &self.0.families
    }

    fn look_at_the_store(&self) {
        let Inner { families, sources, .. } = &*self.0;
        if let Some(counters) = sources.counters.upgrade() {
            let QuarantineStats { faults_total, quarantines_total, plugins_quarantined, attempts_held } =
                counters.read();
            families.plugin_faults.inner().store(faults_total, std::sync::atomic::Ordering::Relaxed);
            families
                .plugin_quarantines
                .inner()
                .store(quarantines_total, std::sync::atomic::Ordering::Relaxed);
            set(&families.plugins_quarantined, plugins_quarantined);
            families.attempts_held.with(&["breaker"]).set(level(attempts_held));
        }
        let Some(store) = sources.store.upgrade() else { return };
        let stats = store.stats();
        for (counter, number) in [
            (&families.journal_written, stats.bytes),
            (&families.journal_commits, stats.commits),
            (&families.journal_rows, stats.rows),
        ] {
            counter.inner().store(number, std::sync::atomic::Ordering::Relaxed);
        }
        set(&families.journal_queue, stats.queue_bytes);
        set(&families.journal_log, stats.wal_bytes);

        let mut next_look = self.0.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        if next_look.is_some_and(|next| begun < next) {
            return;
        }
        let files = [FILE_NAME.to_owned(), format!("{FILE_NAME}-wal")];
        let bytes = files.iter().filter_map(|file| std::fs::metadata(sources.data_dir.join(file)).ok());
        set(&families.journal_bytes, bytes.map(|file| file.len()).sum());
        // A store that cannot be read now, or not in time, leaves the numbers as they were.
        if let Ok(counts) = store.reader().active_run_counts() {
            for status in [RunStatus::Running, RunStatus::Waiting, RunStatus::Paused, RunStatus::Stuck] {
                let count =
                    counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count);
                families.runs_active.with(&[status.name()]).set(level(count));
            }
        }
        if let Ok(counts) = store.reader().open_review_counts() {
            families.reviews_open.clear();
            for (workflow, count) in counts {
                families.reviews_open.with(&[&workflow]).set(level(count));
            }
        }
        *next_look = Some(begun + LOOK_EVERY.max(begun.elapsed() * LOOK_PART));
    }

    fn look_at_the_process(&self) {
        let families = &self.0.families;
        let process = Process::look();
        if let Some(seconds) = process.cpu_seconds {
            let more = seconds - families.process_cpu.get();
            if more > 0.0 {
                families.process_cpu.inc_by(more);
            }
        }
        if let Some(seconds) = process.started {
            families.process_start.set(seconds);
        }
        for (gauge, number) in [
            (&families.process_memory, process.resident_bytes),
            (&families.process_virtual, process.virtual_bytes),
            (&families.process_files, process.open_files),
            (&families.process_files_max, process.files_max),
            (&families.process_threads, process.threads),
        ] {
            if let Some(number) = number {
                set(gauge, number);
            }
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The sandbox counts its compiles itself, since it knows no metrics.
struct Compiles(Weak<Sandbox>);

impl fmt::Debug for Compiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compiles")
    }
}

impl Collector for Compiles {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(sandbox) = self.0.upgrade() else { return Ok(()) };
        let times = sandbox.compile_times();
        let mut buckets: Vec<(f64, u64)> = COMPILE_SECONDS.into_iter().zip(times.counts).collect();
        let counted: u64 = times.counts.iter().sum();
        buckets.push((f64::INFINITY, times.count - counted));
        let of = names::PLUGIN_COMPILE;
        let unit = Unit::Seconds;
        // The registry adds the full stop elsewhere.
        let help = format!("{}.", of.help);
        encoder
            .encode_descriptor(of.stem(), &help, Some(&unit), MetricType::Histogram)?
            .encode_histogram::<[(&str, &str); 0]>(times.sum, times.count, &buckets, None)
    }
}
