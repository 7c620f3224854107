//! The cases of `bandstand plugin test --cases`: inputs, and what is expected of each. A case is `{ name, input, expect }`;
//! `expect` is a part of what `--json` tells of a call: what it does not name may be anything. A failure is expected by
//! naming `error`: `{ "error": { "code": "input-invalid" } }`. In place of a text may stand `{ "$contains": "..." }` or
//! `{ "$matches": "..." }`, a regular expression.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bandstand_engine::schema::Schema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::test::Bench;
use super::test_report::as_json;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::json_input;
use crate::cli::term::out::Tone;
use crate::cli::term::{safe, words};

/// How a file of cases looks.
const FORM: &str = "a case is { \"name\": \"...\", \"input\": {...}, \"expect\": { \"output\": {...} } }, or in place of `output` \
                    `error`: { \"code\": \"...\" }; a file of JSON or YAML holds one, or a list of them";
/// What a text is held against instead of another text.
const CONTAINS: &str = "$contains";
const MATCHES: &str = "$matches";
/// How many differences of a case are told.
const DIFFERENCES_MAX: usize = 10;

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "empty")]
    input: Value,
    expect: Value,
}

fn empty() -> Value {
    json!({})
}

/// The cases of a file, or of all files of JSON and YAML of a folder by name. Each has a name afterwards.
pub(super) fn read(path: &Path) -> Result<Vec<Case>, Failure> {
    let cannot = |error: std::io::Error| {
        let failure = Failure::unreadable(path.display(), &error);
        Failure { what: format!("--cases: {}", failure.what), ..failure }
    };
    let mut files = vec![path.to_owned()];
    if std::fs::metadata(path).map_err(cannot)?.is_dir() {
        let entries: Result<Vec<PathBuf>, _> =
            std::fs::read_dir(path).map_err(cannot)?.map(|entry| Ok(entry?.path())).collect();
        files = entries.map_err(cannot)?;
        files.retain(|file| {
            file.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
        });
        files.sort();
    }
    let mut cases = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let document = json_input::document("--cases", &file)?;
        let found = match document {
            Value::Array(found) => found,
            one => vec![one],
        };
        let are_many = found.len() > 1;
        for (index, case) in found.into_iter().enumerate() {
            let invalid = |problem: String| {
                let number = index + 1;
                Failure::usage(format!("{}: case {number}: {problem}", file.display())).help(FORM)
            };
            let mut case: Case = serde_json::from_value(case).map_err(|error| invalid(error.to_string()))?;
            if !case.input.is_object() || !case.expect.is_object() {
                return Err(invalid("`input` and `expect` are objects".to_owned()));
            }
            if let Some(problem) = text_problem("expect", &case.expect) {
                return Err(invalid(problem));
            }
            let unnamed = if are_many { format!("{stem} {}", index + 1) } else { stem.clone() };
            case.name.get_or_insert(unnamed);
            cases.push(case);
        }
    }
    if cases.is_empty() {
        return Err(Failure::usage(format!("--cases: there is no case in {}", path.display())).help(FORM));
    }
    Ok(cases)
}

/// How files of cases end.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// What is wrong with an expectation of texts, anywhere in it, with its place.
fn text_problem(path: &str, expected: &Value) -> Option<String> {
    if let Some(wanted) = as_text(expected) {
        return wanted.iter().find_map(|(how, wanted)| {
            let Some(wanted) = wanted.as_str() else { return Some(format!("{path}.{how} is a text")) };
            let pattern = (how == MATCHES).then(|| pattern(wanted))?;
            pattern.err().map(|problem| format!("{path}.{how}: {problem}"))
        });
    }
    match expected {
        Value::Object(members) => {
            members.iter().find_map(|(name, member)| text_problem(&format!("{path}.{name}"), member))
        }
        Value::Array(items) => {
            let mut each = items.iter().enumerate();
            each.find_map(|(index, item)| text_problem(&format!("{path}[{index}]"), item))
        }
        _ => None,
    }
}

