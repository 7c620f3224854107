//! What all routes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bandstand_store::Reader;
use tokio::sync::Semaphore;

use super::caller::Doorkeeper;
use super::feed::Feed;
use super::guard::{Doors, Rate};
use super::problem::{Code, Problem};
use crate::host::{Host, Webhooks};
use crate::project::catalogue::Catalogue;

/// Requests that read the store at once, others wait; each needs a thread and a connection for that.
pub const READING_MAX: usize = 32;

/// Answers to reviews that may be taken at once.
pub const TURNS: usize = 64;

/// What all routes share. Clones are the same.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// What it is made of.
pub struct Inner {
    /// The host that is served.
    pub host: Host,
    /// The workflows that are served.
    pub served: Catalogue,
    /// Calls that begin runs.
    pub webhooks: Webhooks,
    /// Who may ask.
    pub doorkeeper: Doorkeeper,
    /// By which names, from which pages.
    pub doors: Doors,
    /// How often.
    pub rate: Rate,
    /// Whether `/metrics` is for everybody.
    pub metrics_for_all: bool,
    /// The largest body. Bytes.
    pub body_bytes_max: usize,
    /// The largest component. Bytes.
    pub upload_bytes_max: usize,
    /// What streams are fed with.
    pub feed: Feed,
    /// Told to end.
    pub closing: AtomicBool,
    /// Requests that read the store at once.
    pub reading: Arc<Semaphore>,
    /// Whose turn it is to answer a review; several reviews share one.
    pub turns: [tokio::sync::Mutex<()>; TURNS],
}

impl AppState {
    /// Of these.
    pub fn new(inner: Inner) -> AppState {
        AppState(Arc::new(inner))
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The workflows.
    pub fn served(&self) -> &Catalogue {
        &self.0.served
    }

    /// Calls that begin runs.
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    /// Who may ask.
    pub fn doorkeeper(&self) -> &Doorkeeper {
        &self.0.doorkeeper
    }

    /// By which names, from which pages.
    pub fn doors(&self) -> &Doors {
        &self.0.doors
    }

    /// How often.
    pub fn rate(&self) -> &Rate {
        &self.0.rate
    }

    /// Whether `/metrics` is for everybody.
    pub fn metrics_for_all(&self) -> bool {
        self.0.metrics_for_all
    }

    /// The largest body. Bytes.
    pub fn body_bytes_max(&self) -> usize {
        self.0.body_bytes_max
    }

    /// The largest component that is uploaded. Bytes.
    pub fn upload_bytes_max(&self) -> usize {
        self.0.upload_bytes_max
    }

    /// What streams are fed with.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Whether the server was told to end.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// From now on nothing new is taken; streams end.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.0.feed.close();
    }

    /// Waits for its turn to answer that review.
    pub async fn turn_of(&self, review_id: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let sum = review_id.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        self.0.turns[sum % TURNS].lock().await
    }

    /// Reads the store, where blocking is allowed.
    ///
    /// # Errors
    /// What reading comes to, or when the host is closing.
    pub async fn read<T, E>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        Problem: From<E>,
        E: Send + 'static,
    {
        let closing = |_| Problem::new(Code::Unavailable, "the server is closing; ask again").retry_after(1);
        let place = self.0.reading.clone().acquire_owned().await.map_err(closing)?;
        let reader = self.host().reader().clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            read(&reader)
        });
        let done = done.await;
        let done =
            done.map_err(|_| Problem::new(Code::Internal, "reading the store did not come to an end"))?;
        done.map_err(Problem::from)
    }
}
