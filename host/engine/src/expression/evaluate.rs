//! Compiled expressions and templates, and their evaluation within bounds.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use minijinja::machinery::{Instructions, eval, make_string_output, parse, parse_expr};
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, State, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::analysis::{Analysis, Finding, analyse_parsed, analyse_statement, analyse_template, syntax};
use super::argument::Arguments;
use super::catalogue::{CATALOGUE, ENVIRONMENT};
use super::compile::{self, Program, slot_of};
use super::error::{ErrorCode, EvaluateError, Failure, SyntaxError};
use super::json::{Budget, leave, type_name, write_text};
use super::operator::{WorkScope, charge};
use super::scan::{foreign_marks, template_syntax, too_long};
use super::visible::Names;

/// Instructions for one expression or template, unless `limits.expression-fuel` says otherwise.
pub const FUEL_DEFAULT: u64 = 100_000;
/// Units of work for one expression or template.
pub const WORK_UNITS_MAX: u64 = 1_048_576;
/// Bytes of one result, as JSON or text.
pub const RESULT_BYTES_MAX: usize = 1_048_576;
/// All text that one template writes, that which it keeps in a name included.
const TEXT_BYTES_MAX: usize = 8 * RESULT_BYTES_MAX;

/// What one evaluation sees and may use.
pub struct Scope<'a> {
    /// Where names come from.
    pub names: &'a dyn Names,
    /// The template constants, for `render`.
    pub templates: &'a BTreeMap<String, TextTemplate>,
    /// Instructions for one expression or template; `limits.expression-fuel`.
    pub fuel: u64,
    /// Bytes of one result as JSON or text, usually [`RESULT_BYTES_MAX`].
    pub result_bytes_max: usize,
}

/// One compiled bare expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: String,
    line: u32,
    column: u32,
    program: Program,
    names: BTreeSet<String>,
    renders: Vec<String>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?} at {}:{})", self.0.source, self.0.line, self.0.column)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        (&self.0.source, self.0.line, self.0.column) == (&other.0.source, other.0.line, other.0.column)
    }
}

fn syntax_error(finding: &Finding, source: &str, line: u32, column: u32) -> SyntaxError {
    SyntaxError {
        message: format!("{}; {}", finding.message, finding.help),
        expression: source.to_owned(),
        offset: finding.offset,
        line,
        column,
    }
}

impl Expression {
    /// Compiles a bare expression; `line` and `column` are of its first character in the workflow file, 0 if unknown.
    ///
    /// # Errors
    /// The first finding of [`super::analyse`].
    pub fn compile(source: &str, line: u32, column: u32) -> Result<Expression, SyntaxError> {
        let refuse = |finding: &Finding| syntax_error(finding, source, line, column);
        if let Some(finding) = too_long(source, false) {
            return Err(refuse(&finding));
        }
        let parsed = parse_expr(source)
            .map_err(|error| refuse(foreign_marks(source).first().unwrap_or(&syntax(source, &error))))?;
        let Analysis { findings, references, renders, .. } = analyse_parsed(source, &parsed);
        if let Some(finding) = findings.first() {
            return Err(refuse(finding));
        }
        let program = compile::expression(&parsed).map_err(|refused| SyntaxError {
            message: refused.0,
            expression: source.to_owned(),
            offset: 0,
            line,
            column,
        })?;
        let names = references.into_iter().map(|reference| reference.root).collect();
        let renders = renders.into_iter().filter_map(|render| render.name).collect();
        Ok(Expression(Arc::new(Compiled {
            source: source.to_owned(),
            line,
            column,
            program,
            names,
            renders,
        })))
    }

    /// The source as it was compiled.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Line and column of the first character in the workflow file, from 1; 0 if unknown.
    pub fn position(&self) -> (u32, u32) {
        (self.0.line, self.0.column)
    }

