//! Checks what an agent answers before anybody acts on it.
//!
//! Only what holds for every agent is checked here. Whether a route exists or the output fits a schema is the
//! workflow's business.

use crate::bindings::types;
use crate::failure::{Class, Failure};
use crate::sanitise::{kebab, sanitise};
use crate::settings::CallLimits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Bounds for what people read of a reply. Bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Choices and reviewers in one reply.
const LIST_MAX: usize = 1_000;

/// What an agent answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// JSON text, an object; checked.
    pub output: String,
    /// 0 to 1; checked.
    pub confidence: Option<f64>,
    /// Where the run goes.
    pub next: Next,
}

/// Where the run goes after a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// As the workflow file says.
    Edges,
    /// To this node.
    Goto(String),
    /// To the best of these; never empty.
    Choose(Vec<Choice>),
    /// To a person first.
    Review(Box<ReviewRequest>),
}

/// One way to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// A route of the node.
    pub name: String,
    /// 0 to 1; checked.
    pub confidence: f64,
    /// For people.
    pub reason: Option<String>,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewRequest {
    /// One line.
    pub title: String,
    /// For people.
    pub reason: String,
    /// A JSON Schema as JSON text; checked to be JSON.
    pub form: Option<String>,
    /// JSON text; checked.
    pub propose: Option<String>,
    /// Milliseconds.
    pub timeout_ms: Option<u32>,
    /// Empty: whoever the workflow file allows.
    pub reviewers: Vec<String>,
    /// At least 1; checked.
    pub quorum: u32,
}

/// Why a reply is refused: code and message of class `invalid-output`.
struct Refused(&'static str, String);

/// Turns the guest's answer into a reply or a failure.
pub(crate) fn check(
    answer: Result<types::Reply, types::Failure>,
    limits: &CallLimits,
) -> Result<Reply, Failure> {
    let reply = answer.map_err(|failure| agent_failure(failure, limits))?;
    check_reply(reply, limits)
        .map_err(|Refused(code, message)| Failure::new(Class::InvalidOutput, code, message))
}

fn check_reply(reply: types::Reply, limits: &CallLimits) -> Result<Reply, Refused> {
    let output = document("output", reply.output, limits)?;
    // Valid JSON that does not begin with a brace is no object.
    if !output.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        let message = "the reply's output is valid JSON but not an object; wrap it, as in {\"value\": ...}";
        return Err(Refused("not-object", message.to_owned()));
    }
    if let Some(confidence) = reply.confidence {
        check_confidence("confidence", confidence)?;
    }
    Ok(Reply { output, confidence: reply.confidence, next: check_next(reply.next, limits)? })
}

fn check_next(next: types::Next, limits: &CallLimits) -> Result<Next, Refused> {
    Ok(match next {
        types::Next::Edges => Next::Edges,
        types::Next::Goto(node) => {
            if node.is_empty() || node.len() > MESSAGE_BYTES_MAX {
                return Err(bad("next.goto must name a node"));
            }
            Next::Goto(node)
        }
        types::Next::Choose(choices) => {
            if choices.is_empty() || choices.len() > LIST_MAX {
                return Err(bad(format!(
                    "next.choose has {} choices, but needs 1 to {LIST_MAX}",
                    choices.len()
                )));
            }
            let mut checked = Vec::with_capacity(choices.len());
            for (index, choice) in choices.into_iter().enumerate() {
                if choice.name.is_empty() || choice.name.len() > MESSAGE_BYTES_MAX {
                    return Err(bad(format!("next.choose[{index}].name must name a route")));
                }
                check_confidence(&format!("next.choose[{index}].confidence"), choice.confidence)?;
                checked.push(Choice {
                    name: choice.name,
                    confidence: choice.confidence,
                    reason: choice.reason.map(|reason| sanitise(&reason, MESSAGE_BYTES_MAX)),
                });
            }
            Next::Choose(checked)
        }
        types::Next::Review(review) => Next::Review(Box::new(check_review(review, limits)?)),
    })
}

fn check_review(review: types::ReviewRequest, limits: &CallLimits) -> Result<ReviewRequest, Refused> {
    if review.title.trim().is_empty() {
        return Err(bad("next.review.title must say what is to be decided"));
    }
    if review.quorum == 0 {
        return Err(bad("next.review.quorum is 0, but must be at least 1"));
    }
    if review.reviewers.len() > LIST_MAX {
        return Err(bad(format!("next.review.reviewers has more than {LIST_MAX} names")));
    }
    Ok(ReviewRequest {
        title: sanitise(&review.title, MESSAGE_BYTES_MAX),
        reason: sanitise(&review.reason, MESSAGE_BYTES_MAX),
        form: review.form.map(|form| document("next.review.form", form, limits)).transpose()?,
        propose: review
            .propose
            .map(|propose| document("next.review.propose", propose, limits))
            .transpose()?,
        timeout_ms: review.timeout_ms,
        reviewers: review.reviewers.iter().map(|name| sanitise(name, MESSAGE_BYTES_MAX)).collect(),
        quorum: review.quorum,
    })
}

/// The agent's own failure. Never refused: a failure badly told is still that failure.
fn agent_failure(told: types::Failure, limits: &CallLimits) -> Failure {
    let mut message = sanitise(&told.message, MESSAGE_BYTES_MAX);
    if message.trim().is_empty() {
        message = "the agent failed and gave no reason".to_owned();
    }
    let mut data = None;
    if let Some(text) = told.data {
        match document("data", text, limits) {
            Ok(text) => data = Some(text),
            Err(Refused(_, reason)) => message = format!("{message} (its data was left out: {reason})"),
        }
    }
    Failure {
        recoverable: told.kind == types::FailureKind::Recoverable,
        retry_after_ms: told.retry_after_ms,
        data,
        ..Failure::new(Class::Agent, kebab(&told.code, "failed"), message)
    }
}

