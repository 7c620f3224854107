//! What a run wants done: commands follow from its state, they are never stored.

use std::sync::Arc;

use serde_json::Value;

use crate::id::Id;
use crate::path::CommandId;

/// An attempt that is owed: a call of a plugin or a child run, to be started or under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The attempt.
    pub id: CommandId,
    /// Who makes it.
    pub callee: Callee,
    /// What it is given: an object.
    pub input: Arc<Value>,
    /// How many attempts the policy allows, the first included.
    pub attempts_max: u32,
    /// The longest the attempt may take, from its actual start. The driver measures it, on a monotonic clock. 0 for a child
    /// run: the engine watches over the time of its visit.
    pub timeout_ms: u64,
    /// How often this attempt was interrupted by the death of a host.
    pub interruptions: u32,
}

/// Who makes an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// One of the graph's plugins.
    Plugin(Id),
    /// One of the graph's workflows: the attempt is a run of it, whose id is [`Run::child_run_id`](crate::Run::child_run_id).
    Workflow(Id),
}

impl Command {
    /// Whether it is a child run.
    pub fn is_child(&self) -> bool {
        matches!(self.callee, Callee::Workflow(_))
    }

    /// `RUN-ID/PATH`: the same for every attempt and redelivery of a visit, new for each visit.
    pub fn idempotency_key(&self, run_id: &str) -> String {
        if crate::mistake::is(crate::mistake::Mistake::KeyWithoutVisit) {
            return format!("{run_id}/{}", self.id.path.node_path());
        }
        format!("{run_id}/{}", self.id.path)
    }

    /// The visit's number at its node.
    pub fn visit(&self) -> u32 {
        use crate::path::Segment;
        match self.id.path.last() {
            Some(Segment::Node(_, visit) | Segment::Sole(visit)) => *visit,
            _ => 1,
        }
    }
}
