//! What people of a simulated world want of the whole run, and when it may be refused.

use bandstand_engine::input::{ActorKind, By};
use bandstand_engine::{Input, Outcome};
use serde::Serialize;

/// Something wanted of the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// It ends in order.
    Cancel,
    /// It ends at once.
    Kill,
    /// Nothing new starts; so long after the pause was taken somebody resumes it, so that it ends some time.
    Pause {
        /// How long after.
        for_ms: u64,
    },
    /// It carries on.
    Resume,
}

/// What must become of a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It changes the run.
    Changed,
    /// It has come true already.
    Unchanged,
    /// It is refused.
    Refused,
}

impl Expected {
    /// What became of it; `None`: it was refused.
    pub fn found(outcome: Option<Outcome>) -> Expected {
        match outcome {
            None => Expected::Refused,
            Some(Outcome::Changed) => Expected::Changed,
            Some(_) => Expected::Unchanged,
        }
    }
}

impl Verb {
    /// As the engine takes it.
    pub fn input(self) -> Input {
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        let reason = String::new();
        match self {
            Verb::Cancel => Input::Cancel { by, reason },
            Verb::Kill => Input::Kill { by, reason },
            Verb::Pause { .. } => Input::Pause { by, reason },
            Verb::Resume => Input::Resume { by, reason },
        }
    }

    /// What must become of it in a run that ended so, or goes on and is paused or not.
    pub fn expected(self, ended: Option<&str>, paused: bool) -> Expected {
        match (self, ended) {
            (Verb::Cancel, Some("cancelled")) | (Verb::Kill, Some("killed")) => Expected::Unchanged,
            (_, Some(_)) => Expected::Refused,
            (Verb::Pause { .. }, None) if paused => Expected::Unchanged,
            (Verb::Resume, None) if !paused => Expected::Unchanged,
            (_, None) => Expected::Changed,
        }
    }
}

/// Which verbs that end a run were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// To end it in order.
    pub cancel: bool,
    /// To end it at once.
    pub kill: bool,
}

impl Sent {
    /// Takes note of a verb.
    pub fn note(&mut self, verb: Verb) {
        self.cancel |= verb == Verb::Cancel;
        self.kill |= verb == Verb::Kill;
    }
}
