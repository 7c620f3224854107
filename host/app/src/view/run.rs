//! A run as lists show it.

use bandstand_store::{RunLease, RunRow, RunStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A run as lists show it. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// The run.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The version that its author gave it.
    pub version: u64,
    /// The thread it belongs to.
    pub thread_id: Option<String>,
    /// For whom it runs.
    pub user_id: Option<String>,
    /// The run whose attempt it is.
    pub parent: Option<String>,
    /// `running`, `waiting`, `paused`, `succeeded`, `failed`, `cancelled`, `killed` or `stuck`.
    pub status: String,
    /// The latest stage.
    pub stage: Option<String>,
    /// Why calls that it owes are not started: `breaker`, `overload`, `limit`, `paused`.
    pub held: Option<String>,
    /// Of a run that is stuck, why.
    pub problem: Option<String>,
    /// How it stands to its thread.
    pub lease: Option<Lease>,
    /// When it started; of one that waits for its start, when it was asked for.
    pub started_at: String,
    /// Of a run that waits for its start: when it is to start.
    pub starts_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// When it must next be looked at.
    pub next_deadline: Option<String>,
}

/// How a run stands to its thread.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Whether it has the thread.
    pub is: LeaseIs,
    /// Of one that is queued: the run that has the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
}

/// Whether a run has its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LeaseIs {
    /// It may write the thread.
    Held,
    /// It waits for it.
    Queued,
}

impl Lease {
    /// As the store has it.
    pub fn of(lease: &RunLease) -> Lease {
        match lease {
            RunLease::Held => Lease { is: LeaseIs::Held, behind: None },
            RunLease::Queued { behind } => Lease { is: LeaseIs::Queued, behind: behind.clone() },
        }
    }
}

impl RunSummary {
    /// Whether nothing more happens to it.
    pub fn is_ended(&self) -> bool {
        RunStatus::from_name(&self.status).is_some_and(RunStatus::is_ended)
    }
}

impl From<&RunRow> for RunSummary {
    fn from(run: &RunRow) -> RunSummary {
        RunSummary {
            run_id: run.run_id.clone(),
            workflow: run.workflow.clone(),
            version: run.version,
            thread_id: run.thread_id.clone(),
            user_id: run.user_id.clone(),
            parent: run.parent.clone(),
            status: run.status.name().to_owned(),
            stage: run.stage.clone(),
            held: held(run).map(str::to_owned),
            problem: problem(run).map(str::to_owned),
            lease: run.lease.as_ref().map(Lease::of),
            started_at: run.started_at.to_string(),
            starts_at: run.starts_at.map(|at| at.to_string()),
            ended_at: run.ended_at.map(|at| at.to_string()),
            next_deadline: run.next_deadline.map(|at| at.to_string()),
        }
    }
}

/// Why calls that a run owes are not started.
pub fn held(run: &RunRow) -> Option<&str> {
    run.held.as_deref().filter(|_| run.status != RunStatus::Stuck)
}

/// Why the host could not go on with it, and what to do.
pub fn problem(run: &RunRow) -> Option<&str> {
    run.held.as_deref().filter(|_| run.status == RunStatus::Stuck)
}
