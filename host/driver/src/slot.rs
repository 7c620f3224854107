//! One run in memory, with what has been decided and may not be shown yet.
//!
//! A slot knows no clock and no other run. What it releases goes to the core's list of actions.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bandstand_engine::run::Waiting;
use bandstand_engine::{
    Callee, Command, CommandId, Decision, Event, Input, Outcome, Rejected, Run, Snapshot, Status, Timestamp,
};

use crate::action::{Action, Refusal, Row, Standing, Summary};
use crate::gate::{Gate, Ticket};
use crate::message::Unwanted;
use crate::mistake::{self, Mistake};
use crate::{Limits, Request, RunId, Token};

/// A run in memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) run_id: RunId,
    pub(crate) run: Run,
    workflow: Arc<str>,
    last_at: Timestamp,
    /// Exactly the commands that the run owes.
    owed: BTreeMap<CommandId, Owed>,
    /// Calls in flight, those included that are owed no longer and have not ended yet.
    flying: BTreeMap<CommandId, Ticket>,
    /// Decided since the append under way began.
    batch: Batch,
    appending: Option<(Token, Batch)>,
    tail_events: u64,
    tail_bytes: u64,
    /// Child runs that it owes and that were started, or are about to be.
    pub(crate) children: BTreeMap<CommandId, Child>,
    /// Those that have ended, as the run was told, until that is durable.
    ended_children: BTreeSet<CommandId>,
    /// Child runs to be started now.
    starting: Vec<CommandId>,
    /// Child runs that are not wanted any more.
    stopping: Vec<(RunId, Unwanted)>,
    /// What the store's table of runs says of `owes`.
    owes_written: bool,
    /// A command that cannot be called until a person mends something, and what. Nothing starts meanwhile.
    blocked: Option<(CommandId, String)>,
    /// As last shown.
    standing: Option<Standing>,
    /// The run is paused, or its resumption is not durable yet: no call starts.
    paused: bool,
    /// How often it was paused; a resumption counts unless another pause came after it.
    pauses: u32,
    /// After a tick that changed nothing although a deadline had passed: do not ask again before.
    pub(crate) tick_not_before: Timestamp,
}

/// How far a command that is owed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// The append that owes it is not durable, or an earlier call of it has not ended.
    Held,
    /// It could start, but the run is paused.
    Parked,
    /// It is to be looked up whether an equal visit's reply is kept.
    Unseen,
    /// It is being looked up.
    Looking,
    /// It is at the gate.
    Queued,
    /// Its call is in flight.
    Flying,
    /// It is a child run, which goes on by itself.
    Child,
}

/// A child run, as its parent knows it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) run_id: RunId,
    /// As it was last shown. None: it has not been since its parent began to look.
    pub(crate) standing: Option<Standing>,
    /// It has decided its end, durable or not.
    pub(crate) ended: bool,
}

/// Rows, and what is released with them.
#[derive(Debug, Default)]
struct Batch {
    rows: Vec<Row>,
    effects: Vec<Effect>,
    standing: Option<Standing>,
    snapshot: Option<Box<Snapshot>>,
}

#[derive(Debug)]
enum Effect {
    Open(CommandId),
    /// How it ends, if it is a child run.
    Close(CommandId, Unwanted),
    /// Calls may start again, unless there were more pauses than this since.
    Resume(u32),
    ClearMark(CommandId),
    Answer(Request, Result<Outcome, Refusal>),
}

impl Child {
    /// Whether nothing of it is at work.
    fn rests(&self) -> bool {
        !matches!(self.standing, None | Some(Standing::Running | Standing::Ended(_)))
    }

    /// Whether its parent need not be looked at when the host starts. Of one that has ended its parent has to hear, and a row
    /// of its parent's must not say otherwise after the store has noted that. One that is stuck may not even be there.
    fn goes_on(&self) -> bool {
        !self.ended && self.standing.as_ref().is_some_and(|standing| !matches!(standing, Standing::Stuck(_)))
    }
}

