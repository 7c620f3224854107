//! Agents that crash, loop, flood, or are no agents at all: those that the sandbox's own tests need. The whole suite of
//! hostile ones is `tests/sandbox`.

use crate::{AGENT_WIT, agent, agent_core, component, component_of, core_module, data};

/// Crashes by `unreachable`.
#[must_use]
pub fn traps() -> Vec<u8> {
    agent("", "", "unreachable")
}

/// Crashes by dividing by zero, inside a function called `reckon`.
#[must_use]
pub fn divides_by_zero() -> Vec<u8> {
    agent(
        "",
        "(func $reckon (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))",
        "(call $reckon (i32.const 0))",
    )
}

/// Crashes by reading past its memory.
#[must_use]
pub fn reads_out_of_bounds() -> Vec<u8> {
    agent("", "", "(i32.load (i32.const 0x7fff0000))")
}

/// Says why by `last-words`, with an escape sequence in it, then crashes.
#[must_use]
pub fn panics_with_last_words() -> Vec<u8> {
    agent(
        r#"(import "bandstand:agent/log@0.1.0" "last-words" (func $words (param i32 i32 i32 i32)))"#,
        &format!(
            "{}\n{}",
            data(2048, "index \u{1b}[31m7\u{1b}[0m out of range"),
            data(2100, "at agent.rs:7")
        ),
        "(call $words (i32.const 2048) (i32.const 30) (i32.const 2100) (i32.const 13))
         unreachable",
    )
}

/// Writes a text to standard error so many times, then crashes.
#[must_use]
pub fn writes_stderr_and_traps(text: &str, times: u32) -> Vec<u8> {
    agent(
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
             (func $write (param i32 i32 i32 i32)))"#,
        &data(2048, text),
        &format!(
            "(local.set $j (call $stderr))
             (loop $on
               (call $write (local.get $j) (i32.const 2048) (i32.const {}) (i32.const 6144))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $on (i32.lt_u (local.get $i) (i32.const {times}))))
             unreachable",
            text.len()
        ),
    )
}

/// Looks for files and environment variables; answers `{"found":N}` with one digit.
#[must_use]
pub fn looks_around() -> Vec<u8> {
    agent(
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $dirs (param i32)))
           (import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))"#,
        &data(2048, "{\"found\":0}"),
        "(call $dirs (i32.const 6144))
         (call $env (i32.const 6152))
         (i32.store8 (i32.const 2057)
           (i32.add (i32.const 48) (i32.add (i32.load (i32.const 6148)) (i32.load (i32.const 6156)))))
         (call $ok (i32.const 2048) (i32.const 11))",
    )
}

/// Loops for ever without calling anything.
#[must_use]
pub fn endless_loop() -> Vec<u8> {
    agent("", "", "(loop $on (br $on)) unreachable")
}

/// Takes memory until refused, then crashes as allocators do.
#[must_use]
pub fn memory_bomb() -> Vec<u8> {
    agent("", "", "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable")
}

/// Takes memory until refused, then answers all the same: `{"pages":"held"}`.
#[must_use]
pub fn modest_memory_bomb() -> Vec<u8> {
    agent(
        "",
        &data(2048, "{\"pages\":\"held\"}"),
        "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
         (call $ok (i32.const 2048) (i32.const 16))",
    )
}

/// Asks for more memory at once than the limit, from the start.
#[must_use]
pub fn starts_with_pages(pages: u32) -> Vec<u8> {
    let core = agent_core("", "", "(call $ok (local.get $input_ptr) (local.get $input_len))");
    component(
        &core.replace("(memory (export \"memory\") 2)", &format!("(memory (export \"memory\") {pages})")),
    )
}

/// Answers `{"a":"xxx..."}` with at least so many bytes.
#[must_use]
pub fn large_reply(bytes: usize) -> Vec<u8> {
    agent(
        "",
        "",
        &format!(
            "(local.set $i (call $alloc (i32.const {})))
             (memory.fill (local.get $i) (i32.const 0x78) (i32.const {}))
             (i64.store (local.get $i) (i64.const 0x7878223a2261227b))
             (i32.store16 offset={bytes} (local.get $i) (i32.const 0x7d22))
             (call $ok (local.get $i) (i32.const {}))",
            bytes + 16,
            bytes + 2,
            bytes + 2
        ),
    )
}

/// Writes so many log lines of 1000 bytes, then echoes.
#[must_use]
pub fn logs_much(lines: u32) -> Vec<u8> {
    agent(
        r#"(import "bandstand:agent/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#,
        &data(2048, &"y".repeat(1_000)),
        &format!(
            "(loop $on
               (call $log (i32.const 2) (i32.const 2048) (i32.const 1000) (i32.const 0) (i32.const 0))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $on (i32.lt_u (local.get $i) (i32.const {lines}))))
             (call $ok (local.get $input_ptr) (local.get $input_len))"
        ),
    )
}

