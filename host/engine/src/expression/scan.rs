//! What is seen in the source before it is parsed: marks that belong to other languages, length and nesting.
//!
//! The parser and the code generator recurse, so nesting is bounded here, before either runs.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::analysis::{Finding, FindingKind};

/// The longest source of one expression, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4096;
/// The deepest nesting of one expression.
pub const DEPTH_MAX: usize = 32;
/// The most operators, steps and filters in a row: each makes the syntax tree one level deeper.
const CHAIN_MAX: usize = 256;

/// How templates are read: a tag alone in a line leaves no line.
pub(super) fn template_syntax() -> SyntaxConfig {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().unwrap_or_default()
}

/// Marks outside of quotes that tell what the author was thinking of.
pub(super) fn foreign_marks(source: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bytes = source.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match bytes[at] {
            quote @ (b'\'' | b'"') => {
                let mut end = at + 1;
                while end < bytes.len() && bytes[end] != quote {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                at = end + 1;
                continue;
            }
            b'$' | b'{'
                if rest.starts_with(b"${{")
                    || (rest.starts_with(b"{{") && source[..at].trim().is_empty()) =>
            {
                add_once(
                    &mut findings,
                    Finding::new(
                        FindingKind::BracesInExpression,
                        at,
                        if bytes[at] == b'$' { 3 } else { 2 },
                        "`${{ }}` stands in an expression that has no text around it",
                        "leave the braces out: write only what stands between them",
                    ),
                );
                3
            }
            b'{' if rest.starts_with(b"{%") => {
                add_once(
                    &mut findings,
                    Finding::new(
                        FindingKind::Statement,
                        at,
                        2,
                        "a statement `{% %}` stands in an expression",
                        "put the text into a file, name it as a constant `{ template: FILE }`, and call `render`",
                    ),
                );
                2
            }
            b'&' if rest.starts_with(b"&&") => {
                findings.push(foreign_operator(at, "&&", "and"));
                2
            }
            b'|' if rest.starts_with(b"||") => {
                findings.push(foreign_operator(at, "||", "or"));
                2
            }
            b'!' if !rest.starts_with(b"!=") => {
                findings.push(foreign_operator(at, "!", "not"));
                1
            }
            b'!' => 2,
            _ => 1,
        };
        at += length;
    }
    findings
}

/// One such mark tells it all.
fn add_once(findings: &mut Vec<Finding>, finding: Finding) {
    if !findings.iter().any(|other| other.kind == finding.kind) {
        findings.push(finding);
    }
}

fn foreign_operator(at: usize, found: &str, write: &str) -> Finding {
    Finding::new(
        FindingKind::Operator,
        at,
        found.len(),
        format!("`{found}` is not an operator here"),
        format!("write `{write}`"),
    )
}

/// Too long or too deep for the parser, or nothing. Errors of single tokens are left to the parser.
pub(super) fn too_long(source: &str, template: bool) -> Option<Finding> {
    if !template && source.len() > SOURCE_BYTES_MAX {
        return Some(Finding::new(
            FindingKind::TooLong,
            0,
            source.len(),
            format!("the expression is {} bytes long, at most {SOURCE_BYTES_MAX} are allowed", source.len()),
            "compute parts of it in nodes of kind `value`",
        ));
    }
    let config = if template { template_syntax() } else { SyntaxConfig::default() };
    let (mut depth, mut prefixes) = (0usize, 0usize);
    let mut chains = vec![0usize];
    // The parser recurses into each `elif`, without the guard that it has for statements.
    let mut branches: Vec<usize> = Vec::new();
    let mut first_of_tag = false;
    for token in tokenize(source, !template, config) {
        let Ok((token, span)) = token else {
            return None;
        };
        let offset = span.start_offset as usize;
        let was_first = std::mem::take(&mut first_of_tag);
        let prefix = matches!(token, Token::Minus | Token::Ident("not"));
        prefixes = if prefix { prefixes + 1 } else { 0 };
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                depth += 1;
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                }
                chains.push(0);
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                depth = depth.saturating_sub(1);
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            Token::VariableStart | Token::BlockStart => {
                (depth, prefixes) = (0, 0);
                chains = vec![0];
                first_of_tag = matches!(token, Token::BlockStart);
            }
            Token::Ident("if") if was_first => branches.push(0),
            Token::Ident("elif") if was_first => {
                if let Some(branch) = branches.last_mut() {
                    *branch += 1;
                }
            }
            Token::Ident("endif") if was_first => {
                branches.pop();
            }
            Token::Ident("and" | "or" | "not" | "in" | "is" | "if" | "else")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Dot
            | Token::Tilde
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => {
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                }
            }
            _ => {}
        }
        let deep = depth > DEPTH_MAX || prefixes > DEPTH_MAX;
        let long = chains.iter().sum::<usize>() > CHAIN_MAX
            || branches.len() + branches.iter().sum::<usize>() > CHAIN_MAX / 2;
        if deep || long {
            let message = if deep {
                format!("the expression is nested deeper than {DEPTH_MAX} levels")
            } else {
                format!(
                    "the expression has more than {CHAIN_MAX} operators, or {} `if` and `elif`, in a row",
                    CHAIN_MAX / 2
                )
            };
            return Some(Finding::new(
                FindingKind::TooLong,
                offset,
                (span.end_offset as usize).saturating_sub(offset),
                message,
                "compute parts of it in nodes of kind `value`",
            ));
        }
    }
    None
}
