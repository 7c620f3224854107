//! What a run wants done: commands follow from its state, they are never stored.

use std::sync::Arc;

use serde_json::Value;

use crate::id::Id;
use crate::path::CommandId;

/// A call of a plugin that is owed: to be started, or in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The attempt.
    pub id: CommandId,
    /// Which of the graph's plugins.
    pub plugin: Id,
    /// What it is given: an object.
    pub input: Arc<Value>,
    /// How many attempts the policy allows, the first included.
    pub attempts_max: u32,
    /// The longest the attempt may take, from its actual start. The driver measures it, on a monotonic clock.
    pub timeout_ms: u64,
    /// How often this attempt was interrupted by the death of a host.
    pub interruptions: u32,
}

impl Command {
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
