//! The first subject: one `Run` and nothing else. Completions come in any order, twice, or after nobody wants them any
//! more; ticks come early, late, repeatedly or not at all; the wall clock jumps. What a driver would keep away from the
//! engine reaches it here.

use std::collections::BTreeMap;

use bandstand_engine::event::PluginPin;
use bandstand_engine::input::{ActorKind, Answer, By, Retry};
use bandstand_engine::run::{Fork, NewRun, NoPoint, Point};
use bandstand_engine::{
    CommandId, Decision, Event, Id, Input, Outcome, Path, Rejected, Run, Start, Status, Timestamp,
};

use crate::check::{Checker, Problem, problem};
use crate::generate::World;
use crate::people;
use crate::script::Behaviour;
use crate::signals::Sending;
use crate::tape::Tape;
use crate::verbs::{Expected, Sent, Verb};
use crate::verdict;

/// The beginning of simulated time.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

/// More steps than any generated world needs.
const STEPS_MAX: u32 = 20_000;
/// How often a failed run is retried at most.
const RETRIES_MAX: u32 = 3;
/// The run that is not a fork.
const RUN_ID: &str = "run-1";

/// Something on its way to the run.
#[derive(Clone, Debug)]
enum Coming {
    Result {
        id: CommandId,
        input: Input,
    },
    /// An equal visit's reply is kept.
    Kept {
        id: CommandId,
        input: Input,
    },
    Person {
        path: Path,
        review_id: String,
        number: usize,
    },
    /// An answer that must change nothing.
    Noise(Box<Answer>),
    Verb(Verb),
    Signal(Sending),
    /// Somebody notices that a wait would go on for ever.
    Wanted {
        path: Path,
        number: u32,
    },
}

struct Subject<'w> {
    world: &'w World,
    tape: &'w mut Tape,
    run: Run,
    checker: Checker,
    /// What starting decided.
    first: Decision,
    /// Milliseconds since the start, never falling.
    time: i64,
    /// What the wall clock shows beside that.
    skew: i64,
    coming: Vec<(i64, Coming)>,
    owed: BTreeMap<CommandId, ()>,
    tick_delay: (Option<Timestamp>, i64),
    sent: Sent,
    /// Whether to keep what happens, for a person.
    shows: bool,
    story: Vec<String>,
}

/// Runs the world's workflow on the engine alone; gives the checker's books. `shows`: a problem tells
/// the journal before it.
pub fn run(world: &World, tape: &mut Tape, shows: bool) -> Result<Checker, Problem> {
    let start_at = world.starts_after_ms.map(|after_ms| START.plus_ms(after_ms));
    let start = Start::new(&world.graph, NewRun { start_at, ..new_run(world) }, START)
        .map_err(|error| Problem(format!("the run does not start: {error}")))?;
    let (run, decision) = Run::start(world.graph.clone(), start, START);
    let mut subject = Subject {
        world,
        tape,
        run,
        checker: Checker::new(world.graph.clone()),
        first: decision,
        time: 0,
        skew: 0,
        coming: Vec::new(),
        owed: BTreeMap::new(),
        tick_delay: (None, 0),
        sent: Sent::default(),
        shows,
        story: Vec::new(),
    };
    match subject.all(world) {
        Ok(()) => Ok(subject.checker),
        Err(Problem(what)) => {
            subject.story.push(what);
            problem(subject.story.join("\n"))
        }
    }
}

/// What a caller says about the world's run.
pub fn new_run(world: &World) -> NewRun {
    let pin = |id: &Id| (id.clone(), PluginPin { digest: format!("sha256:{id}") });
    let plugins = world.graph.plugins.keys().map(pin).collect();
    // Whom `self-approval: false` keeps from approving.
    let user_id = Some("ann".to_owned());
    NewRun { plugins, seed: world.seed, user_id, ..NewRun::new(RUN_ID, world.input.clone()) }
}

