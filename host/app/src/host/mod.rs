//! One process that holds a data directory, and how others reach it.
//!
//! - [`Host`]: holds the lock; store, sandbox and driver behind one handle.
//! - [`Client`]: the same verbs, sent to the holder over `host.sock`.
//! - [`Access`]: whichever of both applies; when the holder leaves, a watching `Access` takes its place.
//! - [`runtime`]: the threads to open one on.
//! - [`Watch`]: what happens to one run, from some event on, until only a person can move it.
//!
//! Reading verbs (lists, histories) need none of this: they open the store's file read-only. When the storage fails
//! while a host is open, the process says so on stderr and ends with exit code 74.

mod access;
mod again;
mod begin;
mod client;
mod deploy;
mod error;
mod holder;
mod import;
mod lease;
mod lending;
pub(crate) mod memory;
mod notify;
mod outgoing;
pub(crate) mod outward;
mod quarantine;
mod request;
mod schedule;
mod serve;
pub mod signature;
mod socket;
mod threads;
mod tidy;
mod uses;
mod watch;
mod webhooks;
mod wire;

pub use access::Access;
pub use client::Client;
pub use error::HostError;
pub use holder::Host;
pub(crate) use holder::documents;
pub use lending::Lending;
pub use notify::{Endpoint, EventKind, Notify, Persistence};
pub use outgoing::{Outgoing, SecretFrom, SecretSource};
pub use quarantine::QuarantineStats;
pub(crate) use quarantine::{Counters, to_kept};
pub use request::{
    AnswerRequest, Deployed, Drive, Durability, ForkRequest, HostOptions, Latest, Limits, Live, LiveKind,
    Published, RetryRequest, Settled, SignalRequest, StartRequest, SteerRequest, Steering, StreamPart, Taken,
    Watched,
};
pub use schedule::{Deployments, Scheduler};
pub use threads::runtime;
pub use tidy::{Deleted, Pruned, PrunedGroup};
pub use uses::Uses;
pub use watch::Watch;
pub use webhooks::{Call, WEBHOOK_BODY_BYTES_MAX, WebhookError, Webhooks};
