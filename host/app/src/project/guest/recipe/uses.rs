//! What of the host an agent's code calls, as far as it can be told without running it, held against what `uses` in `plugin.toml` names.
//! Python and JavaScript import what is named and nothing else, so that a call of anything else fails, though the build does not.

use super::super::run::Runner;
use super::Project;

/// Interfaces, the module of the SDK that each is behind, and its functions that ask the host, as Python has them.
const PYTHON: [(&str, &str, &[&str]); 6] = [
    ("http", "http", &["get", "post", "request"]),
    ("memory-audit", "memory.audit", &["append", "snapshot"]),
    ("memory-facts", "memory.facts", &["consolidate", "forget", "put", "reflect", "search"]),
    ("memory-slots", "memory.slots", &["get", "names", "set"]),
    ("model", "model", &["chat", "embed", "stream"]),
    ("tools", "tools", &["call", "granted"]),
];

/// Interfaces, and the members of the SDK's `host` that ask them: what is not called is not in a bundle.
const JAVASCRIPT: [(&str, &[&str]); 6] = [
    ("http", &["httpSend"]),
    ("memory-audit", &["auditAppend", "auditSnapshot"]),
    ("memory-facts", &["factsConsolidate", "factsForget", "factsPut", "factsReflect", "factsSearch"]),
    ("memory-slots", &["slotsGet", "slotsList", "slotsSet"]),
    ("model", &["modelChat", "modelEmbed", "modelStream"]),
    ("tools", &["toolsCall", "toolsList"]),
];

/// Warns of each interface that a bundle of JavaScript calls and `uses` lacks.
pub(super) fn of_bundle(project: &Project, bundle: &str, runner: &Runner<'_>) {
    let called = |functions: &[&str]| functions.iter().any(|name| bundle.contains(&format!(".{name}(")));
    let found = JAVASCRIPT.iter().filter(|(_, functions)| called(functions));
    warn(project, "the agent", found.map(|(interface, _)| *interface), runner);
}

/// The same of one file in Python.
pub(super) fn of_python(project: &Project, name: &str, text: &str, runner: &Runner<'_>) {
    warn(project, name, called_in_python(text).into_iter(), runner);
}

fn warn<'a>(project: &Project, who: &str, called: impl Iterator<Item = &'a str>, runner: &Runner<'_>) {
    for interface in called.filter(|called| !project.uses().iter().any(|named| named == called)) {
        (runner.warn)(&format!(
            "{who} calls `{interface}`, which `uses` in plugin.toml does not name: that call will fail; add it there and build again"
        ));
    }
}

fn called_in_python(text: &str) -> Vec<&'static str> {
    let text = statements(text);
    let imported = imports(&text);
    let calls = |local: &str, function: &str| has_word(&text, &format!("{local}.{function}("));
    let is_called = |(_, module, functions): &&(&str, &str, &[&str])| {
        let whole = format!("bandstand.{module}");
        imported.iter().any(|(path, local)| {
            functions.iter().any(|function| match whole.strip_prefix(path.as_str()) {
                Some(rest) if rest.is_empty() || rest.starts_with('.') => {
                    calls(&format!("{local}{rest}"), function)
                }
                // `from bandstand.model import chat`
                _ => *path == format!("{whole}.{function}") && has_word(&text, &format!("{local}(")),
            })
        })
    };
    PYTHON.iter().filter(is_called).map(|(interface, _, _)| *interface).collect()
}

/// A file without comments, and without line breaks after a backslash.
fn statements(text: &str) -> String {
    text.lines().map(without_comment).collect::<Vec<_>>().join("\n").replace("\\\n", " ")
}

/// A text over several lines is not seen as one: a `#` in it begins a comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') => return line[..at].trim_end(),
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    line
}

