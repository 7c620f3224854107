//! Which workflow of which file is in service. Pure: what was found and loaded goes in, what changed comes out.
//!
//! **What is in service is only replaced by what is better.** A file with problems, one that takes another's name, one that is
//! half written: the workflow that was in service stays, and the problem is shown beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::{Graph, Timestamp};
use bandstand_workflow::Diagnostic;

use crate::host::{self, Uses};
use crate::project::reads::Reads;

/// What the host could not compile or keep is tried again after so long. Milliseconds.
const RETRY_AFTER_MS: u64 = 60_000;

/// A workflow as it is in service. It never changes; another takes its place.
#[derive(Debug)]
pub struct Deployed {
    /// Its name, by which runs are started.
    pub name: String,
    /// The author's version number.
    pub version: u64,
    /// Its file, from the served directory.
    pub file: String,
    /// The file's text.
    pub source: Arc<str>,
    /// What it means, with the limits that hold here.
    pub graph: Arc<Graph>,
    /// Its plugins and its children's, by digest; their bytes are in the data directory.
    pub digests: Uses<String>,
    /// Of the text: the same as long as the text is the same. With quotes, as HTTP has it.
    pub etag: String,
    /// Its warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The warnings as `bandstand check` tells them.
    pub rendered: Vec<String>,
    /// Since when.
    pub since: Timestamp,
}

impl Deployed {
    /// What a host needs to start a run of it, with [`Host::start_deployed`](crate::host::Host::start_deployed). Reads no
    /// file.
    pub fn to_start(&self) -> host::Deployed {
        host::Deployed {
            graph: self.graph.clone(),
            source: self.source.clone(),
            plugins: self.digests.clone(),
        }
    }

    /// Whether a run of the other would be the same run.
    fn is_same(&self, other: &Deployed) -> bool {
        let graph = |deployed: &Deployed| serde_json::to_vec(&deployed.graph).ok();
        self.source == other.source
            && self.file == other.file
            && self.digests == other.digests
            && self.diagnostics == other.diagnostics
            && graph(self) == graph(other)
    }
}

/// Why a file is not in service as it is.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The file, from the served directory.
    pub file: String,
    /// The workflow of that file which is in service meanwhile, as it was before.
    pub in_service: Option<String>,
    /// What is wrong, in a sentence, and what to do.
    pub what: String,
    /// The file's problems, at most [`DIAGNOSTICS_MAX`](super::DIAGNOSTICS_MAX).
    pub diagnostics: Vec<Diagnostic>,
    /// The same as `bandstand check` tells them.
    pub rendered: Vec<String>,
    /// Since when.
    pub since: Timestamp,
    /// Nothing is wrong with the file: the host could not compile or keep something, and tries again.
    pub is_of_host: bool,
}

impl Problem {
    fn is_same(&self, other: &Problem) -> bool {
        self.what == other.what
            && self.diagnostics == other.diagnostics
            && self.in_service == other.in_service
    }
}

/// What happened to a file or its workflow.
#[derive(Clone, Debug)]
pub enum Change {
    /// A workflow is in service from now on, or a newer one of its name.
    Deployed(Arc<Deployed>),
    /// A file has problems; what was in service stays.
    Refused(Arc<Problem>),
    /// A file's problem is gone, and what it says is in service already.
    Mended {
        /// The file.
        file: String,
    },
    /// A workflow is out of service: its file is gone, or has another name now.
    Removed {
        /// The workflow.
        name: String,
        /// The file it came from.
        file: String,
    },
}

/// What a file came to when it was looked at.
#[derive(Debug)]
pub(super) enum Looked {
    /// It can be run.
    Valid(Box<Deployed>),
    /// It cannot. The problem does not say yet what is in service.
    Invalid(Box<Problem>),
}

/// The files and what they came to, by path.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<PathBuf, Entry>);

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What was looked at.
    pub(super) reads: Reads,
    /// What is in service.
    pub(super) serving: Option<Arc<Deployed>>,
    /// What would be, if its name were free.
    waiting: Option<Arc<Deployed>>,
    problem: Option<Arc<Problem>>,
    looked_at: Timestamp,
}

impl Entries {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.0.get(path)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where the workflow of that name comes from.
    pub(super) fn path_of(&self, name: &str) -> Option<&Path> {
        let is_it = |entry: &Entry| entry.serving.as_ref().is_some_and(|serving| serving.name == name);
        self.0.iter().find(|(_, entry)| is_it(entry)).map(|(path, _)| path.as_path())
    }

