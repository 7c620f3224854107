//! What a plugin's manifest says of its input and output, held against each call: of nodes, of tools, by hand. Compiled
//! once for each loaded plugin.
//!
//! The schemas are a stranger's: a check that could take long is left out. What is decided here is decided at the attempt
//! and journalled as its failure, so nothing of it is looked at when a run is folded again.

use std::sync::Arc;

use bandstand_engine::schema::Schema;
use bandstand_sandbox::{Breach, Contract, Plugin};
use serde_json::Value;

use super::manifest::Manifest;

/// The schemas of a manifest.
struct Schemas {
    input: Option<Schema>,
    output: Option<Schema>,
}

/// The plugin, held to its manifest. One without a manifest, or with one that is damaged, is as it was.
pub fn bind(plugin: Plugin) -> Plugin {
    match Manifest::of(plugin.inspection()) {
        Ok(Some(manifest)) => match Schemas::of(&manifest) {
            Some(schemas) => plugin.with_contract(Arc::new(schemas)),
            None => plugin,
        },
        Ok(None) => plugin,
        Err(error) => {
            let digest = plugin.digest();
            tracing::warn!(%digest, %error, "a plugin's manifest is damaged; it counts as one without");
            plugin
        }
    }
}

impl Schemas {
    fn of(manifest: &Manifest) -> Option<Schemas> {
        // The manifest was held against its bounds when it was read.
        let compiled = |schema: &Option<Value>| Schema::of_stranger(Arc::new(schema.clone()?)).ok();
        let schemas = Schemas { input: compiled(&manifest.input), output: compiled(&manifest.output) };
        (schemas.input.is_some() || schemas.output.is_some()).then_some(schemas)
    }
}

impl Contract for Schemas {
    fn input(&self, text: &str) -> Result<(), Breach> {
        hold(self.input.as_ref(), text)
    }

    fn output(&self, text: &str) -> Result<(), Breach> {
        hold(self.output.as_ref(), text)
    }
}

fn hold(schema: Option<&Schema>, text: &str) -> Result<(), Breach> {
    let Some(schema) = schema else { return Ok(()) };
    // What is no JSON is told by whoever reads it.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Ok(()) };
    match schema.check_if_cheap(&value) {
        Some(Err(unsatisfied)) => Err(Breach { pointer: unsatisfied.pointer, problem: unsatisfied.message }),
        Some(Ok(())) | None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    // R8.5
    #[test]
    fn a_breach_names_its_place_and_what_was_expected() {
        let manifest = Manifest {
            input: Some(json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] })),
            ..Manifest::default()
        };
        let schemas = Schemas::of(&manifest).unwrap();
        assert_eq!(schemas.input(r#"{"n":1}"#), Ok(()));
        let breach = schemas.input(r#"{"n":"1"}"#).unwrap_err();
        assert_eq!((&*breach.pointer, &*breach.problem), ("/n", r#""1" is not of type "integer""#));
        assert_eq!(schemas.input("{}").unwrap_err().problem, r#""n" is a required property"#);
        assert_eq!(schemas.output(r#"{"n":"1"}"#), Ok(()), "nothing is said of it");
        assert!(Schemas::of(&Manifest::default()).is_none());
    }
}
