//! Runs many seeds on all cores and tells what was found.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bandstand_engine::Event;
use bandstand_engine::event::WaitCause;

use crate::seed::{Found, run_seed, show};
use crate::shrink::shrink;

/// In how many runs each kind of event was seen, by name.
pub type Seen = BTreeMap<String, u64>;

/// Runs the seeds from `from` on; the first one that shows a problem, and the problem.
pub fn run_seeds(from: u64, count: u64, seen: Option<&Mutex<Seen>>) -> Option<(u64, Box<Found>)> {
    let next = AtomicU64::new(from);
    let end = from.saturating_add(count);
    let first: Mutex<Option<(u64, Box<Found>)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Seen::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    match run_seed(seed) {
                        Ok(books) => {
                            for checker in books.iter().filter(|_| seen.is_some()) {
                                let names: std::collections::BTreeSet<String> =
                                    checker.journal.iter().map(|(_, event)| name(event)).collect();
                                for name in names {
                                    *own.entry(name).or_default() += 1;
                                }
                            }
                        }
                        Err(found) => {
                            next.store(end, Ordering::Relaxed);
                            let mut first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                            if first.as_ref().is_none_or(|(earlier, _)| seed < *earlier) {
                                *first = Some((seed, found));
                            }
                        }
                    }
                }
                if let Some(seen) = seen {
                    let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    for (name, count) in own {
                        *seen.entry(name).or_default() += count;
                    }
                }
            });
        }
    });
    first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The event's name, with what makes kinds of it.
fn name(event: &Event) -> String {
    let name = event.name();
    match event {
        Event::NodeSucceeded(e) if e.cached_from.is_some() => "node.succeeded cached".to_owned(),
        Event::NodeStarted(e) => format!("{name} {}", e.kind),
        Event::NodeFailed(e) => format!("{name} {} {}", e.error.failure.class.name(), e.error.failure.code),
        Event::RunFailed(e) => format!("{name} {}", e.error.failure.code),
        Event::EdgeTaken(e) => format!("{name} {:?}", e.because),
        Event::WaitEnded(e) => match e.because {
            WaitCause::Time => format!("{name} Time"),
            WaitCause::Signal(_) => format!("{name} Signal"),
            WaitCause::Timeout => format!("{name} Timeout"),
        },
        Event::BranchEnded(e) => format!("{name} {:?}", e.outcome),
        Event::ReviewDecided(e) => format!("{name} {:?} {:?}", e.outcome, e.because),
        _ => name.to_owned(),
    }
}

/// All that a person needs to look into it: shrunk, shown, and the command that repeats it.
pub fn tell(seed: u64, found: &Found) -> String {
    let small = shrink(found);
    let tapes = serde_json::to_string(&small).unwrap_or_default();
    let story = match crate::seed::replay(small.subject, &small.tapes, true) {
        Err(problem) => problem.0,
        Ok(_) => "it does not show again: something is not deterministic".to_owned(),
    };
    format!(
        "{}\n# what happened, after shrinking\n{story}\n\n# choices (keep them in tests/simulation/found/)\n{tapes}\n\n\
         seed {seed} shows in {:?}: {}\nafter shrinking: {}\nrepeat it with: cargo run -p bandstand-simulation -- --seeds 1 --from {seed}\n",
        show(small.subject, &small.tapes),
        found.subject,
        found.problem,
        small.problem,
    )
}
