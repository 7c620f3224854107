//! Reads the store from asynchronous code: on threads that may block, and not too many at once, since each needs a thread
//! and a connection.

use std::sync::Arc;

use bandstand_store::Reader;
use tokio::sync::Semaphore;

use super::problem::{Code, Problem};

/// Reads a store, so many at once. Clones share their places.
#[derive(Clone)]
pub(super) struct Reading {
    reader: Reader,
    places: Arc<Semaphore>,
}

impl Reading {
    /// Of that store, so many at once; others wait.
    pub(super) fn new(reader: Reader, at_once_max: usize) -> Reading {
        Reading { reader, places: Arc::new(Semaphore::new(at_once_max)) }
    }

    /// Reads.
    ///
    /// # Errors
    /// What reading comes to, or when the host is closing.
    pub(super) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        Problem: From<E>,
        E: Send + 'static,
    {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Problem::closing())?;
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            read(&reader)
        });
        let done = done.await.map_err(|error| {
            if error.is_panic() {
                Problem::new(Code::Internal, "reading the store did not come to an end")
            } else {
                Problem::closing()
            }
        })?;
        done.map_err(Problem::from)
    }
}