impl Slot {
    /// A new run; its first decision waits for its append.
    pub(crate) fn started(run: Run, decision: Decision, at: Timestamp, gate: &mut Gate) -> Slot {
        let mut slot = Slot::new(run, at);
        slot.take(0, at, decision, gate);
        slot
    }

    /// A run from the store: nothing is queued or in flight yet.
    pub(crate) fn loaded(run: Run, tail_events: u64, tail_bytes: u64) -> Slot {
        let last_at = run.last_at();
        let mut slot = Slot::new(run, last_at);
        (slot.tail_events, slot.tail_bytes) = (tail_events, tail_bytes);
        slot.owed = slot.run.owed().map(|command| (command.id.clone(), Owed::Held)).collect();
        slot.paused = slot.run.is_paused();
        // A parent of which the store says so because a child had ended is not loaded again for that.
        slot.owes_written = Summary::of(&slot.run).owes;
        slot
    }

    fn new(run: Run, last_at: Timestamp) -> Slot {
        Slot {
            run_id: run.id().into(),
            workflow: run.graph().name.as_str().into(),
            run,
            last_at,
            owed: BTreeMap::new(),
            flying: BTreeMap::new(),
            batch: Batch::default(),
            appending: None,
            tail_events: 0,
            tail_bytes: 0,
            children: BTreeMap::new(),
            ended_children: BTreeSet::new(),
            starting: Vec::new(),
            stopping: Vec::new(),
            owes_written: true,
            blocked: None,
            standing: None,
            paused: false,
            pauses: 0,
            tick_not_before: Timestamp(i64::MIN),
        }
    }

    /// Records interruptions of those marked attempts that are still owed, and owes all commands to the gate.
    pub(crate) fn recover(
        &mut self,
        interrupted: Vec<CommandId>,
        now: Timestamp,
        gate: &mut Gate,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        for id in interrupted {
            if self.owed.contains_key(&id) {
                if !mistake::is(Mistake::HideInterruption) {
                    // It cannot be refused, and if it is stale there is nothing to record.
                    let _ = self.decide(Input::Interrupted { id: id.clone() }, now, gate)?;
                    if let Some(command) = self.run.command(&id).filter(|command| !command.is_child()) {
                        gate.interrupted(&self.ticket(command.clone()), now);
                    }
                }
            } else if mistake::is(Mistake::RepeatFinished) {
                self.repeat_finished(&id, actions);
            }
            self.batch.effects.push(Effect::ClearMark(id));
        }
        self.batch.effects.extend(self.owed.keys().cloned().map(Effect::Open));
        Ok(())
    }

    /// Lets the run take an input. `Err`: it panicked, and is not to be used any more.
    pub(crate) fn decide(
        &mut self,
        input: Input,
        now: Timestamp,
        gate: &mut Gate,
    ) -> Result<Result<Outcome, Rejected>, String> {
        let at = now.max(self.last_at);
        let seq = self.run.seq();
        if let Input::ChildEnded { id, .. } = &input
            && self.owed.contains_key(id)
        {
            self.ended_children.insert(id.clone());
        }
        // The run is dropped after a panic, so nobody sees it half changed.
        let decided = catch_unwind(AssertUnwindSafe(|| self.run.handle(input, at)))
            .map_err(|panic| panic_text(panic.as_ref()))?;
        Ok(decided.map(|decision| {
            let outcome = decision.outcome;
            self.take(seq, at, decision, gate);
            outcome
        }))
    }

