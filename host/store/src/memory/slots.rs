//! Working memory (R6.3): named values of a thread.

use bandstand_engine::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{MemoryError, Scope, within};
use crate::store::Store;

impl Store {
    /// A slot's JSON text; none where nothing was set.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot_get(&self, scope: &Scope, name: &str) -> Result<Option<String>, MemoryError> {
        Ok(self.reader().query(|connection| {
            connection
                .prepare_cached("SELECT value FROM slots WHERE workflow = ?1 AND thread = ?2 AND name = ?3")?
                .query_row(params![scope.workflow, scope.thread(), name], |row| row.get(0))
                .optional()
        })?)
    }

    /// Puts JSON text into a slot, in place of what was there; `null` empties it.
    ///
    /// # Errors
    /// When it is not JSON, is above a limit, or cannot be written now.
    pub fn slot_set(&self, scope: &Scope, at: Timestamp, name: &str, value: &str) -> Result<(), MemoryError> {
        let limits = self.shared.options.memory;
        limits.check_name("the slot's name", name)?;
        within("the slot's bytes", value.len(), limits.slot_bytes_max, "memory.slot-bytes")?;
        check_json(value)?;
        let (workflow, thread) = (scope.workflow.clone(), scope.thread());
        let (name, value) = (name.to_owned(), value.to_owned());
        self.remember(value.len() + name.len(), move |connection| {
            if value.trim() == "null" {
                connection
                    .prepare_cached("DELETE FROM slots WHERE workflow = ?1 AND thread = ?2 AND name = ?3")?
                    .execute([&workflow, &thread, &name])?;
                return Ok(Ok(()));
            }
            connection
                .prepare_cached(
                    "INSERT INTO slots(workflow, thread, name, value, at) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at",
                )?
                .execute(params![workflow, thread, name, value, at.0])?;
            let used: u32 = connection
                .prepare_cached("SELECT count(*) FROM slots WHERE workflow = ?1 AND thread = ?2")?
                .query_row([&workflow, &thread], |row| row.get(0))?;
            Ok(within("slots of the thread", used as usize, limits.slots_max, "memory.slots"))
        })
    }

    /// The names in use, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn slot_list(&self, scope: &Scope) -> Result<Vec<String>, MemoryError> {
        Ok(self.reader().query(|connection| {
            connection
                .prepare_cached("SELECT name FROM slots WHERE workflow = ?1 AND thread = ?2 ORDER BY name")?
                .query_map(params![scope.workflow, scope.thread()], |row| row.get(0))?
                .collect()
        })?)
    }
}

/// Refuses what is not JSON.
pub(super) fn check_json(text: &str) -> Result<(), MemoryError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ()).map_err(|error| MemoryError::Invalid {
        code: "not-json",
        message: format!("this is not JSON: {error}"),
    })
}
