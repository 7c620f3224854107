//! The core itself: all runs in memory, the gate, and when to wake up.

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::input::ChildOutcome;
use bandstand_engine::{CommandId, Input, Outcome, Run, Timestamp};

use crate::action::{Action, Refusal, Standing, Summary};
use crate::breaker::Call;
use crate::children;
use crate::gate::{Gate, Held};
use crate::message::{LoadProblem, Message, Unwanted};
use crate::mistake::{self, Mistake};
use crate::slot::Slot;
use crate::{Breaker, Limits, QuarantineCounts, Request, RunId, Token};

/// A tick that should have changed something and did not is repeated after this span.
const TICK_AGAIN_MS: u64 = 1_000;

/// The driver as a state machine. The crate's documentation has the contract.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    gate: Gate,
    pub(crate) runs: BTreeMap<RunId, Slot>,
    /// Runs on their way from the store, and the inputs that wait for them.
    loading: BTreeMap<RunId, Vec<(Input, Option<Request>)>>,
    /// Runs that this process cannot go on with, and why.
    stuck: BTreeMap<RunId, String>,
    appends: BTreeMap<Token, RunId>,
    /// The parents in memory of child runs, and which attempts of them those are.
    pub(crate) child_of: BTreeMap<RunId, (RunId, CommandId)>,
    next_token: u64,
    /// The next deadline of each run, in memory or not.
    deadlines: BTreeSet<(Timestamp, RunId)>,
    deadline_of: BTreeMap<RunId, Timestamp>,
    /// When runs that are quiet leave memory.
    evictions: BTreeSet<(Timestamp, RunId)>,
    eviction_of: BTreeMap<RunId, Timestamp>,
    wake_at: Option<Timestamp>,
    ticks: u64,
    dead: bool,
}

impl Core {
    /// A core without runs.
    pub fn new(limits: Limits) -> Core {
        Core {
            limits,
            gate: Gate::new(limits),
            runs: BTreeMap::new(),
            loading: BTreeMap::new(),
            stuck: BTreeMap::new(),
            appends: BTreeMap::new(),
            child_of: BTreeMap::new(),
            next_token: 0,
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            evictions: BTreeSet::new(),
            eviction_of: BTreeMap::new(),
            wake_at: None,
            ticks: 0,
            dead: false,
        }
    }

