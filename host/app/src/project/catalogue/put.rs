//! Deploying by request: a text or a component comes in, and is in service when it is as good as a file would have to be.
//! Checked before it is written, written before it is in service.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::Graph;
use bandstand_workflow::Diagnostic;

use super::entries::{Deployed, Looked, Problem};
use super::look::Told;
use super::{Books, Catalogue, write};
use crate::driver::now;
use crate::project::find::FILES_MAX;
use crate::project::load::{self, LoadError, PLUGIN_BYTES_MAX, WORKFLOW_BYTES_MAX};

/// Files in the folder of plugins, beyond which none is added.
pub(super) const PLUGIN_FILES_MAX: usize = 1_000;

/// What must be so for a request to be carried out: the conditions of HTTP. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// It is one of these (`If-Match`); `*`: there is one at all.
    pub is: Option<Vec<String>>,
    /// It is none of these (`If-None-Match`); `*`: there is none at all.
    pub is_not: Option<Vec<String>>,
}

impl Precondition {
    /// There is none yet.
    pub fn absent() -> Precondition {
        Precondition { is: None, is_not: Some(vec!["*".to_owned()]) }
    }

    /// It is this one; `*`: there is one.
    pub fn is(etag: &str) -> Precondition {
        Precondition { is: Some(vec![etag.to_owned()]), is_not: None }
    }

    /// Whether it is so, where that is the entity tag; none: there is no such thing.
    pub fn holds(&self, etag: Option<&str>) -> bool {
        let among =
            |tags: &Vec<String>| etag.is_some_and(|etag| tags.iter().any(|tag| tag == etag || tag == "*"));
        self.is.as_ref().is_none_or(among) && !self.is_not.as_ref().is_some_and(among)
    }

    /// Whether it says what the text is that it takes the place of.
    fn names_a_text(&self) -> bool {
        self.is.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag != "*"))
    }

    fn wants_none(&self) -> bool {
        self.is_not.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "*"))
    }
}

/// A workflow was put into service.
#[derive(Debug)]
pub struct PutWorkflow {
    /// As it is now.
    pub deployed: Arc<Deployed>,
    /// There was none of that name.
    pub is_new: bool,
}

/// A plugin was taken.
#[derive(Debug)]
pub struct PutPlugin {
    /// Its digest.
    pub digest: String,
    /// Its file, from the served directory.
    pub file: String,
    /// There was no such file.
    pub is_new: bool,
    /// The workflows made of it that are in service with it.
    pub workflows: Vec<String>,
    /// The files made of it that cannot be run with it. What of them was in service stays, with the plugin as it was.
    pub problems: Vec<Arc<Problem>>,
}

/// What a text would be as a workflow file of the directory.
#[derive(Debug)]
pub struct Checked {
    /// Its problems.
    pub diagnostics: Vec<Diagnostic>,
    /// The same as `bandstand check` tells them.
    pub rendered: Vec<String>,
    /// Whether it would be put into service.
    pub can_run: bool,
    /// What it means, if it has no errors.
    pub graph: Option<Graph>,
}

/// It was not carried out; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Nothing can be called so.
    #[error("`{name}` is no name of a {what}; {wanted}")]
    Name {
        /// The name.
        name: String,
        /// Of what.
        what: &'static str,
        /// What one looks like.
        wanted: &'static str,
    },
    /// There is no such workflow.
    #[error("there is no workflow `{0}` in service")]
    Unknown(String),
    /// It is not as the request says.
    #[error("{problem}")]
    Condition {
        /// What is so instead, and what to do.
        problem: String,
        /// The entity tag of what is in service.
        etag: Option<String>,
    },
    /// It is too large.
    #[error("it has more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// There are as many as there may be.
    #[error("there are {0} already, the most that are served; remove some")]
    TooMany(usize),
    /// The text has problems.
    #[error("{what}")]
    Invalid {
        /// The first of them.
        what: String,
        /// All.
        diagnostics: Vec<Diagnostic>,
        /// The same as `bandstand check` tells them.
        rendered: Vec<String>,
    },
    /// The text calls itself otherwise.
    #[error("the text says `name: {says}`, the request `{name}`; they must be the same")]
    OtherName {
        /// The request's.
        name: String,
        /// The text's.
        says: String,
    },
    /// It is no component that this host can run, or a workflow cannot be linked.
    #[error("{0}")]
    Unusable(String),
    /// Something else has the place of the file.
    #[error("{0}")]
    InTheWay(String),
    /// `bandstand.toml` cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file cannot be written or removed.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The host is ending.
    #[error("the host is ending; nothing was changed")]
    Closing,
}

