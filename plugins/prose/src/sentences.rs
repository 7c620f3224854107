//! From a block's prose to sentences. No grammar: ends are found by marks and capitals.

/// A sentence, or an item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence<'a> {
    /// Byte offsets in the document.
    pub start: usize,
    /// End, exclusive.
    pub end: usize,
    /// As it stands there, line breaks included.
    pub text: &'a str,
    /// Where it stands: `4(a)`, `2.1`, a heading's title, or nothing.
    pub clause: String,
    /// For an item of a list: the place, in the same answer, of the sentence that leads in to it (`... provided that:`).
    pub lead: Option<usize>,
}

/// Cuts `text[start..end]` into sentences: pairs of offsets, without surrounding space.
pub(crate) fn cut(text: &str, start: usize, end: usize) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut from = start;
    let mut at = start;
    while at < end {
        if matches!(bytes[at], b'.' | b'!' | b'?') {
            let mut behind = at + 1;
            while behind < end && matches!(bytes[behind], b'"' | b')' | b'\'' | b'.') {
                behind += 1;
            }
            if ends_here(&text[from..at], &text[behind..end]) {
                push_trimmed(text, from, behind, &mut found);
                from = behind;
            }
            at = behind;
        } else {
            at += 1;
        }
    }
    push_trimmed(text, from, end, &mut found);
    found
}

fn push_trimmed(text: &str, start: usize, end: usize, found: &mut Vec<(usize, usize)>) {
    let raw = &text[start..end];
    let start = start + (raw.len() - raw.trim_start().len());
    let end = start + raw.trim().len();
    if end > start {
        found.push((start, end));
    }
}

/// Is the mark between these two the end of a sentence?
fn ends_here(before: &str, after: &str) -> bool {
    if !after.is_empty() && !after.starts_with(char::is_whitespace) {
        return false;
    }
    let next =
        after.trim_start().trim_start_matches(['"', '(', '\'', '\u{201c}', '[', '*', '`']).chars().next();
    let opens = next.is_none_or(|c| c.is_uppercase() || c.is_ascii_digit() || !c.is_alphabetic());
    let last_word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    let initial = last_word.len() == 1 && last_word.starts_with(|c: char| c.is_uppercase());
    opens && !initial && !ABBREVIATIONS.contains(&last_word.to_lowercase().as_str())
}

const ABBREVIATIONS: [&str; 22] = [
    "e.g", "i.e", "etc", "inc", "ltd", "corp", "co", "no", "nos", "vs", "v", "cf", "mr", "mrs", "ms", "dr",
    "st", "u.s", "u.s.c", "art", "sec", "approx",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        cut(text, 0, text.len()).into_iter().map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        assert_eq!(texts("One is. Two\nis! Three?"), ["One is.", "Two\nis!", "Three?"]);
        assert_eq!(
            texts("Made by Foo Inc. and others, e.g. you."),
            ["Made by Foo Inc. and others, e.g. you."]
        );
        assert_eq!(
            texts("See version 2.0 of it. (Really.) Yes"),
            ["See version 2.0 of it.", "(Really.)", "Yes"]
        );
        assert_eq!(texts("He said \"stop.\" Then he went."), ["He said \"stop.\"", "Then he went."]);
        assert!(texts("  \n ").is_empty());
    }
}
