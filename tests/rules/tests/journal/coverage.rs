//! What the engine's source says there is: names of events, and fields that may be absent. Read from the source, so that
//! neither a list here nor one there can be forgotten.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const EVENT: &str = include_str!("../../../../host/engine/src/event.rs");
const FAILURE: &str = include_str!("../../../../host/engine/src/failure.rs");
const INPUT: &str = include_str!("../../../../host/engine/src/input.rs");

/// The body of the first item that begins so.
fn body<'a>(source: &'a str, beginning: &str) -> &'a str {
    let start = source.find(beginning).unwrap_or_else(|| panic!("no `{beginning}` in the engine's source"));
    let rest = &source[start..];
    &rest[..rest.find("\n}").unwrap()]
}

/// The variants of `Event`: its name in the journal and its struct.
fn variants() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut name = None;
    for line in body(EVENT, "pub enum Event {").lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("#[serde(rename = \"") {
            name = rest.split('"').next().map(str::to_owned);
        } else if let (Some((_, of)), Some(name)) = (line.split_once('('), name.take()) {
            let of = of.trim_end_matches(&[',', ')', '>'][..]);
            found.push((name, of.strip_prefix("Box<").unwrap_or(of).to_owned()));
        }
    }
    found
}

/// The names of all events.
pub(crate) fn event_names() -> BTreeSet<String> {
    variants().into_iter().map(|(name, _)| name).collect()
}

/// The optional fields of a struct.
fn optional_fields_of(source: &str, name: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut optional = false;
    for line in body(source, &format!("pub struct {name} {{")).lines() {
        let line = line.trim();
        if line.starts_with("#[serde(") {
            optional |= line.contains("default") || line.contains("skip_serializing_if");
        } else if let Some(rest) = line.strip_prefix("pub ") {
            if optional {
                fields.extend(rest.split(':').next().map(str::to_owned));
            }
            optional = false;
        }
    }
    fields
}

/// Fields that may be absent, by event name, or by the name of what stands inside events.
pub(crate) fn optional_fields() -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> =
        variants().into_iter().map(|(name, of)| (name, optional_fields_of(EVENT, &of))).collect();
    let mut error = optional_fields_of(FAILURE, "ErrorRecord");
    error.extend(optional_fields_of(FAILURE, "Failure"));
    all.insert("error".to_owned(), error);
    for (name, of) in [("choice", "Choice"), ("review request", "ReviewRequest"), ("usage", "Usage")] {
        all.insert(name.to_owned(), optional_fields_of(INPUT, of));
    }
    all.retain(|_, fields| !fields.is_empty());
    all
}

/// An event and what stands in it that has optional fields, each under the name that [`optional_fields`] has for it.
pub(crate) fn objects(event: &Value) -> Vec<(String, &Value)> {
    let mut found = vec![(event["type"].as_str().unwrap().to_owned(), event)];
    for (member, name) in [("error", "error"), ("usage", "usage")] {
        found.extend(event.get(member).map(|object| (name.to_owned(), object)));
    }
    let choices = [event.get("alternatives"), event.pointer("/next/choose")];
    let choices = choices.into_iter().flatten().filter_map(Value::as_array).flatten();
    found.extend(choices.map(|choice| ("choice".to_owned(), choice)));
    found.extend(event.pointer("/next/review").map(|asked| ("review request".to_owned(), asked)));
    found
}
