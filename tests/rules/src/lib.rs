//! A run on the table: a workflow as text, a clock that tests move, agents that say what the test says.
//!
//! Every input is handled by the real engine; after each one the journal is folded again, through JSON, and must give
//! the same run. Storage, sandbox and driver have tests of their own.

#![allow(clippy::unwrap_used, clippy::panic)] // a harness: it ends a test as a test ends itself

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::event::{CachedFrom, PluginPin};
use bandstand_engine::graph::PluginSource;
use bandstand_engine::input::{
    By, ChildOutcome, Choice, Reply, ReplyNext, Retry, ReviewRequest, Usage, Verdict,
};
use bandstand_engine::run::{Edit, Fork, ForkError, JournalRow, NewRun, Point, ThreadNow};
use bandstand_engine::{
    Answer, Class, CommandId, Decision, Event, Failure, Graph, Input, Outcome, Rejected, Run, Signal,
    Snapshot, Start, StartError, Status, Timestamp,
};
use bandstand_workflow::{FileProblem, Options, Permitted, PluginFacts, PluginProblem, Resolver};
use serde_json::Value;

/// The moment at which every test run starts.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

/// One run and everything that has happened to it.
pub struct Table {
    /// The run.
    pub run: Run,
    /// Its journal.
    pub journal: Vec<(Timestamp, Event)>,
    /// The same, by rows.
    pub rows: Vec<JournalRow>,
    /// The time that the next input gets.
    pub now: Timestamp,
    answers: u32,
}

/// The checked workflow of that text. Panics with the diagnostics if there are any errors.
pub fn graph(text: &str) -> Arc<Graph> {
    let checked = bandstand_workflow::check(text.as_bytes(), &bandstand_workflow::Options::default());
    match checked.graph {
        Some(graph) => Arc::new(graph),
        None => panic!("the test's workflow is wrong: {:#?}", checked.diagnostics),
    }
}

/// The checked workflow of that text, whose children are the given files. Panics with the diagnostics if there are errors.
pub fn graph_with(text: &str, files: &[(&str, &str)]) -> Arc<Graph> {
    let shelf = Shelf(files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect());
    let options = Options { file: "parent.yaml".to_owned(), resolver: Some(&shelf), ..Options::default() };
    let checked = bandstand_workflow::check(text.as_bytes(), &options);
    match checked.graph {
        Some(graph) => Arc::new(graph),
        None => panic!("the test's workflow is wrong: {:#?}", checked.diagnostics),
    }
}

/// Files that are there; every plugin is.
struct Shelf(BTreeMap<String, String>);

impl Resolver for Shelf {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, FileProblem> {
        let text = self.0.get(path).ok_or_else(|| FileProblem::NotFound { tried: path.to_owned() })?;
        Ok(text.clone().into_bytes())
    }

    fn plugin(&self, _: &PluginSource, _: Option<&str>) -> Result<PluginFacts, PluginProblem> {
        Ok(PluginFacts { digest: "sha256:00".to_owned(), needs: Vec::new(), input: None, function: None })
    }

    fn builtins(&self) -> Vec<String> {
        vec!["echo".to_owned()]
    }

    fn permitted(&self, _: &PluginSource, _: &str) -> Option<Permitted> {
        None
    }
}

impl Table {
    /// Starts a run of a workflow given as text.
    pub fn start(text: &str, input: Value) -> Table {
        Table::start_graph(graph(text), input)
    }

    /// Starts a run of a checked workflow.
    pub fn start_graph(graph: Arc<Graph>, input: Value) -> Table {
        let new = Table::new_run(&graph, "run-1", input);
        Table::start_new(graph, new)
    }

    /// Starts a run as its caller wants it.
    pub fn start_new(graph: Arc<Graph>, new: NewRun) -> Table {
        let start = Start::new(&graph, new, START).unwrap();
        let (run, decision) = Run::start(graph, start, START);
        Table::begun(run, decision, START)
    }

    /// Starts a run in a thread that is so.
    pub fn start_in(text: &str, input: Value, thread: ThreadNow) -> Result<Table, StartError> {
        let graph = graph(text);
        let new = NewRun { thread: Some(thread), ..Table::new_run(&graph, "run-1", input) };
        let start = Start::new(&graph, new, START)?;
        let (run, decision) = Run::start(graph, start, START);
        Ok(Table::begun(run, decision, START))
    }

