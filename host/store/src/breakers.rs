//! What is known against plugins: which are in quarantine, and faults in a row of others. The driver decides; this keeps it,
//! so that a plugin that crashes is not taken for a good one whenever a host starts.
//!
//! No read model: it is the host's, not any run's, and a person may have changed it. A rebuild leaves it as it is.

use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, params};

use crate::append::Refused;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// What is known against one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBreaker {
    /// The plugin, by digest.
    pub plugin: String,
    /// Its name in the workflow that called it last in vain.
    pub name: String,
    /// That workflow, by name.
    pub workflow: String,
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Faults in a row.
    pub faults: u32,
    /// How often it went to quarantine in a row.
    pub opened: u32,
    /// Since when it is in quarantine.
    pub since: Option<Timestamp>,
    /// When a call is let through next.
    pub probe_at: Option<Timestamp>,
    /// The last fault, for people.
    pub fault: String,
}

impl Store {
    /// Keeps what is known against a plugin in place of what was; `None`: nothing is any more. Nobody waits for it.
    ///
    /// # Errors
    /// When it was not queued: the file says what it said before.
    pub fn keep_breaker(&self, plugin: &str, breaker: Option<KeptBreaker>) -> Result<(), Refused> {
        self.push_job(Box::new(Keep { plugin: plugin.to_owned(), breaker }))
    }

    /// Waits until everything that was handed over before is durable. Blocks.
    ///
    /// # Errors
    /// When the store takes nothing more, or cannot write.
    pub fn flush(&self) -> Result<(), Refused> {
        let (done, wait) = sync_channel(1);
        self.push_job(Box::new(Flush { done }))?;
        wait.recv().map_err(|_| Refused::Stopped)
    }
}

impl Reader {
    /// What is known against plugins, by digest.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn breakers(&self) -> Result<Vec<KeptBreaker>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT plugin, name, workflow, state, faults, opened, since, probe_at, fault \
                     FROM breakers ORDER BY plugin",
                )?
                .query_map([], |row| {
                    Ok(KeptBreaker {
                        plugin: row.get(0)?,
                        name: row.get(1)?,
                        workflow: row.get(2)?,
                        state: row.get(3)?,
                        faults: row.get(4)?,
                        opened: row.get(5)?,
                        since: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                        probe_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
                        fault: row.get(8)?,
                    })
                })?
                .collect()
        })
    }
}

struct Keep {
    plugin: String,
    breaker: Option<KeptBreaker>,
}

impl Job for Keep {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let Some(breaker) = &self.breaker else {
            connection.prepare_cached("DELETE FROM breakers WHERE plugin = ?1")?.execute([&self.plugin])?;
            return Ok(JobEnd::Keep);
        };
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO breakers(plugin, name, workflow, state, faults, opened, since, probe_at, fault) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.plugin,
                breaker.name,
                breaker.workflow,
                breaker.state,
                breaker.faults,
                breaker.opened,
                breaker.since.map(|at| at.0),
                breaker.probe_at.map(|at| at.0),
                breaker.fault,
            ])?;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {}

    fn bytes(&self) -> u64 {
        256 + self.breaker.as_ref().map_or(0, |breaker| breaker.fault.len() as u64)
    }
}

struct Flush {
    done: SyncSender<()>,
}

impl Job for Flush {
    fn apply(&mut self, _: &Connection) -> rusqlite::Result<JobEnd> {
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.done.send(()).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        64
    }
}
