//! What plugins ask for: read from the file, held against what they import (`BW603`) and what the host permits
//! (`BW604`). What stands behind a power is the host's business.

use std::collections::BTreeMap;

use bandstand_engine::graph::{ClockGrant, FilesAccess, FilesGrant, Grants, HttpOrigin, MemoryAccess};
use bandstand_engine::id::Id;

use crate::diagnostic::Report;
use crate::files::file_problem;
use crate::quantity::listed;
use crate::resolver::{Permitted, PluginFacts, Resolver};
use crate::yaml::{Entry, Node};

/// The grants of a plugin that passed the grammar.
pub(crate) fn lower(plugin: &Node) -> Grants {
    let Some(grants) = plugin.get("grants") else { return Grants::default() };
    let items = |key: &str| grants.get(key).map(Node::items).unwrap_or_default();
    let texts = |key: &str| items(key).iter().filter_map(Node::text).map(str::to_owned).collect::<Vec<_>>();
    Grants {
        memory: grants.get("memory").and_then(Node::text).and_then(memory),
        http: items("http").iter().filter_map(origin).collect(),
        model: texts("model"),
        tools: texts("tools").iter().filter_map(|id| Id::new(id).ok()).collect(),
        secrets: texts("secrets"),
        env: texts("env"),
        files: grants.get("files").map(Node::entries).unwrap_or_default().iter().filter_map(files).collect(),
        clock: grants.get("clock").map(|_| ClockGrant::Coarse),
        random: grants.get("random").is_some(),
    }
}

fn memory(word: &str) -> Option<MemoryAccess> {
    match word {
        "read" => Some(MemoryAccess::Read),
        "write" => Some(MemoryAccess::Write),
        _ => None,
    }
}

fn origin(node: &Node) -> Option<HttpOrigin> {
    let text = |origin: &Node| origin.text().map(str::to_ascii_lowercase);
    match node.get("origin") {
        None => Some(HttpOrigin { origin: text(node)?, methods: Vec::new() }),
        Some(origin) => {
            let methods = node.get("methods").map(Node::items).unwrap_or_default();
            let methods = methods.iter().filter_map(Node::text).map(str::to_ascii_uppercase).collect();
            Some(HttpOrigin { origin: text(origin)?, methods })
        }
    }
}

fn files(entry: &Entry) -> Option<(Id, FilesGrant)> {
    let access = match entry.value.get("access").and_then(Node::text)? {
        "scratch" => FilesAccess::Scratch,
        _ => FilesAccess::Read,
    };
    let path = entry.value.get("path").and_then(Node::text)?.to_owned();
    Some((Id::new(&entry.key).ok()?, FilesGrant { path, access }))
}

/// How a power is granted in a workflow file: `memory: write`. `name` stands where one has to be put in.
#[must_use]
pub fn grant_example(grant: &str, writes: bool, name: &str) -> String {
    let value = match grant {
        "memory" if writes => "write",
        "memory" => "read",
        "http" => "[\"https://api.example.com\"]",
        "clock" => "coarse",
        "random" => "true",
        "files" => "{ data: { path: data, access: read } }",
        _ => return format!("{grant}: [{name}]"),
    };
    format!("{grant}: {value}")
}

/// What it imports is granted.
pub(crate) fn needed(
    report: &mut Report<'_>,
    entry: &Entry,
    facts: &PluginFacts,
    permits: Option<&Permitted>,
) {
    let granted = entry.value.get("grants");
    let mut by_grant: BTreeMap<&str, (Vec<&str>, bool)> = BTreeMap::new();
    for need in &facts.needs {
        if granted.and_then(|grants| grants.entry(&need.grant)).is_none() {
            let (imports, writes) = by_grant.entry(&need.grant).or_default();
            imports.push(&need.import);
            *writes |= need.writes;
        }
    }
    for (grant, (imports, writes)) in by_grant {
        let message =
            format!("the plugin `{}` imports {}, which is not granted", entry.key, listed(&imports));
        let example = grant_example(grant, writes, "name");
        let mut help = format!("add to the plugin: `grants: {{ {example} }}`");
        if let Some(permits) = permits
            && let Some(line) = not_permitted(grant, writes, permits)
        {
            help.push_str(&format!("; the host must permit it, too, {} = {{ {line} }}", permits.place));
        }
        report.add("BW603", entry.key_span, message, help);
    }
}

