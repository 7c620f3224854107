//! Pages of the journal: one run's history, and everything in commit order for those who follow.

use bandstand_engine::event::Event;
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::codec::{self, DecodeError};
use crate::effect_apply::{signed, unsigned};
use crate::open_run::load_blob;
use crate::reader::{ReadError, Reader};
use crate::runs::PAGE_ROWS_MAX;
use crate::threads::ThreadKey;

/// A stretch of the journal is read up to this, and its last row to the end. Bytes.
const STRETCH_BYTES: usize = 512 << 10;

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    /// Its place in the journal: the `Last-Event-ID` of all runs.
    pub pos: i64,
    /// The run.
    pub run_id: String,
    /// Of its first event.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened, blobs back in their places.
    pub events: Vec<Event>,
}

/// A page of a run's history, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// The rows.
    pub rows: Vec<HistoryRow>,
    /// The `from_seq` of the next page; none: this is the last.
    pub next: Option<u64>,
}

const ROW: &str = "SELECT j.pos, r.run_id, j.seq, j.at, j.events FROM journal j JOIN runs r ON r.id = j.run";

impl Reader {
    /// A run's decisions from that event on, at most `limit` rows.
    ///
    /// # Errors
    /// When a row cannot be read; opening the run says more about damage.
    pub fn history(&self, run_id: &str, from_seq: u64, limit: u32) -> Result<HistoryPage, ReadError> {
        self.history_where(run_id, "j.seq >= ?2", from_seq, limit)
    }

    /// As [`history`](Reader::history), beginning with the decision that has that event.
    ///
    /// # Errors
    /// As [`history`](Reader::history).
    pub fn history_with(&self, run_id: &str, seq: u64, limit: u32) -> Result<HistoryPage, ReadError> {
        let with = "j.seq >= ifnull((SELECT max(seq) FROM journal WHERE run = ?1 AND seq <= ?2), 0)";
        self.history_where(run_id, with, seq, limit)
    }

    fn history_where(
        &self,
        run_id: &str,
        condition: &str,
        seq: u64,
        limit: u32,
    ) -> Result<HistoryPage, ReadError> {
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        self.read(|connection| {
            let known: Option<i64> = connection
                .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")
                .and_then(|mut statement| statement.query_row([run_id], |row| row.get(0)).optional())
                .map_err(|error| self.error(error))?;
            let run = known
                .ok_or_else(|| ReadError::NotFound(format!("there is no run {run_id} in this store")))?;
            let sql = format!("{ROW} WHERE j.run = ?1 AND {condition} ORDER BY j.seq LIMIT ?3");
            let rows = self.rows(connection, &sql, params![run, signed(seq), limit])?;
            let next = rows
                .last()
                .filter(|_| rows.len() == limit as usize)
                .map(|row: &HistoryRow| row.seq.saturating_add(row.events.len() as u64));
            Ok(HistoryPage { rows, next })
        })
    }

