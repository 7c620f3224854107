//! Makes text that a guest wrote safe to show on a terminal or a page and to keep in a record: bounded, and without
//! anything that moves a cursor, recolours, or reorders what a person reads.

/// Removes terminal escape sequences, control characters (but for line feed and tab) and the characters that change
/// the direction of text, and cuts after `bytes_max` bytes, saying so.
pub(crate) fn sanitise(text: &str, bytes_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(bytes_max));
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if clean.len() + character.len_utf8() > bytes_max {
            clean.push_str("... (cut)");
            break;
        }
        match character {
            '\u{1b}' => skip_escape(&mut rest),
            '\n' | '\t' => clean.push(character),
            _ if character.is_control() => {}
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ => clean.push(character),
        }
    }
    clean
}

/// Drops what follows an escape character: a control sequence up to its final byte, a string up to its terminator,
/// otherwise one character.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => {
            while let Some(character) = rest.peek().copied() {
                if !('\u{20}'..='\u{7e}').contains(&character) {
                    return;
                }
                rest.next();
                if ('\u{40}'..='\u{7e}').contains(&character) {
                    return;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(character) = rest.next() {
                match character {
                    '\u{7}' | '\u{9c}' => return,
                    '\u{1b}' => {
                        rest.next_if_eq(&'\\');
                        return;
                    }
                    // A string that never ends must not swallow the lines after it.
                    '\n' => return,
                    _ => {}
                }
            }
        }
        Some('(' | ')' | '#' | '%' | ' ') => {
            rest.next();
        }
        _ => {}
    }
}

/// A code as all codes are: lower-case words joined by hyphens, at most 64 bytes; `fallback` if nothing is left.
pub(crate) fn kebab(code: &str, fallback: &str) -> String {
    let mut clean = String::new();
    for character in code.chars().take(64) {
        match character {
            'a'..='z' | '0'..='9' => clean.push(character),
            'A'..='Z' => clean.push(character.to_ascii_lowercase()),
            _ if clean.ends_with('-') || clean.is_empty() => {}
            _ => clean.push('-'),
        }
    }
    let clean = clean.trim_end_matches('-');
    if clean.is_empty() { fallback.to_owned() } else { clean.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_out_what_a_terminal_would_obey() {
        assert_eq!(sanitise("a\u{1b}[31mred\u{1b}[0m b", 100), "ared b");
        assert_eq!(sanitise("t\u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y", 100), "txy");
        assert_eq!(sanitise("1\r2\u{8}\u{9b}3\u{202e}4\n\t5", 100), "1234\n\t5");
        assert_eq!(sanitise("open \u{1b}]never closed\nnext", 100), "open next");
    }

    #[test]
    fn cuts_at_a_character_and_says_so() {
        assert_eq!(sanitise("\u{e9}\u{e9}\u{e9}", 4), "\u{e9}\u{e9}... (cut)");
        assert_eq!(sanitise("abcd", 4), "abcd");
    }

    #[test]
    fn makes_codes_of_anything() {
        assert_eq!(kebab("Text too_short!", "failed"), "text-too-short");
        assert_eq!(kebab("\u{1b}[1m", "failed"), "1m");
        assert_eq!(kebab("??", "failed"), "failed");
    }
}
