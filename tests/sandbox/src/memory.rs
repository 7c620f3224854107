//! Memories that betray the host: one panics, one never answers.

use bandstand_sandbox::{AuditEntry, AuditRecord, Fact, FactHit, FactQuery, Memory, PowerError};
use std::time::Duration;

/// Panics in the middle of every host call.
pub struct Panicking;

/// Answers no host call before everybody has given up: for ever, as far as an attempt of [`Held::ATTEMPT_MS`] can tell.
/// Not for ever indeed, as the thread that waits is one of few.
pub struct Held;

impl Held {
    /// The longest an attempt with it may take.
    pub const ATTEMPT_MS: u64 = 150;
    const HOLDS: Duration = Duration::from_secs(2);
}

/// A memory all of whose methods do one thing first and then have nothing.
macro_rules! empty_memory {
    ($memory:ty, $first:expr) => {
        impl Memory for $memory {
            fn audit_append(&self, _: AuditEntry) -> Result<String, PowerError> {
                $first(self);
                Ok(String::new())
            }
            fn audit_snapshot(&self, _: u32) -> Result<Vec<AuditRecord>, PowerError> {
                $first(self);
                Ok(Vec::new())
            }
            fn facts_put(&self, _: Vec<Fact>) -> Result<Vec<String>, PowerError> {
                $first(self);
                Ok(Vec::new())
            }
            fn facts_search(&self, _: FactQuery) -> Result<Vec<FactHit>, PowerError> {
                $first(self);
                Ok(Vec::new())
            }
            fn facts_forget(&self, _: &str) -> Result<(), PowerError> {
                $first(self);
                Ok(())
            }
            fn facts_reflect(&self, _: &str) -> Result<Vec<String>, PowerError> {
                $first(self);
                Ok(Vec::new())
            }
            fn facts_consolidate(&self) -> Result<u32, PowerError> {
                $first(self);
                Ok(0)
            }
            fn slot_get(&self, _: &str) -> Result<Option<String>, PowerError> {
                $first(self);
                Ok(None)
            }
            fn slot_set(&self, _: &str, _: &str) -> Result<(), PowerError> {
                $first(self);
                Ok(())
            }
            fn slot_list(&self) -> Result<Vec<String>, PowerError> {
                $first(self);
                Ok(Vec::new())
            }
        }
    };
}

empty_memory!(Panicking, |_: &Panicking| panic!("the store is broken"));
empty_memory!(Held, |_: &Held| std::thread::sleep(Held::HOLDS));
