//! Filters over lists and objects, and `range`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use minijinja::value::{ValueIter, ValueKind};
use minijinja::{State, Value};

use super::argument::{Arguments, Signature};
use super::error::{ErrorCode, Failure};
use super::json::{Num, type_name};
use super::operator::{add_numbers, charge, defined, is_list};

/// The most items of `range`, and the highest count of `batch` and `slice`.
pub(super) const COUNT_MAX: usize = 10_000;

/// The length of a value as work counts it: bytes of a text, items of a list or object.
pub(super) fn size(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(1),
    }
}

pub(super) fn items(value: &Value, name: &str) -> Result<ValueIter, Failure> {
    if is_list(value) || matches!(value.kind(), ValueKind::Map | ValueKind::String) {
        return value.try_iter().map_err(|error| Failure::from_error(&error, name));
    }
    Err(Failure::of_type(format!("`{name}` takes a list, found {}", type_name(value))))
}

fn list_items(value: &Value, name: &str) -> Result<ValueIter, Failure> {
    if !is_list(value) {
        return Err(Failure::of_type(format!("`{name}` takes a list, found {}", type_name(value))));
    }
    items(value, name)
}

fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Value, Failure> {
    if value.kind() == ValueKind::Map {
        return Ok(value);
    }
    Err(Failure::of_type(format!("`{name}` takes an object, found {}", type_name(value))))
}

/// The value at a path such as `a.b.0`; undefined when the last step is missing.
pub(super) fn attribute_of(item: &Value, path: Option<&str>) -> Result<Value, Failure> {
    let Some(path) = path else {
        return Ok(item.clone());
    };
    let mut value = item.clone();
    for step in path.split('.') {
        defined(&value, &format!("a step before `{step}` of attribute `{path}`"))?;
        let key = step
            .parse::<usize>()
            .ok()
            .filter(|_| is_list(&value))
            .map_or_else(|| Value::from(step), Value::from);
        value = value.get_item(&key).unwrap_or_default();
    }
    Ok(value)
}

/// Results of the crate that are lazy, tuples or numbers become plain lists and checked numbers.
pub(super) fn settle(value: Value) -> Result<Value, Failure> {
    if let Some(number) = Num::of(&value) {
        return Ok(number.checked()?.into_value());
    }
    if !is_list(&value) {
        charge(size(&value))?;
        return Ok(value);
    }
    let mut list = Vec::new();
    for item in value.try_iter().map_err(|error| Failure::from_error(&error, ""))? {
        charge(1)?;
        list.push(if item.is_tuple() {
            Value::from(item.try_iter().map_err(|error| Failure::from_error(&error, ""))?.collect::<Vec<_>>())
        } else {
            item
        });
    }
    Ok(Value::from(list))
}

/// Fails when an item, or its attribute, is undefined: there is nothing to compare then.
pub(super) fn comparable(value: &Value, arguments: &Arguments) -> Result<(), Failure> {
    let name = arguments.signature.name;
    let attribute = arguments.text("attribute")?;
    if arguments.has("default") {
        return Ok(());
    }
    for item in items(value, name)? {
        charge(1)?;
        for attribute in
            attribute.map_or(vec![None], |paths| paths.split(',').map(|path| Some(path.trim())).collect())
        {
            defined(
                &attribute_of(&item, attribute)?,
                &format!("an item or attribute that `{name}` compares"),
            )?;
        }
    }
    Ok(())
}

pub(super) fn default(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    charge(1)?;
    let other = || arguments.places.first().cloned().unwrap_or_else(|| Value::from(""));
    let even_if_false = arguments.places.get(1).is_some_and(Value::is_true);
    Ok(if value.is_undefined() || (even_if_false && !value.is_true()) { other() } else { value.clone() })
}

pub(super) fn keys(_: &mut State, value: &Value, _: &Arguments) -> Result<Value, Failure> {
    Ok(Value::from(items(object(value, "keys")?, "keys")?.collect::<Vec<_>>()))
}

pub(super) fn values(_: &mut State, value: &Value, _: &Arguments) -> Result<Value, Failure> {
    let keys = items(object(value, "values")?, "values")?;
    Ok(Value::from(keys.map(|key| value.get_item(&key).unwrap_or_default()).collect::<Vec<_>>()))
}

pub(super) fn flatten(_: &mut State, value: &Value, _: &Arguments) -> Result<Value, Failure> {
    let mut list = Vec::new();
    for item in list_items(value, "flatten")? {
        defined(&item, "an item of `flatten`")?;
        if !is_list(&item) {
            return Err(Failure::of_type(format!(
                "`flatten` takes a list of lists, found {} in it",
                type_name(&item)
            )));
        }
        charge(item.len().unwrap_or(0))?;
        list.extend(items(&item, "flatten")?);
    }
    Ok(Value::from(list))
}

pub(super) fn chain(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let all = || std::iter::once(value).chain(arguments.places);
    for part in all() {
        charge(size(part))?;
    }
    if all().all(|part| part.kind() == ValueKind::Map) {
        return all().try_fold(BTreeMap::new(), extend).map(Value::from_object);
    }
    let mut list = Vec::new();
    for part in all() {
        list.extend(items(part, "chain")?);
    }
    Ok(Value::from(list))
}

