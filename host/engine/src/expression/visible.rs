//! The values an expression can see: shared JSON, converted piece by piece as an expression touches it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::Value as Json;

use super::json::scalar;

/// A value an expression can see. Cloning shares, nothing is copied as a whole.
#[derive(Clone)]
pub enum Visible {
    /// Any JSON value.
    Json(Arc<Json>),
    /// An object whose members are visible values of their own.
    Members(BTreeMap<String, Visible>),
    /// A list whose items are visible values of their own.
    List(Vec<Visible>),
    /// An object that looks its members up when they are read.
    Lazy(Arc<dyn Fields>),
}

/// An object whose members are made when an expression reads them.
pub trait Fields: Send + Sync {
    /// The member called `name`, or nothing: then reading it is undefined.
    fn get(&self, name: &str) -> Option<Visible>;
    /// The names of all members; asked only when the object is used as a whole.
    fn names(&self) -> Vec<String>;
}

/// Where the root names of an expression come from. Only the names it reads are asked for.
pub trait Names {
    /// The value called `name`, or nothing: then reading it is undefined.
    fn get(&self, name: &str) -> Option<Visible>;
}

impl Names for BTreeMap<String, Visible> {
    fn get(&self, name: &str) -> Option<Visible> {
        BTreeMap::get(self, name).cloned()
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Visible::Json(json) => write!(f, "{json}"),
            Visible::Members(members) => f.debug_map().entries(members).finish(),
            Visible::List(items) => f.debug_list().entries(items).finish(),
            Visible::Lazy(fields) => f.debug_list().entries(fields.names()).finish(),
        }
    }
}

impl From<Json> for Visible {
    fn from(json: Json) -> Visible {
        Visible::Json(Arc::new(json))
    }
}

impl Visible {
    /// The machine's value for it, without converting what lies below.
    pub(super) fn into_value(self) -> Value {
        match self {
            Visible::Json(json) => match scalar(&json) {
                Some(value) => value,
                None => Value::from_object(Node { root: json, parent: None, step: Step::Index(0) }),
            },
            Visible::Members(members) => Value::from_object(Members(members)),
            Visible::List(items) => Value::from_object(Items(items)),
            Visible::Lazy(fields) => Value::from_object(Lazy(fields)),
        }
    }
}

#[derive(Debug)]
enum Step {
    Key(Box<str>),
    Index(usize),
}

/// A list or object inside a shared JSON value, named by the way to it; so that no part is copied.
pub(super) struct Node {
    root: Arc<Json>,
    parent: Option<Arc<Node>>,
    step: Step,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value")
    }
}

static NULL: Json = Json::Null;

impl Node {
    pub(super) fn json(&self) -> &Json {
        match &self.parent {
            None => &self.root,
            Some(parent) => match (parent.json(), &self.step) {
                (Json::Object(members), Step::Key(key)) => members.get(&**key).unwrap_or(&NULL),
                (Json::Array(items), Step::Index(index)) => items.get(*index).unwrap_or(&NULL),
                _ => &NULL,
            },
        }
    }

    fn child(self: &Arc<Self>, child: &Json, step: impl FnOnce() -> Step) -> Value {
        scalar(child).unwrap_or_else(|| {
            Value::from_object(Node { root: self.root.clone(), parent: Some(self.clone()), step: step() })
        })
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json().is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.json() {
            Json::Object(_) => self.get_value_by_str(key.as_str()?),
            Json::Array(items) => {
                let index = key.as_usize()?;
                Some(self.child(items.get(index)?, || Step::Index(index)))
            }
            _ => None,
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let child = self.json().as_object()?.get(key)?;
        Some(self.child(child, || Step::Key(key.into())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.json() {
            Json::Object(members) => {
                Enumerator::Values(members.keys().map(|key| Value::from(key.as_str())).collect())
            }
            Json::Array(items) => Enumerator::Seq(items.len()),
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.json() {
            Json::Object(members) => Some(members.len()),
            Json::Array(items) => Some(items.len()),
            _ => Some(0),
        }
    }
}

#[derive(Debug)]
struct Members(BTreeMap<String, Visible>);

impl Object for Members {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).map(|visible| visible.clone().into_value())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Value::from(key.as_str())).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

#[derive(Debug)]
struct Items(Vec<Visible>);

impl Object for Items {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).map(|visible| visible.clone().into_value())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Lazy(Arc<dyn Fields>);

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

impl Object for Lazy {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).map(Visible::into_value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut names = self.0.names();
        names.sort();
        Enumerator::Values(names.into_iter().map(Value::from).collect())
    }
}
