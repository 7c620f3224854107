//! Reading a run from the store: its graph, its latest snapshot, and the events since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bandstand_driver::{LoadProblem, Message, RunId};
use bandstand_engine::{CommandId, Graph, Run, Snapshot};
use bandstand_store::{From as OpenFrom, OpenRunError, OpenedRun, Reader};

/// Reads runs. Blocks.
pub struct Loader {
    reader: Reader,
    /// Runs of one workflow share its graph.
    graphs: Mutex<BTreeMap<String, Weak<Graph>>>,
    /// Marks of the process before, by run, until the run is first loaded.
    interrupted: Mutex<BTreeMap<RunId, Vec<CommandId>>>,
}

impl Loader {
    /// A loader for that store and the marks that were found beside it.
    pub fn new(reader: Reader, interrupted: BTreeMap<RunId, Vec<CommandId>>) -> Loader {
        Loader { reader, graphs: Mutex::default(), interrupted: Mutex::new(interrupted) }
    }

    /// Reads a run; the message for the core.
    pub fn load(&self, run_id: &RunId) -> Message {
        match self.read(run_id) {
            Ok((run, tail_events, tail_bytes)) => {
                let mut interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
                let interrupted = interrupted.remove(run_id).unwrap_or_default();
                Message::Loaded { run: Box::new(run), tail_events, tail_bytes, interrupted }
            }
            Err(problem) => Message::LoadFailed { run_id: run_id.clone(), problem },
        }
    }

    /// The same graph for the same text.
    pub fn share(&self, digest: &str, graph: &Arc<Graph>) -> Arc<Graph> {
        let mut graphs = self.graphs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = graphs.get(digest).and_then(Weak::upgrade) {
            return known;
        }
        graphs.retain(|_, graph| graph.strong_count() > 0);
        graphs.insert(digest.to_owned(), Arc::downgrade(graph));
        graph.clone()
    }

    fn read(&self, run_id: &RunId) -> Result<(Run, u64, u64), LoadProblem> {
        let mut opened = self.open(run_id, OpenFrom::Snapshot)?;
        let mut snapshot = None;
        if let Some(stored) = opened.snapshot.take() {
            snapshot = serde_json::from_slice::<Snapshot>(&stored.bytes)
                .ok()
                .filter(|snapshot| snapshot.version == Snapshot::VERSION && snapshot.seq == stored.seq);
            if snapshot.is_none() {
                // Another host's format; the journal before it still exists.
                tracing::info!(%run_id, "the snapshot is of another format and is ignored");
                opened = self.open(run_id, OpenFrom::Start)?;
            }
        }
        let graph = self.graph(&opened)?;
        let (tail_events, tail_bytes) = (opened.tail.len() as u64, opened.tail_bytes);
        let run = Run::fold(graph, snapshot, opened.tail).map_err(|corrupt| {
            LoadProblem::Stuck(format!(
                "its journal does not add up: {corrupt}; other runs are not concerned"
            ))
        })?;
        Ok((run, tail_events, tail_bytes))
    }

    fn open(&self, run_id: &RunId, from: OpenFrom) -> Result<OpenedRun, LoadProblem> {
        self.reader.open_run(run_id, from).map_err(|error| match error {
            OpenRunError::Unknown(_) => LoadProblem::NoSuchRun,
            error => LoadProblem::Stuck(error.to_string()),
        })
    }

    fn graph(&self, opened: &OpenedRun) -> Result<Arc<Graph>, LoadProblem> {
        let digest = &opened.pins.workflow.graph;
        let known =
            self.graphs.lock().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(Weak::upgrade);
        if let Some(graph) = known {
            return Ok(graph);
        }
        let stuck = |problem: &str| LoadProblem::Stuck(format!("its workflow ({digest}) {problem}"));
        let text = opened.pins.graph.as_ref().ok_or_else(|| stuck("is not in the store any more"))?;
        let graph: Graph = serde_json::from_str(text)
            .map_err(|error| stuck(&format!("was written by another version of the host: {error}")))?;
        Ok(self.share(digest, &Arc::new(graph)))
    }
}
