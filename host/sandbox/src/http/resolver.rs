//! From names to addresses. A trait, so that tests can answer what a hostile name server would.

use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The addresses of a name, or why there are none.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up. It is asked once for each request, and only for names that are granted.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `host`, a name in small letters.
    fn resolve(&self, host: &str) -> Resolved;
}

/// Look-ups at once. Each holds a thread for as long as the system takes, even when nobody waits for it any more; the
/// other threads of the pool stay for the memory's store.
const LOOKUPS_MAX: usize = 16;

/// The system's own resolver.
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> Resolved {
        let (host, slots) = (host.to_owned(), self.0.clone());
        Box::pin(async move {
            let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
            let looking = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                (host.as_str(), 0).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect())
            });
            looking.await.map_err(io::Error::other)?
        })
    }
}
