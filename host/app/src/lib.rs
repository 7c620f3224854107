//! The binary `bandstand` as a library, so that tests can reach its parts.
//!
//! `cli` is what people type, `server` what programs ask over HTTP and `api` what asks there, `view` what all of them show; `project` is what people keep in
//! files, `host` one process that holds a data directory, `telemetry` what can be observed of it, and `driver` the tokio shell round
//! the pure core of `bandstand-driver`. No rule of a run lives here: those are the
//! engine's.

pub mod api;
pub mod cli;
pub mod driver;
pub mod host;
pub mod project;
pub mod server;
pub mod telemetry;
pub mod view;
