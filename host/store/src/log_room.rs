//! Keeps the file of SQLite's log longer than what stands in it.
//!
//! A commit that makes a file longer waits for the file system's own journal as well: its sync costs two to five times
//! that of a commit that overwrites. So the writer puts zeros behind the log after a commit that made it longer, and the
//! commits after it overwrite them. Zeros are no frames to SQLite, which ends reading where the checksums do.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::place;

/// Zeros put behind the log at a time. Bytes.
const CHUNK_BYTES: usize = 512 << 10;

/// The room behind the log.
pub(crate) struct LogRoom {
    path: PathBuf,
    file: Option<File>,
    /// Of the file when it was last looked at.
    bytes: u64,
    /// A longer file is not made longer.
    bytes_max: u64,
}

impl LogRoom {
    pub(crate) fn new(store_path: &Path, bytes_max: u64) -> LogRoom {
        LogRoom { path: place::log_of(store_path), file: None, bytes: 0, bytes_max }
    }

    /// After a commit: makes room if the commit had none. What fails is left alone, since the room only saves time.
    pub(crate) fn committed(&mut self) {
        if self.make().is_err() {
            self.file = None;
        }
    }

    fn make(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            // SQLite makes it; appended to, another program's frames are never overwritten.
            none => none.insert(OpenOptions::new().append(true).open(&self.path)?),
        };
        let bytes = file.metadata()?.len();
        if bytes > self.bytes && bytes < self.bytes_max {
            file.write_all(&vec![0; CHUNK_BYTES])?;
            file.sync_data()?;
            self.bytes = bytes + CHUNK_BYTES as u64;
        } else {
            self.bytes = bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_once_for_many_commits() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("x.db");
        let log = place::log_of(&store);
        let length = || std::fs::metadata(&log).unwrap().len();
        let mut room = LogRoom::new(&store, 1 << 20);
        room.committed();
        assert!(!log.exists(), "the log is SQLite's to make");
        std::fs::write(&log, b"frame").unwrap();
        room.committed();
        let (first, chunk) = (length(), CHUNK_BYTES as u64);
        assert_eq!(first, 5 + chunk);
        room.committed();
        assert_eq!(length(), first, "it was not made longer meanwhile");
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"frame").unwrap();
        room.committed();
        assert_eq!(length(), first + 5 + chunk);
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"frame").unwrap();
        room.committed();
        assert_eq!(length(), first + 10 + chunk, "not without bound");
    }
}
