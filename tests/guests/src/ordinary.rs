//! Agents that do what agents should.

use crate::{agent, data};

/// Its output is its input.
#[must_use]
pub fn echo() -> Vec<u8> {
    agent("", "", "(call $ok (local.get $input_ptr) (local.get $input_len))")
}

/// Always this output.
#[must_use]
pub fn replies(output: &str) -> Vec<u8> {
    let body = format!("(call $ok (i32.const 2048) (i32.const {}))", output.len());
    agent("", &data(2048, output), &body)
}

/// Always this output with this confidence.
#[must_use]
pub fn replies_with_confidence(output: &str, confidence: f64) -> Vec<u8> {
    let bits = confidence.to_bits().cast_signed();
    let body = format!(
        "(i32.store8 (i32.const 1040) (i32.const 1))
         (i64.store (i32.const 1048) (i64.const {bits}))
         (call $ok (i32.const 2048) (i32.const {}))",
        output.len()
    );
    agent("", &data(2048, output), &body)
}

/// Always this output, then `goto` this node.
#[must_use]
pub fn replies_goto(output: &str, node: &str) -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, output), data(4096, node));
    let body = format!(
        "(i32.store8 (i32.const 1056) (i32.const 1))
         (i32.store (i32.const 1060) (i32.const 4096))
         (i32.store (i32.const 1064) (i32.const {}))
         (call $ok (i32.const 2048) (i32.const {}))",
        node.len(),
        output.len()
    );
    agent("", &items, &body)
}

/// Always this output, then a choice of one route with this confidence.
#[must_use]
pub fn replies_choose(output: &str, route: &str, confidence: f64) -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, output), data(4096, route));
    let bits = confidence.to_bits().cast_signed();
    // The choice lies at 6144: name, confidence, no reason.
    let body = format!(
        "(i32.store8 (i32.const 1056) (i32.const 2))
         (i32.store (i32.const 1060) (i32.const 6144))
         (i32.store (i32.const 1064) (i32.const 1))
         (i32.store (i32.const 6144) (i32.const 4096))
         (i32.store (i32.const 6148) (i32.const {}))
         (i64.store (i32.const 6152) (i64.const {bits}))
         (call $ok (i32.const 2048) (i32.const {}))",
        route.len(),
        output.len()
    );
    agent("", &items, &body)
}

/// Always this output, and a review with this title, a reason and a quorum first.
#[must_use]
pub fn replies_review(output: &str, title: &str, quorum: u32) -> Vec<u8> {
    let items = format!("{}\n{}\n{}", data(2048, output), data(4096, title), data(6144, "a test"));
    let body = format!(
        "(i32.store8 (i32.const 1056) (i32.const 3))
         (i32.store (i32.const 1060) (i32.const 4096))
         (i32.store (i32.const 1064) (i32.const {}))
         (i32.store (i32.const 1068) (i32.const 6144))
         (i32.store (i32.const 1072) (i32.const 6))
         (i32.store (i32.const 1116) (i32.const {quorum}))
         (call $ok (i32.const 2048) (i32.const {}))",
        title.len(),
        output.len()
    );
    agent("", &items, &body)
}

/// Fails for good: code `no-good`, message `it cannot work`.
#[must_use]
pub fn permanent_failure() -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, "no-good"), data(2100, "it cannot work"));
    agent(
        "",
        &items,
        "(call $err (i32.const 1) (i32.const 2048) (i32.const 7) (i32.const 2100) (i32.const 14))",
    )
}

/// Fails with code `not-yet` and asks for 20 ms before the attempt numbered `attempt`, then echoes.
#[must_use]
pub fn recoverable_until(attempt: u32) -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, "not-yet"), data(2100, "try again"));
    let body = format!(
        "(if (result i32) (i32.lt_u (i32.load offset=52 (local.get $call)) (i32.const {attempt}))
           (then
             (i32.store8 (i32.const 1052) (i32.const 1))
             (i32.store (i32.const 1056) (i32.const 20))
             (call $err (i32.const 0) (i32.const 2048) (i32.const 7) (i32.const 2100) (i32.const 9)))
           (else (call $ok (local.get $input_ptr) (local.get $input_len))))"
    );
    agent("", &items, &body)
}

