//! Admission: which owed call may start, before it costs anything.
//!
//! Calls queue first in, first out within their run; runs take turns within their workflow, workflows within the host
//! (deficit round robin with calls of equal cost). Whoever is passed over because of a limit keeps its place at the
//! front, so that what becomes free goes to what has waited longest. Calls of a quarantined plugin wait in a [`Ward`] beside
//! the queues.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bandstand_engine::{Callee, Command, CommandId, Failure, Timestamp};

use crate::breaker::{self, Breaker, Breakers, Call, Evidence, QuarantineCounts};
use crate::mistake::{self, Mistake};
use crate::ward::Ward;
use crate::{Limits, RunId};

/// An attempt interrupted so often runs alone: it may be what kills the host.
const INTERRUPTIONS_MAX: u32 = 2;

/// A call that wants to start.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Which run's.
    pub run_id: RunId,
    /// The run's workflow, by name.
    pub workflow: Arc<str>,
    /// The plugin, by digest.
    pub plugin: Arc<str>,
    /// The call.
    pub command: Command,
}

impl Ticket {
    fn runs_alone(&self) -> bool {
        self.command.interruptions >= INTERRUPTIONS_MAX
    }

    fn call(&self) -> Call<'_> {
        let (Callee::Plugin(name) | Callee::Workflow(name)) = &self.command.callee;
        Call { plugin: &self.plugin, name: name.as_str(), workflow: &self.workflow }
    }
}

/// Why a call that is owed has not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Its plugin is in quarantine.
    Breaker,
    /// The sandbox had no room a moment ago.
    Overload,
    /// One of [`Limits`], its turn, or the disk being nearly full.
    Limit,
    /// The run is paused.
    Paused,
}

impl Held {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Held::Breaker => "breaker",
            Held::Overload => "overload",
            Held::Limit => "limit",
            Held::Paused => "paused",
        }
    }
}

/// The queues, and what is in flight.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    workflows: BTreeMap<Arc<str>, Turns<RunId, VecDeque<Ticket>>>,
    turn: VecDeque<Arc<str>>,
    /// Those that run alone, first in, first out.
    alone: VecDeque<Ticket>,
    /// How many others go first, so that attempts that run alone do not starve them.
    others_first: usize,
    waiting: usize,
    flying: BTreeMap<(RunId, CommandId), Permit>,
    flying_by_plugin: BTreeMap<Arc<str>, u32>,
    flying_by_workflow: BTreeMap<Arc<str>, u32>,
    flying_by_run: BTreeMap<RunId, u32>,
    shut_until: Option<Timestamp>,
    held: bool,
    /// Commands to be looked up first, in order; some may be owed no longer.
    lookups: VecDeque<(RunId, CommandId)>,
    breakers: Breakers,
    ward: Ward,
    /// Calls that have come to the ward, or stay in it, since that was last told.
    shut_out: Vec<(RunId, CommandId)>,
}

/// Queues that take turns.
#[derive(Debug)]
struct Turns<K, Q> {
    queues: BTreeMap<K, Q>,
    turn: VecDeque<K>,
}

#[derive(Debug)]
struct Permit {
    workflow: Arc<str>,
    plugin: Arc<str>,
    /// The plugin's name in that workflow.
    name: String,
    alone: bool,
}

impl Gate {
    /// An empty gate.
    pub fn new(limits: Limits) -> Gate {
        Gate {
            limits,
            workflows: BTreeMap::new(),
            turn: VecDeque::new(),
            alone: VecDeque::new(),
            others_first: 0,
            waiting: 0,
            flying: BTreeMap::new(),
            flying_by_plugin: BTreeMap::new(),
            flying_by_workflow: BTreeMap::new(),
            flying_by_run: BTreeMap::new(),
            shut_until: None,
            held: false,
            lookups: VecDeque::new(),
            breakers: Breakers::new(limits.quarantine),
            ward: Ward::default(),
            shut_out: Vec::new(),
        }
    }

    /// How many calls are in flight.
    pub fn flying(&self) -> usize {
        self.flying.len()
    }

    /// Whether calls of that run are in flight.
    pub fn flies(&self, run_id: &RunId) -> bool {
        self.flying_by_run.contains_key(run_id)
    }

    /// How many calls wait.
    pub fn waiting(&self) -> usize {
        self.waiting + self.alone.len() + self.ward.len()
    }

