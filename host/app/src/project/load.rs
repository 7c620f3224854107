//! Loads a workflow file: its text, its problems, its graph, and the very bytes of the plugins that were checked.
//! What is wrong with a file is decided by `bandstand-workflow`; this module answers its questions about files,
//! plugins and what the host permits.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::Graph;
use bandstand_engine::graph::{FilesAccess, Grants, PluginSource};
use bandstand_engine::id::Id;
use bandstand_sandbox::LoadError as SandboxError;
use bandstand_signature::Function;
use bandstand_workflow::{
    Diagnostic, Feature, Features, FileProblem, Need, Options, Permitted, PluginFacts, PluginProblem,
    Resolver, Severity, beside,
};

use super::builtin;
use super::config::{self, Config};
use super::directory::{Directory, FileError, open_file};
use super::manifest::Manifest;
use super::permits;
use super::reads::Reads;
use super::tools::{self, HostTool, Told};
use crate::host::{StartRequest, Uses};

/// No larger plugin is looked at.
pub const PLUGIN_BYTES_MAX: u64 = 64 << 20;
/// No larger workflow file is read; a little above what the language allows, so that `BW114` can be told.
pub const WORKFLOW_BYTES_MAX: u64 = (1 << 20) + (64 << 10);
/// The diagnostic of a feature that the language has and this build lacks.
pub const LACKING: &str = "BW109";

/// Whether plugins and other files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// They are.
    Yes,
    /// Only the file itself is.
    No,
}

/// A workflow file and what it came to.
#[derive(Debug)]
pub struct Loaded {
    /// The file as the caller named it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Its problems, by position.
    pub diagnostics: Vec<Diagnostic>,
    /// What it means; none: it has errors.
    pub graph: Option<Graph>,
    /// The project round it.
    pub directory: Directory,
    /// The texts of child files that have problems.
    texts: BTreeMap<String, String>,
    /// Its plugins and its children's, as they were checked.
    plugins: BTreeMap<String, Plugin>,
    /// Tools of the host that they may call, and that these may call, as they were checked.
    tools: BTreeMap<String, HostTool>,
}

/// The file cannot be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read the workflow file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is far too large.
    #[error("{} has more than {WORKFLOW_BYTES_MAX} bytes; a workflow file has 1 MiB at most", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// `bandstand.toml` is not valid.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A plugin was there when the file was checked, and its bytes were not kept.
    #[error("plugin `{plugin}` was not loaded; this is a defect of the host")]
    PluginMissing {
        /// The plugin's id.
        plugin: String,
    },
    /// A directory that a plugin is granted was there when the file was checked, and is not any more.
    #[error("plugin `{plugin}`, grants.files: {source}")]
    Directory {
        /// The plugin's id.
        plugin: String,
        /// What is wrong with it.
        source: FileError,
    },
}

/// How a file of a served directory is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ToServe<'a> {
    /// The file's name for people.
    pub shown: &'a str,
    /// The served directory. Where no `bandstand.toml` is, nothing is granted (R7.2): whoever sent the file may not be the
    /// operator.
    pub dir: &'a Path,
    /// Where runs are kept, which no workflow reads. Links resolved.
    pub data_dir: &'a Path,
    /// Its text, when that is not written yet.
    pub text: Option<&'a [u8]>,
}

/// Loads and checks a workflow file.
///
/// # Errors
/// When the file or `bandstand.toml` cannot be read. What is wrong inside the file is in `diagnostics`.
pub fn load(path: &Path, resolve: Resolve) -> Result<Loaded, LoadError> {
    let bytes = read(path)?;
    check(path, &bytes, resolve, None, &RefCell::default())
}

