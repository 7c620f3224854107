//! The model of the store: the rows of a run as text, its standing, its snapshot.

use std::sync::Arc;

use bandstand_driver::{Row, RunId, Summary, Token};
use bandstand_engine::{Event, Graph, Run, Snapshot, Timestamp};

use crate::check::Problem;

/// An append on its way to the disk; without rows, only a standing.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// Named when it is durable; a standing is not.
    pub(super) token: Option<Token>,
    pub(super) run_id: RunId,
    pub(super) rows: Vec<Row>,
    pub(super) summary: Summary,
}

/// What the disk has of a run.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The first event's number, the time, and the events as text.
    pub(super) rows: Vec<(u64, Timestamp, String)>,
    pub(super) summary: Option<Summary>,
    pub(super) snapshot: Option<(u64, String)>,
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem(format!("what was stored does not read back: {error}"))
}

impl Stored {
    /// Opens the run from its snapshot, unless it is to be ignored, and what follows it: the run, the events and bytes of
    /// the tail.
    pub(super) fn open(
        &self,
        graph: &Arc<Graph>,
        without_snapshot: bool,
    ) -> Result<(Run, u64, u64), Problem> {
        let snapshot = self.snapshot.as_ref().filter(|_| !without_snapshot);
        let from = snapshot.map_or(0, |(seq, _)| *seq);
        let snapshot: Option<Snapshot> = snapshot
            .map(|(_, text)| serde_json::from_str(text))
            .transpose()
            .map_err(|error| unreadable(&error))?;
        let mut events: Vec<(Timestamp, Event)> = Vec::new();
        let mut bytes = 0;
        for (seq, at, text) in self.rows.iter().filter(|(seq, _, _)| *seq >= from) {
            debug_assert!(*seq >= from);
            bytes += text.len() as u64;
            let row: Vec<Event> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
            events.extend(row.into_iter().map(|event| (*at, event)));
        }
        let count = events.len() as u64;
        let run = Run::fold(graph.clone(), snapshot, events)
            .map_err(|corrupt| Problem(format!("what was stored does not fold: {corrupt}")))?;
        Ok((run, count, bytes))
    }
}
