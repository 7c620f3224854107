//! Threads: who writes one and who waits for it (a read model of the journal), and what it keeps for its next run (not one:
//! that stays when the runs that wrote it are gone).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::Id;
use bandstand_engine::event::{Lease, ThreadWritten};
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::append::{Append, Refused, RunStatus};
use crate::codec::{Blob, INLINE_BYTES_MAX};
use crate::effect::Effect;
use crate::effect_apply::Subject;
use crate::owner;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// Threads that one list shows at most.
const THREADS_MAX: u32 = 1_000;

/// Names a thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadKey {
    /// The workflow's name.
    pub workflow: String,
    /// Its id.
    pub thread_id: String,
}

/// The runs of a thread that have not ended and may write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadRuns {
    /// The one that writes it.
    pub holder: Option<Writer>,
    /// Those that wait, in the order in which they came.
    pub queued: Vec<Writer>,
}

/// A run that writes a thread or waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The run.
    pub run_id: String,
    /// Where it stands.
    pub status: RunStatus,
}

/// How a run that has not ended stands to its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunLease {
    /// It writes it.
    Held,
    /// It waits for it.
    Queued {
        /// The run that writes it; none: nobody at the moment.
        behind: Option<String>,
    },
}

/// A value as a thread keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptValue {
    channel: String,
    value: KeptAs,
}

#[derive(Clone, Debug, PartialEq)]
enum KeptAs {
    /// Its JSON.
    Inline(String),
    Large(Blob),
}

/// A thread that keeps values, or that runs write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptThread {
    /// Which.
    pub key: ThreadKey,
    /// The channels that it keeps, with the size of their JSON. Bytes.
    pub channels: Vec<(String, u64)>,
    /// When it was written last.
    pub written_at: Option<Timestamp>,
    /// The run that wrote it last; it may be gone.
    pub written_by: Option<String>,
}

/// What became of a thread that was to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It keeps nothing any more.
    Done,
    /// It kept nothing.
    Unknown,
    /// That run writes it or waits for it: nothing was done.
    InUse(String),
}

impl KeptValue {
    /// As the event has it; values that are not at hand are left out.
    pub(crate) fn of(written: &ThreadWritten) -> Vec<KeptValue> {
        let kept = |(id, payload): (&Id, &bandstand_engine::Payload)| {
            let bytes = serde_json::to_vec(&**payload.value()?).expect("a JSON value is JSON");
            let value = if bytes.len() > INLINE_BYTES_MAX {
                KeptAs::Large(Blob { digest: *blake3::hash(&bytes).as_bytes(), bytes })
            } else {
                KeptAs::Inline(String::from_utf8(bytes).expect("JSON is UTF-8"))
            };
            Some(KeptValue { channel: id.to_string(), value })
        };
        written.values.iter().filter_map(kept).collect()
    }
}

/// A run begins, or goes on after a failure: it writes its thread, or waits for it.
pub(crate) fn take_part(
    connection: &Connection,
    subject: &Subject<'_>,
    lease: Option<Lease>,
) -> rusqlite::Result<()> {
    let Some(lease) = lease else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO thread_leases(run, workflow, thread_id, held, arrival) \
             SELECT id, workflow, thread_id, ?2, ?3 FROM runs WHERE id = ?1 AND thread_id IS NOT NULL",
        )?
        .execute(params![subject.run, lease == Lease::Held, subject.pos])?;
    Ok(())
}

