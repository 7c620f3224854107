//! The operators: arithmetic on numbers, joining with `+`, comparison, `in` and slices, each charged for its work.
//!
//! The machine's own operators are not used: they repeat text by `*`, keep lists lazy, wrap silently or panic on
//! unusual slices, and do not count what they do.

use std::cell::Cell;
use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::error::{ErrorCode, Failure};
use super::evaluate::WORK_UNITS_MAX;
use super::json::{Num, type_name};

thread_local! {
    // One evaluation runs on one thread from start to end, so its counter can live beside it.
    static WORK_LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Gives an evaluation its own work units and restores those of the evaluation around it.
pub(super) struct WorkScope(u64);

impl WorkScope {
    pub(super) fn new() -> WorkScope {
        WorkScope(WORK_LEFT.replace(WORK_UNITS_MAX))
    }
}

impl Drop for WorkScope {
    fn drop(&mut self) {
        WORK_LEFT.set(self.0);
    }
}

/// Takes work units, before the work is done where its size is known.
pub(super) fn charge(units: usize) -> Result<(), Failure> {
    let left = WORK_LEFT.get();
    match left.checked_sub(units as u64) {
        Some(left) => {
            WORK_LEFT.set(left);
            Ok(())
        }
        None => {
            WORK_LEFT.set(0);
            Err(Failure::new(
                ErrorCode::Work,
                format!("the expression does more than {WORK_UNITS_MAX} units of work (a fixed limit)"),
            ))
        }
    }
}

/// Names of the internal filters that carry out operators. None of them can be written in an expression.
pub(super) mod name {
    pub(in super::super) const ADD: &str = "+";
    pub(in super::super) const SUB: &str = "-";
    pub(in super::super) const MUL: &str = "*";
    pub(in super::super) const DIV: &str = "/";
    pub(in super::super) const FLOOR_DIV: &str = "//";
    pub(in super::super) const REM: &str = "%";
    pub(in super::super) const NEG: &str = "-()";
    pub(in super::super) const EQ: &str = "==";
    pub(in super::super) const NE: &str = "!=";
    pub(in super::super) const LT: &str = "<";
    pub(in super::super) const LE: &str = "<=";
    pub(in super::super) const GT: &str = ">";
    pub(in super::super) const GE: &str = ">=";
    pub(in super::super) const IN: &str = "in";
    pub(in super::super) const SLICE: &str = "[:]";
    pub(in super::super) const AND_RIGHT: &str = "<>";
    pub(in super::super) const LEFT: &str = "<.";
    pub(in super::super) const RIGHT: &str = ".>";
}

pub(super) fn register(env: &mut Environment<'static>) {
    macro_rules! arithmetic {
        ($($name:expr => $operator:expr),* $(,)?) => {
            $(env.add_filter($name, |a: &Value, b: &Value| arithmetic($operator, a, b));)*
        };
    }
    arithmetic!(
        name::SUB => Arithmetic::Sub, name::MUL => Arithmetic::Mul, name::DIV => Arithmetic::Div,
        name::FLOOR_DIV => Arithmetic::FloorDiv, name::REM => Arithmetic::Rem,
    );
    env.add_filter(name::ADD, add);
    env.add_filter(name::NEG, |a: &Value| arithmetic(Arithmetic::Sub, &Value::from(0), a));
    env.add_filter(name::EQ, |a: &Value, b: &Value| equal(a, b).map_err(Error::from));
    env.add_filter(name::NE, |a: &Value, b: &Value| equal(a, b).map(|equal| !equal).map_err(Error::from));
    env.add_filter(name::LT, |a: &Value, b: &Value| ordered(a, b).map(Ordering::is_lt));
    env.add_filter(name::LE, |a: &Value, b: &Value| ordered(a, b).map(Ordering::is_le));
    env.add_filter(name::GT, |a: &Value, b: &Value| ordered(a, b).map(Ordering::is_gt));
    env.add_filter(name::GE, |a: &Value, b: &Value| ordered(a, b).map(Ordering::is_ge));
    env.add_filter(name::IN, |a: &Value, b: &Value| contains(b, a).map_err(Error::from));
    env.add_filter(name::SLICE, |value: &Value, start: &Value, stop: &Value, step: &Value| {
        slice(value, start, stop, step).map_err(Error::from)
    });
    // A chained comparison needs its middle operand twice: kept here as a pair of operand and outcome.
    env.add_filter(name::AND_RIGHT, |state: &mut State, a: &Value, operator: &str, b: &Value| {
        let outcome = match operator {
            "not in" => Value::from(!contains(b, a)?),
            other => state.apply_filter(other, &[a.clone(), b.clone()])?,
        };
        Ok::<_, Error>(Value::from(vec![b.clone(), outcome]))
    });
    env.add_filter(name::LEFT, |pair: &Value| pair.get_item_by_index(0));
    env.add_filter(name::RIGHT, |pair: &Value| pair.get_item_by_index(1));
}

/// Fails with `undefined` for a value that is.
pub(super) fn defined(value: &Value, what: &str) -> Result<(), Failure> {
    if value.is_undefined() {
        return Err(Failure::undefined(format!("{what} is undefined")));
    }
    Ok(())
}

fn both_defined(symbol: &str, a: &Value, b: &Value) -> Result<(), Failure> {
    defined(a, &format!("the left side of `{symbol}`"))
        .and_then(|()| defined(b, &format!("the right side of `{symbol}`")))
}

#[derive(Clone, Copy)]
enum Arithmetic {
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Sub => name::SUB,
            Arithmetic::Mul => name::MUL,
            Arithmetic::Div => name::DIV,
            Arithmetic::FloorDiv => name::FLOOR_DIV,
            Arithmetic::Rem => name::REM,
        }
    }
}

