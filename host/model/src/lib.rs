//! Asks language models for agents: stands behind the interface `model` of the sandbox.
//!
//! [`Models`] holds the operator's models by name (provider, key, prices), the budget of each run, and recorded replies;
//! [`Models::for_attempt`] makes what one attempt gets. It reads no configuration file and knows nothing of workflows,
//! grants or journals: whoever calls does.
//!
//! Keys do not leave this crate but in requests to the provider: [`Key`] cannot be printed, and no text of a provider
//! that could repeat one gets into an error.

mod attempt;
mod key;
mod ledger;
mod models;
mod provider;
mod refusal;
mod replies;
mod wire;

pub use key::{Key, KeyError};
pub use ledger::{Budget, Spent};
pub use models::Models;
pub use provider::{KeyFrom, Price, Provider, ProviderKind};
pub use replies::{Recorder, Replies, RepliesError};
