//! R7.6: what stands between an agent and a model: the grant, the end of the attempt, the budget, the bill. The agent is
//! the builtin `chat`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use bandstand_sandbox::{
    BUDGET_CODE, CallRequest, Class, Grants, Model, ModelAnswer, ModelEvent, ModelFinish, ModelFuture,
    ModelRequest, ModelResponse, ModelUsage, PowerError, PowerErrorKind,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::{end, failure, request, run, sandbox, still_works};

const CHAT: &[u8] = include_bytes!("../../app/assets/chat.wasm");

/// Says what it was given, then ends or waits for ever.
#[derive(Default)]
struct TestModel {
    says: Vec<&'static str>,
    refuses: Option<PowerError>,
    endless: bool,
    asked: Mutex<Vec<ModelRequest>>,
    open: Arc<AtomicUsize>,
}

struct TestAnswer {
    events: VecDeque<ModelEvent>,
    endless: bool,
    open: Arc<AtomicUsize>,
}

impl Drop for TestAnswer {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ModelAnswer for TestAnswer {
    fn next(&mut self) -> ModelFuture<'_, Option<ModelEvent>> {
        Box::pin(async move {
            match self.events.pop_front() {
                Some(event) => Ok(Some(event)),
                None if self.endless => std::future::pending().await,
                None => Ok(None),
            }
        })
    }
}

impl Model for TestModel {
    fn ask(&self, request: ModelRequest) -> ModelFuture<'_, Box<dyn ModelAnswer>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(request);
            if let Some(error) = &self.refuses {
                return Err(error.clone());
            }
            let mut events: VecDeque<_> =
                self.says.iter().map(|text| ModelEvent::Text((*text).into())).collect();
            if !self.endless {
                events.push_back(ModelEvent::Done(ModelResponse {
                    text: self.says.concat(),
                    tool_calls: Vec::new(),
                    finish: ModelFinish::Stop,
                    input_tokens: 5,
                    output_tokens: 2,
                    cached_tokens: 0,
                    model: "test".into(),
                }));
            }
            self.open.fetch_add(1, Ordering::SeqCst);
            let answer: Box<dyn ModelAnswer> =
                Box::new(TestAnswer { events, endless: self.endless, open: self.open.clone() });
            Ok(answer)
        })
    }

    fn embed(&self, _: String, _: Vec<String>) -> ModelFuture<'_, Vec<Vec<f32>>> {
        Box::pin(std::future::pending())
    }

    fn usage(&self) -> ModelUsage {
        let calls = self.asked.lock().unwrap().len() as u64;
        // What is still open is not counted yet: it must have been given up before this is asked.
        let open = self.open.load(Ordering::SeqCst) as u64;
        ModelUsage { calls: calls - open, tokens_in: 5 * calls, ..ModelUsage::default() }
    }
}

fn call(model: &Arc<TestModel>, input: &str) -> CallRequest {
    let mut call = request(input);
    call.grants = Arc::new(Grants { models: vec!["small".into(), "large".into()], ..Grants::default() });
    call.model = Some(model.clone());
    call
}

#[tokio::test]
async fn a_model_is_asked_by_its_granted_name_and_the_bill_is_the_attempts() {
    let sandbox = sandbox();
    let model = Arc::new(TestModel { says: vec!["Good ", "day"], ..TestModel::default() });
    let outcome = run(&sandbox, CHAT, call(&model, r#"{"text":"Hello"}"#)).await;
    assert!(outcome.result.unwrap().output.contains(r#""text":"Good day""#));
    assert_eq!((outcome.usage.model.calls, outcome.usage.model.tokens_in), (1, 5));
    run(&sandbox, CHAT, call(&model, r#"{"text":"Hello","model":"large"}"#)).await.result.unwrap();
    let asked = model.asked.lock().unwrap();
    assert_eq!((asked[0].model.as_str(), asked[1].model.as_str()), ("small", "large"));
    assert_eq!(model.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_is_not_granted_ends_as_denied_and_nobody_is_asked() {
    let sandbox = sandbox();
    let model = Arc::new(TestModel::default());
    let outcome = run(&sandbox, CHAT, call(&model, r#"{"text":"Hello","model":"huge"}"#)).await;
    assert_eq!(end(&outcome), (Class::Denied, "model"));
    let failure = failure(outcome);
    assert!(failure.message.contains("grants: {model: [huge]}") && !failure.recoverable, "{failure}");
    assert!(model.asked.lock().unwrap().is_empty());
    assert!(sandbox.load(CHAT, &Grants::default()).unwrap_err().to_string().contains("model"));
}

#[tokio::test]
async fn the_end_of_the_attempt_gives_the_answer_up() {
    let sandbox = sandbox();
    let model = Arc::new(TestModel { says: vec!["Well, "], endless: true, ..TestModel::default() });
    let mut late = call(&model, r#"{"text":"Hello"}"#);
    late.limits.wall_ms = 200;
    let outcome = run(&sandbox, CHAT, late).await;
    assert_eq!(end(&outcome), (Class::Timeout, "attempt-timeout"));
    assert_eq!((model.open.load(Ordering::SeqCst), outcome.usage.model.calls), (0, 1));
    let cancelled = call(&model, r#"{"text":"Hello"}"#);
    let token = cancelled.cancel.clone();
    let (asking, open) = (run(&sandbox, CHAT, cancelled), model.open.clone());
    let ended = tokio::join!(asking, async move {
        while open.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        token.cancel();
    });
    assert_eq!(end(&ended.0), (Class::Cancelled, "cancelled"));
    assert_eq!(model.open.load(Ordering::SeqCst), 0);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn what_the_model_says_instead_of_an_answer_reaches_the_failure() {
    let sandbox = sandbox();
    let limited = PowerError {
        retry_after_ms: Some(70),
        ..PowerError::new(PowerErrorKind::Unavailable, "rate-limited", "slow down")
    };
    let budget = PowerError::new(PowerErrorKind::Limit, BUDGET_CODE, "too dear (setting budget.cost)");
    for (error, class, recoverable) in [(limited, Class::Agent, true), (budget, Class::Limit, false)] {
        let model = Arc::new(TestModel { refuses: Some(error.clone()), ..TestModel::default() });
        let outcome = run(&sandbox, CHAT, call(&model, r#"{"text":"Hello"}"#)).await;
        assert_eq!(end(&outcome), (class, error.code.as_str()));
        let failure = failure(outcome);
        assert_eq!((failure.recoverable, failure.retry_after_ms), (recoverable, error.retry_after_ms));
        assert_eq!(failure.message, error.message);
    }
    // A host without models.
    let mut none = call(&Arc::new(TestModel::default()), r#"{"text":"Hello"}"#);
    none.model = None;
    assert_eq!(end(&run(&sandbox, CHAT, none).await), (Class::Agent, "no-models"));
}
