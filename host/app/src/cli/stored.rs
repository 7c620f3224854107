//! What the reading verbs look up in the store: runs and reviews by the beginning of their ids, whole histories.
//! Opens the file read-only; whether a host holds it does not matter.

use std::path::PathBuf;
use std::sync::Arc;

use bandstand_engine::event::RunStarted;
use bandstand_engine::run::Waiting;
use bandstand_engine::{Event, Graph, Run, Snapshot};
use bandstand_store::{
    FindError, From, LinkKind, OpenError, OpenRunError, Pins, ReadError, Reader, ReviewFilter, RunFilter,
    RunLease, RunRow, RunRows, RunStatus,
};
use serde_json::Value;

use super::context::{Context, now};
use super::exit::{Exit, Failure};
use super::history::History;
use crate::host::Published;

/// Other open runs that are named; of further ones it is only said that they are there.
const OTHERS_SHOWN_MAX: usize = 3;
/// Open runs that are looked at for it, the newest first.
const OTHERS_LOOKED_AT_MAX: u32 = 100;
/// Entries of a list that are shown, the newest: a run can have a hundred thousand.
pub const LISTED_MAX: usize = 100;

/// The store of a data directory, and where that is: plugins are files beside it.
#[derive(Clone, Debug)]
pub struct Store {
    /// Reads it.
    pub reader: Reader,
    /// The data directory.
    pub data_dir: PathBuf,
}

/// The store of the data directory.
pub fn open(context: &Context) -> Result<Reader, Failure> {
    Reader::open(context.data_dir()).map_err(Failure::from)
}