/// Behaves as its input says, which must begin with `{"do":"x`: `t` crashes, `l` loops for ever, `m` takes memory for
/// ever, `r` fails recoverably, `p` fails for good, `j` answers what is not JSON; anything else is echoed.
#[must_use]
pub fn scripted() -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, "as-told"), data(2100, "told to fail"));
    agent(
        "",
        &items,
        r#"(if (i32.gt_u (local.get $input_len) (i32.const 8))
             (then (local.set $i (i32.load8_u offset=7 (local.get $input_ptr)))))
           (if (i32.eq (local.get $i) (i32.const 0x74)) (then unreachable))
           (if (i32.eq (local.get $i) (i32.const 0x6c)) (then (loop $on (br $on))))
           (if (i32.eq (local.get $i) (i32.const 0x6d))
             (then (loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
           (if (i32.eq (local.get $i) (i32.const 0x72)) (then (return
             (call $err (i32.const 0) (i32.const 2048) (i32.const 7) (i32.const 2100) (i32.const 12)))))
           (if (i32.eq (local.get $i) (i32.const 0x70)) (then (return
             (call $err (i32.const 1) (i32.const 2048) (i32.const 7) (i32.const 2100) (i32.const 12)))))
           (if (i32.eq (local.get $i) (i32.const 0x6a)) (then (return
             (call $ok (i32.const 2048) (i32.const 7)))))
           (call $ok (local.get $input_ptr) (local.get $input_len))"#,
    )
}

/// Answers how often it was called in this instance, as `{"calls":N}` with one digit: 1, if instances are fresh.
#[must_use]
pub fn counts_calls() -> Vec<u8> {
    let items = format!("{}\n(global $calls (mut i32) (i32.const 0))", data(2048, "{\"calls\":0}"));
    agent(
        "",
        &items,
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (i32.store8 (i32.const 2057) (i32.add (i32.load8_u (i32.const 2057)) (i32.const 1)))
         (i32.store8 (i32.const 8000) (i32.add (i32.load8_u (i32.const 8000)) (i32.const 1)))
         (if (i32.ne (i32.load8_u (i32.const 8000)) (global.get $calls)) (then unreachable))
         (call $ok (i32.const 2048) (i32.const 11))",
    )
}

/// Writes the input into the slot `kept`; answers `{}`, or fails with the code and message of the host's error.
#[must_use]
pub fn keeps_input() -> Vec<u8> {
    // The host's answer lies at 6144: tag, then kind, code and message.
    agent(
        r#"(import "bandstand:agent/memory-slots@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32)))"#,
        &format!("{}\n{}", data(2048, "kept"), data(2100, "{}")),
        "(call $set (i32.const 2048) (i32.const 4) (local.get $input_ptr) (local.get $input_len) (i32.const 6144))
         (if (result i32) (i32.load8_u (i32.const 6144))
           (then (call $err (i32.const 1) (i32.load (i32.const 6152)) (i32.load (i32.const 6156))
             (i32.load (i32.const 6160)) (i32.load (i32.const 6164))))
           (else (call $ok (i32.const 2100) (i32.const 2))))",
    )
}

/// Answers what the slot `kept` holds, `{}` if nothing, or fails with the code and message of the host's error.
#[must_use]
pub fn recalls_input() -> Vec<u8> {
    // result<option<string>, error> at 6144: the payload is aligned to 4.
    agent(
        r#"(import "bandstand:agent/memory-slots@0.1.0" "get" (func $get (param i32 i32 i32)))"#,
        &format!("{}\n{}", data(2048, "kept"), data(2100, "{}")),
        "(call $get (i32.const 2048) (i32.const 4) (i32.const 6144))
         (if (i32.load8_u (i32.const 6144))
           (then (return (call $err (i32.const 1) (i32.load (i32.const 6152)) (i32.load (i32.const 6156))
             (i32.load (i32.const 6160)) (i32.load (i32.const 6164))))))
         (if (result i32) (i32.load8_u (i32.const 6148))
           (then (call $ok (i32.load (i32.const 6152)) (i32.load (i32.const 6156))))
           (else (call $ok (i32.const 2100) (i32.const 2))))",
    )
}

/// Puts one fact whose text is its input and whose salience is given, searches for it, and answers `{"found":N}` with
/// one digit, or fails with the code and message of the host's error.
#[must_use]
pub fn puts_and_finds_fact(salience: f64) -> Vec<u8> {
    let bits = salience.to_bits().cast_signed();
    let items = format!(
        "{}\n{}\n(func $fail (result i32)
           (call $err (i32.const 1) (i32.load (i32.const 6152)) (i32.load (i32.const 6156))
             (i32.load (i32.const 6160)) (i32.load (i32.const 6164))))",
        data(2048, "note"),
        data(2100, "{\"found\":0}")
    );
    // The fact lies at 4096 (text, kind, tags, user, salience, confidence, source, embedding), the query at 5120
    // (text, mode, embedding, tags, kinds, user, thread, limit).
    let body = format!(
        "(i32.store (i32.const 4096) (local.get $input_ptr))
         (i32.store (i32.const 4100) (local.get $input_len))
         (i32.store (i32.const 4104) (i32.const 2048))
         (i32.store (i32.const 4108) (i32.const 4))
         (i64.store (i32.const 4136) (i64.const {bits}))
         (f64.store (i32.const 4144) (f64.const 1))
         (i32.store (i32.const 4152) (i32.const 2048))
         (i32.store (i32.const 4156) (i32.const 4))
         (call $put (i32.const 4096) (i32.const 1) (i32.const 6144))
         (if (i32.load8_u (i32.const 6144)) (then (return (call $fail))))
         (i32.store (i32.const 5120) (local.get $input_ptr))
         (i32.store (i32.const 5124) (local.get $input_len))
         (i32.store (i32.const 5184) (i32.const 9))
         (call $search (i32.const 5120) (i32.const 6144))
         (if (i32.load8_u (i32.const 6144)) (then (return (call $fail))))
         (i32.store8 (i32.const 2109) (i32.add (i32.const 48) (i32.load (i32.const 6152))))
         (call $ok (i32.const 2100) (i32.const 11))"
    );
    agent(
        r#"(import "bandstand:agent/memory-facts@0.1.0" "put" (func $put (param i32 i32 i32)))
           (import "bandstand:agent/memory-facts@0.1.0" "search" (func $search (param i32 i32)))"#,
        &items,
        &body,
    )
}

