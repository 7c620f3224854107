//! Everything about expressions: their own mistakes, and whether the names they read are there (`BW301` to `BW322`).

use std::collections::{BTreeMap, BTreeSet};

use bandstand_engine::expression::{
    Analysis, FindingKind, RawPart, Reference, RenderUse, analyse, split_text,
};

use crate::diagnostic::Report;
use crate::outline::Outline;
use crate::places::{Form, NAMES, Place, branches_at, names_at, visit};
use crate::quantity::{listed, suggest};
use crate::shape::Shaped;
use crate::source::Span;
use crate::unset::Ways;
use crate::yaml::{Node, Typed, Yaml};

/// What other passes want to know of the expressions.
#[derive(Default)]
pub(crate) struct Uses {
    /// Every name read, with its place.
    pub(crate) references: Vec<(Place, Reference)>,
    /// Templates rendered, with what they are given and where.
    pub(crate) renders: Vec<(RenderUse, Span)>,
    /// An expression could not be read, so names may be missing here.
    pub(crate) incomplete: bool,
}

/// What the expressions are held against.
pub(crate) struct Declared<'t> {
    pub(crate) channels: Vec<&'t str>,
    /// Constants that are values.
    pub(crate) constants: Vec<&'t str>,
    /// Constants that are templates.
    pub(crate) templates: Vec<&'t str>,
    /// The properties of the input schema, if it lists them.
    pub(crate) input: Option<Vec<String>>,
}

/// Tells everything that is wrong with expressions and what they read.
pub(crate) fn check(
    report: &mut Report<'_>,
    outline: &Outline<'_>,
    shaped: &Shaped,
    declared: &Declared<'_>,
) -> Uses {
    let mut values = Vec::new();
    visit(outline, |value, form, place| values.push((value, form, place)));
    let mut check = Check {
        report,
        outline,
        declared,
        ways: Ways::new(outline),
        uses: Uses::default(),
        names: BTreeMap::new(),
    };
    for (value, form, place) in values {
        match form {
            Form::Expression if shaped.cut.contains(&value.span) => check.uses.incomplete = true,
            Form::Expression => check.bare(value, place),
            Form::Template => check.template(value, place),
        }
    }
    check.uses
}

struct Check<'r, 's, 'o, 't> {
    report: &'r mut Report<'s>,
    outline: &'o Outline<'t>,
    declared: &'o Declared<'t>,
    ways: Ways<'o, 't>,
    uses: Uses,
    /// The names of places, made once.
    names: BTreeMap<(usize, u8), BTreeSet<String>>,
}

impl Check<'_, '_, '_, '_> {
    fn template(&mut self, node: &Node, place: Place) {
        match &node.value {
            Yaml::List(items) => items.iter().for_each(|item| self.template(item, place)),
            Yaml::Map(entries) => entries.iter().for_each(|entry| self.template(&entry.value, place)),
            Yaml::Scalar(scalar) if scalar.typed == Typed::Text => match split_text(&scalar.text) {
                Ok(parts) => {
                    for part in parts {
                        if let RawPart::Expression { source, offset, .. } = part {
                            self.expression(node, source, offset, place);
                        }
                    }
                }
                Err(unclosed) => {
                    self.uses.incomplete = true;
                    let at = node.place(self.report.source, unclosed.offset, unclosed.offset + 3);
                    let help = "close it with `}}`; a literal `${{` is written `$${{`";
                    self.report.add("BW309", at, "`${{` without `}}`", help);
                }
            },
            Yaml::Scalar(_) => {}
        }
    }

    fn bare(&mut self, node: &Node, place: Place) {
        let Some(scalar) = node.scalar().filter(|scalar| scalar.typed != Typed::Null) else { return };
        let blanks = scalar.text.len() - scalar.text.trim_start().len();
        self.expression(node, scalar.text.trim(), blanks, place);
    }