/// The store of the data directory; `None`: nothing was ever run there.
pub fn open_if_there(context: &Context) -> Result<Option<Reader>, Failure> {
    match Reader::open(context.data_dir()) {
        Ok(reader) => Ok(Some(reader)),
        Err(OpenError::Missing(_)) => {
            context.out.note(&format!("nothing was run in {} yet", context.data_dir().display()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The run whose id begins so.
pub fn run(reader: &Reader, prefix: &str) -> Result<RunRow, Failure> {
    let run_id = reader.find_run(prefix)?;
    reader.run(&run_id)?.ok_or_else(|| Failure::not_found(format!("run {run_id} is gone")))
}

/// What happened in a run, as far as it is shown: plain steps are added up, and of long lists of stages and choices the
/// newest entries are there.
pub fn history(reader: &Reader, run_id: &str) -> Result<History, Failure> {
    let mut history = History::default();
    let sums = reader.brief(run_id, LISTED_MAX, |told| history.add_told(told))?;
    history.add_sums(&sums);
    Ok(history)
}

/// A run's events from one on, about so many: what one decision led to is not cut.
pub fn events(reader: &Reader, run_id: &str, from: u64, wanted: u32) -> Result<Vec<Published>, Failure> {
    let mut rows = Vec::new();
    let mut events = 0;
    for row in reader.history_with(run_id, from, wanted)?.rows {
        if events >= u64::from(wanted) {
            break;
        }
        let known = usize::try_from(from.saturating_sub(row.seq)).unwrap_or(usize::MAX);
        let seq = row.seq.max(from);
        let told: Vec<Event> = row.events.into_iter().skip(known).collect();
        if !told.is_empty() {
            events += told.len() as u64;
            rows.push(Published { run_id: row.run_id, seq, at: row.at, events: Arc::new(told) });
        }
    }
    Ok(rows)
}

/// A run's journal from its first event, to be read row by row.
pub fn rows(reader: &Reader, run_id: &str) -> Result<RunRows, Failure> {
    Ok(reader.run_rows(run_id)?)
}

/// The first event of a run.
pub fn started(rows: &mut RunRows) -> Result<Box<RunStarted>, Failure> {
    match rows.next().transpose()?.and_then(|row| row.events.into_iter().next()) {
        Some(Event::RunStarted(started)) => Ok(started),
        _ => Err(Failure::other("the run's journal has no beginning")),
    }
}

/// The graph that a run pins.
pub fn graph(run_id: &str, pins: &Pins) -> Result<Arc<Graph>, Failure> {
    let cannot = |problem: String| Failure::other(format!("run {run_id} cannot be read: {problem}"));
    let text = pins.graph.as_ref().ok_or_else(|| cannot("its pinned graph was not kept".to_owned()))?;
    serde_json::from_str(text)
        .map(Arc::new)
        .map_err(|error| cannot(format!("its pinned graph is of another version of the host: {error}")))
}

/// The run as its journal has it, folded; or why that cannot be told.
pub fn folded(reader: &Reader, run_id: &str) -> Result<Run, String> {
    let opened = reader.open_run(run_id, From::Snapshot).map_err(|error| error.to_string())?;
    let graph = opened.pins.graph.ok_or("its pinned graph was not kept")?;
    let graph =
        serde_json::from_str(&graph).map_err(|error| format!("its pinned graph cannot be read: {error}"))?;
    let graph = std::sync::Arc::new(graph);
    let snapshot = opened.snapshot.map(|kept| serde_json::from_slice::<Snapshot>(&kept.bytes));
    let whole = match snapshot.transpose() {
        Ok(snapshot) => Run::fold(graph, snapshot, opened.tail),
        // A host wrote it that this one does not understand.
        Err(_) => {
            let opened = reader.open_run(run_id, From::Start).map_err(|error| error.to_string())?;
            Run::fold(graph, None, opened.tail)
        }
    };
    whole.map_err(|error| error.to_string())
}

/// What a run that succeeded came to, as the engine has it: its last event may only say whose output that is.
pub fn result(reader: &Reader, context: &Context, run_id: &str) -> Result<Arc<Value>, Failure> {
    let told =
        folded(reader, run_id).and_then(|run| run.output().cloned().ok_or_else(|| "it has none".to_owned()));
    told.map_err(|problem| {
        Failure::storage(format!("run {run_id} succeeded, but its result cannot be told: {problem}"))
            .help(format!("its history: bandstand runs show {run_id} --events{}", context.data_option()))
    })
}

/// The signals that the child runs of a run wait for, and theirs.
pub fn child_signals(reader: &Reader, run_id: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for child in open_children(reader, run_id).unwrap_or_default() {
        let waiting = folded(reader, &child).map(|run| run.waiting()).unwrap_or_default();
        found.extend(waiting.into_iter().filter_map(|waiting| match waiting {
            Waiting::Signal { name, .. } => Some((child.clone(), name.to_string())),
            _ => None,
        }));
    }
    found
}

/// The run that a run is a part of in the end: of a child run the topmost of its parents that has not ended.
pub fn topmost(reader: &Reader, run_id: &str) -> Result<String, Failure> {
    let mut top = run_id.to_owned();
    while let Some(parent) = reader.links(&top)?.from.filter(|link| link.kind == LinkKind::Child) {
        match reader.run(&parent.run_id)? {
            Some(row) if !row.status.is_ended() => top = parent.run_id,
            _ => break,
        }
    }
    Ok(top)
}

/// The child runs of a run that have not ended, with theirs.
pub fn open_children(reader: &Reader, run_id: &str) -> Result<Vec<String>, Failure> {
    let (mut found, mut open) = (Vec::new(), vec![run_id.to_owned()]);
    while let Some(run_id) = open.pop() {
        let children = reader.open_children(&run_id)?;
        open.extend(children.iter().cloned());
        found.extend(children);
    }
    Ok(found)
}

/// Whether driving an open run moves it, now or when its time has come. A run that must next be looked at when the time
/// of those is over who are asked for an answer or a signal waits for them alone. One without any time waits for a signal.
pub fn can_be_driven(reader: &Reader, run: &RunRow) -> bool {
    if let Some(RunLease::Queued { behind }) = &run.lease {
        // It goes on when the one before it does.
        let ahead = behind.as_deref().and_then(|ahead| reader.run(ahead).ok().flatten());
        return ahead.is_none_or(|ahead| can_be_driven(reader, &ahead));
    }
    if run.status == RunStatus::Waiting && !run.owed {
        // It waits for its child runs before anything else.
        let children = reader.open_children(&run.run_id).unwrap_or_default();
        if !children.is_empty() {
            let child = |run_id: &String| reader.run(run_id).ok().flatten();
            return children.iter().filter_map(child).any(|child| can_be_driven(reader, &child));
        }
    }
    let Some(deadline) = run.next_deadline else { return run.status != RunStatus::Waiting || run.owed };
    if run.status != RunStatus::Waiting || run.owed || deadline <= now() {
        return true;
    }
    let filter = ReviewFilter { run_id: Some(run.run_id.clone()), ..ReviewFilter::default() };
    let Ok(reviews) = reader.reviews(&filter, None, 1_000) else { return true };
    if reviews.iter().any(|review| Some(review.deadline) == run.next_deadline) {
        return false;
    }
    // Its row does not tell a wait for a time from a signal's deadline, or that of a block.
    folded(reader, &run.run_id).map_or(true, |run| {
        run.waiting().iter().any(|waits| {
            matches!(waits, Waiting::Retry { .. } | Waiting::Time { .. } | Waiting::Start { .. })
        })
    })
}

/// Names the open runs that driving would move and this process did not drive, so that none is forgotten. Failing to is
/// no failure.
pub fn name_other_open_runs(context: &Context, own: &str) {
    // A server makes all its runs go on.
    if context.out.json || context.out.quiet || context.api().is_some() {
        return;
    }
    let statuses = vec![RunStatus::Running, RunStatus::Waiting];
    let filter = RunFilter { statuses, ..RunFilter::default() };
    let Ok(reader) = Reader::open(context.data_dir()) else { return };
    let Ok(page) = reader.runs(&filter, None, OTHERS_LOOKED_AT_MAX) else { return };
    let others: Vec<&str> = page
        .runs
        .iter()
        .filter(|run| run.run_id != own && can_be_driven(&reader, run))
        .map(|run| run.run_id.as_str())
        .take(OTHERS_SHOWN_MAX + 1)
        .collect();
    if others.is_empty() {
        return;
    }
    let shown = others.iter().take(OTHERS_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if others.len() > OTHERS_SHOWN_MAX { " and more" } else { "" };
    let data = context.data_option();
    context.out.note(&format!(
        "other open runs: {shown}{more}; to make them go on: bandstand runs drive --all{data}"
    ));
}

impl std::convert::From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        let exit = match &error {
            OpenError::Missing(_) => Exit::NotFound,
            OpenError::NotADirectory(_)
            | OpenError::NotAStore(_)
            | OpenError::NewerSchema { .. }
            | OpenError::OlderSchema { .. } => Exit::Usage,
            _ => Exit::Storage,
        };
        Failure { exit, what: error.to_string(), help: None }
    }
}

impl std::convert::From<ReadError> for Failure {
    fn from(error: ReadError) -> Failure {
        match error {
            ReadError::Open(error) => error.into(),
            ReadError::BadCursor(_) => Failure::usage(error),
            ReadError::NotFound(_) => Failure::not_found(error),
            error => Failure::storage(error),
        }
    }
}

impl std::convert::From<OpenRunError> for Failure {
    fn from(error: OpenRunError) -> Failure {
        match error {
            OpenRunError::Read(error) => error.into(),
            error @ OpenRunError::Unknown(_) => Failure::not_found(error),
            error => Failure::other(error),
        }
    }
}

impl std::convert::From<FindError> for Failure {
    fn from(error: FindError) -> Failure {
        match error {
            FindError::Read(error) => error.into(),
            error => Failure::not_found(error),
        }
    }
}