/// The members of an object that stands for a text.
fn as_text(expected: &Value) -> Option<&Map<String, Value>> {
    let members = expected.as_object()?;
    let known = |name: &String| name == CONTAINS || name == MATCHES;
    (!members.is_empty() && members.keys().all(known)).then_some(members)
}

/// The engine's schemas have the patterns of this host: in linear time, found anywhere in the text.
fn pattern(wanted: &str) -> Result<Schema, String> {
    let schema = json!({ "type": "string", "pattern": wanted });
    Schema::new(Arc::new(schema)).map_err(|problem| match regex_syntax::parse(wanted) {
        Ok(_) => problem.message,
        Err(error) => format!("{} is no regular expression: {}", short(&json!(wanted)), reason(&error)),
    })
}

/// In a line: what is wrong, and where.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => {
            format!("{}, at character {}", error.kind(), error.span().start.column)
        }
        regex_syntax::Error::Translate(error) => {
            format!("{}, at character {}", error.kind(), error.span().start.column)
        }
        _ => error.to_string(),
    }
}

fn fits(how: &str, wanted: &Value, found: &str) -> bool {
    let Some(wanted) = wanted.as_str() else { return false };
    match how {
        CONTAINS => found.contains(wanted),
        _ => pattern(wanted).is_ok_and(|schema| schema.check(&json!(found)).is_ok()),
    }
}

/// Runs them one after the other; exit code 1 when one is not as expected.
pub(super) async fn run(cases: &[Case], bench: &Bench, context: &Context) -> Result<Exit, Failure> {
    let out = &context.out;
    let mut failed = 0;
    for case in cases {
        let outcome = bench.call(&case.input, None).await?;
        let found = as_json(&outcome);
        let differences = differences(&case.expect, &found);
        let passed = differences.is_empty();
        failed += usize::from(!passed);
        let name = case.name.as_deref().unwrap_or_default();
        if out.json {
            out.json_line(&json!({
                "type": "case", "name": name, "passed": passed, "differences": differences, "outcome": found,
            }));
            continue;
        }
        let word = if passed { out.paint(Tone::Good, "ok  ") } else { out.paint(Tone::Bad, "FAIL") };
        out.data(&format!("{word}  {}  {}", safe::line(name), words::span(outcome.usage.wall_us / 1_000)));
        for difference in &differences {
            out.data(&safe::line(&format!("      {difference}")));
        }
    }
    let passed = cases.len() - failed;
    let exit = if failed == 0 { Exit::Succeeded } else { Exit::Failed };
    if out.json {
        out.json_line(&json!({
            "type": "outcome", "passed": passed, "failed": failed, "exit_code": exit.code(),
        }));
    } else {
        out.note(&format!("{passed} of {} as expected", words::count(cases.len(), "case")));
    }
    Ok(exit)
}

/// Where what was found is not what was expected, at most [`DIFFERENCES_MAX`] places. Whoever does not expect a failure
/// expects none.
fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    if expected.get("error").is_none()
        && let Some(error) = found.get("error")
    {
        let text = |member: &str| error[member].as_str().unwrap_or_default();
        differences.push(format!("it failed: {}/{}: {}", text("class"), text("code"), text("message")));
        return differences;
    }
    compare("", expected, found, &mut differences);
    differences.truncate(DIFFERENCES_MAX);
    differences
}

fn compare(path: &str, expected: &Value, found: &Value, into: &mut Vec<String>) {
    if let Some(wanted) = as_text(expected) {
        let fit = |found: &str| wanted.iter().all(|(how, wanted)| fits(how, wanted, found));
        if !found.as_str().is_some_and(fit) {
            into.push(format!("{path}: expected {}, found {}", short(expected), short(found)));
        }
        return;
    }
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match found.get(name) {
                    Some(found) => compare(&path, expected, found, into),
                    None => into.push(format!("{path}: expected {}, there is none", short(expected))),
                }
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), expected, found, into);
            }
        }
        _ if is_same(expected, found) => {}
        _ => into.push(format!("{path}: expected {}, found {}", short(expected), short(found))),
    }
}

