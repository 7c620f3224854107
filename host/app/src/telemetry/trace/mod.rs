//! Traces: one for each run, of spans that are made when what they tell of has ended, from the rows that tell it.
//!
//! Every id follows from the run and the place, so a run that another process goes on with continues its trace, and whoever
//! knows a run's id knows its trace. What goes on while a host dies is told by the next one, when it ends. A span is sent once
//! at most: one whose end became durable in the moment of a crash is missing.

mod export;
mod ids;
mod otlp;

use std::collections::HashMap;

use bandstand_driver::{Row, RunId};
use bandstand_engine::event::{AttemptScheduled, Event, RunStarted};
use bandstand_engine::input::{ModelUse, ToolUse, Usage};
use bandstand_engine::{CommandId, ErrorRecord, Path, Run, Timestamp};

pub(crate) use export::Exporter;
pub use export::{Headers, Otlp, OtlpError};
use ids::{SpanId, TraceId};

use super::counting::names_of;

/// Something that happened in a run, from when to when.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    name: String,
    /// Whether it is a call of another system.
    is_client: bool,
    /// Microseconds since 1970.
    start_us: i64,
    end_us: i64,
    attributes: Vec<(&'static str, Value)>,
    links: Vec<(TraceId, SpanId)>,
    /// The class of the failure.
    failed: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Number(i64),
    Fraction(f64),
    Truth(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The header in which callers name their span.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Makes spans of rows.
pub(crate) struct Traces {
    exporter: Exporter,
    runs: HashMap<RunId, Traced>,
}

/// What must be known of a run to tell of its next end.
struct Traced {
    trace: TraceId,
    run_id: RunId,
    workflow: String,
    version: u64,
    thread_id: Option<String>,
    started_at: Timestamp,
    /// How often it was retried: each end of the run has a span of its own.
    retries: u32,
    /// Where it comes from: the attempt that it is, or the run that it does again.
    from: Option<(TraceId, SpanId)>,
    /// Spans of other traces that led to it.
    linked: Vec<(TraceId, SpanId)>,
    /// Attempts that were scheduled and have not ended.
    open: HashMap<CommandId, Scheduled>,
}

/// An attempt that has not ended.
#[derive(Default)]
struct Scheduled {
    /// Since when it may go on. None: since before this process.
    at: Option<Timestamp>,
    /// The run that it is.
    child: Option<String>,
    interruptions: u32,
}

/// The span that a caller's `traceparent` names, in the form in which runs keep it. None: it is none, and is passed over as
/// the W3C's Trace Context says.
pub(crate) fn of_caller(traceparent: &str) -> Option<String> {
    let (trace, span) = ids::read_traceparent(traceparent)?;
    Some(ids::traceparent(trace, span))
}

/// The span of a run, in that form.
pub(crate) fn of_run(run_id: &str) -> String {
    ids::traceparent(ids::trace(run_id), ids::span(run_id, &run_place(0)))
}

impl Traces {
    pub(crate) fn new(exporter: Exporter) -> Traces {
        Traces { exporter, runs: HashMap::new() }
    }

    /// Ends the sending; what waits is sent while there is time.
    pub(crate) fn into_exporter(self) -> Exporter {
        self.exporter
    }

    pub(crate) fn loaded(&mut self, run: &Run) {
        let mut traced = Traced::of(run.started(), run.started_at());
        traced.retries = run.retries();
        for command in run.owed() {
            let child = run.child_run_id(&command.id);
            traced.open.insert(command.id.clone(), Scheduled { child, ..Scheduled::default() });
        }
        self.runs.insert(traced.run_id.clone(), traced);
    }

    pub(crate) fn evicted(&mut self, run_id: &RunId) {
        self.runs.remove(run_id);
    }

    pub(crate) fn row(&mut self, run_id: &RunId, row: &Row) {
        if let Some(Event::RunStarted(started)) = row.events.first() {
            self.runs.insert(run_id.clone(), Traced::of(started, row.at));
        }
        let Some(run) = self.runs.get_mut(run_id) else { return };
        for event in row.events.iter() {
            run.event(row.at, event, &self.exporter);
        }
    }
}

impl Traced {
    fn of(started: &RunStarted, at: Timestamp) -> Traced {
        let run_id: RunId = started.run_id.as_str().into();
        let parent = started.parent.as_ref().map(|parent| {
            (ids::trace(&parent.run), ids::span(&parent.run, &attempt_place(&parent.command())))
        });
        let again = started.rerun_of.as_ref().map(|run| (ids::trace(run), ids::span(run, &run_place(0))));
        Traced {
            trace: ids::trace(&run_id),
            workflow: started.workflow.name.clone(),
            version: started.workflow.version,
            thread_id: started.thread_id.clone(),
            started_at: at,
            retries: 0,
            from: parent.or(again),
            linked: started.linked.iter().filter_map(|text| ids::read_traceparent(text)).collect(),
            open: HashMap::new(),
            run_id,
        }
    }

    fn event(&mut self, at: Timestamp, event: &Event, exporter: &Exporter) {
        match event {
            Event::AttemptScheduled(AttemptScheduled { p, attempt, due, child, .. }) => {
                let scheduled =
                    Scheduled { at: Some(due.unwrap_or(at)), child: child.clone(), interruptions: 0 };
                self.open.insert(command(p, *attempt), scheduled);
            }
            Event::AttemptInterrupted(e) => {
                self.open.entry(command(&e.p, e.attempt)).or_default().interruptions = e.times;
            }
            Event::AttemptSucceeded(e) => {
                self.attempt_ended(at, command(&e.p, e.attempt), &e.usage, Ended::Well, exporter);
            }
            Event::AttemptFailed(e) => {
                self.attempt_ended(at, command(&e.p, e.attempt), &e.usage, Ended::Badly(&e.error), exporter);
            }
            Event::AttemptCancelled(e) => {
                let id = command(&e.p, e.attempt);
                self.attempt_ended(at, id, &Usage::default(), Ended::Outside("cancelled"), exporter);
            }
            Event::RunRetried(_) => self.retries += 1,
            Event::RunDue(_) => self.started_at = at,
            Event::RunSucceeded(_) => self.run_ended(at, "succeeded", None, exporter),
            Event::RunFailed(e) => self.run_ended(at, "failed", Some(e.error.failure.class.name()), exporter),
            Event::RunCancelled(_) => self.run_ended(at, "cancelled", Some("cancelled"), exporter),
            Event::RunKilled(_) => {
                // What was open in it has no event of its own.
                let open: Vec<CommandId> = self.open.keys().cloned().collect();
                for id in open {
                    self.attempt_ended(at, id, &Usage::default(), Ended::Outside("killed"), exporter);
                }
                self.run_ended(at, "killed", Some("killed"), exporter);
            }
            _ => {}
        }
    }

    fn run_ended(&self, at: Timestamp, outcome: &str, failed: Option<&str>, exporter: &Exporter) {
        let mut links: Vec<_> = self.from.into_iter().chain(self.linked.iter().copied()).collect();
        if let Some(before) = self.retries.checked_sub(1) {
            links.push((self.trace, ids::span(&self.run_id, &run_place(before))));
        }
        let mut attributes = vec![
            ("gen_ai.operation.name", Value::from("invoke_workflow")),
            ("gen_ai.workflow.name", Value::from(self.workflow.as_str())),
            ("bandstand.workflow.version", Value::from(self.version)),
            ("bandstand.run.id", Value::from(&*self.run_id)),
            ("bandstand.outcome", Value::from(outcome)),
        ];
        if let Some(thread_id) = &self.thread_id {
            attributes.push(("gen_ai.conversation.id", Value::from(thread_id.as_str())));
        }
        exporter.send(Span {
            trace: self.trace,
            id: self.root(),
            parent: None,
            name: format!("invoke_workflow {}", self.workflow),
            is_client: false,
            start_us: micros(self.started_at),
            end_us: micros(at),
            attributes,
            links,
            failed: failed.map(str::to_owned),
        });
    }

    fn attempt_ended(
        &mut self,
        at: Timestamp,
        id: CommandId,
        usage: &Usage,
        ended: Ended<'_>,
        exporter: &Exporter,
    ) {
        let scheduled = self.open.remove(&id).unwrap_or_default();
        let place = attempt_place(&id);
        let end_us = micros(at);
        let wall_us = i64::try_from(usage.wall_us).unwrap_or(i64::MAX);
        // What took time in the sandbox says how long; a child run, or what was stopped, goes on since it was scheduled.
        let start_us = match (wall_us, scheduled.at) {
            (0, Some(scheduled)) => micros(scheduled).min(end_us),
            _ => end_us.saturating_sub(wall_us),
        };
        let mut links = Vec::new();
        if id.attempt > 1 {
            let before = CommandId { path: id.path.clone(), attempt: id.attempt - 1 };
            links.push((self.trace, ids::span(&self.run_id, &attempt_place(&before))));
        }
        if let Some(child) = &scheduled.child {
            links.push((ids::trace(child), ids::span(child, &run_place(0))));
        }
        let node = id.path.node_name().map_or_else(|| id.path.to_string(), ToString::to_string);
        let mut attributes = vec![
            ("gen_ai.operation.name", Value::from("invoke_agent")),
            ("gen_ai.agent.name", Value::from(node.as_str())),
            ("gen_ai.workflow.name", Value::from(self.workflow.as_str())),
            ("bandstand.run.id", Value::from(&*self.run_id)),
            ("bandstand.node", Value::from(id.path.to_string().as_str())),
            ("bandstand.attempt", Value::from(u64::from(id.attempt))),
        ];
        let numbers = [
            ("bandstand.interruptions", u64::from(scheduled.interruptions)),
            ("bandstand.queued_ms", usage.queued_ms),
            ("bandstand.cpu_us", usage.cpu_us),
            ("bandstand.memory_peak_bytes", usage.memory_bytes_max),
            ("gen_ai.usage.input_tokens", usage.tokens_in),
            ("gen_ai.usage.output_tokens", usage.tokens_out),
        ];
        attributes.extend(
            numbers.into_iter().filter(|(_, number)| *number > 0).map(|(name, number)| (name, number.into())),
        );
        if usage.cost_micros > 0 {
            attributes.push(("bandstand.cost", Value::Fraction(usage.cost_micros as f64 / 1e6)));
        }
        if wall_us == 0 && scheduled.at.is_none() {
            attributes.push(("bandstand.start_unknown", Value::Truth(true)));
        }
        let failed = match ended {
            Ended::Well => None,
            Ended::Badly(error) => {
                attributes.push(("bandstand.error.code", Value::from(error.failure.code.as_str())));
                Some(error.failure.class.name().to_owned())
            }
            Ended::Outside(why) => Some(why.to_owned()),
        };
        let mut inside = Inside { run: self, exporter, start_us, end_us };
        inside.tools(&place, &usage.tools, start_us);
        inside.models(&place, &usage.models);
        exporter.send(Span {
            trace: self.trace,
            id: ids::span(&self.run_id, &place),
            parent: Some(self.root()),
            name: format!("invoke_agent {node}"),
            is_client: false,
            start_us,
            end_us,
            attributes,
            links,
            failed,
        });
    }

    fn root(&self) -> SpanId {
        ids::span(&self.run_id, &run_place(self.retries))
    }
}

/// How an attempt ended.
enum Ended<'a> {
    Well,
    Badly(&'a ErrorRecord),
    Outside(&'static str),
}

/// What happened inside an attempt. It lies within the attempt's time: clocks of calls have milliseconds.
struct Inside<'a> {
    run: &'a Traced,
    exporter: &'a Exporter,
    start_us: i64,
    end_us: i64,
}

impl Inside<'_> {
    /// The calls of tools that an attempt or a tool at that place made, which began at `since_us`.
    fn tools(&mut self, place: &str, tools: &[ToolUse], since_us: i64) {
        for (index, tool) in tools.iter().enumerate() {
            let own = format!("{place}/tool/{index}");
            let start_us = self.within(since_us, tool.at_ms);
            self.tools(&own, &tool.tools, start_us);
            let attributes = vec![
                ("gen_ai.operation.name", Value::from("execute_tool")),
                ("gen_ai.tool.name", Value::from(tool.name.as_str())),
                ("bandstand.run.id", Value::from(&*self.run.run_id)),
            ];
            let name = format!("execute_tool {}", tool.name);
            let end_us = self.within(start_us, tool.took_ms);
            self.send(place, own, name, false, (start_us, end_us), attributes, tool.failed.clone());
        }
    }

    fn models(&mut self, place: &str, models: &[ModelUse]) {
        for (index, call) in models.iter().enumerate() {
            let [operation, provider, model] = names_of(call);
            let mut attributes = vec![
                ("gen_ai.operation.name", Value::from(operation)),
                ("gen_ai.provider.name", Value::from(provider)),
                ("gen_ai.request.model", Value::from(model)),
                ("bandstand.model", Value::from(call.name.as_str())),
                ("gen_ai.usage.input_tokens", Value::from(call.tokens_in)),
                ("gen_ai.usage.output_tokens", Value::from(call.tokens_out)),
                ("bandstand.run.id", Value::from(&*self.run.run_id)),
            ];
            if call.more > 0 {
                attributes.push(("bandstand.calls", Value::from(1 + call.more)));
            }
            let start_us = self.within(self.start_us, call.at_ms);
            let end_us = self.within(start_us, call.took_ms);
            let (own, name) = (format!("{place}/model/{index}"), format!("{operation} {model}"));
            self.send(place, own, name, true, (start_us, end_us), attributes, call.failed.clone());
        }
    }

    fn within(&self, since_us: i64, ms: u64) -> i64 {
        let span = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        since_us.saturating_add(span).clamp(self.start_us, self.end_us)
    }

    #[expect(clippy::too_many_arguments, reason = "a span has so many parts")]
    fn send(
        &self,
        parent: &str,
        place: String,
        name: String,
        is_client: bool,
        (start_us, end_us): (i64, i64),
        attributes: Vec<(&'static str, Value)>,
        failed: Option<String>,
    ) {
        self.exporter.send(Span {
            trace: self.run.trace,
            id: ids::span(&self.run.run_id, &place),
            parent: Some(ids::span(&self.run.run_id, parent)),
            name,
            is_client,
            start_us,
            end_us,
            attributes,
            links: Vec::new(),
            failed,
        });
    }
}

fn command(p: &Path, attempt: u32) -> CommandId {
    CommandId { path: p.clone(), attempt }
}

fn run_place(retries: u32) -> String {
    format!("run/{retries}")
}

fn attempt_place(id: &CommandId) -> String {
    format!("attempt/{id}")
}

fn micros(at: Timestamp) -> i64 {
    at.0.saturating_mul(1_000)
}
