//! What `check` learns from an expression without evaluating it: mistakes, names read, and literals.

use std::collections::BTreeSet;

use minijinja::Error;
use minijinja::machinery::ast::{self, Expr, Stmt};
use minijinja::machinery::{parse, parse_expr};
use serde_json::Value as Json;

use super::json::{Budget, leave};
use super::reference::Reference;
use super::scan::{foreign_marks, template_syntax, too_long};
use super::walk::Walk;

/// A mistake in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which mistake.
    pub kind: FindingKind,
    /// Byte offset of its first character in the source; the source's length when something is missing at its end.
    pub offset: usize,
    /// Its length in bytes, 0 when something is missing.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Finding {
    pub(super) fn new(
        kind: FindingKind,
        offset: usize,
        length: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding { kind, offset, length, message: message.into(), help: help.into() }
    }
}

/// Which mistake; the number is that of the diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// BW301: the parser did not expect this.
    Syntax,
    /// BW303: no such filter.
    UnknownFilter,
    /// BW304: no such test.
    UnknownTest,
    /// BW305: no such function.
    UnknownFunction,
    /// BW306: a method is called.
    MethodCall,
    /// BW307: an operator outside of the profile.
    Operator,
    /// BW308: wrong arguments.
    Arguments,
    /// BW310: `${{ }}` inside of an expression.
    BracesInExpression,
    /// BW317: too long or too deep.
    TooLong,
    /// BW318: a statement where none may stand.
    Statement,
    /// BW319: a filter or test named by something else than a literal.
    NotLiteral,
    /// BW315: the first argument of `render` is not a literal text.
    RenderName,
}

/// A call of `render`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderUse {
    /// The template constant, when it is named by a literal.
    pub name: Option<String>,
    /// The keys given to it, when they are written out; empty when no object is given.
    pub keys: Option<BTreeSet<String>>,
    /// Byte offset of the first argument.
    pub offset: usize,
    /// Length of the first argument in bytes.
    pub length: usize,
    /// Byte offset of the name `render`.
    pub call_offset: usize,
}

/// All that is known about an expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// Mistakes by position; empty means that the expression compiles.
    pub findings: Vec<Finding>,
    /// Names read, by position.
    pub references: Vec<Reference>,
    /// Calls of `render`, by position.
    pub renders: Vec<RenderUse>,
    /// The value, when the expression is a literal.
    pub literal: Option<Json>,
}

/// Analyses one bare expression. All mistakes are reported, of syntax the first.
pub fn analyse(source: &str) -> Analysis {
    if let Some(finding) = too_long(source, false) {
        return Analysis { findings: vec![finding], ..Analysis::default() };
    }
    match parse_expr(source) {
        Ok(expr) => analyse_parsed(source, &expr),
        Err(error) => {
            let mut findings = foreign_marks(source);
            if findings.is_empty() {
                findings.push(syntax(source, &error));
            }
            Analysis { findings, ..Analysis::default() }
        }
    }
}

pub(super) fn analyse_parsed(source: &str, expr: &Expr) -> Analysis {
    let mut walk = Walk::new(source, false);
    walk.expr(expr, &[]);
    let mut analysis = walk.analysis;
    analysis.literal = literal(expr);
    sort(&mut analysis);
    analysis
}

/// Analyses the text of a template constant: its mistakes, and the names it expects to be given.
pub fn analyse_template(source: &str) -> (Vec<Finding>, BTreeSet<String>) {
    if let Some(finding) = too_long(source, true) {
        return (vec![finding], BTreeSet::new());
    }
    match parse(source, "<template>", template_syntax()) {
        Ok(statement) => analyse_statement(source, &statement),
        Err(error) => {
            let unknown = error.detail().is_some_and(|detail| detail.starts_with("unknown statement"));
            let mut finding = syntax(source, &error);
            if unknown {
                finding.kind = FindingKind::Statement;
                finding.help = STATEMENTS.to_owned();
            }
            (vec![finding], BTreeSet::new())
        }
    }
}

pub(super) fn analyse_statement(source: &str, statement: &Stmt) -> (Vec<Finding>, BTreeSet<String>) {
    let mut walk = Walk::new(source, true);
    walk.statement(statement);
    let mut analysis = walk.analysis;
    sort(&mut analysis);
    (analysis.findings, analysis.references.into_iter().map(|reference| reference.root).collect())
}

pub(super) const STATEMENTS: &str = "templates have `for`, `if`, `set`, `with`, `filter` and `raw`";

fn sort(analysis: &mut Analysis) {
    analysis.findings.sort_by_key(|finding| (finding.offset, finding.kind));
    analysis.references.sort_by_key(|reference| reference.offset);
    analysis.renders.sort_by_key(|render| render.offset);
}

/// The finding for an error of the parser.
pub(super) fn syntax(source: &str, error: &Error) -> Finding {
    let detail = error.detail().unwrap_or("not an expression").to_owned();
    let recursion = detail.contains("recursion");
    let range = error.range().unwrap_or(0..source.len());
    let mut start = floor_boundary(source, range.start);
    let mut length = floor_boundary(source, range.end).saturating_sub(start);
    if detail.contains("end of input") || source.trim().is_empty() {
        (start, length) = (source.trim_end().len(), 0);
    }
    let (kind, help) = if recursion {
        (FindingKind::TooLong, "compute parts of it in nodes of kind `value`")
    } else {
        (
            FindingKind::Syntax,
            "an expression is a name with its path, a literal, or these with operators and filters",
        )
    };
    let message = match detail.split_once(", expected ") {
        Some((unexpected, expected)) => format!("{unexpected}; expected {expected}"),
        None => detail,
    };
    Finding::new(kind, start, length, message, help)
}

fn floor_boundary(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The value of a literal, lists and objects of literals included.
fn literal(expr: &Expr) -> Option<Json> {
    match expr {
        Expr::Const(constant) => leave(&constant.value, &mut Budget::new(usize::MAX), 0).ok(),
        Expr::UnaryOp(unary) if matches!(unary.op, ast::UnaryOpKind::Neg) => match &unary.expr {
            Expr::Const(constant) => {
                let number = super::json::Num::of(&constant.value)?;
                let negative = super::operator::negative(number).ok()?;
                leave(&negative.into_value(), &mut Budget::new(usize::MAX), 0).ok()
            }
            _ => None,
        },
        Expr::List(list) => list.items.iter().map(literal).collect::<Option<Vec<_>>>().map(Json::Array),
        Expr::Map(map) => map
            .keys
            .iter()
            .zip(&map.values)
            .map(|(key, value)| match literal(key)? {
                Json::String(key) => Some((key, literal(value)?)),
                _ => None,
            })
            .collect::<Option<serde_json::Map<_, _>>>()
            .map(Json::Object),
        _ => None,
    }
}
