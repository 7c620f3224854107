//! What all routes share.

use std::sync::Arc;

use bandstand_store::Reader;

use super::caller::Doorkeeper;
use super::feed::Feed;
use super::guard::{Doors, Rate};
use super::problem::Problem;
use super::reading::Reading;
use crate::host::{Host, Webhooks};
use crate::project::catalogue::Catalogue;

/// Requests that read the store at once, others wait; each needs a thread and a connection for that. More would get in each
/// other's way: what is read mostly is in memory.
const READING_MAX: usize = 8;

/// Answers to reviews that may be taken at once.
const TURNS: usize = 64;

/// What all routes share. Clones are the same.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

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
    /// The threads for streams.
    pub streams: tokio::runtime::Handle,
}

struct Shared {
    of: Inner,
    reading: Reading,
    /// Whose turn it is to answer a review; several reviews share one.
    turns: [tokio::sync::Mutex<()>; TURNS],
}

impl AppState {
    /// Of these.
    pub fn new(inner: Inner) -> AppState {
        let reading = Reading::new(inner.host.reader().clone(), READING_MAX);
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        AppState(Arc::new(Shared { of: inner, reading, turns }))
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.0.of.host
    }

    /// The workflows.
    pub fn served(&self) -> &Catalogue {
        &self.0.of.served
    }

    /// Calls that begin runs.
    pub fn webhooks(&self) -> &Webhooks {
        &self.0.of.webhooks
    }

    /// Who may ask.
    pub fn doorkeeper(&self) -> &Doorkeeper {
        &self.0.of.doorkeeper
    }

    /// By which names, from which pages.
    pub fn doors(&self) -> &Doors {
        &self.0.of.doors
    }

    /// How often.
    pub fn rate(&self) -> &Rate {
        &self.0.of.rate
    }

    /// Whether `/metrics` is for everybody.
    pub fn metrics_for_all(&self) -> bool {
        self.0.of.metrics_for_all
    }

    /// The largest body. Bytes.
    pub fn body_bytes_max(&self) -> usize {
        self.0.of.body_bytes_max
    }

    /// The largest component that is uploaded. Bytes.
    pub fn upload_bytes_max(&self) -> usize {
        self.0.of.upload_bytes_max
    }

    /// What streams are fed with.
    pub fn feed(&self) -> &Feed {
        &self.0.of.feed
    }

    /// The threads for streams.
    pub fn streams(&self) -> &tokio::runtime::Handle {
        &self.0.of.streams
    }

    /// Whether the server was told to end.
    pub fn is_closing(&self) -> bool {
        self.0.of.feed.is_closed()
    }

    /// From now on nothing new is taken; streams end.
    pub fn close(&self) {
        self.0.of.feed.close();
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
        self.0.reading.read(read).await
    }
}
