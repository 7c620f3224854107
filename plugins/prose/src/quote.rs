//! What an agent says it found: in which words, and where.

use serde::Serialize;

use crate::{Sentence, shorten};

/// The words that show a finding, and their place; agents write it among a finding's own members.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Quote {
    /// The words, on one line.
    #[serde(rename = "quote")]
    pub text: String,
    /// The label of the clause they stand in; empty: in none.
    pub clause: String,
    /// Where what was found begins, in bytes of the text.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

impl Quote {
    /// A whole sentence, cut after `chars_max` characters.
    pub fn sentence(sentence: &Sentence<'_>, chars_max: usize) -> Quote {
        Quote::within(sentence, sentence.start, sentence.end, chars_max)
    }

    /// Something from `start` to `end` in a sentence, which is quoted, cut after `chars_max` characters.
    pub fn within(sentence: &Sentence<'_>, start: usize, end: usize, chars_max: usize) -> Quote {
        Quote { text: shorten(sentence.text, chars_max), clause: sentence.clause.clone(), start, end }
    }

    /// Moves the place, for a text that is a piece of a larger one and begins there at `offset`.
    pub fn shift(&mut self, offset: usize) {
        self.start += offset;
        self.end += offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    #[test]
    fn a_quote_names_its_clause_and_place() {
        let sentences = Document::read("1. Fees.\n\nYou must\npay on time.").sentences();
        let last = sentences.last().unwrap();
        let mut quote = Quote::sentence(last, 300);
        assert_eq!((quote.text.as_str(), quote.clause.as_str()), ("You must pay on time.", "1"));
        quote.shift(100);
        assert_eq!((quote.start, quote.end), (last.start + 100, last.end + 100));
        assert!(Quote::within(last, 10, 13, 10).text.len() < quote.text.len());
    }
}
