//! Reading a run from the store: its graph, its latest snapshot, and the events since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bandstand_driver::{LoadProblem, Message, RunId, Unwanted};
use bandstand_engine::run::JournalRow;
use bandstand_engine::{CommandId, Graph, Run, Snapshot};
use bandstand_store::{From as OpenFrom, OpenRunError, OpenedRun, Reader, RunChange};

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
        let graph = self.graph(&opened)?;
        let (tail_events, tail_bytes) = (opened.tail.len() as u64, opened.tail_bytes);
        let run = Run::fold(graph, snapshot, opened.tail).map_err(|corrupt| {
            LoadProblem::Stuck(format!(
                "its journal does not add up: {corrupt}; other runs are not concerned"
            ))
        })?;
        Ok((run, tail_events, tail_bytes))
    }

    /// A run's whole journal, by rows, with what it pins and its graph.
    ///
    /// # Errors
    /// When there is no such run, or it cannot be trusted or understood.
    pub fn whole(&self, run_id: &str) -> Result<(OpenedRun, Vec<JournalRow>, Arc<Graph>), LoadProblem> {
        let mut opened = self.open(&run_id.into(), OpenFrom::Start)?;
        let rows = rows(&mut opened);
        let graph = self.graph(&opened)?;
        Ok((opened, rows, graph))
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

/// The tail of an opened run by rows; it leaves the opened run.
pub fn rows(opened: &mut OpenedRun) -> Vec<JournalRow> {
    let mut events = std::mem::take(&mut opened.tail).into_iter();
    let mut rows = Vec::with_capacity(opened.tail_rows.len());
    let ends = opened.tail_rows.iter().skip(1).copied().chain([usize::MAX]);
    for (begin, end) in opened.tail_rows.iter().zip(ends) {
        let row: Vec<_> = events.by_ref().take(end.saturating_sub(*begin)).collect();
        let Some((at, _)) = row.first() else { continue };
        rows.push(JournalRow { at: *at, events: row.into_iter().map(|(_, event)| event).collect() });
    }
    rows
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
