//! The tests behind `is`, and by name in `select` and its kin.

use std::cmp::Ordering;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::argument::{Arguments, Signature};
use super::error::{ErrorCode, Failure};
use super::json::{Num, type_name};
use super::operator::{contains, defined, equal, is_list, order};

/// One test: the value and, where it takes one, the value it is compared with.
pub(super) type Body = fn(&Value, &Value) -> Result<bool, Failure>;

pub(super) const TESTS: &[(&str, Body)] = &[
    ("!=(other/)", |a, b| equal(a, b).map(|equal| !equal)),
    ("<(other/)", |a, b| order(a, b).map(Ordering::is_lt)),
    ("<=(other/)", |a, b| order(a, b).map(Ordering::is_le)),
    ("==(other/)", equal),
    (">(other/)", |a, b| order(a, b).map(Ordering::is_gt)),
    (">=(other/)", |a, b| order(a, b).map(Ordering::is_ge)),
    ("boolean()", |a, _| Ok(a.kind() == ValueKind::Bool)),
    ("defined()", |a, _| Ok(!a.is_undefined())),
    ("divisibleby(other/)", divisible),
    ("endingwith(other/)", |a, b| texts("endingwith", a, b).map(|(a, b)| a.ends_with(b))),
    ("eq(other/)", equal),
    ("equalto(other/)", equal),
    ("even()", |a, _| Ok(parity(a) == Some(0))),
    ("false()", |a, _| Ok(a.kind() == ValueKind::Bool && !a.is_true())),
    ("float()", |a, _| Ok(matches!(Num::of(a), Some(Num::Double(_))))),
    ("ge(other/)", |a, b| order(a, b).map(Ordering::is_ge)),
    ("greaterthan(other/)", |a, b| order(a, b).map(Ordering::is_gt)),
    ("gt(other/)", |a, b| order(a, b).map(Ordering::is_gt)),
    ("in(other/)", |a, b| contains(b, a)),
    ("int()", |a, _| Ok(matches!(Num::of(a), Some(Num::Int(_))))),
    ("integer()", |a, _| Ok(matches!(Num::of(a), Some(Num::Int(_))))),
    ("le(other/)", |a, b| order(a, b).map(Ordering::is_le)),
    ("lessthan(other/)", |a, b| order(a, b).map(Ordering::is_lt)),
    ("lower()", |a, _| Ok(cased(a, char::is_uppercase, char::is_lowercase))),
    ("lt(other/)", |a, b| order(a, b).map(Ordering::is_lt)),
    ("mapping()", |a, _| Ok(a.kind() == ValueKind::Map)),
    ("ne(other/)", |a, b| equal(a, b).map(|equal| !equal)),
    ("none()", |a, _| Ok(a.is_none())),
    ("number()", |a, _| Ok(matches!(a.kind(), ValueKind::Number | ValueKind::Bool))),
    ("odd()", |a, _| Ok(parity(a) == Some(1))),
    ("sequence()", |a, _| Ok(is_list(a))),
    ("startingwith(other/)", |a, b| texts("startingwith", a, b).map(|(a, b)| a.starts_with(b))),
    ("string()", |a, _| Ok(a.kind() == ValueKind::String)),
    ("true()", |a, _| Ok(a.kind() == ValueKind::Bool && a.is_true())),
    ("undefined()", |a, _| Ok(a.is_undefined())),
    ("upper()", |a, _| Ok(cased(a, char::is_lowercase, char::is_uppercase))),
];

pub(super) fn perform(
    signature: &Signature,
    body: Body,
    value: &Value,
    rest: &[Value],
) -> Result<bool, Failure> {
    if !matches!(signature.name, "defined" | "undefined") {
        defined(value, &format!("the value before `is {}`", signature.name))?;
    }
    let arguments = Arguments::read(signature, rest, false)?;
    body(value, arguments.places.first().unwrap_or(&Value::UNDEFINED))
}

fn integer(value: &Value) -> Option<i128> {
    match Num::of(value)?.normal() {
        Num::Int(int) => Some(int),
        Num::Double(_) => None,
    }
}

fn parity(value: &Value) -> Option<i128> {
    integer(value).map(|int| int.rem_euclid(2))
}

fn divisible(a: &Value, b: &Value) -> Result<bool, Failure> {
    let (Some(left), Some(right)) = (Num::of(a), Num::of(b)) else {
        return Ok(false);
    };
    if right.as_f64() == 0.0 {
        return Err(Failure::new(ErrorCode::Number, "`divisibleby` divides by zero"));
    }
    match (left.normal(), right.normal()) {
        (Num::Int(a), Num::Int(b)) => Ok(a % b == 0),
        (a, b) => Ok(a.as_f64() % b.as_f64() == 0.0),
    }
}

fn texts<'a>(name: &str, a: &'a Value, b: &'a Value) -> Result<(&'a str, &'a str), Failure> {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(Failure::of_type(format!(
            "`{name}` takes two texts, found {} and {}",
            type_name(a),
            type_name(b)
        ))),
    }
}

fn cased(value: &Value, wrong: fn(char) -> bool, right: fn(char) -> bool) -> bool {
    value.as_str().is_some_and(|text| !text.contains(wrong) && text.contains(right))
}
