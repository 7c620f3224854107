//! Mistakes that can be planted in the core, to prove that the simulator would find them (the mutation check).
//!
//! Without the feature `mistakes`, [`is`] is `false` at compile time and nothing of this is in the program.

/// A mistake that a driver might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mistake {
    /// Forgets calls in flight while another of the run is handled, and so starts them a second time.
    ForgetInFlight = 1,
    /// Starts calls before the append that owes them is durable.
    StartEarly = 2,
    /// Answers before the append is durable.
    AnswerEarly = 3,
    /// Starts a command that was closed while it queued.
    StartClosed = 4,
    /// Loses every third deadline.
    DropTick = 5,
    /// Repeats, at recovery, an attempt whose end is durable.
    RepeatFinished = 6,
    /// Repeats an interrupted attempt without recording that it was interrupted.
    HideInterruption = 7,
    /// Loses inputs that come while their run is loaded.
    LoseWaiting = 8,
    /// Takes an overload for an end and never starts the attempt again.
    LoseRefused = 9,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Mistake; 9] = [
        Mistake::ForgetInFlight,
        Mistake::StartEarly,
        Mistake::AnswerEarly,
        Mistake::StartClosed,
        Mistake::DropTick,
        Mistake::RepeatFinished,
        Mistake::HideInterruption,
        Mistake::LoseWaiting,
        Mistake::LoseRefused,
    ];
}

#[cfg(feature = "mistakes")]
mod planted {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Mistake;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// Plants a mistake in every core of this process, or takes it out.
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
