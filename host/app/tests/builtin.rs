//! The embedded agents are what their sources say: a WebAssembly text and the interface in `wit/`.
//! `BANDSTAND_UPDATE=1 cargo test -p bandstand --test builtin` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use std::path::Path;

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

// R7.2: a builtin asks for the power that its name says, and for nothing else.
#[test]
fn every_builtin_is_an_agent_with_the_powers_of_its_name() {
    for builtin in bandstand::project::builtin::ALL {
        let inspection = bandstand_sandbox::inspect(builtin.bytes).unwrap();
        inspection.runnable().unwrap();
        let needs: &[&str] = match builtin.name {
            "chat" => &["model"],
            "tool" => &["tools"],
            "http" => &["http"],
            _ => &[],
        };
        assert_eq!(inspection.capabilities(), needs, "{}", builtin.name);
    }
}