    /// Takes up a decision: its row and its effects wait for the append.
    fn take(&mut self, seq: u64, at: Timestamp, decision: Decision, gate: &mut Gate) {
        for event in &decision.events {
            match event {
                Event::RunPaused(_) => self.pause(gate),
                // A retry ends a pause, too.
                Event::RunResumed(_) | Event::RunRetried(_) => {
                    self.batch.effects.push(Effect::Resume(self.pauses))
                }
                _ => {}
            }
        }
        let killed = decision.events.iter().any(|event| matches!(event, Event::RunKilled(_)));
        let how = if killed { Unwanted::Kill } else { Unwanted::Cancel };
        if !decision.events.is_empty() {
            self.last_at = at;
            self.tail_events += decision.events.len() as u64;
            self.batch.rows.push(Row { seq, at, events: Arc::new(decision.events) });
        }
        for id in decision.closed {
            if self.owed.remove(&id) == Some(Owed::Queued) && !mistake::is(Mistake::StartClosed) {
                gate.withdraw(&self.workflow, &self.run_id, &id);
            }
            self.batch.effects.push(Effect::Close(id, how));
        }
        for id in decision.opened {
            self.owed.insert(id.clone(), Owed::Held);
            if mistake::is(Mistake::StartEarly) {
                self.queue(&id, gate);
            }
            self.batch.effects.push(Effect::Open(id));
        }
    }

    /// No call starts from now on, even before the pause is durable. What is at the gate is taken back.
    fn pause(&mut self, gate: &mut Gate) {
        (self.paused, self.pauses) = (true, self.pauses.wrapping_add(1));
        if mistake::is(Mistake::StartWhilePaused) {
            return;
        }
        for (id, owed) in &mut self.owed {
            match owed {
                Owed::Queued => {
                    gate.withdraw(&self.workflow, &self.run_id, id);
                    *owed = Owed::Parked;
                }
                // What is found after that is not used.
                Owed::Unseen | Owed::Looking => *owed = Owed::Parked,
                Owed::Held | Owed::Parked | Owed::Flying | Owed::Child => {}
            }
        }
    }

    /// Answers in its place among what the run has decided.
    pub(crate) fn answer(&mut self, request: Request, result: Result<Outcome, Refusal>) {
        self.batch.effects.push(Effect::Answer(request, result));
    }

    /// Asks whether a reply is kept for a command that waits for that.
    pub(crate) fn look_up(&mut self, id: CommandId, gate: &mut Gate, actions: &mut Vec<Action>) {
        let Some(owed) = self.owed.get_mut(&id).filter(|owed| **owed == Owed::Unseen) else { return };
        *owed = Owed::Looking;
        match self.run.cache_key(&id) {
            Some(key) => actions.push(Action::LookUp { run_id: self.run_id.clone(), id, key }),
            None => self.not_found(id, gate),
        }
    }

    /// Whether that command is being looked up.
    pub(crate) fn is_looked_up(&self, id: &CommandId) -> bool {
        self.owed.get(id) == Some(&Owed::Looking)
    }

    /// The call is to be made, unless what was found has ended the visit, or the run is paused now.
    pub(crate) fn not_found(&mut self, id: CommandId, gate: &mut Gate) {
        if self.is_looked_up(&id) && !mistake::is(Mistake::LoseMiss) {
            self.enqueue(&id, gate);
        }
    }

    /// Whether that call is in flight.
    pub(crate) fn is_flying(&self, id: &CommandId) -> bool {
        self.flying.contains_key(id)
    }

    /// The call has ended and its result, if any, was handled.
    pub(crate) fn landed(&mut self, id: CommandId, gate: &mut Gate) {
        gate.release(&self.run_id, &id);
        self.flying.remove(&id);
        if let Some(owed) = self.owed.get_mut(&id) {
            // Owed although its call has ended: it was stopped and is owed again, or said nothing of use.
            *owed = Owed::Held;
            self.batch.effects.push(Effect::ClearMark(id.clone()));
            self.batch.effects.push(Effect::Open(id));
        } else {
            self.batch.effects.push(Effect::ClearMark(id));
        }
    }

    /// The sandbox had no room for the call.
    pub(crate) fn refused(
        &mut self,
        id: CommandId,
        now: Timestamp,
        gate: &mut Gate,
        actions: &mut Vec<Action>,
    ) {
        let Some(ticket) = self.flying.remove(&id) else { return };
        match self.owed.get_mut(&id) {
            Some(owed) if !mistake::is(Mistake::LoseRefused) => {
                *owed = Owed::Queued;
                gate.refuse(ticket, now);
                if self.paused {
                    gate.withdraw(&self.workflow, &self.run_id, &id);
                    *owed = Owed::Parked;
                }
            }
            _ => gate.release(&self.run_id, &id),
        }
        // It never began, so this rests on nothing; and it must not remove the mark of the call that comes next.
        actions.push(Action::ClearMark { run_id: self.run_id.clone(), id });
    }

