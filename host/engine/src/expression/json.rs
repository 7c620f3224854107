//! Between JSON and the machine's values: entering, leaving within bounds, and the text of a value.

use std::fmt::Write;
use std::io;

use minijinja::Value;
use minijinja::value::ValueKind;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Number, Value as Json};

use super::error::{ErrorCode, Failure};
use super::visible::Node;

/// Results may be nested this deep; a journal must be able to read them back.
pub(super) const RESULT_DEPTH_MAX: usize = 64;
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// The type of a value as messages call it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "undefined",
        ValueKind::None => "none",
        ValueKind::Bool => "boolean",
        ValueKind::Number => "number",
        ValueKind::String => "text",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map => "object",
        _ => "another type",
    }
}

/// A number as an expression knows it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    Int(i128),
    Double(f64),
}

impl Num {
    pub(super) fn of(value: &Value) -> Option<Num> {
        if value.kind() != ValueKind::Number {
            return None;
        }
        if value.is_integer() {
            // Beyond i128 is beyond every bound, so any such number will do.
            return Some(Num::Int(i128::try_from(value.clone()).unwrap_or(1 << 100)));
        }
        f64::try_from(value.clone()).ok().map(Num::Double)
    }

    pub(super) fn as_f64(self) -> f64 {
        match self {
            Num::Int(int) => int as f64,
            Num::Double(double) => double,
        }
    }

    /// The same number, an integer if it is integral and exact.
    pub(super) fn normal(self) -> Num {
        match self {
            Num::Double(double) if double.fract() == 0.0 && double.abs() <= EXACT_MAX => {
                Num::Int(double as i128)
            }
            other => other,
        }
    }

    /// Within i64 and u64, or finite.
    pub(super) fn checked(self) -> Result<Num, Failure> {
        let fits = match self {
            Num::Int(int) => int >= i128::from(i64::MIN) && int <= i128::from(u64::MAX),
            Num::Double(double) => double.is_finite(),
        };
        if fits {
            return Ok(self);
        }
        let what = match self {
            Num::Int(_) => "an integer beyond 64 bits",
            Num::Double(_) => "a number that is not finite",
        };
        Err(Failure::new(ErrorCode::Number, format!("the result is {what}")))
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Num::Int(int) => match i64::try_from(int) {
                Ok(int) => Value::from(int),
                Err(_) => u64::try_from(int).map_or_else(|_| Value::from(int), Value::from),
            },
            Num::Double(double) => Value::from(double),
        }
    }

    fn into_json(self) -> Result<Number, Failure> {
        match self.normal().checked()? {
            Num::Int(int) => match i64::try_from(int) {
                Ok(int) => Ok(Number::from(int)),
                Err(_) => Ok(Number::from(u64::try_from(int).unwrap_or(u64::MAX))),
            },
            Num::Double(double) => Number::from_f64(double)
                .ok_or_else(|| Failure::new(ErrorCode::Number, "the result is a number that is not finite")),
        }
    }
}

fn number_in(number: &Number) -> Num {
    if let Some(int) = number.as_i64() {
        Num::Int(int.into())
    } else if let Some(int) = number.as_u64() {
        Num::Int(int.into())
    } else {
        Num::Double(number.as_f64().unwrap_or(f64::NAN)).normal()
    }
}

/// The machine's value of a JSON value that is neither list nor object.
pub(super) fn scalar(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::from(()),
        Json::Bool(boolean) => Value::from(*boolean),
        Json::Number(number) => number_in(number).into_value(),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// Bytes that a result may still take.
pub(super) struct Budget {
    left: usize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget { left: max, max }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Failure::new(
                ErrorCode::ResultTooLarge,
                format!("the result is larger than {} bytes as JSON or text", self.max),
            )),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        let escapes: usize = text
            .bytes()
            .map(|byte| match byte {
                b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
                0..0x20 => 5,
                _ => 0,
            })
            .sum();
        self.take(text.len() + escapes + 2)
    }

    fn number(&mut self, number: &Number) -> Result<(), Failure> {
        let bytes = match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => digits(int.unsigned_abs()) + usize::from(int < 0),
            (None, Some(int)) => digits(int),
            _ => number.to_string().len(),
        };
        self.take(bytes)
    }

    fn separators(&mut self, items: usize) -> Result<(), Failure> {
        self.take(2 + items.saturating_sub(1))
    }
}

