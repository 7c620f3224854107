//! What `bandstand serve` serves: the workflows of a directory, each checked, compiled and linked before it is in service,
//! and swapped when its file, or a file that it was made of, changes.
//!
//! - [`Catalogue`]: the directory. [`Catalogue::workflow`] is what a run is started from.
//! - [`Deployed`]: one workflow in service; it never changes. Runs that go on keep what they pinned.
//! - [`Problem`]: why a file is not in service as it is. What was in service before stays (`entries`).
//! - `look`: finds what changed, loads it, waits until it has settled, links it, swaps it.
//! - `watch`: when to look: soon after the system tells of a change, and now and then anyway.
//! - `put`: the same for what comes by request.
//!
//! It starts no run and speaks no HTTP.

mod entries;
mod look;
mod put;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

pub use entries::{Change, Deployed, Problem};
pub use put::{Checked, Precondition, PutError, PutPlugin, PutWorkflow};

use crate::host::{self, Deployments, Host};
use entries::Entries;
use look::Seen;
use watch::Writing;

/// Problems of one file that are kept and shown.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Changes that a slow subscriber may be behind; beyond that it has to look at the whole anew.
const CHANGES_MAX: usize = 256;

/// How soon changes are taken.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What was read must not change for so long after that: a file half written is not taken.
    pub settle: Duration,
    /// How often is looked without being told, for file systems that tell nothing.
    pub poll: Duration,
    /// Whether the system is asked to tell of changes.
    pub watch: bool,
    /// Whether changes and problems are logged; else whoever subscribes tells them.
    pub log: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { settle: Duration::from_millis(150), poll: Duration::from_secs(5), watch: true, log: true }
    }
}

/// The directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or no directory.
    #[error("cannot serve {}: {source}; name a directory with workflow files", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A served directory. Clones are the same one; when the last is gone, nobody watches it any more.
#[derive(Clone)]
pub struct Catalogue(Arc<Inner>);

impl Deployments for Catalogue {
    fn deployed(&self) -> Vec<host::Deployed> {
        self.served().workflows.values().map(|deployed| deployed.to_start()).collect()
    }
}

/// What is in service, and what is not as it should be.
#[derive(Debug, Default)]
pub struct Served {
    /// The workflows, by name.
    pub workflows: BTreeMap<String, Arc<Deployed>>,
    /// The files with problems, by path.
    pub problems: Vec<Arc<Problem>>,
    /// There are more files or folders than are looked at.
    pub is_cut: bool,
}

struct Inner {
    host: Host,
    /// Absolute, links resolved.
    dir: PathBuf,
    /// Where runs are kept, likewise.
    data_dir: PathBuf,
    pace: Pace,
    /// Whoever looks or writes has the turn.
    books: tokio::sync::Mutex<Books>,
    served: RwLock<Arc<Served>>,
    changes: broadcast::Sender<Change>,
    wake: Arc<Notify>,
    writing: Arc<Writing>,
}

/// What only one at a time uses.
#[derive(Default)]
struct Books {
    entries: Entries,
    seen: Seen,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Catalogue").field(&self.0.dir).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the watching task finds out.
        self.wake.notify_one();
    }
}

impl Catalogue {
    /// Loads all workflow files below a directory, puts those into service that can be run, and watches it from then on.
    /// Returns when each file was looked at once. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is no such directory. What is wrong with files is in [`Served::problems`].
    pub async fn open(dir: &Path, host: Host, pace: Pace) -> Result<Catalogue, OpenError> {
        let cannot = |source| OpenError::Directory { path: dir.to_owned(), source };
        let found = dir.canonicalize().map_err(cannot)?;
        std::fs::read_dir(&found).map_err(cannot)?;
        let data_dir = host.data_dir().canonicalize().unwrap_or_else(|_| host.data_dir().to_owned());
        let wake = Arc::new(Notify::new());
        let writing = Arc::new(Writing::default());
        let catalogue = Catalogue(Arc::new(Inner {
            host,
            dir: found,
            data_dir,
            pace,
            books: tokio::sync::Mutex::default(),
            served: RwLock::default(),
            changes: broadcast::channel(CHANGES_MAX).0,
            wake,
            writing,
        }));
        // Watched first, so that nothing is missed that changes during the first look.
        let watcher = watch::Watcher::new(&catalogue);
        let unsettled = catalogue.look().await;
        watcher.spawn(&catalogue, unsettled);
        Ok(catalogue)
    }

    /// The served directory: absolute, links resolved.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Everything in service now, and every problem.
    pub fn served(&self) -> Arc<Served> {
        self.0.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The workflow of that name, if it is in service.
    pub fn workflow(&self, name: &str) -> Option<Arc<Deployed>> {
        self.served().workflows.get(name).cloned()
    }

    /// What a run of that workflow is started from, if it is in service.
    pub fn start(&self, name: &str) -> Option<host::Deployed> {
        self.workflow(name).map(|deployed| deployed.to_start())
    }

    /// What changes from now on. Whoever is told to have missed something looks at [`Catalogue::served`] anew.
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// Looks for changes now. Returns when what has settled is in service; whether something has not, so that another look
    /// is needed.
    pub async fn look(&self) -> bool {
        let mut books = self.0.books.lock().await;
        self.look_with(&mut books).await
    }

    /// Shows what the books say, and tells what changed.
    fn publish(&self, books: &Books, mut changes: Vec<Change>) {
        let served = Arc::new(Served {
            workflows: books.entries.workflows(),
            problems: books.entries.problems(),
            is_cut: books.seen.is_cut,
        });
        // A workflow whose file was renamed did not go.
        changes.retain(|change| match change {
            Change::Removed { name, .. } => !served.workflows.contains_key(name),
            Change::Deployed(_) | Change::Refused(_) | Change::Mended { .. } => true,
        });
        let digests: BTreeSet<String> =
            served.workflows.values().flat_map(|deployed| deployed.digests.digests()).collect();
        self.0.host.hold(digests);
        *self.0.served.write().unwrap_or_else(PoisonError::into_inner) = served;
        for change in changes {
            if self.0.pace.log {
                log(&change);
            }
            // Nobody need listen.
            let _ = self.0.changes.send(change);
        }
    }

    /// A file as people know it: its path from the served directory.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.0.dir).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn log(change: &Change) {
    match change {
        Change::Deployed(it) => {
            tracing::info!(workflow = it.name, version = it.version, file = it.file, "in service");
        }
        Change::Refused(problem) => match &problem.in_service {
            Some(workflow) => tracing::warn!(
                file = problem.file,
                workflow,
                "not taken, the workflow stays as it was: {}",
                problem.what
            ),
            None => tracing::warn!(file = problem.file, "not in service: {}", problem.what),
        },
        Change::Mended { file } => tracing::info!(file, "its problem is gone"),
        Change::Removed { name, file } => tracing::info!(workflow = name, file, "out of service"),
    }
}
