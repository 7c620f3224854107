//! R7.3: a crash ends one attempt, says what crashed where, and brings the guest's last words.

mod support;

use bandstand_sandbox::{Class, Failure};
use bandstand_test_guests as guests;
use support::{request, run, sandbox, still_works};

async fn crash(guest: Vec<u8>) -> Failure {
    let sandbox = sandbox();
    let failure = support::failure(run(&sandbox, &guest, request("{}")).await);
    still_works(&sandbox).await;
    assert!(failure.recoverable, "policy decides, not the crash");
    failure
}

#[tokio::test]
async fn every_kind_of_crash_has_its_name() {
    for (guest, code) in
        [(guests::divides_by_zero(), "division-by-zero"), (guests::reads_out_of_bounds(), "out-of-bounds")]
    {
        let failure = crash(guest).await;
        assert_eq!((failure.class, failure.code.as_str()), (Class::Trap, code), "{}", failure.message);
    }
}

#[tokio::test]
async fn the_backtrace_names_functions() {
    let failure = crash(guests::divides_by_zero()).await;
    let backtrace = failure.backtrace.unwrap();
    assert!(backtrace.starts_with("reckon\n"), "{backtrace}");
}

#[tokio::test]
async fn last_words_arrive_without_escapes() {
    let failure = crash(guests::panics_with_last_words()).await;
    assert_eq!(failure.last_words.as_deref(), Some("index 7 out of range\nat agent.rs:7"));
}

#[tokio::test]
async fn the_end_of_standard_error_arrives() {
    let failure = crash(guests::writes_stderr_and_traps("line of trouble\n", 20_000)).await;
    let words = failure.last_words.unwrap();
    assert!(words.starts_with("[stderr]\nline of trouble\n"), "{words}");
    assert!(words.len() < 8_192, "{} bytes", words.len());
}

#[tokio::test]
async fn a_crash_after_log_lines_brings_the_last_of_them() {
    let guest = guests::agent(
        r#"(import "bandstand:agent/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))"#,
        &guests::data(2048, "so far so good"),
        "(call $log (i32.const 2) (i32.const 2048) (i32.const 14) (i32.const 0) (i32.const 0)) unreachable",
    );
    assert_eq!(crash(guest).await.last_words.as_deref(), Some("[log]\nso far so good"));
}
