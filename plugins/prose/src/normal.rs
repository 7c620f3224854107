//! A text made comparable, with the way back to where each piece of it came from.

/// Lower case, straight quotes, one space for any white space; comment signs and list stars at line starts are gone.
#[derive(Debug)]
pub struct Normal {
    text: String,
    /// For every byte of `text`, the offset in the original.
    origin: Vec<u32>,
}

impl Normal {
    /// Reads a whole text of less than 4 GiB.
    #[must_use]
    pub fn of(original: &str) -> Normal {
        let mut normal = Normal {
            text: String::with_capacity(original.len()),
            origin: Vec::with_capacity(original.len()),
        };
        let mut line_start = true;
        for (offset, letter) in original.char_indices() {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            match letter {
                '\n' => {
                    normal.space(offset);
                    line_start = true;
                }
                _ if letter.is_whitespace() => normal.space(offset),
                '*' | '#' | '/' | '>' | '|' if line_start => {}
                _ => {
                    line_start = false;
                    normal.letter(letter, offset);
                }
            }
        }
        normal
    }

    fn space(&mut self, offset: u32) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.push(' ', offset);
        }
    }

    fn letter(&mut self, letter: char, offset: u32) {
        match letter {
            '\u{2018}' | '\u{2019}' => self.push('\'', offset),
            '\u{201c}' | '\u{201d}' => self.push('"', offset),
            '\u{2010}'..='\u{2015}' => self.push('-', offset),
            // Two of these are how plain text writes a quotation mark.
            '`' => self.push('\'', offset),
            _ => letter.to_lowercase().for_each(|lower| self.push(lower, offset)),
        }
    }

    fn push(&mut self, letter: char, offset: u32) {
        self.text.push(letter);
        self.origin.resize(self.text.len(), offset);
    }

    /// The comparable text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where a phrase first occurs, in the original's offsets. The phrase must be normal itself: lower case, single
    /// spaces. It must begin and end at a word's border where it begins or ends with a letter.
    #[must_use]
    pub fn find(&self, phrase: &str) -> Option<(usize, usize)> {
        self.matches(phrase).next()
    }

    /// Every place of a phrase; see [`Normal::find`].
    pub fn matches<'a>(&'a self, phrase: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
        self.text.match_indices(phrase).filter_map(move |(start, found)| {
            let end = start + found.len();
            let before = self.text[..start].chars().next_back();
            let after = self.text[end..].chars().next();
            let inside_word = joins(before, found.chars().next()) || joins(found.chars().next_back(), after);
            (!inside_word && !found.is_empty()).then(|| (self.original(start), self.original(end - 1) + 1))
        })
    }

    fn original(&self, at: usize) -> usize {
        self.origin.get(at).map_or(0, |offset| *offset as usize)
    }
}

fn joins(left: Option<char>, right: Option<char>) -> bool {
    left.is_some_and(char::is_alphanumeric) && right.is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_across_lines_and_marks() {
        let text = " * Permission is\n * HEREBY   granted, \u{201c}free\u{201d} of charge";
        let normal = Normal::of(text);
        assert_eq!(normal.text(), "permission is hereby granted, \"free\" of charge");
        let (start, end) = normal.find("is hereby granted").unwrap();
        assert_eq!(&text[start..end], "is\n * HEREBY   granted");
        assert!(normal.find("ranted").is_none() && normal.find("hereb").is_none());
    }

    #[test]
    fn every_place_is_found() {
        assert_eq!(Normal::of("may not, may; maybe may").matches("may").count(), 3);
        assert_eq!(Normal::of("").matches("may").count(), 0);
    }
}
