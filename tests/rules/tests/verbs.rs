//! R5.5: every verb on a run in every state either does what it says or refuses with a reason. The table is the whole cross
//! product; a new verb or state does not compile before it says what is expected of it.

use bandstand_engine::input::Verdict::Approved;
use bandstand_engine::{Decision, Input, Outcome, Rejected, Status};
use bandstand_rules::{Table, permanent, recoverable};
use serde_json::json;

/// Where a run can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// An attempt is owed.
    Running,
    /// A retry waits for its time.
    Retry,
    /// A `wait` waits for its time.
    Time,
    /// A review waits for people.
    Review,
    /// A `wait` waits for a signal.
    Signal,
    /// Paused with an attempt owed.
    Paused,
    /// Paused, and a retry would be due.
    PausedInRetry,
    /// Paused, and a review waits.
    PausedInReview,
    Succeeded,
    Failed,
    Cancelled,
    Killed,
}

const STATES: [State; 12] = [
    State::Running,
    State::Retry,
    State::Time,
    State::Review,
    State::Signal,
    State::Paused,
    State::PausedInRetry,
    State::PausedInReview,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
    State::Killed,
];

/// What a person can ask of a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Pause,
    Resume,
    Cancel,
    Kill,
    /// A signal that the workflow waits for somewhere.
    Signal,
}

const VERBS: [Verb; 5] = [Verb::Pause, Verb::Resume, Verb::Cancel, Verb::Kill, Verb::Signal];

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It does what it says; the run stands so then.
    Does(Status),
    /// It has come true already.
    Unchanged,
    /// It is refused, in these words.
    Refused(&'static str),
}

