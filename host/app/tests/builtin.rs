//! The embedded agents are what their sources say: a WebAssembly text and the interface in `wit/`.
//! `BANDSTAND_UPDATE=1 cargo test -p bandstand --test builtin` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::path::Path;

use sha2::{Digest, Sha256};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Wraps the core module in the interface of an agent, with nothing it does not import.
fn component(wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let wit = include_str!("../../../wit/agent.wit");
    let package = resolve.push_str("agent.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("minimal")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

// R6.4, R7.2: a builtin asks for no power.
#[test]
fn the_echo_agent_is_made_of_its_source() {
    let made = component(include_str!("../assets/echo.wat"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/echo.wasm");
    if std::env::var_os("BANDSTAND_UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read(&path).unwrap();
    assert!(committed == made, "assets/echo.wasm is out of date: run this test with BANDSTAND_UPDATE=1");
}

#[test]
fn every_builtin_is_an_agent_with_no_power_but_its_own() {
    for builtin in bandstand::project::builtin::ALL {
        let inspection = bandstand_sandbox::inspect(builtin.bytes).unwrap();
        inspection.runnable().unwrap();
        let own: &[&str] = if builtin.name == "chat" { &["model"] } else { &[] };
        assert!(inspection.capabilities().iter().eq(own), "{}", builtin.name);
    }
}

// The bytes depend on the compiler; what they were made of does not.
#[test]
fn the_builtins_of_rust_are_made_of_their_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    for name in ["chat"] {
        let mut files = Vec::new();
        for folder in [&format!("plugins/agents/{name}"), "plugins/sdk/src", "wit"] {
            collect(&root.join(folder), &mut files);
        }
        files.sort();
        let mut hasher = Sha256::new();
        for path in files {
            hasher.update(path.strip_prefix(&root).unwrap().to_string_lossy().as_bytes());
            hasher.update([0]);
            hasher.update(std::fs::read(&path).unwrap());
            hasher.update([0]);
        }
        let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let committed =
            std::fs::read_to_string(root.join(format!("host/app/assets/{name}.sources"))).unwrap();
        assert!(committed.trim() == digest, "assets/{name}.wasm is out of date: type `cargo xtask builtins`");
    }
}

fn collect(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            into.push(path);
        }
    }
}
