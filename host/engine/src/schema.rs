//! JSON Schemas of workflows, compiled once: what an input, a channel, a form or a result must be.
//! `$ref` leads inside the same document only and `format` is an annotation (`host/docs/language.md`, section 1).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod cost;

/// A valid JSON Schema 2020-12. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Arc<Value>", into = "Arc<Value>")]
pub struct Schema {
    source: Arc<Value>,
    validator: Arc<jsonschema::Validator>,
    /// Parts of it are documents of their own, in which a `$ref` may lead elsewhere than the text says.
    has_inner_documents: bool,
}

/// The document is not a schema this host takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid JSON Schema{}: {message}", if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") })]
pub struct NotASchema {
    /// JSON pointer of the offending value in the schema.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// A value does not satisfy its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("at `{pointer}`: ") })]
pub struct Unsatisfied {
    /// JSON pointer of the offending value.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// Most patterns in the schema of a stranger.
const PATTERNS_MAX: usize = 100;
/// The largest compiled pattern in it. Bytes.
const PATTERN_BYTES_MAX: usize = 32 << 10;

/// Longest piece of a value that an error text quotes, in characters.
const QUOTE_CHARS_MAX: usize = 300;

impl Schema {
    /// Compiles a schema.
    pub fn new(source: Arc<Value>) -> Result<Schema, NotASchema> {
        Schema::compile(source, None)
    }

    /// Compiles a schema of somebody who need not be trusted: what its patterns may take is bounded.
    pub fn of_stranger(source: Arc<Value>) -> Result<Schema, NotASchema> {
        let patterns = count_patterns(&source);
        if patterns > PATTERNS_MAX {
            let message = format!("it has {patterns} patterns, {PATTERNS_MAX} are the most");
            return Err(NotASchema { pointer: String::new(), message });
        }
        Schema::compile(source, Some(PATTERN_BYTES_MAX))
    }

    fn compile(source: Arc<Value>, pattern_bytes_max: Option<usize>) -> Result<Schema, NotASchema> {
        if let Err(error) = jsonschema::draft202012::meta::validate(&source) {
            return Err(NotASchema {
                pointer: error.instance_path().to_string(),
                message: shorten(&error.to_string()),
            });
        }
        if let Some((pointer, target)) = foreign_reference(&source, String::new()) {
            let message = format!("`$ref: {target}` leaves the document; only `#...` is possible");
            return Err(NotASchema { pointer, message });
        }
        // The linear-time engine: a pattern in a workflow file must not be able to stall the host.
        let patterns = jsonschema::PatternOptions::regex();
        let patterns = match pattern_bytes_max {
            Some(bytes_max) => patterns.size_limit(bytes_max),
            None => patterns,
        };
        let built = jsonschema::draft202012::options()
            .with_pattern_options(patterns)
            .should_validate_formats(false)
            .build(&source);
        match built {
            Ok(validator) => {
                let has_inner_documents = cost::has_inner_documents(&source);
                Ok(Schema { source, validator: Arc::new(validator), has_inner_documents })
            }
            Err(error) => Err(NotASchema {
                pointer: error.instance_path().to_string(),
                message: shorten(&error.to_string()),
            }),
        }
    }

    /// The document.
    pub fn source(&self) -> &Arc<Value> {
        &self.source
    }

    /// The first thing in `value` that does not satisfy the schema, if any.
    pub fn check(&self, value: &Value) -> Result<(), Unsatisfied> {
        self.validator.validate(value).map_err(|error| Unsatisfied {
            pointer: error.instance_path().to_string(),
            message: shorten(&error.to_string()),
        })
    }

    /// As [`Schema::check`] where that cannot take long, however the schema was made. `None`: it could, or how long it takes
    /// cannot be told; nothing was checked.
    pub fn check_if_cheap(&self, value: &Value) -> Option<Result<(), Unsatisfied>> {
        let can_be_told = !self.has_inner_documents && cost::is_affordable(&self.source, value);
        can_be_told.then(|| self.check(value))
    }

    /// Fills in the `default` of each top-level property that `value` leaves out.
    pub fn fill_defaults(&self, value: &mut Value) {
        let (Some(members), Some(properties)) =
            (value.as_object_mut(), self.source.get("properties").and_then(Value::as_object))
        else {
            return;
        };
        for (name, property) in properties {
            if let (Some(default), false) = (property.get("default"), members.contains_key(name)) {
                members.insert(name.clone(), default.clone());
            }
        }
    }
}

fn count_patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => {
            let own = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("pattern", _) => 1,
                ("patternProperties", Value::Object(patterns)) => patterns.len(),
                _ => 0,
            };
            members.iter().map(own).sum::<usize>() + members.values().map(count_patterns).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(count_patterns).sum(),
        _ => 0,
    }
}

/// The first `$ref` or `$dynamicRef` that does not start with `#`, with its pointer.
fn foreign_reference(schema: &Value, pointer: String) -> Option<(String, String)> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            match (key.as_str(), value) {
                ("$ref" | "$dynamicRef", Value::String(target)) if !target.starts_with('#') => {
                    Some((pointer, target.clone()))
                }
                // What stands under these is data, not schema.
                ("const" | "enum" | "default" | "examples", _) => None,
                _ => foreign_reference(value, pointer),
            }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| foreign_reference(item, format!("{pointer}/{i}")))
        }
        _ => None,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schema({})", self.source)
    }
}

impl TryFrom<Arc<Value>> for Schema {
    type Error = NotASchema;
    fn try_from(source: Arc<Value>) -> Result<Schema, NotASchema> {
        Schema::new(source)
    }
}

impl From<Schema> for Arc<Value> {
    fn from(schema: Schema) -> Arc<Value> {
        schema.source
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(source: Value) -> Result<Schema, NotASchema> {
        Schema::new(Arc::new(source))
    }

    #[test]
    fn a_value_is_held_against_its_schema() {
        let schema =
            schema(json!({ "type": "object", "required": ["n"], "properties": { "n": { "maximum": 3 } } }))
                .expect("a schema");
        assert_eq!(schema.check(&json!({ "n": 1 })), Ok(()));
        assert_eq!(schema.check(&json!({ "n": 4 })).expect_err("too great").pointer, "/n");
        assert!(schema.check(&json!({})).is_err());
    }

    #[test]
    fn defaults_of_top_level_properties_are_filled_in() {
        let schema = schema(json!({ "properties": { "a": { "default": 1 }, "b": { "default": 2 } } }))
            .expect("a schema");
        let mut value = json!({ "b": null });
        schema.fill_defaults(&mut value);
        assert_eq!(value, json!({ "a": 1, "b": null }));
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        assert_eq!(
            schema(json!({ "properties": { "a": { "type": "strin" } } })).expect_err("bad").pointer,
            "/properties/a/type"
        );
        assert!(schema(json!({ "$ref": "https://example.com/x.json" })).is_err());
        assert!(schema(json!({ "$ref": "#/$defs/a", "$defs": { "a": true } })).is_ok());
        assert!(schema(json!(17)).is_err());
    }
}
