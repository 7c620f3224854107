//! R7.2: what counts as valid before anything is compiled is what compiles, features of WebAssembly among it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{Grants, LoadError, Sandbox, inspect, validate};
use bandstand_test_guests as guests;
use support::settings;

#[test]
fn what_is_valid_is_what_compiles() {
    let sandbox = Sandbox::new(settings()).unwrap();
    for (name, items, is_valid) in [
        ("plain", "", true),
        ("simd", "(func (drop (i8x16.popcnt (v128.const i64x2 0 0))))", true),
        ("atomics", "(func (drop (i32.atomic.load (i32.const 0))))", true),
        ("tail calls", "(func $tail (return_call $tail))", true),
        ("reference types", "(func (drop (ref.is_null (ref.null func))))", true),
        ("another type", "(func (result i32) (i64.const 1))", false),
        ("nothing to add", "(func (drop (i32.add (i32.const 1))))", false),
        ("an unknown local", "(func (drop (local.get 7)))", false),
        (
            "relaxed simd",
            "(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
            false,
        ),
        ("64-bit memory", "(memory $wide i64 1) (func (drop (i32.load $wide (i64.const 0))))", false),
        ("exceptions", "(tag $gone) (func (throw $gone))", false),
        ("structs", "(type $pair (struct)) (func (drop (struct.new $pair)))", false),
    ] {
        let component = guests::agent("", items, "unreachable");
        inspect(&component).unwrap_or_else(|error| panic!("{name}: {error}"));
        let validated = validate(&component);
        assert_eq!(validated.is_ok(), is_valid, "{name}: {validated:?}");
        let loaded = sandbox.load(&component, &Grants::default()).map(drop);
        assert_eq!(loaded.is_ok(), is_valid, "{name}: {loaded:?}");
        if !is_valid {
            assert!(matches!(validated, Err(LoadError::Malformed { .. })), "{name}: {validated:?}");
        }
    }
}
