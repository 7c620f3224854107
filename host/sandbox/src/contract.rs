//! What a plugin takes and gives beyond what every agent does. Whoever loads a plugin knows it; the sandbox only asks, at
//! each attempt, before the guest begins and after it replied.

use crate::failure::{Class, Failure};

/// The code of an input that the contract refuses; agents that look for themselves have the same.
pub const INPUT_INVALID: &str = "input-invalid";
/// The code of an output that the contract refuses.
pub const OUTPUT_INVALID: &str = "output-invalid";

/// What a plugin takes and gives. Asked on guests' threads, so it answers soon.
pub trait Contract: Send + Sync {
    /// Whether the plugin takes this input: text of a JSON object.
    ///
    /// # Errors
    /// Why not.
    fn input(&self, text: &str) -> Result<(), Breach>;

    /// Whether the plugin may give this output: text of a JSON object.
    ///
    /// # Errors
    /// Why not.
    fn output(&self, text: &str) -> Result<(), Breach>;
}

/// Where a value is not as the contract has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// JSON pointer of the offending value.
    pub pointer: String,
    /// What is wrong there, and what was expected.
    pub problem: String,
}

impl Breach {
    /// The failure of an attempt that was not made for this input.
    pub(crate) fn of_input(self) -> Failure {
        self.failure(Class::Agent, INPUT_INVALID, "the plugin does not take this input, by its manifest")
    }

    /// The failure of an attempt that gave this output.
    pub(crate) fn of_output(self) -> Failure {
        self.failure(
            Class::InvalidOutput,
            OUTPUT_INVALID,
            "the output is not what the plugin's manifest promises",
        )
    }

    /// Permanent: the same input, and mostly the same plugin, ends the same way.
    fn failure(self, class: Class, code: &str, what: &str) -> Failure {
        let Breach { pointer, problem } = self;
        let place = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
        Failure {
            recoverable: false,
            data: Some(serde_json::json!({ "pointer": pointer, "problem": problem }).to_string()),
            ..Failure::new(
                class,
                code,
                crate::sanitise::sanitise(&format!("{what}{place}: {problem}"), 1_000),
            )
        }
    }
}