    /// Puts a call at the end of its run's queue.
    pub fn enqueue(&mut self, ticket: Ticket) {
        self.put(ticket, false);
    }

    /// Takes a call back that the sandbox had no room for: at the front of its run's queue, and nothing starts for
    /// [`Limits::overload_pause_ms`].
    pub fn refuse(&mut self, ticket: Ticket, now: Timestamp) {
        self.release(&ticket.run_id.clone(), &ticket.command.id.clone());
        self.shut_until = Some(now.plus_ms(self.limits.overload_pause_ms.max(1)));
        self.put(ticket, true);
    }

    fn put(&mut self, ticket: Ticket, in_front: bool) {
        if self.breakers.is_shut(&ticket.plugin) && !mistake::is(Mistake::StartShut) {
            self.shut_out.push((ticket.run_id.clone(), ticket.command.id.clone()));
            return self.ward.put(ticket, in_front);
        }
        self.queue(ticket, in_front);
    }

    fn queue(&mut self, ticket: Ticket, in_front: bool) {
        if ticket.runs_alone() {
            if in_front {
                self.alone.push_front(ticket)
            } else {
                self.alone.push_back(ticket)
            }
            return;
        }
        let workflow = self.workflows.entry(ticket.workflow.clone()).or_insert_with(|| {
            self.turn.push_back(ticket.workflow.clone());
            Turns { queues: BTreeMap::new(), turn: VecDeque::new() }
        });
        let queue = workflow.queues.entry(ticket.run_id.clone()).or_insert_with(|| {
            workflow.turn.push_back(ticket.run_id.clone());
            VecDeque::new()
        });
        if in_front {
            queue.push_front(ticket)
        } else {
            queue.push_back(ticket)
        }
        self.waiting += 1;
    }

    /// Takes a waiting call out of the queue; says whether it was there.
    pub fn withdraw(&mut self, workflow: &str, run_id: &RunId, id: &CommandId) -> bool {
        if self.ward.take(run_id, id).is_some() {
            return true;
        }
        let Some(ticket) = self.take(workflow, run_id, id) else { return false };
        self.breakers.probe_gone(&ticket.plugin, (run_id, id));
        true
    }

    fn take(&mut self, workflow: &str, run_id: &RunId, id: &CommandId) -> Option<Ticket> {
        let is_it = |ticket: &Ticket| ticket.run_id == *run_id && ticket.command.id == *id;
        if let Some(place) = self.alone.iter().position(is_it) {
            return self.alone.remove(place);
        }
        let runs = self.workflows.get_mut(workflow)?;
        let queue = runs.queues.get_mut(run_id)?;
        let ticket = queue.iter().position(is_it).and_then(|place| queue.remove(place))?;
        self.waiting -= 1;
        if queue.is_empty() {
            runs.queues.remove(run_id);
            runs.turn.retain(|other| other != run_id);
            if runs.queues.is_empty() {
                self.workflows.remove(workflow);
                self.turn.retain(|other| **other != *workflow);
            }
        }
        Some(ticket)
    }

    /// A call in flight has ended: its place is free.
    pub fn release(&mut self, run_id: &RunId, id: &CommandId) {
        let Some(permit) = self.flying.remove(&(run_id.clone(), id.clone())) else { return };
        lower(&mut self.flying_by_plugin, &permit.plugin);
        lower(&mut self.flying_by_workflow, &permit.workflow);
        lower(&mut self.flying_by_run, run_id);
        self.breakers.probe_gone(&permit.plugin, (run_id, id));
    }

    /// A call in flight shows whether its plugin works, before its place is free. `failure`: why, of a fault.
    pub fn judge(
        &mut self,
        run_id: &RunId,
        id: &CommandId,
        evidence: Evidence,
        failure: Option<&Failure>,
        now: Timestamp,
    ) {
        let Some(permit) = self.flying.get(&(run_id.clone(), id.clone())) else { return };
        let plugin = permit.plugin.clone();
        match evidence {
            Evidence::Nothing => {}
            Evidence::Works => {
                self.put_back_in_service(&plugin);
            }
            Evidence::Fault => {
                let call = Call { plugin: &plugin, name: &permit.name, workflow: &permit.workflow };
                let fault = failure.map(breaker::fault_text).unwrap_or_default();
                if self.breakers.fault(call, (run_id, id), fault, now) {
                    self.shut(&plugin);
                }
            }
        }
    }

