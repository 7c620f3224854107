//! Template values: JSON whose strings may hold `${{ }}`, split once and evaluated as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::error::{ErrorCode, EvaluateError, Failure, SyntaxError};
use super::evaluate::{Expression, Scope};
use super::json::{Budget, copy, json_text};

/// A template value as pinned in a graph. Literal parts are collapsed into one literal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Template {
    /// A value without expressions.
    #[serde(rename = "lit")]
    Literal(Arc<Json>),
    /// A string that is exactly one expression: its value keeps its type.
    #[serde(rename = "expr")]
    Expression(Expression),
    /// A string that mixes text and expressions: each value becomes text.
    #[serde(rename = "text")]
    Text(Vec<Part>),
    /// A list with expressions in it.
    #[serde(rename = "list")]
    List(Vec<Template>),
    /// An object with expressions in it.
    #[serde(rename = "object")]
    Object(BTreeMap<String, Template>),
}

/// A part of a mixed string.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Part {
    /// Text as it stands, `$${{` already replaced.
    Text(String),
    /// An expression whose value becomes text.
    Expression(Expression),
}

/// A part of a string scalar as [`split_text`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawPart<'a> {
    /// Text as it stands, `$${{` already replaced.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// Byte offset of its first character in the scalar.
        offset: usize,
    },
    /// What stands between `${{` and `}}`, without blanks around it.
    Expression {
        /// The bare expression.
        source: &'a str,
        /// Byte offset of its first character in the scalar.
        offset: usize,
        /// Byte offset of `${{`.
        start: usize,
        /// Byte offset behind `}}`.
        end: usize,
    },
}

/// `${{` that no `}}` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`${{{{` at byte {offset} is not closed by `}}}}`")]
pub struct Unclosed {
    /// Byte offset of `${{` in the scalar.
    pub offset: usize,
}

/// Splits a string scalar into texts and expressions. `}}` ends an expression only outside of quotes and brackets.
///
/// # Errors
/// The offset of the first `${{` that is not closed.
pub fn split_text(text: &str) -> Result<Vec<RawPart<'_>>, Unclosed> {
    let mut parts = Vec::new();
    let mut literal: Cow<'_, str> = Cow::Borrowed("");
    let mut literal_offset = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let Some(found) = rest.find("${{") else {
            append(&mut literal, rest);
            break;
        };
        // The dollar in front of it makes it literal, and goes away.
        if found > 0 && rest.as_bytes()[found - 1] == b'$' {
            append(&mut literal, &rest[..found - 1]);
            append(&mut literal, "${{");
            at += found + 3;
            continue;
        }
        append(&mut literal, &rest[..found]);
        let start = at + found;
        let inner = start + 3;
        let length = expression_length(&text[inner..]).ok_or(Unclosed { offset: start })?;
        if !literal.is_empty() {
            parts.push(RawPart::Text { text: std::mem::take(&mut literal), offset: literal_offset });
        }
        let source = &text[inner..inner + length];
        let blanks = source.len() - source.trim_start().len();
        at = inner + length + 2;
        parts.push(RawPart::Expression { source: source.trim(), offset: inner + blanks, start, end: at });
        literal_offset = at;
    }
    if !literal.is_empty() || parts.is_empty() {
        parts.push(RawPart::Text { text: literal, offset: literal_offset });
    }
    Ok(parts)
}

fn append<'a>(text: &mut Cow<'a, str>, more: &'a str) {
    if text.is_empty() {
        *text = Cow::Borrowed(more);
    } else if !more.is_empty() {
        text.to_mut().push_str(more);
    }
}

