//! Runs as lists: what a starting host loads, what people page through, and ids by their beginnings.

use bandstand_engine::time::Timestamp;
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension, Row, params};

use crate::append::RunStatus;
use crate::effect_apply::unsigned;
use crate::reader::{ReadError, Reader};
use crate::threads::RunLease;
use crate::writer::REQUEST_KEPT_MS;

/// Rows of one page at most.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Candidates that an ambiguous id shows.
const CANDIDATES_MAX: usize = 5;

/// A run's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The author's version.
    pub version: u64,
    /// The thread.
    pub thread_id: Option<String>,
    /// The user.
    pub user_id: Option<String>,
    /// When it started; of one that is to begin later, when it was asked for.
    pub started_at: Timestamp,
    /// When it is to begin, if it has not.
    pub starts_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub status: RunStatus,
    /// The latest stage.
    pub stage: Option<String>,
    /// Why owed commands are not started; of a run that is stuck, what is wrong.
    pub held: Option<String>,
    /// Whether commands are owed.
    pub owed: bool,
    /// When it must next be looked at.
    pub next_deadline: Option<Timestamp>,
    /// The run whose attempt it is.
    pub parent: Option<String>,
    /// How it stands to its thread, if it may write that and has not ended.
    pub lease: Option<RunLease>,
}

/// Which runs; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Any of these; empty: all.
    pub statuses: Vec<RunStatus>,
    /// Of that workflow.
    pub workflow: Option<String>,
    /// Of that thread.
    pub thread_id: Option<String>,
    /// For that user.
    pub user_id: Option<String>,
    /// Child runs, too; else only runs that were started for themselves.
    pub children_too: bool,
    /// Started then or later.
    pub since: Option<Timestamp>,
    /// Started before then.
    pub until: Option<Timestamp>,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPage {
    /// The rows.
    pub runs: Vec<RunRow>,
    /// Where the next page begins; none: this is the last.
    pub next: Option<String>,
}

