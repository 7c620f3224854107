//! A function: what it takes by name, what it gives, and what of that is a node's output.

use crate::fit::{self, Problem, Sketch};
use crate::{Kind, Type};
use serde_json::{Value, json};

/// The member of an output that holds a result which is no record.
pub const RESULT: &str = "result";

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name in WIT.
    pub name: String,
    /// What it takes.
    pub ty: Type,
}

/// A function that a component exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The interface as the component names it: `ns:pkg/iface@1.2.3`. Absent: the component exports the function itself.
    pub interface: Option<String>,
    /// Its name there.
    pub name: String,
    /// What it takes, in order.
    pub params: Vec<Param>,
    /// What it gives. Absent: nothing.
    pub result: Option<Type>,
    /// Why it cannot be called, whatever its types are.
    pub hindrance: Option<String>,
}

impl Function {
    /// One without an interface that nothing keeps from being called.
    #[must_use]
    pub fn new(name: &str, params: Vec<Param>, result: Option<Type>) -> Function {
        Function { interface: None, name: name.to_owned(), params, result, hindrance: None }
    }

    /// As a workflow file names it, with the version.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Why it cannot be called, or `None`.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if let Some(hindrance) = &self.hindrance {
            return Some(hindrance.clone());
        }
        if self.name.starts_with('[') {
            return Some("it is called on a handle of a resource, which is no plain data".to_owned());
        }
        let opaque =
            self.params.iter().find_map(|param| Some((format!("`{}`", param.name), param.ty.opaque()?)));
        let opaque = opaque.or_else(|| Some(("the result".to_owned(), self.result.as_ref()?.opaque()?)));
        opaque.map(|(place, what)| format!("{place} holds `{what}`, which is no plain data"))
    }

    /// What it gives when all is well: its result, or the `ok` of that.
    #[must_use]
    pub fn output(&self) -> Option<&Type> {
        match &self.result.as_ref()?.kind {
            Kind::Result { ok, .. } => ok.as_deref(),
            _ => self.result.as_ref(),
        }
    }

    /// JSON Schema of the object that holds its arguments by name.
    #[must_use]
    pub fn input_schema(&self) -> Value {
        crate::schema::members(self.params.iter().map(|param| (param.name.as_str(), &param.ty)), true)
    }

    /// JSON Schema of its output: a record as it is, anything else as the member `result`, nothing as `{}`.
    #[must_use]
    pub fn output_schema(&self) -> Value {
        match self.output() {
            None => json!({ "type": "object", "properties": {}, "additionalProperties": false }),
            Some(ty) if matches!(ty.kind, Kind::Record(_)) => ty.output_schema(),
            Some(ty) => crate::schema::members([(RESULT, ty)].into_iter(), false),
        }
    }

    /// What certainly does not fit in an input, in order; at most 20 problems.
    #[must_use]
    pub fn problems(&self, input: &Sketch) -> Vec<Problem> {
        let params: Vec<(&str, &Type)> =
            self.params.iter().map(|param| (param.name.as_str(), &param.ty)).collect();
        fit::arguments(&params, input)
    }
}
