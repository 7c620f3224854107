//! `obligations`: finds what a document obliges to, permits and forbids, sentence by sentence, with quotes.
//!
//! Input: `text` (required); `offset` (default 0: added to every place, for a text that is a piece of a larger one);
//! `clause` (default none: where the piece stands, for sentences that have no clause of their own); `limit` (default
//! 300 findings in all; the surest stay).
//!
//! Output: `obligations`, `permissions`, `prohibitions`, `disclaimers`: lists of `{ id, kind, who, cue, what,
//! condition?, quote, clause, start, end, confidence }`; `counts` (of the four, and `total`), `sentences`, `omitted`.
//! `start` and `end` are byte offsets. `quote` is the sentence on one line, cut after 400 letters.
//!
//! Confidence: the mean of the findings', lowered when many sentences with a modal word could not be told, and when the
//! text has no binding words at all. Failures: `input-invalid`; `text-empty`.

mod finding;

use bandstand_prose::Document;
use bandstand_sdk::{Call, Failure, Reply, agent, progress};
use serde::{Deserialize, Serialize};

use self::finding::{Finding, Kind};

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: String,
    #[serde(default)]
    offset: usize,
    #[serde(default)]
    clause: String,
    #[serde(default = "three_hundred")]
    limit: usize,
}

fn three_hundred() -> usize {
    300
}

#[derive(Serialize)]
struct Output {
    obligations: Vec<Finding>,
    permissions: Vec<Finding>,
    prohibitions: Vec<Finding>,
    disclaimers: Vec<Finding>,
    counts: Counts,
    sentences: usize,
    omitted: usize,
}

#[derive(Serialize)]
struct Counts {
    obligations: usize,
    permissions: usize,
    prohibitions: usize,
    disclaimers: usize,
    total: usize,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    if input.text.trim().is_empty() {
        return Err(Failure::permanent("text-empty", "`text` holds nothing but white space"));
    }
    let sentences = Document::read(&input.text).sentences();
    progress::doing(&format!("reading {} sentences", sentences.len()));
    let mut findings = finding::all(&sentences);
    for finding in &mut findings {
        finding.quote.shift(input.offset);
        if finding.quote.clause.is_empty() {
            finding.quote.clause.clone_from(&input.clause);
        }
    }
    let confidence = confidence(&findings);
    let omitted = findings.len().saturating_sub(input.limit);
    if omitted > 0 {
        findings.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        findings.truncate(input.limit);
        findings.sort_by_key(|finding| finding.quote.start);
    }
    let total = findings.len();
    let mut of = |kind: Kind| {
        let mut list: Vec<_> = findings.extract_if(.., |finding| finding.kind == kind).collect();
        let letter = kind.letter();
        list.iter_mut()
            .enumerate()
            .for_each(|(index, finding)| finding.id = format!("{letter}{}", index + 1));
        list
    };
    let (obligations, permissions) = (of(Kind::Obligation), of(Kind::Permission));
    let (prohibitions, disclaimers) = (of(Kind::Prohibition), of(Kind::Disclaimer));
    let counts = Counts {
        obligations: obligations.len(),
        permissions: permissions.len(),
        prohibitions: prohibitions.len(),
        disclaimers: disclaimers.len(),
        total,
    };
    let output = Output {
        obligations,
        permissions,
        prohibitions,
        disclaimers,
        counts,
        sentences: sentences.len(),
        omitted,
    };
    Ok(Reply::new(output).confidence(confidence))
}

