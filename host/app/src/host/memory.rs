//! The memory interfaces of agents, over the store: scoped by workflow, with thread, user and node of the attempt.

use std::sync::Arc;

use bandstand_engine::CommandId;
use bandstand_engine::event::RunStarted;
use bandstand_sandbox::{
    AuditEntry, AuditRecord, Fact, FactHit, FactQuery, Memory, PowerError, PowerErrorKind, SearchMode,
};
use bandstand_store::Store;
use bandstand_store::memory::{self as kept, Scope};

use crate::driver::now;

/// The earliest time for another try when the store is behind. Milliseconds.
const TRY_AGAIN_MS: u32 = 1_000;

/// The memory of one attempt.
pub(super) fn of(store: &Arc<Store>, started: &RunStarted, id: &CommandId) -> Arc<dyn Memory> {
    let scope = Scope {
        workflow: started.workflow.name.clone(),
        run_id: started.run_id.clone(),
        thread_id: started.thread_id.clone(),
        user_id: started.user_id.clone(),
        node: id.path.to_string(),
    };
    in_scope(store.clone(), scope)
}

/// The memory of whoever is in that scope.
pub(crate) fn in_scope(store: Arc<Store>, scope: Scope) -> Arc<dyn Memory> {
    Arc::new(OfAttempt { store, scope })
}

struct OfAttempt {
    store: Arc<Store>,
    scope: Scope,
}

impl Memory for OfAttempt {
    fn audit_append(&self, entry: AuditEntry) -> Result<String, PowerError> {
        let AuditEntry { action, payload, tags } = entry;
        self.store
            .audit_append(&self.scope, now(), kept::AuditEntry { action, payload, tags })
            .map_err(refuse)
    }

    fn audit_snapshot(&self, limit: u32) -> Result<Vec<AuditRecord>, PowerError> {
        let records = self.store.audit_snapshot(&self.scope, limit).map_err(refuse)?;
        Ok(records
            .into_iter()
            .map(|record| AuditRecord {
                id: record.id,
                at: record.at.to_string(),
                user_id: record.user_id,
                thread_id: record.thread_id,
                source: record.source,
                entry: AuditEntry {
                    action: record.entry.action,
                    payload: record.entry.payload,
                    tags: record.entry.tags,
                },
            })
            .collect())
    }

    fn facts_put(&self, facts: Vec<Fact>) -> Result<Vec<String>, PowerError> {
        let keep = |fact: Fact| kept::Fact {
            text: fact.text,
            kind: fact.kind,
            tags: fact.tags,
            user_id: fact.user_id,
            salience: fact.salience,
            confidence: fact.confidence,
            source: fact.source,
            embedding: fact.embedding,
        };
        self.store.facts_put(&self.scope, now(), facts.into_iter().map(keep).collect()).map_err(refuse)
    }

    fn facts_search(&self, query: FactQuery) -> Result<Vec<FactHit>, PowerError> {
        let query = kept::FactQuery {
            text: query.text,
            mode: match query.mode {
                SearchMode::Keyword => kept::SearchMode::Keyword,
                SearchMode::Vector => kept::SearchMode::Vector,
                SearchMode::Hybrid => kept::SearchMode::Hybrid,
            },
            embedding: query.embedding,
            tags: query.tags,
            kinds: query.kinds,
            user_id: query.user_id,
            thread_id: query.thread_id,
            limit: query.limit,
        };
        let hits = self.store.facts_search(&self.scope, &query).map_err(refuse)?;
        Ok(hits
            .into_iter()
            .map(|hit| FactHit {
                id: hit.id,
                score: hit.score,
                at: hit.at.to_string(),
                thread_id: hit.thread_id,
                fact: Fact {
                    text: hit.fact.text,
                    kind: hit.fact.kind,
                    tags: hit.fact.tags,
                    user_id: hit.fact.user_id,
                    salience: hit.fact.salience,
                    confidence: hit.fact.confidence,
                    source: hit.fact.source,
                    embedding: hit.fact.embedding,
                },
            })
            .collect())
    }

    fn facts_forget(&self, id: &str) -> Result<(), PowerError> {
        self.store.facts_forget(&self.scope, id).map_err(refuse)
    }

    fn facts_reflect(&self, entry_id: &str) -> Result<Vec<String>, PowerError> {
        self.store.facts_reflect(&self.scope, now(), entry_id).map_err(refuse)
    }

    fn facts_consolidate(&self) -> Result<u32, PowerError> {
        self.store.facts_consolidate(&self.scope).map_err(refuse)
    }

    fn slot_get(&self, name: &str) -> Result<Option<String>, PowerError> {
        self.store.slot_get(&self.scope, name).map_err(refuse)
    }

    fn slot_set(&self, name: &str, value: &str) -> Result<(), PowerError> {
        self.store.slot_set(&self.scope, now(), name, value).map_err(refuse)
    }

    fn slot_list(&self) -> Result<Vec<String>, PowerError> {
        self.store.slot_list(&self.scope).map_err(refuse)
    }
}

fn refuse(error: kept::MemoryError) -> PowerError {
    let message = error.to_string();
    match error {
        kept::MemoryError::Invalid { code, .. } => PowerError::new(PowerErrorKind::Invalid, code, message),
        kept::MemoryError::NotFound { .. } => PowerError::new(PowerErrorKind::NotFound, "not-found", message),
        kept::MemoryError::Limit { .. } => PowerError::new(PowerErrorKind::Limit, "limit", message),
        kept::MemoryError::Refused(_) => PowerError {
            retry_after_ms: Some(TRY_AGAIN_MS),
            ..PowerError::new(PowerErrorKind::Unavailable, "store-behind", message)
        },
        kept::MemoryError::Read(_) => PowerError::new(PowerErrorKind::Other, "store", message),
    }
}
