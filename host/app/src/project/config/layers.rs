//! Where settings come from: `bandstand.toml`, and the environment, which holds before it. `BANDSTAND__SERVER__RATE` is
//! `rate` of `[server]`: parts between two underscores each, in small letters, `_` as `-`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::known::{Known, all, is_name};
use super::{Config, Error};

/// How the name of an environment variable begins that is a setting.
pub const PREFIX: &str = "BANDSTAND__";

/// Where a setting in force comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// `bandstand.toml`, at that line, from 1.
    File(PathBuf, usize),
    /// The environment variable of that name.
    Environment(String),
    /// An option of the command.
    Flag(&'static str),
}

/// The environment variables that are settings, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Those of this process.
    ///
    /// # Errors
    /// When one is no text.
    pub fn of_process() -> Result<Environment, Error> {
        let mut found = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let value = value.into_string().map_err(|_| Error::Environment {
                name: name.to_owned(),
                problem: "it is not UTF-8".to_owned(),
            })?;
            found.insert(name.to_owned(), value);
        }
        Ok(Environment(found))
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the variables, for people.
    pub(super) fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Environment {
        Environment(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

/// What was set, and by whom.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    table: Table,
    sources: BTreeMap<Vec<String>, Source>,
}

impl Layers {
    /// What a file says. Its text must be TOML.
    pub(super) fn of_file(text: &str, path: &Path) -> Result<Layers, String> {
        let table = text.parse::<Table>().map_err(|error| error.to_string())?;
        let mut layers = Layers { table, sources: BTreeMap::new() };
        let spanned = DeTable::parse(text).map_err(|error| error.to_string())?;
        let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        places(spanned.get_ref(), &mut Vec::new(), &all(), &mut |place, at| {
            layers.sources.insert(place, Source::File(path.to_owned(), line(at)));
        });
        Ok(layers)
    }

    /// Puts the environment over it. Each variable must be a setting with a value that it takes.
    pub(super) fn put_over(&mut self, environment: &Environment) -> Result<(), Error> {
        let known = all();
        for (name, text) in &environment.0 {
            let wrong = |problem| Error::Environment { name: name.clone(), problem };
            let place = place_of(name, &known, &self.table).map_err(wrong)?;
            let (table, value) = self.with(&place, text).map_err(wrong)?;
            self.table = table;
            let source = Source::Environment(name.clone());
            leaves(&value, &mut place.clone(), &known, &mut |leaf, _| {
                self.sources.insert(leaf.to_owned(), source.clone());
            });
        }
        Ok(())
    }

    /// The settings with that one. What is no TOML is a text, and so is what is TOML but not taken.
    fn with(&self, place: &[String], text: &str) -> Result<(Table, Value), String> {
        let value = value_of(text);
        match self.with_value(place, value.clone()) {
            Ok(table) => Ok((table, value)),
            Err(problem) => {
                let as_text = Value::String(text.to_owned());
                if value == as_text || value.is_table() || value.is_array() {
                    return Err(problem);
                }
                // The first problem is the one of what was meant.
                self.with_value(place, as_text.clone()).map(|table| (table, as_text)).map_err(|_| problem)
            }
        }
    }

    fn with_value(&self, place: &[String], value: Value) -> Result<Table, String> {
        let mut table = self.table.clone();
        put(&mut table, place, value)?;
        match Config::deserialize(Value::Table(table.clone())) {
            // Another variable may bring what is missing.
            Err(error) if !error.message().starts_with("missing field") => {
                Err(with_suggestion(without_value(&error)))
            }
            _ => Ok(table),
        }
    }

    /// All that was set.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Says that an option of the command holds before all.
    pub fn put_flag(&mut self, place: &[&str], value: &str, source: Source) {
        let place: Vec<String> = place.iter().map(|part| (*part).to_owned()).collect();
        if put(&mut self.table, &place, Value::String(value.to_owned())).is_ok() {
            self.sources.insert(place, source);
        }
    }

    /// All settings in force, by place: those that were set, and defaults of the others. No value: it is not set, and has
    /// no default.
    pub fn in_force(&self) -> Vec<(Vec<String>, Option<Value>, Source)> {
        let known = all();
        let mut found: BTreeMap<Vec<String>, (Option<Value>, Source)> = BTreeMap::new();
        for known in &known {
            let default = known.default.as_deref().map(value_of);
            for place in self.places_of(known) {
                let named = known.path.split('.').any(is_name);
                if default.is_some() || !named {
                    found.insert(place, (default.clone(), Source::Default));
                }
            }
        }
        leaves(&Value::Table(self.table.clone()), &mut Vec::new(), &known, &mut |leaf, value| {
            let source = self.sources.get(leaf).cloned().unwrap_or(Source::Default);
            found.insert(leaf.to_owned(), (Some(shown(leaf, value)), source));
        });
        found.into_iter().map(|(place, (value, source))| (place, value, source)).collect()
    }

    /// Where that setting is or would be, for each name that there is.
    fn places_of(&self, known: &Known) -> Vec<Vec<String>> {
        let mut places: Vec<(Vec<String>, Option<&Table>)> = vec![(Vec::new(), Some(&self.table))];
        for part in known.path.split('.') {
            let mut next = Vec::new();
            for (place, table) in places {
                let names: Vec<&String> = match table {
                    // Several [[models.NAME]] are one value.
                    Some(table) if is_name(part) => {
                        table.iter().filter(|(_, inner)| inner.is_table()).map(|(name, _)| name).collect()
                    }
                    _ if is_name(part) => Vec::new(),
                    _ => {
                        let inner = table.and_then(|table| table.get(part)).and_then(Value::as_table);
                        next.push(([place, vec![part.to_owned()]].concat(), inner));
                        continue;
                    }
                };
                for name in names {
                    let inner = table.and_then(|table| table.get(name)).and_then(Value::as_table);
                    next.push(([place.clone(), vec![name.clone()]].concat(), inner));
                }
            }
            places = next;
        }
        places.into_iter().map(|(place, _)| place).collect()
    }
}

/// The value as it may be shown: of an address that may hold a key, its origin only.
fn shown(place: &[String], value: &Value) -> Value {
    let is_address = match place {
        [table, _, key] => table == "notify" && key == "url",
        [table, key] => table == "telemetry" && key == "otlp",
        _ => false,
    };
    let Some(url) = value.as_str().filter(|_| is_address) else { return value.clone() };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let more = if rest.len() > host.len() { "/..." } else { "" };
    Value::String(format!("{scheme}://{host}{more}"))
}

/// Calls for each setting below: for what is one by the list, and for what is no table.
fn leaves(value: &Value, place: &mut Vec<String>, known: &[Known], each: &mut impl FnMut(&[String], &Value)) {
    let is_leaf = known.iter().any(|known| known.is_at(place));
    match value {
        Value::Table(table) if !is_leaf => {
            for (name, value) in table {
                place.push(name.clone());
                leaves(value, place, known, each);
                place.pop();
            }
        }
        value => each(place, value),
    }
}

/// As [`leaves`], with where in the text each begins.
fn places(
    table: &DeTable<'_>,
    place: &mut Vec<String>,
    known: &[Known],
    each: &mut impl FnMut(Vec<String>, usize),
) {
    for (name, value) in table {
        place.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(table) if !known.iter().any(|known| known.is_at(place)) => {
                places(table, place, known, each);
            }
            _ => each(place.clone(), name.span().start),
        }
        place.pop();
    }
}

