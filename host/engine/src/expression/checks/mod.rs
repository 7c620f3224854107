//! Tests of the expression language: every row of the tables in the language's section on expressions.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;

mod analysis;
mod bounds;
mod language;
mod text;

/// The values most tests see.
fn names() -> BTreeMap<String, Visible> {
    let values = json!({
        "n": 3, "half": 0.5, "whole": 4.0, "big": 18446744073709551615u64, "text": "h\u{e9}llo", "empty": "",
        "list": [3, 1, 2], "words": ["b", "A", "c"], "yes": true, "no": false, "nothing": null,
        "object": {"b": 1, "a": {"c": [10, 20]}},
        "docs": [{"id": 1, "score": 0.5, "tag": "x"}, {"id": 2, "score": 0.9, "tag": "y"}, {"id": 3, "score": 0.5, "tag": "X"}],
        "mixed": [{"v": 1}, {}],
        "nested": [[1], [2, 3], []],
    });
    let mut names: BTreeMap<String, Visible> =
        values.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    names.insert("input".to_owned(), values.into());
    names
}

fn evaluate_in(source: &str, names: &dyn Names) -> Result<Json, EvaluateError> {
    let expression = Expression::compile(source, 1, 1).unwrap_or_else(|error| panic!("{source}: {error}"));
    let templates = BTreeMap::new();
    let scope =
        Scope { names, templates: &templates, fuel: FUEL_DEFAULT, result_bytes_max: RESULT_BYTES_MAX };
    expression.evaluate(&scope)
}

fn evaluate(source: &str) -> Result<Json, EvaluateError> {
    evaluate_in(source, &names())
}

#[track_caller]
fn gives(source: &str, expected: Json) {
    match evaluate(source) {
        Ok(value) => assert_eq!(value.to_string(), expected.to_string(), "{source}"),
        Err(error) => panic!("{source}: {error}"),
    }
}

#[track_caller]
fn fails(source: &str, code: &str) {
    match evaluate(source) {
        Ok(value) => panic!("{source} gave {value}, not {code}"),
        Err(error) => assert_eq!(error.code.as_str(), code, "{error}"),
    }
}
