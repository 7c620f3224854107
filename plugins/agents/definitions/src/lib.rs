//! `definitions`: finds the terms a document defines, and what it refers to: its own clauses, other documents, licence
//! identifiers, addresses.
//!
//! Input: `text` (required); `offset` (default 0, added to every place); `limit` (default 200, for each list).
//!
//! Output: `definitions`: `{ term, meaning, form, quote, clause, start, end, uses, confidence }`; `references`: `{ kind,
//! target, quote, clause, start, end, resolved }` with `kind` one of `clause`, `document`, `spdx`, `url`, `licence`;
//! `unresolved`: the targets of references to clauses that the text has not; `unused`: terms defined and not used again;
//! `counts`: `{ definitions, references, unresolved, unused }`. `start` and `end` are byte offsets. `form` says how a
//! term was defined: `means`, `bracket` (`(the "Software")`), `called`.
//!
//! Confidence: the mean over the definitions, lowered by unresolved references; 0.4 when nothing is defined, which is
//! right for short texts only. Failures: `input-invalid`; `text-empty`.

mod references;
mod terms;

use std::collections::BTreeSet;

use bandstand_prose::Document;
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

use self::references::{Kind, Reference};
use self::terms::Definition;

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: String,
    #[serde(default)]
    offset: usize,
    #[serde(default = "two_hundred")]
    limit: usize,
}

fn two_hundred() -> usize {
    200
}

#[derive(Serialize)]
struct Output {
    definitions: Vec<Definition>,
    references: Vec<Reference>,
    unresolved: Vec<String>,
    unused: Vec<String>,
    counts: Counts,
}

#[derive(Serialize)]
struct Counts {
    definitions: usize,
    references: usize,
    unresolved: usize,
    unused: usize,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    if input.text.trim().is_empty() {
        return Err(Failure::permanent("text-empty", "`text` holds nothing but white space"));
    }
    let document = Document::read(&input.text);
    let mut definitions = terms::all(&document, &input.text);
    let mut references = references::all(&document, &input.text);
    definitions.iter_mut().for_each(|one| one.quote.shift(input.offset));
    references.iter_mut().for_each(|one| one.quote.shift(input.offset));
    let missing = references.iter().filter(|one| one.kind == Kind::Clause && !one.resolved);
    let unresolved: Vec<String> =
        missing.map(|one| one.target.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let unused: Vec<String> =
        definitions.iter().filter(|one| one.uses == 0).map(|one| one.term.clone()).collect();
    let counts = Counts {
        definitions: definitions.len(),
        references: references.len(),
        unresolved: unresolved.len(),
        unused: unused.len(),
    };
    let confidence = confidence(&definitions, &counts);
    definitions.truncate(input.limit);
    references.truncate(input.limit);
    Ok(Reply::new(Output { definitions, references, unresolved, unused, counts }).confidence(confidence))
}

fn confidence(definitions: &[Definition], counts: &Counts) -> f64 {
    if definitions.is_empty() {
        return 0.4;
    }
    let mean = definitions.iter().map(|one| one.confidence).sum::<f64>() / definitions.len() as f64;
    let lost = counts.unresolved as f64 / counts.references.max(1) as f64;
    ((mean - 0.4 * lost).clamp(0.1, 0.97) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GPL: &str = include_str!("../../../../examples/06-licence-review/texts/gpl-3.0.txt");
    const LGPL: &str = include_str!("../../../../examples/06-licence-review/texts/lgpl-3.0.txt");
    const APACHE: &str = include_str!("../../../../examples/06-licence-review/texts/apache-2.0.txt");
    const MPL: &str = include_str!("../../../../examples/06-licence-review/texts/mpl-2.0.txt");
    const MIT: &str = include_str!("../../../../examples/06-licence-review/texts/mit.txt");

    fn read(text: &str) -> (Value, f64) {
        let reply = run(&Call::with_input(json!({ "text": text }))).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    fn terms(output: &Value) -> Vec<String> {
        output["definitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["term"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_mpl_s_terms_are_found_with_their_clauses() {
        let (output, confidence) = read(MPL);
        let found = terms(&output);
        for term in
            ["Contributor", "Contributor Version", "Covered Software", "Larger Work", "You", "Patent Claims"]
        {
            assert!(found.contains(&term.to_owned()), "{term} is not in {found:?}");
        }
        let work = output["definitions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["term"] == "Larger Work")
            .unwrap();
        assert_eq!((&work["clause"], &work["form"]), (&json!("1.7"), &json!("means")));
        assert!(work["meaning"].as_str().unwrap().starts_with("a work that combines"), "{work:#}");
        assert!(work["uses"].as_u64().unwrap() >= 3);
        assert_eq!(output["unresolved"], json!([]));
        assert!(confidence > 0.8, "{confidence}");
    }

    #[test]
    fn other_ways_to_define_are_found() {
        let gpl = terms(&read(GPL).0);
        for term in ["The Program", "convey", "source code", "System Libraries", "Major Component", "you"] {
            assert!(gpl.contains(&term.to_owned()), "{term} is not in {gpl:?}");
        }
        assert_eq!(terms(&read(MIT).0), ["Software"]);
        let apache = terms(&read(APACHE).0);
        for term in ["License", "Licensor", "Legal Entity", "You", "Derivative Works", "Contribution"] {
            assert!(apache.contains(&term.to_owned()), "{term} is not in {apache:?}");
        }
    }

    #[test]
    fn references_are_resolved_or_said_to_be_lost() {
        let (output, _) = read(GPL);
        let list = output["references"].as_array().unwrap();
        let clause =
            |target: &str| list.iter().find(|one| one["kind"] == "clause" && one["target"] == target);
        assert_eq!(clause("10").unwrap()["resolved"], true);
        assert_eq!(clause("6(d)").unwrap()["resolved"], true, "subsection 6d");
        let foreign = |one: &&Value| one["kind"] == "document" && one["target"] == "11";
        assert_eq!(list.iter().filter(foreign).count(), 1, "article 11 of the treaty is another document's");
        assert!(list.iter().any(|one| one["kind"] == "url" && one["target"] == "https://fsf.org/"));
        let (output, _) = read("1. Fees. As section 7 says, you must pay.");
        assert_eq!(output["unresolved"], json!(["7"]));
    }

    #[test]
    fn licences_that_are_named_are_found() {
        let (output, _) = read(LGPL);
        let named: Vec<_> =
            output["references"].as_array().unwrap().iter().filter(|one| one["kind"] == "licence").collect();
        assert!(named.iter().any(|one| one["target"] == "GPL-3.0"), "{named:#?}");
        let (output, _) = read("// SPDX-License-Identifier: Apache-2.0 OR MIT\nSee LICENSE.");
        let ids: Vec<_> = output["references"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["kind"] == "spdx")
            .map(|one| &one["target"])
            .collect();
        assert_eq!(ids, ["Apache-2.0", "MIT"]);
    }

    #[test]
    fn quotes_lie_where_they_say_and_long_texts_are_read_quickly() {
        let text = GPL.repeat(6);
        let start = std::time::Instant::now();
        let (output, _) = read(&text);
        assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
        for one in output["definitions"].as_array().unwrap() {
            let (start, end) =
                (one["start"].as_u64().unwrap() as usize, one["end"].as_u64().unwrap() as usize);
            assert_eq!(one["quote"], bandstand_prose::shorten(&text[start..end], 300));
        }
    }
}
