//! A document as sections with clauses, and as sentences that know their clause.

use crate::blocks::{self, Block, Kind};
use crate::sentences::{self, Sentence};
use crate::words::{flat, shorten};

/// A text that was read once.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    blocks: Vec<Block>,
}

/// From one heading to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The number or name a reference would use: `4`, `2.1`, `Exhibit A`; empty where there is none.
    pub label: String,
    /// The heading's words; for a clause without a title its first words.
    pub title: String,
    /// Depth, from 1.
    pub level: usize,
    /// Byte offset of the heading.
    pub start: usize,
    /// Where the next section begins, or the document ends.
    pub end: usize,
    /// Where the text behind the heading begins.
    pub body: usize,
    /// The marked items inside.
    pub clauses: Vec<Clause>,
}

/// A marked item of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// With the section's: `4(a)`.
    pub label: String,
    /// Byte offset of the marker.
    pub start: usize,
    /// End, exclusive.
    pub end: usize,
}

impl<'a> Document<'a> {
    /// Reads a text; no text is wrong.
    #[must_use]
    pub fn read(text: &'a str) -> Document<'a> {
        Document { text, blocks: blocks::read(text) }
    }

    /// The sections in order. What stands before the first heading is a section without label and title.
    #[must_use]
    pub fn sections(&self) -> Vec<Section> {
        let mut sections: Vec<Section> = Vec::new();
        for block in &self.blocks {
            if let Kind::Heading { label, title, level } = &block.kind {
                let own_words = || shorten(&self.text[block.body..block.end], 60);
                let title = if title.is_empty() { own_words() } else { title.clone() };
                sections.push(self.section(label.clone(), title, *level, block));
                continue;
            }
            if sections.is_empty() {
                let untitled = Block { body: block.start, ..block.clone() };
                sections.push(self.section(String::new(), String::new(), 1, &untitled));
            }
            let (Kind::Item { label }, Some(section)) = (&block.kind, sections.last_mut()) else { continue };
            if !label.is_empty() {
                let label = format!("{}({label})", section.label);
                section.clauses.push(Clause { label, start: block.start, end: block.end });
            }
        }
        for index in 1..sections.len() {
            sections[index - 1].end = sections[index].start;
        }
        sections
    }

    fn section(&self, label: String, title: String, level: usize, block: &Block) -> Section {
        let (start, end, body) = (block.start, self.text.len(), block.body);
        Section { label, title, level, start, end, body, clauses: Vec::new() }
    }

    /// The sentences in order; headings are none. An item of a list is at least one sentence of its own.
    #[must_use]
    pub fn sentences(&self) -> Vec<Sentence<'a>> {
        let mut found: Vec<Sentence<'a>> = Vec::new();
        let mut section = String::new();
        let mut lead: Option<usize> = None;
        for block in &self.blocks {
            let is_bare_number = matches!(&block.kind, Kind::Heading { title, .. } if title.is_empty());
            let clause = match &block.kind {
                Kind::Heading { label, title, .. } => {
                    section = if label.is_empty() { flat(title) } else { label.clone() };
                    section.clone()
                }
                Kind::Item { label } if !label.is_empty() => format!("{section}({label})"),
                _ => section.clone(),
            };
            let is_item = matches!(block.kind, Kind::Item { .. }) || is_bare_number;
            if !is_item && !found.last().is_some_and(|last| is_lead(last.text)) {
                lead = None;
            }
            if let Some(last) = found.len().checked_sub(1).filter(|last| is_lead(found[*last].text)) {
                lead = Some(last);
            }
            for (start, end) in sentences::cut(self.text, block.body, block.end) {
                found.push(Sentence {
                    start,
                    end,
                    text: &self.text[start..end],
                    clause: clause.clone(),
                    lead,
                });
            }
        }
        found
    }
}

fn is_lead(text: &str) -> bool {
    text.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPL: &str = include_str!("../../../examples/06-licence-review/texts/gpl-3.0.txt");
    const APACHE: &str = include_str!("../../../examples/06-licence-review/texts/apache-2.0.txt");
    const MPL: &str = include_str!("../../../examples/06-licence-review/texts/mpl-2.0.txt");
    const LGPL: &str = include_str!("../../../examples/06-licence-review/texts/lgpl-3.0.txt");
    const BSD: &str = include_str!("../../../examples/06-licence-review/texts/bsd-3-clause.txt");

    fn labels(text: &str) -> Vec<String> {
        Document::read(text)
            .sections()
            .into_iter()
            .map(|section| section.label)
            .filter(|label| !label.is_empty())
            .collect()
    }

    #[test]
    fn the_gpl_has_its_eighteen_sections() {
        let expected: Vec<String> = (0..=17).map(|number| number.to_string()).collect();
        assert_eq!(labels(GPL), expected);
        let sections = Document::read(GPL).sections();
        let titles: Vec<_> = sections.iter().map(|section| section.title.as_str()).collect();
        assert!(
            titles.contains(&"Preamble")
                && titles.contains(&"Protecting Users' Legal Rights From Anti-Circumvention Law"),
            "{titles:?}"
        );
        let modified = sections.iter().find(|section| section.label == "5").unwrap();
        let clauses: Vec<_> = modified.clauses.iter().map(|clause| clause.label.as_str()).collect();
        assert_eq!(clauses, ["5(a)", "5(b)", "5(c)", "5(d)"]);
    }

    #[test]
    fn sections_touch_and_cover_the_text() {
        for text in [GPL, APACHE, MPL, BSD] {
            let sections = Document::read(text).sections();
            assert!(text[..sections[0].start].trim().is_empty());
            assert!(sections.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(sections.last().unwrap().end, text.len());
        }
    }

    #[test]
    fn other_licences_are_read_in_their_own_shape() {
        let expected: Vec<String> =
            (1..=9).map(|number| number.to_string()).chain(["APPENDIX".to_owned()]).collect();
        assert_eq!(labels(APACHE), expected);
        let mpl = labels(MPL);
        assert!(mpl.starts_with(&["1".into(), "1.1".into(), "1.2".into()]), "{mpl:?}");
        assert!(
            mpl.contains(&"2.7".to_owned())
                && mpl.contains(&"10.4".to_owned())
                && mpl.contains(&"Exhibit B".to_owned()),
            "{mpl:?}"
        );
        let whole: Vec<&String> = mpl.iter().filter(|label| label.len() <= 2).collect();
        assert_eq!(whole, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        assert_eq!(labels(LGPL), ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(labels(BSD), ["1", "2", "3"]);
    }

    #[test]
    fn items_know_what_leads_in_to_them() {
        let sentences = Document::read(BSD).sentences();
        let item =
            sentences.iter().find(|sentence| sentence.text.starts_with("Redistributions in binary")).unwrap();
        assert_eq!(item.clause, "2");
        assert!(sentences[item.lead.unwrap()].text.ends_with("are met:"));
        let sentences = Document::read(GPL).sentences();
        let item = sentences.iter().find(|sentence| sentence.clause == "5(a)").unwrap();
        assert!(sentences[item.lead.unwrap()].text.contains("provided that you also"), "{item:?}");
    }
}
