//! The threads of a host besides those of guests and of the store.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The runtime that a host is opened on: one worker. All runs are one task's, so a second worker would do nothing but
/// be woken to look for work and find none, at each of the two or three wake-ups of a step: that took more processor
/// time than the step itself. Whatever blocks has threads of its own.
///
/// # Errors
/// When the machine gives no threads.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).thread_name("host").enable_all().build()
}
