//! R7.3, R7.4: what a guest answers is bounded and checked before anybody acts on it.

use bandstand_hostile::prove;

#[tokio::test]
async fn a_reply_beyond_its_limit_is_not_copied() {
    for name in ["gibibyte-reply", "large-reply", "amplified-reply"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn a_reply_that_nobody_can_read_is_told_apart() {
    for name in ["deep-json", "not-utf8"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn a_number_without_end_costs_no_more_than_its_length() {
    prove("long-number").await;
}
