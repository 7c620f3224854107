//! R7.1, R7.2: each attempt has an instance of its own, nothing of it reaches the next, and behind WASI there is
//! nothing.

mod support;

use bandstand_sandbox::{Class, Sandbox};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{end, request, run, sandbox, settings, still_works};

// R7.1: memory, globals and constants are those of the bytes, each time, also when pool slots are used again.
#[tokio::test]
async fn every_attempt_is_the_first() {
    let sandbox = sandbox();
    for _ in 0..50 {
        let outcome = run(&sandbox, &guests::counts_calls(), request("{}")).await;
        assert_eq!(outcome.result.unwrap().output, "{\"calls\":1}");
    }
}

// R7.1: what one plugin leaves in a slot of the pool, the next one does not find.
#[tokio::test]
async fn memory_of_one_plugin_is_zero_for_the_next() {
    let mut settings = settings();
    settings.instances_max = 1;
    let sandbox = Sandbox::new(settings).unwrap();
    let writer = guests::agent(
        "",
        "",
        "(drop (memory.grow (i32.const 64)))
         (memory.fill (i32.const 65536) (i32.const 0x78) (i32.const 4194304))
         (call $ok (local.get $input_ptr) (local.get $input_len))",
    );
    let reader = guests::agent(
        "",
        "",
        "(drop (memory.grow (i32.const 64)))
         (local.set $i (i32.const 65536))
         (loop $on
           (if (i32.load8_u (local.get $i)) (then unreachable))
           (local.set $i (i32.add (local.get $i) (i32.const 61)))
           (br_if $on (i32.lt_u (local.get $i) (i32.const 4259840))))
         (call $ok (local.get $input_ptr) (local.get $input_len))",
    );
    for _ in 0..5 {
        run(&sandbox, &writer, request("{}")).await.result.unwrap();
        run(&sandbox, &reader, request("{}")).await.result.unwrap();
    }
}

// R7.2
#[tokio::test]
async fn there_are_no_files_and_no_environment() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::looks_around(), request("{}")).await;
    assert_eq!(outcome.result.unwrap().output, "{\"found\":0}");
}

#[tokio::test]
async fn a_panic_of_an_observer_ends_one_attempt() {
    struct Broken;
    impl bandstand_sandbox::Observer for Broken {
        fn event(&self, _: bandstand_sandbox::GuestEvent) {
            panic!("the page is broken");
        }
    }
    let sandbox = sandbox();
    let mut call = request("{}");
    call.events = Some(Arc::new(Broken));
    let outcome = run(&sandbox, &guests::logs("hello", ""), call).await;
    assert_eq!(end(&outcome), (Class::Host, "host-panic"));
    still_works(&sandbox).await;
}

// Code of one engine never meets another.
#[tokio::test]
async fn a_plugin_of_another_sandbox_is_refused() {
    let (one, other) = (sandbox(), sandbox());
    let plugin = one.load(&guests::echo(), &Default::default()).unwrap();
    let outcome = other.call(&plugin, request("{}")).await;
    assert_eq!(end(&outcome), (Class::Host, "foreign-plugin"));
}
