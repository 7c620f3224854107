//! A project folder with workflow files, agents and a data directory, and the program that works on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::journal::Journal;
use crate::process::{Ended, Process};

/// Where the agents are built.
const PLUGINS: &str = "target/plugins";
/// An attempt that is killed three times in a row takes its plugin out of service: for a moment, as tests wait for it.
const SETTINGS: &str = "[quarantine]\ncool-down = \"1s\"\ncool-down-max = \"2s\"\n\
                        [grants]\n\"audit.wasm\" = { memory = \"write\" }\n";

/// A project folder. It stays when a test fails, and its place is told.
#[derive(Debug)]
pub struct Site {
    binary: PathBuf,
    folder: TempDir,
    data: PathBuf,
    calls: AtomicU32,
}

impl Site {
    /// A folder with these workflow files, the agents `flaky`, `audit` and `echo`, and no data yet.
    ///
    /// The program is the one beside this test's own executable, or the one that `BANDSTAND_BIN` names.
    ///
    /// # Panics
    /// When program or plugins are not built; the message says which command does.
    pub fn new(files: &[(&str, &str)]) -> Site {
        let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("bandstand");
        let binary = std::env::var_os("BANDSTAND_BIN").map_or_else(beside, PathBuf::from);
        assert!(binary.is_file(), "there is no {}: run `cargo build -p bandstand` first", binary.display());
        let folder = TempDir::new().unwrap();
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PLUGINS);
        for name in ["flaky.wasm", "audit.wasm", "echo.wasm"] {
            let copied = fs::copy(plugins.join(name), folder.path().join(name));
            assert!(copied.is_ok(), "there is no {name} in {PLUGINS}: run `cargo xtask plugins` first");
        }
        fs::write(folder.path().join("bandstand.toml"), SETTINGS).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let data = folder.path().join("data");
        Site { binary, folder, data, calls: AtomicU32::new(0) }
    }

    /// The same with its data elsewhere, such as on another disk.
    pub fn with_data(mut self, data: &Path) -> Site {
        data.clone_into(&mut self.data);
        self
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts `bandstand --json ARGS`.
    pub fn start(&self, args: &[&str]) -> Process {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| self.folder.path().join(format!("{name}-{number}"));
        let (stdout, stderr) = (path("stdout"), path("stderr"));
        // Files instead of pipes: nothing has to be read while it runs, so it cannot be held up.
        let child = Command::new(&self.binary)
            .arg("--json")
            .args(args)
            .current_dir(self.folder.path())
            .env("BANDSTAND_DATA", &self.data)
            .env("USER", "tester")
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Process::new(format!("bandstand {}", args.join(" ")), child, stdout, stderr)
    }

    /// Runs `bandstand --json ARGS` to its end.
    pub fn call(&self, args: &[&str]) -> Ended {
        self.start(args).wait()
    }

    /// Starts `bandstand run` with that file and input.
    pub fn run(&self, file: &str, input: &str) -> Process {
        self.start(&["run", file, "--no-ask", "--input", input])
    }

    /// What the file says now, whoever holds it.
    pub fn journal(&self) -> Journal {
        Journal::open(&self.data)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("what is left of it: {}", self.folder.path().display());
        }
    }
}
