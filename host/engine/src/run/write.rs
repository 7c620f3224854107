//! Writes to channels: evaluating `update` and `set`, reducing, and holding the result against schema and limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Number, Value};

use super::Run;
use super::measured::Measured;
use super::names::Context;
use super::state::{BranchStatus, Json, Scope};
use crate::event::{Payload, Write, WriteOp};
use crate::failure::{Class, Failure};
use crate::graph::{Keep, Node, Reducer, Update};
use crate::id::Id;
use crate::mistake::{self, Mistake};
use crate::path::Path;

/// Channels with the values they would have after some writes.
pub(super) type Changed = BTreeMap<Id, Json>;

/// What a node would write, and how its scope's channels would look then.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) writes: Vec<Write>,
    pub(super) changed: Changed,
}

impl Run {
    /// Evaluates the node's `update` and `set` on top of `replayed` (what a block's join brings). Nothing is written.
    pub(super) fn plan_writes(
        &self,
        scope: &Path,
        node: &Node,
        replayed: Changed,
        context: &Context<'_>,
    ) -> Result<Plan, Failure> {
        let mut operands: Vec<(Id, WriteOp, Value)> = Vec::new();
        match &node.update {
            None => {}
            Some(Update::Channels(channels)) => {
                for (channel, operand) in channels {
                    operands.push((channel.clone(), self.reducer(channel)?, context.template(operand)?));
                }
            }
            Some(Update::Whole(template)) => {
                let Value::Object(members) = context.template(template)? else {
                    return Err(bad_operand("`update` gave no object: its keys must be channels".to_owned()));
                };
                for (key, operand) in members {
                    let channel = Id::new(&key).map_err(|_| self.unknown_channel(&key))?;
                    let op = self.reducer(&channel)?;
                    operands.push((channel, op, operand));
                }
            }
        }
        for (channel, value) in &node.set {
            operands.push((channel.clone(), WriteOp::Set, context.template(value)?));
        }
        let mut plan = Plan { writes: Vec::with_capacity(operands.len()), changed: replayed };
        let bytes: u64 = operands.iter().map(|(_, _, operand)| json_bytes(operand)).sum();
        self.check_payload("what the node writes", bytes)?;
        for (channel, op, operand) in operands {
            let write = Write { channel, op, value: Payload::new(operand) };
            self.plan_write(scope, &write, &mut plan.changed)?;
            plan.writes.push(write);
        }
        if !plan.changed.is_empty() {
            self.check_state(scope, &plan.changed)?;
        }
        Ok(plan)
    }

    /// The channels as they are after the join of the block at `visit`: the writes of the branches that count, in
    /// declared order, on the state of the block's scope.
    pub(super) fn plan_join(&self, visit: &Path) -> Result<Changed, Failure> {
        let mut changed = Changed::new();
        let (Some(scope), Some(block)) = (visit.parent(), self.visit(visit).and_then(|visit| visit.block()))
        else {
            return Ok(changed);
        };
        for branch in block.branches.iter().filter(|branch| branch.status == BranchStatus::Succeeded) {
            for write in &branch.writes {
                self.plan_write(&scope, &as_replayed(write), &mut changed)?;
            }
        }
        Ok(changed)
    }

    /// Adds one write to `changed`.
    pub(super) fn plan_write(
        &self,
        scope: &Path,
        write: &Write,
        changed: &mut Changed,
    ) -> Result<(), Failure> {
        let id = &write.channel;
        let channel = self.graph.state.get(id).ok_or_else(|| self.unknown_channel(id.as_str()))?;
        let operand = write
            .value
            .value()
            .ok_or_else(|| bad_operand(format!("channel `{id}`: value is not at hand")))?;
        let current = match changed.remove(id) {
            Some(value) => value,
            None => self.channel(scope, id).ok_or_else(|| self.unknown_channel(id.as_str()))?,
        };
        let value = reduce(write.op, current, operand)
            .map_err(|problem| bad_operand(format!("channel `{id}`: {problem}")))?;
        if let Some(schema) = &channel.schema {
            schema.check(&value).map_err(|problem| {
                let message = format!("channel `{id}` would break its schema: {problem}");
                Failure::permanent(Class::State, "bad-value", message)
            })?;
        }
        changed.insert(id.clone(), value);
        Ok(())
    }

