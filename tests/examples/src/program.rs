//! The built program, called as a person would, from the repository's root, on a data directory of its own.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::root;

/// No command of an example takes longer on a slow machine, compiling its agents included.
const WALL_MS_MAX: u64 = 240_000;

/// The program with a data directory that goes with it.
pub struct Program {
    binary: PathBuf,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// As typed, for messages.
    pub command: String,
    /// Its exit code; -1: a signal.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Program {
    /// The program beside this test's own executable, or the one that `BANDSTAND_BIN` names.
    ///
    /// # Panics
    /// When it, or the plugins, are not built; the message says which command does.
    pub fn find() -> Program {
        let beside = || {
            let own = std::env::current_exe().unwrap();
            own.ancestors().nth(2).unwrap().join("bandstand").with_extension(std::env::consts::EXE_EXTENSION)
        };
        let binary = std::env::var_os("BANDSTAND_BIN").map_or_else(beside, PathBuf::from);
        assert!(binary.is_file(), "there is no {}: run `cargo build -p bandstand` first", binary.display());
        let plugins = root().join("target/plugins");
        assert!(
            plugins.join("report.wasm").is_file(),
            "there are no plugins: run `cargo xtask plugins` first"
        );
        Program { binary, folder: TempDir::new().unwrap() }
    }

    /// Runs it with `--json` and these arguments to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn json(&self, args: &[&str]) -> Ended {
        let mut all = vec!["--json"];
        all.extend(args);
        self.call(&all)
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn call(&self, args: &[&str]) -> Ended {
        let command = format!("bandstand {}", args.join(" "));
        let path = |name: &str| self.folder.path().join(name);
        // Files instead of pipes: nothing has to be read while it runs, so it cannot be held up.
        let mut child = Command::new(&self.binary)
            .args(args)
            .current_dir(root())
            .env("BANDSTAND_DATA", path("data"))
            .env("USER", "reader")
            .stdin(Stdio::null())
            .stdout(File::create(path("stdout")).unwrap())
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > Duration::from_millis(WALL_MS_MAX) {
                child.kill().unwrap();
                let stderr = std::fs::read_to_string(path("stderr")).unwrap_or_default();
                panic!("`{command}` did not end within {WALL_MS_MAX} ms; so far it said:\n{stderr}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |name: &str| String::from_utf8(std::fs::read(path(name)).unwrap()).unwrap();
        Ended { command, code: status.code().unwrap_or(-1), stdout: read("stdout"), stderr: read("stderr") }
    }
}

impl Ended {
    /// stdout as one JSON document a line.
    ///
    /// # Panics
    /// When it is not.
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self}"));
        self.stdout.lines().map(parse).collect()
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
}

impl std::fmt::Display for Ended {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ended { command, code, stdout, stderr } = self;
        // The end tells most.
        let last = |text: &str| {
            text.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        write!(
            formatter,
            "`{command}` ended with {code}\nstdout:\n{}\nstderr:\n{}",
            last(stdout),
            last(stderr)
        )
    }
}
