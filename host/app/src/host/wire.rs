//! What goes over the socket: one JSON value a line. A connection carries one request; its answer is one line, or many
//! when a run is followed.

use bandstand_engine::{Graph, Timestamp};
use bandstand_store::{Resent, Retention};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::HostError;
use super::request::{
    AnswerRequest, ForkRequest, Live, Published, RetryRequest, Settled, SignalRequest, SteerRequest, Taken,
};
use super::tidy::{Deleted, Pruned};
use super::uses::Uses;

/// Version of these messages; the lock file names it, too.
pub(super) use bandstand_store::lock::PROTOCOL;

/// No longer line is read: a workflow, its text and its input fit. Bytes.
pub(super) const LINE_BYTES_MAX: u64 = 64 << 20;

/// A request with the version it is written in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    pub(super) protocol: u32,
    #[serde(flatten)]
    pub(super) request: Request,
}

/// A verb.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub(super) enum Request {
    /// Start a run.
    Start(Box<StartWire>),
    /// Make a run go on.
    Drive { run_id: String },
    /// A person's answer.
    Answer(AnswerRequest),
    /// Send a signal to a run.
    Signal(SignalRequest),
    /// Pause, resume, cancel or kill a run.
    Steer(SteerRequest),
    /// Delete runs that have ended.
    Delete { run_ids: Vec<String> },
    /// Delete the ended runs that these rules do not keep.
    Prune { retention: Retention },
    /// Put a plugin back in service.
    ReleasePlugin { digest: String },
    /// Forget what a thread keeps.
    ForgetThread { workflow: String, thread_id: String },
    /// Send again what was given up.
    Resend { which: Resent },
    /// Begin a fork of a run.
    Fork(Box<ForkRequest>),
    /// Make a failed run go on.
    Retry(RetryRequest),
    /// Take in an exported run.
    Import { file: std::path::PathBuf },
    /// Follow a run.
    Follow { run_id: String, from_seq: u64 },
}

/// A run to be started; its plugins are in the data directory already.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StartWire {
    pub(super) graph: Graph,
    pub(super) source: String,
    pub(super) plugins: Uses<String>,
    pub(super) input: Value,
    pub(super) thread_id: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) seed: Option<u64>,
    #[serde(default)]
    pub(super) rerun_of: Option<String>,
    #[serde(default)]
    pub(super) start_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) starters: Vec<String>,
    #[serde(default)]
    pub(super) linked: Vec<String>,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// The run that was started.
    Started(String),
    /// It is done.
    Done,
    /// How it was taken.
    Taken(Taken),
    /// How many are sent again.
    Resent(u64),
    /// What became of runs that were to be deleted.
    Deleted(Deleted),
    /// What retention took.
    Pruned(Pruned),
    /// Of a run that is followed.
    Published(Published),
    /// Of a run that is followed.
    Live(Live),
    /// Of a run that is followed.
    Settled(Settled),
    /// Nothing, but the holder is there.
    Alive,
    /// The holder is closing: ask the next one.
    Closing,
    /// It was not done.
    Error { exit_code: u8, message: String },
    /// The holder speaks another version.
    Protocol { protocol: u32 },
}

impl Reply {
    /// The error as the other side tells it.
    pub(super) fn error(error: &HostError) -> Reply {
        if error.is_gone() {
            return Reply::Closing;
        }
        Reply::Error { exit_code: error.exit_code(), message: error.to_string() }
    }
}

/// A line of JSON.
pub(super) fn line(message: &impl Serialize) -> Result<String, HostError> {
    let mut line = serde_json::to_string(message).map_err(|error| HostError::Garbled(error.to_string()))?;
    line.push('\n');
    Ok(line)
}