fn extend(mut into: BTreeMap<String, Value>, from: &Value) -> Result<BTreeMap<String, Value>, Failure> {
    for key in items(from, "merge")? {
        let Some(name) = key.as_str() else {
            return Err(Failure::of_type(format!(
                "a key of an object must be text, found {}",
                type_name(&key)
            )));
        };
        into.insert(name.to_owned(), from.get_item(&key).unwrap_or_default());
    }
    Ok(into)
}

pub(super) fn merge(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let other = arguments.places.first().unwrap_or(&Value::UNDEFINED);
    object(value, "merge")?;
    object(other, "merge")?;
    charge(size(value) + size(other))?;
    extend(extend(BTreeMap::new(), value)?, other).map(Value::from_object)
}

pub(super) fn top(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let n = arguments
        .integer("n")?
        .ok_or_else(|| Failure::of_type("`n` of `top` must be an integer, found none"))?;
    let Ok(n) = usize::try_from(n) else {
        return Err(Failure::of_type(format!("`n` of `top` must not be negative, found {n}")));
    };
    let attribute = arguments.text("attribute")?;
    let mut scored = Vec::new();
    for item in list_items(value, "top")? {
        charge(1)?;
        let score = attribute_of(&item, attribute)?;
        defined(&score, "an item or attribute that `top` compares")?;
        let Some(score) = Num::of(&score) else {
            return Err(Failure::of_type(format!("`top` compares numbers, found {}", type_name(&score))));
        };
        scored.push((score.into_value(), item));
    }
    // Stable, so that ties stay in input order.
    scored.sort_by(|a, b| b.0.cmp(&a.0));
    scored.truncate(n);
    Ok(Value::from(scored.into_iter().map(|(_, item)| item).collect::<Vec<_>>()))
}

fn verdicts(value: &Value, arguments: &Arguments) -> Result<Vec<bool>, Failure> {
    let name = arguments.signature.name;
    let attribute = arguments.text("attribute")?;
    let verdict = |item: Value| {
        charge(1)?;
        let verdict = attribute_of(&item, attribute)?;
        defined(&verdict, &format!("an item or attribute of `{name}`"))?;
        if verdict.kind() != ValueKind::Bool {
            return Err(Failure::of_type(format!("`{name}` takes booleans, found {}", type_name(&verdict))));
        }
        Ok(verdict.is_true())
    };
    // An object stands for its members, so that results by branch can be asked.
    if value.kind() == ValueKind::Map {
        return items(value, name)?.map(|key| verdict(value.get_item(&key).unwrap_or_default())).collect();
    }
    list_items(value, name)?.map(verdict).collect()
}

pub(super) fn all(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    Ok(Value::from(verdicts(value, arguments)?.into_iter().all(|verdict| verdict)))
}

pub(super) fn any(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    Ok(Value::from(verdicts(value, arguments)?.into_iter().any(|verdict| verdict)))
}

pub(super) fn sum(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let attribute = arguments.text("attribute")?;
    let number = |value: &Value| {
        Num::of(value)
            .ok_or_else(|| Failure::of_type(format!("`sum` takes numbers, found {}", type_name(value))))
    };
    let mut total = number(arguments.get("start").unwrap_or(&Value::from(0)))?;
    for item in list_items(value, "sum")? {
        charge(1)?;
        let item = attribute_of(&item, attribute)?;
        defined(&item, "an item or attribute that `sum` adds")?;
        total = add_numbers(total, number(&item)?)?;
    }
    Ok(total.into_value())
}

fn count_of(arguments: &Arguments) -> Result<usize, Failure> {
    let count = arguments.integer("count")?.unwrap_or(0);
    usize::try_from(count).ok().filter(|count| (1..=COUNT_MAX).contains(count)).ok_or_else(|| {
        let message = format!(
            "the count of `{}` must be within 1 and {COUNT_MAX}, found {count}",
            arguments.signature.name
        );
        Failure::new(if count > 0 { ErrorCode::Work } else { ErrorCode::Type }, message)
    })
}

pub(super) fn batch(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let count = count_of(arguments)?;
    let list: Vec<Value> = items(value, "batch")?.collect();
    charge(list.len() + if arguments.get("fill_with").is_some() { count } else { 0 })?;
    let mut batches: Vec<Vec<Value>> = list.chunks(count).map(<[Value]>::to_vec).collect();
    if let (Some(filler), Some(last)) = (arguments.get("fill_with"), batches.last_mut()) {
        last.resize(count, filler.clone());
    }
    Ok(Value::from(batches))
}

pub(super) fn slice(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let count = count_of(arguments)?;
    let list: Vec<Value> = items(value, "slice")?.collect();
    charge(list.len() + count)?;
    let (each, longer) = (list.len() / count, list.len() % count);
    let mut rest = list.as_slice();
    let mut slices = Vec::with_capacity(count);
    for index in 0..count {
        let (mine, others) = rest.split_at(each + usize::from(index < longer));
        rest = others;
        let mut mine = mine.to_vec();
        if let Some(filler) = arguments.get("fill_with").filter(|_| index >= longer) {
            mine.push(filler.clone());
        }
        slices.push(mine);
    }
    Ok(Value::from(slices))
}

