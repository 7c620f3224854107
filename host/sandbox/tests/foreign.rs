//! R7.2, R8.5: functions of components that know nothing of agents: found by name, called with JSON, refused with reasons.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{CallLimits, CallRequest, Class, Failure, Grants, LoadError, Sandbox, inspect};
use bandstand_test_guests as guests;
use serde_json::{Value, json};
use support::{end, request, sandbox, settings};

const REGISTRY: &str = "test:people/registry";

async fn outcome(sandbox: &Sandbox, function: &str, input: &Value) -> bandstand_sandbox::Outcome {
    outcome_within(sandbox, function, input, CallLimits::default()).await
}

async fn outcome_within(
    sandbox: &Sandbox,
    function: &str,
    input: &Value,
    limits: CallLimits,
) -> bandstand_sandbox::Outcome {
    let plugin = sandbox.load_function(&guests::people(), &Grants::default(), function).unwrap();
    sandbox.call(&plugin, CallRequest { limits, ..request(&input.to_string()) }).await
}

async fn output(sandbox: &Sandbox, function: &str, input: Value) -> Value {
    let reply = outcome(sandbox, &format!("{REGISTRY}#{function}"), &input).await.result.unwrap();
    serde_json::from_str(&reply.output).unwrap()
}

async fn failure(sandbox: &Sandbox, function: &str, input: Value) -> Failure {
    outcome(sandbox, &format!("{REGISTRY}#{function}"), &input).await.result.unwrap_err()
}

fn refused(bytes: &[u8], function: &str) -> LoadError {
    sandbox().load_function(bytes, &Grants::default(), function).unwrap_err()
}

