//! The wall clock. Nothing else of the driver reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use bandstand_engine::Timestamp;

/// The time now. May jump, also backwards.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
