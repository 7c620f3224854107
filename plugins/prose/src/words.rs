//! Words and short texts. No grammar.

/// The words of a text in lower case: letters, digits, and apostrophes or dashes inside.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-'))
        .map(|word| word.trim_matches(['\'', '-']))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Stems of the words that carry meaning, in order, repetitions included.
pub fn content_words(text: &str) -> impl Iterator<Item = String> + '_ {
    words(text).filter(|word| word.len() > 1 && !is_stop_word(word)).map(|word| stem(&word))
}

/// Is this lower-case word too common to tell texts apart?
#[must_use]
pub fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// A rough stem: endings of number, tense and person are cut where enough of the word is left.
#[must_use]
pub fn stem(word: &str) -> String {
    let cut = |ending: &str, least: usize| {
        word.strip_suffix(ending).filter(|rest| rest.len() >= least).map(str::to_owned)
    };
    if let Some(rest) = cut("'s", 1) {
        return rest;
    }
    if let Some(rest) = cut("ies", 2) {
        return rest + "y";
    }
    for ending in ["sses", "shes", "ches", "xes"] {
        if word.ends_with(ending) && word.len() > 5 {
            return word[..word.len() - 2].to_owned();
        }
    }
    if let Some(rest) = cut("ing", 4).or_else(|| cut("ed", 4)) {
        // "running" and "planned": the doubled letter goes, too.
        let mut letters = rest.chars().rev();
        let (last, before) = (letters.next(), letters.next());
        return match (last, before) {
            (Some(a), Some(b)) if a == b && !"lsz".contains(a) => {
                rest[..rest.len() - a.len_utf8()].to_owned()
            }
            _ => rest,
        };
    }
    let plural = word.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    if plural && word.len() > 3 { word[..word.len() - 1].to_owned() } else { word.to_owned() }
}

/// The text on one line: every run of white space is one space; stars and bars of a frame are left out.
#[must_use]
pub fn flat(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace().filter(|word| !matches!(*word, "*" | "|")) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// The text on one line, cut before the word that passes `chars_max`, with `...` where something was cut.
#[must_use]
pub fn shorten(text: &str, chars_max: usize) -> String {
    let line = flat(text);
    let Some((limit, _)) = line.char_indices().nth(chars_max) else { return line };
    let cut = line[..limit].rfind(' ').filter(|cut| *cut > limit / 2).unwrap_or(limit);
    format!("{}...", line[..cut].trim_end_matches([',', ';', ' ']))
}

/// Sorted, for the search by halves.
const STOP_WORDS: [&str; 119] = [
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "between", "both", "but", "by", "can", "could", "did", "do",
    "does", "doing", "each", "either", "for", "from", "further", "had", "has", "have", "having", "he", "her",
    "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "may", "me",
    "might", "more", "most", "must", "my", "neither", "no", "nor", "not", "now", "of", "off", "on", "once",
    "only", "or", "other", "our", "out", "over", "own", "please", "same", "shall", "she", "should", "so",
    "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "through", "to", "too", "under", "until", "up", "us", "very", "was", "we", "were", "what",
    "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
        assert!(
            is_stop_word("the") && is_stop_word("a") && is_stop_word("yours") && !is_stop_word("licence")
        );
    }

    #[test]
    fn words_keep_inner_marks_only() {
        let found: Vec<_> = words("The \"non-exclusive\" licensee's -- 'right'.").collect();
        assert_eq!(found, ["the", "non-exclusive", "licensee's", "right"]);
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for (a, b) in [
            ("copies", "copy"),
            ("granted", "grants"),
            ("running", "run"),
            ("classes", "class"),
            ("licensee's", "licensee"),
        ] {
            assert_eq!(stem(&stem(a)), stem(b), "{a} {b}");
        }
        assert_eq!(stem("this"), "this");
        assert_eq!(stem("bus"), "bus");
    }

    #[test]
    fn shortening_cuts_between_words() {
        assert_eq!(shorten("one  two\nthree", 40), "one two three");
        assert_eq!(shorten("one two, three", 9), "one two...");
        assert_eq!(shorten("\u{e9}\u{e9}\u{e9}\u{e9}", 2), "\u{e9}\u{e9}...");
    }
}
