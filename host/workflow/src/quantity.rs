//! Small written values: durations, sizes, percentages, identifiers, names, codes; and what was probably meant.

/// Longest duration: 365 days.
const DURATION_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;
/// Longest identifier, name or code, in characters.
const NAME_CHARS_MAX: usize = 63;
/// Greatest integer that JSON carries everywhere.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Identifiers that expressions or exits use for themselves.
pub(crate) const RESERVED: &[&str] = &[
    "end", "true", "false", "none", "and", "or", "not", "in", "is", "if", "else", "loop", "self", "super",
    "render", "range",
];
/// Further ones that an item of a map cannot have, since expressions have them already.
pub(crate) const RESERVED_ITEM: &[&str] = &[
    "input",
    "state",
    "constants",
    "output",
    "nodes",
    "branches",
    "visit",
    "error",
    "review",
    "run",
    "now",
    "trigger",
];

/// `90s`, `3d`: milliseconds, above 0, at most 365 days.
pub fn duration_ms(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=DURATION_MS_MAX).contains(&total).then_some(total)
}

/// `64KiB`, `1MiB`: bytes, above 0.
pub(crate) fn size_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, 10),
        (_, Some(digits)) => (digits, 20),
        _ => return None,
    };
    let count =
        Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse::<u64>().ok()?;
    count.checked_mul(1 << shift).filter(|bytes| (1..=INTEGER_MAX).contains(bytes))
}

/// `20%`.
pub(crate) fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty())?;
    let digits = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse::<u32>().ok().filter(|percent| *percent <= 100)
}

/// `[a-z][a-z0-9_]{0,62}`
pub(crate) fn is_id(text: &str) -> bool {
    is_name_with(text, b'_')
}

/// `[a-z][a-z0-9-]{0,62}`
pub(crate) fn is_name(text: &str) -> bool {
    is_name_with(text, b'-')
}

fn is_name_with(text: &str, joint: u8) -> bool {
    text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == joint)
}

/// The text as an identifier: `Ask-Person` becomes `ask_person`.
pub(crate) fn as_name(text: &str, joint: char) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c {
            'A'..='Z' if name.ends_with(|c: char| c.is_ascii_lowercase()) => {
                name.push(joint);
                name.push(c.to_ascii_lowercase());
            }
            'a'..='z' | '0'..='9' | 'A'..='Z' => name.push(c.to_ascii_lowercase()),
            _ if !name.is_empty() && !name.ends_with(joint) => name.push(joint),
            _ => {}
        }
    }
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches(joint);
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() { format!("my{joint}name") } else { name }
}

/// Longest word that is compared with others, in bytes, and how many others: comparing takes time.
const COMPARED_BYTES_MAX: usize = 64;
const COMPARED_MAX: usize = 300;

/// The candidate that is written most alike, if one is near enough to be meant.
pub fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if text.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let text = text.to_lowercase().replace('_', "-");
    let candidates =
        candidates.into_iter().filter(|candidate| candidate.len() <= COMPARED_BYTES_MAX).take(COMPARED_MAX);
    let far = |candidate: &str| strsim::osa_distance(&text, &candidate.replace('_', "-"));
    // Of two that are equally far the one with the same beginning: `max-retry` means `max-retries`.
    let apart = |candidate: &str| {
        text.len() - text.bytes().zip(candidate.bytes()).take_while(|(a, b)| a == b).count()
    };
    let near = candidates.map(|candidate| (far(candidate), apart(candidate), candidate));
    let near =
        near.filter(|(distance, _, candidate)| *distance <= (candidate.len().max(text.len()) / 3).max(1));
    near.filter(|(distance, _, candidate)| *distance < candidate.chars().count())
        .min()
        .map(|(_, _, candidate)| candidate)
}

/// "did you mean" if something is near, else the list of what there is.
pub(crate) fn suggest(text: &str, candidates: &[&str], what_there_is: &str) -> String {
    match nearest(text, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => format!("there are no {what_there_is} here"),
        None => format!("{what_there_is}: {}", listed(candidates)),
    }
}

/// Longest list in a message.
const LISTED_MAX: usize = 30;

/// The words in backticks, separated by commas, the first thirty of them.
pub(crate) fn listed<T: AsRef<str>>(words: &[T]) -> String {
    let mut text = words
        .iter()
        .take(LISTED_MAX)
        .map(|word| format!("`{}`", word.as_ref()))
        .collect::<Vec<_>>()
        .join(", ");
    if words.len() > LISTED_MAX {
        text.push_str(&format!(" and {} more", words.len() - LISTED_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_percentages_follow_their_rules() {
        assert_eq!(duration_ms("90s"), Some(90_000));
        assert_eq!(duration_ms("365d"), Some(DURATION_MS_MAX));
        for bad in ["", "0s", "366d", "1w", "s", "-1s", "1.5h", "1 s", "99999999999999999999d"] {
            assert_eq!(duration_ms(bad), None, "{bad}");
        }
        assert_eq!(size_bytes("64KiB"), Some(65_536));
        for bad in ["", "MiB", "1GiB", "1MB", "0KiB", "+1MiB", "18446744073709551615MiB"] {
            assert_eq!(size_bytes(bad), None, "{bad}");
        }
        assert_eq!(percent("100%"), Some(100));
        for bad in ["%", "101%", "1.5%", "20", "+5%"] {
            assert_eq!(percent(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_proposal_is_an_identifier_and_near_words_are_found() {
        assert_eq!(as_name("ask-person", '_'), "ask_person");
        assert_eq!(as_name("AskPerson", '_'), "ask_person");
        assert!(is_id(&as_name("9 \u{fc}ber!", '_')));
        assert_eq!(nearest("secnd", ["first", "second"]), Some("second"));
        assert_eq!(nearest("max_retries", ["max-retries"]), Some("max-retries"));
        assert_eq!(nearest("max-retry", ["max-delay", "max-retries"]), Some("max-retries"));
        assert_eq!(nearest("xyzzy", ["first", "second"]), None);
    }
}
