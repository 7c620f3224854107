//! When to look: soon after the system tells of a change, and now and then anyway, for file systems that tell nothing.
//! Only wakes; what changed is found out by looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::{Catalogue, Inner};
use crate::project::find::FOLDERS_MAX;
use crate::project::reads::Stamp;

/// A file that somebody has open and writes is waited for no longer than this after the last write.
const WRITING_MAX: Duration = Duration::from_secs(10);
/// Files that are remembered as being written.
const WRITING_FILES_MAX: usize = 1_000;
/// After a change no longer is waited for silence than this many times [`Pace::settle`](super::Pace::settle).
const SILENCE_TRIES_MAX: u32 = 20;

/// The files that somebody has written to and not closed yet, as far as the system tells.
#[derive(Debug, Default)]
pub(super) struct Writing(Mutex<BTreeMap<PathBuf, Instant>>);

impl Writing {
    /// Whether one of these is being written.
    pub(super) fn is_any<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> bool {
        let mut open = self.lock();
        open.retain(|_, last| last.elapsed() < WRITING_MAX);
        !open.is_empty() && paths.into_iter().any(|path| open.contains_key(path))
    }

    fn written(&self, path: &Path) {
        let mut open = self.lock();
        if open.len() < WRITING_FILES_MAX || open.contains_key(path) {
            open.insert(path.to_owned(), Instant::now());
        }
    }

    fn closed(&self, path: &Path) {
        self.lock().remove(path);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the folders of a catalogue.
pub(super) struct Watcher {
    system: Option<RecommendedWatcher>,
    folders: BTreeMap<PathBuf, Stamp>,
    /// That not all can be watched was told.
    told: bool,
    wake: Arc<Notify>,
    catalogue: Weak<Inner>,
}

impl Watcher {
    /// Watches the directory itself; the others when it is known which there are.
    pub(super) fn new(catalogue: &Catalogue) -> Watcher {
        let inner = &catalogue.0;
        let (wake, writing) = (inner.wake.clone(), inner.writing.clone());
        let heard = move |event: notify::Result<notify::Event>| hear(event, &writing, &wake);
        let system = inner.pace.watch.then(|| notify::recommended_watcher(heard));
        let system = system.and_then(|system| {
            system
                .map_err(|error| tracing::warn!(%error, "changes are found by looking only, not at once"))
                .ok()
        });
        let mut watcher = Watcher {
            system,
            folders: BTreeMap::new(),
            told: false,
            wake: inner.wake.clone(),
            catalogue: Arc::downgrade(inner),
        };
        watcher.watch([inner.dir.clone()]);
        watcher
    }

    /// Looks whenever there may be something to see, as long as the catalogue is there. `unsettled`: the first look left
    /// something.
    pub(super) fn spawn(mut self, catalogue: &Catalogue, mut unsettled: bool) {
        let (settle, poll) = (catalogue.0.pace.settle, catalogue.0.pace.poll);
        // What does not settle is looked at less and less often.
        let mut pause = settle;
        tokio::spawn(async move {
            loop {
                let Some(inner) = self.catalogue.upgrade() else { return };
                self.watch(folders(&Catalogue(inner)).await);
                let patience = if unsettled { pause } else { poll };
                let told = tokio::time::timeout(patience, self.wake.notified()).await.is_ok();
                let mut tries = 0;
                while told && tries < SILENCE_TRIES_MAX {
                    tries += 1;
                    if tokio::time::timeout(settle, self.wake.notified()).await.is_err() {
                        break;
                    }
                }
                let Some(inner) = self.catalogue.upgrade() else { return };
                unsettled = Catalogue(inner).look().await;
                pause = if unsettled { (pause * 2).min(poll) } else { settle };
            }
        });
    }

    /// Watches these folders and no others.
    fn watch(&mut self, folders: impl IntoIterator<Item = PathBuf>) {
        let Some(system) = &mut self.system else { return };
        let wanted: BTreeMap<PathBuf, Stamp> = folders
            .into_iter()
            .take(FOLDERS_MAX)
            .map(|folder| {
                let stamp = Stamp::of(&folder);
                (folder, stamp)
            })
            .collect();
        // One that was removed and made again is another one.
        self.folders.retain(|folder, stamp| {
            let stays = wanted.get(folder) == Some(stamp);
            if !stays {
                let _ = system.unwatch(folder);
            }
            stays
        });
        for (folder, stamp) in wanted {
            if self.folders.contains_key(&folder) {
                continue;
            }
            match system.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder, stamp);
                }
                Err(error) if !self.told => {
                    self.told = true;
                    tracing::warn!(
                        folder = %folder.display(), %error,
                        "changes in it are found by looking only, not at once"
                    );
                }
                Err(_) => {}
            }
        }
    }
}

/// Where something may change: the folders below the directory, and those of the files that workflows are made of.
async fn folders(catalogue: &Catalogue) -> Vec<PathBuf> {
    let books = catalogue.0.books.lock().await;
    let of_files = books.entries.iter().flat_map(|(_, entry)| entry.reads.folders());
    let mut folders: Vec<PathBuf> =
        books.seen.folders.iter().map(PathBuf::as_path).chain(of_files).map(Path::to_owned).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn hear(event: notify::Result<notify::Event>, writing: &Writing, wake: &Notify) {
    // Told of too much to say it, or of a failure: looking finds out.
    let Ok(event) = event else { return wake.notify_one() };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            event.paths.iter().for_each(|path| writing.closed(path));
        }
        // Reading changes nothing, and this program reads these files itself.
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Data(_)) => {
            event.paths.iter().for_each(|path| writing.written(path));
        }
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            event.paths.iter().for_each(|path| writing.closed(path));
        }
        _ => {}
    }
    wake.notify_one();
}
