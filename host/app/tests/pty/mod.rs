//! A pseudo-terminal with the real binary on it: what is typed there, what stands there, and how the binary ended.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::bandstand::Folder;

/// Long enough for a busy machine; reached only by what hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// The byte of Ctrl-C; the terminal makes a signal of it.
pub(crate) const CTRL_C: &str = "\u{3}";

/// Name the terminal, the arguments and a file for stderr to the process that becomes the binary.
const PATH: &str = "PTY_TEST_PATH";
const ARGS: &str = "PTY_TEST_ARGS";
const STDERR: &str = "PTY_TEST_STDERR";

/// The binary on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// Kept open, so that the terminal lives until everything was read.
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    /// Up to here it was looked at.
    seen: usize,
}

/// How it ended, and all that stood on the terminal.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) code: i32,
    pub(crate) shown: String,
}

impl Terminal {
    /// Starts the binary with stdin, stdout and stderr on a new terminal, which is its session's. `settings` are
    /// environment variables.
    pub(crate) fn start(folder: &Folder, args: &[&str], settings: &[(&str, &str)]) -> Terminal {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen = openpt(flags).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        tcsetwinsize(&screen, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let line = ioctl_tiocgptpeer(&screen, flags).unwrap();
        let path = ptsname(&screen, Vec::new()).unwrap().into_string().unwrap();
        // This test program becomes the binary, in `become_the_binary`: only a new process can get a terminal, and
        // doing that between fork and exec is not safe code.
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_on_a_terminal"]).current_dir(folder.path());
        for name in ["BANDSTAND_DATA", "NO_COLOR", "EDITOR", "VISUAL"] {
            command.env_remove(name);
        }
        command.env("USER", "tester").env("TERM", "xterm").envs(settings.iter().copied());
        command.env(PATH, path).env(ARGS, args.join("\n"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, keyboard) = (File::from(screen.try_clone().unwrap()), File::from(screen));
        let reader = std::thread::spawn({
            let shown = shown.clone();
            move || {
                let mut bytes = [0; 4096];
                // It fails when nobody is on the line any more.
                while let Ok(count @ 1..) = screen.read(&mut bytes) {
                    shown.lock().unwrap().extend_from_slice(&bytes[..count]);
                }
            }
        });
        Terminal { child, keyboard, line, shown, reader, seen: 0 }
    }

    /// The same with stderr in a file of the folder.
    pub(crate) fn start_with_stderr_in(folder: &Folder, file: &str, args: &[&str]) -> Terminal {
        Terminal::start(folder, args, &[(STDERR, folder.path().join(file).to_str().unwrap())])
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this stands on the terminal, after what was waited for before.
    #[track_caller]
    pub(crate) fn until(&mut self, part: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap().clone();
            let part_bytes = part.as_bytes();
            let rest = &shown[self.seen..];
            if let Some(place) = rest.windows(part_bytes.len()).position(|window| window == part_bytes) {
                self.seen += place + part_bytes.len();
                return;
            }
            let text = String::from_utf8_lossy(&shown);
            assert!(begun.elapsed() < PATIENCE, "{part:?} does not come: {text:?}");
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before {part:?} came: {text:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> Left {
        let begun = Instant::now();
        while !self.has_ended() {
            if begun.elapsed() >= PATIENCE {
                self.child.kill().unwrap();
                panic!("it does not end: {:?}", String::from_utf8_lossy(&self.shown.lock().unwrap()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        drop(self.line);
        self.reader.join().unwrap();
        let shown = String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned();
        Left { code, shown }
    }
}

impl Left {
    /// It ended so, and each of these stood on the terminal.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, parts: &[&str]) -> Left {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            assert!(self.shown.contains(part), "no {part:?}: {self:#?}");
        }
        self
    }
}

/// Becomes the binary on the terminal that was named; returns when none was.
pub(crate) fn become_the_binary() {
    let Ok(path) = std::env::var(PATH) else { return };
    rustix::process::setsid().unwrap();
    // The first terminal that the leader of a session opens is the session's.
    let terminal = File::options().read(true).write(true).open(path).unwrap();
    let stderr = match std::env::var(STDERR) {
        Ok(file) => File::create(file).unwrap(),
        Err(_) => terminal.try_clone().unwrap(),
    };
    let args = std::env::var(ARGS).unwrap();
    let error = Command::new(env!("CARGO_BIN_EXE_bandstand"))
        .args(args.lines())
        .stdin(terminal.try_clone().unwrap())
        .stdout(terminal)
        .stderr(stderr)
        .exec();
    panic!("{error}");
}
