//! What time decided in a run, as the journal tells it: the oracle takes nothing else from there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::event::{AttemptCause, BranchKey, BranchOutcome, CancelCause, ReviewCause, WaitCause};
use bandstand_engine::failure::Class;
use bandstand_engine::{CommandId, Event, Path, Timestamp};
use serde_json::Value;

/// The decisions of time.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The order in which branches of a block's visit ended by themselves.
    order: BTreeMap<Path, Vec<BranchKey>>,
    /// Blocks that ended by their timeout.
    pub timed_out: BTreeSet<Path>,
    /// Reviews that ended by their timeout, and how many answers they had by then.
    pub expired: BTreeMap<Path, usize>,
    /// Reviews of agents' attempts that people decided.
    decided: BTreeSet<(Path, u32)>,
    attempt: BTreeMap<Path, u32>,
    /// Waits for a signal that ended: by which signal, or by their timeout.
    pub waits: BTreeMap<Path, Option<String>>,
    /// Agents whose deadline passed: in which attempt, and how many were made.
    pub late: BTreeMap<Path, (u32, u32)>,
    /// Nodes that run children whose timeout passed: in which attempt, and how many were made. Of others it says nothing.
    pub overrun: BTreeMap<Path, (u32, u32)>,
    /// How child runs ended as their parent heard it: class and code, or nothing if they succeeded.
    heard: BTreeMap<(Path, u32), Option<(Class, String)>>,
    /// Attempts that wait for their time.
    delayed: BTreeSet<Path>,
    /// Visits that were ended from outside.
    pub cancelled: BTreeSet<Path>,
    /// Blocks that were ended when their time was up, whatever came of it.
    pub overdue: BTreeSet<Path>,
    deadlines: BTreeMap<Path, Timestamp>,
    answers: BTreeMap<Path, usize>,
    /// Visits that ended by a kept reply: instead of which attempt.
    pub cached: BTreeMap<Path, u32>,
    /// Attempts that somebody's retry of the run began, with a budget of their own.
    fresh: BTreeSet<(Path, u32)>,
    /// The oracle's own notes: what blocks gave.
    pub gathered: RefCell<BTreeMap<Path, Value>>,
}

impl Facts {
    /// Takes up what an event tells.
    pub fn learn(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::NodeStarted(e) => {
                if let Some(deadline) = e.deadline {
                    self.deadlines.insert(e.p.clone(), deadline);
                }
            }
            Event::BranchesJoined(e)
                if !e.satisfied && self.deadlines.get(&e.p).is_some_and(|due| *due <= at) =>
            {
                self.overdue.insert(e.p.clone());
            }
            Event::BranchEnded(e) if e.outcome != BranchOutcome::Cancelled => {
                self.order.entry(e.p.clone()).or_default().push(e.branch.clone());
            }
            Event::NodeFailed(e)
                if e.error.failure.class == Class::Timeout && e.error.failure.code == "block-timeout" =>
            {
                self.timed_out.insert(e.p.clone());
            }
            Event::AttemptScheduled(e) => {
                self.attempt.insert(e.p.clone(), e.attempt);
                if e.because == AttemptCause::Person {
                    self.fresh.insert((e.p.clone(), e.attempt));
                }
                match e.due {
                    Some(_) => self.delayed.insert(e.p.clone()),
                    None => self.delayed.remove(&e.p),
                };
            }
            Event::ReviewOpened(e) => {
                // Asked anew, it has its own answers.
                self.answers.remove(&e.p);
                self.expired.remove(&e.p);
            }
            Event::ReviewAnswered(e) => *self.answers.entry(e.p.clone()).or_default() += 1,
            Event::ReviewDecided(e) if e.because == ReviewCause::Timeout => {
                self.expired.insert(e.p.clone(), self.answers.get(&e.p).copied().unwrap_or(0));
            }
            Event::ReviewDecided(e) => {
                if let Some(attempt) = self.attempt.get(&e.p) {
                    self.decided.insert((e.p.clone(), *attempt));
                }
            }
            Event::WaitEnded(e) => match &e.because {
                WaitCause::Time => {}
                WaitCause::Signal(id) => drop(self.waits.insert(e.p.clone(), Some(id.clone()))),
                WaitCause::Timeout => drop(self.waits.insert(e.p.clone(), None)),
            },
            Event::AttemptDue(e) => drop(self.delayed.remove(&e.p)),
            Event::AttemptCancelled(e) if e.because == CancelCause::Deadline => {
                let made = e.attempt - u32::from(self.delayed.contains(&e.p));
                self.late.insert(e.p.clone(), (e.attempt, made));
            }
            Event::NodeSucceeded(e) if e.cached_from.is_some() => {
                self.cached.insert(e.p.clone(), self.attempt.get(&e.p).copied().unwrap_or(0));
            }
            Event::AttemptCancelled(e) if e.because == CancelCause::Timeout => {
                let made = e.attempt - u32::from(self.delayed.contains(&e.p));
                self.overrun.insert(e.p.clone(), (e.attempt, made));
            }
            Event::AttemptSucceeded(e) => drop(self.heard.insert((e.p.clone(), e.attempt), None)),
            Event::AttemptFailed(e) => {
                let failure = &e.error.failure;
                self.heard.insert((e.p.clone(), e.attempt), Some((failure.class, failure.code.clone())));
            }
            Event::NodeCancelled(e) => {
                self.cancelled.insert(e.p.clone());
            }
            _ => {}
        }
    }

    /// Moves the deadline of a block for which time stood still.
    pub fn move_deadline(&mut self, path: &Path, to: Timestamp) {
        self.deadlines.insert(path.clone(), to);
    }

    /// How an attempt ended: class and code of its failure, or nothing if it succeeded. `None`: it has not ended by itself.
    pub fn heard(&self, id: &CommandId) -> Option<Option<(Class, &str)>> {
        let heard = self.heard.get(&(id.path.clone(), id.attempt))?;
        Some(heard.as_ref().map(|(class, code)| (*class, code.as_str())))
    }

    /// Whether somebody's retry of the run began that attempt.
    pub fn is_fresh(&self, path: &Path, attempt: u32) -> bool {
        self.fresh.contains(&(path.clone(), attempt))
    }

    /// Whether people decided the review that an attempt asked for.
    pub fn is_decided(&self, path: &Path, attempt: u32) -> bool {
        self.decided.contains(&(path.clone(), attempt))
    }

    /// The branches of a block's visit in the order in which they ended.
    pub fn order(&self, path: &Path) -> &[BranchKey] {
        self.order.get(path).map_or(&[], Vec::as_slice)
    }
}
