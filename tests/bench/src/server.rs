//! Figure (l): the server over HTTP, as a process of its own, its load made by `wrk` on the same machine: runs started, and
//! runs started and finished, each durable; lists of 100,000 runs and 10,000 open reviews; a thousand readers of streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::measure::{memory, ms};
use crate::{Bench, Readings};

/// Runs in the store when lists are measured; with `--large`.
const RUNS: u64 = 100_000;
/// Of these, with an open review.
const REVIEWS: u64 = 10_000;
/// Readers of streams; each eighth of them reads nothing.
const READERS: usize = 1_000;
/// Loads without and with them, in turn.
const PAIRS: usize = 9;
/// How long each of these is.
const PAIR_LOAD: Duration = Duration::from_secs(4);
/// How often each list is asked for.
const ASKED: usize = 50;
/// How long a load is made.
const LOAD: Duration = Duration::from_secs(10);
/// Connections that make it.
const CONNECTIONS: u32 = 32;

const PASS: &str = "format: 1\nname: pass\nversion: 1\nplugins:\n  echo: { builtin: echo }\nnodes:\n  pass:\n    agent: \
                    echo\n    input: { n: 1 }\n    next: end\n";
const ASK: &str = "format: 1\nname: ask\nversion: 1\nnodes:\n  ask:\n    review: { title: Take it?, timeout: 90d }\n    \
                   approved: end\n    rejected: end\n";

/// The server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures it.
pub(crate) fn measure(bench: &Bench) -> Result<Readings> {
    let folder = bench.folder()?;
    std::fs::write(folder.path().join("pass.yaml"), PASS)?;
    std::fs::write(folder.path().join("ask.yaml"), ASK)?;
    std::fs::write(folder.path().join("bandstand.toml"), "")?;
    let server = start(folder.path())?;
    let mut readings = Vec::new();
    // The first ones compile.
    load(&server, folder.path(), "pass", "?wait=10", Duration::from_secs(2))?;
    for (what, query) in [("started and finished", "?wait=10"), ("started", "")] {
        let done = load(&server, folder.path(), "pass", query, LOAD)?;
        readings.push((
            format!("runs of one agent {what} over HTTP, durable, {CONNECTIONS} connections"),
            done.told(),
        ));
        settle(&server)?;
    }
    readings.extend(streams(&server, folder.path())?);
    if bench.large {
        drop(server);
        let server = start(folder.path())?;
        fill(&server, folder.path())?;
        readings.extend(lists(&server)?);
    }
    Ok(readings)
}

/// The release build of the program, serving this folder; returns when it takes requests.
pub(crate) fn start(dir: &Path) -> Result<Server> {
    let program = std::env::current_exe()?.with_file_name("bandstand");
    ensure!(program.is_file(), "there is no {}: cargo build --release -p bandstand", program.display());
    let mut child = Command::new(program)
        .args(["--json", "serve", "--listen", "127.0.0.1:0"])
        .current_dir(dir)
        .env("BANDSTAND_DATA", dir.join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    let told: serde_json::Value = serde_json::from_str(&line).context("where it listens")?;
    let url = told["url"].as_str().context("its address")?;
    Ok(Server { child, address: url.trim_start_matches("http://").to_owned() })
}

struct Load {
    per_second: f64,
    median: String,
    p99: String,
}

impl Load {
    fn told(&self) -> String {
        format!("{:.0}/s, p50 {}, p99 {}", self.per_second, self.median, self.p99)
    }
}

/// Starts runs for so long.
fn load(server: &Server, dir: &Path, workflow: &str, query: &str, time: Duration) -> Result<Load> {
    let script: PathBuf = dir.join("load.lua");
    std::fs::write(
        &script,
        format!(
            "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = \
             '{{\"workflow\":\"{workflow}\"}}'\n"
        ),
    )?;
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{}s", time.as_secs()), "--latency", "-s"])
        .arg(&script)
        .arg(format!("http://{}/api/v1/runs{query}", server.address))
        .output()
        .context("wrk makes the load: apt install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!text.contains("Non-2xx"), "some were refused:\n{text}");
    let after = |word: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(word));
        line.and_then(|line| line.split_whitespace().last()).map(str::to_owned)
    };
    let missing = || anyhow!("wrk said:\n{text}");
    Ok(Load {
        per_second: after("Requests/sec:").and_then(|number| number.parse().ok()).ok_or_else(missing)?,
        median: after("50%").ok_or_else(missing)?,
        p99: after("99%").ok_or_else(missing)?,
    })
}