    /// A plugin that was called as a tool shows whether it works.
    pub(crate) fn judge_tool(
        &mut self,
        call: Call<'_>,
        evidence: Evidence,
        fault: String,
        probe: bool,
        now: Timestamp,
    ) {
        match evidence {
            Evidence::Nothing => {}
            Evidence::Works => {
                self.put_back_in_service(call.plugin);
            }
            Evidence::Fault => {
                if self.breakers.tool_fault(call, fault, probe, now) {
                    self.shut(call.plugin);
                }
            }
        }
    }

    /// An attempt that is owed was under way again when the host died: often enough, its plugin goes to quarantine.
    pub fn interrupted(&mut self, ticket: &Ticket, now: Timestamp) {
        let times = ticket.command.interruptions;
        if times >= breaker::INTERRUPTIONS_MAX && self.breakers.trip(ticket.call(), times, now) {
            self.shut(&ticket.plugin);
        }
    }

    /// Ends a plugin's quarantine, and forgets its faults. Whether it was in quarantine.
    pub fn put_back_in_service(&mut self, plugin: &str) -> bool {
        if self.breakers.get(plugin).is_none() {
            return false;
        }
        let was_shut = self.breakers.close(plugin);
        let plugin: Arc<str> = plugin.into();
        while let Some(ticket) = self.ward.take_first(&plugin) {
            self.put(ticket, false);
        }
        was_shut
    }

    /// Takes up the breakers of an earlier process. To be called before calls come.
    pub fn restore(&mut self, breakers: Vec<Breaker>) {
        self.breakers.restore(breakers);
    }

    /// How many plugins and calls are out of service, and how often that came.
    pub fn quarantine_counts(&self) -> QuarantineCounts {
        QuarantineCounts { calls: self.ward.len() as u64, ..self.breakers.counts() }
    }

    /// What is known against that plugin.
    pub fn breaker(&self, plugin: &str) -> Option<&Breaker> {
        self.breakers.get(plugin)
    }

    /// Breakers that changed since this was last asked: the plugin, and what is known against it now.
    pub fn take_breakers(&mut self) -> Vec<(Arc<str>, Option<Breaker>)> {
        self.breakers.take_changed()
    }

    /// Calls that have come to wait for a quarantined plugin, or go on waiting after a probe, since this was last asked.
    pub fn take_shut_out(&mut self) -> Vec<(RunId, CommandId)> {
        std::mem::take(&mut self.shut_out)
    }

    /// The breaker because of which that call waits.
    pub fn breaker_of(&self, run_id: &RunId, id: &CommandId) -> Option<&Breaker> {
        self.breakers.get(self.ward.plugin_of(run_id, id)?)
    }

    /// The breaker has opened: what waits for its turn waits for that instead, in the same order.
    fn shut(&mut self, plugin: &Arc<str>) {
        let mut out = Vec::new();
        let mut sift = |queue: &mut VecDeque<Ticket>| {
            if queue.iter().any(|ticket| ticket.plugin == *plugin) {
                let (theirs, others): (Vec<Ticket>, Vec<Ticket>) =
                    queue.drain(..).partition(|ticket| ticket.plugin == *plugin);
                *queue = others.into();
                out.extend(theirs);
            }
        };
        sift(&mut self.alone);
        for name in &self.turn {
            let Some(runs) = self.workflows.get_mut(name) else { continue };
            for run_id in &runs.turn {
                if let Some(queue) = runs.queues.get_mut(run_id) {
                    let before = queue.len();
                    sift(queue);
                    self.waiting -= before - queue.len();
                }
            }
            runs.queues.retain(|_, queue| !queue.is_empty());
            runs.turn.retain(|run_id| runs.queues.contains_key(run_id));
        }
        self.workflows.retain(|_, runs| !runs.queues.is_empty());
        self.turn.retain(|name| self.workflows.contains_key(name));
        let stays = self.ward.of(plugin).map(|ticket| (ticket.run_id.clone(), ticket.command.id.clone()));
        self.shut_out.extend(stays);
        out.into_iter().for_each(|ticket| self.put(ticket, false));
    }

    /// Notes a command that is to be looked up before it queues.
    pub fn look_up(&mut self, run_id: RunId, id: CommandId) {
        self.lookups.push_back((run_id, id));
    }

    /// The next command to be looked up. Ask until there is none.
    pub fn next_lookup(&mut self) -> Option<(RunId, CommandId)> {
        if self.held { None } else { self.lookups.pop_front() }
    }

