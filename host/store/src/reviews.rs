//! The inbox: reviews that wait, earliest deadline first, and one review with its history.

use bandstand_engine::event::{Event, ReviewAnswered, ReviewOpened};
use bandstand_engine::time::Timestamp;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::codec;
use crate::effect_apply::unsigned;
use crate::history::{HistoryRow, unreadable};
use crate::open_run::load_blob;
use crate::reader::{ReadError, Reader};

/// Rows of one page at most: the whole inbox of R2.7.
pub const REVIEWS_PAGE_MAX: u32 = 10_000;
/// Candidates that an ambiguous id shows.
const CANDIDATES_MAX: u32 = 5;

/// A review as the inbox shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRow {
    /// Its id.
    pub review_id: String,
    /// The run it stops.
    pub run_id: String,
    /// The run's workflow.
    pub workflow: String,
    /// The visit that waits.
    pub path: String,
    /// Of a child run: its parent, and the attempt of it that it is, `PATH#ATTEMPT`.
    pub parent: Option<(String, String)>,
    /// One line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// `node` or `agent`.
    pub asked_by: String,
    /// `user:ID` or `group:ID`; empty: anybody.
    pub reviewers: Vec<String>,
    /// Approvals needed.
    pub quorum: u32,
    /// Approvals so far.
    pub approvals: u32,
    /// Since when it waits.
    pub opened_at: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// What happens then.
    pub on_timeout: String,
    /// Whether it still waits.
    pub open: bool,
    /// How it ended: `approved`, `rejected`, `expired` or `withdrawn`.
    pub outcome: Option<String>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
}

/// Which reviews; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewFilter {
    /// Closed ones too.
    pub closed_too: bool,
    /// Of that workflow.
    pub workflow: Option<String>,
    /// Of that run.
    pub run_id: Option<String>,
}

/// A review with what it proposes and every answer (R2.3).
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewDetail {
    /// As in the inbox.
    pub row: ReviewRow,
    /// What is proposed, and the form.
    pub opened: ReviewOpened,
    /// The answers, oldest first.
    pub answers: Vec<ReviewAnswered>,
}

const COLUMNS: &str = "v.review_id, r.run_id, v.workflow, v.path, v.title, v.reason, v.asked_by, v.reviewers, v.quorum, v.approvals, \
     v.opened_at, v.deadline, v.on_timeout, v.open, v.outcome, v.closed_at, v.run, v.seq, \
     (SELECT l.from_run FROM run_links l WHERE l.run = v.run AND l.kind = 'child'), \
     (SELECT l.path FROM run_links l WHERE l.run = v.run AND l.kind = 'child')";