    /// The call cannot be made. Those in flight go on, so that nothing of them is lost.
    pub(crate) fn block(
        &mut self,
        id: CommandId,
        problem: String,
        gate: &mut Gate,
        actions: &mut Vec<Action>,
    ) {
        if self.flying.remove(&id).is_none() {
            return;
        }
        gate.release(&self.run_id, &id);
        // It never began, so this rests on nothing.
        actions.push(Action::ClearMark { run_id: self.run_id.clone(), id: id.clone() });
        let Some(owed) = self.owed.get_mut(&id) else { return };
        *owed = Owed::Held;
        for (other, owed) in &mut self.owed {
            match owed {
                Owed::Queued => {
                    gate.withdraw(&self.workflow, &self.run_id, other);
                    *owed = Owed::Held;
                }
                Owed::Unseen | Owed::Looking => *owed = Owed::Held,
                Owed::Held | Owed::Parked | Owed::Flying | Owed::Child => {}
            }
        }
        self.blocked = Some((id, problem));
    }

    /// Why the run cannot go on, once nothing of it is under way.
    pub(crate) fn is_stuck(&self) -> Option<&str> {
        let (_, problem) = self.blocked.as_ref()?;
        (self.flying.is_empty() && self.is_flushed()).then_some(problem.as_str())
    }

    /// The gate let a command through.
    pub(crate) fn start(&mut self, ticket: Ticket, gate: &mut Gate, actions: &mut Vec<Action>) {
        let id = ticket.command.id.clone();
        let wanted = self.owed.get(&id) == Some(&Owed::Queued) && !self.flying.contains_key(&id);
        if !wanted && !mistake::is(Mistake::StartClosed) {
            debug_assert!(false, "the gate let {id} of run {} through, which does not queue", self.run_id);
            gate.release(&self.run_id, &id);
            return;
        }
        if let Some(owed) = self.owed.get_mut(&id) {
            *owed = Owed::Flying;
        }
        actions.push(Action::StartCall { run_id: self.run_id.clone(), command: ticket.command.clone() });
        self.flying.insert(id, ticket);
    }

    /// Hands over what was decided, or releases at once what rests on nothing undurable.
    pub(crate) fn settle(
        &mut self,
        limits: &Limits,
        gate: &mut Gate,
        next_token: &mut u64,
        actions: &mut Vec<Action>,
    ) -> Option<Token> {
        if self.blocked.as_ref().is_some_and(|(id, _)| !self.owed.contains_key(id)) {
            // Nobody wants that call any more, and the others may start again.
            self.blocked = None;
            self.batch.effects.extend(self.owed.keys().cloned().map(Effect::Open));
        }
        if self.appending.is_some() {
            return None;
        }
        let mut batch = std::mem::take(&mut self.batch);
        if batch.rows.is_empty() {
            self.release(batch, gate, actions);
            if (self.paused && self.run.is_paused()) || !self.children.is_empty() {
                // That the last call has ended, or did not begin, may have left no row; and no news of a child does.
                self.show(self.stands(), actions);
            }
            return None;
        }
        let token = Token(*next_token);
        *next_token += 1;
        batch.standing = Some(self.stands());
        let due = self.tail_events >= limits.snapshot_events || self.tail_bytes >= limits.snapshot_bytes;
        if due && !self.run.status().is_ended() {
            batch.snapshot = Some(Box::new(self.run.snapshot()));
            (self.tail_events, self.tail_bytes) = (0, 0);
        }
        let summary = self.summary();
        self.owes_written = summary.owes;
        actions.push(Action::Append {
            run_id: self.run_id.clone(),
            rows: batch.rows.clone(),
            summary,
            token,
        });
        self.appending = Some((token, batch));
        Some(token)
    }

