//! The entrance of the engine: starting, handling inputs, the passing of time, and what others may ask of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::block::Begins;
use super::names::Beginning;
use super::state::{Attempt, End, Index, OpenReview, Phase, State, Timer, Waiting};
use super::thread::Begin;
use super::{
    Command, Corrupt, Decision, ErrorRecord, Event, Graph, Id, Input, NewRun, Outcome, Path, Payload, RULES,
    Rejected, Run, RunStarted, START_DAYS_MAX, Snapshot, Stage, Start, StartError, Status, Timestamp, apply,
    write,
};
use crate::event::{
    CancelCause, Lease, RunCancelled, RunDue, RunKilled, RunPaused, RunResumed, WaitCause, WaitEnded,
};
use crate::expression;
use crate::failure::{Class, Failure};
use crate::input::{ReplyNext, Spent};
use crate::mistake::{self, Mistake};

/// Timers that fire in one decision; the rest ask for another tick at once.
const TIMERS_PER_DECISION_MAX: usize = 250;

impl Start {
    /// Checks the input, fills in defaults and computes the first values of the channels.
    pub fn new(graph: &Graph, new: NewRun, now: Timestamp) -> Result<Start, StartError> {
        let mut input = new.input;
        let refused = |problem: String| StartError::Input { workflow: graph.name.clone(), problem };
        if let Some(schema) = &graph.input {
            schema.fill_defaults(&mut input);
            schema.check(&input).map_err(|problem| refused(problem.to_string()))?;
        } else if !input.is_object() {
            return Err(refused(format!("it is {}, and must be an object", write::type_name(&input))));
        }
        if write::is_too_deep(&input) {
            return Err(refused(format!("it nests more than {} deep", write::VALUE_DEPTH_MAX)));
        }
        let (bytes, bytes_max) = (write::json_bytes(&input), graph.limits.payload_bytes);
        if bytes > bytes_max {
            return Err(StartError::InputTooLarge { bytes, bytes_max });
        }
        let input = Arc::new(input);
        let start_at = new.start_at.filter(|start_at| *start_at > now);
        if let Some(at) = start_at {
            if at > now.plus_ms(u64::from(START_DAYS_MAX) * 86_400_000) {
                return Err(StartError::TooLate { at });
            }
            if new.thread.is_some() {
                return Err(StartError::DelayedInThread { workflow: graph.name.clone() });
            }
        }
        let begin = super::thread::begin(graph, &new.thread, new.thread_id.as_deref());
        let state = first_values(graph, &input, &begin)?;
        Ok(Start(RunStarted {
            run_id: new.run_id,
            workflow: super::WorkflowPin {
                name: graph.name.clone(),
                version: graph.version,
                source: new.source_digest,
                graph: new.graph_digest,
            },
            plugins: new.plugins,
            rules: RULES,
            host_version: new.host_version,
            seed: new.seed,
            thread_id: new.thread_id,
            user_id: new.user_id,
            input: Payload::Value(input),
            state,
            deadline: graph
                .timeout_ms
                .filter(|_| begin.lease != Some(Lease::Queued) && start_at.is_none())
                .map(|timeout_ms| now.plus_ms(timeout_ms)),
            start_at,
            request_id: new.request_id,
            request_digest: new.request_digest,
            starters: new.starters,
            linked: new.linked,
            rerun_of: new.rerun_of,
            parent: new.parent,
            children: new.children,
            lease: begin.lease,
            kept: begin.values.keys().cloned().collect(),
        }))
    }
}

