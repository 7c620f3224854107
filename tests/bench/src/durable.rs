//! The price of durability on this disk: overwriting a little of a file and syncing it, as a commit does.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What a commit of one row writes: about three pages of the log. Bytes.
const COMMIT_BYTES: usize = 3 * 4120;
/// Of the file that is overwritten in a circle. Bytes.
const FILE_BYTES: u64 = 4 << 20;

/// How long one write and sync take: the median and the one of 99 in 100 that takes longest.
pub(crate) fn fsync(dir: &Path) -> Result<(Duration, Duration)> {
    let path = dir.join("fsync");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    file.write_all_at(&vec![1; usize::try_from(FILE_BYTES)?], 0)?;
    file.sync_all()?;
    let bytes = vec![2; COMMIT_BYTES];
    let mut took = Vec::new();
    for round in 0..500 {
        let at = round * COMMIT_BYTES as u64 % (FILE_BYTES - COMMIT_BYTES as u64);
        let begun = Instant::now();
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
}
