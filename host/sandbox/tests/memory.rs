//! R7.3, R7.4: a guest that wants too much memory is refused it, and the failure says so.

mod support;

use bandstand_sandbox::{CallLimits, Class, MEMORY_BYTES_CEILING, Sandbox};
use bandstand_test_guests as guests;
use support::{end, limits, request, run, sandbox, settings, still_works};

// Being refused is no crime: who copes with it succeeds.
#[tokio::test]
async fn a_guest_that_survives_the_refusal_succeeds() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::modest_memory_bomb(), request("{}")).await;
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert!(outcome.usage.memory_bytes_max > 60 << 20);
}

#[tokio::test]
async fn a_guest_that_starts_too_large_ends_as_the_limit() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::starts_with_pages(1_100), request("{}")).await;
    assert_eq!(end(&outcome), (Class::Limit, "memory"));
    still_works(&sandbox).await;
}

// A gibibyte is more than any setting gives.
#[tokio::test]
async fn no_setting_exceeds_the_ceiling() {
    let sandbox = sandbox();
    let mut call = request("{}");
    call.limits = CallLimits { memory_bytes_max: 1 << 30, ..limits() };
    let outcome = run(&sandbox, &guests::memory_bomb(), call).await;
    assert_eq!(end(&outcome), (Class::Limit, "memory"));
    assert!(outcome.usage.memory_bytes_max <= MEMORY_BYTES_CEILING);
    let message = support::failure(outcome).message;
    assert!(message.contains(&MEMORY_BYTES_CEILING.to_string()), "{message}");
}

// The host's own budget: refused before the guest ran is overload, later it is a limit.
#[tokio::test]
async fn all_instances_share_one_budget() {
    let mut settings = settings();
    settings.memory_bytes_total_max = 4 << 20;
    let sandbox = Sandbox::new(settings).unwrap();
    let outcome = run(&sandbox, &guests::starts_with_pages(100), request("{}")).await;
    assert_eq!(end(&outcome), (Class::Overload, "host-memory"));
    let outcome = run(&sandbox, &guests::memory_bomb(), request("{}")).await;
    assert_eq!(end(&outcome), (Class::Limit, "host-memory"));
    let message = support::failure(outcome).message;
    assert!(message.contains("4194304") && message.contains("host.memory"), "{message}");
    still_works(&sandbox).await;
}
