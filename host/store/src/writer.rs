//! The one thread that writes: groups, commits, answers. It never lingers for more work and waits for no reader.
//!
//! A commit that fails for want of space or for another's lock is offered again with the same rows. Any other failure
//! has an unknown outcome (a row whose fsync failed may be there after a restart), so nothing is acknowledged and the
//! host must end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use crate::FILE_NAME;
use crate::append::{Append, AppendError, Appended, Document, RunChange, RunStatus};
use crate::chain::{self, Check};
use crate::codec::{self, Blob};
use crate::effect::Effect;
use crate::effect_apply::{self, Subject, signed, unsigned};
use crate::kept;
use crate::log_room::LogRoom;
use crate::open::Durability;
use crate::queue::{Job, JobEnd, Work};
use crate::snapshot;
use crate::store::{Fatal, Health, Shared};
use crate::threads;

/// Runs whose end of journal is remembered; more are looked up again.
const HEADS_MAX: usize = 20_000;
/// How long a stranger's lock is waited for between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How often that is told.
const BUSY_WARNING_EVERY: Duration = Duration::from_secs(5);
/// Shortest time between two restarts of the log, so that a long reader costs the writer nothing.
const RESTART_EVERY: Duration = Duration::from_millis(50);
/// How long an answered request is remembered. Milliseconds.
pub(crate) const REQUEST_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// Requests forgotten at a time.
const REQUESTS_FORGOTTEN_MAX: i64 = 1_000;

/// The end of a run's journal.
struct Head {
    run: i64,
    workflow: String,
    started_at: i64,
    next_seq: u64,
    check: Check,
    written: RunChange,
}

/// What became of one piece of work in the group being written.
type End = Result<Appended, AppendError>;

pub(crate) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    heads: HashMap<Arc<str>, Head>,
    restarted: Instant,
    requests_swept_at: i64,
    /// None where commits are not synced: then a longer file costs nothing.
    log_room: Option<LogRoom>,
}

impl Writer {
    pub(crate) fn new(connection: Connection, shared: Arc<Shared>) -> Writer {
        let log_room = (shared.options.durability == Durability::Full)
            .then(|| LogRoom::new(&shared.directory.join(FILE_NAME), shared.options.wal_bytes_max));
        let (heads, restarted) = (HashMap::new(), Instant::now());
        Writer { connection, shared, heads, restarted, requests_swept_at: 0, log_room }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Writes until the store is closed or a commit fails. Gives the connection back for the last tidying.
    pub(crate) fn run(mut self) -> Option<Connection> {
        while let Some(mut batch) = self.shared.queue.take() {
            let bytes: u64 = batch.iter().map(Work::bytes).sum();
            match self.write(&mut batch) {
                Written::Durable(ends) => {
                    self.shared.count_commit(batch.len() as u64, bytes);
                    answer(batch, ends);
                }
                Written::GivenUp => {
                    let ends = batch.iter().map(|_| Err(AppendError::Closed)).collect();
                    answer(batch, ends);
                }
                Written::Failed(fatal) => {
                    // Dropped, not answered: whether it is in the file is not known.
                    drop(batch);
                    drop(self.shared.queue.stop());
                    self.shared.fail(fatal);
                    return None;
                }
            }
            self.shared.queue.release(bytes);
            self.restart_log();
            if let Some(room) = &mut self.log_room
                && matches!(self.shared.health(), Health::Good)
            {
                room.committed();
            }
        }
        Some(self.connection)
    }

    /// Commits the group, trying again for as long as trying helps.
    fn write(&mut self, batch: &mut [Work]) -> Written {
        let mut warned: Option<Instant> = None;
        loop {
            match self.try_write(batch) {
                Ok(ends) => {
                    self.shared.disk_is_full(false);
                    return Written::Durable(ends);
                }
                Err(error) => {
                    // What was remembered while writing is not in the file.
                    self.heads.clear();
                    if !self.connection.is_autocommit()
                        && let Err(rollback) = self.connection.execute_batch("ROLLBACK")
                    {
                        return Written::Failed(Fatal::new(&rollback));
                    }
                    match error.sqlite_error_code() {
                        Some(ErrorCode::DiskFull) => {
                            self.shared.disk_is_full(true);
                            if self.shared.queue.pause(self.shared.options.full_retry) {
                                return Written::GivenUp;
                            }
                        }
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                            if warned.is_none_or(|at| at.elapsed() > BUSY_WARNING_EVERY) {
                                warned = Some(Instant::now());
                                tracing::warn!(
                                    "another program holds the store's write lock; waiting for it"
                                );
                            }
                            self.shared.count_busy();
                            std::thread::sleep(BUSY_PAUSE);
                        }
                        _ => return Written::Failed(Fatal::new(&error)),
                    }
                }
            }
        }
    }

