//! The child's side of compiling: takes powers away from itself, then reads a component and answers with its code.
//!
//! A component is untrusted input of a large program, the compiler, and of the validator before it. Here it can crash, eat
//! memory and time as it likes; the host loses a child. What this is not: a boundary against a component that takes the compiler over, since whoever
//! controls the child chooses the code that the host runs next.

use crate::answer::Answer;
use crate::engine;
use crate::inspect;
use crate::load_error::LoadError;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::any::Any;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// What follows the bounds where nothing is to be compiled.
const VALIDATE: &str = "validate";

/// What a child is to do with its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Answer with its code.
    Compile,
    /// Answer with no code when all of it is valid.
    Validate,
}

/// What the parent passes after the arguments of [`Compiler`](crate::Compiler), in this order.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Address space. Bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time of all threads together. Seconds.
    pub(crate) cpu_s: u64,
    /// Whoever waits for the answer.
    pub(crate) parent: u32,
    /// Not a bound, but as fixed.
    pub(crate) task: Task,
}

impl Bounds {
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut all = vec![self.memory_bytes.to_string(), self.cpu_s.to_string(), self.parent.to_string()];
        if self.task == Task::Validate {
            all.push(VALIDATE.to_owned());
        }
        all
    }

    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Bounds> {
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next()?.to_str()?.parse::<u64>().ok();
        let (memory_bytes, cpu_s, parent) = (next()?, next()?, u32::try_from(next()?).ok()?);
        let task = match arguments.next() {
            None => Task::Compile,
            Some(word) if word == VALIDATE => Task::Validate,
            Some(_) => return None,
        };
        arguments.next().is_none().then_some(Bounds { memory_bytes, cpu_s, parent, task })
    }
}

/// The whole life of a compiling child: bounds from the arguments, a component from standard input, a framed answer to
/// standard output. A program that names itself in [`Compiler`](crate::Compiler) calls this before anything else, with
/// the arguments after those given there.
#[must_use]
pub fn compile_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(bounds) = Bounds::parse(arguments) else {
        eprintln!(
            "this is how the host calls itself to compile plugins; people use `bandstand plugin precompile`"
        );
        return ExitCode::from(2);
    };
    let answer = match confine(&bounds) {
        Err(problem) => Answer::Unconfined(problem),
        Ok(()) => match component() {
            // The host died, or somebody else called.
            None => return ExitCode::FAILURE,
            Some(component) => answer(bounds.task, &component),
        },
    };
    let (head, content) = answer.frame();
    let mut output = std::io::stdout().lock();
    let written =
        output.write_all(&head).and_then(|()| output.write_all(content)).and_then(|()| output.flush());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn answer(task: Task, component: &[u8]) -> Answer {
    let done = catch_unwind(AssertUnwindSafe(|| match task {
        Task::Compile => engine::for_compiling()
            .and_then(|engine| engine.precompile_component(component))
            .map_err(|error| format!("{error:#}")),
        Task::Validate => inspect::validate(component).map(|()| Vec::new()).map_err(|error| match error {
            LoadError::Malformed { message } => message,
            other => other.to_string(),
        }),
    }));
    match done {
        Ok(Ok(code)) => Answer::Code(code),
        Ok(Err(error)) => Answer::Failed(error),
        Err(panic) => Answer::Panicked(panic_text(&*panic).to_owned()),
    }
}

/// Eight bytes of length, then so many bytes. None: it ends too early.
fn component() -> Option<Vec<u8>> {
    let mut input = std::io::stdin().lock();
    let mut size = [0; 8];
    input.read_exact(&mut size).ok()?;
    let size = u64::from_le_bytes(size);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).ok()?).ok()?;
    (input.take(size).read_to_end(&mut bytes).ok()? as u64 == size).then_some(bytes)
}

/// From here on: no new descriptors (so no files, no sockets), no new privileges, no core files, bounded memory and time,
/// first to go when memory is short, and gone with the host.
fn confine(bounds: &Bounds) -> Result<(), String> {
    let system = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| system("cannot end with the host")(error.into()))?;
    // It may have died before that.
    if rustix::process::getppid().map(Pid::as_raw_pid) != i32::try_from(bounds.parent).ok() {
        return Err("the host that asked is gone".to_owned());
    }
    // Where this is not possible the system chooses by size, which often is the same.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    no_new_privileges().map_err(system("cannot give up privileges"))?;
    close_inherited();
    for (what, resource, most) in [
        ("address space", Resource::As, bounds.memory_bytes),
        ("processor time", Resource::Cpu, bounds.cpu_s),
        ("core files", Resource::Core, 0),
        ("file sizes", Resource::Fsize, 0),
        ("descriptors", Resource::Nofile, 0),
    ] {
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::setrlimit(resource, limit)
            .map_err(|error| format!("cannot bound {what} to {most}: {error}"))?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "neither the standard library nor what rustix is built with here offers it")]
fn no_new_privileges() -> std::io::Result<()> {
    // SAFETY: this `prctl` takes numbers only and changes nothing but a flag of the process.
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Whatever the host was started with and did not open itself: its own descriptors are closed by the system.
#[expect(unsafe_code, reason = "neither the standard library nor rustix closes what it did not open")]
fn close_inherited() {
    // SAFETY: nothing of this process was opened yet but the three standard descriptors: `compile_main` is called
    // before anything else, and the file written above is closed.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        // Before Linux 5.9. Those that a shell leaves open have small numbers.
        for descriptor in 3..1_024 {
            // SAFETY: as above.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// The text that a panic was made with.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without text")
}

#[cfg(test)]
mod tests {
    use super::Bounds;

    fn parsed(arguments: &[&str]) -> Option<Vec<String>> {
        Bounds::parse(arguments.iter().map(Into::into)).map(|bounds| bounds.arguments())
    }

    #[test]
    fn bounds_are_three_numbers_and_perhaps_a_task() {
        for right in [&["1", "2", "3"][..], &["1", "2", "3", "validate"]] {
            assert_eq!(parsed(right).unwrap(), right);
        }
        for wrong in [
            &["1", "2"][..],
            &["1", "2", "3", "4"],
            &["1", "2", "3", "validate", "5"],
            &["1", "2", "x"],
            &["--help"],
            &[],
        ] {
            assert!(parsed(wrong).is_none(), "{wrong:?}");
        }
    }
}
