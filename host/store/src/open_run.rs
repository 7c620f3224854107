//! Opening a run again: what it pins, its latest snapshot and the rows since, checked link by link. Damage stops that
//! run, by name, and no other.

use std::collections::BTreeMap;

use bandstand_engine::Id;
use bandstand_engine::event::{ChildPins, Event, PluginPin, WorkflowPin};
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::chain::{self, Check};
use crate::codec::{self, DecodeError};
use crate::effect_apply::{signed, unsigned};
use crate::reader::{ReadError, Reader};
use crate::snapshot;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the latest snapshot, if there is one.
    Snapshot,
    /// At the first row: when the snapshot was written by a host that this one does not understand.
    Start,
}

/// A run as stored: enough to fold it.
#[derive(Clone, Debug)]
pub struct OpenedRun {
    /// Its id.
    pub run_id: String,
    /// What it pins.
    pub pins: Pins,
    /// Where to begin; none: at the first event.
    pub snapshot: Option<StoredSnapshot>,
    /// Every event since, with the time of its row. Blobs are back in their places.
    pub tail: Vec<(Timestamp, Event)>,
    /// Where in the tail each row begins.
    pub tail_rows: Vec<usize>,
    /// How many bytes the rows of the tail have in the journal.
    pub tail_bytes: u64,
    /// How many events the run has: the `seq` of its next append.
    pub next_seq: u64,
}

/// What a run pins, with its texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pins {
    /// Name, version and digests.
    pub workflow: WorkflowPin,
    /// Plugins by digest; their bytes are the caller's.
    pub plugins: BTreeMap<Id, PluginPin>,
    /// What its child runs use, likewise.
    pub children: BTreeMap<Id, ChildPins>,
    /// The workflow file's text, if it was kept.
    pub source: Option<String>,
    /// The checked graph's canonical JSON, if it was kept.
    pub graph: Option<String>,
}

/// A run's state as the engine wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// How many events it holds.
    pub seq: u64,
    /// The engine's bytes.
    pub bytes: Vec<u8>,
}

/// Why a run cannot be opened. Other runs are not concerned.
#[derive(Debug, thiserror::Error)]
pub enum OpenRunError {
    /// There is no such run.
    #[error("there is no run {0} in this store; `bandstand runs list` shows what there is")]
    Unknown(String),
    /// A row is damaged, missing or swapped.
    #[error(
        "run {run_id} is damaged at event {seq}: {what}; the host leaves it alone and goes on with the others"
    )]
    Damaged {
        /// The run.
        run_id: String,
        /// The first event that cannot be trusted.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer host.
    #[error(
        "run {run_id} has an event this host does not know, `{event}` in the row of event {seq}: {problem}; use the newer host that wrote it"
    )]
    NewerJournal {
        /// The run.
        run_id: String,
        /// The row's first event.
        seq: u64,
        /// The event's type.
        event: String,
        /// What the parser said.
        problem: String,
    },
    /// It could not be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Reader {
    /// Everything needed to go on with a run.
    ///
    /// # Errors
    /// When there is no such run, or its rows cannot be trusted or understood.
    pub fn open_run(&self, run_id: &str, from: From) -> Result<OpenedRun, OpenRunError> {
        self.read(|connection| Opening { reader: self, connection, run_id }.open(from))
    }
}

/// A row of the journal as it stands.
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    check: Vec<u8>,
    pub(crate) events: Vec<u8>,
}

/// One look at a run's part of the file.
pub(crate) struct Opening<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) connection: &'a Connection,
    pub(crate) run_id: &'a str,
}

