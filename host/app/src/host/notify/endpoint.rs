//! Whom the operator wants told of what, and how hard it is tried.

use std::collections::BTreeSet;

use bandstand_engine::Timestamp;

use super::send::place_of;
use crate::host::outgoing::SecretFrom;
use crate::host::outward::Place;
use crate::host::signature::SigningKey;

/// What somebody can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum EventKind {
    /// A review waits for people.
    #[serde(rename = "review.opened")]
    ReviewOpened,
    /// A person answered one.
    #[serde(rename = "review.answered")]
    ReviewAnswered,
    /// The time of one was over.
    #[serde(rename = "review.expired")]
    ReviewExpired,
    /// A run ended. Child runs are attempts of their parents, and are not told of.
    #[serde(rename = "run.ended")]
    RunEnded,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 4] =
        [EventKind::ReviewOpened, EventKind::ReviewAnswered, EventKind::ReviewExpired, EventKind::RunEnded];

    /// The word in settings and messages.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::ReviewOpened => "review.opened",
            EventKind::ReviewAnswered => "review.answered",
            EventKind::ReviewExpired => "review.expired",
            EventKind::RunEnded => "run.ended",
        }
    }
}

/// How often and how long a delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Attempts of one delivery at most.
    pub attempts_max: u32,
    /// An older event is not tried again. Milliseconds.
    pub age_ms_max: u64,
    /// Before the second attempt; it doubles from one to the next. Milliseconds.
    pub delay_ms: u64,
    /// No delay is longer, but one that the receiver asks for. Milliseconds.
    pub delay_ms_max: u64,
}

impl Default for Persistence {
    fn default() -> Persistence {
        Persistence {
            attempts_max: 100,
            age_ms_max: 3 * 24 * 3_600_000,
            delay_ms: 1_000,
            delay_ms_max: 3_600_000,
        }
    }
}

/// No receiver is waited for longer than that. Milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 24 * 3_600_000;

impl Persistence {
    /// When a delivery is tried again that failed for the `attempts`-th time; none: it is given up.
    pub fn next(
        &self,
        created_at: Timestamp,
        attempts: u32,
        retry_after_ms: Option<u64>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if attempts >= self.attempts_max {
            return None;
        }
        let doubled = self.delay_ms.saturating_mul(1_u64 << attempts.saturating_sub(1).min(40));
        let delay = doubled.min(self.delay_ms_max);
        let next = now.plus_ms(delay.max(retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX)));
        (next.since_ms(created_at) <= self.age_ms_max).then_some(next)
    }
}

/// `[notify.NAME]` of `bandstand.toml`. Holds no secret.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What the operator calls it.
    pub name: String,
    /// Its address. Shown without its path, which may be as good as a secret.
    pub(crate) place: Place,
    /// What it is told of.
    pub events: BTreeSet<EventKind>,
    /// Only of runs of these workflows; empty: of all.
    pub workflows: BTreeSet<String>,
    /// Where the key is that signs.
    pub secret: SecretFrom,
    /// How hard it is tried.
    pub persistence: Persistence,
    /// From the connection to the head of the answer. Milliseconds.
    pub timeout_ms: u64,
    /// Deliveries under way at once.
    pub concurrency: usize,
    /// Whether what is proposed and what reviewers say is sent along.
    pub with_proposal: bool,
}

impl Endpoint {
    /// One with the defaults for everything else.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(name: &str, url: &str, secret: SecretFrom) -> Result<Endpoint, String> {
        let place = place_of(url).ok_or_else(|| {
            "is no address such as `https://chat.example.com/hooks/bandstand`, without user and `#`"
                .to_owned()
        })?;
        Ok(Endpoint {
            name: name.to_owned(),
            place,
            events: EventKind::ALL.into(),
            workflows: BTreeSet::new(),
            secret,
            persistence: Persistence::default(),
            timeout_ms: 10_000,
            concurrency: 4,
            with_proposal: false,
        })
    }

    /// Scheme and host of its address.
    pub fn origin(&self) -> String {
        self.place.origin()
    }

    /// What keeps it from being told of anything: its key.
    pub fn problem(&self) -> Option<String> {
        self.key().err()
    }

    /// Whether it is told of this.
    pub(super) fn wants(&self, kind: EventKind, workflow: &str) -> bool {
        self.events.contains(&kind) && (self.workflows.is_empty() || self.workflows.contains(workflow))
    }

    pub(super) fn key(&self) -> Result<SigningKey, String> {
        SigningKey::read(&self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound_and_end() {
        let persistence =
            Persistence { attempts_max: 5, age_ms_max: 100_000, delay_ms: 1_000, delay_ms_max: 5_000 };
        let next = |attempts, after| persistence.next(Timestamp(0), attempts, after, Timestamp(50_000));
        assert_eq!(next(1, None), Some(Timestamp(51_000)));
        assert_eq!(next(3, None), Some(Timestamp(54_000)));
        assert_eq!(next(4, None), Some(Timestamp(55_000)));
        assert_eq!(next(5, None), None, "the last attempt");
        assert_eq!(next(1, Some(30_000)), Some(Timestamp(80_000)), "the receiver asks for more");
        assert_eq!(next(1, Some(10)), Some(Timestamp(51_000)), "or for less");
        assert_eq!(next(1, Some(60_000)), None, "too old by then");
        assert!(Persistence::default().next(Timestamp(0), 99, None, Timestamp(1)).is_some());
    }
}