/// A value as TOML has it; what is none is a text.
fn value_of(text: &str) -> Value {
    let table = format!("x = {text}\n").parse::<Table>();
    match table.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("x")) {
        Some(value) => value,
        None => Value::String(text.to_owned()),
    }
}

/// Puts a value into a table; tables are merged.
fn put(table: &mut Table, place: &[String], value: Value) -> Result<(), String> {
    let Some((first, rest)) = place.split_first() else {
        return Err("it names no setting".to_owned());
    };
    if !rest.is_empty() {
        let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
        return match inner {
            Value::Table(inner) => put(inner, rest, value),
            _ => Err(format!("`{first}` has several tables in bandstand.toml; set it as a whole")),
        };
    }
    match (table.get_mut(first), value) {
        (Some(Value::Table(there)), Value::Table(more)) => {
            for (name, value) in more {
                put(there, &[name], value)?;
            }
        }
        (_, value) => {
            table.insert(first.clone(), value);
        }
    }
    Ok(())
}

/// The setting that a variable means.
fn place_of(name: &str, known: &[Known], there: &Table) -> Result<Vec<String>, String> {
    let mut place: Vec<String> = Vec::new();
    let mut there = Some(there);
    // The settings that it may be yet.
    let mut left: Vec<(&Known, Vec<&str>)> =
        known.iter().map(|known| (known, known.path.split('.').collect())).collect();
    for part in name.strip_prefix(PREFIX).unwrap_or_default().split("__") {
        let depth = place.len();
        left.retain(|(_, parts)| parts.len() > depth);
        let word = part.to_ascii_lowercase().replace('_', "-");
        let words: Vec<&str> = left.iter().map(|(_, parts)| parts[depth]).collect();
        let chosen = if words.contains(&word.as_str()) {
            word
        } else if let Some(wild) = words.iter().find(|part| is_name(part)).filter(|_| !word.is_empty()) {
            let alike = |name: &&String| name.to_ascii_lowercase().replace('_', "-") == word;
            match there.and_then(|there| there.keys().find(alike)) {
                Some(name) => name.clone(),
                None if *wild == "PLUGIN" => {
                    return Err(
                        "a plugin's path cannot be a part of a variable's name; set BANDSTAND__GRANTS to \
                                { \"plugins/a.wasm\" = { ... } }"
                            .to_owned(),
                    );
                }
                // Ids have no other separator.
                None if *wild == "ID" => word.replace('-', "_"),
                None => word,
            }
        } else {
            let place =
                |word: &str| [place.join("."), word.to_owned()].join(".").trim_matches('.').to_owned();
            let near =
                bandstand_workflow::nearest(&word, words.iter().copied().filter(|part| !is_name(part)));
            let near = near.map(|near| {
                format!("; did you mean `{}`, {}?", place(near), {
                    let before = name.len() - part.len();
                    // Of a name with more parts only the first that is wrong is mended.
                    let before = name.find(part).unwrap_or(before);
                    format!("{}{}", &name[..before], near.to_ascii_uppercase().replace('-', "_"))
                })
            });
            return Err(format!("there is no setting `{}`{}", place(&word), near.unwrap_or_default()));
        };
        left.retain(|(_, parts)| {
            parts[depth] == chosen || (is_name(parts[depth]) && !words.contains(&chosen.as_str()))
        });
        there = there.and_then(|there| there.get(&chosen)).and_then(Value::as_table);
        place.push(chosen);
    }
    Ok(place)
}

