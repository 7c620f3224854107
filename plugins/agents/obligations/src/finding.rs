//! From a sentence to what it binds to. Judges words and their order only, no meaning; hence every finding carries a
//! confidence made of what speaks for and against it.

use bandstand_prose::{Quote, Sentence, flat, shorten};
use serde::Serialize;

/// What a sentence does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Disclaimer,
    Obligation,
    Permission,
    Prohibition,
}

impl Kind {
    /// Starts the ids of this kind.
    pub(crate) fn letter(self) -> char {
        match self {
            Kind::Disclaimer => 'd',
            Kind::Obligation => 'o',
            Kind::Permission => 'p',
            Kind::Prohibition => 'x',
        }
    }
}

/// One thing that a sentence obliges to, permits, forbids or disclaims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Whom it binds, as the sentence says it.
    pub(crate) who: String,
    /// The words that gave it away.
    pub(crate) cue: String,
    /// What is behind these words.
    pub(crate) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
    #[serde(flatten)]
    pub(crate) quote: Quote,
    pub(crate) confidence: f64,
}

/// Words that bind, and how surely: the first of a list that occurs earliest decides. Longer ones stand before those
/// that they contain.
const CUES: [(&str, Kind, f64); 42] = [
    ("may not", Kind::Prohibition, 0.92),
    ("must not", Kind::Prohibition, 0.95),
    ("shall not", Kind::Prohibition, 0.9),
    ("cannot", Kind::Prohibition, 0.6),
    ("can not", Kind::Prohibition, 0.6),
    ("is not permitted", Kind::Prohibition, 0.92),
    ("are not permitted", Kind::Prohibition, 0.92),
    ("is not allowed", Kind::Prohibition, 0.92),
    ("are not allowed", Kind::Prohibition, 0.92),
    ("is prohibited", Kind::Prohibition, 0.92),
    ("are prohibited", Kind::Prohibition, 0.92),
    ("does not grant", Kind::Prohibition, 0.75),
    ("do not grant", Kind::Prohibition, 0.75),
    ("no permission", Kind::Prohibition, 0.75),
    ("need not", Kind::Permission, 0.8),
    ("are not required to", Kind::Permission, 0.8),
    ("is not required to", Kind::Permission, 0.8),
    ("not required to accept", Kind::Permission, 0.8),
    ("is required to", Kind::Obligation, 0.9),
    ("are required to", Kind::Obligation, 0.9),
    ("is responsible for", Kind::Obligation, 0.75),
    ("are responsible for", Kind::Obligation, 0.75),
    ("agree to", Kind::Obligation, 0.7),
    ("agrees to", Kind::Obligation, 0.7),
    ("is obliged to", Kind::Obligation, 0.9),
    ("are obliged to", Kind::Obligation, 0.9),
    ("has to", Kind::Obligation, 0.6),
    ("have to", Kind::Obligation, 0.6),
    ("must", Kind::Obligation, 0.92),
    ("shall", Kind::Obligation, 0.8),
    ("hereby grants", Kind::Permission, 0.95),
    ("hereby granted", Kind::Permission, 0.95),
    ("grants you", Kind::Permission, 0.9),
    ("is granted", Kind::Permission, 0.8),
    ("are granted", Kind::Permission, 0.8),
    ("are permitted", Kind::Permission, 0.9),
    ("is permitted", Kind::Permission, 0.85),
    ("are allowed to", Kind::Permission, 0.85),
    ("is allowed to", Kind::Permission, 0.85),
    ("are free to", Kind::Permission, 0.85),
    ("is free to", Kind::Permission, 0.8),
    ("may", Kind::Permission, 0.75),
];

/// Behind `shall` or `must`, these tell how a text is to be read, not what anyone has to do.
const OF_READING: [&str; 14] = [
    "mean",
    "be deemed",
    "be construed",
    "be interpreted",
    "include",
    "terminate",
    "apply",
    "supersede",
    "refer",
    "be considered",
    "survive",
    "be governed",
    "prevent",
    "affect",
];

/// Before `may`, these make it a mere possibility.
const POSSIBLE: [&str; 6] = ["which", "that", "as", "it", "there", "problems"];

/// What binds these is a duty of the reader's.
const ACTORS: [&str; 16] = [
    "you",
    "licensee",
    "licensees",
    "recipient",
    "recipients",
    "customer",
    "user",
    "users",
    "redistributions",
    "distributor",
    "contributor",
    "party",
    "copies",
    "notice",
    "copy",
    "work",
];

const CONDITIONS: [&str; 18] = [
    "provided that",
    "provided you",
    "subject to",
    "on condition that",
    "as long as",
    "so long as",
    "in the event",
    "to the extent",
    "unless",
    "except",
    "if",
    "when",
    "where",
    "once",
    "without",
    "until",
    "only if",
    "after",
];

/// Parts that explain a text; what they say binds nobody by itself.
const COMMENTARY: [&str; 5] = ["preamble", "introduction", "background", "recitals", "summary"];

