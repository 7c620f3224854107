//! A run whose rows are kept as the store keeps them, and what a run looks like from outside.

use std::sync::Arc;

use bandstand_engine::event::PluginPin;
use bandstand_engine::input::{ActorKind, By, Retry, Usage};
use bandstand_engine::run::{Edit, Fork, JournalRow, NewRun, Point, ThreadNow};
use bandstand_engine::{Event, Failure, Graph, Input, Run, Start, Timestamp};
use serde_json::{Value, json};

/// When every run of a fixture starts.
const START: Timestamp = Timestamp(1_750_000_000_000);

/// A run and its rows.
pub(crate) struct Tape {
    pub(crate) run: Run,
    pub(crate) rows: Vec<(Timestamp, Vec<Event>)>,
    /// What the run looked like after each row.
    pub(crate) views: Vec<Value>,
    now: Timestamp,
}

impl Tape {
    /// Starts a run of a workflow given as text; `named`: for somebody, in a thread, by a request.
    pub(crate) fn start(text: &str, input: Value, named: Option<&str>) -> Tape {
        let graph: Arc<Graph> = bandstand_rules::graph(text);
        let new = Tape::new_run(&graph, "run-1", input, named);
        Tape::start_new(graph, new)
    }

    /// Starts a run that does another one again.
    pub(crate) fn rerun(text: &str, of: &str) -> Tape {
        let graph: Arc<Graph> = bandstand_rules::graph(text);
        let new = NewRun {
            rerun_of: Some(of.to_owned()),
            ..Tape::new_run(&graph, "run-2", Value::Object(serde_json::Map::new()), None)
        };
        Tape::start_new(graph, new)
    }

    /// Starts a run of that graph; `new` says what else is to be known of it.
    pub(crate) fn start_as(graph: Arc<Graph>, new: impl FnOnce(NewRun) -> NewRun) -> Tape {
        let plain = Tape::new_run(&graph, "run-1", Value::Object(serde_json::Map::new()), None);
        Tape::start_new(graph, new(plain))
    }

    /// Starts a run that is to begin after that time.
    pub(crate) fn start_later(text: &str, span_ms: u64) -> Tape {
        let graph: Arc<Graph> = bandstand_rules::graph(text);
        Tape::start_as(graph, |new| NewRun { start_at: Some(START.plus_ms(span_ms)), ..new })
    }

    fn new_run(graph: &Graph, run_id: &str, input: Value, named: Option<&str>) -> NewRun {
        let digest = |id: &str| PluginPin { digest: format!("sha256:{id}") };
        NewRun {
            run_id: run_id.to_owned(),
            source_digest: "sha256:source".to_owned(),
            graph_digest: "sha256:graph".to_owned(),
            plugins: graph.plugins.keys().map(|id| (id.clone(), digest(id.as_str()))).collect(),
            host_version: "0.1.0".to_owned(),
            seed: 7,
            thread_id: named.map(|name| format!("thread-{name}")),
            user_id: named.map(str::to_owned),
            input,
            request_id: named.map(|name| format!("request-{name}")),
            rerun_of: None,
            ..NewRun::new(String::new(), Value::Null)
        }
    }

    /// Starts a run in a thread that is so.
    pub(crate) fn start_in(text: &str, thread: ThreadNow) -> Tape {
        let graph: Arc<Graph> = bandstand_rules::graph(text);
        let new = NewRun {
            thread: Some(thread),
            ..Tape::new_run(&graph, "run-1", Value::Object(serde_json::Map::new()), Some("ann"))
        };
        Tape::start_new(graph, new)
    }

    fn start_new(graph: Arc<Graph>, new: NewRun) -> Tape {
        let start = Start::new(&graph, new, START).unwrap();
        let (run, decision) = Run::start(graph, start, START);
        let mut tape = Tape { run, rows: Vec::new(), views: Vec::new(), now: START };
        tape.keep(decision.events);
        tape
    }

    /// The rows as the store would give them to whoever looks for a point.
    fn stored(&self) -> Vec<JournalRow> {
        self.rows.iter().map(|(at, events)| JournalRow { at: *at, events: events.clone() }).collect()
    }

