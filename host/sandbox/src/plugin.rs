//! A component that was read, checked and compiled, ready to be called any number of times.

use crate::bindings::AgentPre;
use crate::callable::Callable;
use crate::contract::Contract;
use crate::failure::Failure;
use crate::guest::Guest;
use crate::inspect::Inspection;
use crate::lane::Habit;
use crate::load_error::{LoadError, Refused};
use crate::offered;
use crate::settings::Grants;
use bandstand_signature::Function;
use std::fmt;
use std::sync::Arc;
use wasmtime::component::InstancePre;

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
    /// Whether it holds types and nothing else, so that nothing has to stand behind it.
    pub types_only: bool,
}

impl Import {
    /// Whether functions are imported that change what the power is over, so that a grant to read is not enough.
    #[must_use]
    pub fn writes(&self) -> bool {
        offered::writes(&self.interface, &self.functions)
    }
}

/// A loaded component, and what of it is called: the agent that it is, or one of its functions. Clones are the same
/// plugin; it belongs to the sandbox that loaded it.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) entry: Entry,
    /// What is held against it at each call.
    contract: Option<Arc<dyn Contract>>,
}

/// What an attempt calls.
#[derive(Clone)]
pub(crate) enum Entry {
    /// The agent's `run`.
    Node(AgentPre<Guest>),
    /// A function of a component that need not know of agents.
    Function(Arc<Callable>),
}

/// A component that is compiled and linked.
pub(crate) struct Loaded {
    pub(crate) inspection: Inspection,
    pub(crate) linked: InstancePre<Guest>,
    /// Its `run`, or why that cannot be called.
    pub(crate) node: Result<AgentPre<Guest>, LoadError>,
    /// Tells sandboxes apart: compiled code must never meet another engine.
    pub(crate) sandbox_id: u64,
    /// Where its attempts begin.
    pub(crate) habit: Arc<Habit>,
}

impl Plugin {
    pub(crate) fn new(loaded: Arc<Loaded>, entry: Entry) -> Plugin {
        Plugin { loaded, entry, contract: None }
    }

    /// The same, held to this from now on: called by a node, as a tool or by hand.
    #[must_use]
    pub fn with_contract(self, contract: Arc<dyn Contract>) -> Plugin {
        Plugin { contract: Some(contract), ..self }
    }

    pub(crate) fn takes(&self, input: &str) -> Result<(), Failure> {
        let Some(contract) = &self.contract else { return Ok(()) };
        contract.input(input).map_err(|breach| breach.of_input())
    }

    pub(crate) fn gives(&self, output: &str) -> Result<(), Failure> {
        let Some(contract) = &self.contract else { return Ok(()) };
        contract.output(output).map_err(|breach| breach.of_output())
    }

    /// `sha256:` and 64 hexadecimal digits, over the component's bytes.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.loaded.inspection.digest
    }

    /// Size of the component. Bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.loaded.inspection.size_bytes
    }

    /// What it imports.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.loaded.inspection.imports
    }

    /// What it exports.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.loaded.inspection.exports
    }

    /// Everything known from its bytes.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.loaded.inspection
    }

    /// The function that is called; `None`: the agent's `run`.
    #[must_use]
    pub fn function(&self) -> Option<&Function> {
        match &self.entry {
            Entry::Node(_) => None,
            Entry::Function(callable) => Some(&callable.function),
        }
    }

    /// The same component, with the function of that name called instead. Compiles nothing.
    ///
    /// # Errors
    /// When it exports no such function, or one that cannot be called.
    pub fn with_function(&self, name: &str) -> Result<Plugin, LoadError> {
        let callable = Callable::new(&self.loaded, name)?;
        Ok(Plugin::new(self.loaded.clone(), Entry::Function(Arc::new(callable))))
    }

    /// Imports that these grants do not cover.
    #[must_use]
    pub fn not_granted(&self, grants: &Grants) -> Vec<Refused> {
        self.loaded.inspection.not_granted(grants)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin")
            .field(&self.digest())
            .field(&self.function().map(Function::full_name))
            .finish()
    }
}