/// The mean over the findings, drawn towards one half while there are few of them.
fn confidence(findings: &[Finding]) -> f64 {
    if findings.is_empty() {
        return 0.3;
    }
    let count = findings.len() as f64;
    let mean = findings.iter().map(|finding| finding.confidence).sum::<f64>() / count;
    let unsure = findings.iter().filter(|finding| finding.confidence < 0.5).count() as f64 / count;
    let drawn = (mean * count + 0.5 * 2.0) / (count + 2.0);
    ((drawn - 0.3 * unsure).max(0.1) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GPL: &str = include_str!("../../../../examples/06-licence-review/texts/gpl-3.0.txt");
    const APACHE: &str = include_str!("../../../../examples/06-licence-review/texts/apache-2.0.txt");
    const MIT: &str = include_str!("../../../../examples/06-licence-review/texts/mit.txt");
    const BSD: &str = include_str!("../../../../examples/06-licence-review/texts/bsd-3-clause.txt");

    fn read(text: &str) -> (Value, f64) {
        let reply = run(&Call::with_input(json!({ "text": text }))).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    fn has(list: &Value, part: &str, clause: &str) -> bool {
        list.as_array()
            .unwrap()
            .iter()
            .any(|one| one["quote"].as_str().unwrap().contains(part) && one["clause"] == clause)
    }

    #[test]
    fn bsd_has_two_duties_one_ban_and_a_disclaimer() {
        let (output, confidence) = read(BSD);
        assert_eq!(output["counts"]["obligations"], 2, "{output:#}");
        assert_eq!(output["counts"]["prohibitions"], 1, "{output:#}");
        assert_eq!(output["counts"]["permissions"], 1, "{output:#}");
        assert_eq!(output["counts"]["disclaimers"], 2, "{output:#}");
        assert!(has(&output["prohibitions"], "Neither the name", "3"));
        assert_eq!(output["obligations"][0]["who"], "Redistributions of source code");
        assert!(confidence > 0.7, "{confidence}");
    }

    #[test]
    fn mit_grants_and_asks_for_the_notice() {
        let (output, _) = read(MIT);
        assert!(
            output["permissions"][0]["quote"].as_str().unwrap().starts_with("Permission is hereby granted")
        );
        let duty = &output["obligations"][0];
        assert_eq!(duty["what"], "be included in all copies or substantial portions of the Software");
        assert!(duty["condition"].as_str().unwrap().contains("furnished to do so"), "{duty:#}");
        assert_eq!(output["counts"]["prohibitions"], 0);
    }

    #[test]
    fn apache_s_conditions_are_found_where_they_stand() {
        let (output, confidence) = read(APACHE);
        assert!(has(&output["obligations"], "You must cause any modified files", "4(b)"), "{output:#}");
        assert!(has(&output["permissions"], "hereby grants to You a perpetual", "2"));
        assert!(has(&output["permissions"], "hereby grants to You a perpetual", "3"));
        assert!(has(&output["prohibitions"], "does not grant permission to use the trade names", "6"));
        assert!(!has(&output["obligations"], "\"License\" shall mean", "1"), "a definition is no duty");
        assert!((0.55..0.95).contains(&confidence), "{confidence}");
    }

    #[test]
    fn gpl_quotes_lie_where_they_say() {
        let (output, _) = read(GPL);
        for list in ["obligations", "permissions", "prohibitions", "disclaimers"] {
            for one in output[list].as_array().unwrap() {
                let (start, end) =
                    (one["start"].as_u64().unwrap() as usize, one["end"].as_u64().unwrap() as usize);
                assert_eq!(one["quote"], bandstand_prose::shorten(&GPL[start..end], 400));
            }
        }
        assert!(has(&output["obligations"], "must license the entire work", "5(c)"));
        assert!(has(&output["prohibitions"], "may not impose any further restrictions", "10"));
        assert!(has(&output["permissions"], "You may convey verbatim copies", "4"));
        assert!(output["counts"]["obligations"].as_u64().unwrap() >= 12, "{}", output["counts"]);
    }

    #[test]
    fn text_that_binds_nobody_says_so_by_its_confidence() {
        let (output, confidence) = read("The garden was green. Birds sang in the trees all day.");
        assert_eq!((output["counts"]["total"].as_u64(), confidence), (Some(0), 0.3));
    }

    #[test]
    fn two_hundred_kilobytes_take_less_than_a_second() {
        let text = GPL.repeat(6);
        let start = std::time::Instant::now();
        let reply = run(&Call::with_input(json!({ "text": text, "limit": 100 }))).unwrap();
        assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
        assert_eq!(reply.output()["counts"]["total"], 100);
        assert!(reply.output()["omitted"].as_u64().unwrap() > 100);
    }
}
