//! The host's side of compiling: starts a child, feeds it a component, and takes its answer within bounds.
//!
//! One thread waits for one child. However the child ends, and whatever it writes, the answer is a value; nothing here
//! waits for longer than the bound of time, and no process of the child's group outlives it.

use crate::answer::{self, Answer, Progress};
use crate::compile_child::{Bounds, Task};
use crate::load_error::LoadError;
use crate::sanitise::sanitise;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Threads of one child. More make the address space that it needs larger, not the wait much shorter.
const THREADS_MAX: usize = 4;
/// How much of what a child says on standard error is kept. Bytes.
const ERRORS_BYTES_MAX: usize = 4 << 10;
/// How long a child that closed its output may take to end by itself.
const ENDING: Duration = Duration::from_secs(2);

/// How components are compiled outside of this process, and within which bounds.
///
/// The program must call [`compile_main`](crate::compile_main) with what follows `arguments`, before it does anything
/// else: it reads no settings, its environment is empty, its working directory is `/`.
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The program. It must be of the same build as this one, or all that it compiles is refused.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
    /// Address space of one child. Bytes (`compile.memory`).
    pub memory_bytes_max: u64,
    /// From the start of a child to the end of its answer. Milliseconds (`compile.time`).
    pub wall_ms_max: u64,
    /// Children at once; further components queue. Components whose code is kept do not.
    pub at_once_max: usize,
}

impl Compiler {
    /// 2 GiB. A Python component of 18 MB took 0.7 GiB with four threads.
    pub const MEMORY_BYTES_MAX: u64 = 2 << 30;
    /// A minute.
    pub const WALL_MS_MAX: u64 = 60_000;

    /// The program that is running now, whatever has become of its file since, with the default bounds.
    #[must_use]
    pub fn of_this_program(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Compiler {
        Compiler {
            // Not the path by which it was started: another version may have been installed there by now.
            program: PathBuf::from("/proc/self/exe"),
            arguments: arguments.into_iter().map(Into::into).collect(),
            memory_bytes_max: Compiler::MEMORY_BYTES_MAX,
            wall_ms_max: Compiler::WALL_MS_MAX,
            // So that one component that takes its whole time holds nobody up.
            at_once_max: threads().max(2),
        }
    }

    /// The component's code.
    pub(crate) fn compile(&self, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.ask(Task::Compile, component)
    }

    /// Whether all of a component is valid, its code included, with no more of WebAssembly than this host compiles. Its code is not
    /// compiled, but the bounds are the same: a hostile one takes as much memory and time as there is. Blocks.
    ///
    /// # Errors
    /// The first place that is not valid; or that there was no answer within the bounds.
    pub fn validate(&self, component: &[u8]) -> Result<(), LoadError> {
        self.ask(Task::Validate, component).map(drop).map_err(|error| match error {
            LoadError::Compile { message } => LoadError::Malformed { message },
            other => other,
        })
    }

    fn ask(&self, task: Task, component: &[u8]) -> Result<Vec<u8>, LoadError> {
        let cannot = |error: std::io::Error| LoadError::CompilerStart {
            program: self.program.clone(),
            problem: error.to_string(),
        };
        let started = Instant::now();
        let mut child = Killed { child: self.start(task).map_err(cannot)?, is_reaped: false };
        let ended = Talk::new(&mut child.child, component).map_err(cannot)?;
        let ended =
            ended.wait_to_the_end(started + Duration::from_millis(self.wall_ms_max)).map_err(cannot)?;
        match ended {
            Ended::Answered(Answer::Code(code)) => Ok(code),
            Ended::Answered(Answer::Failed(message)) if out_of_memory(&message) => Err(self.memory()),
            Ended::Answered(Answer::Panicked(message)) if out_of_memory(&message) => Err(self.memory()),
            Ended::Answered(Answer::Failed(message)) => {
                Err(LoadError::Compile { message: sanitise(&message, 1_000) })
            }
            Ended::Answered(Answer::Panicked(message)) => {
                Err(LoadError::CompilerCrash { how: format!("a panic: {}", sanitise(&message, 500)) })
            }
            Ended::Answered(Answer::Unconfined(message)) => Err(LoadError::CompilerStart {
                program: self.program.clone(),
                problem: sanitise(&message, 500),
            }),
            Ended::OutOfTime => Err(self.time()),
            Ended::Garbage(problem) => Err(LoadError::CompilerAnswer { problem }),
            Ended::Silent { errors } => Err(self.end_of(child.end(), &errors)),
        }
    }

    fn start(&self, task: Task) -> std::io::Result<Child> {
        let threads = threads();
        let bounds = Bounds {
            memory_bytes: self.memory_bytes_max,
            // Above what all threads can use within the wall time: only for a child that outlives its host's patience.
            cpu_s: self.wall_ms_max.div_ceil(1_000).saturating_mul(threads as u64).saturating_add(1),
            parent: std::process::id(),
            task,
        };
        Command::new(&self.program)
            .arg0("bandstand")
            .args(&self.arguments)
            .args(bounds.arguments())
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            // Ctrl-C is for the host, which decides what becomes of its children.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// What a child died of that did not answer.
    fn end_of(&self, status: std::io::Result<ExitStatus>, errors: &str) -> LoadError {
        if out_of_memory(errors) {
            return self.memory();
        }
        let how = match status.map(|status| (status.code(), status.signal())) {
            Ok((_, Some(signal))) if signal == Signal::XCPU.as_raw() => return self.time(),
            Ok((_, Some(signal))) if signal == Signal::KILL.as_raw() => {
                "it was killed, by the system when memory is short or by a person".to_owned()
            }
            Ok((_, Some(signal))) => format!("signal {signal}"),
            Ok((Some(0), _)) => {
                return LoadError::CompilerAnswer { problem: "there is none" };
            }
            Ok((code, _)) => format!("exit code {}", code.unwrap_or(-1)),
            Err(error) => error.to_string(),
        };
        let errors = sanitise(errors.trim(), 500);
        LoadError::CompilerCrash { how: if errors.is_empty() { how } else { format!("{how}: {errors}") } }
    }

    fn memory(&self) -> LoadError {
        LoadError::CompileMemory { limit_bytes: self.memory_bytes_max }
    }

    fn time(&self) -> LoadError {
        LoadError::CompileTime { limit_ms: self.wall_ms_max }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

/// The words of the standard library for a refused allocation, and the system's for a refused mapping or thread. A
/// component that gets them into another message fools nobody but whoever reads why it failed.
fn out_of_memory(text: &str) -> bool {
    ["memory allocation of", "Cannot allocate memory", "Resource temporarily unavailable"]
        .iter()
        .any(|words| text.contains(words))
}

/// A child that does not outlive this, nor do those that it started in its group.
struct Killed {
    child: Child,
    is_reaped: bool,
}

impl Killed {
    /// How it ended: by itself if it does so soon.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        let patience = Instant::now() + ENDING;
        while Instant::now() < patience && !self.has_ended()? {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.reap()
    }

    /// Without taking note of it, so that its number stays its own.
    fn has_ended(&self) -> std::io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.child)), look)?.is_some())
    }

    fn reap(&mut self) -> std::io::Result<ExitStatus> {
        if !self.is_reaped {
            // Before it is waited for: after that another process may have its number. One that has ended stays as it
            // ended.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.kill();
        }
        self.is_reaped = true;
        self.child.wait()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.reap();
    }
}

