//! `demo`, `test`, `schemas`, `bench` and `fuzz`: verbs that only call cargo and the host's own command line.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::args::PluginOptions;
use crate::plugins;
use crate::shell::{self, Repo, say};

/// Set for tests by `--fast`.
const FAST: &str = "BANDSTAND_TEST_FAST";

/// A generated file and the host's command line that writes it to stdout.
struct Generated {
    path: &'static str,
    command: &'static [&'static str],
}

const GENERATED: [Generated; 4] = [
    Generated { path: "host/workflow/workflow.schema.json", command: &["schema", "workflow"] },
    Generated { path: "host/docs/openapi.json", command: &["schema", "api"] },
    Generated { path: "host/docs/cli.md", command: &["docs", "cli"] },
    Generated { path: "host/docs/metrics.md", command: &["docs", "metrics"] },
];

/// Builds plugins and host and reviews a real licence with them. The exit code is the host's: 4 when it waits for a
/// review and there is no terminal to ask on.
pub(crate) fn demo(repo: &Repo, rest: &[OsString]) -> Result<ExitCode> {
    plugins::build(repo, &PluginOptions::default())?;
    say("building the host (the first time this takes some minutes)");
    shell::run(repo.cargo().args(["build", "--package", "bandstand"]))?;
    let data = repo.root.join("target/demo");
    fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
    let mut command = host(repo);
    command.arg("--data").arg("target/demo").args([
        "run",
        "examples/06-licence-review/workflow.yaml",
        "--input",
        "@examples/06-licence-review/input.json",
        "--print",
        "markdown",
    ]);
    shell::run_for_code(command.args(rest))
}

/// Runs what there is to test: plugins, their native tests, and the workspace's tests with these plugins.
pub(crate) fn test(repo: &Repo, fast: bool, rest: &[OsString]) -> Result<()> {
    plugins::build(repo, &PluginOptions::default())?;
    plugins::test(repo)?;
    // The suites call the real binary.
    shell::run(repo.cargo().args(["build", "--package", "bandstand"]))?;
    let mut command = repo.cargo();
    command.args(["test", "--workspace"]).args(rest);
    if fast {
        say(&format!("{FAST}=1: the slow suites shorten themselves"));
        command.env(FAST, "1");
    }
    shell::run(&mut command)?;
    if rest.is_empty() {
        say("the simulator again, with mistakes planted that it must find");
        shell::run(repo.cargo().args([
            "test",
            "--package",
            "bandstand-simulation",
            "--features",
            "mistakes",
        ]))?;
    }
    say("all tests passed");
    Ok(())
}

/// Writes the generated files, or names those that differ from what would be written.
pub(crate) fn schemas(repo: &Repo, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for generated in &GENERATED {
        let mut command = host(repo);
        let text = shell::output(command.args(generated.command))
            .with_context(|| format!("{} could not be generated", generated.path))?;
        let path = repo.root.join(generated.path);
        if fs::read(&path).is_ok_and(|old| old == text) {
            continue;
        }
        stale.push(generated.path);
        if !check {
            write(&path, &text)?;
        }
    }
    match (stale.is_empty(), check) {
        (true, _) => say("the generated files are up to date"),
        (false, false) => say(&format!("written: {}", stale.join(", "))),
        (false, true) => {
            bail!("stale: {}. Type `cargo xtask schemas` and commit the result", stale.join(", "))
        }
    }
    Ok(())
}

/// Runs the benchmark crate with release settings.
pub(crate) fn bench(repo: &Repo, rest: &[OsString]) -> Result<ExitCode> {
    plugins::build(repo, &PluginOptions::default())?;
    // Together, so that both are built of the same crates: the server is measured as a process of its own.
    let both = ["--release", "--quiet", "--package", "bandstand", "--package", "bandstand-bench"];
    shell::run(repo.cargo().arg("build").args(both))?;
    let program = repo.root.join("target/release/bandstand-bench");
    shell::run_for_code(std::process::Command::new(program).current_dir(&repo.root).args(rest))
}

/// Builds one target of `tests/fuzz` so that libFuzzer sees which branches an input takes, and runs it. What it keeps goes
/// into the target folder, what it finds into `tests/fuzz/found`.
pub(crate) fn fuzz(repo: &Repo, target: &str, rest: &[OsString]) -> Result<ExitCode> {
    // Of the compiler's stable flags; a sanitizer would need a nightly one, and nearly all of this is safe code.
    const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=on -Coverflow-checks=on --cfg fuzzing";
    let crate_folder = repo.root.join("tests/fuzz");
    const TARGETS: [&str; 5] = ["component", "workflow", "expression", "reply", "journal"];
    if !TARGETS.contains(&target) {
        bail!("there is no target `{target}`; there are: {}", TARGETS.join(", "));
    }
    let found = crate_folder.join("found").join(target);
    let kept = repo.root.join("target/fuzz/corpus").join(target);
    // A target of which nothing was found yet has no folder.
    for folder in [&found, &kept] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let triple = shell::text(
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--print", "host-tuple"]),
    )?;
    let mut command = repo.cargo();
    command.args(["run", "--quiet", "--release", "--package", "bandstand-fuzz", "--bin", "fuzz"]);
    command.args(["--no-default-features", "--features"]);
    command.arg(if target == "component" { "libfuzzer,sandbox" } else { "libfuzzer" });
    // With a triple, build scripts and macros are built without these flags.
    command.arg("--target").arg(triple.trim()).arg("--target-dir").arg(repo.root.join("target/fuzz"));
    command.arg("--").arg(&kept).arg(&found);
    command.args(seeds(target).iter().map(|folder| repo.root.join(folder)));
    command.arg(format!("-artifact_prefix={}/", found.display())).args(rest);
    command.env("RUSTFLAGS", COVERAGE).env("BANDSTAND_FUZZ", target);
    shell::run_for_code(&mut command)
}

/// As `tests/fuzz/src/lib.rs` has them; libFuzzer reads folders with all that is below them.
fn seeds(target: &str) -> &'static [&'static str] {
    match target {
        "component" => &["host/app/assets"],
        "workflow" => &["tests/workflows"],
        "expression" => &["tests/workflows/prompts"],
        "journal" => &["tests/rules/fixtures"],
        _ => &[],
    }
}

/// The host, built by cargo when it is not.
fn host(repo: &Repo) -> Command {
    let mut command = repo.cargo();
    command.args(["run", "--quiet", "--package", "bandstand", "--"]);
    command
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
