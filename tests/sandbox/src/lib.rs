//! Hostile plugins: what each does stands in `attacks/NAME.wat` (or in [`big`], where text would be too long), what the
//! host owes for it in [`attacks`]. [`Attack::load`] and [`Attack::call`] make it and say which promise was broken.
//!
//! The tests prove each alone, then all of them at once beside healthy calls; `tests/bench` measures the healthy ones.
//! Only for tests: everything here panics when a guest is written wrongly.

#![allow(clippy::panic, clippy::unwrap_used, reason = "used by tests only")]

mod attack;
pub mod big;
mod memory;
mod table;

pub use attack::{Attack, Ends, Proven, answers, healthy, ordinary, prove, request, sandbox, unsafe_text};
pub use memory::{Held, Panicking};
pub use table::{attack, attacks};