/// Waits until no run is under way.
fn settle(server: &Server) -> Result<()> {
    let begun = Instant::now();
    while get(server, "/api/v1/runs?status=running&limit=1")?.0.contains("run_id") {
        ensure!(begun.elapsed() < Duration::from_secs(120), "the runs do not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn get(server: &Server, path: &str) -> Result<(String, Duration)> {
    ask(server, &format!("GET {path}"), "")
}

/// Starts a run and waits for its end.
pub(crate) fn run(server: &Server, body: &str) -> Result<(String, Duration)> {
    ask(server, "POST /api/v1/runs?wait=30", body)
}

/// One request on a connection of its own; the answer and the time it took.
fn ask(server: &Server, what: &str, body: &str) -> Result<(String, Duration)> {
    let mut stream = TcpStream::connect(&server.address)?;
    let begun = Instant::now();
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: \
         {}\r\n\r\n{body}",
        server.address,
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let took = begun.elapsed();
    ensure!(text.starts_with("HTTP/1.1 20"), "{what}: {}", text.lines().next().unwrap_or_default());
    Ok((text, took))
}

/// What a thousand readers cost the runs: short loads without and with them, in turn, so that a machine that is quicker or
/// slower for a while is so for both.
fn streams(server: &Server, dir: &Path) -> Result<Readings> {
    let pid = server.child.id().to_string();
    let (mut alone, mut beside, mut changed, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        settle(server)?;
        let without = load(server, dir, "pass", "?wait=10", PAIR_LOAD)?.per_second;
        settle(server)?;
        let readers = (0..READERS).map(|_| reader(server)).collect::<Result<Vec<_>>>()?;
        let (stop, stopped) =
            (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), stalled(&readers));
        let reading = read_all(readers, stop.clone());
        let with = load(server, dir, "pass", "?wait=10", PAIR_LOAD)?.per_second;
        held.push(memory(&pid).anonymous_mb);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let bytes = reading.join().map_err(|_| anyhow!("the readers' thread ended"))?;
        ensure!(bytes > 0, "the readers heard nothing; {stopped} of them read nothing by intent");
        alone.push(without);
        beside.push(with);
        changed.push((with / without - 1.0) * 100.0);
    }
    let median = |of: &mut Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    let (least, most) =
        (changed.iter().copied().fold(f64::MAX, f64::min), changed.iter().copied().fold(f64::MIN, f64::max));
    let (alone, beside, change) = (median(&mut alone), median(&mut beside), median(&mut changed));
    Ok(vec![
        (
            format!(
                "the same beside {READERS} readers of all runs' stream, an eighth of them stalled: {PAIRS} pairs in turn"
            ),
            format!(
                "{beside:.0}/s of {alone:.0}/s alone; pair by pair {change:+.1} % in the median, {least:+.1} to {most:+.1} %"
            ),
        ),
        (format!("memory of the server beside them, after each of {PAIRS} times"), format!("{held:.0?} MB")),
    ])
}

fn stalled(readers: &[TcpStream]) -> usize {
    readers.len() / 8
}

fn reader(server: &Server) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(&server.address)?;
    write!(stream, "GET /api/v1/stream HTTP/1.1\r\nHost: {}\r\n\r\n", server.address)?;
    let mut head = [0; 256];
    let read = stream.read(&mut head)?;
    ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head[..read]));
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads what comes, with little effort and behind all others: the machine is the server's, and readers have machines of
/// their own.
fn read_all(
    readers: Vec<TcpStream>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        bandstand::server::listen::stand_behind();
        let (mut bytes, mut buffer) = (0, vec![0; 256 << 10]);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            for (number, mut stream) in readers.iter().enumerate() {
                if number % 8 != 0 {
                    bytes += stream.read(&mut buffer).unwrap_or(0) as u64;
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bytes
    })
}

/// Makes the runs that lists are of.
fn fill(server: &Server, dir: &Path) -> Result<()> {
    for (workflow, wanted) in [("ask", REVIEWS), ("pass", RUNS - REVIEWS)] {
        let mut made = 0.0;
        while made < wanted as f64 {
            made += load(server, dir, workflow, "?wait=30", LOAD)?.per_second * LOAD.as_secs_f64();
        }
        settle(server)?;
    }
    Ok(())
}

fn lists(server: &Server) -> Result<Readings> {
    let mut readings = Vec::new();
    for (what, path) in [
        ("the newest 50", "/api/v1/runs"),
        ("1,000", "/api/v1/runs?limit=1000"),
        ("waiting ones", "/api/v1/runs?status=waiting"),
        ("failed ones: there are none", "/api/v1/runs?status=failed,stuck"),
        ("of a workflow", "/api/v1/runs?workflow=ask"),
        ("of a workflow that has none", "/api/v1/runs?workflow=none"),
        ("of a user who has none", "/api/v1/runs?user=nobody"),
        ("of a thread that has none", "/api/v1/runs?thread=none"),
        ("since a time when none began", "/api/v1/runs?since=2099-01-01T00:00:00Z"),
        ("reviews: the next 50 of 10,000", "/api/v1/reviews"),
        ("reviews: 1,000", "/api/v1/reviews?limit=1000"),
        ("reviews of a workflow that has none", "/api/v1/reviews?workflow=none"),
        ("threads", "/api/v1/threads"),
        ("routing", "/api/v1/routing"),
        ("workflows", "/api/v1/workflows"),
    ] {
        let mut took: Vec<f64> =
            (0..ASKED).map(|_| get(server, path).map(|(_, took)| ms(took))).collect::<Result<_>>()?;
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        let measured = format!("median {:.1} ms, 98 % {:.1} ms, worst {:.1} ms", at(0.5), at(0.98), at(1.0));
        readings.push((format!("list of {RUNS} runs, {what}"), measured));
    }
    Ok(readings)
}