    /// `true`: nothing starts.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// When to ask again although nothing has ended: after an overload, or for the next probe of a plugin.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let overload = self.shut_until.filter(|_| self.waiting() > 0);
        [overload, self.breakers.opens_at(&self.ward, now)].into_iter().flatten().min()
    }

    /// Why that waiting call waits.
    pub fn held_because(&self, run_id: &RunId, id: &CommandId) -> Held {
        if self.ward.plugin_of(run_id, id).is_some() {
            Held::Breaker
        } else if self.shut_until.is_some() {
            Held::Overload
        } else {
            Held::Limit
        }
    }

    /// The next call that may start; it is in flight from now on. Ask until there is none.
    pub fn admit(&mut self, now: Timestamp) -> Option<Ticket> {
        // Further away than it ever was: the clock was set back, which must not keep the gate shut.
        let pause_ms = self.limits.overload_pause_ms.max(1);
        if self.shut_until.is_some_and(|until| now < until && until.since_ms(now) <= pause_ms) {
            return None;
        }
        self.shut_until = None;
        let full = self.flying.len() >= at_least_one(self.limits.calls_max);
        if self.held || full || self.flying.values().any(|permit| permit.alone) {
            return None;
        }
        while let Some(plugin) = self.breakers.due(&self.ward, now) {
            let Some(ticket) = self.ward.take_first(&plugin) else { break };
            self.breakers.probe(&plugin, &ticket.run_id, &ticket.command.id);
            self.queue(ticket, true);
        }
        if !self.alone.is_empty() && (self.others_first == 0 || self.waiting == 0) {
            // Others start only after it: what is in flight drains.
            if !self.flying.is_empty() {
                return None;
            }
            let ticket = self.alone.pop_front()?;
            self.others_first = self.waiting.min(at_least_one(self.limits.calls_max));
            self.fly(&ticket);
            return Some(ticket);
        }
        let ticket = self.take_turn()?;
        self.others_first = self.others_first.saturating_sub(1);
        self.fly(&ticket);
        Some(ticket)
    }

    /// The first call by turn that no limit stops; its run and workflow go to the end of their turns.
    fn take_turn(&mut self) -> Option<Ticket> {
        for place in 0..self.turn.len() {
            let name = &self.turn[place];
            if at_limit(&self.flying_by_workflow, name, self.limits.calls_per_workflow_max) {
                continue;
            }
            let runs = self.workflows.get_mut(name).expect("a workflow in turn has queues");
            let Some(ticket) = take_from(runs, &self.flying_by_run, &self.flying_by_plugin, self.limits)
            else {
                continue;
            };
            let nothing_left = runs.queues.is_empty();
            let name = self.turn.remove(place).expect("the place was just read");
            if nothing_left {
                self.workflows.remove(&name);
            } else {
                self.turn.push_back(name);
            }
            self.waiting -= 1;
            return Some(ticket);
        }
        None
    }

    fn fly(&mut self, ticket: &Ticket) {
        let permit = Permit {
            workflow: ticket.workflow.clone(),
            plugin: ticket.plugin.clone(),
            name: ticket.call().name.to_owned(),
            alone: ticket.runs_alone(),
        };
        *self.flying_by_plugin.entry(permit.plugin.clone()).or_default() += 1;
        *self.flying_by_workflow.entry(permit.workflow.clone()).or_default() += 1;
        *self.flying_by_run.entry(ticket.run_id.clone()).or_default() += 1;
        self.flying.insert((ticket.run_id.clone(), ticket.command.id.clone()), permit);
    }
}

fn take_from(
    runs: &mut Turns<RunId, VecDeque<Ticket>>,
    flying_by_run: &BTreeMap<RunId, u32>,
    flying_by_plugin: &BTreeMap<Arc<str>, u32>,
    limits: Limits,
) -> Option<Ticket> {
    for place in 0..runs.turn.len() {
        let run_id = &runs.turn[place];
        if at_limit(flying_by_run, run_id, limits.calls_per_run_max) {
            continue;
        }
        let queue = runs.queues.get_mut(run_id).expect("a run in turn has a queue");
        let free = |ticket: &Ticket| !at_limit(flying_by_plugin, &ticket.plugin, limits.calls_per_plugin_max);
        let Some(ticket) = queue.iter().position(free).and_then(|first| queue.remove(first)) else {
            continue;
        };
        let nothing_left = queue.is_empty();
        let run_id = runs.turn.remove(place).expect("the place was just read");
        if nothing_left {
            runs.queues.remove(&run_id);
        } else {
            runs.turn.push_back(run_id);
        }
        return Some(ticket);
    }
    None
}

