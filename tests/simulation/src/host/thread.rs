//! Runs that share a thread: who has it, by what is durable, and handing it on. As the host's shell does it: whoever begins a
//! run or hands the thread on has its turn until that is durable.

use bandstand_driver::RunId;
use bandstand_engine::event::Event;
use bandstand_engine::run::ThreadNow;

use super::{Asked, Coming, Host, Parcel};
use crate::check::{Problem, problem};

/// The thread's id.
pub(super) const THREAD_ID: &str = "t";

/// One thread for all runs.
#[derive(Debug, Default)]
pub(super) struct Thread {
    /// The runs whose first row is durable, in that order.
    arrived: Vec<RunId>,
    /// The run that begins, or is given the thread, at present.
    turn: Option<RunId>,
}

impl Host<'_> {
    /// How the thread is for a run that begins now. `None`: it is somebody else's turn.
    pub(super) fn place(&mut self, run_id: &RunId) -> Option<ThreadNow> {
        let open = self.thread.as_ref().is_some_and(|thread| {
            thread.arrived.iter().any(|other| self.cases[other].checker.ended().is_none())
        });
        let thread = self.thread.as_mut()?;
        if thread.turn.is_some() {
            return None;
        }
        thread.turn = Some(run_id.clone());
        Some(if open { ThreadNow::Taken } else { ThreadNow::Free(Default::default()) })
    }

    /// The turn of that run is over, however it went.
    pub(super) fn turn_is_over(&mut self, asked: &Asked) {
        let (Asked::Start { run_id } | Asked::Enter { run_id }) = asked else { return };
        let Some(thread) = &mut self.thread else { return };
        if thread.turn.take_if(|turn| turn == run_id).is_some() {
            // Who had the thread may have ended meanwhile.
            self.hand_on_soon();
        }
    }

    /// The process has died, and with it whose turn it was.
    pub(super) fn turn_is_lost(&mut self) {
        if let Some(thread) = &mut self.thread {
            thread.turn = None;
            self.hand_on_soon();
        }
    }

    pub(super) fn hand_on_soon(&mut self) {
        let at = self.later(20) + 1;
        self.coming.push((at, Coming::Message(Box::new(Parcel::HandOn))));
    }

    /// Gives the thread to the run that waits longest, if nobody has it.
    pub(super) fn hand_on(&mut self) -> Result<(), Problem> {
        let Some(thread) = &self.thread else { return problem("there is no thread to hand on") };
        if thread.turn.is_some() {
            self.hand_on_soon();
            return Ok(());
        }
        match self.next_in_thread() {
            Some(run_id) => self.ask(Asked::Enter { run_id }),
            None => Ok(()),
        }
    }

    /// Takes the turn to give it the thread, if that is still right.
    pub(super) fn may_enter(&mut self, run_id: &RunId) -> bool {
        let next = self.next_in_thread();
        let Some(thread) = &mut self.thread else { return false };
        if thread.turn.is_some() || next.as_ref() != Some(run_id) {
            return false;
        }
        thread.turn = next;
        true
    }

    /// The run that waits longest. `None`: nobody waits, or one has the thread.
    fn next_in_thread(&self) -> Option<RunId> {
        let open = self.thread.as_ref()?.arrived.iter().filter(|run_id| {
            let checker = &self.cases[*run_id].checker;
            checker.ended().is_none()
        });
        let (waiting, at_work): (Vec<_>, Vec<_>) =
            open.partition(|run_id| self.cases[*run_id].checker.is_queued());
        waiting.first().filter(|_| at_work.is_empty()).map(|run_id| (*run_id).clone())
    }

    /// What became durable of a run keeps the thread's promises: one at a time, in order of arrival.
    pub(super) fn check_thread(&mut self, run_id: &RunId, events: &[Event]) -> Result<(), Problem> {
        let Some(thread) = &mut self.thread else { return Ok(()) };
        // Child runs take no part in the thread.
        if matches!(events.first(), Some(Event::RunStarted(e)) if e.parent.is_none()) {
            thread.arrived.push(run_id.clone());
        }
        let entered = events.iter().any(|event| matches!(event, Event::ThreadEntered(_)));
        let mut at_work = Vec::new();
        for other in &thread.arrived {
            let checker = &self.cases[other].checker;
            if checker.ended().is_some() {
                continue;
            }
            if checker.is_queued() {
                if entered && !at_work.contains(run_id) {
                    return problem(format!("{run_id} has the thread before {other}, which came first"));
                }
            } else {
                at_work.push(other.clone());
            }
        }
        match at_work.len() {
            0 | 1 => Ok(()),
            _ => problem(format!("two runs have the thread: {at_work:?}")),
        }
    }
}
