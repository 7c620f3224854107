//! Whether what is known of a value fits a type. What is not known yet fits everything.

use crate::scalar::as_integer;
use crate::{Integer, Kind, Type};
use serde_json::{Number, Value};
use std::collections::{HashMap, HashSet};

/// Problems told at once.
const PROBLEMS_MAX: usize = 20;
/// Names in one problem.
const NAMES_MAX: usize = 20;
/// How much of a text is shown in a problem. Characters.
const SHOWN_MAX: usize = 60;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sketch {
    /// Nothing.
    Unknown,
    /// That it is a text.
    SomeText,
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Sketch>),
    Object(Vec<(String, Sketch)>),
}

impl From<&Value> for Sketch {
    fn from(value: &Value) -> Sketch {
        match value {
            Value::Null => Sketch::Null,
            Value::Bool(value) => Sketch::Bool(*value),
            Value::Number(number) => Sketch::Number(number.clone()),
            Value::String(text) => Sketch::Text(text.clone()),
            Value::Array(items) => Sketch::List(items.iter().map(Sketch::from).collect()),
            Value::Object(members) => {
                Sketch::Object(members.iter().map(|(key, value)| (key.clone(), value.into())).collect())
            }
        }
    }
}

impl Sketch {
    fn shown(&self) -> String {
        match self {
            Sketch::Unknown => "a value".to_owned(),
            Sketch::SomeText => "a text".to_owned(),
            Sketch::Null => "null".to_owned(),
            Sketch::Bool(value) => value.to_string(),
            Sketch::Number(number) => number.to_string(),
            Sketch::Text(text) => {
                let mut short: String = text.chars().take(SHOWN_MAX).collect();
                if short.len() < text.len() {
                    short.push_str("..");
                }
                format!("{short:?}")
            }
            Sketch::List(items) => format!("a list of {}", items.len()),
            Sketch::Object(_) => "an object".to_owned(),
        }
    }
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON Pointer. What is missing is pointed to, too.
    pub pointer: String,
    /// What was expected and what was found.
    pub message: String,
    /// What sort of problem it is.
    pub kind: ProblemKind,
}

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// A member has to be there and is not.
    Missing,
    /// A member is there that means nothing.
    Unknown,
    /// A value is of another type, or out of range.
    Wrong,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.pointer, self.message)
        }
    }
}

/// What does not fit in an object of arguments.
pub(crate) fn arguments(params: &[(&str, &Type)], input: &Sketch) -> Vec<Problem> {
    let mut told = Told { at: String::new(), problems: Vec::new() };
    told.members("parameter", params, input, "an object of arguments by name");
    told.problems
}

/// Names as a problem tells them, the first ones.
fn some_names(mut names: impl Iterator<Item = String>) -> String {
    let mut told: Vec<String> = names.by_ref().take(NAMES_MAX).collect();
    match (told.is_empty(), names.count()) {
        (true, _) => return "none".to_owned(),
        (false, 0) => {}
        (false, more) => told.push(format!("and {more} more")),
    }
    told.join(", ")
}

struct Told {
    /// A JSON Pointer.
    at: String,
    problems: Vec<Problem>,
}

