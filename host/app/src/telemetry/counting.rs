//! From rows to numbers: every counter and histogram that follows from events is updated here and nowhere else.
//!
//! What a row costs: a look into a map of runs, and for each event one into the nodes of its workflow, whose series are kept
//! at hand; no labels are made but the first time. All of it is some hundred nanoseconds, beside an append of a row that
//! takes tens of microseconds at the least.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bandstand_engine::event::{
    AttemptCause, AttemptFailed, AttemptSucceeded, BranchOutcome, EdgeTaken, Event,
};
use bandstand_engine::graph::Target;
use bandstand_engine::input::{ModelUse, ToolUse, Usage};
use bandstand_engine::{Class, Path, Timestamp};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::families::{Amount, Shared, level};

/// Nodes of all workflows that have series of their own; what comes after is counted as [`OTHER`].
const NODES_MAX: usize = 5_000;
/// Workflows that have series of their own.
const WORKFLOWS_MAX: usize = 1_000;
/// Calls of a model in one entry of an attempt's bill that are put into the histogram of times.
const OBSERVED_MAX: u64 = 1_000;
/// The name of what is beyond these bounds.
const OTHER: &str = "(other)";
/// Powers that can be refused.
const CAPABILITIES: [&str; 9] =
    ["clock", "env", "files", "http", "memory", "model", "random", "secrets", "tools"];

/// The series that were used so far.
pub(super) struct Counting {
    families: Shared,
    workflows: HashMap<String, WorkflowSeries>,
    nodes: usize,
}

/// What is counted of one workflow.
struct WorkflowSeries {
    name: String,
    started: Counter,
    nodes: HashMap<String, NodeSeries>,
}

/// What is counted of one node.
struct NodeSeries {
    /// Its path in the graph.
    path: String,
    attempts: Vec<(&'static str, Counter)>,
    finished: Vec<(&'static str, Counter)>,
    edges: Vec<(Target, Counter)>,
    timed: Option<Timed>,
}

/// Of a node that makes attempts.
struct Timed {
    duration: Histogram,
    cpu: Amount,
    memory: Gauge,
}

/// What must be known of a run to count its next row.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    /// Its workflow.
    pub(super) workflow: String,
    /// When it started.
    pub(super) at: Timestamp,
    /// Its open reviews, and since when.
    pub(super) reviews: Vec<(String, Timestamp)>,
}

impl Counting {
    pub(super) fn new(families: Shared) -> Counting {
        Counting { families, workflows: HashMap::new(), nodes: 0 }
    }

    /// Counts an event of a run.
    pub(super) fn event(&mut self, run: &mut Begun, at: Timestamp, event: &Event) {
        let families = self.families.clone();
        let name = run.workflow.as_str();
        match event {
            Event::RunStarted(_) => drop(self.workflow(name).started.inc()),
            // What it waited before is no part of how long it took.
            Event::RunDue(_) => run.at = at,
            Event::RunSucceeded(_) => self.run_ended(run, at, "succeeded"),
            Event::RunFailed(_) => self.run_ended(run, at, "failed"),
            Event::RunCancelled(_) => self.run_ended(run, at, "cancelled"),
            Event::RunKilled(_) => self.run_ended(run, at, "killed"),
            Event::NodeSucceeded(e) => {
                let outcome = if e.expired { "expired" } else { "succeeded" };
                self.node_finished(name, &e.p, outcome);
                if e.cached_from.is_some() {
                    let (workflow, node) = self.names(name, &e.p);
                    families.node_cached.with(&[&workflow, &node]).inc();
                }
            }
            Event::NodeFailed(e) => self.node_finished(name, &e.p, "failed"),
            Event::NodeCancelled(e) => self.node_finished(name, &e.p, "cancelled"),
            Event::AttemptScheduled(e) => {
                let cause = match e.because {
                    AttemptCause::Policy => "policy",
                    AttemptCause::RetryAfter => "retry-after",
                    AttemptCause::Person => "person",
                    AttemptCause::First | AttemptCause::Adopted => return,
                };
                let (workflow, node) = self.names(name, &e.p);
                families.node_retries.with(&[&workflow, &node, cause]).inc();
            }
            Event::AttemptInterrupted(e) => self.attempt_ended(name, &e.p, "interrupted"),
            Event::AttemptCancelled(e) => self.attempt_ended(name, &e.p, "cancelled"),
            Event::AttemptSucceeded(e) => self.attempt_succeeded(name, e),
            Event::AttemptFailed(e) => self.attempt_failed(name, e),
            Event::EdgeTaken(e) => self.edge_taken(name, e),
            Event::RouteDecided(e) => {
                let (workflow, node) = self.names(name, &e.p);
                families.routes_decided.with(&[&workflow, &node]).inc();
                // So that an alert can compare with 0.
                families.routes_low.with(&[&workflow, &node]).inc_by(u64::from(e.below));
            }
            Event::BranchesStarted(e) => {
                let (workflow, node) = self.names(name, &e.p);
                families.branches_started.with(&[&workflow, &node]).inc_by(e.branches.len() as u64);
            }
            Event::BranchEnded(e) => {
                let outcome = match e.outcome {
                    BranchOutcome::Succeeded => "succeeded",
                    BranchOutcome::Failed => "failed",
                    BranchOutcome::Skipped => "skipped",
                    BranchOutcome::Cancelled => "cancelled",
                };
                let (workflow, node) = self.names(name, &e.p);
                families.branches_ended.with(&[&workflow, &node, outcome]).inc();
            }
            Event::ReviewOpened(e) => {
                families.reviews_opened.with(&[&self.workflow(name).name]).inc();
                run.reviews.push((e.review_id.clone(), at));
            }
            Event::ReviewAnswered(e) => {
                families.reviews_answered.with(&[&self.workflow(name).name, e.decision.name()]).inc();
            }
            Event::ReviewDecided(e) => self.review_ended(run, at, &e.review_id, e.outcome.name()),
            Event::ReviewWithdrawn(e) => self.review_ended(run, at, &e.review_id, "withdrawn"),
            Event::RunAdopted(_)
            | Event::RunRetried(_)
            | Event::RunPaused(_)
            | Event::RunResumed(_)
            | Event::StageEntered(_)
            | Event::NodeStarted(_)
            | Event::AttemptDue(_)
            | Event::BranchesOpened(_)
            | Event::BranchesJoined(_)
            | Event::WaitStarted(_)
            | Event::WaitEnded(_)
            | Event::SignalReceived(_)
            | Event::CheckpointNamed(_)
            | Event::ThreadEntered(_)
            | Event::ThreadWritten(_)
            | Event::Warning(_) => {}
        }
    }

