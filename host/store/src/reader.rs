//! Reading: own read-only connections, so that no reader waits for the writer nor the writer for a reader. Each read
//! has a longest time, because an open read keeps the log from starting again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, ErrorCode};

use crate::FILE_NAME;
use crate::open::{self, OpenError, Options};

/// Idle connections that are kept. A new one reads the whole schema and knows no statement yet.
const IDLE_MAX: usize = 16;
/// Instructions of SQLite's machine between two looks at the clock.
const STEPS_BETWEEN_LOOKS: std::ffi::c_int = 10_000;

/// The reading side of a store, of this process's host or another's. Cheap to clone; calls block, briefly.
#[derive(Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    options: Options,
    idle: Mutex<Idle>,
    deletions: AtomicU64,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    closed: bool,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It took too long.
    #[error(
        "reading took longer than `store.read-time` = {time_ms_max} ms and was given up; ask for less at a time"
    )]
    TooSlow {
        /// The limit.
        time_ms_max: u128,
    },
    /// A cursor that this host did not give.
    #[error("`{0}` is not a cursor of this list; begin without one")]
    BadCursor(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// What was read is damaged; no other run is.
    #[error("{0}")]
    Damaged(String),
    /// SQLite.
    #[error("the store cannot be read: {0}")]
    Sqlite(rusqlite::Error),
}

impl Reader {
    /// Opens an existing store for reading only. It may have a host, or none.
    ///
    /// # Errors
    /// When there is no store, or not one that this host reads.
    pub fn open(directory: &Path) -> Result<Reader, OpenError> {
        Reader::open_with(directory, &Options::default())
    }

    pub(crate) fn open_with(directory: &Path, options: &Options) -> Result<Reader, OpenError> {
        let path = directory.join(FILE_NAME);
        let first = open::reader(&path, options)?;
        let idle = Mutex::new(Idle { connections: vec![first], closed: false });
        Ok(Reader {
            pool: Arc::new(Pool { path, options: options.clone(), idle, deletions: AtomicU64::new(0) }),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.pool.path
    }

    pub(crate) fn options(&self) -> &Options {
        &self.pool.options
    }

    /// Counts how often runs were deleted through this store since it was opened: whoever keeps what it read looks at it.
    pub fn deletions(&self) -> u64 {
        self.pool.deletions.load(Ordering::Acquire)
    }

    pub(crate) fn count_deletion(&self) {
        self.pool.deletions.fetch_add(1, Ordering::Release);
    }

    /// Closes the idle connections, and the others when they are given back.
    pub(crate) fn close(&self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.closed = true;
        idle.connections.clear();
    }

    /// Reads with one connection, in one transaction: everything `read` sees is of one moment.
    pub(crate) fn read<T, E: From<ReadError>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.take()?;
        let until = Instant::now() + self.pool.options.read_time_max;
        let begun = connection
            .progress_handler(STEPS_BETWEEN_LOOKS, Some(move || Instant::now() > until))
            .and_then(|()| connection.prepare_cached("BEGIN")?.execute([]).map(drop));
        begun.map_err(|error| E::from(self.error(error)))?;
        let result = read(&connection);
        let ended = connection.progress_handler(0, None::<fn() -> bool>).and_then(|()| {
            if connection.is_autocommit() {
                return Ok(());
            }
            connection.prepare_cached("ROLLBACK")?.execute([]).map(drop)
        });
        if ended.is_ok() {
            self.give_back(connection);
        }
        result
    }

    /// [`read`](Reader::read) for what only SQLite can refuse.
    pub(crate) fn query<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        self.read(|connection| read(connection).map_err(|error| self.error(error)))
    }

    pub(crate) fn error(&self, error: rusqlite::Error) -> ReadError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                ReadError::TooSlow { time_ms_max: self.pool.options.read_time_max.as_millis() }
            }
            _ => ReadError::Sqlite(error),
        }
    }

    fn take(&self) -> Result<Connection, ReadError> {
        let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).connections.pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(open::reader(&self.pool.path, &self.pool.options)?),
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !idle.closed && idle.connections.len() < IDLE_MAX {
            idle.connections.push(connection);
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.pool.path).finish_non_exhaustive()
    }
}
