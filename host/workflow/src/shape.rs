//! Holds the tree against the grammar's table: unknown and missing keys, types, ranges, words, identifiers, features of
//! later phases. Every problem is told; nothing stops at the first.

use bandstand_signature::FunctionName;
use std::collections::BTreeSet;

use crate::diagnostic::Report;
use crate::feature::{Feature, Features};
use crate::grammar::{FILE, Key, Shape, Table, Word};
use crate::quantity::{
    INTEGER_MAX, RESERVED, RESERVED_ITEM, as_name, duration_ms, is_id, is_name, listed, nearest, percent,
    size_bytes,
};
use crate::source::Span;
use crate::yaml::{Entry, Node, Typed, Yaml, quote};

/// What later passes want to know of this one.
#[derive(Default)]
pub(crate) struct Shaped {
    /// Expressions that YAML cut: they are not looked at again.
    pub(crate) cut: BTreeSet<Span>,
}

/// Tells everything in which the file differs from the grammar.
pub(crate) fn check(report: &mut Report<'_>, features: &Features, root: &Node) -> Shaped {
    let mut walk = Walk { report, features, shaped: Shaped::default() };
    let first = root.entries().first().map_or(root.span, |entry| entry.key_span);
    walk.object(root, &FILE, first);
    walk.shaped
}

struct Walk<'r, 's> {
    report: &'r mut Report<'s>,
    features: &'r Features,
    shaped: Shaped,
}

impl Walk<'_, '_> {
    /// `owner` is the key that the value stands under, or the value itself in a list.
    fn value(&mut self, node: &Node, shape: &'static Shape, owner: Span) {
        match shape {
            Shape::Any | Shape::Template => {}
            Shape::Text | Shape::Reference | Shape::File => {
                self.text(node, "a text");
            }
            Shape::Name => self.name(node, "BW110", "a name"),
            Shape::Code => self.name(node, "BW110", "a code"),
            Shape::Id => self.id_value(node, false),
            Shape::ItemId => self.id_value(node, true),
            Shape::Integer { min, max } => self.integer(node, *min, *max),
            Shape::Number { min, max } => self.number(node, *min, *max),
            Shape::True => match node.scalar().map(|scalar| &scalar.typed) {
                Some(Typed::Bool(true)) => {}
                Some(Typed::Bool(false)) => {
                    self.report.add(
                        "BW107",
                        node.span,
                        "only `true` is possible",
                        "leave the key out instead of `false`",
                    );
                }
                _ => self.wrong_type(node, "`true`"),
            },
            Shape::Bool => {
                if !matches!(node.scalar().map(|scalar| &scalar.typed), Some(Typed::Bool(_))) {
                    self.wrong_type(node, "`true` or `false`");
                }
            }
            Shape::Duration => self.quantity(
                node,
                "a duration",
                |text| duration_ms(text).is_some(),
                "an integer and `ms`, `s`, `m`, `h` or `d`, above 0 and at most `365d`: `90s`",
            ),
            Shape::Size { max_bytes } => self.size(node, *max_bytes),
            Shape::CountOrPercent => match node.scalar().map(|scalar| &scalar.typed) {
                Some(Typed::Number(_)) => self.integer(node, 0, INTEGER_MAX),
                Some(Typed::Text) => self.quantity(
                    node,
                    "a percentage",
                    |text| percent(text).is_some(),
                    "a count, or an integer from `0%` to `100%`: `20%`",
                ),
                _ => self.wrong_type(node, "a count or a percentage such as `20%`"),
            },
            Shape::Words(words) => self.word(node, words),
            Shape::Expression => self.expression(node),
            Shape::ObjectTemplate => {
                if !node.text().is_some_and(|text| text.contains("${{")) {
                    self.wrong_type(
                        node,
                        "a mapping from channels to values, or one expression such as `\"${{ output }}\"`",
                    );
                }
            }
            Shape::Schema => self.schema(node),
            Shape::Digest => self.digest(node),
            Shape::Origin => self.origin(node),
            Shape::Function => self.function(node),
            Shape::Format => {
                if node.integer() != Some(1) {
                    let message = format!("this host reads format 1; found {}", node.found());
                    self.report.add("BW108", node.span, message, "write `format: 1`");
                }
            }
            Shape::Object(table) => {
                if self.mapping(node, table.what) {
                    self.object(node, table, owner);
                }
            }
            Shape::Named { value, count_max, at_least_one } => {
                self.named(node, value, *count_max, *at_least_one, owner)
            }
            Shape::Options(value) => self.options(node, value, owner),
            Shape::List { item, count_max, at_least_one } => {
                self.list(node, item, *count_max, *at_least_one, owner)
            }
            Shape::Either { scalar, list, mapping, wanted } => {
                let shape = match &node.value {
                    // Nothing at all is no value, but a written `null` is one where any value may stand.
                    Yaml::Scalar(found) if found.typed == Typed::Null => {
                        scalar.filter(|shape| matches!(shape, Shape::Any) && !found.text.is_empty())
                    }
                    Yaml::Scalar(_) => *scalar,
                    Yaml::List(_) => *list,
                    Yaml::Map(_) => *mapping,
                };
                match shape {
                    Some(shape) => self.value(node, shape, owner),
                    None => self.wrong_type(node, wanted),
                }
            }
        }
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let message = format!("found {}, wanted {wanted}", node.found());
        let help = match node.scalar() {
            Some(scalar) if wanted == "a text" && scalar.typed != Typed::Null => {
                format!("quote it: `\"{}\"`", quote(&scalar.text))
            }
            _ => format!("write {wanted}"),
        };
        self.report.add("BW106", node.span, message, help);
    }