fn at_least_one(limit: u32) -> usize {
    usize::try_from(limit.max(1)).unwrap_or(usize::MAX)
}

fn at_limit(counts: &BTreeMap<Arc<str>, u32>, key: &Arc<str>, limit: u32) -> bool {
    counts.get(key).is_some_and(|count| *count >= limit.max(1))
}

fn lower(counts: &mut BTreeMap<Arc<str>, u32>, key: &Arc<str>) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bandstand_engine::Id;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn ticket(workflow: &str, run: &str, node: u32, plugin: &str, interruptions: u32) -> Ticket {
        Ticket {
            run_id: run.into(),
            workflow: workflow.into(),
            plugin: plugin.into(),
            command: Command {
                id: format!("n@{node}#1").parse().unwrap(),
                callee: bandstand_engine::Callee::Plugin(Id::new("p").unwrap()),
                input: Arc::new(json!({})),
                attempts_max: 1,
                timeout_ms: 1,
                interruptions,
            },
        }
    }

    fn limits(calls: u32, plugin: u32, workflow: u32, run: u32) -> Limits {
        Limits {
            calls_max: calls,
            calls_per_plugin_max: plugin,
            calls_per_workflow_max: workflow,
            calls_per_run_max: run,
            ..Limits::default()
        }
    }

    /// Small and repeatable; quality does not matter here.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % sides
        }
    }

    #[test]
    fn a_busy_workflow_does_not_delay_a_quiet_one() {
        let mut gate = Gate::new(limits(1, 9, 9, 9));
        for node in 1..=100 {
            gate.enqueue(ticket("busy", "b", node, "p", 0));
        }
        let first = gate.admit(NOW).unwrap();
        gate.enqueue(ticket("quiet", "q", 1, "p", 0));
        gate.release(&first.run_id, &first.command.id);
        let mut before = 0;
        loop {
            let next = gate.admit(NOW).unwrap();
            if &*next.workflow == "quiet" {
                break;
            }
            before += 1;
            gate.release(&next.run_id, &next.command.id);
        }
        assert!(before <= 1, "{before} calls of the busy workflow went first");
    }

    #[test]
    fn backlogged_workflows_and_runs_are_served_evenly() {
        // Three workflows with 1, 2 and 5 runs, all with more calls than are served.
        let mut gate = Gate::new(limits(4, 99, 99, 99));
        for (workflow, runs) in [("a", 1), ("b", 2), ("c", 5)] {
            for node in 1..=400 {
                for run in 0..runs {
                    gate.enqueue(ticket(workflow, &format!("{workflow}{run}"), node, "p", 0));
                }
            }
        }
        let mut by_workflow: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        let mut by_run: BTreeMap<RunId, i64> = BTreeMap::new();
        let mut flying = VecDeque::new();
        for _ in 0..300 {
            while let Some(next) = gate.admit(NOW) {
                *by_workflow.entry(next.workflow.clone()).or_default() += 1;
                *by_run.entry(next.run_id.clone()).or_default() += 1;
                flying.push_back(next);
            }
            let done = flying.pop_front().unwrap();
            gate.release(&done.run_id, &done.command.id);
        }
        let spread = |counts: Vec<i64>| counts.iter().max().unwrap() - counts.iter().min().unwrap();
        assert!(spread(by_workflow.values().copied().collect()) <= 1, "{by_workflow:?}");
        let of_c = by_run.iter().filter(|(run, _)| run.starts_with('c')).map(|(_, count)| *count).collect();
        assert!(spread(of_c) <= 1, "{by_run:?}");
    }

    #[test]
    fn no_order_of_events_breaks_a_limit_or_loses_a_call() {
        for seed in 1..200_u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let bound = |dice: &mut Dice| u32::try_from(1 + dice.roll(4)).unwrap();
            let limits = limits(bound(&mut dice) + 2, bound(&mut dice), bound(&mut dice), bound(&mut dice));
            let mut gate = Gate::new(limits);
            let mut flying: Vec<Ticket> = Vec::new();
            let mut waiting: BTreeSet<(RunId, CommandId)> = BTreeSet::new();
            let mut last_served: BTreeMap<(RunId, Arc<str>), u32> = BTreeMap::new();
            for node in 1..=300_u32 {
                let (w, r) = (dice.roll(3), dice.roll(3));
                let (workflow, run) = (format!("w{w}"), format!("w{w}r{r}"));
                let interruptions = if dice.roll(20) == 0 { 2 } else { 0 };
                let new = ticket(&workflow, &run, node, &format!("p{}", dice.roll(2)), interruptions);
                waiting.insert((new.run_id.clone(), new.command.id.clone()));
                gate.enqueue(new);
                if dice.roll(10) == 0 {
                    let index = usize::try_from(dice.roll(waiting.len() as u64)).unwrap();
                    let (run, id) = waiting.iter().nth(index).cloned().unwrap();
                    assert!(gate.withdraw(&run[..2], &run, &id));
                    waiting.remove(&(run, id));
                }
                while let Some(next) = gate.admit(NOW) {
                    assert!(
                        waiting.remove(&(next.run_id.clone(), next.command.id.clone())),
                        "started once only"
                    );
                    assert!(
                        !flying.iter().any(Ticket::runs_alone),
                        "nothing starts beside one that runs alone"
                    );
                    assert!(!next.runs_alone() || flying.is_empty(), "it runs alone");
                    if !next.runs_alone() {
                        let number = next.command.visit();
                        let key = (next.run_id.clone(), next.plugin.clone());
                        let before = last_served.insert(key, number).unwrap_or(0);
                        assert!(before < number, "first in, first out within run and plugin");
                    }
                    flying.push(next);
                    let count =
                        |same: &dyn Fn(&Ticket) -> bool| flying.iter().filter(|t| same(t)).count() as u32;
                    let new = flying.last().unwrap();
                    assert!(count(&|_| true) <= limits.calls_max);
                    assert!(count(&|t| t.plugin == new.plugin) <= limits.calls_per_plugin_max);
                    assert!(count(&|t| t.workflow == new.workflow) <= limits.calls_per_workflow_max);
                    assert!(count(&|t| t.run_id == new.run_id) <= limits.calls_per_run_max);
                }
                while !flying.is_empty() && dice.roll(2) == 0 {
                    let index = usize::try_from(dice.roll(flying.len() as u64)).unwrap();
                    let done = flying.swap_remove(index);
                    gate.release(&done.run_id, &done.command.id);
                }
            }
            for _ in 0..1_000 {
                for done in flying.drain(..) {
                    gate.release(&done.run_id, &done.command.id);
                }
                while let Some(next) = gate.admit(NOW) {
                    waiting.remove(&(next.run_id.clone(), next.command.id.clone()));
                    flying.push(next);
                }
            }
            assert_eq!(
                (waiting.len(), gate.waiting(), gate.flying()),
                (0, 0, 0),
                "seed {seed}: all were served"
            );
        }
    }

    #[test]
    fn an_overload_shuts_the_gate_for_a_moment_and_keeps_the_place() {
        // R1.9
        let mut gate = Gate::new(limits(1, 9, 9, 9));
        gate.enqueue(ticket("w", "r", 1, "p", 0));
        gate.enqueue(ticket("w", "r", 2, "p", 0));
        let first = gate.admit(NOW).unwrap();
        gate.refuse(first.clone(), NOW);
        assert!(gate.admit(NOW).is_none());
        let opens = gate.opens_at(NOW).unwrap();
        assert_eq!(gate.held_because(&first.run_id, &first.command.id), Held::Overload);
        assert_eq!(gate.admit(opens).unwrap().command.id, first.command.id);
    }

    #[test]
    fn attempts_that_run_alone_do_not_starve_the_others() {
        let mut gate = Gate::new(limits(2, 9, 9, 9));
        for node in 1..=20 {
            gate.enqueue(ticket("w", "bad", node, "p", 3));
            gate.enqueue(ticket("w", "good", node, "p", 0));
        }
        let mut order = Vec::new();
        while gate.waiting() > 0 {
            let mut flying = Vec::new();
            while let Some(next) = gate.admit(NOW) {
                flying.push(next);
            }
            for done in flying {
                order.push(done.run_id.clone());
                gate.release(&done.run_id, &done.command.id);
            }
        }
        let half = order[..20].iter().filter(|run| &***run == "good").count();
        assert!((5..=15).contains(&half), "{order:?}");
    }
}
