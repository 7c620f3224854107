//! What is shown of runs, reviews, threads and routes outside the process: one type each, the same for `--json` of the
//! command line, for the HTTP API and for its OpenAPI document. Only shapes: what is read where is the callers' business.

mod event;
mod notification;
mod page;
mod plugin;
mod report;
mod review;
mod route;
mod run;
mod schedule;
mod thread;
mod workflow;

pub use event::{EventLine, LiveLine, event_of, event_text, event_value, live_of, live_value};
pub use notification::NotificationSummary;
pub use page::{Decided, Done, Page, Replayed, ReplayedDifference, RunOutcome, ThreadDetail, UploadedPlugin};
pub use plugin::{
    PluginCalls, PluginDetail, PluginFunction, PluginImport, PluginLimit, PluginLimits, PluginSummary,
    Quarantine,
};
pub use report::{
    ByWhom, PausedBy, ReportAudit, ReportBlock, ReportBranch, ReportCached, ReportCheckpoint, ReportEdit,
    ReportError, ReportLink, ReportNode, ReportPins, ReportRetried, ReportRetries, ReportReview, ReportRoute,
    ReportSignal, ReportStage, ReportTool, ReportWarning, RunReport, VisibleError, WaitsFor,
};
pub use review::{ReviewDetail, ReviewParent, ReviewSummary};
pub use route::RouteSummary;
pub use run::{Lease, LeaseIs, RunSummary, held, problem};
pub use schedule::ScheduleSummary;
pub use thread::ThreadSummary;
pub use workflow::{
    FileProblem, WorkflowSummary, change_name, change_value, deployed_value, diagnostics, refused_value,
};

/// The time that a view says. What is no time, which nothing of ours writes, is the beginning of 1970.
pub fn moment(text: &str) -> bandstand_engine::Timestamp {
    let parsed = text.parse::<jiff::Timestamp>();
    bandstand_engine::Timestamp(parsed.map_or(0, |at| at.as_millisecond()))
}