    fn try_write(&mut self, batch: &mut [Work]) -> rusqlite::Result<Vec<End>> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut ends = Vec::with_capacity(batch.len());
        for work in batch.iter_mut() {
            ends.push(match work {
                Work::Append(append, _) => self.append(append)?,
                Work::Change { run_id, at, change, .. } => self.change(run_id, *at, change)?,
                Work::Snapshot { run_id, seq, bytes } => {
                    snapshot::save(&self.connection, run_id, *seq, bytes)?;
                    Ok(Appended { pos: 0 })
                }
                Work::Job(job) => {
                    match run_job(&self.connection, job.as_mut())? {
                        JobEnd::KeepAndForgetRuns => self.heads.clear(),
                        JobEnd::KeepAndForget(run_ids) => {
                            run_ids.iter().for_each(|run_id| drop(self.heads.remove(run_id.as_str())));
                        }
                        JobEnd::Keep | JobEnd::Undo => {}
                    }
                    Ok(Appended { pos: 0 })
                }
            });
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(ends)
    }

    fn append(&mut self, append: &Append) -> rusqlite::Result<End> {
        if append.seq == 0 {
            return self.begin_run(append);
        }
        if let Err(refused) = self.load_head(&append.run_id)? {
            return Ok(Err(refused));
        }
        let connection = &self.connection;
        let Some(head) = self.heads.get_mut(&append.run_id) else {
            return Ok(Err(AppendError::UnknownRun(append.run_id.clone())));
        };
        if head.next_seq != append.seq {
            let expected = head.next_seq;
            return Ok(Err(AppendError::OutOfOrder {
                run_id: append.run_id.clone(),
                expected,
                seq: append.seq,
            }));
        }
        head.started_at = effect_apply::began_at(head.started_at, &append.effects, append.at.0);
        insert_blobs(connection, head.run, &append.blobs)?;
        let pos = insert_row(connection, head, append)?;
        apply_effects(connection, head, append, pos)?;
        threads::keep(connection, head.run, append)?;
        let others = concerned(connection, head.run, &append.effects)?;
        for kept in &append.kept {
            kept::put(connection, &append.run_id, kept, &self.shared.options.cache)?;
        }
        if append.effects.iter().any(|effect| matches!(effect, Effect::RunRetried { .. })) {
            // Its end was taken out of the run's row: whatever comes next is written, even the same failure again.
            head.written.stage = Some(String::new());
        }
        if let Some(change) = &append.change
            && *change != head.written
        {
            effect_apply::update_run(connection, head.run, append.at.0, signed(append.seq), change)?;
            head.written = change.clone();
        }
        others.iter().for_each(|run_id| drop(self.heads.remove(run_id.as_str())));
        Ok(Ok(Appended { pos }))
    }

    /// The first row of a run, its row in `runs`, and what it pins.
    fn begin_run(&mut self, append: &Append) -> rusqlite::Result<End> {
        let connection = &self.connection;
        let Some(started @ Effect::RunStarted { workflow, request_id, .. }) = append.effects.first() else {
            return Ok(Err(AppendError::NotAStart(append.run_id.clone())));
        };
        let known: Option<i64> = connection
            .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")?
            .query_row([&*append.run_id], |row| row.get(0))
            .optional()?;
        if known.is_some() {
            let expected = match self.load_head(&append.run_id)? {
                Ok(()) => self.heads.get(&append.run_id).map_or(0, |head| head.next_seq),
                Err(refused) => return Ok(Err(refused)),
            };
            return Ok(Err(AppendError::OutOfOrder { run_id: append.run_id.clone(), expected, seq: 0 }));
        }
        if let Some(key) = request_id
            && let Some(run_id) = self.known_request(key, append.at.0)?
        {
            return Ok(Err(AppendError::DuplicateRequest { key: key.clone(), run_id }));
        }
        let connection = &self.connection;
        insert_documents(connection, &append.documents)?;
        let written = append.change.clone().unwrap_or_else(effect_apply::first_change);
        let run = effect_apply::insert_run(connection, None, started, append.at.0, &written)?;
        let mut head = Head {
            run,
            workflow: workflow.clone(),
            started_at: append.at.0,
            next_seq: 0,
            check: chain::genesis(&append.run_id),
            written,
        };
        insert_blobs(connection, run, &append.blobs)?;
        let pos = insert_row(connection, &mut head, append)?;
        apply_effects(connection, &head, append, pos)?;
        threads::keep(connection, run, append)?;
        let others = concerned(connection, run, &append.effects)?;
        others.iter().for_each(|run_id| drop(self.heads.remove(run_id.as_str())));
        self.remember(append.run_id.clone(), head);
        Ok(Ok(Appended { pos }))
    }