    fn run_ended(&mut self, run: &Begun, at: Timestamp, outcome: &'static str) {
        let families = self.families.clone();
        let name = &self.workflow(&run.workflow).name;
        families.runs_finished.with(&[name, outcome]).inc();
        families.run_duration.with(&[name, outcome]).observe(seconds(at.since_ms(run.at)));
    }

    fn review_ended(&mut self, run: &mut Begun, at: Timestamp, review_id: &str, outcome: &str) {
        let families = self.families.clone();
        families.reviews_decided.with(&[&self.workflow(&run.workflow).name, outcome]).inc();
        if let Some(place) = run.reviews.iter().position(|(known, _)| known == review_id) {
            let (_, opened_at) = run.reviews.swap_remove(place);
            families.review_wait.observe(seconds(at.since_ms(opened_at)));
        }
    }

    fn node_finished(&mut self, workflow: &str, p: &Path, outcome: &'static str) {
        let families = self.families.clone();
        let (workflow, node) = self.node(workflow, p);
        let new = || families.nodes_finished.with(&[workflow, &node.path, outcome]);
        kept(&mut node.finished, outcome, new).inc();
    }

    fn attempt_ended(&mut self, workflow: &str, p: &Path, outcome: &'static str) {
        let families = self.families.clone();
        let (workflow, node) = self.node(workflow, p);
        let new = || families.node_attempts.with(&[workflow, &node.path, outcome]);
        kept(&mut node.attempts, outcome, new).inc();
    }

    fn attempt_succeeded(&mut self, workflow: &str, event: &AttemptSucceeded) {
        self.attempt_ended(workflow, &event.p, "ok");
        self.used(workflow, &event.p, &event.usage);
        if event.attempt > 1 {
            let (workflow, node) = self.names(workflow, &event.p);
            self.families.node_retries_succeeded.with(&[&workflow, &node]).inc();
        }
    }

    fn attempt_failed(&mut self, workflow: &str, event: &AttemptFailed) {
        let failure = &event.error.failure;
        self.attempt_ended(workflow, &event.p, failure.class.name());
        self.used(workflow, &event.p, &event.usage);
        if failure.class == Class::Denied {
            let known = CAPABILITIES.iter().find(|capability| **capability == failure.code);
            self.families.plugin_denied.with(&[known.copied().unwrap_or("other")]).inc();
        }
    }

