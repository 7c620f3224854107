//! Reads a filter and runs it, with errors that say where.

use std::collections::BTreeMap;

use bandstand_sdk::Failure;
use bandstand_sdk::log::{self, Level};
use jaq_core::compile::Undefined;
use jaq_core::data::JustLut;
use jaq_core::load::lex::Expect;
use jaq_core::load::parse::Def;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{Fun, run, v};
use jaq_core::{Compiler, Ctx, Vars};
use jaq_json::Val;
use jaq_std::ValT;
use serde_json::{Value, json};

use crate::value::{from_json, to_json};

type Data = JustLut<Val>;
type Filter = jaq_core::Filter<Data>;

/// How deep the brackets of a filter may nest: whoever reads it goes as deep, on a stack that ends.
const BRACKETS_DEPTH_MAX: usize = 100;
/// How much of an error's text is told; it may hold the whole input. Bytes.
const MESSAGE_BYTES_MAX: usize = 500;

/// What jq has and an agent has not, and what to do instead.
const LEFT_OUT: &[(&str, &str)] = &[
    ("now", "an agent has no clock; give the time by `vars`, such as `vars: { now: \"${{ now }}\" }`"),
    ("env", "an agent has no environment; give what is needed by `vars`"),
    ("$ENV", "an agent has no environment; give what is needed by `vars`"),
    ("input", "there is one input; give a list as `value`, and `.[]` takes its items"),
    ("inputs", "there is one input; give a list as `value`, and `.[]` takes its items"),
    ("halt", "end with `empty`, or fail with `error(X)`"),
    ("halt_error", "fail with `error(X)`"),
    ("localtime", "an agent has no time zone; `gmtime` gives UTC"),
    ("strflocaltime", "an agent has no time zone; `strftime` gives UTC"),
];

/// The first `most` results of a filter.
pub(crate) fn results(
    filter: &str,
    value: Value,
    vars: BTreeMap<String, Value>,
    most: usize,
) -> Result<Vec<Value>, Failure> {
    let (names, values): (Vec<String>, Vec<Val>) =
        vars.into_iter().map(|(name, value)| (format!("${name}"), from_json(value))).unzip();
    if let Some(wrong) = names.iter().find(|name| !is_variable(name)) {
        let message = format!("`vars` has `{}`, which is no name of a variable in jq", &wrong[1..]);
        return Err(Failure::permanent("input-invalid", message));
    }
    let compiled = compile(filter, &names)?;
    let context = Ctx::<Data>::new(&compiled.lut, Vars::new(values));
    let mut found = Vec::new();
    for result in compiled.id.run((context, from_json(value))).take(most) {
        let result = result.map_err(failed)?;
        let read = to_json(&result, 0);
        // Dropping goes as deep as the value, which may be deeper than the stack; the instance ends in a moment anyway.
        std::mem::forget(result);
        found.push(read?);
    }
    Ok(found)
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars().skip(1);
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn failed(exception: jaq_core::Exn<'_, Val>) -> Failure {
    let Ok(error) = exception.get_err() else {
        // `break` without its label is refused when the filter is read, and `halt` is left out.
        return Failure::permanent("filter-failed", "the filter ended without a result");
    };
    let value = to_json(&error.clone().into_val(), 0).unwrap_or_default();
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let message = format!("the filter failed: {}", shortened(&text));
    let failure = Failure::permanent("filter-failed", message);
    if text.len() > MESSAGE_BYTES_MAX || value.is_string() {
        failure
    } else {
        failure.data(json!({ "value": value }))
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= MESSAGE_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=MESSAGE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ...", &text[..end])
}

fn compile(filter: &str, vars: &[String]) -> Result<Filter, Failure> {
    if let Some(at) = too_deep(filter) {
        let message = format!("brackets nest deeper than {BRACKETS_DEPTH_MAX} levels");
        return Err(invalid(filter, &filter[at..], &message));
    }
    let arena = Arena::default();
    let modules = Loader::new(definitions())
        .load(&arena, File { code: filter, path: () })
        .map_err(|errors| unread(filter, errors))?;
    Compiler::default()
        .with_funs(functions())
        .with_global_vars(vars.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            first.map_or_else(
                || invalid(filter, "", "it cannot be compiled"),
                |error| undefined(filter, error),
            )
        })
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.iter().any(|(left_out, _)| *left_out == name)
}

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let own = load::parse(include_str!("defs.jq"), |parser| parser.defs()).expect("defs.jq is tested");
    let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).chain(own);
    all.filter(|definition| !is_left_out(definition.name))
}

