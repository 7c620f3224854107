//! Forks: a new run that adopts where another one was, perhaps with edits, and goes on from there. The other run stays
//! as it is. What it had under way is begun anew here, under this run's id: other keys, other reviews.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::block::Begins;
use super::point::{self, Point, Purpose};
use super::state::{Index, Json, State};
use super::write::{self, VALUE_DEPTH_MAX, is_too_deep, json_bytes};
use super::{Decision, NewRun, Outcome, Run, Start, StartError, ThreadNow};
use crate::event::{AttemptCause, Edited, Event, Lease, Origin, Payload, RunAdopted, WriteOp};
use crate::graph::{Channel, Graph, Keep};
use crate::id::Id;
use crate::path::Path;
use crate::time::Timestamp;

/// A larger point is not adopted. Bytes of its JSON.
const POINT_BYTES_MAX: usize = 64 << 20;

/// One value to be changed in a fork.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// Which.
    pub path: EditPath,
    /// What it becomes.
    pub value: Value,
}

/// What an edit changes: `state.CHANNEL`, `input.MEMBER`, or a member further inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditPath {
    /// Of the state; else of the input.
    of_state: bool,
    /// At least one.
    names: Vec<String>,
}

/// The text is not the path of an edit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not what a fork can change: `state.CHANNEL`, `input.MEMBER`, or a member inside, such as `state.report.title`"
)]
pub struct NotAnEditPath(pub String);

/// A fork cannot begin. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForkError {
    /// As a run of that input could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An edit cannot be made.
    #[error("cannot set `{path}`: {problem}")]
    Edit {
        /// What it changes.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The workflow has changed too much for that point.
    #[error(
        "the workflow as it is now cannot go on from event {seq} of run {run_id}: {problem}; fork from an earlier point, or without --latest"
    )]
    Graph {
        /// The run that is left.
        run_id: String,
        /// Where.
        seq: u64,
        /// What is wrong.
        problem: String,
    },
    /// The point is too large to be kept.
    #[error("the point to adopt {0}; fork from an earlier one")]
    Unkept(String),
}

/// What a fork is to be.
#[derive(Clone, Debug)]
pub struct Fork {
    /// The new run. Its input is that of the other run, without the edits.
    pub new: NewRun,
    /// What it adopts.
    pub point: Point,
    /// What is different.
    pub edits: Vec<Edit>,
}

impl Run {
    /// Begins a fork. The decision's first events are `run.started` and `run.adopted`. What was begun before the point
    /// keeps the input it began with; edits reach what is entered after it.
    ///
    /// # Errors
    /// When the edits do not fit, or the graph is another one and cannot go on from there.
    pub fn fork(graph: Arc<Graph>, fork: Fork, now: Timestamp) -> Result<(Run, Decision), ForkError> {
        let Fork { mut new, mut point, edits } = fork;
        for edit in edits.iter().filter(|edit| !edit.path.of_state) {
            edit.path.set(&mut new.input, &edit.value).map_err(|problem| edit.refused(problem))?;
        }
        if !point.fresh
            && let Some(ThreadNow::Free(values)) = &mut new.thread
        {
            // It keeps the values of its point.
            values.clear();
        }
        let start = Start::new(&graph, new, now)?;
        let refused = |point: &Point, problem| ForkError::Graph {
            run_id: point.run_id.clone(),
            seq: point.seq,
            problem,
        };
        let mut adopted = channels(&graph, &start, &point).map_err(|problem| refused(&point, problem))?;
        edit_state(&graph, &mut adopted, &edits)?;
        let queued = start.0.lease == Some(Lease::Queued);
        if point.fresh && queued {
            not_the_threads(&graph, &edits)?;
        }
        point.root.changed = Arc::new(adopted.into_iter().map(|(id, value)| (id, value.into())).collect());
        point::fits(&graph, &Path::root(), &point.root).map_err(|problem| refused(&point, problem))?;

        let from = Origin { run: point.run_id.clone(), seq: point.seq };
        point.wake_at(now);
        let mut works = Vec::new();
        if !queued {
            point::lay_down(&graph, &Path::root(), &mut point.root, Purpose::Fork, now, &mut works);
        }
        let adopted = RunAdopted {
            from,
            snapshot: point.to_payload(),
            edits: edits
                .iter()
                .map(|edit| Edited { path: edit.path.to_string(), value: Payload::new(edit.value.clone()) })
                .collect(),
        };
        let adopted = Event::RunAdopted(Box::new(adopted));
        can_be_kept(&adopted)?;
        let state = State::begin(&graph, &start.0, now).expect("a start holds its values");
        let index = Index::of(&graph, &state);
        let mut run = Run { graph, state, index, clock: now, events: Vec::new(), begins: Begins::default() };
        run.emit(Event::RunStarted(Box::new(start.0)));
        run.emit(adopted);
        run.begin_anew(point.stage, works, AttemptCause::Adopted);
        run.advance();
        run.write_thread_if_waiting();
        let decision = run.take_decision(Outcome::Unchanged);
        Ok((run, decision))
    }
}

/// The channels of this graph, with the point's values where it has them.
fn channels(graph: &Graph, start: &Start, point: &Point) -> Result<BTreeMap<Id, Json>, String> {
    let mut channels = BTreeMap::new();
    for (id, channel) in &graph.state {
        let adopted = point.root.changed.get(id).filter(|_| !(point.fresh && channel.keep == Keep::Thread));
        let value = match adopted.map(|adopted| adopted.value().clone()) {
            Some(value) => {
                check_channel(channel, &value).map_err(|problem| format!("channel `{id}` {problem}"))?;
                value
            }
            None => match start.0.state.get(id).and_then(Payload::value) {
                Some(value) => value.clone(),
                None => write::initial(channel.reduce),
            },
        };
        channels.insert(id.clone(), value);
    }
    Ok(channels)
}