fn wrong_types(symbol: &str, wanted: &str, a: &Value, b: &Value) -> Failure {
    Failure::of_type(format!("`{symbol}` takes {wanted}, found {} and {}", type_name(a), type_name(b)))
}

fn arithmetic(operator: Arithmetic, a: &Value, b: &Value) -> Result<Value, Error> {
    let symbol = operator.symbol();
    charge(1)?;
    let (Some(left), Some(right)) = (Num::of(a), Num::of(b)) else {
        both_defined(symbol, a, b)?;
        return Err(wrong_types(symbol, "two numbers", a, b).into());
    };
    Ok(compute(operator, left, right)?.checked()?.into_value())
}

fn compute(operator: Arithmetic, left: Num, right: Num) -> Result<Num, Failure> {
    let divides = matches!(operator, Arithmetic::Div | Arithmetic::FloorDiv | Arithmetic::Rem);
    if divides && right.as_f64() == 0.0 {
        return Err(Failure::new(ErrorCode::Number, format!("`{}` divides by zero", operator.symbol())));
    }
    let too_big = || Failure::new(ErrorCode::Number, "the result is an integer beyond 64 bits");
    if let (Num::Int(a), Num::Int(b)) = (left, right) {
        let result = match operator {
            Arithmetic::Sub => a.checked_sub(b),
            Arithmetic::Mul => a.checked_mul(b),
            Arithmetic::FloorDiv => floor_division(a, b).map(|(quotient, _)| quotient),
            Arithmetic::Rem => floor_division(a, b).map(|(_, remainder)| remainder),
            Arithmetic::Div => return Ok(Num::Double(a as f64 / b as f64)),
        };
        return result.map(Num::Int).ok_or_else(too_big);
    }
    let (a, b) = (left.as_f64(), right.as_f64());
    Ok(Num::Double(match operator {
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::FloorDiv => (a / b).floor(),
        Arithmetic::Rem => {
            let remainder = a % b;
            if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
        }
    }))
}

/// Quotient rounded down and a remainder with the sign of the divisor.
fn floor_division(a: i128, b: i128) -> Option<(i128, i128)> {
    let (quotient, remainder) = (a.checked_div(b)?, a.checked_rem(b)?);
    if remainder != 0 && (remainder < 0) != (b < 0) {
        Some((quotient - 1, remainder + b))
    } else {
        Some((quotient, remainder))
    }
}

/// The number with the other sign.
pub(super) fn negative(number: Num) -> Result<Num, Failure> {
    compute(Arithmetic::Sub, Num::Int(0), number)?.checked()
}

