//! What must hold of every journal and after every decision, whatever the world does.
//!
//! The checker reads rows as a store would get them, keeps its own books of them (what is owed, which timers run, what is
//! finished), folds them into a shadow run through their JSON text, and holds the real run against both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bandstand_engine::event::{
    AttemptCause, AttemptScheduled, BranchKey, BranchOutcome, CancelCause, EdgeCause, Lease, NodeSucceeded,
    Payload, WaitCause,
};
use bandstand_engine::failure::Class;
use bandstand_engine::graph::{Kind, Retry, Strategy};
use bandstand_engine::input::ReplyNext;
use bandstand_engine::path::Segment;
use bandstand_engine::run::JournalRow;
use bandstand_engine::{CommandId, Event, Graph, Id, Path, Run, Snapshot, Timestamp};
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::oracle::edge;
use crate::script::normal;

/// Something that must hold does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem(pub String);

/// Makes a problem of anything that can be told.
pub fn problem<T>(what: impl Into<String>) -> Result<T, Problem> {
    Err(Problem(what.into()))
}

/// An item that waits for its place.
#[derive(Clone, Debug)]
struct Held {
    /// Time stands still in it since then.
    since: Timestamp,
    timers: BTreeMap<Path, Timestamp>,
    waits: BTreeMap<Path, (Timestamp, Id, bool)>,
}

impl Held {
    fn shift(&mut self, span_ms: u64) {
        self.since = self.since.plus_ms(span_ms);
        self.timers.values_mut().for_each(|due| *due = due.plus_ms(span_ms));
        self.waits.values_mut().for_each(|(since, _, _)| *since = since.plus_ms(span_ms));
    }
}

/// The books of one run.
#[derive(Clone)]
pub struct Checker {
    graph: Arc<Graph>,
    shadow: Option<Run>,
    /// Everything durable, with the time of its row.
    pub journal: Vec<(Timestamp, Event)>,
    last_at: Timestamp,
    /// What time decided.
    pub facts: Facts,
    /// What became of each visit.
    pub visits: BTreeMap<String, Vec<String>>,
    owed: BTreeSet<CommandId>,
    attempt: BTreeMap<Path, u32>,
    interruptions: BTreeMap<Path, u32>,
    timers: BTreeMap<Path, Timestamp>,
    /// When retries are due. They do not start while the run is paused.
    retries: BTreeMap<Path, Timestamp>,
    paused: bool,
    /// When agents' visits must have given their reply.
    deadlines: BTreeMap<Path, Timestamp>,
    /// Waits for a signal that go on: since when, for which, and whether for ever.
    pub waits: BTreeMap<Path, (Timestamp, Id, bool)>,
    /// Signals that no wait has taken, the oldest first.
    kept: BTreeMap<Id, VecDeque<String>>,
    /// Signals that are recorded, by id.
    pub signals: BTreeSet<String>,
    /// Requests that brought one.
    pub requests: BTreeSet<String>,
    /// The edge that was just taken leads past a named point.
    passes: Option<(Path, Id)>,
    run_deadline: Option<Timestamp>,
    /// It waits for its thread.
    queued: bool,
    /// It is to begin then, and has not.
    starts_at: Option<Timestamp>,
    started: BTreeSet<Path>,
    finished: BTreeSet<Path>,
    visited: BTreeMap<Path, u32>,
    steps: BTreeMap<Path, u64>,
    open_items: BTreeMap<Path, BTreeSet<BranchKey>>,
    /// Items that a retry opens again when there is room for them.
    held: BTreeMap<Path, Held>,
    /// Branches whose failure a later retry takes back: until then they are not open.
    lost_until_retried: BTreeSet<Path>,
    outputs: BTreeMap<Path, Value>,
    /// Reviews that were opened: path and id.
    pub reviews: BTreeMap<String, Path>,
    /// The latest edit of each review's value, by path.
    pub edits: BTreeMap<Path, String>,
    /// Answers that are recorded, by their id.
    pub answers: BTreeSet<String>,
    inputs: BTreeMap<String, Arc<Value>>,
    /// What agents were given, with the value of their `cache.key`.
    given: BTreeMap<Path, (Value, Value)>,
    /// Agents whose last reply may be kept.
    plain: BTreeSet<Path>,
    /// What was kept under each key.
    kept_under: BTreeMap<String, (Value, Value)>,
    cancelled_branches: BTreeSet<Path>,
    /// Nodes entered in the last row.
    entered: usize,
    ended: Option<&'static str>,
    /// Where rows begin.
    rows: Vec<usize>,
    /// Events of failures that were taken back.
    undone: BTreeSet<usize>,
    /// When branches failed that a retry (by the failure and the paths that it says) has opened again: for them time
    /// stood still since then.
    lost: BTreeMap<(Timestamp, Vec<Path>), BTreeMap<Path, Timestamp>>,
    /// Failed visits that may be entered once more.
    reopened: BTreeSet<Path>,
    /// Attempts before the policy began to count anew.
    attempts_before: BTreeMap<Path, u32>,
    /// The run that each attempt of a `workflow` node is.
    pub children: BTreeMap<CommandId, String>,
    /// Of a fork: the books as it began.
    base: Option<Box<Checker>>,
}

