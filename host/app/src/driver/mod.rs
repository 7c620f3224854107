//! The tokio shell round the driver's core: carries out its actions with the real store, sandbox and clock.
//!
//! One task owns the core and with it every run in memory, so no run is ever locked; what blocks (loading a run,
//! compiling a plugin) and what takes long (calls) happens in tasks of its own and comes back as a message. People's
//! inputs pass before completions. Decisions about runs are the engine's, about order and admission the core's.

mod call;
mod child;
mod clock;
mod convert;
mod holds;
mod hub;
mod load;
mod plugins;
mod shell;
mod tally;
mod tap;
mod tools;

pub use call::{Caller, MemoryFor};
pub(crate) use call::{level_name, limits};
pub use clock::now;
pub use hub::{Hub, Signal, Subscription, Wanted};
pub use load::{Loader, stand, unopened};
pub use plugins::{PLUGIN_SPARED, PluginError, Plugins};
pub(crate) use plugins::{compiled_dir, digest, grants};
pub use shell::{Ended, Mailbox, Parts, Shell, Unseen};
pub use tally::{Calls, Tally};
pub use tap::Tap;
pub use tools::OutOfService;
