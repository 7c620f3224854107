//! The audit log (R6.1): it can only grow.

use bandstand_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{MemoryError, Scope, add, json_list, list, number, within};
use crate::reader::{ReadError, Reader};
use crate::runs::PAGE_ROWS_MAX;
use crate::store::Store;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was done.
    pub action: String,
    /// JSON text.
    pub payload: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What happened, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// `audit-NUMBER`, unique within the store.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// For whom.
    pub user_id: Option<String>,
    /// In which thread.
    pub thread_id: Option<String>,
    /// The node.
    pub source: String,
    /// What was appended.
    pub entry: AuditEntry,
}

const PREFIX: &str = "audit-";
const COLUMNS: &str = "id, at, user_id, thread_id, source, action, payload, tags";

impl Store {
    /// Appends an entry; returns its id.
    ///
    /// # Errors
    /// When it is not JSON, is above a limit, or cannot be written now.
    pub fn audit_append(
        &self,
        scope: &Scope,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<String, MemoryError> {
        let limits = self.shared.options.memory;
        limits.check_name("the action", &entry.action)?;
        limits.check_tags(&entry.tags)?;
        within("the payload's bytes", entry.payload.len(), limits.payload_bytes_max, "memory.payload-bytes")?;
        super::slots::check_json(&entry.payload)?;
        let (scope, tags) = (scope.clone(), json_list(&entry.tags));
        let bytes = entry.payload.len() + entry.action.len() + tags.len();
        self.remember(bytes, move |connection| {
            let kept = add(connection, &scope.workflow, "audit", 1)?;
            if let Err(full) = within("audit entries of the workflow", kept, limits.audit_entries_max, "memory.audit-entries") {
                return Ok(Err(full));
            }
            connection
                .prepare_cached(
                    "INSERT INTO audit_events(workflow, thread, at, thread_id, user_id, source, action, payload, tags) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    scope.workflow,
                    scope.thread(),
                    at.0,
                    scope.thread_id,
                    scope.user_id,
                    scope.node,
                    entry.action,
                    entry.payload,
                    tags,
                ])?;
            Ok(Ok(format!("{PREFIX}{}", connection.last_insert_rowid())))
        })
    }

    /// The latest entries of the scope's thread (of its run, if it has none), oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit_snapshot(&self, scope: &Scope, limit: u32) -> Result<Vec<AuditRecord>, MemoryError> {
        Ok(self.reader().audit(scope, self.shared.options.memory.results(limit))?)
    }

    /// One entry of the scope's workflow.
    pub(super) fn audit_entry(&self, scope: &Scope, id: &str) -> Result<AuditRecord, MemoryError> {
        let missing = || MemoryError::NotFound { what: "audit entry", id: id.to_owned() };
        let row = number(id, PREFIX).ok_or_else(missing)?;
        let found = self.reader().query(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM audit_events WHERE id = ?1 AND workflow = ?2"
                ))?
                .query_row(params![row, scope.workflow], record)
                .optional()
        })?;
        found.ok_or_else(missing)
    }
}

impl Reader {
    /// The latest entries of the scope's thread (of its run, if it has none), oldest first: what people see of a run.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn audit(&self, scope: &Scope, limit: u32) -> Result<Vec<AuditRecord>, ReadError> {
        let mut records: Vec<AuditRecord> = self.query(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM audit_events WHERE workflow = ?1 AND thread = ?2 ORDER BY id DESC LIMIT ?3"
                ))?
                .query_map(params![scope.workflow, scope.thread(), limit.min(PAGE_ROWS_MAX)], record)?
                .collect()
        })?;
        records.reverse();
        Ok(records)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        id: format!("{PREFIX}{}", row.get::<_, i64>(0)?),
        at: Timestamp(row.get(1)?),
        user_id: row.get(2)?,
        thread_id: row.get(3)?,
        source: row.get(4)?,
        entry: AuditEntry {
            action: row.get(5)?,
            payload: row.get(6)?,
            tags: list(row.get_ref(7)?.as_str().unwrap_or_default()),
        },
    })
}