/// Bytes before the `}}` that ends an expression.
fn expression_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0usize, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                at += 1;
                while *bytes.get(at)? != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b'}' if depth == 0 && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A template value that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${{` without `}}`.
    #[error(transparent)]
    Unclosed(#[from] Unclosed),
    /// An expression that does not compile.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
}

impl Template {
    /// Compiles a JSON value whose strings may hold expressions; places in the file are not known.
    ///
    /// # Errors
    /// The first string that cannot be split or compiled.
    pub fn from_json(json: &Json) -> Result<Template, TemplateError> {
        Ok(match json {
            Json::String(text) => Template::from_text(text, |_| (0, 0))?,
            Json::Array(items) => {
                Template::list(items.iter().map(Template::from_json).collect::<Result<Vec<_>, _>>()?)
            }
            Json::Object(members) => Template::object(
                members
                    .iter()
                    .map(|(key, member)| Ok((key.clone(), Template::from_json(member)?)))
                    .collect::<Result<_, TemplateError>>()?,
            ),
            other => Template::Literal(Arc::new(other.clone())),
        })
    }

    /// Compiles one string scalar; `place` gives line and column for a byte offset in it.
    ///
    /// # Errors
    /// When it cannot be split or an expression in it does not compile.
    pub fn from_text(text: &str, place: impl Fn(usize) -> (u32, u32)) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        for part in split_text(text)? {
            parts.push(match part {
                RawPart::Text { text, .. } => Part::Text(text.into_owned()),
                RawPart::Expression { source, offset, .. } => {
                    let (line, column) = place(offset);
                    Part::Expression(Expression::compile(source, line, column)?)
                }
            });
        }
        Ok(Template::text(parts))
    }

    /// A template of the parts of one string scalar: a literal, one expression, or a mixed text.
    pub fn text(mut parts: Vec<Part>) -> Template {
        if parts.len() > 1 {
            return Template::Text(parts);
        }
        match parts.pop() {
            None => Template::Literal(Arc::new(Json::String(String::new()))),
            Some(Part::Text(text)) => Template::Literal(Arc::new(Json::String(text))),
            Some(Part::Expression(expression)) => Template::Expression(expression),
        }
    }

    /// A template of a list, literal if all its items are.
    pub fn list(items: Vec<Template>) -> Template {
        let literals: Option<Vec<Json>> = items.iter().map(|item| item.as_literal().cloned()).collect();
        match literals {
            Some(items) => Template::Literal(Arc::new(Json::Array(items))),
            None => Template::List(items),
        }
    }

    /// A template of an object, literal if all its members are.
    pub fn object(members: BTreeMap<String, Template>) -> Template {
        let literals: Option<Map<String, Json>> =
            members.iter().map(|(key, member)| Some((key.clone(), member.as_literal()?.clone()))).collect();
        match literals {
            Some(members) => Template::Literal(Arc::new(Json::Object(members))),
            None => Template::Object(members),
        }
    }

    /// The value, when there are no expressions in it.
    pub fn as_literal(&self) -> Option<&Json> {
        match self {
            Template::Literal(json) => Some(json),
            _ => None,
        }
    }

    /// Evaluates to JSON; the bound of the scope holds for the whole.
    ///
    /// # Errors
    /// The failure of the first expression that fails, or `result-too-large`.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Json, EvaluateError> {
        self.evaluate_within(scope, &mut Budget::new(scope.result_bytes_max), 0)
    }

    fn evaluate_within(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
        depth: usize,
    ) -> Result<Json, EvaluateError> {
        let fail = |failure: Failure| self.fail(failure);
        match self {
            Template::Literal(json) => copy(json, budget, depth).map_err(fail),
            Template::Expression(expression) => expression.evaluate_within(scope, budget),
            Template::Text(parts) => {
                let text = self.write(parts, scope)?;
                copy(&Json::String(text), budget, depth).map_err(fail)
            }
            Template::List(items) => {
                budget.take(2 + items.len().saturating_sub(1)).map_err(fail)?;
                let items: Result<Vec<Json>, _> =
                    items.iter().map(|item| item.evaluate_within(scope, budget, depth + 1)).collect();
                items.map(Json::Array)
            }
            Template::Object(members) => {
                let mut object = Map::new();
                budget.take(2 + members.len().saturating_sub(1)).map_err(fail)?;
                for (key, member) in members {
                    budget.take(key.len() + 3).map_err(fail)?;
                    object.insert(key.clone(), member.evaluate_within(scope, budget, depth + 1)?);
                }
                Ok(Json::Object(object))
            }
        }
    }

    /// Evaluates to text, for titles and messages.
    ///
    /// # Errors
    /// As [`Template::evaluate`], and `null-in-text`.
    pub fn evaluate_text(&self, scope: &Scope<'_>) -> Result<String, EvaluateError> {
        match self {
            Template::Expression(expression) => {
                let mut text = String::new();
                expression.write_text(scope, &mut text, &mut Budget::new(scope.result_bytes_max))?;
                Ok(text)
            }
            Template::Text(parts) => self.write(parts, scope),
            _ => json_text(&self.evaluate(scope)?).map_err(|failure| self.fail(failure)),
        }
    }

    fn write(&self, parts: &[Part], scope: &Scope<'_>) -> Result<String, EvaluateError> {
        let (mut text, mut budget) = (String::new(), Budget::new(scope.result_bytes_max));
        for part in parts {
            match part {
                Part::Text(part) => {
                    budget.take(part.len()).map_err(|failure| self.fail(failure))?;
                    text.push_str(part);
                }
                Part::Expression(expression) => expression.write_text(scope, &mut text, &mut budget)?,
            }
        }
        Ok(text)
    }

    /// A failure of the template itself is told at its first expression.
    fn fail(&self, failure: Failure) -> EvaluateError {
        match self.expressions().next() {
            Some(expression) => expression.error(failure.code, failure.message),
            None => failure.at("", 0, 0),
        }
    }

    /// All expressions inside, in order.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found.into_iter()
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Expression>) {
        match self {
            Template::Literal(_) => {}
            Template::Expression(expression) => found.push(expression),
            Template::Text(parts) => found.extend(parts.iter().filter_map(|part| match part {
                Part::Expression(expression) => Some(expression),
                Part::Text(_) => None,
            })),
            Template::List(items) => items.iter().for_each(|item| item.collect(found)),
            Template::Object(members) => members.values().for_each(|member| member.collect(found)),
        }
    }

    /// Fails as this template would, e.g. with `input-not-object`.
    pub fn error(&self, code: ErrorCode, message: impl Into<String>) -> EvaluateError {
        self.fail(Failure::new(code, message))
    }
}