/// It has the thread that it waited for.
pub(crate) fn entered(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE thread_leases SET held = 1 WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// It has ended.
pub(crate) fn leave(connection: &Connection, run: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM thread_leases WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// Another run that writes the same thread as this one, and the thread.
pub(crate) fn rival(connection: &Connection, run_id: &str) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .prepare_cached(
            "SELECT l.thread_id, w.run_id FROM runs r JOIN thread_leases l ON l.run = r.id \
             JOIN thread_leases o ON o.workflow = l.workflow AND o.thread_id = l.thread_id AND o.run <> l.run \
             JOIN runs w ON w.id = o.run WHERE r.run_id = ?1 AND l.held = 1 AND o.held = 1 LIMIT 1",
        )?
        .query_row([run_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// What these events leave to the run's thread.
pub(crate) fn keep(connection: &Connection, run: i64, append: &Append) -> rusqlite::Result<()> {
    for effect in &append.effects {
        let Effect::ThreadWritten { values } = effect else { continue };
        let (workflow, thread_id): (String, Option<String>) = connection
            .prepare_cached("SELECT workflow, thread_id FROM runs WHERE id = ?1")?
            .query_row([run], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(thread_id) = thread_id else { continue };
        connection
            .prepare_cached("INSERT OR IGNORE INTO threads(workflow, thread_id) VALUES (?1, ?2)")?
            .execute([&workflow, &thread_id])?;
        let thread: i64 = connection
            .prepare_cached("SELECT id FROM threads WHERE workflow = ?1 AND thread_id = ?2")?
            .query_row([&workflow, &thread_id], |row| row.get(0))?;
        for kept in values {
            let (text, blob) = match &kept.value {
                KeptAs::Inline(text) => (Some(text), None),
                KeptAs::Large(blob) => (None, Some(blob)),
            };
            if let Some(blob) = blob {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO blobs(digest, bytes) VALUES (?1, ?2)")?
                    .execute(params![&blob.digest[..], blob.bytes])?;
                connection
                    .prepare_cached("INSERT OR IGNORE INTO blob_refs(digest, run) VALUES (?1, ?2)")?
                    .execute(params![&blob.digest[..], owner::thread(thread)])?;
            }
            let before: Option<Vec<u8>> = connection
                .prepare_cached("SELECT digest FROM thread_values WHERE thread = ?1 AND channel = ?2")?
                .query_row(params![thread, kept.channel], |row| row.get(0))
                .optional()?
                .flatten();
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO thread_values(thread, channel, value, digest, run_id, at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    thread,
                    kept.channel,
                    text,
                    blob.map(|blob| &blob.digest[..]),
                    &*append.run_id,
                    append.at.0
                ])?;
            if let Some(before) = before {
                release(connection, thread, &before)?;
            }
        }
    }
    Ok(())
}

/// The thread names a large value no longer, unless another of its channels does; it goes when nobody else names it.
fn release(connection: &Connection, thread: i64, digest: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM blob_refs WHERE digest = ?1 AND run = ?2 \
             AND NOT EXISTS (SELECT 1 FROM thread_values v WHERE v.thread = ?3 AND v.digest = ?1)",
        )?
        .execute(params![digest, owner::thread(thread), thread])?;
    connection
        .prepare_cached(
            "DELETE FROM blobs WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.digest = ?1)",
        )?
        .execute([digest])?;
    Ok(())
}

impl Reader {
    /// Who writes a thread and who waits for it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn thread_runs(&self, key: &ThreadKey) -> Result<ThreadRuns, ReadError> {
        self.query(|connection| runs_of(connection, key))
    }

    /// What a thread keeps, by channel.
    ///
    /// # Errors
    /// When the file cannot be read, or a value is damaged.
    pub fn thread_values(&self, key: &ThreadKey) -> Result<BTreeMap<Id, Arc<Value>>, ReadError> {
        let stored: Vec<(String, Option<String>, Option<Vec<u8>>)> = self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT v.channel, v.value, b.bytes FROM threads t JOIN thread_values v ON v.thread = t.id \
                     LEFT JOIN blobs b ON b.digest = v.digest WHERE t.workflow = ?1 AND t.thread_id = ?2",
                )?
                .query_map([&key.workflow, &key.thread_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })?;
        let mut values = BTreeMap::new();
        for (channel, text, bytes) in stored {
            let damaged = || {
                ReadError::Damaged(format!(
                    "what thread `{}` of workflow `{}` keeps for channel `{channel}` is damaged; forget the thread \
                     (bandstand thread forget) to begin it anew",
                    key.thread_id, key.workflow
                ))
            };
            let bytes = text.map(String::into_bytes).or(bytes).ok_or_else(damaged)?;
            let value: Value = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
            values.insert(Id::new(&channel).map_err(|_| damaged())?, Arc::new(value));
        }
        Ok(values)
    }

    /// The thread that a run writes or waits for, and whether it writes it. `None`: it has ended, or takes part in none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn thread_of(&self, run_id: &str) -> Result<Option<(ThreadKey, bool)>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT l.workflow, l.thread_id, l.held FROM runs r JOIN thread_leases l ON l.run = r.id \
                     WHERE r.run_id = ?1",
                )?
                .query_row([run_id], |row| {
                    Ok((ThreadKey { workflow: row.get(0)?, thread_id: row.get(1)? }, row.get(2)?))
                })
                .optional()
        })
    }

    /// Threads that runs wait for, at most a thousand, those that wait longest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn awaited_threads(&self) -> Result<Vec<ThreadKey>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT workflow, thread_id FROM thread_leases q WHERE held = 0 AND NOT EXISTS \
                     (SELECT 1 FROM thread_leases h WHERE h.workflow = q.workflow AND h.thread_id = q.thread_id AND h.held = 1) \
                     GROUP BY workflow, thread_id ORDER BY min(arrival) LIMIT ?1",
                )?
                .query_map([THREADS_MAX], |row| Ok(ThreadKey { workflow: row.get(0)?, thread_id: row.get(1)? }))?
                .collect()
        })
    }

    /// Threads that keep something, by workflow and id, after that one, at most a thousand.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn threads(
        &self,
        workflow: Option<&str>,
        after: Option<&ThreadKey>,
    ) -> Result<Vec<KeptThread>, ReadError> {
        let (after_workflow, after_id) =
            after.map_or(("", ""), |key| (key.workflow.as_str(), key.thread_id.as_str()));
        self.query(|connection| {
            let keys: Vec<(i64, ThreadKey)> = connection
                .prepare_cached(
                    "SELECT id, workflow, thread_id FROM threads WHERE (workflow, thread_id) > (?1, ?2) \
                     AND (?3 IS NULL OR workflow = ?3) ORDER BY workflow, thread_id LIMIT ?4",
                )?
                .query_map(params![after_workflow, after_id, workflow, THREADS_MAX], |row| {
                    Ok((row.get(0)?, ThreadKey { workflow: row.get(1)?, thread_id: row.get(2)? }))
                })?
                .collect::<rusqlite::Result<_>>()?;
            keys.into_iter().map(|(thread, key)| kept_thread(connection, thread, key)).collect()
        })
    }
}