    fn text<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.wrong_type(node, wanted);
        }
        text
    }

    fn mapping(&mut self, node: &Node, what: &str) -> bool {
        if !node.is_map() {
            let message = format!("found {}, wanted the keys of {what}", node.found());
            self.report.add(
                "BW106",
                node.span,
                message,
                "write a mapping: `key: value` on lines of their own, or `{ key: value }`",
            );
        }
        node.is_map()
    }

    fn name(&mut self, node: &Node, code: &'static str, what: &str) {
        let Some(text) = self.text(node, "a text") else { return };
        if !is_name(text) {
            let message = format!(
                "`{}` is not {what}: a lower-case letter, then up to 62 lower-case letters, digits or `-`",
                quote(text)
            );
            self.report.add(code, node.span, message, format!("for example `{}`", as_name(text, '-')));
        }
    }

    fn id_value(&mut self, node: &Node, item: bool) {
        if let Some(text) = self.text(node, "an identifier") {
            self.id(text, node.span, item);
        }
    }

    fn id(&mut self, text: &str, span: Span, item: bool) {
        if !is_id(text) {
            let message = format!(
                "`{}` is not an identifier: a lower-case letter, then up to 62 lower-case letters, digits or `_`",
                quote(text)
            );
            self.report.add("BW110", span, message, format!("for example `{}`", as_name(text, '_')));
        } else if RESERVED.contains(&text) || (item && RESERVED_ITEM.contains(&text)) {
            let message = format!("`{text}` is reserved");
            self.report.add(
                "BW111",
                span,
                message,
                format!("take another name, for example `{text}_1` or `my_{text}`"),
            );
        }
    }

    fn integer(&mut self, node: &Node, min: u64, max: u64) {
        let Some(Typed::Number(number)) = node.scalar().map(|scalar| &scalar.typed) else {
            return self.wrong_type(node, "an integer");
        };
        match number.as_u64() {
            Some(value) if (min..=max).contains(&value) => {}
            None if number.is_f64() => self.wrong_type(node, "an integer"),
            _ => {
                let message = format!("{number} is out of range");
                self.report.add("BW107", node.span, message, format!("an integer from {min} to {max}"));
            }
        }
    }

    fn number(&mut self, node: &Node, min: f64, max: f64) {
        match node.number() {
            Some(value) if (min..=max).contains(&value) => {}
            Some(value) => {
                let message = format!("{value} is out of range");
                self.report.add("BW107", node.span, message, format!("a number from {min} to {max}"));
            }
            None => self.wrong_type(node, "a number"),
        }
    }

    fn quantity(&mut self, node: &Node, what: &str, holds: fn(&str) -> bool, help: &str) {
        match node.scalar() {
            Some(scalar) if matches!(scalar.typed, Typed::Text | Typed::Number(_)) => {
                if scalar.typed != Typed::Text || !holds(&scalar.text) {
                    let message = format!("`{}` is not {what}", quote(&scalar.text));
                    self.report.add("BW112", node.span, message, help);
                }
            }
            _ => self.wrong_type(node, what),
        }
    }

    fn size(&mut self, node: &Node, max_bytes: u64) {
        self.quantity(
            node,
            "a size",
            |text| size_bytes(text).is_some(),
            "an integer and `KiB` or `MiB`: `1MiB`",
        );
        if node.text().and_then(size_bytes).is_some_and(|bytes| bytes > max_bytes) {
            let message = format!("`{}` is out of range", node.text().unwrap_or_default());
            self.report.add("BW107", node.span, message, format!("at most `{}MiB`", max_bytes >> 20));
        }
    }

    fn word(&mut self, node: &Node, words: &'static [Word]) {
        let Some(scalar) = node.scalar().filter(|scalar| scalar.typed != Typed::Null) else {
            let names: Vec<&str> = words.iter().map(|word| word.word).collect();
            return self.wrong_type(node, &format!("one of {}", listed(&names)));
        };
        match words.iter().find(|word| word.word == scalar.text) {
            Some(word) => self.feature(word.feature, node.span),
            None => {
                let names: Vec<&str> = words.iter().map(|word| word.word).collect();
                let message = format!("`{}` is not possible here", quote(&scalar.text));
                let near = nearest(&scalar.text, names.iter().copied());
                let mut help = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
                help.push_str(&format!("possible: {}", listed(&names)));
                self.report.add("BW107", node.span, message, help);
            }
        }
    }

    fn feature(&mut self, feature: Option<Feature>, span: Span) {
        let Some(feature) = feature.filter(|feature| !self.features.contains(feature)) else { return };
        let phase = match feature.phase() {
            "later" => "a later phase".to_owned(),
            phase => format!("phase {phase}"),
        };
        let message = format!("`{}` is not in this build; it is due in {phase}", feature.name());
        self.report.add(
            "BW109",
            span,
            message,
            "`check` accepts it, `run` refuses the file until the build has it",
        );
    }

    fn expression(&mut self, node: &Node) {
        match &node.value {
            Yaml::Scalar(scalar) if scalar.typed == Typed::Null => self.wrong_type(node, "an expression"),
            Yaml::Scalar(_) => {}
            Yaml::List(_) | Yaml::Map(_) => {
                let message = format!("found {} where an expression is wanted", node.found());
                self.report.add(
                    "BW113",
                    node.span,
                    message,
                    "YAML reads `[ ] { } ,` and `: ` itself: quote the whole expression",
                );
                self.shaped.cut.insert(node.span);
            }
        }
    }

    fn schema(&mut self, node: &Node) {
        match &node.value {
            Yaml::Map(_) => {
                if let Some(path) = schema_path(node).filter(|path| path.text().is_none()) {
                    self.wrong_type(path, "a text");
                }
            }
            Yaml::Scalar(scalar) if matches!(scalar.typed, Typed::Bool(_)) => {}
            _ => self.wrong_type(node, "a JSON Schema or `{ path: FILE }`"),
        }
    }

    fn digest(&mut self, node: &Node) {
        let Some(text) = self.text(node, "a text") else { return };
        let digits = text.strip_prefix("sha256:");
        if !digits.is_some_and(|d| {
            d.len() == 64 && d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        }) {
            let message = format!("`{}` is not a digest", quote(text));
            self.report.add(
                "BW107",
                node.span,
                message,
                "`sha256:` and 64 hexadecimal digits in lower case, as `bandstand plugin inspect` shows them",
            );
        }
    }

    fn function(&mut self, node: &Node) {
        let Some(text) = self.text(node, "a function such as `ns:pkg/iface#name`") else { return };
        if let Err(reason) = FunctionName::parse(text) {
            let message = format!("`{}` names no function: {reason}", quote(text));
            let help = "`ns:pkg/iface#name`, or `name` for one without interface, as `bandstand plugin inspect` shows them";
            self.report.add("BW107", node.span, message, help);
        }
    }

    fn origin(&mut self, node: &Node) {
        let Some(text) = self.text(node, "an origin such as `https://api.example.com`") else { return };
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '*');
        if !rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(allowed)) {
            let message = format!("`{}` is not an origin", quote(text));
            self.report.add(
                "BW107",
                node.span,
                message,
                "scheme, host and port without a path: `https://api.example.com`",
            );
        }
    }

    fn named(
        &mut self,
        node: &Node,
        shape: &'static Shape,
        count_max: usize,
        at_least_one: bool,
        owner: Span,
    ) {
        if !self.mapping(node, "a mapping from identifiers") {
            return;
        }
        if at_least_one && node.entries().is_empty() {
            self.report.add("BW105", owner, "at least one entry is needed here", "add one");
        }
        for (index, entry) in node.entries().iter().enumerate() {
            if index == count_max {
                let message = format!("more than {count_max} entries");
                self.report.add("BW114", entry.key_span, message, "split the file");
            }
            // Keys of `update` and `set` refer to channels; a key that is none is told as an unknown channel.
            if !matches!(shape, Shape::Template) {
                self.id(&entry.key, entry.key_span, false);
            }
            self.value(&entry.value, shape, entry.key_span);
        }
    }

    fn options(&mut self, node: &Node, shape: &'static Shape, owner: Span) {
        if !self.mapping(node, "the options of a route") {
            return;
        }
        if node.entries().is_empty() {
            self.report.add(
                "BW105",
                owner,
                "a route needs at least one option",
                "for example `{ yes: end, no: end }`",
            );
        }
        for entry in node.entries() {
            self.value(&entry.value, shape, entry.key_span);
        }
    }

    fn list(&mut self, node: &Node, item: &'static Shape, count_max: usize, at_least_one: bool, owner: Span) {
        let Yaml::List(items) = &node.value else {
            return self.wrong_type(node, "a list");
        };
        if at_least_one && items.is_empty() {
            self.report.add(
                "BW105",
                owner,
                "the list is empty",
                "end it with an entry without `when`: `- to: end`",
            );
        }
        for (index, value) in items.iter().enumerate() {
            if index == count_max {
                self.report.add(
                    "BW114",
                    value.span,
                    format!("more than {count_max} entries"),
                    "make the list shorter",
                );
            }
            self.value(value, item, value.span);
        }
    }

    fn object(&mut self, node: &Node, table: &'static Table, owner: Span) {
        let entries = node.entries();
        let cut = self.cut_expressions(entries, table);
        for entry in entries {
            match table.key(&entry.key) {
                Some(key) => {
                    self.feature(key.feature, entry.key_span);
                    if !(matches!(key.shape, Shape::Expression)
                        && self.shaped.cut.contains(&entry.value.span))
                    {
                        self.value(&entry.value, key.shape, entry.key_span);
                    }
                    if key.name == "builtin" {
                        self.feature(entry.value.text().and_then(Feature::of_builtin), entry.value.span);
                    }
                }
                // The empty key stands for one that was refused before.
                None if cut || entry.key.is_empty() => {}
                None => self.unknown_key(entry, entries, table),
            }
        }
        self.missing(node, table, owner);
        for group in table.exclusive {
            let mut found = entries.iter().filter(|entry| group.contains(&entry.key.as_str()));
            if let (Some(first), Some(second)) = (found.next(), found.next()) {
                let message = format!("`{}` cannot stand beside `{}`", second.key, first.key);
                self.report.add("BW115", second.key_span, message, "keep one of them");
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, entries: &[Entry], table: &'static Table) {
        let known: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        let free = known.iter().copied().filter(|known| !entries.iter().any(|entry| entry.key == *known));
        let help = match nearest(&entry.key, free) {
            Some(near) => format!("did you mean `{near}`?"),
            None if table.what == "a constant" => {
                "put an object under `value`: `{ value: { .. } }`".to_owned()
            }
            None => format!("the keys of {} are {}", table.what, listed(&known)),
        };
        let message = format!("`{}` is not a key of {}", quote(&entry.key), table.what);
        self.report.add("BW101", entry.key_span, message, help);
    }

    fn missing(&mut self, node: &Node, table: &'static Table, owner: Span) {
        let missing = |key: &&Key| key.required && node.entry(key.name).is_none();
        for key in table.keys.iter().filter(missing) {
            let message = format!("`{}` is missing in {}", key.name, table.what);
            let code = if key.name == "format" { "BW108" } else { "BW105" };
            self.report.add(code, owner, message, format!("add it: `{}`", key.example));
        }
        for group in table.one_of {
            if !group.iter().any(|name| node.entry(name).is_some()) {
                let message = format!("{} needs one of {}", table.what, listed(group));
                self.report.add("BW105", owner, message, format!("add `{}`", group[0]));
            }
        }
    }

    /// Finds expressions that end inside brackets while the mapping has keys that are none: YAML ended them at a comma.
    fn cut_expressions(&mut self, entries: &[Entry], table: &'static Table) -> bool {
        if !entries.iter().any(|entry| table.key(&entry.key).is_none()) {
            return false;
        }
        let is_expression =
            |entry: &&Entry| table.key(&entry.key).is_some_and(|key| matches!(key.shape, Shape::Expression));
        let Some(cut) = entries.iter().filter(is_expression).find(|entry| ends_inside_brackets(&entry.value))
        else {
            return false;
        };
        let text = cut.value.scalar().map(|scalar| quote(&scalar.text)).unwrap_or_default();
        let message = format!("YAML ended the expression at a comma: `{text}`");
        let help = format!("quote the whole expression: `{}: \"...\"`", cut.key);
        self.report.add("BW113", cut.value.span, message, help);
        self.shaped.cut.insert(cut.value.span);
        true
    }
}

/// The `path` of a schema that is only a path.
pub(crate) fn schema_path(node: &Node) -> Option<&Node> {
    match node.entries() {
        [entry] if entry.key == "path" => Some(&entry.value),
        _ => None,
    }
}

fn ends_inside_brackets(node: &Node) -> bool {
    let Some(scalar) = node.scalar() else { return false };
    let mut depth = 0_i64;
    let mut quote = None;
    for c in scalar.text.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, _) => {}
        }
    }
    depth > 0 || quote.is_some()
}
