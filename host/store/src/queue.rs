//! What waits for the writer: in order, bounded in bytes. Newcomers are refused when it is full, completions never. It is
//! full when what waits reaches the bound, not when the newcomer would: a newcomer larger than the bound has its turn too.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::append::{Append, AppendError, Appended, Refused, RunChange};

/// How the writer answers: on its own thread, so it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// One thing to write.
pub(crate) enum Work {
    /// A decision.
    Append(Box<Append>, Done),
    /// Where a run stands, without a decision.
    Change { run_id: std::sync::Arc<str>, at: i64, change: RunChange, done: Done },
    /// A run's state; nobody waits for it.
    Snapshot { run_id: std::sync::Arc<str>, seq: u64, bytes: Vec<u8> },
    /// Anything else, in the same order and transaction.
    Job(Box<dyn Job>),
}

/// Something to write that answers by itself. `apply` may be called again after a rollback.
pub(crate) trait Job: Send {
    /// Writes inside the open transaction, within a savepoint of its own.
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd>;
    /// It is durable, or was rolled back as `apply` asked.
    fn answer(self: Box<Self>);
    /// Its weight in the queue. Bytes.
    fn bytes(&self) -> u64;
}

/// What is to become of what a job wrote.
pub(crate) enum JobEnd {
    /// Keep it.
    Keep,
    /// Keep it; it changed runs behind the writer's back.
    KeepAndForgetRuns,
    /// Keep it; it changed these runs behind the writer's back.
    KeepAndForget(Vec<String>),
    /// Undo it; the job knows why.
    Undo,
}

impl Work {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Work::Append(append, _) => append.bytes(),
            Work::Change { .. } => 256,
            Work::Snapshot { bytes, .. } => bytes.len() as u64 + 128,
            Work::Job(job) => job.bytes(),
        }
    }

    fn is_newcomer(&self) -> bool {
        match self {
            Work::Append(append, _) => append.is_newcomer(),
            Work::Change { .. } => false,
            Work::Snapshot { .. } | Work::Job(_) => true,
        }
    }
}

/// Rows of one group at most.
const BATCH_ROWS_MAX: usize = 1_000;
/// Bytes of one group, beyond which nothing is added.
const BATCH_BYTES_MAX: u64 = 4 << 20;

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Work>,
    bytes: u64,
    stopped: bool,
    closing: bool,
}

/// The queue between callers and the writer.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Queue {
    /// Takes the work, or says why not.
    pub(crate) fn push(&self, work: Work, bytes_max: u64) -> Result<(), Refused> {
        let mut inner = self.lock();
        if inner.stopped || inner.closing {
            return Err(Refused::Stopped);
        }
        let bytes = work.bytes();
        if work.is_newcomer() && inner.bytes >= bytes_max {
            return Err(Refused::QueueFull { bytes: inner.bytes, bytes_max });
        }
        inner.bytes = inner.bytes.saturating_add(bytes);
        inner.waiting.push_back(work);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// Everything that waits, up to a group's size. `None`: closed, and nothing waits.
    pub(crate) fn take(&self) -> Option<Vec<Work>> {
        let mut inner = self.lock();
        while inner.waiting.is_empty() {
            if inner.closing || inner.stopped {
                return None;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let mut batch = Vec::with_capacity(inner.waiting.len().min(BATCH_ROWS_MAX));
        let mut bytes = 0_u64;
        while batch.len() < BATCH_ROWS_MAX && (batch.is_empty() || bytes < BATCH_BYTES_MAX) {
            let Some(work) = inner.waiting.pop_front() else { break };
            bytes = bytes.saturating_add(work.bytes());
            batch.push(work);
        }
        Some(batch)
    }

    /// What was taken is done: its bytes wait no longer.
    pub(crate) fn release(&self, bytes: u64) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    /// Sleeps so long, or until the store is closed. Whether it is.
    pub(crate) fn pause(&self, span: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) = self
            .changed
            .wait_timeout_while(inner, span, |inner| !inner.closing)
            .unwrap_or_else(PoisonError::into_inner);
        inner.closing
    }

    /// No more is taken; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Nothing is taken or written any more; what waits is handed out to be forgotten.
    pub(crate) fn stop(&self) -> VecDeque<Work> {
        let mut inner = self.lock();
        inner.stopped = true;
        inner.bytes = 0;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        self.changed.notify_all();
        waiting
    }

    /// Bytes that wait or are being written.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held leaves plain data behind, still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
