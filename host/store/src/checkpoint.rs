//! Moving SQLite's log into the file, off the commit path, and looking at the disk: a helper thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::place;
use crate::store::Shared;

/// How often the log is moved.
const EVERY: Duration = Duration::from_millis(100);
/// How often free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);

/// Frames in the log and how many of them are in the file already; the log starts again when the two are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(crate) log: u64,
    pub(crate) moved: u64,
}

/// One WAL checkpoint of that kind. It waits for nobody; what it cannot move now it leaves. `None`: another one was
/// under way, so nothing is known.
pub(crate) fn run(connection: &Connection, kind: &str) -> rusqlite::Result<Option<Frames>> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |row| {
        let busy: i64 = row.get(0)?;
        let (log, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        // A restart that nobody hindered leaves an empty log behind, though it tells the length it had.
        let restarted = busy == 0 && kind != "PASSIVE";
        if restarted {
            return Ok(Some(Frames::default()));
        }
        let counted = u64::try_from(log).ok().zip(u64::try_from(moved).ok());
        Ok(counted.map(|(log, moved)| Frames { log, moved }))
    })
}

/// Works until the store is closed: the sender is dropped.
pub(crate) fn work(connection: Connection, shared: Arc<Shared>, closed: Receiver<()>) {
    let mut commits = u64::MAX;
    let mut looked: Option<Instant> = None;
    while let Err(RecvTimeoutError::Timeout) = closed.recv_timeout(EVERY) {
        if looked.is_none_or(|at| at.elapsed() >= SPACE_EVERY) {
            looked = Some(Instant::now());
            if let Ok(free) = place::free_bytes(&shared.directory) {
                shared.free_bytes_are(free);
            }
        }
        // An idle store is left alone once its log is in the file.
        let now = shared.commits();
        if now == commits && shared.log_is_moved() {
            continue;
        }
        commits = now;
        match run(&connection, "PASSIVE") {
            Ok(frames) => frames.into_iter().for_each(|frames| shared.log_is(frames)),
            Err(error) => tracing::warn!(%error, "the log cannot be moved into the file now"),
        }
    }
}
