//! The plugins that runs pin: their bytes by digest in the data directory, so that a run goes on with what it started
//! with, whatever becomes of the file it came from; and what is compiled of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bandstand_engine::graph::{Grants, MemoryAccess};
use bandstand_sandbox::{LoadError, MemoryGrant, Plugin, Sandbox};
use sha2::{Digest, Sha256};

/// Plugins by digest.
pub struct Plugins {
    directory: PathBuf,
    sandbox: Arc<Sandbox>,
    loaded: Mutex<BTreeMap<String, Plugin>>,
}

/// A plugin cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Its bytes are gone.
    #[error("the plugin {digest} that this run pins is missing; put the same file back as {}", path.display())]
    Missing {
        /// Its digest.
        digest: String,
        /// Where it is looked for.
        path: PathBuf,
    },
    /// Its bytes are others.
    #[error("{} does not have the digest of its name; put the original there", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be run.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl PluginError {
    /// Whether a person can mend it with the file: the plugin itself is not at fault.
    pub(super) fn is_of_the_file(&self) -> bool {
        match self {
            PluginError::Missing { .. } | PluginError::Damaged { .. } | PluginError::Io { .. } => true,
            PluginError::Load(_) => false,
        }
    }
}

impl Plugins {
    /// The plugins of a data directory.
    pub fn new(data_dir: &Path, sandbox: Arc<Sandbox>) -> Plugins {
        Plugins { directory: data_dir.join("plugins"), sandbox, loaded: Mutex::default() }
    }

    /// Keeps bytes; returns their digest. Writes nothing that is there already.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(data_dir: &Path, bytes: &[u8]) -> Result<String, PluginError> {
        let digest = digest(bytes);
        let directory = data_dir.join("plugins");
        let path = file_path(&directory, &digest);
        let io = |source| PluginError::Io { path: path.clone(), source };
        if fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64) {
            return Ok(digest);
        }
        fs::create_dir_all(&directory).map_err(io)?;
        // Whole or not at all: a reader never sees half a file, and a run never pins one.
        let mut random = [0; 8];
        let _ = getrandom::fill(&mut random);
        let half = directory.join(format!(".{}-{:x}", std::process::id(), u64::from_le_bytes(random)));
        let written = fs::File::create(&half)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&half, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&half);
            return Err(io(error));
        }
        fs::File::open(&directory).and_then(|directory| directory.sync_all()).map_err(io)?;
        Ok(digest)
    }

    /// The bytes that were kept under a digest.
    ///
    /// # Errors
    /// When they are gone or damaged.
    pub fn kept(data_dir: &Path, digest: &str) -> Result<Vec<u8>, PluginError> {
        let directory = data_dir.join("plugins");
        let bytes = read(&directory, digest)?;
        if self::digest(&bytes) != digest {
            return Err(PluginError::Damaged { path: file_path(&directory, digest) });
        }
        Ok(bytes)
    }

    /// The plugin, compiled. Reads and compiles it the first time, which blocks.
    ///
    /// # Errors
    /// When its bytes are gone or damaged, or it may not run with these grants.
    pub fn get(&self, pinned: &str, asked: &Grants) -> Result<Plugin, PluginError> {
        if let Some(plugin) = self.ready(pinned) {
            return Ok(plugin);
        }
        let bytes = read(&self.directory, pinned)?;
        // First, so that half a file counts as damaged and not as a plugin that cannot be run.
        if digest(&bytes) != pinned {
            let path = file_path(&self.directory, pinned);
            return Err(PluginError::Damaged { path });
        }
        let plugin = self.sandbox.load(&bytes, &grants(asked))?;
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(pinned.to_owned(), plugin.clone());
        Ok(plugin)
    }

    /// The plugin, if it is compiled already. Does not block.
    pub fn ready(&self, digest: &str) -> Option<Plugin> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}

fn read(directory: &Path, digest: &str) -> Result<Vec<u8>, PluginError> {
    let path = file_path(directory, digest);
    fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PluginError::Missing { digest: digest.to_owned(), path: path.clone() },
        _ => PluginError::Io { path: path.clone(), source },
    })
}

/// The sandbox's word for what a workflow grants.
pub(super) fn grants(asked: &Grants) -> bandstand_sandbox::Grants {
    let memory = asked.memory.map(|access| match access {
        MemoryAccess::Read => MemoryGrant::Read,
        MemoryAccess::Write => MemoryGrant::Write,
    });
    bandstand_sandbox::Grants { memory }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn file_path(directory: &Path, digest: &str) -> PathBuf {
    directory.join(format!("{}.wasm", digest.replace(':', "-")))
}
