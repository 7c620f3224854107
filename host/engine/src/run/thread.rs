//! A run and its thread: what it begins with, waiting until the thread is its own, and what it leaves there.
//!
//! A thread is a workflow's name and a thread id. At most one run writes it: the one that holds its lease, from its start
//! to its end. Who that is, the caller knows ([`ThreadNow`], [`Input::Enter`](crate::Input::Enter)); what the thread keeps
//! are the values of the latest `thread.written`. A run that is queued stands still: it owes nothing and has no deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::point::{self, Purpose};
use super::state::Gate;
use super::{Run, Status, write};
use crate::event::{AttemptCause, Event, Lease, Payload, RunStarted, ThreadEntered, ThreadWritten, WriteOp};
use crate::failure::{Class, Failure};
use crate::graph::{Channel, Graph, Keep};
use crate::id::Id;
use crate::path::Path;
use crate::time::Timestamp;

/// How a thread is at the moment in which a run would begin, or go on after a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum ThreadNow {
    /// No run writes it. What it keeps, by channel; of a run that goes on, nothing is taken of it.
    Free(BTreeMap<Id, Arc<Value>>),
    /// Other runs are before: the run waits for [`Input::Enter`](crate::Input::Enter).
    Taken,
}

/// What a start makes of its thread.
pub(super) struct Begin {
    pub(super) lease: Option<Lease>,
    pub(super) thread_id: String,
    /// Of channels that the thread keeps.
    pub(super) values: BTreeMap<Id, Arc<Value>>,
}

/// How a run of this graph begins in its thread.
pub(super) fn begin(graph: &Graph, thread: &Option<ThreadNow>, thread_id: Option<&str>) -> Begin {
    let mut begin =
        Begin { lease: None, thread_id: thread_id.unwrap_or_default().to_owned(), values: BTreeMap::new() };
    match thread {
        None => {}
        Some(ThreadNow::Taken) => begin.lease = Some(Lease::Queued),
        Some(ThreadNow::Free(values)) => {
            begin.lease = Some(Lease::Held);
            begin.values = of_the_thread(graph, values);
        }
    }
    begin
}

/// What the thread keeps for channels that this graph keeps there.
fn of_the_thread(graph: &Graph, values: &BTreeMap<Id, Arc<Value>>) -> BTreeMap<Id, Arc<Value>> {
    let kept = |id: &Id| graph.state.get(id).is_some_and(|channel| channel.keep == Keep::Thread);
    values.iter().filter(|(id, _)| kept(id)).map(|(id, value)| (id.clone(), value.clone())).collect()
}

/// Whether a channel can go on with what its thread keeps: the file may have changed since.
pub(super) fn fits(channel: &Channel, value: &Arc<Value>, thread_id: &str) -> Result<(), String> {
    let refused = |problem: String| {
        format!(
            "thread `{thread_id}` keeps a value for it that {problem}; forget it (bandstand thread forget), let the file take it again, or name another thread"
        )
    };
    let neutral = write::neutral(channel.reduce, value);
    write::reduce(WriteOp::Reduce(channel.reduce), value.clone(), &neutral)
        .map_err(|problem| refused(format!("its reducer cannot go on with: {problem}")))?;
    match &channel.schema {
        Some(schema) => {
            schema.check(value).map_err(|problem| refused(format!("breaks its schema: {problem}")))
        }
        None => Ok(()),
    }
}

/// How a run that begins stands to its thread, as its first event says it.
pub(super) struct Begun {
    pub(super) gate: Option<Gate>,
    pub(super) unwritten: BTreeSet<Id>,
}

impl Begun {
    pub(super) fn of(graph: &Graph, started: &RunStarted, now: Timestamp) -> Begun {
        let gate = (started.lease == Some(Lease::Queued)).then_some(Gate { since: now, begun: false });
        let own = graph.thread_channels().filter(|id| !started.kept.contains(id));
        let unwritten = if started.lease.is_some() { own.cloned().collect() } else { BTreeSet::new() };
        Begun { gate, unwritten }
    }
}

