//! The handle on an open store: takes what is to be written, tells how it goes, closes in order.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use bandstand_engine::time::Timestamp;
use rusqlite::Connection;

use crate::append::{Append, AppendError, Appended, Refused, RunChange};
use crate::checkpoint::{self, Frames};
use crate::effect_apply;
use crate::open::{self, OpenError, Options};
use crate::queue::{Done, Job, Queue, Work};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{FILE_NAME, place};

/// An open store. The process that opens it holds the directory's [`Lock`](crate::Lock).
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    reader: Reader,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<Option<Connection>>,
    checkpointer: JoinHandle<()>,
    /// Dropped to end the checkpointer.
    close: Sender<()>,
}

/// A commit with an unknown outcome: what it held may or may not be in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal cannot be written and the last commit's outcome is not known: {problem}; the host must end (exit code 74) and start again, which reads the file anew"
)]
pub struct Fatal {
    /// What SQLite says.
    pub problem: String,
}

impl Fatal {
    pub(crate) fn new(error: &rusqlite::Error) -> Fatal {
        let code = error.sqlite_error().map_or(0, |error| error.extended_code);
        Fatal { problem: format!("{error} (SQLite code {code})") }
    }
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It writes.
    Good,
    /// Free space is below `store.free-bytes`: nothing should be begun, results are still recorded.
    LowSpace {
        /// What is free. Bytes.
        free_bytes: u64,
    },
    /// The disk is full: everything waits, and is offered again each second.
    Full,
    /// It has failed: the process must end.
    Failed(Fatal),
}

/// Counters since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commits; with full durability one fsync each.
    pub commits: u64,
    /// Rows and other writes in them.
    pub rows: u64,
    /// Bytes handed over in them.
    pub bytes: u64,
    /// Times that another program's lock was waited for.
    pub busy: u64,
    /// Bytes that wait to be written now.
    pub queue_bytes: u64,
    /// Bytes in SQLite's log that wait for a reader or for the next checkpoint.
    pub wal_bytes: u64,
}

/// What the threads and the handle share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) options: Options,
    pub(crate) directory: PathBuf,
    commits: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    busy: AtomicU64,
    frames_log: AtomicU64,
    frames_moved: AtomicU64,
    free_bytes: AtomicU64,
    full: AtomicBool,
    fatal: Mutex<Option<Fatal>>,
}

/// Runs the writer; a panic in it (or in a `done` it calls) ends the store as a failed commit does, so that nobody waits
/// for an answer that never comes.
fn guarded(writer: Writer) -> Option<Connection> {
    let shared = writer.shared();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run())).unwrap_or_else(|_| {
        drop(shared.queue.stop());
        shared.fail(Fatal { problem: "the writer's thread panicked".to_owned() });
        None
    })
}

/// Bytes of a page and its header in the log.
const FRAME_BYTES: u64 = 4096 + 24;