/// What the statements of a file import of the SDK: the whole path, and what it is called there.
fn imports(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut statement = line.trim().to_owned();
        while statement.starts_with("from ") && statement.contains('(') && !statement.contains(')') {
            let Some(more) = lines.next() else { break };
            statement.push_str(more);
        }
        let (of, names) = match statement.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) {
            Some((of, names)) => (of.trim(), names),
            None => ("", statement.strip_prefix("import ").unwrap_or_default()),
        };
        for name in names.split([',', '(', ')']).map(str::trim) {
            let (name, local) = name.split_once(" as ").unwrap_or((name, name));
            let path = if of.is_empty() { name.trim().to_owned() } else { format!("{of}.{}", name.trim()) };
            if path == "bandstand" || path.starts_with("bandstand.") {
                found.push((path, local.trim().to_owned()));
            }
        }
    }
    found
}

/// Whether a text has this, and not as the end of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != '.')
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::language::Language;
    use super::super::super::sdk;
    use super::*;

    #[test]
    fn calls_in_python_are_found() {
        for (text, expected) in [
            ("from bandstand import agent, memory\nmemory.slots.get('a')\n", &["memory-slots"][..]),
            ("from bandstand import (\n    agent,  # it\n    model as m,\n)\nx = m.chat('a')", &["model"]),
            (
                "import bandstand\nbandstand.memory.facts.put()\nbandstand.http.get('x')",
                &["http", "memory-facts"],
            ),
            (
                "\"\"\"It (asks.\"\"\"\nfrom bandstand.memory import audit\naudit.append('a')",
                &["memory-audit"],
            ),
            ("from bandstand.tools import call as ask\nask('a')", &["tools"]),
            ("from bandstand import agent, \\\n    model\nmodel.chat('x')", &["model"]),
            ("import bandstand.tools as tt\ntt.call('x')", &["tools"]),
            ("import json, bandstand.tools as tt  # it\nx = tt.granted()", &["tools"]),
            ("from bandstand import http\nx = '#'; http.get('x')", &["http"]),
            ("from bandstand import http\nx = 'it\\'s #'; http.get('x')", &["http"]),
            // Of the author's own, or not called.
            ("from bandstand import agent\naudit = []\naudit.append(1)\nmodel.chat('x')", &[]),
            ("from bandstand import model, tools\nmodel.user('x')\nmy_tools.call('x')\nx.tools.call(1)", &[]),
            ("from bandstandard import model\nmodel.chat('x')", &[]),
            ("from bandstand import agent, model\n# model.chat('x')\nx = 1  # as model.chat('x')", &[]),
        ] {
            assert_eq!(called_in_python(text), expected, "{text}");
        }
    }

    /// What the modules of the SDK for JavaScript call of its `host`.
    fn asked() -> BTreeSet<String> {
        let all: String = sdk::files(Language::Javascript).into_iter().map(|(_, text)| text).collect();
        let called = all.split("host.").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric())?;
            rest[end..].starts_with('(').then(|| rest[..end].to_owned())
        });
        called.filter(|name| !name.starts_with("log") && !name.starts_with("progress")).collect()
    }

    #[test]
    fn the_tables_are_those_of_the_sdks() {
        let known: BTreeSet<String> = JAVASCRIPT
            .iter()
            .flat_map(|(_, functions)| functions.iter().map(|name| (*name).to_owned()))
            .collect();
        assert_eq!(asked(), known);
        for (_, module, functions) in PYTHON {
            let file = format!("bandstand/{}.py", module.replace('.', "/"));
            let text = sdk::files(Language::Python).into_iter().find(|(path, _)| *path == file).unwrap().1;
            let own = text
                .split("\ndef ")
                .skip(1)
                .filter(|function| function.contains("_host.host.") || function.contains("request("));
            let own: BTreeSet<&str> =
                own.map(|function| function.split('(').next().unwrap_or_default()).collect();
            let own: BTreeSet<&str> = own.into_iter().filter(|name| !name.starts_with('_')).collect();
            assert_eq!(own, functions.iter().copied().collect(), "{file}");
        }
    }
}
