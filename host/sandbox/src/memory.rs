//! The memory that stands behind an agent: the trait that a store implements, and its plain types.
//!
//! The sandbox checks grants, JSON and number ranges before it calls; scope (workflow, user, thread, run, node) is
//! the implementer's: a [`Memory`] is made for one attempt and knows for whom it works.

use crate::power_error::PowerError;

/// What the memory interfaces of `wit/agent.wit` ask for, one method each; their meaning is described there.
///
/// Methods may block: they are called on a thread that may wait. An attempt can end while one runs; the method then
/// finishes, and its answer goes nowhere.
pub trait Memory: Send + Sync + 'static {
    /// `memory-audit.append`: the new entry's id.
    ///
    /// # Errors
    /// Whatever the store says.
    fn audit_append(&self, entry: AuditEntry) -> Result<String, PowerError>;
    /// `memory-audit.snapshot`: the latest `limit` entries, oldest first.
    ///
    /// # Errors
    /// Whatever the store says.
    fn audit_snapshot(&self, limit: u32) -> Result<Vec<AuditRecord>, PowerError>;
    /// `memory-facts.put`: the new ids, in the order of `facts`; all or none are kept.
    ///
    /// # Errors
    /// Whatever the store says.
    fn facts_put(&self, facts: Vec<Fact>) -> Result<Vec<String>, PowerError>;
    /// `memory-facts.search`: best first.
    ///
    /// # Errors
    /// Whatever the store says; `unavailable` for a mode it does not have.
    fn facts_search(&self, query: FactQuery) -> Result<Vec<FactHit>, PowerError>;
    /// `memory-facts.forget`.
    ///
    /// # Errors
    /// `not-found` for an unknown id.
    fn facts_forget(&self, id: &str) -> Result<(), PowerError>;
    /// `memory-facts.reflect`: ids of the facts derived from an audit entry.
    ///
    /// # Errors
    /// `not-found` for an unknown entry.
    fn facts_reflect(&self, entry_id: &str) -> Result<Vec<String>, PowerError>;
    /// `memory-facts.consolidate`: how many facts went.
    ///
    /// # Errors
    /// Whatever the store says.
    fn facts_consolidate(&self) -> Result<u32, PowerError>;
    /// `memory-slots.get`: JSON text.
    ///
    /// # Errors
    /// Whatever the store says.
    fn slot_get(&self, name: &str) -> Result<Option<String>, PowerError>;
    /// `memory-slots.set`: `value` is JSON text; `null` empties the slot.
    ///
    /// # Errors
    /// Whatever the store says.
    fn slot_set(&self, name: &str, value: &str) -> Result<(), PowerError>;
    /// `memory-slots.list`: the names in use, in order.
    ///
    /// # Errors
    /// Whatever the store says.
    fn slot_list(&self) -> Result<Vec<String>, PowerError>;
}

/// What happened, as an agent tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was done.
    pub action: String,
    /// JSON text, checked.
    pub payload: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What happened, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Unique within the workflow.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// The user of the attempt that appended it.
    pub user_id: Option<String>,
    /// The thread of the attempt that appended it.
    pub thread_id: Option<String>,
    /// The node that appended it.
    pub source: String,
    /// What was appended.
    pub entry: AuditEntry,
}

/// One thing known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The fact in words.
    pub text: String,
    /// What sort of fact.
    pub kind: String,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Whom it is about; in `facts_put`, `None` means the attempt's user.
    pub user_id: Option<String>,
    /// 0 to 1, checked.
    pub salience: f64,
    /// 0 to 1, checked.
    pub confidence: f64,
    /// Where it comes from.
    pub source: String,
    /// Its meaning as a vector of finite numbers, checked.
    pub embedding: Option<Vec<f32>>,
}

/// How a search finds facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchMode {
    /// By words.
    Keyword,
    /// By meaning.
    Vector,
    /// Both.
    Hybrid,
}

/// What to look for; all filters must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct FactQuery {
    /// Words; empty: the filters alone decide, newer first.
    pub text: String,
    /// By words, by meaning, or both.
    pub mode: SearchMode,
    /// For the modes by meaning; finite numbers, checked.
    pub embedding: Option<Vec<f32>>,
    /// Every one must be on the fact.
    pub tags: Vec<String>,
    /// Any one must be the fact's; empty: all kinds.
    pub kinds: Vec<String>,
    /// Whom the fact is about.
    pub user_id: Option<String>,
    /// The thread that put it.
    pub thread_id: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A fact that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FactHit {
    /// Names it in `facts_forget`.
    pub id: String,
    /// Higher is better, within one answer; a finite number.
    pub score: f64,
    /// RFC 3339.
    pub at: String,
    /// The thread of the attempt that put it.
    pub thread_id: Option<String>,
    /// What was put.
    pub fact: Fact,
}
