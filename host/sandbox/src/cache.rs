//! Keeps compiled code on disk, so that a component is compiled once per machine and version of the engine.
//!
//! Compiled code is trusted: whoever gets a file of theirs loaded from here runs code in the host. Hence the folder and
//! its files are private to the user, or not used; and each file carries a code of authentication over what it is for
//! (which component, which engine) and what it holds, under a key of this installation. It is checked over the very
//! bytes that are loaded. Whatever does not pass is compiled anew.

use crate::answer::CODE_BYTES_MAX;
use crate::cache_key::{CacheKey, open_private};
use crate::load_error::SetupError;
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use wasmtime::Engine;

/// First bytes of each file; the last one is the layout's version.
const MAGIC: &[u8; 8] = b"bandstn\x02";
/// Nobody writes a file for so long.
const DRAFT_AGE: Duration = Duration::from_secs(3_600);
const HEAD_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;

/// What is kept for a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptCode {
    /// Nothing, or nothing for this version of the engine: it is compiled when it is first loaded.
    None,
    /// Code that this installation made of this component.
    Authentic {
        /// Its size. Bytes.
        size_bytes: usize,
    },
    /// A file that is not used, because it is damaged, not private, or was made by somebody else.
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A folder of compiled code, for one configuration of the engine.
pub(crate) struct Cache {
    dir: PathBuf,
    engine_hash: [u8; blake3::OUT_LEN],
    key: CacheKey,
    read_only: bool,
    bytes_max: u64,
}

/// A file that is there and must not be loaded.
pub(crate) struct Refused {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

impl Cache {
    /// Makes the folder where it does not exist. None: nothing can be kept there, which costs time only.
    ///
    /// # Errors
    /// When others may write to the folder: then somebody means something else with it.
    pub(crate) fn open(
        dir: &Path,
        read_only: bool,
        bytes_max: u64,
        engine: &Engine,
    ) -> Result<Option<Self>, SetupError> {
        let nothing = |error: &std::io::Error| {
            // A reader finds nothing where nothing was ever written.
            if !(read_only && error.kind() == ErrorKind::NotFound) {
                tracing::warn!(
                    "compiled code is not kept in {}: {error}; plugins are compiled at each start",
                    dir.display()
                );
            }
            Ok(None)
        };
        if !read_only && let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            return nothing(&error);
        }
        let found = match dir.metadata() {
            Ok(found) => found,
            Err(error) => return nothing(&error),
        };
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            let source = std::io::Error::other(
                "others may write to this folder, and what it holds is run; make it yours with `chmod 700`, or \
                 choose another",
            );
            return Err(SetupError::Cache { path: dir.to_owned(), source });
        }
        match CacheKey::open(&key_path(dir), read_only) {
            Ok(key) => {
                let engine_hash = engine_hash(engine);
                Ok(Some(Self { dir: dir.to_owned(), engine_hash, key, read_only, bytes_max }))
            }
            Err(error) => nothing(&error),
        }
    }

    /// The file's name tells engines apart too, so that two versions of the host do not write over each other's code.
    fn path(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        let mut engine = String::new();
        for byte in &self.engine_hash[..8] {
            // Writing to a String cannot fail.
            let _ = write!(engine, "{byte:02x}");
        }
        self.dir.join(format!("{digest}-{engine}.cwasm"))
    }

    /// The code of a component, if it is there.
    ///
    /// # Errors
    /// When there is a file that must not be loaded.
    pub(crate) fn read(&self, digest: &str) -> Result<Option<Vec<u8>>, Refused> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let read = open_private(&path).and_then(|file| {
            (&file).take((HEAD_BYTES + CODE_BYTES_MAX) as u64).read_to_end(&mut bytes)?;
            Ok(file)
        });
        let reason = match read {
            Ok(file) => match self.authentic(digest, &bytes) {
                Ok(()) => {
                    if !self.read_only {
                        // The time of its last use. Without it the file only goes earlier.
                        let _ = file.set_modified(SystemTime::now());
                    }
                    bytes.drain(..HEAD_BYTES);
                    return Ok(Some(bytes));
                }
                Err(reason) => reason.to_owned(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => error.to_string(),
        };
        Err(Refused { path, reason })
    }

    fn authentic(&self, digest: &str, bytes: &[u8]) -> Result<(), &'static str> {
        let (head, code) = bytes.split_at_checked(HEAD_BYTES).ok_or("it is cut short")?;
        let (magic, found) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err("it is of another layout");
        }
        // The comparison takes the same time wherever they differ.
        let found = blake3::Hash::from_slice(found).map_err(|_| "it is cut short")?;
        if self.authentication(digest, code) == found {
            Ok(())
        } else {
            Err("it is damaged, or was not made by this installation for this plugin and this version")
        }
    }

    fn authentication(&self, digest: &str, code: &[u8]) -> blake3::Hash {
        self.key.authenticate(&[MAGIC, &self.engine_hash, digest.as_bytes(), code])
    }

    /// Keeps the code of a component. A cache that cannot be written costs time, not correctness: it is only logged.
    pub(crate) fn write(&self, digest: &str, code: &[u8]) {
        if self.read_only {
            return;
        }
        let path = self.path(digest);
        if let Err(error) = self.write_whole(&path, digest, code) {
            tracing::warn!("compiled code was not kept in {}: {error}", path.display());
        }
        if let Err(error) = self.prune(&path) {
            tracing::warn!("old compiled code stays in {}: {error}", self.dir.display());
        }
    }

    /// Removes what was not used for longest, until the rest has room, and what writers left that died. `newest` stays,
    /// however large it is: it is about to be used.
    fn prune(&self, newest: &Path) -> std::io::Result<()> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Another process may remove it meanwhile.
            let Ok(found) = entry.metadata() else { continue };
            let (path, name) = (entry.path(), entry.file_name());
            let used = found.modified()?;
            if name.to_string_lossy().starts_with("draft-") {
                if used.elapsed().is_ok_and(|age| age > DRAFT_AGE) {
                    remove(&path)?;
                }
            } else if found.is_file()
                && path.extension().is_some_and(|last| last == "cwasm")
                && path != newest
            {
                kept.push((used, found.len(), path));
            }
        }
        kept.sort();
        let newest = newest.metadata().map_or(0, |found| found.len());
        let mut total: u64 = newest + kept.iter().map(|(_, size, _)| *size).sum::<u64>();
        for (_, size, path) in kept {
            if total <= self.bytes_max {
                break;
            }
            remove(&path)?;
            total -= size;
        }
        Ok(())
    }

    /// Under a name of its own first, so that no reader ever finds half a file.
    fn write_whole(&self, path: &Path, digest: &str, code: &[u8]) -> std::io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let draft = self.dir.join(format!("draft-{}-{number}", std::process::id()));
        let result = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(MAGIC)?;
            file.write_all(self.authentication(digest, code).as_bytes())?;
            file.write_all(code)?;
            std::fs::rename(&draft, path)
        })();
        if result.is_err() {
            // The error worth telling is the one before.
            let _ = std::fs::remove_file(&draft);
        }
        result
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Beside the folder: `compiled.key` for `compiled`.
fn key_path(dir: &Path) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(".key");
    PathBuf::from(path)
}

/// What tells engines apart whose code is not exchangeable.
pub(crate) fn engine_hash(engine: &Engine) -> [u8; blake3::OUT_LEN] {
    let mut hasher = KeyHasher(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    *hasher.0.finalize().as_bytes()
}

/// Lets what an engine is compatible with be hashed the same way by every build of the host, which the standard
/// library's hashers do not promise.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