    /// Takes one message at `now`, the wall clock, which may jump; adds what is to be done to `actions`, in order.
    pub fn handle(&mut self, message: Message, now: Timestamp, actions: &mut Vec<Action>) {
        if self.dead {
            return;
        }
        let first = actions.len();
        match message {
            Message::RunStarted { run, .. } if !self.wants(&run) => {}
            Message::RunStarted { run, decision, at, request } => {
                let mut slot = Slot::started(*run, decision, at, &mut self.gate);
                if let Some(request) = request {
                    slot.answer(request, Ok(Outcome::Changed));
                }
                let run_id = slot.run_id.clone();
                self.runs.insert(run_id.clone(), slot);
                self.settle(&run_id, now, actions);
            }
            Message::Loaded { run, tail_events, tail_bytes, interrupted, unwanted } => {
                let slot = Slot::loaded(*run, tail_events, tail_bytes);
                self.loaded(slot, interrupted, unwanted, now, actions);
            }
            Message::LoadFailed { run_id, problem } => self.load_failed(run_id, problem, actions),
            Message::Drive { run_id } => self.drive_again(run_id, actions),
            Message::Sleeper { run_id, deadline } => {
                if !self.runs.contains_key(&run_id) {
                    self.set_deadline(&run_id, Some(deadline));
                }
            }
            Message::Input { run_id, input, request } => self.input(run_id, input, request, now, actions),
            Message::LookedUp { run_id, id, found } => self.looked_up(&run_id, id, found, now, actions),
            Message::CallEnded { run_id, id, input, evidence } => {
                let failure = match &input {
                    Input::Failed { failure, .. } => Some(failure),
                    _ => None,
                };
                self.gate.judge(&run_id, &id, evidence, failure, now);
                self.call_ended(&run_id, id, input, now, actions);
            }
            Message::ToolEnded { plugin, name, workflow, evidence, fault, probe } => {
                let call = Call { plugin: &plugin, name: &name, workflow: &workflow };
                self.gate.judge_tool(call, evidence, fault, probe, now);
            }
            Message::CallStopped { run_id, id } => {
                match self.runs.get_mut(&run_id) {
                    Some(slot) if slot.is_flying(&id) => slot.landed(id, &mut self.gate),
                    _ => self.gate.release(&run_id, &id),
                }
                self.settle(&run_id, now, actions);
            }
            Message::CallRefused { run_id, id } => {
                match self.runs.get_mut(&run_id) {
                    Some(slot) => slot.refused(id, now, &mut self.gate, actions),
                    None => self.gate.release(&run_id, &id),
                }
                self.settle(&run_id, now, actions);
            }
            Message::CallBlocked { run_id, id, problem } => {
                match self.runs.get_mut(&run_id) {
                    Some(slot) => slot.block(id, problem, &mut self.gate, actions),
                    None => self.gate.release(&run_id, &id),
                }
                self.settle(&run_id, now, actions);
            }
            Message::ChildRefused { run_id, id, failure } => {
                let outcome = ChildOutcome::Failed(failure);
                self.input(run_id, Input::ChildEnded { id, outcome }, None, now, actions);
            }
            Message::Appended { token, size_bytes } => {
                let Some(run_id) = self.appends.remove(&token) else { return };
                if let Some(slot) = self.runs.get_mut(&run_id) {
                    slot.appended(token, size_bytes, &mut self.gate, actions);
                }
                self.settle(&run_id, now, actions);
            }
            Message::AppendRefused { token, problem } => {
                if let Some(run_id) = self.appends.remove(&token) {
                    self.give_up(&run_id, problem, actions);
                }
            }
            Message::AppendFailed { problem, .. } => {
                self.dead = true;
                actions.push(Action::Die { problem });
                return;
            }
            Message::PutBackInService { plugin, request } => {
                let changed = self.gate.put_back_in_service(&plugin);
                if let Some(request) = request {
                    let outcome = if changed { Outcome::Changed } else { Outcome::Unchanged };
                    actions.push(Action::Answer { request, result: Ok(outcome) });
                }
            }
            Message::Hold(held) => self.gate.hold(held),
            Message::Tick => self.tick(now, actions),
        }
        self.tell_parents(first, now, actions);
        self.admit(now, actions);
        self.tell_breakers(actions);
        self.wake(now, actions);
    }

    /// Takes up the breakers that an earlier process has told ([`Action::Breaker`]). To be called before the first message.
    pub fn restore(&mut self, breakers: Vec<Breaker>) {
        self.gate.restore(breakers);
    }

    /// How many plugins and calls are out of service, and how often that came.
    pub fn quarantine_counts(&self) -> QuarantineCounts {
        self.gate.quarantine_counts()
    }

    /// What is known against that plugin, by digest.
    pub fn breaker(&self, plugin: &str) -> Option<&Breaker> {
        self.gate.breaker(plugin)
    }

    /// Whether nothing is decided that is not durable and released. Then a caller that wants to end may.
    pub fn is_flushed(&self) -> bool {
        self.runs.values().all(Slot::is_flushed)
    }

    /// Whether there is nothing to wait for but people and deadlines.
    pub fn is_idle(&self) -> bool {
        self.loading.is_empty() && self.runs.values().all(Slot::is_quiet)
    }

    /// A run in memory. It may be ahead of the disk.
    pub fn run(&self, run_id: &str) -> Option<&Run> {
        self.runs.get(run_id).map(|slot| &slot.run)
    }

