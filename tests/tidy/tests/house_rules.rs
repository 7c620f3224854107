//! Rules about source text and dependencies.

use std::collections::BTreeSet;
use std::fs;

use bandstand_tidy::{files, root, shown};

fn sources() -> Vec<(String, String)> {
    ["host", "tests", "plugins"]
        .iter()
        .flat_map(|dir| files(&root().join(dir), ".rs"))
        .map(|path| (shown(&path), fs::read_to_string(&path).expect("a source is text")))
        .collect()
}

fn assert_none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let offenders = sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path);
    assert_none("these files do not open with a `//!` comment", offenders.collect());
}

#[test]
fn a_todo_names_its_issue() {
    let word = ["TO", "DO"].concat();
    let offenders = sources().into_iter().flat_map(|(path, text)| {
        let lines = text.lines().enumerate().filter(|(_, line)| line.contains(&word) && !line.contains("#"));
        lines.map(|(number, _)| format!("{path}:{}", number + 1)).collect::<Vec<_>>()
    });
    assert_none("these notes name no issue", offenders.collect());
}

#[test]
fn sources_are_ascii() {
    let offenders = sources().into_iter().filter(|(_, text)| !text.is_ascii()).map(|(path, _)| path);
    assert_none("these sources hold characters beyond ASCII; write them as escapes", offenders.collect());
}

#[test]
fn no_module_is_a_drawer() {
    let drawers = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "misc.rs"];
    let offenders = sources().into_iter().map(|(path, _)| path);
    let offenders =
        offenders.filter(|path| drawers.iter().any(|drawer| path.ends_with(&format!("/{drawer}"))));
    assert_none("name these files by what they hold", offenders.collect());
}

/// What each crate may depend on of ours, and what it must never: the arrows of `host/ARCHITECTURE.md`.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    (
        "engine",
        &[],
        &[
            "tokio",
            "wasmtime",
            "wasmtime-wasi",
            "rusqlite",
            "serde-saphyr",
            "saphyr-parser",
            "axum",
            "anyhow",
        ],
    ),
    (
        "workflow",
        &["bandstand-engine", "bandstand-signature"],
        &["tokio", "wasmtime", "wasmtime-wasi", "rusqlite", "axum", "anyhow"],
    ),
    ("signature", &[], &["tokio", "wasmtime", "wasmtime-wasi", "rusqlite", "axum", "anyhow"]),
    ("driver", &["bandstand-engine"], &["tokio", "wasmtime", "wasmtime-wasi", "rusqlite", "axum", "anyhow"]),
    ("store", &["bandstand-engine"], &["tokio", "wasmtime", "wasmtime-wasi", "axum", "anyhow"]),
    ("sandbox", &["bandstand-signature"], &["rusqlite", "axum", "anyhow"]),
    ("model", &["bandstand-sandbox"], &["wasmtime", "wasmtime-wasi", "rusqlite", "axum", "anyhow"]),
];

#[test]
fn the_arrows_between_crates_hold() {
    let mut offenders = Vec::new();
    for (name, ours, never) in ARROWS {
        let path = root().join("host").join(name).join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let dependencies =
            manifest.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let names: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
        for dependency in names {
            if never.contains(&dependency) {
                offenders.push(format!("host/{name} must not know `{dependency}`"));
            }
            if dependency.starts_with("bandstand") && !ours.contains(&dependency) {
                offenders.push(format!("host/{name} must not depend on `{dependency}`"));
            }
        }
    }
    assert_none("these dependencies go against the architecture", offenders);
}

#[test]
fn only_the_sandbox_names_wasmtime() {
    let offenders = sources().into_iter().filter(|(path, text)| {
        path.starts_with("host/")
            && !path.starts_with("host/sandbox/")
            && text.lines().any(|line| line.contains("wasmtime::") && !line.trim_start().starts_with("//"))
    });
    assert_none("these files use wasmtime's types", offenders.map(|(path, _)| path).collect());
}

#[test]
fn the_engine_and_the_driver_core_read_no_clock_and_open_no_file() {
    let forbidden = [
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::env",
        "std::net",
        "std::thread",
        "HashMap",
        "HashSet",
    ];
    let offenders = sources().into_iter().flat_map(|(path, text)| {
        let pure = ["host/engine/src/", "host/driver/src/"].iter().any(|dir| path.starts_with(dir));
        let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        let found = forbidden.iter().filter(move |word| {
            pure && text.lines().any(|line| line.contains(**word) && !line.trim_start().starts_with("//"))
        });
        found.map(|word| format!("{path}: {word}")).collect::<Vec<_>>()
    });
    assert_none("these pure files reach outside", offenders.collect());
}

#[test]
fn no_file_names_a_machine() {
    let mut offenders = Vec::new();
    for ending in [".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".json", ".wit"] {
        for path in files(&root(), ending) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let home = ["/wo", "rk/"].concat();
            for (number, line) in text.lines().enumerate() {
                if line.contains(&home) || line.contains(&["/ro", "ot/"].concat()) {
                    offenders.push(format!("{}:{}", shown(&path), number + 1));
                }
            }
        }
    }
    assert_none("these lines name a path of somebody's machine", offenders);
}

/// The requirements that the project claims so far. `host/ARCHITECTURE.md` says what each means.
const PROVEN: &[&str] = &[
    "R1.1", "R1.2", "R1.3", "R1.4", "R1.5", "R1.6", "R1.7", "R1.8", "R1.9", "R1.10", "R2.1", "R2.2", "R2.3",
    "R2.4", "R2.5", "R2.6", "R2.7", "R2.8", "R3.1", "R3.2", "R3.3", "R3.4", "R3.5", "R3.6", "R4.1", "R4.2",
    "R4.3", "R4.4", "R4.5", "R4.6", "R5.1", "R5.2", "R5.3", "R5.4", "R5.5", "R5.6", "R5.7", "R5.8", "R6.1",
    "R6.2", "R6.3", "R6.4", "R7.1", "R7.2", "R7.3", "R7.4", "R7.5", "R7.6", "R8.1", "R8.2", "R8.4",
];

#[test]
fn every_claimed_requirement_is_proven_by_a_test() {
    let tests: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| {
            !path.starts_with("tests/tidy/")
                && (path.contains("/tests/") || path.starts_with("tests/") || text.contains("#[test]"))
        })
        .map(|(_, text)| text)
        .collect();
    let named = |id: &str| {
        tests.iter().any(|text| {
            text.match_indices(id)
                .any(|(at, _)| !text[at + id.len()..].starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let offenders = PROVEN.iter().filter(|id| !named(id)).map(|id| (*id).to_owned());
    assert_none("no test carries these ids", offenders.collect());
}