    /// The run's thread is its own now.
    pub fn enter(&mut self, values: &[(&str, Value)]) -> Decision {
        self.handle(Input::Enter(kept(values))).unwrap()
    }

    /// What the thread was given last, by channel.
    pub fn written(&self) -> Option<BTreeMap<String, Value>> {
        let written = |event: &Event| match event {
            Event::ThreadWritten(e) => Some(e.values.clone()),
            _ => None,
        };
        let values = self.journal.iter().rev().find_map(|(_, event)| written(event))?;
        Some(values.iter().map(|(id, value)| (id.to_string(), (**value.value().unwrap()).clone())).collect())
    }

    /// What test runs begin with.
    pub fn new_run(graph: &Graph, run_id: &str, input: Value) -> NewRun {
        let plugins =
            graph.plugins.keys().map(|id| (id.clone(), PluginPin { digest: "sha256:00".to_owned() }));
        NewRun {
            plugins: plugins.collect(),
            seed: 7,
            thread_id: Some("t-1".to_owned()),
            user_id: Some("ann".to_owned()),
            ..NewRun::new(run_id, input)
        }
    }

    fn begun(run: Run, decision: Decision, now: Timestamp) -> Table {
        let journal = decision.events.iter().map(|event| (now, event.clone())).collect();
        let rows = vec![JournalRow { at: now, events: decision.events }];
        let table = Table { run, journal, rows, now, answers: 0 };
        table.check_fold();
        table
    }

    /// How many events had happened before that visit was entered first.
    pub fn before(&self, path: &str) -> u64 {
        let entered = |event: &Event| matches!(event, Event::NodeStarted(e) if e.p.to_string() == path);
        self.journal.iter().position(|(_, event)| entered(event)).unwrap() as u64
    }

    /// A fork of the run from its first `seq` events on, at the table's time, as `run-2`. The run itself is left alone.
    pub fn fork(&self, seq: u64, edits: &[(&str, Value)]) -> Result<Table, ForkError> {
        self.fork_with(self.run.graph().clone(), seq, edits)
    }

    /// The same with another graph.
    pub fn fork_with(
        &self,
        graph: Arc<Graph>,
        seq: u64,
        edits: &[(&str, Value)],
    ) -> Result<Table, ForkError> {
        self.fork_in(graph, seq, edits, None)
    }

    /// The same in a thread that is so.
    pub fn fork_in(
        &self,
        graph: Arc<Graph>,
        seq: u64,
        edits: &[(&str, Value)],
        thread: Option<ThreadNow>,
    ) -> Result<Table, ForkError> {
        let point = Point::within(self.run.graph().clone(), &self.rows, seq).unwrap();
        let input = (**self.run.started().input.value().unwrap()).clone();
        let new = NewRun { thread, ..Table::new_run(&graph, "run-2", input) };
        let edits = edits
            .iter()
            .map(|(path, value)| Edit { path: path.parse().unwrap(), value: value.clone() })
            .collect();
        let (run, decision) = Run::fork(graph, Fork { new, point, edits }, self.now)?;
        Ok(Table::begun(run, decision, self.now))
    }

    /// Retries the failed run.
    pub fn retry(&mut self) -> Result<Decision, Rejected> {
        self.retry_in(None)
    }

    /// Retries the failed run, whose thread is so.
    pub fn retry_in(&mut self, thread: Option<ThreadNow>) -> Result<Decision, Rejected> {
        let point = Point::of_failure(self.run.graph().clone(), &self.rows).unwrap();
        let by = By { kind: bandstand_engine::input::ActorKind::Person, id: "ann".to_owned() };
        self.handle(Input::Retry(Box::new(Retry { by, request_id: None, point, thread })))
    }

    /// Handles an input now and checks that the journal folds to the same run.
    pub fn handle(&mut self, input: Input) -> Result<Decision, Rejected> {
        let before: Vec<CommandId> = self.owed();
        let decision = self.run.handle(input, self.now)?;
        self.journal.extend(decision.events.iter().map(|event| (self.now, event.clone())));
        if !decision.events.is_empty() {
            self.rows.push(JournalRow { at: self.now, events: decision.events.clone() });
        }
        let mut expected: Vec<CommandId> =
            before.into_iter().filter(|id| !decision.closed.contains(id)).collect();
        expected.extend(decision.opened.iter().cloned());
        expected.sort();
        assert_eq!(self.owed(), expected, "opened and closed are the change of what is owed");
        self.check_fold();
        Ok(decision)
    }

