//! What it would take to hold a value against a schema, before that is done. A schema that a plugin brings along may be made
//! to take for ever: `$ref`s that fan out, or that come back to where they were.
//!
//! The walk below goes where a validator would go, or further, and gives up when its steps are used up.

use serde_json::{Map, Value};

/// Most steps. With the validator that is some ten milliseconds of a debug build, in the worst case.
const STEPS_MAX: u64 = 500_000;
/// What matching one byte of a text against a pattern counts.
const PATTERN_STEPS: u64 = 32;

/// Whether the value can be held against the schema within [`STEPS_MAX`] steps.
pub(super) fn is_affordable(schema: &Value, value: &Value) -> bool {
    let mut walk = Walk { root: schema, left: STEPS_MAX, times: 1 };
    walk.schema(schema, value, 0).is_some()
}

/// Whether something below the top gives itself an address or a dialect. A `$ref` in it is of that document, and the walk below
/// would look elsewhere.
pub(super) fn has_inner_documents(schema: &Value) -> bool {
    let is_document = |inner: &Value| {
        let Value::Object(members) = inner else { return false };
        members.contains_key("$id") || members.contains_key("$schema")
    };
    let holds = |inner: &Value| is_document(inner) || has_inner_documents(inner);
    match schema {
        Value::Array(items) => items.iter().any(holds),
        Value::Object(members) => members.values().any(holds),
        _ => false,
    }
}

struct Walk<'a> {
    root: &'a Value,
    left: u64,
    /// How often what is looked at now is looked at: each alternative around it is tried once to see whether it holds, and once more to
    /// tell why it does not.
    times: u64,
}

/// References in a row, and schemas inside each other.
const DEPTH_MAX: usize = 200;

impl Walk<'_> {
    fn pay(&mut self, steps: u64) -> Option<()> {
        self.left = self.left.checked_sub(steps.saturating_mul(self.times))?;
        Some(())
    }

    fn schema(&mut self, schema: &Value, value: &Value, depth: usize) -> Option<()> {
        self.pay(1)?;
        let Value::Object(keywords) = schema else { return Some(()) };
        if depth > DEPTH_MAX {
            return None;
        }
        keywords.iter().try_for_each(|(keyword, given)| self.keyword(keyword, given, value, depth + 1))
    }

    fn keyword(&mut self, keyword: &str, given: &Value, value: &Value, depth: usize) -> Option<()> {
        self.pay(1)?;
        match keyword {
            "$ref" => {
                let root = self.root;
                let target = root.pointer(given.as_str()?.strip_prefix('#')?)?;
                self.schema(target, value, depth)
            }
            // Where these lead, or what they look at again, is not followed here.
            "$dynamicRef" | "$recursiveRef" | "$id" | "unevaluatedProperties" | "unevaluatedItems" => None,
            "allOf" => given.as_array()?.iter().try_for_each(|schema| self.schema(schema, value, depth)),
            "anyOf" | "oneOf" => {
                self.times += 1;
                let walked =
                    given.as_array()?.iter().try_for_each(|schema| self.schema(schema, value, depth));
                self.times -= 1;
                walked
            }
            "not" | "if" | "then" | "else" => self.schema(given, value, depth),
            "dependentSchemas" | "dependencies" => {
                given.as_object()?.values().try_for_each(|schema| self.schema(schema, value, depth))
            }
            "properties" => {
                let (properties, value) = (given.as_object()?, members(value));
                self.pay(properties.len() as u64)?;
                let both = properties.iter().filter_map(|(name, schema)| Some((schema, value?.get(name)?)));
                both.into_iter().try_for_each(|(schema, value)| self.schema(schema, value, depth))
            }
            "patternProperties" => given.as_object()?.values().try_for_each(|schema| {
                members(value).into_iter().flatten().try_for_each(|(name, value)| {
                    self.pay(PATTERN_STEPS * (1 + name.len() as u64))?;
                    self.schema(schema, value, depth)
                })
            }),
            "additionalProperties" => members(value)
                .into_iter()
                .flatten()
                .try_for_each(|(_, value)| self.schema(given, value, depth)),
            "propertyNames" => members(value)
                .into_iter()
                .flatten()
                .try_for_each(|(name, _)| self.schema(given, &Value::String(name.clone()), depth)),
            "items" | "additionalItems" | "contains" => match given {
                Value::Array(schemas) => self.each(schemas, value, depth),
                schema => items(value).iter().try_for_each(|item| self.schema(schema, item, depth)),
            },
            "prefixItems" => self.each(given.as_array()?, value, depth),
            "pattern" => self.pay(PATTERN_STEPS * value.as_str().map_or(0, str::len) as u64),
            "minLength" | "maxLength" => self.pay(value.as_str().map_or(0, str::len) as u64 / 64),
            "const" | "enum" | "required" | "dependentRequired" => self.count(given),
            // Each item is hashed as a whole.
            "uniqueItems" => self.count(value).and_then(|()| self.count(value)),
            _ => Some(()),
        }
    }

    fn each(&mut self, schemas: &[Value], value: &Value, depth: usize) -> Option<()> {
        schemas.iter().zip(items(value)).try_for_each(|(schema, item)| self.schema(schema, item, depth))
    }

    fn count(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Array(items) => {
                self.pay(items.len() as u64)?;
                items.iter().try_for_each(|item| self.count(item))
            }
            Value::Object(members) => {
                self.pay(members.len() as u64)?;
                members.values().try_for_each(|member| self.count(member))
            }
            Value::String(text) => self.pay(1 + text.len() as u64 / 64),
            _ => self.pay(1),
        }
    }
}