/// Why a beginning of an id names no run.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None begins so.
    #[error("no run's id begins with `{0}`; `bandstand runs list` shows what there is")]
    Unknown(String),
    /// Several do.
    #[error("`{prefix}` is the beginning of several runs' ids: {}; write more of it", candidates.join(", "))]
    Ambiguous {
        /// What was asked.
        prefix: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

const COLUMNS: &str = "run_id, workflow, version, thread_id, user_id, started_at, ended_at, status, stage, held, owed, next_deadline, id, \
     (SELECT from_run FROM run_links l WHERE l.run = runs.id AND l.kind = 'child'), \
     (SELECT l.held FROM thread_leases l WHERE l.run = runs.id), \
     (SELECT w.run_id FROM thread_leases l JOIN thread_leases o ON o.workflow = l.workflow AND o.thread_id = l.thread_id \
     JOIN runs w ON w.id = o.run WHERE l.run = runs.id AND l.held = 0 AND o.held = 1), starts_at";

impl Reader {
    /// How many runs that have not ended stand how. Costs a look at the index of those.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn active_run_counts(&self) -> Result<Vec<(RunStatus, u64)>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT status, count(*) FROM runs WHERE status IN ('running', 'waiting', 'paused', 'stuck') \
                     GROUP BY status",
                )?
                .query_map([], |row| {
                    let status: String = row.get(0)?;
                    let status = RunStatus::from_name(&status).unwrap_or(RunStatus::Stuck);
                    Ok((status, unsigned(row.get(1)?)))
                })?
                .collect()
        })
    }

    /// Runs with owed commands, oldest first: what a starting host carries on. `after` is the last one of the former page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn owed_runs(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, ReadError> {
        self.query(|connection| {
            let after: i64 = match after {
                None => 0,
                Some(run_id) => connection
                    .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")?
                    .query_row([run_id], |row| row.get(0))
                    .optional()?
                    .unwrap_or(0),
            };
            connection
                .prepare_cached("SELECT run_id FROM runs WHERE owed = 1 AND id > ?1 ORDER BY id LIMIT ?2")?
                .query_map(params![after, limit.min(PAGE_ROWS_MAX)], |row| row.get(0))?
                .collect()
        })
    }

    /// Runs to be looked at up to that time, earliest first, at most `limit` (a window is 1,000).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deadlines_before(
        &self,
        time: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, Timestamp)>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT run_id, next_deadline FROM runs WHERE next_deadline IS NOT NULL AND next_deadline <= ?1 \
                     ORDER BY next_deadline, id LIMIT ?2",
                )?
                .query_map(params![time.0, limit.min(PAGE_ROWS_MAX)], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?
                .collect()
        })
    }

    /// One run's row.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn run(&self, run_id: &str) -> Result<Option<RunRow>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE run_id = ?1"))?
                .query_row([run_id], run_row)
                .optional()
        })
    }

    /// A page of runs, newest first. `cursor` is the `next` of the page before.
    ///
    /// # Errors
    /// When the cursor is not one, or the file cannot be read.
    pub fn runs(&self, filter: &RunFilter, cursor: Option<&str>, limit: u32) -> Result<RunPage, ReadError> {
        let before: i64 = match cursor {
            None => i64::MAX,
            Some(text) => text.parse().map_err(|_| ReadError::BadCursor(text.to_owned()))?,
        };
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        // One look at all of it: a run that changes its status in between must not be missed.
        let mut found = self.query(|connection| {
            let (mut after, mut before) = (0_i64, before);
            // Numbers grow with times but for runs that were imported or began later than asked for, so the times give a range
            // of numbers, in which each run is then looked at.
            if let Some(since) = filter.since {
                after = connection
                    .prepare_cached(
                        "SELECT ifnull(min(id), ?2) FROM runs INDEXED BY runs_started WHERE started_at >= ?1",
                    )?
                    .query_row(params![since.0, i64::MAX], |row| row.get(0))?;
            }
            if let Some(until) = filter.until {
                let last: i64 = connection
                    .prepare_cached(
                        "SELECT ifnull(max(id), 0) FROM runs INDEXED BY runs_started WHERE started_at < ?1",
                    )?
                    .query_row([until.0], |row| row.get(0))?;
                before = before.min(last.saturating_add(1));
            }
            let mut found: Vec<(i64, RunRow)> = Vec::new();
            // One status at a time: each is a walk along an index in the right order, several together would be sorted.
            let statuses = filter.statuses.iter().map(Some).collect::<Vec<_>>();
            for status in if statuses.is_empty() { vec![None] } else { statuses } {
                let (sql, values) = page_of(filter, status.copied(), (after, before), limit);
                let mut statement = connection.prepare_cached(&sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(&values))?;
                while let Some(row) = rows.next()? {
                    found.push((row.get(12)?, run_row(row)?));
                }
            }
            Ok(found)
        })?;
        let mut page = RunPage::default();
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.dedup_by_key(|(number, _)| *number);
        found.truncate(limit as usize);
        page.next = found.last().filter(|_| found.len() == limit as usize).map(|(last, _)| last.to_string());
        page.runs = found.into_iter().map(|(_, run)| run).collect();
        Ok(page)
    }

    /// How SQLite goes about a list of runs, a line for each step: a test holds it against the indices.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[doc(hidden)]
    pub fn explain_runs(&self, filter: &RunFilter) -> Result<Vec<String>, ReadError> {
        let (sql, values) = page_of(filter, filter.statuses.first().copied(), (0, i64::MAX), 50);
        let explained = |sql: String, values: Vec<Sql>| {
            self.query(|connection| {
                connection
                    .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?
                    .query_map(rusqlite::params_from_iter(&values), |row| row.get::<_, String>(3))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
        };
        let mut lines = explained(sql, values)?;
        if let Some(since) = filter.since {
            let range = "SELECT ifnull(min(id), 0) FROM runs INDEXED BY runs_started WHERE started_at >= ?"
                .to_owned();
            lines.extend(explained(range, vec![Sql::from(since.0)])?);
        }
        Ok(lines)
    }

    /// The one run whose id begins so.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find_run(&self, prefix: &str) -> Result<String, FindError> {
        let found: Vec<String> = self.query(|connection| {
            // A range, so that the index serves it; ids are ASCII and end below `\u{7f}`.
            connection
                .prepare_cached("SELECT run_id FROM runs WHERE run_id >= ?1 AND run_id < ?1 || char(127) ORDER BY run_id LIMIT ?2")?
                .query_map(params![prefix, CANDIDATES_MAX as u32 + 1], |row| row.get(0))?
                .collect()
        })?;
        let whole = found.first().is_some_and(|run_id| run_id == prefix);
        match found.len() {
            0 => Err(FindError::Unknown(prefix.to_owned())),
            1 => Ok(found.into_iter().next().unwrap_or_default()),
            _ if whole => Ok(prefix.to_owned()),
            _ => {
                let candidates = found.into_iter().take(CANDIDATES_MAX).collect();
                Err(FindError::Ambiguous { prefix: prefix.to_owned(), candidates })
            }
        }
    }

    /// The run that this request began within the last day.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request(&self, key: &str, now: Timestamp) -> Result<Option<String>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT answer FROM requests WHERE key = ?1 AND at >= ?2")?
                .query_row(params![key, now.0.saturating_sub(REQUEST_KEPT_MS)], |row| row.get(0))
                .optional()
        })
    }

    /// How many runs have each status.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn run_counts(&self) -> Result<Vec<(RunStatus, u64)>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status")?
                .query_map([], |row| Ok((status(row.get(0)?), unsigned(row.get(1)?))))?
                .collect()
        })
    }
}

