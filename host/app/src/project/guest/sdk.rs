//! The interface and the SDKs as they are in this repository, for projects that stand alone. They are embedded, so that the host
//! which writes a project and the SDK in it cannot differ; tests are left out.

use std::collections::BTreeMap;

use super::language::Language;

/// The interface.
pub(super) const WIT: &str = include_str!("../../../../../wit/agent.wit");
const RUST_WORKSPACE: &str = include_str!("../../../../../plugins/Cargo.toml");
const RUST_LOCK: &str = include_str!("../../../../../plugins/Cargo.lock");

/// A file of an SDK: its path from `plugins`, and what it holds.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../../../plugins/", $path)))),*]
    };
}

const RUST: &[File] = files! {
    "sdk/Cargo.toml" "sdk/src/call.rs" "sdk/src/failure.rs" "sdk/src/fake.rs" "sdk/src/lib.rs" "sdk/src/log.rs"
    "sdk/src/memory.rs" "sdk/src/model.rs" "sdk/src/progress.rs" "sdk/src/reply.rs" "sdk/src/tools.rs" "sdk/src/wasm.rs"
    "http/Cargo.toml" "http/src/fake.rs" "http/src/lib.rs" "http/src/url.rs" "http/src/wasm.rs"
};
const PYTHON: &[File] = files! {
    "sdk-python/bandstand/__init__.py" "sdk-python/bandstand/_host.py" "sdk-python/bandstand/_wasm.py"
    "sdk-python/bandstand/_wasm_http.py" "sdk-python/bandstand/call.py" "sdk-python/bandstand/entry.py"
    "sdk-python/bandstand/failure.py" "sdk-python/bandstand/fake.py" "sdk-python/bandstand/http.py"
    "sdk-python/bandstand/log.py" "sdk-python/bandstand/memory/__init__.py" "sdk-python/bandstand/memory/audit.py"
    "sdk-python/bandstand/memory/facts.py" "sdk-python/bandstand/memory/slots.py" "sdk-python/bandstand/model.py"
    "sdk-python/bandstand/progress.py" "sdk-python/bandstand/py.typed" "sdk-python/bandstand/reply.py"
    "sdk-python/bandstand/shape.py" "sdk-python/bandstand/tools.py"
};
const JAVASCRIPT: &[File] = files! {
    "sdk-javascript/audit.js" "sdk-javascript/bandstand.d.ts" "sdk-javascript/bandstand.js" "sdk-javascript/entry.mjs"
    "sdk-javascript/facts.js" "sdk-javascript/failure.js" "sdk-javascript/fake.d.ts" "sdk-javascript/fake.js"
    "sdk-javascript/host.js" "sdk-javascript/http.js" "sdk-javascript/json.js" "sdk-javascript/memory.js"
    "sdk-javascript/model.js" "sdk-javascript/package.json" "sdk-javascript/shape.js" "sdk-javascript/slots.js"
    "sdk-javascript/tools.js" "sdk-javascript/url.js" "sdk-javascript/utf8.js" "sdk-javascript/wasm.js"
    "sdk-javascript/wasm_http.js"
};
const C: &[File] = files! {
    "sdk-c/bandstand.c" "sdk-c/bandstand.h" "sdk-c/bandstand_fake.c" "sdk-c/bandstand_fake.h" "sdk-c/bandstand_json.c"
    "sdk-c/bandstand_wasm.c" "sdk-c/generated/README.md" "sdk-c/generated/agent.c" "sdk-c/generated/agent.h"
};
const GO: &[File] = files! {
    "sdk-go/agent.go" "sdk-go/failure.go" "sdk-go/fake.go" "sdk-go/go.mod" "sdk-go/host_wasip1.go" "sdk-go/http.go"
    "sdk-go/http_wasip1.go" "sdk-go/layout_wasip1.go" "sdk-go/log.go" "sdk-go/memory.go" "sdk-go/memory_wasip1.go"
    "sdk-go/model.go" "sdk-go/model_wasip1.go" "sdk-go/powers_wasip1.go" "sdk-go/reply.go" "sdk-go/run_wasip1.go"
    "sdk-go/shape.go" "sdk-go/tools.go"
};

/// The files that a project of this language brings with it, by their paths in it.
pub(super) fn files(language: Language) -> Vec<(String, String)> {
    let (files, prefix) = match language {
        Language::C => (C, "sdk-c/"),
        Language::Go => (GO, "sdk-go/"),
        Language::Javascript | Language::Typescript => (JAVASCRIPT, "sdk-javascript/"),
        Language::Python => (PYTHON, "sdk-python/bandstand/"),
        Language::Rust => (RUST, ""),
    };
    let placed = files.iter().map(|(path, text)| {
        let text = if path.ends_with("/Cargo.toml") { standing_alone(text) } else { (*text).to_owned() };
        (format!("bandstand/{}", path.strip_prefix(prefix).unwrap_or(path)), text)
    });
    placed.chain([("wit/agent.wit".to_owned(), WIT.to_owned())]).collect()
}

/// A manifest with the values of its workspace in place of every `NAME.workspace = true`, and without the workspace's lints.
fn standing_alone(manifest: &str) -> String {
    let workspace: toml::Table =
        RUST_WORKSPACE.parse().expect("plugins/Cargo.toml is TOML, as the build of the agents shows");
    let workspace = &workspace["workspace"];
    let mut lines = Vec::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[lints]" {
            continue;
        }
        let Some(name) = line.strip_suffix(".workspace = true") else {
            lines.push(line.to_owned());
            continue;
        };
        let of_workspace = if section == "[package]" { "package" } else { "dependencies" };
        let mut value = workspace[of_workspace][name].clone();
        if let Some(path) = value.get_mut("path") {
            *path = format!("../{}", path.as_str().unwrap_or_default()).into();
        }
        lines.push(format!("{name} = {value}"));
    }
    lines.join("\n") + "\n"
}