    /// A fork from this run's present point, ten minutes later.
    pub(crate) fn fork(&self, edits: Vec<Edit>) -> Tape {
        let graph = self.run.graph().clone();
        let point = Point::within(graph.clone(), &self.stored(), self.run.seq()).unwrap();
        let input = (**self.run.started().input.value().unwrap()).clone();
        let new = Tape::new_run(&graph, "run-2", input, None);
        let now = self.now.plus_ms(600_000);
        let (run, decision) = Run::fork(graph, Fork { new, point, edits }, now).unwrap();
        let mut tape = Tape { run, rows: Vec::new(), views: Vec::new(), now };
        tape.keep(decision.events);
        tape
    }

    /// A fork of a run at its start, which waits for its thread.
    pub(crate) fn fork_queued(&self, seq: u64) -> Tape {
        let graph = self.run.graph().clone();
        let point = Point::within(graph.clone(), &self.stored(), seq).unwrap();
        let input = (**self.run.started().input.value().unwrap()).clone();
        let new =
            NewRun { thread: Some(ThreadNow::Taken), ..Tape::new_run(&graph, "run-2", input, Some("ann")) };
        let now = self.now.plus_ms(600_000);
        let (run, decision) = Run::fork(graph, Fork { new, point, edits: Vec::new() }, now).unwrap();
        let mut tape = Tape { run, rows: Vec::new(), views: Vec::new(), now };
        tape.keep(decision.events);
        tape
    }

    /// Ann retries the failed run, by that request.
    pub(crate) fn retry(&mut self, request_id: Option<&str>) {
        self.retry_in(request_id, None);
    }

    /// The same, with the run's thread so.
    pub(crate) fn retry_in(&mut self, request_id: Option<&str>, thread: Option<ThreadNow>) {
        let point = Point::of_failure(self.run.graph().clone(), &self.stored()).unwrap();
        let by = By { kind: ActorKind::Person, id: "ann".to_owned() };
        let request_id = request_id.map(str::to_owned);
        self.take(Input::Retry(Box::new(Retry { by, request_id, point, thread })));
    }

    fn keep(&mut self, events: Vec<Event>) {
        assert!(
            !events.is_empty(),
            "nothing happened: {:?}",
            self.run.owed().map(|c| &c.id).collect::<Vec<_>>()
        );
        self.rows.push((self.now, events));
        self.views.push(view(&self.run));
    }

    /// Something happens 10 ms after what was before.
    pub(crate) fn take(&mut self, input: Input) {
        self.now = self.now.plus_ms(10);
        let decision = self.run.handle(input, self.now).unwrap();
        self.keep(decision.events);
    }

    /// Time passes until the run wants to be looked at.
    pub(crate) fn until_due(&mut self) {
        self.now = self.run.next_deadline().unwrap();
        let decision = self.run.handle(Input::Tick, self.now).unwrap();
        self.keep(decision.events);
    }

    /// An attempt fails; `after_ms` is when the agent wants to be asked again.
    pub(crate) fn fail(&mut self, id: &str, failure: Failure, after_ms: Option<u64>, usage: Usage) {
        self.take(Input::Failed { id: id.parse().unwrap(), failure, retry_after_ms: after_ms, usage });
    }
}

/// A run as whoever drives or shows it sees it.
pub(crate) fn view(run: &Run) -> Value {
    let owed: Vec<Value> =
        run.owed().map(|command| json!({ "id": command.id.to_string(), "input": &*command.input })).collect();
    let reviews: Vec<Value> = run
        .open_reviews()
        .into_iter()
        .map(|review| {
            json!({
                "review_id": review.review_id, "proposed": &*review.proposed, "approvals": review.approvals,
                "quorum": review.quorum, "deadline": review.deadline.0,
            })
        })
        .collect();
    let channels: serde_json::Map<String, Value> =
        run.channels().iter().map(|(id, value)| (id.to_string(), (**value).clone())).collect();
    json!({
        "seq": run.seq(),
        "steps": run.steps(),
        "last_at": run.last_at().0,
        "status": run.status().name(),
        "stage": run.stage().name(),
        "channels": channels,
        "owed": owed,
        "next_deadline": run.next_deadline().map(|at| at.0),
        "reviews": reviews,
        "output": run.output().map(|output| (**output).clone()),
        "error": run.error(),
    })
}
