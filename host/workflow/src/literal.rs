//! What is known of a value with expressions before anything is evaluated.

use bandstand_engine::expression::{RawPart, analyse, split_text};
use serde_json::{Map, Value};

use crate::yaml::{Node, Typed, Yaml};

/// What a value will be.
pub(crate) enum Known {
    /// This.
    Value(Value),
    /// A text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
    /// Whatever its expression gives.
    Unknown,
}

impl Known {
    pub(crate) fn of(node: &Node) -> Known {
        match &node.value {
            Yaml::Scalar(scalar) if scalar.typed == Typed::Text => of_text(&scalar.text),
            Yaml::Scalar(_) => Known::Value(node.json()),
            Yaml::List(items) => {
                let values: Option<Vec<Value>> = items.iter().map(|item| Known::of(item).value()).collect();
                values.map_or(Known::List, |values| Known::Value(Value::Array(values)))
            }
            Yaml::Map(entries) => {
                let member = |(key, value): (&String, &Node)| Some((key.clone(), Known::of(value).value()?));
                let members: Option<Map<String, Value>> =
                    entries.iter().map(|entry| member((&entry.key, &entry.value))).collect();
                members.map_or(Known::Object, |members| Known::Value(Value::Object(members)))
            }
        }
    }

    pub(crate) fn value(self) -> Option<Value> {
        match self {
            Known::Value(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Known::Value(Value::Null) => "null",
            Known::Value(Value::Bool(_)) => "a boolean",
            Known::Value(Value::Number(_)) => "a number",
            Known::Value(Value::String(_)) | Known::Text => "a text",
            Known::Value(Value::Array(_)) | Known::List => "a list",
            Known::Value(Value::Object(_)) | Known::Object => "an object",
            Known::Unknown => "a value",
        }
    }
}

fn of_text(text: &str) -> Known {
    match split_text(text).as_deref() {
        Ok([RawPart::Expression { source, .. }]) => {
            analyse(source).literal.map_or(Known::Unknown, Known::Value)
        }
        Ok([RawPart::Text { text, .. }]) => Known::Value(Value::String(text.clone().into_owned())),
        Ok(_) => Known::Text,
        Err(_) => Known::Unknown,
    }
}