/// A lock file for an agent of Rust: the versions that the SDK is tried with.
pub(super) fn lock(name: &str) -> String {
    let mut blocks: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for block in RUST_LOCK.split("\n\n").filter(|block| block.starts_with("[[package]]")) {
        blocks.insert((field(block, "name"), field(block, "version")), block);
    }
    // The agent needs what the SDK needs, and what its macros need.
    let own = format!(
        "[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\ndependencies = [\n \"bandstand-sdk\",\n \"serde\",\n \"serde_json\",\n]"
    );
    let mut found: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut open = vec![own.as_str()];
    while let Some(block) = open.pop() {
        if found.insert((field(block, "name"), field(block, "version")), block).is_some() {
            continue;
        }
        for need in block.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\",")) {
            let mut words = need.split(' ');
            let (need, version) = (words.next().unwrap_or_default(), words.next());
            open.extend(blocks.iter().filter_map(|((name, of), block)| {
                (*name == need && version.is_none_or(|version| version == *of)).then_some(*block)
            }));
        }
    }
    // As cargo writes it, so that it has nothing to change: versions only where a name has several.
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, _) in found.keys() {
        *versions.entry(name).or_default() += 1;
    }
    let as_cargo = |line: &str| match line.strip_prefix(" \"").and_then(|need| need.split_once(' ')) {
        Some((name, _)) if versions.get(name) == Some(&1) => format!(" \"{name}\","),
        _ => line.to_owned(),
    };
    let blocks =
        found.values().map(|block| block.trim_end().lines().map(as_cargo).collect::<Vec<_>>().join("\n"));
    let head = RUST_LOCK.split("[[package]]").next().unwrap_or_default();
    format!("{head}{}\n", blocks.collect::<Vec<_>>().join("\n\n"))
}

/// Whether a crate that every agent of Rust is made of has the name.
pub(super) fn is_locked(name: &str) -> bool {
    let line = format!("name = \"{name}\"");
    lock("").lines().any(|locked| locked == line)
}

fn field<'b>(block: &'b str, key: &str) -> &'b str {
    let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    line.map(|value| value.trim_matches('"')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use sha2::{Digest, Sha256};

    use super::*;

    fn plugins() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
    }

    fn collect(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Go's tests lie beside what they test.
            if name.ends_with("_test.go") {
                continue;
            }
            if !path.is_dir() {
                into.insert(path.strip_prefix(plugins()).unwrap().to_string_lossy().into_owned());
            } else if !["tests", "target", "__pycache__", "node_modules"].contains(&name.as_str()) {
                collect(&path, into);
            }
        }
    }

    // R8.5
    #[test]
    fn every_file_of_the_sdks_is_embedded() {
        let mut there = BTreeSet::new();
        for sdk in ["sdk", "http", "sdk-python", "sdk-javascript", "sdk-c", "sdk-go"] {
            collect(&plugins().join(sdk), &mut there);
        }
        let embedded = [RUST, PYTHON, JAVASCRIPT, C, GO].concat();
        let embedded: BTreeSet<String> = embedded.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there, "a new file of an SDK needs a word in host/app/src/project/guest/sdk.rs");
    }

    fn digest(text: &str) -> String {
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_written_by_hand_in_go_was_held_against_the_interface() {
        let lines = WIT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let digest = digest(&lines.map(|line| format!("{line}\n")).collect::<String>());
        let note = GO.iter().find(|(path, _)| path.ends_with("layout_wasip1.go")).unwrap().1;
        assert!(
            note.contains(&digest),
            "wit/agent.wit changed, and the bindings of Go are written by hand: do as plugins/sdk-go/layout_wasip1.go says; its digest is now {digest}"
        );
    }

    #[test]
    fn the_bindings_of_c_are_those_of_the_interface() {
        let digest = digest(WIT);
        let note = C.iter().find(|(path, _)| path.ends_with("generated/README.md")).unwrap().1;
        assert!(
            note.contains(&digest),
            "wit/agent.wit changed: do as plugins/sdk-c/generated/README.md says"
        );
    }

    #[test]
    fn crates_stand_alone() {
        for (path, text) in files(Language::Rust) {
            if path.ends_with("Cargo.toml") {
                assert!(!text.contains("workspace") && !text.contains("[lints]"), "{path}:\n{text}");
                text.parse::<toml::Table>().unwrap();
            }
        }
        let sdk = standing_alone(RUST[0].1);
        assert!(sdk.contains("edition = \"2024\"") && sdk.contains("features = [\"derive\"]"), "{sdk}");
    }

    #[test]
    fn the_lock_file_holds_what_is_needed() {
        let lock = lock("hello");
        for name in ["hello", "bandstand-sdk", "serde_json", "wit-bindgen", "wit-component"] {
            assert_eq!(lock.matches(&format!("\nname = \"{name}\"\n")).count(), 1, "{name}: {lock}");
        }
        assert!(!lock.contains("bandstand-agent") && !lock.contains("aho-corasick"), "{lock}");
        lock.parse::<toml::Table>().unwrap();
    }
}
