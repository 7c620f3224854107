//! `cargo xtask`: everything a checkout needs beyond `cargo build`, with nothing to install by hand.
//!
//! It builds the plugins, shows the demo, runs all tests, writes generated files, starts the bench and the fuzzer. It leaves out
//! whatever cargo does well alone, and knows nothing of how the host works: it only calls its command line.

mod args;
mod builtins;
mod debian;
mod plugins;
mod shell;
mod tasks;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Verb;
use crate::shell::Repo;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            shell::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let verb = args::parse(std::env::args_os())?;
    let repo = Repo::find()?;
    match verb {
        Verb::Help => shell::print(args::HELP)?,
        Verb::Plugins(options) => plugins::build(&repo, &options)?,
        Verb::Builtins => builtins::build(&repo)?,
        Verb::Demo(rest) => return tasks::demo(&repo, &rest),
        Verb::Test { fast, rest } => tasks::test(&repo, fast, &rest)?,
        Verb::Schemas { check } => tasks::schemas(&repo, check)?,
        Verb::Bench(rest) => return tasks::bench(&repo, &rest),
        Verb::Fuzz { target, rest } => return tasks::fuzz(&repo, &target, &rest),
    }
    Ok(ExitCode::SUCCESS)
}
