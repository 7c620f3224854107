//! A component that was read, checked and compiled, ready to be called any number of times.

use crate::bindings::AgentPre;
use crate::contract::Contract;
use crate::failure::Failure;
use crate::guest::Guest;
use crate::inspect::Inspection;
use crate::lane::Habit;
use crate::load_error::Refused;
use crate::offered;
use crate::settings::Grants;
use std::fmt;
use std::sync::Arc;

/// One thing that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its full name: `bandstand:agent/log@0.1.0`.
    pub interface: String,
    /// The functions used of it; some toolchains import all there are.
    pub functions: Vec<String>,
    /// The power it needs, if any.
    pub capability: Option<&'static str>,
    /// The version in its name.
    pub version: Option<String>,
}

impl Import {
    /// Whether functions are imported that change what the power is over, so that a grant to read is not enough.
    #[must_use]
    pub fn writes(&self) -> bool {
        offered::writes(&self.interface, &self.functions)
    }
}

/// A loaded agent. Clones are the same plugin; it belongs to the sandbox that loaded it.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Loaded>, Option<Arc<dyn Contract>>);

pub(crate) struct Loaded {
    pub(crate) inspection: Inspection,
    pub(crate) agent: AgentPre<Guest>,
    /// Tells sandboxes apart: compiled code must never meet another engine.
    pub(crate) sandbox_id: u64,
    /// Where its attempts begin.
    pub(crate) habit: Arc<Habit>,
}

impl Plugin {
    pub(crate) fn new(loaded: Arc<Loaded>) -> Plugin {
        Plugin(loaded, None)
    }

    /// The same, held to this from now on: called by a node, as a tool or by hand.
    #[must_use]
    pub fn with_contract(self, contract: Arc<dyn Contract>) -> Plugin {
        Plugin(self.0, Some(contract))
    }

    pub(crate) fn takes(&self, input: &str) -> Result<(), Failure> {
        let Some(contract) = &self.1 else { return Ok(()) };
        contract.input(input).map_err(|breach| breach.of_input())
    }

    pub(crate) fn gives(&self, output: &str) -> Result<(), Failure> {
        let Some(contract) = &self.1 else { return Ok(()) };
        contract.output(output).map_err(|breach| breach.of_output())
    }

    /// `sha256:` and 64 hexadecimal digits, over the component's bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.inspection.digest
    }

    /// Size of the component. Bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.inspection.size_bytes
    }

    /// What it imports.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.0.inspection.imports
    }

    /// What it exports.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.0.inspection.exports
    }

    /// Everything known from its bytes.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.0.inspection
    }

    /// Imports that these grants do not cover.
    #[must_use]
    pub fn not_granted(&self, grants: &Grants) -> Vec<Refused> {
        self.0.inspection.not_granted(grants)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.digest()).finish()
    }
}