/// The sum of two numbers as an expression adds them.
pub(super) fn add_numbers(left: Num, right: Num) -> Result<Num, Failure> {
    match (left, right) {
        (Num::Int(a), Num::Int(b)) => a
            .checked_add(b)
            .map(Num::Int)
            .ok_or_else(|| Failure::new(ErrorCode::Number, "the result is an integer beyond 64 bits"))?
            .checked(),
        _ => Num::Double(left.as_f64() + right.as_f64()).checked(),
    }
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (Num::of(a), Num::of(b)) {
        charge(1)?;
        return Ok(add_numbers(left, right)?.into_value());
    }
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        charge((left.len() + right.len()).max(1))?;
        return Ok(Value::from([left, right].concat()));
    }
    both_defined(name::ADD, a, b)?;
    if is_list(a) && is_list(b) {
        let length = a.len().unwrap_or(0) + b.len().unwrap_or(0);
        charge(length.max(1))?;
        let mut items = Vec::with_capacity(length);
        items.extend(a.try_iter()?);
        items.extend(b.try_iter()?);
        return Ok(Value::from(items));
    }
    Err(wrong_types(name::ADD, "two numbers, two texts or two lists", a, b).into())
}

pub(super) fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// A boolean counts as 0 or 1 where it is compared with a number for equality.
fn numeric(value: &Value) -> Option<Num> {
    if value.kind() == ValueKind::Bool { Some(Num::Int(value.is_true().into())) } else { Num::of(value) }
}

