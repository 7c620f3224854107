//! Reading a run from the store: its graph, its latest snapshot, and the events since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bandstand_driver::{LoadProblem, Message, RunId, Unwanted};
use bandstand_engine::run::JournalRow;
use bandstand_engine::{CommandId, Graph, Run, Snapshot};
use bandstand_store::{From as OpenFrom, OpenRunError, OpenedRun, Pins, Reader, RunChange, RunRows};

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
                let unwanted = match run.started().parent {
                    Some(_) => self.unwanted(run_id),
                    None => None,
                };
                Message::Loaded { run: Box::new(run), tail_events, tail_bytes, interrupted, unwanted }
            }
            Err(problem) => Message::LoadFailed { run_id: run_id.clone(), problem },
        }
    }

    fn unwanted(&self, run_id: &RunId) -> Option<Unwanted> {
        match self.reader.unwanted(run_id) {
            Ok(killed) => killed.map(|killed| if killed { Unwanted::Kill } else { Unwanted::Cancel }),
            Err(error) => {
                tracing::warn!(%run_id, %error, "whether its parent wants it cannot be read; it goes on");
                None
            }
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
        let graph = self.graph(&opened.pins)?;
        let (tail_events, tail_bytes) = (opened.tail.len() as u64, opened.tail_bytes);
        let run = Run::fold(graph, snapshot, opened.tail).map_err(|corrupt| {
            LoadProblem::Stuck(format!(
                "its journal does not add up: {corrupt}; other runs are not concerned"
            ))
        })?;
        Ok((run, tail_events, tail_bytes))
    }

    /// A run's journal from its first event, to be read row by row, and its graph.
    ///
    /// # Errors
    /// When there is no such run, or what it pins cannot be read.
    pub fn rows(&self, run_id: &str) -> Result<(RunRows, Arc<Graph>), LoadProblem> {
        let rows = self.reader.run_rows(run_id).map_err(unopened)?;
        let graph = self.graph(rows.pins())?;
        Ok((rows, graph))
    }

    /// The rows of [`Loader::rows`] with its errors among them, for whoever reads a journal several times.
    pub fn each_row(&self, run_id: &str) -> impl Iterator<Item = Result<JournalRow, LoadProblem>> + use<> {
        let (rows, problem) = match self.reader.run_rows(run_id) {
            Ok(rows) => (Some(rows), None),
            Err(error) => (None, Some(Err(error))),
        };
        problem.into_iter().chain(rows.into_iter().flatten()).map(|row| row.map_err(unopened))
    }

    fn open(&self, run_id: &RunId, from: OpenFrom) -> Result<OpenedRun, LoadProblem> {
        self.reader.open_run(run_id, from).map_err(unopened)
    }

    fn graph(&self, pins: &Pins) -> Result<Arc<Graph>, LoadProblem> {
        let digest = &pins.workflow.graph;
        let known =
            self.graphs.lock().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(Weak::upgrade);
        if let Some(graph) = known {
            return Ok(graph);
        }
        let stuck = |problem: &str| LoadProblem::Stuck(format!("its workflow ({digest}) {problem}"));
        let text = pins.graph.as_ref().ok_or_else(|| stuck("is not in the store any more"))?;
        let graph: Graph = serde_json::from_str(text)
            .map_err(|error| stuck(&format!("was written by another version of the host: {error}")))?;
        Ok(self.share(digest, &Arc::new(graph)))
    }
}

/// Why a run cannot be read, as the driver sees it.
pub fn unopened(error: OpenRunError) -> LoadProblem {
    match error {
        OpenRunError::Unknown(_) => LoadProblem::NoSuchRun,
        error => LoadProblem::Stuck(error.to_string()),
    }
}

/// Where a folded run stands, as its row says it.
pub fn stand(run: &Run) -> RunChange {
    RunChange {
        status: run.status().into(),
        stage: Some(run.stage().name().to_owned()),
        held: None,
        owed: run.owed().next().is_some(),
        next_deadline: run.next_deadline(),
    }
}