/// `1` is `1.0`.
fn is_same(expected: &Value, found: &Value) -> bool {
    match (expected.as_f64(), found.as_f64()) {
        (Some(a), Some(b)) if expected.is_f64() || found.is_f64() => a == b,
        _ => expected == found,
    }
}

fn short(value: &Value) -> String {
    safe::short(&value.to_string(), 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_may_be_anything() {
        let found = json!({ "status": "succeeded", "output": { "a": [{ "b": 1.0, "c": 2 }], "d": null }, "usage": {} });
        for same in [
            json!({}),
            json!({ "output": { "a": [{ "b": 1 }] } }),
            json!({ "output": { "d": null }, "status": "succeeded" }),
        ] {
            assert_eq!(differences(&same, &found), Vec::<String>::new(), "{same}");
        }
        for (other, told) in [
            (json!({ "output": { "a": [] } }), "output.a: expected []"),
            (json!({ "output": { "a": [{ "b": "1" }] } }), "output.a[0].b: expected \"1\", found 1.0"),
            (json!({ "output": { "e": 1 } }), "output.e: expected 1, there is none"),
            (json!({ "error": { "code": "x" } }), "error: expected {\"code\":\"x\"}, there is none"),
        ] {
            let differences = differences(&other, &found);
            assert!(differences.len() == 1 && differences[0].contains(told), "{differences:?}");
        }
    }

    // R8.5
    #[test]
    fn a_text_can_be_expected_in_part() {
        let found = json!({ "status": "failed", "error": { "class": "trap", "last_words": "panicked at src/lib.rs:17:\nno" } });
        for same in [
            json!({ "$contains": "src/lib.rs" }),
            json!({ "$matches": "^panicked at .*:[0-9]+" }),
            json!({ "$contains": "no", "$matches": "17" }),
        ] {
            let expected = json!({ "error": { "last_words": same } });
            assert_eq!(text_problem("expect", &expected), None);
            assert_eq!(differences(&expected, &found), Vec::<String>::new(), "{expected}");
        }
        for other in [json!({ "$contains": "yes" }), json!({ "$matches": "^no" })] {
            let expected = json!({ "error": { "last_words": other } });
            let told = differences(&expected, &found);
            assert!(
                told[0].starts_with("error.last_words: expected {") && told[0].contains("found"),
                "{told:?}"
            );
        }
        let expected = json!({ "error": { "class": { "$contains": "trap", "else": 1 } } });
        assert_eq!(differences(&expected, &found).len(), 1, "it is an ordinary object");
        let absent = json!({ "error": { "backtrace": { "$contains": "a" } } });
        assert!(differences(&absent, &found)[0].contains("there is none"));
        for (wrong, told) in [
            (json!({ "a": [{ "$contains": 1 }] }), "expect.a[0].$contains is a text"),
            (
                json!({ "$matches": "ab(" }),
                "expect.$matches: \"ab(\" is no regular expression: unclosed group, at character 3",
            ),
            (
                json!({ "b": { "$matches": "a(?=b)" } }),
                "expect.b.$matches: \"a(?=b)\" is no regular expression: look-around, including look-ahead and look-behind, is not \
                 supported, at character 2",
            ),
        ] {
            assert_eq!(text_problem("expect", &wrong).as_deref(), Some(told), "{wrong}");
        }
    }

    #[test]
    fn a_failure_must_be_expected() {
        let found =
            json!({ "status": "failed", "error": { "class": "agent", "code": "busy", "message": "no" } });
        assert_eq!(differences(&json!({ "error": { "code": "busy" } }), &found), Vec::<String>::new());
        assert_eq!(differences(&json!({}), &found), ["it failed: agent/busy: no"]);
    }
}
