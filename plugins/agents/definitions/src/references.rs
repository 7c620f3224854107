//! What a document points at: its own clauses, clauses of others, licence identifiers and names, web addresses.

use std::collections::BTreeSet;

use bandstand_prose::{Document, Normal, Quote, Sentence, flat};
use serde::Serialize;

/// What is pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A clause of this document.
    Clause,
    /// A clause of another document.
    Document,
    /// A licence by its name.
    Licence,
    /// A licence by its SPDX identifier.
    Spdx,
    /// A web address.
    Url,
}

/// One pointer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reference {
    pub(crate) kind: Kind,
    pub(crate) target: String,
    #[serde(flatten)]
    pub(crate) quote: Quote,
    /// For a clause: is it there? Others are taken as they are: true.
    pub(crate) resolved: bool,
}

const QUOTE_CHARS_MAX: usize = 200;

const SPDX: [&str; 30] = [
    "0BSD",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BUSL-1.1",
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CDDL-1.0",
    "EPL-2.0",
    "EUPL-1.2",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1",
    "LGPL-2.1-or-later",
    "LGPL-3.0",
    "MIT",
    "MPL-2.0",
    "Unlicense",
    "Zlib",
];

/// Licences by the beginning of their names; a version near it is added.
const NAMES: [(&str, &str); 8] = [
    ("gnu affero general public license", "AGPL"),
    ("gnu lesser general public license", "LGPL"),
    ("gnu general public license", "GPL"),
    ("gnu gpl", "GPL"),
    ("mozilla public license", "MPL"),
    ("apache license", "Apache"),
    ("eclipse public license", "EPL"),
    ("mit license", "MIT"),
];

/// All references in order.
pub(crate) fn all(document: &Document<'_>, text: &str) -> Vec<Reference> {
    let sections = document.sections();
    let own = sections.iter().flat_map(|section| {
        std::iter::once(section.label.clone())
            .chain(section.clauses.iter().map(|clause| clause.label.clone()))
    });
    let labels: BTreeSet<String> =
        own.filter(|label| !label.is_empty()).map(|label| label.to_lowercase()).collect();
    let sentences = document.sentences();
    let mut found = Vec::new();
    for sentence in &sentences {
        clauses(sentence, &labels, &mut found);
    }
    words(text, &sentences, &mut found);
    names(text, &sentences, &mut found);
    found.sort_by_key(|reference| (reference.quote.start, reference.quote.end));
    found
}

/// `section 4`, `sections 3 and 4`, `Section 2.1(b)`, `paragraph 4b`, `Exhibit A`, `article 11 of the treaty`.
fn clauses(sentence: &Sentence<'_>, labels: &BTreeSet<String>, found: &mut Vec<Reference>) {
    const KINDS: [&str; 10] = [
        "section",
        "sections",
        "subsection",
        "subsections",
        "paragraph",
        "article",
        "clause",
        "exhibit",
        "appendix",
        "schedule",
    ];
    let mut pieces = pieces(sentence.text).peekable();
    while let Some((start, word)) = pieces.next() {
        let kind = word.to_lowercase();
        if !KINDS.contains(&kind.as_str()) {
            continue;
        }
        let named = matches!(kind.as_str(), "exhibit" | "appendix" | "schedule");
        let mut targets = Vec::new();
        let mut end = start + word.len();
        while let Some((at, next)) = pieces.peek().copied() {
            let joint = matches!(next, "and" | "or" | "to" | "through") && !targets.is_empty();
            match label(next, named) {
                Some(label) => {
                    targets.push(if named { format!("{kind} {label}") } else { label });
                    end = at + next.trim_end_matches([',', '.', ';', ':']).len();
                }
                None if joint => {}
                None => break,
            }
            pieces.next();
        }
        let rest =
            flat(&sentence.text.get(end..).unwrap_or("").chars().take(40).collect::<String>()).to_lowercase();
        let other = rest.starts_with("of the ") && !rest.starts_with("of the license");
        let (kind, known) =
            if other || kind == "article" { (Kind::Document, true) } else { (Kind::Clause, false) };
        for target in targets {
            let resolved = known || labels.contains(&target.to_lowercase());
            let (from, to) = (sentence.start + start, sentence.start + end);
            let quote = Quote::within(sentence, from, to, QUOTE_CHARS_MAX);
            found.push(Reference { kind, target, quote, resolved });
        }
    }
}

