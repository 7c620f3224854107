//! How far each cron trigger of a deployed workflow is, so that a restart neither fires twice nor forgets. What fires when is the
//! host's to decide; this keeps it.
//!
//! No read model: a trigger that was passed over left no run, so a rebuild leaves this as it is.

use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, params};

use crate::append::Refused;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// How far one trigger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSchedule {
    /// The workflow's name.
    pub workflow: String,
    /// Which of its triggers, from 0.
    pub trigger: u32,
    /// When it fires. Another text is another schedule, which begins anew.
    pub cron: String,
    /// In which time zone.
    pub zone: String,
    /// What becomes of a time that comes while the run before still goes on: `skip`, `queue`, `allow`.
    pub overlap: String,
    /// Everything up to this time has fired, or was passed over.
    pub up_to: Timestamp,
    /// A time that came while the last run was still going, and whose run begins after it.
    pub queued_at: Option<Timestamp>,
    /// The last run that it began.
    pub run_id: Option<String>,
    /// Why it did not begin one last time.
    pub problem: Option<String>,
}

impl Store {
    /// Keeps how far a trigger is, in place of what was known. Durable when this returns. Blocks.
    ///
    /// # Errors
    /// When the store does not take it now: what was known is so still.
    pub fn keep_schedule(&self, schedule: KeptSchedule) -> Result<(), Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Keep { schedule, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

impl Store {
    /// Forgets a trigger: its workflow is not served any more, or has fewer. Blocks.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn forget_schedule(&self, workflow: &str, trigger: u32) -> Result<(), Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Forget { workflow: workflow.to_owned(), trigger, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

impl Reader {
    /// How far all triggers are, by workflow and number; those of workflows that are not deployed any more, too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn schedules(&self) -> Result<Vec<KeptSchedule>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT workflow, number, cron, zone, up_to, queued_at, run_id, problem, overlap FROM schedules \
                     ORDER BY workflow, number",
                )?
                .query_map([], |row| {
                    Ok(KeptSchedule {
                        workflow: row.get(0)?,
                        trigger: row.get(1)?,
                        cron: row.get(2)?,
                        zone: row.get(3)?,
                        up_to: Timestamp(row.get(4)?),
                        queued_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                        run_id: row.get(6)?,
                        problem: row.get(7)?,
                        overlap: row.get(8)?,
                    })
                })?
                .collect()
        })
    }
}

struct Keep {
    schedule: KeptSchedule,
    sender: SyncSender<()>,
}

impl Job for Keep {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let kept = &self.schedule;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO schedules(workflow, number, cron, zone, up_to, queued_at, run_id, problem, overlap) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                kept.workflow,
                kept.trigger,
                kept.cron,
                kept.zone,
                kept.up_to.0,
                kept.queued_at.map(|at| at.0),
                kept.run_id,
                kept.problem,
                kept.overlap,
            ])?;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(()).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        512
    }
}

struct Forget {
    workflow: String,
    trigger: u32,
    sender: SyncSender<()>,
}

impl Job for Forget {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        connection
            .prepare_cached("DELETE FROM schedules WHERE workflow = ?1 AND number = ?2")?
            .execute(params![self.workflow, self.trigger])?;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        self.sender.send(()).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}
