//! How fast streams are written: each has a little for itself, at once; what goes beyond that is taken from one bandwidth for all,
//! in turn. So many who read much do not take the machine from the runs they read of, nor delay those who read little.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a stream may write without waiting for others. Bytes a second.
const OWN_RATE: u32 = 32 << 10;
/// What a stream that was quiet may write at once. Bytes.
const OWN_BURST: u32 = 64 << 10;
/// What streams that write more share. Bytes a second.
const SHARED_RATE: u32 = 32 << 20;
/// What was left over of it is not kept for longer than this.
const SHARED_BURST: Duration = Duration::from_millis(100);

/// No stream waits longer for its turn, whoever reserved what and went away.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The bandwidth that streams share. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Bandwidth(Arc<Mutex<Instant>>);

impl Bandwidth {
    /// All of it, from now on.
    pub(super) fn new(now: Instant) -> Bandwidth {
        Bandwidth(Arc::new(Mutex::new(now)))
    }

    /// Takes so much; how long it is until that may be written.
    fn take(&self, bytes: usize, now: Instant) -> Duration {
        let mut taken_until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*taken_until).max(now.checked_sub(SHARED_BURST).unwrap_or(now)).min(now + WAIT_MAX);
        *taken_until = from + time_of(bytes, SHARED_RATE);
        from.saturating_duration_since(now)
    }
}

/// What one stream may write.
#[derive(Debug)]
pub(super) struct Pace {
    shared: Bandwidth,
    /// Bytes that it has for itself, at that moment.
    own: (u32, Instant),
}

impl Pace {
    /// Of a new stream.
    pub(super) fn new(shared: &Bandwidth, now: Instant) -> Pace {
        Pace { shared: shared.clone(), own: (OWN_BURST, now) }
    }

    /// How long to wait before so much is written.
    pub(super) fn wait_for(&mut self, bytes: usize, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.own.1).as_micros();
        let grown = u32::try_from(since * u128::from(OWN_RATE) / 1_000_000).unwrap_or(u32::MAX);
        let has = self.own.0.saturating_add(grown).min(OWN_BURST);
        match u32::try_from(bytes).ok().and_then(|bytes| has.checked_sub(bytes)) {
            Some(left) => {
                self.own = (left, now);
                Duration::ZERO
            }
            None => {
                self.own = (has, now);
                self.shared.take(bytes, now)
            }
        }
    }
}

fn time_of(bytes: usize, rate: u32) -> Duration {
    // More than a stream ever writes at once would still be a number of seconds.
    Duration::from_micros(
        u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000) / u64::from(rate),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // R8.2
    #[test]
    fn who_reads_little_never_waits_however_much_others_read() {
        let start = Instant::now();
        let shared = Bandwidth::new(start);
        let (mut much, mut little) = (Pace::new(&shared, start), Pace::new(&shared, start));
        let waits: Duration = (0..100).map(|_| much.wait_for(10 << 20, start)).sum();
        assert!(waits > 10 * SECOND, "{waits:?}");
        for second in 0..10 {
            assert_eq!(little.wait_for(30 << 10, start + SECOND * second), Duration::ZERO, "{second}");
        }
    }

    // R8.2
    #[test]
    fn what_others_reserved_and_left_holds_nobody_up_for_long() {
        let start = Instant::now();
        let shared = Bandwidth::new(start);
        for _ in 0..1_000 {
            let _ = Pace::new(&shared, start).wait_for(4 << 20, start);
        }
        assert_eq!(Pace::new(&shared, start).wait_for(1 << 20, start), WAIT_MAX);
    }

    // R8.2
    #[test]
    fn all_together_write_no_more_than_the_bandwidth() {
        let start = Instant::now();
        let shared = Bandwidth::new(start);
        let mut paces: Vec<Pace> = (0..100).map(|_| Pace::new(&shared, start)).collect();
        let (piece, mut written, mut now) = (128 << 10, 0_u64, start);
        while now < start + 10 * SECOND {
            for pace in &mut paces {
                // Each waits for the one before it.
                now += pace.wait_for(piece, now);
                written += piece as u64;
            }
        }
        let most = 10 * u64::from(SHARED_RATE) + u64::from(SHARED_RATE) / 5;
        assert!(written <= most, "{written} of {most}");
        assert!(written >= 9 * u64::from(SHARED_RATE), "{written}");
    }
}
