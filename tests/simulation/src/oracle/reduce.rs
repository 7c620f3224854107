//! The reducers, by the table of the language's reference.

use bandstand_engine::graph::Reducer;
use serde_json::{Number, Value, json};

/// What the channel becomes; none: the operand does not fit.
pub(super) fn reduce(reducer: Reducer, current: &Value, operand: &Value) -> Option<Value> {
    match reducer {
        Reducer::Replace => Some(operand.clone()),
        Reducer::Append => {
            let both: Vec<Value> = current.as_array()?.iter().chain(operand.as_array()?).cloned().collect();
            Some(Value::Array(both))
        }
        Reducer::Merge => {
            let mut members = current.as_object()?.clone();
            for (key, value) in operand.as_object()? {
                members.insert(key.clone(), value.clone());
            }
            Some(Value::Object(members))
        }
        Reducer::Sum => {
            let sum = number(current)? + number(operand)?;
            if sum.fract() == 0.0 {
                return Some(json!(sum as i64));
            }
            Number::from_f64(sum).map(Value::Number)
        }
        Reducer::Min | Reducer::Max => {
            let new = number(operand)?;
            if current.is_null() {
                return Some(operand.clone());
            }
            let old = number(current)?;
            let wins = if reducer == Reducer::Min { new < old } else { new > old };
            Some(if wins { operand.clone() } else { current.clone() })
        }
    }
}

/// Generated numbers are small: a double holds them exactly.
fn number(value: &Value) -> Option<f64> {
    if value.is_number() { value.as_f64() } else { None }
}