pub(super) fn zip(_: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let lists: Vec<Vec<Value>> = std::iter::once(value)
        .chain(arguments.places)
        .map(|list| {
            charge(size(list))?;
            Ok(items(list, "zip")?.collect())
        })
        .collect::<Result<_, Failure>>()?;
    let length = lists.iter().map(Vec::len).min().unwrap_or(0);
    charge(length.saturating_mul(lists.len()))?;
    Ok(Value::from(
        (0..length)
            .map(|index| Value::from(lists.iter().map(|list| list[index].clone()).collect::<Vec<_>>()))
            .collect::<Vec<_>>(),
    ))
}

pub(super) fn map(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let name = arguments.places.first();
    let attribute = arguments.get("attribute");
    let mut list = Vec::new();
    for item in items(value, "map")? {
        charge(1)?;
        list.push(match (attribute, name) {
            (Some(attribute), None) => mapped(&item, attribute, arguments)?,
            (None, Some(name)) => {
                let name = name.as_str().ok_or_else(|| {
                    Failure::of_type(format!("`map` names a filter by text, found {}", type_name(name)))
                })?;
                let values: Vec<Value> =
                    std::iter::once(item).chain(arguments.places[1..].iter().cloned()).collect();
                state.apply_filter(name, &values).map_err(|error| Failure::from_error(&error, name))?
            }
            _ => return Err(Failure::of_type("`map` takes either the name of a filter or `attribute`")),
        });
    }
    Ok(Value::from(list))
}

fn mapped(item: &Value, attribute: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    defined(item, "an item of `map`")?;
    let default = arguments
        .has("default")
        .then(|| arguments.get("default").cloned().unwrap_or_else(|| Value::from(())));
    let found = match attribute.as_str() {
        Some(path) => attribute_of(item, Some(path)),
        None => Ok(item.get_item(attribute).unwrap_or_default()),
    };
    match (found, default) {
        (Ok(found), Some(default)) if found.is_undefined() => Ok(default),
        (Err(_), Some(default)) => Ok(default),
        (found, _) => found,
    }
}

fn pick(
    state: &mut State,
    value: &Value,
    name: &str,
    attribute: Option<&str>,
    test: &[Value],
    wanted: bool,
) -> Result<Value, Failure> {
    let mut list = Vec::new();
    for item in items(value, name)? {
        charge(1)?;
        let tested = attribute_of(&item, attribute)?;
        let passed = match test.split_first() {
            None => {
                defined(&tested, &format!("an item or attribute of `{name}`"))?;
                tested.is_true()
            }
            Some((test, rest)) => {
                let test = test.as_str().ok_or_else(|| {
                    Failure::of_type(format!("`{name}` names a test by text, found {}", type_name(test)))
                })?;
                let values: Vec<Value> = std::iter::once(tested).chain(rest.iter().cloned()).collect();
                state.perform_test(test, &values).map_err(|error| Failure::from_error(&error, test))?
            }
        };
        if passed == wanted {
            list.push(item);
        }
    }
    Ok(Value::from(list))
}

pub(super) fn select(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    pick(state, value, "select", None, arguments.places, true)
}

pub(super) fn reject(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    pick(state, value, "reject", None, arguments.places, false)
}

pub(super) fn selectattr(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let attribute = arguments.text("attribute")?;
    pick(state, value, "selectattr", attribute, arguments.places.get(1..).unwrap_or_default(), true)
}

pub(super) fn rejectattr(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Failure> {
    let attribute = arguments.text("attribute")?;
    pick(state, value, "rejectattr", attribute, arguments.places.get(1..).unwrap_or_default(), false)
}

pub(super) fn range(signature: &Signature, values: &[Value]) -> Result<Value, Failure> {
    let arguments = Arguments::read(signature, values, false)?;
    let first =
        arguments.integer("a")?.ok_or_else(|| Failure::of_type("`range` takes integers, found none"))?;
    let (start, stop) = arguments.integer("b")?.map_or((0, first), |stop| (first, stop));
    let step = arguments.integer("step")?.unwrap_or(1);
    let span = match step.cmp(&0) {
        Ordering::Equal => return Err(Failure::of_type("the step of `range` must not be 0")),
        Ordering::Greater => stop - start,
        Ordering::Less => start - stop,
    };
    let count = if span <= 0 { 0 } else { (span - 1) / step.abs() + 1 };
    if count > COUNT_MAX as i128 {
        return Err(Failure::new(
            ErrorCode::Work,
            format!("`range` gives at most {COUNT_MAX} items (a fixed limit), found {count}"),
        ));
    }
    charge((count as usize).max(1))?;
    Ok(Value::from((0..count).map(|n| Num::Int(start + n * step).into_value()).collect::<Vec<_>>()))
}