impl Opening<'_> {
    /// The run's number, and the first event of its last row.
    pub(crate) fn find(&self) -> Result<(i64, u64), OpenRunError> {
        let found: Option<(i64, i64)> = self.sql(|connection| {
            connection
                .prepare_cached("SELECT id, head_seq FROM runs WHERE run_id = ?1")?
                .query_row([self.run_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })?;
        let (run, head_seq) = found.ok_or_else(|| OpenRunError::Unknown(self.run_id.to_owned()))?;
        Ok((run, unsigned(head_seq)))
    }

    /// What the run pins, by its first row.
    pub(crate) fn pinned(&self, run: i64) -> Result<Pins, OpenRunError> {
        let first = self
            .rows(run, 0, Some(0), u32::MAX)?
            .pop()
            .ok_or_else(|| self.damaged(0, "its first row is missing"))?;
        // What it pins is no large value: those are read when they are needed.
        let (_, text) = self.linked(&chain::genesis(self.run_id), 0, &first)?;
        let first_events = codec::parse(text).map_err(|error| self.unreadable(0, error))?;
        self.pins(&first_events)
    }

    fn open(&self, from: From) -> Result<OpenedRun, OpenRunError> {
        let (run, head_seq) = self.find()?;
        let genesis = chain::genesis(self.run_id);
        let pins = self.pinned(run)?;
        let snapshot = match from {
            From::Snapshot => self.sql(|connection| snapshot::load(connection, run))?,
            From::Start => None,
        };
        let (mut check, mut next_seq) =
            snapshot.as_ref().map_or((genesis, 0), |(kept, check)| (*check, kept.seq));
        let mut tail = Vec::new();
        let mut tail_rows = Vec::new();
        let (mut last_row, mut tail_bytes) = (None, 0_u64);
        for row in self.rows(run, next_seq, None, u32::MAX)? {
            let (link, events) = self.checked(&check, next_seq, &row, |_| ())?;
            check = link;
            last_row = Some(row.seq);
            tail_bytes = tail_bytes.saturating_add(row.events.len() as u64);
            next_seq = next_seq.saturating_add(events.len() as u64);
            tail_rows.push(tail.len());
            tail.extend(events.into_iter().map(|event| (Timestamp(row.at), event)));
        }
        let seen = last_row.unwrap_or_else(|| next_seq.saturating_sub(1));
        if seen < head_seq {
            return Err(self.cut_short(next_seq, head_seq));
        }
        let snapshot = snapshot.map(|(kept, _)| kept);
        Ok(OpenedRun {
            run_id: self.run_id.to_owned(),
            pins,
            snapshot,
            tail,
            tail_rows,
            tail_bytes,
            next_seq,
        })
    }

    /// The rows that begin there or later, at most `limit`.
    pub(crate) fn rows(
        &self,
        run: i64,
        from: u64,
        to: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Row>, OpenRunError> {
        let to = to.map_or(i64::MAX, signed);
        self.sql(|connection| {
            connection
                .prepare_cached(
                    "SELECT seq, at, \"check\", events FROM journal WHERE run = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq \
                     LIMIT ?4",
                )?
                .query_map(params![run, signed(from), to, limit], |row| {
                    Ok(Row {
                        seq: unsigned(row.get(0)?),
                        at: row.get(1)?,
                        check: row.get(2)?,
                        events: row.get_ref(3)?.as_bytes().unwrap_or_default().to_vec(),
                    })
                })?
                .collect()
        })
    }

    /// The row's link and events, if it follows from `previous`. `loaded` hears the bytes of each large value.
    pub(crate) fn checked(
        &self,
        previous: &Check,
        seq: u64,
        row: &Row,
        mut loaded: impl FnMut(usize),
    ) -> Result<(Check, Vec<Event>), OpenRunError> {
        let (check, text) = self.linked(previous, seq, row)?;
        let load = |digest: &[u8; 32]| {
            let bytes = load_blob(self.connection, digest)?;
            loaded(bytes.as_ref().map_or(0, Vec::len));
            Ok::<_, rusqlite::Error>(bytes)
        };
        let events = codec::decode(text, load).map_err(|error| self.unreadable(seq, error))?;
        Ok((check, events))
    }

    /// The row's link and text, if it follows from `previous`.
    fn linked<'r>(&self, previous: &Check, seq: u64, row: &'r Row) -> Result<(Check, &'r str), OpenRunError> {
        if row.seq != seq {
            return Err(
                self.damaged(seq, &format!("a row is missing: the next one begins at event {}", row.seq))
            );
        }
        let check = chain::link(previous, row.seq, row.at, &row.events);
        if check[..] != row.check[..] {
            return Err(self.damaged(seq, "the row's check does not follow from the rows before it"));
        }
        let text = std::str::from_utf8(&row.events).map_err(|_| self.damaged(seq, "the row is not text"))?;
        Ok((check, text))
    }

    fn unreadable(&self, seq: u64, error: DecodeError) -> OpenRunError {
        match error {
            // The check holds, so some host wrote it just so.
            DecodeError::Unknown(event, problem) => {
                OpenRunError::NewerJournal { run_id: self.run_id.to_owned(), seq, event, problem }
            }
            DecodeError::NotEvents(what) | DecodeError::Blob(what) => self.damaged(seq, &what),
        }
    }

    fn pins(&self, first: &[Event]) -> Result<Pins, OpenRunError> {
        let Some(Event::RunStarted(started)) = first.first() else {
            return Err(self.damaged(0, "its first event is not run.started"));
        };
        let text = |digest: &str| -> Result<Option<String>, OpenRunError> {
            let found: Option<(Vec<u8>, Vec<u8>)> = self.sql(|connection| {
                connection
                    .prepare_cached("SELECT sum, bytes FROM documents WHERE digest = ?1")?
                    .query_row([digest], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })?;
            let Some((sum, bytes)) = found else { return Ok(None) };
            if snapshot::sum(&bytes)[..] != sum[..] {
                return Err(self.damaged(0, &format!("document {digest}, which it pins, is damaged")));
            }
            let text = String::from_utf8(bytes);
            text.map(Some).map_err(|_| self.damaged(0, &format!("document {digest} is not text")))
        };
        Ok(Pins {
            source: text(&started.workflow.source)?,
            graph: text(&started.workflow.graph)?,
            workflow: started.workflow.clone(),
            plugins: started.plugins.clone(),
            children: started.children.clone(),
        })
    }

    fn sql<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OpenRunError> {
        read(self.connection).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => self.damaged(0, &error.to_string()),
            _ => OpenRunError::Read(self.reader.error(error)),
        })
    }

    /// The journal ends before its last row.
    pub(crate) fn cut_short(&self, next_seq: u64, head_seq: u64) -> OpenRunError {
        self.damaged(next_seq, &format!("the rows from here to event {head_seq} are missing"))
    }

    fn damaged(&self, seq: u64, what: &str) -> OpenRunError {
        OpenRunError::Damaged { run_id: self.run_id.to_owned(), seq, what: what.to_owned() }
    }
}

/// A blob's bytes.
pub(crate) fn load_blob(connection: &Connection, digest: &[u8; 32]) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT bytes FROM blobs WHERE digest = ?1")?
        .query_row([&digest[..]], |row| row.get(0))
        .optional()
}
