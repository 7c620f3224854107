//! The agents `stats` and `powers` of each language under one suite: the same input gives the same reply, the same failure is of the
//! same class, the same limits hold, and memory, models, tools and HTTP give and refuse the same. What each does stands in
//! `plugins/conformance.md`, which is written from here (R8.5, R7.2).
//!
//! Rust is built and tried always, others if `BANDSTAND_GUEST_LANGUAGES` names them; their columns are then compared with the
//! committed ones. `BANDSTAND_BLESS=1` writes the columns of those that were tried.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;
mod powers;
mod wasm_rust;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bandstand::Folder;
use serde_json::{Value, json};

const LANGUAGES: [&str; 6] = ["rust", "python", "javascript", "typescript", "c", "go"];

/// What is tried: a name for people, and whether all languages must do the same.
const STATS: [(&str, bool); 14] = [
    ("the cases of `stats/cases.json`", true),
    ("fails for now: class, code, wait", true),
    ("fails for good", true),
    ("input that does not fit", true),
    ("a list in place of the text", true),
    ("crashes: class and code", true),
    ("crashes: its last words hold the text", true),
    ("crashes: its last words name the author's line", false),
    ("goes on without end, 2 s allowed", true),
    ("takes memory without end", true),
    ("replies with more than 1 MiB", true),
    ("log line, with fields", true),
    ("the same input again: the same output", true),
    ("what it must be granted", true),
];

/// What a cell says where the SDK of a language has nothing to try.
const NOT_COVERED: &str = "not in its SDK";

/// All that is tried, in the order of the cells.
fn behaviours() -> Vec<(String, bool)> {
    let powers = powers::NAMES.iter().map(|name| ((*name).to_owned(), true));
    STATS.iter().map(|(name, same)| ((*name).to_owned(), *same)).chain(powers).collect()
}

