//! A seed, run: its tapes, the subjects, and what was found.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use serde::{Deserialize, Serialize};

use crate::check::{Checker, Problem};
use crate::generate::{World, world};
use crate::tape::{Tape, hash};
use crate::{engine_alone, host, render};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// One run.
    Engine,
    /// Runs behind the driver's core.
    Host,
}

/// All choices of a simulated world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tapes {
    /// What there is: workflow, script, people.
    pub plan: Vec<u64>,
    /// When things happen.
    pub schedule: Vec<u64>,
    /// What goes wrong.
    pub faults: Vec<u64>,
}

/// A problem, and the choices that show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// In what.
    pub subject: Subject,
    /// What must hold and does not.
    pub problem: String,
    /// The choices.
    pub tapes: Tapes,
}

/// Runs a seed on both subjects; gives the books of all runs.
pub fn run_seed(seed: u64) -> Result<Vec<Checker>, Box<Found>> {
    let mut books = Vec::new();
    for subject in [Subject::Engine, Subject::Host] {
        let part = |name: &str| Tape::record(hash(&format!("{seed} {subject:?} {name}")));
        let (told, tapes) = run(subject, [part("plan"), part("schedule"), part("faults")], false);
        match told {
            Ok(more) => books.extend(more),
            Err(Problem(problem)) => return Err(Box::new(Found { subject, problem, tapes })),
        }
    }
    Ok(books)
}

/// Runs recorded choices again. `shows`: a problem is told with all that was said and done before it.
pub fn replay(subject: Subject, tapes: &Tapes, shows: bool) -> Result<Vec<Checker>, Problem> {
    let part = |choices: &Vec<u64>| Tape::replay(choices.clone());
    run(subject, [part(&tapes.plan), part(&tapes.schedule), part(&tapes.faults)], shows).0
}

/// The worlds that a plan makes.
pub fn worlds(subject: Subject, plan: &mut Tape) -> Vec<World> {
    let runs_children = subject == Subject::Host;
    let mut worlds = vec![world(plan, runs_children)];
    if subject == Subject::Host && plan.chance(30) {
        worlds.push(world(plan, runs_children));
    }
    worlds
}

/// The worlds of recorded choices, for a person.
pub fn show(subject: Subject, tapes: &Tapes) -> String {
    let worlds = worlds(subject, &mut Tape::replay(tapes.plan.clone()));
    worlds.iter().map(render::world).collect::<Vec<_>>().join("\n")
}

fn run(subject: Subject, tapes: [Tape; 3], shows: bool) -> (Result<Vec<Checker>, Problem>, Tapes) {
    let [mut plan, mut schedule, mut faults] = tapes;
    let told = caught(|| {
        let mut worlds = worlds(subject, &mut plan);
        match subject {
            Subject::Engine => {
                engine_alone::run(&worlds.remove(0), &mut schedule, shows).map(|checker| vec![checker])
            }
            Subject::Host => host::run(worlds, &mut schedule, &mut faults, shows),
        }
    });
    let tapes =
        Tapes { plan: plan.into_choices(), schedule: schedule.into_choices(), faults: faults.into_choices() };
    (told, tapes)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A panic is a problem too; it is told once, by whoever reports the problem.
fn caught<T>(work: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let told = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    told.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Err(Problem(format!("panic: {said}")))
    })
}