    /// The append under way is durable.
    pub(crate) fn appended(
        &mut self,
        token: Token,
        size_bytes: u64,
        gate: &mut Gate,
        actions: &mut Vec<Action>,
    ) {
        let Some((_, batch)) = self.appending.take_if(|(appending, _)| *appending == token) else { return };
        self.tail_bytes += size_bytes;
        self.release(batch, gate, actions);
    }

    fn release(&mut self, batch: Batch, gate: &mut Gate, actions: &mut Vec<Action>) {
        if !batch.rows.is_empty() {
            actions.push(Action::Publish { run_id: self.run_id.clone(), rows: batch.rows });
        }
        if let Some(snapshot) = batch.snapshot {
            actions.push(Action::SaveSnapshot { run_id: self.run_id.clone(), snapshot });
        }
        // Before the answers: who was answered and then asks how the run stands gets no older news.
        if let Some(standing) = batch.standing {
            self.show(standing, actions);
        }
        for effect in batch.effects {
            match effect {
                Effect::Open(id) => self.queue(&id, gate),
                Effect::Close(id, how) => {
                    self.children.remove(&id);
                    if !self.ended_children.remove(&id) {
                        // It may go on since before this process, so whether it was started here does not matter.
                        self.stopping.extend(self.run.child_run_id(&id).map(|child| (child.into(), how)));
                    }
                    if self.flying.contains_key(&id) {
                        actions.push(Action::StopCall { run_id: self.run_id.clone(), id });
                    }
                }
                Effect::Resume(pauses) if pauses == self.pauses => {
                    self.paused = false;
                    let parked = self.owed.iter_mut().filter(|(_, owed)| **owed == Owed::Parked);
                    let ids: Vec<CommandId> = parked
                        .map(|(id, owed)| {
                            *owed = Owed::Held;
                            id.clone()
                        })
                        .collect();
                    ids.iter().for_each(|id| self.queue(id, gate));
                }
                Effect::Resume(_) => {}
                Effect::ClearMark(id) => actions.push(Action::ClearMark { run_id: self.run_id.clone(), id }),
                Effect::Answer(request, result) => actions.push(Action::Answer { request, result }),
            }
        }
    }

    /// Shows how the run stands, if that is news. Only to be called with what is durable.
    pub(crate) fn show(&mut self, standing: Standing, actions: &mut Vec<Action>) {
        if self.standing.as_ref() == Some(&standing) {
            return;
        }
        let run_id = self.run_id.clone();
        actions.push(Action::Stands { run_id: run_id.clone(), standing: standing.clone() });
        if let Standing::Ended(status) = standing {
            actions.push(Action::RunEnded { run_id, status });
            if let Some((workflow, thread_id)) = self.run.leased_thread() {
                let (workflow, thread_id) = (workflow.to_owned(), thread_id.to_owned());
                actions.push(Action::ThreadLeft { workflow, thread_id });
            }
        }
        self.standing = Some(standing);
    }

    /// Shows how the run stands, if nothing of it is on its way to the disk; what is says it then.
    pub(crate) fn show_again(&mut self, actions: &mut Vec<Action>) {
        if self.is_flushed() {
            self.show(self.stands(), actions);
        }
    }

    /// Puts a command at the gate, unless it is owed no longer, is there, or an earlier call of it still flies. Of a paused
    /// run it is parked instead.
    fn queue(&mut self, id: &CommandId, gate: &mut Gate) {
        if self.owed.get(id) != Some(&Owed::Held) || self.flying.contains_key(id) || self.blocked.is_some() {
            return;
        }
        if self.paused && !mistake::is(Mistake::StartWhilePaused) {
            self.owed.insert(id.clone(), Owed::Parked);
            return;
        }
        if self.run.cache_key(id).is_some() {
            gate.look_up(self.run_id.clone(), id.clone());
            self.owed.insert(id.clone(), Owed::Unseen);
            return;
        }
        self.enqueue(id, gate);
    }

