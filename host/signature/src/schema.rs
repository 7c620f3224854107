//! Types as JSON Schema 2020-12, for tools, models and editors.

use crate::{Integer, Kind, Type};
use serde_json::{Map, Value, json};

/// Which way a value goes: a result is written in one way, an argument may be written in several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Type {
    /// Of what it takes as an argument.
    #[must_use]
    pub fn input_schema(&self) -> Value {
        of(self, Way::In)
    }

    /// Of what it is as a result.
    #[must_use]
    pub fn output_schema(&self) -> Value {
        of(self, Way::Out)
    }
}

/// An object of these members, all of them required that are no option on its way in.
pub(crate) fn members<'t>(members: impl Iterator<Item = (&'t str, &'t Type)>, is_input: bool) -> Value {
    object(members, if is_input { Way::In } else { Way::Out })
}

fn object<'t>(members: impl Iterator<Item = (&'t str, &'t Type)>, way: Way) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, ty) in members {
        properties.insert(name.to_owned(), of(ty, way));
        if way == Way::Out || !matches!(ty.kind, Kind::Option(_)) {
            required.push(name);
        }
    }
    json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    })
}

fn of(ty: &Type, way: Way) -> Value {
    match &ty.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(integer) => of_integer(*integer),
        Kind::F32 | Kind::F64 => json!({ "type": "number" }),
        Kind::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Kind::String => json!({ "type": "string" }),
        Kind::List(item) => {
            let list = json!({ "type": "array", "items": of(item, way) });
            if way == Way::Out || !ty.is_bytes() {
                return list;
            }
            let text = json!({
                "type": "object", "properties": { "utf8": { "type": "string" } }, "required": ["utf8"],
                "additionalProperties": false,
            });
            json!({ "anyOf": [list, text] })
        }
        Kind::Tuple(parts) => {
            let each: Vec<Value> = parts.iter().map(|part| of(part, way)).collect();
            json!({ "type": "array", "prefixItems": each, "items": false, "minItems": parts.len() })
        }
        Kind::Record(fields) => object(fields.iter().map(|(name, ty)| (name.as_str(), ty)), way),
        Kind::Variant(cases) => cases_of(cases.iter().map(|(name, ty)| (name.as_str(), ty.as_ref())), way),
        Kind::Result { ok, err } => {
            cases_of([("ok", ok.as_deref()), ("err", err.as_deref())].into_iter(), way)
        }
        Kind::Enum(names) => json!({ "enum": names }),
        Kind::Flags(names) => {
            json!({ "type": "array", "items": { "enum": names }, "uniqueItems": true })
        }
        Kind::Option(some) if some.is_nullable() => {
            json!({ "anyOf": [{ "type": "null" }, holder("some", of(some, way))] })
        }
        Kind::Option(some) => json!({ "anyOf": [{ "type": "null" }, of(some, way)] }),
        // Nothing fits: it cannot be called.
        Kind::Opaque(_) => json!(false),
    }
}

fn of_integer(integer: Integer) -> Value {
    let (min, max) = integer.range();
    if integer.is_wide() {
        let text = json!({ "type": "string", "pattern": "^-?(0|[1-9][0-9]*)$" });
        let number =
            if min == 0 { json!({ "type": "integer", "minimum": 0 }) } else { json!({ "type": "integer" }) };
        return json!({ "anyOf": [number, text] });
    }
    // The others fit into 33 bits.
    json!({
        "type": "integer",
        "minimum": i64::try_from(min).unwrap_or_default(),
        "maximum": i64::try_from(max).unwrap_or_default(),
    })
}

fn cases_of<'t>(cases: impl Iterator<Item = (&'t str, Option<&'t Type>)>, way: Way) -> Value {
    let each = cases.map(|(name, ty)| match ty {
        Some(ty) => holder(name, of(ty, way)),
        None => json!({ "const": name }),
    });
    json!({ "oneOf": each.collect::<Vec<_>>() })
}

fn holder(name: &str, value: Value) -> Value {
    json!({
        "type": "object", "properties": { name: value }, "required": [name], "additionalProperties": false,
    })
}
