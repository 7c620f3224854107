//! Plugins and templates as they are on disk (`BW301` to `BW321`, `BW601` to `BW604`, `BW608`, `BW609`): asked of the
//! resolver, left out without one.

use std::collections::BTreeMap;

use bandstand_engine::expression::{TextTemplate, analyse_template};
use bandstand_engine::graph::{MemoryAccess, PluginSource};

use crate::diagnostic::Report;
use crate::expressions::{Uses, code_of};
use crate::feature::Feature;
use crate::files::{Files, file_problem};
use crate::quantity::{listed, suggest};
use crate::resolver::{Need, Permitted, PluginFacts, PluginProblem, Resolver};
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
    facts
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
    let facts = match resolver.plugin(&source) {
        Ok(facts) => facts,
        Err(PluginProblem::File(problem)) => {
            file_problem(report, at, &problem);
            return None;
        }
        Err(PluginProblem::NotAnAgent { what }) => {
            let help = "a plugin is a component that exports `bandstand:agent/node`; build it with the SDK in plugins/sdk, \
                        or from wit/agent.wit in any language";
            report.add("BW602", at, what, help);
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
    grants(report, entry, &facts, permits.as_ref());
    permitted(report, entry, permits.as_ref());
    Some(facts)
}

/// What it imports is granted.
fn grants(report: &mut Report<'_>, entry: &Entry, facts: &PluginFacts, permits: Option<&Permitted>) {
    let granted = entry.value.get("grants");
    let missing = |need: &&Need| granted.and_then(|grants| grants.entry(&need.grant)).is_none();
    let mut by_grant: BTreeMap<&str, (Vec<&str>, bool)> = BTreeMap::new();
    for need in facts.needs.iter().filter(missing) {
        let (imports, writes) = by_grant.entry(&need.grant).or_default();
        imports.push(&need.import);
        *writes |= need.writes;
    }
    for (grant, (imports, writes)) in by_grant {
        let message =
            format!("the plugin `{}` imports {}, which is not granted", entry.key, listed(&imports));
        let value = match grant {
            "memory" if writes => "write",
            "memory" => "read",
            "http" => "[\"https://api.example.com\"]",
            "clock" => "coarse",
            "random" => "true",
            "files" => "{ data: { path: data, access: read } }",
            _ => "[name]",
        };
        let mut help = format!("add to the plugin: `grants: {{ {grant}: {value} }}`");
        let wanted = if writes { MemoryAccess::Write } else { MemoryAccess::Read };
        if let Some(permits) = permits
            && grant == "memory"
            && permits.memory.is_none_or(|most| most < wanted)
        {
            help.push_str(&format!(
                "; the host must permit it, too, {} = {{ memory = \"{value}\" }}",
                permits.place
            ));
        }
        report.add("BW603", entry.key_span, message, help);
    }
}

/// What it is granted is permitted by the host.
fn permitted(report: &mut Report<'_>, entry: &Entry, permits: Option<&Permitted>) {
    let Some(permitted) = permits else { return };
    for grant in entry.value.get("grants").map(Node::entries).unwrap_or_default() {
        let wanted = grant.value.text().unwrap_or_default();
        let fits = match grant.key.as_str() {
            "memory" if wanted == "write" => permitted.memory == Some(MemoryAccess::Write),
            "memory" => permitted.memory.is_some(),
            other => permitted.others.contains(other),
        };
        if !fits {
            let says = match (grant.key.as_str(), permitted.memory) {
                ("memory", Some(_)) => "permits `memory: read`".to_owned(),
                (key, _) => format!("does not permit `{key}`"),
            };
            let message = format!("the file grants `{}` to `{}`, but the host {says}", grant.key, entry.key);
            let line =
                if grant.key == "memory" { format!(" = {{ memory = \"{wanted}\" }}") } else { String::new() };
            let help =
                format!("this line grants it; the host would have to permit it {}{line}", permitted.place);
            report.add("BW604", grant.value.span, message, help);
        }
    }
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
