//! R7.3, R7.4: what a guest hands over is bounded, and each error names limit, value and setting.

mod support;

use bandstand_sandbox::{CallLimits, Class, GuestEvent};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{Heard, end, limits, request, run, sandbox, still_works};

#[tokio::test]
async fn an_output_that_is_too_large_is_refused() {
    let sandbox = sandbox();
    let mut call = request("{}");
    call.limits = CallLimits { output_bytes_max: 10_000, ..limits() };
    let fits = run(&sandbox, &guests::large_reply(9_998), call.clone()).await;
    assert_eq!(fits.result.unwrap().output.len(), 10_000);
    let outcome = run(&sandbox, &guests::large_reply(9_999), call).await;
    assert_eq!(end(&outcome), (Class::InvalidOutput, "too-large"));
    let message = support::failure(outcome).message;
    assert!(
        message.contains("10001") && message.contains("10000 bytes (setting limits.output)"),
        "{message}"
    );
}

// Far beyond the limit the host does not even copy it.
#[tokio::test]
async fn a_gigantic_output_is_refused_before_it_is_copied() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::large_reply(40 << 20), request("{}")).await;
    assert_eq!(end(&outcome), (Class::InvalidOutput, "too-large"));
    let message = support::failure(outcome).message;
    assert!(message.contains("1048576 bytes (setting limits.output)"), "{message}");
    still_works(&sandbox).await;
}

#[tokio::test]
async fn an_output_that_is_no_object_is_refused() {
    let sandbox = sandbox();
    for (output, code) in [("not json", "bad-reply"), ("[1]", "not-object"), ("", "bad-reply")] {
        let outcome = run(&sandbox, &guests::replies(output), request("{}")).await;
        assert_eq!(end(&outcome), (Class::InvalidOutput, code), "{output}");
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_read_is_refused() {
    let sandbox = sandbox();
    for guest in [guests::reply_out_of_bounds(), guests::reply_not_utf8()] {
        let outcome = run(&sandbox, &guest, request("{}")).await;
        assert_eq!(end(&outcome), (Class::InvalidOutput, "bad-reply"), "{outcome:?}");
        still_works(&sandbox).await;
    }
}

// A talkative agent loses lines, not the attempt.
#[tokio::test]
async fn log_lines_beyond_the_limit_are_dropped_and_counted() {
    let sandbox = sandbox();
    let heard = Arc::new(Heard::default());
    let mut call = request("{}");
    call.limits = CallLimits { log_bytes_max: 10_500, ..limits() };
    call.events = Some(heard.clone());
    let outcome = run(&sandbox, &guests::logs_much(25), call).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.usage.events_dropped, 15);
    let events = heard.0.lock().unwrap();
    assert_eq!(events.len(), 11, "ten lines, and one that tells of the rest");
    let GuestEvent::Log { message, .. } = &events[10] else { panic!() };
    assert!(message.contains("10500 bytes (setting limits.log)"), "{message}");
}

// R7.3 log flood, R7.4 host-call bytes: without end it is no talk any more.
#[tokio::test]
async fn endless_host_calls_end_at_their_quota() {
    let sandbox = sandbox();
    let mut call = request("{}");
    call.limits = CallLimits { host_call_bytes_max: 1 << 20, ..limits() };
    let outcome = run(&sandbox, &guests::log_flood(), call).await;
    assert_eq!(end(&outcome), (Class::Limit, "host-calls"));
    assert!(outcome.usage.events_dropped > 1_000);
    assert!(outcome.usage.host_call_bytes <= (1 << 20) + 300);
    let message = support::failure(outcome).message;
    assert!(message.contains("1048576 bytes") && message.contains("limit host-calls"), "{message}");
    still_works(&sandbox).await;
}

// Also notices when wasmtime changes the text by which this end is told apart.
#[tokio::test]
async fn one_huge_host_call_is_refused_before_it_is_copied() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::huge_host_call(20 << 20), request("{}")).await;
    assert_eq!(end(&outcome), (Class::Limit, "host-calls"), "{outcome:?}");
    let outcome = run(&sandbox, &guests::huge_host_call(1 << 20), request("{}")).await;
    assert!(outcome.result.is_ok());
    still_works(&sandbox).await;
}
