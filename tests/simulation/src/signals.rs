//! The signals of a simulated world: what they say, and when one may be refused. What a signal says follows from its id, so
//! that the oracle knows it without the journal.

use std::sync::Arc;

use bandstand_engine::Path;
use bandstand_engine::input::{ActorKind, By, Signal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::generate::World;
use crate::tape::hash;
use crate::verbs::Expected;

/// A signal that somebody sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sending {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The request that brings it.
    pub request: String,
}

impl Sending {
    /// One that nobody waits for yet.
    pub fn early(name: &str, id: &str) -> Sending {
        Sending { name: name.to_owned(), id: id.to_owned(), request: format!("request {id}") }
    }

    /// The one of that number for a wait that would wait for ever.
    pub fn wanted(name: &str, path: &Path, number: u32) -> Sending {
        Sending::early(name, &format!("{path}!{number}"))
    }

    /// The same request once more.
    pub fn again(&self) -> Sending {
        Sending { id: format!("again {}", self.id), ..self.clone() }
    }

    /// As the engine takes it.
    pub fn signal(&self) -> Signal {
        Signal {
            signal_id: self.id.clone(),
            name: self.name.clone(),
            data: Arc::new(data(&self.id)),
            by: By { kind: ActorKind::Person, id: "ann".to_owned() },
            request_id: Some(self.request.clone()),
        }
    }

    /// What must become of it. `known`: the request has come before.
    pub fn expected(&self, world: &World, ended: Option<&str>, known: bool) -> Expected {
        match world.awaited.get(&self.name) {
            _ if known => Expected::Unchanged,
            _ if ended.is_some() => Expected::Refused,
            None => Expected::Refused,
            Some(strict) if *strict && !data(&self.id).is_object() => Expected::Refused,
            Some(_) => Expected::Changed,
        }
    }
}

/// What the signal of that id says; again, it says the same.
pub fn data(id: &str) -> Value {
    let id = id.strip_prefix("again ").unwrap_or(id);
    if id.starts_with("bad") {
        return json!("text");
    }
    json!({ "n": hash(id) % 5 })
}
