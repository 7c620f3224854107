//! The hash chained over a run's rows, so that a damaged, missing or swapped row is noticed. It protects against
//! accidents, not against somebody who may write the file.

/// Bytes of a link.
pub(crate) const LENGTH: usize = 16;

/// The `check` of a row.
pub(crate) type Check = [u8; LENGTH];

/// What stands before a run's first row; it names the run, so that rows of two runs cannot be swapped.
pub(crate) fn genesis(run_id: &str) -> Check {
    truncated(blake3::Hasher::new().update(b"bandstand run\n").update(run_id.as_bytes()).finalize())
}

/// The `check` of the row after `previous`.
pub(crate) fn link(previous: &Check, seq: u64, at: i64, events: &[u8]) -> Check {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous).update(&seq.to_le_bytes()).update(&at.to_le_bytes()).update(events);
    truncated(hasher.finalize())
}

fn truncated(hash: blake3::Hash) -> Check {
    let mut check = Check::default();
    check.copy_from_slice(&hash.as_bytes()[..LENGTH]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_row_changes_its_check() {
        let first = link(&genesis("a"), 0, 1, b"[]");
        for other in [
            link(&genesis("b"), 0, 1, b"[]"),
            link(&genesis("a"), 1, 1, b"[]"),
            link(&genesis("a"), 0, 2, b"[]"),
            link(&genesis("a"), 0, 1, b"[1]"),
        ] {
            assert_ne!(first, other);
        }
    }
}
