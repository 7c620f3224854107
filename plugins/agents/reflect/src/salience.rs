//! Is a sentence worth keeping, and as what? Judged by its words and marks alone.

use bandstand_prose::{is_stop_word, stem, words};

/// A sentence worth a fact.
pub(crate) struct Judged {
    pub(crate) text: String,
    pub(crate) kind: &'static str,
    pub(crate) tags: Vec<String>,
    pub(crate) salience: f64,
    pub(crate) confidence: f64,
}

/// Words that make a sentence of a kind, with how much they add to its salience.
const KINDS: [(&str, f64, &[&str]); 3] = [
    (
        "preference",
        0.35,
        &[
            "prefer",
            "prefers",
            "preferred",
            "likes",
            "like",
            "wants",
            "want",
            "favours",
            "dislikes",
            "hates",
            "favourite",
            "rather",
        ],
    ),
    (
        "decision",
        0.4,
        &[
            "decided",
            "decides",
            "agreed",
            "approved",
            "rejected",
            "chose",
            "chosen",
            "will",
            "resolved",
            "concluded",
            "accepted",
        ],
    ),
    (
        "obligation",
        0.35,
        &[
            "must",
            "shall",
            "required",
            "obliged",
            "deadline",
            "due",
            "may not",
            "cannot",
            "forbidden",
            "need",
            "needs",
        ],
    ),
];

const PLEASANTRIES: [&str; 9] =
    ["hello", "hi", "thanks", "thank", "welcome", "regards", "cheers", "sorry", "dear"];

/// Nothing for what is too short to say anything.
pub(crate) fn judge(line: &str) -> Option<Judged> {
    let all: Vec<String> = words(line).collect();
    let content: Vec<String> =
        all.iter().filter(|word| word.len() > 2 && !is_stop_word(word)).map(|word| stem(word)).collect();
    if content.len() < 2 {
        return None;
    }
    let mut salience = 0.12;
    let mut confidence: f64 = 0.5;
    let mut kind = "note";
    for (name, weight, cues) in KINDS {
        if all.iter().any(|word| cues.contains(&word.as_str())) {
            salience += weight;
            confidence += 0.25;
            kind = name;
            break;
        }
    }
    let question = line.trim_end().ends_with('?');
    if question {
        kind = "question";
        salience = 0.4;
        confidence = 0.8;
    }
    let numbers = line.split_whitespace().filter(|word| word.chars().any(|c| c.is_ascii_digit())).count();
    let names = names(line);
    salience += 0.1 * (numbers.min(3) as f64) + 0.08 * (names.len().min(3) as f64);
    // Long sentences say more, but whether all of it is a fact is less sure.
    salience += (content.len().min(12) as f64) * 0.01;
    confidence += if names.is_empty() { 0.0 } else { 0.1 } - (content.len() as f64 - 20.0).max(0.0) * 0.01;
    if all.first().is_some_and(|first| PLEASANTRIES.contains(&first.as_str())) {
        salience *= 0.3;
    }
    let mut tags: Vec<String> =
        names.iter().map(|name| name.to_lowercase()).chain(frequent(&content)).collect();
    tags.push(kind.to_owned());
    tags.sort();
    tags.dedup();
    let round = |number: f64| (number.clamp(0.05, 0.95) * 100.0).round() / 100.0;
    Some(Judged {
        text: line.to_owned(),
        kind,
        tags,
        salience: round(salience),
        confidence: round(confidence),
    })
}

/// Words with a capital that the start of the sentence does not explain.
fn names(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, word) in line.split_whitespace().enumerate() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let capital = bare.starts_with(|c: char| c.is_uppercase());
        let common = is_stop_word(&bare.to_lowercase());
        // At the start every word has a capital: there only short, rare ones count, such as a person's name.
        let fits = capital && !common && bare.len() > 1 && (at > 0 || bare.len() <= 4);
        if fits && !names.contains(&bare.to_owned()) {
            names.push(bare.to_owned());
        }
    }
    names
}

/// The longest three content words: rare words are long.
fn frequent(content: &[String]) -> Vec<String> {
    let mut by_length: Vec<String> =
        content.iter().filter(|word| word.chars().all(char::is_alphabetic)).cloned().collect();
    by_length.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    by_length.dedup();
    by_length.truncate(3);
    by_length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_stands_out() {
        let fact = judge("The team decided to ship Bandstand 2.1 on 3 May 2026.").unwrap();
        let chat = judge("Thanks, that was lovely weather today.").unwrap();
        assert!(fact.salience > 0.6 && chat.salience < 0.3, "{} {}", fact.salience, chat.salience);
        assert!(
            fact.tags.contains(&"bandstand".to_owned()) && fact.tags.contains(&"decision".to_owned()),
            "{:?}",
            fact.tags
        );
        assert!(judge("Yes.").is_none());
    }
}
