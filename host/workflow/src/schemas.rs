//! The JSON Schemas of a file, compiled once (`BW406`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::schema::Schema;
use serde_json::Value;

use crate::diagnostic::Report;
use crate::files::Files;
use crate::outline::Outline;
use crate::shape::schema_path;
use crate::yaml::{Node, Typed};

/// The schemas by the place of their value.
#[derive(Default)]
pub(crate) struct Schemas(BTreeMap<usize, Schema>);

impl Schemas {
    /// The schema that a value is; `None` if it is not valid or its file was not read.
    pub(crate) fn of(&self, value: Option<&Node>) -> Option<&Schema> {
        self.0.get(&value?.span.start)
    }
}

/// Compiles every schema of the file and tells what is wrong with them.
pub(crate) fn check(report: &mut Report<'_>, outline: &Outline<'_>, files: &mut Files<'_>) -> Schemas {
    let file = outline.file;
    let mut values: Vec<&Node> = [file.get("input"), file.get("output")].into_iter().flatten().collect();
    let channels = file.get("state").map(Node::entries).unwrap_or_default();
    values.extend(channels.iter().filter_map(|channel| channel.value.get("schema")));
    let steps = outline.scopes.iter().flat_map(|scope| &scope.nodes);
    values.extend(steps.filter_map(|step| match step.kind_name() {
        "review" => step.of_kind("form"),
        "wait" => step.of_kind("schema"),
        _ => None,
    }));
    let mut schemas = Schemas::default();
    for value in values {
        if let Some(schema) = compile(report, files, value) {
            schemas.0.insert(value.span.start, schema);
        }
    }
    schemas
}

fn compile(report: &mut Report<'_>, files: &mut Files<'_>, value: &Node) -> Option<Schema> {
    let boolean = value.scalar().is_some_and(|scalar| matches!(scalar.typed, Typed::Bool(_)));
    if !value.is_map() && !boolean {
        return None;
    }
    let Some(path) = schema_path(value) else {
        return Schema::new(Arc::new(value.json()))
            .map_err(|problem| {
                let at = value.at_pointer(&problem.pointer).span;
                report.add(
                    "BW406",
                    at,
                    problem.to_string(),
                    "JSON Schema 2020-12; `$ref` only inside the same document",
                );
            })
            .ok();
    };
    let text = files.text(report, path)?;
    let schema = serde_json::from_str::<Value>(&text)
        .map_err(|error| format!("the file is not JSON: {error}"))
        .and_then(|json| Schema::new(Arc::new(json)).map_err(|problem| problem.to_string()));
    schema
        .map_err(|problem| {
            report.add("BW406", path.span, problem, "a JSON document with a JSON Schema 2020-12")
        })
        .ok()
}

/// The names in the schema's `properties`, unless it says what further members are.
pub(crate) fn properties(schema: &Schema) -> Option<Vec<String>> {
    let source = schema.source();
    let open = |key: &str| source.get(key).is_some_and(|value| *value != Value::Bool(false));
    if open("additionalProperties") || open("patternProperties") || open("unevaluatedProperties") {
        return None;
    }
    Some(source.get("properties")?.as_object()?.keys().cloned().collect())
}