/// What workflows are called.
const WORKFLOW_NAME: &str = "small letters, digits and hyphens, a letter first, 63 at most";
/// What plugins are called.
const PLUGIN_NAME: &str =
    "letters, digits, `_`, `-` and `.`, a letter or digit first, 63 at most, then perhaps `.wasm`";

impl Catalogue {
    /// Puts a text into service and into the directory: to the file that has the workflow already, else to `NAME.yaml`.
    /// Carried out whole, also when nobody waits for it any more.
    ///
    /// # Errors
    /// When it is not as good as a file would have to be, the condition does not hold, or it cannot be written.
    pub async fn put_workflow(
        &self,
        name: &str,
        text: Vec<u8>,
        when: Precondition,
    ) -> Result<PutWorkflow, PutError> {
        let (catalogue, name) = (self.clone(), name.to_owned());
        let put = tokio::spawn(async move { catalogue.put_text(&name, text, when).await });
        put.await.map_err(|_| PutError::Closing)?
    }

    /// Takes a workflow out of service and removes its file. Runs of it go on.
    ///
    /// # Errors
    /// When there is none, the condition does not hold, or the file cannot be removed.
    pub async fn delete_workflow(&self, name: &str, when: Precondition) -> Result<(), PutError> {
        let (catalogue, name) = (self.clone(), name.to_owned());
        let deleted = tokio::spawn(async move { catalogue.delete(&name, &when).await });
        deleted.await.map_err(|_| PutError::Closing)?
    }

    /// Puts a component into the folder `plugins` of the directory. The workflows made of that file are looked at again, and
    /// swapped together.
    ///
    /// # Errors
    /// When this host cannot run it, it cannot be called so, or it cannot be written.
    pub async fn put_plugin(&self, name: &str, bytes: Vec<u8>) -> Result<PutPlugin, PutError> {
        let (catalogue, name) = (self.clone(), name.to_owned());
        let put = tokio::spawn(async move { catalogue.put_component(&name, bytes).await });
        put.await.map_err(|_| PutError::Closing)?
    }

    /// What a text would come to as the file of that workflow, or as a new file. Changes nothing.
    ///
    /// # Errors
    /// When the name is none, or `bandstand.toml` cannot be read.
    pub async fn check(&self, name: Option<&str>, text: Vec<u8>) -> Result<Checked, PutError> {
        let name = name.unwrap_or("workflow");
        is_workflow_name(name)?;
        let path = {
            let books = self.0.books.lock().await;
            books.entries.path_of(name).map_or_else(|| self.new_path(name), Path::to_owned)
        };
        let catalogue = self.clone();
        let loaded = tokio::task::spawn_blocking(move || catalogue.load(&path, Some(&text)).0);
        let loaded = loaded.await.map_err(|_| PutError::Closing)??;
        let Told { diagnostics, rendered, .. } = Told::of(&loaded);
        Ok(Checked { diagnostics, rendered, can_run: load::can_run(&loaded), graph: loaded.graph })
    }

    fn new_path(&self, name: &str) -> PathBuf {
        self.0.dir.join(format!("{name}.yaml"))
    }

