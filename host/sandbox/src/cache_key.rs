//! The key under which one installation authenticates the compiled code that it keeps.
//!
//! It lies beside the folder of compiled code, not in it: who can write into the folder, or brings one from elsewhere,
//! does not have it. A key that others could have read or made is replaced, which makes all kept code worthless.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Size of a key. Bytes.
const KEY_BYTES: usize = blake3::KEY_LEN;

/// A secret of this installation. Cannot be shown.
pub(crate) struct CacheKey([u8; KEY_BYTES]);

impl CacheKey {
    /// The key in this file. Without one, or with one that is not private, a new one is made, unless nothing may be
    /// written.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub(crate) fn open(path: &Path, read_only: bool) -> std::io::Result<CacheKey> {
        let unusable = match read(path) {
            Ok(key) => return Ok(key),
            Err(error) => error,
        };
        if read_only {
            return Err(unusable);
        }
        if unusable.kind() != ErrorKind::NotFound {
            tracing::warn!(
                "the key of compiled code {} is not used: {unusable}; a new one is made, and plugins are compiled anew",
                path.display()
            );
            std::fs::remove_file(path)?;
        }
        make(path)?;
        // Another process may have been first; then its key is the one.
        read(path)
    }

    /// Says that all these parts belong together and come from this installation.
    pub(crate) fn authenticate(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            // With its length, so that nothing can be moved from one part into the next.
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }
}

fn read(path: &Path) -> std::io::Result<CacheKey> {
    let file = open_private(path)?;
    let mut bytes = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    let key = bytes.try_into().map_err(|_| Error::other("it is not a key"))?;
    Ok(CacheKey(key))
}

/// Whole or not at all, and never in place of another's.
fn make(path: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!("-{}", std::process::id()));
    let draft = Path::new(&draft);
    let _ = std::fs::remove_file(draft);
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(&key)?;
        match std::fs::hard_link(draft, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let _ = std::fs::remove_file(draft);
    made
}

/// Opens a file that only this user can have written and read; not a link to one, and nothing that opening waits for.
pub(crate) fn open_private(path: &Path) -> std::io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    // The bits are the same; only the type differs.
    let file =
        OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path).map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                Error::other("it is a symbolic link")
            } else {
                error
            }
        })?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Error::other("it is not a file"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::other("it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        return Err(Error::other("others may read or write it"));
    }
    Ok(file)
}