    fn check_fold(&self) {
        let events: Vec<(Timestamp, Event)> = self
            .journal
            .iter()
            .map(|(at, event)| (*at, serde_json::from_slice(&serde_json::to_vec(event).unwrap()).unwrap()))
            .collect();
        let folded = Run::fold(self.run.graph().clone(), None, events.clone()).unwrap();
        assert!(folded.is_same(&self.run), "the journal folds to another run");
        let bytes = serde_json::to_vec(&self.run.snapshot()).unwrap();
        let snapshot: Snapshot = serde_json::from_slice(&bytes).unwrap();
        let opened = Run::fold(self.run.graph().clone(), Some(snapshot), []).unwrap();
        assert!(opened.is_same(&self.run), "the snapshot opens as another run");
    }

    /// What is owed, as `path#attempt`.
    pub fn owed(&self) -> Vec<CommandId> {
        self.run.owed().map(|command| command.id.clone()).collect()
    }

    /// What is owed, as text.
    pub fn owed_text(&self) -> Vec<String> {
        self.owed().iter().map(CommandId::to_string).collect()
    }

    /// The input of an owed call.
    pub fn input_of(&self, id: &str) -> Value {
        let command = self.run.command(&id.parse().unwrap()).unwrap_or_else(|| panic!("{id} is not owed"));
        (*command.input).clone()
    }

    /// An attempt gives a reply.
    pub fn reply(&mut self, id: &str, reply: Reply) -> Decision {
        self.handle(Input::Done { id: id.parse().unwrap(), reply, usage: Usage::default() }).unwrap()
    }

    /// An attempt gives an output; it must be owed.
    pub fn done(&mut self, id: &str, output: Value) {
        let decision = self.reply(id, says(output));
        assert_eq!(decision.outcome, Outcome::Changed, "{id} is not owed; these are: {:?}", self.owed_text());
    }

    /// An attempt fails; it must be owed.
    pub fn fail(&mut self, id: &str, failure: Failure) {
        self.fail_after(id, failure, None);
    }

    /// An attempt fails and asks to be tried again no sooner.
    pub fn fail_after(&mut self, id: &str, failure: Failure, retry_after_ms: Option<u64>) {
        let id = id.parse().unwrap();
        let input = Input::Failed { id, failure, retry_after_ms, usage: Usage::default() };
        assert_eq!(self.handle(input).unwrap().outcome, Outcome::Changed);
    }

    /// The child run that an attempt is ends.
    pub fn child_ended(&mut self, id: &str, outcome: ChildOutcome) -> Decision {
        self.handle(Input::ChildEnded { id: id.parse().unwrap(), outcome }).unwrap()
    }

    /// An equal visit's reply is kept, and the driver hands it instead of making the attempt.
    pub fn cached(&mut self, id: &str, reply: Reply) -> Decision {
        let from = CachedFrom { run: "run-0".to_owned(), p: "before@1".parse().unwrap() };
        self.handle(Input::Cached { id: id.parse().unwrap(), reply, from }).unwrap()
    }

    /// Time passes and the run is ticked.
    pub fn pass(&mut self, span_ms: u64) -> Decision {
        self.now = self.now.plus_ms(span_ms);
        self.handle(Input::Tick).unwrap()
    }

    /// The only open review's id.
    pub fn review(&self) -> String {
        let open = self.run.open_reviews();
        assert_eq!(open.len(), 1, "{open:?}");
        open[0].review_id.clone()
    }