    pub(super) fn workflows(&self) -> BTreeMap<String, Arc<Deployed>> {
        let serving = self.0.values().filter_map(|entry| entry.serving.as_ref());
        serving.map(|deployed| (deployed.name.clone(), deployed.clone())).collect()
    }

    pub(super) fn problems(&self) -> Vec<Arc<Problem>> {
        self.0.values().filter_map(|entry| entry.problem.clone()).collect()
    }

    /// The files are gone, or no workflow files any more.
    pub(super) fn remove(&mut self, paths: &[PathBuf]) -> Vec<Change> {
        let removed = paths.iter().filter_map(|path| self.0.remove(path)?.serving);
        removed.map(|gone| Change::Removed { name: gone.name.clone(), file: gone.file.clone() }).collect()
    }

    /// Takes what was looked at, all of it at once. Names that are taken stay with the file that had them first.
    pub(super) fn take(&mut self, looked: Vec<(PathBuf, Reads, Looked)>, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        for (path, reads, looked) in looked {
            let entry = self.0.entry(path).or_default();
            (entry.reads, entry.looked_at) = (reads, now);
            match looked {
                Looked::Valid(new) => {
                    if entry.serving.as_ref().is_some_and(|old| old.is_same(&new)) {
                        entry.waiting = None;
                        changes.extend(entry.mended());
                    } else {
                        entry.waiting = Some(Arc::new(*new));
                    }
                }
                Looked::Invalid(problem) => {
                    entry.waiting = None;
                    changes.extend(entry.refuse(*problem));
                }
            }
        }
        changes.extend(self.promote(now));
        changes
    }

    /// Puts into service what waits only for its name, and says of the rest who has theirs.
    pub(super) fn promote(&mut self, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let paths: Vec<PathBuf> = self
            .0
            .iter()
            .filter(|(_, entry)| entry.waiting.is_some())
            .map(|(path, _)| path.clone())
            .collect();
        // One that goes frees its name for another: at most as many rounds as there are files.
        loop {
            let before = changes.len();
            for path in &paths {
                let Some(new) = self.0.get(path).and_then(|entry| entry.waiting.clone()) else { continue };
                if self.path_of(&new.name).is_some_and(|holder| holder != path) {
                    continue;
                }
                let Some(entry) = self.0.get_mut(path) else { continue };
                (entry.waiting, entry.problem) = (None, None);
                let old = entry.serving.replace(new.clone());
                if let Some(old) = old.filter(|old| old.name != new.name) {
                    changes.push(Change::Removed { name: old.name.clone(), file: old.file.clone() });
                }
                changes.push(Change::Deployed(new));
            }
            if changes.len() == before {
                break;
            }
        }
        for path in &paths {
            let Some(new) = self.0.get(path).and_then(|entry| entry.waiting.clone()) else { continue };
            let holder = self.path_of(&new.name).and_then(|holder| self.0.get(holder)?.serving.clone());
            let what = format!(
                "the workflow `{}` is in service from {}, which had the name first; give this file another `name`, or \
                 remove one of the two",
                new.name,
                holder.map_or_else(String::new, |holder| holder.file.clone()),
            );
            let problem = Problem {
                file: new.file.clone(),
                in_service: None,
                what,
                diagnostics: Vec::new(),
                rendered: Vec::new(),
                since: now,
                is_of_host: false,
            };
            changes.extend(self.0.get_mut(path).and_then(|entry| entry.refuse(problem)));
        }
        changes
    }
}

impl Entry {
    pub(super) fn problem(&self) -> Option<Arc<Problem>> {
        self.problem.clone()
    }

    /// Whether it is time to look again, though no file changed.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let of_host = self.problem.as_ref().is_some_and(|problem| problem.is_of_host);
        of_host && now >= self.looked_at.plus_ms(RETRY_AFTER_MS)
    }

    fn refuse(&mut self, mut problem: Problem) -> Option<Change> {
        problem.in_service = self.serving.as_ref().map(|serving| serving.name.clone());
        if self.problem.as_ref().is_some_and(|known| known.is_same(&problem)) {
            return None;
        }
        let problem = Arc::new(problem);
        self.problem = Some(problem.clone());
        Some(Change::Refused(problem))
    }

    fn mended(&mut self) -> Option<Change> {
        self.problem.take().map(|problem| Change::Mended { file: problem.file.clone() })
    }
}
