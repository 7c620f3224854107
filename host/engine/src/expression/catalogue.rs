//! The one table of filters, tests and functions: it registers them, and `check` compares every use against it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, Value, filters as of_crate};

use super::argument::{Arguments, Signature};
use super::error::Failure;
use super::evaluate::{FUEL_DEFAULT, render};
use super::json::{Budget, type_name, write_text};
use super::operator::{charge, defined};
use super::{filter, operator, test, text};

/// How a filter is carried out.
pub(super) enum Body {
    /// By the crate, over a text.
    OfText(fn() -> Value),
    /// By the crate, over any value.
    OfCrate(fn() -> Value),
    /// By the crate, comparing items that must all be there.
    Comparing(fn() -> Value),
    /// Here.
    Own(fn(&mut State, &Value, &Arguments) -> Result<Value, Failure>),
}

macro_rules! of_crate {
    ($kind:ident $function:ident) => {
        Body::$kind(|| Value::from_function(of_crate::$function))
    };
}

const FILTERS: &[(&str, Body)] = &[
    ("abs()", of_crate!(OfCrate abs)),
    ("all(attribute=none)", Body::Own(filter::all)),
    ("any(attribute=none)", Body::Own(filter::any)),
    ("batch(count/, fill_with/=none)", Body::Own(filter::batch)),
    ("bool()", of_crate!(OfCrate bool)),
    ("capitalize()", of_crate!(OfText capitalize)),
    ("chain(*others)", Body::Own(filter::chain)),
    ("count()", of_crate!(OfCrate length)),
    ("d(value/='', even_if_false/=false)", Body::Own(filter::default)),
    ("default(value/='', even_if_false/=false)", Body::Own(filter::default)),
    ("dictsort(; by='key', case_sensitive=false, reverse=false)", of_crate!(OfCrate dictsort)),
    ("first()", of_crate!(OfCrate first)),
    ("flatten()", Body::Own(filter::flatten)),
    ("float(default=none)", of_crate!(OfCrate float)),
    ("groupby(attribute; default=none, case_sensitive=false)", of_crate!(Comparing groupby)),
    ("indent(width=4, first=false, blank=false)", Body::Own(text::indent)),
    ("int(default=none, base=10)", of_crate!(OfCrate int)),
    ("items()", of_crate!(OfCrate items)),
    ("join(d='', attribute=none)", Body::Own(text::join)),
    ("keys()", Body::Own(filter::keys)),
    ("last()", of_crate!(OfCrate last)),
    ("length()", of_crate!(OfCrate length)),
    ("lines()", of_crate!(OfText lines)),
    ("list()", of_crate!(OfCrate list)),
    ("lower()", of_crate!(OfText lower)),
    ("map(filter/=none, *arguments; attribute=none, default=none)", Body::Own(filter::map)),
    ("max(; attribute=none, case_sensitive=false)", of_crate!(Comparing max)),
    ("merge(other/)", Body::Own(filter::merge)),
    ("min(; attribute=none, case_sensitive=false)", of_crate!(Comparing min)),
    ("reject(test/=none, *arguments)", Body::Own(filter::reject)),
    ("rejectattr(attribute/, test/=none, *arguments)", Body::Own(filter::rejectattr)),
    ("replace(from/, to/)", Body::Own(text::replace)),
    ("reverse()", of_crate!(OfCrate reverse)),
    ("round(precision=0, method='common')", of_crate!(OfCrate round)),
    ("select(test/=none, *arguments)", Body::Own(filter::select)),
    ("selectattr(attribute/, test/=none, *arguments)", Body::Own(filter::selectattr)),
    ("slice(count/, fill_with/=none)", Body::Own(filter::slice)),
    ("sort(; attribute=none, case_sensitive=false, reverse=false)", of_crate!(Comparing sort)),
    ("split(separator/=none, maximum/=none)", of_crate!(OfText split)),
    ("string()", Body::Own(text::string)),
    ("sum(attribute=none, start=0)", Body::Own(filter::sum)),
    ("title()", of_crate!(OfText title)),
    ("tojson(indent=none)", Body::Own(text::tojson)),
    ("top(n, attribute=none)", Body::Own(filter::top)),
    ("trim(characters/=none)", of_crate!(OfText trim)),
    ("unique(; attribute=none, case_sensitive=false)", of_crate!(Comparing unique)),
    ("upper()", of_crate!(OfText upper)),
    ("values()", Body::Own(filter::values)),
    ("zip(*others)", Body::Own(filter::zip)),
];

const FUNCTIONS: &[&str] = &["range(a/, b/=none, step/=none)", "render(name/, values/=none)"];

/// Names and signatures, ready to be compared with.
pub(super) struct Catalogue {
    pub(super) filters: BTreeMap<&'static str, Signature>,
    pub(super) tests: BTreeMap<&'static str, Signature>,
    pub(super) functions: BTreeMap<&'static str, Signature>,
}

fn signatures(shown: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, Signature> {
    shown.map(Signature::parse).map(|signature| (signature.name, signature)).collect()
}

pub(super) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
    filters: signatures(FILTERS.iter().map(|(shown, _)| *shown)),
    tests: signatures(test::TESTS.iter().map(|(shown, _)| *shown)),
    functions: signatures(FUNCTIONS.iter().copied()),
});