/// All findings of these sentences, in order.
pub(crate) fn all(sentences: &[Sentence<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for sentence in sentences {
        let line = flat(sentence.text);
        let lower = line.to_lowercase();
        // Letters whose small form has another length would move every place: such a sentence is read as it stands.
        let lower = if lower.len() == line.len() { lower } else { line.clone() };
        let Some(mut finding) = disclaimer(&line, &lower).or_else(|| binding(&line, &lower)) else {
            continue;
        };
        let lead = sentence.lead.and_then(|lead| sentences.get(lead)).map(|lead| tail(&flat(lead.text), 160));
        finding.condition = condition(&line, &lower, &finding.cue).or(lead);
        finding.quote = Quote::sentence(sentence, 400);
        if COMMENTARY.contains(&sentence.clause.to_lowercase().as_str()) {
            finding.confidence = (finding.confidence * 60.0).round() / 100.0;
        }
        findings.push(finding);
    }
    findings
}

fn found(kind: Kind, who: &str, cue: &str, what: &str, confidence: f64) -> Finding {
    Finding {
        id: String::new(),
        kind,
        who: who.to_owned(),
        cue: cue.to_owned(),
        what: shorten(what.trim().trim_end_matches(['.', ';', ':']), 200),
        condition: None,
        quote: Quote::default(),
        confidence: (confidence.clamp(0.05, 0.98) * 100.0).round() / 100.0,
    }
}

/// Warranty and liability: the same words bind there (`in no event shall`), yet oblige nobody.
fn disclaimer(line: &str, lower: &str) -> Option<Finding> {
    const SIGNS: [(&str, f64); 13] = [
        ("without warranty", 0.95),
        ("without warranties", 0.95),
        ("no warranty", 0.9),
        ("warranties of merchantability", 0.6),
        ("implied warranties", 0.6),
        ("as is", 0.5),
        ("be liable for", 0.7),
        ("be liable to you", 0.9),
        ("is liable to you", 0.7),
        ("in no event", 0.6),
        ("liability", 0.3),
        ("damages", 0.3),
        ("is with you", 0.4),
    ];
    let signs: Vec<_> = SIGNS.iter().filter(|(sign, _)| find_word(lower, sign, 0).is_some()).collect();
    let doubt: f64 = signs.iter().map(|(_, weight)| 1.0 - weight).product();
    let keeps = ["notice", "you must", "you may"].iter().any(|word| lower.contains(word));
    let sure = 1.0 - doubt;
    if sure < 0.75 || keeps {
        return None;
    }
    let about = if lower.contains("liab") { "liability" } else { "warranty" };
    Some(found(Kind::Disclaimer, about, signs[0].0, line, sure))
}

fn binding(line: &str, lower: &str) -> Option<Finding> {
    let (at, cue, kind, strength) = CUES
        .iter()
        .filter_map(|&(cue, kind, strength)| find_word(lower, cue, 0).map(|at| (at, cue, kind, strength)))
        .min_by_key(|&(at, cue, ..)| (at, std::cmp::Reverse(cue.len())))?;
    // The same duty under a condition: `if you may ..., you must`. What binds beats what is possible.
    let (at, cue, kind, strength) = stronger(lower, at, cue, kind, strength);
    let before = &line[..at];
    let behind = &line[at + cue.len()..];
    let who = subject(before);
    let actor = who.to_lowercase();
    let negated = starts_negated(before);
    let kind = if negated && kind != Kind::Prohibition { Kind::Prohibition } else { kind };
    let mut confidence = strength;
    let rest = behind.trim_start().to_lowercase();
    if matches!(kind, Kind::Obligation | Kind::Prohibition)
        && OF_READING.iter().any(|verb| rest.starts_with(verb))
    {
        if rest.starts_with("mean") || rest.starts_with("include") {
            return None;
        }
        confidence *= 0.45;
    }
    if kind == Kind::Permission && cue == "may" {
        let last = before.split_whitespace().next_back().unwrap_or("").to_lowercase();
        confidence *= if POSSIBLE.contains(&last.as_str()) || rest.starts_with("be ") { 0.55 } else { 1.0 };
    }
    let named = bandstand_prose::words(&actor).any(|word| ACTORS.contains(&word.as_str()));
    confidence += if named { 0.06 } else { -0.08 };
    if before.len() > 240 {
        confidence -= 0.1;
    }
    if who.is_empty() && !matches!(cue, "hereby granted" | "hereby grants") {
        confidence -= 0.1;
    }
    Some(found(kind, &who, cue, behind, confidence))
}

/// A `may` in a subordinate clause gives way to a `must`, `shall` or a ban later in the sentence.
fn stronger(
    lower: &str,
    at: usize,
    cue: &'static str,
    kind: Kind,
    strength: f64,
) -> (usize, &'static str, Kind, f64) {
    let weak = matches!(cue, "may" | "has to" | "have to" | "agree to" | "cannot");
    if !weak {
        return (at, cue, kind, strength);
    }
    let subordinate =
        ["if ", "when ", "where ", "although ", "once "].iter().any(|word| lower.starts_with(word));
    let later = ["must not", "may not", "shall not", "must"].iter().filter_map(|later| {
        let (cue, kind, strength) = CUES.iter().find(|(cue, ..)| cue == later)?;
        find_word(lower, cue, at + 1).map(|at| (at, *cue, *kind, *strength * 0.95))
    });
    let later = later.min_by_key(|&(at, cue, ..)| (at, std::cmp::Reverse(cue.len())));
    later.filter(|_| subordinate || cue != "may").unwrap_or((at, cue, kind, strength))
}

/// `Neither the name ... may be used`, `No covered work shall be deemed`.
fn starts_negated(before: &str) -> bool {
    let lower = before.trim_start().to_lowercase();
    let clause = lower.rsplit([',', ';']).next().unwrap_or(&lower).trim_start();
    ["neither ", "no ", "nothing ", "none "]
        .iter()
        .any(|word| lower.starts_with(word) || clause.starts_with(word))
}

/// The words right before the cue, from the last comma or semicolon on, at most the last eight.
fn subject(before: &str) -> String {
    let clause = before.rsplit([',', ';', ':', '(']).next().unwrap_or(before);
    // `If X, then You`, `and You`: the joint is no part of the subject.
    let clause = clause.trim();
    let words: Vec<&str> = clause.split_whitespace().collect();
    let joint = |word: &&&str| ["and", "or", "then", "but", "that"].contains(&word.to_lowercase().as_str());
    let from = words.iter().take_while(joint).count();
    let from = words.iter().rposition(|word| ["that", "if", "when"].contains(word)).map_or(from, |at| at + 1);
    let words = &words[from.max(words.len().saturating_sub(8))..];
    words.join(" ")
}

/// From a word that opens a condition to the end of the sentence; a condition before the cue ends at the last comma
/// before it, where the main clause begins.
fn condition(line: &str, lower: &str, cue: &str) -> Option<String> {
    let first = CONDITIONS
        .iter()
        .filter_map(|word| find_word(lower, word, 0).map(|at| (at, word)))
        .min_by_key(|(at, _)| *at);
    let (at, word) = first.filter(|(_, word)| **word != cue)?;
    let rest = &line[at..];
    let main = find_word(lower, cue, at).and_then(|cue| rest[..cue - at].rfind(", ")).unwrap_or(rest.len());
    let clause = rest[..main].trim_end_matches(['.', ';', ':']);
    (clause.len() > word.len() + 3).then(|| shorten(clause, 240))
}

/// The last words of a line: what leads in to a list says its condition at the end.
fn tail(line: &str, chars_max: usize) -> String {
    let line = line.trim_end_matches(':');
    let skip = line.chars().count().saturating_sub(chars_max);
    let (from, _) = line.char_indices().nth(skip).unwrap_or((0, ' '));
    match line[from..].find(' ') {
        Some(space) if skip > 0 => format!("...{}", &line[from + space..]),
        _ => line.to_owned(),
    }
}

/// Where a phrase stands as whole words, from `from` on.
fn find_word(text: &str, phrase: &str, from: usize) -> Option<usize> {
    let letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    text.get(from..)?.match_indices(phrase).map(|(at, _)| from + at).find(|&at| {
        let end = at + phrase.len();
        !letter(at.checked_sub(1).and_then(|before| bytes.get(before))) && !letter(bytes.get(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<Finding> {
        let sentences = bandstand_prose::Document::read(text).sentences();
        all(&sentences).into_iter().next()
    }

    #[test]
    fn each_kind_by_its_words() {
        for (text, kind, who) in [
            ("You must keep the notice.", Kind::Obligation, "You"),
            ("If you convey it, you must keep the notice.", Kind::Obligation, "you"),
            ("The Customer shall not rent the Component.", Kind::Prohibition, "The Customer"),
            ("You may add a notice.", Kind::Permission, "You"),
            ("You need not do so.", Kind::Permission, "You"),
            ("No part may be copied.", Kind::Prohibition, "No part"),
            ("IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR DAMAGES.", Kind::Disclaimer, "liability"),
        ] {
            let finding = one(text).unwrap();
            assert_eq!((finding.kind, finding.who.as_str()), (kind, who), "{text}");
        }
        assert_eq!(one("It is raining in the maypole garden."), None);
        assert_eq!(one("\"Work\" shall mean the work."), None);
    }

    #[test]
    fn confidence_falls_with_doubt() {
        let sure = one("You must keep the notice.").unwrap().confidence;
        let doubtful = one("Any attempt shall terminate the rights.").unwrap().confidence;
        let possible = one("Services which may be offered by others are not meant.").unwrap().confidence;
        assert!(sure > 0.9 && doubtful < 0.5 && possible < 0.5, "{sure} {doubtful} {possible}");
    }

    #[test]
    fn conditions_are_told() {
        let finding = one("If you modify it, you must say so.").unwrap();
        assert_eq!(finding.condition.as_deref(), Some("If you modify it"));
        let finding = one("You may copy it provided that you keep the notice.").unwrap();
        assert_eq!(finding.condition.as_deref(), Some("provided that you keep the notice"));
    }
}
