//! From lines to blocks: headings, paragraphs and list items. It knows how plain text and Markdown look, not what a
//! section is.

/// A run of lines that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// Of the whole block, marker and title included.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where the prose begins: behind the marker and a run-in title. A heading has none: `end`.
    pub(crate) body: usize,
}

/// What a block is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Opens a section: `2.1. Grants`, `# Title`, `PREAMBLE`, or `3. Patents. Each ...` with its text behind.
    Heading { label: String, title: String, level: usize },
    /// `(a)`, `b)`, `-`: the label without its brackets, empty for bullets.
    Item { label: String },
    /// Anything else.
    Paragraph,
}

struct Line<'a> {
    start: usize,
    end: usize,
    text: &'a str,
    indent: usize,
}

/// Splits a text into blocks in order; blank lines and rules belong to none.
pub(crate) fn read(text: &str) -> Vec<Block> {
    let lines = lines(text);
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < lines.len() {
        if lines[first].text.is_empty() || is_rule(lines[first].text) {
            first += 1;
            continue;
        }
        let rule_at = |at: usize| lines.get(at).is_some_and(|line| is_rule(line.text) && line.text.len() > 2);
        // A long title may wrap; then it has a number, and the rule is below its second line.
        let wrapped = marker(lines[first].text).is_some() && !rule_at(first + 1) && rule_at(first + 2);
        let underlined = wrapped || rule_at(first + 1);
        let end = match underlined {
            true => first + 1 + usize::from(wrapped && !lines[first + 1].text.is_empty()),
            false => run_end(&lines, first),
        };
        blocks.push(block(text, &lines[first..end], underlined));
        first = end;
    }
    in_sequence(blocks)
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for raw in text.split_inclusive('\n') {
        let trimmed = unframed(raw);
        let indent = trimmed.as_ptr() as usize - raw.as_ptr() as usize;
        lines.push(Line {
            start: start + indent,
            end: start + indent + trimmed.len(),
            text: trimmed,
            indent,
        });
        start += raw.len();
    }
    lines
}

/// Without surrounding space and the stars of a frame, `*  like this  *`.
fn unframed(line: &str) -> &str {
    let trimmed = line.trim();
    let inner = trimmed.strip_prefix('*').and_then(|rest| rest.strip_suffix('*')).map(str::trim);
    inner.filter(|inner| !inner.starts_with('*')).unwrap_or(trimmed)
}

fn is_rule(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|c| matches!(c, '=' | '-' | '_' | '*' | '~' | ' '))
}

/// The line behind the block that starts at `first`.
fn run_end(lines: &[Line<'_>], first: usize) -> usize {
    let mut end = first + 1;
    if lines[first].text.starts_with('#') {
        return end;
    }
    while let Some(line) = lines.get(end) {
        let last = lines[end - 1].text;
        let marked = marker(line.text).is_some() && closes(last);
        let underlined = lines.get(end + 1).is_some_and(|next| is_rule(next.text) && next.text.len() > 2);
        // A title is set apart by its indent as often as by an empty line.
        let steps_in = end == first + 1 && line.indent == 0 && lines[first].indent >= 12;
        if line.text.is_empty()
            || is_rule(line.text)
            || line.text.starts_with('#')
            || marked
            || underlined
            || steps_in
        {
            break;
        }
        end += 1;
    }
    end
}

/// Can a list item follow this line without an empty one between? Else a marker is a wrapped `(1)` inside a sentence.
fn closes(line: &str) -> bool {
    line.ends_with([':', ';', '.'])
        || line.ends_with(" and")
        || line.ends_with(" or")
        || marker(line).is_some()
}

/// A list marker at the start of a line: its label and its length with the space behind.
fn marker(line: &str) -> Option<(&str, usize)> {
    if let Some(rest) = line.strip_prefix(['-', '*', '+', '\u{2022}']) {
        return rest.starts_with(' ').then(|| ("", line.len() - rest.trim_start().len()));
    }
    let inner = line.strip_prefix('(').unwrap_or(line);
    let label_end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))?;
    let (mut label, rest) = (&inner[..label_end], &inner[label_end..]);
    let bracketed = rest.starts_with(')');
    let rest = rest.strip_prefix(')').unwrap_or(rest);
    let dotted = label.ends_with('.');
    label = label.trim_end_matches('.');
    let opened = inner.len() < line.len();
    let closed = bracketed || (!opened && (dotted || label.contains('.')));
    if !closed {
        return None;
    }
    if !rest.starts_with([' ', '\t']) && !rest.is_empty() {
        return None;
    }
    let number = is_number(label);
    let letter = label.len() == 1 && label.starts_with(|c: char| c.is_ascii_alphabetic());
    let roman = label.len() < 5 && !label.is_empty() && label.chars().all(|c| "ivx".contains(c));
    let fits = number || (bracketed && (letter || roman)) || (dotted && label.len() == 1 && letter);
    fits.then(|| (label, line.len() - rest.trim_start().len()))
}

