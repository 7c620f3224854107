//! `classify`: says which kind of licence a text is, which licence it is if it is a known one, and how sure that is.
//!
//! Input: `text` (required); `choose` (default true: the reply offers the families as options for the node's `route`).
//!
//! Output: `family` (`permissive`, `weak_copyleft`, `strong_copyleft`, `proprietary`, `unknown`), `licence` (`{ spdx,
//! name, match }` of the known licence that fits best, or null), `candidates` (the best three), `document` (`licence`,
//! `notice`, `agreement`, `other`), `options` (`{ name, confidence, reason }` for every family, best first, adding up
//! to 1), `evidence` (`{ family, sign, weight, quote, start, end }`, heaviest first), `margin` (between the best two
//! options), `words`.
//!
//! Confidence: that of the best option. Every sign found in the text adds its weight, in natural logs of odds, to its
//! family; the options are the softmax of these sums against a constant for `unknown`. Signs for a second family lower
//! all sums, and so do few words. Failures: `input-invalid`; `text-empty`.

mod licences;
mod signs;

use bandstand_prose::{Normal, shorten, words};
use bandstand_sdk::{Call, Choice, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

use self::licences::Candidate;
use self::signs::{FAMILIES, Family, Sign};

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: String,
    #[serde(default = "yes")]
    choose: bool,
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
struct Output {
    family: &'static str,
    licence: Option<Candidate>,
    candidates: Vec<Candidate>,
    document: &'static str,
    options: Vec<Choice>,
    evidence: Vec<Evidence>,
    margin: f64,
    words: usize,
}

#[derive(Serialize)]
struct Evidence {
    family: &'static str,
    sign: String,
    weight: f64,
    quote: String,
    start: usize,
    end: usize,
}

/// What `unknown` weighs against: about two good signs, so that one chance find decides nothing.
const UNKNOWN: f64 = 2.2;

/// How much of its evidence the first family loses when a second has as much.
const CONFLICT: f64 = 0.9;

/// More than this no family can gather: certainty stays below 0.99.
const MOST: f64 = 6.5;

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    if input.text.trim().is_empty() {
        return Err(Failure::permanent("text-empty", "`text` holds nothing but white space"));
    }
    let normal = Normal::of(&input.text);
    let count = words(&input.text).count();
    let candidates = licences::rank(&normal);
    let mut evidence = evidence(&input.text, &normal, &candidates);
    evidence.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let options = options(&evidence, count);
    let (best, second) = (options[0].confidence, options[1].confidence);
    let licence = candidates.first().filter(|candidate| candidate.share >= 0.6).cloned();
    let output = Output {
        family: FAMILIES
            .iter()
            .map(|family| family.name())
            .find(|name| *name == options[0].name)
            .unwrap_or("unknown"),
        document: document(&normal, count, licence.as_ref()),
        licence,
        candidates: candidates.into_iter().take(3).collect(),
        margin: round(best - second),
        words: count,
        evidence: evidence.into_iter().take(20).collect(),
        options: options.clone(),
    };
    let reply = Reply::new(output).confidence(best);
    Ok(if input.choose { reply.choose(options) } else { reply })
}

/// Signs in the wording, and the licence's own phrases: three in four of them weigh as much as two strong signs.
fn evidence(text: &str, normal: &Normal, candidates: &[Candidate]) -> Vec<Evidence> {
    let mut found: Vec<Evidence> = Vec::new();
    for &Sign { family, phrase, weight } in signs::SIGNS {
        if let Some((start, end)) = normal.find(phrase) {
            let quote = shorten(text.get(start..end).unwrap_or(""), 160);
            found.push(Evidence {
                family: family.name(),
                sign: phrase.to_owned(),
                weight,
                quote,
                start,
                end,
            });
        }
    }
    if let Some(best) = candidates.first().filter(|candidate| candidate.share >= 0.3) {
        let sign = format!("{} of {} phrases of {}", best.found, best.phrases, best.name);
        let weight = round(5.0 * best.share * best.share);
        let (start, end) = best.place;
        let quote = shorten(text.get(start..end).unwrap_or(""), 160);
        found.push(Evidence { family: best.family.name(), sign, weight, quote, start, end });
    }
    found
}

/// The families with their shares, best first.
fn options(evidence: &[Evidence], count: usize) -> Vec<Choice> {
    // A handful of words may be a quotation: below 80 words evidence counts by its share of them.
    let trust = (count as f64 / 80.0).min(1.0);
    let sums = FAMILIES.map(|family| {
        let own = evidence.iter().filter(|one| one.family == family.name());
        own.map(|one| one.weight).sum::<f64>() * trust
    });
    // Families exclude each other, so signs of a second one are signs that the first is misread.
    let mut ranked = sums;
    ranked.sort_by(|a, b| b.total_cmp(a));
    let conflict = if ranked[0] > 0.0 { ranked[1] / ranked[0] } else { 0.0 };
    let weigh = |(family, sum): (Family, f64)| match family {
        Family::Unknown => (family, UNKNOWN),
        _ => (family, (sum * (1.0 - CONFLICT * conflict)).min(MOST)),
    };
    let scores: Vec<(Family, f64)> = FAMILIES.into_iter().zip(sums).map(weigh).collect();
    let total: f64 = scores.iter().map(|(_, score)| score.exp()).sum();
    let mut options: Vec<Choice> = scores
        .iter()
        .map(|&(family, score)| {
            Choice::new(family.name(), round(score.exp() / total)).because(reason(family, evidence))
        })
        .collect();
    options.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    options
}

