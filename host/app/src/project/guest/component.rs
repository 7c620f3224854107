//! From a core module to a component, in this process: whoever builds an agent needs no further tool for it.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::wasi_http;

/// A component of a module that says itself what its type is, as bindings of Rust do. It imports what the module uses.
///
/// # Errors
/// When it is no agent.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    encoder(module)?.encode().map_err(|error| format!("{error:#}"))
}

/// The same of a module that says nothing: its type is the world `agent` of this interface.
///
/// # Errors
/// When the module does not fit the interface.
pub(super) fn encode_as_agent(module: Vec<u8>, wit: &str) -> Result<Vec<u8>, String> {
    encode(&typed(module, wit, &[])?)
}

/// The same of a module whose runtime imports WASI in its first version: the adapter makes that of components of it. It may import
/// `wasi:http` besides.
///
/// # Errors
/// When the module does not fit the interface.
pub(super) fn encode_as_agent_with_wasi(module: Vec<u8>, wit: &str) -> Result<Vec<u8>, String> {
    let component = encoder(&typed(module, wit, &wasi_http::IMPORTS)?)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))?;
    wasi_http::settled(component)
}

fn encoder(module: &[u8]) -> Result<ComponentEncoder, String> {
    ComponentEncoder::default().validate(true).module(module).map_err(|error| format!("{error:#}"))
}

/// The module, with the world `agent` of this interface as its type, and with interfaces of `wasi:http` in it.
fn typed(mut module: Vec<u8>, wit: &str, http: &[&str]) -> Result<Vec<u8>, String> {
    let mut resolve = wit_parser::Resolve::default();
    for (name, text) in if http.is_empty() { Vec::new() } else { wasi_http::packages()? } {
        resolve.push_str(name, &text).map_err(|error| format!("{error:#}"))?;
    }
    let imports: String = http.iter().map(|interface| format!("import {interface}; ")).collect();
    let world =
        format!("package local:plugin; world plugin {{ include bandstand:agent/agent@0.1.0; {imports}}}");
    let embedded = resolve
        .push_str("agent.wit", wit)
        .and_then(|_| resolve.push_str("world.wit", &world))
        .and_then(|package| resolve.select_world(&[package], Some("plugin")))
        .and_then(|world| embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8));
    embedded.map_err(|error| format!("{error:#}"))?;
    Ok(module)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_agent_is_refused() {
        assert!(encode(b"text").is_err());
        let module = wat::parse_str("(module (func (export \"x\")))").unwrap();
        let wit = super::super::sdk::WIT;
        assert!(encode_as_agent(module.clone(), wit).unwrap_err().contains("bandstand:agent/node"));
        assert!(encode_as_agent(module, "package a:b").is_err());
    }
}
