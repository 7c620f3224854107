//! What nodes give their plugins, held against what the plugins' manifests say they take (`BW611`).
//!
//! Only what is certain is told. An object's members are known where they are written out, whatever their values: one that
//! is required and not there is missing, whatever the rest of the schema says. A value is known where it holds no expression.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::schema::Schema;
use serde_json::Value;

use crate::diagnostic::Report;
use crate::literal::Known;
use crate::outline::{Outline, Step};
use crate::quantity::suggest;
use crate::resolver::PluginFacts;
use crate::source::Span;
use crate::yaml::{Node, Yaml};

/// No more single values of a file are held against schemas of their own: each is compiled for it.
const SCALARS_MAX: usize = 2_000;
/// Problems of one node's input that are told.
const FOUND_MAX: usize = 20;
/// Values and names of a file that are looked at, all nodes together. What is beyond is told by the attempt.
const STEPS_MAX: usize = 1_000_000;
/// `$ref`s in a row that are followed.
const REFERENCES_MAX: usize = 20;

/// Tells which nodes give a plugin what it will refuse.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>, plugins: &BTreeMap<String, PluginFacts>) {
    let left = Cell::new(SCALARS_MAX);
    let steps = Cell::new(STEPS_MAX);
    let mut compiled: BTreeMap<&str, Option<(&Value, Schema)>> = BTreeMap::new();
    for step in outline.scopes.iter().flat_map(|scope| &scope.nodes) {
        let Some(name) = step.kind.filter(|kind| kind.key == "agent").and_then(|kind| kind.value.text())
        else {
            continue;
        };
        let Some((name, facts)) = plugins.get_key_value(name) else { continue };
        let schema = compiled.entry(name).or_insert_with(|| {
            let source = facts.input.as_deref()?;
            Some((source, Schema::of_stranger(Arc::new(source.clone())).ok()?))
        });
        let Some((source, schema)) = schema else { continue };
        node(report, step, &Taken { plugin: name, root: source, left: &left, steps: &steps }, schema);
    }
}

fn node(report: &mut Report<'_>, step: &Step<'_>, taken: &Taken<'_>, schema: &Schema) {
    let Some(input) = step.get("input") else {
        // Without one it is an empty object.
        let wrong = schema.check_if_cheap(&Value::Object(serde_json::Map::new()));
        if let Some(Err(unsatisfied)) = wrong {
            taken.add(report, step.key, "", unsatisfied.message, "give it: `input: { .. }`".to_owned());
        }
        return;
    };
    let mut found = Vec::new();
    taken.walk(taken.root, input, "", &mut found);
    if found.is_empty()
        && let Some(value) = Known::of(input).value()
        && let Some(Err(unsatisfied)) = schema.check_if_cheap(&value)
    {
        let at = input.at_pointer(&unsatisfied.pointer).span;
        found.push((at, unsatisfied.pointer, unsatisfied.message, HELP.to_owned()));
    }
    for (at, pointer, message, help) in found {
        taken.add(report, at, &pointer, message, help);
    }
}

const HELP: &str = "`bandstand plugin inspect FILE` shows what it takes";

/// What a plugin takes.
struct Taken<'a> {
    plugin: &'a str,
    root: &'a Value,
    /// How many single values are still looked at.
    left: &'a Cell<usize>,
    /// How many steps are still taken.
    steps: &'a Cell<usize>,
}

/// Place in the file, place in the input, what is wrong, what to do.
type Found = (Span, String, String, String);

