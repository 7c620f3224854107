//! Every metric of the host: name, type, unit, labels and what it says, each once. `docs/metrics.md` is generated from here,
//! and dashboards may name nothing else. A run's id is never a label: labels have few values, known from the loaded files.

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the host.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, with sum and count.
    Histogram,
    /// Always 1; its labels are what it says.
    Info,
}

impl Kind {
    /// The word of the exposition format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// As queries write it: counters with `_total`, with the unit if there is one.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The unit that its name ends with, before `_total`; empty: a number of things.
    pub unit: &'static str,
    /// What it says, in one sentence without its full stop.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Upper ends of a histogram's buckets.
    pub buckets: &'static [f64],
}

impl Metric {
    /// The name without what the exposition format adds to it: `_total`, `_info` and the unit.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Info => self.name.strip_suffix("_info").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        };
        match self.unit {
            "" => name,
            unit => name.strip_suffix(unit).and_then(|name| name.strip_suffix('_')).unwrap_or(name),
        }
    }

    /// Every name that a query may use for it.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            Kind::Histogram => {
                ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", self.name)).to_vec()
            }
            Kind::Counter | Kind::Gauge | Kind::Info => vec![self.name.to_owned()],
        }
    }
}

macro_rules! metrics {
    ($( $(#[$of:meta])* $id:ident = $kind:ident $name:literal $(in $unit:literal)? $([$($label:literal),*])? $(by $buckets:ident)?: $help:literal; )*) => {
        $( #[doc = $help] #[doc = "."] pub const $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: metrics!(@or $($unit)?),
            help: $help,
            labels: &[$($($label),*)?],
            buckets: metrics!(@buckets $($buckets)?),
        }; )*
        /// All of them, in the order in which they are documented.
        pub const ALL: &[&Metric] = &[$(&$id),*];
    };
    (@or) => { "" };
    (@or $unit:literal) => { $unit };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

/// Of what a machine does: from a millisecond to five minutes.
const WORK: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Of runs: from a hundredth of a second to a week.
const RUNS: &[f64] =
    &[0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];
/// Of people: from a second to a week.
const PEOPLE: &[f64] =
    &[1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0];
/// Of commits: from a tenth of a millisecond to five seconds.
const COMMITS: &[f64] = &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Of compiling; the sandbox counts by them.
const COMPILES: &[f64] = &bandstand_sandbox::COMPILE_SECONDS;
/// As the GenAI conventions have it.
const MODELS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// As the GenAI conventions have it.
const TOKENS: &[f64] =
    &[1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

metrics! {
    RUNS_STARTED = Counter "bandstand_runs_started_total" ["workflow"]: "Runs that began, child runs and forks included";
    RUNS_FINISHED = Counter "bandstand_runs_finished_total" ["workflow", "outcome"]: "Runs that ended: `succeeded`, `failed`, `cancelled` or `killed`; one that was retried ends once more";
    RUNS_ACTIVE = Gauge "bandstand_runs_active" ["state"]: "Runs in the store that have not ended: `running`, `waiting`, `paused` or `stuck`";
    RUNS_LOADED = Gauge "bandstand_runs_loaded": "Runs in memory";
    RUN_DURATION = Histogram "bandstand_run_duration_seconds" in "seconds" ["workflow", "outcome"] by RUNS: "From a run's start to its end, all waiting included; of a run that was retried also what was before";
    NODES_FINISHED = Counter "bandstand_nodes_finished_total" ["workflow", "node", "outcome"]: "Visits of nodes that ended: `succeeded`, `expired`, `failed` or `cancelled`";
    NODE_ATTEMPTS = Counter "bandstand_node_attempts_total" ["workflow", "node", "outcome"]: "Attempts that ended: `ok`, the failure's class, `cancelled` or `interrupted`";
    NODE_ATTEMPT_DURATION = Histogram "bandstand_node_attempt_duration_seconds" in "seconds" ["workflow", "node"] by WORK: "From an attempt's instance to its end";
    NODE_QUEUE = Histogram "bandstand_node_queue_seconds" in "seconds" by WORK: "How long attempts waited in the sandbox for an instance";
    NODE_CPU = Counter "bandstand_node_cpu_seconds_total" in "seconds" ["workflow", "node"]: "Processor time that attempts spent in guests";
    NODE_RETRIES = Counter "bandstand_node_retries_total" ["workflow", "node", "cause"]: "Attempts after the first that were scheduled: by the `policy`, by the agent's `retry-after`, by a `person`";
    NODE_RETRIES_SUCCEEDED = Counter "bandstand_node_retries_succeeded_total" ["workflow", "node"]: "Attempts after the first that succeeded";
    NODE_CACHED = Counter "bandstand_node_cached_total" ["workflow", "node"]: "Visits that took the kept reply of an equal one";
    EDGES_TAKEN = Counter "bandstand_edges_taken_total" ["workflow", "from", "to"]: "Edges taken";
    ROUTES_DECIDED = Counter "bandstand_routes_decided_total" ["workflow", "node"]: "Routes decided by confidence";
    ROUTES_LOW = Counter "bandstand_routes_low_confidence_total" ["workflow", "node"]: "Routes whose winner was below its threshold: worth an alert";
    BRANCHES_STARTED = Counter "bandstand_branches_started_total" ["workflow", "node"]: "Branches and items that began in parallel blocks and maps";
    BRANCHES_ENDED = Counter "bandstand_branches_ended_total" ["workflow", "node", "outcome"]: "Branches and items that ended: `succeeded`, `failed`, `skipped` or `cancelled`";
    REVIEWS_OPENED = Counter "bandstand_reviews_opened_total" ["workflow"]: "Reviews that people were asked for";
    REVIEWS_OPEN = Gauge "bandstand_reviews_open" ["workflow"]: "Reviews that wait for people now";
    REVIEWS_ANSWERED = Counter "bandstand_reviews_answered_total" ["workflow", "decision"]: "Answers of people: `approved` or `rejected`";
    REVIEWS_DECIDED = Counter "bandstand_reviews_decided_total" ["workflow", "outcome"]: "Reviews that were decided: `approved`, `rejected`, `expired` or `withdrawn`";
    REVIEW_WAIT = Histogram "bandstand_review_wait_seconds" in "seconds" by PEOPLE: "From a review's opening to its decision, whatever that was";
    JOURNAL_APPEND = Histogram "bandstand_journal_append_seconds" in "seconds" by COMMITS: "From a decision to its being durable";
    JOURNAL_BYTES = Gauge "bandstand_journal_bytes" in "bytes": "Size of the store's files";
    JOURNAL_WRITTEN = Counter "bandstand_journal_written_bytes_total" in "bytes": "Bytes handed to the store in commits";
    JOURNAL_COMMITS = Counter "bandstand_journal_commits_total": "Commits; with full durability an fsync each";
    JOURNAL_ROWS = Counter "bandstand_journal_rows_total": "Rows and other writes in commits";
    JOURNAL_QUEUE = Gauge "bandstand_journal_queue_bytes" in "bytes": "Bytes that wait to be written";
    JOURNAL_LOG = Gauge "bandstand_journal_log_bytes" in "bytes": "Bytes in SQLite's log that wait for a checkpoint";
    RECOVERY = Gauge "bandstand_recovery_seconds" in "seconds": "From the host's opening until every run that it had to carry on was read; 0 until then";
    RECOVERY_WAITING = Gauge "bandstand_recovery_runs": "Runs that are still to be read before recovery is over";
    ATTEMPTS_ACTIVE = Gauge "bandstand_attempts_active": "Attempts that go on now, those that wait in the sandbox included";
    ATTEMPTS_HELD = Gauge "bandstand_attempts_held" ["reason"]: "Attempts that wait and are not spent: `breaker`, for a plugin in quarantine";
    PLUGIN_COMPILE = Histogram "bandstand_plugin_compile_seconds" in "seconds" by COMPILES: "Compiling of plugins that were not in the cache";
    PLUGIN_MEMORY_PEAK = Gauge "bandstand_plugin_memory_peak_bytes" in "bytes" ["workflow", "node"]: "The most linear memory that one attempt held since the host began";
    PLUGIN_DENIED = Counter "bandstand_plugin_denied_total" ["capability"]: "Attempts that ended because a power is not granted";
    PLUGIN_FAULTS = Counter "bandstand_plugin_faults_total": "Attempts that ended by a fault of their plugin";
    PLUGIN_QUARANTINES = Counter "bandstand_plugin_quarantines_total": "Times that a plugin went to quarantine, those after a probe in vain included";
    PLUGINS_QUARANTINED = Gauge "bandstand_plugins_quarantined": "Plugins in quarantine now";
    TOOL_CALLS = Counter "bandstand_tool_calls_total" ["workflow", "node", "tool", "outcome"]: "Calls of tools that attempts made: `ok` or `failed`";
    MODEL_REQUESTS = Counter "bandstand_model_requests_total" ["workflow", "model", "outcome"]: "Calls of models, by the operator's names: `ok` or `failed`";
    MODEL_COST = Counter "bandstand_model_cost_total" ["workflow", "model"]: "What models cost, by the prices of bandstand.toml and in their currency";
    MODEL_TOKENS = Histogram "gen_ai_client_token_usage" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"] by TOKENS: "Tokens that calls of models read (`input`) and wrote (`output`); calls that an attempt made beyond the 64th are added up";
    MODEL_DURATION = Histogram "gen_ai_client_operation_duration_seconds" in "seconds" ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"] by MODELS: "How long calls of models took";
    SPANS_SENT = Counter "bandstand_trace_spans_sent_total": "Spans that the receiver of traces took";
    SPANS_DROPPED = Counter "bandstand_trace_spans_dropped_total": "Spans that were given up: the queue was full, or the receiver did not take them";
    BUILD = Info "bandstand_build_info" ["version"]: "The host's version";
    PROCESS_CPU = Counter "process_cpu_seconds_total" in "seconds": "Processor time of the host, guests included";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" in "bytes": "Memory that the host holds";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" in "bytes": "Addresses that the host has taken; the sandbox reserves many more than it uses";
    PROCESS_FILES = Gauge "process_open_fds": "Files and sockets that the host holds open";
    PROCESS_FILES_MAX = Gauge "process_max_fds": "Files and sockets that the host may hold open";
    PROCESS_THREADS = Gauge "process_threads": "Threads of the host";
    PROCESS_START = Gauge "process_start_time_seconds" in "seconds": "When the host began, in seconds since 1970";
}

/// The list for people: what `docs/metrics.md` holds.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n<!-- Generated by `cargo xtask schemas` from host/app/src/telemetry/names.rs. -->\n\n\
         What `/metrics` shows, in the OpenMetrics text format. Counters begin at 0 when the host starts; they follow from \
         journaled events, so they never count what was not recorded. A histogram has `_bucket`, `_sum` and `_count`.\n\n\
         | metric | type | labels | says |\n| --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let Metric { name, kind, help, .. } = metric;
        text.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.name(), labels.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_keep_to_the_conventions() {
        let mut names = BTreeSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(names.insert(name), "{name} is defined twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), metric.kind == Kind::Info, "{name}");
            assert_eq!(metric.buckets.is_empty(), metric.kind != Kind::Histogram, "{name}");
            let whole = name.strip_suffix("_total").unwrap_or(name);
            assert!(metric.unit.is_empty() || whole.ends_with(&format!("_{}", metric.unit)), "{name}");
            assert!(
                !metric.unit.is_empty() || !whole.ends_with("_seconds") && !whole.ends_with("_bytes"),
                "{name}"
            );
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
            assert!(metric.labels.iter().all(|label| !label.contains("run_id") && *label != "run"), "{name}");
            assert!(metric.buckets.is_sorted(), "{name}");
        }
    }
}
