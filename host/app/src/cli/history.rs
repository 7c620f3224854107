//! What a run's events tell people: one line for each event, and the whole history gathered (R5.3).
//! Works on events alone, so it says the same of a run that goes on and of one that ended a year ago. Values that an
//! event refers to instead of repeating them are looked up here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bandstand_engine::event::{
    AskedBy, BranchEnded, BranchKey, BranchOutcome, CachedFrom, EdgeCause, Event, Lease, Payload,
    ReviewOpened, ReviewOutcome, RunAdopted, RunRetried, RunStarted, WaitCause, WaitStarted,
};
use bandstand_engine::graph::{Stage, Target};
use bandstand_engine::input::{Spent, Usage};
use bandstand_engine::path::Segment;
use bandstand_engine::{ErrorRecord, Path, Timestamp};
use bandstand_store::{Sums, Told, ToolSums, add_tools};
use serde_json::{Value, json};

use super::term::out::Tone;
use super::term::{safe, words};

/// Characters of last words that one line shows; `runs show` shows them whole.
const CRY_LENGTH_MAX: usize = 200;

/// A run as its events tell it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The first event.
    pub started: Option<Box<RunStarted>>,
    /// When the first event happened.
    pub started_at: Timestamp,
    /// When the latest event happened.
    pub last_at: Timestamp,
    /// Events so far.
    pub events: u64,
    /// How it ended.
    pub end: Option<End>,
    /// What it adopted of another run.
    pub adopted: Option<Box<RunAdopted>>,
    /// When it was retried, and by whom.
    pub retried: Vec<(Timestamp, String)>,
    /// Since when it is paused, by whom, and why.
    pub paused: Option<(Timestamp, String, String)>,
    /// The stages with the time and the visit that entered them.
    pub stages: Vec<(Timestamp, Stage, Path)>,
    /// Every failed attempt, and every failed visit.
    pub errors: Vec<Failed>,
    /// Visits that were tried more than once: attempts made and allowed.
    pub retries: BTreeMap<Path, (u32, u32)>,
    /// Reviews by id, in order of opening.
    pub reviews: Vec<Review>,
    /// Every choice by confidence, in order.
    pub routes: Vec<(Timestamp, Route)>,
    /// Every block, in order of opening.
    pub blocks: Vec<Block>,
    /// What each node took, visits of all scopes together, by the node's place in the file.
    pub nodes: BTreeMap<String, NodeTimes>,
    /// Attempts that were cut off by the death of a host.
    pub interruptions: u32,
    /// What the run should be told about.
    pub warnings: Vec<(Timestamp, Path, String)>,
    /// What all attempts together cost.
    pub usage: Usage,
    /// Calls of tools, by the node's place in the file and the tool's name.
    pub tools: BTreeMap<(String, String), ToolSums>,
    /// The named points it passed: when, the event's number, the name and the visit.
    pub checkpoints: Vec<(Timestamp, u64, String, Path)>,
    /// Visits that ended by a kept reply: when, the visit, and whose reply it was.
    pub cached: Vec<(Timestamp, Path, CachedFrom)>,
    /// Every signal, in order of arrival.
    pub signals: Vec<ReceivedSignal>,
    /// Visits that wait for a signal: its name, and until when.
    pub signal_waits: BTreeMap<Path, (String, Option<Timestamp>)>,
    /// Visits that wait for a time: `wait` or `retry`, and until when.
    pub timers: BTreeMap<Path, (&'static str, Timestamp)>,
    /// Changes of the stage that are older than those in `stages`.
    pub stages_left_out: usize,
    /// Choices that are older than those in `routes`.
    pub routes_left_out: usize,
    /// Of visits, and of scopes: what their last node gave.
    outputs: BTreeMap<Path, Arc<Value>>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// Well, with what [`super::stored::result`] tells: events need not repeat it.
    Succeeded,
    /// Badly.
    Failed(Box<ErrorRecord>),
    /// By somebody, for a reason.
    Cancelled(String, String),
    /// At once, by somebody, for a reason.
    Killed(String, String),
}

/// A signal, and what became of it.
#[derive(Clone, Debug)]
pub struct ReceivedSignal {
    /// When it came.
    pub at: Timestamp,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who sent it.
    pub by: String,
    /// What it says.
    pub data: Arc<Value>,
    /// When a wait took it, and which.
    pub taken: Option<(Timestamp, Path)>,
}

