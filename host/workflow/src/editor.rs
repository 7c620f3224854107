//! The JSON Schema of workflow files, for editors: made from the same table that `check` uses. It says less than `check`:
//! nothing about targets, scopes, expressions, or which keys belong to which kind.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::grammar::{FILE, Key, Shape, Table};
use crate::quantity::INTEGER_MAX;

const ID: &str = "^[a-z][a-z0-9_]{0,62}$";
const NAME: &str = "^[a-z][a-z0-9-]{0,62}$";

/// The JSON Schema 2020-12 of a workflow file.
pub fn json_schema() -> Value {
    let mut definitions = BTreeMap::new();
    let mut schema = table(&FILE, &mut definitions);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!("Bandstand workflow, format 1"));
        members.insert("$defs".to_owned(), json!(definitions));
    }
    schema
}

fn table(table: &'static Table, definitions: &mut BTreeMap<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let mut property = shape(key.shape, definitions);
        if let Some(members) = property.as_object_mut() {
            members.insert("description".to_owned(), json!(description(key)));
        }
        properties.insert(key.name.to_owned(), property);
    }
    let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let Some(members) = schema.as_object_mut() {
        if !required.is_empty() {
            members.insert("required".to_owned(), json!(required));
        }
        let groups = table.one_of.iter().map(|group| {
            let each: Vec<Value> = group.iter().map(|name| json!({ "required": [name] })).collect();
            json!({ "anyOf": each })
        });
        let excluded = table.exclusive.iter().flat_map(|group| {
            let pairs =
                group.iter().enumerate().flat_map(|(at, a)| group[at + 1..].iter().map(move |b| [*a, *b]));
            pairs.map(|pair| json!({ "not": { "required": pair } })).collect::<Vec<_>>()
        });
        let all: Vec<Value> = groups.chain(excluded).collect();
        if !all.is_empty() {
            members.insert("allOf".to_owned(), json!(all));
        }
    }
    schema
}

fn description(key: &Key) -> String {
    match key.feature.map(|feature| feature.phase()) {
        Some("later") => format!("{} (planned)", key.doc),
        Some(phase) => format!("{} (phase {phase})", key.doc),
        None => key.doc.to_owned(),
    }
}

fn shape(of: &'static Shape, definitions: &mut BTreeMap<String, Value>) -> Value {
    match of {
        Shape::Any | Shape::Template => json!({}),
        Shape::Text | Shape::Reference | Shape::File => json!({ "type": "string" }),
        Shape::Name | Shape::Code => json!({ "type": "string", "pattern": NAME }),
        Shape::Id | Shape::ItemId => json!({ "type": "string", "pattern": ID }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Shape::True => json!({ "const": true }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Shape::Size { .. } => json!({ "type": "string", "pattern": "^[0-9]+(KiB|MiB)$" }),
        Shape::CountOrPercent => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": INTEGER_MAX },
            { "type": "string", "pattern": "^[0-9]{1,3}%$" },
        ] }),
        Shape::Words(words) => {
            let words: Vec<&str> = words.iter().map(|word| word.word).collect();
            json!({ "enum": words })
        }
        Shape::Expression => json!({ "type": ["string", "number", "boolean"] }),
        Shape::ObjectTemplate => json!({ "type": "string", "pattern": "[$][{][{]" }),
        Shape::Schema => json!({ "type": ["object", "boolean"] }),
        Shape::Digest => json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" }),
        Shape::Function => json!({ "type": "string", "minLength": 1, "maxLength": 500 }),
        Shape::Origin => json!({ "type": "string", "pattern": "^https?://[^/]+$" }),
        Shape::Format => json!({ "const": 1 }),
        Shape::Object(object) => {
            let name = definition_name(object.what);
            if !definitions.contains_key(&name) {
                // Its place first, so that a table that holds itself ends.
                definitions.insert(name.clone(), Value::Null);
                let schema = table(object, definitions);
                definitions.insert(name.clone(), schema);
            }
            json!({ "$ref": format!("#/$defs/{name}") })
        }
        Shape::Named { value, at_least_one, .. } => json!({
            "type": "object",
            "propertyNames": { "pattern": ID },
            "additionalProperties": shape(value, definitions),
            "minProperties": u8::from(*at_least_one),
        }),
        Shape::Options(value) => {
            json!({ "type": "object", "additionalProperties": shape(value, definitions), "minProperties": 1 })
        }
        Shape::List { item, count_max, at_least_one } => json!({
            "type": "array",
            "items": shape(item, definitions),
            "minItems": u8::from(*at_least_one),
            "maxItems": count_max,
        }),
        Shape::Either { scalar, list, mapping, .. } => {
            let scalar = scalar.map(|of| match of {
                Shape::Any => json!({ "type": ["string", "number", "boolean"] }),
                of => shape(of, definitions),
            });
            let list = list.map(|of| match of {
                Shape::Any => json!({ "type": "array" }),
                of => shape(of, definitions),
            });
            let mapping = mapping.map(|of| shape(of, definitions));
            let each: Vec<Value> = [scalar, list, mapping].into_iter().flatten().collect();
            json!({ "anyOf": each })
        }
    }
}

/// `a node` becomes `node`.
fn definition_name(what: &str) -> String {
    let words = what.split(' ').filter(|word| !matches!(*word, "a" | "an" | "the" | "of"));
    words.map(|word| word.trim_matches('`')).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use bandstand_engine::schema::Schema;

    use super::*;
    use crate::diagnostic::Report;
    use crate::source::Source;
    use crate::yaml;

    fn json_of(path: &Path) -> Option<Value> {
        let text = std::fs::read_to_string(path).expect("the file can be read");
        let source = Source::new(&text);
        let mut report = Report::new(&source, "t.yaml");
        yaml::parse(&mut report).filter(|_| !report.has_errors()).map(|node| node.json())
    }

    #[test]
    fn the_schema_takes_every_good_file_and_refuses_what_it_can_see() {
        let schema = Schema::new(Arc::new(json_schema())).expect("a JSON Schema");
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows");
        let mut seen = 0;
        for entry in std::fs::read_dir(&corpus).expect("the corpus") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let json = json_of(&path).expect("a tree");
                assert_eq!(schema.check(&json), Ok(()), "{}", path.display());
                seen += 1;
            }
        }
        assert_eq!(seen, 20);
        for bad in [
            "01-unknown-key",
            "04-missing-version",
            "05-wrong-type",
            "06-unknown-reducer",
            "07-format-two",
            "08-id-with-dash",
            "10-bad-duration",
        ] {
            let json = json_of(&corpus.join(format!("bad/{bad}.yaml"))).expect("a tree");
            assert!(schema.check(&json).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_committed_schema_is_the_one_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflow.schema.json");
        let text = format!("{}\n", serde_json::to_string_pretty(&json_schema()).expect("JSON"));
        if std::env::var_os("BANDSTAND_BLESS").is_some() {
            std::fs::write(&path, &text).expect("the schema can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "workflow.schema.json is not up to date: run the tests with BANDSTAND_BLESS=1"
        );
    }
}
