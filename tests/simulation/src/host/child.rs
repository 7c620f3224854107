//! Parents and child runs in the model: what the shell and the store do for them, and what must hold of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_driver::{Message, NewChild, RunId, Unwanted};
use bandstand_engine::event::Parent;
use bandstand_engine::failure::{Class, Failure};
use bandstand_engine::run::NewRun;
use bandstand_engine::{CommandId, Event, Id, Run, Start, Timestamp};
use serde_json::Value;

use super::{Asked, Case, Coming, Host, Parcel};
use crate::check::{Problem, problem};
use crate::children::{ChildEnd, Children};
use crate::engine_alone::new_run;
use crate::script::normal;
use crate::{oracle, verdict};

/// How often a run is retried at most.
const RETRIES_MAX: u32 = 2;

/// The child runs that an event says are not wanted any more, and how they are to be ended.
pub(super) fn unwanted(event: &Event) -> impl Iterator<Item = (RunId, Unwanted)> {
    let (cancelled, killed) = match event {
        Event::AttemptCancelled(e) => (e.child.as_slice(), [].as_slice()),
        Event::RunKilled(e) => ([].as_slice(), e.children.as_slice()),
        _ => ([].as_slice(), [].as_slice()),
    };
    let cancelled = cancelled.iter().map(|child| (RunId::from(child.as_str()), Unwanted::Cancel));
    let killed = killed.iter().map(|child| (RunId::from(child.as_str()), Unwanted::Kill));
    cancelled.chain(killed).collect::<Vec<_>>().into_iter()
}

/// How the child runs of one run ended, for the oracle.
struct Told<'h> {
    cases: &'h BTreeMap<RunId, Case>,
    parent: &'h Case,
}

impl Children for Told<'_> {
    fn told(&self, _: &Id, id: &CommandId, input: &Value) -> Result<ChildEnd, String> {
        let run_id = self.parent.checker.children.get(id).ok_or_else(|| format!("{id} was never made"))?;
        let heard = self.parent.checker.facts.heard(id).ok_or_else(|| format!("{id} never ended"))?;
        let child = self.cases.get(run_id.as_str()).ok_or_else(|| format!("{id} was never begun"))?;
        if normal(input) != normal(&child.world.input) {
            return Err(format!("{id} was given {}, by the language {input}", child.world.input));
        }
        if !child.is_there() {
            let fits = oracle::begins(&child.world);
            return if fits { Err(format!("{id} was refused, but fits")) } else { Ok(ChildEnd::refused()) };
        }
        let as_heard = |end: &&ChildEnd| {
            end.failure().map(|(class, code, ..)| (class, code.to_owned()))
                == heard.map(|(class, code)| (class, code.to_owned()))
        };
        child.ends.iter().find(as_heard).cloned().ok_or_else(|| {
            format!(
                "{id} ended as {heard:?} for its parent, and is {run_id}, which ended as {:?}",
                child.ends
            )
        })
    }
}

