//! Looking for changes: what is there now, what of it is not as it was, what that comes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bandstand_workflow::Diagnostic;
use sha2::{Digest, Sha256};

use super::entries::{Deployed, Looked, Problem};
use super::{Books, Catalogue, DIAGNOSTICS_MAX};
use crate::driver::now;
use crate::host::Host;
use crate::project::find::{self, FILES_MAX, FOLDERS_MAX};
use crate::project::load::{self, LoadError, Loaded, ToServe};
use crate::project::reads::{Reads, Stamp};

/// Rounds of one look. What keeps changing is left for the next one, so that nobody waits long for the turn.
const ROUNDS_MAX: usize = 3;

/// YAML files that are known to be no workflows, and not read again.
const OTHERS_MAX: usize = 10_000;

/// What the last look found beside the workflow files.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// YAML files that are no workflows, as they were.
    others: BTreeMap<PathBuf, Stamp>,
    /// The folders that files were looked for in.
    pub(super) folders: Vec<PathBuf>,
    /// There are more than are looked at.
    pub(super) is_cut: bool,
}

/// What is not as it was.
#[derive(Debug, Default)]
struct Differs {
    /// New, or of files that changed.
    changed: Vec<PathBuf>,
    gone: Vec<PathBuf>,
}

impl Differs {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }
}

impl Catalogue {
    /// Takes what changed and has settled. Whether something has not.
    pub(super) async fn look_with(&self, books: &mut Books) -> bool {
        for _ in 0..ROUNDS_MAX {
            let (catalogue, mut taken) = (self.clone(), std::mem::take(books));
            let found = tokio::task::spawn_blocking(move || {
                let differs = catalogue.differs(&mut taken);
                (taken, differs)
            });
            // Without them everything would be looked at anew, which loses nothing but time.
            let Ok((taken, differs)) = found.await else { return true };
            *books = taken;
            if differs.is_empty() || !self.round(books, differs).await {
                return false;
            }
        }
        true
    }

    /// Loads and links what differs, waits, and takes what has settled. Whether something had not.
    async fn round(&self, books: &mut Books, differs: Differs) -> bool {
        let (catalogue, changed) = (self.clone(), differs.changed);
        let looked = tokio::task::spawn_blocking(move || {
            // One after the other: the bytes of all plugins would be too much to hold at once.
            let look = |path: PathBuf| {
                let (loaded, reads) = catalogue.load(&path, None);
                let looked = catalogue.link(&path, loaded);
                (path, reads, looked)
            };
            changed.into_iter().map(look).collect::<Vec<_>>()
        });
        // A defect in one file's check must not end the watch; that look is tried again with the next.
        let Ok(looked) = looked.await else { return false };
        tokio::time::sleep(self.0.pace.settle).await;
        let all = looked.len() + differs.gone.len();
        let settled: Vec<_> = looked
            .into_iter()
            .filter(|(_, reads, _)| reads.are_unchanged() && !self.0.writing.is_any(reads.paths()))
            .collect();
        let gone: Vec<PathBuf> = differs.gone.into_iter().filter(|path| !is_file(path)).collect();
        let unsettled = settled.len() + gone.len() < all;
        let mut changes = books.entries.remove(&gone);
        changes.extend(books.entries.take(settled, now()));
        self.publish(books, changes);
        unsettled
    }

    fn differs(&self, books: &mut Books) -> Differs {
        let Books { entries, seen } = books;
        let others = std::mem::take(&mut seen.others);
        let mut take = |path: &Path| {
            // One that is in service stays a workflow file as long as it is there, whatever becomes of it.
            if entries.get(path).is_some_and(|entry| entry.serving.is_some()) {
                return true;
            }
            let stamp = Stamp::of(path);
            let is_workflow = others.get(path) != Some(&stamp) && find::is_workflow(path);
            if !is_workflow && seen.others.len() < OTHERS_MAX {
                seen.others.insert(path.to_owned(), stamp);
            }
            is_workflow
        };
        let found = match find::yaml_files(&self.0.dir, Some(&self.0.data_dir), &mut take) {
            Ok(found) => found,
            Err(error) => {
                // Moved away for a moment, perhaps: nothing goes out of service by that.
                tracing::warn!(directory = %self.0.dir.display(), %error, "the served directory cannot be read");
                return Differs::default();
            }
        };
        if found.is_cut && !seen.is_cut {
            tracing::warn!(
                directory = %self.0.dir.display(),
                "there are more than {FILES_MAX} workflow files, {FOLDERS_MAX} folders or {} levels of them; the rest is \
                 not served",
                find::DEPTH_MAX
            );
        }
        (seen.folders, seen.is_cut) = (found.folders, found.is_cut);
        let (mut differs, now) = (Differs::default(), now());
        for (path, entry) in entries.iter() {
            if found.files.binary_search_by(|file| file.as_path().cmp(path)).is_err() {
                differs.gone.push(path.to_owned());
            } else if !entry.reads.are_unchanged() || entry.is_due(now) {
                differs.changed.push(path.to_owned());
            }
        }
        let is_new = |path: &PathBuf| entries.get(path).is_none();
        differs.changed.extend(found.files.into_iter().filter(is_new));
        differs
    }