fn functions() -> impl Iterator<Item = Fun<Data>> {
    let own = [
        run::<Data>(("debug_empty", v(0), |(_, value)| {
            log::write(Level::Debug, &value.to_string(), ());
            Box::new(std::iter::empty())
        })),
        run::<Data>(("stderr_empty", v(0), |(_, value)| {
            let text = value.as_utf8_bytes().map(|text| String::from_utf8_lossy(text).into_owned());
            log::write(Level::Info, &text.unwrap_or_else(|| value.to_string()), ());
            Box::new(std::iter::empty())
        })),
    ];
    let instead = own.each_ref().map(|(name, _, _)| *name);
    let all = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    all.filter(move |(name, _, _)| !is_left_out(name) && !instead.contains(name)).chain(own)
}

/// Where brackets nest too deep, those in texts and comments apart.
fn too_deep(filter: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut letters = filter.bytes().enumerate();
    while let Some((at, letter)) = letters.next() {
        let in_text = open.last() == Some(&b'"');
        match letter {
            b'\\' if in_text => {
                // `\(` begins a filter inside the text.
                if let Some((_, b'(')) = letters.next() {
                    open.push(b'(');
                }
            }
            b'"' if in_text => {
                open.pop();
            }
            _ if in_text => {}
            b'"' | b'(' | b'[' | b'{' => open.push(letter),
            b')' | b']' | b'}' => {
                open.pop();
            }
            b'#' => {
                letters.find(|(_, letter)| *letter == b'\n');
            }
            _ => {}
        }
        if open.len() > BRACKETS_DEPTH_MAX {
            return Some(at);
        }
    }
    None
}

fn unread(filter: &str, errors: load::Errors<&str, ()>) -> Failure {
    let first = errors.into_iter().map(|(_, error)| error).next();
    match first {
        Some(load::Error::Lex(errors)) => match errors.into_iter().next() {
            Some((Expect::Delim(open), found)) => {
                // The rest of the filter is after the bracket; the bracket is what people look for.
                let at = if found.starts_with(open) { found } else { open };
                invalid(filter, at, &format!("`{open}` is not closed"))
            }
            Some((expected, found)) => invalid(filter, found, &format!("expected {}", expected.as_str())),
            None => invalid(filter, "", "it cannot be read"),
        },
        Some(load::Error::Parse(errors)) => match errors.into_iter().next() {
            Some((expected, found)) => {
                let met = if found.is_empty() {
                    "but it ends".to_owned()
                } else {
                    format!("not `{}`", shortened(found))
                };
                invalid(filter, found, &format!("expected {}, {met}", expected.as_str()))
            }
            None => invalid(filter, "", "it cannot be read"),
        },
        Some(load::Error::Io(errors)) => {
            let path = errors.first().map_or("", |(path, _)| *path);
            invalid(filter, path, "there are no modules; write the definitions before the filter")
        }
        None => invalid(filter, "", "it cannot be read"),
    }
}

fn undefined(filter: &str, (name, what): (&str, Undefined)) -> Failure {
    let shown = match what {
        Undefined::Filter(arity) if arity > 0 => format!("{name}/{arity}"),
        _ => name.to_owned(),
    };
    let instead = LEFT_OUT.iter().find(|(left_out, _)| *left_out == name).map(|(_, instead)| *instead);
    let instead = match (instead, &what) {
        (Some(instead), _) => format!(": {instead}"),
        (None, Undefined::Var) => "; what `vars` holds is there".to_owned(),
        _ => String::new(),
    };
    invalid(filter, name, &format!("there is no {} `{shown}`{instead}", what.as_str()))
}

/// `at` is a part of the filter, where it is wrong.
fn invalid(filter: &str, at: &str, what: &str) -> Failure {
    let offset = (at.as_ptr() as usize).checked_sub(filter.as_ptr() as usize);
    let before = offset.and_then(|offset| filter.get(..offset)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let found: String = at.chars().take(40).collect();
    Failure::permanent(
        "filter-invalid",
        format!("the filter is wrong at line {line}, column {column}: {what}"),
    )
    .data(json!({ "line": line, "column": column, "found": found }))
}
