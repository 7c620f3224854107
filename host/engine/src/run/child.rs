//! Child runs: an attempt of a `workflow` node is a run of its own, with its own journal and state. Here: which runs those
//! are, and what becomes of the node when one has ended. Starting them, and cancelling those that nobody wants any more,
//! is the driver's part; it needs no list of them but what is owed.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use crate::command::{Callee, Command};
use crate::event::{AttemptSucceeded, ChildPins, Event, Parent, Payload};
use crate::failure::{Class, Failure};
use crate::graph::{ChildWorkflow, Kind};
use crate::id::Id;
use crate::input::{ChildOutcome, Reply, ReplyNext, Usage};
use crate::mistake::{self, Mistake};
use crate::path::CommandId;

/// A child run that is owed.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildRun {
    /// The attempt that it is.
    pub id: CommandId,
    /// Its id: always the same for an attempt, so that starting it twice is starting it once.
    pub run_id: String,
    /// Which of the graph's workflows.
    pub workflow: Id,
    /// Its input, as evaluated.
    pub input: Arc<Value>,
    /// Source of all its randomness.
    pub seed: u64,
}

impl Run {
    /// The id of the run that an attempt is; none if it is a call of a plugin.
    pub fn child_run_id(&self, id: &CommandId) -> Option<String> {
        let Kind::Workflow(_) = self.graph.node(&id.path)?.kind else { return None };
        Some(uuid_text(self.child_hash("child", id)))
    }

    /// The child runs that are owed.
    pub fn children(&self) -> impl Iterator<Item = ChildRun> {
        self.index.commands.values().filter_map(|command| self.child_of(command))
    }

    /// The child run that an owed attempt is.
    pub fn child(&self, id: &CommandId) -> Option<ChildRun> {
        self.child_of(self.index.commands.get(id)?)
    }

    /// The workflow of a child run, and what it uses.
    pub fn child_workflow(&self, workflow: &Id) -> Option<(&ChildWorkflow, ChildPins)> {
        let pins = self.state.started.children.get(workflow).cloned().unwrap_or_default();
        Some((self.graph.workflows.get(workflow)?, pins))
    }

    fn child_of(&self, command: &Command) -> Option<ChildRun> {
        let Callee::Workflow(workflow) = &command.callee else { return None };
        let id = command.id.clone();
        let mut first = [0; 8];
        first.copy_from_slice(&self.child_hash("seed", &id)[..8]);
        Some(ChildRun {
            run_id: uuid_text(self.child_hash("child", &id)),
            workflow: workflow.clone(),
            input: command.input.clone(),
            seed: u64::from_le_bytes(first),
            id,
        })
    }

    fn child_hash(&self, purpose: &str, id: &CommandId) -> [u8; 32] {
        let mut hasher = self.hasher(purpose, &id.to_string());
        hasher.update(&self.state.started.seed.to_le_bytes());
        if mistake::is(Mistake::ChildTwice) {
            hasher.update(&self.state.seq.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    /// A child run has ended. `false`: it is not owed.
    pub(super) fn child_ended(&mut self, id: &CommandId, outcome: ChildOutcome) -> bool {
        let Some(child) = self.child(id) else { return false };
        let failure = match outcome {
            ChildOutcome::Succeeded(output) => return self.child_succeeded(&child, output),
            ChildOutcome::Failed(failure) => {
                Failure { message: format!("child run {}: {}", child.run_id, failure.message), ..failure }
            }
            ChildOutcome::Cancelled => ended_by_somebody(&child, "cancelled", "child-cancelled"),
            ChildOutcome::Killed => ended_by_somebody(&child, "killed", "child-killed"),
        };
        self.attempt_failed(id, failure, None, Usage::default())
    }

    fn child_succeeded(&mut self, child: &ChildRun, output: Arc<Value>) -> bool {
        // The child's own limits may be wider.
        if let Err(failure) = self.check_payload("the child's result", super::write::json_bytes(&output)) {
            return self.attempt_failed(&child.id, failure, None, Usage::default());
        }
        let CommandId { path: p, attempt } = child.id.clone();
        let reply = Reply { output: output.clone(), confidence: None, next: ReplyNext::Edges };
        self.emit(Event::AttemptSucceeded(AttemptSucceeded::new(
            p.clone(),
            attempt,
            &reply,
            Usage::default(),
        )));
        self.succeed(&p, Payload::Output(p.clone()), output, None, &ReplyNext::Edges);
        true
    }
}

impl Parent {
    /// Of the run that an attempt of `run` is.
    pub fn of(run: &Run, child: &ChildRun) -> Parent {
        Parent { run: run.id().to_owned(), p: child.id.path.clone(), attempt: child.id.attempt }
    }
}

fn ended_by_somebody(child: &ChildRun, how: &str, code: &str) -> Failure {
    Failure::permanent(Class::Workflow, code, format!("child run {} was {how}", child.run_id))
}

/// A hash in the form of a UUID of version 8 (RFC 9562), as the ids of other runs have the form of one.
fn uuid_text(hash: [u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
