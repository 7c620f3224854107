//! Strict YAML to a tree in which everything knows its place: one document, text keys, each once, no anchors, aliases,
//! tags or merge keys. What the keys mean is `grammar`'s business.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map as JsonMap, Number, Value};

use crate::diagnostic::Report;
use crate::source::{Source, Span};

/// Deepest nesting of lists and mappings; deeper is not valid. Eight blocks inside one another need about 45. The graph
/// takes at most two levels of JSON for one of these, and JSON readers end at 128.
const DEPTH_MAX: usize = 60;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Yaml,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Yaml {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// A scalar as written and as understood.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: ScalarStyle,
    pub(crate) typed: Typed,
}

/// A scalar under the core schema of YAML 1.2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Typed {
    Null,
    Bool(bool),
    Number(Number),
    /// A number that JSON cannot hold.
    NotJson,
    Text,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Yaml::Scalar(scalar) if scalar.typed == Typed::Text => Some(&scalar.text),
            _ => None,
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Yaml::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Yaml::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Yaml::Map(_))
    }

    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Yaml::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The integer, if it is one that is not negative.
    pub(crate) fn integer(&self) -> Option<u64> {
        match &self.scalar()?.typed {
            Typed::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match &self.scalar()?.typed {
            Typed::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// What it is, for people.
    pub(crate) fn found(&self) -> String {
        match &self.value {
            Yaml::List(_) => "a list".to_owned(),
            Yaml::Map(_) => "a mapping".to_owned(),
            Yaml::Scalar(scalar) => match &scalar.typed {
                Typed::Null => "nothing (null)".to_owned(),
                Typed::Bool(value) => format!("the boolean `{value}`"),
                Typed::Number(number) => format!("the number `{number}`"),
                Typed::NotJson => format!("`{}`, which JSON has no number for", quote(&scalar.text)),
                Typed::Text => format!("the text `{}`", quote(&scalar.text)),
            },
        }
    }

    /// The plain JSON of it.
    pub(crate) fn json(&self) -> Value {
        match &self.value {
            Yaml::List(items) => Value::Array(items.iter().map(Node::json).collect()),
            Yaml::Map(entries) => {
                let members: JsonMap<String, Value> =
                    entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect();
                Value::Object(members)
            }
            Yaml::Scalar(scalar) => match &scalar.typed {
                Typed::Null | Typed::NotJson => Value::Null,
                Typed::Bool(value) => Value::Bool(*value),
                Typed::Number(number) => Value::Number(number.clone()),
                Typed::Text => Value::String(scalar.text.clone()),
            },
        }
    }

    /// The innermost value at a JSON pointer that exists.
    pub(crate) fn at_pointer(&self, pointer: &str) -> &Node {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Yaml::Map(_) => node.get(&step),
                Yaml::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
                Yaml::Scalar(_) => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node
    }

    /// The place of `offset..end`, byte offsets in the text of this scalar; all of the scalar where YAML folded or
    /// escaped it.
    pub(crate) fn place(&self, source: &Source<'_>, offset: usize, end: usize) -> Span {
        let Some(scalar) = self.scalar() else { return self.span };
        match self.offset_in_file(scalar, source, offset) {
            Some(start) => Span::new(start, start + end.saturating_sub(offset)),
            None => self.span,
        }
    }

    fn offset_in_file(&self, scalar: &Scalar, source: &Source<'_>, offset: usize) -> Option<usize> {
        let raw = source.slice(self.span);
        match scalar.style {
            ScalarStyle::Plain => (raw == scalar.text).then_some(self.span.start + offset),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let inner = raw.get(1..raw.len().checked_sub(1)?)?;
                (inner == scalar.text).then_some(self.span.start + 1 + offset)
            }
            ScalarStyle::Literal => literal_offset(raw, &scalar.text, offset).map(|at| self.span.start + at),
            ScalarStyle::Folded => None,
        }
    }
}

/// Where byte `offset` of a literal block's text stands in its raw form, which starts at the `|`.
fn literal_offset(raw: &str, text: &str, offset: usize) -> Option<usize> {
    let before = text.get(..offset)?;
    let index = before.matches('\n').count();
    let in_line = offset - before.rfind('\n').map_or(0, |at| at + 1);
    let wanted = text.split('\n').nth(index)?;
    let mut start = raw.find('\n')? + 1;
    for _ in 0..index {
        start += raw.get(start..)?.find('\n')? + 1;
    }
    let line = raw.get(start..)?.split('\n').next()?.trim_end_matches('\r');
    line.ends_with(wanted).then(|| start + line.len() - wanted.len() + in_line)
}

/// The offset of the `|` or `>` that opens the block scalar whose content starts at `content`.
fn block_header(text: &str, content: usize) -> usize {
    if text[content..].starts_with(['|', '>']) {
        return content;
    }
    let before = text[..content].trim_end();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let header = before[line..].split(" #").next().unwrap_or_default();
    header.rfind(['|', '>']).map_or(content, |at| line + at)
}

/// A text for a message: one line, not too long.
pub(crate) fn quote(text: &str) -> String {
    let line: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 60 { format!("{line}...") } else { line }
}

/// Reads the one document of a file. `None` when the text has no tree; problems are reported, `BW102` to `BW104`.
pub(crate) fn parse(report: &mut Report<'_>) -> Option<Node> {
    let source = report.source;
    let mut options = granit_parser::Options::default();
    options.emit_anchor_events = true;
    options.emit_unresolved_aliases = true;
    options.simple_key_max_lookahead = 4096;
    options.bom_inside_document_as_content = false;
    let mut builder = Builder { report, open: Vec::new(), root: None, documents: 0, too_deep: false };
    for step in Parser::new_from_str_with_options(source.text, options) {
        match step {
            Ok((event, span)) => {
                let tag = span.tag_span().and_then(|tag| tag.byte_range());
                let tag =
                    tag.or_else(|| span.tag_start().and_then(|mark| mark.byte_offset()).map(|at| at..at + 1));
                let range = span.byte_range().unwrap_or(0..0);
                builder.event(
                    event,
                    Span::new(range.start, range.end),
                    tag.map(|tag| Span::new(tag.start, tag.end)),
                );
                if builder.too_deep || builder.documents > 1 {
                    break;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(source.text.len());
                let at = at.min(source.text.len());
                let message = format!("not valid YAML: {}", error.kind());
                let help = "quote strings that hold `: # { [ !` or start with `* & % @`; indent with spaces, not tabs";
                builder.report.add("BW102", Span::new(at, at + 1), message, help);
                return None;
            }
        }
    }
    let root = builder.root.take();
    if root.is_none() && !report.has_errors() {
        report.add("BW102", Span::new(0, 1), "the file is empty", "a workflow starts with `format: 1`");
    }
    root
}

/// A list or mapping whose end has not come.
struct Open {
    span: Span,
    list: Option<Vec<Node>>,
    entries: Vec<Entry>,
    /// Where each key stands first.
    keys: BTreeMap<String, Span>,
    key: Option<(String, Span)>,
}

struct Builder<'r, 's> {
    report: &'r mut Report<'s>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    too_deep: bool,
}

impl Builder<'_, '_> {
    fn event(&mut self, event: Event<'_>, span: Span, tag: Option<Span>) {
        if let Some(tag) = tag {
            let written = self.report.source.slice(tag).to_owned();
            let help = format!(
                "leave it out; an expression that starts with `!` is quoted and written `not x`, a text is quoted: `\"{written} ...\"`"
            );
            self.report.add("BW104", tag, format!("the tag `{written}` is not allowed"), help);
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document in the file";
                    self.report.add("BW104", span, message, "one workflow a file: move it to its own file");
                }
            }
            Event::Anchor(_, name) => {
                let message = format!("the anchor `&{name}` is not allowed");
                self.report.add(
                    "BW104",
                    span,
                    message,
                    "write the value out where it is used, or use `constants`",
                );
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let written = self.report.source.slice(span).to_owned();
                let message = format!("the alias `{written}` is not allowed");
                self.report.add(
                    "BW104",
                    span,
                    message,
                    "write the value out; a text that starts with `*` is quoted",
                );
                self.scalar(String::new(), ScalarStyle::Plain, span);
            }
            Event::Scalar(text, style, _, _) => self.scalar(text.into_owned(), style, span),
            Event::SequenceStart(..) => self.begin(span, true),
            Event::MappingStart(..) => self.begin(span, false),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            _ => {}
        }
    }

    fn begin(&mut self, span: Span, list: bool) {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("nested more than {DEPTH_MAX} deep");
            self.report.add("BW102", span, message, "flatten the value, or pass it in as input");
            self.too_deep = true;
        }
        if self.at_key() {
            let what = if list { "a list" } else { "a mapping" };
            let message = format!("{what} as a key; keys are texts");
            self.report.add("BW104", span, message, "write the key as a text, in quotes if need be");
        }
        self.open.push(Open {
            span,
            list: list.then(Vec::new),
            entries: Vec::new(),
            keys: BTreeMap::new(),
            key: None,
        });
    }

    fn end(&mut self, span: Span) {
        let Some(open) = self.open.pop() else { return };
        let end = open.list.iter().flatten().map(|node| node.span.end);
        let end = end.chain(open.entries.iter().map(|entry| entry.value.span.end)).max().unwrap_or(0);
        // The end of a block collection is where the parser noticed it, which may be lines further.
        let flow = matches!(self.report.source.slice(span), "]" | "}");
        let end = if flow { span.end } else { end.max(open.span.start) };
        let value = match open.list {
            Some(items) => Yaml::List(items),
            None => Yaml::Map(open.entries),
        };
        self.place(Node { span: Span::new(open.span.start, end), value });
    }

    fn at_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.list.is_none() && open.key.is_none())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, mut span: Span) {
        let plain = matches!(style, ScalarStyle::Plain);
        if !plain || !text.is_empty() {
            // Block scalars end where the next token starts.
            if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                span.start = block_header(self.report.source.text, span.start);
            }
            let raw = self.report.source.slice(span);
            span.end = span.start + raw.trim_end().len().max(1).min(raw.len());
        } else if let Some((_, key)) = self.open.last().and_then(|open| open.key.as_ref()) {
            span = *key;
        }
        let typed = if plain { typed(&text) } else { Typed::Text };
        if typed == Typed::NotJson && !self.at_key() {
            let message = format!("`{text}` is not a number that JSON has");
            self.report.add("BW106", span, message, "quote it to make it a text");
        }
        self.place(Node { span, value: Yaml::Scalar(Scalar { text, style, typed }) });
    }

    fn place(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        if let Some(items) = &mut open.list {
            items.push(node);
            return;
        }
        let Some((key, key_span)) = open.key.take() else {
            let key = self.key(&node);
            if let Some(open) = self.open.last_mut() {
                open.key = Some((key, node.span));
            }
            return;
        };
        match open.keys.get(&key).copied() {
            // A key that was refused stands as the empty text.
            Some(first) if !key.is_empty() => {
                let (line, column) = self.report.source.position(first.start);
                let message = format!("the key `{}` is here twice", quote(&key));
                let help = format!("the first one is at {line}:{column}; keep one of them");
                self.report.add("BW103", key_span, message, help);
            }
            _ => {
                open.keys.insert(key.clone(), key_span);
                open.entries.push(Entry { key, key_span, value: node });
            }
        }
    }

    fn key(&mut self, node: &Node) -> String {
        let Yaml::Scalar(scalar) = &node.value else { return String::new() };
        let plain = matches!(scalar.style, ScalarStyle::Plain);
        if plain && scalar.text == "<<" {
            let help = "write the keys out, or use `defaults`";
            self.report.add("BW104", node.span, "merge keys (`<<`) are not allowed", help);
            return String::new();
        }
        if scalar.typed != Typed::Text {
            let message = format!("the key `{}` is not a text", quote(&scalar.text));
            let help = format!(
                "quote it: `\"{}\"`; if it was part of an expression, quote the whole expression",
                quote(&scalar.text)
            );
            self.report.add("BW104", node.span, message, help);
            return String::new();
        }
        scalar.text.clone()
    }
}

