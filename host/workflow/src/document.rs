//! YAML that is no workflow: cases of a plugin and the like, under the strict rules of workflow files.

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Report};
use crate::source::Source;
use crate::yaml::{Node, Typed, Yaml, parse};

/// The JSON of a YAML document that is no workflow: under the same strict rules, with nothing in it evaluated.
///
/// # Errors
/// For people: every problem with its line and column.
pub fn document(text: &str) -> Result<Value, String> {
    let source = Source::new(text);
    let mut report = Report::new(&source, "");
    let root = parse(&mut report);
    if let Some(node) = root.as_ref().and_then(not_json) {
        report.add("BW102", node.span, format!("found {}", node.found()), "write it as a text, in quotes");
    }
    let problems = report.finish();
    match root {
        Some(root) if problems.is_empty() => Ok(root.json()),
        _ => {
            let line = |found: &Diagnostic| format!("{}:{}: {}", found.line, found.column, found.message);
            Err(problems.iter().map(line).collect::<Vec<_>>().join("; "))
        }
    }
}

/// The first number in it that JSON cannot hold.
fn not_json(node: &Node) -> Option<&Node> {
    match &node.value {
        Yaml::Scalar(scalar) => (scalar.typed == Typed::NotJson).then_some(node),
        Yaml::List(items) => items.iter().find_map(not_json),
        Yaml::Map(entries) => entries.iter().find_map(|entry| not_json(&entry.value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // R8.5
    #[test]
    fn yaml_is_json_or_told_to_be_none() {
        let text = "- name: a\n  input: { text: \"${{ x }}\", on: yes }\n  n: 1.5\n";
        let wanted = json!([{ "name": "a", "input": { "text": "${{ x }}", "on": "yes" }, "n": 1.5 }]);
        assert_eq!(document(text), Ok(wanted));
        for (text, told) in [
            ("a: .nan", "JSON has no number for"),
            ("a: 1\na: 2", "2:1:"),
            ("a: &b 1", "anchor"),
            ("a: [", "not valid YAML"),
            ("", "empty"),
        ] {
            let problem = document(text).expect_err(text);
            assert!(problem.contains(told), "{problem}");
        }
    }
}
