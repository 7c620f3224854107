//! Scenarios of what people ask of whole runs: to pause, resume, kill, retry, do again, fork and signal them.

use std::sync::Arc;

use bandstand_engine::input::{ActorKind, By, Usage};
use bandstand_engine::run::{Edit, NewRun, ThreadNow};
use bandstand_engine::{Input, Signal};
use bandstand_rules::kept;
use serde_json::{Value, json};

use crate::scenarios::{done_plainly, failure};
use crate::tape::Tape;

/// Every scenario by the name of its fixture.
pub(crate) fn all() -> Vec<(&'static str, Tape)> {
    vec![
        ("paused", paused()),
        ("paused-in-review", paused_in_review()),
        ("killed", killed("enough")),
        ("killed-without-reason", killed("")),
        ("rerun", rerun()),
        ("signals", signals()),
        ("signal-expired", signal_expired()),
        ("checkpoints", checkpoints()),
        ("forked", forked()),
        ("forked-with-edits", forked_with_edits()),
        ("forked-with-signal", forked_with_signal()),
        ("retried", retried()),
        ("retried-in-block", retried_in_block()),
        ("retried-in-map", retried_in_map()),
        ("by-others", by_others()),
        ("delayed", delayed("1h")),
        ("delayed-without-timeout", delayed("none")),
        ("thread", thread()),
        ("thread-queued", thread_queued()),
        ("thread-forked", thread_forked()),
        ("thread-retried", thread_retried()),
    ]
}

fn ann() -> By {
    By { kind: ActorKind::Person, id: "ann".to_owned() }
}

fn pause(tape: &mut Tape, reason: &str) {
    tape.take(Input::Pause { by: ann(), reason: reason.to_owned() });
}

fn resume(tape: &mut Tape, reason: &str) {
    tape.take(Input::Resume { by: ann(), reason: reason.to_owned() });
}

fn signal(tape: &mut Tape, number: u32, name: &str, data: Value, request: Option<&str>) {
    tape.take(Input::Signal(Signal {
        signal_id: format!("signal-{number}"),
        name: name.to_owned(),
        data: Arc::new(data),
        by: ann(),
        request_id: request.map(str::to_owned),
    }));
}

/// What a caller over HTTP says of a run: its request's digest, who else began it, and the span that led to it.
fn by_others() -> Tape {
    const LINE: &str = "format: 1\nname: line\nversion: 1\nnodes: { a: { wait: { for: 1s }, next: end } }\n";
    let mut tape = Tape::start_as(bandstand_rules::graph(LINE), |new| NewRun {
        user_id: Some("ann".to_owned()),
        request_id: Some("http:1".to_owned()),
        request_digest: Some("00ff".to_owned()),
        starters: vec!["bob".to_owned()],
        linked: vec!["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".to_owned()],
        ..new
    });
    tape.until_due();
    tape
}

/// It is to begin later: a signal comes meanwhile, and the time that it has counts from its beginning.
fn delayed(timeout: &str) -> Tape {
    const HEARS: &str = "
format: 1
name: hears
version: 1
timeout: 1h
plugins: { p: { builtin: echo } }
nodes:
  hear: { wait: { signal: go, timeout: 1d }, next: a }
  a: { agent: p, next: end }
";
    let text = match timeout {
        "none" => HEARS.replace("timeout: 1h\n", ""),
        timeout => HEARS.replace("timeout: 1h", &format!("timeout: {timeout}")),
    };
    let mut tape = Tape::start_later(&text, 86_400_000);
    signal(&mut tape, 1, "go", json!({ "n": 1 }), None);
    tape.until_due();
    done_plainly(&mut tape, "a@1#1", json!({}));
    tape
}

const KEEPS: &str = "
format: 1
name: keeps
version: 1
thread: { second-run: queue }
timeout: 1d
plugins: { p: { builtin: echo } }
state:
  log: { reduce: append, keep: thread }
  topic: { reduce: replace, keep: thread, initial: none }
nodes:
  a: { agent: p, retry: { strategy: none }, update: { log: [a] }, next: nap }
  nap: { wait: { for: 10s }, next: b }
  b: { agent: p, retry: { strategy: none }, update: { log: [b], topic: b }, next: end }
";

