//! Mistakes that can be planted in the core, to prove that the simulator would find them (the mutation check).
//!
//! Without the feature `mistakes`, [`is`] is `false` at compile time and nothing of this is in the program.

use bandstand_engine::mistake::Planted;

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
    /// Starts owed calls of a paused run.
    StartWhilePaused = 10,
    /// Forgets a command for which nothing is kept.
    LoseMiss = 11,
    /// Tells a parent of its child's end only if it is in memory.
    ForgetChildEnd = 12,
    /// Lets a child run go on that is loaded and not wanted any more.
    KeepUnwanted = 13,
    /// Begins a child run although its parent has changed its mind.
    StartUnwanted = 14,
    /// Takes a child run for begun as soon as it is owed, so that a process that starts does not look at its parent.
    TrustChild = 15,
    /// Starts calls of a plugin that is in quarantine.
    StartShut = 16,
    /// Waits for ever for a probe that was stopped.
    ForgetProbe = 17,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Mistake; 17] = [
        Mistake::ForgetInFlight,
        Mistake::StartEarly,
        Mistake::AnswerEarly,
        Mistake::StartClosed,
        Mistake::DropTick,
        Mistake::RepeatFinished,
        Mistake::HideInterruption,
        Mistake::LoseWaiting,
        Mistake::LoseRefused,
        Mistake::StartWhilePaused,
        Mistake::LoseMiss,
        Mistake::ForgetChildEnd,
        Mistake::KeepUnwanted,
        Mistake::StartUnwanted,
        Mistake::TrustChild,
        Mistake::StartShut,
        Mistake::ForgetProbe,
    ];
}

static PLANTED: Planted = Planted::nothing();

/// Plants a mistake in every core of this process, or takes it out.
#[cfg(feature = "mistakes")]
pub fn plant(mistake: Option<Mistake>) {
    PLANTED.plant(mistake.map(|mistake| mistake as u8));
}

/// Whether that mistake is planted: never, without the feature `mistakes`.
#[inline(always)]
pub fn is(mistake: Mistake) -> bool {
    PLANTED.is(mistake as u8)
}
