//! How the program ends: exit codes with a meaning, and errors that say what, where, and what to do next.

use std::fmt;
use std::io::{self, ErrorKind};

/// The exit codes of `bandstand`, as `docs/cli.md` promises them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done; a run succeeded.
    Succeeded = 0,
    /// A run failed or was cancelled, or something unforeseen happened.
    Failed = 1,
    /// The command line or a file is not valid.
    Usage = 2,
    /// There is no such thing, or it is not in a state for this.
    NotFound = 3,
    /// A run waits for a person: for a review, a signal, or to be resumed.
    Waiting = 4,
    /// The disk did not keep what it was given.
    Storage = 74,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// All of them with their meaning, for the reference.
    pub const ALL: [(Exit, &'static str); 7] = [
        (Exit::Succeeded, "done; the run succeeded"),
        (Exit::Failed, "the run failed, was cancelled or killed, or the host met something unforeseen"),
        (Exit::Usage, "wrong usage, invalid input, or an invalid file"),
        (Exit::NotFound, "not found, or a conflict: answered otherwise, already ended, in use"),
        (Exit::Waiting, "the run waits for a person: for a review, a signal, or because it is paused"),
        (Exit::Storage, "storage failed; nothing unsaved was acknowledged"),
        (Exit::Interrupted, "interrupted by Ctrl-C; the run stays and can be driven on"),
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The command could not do what it was asked to.
#[derive(Clone, Debug)]
pub struct Failure {
    /// With which code the program ends.
    pub exit: Exit,
    /// What is wrong, and where.
    pub what: String,
    /// What to do next.
    pub help: Option<String>,
}

impl Failure {
    /// Wrong usage, input or file.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Usage, what: what.to_string(), help: None }
    }

    /// No such thing, or a conflict.
    pub fn not_found(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::NotFound, what: what.to_string(), help: None }
    }

    /// A file or folder that cannot be read: there is none, or the system refuses it.
    pub fn unreadable(what: impl fmt::Display, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Exit::NotFound,
            _ => Exit::Usage,
        };
        Failure { exit, what: format!("cannot read {what}: {error}"), help: None }
    }

    /// The disk failed.
    pub fn storage(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Storage, what: what.to_string(), help: None }
    }

    /// Anything else.
    pub fn other(what: impl fmt::Display) -> Failure {
        Failure { exit: Exit::Failed, what: what.to_string(), help: None }
    }

    /// The same with advice.
    pub fn help(mut self, help: impl fmt::Display) -> Failure {
        self.help = Some(help.to_string());
        self
    }

    /// As the `error` member of JSON output.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.what, "help": self.help, "exit_code": self.exit.code() })
    }
}
