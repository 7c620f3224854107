//! Deleting runs for good. A run goes at once, in one small transaction: from then on nobody finds it, and its part of the
//! routing statistics stays. What it leaves in the file goes later, a slice at a time ([`Store::sweep`]), so that no step
//! of another run waits long; a crash in between costs nothing, the next sweep goes on. Then the file can shrink
//! ([`Store::shrink`]). Memory that agents keep (facts, audit, slots) and what threads
//! keep are not the run's and stay.

use std::collections::BTreeSet;
use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::event::Event;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::append::{Refused, RunStatus};
use crate::codec;
use crate::effect_apply::{open_parent, unsigned};
use crate::pins;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// Rows that one sweep removes at most.
pub const SWEEP_ROWS_MAX: u64 = 1_000;
/// Bytes after which a sweep ends.
pub const SWEEP_BYTES_MAX: u64 = 4 << 20;
/// Runs that are taken out in one transaction.
const RUNS_AT_ONCE_MAX: usize = 100;
/// Pages that one shrinking gives back at most: 1 MiB.
const PAGES_AT_ONCE_MAX: u64 = 256;

/// What became of a run that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// There was none.
    Unknown,
    /// It has not ended, and was left alone.
    NotEnded(RunStatus),
    /// It is a part of a run that has not ended, and was left alone.
    OfOpenParent,
}

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were removed.
    pub rows: u64,
    /// Bytes of events, values and snapshots in them.
    pub bytes: u64,
    /// Whether there is more.
    pub more: bool,
}

/// What one shrinking did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// Bytes given back to the file system; the file is shorter once its log is moved into it.
    pub bytes: u64,
    /// Whether there is more.
    pub more: bool,
}

impl Store {
    /// Takes runs out, durably. A run that has not ended is left alone; one that is stuck has no future and may go. What
    /// they leave in the file is for [`Store::sweep`]. The answers are in the order of the ids.
    ///
    /// # Errors
    /// When the store does not take it now: nothing of the rest was done, and asking again is safe.
    pub fn delete_runs(&self, run_ids: &[String]) -> Result<Vec<Deletion>, Refused> {
        let mut ends = Vec::with_capacity(run_ids.len());
        for some in run_ids.chunks(RUNS_AT_ONCE_MAX) {
            let (sender, receiver) = sync_channel(1);
            let job = Delete { run_ids: some.to_vec(), ends: Vec::new(), sender };
            self.push_job(Box::new(job))?;
            ends.extend(receiver.recv().map_err(|_| Refused::Stopped)?);
            self.reader().count_deletion();
        }
        Ok(ends)
    }

    /// Removes some of what deleted runs left: at most [`SWEEP_ROWS_MAX`] rows, or little more than [`SWEEP_BYTES_MAX`].
    /// To be called until there is no more.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn sweep(&self) -> Result<Swept, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Sweep { swept: Swept::default(), sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }

    /// Gives some free pages back to the file system: 1 MiB at most. To be called while nothing else waits
    /// ([`Stats::queue_bytes`](crate::Stats)), until there is no more. Free pages that stay are used again.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn shrink(&self) -> Result<Shrunk, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Shrink { shrunk: Shrunk::default(), sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

impl Reader {
    /// Whether deleted runs have left something to sweep.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_leftovers(&self) -> Result<bool, ReadError> {
        self.query(|connection| {
            connection.query_row("SELECT EXISTS (SELECT 1 FROM doomed)", [], |row| row.get(0))
        })
    }
}

struct Delete {
    run_ids: Vec<String>,
    ends: Vec<Deletion>,
    sender: SyncSender<Vec<Deletion>>,
}

impl Job for Delete {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.ends.clear();
        let mut sets = BTreeSet::new();
        for run_id in &self.run_ids {
            self.ends.push(delete(connection, run_id, &mut sets)?);
        }
        sets.into_iter().try_for_each(|set| pins::release(connection, set))?;
        Ok(JobEnd::KeepAndForget(self.run_ids.clone()))
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.ends).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        self.run_ids.len() as u64 * 64
    }
}

