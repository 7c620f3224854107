//! Makes small agents of WebAssembly text: the canonical ABI by hand, wrapped in the interface of `wit/`.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// A component of a core module, with exactly the imports that the module has.
pub(crate) fn component(core: &str, version: &str) -> Vec<u8> {
    let rename = |text: &str| text.replace("bandstand:agent@0.1.0", &format!("bandstand:agent@{version}"));
    let mut module = wat::parse_str(core).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("agent.wit", &rename(include_str!("../../../../wit/agent.wit"))).unwrap();
    let world = resolve.select_world(&[package], Some("agent")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// An agent whose `run` consists of these instructions. `$call` is the call; they leave the address of the reply.
pub(crate) fn agent(run: &str) -> Vec<u8> {
    agent_with("", "", run)
}

/// The same with imports and data.
pub(crate) fn agent_with(imports: &str, data: &str, run: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
             {imports}
             (memory (export "memory") 1)
             {data}
             (global $free (mut i32) (i32.const 4096))
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
               (local $at i32)
               (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
               (global.set $free (i32.add (local.get $at) (local.get 3)))
               (local.get $at))
             (func (export "bandstand:agent/node@0.1.0#run") (param $call i32) (result i32) {run}))"#
    );
    component(&core, "0.1.0")
}

/// Gives a fixed text as its output, with no confidence.
pub(crate) fn says(output: &str) -> Vec<u8> {
    let data = format!("(data (i32.const 1024) {:?})", output);
    let run = format!(
        "(i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const {})) (i32.const 0)",
        output.len()
    );
    agent_with("", &data, &run)
}

/// Fails on purpose, permanently or not, with the code `busy`.
pub(crate) fn fails(recoverable: bool) -> Vec<u8> {
    let kind = i32::from(!recoverable);
    let data = r#"(data (i32.const 1024) "busy") (data (i32.const 1040) "the service is busy")"#;
    // The result at 0: tag 1, then failure: kind 8, code 12, message 20, retry-after-ms 28 (none), data 36 (none).
    let run = format!(
        "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 8) (i32.const {kind}))
         (i32.store (i32.const 12) (i32.const 1024)) (i32.store (i32.const 16) (i32.const 4))
         (i32.store (i32.const 20) (i32.const 1040)) (i32.store (i32.const 24) (i32.const 19))
         (i32.const 0)"
    );
    agent_with("", data, &run)
}

/// A workflow file with one node that calls `plugins/agent.wasm`, tried once.
pub(crate) fn workflow(plugin: &str) -> String {
    format!(
        "format: 1\nname: one\nversion: 1\nplugins:\n  agent: {plugin}\nnodes:\n  ask:\n    agent: agent\n    \
         retry: {{ max-retries: 0 }}\n    next: end\n"
    )
}

/// Fails permanently in the first attempt of a visit, and gives a fixed text as its output in later ones.
pub(crate) fn fails_first(output: &str) -> Vec<u8> {
    let data = format!(
        r#"(data (i32.const 1024) "busy") (data (i32.const 1040) "the service is busy") (data (i32.const 1100) {output:?})"#
    );
    // `attempt` stands at 52 in the call.
    let run = format!(
        "(if (result i32) (i32.eq (i32.load offset=52 (local.get $call)) (i32.const 1))
           (then
             (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 8) (i32.const 1))
             (i32.store (i32.const 12) (i32.const 1024)) (i32.store (i32.const 16) (i32.const 4))
             (i32.store (i32.const 20) (i32.const 1040)) (i32.store (i32.const 24) (i32.const 19))
             (i32.const 0))
           (else
             (i32.store (i32.const 8) (i32.const 1100)) (i32.store (i32.const 12) (i32.const {}))
             (i32.const 0)))",
        output.len()
    );
    agent_with("", &data, &run)
}