fn members(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::Schema;
    use super::*;

    // R7.4: a `$ref` past an address would be followed elsewhere than by the validator.
    #[test]
    fn a_document_within_the_schema_is_not_held_against_anything() {
        let mut inner = json!({ "y": { "$ref": "#/$defs/0" }, "60": true });
        for n in 0..60 {
            let next = json!({ "$ref": format!("#/$defs/{}", n + 1) });
            inner[n.to_string()] = json!({ "allOf": [next, next] });
        }
        let schema = json!({
            "$defs": { "0": true, "x": { "$id": "http://x.example/", "$defs": inner } },
            "$ref": "#/$defs/x/$defs/y",
        });
        let schema = Schema::of_stranger(Arc::new(schema)).unwrap();
        assert!(schema.check_if_cheap(&json!({})).is_none());
        let own = json!({ "$id": "http://x.example/", "type": "object" });
        assert!(!has_inner_documents(&own));
    }

    #[test]
    fn alternatives_within_alternatives_are_counted_as_often_as_they_are_tried() {
        let mut schema = json!({ "items": { "type": "string" } });
        for _ in 0..60 {
            schema = json!({ "anyOf": [schema] });
        }
        assert!(is_affordable(&schema, &json!(vec!["a"; 100])));
        assert!(!is_affordable(&schema, &json!(vec!["a"; 120_000])));
    }

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    // R8.5
    #[test]
    fn ordinary_schemas_are_checked_also_where_they_refer_to_themselves() {
        let tree = json!({
            "$defs": { "tree": { "type": "object", "properties": { "a": { "$ref": "#/$defs/tree" } } } },
            "$ref": "#/$defs/tree",
        });
        let schema = Schema::of_stranger(Arc::new(tree)).expect("a schema");
        assert_eq!(schema.check_if_cheap(&nested(50)), Some(Ok(())));
        let wrong = schema.check_if_cheap(&json!({ "a": { "a": 1 } })).expect("it is checked");
        assert_eq!(wrong.expect_err("no tree").pointer, "/a/a");
        let rows =
            json!({ "items": { "required": ["n"], "properties": { "n": { "pattern": "^[a-z]+$" } } } });
        let schema = Schema::of_stranger(Arc::new(rows)).expect("a schema");
        let many = json!(vec![json!({ "n": "abc", "text": "x".repeat(100) }); 2_000]);
        assert_eq!(schema.check_if_cheap(&many), Some(Ok(())));
    }

    // R7.3, R8.5
    #[test]
    fn what_could_take_for_ever_is_not_begun() {
        let fan = json!({ "properties": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } } });
        let chain: Map<String, Value> = (0..60)
            .map(|n| {
                let next = json!({ "$ref": format!("#/$defs/{}", n + 1) });
                (n.to_string(), json!({ "allOf": [next.clone(), next] }))
            })
            .chain([("60".to_owned(), json!(true))])
            .collect();
        let chain = json!({ "$defs": chain, "$ref": "#/$defs/0" });
        let pattern = json!({ "additionalProperties": { "pattern": "^(a|b)*a(a|b){50}$" } });
        let dynamic = json!({ "unevaluatedProperties": false });
        for (schema, value) in [
            (fan, nested(100)),
            (chain, json!({})),
            (pattern, json!({ "a": "ab".repeat(50_000) })),
            (dynamic, json!({})),
            (json!({ "uniqueItems": true }), json!(vec![0; 600_000])),
        ] {
            let schema = Schema::of_stranger(Arc::new(schema)).expect("a schema");
            assert_eq!(schema.check_if_cheap(&value), None, "{schema:?}");
        }
        for wrong in [
            json!({ "pattern": "((a{100}){100}){100}" }),
            json!({ "allOf": vec![json!({ "pattern": "a" }); PATTERNS + 1] }),
        ] {
            assert!(Schema::of_stranger(Arc::new(wrong)).is_err());
        }
    }

    const PATTERNS: usize = super::super::PATTERNS_MAX;
}
