//! `triage`: routes a message (a ticket, a mail) by the words in it, and says how urgent it is.
//!
//! Input: `text`, or `subject` and `body`; `routes` (default: billing, technical, account, sales): object of route name
//! to list of keywords, a keyword being a text or `{ word, weight }`; `other` (default `other`: the route for what fits
//! none); `choose` (default true: offer the routes for the node's `route`).
//!
//! Output: `route` (the best), `options` (`{ name, confidence, reason }`, best first, adding up to 1), `matched` (object
//! of route to words found), `urgency` (`low`, `normal`, `high`), `urgent_words`, `summary` (the message in a line).
//!
//! Confidence: that of the best option: the softmax of the weights found, against a constant for `other`; a word in the
//! subject counts twice, so do words that belong to one route only. Failures: `input-invalid`; `text-empty`;
//! `routes-empty`.

use std::collections::BTreeMap;

use bandstand_prose::{Normal, content_words, shorten, stem, words};
use bandstand_sdk::{Call, Choice, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    text: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    body: String,
    routes: Option<BTreeMap<String, Vec<Keyword>>>,
    #[serde(default = "other")]
    other: String,
    #[serde(default = "yes")]
    choose: bool,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Keyword {
    Word(String),
    Weighed { word: String, weight: f64 },
}

impl Keyword {
    fn parts(&self) -> (String, f64) {
        match self {
            Keyword::Word(word) => (word.to_lowercase(), 1.0),
            Keyword::Weighed { word, weight } => (word.to_lowercase(), *weight),
        }
    }
}

fn other() -> String {
    "other".to_owned()
}

fn yes() -> bool {
    true
}

#[derive(Serialize)]
struct Output {
    route: String,
    options: Vec<Choice>,
    matched: BTreeMap<String, Vec<String>>,
    urgency: &'static str,
    urgent_words: Vec<&'static str>,
    summary: String,
}

/// What `other` weighs: a little more than one word by chance.
const OTHER: f64 = 1.3;

const ROUTES: [(&str, &[&str]); 4] = [
    (
        "billing",
        &[
            "invoice",
            "bill",
            "charge",
            "charged",
            "refund",
            "payment",
            "paid",
            "credit card",
            "price",
            "subscription",
            "overcharged",
            "tax",
        ],
    ),
    (
        "technical",
        &[
            "error",
            "crash",
            "bug",
            "broken",
            "slow",
            "fail",
            "exception",
            "timeout",
            "install",
            "update",
            "does not work",
            "stack trace",
        ],
    ),
    (
        "account",
        &[
            "password",
            "login",
            "log in",
            "account",
            "locked",
            "email address",
            "username",
            "two-factor",
            "delete my account",
            "sign in",
        ],
    ),
    (
        "sales",
        &[
            "quote",
            "demo",
            "trial",
            "upgrade",
            "plan",
            "licence",
            "license",
            "seats",
            "discount",
            "buy",
            "enterprise",
        ],
    ),
];

const URGENT: [&str; 12] = [
    "urgent",
    "urgently",
    "immediately",
    "asap",
    "as soon as possible",
    "emergency",
    "production",
    "outage",
    "down",
    "deadline",
    "data loss",
    "security",
];

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let body = if input.text.is_empty() { &input.body } else { &input.text };
    if body.trim().is_empty() && input.subject.trim().is_empty() {
        return Err(Failure::permanent("text-empty", "neither `text` nor `subject` nor `body` holds a word"));
    }
    let routes = routes(&input);
    if routes.is_empty() {
        return Err(Failure::permanent("routes-empty", "`routes` names no route"));
    }
    let (subject, text) = (Reading::of(&input.subject), Reading::of(body));
    let mut matched = BTreeMap::new();
    let mut scores: Vec<(String, f64)> = Vec::new();
    for (name, keywords) in &routes {
        let mut found = Vec::new();
        let mut score = 0.0;
        for (word, weight) in keywords {
            let times = f64::from(u8::from(text.has(word))) + 2.0 * f64::from(u8::from(subject.has(word)));
            let shared = routes.iter().filter(|(_, other)| other.iter().any(|(own, _)| own == word)).count();
            if times > 0.0 {
                found.push(word.clone());
                score += weight * times * 1.2 / shared as f64;
            }
        }
        scores.push((name.clone(), score.min(6.0)));
        if !found.is_empty() {
            matched.insert(name.clone(), found);
        }
    }
    scores.push((input.other.clone(), OTHER));
    let options = options(&scores, &matched);
    let urgent_words: Vec<&str> =
        URGENT.into_iter().filter(|word| text.has(word) || subject.has(word)).collect();
    let shouted = body.matches('!').count() > 2;
    let urgency = match urgent_words.is_empty() && !shouted {
        _ if text.denies_urgency() => "low",
        true => "normal",
        false => "high",
    };
    let summary = shorten(if input.subject.trim().is_empty() { body } else { &input.subject }, 100);
    let confidence = options[0].confidence;
    let route = options[0].name.clone();
    let reply =
        Reply::new(Output { route, options: options.clone(), matched, urgency, urgent_words, summary })
            .confidence(confidence);
    Ok(if input.choose { reply.choose(options) } else { reply })
}