    /// An answer by somebody to a review.
    pub fn answer(&mut self, review_id: &str, reviewer: &str, decision: Verdict) -> Answer {
        self.answers += 1;
        Answer {
            review_id: review_id.to_owned(),
            feedback_id: format!("f-{}", self.answers),
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

    /// Ann sends a signal, by the request of that name.
    pub fn signal_by(&mut self, request: &str, name: &str, data: Value) -> Result<Decision, Rejected> {
        self.answers += 1;
        let signal = Signal {
            signal_id: format!("s-{}", self.answers),
            name: name.to_owned(),
            data: Arc::new(data),
            by: By { kind: bandstand_engine::input::ActorKind::Person, id: "ann".to_owned() },
            request_id: Some(request.to_owned()),
        };
        self.handle(Input::Signal(signal))
    }

    /// Ann sends a signal.
    pub fn signal(&mut self, name: &str, data: Value) -> Result<Decision, Rejected> {
        let request = format!("request-{}", self.answers);
        self.signal_by(&request, name, data)
    }

    /// Ann wants something of the whole run.
    pub fn verb(&mut self, verb: impl FnOnce(By, String) -> Input) -> Result<Decision, Rejected> {
        let by = By { kind: bandstand_engine::input::ActorKind::Person, id: "ann".to_owned() };
        self.handle(verb(by, "enough".to_owned()))
    }

    /// Cancels the run.
    pub fn cancel(&mut self) -> Result<Decision, Rejected> {
        self.verb(|by, reason| Input::Cancel { by, reason })
    }

    /// Pauses the run.
    pub fn pause(&mut self) -> Result<Decision, Rejected> {
        self.verb(|by, reason| Input::Pause { by, reason })
    }

    /// Resumes the run.
    pub fn resume(&mut self) -> Result<Decision, Rejected> {
        self.verb(|by, reason| Input::Resume { by, reason })
    }

    /// Kills the run.
    pub fn kill(&mut self) -> Result<Decision, Rejected> {
        self.verb(|by, reason| Input::Kill { by, reason })
    }

    /// The names of all events so far.
    pub fn names(&self) -> Vec<&'static str> {
        self.journal.iter().map(|(_, event)| event.name()).collect()
    }

    /// How often an event has happened.
    pub fn count(&self, name: &str) -> usize {
        self.names().iter().filter(|event| **event == name).count()
    }

    /// What the run returned; it must have succeeded.
    pub fn output(&self) -> Value {
        assert_eq!(self.run.status(), Status::Succeeded, "{:?}", self.run.error());
        (**self.run.output().unwrap()).clone()
    }

    /// Class and code of the run's failure; it must have failed.
    pub fn failed(&self) -> (Class, String) {
        assert_eq!(self.run.status(), Status::Failed);
        let error = self.run.error().unwrap();
        (error.failure.class, error.failure.code.clone())
    }

    /// The channels of the run's state.
    pub fn state(&self) -> BTreeMap<String, Value> {
        self.run.channels().iter().map(|(id, value)| (id.to_string(), (**value).clone())).collect()
    }
}

/// What a thread keeps.
pub fn kept(values: &[(&str, Value)]) -> BTreeMap<bandstand_engine::Id, Arc<Value>> {
    let entry =
        |(id, value): &(&str, Value)| (bandstand_engine::Id::new(id).unwrap(), Arc::new(value.clone()));
    values.iter().map(entry).collect()
}

/// A reply with that output and nothing else.
pub fn says(output: Value) -> Reply {
    Reply { output: Arc::new(output), confidence: None, next: ReplyNext::Edges }
}

/// A reply that chooses between options.
pub fn chooses(options: &[(&str, f64)]) -> Reply {
    let choice = |(name, confidence): &(&str, f64)| Choice {
        name: (*name).to_owned(),
        confidence: *confidence,
        reason: None,
    };
    let next = ReplyNext::Choose(options.iter().map(choice).collect());
    Reply { next, ..says(serde_json::json!({})) }
}

/// A reply that asks for a review of its output.
pub fn asks(output: Value, title: &str) -> Reply {
    let request = ReviewRequest {
        title: title.to_owned(),
        reason: String::new(),
        propose: None,
        form: None,
        timeout_ms: None,
        reviewers: Vec::new(),
        quorum: 1,
    };
    Reply { next: ReplyNext::Review(Box::new(request)), ..says(output) }
}

/// A failure that another attempt may mend.
pub fn recoverable() -> Failure {
    Failure { recoverable: true, ..permanent() }
}

/// A failure that no attempt mends.
pub fn permanent() -> Failure {
    Failure::permanent(Class::Agent, "no-luck", "it did not work")
}

/// A failure that the host classified.
pub fn of_class(class: Class) -> Failure {
    Failure { recoverable: true, ..Failure::permanent(class, "x", "it did not work") }
}
