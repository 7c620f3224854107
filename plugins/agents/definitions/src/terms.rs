//! Terms and how they are defined: a quoted term with `means` and its like near it, a quoted term in brackets, a
//! quoted term that something `is called`. Terms without quotation marks are not looked for.

use bandstand_prose::{Document, Quote, Sentence, flat, shorten};
use serde::Serialize;

/// A defined term.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Definition {
    pub(crate) term: String,
    pub(crate) meaning: String,
    /// `means`, `bracket` or `called`.
    pub(crate) form: &'static str,
    #[serde(flatten)]
    pub(crate) quote: Quote,
    /// How often the term occurs elsewhere.
    pub(crate) uses: usize,
    pub(crate) confidence: f64,
}

/// What stands behind a term that is being defined, and how surely it tells.
const VERBS: [(&str, f64); 9] = [
    ("shall mean", 0.97),
    ("means", 0.95),
    ("mean", 0.85),
    ("refers to", 0.93),
    ("refer to", 0.9),
    ("is defined as", 0.95),
    ("includes", 0.65),
    ("include", 0.6),
    ("is", 0.5),
];

/// All definitions in order, each term once (the surest).
pub(crate) fn all(document: &Document<'_>, text: &str) -> Vec<Definition> {
    let mut found: Vec<Definition> = Vec::new();
    for sentence in document.sentences() {
        for (at, end) in quoted(sentence.text) {
            let Some(definition) = definition(&sentence, at, end) else { continue };
            match found.iter_mut().find(|one| one.term == definition.term) {
                Some(old) if old.confidence >= definition.confidence => {}
                Some(old) => *old = definition,
                None => found.push(definition),
            }
        }
    }
    for definition in &mut found {
        let inside = text.get(definition.quote.start..definition.quote.end).unwrap_or("");
        let bare = definition
            .term
            .strip_prefix("The ")
            .or(definition.term.strip_prefix("this "))
            .unwrap_or(&definition.term);
        let root = bare.trim_end_matches('s');
        definition.uses = count(text, root).saturating_sub(count(inside, root));
    }
    found.sort_by_key(|definition| definition.quote.start);
    found
}

fn count(text: &str, term: &str) -> usize {
    if term.is_empty() { 0 } else { text.matches(term).count() }
}

/// The insides of all quotation marks of a sentence that are short enough for a term.
fn quoted(text: &str) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut open: Option<usize> = None;
    for (at, letter) in text.char_indices() {
        match (letter, open) {
            ('\u{201c}', _) | ('"', None) => open = Some(at + letter.len_utf8()),
            ('"' | '\u{201d}', Some(start)) => {
                let inside = &text[start..at];
                if !inside.trim().is_empty() && inside.len() <= 60 && inside.starts_with(char::is_alphabetic)
                {
                    pairs.push((start, at));
                }
                open = None;
            }
            _ => {}
        }
    }
    pairs
}

fn definition(sentence: &Sentence<'_>, at: usize, end: usize) -> Option<Definition> {
    let text = sentence.text;
    let term = flat(text[at..end].trim_end_matches([',', '.']));
    let mark = |letter: char| if letter == '"' || letter == '\u{201d}' { letter.len_utf8() } else { 0 };
    let behind = &text[end + text[end..].chars().next().map_or(0, mark)..];
    let before = text[..at].trim_end_matches(['"', '\u{201c}']);
    let (form, meaning, confidence) = by_verb(behind, before)
        .map(|(meaning, confidence)| ("means", meaning, confidence))
        .or_else(|| in_bracket(before, behind).map(|meaning| ("bracket", meaning, 0.9)))
        .or_else(|| called(before).map(|meaning| ("called", meaning, 0.85)))?;
    Some(Definition {
        term,
        meaning: shorten(&meaning, 300),
        form,
        quote: Quote::sentence(sentence, 300),
        uses: 0,
        confidence,
    })
}

