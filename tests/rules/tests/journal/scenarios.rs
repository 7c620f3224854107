//! Runs that together have every event, and every optional field of one both there and absent. Small: a fixture is read by
//! people when it fails. What people ask of whole runs is in `asked.rs`.

use std::sync::Arc;

use bandstand_engine::event::{CachedFrom, Payload};
use bandstand_engine::input::{
    ActorKind, By, Choice, ModelUse, Reply, ReplyNext, ReviewRequest, ToolUse, Usage, Verdict,
};
use bandstand_engine::{Answer, Class, Failure, Input};
use serde_json::{Value, json};

use crate::asked;
use crate::children;
use crate::tape::Tape;

/// Every scenario by the name of its fixture.
pub(crate) fn all() -> Vec<(&'static str, Tape)> {
    let mut all = vec![
        ("line", line()),
        ("retries", retries()),
        ("models-and-tools", models_and_tools()),
        ("tools-of-tools", tools_of_tools()),
        ("each-call", each_call()),
        ("interrupted", interrupted()),
        ("routes", routes()),
        ("route-default", route_default()),
        ("parallel", parallel()),
        ("join-any", join_any()),
        ("map", map()),
        ("block-failed", block_failed()),
        ("review", review()),
        ("review-expired", review_expired()),
        ("review-not-by-self", review_not_by_self()),
        ("review-by-agent", review_by_agent()),
        ("review-withdrawn", review_withdrawn()),
        ("wait-and-fail", wait_and_fail()),
        ("cancelled", cancelled("enough")),
        ("cancelled-without-reason", cancelled("")),
        ("cached", cached()),
    ];
    all.extend(asked::all());
    all.extend(children::all());
    all
}

const USAGE: Usage = Usage {
    queued_ms: 2,
    wall_us: 900,
    cpu_us: 700,
    memory_bytes_max: 1_114_112,
    host_bytes: 64,
    model_calls: 2,
    tokens_in: 300,
    tokens_out: 40,
    cost_micros: 1_200,
    model_ms: 800,
    tools: Vec::new(),
    models: Vec::new(),
};

fn reply(output: Value) -> Reply {
    Reply { output: Arc::new(output), confidence: None, next: ReplyNext::Edges }
}

fn done(tape: &mut Tape, id: &str, reply: Reply, usage: Usage) {
    tape.take(Input::Done { id: id.parse().unwrap(), reply, usage });
}

pub(crate) fn done_plainly(tape: &mut Tape, id: &str, output: Value) {
    done(tape, id, reply(output), Usage::default());
}

fn choice(name: &str, confidence: f64, reason: Option<&str>) -> Choice {
    Choice { name: name.to_owned(), confidence, reason: reason.map(str::to_owned) }
}

fn answer(tape: &Tape, reviewer: &str, decision: Verdict) -> Answer {
    Answer {
        review_id: tape.run.open_reviews()[0].review_id.clone(),
        feedback_id: format!("feedback-{reviewer}"),
        request_id: None,
        reviewer: reviewer.to_owned(),
        groups: Vec::new(),
        decision,
        comments: String::new(),
        changes: None,
        saw: None,
        confidence: None,
    }
}

