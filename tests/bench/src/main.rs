//! Measures the figures that the project promises, and prints them as rows of the table in `README.md`.
//!
//! `cargo xtask bench [FIGURE]... [--large] [--rounds N] [--turns N] [--agent FILE] [--dir DIR]`. Each figure has a module
//! and makes its own data directory. It judges nothing: what an aim is, and where the time goes, stands in `README.md`.
#![allow(clippy::print_stdout, reason = "a measurement for people")]

mod attempt;
mod durable;
mod fan;
mod flows;
mod growth;
mod hostile;
mod languages;
mod line;
mod measure;
mod open;
mod parts;
mod server;
mod soak;
mod start;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;

/// What `--help` prints.
const HELP: &str = "\
bandstand-bench [FIGURE]... [OPTIONS]

  parts      what one step is made of: engine, JSON, journal
  line       (a) one run of a line of 10 nodes
  many       (b) 200 runs of it at once
  kept       (h) the same line, called and by kept replies
  fan        (c) 100 branches and their join
  growth     (d) a loop of 1,000 steps (or --turns) with 10 kB of state: file, time per step from first to last
  open       opening a run of 100,000 events
  start      (e) from the start of the process to the end of the first node
  waiting    (f) 10,000 runs that wait for a review; with --large 1,000,000
  attempt    (g) one attempt against bare wasmtime
  hostile    (i) ordinary runs beside each attack of tests/sandbox, made 100 times at once
  languages  (m) calls of the agent `stats` in each language that plugins/stats/build.sh built; only when named
  server     (l) the server under load made by wrk; with --large lists of 100,000 runs; only when named
  soak       (j) 5,000,000 calls (or --calls): what the process holds meanwhile; only when named
No figure: all of them but languages, server and soak, the large one only with --large.

  --rounds N     how often each is measured; the best counts [default: 5]
  --turns N      (d) steps of the loop [default: 1000]; with --turns 100000 it takes a minute or more
  --calls N      (j) how many calls [default: 5000000]
  --agent FILE   the agent of every node [default: target/plugins/echo.wasm, a Rust component]
  --dir DIR      where data directories are made [default: target/bench]
  --large        (f) with 1,000,000 runs: takes minutes and some gigabytes
";

/// What every figure is given.
pub(crate) struct Bench {
    /// The agent's component.
    pub(crate) agent: Arc<[u8]>,
    /// Where data directories are made.
    pub(crate) dir: PathBuf,
    /// How often each is measured.
    pub(crate) rounds: u32,
    /// Steps of the long loop.
    pub(crate) turns: usize,
    /// Calls of the long series.
    pub(crate) calls: u64,
    /// Whether to measure a million runs.
    pub(crate) large: bool,
}

impl Bench {
    /// A fresh directory, removed when dropped.
    pub(crate) fn folder(&self) -> Result<tempfile::TempDir> {
        tempfile::tempdir_in(&self.dir).with_context(|| format!("no directory in {}", self.dir.display()))
    }
}

const FIGURES: [&str; 14] = [
    "parts",
    "line",
    "many",
    "kept",
    "fan",
    "growth",
    "open",
    "start",
    "waiting",
    "attempt",
    "hostile",
    "languages",
    "server",
    "soak",
];

fn main() -> Result<()> {
    let mut parser = lexopt::Parser::from_env();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut figures, mut rounds, mut turns, mut large) = (Vec::new(), 5, growth::TURNS, false);
    let mut calls = soak::CALLS;
    let mut agent = root.join("target/plugins/echo.wasm");
    let mut dir = root.join("target/bench");
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) => figures.push(word.string()?),
            Long("rounds") => rounds = parser.value()?.parse::<u32>()?.max(1),
            Long("turns") => {
                turns = parser.value()?.parse()?;
                let (least, most) = (growth::TURNS_MIN, growth::TURNS_MAX);
                ensure!((least..=most).contains(&turns), "--turns takes {least} to {most}");
            }
            Long("calls") => calls = parser.value()?.parse()?,
            Long("agent") => agent = parser.value()?.into(),
            Long("dir") => dir = parser.value()?.into(),
            Long("large") => large = true,
            // Not for people: a host of its own process, measured from inside.
            Long("host-of") => {
                let data_dir = PathBuf::from(parser.value()?);
                return waiting::child(&data_dir, &parser.raw_args()?.next().context("a run")?.string()?);
            }
            Short('h') | Long("help") => {
                println!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(unknown) = figures.iter().find(|name| !FIGURES.contains(&name.as_str())) {
        bail!("there is no figure `{unknown}`. Figures: {}", FIGURES.join(", "));
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let bytes = std::fs::read(&agent)
        .with_context(|| format!("cannot read {}; `cargo xtask plugins` builds it", agent.display()))?;
    let bench = Bench { agent: bytes.into(), dir, rounds, turns, calls, large };
    let named = |name: &str| {
        figures.iter().any(|figure| figure == name)
            || (figures.is_empty() && !["soak", "server", "languages"].contains(&name))
    };
    println!("load average before: {}", measure::load_average());
    let runtime = bandstand::host::runtime()?;
    for figure in FIGURES.into_iter().filter(|name| named(name)) {
        let readings = match figure {
            "parts" => parts::measure(&bench),
            "line" => runtime.block_on(line::one(&bench)),
            "many" => runtime.block_on(line::many(&bench)),
            "kept" => runtime.block_on(line::kept(&bench)),
            "fan" => runtime.block_on(fan::measure(&bench)),
            "growth" => runtime.block_on(growth::measure(&bench)),
            "open" => open::measure(&bench),
            "start" => start::measure(&bench),
            "waiting" => waiting::measure(&bench, &runtime),
            "attempt" => attempt::measure(&bench, &runtime),
            "languages" => languages::measure(&bench, &runtime),
            "server" => server::measure(&bench),
            "hostile" => runtime.block_on(hostile::measure(&bench)),
            _ => runtime.block_on(soak::measure(&bench)),
        };
        for (what, measured) in readings.with_context(|| format!("figure `{figure}`"))? {
            println!("| {figure} | {what} | {measured} |");
        }
    }
    println!("load average after: {}", measure::load_average());
    Ok(())
}

/// What was measured, and what came out.
pub(crate) type Readings = Vec<(String, String)>;