/// A value that was never written need not satisfy the schema: a channel may start as what its reducer starts with.
fn check_channel(channel: &Channel, value: &Json) -> Result<(), String> {
    if channel.initial.is_none() && *value == write::initial(channel.reduce) {
        return Ok(());
    }
    let neutral = write::neutral(channel.reduce, value);
    write::reduce(WriteOp::Reduce(channel.reduce), value.clone(), &neutral)?;
    match &channel.schema {
        Some(schema) => schema.check(value).map_err(|problem| format!("would break its schema: {problem}")),
        None => Ok(()),
    }
}

fn edit_state(graph: &Graph, channels: &mut BTreeMap<Id, Json>, edits: &[Edit]) -> Result<(), ForkError> {
    let mut whole = Map::new();
    for (id, value) in channels.iter() {
        whole.insert(id.to_string(), (**value).clone());
    }
    let mut whole = Value::Object(whole);
    let edits: Vec<&Edit> = edits.iter().filter(|edit| edit.path.of_state).collect();
    for edit in &edits {
        let name = edit.path.names.first().map_or("", String::as_str);
        if !graph.state.keys().any(|id| id.as_str() == name) {
            let known: Vec<&str> = graph.state.keys().map(Id::as_str).collect();
            let problem = format!("`{name}` is no channel of the state; there are: {}", known.join(", "));
            return Err(edit.refused(problem));
        }
        edit.path.set(&mut whole, &edit.value).map_err(|problem| edit.refused(problem))?;
    }
    for (id, channel) in &graph.state {
        let edit =
            edits.iter().rev().find(|edit| edit.path.names.first().is_some_and(|name| name == id.as_str()));
        let Some(edit) = edit else { continue };
        let value: Json = Arc::new(whole.get(id.as_str()).cloned().unwrap_or_default());
        check_channel(channel, &value).map_err(|problem| edit.refused(problem))?;
        if is_too_deep(&value) {
            return Err(edit.refused(format!("the value would nest more than {VALUE_DEPTH_MAX} deep")));
        }
        channels.insert(id.clone(), value);
        let (bytes, bytes_max) =
            (channels.values().map(|value| json_bytes(value)).sum::<u64>(), graph.limits.state_bytes);
        if bytes > bytes_max {
            let problem = format!(
                "the state would have {bytes} bytes, above `limits.state` = {bytes_max}; the workflow file can raise it to 16MiB"
            );
            return Err(edit.refused(problem));
        }
    }
    Ok(())
}

/// A run that waits for its thread and has not begun gets these channels from the thread: an edit would be lost.
fn not_the_threads(graph: &Graph, edits: &[Edit]) -> Result<(), ForkError> {
    let kept = |edit: &&Edit| {
        let name = edit.path.names.first().map_or("", String::as_str);
        edit.path.of_state && graph.thread_channels().any(|id| id.as_str() == name)
    };
    match edits.iter().find(kept) {
        Some(edit) => Err(edit.refused(
            "the fork waits for its thread, which gives this channel its value; fork again when the run before it has ended",
        )),
        None => Ok(()),
    }
}

/// What cannot be read back must not be written.
fn can_be_kept(adopted: &Event) -> Result<(), ForkError> {
    let unkept = |problem: String| ForkError::Unkept(problem);
    let text = serde_json::to_string(adopted).map_err(|error| unkept(format!("is no JSON: {error}")))?;
    if text.len() > POINT_BYTES_MAX {
        return Err(unkept(format!("has {} bytes; a fork adopts {POINT_BYTES_MAX} at most", text.len())));
    }
    match serde_json::from_str::<Event>(&text) {
        Ok(_) => Ok(()),
        Err(error) => Err(unkept(format!("would not read back: {error}"))),
    }
}

impl Edit {
    fn refused(&self, problem: impl Into<String>) -> ForkError {
        ForkError::Edit { path: self.path.to_string(), problem: problem.into() }
    }
}

impl EditPath {
    /// Sets what the path leads to inside the state or the input. Objects on the way are made; lists have their items
    /// already.
    fn set(&self, whole: &mut Value, value: &Value) -> Result<(), String> {
        let mut at = whole;
        for name in &self.names {
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
            at = match at {
                Value::Object(members) => members.entry(name.clone()).or_insert(Value::Null),
                Value::Array(items) => {
                    let length = items.len();
                    let item = name.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                    item.ok_or_else(|| format!("`{name}` is no item of a list of {length}"))?
                }
                other => return Err(format!("`{name}` would lie inside {}", write::type_name(other))),
            };
        }
        *at = value.clone();
        Ok(())
    }
}

impl FromStr for EditPath {
    type Err = NotAnEditPath;

    fn from_str(text: &str) -> Result<EditPath, NotAnEditPath> {
        // Shown to people: enough of it to know it by.
        let wrong = || NotAnEditPath(text.chars().take(200).collect());
        let mut parts = text.split('.');
        let of_state = match parts.next() {
            Some("state") => true,
            Some("input") => false,
            _ => return Err(wrong()),
        };
        let names: Vec<String> = parts.map(str::to_owned).collect();
        // Values nest no deeper; and a path of thousands of names would make one that no stack can walk.
        if names.is_empty() || names.len() > VALUE_DEPTH_MAX || names.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(EditPath { of_state, names })
    }
}

impl fmt::Display for EditPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", if self.of_state { "state" } else { "input" }, self.names.join("."))
    }
}
