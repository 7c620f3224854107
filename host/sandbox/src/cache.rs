//! Keeps compiled code on disk, so that a component is compiled once per machine and version of the engine.
//!
//! Compiled code is trusted: whoever can write a file here can run code in the host. Hence the folder is private to
//! the user and refused where it is not, and a checksum finds files that are damaged. The checksum is no signature;
//! code authenticated under a key of the installation is to come.

use crate::load_error::SetupError;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// First bytes of each file; the last one is the layout's version.
const MAGIC: &[u8; 8] = b"bandstn\x01";
const HEAD_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;

/// A folder of compiled code, for one configuration of the engine.
pub(crate) struct Cache {
    dir: PathBuf,
    engine_key: String,
}

impl Cache {
    /// Makes the folder where it does not exist, and refuses one that others may write to.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, SetupError> {
        let failed = |source| SetupError::Cache { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let found = dir.metadata().map_err(failed)?;
        if found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(failed(std::io::Error::other(
                "others may write to this folder, and what it holds is run; make it yours with `chmod 700`, or \
                 choose another",
            )));
        }
        let mut key = KeyHasher(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut key);
        let mut engine_key = String::new();
        for byte in &key.0.finalize().as_bytes()[..8] {
            // Writing to a String cannot fail.
            let _ = write!(engine_key, "{byte:02x}");
        }
        Ok(Self { dir: dir.to_owned(), engine_key })
    }

    fn path(&self, digest: &str) -> PathBuf {
        let digest = digest.trim_start_matches("sha256:");
        self.dir.join(format!("{digest}-{}.cwasm", self.engine_key))
    }

    /// The compiled component, if it is there and whole. A damaged file is removed.
    pub(crate) fn read(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        File::open(&path).ok()?.read_to_end(&mut bytes).ok()?;
        match revive(engine, &bytes) {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!("compiled code in {} is {reason}; compiling anew", path.display());
                // If it cannot be removed it is replaced after compiling.
                let _ = std::fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a compiled component. A cache that cannot be written costs time, not correctness: it is only logged.
    pub(crate) fn write(&self, digest: &str, component: &Component) {
        let path = self.path(digest);
        let written = component
            .serialize()
            .map_err(std::io::Error::other)
            .and_then(|code| self.write_whole(&path, &code));
        if let Err(error) = written {
            tracing::warn!("compiled code was not kept in {}: {error}", path.display());
        }
    }

    /// Under a name of its own first, so that no reader ever finds half a file.
    fn write_whole(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let draft = self.dir.join(format!("draft-{}-{number}", std::process::id()));
        let result = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(MAGIC)?;
            file.write_all(blake3::hash(code).as_bytes())?;
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

#[expect(unsafe_code, reason = "wasmtime cannot check compiled code, only trust it")]
fn revive(engine: &Engine, bytes: &[u8]) -> Result<Component, &'static str> {
    let (head, code) = bytes.split_at_checked(HEAD_BYTES).ok_or("cut short")?;
    let (magic, checksum) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("of another layout");
    }
    // Compared in the time it takes; there is no secret to guess here.
    if blake3::hash(code).as_bytes() != checksum {
        return Err("damaged");
    }
    // SAFETY: `deserialize` needs bytes that `Component::serialize` made. These lie in a folder that only this user
    // can write to (checked in `open`), under a name that only `write` gives, and are unchanged since (the checksum
    // above, over the very bytes that are passed on). Code of another engine is refused by wasmtime itself.
    unsafe { Component::deserialize(engine, code) }.map_err(|_| "made by another version of the engine")
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
