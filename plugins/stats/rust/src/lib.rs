//! `stats`: counts the words, sentences and paragraphs of a document. What it counts is laid down in `../README.md`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bandstand_sdk::log::{self, Level};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

const FREQUENT_MAX: usize = 5;

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: String,
    fail: Option<Ending>,
}

/// Ends the call another way, so that hosts can be tried out.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ending {
    Crash,
    Hoard,
    Permanent,
    Recoverable,
    Spin,
}

#[derive(Serialize)]
struct Output {
    characters: usize,
    words: usize,
    sentences: usize,
    paragraphs: usize,
    longest_word: String,
    words_per_sentence: Number,
    frequent: Vec<Frequent>,
}

#[derive(Serialize)]
struct Frequent {
    word: String,
    count: usize,
}

/// Takes memory until there is none.
fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

/// The agent; see the top of this file.
#[allow(clippy::panic)] // The point of `crash`.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let Input { text, fail } = call.input()?;
    match fail {
        Some(Ending::Crash) => panic!("asked to crash"),
        Some(Ending::Hoard) => hoard(),
        Some(Ending::Spin) => loop {
            std::hint::spin_loop();
        },
        Some(Ending::Permanent) => {
            return Err(Failure::permanent("asked-to-fail", "asked to fail for good"));
        }
        Some(Ending::Recoverable) => {
            return Err(Failure::recoverable("try-later", "asked to fail for now").retry_after_ms(1_500));
        }
        None => {}
    }
    let words = words(&text);
    let Some(longest) = words.iter().rev().max_by_key(|word| word.len()) else {
        return Err(Failure::permanent("text-empty", "`text` holds no word"));
    };
    let has_word = |piece: &&str| piece.contains(|c: char| c.is_ascii_alphanumeric());
    let sentences = text.split(['.', '!', '?']).filter(has_word).count();
    log::write(Level::Info, "counted", json!({ "words": words.len() }));
    Ok(Reply::new(Output {
        characters: text.chars().count(),
        words: words.len(),
        sentences,
        paragraphs: paragraphs(&text),
        longest_word: longest.clone(),
        words_per_sentence: hundredths(words.len(), sentences),
        frequent: frequent(&words),
    }))
}

/// ASCII letters and digits, and an apostrophe between two of them; folded.
fn words(text: &str) -> Vec<String> {
    let others = |c: char| !c.is_ascii_alphanumeric() && c != '\'';
    let runs = text.split(others).flat_map(|run| run.split("''"));
    runs.map(|run| run.trim_matches('\'').to_ascii_lowercase()).filter(|word| !word.is_empty()).collect()
}

/// How many runs of lines there are that are not blank.
fn paragraphs(text: &str) -> usize {
    let filled = text.split('\n').map(|line| !line.trim_matches([' ', '\t', '\r']).is_empty());
    let mut before = false;
    filled.filter(|now| std::mem::replace(&mut before, *now) < *now).count()
}

/// The quotient with two decimals, half up. In whole numbers, so that every language gives the same; a whole one is
/// written without decimals.
fn hundredths(dividend: usize, divisor: usize) -> Number {
    let whole = (dividend as u64 * 200 + divisor as u64) / (divisor as u64 * 2);
    let decimal = Number::from_f64(whole as f64 / 100.0).filter(|_| whole % 100 != 0);
    decimal.unwrap_or_else(|| Number::from(whole / 100))
}

/// The words that come most often; of those as frequent, the alphabet's first.
fn frequent(words: &[String]) -> Vec<Frequent> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut found: Vec<Frequent> =
        counts.into_iter().map(|(word, count)| Frequent { word: word.clone(), count }).collect();
    // The sort is stable, so the alphabet's order stays.
    found.sort_by_key(|each| Reverse(each.count));
    found.truncate(FREQUENT_MAX);
    found
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::{FailureKind, fake};

    use super::*;

    #[test]
    fn it_counts() {
        fake::reset();
        let output = run(&Call::with_input(json!({ "text": "One two. Two! don''t" }))).unwrap().output();
        assert_eq!((&output["words"], &output["sentences"]), (&json!(5), &json!(3)));
        assert_eq!(output["words_per_sentence"], json!(1.67));
        assert_eq!(output["frequent"][0], json!({ "word": "two", "count": 2 }));
        assert_eq!(fake::logged(), ["info counted {\"words\":5}"]);
    }

    #[test]
    fn it_fails_as_asked() {
        let fail = |input| run(&Call::with_input(input)).unwrap_err();
        assert_eq!(fail(json!({ "text": " - " })).code(), "text-empty");
        let later = fail(json!({ "text": "", "fail": "recoverable" }));
        assert_eq!((later.kind(), later.retry_after()), (FailureKind::Recoverable, Some(1_500)));
        assert_eq!(fail(json!({ "text": "a", "fail": "x" })).code(), "input-invalid");
    }
}
