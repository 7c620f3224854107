//! An agent gets its call and its reply gets through, whole.

mod support;

use bandstand_sandbox::{Class, GuestEvent, LogLevel, Next};
use bandstand_test_guests as guests;
use std::sync::Arc;
use support::{Heard, end, request, run, sandbox};

#[tokio::test]
async fn an_echo_comes_back_with_what_it_took() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, &guests::echo(), request("{\"a\":1}")).await;
    let reply = outcome.result.unwrap();
    assert_eq!(reply.output, "{\"a\":1}");
    assert_eq!(reply.confidence, None);
    assert_eq!(reply.next, Next::Edges);
    assert_eq!(outcome.usage.memory_bytes_max, 2 << 16);
    assert!(outcome.usage.wall_us > 0 && outcome.usage.cpu_us > 0);
    assert_eq!(sandbox.memory_bytes_in_use(), 0, "all of it is given back");
}

// R7.2 of the reply's typed part: what steers the host arrives as it was meant.
#[tokio::test]
async fn each_way_to_go_on_arrives() {
    let sandbox = sandbox();
    let next = async |guest: Vec<u8>| run(&sandbox, &guest, request("{}")).await.result.unwrap().next;
    assert_eq!(next(guests::replies_goto("{}", "there")).await, Next::Goto("there".into()));
    let Next::Choose(choices) = next(guests::replies_choose("{}", "legal", 0.75)).await else { panic!() };
    assert_eq!((choices[0].name.as_str(), choices[0].confidence), ("legal", 0.75));
    let Next::Review(review) = next(guests::replies_review("{}", "Look here", 2)).await else { panic!() };
    assert_eq!((review.title.as_str(), review.reason.as_str(), review.quorum), ("Look here", "a test", 2));
    assert!(review.form.is_none() && review.propose.is_none() && review.timeout_ms.is_none());
}

#[tokio::test]
async fn confidence_arrives_and_must_make_sense() {
    let sandbox = sandbox();
    let sure = run(&sandbox, &guests::replies_with_confidence("{}", 0.25), request("{}")).await;
    assert_eq!(sure.result.unwrap().confidence, Some(0.25));
    for wrong in [f64::NAN, 1.5, -1.0] {
        let outcome = run(&sandbox, &guests::replies_with_confidence("{}", wrong), request("{}")).await;
        assert_eq!(end(&outcome), (Class::InvalidOutput, "bad-reply"));
    }
}

#[tokio::test]
async fn an_agent_fails_in_its_own_words() {
    let sandbox = sandbox();
    let failure = support::failure(run(&sandbox, &guests::permanent_failure(), request("{}")).await);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Agent, "no-good"));
    assert_eq!(failure.message, "it cannot work");
    assert!(!failure.recoverable);

    let guest = guests::recoverable_until(2);
    let failure = support::failure(run(&sandbox, &guest, request("{}")).await);
    assert!(failure.recoverable);
    assert_eq!((failure.code.as_str(), failure.retry_after_ms), ("not-yet", Some(20)));
    let mut second = request("{}");
    second.attempt = 2;
    assert!(run(&sandbox, &guest, second).await.result.is_ok(), "the attempt's number reaches the agent");
}

#[tokio::test]
async fn log_and_progress_are_heard_and_made_safe() {
    let sandbox = sandbox();
    let heard = Arc::new(Heard::default());
    let mut call = request("{}");
    call.events = Some(heard.clone());
    run(&sandbox, &guests::logs("half\u{1b}[2J way", "{\"n\":1}"), call).await.result.unwrap();
    let events = heard.0.lock().unwrap().clone();
    let message = "half way".to_owned();
    assert_eq!(
        events,
        [
            GuestEvent::Log {
                level: LogLevel::Info,
                message: message.clone(),
                fields: Some("{\"n\":1}".into())
            },
            GuestEvent::Report { fraction: Some(0.5), message },
        ]
    );
}
