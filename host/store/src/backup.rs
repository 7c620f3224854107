//! A copy of the store at one moment, while a host goes on writing. The copy is a whole store, smaller if rows were deleted.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::FILE_NAME;
use crate::open;
use crate::reader::{ReadError, Reader};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The copy cannot be written.
    #[error("the copy {} cannot be written: {problem}", path.display())]
    Write {
        /// The copy.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Reader {
    /// Copies the store, as it is at this moment, into that directory; its size in bytes. Durable when this returns. Takes
    /// as long as the file is large, reads on a connection of its own, and holds nobody up; the log grows meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read, or the copy cannot be written or is there already.
    pub fn back_up(&self, directory: &Path) -> Result<u64, BackupError> {
        let path = directory.join(FILE_NAME);
        let cannot = |problem: String| BackupError::Write { path: path.clone(), problem };
        let named = path.to_str().ok_or_else(|| cannot("its path is no text".to_owned()))?;
        let connection = open::reader(self.path(), self.options()).map_err(ReadError::from)?;
        // SQLite takes an empty file for none, so whether there is one is asked first.
        if path.exists() {
            return Err(cannot("it is there already".to_owned()));
        }
        connection.execute("VACUUM INTO ?1", [named]).map_err(|error| cannot(error.to_string()))?;
        let synced = File::open(&path).and_then(|file| {
            file.sync_all()?;
            File::open(directory)?.sync_all()?;
            Ok(file.metadata()?.len())
        });
        synced.map_err(|error| cannot(error.to_string()))
    }
}
