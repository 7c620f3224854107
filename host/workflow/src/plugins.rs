//! Plugins and templates as they are on disk (`BW301` to `BW321`, `BW601` to `BW604`, `BW608` to `BW610`, `BW612`): asked of the
//! resolver, left out without one. What they may do is [`grants`]'s.

use std::collections::BTreeMap;

use bandstand_engine::expression::{TextTemplate, analyse_template};
use bandstand_engine::graph::PluginSource;
use bandstand_signature::FunctionName;

use crate::diagnostic::Report;
use crate::expressions::{Uses, code_of};
use crate::feature::Feature;
use crate::files::{Files, file_problem};
use crate::grants;
use crate::quantity::suggest;
use crate::resolver::{PluginFacts, PluginProblem, Resolver};
use crate::yaml::{Entry, Node};

/// Where a plugin's bytes are, as the file says.
pub(crate) fn source_of(plugin: &Node) -> Option<PluginSource> {
    match (plugin.get("path").and_then(Node::text), plugin.get("builtin").and_then(Node::text)) {
        (Some(path), _) => Some(PluginSource::Path(path.to_owned())),
        (None, Some(builtin)) => Some(PluginSource::Builtin(builtin.to_owned())),
        (None, None) => None,
    }
}

/// Tells what is wrong with the plugins; gives what their bytes tell.
pub(crate) fn check(
    report: &mut Report<'_>,
    file: &Node,
    resolver: &dyn Resolver,
) -> BTreeMap<String, PluginFacts> {
    let mut facts = BTreeMap::new();
    for entry in file.get("plugins").map(Node::entries).unwrap_or_default() {
        if let Some(found) = plugin(report, entry, resolver) {
            facts.insert(entry.key.clone(), found);
        }
    }
    tools(report, file, resolver);
    facts
}

/// Tells of granted tools that mean nothing, or cannot be used.
fn tools(report: &mut Report<'_>, file: &Node, resolver: &dyn Resolver) {
    let plugins = file.get("plugins").map(Node::entries).unwrap_or_default();
    let own: Vec<&str> = plugins.iter().map(|entry| entry.key.as_str()).collect();
    for entry in plugins {
        let granted = entry.value.get("grants").and_then(|grants| grants.get("tools"));
        for tool in granted.map(Node::items).unwrap_or_default() {
            let Some(id) = tool.text().filter(|id| !own.contains(id)) else { continue };
            if let Some((message, help)) = tool_problem(id, &own, resolver) {
                report.add("BW610", tool.span, message, help);
            }
        }
    }
}

