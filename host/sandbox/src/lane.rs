//! Two lanes of threads for guests: every attempt begins in the quick lane; one that has computed for a while goes on in
//! the slow lane, whose threads the system's scheduler puts behind all others. So what takes long, or never ends, does
//! not stand in the way of what takes little.
//!
//! Leaves out what an attempt may take at all; that is [`crate::guest`]'s.

use crate::meter::Meter;
use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// Computing that an attempt may do in the quick lane. Ticks come every 10 ms, so it is seen at the first one or two.
/// Microseconds.
const QUICK_US: u64 = 4_000;
/// What each turn counts beside its computing: one that waits for nothing and lets others go first, again and again, takes turns
/// instead of time. Microseconds.
const TURN_US: u64 = 50;
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

/// Reaches the lanes for as long as they are there.
#[derive(Clone)]
pub(crate) struct LaneHandles {
    quick: Handle,
    slow: Handle,
}

impl LaneHandles {
    /// Runs this attempt, which bills to this meter, in the quick lane and then, if it takes long, in the slow one.
    /// Dropping the handle changes nothing; aborting ends the attempt in whichever lane it is.
    pub(crate) fn spawn<F, D>(&self, attempt: F, meter: Arc<Meter>, done: D) -> AbortHandle
    where
        F: Future + Send + Unpin + 'static,
        F::Output: Send,
        D: FnOnce(Option<F::Output>) + Send + 'static,
    {
        let slow = self.slow.clone();
        let task = self.quick.spawn(async move {
            let outcome = match (Quick { attempt: Some(attempt), meter, turns: 0 }).await {
                Lane::Ended(outcome) => Some(outcome),
                Lane::Slow(attempt) => go_on(&slow, attempt).await,
            };
            done(outcome);
        });
        task.abort_handle()
    }
}

/// Goes on with the attempt in the slow lane; `None`: the sandbox is being dropped.
async fn go_on<F>(slow: &Handle, attempt: F) -> Option<F::Output>
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
    let task = slow.spawn(Slow(attempt));
    let _abort = AbortOnDrop(task.abort_handle());
    task.await.ok()
}

/// What became of an attempt in the quick lane.
enum Lane<F: Future> {
    /// Its outcome.
    Ended(F::Output),
    /// It takes long.
    Slow(F),
}

/// An attempt in the quick lane.
struct Quick<F> {
    /// Taken when it leaves the lane.
    attempt: Option<F>,
    meter: Arc<Meter>,
    turns: u64,
}

impl<F: Future + Unpin> Future for Quick<F> {
    type Output = Lane<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lane<F>> {
        let this = &mut *self;
        let Some(attempt) = this.attempt.as_mut() else { return Poll::Pending };
        if let Poll::Ready(outcome) = Pin::new(attempt).poll(context) {
            return Poll::Ready(Lane::Ended(outcome));
        }
        this.turns += 1;
        if this.meter.spent_us() + this.turns * TURN_US < QUICK_US {
            return Poll::Pending;
        }
        this.attempt.take().map_or(Poll::Pending, |attempt| Poll::Ready(Lane::Slow(attempt)))
    }
}

/// Puts this thread behind all that are not, for the rest of its life. Where that fails, it stays as it is.
pub(crate) fn step_behind() {
    let _ = rustix::process::setpriority_process(None, SLOW_NICE);
}

/// An attempt in the slow lane. Blocking threads that it is the first to need stand behind, too: a thread begins where the
/// one stands that starts it.
struct Slow<F>(F);

impl<F: Future + Unpin> Future for Slow<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        thread_local!(static BEHIND: Cell<bool> = const { Cell::new(false) });
        if !BEHIND.replace(true) {
            step_behind();
        }
        Pin::new(&mut self.0).poll(context)
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
        let lanes = Lanes::start(1).unwrap();
        let (tell, told) = mpsc::channel();
        let meter = Arc::new(Meter::default());
        let attempt = Box::pin(Metered::new(meter.clone(), computes(rounds, us)));
        lanes.handles().spawn(attempt, meter, move |outcome| tell.send(outcome).unwrap());
        told.recv().unwrap()
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
        let abort = lanes.handles().spawn(attempt, meter, drop);
        arrived.recv().unwrap();
        abort.abort();
        told.recv().unwrap();
    }
}
