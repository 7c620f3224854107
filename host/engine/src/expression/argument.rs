//! Signatures of filters, tests and functions, and the arguments of one call read by them.

use std::collections::BTreeMap;

use minijinja::Value;
use minijinja::value::Kwargs;

use super::error::Failure;
use super::json::{Num, type_name};
use super::operator::defined;

/// What a filter, test or function takes, without the value it is applied to.
///
/// Written as `name(a, b=1; c=none)`: `a` must be given, `b` may, and what stands behind `;` is given by name only; a
/// `*` in front takes any number of values, a `/` behind a name means that it has a place but no name.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) shown: &'static str,
    pub(super) name: &'static str,
    params: Vec<Param>,
    rest: bool,
}

#[derive(Debug)]
struct Param {
    name: &'static str,
    required: bool,
    by_place: bool,
    by_name: bool,
}

impl Signature {
    pub(super) fn parse(shown: &'static str) -> Signature {
        let (name, params) = shown.trim_end_matches(')').split_once('(').unwrap_or((shown, ""));
        let (mut list, mut rest) = (Vec::new(), false);
        for (part, by_place) in params.split(';').zip([true, false]) {
            for param in part.split(',').map(str::trim).filter(|param| !param.is_empty()) {
                if param.starts_with('*') {
                    rest = true;
                    continue;
                }
                let (text, required) = param.split_once('=').map_or((param, true), |(text, _)| (text, false));
                let by_name = !text.ends_with('/');
                list.push(Param { name: text.trim_end_matches('/'), required, by_place, by_name });
            }
        }
        Signature { shown, name, params: list, rest }
    }

    /// What is wrong with a call, or nothing.
    pub(super) fn check<'a>(
        &self,
        places: usize,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let takes = self.params.iter().filter(|param| param.by_place).count();
        if places > takes && !self.rest {
            let takes = if takes == 0 { "no value".to_owned() } else { format!("at most {takes}") };
            return Err(format!("`{}` takes {takes} by place, found {places}", self.name));
        }
        let mut given: Vec<&str> =
            self.params.iter().filter(|param| param.by_place).take(places).map(|param| param.name).collect();
        for name in names {
            if !self.params.iter().any(|param| param.by_name && param.name == name) {
                return Err(format!("`{}` takes no argument named `{name}`", self.name));
            }
            if given.contains(&name) {
                return Err(format!("`{}` is given `{name}` twice", self.name));
            }
            given.push(name);
        }
        match self.params.iter().find(|param| param.required && !given.contains(&param.name)) {
            Some(missing) => Err(format!("`{}` needs `{}`", self.name, missing.name)),
            None => Ok(()),
        }
    }
}

/// The arguments of one call.
pub(super) struct Arguments<'a> {
    pub(super) signature: &'a Signature,
    pub(super) places: &'a [Value],
    named: BTreeMap<String, Value>,
}

impl<'a> Arguments<'a> {
    pub(super) fn read(
        signature: &'a Signature,
        values: &'a [Value],
        lenient: bool,
    ) -> Result<Arguments<'a>, Failure> {
        let (places, mut named) = (values, BTreeMap::new());
        let places = match places.split_last() {
            Some((last, places)) if last.is_kwargs() => {
                let kwargs =
                    Kwargs::try_from(last.clone()).map_err(|error| Failure::from_error(&error, ""))?;
                for name in kwargs.args() {
                    let value = kwargs.peek::<Value>(name).unwrap_or_default();
                    named.insert(name.to_owned(), value);
                }
                places
            }
            _ => places,
        };
        signature.check(places.len(), named.keys().map(String::as_str)).map_err(Failure::of_type)?;
        if !lenient {
            for value in places.iter().chain(named.values()) {
                defined(value, &format!("an argument of `{}`", signature.name))?;
            }
        }
        Ok(Arguments { signature, places, named })
    }

    /// The argument called `name`, given by place or by name; `none` is as good as not given.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let place =
            self.signature.params.iter().filter(|param| param.by_place).position(|param| param.name == name);
        place
            .and_then(|place| self.places.get(place))
            .or_else(|| self.named.get(name))
            .filter(|value| !value.is_none())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        self.get(name)
            .map(|value| {
                value.as_str().ok_or_else(|| {
                    Failure::of_type(format!(
                        "`{name}` of `{}` must be a text, found {}",
                        self.signature.name,
                        type_name(value)
                    ))
                })
            })
            .transpose()
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_true)
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i128>, Failure> {
        self.get(name)
            .map(|value| match Num::of(value).map(|number| number.normal().checked()).transpose()? {
                Some(Num::Int(int)) => Ok(int),
                _ => Err(Failure::of_type(format!(
                    "`{name}` of `{}` must be an integer, found {}",
                    self.signature.name,
                    type_name(value)
                ))),
            })
            .transpose()
    }
}
