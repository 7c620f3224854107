//! Clocks and counters: wall time, processor time of this process, memory of any process.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, to be compared with a later one.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    wall: Instant,
    cpu: Duration,
}

/// What passed since a moment.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    /// On the wall.
    pub(crate) wall: Duration,
    /// In all threads of this process.
    pub(crate) cpu: Duration,
}

impl Mark {
    /// Now.
    pub(crate) fn now() -> Mark {
        Mark { wall: Instant::now(), cpu: cpu() }
    }

    /// Since then.
    pub(crate) fn spent(self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

/// Looks at the clocks again and again from a thread of its own, so that processor time can be told for any moment of a
/// journal afterwards.
pub(crate) struct Sampler {
    end: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Vec<Sample>>,
}

/// A look at the clocks.
#[derive(Clone, Copy)]
struct Sample {
    /// Since the Unix epoch, as journals have it. Milliseconds.
    at_ms: f64,
    cpu: Duration,
}

/// What a [`Sampler`] saw.
pub(crate) struct Samples(Vec<Sample>);

impl Sampler {
    /// Between two looks. A look costs some microseconds, which count.
    const EVERY: Duration = Duration::from_millis(2);

    /// Begins to look.
    pub(crate) fn start() -> Sampler {
        let (end, ended) = std::sync::mpsc::channel();
        let look = move || {
            let mut samples = Vec::new();
            loop {
                let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                samples.push(Sample { at_ms: at.as_secs_f64() * 1e3, cpu: cpu() });
                if ended.recv_timeout(Sampler::EVERY) != Err(RecvTimeoutError::Timeout) {
                    return samples;
                }
            }
        };
        Sampler { end, thread: std::thread::spawn(look) }
    }

    /// What was seen.
    pub(crate) fn stop(self) -> Samples {
        drop(self.end);
        Samples(self.thread.join().unwrap_or_default())
    }
}

impl Samples {
    /// Processor time of this process at that moment, in microseconds; between two looks it is taken to pass evenly.
    pub(crate) fn cpu_us(&self, at_ms: f64) -> f64 {
        let us = |sample: &Sample| sample.cpu.as_secs_f64() * 1e6;
        let after = self.0.partition_point(|sample| sample.at_ms < at_ms);
        match (after.checked_sub(1).and_then(|before| self.0.get(before)), self.0.get(after)) {
            (Some(before), Some(after)) => {
                let share = (at_ms - before.at_ms) / (after.at_ms - before.at_ms);
                us(before) + (us(after) - us(before)) * share
            }
            (Some(only), None) | (None, Some(only)) => us(only),
            (None, None) => f64::NAN,
        }
    }
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A span divided by a number of things, in microseconds.
pub(crate) fn us_each(span: Duration, things: u64) -> f64 {
    span.as_secs_f64() * 1e6 / things as f64
}

/// Milliseconds.
pub(crate) fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// The least; infinity of nothing.
pub(crate) fn least(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// The one in the middle; not a number of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Memory of a process, in MB of 1,000,000 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) now_mb: f64,
    /// Of it, what belongs to no file.
    pub(crate) anonymous_mb: f64,
    /// The most that was ever resident.
    pub(crate) peak_mb: f64,
}

/// Memory of the process with that id, or of this one (`self`); zeros where the system does not tell.
pub(crate) fn memory(process: &str) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0 / 1e6
    };
    Memory { now_mb: field("VmRSS"), anonymous_mb: field("RssAnon"), peak_mb: field("VmHWM") }
}

/// What this process holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) memory: Memory,
    /// Open files, sockets and the like.
    pub(crate) files: usize,
    pub(crate) threads: usize,
}

/// What this process holds now; zeros where the system does not tell.
pub(crate) fn held() -> Held {
    let entries = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    Held { memory: memory("self"), files: entries("/proc/self/fd"), threads: entries("/proc/self/task") }
}

/// How busy the machine is with everything, or nothing where it does not tell.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