    /// The runs in memory, by id.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().map(|slot| &slot.run)
    }

    /// The calls of a run that do not start, and why.
    pub fn held(&self, run_id: &str) -> Vec<(CommandId, Held)> {
        let Some(slot) = self.runs.get(run_id) else { return Vec::new() };
        let queued = slot.queued().map(|id| (id.clone(), self.gate.held_because(&slot.run_id, id)));
        queued.chain(slot.parked().map(|id| (id.clone(), Held::Paused))).collect()
    }

    /// The runs of which calls wait at the gate, by id, and why. A quarantine comes before other reasons: it lasts longest.
    pub fn held_runs(&self) -> impl Iterator<Item = (&RunId, Held)> {
        self.runs.iter().filter_map(|(run_id, slot)| {
            let mut reasons = slot.queued().map(|id| self.gate.held_because(run_id, id));
            let first = reasons.next()?;
            Some((run_id, if reasons.any(|held| held == Held::Breaker) { Held::Breaker } else { first }))
        })
    }

    /// Where a run in memory stands, if all that it has decided is durable.
    pub fn summary(&self, run_id: &str) -> Option<Summary> {
        self.runs.get(run_id).filter(|slot| slot.is_flushed()).map(Slot::summary)
    }

    /// Calls in flight.
    pub fn calls(&self) -> usize {
        self.gate.flying()
    }

    fn loaded(
        &mut self,
        mut slot: Slot,
        interrupted: Vec<CommandId>,
        unwanted: Option<Unwanted>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let run_id = slot.run_id.clone();
        let waiting = self.loading.remove(&run_id).unwrap_or_default();
        if self.runs.contains_key(&run_id) {
            return;
        }
        // What is overdue is about to happen: the run does not wait for people then, whatever its state says.
        let overdue = next_deadline(&slot).is_some_and(|deadline| deadline <= now);
        // So is the end of a child run that nobody wants any more.
        let is_end = |(input, request): &(Input, Option<Request>)| {
            request.is_none() && matches!(input, Input::Cancel { .. } | Input::Kill { .. })
        };
        let ends = unwanted.is_some() || waiting.iter().any(is_end);
        let at_work = overdue || (ends && !slot.run.status().is_ended());
        let standing = if at_work { Standing::Running } else { slot.stands() };
        slot.show(standing, actions);
        let recovered = slot.recover(interrupted, now, &mut self.gate, actions);
        self.runs.insert(run_id.clone(), slot);
        if let Err(problem) = recovered {
            return self.give_up(&run_id, problem, actions);
        }
        if let Some(unwanted) = unwanted.filter(|_| !mistake::is(Mistake::KeepUnwanted)) {
            let parent = self.run(&run_id).and_then(|run| run.started().parent.clone());
            self.decide(
                &run_id,
                children::end(unwanted, parent.map(|parent| parent.run)),
                None,
                now,
                actions,
            );
        }
        for (input, request) in waiting {
            if !mistake::is(Mistake::LoseWaiting) {
                self.decide(&run_id, input, request, now, actions);
            }
        }
        self.tick_run(&run_id, now, actions);
        self.settle(&run_id, now, actions);
    }

    fn load_failed(&mut self, run_id: RunId, problem: LoadProblem, actions: &mut Vec<Action>) {
        self.set_deadline(&run_id, None);
        let refusal = match problem {
            LoadProblem::NoSuchRun => Refusal::NoSuchRun(run_id.clone()),
            LoadProblem::Stuck(problem) => {
                self.stuck.insert(run_id.clone(), problem.clone());
                let standing = Standing::Stuck(problem.clone());
                actions.push(Action::Stands { run_id: run_id.clone(), standing });
                Refusal::Stuck { run_id: run_id.clone(), problem }
            }
        };
        for (_, request) in self.loading.remove(&run_id).unwrap_or_default() {
            if let Some(request) = request {
                actions.push(Action::Answer { request, result: Err(refusal.clone()) });
            }
        }
    }

    /// Somebody wants the run to go on: what kept it may be mended.
    fn drive_again(&mut self, run_id: RunId, actions: &mut Vec<Action>) {
        if let Some(problem) = self.stuck.get(&run_id) {
            if self.gate.flies(&run_id) {
                // Read anew it would owe these calls, and no command has two in flight.
                let standing = Standing::Stuck(problem.clone());
                return actions.push(Action::Stands { run_id, standing });
            }
            self.stuck.remove(&run_id);
        }
        if let Some(slot) = self.runs.get(&run_id) {
            // Whoever has just begun to follow it has not heard that.
            let held = slot.queued().filter_map(|id| Some((id, self.gate.breaker_of(&run_id, id)?)));
            actions.extend(held.map(|(id, breaker)| Action::ShutOut {
                run_id: run_id.clone(),
                id: id.clone(),
                breaker: breaker.clone(),
            }));
        }
        self.drive(run_id, actions);
    }

    pub(crate) fn drive(&mut self, run_id: RunId, actions: &mut Vec<Action>) {
        let known = self.runs.contains_key(&run_id) || self.stuck.contains_key(&run_id);
        if !known && !self.loading.contains_key(&run_id) {
            self.loading.insert(run_id.clone(), Vec::new());
            actions.push(Action::Load { run_id });
        }
    }

    fn input(
        &mut self,
        run_id: RunId,
        input: Input,
        request: Option<Request>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        if self.runs.contains_key(&run_id) {
            self.decide(&run_id, input, request, now, actions);
            return self.settle(&run_id, now, actions);
        }
        let refusal = if let Some(problem) = self.stuck.get(&run_id) {
            Refusal::Stuck { run_id, problem: problem.clone() }
        } else {
            self.drive(run_id.clone(), actions);
            let waiting = self.loading.entry(run_id.clone()).or_default();
            let waiting_max = self.limits.inputs_waiting_max.max(1);
            if waiting.len() < usize::try_from(waiting_max).unwrap_or(usize::MAX) {
                waiting.push((input, request));
                return;
            }
            Refusal::Busy { run_id, waiting: waiting_max }
        };
        if let Some(request) = request {
            actions.push(Action::Answer { request, result: Err(refusal) });
        }
    }

    fn looked_up(
        &mut self,
        run_id: &RunId,
        id: CommandId,
        found: Option<Input>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        // Meanwhile it may have been closed, parked, or given up with its run.
        if !self.runs.get(run_id).is_some_and(|slot| slot.is_looked_up(&id)) {
            return;
        }
        if let Some(input) = found {
            self.decide(run_id, input, None, now, actions);
        }
        if let Some(slot) = self.runs.get_mut(run_id) {
            slot.not_found(id, &mut self.gate);
        }
        self.settle(run_id, now, actions);
    }

    fn call_ended(
        &mut self,
        run_id: &RunId,
        id: CommandId,
        input: Input,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let flies = self.runs.get(run_id).is_some_and(|slot| slot.is_flying(&id));
        if !flies {
            // The run was given up, or the result was reported twice: nobody's.
            self.gate.release(run_id, &id);
            return;
        }
        self.decide(run_id, input, None, now, actions);
        if let Some(slot) = self.runs.get_mut(run_id) {
            if mistake::is(Mistake::ForgetInFlight) {
                slot.forget_in_flight(&id, &mut self.gate);
            }
            slot.landed(id, &mut self.gate);
        } else {
            self.gate.release(run_id, &id);
        }
        self.settle(run_id, now, actions);
    }

    /// Lets a run in memory take an input; gives it up if it panics.
    fn decide(
        &mut self,
        run_id: &RunId,
        input: Input,
        request: Option<Request>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(slot) = self.runs.get_mut(run_id) else {
            // It was given up a moment ago.
            if let (Some(request), Some(problem)) = (request, self.stuck.get(run_id)) {
                let refusal = Refusal::Stuck { run_id: run_id.clone(), problem: problem.clone() };
                actions.push(Action::Answer { request, result: Err(refusal) });
            }
            return;
        };
        match slot.decide(input, now, &mut self.gate) {
            Ok(result) => {
                let Some(request) = request else { return };
                let result = result.map_err(Refusal::Rejected);
                if mistake::is(Mistake::AnswerEarly) {
                    actions.push(Action::Answer { request, result });
                } else {
                    slot.answer(request, result);
                }
            }
            Err(problem) => {
                if let Some(request) = request {
                    let refusal = Refusal::Stuck { run_id: run_id.clone(), problem: problem.clone() };
                    actions.push(Action::Answer { request, result: Err(refusal) });
                }
                self.give_up(run_id, problem, actions);
            }
        }
    }

    fn give_up(&mut self, run_id: &RunId, problem: String, actions: &mut Vec<Action>) {
        if let Some(slot) = self.runs.remove(run_id) {
            self.forget_children(&slot);
            slot.give_up(&problem, &mut self.gate, actions);
        }
        self.set_deadline(run_id, None);
        self.set_eviction(run_id, None);
        let standing = Standing::Stuck(problem.clone());
        actions.push(Action::Stands { run_id: run_id.clone(), standing });
        self.stuck.insert(run_id.clone(), problem);
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        while let Some((time, run_id)) = self.deadlines.first().cloned() {
            if time > now {
                break;
            }
            self.ticks += 1;
            if !self.runs.contains_key(&run_id) {
                self.set_deadline(&run_id, None);
                self.drive(run_id, actions);
            } else if mistake::is(Mistake::DropTick) && self.ticks.is_multiple_of(3) {
                self.set_deadline(&run_id, None);
            } else {
                self.tick_run(&run_id, now, actions);
                self.settle(&run_id, now, actions);
            }
        }
        while let Some((time, run_id)) = self.evictions.first().cloned() {
            if time > now {
                break;
            }
            self.evict(&run_id, actions);
        }
    }

    fn tick_run(&mut self, run_id: &RunId, now: Timestamp, actions: &mut Vec<Action>) {
        let due = |core: &Core| {
            let slot = core.runs.get(run_id)?;
            next_deadline(slot).filter(|deadline| *deadline <= now)
        };
        let seq = |core: &Core| core.run(run_id).map_or(0, Run::seq);
        while due(self).is_some() {
            let before = seq(self);
            self.decide(run_id, Input::Tick, None, now, actions);
            // One tick ends a bounded number of timers; another goes on from there.
            if seq(self) == before
                && let Some(slot) = self.runs.get_mut(run_id)
            {
                slot.tick_not_before = now.plus_ms(TICK_AGAIN_MS);
            }
        }
    }

    /// What every change of a run in memory ends with.
    pub(crate) fn settle(&mut self, run_id: &RunId, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(slot) = self.runs.get_mut(run_id) else { return };
        if let Some(token) = slot.settle(&self.limits, &mut self.gate, &mut self.next_token, actions) {
            self.appends.insert(token, run_id.clone());
        }
        if let Some(problem) = slot.is_stuck() {
            let problem = problem.to_owned();
            return self.give_up(run_id, problem, actions);
        }
        let (starting, stopping) = slot.take_children();
        self.note_end(run_id);
        if self.start_children(run_id, starting, actions) {
            // How it stands was shown before that was known.
            if let Some(slot) = self.runs.get_mut(run_id) {
                slot.show_again(actions);
            }
        }
        let Some(slot) = self.runs.get_mut(run_id) else { return };
        let (deadline, quiet, ended) = (next_deadline(slot), slot.is_quiet(), slot.run.status().is_ended());
        let end = if quiet && ended { children::end_of(&slot.run) } else { None };
        self.set_deadline(run_id, deadline);
        match (quiet, ended) {
            (true, true) => {
                self.evict(run_id, actions);
                if let Some((parent, id, outcome)) = end
                    && (!mistake::is(Mistake::ForgetChildEnd) || self.runs.contains_key(&parent))
                {
                    self.comes_back(&parent, now, actions);
                    self.input(parent, Input::ChildEnded { id, outcome }, None, now, actions);
                }
            }
            (true, false) if self.eviction_of.contains_key(run_id) => {}
            (true, false) => self.set_eviction(run_id, Some(now.plus_ms(self.limits.quiet_ms))),
            (false, _) => self.set_eviction(run_id, None),
        }
        for (child, how) in stopping {
            self.child_of.remove(&child);
            self.input(child, children::end(how, Some(run_id.to_string())), None, now, actions);
        }
    }

    fn evict(&mut self, run_id: &RunId, actions: &mut Vec<Action>) {
        self.set_eviction(run_id, None);
        let Some(mut slot) = self.runs.remove(run_id) else { return };
        if let Some(summary) = slot.unwritten().filter(|summary| !summary.status.is_ended()) {
            actions.push(Action::Change { run_id: run_id.clone(), summary });
        }
        self.forget_children(&slot);
        actions.push(Action::Evict { run_id: run_id.clone() });
    }

    fn admit(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        while let Some((run_id, id)) = self.gate.next_lookup() {
            if let Some(slot) = self.runs.get_mut(&run_id) {
                slot.look_up(id, &mut self.gate, actions);
            }
        }
        while let Some(ticket) = self.gate.admit(now) {
            match self.runs.get_mut(&ticket.run_id) {
                Some(slot) => slot.start(ticket, &mut self.gate, actions),
                None => self.gate.release(&ticket.run_id, &ticket.command.id),
            }
        }
    }

    fn tell_breakers(&mut self, actions: &mut Vec<Action>) {
        let changed = self.gate.take_breakers();
        actions.extend(changed.into_iter().map(|(plugin, breaker)| Action::Breaker { plugin, breaker }));
        for (run_id, id) in self.gate.take_shut_out() {
            // It may have been let through, or withdrawn, at once.
            if let Some(breaker) = self.gate.breaker_of(&run_id, &id).cloned() {
                actions.push(Action::ShutOut { run_id, id, breaker });
            }
        }
    }

    fn wake(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let first = |set: &BTreeSet<(Timestamp, RunId)>| set.first().map(|(time, _)| *time);
        let times = [first(&self.deadlines), first(&self.evictions), self.gate.opens_at(now)];
        let at = times.into_iter().flatten().min();
        if at != self.wake_at {
            self.wake_at = at;
            actions.push(Action::WakeAt { at });
        }
    }

    fn set_deadline(&mut self, run_id: &RunId, deadline: Option<Timestamp>) {
        set_time(&mut self.deadlines, &mut self.deadline_of, run_id, deadline);
    }

    fn set_eviction(&mut self, run_id: &RunId, at: Option<Timestamp>) {
        set_time(&mut self.evictions, &mut self.eviction_of, run_id, at);
    }
}

fn next_deadline(slot: &Slot) -> Option<Timestamp> {
    if slot.run.status().is_ended() {
        return None;
    }
    slot.run.next_deadline().map(|deadline| deadline.max(slot.tick_not_before))
}

fn set_time(
    order: &mut BTreeSet<(Timestamp, RunId)>,
    times: &mut BTreeMap<RunId, Timestamp>,
    run_id: &RunId,
    time: Option<Timestamp>,
) {
    let before = match time {
        Some(time) => times.insert(run_id.clone(), time),
        None => times.remove(run_id),
    };
    if before == time {
        return;
    }
    if let Some(before) = before {
        order.remove(&(before, run_id.clone()));
    }
    if let Some(time) = time {
        order.insert((time, run_id.clone()));
    }
}