    fn change(&mut self, run_id: &Arc<str>, at: i64, change: &RunChange) -> rusqlite::Result<End> {
        if let Err(refused) = self.load_head(run_id)? {
            // A run that cannot be read can still be called stuck.
            let updated = self
                .connection
                .prepare_cached("UPDATE runs SET status = ?2, held = ?3, owed = ?4 WHERE run_id = ?1")?
                .execute(params![&**run_id, change.status.name(), change.held, change.owed])?;
            return Ok(if updated == 0 { Err(refused) } else { Ok(Appended { pos: 0 }) });
        }
        if let Some(head) = self.heads.get_mut(run_id)
            && head.written != *change
        {
            let head_seq = signed(head.next_seq.saturating_sub(1));
            // The row that head_seq names must be there: count from the last row's first event.
            let head_seq: i64 = self
                .connection
                .prepare_cached("SELECT ifnull(max(seq), 0) FROM journal WHERE run = ?1 AND seq <= ?2")?
                .query_row([head.run, head_seq], |row| row.get(0))?;
            effect_apply::update_run(&self.connection, head.run, at, head_seq, change)?;
            head.written = change.clone();
        }
        Ok(Ok(Appended { pos: 0 }))
    }

    /// The run that an equal request began within the last day.
    fn known_request(&mut self, key: &str, at: i64) -> rusqlite::Result<Option<String>> {
        let oldest = at.saturating_sub(REQUEST_KEPT_MS);
        if at.saturating_sub(self.requests_swept_at) > 60_000 {
            self.requests_swept_at = at;
            self.connection
                .prepare_cached(
                    "DELETE FROM requests WHERE key IN (SELECT key FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2)",
                )?
                .execute([oldest, REQUESTS_FORGOTTEN_MAX])?;
        }
        self.connection
            .prepare_cached("SELECT answer FROM requests WHERE key = ?1 AND at >= ?2")?
            .query_row(params![key, oldest], |row| row.get(0))
            .optional()
    }

    /// Makes sure that the end of the run's journal is remembered.
    fn load_head(&mut self, run_id: &Arc<str>) -> rusqlite::Result<Result<(), AppendError>> {
        if self.heads.contains_key(run_id) {
            return Ok(Ok(()));
        }
        let found = self
            .connection
            .prepare_cached(
                "SELECT id, workflow, started_at, status, stage, held, owed, next_deadline FROM runs WHERE run_id = ?1",
            )?
            .query_row([&**run_id], |row| {
                let status: String = row.get(3)?;
                let written = RunChange {
                    status: RunStatus::from_name(&status).unwrap_or(RunStatus::Stuck),
                    stage: row.get(4)?,
                    held: row.get(5)?,
                    owed: row.get(6)?,
                    next_deadline: row.get::<_, Option<i64>>(7)?.map(bandstand_engine::time::Timestamp),
                };
                let check = Check::default();
                Ok(Head {
                    run: row.get(0)?,
                    workflow: row.get(1)?,
                    started_at: row.get(2)?,
                    next_seq: 0,
                    check,
                    written,
                })
            })
            .optional()?;
        let Some(mut head) = found else { return Ok(Err(AppendError::UnknownRun(run_id.clone()))) };
        let last = self
            .connection
            .prepare_cached(
                "SELECT seq, \"check\", events FROM journal WHERE run = ?1 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([head.run], |row| {
                let check: Vec<u8> = row.get(1)?;
                let events = row.get_ref(2)?.as_bytes().unwrap_or_default().to_vec();
                Ok((row.get::<_, i64>(0)?, check, events))
            })
            .optional()?;
        let damaged = || Ok(Err(AppendError::Damaged(run_id.clone())));
        let Some((seq, check, events)) = last else { return damaged() };
        let Some(count) = std::str::from_utf8(&events).ok().and_then(codec::count) else { return damaged() };
        let Ok(check) = Check::try_from(check.as_slice()) else { return damaged() };
        head.next_seq = unsigned(seq).saturating_add(count);
        head.check = check;
        self.remember(run_id.clone(), head);
        Ok(Ok(()))
    }

    fn remember(&mut self, run_id: Arc<str>, head: Head) {
        if self.heads.len() >= HEADS_MAX {
            self.heads.clear();
        }
        self.heads.insert(run_id, head);
    }

    /// Starts the log again once it is long; the helper alone never catches up. It waits for no reader.
    fn restart_log(&mut self) {
        if self.shared.wal_bytes() <= self.shared.options.wal_bytes_max
            || self.restarted.elapsed() < RESTART_EVERY
        {
            return;
        }
        self.restarted = Instant::now();
        match crate::checkpoint::run(&self.connection, "RESTART") {
            Ok(frames) => frames.into_iter().for_each(|frames| self.shared.log_is(frames)),
            Err(error) => tracing::warn!(%error, "the log cannot be moved into the file now"),
        }
    }
}

