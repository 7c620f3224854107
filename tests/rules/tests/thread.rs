//! R5.8: what a run begins with from its thread and leaves to it, and how it waits until the thread is its own. Who that is
//! decides the host; the table says it to the engine.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use bandstand_engine::event::Lease;
use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::run::{ForkError, ThreadNow, Waiting};
use bandstand_engine::{Class, Event, Input, Outcome, Status};
use bandstand_rules::{Table, graph, kept, permanent};
use serde_json::{Value, json};

const CHAT: &str = "
format: 1
name: chat
version: 1
timeout: 1h
thread: { second-run: queue }
plugins: { p: { builtin: echo } }
input: { type: object, properties: { n: { type: integer } } }
state:
  log: { reduce: append, keep: thread, schema: { type: array, items: { type: integer } } }
  topic: { reduce: replace, keep: thread, initial: \"first ${{ input.n }}\" }
  own: { reduce: sum }
nodes:
  hear: { update: { log: [\"${{ input.n }}\"], own: 1 }, next: work }
  work: { agent: p, input: { log: \"${{ state.log }}\" }, retry: { strategy: none }, next: ask }
  ask: { review: { title: \"Good?\" }, approved: tell, rejected: end }
  tell: { agent: p, retry: { strategy: none }, update: { log: [0] }, next: end }
result: \"${{ state.log }}\"
";

fn free(values: &[(&str, Value)]) -> ThreadNow {
    ThreadNow::Free(kept(values))
}

fn chat(n: u32, thread: ThreadNow) -> Table {
    Table::start_in(CHAT, json!({ "n": n }), thread).unwrap()
}

fn approve(table: &mut Table) {
    let review = table.review();
    let answer = table.answer(&review, "bob", Approved);
    table.handle(Input::Answer(answer)).unwrap();
}

fn lease(table: &Table) -> Option<Lease> {
    table.run.started().lease
}

// R5.8
#[test]
fn a_run_begins_with_what_its_thread_keeps_else_with_initial() {
    let first = chat(1, free(&[]));
    assert_eq!(first.state()["topic"], json!("first 1"));
    assert_eq!(first.input_of("work@1#1"), json!({ "log": [1] }));
    assert_eq!((lease(&first), first.run.started().kept.len()), (Some(Lease::Held), 0));
    let next =
        chat(2, free(&[("log", json!([7])), ("topic", json!("t")), ("own", json!(9)), ("gone", json!(1))]));
    assert_eq!(
        next.state(),
        [("log", json!([7, 2])), ("own", json!(1)), ("topic", json!("t"))]
            .map(|(k, v)| (k.to_owned(), v))
            .into()
    );
    assert_eq!(next.run.started().kept, ["log", "topic"]);
    assert_eq!(next.rows.len(), 1, "a free thread costs no decision more");
    assert_eq!(next.run.leased_thread(), Some(("chat", "t-1")));
}

// R5.8: nothing is written while it runs; when it starts to wait, what the thread does not have; at its end, what changed.
#[test]
fn it_leaves_its_values_when_it_waits_and_when_it_succeeds() {
    let mut table = chat(2, free(&[("log", json!([1]))]));
    assert_eq!(table.written(), None);
    table.done("work@1#1", json!({}));
    assert_eq!(table.run.status(), Status::Waiting);
    // `topic` began with `initial`, which is evaluated once in a thread.
    let all = [("log".to_owned(), json!([1, 2])), ("topic".to_owned(), json!("first 2"))];
    assert_eq!(table.written(), Some(all.into()));
    approve(&mut table);
    table.done("tell@1#1", json!({}));
    assert_eq!(table.output(), json!([1, 2, 0]));
    assert_eq!(table.written(), Some([("log".to_owned(), json!([1, 2, 0]))].into()));
    let names = table.names();
    assert_eq!(names[names.len() - 2..], ["thread.written", "run.succeeded"]);
    assert_eq!(table.count("thread.written"), 2);
}

// R5.8: a retry that waits is waiting; nothing that the thread has is written again.
#[test]
fn a_run_that_changed_nothing_writes_nothing_more() {
    let text = &CHAT.replace("retry: { strategy: none }", "retry: { strategy: fixed, base-delay: 1s }");
    let mut table = Table::start_in(text, json!({ "n": 1 }), free(&[])).unwrap();
    table.fail("work@1#1", bandstand_rules::recoverable());
    assert_eq!((table.run.status(), table.count("thread.written")), (Status::Waiting, 1));
    table.pass(1_000);
    table.fail("work@1#2", bandstand_rules::recoverable());
    assert_eq!((table.run.status(), table.count("thread.written")), (Status::Waiting, 1));
}

// R5.8: a failed, cancelled or killed run writes nothing more.
#[test]
fn a_run_that_ends_otherwise_writes_nothing() {
    let mut failed = chat(1, free(&[]));
    failed.fail("work@1#1", permanent());
    let mut cancelled = chat(1, free(&[]));
    cancelled.cancel().unwrap();
    let mut killed = chat(1, free(&[]));
    killed.kill().unwrap();
    for table in [failed, cancelled, killed] {
        assert!(table.run.status().is_ended());
        assert_eq!(table.written(), None);
    }
}

// R5.8: without a thread's part, as a child run or a run without `--thread`: the channels are the run's own.
#[test]
fn without_a_thread_nothing_is_kept() {
    let mut table = Table::start(CHAT, json!({ "n": 1 }));
    table.done("work@1#1", json!({}));
    approve(&mut table);
    table.done("tell@1#1", json!({}));
    assert_eq!(table.output(), json!([1, 0]));
    assert_eq!((lease(&table), table.written(), table.run.leased_thread()), (None, None, None));
}

// R5.8, section 7: a value that breaks the schema fails the start, naming the channel.
#[test]
fn a_value_that_no_longer_fits_fails_the_start_and_names_the_channel() {
    let error = Table::start_in(CHAT, json!({ "n": 1 }), free(&[("log", json!(["text"]))]))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("channel `log`") && error.contains("breaks its schema") && error.contains("`t-1`"),
        "{error}"
    );
    let error =
        Table::start_in(CHAT, json!({ "n": 1 }), free(&[("log", json!(5))])).err().unwrap().to_string();
    assert!(error.contains("channel `log`") && error.contains("`append`"), "{error}");
    // A run that waited for its thread is recorded already: it fails.
    let mut table = chat(1, ThreadNow::Taken);
    table.enter(&[("log", json!(["text"]))]);
    assert_eq!(table.failed(), (Class::State, "bad-value".to_owned()));
    assert!(table.run.error().unwrap().failure.message.contains("channel `log`"), "{:?}", table.run.error());
    assert_eq!(table.written(), None);
}

// R5.8: a queued run stands still, without a deadline, until its thread is its own.
#[test]
fn a_queued_run_waits_and_then_begins_with_what_the_thread_has() {
    let mut table = chat(3, ThreadNow::Taken);
    assert_eq!((table.run.status(), table.names()), (Status::Waiting, vec!["run.started"]));
    assert_eq!((table.owed(), table.run.next_deadline()), (vec![], None));
    let waits = Waiting::Thread { thread_id: "t-1".to_owned(), since: table.now };
    assert_eq!(table.run.waiting(), [waits]);
    // The hours in the queue are not those of its `timeout`.
    assert_eq!(table.pass(100 * 3_600_000).outcome, Outcome::Unchanged);
    assert_eq!(table.written(), None);
    table.enter(&[("log", json!([1, 2])), ("topic", json!("t"))]);
    assert_eq!(table.input_of("work@1#1"), json!({ "log": [1, 2, 3] }));
    assert_eq!(table.state()["topic"], json!("t"));
    assert_eq!(table.run.next_deadline(), Some(table.now.plus_ms(3_600_000)));
    assert_eq!(table.enter(&[("log", json!([9]))]).outcome, Outcome::Unchanged);
    table.done("work@1#1", json!({}));
    assert_eq!(table.written(), Some([("log".to_owned(), json!([1, 2, 3]))].into()));
}

// R5.5, R5.8: what is paused in the queue gets its thread in its turn, and goes on when it is resumed.
#[test]
fn a_paused_run_enters_its_thread_and_goes_on_when_it_is_resumed() {
    let mut table = chat(3, ThreadNow::Taken);
    table.pause().unwrap();
    table.enter(&[("log", json!([1]))]);
    assert_eq!((table.run.status(), table.owed()), (Status::Paused, vec![]));
    table.resume().unwrap();
    assert_eq!(table.input_of("work@1#1"), json!({ "log": [1, 3] }));
}

// R5.5, R5.8: a fork keeps the values of its point, also when others have written since.
#[test]
fn a_fork_keeps_the_values_of_its_point() {
    let mut table = chat(1, free(&[("log", json!([7]))]));
    table.done("work@1#1", json!({}));
    let graph = graph(CHAT);
    let fork = |thread| table.fork_in(graph.clone(), table.run.seq(), &[], Some(thread)).unwrap();
    let mut at_once = fork(free(&[("log", json!([7, 1, 99]))]));
    let mut queued = fork(ThreadNow::Taken);
    assert_eq!((queued.run.status(), queued.run.open_reviews().len()), (Status::Waiting, 0));
    queued.pass(10 * 3_600_000);
    queued.enter(&[("log", json!([7, 1, 99]))]);
    for fork in [&mut at_once, &mut queued] {
        assert_eq!(fork.run.open_reviews().len(), 1);
        approve(fork);
        fork.done("tell@1#1", json!({}));
        assert_eq!(fork.output(), json!([7, 1, 0]));
        assert_eq!(fork.written().unwrap()["log"], json!([7, 1, 0]));
    }
}

// R5.5, R5.8: a point of a run that had not its thread yet is its beginning.
#[test]
fn a_fork_of_a_run_that_waits_for_its_thread_begins_with_what_the_thread_has() {
    let table = chat(1, ThreadNow::Taken);
    let graph = graph(CHAT);
    let values = [("log", json!([7]))];
    let at_once = table.fork_in(graph.clone(), 1, &[], Some(free(&values))).unwrap();
    assert_eq!(at_once.input_of("work@1#1"), json!({ "log": [7, 1] }));
    let mut queued = table.fork_in(graph.clone(), 1, &[], Some(ThreadNow::Taken)).unwrap();
    queued.enter(&values);
    assert_eq!(queued.input_of("work@1#1"), json!({ "log": [7, 1] }));
    let edited = table.fork_in(graph, 1, &[("state.log", json!([5]))], Some(ThreadNow::Taken));
    assert!(matches!(edited, Err(ForkError::Edit { .. })), "an edit that the thread would undo is refused");
}

// R5.5, R5.8: a retry goes on with the values that the run had, when the thread is its own again.
#[test]
fn a_retry_waits_for_its_thread_and_goes_on_where_it_failed() {
    let mut table = chat(1, free(&[("log", json!([7]))]));
    table.fail("work@1#1", permanent());
    table.now = table.now.plus_ms(60_000);
    table.retry_in(Some(ThreadNow::Taken)).unwrap();
    assert_eq!(
        (table.run.status(), table.owed(), table.run.next_deadline()),
        (Status::Waiting, vec![], None)
    );
    table.now = table.now.plus_ms(60_000);
    table.enter(&[("log", json!([7, 99]))]);
    assert_eq!(table.owed_text(), ["work@1#2"]);
    assert_eq!(table.input_of("work@1#2"), json!({ "log": [7, 1] }));
    table.done("work@1#2", json!({}));
    assert_eq!(table.written().unwrap()["log"], json!([7, 1]));
    // Cancelled in the queue, it ends in order: what lay at its point is not at work.
    let mut table = chat(1, free(&[]));
    table.fail("work@1#1", permanent());
    table.retry_in(Some(ThreadNow::Taken)).unwrap();
    table.cancel().unwrap();
    assert_eq!((table.run.status(), table.run.waits_for_thread()), (Status::Cancelled, None));
    assert_eq!(table.enter(&[]).outcome, Outcome::Unchanged);
}

// R5.8: a run that failed because of what its thread kept begins when it is retried.
#[test]
fn a_run_that_failed_before_it_had_its_thread_begins_when_it_is_retried() {
    for later in [false, true] {
        let mut table = chat(1, ThreadNow::Taken);
        table.enter(&[("log", json!(["text"]))]);
        assert_eq!(table.run.status(), Status::Failed);
        let values = [("log", json!([7]))];
        if later {
            table.retry_in(Some(ThreadNow::Taken)).unwrap();
            assert_eq!(table.run.status(), Status::Waiting);
            table.enter(&values);
        } else {
            table.retry_in(Some(free(&values))).unwrap();
        }
        assert_eq!(table.input_of("work@1#1"), json!({ "log": [7, 1] }));
        let entered = table.journal.iter().find_map(|(_, event)| match event {
            Event::ThreadEntered(e) => Some(e.values.len()),
            _ => None,
        });
        assert_eq!(entered, Some(1));
    }
}

// R5.1, R5.8: in a branch a thread's channel is as the run's: operations are joined.
#[test]
fn branches_join_a_threads_channel() {
    let text = "
format: 1
name: fan
version: 1
state: { log: { reduce: append, keep: thread } }
nodes:
  fan:
    parallel:
      branches:
        a: { value: 1, update: { log: [a] } }
        b: { wait: { for: 1h }, update: { log: [b] } }
    next: end
";
    let mut table = Table::start_in(text, json!({}), free(&[("log", json!(["x"]))])).unwrap();
    assert_eq!(
        (table.run.status(), table.written()),
        (Status::Waiting, None),
        "the branch's write is not joined yet"
    );
    table.pass(3_600_000);
    assert_eq!(table.written(), Some([("log".to_owned(), json!(["x", "a", "b"]))].into()));
}