/// A failed attempt, or a failed visit.
#[derive(Clone, Debug)]
pub struct Failed {
    /// When.
    pub at: Timestamp,
    /// What.
    pub error: ErrorRecord,
    /// The strategy in force; none: this is the visit's failure, not an attempt's.
    pub strategy: Option<String>,
    /// Retries were allowed and used up.
    pub exhausted: bool,
    /// The workflow went on by `on-failure`.
    pub caught: bool,
}

/// A review and what was said about it.
#[derive(Clone, Debug)]
pub struct Review {
    /// When it opened.
    pub at: Timestamp,
    /// What is asked.
    pub opened: Box<ReviewOpened>,
    /// The value that is proposed, edits of earlier answers included.
    pub proposed: Arc<Value>,
    /// The value that was proposed first.
    proposed_first: Arc<Value>,
    /// The answers in order, as JSON.
    pub answers: Vec<Value>,
    /// How it was decided; none: open.
    pub outcome: Option<&'static str>,
}

/// A choice by confidence.
pub type Route = bandstand_engine::event::RouteDecided;

/// A branch that ended: which, how, what it gave, why it failed, and what it took in milliseconds.
pub type EndedBranch = (BranchKey, BranchOutcome, Option<Arc<Value>>, Option<ErrorRecord>, Option<u64>);

/// A block and its branches.
#[derive(Clone, Debug)]
pub struct Block {
    /// The block's visit.
    pub path: Path,
    /// Whether it is a `map`.
    pub is_map: bool,
    /// The branches that ended, in order of ending.
    pub ended: Vec<EndedBranch>,
    /// The names, or the number of items.
    pub size: usize,
    /// Whether the join was satisfied; none: not decided.
    pub satisfied: Option<bool>,
    /// The items of a map.
    items: Option<Arc<Value>>,
}

/// What visits of one node took.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeTimes {
    /// Visits begun.
    pub visits: u32,
    /// Visits that failed.
    pub failed: u32,
    /// Attempts made.
    pub attempts: u32,
    /// Visits that ended by a kept reply.
    pub cached: u32,
    /// All ended visits together.
    pub total_ms: u64,
    /// The longest visit.
    pub longest_ms: u64,
    /// Processor time in the guest.
    pub cpu_us: u64,
    /// Calls of models.
    pub model_calls: u64,
    /// Waiting for models.
    pub model_ms: u64,
    /// What models cost.
    pub spent: Spent,
}

impl History {
    /// Takes in what a journal comes to in brief, part by part.
    pub fn add_told(&mut self, told: Told) {
        match told {
            Told::Row(row) => {
                self.events = row.seq;
                self.add(row.at, &row.events);
            }
            Told::Listed { row, stages, routes } => {
                for event in &row.events {
                    match event {
                        Event::StageEntered(_) if stages => self.add_event(row.at, event),
                        Event::RouteDecided(_) if routes => self.add_event(row.at, event),
                        _ => {}
                    }
                }
            }
            Told::Named(row) => row.events.iter().for_each(|event| self.add_output(event)),
        }
    }

    /// Takes in what the rows come to that were not told.
    pub fn add_sums(&mut self, sums: &Sums) {
        self.events = sums.events;
        self.last_at = sums.last_at;
        self.stages_left_out = sums.stages_left_out;
        self.routes_left_out = sums.routes_left_out;
        self.usage.add(&sums.usage);
        for (name, sums) in &sums.nodes {
            let node = self.nodes.entry(name.clone()).or_default();
            node.visits += sums.visits;
            node.attempts += sums.attempts;
            node.total_ms += sums.total_ms;
            node.longest_ms = node.longest_ms.max(sums.longest_ms);
            node.cpu_us += sums.cpu_us;
            node.model_calls += sums.model_calls;
            node.model_ms += sums.model_ms;
            node.spent.tokens_in += sums.spent.tokens_in;
            node.spent.tokens_out += sums.spent.tokens_out;
            node.spent.cost_micros += sums.spent.cost_micros;
        }
        for (key, sums) in &sums.tools {
            let tool = self.tools.entry(key.clone()).or_default();
            tool.calls += sums.calls;
            tool.failed += sums.failed;
            tool.took_ms = tool.took_ms.saturating_add(sums.took_ms);
        }
    }

    /// Takes in the events of one row of the journal.
    pub fn add(&mut self, at: Timestamp, events: &[Event]) {
        self.last_at = at;
        for event in events {
            self.events += 1;
            self.add_event(at, event);
        }
    }