    fn enqueue(&mut self, id: &CommandId, gate: &mut Gate) {
        let Some(command) = self.run.command(id).cloned() else { return };
        if let Some(child) = self.run.child(id) {
            self.owed.insert(id.clone(), Owed::Child);
            self.children
                .insert(id.clone(), Child { run_id: child.run_id.into(), standing: None, ended: false });
            return self.starting.push(id.clone());
        }
        gate.enqueue(self.ticket(command));
        self.owed.insert(id.clone(), Owed::Queued);
    }

    fn ticket(&self, command: Command) -> Ticket {
        let (Callee::Plugin(name) | Callee::Workflow(name)) = &command.callee;
        let pin = self.run.started().plugins.get(name);
        Ticket {
            run_id: self.run_id.clone(),
            workflow: self.workflow.clone(),
            plugin: pin.map_or_else(|| name.as_str().into(), |pin| pin.digest.as_str().into()),
            command,
        }
    }

    /// Whether nothing is owed that may start, in flight, or on its way to the disk.
    pub(crate) fn is_quiet(&self) -> bool {
        let rests = |(id, owed): (&CommandId, &Owed)| match owed {
            Owed::Parked => true,
            Owed::Child => self.children.get(id).is_some_and(Child::rests),
            Owed::Held | Owed::Unseen | Owed::Looking | Owed::Queued | Owed::Flying => false,
        };
        self.flying.is_empty() && self.is_flushed() && self.owed.iter().all(rests)
    }

    /// Whether everything decided is durable and released.
    pub(crate) fn is_flushed(&self) -> bool {
        self.appending.is_none() && self.batch.rows.is_empty() && self.batch.effects.is_empty()
    }