    /// Loads a file of the directory, or a text that is to become one. Blocks.
    pub(super) fn load(&self, path: &Path, text: Option<&[u8]>) -> (Result<Loaded, LoadError>, Reads) {
        let shown = self.shown(path);
        let how = ToServe { shown: &shown, dir: &self.0.dir, data_dir: &self.0.data_dir, text };
        load::load_to_serve(path, &how)
    }

    /// Compiles and links what was loaded. Blocks.
    pub(super) fn link(&self, path: &Path, loaded: Result<Loaded, LoadError>) -> Looked {
        let file = self.shown(path);
        let refused = |what: String, found: Told, is_of_host: bool| {
            Looked::Invalid(Box::new(Problem {
                file: file.clone(),
                in_service: None,
                what,
                diagnostics: found.diagnostics,
                rendered: found.rendered,
                since: now(),
                is_of_host,
            }))
        };
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return refused(error.to_string(), Told::default(), false),
        };
        let found = Told::of(&loaded);
        if !load::can_run(&loaded) {
            return refused(found.what.clone(), found, false);
        }
        match deployed(&self.0.host, file.clone(), loaded, &found) {
            Ok(deployed) => Looked::Valid(Box::new(deployed)),
            Err(what) => refused(what, found, true),
        }
    }
}

/// A loaded workflow, linked. `Err`: for people, why it cannot be.
fn deployed(host: &Host, file: String, loaded: Loaded, found: &Told) -> Result<Deployed, String> {
    let request = loaded.into_start_request().map_err(|error| error.to_string())?;
    let digests = host.link(&request.graph, &request.plugins).map_err(|error| error.to_string())?;
    Ok(Deployed {
        name: request.graph.name.clone(),
        version: request.graph.version,
        file,
        etag: etag(&request.source),
        source: request.source.into(),
        graph: request.graph,
        digests,
        diagnostics: found.diagnostics.clone(),
        rendered: found.rendered.clone(),
        since: now(),
    })
}

/// What is told of a file's problems.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// In a sentence.
    pub(super) what: String,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) rendered: Vec<String>,
}

impl Told {
    pub(super) fn of(loaded: &Loaded) -> Told {
        let all = &loaded.diagnostics;
        let errors = all.iter().filter(|found| load::is_error(found)).count();
        let worst = all
            .iter()
            .find(|found| load::is_error(found))
            .or_else(|| all.iter().find(|found| found.code == load::LACKING));
        let what = worst.map_or_else(String::new, |found| {
            let place = format!("{}:{}", found.file, found.line);
            let more = further(errors);
            let help = if found.help.is_empty() { String::new() } else { format!("; {}", found.help) };
            format!("{place}: {}: {}{help}{more}", found.code, found.message)
        });
        let diagnostics: Vec<Diagnostic> = all.iter().take(DIAGNOSTICS_MAX).cloned().collect();
        let rendered = diagnostics
            .iter()
            .map(|found| bandstand_workflow::render(found, loaded.text_of(found)))
            .collect();
        Told { what, diagnostics, rendered }
    }
}

/// Of so many errors one is told.
fn further(errors: usize) -> String {
    match errors {
        0 | 1 => String::new(),
        2 => " (1 more error)".to_owned(),
        _ => format!(" ({} more errors)", errors - 1),
    }
}

/// The entity tag of a text.
pub(super) fn etag(text: &str) -> String {
    use std::fmt::Write as _;
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(text)[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_error_is_one() {
        assert_eq!([1, 2, 3].map(further), ["", " (1 more error)", " (2 more errors)"]);
    }
}
