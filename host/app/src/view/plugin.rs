//! A plugin that is kept for runs, and what is known against it.

use bandstand_store::KeptBreaker;
use serde::Serialize;
use utoipa::ToSchema;

/// A plugin as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
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