/// Builds an agent of one language, for this repository.
fn build(agent: &str, language: &str, folder: &Folder) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let file = repository.join(format!("target/plugins/{agent}-{language}.wasm"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let source = repository.join("plugins").join(agent).join(language);
    let args = ["plugin", "build", source.to_str().unwrap(), "--out", file.to_str().unwrap()];
    let mut command = folder.command(&args);
    if language == "rust" {
        wasm_rust::prepare(&mut command, &repository);
    }
    bandstand::Ended::of(command.output().unwrap()).expect(0, &["built in"]);
    file
}

/// One language's agent `stats`, built.
struct Agent {
    file: PathBuf,
    folder: Folder,
}

impl Agent {
    fn built(language: &str) -> Agent {
        let folder = Folder::new();
        let file = build("stats", language, &folder);
        // Where a machine is busy, Python takes longer to compile than a host allows when nobody says.
        folder.write("bandstand.toml", "[compile]\ntime = \"10m\"\n");
        Agent { file, folder }
    }

    /// How a call ended, and the log lines before.
    fn call(&self, input: &Value, more: &[&str]) -> (Value, Vec<Value>) {
        let input = self.folder.write("input.json", input.to_string());
        let input = format!("@{}", input.display());
        let file = self.file.to_str().unwrap();
        let mut args = vec!["plugin", "test", file, "--json", "--input", &input];
        args.extend(more);
        let ended = self.folder.call(&args);
        let mut lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let outcome = lines.pop().unwrap_or_else(|| panic!("{ended:#?}"));
        assert_eq!(outcome["type"], "outcome", "{ended:#?}");
        (outcome, lines)
    }

    fn ending(&self, fail: &str, more: &[&str]) -> Value {
        self.call(&json!({ "text": "one two", "fail": fail }), more).0["error"].clone()
    }

    /// What it does, for each of [`STATS`].
    fn cells(&self, language: &str) -> Vec<String> {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/stats/cases.json");
        let tried = self.folder.call(&[
            "plugin",
            "test",
            self.file.to_str().unwrap(),
            "--cases",
            cases.to_str().unwrap(),
        ]);
        let all = tried.stderr.lines().chain(tried.stdout.lines()).find(|line| line.contains("as expected"));
        let all = all.unwrap_or_else(|| panic!("{tried:#?}")).trim().to_owned();
        assert_eq!(tried.code, 0, "{language}: {tried:#?}");
        let (waits, crash) = (self.ending("recoverable", &[]), self.ending("crash", &[]));
        let words = crash["last_words"].as_str().unwrap_or_default();
        let source = match language {
            "rust" => "lib.rs:",
            "python" => "agent.py",
            "javascript" => "agent.js",
            "typescript" => "agent.ts",
            "go" => "main.go",
            _ => "agent.c",
        };
        let (flooded, _) = self.call(&json!({ "text": "x".repeat(700_000) }), &[]);
        let (outcome, log) = self.call(&json!({ "text": "one two" }), &[]);
        let log: Vec<&Value> = log.iter().filter(|line| line["type"] == "live.log").collect();
        let said = log.first().map(|line| {
            let fields: Value =
                serde_json::from_str(line["fields"].as_str().unwrap_or("null")).unwrap_or_default();
            format!("{} {} {fields}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap())
        });
        let again = self.call(&json!({ "text": "one two" }), &[]).0["output"] == outcome["output"];
        let shown = self.folder.call(&["plugin", "inspect", self.file.to_str().unwrap(), "--json"]);
        let shown = shown.expect(0, &[]).json();
        vec![
            all,
            format!("{}, {}", ended(&waits), waits["retry_after_ms"]),
            ended(&self.ending("permanent", &[])),
            ended(&self.call(&json!({ "text": 1 }), &[]).0["error"]),
            ended(&self.call(&json!({ "text": [] }), &[]).0["error"]),
            ended(&crash),
            yes(words.contains("asked to crash")),
            yes(words.contains(source)),
            ended(&self.ending("spin", &["--timeout", "2s"])),
            ended(&self.ending("hoard", &["--timeout", "60s"])),
            ended(&flooded["error"]),
            said.unwrap_or_default(),
            yes(again),
            match shown["grants_needed"].as_array().map(Vec::len) {
                Some(0) => "nothing".to_owned(),
                _ => shown["grants_needed"].to_string(),
            },
        ]
    }
}

fn ended(error: &Value) -> String {
    format!("{}/{}", error["class"].as_str().unwrap_or("none"), error["code"].as_str().unwrap_or("none"))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

const HEAD: &str = "# Conformance\n\nWhat the agents [`stats`](stats/README.md) and [`powers`](powers/README.md) do in each language, in the real sandbox. Written by `BANDSTAND_BLESS=1 cargo test \
                    --workspace --test conformance` with\n`BANDSTAND_GUEST_LANGUAGES`; `.ci/run` builds and tries all of them and compares. Where a row says that all \
                    must do the same, the\ntest fails when one does not.\n\n";

/// The table, of what each language does.
fn table(columns: &BTreeMap<String, Vec<String>>) -> String {
    let languages: Vec<&str> = LANGUAGES.into_iter().filter(|name| columns.contains_key(*name)).collect();
    let mut text = format!("{HEAD}| behaviour | must be the same | {} |\n", languages.join(" | "));
    text.push_str(&format!("| --- | --- |{}\n", " --- |".repeat(languages.len())));
    for (row, (behaviour, same)) in behaviours().iter().enumerate() {
        let cells: Vec<String> = languages.iter().map(|name| format!("`{}`", columns[*name][row])).collect();
        text.push_str(&format!("| {behaviour} | {} | {} |\n", yes(*same), cells.join(" | ")));
    }
    text
}

/// The columns of a table that [`table`] wrote.
fn columns(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut rows = text.lines().filter(|line| line.starts_with("| ")).map(|line| {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect::<Vec<_>>()
    });
    let Some(names) = rows.next() else { return BTreeMap::new() };
    let rows: Vec<Vec<String>> = rows.filter(|row| row.len() == names.len()).collect();
    let named = names.iter().enumerate().skip(2);
    named
        .map(|(at, name)| {
            let cells = rows.iter().filter(|row| !row[0].starts_with("---")).map(|row| row[at].clone());
            (name.clone(), cells.collect())
        })
        .collect()
}

/// The columns of these languages, two at a time: much of it is waiting for tools that use one processor.
fn tried(languages: impl Iterator<Item = &'static str> + Send) -> Vec<(String, Vec<String>)> {
    let (left, found) = (Mutex::new(languages), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().next();
    let work = || {
        while let Some(language) = next() {
            let mut cells = Agent::built(language).cells(language);
            let folder = Folder::new();
            cells.extend(powers::cells(&build("powers", language, &folder), &folder));
            found.lock().unwrap().push((language.to_owned(), cells));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    found.into_inner().unwrap()
}

#[test]
fn every_language_does_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/conformance.md");
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let named = std::env::var("BANDSTAND_GUEST_LANGUAGES").unwrap_or_default();
    let wanted = LANGUAGES
        .into_iter()
        .filter(|name| *name == "rust" || named.split_whitespace().any(|one| one == *name));
    let mut found = columns(&committed);
    found.retain(|_, cells| cells.len() == behaviours().len());
    found.extend(tried(wanted));
    let text = table(&found);
    if std::env::var_os("BANDSTAND_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    for (row, (behaviour, same)) in behaviours().iter().enumerate() {
        let all: BTreeMap<&String, &String> = found.iter().map(|(name, cells)| (name, &cells[row])).collect();
        let is_lacking = |name: &str, cell: &str| cell == NOT_COVERED && name != "c";
        assert!(!all.iter().any(|(name, cell)| is_lacking(name, cell)), "{behaviour}: {all:#?}");
        let mut covered = all.values().filter(|cell| **cell != NOT_COVERED);
        let first = covered.next().unwrap_or_else(|| panic!("{behaviour}: nobody does it"));
        assert!(!same || covered.all(|cell| cell == first), "{behaviour}: {all:#?}");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "plugins/conformance.md is not what was found; BANDSTAND_BLESS=1 writes it");
}