impl Checker {
    /// Empty books.
    pub fn new(graph: Arc<Graph>) -> Checker {
        Checker {
            graph,
            shadow: None,
            journal: Vec::new(),
            last_at: Timestamp(i64::MIN),
            facts: Facts::default(),
            visits: BTreeMap::new(),
            owed: BTreeSet::new(),
            attempt: BTreeMap::new(),
            interruptions: BTreeMap::new(),
            timers: BTreeMap::new(),
            retries: BTreeMap::new(),
            paused: false,
            deadlines: BTreeMap::new(),
            waits: BTreeMap::new(),
            kept: BTreeMap::new(),
            signals: BTreeSet::new(),
            requests: BTreeSet::new(),
            passes: None,
            run_deadline: None,
            queued: false,
            starts_at: None,
            started: BTreeSet::new(),
            finished: BTreeSet::new(),
            visited: BTreeMap::new(),
            steps: BTreeMap::new(),
            open_items: BTreeMap::new(),
            held: BTreeMap::new(),
            lost_until_retried: BTreeSet::new(),
            outputs: BTreeMap::new(),
            reviews: BTreeMap::new(),
            edits: BTreeMap::new(),
            answers: BTreeSet::new(),
            inputs: BTreeMap::new(),
            given: BTreeMap::new(),
            plain: BTreeSet::new(),
            kept_under: BTreeMap::new(),
            cancelled_branches: BTreeSet::new(),
            entered: 0,
            ended: None,
            rows: Vec::new(),
            undone: BTreeSet::new(),
            lost: BTreeMap::new(),
            reopened: BTreeSet::new(),
            attempts_before: BTreeMap::new(),
            children: BTreeMap::new(),
            base: None,
        }
    }

    /// How many events are in the books.
    pub fn seq(&self) -> u64 {
        self.journal.len() as u64
    }

    /// The run as its journal folds.
    pub fn run(&self) -> Option<&Run> {
        self.shadow.as_ref()
    }

