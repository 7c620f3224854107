//! Runs the tools of a build: each command is said before, and a tool that fails is told with all that it said.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use thiserror::Error;

use super::tool::{Lack, Program};

/// Why there is no component.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The toolchain is not whole.
    #[error("{}", lacks(.0))]
    Lacking(Vec<Lack>),
    /// A tool cannot be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// As it would be typed.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// A tool failed. What it said is here only when it was not shown as it came.
    #[error("`{command}` failed ({status}){}", words_of(.said))]
    Failed {
        /// As it would be typed.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        said: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is there is not what an agent of this language consists of.
    #[error("{what}")]
    Source {
        /// What is wrong, and where.
        what: String,
        /// What to do.
        help: String,
    },
}

fn lacks(lacks: &[Lack]) -> String {
    let each: Vec<String> = lacks.iter().map(|lack| format!("  {lack}")).collect();
    format!("the toolchain is not whole:\n{}", each.join("\n"))
}

fn words_of(said: &str) -> String {
    let said = said.trim_end();
    if said.is_empty() { String::new() } else { format!("; it said:\n{said}") }
}

/// Runs commands in a project's folder.
pub struct Runner<'a> {
    /// Where.
    pub dir: &'a Path,
    /// Is told each command as it would be typed there.
    pub say: &'a dyn Fn(&str),
    /// Is told what looks like a mistake, though the tools do not mind it.
    pub warn: &'a dyn Fn(&str),
    /// What tools say goes to stderr as it comes; else it is kept and told only when they fail.
    pub live: bool,
}

impl Runner<'_> {
    /// Runs a tool to its end. What it writes to stdout is no data of ours, so it goes where its stderr goes.
    pub(super) fn run(&self, program: &Program, args: &[&str]) -> Result<(), BuildError> {
        self.run_with(program, args, |_| {})
    }

    /// The same, after `prepare` has had its way with the command.
    pub(super) fn run_with(
        &self,
        program: &Program,
        args: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Result<(), BuildError> {
        let stdout = if self.live { to_stderr() } else { Stdio::piped() };
        let shown = shown(program, args);
        let output = self.output(program, args, &shown, stdout, prepare)?;
        ended(&output, shown, &[&output.stdout, &output.stderr])
    }

    /// Runs a tool whose stdout is wanted.
    pub(super) fn stdout(&self, program: &Program, args: &[&str]) -> Result<Vec<u8>, BuildError> {
        let shown = shown(program, args);
        let output = self.output(program, args, &shown, Stdio::piped(), |_| {})?;
        ended(&output, shown, &[&output.stderr])?;
        Ok(output.stdout)
    }

    fn output(
        &self,
        program: &Program,
        args: &[&str],
        shown: &str,
        stdout: Stdio,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Output, BuildError> {
        (self.say)(shown);
        let mut command = program.command(self.dir);
        command.args(args).stdin(Stdio::null()).stdout(stdout);
        command.stderr(if self.live { Stdio::inherit() } else { Stdio::piped() });
        prepare(&mut command);
        command.output().map_err(|source| BuildError::Start { command: shown.to_owned(), source })
    }
}

fn ended(output: &Output, command: String, said: &[&[u8]]) -> Result<(), BuildError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said.concat()).into_owned();
    Err(BuildError::Failed { command, status: output.status.to_string(), said })
}

/// The stderr of this process, as the stdout of another.
fn to_stderr() -> Stdio {
    io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

fn shown(program: &Program, args: &[&str]) -> String {
    let quoted = |text: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,=".contains(c);
        let is_plain = !text.is_empty() && text.chars().all(plain);
        if is_plain { (*text).to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    let words: Vec<String> =
        program.shown().into_iter().chain(args.iter().copied()).map(|word| quoted(&word)).collect();
    words.join(" ")
}
