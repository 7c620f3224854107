//! R7.2: environment, clocks and random numbers are what is granted of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{CallRequest, Class, Grants};
use bandstand_test_guests::powers::{tells_environment, tells_random, tells_time};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{end, request, run, sandbox, told};

#[tokio::test]
async fn only_the_granted_variables_are_seen() {
    let sandbox = sandbox();
    assert_eq!(told(run(&sandbox, &tells_environment(), request("{}")).await), ["0"]);
    let env = vec![("LANG".to_owned(), "en".to_owned()), ("EMPTY".to_owned(), String::new())];
    let call = CallRequest { env, ..request("{}") };
    assert_eq!(told(run(&sandbox, &tells_environment(), call).await), ["2", "LANG", "en", "EMPTY", ""]);
    assert_eq!(told(run(&sandbox, &tells_environment(), request("{}")).await), ["0"], "not the next attempt");
}

fn with_clock() -> CallRequest {
    CallRequest { grants: Arc::new(Grants { clock: true, ..Grants::default() }), ..request("{}") }
}

fn numbers(told: &[String]) -> Vec<u64> {
    told.iter().map(|number| number.parse().unwrap()).collect()
}

#[tokio::test]
async fn without_the_grant_clocks_stand_still_and_sleep_works() {
    let began = Instant::now();
    let told = numbers(&told(run(&sandbox(), &tells_time(60), request("{}")).await));
    assert!(began.elapsed() >= Duration::from_millis(120));
    assert_eq!(told[0..3], told[3..6]);
    assert_eq!(told[0..3], told[6..9]);
    // Not 0: runtimes take that for a broken clock (Go's ends itself).
    assert_eq!((told[0], told[2] % 10_000_000), (10_000_000, 0));
    assert!(told[1] > 1_700_000_000, "it is the time at which the attempt began");
}

#[tokio::test]
async fn with_the_grant_clocks_go_in_steps() {
    const STEP: u64 = 10_000_000;
    let told = numbers(&told(run(&sandbox(), &tells_time(25), with_clock()).await));
    for look in told[..9].chunks(3) {
        assert_eq!((look[0] % STEP, look[2] % STEP), (0, 0), "{told:?}");
    }
    // Each sleep of 25 ms ends on a step.
    assert!(told[3] - told[0] >= 3 * STEP && told[6] - told[3] >= 2 * STEP, "{told:?}");
    let wall = |at: usize| told[at] * 1_000_000_000 + told[at + 1];
    assert_eq!(wall(4) - wall(1), told[3] - told[0]);
    assert_eq!(told[9], STEP);
}

#[tokio::test]
async fn a_sleep_is_bounded_by_the_deadline_either_way() {
    for call in [request("{}"), with_clock()] {
        let mut call = call;
        call.limits.wall_ms = 150;
        let outcome = run(&sandbox(), &tells_time(3_600_000), call).await;
        assert_eq!(end(&outcome), (Class::Timeout, "attempt-timeout"));
    }
}

#[tokio::test]
async fn without_the_grant_random_numbers_follow_from_the_seed() {
    let sandbox = sandbox();
    let of = |seed| CallRequest { seed, ..request("{}") };
    let first = told(run(&sandbox, &tells_random(), of(7)).await);
    assert_eq!(told(run(&sandbox, &tells_random(), of(7)).await), first);
    let other = told(run(&sandbox, &tells_random(), of(8)).await);
    let mut all: Vec<&String> = first.iter().chain(&other).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 12, "no number comes twice: {first:?} {other:?}");
}

#[tokio::test]
async fn with_the_grant_nobody_knows_them() {
    let sandbox = sandbox();
    let call =
        || CallRequest { grants: Arc::new(Grants { random: true, ..Grants::default() }), ..request("{}") };
    let one = told(run(&sandbox, &tells_random(), call()).await);
    let other = told(run(&sandbox, &tells_random(), call()).await);
    for (one, other) in one.iter().zip(&other) {
        assert_ne!(one, other);
    }
}