enum Written {
    Durable(Vec<End>),
    GivenUp,
    Failed(Fatal),
}

fn answer(batch: Vec<Work>, ends: Vec<End>) {
    for (work, end) in batch.into_iter().zip(ends) {
        match work {
            Work::Append(_, done) | Work::Change { done, .. } => done(end),
            Work::Snapshot { .. } => {}
            Work::Job(job) => match end {
                Ok(_) => job.answer(),
                Err(_) => drop(job),
            },
        }
    }
}

fn run_job(connection: &Connection, job: &mut dyn Job) -> rusqlite::Result<JobEnd> {
    connection.execute_batch("SAVEPOINT job")?;
    let end = job.apply(connection)?;
    connection.execute_batch(match &end {
        JobEnd::Keep | JobEnd::KeepAndForgetRuns | JobEnd::KeepAndForget(_) => "RELEASE job",
        JobEnd::Undo => "ROLLBACK TO job; RELEASE job",
    })?;
    Ok(end)
}

/// Blobs stand before the row that names them, in the same transaction.
fn insert_blobs(connection: &Connection, run: i64, blobs: &[Blob]) -> rusqlite::Result<()> {
    for blob in blobs {
        connection
            .prepare_cached("INSERT OR IGNORE INTO blobs(digest, bytes) VALUES (?1, ?2)")?
            .execute(params![&blob.digest[..], blob.bytes])?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO blob_refs(digest, run) VALUES (?1, ?2)")?
            .execute(params![&blob.digest[..], run])?;
    }
    Ok(())
}

fn insert_documents(connection: &Connection, documents: &[Document]) -> rusqlite::Result<()> {
    for document in documents {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO documents(digest, kind, sum, bytes) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                document.digest,
                document.kind.name(),
                snapshot::sum(&document.bytes).to_vec(),
                document.bytes
            ])?;
    }
    Ok(())
}

/// A run that is not there yet, with all its rows. The first one begins it.
pub(crate) fn insert_whole(
    connection: &Connection,
    appends: &[Append],
    blobs: &[Blob],
    documents: &[Document],
    stand: &RunChange,
) -> rusqlite::Result<()> {
    let (Some(first), Some(last)) = (appends.first(), appends.last()) else { return Ok(()) };
    let Some(started @ Effect::RunStarted { workflow, .. }) = first.effects.first() else { return Ok(()) };
    insert_documents(connection, documents)?;
    let written = effect_apply::first_change();
    let run = effect_apply::insert_run(connection, None, started, first.at.0, &written)?;
    let mut head = Head {
        run,
        workflow: workflow.clone(),
        started_at: first.at.0,
        next_seq: 0,
        check: chain::genesis(&first.run_id),
        written,
    };
    insert_blobs(connection, run, blobs)?;
    for append in appends {
        head.started_at = effect_apply::began_at(head.started_at, &append.effects, append.at.0);
        let pos = insert_row(connection, &mut head, append)?;
        apply_effects(connection, &head, append, pos)?;
    }
    effect_apply::update_run(connection, run, last.at.0, signed(last.seq), stand)
}

fn insert_row(connection: &Connection, head: &mut Head, append: &Append) -> rusqlite::Result<i64> {
    let check = chain::link(&head.check, append.seq, append.at.0, append.events.as_bytes());
    // A place that was deleted is never given again: who follows the journal asks for what comes after the last one.
    connection
        .prepare_cached(
            "INSERT INTO journal(pos, run, seq, at, \"check\", events) VALUES (\
             1 + max(ifnull((SELECT max(pos) FROM journal), 0), \
             ifnull((SELECT number FROM deleted_up_to WHERE what = 'pos'), 0)), ?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![head.run, signed(append.seq), append.at.0, &check[..], append.events])?;
    head.check = check;
    head.next_seq = append.seq.saturating_add(append.count);
    Ok(connection.last_insert_rowid())
}

/// Other runs whose rows a row's effects may have changed: what is remembered of them may not hold any more.
fn concerned(connection: &Connection, run: i64, effects: &[Effect]) -> rusqlite::Result<Vec<String>> {
    let mut others = Vec::new();
    for effect in effects {
        match effect {
            Effect::ChildUnwanted { run_id, .. } => others.push(run_id.clone()),
            Effect::RunEnded { .. } | Effect::RunKilled => {
                others.extend(effect_apply::open_parent(connection, run)?);
            }
            _ => {}
        }
    }
    Ok(others)
}

fn apply_effects(connection: &Connection, head: &Head, append: &Append, pos: i64) -> rusqlite::Result<()> {
    let subject = Subject {
        run: head.run,
        workflow: &head.workflow,
        started_at: head.started_at,
        seq: signed(append.seq),
        pos,
        at: append.at.0,
    };
    append.effects.iter().try_for_each(|effect| effect_apply::apply(connection, &subject, effect))
}