    /// The value of a channel as a scope sees it.
    pub(super) fn channel(&self, scope: &Path, id: &Id) -> Option<Json> {
        self.measured(scope, id).map(|measured| measured.value().clone())
    }

    fn measured(&self, scope: &Path, id: &Id) -> Option<&Measured> {
        let segments = scope.segments();
        let mut length = segments.len();
        loop {
            let found = self.state.root.inner(&segments[..length])?.changed.get(id);
            if found.is_some() {
                return found;
            }
            length = length.checked_sub(2)?;
        }
    }

    fn reducer(&self, id: &Id) -> Result<WriteOp, Failure> {
        let channel = self.graph.state.get(id).ok_or_else(|| self.unknown_channel(id.as_str()))?;
        Ok(WriteOp::Reduce(channel.reduce))
    }

    fn unknown_channel(&self, key: &str) -> Failure {
        let known: Vec<&str> = self.graph.state.keys().map(Id::as_str).collect();
        let message = format!("`{key}` is no channel of the state; there are: {}", known.join(", "));
        Failure::permanent(Class::State, "unknown-channel", message)
    }

    /// Fails when all channels together, with these changes, exceed `limits.state`.
    fn check_state(&self, scope: &Path, changed: &Changed) -> Result<(), Failure> {
        let bytes_max = self.graph.limits.state_bytes;
        let mut bytes = 0;
        for id in self.graph.state.keys() {
            bytes += match changed.get(id) {
                Some(value) => json_bytes(value),
                None => self.measured(scope, id).map_or(0, Measured::bytes),
            };
        }
        if bytes > bytes_max {
            let message = format!(
                "the state would have {bytes} bytes, above `limits.state` = {bytes_max}; the workflow file can raise it to 16MiB"
            );
            return Err(Failure::permanent(Class::Limit, "state", message));
        }
        Ok(())
    }

    /// Fails when one value exceeds `limits.payload`.
    pub(super) fn check_payload(&self, what: &str, bytes: u64) -> Result<(), Failure> {
        let bytes_max = self.graph.limits.payload_bytes;
        if bytes > bytes_max {
            let message = format!(
                "{what} has {bytes} bytes, above `limits.payload` = {bytes_max}; the workflow file can raise it to 16MiB"
            );
            return Err(Failure::permanent(Class::Limit, "payload", message));
        }
        Ok(())
    }

    /// Folds a journaled write into the scope at `path`.
    pub(super) fn apply_write(&mut self, path: &Path, write: &Write) -> Result<(), String> {
        let id = &write.channel;
        let keep = self.graph.state.get(id).ok_or_else(|| format!("no channel `{id}`"))?.keep;
        let operand = write.value.value().ok_or("a write without its value")?.clone();
        let inherited = self.channel(path, id);
        let scope = self.state.root.inner_mut(path.segments()).ok_or("no such scope")?;
        let changed = Arc::make_mut(&mut scope.changed);
        let current = match changed.remove(id) {
            Some(own) => {
                drop(inherited); // else the value would be shared, and copied for the change
                own.into()
            }
            None => inherited.ok_or_else(|| format!("channel `{id}` has no value"))?,
        };
        let value = reduce(write.op, current, &operand)?;
        changed.insert(id.clone(), value.into());
        if !path.segments().is_empty() && keep != Keep::Branch {
            scope.writes.push(write.clone());
        }
        if path.segments().is_empty() && keep == Keep::Thread && self.state.started.lease.is_some() {
            self.state.unwritten.insert(id.clone());
        }
        Ok(())
    }

    /// Folds the join of the block at `visit` into its scope.
    pub(super) fn apply_join(&mut self, visit: &Path) -> Result<(), String> {
        let scope = visit.parent().ok_or("a block without a scope")?;
        let segment = visit.last().ok_or("a block without a name")?;
        let parent: &mut Scope = self.state.root.inner_mut(scope.segments()).ok_or("no such scope")?;
        let Some(block) = parent.visit_mut(segment).and_then(|visit| visit.block_mut()) else {
            return Ok(());
        };
        let writes: Vec<Write> = block
            .branches
            .iter_mut()
            .filter(|branch| branch.status == BranchStatus::Succeeded)
            .flat_map(|branch| std::mem::take(&mut branch.writes))
            .map(|write| as_replayed(&write).into_owned())
            .collect();
        writes.iter().try_for_each(|write| self.apply_write(&scope, write))
    }
}