fn reason(family: Family, evidence: &[Evidence]) -> String {
    if family == Family::Unknown {
        return "what is left when the signs are weak or speak against each other".to_owned();
    }
    let own: Vec<_> = evidence.iter().filter(|one| one.family == family.name()).collect();
    let Some(first) = own.first() else { return "no sign".to_owned() };
    match own.len() {
        1 => format!("one sign: {}", first.sign),
        more => format!("{more} signs, foremost: {}", first.sign),
    }
}

/// What sort of text it is, apart from its terms.
fn document(normal: &Normal, count: usize, licence: Option<&Candidate>) -> &'static str {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| normal.find(phrase).is_some());
    let grants = has(&[
        "permission is hereby granted",
        "hereby grants",
        "you may",
        "are permitted",
        "rights to use",
        "may install",
    ]);
    if licence.is_some() && (count > 90 || grants) {
        "licence"
    } else if has(&[
        "spdx-license-identifier",
        "licensed under the",
        "see the file copying",
        "this program is free software",
    ]) && count < 400
    {
        "notice"
    } else if has(&["agreement", "the customer", "the parties", "terms of use", "terms of service"]) {
        "agreement"
    } else if grants && has(&["copyright", "license", "licence"]) {
        "licence"
    } else {
        "other"
    }
}

pub(crate) fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::Next;
    use serde_json::{Value, json};

    use super::*;

    macro_rules! text {
        ($name:literal) => {
            include_str!(concat!("../../../../examples/06-licence-review/texts/", $name))
        };
    }

    fn classify(text: &str) -> (Value, f64) {
        let reply = run(&Call::with_input(json!({ "text": text }))).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    #[test]
    fn known_licences_are_known_and_surely() {
        for (text, family, spdx) in [
            (text!("mit.txt"), "permissive", "MIT"),
            (text!("bsd-3-clause.txt"), "permissive", "BSD-3-Clause"),
            (text!("apache-2.0.txt"), "permissive", "Apache-2.0"),
            (text!("mpl-2.0.txt"), "weak_copyleft", "MPL-2.0"),
            (text!("gpl-3.0.txt"), "strong_copyleft", "GPL-3.0"),
            (text!("lgpl-3.0.txt"), "weak_copyleft", "LGPL-3.0"),
        ] {
            let (output, confidence) = classify(text);
            let shown = format!("{spdx}: {:#} {:#}", output["options"], output["candidates"]);
            assert_eq!(
                (&output["family"], &output["licence"]["spdx"]),
                (&json!(family), &json!(spdx)),
                "{shown}"
            );
            assert_eq!(output["document"], "licence", "{shown}");
            assert!((0.75..0.995).contains(&confidence), "{shown}");
        }
    }

    #[test]
    fn home_made_terms_leave_doubt() {
        let (output, confidence) = classify(text!("in-house-terms.txt"));
        assert_eq!(output["licence"], Value::Null);
        assert_eq!(output["document"], "agreement");
        assert!(
            confidence < 0.75,
            "mixed signs must fall below the default threshold: {:#} {:#}",
            output["options"],
            output["evidence"]
        );
        assert_eq!(output["options"].as_array().unwrap().len(), 5);
    }

    #[test]
    fn what_is_no_licence_is_unknown_and_says_so() {
        let (output, confidence) =
            classify("It was the best of times, it was the worst of times, it was the age of wisdom.");
        assert_eq!((&output["family"], &output["document"]), (&json!("unknown"), &json!("other")));
        assert!((0.6..0.8).contains(&confidence), "{confidence}");
        let (output, _) = classify("Licensed under the GPL.");
        assert_eq!(output["family"], "unknown", "five words are no evidence");
    }

    #[test]
    fn options_add_up_and_are_offered() {
        let reply = run(&Call::with_input(json!({ "text": text!("mit.txt") }))).unwrap();
        let Next::Choose(choices) = reply.next() else { unreachable!("options are offered") };
        let sum: f64 = choices.iter().map(|choice| choice.confidence).sum();
        assert!((sum - 1.0).abs() < 0.01, "{sum}");
        assert!(choices.windows(2).all(|pair| pair[0].confidence >= pair[1].confidence));
        let reply = run(&Call::with_input(json!({ "text": text!("mit.txt"), "choose": false }))).unwrap();
        assert_eq!(reply.next(), &Next::Edges);
    }

    #[test]
    fn half_a_licence_is_half_as_sure() {
        let gpl = text!("gpl-3.0.txt");
        let (_, whole) = classify(gpl);
        let (output, part) = classify(&gpl[20_000..24_000]);
        assert!(part < whole, "{part} {whole}");
        assert_eq!(output["licence"], Value::Null);
    }

    #[test]
    fn two_hundred_kilobytes_take_less_than_a_second() {
        let text = text!("gpl-3.0.txt").repeat(6);
        let start = std::time::Instant::now();
        classify(&text);
        assert!(start.elapsed().as_secs_f64() < 1.0, "{:?}", start.elapsed());
    }
}