impl Host<'_> {
    pub(super) fn start_child(&mut self, run_id: RunId, new: NewChild) -> Result<(), Problem> {
        let id = new.child.id.clone();
        let Some(case) = self.cases.get(&run_id) else {
            return problem(format!("the core starts a child of {run_id}"));
        };
        if !case.checker.owed().contains(&id) || case.checker.is_paused() {
            return problem(format!("{run_id}: {id} starts, but is not owed by what is durable, or paused"));
        }
        let wanted = case.checker.children.get(&id);
        if wanted != Some(&new.child.run_id) {
            return problem(format!("{run_id}: {id} is run {wanted:?}, and starts as {}", new.child.run_id));
        }
        let parent = Parent { run: run_id.to_string(), p: id.path, attempt: id.attempt };
        if new.parent != parent {
            return problem(format!("{run_id}: its child is told that it is {:?}", new.parent));
        }
        let at = self.later(10);
        self.message(at, Parcel::LookFor { parent: run_id, new: Arc::new(new) });
        Ok(())
    }

    /// The shell looks into the store; what it found is told a moment later.
    pub(super) fn look_for(&mut self, parent: RunId, new: Arc<NewChild>) -> Result<(), Problem> {
        let run_id: RunId = new.child.run_id.as_str().into();
        let at = self.later(5);
        if self.cases.get(&run_id).is_some_and(Case::is_there) {
            self.message(at, Parcel::Found { run_id });
            return Ok(());
        }
        let of = self.cases.get(&parent).and_then(|case| case.world.children.get(&new.child.workflow));
        let Some(world) = of else { return problem(format!("{parent} has no such child workflow")) };
        let mut world = world.clone();
        world.input = (*new.child.input).clone();
        world.seed = new.child.seed;
        let case = Case::new(world, Some((parent.clone(), new.child.id.clone())));
        self.cases.entry(run_id).or_insert(case);
        let now = self.wall();
        self.message(at, Parcel::Begin { parent, new, at: now });
        Ok(())
    }

    pub(super) fn begin(&mut self, parent: RunId, new: &NewChild, at: Timestamp) -> Result<Message, Problem> {
        let case = self.cases.get(new.child.run_id.as_str());
        let world = &case.expect("it was made when it was looked for").world;
        let graph = world.graph.clone();
        let started =
            NewRun { run_id: new.child.run_id.clone(), parent: Some(new.parent.clone()), ..new_run(world) };
        Ok(match Start::new(&graph, started, at) {
            Ok(start) => {
                let (run, decision) = Run::start(graph, start, at);
                Message::RunStarted { run: Box::new(run), decision, at, request: None }
            }
            Err(error) => Message::ChildRefused {
                run_id: parent,
                id: new.child.id.clone(),
                failure: Failure::permanent(Class::Workflow, "child-refused", error.to_string()),
            },
        })
    }

    /// A child run is durable only as long as its parent owes it: else nobody would tell it that it is not wanted.
    pub(super) fn first_row_is_wanted(&self, run_id: &RunId) -> Result<(), Problem> {
        let Some(case) = self.cases.get(run_id).filter(|case| !case.is_there()) else { return Ok(()) };
        let Some((parent, id)) = &case.parent else { return Ok(()) };
        if self.cases[parent].checker.owed().contains(id) {
            return Ok(());
        }
        problem(format!("{run_id} begins, but {parent} does not want {id} any more by what is durable"))
    }

    /// In the transaction of the parent's row: child runs that have to be told that they are not wanted any more.
    pub(super) fn mark_unwanted(&mut self, unwanted: Vec<(RunId, Unwanted)>) {
        for (run_id, how) in unwanted {
            let Some(case) = self.cases.get_mut(&run_id) else { continue };
            // Also one that has ended: somebody may retry it before it is told.
            case.sent.cancel |= how == Unwanted::Cancel;
            case.sent.kill |= how == Unwanted::Kill;
            if case.is_there() && case.checker.ended().is_none() {
                (case.unwanted, case.owes) = (Some(how), true);
                self.may_die_now();
            }
        }
    }

    /// The core has released a parent's rows by which these child runs are not wanted any more.
    pub(super) fn hush(&mut self, unwanted: &[RunId]) {
        for run_id in unwanted {
            if let Some(case) = self.cases.get_mut(run_id).filter(|case| case.checker.ended().is_none()) {
                case.hushed = true;
            }
        }
    }

    /// In the transaction of a run's last row: its parent has to be told. Then it is held against the language.
    pub(super) fn run_ended(&mut self, run_id: &RunId) -> Result<(), Problem> {
        let case = self.cases.get_mut(run_id).expect("a known run is written");
        (case.unwanted, case.hushed) = (None, false);
        case.ends.extend(case.checker.run().and_then(ChildEnd::of));
        if let Some((parent, _)) = case.parent.clone()
            && let Some(parent) = self.cases.get_mut(&parent).filter(|case| case.checker.ended().is_none())
        {
            parent.owes = true;
            self.may_die_now();
        }
        let case = &self.cases[run_id];
        let Some(run) = case.checker.run() else { return problem(format!("{run_id} has no run")) };
        let told = Told { cases: &self.cases, parent: case };
        verdict::judge(&case.world, &case.checker, run, case.sent, &told)
            .map_err(|Problem(what)| Problem(format!("{run_id}: {what}")))?;
        if case.checker.ended() == Some("failed") && case.retries < RETRIES_MAX && self.tape.chance(15) {
            let at = self.later(5_000);
            self.coming.push((at, Coming::Ask(Asked::Retry { run_id: run_id.clone() })));
        }
        Ok(())
    }

    /// One run's rows say what another has to be told: a good moment to die.
    fn may_die_now(&mut self) {
        if self.faults.dies_between() {
            let at = self.later(8);
            self.coming.push((at, Coming::Restart));
        }
    }

    /// People learn of a child run when it is there.
    pub(super) fn child_begun(&mut self, run_id: &RunId) {
        let Some(case) = self.cases.get(run_id).filter(|case| case.parent.is_some()) else { return };
        let world = case.world.clone();
        // They care for some only.
        if self.tape.chance(50) {
            self.wishes(run_id, self.time, &world);
        }
    }

    /// At a process's end: no child run goes on that its parent does not want, unless somebody will tell it.
    pub(super) fn nobody_is_forgotten(&self) -> Result<(), Problem> {
        for (run_id, case) in &self.cases {
            let Some((parent, id)) = &case.parent else { continue };
            let goes_on = case.is_there() && case.checker.ended().is_none() && case.retries == 0;
            if goes_on && case.unwanted.is_none() && !self.cases[parent].checker.owed().contains(id) {
                return problem(format!("{run_id} goes on, {parent} does not want it, and nobody tells it"));
            }
        }
        Ok(())
    }
}