fn compare_numbers(a: Num, b: Num) -> Ordering {
    match (a.normal(), b.normal()) {
        (Num::Int(a), Num::Int(b)) => a.cmp(&b),
        (Num::Double(a), Num::Double(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Num::Int(a), Num::Double(b)) => compare_mixed(a, b),
        (Num::Double(a), Num::Int(b)) => compare_mixed(b, a).reverse(),
    }
}

fn compare_mixed(int: i128, double: f64) -> Ordering {
    // A double beyond the exact range is integral, and within i128 when it is near any integer of ours.
    if double.fract() == 0.0 && double.abs() < 1e30 {
        return int.cmp(&(double as i128));
    }
    (int as f64).partial_cmp(&double).unwrap_or(Ordering::Equal)
}

/// `==`: false across types, but numbers and booleans by value.
pub(super) fn equal(a: &Value, b: &Value) -> Result<bool, Failure> {
    if let (Some(left), Some(right)) = (numeric(a), numeric(b)) {
        return Ok(compare_numbers(left, right).is_eq());
    }
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        charge(1 + left.len().min(right.len()) / 64)?;
        return Ok(left == right);
    }
    both_defined(name::EQ, a, b)?;
    charge(1)?;
    if is_list(a) && is_list(b) {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (left, right) in items(a)?.zip(items(b)?) {
            if !equal(&left, &right)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if a.kind() == ValueKind::Map && b.kind() == ValueKind::Map {
        if a.len() != b.len() {
            return Ok(false);
        }
        for key in items(a)? {
            let (left, right) = (a.get_item(&key).unwrap_or_default(), b.get_item(&key).unwrap_or_default());
            if right.is_undefined() || !equal(&left, &right)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(a.kind() == b.kind() && a.is_none())
}

fn rank(value: &Value) -> u8 {
    match value.kind() {
        ValueKind::None => 0,
        ValueKind::Bool => 1,
        ValueKind::Number => 2,
        ValueKind::String => 3,
        ValueKind::Seq | ValueKind::Iterable => 4,
        _ => 5,
    }
}

/// The order of two values: none, booleans, numbers, text, lists, objects; within a type by value.
pub(super) fn order(a: &Value, b: &Value) -> Result<Ordering, Failure> {
    both_defined(name::LT, a, b)?;
    charge(1)?;
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        charge(left.len().min(right.len()) / 64)?;
        return Ok(left.cmp(right));
    }
    match (rank(a), rank(b)) {
        (0, 0) => Ok(Ordering::Equal),
        (1, 1) => Ok(a.is_true().cmp(&b.is_true())),
        (2, 2) => Ok(match (Num::of(a), Num::of(b)) {
            (Some(left), Some(right)) => compare_numbers(left, right),
            _ => Ordering::Equal,
        }),
        (4, 4) => order_items(a, b, order),
        (5, 5) => order_items(a, b, |left, right| match order(left, right)? {
            Ordering::Equal => {
                order(&a.get_item(left).unwrap_or_default(), &b.get_item(right).unwrap_or_default())
            }
            other => Ok(other),
        }),
        (left, right) => Ok(left.cmp(&right)),
    }
}

/// The order of two lists, or of two objects by their keys: that of the first two that differ, else the shorter first.
fn order_items(
    a: &Value,
    b: &Value,
    order: impl Fn(&Value, &Value) -> Result<Ordering, Failure>,
) -> Result<Ordering, Failure> {
    let (mut left, mut right) = (items(a)?, items(b)?);
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ok(Ordering::Equal),
            (None, Some(_)) => return Ok(Ordering::Less),
            (Some(_), None) => return Ok(Ordering::Greater),
            (Some(left), Some(right)) => match order(&left, &right)? {
                Ordering::Equal => {}
                other => return Ok(other),
            },
        }
    }
}

fn ordered(a: &Value, b: &Value) -> Result<Ordering, Error> {
    order(a, b).map_err(Error::from)
}

fn items(value: &Value) -> Result<minijinja::value::ValueIter, Failure> {
    value.try_iter().map_err(|error| Failure::from_error(&error, ""))
}

/// `in`: a text in a text, an item in a list, a key in an object.
pub(super) fn contains(container: &Value, value: &Value) -> Result<bool, Failure> {
    both_defined(name::IN, value, container)?;
    charge(1)?;
    if let Some(text) = container.as_str() {
        let Some(part) = value.as_str() else {
            return Err(Failure::of_type(format!("`in` of a text takes a text, found {}", type_name(value))));
        };
        charge(text.len() / 64)?;
        return Ok(text.contains(part));
    }
    if is_list(container) {
        for item in items(container)? {
            charge(1)?;
            if !item.is_undefined() && equal(&item, value)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if container.kind() == ValueKind::Map {
        return Ok(value.as_str().is_some() && !container.get_item(value).unwrap_or_default().is_undefined());
    }
    Err(Failure::of_type(format!(
        "`in` takes a text, a list or an object on its right, found {}",
        type_name(container)
    )))
}

/// One bound of a slice: nothing for `none`.
fn bound(value: &Value, what: &str) -> Result<Option<i64>, Failure> {
    defined(value, what)?;
    if value.is_none() {
        return Ok(None);
    }
    match Num::of(value).map(Num::normal) {
        Some(Num::Int(int)) => Ok(Some(int.clamp(i64::MIN.into(), i64::MAX.into()) as i64)),
        _ => Err(Failure::of_type(format!("{what} must be an integer, found {}", type_name(value)))),
    }
}

/// The indexes that a slice takes of something `length` long.
fn indexes(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl ExactSizeIterator<Item = usize> {
    let length = length as i128;
    let step = i128::from(step);
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |bound: Option<i64>, missing: i128| match bound {
        None => missing,
        Some(bound) if bound < 0 => (i128::from(bound) + length).clamp(low, high),
        Some(bound) => i128::from(bound).clamp(low, high),
    };
    let (start, stop) = if step > 0 {
        (place(start, low), place(stop, high))
    } else {
        (place(start, high), place(stop, low))
    };
    let span = if step > 0 { stop - start } else { start - stop };
    let count = if span <= 0 { 0 } else { (span + step.abs() - 1) / step.abs() };
    (0..count as usize).map(move |n| (start + n as i128 * step) as usize)
}

fn slice(value: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Failure> {
    defined(value, "the value that is sliced")?;
    let (start, stop) = (bound(start, "the start of a slice")?, bound(stop, "the end of a slice")?);
    let step = bound(step, "the step of a slice")?.unwrap_or(1);
    if step == 0 {
        return Err(Failure::of_type("the step of a slice must not be 0"));
    }
    if let Some(text) = value.as_str() {
        charge(1 + text.len() / 64)?;
        let chars: Vec<char> = text.chars().collect();
        let picked = indexes(chars.len(), start, stop, step);
        charge(picked.len())?;
        return Ok(Value::from(picked.map(|index| chars[index]).collect::<String>()));
    }
    if is_list(value) {
        let picked = indexes(value.len().unwrap_or(0), start, stop, step);
        charge(picked.len().max(1))?;
        return Ok(Value::from(
            picked.map(|index| value.get_item_by_index(index).unwrap_or_default()).collect::<Vec<_>>(),
        ));
    }
    Err(Failure::of_type(format!("only a text or a list can be sliced, found {}", type_name(value))))
}
