//! How long compiling took, counted since the sandbox was made. What was taken from memory or from the cache is not compiled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the spans that are counted apart. Seconds. Whatever took longer is in the count of all only.
pub const COMPILE_SECONDS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0];

/// Compiles so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompileTimes {
    /// Those that took no longer than the same place of [`COMPILE_SECONDS`], and longer than the place before.
    pub counts: [u64; COMPILE_SECONDS.len()],
    /// All, those in vain included.
    pub count: u64,
    /// What they took together. Seconds.
    pub sum: f64,
}

/// [`CompileTimes`] in the making.
#[derive(Debug, Default)]
pub(crate) struct CompileClock(Mutex<CompileTimes>);

impl CompileClock {
    pub(crate) fn took(&self, span: Duration) {
        let seconds = span.as_secs_f64();
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = COMPILE_SECONDS.iter().position(|end| seconds <= *end) {
            times.counts[place] += 1;
        }
        times.count += 1;
        times.sum += seconds;
    }

    pub(crate) fn times(&self) -> CompileTimes {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
