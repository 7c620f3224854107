//! From JSON to the values of filters and back.

use bandstand_sdk::Failure;
use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

/// How deep a result may nest, so that with the output round it the host can read it.
pub(super) const DEPTH_MAX: usize = 62;
/// Integers up to here have a double of their own.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// A value as filters have it.
pub(super) fn from_json(value: Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(bool) => Val::Bool(bool),
        Value::Number(number) => from_number(&number),
        Value::String(text) => Val::from(text),
        Value::Array(items) => items.into_iter().map(from_json).collect(),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (Val::from(name), from_json(value)));
            Val::obj(members.collect::<Map>())
        }
    }
}

fn from_number(number: &Number) -> Val {
    if let Some(whole) = number.as_i64() {
        Val::Num(Num::from_integral(whole))
    } else if let Some(whole) = number.as_u64() {
        Val::Num(Num::from_integral(whole))
    } else {
        Val::from(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// A result as JSON. `depth` levels are round it already.
pub(super) fn to_json(value: &Val, depth: usize) -> Result<Value, Failure> {
    if depth > DEPTH_MAX {
        let message = format!("the filter's result nests deeper than {DEPTH_MAX} levels");
        return Err(Failure::permanent("result-too-deep", message));
    }
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(bool) => Value::Bool(*bool),
        Val::Num(number) => to_number(number)?,
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::BStr(_) => return Err(not_json("holds bytes; `tostring` makes a text of them")),
        Val::Arr(items) => items.iter().map(|item| to_json(item, depth + 1)).collect::<Result<_, _>>()?,
        Val::Obj(members) => {
            let members = members.iter().map(|(name, value)| match name {
                Val::TStr(name) => {
                    Ok((String::from_utf8_lossy(name).into_owned(), to_json(value, depth + 1)?))
                }
                _ => Err(not_json("has an object with a key that is no text; `tostring` makes one of it")),
            });
            Value::Object(members.collect::<Result<_, Failure>>()?)
        }
    })
}

fn to_number(number: &Num) -> Result<Value, Failure> {
    let double = match number {
        Num::Int(whole) => return Ok((*whole as i64).into()),
        Num::BigInt(whole) => {
            let text = whole.to_string();
            let whole =
                text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
            return whole.map_err(|_| {
                let digits = text.len();
                not_json(&format!("has an integer of {digits} digits, beyond 64 bits; `tostring` keeps it, `. * 1.0` rounds it"))
            });
        }
        Num::Float(double) => *double,
        Num::Dec(text) => text.parse().unwrap_or(f64::NAN),
    };
    // As jq writes them.
    if double.is_nan() {
        return Ok(Value::Null);
    }
    let double = double.clamp(f64::MIN, f64::MAX);
    if double.fract() == 0.0 && double.abs() <= EXACT_MAX {
        return Ok((double as i64).into());
    }
    Ok(Number::from_f64(double).map_or(Value::Null, Value::Number))
}

fn not_json(what: &str) -> Failure {
    Failure::permanent("result-not-json", format!("the filter's result is no JSON: it {what}"))
}