/// Loads and checks a workflow file as `serve` does; also tells what was looked at for it.
///
/// # Errors
/// As [`load`].
pub fn load_to_serve(path: &Path, how: &ToServe<'_>) -> (Result<Loaded, LoadError>, Reads) {
    let reads = RefCell::new(Reads::default());
    reads.borrow_mut().note(path);
    let loaded = match how.text {
        Some(text) => check(path, text, Resolve::Yes, Some(how), &reads),
        None => read(path).and_then(|bytes| check(path, &bytes, Resolve::Yes, Some(how), &reads)),
    };
    (loaded, reads.into_inner())
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let cannot = |source| LoadError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = open_file(path).map_err(cannot)?;
    file.take(WORKFLOW_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > WORKFLOW_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn check(
    path: &Path,
    bytes: &[u8],
    resolve: Resolve,
    serve: Option<&ToServe<'_>>,
    reads: &RefCell<Reads>,
) -> Result<Loaded, LoadError> {
    for place in Directory::config_places(path) {
        reads.borrow_mut().note(&place);
    }
    let directory = Directory::of(path)?;
    let file = serve.map_or_else(|| path.to_string_lossy().into_owned(), |serve| serve.shown.to_owned());
    let files = Files {
        directory: &directory,
        served: serve,
        plugins: RefCell::default(),
        tools: RefCell::default(),
        reads,
    };
    let resolver: Option<&dyn Resolver> = match resolve {
        Resolve::Yes => Some(&files),
        Resolve::No => None,
    };
    let options = Options { file: file.clone(), resolver, features: features() };
    let checked = bandstand_workflow::check(bytes, &options);
    let (plugins, tools) = (files.plugins.into_inner(), files.tools.into_inner());
    Ok(Loaded {
        file,
        text: String::from_utf8_lossy(bytes).into_owned(),
        diagnostics: checked.diagnostics,
        graph: checked.graph,
        directory,
        texts: checked.texts,
        plugins,
        tools,
    })
}

/// Loads a workflow file for looking at it: without its plugins if that is enough.
///
/// # Errors
/// As [`load`].
pub fn load_to_look_at(path: &Path) -> Result<Loaded, LoadError> {
    let loaded = load(path, Resolve::No)?;
    // A file that takes constants or schemas from other files has no graph without them.
    if loaded.graph.is_none() && !loaded.diagnostics.iter().any(is_error) {
        load(path, Resolve::Yes)
    } else {
        Ok(loaded)
    }
}

/// What this build has beyond the core of the language.
pub(super) fn features() -> Features {
    Features::from([
        Feature::Http,
        Feature::Model,
        Feature::Tools,
        Feature::Secrets,
        Feature::BuiltinChat,
        Feature::BuiltinTool,
        Feature::BuiltinHttp,
        Feature::BuiltinTransform,
        Feature::Env,
        Feature::Files,
        Feature::Clock,
        Feature::Random,
        Feature::Triggers,
        Feature::Stream,
        Feature::Function,
    ])
}

/// Whether a problem keeps the file from being valid.
pub fn is_error(found: &Diagnostic) -> bool {
    found.severity == Severity::Error
}

/// Whether `run` takes the file: it is valid and asks for nothing that this build lacks.
pub fn can_run(loaded: &Loaded) -> bool {
    loaded.graph.is_some() && !loaded.diagnostics.iter().any(|found| is_error(found) || found.code == LACKING)
}

impl Loaded {
    /// What a host needs to start a run of it: the graph with the limits that hold here, its text, its plugins' bytes.
    ///
    /// # Errors
    /// When it has no graph, or was loaded without its plugins.
    pub fn into_start_request(mut self) -> Result<StartRequest, LoadError> {
        let missing = || LoadError::PluginMissing { plugin: "(the file has errors)".to_owned() };
        let mut graph = self.graph.take().ok_or_else(missing)?;
        let plugins = self.settle(&mut graph, "")?;
        Ok(StartRequest::of(Arc::new(graph), self.text, plugins))
    }
}

impl Loaded {
    /// Sets the limits that hold here, in the graph and its children; the bytes of their plugins. `file` is the graph's
    /// own, as named from the workflow file.
    fn settle(&self, graph: &mut Graph, file: &str) -> Result<Uses<Arc<[u8]>>, LoadError> {
        let mut uses = Uses::default();
        let called: BTreeSet<Id> =
            graph.plugins.values().flat_map(|plugin| plugin.grants.tools.iter().cloned()).collect();
        for (id, plugin) in &mut graph.plugins {
            plugin.limits = permits::effective_limits(self.directory.config.as_ref(), &plugin.limits);
            let missing = || LoadError::PluginMissing { plugin: id.to_string() };
            // A run goes on wherever its host was started, so it pins where the directory is.
            let path_of = |path: &str| if file.is_empty() { path.to_owned() } else { beside(file, path) };
            pin_directories(&mut plugin.grants, &self.directory, path_of)
                .map_err(|source| LoadError::Directory { plugin: id.to_string(), source })?;
            let source = match &plugin.source {
                PluginSource::Path(path) if !file.is_empty() => PluginSource::Path(beside(file, path)),
                source => source.clone(),
            };
            let known = self.plugins.get(&key(&source, plugin.function.as_deref())).ok_or_else(missing)?;
            if called.contains(id) {
                let Told { description, parameters } = known.told.clone();
                (plugin.description, plugin.parameters) = (description, parameters);
            }
            uses.plugins.insert(id.clone(), known.bytes.clone());
        }
        // Those of the host become plugins of the graph, so that the run pins them like any other.
        let mut open: Vec<Id> = called.into_iter().collect();
        while let Some(id) = open.pop() {
            if graph.plugins.contains_key(&id) {
                continue;
            }
            let missing = || LoadError::PluginMissing { plugin: id.to_string() };
            let HostTool { plugin, bytes } = self.tools.get(id.as_str()).ok_or_else(missing)?.clone();
            open.extend(plugin.grants.tools.iter().cloned());
            uses.plugins.insert(id.clone(), bytes);
            graph.plugins.insert(id, plugin);
        }
        for (id, child) in &mut graph.workflows {
            let path = if file.is_empty() { child.path.clone() } else { beside(file, &child.path) };
            let uses_of_child = self.settle(Arc::make_mut(&mut child.graph), &path)?;
            uses.children.insert(id.clone(), uses_of_child);
        }
        Ok(uses)
    }

    /// The text that a diagnostic speaks of: the file's, or that of a child.
    pub fn text_of(&self, found: &Diagnostic) -> &str {
        self.texts.get(&found.file).unwrap_or(&self.text)
    }
}

/// Answers the questions of `check`, reading each plugin once.
struct Files<'a> {
    directory: &'a Directory,
    /// The directory that is served, if one is.
    served: Option<&'a ToServe<'a>>,
    plugins: RefCell<BTreeMap<String, Plugin>>,
    tools: RefCell<BTreeMap<String, HostTool>>,
    reads: &'a RefCell<Reads>,
}

#[derive(Clone, Debug)]
struct Plugin {
    bytes: Arc<[u8]>,
    facts: PluginFacts,
    told: Told,
}

/// A file, or one function of it.
fn key(source: &PluginSource, function: Option<&str>) -> String {
    match (source, function) {
        (PluginSource::Path(path), None) => path.clone(),
        (PluginSource::Path(path), Some(function)) => format!("{path}\n{function}"),
        (PluginSource::Builtin(name), _) => format!("builtin:{name}"),
    }
}

/// What `check` wants to know of a plugin.
pub(super) fn facts(inspection: &bandstand_sandbox::Inspection, function: Option<Function>) -> PluginFacts {
    let needs = inspection.imports.iter().filter_map(|import| {
        let grant = import.capability?.to_owned();
        Some(Need { import: import.interface.clone(), grant, writes: import.writes() })
    });
    // A damaged manifest says nothing.
    let manifest = Manifest::of(inspection).ok().flatten();
    // Nor does one speak of functions.
    let manifest = manifest.filter(|_| function.is_none());
    let input = manifest.and_then(|manifest| manifest.input).map(Arc::new);
    PluginFacts { digest: inspection.digest.clone(), needs: needs.collect(), input, function }
}

/// Why a function cannot be called. What there is instead is told beside, so it is left out here.
fn no_function(
    inspection: &bandstand_sandbox::Inspection,
    name: &str,
    error: &SandboxError,
) -> PluginProblem {
    match error {
        SandboxError::UnknownImports(_) => PluginProblem::NotAnAgent { what: error.to_string() },
        _ => PluginProblem::NoFunction {
            what: match error {
                SandboxError::NoFunction { .. } => format!("the component exports no function `{name}`"),
                _ => error.to_string(),
            },
            functions: inspection.callable().map(Function::full_name).collect(),
        },
    }
}

impl Files<'_> {
    fn note(&self, named: &str) {
        if let Some(place) = self.directory.place(named) {
            self.reads.borrow_mut().note(&place);
        }
    }

    /// A workflow that is served may come from whoever may deploy, who need not be the operator: it gets no file that only
    /// the host is meant to read.
    fn may_read(&self, named: &str) -> Result<(), FileProblem> {
        self.note(named);
        let (Some(served), Ok(found)) = (self.served, self.directory.find(named)) else { return Ok(()) };
        let below = found.strip_prefix(&self.directory.root).unwrap_or(&found);
        let hidden = below.iter().any(|part| part.to_string_lossy().starts_with('.'));
        let settings = found.file_name().is_some_and(|name| name == config::FILE_NAME);
        let config = self.directory.config.as_ref();
        let secret = permits::lending(config)
            .paths_kept
            .iter()
            .any(|kept| kept.canonicalize().is_ok_and(|kept| kept == found));
        if !hidden && !settings && !secret && !found.starts_with(served.data_dir) {
            return Ok(());
        }
        let reason = "hidden files, bandstand.toml, files of secrets and the data directory are the host's own; no workflow \
                      that is served gets them";
        Err(FileProblem::Unreadable { tried: named.to_owned(), reason: reason.to_owned() })
    }

    fn plugin_bytes(&self, source: &PluginSource) -> Result<Arc<[u8]>, PluginProblem> {
        match source {
            PluginSource::Path(path) => {
                self.may_read(path)?;
                Ok(self.directory.read(path, PLUGIN_BYTES_MAX).map_err(file_problem)?.into())
            }
            PluginSource::Builtin(name) => builtin::named(name)
                .map(|builtin| builtin.bytes.into())
                .ok_or_else(|| PluginProblem::NotAnAgent { what: format!("there is no builtin `{name}`") }),
        }
    }
}

