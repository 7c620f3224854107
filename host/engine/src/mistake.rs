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
    /// A wait takes the newest signal of its name.
    SignalNewestFirst = 9,
    /// The deadline of an agent's visit begins anew with each attempt.
    DeadlineRestarts = 10,
    /// A signal that comes before its wait is forgotten.
    SignalLost = 11,
    /// Visits are taken for equal whatever they are given.
    CacheWithoutInput = 12,
    /// The id of a child run depends on how far its parent has come.
    ChildTwice = 13,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Mistake; 13] = [
        Mistake::KeyWithoutVisit,
        Mistake::ExitSeesOldState,
        Mistake::DropRetry,
        Mistake::QuorumOneShort,
        Mistake::InterruptionSpends,
        Mistake::AnswerCountsTwice,
        Mistake::JoinOverwrites,
        Mistake::TimerEarly,
        Mistake::SignalNewestFirst,
        Mistake::DeadlineRestarts,
        Mistake::SignalLost,
        Mistake::CacheWithoutInput,
        Mistake::ChildTwice,
    ];
}

static PLANTED: Planted = Planted::nothing();

/// Plants a mistake in every run of this process, or takes it out.
#[cfg(feature = "mistakes")]
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.plant(mistake.map(|mistake| mistake as u8));
}

/// Whether that mistake is planted: never, without the feature `mistakes`.
#[inline(always)]
pub fn is(mistake: Mistake) -> bool {
    PLANTED.is(mistake as u8)
}

/// Which mistake of one list is planted in this process. The engine has one, the driver's core another.
#[derive(Debug)]
pub struct Planted(#[cfg(feature = "mistakes")] std::sync::atomic::AtomicU8);

#[cfg(feature = "mistakes")]
impl Planted {
    /// No mistake.
    pub const fn nothing() -> Planted {
        Planted(std::sync::atomic::AtomicU8::new(0))
    }

    /// Plants the mistake of that number, from 1, or takes out what is planted.
    pub fn plant(&self, number: Option<u8>) {
        self.0.store(number.unwrap_or(0), std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the mistake of that number is planted.
    #[inline]
    pub fn is(&self, number: u8) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) == number
    }
}

#[cfg(not(feature = "mistakes"))]
impl Planted {
    /// No mistake, ever.
    pub const fn nothing() -> Planted {
        Planted()
    }

    /// Never: mistakes are planted with the feature `mistakes` only.
    #[inline(always)]
    pub const fn is(&self, _number: u8) -> bool {
        false
    }
}