fn document(what: &str, text: String, limits: &CallLimits) -> Result<String, Refused> {
    if text.len() > limits.output_bytes_max {
        let message = format!(
            "the reply's {what} has {} bytes, more than the limit of {} bytes (setting limits.output)",
            text.len(),
            limits.output_bytes_max
        );
        return Err(Refused("too-large", message));
    }
    match json_problem(&text) {
        None => Ok(text),
        Some(problem) => Err(bad(format!("{what} is not JSON: {problem}"))),
    }
}

fn check_confidence(what: &str, confidence: f64) -> Result<(), Refused> {
    // Written so that NaN fails it.
    if (0.0..=1.0).contains(&confidence) {
        return Ok(());
    }
    Err(bad(format!("{what} is {confidence}, but must be between 0 and 1")))
}

fn bad(message: impl fmt::Display) -> Refused {
    Refused("bad-reply", format!("the reply is malformed: {message}"))
}

/// What keeps a text from being a JSON document that `serde_json::Value` would take, or `None`. Builds nothing, and
/// unlike skipping over the text it also finds numbers out of range and nesting too deep to be read later.
pub(crate) fn json_problem(text: &str) -> Option<String> {
    serde_json::from_str::<Checked>(text).err().map(|error| sanitise(&error.to_string(), 300))
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        while members.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

/// What `tests/fuzz` hands to the checks in place of a guest's reply: how it goes on (`goto`, `choose`, `review`, else by
/// the edges), its output, and the texts that go with it, in the order of the WIT.
///
/// # Errors
/// What is wrong with it.
#[doc(hidden)]
pub fn check_texts(how: &str, output: &str, rest: &[&str]) -> Result<Reply, Failure> {
    let text = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    let number = |text: &str| text.parse().unwrap_or(f64::NAN);
    let next = match how {
        "goto" => types::Next::Goto(text(0)),
        "choose" => {
            let choice = |pair: &[&str]| types::Choice {
                name: pair.first().copied().unwrap_or_default().to_owned(),
                confidence: pair.get(1).copied().map_or(f64::NAN, number),
                reason: None,
            };
            types::Next::Choose(rest.chunks(2).map(choice).collect())
        }
        "review" => types::Next::Review(types::ReviewRequest {
            title: text(0),
            reason: text(1),
            form: rest.get(2).map(|form| (*form).to_owned()),
            propose: rest.get(3).map(|propose| (*propose).to_owned()),
            timeout_ms: text(4).parse().ok(),
            quorum: text(5).parse().unwrap_or(1),
            reviewers: rest.iter().skip(6).map(|name| (*name).to_owned()).collect(),
        }),
        _ => types::Next::Edges,
    };
    let confidence = rest.last().and_then(|text| text.parse().ok());
    check(Ok(types::Reply { output: output.to_owned(), confidence, next }), &CallLimits::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(output: &str) -> types::Reply {
        types::Reply { output: output.to_owned(), confidence: None, next: types::Next::Edges }
    }

    fn code(answer: types::Reply) -> String {
        let limits = CallLimits { output_bytes_max: 1_000, ..CallLimits::default() };
        match check(Ok(answer), &limits) {
            Ok(_) => "fine".to_owned(),
            Err(failure) => {
                assert_eq!(failure.class, Class::InvalidOutput);
                failure.code
            }
        }
    }

    #[test]
    fn output_must_be_an_object_that_can_be_read() {
        assert_eq!(code(reply(" {\"a\": [1, null, \"x\", {\"b\": -1.5e3}]}\n")), "fine");
        for malformed in ["", "{", "{} {}", "{\"a\": 1e999}", "{'a': 1}", "hello"] {
            assert_eq!(code(reply(malformed)), "bad-reply", "{malformed}");
        }
        for other in ["[]", "\"text\"", "1", "null", " true "] {
            assert_eq!(code(reply(other)), "not-object", "{other}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(serde_json::from_str::<serde_json::Value>(&deep).is_err(), "nobody could read it later");
        assert_eq!(code(reply(&deep)), "bad-reply");
        assert_eq!(code(reply(&format!("{{\"a\":\"{}\"}}", "x".repeat(1_000)))), "too-large");
    }

    #[test]
    fn confidences_are_checked_everywhere() {
        for wrong in [f64::NAN, -0.01, 1.01, f64::INFINITY] {
            assert_eq!(code(types::Reply { confidence: Some(wrong), ..reply("{}") }), "bad-reply");
            let choice = types::Choice { name: "a".into(), confidence: wrong, reason: None };
            assert_eq!(
                code(types::Reply { next: types::Next::Choose(vec![choice]), ..reply("{}") }),
                "bad-reply"
            );
        }
        assert_eq!(code(types::Reply { confidence: Some(1.0), ..reply("{}") }), "fine");
        assert_eq!(code(types::Reply { next: types::Next::Choose(vec![]), ..reply("{}") }), "bad-reply");
    }

    #[test]
    fn a_failure_with_broken_data_stays_that_failure() {
        let told = types::Failure {
            kind: types::FailureKind::Permanent,
            code: "Too Short".into(),
            message: "\u{1b}[31mtoo short".into(),
            retry_after_ms: Some(5),
            data: Some("{".into()),
        };
        let failure = check(Err(told), &CallLimits::default()).unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Agent, "too-short"));
        assert!(!failure.recoverable);
        assert_eq!(failure.data, None);
        assert!(failure.message.starts_with("too short (its data was left out"), "{}", failure.message);
    }
}