/// The thread is free: the run begins with what it keeps, and leaves to it what it wrote, at its wait and at its end.
fn thread() -> Tape {
    let mut tape = Tape::start_in(KEEPS, ThreadNow::Free(kept(&[("log", json!(["x"]))])));
    done_plainly(&mut tape, "a@1#1", json!({}));
    tape.until_due();
    done_plainly(&mut tape, "b@1#1", json!({}));
    tape
}

/// Another run has the thread; what that left is what this one begins with.
fn thread_queued() -> Tape {
    let mut tape = Tape::start_in(KEEPS, ThreadNow::Taken);
    tape.take(Input::Enter(kept(&[("log", json!(["y"])), ("topic", json!("t"))])));
    done_plainly(&mut tape, "a@1#1", json!({}));
    tape
}

/// A fork that waits for its thread goes on from its point.
fn thread_forked() -> Tape {
    let mut first = Tape::start_in(KEEPS, ThreadNow::Free(kept(&[])));
    done_plainly(&mut first, "a@1#1", json!({}));
    let mut tape = first.fork_queued(first.run.seq());
    tape.take(Input::Enter(kept(&[("log", json!(["not this"]))])));
    tape.until_due();
    done_plainly(&mut tape, "b@1#1", json!({}));
    tape
}

/// A failed run that waits for its thread; then one that failed before it had its thread.
fn thread_retried() -> Tape {
    let text = &KEEPS.replace("timeout: 1d\n", "");
    let mut tape = Tape::start_in(text, ThreadNow::Taken);
    tape.take(Input::Enter(kept(&[("log", json!("no list"))])));
    tape.retry_in(None, Some(ThreadNow::Taken));
    tape.take(Input::Enter(kept(&[])));
    tape.fail("a@1#1", failure("no"), None, Usage::default());
    tape.retry_in(None, Some(ThreadNow::Taken));
    tape.take(Input::Enter(kept(&[("log", json!(["not this"]))])));
    done_plainly(&mut tape, "a@1#2", json!({}));
    tape.until_due();
    tape.fail("b@1#1", failure("no"), None, Usage::default());
    tape.retry_in(None, Some(ThreadNow::Free(kept(&[("log", json!(["nor this"]))]))));
    done_plainly(&mut tape, "b@1#2", json!({}));
    tape
}

