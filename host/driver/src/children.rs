//! Parents and child runs in the core: who is started, who hears of whose end, and how a parent stands.
//!
//! A child run is a run like any other; here is only what ties it to the run whose attempt it is. Its parent need not be
//! in memory: it is loaded for the child's end, and when a child goes to work again.

use bandstand_engine::event::Parent;
use bandstand_engine::input::{ActorKind, By, ChildOutcome};
use bandstand_engine::{CommandId, Input, Run, Status, Timestamp};

use crate::RunId;
use crate::action::{Action, NewChild, Standing};
use crate::core::Core;
use crate::message::Unwanted;
use crate::mistake::{self, Mistake};
use crate::slot::Slot;

/// What a child run is told that its parent does not want any more.
pub(crate) fn end(how: Unwanted, parent: Option<String>) -> Input {
    let parent = parent.unwrap_or_default();
    let by = By { kind: ActorKind::Host, id: parent.clone() };
    match how {
        Unwanted::Cancel => Input::Cancel {
            by,
            reason: format!("run {parent}, of which it is a part, does not need it any more"),
        },
        Unwanted::Kill => {
            Input::Kill { by, reason: format!("run {parent}, of which it is a part, was killed") }
        }
    }
}

/// What the end of a run means for its parent.
pub(crate) fn end_of(run: &Run) -> Option<(RunId, CommandId, ChildOutcome)> {
    let parent = run.started().parent.as_ref()?;
    let outcome = match run.status() {
        Status::Succeeded => ChildOutcome::Succeeded(run.output()?.clone()),
        Status::Failed => ChildOutcome::Failed(run.error()?.failure.clone()),
        Status::Cancelled => ChildOutcome::Cancelled,
        Status::Killed => ChildOutcome::Killed,
        Status::Running | Status::Waiting | Status::Paused => return None,
    };
    Some((parent.run.as_str().into(), parent.command(), outcome))
}

impl Core {
    /// Whether a run that is about to begin is still wanted. A child's parent may have changed its mind meanwhile.
    pub(crate) fn wants(&self, run: &Run) -> bool {
        let Some(parent) = &run.started().parent else { return true };
        let id = parent.command();
        if mistake::is(Mistake::StartUnwanted) {
            return !self.runs.contains_key(run.id());
        }
        // By what it has decided, durable or not: in the store its rows come before the child's, and cannot mark a run as
        // not wanted that is not there yet.
        let slot = self.runs.get(parent.run.as_str()).filter(|slot| slot.run.command(&id).is_some());
        // One that has shown how it stands has begun.
        let child = slot.and_then(|slot| slot.children.get(&id));
        child.is_some_and(|child| child.standing.is_none()) && !self.runs.contains_key(run.id())
    }

    /// Has child runs started that are owed and durable. Whether some of them were here already.
    pub(crate) fn start_children(
        &mut self,
        run_id: &RunId,
        starting: Vec<CommandId>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let mut noted = false;
        for id in starting {
            let Some(parent) = self.runs.get(run_id) else { return noted };
            let Some(child) = parent.run.child(&id) else { continue };
            let child_id: RunId = child.run_id.as_str().into();
            self.child_of.insert(child_id.clone(), (run_id.clone(), id.clone()));
            let here = self.runs.get(&child_id).and_then(Slot::standing).cloned();
            if here.is_some() {
                self.note(run_id, &id, here);
                self.note_end(&child_id);
                noted = true;
                continue;
            }
            let Some(parent) = self.runs.get(run_id) else { return noted };
            let Some((definition, pins)) = parent.run.child_workflow(&child.workflow) else { continue };
            let started = parent.run.started();
            actions.push(Action::StartChild {
                run_id: run_id.clone(),
                new: Box::new(NewChild {
                    parent: Parent::of(&parent.run, &child),
                    parent_graph: started.workflow.graph.clone(),
                    definition: definition.clone(),
                    pins,
                    thread_id: started.thread_id.clone(),
                    user_id: started.user_id.clone(),
                    starters: started.starters.clone(),
                    child,
                }),
            });
        }
        noted
    }

    /// Tells parents how their child runs stand, as the actions from `first` on show it, and theirs in turn.
    pub(crate) fn tell_parents(&mut self, first: usize, now: Timestamp, actions: &mut Vec<Action>) {
        let mut next = first;
        while next < actions.len() {
            if let Action::Stands { run_id, standing } = &actions[next] {
                let (child, standing) = (run_id.clone(), standing.clone());
                self.tell_parent(&child, standing, now, actions);
            }
            next += 1;
        }
    }

    fn tell_parent(&mut self, child: &RunId, standing: Standing, now: Timestamp, actions: &mut Vec<Action>) {
        if let Some((parent, id)) = self.child_of.get(child).cloned() {
            self.note(&parent, &id, Some(standing));
            return self.settle(&parent, now, actions);
        }
        // Its parent rested, and must not any longer: somebody may look at how it stands.
        let parent = self.runs.get(child).and_then(|slot| slot.run.started().parent.clone());
        if let (Some(parent), Standing::Running) = (parent, standing) {
            let parent: RunId = parent.run.into();
            self.comes_back(&parent, now, actions);
            self.drive(parent, actions);
        }
    }

    /// A run that rests out of memory is about to be at work: whoever is above it must not be shown as resting meanwhile.
    pub(crate) fn comes_back(&mut self, run_id: &RunId, now: Timestamp, actions: &mut Vec<Action>) {
        if self.runs.contains_key(run_id) {
            return;
        }
        if let Some((parent, id)) = self.child_of.get(run_id).cloned() {
            self.note(&parent, &id, Some(Standing::Running));
            self.settle(&parent, now, actions);
        }
    }

    fn note(&mut self, parent: &RunId, id: &CommandId, standing: Option<Standing>) {
        if let Some(child) = self.runs.get_mut(parent).and_then(|slot| slot.children.get_mut(id)) {
            child.standing = standing;
        }
    }

    /// A run has decided its end, if it has: its parent, if it is in memory, must not be written as if it went on.
    pub(crate) fn note_end(&mut self, run_id: &RunId) {
        let ended = self.run(run_id).is_some_and(|run| run.status().is_ended());
        let Some((parent, id)) = self.child_of.get(run_id).filter(|_| ended) else { return };
        if let Some(child) = self.runs.get_mut(parent).and_then(|slot| slot.children.get_mut(id)) {
            child.ended = true;
        }
    }

    /// A run leaves memory.
    pub(crate) fn forget_children(&mut self, slot: &Slot) {
        for child in slot.children.values() {
            self.child_of.remove(&child.run_id);
        }
    }
}
