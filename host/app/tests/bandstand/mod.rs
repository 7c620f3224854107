//! Runs the real binary, each test in a folder of its own, and reads what it printed and how it ended.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder to work in; it is gone when the test ends.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

/// How one call of the binary ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A call that is not started yet: no terminal, no settings of whoever runs the tests.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bandstand"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for name in ["BANDSTAND_DATA", "BANDSTAND_LOG", "NO_COLOR", "EDITOR", "VISUAL"] {
            command.env_remove(name);
        }
        command.env("USER", "tester");
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// The same with text on stdin.
    pub(crate) fn call_with(&self, args: &[&str], stdin: &str) -> Ended {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    }
}

impl Ended {
    pub(crate) fn of(output: std::process::Output) -> Ended {
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended so, and stderr says each of these.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, stderr: &[&str]) -> Ended {
        assert_eq!(self.code, code, "{self:#?}");
        for part in stderr {
            assert!(self.stderr.contains(part), "no {part:?} in stderr: {self:#?}");
        }
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// stdout as one JSON document a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The last of these.
    #[track_caller]
    pub(crate) fn last(&self) -> Value {
        self.lines().pop().unwrap_or_else(|| panic!("nothing on stdout: {self:#?}"))
    }
}
