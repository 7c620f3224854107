//! Mistakes that can be planted in the engine, to prove that the simulator would find them (the mutation check).
//!
//! Without the feature `mistakes`, [`is`] is `false` at compile time and nothing of this is in the program.

/// A mistake that an engine might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mistake {
    /// The idempotency key leaves out the numbers of visits, so that the next visit of a loop has the same.
    KeyWithoutVisit = 1,
    /// An exit sees the state as it was before the node's update.
    ExitSeesOldState = 2,
    /// The time of a delayed retry passes unseen.
    DropRetry = 3,
    /// A quorum is reached one success early.
    QuorumOneShort = 4,
    /// An interruption counts as a failed attempt.
    InterruptionSpends = 5,
    /// A reviewer who says the same twice counts twice.
    AnswerCountsTwice = 6,
    /// A join overwrites with the branches' operands instead of adding them.
    JoinOverwrites = 7,
    /// Timers fire up to half a second early.
    TimerEarly = 8,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Mistake; 8] = [
        Mistake::KeyWithoutVisit,
        Mistake::ExitSeesOldState,
        Mistake::DropRetry,
        Mistake::QuorumOneShort,
        Mistake::InterruptionSpends,
        Mistake::AnswerCountsTwice,
        Mistake::JoinOverwrites,
        Mistake::TimerEarly,
    ];
}

#[cfg(feature = "mistakes")]
mod planted {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mistake;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a mistake in every run of this process, or takes it out.
    pub fn plant(mistake: Option<Mistake>) {
        PLANTED.store(mistake.map_or(0, |mistake| mistake as u8), Ordering::Relaxed);
    }

    /// Whether that mistake is planted.
    #[inline]
    pub fn is(mistake: Mistake) -> bool {
        PLANTED.load(Ordering::Relaxed) == mistake as u8
    }
}

#[cfg(feature = "mistakes")]
pub use planted::{is, plant};

/// Whether that mistake is planted: never, without the feature `mistakes`.
#[cfg(not(feature = "mistakes"))]
#[inline(always)]
pub const fn is(_: Mistake) -> bool {
    false
}
