//! `split`: cuts a document into sections and their lettered clauses.
//!
//! Input: `text` (required); `text_in_sections` (default true: each section carries its text); `level_max` (default 6:
//! deeper headings stay inside their section); `chars_max` (default 0, no limit: a longer section is cut at
//! paragraphs into parts of the same label).
//!
//! Output: `title` (first heading or line), `sections`: list of `{ id, label, title, level, start, end, body, words,
//! clauses: [{ label, start, end }], text? }`, `count`, `chars`, `words`, `numbered` (share of sections that carry a
//! number). `start`, `body` and `end` are byte offsets into `text`; sections touch and cover it.
//!
//! Confidence: how much the text looks divided at all: numbers in sequence and titles raise it, one section over all of
//! a long text lowers it. Failures: `input-invalid`; `text-empty`.

use bandstand_prose::{Document, Section, flat, shorten, words};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: String,
    #[serde(default = "yes")]
    text_in_sections: bool,
    #[serde(default = "six")]
    level_max: usize,
    #[serde(default)]
    chars_max: usize,
}

fn yes() -> bool {
    true
}

fn six() -> usize {
    6
}

#[derive(Serialize)]
struct Output {
    title: String,
    sections: Vec<Part>,
    count: usize,
    chars: usize,
    words: usize,
    numbered: f64,
}

#[derive(Serialize)]
struct Part {
    id: String,
    label: String,
    title: String,
    level: usize,
    start: usize,
    end: usize,
    body: usize,
    words: usize,
    clauses: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize)]
struct Item {
    label: String,
    start: usize,
    end: usize,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    if input.text.trim().is_empty() {
        return Err(Failure::permanent("text-empty", "`text` holds nothing but white space"));
    }
    let sections = merged(Document::read(&input.text).sections(), input.level_max.max(1));
    let confidence = confidence(&sections, &input.text);
    let numbered = share_numbered(&sections);
    let title = title(&sections, &input.text);
    let mut parts = Vec::new();
    for section in &sections {
        for (start, end) in pieces(&input.text, section, input.chars_max) {
            parts.push(part(&input, section, start, end, parts.len() + 1));
        }
    }
    let (count, chars, words) = (parts.len(), input.text.chars().count(), words(&input.text).count());
    Ok(Reply::new(Output { title, sections: parts, count, chars, words, numbered }).confidence(confidence))
}

/// Sections deeper than the limit become part of the one before.
fn merged(sections: Vec<Section>, level_max: usize) -> Vec<Section> {
    let mut kept: Vec<Section> = Vec::new();
    for section in sections {
        match kept.last_mut() {
            Some(last) if section.level > level_max => {
                last.end = section.end;
                last.clauses.extend(section.clauses);
            }
            _ => kept.push(section),
        }
    }
    kept
}

fn part(input: &Input, section: &Section, start: usize, end: usize, number: usize) -> Part {
    let own = |at: &&bandstand_prose::Clause| (start..end).contains(&at.start);
    let clauses = section.clauses.iter().filter(own);
    Part {
        id: format!("s{number}"),
        label: section.label.clone(),
        title: section.title.clone(),
        level: section.level,
        start,
        end,
        body: section.body.clamp(start, end),
        words: words(&input.text[start..end]).count(),
        clauses: clauses
            .map(|clause| Item { label: clause.label.clone(), start: clause.start, end: clause.end })
            .collect(),
        text: input.text_in_sections.then(|| input.text[start..end].trim_end().to_owned()),
    }
}

/// A section whole, or cut at empty lines into pieces of at most `chars_max` bytes where it can be.
fn pieces(text: &str, section: &Section, chars_max: usize) -> Vec<(usize, usize)> {
    if chars_max == 0 || section.end - section.start <= chars_max {
        return vec![(section.start, section.end)];
    }
    let mut pieces = Vec::new();
    let (mut start, mut last_gap) = (section.start, section.start);
    for (offset, gap) in text[section.start..section.end].match_indices("\n\n") {
        let at = section.start + offset + gap.len();
        if at - start > chars_max && last_gap > start {
            pieces.push((start, last_gap));
            start = last_gap;
        }
        last_gap = at;
    }
    if section.end - start > chars_max && last_gap > start && last_gap < section.end {
        pieces.push((start, last_gap));
        start = last_gap;
    }
    pieces.push((start, section.end));
    pieces
}

