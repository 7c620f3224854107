//! R7.3: a crash, a call of the host that makes no sense, and a component that is none end that attempt only.

use bandstand_hostile::{Proven, prove};

#[tokio::test]
async fn a_crash_ends_one_attempt() {
    for name in ["trap", "recursion", "exit"] {
        let Proven::Failed(failure) = prove(name).await else { panic!("{name}") };
        assert!(failure.recoverable, "policy decides, not the crash");
        assert!(failure.backtrace.is_some_and(|frames| frames.lines().count() <= 32), "{name}");
    }
}

#[tokio::test]
async fn a_forged_or_stale_handle_reaches_nothing() {
    for name in ["forged-handle", "stale-handle"] {
        prove(name).await;
    }
}

// The host calls these in the middle of its own work.
#[tokio::test]
async fn a_guest_that_betrays_the_host_in_its_allocator_fails_as_itself() {
    for name in ["re-entrant-realloc", "realloc-out-of-bounds"] {
        prove(name).await;
    }
}