const PAIR: &str = "
format: 1
name: pair
version: 1
plugins: { p: { builtin: echo } }
state: { total: { reduce: sum, initial: 0 } }
nodes:
  a: { agent: p, update: { total: 1 }, next: b }
  b: { agent: p, input: { total: \"${{ state.total }}\" }, retry: { strategy: none }, next: end }
";

/// Once with what is in flight ending meanwhile, once with nothing happening; with and without reasons.
fn paused() -> Tape {
    let mut tape = Tape::start(PAIR, json!({}), None);
    pause(&mut tape, "too hot");
    done_plainly(&mut tape, "a@1#1", json!({}));
    resume(&mut tape, "");
    pause(&mut tape, "");
    resume(&mut tape, "cool again");
    done_plainly(&mut tape, "b@1#1", json!({}));
    tape
}

/// A paused run's deadlines hold.
fn paused_in_review() -> Tape {
    let text = "
format: 1
name: held
version: 1
nodes:
  ask: { review: { title: Publish?, timeout: 1h, on-timeout: approve }, approved: late, rejected: end }
  late: { wait: { for: 10s }, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    pause(&mut tape, "");
    tape.until_due();
    resume(&mut tape, "");
    tape.until_due();
    tape
}

fn killed(reason: &str) -> Tape {
    let mut tape = Tape::start(PAIR, json!({}), None);
    tape.take(Input::Kill { by: ann(), reason: reason.to_owned() });
    tape
}

/// A run that does another one again.
fn rerun() -> Tape {
    let text = "
format: 1
name: again
version: 1
nodes: { a: { value: { n: 1 }, next: end } }
";
    Tape::rerun(text, "run-1")
}

const HEARING: &str = "
format: 1
name: hearing
version: 1
nodes:
  nap: { wait: { for: 10s }, next: hear }
  hear: { wait: { signal: go }, next: [{ when: visit < 2, to: hear }, { to: end }] }
result: { n: \"${{ nodes.hear.output.n }}\" }
";

/// One signal that comes before its wait, one that is awaited.
fn signals() -> Tape {
    let mut tape = Tape::start(HEARING, json!({}), None);
    signal(&mut tape, 1, "go", json!({ "n": 1 }), Some("request-1"));
    tape.until_due();
    signal(&mut tape, 2, "go", json!({ "n": 2 }), None);
    tape
}

/// Nobody signals: once it goes its own way, once it fails.
fn signal_expired() -> Tape {
    let text = "
format: 1
name: unheard
version: 1
nodes:
  hear: { wait: { signal: go, timeout: 1h, on-timeout: { to: again } }, next: end }
  again: { wait: { signal: go, timeout: 1h }, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.until_due();
    tape.until_due();
    tape
}

/// Two visits of a node with a checkpoint.
fn checkpoints() -> Tape {
    let text = "
format: 1
name: marked
version: 1
nodes:
  a: { value: { n: \"${{ visit }}\" }, checkpoint: counted, next: [{ when: visit < 2, to: a }, { to: b }] }
  b: { wait: { for: 10s }, checkpoint: rested, next: end }
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.until_due();
    tape
}

/// An attempt is owed at the point.
fn forked() -> Tape {
    let mut tape = Tape::start(PAIR, json!({}), None);
    done_plainly(&mut tape, "a@1#1", json!({}));
    let mut fork = tape.fork(Vec::new());
    done_plainly(&mut fork, "b@1#1", json!({}));
    fork
}

/// A block with a wait and a review under way; values of the state and the input are others.
fn forked_with_edits() -> Tape {
    let text = "
format: 1
name: sides
version: 1
input: { type: object, properties: { word: { type: string } } }
plugins: { p: { builtin: echo } }
state: { total: { reduce: sum, initial: 1 } }
nodes:
  fan:
    parallel:
      branches:
        ask: { review: { title: Publish?, timeout: 1h } }
        rest: { wait: { for: 1m } }
    timeout: 2h
    next: last
  last: { value: { word: \"${{ input.word }}\", total: \"${{ state.total }}\" }, next: end }
";
    let tape = Tape::start(text, json!({ "word": "one" }), None);
    let edit = |path: &str, value| Edit { path: path.parse().unwrap(), value };
    let mut fork = tape.fork(vec![edit("state.total", json!(7)), edit("input.word", json!("two"))]);
    fork.until_due();
    fork
}

/// A signal that no wait had taken goes with the fork.
fn forked_with_signal() -> Tape {
    let mut tape = Tape::start(HEARING, json!({}), None);
    signal(&mut tape, 1, "go", json!({ "n": 1 }), None);
    let mut fork = tape.fork(Vec::new());
    fork.until_due();
    fork
}

/// Retried twice: by a request and without one.
fn retried() -> Tape {
    let mut tape = Tape::start(PAIR, json!({}), None);
    done_plainly(&mut tape, "a@1#1", json!({}));
    tape.fail("b@1#1", failure("no-luck"), None, Usage::default());
    tape.retry(Some("request-retry"));
    tape.fail("b@1#2", failure("no-luck"), None, Usage::default());
    tape.retry(None);
    done_plainly(&mut tape, "b@1#3", json!({}));
    tape
}

/// A branch that failed and one that the join cancelled, in a run with a deadline.
fn retried_in_block() -> Tape {
    let text = "
format: 1
name: fan
version: 1
timeout: 1h
plugins: { p: { builtin: echo } }
nodes:
  fan:
    parallel:
      join: all
      branches:
        x: { agent: p, retry: { strategy: none } }
        y: { agent: p, retry: { strategy: none } }
    next: end
";
    let mut tape = Tape::start(text, json!({}), None);
    tape.fail("fan@1/x@1#1", failure("no-luck"), None, Usage::default());
    tape.retry(None);
    done_plainly(&mut tape, "fan@1/y@1#2", json!({}));
    done_plainly(&mut tape, "fan@1/x@1#2", json!({}));
    tape
}

/// Items that had failed, of which a map opens one after the other.
fn retried_in_map() -> Tape {
    let text = "
format: 1
name: each
version: 1
plugins: { p: { builtin: echo } }
nodes:
  each:
    map:
      over: \"[1, 2, 3]\"
      concurrency: 1
      do: { agent: p, timeout: 10s, deadline: 1m, retry: { strategy: none } }
    next: end
";
    let mut tape = Tape::start(text, json!({}), None);
    for item in 0..3 {
        tape.fail(&format!("each@1[{item}]@1#1"), failure("no-luck"), None, Usage::default());
    }
    tape.retry(None);
    for item in 0..3 {
        done_plainly(&mut tape, &format!("each@1[{item}]@1#2"), json!({ "item": item }));
    }
    tape
}
