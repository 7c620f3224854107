//! The clocks of one attempt. Without the grant `clock` they stand still where the attempt began; with it they go in
//! steps. Sleeping works either way, and ends on a step: how long something took cannot be measured finer than that,
//! neither by looking at a clock nor by racing a timer.

use crate::guest::Guest;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// How coarse time is: too long to measure other guests with.
pub(crate) const STEP: Duration = Duration::from_millis(10);

/// What time it is for one guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    start: Instant,
    /// Since the epoch, on a step.
    wall_start: Duration,
    go: bool,
}

impl Clocks {
    pub(crate) fn new(start: Instant, go: bool) -> Clocks {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clocks { start, wall_start: floor(now), go }
    }

    /// Whether they go.
    pub(crate) fn go(&self) -> bool {
        self.go
    }

    /// Since the attempt began, as the guest may know it.
    fn passed(&self) -> Duration {
        if self.go { floor(self.start.elapsed()) } else { Duration::ZERO }
    }

    /// What the monotonic clock says: one step more than has passed. Go's runtime takes a clock that says 0 for a broken one.
    fn monotonic(&self) -> u64 {
        nanos(STEP.saturating_add(self.passed()))
    }

    /// When a sleep of this length from now is over; `None`: never.
    fn after(&self, duration: Duration) -> Option<Instant> {
        self.start.checked_add(ceiling(self.start.elapsed().checked_add(duration)?)?)
    }
}

/// The step at or before.
pub(crate) fn floor(time: Duration) -> Duration {
    let nanos = time.subsec_nanos();
    Duration::new(time.as_secs(), nanos - nanos % STEP.subsec_nanos())
}

/// The step at or after.
fn ceiling(time: Duration) -> Option<Duration> {
    let floor = floor(time);
    if floor == time { Some(floor) } else { floor.checked_add(STEP) }
}

/// The end of a sleep.
enum Sleep {
    /// It is over. The first look lets others have their turn, so that looking again and again starves nobody.
    Over {
        looked: bool,
    },
    Until(Instant),
    ForEver,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        match self {
            Sleep::Over { looked: true } => {}
            Sleep::Over { looked } => {
                *looked = true;
                tokio::task::yield_now().await;
            }
            Sleep::Until(end) => tokio::time::sleep_until((*end).into()).await,
            Sleep::ForEver => std::future::pending().await,
        }
    }
}

impl Guest {
    fn sleep(&mut self, duration: Duration) -> Result<Resource<DynPollable>> {
        let sleep = match self.clocks.after(duration) {
            _ if duration.is_zero() => Sleep::Over { looked: false },
            Some(end) => Sleep::Until(end),
            None => Sleep::ForEver,
        };
        let sleep = self.resources.push(sleep)?;
        subscribe(&mut self.resources, sleep)
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> Result<u64> {
        Ok(self.clocks.monotonic())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(nanos(STEP))
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.sleep(Duration::from_nanos(when.saturating_sub(self.clocks.monotonic())))
    }

    fn subscribe_duration(&mut self, when: u64) -> Result<Resource<DynPollable>> {
        self.sleep(Duration::from_nanos(when))
    }
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(self.clocks.wall_start.saturating_add(self.clocks.passed())))
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(STEP))
    }
}

fn datetime(time: Duration) -> wall_clock::Datetime {
    wall_clock::Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7.2
    #[test]
    fn time_goes_in_steps_and_sleep_ends_on_one() {
        let at = Duration::from_micros;
        assert_eq!(floor(at(1_019_999)), at(1_010_000));
        assert_eq!(ceiling(at(1_010_000)), Some(at(1_010_000)));
        assert_eq!(ceiling(at(1_010_001)), Some(at(1_020_000)));
        assert_eq!(ceiling(Duration::MAX), None);
        let start = Instant::now();
        let still = Clocks::new(start, false);
        assert_eq!(still.passed(), Duration::ZERO);
        assert_eq!(still.monotonic(), 10_000_000);
        let end = still.after(at(1)).unwrap();
        assert_eq!((end - start).as_nanos() % STEP.as_nanos(), 0);
        assert!(still.after(Duration::MAX).is_none());
    }
}
