//! Two lanes of threads for guests: every attempt begins in the quick lane; one that has computed for a while goes on in
//! the slow lane, whose threads the system's scheduler puts behind all others. So what takes long, or never ends, does
//! not stand in the way of what takes little. A plugin whose attempts mostly ended up in the slow lane begins there, until
//! they are quick again.
//!
//! Leaves out what an attempt may take at all; that is [`crate::guest`]'s.

use crate::meter::Meter;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// Computing that an attempt may do in the quick lane. Ticks come every 10 ms, so it is seen at the first one or two.
/// Microseconds.
const QUICK_US: u64 = 2_000;
/// What each turn counts beside its computing: one that waits for nothing and lets others go first, again and again, takes turns
/// instead of time. Microseconds.
const TURN_US: u64 = 50;
/// What an attempt that takes long adds to its plugin's [`Habit`]; one that does not takes one off.
const SLOW_WEIGHT: u32 = 2;
/// From here on a plugin's attempts begin in the slow lane.
const SLOW_FROM: u32 = 8;
/// The most that is held against a plugin, so that a few quick attempts are enough to be believed again.
const SLOW_MAX: u32 = 16;
/// How far behind the slow lane's threads stand: `nice`, where a thread gets about a tenth of what one of the quick lane
/// gets where both want all of a core. Not the end of the scale: a machine full of other work must not starve them.
const SLOW_NICE: i32 = 10;
/// Blocking threads wait for the memory's store, which serves a few at a time anyway.
const BLOCKING_THREADS_MAX: usize = 64;

/// The threads.
pub(crate) struct Lanes {
    quick: Runtime,
    slow: Runtime,
}

impl Lanes {
    /// As many threads in each lane; 0: as there are cores. One lane's sleep while the other's work, so they cost nothing.
    pub(crate) fn start(worker_threads: usize) -> std::io::Result<Lanes> {
        let lane = |name: &str| {
            let mut runtime = Builder::new_multi_thread();
            if worker_threads > 0 {
                runtime.worker_threads(worker_threads);
            }
            runtime.thread_name(name).max_blocking_threads(BLOCKING_THREADS_MAX).enable_all().build()
        };
        Ok(Lanes { quick: lane("guest")?, slow: lane("guest-slow")? })
    }

    /// The lane where everything begins.
    pub(crate) fn quick(&self) -> &Runtime {
        &self.quick
    }

    /// To begin attempts by, from where the threads themselves must not be kept alive.
    pub(crate) fn handles(&self) -> LaneHandles {
        LaneHandles { quick: self.quick.handle().clone(), slow: self.slow.handle().clone() }
    }

    /// Ends all attempts at their next yield, without waiting for them.
    pub(crate) fn stop(self) {
        // Waiting for guests is not possible where a runtime may be dropped.
        self.quick.shutdown_background();
        self.slow.shutdown_background();
    }
}

/// Whether the attempts of one plugin took long lately. One number, so that thousands at once cost nothing; it is about order
/// only, so a lost count does no harm.
#[derive(Debug, Default)]
pub(crate) struct Habit(AtomicU32);

impl Habit {
    /// Whether its next attempt begins in the slow lane.
    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SLOW_FROM
    }

    fn took_long(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store((before + SLOW_WEIGHT).min(SLOW_MAX), Ordering::Relaxed);
    }

    fn was_quick(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.saturating_sub(1), Ordering::Relaxed);
    }
}

/// Whose an attempt is, as far as lanes care.
pub(crate) struct Runner {
    /// What the attempt spends.
    pub(crate) meter: Arc<Meter>,
    /// Of its plugin.
    pub(crate) habit: Arc<Habit>,
}

/// Reaches the lanes for as long as they are there.
#[derive(Clone)]
pub(crate) struct LaneHandles {
    quick: Handle,
    slow: Handle,
}

impl LaneHandles {
    /// Runs this attempt in the quick lane and then, if it takes long, in the slow one. Dropping the handle changes
    /// nothing; aborting ends the attempt in whichever lane it is.
    pub(crate) fn spawn<F, D>(&self, attempt: F, runner: Runner, done: D) -> AbortHandle
    where
        F: Future + Send + Unpin + 'static,
        F::Output: Send,
        D: FnOnce(Option<F::Output>) + Send + 'static,
    {
        let slow = self.slow.clone();
        let task = self.quick.spawn(async move {
            let work = Work { attempt, turns: Turns { runner, taken: 0, takes_long: false } };
            let outcome = match Quick(Some(work)).await {
                Lane::Ended(outcome) => Some(outcome),
                Lane::Slow(work) => go_on(&slow, work).await,
            };
            done(outcome);
        });
        task.abort_handle()
    }
}

