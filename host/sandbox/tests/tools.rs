//! R7.1 to R7.4 for tools: a plugin that another plugin calls runs in an instance of its own, with its own grants and
//! limits; whatever it does, its caller lives, and it ends with its caller.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use bandstand_sandbox::{
    CallLimits, CallRequest, Class, Grants, GuestEvent, LogLevel, MemoryGrant, Outcome, PowerError,
    PowerErrorKind, Sandbox, Settings, TOOL_DEPTH_MAX, Tool, ToolSpec, ToolUse, Tools,
};
use bandstand_test_guests as guests;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Heard, TestMemory, end, failure, request, sandbox, settings, still_works};

/// Tools by name: the plugin, its grants, its limits. Keeps how each call ended.
#[derive(Default)]
struct TestTools {
    all: BTreeMap<String, (bandstand_sandbox::Plugin, Grants, CallLimits)>,
    memory: Option<Arc<TestMemory>>,
    ended: Arc<Mutex<Vec<Outcome>>>,
    found: AtomicUsize,
}

impl TestTools {
    fn of(sandbox: &Sandbox, tools: &[(&str, Vec<u8>, Grants, CallLimits)]) -> TestTools {
        let all = tools.iter().map(|(name, guest, grants, limits)| {
            let plugin = sandbox.load(guest, grants).unwrap();
            ((*name).to_owned(), (plugin, grants.clone(), limits.clone()))
        });
        TestTools { all: all.collect(), ..TestTools::default() }
    }
}

impl Tools for TestTools {
    fn describe(&self, name: &str) -> Option<ToolSpec> {
        self.all.get(name).map(|_| ToolSpec {
            name: name.into(),
            description: format!("does {name}"),
            parameters: r#"{"type":"object"}"#.into(),
        })
    }

    fn find(&self, name: &str) -> Result<Tool, PowerError> {
        self.found.fetch_add(1, Ordering::SeqCst);
        let none = || PowerError::new(PowerErrorKind::Unavailable, "tool-quarantined", "it keeps crashing");
        let (plugin, grants, limits) = self.all.get(name).ok_or_else(none)?;
        let ended = self.ended.clone();
        Ok(Tool {
            plugin: plugin.clone(),
            limits: limits.clone(),
            grants: Arc::new(grants.clone()),
            memory: self.memory.clone().map(|memory| memory as _),
            env: Vec::new(),
            ended: Some(Box::new(move |outcome: &Outcome| ended.lock().unwrap().push(outcome.clone()))),
        })
    }
}

fn granted(names: &[&str]) -> Grants {
    Grants { tools: names.iter().map(ToString::to_string).collect(), ..Grants::default() }
}

fn limits() -> CallLimits {
    CallLimits { wall_ms: 20_000, cpu_ms: 5_000, ..CallLimits::default() }
}

fn call(tools: &Arc<TestTools>, names: &[&str], input: &str) -> CallRequest {
    CallRequest {
        grants: Arc::new(granted(names)),
        tools: Some(tools.clone()),
        limits: limits(),
        ..request(input)
    }
}

/// An agent that calls this one as its tool `search`, and what came of it.
async fn calls(tool: Vec<u8>, limits: CallLimits, input: &str) -> (Outcome, Arc<TestTools>, Sandbox) {
    let sandbox = sandbox();
    let tools = Arc::new(TestTools::of(&sandbox, &[("search", tool, Grants::default(), limits)]));
    let caller = sandbox.load(&guests::calls_tool("search"), &granted(&["search"])).unwrap();
    let outcome = sandbox.call(&caller, call(&tools, &["search"], input)).await;
    (outcome, tools, sandbox)
}

fn uses(outcome: &Outcome) -> Vec<(&str, Option<&str>)> {
    outcome.usage.tools.iter().map(|tool| (tool.name.as_str(), tool.failed.as_deref())).collect()
}

#[tokio::test]
async fn a_tool_answers_its_caller_and_is_noted() {
    let (outcome, tools, sandbox) = calls(guests::echo(), limits(), "{\"q\":1}").await;
    assert_eq!(outcome.result.as_ref().unwrap().output, "{\"q\":1}");
    assert_eq!(uses(&outcome), [("search", None)]);
    assert_eq!(tools.ended.lock().unwrap().len(), 1);
    still_works(&sandbox).await;
}