/// The line that the host lacks for a power of which it permits nothing that would do.
fn not_permitted(grant: &str, writes: bool, permits: &Permitted) -> Option<&'static str> {
    match grant {
        "memory" if writes => (permits.memory < Some(MemoryAccess::Write)).then_some("memory = \"write\""),
        "memory" => permits.memory.is_none().then_some("memory = \"read\""),
        "http" => permits.http.is_empty().then_some("http = [\"https://api.example.com\"]"),
        "model" => permits.model.is_empty().then_some("model = [\"name\"]"),
        "tools" => permits.tools.is_empty().then_some("tools = [\"name\"]"),
        _ => None,
    }
}

/// What it is granted is permitted by the host.
pub(crate) fn permitted(
    report: &mut Report<'_>,
    entry: &Entry,
    permits: Option<&Permitted>,
    resolver: &dyn Resolver,
) {
    let Some(permits) = permits else { return };
    let asked = lower(&entry.value);
    for grant in entry.value.get("grants").map(Node::entries).unwrap_or_default() {
        let Some((what, says, line)) = excess(&grant.key, &asked, permits, resolver) else { continue };
        let message = format!("the file grants {what} to `{}`, but the host {says}", entry.key);
        let help =
            format!("this line grants it; the host would have to permit it {} = {{ {line} }}", permits.place);
        report.add("BW604", grant.value.span, message, help);
    }
}

/// The directories that it is granted are there, and its environment variables are none that the host keeps to itself.
pub(crate) fn there(report: &mut Report<'_>, entry: &Entry, resolver: &dyn Resolver) {
    let Some(grants) = entry.value.get("grants") else { return };
    for files in grants.get("files").map(Node::entries).unwrap_or_default() {
        let scratch = files.value.get("access").and_then(Node::text) == Some("scratch");
        let Some(path) = files.value.get("path").filter(|_| !scratch) else { continue };
        if let Some(Err(problem)) = path.text().map(|text| resolver.directory(text)) {
            file_problem(report, path.span, &problem);
        }
    }
    for name in grants.get("env").map(Node::items).unwrap_or_default() {
        if let Some((text, why)) = name.text().and_then(|text| Some((text, resolver.kept_env(text)?))) {
            let message = format!("the file grants `env` of `{text}` to `{}`, but {why}", entry.key);
            report.add("BW604", name.span, message, "no host permits it; take it out");
        }
    }
}

/// What one key asks beyond what is permitted: what it is, what the host says of it, the line that would permit it.
fn excess(
    key: &str,
    asked: &Grants,
    permits: &Permitted,
    resolver: &dyn Resolver,
) -> Option<(String, String, String)> {
    let refused = |what: String, line: String| Some((what, format!("does not permit `{key}`"), line));
    let names = |asked: &[String], permitted: &[String]| {
        let beyond: Vec<&str> =
            asked.iter().filter(|name| !permitted.contains(name)).map(String::as_str).collect();
        if beyond.is_empty() {
            return None;
        }
        let what = format!("`{key}` of {}", listed(&beyond));
        let says = if permitted.is_empty() {
            format!("does not permit `{key}`")
        } else {
            format!(
                "permits `{key}` of {} only",
                listed(&permitted.iter().map(String::as_str).collect::<Vec<_>>())
            )
        };
        Some((what, says, format!("{key} = {beyond:?}")))
    };
    match key {
        "memory" => {
            let wanted = asked.memory.filter(|wanted| permits.memory.is_none_or(|most| most < *wanted))?;
            let word = if wanted == MemoryAccess::Write { "write" } else { "read" };
            let says = match permits.memory {
                Some(_) => "permits `memory: read`".to_owned(),
                None => "does not permit `memory`".to_owned(),
            };
            Some(("`memory`".to_owned(), says, format!("memory = \"{word}\"")))
        }
        "http" => {
            let beyond =
                asked.http.iter().find(|asked| !permits.http.iter().any(|most| covers(most, asked)))?;
            let how = if beyond.methods.is_empty() {
                String::new()
            } else {
                format!(" ({})", beyond.methods.join(", "))
            };
            let says = if permits.http.is_empty() {
                "does not permit `http`".to_owned()
            } else {
                let permitted: Vec<&str> = permits.http.iter().map(|most| most.origin.as_str()).collect();
                format!("permits {} only, some of them perhaps with fewer methods", listed(&permitted))
            };
            Some((
                format!("`http` to `{}`{how}", beyond.origin),
                says,
                format!("http = [\"{}\"]", beyond.origin),
            ))
        }
        "model" => names(&asked.model, &permits.model),
        "tools" => {
            let tools: Vec<String> = asked.tools.iter().map(ToString::to_string).collect();
            names(&tools, &permits.tools)
        }
        "secrets" => names(&asked.secrets, &permits.secrets),
        "env" => names(&asked.env, &permits.env),
        "files" => {
            let beyond = asked.files.values().find_map(|grant| match grant.access {
                FilesAccess::Scratch => (!permits.scratch)
                    .then(|| ("`files` with `access: scratch`".to_owned(), "scratch = true".to_owned())),
                FilesAccess::Read => {
                    let path = resolver.in_project(&grant.path);
                    (!permits.files.iter().any(|most| is_within(&path, most)))
                        .then(|| (format!("`files` of `{path}`"), format!("files = [\"{path}\"]")))
                }
            })?;
            refused(beyond.0, beyond.1)
        }
        "clock" if !permits.clock => refused("`clock`".to_owned(), "clock = \"coarse\"".to_owned()),
        "random" if !permits.random => refused("`random`".to_owned(), "random = true".to_owned()),
        _ => None,
    }
}

