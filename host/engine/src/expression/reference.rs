//! The names an expression reads, with the conditions under which it reads them.

use minijinja::machinery::ast::{self, Expr};

/// A read of a name with the part of its path that is written out, e.g. `nodes.a.output.text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The first name, e.g. `nodes`.
    pub root: String,
    /// The steps that are known without evaluating, e.g. `["a", "output", "text"]`.
    pub path: Vec<String>,
    /// Byte offset of the first character.
    pub offset: usize,
    /// Bytes from the first character to the end of the last known step.
    pub length: usize,
    /// It is what `is defined`, `is undefined` or `default` is asked about.
    pub tested: bool,
    /// Conditions that hold wherever it is read.
    pub guards: Vec<Guard>,
}

/// A condition: the value at a path is defined, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The first name.
    pub root: String,
    /// The steps below it.
    pub path: Vec<String>,
    /// Whether it is defined there.
    pub defined: bool,
}

/// A path taken out of a syntax tree, and what hangs on it that must be walked on its own.
pub(super) struct Path<'e, 'a> {
    pub(super) root: &'a str,
    pub(super) steps: Vec<String>,
    pub(super) offset: usize,
    pub(super) end: usize,
    /// Indexes that are computed.
    pub(super) dynamic: Vec<&'e Expr<'a>>,
}

/// The path that an expression is, if it is one.
pub(super) fn path_of<'e, 'a>(expr: &'e Expr<'a>) -> Option<Path<'e, 'a>> {
    let mut links = Vec::new();
    let mut inner = expr;
    let var = loop {
        match inner {
            Expr::Var(var) => break var,
            Expr::GetAttr(get) => {
                links.push((Some(get.name.to_owned()), None, get.span().end_offset));
                inner = &get.expr;
            }
            Expr::GetItem(get) => {
                let key = match &get.subscript_expr {
                    Expr::Const(key) => key.value.as_str().map(str::to_owned),
                    _ => None,
                };
                let dynamic = if key.is_none() { Some(&get.subscript_expr) } else { None };
                links.push((key, dynamic, get.span().end_offset));
                inner = &get.expr;
            }
            _ => return None,
        }
    };
    let mut path = Path {
        root: var.id,
        steps: Vec::new(),
        offset: var.span().start_offset as usize,
        end: var.span().end_offset as usize,
        dynamic: Vec::new(),
    };
    let mut known = true;
    for (key, dynamic, end) in links.into_iter().rev() {
        path.dynamic.extend(dynamic);
        match key {
            Some(key) if known => {
                path.steps.push(key);
                path.end = end as usize;
            }
            _ => known = false,
        }
    }
    Some(path)
}

/// What is known where `condition` was found to be `holds`.
pub(super) fn facts(condition: &Expr, holds: bool) -> Vec<Guard> {
    match condition {
        Expr::UnaryOp(unary) if matches!(unary.op, ast::UnaryOpKind::Not) => facts(&unary.expr, !holds),
        Expr::BinOp(binary) => match (&binary.op, holds) {
            (ast::BinOpKind::ScAnd, true) | (ast::BinOpKind::ScOr, false) => {
                let mut all = facts(&binary.left, holds);
                all.extend(facts(&binary.right, holds));
                all
            }
            _ => Vec::new(),
        },
        Expr::Test(test) => {
            let defined = match test.name {
                "defined" => holds,
                "undefined" => !holds,
                _ => return Vec::new(),
            };
            match path_of(&test.expr) {
                // A computed step says nothing about a path that is written out.
                Some(path) if path.dynamic.is_empty() => {
                    vec![Guard { root: path.root.to_owned(), path: path.steps, defined }]
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}