impl Subject<'_> {
    fn all(&mut self, world: &World) -> Result<(), Problem> {
        for (after_ms, verb) in &world.verbs {
            self.coming.push((i64::try_from(*after_ms).unwrap_or(0), Coming::Verb(*verb)));
        }
        for (after_ms, sending) in &world.signals {
            self.coming.push((i64::try_from(*after_ms).unwrap_or(0), Coming::Signal(sending.clone())));
        }
        let first = std::mem::take(&mut self.first);
        self.decided(&first, START)?;
        self.finish(world)
    }

    fn finish(&mut self, world: &World) -> Result<(), Problem> {
        let (mut steps, mut retries) = (0, 0);
        loop {
            let (ended, drained) = (self.run.status().is_ended(), self.coming.is_empty());
            let failed = self.run.status() == Status::Failed && retries < RETRIES_MAX;
            if failed && (drained || self.tape.chance(20)) && self.tape.chance(60) {
                retries += 1;
                self.retry()?;
                continue;
            }
            if ended && drained {
                break;
            }
            steps += 1;
            if steps > STEPS_MAX {
                return problem("the run does not end");
            }
            self.step()?;
        }
        let folded = self.checker.refold()?;
        if !folded.is_same(&self.run) {
            return problem("folding the whole journal leads elsewhere than handling");
        }
        verdict::judge(world, &self.checker, &self.run, self.sent, &world.script)?;
        if self.run.id() == RUN_ID && self.tape.chance(25) {
            self.fork(world).map_err(|Problem(what)| Problem(format!("in a fork: {what}")))?;
        }
        Ok(())
    }

    /// Somebody retries the failed run.
    fn retry(&mut self) -> Result<(), Problem> {
        self.time += *self.tape.pick(&[0, 10, 90_000]);
        let rows = self.checker.journal_rows();
        let point = Point::of_failure(self.world.graph.clone(), &rows)
            .map_err(|error| Problem(format!("a failed run has no point to go on from: {error}")))?;
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        let retry = Retry { by, request_id: None, point, thread: None };
        match self.handle(Input::Retry(Box::new(retry)))? {
            Some(_) => Ok(()),
            None => problem("a failed run was not retried"),
        }
    }

    /// Somebody forks the run from anywhere: without an edit, the fork must come to what the language says, too.
    fn fork(&mut self, world: &World) -> Result<(), Problem> {
        let rows = self.checker.journal_rows();
        let seq = 1 + self.tape.below(self.checker.seq());
        let point = match Point::within(world.graph.clone(), &rows, seq) {
            Ok(point) => point,
            Err(NoPoint::Ended { .. }) => return Ok(()),
            Err(error) => return problem(format!("no point at event {seq}: {error}")),
        };
        self.time += *self.tape.pick(&[0, 10, 90_000]);
        let now = self.wall().max(self.run.last_at());
        let checker = self.checker.fork(point.seq(), now)?;
        let new = NewRun { run_id: "run-2".to_owned(), ..new_run(world) };
        let fork = Fork { new, point, edits: Vec::new() };
        let (run, first) = Run::fork(world.graph.clone(), fork, now)
            .map_err(|error| Problem(format!("event {seq} cannot be forked: {error}")))?;
        let mut subject = Subject {
            world,
            tape: &mut *self.tape,
            run,
            checker,
            first,
            time: now.0 - START.0,
            skew: 0,
            coming: Vec::new(),
            owed: BTreeMap::new(),
            tick_delay: (None, 0),
            sent: Sent::default(),
            shows: self.shows,
            story: Vec::new(),
        };
        let ended = subject.follow(now);
        self.story.append(&mut subject.story);
        ended
    }

    fn follow(&mut self, now: Timestamp) -> Result<(), Problem> {
        let first = std::mem::take(&mut self.first);
        self.decided(&first, now)?;
        self.finish(self.world)
    }

    fn wall(&self) -> Timestamp {
        Timestamp(START.0 + self.time + self.skew)
    }

    fn step(&mut self) -> Result<(), Problem> {
        match self.tape.below(60) {
            59 => return self.tick(), // early or repeated
            58 => {
                let span = *self.tape.pick(&[0, -3_600_000, 86_400_000, 500]);
                self.skew += span;
                return Ok(());
            }
            57 => return self.interrupt(),
            _ => {}
        }
        let deadline = self.run.next_deadline();
        if deadline != self.tick_delay.0 {
            // How late the tick for this deadline comes.
            let late = *self.tape.pick(&[0, 1, 20, 5_000]);
            self.tick_delay = (deadline, late);
        }
        let tick_at =
            deadline.map(|deadline| (deadline.0 - START.0 - self.skew + self.tick_delay.1).max(self.time));
        match (tick_at, self.tape.next_of(&self.coming)) {
            (None, None) => problem("nothing is to come, and the run has not ended"),
            (Some(tick_at), None) => self.tick_at(tick_at),
            (Some(tick_at), Some((_, at))) if tick_at < at => self.tick_at(tick_at),
            (_, Some((index, _))) => {
                let (at, what) = self.coming.remove(index);
                self.time = self.time.max(at);
                self.deliver(what)
            }
        }
    }

    fn tick_at(&mut self, time: i64) -> Result<(), Problem> {
        self.time = self.time.max(time);
        self.tick()?;
        match self.run.next_deadline() {
            Some(deadline) if deadline <= self.wall() && !self.checker.is_amid_steps() => {
                problem("a tick in time left a deadline behind")
            }
            _ => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<(), Problem> {
        let due =
            self.run.next_deadline().is_some_and(|deadline| deadline <= self.wall().max(self.run.last_at()));
        let decision = self.handle(Input::Tick)?;
        match (due, decision.is_some_and(|decision| decision.outcome == Outcome::Changed)) {
            (true, false) => problem("a deadline had passed, and the tick changed nothing"),
            (false, true) => problem("a tick before any deadline changed something"),
            _ => Ok(()),
        }
    }

    fn interrupt(&mut self) -> Result<(), Problem> {
        let ids: Vec<CommandId> = self.run.owed().map(|command| command.id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = self.tape.pick(&ids).clone();
        let _ = self.handle(Input::Interrupted { id })?;
        Ok(())
    }

    fn deliver(&mut self, what: Coming) -> Result<(), Problem> {
        match what {
            Coming::Result { id, input } => {
                let wanted = self.run.command(&id).is_some();
                if self.tape.chance(15) {
                    let again = self.time + i64::try_from(self.tape.below(3_000)).unwrap_or(0);
                    self.coming.push((again, Coming::Result { id: id.clone(), input: input.clone() }));
                }
                let decision = self.handle(input)?;
                let outcome = decision.map(|decision| decision.outcome);
                let expected = if wanted { Outcome::Changed } else { Outcome::Stale };
                if outcome != Some(expected) {
                    return problem(format!("the result of {id} was {outcome:?}, expected {expected:?}"));
                }
                Ok(())
            }
            Coming::Kept { id, input } => {
                let wanted = self.run.command(&id).is_some();
                let plain = self.world.script.kept(&id.path).is_some_and(Behaviour::is_plain);
                let outcome = self.handle(input)?.map(|decision| decision.outcome);
                match (wanted, outcome) {
                    (false, Some(Outcome::Stale)) | (true, Some(Outcome::Unchanged)) => Ok(()),
                    (true, Some(Outcome::Changed)) if plain => Ok(()),
                    _ => problem(format!("the kept reply for {id} was {outcome:?}")),
                }
            }
            Coming::Verb(verb) => {
                let expected = verb.expected(self.checker.ended(), self.checker.is_paused());
                self.sent.note(verb);
                let decision = self.handle(verb.input())?;
                let found = Expected::found(decision.map(|decision| decision.outcome));
                if found != expected {
                    return problem(format!("{verb:?} was {found:?}, expected {expected:?}"));
                }
                if let Verb::Pause { for_ms } = verb {
                    let at = self.time + i64::try_from(for_ms).unwrap_or(0);
                    self.coming.push((at, Coming::Verb(Verb::Resume)));
                }
                Ok(())
            }
            Coming::Signal(sending) => self.signal(sending),
            Coming::Wanted { path, number } => {
                let Some((_, name, true)) = self.checker.waits.get(&path) else { return Ok(()) };
                self.signal(Sending::wanted(name.as_str(), &path, number))?;
                let at = self.time + i64::try_from(self.tape.below(3_000)).unwrap_or(0);
                self.coming.push((at, Coming::Wanted { path, number: number + 1 }));
                Ok(())
            }
            Coming::Noise(answer) => {
                let decision = self.handle(Input::Answer(*answer.clone()))?;
                match decision.map(|decision| decision.outcome) {
                    Some(Outcome::Changed) => {
                        problem(format!("an answer changed what it must not: {answer:?}"))
                    }
                    _ => Ok(()),
                }
            }
            Coming::Person { path, review_id, number } => self.person(path, review_id, number),
        }
    }

    fn signal(&mut self, sending: Sending) -> Result<(), Problem> {
        let known = self.checker.requests.contains(&sending.request);
        let expected = sending.expected(self.world, self.checker.ended(), known);
        let decision = self.handle(Input::Signal(sending.signal()))?;
        let found = Expected::found(decision.map(|decision| decision.outcome));
        if found != expected {
            return problem(format!("{sending:?} was {found:?}, expected {expected:?}"));
        }
        if found == Expected::Changed && self.tape.chance(25) {
            let at = self.time + i64::try_from(self.tape.below(3_000)).unwrap_or(0);
            self.coming.push((at, Coming::Signal(sending.again())));
        }
        Ok(())
    }

    fn person(&mut self, path: Path, review_id: String, number: usize) -> Result<(), Problem> {
        let Some(plan) = self.world.script.review(&path).and_then(|plan| plan.answers.get(number)) else {
            return Ok(());
        };
        let open = self.run.open_reviews().into_iter().find(|review| review.review_id == review_id);
        let answer =
            people::answer(plan, &path, number, &review_id, open.and_then(|review| review.edited_by));
        let taken = self.handle(Input::Answer(answer.clone()))?;
        if taken.is_some() && self.tape.chance(25) {
            // Again, otherwise, and about something that does not exist.
            let mut noise = answer;
            match self.tape.below(4) {
                0 => {}
                1 => noise.request_id = None,
                2 => {
                    noise.request_id = None;
                    noise.decision = match noise.decision {
                        bandstand_engine::input::Verdict::Approved => {
                            bandstand_engine::input::Verdict::Rejected
                        }
                        bandstand_engine::input::Verdict::Rejected => {
                            bandstand_engine::input::Verdict::Approved
                        }
                    };
                }
                _ => {
                    noise.request_id = None;
                    noise.review_id = "nosuchreview".to_owned();
                }
            }
            let later = self.time + i64::try_from(self.tape.below(5_000)).unwrap_or(0);
            self.coming.push((later, Coming::Noise(Box::new(noise))));
        }
        self.next_answer(path, review_id, number + 1);
        Ok(())
    }

    fn next_answer(&mut self, path: Path, review_id: String, number: usize) {
        if let Some(plan) = self.world.script.review(&path).and_then(|plan| plan.answers.get(number)) {
            let at = self.time + i64::try_from(plan.delay_ms).unwrap_or(0);
            self.coming.push((at, Coming::Person { path, review_id, number }));
        }
    }

    /// `None`: it was refused.
    fn handle(&mut self, input: Input) -> Result<Option<Decision>, Problem> {
        let now = self.wall();
        let before = self.run.seq();
        let checked = self.run.check(&input, now);
        let text = format!("{input:?}");
        let decision = match self.run.handle(input, now) {
            Ok(decision) => decision,
            Err(rejected) => {
                if checked != Err(rejected.clone()) {
                    return problem(format!("handle refused with {rejected:?}, check said {checked:?}"));
                }
                if self.run.seq() != before {
                    return problem("a refused input changed the run");
                }
                self.expect_refusal(&rejected)?;
                return Ok(None);
            }
        };
        if let Err(rejected) = checked {
            return problem(format!("check refused {text} with {rejected:?}, handle took it"));
        }
        let at = self.run.last_at();
        self.decided(&decision, at)?;
        Ok(Some(decision))
    }

    fn expect_refusal(&self, rejected: &Rejected) -> Result<(), Problem> {
        match rejected {
            Rejected::TooLarge { .. } | Rejected::BadConfidence(_) => {
                problem(format!("refused for no reason: {rejected}"))
            }
            _ => Ok(()),
        }
    }

    fn decided(&mut self, decision: &Decision, at: Timestamp) -> Result<(), Problem> {
        if (decision.outcome == Outcome::Changed) == decision.events.is_empty() {
            return problem(format!(
                "the outcome is {:?} with {} events",
                decision.outcome,
                decision.events.len()
            ));
        }
        for id in &decision.closed {
            if self.owed.remove(id).is_none() {
                return problem(format!("{id} was closed, but not owed"));
            }
        }
        for id in &decision.opened {
            if self.owed.insert(id.clone(), ()).is_some() {
                return problem(format!("{id} was opened twice"));
            }
            let Some(command) = self.run.command(id) else {
                return problem(format!("{id} was opened, but is not owed"));
            };
            let (duration_ms, input) = self.world.script.call(command);
            let at = self.time + i64::try_from(duration_ms).unwrap_or(0);
            self.coming.push((at, Coming::Result { id: id.clone(), input }));
            let key = self.run.cache_key(id);
            let cached = key.and_then(|_| self.world.script.cached(command));
            if let Some(input) = cached.filter(|_| self.tape.chance(50)) {
                // Mostly before the result; a driver would not even make the call.
                let at = self.time + i64::try_from(self.tape.below(500)).unwrap_or(0);
                self.coming.push((at, Coming::Kept { id: id.clone(), input }));
            }
        }
        if !self.owed.keys().eq(self.run.owed().map(|command| &command.id)) {
            return problem(format!("opened and closed leave {:?}, owed is otherwise", self.owed.keys()));
        }
        if decision.events.is_empty() {
            return Ok(());
        }
        if self.shows {
            let texts = decision.events.iter().map(|event| serde_json::to_string(event).unwrap_or_default());
            self.story.extend(texts.map(|text| format!("{:>8} {text}", at.0 - START.0)));
        }
        let seq = self.checker.seq();
        self.checker.row(seq, at, &decision.events)?;
        self.checker.same(&self.run)?;
        for event in &decision.events {
            match event {
                Event::ReviewOpened(opened) => {
                    self.next_answer(opened.p.clone(), opened.review_id.clone(), 0)
                }
                Event::WaitStarted(e) if e.signal.is_some() && e.deadline.is_none() => {
                    let at = self.time + i64::try_from(self.tape.below(4_000)).unwrap_or(0);
                    self.coming.push((at, Coming::Wanted { path: e.p.clone(), number: 0 }));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