fn first_values(
    graph: &Graph,
    input: &Arc<Value>,
    begin: &Begin,
) -> Result<BTreeMap<Id, Payload>, StartError> {
    let names = Beginning { input, constants: &graph.constants };
    let scope = expression::Scope {
        names: &names,
        templates: &graph.templates,
        fuel: graph.limits.expression_fuel,
        result_bytes_max: expression::RESULT_BYTES_MAX,
    };
    let mut values = BTreeMap::new();
    for (id, channel) in &graph.state {
        let refused = |problem: String| StartError::Channel {
            workflow: graph.name.clone(),
            channel: id.clone(),
            problem,
        };
        if let Some(value) = begin.values.get(id) {
            super::thread::fits(channel, value, &begin.thread_id).map_err(refused)?;
            values.insert(id.clone(), Payload::Value(value.clone()));
            continue;
        }
        let Some(template) = &channel.initial else {
            continue; // without `initial` a schema is first held against the first change
        };
        let value = template.evaluate(&scope).map_err(|error| refused(error.to_string()))?;
        let value = Arc::new(value);
        write::reduce(
            crate::event::WriteOp::Reduce(channel.reduce),
            value.clone(),
            &write::neutral(channel.reduce, &value),
        )
        .map_err(|_| {
            refused(format!(
                "its first value is {}, which its reducer cannot add to",
                write::type_name(&value)
            ))
        })?;
        if let Some(schema) = &channel.schema {
            schema
                .check(&value)
                .map_err(|problem| refused(format!("its first value breaks its schema: {problem}")))?;
        }
        values.insert(id.clone(), Payload::Value(value));
    }
    Ok(values)
}

impl Run {
    /// Begins a run. The decision's first event is `run.started`.
    pub fn start(graph: Arc<Graph>, start: Start, now: Timestamp) -> (Run, Decision) {
        let state = State::begin(&graph, &start.0, now).expect("a start holds its values");
        let index = Index::of(&graph, &state);
        let mut run = Run { graph, state, index, clock: now, events: Vec::new(), begins: Begins::default() };
        run.emit(Event::RunStarted(Box::new(start.0)));
        run.advance();
        run.write_thread_if_waiting();
        let decision = run.take_decision(Outcome::Unchanged);
        (run, decision)
    }

    /// Makes a run of its events, each with the time of its row, from the beginning or from a snapshot.
    pub fn fold(
        graph: Arc<Graph>,
        from: Option<Snapshot>,
        events: impl IntoIterator<Item = (Timestamp, Event)>,
    ) -> Result<Run, Corrupt> {
        let mut events = events.into_iter();
        let mut run = match from {
            Some(snapshot) => {
                let index = Index::of(&graph, &snapshot.state);
                Run {
                    clock: snapshot.state.now,
                    graph,
                    state: snapshot.state,
                    index,
                    events: Vec::new(),
                    begins: Begins::default(),
                }
            }
            None => {
                let corrupt =
                    |event: &str, problem: String| Corrupt { seq: 0, event: event.to_owned(), problem };
                let Some((at, first)) = events.next() else {
                    return Err(corrupt("none", "the journal is empty".to_owned()));
                };
                let Event::RunStarted(started) = &first else {
                    return Err(corrupt(first.name(), "a journal begins with `run.started`".to_owned()));
                };
                let state =
                    State::begin(&graph, started, at).map_err(|problem| corrupt("run.started", problem))?;
                let index = Index::of(&graph, &state);
                let mut run =
                    Run { clock: at, graph, state, index, events: Vec::new(), begins: Begins::default() };
                run.apply(at, &first).map_err(|problem| corrupt("run.started", problem))?;
                run
            }
        };
        for (at, event) in events {
            let seq = run.state.seq;
            run.apply(at, &event).map_err(|problem| Corrupt {
                seq,
                event: event.name().to_owned(),
                problem,
            })?;
        }
        run.clock = run.state.now;
        run.index.opened.clear();
        run.index.closed.clear();
        Ok(run)
    }

    /// Whether a person's input could be taken. Completions and ticks always can.
    pub fn check(&self, input: &Input, _now: Timestamp) -> Result<(), Rejected> {
        match input {
            Input::Answer(answer) => self.check_answer(answer).map(|_| ()),
            Input::Signal(signal) => self.check_signal(signal).map(|_| ()),
            Input::Cancel { reason, .. } => self.check_cancel(reason).map(|_| ()),
            Input::Retry(retry) => self.check_retry(retry).map(|_| ()),
            Input::Pause { reason, .. } => self.check_pause(reason).map(|_| ()),
            Input::Resume { reason, .. } => self.check_resume(reason).map(|_| ()),
            Input::Kill { reason, .. } => self.check_kill(reason).map(|_| ()),
            Input::Done { .. }
            | Input::Failed { .. }
            | Input::ChildEnded { .. }
            | Input::Cached { .. }
            | Input::Interrupted { .. }
            | Input::Enter(_)
            | Input::Tick => Ok(()),
        }
    }