/// How the talk with a child ended.
enum Ended {
    Answered(Answer),
    /// It answered with something else.
    Garbage(&'static str),
    /// Its time was over first.
    OutOfTime,
    /// It closed its output before it had answered.
    Silent {
        errors: String,
    },
}

/// Both directions at once: a child that answers before it has read everything must not block, nor must one that reads
/// nothing.
struct Talk<'a> {
    child: &'a mut Child,
    head: [u8; 8],
    component: &'a [u8],
    sent_bytes: usize,
    answer: Vec<u8>,
    errors: Vec<u8>,
}

impl<'a> Talk<'a> {
    fn new(child: &'a mut Child, component: &'a [u8]) -> std::io::Result<Talk<'a>> {
        if let Some(input) = &child.stdin {
            rustix::io::ioctl_fionbio(input, true)?;
        }
        if let Some(output) = &child.stdout {
            rustix::io::ioctl_fionbio(output, true)?;
        }
        if let Some(errors) = &child.stderr {
            rustix::io::ioctl_fionbio(errors, true)?;
        }
        let head = (component.len() as u64).to_le_bytes();
        Ok(Talk { child, head, component, sent_bytes: 0, answer: Vec::new(), errors: Vec::new() })
    }

    fn wait_to_the_end(mut self, deadline: Instant) -> std::io::Result<Ended> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Ended::OutOfTime);
            }
            self.wait(left)?;
            self.send()?;
            self.hear_errors()?;
            let closed = self.hear()?;
            match answer::look(&self.answer) {
                Progress::Whole(answer) => return Ok(Ended::Answered(answer)),
                Progress::Garbage(problem) => return Ok(Ended::Garbage(problem)),
                Progress::Part if closed => {
                    self.hear_errors()?;
                    let errors = String::from_utf8_lossy(&self.errors).into_owned();
                    return Ok(Ended::Silent { errors });
                }
                Progress::Part => {}
            }
        }
    }

    /// Until something can be done, or the time is over.
    fn wait(&self, left: Duration) -> std::io::Result<()> {
        let mut descriptors = Vec::with_capacity(3);
        if let Some(input) = &self.child.stdin {
            descriptors.push(PollFd::new(input, PollFlags::OUT));
        }
        if let Some(output) = &self.child.stdout {
            descriptors.push(PollFd::new(output, PollFlags::IN));
        }
        if let Some(errors) = &self.child.stderr {
            descriptors.push(PollFd::new(errors, PollFlags::IN));
        }
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut descriptors, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self) -> std::io::Result<()> {
        while let Some(input) = &mut self.child.stdin {
            let rest = match self.sent_bytes.checked_sub(self.head.len()) {
                None => &self.head[self.sent_bytes..],
                Some(sent_bytes) => &self.component[sent_bytes..],
            };
            if rest.is_empty() {
                self.child.stdin = None;
                return Ok(());
            }
            match input.write(rest) {
                Ok(sent_bytes) => self.sent_bytes += sent_bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It wants no more; what it has to say tells why.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.child.stdin = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the answer's end was reached.
    fn hear(&mut self) -> std::io::Result<bool> {
        let Some(output) = &mut self.child.stdout else { return Ok(true) };
        read_some(output, &mut self.answer)
    }

    fn hear_errors(&mut self) -> std::io::Result<()> {
        let Some(errors) = &mut self.child.stderr else { return Ok(()) };
        let closed = read_some(errors, &mut self.errors)?;
        // The first words tell most. The rest is read and forgotten, so that it is not waited for.
        self.errors.truncate(ERRORS_BYTES_MAX);
        if closed {
            self.child.stderr = None;
        }
        Ok(())
    }
}

/// Reads what is there, up to a mebibyte, so that time and other pipes get their turn. Whether the end was reached.
fn read_some(from: &mut impl Read, into: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut chunk = [0; 64 << 10];
    for _ in 0..16 {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(bytes) => into.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