impl Resolver for Files<'_> {
    fn read(&self, path: &str, size_bytes_max: usize) -> Result<Vec<u8>, FileProblem> {
        self.may_read(path)?;
        self.directory.read(path, size_bytes_max as u64).map_err(file_problem)
    }

    fn plugin(&self, source: &PluginSource, function: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        let key = key(source, function);
        if let Some(known) = self.plugins.borrow().get(&key) {
            return Ok(known.facts.clone());
        }
        let bytes = self.plugin_bytes(source)?;
        let not_an_agent =
            |error: bandstand_sandbox::LoadError| PluginProblem::NotAnAgent { what: error.to_string() };
        let inspection = bandstand_sandbox::inspect(&bytes).map_err(not_an_agent)?;
        // Grants are `check`'s own question; here it only matters whether the host could run it with all of them.
        let called = match function {
            None => inspection.runnable().map_err(not_an_agent).map(|()| None)?,
            Some(name) => {
                let found = inspection.runnable_function(name).cloned();
                Some(found.map_err(|error| no_function(&inspection, name, &error))?)
            }
        };
        let told = Told::of(source, &inspection, called.as_ref());
        let facts = facts(&inspection, called);
        self.plugins.borrow_mut().insert(key, Plugin { bytes, facts: facts.clone(), told });
        Ok(facts)
    }

    fn builtins(&self) -> Vec<String> {
        builtin::ALL.iter().map(|builtin| builtin.name.to_owned()).collect()
    }

    fn permitted(&self, source: &PluginSource, digest: &str) -> Option<Permitted> {
        let nothing = Config::default();
        let (config, root) = match (&self.directory.config, self.served) {
            (Some(config), None) if config.rules_grants() => (config, &*self.directory.root),
            (Some(config), Some(_)) if config.has_file => (config, &*self.directory.root),
            (config, Some(served)) => (config.as_ref().unwrap_or(&nothing), served.dir),
            (_, None) => return None,
        };
        let name = match source {
            PluginSource::Path(path) => self.directory.name_below(root, path),
            PluginSource::Builtin(_) => key(source, None),
        };
        let place = format!("in {}, [grants]: {name:?}", root.join(config::FILE_NAME).display());
        Some(permits::permitted(config, &[&name, digest], place))
    }

    fn tool(&self, id: &str) -> Option<Result<Vec<String>, String>> {
        let mut known = self.tools.borrow_mut();
        if !known.contains_key(id) {
            let config = self.directory.config.as_ref()?;
            tools::files(config, id).iter().for_each(|file| self.reads.borrow_mut().note(file));
            match tools::find(config, id)? {
                Ok(tool) => known.insert(id.to_owned(), tool),
                Err(problem) => return Some(Err(problem)),
            };
        }
        let tool = known.get(id)?;
        Some(Ok(tool.plugin.grants.tools.iter().map(ToString::to_string).collect()))
    }

    fn tools(&self) -> Vec<String> {
        let config = self.directory.config.as_ref();
        config.map(|config| config.tools.keys().cloned().collect()).unwrap_or_default()
    }

    fn in_project(&self, path: &str) -> String {
        self.directory.name_in_project(path)
    }

    fn directory(&self, path: &str) -> Result<(), FileProblem> {
        self.note(path);
        can_be_granted(self.directory, path)
    }

    fn kept_env(&self, name: &str) -> Option<String> {
        permits::kept_env(self.directory.config.as_ref(), name)
    }
}