    /// How many events a run has.
    ///
    /// # Errors
    /// When there is no such run, or its last row cannot be read.
    pub fn event_count(&self, run_id: &str) -> Result<u64, ReadError> {
        let last = self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT j.seq, j.events FROM journal j JOIN runs r ON r.id = j.run WHERE r.run_id = ?1 \
                     ORDER BY j.seq DESC LIMIT 1",
                )?
                .query_row([run_id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
                .optional()
        })?;
        let (seq, text) =
            last.ok_or_else(|| ReadError::NotFound(format!("there is no run {run_id} in this store")))?;
        let count = codec::count(&text)
            .ok_or_else(|| ReadError::Damaged(format!("the last row of run {run_id} does not read")))?;
        Ok(unsigned(seq).saturating_add(count))
    }

    /// Every run's decisions after that place in the journal, in commit order, at most `limit` rows and about half a
    /// megabyte; whether there may be more.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn journal_after(&self, pos: i64, limit: u32) -> Result<(Vec<HistoryRow>, bool), ReadError> {
        let sql = format!("{ROW} WHERE j.pos > ?1 ORDER BY j.pos LIMIT ?2");
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        self.read(|connection| self.stretch(connection, &sql, params![pos, limit], limit))
    }

    /// As [`journal_after`](Reader::journal_after), of the runs of one thread.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn thread_journal_after(
        &self,
        key: &ThreadKey,
        pos: i64,
        limit: u32,
    ) -> Result<(Vec<HistoryRow>, bool), ReadError> {
        let sql = format!(
            "{ROW} WHERE r.thread_id = ?1 AND r.workflow = ?2 AND j.pos > ?3 ORDER BY j.pos LIMIT ?4"
        );
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        let parameters = params![key.thread_id, key.workflow, pos, limit];
        self.read(|connection| self.stretch(connection, &sql, parameters, limit))
    }

    /// The place of the next row after that one, whatever is in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn journal_pos_after(&self, pos: i64) -> Result<Option<i64>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT min(pos) FROM journal WHERE pos > ?1")?
                .query_row([pos], |row| row.get(0))
        })
    }

    /// The place of the last row that the journal ever had; 0 when it had none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn journal_end(&self) -> Result<i64, ReadError> {
        self.query(|connection| {
            connection.query_row(
                "SELECT max(ifnull((SELECT max(pos) FROM journal), 0), \
                 ifnull((SELECT number FROM deleted_up_to WHERE what = 'pos'), 0))",
                [],
                |row| row.get(0),
            )
        })
    }

    fn rows(
        &self,
        connection: &Connection,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<HistoryRow>, ReadError> {
        Ok(self.rows_within(connection, sql, parameters, usize::MAX)?.0)
    }

    /// Rows up to so many and so much, and whether there may be more.
    fn stretch(
        &self,
        connection: &Connection,
        sql: &str,
        parameters: impl rusqlite::Params,
        limit: u32,
    ) -> Result<(Vec<HistoryRow>, bool), ReadError> {
        let (rows, full) = self.rows_within(connection, sql, parameters, STRETCH_BYTES)?;
        let more = full || rows.len() >= limit as usize;
        Ok((rows, more))
    }

    /// Rows until there are so many bytes of them, and whether there were.
    fn rows_within(
        &self,
        connection: &Connection,
        sql: &str,
        parameters: impl rusqlite::Params,
        bytes_max: usize,
    ) -> Result<(Vec<HistoryRow>, bool), ReadError> {
        let mut bytes = 0;
        let mut statement = connection.prepare_cached(sql).map_err(|error| self.error(error))?;
        let mut rows = statement.query(parameters).map_err(|error| self.error(error))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            let (row, text) = bare_row(row).map_err(|error| self.error(error))?;
            bytes += text.len();
            let decoded = codec::decode(&text, |digest| {
                let blob = load_blob(connection, digest)?;
                bytes += blob.as_ref().map_or(0, Vec::len);
                Ok::<_, rusqlite::Error>(blob)
            });
            let events = decoded.map_err(|error| unreadable(&row, error))?;
            page.push(HistoryRow { events, ..row });
            if bytes >= bytes_max {
                return Ok((page, true));
            }
        }
        Ok((page, false))
    }
}

fn bare_row(row: &Row<'_>) -> rusqlite::Result<(HistoryRow, String)> {
    let text = String::from_utf8_lossy(row.get_ref(4)?.as_bytes().unwrap_or_default()).into_owned();
    let bare = HistoryRow {
        pos: row.get(0)?,
        run_id: row.get(1)?,
        seq: unsigned(row.get(2)?),
        at: Timestamp(row.get(3)?),
        events: Vec::new(),
    };
    Ok((bare, text))
}

pub(crate) fn unreadable(row: &HistoryRow, error: DecodeError) -> ReadError {
    let what = match error {
        DecodeError::NotEvents(what) | DecodeError::Blob(what) => what,
        DecodeError::Unknown(event, problem) => {
            format!("this host does not know its event `{event}` ({problem}); a newer host wrote it")
        }
    };
    ReadError::Damaged(format!("run {} cannot be read at event {}: {what}", row.run_id, row.seq))
}