    fn expression(&mut self, node: &Node, source: &str, offset: usize, place: Place) {
        let Analysis { findings, references, renders, .. } = analyse(source);
        let at = |from: usize, length: usize| (offset + from, offset + from + length.max(1));
        for finding in findings {
            self.uses.incomplete |= matches!(finding.kind, FindingKind::Syntax | FindingKind::TooLong);
            let (from, to) = at(finding.offset, finding.length);
            let span = node.place(self.report.source, from, to);
            self.report.add(code_of(finding.kind), span, finding.message, finding.help);
        }
        for render in renders {
            let (from, to) = at(render.offset, render.length);
            let span = node.place(self.report.source, from, to);
            self.render(&render, span);
            self.uses.renders.push((render, span));
        }
        for reference in references {
            let (from, to) = at(reference.offset, reference.length);
            let span = node.place(self.report.source, from, to);
            self.reference(&reference, span, place);
            self.uses.references.push((place, reference));
        }
    }

    fn render(&mut self, render: &RenderUse, span: Span) {
        let Some(name) = render.name.as_deref() else { return };
        if self.declared.templates.contains(&name) {
            return;
        }
        if self.declared.constants.contains(&name) {
            let help = format!("read it as `constants.{name}`, or declare it as `{{ template: FILE }}`");
            self.report.add("BW315", span, format!("`{name}` is a value, not a template"), help);
        } else {
            let help = suggest(name, &self.declared.templates, "the templates");
            self.report.add("BW315", span, format!("there is no template constant `{name}`"), help);
        }
    }

    fn reference(&mut self, reference: &Reference, span: Span, place: Place) {
        let key = (place.scope, place.at as u8);
        let outline = self.outline;
        let names = self.names.entry(key).or_insert_with(|| names_at(outline, place));
        let root = reference.root.as_str();
        if !names.contains(root) {
            let here: Vec<&str> = names.iter().map(String::as_str).collect();
            return unknown_name(self.report, outline, root, span, &here);
        }
        // A name of an item comes before those of the language, but the reserved ones cannot be items.
        let first = reference.path.first().map(String::as_str);
        match (root, first) {
            ("nodes", Some(_)) => self.node(reference, span, place),
            ("state", Some(channel)) if !self.declared.channels.contains(&channel) => {
                let help = suggest(channel, &self.declared.channels, "the channels");
                self.report.add("BW314", span, format!("there is no channel `{channel}`"), help);
            }
            ("constants", Some(name)) => self.constant(name, span),
            ("branches", Some(branch)) => {
                let seen = branches_at(outline, place.scope);
                if !seen.contains(branch) {
                    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
                    let message = format!("`{branch}` is not in `after` of this branch");
                    let help = format!("add it: `after: [.., {branch}]`; here: {}", listed(&seen));
                    self.report.add("BW316", span, message, help);
                } else {
                    self.members(&["branches", branch], reference.path.get(1), &["result"], span);
                }
            }
            ("input", Some(name)) => {
                if let Some(properties) =
                    self.declared.input.as_ref().filter(|known| !known.iter().any(|p| p == name))
                {
                    let known: Vec<&str> = properties.iter().map(String::as_str).collect();
                    let help = suggest(name, &known, "the properties");
                    self.report.add(
                        "BW320",
                        span,
                        format!("`{name}` is not in the `properties` of `input`"),
                        help,
                    );
                }
            }
            ("run", Some(member)) => {
                self.members(&["run"], reference.path.first(), RUN, span);
                if member == "usage" {
                    self.members(&["run", "usage"], reference.path.get(1), USAGE, span);
                }
            }
            ("error", Some(_)) => self.members(&["error"], reference.path.first(), ERROR, span),
            ("review", Some(_)) => self.members(&["review"], reference.path.first(), REVIEW, span),
            _ => {}
        }
    }

    fn constant(&mut self, name: &str, span: Span) {
        if self.declared.templates.contains(&name) {
            let help = format!("write `render('{name}', {{ .. }})`");
            self.report.add("BW315", span, format!("the constant `{name}` is a template, not a value"), help);
        } else if !self.declared.constants.contains(&name) {
            let help = suggest(name, &self.declared.constants, "the constants");
            self.report.add("BW315", span, format!("there is no constant `{name}`"), help);
        }
    }