impl Told {
    fn tell(&mut self, kind: ProblemKind, message: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { pointer: self.at.clone(), message, kind });
        }
    }

    fn wrong(&mut self, wanted: &str, found: &Sketch) {
        self.tell(ProblemKind::Wrong, format!("wanted {wanted}, found {}", found.shown()));
    }

    /// Whether no more is told.
    fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Does something one step further down.
    fn inside(&mut self, step: &str, work: impl FnOnce(&mut Told)) {
        if self.is_full() {
            return;
        }
        let before = self.at.len();
        self.at.push('/');
        self.at.push_str(&step.replace('~', "~0").replace('/', "~1"));
        work(self);
        self.at.truncate(before);
    }

    fn value(&mut self, ty: &Type, value: &Sketch) {
        if *value == Sketch::Unknown || self.is_full() {
            return;
        }
        match (&ty.kind, value) {
            (Kind::Bool, Sketch::Bool(_)) => {}
            (Kind::Integer(integer), value) => self.integer(*integer, value),
            (Kind::F64, Sketch::Number(number)) if number.as_f64().is_some_and(f64::is_finite) => {}
            (Kind::F32, Sketch::Number(number)) if as_f32(number).is_some() => {}
            (Kind::F32, Sketch::Number(_)) => self.wrong("a number that `f32` can hold", value),
            (Kind::Char, Sketch::SomeText) | (Kind::String, Sketch::SomeText | Sketch::Text(_)) => {}
            (Kind::Char, Sketch::Text(text)) if text.chars().count() == 1 => {}
            (Kind::List(item), Sketch::List(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.inside(&index.to_string(), |told| told.value(item, value));
                }
            }
            (Kind::List(_), Sketch::Object(members)) if ty.is_bytes() => self.bytes(members, value),
            (Kind::Tuple(parts), Sketch::List(items)) if parts.len() == items.len() => {
                for (index, (part, value)) in parts.iter().zip(items).enumerate() {
                    self.inside(&index.to_string(), |told| told.value(part, value));
                }
            }
            (Kind::Record(fields), value) => {
                let fields: Vec<(&str, &Type)> =
                    fields.iter().map(|(name, ty)| (name.as_str(), ty)).collect();
                self.members("field", &fields, value, &wanted(ty));
            }
            (Kind::Variant(cases), value) => {
                let cases: Vec<_> = cases.iter().map(|(name, ty)| (name.as_str(), ty.as_ref())).collect();
                self.case(&cases, value);
            }
            (Kind::Result { ok, err }, value) => {
                self.case(&[("ok", ok.as_deref()), ("err", err.as_deref())], value);
            }
            (Kind::Enum(_), Sketch::SomeText) => {}
            (Kind::Enum(names), Sketch::Text(text)) if names.contains(text) => {}
            (Kind::Flags(names), Sketch::List(items)) => self.flags(names, items),
            (Kind::Option(_), Sketch::Null) => {}
            (Kind::Option(some), value) if some.is_nullable() => self.some(some, value),
            (Kind::Option(some), value) => self.value(some, value),
            _ => self.wrong(&wanted(ty), value),
        }
    }

    fn integer(&mut self, integer: Integer, value: &Sketch) {
        let number = match value {
            Sketch::SomeText => return,
            Sketch::Number(number) => as_integer(&Value::Number(number.clone())),
            Sketch::Text(text) => as_integer(&Value::String(text.clone())),
            _ => None,
        };
        let (min, max) = integer.range();
        if number.is_none_or(|number| !(min..=max).contains(&number)) {
            self.wrong(&of_integer(integer), value);
        }
    }

    fn members(&mut self, what: &str, members: &[(&str, &Type)], value: &Sketch, wanted: &str) {
        let given = match value {
            Sketch::Unknown => return,
            Sketch::Object(given) => given,
            _ => return self.wrong(wanted, value),
        };
        let by_name: HashMap<&str, &Sketch> =
            given.iter().map(|(key, value)| (key.as_str(), value)).collect();
        for (name, ty) in members {
            match by_name.get(name) {
                Some(value) => self.inside(name, |told| told.value(ty, value)),
                None if matches!(ty.kind, Kind::Option(_)) => {}
                None => self.inside(name, |told| {
                    told.tell(ProblemKind::Missing, format!("the {what} `{name}: {ty}` is missing"))
                }),
            }
        }
        let known: HashSet<&str> = members.iter().map(|(name, _)| *name).collect();
        for (key, _) in given.iter().filter(|(key, _)| !known.contains(key.as_str())) {
            if self.is_full() {
                return;
            }
            let there_is = some_names(members.iter().map(|(name, _)| format!("`{name}`")));
            self.inside(key, |told| {
                told.tell(ProblemKind::Unknown, format!("there is no such {what}; there is {there_is}"))
            });
        }
    }

    fn case(&mut self, cases: &[(&str, Option<&Type>)], value: &Sketch) {
        let (name, held) = match value {
            Sketch::SomeText => return,
            Sketch::Text(name) => (name, None),
            Sketch::Object(members) if members.len() == 1 => (&members[0].0, Some(&members[0].1)),
            _ => return self.wrong(&of_cases(cases), value),
        };
        match (cases.iter().find(|(case, _)| case == name), held) {
            (Some((_, Some(ty))), Some(held)) => self.inside(name, |told| told.value(ty, held)),
            (Some((_, None)), None) => {}
            (Some((case, Some(ty))), None) => {
                self.tell(
                    ProblemKind::Wrong,
                    format!("the case `{case}` holds a value: wanted {{ \"{case}\": {ty} }}"),
                );
            }
            (Some((case, None)), Some(_)) => {
                self.tell(ProblemKind::Wrong, format!("the case `{case}` holds no value: wanted \"{case}\""))
            }
            (None, _) => self.wrong(&of_cases(cases), &Sketch::Text(name.clone())),
        }
    }

    fn flags(&mut self, names: &[String], items: &[Sketch]) {
        for (index, item) in items.iter().enumerate() {
            if self.is_full() {
                return;
            }
            let known = match item {
                Sketch::Unknown | Sketch::SomeText => continue,
                Sketch::Text(text) => names.contains(text) && !items[..index].contains(item),
                _ => false,
            };
            if !known {
                self.inside(&index.to_string(), |told| {
                    told.wrong(&format!("one of {}, each once", some_names(names.iter().cloned())), item);
                });
            }
        }
    }

    /// Of an option whose value may be `null` itself.
    fn some(&mut self, some: &Type, value: &Sketch) {
        match value {
            Sketch::Object(members) if members.len() == 1 && members[0].0 == "some" => {
                self.inside("some", |told| told.value(some, &members[0].1));
            }
            _ => self.wrong(&format!("null or {{ \"some\": {some} }}"), value),
        }
    }

    fn bytes(&mut self, members: &[(String, Sketch)], value: &Sketch) {
        match members {
            [(key, Sketch::Text(_) | Sketch::SomeText | Sketch::Unknown)] if key == "utf8" => {}
            _ => self.wrong("a list of bytes, or { \"utf8\": TEXT }", value),
        }
    }
}

