//! The host's memory: what happened ([`audit`]), what is known ([`facts`]), what is at hand ([`slots`]). Needs the
//! grant `memory`; without it the host refuses the plugin before the run.

use std::fmt;

#[cfg(not(target_arch = "wasm32"))]
use crate::fake as host;
#[cfg(target_arch = "wasm32")]
use crate::wasm as host;

/// Why the host did not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The attempt is being ended.
    Cancelled,
    /// Not granted; the message names the grant.
    Denied,
    /// The arguments are wrong.
    Invalid,
    /// A limit of the host; the message names it.
    Limit,
    /// There is no such thing.
    NotFound,
    /// See the code.
    Other,
    /// Worth another try.
    Unavailable,
}

/// An answer of the host that is no result. `?` makes a [`crate::Failure`] of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The broad reason.
    pub kind: ErrorKind,
    /// The exact reason in kebab-case.
    pub code: String,
    /// For people.
    pub message: String,
    /// The earliest sensible time for another try, from now.
    pub retry_after_ms: Option<u32>,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

pub mod audit {
    //! A record of what happened that only grows.

    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    use super::{Error, host};

    /// An entry as the host keeps it.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Recorded {
        /// Unique within the workflow.
        pub id: String,
        /// When it was appended, RFC 3339.
        pub at: String,
        /// For whom.
        pub user_id: Option<String>,
        /// In which thread.
        pub thread_id: Option<String>,
        /// By which node.
        pub source: String,
        /// What was done, in kebab-case.
        pub action: String,
        /// The details.
        pub payload: Value,
        /// Words to find it by.
        pub tags: Vec<String>,
    }

    /// Appends an entry for this call's user, thread and node; gives its id.
    ///
    /// ```
    /// use bandstand_sdk::memory::audit;
    /// let id = audit::append("clause-flagged", &serde_json::json!({ "clause": 7 }), &["risk".to_owned()])?;
    /// assert_eq!(audit::snapshot(10)?[0].id, id);
    /// # Ok::<(), bandstand_sdk::memory::Error>(())
    /// ```
    pub fn append(action: &str, payload: &Value, tags: &[String]) -> Result<String, Error> {
        host::audit_append(action, payload, tags)
    }

    /// The latest entries of this call's thread (of its run, without a thread), oldest first.
    pub fn snapshot(limit: u32) -> Result<Vec<Recorded>, Error> {
        host::audit_snapshot(limit)
    }
}

pub mod facts {
    //! What is known, found again by words, tags, kind, user or thread. Search by meaning is the raw interface's.

    use serde::{Deserialize, Serialize};

    use super::{Error, host};

    /// One thing known.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Fact {
        /// The fact in words.
        pub text: String,
        /// What sort of fact: `note`, `preference`, or the agent's own word.
        pub kind: String,
        /// Words to filter by.
        pub tags: Vec<String>,
        /// Whom it is about; in [`put`], none means this call's user.
        pub user_id: Option<String>,
        /// How much it matters, 0 to 1.
        pub salience: f64,
        /// How sure it is, 0 to 1.
        pub confidence: f64,
        /// Where it comes from.
        pub source: String,
    }

    impl Fact {
        /// A note that matters and is sure by half; set the fields that differ.
        pub fn note(text: impl Into<String>) -> Fact {
            Fact {
                text: text.into(),
                kind: "note".into(),
                tags: Vec::new(),
                user_id: None,
                salience: 0.5,
                confidence: 0.5,
                source: String::new(),
            }
        }
    }

    /// What to look for; all filters must hold, and an empty one filters nothing.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Query {
        /// Words; empty: the filters alone decide, newer facts first.
        pub text: String,
        /// Facts with every one of these.
        pub tags: Vec<String>,
        /// Facts of any of these kinds.
        pub kinds: Vec<String>,
        /// Facts about this user.
        pub user_id: Option<String>,
        /// Facts put during this thread.
        pub thread_id: Option<String>,
        /// At most this many.
        pub limit: u32,
    }

    /// A fact that was found.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Hit {
        /// For [`forget`].
        pub id: String,
        /// Higher is better; comparable within one answer only.
        pub score: f64,
        /// When it was put, RFC 3339.
        pub at: String,
        /// The thread of the call that put it.
        pub thread_id: Option<String>,
        /// What was put.
        pub fact: Fact,
    }

    /// Keeps facts, all or none; gives their ids in the same order.
    ///
    /// ```
    /// use bandstand_sdk::memory::facts::{self, Fact, Query};
    /// facts::put(&[Fact::note("Bees make honey")])?;
    /// let hits = facts::search(&Query { text: "honey".into(), limit: 3, ..Query::default() })?;
    /// assert_eq!(hits[0].fact.text, "Bees make honey");
    /// # Ok::<(), bandstand_sdk::memory::Error>(())
    /// ```
    pub fn put(facts: &[Fact]) -> Result<Vec<String>, Error> {
        host::facts_put(facts)
    }

    /// The best hits, best first.
    pub fn search(query: &Query) -> Result<Vec<Hit>, Error> {
        host::facts_search(query)
    }

    /// Removes a fact.
    pub fn forget(id: &str) -> Result<(), Error> {
        host::facts_forget(id)
    }

    /// Lets the host derive facts from an audit entry; gives their ids.
    pub fn reflect(entry_id: &str) -> Result<Vec<String>, Error> {
        host::facts_reflect(entry_id)
    }

    /// Merges facts that say the same about the same user; how many went.
    pub fn consolidate() -> Result<u32, Error> {
        host::facts_consolidate()
    }
}

pub mod slots {
    //! Named places of the thread, one JSON value each: `persona`, `long-term-facts`, `open-loops`, `recent-summary`.

    use serde_json::Value;

    use super::{Error, host};

    /// The value, if one was set.
    ///
    /// ```
    /// use bandstand_sdk::memory::slots;
    /// slots::set("persona", &serde_json::json!("careful"))?;
    /// assert_eq!(slots::get("persona")?, Some("careful".into()));
    /// # Ok::<(), bandstand_sdk::memory::Error>(())
    /// ```
    pub fn get(name: &str) -> Result<Option<Value>, Error> {
        host::slots_get(name)
    }

    /// Puts a value in place of the former; `null` empties the slot.
    pub fn set(name: &str, value: &Value) -> Result<(), Error> {
        host::slots_set(name, value)
    }

    /// The names in use, in order.
    pub fn list() -> Result<Vec<String>, Error> {
        host::slots_list()
    }
}
