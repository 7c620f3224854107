//! The second subject: real runs behind the real core of the driver, in a host that is all model: store, disk, sandbox,
//! clocks, and people who ask again when nobody answered. Faults come from a tape of their own.
//!
//! What is durable is what the disk has written; the [`Checker`] of a run gets it there. Everything the core releases is
//! held against that: calls, answers, rows to publish, snapshots.

mod act;
mod child;
mod fault;
mod quarantine;
mod standing;
mod store;
mod thread;

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use bandstand_driver::{
    Action, Core, Evidence, Limits, Message, NewChild, Request, RunId, Standing, Token, Unwanted,
};
use bandstand_engine::input::{ActorKind, Answer, By, Retry};
use bandstand_engine::run::Point;
use bandstand_engine::{Command, CommandId, Input, Path, Run, Start, Timestamp};

use crate::check::{Checker, Problem, problem};
use crate::children::ChildEnd;
use crate::engine_alone::{START, new_run};
use crate::generate::World;
use crate::people;
use crate::signals::Sending;
use crate::tape::Tape;
use crate::verbs::{Sent, Verb};
use fault::Faults;
use store::Stored;
use thread::{THREAD_ID, Thread};

/// More steps than any generated world needs.
const STEPS_MAX: u32 = 40_000;
/// After so many there are no more faults, so that the end can be waited for.
const FAULTY_STEPS_MAX: u32 = 1_500;

/// Something that will happen.
#[derive(Clone, Debug)]
enum Coming {
    /// A message on its way to the core; lost with the process.
    Message(Box<Parcel>),
    /// The disk writes what was handed over first; lost with the process.
    Write,
    /// Somebody asks; outlives the process.
    Ask(Asked),
    /// Somebody ends the process, to free a run that it has given up.
    Restart,
}

/// A message that can be told again.
#[allow(clippy::large_enum_variant)] // it is boxed where it is kept
#[derive(Clone, Debug)]
enum Parcel {
    Appended {
        token: Token,
        size_bytes: u64,
    },
    AppendFailed {
        token: Token,
    },
    AppendRefused {
        token: Token,
    },
    Ended {
        run_id: RunId,
        id: CommandId,
        input: Input,
    },
    Stopped {
        run_id: RunId,
        id: CommandId,
    },
    Refused {
        run_id: RunId,
        id: CommandId,
    },
    Load {
        run_id: RunId,
    },
    /// The shell looks whether a child run is there.
    LookFor {
        parent: RunId,
        new: Arc<NewChild>,
    },
    /// It is.
    Found {
        run_id: RunId,
    },
    /// It was not, at that time.
    Begin {
        parent: RunId,
        new: Arc<NewChild>,
        at: Timestamp,
    },
    LookedUp {
        run_id: RunId,
        id: CommandId,
        found: Option<Input>,
    },
    Hold(bool),
    /// Somebody may have to be given the thread.
    HandOn,
}

/// What somebody wants of a run.
#[derive(Clone, Debug)]
enum Asked {
    Start {
        run_id: RunId,
    },
    /// The thread is that run's now.
    Enter {
        run_id: RunId,
    },
    Person {
        run_id: RunId,
        path: Path,
        number: usize,
        review_id: String,
    },
    /// An answer that was given, so that it stays the same when it is sent again.
    Answer {
        run_id: RunId,
        path: Path,
        number: usize,
        review_id: String,
        answer: Box<Answer>,
    },
    Noise {
        run_id: RunId,
        answer: Box<Answer>,
    },
    Verb {
        run_id: RunId,
        verb: Verb,
    },
    Signal {
        run_id: RunId,
        sending: Sending,
    },
    /// Somebody wants a failed run to go on.
    Retry {
        run_id: RunId,
    },
    /// Somebody notices that a wait would go on for ever.
    Wanted {
        run_id: RunId,
        path: Path,
        number: u32,
    },
}

/// A run with its world and its books.
struct Case {
    world: World,
    checker: Checker,
    stored: Stored,
    sent: Sent,
    /// Events published by the present process.
    published: Option<u64>,
    /// Reviews and waits that somebody was told of.
    told: BTreeSet<String>,
    /// The present process has given it up.
    stuck: bool,
    /// The attempt that it is.
    parent: Option<(RunId, CommandId)>,
    /// The store's mark: its parent does not want it any more.
    unwanted: Option<Unwanted>,
    /// The store's table of runs: a process that starts looks at it.
    owes: bool,
    /// The present process knows that its parent does not want it any more: what it decides next is its end.
    hushed: bool,
    /// How it ended, each time.
    ends: Vec<ChildEnd>,
    /// As last shown.
    standing: Option<Standing>,
    /// How often somebody retried it.
    retries: u32,
    /// Something was written or read since it was last held against its books.
    changed: bool,
}