    /// What an attempt took. A child run's has taken nothing itself.
    fn used(&mut self, workflow: &str, p: &Path, usage: &Usage) {
        if usage.is_nothing() {
            return;
        }
        let families = self.families.clone();
        let (workflow, node) = self.node(workflow, p);
        families.node_queue.observe(seconds(usage.queued_ms));
        let of = [workflow, node.path.as_str()];
        let timed = node.timed.get_or_insert_with(|| Timed {
            duration: families.node_attempt_duration.with(&of),
            cpu: families.node_cpu.with(&of),
            memory: families.plugin_memory_peak.with(&of),
        });
        timed.duration.observe(usage.wall_us as f64 / 1e6);
        timed.cpu.inc_by(usage.cpu_us as f64 / 1e6);
        let memory = level(usage.memory_bytes_max);
        if memory > timed.memory.get() {
            timed.memory.set(memory);
        }
        if usage.tools.is_empty() && usage.models.is_empty() {
            return;
        }
        let count = |tool: &ToolUse| {
            let outcome = if tool.failed.is_some() { "failed" } else { "ok" };
            families.tool_calls.with(&[workflow, &node.path, &tool.name, outcome]).inc();
        };
        each_tool(&usage.tools, &count);
        for call in &usage.models {
            let outcome = if call.failed.is_some() { "failed" } else { "ok" };
            families.model_requests.with(&[workflow, &call.name, outcome]).inc_by(1 + call.more);
            families.model_cost.with(&[workflow, &call.name]).inc_by(call.cost_micros as f64 / 1e6);
            let [operation, provider, model] = names_of(call);
            for (kind, tokens) in [("input", call.tokens_in), ("output", call.tokens_out)] {
                if tokens > 0 {
                    families.model_tokens.with(&[operation, provider, model, kind]).observe(tokens as f64);
                }
            }
            // Of several the average is told, since each has one place; of very many only some, since this takes time.
            let each = seconds(call.took_ms) / (1 + call.more) as f64;
            let duration = families.model_duration.with(&[operation, provider, model]);
            (0..=call.more.min(OBSERVED_MAX)).for_each(|_| duration.observe(each));
        }
    }

    fn edge_taken(&mut self, workflow: &str, event: &EdgeTaken) {
        let families = self.families.clone();
        let (workflow, node) = self.node(workflow, &event.p);
        if let Some((_, counter)) = node.edges.iter().find(|(to, _)| *to == event.to) {
            counter.inc();
            return;
        }
        let to = match &event.to {
            Target::End => "end",
            Target::Node(id) => id.as_str(),
        };
        let to = if node.path == OTHER { OTHER } else { to };
        let counter = families.edges_taken.with(&[workflow, &node.path, to]);
        counter.inc();
        node.edges.push((event.to.clone(), counter));
    }

    /// The names under which a node is counted.
    fn names(&mut self, workflow: &str, p: &Path) -> (String, String) {
        let (workflow, node) = self.node(workflow, p);
        (workflow.to_owned(), node.path.clone())
    }

    fn workflow(&mut self, name: &str) -> &mut WorkflowSeries {
        let name = if self.workflows.len() >= WORKFLOWS_MAX && !self.workflows.contains_key(name) {
            OTHER
        } else {
            name
        };
        if !self.workflows.contains_key(name) {
            let started = self.families.runs_started.with(&[name]);
            let series = WorkflowSeries { name: name.to_owned(), started, nodes: HashMap::new() };
            self.workflows.insert(name.to_owned(), series);
        }
        self.workflows.get_mut(name).expect("it is there or was just put there")
    }

    /// The workflow's name and the series of one of its nodes.
    fn node(&mut self, workflow: &str, p: &Path) -> (&str, &mut NodeSeries) {
        let known = self.nodes;
        let series = self.workflow(workflow);
        let mut path = p.node_path();
        if known >= NODES_MAX && !series.nodes.contains_key(&path) {
            path = OTHER.to_owned();
        }
        let is_new = !series.nodes.contains_key(&path);
        self.nodes += usize::from(is_new);
        // Borrowed anew, since the number was changed between.
        let series = self.workflow(workflow);
        let node = match series.nodes.entry(path) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let path = place.key().clone();
                place.insert(NodeSeries {
                    path,
                    attempts: Vec::new(),
                    finished: Vec::new(),
                    edges: Vec::new(),
                    timed: None,
                })
            }
        };
        (&series.name, node)
    }
}

/// Operation, provider and model of a call, as the GenAI conventions name them.
pub(super) fn names_of(call: &ModelUse) -> [&str; 3] {
    let operation = if call.embed { "embeddings" } else { "chat" };
    let provider = if call.provider.is_empty() { "recorded" } else { &call.provider };
    let model = if call.model.is_empty() { &call.name } else { &call.model };
    [operation, provider, model]
}

fn each_tool(tools: &[ToolUse], count: &impl Fn(&ToolUse)) {
    for tool in tools {
        count(tool);
        each_tool(&tool.tools, count);
    }
}

/// The counter of that outcome; there are few.
fn kept<'a>(
    counters: &'a mut Vec<(&'static str, Counter)>,
    outcome: &'static str,
    new: impl FnOnce() -> Counter,
) -> &'a Counter {
    let place = match counters.iter().position(|(known, _)| *known == outcome) {
        Some(place) => place,
        None => {
            counters.push((outcome, new()));
            counters.len() - 1
        }
    };
    &counters[place].1
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}
