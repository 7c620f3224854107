//! R7.3, R7.4: what a guest hands over is bounded, and each error names limit, value and setting.

mod support;

use bandstand_sandbox::{CallLimits, Class, GuestEvent};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{Heard, end, limits, request, run, sandbox};

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

#[tokio::test]
async fn an_output_that_is_no_object_is_refused() {
    let sandbox = sandbox();
    for (output, code) in [("not json", "bad-reply"), ("[1]", "not-object"), ("", "bad-reply")] {
        let outcome = run(&sandbox, &guests::replies(output), request("{}")).await;
        assert_eq!(end(&outcome), (Class::InvalidOutput, code), "{output}");
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

#[tokio::test]
async fn a_large_host_call_is_taken() {
    let outcome = run(&sandbox(), &guests::huge_host_call(1 << 20), request("{}")).await;
    assert!(outcome.result.is_ok());
}

// Chunks of a text in the making have a quota of their own: they do not silence the log.
#[tokio::test]
async fn progress_beyond_its_limit_is_dropped_and_the_log_goes_on() {
    let sandbox = sandbox();
    let heard = Arc::new(Heard::default());
    let mut call = request("{}");
    call.limits = CallLimits { progress_bytes_max: 40, ..limits() };
    call.events = Some(heard.clone());
    let outcome = run(&sandbox, &guests::logs("a line that is longer than all that", ""), call).await;
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.usage.events_dropped, 1);
    let events = heard.0.lock().unwrap();
    let [GuestEvent::Log { .. }, GuestEvent::Log { message, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(message.contains("progress reached its limit of 40 bytes (setting limits.progress"), "{message}");
}