/// What is wrong with a tool of the host, or with one that it may call.
fn tool_problem(id: &str, own: &[&str], resolver: &dyn Resolver) -> Option<(String, String)> {
    let mut open = vec![id.to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(next) = open.pop() {
        let via = if next == id { String::new() } else { format!(", which `{id}` calls,") };
        if own.contains(&next.as_str()) {
            let message = format!("the tool `{next}` of the host{via} has the id of a plugin of this file");
            return Some((message, format!("call the plugin `{next}` of this file otherwise")));
        }
        match resolver.tool(&next) {
            Some(Ok(calls)) => {
                let new = calls.into_iter().filter(|tool| *tool != next && !seen.contains(tool));
                open.extend(new.collect::<Vec<_>>());
                seen.push(next);
            }
            Some(Err(problem)) => {
                let message = format!("the tool `{next}` of the host{via} cannot be used: {problem}");
                return Some((message, format!("mend [tools.{next}] in bandstand.toml")));
            }
            None => {
                let message = format!(
                    "there is no tool `{next}`: no plugin of this file has that id, no tool of the host"
                );
                let host = resolver.tools();
                let known: Vec<&str> = own.iter().copied().chain(host.iter().map(String::as_str)).collect();
                let close = suggest(&next, &known, "there is");
                let help = format!(
                    "a plugin `{next}` in this file would be one, or [tools.{next}] in bandstand.toml; {close}"
                );
                return Some((message, help));
            }
        }
    }
    None
}

fn plugin(report: &mut Report<'_>, entry: &Entry, resolver: &dyn Resolver) -> Option<PluginFacts> {
    let source = source_of(&entry.value)?;
    let at = entry.value.get("path").or(entry.value.get("builtin"))?.span;
    if let PluginSource::Builtin(name) = &source {
        let builtins = resolver.builtins();
        if !builtins.iter().any(|builtin| builtin == name) {
            // One that is due later has its own warning.
            if Feature::of_builtin(name).is_none() {
                let known: Vec<&str> = builtins.iter().map(String::as_str).collect();
                report.add(
                    "BW609",
                    at,
                    format!("there is no builtin `{name}`"),
                    suggest(name, &known, "the builtins"),
                );
            }
            return None;
        }
    }
    let function = entry.value.get("function");
    let facts = match resolver.plugin(&source, function.and_then(Node::text)) {
        Ok(facts) => facts,
        Err(PluginProblem::File(problem)) => {
            file_problem(report, at, &problem);
            return None;
        }
        Err(PluginProblem::NotAnAgent { what }) => {
            let help = "a plugin is a component that exports `bandstand:agent/node`; begin one with: \
                        bandstand plugin new NAME --lang rust";
            report.add("BW602", at, what, help);
            return None;
        }
        Err(PluginProblem::NoFunction { what, functions }) => {
            // One that is written wrongly was told before.
            let named = function.and_then(Node::text).filter(|text| FunctionName::parse(text).is_ok());
            if let (Some(place), Some(name)) = (function, named) {
                let known: Vec<&str> = functions.iter().map(String::as_str).collect();
                report.add("BW612", place.span, what, suggest(name, &known, "functions that can be called"));
            }
            return None;
        }
    };
    if let Some(pinned) =
        entry.value.get("digest").filter(|pinned| pinned.text().is_some_and(|d| d != facts.digest))
    {
        let message =
            format!("the file's digest is {}, not {}", facts.digest, pinned.text().unwrap_or_default());
        let help = format!("look at what changed, then write `digest: {}`", facts.digest);
        report.add("BW608", pinned.span, message, help);
    }
    let permits = resolver.permitted(&source, &facts.digest);
    grants::needed(report, entry, &facts, permits.as_ref());
    grants::permitted(report, entry, permits.as_ref(), resolver);
    grants::there(report, entry, resolver);
    Some(facts)
}

/// Reads and compiles the template constants; tells names that `render` does not give.
pub(crate) fn templates(
    report: &mut Report<'_>,
    file: &Node,
    files: &mut Files<'_>,
    uses: &Uses,
) -> BTreeMap<String, TextTemplate> {
    let mut templates = BTreeMap::new();
    for entry in file.get("constants").map(Node::entries).unwrap_or_default() {
        let Some(path) = entry.value.get("template") else { continue };
        let Some(text) = files.text(report, path) else { continue };
        let (findings, names) = analyse_template(&text);
        for finding in &findings {
            let before = text.get(..finding.offset).unwrap_or(&text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let place = format!("{}:{line}:{column}", path.text().unwrap_or_default());
            report.add(
                code_of(finding.kind),
                path.span,
                format!("in {place}: {}", finding.message),
                finding.help.clone(),
            );
        }
        for (render, at) in
            uses.renders.iter().filter(|(render, _)| render.name.as_deref() == Some(&entry.key))
        {
            let Some(keys) = &render.keys else { continue };
            for name in names.iter().filter(|name| !keys.contains(*name)) {
                let message = format!("the template `{}` uses `{name}`, which is not given to it", entry.key);
                let help = format!("give it: `render('{}', {{'{name}': ..}})`", entry.key);
                report.add("BW321", *at, message, help);
            }
        }
        if let Ok(template) = TextTemplate::compile(&text) {
            templates.insert(entry.key.clone(), template);
        } else if findings.is_empty() {
            report.add("BW301", path.span, "the template does not compile", "make it simpler");
        }
    }
    templates
}
