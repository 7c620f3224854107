//! The driver's core: which appends, calls and answers follow from what happened. Pure, like the engine: no tokio,
//! threads, clocks, SQL or WebAssembly. The host's shell drives it with real ones, the simulator with models.
//!
//! # The contract
//!
//! [`Core::handle`] takes one [`Message`] and the time, and adds [`Action`]s to a list. The caller carries the actions
//! out in their order and reports back with messages; it may be as slow as it likes, and answers to different actions
//! may come in any order. What must be reported, exactly once each:
//!
//! | action | reported with |
//! | --- | --- |
//! | [`Action::Append`] | [`Message::Appended`] once durable, [`Message::AppendRefused`] or [`Message::AppendFailed`] |
//! | [`Action::StartCall`] | [`Message::CallEnded`], [`Message::CallStopped`], [`Message::CallRefused`] or [`Message::CallBlocked`] |
//! | [`Action::StartChild`] | [`Message::RunStarted`] if there was no such run, [`Message::Drive`] if there was, or [`Message::ChildRefused`] |
//! | [`Action::LookUp`] | [`Message::LookedUp`] |
//! | [`Action::Load`] | [`Message::Loaded`] or [`Message::LoadFailed`] |
//! | [`Action::WakeAt`] | [`Message::Tick`], at that time or later; holds until the next `WakeAt` replaces it |
//!
//! The others need no report. At most one append of a run is under way, and its rows follow each other; of a failed
//! one the outcome is unknown, so the core answers [`Action::Die`] and does nothing more.
//!
//! # What it sees to
//!
//! - **Memory may run ahead of the disk, the world may not.** A run handles inputs at once. Starting and stopping
//!   calls, answers and publishing wait for their append and keep the order of the decisions; what is decided meanwhile
//!   rides in the run's next append.
//! - A call is *in flight* from [`Action::StartCall`] until the message that ends it was handled. No command has two
//!   calls in flight, and a command that is owed no longer is never started.
//! - **Marks.** The caller marks a call durably (enough to survive its own death) before it starts, and removes the
//!   mark at [`Action::ClearMark`]: when what became of the call is durable. At start it hands the marks it finds, run
//!   by run, to [`Message::Loaded`]. Those that are still owed were interrupted: that is recorded first, then they are
//!   repeated. After an orderly end ([`Core::is_idle`] or not) the caller removes all marks: nothing was interrupted.
//! - **Kept replies.** A command whose node keeps replies is looked up before it comes to the gate. What is found is an
//!   input like any other; it takes no place in the gate, no mark and no call, and counts nowhere as one. Nothing is looked
//!   up while a run is paused or the gate is held. After a crash it is looked up again.
//! - **Admission** ([`Gate`]): limits and fairness, before a call costs anything. An attempt that was interrupted
//!   twice runs alone.
//! - **Quarantine** ([`Quarantine`]): calls of a plugin that keeps crashing wait beside the gate, unspent, until it works
//!   again or a person says so. The caller keeps what [`Action::Breaker`] says and hands it to [`Core::restore`] at start.
//! - **Child runs.** What a run owes as a child is a run of its own in this core: its parent hears of its end when that
//!   is durable, it is cancelled or killed when that is durable of its parent, and its parent stands as its children do.
//! - **Nothing is lost of a run that is stuck.** It stays as its journal has it, and [`Message::Drive`] reads it anew.
//! - Runs without owed commands leave memory after a second and come back for an input or a deadline.
//!
//! Everything is deterministic: the same messages at the same times give the same actions.
//!
//! # Crash and recovery, for a simulator
//!
//! A crash drops the core. A new one gets [`Message::Drive`] for each run that owed something and [`Message::Sleeper`]
//! for each that waits for a time; both ask for [`Action::Load`], the latter at the deadline. A run also owes something, for
//! this, if a child run of it has ended since its last row; and a child run if its parent's last rows do not want it any
//! more, which [`Message::Loaded`] then says.
//!
//! The feature `mistakes` adds [`mistake`]s that a simulator must be able to find.

mod action;
mod breaker;
mod children;
mod core;
mod gate;
mod limits;
mod message;
pub mod mistake;
mod slot;
mod ward;

pub use action::{Action, NewChild, Refusal, Row, Standing, Summary};
pub use breaker::{Breaker, BreakerState, Evidence, Quarantine, QuarantineCounts, fault_text};
pub use core::Core;
pub use gate::{Gate, Held, Ticket};
pub use limits::Limits;
pub use message::{LoadProblem, Message, Unwanted};

/// A run's id.
pub type RunId = std::sync::Arc<str>;

/// Names one append until it is durable. Never used twice by one [`Core`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names somebody who waits for an answer. The caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request(pub u64);
