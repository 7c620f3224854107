//! Outgoing HTTP: `wasi:http` for guests, with a connector of our own behind it.
//!
//! A request passes, in this order: what may be said at all (`hooks`), the grant (`origin`), a slot, one look-up of the
//! name (`resolver`), the check of every address found (`address`), secrets in place of placeholders (`secret`), then a
//! connection to exactly those addresses (`connect`). What comes back is bounded, counted and masked (`body`). Nothing
//! here follows redirects, keeps connections, or reads the environment: a redirect is the guest's next request.

mod address;
mod body;
mod connect;
mod hooks;
mod origin;
mod resolver;
mod secret;
#[cfg(test)]
mod tests;

pub use address::Network;
pub use connect::authorities_from_pem;
pub use origin::origin_problem;
pub use resolver::{Resolved, Resolver, SystemResolver};
pub use secret::{Secret, SecretValue, Secrets};

pub(crate) use hooks::AttemptHttp;

use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ClientConfig;

/// What the operator gives to the grant `http` as a whole.
pub struct Outbound {
    /// Networks that are not public and that granted names may lead to all the same.
    pub networks: Vec<Network>,
    /// The secrets that plugins may be granted.
    pub secrets: Secrets,
    /// Who looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// Certificates of authorities beside the usual ones (Mozilla's list). DER.
    pub authorities: Vec<Vec<u8>>,
    /// Bounds.
    pub limits: HttpLimits,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            secrets: Secrets::new(),
            resolver: Arc::new(SystemResolver::default()),
            authorities: Vec::new(),
            limits: HttpLimits::default(),
        }
    }
}

/// Bounds of outgoing HTTP: `[http]` of `bandstand.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests at once, over all plugins. A request counts until its response was read or dropped.
    pub requests_max: usize,
    /// Requests at once in one attempt.
    pub requests_per_attempt_max: usize,
    /// How long a request waits for its turn. Milliseconds.
    pub slot_wait_ms: u64,
    /// From the request to a connection: its turn, the look-up, the connection, TLS. Milliseconds.
    pub connect_ms: u64,
    /// From the request to the head of the response. The attempt's own end comes first, mostly. Milliseconds.
    pub first_byte_ms: u64,
    /// The headers of a request, and of a response. Bytes.
    pub head_bytes_max: usize,
    /// The URL's path and query. Bytes.
    pub path_bytes_max: usize,
    /// The body of a request. Bytes.
    pub request_body_bytes_max: u64,
    /// The body of a response. Bytes.
    pub response_body_bytes_max: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            requests_max: 256,
            requests_per_attempt_max: 8,
            slot_wait_ms: 10_000,
            connect_ms: 30_000,
            first_byte_ms: 600_000,
            head_bytes_max: 64 << 10,
            path_bytes_max: 8 << 10,
            request_body_bytes_max: 16 << 20,
            response_body_bytes_max: 16 << 20,
        }
    }
}

/// [`Outbound`] at work: one for a sandbox.
pub(crate) struct Reach {
    pub(crate) outbound: Outbound,
    slots: Arc<Semaphore>,
    /// Made with the first request over TLS: reading the authorities takes a moment.
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Reach {
    pub(crate) fn new(outbound: Outbound) -> Arc<Reach> {
        let slots = Arc::new(Semaphore::new(outbound.limits.requests_max));
        Arc::new(Reach { outbound, slots, tls: OnceLock::new() })
    }
}