    /// The value a payload stands for, as far as the events so far tell.
    pub fn value(&self, payload: &Payload) -> Option<Arc<Value>> {
        match payload {
            Payload::Value(value) => Some(value.clone()),
            Payload::Output(path) => self.outputs.get(path).cloned(),
            Payload::Block(path) => self
                .blocks
                .iter()
                .rev()
                .find(|block| block.path == *path)
                .map(|block| Arc::new(block.gathered())),
            Payload::Blob { .. } | Payload::Same { .. } => None,
        }
    }

    /// `running`, `paused`, `succeeded`, `failed`, `cancelled` or `killed`, as far as events alone tell: a run that is not
    /// driven by anybody still counts as running.
    pub fn status(&self) -> &'static str {
        match &self.end {
            Some(End::Succeeded) => "succeeded",
            Some(End::Failed(_)) => "failed",
            Some(End::Cancelled(..)) => "cancelled",
            Some(End::Killed(..)) => "killed",
            None if self.paused.is_some() => "paused",
            None => "running",
        }
    }

    /// The stage it is in.
    pub fn stage(&self) -> Option<Stage> {
        self.stages.last().map(|(_, stage, _)| *stage)
    }

    /// The reviews that nobody has decided, the next deadline first.
    pub fn open_reviews(&self) -> Vec<&Review> {
        let mut open: Vec<&Review> = match self.end {
            Some(_) => Vec::new(),
            None => self.reviews.iter().filter(|review| review.outcome.is_none()).collect(),
        };
        open.sort_by_key(|review| review.opened.deadline);
        open
    }

    /// What a visit gave, in case a later event names it.
    fn add_output(&mut self, event: &Event) {
        match event {
            Event::NodeSucceeded(e) => {
                if let Some(output) = self.value(&e.output) {
                    // A scope gives what its last node gave; events name it by the scope's path.
                    self.outputs.insert(e.p.parent().unwrap_or_default(), output.clone());
                    self.outputs.insert(e.p.clone(), output);
                }
            }
            Event::AttemptSucceeded(e) => {
                if let Some(output) = self.value(&e.output) {
                    self.outputs.insert(e.p.clone(), output);
                }
            }
            _ => {}
        }
    }

    fn add_event(&mut self, at: Timestamp, event: &Event) {
        self.add_timer(event);
        self.add_output(event);
        match event {
            Event::RunStarted(e) => {
                self.started_at = at;
                // Where every run begins; there is no event of its own for it.
                self.stages.push((at, Stage::Init, Path::root()));
                self.started = Some(e.clone());
            }
            Event::RunAdopted(e) => self.adopted = Some(e.clone()),
            Event::RunRetried(e) => self.retried(at, e),
            Event::RunSucceeded(_) => self.end = Some(End::Succeeded),
            Event::RunFailed(e) => self.end = Some(End::Failed(Box::new(e.error.clone()))),
            Event::RunCancelled(e) => self.end = Some(End::Cancelled(e.by.id.clone(), e.reason.clone())),
            Event::RunKilled(e) => self.end = Some(End::Killed(e.by.id.clone(), e.reason.clone())),
            Event::RunPaused(e) => self.paused = Some((at, e.by.id.clone(), e.reason.clone())),
            Event::RunResumed(_) => self.paused = None,
            Event::StageEntered(e) => self.stages.push((at, e.stage, e.p.clone())),
            Event::NodeStarted(e) => {
                self.node(&e.p).visits += 1;
                self.forget_before(&e.p);
            }
            Event::NodeSucceeded(e) => {
                self.took(&e.p, e.took_ms);
                if let Some(from) = &e.cached_from {
                    self.cached(at, &e.p, from);
                }
            }
            Event::NodeFailed(e) => {
                self.node(&e.p).failed += 1;
                self.took(&e.p, e.took_ms);
                self.errors.push(Failed {
                    at,
                    error: e.error.clone(),
                    strategy: None,
                    exhausted: e.exhausted,
                    caught: e.caught,
                });
            }
            Event::AttemptScheduled(e) => {
                self.node(&e.p).attempts += 1;
                if e.attempt > 1 {
                    self.retries.entry(e.p.clone()).or_insert((1, 0)).0 = e.attempt;
                }
            }
            Event::AttemptInterrupted(_) => self.interruptions += 1,
            Event::AttemptSucceeded(e) => self.cost(&e.p, &e.usage),
            Event::AttemptFailed(e) => {
                let retries = self.retries.entry(e.p.clone()).or_insert((1, 0));
                *retries = (e.attempt, e.error.attempts);
                self.cost(&e.p, &e.usage);
                self.errors.push(Failed {
                    at,
                    error: e.error.clone(),
                    strategy: Some(e.strategy.clone()),
                    exhausted: false,
                    caught: false,
                });
            }
            Event::RouteDecided(e) => self.routes.push((at, e.clone())),
            Event::BranchesOpened(e) => {
                let items = e.items.as_ref().and_then(|items| self.value(items));
                let size = items.as_ref().and_then(|items| items.as_array()).map_or(e.names.len(), Vec::len);
                self.blocks.push(Block {
                    path: e.p.clone(),
                    is_map: e.items.is_some(),
                    ended: Vec::new(),
                    size,
                    satisfied: None,
                    items,
                });
            }
            Event::BranchEnded(e) => self.branch_ended(e),
            Event::BranchesJoined(e) => {
                if let Some(block) = self.block(&e.p) {
                    block.satisfied = Some(e.satisfied);
                }
            }
            Event::ReviewOpened(e) => {
                let proposed = self.value(&e.proposed).unwrap_or_default();
                self.reviews.push(Review {
                    at,
                    opened: e.clone(),
                    proposed_first: proposed.clone(),
                    proposed,
                    answers: Vec::new(),
                    outcome: None,
                });
            }
            Event::ReviewAnswered(e) => {
                let changes = e.changes.as_ref().and_then(|changes| self.value(changes));
                let answer = json!({
                    "id": e.feedback_id,
                    "reviewer": e.reviewer,
                    "decision": e.decision.name(),
                    "comments": e.comments,
                    "changes": changes,
                    "confidence": e.confidence,
                    "at": e.at.to_string(),
                });
                if let Some(review) = self.review(&e.review_id) {
                    review.answers.push(answer);
                    if let Some(changes) = changes {
                        merge(Arc::make_mut(&mut review.proposed), &changes);
                    }
                }
            }
            Event::ReviewDecided(e) => {
                if let Some(review) = self.review(&e.review_id) {
                    review.outcome = Some(e.outcome.name());
                    let output = match review.opened.asked_by {
                        AskedBy::Node => Some(review.output(e.outcome)),
                        AskedBy::Agent => {
                            (e.outcome == ReviewOutcome::Approved).then(|| review.proposed.clone())
                        }
                    };
                    if let Some(output) = output {
                        self.outputs.insert(e.p.clone(), output);
                    }
                }
            }
            Event::ReviewWithdrawn(e) => {
                if let Some(review) = self.review(&e.review_id) {
                    review.outcome = Some("withdrawn");
                }
            }
            Event::Warning(e) => self.warnings.push((at, e.p.clone(), format!("{}: {}", e.code, e.message))),
            Event::SignalReceived(e) => self.signals.push(ReceivedSignal {
                at,
                id: e.signal_id.clone(),
                name: e.name.to_string(),
                by: e.by.id.clone(),
                data: self.value(&e.data).unwrap_or_default(),
                taken: None,
            }),
            Event::WaitEnded(e) => {
                if let WaitCause::Signal(id) = &e.because
                    && let Some(signal) = self.signals.iter_mut().find(|signal| signal.id == *id)
                {
                    signal.taken = Some((at, e.p.clone()));
                    self.outputs.insert(e.p.clone(), signal.data.clone());
                }
            }
            Event::CheckpointNamed(e) => {
                self.checkpoints.push((at, self.events - 1, e.name.to_string(), e.p.clone()));
            }
            Event::NodeCancelled(_)
            | Event::AttemptDue(_)
            | Event::AttemptCancelled(_)
            | Event::EdgeTaken(_)
            | Event::BranchesStarted(_)
            | Event::WaitStarted(_)
            | Event::RunDue(_)
            | Event::ThreadEntered(_)
            | Event::ThreadWritten(_) => {}
        }
    }

    /// No event names what the visit before this one gave, or what its branches did: a loop must not fill the memory.
    fn forget_before(&mut self, p: &Path) {
        let (Some(Segment::Node(id, visit)), Some(scope)) = (p.last(), p.parent()) else { return };
        let before = scope.join(Segment::Node(id.clone(), visit.saturating_sub(1)));
        let within = self.outputs.range(before.clone()..).take_while(|(path, _)| path.is_within(&before));
        let gone: Vec<Path> = within.map(|(path, _)| path.clone()).collect();
        gone.iter().for_each(|path| drop(self.outputs.remove(path)));
    }

    /// The failure is taken back, and with it how the branches ended that are open again.
    fn retried(&mut self, at: Timestamp, e: &RunRetried) {
        self.end = None;
        self.retried.push((at, e.by.id.clone()));
        let opened = |block: &&mut Block| e.paths.iter().any(|path| path.is_within(&block.path));
        for block in self.blocks.iter_mut().filter(opened) {
            block.satisfied = None;
            block.ended.retain(|(_, outcome, ..)| *outcome == BranchOutcome::Succeeded);
        }
    }

    /// The attempt that was to be made was not.
    fn cached(&mut self, at: Timestamp, path: &Path, from: &CachedFrom) {
        let node = self.node(path);
        node.cached += 1;
        node.attempts = node.attempts.saturating_sub(1);
        if let Some((made, _)) = self.retries.get_mut(path) {
            *made = made.saturating_sub(1);
        }
        self.cached.push((at, path.clone(), from.clone()));
    }

    fn add_timer(&mut self, event: &Event) {
        match event {
            Event::WaitStarted(e) => {
                if let Some(until) = e.until {
                    self.timers.insert(e.p.clone(), ("wait", until));
                }
                if let Some(name) = &e.signal {
                    self.signal_waits.insert(e.p.clone(), (name.to_string(), e.deadline));
                }
            }
            Event::AttemptScheduled(e) => {
                if let Some(due) = e.due {
                    self.timers.insert(e.p.clone(), ("retry", due));
                }
            }
            Event::AttemptDue(_)
            | Event::AttemptCancelled(_)
            | Event::WaitEnded(_)
            | Event::NodeSucceeded(_)
            | Event::NodeFailed(_)
            | Event::NodeCancelled(_) => {
                if let Some(path) = event.path() {
                    self.timers.remove(path);
                    self.signal_waits.remove(path);
                }
            }
            Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_) | Event::RunKilled(_) => {
                self.timers.clear();
                self.signal_waits.clear();
            }
            _ => {}
        }
    }

    fn node(&mut self, path: &Path) -> &mut NodeTimes {
        self.nodes.entry(path.node_path()).or_default()
    }

    fn took(&mut self, path: &Path, took_ms: u64) {
        let node = self.node(path);
        node.total_ms += took_ms;
        node.longest_ms = node.longest_ms.max(took_ms);
    }

    fn cost(&mut self, path: &Path, usage: &Usage) {
        let node = self.node(path);
        node.cpu_us += usage.cpu_us;
        node.model_calls += usage.model_calls;
        node.model_ms += usage.model_ms;
        node.spent.add(usage);
        self.usage.add(usage);
        add_tools(&mut self.tools, &path.node_path(), &usage.tools);
    }

    fn block(&mut self, path: &Path) -> Option<&mut Block> {
        self.blocks.iter_mut().rev().find(|block| block.path == *path)
    }

    fn review(&mut self, id: &str) -> Option<&mut Review> {
        self.reviews.iter_mut().rev().find(|review| review.opened.review_id == id)
    }

    fn branch_ended(&mut self, e: &BranchEnded) {
        let result = e.result.as_ref().and_then(|result| self.value(result));
        if let Some(block) = self.block(&e.p) {
            block.ended.push((e.branch.clone(), e.outcome, result, e.error.clone(), e.took_ms));
        }
    }
}

