//! Calling other programs, and saying on stderr what is being done. Nothing here knows what is called or why.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The checkout all verbs work in.
pub(crate) struct Repo {
    /// Where the workspace's `Cargo.toml` lies.
    pub(crate) root: PathBuf,
}

impl Repo {
    /// Found from where this crate was built, which `cargo xtask` guarantees is the checkout it is called in.
    pub(crate) fn find() -> Result<Repo> {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        if !root.join("plugins/Cargo.toml").is_file() {
            bail!("{} is no checkout of Bandstand; call `cargo xtask` inside one", root.display());
        }
        Ok(Repo { root })
    }

    /// `cargo`, the one that called us, in the root of the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        // What cargo tells a program it runs would make the nested cargo rebuild what it has built already.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }
}

/// One line for the person who waits.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "xtask: {text}");
}

/// Data, for stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
}

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let quote = |text: &OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=@:,+".contains(c);
        if !text.is_empty() && text.chars().all(plain) { text.into_owned() } else { format!("'{text}'") }
    };
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(quote(program)).chain(command.get_args().map(quote)).collect::<Vec<_>>().join(" ")
}

/// Says the command, runs it with this process's own streams, and fails unless it ends well.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status}); its own message is above", show(command));
    }
    Ok(())
}

/// Like [`run`], for a program whose exit code is the answer.
pub(crate) fn run_for_code(command: &mut Command) -> Result<ExitCode> {
    let status = status(command)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn status(command: &mut Command) -> Result<ExitStatus> {
    say(&show(command));
    command.status().with_context(|| format!("cannot start `{}`", show(command)))
}

/// Runs without a word and gives stdout; stderr is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot start `{}`", show(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", show(command), output.status, errors.trim());
    }
    Ok(output.stdout)
}

/// [`output`] as text.
pub(crate) fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).into_owned())
}

/// Runs with stdout sent to stderr and ends it after `limit`. `Ok(false)`: it failed, is not there, or took too long.
pub(crate) fn try_for(command: &mut Command, limit: Duration) -> Result<bool> {
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() else {
        return Ok(false);
    };
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            return Ok(status.success());
        }
        if start.elapsed() > limit {
            say(&format!("`{}` did not end within {} s: given up", show(command), limit.as_secs()));
            child.kill().context("cannot end a child process")?;
            child.wait().context("cannot wait for a child process")?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/somewhere/bin/cargo");
        command.args(["build", "-p", "two words", ""]);
        assert_eq!(show(&command), "cargo build -p 'two words' ''");
    }

    #[test]
    fn failures_say_what_was_called_and_what_it_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("no such luck") && error.contains('3'), "{error}");
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
        assert!(error.contains("cannot start `no-such-program-here`"), "{error}");
    }

    #[test]
    fn a_slow_command_is_ended() {
        let start = Instant::now();
        assert!(!try_for(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap());
        assert!(start.elapsed() < Duration::from_secs(20));
        assert!(try_for(&mut Command::new("true"), Duration::from_secs(20)).unwrap());
        assert!(!try_for(&mut Command::new("no-such-program-here"), Duration::from_secs(20)).unwrap());
    }
}
