//! What the database file says, read without the program: runs, events, reviews, what agents left in the audit log.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// The file in a data directory.
const FILE_NAME: &str = "bandstand.db";

/// One event with when it was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Unix time in milliseconds.
    pub at: i64,
    /// The event, as it is stored.
    pub event: Value,
}

/// A connection that reads.
#[derive(Debug)]
pub struct Journal(Connection);

impl Journal {
    /// Opens the file of a data directory.
    ///
    /// # Panics
    /// When there is none.
    pub fn open(data: &Path) -> Journal {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(data.join(FILE_NAME), flags).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        Journal(connection)
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.0
    }

    /// Every run with its status, oldest first.
    pub fn runs(&self) -> Vec<(String, String)> {
        let mut select = self.0.prepare("SELECT run_id, status FROM runs ORDER BY id").unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    /// How a run stands; none: it is not there.
    pub fn status(&self, run_id: &str) -> Option<String> {
        self.runs().into_iter().find(|(id, _)| id == run_id).map(|(_, status)| status)
    }

    /// Everything that happened in a run.
    pub fn events(&self, run_id: &str) -> Vec<Row> {
        let text = "SELECT j.at, j.events FROM journal j JOIN runs r ON r.id = j.run WHERE r.run_id = ?1 ORDER BY j.seq";
        let mut select = self.0.prepare(text).unwrap();
        let rows = select.query_map([run_id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let mut events = Vec::new();
        for row in rows {
            let (at, text): (i64, String) = row.unwrap();
            let decided: Vec<Value> = serde_json::from_str(&text).unwrap();
            events.extend(decided.into_iter().map(|event| Row { at, event }));
        }
        events
    }

    /// The events of that type in a run.
    pub fn of_type(&self, run_id: &str, kind: &str) -> Vec<Row> {
        self.events(run_id).into_iter().filter(|row| row.event["type"] == kind).collect()
    }

    /// Reviews that nobody decided, as review id and run id.
    pub fn open_reviews(&self) -> Vec<(String, String)> {
        let text = "SELECT v.review_id, r.run_id FROM reviews v JOIN runs r ON r.id = v.run WHERE v.open = 1 ORDER BY v.review_id";
        let mut select = self.0.prepare(text).unwrap();
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    }

    /// How often agents appended to the audit log, by run id and path: a witness that the host cannot talk to.
    pub fn audit(&self) -> BTreeMap<(String, String), u64> {
        let mut select = self.0.prepare("SELECT thread, source FROM audit_events").unwrap();
        let rows =
            select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        let mut counts = BTreeMap::new();
        for row in rows {
            let (thread, source) = row.unwrap();
            let run_id = thread.strip_prefix("run:").unwrap().to_owned();
            *counts.entry((run_id, source)).or_default() += 1;
        }
        counts
    }

    /// What SQLite says about the file: `ok`.
    pub fn integrity(&self) -> String {
        self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
    }
}
