//! A plugin that is kept for runs, and what is known against it.

use std::collections::BTreeMap;

use bandstand_store::KeptBreaker;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::driver::Calls;
use crate::project::manifest::Manifest;

/// A plugin as lists show it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginSummary {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Of its component; none: its file is gone. Bytes.
    pub size_bytes: Option<u64>,
    /// `builtin:NAME`, if it comes with this host.
    pub builtin: Option<String>,
    /// What is known against it.
    pub quarantine: Quarantine,
}

/// What is known against a plugin (R1.10).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Quarantine {
    /// `closed`: in service. `open`: its attempts wait. `half-open`: one attempt is let through, to see.
    pub state: String,
    /// Faults in a row.
    pub faults: u32,
    /// How often in a row it was taken out of service.
    pub opened: u32,
    /// Since when it is out of service.
    pub since: Option<String>,
    /// When an attempt is let through next.
    pub next_probe_at: Option<String>,
    /// Its last fault.
    pub fault: Option<String>,
    /// What the workflow calls it in which it failed last.
    pub name: Option<String>,
    /// That workflow.
    pub workflow: Option<String>,
}

/// How the calls of a plugin ended since the server began. Those as a tool are the caller's.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PluginCalls {
    /// With a reply.
    pub succeeded: u64,
    /// Without one, by the class of the failure.
    pub failed: BTreeMap<String, u64>,
    /// What they took, all together. Milliseconds.
    pub wall_ms: u64,
    /// Processor time of it. Milliseconds.
    pub cpu_ms: u64,
    /// The most linear memory that one held. Bytes.
    pub memory_bytes_max: u64,
    /// When the last one ended.
    pub last_at: Option<String>,
}

impl From<Calls> for PluginCalls {
    fn from(calls: Calls) -> PluginCalls {
        PluginCalls {
            succeeded: calls.succeeded,
            failed: calls.failed.into_iter().map(|(class, count)| (class.to_owned(), count)).collect(),
            wall_ms: calls.wall_us / 1_000,
            cpu_ms: calls.cpu_us / 1_000,
            memory_bytes_max: calls.memory_bytes_max,
            last_at: calls.last_at.map(|at| at.to_string()),
        }
    }
}

impl From<Option<&KeptBreaker>> for Quarantine {
    fn from(breaker: Option<&KeptBreaker>) -> Quarantine {
        let Some(breaker) = breaker else {
            return Quarantine { state: "closed".to_owned(), ..Quarantine::default() };
        };
        Quarantine {
            state: breaker.state.clone(),
            faults: breaker.faults,
            opened: breaker.opened,
            since: breaker.since.map(|at| at.to_string()),
            next_probe_at: breaker.probe_at.filter(|_| breaker.state == "open").map(|at| at.to_string()),
            fault: Some(breaker.fault.clone()),
            name: Some(breaker.name.clone()),
            workflow: Some(breaker.workflow.clone()),
        }
    }
}

/// What a plugin needs and offers, the limits under which it would run, and what is known against it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginDetail {
    /// Its file, its digest or `builtin:NAME`, as it was asked for.
    pub file: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Of its component. Bytes.
    pub size_bytes: u64,
    /// The powers that it must be granted.
    pub grants_needed: Vec<String>,
    /// What it imports.
    pub imports: Vec<PluginImport>,
    /// What it exports.
    pub exports: Vec<String>,
    /// The functions that it exports, but for `run` of an agent. Absent: the server is too old to tell.
    #[serde(default)]
    pub functions: Vec<PluginFunction>,
    /// What it says of itself; none: nothing, or nothing that can be read.
    pub manifest: Option<Manifest>,
    /// What is doubtful about that: a manifest that is damaged, `uses` that are not what it imports. It runs all the same.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The limits that hold here.
    pub limits: PluginLimits,
    /// Whether this host can run it.
    pub usable: bool,
    /// Why not.
    pub problem: Option<String>,
    /// What is known against it.
    pub quarantine: Quarantine,
}

/// A function that a component exports, for `function` of a workflow file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginFunction {
    /// As a workflow file names it.
    pub name: String,
    /// Its type as WIT writes it.
    pub signature: String,
    /// The named types in it, as WIT defines them.
    pub types: Vec<String>,
    /// JSON Schema of the input; none: it cannot be called.
    #[schema(value_type = Option<Object>)]
    pub input: Option<Value>,
    /// JSON Schema of the output; none: it cannot be called.
    #[schema(value_type = Option<Object>)]
    pub output: Option<Value>,
    /// Why it cannot be called.
    pub problem: Option<String>,
}

/// An interface that a plugin imports.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginImport {
    /// The interface.
    pub interface: String,
    /// Its version.
    pub version: Option<String>,
    /// What of it.
    pub functions: Vec<String>,
    /// The power that it belongs to.
    pub grant: Option<String>,
    /// Whether that power must be granted for writing.
    pub writes: bool,
}

/// The limits that hold here.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PluginLimits {
    /// Of an attempt whose workflow file says nothing.
    pub attempt: Vec<PluginLimit>,
    /// Of all attempts together.
    pub host: Vec<PluginLimit>,
    /// Of outgoing HTTP.
    pub http: Vec<PluginLimit>,
}

/// A limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginLimit {
    /// The code of the failure of whoever exceeds it, or what is dropped.
    pub name: String,
    /// The most there may be.
    pub value: u64,
    /// Of what.
    pub unit: String,
    /// Where it can be changed; none: nowhere.
    pub setting: Option<String>,
}