impl Review {
    /// `{ decision, value, .. }`, as the output of a `review` node has it.
    fn output(&self, outcome: ReviewOutcome) -> Arc<Value> {
        let said = |answer: &&Value, decision: &str| answer["decision"] == decision;
        let last = self.answers.last();
        // The answer that decided: the rejection, or the last approval. Without one, policy did.
        let deciding = last.filter(|answer| match outcome {
            ReviewOutcome::Rejected => said(answer, "rejected"),
            ReviewOutcome::Approved => {
                let approvals = self.answers.iter().filter(|answer| said(answer, "approved")).count();
                approvals >= usize::try_from(self.opened.quorum).unwrap_or(usize::MAX)
            }
            ReviewOutcome::Expired => false,
        });
        let value = if outcome == ReviewOutcome::Approved { &self.proposed } else { &self.proposed_first };
        let edits = self.answers.iter().rev().map(|answer| &answer["changes"]);
        Arc::new(json!({
            "decision": outcome.name(),
            "value": **value,
            "changes": edits.into_iter().find(|changes| !changes.is_null()),
            "comments": deciding.map_or(json!(""), |answer| answer["comments"].clone()),
            "confidence": deciding.map_or(Value::Null, |answer| answer["confidence"].clone()),
            "decided_by": deciding.map_or(json!("policy"), |answer| answer["reviewer"].clone()),
            "answers": self.answers,
        }))
    }
}

