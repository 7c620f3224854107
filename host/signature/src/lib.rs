//! The functions that components export: their names, the types of what they take and give, and which JSON stands for
//! which value. Plain data: it reads no component and runs none, so that whoever checks a workflow file and whoever makes
//! the call go by the same rules.
//!
//! | type | JSON |
//! | --- | --- |
//! | `bool`, `string` | as it is |
//! | `u8` .. `s64` | an integer in its range; also as decimal text, which is what a result beyond 2^53 - 1 becomes |
//! | `f32`, `f64` | a number; what is not finite has no JSON |
//! | `char` | a text of one character |
//! | `list<T>` | a list; for `list<u8>` also `{ "utf8": TEXT }` on the way in |
//! | `tuple<A, B>` | a list of that length |
//! | `record` | an object with its fields' own names; on the way in an `option` may be left out |
//! | `variant` | `"case"`, or `{ "case": VALUE }` for a case that holds one |
//! | `enum` | `"case"` |
//! | `flags` | a list of names |
//! | `option<T>` | `null`, or the value; `{ "some": VALUE }` where the value itself may be `null` |
//! | `result<T, E>` | as a variant: `{ "ok": VALUE }`, `{ "err": VALUE }`, `"ok"`, `"err"` |
//!
//! Handles of resources, streams, futures and error contexts are no plain data, nor are the maps and lists of fixed length
//! that no toolchain makes yet.

mod fit;
mod function;
mod name;
mod scalar;
mod schema;
mod text;

pub use fit::{Problem, ProblemKind, Sketch, as_f32};
pub use function::{Function, Param, RESULT};
pub use name::{FunctionName, NotFound, find};
pub use scalar::{Integer, as_integer, is_exact};

use std::sync::Arc;

/// The type of a value. A tree: what one type names twice is in it twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// The name that its interface gives it. Absent: none, as of `list<u8>`.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub kind: Kind,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of WIT")]
pub enum Kind {
    Bool,
    Integer(Integer),
    F32,
    F64,
    Char,
    String,
    List(Box<Type>),
    Tuple(Vec<Type>),
    Record(Vec<(String, Type)>),
    Variant(Vec<(String, Option<Type>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(Box<Type>),
    Result {
        ok: Option<Box<Type>>,
        err: Option<Box<Type>>,
    },
    /// Not plain data; as WIT writes it, as far as that is known: `borrow<descriptor>`, `stream`.
    Opaque(String),
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Type {
        Type { name: None, kind }
    }
}

impl Type {
    /// The first part of it that is not plain data, if any.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        match &self.kind {
            Kind::Opaque(what) => Some(what),
            _ => self.parts().find_map(Type::opaque),
        }
    }

    /// Whether its JSON may be `null`, so that an option of it needs `{ "some": .. }`.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        matches!(self.kind, Kind::Option(_))
    }

    /// Whether it is `list<u8>`.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(&self.kind, Kind::List(item) if item.kind == Kind::Integer(Integer::U8))
    }

    /// Whether its values may be of any size.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        matches!(self.kind, Kind::List(_) | Kind::String) || self.parts().any(Type::is_unbounded)
    }

    /// The types that it is made of, one level down.
    fn parts(&self) -> Box<dyn Iterator<Item = &Type> + '_> {
        match &self.kind {
            Kind::List(part) | Kind::Option(part) => Box::new(std::iter::once(&**part)),
            Kind::Tuple(parts) => Box::new(parts.iter()),
            Kind::Record(fields) => Box::new(fields.iter().map(|(_, part)| part)),
            Kind::Variant(cases) => Box::new(cases.iter().filter_map(|(_, part)| part.as_ref())),
            Kind::Result { ok, err } => Box::new([ok, err].into_iter().filter_map(|part| part.as_deref())),
            Kind::Bool
            | Kind::Integer(_)
            | Kind::F32
            | Kind::F64
            | Kind::Char
            | Kind::String
            | Kind::Enum(_)
            | Kind::Flags(_)
            | Kind::Opaque(_) => Box::new(std::iter::empty()),
        }
    }
}
