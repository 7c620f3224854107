//! `draft`: writes a plain text from an outline and revises it by a reviewer's notes.
//!
//! Input: `title` (required), `outline` (required: list of texts, or of `{ heading, points: [..] }`), `audience`
//! (default "the reader"), `notes` (default none: a text, a list of texts, or feedback objects with `comments`),
//! `previous` (default none: the text to revise; without it the outline is written anew), `ask_review` (default false:
//! the reply itself asks for a review that proposes the text), `reviewers` (list).
//!
//! Notes it can follow, one a line or sentence: `add: ...`, `remove: ...` (a paragraph that holds these words),
//! `replace "a" with "b"`, `title: ...`, `shorter` (keeps each paragraph's first sentences). Others are listed as not
//! followed.
//!
//! Output: `title`, `text` (Markdown), `words`, `revision` (the visit's number), `followed` and `not_followed` (notes).
//!
//! Confidence: high where the outline has points for each heading and every note was followed. Failures:
//! `input-invalid`; `outline-empty`.

mod notes;

use bandstand_prose::flat;
use bandstand_sdk::{Call, Failure, Reply, Review, agent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
struct Input {
    title: String,
    #[serde(default)]
    outline: Vec<Part>,
    #[serde(default = "reader")]
    audience: String,
    #[serde(default)]
    notes: Value,
    previous: Option<String>,
    #[serde(default)]
    ask_review: bool,
    #[serde(default)]
    reviewers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Heading(String),
    Section {
        heading: String,
        #[serde(default)]
        points: Vec<String>,
    },
}

impl Part {
    fn heading(&self) -> &str {
        match self {
            Part::Heading(heading) | Part::Section { heading, .. } => heading,
        }
    }

    fn points(&self) -> &[String] {
        match self {
            Part::Heading(_) => &[],
            Part::Section { points, .. } => points,
        }
    }
}

fn reader() -> String {
    "the reader".to_owned()
}

#[derive(Serialize)]
struct Output {
    title: String,
    text: String,
    words: usize,
    revision: u32,
    followed: Vec<String>,
    not_followed: Vec<String>,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    if input.outline.is_empty() && input.previous.is_none() {
        return Err(Failure::permanent(
            "outline-empty",
            "`outline` has no part, and there is no `previous` text to revise",
        ));
    }
    let mut title = flat(&input.title);
    let previous = input.previous.clone().filter(|text| !text.trim().is_empty());
    let mut text = previous.unwrap_or_else(|| write(&title, &input));
    let (mut followed, mut not_followed) = (Vec::new(), Vec::new());
    for note in notes::all(&input.notes) {
        match notes::follow(&note, &mut title, &mut text) {
            true => followed.push(note),
            false => not_followed.push(note),
        }
    }
    let confidence = confidence(&input, followed.len(), not_followed.len());
    let words = text.split_whitespace().count();
    let proposal = json!({ "title": title, "text": text });
    let asked = Review::new(
        format!("Draft {}: {title}", call.visit),
        "A person reads every draft before it goes out.",
    )
    .propose(proposal)
    .reviewers(input.reviewers);
    let output = Output { title, text, words, revision: call.visit, followed, not_followed };
    let reply = Reply::new(output).confidence(confidence);
    Ok(if input.ask_review { reply.review(asked) } else { reply })
}

/// A heading for each part, a paragraph of its points, and an opening that says what is ahead.
fn write(title: &str, input: &Input) -> String {
    let headings: Vec<String> = input.outline.iter().map(|part| lower_first(&flat(part.heading()))).collect();
    let mut text =
        format!("# {title}\n\nThis text tells {} about {}.\n", flat(&input.audience), listed(&headings));
    for part in &input.outline {
        text += &format!("\n## {}\n\n", flat(part.heading()));
        let sentences: Vec<String> = part.points().iter().map(|point| sentence(point)).collect();
        match sentences.is_empty() {
            true => text += "This part is still to be written.\n",
            false => text += &format!("{}\n", sentences.join(" ")),
        }
    }
    text
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// With a capital at the start and a mark at the end.
pub(crate) fn sentence(point: &str) -> String {
    let line = flat(point);
    let mut letters = line.chars();
    let start = letters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let line = start + letters.as_str();
    if line.ends_with(['.', '!', '?', ':']) || line.is_empty() { line } else { line + "." }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    // A word in capitals stays as it is.
    if letters.as_str().starts_with(|c: char| c.is_uppercase()) {
        return text.to_owned();
    }
    first.to_lowercase().collect::<String>() + letters.as_str()
}

/// Parts without points and notes not followed are what a person would complain about.
fn confidence(input: &Input, followed: usize, not_followed: usize) -> f64 {
    let parts = input.outline.len().max(1) as f64;
    let filled = input.outline.iter().filter(|part| !part.points().is_empty()).count() as f64 / parts;
    let filled = if input.previous.is_some() { filled.max(0.7) } else { filled };
    let notes = (followed + not_followed) as f64;
    let obeyed = if notes == 0.0 { 0.9 } else { followed as f64 / notes };
    ((0.25 + 0.4 * filled + 0.3 * obeyed) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::Next;

    use super::*;

    fn outline() -> Value {
        json!([{ "heading": "Why", "points": ["copies need a notice", "it is short"] }, "Who pays"])
    }

    fn draft(mut input: Value) -> (Value, f64) {
        input["title"] = json!("Keeping notices");
        let reply = run(&Call { visit: 2, ..Call::with_input(input) }).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    #[test]
    fn an_outline_becomes_a_text() {
        let (output, unsure) = draft(json!({ "outline": outline() }));
        let text = output["text"].as_str().unwrap();
        assert!(text.contains("This text tells the reader about why and who pays."), "{text}");
        assert!(text.contains("Copies need a notice. It is short."), "{text}");
        assert_eq!(output["revision"], 2);
        let (_, sure) = draft(json!({ "outline": [{ "heading": "Why", "points": ["a"] }] }));
        assert!(sure > unsure, "{sure} {unsure}");
    }

    #[test]
    fn notes_are_followed_or_said_not_to_be() {
        let (first, _) = draft(json!({ "outline": outline() }));
        let notes = json!([{ "comments": "replace \"short\" with \"brief\"\nadd: See the file NOTICE." }, "make it sing", "remove: still to be written"]);
        let (output, confidence) =
            draft(json!({ "outline": outline(), "previous": first["text"], "notes": notes }));
        let text = output["text"].as_str().unwrap();
        assert!(text.contains("It is brief.") && text.trim_end().ends_with("See the file NOTICE."), "{text}");
        assert!(!text.contains("still to be written"));
        assert_eq!(output["not_followed"], json!(["make it sing"]));
        assert_eq!(output["followed"].as_array().unwrap().len(), 3);
        assert!(confidence < 0.85, "{confidence}");
    }

    // R2.6
    #[test]
    fn it_can_ask_for_a_review_itself() {
        let input = json!({ "title": "T", "outline": ["One"], "ask_review": true, "reviewers": ["ann"] });
        let reply = run(&Call::with_input(input)).unwrap();
        let Next::Review(review) = reply.next() else { unreachable!("a review is asked for") };
        assert_eq!(review.title(), "Draft 1: T");
        assert_eq!(run(&Call::with_input(json!({ "title": "T" }))).unwrap_err().code(), "outline-empty");
    }
}