/// Whether a plugin can be granted this directory.
pub(super) fn can_be_granted(project: &Directory, path: &str) -> Result<(), FileProblem> {
    let found = project.find(path).map_err(file_problem)?;
    let reason = if !found.is_dir() {
        "it is not a directory"
    } else if found.to_str().is_none() {
        "its path is no text"
    } else {
        return Ok(());
    };
    Err(FileProblem::Unreadable { tried: path.to_owned(), reason: reason.to_owned() })
}

/// Says where the directories are that a plugin is granted to read: absolute, links resolved.
pub(super) fn pin_directories(
    grants: &mut Grants,
    project: &Directory,
    path_of: impl Fn(&str) -> String,
) -> Result<(), FileError> {
    for granted in grants.files.values_mut().filter(|files| files.access == FilesAccess::Read) {
        granted.path = project.find(&path_of(&granted.path))?.to_string_lossy().into_owned();
    }
    Ok(())
}

pub(super) fn file_problem(error: FileError) -> FileProblem {
    match error {
        FileError::Outside { named, root } => {
            FileProblem::Outside { tried: named, project: root.display().to_string() }
        }
        FileError::NotFound { path } => FileProblem::NotFound { tried: path.display().to_string() },
        FileError::Unreadable { path, problem } => {
            FileProblem::Unreadable { tried: path.display().to_string(), reason: problem }
        }
        FileError::TooLarge { path, size_bytes_max } => FileProblem::TooLarge {
            tried: path.display().to_string(),
            size_bytes_max: usize::try_from(size_bytes_max).unwrap_or(usize::MAX),
        },
    }
}