/// The problem, with the word that was meant, if one is near.
/// What is wrong, without the value: it may be a secret that was set where only its place belongs.
pub(super) fn without_value(error: &toml::de::Error) -> String {
    let shown = ["invalid type: ", "invalid value: ", "invalid length "];
    let whole = error.to_string();
    match error.message().rsplit_once(", expected ") {
        Some((_, expected)) if shown.iter().any(|begins| error.message().starts_with(begins)) => {
            // The last line says in which setting.
            let place = whole.trim_end().lines().last().filter(|line| line.starts_with("in `"));
            let place = place.map(|place| format!("\n{place}")).unwrap_or_default();
            format!("the value does not fit: expected {expected}{place}")
        }
        _ => whole.trim_end().to_owned(),
    }
}

pub(in crate::project) fn with_suggestion(problem: String) -> String {
    let wrong = ["unknown field `", "unknown variant `"].iter().find_map(|begins| {
        let rest = &problem[problem.rfind(begins)? + begins.len()..];
        rest.split_once('`')
    });
    let Some((wrong, rest)) = wrong else { return problem };
    let words = rest.lines().next().unwrap_or_default().split('`').skip(1).step_by(2);
    match bandstand_workflow::nearest(wrong, words) {
        Some(near) => format!("{problem}\ndid you mean `{near}`?"),
        None => problem,
    }
}