fn title(sections: &[Section], text: &str) -> String {
    let named = sections.iter().take(2).find(|section| !section.title.is_empty() && section.label.is_empty());
    let first_line = || text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    named.map_or_else(|| shorten(first_line(), 80), |section| flat(&section.title))
}

fn share_numbered(sections: &[Section]) -> f64 {
    let numbered = sections.iter().filter(|section| !section.label.is_empty()).count();
    round(numbered as f64 / sections.len().max(1) as f64)
}

/// A text is surely divided when most sections have numbers; titles alone are weaker; a lump of more than 600 words
/// without any division is most likely a failure to see it.
fn confidence(sections: &[Section], text: &str) -> f64 {
    let titled =
        sections.iter().filter(|section| !section.title.is_empty()).count() as f64 / sections.len() as f64;
    let count = words(text).count() as f64;
    let largest =
        sections.iter().map(|section| words(&text[section.start..section.end]).count()).max().unwrap_or(0);
    let lump = largest as f64 / count.max(1.0);
    if sections.len() == 1 {
        return round(if count < 250.0 { 0.8 } else { (0.8 - (count - 250.0) / 1000.0).max(0.2) });
    }
    let numbers = share_numbered(sections);
    round((0.45 + 0.35 * numbers + 0.2 * titled - 0.3 * (lump - 0.5).max(0.0)).clamp(0.2, 0.97))
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GPL: &str = include_str!("../../../../examples/06-licence-review/texts/gpl-3.0.txt");
    const MIT: &str = include_str!("../../../../examples/06-licence-review/texts/mit.txt");

    fn split(input: Value) -> (Value, f64) {
        let reply = run(&Call::with_input(input)).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    #[test]
    fn the_gpl_is_cut_at_its_numbers() {
        let (output, confidence) = split(json!({ "text": GPL }));
        let sections = output["sections"].as_array().unwrap();
        let labels: Vec<_> =
            sections.iter().filter_map(|s| s["label"].as_str()).filter(|l| !l.is_empty()).collect();
        assert_eq!(labels.len(), 18, "{labels:?}");
        let six = sections.iter().find(|section| section["label"] == "6").unwrap();
        assert_eq!(six["title"], "Conveying Non-Source Forms");
        assert_eq!(six["clauses"].as_array().unwrap().len(), 5);
        let (start, end) = (six["start"].as_u64().unwrap() as usize, six["end"].as_u64().unwrap() as usize);
        assert!(GPL[start..end].starts_with("6. Conveying"));
        assert!(confidence > 0.8, "{confidence}");
    }

    #[test]
    fn a_short_undivided_text_is_one_section() {
        let (output, confidence) = split(json!({ "text": MIT, "text_in_sections": false }));
        assert_eq!(output["title"], "MIT License");
        assert!(output["sections"][0].get("text").is_none());
        assert!((0.5..=0.9).contains(&confidence), "{confidence}");
        let (_, lump) = split(json!({ "text": "word ".repeat(3000) }));
        assert!(lump < 0.3, "{lump}");
    }

    #[test]
    fn long_sections_are_cut_at_paragraphs_and_nothing_is_lost() {
        let (output, _) = split(json!({ "text": GPL, "chars_max": 1500 }));
        let sections = output["sections"].as_array().unwrap();
        let at = |value: &Value| value.as_u64().unwrap() as usize;
        assert!(sections.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]));
        assert_eq!(at(&sections[sections.len() - 1]["end"]), GPL.len());
        assert!(sections.len() > 25);
        assert_eq!(run(&Call::with_input(json!({ "text": " \n" }))).unwrap_err().code(), "text-empty");
    }
}