    fn node(&mut self, reference: &Reference, span: Span, place: Place) {
        let id = reference.path[0].as_str();
        let scopes: Vec<usize> = self.outline.chain(place.scope).collect();
        if !scopes.iter().any(|scope| self.outline.scopes[*scope].find(id).is_some()) {
            let known: Vec<&str> = scopes
                .iter()
                .map(|scope| &self.outline.scopes[*scope])
                .filter(|scope| !scope.sole)
                .flat_map(|scope| scope.nodes.iter().map(|step| step.id))
                .collect();
            let hidden = self.outline.scopes.iter().any(|scope| scope.find(id).is_some());
            let help = if hidden {
                "the nodes inside a block are invisible outside of it: give what you need as the `result` of the branch or map".to_owned()
            } else {
                suggest(id, &known, "the nodes here")
            };
            return self.report.add("BW313", span, format!("there is no node `{id}` in scope"), help);
        }
        self.members(&["nodes", id], reference.path.get(1), NODE, span);
        if reference.path.get(1).is_some_and(|step| step == "routing") {
            self.members(&["nodes", id, "routing"], reference.path.get(2), ROUTING, span);
        }
        let Some(unset) = self.ways.possibly_unset(place, reference) else { return };
        let message = if unset.failed {
            format!("`nodes.{id}.output` is possibly unset: `{id}` may have failed")
        } else {
            format!("`nodes.{id}` is possibly unset: a path leads here without `{id}`")
        };
        let help = format!("the path: {}\ntest it: `.. if {} else ..`", unset.path, unset.test);
        self.report.add("BW312", span, message, help);
    }

    fn members(&mut self, of: &[&str], member: Option<&String>, known: &[&str], span: Span) {
        if let Some(member) = member.filter(|member| !known.contains(&member.as_str())) {
            let message = format!("`{}` has no member `{member}`", of.join("."));
            let help = match of {
                ["nodes", _] if !known.contains(&member.as_str()) => {
                    format!(
                        "{}; what the node gave is under `output`: `{}.output.{member}`",
                        suggest(member, known, "its members"),
                        of.join(".")
                    )
                }
                _ => suggest(member, known, "its members"),
            };
            self.report.add("BW322", span, message, help);
        }
    }
}

const NODE: &[&str] = &["output", "error", "visits", "status", "confidence", "routing"];
const ROUTING: &[&str] = &["decision", "confidence", "threshold", "below", "alternatives"];
const RUN: &[&str] = &["id", "thread_id", "user_id", "workflow", "version", "started_at", "steps", "usage"];
const USAGE: &[&str] = &["tokens_in", "tokens_out", "cost_micros"];
const ERROR: &[&str] = &[
    "class",
    "code",
    "message",
    "node",
    "path",
    "attempt",
    "attempts",
    "recoverable",
    "data",
    "results",
    "errors",
];
const REVIEW: &[&str] = &["decision", "value", "changes", "comments", "confidence", "decided_by", "answers"];

fn unknown_name(report: &mut Report<'_>, outline: &Outline<'_>, name: &str, span: Span, here: &[&str]) {
    if let Some((_, place)) = NAMES.iter().find(|(known, _)| *known == name) {
        let message = format!("`{name}` is not available here");
        return report.add("BW311", span, message, format!("it is there {place}; here: {}", listed(here)));
    }
    let mut items = (0..outline.scopes.len()).filter_map(|scope| outline.item_name(scope));
    if items.any(|item| item == name || name.strip_suffix("_index") == Some(item)) {
        let message = format!("`{name}` is not available here");
        return report.add(
            "BW311",
            span,
            message,
            "it is there in the body of its map and in the map's `result`",
        );
    }
    let help = match name {
        "null" | "undefined" | "nil" => "write `none`, or test with `is defined`".to_owned(),
        "True" | "False" | "None" => format!("write `{}`", name.to_lowercase()),
        "item" | "loop" => format!("there is no map round this place; here: {}", listed(here)),
        _ if outline.chain(0).any(|scope| outline.scopes[scope].find(name).is_some()) => {
            format!("a node's output is `nodes.{name}.output`")
        }
        _ => suggest(name, here, "the names here"),
    };
    report.add("BW302", span, format!("there is no name `{name}`"), help);
}

pub(crate) fn code_of(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Syntax => "BW301",
        FindingKind::UnknownFilter => "BW303",
        FindingKind::UnknownTest => "BW304",
        FindingKind::UnknownFunction => "BW305",
        FindingKind::MethodCall => "BW306",
        FindingKind::Operator => "BW307",
        FindingKind::Arguments => "BW308",
        FindingKind::BracesInExpression => "BW310",
        FindingKind::TooLong => "BW317",
        FindingKind::Statement => "BW318",
        FindingKind::NotLiteral => "BW319",
        FindingKind::RenderName => "BW315",
    }
}