#[tokio::test]
async fn its_key_follows_from_its_callers_and_differs_from_call_to_call() {
    let (outcome, ..) = calls(guests::tells_its_key(), limits(), "{}").await;
    assert_eq!(outcome.result.unwrap().output, r#"{"key":"run-1/node@1/tool/1/search"}"#);
}

// R7.2
#[tokio::test]
async fn a_tool_that_is_not_granted_is_denied_by_name() {
    let sandbox = sandbox();
    let tools = Arc::new(TestTools::of(&sandbox, &[("search", guests::echo(), Grants::default(), limits())]));
    let caller = guests::calls_tool("search");
    let error = sandbox.load(&caller, &Grants::default()).unwrap_err().to_string();
    assert!(error.contains("bandstand:agent/tools@0.1.0") && error.contains("grants: {tools:"), "{error}");
    let plugin = sandbox.load(&caller, &granted(&["other"])).unwrap();
    let outcome = sandbox.call(&plugin, call(&tools, &["other"], "{}")).await;
    assert_eq!(end(&outcome), (Class::Denied, "tools"));
    assert_eq!(outcome.usage.tools, []);
    let failure = failure(outcome);
    assert!(failure.message.contains("grants: {tools: [search]}"), "{failure}");
    assert_eq!(tools.found.load(Ordering::SeqCst), 0);
}

// R7.2
#[tokio::test]
async fn neither_has_the_powers_of_the_other() {
    let sandbox = sandbox();
    let memory = Arc::new(TestMemory::default());
    // The caller has memory, the tool has none: it was never given an import of it that works.
    let write = Grants { memory: Some(MemoryGrant::Write), ..granted(&["keeper"]) };
    let mut tools = TestTools::of(&sandbox, &[("keeper", guests::echo(), Grants::default(), limits())]);
    let keeper =
        sandbox.load(&guests::keeps_input(), &Grants { memory: Some(MemoryGrant::Write), ..granted(&[]) });
    tools.all.insert("keeper".into(), (keeper.unwrap(), Grants::default(), limits()));
    tools.memory = Some(memory.clone());
    let tools = Arc::new(tools);
    let caller = sandbox.load(&guests::calls_tool("keeper"), &write).unwrap();
    let mut with_memory = call(&tools, &["keeper"], "{\"secret\":1}");
    with_memory.grants = Arc::new(write);
    with_memory.memory = Some(memory.clone());
    let outcome = sandbox.call(&caller, with_memory).await;
    assert_eq!(end(&outcome), (Class::Agent, "denied"));
    let failure = failure(outcome);
    assert!(failure.message.contains("memory"), "{failure}");
    // The tool has memory, and its caller, which has none, does not get it by calling.
    let tools = TestTools {
        memory: Some(memory.clone()),
        ..TestTools::of(
            &sandbox,
            &[(
                "keeper",
                guests::keeps_input(),
                Grants { memory: Some(MemoryGrant::Write), ..Grants::default() },
                limits(),
            )],
        )
    };
    let outcome = sandbox.call(&caller, call(&Arc::new(tools), &["keeper"], "{\"kept\":1}")).await;
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert_eq!(memory.slots.lock().unwrap().len(), 1);
    let keeps = sandbox
        .load(&guests::keeps_input(), &Grants { memory: Some(MemoryGrant::Write), ..Grants::default() })
        .unwrap();
    let outcome = sandbox.call(&keeps, call(&Arc::default(), &["keeper"], "{}")).await;
    assert_eq!(end(&outcome), (Class::Denied, "memory"));
}

// R7.3
#[tokio::test]
async fn whatever_a_tool_dies_of_its_caller_lives_and_is_told() {
    let small = CallLimits { cpu_ms: 60, memory_bytes_max: 4 << 20, ..limits() };
    for (tool, code, says, noted) in [
        (r#"{"do":"trap"}"#, "trap", "stopped itself", "unreachable"),
        (r#"{"do":"loop"}"#, "limit", "60 ms of processor time (setting limits.cpu)", "cpu"),
        (r#"{"do":"memory"}"#, "limit", "4194304 bytes of memory (setting limits.memory)", "memory"),
        (r#"{"do":"json"}"#, "invalid-output", "not JSON", "bad-reply"),
    ] {
        let (outcome, _, sandbox) = calls(guests::scripted(), small.clone(), tool).await;
        assert_eq!(end(&outcome), (Class::Agent, code), "{tool}: {outcome:?}");
        assert_eq!(uses(&outcome), [("search", Some(noted))], "{tool}");
        let failure = failure(outcome);
        assert!(failure.message.contains("`search`") && failure.message.contains(says), "{tool}: {failure}");
        still_works(&sandbox).await;
    }
}

#[tokio::test]
async fn a_failure_of_its_own_keeps_code_and_message() {
    let (outcome, ..) = calls(guests::permanent_failure(), limits(), "{}").await;
    assert_eq!(end(&outcome), (Class::Agent, "no-good"));
    assert_eq!(failure(outcome).message, "it cannot work");
    let (outcome, ..) = calls(guests::scripted(), limits(), r#"{"do":"recoverable"}"#).await;
    assert_eq!(
        (end(&outcome), uses(&outcome)),
        ((Class::Agent, "as-told"), vec![("search", Some("as-told"))])
    );
}

// R7.4
#[tokio::test]
async fn an_output_beyond_the_tools_limit_is_an_error() {
    let small = CallLimits { output_bytes_max: 10, ..limits() };
    let (outcome, ..) = calls(guests::echo(), small, r#"{"text":"more than ten bytes"}"#).await;
    assert_eq!(end(&outcome), (Class::Agent, "invalid-output"));
    let failure = failure(outcome);
    assert!(failure.message.contains("limit of 10 bytes (setting limits.output)"), "{failure}");
}

#[tokio::test]
async fn a_tool_cannot_route() {
    for tool in [
        guests::replies_goto("{}", "end"),
        guests::replies_choose("{}", "a", 0.9),
        guests::replies_review("{}", "Look", 1),
    ] {
        let (outcome, ..) = calls(tool, limits(), "{}").await;
        assert_eq!(end(&outcome), (Class::Agent, "tool-cannot-route"));
    }
}

#[tokio::test]
async fn arguments_that_are_no_object_are_refused_before_the_tool_runs() {
    for (input, code) in [("[1]", "arguments-not-object"), ("{", "arguments-not-json")] {
        let (outcome, tools, _) = calls(guests::echo(), limits(), input).await;
        assert_eq!(end(&outcome), (Class::Agent, code));
        assert_eq!(tools.found.load(Ordering::SeqCst), 0);
    }
}

// R1.10: what stands behind the name may say no, and it is noted.
#[tokio::test]
async fn a_tool_that_is_not_there_now_says_so() {
    let sandbox = sandbox();
    let tools = Arc::new(TestTools::default());
    let caller = sandbox.load(&guests::calls_tool("gone"), &granted(&["gone"])).unwrap();
    let outcome = sandbox.call(&caller, call(&tools, &["gone"], "{}")).await;
    assert_eq!(end(&outcome), (Class::Agent, "tool-quarantined"));
    assert_eq!(uses(&outcome), [("gone", Some("tool-quarantined"))]);
}

// R7.4
#[tokio::test]
async fn calls_beyond_the_quota_are_refused_by_name_value_and_setting() {
    let sandbox = sandbox();
    let tools = Arc::new(TestTools::of(&sandbox, &[("search", guests::echo(), Grants::default(), limits())]));
    let caller = sandbox.load(&guests::calls_tool_until_refused("search"), &granted(&["search"])).unwrap();
    let mut request = call(&tools, &["search"], "{}");
    request.limits.tool_calls_max = 7;
    let outcome = sandbox.call(&caller, request).await;
    assert_eq!(end(&outcome), (Class::Agent, "tool-calls"));
    assert_eq!((outcome.usage.tools.len(), tools.ended.lock().unwrap().len()), (7, 7));
    let failure = failure(outcome);
    assert!(
        failure.message.contains("7 tools") && failure.message.contains("limits.tool-calls"),
        "{failure}"
    );
}

// R7.3, R7.4
#[tokio::test]
async fn a_tool_that_calls_itself_comes_to_an_end_even_where_there_is_one_place() {
    let one = Settings { instances_max: 1, ..settings() };
    let sandbox = Sandbox::new(one).unwrap();
    let again = guests::calls_tool("again");
    let tools = Arc::new(TestTools::of(&sandbox, &[("again", again.clone(), granted(&["again"]), limits())]));
    let caller = sandbox.load(&again, &granted(&["again"])).unwrap();
    let begun = Instant::now();
    let outcome = sandbox.call(&caller, call(&tools, &["again"], "{}")).await;
    assert_eq!(end(&outcome), (Class::Agent, "tool-depth"));
    let mut depth = 0;
    let mut at: &[ToolUse] = &outcome.usage.tools;
    while let [one] = at {
        depth += 1;
        at = &one.tools;
    }
    assert_eq!(depth, TOOL_DEPTH_MAX, "{:?}", outcome.usage.tools);
    assert!(begun.elapsed() < Duration::from_secs(10));
    still_works(&sandbox).await;
}

// R7.3, R1.9: callers hold their places while their tools wait for one.
#[tokio::test]
async fn as_many_callers_as_there_are_places_all_get_their_tools() {
    let sandbox = Arc::new(Sandbox::new(Settings { instances_max: 4, ..settings() }).unwrap());
    let deep = guests::calls_tool("deep");
    let tools = Arc::new(TestTools::of(
        &sandbox,
        &[
            ("search", deep.clone(), granted(&["deep"]), limits()),
            ("deep", guests::echo(), Grants::default(), limits()),
        ],
    ));
    let caller = sandbox.load(&guests::calls_tool("search"), &granted(&["search"])).unwrap();
    let mut tasks = Vec::new();
    for number in 0..40 {
        let (sandbox, caller, tools) = (sandbox.clone(), caller.clone(), tools.clone());
        tasks.push(tokio::spawn(async move {
            let input = format!("{{\"n\":{number}}}");
            let outcome = sandbox.call(&caller, call(&tools, &["search"], &input)).await;
            assert_eq!(outcome.result.unwrap().output, input);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    still_works(&sandbox).await;
}

// R7.3
#[tokio::test]
async fn a_caller_that_is_cancelled_takes_its_tool_with_it() {
    let sandbox = sandbox();
    let tools =
        Arc::new(TestTools::of(&sandbox, &[("search", guests::scripted(), Grants::default(), limits())]));
    let caller = sandbox.load(&guests::calls_tool("search"), &granted(&["search"])).unwrap();
    let request = call(&tools, &["search"], r#"{"do":"loop"}"#);
    let token = request.cancel.clone();
    let both = async {
        while sandbox.instances_in_use() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        token.cancel();
        Instant::now()
    };
    let (outcome, cancelled) = tokio::join!(sandbox.call(&caller, request), both);
    assert_eq!(end(&outcome), (Class::Cancelled, "cancelled"));
    assert_eq!(uses(&outcome), [("search", Some("cancelled"))]);
    while sandbox.instances_in_use() > 0 {
        assert!(cancelled.elapsed() < Duration::from_secs(1), "the tool goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    still_works(&sandbox).await;
}

// R7.3: the tool has less time than its caller, which is not billed for its processor time.
#[tokio::test]
async fn a_tool_ends_before_its_callers_time_is_over() {
    let sandbox = sandbox();
    let tools =
        Arc::new(TestTools::of(&sandbox, &[("search", guests::scripted(), Grants::default(), limits())]));
    let caller = sandbox.load(&guests::calls_tool("search"), &granted(&["search"])).unwrap();
    let mut request = call(&tools, &["search"], r#"{"do":"loop"}"#);
    request.limits = CallLimits { wall_ms: 1_000, cpu_ms: 100, ..limits() };
    let outcome = sandbox.call(&caller, request).await;
    assert_eq!(end(&outcome), (Class::Agent, "timeout"));
    assert!(outcome.usage.cpu_us < 100_000, "{:?}", outcome.usage);
    assert!(outcome.usage.wall_us < 1_000_000 && outcome.usage.wall_us > 800_000, "{:?}", outcome.usage);
}

#[tokio::test]
async fn what_a_tool_tells_is_told_with_its_name() {
    let sandbox = sandbox();
    let tools = Arc::new(TestTools::of(
        &sandbox,
        &[
            ("search", guests::logs("found it", "{}"), granted(&[]), limits()),
            ("dies", guests::scripted(), granted(&[]), limits()),
        ],
    ));
    let caller = sandbox.load(&guests::calls_tool("search"), &granted(&["search"])).unwrap();
    let heard = Arc::new(Heard::default());
    let mut request = call(&tools, &["search"], "{}");
    request.events = Some(heard.clone());
    sandbox.call(&caller, request).await.result.unwrap();
    // Of a crash the operator hears, whatever its caller makes of it.
    let dies = sandbox.load(&guests::calls_tool("dies"), &granted(&["dies"])).unwrap();
    let crash = Arc::new(Heard::default());
    let mut request = call(&tools, &["dies"], r#"{"do":"trap"}"#);
    request.events = Some(crash.clone());
    let _ = sandbox.call(&dies, request).await;
    let crash = crash.0.lock().unwrap();
    let [GuestEvent::Log { level: LogLevel::Warn, message, .. }] = &crash[..] else { panic!("{crash:?}") };
    assert!(message.starts_with("tool dies: trap/unreachable"), "{message}");
    let heard = heard.0.lock().unwrap();
    let [GuestEvent::Log { level: LogLevel::Info, message, .. }, GuestEvent::Report { message: done, .. }] =
        &heard[..]
    else {
        panic!("{heard:?}");
    };
    assert_eq!((message.as_str(), done.as_str()), ("tool search: found it", "tool search: found it"));
}