impl Case {
    fn new(world: World, parent: Option<(RunId, CommandId)>) -> Case {
        let checker = Checker::new(world.graph.clone());
        Case {
            world,
            checker,
            stored: Stored::default(),
            sent: Sent::default(),
            published: None,
            told: BTreeSet::new(),
            stuck: false,
            parent,
            unwanted: None,
            owes: false,
            hushed: false,
            ends: Vec::new(),
            standing: None,
            retries: 0,
            changed: false,
        }
    }

    /// Whether something of it is durable.
    fn is_there(&self) -> bool {
        !self.stored.rows.is_empty()
    }

    /// A name for something that happens once, unless the run is retried.
    fn once(&self, name: &str) -> String {
        format!("{name} {}", self.retries)
    }
}

struct Host<'t> {
    cases: BTreeMap<RunId, Case>,
    tape: &'t mut Tape,
    faults: Faults<'t>,
    core: Core,
    limits: Limits,
    quarantine: quarantine::Model,
    time: i64,
    skew: i64,
    coming: Vec<(i64, Coming)>,
    wake: Option<(Timestamp, i64)>,
    /// What was handed to the disk, in order.
    writes: BTreeMap<u64, store::Write>,
    next_write: u64,
    /// The disk has failed: nothing more is written by this process.
    failed: bool,
    asked: BTreeMap<u64, Asked>,
    next_request: u64,
    /// Calls that run now.
    live: BTreeMap<(RunId, CommandId), Command>,
    /// Durable marks of calls.
    marks: BTreeSet<(RunId, CommandId)>,
    /// Marks that the present process found.
    found: BTreeMap<RunId, Vec<CommandId>>,
    /// Attempts whose interruption must be recorded before they are repeated.
    interrupted: BTreeSet<(RunId, CommandId)>,
    held: bool,
    dead: bool,
    /// The runs share a thread, which one has at a time.
    thread: Option<Thread>,
    steps: u32,
    /// Whether to keep what happens, for a person.
    shows: bool,
    story: Vec<String>,
}

fn shorten(text: String) -> String {
    text.chars().take(400).collect()
}

/// Runs the worlds in one host; gives the checkers' books. `shows`: a problem tells all that was said and done before it.
pub fn run(
    worlds: Vec<World>,
    tape: &mut Tape,
    faults: &mut Tape,
    shows: bool,
) -> Result<Vec<Checker>, Problem> {
    let limits = Limits {
        calls_max: *tape.pick(&[256, 1, 2, 3]),
        calls_per_plugin_max: *tape.pick(&[256, 1, 2]),
        calls_per_workflow_max: *tape.pick(&[256, 2, 3]),
        calls_per_run_max: *tape.pick(&[128, 1, 2]),
        inputs_waiting_max: 1_000,
        overload_pause_ms: 50,
        quiet_ms: *tape.pick(&[1_000, 0, 50]),
        snapshot_events: *tape.pick(&[500, 1, 7, 20]),
        snapshot_bytes: 256 << 10,
        quarantine: quarantine::settings(worlds[0].seed),
    };
    // From what is there already, so that recorded choices keep their meaning.
    let shares = worlds.len() > 1 && worlds[0].seed.is_multiple_of(3);
    let cases = worlds
        .into_iter()
        .enumerate()
        .map(|(index, world)| {
            let run_id: RunId = format!("run-{}", index + 1).into();
            (run_id, Case::new(world, None))
        })
        .collect();
    let mut host = Host {
        cases,
        tape,
        faults: Faults::new(faults),
        core: Core::new(limits),
        quarantine: quarantine::Model::new(limits.quarantine),
        limits,
        time: 0,
        skew: 0,
        coming: Vec::new(),
        wake: None,
        writes: BTreeMap::new(),
        next_write: 0,
        failed: false,
        asked: BTreeMap::new(),
        next_request: 1,
        live: BTreeMap::new(),
        marks: BTreeSet::new(),
        found: BTreeMap::new(),
        interrupted: BTreeSet::new(),
        held: false,
        dead: false,
        thread: shares.then(Thread::default),
        steps: 0,
        shows,
        story: Vec::new(),
    };
    let ended = host.all();
    if let Err(Problem(what)) = ended {
        host.story.push(what);
        return problem(host.story.join("\n"));
    }
    Ok(host.cases.into_values().filter(Case::is_there).map(|case| case.checker).collect())
}

