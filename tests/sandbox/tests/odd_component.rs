//! A component that is odd, large or damaged is refused or run, quickly, and harms nobody.

use bandstand_hostile::{attack, healthy, prove, request, sandbox, unsafe_text};
use bandstand_sandbox::{Class, Grants, LoadError, MemoryGrant, Sandbox};
use bandstand_test_guests as guests;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_component_with_too_much_of_something_is_refused() {
    for name in [
        "many-memories",
        "shared-memory",
        "many-tables",
        "many-instances",
        "very-many-instances",
        "many-components",
        "many-modules",
        "deep-type",
        "deep-component",
    ] {
        let start = Instant::now();
        prove(name).await;
        // One of them once took a minute and a half, as its work grew with the square of its size.
        assert!(start.elapsed() < Duration::from_secs(20), "{name} took {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn thousands_of_unknown_imports_make_a_short_message() {
    prove("many-imports").await;
}

#[tokio::test]
async fn a_large_component_loads() {
    for name in ["many-types", "slow-to-compile"] {
        prove(name).await;
    }
}

#[tokio::test]
async fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let sandbox = sandbox(2);
    let whole = guests::logs("hello", "{}");
    let mut complete = 0;
    for length in 0..whole.len() {
        match sandbox.load(&whole[..length], &Grants::default()) {
            // Cut between sections it is a component, but no agent.
            Err(LoadError::NotWasm { .. } | LoadError::Malformed { .. } | LoadError::NoNode { .. }) => {}
            Err(error) => panic!("cut at {length} of {}: {error}", whole.len()),
            // Behind the export of the agent follow sections with names, which nobody needs.
            Ok(plugin) => {
                complete += 1;
                sandbox.call(&plugin, request("{}")).await.result.unwrap();
            }
        }
    }
    assert!(complete <= 3, "{complete} cuts went unnoticed");
}

/// Loads what was damaged and, if that goes well, runs it.
async fn refused_or_run(sandbox: &Sandbox, bytes: &[u8], what: &str) -> bool {
    let grants = Grants { memory: Some(MemoryGrant::Write), ..Grants::default() };
    let Ok(plugin) = sandbox.load(bytes, &grants) else { return false };
    let mut call = request("{\"a\":1}");
    (call.limits.wall_ms, call.limits.cpu_ms, call.grants) = (200, 100, grants.into());
    let class = sandbox.call(&plugin, call).await.result.err().map(|failure| failure.class);
    assert_ne!(class, Some(Class::Host), "{what}");
    true
}

/// Of so many damaged components one is compiled and run, if it is one at all: compiling takes milliseconds each.
const RUN_EVERY: usize = 8;

// Every byte of a small component, one of its bits each: all are read and checked, some are run.
#[tokio::test]
async fn a_flipped_bit_anywhere_is_refused_or_stays_inside() {
    let sandbox = sandbox(2);
    let whole = guests::logs("hello", "{}");
    let mut ran = 0;
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        let what = format!("bit {} of byte {place}", place % 8);
        if place % RUN_EVERY == 3 {
            ran += u32::from(refused_or_run(&sandbox, &bytes, &what).await);
        } else if let Ok(found) = bandstand_sandbox::inspect(&bytes) {
            let names = found.exports.iter().chain(found.imports.iter().map(|import| &import.interface));
            assert!(names.into_iter().all(|name| unsafe_text(name).is_none()), "{what}");
        }
    }
    assert!(ran > 0, "names and constants may be anything");
    healthy(&sandbox, 1).await.unwrap();
}

// Some bits of a larger one, the same in every test run.
#[tokio::test]
async fn many_flipped_bits_of_a_large_component_stay_inside() {
    let sandbox = sandbox(2);
    let whole = attack("escapes").component.to_vec();
    let mut ran = 0;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap()
    };
    for round in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..=next() % 4 {
            let place = 8 + next() % (bytes.len() - 8);
            bytes[place] ^= 1 << (next() % 8);
        }
        ran += u32::from(refused_or_run(&sandbox, &bytes, &format!("round {round}")).await);
    }
    assert!(ran > 0, "some of it may be anything");
    healthy(&sandbox, 1).await.unwrap();
}