    async fn put_text(&self, name: &str, text: Vec<u8>, when: Precondition) -> Result<PutWorkflow, PutError> {
        is_workflow_name(name)?;
        if text.len() as u64 > WORKFLOW_BYTES_MAX {
            return Err(PutError::TooLarge { bytes_max: WORKFLOW_BYTES_MAX });
        }
        let mut books = self.0.books.lock().await;
        let (path, old) = self.place(&books, name, &when)?;
        let (catalogue, of, to) = (self.clone(), name.to_owned(), path.clone());
        let put = tokio::task::spawn_blocking(move || {
            let (loaded, mut reads) = catalogue.load(&to, Some(&text));
            let loaded = loaded?;
            let told = Told::of(&loaded);
            if !load::can_run(&loaded) {
                let Told { what, diagnostics, rendered } = told;
                return Err(PutError::Invalid { what, diagnostics, rendered });
            }
            let says = loaded.graph.as_ref().map(|graph| graph.name.clone()).unwrap_or_default();
            if says != of {
                return Err(PutError::OtherName { name: of, says });
            }
            let looked = match catalogue.link(&to, Ok(loaded)) {
                Looked::Invalid(problem) => return Err(PutError::Unusable(problem.what)),
                valid @ Looked::Valid(_) => valid,
            };
            write::put(&to, &text).map_err(|source| PutError::Io { path: to.clone(), source })?;
            reads.note_again(&to);
            Ok((reads, looked))
        });
        let (reads, looked) = put.await.map_err(|_| PutError::Closing)??;
        let changes = books.entries.take(vec![(path.clone(), reads, looked)], now());
        self.publish(&books, changes);
        // It may be the child of another one.
        self.0.wake.notify_one();
        let deployed = books.entries.get(&path).and_then(|entry| entry.serving.clone());
        let deployed = deployed.ok_or_else(|| PutError::Unknown(name.to_owned()))?;
        Ok(PutWorkflow { deployed, is_new: old.is_none() })
    }

    /// Where the workflow's file goes, and what is in service of that name.
    fn place(
        &self,
        books: &Books,
        name: &str,
        when: &Precondition,
    ) -> Result<(PathBuf, Option<Arc<Deployed>>), PutError> {
        let old = books.entries.path_of(name).and_then(|path| Some((path, books.entries.get(path)?)));
        let old = old.and_then(|(path, entry)| Some((path.to_owned(), entry.serving.clone()?)));
        condition(name, when, old.as_ref().map(|(_, old)| &**old))?;
        let path = match &old {
            Some((path, old)) => {
                unchanged(path, old, when)?;
                path.clone()
            }
            None => {
                let path = self.new_path(name);
                self.is_free(books, &path, when)?;
                path
            }
        };
        write::may_write(&self.0.dir, &path).map_err(PutError::InTheWay)?;
        Ok((path, old.map(|(_, old)| old)))
    }

    /// Whether a new workflow may have this file: it is not there, or has problems only.
    fn is_free(&self, books: &Books, path: &Path, when: &Precondition) -> Result<(), PutError> {
        if std::fs::symlink_metadata(path).is_err() {
            let count = books.entries.len();
            return if count < FILES_MAX { Ok(()) } else { Err(PutError::TooMany(count)) };
        }
        let file = self.shown(path);
        match books.entries.get(path) {
            Some(entry) => match &entry.serving {
                Some(other) => {
                    let problem =
                        format!("{file} holds the workflow `{}`; name this one otherwise", other.name);
                    Err(PutError::InTheWay(problem))
                }
                None if when.wants_none() => {
                    let problem =
                        format!("{file} is there already, with problems; put it without If-None-Match");
                    Err(PutError::Condition { problem, etag: None })
                }
                None => Ok(()),
            },
            None => {
                let problem = format!("{file} is there and is no workflow file; name this one otherwise");
                Err(PutError::InTheWay(problem))
            }
        }
    }

