//! Figure (m): the agent `stats` in each language that it was built in (`target/plugins/stats-LANGUAGE.wasm`): how large it is,
//! what compiling it costs once and loading what was compiled each time after, and what a call costs against a loop that only
//! instantiates, calls and drops. And the same as people meet it: the first run over HTTP of a server that has just begun to
//! serve it, when it was never compiled before and when it was.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use bandstand_sandbox::{Grants, Sandbox, Settings};
use tokio::runtime::Runtime;

use crate::measure::{Mark, Spent, least, median, ms, us_each};
use crate::{Bench, Readings, attempt, flows, server};

/// Calls of each round.
const CALLS: u32 = 200;
/// About 1 kB of prose.
const TEXT: &str = "The quick brown fox jumps over the lazy dog. It wasn't asked to, was it? ";

const WORKFLOW: &str = "format: 1
name: stats
version: 1
plugins: { stats: { path: stats.wasm } }
nodes:
  count: { agent: stats, input: { text: \"${{ input.text }}\" }, next: end }
";

/// Measures each that is there.
pub(crate) fn measure(bench: &Bench, runtime: &Runtime) -> Result<Readings> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    let mut readings = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(language) = name.strip_prefix("stats-") else { continue };
        let bytes = std::fs::read(&path)?;
        readings.push((language.to_owned(), of(bench, runtime, &bytes)?));
        readings.push((format!("{language}, served"), served(bench, &bytes)?));
    }
    ensure!(!readings.is_empty(), "no language is built; plugins/stats/build.sh builds them");
    Ok(readings)
}

fn of(bench: &Bench, runtime: &Runtime, bytes: &[u8]) -> Result<String> {
    let cache = bench.folder()?;
    let settings = || Settings { cache_dir: Some(cache.path().to_owned()), ..Settings::default() };
    let first = Mark::now();
    Sandbox::new(settings())?.load(bytes, &Grants::default())?;
    let first = first.spent();
    // As after a start of the host: what was compiled is there.
    let mut loads = Vec::new();
    for _ in 0..bench.rounds {
        let sandbox = Sandbox::new(settings())?;
        let mark = Mark::now();
        sandbox.load(bytes, &Grants::default())?;
        loads.push(ms(mark.spent().wall));
    }
    let sandbox = Sandbox::new(settings())?;
    let plugin = sandbox.load(bytes, &Grants::default())?;
    let input = serde_json::json!({ "text": TEXT.repeat(14) }).to_string();
    let request = || flows::call(&input);
    let mark = Mark::now();
    let outcome = runtime.block_on(sandbox.call(&plugin, request()));
    let (first_call, memory) = (ms(mark.spent().wall), outcome.usage.memory_bytes_max);
    outcome.result.map_err(|failure| anyhow!("{}", failure.message))?;
    let (bare, ours) = attempt::rounds(&sandbox, &plugin, runtime, &request, bench.rounds, CALLS)?;
    let each = |spans: &[Spent], of: fn(&Spent) -> std::time::Duration| -> Vec<f64> {
        spans.iter().map(|spent| us_each(of(spent), CALLS.into())).collect()
    };
    let cpu = |spans: &[Spent]| least(each(spans, |spent| spent.cpu));
    let wall = |spans: &[Spent]| median(each(spans, |spent| spent.wall));
    Ok(format!(
        "{} kB; compiled in {:.0} ms ({:.0} ms of processor), loaded again in {:.1} ms, first call {:.1} ms; CPU of a call best {:.0} \
         us against {:.0} us bare, {:.2}x; wall median {:.0} against {:.0} us; memory {:.1} MiB",
        bytes.len() / 1_000,
        ms(first.wall),
        ms(first.cpu),
        median(loads.into_iter()),
        first_call,
        cpu(&ours),
        cpu(&bare),
        cpu(&ours) / cpu(&bare),
        wall(&ours),
        wall(&bare),
        memory as f64 / f64::from(1 << 20),
    ))
}

/// The first and the second run of a server, before which the agent was never compiled, and of one that starts again.
fn served(bench: &Bench, bytes: &[u8]) -> Result<String> {
    let folder = bench.folder()?;
    std::fs::write(folder.path().join("stats.yaml"), WORKFLOW)?;
    std::fs::write(folder.path().join("stats.wasm"), bytes)?;
    std::fs::write(folder.path().join("bandstand.toml"), "")?;
    let run = serde_json::json!({ "workflow": "stats", "input": { "text": TEXT.repeat(14) } }).to_string();
    let mut told = Vec::new();
    for when in ["never compiled", "started again"] {
        let begun = Instant::now();
        let server = server::start(folder.path())?;
        let ready = ms(begun.elapsed());
        let mut took = Vec::new();
        for _ in 0..2 {
            let (answer, took_one) = server::run(&server, &run)?;
            ensure!(answer.contains("\"succeeded\""), "{answer}");
            took.push(ms(took_one));
        }
        told.push(format!(
            "{when}: serves after {ready:.0} ms, first run {:.1} ms, second {:.1} ms",
            took[0], took[1]
        ));
    }
    Ok(told.join("; "))
}
