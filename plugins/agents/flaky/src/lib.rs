//! `flaky`: fails on demand, for learning and testing error recovery. It does nothing else.
//!
//! Input: `fail_times` (default 0: attempts up to this number fail), `how` (default `recoverable`): `recoverable`,
//! `permanent`, `panic`, `spin` (works for ever, until the host ends it), `alloc` (asks for memory for ever), `deep`
//! (calls itself for ever); `code` (default `flaky`), `message`, `retry_after_ms`, `data` (these four for typed
//! failures), `work` (default 0: rounds of busy work before all else; 1,000,000 take some milliseconds), `result` (any
//! JSON, default null), `confidence`.
//!
//! Output: `result`, `attempt` and `visit` of the call, `attempts_max`, `failed_before` (attempts of this visit before
//! this one), `idempotency_key`, `checksum` (of the work).
//!
//! Confidence: `confidence` of the input, else none. Failures: `input-invalid`, or as ordered.

use std::hint::black_box;

use bandstand_sdk::log::{self, Level};
use bandstand_sdk::{Call, Failure, Reply, agent, progress};
use serde::Deserialize;
use serde_json::{Value, json};

agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    fail_times: u32,
    #[serde(default)]
    how: How,
    code: Option<String>,
    message: Option<String>,
    retry_after_ms: Option<u32>,
    data: Option<Value>,
    #[serde(default)]
    work: u32,
    #[serde(default)]
    result: Value,
    confidence: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    Alloc,
    Deep,
    Panic,
    Permanent,
    #[default]
    Recoverable,
    Spin,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let checksum = work(input.work, call.seed);
    if call.attempt <= input.fail_times {
        let fields = json!({ "attempt": call.attempt, "of": input.fail_times });
        log::write(Level::Warn, "failing as told", fields);
        return Err(fail(call, &input));
    }
    let reply = Reply::new(json!({
        "result": input.result,
        "attempt": call.attempt,
        "attempts_max": call.attempts_max,
        "visit": call.visit,
        "failed_before": call.attempt.saturating_sub(1),
        "idempotency_key": call.idempotency_key,
        "checksum": checksum,
    }));
    Ok(match input.confidence {
        Some(confidence) => reply.confidence(confidence),
        None => reply,
    })
}

/// The failure that was ordered. Some ways never come back.
#[allow(clippy::panic)] // It is what the input asked for.
fn fail(call: &Call, input: &Input) -> Failure {
    let message = input.message.clone().unwrap_or_else(|| {
        format!("attempt {} fails as told; {} of them do", call.attempt, input.fail_times)
    });
    let code = input.code.clone().unwrap_or_else(|| "flaky".to_owned());
    let failure = match input.how {
        How::Recoverable => Failure::recoverable(code, message),
        How::Permanent => Failure::permanent(code, message),
        How::Panic => panic!("{message}"),
        How::Spin => loop {
            black_box(work(1000, call.seed));
        },
        How::Alloc => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 1 << 20]);
                black_box(&held);
            }
        }
        How::Deep => Failure::permanent(code, deep(0).to_string()),
    };
    let failure = input.retry_after_ms.into_iter().fold(failure, Failure::retry_after_ms);
    match &input.data {
        Some(data) => failure.data(data),
        None => failure,
    }
}

/// Busy for a while: agents have no clock, so it counts rounds.
fn work(rounds: u32, seed: u32) -> u32 {
    let mut sum = seed;
    for round in 0..rounds {
        sum = black_box(sum.rotate_left(5) ^ round.wrapping_mul(0x9e37_79b9));
        if round % 1_000_000 == 999_999 {
            progress::at(f64::from(round) / f64::from(rounds), "working");
        }
    }
    sum
}

#[inline(never)]
fn deep(depth: u64) -> u64 {
    let held = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { deep(depth + 1) + held[(depth % 64) as usize] }
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::FailureKind;

    use super::*;

    fn attempt(number: u32, input: Value) -> Result<Reply, Failure> {
        run(&Call { attempt: number, ..Call::with_input(input) })
    }

    // R1.3
    #[test]
    fn it_fails_as_often_as_told() {
        let input = json!({ "fail_times": 2, "code": "busy", "retry_after_ms": 50, "result": "done", "confidence": 0.9 });
        for number in [1, 2] {
            let failure = attempt(number, input.clone()).unwrap_err();
            assert_eq!(
                (failure.kind(), failure.code(), failure.retry_after()),
                (FailureKind::Recoverable, "busy", Some(50))
            );
        }
        let reply = attempt(3, input).unwrap();
        assert_eq!(
            (&reply.output()["result"], &reply.output()["failed_before"]),
            (&json!("done"), &json!(2))
        );
        assert_eq!(reply.confidence_value(), Some(0.9));
    }

    #[test]
    fn it_can_fail_for_good_or_break() {
        let failure =
            attempt(1, json!({ "fail_times": 1, "how": "permanent", "data": { "a": 1 } })).unwrap_err();
        assert_eq!(
            (failure.kind(), failure.data_value()),
            (FailureKind::Permanent, Some(&json!({ "a": 1 })))
        );
        let broken = std::panic::catch_unwind(|| {
            attempt(1, json!({ "fail_times": 1, "how": "panic", "message": "boom" }))
        });
        assert!(broken.is_err());
        assert_eq!(attempt(1, json!({ "how": "explode" })).unwrap_err().code(), "input-invalid");
    }

    #[test]
    fn work_depends_on_its_amount() {
        assert_ne!(work(10, 1), work(11, 1));
        assert_eq!(attempt(1, json!({ "work": 1000 })).unwrap().output()["checksum"], json!(work(1000, 1)));
    }
}
