//! Compares a value with a pattern: JSON with a few words for what differs from run to run.
//!
//! `"<any>"` stands for any value; the member `"...": "..."` of an object for any further members;
//! `{ "<has>": ["a", "b"] }` for a text that holds each of them; `{ "<between>": [0.5, 1] }` for a number in that range.

use serde_json::Value;

/// What of `actual` is not as `pattern` wants it, with its place. Empty: nothing.
pub fn differences(pattern: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(pattern, actual, "$", &mut found);
    found
}

fn compare(pattern: &Value, actual: &Value, place: &str, found: &mut Vec<String>) {
    match (pattern, actual) {
        (Value::String(word), _) if word == "<any>" => {}
        (Value::Object(special), _) if special.contains_key("<has>") => {
            let text = actual.as_str().unwrap_or_default();
            let parts = special["<has>"].as_array().unwrap().iter().map(|part| part.as_str().unwrap());
            let missing = parts.filter(|part| !text.contains(part));
            found.extend(missing.map(|part| format!("{place}: {part:?} is not in {actual}")));
        }
        (Value::Object(special), _) if special.contains_key("<between>") => {
            let (low, high) = (&special["<between>"][0], &special["<between>"][1]);
            let range = low.as_f64().unwrap()..=high.as_f64().unwrap();
            if !actual.as_f64().is_some_and(|number| range.contains(&number)) {
                found.push(format!("{place}: {actual} is not between {low} and {high}"));
            }
        }
        (Value::Object(wanted), Value::Object(members)) => {
            let open = wanted.contains_key("...");
            for (name, pattern) in wanted.iter().filter(|(name, _)| *name != "...") {
                match members.get(name) {
                    Some(member) => compare(pattern, member, &format!("{place}.{name}"), found),
                    None => found.push(format!("{place}: no member {name:?}")),
                }
            }
            let further = members.keys().filter(|name| !open && !wanted.contains_key(*name));
            found.extend(
                further.map(|name| format!("{place}: member {name:?} was not expected: {}", members[name])),
            );
        }
        (Value::Array(wanted), Value::Array(items)) => {
            if wanted.len() != items.len() {
                found.push(format!("{place}: {} items, not {}: {actual}", items.len(), wanted.len()));
            }
            for (at, (pattern, item)) in wanted.iter().zip(items).enumerate() {
                compare(pattern, item, &format!("{place}[{at}]"), found);
            }
        }
        // 1 and 1.0 are one number.
        (Value::Number(wanted), Value::Number(number)) if wanted.as_f64() == number.as_f64() => {}
        _ if pattern == actual => {}
        _ => found.push(format!("{place}: {actual}, not {pattern}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differences;

    #[test]
    fn equal_values_and_the_words_for_any_agree() {
        let actual = json!({ "id": "0af", "n": 2, "text": "one two", "list": [1.0, { "a": null }] });
        let pattern = json!({ "id": "<any>", "n": { "<between>": [1, 3] }, "text": { "<has>": ["one", "two"] }, "list": [1, { "a": null }] });
        assert_eq!(differences(&pattern, &actual), Vec::<String>::new());
        assert_eq!(differences(&json!({ "n": 2, "...": "..." }), &actual), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_told_with_its_place() {
        let actual = json!({ "a": 1, "b": [1, 2], "c": "one", "d": 9 });
        let pattern = json!({ "a": 2, "b": [1], "c": { "<has>": ["two"] }, "d": { "<between>": [0, 1] }, "e": "<any>" });
        let found = differences(&pattern, &actual);
        let places = ["$.a: 1, not 2", "$.b: 2 items, not 1", "$.c: \"two\"", "$.d: 9", "$: no member \"e\""];
        assert_eq!(found.len(), places.len(), "{found:#?}");
        for place in places {
            assert!(found.iter().any(|one| one.starts_with(place)), "{place} is not in {found:#?}");
        }
        assert_eq!(differences(&json!({}), &json!({ "x": 1 })), ["$: member \"x\" was not expected: 1"]);
        assert_eq!(differences(&json!("<any>x"), &json!(null)).len(), 1);
    }
}