    /// The root names that it reads.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.0.names
    }

    /// The template constants that it renders.
    pub fn renders(&self) -> &[String] {
        &self.0.renders
    }

    /// Evaluates to JSON.
    ///
    /// # Errors
    /// Every failure of the language, with its code.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Json, EvaluateError> {
        self.evaluate_within(scope, &mut Budget::new(scope.result_bytes_max))
    }

    /// Evaluates to a boolean, as `when` does.
    ///
    /// # Errors
    /// `not-bool` for any other type, besides those of [`Expression::evaluate`].
    pub fn evaluate_bool(&self, scope: &Scope<'_>) -> Result<bool, EvaluateError> {
        let _work = WorkScope::new();
        let value = self.run(scope).map_err(|failure| self.fail(failure))?;
        match value.kind() {
            ValueKind::Bool => Ok(value.is_true()),
            ValueKind::Undefined => Err(self.fail(Failure::undefined("the result is undefined"))),
            _ => Err(self.fail(Failure::new(
                ErrorCode::NotBool,
                format!("a condition must be true or false, found {}", type_name(&value)),
            ))),
        }
    }

    pub(super) fn evaluate_within(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
    ) -> Result<Json, EvaluateError> {
        let _work = WorkScope::new();
        let value = self.run(scope).map_err(|failure| self.fail(failure))?;
        leave(&value, budget, 0).map_err(|failure| self.fail(failure))
    }

    pub(super) fn write_text(
        &self,
        scope: &Scope<'_>,
        out: &mut String,
        budget: &mut Budget,
    ) -> Result<(), EvaluateError> {
        let _work = WorkScope::new();
        let value = self.run(scope).map_err(|failure| self.fail(failure))?;
        write_text(&value, out, budget).map_err(|failure| self.fail(failure))
    }

    /// Makes an error of this expression, e.g. `not-a-list` where the engine wants a list.
    pub fn error(&self, code: ErrorCode, message: impl Into<String>) -> EvaluateError {
        self.fail(Failure::new(code, message))
    }

    fn fail(&self, failure: Failure) -> EvaluateError {
        failure.at(&self.0.source, self.0.line, self.0.column)
    }

    fn run(&self, scope: &Scope<'_>) -> Result<Value, Failure> {
        let Program { instructions, names } = &self.0.program;
        let values = names.iter().map(|name| scope.names.get(name).map(super::Visible::into_value)).collect();
        let templates = self
            .0
            .renders
            .iter()
            .filter_map(|name| Some((name.clone(), scope.templates.get(name)?.clone())))
            .collect();
        let root = Root { values, templates, fuel: scope.fuel, text_bytes_max: scope.result_bytes_max };
        root.run(instructions, &self.0.source, &mut String::new()).map_err(|(failure, _)| failure)
    }
}

fn environment(fuel: u64) -> Cow<'static, Environment<'static>> {
    if fuel == FUEL_DEFAULT {
        return Cow::Borrowed(&ENVIRONMENT);
    }
    let mut environment = ENVIRONMENT.clone();
    environment.set_fuel(Some(fuel));
    Cow::Owned(environment)
}

/// The names of one evaluation by slot, and what `render` needs.
struct Root {
    values: Vec<Option<Value>>,
    templates: Vec<(String, TextTemplate)>,
    fuel: u64,
    text_bytes_max: usize,
}

impl Root {
    /// Runs what was compiled of `source`. What it writes goes to `text`; a failure tells its line, if that is known.
    fn run(
        self,
        instructions: &Instructions<'_>,
        source: &str,
        text: &mut String,
    ) -> Result<Value, (Failure, Option<usize>)> {
        let fuel = self.fuel;
        let environment = environment(fuel);
        let blocks = BTreeMap::new();
        let mut output = make_string_output(text);
        let root = Value::from_object(self);
        match eval(&environment, instructions, root, &blocks, &mut output, AutoEscape::None) {
            Ok((value, _)) => Ok(value.unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::OutOfFuel => {
                let message = format!(
                    "it takes more than {fuel} instructions; the limit is `expression-fuel` under `limits`"
                );
                Err((Failure::new(ErrorCode::Fuel, message), error.line()))
            }
            Err(error) => Err((Failure::from_error(&error, source), error.line())),
        }
    }
}

/// The name under which `render` finds the root; not a name in any expression.
const ROOT: &str = "$";

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }
}

impl Object for Root {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == ROOT {
            return Some(Value::from_dyn_object(self.clone()));
        }
        self.values.get(slot_of(key)?)?.clone()
    }
}

/// The function `render` of expressions.
pub(super) fn render(state: &mut State, values: &[Value]) -> Result<Value, Failure> {
    let arguments = Arguments::read(&CATALOGUE.functions["render"], values, false)?;
    let name = arguments.text("name")?.unwrap_or_default();
    let root = state.lookup(ROOT).and_then(|root| root.downcast_object::<Root>());
    let found = root.as_ref().and_then(|root| {
        let template = root.templates.iter().find(|(known, _)| known == name)?;
        Some((root, &template.1))
    });
    let Some((root, template)) = found else {
        return Err(Failure::new(ErrorCode::Other, format!("there is no template constant `{name}`")));
    };
    let given = arguments.get("values");
    if let Some(given) = given.filter(|given| given.kind() != ValueKind::Map) {
        return Err(Failure::of_type(format!(
            "`render` gives a template an object, found {}",
            type_name(given)
        )));
    }
    let text = template.render(given, root.fuel, root.text_bytes_max).map_err(|failure| Failure {
        code: failure.code,
        message: format!("in template `{name}`: {}", failure.message),
    })?;
    charge(text.len().max(1))?;
    Ok(Value::from(text))
}

