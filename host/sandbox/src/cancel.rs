//! Tells an attempt from outside that it is to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// A flag that is raised once and wakes whoever waits for it. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    raised: AtomicBool,
    bell: Notify,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every attempt that holds this token, and those that start with it later.
    pub fn cancel(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        self.0.bell.notify_waiters();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Returns once [`cancel`](Self::cancel) was called.
    pub async fn cancelled(&self) {
        // The waiter is registered before the flag is read, so no call can fall between the two.
        let bell = self.0.bell.notified();
        tokio::pin!(bell);
        bell.as_mut().enable();
        if !self.is_cancelled() {
            bell.await;
        }
    }
}
