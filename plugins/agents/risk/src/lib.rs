//! `risk`: scores what a licence means for a use, point by point, from the results of `classify`, `obligations` and
//! `definitions`.
//!
//! Input: `classification`, `obligations`, `definitions` (the outputs of these agents; each may be missing or null, but
//! not all); `use`: `distribute` (default), `link`, `saas`, `internal`; `choose` (default false: offer the levels as
//! options for the node's `route`).
//!
//! Output: `score` (0 to 100), `level` (`low` below 25, `medium` below 60, `high`), `points`: list of `{ rule, title,
//! points, explanation, evidence: [{ quote, clause, start, end }], confidence }`, heaviest first, `options` (`{ name,
//! confidence }` for the levels), `missing` (inputs that were not there), `use`.
//!
//! Confidence: the inputs' confidences, weighted (classification 0.5, obligations 0.35, definitions 0.15; a missing one
//! counts 0), lowered when the score lies near a border of two levels. Failures: `input-invalid`; `nothing-to-score`.

mod rules;

use bandstand_sdk::{Call, Choice, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

use self::rules::Point;

agent!(run);

#[derive(Deserialize)]
struct Input {
    classification: Option<Classification>,
    obligations: Option<Obligations>,
    definitions: Option<Definitions>,
    #[serde(default, rename = "use")]
    purpose: Purpose,
    #[serde(default)]
    choose: bool,
}

/// What one wants to do with the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// Give it to others, changed or not.
    #[default]
    Distribute,
    /// Use it inside one house.
    Internal,
    /// Give others a program that links to it unchanged.
    Link,
    /// Let others use it over a network.
    Saas,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Classification {
    pub(crate) family: String,
    pub(crate) licence: Option<Licence>,
    pub(crate) options: Vec<Offer>,
    pub(crate) confidence: Option<f64>,
}

#[derive(Deserialize)]
pub(crate) struct Licence {
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Offer {
    confidence: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Obligations {
    pub(crate) obligations: Vec<Finding>,
    pub(crate) permissions: Vec<Finding>,
    pub(crate) prohibitions: Vec<Finding>,
    pub(crate) disclaimers: Vec<Finding>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(crate) struct Finding {
    pub(crate) quote: String,
    pub(crate) clause: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) confidence: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Definitions {
    pub(crate) definitions: Vec<Finding>,
    pub(crate) unresolved: Vec<String>,
}

#[derive(Serialize)]
struct Output {
    score: u32,
    level: &'static str,
    points: Vec<Point>,
    options: Vec<Choice>,
    missing: Vec<&'static str>,
    #[serde(rename = "use")]
    purpose: Purpose,
}

/// Scores from here on are `medium`.
const MEDIUM: f64 = 25.0;
/// Scores from here on are `high`.
const HIGH: f64 = 60.0;

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let missing: Vec<&'static str> = [
        ("classification", input.classification.is_none()),
        ("obligations", input.obligations.is_none()),
        ("definitions", input.definitions.is_none()),
    ]
    .into_iter()
    .filter_map(|(name, gone)| gone.then_some(name))
    .collect();
    if missing.len() == 3 {
        let message =
            "none of `classification`, `obligations`, `definitions` was given: nothing can be scored";
        return Err(Failure::permanent("nothing-to-score", message));
    }
    let points = rules::points(&input);
    let score = points.iter().map(|point| point.points).sum::<f64>().min(100.0);
    let certainty = certainty(&input);
    let options = options(score, certainty);
    let level = if score < MEDIUM {
        "low"
    } else if score < HIGH {
        "medium"
    } else {
        "high"
    };
    let border = (score - MEDIUM).abs().min((score - HIGH).abs());
    let confidence = round(certainty * (0.7 + 0.3 * (border / 10.0).min(1.0)));
    let purpose = input.purpose;
    let output =
        Output { score: score.round() as u32, level, points, options: options.clone(), missing, purpose };
    let reply = Reply::new(output).confidence(confidence);
    Ok(if input.choose { reply.choose(options) } else { reply })
}

fn certainty(input: &Input) -> f64 {
    let mean = |list: &mut dyn Iterator<Item = &Finding>| {
        let (sum, count) = list.fold((0.0, 0.0), |(sum, count), one| (sum + one.confidence, count + 1.0));
        if count > 0.0 { sum / count } else { 0.4 }
    };
    let classified = input.classification.as_ref().map_or(0.0, rules::sureness);
    let obliged = input.obligations.as_ref().map_or(0.0, |all| {
        mean(
            &mut all
                .obligations
                .iter()
                .chain(&all.permissions)
                .chain(&all.prohibitions)
                .chain(&all.disclaimers),
        )
    });
    let defined = input.definitions.as_ref().map_or(0.0, |all| mean(&mut all.definitions.iter()));
    0.5 * classified + 0.35 * obliged + 0.15 * defined
}

/// How likely each level is, when the score may be off by more the less is certain.
fn options(score: f64, certainty: f64) -> Vec<Choice> {
    let spread = 3.0 + 12.0 * (1.0 - certainty);
    let above = |border: f64| 1.0 / (1.0 + ((border - score) / spread).exp());
    let (medium, high) = (above(MEDIUM), above(HIGH));
    let mut options = vec![
        Choice::new("low", round(1.0 - medium)),
        Choice::new("medium", round(medium - high)),
        Choice::new("high", round(high)),
    ];
    options.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    options
}

pub(crate) fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn score(input: Value) -> (Value, f64) {
        let reply = run(&Call::with_input(input)).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    fn finding(quote: &str) -> Value {
        json!({ "quote": quote, "clause": "1", "start": 0, "end": 9, "confidence": 0.9 })
    }

    fn gpl_like(purpose: &str) -> Value {
        json!({
            "classification": { "family": "strong_copyleft", "options": [{ "name": "strong_copyleft", "confidence": 0.97 }] },
            "obligations": {
                "obligations": [
                    finding("You must license the entire work, as a whole, under this License"),
                    finding("You must convey the machine-readable Corresponding Source"),
                    finding("The work must carry prominent notices stating that you modified it"),
                ],
                "permissions": [finding("You may convey verbatim copies")],
                "prohibitions": [finding("You may not impose any further restrictions")],
                "disclaimers": [finding("THERE IS NO WARRANTY FOR THE PROGRAM")],
            },
            "definitions": { "definitions": [finding("\"The Program\" refers to")], "unresolved": [] },
            "use": purpose,
        })
    }

    #[test]
    fn the_use_decides_what_copyleft_costs() {
        let (shipped, confidence) = score(gpl_like("distribute"));
        let (inside, _) = score(gpl_like("internal"));
        assert_eq!(shipped["level"], "high", "{shipped:#}");
        assert_eq!(inside["level"], "low", "{inside:#}");
        assert!(confidence > 0.7, "{confidence}");
        for point in shipped["points"].as_array().unwrap() {
            assert!(
                point["explanation"].as_str().unwrap().len() > 20 && point["points"].as_f64().unwrap() > 0.0
            );
        }
    }

    #[test]
    fn a_permissive_licence_is_low() {
        let input = json!({
            "classification": { "family": "permissive", "options": [{ "name": "permissive", "confidence": 0.98 }] },
            "obligations": { "obligations": [finding("The above copyright notice shall be included in all copies")] },
            "definitions": null,
        });
        let (output, confidence) = score(input);
        assert_eq!(
            (&output["level"], &output["missing"]),
            (&json!("low"), &json!(["definitions"])),
            "{output:#}"
        );
        assert!((0.5..0.9).contains(&confidence), "{confidence}");
    }

    #[test]
    fn less_known_is_less_sure_and_never_cheaper() {
        let (whole, sure) = score(gpl_like("distribute"));
        let mut input = gpl_like("distribute");
        input["obligations"] = Value::Null;
        let (part, unsure) = score(input);
        assert!(unsure < sure, "{unsure} {sure}");
        assert!(
            part["points"].as_array().unwrap().iter().any(|point| point["rule"] == "not-read"),
            "{part:#}"
        );
        assert!(whole["options"][0]["confidence"].as_f64() > part["options"][0]["confidence"].as_f64());
        let failure = run(&Call::with_input(json!({}))).unwrap_err();
        assert_eq!(failure.code(), "nothing-to-score");
    }

    #[test]
    fn options_add_up() {
        for input in [0.0, 24.0, 25.0, 54.0, 80.0] {
            let sum: f64 = options(input, 0.6).iter().map(|option| option.confidence).sum();
            assert!((sum - 1.0).abs() < 0.02);
        }
        assert_eq!(options(40.0, 1.0)[0].name, "medium");
    }
}