/// The write as a join replays it: as it was. (Anything else is a planted mistake.)
fn as_replayed(write: &Write) -> Cow<'_, Write> {
    match mistake::is(Mistake::JoinOverwrites) {
        true => Cow::Owned(Write { op: WriteOp::Set, ..write.clone() }),
        false => Cow::Borrowed(write),
    }
}

fn bad_operand(message: String) -> Failure {
    Failure::permanent(Class::State, "bad-operand", message)
}

/// The first value of a channel that names none.
pub(super) fn initial(reducer: Reducer) -> Json {
    Arc::new(match reducer {
        Reducer::Replace | Reducer::Min | Reducer::Max => Value::Null,
        Reducer::Append => Value::Array(Vec::new()),
        Reducer::Merge => Value::Object(serde_json::Map::new()),
        Reducer::Sum => Value::from(0),
    })
}

/// An operand that changes nothing, to try whether a reducer can work on `value`.
pub(super) fn neutral(reducer: Reducer, value: &Json) -> Json {
    match reducer {
        Reducer::Replace => value.clone(),
        Reducer::Append | Reducer::Merge => initial(reducer),
        Reducer::Sum | Reducer::Min | Reducer::Max => Arc::new(Value::from(0)),
    }
}

/// What a channel becomes. The error says what was found and what was wanted.
pub(super) fn reduce(op: WriteOp, mut current: Json, operand: &Json) -> Result<Json, String> {
    let reducer = match op {
        WriteOp::Set | WriteOp::Reduce(Reducer::Replace) => return Ok(operand.clone()),
        WriteOp::Reduce(reducer) => reducer,
    };
    match reducer {
        Reducer::Replace => Ok(operand.clone()),
        Reducer::Append => {
            let more = operand.as_array().ok_or_else(|| wants("append", "a list", operand))?;
            let list = Arc::make_mut(&mut current);
            let kind = type_name(list);
            let list = list
                .as_array_mut()
                .ok_or_else(|| format!("`append` needs a list to add to, it holds {kind}"))?;
            list.extend_from_slice(more);
            Ok(current)
        }
        Reducer::Merge => {
            let more = operand.as_object().ok_or_else(|| wants("merge", "an object", operand))?;
            let members = Arc::make_mut(&mut current);
            let kind = type_name(members);
            let members = members
                .as_object_mut()
                .ok_or_else(|| format!("`merge` needs an object to add to, it holds {kind}"))?;
            members.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
            Ok(current)
        }
        Reducer::Sum => {
            let (a, b) = (number(&current, "sum")?, number(operand, "sum")?);
            add(a, b)
                .map(|sum| Arc::new(Value::Number(sum)))
                .ok_or_else(|| "the sum is out of range".to_owned())
        }
        Reducer::Min | Reducer::Max => {
            let name = if reducer == Reducer::Min { "min" } else { "max" };
            let b = number(operand, name)?;
            if current.is_null() {
                return Ok(operand.clone());
            }
            let operand_wins = match compare(number(&current, name)?, b) {
                std::cmp::Ordering::Less => reducer == Reducer::Max,
                std::cmp::Ordering::Greater => reducer == Reducer::Min,
                std::cmp::Ordering::Equal => false,
            };
            Ok(if operand_wins { operand.clone() } else { current })
        }
    }
}

fn number<'a>(value: &'a Value, reducer: &str) -> Result<&'a Number, String> {
    match value {
        Value::Number(number) => Ok(number),
        other => Err(wants(reducer, "a number", other)),
    }
}

fn wants(reducer: &str, wanted: &str, found: &Value) -> String {
    format!("`{reducer}` takes {wanted}, not {}", type_name(found))
}

/// What a value is, for people.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The largest integer that every JSON reader keeps exactly.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// `None`: beyond i64 and u64, or not finite. An integral sum within the safe range is an integer, as in expressions.
fn add(a: &Number, b: &Number) -> Option<Number> {
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        let sum = a + b;
        return i64::try_from(sum).map(Number::from).or_else(|_| u64::try_from(sum).map(Number::from)).ok();
    }
    let sum = a.as_f64()? + b.as_f64()?;
    if sum.fract() == 0.0 && sum.abs() <= SAFE_INTEGER_MAX {
        #[allow(clippy::cast_possible_truncation)] // integral and in range, as just tested
        return Some(Number::from(sum as i64));
    }
    Number::from_f64(sum)
}

fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
    }
}

fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// How deep a value from outside may nest: an input, a reply, an answer. A journal row wraps it in more, and a snapshot
/// in more still; what JSON readers take ends at 128.
pub(super) const VALUE_DEPTH_MAX: usize = 64;

/// Whether a value nests deeper than [`VALUE_DEPTH_MAX`].
pub(super) fn is_too_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left == 0 || items.iter().any(|item| deeper(item, left - 1)),
            Value::Object(members) => left == 0 || members.values().any(|member| deeper(member, left - 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    deeper(value, VALUE_DEPTH_MAX)
}

/// The size of a value as compact JSON, in bytes, without writing it.
pub(super) fn json_bytes(value: &Value) -> u64 {
    match value {
        Value::Null => 4,
        Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_bytes(number),
        Value::String(text) => text_bytes(text),
        Value::Array(items) => {
            1 + items.iter().map(|item| json_bytes(item) + 1).sum::<u64>() + u64::from(items.is_empty())
        }
        Value::Object(members) => {
            1 + members.iter().map(|(key, value)| text_bytes(key) + json_bytes(value) + 2).sum::<u64>()
                + u64::from(members.is_empty())
        }
    }
}

fn number_bytes(number: &Number) -> u64 {
    match number.as_i64() {
        Some(integer) => {
            u64::from(integer.unsigned_abs().checked_ilog10().unwrap_or(0)) + 1 + u64::from(integer < 0)
        }
        None => number.to_string().len() as u64,
    }
}

fn text_bytes(text: &str) -> u64 {
    let escapes: u64 = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
            0..=31 => 5,
            _ => 0,
        })
        .sum();
    text.len() as u64 + escapes + 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reduced(reducer: Reducer, current: Value, operand: Value) -> Result<Value, String> {
        reduce(WriteOp::Reduce(reducer), Arc::new(current), &Arc::new(operand)).map(|value| (*value).clone())
    }

    // R5.1
    #[test]
    fn each_reducer_does_what_it_says() {
        assert_eq!(reduced(Reducer::Replace, json!(1), json!("x")), Ok(json!("x")));
        assert_eq!(reduced(Reducer::Append, json!([1]), json!([2, 3])), Ok(json!([1, 2, 3])));
        assert_eq!(
            reduced(Reducer::Merge, json!({"a": 1, "b": 1}), json!({"b": null})),
            Ok(json!({"a": 1, "b": null}))
        );
        assert_eq!(reduced(Reducer::Sum, json!(1), json!(2)), Ok(json!(3)));
        assert_eq!(reduced(Reducer::Sum, json!(0.5), json!(2.5)), Ok(json!(3)));
        assert_eq!(reduced(Reducer::Min, json!(null), json!(2)), Ok(json!(2)));
        assert_eq!(reduced(Reducer::Min, json!(3), json!(2.5)), Ok(json!(2.5)));
        assert_eq!(reduced(Reducer::Max, json!(3), json!(2.5)), Ok(json!(3)));
    }

    #[test]
    fn a_wrong_operand_is_named() {
        for (reducer, operand) in [
            (Reducer::Append, json!({})),
            (Reducer::Merge, json!([])),
            (Reducer::Sum, json!("1")),
            (Reducer::Min, json!(null)),
            (Reducer::Max, json!(true)),
        ] {
            assert!(reduced(reducer, (*initial(reducer)).clone(), operand).is_err(), "{reducer:?}");
        }
        assert!(reduced(Reducer::Sum, json!(u64::MAX), json!(1)).is_err());
    }

    #[test]
    fn the_size_of_a_value_is_that_of_its_text() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!([1, -20, 0, 1.5, "a\n\"\u{1}\u{e4}", true, false]),
            json!({ "k": [{ "a": {} }], "l": "x".repeat(300) }),
            json!(u64::MAX),
            json!(i64::MIN),
        ] {
            assert_eq!(json_bytes(&value), value.to_string().len() as u64, "{value}");
        }
    }
}
