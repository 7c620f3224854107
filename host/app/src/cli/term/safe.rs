//! Makes text from files, agents and people harmless for a terminal: no escape sequences, no control characters,
//! nothing that changes the direction of what follows. Says nothing about colours of our own.

/// Text without terminal escapes and control characters; line breaks and tabs stay.
pub fn block(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            // The one-character forms of CSI and of the string-like sequences (DCS, SOS, OSC, PM, APC).
            '\u{9b}' => skip_parameters(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\n' | '\t' => clean.push(c),
            '\r' if rest.peek() == Some(&'\n') => {}
            c if c.is_control() || turns_direction(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

/// The same in one line: line breaks and tabs become spaces.
pub fn line(text: &str) -> String {
    block(text).replace(['\n', '\t'], " ")
}

/// The same in one line of at most so many characters; what is cut off shows as `...`.
pub fn short(text: &str, length_max: usize) -> String {
    let text = line(text);
    if text.chars().count() <= length_max {
        return text;
    }
    let kept: String = text.chars().take(length_max.saturating_sub(3)).collect();
    format!("{}...", kept.trim_end())
}

/// Longest text of a workflow, an agent or a person in a line for people. Characters.
pub const TOLD_LENGTH_MAX: usize = 2_000;

/// The same in one line that nobody has to scroll through: of a longer text the beginning, and where the whole is.
pub fn told(text: &str) -> String {
    let text = line(text);
    // Almost no text is longer; bytes are counted faster than characters.
    if text.len() <= TOLD_LENGTH_MAX {
        return text;
    }
    match text.char_indices().nth(TOLD_LENGTH_MAX) {
        Some((at, _)) => {
            let more = text[at..].chars().count();
            format!("{}... ({more} more characters; the whole: bandstand runs show ID --json)", &text[..at])
        }
        None => text,
    }
}

/// JSON in one line, with everything escaped that a terminal might act on. Still the same JSON.
pub fn json(value: &serde_json::Value) -> String {
    escape_json(&value.to_string())
}

/// JSON over several lines, escaped likewise.
pub fn json_pretty(value: &serde_json::Value) -> String {
    // A `Value` has only text keys and finite numbers, so writing it cannot fail.
    escape_json(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Such characters stand only inside the texts of a JSON document, where an escape means the same.
fn escape_json(text: &str) -> String {
    let harmful = |c: char| (c.is_control() && c != '\n') || turns_direction(c);
    if !text.contains(harmful) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Marks that change the direction of the text after them, so that it reads as something it is not.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_escape(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_parameters(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        // Intermediate bytes and one final byte, as in `ESC ( B`.
        Some(' '..='~') => {
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        _ => {}
    }
}

/// Parameters, then a final byte. A broken sequence ends at the first character that cannot belong to it.
fn skip_parameters(rest: &mut Rest<'_>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// Up to BEL or ST; a string without an end takes its line with it, not the whole text.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(c) = rest.next_if(|c| *c != '\n') {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next_if(|c| *c == '\\');
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn escapes_and_controls_disappear_and_text_stays() {
        let cases = [
            ("plain\ttext\nover two lines", "plain\ttext\nover two lines"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{9b}2Jgone", "gone"),
            ("a\u{8}b\u{7f}c\u{0}d", "abcd"),
            ("\u{1b}(Bx\u{1b}", "x"),
            ("line\r\nnext\rback", "line\nnextback"),
            ("\u{1b}]0;no end\nnext line", "\nnext line"),
            ("safe\u{202e}evil", "safeevil"),
            ("\u{e4}\u{1f600}", "\u{e4}\u{1f600}"),
        ];
        for (text, expected) in cases {
            assert_eq!(block(text), expected, "{text:?}");
        }
        assert_eq!(line("a\nb\tc"), "a b c");
        assert_eq!(short("abcdefghij", 6), "abc...");
        assert_eq!(short("abcdef", 6), "abcdef");
        let most = "\u{e4}".repeat(TOLD_LENGTH_MAX);
        assert_eq!(told(&most), most);
        let cut = told(&format!("{most}\nxyz"));
        assert!(
            cut.starts_with(&most)
                && cut.contains("4 more characters")
                && cut.contains("runs show ID --json")
        );
    }

    #[test]
    fn json_keeps_its_meaning_and_has_nothing_a_terminal_acts_on() {
        let value = json!({"k\u{9b}": "\u{1b}[2J \u{7f}\u{202e} \u{e4}\n"});
        for text in [super::json(&value), json_pretty(&value)] {
            assert!(
                !text.contains(|c: char| (c.is_control() && c != '\n') || turns_direction(c)),
                "{text:?}"
            );
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        }
    }
}