impl Block {
    /// `{ results, errors, times }`, as the block's output has it.
    pub fn gathered(&self) -> Value {
        let error = |error: &Option<ErrorRecord>| {
            error.as_ref().map_or(Value::Null, |error| (*error.to_visible(None)).clone())
        };
        let mut ended: Vec<_> = self.ended.iter().collect();
        ended.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut results, mut errors) = (serde_json::Map::new(), serde_json::Map::new());
        let (mut item_results, mut item_errors) = (Vec::new(), Vec::new());
        let mut times = serde_json::Map::new();
        let mut item_times = vec![Value::Null; if self.is_map { self.size } else { 0 }];
        for (key, outcome, result, failed, took_ms) in ended {
            let value = || result.as_deref().cloned().unwrap_or_default();
            match key {
                BranchKey::Name(name) => {
                    match outcome {
                        BranchOutcome::Succeeded => results.insert(name.to_string(), value()),
                        BranchOutcome::Failed | BranchOutcome::Skipped => {
                            errors.insert(name.to_string(), error(failed))
                        }
                        BranchOutcome::Cancelled => None,
                    };
                    if let Some(took_ms) = took_ms {
                        times.insert(name.to_string(), json!(took_ms));
                    }
                }
                BranchKey::Item(index) => {
                    let at = usize::try_from(*index).unwrap_or(usize::MAX);
                    match outcome {
                        BranchOutcome::Succeeded => item_results.push(value()),
                        BranchOutcome::Failed | BranchOutcome::Skipped => item_errors.push(json!({
                            "index": index,
                            "item": self.items.as_ref().and_then(|items| items.get(at)),
                            "error": error(failed),
                        })),
                        BranchOutcome::Cancelled => {}
                    }
                    if let (Some(slot), Some(took_ms)) = (item_times.get_mut(at), took_ms) {
                        *slot = json!(took_ms);
                    }
                }
            }
        }
        if self.is_map {
            json!({ "results": item_results, "errors": item_errors, "times": item_times })
        } else {
            json!({ "results": results, "errors": errors, "times": times })
        }
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (name, value) in members {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// An event in one line for people; none: nobody needs to be told (unless `verbose`).
pub fn describe(event: &Event, verbose: bool) -> Option<(Tone, String)> {
    Some(match event {
        Event::RunStarted(e) => {
            let waits = match (e.start_at, e.lease) {
                (Some(start_at), _) => format!("is to start at {start_at}"),
                (None, Some(Lease::Queued)) => "waits for its thread".to_owned(),
                (None, _) => "started".to_owned(),
            };
            let of = format!("run {} of {} version {}", e.run_id, e.workflow.name, e.workflow.version);
            (Tone::Strong, format!("{of} {waits}"))
        }
        Event::RunAdopted(e) => {
            let edits: Vec<&str> = e.edits.iter().map(|edit| edit.path.as_str()).collect();
            let edited =
                if edits.is_empty() { String::new() } else { format!(", with other {}", edits.join(", ")) };
            (Tone::Strong, format!("goes on from event {} of run {}{edited}", e.from.seq, e.from.run))
        }
        Event::RunRetried(e) => {
            let name = |path: &Path| match path.segments() {
                [] => "the end".to_owned(),
                _ => path.to_string(),
            };
            let paths: Vec<String> = e.paths.iter().map(name).collect();
            let opened = if paths.is_empty() { String::new() } else { format!(": {}", paths.join(", ")) };
            (Tone::Strong, format!("run retried by {}{opened}", e.by.id))
        }
        Event::RunSucceeded(_) => (Tone::Good, "run succeeded".to_owned()),
        Event::RunFailed(e) => (Tone::Bad, format!("run failed: {}", error_line(&e.error))),
        Event::RunCancelled(e) => (Tone::Bad, by_whom("run cancelled", &e.by.id, &e.reason)),
        Event::RunKilled(e) => (Tone::Bad, by_whom("run killed", &e.by.id, &e.reason)),
        Event::RunPaused(e) => (Tone::Attention, by_whom("run paused", &e.by.id, &e.reason)),
        Event::RunResumed(e) => (Tone::Busy, by_whom("run resumed", &e.by.id, &e.reason)),
        Event::StageEntered(e) => (Tone::Faint, format!("stage {}", e.stage.name())),
        Event::NodeStarted(e) => (Tone::Busy, format!("started ({})", e.kind)),
        Event::NodeSucceeded(e) => {
            let sure = e
                .confidence
                .map_or(String::new(), |sure| format!(", confidence {}", words::confidence(sure)));
            let word = if e.expired { "expired" } else { "succeeded" };
            let cached =
                e.cached_from.as_ref().map_or(String::new(), |from| format!(", {}", cached_line(from)));
            (Tone::Good, format!("{word} after {}{sure}{cached}", words::span(e.took_ms)))
        }
        Event::NodeFailed(e) => {
            let caught = if e.caught { ", goes on by on-failure" } else { "" };
            (Tone::Bad, format!("failed after {}{caught}: {}", words::span(e.took_ms), error_line(&e.error)))
        }
        Event::NodeCancelled(e) => (Tone::Faint, format!("cancelled by {}", cause(e.because))),
        Event::AttemptScheduled(e) if e.delay_ms.is_some() || e.attempt > 1 || e.child.is_some() => {
            let delay = e.delay_ms.map_or("now".to_owned(), |delay| format!("in {}", words::span(delay)));
            match &e.child {
                Some(child) if e.attempt == 1 => (Tone::Busy, format!("child run {child}")),
                Some(child) => (Tone::Attention, format!("attempt {} {delay}: child run {child}", e.attempt)),
                None => (Tone::Attention, format!("attempt {} {delay}", e.attempt)),
            }
        }
        Event::AttemptFailed(e) => {
            let cry = last_cry(&e.error).map_or(String::new(), |cry| format!("; its last words: {cry}"));
            (
                Tone::Bad,
                format!(
                    "attempt {} of {} failed: {}{cry}",
                    e.attempt,
                    e.error.attempts,
                    error_line(&e.error)
                ),
            )
        }
        Event::AttemptInterrupted(e) => {
            (Tone::Attention, format!("attempt {} was interrupted and is repeated", e.attempt))
        }
        Event::EdgeTaken(e) => {
            let to = match &e.to {
                Target::End => "end".to_owned(),
                Target::Node(id) => id.to_string(),
            };
            match (&e.because, verbose) {
                (EdgeCause::Next, false) => return None,
                (because, _) => (Tone::Faint, format!("-> {to} ({})", edge_cause(because))),
            }
        }
        Event::RouteDecided(e) => (if e.below { Tone::Attention } else { Tone::Busy }, route_line(e)),
        Event::BranchesOpened(e) if e.items.is_none() => {
            let names: Vec<&str> = e.names.iter().map(|name| name.as_str()).collect();
            (Tone::Busy, format!("opens {}", names.join(", ")))
        }
        Event::BranchesJoined(e) => {
            let word = if e.satisfied { "joined" } else { "cannot be joined" };
            let counts = e.counts;
            let tone = if e.satisfied { Tone::Good } else { Tone::Bad };
            (
                tone,
                format!(
                    "{word}: {} succeeded, {} failed, {} cancelled",
                    counts.succeeded, counts.failed, counts.cancelled
                ),
            )
        }
        Event::ReviewOpened(e) => (
            Tone::Attention,
            format!(
                "waits for review {}: {} (until {})",
                e.review_id,
                safe::told(&e.title),
                words::instant(e.deadline)
            ),
        ),
        Event::ReviewAnswered(e) => {
            let comments =
                if e.comments.is_empty() { String::new() } else { format!(": {}", safe::told(&e.comments)) };
            (Tone::Busy, format!("{} by {}{comments}", e.decision.name(), e.reviewer))
        }
        Event::ReviewDecided(e) => (Tone::Busy, format!("review {}", e.outcome.name())),
        Event::ReviewWithdrawn(e) => (Tone::Faint, format!("review withdrawn by {}", cause(e.because))),
        Event::WaitStarted(e) => (Tone::Attention, waits_for(e)),
        Event::SignalReceived(e) => (Tone::Busy, by_whom(&format!("signal {} sent", e.name), &e.by.id, "")),
        Event::CheckpointNamed(e) => (Tone::Faint, format!("passes checkpoint {}", e.name)),
        Event::RunDue(_) => (Tone::Strong, "its time has come: it starts".to_owned()),
        Event::ThreadEntered(_) => (Tone::Busy, "has its thread now".to_owned()),
        Event::ThreadWritten(e) => {
            let channels: Vec<&str> = e.values.keys().map(|id| id.as_str()).collect();
            (Tone::Faint, format!("its thread keeps {}", channels.join(", ")))
        }
        Event::Warning(e) => (Tone::Attention, format!("warning {}: {}", e.code, safe::told(&e.message))),
        Event::AttemptCancelled(e) if verbose => {
            (Tone::Faint, format!("attempt {} cancelled by {}", e.attempt, cause(e.because)))
        }
        Event::AttemptScheduled(_)
        | Event::AttemptCancelled(_)
        | Event::AttemptDue(_)
        | Event::AttemptSucceeded(_)
        | Event::BranchesOpened(_)
        | Event::BranchesStarted(_)
        | Event::BranchEnded(_)
        | Event::WaitEnded(_) => return None,
    })
}

/// What a guest cried out as it died, in one line: its panic without what it had logged before.
pub fn last_cry(error: &ErrorRecord) -> Option<String> {
    let words = error.failure.last_words.as_deref()?;
    // Captured output follows under headings such as `[log]`, each on a line of its own.
    let is_heading = |line: &&str| line.starts_with('[') && line.ends_with(']');
    let mut lines =
        words.lines().take_while(|line| !is_heading(line)).map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    // A panic tells its place first and its message on the next line.
    let cry = match lines.next() {
        Some(message) if first.ends_with(':') => format!("{first} {message}"),
        _ => first.to_owned(),
    };
    Some(safe::short(&cry, CRY_LENGTH_MAX))
}

/// `cached: from a@1 of run 0195..`
pub fn cached_line(from: &CachedFrom) -> String {
    cached_words(&from.p.to_string(), &from.run)
}

/// The same of what is told in texts.
pub fn cached_words(path: &str, run: &str) -> String {
    format!("cached: from {path} of run {}", safe::told(run))
}

/// `waits until 2026-..`, `waits for signal go (until 2026-..)`.
pub fn waits_for(e: &WaitStarted) -> String {
    match (&e.signal, e.until.or(e.deadline)) {
        (None, Some(until)) => format!("waits until {}", words::instant(until)),
        (Some(name), Some(until)) => format!("waits for signal {name} (until {})", words::instant(until)),
        (Some(name), None) => format!("waits for signal {name}"),
        (None, None) => "waits".to_owned(),
    }
}

/// `run paused by ann: the service is down`.
pub fn by_whom(what: &str, by: &str, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", safe::told(reason)) };
    format!("{what} by {}{reason}", safe::told(by))
}

/// `agent/overloaded: the service is busy`.
pub fn error_line(error: &ErrorRecord) -> String {
    error_words(error.failure.class.name(), &error.failure.code, &error.failure.message)
}

/// The same of what is told in texts.
pub fn error_words(class: &str, code: &str, message: &str) -> String {
    format!("{class}/{code}: {}", safe::told(message))
}

/// `route law, confidence 0.82 (threshold 0.75); also tax 0.10`.
pub fn route_line(route: &Route) -> String {
    let Some(decision) = &route.decision else { return "route by default: no options".to_owned() };
    let sure =
        route.confidence.map_or(String::new(), |sure| format!(", confidence {}", words::confidence(sure)));
    let below = if route.below { "below the " } else { "" };
    let others: Vec<String> = route
        .alternatives
        .iter()
        .map(|choice| format!("{} {}", choice.name, words::confidence(choice.confidence)))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!("; also {}", others.join(", ")) };
    format!("route {decision}{sure} ({below}threshold {}){others}", words::confidence(route.threshold))
}

fn cause(because: bandstand_engine::event::CancelCause) -> &'static str {
    use bandstand_engine::event::CancelCause;
    match because {
        CancelCause::Join => "the join",
        CancelCause::Timeout => "a timeout",
        CancelCause::Deadline => "its deadline",
        CancelCause::Run => "the run's end",
    }
}

/// Why an edge was taken, in words.
pub fn edge_cause(because: &EdgeCause) -> String {
    match because {
        EdgeCause::Next => "next".to_owned(),
        EdgeCause::When(index) => format!("when {index}"),
        EdgeCause::Goto => "goto".to_owned(),
        EdgeCause::Approved => "approved".to_owned(),
        EdgeCause::Rejected => "rejected".to_owned(),
        EdgeCause::Timeout => "timeout".to_owned(),
        EdgeCause::OnFailure => "on-failure".to_owned(),
        EdgeCause::Route => "route".to_owned(),
        EdgeCause::Below => "below the threshold".to_owned(),
        EdgeCause::Default => "default".to_owned(),
    }
}
