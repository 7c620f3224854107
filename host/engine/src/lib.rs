//! The rules of a run: pure, deterministic, no I/O.
//!
//! A [`Run`] is a state machine. What happens is an [`Input`]; [`Run::handle`] decides what follows, as
//! [`Event`](event::Event)s, and applies them; [`Run::fold`] makes the same run of the same events. What is to be done
//! (calls of plugins) follows from the state: [`Run::owed`]. Time is an argument; randomness is derived from the run's
//! seed. The crate opens no file, reads no clock, starts no thread, and knows neither YAML, SQL nor WebAssembly.
//!
//! Where to look: the contract is [`run`]; the vocabulary [`event`], [`input`], [`command`]; what a workflow is
//! [`graph`]; the expressions in it [`expression`].

pub mod command;
pub mod event;
pub mod expression;
pub mod failure;
pub mod graph;
pub mod id;
pub mod input;
pub mod mistake;
pub mod path;
pub mod run;
pub mod schema;
pub mod time;

pub use command::{Callee, Command};
pub use event::{Event, Payload};
pub use failure::{Class, ErrorRecord, Failure};
pub use graph::Graph;
pub use id::Id;
pub use input::{Answer, Input, Rejected, Signal};
pub use path::{CommandId, Path};
pub use run::{Corrupt, Decision, Outcome, Run, Snapshot, Start, StartError, Status};
pub use time::Timestamp;
