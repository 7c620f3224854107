//! A cron trigger as lists show it.

use bandstand_engine::Timestamp;
use bandstand_store::{KeptSchedule, ReadError, Reader};
use bandstand_workflow::cron::Cron;
use serde::Serialize;
use utoipa::ToSchema;

/// A cron trigger of a workflow that is served, and how far it is. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ScheduleSummary {
    /// The workflow.
    pub workflow: String,
    /// Which of its triggers, from 0.
    pub trigger: u32,
    /// When it fires.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// What becomes of a time that comes while the run before still goes on: `skip`, `queue`, `allow`.
    pub overlap: Option<String>,
    /// When it fires next.
    pub next_at: Option<String>,
    /// A time that has come and whose run begins when the one before has ended.
    pub queued_at: Option<String>,
    /// The last run that it began; it may be gone.
    pub last_run_id: Option<String>,
    /// When that run started.
    pub last_at: Option<String>,
    /// How that run stands.
    pub last_status: Option<String>,
    /// Why it began none the last time, if it did not.
    pub problem: Option<String>,
}

impl ScheduleSummary {
    /// As the store has it, at that time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(reader: &Reader, kept: KeptSchedule, now: Timestamp) -> Result<ScheduleSummary, ReadError> {
        let last = kept.run_id.as_deref().map(|run_id| reader.run(run_id)).transpose()?.flatten();
        let next = Cron::new(&kept.cron, &kept.zone).ok().and_then(|cron| cron.next_after(now));
        Ok(ScheduleSummary {
            workflow: kept.workflow,
            trigger: kept.trigger,
            cron: kept.cron,
            zone: kept.zone,
            overlap: Some(kept.overlap).filter(|overlap| !overlap.is_empty()),
            next_at: next.map(|at| at.to_string()),
            queued_at: kept.queued_at.map(|at| at.to_string()),
            last_run_id: kept.run_id,
            last_at: last.as_ref().map(|run| run.started_at.to_string()),
            last_status: last.map(|run| run.status.name().to_owned()),
            problem: kept.problem,
        })
    }
}