    /// Commands at the gate.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &CommandId> {
        self.owed.iter().filter(|(_, owed)| **owed == Owed::Queued).map(|(id, _)| id)
    }

    /// Commands that do not start because the run is paused.
    pub(crate) fn parked(&self) -> impl Iterator<Item = &CommandId> {
        self.owed.iter().filter(|(_, owed)| **owed == Owed::Parked).map(|(id, _)| id)
    }

    /// Gives up on the run: its calls are ended, those who wait are told.
    pub(crate) fn give_up(mut self, problem: &str, gate: &mut Gate, actions: &mut Vec<Action>) {
        for id in self.owed.iter().filter(|(_, owed)| **owed == Owed::Queued).map(|(id, _)| id) {
            gate.withdraw(&self.workflow, &self.run_id, id);
        }
        for id in self.flying.into_keys() {
            actions.push(Action::StopCall { run_id: self.run_id.clone(), id });
        }
        let appending = self.appending.take().map(|(_, batch)| batch);
        for effect in appending.into_iter().chain([self.batch]).flat_map(|batch| batch.effects) {
            if let Effect::Answer(request, _) = effect {
                let result = Err(Refusal::Stuck { run_id: self.run_id.clone(), problem: problem.to_owned() });
                actions.push(Action::Answer { request, result });
            }
        }
    }

    /// Who can move the run, as it is in memory.
    pub(crate) fn stands(&self) -> Standing {
        let status = self.run.status();
        if status.is_ended() {
            return Standing::Ended(status);
        }
        if status == Status::Paused {
            // What is in flight may finish.
            let flies = self.owed.values().any(|owed| *owed == Owed::Flying);
            return if flies { Standing::Running } else { Standing::Paused };
        }
        if self.run.waits_for_thread().is_some() {
            return Standing::Queued;
        }
        // A long row of pure steps owes no call, but asks to go on at once.
        let at_work = self.owed.values().any(|owed| *owed != Owed::Child);
        // One that has ended, or is not wanted any more, is among them until that is durable.
        let children = || {
            let owed = self.children.iter().filter(|(id, _)| self.owed.contains_key(id));
            owed.map(|(_, child)| child)
        };
        if at_work || status == Status::Running || !children().all(Child::rests) {
            return Standing::Running;
        }
        let mut reviews = Vec::new();
        let mut next: Option<Timestamp> = None;
        let mut waits = false;
        for waiting in self.run.waiting() {
            match waiting {
                Waiting::Review { review_id, deadline, .. } => reviews.push((deadline, review_id)),
                // Somebody has to send it; its deadline counts like a review's.
                Waiting::Signal { .. } => waits = true,
                Waiting::Child { .. } => {}
                // It waits as a whole.
                Waiting::Thread { .. } => {}
                Waiting::Retry { due: time, .. }
                | Waiting::Time { until: time, .. }
                | Waiting::Start { until: time } => {
                    next = Some(next.map_or(time, |next| next.min(time)));
                }
            }
        }
        reviews.sort();
        let mut reviews: Vec<String> = reviews.into_iter().map(|(_, review_id)| review_id).collect();
        let mut stuck = None;
        for child in children() {
            match child.standing.as_ref() {
                Some(Standing::Sleeping(time)) => next = Some(next.map_or(*time, |next| next.min(*time))),
                Some(Standing::People { reviews: of_child }) => {
                    waits = true;
                    reviews.extend(of_child.iter().cloned());
                }
                Some(Standing::Paused) => waits = true,
                Some(Standing::Stuck(problem)) => stuck = Some((&child.run_id, problem)),
                // A child run takes part in no thread.
                Some(Standing::Running | Standing::Queued | Standing::Ended(_)) | None => {}
            }
        }
        match (next, stuck) {
            (Some(time), _) => Standing::Sleeping(time),
            (None, Some((child, problem))) if !waits && reviews.is_empty() => {
                Standing::Stuck(format!("its child run {child} is stuck: {problem}"))
            }
            (None, _) => Standing::People { reviews },
        }
    }

    /// The run's standing, for the store's table of runs.
    pub(crate) fn summary(&self) -> Summary {
        let trusted =
            |id: &CommandId| mistake::is(Mistake::TrustChild) && self.run.child_run_id(id).is_some();
        let goes_on = |id: &CommandId| trusted(id) || self.children.get(id).is_some_and(Child::goes_on);
        let summary = Summary::of(&self.run);
        Summary { owes: summary.owes && self.run.owed().any(|command| !goes_on(&command.id)), ..summary }
    }

    /// The summary, if the store's is another one. It is taken for written.
    pub(crate) fn unwritten(&mut self) -> Option<Summary> {
        let summary = self.summary();
        let differs = summary.owes != self.owes_written;
        self.owes_written = summary.owes;
        differs.then_some(summary)
    }

    /// The child runs to be started, and those that are not wanted any more.
    pub(crate) fn take_children(&mut self) -> (Vec<CommandId>, Vec<(RunId, Unwanted)>) {
        (std::mem::take(&mut self.starting), std::mem::take(&mut self.stopping))
    }

    /// As it was last shown.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// The planted [`Mistake::ForgetInFlight`].
    pub(crate) fn forget_in_flight(&mut self, except: &CommandId, gate: &mut Gate) {
        let others: Vec<CommandId> = self.flying.keys().filter(|id| *id != except).cloned().collect();
        for id in others {
            gate.release(&self.run_id, &id);
            self.flying.remove(&id);
            if let Some(owed) = self.owed.get_mut(&id) {
                *owed = Owed::Held;
                self.queue(&id, gate);
            }
        }
    }

    /// The planted [`Mistake::RepeatFinished`].
    fn repeat_finished(&self, id: &CommandId, actions: &mut Vec<Action>) {
        let Some(plugin) = self.run.graph().plugins.keys().next() else { return };
        let command = Command {
            id: id.clone(),
            callee: Callee::Plugin(plugin.clone()),
            input: Arc::default(),
            attempts_max: 1,
            timeout_ms: 1_000,
            interruptions: 0,
        };
        actions.push(Action::StartCall { run_id: self.run_id.clone(), command });
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no reason".to_owned());
    format!(
        "the engine failed on it ({said}); this is a defect of the host, please report it with the run's journal"
    )
}
