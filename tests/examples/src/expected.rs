//! The file `expected.json` of an example: which runs are made, what they come to, and what other commands tell then.
//! Values are patterns; see [`crate::differences`].

use serde::Deserialize;
use serde_json::Value;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Runs, one after the other on one data directory.
    pub cases: Vec<Case>,
    /// Commands after all of them.
    #[serde(default)]
    pub commands: Vec<Command>,
}

/// One run from its start to its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, for people.
    pub name: String,
    /// A file below the example's folder, or the input itself.
    pub input: Value,
    /// As `--thread`.
    pub thread: Option<String>,
    /// As `--replies`: a file below the example's folder.
    pub replies: Option<String>,
    /// What people answer, in order. Before each of them the command ends with exit code 4.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// What the last command ends with.
    pub exit_code: i32,
    /// Of the outcome.
    pub status: String,
    /// Of a run that succeeded.
    pub result: Option<Value>,
    /// Of a run that failed.
    pub error: Option<Value>,
}

/// A review and what is answered to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The review's title.
    pub title: String,
    /// What is proposed.
    pub proposed: Option<Value>,
    /// `approve` or `reject`.
    pub verb: String,
    /// As `--comments`.
    pub comments: Option<String>,
    /// As `--changes`.
    pub changes: Option<Value>,
}

/// A command and what it prints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// What is typed after `bandstand --json`.
    pub args: Vec<String>,
    /// One pattern for each line of its output.
    pub lines: Vec<Value>,
}