fn kept_thread(connection: &Connection, thread: i64, key: ThreadKey) -> rusqlite::Result<KeptThread> {
    let mut kept = KeptThread { key, channels: Vec::new(), written_at: None, written_by: None };
    let mut values = connection.prepare_cached(
        "SELECT v.channel, ifnull(octet_length(v.value), octet_length(b.bytes)), v.run_id, v.at FROM thread_values v \
         LEFT JOIN blobs b ON b.digest = v.digest WHERE v.thread = ?1 ORDER BY v.channel",
    )?;
    let mut rows = values.query([thread])?;
    while let Some(row) = rows.next()? {
        let bytes: Option<i64> = row.get(1)?;
        kept.channels.push((row.get(0)?, u64::try_from(bytes.unwrap_or(0)).unwrap_or(0)));
        let at = Timestamp(row.get(3)?);
        if kept.written_at.is_none_or(|written_at| at >= written_at) {
            (kept.written_at, kept.written_by) = (Some(at), Some(row.get(2)?));
        }
    }
    Ok(kept)
}

fn runs_of(connection: &Connection, key: &ThreadKey) -> rusqlite::Result<ThreadRuns> {
    let mut runs = ThreadRuns::default();
    let mut statement = connection.prepare_cached(
        "SELECT r.run_id, r.status, l.held FROM thread_leases l JOIN runs r ON r.id = l.run \
         WHERE l.workflow = ?1 AND l.thread_id = ?2 ORDER BY l.arrival",
    )?;
    let mut rows = statement.query([&key.workflow, &key.thread_id])?;
    while let Some(row) = rows.next()? {
        let status: String = row.get(1)?;
        let status = RunStatus::from_name(&status).unwrap_or(RunStatus::Stuck);
        let writer = Writer { run_id: row.get(0)?, status };
        if row.get(2)? {
            runs.holder = Some(writer);
        } else {
            runs.queued.push(writer);
        }
    }
    Ok(runs)
}

impl Store {
    /// Forgets what a thread keeps, for good. A thread that a run writes or waits for is left alone.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn forget_thread(&self, key: ThreadKey) -> Result<Forgotten, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Forget { key, end: Forgotten::Unknown, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

struct Forget {
    key: ThreadKey,
    end: Forgotten,
    sender: SyncSender<Forgotten>,
}

impl Job for Forget {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let runs = runs_of(connection, &self.key)?;
        if let Some(writer) = runs.holder.or(runs.queued.into_iter().next()) {
            self.end = Forgotten::InUse(writer.run_id);
            return Ok(JobEnd::Keep);
        }
        let thread: Option<i64> = connection
            .prepare_cached("SELECT id FROM threads WHERE workflow = ?1 AND thread_id = ?2")?
            .query_row([&self.key.workflow, &self.key.thread_id], |row| row.get(0))
            .optional()?;
        let Some(thread) = thread else {
            self.end = Forgotten::Unknown;
            return Ok(JobEnd::Keep);
        };
        let digests: Vec<Vec<u8>> = connection
            .prepare_cached("SELECT digest FROM thread_values WHERE thread = ?1 AND digest IS NOT NULL")?
            .query_map([thread], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        connection.prepare_cached("DELETE FROM thread_values WHERE thread = ?1")?.execute([thread])?;
        digests.iter().try_for_each(|digest| release(connection, thread, digest))?;
        connection.prepare_cached("DELETE FROM threads WHERE id = ?1")?.execute([thread])?;
        self.end = Forgotten::Done;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.end).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}
