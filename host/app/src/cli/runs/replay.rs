//! `bandstand runs replay`: folds a run's journal again from the start and compares with what is stored. The check that
//! an upgrade did not change history: nothing is run, decided or written.

use bandstand_engine::{Run, Snapshot};
use bandstand_store::{Difference, From, OpenRunError, Reader};
use clap::Args;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stored::{self, Whole};
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};
use crate::driver::stand;

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
    let reader = stored::open(context)?;
    let run = stored::run(&reader, &args.run)?;
    let found = replay(&reader, &run.run_id)?;
    let out = &context.out;
    let same = found.differences.is_empty();
    if out.json {
        let differences: Vec<_> = found
            .differences
            .iter()
            .map(|found| json!({ "place": found.place, "stored": found.stored, "by_journal": found.by_journal }))
            .collect();
        out.json_line(&json!({
            "run_id": run.run_id, "same": same, "events": found.events, "rows": found.rows,
            "differences": differences,
        }));
    } else if same {
        let events = words::count(usize::try_from(found.events).unwrap_or(usize::MAX), "event");
        out.data(&format!(
            "run {}: {events} in {} fold to what is stored",
            run.run_id,
            words::count(found.rows, "row")
        ));
    } else {
        out.data(&out.paint(Tone::Bad, &format!("run {} differs from its journal", run.run_id)));
        for found in &found.differences {
            out.data(&safe::line(&format!("  {}", found.place)));
            out.data(&format!("    stored:     {}", safe::short(&found.stored, VALUE_LENGTH_MAX)));
            out.data(&format!("    by journal: {}", safe::short(&found.by_journal, VALUE_LENGTH_MAX)));
        }
    }
    Ok(if same { Exit::Succeeded } else { Exit::Failed })
}

fn replay(reader: &Reader, run_id: &str) -> Result<Found, Failure> {
    for _ in 0..TRIES_MAX {
        // A journal that cannot be trusted is the difference.
        let whole = match reader.open_run(run_id, From::Start) {
            Err(OpenRunError::Read(error)) => return Err(error.into()),
            Err(error) => return Ok(broken("journal", "a row", &error.to_string())),
            Ok(_) => stored::whole(reader, run_id)?,
        };
        let events =
            || whole.rows.iter().flat_map(|row| row.events.iter().map(|event| (row.at, event.clone())));
        let run = match Run::fold(whole.graph.clone(), None, events()) {
            Ok(run) => run,
            Err(error) => return Ok(broken("journal", "its events", &error.to_string())),
        };
        let Some(mut differences) = reader.compare(run_id, run.seq(), &stand(&run))? else { continue };
        differences.extend(snapshot(reader, run_id, &whole, &events)?);
        return Ok(Found { events: run.seq(), rows: whole.rows.len(), differences });
    }
    Err(Failure::not_found(format!("run {run_id} goes on too fast to be compared"))
        .help("wait until it has ended, or pause it, and try again"))
}

/// The snapshot against the events that it holds. One of another host's format is nobody's loss.
fn snapshot<I>(
    reader: &Reader,
    run_id: &str,
    whole: &Whole,
    events: &impl Fn() -> I,
) -> Result<Option<Difference>, Failure>
where
    I: Iterator<Item = (bandstand_engine::Timestamp, bandstand_engine::Event)>,
{
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
    let folded = Run::fold(whole.graph.clone(), None, events().take(seq));
    let kept = Run::fold(whole.graph.clone(), Some(snapshot), []);
    let text = |run: &Result<Run, bandstand_engine::Corrupt>| match run {
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
