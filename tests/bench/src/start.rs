//! Figure (e): from the start of the process to the end of its first node, with the real program.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::measure::{least, median, memory, ms};
use crate::{Bench, Readings};

/// The wait keeps the process there while its memory is looked at.
const WORKFLOW: &str = "format: 1
name: start
version: 1
plugins: { echo: { path: echo.wasm } }
nodes:
  first: { agent: echo, input: { text: hello }, next: pause }
  pause: { wait: { for: 200ms }, next: end }
";

/// Measures it; the first process of all compiles and is not counted.
pub(crate) fn measure(bench: &Bench) -> Result<Readings> {
    let program = program()?;
    let folder = bench.folder()?;
    std::fs::write(folder.path().join("start.yaml"), WORKFLOW)?;
    std::fs::write(folder.path().join("echo.wasm"), &bench.agent)?;
    let cold = once(&program, folder.path())?;
    let warm: Vec<Once> =
        (0..bench.rounds * 6).map(|_| once(&program, folder.path())).collect::<Result<_>>()?;
    let memory = |of: fn(&Once) -> f64| median(warm.iter().map(of));
    Ok(vec![
        (
            "start of `bandstand run` to the end of its first node, compiled code cached".to_owned(),
            format!(
                "best {:.0} ms, median {:.0} ms; nothing cached, new data directory: {:.0} ms",
                least(warm.iter().map(|once| once.first_ms)),
                median(warm.iter().map(|once| once.first_ms)),
                cold.first_ms
            ),
        ),
        (
            "its memory at that moment".to_owned(),
            format!(
                "peak {:.1} MB, of which {:.1} MB belong to no file; nothing cached: peak {:.1} MB",
                memory(|once| once.peak_mb),
                memory(|once| once.anonymous_mb),
                cold.peak_mb
            ),
        ),
    ])
}

struct Once {
    first_ms: f64,
    peak_mb: f64,
    anonymous_mb: f64,
}

fn once(program: &Path, folder: &Path) -> Result<Once> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["run", "start.yaml", "--json", "--no-ask", "--data", "data"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdout = child.stdout.take().context("its output is a pipe")?;
    let mut found = None;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if found.is_none() && line.contains("\"node.succeeded\"") {
            let first_ms = ms(begun.elapsed());
            let memory = memory(&child.id().to_string());
            found = Some(Once { first_ms, peak_mb: memory.peak_mb, anonymous_mb: memory.anonymous_mb });
        }
    }
    ensure!(child.wait()?.success(), "the measured program failed");
    found.context("no node succeeded")
}

/// The release build of the program, which is not part of this one. Named together with this crate, both have the same
/// features, and nothing below them is compiled anew.
fn program() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--package", "bandstand", "--package", "bandstand-bench"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()?;
    ensure!(built.success(), "`cargo build --release --package bandstand` failed");
    let program = std::env::current_exe()?.with_file_name("bandstand");
    if !program.is_file() {
        bail!("there is no {}; run the bench in release", program.display());
    }
    Ok(program)
}
