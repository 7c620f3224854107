//! What is shown of runs, reviews, threads and routes outside the process: one type each, the same for `--json` of the
//! command line, for the HTTP API and for its OpenAPI document. Only shapes: what is read where is the callers' business.

mod event;
mod notification;
mod plugin;
mod review;
mod route;
mod run;
mod schedule;
mod thread;
mod workflow;

pub use event::{EventLine, LiveLine, event_text, event_value, live_value};
pub use notification::NotificationSummary;
pub use plugin::{PluginSummary, Quarantine};
pub use review::ReviewSummary;
pub use route::RouteSummary;
pub use run::{Lease, LeaseIs, RunSummary, held, problem};
pub use schedule::ScheduleSummary;
pub use thread::ThreadSummary;
pub use workflow::{FileProblem, WorkflowSummary, diagnostics};