/// The names of all filters, in order.
pub fn filters() -> impl Iterator<Item = &'static str> {
    CATALOGUE.filters.keys().copied()
}

/// The names of all tests, in order; some, such as `==`, can only be named by text.
pub fn tests() -> impl Iterator<Item = &'static str> {
    CATALOGUE.tests.keys().copied()
}

/// The names of all functions, in order.
pub fn functions() -> impl Iterator<Item = &'static str> {
    CATALOGUE.functions.keys().copied()
}

/// How a filter, test or function is called, such as `round(precision=0, method='common')`.
pub fn signature_of(name: &str) -> Option<&'static str> {
    let catalogue = &*CATALOGUE;
    [&catalogue.filters, &catalogue.functions, &catalogue.tests]
        .into_iter()
        .find_map(|names| names.get(name))
        .map(|signature| signature.shown)
}

/// The environment of every evaluation; it differs between evaluations only in its fuel.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::empty();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_debug(false);
    env.set_fuel(Some(FUEL_DEFAULT));
    env.set_formatter(format);
    operator::register(&mut env);
    for (shown, body) in FILTERS {
        let signature = Signature::parse(shown);
        let name = signature.name;
        match body {
            Body::Own(own) => {
                env.add_filter(name, move |state: &mut State, value: &Value, rest: Rest<ValueOrKwargs>| {
                    own_filter(state, &signature, *own, value, &rest.into_values()).map_err(Error::from)
                })
            }
            Body::OfText(make) | Body::OfCrate(make) | Body::Comparing(make) => {
                let function = make();
                env.add_filter(name, move |state: &mut State, value: &Value, rest: Rest<ValueOrKwargs>| {
                    crate_filter(state, &signature, body, &function, value, rest.into_values())
                });
            }
        }
    }
    for (shown, body) in test::TESTS {
        let signature = Signature::parse(shown);
        env.add_test(signature.name, move |value: &Value, rest: Rest<ValueOrKwargs>| {
            test::perform(&signature, *body, value, &rest.into_values()).map_err(Error::from)
        });
    }
    env.add_function("range", |rest: Rest<ValueOrKwargs>| {
        let signature = &CATALOGUE.functions["range"];
        filter::range(signature, &rest.into_values()).map_err(Error::from)
    });
    env.add_function("render", |state: &mut State, rest: Rest<ValueOrKwargs>| {
        render(state, &rest.into_values()).map_err(Error::from)
    });
    env
});

/// Writes a value into the text of a template.
fn format(out: &mut Output, _state: &mut State, value: &Value) -> Result<(), Error> {
    let mut written = String::new();
    let mut budget = Budget::new(super::evaluate::RESULT_BYTES_MAX);
    write_text(value, &mut written, &mut budget)?;
    super::evaluate::count_text(written.len())?;
    out.write_str(&written).map_err(Error::from)
}

fn own_filter(
    state: &mut State,
    signature: &Signature,
    body: fn(&mut State, &Value, &Arguments) -> Result<Value, Failure>,
    value: &Value,
    rest: &[Value],
) -> Result<Value, Failure> {
    let lenient = matches!(signature.name, "default" | "d");
    if !lenient {
        defined(value, &format!("the value before `{}`", signature.name))?;
    }
    let arguments = Arguments::read(signature, rest, lenient)?;
    let result = body(state, value, &arguments)?;
    if !lenient {
        charge(filter::size(&result).max(1))?;
    }
    Ok(result)
}

fn crate_filter(
    state: &mut State,
    signature: &Signature,
    body: &Body,
    function: &Value,
    value: &Value,
    rest: Vec<Value>,
) -> Result<Value, Error> {
    defined(value, &format!("the value before `{}`", signature.name))?;
    let arguments = Arguments::read(signature, &rest, false)?;
    // What the crate reads costs too, even where its result is short.
    charge(1 + filter::size(value) / 64)?;
    match body {
        Body::OfText(_) if value.as_str().is_none() => {
            return Err(Failure::of_type(format!(
                "`{}` takes a text, found {}; `string` makes one",
                signature.name,
                type_name(value)
            ))
            .into());
        }
        // The crate takes `none` for an empty list here.
        Body::OfCrate(_)
            if value.is_none() && matches!(signature.name, "list" | "reverse" | "int" | "float") =>
        {
            return Err(Failure::of_type(format!("`{}` does not take none", signature.name)).into());
        }
        Body::Comparing(_) => filter::comparable(value, &arguments)?,
        _ => {}
    }
    let mut values = Vec::with_capacity(rest.len() + 1);
    values.push(value.clone());
    values.extend(rest.iter().cloned());
    let result = function.call(state, &values).map_err(|error| {
        let failure = Failure::from_error(&error, signature.name);
        let message = error.detail().map_or(failure.message, |detail| {
            format!("`{}` of {}: {detail}", signature.name, type_name(value))
        });
        Failure { code: failure.code, message }
    })?;
    Ok(filter::settle(result)?)
}
