//! What an agent is told. How it answers is in `reply` and `failure`.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Failure;

/// One attempt at one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The run this attempt belongs to.
    pub run_id: String,
    /// The conversation or case that several runs share, if the run has one.
    pub thread_id: Option<String>,
    /// The person on whose behalf the run goes on, if known.
    pub user_id: Option<String>,
    /// Name of the workflow.
    pub workflow: String,
    /// Path of the node, with visits: `fan@1/law@1`.
    pub node: String,
    /// How often the run has come to this node, this time included.
    pub visit: u32,
    /// Which attempt of this visit this is, from 1.
    pub attempt: u32,
    /// The attempt after which the host gives up.
    pub attempts_max: u32,
    /// The same for every attempt that might repeat one effect.
    pub idempotency_key: String,
    /// When this attempt started, RFC 3339.
    pub started_at: String,
    /// How long the attempt may take, from `started_at`.
    pub timeout_ms: u32,
    /// For [`Call::random`].
    pub seed: u32,
    /// The input as JSON text; [`Call::input`] reads it.
    pub input_json: String,
    /// What later hosts add, as JSON text of an object.
    pub context_json: String,
}

impl Call {
    /// The input as a type of the agent's own. What does not fit is a permanent failure `input-invalid`, since another
    /// attempt gets the same input.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.input_json).map_err(|error| {
            let message = format!("the input of this node does not fit: {error}");
            Failure::permanent("input-invalid", message)
        })
    }

    /// Random numbers for this attempt: others in every attempt, the same when it is replayed.
    #[must_use]
    pub fn random(&self) -> Random {
        Random { state: u64::from(self.seed) }
    }

    /// A first attempt with this input, for tests. Every field may be set afterwards.
    #[must_use]
    pub fn with_input(input: Value) -> Call {
        Call {
            run_id: "run-1".into(),
            thread_id: None,
            user_id: None,
            workflow: "test".into(),
            node: "node@1".into(),
            visit: 1,
            attempt: 1,
            attempts_max: 4,
            idempotency_key: "run-1/node@1".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            timeout_ms: 60_000,
            seed: 1,
            input_json: input.to_string(),
            context_json: "{}".into(),
        }
    }
}

/// A small generator of random numbers (SplitMix64). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The next number, of all 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u32) -> u32 {
        // The high half of a product is even enough for any `u32`.
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::FailureKind;

    #[test]
    fn input_that_does_not_fit_is_permanent_and_says_where() {
        #[derive(Debug, serde::Deserialize)]
        struct Input {
            #[allow(dead_code)]
            text: String,
        }
        let failure = Call::with_input(json!({ "txt": 1 })).input::<Input>().unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Permanent);
        assert_eq!(failure.code(), "input-invalid");
        assert!(failure.message().contains("`text`"), "{failure}");
    }

    #[test]
    fn random_numbers_follow_from_the_seed() {
        let call = Call::with_input(json!({}));
        let take = |call: &Call| {
            (0..3)
                .map({
                    let mut random = call.random();
                    move |_| random.below(1000)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(take(&call), take(&call));
        assert_ne!(take(&call), take(&Call { seed: 2, ..call.clone() }));
        assert_eq!(call.random().below(0), 0);
        assert!((0..100).all(|_| call.random().below(7) < 7));
    }
}
