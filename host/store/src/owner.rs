//! Who names a large value in `blob_refs` besides runs: what is kept outlives the runs that made it. Runs have numbers above
//! 0; these have their own below, which nobody shares.

/// A reply that a node keeps, by its row in `kept_replies`.
pub(crate) fn kept_reply(id: i64) -> i64 {
    -2 * id
}

/// A thread, by its row in `threads`.
pub(crate) fn thread(id: i64) -> i64 {
    1 - 2 * id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    // R5.8: what a thread keeps once could have gone with a kept reply of the same number.
    #[test]
    fn no_two_owners_share_a_number() {
        let all: BTreeSet<i64> =
            (1..1_000).flat_map(|id| [super::kept_reply(id), super::thread(id)]).collect();
        assert_eq!(all.len(), 2 * 999);
        assert!(all.iter().all(|owner| *owner < 0));
    }
}