    /// Takes one input at `now` (never before the run's last time), decides, and applies.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<Decision, Rejected> {
        self.clock = now.max(self.state.now);
        let known = match input {
            Input::Done { id, reply, usage } => self.attempt_done(&id, reply, usage),
            Input::Failed { id, failure, retry_after_ms, usage } => {
                self.attempt_failed(&id, failure, retry_after_ms, usage)
            }
            Input::ChildEnded { id, outcome } => self.child_ended(&id, outcome),
            Input::Cached { id, reply, from } => self.attempt_cached(&id, reply, from),
            Input::Interrupted { id } => self.attempt_interrupted(&id),
            Input::Tick => {
                self.tick();
                true
            }
            Input::Answer(answer) => {
                if let Some(p) = self.check_answer(&answer)? {
                    self.take_answer(&p, answer);
                }
                true
            }
            Input::Signal(signal) => {
                if let Some(name) = self.check_signal(&signal)? {
                    self.take_signal(name, signal);
                }
                true
            }
            Input::Cancel { by, reason } => {
                if self.check_cancel(&reason)? {
                    self.cancel_scope(&Path::root(), CancelCause::Run);
                    self.list_unused_signals();
                    self.emit(Event::RunCancelled(RunCancelled { by, reason }));
                }
                true
            }
            Input::Retry(retry) => {
                if self.check_retry(&retry)? {
                    self.retry(*retry);
                }
                true
            }
            Input::Pause { by, reason } => {
                if self.check_pause(&reason)? {
                    self.emit(Event::RunPaused(RunPaused { by, reason }));
                }
                true
            }
            Input::Resume { by, reason } => {
                if self.check_resume(&reason)? {
                    self.emit(Event::RunResumed(RunResumed { by, reason }));
                }
                true
            }
            Input::Kill { by, reason } => {
                if self.check_kill(&reason)? {
                    let children = self.children().map(|child| child.run_id).collect();
                    self.emit(Event::RunKilled(RunKilled { by, reason, children }));
                }
                true
            }
            Input::Enter(values) => {
                if self.waits_for_thread().is_some() {
                    self.enter_thread(&values);
                }
                true
            }
        };
        self.advance();
        self.write_thread_if_waiting();
        Ok(self.take_decision(if known { Outcome::Unchanged } else { Outcome::Stale }))
    }

    fn tick(&mut self) {
        if self.state.end.is_some() {
            return;
        }
        if self.state.started.deadline.is_some_and(|deadline| deadline <= self.clock) {
            let timeout_ms = self.graph.timeout_ms.unwrap_or(0);
            let message = format!("the run did not end within the workflow's `timeout` of {timeout_ms} ms");
            let failure = Failure::permanent(Class::Timeout, "run-timeout", message);
            let error = self.record(&Path::root(), failure, (1, 1), None);
            return self.fail_run(error);
        }
        if let Some(at) = self.state.starts_at {
            if at <= self.clock && !self.state.paused {
                let deadline = self.graph.timeout_ms.map(|timeout_ms| self.clock.plus_ms(timeout_ms));
                self.emit(Event::RunDue(RunDue { deadline }));
            }
            return;
        }
        for _ in 0..TIMERS_PER_DECISION_MAX {
            let Some((at, p, timer)) = self.index.next_timer(self.state.paused).cloned() else { return };
            let early_ms = if mistake::is(Mistake::TimerEarly) { 500 } else { 0 };
            if at > self.clock.plus_ms(early_ms) || self.state.end.is_some() {
                return;
            }
            match timer {
                Timer::Deadline => self.deadline_passed(&p),
                Timer::Retry => self.attempt_due(&p),
                Timer::Signal => self.signal_expired(&p),
                Timer::Block => self.block_expired(&p),
                Timer::Review => self.review_expired(&p),
                Timer::Wait => {
                    self.emit(Event::WaitEnded(WaitEnded { p: p.clone(), because: WaitCause::Time }));
                    let nothing = super::advance::empty();
                    self.succeed(&p, Payload::Value(nothing.clone()), nothing, None, &ReplyNext::Edges);
                }
            }
        }
    }

    /// Applies a decided event at once and keeps it for the decision.
    ///
    /// A decision whose event does not apply is a mistake of the engine. It panics, and the driver gives the run up as
    /// `stuck` with this text: going on would make a journal that cannot be folded.
    #[allow(clippy::panic)]
    pub(super) fn emit(&mut self, event: Event) {
        if let Err(problem) = self.apply(self.clock, &event) {
            panic!("a decided event does not apply: {problem} ({event:?})");
        }
        self.events.push(event);
    }

    pub(super) fn take_decision(&mut self, without_events: Outcome) -> Decision {
        let events = std::mem::take(&mut self.events);
        Decision {
            outcome: if events.is_empty() { without_events } else { Outcome::Changed },
            events,
            opened: std::mem::take(&mut self.index.opened).into_iter().collect(),
            closed: std::mem::take(&mut self.index.closed).into_iter().collect(),
        }
    }

    /// A number in -1..1 that depends on the run's seed and the purpose only.
    pub(super) fn random(&self, purpose: &str) -> f64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.state.started.seed.to_le_bytes()).update(purpose.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        // 53 bits are what a double holds exactly.
        (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// An id that is the same whenever it is derived: 16 hexadecimal digits.
    pub(super) fn derived_id(&self, purpose: &str, of: &str) -> String {
        self.hasher(purpose, of).finalize().to_hex()[..16].to_owned()
    }

    /// What is derived from the run's id, for that purpose.
    pub(super) fn hasher(&self, purpose: &str, of: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for part in [self.state.started.run_id.as_str(), purpose, of] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher
    }

    pub(super) fn review_id(&self, p: &Path) -> String {
        match self.state.retries {
            0 => self.derived_id("review", &p.to_string()),
            retries => self.derived_id("review", &format!("{p}/{retries}")),
        }
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.state.started.run_id
    }

    /// What it runs.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// What models cost it so far, in all attempts that ended.
    pub fn spent(&self) -> &Spent {
        &self.state.spent
    }

    /// What it began with.
    pub fn started(&self) -> &RunStarted {
        &self.state.started
    }

    /// When it began; of a run that is to begin later, when it was asked for.
    pub fn started_at(&self) -> Timestamp {
        self.state.started_at
    }

    /// Until when the whole run waits, since it is to begin later. `None`: it has begun.
    pub fn waits_for_start(&self) -> Option<Timestamp> {
        self.state.starts_at.filter(|_| self.state.end.is_none())
    }

    /// How often it was retried after it had failed.
    pub fn retries(&self) -> u32 {
        self.state.retries
    }

    /// The time of its last event.
    pub fn last_at(&self) -> Timestamp {
        self.state.now
    }

    /// How many events it has.
    pub fn seq(&self) -> u64 {
        self.state.seq
    }

    /// Visits of nodes so far.
    pub fn steps(&self) -> u64 {
        self.state.steps
    }

    /// The stage it is in.
    pub fn stage(&self) -> Stage {
        self.state.stage
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        match &self.state.end {
            Some(End::Succeeded { .. }) => Status::Succeeded,
            Some(End::Failed { .. }) => Status::Failed,
            Some(End::Cancelled { .. }) => Status::Cancelled,
            Some(End::Killed { .. }) => Status::Killed,
            None if self.state.paused => Status::Paused,
            None if self.index.ready.is_empty() && self.index.commands.values().all(Command::is_child) => {
                Status::Waiting
            }
            None => Status::Running,
        }
    }

    /// Whether nothing new may start: neither a node nor an attempt, not even one that is owed.
    pub fn is_paused(&self) -> bool {
        self.state.paused && self.state.end.is_none()
    }

    /// What it returned.
    pub fn output(&self) -> Option<&Arc<Value>> {
        match &self.state.end {
            Some(End::Succeeded { output }) => Some(output),
            _ => None,
        }
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&ErrorRecord> {
        match &self.state.end {
            Some(End::Failed { error }) => Some(error),
            _ => None,
        }
    }

    /// The channels of the root scope.
    pub fn channels(&self) -> BTreeMap<Id, Arc<Value>> {
        self.state.root.changed.iter().map(|(id, measured)| (id.clone(), measured.value().clone())).collect()
    }

    /// Every attempt that is owed: to be started, or under way.
    pub fn owed(&self) -> impl Iterator<Item = &Command> {
        self.index.commands.values()
    }

    /// The owed attempt with that id.
    pub fn command(&self, id: &crate::path::CommandId) -> Option<&Command> {
        self.index.commands.get(id)
    }

    /// When to come back with a [`Input::Tick`]; in the past: at once. `None`: only completions or people move it.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.state.end.is_some() {
            return None;
        }
        if !self.index.ready.is_empty() && !self.state.paused {
            return Some(self.state.now);
        }
        if let Some(starts_at) = self.waits_for_start() {
            // What starts something does not while the run is paused.
            return Some(starts_at).filter(|_| !self.state.paused);
        }
        let timer = self.index.next_timer(self.state.paused).map(|(at, _, _)| *at);
        timer.into_iter().chain(self.state.started.deadline).min()
    }

    /// The reviews that wait for people, by path.
    pub fn open_reviews(&self) -> Vec<OpenReview> {
        let mut reviews: Vec<OpenReview> = self
            .index
            .reviews
            .values()
            .filter_map(|p| {
                let review = self.visit(p)?.review()?;
                Some(OpenReview {
                    review_id: review.id.clone(),
                    path: p.clone(),
                    title: review.title.clone(),
                    reason: review.reason.clone(),
                    proposed: review.value.clone(),
                    form: review.form.clone(),
                    reviewers: review.reviewers.clone(),
                    quorum: review.quorum,
                    approvals: apply::approvals(review),
                    edited_by: review
                        .answers
                        .iter()
                        .rev()
                        .find(|a| a.changes.is_some())
                        .map(|a| a.id.clone()),
                    opened_at: review.opened_at,
                    deadline: review.deadline,
                })
            })
            .collect();
        reviews.sort_by(|a, b| a.path.cmp(&b.path));
        reviews
    }

    /// What the parts of the run wait for, the earliest first; then child runs, last the signals, in the order in which they are given out.
    pub fn waiting(&self) -> Vec<Waiting> {
        let timers = self.index.timers.iter();
        let timed = timers.filter_map(|(at, p, timer)| match (&self.visit(p)?.phase, timer) {
            (Phase::Attempt(Attempt { number, .. }), Timer::Retry) => {
                Some(Waiting::Retry { path: p.clone(), attempt: *number, due: *at })
            }
            (Phase::Wait { until }, _) => Some(Waiting::Time { path: p.clone(), until: *until }),
            (Phase::Review(review), _) => {
                Some(Waiting::Review { review_id: review.id.clone(), path: p.clone(), deadline: *at })
            }
            (Phase::Attempt(_) | Phase::Signal { .. } | Phase::Block(_) | Phase::Deciding, _) => None,
        });
        let waits = self.index.signal_waits.iter();
        let signals = waits.flat_map(|(name, paths)| {
            paths.iter().filter_map(|(_, p)| match &self.visit(p)?.phase {
                Phase::Signal { deadline, .. } => {
                    Some(Waiting::Signal { name: name.clone(), path: p.clone(), deadline: *deadline })
                }
                _ => None,
            })
        });
        let children =
            self.children().map(|child| Waiting::Child { path: child.id.path, run_id: child.run_id });
        let thread = self.waits_for_thread().map(|since| Waiting::Thread {
            thread_id: self.state.started.thread_id.clone().unwrap_or_default(),
            since,
        });
        let start = self.waits_for_start().map(|until| Waiting::Start { until });
        start.into_iter().chain(thread).chain(timed).chain(children).chain(signals).collect()
    }

    /// Its whole state, for opening it later without its history.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { version: Snapshot::VERSION, seq: self.state.seq, state: self.state.clone() }
    }

    /// Whether two runs are in the same state: folding must lead to what handling led to.
    pub fn is_same(&self, other: &Run) -> bool {
        self.state == other.state && self.index == other.index
    }
}
