//! Durability as a user meets it: the real program, real agents, a real file, and `kill -9`. A [`Site`] is a project
//! folder with its data directory; [`Process`] one command of the program; [`Journal`] what the file says afterwards,
//! read without the program.
//!
//! Needs the built program and the built plugins; [`Site::new`] says how to get them. Only for tests: everything here
//! panics with the reason when a promise is not kept. Nothing here is linked with the host.

#![allow(clippy::panic, clippy::unwrap_used, reason = "used by tests only")]

mod journal;
mod process;
mod random;
mod site;

pub use journal::{Journal, Row};
pub use process::{Ended, Process};
pub use random::Random;
pub use site::Site;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No step of a test takes longer on a slow machine. Milliseconds.
pub const PATIENCE_MS: u64 = 60_000;

/// Unix time in milliseconds, as the journal writes it.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Asks again and again until there is something.
///
/// # Panics
/// When there is nothing within [`PATIENCE_MS`]; `what` says what was waited for.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_millis(PATIENCE_MS), "not within {PATIENCE_MS} ms: {what}");
        sleep_ms(5);
    }
}

/// Sleeps.
pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
