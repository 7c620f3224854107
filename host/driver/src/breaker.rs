//! Quarantine: a circuit breaker for each plugin, by digest (R1.10). Pure: the time is an argument.
//!
//! # The rule
//!
//! - What counts is what calls show ([`Evidence`]), over all runs. A *fault* is the plugin's: its code died, a limit or its
//!   time was exceeded, or its reply was none. A failure that the agent reports itself shows that it works, as a reply does.
//!   What says nothing of the plugin counts neither way: a call that was stopped or found no room, a power that is not
//!   granted, a fault of the host.
//! - A breaker is **closed** until [`Quarantine::faults`] faults came in a row. One call that works sets that back to none.
//!   So an input on which the plugin dies takes it out of service only if nobody else gets anything from it either.
//! - Then it is **open**: calls of that plugin wait in the [`Ward`], at the gate and yet in nobody's way. None begins, so
//!   none is spent.
//! - After the cool-down the call that has waited longest is let through, as the *probe*; meanwhile the breaker is **half
//!   open**. If the probe faults it is open again, for twice as long, up to a maximum. If it says nothing of the plugin (it
//!   was stopped, its run paused), the next one is let through at once.
//! - A call that works closes it, whichever call that is; so does a person. Those in the ward go on then.
//! - A plugin that is called as a tool counts in the same way, for itself and not for its caller. While its breaker is not
//!   closed such calls are refused, since their callers cannot wait; when the cool-down is over one is let through, as a
//!   probe that leaves the breaker open until it has ended.
//! - An attempt that was under way three times when the host died opens it at once: the plugin may be what kills the host.
//!
//! The wall clock may jump. Set back, it makes nobody wait longer than the cool-down, counted from where it stands then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bandstand_engine::{Class, CommandId, Failure, Input, Timestamp};
use serde::{Deserialize, Serialize};

use crate::RunId;
use crate::mistake::{self, Mistake};
use crate::ward::Ward;

/// An attempt that was under way so often when the host died opens its plugin's breaker.
pub(crate) const INTERRUPTIONS_MAX: u32 = 3;
/// Plugins of which faults are remembered though they are in service. Beyond that those are forgotten.
const REMEMBERED_MAX: usize = 1_000;

/// When a plugin is taken out of service, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quarantine {
    /// `false`: never (`quarantine.enabled`).
    pub enabled: bool,
    /// So many faults in a row open a breaker; 0 counts as 1 (`quarantine.faults`).
    pub faults: u32,
    /// From opening to the first probe. Milliseconds (`quarantine.cool-down`).
    pub cool_down_ms: u64,
    /// It doubles with each probe that faults, up to this. Milliseconds (`quarantine.cool-down-max`).
    pub cool_down_max_ms: u64,
}

impl Default for Quarantine {
    /// More faults than the four attempts of two visits: who tries a plugin that is not finished yet is not stopped at once.
    fn default() -> Quarantine {
        Quarantine { enabled: true, faults: 10, cool_down_ms: 30_000, cool_down_max_ms: 600_000 }
    }
}

impl Quarantine {
    /// How long a breaker stays open that has opened so often in a row.
    fn cool_down_ms(&self, opened: u32) -> u64 {
        let doublings = opened.saturating_sub(1).min(63);
        let grown = u128::from(self.cool_down_ms.max(1)) << doublings;
        u64::try_from(grown).unwrap_or(u64::MAX).min(self.cool_down_max_ms.max(self.cool_down_ms).max(1))
    }
}

/// What a call that has ended shows of its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It works: it gave a reply, or a failure of its own.
    Works,
    /// The fault is the plugin's.
    Fault,
    /// Neither.
    Nothing,
}

impl Evidence {
    /// What that input shows, unless the host knows that the fault is its own.
    pub fn of(input: &Input) -> Evidence {
        match input {
            Input::Done { .. } => Evidence::Works,
            Input::Failed { failure, .. } => match failure.class {
                Class::Agent => Evidence::Works,
                Class::Trap | Class::Timeout | Class::InvalidOutput | Class::Limit => Evidence::Fault,
                _ => Evidence::Nothing,
            },
            _ => Evidence::Nothing,
        }
    }
}

/// Whether calls of a plugin start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// They do.
    Closed,
    /// None does.
    Open,
    /// One does, or is about to.
    HalfOpen,
}

impl BreakerState {
    /// The word for people and for the store.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }

    /// What a word means.
    pub fn named(name: &str) -> Option<BreakerState> {
        [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// What is known against a plugin. There is none for a plugin whose last call worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// The plugin, by digest.
    pub plugin: Arc<str>,
    /// Its name in the workflow that called it last in vain.
    pub name: String,
    /// That workflow, by name.
    pub workflow: String,
    /// Whether its calls start.
    pub state: BreakerState,
    /// Faults in a row.
    pub faults: u32,
    /// How often it opened in a row.
    pub opened: u32,
    /// Since when it is out of service.
    pub since: Option<Timestamp>,
    /// When a call is let through next; past, if one waits for nothing but its turn. Of one that is half open: when that was.
    pub probe_at: Option<Timestamp>,
    /// The last fault, for people.
    pub fault: String,
}

/// Quarantine in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineCounts {
    /// Faults of plugins, in this process.
    pub faults: u64,
    /// Times that a breaker opened, in this process.
    pub opened: u64,
    /// Plugins that are out of service now.
    pub plugins: u64,
    /// Calls that wait for them now.
    pub calls: u64,
}

/// Who called a plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) plugin: &'a Arc<str>,
    pub(crate) name: &'a str,
    pub(crate) workflow: &'a str,
}