/// Writes these lines to the log at level `info`, tells how far it is (0.5), and echoes.
#[must_use]
pub fn logs(message: &str, fields: &str) -> Vec<u8> {
    agent(
        r#"(import "bandstand:agent/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
           (import "bandstand:agent/progress@0.1.0" "report" (func $report (param i32 f64 i32 i32)))"#,
        &format!("{}\n{}", data(2048, message), data(4096, fields)),
        &format!(
            "(call $log (i32.const 2) (i32.const 2048) (i32.const {0}) (i32.const 4096) (i32.const {1}))
             (call $report (i32.const 1) (f64.const 0.5) (i32.const 2048) (i32.const {0}))
             (call $ok (local.get $input_ptr) (local.get $input_len))",
            message.len(),
            fields.len()
        ),
    )
}

/// Imports everything that the package offers, as the toolchains of some languages do, and crashes when called.
#[must_use]
pub fn imports_everything() -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("agent.wit", crate::AGENT_WIT).expect("the WIT is valid");
    let world = resolve.select_world(&[package], Some("agent")).expect("there is a world `agent`");
    let mangling = wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(&resolve, world, mangling);
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .expect("the module was made for this world");
    wit_component::ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .expect("the module was made for this world")
}

/// Calls the tool of that name with its input; answers what it gives, or fails for good with the code and message of the
/// host's error.
#[must_use]
pub fn calls_tool(name: &str) -> Vec<u8> {
    tool_caller(name, "")
}

/// As [`calls_tool`], again and again until a call fails.
#[must_use]
pub fn calls_tool_until_refused(name: &str) -> Vec<u8> {
    tool_caller(name, "(br $again)")
}

fn tool_caller(name: &str, then: &str) -> Vec<u8> {
    // result<string, error> at 6144: the payload is aligned to 4.
    agent(
        r#"(import "bandstand:agent/tools@0.1.0" "call" (func $tool (param i32 i32 i32 i32 i32)))"#,
        &data(2048, name),
        &format!(
            "(loop $again
               (call $tool (i32.const 2048) (i32.const {}) (local.get $input_ptr) (local.get $input_len)
                 (i32.const 6144))
               (if (i32.load8_u (i32.const 6144))
                 (then (return (call $err (i32.const 1) (i32.load (i32.const 6152)) (i32.load (i32.const 6156))
                   (i32.load (i32.const 6160)) (i32.load (i32.const 6164))))))
               {then})
             (call $ok (i32.load (i32.const 6148)) (i32.load (i32.const 6152)))",
            name.len()
        ),
    )
}

/// Answers the idempotency key it was called with, as `{"key":"..."}`.
#[must_use]
pub fn tells_its_key() -> Vec<u8> {
    let items = format!("{}\n{}", data(2048, "{\"key\":\""), data(2100, "\"}"));
    agent(
        "",
        &items,
        "(local.set $i (call $alloc (i32.add (i32.const 10) (i32.load offset=64 (local.get $call)))))
         (memory.copy (local.get $i) (i32.const 2048) (i32.const 8))
         (memory.copy (i32.add (local.get $i) (i32.const 8)) (i32.load offset=60 (local.get $call))
           (i32.load offset=64 (local.get $call)))
         (local.set $j (i32.add (i32.add (local.get $i) (i32.const 8)) (i32.load offset=64 (local.get $call))))
         (memory.copy (local.get $j) (i32.const 2100) (i32.const 2))
         (call $ok (local.get $i) (i32.sub (i32.add (local.get $j) (i32.const 2)) (local.get $i)))",
    )
}