/// Goes on with the attempt in the slow lane; `None`: the sandbox is being dropped.
async fn go_on<F>(slow: &Handle, work: Work<F>) -> Option<F::Output>
where
    F: Future + Send + Unpin + 'static,
    F::Output: Send,
{
    /// Whoever drops the one who waits drops the attempt.
    struct AbortOnDrop(AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = slow.spawn(Slow(work));
    let _abort = AbortOnDrop(task.abort_handle());
    task.await.ok()
}

/// What became of an attempt in the quick lane.
enum Lane<F: Future> {
    /// Its outcome.
    Ended(F::Output),
    /// It takes long.
    Slow(Work<F>),
}

/// An attempt under way.
struct Work<F> {
    attempt: F,
    turns: Turns,
}

/// What an attempt has had of the lanes so far.
struct Turns {
    runner: Runner,
    taken: u64,
    takes_long: bool,
}

impl Turns {
    /// Counts one more. The habit hears of what takes long at once: whatever never ends would tell it nothing.
    fn take(&mut self) {
        self.taken += 1;
        if !self.takes_long && self.runner.meter.spent_us() + self.taken * TURN_US >= QUICK_US {
            self.takes_long = true;
            self.runner.habit.took_long();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if !self.takes_long {
            self.runner.habit.was_quick();
        }
    }
}

impl<F: Future + Unpin> Work<F> {
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = Pin::new(&mut self.attempt).poll(context);
        self.turns.take();
        polled
    }
}

/// An attempt in the quick lane, until it leaves it.
struct Quick<F>(Option<Work<F>>);

impl<F: Future + Unpin> Future for Quick<F> {
    type Output = Lane<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lane<F>> {
        let Some(work) = self.0.as_mut() else { return Poll::Pending };
        let begins_behind = work.turns.taken == 0 && work.turns.runner.habit.is_slow();
        if !begins_behind {
            if let Poll::Ready(outcome) = work.turn(context) {
                return Poll::Ready(Lane::Ended(outcome));
            }
            if !work.turns.takes_long {
                return Poll::Pending;
            }
        }
        self.0.take().map_or(Poll::Pending, |work| Poll::Ready(Lane::Slow(work)))
    }
}

/// Puts this thread behind all that are not, for the rest of its life. Where that fails, it stays as it is.
pub(crate) fn step_behind() {
    let _ = rustix::process::setpriority_process(None, SLOW_NICE);
}

/// An attempt in the slow lane. Blocking threads that it is the first to need stand behind, too: a thread begins where the
/// one stands that starts it.
struct Slow<F>(Work<F>);

impl<F: Future + Unpin> Future for Slow<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        thread_local!(static BEHIND: Cell<bool> = const { Cell::new(false) });
        if !BEHIND.replace(true) {
            step_behind();
        }
        self.0.turn(context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::meter::Metered;
    use std::sync::mpsc;
    use std::thread;

    /// The name and the priority of the thread.
    fn thread_now() -> (String, i32) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        (name, rustix::process::getpriority_process(None).unwrap())
    }

    /// Yields so often, each time after so much computing, and tells where it ended.
    async fn computes(rounds: u32, us: u64) -> (String, i32) {
        for _ in 0..rounds {
            let meter = Arc::new(Meter::default());
            Metered::new(meter.clone(), async {
                while meter.spent_us_inside_poll() < us {
                    std::hint::spin_loop();
                }
            })
            .await;
            tokio::task::yield_now().await;
        }
        thread_now()
    }

    fn ended(rounds: u32, us: u64) -> Option<(String, i32)> {
        ended_of(&Arc::default(), rounds, us)
    }

    fn ended_of(habit: &Arc<Habit>, rounds: u32, us: u64) -> Option<(String, i32)> {
        let lanes = Lanes::start(1).unwrap();
        let (tell, told) = mpsc::channel();
        let meter = Arc::new(Meter::default());
        let attempt = Box::pin(Metered::new(meter.clone(), computes(rounds, us)));
        let runner = Runner { meter, habit: habit.clone() };
        lanes.handles().spawn(attempt, runner, move |outcome| tell.send(outcome).unwrap());
        told.recv().unwrap()
    }

    // R7.4
    #[test]
    fn what_took_long_again_and_again_begins_behind_until_it_is_quick_again() {
        let habit = Arc::new(Habit::default());
        let lane = |rounds| ended_of(&habit, rounds, 0).unwrap().0;
        let quick_turns = 1;
        assert_eq!(lane(quick_turns), "guest");
        for _ in 0..SLOW_FROM / SLOW_WEIGHT {
            assert!(!habit.is_slow());
            assert_eq!(lane(200), "guest-slow");
        }
        assert_eq!(lane(quick_turns), "guest-slow");
        assert_eq!(lane(quick_turns), "guest");
    }

    // R7.4
    #[test]
    fn what_computes_long_goes_on_behind_all_others_and_what_does_not_stays() {
        let (own, nice) = thread_now();
        assert_ne!(own, "guest");
        assert_eq!(ended(20, 10), Some(("guest".to_owned(), nice)));
        let slow = nice.max(SLOW_NICE);
        assert_eq!(ended(200, 0), Some(("guest-slow".to_owned(), slow)));
        assert_eq!(ended(3, QUICK_US / 2 + 1), Some(("guest-slow".to_owned(), slow)));
    }

    // R7.4
    #[test]
    fn aborting_ends_an_attempt_in_the_slow_lane_too() {
        struct Tells(mpsc::Sender<()>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let lanes = Lanes::start(1).unwrap();
        let (tell, told) = mpsc::channel();
        let (there, arrived) = mpsc::channel();
        let meter = Arc::new(Meter::default());
        let attempt = Box::pin(Metered::new(meter.clone(), async move {
            let _tells = Tells(tell);
            computes(3, QUICK_US / 2 + 1).await;
            there.send(()).unwrap();
            std::future::pending::<()>().await;
        }));
        let runner = Runner { meter, habit: Arc::default() };
        let abort = lanes.handles().spawn(attempt, runner, drop);
        arrived.recv().unwrap();
        abort.abort();
        told.recv().unwrap();
    }
}
