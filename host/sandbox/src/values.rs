//! Values of components from JSON and back, by the types of `bandstand_signature`. Both ways are bounded: a value takes
//! far more room in the host than in the guest or in JSON (a byte of a `list<u8>` takes [`VALUE_BYTES`]).

use bandstand_signature::{Integer, Kind, Type, as_f32, as_integer, is_exact};
use serde_json::Value;
use wasmtime::component::Val;

/// What one value takes in the host, besides its text. Bytes.
pub(crate) const VALUE_BYTES: usize = size_of::<Val>();

/// Why JSON did not become a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It does not fit the type; `bandstand_signature` tells where.
    Type,
    /// It takes too much room.
    TooLarge,
}

/// The value that JSON stands for. What it takes in the host is taken from `bytes_left`.
pub(crate) fn from_json(ty: &Type, value: &Value, bytes_left: &mut usize) -> Result<Val, Unfit> {
    take(bytes_left, VALUE_BYTES)?;
    Ok(match (&ty.kind, value) {
        (Kind::Bool, Value::Bool(value)) => Val::Bool(*value),
        (Kind::Integer(integer), value) => of_integer(*integer, value)?,
        (Kind::F32, Value::Number(number)) => Val::Float32(as_f32(number).ok_or(Unfit::Type)?),
        (Kind::F64, Value::Number(number)) => {
            Val::Float64(number.as_f64().filter(|number| number.is_finite()).ok_or(Unfit::Type)?)
        }
        (Kind::Char, Value::String(text)) => Val::Char(text.parse().map_err(|_| Unfit::Type)?),
        (Kind::String, Value::String(text)) => Val::String(copy(text, bytes_left)?),
        (Kind::List(item), Value::Array(items)) => {
            Val::List(each(items, bytes_left, |value, left| from_json(item, value, left))?)
        }
        (Kind::List(_), Value::Object(members)) if ty.is_bytes() && members.len() == 1 => {
            let text = members.get("utf8").and_then(Value::as_str).ok_or(Unfit::Type)?;
            take(bytes_left, text.len().saturating_mul(VALUE_BYTES))?;
            Val::List(text.bytes().map(Val::U8).collect())
        }
        (Kind::Tuple(parts), Value::Array(items)) if parts.len() == items.len() => {
            let mut values = Vec::with_capacity(parts.len());
            for (part, value) in parts.iter().zip(items) {
                values.push(from_json(part, value, bytes_left)?);
            }
            Val::Tuple(values)
        }
        (Kind::Record(fields), Value::Object(members)) => {
            let known = |key: &String| fields.iter().any(|(name, _)| name == key);
            if !members.keys().all(known) {
                return Err(Unfit::Type);
            }
            let mut values = Vec::with_capacity(fields.len());
            for (name, ty) in fields {
                let value = match (members.get(name), &ty.kind) {
                    (Some(value), _) => from_json(ty, value, bytes_left)?,
                    (None, Kind::Option(_)) => Val::Option(None),
                    (None, _) => return Err(Unfit::Type),
                };
                values.push((copy(name, bytes_left)?, value));
            }
            Val::Record(values)
        }
        (Kind::Variant(cases), value) => {
            let (name, held) = case_of(value).ok_or(Unfit::Type)?;
            let (_, ty) = cases.iter().find(|(case, _)| case == name).ok_or(Unfit::Type)?;
            Val::Variant(copy(name, bytes_left)?, boxed(ty.as_ref(), held, bytes_left)?)
        }
        (Kind::Result { ok, err }, value) => match case_of(value) {
            Some(("ok", held)) => Val::Result(Ok(boxed(ok.as_deref(), held, bytes_left)?)),
            Some(("err", held)) => Val::Result(Err(boxed(err.as_deref(), held, bytes_left)?)),
            _ => return Err(Unfit::Type),
        },
        (Kind::Enum(names), Value::String(name)) if names.contains(name) => {
            Val::Enum(copy(name, bytes_left)?)
        }
        (Kind::Flags(names), Value::Array(items)) => {
            let mut set: Vec<String> = Vec::new();
            for item in items {
                let name = item.as_str().filter(|name| names.iter().any(|known| known == name));
                let name = name.filter(|name| !set.iter().any(|set| set == name)).ok_or(Unfit::Type)?;
                set.push(copy(name, bytes_left)?);
            }
            Val::Flags(set)
        }
        (Kind::Option(_), Value::Null) => Val::Option(None),
        (Kind::Option(some), value) if some.is_nullable() => match case_of(value) {
            Some(("some", Some(held))) => Val::Option(boxed(Some(some), Some(held), bytes_left)?),
            _ => return Err(Unfit::Type),
        },
        (Kind::Option(some), value) => Val::Option(boxed(Some(some), Some(value), bytes_left)?),
        _ => return Err(Unfit::Type),
    })
}

