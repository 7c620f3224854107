//! `bandstand runs replay`: folds a run's journal again from the start and compares with what is stored. The check that
//! an upgrade did not change history: nothing is run, decided or written.

use std::sync::Arc;

use bandstand_engine::{Corrupt, Graph, Run, Snapshot};
use bandstand_store::{Difference, From, OpenRunError, Reader};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored;
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};
use crate::driver::stand;
use crate::view::{Replayed, ReplayedDifference};

/// A run that goes on while it is compared is looked at again so often.
const TRIES_MAX: u32 = 10;
/// Characters of a stored value that a line shows; `--json` has it whole.
const VALUE_LENGTH_MAX: usize = 200;

/// What `replay` is given.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The run; the beginning of its id is enough
    #[arg(value_name = "RUN", value_parser = arguments::id)]
    pub run: String,
}

/// What was found.
struct Found {
    events: u64,
    rows: usize,
    differences: Vec<Difference>,
}

/// Compares. Exit code 1 when something differs.
pub fn execute(args: &ReplayArgs, context: &Context) -> Result<Exit, Failure> {
    let site = context.site()?;
    let found = site.replay(&site.run(&args.run)?.run_id)?;
    let out = &context.out;
    if out.json {
        out.json_line(&json!(found));
    } else if found.same {
        let count = |number: u64, noun| words::count(usize::try_from(number).unwrap_or(usize::MAX), noun);
        let (events, rows) = (count(found.events, "event"), count(found.rows, "row"));
        out.data(&format!("run {}: {events} in {rows} fold to what is stored", found.run_id));
    } else {
        out.data(&out.paint(Tone::Bad, &format!("run {} differs from its journal", found.run_id)));
        for found in &found.differences {
            out.data(&safe::line(&format!("  {}", found.place)));
            out.data(&format!("    stored:     {}", safe::short(&found.stored, VALUE_LENGTH_MAX)));
            out.data(&format!("    by journal: {}", safe::short(&found.by_journal, VALUE_LENGTH_MAX)));
        }
    }
    Ok(if found.same { Exit::Succeeded } else { Exit::Failed })
}

/// What comparing a run with its journal found.
pub fn report(reader: &Reader, run_id: &str) -> Result<Replayed, Failure> {
    let found = replay(reader, run_id)?;
    let differences: Vec<_> = found
        .differences
        .into_iter()
        .map(|found| ReplayedDifference {
            place: found.place,
            stored: found.stored,
            by_journal: found.by_journal,
        })
        .collect();
    Ok(Replayed {
        run_id: run_id.to_owned(),
        same: differences.is_empty(),
        events: found.events,
        rows: found.rows as u64,
        differences,
    })
}

fn replay(reader: &Reader, run_id: &str) -> Result<Found, Failure> {
    for _ in 0..TRIES_MAX {
        // A journal that cannot be trusted is the difference.
        let graph = match reader.run_rows(run_id) {
            Ok(rows) => stored::graph(run_id, rows.pins())?,
            Err(error) => return unread(error),
        };
        let (run, rows) = match fold(reader, run_id, &graph, usize::MAX) {
            (Ok(folded), rows) => (folded, rows),
            (Err(Unfolded::Unread(error)), _) => return unread(error),
            (Err(Unfolded::Corrupt(error)), _) => {
                return Ok(broken("journal", "its events", &error.to_string()));
            }
        };
        let Some(mut differences) = reader.compare(run_id, run.seq(), &stand(&run))? else { continue };
        differences.extend(snapshot(reader, run_id, &graph)?);
        return Ok(Found { events: run.seq(), rows, differences });
    }
    Err(Failure::not_found(format!("run {run_id} goes on too fast to be compared"))
        .help("wait until it has ended, or pause it, and try again"))
}

/// A journal that cannot be read or trusted.
fn unread(error: OpenRunError) -> Result<Found, Failure> {
    match error {
        OpenRunError::Read(_) | OpenRunError::Unknown(_) => Err(error.into()),
        error => Ok(broken("journal", "a row", &error.to_string())),
    }
}

/// Why events do not become a run.
enum Unfolded {
    Unread(OpenRunError),
    Corrupt(Corrupt),
}

/// Folds so many events as they are read, and in how many rows they are.
fn fold(
    reader: &Reader,
    run_id: &str,
    graph: &Arc<Graph>,
    events_max: usize,
) -> (Result<Run, Unfolded>, usize) {
    let rows = match reader.run_rows(run_id) {
        Ok(rows) => rows,
        Err(error) => return (Err(Unfolded::Unread(error)), 0),
    };
    let (mut unread, mut count) = (None, 0);
    let whole = rows.map_while(|row| row.map_err(|error| unread = Some(error)).ok());
    let events = whole.inspect(|_| count += 1).flat_map(|row| {
        let at = row.at;
        row.events.into_iter().map(move |event| (at, event))
    });
    let folded = Run::fold(graph.clone(), None, events.take(events_max));
    let folded = match unread {
        Some(error) => Err(Unfolded::Unread(error)),
        None => folded.map_err(Unfolded::Corrupt),
    };
    (folded, count)
}

/// The snapshot against the events that it holds. One of another host's format is nobody's loss.
fn snapshot(reader: &Reader, run_id: &str, graph: &Arc<Graph>) -> Result<Option<Difference>, Failure> {
    let opened = match reader.open_run(run_id, From::Snapshot) {
        Ok(opened) => opened,
        Err(OpenRunError::Read(error)) => return Err(error.into()),
        Err(error) => {
            return Ok(Some(Difference {
                place: "snapshot".to_owned(),
                stored: error.to_string(),
                by_journal: "a row that follows from it".to_owned(),
            }));
        }
    };
    let Some(stored) = opened.snapshot else { return Ok(None) };
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(&stored.bytes) else { return Ok(None) };
    if snapshot.version != Snapshot::VERSION {
        return Ok(None);
    }
    let seq = usize::try_from(stored.seq).unwrap_or(usize::MAX);
    let folded = match fold(reader, run_id, graph, seq).0 {
        Ok(folded) => Ok(folded),
        Err(Unfolded::Corrupt(error)) => Err(error),
        Err(Unfolded::Unread(error)) => return Err(error.into()),
    };
    let kept = Run::fold(graph.clone(), Some(snapshot), []);
    let text = |run: &Result<Run, Corrupt>| match run {
        Ok(run) => serde_json::to_string(&run.snapshot()).unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let same = matches!((&folded, &kept), (Ok(folded), Ok(kept)) if folded.is_same(kept));
    Ok((!same).then(|| Difference {
        place: format!("snapshot of the first {seq} events"),
        stored: text(&kept),
        by_journal: text(&folded),
    }))
}

fn broken(place: &str, stored: &str, problem: &str) -> Found {
    let difference = Difference {
        place: place.to_owned(),
        stored: format!("{stored} that cannot be followed"),
        by_journal: problem.to_owned(),
    };
    Found { events: 0, rows: 0, differences: vec![difference] }
}
