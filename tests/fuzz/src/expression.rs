//! Expressions and templates: analysed, compiled, and evaluated within their fuel.

use std::collections::BTreeMap;

use bandstand_engine::expression::{
    Expression, Scope, Template, TextTemplate, Visible, analyse, analyse_template,
};
use serde_json::{Value, json};

/// Instructions for one evaluation, the language's default.
const FUEL: u64 = 100_000;
/// Bytes of one result.
const RESULT_BYTES_MAX: usize = 64 << 10;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let names = json!({
        "input": { "n": 3, "text": "some words", "list": [1, 2.5, null, "x"], "nested": { "a": [{ "b": true }] } },
        "state": { "total": 1e300, "log": [] },
        "output": { "confidence": 0.5 },
        "visit": 2,
    });
    let Value::Object(names) = names else { unreachable!("written as an object") };
    let names: BTreeMap<String, Visible> =
        names.into_iter().map(|(name, value)| (name, Visible::from(value))).collect();
    let templates = BTreeMap::new();
    let scope =
        Scope { names: &names, templates: &templates, fuel: FUEL, result_bytes_max: RESULT_BYTES_MAX };
    let small = |value: &Value| {
        assert!(serde_json::to_string(value).unwrap().len() <= RESULT_BYTES_MAX, "a result above its limit");
    };
    let analysis = analyse(text);
    if let Ok(expression) = Expression::compile(text, 1, 1) {
        if let Ok(value) = expression.evaluate(&scope) {
            small(&value);
        }
        let _ = expression.evaluate_bool(&scope);
    } else {
        assert!(!analysis.findings.is_empty(), "{text:?} does not compile, and nothing says why");
    }
    if let Ok(template) = Template::from_text(text, |_| (1, 1))
        && let Ok(value) = template.evaluate(&scope)
    {
        small(&value);
    }
    let _ = analyse_template(text);
    let _ = TextTemplate::compile(text);
}