fn delete(connection: &Connection, run_id: &str, sets: &mut BTreeSet<i64>) -> rusqlite::Result<Deletion> {
    let found = connection
        .prepare_cached("SELECT id, status, pins FROM runs WHERE run_id = ?1")?
        .query_row([run_id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<i64>>(2)?))
        })
        .optional()?;
    let Some((run, status, set)) = found else { return Ok(Deletion::Unknown) };
    // A word of a newer host says nothing about an end.
    let status = RunStatus::from_name(&status).unwrap_or(RunStatus::Running);
    if !status.is_ended() && status != RunStatus::Stuck {
        return Ok(Deletion::NotEnded(status));
    }
    if open_parent(connection, run)?.is_some() {
        return Ok(Deletion::OfOpenParent);
    }
    if let Some(key) = request_of(connection, run)? {
        connection
            .prepare_cached("DELETE FROM requests WHERE key = ?1 AND answer = ?2")?
            .execute([key.as_str(), run_id])?;
    }
    keep_routes(connection, run)?;
    // Nobody is told any more of what is gone.
    connection.prepare_cached("DELETE FROM deliveries WHERE run_id = ?1")?.execute([run_id])?;
    for statement in [
        "DELETE FROM review_answers WHERE review_id IN (SELECT review_id FROM reviews WHERE run = ?1)",
        "DELETE FROM reviews WHERE run = ?1",
        "DELETE FROM run_routes WHERE run = ?1",
        "DELETE FROM run_links WHERE run = ?1",
        "DELETE FROM unwanted WHERE run = ?1",
        "DELETE FROM imported WHERE run = ?1",
        // One that is stuck may have its thread.
        "DELETE FROM thread_leases WHERE run = ?1",
        "DELETE FROM runs WHERE id = ?1",
        "INSERT INTO doomed(run) VALUES (?1)",
    ] {
        connection.prepare_cached(statement)?.execute([run])?;
    }
    up_to(connection, "run", run)?;
    sets.extend(set);
    Ok(Deletion::Deleted)
}

/// The request that began a run; none if there was none, or if it cannot be read: it is forgotten after a day anyway.
pub(crate) fn request_of(connection: &Connection, run: i64) -> rusqlite::Result<Option<String>> {
    let first = connection
        .prepare_cached("SELECT events FROM journal WHERE run = ?1 AND seq = 0")?
        .query_row([run], |row| Ok(row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec()))
        .optional()?;
    let events = first.and_then(|bytes| codec::parse(std::str::from_utf8(&bytes).ok()?).ok());
    Ok(match events.and_then(|events| events.into_iter().next()) {
        Some(Event::RunStarted(started)) => started.request_id,
        _ => None,
    })
}

/// What a run added to the statistics stays there, also after a rebuild.
fn keep_routes(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO routing_kept(workflow, node, route, count, scored, confidence_sum, confidence_min, \
             confidence_max, low, runs_ended, runs_succeeded, duration_ms_sum) \
             SELECT r.workflow, o.node, o.route, o.count, o.scored, o.confidence_sum, o.confidence_min, \
             o.confidence_max, o.low, o.runs_ended, o.runs_succeeded, o.duration_ms_sum \
             FROM run_routes o JOIN runs r ON r.id = o.run WHERE o.run = ?1 \
             ON CONFLICT DO UPDATE SET count = count + excluded.count, scored = scored + excluded.scored, \
             confidence_sum = confidence_sum + excluded.confidence_sum, \
             confidence_min = min(ifnull(confidence_min, excluded.confidence_min), \
             ifnull(excluded.confidence_min, confidence_min)), \
             confidence_max = max(ifnull(confidence_max, excluded.confidence_max), \
             ifnull(excluded.confidence_max, confidence_max)), \
             low = low + excluded.low, runs_ended = runs_ended + excluded.runs_ended, \
             runs_succeeded = runs_succeeded + excluded.runs_succeeded, \
             duration_ms_sum = duration_ms_sum + excluded.duration_ms_sum",
        )?
        .execute([run])?;
    Ok(())
}

