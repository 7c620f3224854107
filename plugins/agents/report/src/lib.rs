//! `report`: writes a readable report in Markdown from what the other agents found.
//!
//! Input: `title` (default: the licence's name or "Document"), `classification`, `obligations`, `definitions`, `risk`,
//! `split` (outputs of these agents), `review` (`{ decision, by, comments }` or any feedback object), `errors` (object
//! or list: what could not be done), `quotes_max` (default 8 per list). Everything may be missing or null but not all.
//!
//! Output: `markdown`, `summary` (one or two sentences), `headline`, `counts` (`sections_written`, `quotes`, `words`),
//! `gaps` (what was not there).
//!
//! Confidence: the mean of what the parts say of themselves, times the share of the four main parts that are there.
//! Failures: `input-invalid`; `nothing-to-report`.

mod parts;

use bandstand_sdk::{Call, Failure, Reply, agent, progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

agent!(run);

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Input {
    pub(crate) title: String,
    pub(crate) classification: Value,
    pub(crate) obligations: Value,
    pub(crate) definitions: Value,
    pub(crate) risk: Value,
    pub(crate) split: Value,
    pub(crate) review: Value,
    pub(crate) errors: Value,
    #[serde(default = "eight")]
    pub(crate) quotes_max: usize,
}

fn eight() -> usize {
    8
}

#[derive(Serialize)]
struct Output {
    markdown: String,
    summary: String,
    headline: String,
    counts: Counts,
    gaps: Vec<String>,
}

#[derive(Serialize)]
struct Counts {
    sections_written: usize,
    quotes: usize,
    words: usize,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let main = [
        ("classification", &input.classification),
        ("obligations", &input.obligations),
        ("definitions", &input.definitions),
        ("risk", &input.risk),
    ];
    let present = main.iter().filter(|(_, value)| value.is_object()).count();
    if present == 0 && !input.split.is_object() {
        return Err(Failure::permanent("nothing-to-report", "no result of any agent was given"));
    }
    let gaps: Vec<String> =
        main.iter().filter(|(_, value)| !value.is_object()).map(|(name, _)| (*name).to_owned()).collect();
    let headline = parts::headline(&input);
    let summary = parts::summary(&input);
    let mut markdown = format!("# {headline}\n\n{summary}\n");
    let mut written = 0;
    for (number, part) in parts::ALL.iter().enumerate() {
        progress::at(number as f64 / parts::ALL.len() as f64, "writing");
        if let Some(text) = part(&input) {
            markdown.push('\n');
            markdown.push_str(text.trim_end());
            markdown.push('\n');
            written += 1;
        }
    }
    let counts = Counts {
        sections_written: written,
        quotes: markdown.lines().filter(|line| line.contains("> ")).count(),
        words: markdown.split_whitespace().count(),
    };
    let confidence = confidence(&input, present);
    Ok(Reply::new(Output { markdown, summary, headline, counts, gaps }).confidence(confidence))
}

fn confidence(input: &Input, present: usize) -> f64 {
    let best = |value: &Value| {
        value["options"]
            .as_array()
            .and_then(|list| list.iter().filter_map(|one| one["confidence"].as_f64()).reduce(f64::max))
    };
    let said: Vec<f64> = [best(&input.classification), best(&input.risk)].into_iter().flatten().collect();
    let mean = if said.is_empty() { 0.5 } else { said.iter().sum::<f64>() / said.len() as f64 };
    (mean * (0.4 + 0.15 * present as f64) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        let finding = |quote: &str, clause: &str| json!({ "quote": quote, "clause": clause, "who": "You", "what": "keep it | all", "start": 1, "end": 2, "confidence": 0.9 });
        json!({
            "classification": { "family": "strong_copyleft", "licence": { "spdx": "GPL-3.0", "name": "GNU General Public License 3", "match": 1.0 },
                "options": [{ "name": "strong_copyleft", "confidence": 0.96 }, { "name": "unknown", "confidence": 0.02 }], "evidence": [] },
            "obligations": { "obligations": [finding("You must keep it.", "4")], "permissions": [finding("You may copy it.", "4")], "prohibitions": [], "disclaimers": [],
                "counts": { "obligations": 1, "permissions": 1, "prohibitions": 0, "disclaimers": 0 } },
            "definitions": { "definitions": [{ "term": "Program", "meaning": "any work", "clause": "0", "uses": 4, "confidence": 0.9 }], "references": [], "unresolved": ["99"],
                "counts": { "definitions": 1, "references": 3 } },
            "risk": { "score": 71, "level": "high", "use": "distribute", "points": [{ "rule": "family", "title": "Kind: strong copyleft", "points": 30, "explanation": "All of it.", "evidence": [], "confidence": 0.9 }],
                "options": [{ "name": "high", "confidence": 0.9 }] },
            "review": { "decision": "approved", "by": "ann", "comments": "Fine for the tool." },
        })
    }

    fn report(input: Value) -> (Value, f64) {
        let reply = run(&Call::with_input(input)).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    #[test]
    fn a_whole_report_reads_from_top_to_bottom() {
        let (output, confidence) = report(whole());
        let markdown = output["markdown"].as_str().unwrap();
        assert!(markdown.starts_with("# GNU General Public License 3: high risk\n"), "{markdown}");
        for part in [
            "## What it is",
            "## What to do",
            "## What is allowed",
            "## Risk",
            "## Terms",
            "## Review",
            "ann",
            "99",
        ] {
            assert!(markdown.contains(part), "{part} is not in\n{markdown}");
        }
        assert_eq!(output["gaps"], json!([]));
        assert!(!markdown.contains("keep it | all"), "a bar would break a table");
        assert!(confidence > 0.85, "{confidence}");
    }

    #[test]
    fn gaps_are_told_not_hidden() {
        let mut input = whole();
        input["definitions"] = Value::Null;
        input["errors"] = json!({ "definitions": { "code": "trap", "message": "it crashed" } });
        let (output, confidence) = report(input);
        let markdown = output["markdown"].as_str().unwrap();
        assert!(
            markdown.contains("## What could not be done") && markdown.contains("it crashed"),
            "{markdown}"
        );
        assert_eq!(output["gaps"], json!(["definitions"]));
        assert!(confidence < report(whole()).1);
        assert_eq!(run(&Call::with_input(json!({ "title": "x" }))).unwrap_err().code(), "nothing-to-report");
    }
}