impl Reader {
    /// Reviews, earliest deadline first, at most `limit`; `after` is deadline and id of the last one of the former page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reviews(
        &self,
        filter: &ReviewFilter,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<ReviewRow>, ReadError> {
        let mut conditions = Vec::new();
        let mut values: Vec<Sql> = Vec::new();
        if !filter.closed_too {
            conditions.push("v.open = 1");
        }
        if let Some(workflow) = &filter.workflow {
            conditions.push("v.workflow = ?");
            values.push(workflow.clone().into());
        }
        if let Some(run_id) = &filter.run_id {
            conditions.push("v.run = (SELECT id FROM runs WHERE run_id = ?)");
            values.push(run_id.clone().into());
        }
        if let Some((deadline, review_id)) = after {
            conditions.push("(v.deadline, v.review_id) > (?, ?)");
            values.extend([Sql::from(deadline.0), review_id.to_owned().into()]);
        }
        if conditions.is_empty() {
            conditions.push("true");
        }
        values.push(i64::from(limit.clamp(1, REVIEWS_PAGE_MAX)).into());
        let sql = format!(
            "SELECT {COLUMNS} FROM reviews v JOIN runs r ON r.id = v.run WHERE {} ORDER BY v.deadline, v.review_id LIMIT ?",
            conditions.join(" AND ")
        );
        self.query(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(rusqlite::params_from_iter(values), |row| Ok(review_row(row)?.0))?
                .collect()
        })
    }

    /// How many reviews wait, by workflow.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_review_counts(&self) -> Result<Vec<(String, u64)>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT workflow, count(*) FROM reviews WHERE open = 1 GROUP BY workflow")?
                .query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?
                .collect()
        })
    }

    /// How many reviews wait.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_review_count(&self) -> Result<u64, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM reviews WHERE open = 1")?
                .query_row([], |row| Ok(unsigned(row.get(0)?)))
        })
    }

    /// One review, by its id or a beginning that no other review shares.
    ///
    /// # Errors
    /// When none or several begin so, or its events cannot be read.
    pub fn review(&self, prefix: &str) -> Result<ReviewDetail, ReadError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM reviews v JOIN runs r ON r.id = v.run \
                 WHERE v.review_id >= ?1 AND v.review_id < ?1 || char(127) ORDER BY v.review_id LIMIT ?2"
            );
            let found: Vec<(ReviewRow, i64, i64)> = connection
                .prepare_cached(&sql)
                .and_then(|mut statement| {
                    statement.query_map(params![prefix, CANDIDATES_MAX], review_row)?.collect()
                })
                .map_err(|error| self.error(error))?;
            let whole = found.iter().position(|(row, _, _)| row.review_id == prefix);
            let index = match (found.len(), whole) {
                (0, _) => {
                    let message =
                        format!("there is no review `{prefix}`; `bandstand review list` shows what waits");
                    return Err(ReadError::NotFound(message));
                }
                (_, Some(index)) => index,
                (1, None) => 0,
                (_, None) => {
                    let ids: Vec<&str> = found.iter().map(|(row, _, _)| row.review_id.as_str()).collect();
                    let message = format!(
                        "`{prefix}` is the beginning of several reviews' ids: {}; write more of it",
                        ids.join(", ")
                    );
                    return Err(ReadError::NotFound(message));
                }
            };
            let (row, run, seq) =
                found.into_iter().nth(index).ok_or_else(|| ReadError::NotFound(prefix.to_owned()))?;
            self.detail(connection, row, run, seq)
        })
    }

    fn detail(
        &self,
        connection: &Connection,
        row: ReviewRow,
        run: i64,
        seq: i64,
    ) -> Result<ReviewDetail, ReadError> {
        let seqs: Vec<i64> = connection
            .prepare_cached("SELECT seq FROM review_answers WHERE review_id = ?1 ORDER BY seq")
            .and_then(|mut statement| statement.query_map([&row.review_id], |row| row.get(0))?.collect())
            .map_err(|error| self.error(error))?;
        let opened =
            self.events(connection, &row.run_id, run, seq)?.into_iter().find_map(|event| match event {
                Event::ReviewOpened(opened) if opened.review_id == row.review_id => Some(*opened),
                _ => None,
            });
        let mut answers = Vec::new();
        for seq in seqs {
            answers.extend(self.events(connection, &row.run_id, run, seq)?.into_iter().filter_map(|event| {
                match event {
                    Event::ReviewAnswered(answer) if answer.review_id == row.review_id => Some(*answer),
                    _ => None,
                }
            }));
        }
        let opened = opened.ok_or_else(|| {
            ReadError::Damaged(format!(
                "review {} of run {} is not where the index says",
                row.review_id, row.run_id
            ))
        })?;
        Ok(ReviewDetail { row, opened, answers })
    }

    /// The events of one row.
    fn events(
        &self,
        connection: &Connection,
        run_id: &str,
        run: i64,
        seq: i64,
    ) -> Result<Vec<Event>, ReadError> {
        let text: Option<Vec<u8>> = connection
            .prepare_cached("SELECT events FROM journal WHERE run = ?1 AND seq = ?2")
            .and_then(|mut statement| {
                let bytes = |row: &Row<'_>| Ok(row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec());
                statement.query_row([run, seq], bytes).optional()
            })
            .map_err(|error| self.error(error))?;
        let row = HistoryRow {
            pos: 0,
            run_id: run_id.to_owned(),
            seq: unsigned(seq),
            at: Timestamp(0),
            events: Vec::new(),
        };
        let text = text.ok_or_else(|| {
            ReadError::Damaged(format!("run {run_id} is damaged: the row of event {seq} is missing"))
        })?;
        codec::decode(&String::from_utf8_lossy(&text), |digest| load_blob(connection, digest))
            .map_err(|error| unreadable(&row, error))
    }
}

fn review_row(row: &Row<'_>) -> rusqlite::Result<(ReviewRow, i64, i64)> {
    let reviewers = row.get_ref(7)?.as_str().unwrap_or_default();
    let review = ReviewRow {
        review_id: row.get(0)?,
        run_id: row.get(1)?,
        workflow: row.get(2)?,
        path: row.get(3)?,
        parent: row.get::<_, Option<String>>(18)?.zip(row.get::<_, Option<String>>(19)?),
        title: row.get(4)?,
        reason: row.get(5)?,
        asked_by: row.get(6)?,
        reviewers: serde_json::from_str(reviewers).unwrap_or_default(),
        quorum: row.get(8)?,
        approvals: row.get(9)?,
        opened_at: Timestamp(row.get(10)?),
        deadline: Timestamp(row.get(11)?),
        on_timeout: row.get(12)?,
        open: row.get(13)?,
        outcome: row.get(14)?,
        closed_at: row.get::<_, Option<i64>>(15)?.map(Timestamp),
    };
    Ok((review, row.get(16)?, row.get(17)?))
}