    async fn delete(&self, name: &str, when: &Precondition) -> Result<(), PutError> {
        let mut books = self.0.books.lock().await;
        let unknown = || PutError::Unknown(name.to_owned());
        let path = books.entries.path_of(name).map(Path::to_owned).ok_or_else(unknown)?;
        let old = books.entries.get(&path).and_then(|entry| entry.serving.clone()).ok_or_else(unknown)?;
        condition(name, when, Some(&old))?;
        unchanged(&path, &old, when)?;
        write::may_write(&self.0.dir, &path).map_err(PutError::InTheWay)?;
        match write::remove(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(PutError::Io { path, source });
            }
            _ => {}
        }
        let mut changes = books.entries.remove(&[path]);
        changes.extend(books.entries.promote(now()));
        self.publish(&books, changes);
        self.0.wake.notify_one();
        Ok(())
    }

    async fn put_component(&self, name: &str, bytes: Vec<u8>) -> Result<PutPlugin, PutError> {
        let called = || PutError::Name { name: name.to_owned(), what: "plugin", wanted: PLUGIN_NAME };
        let file = write::plugin_file(name).ok_or_else(called)?;
        if bytes.len() as u64 > PLUGIN_BYTES_MAX {
            return Err(PutError::TooLarge { bytes_max: PLUGIN_BYTES_MAX });
        }
        let unusable = |error: bandstand_sandbox::LoadError| PutError::Unusable(error.to_string());
        let inspected = tokio::task::spawn_blocking(move || {
            let inspection = bandstand_sandbox::inspect(&bytes).map_err(unusable)?;
            inspection.is_of_use().map_err(unusable)?;
            Ok::<_, PutError>((inspection.digest, bytes))
        });
        let (digest, bytes) = inspected.await.map_err(|_| PutError::Closing)??;
        let mut books = self.0.books.lock().await;
        let dir = self.0.dir.clone();
        let written = tokio::task::spawn_blocking(move || put_plugin_file(&dir, &file, &bytes));
        let (path, is_new) = written.await.map_err(|_| PutError::Closing)??;
        self.look_with(&mut books).await;
        let made_of_it = || books.entries.iter().filter(|(_, entry)| entry.reads.contains(&path));
        let problems: Vec<Arc<Problem>> = made_of_it().filter_map(|(_, entry)| entry.problem()).collect();
        let is_fine = |deployed: &Arc<Deployed>| deployed.digests.digests().contains(&digest);
        let serving = made_of_it().filter_map(|(_, entry)| entry.serving.clone()).filter(is_fine);
        let workflows = serving.map(|deployed| deployed.name.clone()).collect();
        Ok(PutPlugin { digest: digest.clone(), file: self.shown(&path), is_new, workflows, problems })
    }
}

fn put_plugin_file(dir: &Path, file: &str, bytes: &[u8]) -> Result<(PathBuf, bool), PutError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| PutError::Io { path, source }
    };
    let folder = write::plugins_folder(dir).map_err(io(dir))?;
    let path = folder.join(file);
    write::may_write(dir, &path).map_err(PutError::InTheWay)?;
    let is_new = !path.exists();
    if is_new {
        let count = std::fs::read_dir(&folder).map_err(io(&folder))?.take(PLUGIN_FILES_MAX).count();
        if count >= PLUGIN_FILES_MAX {
            return Err(PutError::TooMany(count));
        }
    } else if std::fs::metadata(&path).is_ok_and(|old| old.len() == bytes.len() as u64)
        && std::fs::read(&path).is_ok_and(|old| old == bytes)
    {
        return Ok((path, false));
    }
    write::put(&path, bytes).map_err(io(&path))?;
    Ok((path, is_new))
}

fn is_workflow_name(name: &str) -> Result<(), PutError> {
    if write::is_workflow_name(name) {
        return Ok(());
    }
    Err(PutError::Name { name: name.to_owned(), what: "workflow", wanted: WORKFLOW_NAME })
}

fn condition(name: &str, when: &Precondition, old: Option<&Deployed>) -> Result<(), PutError> {
    let etag = old.map(|old| old.etag.as_str());
    if when.holds(etag) {
        return Ok(());
    }
    let problem = match etag {
        Some(etag) if when.wants_none() => format!("the workflow `{name}` is there, as {etag}"),
        Some(etag) => {
            format!("the workflow `{name}` is {etag} by now; look at it, then ask again with that tag")
        }
        None => format!("there is no workflow `{name}` in service"),
    };
    Err(PutError::Condition { problem, etag: etag.map(str::to_owned) })
}

/// Whoever names the text that they saw must not overwrite one that somebody is writing to the disk.
fn unchanged(path: &Path, old: &Deployed, when: &Precondition) -> Result<(), PutError> {
    if !when.names_a_text() || std::fs::read(path).is_ok_and(|there| there == old.source.as_bytes()) {
        return Ok(());
    }
    let problem = format!(
        "{} is not what is in service: somebody changed it in the directory; see its problems, then ask again without \
         If-Match to overwrite it",
        old.file
    );
    Err(PutError::Condition { problem, etag: Some(old.etag.clone()) })
}