    /// How the run ended, by its journal.
    pub fn ended(&self) -> Option<&'static str> {
        self.ended
    }

    /// The attempts that are owed, by the journal.
    pub fn owed(&self) -> &BTreeSet<CommandId> {
        &self.owed
    }

    /// When the run must be looked at, by the journal.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.ended.is_some() {
            return None;
        }
        if let Some(starts_at) = self.starts_at {
            return Some(starts_at).filter(|_| !self.paused);
        }
        let retries = self.retries.values().filter(|_| !self.paused);
        let timers = self.timers.values().chain(self.deadlines.values());
        timers.chain(retries).copied().chain(self.run_deadline).min()
    }

    /// Whether the run is paused, by the journal.
    pub fn is_paused(&self) -> bool {
        self.paused && self.ended.is_none()
    }

    /// Whether the run waits for its thread, by the journal.
    pub fn is_queued(&self) -> bool {
        self.queued && self.ended.is_none()
    }

    /// Takes up one row.
    pub fn row(&mut self, seq: u64, at: Timestamp, events: &[Event]) -> Result<(), Problem> {
        if seq != self.seq() {
            return problem(format!("a row starts at event {seq}, expected {}", self.seq()));
        }
        if at < self.last_at {
            return problem(format!("time fell from {} to {}", self.last_at.0, at.0));
        }
        if events.is_empty() {
            return problem("an empty row");
        }
        self.last_at = at;
        self.entered = events.iter().filter(|event| matches!(event, Event::NodeStarted(_))).count();
        let text = serde_json::to_string(events)
            .map_err(|error| Problem(format!("events do not serialize: {error}")))?;
        let read: Vec<Event> = serde_json::from_str(&text)
            .map_err(|error| Problem(format!("events do not read back: {error} in {text}")))?;
        self.rows.push(self.journal.len());
        for event in events {
            if let Event::RunRetried(retried) = event {
                *self = self.taken_back(&retried.paths)?;
            }
            self.event(at, event).map_err(|Problem(what)| {
                let text = serde_json::to_string(event).unwrap_or_default();
                Problem(format!("event {}: {what}: {text}", self.seq()))
            })?;
            self.facts.learn(at, event);
            self.journal.push((at, event.clone()));
        }
        if let Some((path, name)) = &self.passes {
            return problem(format!("{path} was left past {name}, and that is not said"));
        }
        if let Some((path, (_, name, _))) =
            self.waits.iter().find(|(_, wait)| self.kept.contains_key(&wait.1))
        {
            return problem(format!("{path} waits for {name} although one is kept"));
        }
        let rows = read.into_iter().map(|event| (at, event));
        let folded = match self.shadow.take() {
            None => Run::fold(self.graph.clone(), None, rows),
            Some(shadow) => {
                let mut snapshot = shadow.snapshot();
                if seq.is_multiple_of(3) {
                    snapshot = through_text(&snapshot)?;
                }
                Run::fold(self.graph.clone(), Some(snapshot), rows)
            }
        };
        self.shadow =
            Some(folded.map_err(|corrupt| Problem(format!("the journal does not fold: {corrupt}")))?);
        Ok(())
    }

    /// Holds a run that has decided exactly what is in the books against them.
    pub fn same(&mut self, run: &Run) -> Result<(), Problem> {
        let Some(shadow) = &self.shadow else { return problem("nothing is in the journal") };
        if !run.is_same(shadow) {
            let texts = [run, shadow].map(|run| serde_json::to_string(&run.snapshot()).unwrap_or_default());
            let [run, shadow] = texts;
            return problem(format!(
                "folding leads elsewhere than handling:\n  handled {run}\n  folded  {shadow}"
            ));
        }
        let owed: BTreeSet<CommandId> = run.owed().map(|command| command.id.clone()).collect();
        if owed != self.owed {
            return problem(format!("owed is {owed:?}, by the journal {:?}", self.owed));
        }
        if self.is_amid_steps() && run.next_deadline() == Some(self.last_at) {
            // A decision enters so many nodes at most, and asks to go on at once.
        } else if run.next_deadline() != self.next_deadline() {
            return problem(format!(
                "the next deadline is {:?}, by the journal {:?}",
                run.next_deadline(),
                self.next_deadline()
            ));
        }
        let waits = !owed.is_empty() || run.next_deadline().is_some();
        if (run.status() == bandstand_engine::Status::Paused) != self.is_paused() {
            return problem(format!("the run is {}, by the journal it is otherwise", run.status().name()));
        }
        let waits = waits || self.is_paused() || !self.waits.is_empty() || self.is_queued();
        if run.waits_for_start() != self.starts_at.filter(|_| self.ended.is_none()) {
            return problem(format!("the run waits for its start: {:?}", run.waits_for_start()));
        }
        if run.waits_for_thread().is_some() != self.is_queued() {
            return problem(format!("the run waits for its thread: {}", !self.is_queued()));
        }
        if run.status().is_ended() == waits || run.status().is_ended() != self.ended.is_some() {
            return problem(format!(
                "the run is {} and {}",
                run.status().name(),
                if waits { "waits" } else { "waits for nothing" }
            ));
        }
        for command in run.owed() {
            let key = command.idempotency_key(run.id());
            let input = self.inputs.entry(key.clone()).or_insert_with(|| command.input.clone());
            if *input != command.input {
                return problem(format!("key {key} names two inputs: {input} and {}", command.input));
            }
            if command.attempts_max < command.id.attempt {
                return problem(format!("{} is above {} attempts", command.id, command.attempts_max));
            }
        }
        Ok(())
    }

    /// Whether the last decision may have stopped because it entered many nodes.
    pub fn is_amid_steps(&self) -> bool {
        self.entered >= 250
    }

    /// Folds everything from the beginning.
    pub fn refold(&self) -> Result<Run, Problem> {
        Run::fold(self.graph.clone(), None, self.journal.iter().cloned())
            .map_err(|corrupt| Problem(format!("the journal does not fold: {corrupt}")))
    }

    fn note(&mut self, path: &Path, what: String) {
        self.visits.entry(path.to_string()).or_default().push(what);
    }

    fn event(&mut self, at: Timestamp, event: &Event) -> Result<(), Problem> {
        if let Some(ended) = self.ended
            && !matches!(event, Event::RunRetried(_))
        {
            return problem(format!("the run had {ended}"));
        }
        let rests = matches!(
            event,
            Event::ThreadEntered(_)
                | Event::RunPaused(_)
                | Event::RunResumed(_)
                | Event::RunCancelled(_)
                | Event::RunKilled(_)
                | Event::SignalReceived(_)
                | Event::Warning(_)
        );
        if self.queued && !rests {
            return problem("it waits for its thread");
        }
        if self.starts_at.is_some() && !rests && !matches!(event, Event::RunDue(_)) {
            return problem("it was to begin later");
        }
        if let Some(path) = event.path()
            && !matches!(event, Event::StageEntered(_) | Event::Warning(_) | Event::CheckpointNamed(_))
        {
            let mut around = Some(path.clone());
            while let Some(path) = around {
                if self.finished.contains(&path) {
                    return problem(format!("the visit {path} was finished"));
                }
                around = path.parent();
            }
        }
        match (self.passes.take(), event) {
            (None, Event::CheckpointNamed(e)) => return problem(format!("{} was not just passed", e.name)),
            (Some((path, name)), Event::CheckpointNamed(e)) if e.p == path && e.name == name => {}
            (Some((path, name)), _) => {
                return problem(format!("{path} was left past {name}, and that is not said"));
            }
            (None, _) => {}
        }
        let ends = matches!(event, Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_));
        let listed =
            matches!(self.journal.last(), Some((_, Event::Warning(e))) if e.code == "unused-signals");
        if ends && listed == self.kept.is_empty() {
            return problem(format!("{:?} are left over, listed: {listed}", self.kept));
        }
        match event {
            Event::RunStarted(e) => {
                self.run_deadline = e.deadline;
                self.queued = e.lease == Some(Lease::Queued);
                self.starts_at = e.start_at;
                if e.start_at.is_some_and(|start_at| start_at <= at || e.deadline.is_some()) {
                    return problem("a time that had passed, or a deadline before it begins");
                }
            }
            Event::RunDue(e) => {
                match self.starts_at.take() {
                    None => return problem("it had begun"),
                    Some(starts_at) if at < starts_at => return problem("it begins early"),
                    Some(_) if self.paused => return problem("it begins while it is paused"),
                    Some(_) => {}
                }
                if e.deadline != self.graph.timeout_ms.map(|timeout_ms| at.plus_ms(timeout_ms)) {
                    return problem("the run's deadline does not count from its beginning");
                }
                self.run_deadline = e.deadline;
            }
            Event::RunAdopted(_) => {}
            Event::ThreadEntered(_) if !self.queued => return problem("it had its thread"),
            Event::ThreadEntered(e) => {
                self.queued = false;
                self.run_deadline = e.deadline;
            }
            // No channel of a generated workflow is kept there.
            Event::ThreadWritten(_) => return problem("it writes its thread"),
            Event::RunRetried(e) => {
                self.ended = None;
                self.run_deadline = e.deadline;
                self.paused = false;
                let lost = self.lost.get(&(e.failed_at, e.paths.clone())).cloned().unwrap_or_default();
                self.lay_down(e.failed_at, at, Some(&lost));
                // An agent that is tried again gets its whole time again.
                self.deadlines.clear();
                self.lost_until_retried.retain(|branch| !e.paths.iter().any(path_in(branch)));
                self.hold_back(&Path::root(), at);
                self.reopened.extend(e.paths.iter().cloned());
            }
            Event::RunSucceeded(_) => self.end("succeeded")?,
            Event::RunFailed(e) => {
                // A child run's timeout is its own.
                if e.error.failure.code == "run-timeout"
                    && e.error.path == Path::root()
                    && self.run_deadline.is_none_or(|deadline| at < deadline)
                {
                    return problem("the run timed out early");
                }
                self.end("failed")?;
            }
            Event::RunCancelled(_) => self.end("cancelled")?,
            Event::RunKilled(e) => {
                let owed: BTreeSet<&String> =
                    self.owed.iter().filter_map(|id| self.children.get(id)).collect();
                if owed != e.children.iter().collect() {
                    return problem(format!("the child runs {owed:?} were under way"));
                }
                // Whatever is open ends with it.
                self.owed.clear();
                self.timers.clear();
                self.retries.clear();
                self.deadlines.clear();
                self.waits.clear();
                self.end("killed")?;
            }
            Event::RunPaused(_) if self.paused => return problem("it was paused already"),
            Event::RunPaused(_) => self.paused = true,
            Event::RunResumed(_) if !self.paused => return problem("it was not paused"),
            Event::RunResumed(_) => self.paused = false,
            Event::NodeStarted(e) => {
                self.node_started(&e.p)?;
                match (e.deadline, self.graph.node(&e.p).map(|node| &node.kind)) {
                    (deadline, Some(Kind::Agent(agent))) => {
                        let has_key = agent.cache.as_ref().is_some_and(|cache| cache.key.is_some());
                        if e.cache_key.is_some() != (has_key && e.input.is_some()) {
                            return problem("its `cache.key` is not as the graph says");
                        }
                        let value = |payload: &Option<Payload>| {
                            payload
                                .as_ref()
                                .and_then(Payload::value)
                                .map_or(Value::Null, |value| (**value).clone())
                        };
                        self.given.insert(e.p.clone(), (value(&e.input), value(&e.cache_key)));
                        if deadline != agent.deadline_ms.map(|span_ms| at.plus_ms(span_ms)) {
                            return problem("the deadline does not follow from the graph");
                        }
                        // Without an input there is no attempt, and so nothing to wait for.
                        if let (Some(deadline), Some(_)) = (deadline, &e.input) {
                            self.deadlines.insert(e.p.clone(), deadline);
                        }
                    }
                    (Some(deadline), _) => drop(self.timers.insert(e.p.clone(), deadline)),
                    (None, _) => {}
                }
            }
            Event::NodeSucceeded(e) => {
                self.timers.remove(&e.p);
                self.kept(at, e)?;
                let output = match &e.output {
                    Payload::Value(value) => Some((**value).clone()),
                    Payload::Output(path) => self.outputs.get(path).cloned(),
                    _ => None,
                };
                let output = output.map_or_else(|| "*".to_owned(), |output| normal(&output).to_string());
                self.note(&e.p, format!("succeeded {output} expired={}", e.expired));
            }
            Event::NodeFailed(e) => {
                let failure = &e.error.failure;
                let of_child =
                    matches!(self.graph.node(&e.p).map(|node| &node.kind), Some(Kind::Workflow(_)))
                        && !self.facts.overrun.contains_key(&e.p);
                if failure.code == "block-timeout"
                    && !of_child
                    && self.timers.get(&e.p).is_none_or(|deadline| at < *deadline)
                {
                    return problem("the block timed out early");
                }
                self.timers.remove(&e.p);
                self.deadlines.remove(&e.p);
                self.plain.remove(&e.p);
                self.note(
                    &e.p,
                    format!("failed {} {} caught={}", failure.class.name(), failure.code, e.caught),
                );
                if !e.caught {
                    self.finished.insert(e.p.clone());
                }
            }
            Event::NodeCancelled(e) => {
                self.timers.remove(&e.p);
                self.deadlines.remove(&e.p);
                self.waits.remove(&e.p);
                self.finished.insert(e.p.clone());
            }
            Event::EdgeTaken(e) => {
                let why = match &e.because {
                    EdgeCause::When(index) => format!("when {index}"),
                    other => json!(other).as_str().unwrap_or("").to_owned(),
                };
                self.note(&e.p, edge(&e.to, &why));
                self.finished.insert(e.p.clone());
                let name = self.graph.node(&e.p).and_then(|node| node.checkpoint.clone());
                self.passes = name.map(|name| (e.p.clone(), name));
            }
            Event::RouteDecided(e) => {
                let routing = json!({
                    "decision": e.decision, "confidence": e.confidence, "threshold": e.threshold, "below": e.below,
                    "alternatives": e.alternatives.iter().map(|choice| json!({
                        "name": choice.name, "confidence": choice.confidence, "reason": choice.reason,
                    })).collect::<Vec<_>>(),
                });
                self.note(&e.p, format!("routed {routing}"));
            }
            Event::AttemptScheduled(e) => self.scheduled(at, e)?,
            Event::AttemptDue(e) => {
                if self.paused {
                    return problem("an attempt falls due while the run is paused");
                }
                match self.retries.remove(&e.p) {
                    Some(due) if due <= at => {}
                    due => return problem(format!("an attempt is due that was due at {due:?}")),
                }
                self.owed.insert(CommandId { path: e.p.clone(), attempt: e.attempt });
            }
            Event::AttemptInterrupted(e) => {
                let id = CommandId { path: e.p.clone(), attempt: e.attempt };
                let times = self.interruptions.entry(e.p.clone()).or_default();
                *times += 1;
                if !self.owed.contains(&id) || *times != e.times {
                    return problem(format!("{id} is not owed, or was not interrupted {} times", e.times));
                }
            }
            Event::AttemptSucceeded(e) => {
                self.attempt_ended(&e.p, e.attempt)?;
                self.deadlines.remove(&e.p);
                if matches!(e.next, ReplyNext::Edges | ReplyNext::Choose(_)) {
                    self.plain.insert(e.p.clone());
                }
                if matches!(e.next, ReplyNext::Review(_)) {
                    // A person may still change it; what an earlier attempt said holds no longer either.
                    self.outputs.remove(&e.p);
                } else if let Payload::Value(output) = &e.output {
                    self.outputs.insert(e.p.clone(), (**output).clone());
                }
            }
            Event::AttemptFailed(e) => self.attempt_ended(&e.p, e.attempt)?,
            Event::AttemptCancelled(e) => {
                if e.because == CancelCause::Deadline {
                    match self.deadlines.remove(&e.p) {
                        Some(deadline) if deadline <= at => {}
                        other => return problem(format!("its deadline was {other:?}")),
                    }
                }
                let waited = self.retries.remove(&e.p).is_some();
                if !waited {
                    self.attempt_ended(&e.p, e.attempt)?;
                }
                // One that waits for its time has no run yet.
                let id = CommandId { path: e.p.clone(), attempt: e.attempt };
                let child = self.children.get(&id).filter(|_| !waited);
                if child != e.child.as_ref() {
                    return problem(format!("the child run {child:?} was under way"));
                }
            }
            Event::BranchesOpened(e) => {
                self.open_items.insert(e.p.clone(), BTreeSet::new());
            }
            Event::BranchesStarted(e) => self.branches_started(at, &e.p, &e.branches)?,
            Event::BranchEnded(e) => {
                if e.outcome == BranchOutcome::Cancelled {
                    self.cancelled_branches.insert(e.p.join(e.branch.segment()));
                }
                let open = self.open_items.entry(e.p.clone()).or_default();
                let was_open = open.remove(&e.branch);
                if was_open == (e.outcome == BranchOutcome::Skipped) {
                    return problem("a branch ended that was not open, or was skipped and open");
                }
            }
            Event::ReviewOpened(e) => {
                self.timers.insert(e.p.clone(), e.deadline);
                self.reviews.insert(e.review_id.clone(), e.p.clone());
                // Asked anew, it has its own answers.
                self.edits.remove(&e.p);
                let own = format!("{}!", e.p);
                self.answers.retain(|id| !id.starts_with(&own));
            }
            Event::ReviewAnswered(e) => {
                if e.changes.is_some() {
                    self.edits.insert(e.p.clone(), e.feedback_id.clone());
                }
                if !self.answers.insert(e.feedback_id.clone()) {
                    return problem("an answer is recorded twice");
                }
            }
            Event::ReviewDecided(e) => {
                if e.because == bandstand_engine::event::ReviewCause::Timeout {
                    self.timer_fired(&e.p, at)?;
                }
                self.timers.remove(&e.p);
            }
            Event::ReviewWithdrawn(e) => {
                self.timers.remove(&e.p);
            }
            Event::WaitStarted(e) => {
                if let Some(time) = e.until.or(e.deadline) {
                    self.timers.insert(e.p.clone(), time);
                }
                if let Some(name) = &e.signal {
                    // Begun anew after a point, it has its turn by when it was entered.
                    let since = self.waits.get(&e.p).map_or(at, |(since, _, _)| *since);
                    self.waits.insert(e.p.clone(), (since, name.clone(), e.deadline.is_none()));
                }
            }
            Event::WaitEnded(e) => self.wait_ended(&e.p, &e.because, at)?,
            Event::SignalReceived(e) => {
                if !self.signals.insert(e.signal_id.clone())
                    || !e.request_id.as_ref().is_none_or(|request| self.requests.insert(request.clone()))
                {
                    return problem("a signal is recorded twice");
                }
                self.kept.entry(e.name.clone()).or_default().push_back(e.signal_id.clone());
            }
            Event::CheckpointNamed(_) => {}
            Event::BranchesJoined(e) => {
                // What waits for its place has lost it.
                let lost = self.held.extract_if(.., |branch, _| branch.is_within(&e.p));
                self.cancelled_branches.extend(lost.map(|(branch, _)| branch));
            }
            Event::StageEntered(_) | Event::Warning(_) => {}
        }
        Ok(())
    }

    /// What is kept and what was kept, of a visit that succeeded.
    fn kept(&mut self, at: Timestamp, e: &NodeSucceeded) -> Result<(), Problem> {
        let plain = self.plain.remove(&e.p);
        let graph = self.graph.clone();
        let cache = match graph.node(&e.p).map(|node| &node.kind) {
            Some(Kind::Agent(agent)) => agent.cache.as_ref(),
            _ => None,
        };
        if e.cached_from.is_some() {
            let attempt = self.attempt.get(&e.p).copied().unwrap_or(0);
            self.attempt_ended(&e.p, attempt)?;
            self.deadlines.remove(&e.p);
        }
        match (&e.kept, cache) {
            (None, Some(_)) if plain => problem("its reply is not kept"),
            (None, _) => Ok(()),
            (Some(kept), Some(cache)) if plain && e.cached_from.is_none() => {
                if kept.until != at.plus_ms(cache.for_ms) {
                    return problem("it is kept for another time than the graph says");
                }
                let given = self.given.get(&e.p).cloned().unwrap_or_default();
                match self.kept_under.insert(kept.key.clone(), given.clone()) {
                    Some(other) if other != given => problem(format!("{other:?} is kept under the same key")),
                    _ => Ok(()),
                }
            }
            (Some(_), _) => problem("a reply is kept that must not be"),
        }
    }

    fn end(&mut self, how: &'static str) -> Result<(), Problem> {
        self.ended = Some(how);
        let timers = [&self.timers, &self.retries, &self.deadlines].into_iter().all(BTreeMap::is_empty);
        if !self.owed.is_empty() || !timers || !self.waits.is_empty() {
            return problem(format!("the run {how}, but {:?} and {:?} are open", self.owed, self.timers));
        }
        Ok(())
    }

    fn node_started(&mut self, path: &Path) -> Result<(), Problem> {
        if self.paused {
            return problem("a node is entered while the run is paused");
        }
        if !self.started.insert(path.clone()) {
            // A failed visit that had not come to a call is entered once more, as the same visit.
            return if self.reopened.remove(path) { Ok(()) } else { problem("the visit started before") };
        }
        let scope = path.parent().unwrap_or_default();
        let (place, visit) = match path.last() {
            Some(Segment::Node(id, visit)) => (scope.join(Segment::Node(id.clone(), 0)), *visit),
            _ => (scope.clone(), 1),
        };
        let visited = self.visited.entry(place).or_default();
        *visited += 1;
        if *visited != visit {
            return problem(format!("visit {visit} is number {visited}"));
        }
        let steps = self.steps.entry(scope).or_default();
        *steps += 1;
        if *steps > self.graph.limits.max_steps {
            return problem(format!("{steps} steps are above max-steps"));
        }
        Ok(())
    }

    fn wait_ended(&mut self, path: &Path, because: &WaitCause, at: Timestamp) -> Result<(), Problem> {
        let wait = self.waits.remove(path);
        match (because, wait) {
            (WaitCause::Time, None) | (WaitCause::Timeout, Some((_, _, false))) => self.timer_fired(path, at),
            (WaitCause::Signal(id), Some((since, name, _))) => {
                self.timers.remove(path);
                let earlier = self
                    .waits
                    .iter()
                    .find(|(other, wait)| wait.1 == name && (wait.0, *other) < (since, path));
                if let Some((other, _)) = earlier {
                    return problem(format!("{other} waits longer"));
                }
                let kept = self.kept.entry(name.clone()).or_default();
                if kept.pop_front().as_ref() != Some(id) {
                    return problem(format!("{id} is not the oldest of {name}"));
                }
                if kept.is_empty() {
                    self.kept.remove(&name);
                }
                Ok(())
            }
            (because, wait) => problem(format!("{wait:?} ended by {because:?}")),
        }
    }

    fn timer_fired(&mut self, path: &Path, at: Timestamp) -> Result<(), Problem> {
        match self.timers.remove(path) {
            Some(due) if due <= at => Ok(()),
            Some(due) => problem(format!("fires at {}, before {}", at.0, due.0)),
            None => problem("no timer was set"),
        }
    }

    fn attempt_ended(&mut self, path: &Path, attempt: u32) -> Result<(), Problem> {
        let id = CommandId { path: path.clone(), attempt };
        if self.owed.remove(&id) { Ok(()) } else { problem(format!("{id} was not owed")) }
    }

    fn scheduled(&mut self, at: Timestamp, e: &AttemptScheduled) -> Result<(), Problem> {
        let graph = self.graph.clone();
        let Some(kind) = graph.node(&e.p).map(|node| &node.kind) else { return problem("no such node") };
        let Some(policy) = kind.retry() else { return problem("no node that makes attempts") };
        let deadline_ms = if let Kind::Agent(agent) = kind { agent.deadline_ms } else { None };
        self.child_scheduled(matches!(kind, Kind::Workflow(_)), e)?;
        let before = self.attempt.insert(e.p.clone(), e.attempt).unwrap_or(0);
        self.plain.remove(&e.p);
        let again = match e.because {
            // One that had waited for its time keeps its number.
            AttemptCause::Person | AttemptCause::Adopted => e.attempt == before,
            _ => false,
        };
        if e.because == AttemptCause::Person {
            self.attempts_before.insert(e.p.clone(), e.attempt - 1);
            self.reopened.remove(&e.p);
        }
        let budget_before = self.attempts_before.get(&e.p).copied().unwrap_or(0);
        let by_policy = if policy.strategy == Strategy::None { 1 } else { policy.max_retries + 1 };
        let allowed = budget_before + by_policy;
        let follows = e.attempt == before + 1 && e.because != AttemptCause::Adopted;
        if !(follows || again) || e.attempt > allowed {
            return problem(format!("attempt {} follows attempt {before} of {allowed}", e.attempt));
        }
        self.interruptions.remove(&e.p);
        let delay_ms = e.delay_ms.unwrap_or(0);
        if matches!(e.because, AttemptCause::Person | AttemptCause::Adopted) {
            if let (AttemptCause::Person, Some(span_ms)) = (e.because, deadline_ms) {
                self.deadlines.insert(e.p.clone(), at.plus_ms(span_ms));
            }
            match e.due {
                Some(due) => drop(self.retries.insert(e.p.clone(), due)),
                None => drop(self.owed.insert(CommandId { path: e.p.clone(), attempt: e.attempt })),
            }
            return Ok(());
        }
        match e.because {
            AttemptCause::First if e.attempt == 1 && e.due.is_none() => {}
            AttemptCause::Policy if delay_fits(policy, e.attempt - budget_before, delay_ms) => {}
            AttemptCause::RetryAfter => {}
            _ => return problem(format!("the delay does not follow from {policy:?}")),
        }
        if e.due != (delay_ms > 0).then(|| at.plus_ms(delay_ms)) {
            return problem("the due time is not now and the delay");
        }
        match e.due {
            Some(due) => {
                self.retries.insert(e.p.clone(), due);
            }
            None => {
                self.owed.insert(CommandId { path: e.p.clone(), attempt: e.attempt });
            }
        }
        Ok(())
    }

    /// An attempt of a `workflow` node, and no other, names the run that it is, which no other attempt is.
    fn child_scheduled(&mut self, is_child: bool, e: &AttemptScheduled) -> Result<(), Problem> {
        let id = CommandId { path: e.p.clone(), attempt: e.attempt };
        match (&e.child, is_child) {
            (None, false) => Ok(()),
            (Some(child), true) => {
                if self.children.iter().any(|(other, run_id)| run_id == child && *other != id) {
                    return problem("another attempt is that child run");
                }
                match self.children.insert(id, child.clone()) {
                    // Of a fork, it is a run of the fork.
                    Some(before) if before != *child && e.because != AttemptCause::Adopted => {
                        problem(format!("the attempt is the child run {before}"))
                    }
                    _ => Ok(()),
                }
            }
            _ => problem("an attempt is a child run just if its node runs a workflow"),
        }
    }

    fn branches_started(
        &mut self,
        at: Timestamp,
        path: &Path,
        branches: &[BranchKey],
    ) -> Result<(), Problem> {
        let Some(kind) = self.graph.node(path).map(|node| node.kind.clone()) else {
            return problem("no such block");
        };
        for branch in branches {
            self.open_items.entry(path.clone()).or_default().insert(branch.clone());
            self.take_up(at, &path.join(branch.segment()));
        }
        match kind {
            Kind::Map(map) if self.open_of(path).count() > map.concurrency as usize => problem(format!(
                "{} items are open, `concurrency` is {}",
                self.open_of(path).count(),
                map.concurrency
            )),
            Kind::Map(_)
                if self.held.keys().any(|held| {
                    let first = branches.iter().map(|branch| path.join(branch.segment())).min();
                    held.parent().as_ref() == Some(path) && first.is_some_and(|first| *held < first)
                }) =>
            {
                problem("an item that waits for its place was passed over")
            }
            _ => Ok(()),
        }
    }

    /// The branches of a block that are open.
    fn open_of(&self, block: &Path) -> impl Iterator<Item = &BranchKey> {
        let open = self.open_items.get(block).into_iter().flatten();
        open.filter(|branch| !self.lost_until_retried.contains(&block.join(branch.segment())))
    }

    /// A retry opens no more items at once than a map allows: the others rest.
    fn hold_back(&mut self, within: &Path, now: Timestamp) {
        let graph = self.graph.clone();
        let blocks: Vec<Path> =
            self.open_items.keys().filter(|block| block.is_within(within)).cloned().collect();
        for block in blocks {
            let Some(Kind::Map(map)) = graph.node(&block).map(|node| &node.kind) else { continue };
            let mut resting = self.held.keys().chain(&self.lost_until_retried);
            if resting.any(|branch| block.is_within(branch)) {
                continue;
            }
            let beyond: Vec<BranchKey> =
                self.open_of(&block).skip(map.concurrency as usize).cloned().collect();
            for branch in beyond {
                let path = block.join(branch.segment());
                self.open_items.entry(block.clone()).or_default().remove(&branch);
                let inside = path_in(&path);
                let timers = self.timers.extract_if(.., |path, _| inside(path)).collect();
                let waits = self.waits.extract_if(.., |path, _| inside(path)).collect();
                self.held.insert(path.clone(), Held { since: now, timers, waits });
            }
        }
    }

    /// An item that was held back goes on: all that it waits for comes so much later.
    fn take_up(&mut self, now: Timestamp, path: &Path) {
        let Some(Held { since, timers, waits }) = self.held.remove(path) else { return };
        let span_ms = now.since_ms(since);
        for (path, due) in timers {
            let due = due.plus_ms(span_ms);
            if !matches!(self.graph.node(&path).map(|node| &node.kind), Some(Kind::Workflow(_))) {
                self.facts.move_deadline(&path, due);
            }
            self.timers.insert(path, due);
        }
        let waits =
            waits.into_iter().map(|(path, (since, name, ever))| (path, (since.plus_ms(span_ms), name, ever)));
        self.waits.extend(waits);
        for (inner, held) in &mut self.held {
            if inner.is_within(path) {
                held.shift(span_ms);
            }
        }
        self.hold_back(path, now);
    }

    /// The journal by rows.
    pub fn journal_rows(&self) -> Vec<JournalRow> {
        let ends = self.rows.iter().skip(1).copied().chain([self.journal.len()]);
        let rows = self.rows.iter().zip(ends);
        rows.map(|(from, to)| JournalRow {
            at: self.journal[*from].0,
            events: self.journal[*from..to].iter().map(|(_, event)| event.clone()).collect(),
        })
        .collect()
    }

    /// What is under way rests, and begins anew after that; for blocks, time stood still. `retried`: those whose time was up
    /// get it again; with the branches that had failed before, and when.
    fn lay_down(&mut self, then: Timestamp, now: Timestamp, retried: Option<&BTreeMap<Path, Timestamp>>) {
        self.owed.clear();
        self.retries.clear();
        let span_ms = now.since_ms(then);
        self.deadlines.values_mut().for_each(|deadline| *deadline = deadline.plus_ms(span_ms));
        // When the branch of a path stopped: with the run, or before it.
        let stopped = |path: &Path| {
            let lost = retried.into_iter().flatten().filter(|(branch, _)| path_in(branch)(path));
            lost.max_by_key(|(branch, _)| branch.segments().len()).map_or(then, |(_, at)| *at)
        };
        for (path, (since, _, _)) in &mut self.waits {
            *since = since.plus_ms(now.since_ms(stopped(path)));
        }
        for (branch, held) in &mut self.held {
            held.shift(now.since_ms(stopped(branch)));
        }
        let timers = std::mem::take(&mut self.timers);
        for (path, due) in timers {
            let timeout_ms = match self.graph.node(&path).map(|node| &node.kind) {
                // It gets its whole time again, as its attempts do.
                Some(Kind::Workflow(child)) if retried.is_some() => {
                    let Some(timeout_ms) = child.timeout_ms else { continue };
                    self.timers.insert(path, now.plus_ms(timeout_ms));
                    continue;
                }
                Some(Kind::Workflow(child)) => child.timeout_ms,
                Some(Kind::Parallel(block)) => block.timeout_ms,
                Some(Kind::Map(block)) => block.timeout_ms,
                _ => None,
            };
            let Some(timeout_ms) = timeout_ms else { continue };
            let then = stopped(&path);
            let due = if retried.is_some() && due <= then { then.plus_ms(timeout_ms) } else { due };
            let due = due.plus_ms(now.since_ms(then));
            self.facts.move_deadline(&path, due);
            self.timers.insert(path, due);
        }
    }

    /// The books without the failure that a retry takes back: what failed and was cancelled with the run, and the
    /// branches that had failed before and are open again. Everything else stays, above all what had finished.
    fn taken_back(&self, paths: &[Path]) -> Result<Checker, Problem> {
        let mut undone = self.undone.clone();
        let row_of = |index: usize| self.rows.iter().rev().find(|from| **from <= index).copied().unwrap_or(0);
        let mut spread = |last: usize| {
            let mut index = last;
            while index >= row_of(last) && is_of_failure(&self.journal[index].1) {
                undone.insert(index);
                let Some(before) = index.checked_sub(1) else { break };
                index = before;
            }
        };
        spread(self.journal.len() - 1);
        let mut lost = BTreeMap::new();
        for (index, (at, event)) in self.journal.iter().enumerate() {
            let Event::BranchEnded(e) = event else { continue };
            let branch = e.p.join(e.branch.segment());
            let opened = path_in(&branch);
            if e.outcome == BranchOutcome::Failed && paths.iter().any(opened) {
                // One that an earlier retry has opened again did not fail since.
                if !self.undone.contains(&index) {
                    lost.insert(branch.clone(), *at);
                }
                spread(index);
            }
        }
        for (index, (_, event)) in self.journal.iter().enumerate() {
            // The block itself is among the paths when only what came after its join failed.
            if let Event::BranchEnded(e) = event
                && e.outcome == BranchOutcome::Skipped
                && paths.iter().any(|path| path.is_within(&e.p) && *path != e.p)
            {
                undone.insert(index);
            }
        }
        let mut books = match &self.base {
            Some(base) => (**base).clone(),
            None => Checker::new(self.graph.clone()),
        };
        books.undone.clone_from(&undone);
        books.lost.clone_from(&self.lost);
        let failed_at = self.journal.last().map_or(self.last_at, |(at, _)| *at);
        books.lost.insert((failed_at, paths.to_vec()), lost);
        for (index, (at, event)) in self.journal.iter().enumerate() {
            if undone.contains(&index) {
                if let Event::BranchEnded(e) = event
                    && e.outcome == BranchOutcome::Failed
                {
                    books.lost_until_retried.insert(e.p.join(e.branch.segment()));
                }
            } else {
                books.event(*at, event).map_err(|Problem(what)| {
                    Problem(format!("without the failure that was taken back, event {index}: {what}"))
                })?;
                books.facts.learn(*at, event);
            }
        }
        let Checker { shadow, journal, rows, base, .. } = self.clone();
        Ok(Checker { shadow, journal, rows, base, last_at: self.last_at, entered: self.entered, ..books })
    }

    /// The books of a fork that adopts this run's first `seq` events, which rested at `then`, and begins at `now`.
    pub fn fork(&self, seq: u64, now: Timestamp) -> Result<Checker, Problem> {
        let adopted = usize::try_from(seq).unwrap_or(usize::MAX).min(self.journal.len());
        let mut prefix = Checker::new(self.graph.clone());
        for from in self.rows.iter().copied().filter(|from| *from < adopted) {
            let to = self.rows.iter().copied().find(|next| *next > from).unwrap_or(adopted).min(adopted);
            let at = self.journal[from].0;
            let events: Vec<Event> = self.journal[from..to].iter().map(|(_, event)| event.clone()).collect();
            prefix.row(from as u64, at, &events)?;
        }
        let then = prefix.last_at;
        prefix.lay_down(then, now, None);
        prefix.inputs.clear();
        prefix.paused = false;
        prefix.starts_at = None;
        // Nothing was sent to the fork itself yet.
        prefix.signals.clear();
        prefix.requests.clear();
        (prefix.shadow, prefix.base) = (None, None);
        prefix.journal.clear();
        prefix.rows.clear();
        prefix.undone.clear();
        prefix.last_at = Timestamp(i64::MIN);
        prefix.base = Some(Box::new(prefix.clone()));
        Ok(prefix)
    }

    /// The number of the last attempt of a visit.
    pub fn attempts(&self, path: &str) -> u32 {
        path.parse::<Path>().ok().and_then(|path| self.attempt.get(&path).copied()).unwrap_or(0)
    }

    /// Whether the visit, or the branch it is in, was ended from outside.
    pub fn is_in_cancelled(&self, path: &str) -> bool {
        let Ok(path) = path.parse::<Path>() else { return false };
        let mut around = Some(path);
        while let Some(path) = around {
            if self.facts.cancelled.contains(&path) || self.cancelled_branches.contains(&path) {
                return true;
            }
            around = path.parent();
        }
        false
    }

    /// Whether the run failed because its own time was up.
    pub fn timed_out(&self) -> bool {
        matches!(self.journal.last(), Some((_, Event::RunFailed(e)))
            if e.error.failure.class == Class::Timeout
                && e.error.failure.code == "run-timeout"
                && e.error.path == Path::root())
    }
}

