//! The tools of one attempt: which plugin of its run a name means, with the powers and limits that the run pins for it;
//! and which plugins are out of service for now (R1.10).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bandstand_driver::{Breaker, BreakerState, Message};
use bandstand_engine::{CommandId, Id, Timestamp};
use bandstand_sandbox::{Outcome, PowerError, PowerErrorKind, Tool, ToolSpec, Tools};

use super::call::{self, Caller, Of};
use super::clock::now;
use super::{convert, plugins};

/// Any object.
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// What stands behind the interface `tools` of an attempt, and of the tools that it calls: they are of the same run.
pub(super) struct ToolsOf {
    caller: Caller,
    of: Arc<Of>,
    id: CommandId,
}

impl ToolsOf {
    pub(super) fn of(caller: &Caller, of: &Arc<Of>, id: &CommandId) -> Arc<dyn Tools> {
        Arc::new(ToolsOf { caller: caller.clone(), of: of.clone(), id: id.clone() })
    }
}

impl Tools for ToolsOf {
    fn describe(&self, name: &str) -> Option<ToolSpec> {
        let id = Id::new(name).ok()?;
        // Whoever is nobody's tool in this workflow is not told of.
        let is_tool = self.of.graph.plugins.values().any(|plugin| plugin.grants.tools.contains(&id));
        let plugin = self.of.graph.plugins.get(&id).filter(|_| is_tool)?;
        Some(ToolSpec {
            name: name.to_owned(),
            description: plugin.description.clone().unwrap_or_default(),
            parameters: plugin.parameters.as_ref().map_or_else(|| ANY_OBJECT.to_owned(), ToString::to_string),
        })
    }

    fn find(&self, name: &str) -> Result<Tool, PowerError> {
        let pinned = Id::new(name).ok().and_then(|id| self.of.pinned(&id));
        let Some((digest, declared)) = pinned else {
            let message = format!("the run pins no plugin `{name}`");
            return Err(PowerError::new(PowerErrorKind::NotFound, "tool-unknown", message));
        };
        // A glance at the disk for whoever was granted a directory; nothing else here takes time.
        if let Some(refused) = self.caller.lending.refusal(&declared.grants) {
            return Err(PowerError::new(
                PowerErrorKind::Denied,
                &refused.code,
                format!("the tool `{name}`: {}", refused.message),
            ));
        }
        let Some(plugin) = self.caller.plugins.ready(digest, declared.function.as_deref()) else {
            let message = format!("the tool `{name}` cannot be loaded; `bandstand plugin verify` says why");
            return Err(PowerError::new(PowerErrorKind::Unavailable, "tool-unusable", message));
        };
        let pass = self.caller.out_of_service.enter(digest, now()).map_err(|wait_ms| PowerError {
            retry_after_ms: Some(u32::try_from(wait_ms).unwrap_or(u32::MAX)),
            ..PowerError::new(
                PowerErrorKind::Unavailable,
                "tool-quarantined",
                format!(
                    "the tool `{name}` keeps crashing and is in quarantine; `bandstand plugin list` says more"
                ),
            )
        })?;
        let (mailbox, name) = (self.of.mailbox.clone(), name.to_owned());
        let (plugin_digest, workflow) = (Arc::from(digest), self.of.graph.name.clone());
        let judged = convert::is_judged(declared);
        let ended = move |outcome: &Outcome| {
            let (evidence, fault) = convert::tool_evidence(outcome);
            let evidence = convert::judge(judged, evidence);
            let probe = pass.is_probe();
            mailbox.tell(Message::ToolEnded {
                plugin: plugin_digest,
                name,
                workflow,
                evidence,
                fault,
                probe,
            });
        };
        Ok(Tool {
            plugin,
            limits: call::limits(&self.caller.attempt, &declared.limits, 0),
            grants: Arc::new(plugins::grants(&declared.grants)),
            memory: declared.grants.memory.map(|_| (self.caller.memory_for)(&self.of.started, &self.id)),
            env: self.caller.lending.env(&declared.grants.env).0,
            ended: Some(Box::new(ended)),
        })
    }
}