thread_local! {
    static TEXT_LEFT: Cell<usize> = const { Cell::new(TEXT_BYTES_MAX) };
}

/// Counts text that a template writes.
pub(super) fn count_text(bytes: usize) -> Result<(), Failure> {
    match TEXT_LEFT.get().checked_sub(bytes) {
        Some(left) => {
            TEXT_LEFT.set(left);
            Ok(())
        }
        None => Err(Failure::new(
            ErrorCode::ResultTooLarge,
            format!("the template writes more than {TEXT_BYTES_MAX} bytes (a fixed limit)"),
        )),
    }
}

/// A compiled text template: what a constant `{ template: FILE }` holds.
#[derive(Clone)]
pub struct TextTemplate(Arc<CompiledText>);

struct CompiledText {
    source: String,
    program: Program,
    names: BTreeSet<String>,
}

impl fmt::Debug for TextTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextTemplate({:?})", self.0.source)
    }
}

impl PartialEq for TextTemplate {
    fn eq(&self, other: &TextTemplate) -> bool {
        self.0.source == other.0.source
    }
}

impl TextTemplate {
    /// Compiles the text of a template file.
    ///
    /// # Errors
    /// The first finding of [`analyse_template`].
    pub fn compile(source: &str) -> Result<TextTemplate, SyntaxError> {
        let refuse = |finding: &Finding| {
            let before = source.get(..finding.offset).unwrap_or(source);
            let line = before.matches('\n').count() as u32 + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
            let piece = source.lines().nth(line as usize - 1).unwrap_or_default();
            syntax_error(finding, piece, line, column)
        };
        if let Some(finding) = too_long(source, true) {
            return Err(refuse(&finding));
        }
        let Ok(statement) = parse(source, "<template>", template_syntax()) else {
            let findings = analyse_template(source).0;
            let unknown = Finding::new(super::FindingKind::Syntax, 0, 0, "the template cannot be read", "");
            return Err(refuse(findings.first().unwrap_or(&unknown)));
        };
        let (findings, names) = analyse_statement(source, &statement);
        if let Some(finding) = findings.first() {
            return Err(refuse(finding));
        }
        let program = compile::template(&statement).map_err(|refused| {
            refuse(&Finding::new(super::FindingKind::TooLong, 0, 0, refused.0, "split the template"))
        })?;
        Ok(TextTemplate(Arc::new(CompiledText { source: source.to_owned(), program, names })))
    }

    /// The source as it was compiled.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The names that it expects to be given.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.0.names
    }

    fn render(&self, given: Option<&Value>, fuel: u64, text_bytes_max: usize) -> Result<String, Failure> {
        let _work = WorkScope::new();
        let outer = TEXT_LEFT.replace(TEXT_BYTES_MAX);
        let result = self.run(given, fuel, text_bytes_max);
        TEXT_LEFT.set(outer);
        result
    }

    fn run(&self, given: Option<&Value>, fuel: u64, text_bytes_max: usize) -> Result<String, Failure> {
        let Program { instructions, names } = &self.0.program;
        let member = |name: &String| {
            let value = given?.get_item(&Value::from(name.as_str())).ok()?;
            (!value.is_undefined()).then_some(value)
        };
        let root =
            Root { values: names.iter().map(member).collect(), templates: Vec::new(), fuel, text_bytes_max };
        let mut text = String::new();
        root.run(instructions, &self.0.source, &mut text).map_err(|(failure, line)| {
            let line = line.map_or(String::new(), |line| format!("line {line}: "));
            Failure { code: failure.code, message: format!("{line}{}", failure.message) }
        })?;
        Budget::new(text_bytes_max).take(text.len())?;
        Ok(text)
    }
}

impl Serialize for TextTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.source)
    }
}

impl<'de> Deserialize<'de> for TextTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextTemplate, D::Error> {
        let source = String::deserialize(deserializer)?;
        TextTemplate::compile(&source).map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    expr: Cow<'a, str>,
    at: (u32, u32),
}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { expr: Cow::Borrowed(&self.0.source), at: self.position() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expression, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Expression::compile(&written.expr, written.at.0, written.at.1).map_err(serde::de::Error::custom)
    }
}