/// Whether a path is that of a branch, or inside it.
fn path_in(branch: &Path) -> impl Fn(&Path) -> bool + '_ {
    move |path| path.is_within(branch) || path == branch
}

/// What a failure spreads by; nothing of it finishes anything.
fn is_of_failure(event: &Event) -> bool {
    match event {
        Event::NodeFailed(_)
        | Event::NodeCancelled(_)
        | Event::AttemptCancelled(_)
        | Event::ReviewWithdrawn(_)
        | Event::Warning(_)
        | Event::RunFailed(_) => true,
        Event::StageEntered(e) => e.stage == bandstand_engine::graph::Stage::Error && e.p == Path::root(),
        Event::BranchesJoined(e) => !e.satisfied,
        Event::BranchEnded(e) => e.outcome != BranchOutcome::Succeeded,
        _ => false,
    }
}

/// Section 6: the delay before retry n, from 0, and its jitter.
fn delay_fits(retry: &Retry, attempt: u32, delay_ms: u64) -> bool {
    let base = match retry.strategy {
        Strategy::None => return false,
        Strategy::Immediate => return delay_ms == 0,
        Strategy::Fixed => retry.base_delay_ms as f64,
        Strategy::Exponential => {
            let mut delay = retry.base_delay_ms as f64;
            for _ in 2..attempt {
                delay *= retry.factor;
            }
            delay
        }
    };
    let base = base.min(retry.max_delay_ms as f64).min(Retry::DELAY_MS_MAX as f64);
    let delay = delay_ms as f64;
    delay >= base * (1.0 - retry.jitter) - 1.0 && delay <= base * (1.0 + retry.jitter) + 1.0
}

fn through_text(snapshot: &Snapshot) -> Result<Snapshot, Problem> {
    let text = serde_json::to_string(snapshot)
        .map_err(|error| Problem(format!("a snapshot does not serialize: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Problem(format!("a snapshot does not read back: {error} in {text}")))
}