/// Channels, stages, updates, a result, a deadline of the run.
fn line() -> Tape {
    let text = "
format: 1
name: line
version: 3
timeout: 1h
input: { type: object, properties: { n: { type: integer, default: 5 } } }
plugins: { p: { builtin: echo } }
state: { log: { reduce: append, initial: [\"${{ input.n }}\"] }, last: { reduce: replace } }
nodes:
  a: { agent: p, stage: processing, input: { n: \"${{ input.n }}\" }, update: { log: [a] }, next: b }
  b: { agent: p, set: { log: [b] }, update: { last: \"${{ output.word }}\" }, next: [{ when: \"visit < 2\", to: b }, { to: end }] }
result: { log: \"${{ state.log }}\", last: \"${{ state.last }}\" }
";
    let mut tape = Tape::start(text, json!({}), Some("ann"));
    let sure = Reply { confidence: Some(0.9), ..reply(json!({ "word": "one" })) };
    done(&mut tape, "a@1#1", sure, USAGE);
    done_plainly(&mut tape, "b@1#1", json!({ "word": "two" }));
    done_plainly(&mut tape, "b@2#1", json!({ "word": "three" }));
    tape
}

pub(crate) fn failure(code: &str) -> Failure {
    Failure { recoverable: true, ..Failure::permanent(Class::Agent, code, "it did not work") }
}

/// Attempts that asked models and called tools, one that failed and one that succeeded; the workflow looks at the bill.
fn models_and_tools() -> Tape {
    let text = "
format: 1
name: models-and-tools
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: b }
  b: { value: \"${{ run.usage }}\", next: end }
";
    let tool = |failed: Option<&str>, took_ms| ToolUse {
        name: "search".to_owned(),
        at_ms: 0,
        took_ms,
        failed: failed.map(str::to_owned),
        tools: Vec::new(),
    };
    let used = Usage { tools: vec![tool(None, 12), tool(Some("no-luck"), 0)], ..USAGE };
    let mut tape = Tape::start(text, json!({}), None);
    tape.fail("a@1#1", failure("no-luck"), None, used.clone());
    tape.until_due();
    done(&mut tape, "a@1#2", reply(json!({})), used);
    tape
}

/// An attempt whose tool called a tool itself.
fn tools_of_tools() -> Tape {
    let text = "
format: 1
name: tools-of-tools
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: end }
";
    let tool =
        |name: &str, tools| ToolUse { name: name.to_owned(), at_ms: 0, took_ms: 5, failed: None, tools };
    let tools = vec![tool("search", vec![tool("fetch", Vec::new())])];
    let mut tape = Tape::start(text, json!({}), None);
    done(&mut tape, "a@1#1", reply(json!({})), Usage { tools, ..USAGE });
    tape
}

/// When tools were called, and each call of a model.
fn each_call() -> Tape {
    let text = "
format: 1
name: each-call
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: end }
";
    let told = ToolUse { name: "search".to_owned(), at_ms: 3, took_ms: 5, failed: None, tools: Vec::new() };
    let answered = ModelUse {
        name: "default".to_owned(),
        provider: "openai".to_owned(),
        model: "gpt-4.1-mini".to_owned(),
        at_ms: 9,
        took_ms: 700,
        tokens_in: 300,
        tokens_out: 40,
        cost_micros: 1_200,
        ..ModelUse::default()
    };
    let cut = ModelUse {
        name: "default".to_owned(),
        embed: true,
        at_ms: 712,
        took_ms: 100,
        failed: Some("cut".to_owned()),
        more: 1,
        ..ModelUse::default()
    };
    let mut tape = Tape::start(text, json!({}), None);
    let used = Usage { tools: vec![told], models: vec![answered, cut], ..USAGE };
    done(&mut tape, "a@1#1", reply(json!({})), used);
    tape
}

/// Policy's retries, the agent's wish, retries used up, a failure that is caught.
fn retries() -> Tape {
    let text = "
format: 1
name: retries
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, retry: { max-retries: 2, base-delay: 1s }, on-failure: b, next: end }
  b: { agent: p, retry: { strategy: immediate, max-retries: 1 }, next: c }
  c: { agent: p, retry: { strategy: none }, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    let data = Some(Payload::new(json!({ "at": 3 })));
    let (backtrace, last_words) = (Some("frame one".to_owned()), Some("oh no".to_owned()));
    tape.fail("a@1#1", Failure { data, backtrace, last_words, ..failure("no-luck") }, None, USAGE);
    tape.until_due();
    tape.fail("a@1#2", failure("no-luck"), Some(5_000), Usage { wall_us: 1, ..Usage::default() });
    tape.until_due();
    tape.fail("a@1#3", failure("no-luck"), None, Usage { cpu_us: 1, ..Usage::default() });
    tape.fail("b@1#1", failure("no-luck"), None, Usage::default());
    done_plainly(&mut tape, "b@1#2", json!({}));
    tape.fail("c@1#1", failure("no-luck"), None, Usage::default());
    tape
}

/// A reply that is kept, and one that was kept before.
fn cached() -> Tape {
    let text = "
format: 1
name: cached
version: 1
plugins: { p: { builtin: echo } }
state: { seen: { reduce: append } }
nodes:
  a: { agent: p, input: { n: 1 }, cache: { for: 1h, key: visit }, update: { seen: [\"${{ output.n }}\"] }, next: b }
  b: { agent: p, input: { n: 2 }, cache: { for: 2d, scope: run }, update: { seen: [\"${{ output.n }}\"] }, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    done(&mut tape, "a@1#1", Reply { confidence: Some(0.5), ..reply(json!({ "n": 7 })) }, Usage::default());
    let from = CachedFrom { run: "run-0".to_owned(), p: "before@3".parse().unwrap() };
    let id = "b@1#1".parse().unwrap();
    tape.take(Input::Cached { id, reply: reply(json!({ "n": 8 })), from });
    tape
}

/// The host died twice.
fn interrupted() -> Tape {
    let text = "
format: 1
name: interrupted
version: 1
plugins: { p: { builtin: echo } }
nodes: { a: { agent: p, next: end } }
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.take(Input::Interrupted { id: "a@1#1".parse().unwrap() });
    tape.take(Input::Interrupted { id: "a@1#1".parse().unwrap() });
    done_plainly(&mut tape, "a@1#1", json!({ "text": "at last" }));
    tape
}

const ROUTED: &str = "
format: 1
name: routed
version: 1
plugins: { p: { builtin: echo } }
nodes:
  pick: { agent: p, route: { to: { law: again, sales: again }, below: again, default: again } }
  again: { agent: p, route: { to: { law: jump, sales: jump }, default: jump } }
  jump: { agent: p, goto: [last], next: end }
  last: { agent: p, next: end }
";

fn chooses(choices: Vec<Choice>) -> Reply {
    Reply { next: ReplyNext::Choose(choices), ..reply(json!({})) }
}

/// Above and below the threshold, goto, choices that nobody asked for.
fn routes() -> Tape {
    let mut tape = Tape::start(ROUTED, json!({}), None);
    let below = vec![
        choice("law", 0.5, Some("it says so")),
        choice("sales", 0.25, None),
        choice("x", 0.125, Some("why not")),
    ];
    done(
        &mut tape,
        "pick@1#1",
        chooses(below),
        Usage { memory_bytes_max: 1, host_bytes: 1, ..Usage::default() },
    );
    done(
        &mut tape,
        "again@1#1",
        chooses(vec![choice("sales", 0.875, None)]),
        Usage { queued_ms: 1, ..Usage::default() },
    );
    let goto = Reply { next: ReplyNext::Goto("last".to_owned()), ..reply(json!({ "go": true })) };
    done(&mut tape, "jump@1#1", goto, Usage::default());
    done(&mut tape, "last@1#1", chooses(vec![choice("law", 1.0, None)]), Usage::default());
    tape
}

/// No options at all.
fn route_default() -> Tape {
    let mut tape = Tape::start(ROUTED, json!({}), None);
    done(&mut tape, "pick@1#1", chooses(vec![]), Usage::default());
    done(&mut tape, "again@1#1", chooses(vec![choice("law", 0.75, None)]), Usage::default());
    done_plainly(&mut tape, "jump@1#1", json!({ "go": false }));
    tape
}

fn fan(join: &str, rest: &str) -> String {
    format!(
        "
format: 1
name: fan
version: 1
plugins: {{ p: {{ builtin: echo }} }}
state: {{ log: {{ reduce: append }} }}
nodes:
  fan:
    parallel:
      join: {join}
      branches:
        a: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [a] }} }}
        b:
          nodes:
            one: {{ agent: p, retry: {{ strategy: none }}, update: {{ log: [b1] }}, next: two }}
            two: {{ agent: p, retry: {{ strategy: none }}, next: end }}
        c: {{ agent: p, after: [a], retry: {{ strategy: none }}, update: {{ log: [c] }} }}
    {rest}
    next: end
result: {{ out: \"${{{{ output }}}}\", log: \"${{{{ state.log }}}}\" }}
"
    )
}

/// One branch succeeds, one fails, one is skipped.
fn parallel() -> Tape {
    let mut tape = Tape::start(&fan("settle", "timeout: 10m"), json!({}), None);
    tape.fail("fan@1/a@1#1", failure("no-luck"), None, Usage::default());
    done_plainly(&mut tape, "fan@1/b/one@1#1", json!({ "r": 1 }));
    done_plainly(&mut tape, "fan@1/b/two@1#1", json!({ "r": 2 }));
    tape
}

/// The first one is enough; the others are cancelled.
fn join_any() -> Tape {
    let mut tape = Tape::start(&fan("any", ""), json!({}), None);
    done_plainly(&mut tape, "fan@1/a@1#1", json!({ "r": "a" }));
    tape
}

/// Items, two at a time.
fn map() -> Tape {
    let text = "
format: 1
name: mapped
version: 1
plugins: { p: { builtin: echo } }
state: { total: { reduce: sum } }
nodes:
  each:
    map:
      over: input.list
      concurrency: 2
      do: { agent: p, input: { n: \"${{ item }}\" }, retry: { strategy: none }, update: { total: \"${{ item }}\" } }
      result: { was: \"${{ item }}\" }
    next: end
result: { out: \"${{ output.results }}\", total: \"${{ state.total }}\" }
";
    let mut tape = Tape::start(text, json!({ "list": [1, 2, 3] }), None);
    done_plainly(&mut tape, "each@1[1]@1#1", json!({}));
    tape.fail("each@1[0]@1#1", failure("no-luck"), None, Usage::default());
    done_plainly(&mut tape, "each@1[2]@1#1", json!({}));
    tape
}

/// A block whose time is over, and one that fails and ends the run.
fn block_failed() -> Tape {
    let rest = "timeout: 1m\n    on-failure: again";
    let text = fan("all", rest).replace("\nresult:", "\n  again:\n    parallel: { join: all, branches: { x: { agent: p, retry: { strategy: none } } } }\n    next: end\nresult:");
    let mut tape = Tape::start(&text, json!({}), None);
    done_plainly(&mut tape, "fan@1/b/one@1#1", json!({ "r": 1 }));
    tape.until_due();
    tape.fail("again@1/x@1#1", failure("no-luck"), None, Usage::default());
    tape
}

const REVIEWED: &str = "
format: 1
name: reviewed
version: 1
nodes:
  ask:
    stage: review
    review:
      title: Publish?
      reason: It is new.
      propose: { text: draft, n: 1 }
      form: { type: object, properties: { n: { type: integer, maximum: 5 } } }
      reviewers: [\"user:bob\", \"group:editors\"]
      quorum: 2
    approved: again
    rejected: end
  again:
    review: { title: Really?, propose: { n: 2 } }
    approved: end
    rejected: end
";

/// Two approvals with an edit, then a rejection.
fn review() -> Tape {
    let mut tape = Tape::start(REVIEWED, json!({}), None);
    let first = Answer {
        request_id: Some("request-bob".to_owned()),
        comments: "five is better".to_owned(),
        changes: Some(Arc::new(json!({ "n": 5 }))),
        confidence: Some(0.75),
        ..answer(&tape, "bob", Verdict::Approved)
    };
    tape.take(Input::Answer(first));
    let second = Answer { groups: vec!["editors".to_owned()], ..answer(&tape, "eve", Verdict::Approved) };
    tape.take(Input::Answer(second));
    let no = answer(&tape, "joe", Verdict::Rejected);
    tape.take(Input::Answer(no));
    tape
}

/// Nobody answers: once it goes its own way, once it fails.
fn review_expired() -> Tape {
    let text = "
format: 1
name: expired
version: 1
nodes:
  ask:
    review: { title: Publish?, timeout: 1h, on-timeout: { to: again } }
    approved: end
    rejected: end
  again:
    review: { title: Really?, timeout: 1h }
    approved: end
    rejected: end
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.until_due();
    tape.until_due();
    tape
}

/// Whoever the run is for may not approve.
fn review_not_by_self() -> Tape {
    let text = "
format: 1
name: four-eyes
version: 1
nodes:
  ask:
    review: { title: Publish?, self-approval: false }
    approved: end
    rejected: end
";
    let mut tape = Tape::start(text, json!({}), Some("ann"));
    let other = answer(&tape, "bob", Verdict::Approved);
    tape.take(Input::Answer(other));
    tape
}

/// An agent asks, once with everything and once with nothing that may be left out.
fn review_by_agent() -> Tape {
    let text = "
format: 1
name: asked
version: 1
plugins: { p: { builtin: echo } }
nodes:
  a: { agent: p, next: b }
  b: { agent: p, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    let request = ReviewRequest {
        title: "Sure?".to_owned(),
        reason: "It is large.".to_owned(),
        propose: Some(Payload::new(json!({ "n": 1 }))),
        form: Some(Payload::new(json!({ "type": "object" }))),
        timeout_ms: Some(60_000),
        reviewers: vec!["user:bob".to_owned()],
        quorum: 1,
    };
    let asks = |request| Reply { next: ReplyNext::Review(Box::new(request)), ..reply(json!({ "n": 7 })) };
    done(&mut tape, "a@1#1", asks(request), USAGE);
    let yes = answer(&tape, "bob", Verdict::Approved);
    tape.take(Input::Answer(yes));
    let bare = ReviewRequest {
        title: "And this?".to_owned(),
        reason: String::new(),
        propose: None,
        form: None,
        timeout_ms: None,
        reviewers: Vec::new(),
        quorum: 1,
    };
    done(&mut tape, "b@1#1", asks(bare), Usage::default());
    let yes = answer(&tape, "eve", Verdict::Approved);
    tape.take(Input::Answer(yes));
    tape
}

/// A branch that waits for a person when the block has what it needs.
fn review_withdrawn() -> Tape {
    let text = "
format: 1
name: withdrawn
version: 1
plugins: { p: { builtin: echo } }
nodes:
  fan:
    parallel:
      join: any
      branches:
        a: { agent: p }
        b: { review: { title: Publish? } }
    next: end
";
    let mut tape = Tape::start(text, json!({}), None);
    done_plainly(&mut tape, "fan@1/a@1#1", json!({}));
    tape
}

/// A wait, then the workflow's own failure.
fn wait_and_fail() -> Tape {
    let text = "
format: 1
name: waits
version: 1
nodes:
  nap: { wait: { for: 10s }, next: give_up }
  give_up: { fail: { code: nothing-to-do, message: nothing is to be done, data: { n: 1 } } }
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.until_due();
    tape
}

fn cancelled(reason: &str) -> Tape {
    let text = "
format: 1
name: cancelled
version: 1
plugins: { p: { builtin: echo } }
nodes: { a: { agent: p, next: end } }
";
    let mut tape = Tape::start(text, json!({}), None);
    let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
    tape.take(Input::Cancel { by, reason: reason.to_owned() });
    tape
}
