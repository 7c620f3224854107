//! A model of quarantine, simpler than the core's and apart from it: no call begins on a plugin that is out of service but
//! the one probe, and a plugin is out of service when it must be (R1.10).

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_driver::{Action, Breaker, BreakerState, Core, Evidence, Quarantine, RunId};
use bandstand_engine::{Callee, Command, CommandId};

use crate::check::{Problem, problem};

/// What the model knows.
pub(super) struct Model {
    settings: Quarantine,
    /// Faults in a row, by plugin.
    faults: BTreeMap<String, u32>,
    /// Calls in flight that began while their plugin was half in service.
    probes: BTreeMap<String, (RunId, CommandId)>,
    /// What is on the disk.
    kept: BTreeMap<Arc<str>, Breaker>,
}

/// In a part of all seeds: chosen from what is there already, so that recorded choices keep their meaning.
pub(super) fn settings(seed: u64) -> Quarantine {
    let faults = u32::try_from(seed / 4 % 3).unwrap_or(0) + 1;
    Quarantine { enabled: seed % 4 == 2, faults, cool_down_ms: 200, cool_down_max_ms: 1_000 }
}

fn plugin(command: &Command) -> Option<String> {
    match &command.callee {
        Callee::Plugin(id) => Some(format!("sha256:{id}")),
        Callee::Workflow(_) => None,
    }
}

impl Model {
    pub(super) fn new(settings: Quarantine) -> Model {
        Model { settings, faults: BTreeMap::new(), probes: BTreeMap::new(), kept: BTreeMap::new() }
    }

    /// A call gave a result, for the first time.
    pub(super) fn ended(&mut self, command: &Command, evidence: Evidence) {
        let Some(plugin) = plugin(command).filter(|_| self.settings.enabled) else { return };
        match evidence {
            Evidence::Works => drop(self.faults.remove(&plugin)),
            Evidence::Fault => *self.faults.entry(plugin).or_default() += 1,
            Evidence::Nothing => {}
        }
    }

    /// A call is in flight no more, whatever it gave.
    pub(super) fn gone(&mut self, run_id: &RunId, id: &CommandId) {
        self.probes.retain(|_, probe| (&probe.0, &probe.1) != (run_id, id));
    }

    /// What is known is kept at once.
    pub(super) fn keep(&mut self, plugin: Arc<str>, breaker: Option<Breaker>) {
        match breaker {
            Some(breaker) => drop(self.kept.insert(plugin, breaker)),
            None => drop(self.kept.remove(&plugin)),
        }
    }

    /// The process died: what the next one is given.
    pub(super) fn crash(&mut self) -> Vec<Breaker> {
        self.probes.clear();
        self.faults = self.kept.values().map(|known| (known.plugin.to_string(), known.faults)).collect();
        self.kept.values().cloned().collect()
    }

    /// After one message: what the core wants begun, against how it has the breakers now.
    pub(super) fn check(&mut self, core: &Core, actions: &[Action]) -> Result<(), Problem> {
        let state = |plugin: &str| core.breaker(plugin).map_or(BreakerState::Closed, |known| known.state);
        for (plugin, faults) in &self.faults {
            if *faults >= self.settings.faults && state(plugin) == BreakerState::Closed {
                return problem(format!("{plugin} is in service after {faults} faults in a row"));
            }
        }
        self.probes.retain(|plugin, _| state(plugin) == BreakerState::HalfOpen);
        for action in actions {
            let Action::StartCall { run_id, command } = action else { continue };
            let Some(plugin) = plugin(command) else { continue };
            match state(&plugin) {
                BreakerState::Closed => {}
                BreakerState::Open => {
                    return problem(format!(
                        "{run_id}: {} begins, and {plugin} is in quarantine",
                        command.id
                    ));
                }
                BreakerState::HalfOpen => {
                    let probe = (run_id.clone(), command.id.clone());
                    if let Some(other) = self.probes.insert(plugin.clone(), probe) {
                        return problem(format!(
                            "{} begins beside the probe {} of {plugin}",
                            command.id, other.1
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