/// `7`, `2.1`: numbers of at most 3 digits between dots.
fn is_number(label: &str) -> bool {
    !label.is_empty()
        && label
            .split('.')
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

fn block(text: &str, lines: &[Line<'_>], underlined: bool) -> Block {
    let (start, end) = (lines[0].start, lines[lines.len() - 1].end);
    let line = lines[0].text;
    let heading = |label: &str, title: &str, level| Block {
        kind: Kind::Heading { label: label.to_owned(), title: title.trim().to_owned(), level },
        start,
        end,
        body: end,
    };
    if line.starts_with('#') {
        let title = line.trim_start_matches('#');
        let (label, skip) =
            marker(title.trim_start()).filter(|(label, _)| is_number(label)).unwrap_or(("", 0));
        return heading(label, &title.trim_start()[skip..], (line.len() - title.len()).max(depth(label)));
    }
    let one_line = lines.len() == 1;
    let paragraph = Block { kind: Kind::Paragraph, start, end, body: start };
    match marker(line) {
        // `1)` and `(1)` are items, `1.` and `1.1` open a section.
        Some((label, skip)) if is_number(label) && !line[..skip].contains(')') => {
            numbered(&text[start..end], start, label, skip, one_line || underlined)
        }
        Some((label, skip)) if !underlined => {
            Block { kind: Kind::Item { label: label.to_owned() }, start, end, body: start + skip }
        }
        _ if underlined => heading(&named_part(line).unwrap_or_default(), line, 1),
        _ if one_line => match named_part(line) {
            Some(label) => heading(&label, line, 1),
            None if is_title(line, lines[0].indent) => heading("", line, 1),
            None => paragraph,
        },
        _ => paragraph,
    }
}

fn depth(label: &str) -> usize {
    label.split('.').count()
}

/// A block behind a number: a heading alone, a clause with a run-in title, or a clause that is all text.
fn numbered(text: &str, start: usize, label: &str, skip: usize, one_line: bool) -> Block {
    let rest = &text[skip..];
    let end = start + text.len();
    let level = depth(label);
    let kind = |title: &str| Kind::Heading { label: label.to_owned(), title: crate::flat(title), level };
    if one_line && rest.len() <= 90 && !ends_sentence(rest) {
        return Block { kind: kind(rest.trim_end_matches(['.', ':'])), start, end, body: end };
    }
    match run_in_title(rest) {
        Some(title_end) => {
            let title = rest[..title_end].trim_end_matches(['.', ':']);
            let body = start + skip + title_end;
            Block { kind: kind(title), start, end, body: body + spaces(&text[body - start..]) }
        }
        None => Block { kind: kind(""), start, end, body: start + skip },
    }
}

fn spaces(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Does a line read as a sentence rather than as a title? Titles have few small words and no verb that commands.
fn ends_sentence(line: &str) -> bool {
    line.ends_with(['.', ';']) && run_in_title(line).is_none_or(|end| end < line.trim_end().len())
}

/// Where the title ends that a clause begins with: `Grant of Patent License. Each ...` or `"Contributor"` on a line
/// of its own.
fn run_in_title(text: &str) -> Option<usize> {
    let first_line = text.lines().next().unwrap_or("").trim_end();
    if first_line.len() < text.trim_end().len() && first_line.starts_with('"') && first_line.len() < 60 {
        // The quoted term is the clause's subject: its title, and the first words of its text as well.
        return None;
    }
    let end = text.find(['.', ':'])?;
    let title = &text[..end];
    let count = title.split_whitespace().count();
    let long_words = title.split_whitespace().filter(|word| word.len() > 3);
    let capital = |word: &str| word.trim_start_matches(['"', '(']).starts_with(|c: char| c.is_uppercase());
    let mostly_capital = {
        let (capitals, all) = long_words.fold((0, 0), |(c, n), word| (c + usize::from(capital(word)), n + 1));
        capitals * 4 >= all * 3
    };
    let follows = text[end + 1..].is_empty() || text[end + 1..].starts_with(char::is_whitespace);
    let fits = (1..=10).contains(&count) && capital(title.trim_start()) && mostly_capital && follows;
    fits.then_some(end + 1)
}

/// `Section 5 - Scope`, `Exhibit A`, `APPENDIX: ...`: the label such a line gives.
fn named_part(line: &str) -> Option<String> {
    const NAMES: [&str; 8] =
        ["section", "article", "clause", "exhibit", "appendix", "annex", "schedule", "part"];
    if line.len() > 90 {
        return None;
    }
    let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, ':' | '.' | '-' | '\u{2013}'));
    let name = words.next()?;
    if !NAMES.contains(&name.to_lowercase().as_str()) || !name.starts_with(|c: char| c.is_uppercase()) {
        return None;
    }
    let label = words.find(|word| !word.is_empty()).unwrap_or("");
    let is_label = is_number(label)
        || (label.len() < 5 && !label.is_empty() && label.chars().all(|c| c.is_ascii_uppercase()));
    match is_label {
        true => (!line.ends_with('.')).then(|| format!("{name} {label}")),
        false => line[name.len()..].starts_with(':').then(|| name.to_owned()),
    }
}

/// A line that stands alone and is set like a title: all capitals, or set in from the margin, short, unfinished.
fn is_title(line: &str, indent: usize) -> bool {
    let letters = || line.chars().filter(|c| c.is_alphabetic());
    let count = letters().count();
    let shouted = count >= 4 && letters().all(char::is_uppercase) && line.len() <= 70 && !line.ends_with('.');
    let words = line.split_whitespace().count();
    let capitals =
        line.split_whitespace().filter(|word| word.starts_with(|c: char| c.is_uppercase())).count();
    let titled = words <= 10
        && capitals * 2 >= words
        && line.len() <= 70
        && !line.ends_with(['.', ',', ';', ':', '>', '"']);
    let is_notice = line.to_lowercase().starts_with("copyright")
        || line.starts_with(['<', '[', '{', '$'])
        || line.contains("://");
    count >= 4 && !is_notice && (shouted || (titled && (indent >= 8 || words <= 6)))
}

/// Numbers that open no section: a clause 17 behind a clause 3, or a year at the start of a line, is prose.
fn in_sequence(mut blocks: Vec<Block>) -> Vec<Block> {
    let mut last: Vec<u32> = Vec::new();
    for block in &mut blocks {
        let Kind::Heading { label, title, .. } = &block.kind else { continue };
        if !is_number(label) {
            continue;
        }
        let number: Vec<u32> = label.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        let starts_over = number.iter().all(|part| *part <= 1);
        let shared = number.iter().zip(&last).take_while(|(a, b)| a == b).count();
        let goes_on = match (number.get(shared), last.get(shared)) {
            (Some(now), Some(before)) => *now > *before && *now <= *before + 3,
            (Some(now), None) => *now <= 3,
            _ => false,
        };
        let is_first = last.is_empty() && number[0] <= 3;
        if starts_over || goes_on || is_first {
            last = number;
        } else {
            let body = if title.is_empty() { block.body } else { block.start };
            *block = Block { kind: Kind::Paragraph, start: block.start, end: block.end, body };
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(text: &str) -> Vec<String> {
        let name = |block: &Block| match &block.kind {
            Kind::Heading { label, title, level } => {
                format!("H{level} {label}|{title}|{}", crate::shorten(&text[block.body..block.end], 20))
            }
            Kind::Item { label } => format!("I {label}|{}", crate::shorten(&text[block.body..block.end], 20)),
            Kind::Paragraph => format!("P {}", crate::shorten(&text[block.body..block.end], 20)),
        };
        read(text).iter().map(name).collect()
    }

    #[test]
    fn headings_of_many_shapes() {
        assert_eq!(shapes("# One\ntext here\n\n## 1.2 Two"), ["H1 |One|", "P text here", "H2 1.2|Two|"]);
        assert_eq!(shapes("1. Definitions\n--------\n\nText."), ["H1 1|Definitions|", "P Text."]);
        assert_eq!(
            shapes("2.1. A Long Title\nThat Wraps\n-----\n\nText."),
            ["H2 2.1|A Long Title That Wraps|", "P Text."]
        );
        assert_eq!(shapes("  1. Source Code.\n\n  The code is."), ["H1 1|Source Code|", "P The code is."]);
        assert_eq!(
            shapes("   2. Grant of Rights. Subject to\n   terms, x."),
            ["H1 2|Grant of Rights|Subject to terms, x."]
        );
        assert_eq!(shapes("              Preamble\n\nWe say."), ["H1 |Preamble|", "P We say."]);
        assert_eq!(shapes("Exhibit A - Notice\n\nText."), ["H1 Exhibit A|Exhibit A - Notice|", "P Text."]);
        assert_eq!(shapes("TERMS AND CONDITIONS\n\nThis."), ["H1 |TERMS AND CONDITIONS|", "P This."]);
    }

    #[test]
    fn items_start_after_a_closed_line_only() {
        let text = "are met:\n1. Keep the notice, this list of\n   conditions.\n2. Keep more of\n   it.";
        assert_eq!(shapes(text), ["P are met:", "H1 1||Keep the notice...", "H1 2||Keep more of it."]);
        assert_eq!(
            shapes("a feature that\n(1) shows it, and\n(2) tells"),
            ["P a feature that (1)...", "I 2|tells"]
        );
        assert_eq!(shapes("**********\n*        *\n* 1. Odd Frames *\n* --- *\n"), ["H1 1|Odd Frames|"]);
        assert_eq!(shapes("   a) one; or\n   b) two"), ["I a|one; or", "I b|two"]);
    }

    #[test]
    fn years_and_leaps_open_nothing() {
        assert_eq!(
            shapes("1. First things\n\n99. Bottles\n\n1996. A year."),
            ["H1 1|First things|", "P 99. Bottles", "P 1996. A year."]
        );
    }
}
