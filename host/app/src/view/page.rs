//! What requests are answered with besides one thing: pages, and what became of what was asked for.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{FileProblem, ReviewSummary, RunSummary};

/// A page of a list, as whoever asks reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; none: this is the last.
    #[serde(default = "Option::default")]
    pub next_cursor: Option<String>,
}

/// A run, and what it came to if it was waited for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunOutcome {
    /// The run.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Whether it has ended or only people can move it.
    pub settled: bool,
    /// What it returned, if it succeeded and was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// The reviews that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<String>,
}

/// What stands there; `null`, too, is something that a run may come to.
pub(super) fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// How a verb was taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Whether it changed something; `false`: it had come true before.
    pub changed: bool,
    /// The run as it stands.
    pub run: RunSummary,
}

/// A decision that was taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// Whether it changed something; `false`: the same answer was there before.
    pub changed: bool,
    /// The review as it stands.
    pub review: ReviewSummary,
}

/// A thread with what it keeps.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ThreadDetail {
    /// The workflow.
    pub workflow: String,
    /// The thread.
    pub thread_id: String,
    /// What each channel keeps.
    #[schema(value_type = Object)]
    pub values: Value,
    /// The run that may write it now.
    pub holder: Option<String>,
    /// The runs that wait for it, in their order.
    pub queued: Vec<String>,
}

/// A plugin was taken.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UploadedPlugin {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its file, from the served directory.
    pub file: String,
    /// The workflows in service that are made of the file, with this plugin now.
    pub workflows: Vec<String>,
    /// The files that cannot be run with it. What of them was in service stays, with the plugin as it was.
    pub problems: Vec<FileProblem>,
}

/// What comparing a run with its journal found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replayed {
    /// The run.
    pub run_id: String,
    /// Whether what is stored is what its journal says.
    pub same: bool,
    /// Events that were folded.
    pub events: u64,
    /// The rows they stand in.
    pub rows: u64,
    /// What differs.
    pub differences: Vec<ReplayedDifference>,
}

/// Something that is stored otherwise than the journal says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReplayedDifference {
    /// Where.
    pub place: String,
    /// As it is stored.
    pub stored: String,
    /// As it should be.
    pub by_journal: String,
}