impl Host<'_> {
    fn all(&mut self) -> Result<(), Problem> {
        let starts: Vec<(RunId, World)> =
            self.cases.iter().map(|(run_id, case)| (run_id.clone(), case.world.clone())).collect();
        for (run_id, world) in starts {
            let at = i64::try_from(self.tape.below(500)).unwrap_or(0);
            self.coming.push((at, Coming::Ask(Asked::Start { run_id: run_id.clone() })));
            self.wishes(&run_id, at, &world);
        }
        while !self.is_over() {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return problem(format!("no end; the runs stand so: {}", self.standings()));
            }
            self.step()?;
        }
        for (run_id, case) in self.cases.iter().filter(|(_, case)| case.is_there()) {
            let whole = case.checker.refold()?;
            let opened = case.stored.open(&case.world.graph, false)?.0;
            if !whole.is_same(&opened) {
                return problem(format!("{run_id}: its snapshot and the tail are not its whole journal"));
            }
        }
        Ok(())
    }

    /// What people want of a run from its start on.
    fn wishes(&mut self, run_id: &RunId, at: i64, world: &World) {
        for (after_ms, verb) in &world.verbs {
            let at = at + i64::try_from(*after_ms).unwrap_or(0);
            self.coming.push((at, Coming::Ask(Asked::Verb { run_id: run_id.clone(), verb: *verb })));
        }
        for (after_ms, sending) in &world.signals {
            let (at, sending) = (at + i64::try_from(*after_ms).unwrap_or(0), sending.clone());
            self.coming.push((at, Coming::Ask(Asked::Signal { run_id: run_id.clone(), sending })));
        }
    }

    fn is_over(&self) -> bool {
        self.coming.is_empty()
            && self.asked.is_empty()
            && self.cases.values().all(|case| {
                // A child run that was not begun, as nobody wanted it any more or it did not fit, is none.
                case.checker.ended().is_some() || (case.parent.is_some() && !case.is_there())
            })
    }

    fn standings(&self) -> String {
        let one = |(run_id, case): (&RunId, &Case)| {
            format!(
                "{run_id} ended={:?} owed={:?} deadline={:?} in memory={}",
                case.checker.ended(),
                case.checker.owed(),
                case.checker.next_deadline(),
                self.core.run(run_id).is_some()
            )
        };
        self.cases.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    fn wall(&self) -> Timestamp {
        Timestamp(START.0 + self.time + self.skew)
    }

    fn later(&mut self, span_ms: u64) -> i64 {
        self.time + i64::try_from(self.tape.below(span_ms)).unwrap_or(0)
    }

    fn step(&mut self) -> Result<(), Problem> {
        if self.steps < FAULTY_STEPS_MAX {
            let fault = self.faults.next();
            if self.suffer(fault)? {
                return Ok(());
            }
        } else if self.held {
            return self.tell(Parcel::Hold(false));
        }
        let tick_at = self.wake.map(|(at, late)| (at.0 - START.0 - self.skew + late).max(self.time));
        match (tick_at, self.tape.next_of(&self.coming)) {
            (None, None) if self.held => self.tell(Parcel::Hold(false)),
            (None, None) => problem(format!(
                "nothing is to come, {} requests wait; the runs stand so: {}",
                self.asked.len(),
                self.standings()
            )),
            (Some(tick_at), None) => self.tick_at(tick_at),
            (Some(tick_at), Some((_, at))) if tick_at < at => self.tick_at(tick_at),
            (_, Some((index, _))) => {
                let (at, what) = self.coming.remove(index);
                self.time = self.time.max(at);
                match what {
                    Coming::Message(parcel) => self.tell(*parcel),
                    Coming::Write => self.write(),
                    Coming::Ask(asked) => self.ask(asked),
                    Coming::Restart => self.crash(),
                }
            }
        }
    }

    fn tick_at(&mut self, time: i64) -> Result<(), Problem> {
        self.time = self.time.max(time);
        self.handle(Message::Tick)
    }

    /// Gives the core a message and carries out what it wants.
    fn handle(&mut self, message: Message) -> Result<(), Problem> {
        let mut actions = Vec::new();
        let show = self.shows.then(|| format!("{:>8} {message:?}", self.time));
        self.core.handle(message, self.wall(), &mut actions);
        let quarantined = self.quarantine.check(&self.core, &actions);
        if let Some(text) = show {
            self.story.push(shorten(text));
            self.story.extend(actions.iter().map(|action| shorten(format!("             -> {action:?}"))));
        }
        quarantined?;
        for action in actions {
            self.act(action)?;
            if self.dead {
                return self.crash();
            }
        }
        if self.core.is_flushed() {
            for run in self.core.runs() {
                let Some(case) = self.cases.get_mut(run.id()) else { continue };
                if std::mem::take(&mut case.changed) {
                    let run_id = run.id();
                    case.checker.same(run).map_err(|Problem(what)| Problem(format!("{run_id}: {what}")))?;
                }
            }
            self.check_standings()?;
        }
        Ok(())
    }

    fn tell(&mut self, parcel: Parcel) -> Result<(), Problem> {
        let message = match parcel {
            Parcel::Appended { token, size_bytes } => Message::Appended { token, size_bytes },
            Parcel::AppendFailed { token } => {
                Message::AppendFailed { token, problem: "the disk gave an error".to_owned() }
            }
            Parcel::AppendRefused { token } => {
                Message::AppendRefused { token, problem: "the store does not take it".to_owned() }
            }
            Parcel::Ended { run_id, id, input } => {
                let evidence = Evidence::of(&input);
                if let Some(command) = self.live.remove(&(run_id.clone(), id.clone())) {
                    self.quarantine.ended(&command, evidence);
                    self.quarantine.gone(&run_id, &id);
                }
                Message::CallEnded { run_id, id, input, evidence }
            }
            Parcel::LookedUp { run_id, id, found } => Message::LookedUp { run_id, id, found },
            Parcel::Stopped { run_id, id } => {
                if self.live.remove(&(run_id.clone(), id.clone())).is_none() {
                    return Ok(()); // its result came first
                }
                self.quarantine.gone(&run_id, &id);
                Message::CallStopped { run_id, id }
            }
            Parcel::Refused { run_id, id } => {
                self.live.remove(&(run_id.clone(), id.clone()));
                self.quarantine.gone(&run_id, &id);
                Message::CallRefused { run_id, id }
            }
            Parcel::Load { run_id } => self.load(run_id)?,
            Parcel::HandOn => return self.hand_on(),
            Parcel::LookFor { parent, new } => return self.look_for(parent, new),
            Parcel::Found { run_id } => Message::Drive { run_id },
            Parcel::Begin { parent, new, at } => self.begin(parent, &new, at)?,
            Parcel::Hold(held) => {
                self.held = held;
                Message::Hold(held)
            }
        };
        self.handle(message)
    }

    fn load(&mut self, run_id: RunId) -> Result<Message, Problem> {
        // A child run that never began is asked for, too, when it is not wanted any more.
        let Some(case) = self.cases.get_mut(&run_id).filter(|case| case.is_there()) else {
            return Ok(Message::LoadFailed { run_id, problem: bandstand_driver::LoadProblem::NoSuchRun });
        };
        if self.writes.values().any(|write| write.token.is_some() && write.run_id == run_id) {
            return problem(format!("{run_id} is loaded while it is written"));
        }
        case.changed = true;
        // Read anew it may be mended: its parent, or a person, asked for it.
        case.stuck = false;
        let dropped = self.faults.drops_snapshot();
        let (run, tail_events, tail_bytes) = case.stored.open(&case.world.graph, dropped)?;
        let interrupted = self.found.remove(&run_id).unwrap_or_default();
        Ok(Message::Loaded {
            run: Box::new(run),
            tail_events,
            tail_bytes,
            interrupted,
            unwanted: case.unwanted,
        })
    }

    fn ask(&mut self, asked: Asked) -> Result<(), Problem> {
        let request = Request(self.next_request);
        self.next_request += 1;
        let (asked, message) = match asked {
            Asked::Start { run_id } => {
                let case = &self.cases[&run_id];
                if case.is_there() {
                    return Ok(()); // a repeated request finds the run
                }
                if case.stuck {
                    let at = self.time + 2_000;
                    self.coming.push((at, Coming::Ask(Asked::Start { run_id })));
                    return Ok(());
                }
                let mut new = new_run(&case.world);
                new.run_id = run_id.to_string();
                if self.thread.is_some() {
                    new.thread_id = Some(THREAD_ID.to_owned());
                    new.thread = self.place(&run_id);
                    if new.thread.is_none() {
                        // It is somebody else's turn.
                        let at = self.later(20) + 1;
                        self.coming.push((at, Coming::Ask(Asked::Start { run_id })));
                        return Ok(());
                    }
                }
                let now = self.wall();
                let case = &self.cases[&run_id];
                if new.thread.is_none() {
                    new.start_at = case.world.starts_after_ms.map(|after_ms| now.plus_ms(after_ms));
                }
                let start = Start::new(&case.world.graph, new, now)
                    .map_err(|error| Problem(format!("the run does not start: {error}")))?;
                let (run, decision) = Run::start(case.world.graph.clone(), start, now);
                let message =
                    Message::RunStarted { run: Box::new(run), decision, at: now, request: Some(request) };
                (Asked::Start { run_id }, message)
            }
            Asked::Enter { run_id } => {
                if !self.may_enter(&run_id) {
                    return Ok(());
                }
                let input = Input::Enter(BTreeMap::new());
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Enter { run_id }, message)
            }
            Asked::Verb { run_id, verb } => {
                let case = self.cases.get_mut(&run_id).expect("asked about a known run");
                if !case.is_there() {
                    let at = self.time + 100;
                    self.coming.push((at, Coming::Ask(Asked::Verb { run_id, verb })));
                    return Ok(());
                }
                case.sent.note(verb);
                let message =
                    Message::Input { run_id: run_id.clone(), input: verb.input(), request: Some(request) };
                (Asked::Verb { run_id, verb }, message)
            }
            Asked::Retry { run_id } => {
                let case = &self.cases[&run_id];
                // Behind the core runs of a thread are not retried: who would have its turn is not modelled.
                if case.checker.ended() != Some("failed") || self.thread.is_some() {
                    return Ok(());
                }
                let point = Point::of_failure(case.world.graph.clone(), &case.checker.journal_rows())
                    .map_err(|error| Problem(format!("{run_id}: no point to go on from: {error}")))?;
                let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
                let input = Input::Retry(Box::new(Retry { by, request_id: None, point, thread: None }));
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Retry { run_id }, message)
            }
            Asked::Wanted { run_id, path, number } => {
                let Some((_, name, true)) = self.cases[&run_id].checker.waits.get(&path) else {
                    return Ok(());
                };
                let sending = Sending::wanted(name.as_str(), &path, number);
                let at = self.later(3_000);
                let next = Asked::Wanted { run_id: run_id.clone(), path, number: number + 1 };
                self.coming.push((at, Coming::Ask(next)));
                return self.ask(Asked::Signal { run_id, sending });
            }
            Asked::Signal { run_id, sending } => {
                if !self.cases[&run_id].is_there() {
                    let at = self.time + 100;
                    self.coming.push((at, Coming::Ask(Asked::Signal { run_id, sending })));
                    return Ok(());
                }
                let input = Input::Signal(sending.signal());
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Signal { run_id, sending }, message)
            }
            Asked::Person { run_id, path, number, review_id } => {
                let case = &self.cases[&run_id];
                let plan = case.world.script.review(&path).and_then(|plan| plan.answers.get(number));
                let Some(plan) = plan else { return Ok(()) };
                let seen = case.checker.edits.get(&path).cloned();
                let answer = Box::new(people::answer(plan, &path, number, &review_id, seen));
                let input = Input::Answer(*answer.clone());
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Answer { run_id, path, number, review_id, answer }, message)
            }
            Asked::Answer { run_id, path, number, review_id, answer } => {
                let input = Input::Answer(*answer.clone());
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Answer { run_id, path, number, review_id, answer }, message)
            }
            Asked::Noise { run_id, answer } => {
                let input = Input::Answer(*answer.clone());
                let message = Message::Input { run_id: run_id.clone(), input, request: Some(request) };
                (Asked::Noise { run_id, answer }, message)
            }
        };
        self.asked.insert(request.0, asked);
        self.handle(message)
    }

    fn act(&mut self, action: Action) -> Result<(), Problem> {
        act::act(self, action)
    }
}
