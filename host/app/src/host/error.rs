//! What can go wrong between a command and the host it reaches, with the exit code that tells it.

use std::path::PathBuf;

use bandstand_driver::Refusal;
use bandstand_engine::StartError;
use bandstand_engine::run::{ForkError, NoPoint, NotRetried};
use bandstand_sandbox::SetupError;
use bandstand_store::{ImportError, InFlightError, LockError, OpenError, ReadError, Refused};

use crate::api::ApiError;
use crate::driver::PluginError;

/// A verb was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Another process holds the directory and does not answer.
    #[error(
        "the data directory {} is held by {} which does not answer; wait for it, end it, or name another one with --data",
        directory.display(),
        pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
        /// Who has it.
        pid: Option<u32>,
    },
    /// The holder takes connections and says nothing.
    #[error(
        "the data directory {} is held by {}, which has said nothing for {seconds} s and was probably stopped; {}, or \
         name another data directory with --data",
        directory.display(),
        pid.map_or("another process".to_owned(), |pid| format!("process {pid}")),
        pid.map_or("look for it, make it go on or end it".to_owned(), |pid| format!(
            "look at it (ps -o pid,stat,args -p {pid}), make it go on (kill -CONT {pid}) or end it (kill -9 {pid}; \
             runs carry on)"
        ))
    )]
    Silent {
        /// The data directory.
        directory: PathBuf,
        /// Who has it.
        pid: Option<u32>,
        /// How long it was listened for.
        seconds: u64,
    },
    /// There is no such run.
    #[error("there is no run `{0}` here; `bandstand runs list` shows those there are")]
    NoSuchRun(String),
    /// A request of that name began another run.
    #[error(
        "the request `{request}` began run {run_id} with {differs}; name this one otherwise, or look at that run: \
         bandstand runs show {run_id}"
    )]
    RequestTaken {
        /// The request's name.
        request: String,
        /// The run.
        run_id: String,
        /// What that run has that is not asked for now.
        differs: String,
    },
    /// The run cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The fork cannot begin.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// The run has no such point.
    #[error("run {run_id} cannot be left at event {seq}: {source}")]
    NoPoint {
        /// The run.
        run_id: String,
        /// The event.
        seq: u64,
        /// Why.
        source: NoPoint,
    },
    /// The run cannot be retried.
    #[error("run {run_id} cannot be retried: {source}")]
    NotRetried {
        /// The run.
        run_id: String,
        /// Why.
        source: NotRetried,
    },
    /// The file is not taken in.
    #[error("{} is not imported: {problem}", file.display())]
    NotImported {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The store did not take the run in.
    #[error(transparent)]
    Imported(#[from] ImportError),
    /// The run has not failed.
    #[error("run {run_id} cannot be retried: {problem}; to do it anew: bandstand runs rerun {run_id}")]
    NotFailed {
        /// The run.
        run_id: String,
        /// What it is.
        problem: String,
    },
    /// The run is a child run: its parent has gone on without it.
    #[error(
        "run {run_id} is a part of run {parent}, which has taken its failure; retry that one: bandstand runs retry {parent}"
    )]
    ChildOf {
        /// The run.
        run_id: String,
        /// Its parent.
        parent: String,
    },
    /// The run's journal cannot be used.
    #[error("run {run_id} cannot be read: {problem}")]
    Unreadable {
        /// The run.
        run_id: String,
        /// Why.
        problem: String,
    },
    /// The run did not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another run has the thread.
    #[error(
        "thread `{thread_id}` of workflow `{workflow}` is run {run_id}'s until that ends (it is {status}): {problem}; wait for \
         it (bandstand runs watch {run_id}) or end it (bandstand runs cancel {run_id}); whether a second run is refused, \
         waits or interrupts says `thread` in the workflow file"
    )]
    ThreadHeld {
        /// The workflow.
        workflow: String,
        /// The thread.
        thread_id: String,
        /// The run that has it, or waits for it first.
        run_id: String,
        /// Where that stands.
        status: &'static str,
        /// Why this is not done.
        problem: &'static str,
    },
    /// A run of the thread is open, so it is not forgotten.
    #[error(
        "what thread `{thread_id}` of workflow `{workflow}` keeps is not forgotten: a thread is forgotten when none of its runs \
         is open, and {run_id} is; wait for it (bandstand runs watch {run_id}) or end it (bandstand runs cancel {run_id})"
    )]
    ThreadBusy {
        /// The workflow.
        workflow: String,
        /// The thread.
        thread_id: String,
        /// The run that has it, or waits for it.
        run_id: String,
    },
    /// There is no such thread.
    #[error(
        "workflow `{workflow}` keeps nothing in a thread `{thread_id}`; `bandstand thread list` shows the threads there are"
    )]
    NoSuchThread {
        /// The workflow.
        workflow: String,
        /// The thread.
        thread_id: String,
    },
    /// A plugin cannot be used.
    #[error("plugin `{plugin}`: {source}")]
    Plugin {
        /// By the workflow's name for it.
        plugin: String,
        /// Why.
        source: PluginError,
    },
    /// A plugin's bytes were not given.
    #[error("the bytes of plugin `{0}` were not handed to the host; this is a defect of the caller")]
    PluginMissing(String),
    /// The store.
    #[error("{0}")]
    Storage(String),
    /// The sandbox.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// What outgoing HTTP needs cannot be had.
    #[error("bandstand.toml, [http] or [secrets]: {0}")]
    Outgoing(String),
    /// The socket.
    #[error("the socket of the data directory {}: {source}", directory.display())]
    Socket {
        /// The data directory.
        directory: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server did not do it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The holder said no.
    #[error("{message}")]
    Remote {
        /// The exit code it goes with.
        exit_code: u8,
        /// For people.
        message: String,
    },
    /// The holder speaks another version.
    #[error(
        "the process that holds the data directory speaks version {theirs} of the protocol, this one {ours}; use the \
         same version of bandstand for both, or end the other one"
    )]
    Protocol {
        /// Its version.
        theirs: u32,
        /// This process's.
        ours: u32,
    },
    /// What the other side sent is no message.
    #[error("the other side of the socket sent what is no message: {0}")]
    Garbled(String),
    /// The holder ended before it answered.
    #[error("the process that held the data directory ended before it answered; try again")]
    HolderLeft,
    /// The host is closing.
    #[error("the host is closing; try again")]
    Closing,
}

