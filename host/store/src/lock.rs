//! One host for each data directory: an advisory lock that ends with the process, and who holds it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::place;

/// The file that is locked.
pub const LOCK_FILE_NAME: &str = "host.lock";
/// Version of what host and commands say to each other through the socket.
pub const PROTOCOL: u32 = 4;

/// How often the lock is asked for, and the time between.
const TRIES: u32 = 6;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The directory is this process's until the value is dropped, or the process ends however it may.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Where a lock's file is, to be looked at without the lock.
#[derive(Clone, Debug)]
pub struct LockPlace {
    path: PathBuf,
    /// Device and number of the locked file.
    file: (u64, u64),
}

impl LockPlace {
    /// Whether the locked file is still at its path. When it is not, the directory was removed, moved or replaced: what
    /// is written through open files is nobody's then.
    ///
    /// # Errors
    /// When that cannot be told now.
    pub fn is_there(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(found) => Ok((found.dev(), found.ino()) == self.file),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
                _ => Err(error),
            },
        }
    }
}

/// Who holds a directory, as the lock file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its [`PROTOCOL`].
    pub protocol: u32,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by {}; send it what is to be done, or end it first", directory.display(), holder_text(*holder))]
    Held {
        /// The data directory.
        directory: PathBuf,
        /// Who has it, unless it has only just begun.
        holder: Option<Holder>,
    },
    /// The file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

fn holder_text(holder: Option<Holder>) -> String {
    match holder {
        Some(Holder { pid, .. }) => format!("the host with process id {pid}"),
        None => "another host".to_owned(),
    }
}

impl Lock {
    /// Takes the directory, made if it is missing, or says who has it, after 50 ms at most.
    ///
    /// # Errors
    /// When another process has it, or the file cannot be written.
    pub fn acquire(directory: &Path) -> Result<Lock, LockError> {
        let path = directory.join(LOCK_FILE_NAME);
        let io = |source| LockError::Io { path: path.clone(), source };
        place::create_directory(directory).map_err(io)?;
        let mut file = place::private_file(&path).map_err(io)?;
        let mut tries = 1;
        while let Err(refused) = file.try_lock() {
            match refused {
                // Somebody may only be asking who holds it.
                TryLockError::WouldBlock if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                TryLockError::WouldBlock => {
                    let holder = read_holder(&mut file);
                    return Err(LockError::Held { directory: directory.to_owned(), holder });
                }
                TryLockError::Error(source) => return Err(io(source)),
            }
        }
        let holder = Holder { pid: std::process::id(), protocol: PROTOCOL };
        let text = serde_json::to_string(&holder).map_err(io::Error::other).map_err(io)?;
        let write = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())
        };
        write(&mut file).map_err(io)?;
        Ok(Lock { file, path })
    }

    /// Where its file is.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn place(&self) -> Result<LockPlace, LockError> {
        let found = self.file.metadata();
        let found = found.map_err(|source| LockError::Io { path: self.path.clone(), source })?;
        // A relative path would mean another file if the process changed its directory.
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        Ok(LockPlace { path, file: (found.dev(), found.ino()) })
    }

    /// Who has the directory now; `None`: nobody.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn holder(directory: &Path) -> Result<Option<Holder>, LockError> {
        let path = directory.join(LOCK_FILE_NAME);
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                Ok(Some(read_holder(&mut file).unwrap_or(Holder { pid: 0, protocol: PROTOCOL })))
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The name of a gone process would mislead. The lock itself ends with the file.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(path = %self.path.display(), %error, "the lock file keeps its holder");
        }
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(256).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // R5.1: nothing is written into a directory that is gone.
    #[test]
    fn a_removed_moved_or_replaced_directory_is_noticed() {
        let parent = tempfile::tempdir().expect("a directory");
        let (data, moved) = (parent.path().join("data"), parent.path().join("moved"));
        let lock = Lock::acquire(&data).expect("free");
        let place = lock.place().expect("looked at");
        assert!(place.is_there().expect("told"));
        std::fs::rename(&data, &moved).expect("moved");
        assert!(!place.is_there().expect("told"), "moved");
        let other = Lock::acquire(&data).expect("another directory");
        assert!(!place.is_there().expect("told"), "replaced");
        assert!(other.place().expect("looked at").is_there().expect("told"));
        std::fs::remove_dir_all(&data).expect("removed");
        std::fs::write(&data, "a file").expect("written");
        assert!(!place.is_there().expect("told"), "a file");
    }

    // R5.4: two hosts on one journal would repeat each other's attempts.
    #[test]
    fn a_second_host_is_refused_and_told_who_holds_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(Lock::holder(directory.path()).expect("read"), None);
        let lock = Lock::acquire(directory.path()).expect("free");
        let refused = Lock::acquire(directory.path()).expect_err("held");
        let me = std::process::id();
        assert!(
            matches!(&refused, LockError::Held { holder: Some(Holder { pid, protocol: PROTOCOL }), .. } if *pid == me)
        );
        assert!(refused.to_string().contains(&format!("process id {me}")), "{refused}");
        assert_eq!(Lock::holder(directory.path()).expect("read").map(|holder| holder.pid), Some(me));
        drop(lock);
        assert_eq!(Lock::holder(directory.path()).expect("read"), None);
        Lock::acquire(directory.path()).expect("free again");
    }
}
