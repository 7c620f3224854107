//! R5.5, R8.1: every verb on runs in every state, on the real binary: it does what it says, or refuses with a reason and
//! leaves the run as it was. The engine's own table is `tests/rules/tests/verbs.rs`.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on stops

mod bandstand;

use bandstand::Folder;
use serde_json::{Value, json};

/// Waits for a person, for a signal, fails or succeeds, as its input says.
const FLOW: &str = "\
format: 1
name: flow
version: 1
thread: { second-run: queue }
input: { type: object, properties: { to: { type: string } } }
nodes:
  first:
    value: {}
    next:
      - { when: \"input.to == 'review'\", to: ask }
      - { when: \"input.to == 'signal'\", to: hear }
      - { when: \"input.to == 'fail'\", to: fail }
      - { to: end }
  ask: { review: { title: Go on? }, approved: end, rejected: end }
  hear: { wait: { signal: go }, next: heard }
  heard: { value: { n: 1 }, next: end }
  fail: { fail: { code: asked-to, message: the input says so } }
";

/// Where a run can stand when somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for people.
    Review,
    /// It waits for a signal.
    Signal,
    /// It waits for its thread, which a run has that waits for people.
    Queued,
    /// Paused while it waits for a signal.
    Paused,
    Succeeded,
    Failed,
    Cancelled,
    Killed,
}

const STATES: [State; 8] = [
    State::Review,
    State::Signal,
    State::Queued,
    State::Paused,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
    State::Killed,
];

/// What becomes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// No event was added.
    AsBefore,
    /// It has more events, and stands so.
    Is(&'static str),
    /// There is no such run any more.
    Gone,
}

/// A verb's exit code, what stderr says, and what becomes of the run.
type Cell = (i32, &'static str, After);

/// A verb: its name, what follows the run's id, and its cell in each of `STATES`. `EVENTS` stands for the number of the
/// run's events.
type Row = (&'static str, &'static [&'static str], [Cell; 8]);

const SUCCEEDED: Cell = (3, "the run has already succeeded", After::AsBefore);
const FAILED: Cell = (3, "the run has already failed", After::AsBefore);
const CANCELLED: Cell = (3, "the run has already been cancelled", After::AsBefore);
const KILLED: Cell = (3, "the run has already been killed", After::AsBefore);

const fn is(code: i32, stderr: &'static str, status: &'static str) -> Cell {
    (code, stderr, After::Is(status))
}

const fn same(code: i32, stderr: &'static str) -> Cell {
    (code, stderr, After::AsBefore)
}

const TABLE: &[Row] = &[
    (
        "pause",
        &[],
        [
            is(0, "paused", "paused"),
            is(0, "paused", "paused"),
            is(0, "paused", "paused"),
            same(0, "was paused before"),
            SUCCEEDED,
            FAILED,
            CANCELLED,
            KILLED,
        ],
    ),
    (
        "resume",
        &[],
        [
            same(4, "was not paused"),
            same(4, "was not paused"),
            same(4, "was not paused"),
            is(4, "resumed", "waiting"),
            SUCCEEDED,
            FAILED,
            CANCELLED,
            KILLED,
        ],
    ),
    (
        "cancel",
        &["--yes"],
        [
            is(0, "cancelled", "cancelled"),
            is(0, "cancelled", "cancelled"),
            is(0, "cancelled", "cancelled"),
            is(0, "cancelled", "cancelled"),
            SUCCEEDED,
            FAILED,
            same(0, "was cancelled before"),
            KILLED,
        ],
    ),
    (
        "kill",
        &["--yes"],
        [
            is(0, "killed", "killed"),
            is(0, "killed", "killed"),
            is(0, "killed", "killed"),
            is(0, "killed", "killed"),
            SUCCEEDED,
            FAILED,
            CANCELLED,
            same(0, "was killed before"),
        ],
    ),
    (
        "signal",
        &["go", "--input", "{\"n\": 1}"],
        [
            is(4, "signal go was sent", "waiting"),
            is(0, "signal go was sent", "succeeded"),
            is(4, "signal go was sent", "waiting"),
            is(4, "is paused", "paused"),
            SUCCEEDED,
            FAILED,
            CANCELLED,
            KILLED,
        ],
    ),
    (
        "retry",
        &[],
        [
            same(3, "it is waiting; only a failed run is retried"),
            same(3, "it is waiting; only a failed run is retried"),
            same(3, "it is waiting; only a failed run is retried"),
            same(3, "it is paused; only a failed run is retried"),
            same(3, "it is succeeded; only a failed run is retried"),
            // Its `fail` node is reached again.
            is(1, "run retried by tester", "failed"),
            same(3, "it is cancelled; only a failed run is retried"),
            same(3, "it is killed; only a failed run is retried"),
        ],
    ),
    (
        "rerun",
        &[],
        [
            same(4, "waits for 1 review"),
            same(4, "waits for 1 signal"),
            same(4, "waits for its thread"),
            same(4, "waits for 1 signal"),
            same(0, "run succeeded"),
            same(1, "run failed"),
            same(4, "waits for 1 signal"),
            same(4, "waits for 1 signal"),
        ],
    ),
    // A run can be left before any of its nodes, however it ended.
    (
        "fork",
        &["--from", "first"],
        [
            same(4, "goes on from event"),
            same(4, "goes on from event"),
            same(3, "first"),
            same(4, "goes on from event"),
            same(0, "goes on from event"),
            same(1, "goes on from event"),
            same(4, "goes on from event"),
            same(4, "goes on from event"),
        ],
    ),
    // Where it is now, it can be left if it goes on there.
    (
        "fork",
        &["--from", "EVENTS"],
        [
            same(4, "waits for 1 review"),
            same(4, "waits for 1 signal"),
            same(4, "waits for its thread"),
            same(4, "waits for 1 signal"),
            same(3, "the run had succeeded by then; name an earlier event"),
            same(3, "the run had failed by then; name an earlier event"),
            same(3, "the run had been cancelled by then; name an earlier event"),
            same(3, "the run had been killed by then; name an earlier event"),
        ],
    ),
    ("replay", &[], [same(0, ""); 8]),
    ("export", &["--output", "run.ndjson"], [same(0, "is in run.ndjson"); 8]),
    (
        "delete",
        &["--yes"],
        [
            same(3, "has not ended: it is waiting"),
            same(3, "has not ended: it is waiting"),
            same(3, "has not ended: it is waiting"),
            same(3, "has not ended: it is paused"),
            (0, "is deleted", After::Gone),
            (0, "is deleted", After::Gone),
            (0, "is deleted", After::Gone),
            (0, "is deleted", After::Gone),
        ],
    ),
];

/// A new run that stands so.
fn run_in(folder: &Folder, state: State) -> String {
    let (to, code) = match state {
        State::Review => ("review", 4),
        State::Signal | State::Queued | State::Paused | State::Cancelled | State::Killed => ("signal", 4),
        State::Succeeded => ("end", 0),
        State::Failed => ("fail", 1),
    };
    let input = json!({ "to": to }).to_string();
    let mut args = vec!["run", "flow.yaml", "--json", "--no-ask", "--input", &input];
    if state == State::Queued {
        args.extend(["--thread", "t"]);
        if folder.call(&["runs", "list", "--json"]).stdout.is_empty() {
            // The one that has the thread, all the time.
            folder
                .call(&["run", "flow.yaml", "--no-ask", "--thread", "t", "--input", "{\"to\": \"review\"}"])
                .expect(4, &[]);
        }
    }
    let outcome = folder.call(&args);
    let run = outcome.expect(code, &[]).last()["run_id"].as_str().unwrap().to_owned();
    let ask = |args: &[&str]| drop(folder.call(args).expect(0, &[]));
    match state {
        State::Review | State::Signal | State::Queued | State::Succeeded | State::Failed => {}
        State::Paused => ask(&["runs", "pause", &run]),
        State::Cancelled => ask(&["runs", "cancel", "--yes", &run]),
        State::Killed => ask(&["runs", "kill", "--yes", &run]),
    }
    run
}

/// What of a run a verb for another run must leave alone.
fn stands(folder: &Folder, run: &str) -> (String, u64, Value) {
    let shown = folder.call(&["runs", "show", run, "--json"]).expect(0, &[]).json();
    let (status, events) = (shown["status"].as_str().unwrap(), shown["events"].as_u64().unwrap());
    (status.to_owned(), events, shown["result"].clone())
}

fn column(state: State) {
    let folder = Folder::new();
    folder.write("flow.yaml", FLOW);
    let index = STATES.iter().position(|other| *other == state).unwrap();
    let mut run = run_in(&folder, state);
    let mut before = stands(&folder, &run);
    for (verb, more, cells) in TABLE {
        let (code, stderr, after) = cells[index];
        let case = format!("{verb} {} on a run that is {state:?}", more.join(" "));
        let events = before.1.to_string();
        let more = more.iter().map(|arg| if *arg == "EVENTS" { events.as_str() } else { arg });
        let args: Vec<&str> = ["runs", verb, &run].into_iter().chain(more).collect();
        let ended = folder.call(&args);
        assert!(
            ended.code == code && ended.stderr.contains(stderr),
            "{case}: not {code}, {stderr:?}: {ended:#?}"
        );
        match after {
            After::AsBefore => {
                assert_eq!(stands(&folder, &run), before, "{case}");
                continue;
            }
            After::Is(status) => {
                let (now, events, _) = stands(&folder, &run);
                assert_eq!(now, status, "{case}");
                assert!(events > before.1, "{case}");
            }
            After::Gone => drop(folder.call(&["runs", "show", &run]).expect(3, &["no run's id begins with"])),
        }
        run = run_in(&folder, state);
        before = stands(&folder, &run);
    }
}

// R5.5, R8.1
#[test]
fn every_verb_in_every_state_does_what_it_says_or_refuses_with_a_reason() {
    std::thread::scope(|scope| {
        for state in STATES {
            scope.spawn(move || column(state));
        }
    });
}