/// A fault for people, as breakers and [`Message::ToolEnded`](crate::Message::ToolEnded) have it.
pub fn fault_text(failure: &Failure) -> String {
    const CHARS_MAX: usize = 500;
    let text = format!("{} ({}): {}", failure.class.name(), failure.code, failure.message);
    text.chars().take(CHARS_MAX).collect()
}

/// All breakers of which there is something to tell.
#[derive(Debug)]
pub(crate) struct Breakers {
    settings: Quarantine,
    all: BTreeMap<Arc<str>, Kept>,
    /// Since they were last told.
    changed: BTreeSet<Arc<str>>,
    counts: QuarantineCounts,
}

#[derive(Debug)]
struct Kept {
    breaker: Breaker,
    /// Whose probe is under way, from when it is let through to the gate's queues.
    probe: Option<(RunId, CommandId)>,
}

impl Breakers {
    pub(crate) fn new(settings: Quarantine) -> Breakers {
        Breakers {
            settings,
            all: BTreeMap::new(),
            changed: BTreeSet::new(),
            counts: QuarantineCounts::default(),
        }
    }

    /// Takes up what an earlier process knew. The probe it may have let through is gone with it.
    pub(crate) fn restore(&mut self, breakers: Vec<Breaker>) {
        for mut breaker in breakers.into_iter().filter(|_| self.settings.enabled) {
            if breaker.state == BreakerState::HalfOpen {
                breaker.state = BreakerState::Open;
                self.changed.insert(breaker.plugin.clone());
            }
            self.counts.plugins += u64::from(breaker.state == BreakerState::Open);
            self.all.insert(breaker.plugin.clone(), Kept { breaker, probe: None });
        }
    }

    /// Whether calls of that plugin have to wait.
    pub(crate) fn is_shut(&self, plugin: &str) -> bool {
        self.get(plugin).is_some_and(|breaker| breaker.state != BreakerState::Closed)
    }

    pub(crate) fn get(&self, plugin: &str) -> Option<&Breaker> {
        self.all.get(plugin).map(|kept| &kept.breaker)
    }

    /// A fault. Whether the breaker opened by it, for the first time or again.
    pub(crate) fn fault(
        &mut self,
        call: Call<'_>,
        by: (&RunId, &CommandId),
        fault: String,
        now: Timestamp,
    ) -> bool {
        let is_probe = |kept: &Kept| {
            kept.breaker.state == BreakerState::HalfOpen
                && kept.probe.as_ref().is_some_and(|(run_id, id)| (run_id, id) == by)
        };
        self.count(call, fault, is_probe, now)
    }

    /// As [`Breakers::fault`], of a plugin that was called as a tool; `probe`: it was let through, since the cool-down is
    /// over. Such a probe leaves the breaker open while it goes on.
    pub(crate) fn tool_fault(&mut self, call: Call<'_>, fault: String, probe: bool, now: Timestamp) -> bool {
        let is_probe = |kept: &Kept| probe && kept.breaker.state == BreakerState::Open;
        // Another probe may have opened it again meanwhile.
        let is_over = self.get(call.plugin).is_some_and(|breaker| self.is_over(breaker, now));
        self.count(call, fault, |kept| is_over && is_probe(kept), now)
    }

    fn count(
        &mut self,
        call: Call<'_>,
        fault: String,
        is_probe: impl FnOnce(&Kept) -> bool,
        now: Timestamp,
    ) -> bool {
        self.counts.faults += 1;
        if !self.settings.enabled {
            return false;
        }
        let faults_max = self.settings.faults.max(1);
        let kept = self.note(call, fault);
        kept.breaker.faults = kept.breaker.faults.saturating_add(1);
        let opens = match kept.breaker.state {
            BreakerState::Closed => kept.breaker.faults >= faults_max,
            // What is no probe was under way before.
            BreakerState::HalfOpen | BreakerState::Open => is_probe(kept),
        };
        if opens {
            self.open(call.plugin, now);
        }
        opens
    }

    /// The plugin may be what kills the host. Whether its breaker opened by that.
    pub(crate) fn trip(&mut self, call: Call<'_>, times: u32, now: Timestamp) -> bool {
        if !self.settings.enabled || self.get(call.plugin).is_some_and(|known| waits(known, now)) {
            return false;
        }
        self.note(call, format!("the host died {times} times in a row while an attempt of it was under way"));
        self.open(call.plugin, now);
        true
    }