impl HostError {
    /// The exit code that a command ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            HostError::NotImported { .. } => 2,
            HostError::Imported(
                ImportError::Known(_)
                | ImportError::ThreadHeld { .. }
                | ImportError::Refused(Refused::QueueFull { .. }),
            ) => 3,
            HostError::Imported(ImportError::Refused(Refused::Stopped)) => 74,
            HostError::Start(_)
            | HostError::Plugin { .. }
            | HostError::Outgoing(_)
            | HostError::Fork(ForkError::Start(_) | ForkError::Edit { .. }) => 2,
            HostError::Fork(_)
            | HostError::NoPoint { .. }
            | HostError::NotFailed { .. }
            | HostError::ChildOf { .. } => 3,
            HostError::InUse { .. }
            | HostError::Silent { .. }
            | HostError::ThreadHeld { .. }
            | HostError::ThreadBusy { .. }
            | HostError::NoSuchThread { .. }
            | HostError::NoSuchRun(_)
            | HostError::RequestTaken { .. } => 3,
            HostError::Refused(Refusal::Stuck { .. }) => 1,
            HostError::Refused(_) => 3,
            HostError::Storage(_) => 74,
            HostError::Api(error) => error.exit_code(),
            HostError::Remote { exit_code, .. } => *exit_code,
            HostError::Unreadable { .. }
            | HostError::NotRetried { .. }
            | HostError::PluginMissing(_)
            | HostError::Setup(_)
            | HostError::Socket { .. }
            | HostError::Protocol { .. }
            | HostError::Garbled(_)
            | HostError::HolderLeft
            | HostError::Closing => 1,
        }
    }

    /// Whether another try may find another holder.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, HostError::HolderLeft | HostError::Closing)
    }
}

impl From<OpenError> for HostError {
    fn from(error: OpenError) -> HostError {
        HostError::Storage(error.to_string())
    }
}

impl From<ReadError> for HostError {
    fn from(error: ReadError) -> HostError {
        HostError::Storage(error.to_string())
    }
}

impl From<InFlightError> for HostError {
    fn from(error: InFlightError) -> HostError {
        HostError::Storage(error.to_string())
    }
}

impl From<LockError> for HostError {
    fn from(error: LockError) -> HostError {
        match error {
            LockError::Held { directory, holder } => {
                HostError::InUse { directory, pid: holder.map(|holder| holder.pid) }
            }
            error => HostError::Storage(error.to_string()),
        }
    }
}