/// The breakers that are not closed, as the core told of them last: a tool's caller cannot wait for its turn at the gate.
#[derive(Debug, Default)]
pub struct OutOfService(Mutex<BTreeMap<String, Shut>>);

#[derive(Debug)]
struct Shut {
    /// `None`: a probe of the driver is under way.
    until: Option<Timestamp>,
    /// A call of a tool was let through and has not ended.
    probed: bool,
}

impl OutOfService {
    /// Takes up what is known against a plugin now.
    pub fn set(&self, plugin: &str, breaker: Option<&Breaker>) {
        let mut shut = self.lock();
        match breaker.filter(|breaker| breaker.state != BreakerState::Closed) {
            None => {
                shut.remove(plugin);
            }
            Some(breaker) => {
                let open = breaker.state == BreakerState::Open;
                let until = open.then(|| breaker.probe_at.unwrap_or(Timestamp(i64::MIN)));
                match shut.get_mut(plugin) {
                    // The same again, while a probe is under way.
                    Some(known) if known.until == until => {}
                    _ => {
                        shut.insert(plugin.to_owned(), Shut { until, probed: false });
                    }
                }
            }
        }
    }

    /// Lets a call of a tool through, or says how long to wait. Milliseconds.
    fn enter(self: &Arc<Self>, plugin: &str, now: Timestamp) -> Result<Pass, u64> {
        /// While somebody else's probe goes on.
        const SOON_MS: u64 = 1_000;
        let mut all = self.lock();
        let Some(shut) = all.get_mut(plugin) else { return Ok(Pass(None)) };
        match shut.until {
            Some(until) if until > now => Err(until.since_ms(now).max(1)),
            Some(_) if !shut.probed => {
                shut.probed = true;
                drop(all);
                Ok(Pass(Some((self.clone(), plugin.to_owned()))))
            }
            _ => Err(SOON_MS),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Shut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through; of a probe, the next one may come when this is dropped.
#[derive(Debug)]
struct Pass(Option<(Arc<OutOfService>, String)>);

impl Pass {
    fn is_probe(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((all, plugin)) = self.0.take()
            && let Some(shut) = all.lock().get_mut(&plugin)
        {
            shut.probed = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(state: BreakerState, probe_at: i64) -> Breaker {
        Breaker {
            plugin: "sha256:1".into(),
            name: "search".to_owned(),
            workflow: "w".to_owned(),
            state,
            faults: 3,
            opened: 1,
            since: Some(Timestamp(0)),
            probe_at: Some(Timestamp(probe_at)),
            fault: String::new(),
        }
    }

    // R1.10
    #[test]
    fn a_tool_in_quarantine_is_refused_and_tried_once_when_its_time_is_over() {
        let all = Arc::new(OutOfService::default());
        let enter = |at| all.enter("sha256:1", Timestamp(at));
        assert!(!enter(0).unwrap().is_probe());
        all.set("sha256:1", Some(&breaker(BreakerState::Open, 100)));
        assert_eq!(enter(40).unwrap_err(), 60);
        let probe = enter(100).unwrap();
        assert!(probe.is_probe());
        assert_eq!(enter(100).unwrap_err(), 1_000, "one at a time");
        drop(probe);
        let given_up = enter(101).unwrap();
        assert!(given_up.is_probe(), "one that was given up makes room");
        all.set("sha256:1", Some(&breaker(BreakerState::HalfOpen, 100)));
        drop(given_up);
        assert!(enter(102).is_err(), "the driver tries it");
        all.set("sha256:1", Some(&breaker(BreakerState::Open, 300)));
        assert_eq!(enter(200).unwrap_err(), 100);
        all.set("sha256:1", None);
        assert!(!enter(200).unwrap().is_probe());
    }
}
