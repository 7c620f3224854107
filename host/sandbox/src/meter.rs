//! Measures one attempt: the processor time that its thread spends while the attempt's future is polled, and the bytes
//! that cross in host calls.
//!
//! Time of the thread, not of the clock: on a busy machine a guest is not billed for others, and a guest that waits
//! for a host function is not billed at all.

use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Shared by the poller and by the epoch callback, which always run on one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    spent_ns: AtomicU64,
    poll_started_ns: AtomicU64,
}

impl Meter {
    /// Everything up to the last finished poll. Microseconds.
    pub(crate) fn spent_us(&self) -> u64 {
        self.spent_ns.load(Ordering::Relaxed) / 1_000
    }

    /// As [`spent_us`](Self::spent_us), and the running poll; to be asked from inside that poll only.
    pub(crate) fn spent_us_inside_poll(&self) -> u64 {
        let running = thread_cpu_ns().saturating_sub(self.poll_started_ns.load(Ordering::Relaxed));
        (self.spent_ns.load(Ordering::Relaxed) + running) / 1_000
    }
}

/// What crosses in host calls, both ways. Bodies of HTTP are counted where they are read, beside the guest.
#[derive(Debug)]
pub(crate) struct HostBytes {
    spent: AtomicUsize,
    max: usize,
}

impl HostBytes {
    pub(crate) fn new(max: usize) -> Arc<HostBytes> {
        Arc::new(HostBytes { spent: AtomicUsize::new(0), max })
    }

    /// Counts these bytes. Whether the quota holds out.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // What a call carries is bounded, so the sum is far from overflowing.
        self.spent.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.max
    }

    /// Bytes so far.
    pub(crate) fn spent(&self) -> usize {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether more was asked for than there was.
    pub(crate) fn is_used_up(&self) -> bool {
        self.spent() > self.max
    }
}

/// A future whose polls are billed to a [`Meter`].
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F> Metered<F> {
    pub(crate) fn new(meter: Arc<Meter>, inner: F) -> Self {
        Self { inner: Box::pin(inner), meter }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = thread_cpu_ns();
        self.meter.poll_started_ns.store(start, Ordering::Relaxed);
        let polled = self.inner.as_mut().poll(context);
        self.meter.spent_ns.fetch_add(thread_cpu_ns().saturating_sub(start), Ordering::Relaxed);
        polled
    }
}

fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