/// A number as `f32`, rounded to what that can hold; `None`: it is beyond.
#[must_use]
pub fn as_f32(number: &Number) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
    let number = number.as_f64()? as f32;
    number.is_finite().then_some(number)
}

fn of_integer(integer: Integer) -> String {
    let (min, max) = integer.range();
    format!("`{}`, an integer from {min} to {max}", integer.name())
}

fn of_cases(cases: &[(&str, Option<&Type>)]) -> String {
    let each = cases.iter().map(|(name, ty)| match ty {
        Some(ty) => format!("{{ \"{name}\": {ty} }}"),
        None => format!("\"{name}\""),
    });
    let each: Vec<String> = each.collect();
    if each.len() == 1 { each.concat() } else { format!("one of {}", each.join(", ")) }
}

fn wanted(ty: &Type) -> String {
    match &ty.kind {
        Kind::Bool => "a boolean".to_owned(),
        Kind::Integer(integer) => of_integer(*integer),
        Kind::F32 | Kind::F64 => "a number".to_owned(),
        Kind::Char => "a text of one character".to_owned(),
        Kind::String => "a text".to_owned(),
        Kind::List(item) if ty.is_bytes() => format!("a list of `{item}`, or {{ \"utf8\": TEXT }}"),
        Kind::List(item) => format!("a list of `{item}`"),
        Kind::Tuple(parts) => format!("a list of {} for `{ty}`", parts.len()),
        Kind::Record(_) => format!("an object for `{ty}`"),
        Kind::Enum(names) => format!("one of {}", names.join(", ")),
        Kind::Flags(names) => format!("a list of some of {}", names.join(", ")),
        Kind::Opaque(what) => format!("`{what}`, which is no plain data"),
        Kind::Variant(_) | Kind::Option(_) | Kind::Result { .. } => format!("`{ty}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Function, Param};
    use serde_json::json;

    fn text() -> Type {
        Kind::String.into()
    }

    fn function(ty: Type) -> Function {
        Function::new("f", vec![Param { name: "it".to_owned(), ty }], None)
    }

    fn told(ty: &Type, value: Value) -> String {
        let problems = function(ty.clone()).problems(&Sketch::from(&json!({ "it": value })));
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    // R8.5
    #[test]
    fn problems_say_where_what_was_wanted_and_what_was_found() {
        let person: Type = Kind::Record(vec![
            ("full-name".to_owned(), text()),
            ("age".to_owned(), Kind::Integer(Integer::U8).into()),
            ("nick".to_owned(), Kind::Option(Box::new(text())).into()),
        ])
        .into();
        let shape: Type =
            Kind::Variant(vec![("circle".to_owned(), Some(Kind::F32.into())), ("none".to_owned(), None)])
                .into();
        let flags: Type = Kind::Flags(vec!["r".to_owned(), "w".to_owned()]).into();
        let nested: Type = Kind::Option(Box::new(Kind::Option(Box::new(text())).into())).into();
        let bytes: Type = Kind::List(Box::new(Kind::Integer(Integer::U8).into())).into();
        let pair: Type = Kind::Tuple(vec![text(), Kind::Bool.into()]).into();
        for (ty, value, message) in [
            (&person, json!({ "full-name": "a", "age": 1 }), ""),
            (
                &person,
                json!({ "full-name": "a", "age": -1, "nick": null }),
                "/it/age: wanted `u8`, an integer from 0 to 255, found -1",
            ),
            (&person, json!({ "full-name": "a", "age": "255", "nick": "b" }), ""),
            (
                &person,
                json!({ "age": 1, "x/y": 2 }),
                "/it/full-name: the field `full-name: string` is missing; /it/x~1y: there is no such field; there is \
              `full-name`, `age`, `nick`",
            ),
            (
                &person,
                json!([]),
                "/it: wanted an object for `record { full-name: string, age: u8, nick: option<string> }`, \
             found a list of 0",
            ),
            (&shape, json!("none"), ""),
            (&shape, json!({ "circle": 1 }), ""),
            (&shape, json!("circle"), "/it: the case `circle` holds a value: wanted { \"circle\": f32 }"),
            (&shape, json!({ "none": null }), "/it: the case `none` holds no value: wanted \"none\""),
            (&shape, json!("square"), "/it: wanted one of { \"circle\": f32 }, \"none\", found \"square\""),
            (
                &shape,
                json!({ "circle": 1e300 }),
                "/it/circle: wanted a number that `f32` can hold, found 1e300",
            ),
            (&flags, json!(["w", "r"]), ""),
            (&flags, json!(["w", "w"]), "/it/1: wanted one of r, w, each once, found \"w\""),
            (&nested, json!(null), ""),
            (&nested, json!({ "some": null }), ""),
            (&nested, json!("x"), "/it: wanted null or { \"some\": option<string> }, found \"x\""),
            (&bytes, json!([0, 255]), ""),
            (&bytes, json!({ "utf8": "x" }), ""),
            (&bytes, json!([256]), "/it/0: wanted `u8`, an integer from 0 to 255, found 256"),
            (&bytes, json!("x"), "/it: wanted a list of `u8`, or { \"utf8\": TEXT }, found \"x\""),
            (&pair, json!(["a", true]), ""),
            (&pair, json!(["a"]), "/it: wanted a list of 2 for `tuple<string, bool>`, found a list of 1"),
        ] {
            // How exponents are written depends on what else is built.
            assert_eq!(told(ty, value).replace("e+", "e"), message);
        }
        let many = json!(vec![256; 100]);
        assert_eq!(function(bytes).problems(&Sketch::from(&json!({ "it": many }))).len(), PROBLEMS_MAX);
        let none = Function::new("f", Vec::new(), None).problems(&Sketch::from(&json!({ "x": 1 })));
        assert_eq!(none[0].to_string(), "/x: there is no such parameter; there is none");
    }

    // R8.5: `check` is sure of what it says.
    #[test]
    fn what_is_not_known_fits() {
        let number: Type = Kind::Integer(Integer::U8).into();
        let list: Type = Kind::List(Box::new(number.clone())).into();
        let fits = |ty: &Type, sketch: Sketch| {
            function(ty.clone()).problems(&Sketch::Object(vec![("it".to_owned(), sketch)])).is_empty()
        };
        assert!(fits(&number, Sketch::Unknown) && fits(&number, Sketch::SomeText));
        assert!(fits(&list, Sketch::Unknown) && !fits(&list, Sketch::SomeText));
        assert!(fits(&list, Sketch::List(vec![Sketch::Unknown, Sketch::Number(1.into())])));
        assert!(!fits(&list, Sketch::List(vec![Sketch::Unknown, Sketch::Null])));
        assert!(fits(&text(), Sketch::SomeText) && !fits(&text(), Sketch::Null));
        assert!(function(number).problems(&Sketch::Unknown).is_empty());
    }
}
