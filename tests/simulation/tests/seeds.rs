//! The simulator itself: 10,000 seeds, or as many as `BANDSTAND_SEEDS` says, from `BANDSTAND_SEED_FROM` on.
#![cfg(not(feature = "mistakes"))]
#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use std::sync::Mutex;

use bandstand_simulation::report::{Seen, run_seeds, tell};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

// R1, R2, R3, R4, R5.1 to R5.4: what a run comes to, whatever goes wrong on the way.
#[test]
fn every_seed_comes_to_what_the_language_says() {
    let usual = if std::env::var_os("BANDSTAND_TEST_FAST").is_some() { 1_000 } else { 10_000 };
    let seeds = number("BANDSTAND_SEEDS").unwrap_or(usual);
    let from = number("BANDSTAND_SEED_FROM").unwrap_or(0);
    let seen = Mutex::new(Seen::new());
    if let Some((seed, found)) = run_seeds(from, seeds, Some(&seen)) {
        panic!("{}", tell(seed, &found));
    }
    if seeds < 10_000 {
        return;
    }
    // A generator that no longer reaches something proves nothing about it.
    let seen = seen.into_inner().unwrap();
    for wanted in [
        "attempt.due",
        "attempt.interrupted",
        "attempt.cancelled",
        "node.succeeded cached",
        "branch.ended Cancelled",
        "branch.ended Skipped",
        "thread.entered",
        "run.due",
        "edge.taken Approved",
        "edge.taken Below",
        "edge.taken Default",
        "edge.taken Goto",
        "edge.taken OnFailure",
        "edge.taken Rejected",
        "edge.taken Route",
        "edge.taken Timeout",
        "edge.taken When(0)",
        "node.failed expression not-a-list",
        "node.failed expression not-bool",
        "node.failed expression undefined",
        "node.failed invalid-output not-object",
        "node.failed join all-failed",
        "node.failed join branch-failed",
        "node.failed join quorum-lost",
        "node.failed join too-many-errors",
        "node.failed review review-expired",
        "node.failed review review-rejected",
        "node.failed route bad-options",
        "node.failed route no-route",
        "node.failed route undeclared-goto",
        "node.failed route unknown-route",
        "node.failed state bad-operand",
        "node.failed state bad-value",
        "node.failed state unknown-channel",
        "node.failed timeout attempt-timeout",
        "node.failed timeout block-timeout",
        "review.decided Approved Answers",
        "review.decided Approved Timeout",
        "review.decided Rejected Answers",
        "review.decided Rejected Timeout",
        "review.withdrawn",
        "run.cancelled",
        "run.killed",
        "run.paused",
        "run.resumed",
        "run.failed max-steps",
        "run.failed run-timeout",
        "signal.received",
        "checkpoint.named",
        "node.failed timeout deadline",
        "node.failed timeout wait-expired",
        "wait.ended Signal",
        "wait.ended Time",
        "wait.ended Timeout",
        "warning",
    ] {
        assert!(seen.get(wanted).is_some_and(|count| *count >= 5), "{wanted} was hardly ever seen: {seen:?}");
    }
}
