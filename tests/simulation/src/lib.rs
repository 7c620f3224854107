//! Proves the engine and the driver's core by simulation: generated workflows, scripted agents and people, faults, an
//! independent oracle, and invariants after every decision.
//!
//! Everything is deterministic: a seed makes tapes ([`tape`]), tapes make a world ([`generate`]) and what happens to it.
//! What must hold is in [`check`] and [`oracle`]; a tape that shows a problem is made smaller by [`shrink`].
//! Not here: the shell round the core, the store, the sandbox; they have tests of their own.

pub mod check;
pub mod children;
pub mod engine_alone;
pub mod facts;
pub mod generate;
pub mod host;
pub mod oracle;
pub mod people;
#[cfg(feature = "mistakes")]
pub mod planted;
pub mod render;
pub mod report;
pub mod script;
pub mod seed;
pub mod shrink;
pub mod signals;
pub mod tape;
pub mod verbs;
pub mod verdict;
