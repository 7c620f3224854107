//! Values that know their size, for the limit on the state.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::state::Json;
use super::write::json_bytes;

/// What a channel holds, and how large that is, once somebody asked. A change makes a new one, so the size stays true;
/// it follows from the value, hence it is in no snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Json", into = "Json")]
pub(super) struct Measured {
    value: Json,
    bytes: OnceLock<u64>,
}

impl Measured {
    pub(super) fn value(&self) -> &Json {
        &self.value
    }

    /// The size as compact JSON.
    pub(super) fn bytes(&self) -> u64 {
        *self.bytes.get_or_init(|| json_bytes(&self.value))
    }
}

impl From<Json> for Measured {
    fn from(value: Json) -> Measured {
        Measured { value, bytes: OnceLock::new() }
    }
}

impl From<Measured> for Json {
    fn from(measured: Measured) -> Json {
        measured.value
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Measured) -> bool {
        self.value == other.value
    }
}