impl Taken<'_> {
    fn add(&self, report: &mut Report<'_>, at: Span, pointer: &str, message: String, help: String) {
        let place = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
        let plugin = self.plugin;
        report.add("BW611", at, format!("`{plugin}` does not take this input{place}: {message}"), help);
    }

    /// Whether so many steps may be taken, with what was found so far.
    fn may(&self, steps: usize, found: &[Found]) -> bool {
        let left = self.steps.get().checked_sub(steps);
        self.steps.set(left.unwrap_or(0));
        left.is_some() && found.len() < FOUND_MAX
    }

    /// Keywords of a schema hold each by itself, so what breaks one of those below breaks the schema.
    fn walk(&self, schema: &Value, node: &Node, pointer: &str, found: &mut Vec<Found>) {
        if !self.may(1, found) {
            return;
        }
        let Some(schema) = self.resolved(schema) else { return };
        if schema.get("type").is_some_and(|types| !may_be(types, node)) {
            let wanted = schema["type"].to_string().replace('"', "");
            let message = format!("wanted {wanted}, found {}", Known::of(node).name());
            found.push((node.span, pointer.to_owned(), message, HELP.to_owned()));
            return;
        }
        match &node.value {
            Yaml::Map(entries) => {
                self.members(schema, node, pointer, found);
                let properties = schema.get("properties");
                for entry in entries {
                    let Some(inner) = properties.and_then(|properties| properties.get(&entry.key)) else {
                        continue;
                    };
                    let step = entry.key.replace('~', "~0").replace('/', "~1");
                    self.walk(inner, &entry.value, &format!("{pointer}/{step}"), found);
                }
            }
            Yaml::List(items) => {
                let Some(inner) = schema.get("items").filter(|_| schema.get("prefixItems").is_none()) else {
                    return;
                };
                for (index, item) in items.iter().enumerate() {
                    self.walk(inner, item, &format!("{pointer}/{index}"), found);
                }
            }
            Yaml::Scalar(_) => self.scalar(schema, node, pointer, found),
        }
    }

    /// Members that are missing, and members that may not be there.
    fn members(&self, schema: &Value, node: &Node, pointer: &str, found: &mut Vec<Found>) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !self.may(node.entries().len(), found) {
                return;
            }
            let Some(name) = name.as_str().filter(|name| node.get(name).is_none()) else { continue };
            let message = format!("`{name}` is missing");
            found.push((node.span, pointer.to_owned(), message, format!("give it: `{name}: ..`")));
        }
        if schema.get("additionalProperties") != Some(&Value::Bool(false))
            || schema.get("patternProperties").is_some()
        {
            return;
        }
        let known: Vec<&str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        for entry in node.entries() {
            if !self.may(known.len(), found) {
                return;
            }
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let message = format!("there is no `{}`", entry.key);
            found.push((
                entry.key_span,
                pointer.to_owned(),
                message,
                suggest(&entry.key, &known, "it takes"),
            ));
        }
    }

    /// What else a value breaks that is written out. A schema that refers to others is no document by itself.
    fn scalar(&self, schema: &Value, node: &Node, pointer: &str, found: &mut Vec<Found>) {
        let Some(value) = Known::of(node).value() else { return };
        let Some(left) = self.left.get().checked_sub(1) else { return };
        self.left.set(left);
        let mut alone = schema.clone();
        if let Value::Object(keywords) = &mut alone {
            keywords.retain(|keyword, _| ALONE.contains(&keyword.as_str()));
        }
        let wrong =
            Schema::of_stranger(Arc::new(alone)).ok().and_then(|schema| schema.check_if_cheap(&value));
        if let Some(Err(unsatisfied)) = wrong {
            found.push((node.span, pointer.to_owned(), unsatisfied.message, HELP.to_owned()));
        }
    }

    fn resolved<'s>(&'s self, mut schema: &'s Value) -> Option<&'s Value> {
        for _ in 0..REFERENCES_MAX {
            // What stands beside a reference holds as well, but one of both is enough here.
            match schema.get("$ref").and_then(Value::as_str) {
                Some(target) => schema = self.root.pointer(target.strip_prefix('#')?)?,
                None => return Some(schema),
            }
        }
        None
    }
}

/// Keywords that say something of a single value, and need no other schema for it.
const ALONE: &[&str] = &[
    "type",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
];

/// Whether a value may be of one of these types, as far as it is known.
fn may_be(types: &Value, node: &Node) -> bool {
    let one = |wanted: &Value| {
        let Some(wanted) = wanted.as_str() else { return true };
        match Known::of(node) {
            Known::Unknown => true,
            Known::Text => wanted == "string",
            Known::List => wanted == "array",
            Known::Object => wanted == "object",
            Known::Value(value) => match wanted {
                "null" => value.is_null(),
                "boolean" => value.is_boolean(),
                "string" => value.is_string(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                "number" => value.is_number(),
                // `1.0` is an integer, too.
                "integer" => {
                    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
                }
                _ => true,
            },
        }
    };
    match types {
        Value::Array(types) => types.iter().any(one),
        one_type => one(one_type),
    }
}