/// What a plain scalar is under the core schema: `yes`, `on` and dates are texts.
fn typed(text: &str) -> Typed {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Typed::NotJson,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Typed::NotJson;
    }
    let radix = |digits: &str, radix| match u64::from_str_radix(digits, radix) {
        Ok(value) => Typed::Number(value.into()),
        Err(_) => Typed::NotJson,
    };
    if let Some(digits) =
        text.strip_prefix("0x").filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return radix(digits, 16);
    }
    if let Some(digits) =
        text.strip_prefix("0o").filter(|d| !d.is_empty() && d.bytes().all(|b| (b'0'..b'8').contains(&b)))
    {
        return radix(digits, 8);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        if let Ok(value) = plain.parse::<u64>() {
            return Typed::Number(value.into());
        }
        if let Ok(value) = plain.parse::<i64>() {
            return Typed::Number(value.into());
        }
        // As a double it would be another number.
        return Typed::NotJson;
    }
    if is_float(unsigned) { float(text) } else { Typed::Text }
}

fn float(text: &str) -> Typed {
    match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Typed::Number(number),
        None => Typed::NotJson,
    }
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let exponent_holds = exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    let mantissa_holds = match mantissa.split_once('.') {
        Some(("", after)) => !after.is_empty() && digits(after),
        Some((before, after)) => digits(before) && digits(after),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_holds && mantissa_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnose(text: &str) -> Vec<String> {
        let source = Source::new(text);
        let mut report = Report::new(&source, "t.yaml");
        parse(&mut report);
        report.finish().iter().map(|d| format!("{} {}:{}", d.code, d.line, d.column)).collect()
    }

    fn tree(text: &str) -> Value {
        let source = Source::new(text);
        let mut report = Report::new(&source, "t.yaml");
        let node = parse(&mut report).expect("a tree");
        assert!(!report.has_errors());
        node.json()
    }

    #[test]
    fn scalars_have_the_types_of_the_core_schema() {
        assert_eq!(
            tree(
                "[yes, on, 2026-01-01, true, ~, 12, -3, 0x1F, 0o17, 1.5, 1e3, '7', 012, +5, .5, 5., 1_000, x.y]"
            ),
            serde_json::json!([
                "yes",
                "on",
                "2026-01-01",
                true,
                null,
                12,
                -3,
                31,
                15,
                1.5,
                1e3,
                "7",
                12,
                5,
                0.5,
                5.0,
                "1_000",
                "x.y"
            ])
        );
    }

    #[test]
    fn what_strict_yaml_leaves_out_is_told_with_its_place() {
        assert_eq!(diagnose("a: 1\na: 2\n"), ["BW103 2:1"]);
        assert_eq!(diagnose("a: &x 1\nb: *x\n"), ["BW104 1:4", "BW104 2:4"]);
        assert_eq!(diagnose("a: !x 1\n"), ["BW104 1:4"]);
        assert_eq!(diagnose("<<: {b: 1}\n"), ["BW104 1:1"]);
        assert_eq!(diagnose("1: a\n? [x]\n: b\n"), ["BW104 1:1", "BW104 2:3"]);
        assert_eq!(diagnose("a: 1\n---\nb: 2\n"), ["BW104 2:1"]);
        assert_eq!(diagnose("a: {b: 1\nc: 2\n").len(), 1);
        assert_eq!(diagnose(""), ["BW102 1:1"]);
        assert_eq!(diagnose("a: .nan\n"), ["BW106 1:4"]);
        assert_eq!(diagnose(&format!("{}{}", "[".repeat(200), "]".repeat(200))), ["BW102 1:61"]);
        assert_eq!(diagnose(&"a: {".repeat(300)).len(), 1);
    }

    #[test]
    fn offsets_in_scalars_lead_back_into_the_file() {
        let text = "a: xyz\nb: \"xyz\"\nc: |\n    one\n\n    xyz\nd: >-\n  xyz\ne: \"\\x78yz\"\n\u{e4}: [\"\u{e4}xyz\"]\n";
        let source = Source::new(text);
        let mut report = Report::new(&source, "t.yaml");
        let root = parse(&mut report).expect("a tree");
        let place = |node: &Node| {
            let at = node.text().and_then(|text| text.find('y')).expect("a y");
            source.position(node.place(&source, at, at + 1).start)
        };
        let of = |key: &str| place(root.get(key).expect("the key"));
        assert_eq!(of("a"), (1, 5));
        assert_eq!(of("b"), (2, 6));
        assert_eq!(of("c"), (6, 6));
        assert_eq!(of("d"), (7, 4));
        assert_eq!(of("e"), (9, 4));
        assert_eq!(place(&root.get("\u{e4}").expect("the key").items()[0]), (10, 8));
    }
}