impl Store {
    /// Opens the store in the directory, making both if they are missing.
    ///
    /// # Errors
    /// When the place is not fit for it, or the file is not this host's to write.
    pub fn open(directory: &Path, options: Options) -> Result<Store, OpenError> {
        let path = directory.join(FILE_NAME);
        let connection = open::writer(&path, &options)?;
        if let Err(error) = effect_apply::forget_held(&connection) {
            tracing::warn!(%error, "runs may be listed as held until their next step");
        }
        let helper = open::checkpointer(&path, &options)
            .map_err(|source| OpenError::Sqlite { path: path.clone(), source })?;
        let reader = Reader::open_with(directory, &options)?;
        let shared = Arc::new(Shared::new(directory, options));
        let writer = Writer::new(connection, shared.clone());
        let (close, closed) = channel();
        let for_helper = shared.clone();
        let writer = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || guarded(writer))
            .map_err(OpenError::Thread)?;
        let checkpointer = Builder::new()
            .name("store-wal".to_owned())
            .spawn(move || checkpoint::work(helper, for_helper, closed));
        let checkpointer = match checkpointer {
            Ok(checkpointer) => checkpointer,
            Err(error) => {
                shared.queue.close();
                return Err(OpenError::Thread(error));
            }
        };
        Ok(Store { shared, reader, threads: Mutex::new(Some(Threads { writer, checkpointer, close })) })
    }

    /// Hands over a decision. `done` is called on the writer's thread once it is durable or was not taken into the
    /// journal; it must not block. After a [`Fatal`] failure it is dropped without a call.
    ///
    /// # Errors
    /// When it was not even queued: `done` is then dropped.
    pub fn append(
        &self,
        append: Append,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> Result<(), Refused> {
        self.push(Work::Append(Box::new(append), Box::new(done)))
    }

    /// Writes where a run stands without a decision: `held`, or that it is stuck.
    ///
    /// # Errors
    /// When it was not even queued: `done` is then dropped.
    pub fn change_run(
        &self,
        run_id: Arc<str>,
        at: Timestamp,
        change: RunChange,
        done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> Result<(), Refused> {
        let done: Done = Box::new(done);
        self.push(Work::Change { run_id, at: at.0, change, done })
    }

    /// Keeps a run's state after its first `seq` events, in place of the former one. Hand it over after the appends it
    /// holds. Nobody waits for it; when the queue is full it is not taken, which costs nothing but time at the next opening.
    pub fn keep_snapshot(&self, run_id: Arc<str>, seq: u64, bytes: Vec<u8>) {
        drop(self.push(Work::Snapshot { run_id, seq, bytes }));
    }

    /// The reading side; cheap to clone.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How the store is now.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Whether free space is below `store.free-bytes`: start no run and no attempt.
    pub fn low_space(&self) -> bool {
        matches!(self.health(), Health::LowSpace { .. } | Health::Full)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        Stats {
            commits: shared.commits.load(Ordering::Relaxed),
            rows: shared.rows.load(Ordering::Relaxed),
            bytes: shared.bytes.load(Ordering::Relaxed),
            busy: shared.busy.load(Ordering::Relaxed),
            queue_bytes: shared.queue.bytes(),
            wal_bytes: shared.wal_bytes(),
        }
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Writes what waits, then leaves one file behind. Later appends are refused. Closing again does nothing. While the
    /// disk is full, what waits is answered with [`AppendError::Closed`].
    pub fn close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { writer, checkpointer, close }) = threads else { return };
        self.shared.queue.close();
        let connection = writer.join();
        drop(close);
        if checkpointer.join().is_err() {
            tracing::error!("the store's helper thread panicked");
        }
        self.reader.close();
        match connection {
            // SQLite removes its log when the last connection closes; this one moves what is left.
            Ok(Some(connection)) => {
                if let Err(error) = checkpoint::run(&connection, "TRUNCATE") {
                    tracing::warn!(%error, "the log stays beside the file; the next start reads it");
                }
            }
            Ok(None) => {}
            Err(_) => tracing::error!("the store's writer panicked; the next start reads the file anew"),
        }
    }

    pub(crate) fn push(&self, work: Work) -> Result<(), Refused> {
        self.shared.queue.push(work, self.shared.options.queue_bytes_max)
    }

    pub(crate) fn push_job(&self, job: Box<dyn Job>) -> Result<(), Refused> {
        self.push(Work::Job(job))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(directory: &Path, options: Options) -> Shared {
        let free = place::free_bytes(directory).unwrap_or(u64::MAX);
        Shared {
            queue: Queue::default(),
            options,
            directory: directory.to_owned(),
            commits: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            frames_log: AtomicU64::new(0),
            frames_moved: AtomicU64::new(0),
            free_bytes: AtomicU64::new(free),
            full: AtomicBool::new(false),
            fatal: Mutex::new(None),
        }
    }

    pub(crate) fn count_commit(&self, rows: u64, bytes: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn log_is(&self, frames: Frames) {
        self.frames_log.store(frames.log, Ordering::Relaxed);
        self.frames_moved.store(frames.moved, Ordering::Relaxed);
    }

    pub(crate) fn log_is_moved(&self) -> bool {
        self.frames_moved.load(Ordering::Relaxed) >= self.frames_log.load(Ordering::Relaxed)
    }

    pub(crate) fn wal_bytes(&self) -> u64 {
        self.frames_log.load(Ordering::Relaxed).saturating_mul(FRAME_BYTES)
    }

    pub(crate) fn free_bytes_are(&self, free: u64) {
        self.free_bytes.store(free, Ordering::Relaxed);
    }

    pub(crate) fn disk_is_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("the disk is full: nothing is recorded until there is room; free some space");
            } else {
                tracing::info!("there is room on the disk again");
            }
        }
    }

    pub(crate) fn fail(&self, fatal: Fatal) {
        tracing::error!(%fatal, "the store has failed");
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(fatal.clone());
        if let Some(on_fatal) = &self.options.on_fatal {
            on_fatal(&fatal);
        }
    }

    pub(crate) fn health(&self) -> Health {
        if let Some(fatal) = &*self.fatal.lock().unwrap_or_else(PoisonError::into_inner) {
            return Health::Failed(fatal.clone());
        }
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        if self.full.load(Ordering::Relaxed) {
            Health::Full
        } else if free_bytes < self.options.free_bytes_min {
            Health::LowSpace { free_bytes }
        } else {
            Health::Good
        }
    }
}