const FLOW: &str = "
format: 1
name: flow
version: 1
input: { type: object, properties: { to: { type: string } } }
plugins: { p: { path: p.wasm } }
nodes:
  first:
    value: {}
    next:
      - { when: \"input.to == 'wait'\", to: pause }
      - { when: \"input.to == 'review'\", to: ask }
      - { when: \"input.to == 'signal'\", to: hear }
      - { to: work }
  pause: { wait: { for: 1h }, next: work }
  ask: { review: { title: \"Go on?\" }, approved: work, rejected: end }
  hear: { wait: { signal: go }, next: work }
  work: { agent: p, retry: { strategy: fixed, base-delay: 10s }, next: end }
";

fn at(to: &str) -> Table {
    Table::start(FLOW, json!({ "to": to }))
}

fn in_state(state: State) -> Table {
    let mut table = match state {
        State::Time => at("wait"),
        State::Review | State::PausedInReview => at("review"),
        State::Signal => at("signal"),
        _ => at("work"),
    };
    if matches!(state, State::Retry | State::PausedInRetry) {
        table.fail("work@1#1", recoverable());
    }
    match state {
        State::Running | State::Retry | State::Time | State::Review | State::Signal => {}
        State::Paused | State::PausedInReview => drop(table.pause().unwrap()),
        State::PausedInRetry => {
            drop(table.pause().unwrap());
            table.pass(60_000);
        }
        State::Succeeded => table.done("work@1#1", json!({})),
        State::Failed => table.fail("work@1#1", permanent()),
        State::Cancelled => drop(table.cancel().unwrap()),
        State::Killed => drop(table.kill().unwrap()),
    }
    table
}

fn status(state: State) -> Status {
    match state {
        State::Running => Status::Running,
        State::Retry | State::Time | State::Review | State::Signal => Status::Waiting,
        State::Paused | State::PausedInRetry | State::PausedInReview => Status::Paused,
        State::Succeeded => Status::Succeeded,
        State::Failed => Status::Failed,
        State::Cancelled => Status::Cancelled,
        State::Killed => Status::Killed,
    }
}

fn ask(table: &mut Table, verb: Verb) -> Result<Decision, Rejected> {
    match verb {
        Verb::Pause => table.pause(),
        Verb::Resume => table.resume(),
        Verb::Cancel => table.cancel(),
        Verb::Kill => table.kill(),
        Verb::Signal => table.signal_by("the same", "go", json!({ "n": 1 })),
    }
}

fn expected(verb: Verb, state: State) -> Expected {
    use Expected::{Does, Refused, Unchanged};
    match (verb, state) {
        (Verb::Cancel, State::Cancelled) | (Verb::Kill, State::Killed) => Unchanged,
        (Verb::Signal, State::Signal) => Does(Status::Running),
        (Verb::Signal, State::Running | State::Paused) => Does(status(state)),
        (Verb::Signal, State::Retry | State::Time | State::Review) => Does(Status::Waiting),
        (Verb::Signal, State::PausedInRetry | State::PausedInReview) => Does(Status::Paused),
        (_, State::Succeeded) => Refused("the run has already succeeded"),
        (_, State::Failed) => Refused("the run has already failed"),
        (_, State::Cancelled) => Refused("the run has already been cancelled"),
        (_, State::Killed) => Refused("the run has already been killed"),
        (Verb::Pause, State::Paused | State::PausedInRetry | State::PausedInReview) => Unchanged,
        (Verb::Pause, State::Running | State::Retry | State::Time | State::Review | State::Signal) => {
            Does(Status::Paused)
        }
        (Verb::Resume, State::Paused) => Does(Status::Running),
        (Verb::Resume, State::PausedInRetry | State::PausedInReview) => Does(Status::Waiting),
        (Verb::Resume, State::Running | State::Retry | State::Time | State::Review | State::Signal) => {
            Unchanged
        }
        (
            Verb::Cancel,
            State::Running
            | State::Retry
            | State::Time
            | State::Review
            | State::Signal
            | State::Paused
            | State::PausedInRetry
            | State::PausedInReview,
        ) => Does(Status::Cancelled),
        (
            Verb::Kill,
            State::Running
            | State::Retry
            | State::Time
            | State::Review
            | State::Signal
            | State::Paused
            | State::PausedInRetry
            | State::PausedInReview,
        ) => Does(Status::Killed),
    }
}

// R5.5
#[test]
fn every_verb_in_every_state_does_what_it_says_or_refuses_with_a_reason() {
    for state in STATES {
        for verb in VERBS {
            let case = format!("{verb:?} on a run that is {state:?}");
            let mut table = in_state(state);
            assert_eq!(table.run.status(), status(state), "{case}");
            let events = table.journal.len();
            let asked = ask(&mut table, verb);
            match expected(verb, state) {
                Expected::Does(after) => {
                    assert_eq!(asked.unwrap().outcome, Outcome::Changed, "{case}");
                    assert_eq!(table.run.status(), after, "{case}");
                    // Asked again it has come true.
                    assert_eq!(ask(&mut table, verb).unwrap().outcome, Outcome::Unchanged, "{case}");
                }
                Expected::Unchanged => {
                    assert_eq!(asked.unwrap().outcome, Outcome::Unchanged, "{case}");
                    assert_eq!((table.run.status(), table.journal.len()), (status(state), events), "{case}");
                }
                Expected::Refused(reason) => {
                    assert_eq!(asked.unwrap_err().to_string(), reason, "{case}");
                    assert_eq!((table.run.status(), table.journal.len()), (status(state), events), "{case}");
                }
            }
            let waits = !table.owed().is_empty() || table.run.next_deadline().is_some();
            assert!(!(table.run.status().is_ended() && waits), "{case}: it has ended and waits");
        }
    }
}

// Cancel and kill: whatever was owed is owed no longer, in one decision; kill says nothing of the parts.
#[test]
fn a_killed_run_ends_with_one_event_and_a_cancelled_one_in_order() {
    let mut table = in_state(State::Running);
    let decision = table.kill().unwrap();
    assert_eq!(decision.events.iter().map(bandstand_engine::Event::name).collect::<Vec<_>>(), ["run.killed"]);
    assert_eq!(decision.closed.len(), 1);
    let bandstand_engine::Event::RunKilled(killed) = &decision.events[0] else { panic!("no kill") };
    assert_eq!((killed.by.id.as_str(), killed.reason.as_str()), ("ann", "enough"));

    let mut table = in_state(State::Running);
    let decision = table.cancel().unwrap();
    let names: Vec<_> = decision.events.iter().map(bandstand_engine::Event::name).collect();
    assert_eq!(names, ["attempt.cancelled", "node.cancelled", "run.cancelled"]);
    assert_eq!(decision.closed.len(), 1);

    // A review that a kill ended tells that the run has ended.
    let mut table = in_state(State::Review);
    let review = table.review();
    table.kill().unwrap();
    let answer = table.answer(&review, "bob", Approved);
    assert_eq!(table.handle(Input::Answer(answer)).unwrap_err(), Rejected::Ended("been killed"));
    assert!(table.run.open_reviews().is_empty());
}