/// Hands the host one text of so many bytes.
#[must_use]
pub fn huge_host_call(bytes: usize) -> Vec<u8> {
    agent(
        r#"(import "bandstand:agent/progress@0.1.0" "chunk" (func $chunk (param i32 i32)))"#,
        "",
        &format!(
            "(local.set $i (call $alloc (i32.const {bytes})))
             (memory.fill (local.get $i) (i32.const 0x78) (i32.const {bytes}))
             (call $chunk (local.get $i) (i32.const {bytes}))
             (call $ok (local.get $input_ptr) (local.get $input_len))"
        ),
    )
}

/// Echoes, and takes long to compile: besides what it needs it has so many functions of about 60 kB, each with many
/// values alive at once over many branches, and never calls them.
#[must_use]
pub fn slow_to_compile(functions: usize) -> Vec<u8> {
    let locals = 100;
    let mut body = String::new();
    for round in 0..2_500 {
        let (a, b, c) = (round % locals, (round * 7 + 3) % locals, (round * 31 + 11) % locals);
        // Each value depends on others and on a branch, so that nothing folds away.
        body.push_str(&format!(
            "(if (i64.gt_s (local.get {a}) (local.get {b})) (then (local.set {c} (i64.mul (local.get {b}) \
             (local.get {a})))) (else (local.set {a} (i64.xor (local.get {c}) (i64.load (i32.const {round}))))))"
        ));
    }
    let one =
        format!("(func (param i64) (result i64) (local {}) {body} (local.get 0))", "i64 ".repeat(locals));
    let mut items = String::new();
    for _ in 0..functions {
        items.push_str(&one);
    }
    agent("", &items, "(call $ok (local.get $input_ptr) (local.get $input_len))")
}

/// Built for an agent interface of another version, 0.2.0.
#[must_use]
pub fn wrong_version() -> Vec<u8> {
    let core = agent_core("", "", "(call $ok (local.get $input_ptr) (local.get $input_len))");
    component_of(&core.replace("@0.1.0#run", "@0.2.0#run"), &AGENT_WIT.replace("@0.1.0", "@0.2.0"))
}

/// Built for 0.1.1, a later version of the same range, using nothing new.
#[must_use]
pub fn later_patch_version() -> Vec<u8> {
    let core = agent_core("", "", "(call $ok (local.get $input_ptr) (local.get $input_len))");
    component_of(&core.replace("@0.1.0#run", "@0.1.1#run"), &AGENT_WIT.replace("@0.1.0", "@0.1.1"))
}

/// Built for 0.1.1 and using a function of `log` that 0.1.0 does not have.
#[must_use]
pub fn uses_later_function() -> Vec<u8> {
    let core = agent_core(
        r#"(import "bandstand:agent/log@0.1.1" "shout" (func $shout))"#,
        "",
        "(call $shout) (call $ok (local.get $input_ptr) (local.get $input_len))",
    );
    let wit =
        AGENT_WIT.replace("@0.1.0", "@0.1.1").replace("interface log {", "interface log {\n  shout: func();");
    component_of(&core.replace("@0.1.0#run", "@0.1.1#run"), &wit)
}

/// Has the right names, but a `reply` with another type.
#[must_use]
pub fn other_types() -> Vec<u8> {
    let core = agent_core("", "", "(call $ok (local.get $input_ptr) (local.get $input_len))");
    component_of(&core, &AGENT_WIT.replace("confidence: option<f64>,", "confidence: option<f32>,"))
}

/// Imports two interfaces that no host has.
#[must_use]
pub fn unknown_imports() -> Vec<u8> {
    agent(
        r#"(import "test:power/teleport@1.0.0" "go" (func $go))
           (import "test:power/levitate@1.0.0" "up" (func $up))"#,
        "",
        "(call $go) (call $up) unreachable",
    )
}

/// Imports the memory, two interfaces of it.
#[must_use]
pub fn wants_memory() -> Vec<u8> {
    agent(
        r#"(import "bandstand:agent/memory-slots@0.1.0" "list" (func $list (param i32)))
           (import "bandstand:agent/memory-facts@0.1.0" "consolidate" (func $merge (param i32)))"#,
        "",
        "(call $list (i32.const 6144)) (call $merge (i32.const 6144))
         (call $ok (local.get $input_ptr) (local.get $input_len))",
    )
}

/// A component that exports nothing.
#[must_use]
pub fn not_an_agent() -> Vec<u8> {
    wat::parse_str("(component)").expect("an empty component is valid")
}

/// A core module, which is no component.
#[must_use]
pub fn not_a_component() -> Vec<u8> {
    core_module("(module (func (export \"run\")))")
}
