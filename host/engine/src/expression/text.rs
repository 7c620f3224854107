//! Filters that make text, with its length known before it is made.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::argument::Arguments;
use super::error::{ErrorCode, Failure};
use super::evaluate::WORK_UNITS_MAX;
use super::filter::{attribute_of, items};
use super::json::{Budget, compact, leave, type_name, write_text};
use super::operator::{charge, defined};

/// A budget that ends where the work units do: what is above it could not be charged anyway.
fn bounded() -> Budget {
    Budget::new(WORK_UNITS_MAX as usize)
}

/// Text that is too long for the work units is a failure of work, not of the result.
fn as_work(failure: Failure) -> Failure {
    if failure.code == ErrorCode::ResultTooLarge {
        Failure::new(
            ErrorCode::Work,
            format!("the expression does more than {WORK_UNITS_MAX} units of work (a fixed limit)"),
        )
    } else {
        failure
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    value.as_str().ok_or_else(|| {
        Failure::of_type(format!("`{name}` takes a text, found {}; `string` makes one", type_name(value)))
    })
}

pub(super) fn string(_: &mut State, value: &Value, _: &Arguments) -> Result<Value, Failure> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut text = String::new();
    write_text(value, &mut text, &mut bounded()).map_err(as_work)?;
    Ok(Value::from(text))
}

pub(super) fn join(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let between = arguments.text("d")?.unwrap_or_default().to_owned();
    let attribute = arguments.text("attribute")?;
    let (mut text, mut budget) = (String::new(), bounded());
    for (index, item) in items(value, "join")?.enumerate() {
        if index > 0 {
            budget.take(between.len()).map_err(as_work)?;
            text.push_str(&between);
        }
        let item = attribute_of(&item, attribute)?;
        defined(&item, "an item of `join`")?;
        charge(1)?;
        write_text(&item, &mut text, &mut budget).map_err(as_work)?;
    }
    Ok(Value::from(text))
}

pub(super) fn replace(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let text = text_of(value, "replace")?;
    let from = arguments
        .text("from")?
        .ok_or_else(|| Failure::of_type("`from` of `replace` must be a text, found none"))?;
    let to = arguments
        .text("to")?
        .ok_or_else(|| Failure::of_type("`to` of `replace` must be a text, found none"))?;
    charge(1 + text.len() / 64)?;
    let found = if from.is_empty() { text.chars().count() + 1 } else { text.matches(from).count() };
    let length = text.len() as u64 + found as u64 * to.len() as u64;
    if length.saturating_sub(found as u64 * from.len() as u64) > WORK_UNITS_MAX {
        return charge(usize::MAX).map(|()| Value::UNDEFINED);
    }
    Ok(Value::from(text.replace(from, to)))
}

pub(super) fn indent(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let text = text_of(value, "indent")?;
    let width = arguments.integer("width")?.unwrap_or(4);
    let Ok(width) = usize::try_from(width) else {
        return Err(Failure::of_type(format!("`width` of `indent` must not be negative, found {width}")));
    };
    let (first, blank) = (arguments.boolean("first"), arguments.boolean("blank"));
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let lines = text.split('\n').count() as u64;
    if (width as u64).saturating_mul(lines).saturating_add(text.len() as u64) > WORK_UNITS_MAX {
        return charge(usize::MAX).map(|()| Value::UNDEFINED);
    }
    let margin = " ".repeat(width);
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let empty = line.is_empty() || line == "\r";
        if (index > 0 || first) && (!empty || blank) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

pub(super) fn tojson(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let json = leave(value, &mut bounded(), 0).map_err(as_work)?;
    let width = match arguments.get("indent") {
        Some(given) if given.kind() == ValueKind::Bool => 2 * i128::from(given.is_true()),
        _ => arguments.integer("indent")?.unwrap_or(0),
    };
    if !(0..=16).contains(&width) {
        return Err(Failure::of_type(format!("`indent` of `tojson` must be within 0 and 16, found {width}")));
    }
    if width == 0 {
        return Ok(Value::from(compact(&json)?));
    }
    let mut out = Vec::new();
    let margin = " ".repeat(width as usize);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(margin.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(&json, &mut serializer)
        .map_err(|error| Failure::new(ErrorCode::Other, error.to_string()))?;
    String::from_utf8(out).map(Value::from).map_err(|error| Failure::new(ErrorCode::Other, error.to_string()))
}