fn digits(int: u64) -> usize {
    int.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn too_deep() -> Failure {
    Failure::new(
        ErrorCode::ResultTooLarge,
        format!("the result is nested deeper than {RESULT_DEPTH_MAX} levels"),
    )
}

/// A copy of a JSON value with its numbers normalised, within the budget.
pub(super) fn copy(json: &Json, budget: &mut Budget, depth: usize) -> Result<Json, Failure> {
    if depth > RESULT_DEPTH_MAX {
        return Err(too_deep());
    }
    Ok(match json {
        Json::Null => {
            budget.take(4)?;
            Json::Null
        }
        Json::Bool(boolean) => {
            budget.take(if *boolean { 4 } else { 5 })?;
            Json::Bool(*boolean)
        }
        Json::Number(number) => {
            let number = number_in(number).into_json()?;
            budget.number(&number)?;
            Json::Number(number)
        }
        Json::String(text) => {
            budget.text(text)?;
            Json::String(text.clone())
        }
        Json::Array(items) => {
            budget.separators(items.len())?;
            let copied: Result<Vec<_>, _> = items.iter().map(|item| copy(item, budget, depth + 1)).collect();
            Json::Array(copied?)
        }
        Json::Object(members) => {
            budget.separators(members.len())?;
            let mut copied = Map::new();
            for (key, member) in members {
                budget.text(key)?;
                budget.take(1)?;
                copied.insert(key.clone(), copy(member, budget, depth + 1)?);
            }
            Json::Object(copied)
        }
    })
}

/// The JSON of a value that leaves an expression, within the budget.
pub(super) fn leave(value: &Value, budget: &mut Budget, depth: usize) -> Result<Json, Failure> {
    if depth > RESULT_DEPTH_MAX {
        return Err(too_deep());
    }
    match value.kind() {
        ValueKind::Undefined => Err(Failure::undefined(if depth == 0 {
            "the result is undefined"
        } else {
            "a value inside the result is undefined"
        })),
        ValueKind::None => copy(&Json::Null, budget, depth),
        ValueKind::Bool => copy(&Json::Bool(value.is_true()), budget, depth),
        ValueKind::Number => {
            let number =
                Num::of(value).ok_or_else(|| Failure::new(ErrorCode::Number, "not a number"))?.into_json()?;
            budget.number(&number)?;
            Ok(Json::Number(number))
        }
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.text(text)?;
            Ok(Json::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            if let Some(node) = value.downcast_object_ref::<Node>() {
                return copy(node.json(), budget, depth);
            }
            budget.take(2)?;
            let mut items = Vec::new();
            for item in value.try_iter().map_err(|error| Failure::from_error(&error, ""))? {
                if !items.is_empty() {
                    budget.take(1)?;
                }
                items.push(leave(&item, budget, depth + 1)?);
            }
            Ok(Json::Array(items))
        }
        ValueKind::Map => {
            if let Some(node) = value.downcast_object_ref::<Node>() {
                return copy(node.json(), budget, depth);
            }
            budget.take(2)?;
            let mut members = Map::new();
            for key in value.try_iter().map_err(|error| Failure::from_error(&error, ""))? {
                let Some(text) = key.as_str() else {
                    return Err(Failure::of_type(format!(
                        "a key of an object must be text, found {}",
                        type_name(&key)
                    )));
                };
                if !members.is_empty() {
                    budget.take(1)?;
                }
                budget.text(text)?;
                budget.take(1)?;
                let member = value.get_item(&key).unwrap_or_default();
                members.insert(text.to_owned(), leave(&member, budget, depth + 1)?);
            }
            Ok(Json::Object(members))
        }
        _ => Err(Failure::of_type(format!("the result cannot be {}", type_name(value)))),
    }
}

/// The text of a value, by the table of the language: text itself, numbers and compact JSON, never `none`.
pub(super) fn write_text(value: &Value, out: &mut impl Write, budget: &mut Budget) -> Result<(), Failure> {
    let failed = |_| Failure::new(ErrorCode::Other, "the text could not be written");
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.take(text.len())?;
            out.write_str(text).map_err(failed)
        }
        ValueKind::Undefined => Err(Failure::undefined("text is made of a value that is undefined")),
        ValueKind::None => Err(null_in_text()),
        _ => {
            // The budget counts compact JSON, which is what the text is.
            let json = leave(value, budget, 0)?;
            out.write_str(&compact(&json)?).map_err(failed)
        }
    }
}

/// Compact JSON with the numbers of the language: `1e22`, not `1e+22`.
pub(super) fn compact(json: &Json) -> Result<String, Failure> {
    struct Compact;
    impl Formatter for Compact {
        fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
            let text = Number::from_f64(value).map(|number| number.to_string()).unwrap_or_default();
            writer.write_all(text.replace("e+", "e").as_bytes())
        }
    }
    let mut out = Vec::new();
    let written = json.serialize(&mut Serializer::with_formatter(&mut out, Compact));
    match (written, String::from_utf8(out)) {
        (Ok(()), Ok(text)) => Ok(text),
        _ => Err(Failure::new(ErrorCode::Other, "the value cannot be written as JSON")),
    }
}

/// The text of a JSON value that has already been normalised.
pub(super) fn json_text(json: &Json) -> Result<String, Failure> {
    match json {
        Json::Null => Err(null_in_text()),
        Json::String(text) => Ok(text.clone()),
        other => compact(other),
    }
}

fn null_in_text() -> Failure {
    Failure::new(ErrorCode::NullInText, "text is made of `none`; write `default('', true)` for an empty text")
}