// R8.5
#[tokio::test]
async fn arguments_go_by_name_and_results_become_outputs() {
    let sandbox = sandbox();
    let ada = json!({
        "full-name": "Ada \u{1f600}", "age": 36, "nick": null, "mood": "cross", "rights": ["read", "grant"],
        "contact": { "phone": "18446744073709551615" }, "scores": [0.1, -1e300, 3.0],
    });
    let mut bob = json!({
        "full-name": "", "age": "255", "mood": "calm", "rights": [], "contact": "none", "scores": [],
    });
    let all = output(&sandbox, "all", json!({ "people": [ada, bob] })).await;
    bob["age"] = json!(255);
    bob["nick"] = json!(null);
    assert_eq!(all, json!({ "result": [ada, bob] }), "a list is no object of its own");
    assert_eq!(output(&sandbox, "first", json!({ "people": [ada] })).await, ada, "a record is the output");
    assert_eq!(output(&sandbox, "nothing", json!({})).await, json!({}));
    assert_eq!(
        output(&sandbox, "check", json!({ "code": 0 })).await,
        json!({}),
        "`result<_, E>` holds nothing"
    );
    assert_eq!(output(&sandbox, "half", json!({ "of": -6 })).await, json!({ "result": -3 }));
    assert_eq!(output(&sandbox, "count", json!({ "words": ["a", "b"] })).await, json!({ "result": 2 }));
    assert_eq!(output(&sandbox, "count", json!({ "words": ["a"], "more": 5 })).await, json!({ "result": 6 }));
    for (given, comes) in [
        (json!(9_007_199_254_740_991_u64), json!(9_007_199_254_740_991_u64)),
        (json!(9_007_199_254_740_992_u64), json!("9007199254740992")),
        (json!("7"), json!(7)),
    ] {
        assert_eq!(output(&sandbox, "wide", json!({ "number": given })).await, json!({ "result": comes }));
    }
    // By its full name, and one without an interface.
    let full = outcome(&sandbox, "test:people/registry@1.2.0#half", &json!({ "of": 2 })).await;
    assert_eq!(full.result.unwrap().output, r#"{"result":1}"#);
    for name in ["add", "#add"] {
        let sum = outcome(&sandbox, name, &json!({ "x": 2, "y": 3 })).await;
        assert_eq!(sum.result.unwrap().output, r#"{"result":5}"#);
    }
    support::still_works(&sandbox).await;
}

// R8.5: an error that is returned is a permanent failure with the error as data.
#[tokio::test]
async fn a_returned_error_is_a_failure() {
    let sandbox = sandbox();
    let told = failure(&sandbox, "half", json!({ "of": 3 })).await;
    assert_eq!((told.class, told.code.as_str(), told.recoverable), (Class::Agent, "returned-error", false));
    assert_eq!(told.message, "`test:people/registry@1.2.0#half` returned an error: odd");
    assert_eq!(told.data.as_deref(), Some("\"odd\""));
    let told = failure(&sandbox, "check", json!({ "code": 7 })).await;
    assert_eq!(told.data.as_deref(), Some(r#"{"code":7}"#));
    assert!(told.message.ends_with(r#"returned an error: {"code":7}"#), "{}", told.message);
    assert_eq!(failure(&sandbox, "check", json!({ "code": 1 })).await.data.as_deref(), Some("\"unknown\""));
}

// R8.5
#[tokio::test]
async fn arguments_that_do_not_fit_are_told_with_their_places() {
    let sandbox = sandbox();
    for (function, input, says) in [
        ("half", json!({}), "/of: the parameter `of: s32` is missing"),
        (
            "half",
            json!({ "of": 1.5 }),
            "/of: wanted `s32`, an integer from -2147483648 to 2147483647, found 1.5",
        ),
        ("half", json!({ "of": 1, "off": 1 }), "/off: there is no such parameter; there is `of`"),
        ("count", json!({ "words": ["a", 1] }), "/words/1: wanted a text, found 1"),
    ] {
        let told = failure(&sandbox, function, input).await;
        assert_eq!(
            (told.class, told.code.as_str(), told.recoverable),
            (Class::Agent, "bad-arguments", false)
        );
        assert!(told.message.contains(says), "{}", told.message);
        let data: Value = serde_json::from_str(told.data.as_deref().unwrap()).unwrap();
        assert_eq!(data["problems"].as_array().unwrap().len(), 1);
    }
    let many = json!({ "words": vec![""; 1_000_000] });
    let told = failure(&sandbox, "count", many).await;
    assert_eq!((told.class, told.code.as_str()), (Class::Limit, "host-calls"));
    assert!(!told.recoverable && told.message.contains("more than 16777216 bytes"), "{}", told.message);
}

// R7.1, R8.5: what ends agents ends functions.
#[tokio::test]
async fn a_function_is_bounded_like_an_agent() {
    let sandbox = sandbox();
    let short = CallLimits { wall_ms: 100, ..CallLimits::default() };
    let spin = outcome_within(&sandbox, "test:people/registry#spin", &json!({}), short).await;
    assert_eq!(end(&spin), (Class::Timeout, "attempt-timeout"));
    let crash = outcome(&sandbox, "test:people/registry#crash", &json!({})).await;
    assert_eq!(end(&crash), (Class::Trap, "unreachable"));
    let nan = outcome(&sandbox, "test:people/registry#ratio", &json!({ "a": 0, "b": 0 })).await;
    assert_eq!(end(&nan), (Class::InvalidOutput, "bad-reply"));
    assert!(nan.result.unwrap_err().message.contains("/result is NaN"));
    let infinite = outcome(&sandbox, "test:people/registry#ratio", &json!({ "a": -1, "b": 0 })).await;
    assert!(infinite.result.unwrap_err().message.contains("/result is -inf"));
    let small = CallLimits { output_bytes_max: 40, ..CallLimits::default() };
    let words = json!({ "people": [{
        "full-name": "a name that is too long for it", "age": 1, "mood": "calm", "rights": [], "contact": "none",
        "scores": [],
    }] });
    let large = outcome_within(&sandbox, "test:people/registry#first", &words, small).await;
    assert_eq!(end(&large), (Class::InvalidOutput, "too-large"));
    assert!(large.result.unwrap_err().message.contains("more than the limit of 40 bytes as JSON"));
    support::still_works(&sandbox).await;
}

// R7.1: what the host sets aside for results counts towards the memory of all.
#[tokio::test]
async fn room_for_results_is_part_of_the_budget() {
    let tight = bandstand_sandbox::Settings { memory_bytes_total_max: 8 << 20, ..settings() };
    let sandbox = Sandbox::new(tight).unwrap();
    let told = outcome(&sandbox, "test:people/registry#all", &json!({ "people": [] })).await;
    assert_eq!(end(&told), (Class::Overload, "host-memory"));
    // What it gives is of a size that is known.
    let told = outcome(&sandbox, "test:people/registry#wide", &json!({ "number": 1 })).await;
    assert_eq!(told.result.unwrap().output, r#"{"result":1}"#);
    assert_eq!(sandbox.memory_bytes_in_use(), 0);
}

// R7.2, R8.5
#[test]
fn a_function_that_is_not_there_or_not_callable_is_refused_with_what_there_is() {
    let people = guests::people();
    let told = refused(&people, "test:people/registry#halve").to_string();
    for part in [
        "exports no function `test:people/registry#halve`; it exports ",
        "test:people/registry@1.2.0#half: func(of: s32) -> result<s32, string>",
        "test:people/registry@1.2.0#first: func(people: list<person>) -> person",
        "test:people/registry@1.2.0#open: func() -> own<desk> (the result holds `own<desk>`, which is no plain data)",
        "add: func(x: u32, y: u32) -> u32",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(matches!(refused(&people, "test:people/registry@1.1.0#half"), LoadError::NoFunction { .. }));
    assert!(matches!(refused(&people, "half"), LoadError::NoFunction { .. }));
    assert!(matches!(refused(&people, "test:people/registry"), LoadError::FunctionName { .. }));
    let open = refused(&people, "test:people/registry#open");
    assert!(matches!(&open, LoadError::NotCallable { .. }), "{open}");
    assert!(open.to_string().contains("the result holds `own<desk>`, which is no plain data"), "{open}");
    let callable = inspect(&people).unwrap();
    assert!(callable.callable().any(|function| function.full_name() == "add"), "one without interface, too");
    // As an agent it is none, and is told what it is good for.
    let agent = sandbox().load(&people, &Grants::default()).unwrap_err().to_string();
    assert!(agent.contains("not an agent") && agent.contains("`function: \"add\"`"), "{agent}");
}

// R7.2: an interface of types alone needs nothing behind it; one with functions is refused as for any agent.
#[tokio::test]
async fn imports_of_types_are_no_powers() {
    let sandbox = sandbox();
    let name = "test:typed/shapes#length";
    let plugin = sandbox.load_function(&guests::imports_types(false), &Grants::default(), name).unwrap();
    assert!(plugin.imports().iter().any(|import| import.types_only), "{:?}", plugin.imports());
    let reply = sandbox.call(&plugin, request(r#"{"of":{"x":3,"y":4}}"#)).await.result.unwrap();
    assert_eq!(reply.output, r#"{"result":7}"#);
    let told = refused(&guests::imports_types(true), name).to_string();
    assert!(told.contains("`test:typed/helper@1.0.0` (no such interface here)"), "{told}");
}

// R8.5: one component, several plugins.
#[tokio::test]
async fn a_component_is_loaded_once_for_all_its_functions() {
    let sandbox = sandbox();
    let people = guests::people();
    let half = sandbox.load_function(&people, &Grants::default(), "test:people/registry#half").unwrap();
    let add = half.with_function("add").unwrap();
    assert_eq!(half.digest(), add.digest());
    assert!(half.with_function("sub").is_err());
    let reply = sandbox.call(&add, request(r#"{"x":1,"y":1}"#)).await.result.unwrap();
    assert_eq!(reply.output, r#"{"result":2}"#);
    let reply = sandbox.call(&half, request(r#"{"of":8}"#)).await.result.unwrap();
    assert_eq!(reply.output, r#"{"result":4}"#);
    assert_eq!(sandbox.compile_times().count, 1);
    sandbox.precompile(&people).unwrap();
}

// R7.2, R8.5: what an agent is given besides its input is nothing that a workflow file writes.
#[test]
fn an_agent_is_called_as_one_and_not_as_a_function() {
    let echo = guests::echo();
    let inspection = inspect(&echo).unwrap();
    assert_eq!(inspection.callable().count(), 0);
    let sandbox = sandbox();
    for name in ["bandstand:agent/node#run", "bandstand:agent/node@0.1.0#run"] {
        let told = refused(&echo, name);
        assert!(matches!(&told, LoadError::NotCallable { .. }), "{told}");
        assert!(
            told.to_string().contains("it is the agent itself, which is called when `function` is left out"),
            "{told}"
        );
        assert_eq!(inspection.runnable_function(name).unwrap_err(), told);
        let agent = sandbox.load(&echo, &Grants::default()).unwrap();
        assert_eq!(agent.with_function(name).unwrap_err(), told);
    }
}
