//! One command of the program while it runs, and how it ended.

use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::wait_for;

/// A command that was started. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    command: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As typed, for messages.
    pub command: String,
    /// Its exit code; none: a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Process {
    pub(crate) fn new(command: String, child: Child, stdout: PathBuf, stderr: PathBuf) -> Process {
        Process { command, child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`: nothing of the program gets to run any more.
    pub fn kill_nine(mut self) -> Ended {
        // It may have ended by itself just now.
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        self.ended(status)
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.send(Signal::INT);
    }

    /// What service managers send first.
    pub fn terminate(&self) {
        self.send(Signal::TERM);
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(mut self) -> Ended {
        let what = format!("the end of `{}`", self.command);
        let status = wait_for(&what, || self.child.try_wait().unwrap());
        self.ended(status)
    }

    /// What it wrote to stdout so far, the complete lines.
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.stdout).unwrap();
        complete_lines(&text)
    }

    /// What it wrote to stderr so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits until a line on stdout is such.
    pub fn line(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("{what} from `{}`", self.command), || {
            let over = !self.is_alive();
            let found = self.lines().into_iter().find(&is);
            assert!(found.is_some() || !over, "`{}` ended without {what}:\n{}", self.command, self.stderr());
            found
        })
    }

    /// The id of the run it started, once it said so.
    pub fn run_id(&mut self) -> String {
        let line = self.line("the start of a run", |line| line["type"] == "run.started");
        line["run_id"].as_str().unwrap().to_owned()
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        Ended {
            command: self.command.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: fs::read_to_string(&self.stdout).unwrap(),
            stderr: fs::read_to_string(&self.stderr).unwrap(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// stdout as JSON; what was cut off by a kill is left out.
    pub fn lines(&self) -> Vec<Value> {
        complete_lines(&self.stdout)
    }

    /// The id of the run it said it started.
    pub fn run_id(&self) -> Option<String> {
        let line = self.lines().into_iter().find(|line| line["type"] == "run.started")?;
        Some(line["run_id"].as_str().unwrap().to_owned())
    }

    /// The last line, which says how the run went.
    ///
    /// # Panics
    /// When there is none.
    pub fn outcome(&self) -> Value {
        let last = self.lines().pop().unwrap_or_else(|| panic!("no outcome\n{self}"));
        assert_eq!(last["type"], "outcome", "{self}");
        last
    }

    /// The same, when it ended with that code.
    ///
    /// # Panics
    /// When it ended otherwise.
    pub fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ended { command, code, signal, stdout, stderr } = self;
        // The end tells most.
        let last = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n")
        };
        writeln!(formatter, "`{command}` ended with code {code:?}, signal {signal:?}")?;
        write!(formatter, "stdout:\n{}\nstderr:\n{}", last(stdout), last(stderr))
    }
}

fn complete_lines(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
