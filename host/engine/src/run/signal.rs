//! Signals: keeping what comes, giving it to whoever waits, and what becomes of a wait that nobody signals.
//!
//! Signals are kept by name in order of arrival. A wait takes the oldest; of several waits for one name the one that was
//! entered first is served first, and of those entered in one millisecond the first by path.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use super::advance::Leave;
use super::apply::next_signal;
use super::request;
use super::state::Phase;
use super::write::{VALUE_DEPTH_MAX, is_too_deep, json_bytes};
use crate::event::{Event, Payload, SignalReceived, WaitCause, WaitEnded, WaitStarted, Warning};
use crate::failure::{Class, Failure};
use crate::graph::{Kind, SignalWait};
use crate::id::Id;
use crate::input::{Rejected, ReplyNext, Signal};
use crate::path::Path;

/// Signals that a run keeps for waits that it has not come to yet, all names together.
const SIGNALS_MAX: usize = 1_000;

impl Run {
    /// Whether a signal can be taken: its name; `None` when it is known already and changes nothing.
    pub(super) fn check_signal(&self, signal: &Signal) -> Result<Option<Id>, Rejected> {
        let said = || request::of_signal(&signal.name, &signal.data);
        if self.knows_request(signal.request_id.as_deref(), said)? {
            return Ok(None);
        }
        self.check_open()?;
        let waits = self.graph.signal_waits();
        let awaited: Vec<&SignalWait> =
            waits.iter().copied().filter(|wait| wait.signal.as_str() == signal.name).collect();
        let Some(name) = awaited.first().map(|wait| wait.signal.clone()) else {
            return Err(Rejected::UnknownSignal { name: signal.name.clone(), known: known(&waits) });
        };
        let (bytes, bytes_max) = (json_bytes(&signal.data), self.graph.limits.payload_bytes);
        if bytes > bytes_max {
            return Err(Rejected::TooLarge { bytes, bytes_max });
        }
        let refused = |problem: String| Rejected::BadSignal { name: name.to_string(), problem };
        if is_too_deep(&signal.data) {
            return Err(refused(format!("it nests more than {VALUE_DEPTH_MAX} deep")));
        }
        // Which of the waits will take it is not known yet.
        for schema in awaited.iter().filter_map(|wait| wait.schema.as_ref()) {
            schema.check(&signal.data).map_err(|problem| refused(problem.to_string()))?;
        }
        let kept: usize = self.state.signals.values().map(std::collections::VecDeque::len).sum();
        if kept >= SIGNALS_MAX && !self.index.signal_waits.contains_key(&name) {
            return Err(Rejected::TooManySignals { name: name.to_string(), count_max: SIGNALS_MAX });
        }
        Ok(Some(name))
    }

    /// Takes a signal that was checked, and gives it to whoever waits longest.
    pub(super) fn take_signal(&mut self, name: Id, signal: Signal) {
        let waits = self.index.signal_waits.get(&name);
        let first = waits.and_then(|waits| waits.first()).map(|(_, p)| p.clone());
        self.emit(Event::SignalReceived(SignalReceived {
            signal_id: signal.signal_id,
            name,
            data: Payload::Value(signal.data),
            by: signal.by,
            request_id: signal.request_id,
        }));
        if let Some(p) = first {
            self.end_signal_wait(&p);
        }
    }

    /// Begins to wait, and ends it at once when the signal has come already.
    pub(super) fn wait_for_signal(&mut self, p: &Path, wait: &SignalWait) {
        self.emit(Event::WaitStarted(WaitStarted {
            p: p.clone(),
            until: None,
            signal: Some(wait.signal.clone()),
            deadline: wait.timeout_ms.map(|timeout_ms| self.clock.plus_ms(timeout_ms)),
        }));
        self.end_signal_wait(p);
    }

    /// Ends a wait with the oldest signal of its name, if there is one.
    pub(super) fn end_signal_wait(&mut self, p: &Path) {
        let Some(Phase::Signal { name, .. }) = self.visit(p).map(|visit| &visit.phase) else { return };
        let kept = self.state.signals.get(name);
        let Some(id) = kept.and_then(|kept| Some(kept[next_signal(kept)?].id.clone())) else { return };
        self.emit(Event::WaitEnded(WaitEnded { p: p.clone(), because: WaitCause::Signal(id) }));
        let payload = Payload::Output(p.clone());
        let output = self.resolve(&payload).expect("a signal that was taken is the visit's reply");
        self.succeed(p, payload, output, None, &ReplyNext::Edges);
    }

    /// No signal came in time.
    pub(super) fn signal_expired(&mut self, p: &Path) {
        let Some(Kind::Signal(wait)) = self.graph.node(p).map(|node| &node.kind) else { return };
        let (name, timeout_ms, on_timeout) =
            (wait.signal.clone(), wait.timeout_ms.unwrap_or(0), wait.on_timeout.clone());
        self.emit(Event::WaitEnded(WaitEnded { p: p.clone(), because: WaitCause::Timeout }));
        match on_timeout {
            None => {
                let message = format!(
                    "signal `{name}` did not come within the wait's `timeout` of {timeout_ms} ms; `on-timeout` says what \
                     else could happen"
                );
                let failure = Failure::permanent(Class::Timeout, "wait-expired", message);
                self.fail_visit(p, failure, (1, 1), false, None);
            }
            Some(to) => {
                let nothing = Arc::new(Value::Null);
                self.leave(p, Payload::Value(nothing.clone()), nothing, None, &Leave::Expired(to));
            }
        }
    }

    /// Names the signals that no wait took, before the run ends.
    pub(super) fn list_unused_signals(&mut self) {
        let names: Vec<String> =
            self.state.signals.iter().map(|(name, kept)| format!("{name} ({})", kept.len())).collect();
        if names.is_empty() {
            return;
        }
        self.emit(Event::Warning(Warning {
            p: Path::root(),
            code: "unused-signals".to_owned(),
            message: format!("no wait took these signals: {}", names.join(", ")),
        }));
    }
}

/// What a workflow waits for, in words.
fn known(waits: &[&SignalWait]) -> String {
    let names: std::collections::BTreeSet<&str> = waits.iter().map(|wait| wait.signal.as_str()).collect();
    if names.is_empty() {
        return "it waits for none".to_owned();
    }
    format!("it waits for: {}", names.into_iter().collect::<Vec<_>>().join(", "))
}