fn take(left: &mut usize, bytes: usize) -> Result<(), Unfit> {
    *left = left.checked_sub(bytes).ok_or(Unfit::TooLarge)?;
    Ok(())
}

fn copy(text: &str, left: &mut usize) -> Result<String, Unfit> {
    take(left, text.len())?;
    Ok(text.to_owned())
}

fn each(
    items: &[Value],
    left: &mut usize,
    mut one: impl FnMut(&Value, &mut usize) -> Result<Val, Unfit>,
) -> Result<Vec<Val>, Unfit> {
    // Nothing is set aside for items that there is no room for.
    let mut values = Vec::with_capacity(items.len().min(*left / VALUE_BYTES));
    for item in items {
        values.push(one(item, left)?);
    }
    Ok(values)
}

/// `"case"`, or `{ "case": VALUE }`.
fn case_of(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Object(members) if members.len() == 1 => {
            members.iter().next().map(|(name, held)| (name.as_str(), Some(held)))
        }
        _ => None,
    }
}

fn boxed(ty: Option<&Type>, held: Option<&Value>, left: &mut usize) -> Result<Option<Box<Val>>, Unfit> {
    match (ty, held) {
        (None, None) => Ok(None),
        (Some(ty), Some(held)) => Ok(Some(Box::new(from_json(ty, held, left)?))),
        _ => Err(Unfit::Type),
    }
}

fn of_integer(integer: Integer, value: &Value) -> Result<Val, Unfit> {
    let number = as_integer(value).ok_or(Unfit::Type)?;
    let out = |_| Unfit::Type;
    Ok(match integer {
        Integer::U8 => Val::U8(number.try_into().map_err(out)?),
        Integer::U16 => Val::U16(number.try_into().map_err(out)?),
        Integer::U32 => Val::U32(number.try_into().map_err(out)?),
        Integer::U64 => Val::U64(number.try_into().map_err(out)?),
        Integer::S8 => Val::S8(number.try_into().map_err(out)?),
        Integer::S16 => Val::S16(number.try_into().map_err(out)?),
        Integer::S32 => Val::S32(number.try_into().map_err(out)?),
        Integer::S64 => Val::S64(number.try_into().map_err(out)?),
    })
}

/// Why a value did not become JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoJson {
    /// The text would be longer than allowed.
    TooLarge,
    /// A number that is not finite.
    NotFinite {
        /// Where: the steps from there up to the top.
        steps: Vec<String>,
        /// Which: `NaN`, `inf`.
        number: String,
    },
    /// The value is of another type. A fault of the host.
    OtherType,
}

impl NoJson {
    /// As seen from one step further up.
    fn inside(mut self, step: impl FnOnce() -> String) -> NoJson {
        if let NoJson::NotFinite { steps, .. } = &mut self {
            steps.push(step().replace('~', "~0").replace('/', "~1"));
        }
        self
    }
}

/// JSON text in the making, of bounded length.
pub(crate) struct Json {
    text: String,
    bytes_max: usize,
}

impl Json {
    pub(crate) fn new(bytes_max: usize) -> Json {
        Json { text: String::new(), bytes_max }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }

    pub(crate) fn push(&mut self, text: &str) -> Result<(), NoJson> {
        if self.text.len().saturating_add(text.len()) > self.bytes_max {
            return Err(NoJson::TooLarge);
        }
        self.text.push_str(text);
        Ok(())
    }

    fn quoted(&mut self, text: &str) -> Result<(), NoJson> {
        if text.len() > self.bytes_max {
            return Err(NoJson::TooLarge);
        }
        self.push(&Value::from(text).to_string())
    }