/// The words of a sentence with their places.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - start, word)).map(|(at, word)| {
        let trimmed = word.trim_start_matches(['(', '"']);
        (at + word.len() - trimmed.len(), trimmed)
    })
}

/// `4`, `2.1`, `2.1(b),`, `6d` as the labels of sections and clauses: `4`, `2.1`, `2.1(b)`, `6(d)`.
fn label(word: &str, named: bool) -> Option<String> {
    let word = word.trim_end_matches([',', '.', ';', ':', '"']);
    if named {
        let fits = word.len() <= 2
            && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            && !word.is_empty();
        return fits.then(|| word.to_lowercase());
    }
    let digits = word.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(word.len());
    let (number, rest) = (word[..digits].trim_end_matches('.'), &word[digits..]);
    if number.is_empty() || number.len() > 7 {
        return None;
    }
    let letters = rest.trim_matches(['(', ')']);
    match letters.len() {
        0 if rest.trim_end_matches(')').is_empty() => Some(number.to_owned()),
        1 if letters.starts_with(|c: char| c.is_ascii_lowercase()) => Some(format!("{number}({letters})")),
        _ => None,
    }
}

/// Addresses and identifiers are words of their own.
fn words(text: &str, sentences: &[Sentence<'_>], found: &mut Vec<Reference>) {
    for (at, word) in pieces(text) {
        let word = word.trim_start_matches('<');
        let at = at + usize::from(text[at..].starts_with('<'));
        if word.starts_with("http://") || word.starts_with("https://") {
            let url = word
                .split(['>', '"', ')', ']'])
                .next()
                .unwrap_or(word)
                .trim_end_matches(['.', ',', ';', ':']);
            push(Kind::Url, url, at, at + url.len(), sentences, found);
        }
        let id =
            word.trim_matches(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-')).trim_end_matches('.');
        // These two are words as well: they count behind `SPDX-License-Identifier:` only, or with a version.
        let plain = matches!(id, "MIT" | "ISC" | "Unlicense" | "Zlib");
        let line_start = text[..at].rfind('\n').map_or(0, |line| line + 1);
        if SPDX.contains(&id) && (!plain || text[line_start..at].contains("SPDX-License-Identifier")) {
            push(Kind::Spdx, id, at, at + word.len(), sentences, found);
        }
    }
}

fn names(text: &str, sentences: &[Sentence<'_>], found: &mut Vec<Reference>) {
    let normal = Normal::of(text);
    for (name, family) in NAMES {
        for (start, end) in normal.matches(name) {
            let version = version_behind(&text[end..]);
            let before = text[..start].trim_end().to_lowercase();
            let version = if version.is_empty() && before.ends_with("version 3 of the") {
                "3".to_owned()
            } else {
                version
            };
            let version = if version.contains('.') || version.is_empty() { version } else { version + ".0" };
            let target = if version.is_empty() { family.to_owned() } else { format!("{family}-{version}") };
            push(Kind::Licence, &target, start, end, sentences, found);
        }
    }
}

/// `3` of `, version 3 of`, nothing where other words stand between.
fn version_behind(text: &str) -> String {
    let near: String = text.chars().take(30).collect::<String>().to_lowercase();
    let Some((gap, rest)) = near.split_once("version") else { return String::new() };
    if !gap.chars().all(|c| c.is_whitespace() || matches!(c, ',' | '"' | '(')) {
        return String::new();
    }
    let digits = rest.trim_start().split(|c: char| !(c.is_ascii_digit() || c == '.')).next();
    digits.unwrap_or("").trim_end_matches('.').to_owned()
}

fn push(
    kind: Kind,
    target: &str,
    start: usize,
    end: usize,
    sentences: &[Sentence<'_>],
    found: &mut Vec<Reference>,
) {
    // Headings are no sentences: what stands in one has no clause and is its own quote.
    let index = sentences.partition_point(|sentence| sentence.end <= start);
    let quote = match sentences.get(index).filter(|sentence| sentence.start <= start) {
        Some(sentence) => Quote::within(sentence, start, end, QUOTE_CHARS_MAX),
        None => Quote { text: target.to_owned(), clause: String::new(), start, end },
    };
    found.push(Reference { kind, target: target.to_owned(), quote, resolved: true });
}