/// Whether a directory is the permitted one or below it. Both are paths in the project, without `..`.
fn is_within(path: &str, permitted: &str) -> bool {
    let permitted = permitted.trim_start_matches("./").trim_end_matches('/');
    let all = permitted.is_empty() || permitted == ".";
    all || path == permitted || path.strip_prefix(permitted).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether what is permitted includes what is asked: the same scheme and port, the same host or one under `*.`, and no
/// other methods.
pub(crate) fn covers(permitted: &HttpOrigin, asked: &HttpOrigin) -> bool {
    let (Some(most), Some(wanted)) = (parts(&permitted.origin), parts(&asked.origin)) else { return false };
    let host = most.1 == wanted.1
        || most.1.strip_prefix('*').is_some_and(|suffix| {
            suffix.len() > 1 && wanted.1.len() > suffix.len() && wanted.1.ends_with(suffix)
        });
    let methods = permitted.methods.is_empty()
        || (!asked.methods.is_empty()
            && asked.methods.iter().all(|method| permitted.methods.contains(method)));
    host && methods && most.0 == wanted.0 && most.2 == wanted.2
}

/// Scheme, host and port of an origin in small letters; the port of the scheme where it names none.
fn parts(origin: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match rest.rsplit_once(':') {
        // The colons of an address of IP version 6 stand inside brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (rest, usual),
    };
    Some((scheme, host.strip_suffix('.').unwrap_or(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(origin: &str, methods: &[&str]) -> HttpOrigin {
        let methods = methods.iter().map(|method| (*method).to_owned()).collect();
        HttpOrigin { origin: origin.to_owned(), methods }
    }

    // R7.5: the sandbox reads the same table when it checks requests.
    #[test]
    fn an_origin_includes_itself_its_usual_port_and_what_its_star_stands_for() {
        let lines = include_str!("../../../tests/origins.txt").lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [most, asked, expected] = words[..] else { panic!("{line}") };
            assert_eq!(covers(&to(most, &[]), &to(asked, &[])), expected == "yes", "{line}");
        }
        // Requests have no stars, files do.
        let all = to("https://*.example.com", &[]);
        assert!(covers(&all, &all) && !covers(&to("https://a.example.com", &[]), &all));
    }

    // R7.2: who is told to grant is told of the operator, too, and only where that one is in the way.
    #[test]
    fn the_line_that_the_operator_lacks_is_named() {
        let nothing = Permitted::default();
        assert_eq!(not_permitted("memory", true, &nothing), Some("memory = \"write\""));
        assert_eq!(not_permitted("http", false, &nothing), Some("http = [\"https://api.example.com\"]"));
        assert_eq!(not_permitted("model", false, &nothing), Some("model = [\"name\"]"));
        let some = Permitted {
            memory: Some(MemoryAccess::Read),
            http: [to("https://a.example", &[])].into_iter().collect(),
            ..Permitted::default()
        };
        assert_eq!(not_permitted("http", false, &some), None);
        assert_eq!(not_permitted("memory", false, &some), None);
        assert_eq!(not_permitted("memory", true, &some), Some("memory = \"write\""));
    }

    // R7.2
    #[test]
    fn a_permitted_directory_includes_what_is_below_it() {
        for (path, permitted, expected) in [
            ("data", "data", true),
            ("data", "./data/", true),
            ("data/more", "data", true),
            ("data", ".", true),
            ("database", "data", false),
            ("dat", "data", false),
            ("data", "data/more", false),
        ] {
            assert_eq!(is_within(path, permitted), expected, "{path} {permitted}");
        }
    }

    // R7.5
    #[test]
    fn fewer_methods_do_not_include_all() {
        let origin = "https://a.example";
        assert!(covers(&to(origin, &[]), &to(origin, &["POST"])));
        assert!(covers(&to(origin, &["GET", "POST"]), &to(origin, &["POST"])));
        assert!(!covers(&to(origin, &["GET"]), &to(origin, &["POST"])));
        assert!(!covers(&to(origin, &["GET"]), &to(origin, &[])));
    }
}