    /// A call worked, or a person says that it will. Whether it was out of service.
    pub(crate) fn close(&mut self, plugin: &str) -> bool {
        let Some((plugin, kept)) = self.all.remove_entry(plugin) else { return false };
        self.changed.insert(plugin);
        let was_shut = kept.breaker.state != BreakerState::Closed;
        self.counts.plugins -= u64::from(was_shut);
        was_shut
    }

    /// The call is not under way any more. If it was a probe that showed nothing, the next one is due.
    pub(crate) fn probe_gone(&mut self, plugin: &str, by: (&RunId, &CommandId)) {
        let Some(kept) = self.all.get_mut(plugin) else { return };
        let is_probe = kept.probe.as_ref().is_some_and(|(run_id, id)| (run_id, id) == by);
        if is_probe && !mistake::is(Mistake::ForgetProbe) {
            kept.probe = None;
            kept.breaker.state = BreakerState::Open;
            self.changed.insert(kept.breaker.plugin.clone());
        }
    }

    /// A plugin in this ward of which a call is to be let through now.
    pub(crate) fn due(&self, ward: &Ward, now: Timestamp) -> Option<Arc<str>> {
        if ward.is_empty() {
            return None;
        }
        let due = |kept: &&Kept| {
            kept.breaker.state == BreakerState::Open
                && self.is_over(&kept.breaker, now)
                && ward.holds(&kept.breaker.plugin)
        };
        self.all.values().find(due).map(|kept| kept.breaker.plugin.clone())
    }

    /// That call is let through.
    pub(crate) fn probe(&mut self, plugin: &str, run_id: &RunId, id: &CommandId) {
        let Some(kept) = self.all.get_mut(plugin) else { return };
        kept.breaker.state = BreakerState::HalfOpen;
        kept.probe = Some((run_id.clone(), id.clone()));
        self.changed.insert(kept.breaker.plugin.clone());
    }

    /// When a call in this ward is to be let through next. One that is due already waits for something else.
    pub(crate) fn opens_at(&self, ward: &Ward, now: Timestamp) -> Option<Timestamp> {
        if ward.is_empty() {
            return None;
        }
        let open = self.all.values().map(|kept| &kept.breaker);
        let held = open.filter(|breaker| breaker.state == BreakerState::Open && ward.holds(&breaker.plugin));
        held.filter_map(|breaker| breaker.probe_at).filter(|at| *at > now).min()
    }

    pub(crate) fn counts(&self) -> QuarantineCounts {
        self.counts
    }

    /// Those that changed since, and how they are now. None: there is nothing to tell of the plugin any more.
    pub(crate) fn take_changed(&mut self) -> Vec<(Arc<str>, Option<Breaker>)> {
        let changed = std::mem::take(&mut self.changed);
        changed
            .into_iter()
            .map(|plugin| {
                let now = self.get(&plugin).cloned();
                (plugin, now)
            })
            .collect()
    }

    fn note(&mut self, call: Call<'_>, fault: String) -> &mut Kept {
        if self.all.len() >= REMEMBERED_MAX && !self.all.contains_key(call.plugin) {
            let harmless = |kept: &Kept| kept.breaker.state == BreakerState::Closed;
            self.changed.extend(
                self.all.values().filter(|kept| harmless(kept)).map(|kept| kept.breaker.plugin.clone()),
            );
            self.all.retain(|_, kept| !harmless(kept));
        }
        self.changed.insert(call.plugin.clone());
        let kept = self.all.entry(call.plugin.clone()).or_insert_with(|| Kept {
            breaker: Breaker {
                plugin: call.plugin.clone(),
                name: String::new(),
                workflow: String::new(),
                state: BreakerState::Closed,
                faults: 0,
                opened: 0,
                since: None,
                probe_at: None,
                fault: String::new(),
            },
            probe: None,
        });
        kept.breaker.name = call.name.to_owned();
        kept.breaker.workflow = call.workflow.to_owned();
        kept.breaker.fault = fault;
        kept
    }

    fn open(&mut self, plugin: &str, now: Timestamp) {
        let settings = self.settings;
        let Some(Kept { breaker, probe }) = self.all.get_mut(plugin) else { return };
        self.counts.opened += 1;
        self.counts.plugins += u64::from(breaker.state == BreakerState::Closed);
        *probe = None;
        breaker.state = BreakerState::Open;
        breaker.opened = breaker.opened.saturating_add(1);
        breaker.since = breaker.since.or(Some(now));
        breaker.probe_at = Some(now.plus_ms(settings.cool_down_ms(breaker.opened)));
    }

    fn is_over(&self, breaker: &Breaker, now: Timestamp) -> bool {
        let Some(at) = breaker.probe_at else { return true };
        // Further away than it ever was: the clock was set back.
        at <= now || at.since_ms(now) > self.settings.cool_down_ms(breaker.opened)
    }
}

/// Whether it is open and not due yet.
fn waits(breaker: &Breaker, now: Timestamp) -> bool {
    breaker.state == BreakerState::Open && breaker.probe_at.is_some_and(|at| at > now)
}