/// The statement for a page, and its values. Of the columns that are asked for, the one that leaves the fewest runs gives the
/// index; a `+` keeps the others from it, since without statistics SQLite would take any.
fn page_of(
    filter: &RunFilter,
    status: Option<RunStatus>,
    (after, before): (i64, i64),
    limit: u32,
) -> (String, Vec<Sql>) {
    let status_name = status.map(|status| status.name().to_owned());
    // Most runs have ended well; of other statuses there are few.
    let rare = status_name.clone().filter(|_| status != Some(RunStatus::Succeeded));
    let common = status_name.filter(|_| status == Some(RunStatus::Succeeded));
    let mut conditions = vec!["id >= ?".to_owned(), "id < ?".to_owned()];
    let mut values = vec![Sql::from(after), Sql::from(before)];
    let mut first = true;
    for (column, wanted) in [
        ("thread_id", &filter.thread_id),
        ("user_id", &filter.user_id),
        ("status", &rare),
        ("workflow", &filter.workflow),
        ("status", &common),
    ] {
        if let Some(wanted) = wanted {
            conditions.push(format!("{}{column} = ?", if first { "" } else { "+" }));
            values.push(Sql::from(wanted.clone()));
            first = false;
        }
    }
    for (condition, bound) in [("+started_at >= ?", filter.since), ("+started_at < ?", filter.until)] {
        if let Some(bound) = bound {
            conditions.push(condition.to_owned());
            values.push(Sql::from(bound.0));
        }
    }
    if !filter.children_too {
        conditions.push(
            "NOT EXISTS (SELECT 1 FROM run_links l WHERE l.run = runs.id AND l.kind = 'child')".to_owned(),
        );
    }
    values.push(Sql::from(i64::from(limit)));
    let sql =
        format!("SELECT {COLUMNS} FROM runs WHERE {} ORDER BY id DESC LIMIT ?", conditions.join(" AND "));
    (sql, values)
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        run_id: row.get(0)?,
        workflow: row.get(1)?,
        version: unsigned(row.get(2)?),
        thread_id: row.get(3)?,
        user_id: row.get(4)?,
        started_at: Timestamp(row.get(5)?),
        // Of one that ended before it began it says no more than that.
        starts_at: match row.get::<_, Option<i64>>(6)? {
            None => row.get::<_, Option<i64>>(16)?.map(Timestamp),
            Some(_) => None,
        },
        ended_at: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        status: status(row.get(7)?),
        stage: row.get(8)?,
        held: row.get(9)?,
        owed: row.get(10)?,
        next_deadline: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        parent: row.get(13)?,
        lease: match row.get::<_, Option<bool>>(14)? {
            None => None,
            Some(true) => Some(RunLease::Held),
            Some(false) => Some(RunLease::Queued { behind: row.get(15)? }),
        },
    })
}

/// A word that this host does not know was written by a newer one: it cannot go on with that run.
fn status(name: String) -> RunStatus {
    RunStatus::from_name(&name).unwrap_or(RunStatus::Stuck)
}