impl Run {
    /// Since when the run has waited for its thread. `None`: it does not.
    pub fn waits_for_thread(&self) -> Option<Timestamp> {
        self.state.gate.filter(|_| self.state.end.is_none()).map(|gate| gate.since)
    }

    /// The thread that no other run writes from this one's start to its end, or that it waits for: the workflow's name and
    /// the thread's id. `None`: it may go on beside other runs.
    pub fn leased_thread(&self) -> Option<(&str, &str)> {
        let started = &self.state.started;
        started.lease?;
        Some((started.workflow.name.as_str(), started.thread_id.as_deref()?))
    }

    /// The thread is the run's: it begins, or goes on from its point. A value that no longer fits fails it.
    pub(super) fn enter_thread(&mut self, values: &BTreeMap<Id, Arc<Value>>) {
        let Some(gate) = self.state.gate else { return };
        let graph = self.graph.clone();
        let values = if gate.begun { BTreeMap::new() } else { of_the_thread(&graph, values) };
        let thread_id = self.state.started.thread_id.clone().unwrap_or_default();
        for (id, value) in &values {
            let problem = graph.state.get(id).map(|channel| fits(channel, value, &thread_id));
            if let Some(Err(problem)) = problem {
                let message = format!("channel `{id}` cannot start: {problem}");
                let failure = Failure::permanent(Class::State, "bad-value", message);
                let error = self.record(&Path::root(), failure, (1, 1), None);
                return self.fail_run(error);
            }
        }
        let mut works = Vec::new();
        let snapshot = gate.begun.then(|| {
            let mut point = self.point();
            point.wake_at(self.clock);
            point.signals.clear(); // the run has them
            let purpose = if self.state.retries > 0 { Purpose::Retry } else { Purpose::Fork };
            point::lay_down(&graph, &Path::root(), &mut point.root, purpose, self.clock, &mut works);
            point.to_payload()
        });
        self.emit(Event::ThreadEntered(ThreadEntered {
            values: values.into_iter().map(|(id, value)| (id, Payload::Value(value))).collect(),
            snapshot,
            deadline: graph.timeout_ms.map(|timeout_ms| self.clock.plus_ms(timeout_ms)),
        }));
        let because = if self.state.retries > 0 { AttemptCause::Person } else { AttemptCause::Adopted };
        self.begin_anew(self.state.stage, works, because);
    }

    /// Leaves its values to the thread, if nothing in it moves now.
    pub(super) fn write_thread_if_waiting(&mut self) {
        if self.status() == Status::Waiting {
            self.write_thread();
        }
    }

    /// Leaves to its thread what that does not keep yet.
    pub(super) fn write_thread(&mut self) {
        if self.state.gate.is_some() || self.state.unwritten.is_empty() {
            return;
        }
        let root = Path::root();
        let written = self.state.unwritten.iter();
        let values =
            written.filter_map(|id| Some((id.clone(), Payload::Value(self.channel(&root, id)?)))).collect();
        self.emit(Event::ThreadWritten(ThreadWritten { values }));
    }

    pub(super) fn thread_entered(&mut self, e: &ThreadEntered) -> Result<(), String> {
        self.state.gate.take().ok_or("it does not wait for its thread")?;
        self.state.started.deadline = e.deadline;
        match &e.snapshot {
            Some(snapshot) => return self.entered(snapshot),
            None => {
                let mut root = self.state.root.clone();
                let changed = Arc::make_mut(&mut root.changed);
                for (id, value) in &e.values {
                    let value = value.value().ok_or("a value that is not at hand")?.clone();
                    changed.insert(id.clone(), value.into());
                    self.state.unwritten.remove(id);
                }
                self.stand_at(root);
            }
        }
        Ok(())
    }

    pub(super) fn thread_written(&mut self, e: &ThreadWritten) -> Result<(), String> {
        if self.state.started.lease.is_none() || self.state.gate.is_some() {
            return Err("the run does not hold its thread".to_owned());
        }
        self.state.unwritten.retain(|id| !e.values.contains_key(id));
        Ok(())
    }
}