/// That number is never given again.
fn up_to(connection: &Connection, what: &str, number: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO deleted_up_to(what, number) VALUES (?1, ?2) \
             ON CONFLICT DO UPDATE SET number = max(number, excluded.number)",
        )?
        .execute(params![what, number])?;
    Ok(())
}

struct Sweep {
    swept: Swept,
    sender: SyncSender<Swept>,
}

impl Job for Sweep {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.swept = Swept::default();
        while self.has_room() {
            let Some(run) = next_doomed(connection)? else { return Ok(JobEnd::Keep) };
            self.values(connection, run)?;
            self.rows(connection, run)?;
            if self.has_room() {
                self.snapshot(connection, run)?;
                connection.prepare_cached("DELETE FROM doomed WHERE run = ?1")?.execute([run])?;
            }
        }
        self.swept.more = next_doomed(connection)?.is_some();
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.swept).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}

fn next_doomed(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT run FROM doomed ORDER BY run LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

impl Sweep {
    fn has_room(&self) -> bool {
        self.swept.rows < SWEEP_ROWS_MAX && self.swept.bytes < SWEEP_BYTES_MAX
    }

    fn removed(&mut self, bytes: i64) {
        self.swept.rows += 1;
        self.swept.bytes += u64::try_from(bytes).unwrap_or(0);
    }

    /// Values that the run names; each goes when nobody else does.
    fn values(&mut self, connection: &Connection, run: i64) -> rusqlite::Result<()> {
        while self.has_room() {
            let digest: Option<Vec<u8>> = connection
                .prepare_cached("SELECT digest FROM blob_refs WHERE run = ?1 LIMIT 1")?
                .query_row([run], |row| row.get(0))
                .optional()?;
            let Some(digest) = digest else { return Ok(()) };
            connection
                .prepare_cached("DELETE FROM blob_refs WHERE digest = ?1 AND run = ?2")?
                .execute(params![digest, run])?;
            let bytes: Option<i64> = connection
                .prepare_cached(
                    "DELETE FROM blobs WHERE digest = ?1 \
                     AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.digest = ?1) RETURNING octet_length(bytes)",
                )?
                .query_row([&digest], |row| row.get(0))
                .optional()?;
            self.removed(bytes.unwrap_or(0));
        }
        Ok(())
    }

    fn rows(&mut self, connection: &Connection, run: i64) -> rusqlite::Result<()> {
        let mut last = 0;
        while self.has_room() {
            let row: Option<(i64, i64)> = connection
                .prepare_cached(
                    "SELECT pos, octet_length(events) FROM journal WHERE run = ?1 ORDER BY seq LIMIT 1",
                )?
                .query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((pos, bytes)) = row else { break };
            connection.prepare_cached("DELETE FROM journal WHERE pos = ?1")?.execute([pos])?;
            last = last.max(pos);
            self.removed(bytes);
        }
        if last > 0 { up_to(connection, "pos", last) } else { Ok(()) }
    }

    fn snapshot(&mut self, connection: &Connection, run: i64) -> rusqlite::Result<()> {
        let bytes: Option<i64> = connection
            .prepare_cached("DELETE FROM snapshots WHERE run = ?1 RETURNING octet_length(bytes)")?
            .query_row([run], |row| row.get(0))
            .optional()?;
        if let Some(bytes) = bytes {
            self.removed(bytes);
        }
        Ok(())
    }
}

struct Shrink {
    shrunk: Shrunk,
    sender: SyncSender<Shrunk>,
}

impl Job for Shrink {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| Ok(unsigned(row.get(0)?)));
        let before = pragma("page_count")?;
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE_MAX})"))?;
        let mut steps = vacuum.raw_query();
        while steps.next()?.is_some() {}
        let pages = before.saturating_sub(pragma("page_count")?);
        let more = pages > 0 && pragma("freelist_count")? > 0;
        self.shrunk = Shrunk { bytes: pages * pragma("page_size")?, more };
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.shrunk).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}
