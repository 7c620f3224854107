//! The plugins that runs pin: their bytes by digest in the data directory, so that a run goes on with what it started
//! with, whatever becomes of the file it came from; and what is compiled of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bandstand_engine::graph::{FilesAccess, Grants, MemoryAccess, Plugin as Asked};
use bandstand_sandbox::{FilesDirectory, FilesGrant, HttpGrant, LoadError, MemoryGrant, Plugin, Sandbox};
use sha2::{Digest, Sha256};

use super::tally::{Calls, Tally};
use crate::project::contract;

/// How long a plugin's file stays after a run that pins it was last asked for, though none does: it may be beginning.
pub const PLUGIN_SPARED: Duration = Duration::from_secs(3_600);

/// Plugins by digest.
pub struct Plugins {
    directory: PathBuf,
    sandbox: Arc<Sandbox>,
    /// By digest, and the function that is called if no agent is.
    loaded: Mutex<BTreeMap<(String, Option<String>), Plugin>>,
    /// How their calls ended.
    pub(super) tally: Tally,
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
    /// It cannot be run: the plugin itself is at fault, not its file.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Plugins {
    /// The plugins of a data directory.
    pub fn new(data_dir: &Path, sandbox: Arc<Sandbox>) -> Plugins {
        Plugins {
            directory: data_dir.join("plugins"),
            sandbox,
            loaded: Mutex::default(),
            tally: Tally::default(),
        }
    }

    /// Keeps bytes; returns their digest. Writes nothing that is there already, but says that it is needed again: a run
    /// that pins it may be about to begin, in another process even.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(data_dir: &Path, bytes: &[u8]) -> Result<String, PluginError> {
        let digest = digest(bytes);
        let directory = data_dir.join("plugins");
        let path = file_path(&directory, &digest);
        let io = |source| PluginError::Io { path: path.clone(), source };
        if fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64) && still_there(&path) {
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

    /// Says that a kept plugin is needed again, as [`Plugins::keep`] does without its bytes: a run that pins it may be
    /// about to begin while the last one that did is deleted.
    ///
    /// # Errors
    /// When its file is gone.
    pub fn spare(data_dir: &Path, digest: &str) -> Result<(), PluginError> {
        let path = file_path(&data_dir.join("plugins"), digest);
        if still_there(&path) {
            return Ok(());
        }
        Err(PluginError::Missing { digest: digest.to_owned(), path })
    }

    /// Removes the files of a data directory that are not among these digests and were not asked for within
    /// [`PLUGIN_SPARED`]; how many. They may be needed while it goes on: see [`Plugins::keep`].
    ///
    /// # Errors
    /// When the directory cannot be read, or a file in it cannot be removed.
    pub fn forget(data_dir: &Path, pinned: &BTreeSet<String>) -> io::Result<u64> {
        let directory = data_dir.join("plugins");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let pinned: BTreeSet<PathBuf> = pinned.iter().map(|digest| file_path(&directory, digest)).collect();
        let mut removed = 0;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let ours = name.starts_with("sha256-") && name.ends_with(".wasm");
            // Half a file, or one that was about to be removed, of a process that died.
            let left_over = name.starts_with('.');
            if (!ours && !left_over) || pinned.contains(&path) || is_fresh(&path) {
                continue;
            }
            if left_over {
                fs::remove_file(&path)?;
                continue;
            }
            // Out of the way first: whoever asks for it from now on writes it anew, and whoever asked before has left a
            // fresh time on it.
            let aside = directory.join(format!(".gone-{name}"));
            fs::rename(&path, &aside)?;
            if is_fresh(&aside) {
                fs::rename(&aside, &path)?;
                continue;
            }
            fs::remove_file(&aside)?;
            removed += 1;
        }
        Ok(removed)
    }

    /// The plugins whose files are kept in a data directory: digest and bytes, in no order.
    ///
    /// # Errors
    /// When the directory cannot be read, or is not there.
    pub fn list(data_dir: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(data_dir.join("plugins"))? {
            let entry = entry?;
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_prefix("sha256-")?.strip_suffix(".wasm"));
            if let Some(hex) = hex {
                found.push((format!("sha256:{hex}"), entry.metadata()?.len()));
            }
        }
        Ok(found)
    }

    /// How the calls of a plugin ended since this process began.
    pub fn calls(&self, digest: &str) -> Calls {
        self.tally.of(digest)
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
    /// When its bytes are gone or damaged, it may not run with its grants, or it has no such function.
    pub fn get(&self, pinned: &str, asked: &Asked) -> Result<Plugin, PluginError> {
        let function = asked.function.as_deref();
        if let Some(plugin) = self.ready(pinned, function) {
            return Ok(plugin);
        }
        let bytes = read(&self.directory, pinned)?;
        // First, so that half a file counts as damaged and not as a plugin that cannot be run.
        if digest(&bytes) != pinned {
            let path = file_path(&self.directory, pinned);
            return Err(PluginError::Damaged { path });
        }
        let grants = grants(&asked.grants);
        let plugin = match function {
            // What its manifest says is about the agent, not about its functions.
            None => contract::bind(self.sandbox.load(&bytes, &grants)?),
            Some(name) => self.sandbox.load_function(&bytes, &grants, name)?,
        };
        let key = (pinned.to_owned(), asked.function.clone());
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(key, plugin.clone());
        Ok(plugin)
    }

    /// Lets go of compiled code that is not among these digests. Attempts that use it keep it; whoever needs it again loads
    /// it again.
    pub fn unload_others(&self, digests: &BTreeSet<String>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|(digest, _), _| digests.contains(digest));
    }

    /// The plugin, if it is compiled already. Does not block.
    pub fn ready(&self, digest: &str, function: Option<&str>) -> Option<Plugin> {
        let key = (digest.to_owned(), function.map(str::to_owned));
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}

/// Where the compiled code of a data directory's plugins is kept.
pub(crate) fn compiled_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("compiled")
}

/// Leaves a fresh time on the file. Whether it is there after that.
fn still_there(path: &Path) -> bool {
    let touched =
        fs::File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    touched.is_ok() && fs::exists(path).unwrap_or(false)
}

/// Whether somebody asked for the file lately. One whose time cannot be told counts as fresh.
fn is_fresh(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age < PLUGIN_SPARED)
}

fn read(directory: &Path, digest: &str) -> Result<Vec<u8>, PluginError> {
    let path = file_path(directory, digest);
    fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PluginError::Missing { digest: digest.to_owned(), path: path.clone() },
        _ => PluginError::Io { path: path.clone(), source },
    })
}

/// The sandbox's word for what a workflow grants.
pub(crate) fn grants(asked: &Grants) -> bandstand_sandbox::Grants {
    let memory = asked.memory.map(|access| match access {
        MemoryAccess::Read => MemoryGrant::Read,
        MemoryAccess::Write => MemoryGrant::Write,
    });
    let http = asked
        .http
        .iter()
        .map(|http| HttpGrant { origin: http.origin.clone(), methods: http.methods.clone() });
    let files = asked.files.iter().map(|(name, files)| FilesGrant {
        name: name.to_string(),
        directory: match files.access {
            FilesAccess::Read => FilesDirectory::Read(PathBuf::from(&files.path)),
            FilesAccess::Scratch => FilesDirectory::Scratch,
        },
    });
    bandstand_sandbox::Grants {
        memory,
        http: http.collect(),
        models: asked.model.clone(),
        tools: asked.tools.iter().map(ToString::to_string).collect(),
        secrets: asked.secrets.clone(),
        files: files.collect(),
        clock: asked.clock.is_some(),
        random: asked.random,
    }
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
