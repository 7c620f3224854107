//! R7.3, R7.4: what goes through host calls is bounded, in one call and in all, and a host that breaks in the middle of
//! one ends that attempt only.

use bandstand_hostile::prove;

#[tokio::test]
async fn floods_end_at_their_quota() {
    for name in ["log-flood", "progress-flood"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn one_call_carries_no_more_than_its_bound() {
    for name in ["huge-argument", "amplified-argument", "zeroes", "random"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn a_panic_of_the_host_ends_one_attempt() {
    prove("memory-panics").await;
}

// R7.2: what is linked for the sake of toolchains has nothing behind it.
#[tokio::test]
async fn there_is_no_network() {
    for name in ["http", "socket"] {
        prove(name).await;
    }
}