    /// Appends a value.
    pub(crate) fn value(&mut self, ty: &Type, value: &Val) -> Result<(), NoJson> {
        match (&ty.kind, value) {
            (Kind::Bool, Val::Bool(value)) => self.push(if *value { "true" } else { "false" }),
            (Kind::Integer(_), value) => self.integer(value),
            // The shortest that reads back as the same `f32`: 0.1, not 0.10000000149011612.
            (Kind::F32, Val::Float32(number)) => self.number(number.is_finite(), number),
            (Kind::F64, Val::Float64(number)) => self.number(number.is_finite(), number),
            (Kind::Char, Val::Char(character)) => self.quoted(character.encode_utf8(&mut [0; 4])),
            (Kind::String, Val::String(text)) => self.quoted(text),
            (Kind::List(item), Val::List(items)) => self.list(items.iter().map(|value| (&**item, value))),
            (Kind::Tuple(parts), Val::Tuple(items)) if parts.len() == items.len() => {
                self.list(parts.iter().zip(items))
            }
            (Kind::Record(fields), Val::Record(members)) if fields.len() == members.len() => {
                self.push("{")?;
                for (index, ((name, ty), (_, value))) in fields.iter().zip(members).enumerate() {
                    self.push(if index > 0 { "," } else { "" })?;
                    self.member(name, ty, value)?;
                }
                self.push("}")
            }
            (Kind::Variant(cases), Val::Variant(name, held)) => {
                let case = cases.iter().find(|(case, _)| case == name).ok_or(NoJson::OtherType)?;
                self.case(name, case.1.as_ref(), held.as_deref())
            }
            (Kind::Result { ok, .. }, Val::Result(Ok(held))) => {
                self.case("ok", ok.as_deref(), held.as_deref())
            }
            (Kind::Result { err, .. }, Val::Result(Err(held))) => {
                self.case("err", err.as_deref(), held.as_deref())
            }
            (Kind::Enum(_), Val::Enum(name)) => self.quoted(name),
            (Kind::Flags(_), Val::Flags(names)) => {
                self.push("[")?;
                for (index, name) in names.iter().enumerate() {
                    self.push(if index > 0 { "," } else { "" })?;
                    self.quoted(name)?;
                }
                self.push("]")
            }
            (Kind::Option(_), Val::Option(None)) => self.push("null"),
            (Kind::Option(some), Val::Option(Some(held))) if some.is_nullable() => {
                self.case("some", Some(some), Some(held))
            }
            (Kind::Option(some), Val::Option(Some(held))) => self.value(some, held),
            _ => Err(NoJson::OtherType),
        }
    }

    /// Appends `"name":value`.
    pub(crate) fn member(&mut self, name: &str, ty: &Type, value: &Val) -> Result<(), NoJson> {
        self.quoted(name)?;
        self.push(":")?;
        self.value(ty, value).map_err(|error| error.inside(|| name.to_owned()))
    }

    fn list<'v>(&mut self, items: impl Iterator<Item = (&'v Type, &'v Val)>) -> Result<(), NoJson> {
        self.push("[")?;
        for (index, (ty, value)) in items.enumerate() {
            self.push(if index > 0 { "," } else { "" })?;
            self.value(ty, value).map_err(|error| error.inside(|| index.to_string()))?;
        }
        self.push("]")
    }

    fn case(&mut self, name: &str, ty: Option<&Type>, held: Option<&Val>) -> Result<(), NoJson> {
        match (ty, held) {
            (None, None) => self.quoted(name),
            (Some(ty), Some(held)) => {
                self.push("{")?;
                self.member(name, ty, held)?;
                self.push("}")
            }
            _ => Err(NoJson::OtherType),
        }
    }

    fn integer(&mut self, value: &Val) -> Result<(), NoJson> {
        let number: i128 = match value {
            Val::U8(number) => (*number).into(),
            Val::U16(number) => (*number).into(),
            Val::U32(number) => (*number).into(),
            Val::U64(number) => (*number).into(),
            Val::S8(number) => (*number).into(),
            Val::S16(number) => (*number).into(),
            Val::S32(number) => (*number).into(),
            Val::S64(number) => (*number).into(),
            _ => return Err(NoJson::OtherType),
        };
        if is_exact(number) { self.push(&number.to_string()) } else { self.quoted(&number.to_string()) }
    }

    fn number(&mut self, is_finite: bool, number: &(impl serde::Serialize + ToString)) -> Result<(), NoJson> {
        match serde_json::to_string(number) {
            Ok(text) if is_finite => self.push(&text),
            _ => Err(NoJson::NotFinite { steps: Vec::new(), number: number.to_string() }),
        }
    }
}