fn routes(input: &Input) -> BTreeMap<String, Vec<(String, f64)>> {
    match &input.routes {
        Some(own) => {
            own.iter().map(|(name, list)| (name.clone(), list.iter().map(Keyword::parts).collect())).collect()
        }
        None => ROUTES
            .iter()
            .map(|(name, list)| {
                ((*name).to_owned(), list.iter().map(|word| ((*word).to_owned(), 1.0)).collect())
            })
            .collect(),
    }
}

/// A text made ready for many searches.
struct Reading {
    normal: Normal,
    stems: Vec<String>,
}

impl Reading {
    fn of(text: &str) -> Reading {
        Reading { normal: Normal::of(text), stems: content_words(text).collect() }
    }

    /// A single word in any of its forms; several as they stand.
    fn has(&self, keyword: &str) -> bool {
        let single = words(keyword).count() == 1;
        self.normal.find(keyword).is_some() || (single && self.stems.contains(&stem(keyword)))
    }

    fn denies_urgency(&self) -> bool {
        ["not urgent", "no rush", "no hurry", "whenever you have time"]
            .iter()
            .any(|phrase| self.normal.find(phrase).is_some())
    }
}

fn options(scores: &[(String, f64)], matched: &BTreeMap<String, Vec<String>>) -> Vec<Choice> {
    let total: f64 = scores.iter().map(|(_, score)| score.exp()).sum();
    let mut options: Vec<Choice> = scores
        .iter()
        .map(|(name, score)| {
            let reason =
                matched.get(name).map_or_else(|| "no word of its own".to_owned(), |words| words.join(", "));
            Choice::new(name.clone(), (score.exp() / total * 1000.0).round() / 1000.0).because(reason)
        })
        .collect();
    options.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    options
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::Next;
    use serde_json::{Value, json};

    use super::*;

    fn triage(input: Value) -> (Value, f64) {
        let reply = run(&Call::with_input(input)).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    // R3.1
    #[test]
    fn clear_messages_are_sure_and_mixed_ones_are_not() {
        let (output, sure) = triage(
            json!({ "subject": "Refund for invoice 118", "body": "I was charged twice, please refund the second payment." }),
        );
        assert_eq!(output["route"], "billing", "{output:#}");
        let (mixed, unsure) =
            triage(json!({ "text": "After the update I cannot log in, and the invoice is wrong." }));
        assert!(sure > 0.9 && unsure < 0.75, "{sure} {unsure} {mixed:#}");
        let (output, sure) = triage(json!({ "text": "What a lovely day in the mountains." }));
        assert_eq!(output["route"], "other");
        assert!(sure < 0.6, "{sure}");
    }

    #[test]
    fn own_routes_and_urgency() {
        let routes =
            json!({ "law": ["contract", { "word": "lawsuit", "weight": 3 }], "people": ["holiday"] });
        let (output, sure) =
            triage(json!({ "text": "URGENT: a lawsuit about the contracts!", "routes": routes }));
        assert_eq!((&output["route"], &output["urgency"]), (&json!("law"), &json!("high")));
        assert!(sure > 0.85, "{output:#}");
        let (output, _) =
            triage(json!({ "text": "No rush, but the deadline of my holiday form?", "routes": routes }));
        assert_eq!(output["urgency"], "low");
        let call = Call::with_input(json!({ "text": "holiday", "routes": {} }));
        assert_eq!(run(&call).unwrap_err().code(), "routes-empty");
    }

    #[test]
    fn options_add_up_and_are_offered() {
        let reply =
            run(&Call::with_input(json!({ "text": "The password reset fails with an error." }))).unwrap();
        let Next::Choose(choices) = reply.next() else { unreachable!("routes are offered") };
        let sum: f64 = choices.iter().map(|choice| choice.confidence).sum();
        assert!((sum - 1.0).abs() < 0.01 && choices.len() == 5, "{choices:?}");
    }
}