/// `"X" means ...`, `"X" of a work means ...`, `To "x" a work means ...`, `"X", in this context, means ...`.
fn by_verb(behind: &str, before: &str) -> Option<(String, f64)> {
    let line = flat(behind);
    let lower = line.to_lowercase();
    let (at, verb, strength) = VERBS
        .iter()
        .filter_map(|&(verb, strength)| {
            let at = lower.match_indices(verb).map(|(at, _)| at).find(|&at| {
                let alone = |byte: Option<u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
                alone(at.checked_sub(1).map(|at| lower.as_bytes()[at]))
                    && alone(lower.as_bytes().get(at + verb.len()).copied())
            })?;
            Some((at, verb, strength))
        })
        .min_by_key(|&(at, verb, _)| (at, std::cmp::Reverse(verb.len())))?;
    // What may stand between the term and the verb: a few words, or a bracketed `(or "Your")`.
    let between = &line[..at];
    let near = between.split_whitespace().count();
    let limit = match strength {
        sure if sure > 0.9 => 14,
        fair if fair >= 0.6 => 6,
        _ => 1,
    };
    // The term is the sentence's subject: little before it, or an opening such as `As used herein`.
    let opening = before.trim().to_lowercase();
    let opens = opening.split_whitespace().count() <= 4 || opening.ends_with([',', ';']);
    let meaning = line.get(at + verb.len()..)?.trim_start_matches([':', ',']).trim().to_owned();
    if near > limit || !opens || meaning.is_empty() || between.contains(". ") {
        return None;
    }
    Some((meaning, strength - 0.01 * near as f64))
}

/// `... associated documentation files (the "Software")`.
fn in_bracket(before: &str, behind: &str) -> Option<String> {
    let open = before.rfind('(')?;
    let inside = before[open + 1..].trim().to_lowercase();
    let fits =
        ["", "the", "this", "collectively,", "collectively", "each, a", "each a", "a", "an", "together, the"]
            .contains(&inside.as_str())
            || inside.starts_with("hereinafter");
    let closed = behind.trim_start().starts_with(')');
    let text = before[..open].trim();
    let from = text.char_indices().rev().nth(160).map_or(0, |(at, _)| at);
    (fits && closed && !text.is_empty()).then(|| flat(&text[from..]))
}

/// `... is called the "X"`, `is addressed as "you"`, `known as the "X"`.
fn called(before: &str) -> Option<String> {
    const VERBS: [&str; 8] = [
        "is called",
        "are called",
        "called",
        "is addressed as",
        "known as",
        "referred to as",
        "designated as",
        "defined as",
    ];
    let line = flat(before);
    let lower = line.to_lowercase();
    let lower =
        ["the", "a", "an"].iter().find_map(|word| lower.strip_suffix(word)).unwrap_or(&lower).trim_end();
    let verb = VERBS.iter().find(|verb| lower.ends_with(*verb))?;
    let meaning = line.get(..lower.len() - verb.len())?.trim().to_owned();
    (!meaning.is_empty()).then_some(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<(String, &'static str)> {
        all(&Document::read(text), text).into_iter().map(|one| (one.term, one.form)).collect()
    }

    #[test]
    fn forms_of_definitions() {
        assert_eq!(terms("\"Work\" means the work. The Work is good."), [("Work".to_owned(), "means")]);
        assert_eq!(terms("Foo Ltd (the \"Vendor\") sells."), [("Vendor".to_owned(), "bracket")]);
        assert_eq!(terms("Each licensee is addressed as \"you\"."), [("you".to_owned(), "called")]);
        assert_eq!(terms("\u{201c}You\u{201d} (or \u{201c}Your\u{201d}) shall mean a person.")[0].0, "You");
        assert!(terms("He said \"stop it\" and left for the day.").is_empty());
    }

    #[test]
    fn uses_are_counted_outside_the_definition() {
        let text = "\"Work\" means the Work.\n\nThe Work, and Works.";
        assert_eq!(all(&Document::read(text), text)[0].uses, 2);
    }
}
