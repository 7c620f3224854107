//! How much a host does at once. Reading these from files or flags is the caller's work.

use serde::{Deserialize, Serialize};

use crate::Quarantine;

/// Bounds of the driver. A bound of 0 counts as 1, so that no setting stops a host for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Calls in flight, over all runs (`calls-max`).
    pub calls_max: u32,
    /// Calls of one plugin, by digest (`calls-per-plugin-max`).
    pub calls_per_plugin_max: u32,
    /// Calls of all runs of one workflow, by name (`calls-per-workflow-max`).
    pub calls_per_workflow_max: u32,
    /// Calls of one run (`calls-per-run-max`).
    pub calls_per_run_max: u32,
    /// Inputs that may wait for a run to be loaded (`inputs-waiting-max`).
    pub inputs_waiting_max: u32,
    /// How long the gate stays shut after the sandbox had no room. Milliseconds (`overload-pause-ms`).
    pub overload_pause_ms: u64,
    /// How long a run without owed commands stays in memory. Milliseconds (`quiet-ms`).
    pub quiet_ms: u64,
    /// Events after a snapshot that make the next one (`snapshot-events`).
    pub snapshot_events: u64,
    /// Bytes of journal after a snapshot that make the next one (`snapshot-bytes`).
    pub snapshot_bytes: u64,
    /// When a plugin is taken out of service (`quarantine`).
    pub quarantine: Quarantine,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            calls_max: 256,
            calls_per_plugin_max: 256,
            calls_per_workflow_max: 256,
            calls_per_run_max: 128,
            inputs_waiting_max: 1_000,
            overload_pause_ms: 50,
            quiet_ms: 1_000,
            snapshot_events: 500,
            snapshot_bytes: 256 << 10,
            quarantine: Quarantine::default(),
        }
    }
}
