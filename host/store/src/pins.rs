//! What runs pin: workflow texts, graphs and plugins, by digest. All runs of one workflow's version pin the same, so the
//! sets are kept once and a run names its set by a number that follows from it.

use std::collections::BTreeSet;

use bandstand_engine::event::RunStarted;
use rusqlite::{Connection, OptionalExtension, params};

use crate::reader::{ReadError, Reader};

/// The digests that a run pins, sorted.
pub(crate) fn of(started: &RunStarted) -> Vec<String> {
    let texts = [&started.workflow.source, &started.workflow.graph];
    let texts = texts.into_iter().map(String::as_str);
    let all: BTreeSet<&str> = texts.chain(started.plugin_digests()).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Keeps the set; its number.
pub(crate) fn keep(connection: &Connection, digests: &[String]) -> rusqlite::Result<i64> {
    let text = serde_json::Value::from(digests.to_vec()).to_string();
    let id = number(&text);
    connection
        .prepare_cached("INSERT OR IGNORE INTO pins(id, digests) VALUES (?1, ?2)")?
        .execute(params![id, text])?;
    Ok(id)
}

/// 63 bits of a hash: with a million sets, two that are the same by chance are as likely as one in ten million.
fn number(text: &str) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    i64::from_le_bytes(bytes) & i64::MAX
}

/// Forgets a set that no run names any more, and the documents that no other set has.
pub(crate) fn release(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let named = connection
        .prepare_cached("SELECT 1 FROM runs WHERE pins = ?1 LIMIT 1")?
        .query_row([id], |_| Ok(()))
        .optional()?;
    let text: Option<String> = connection
        .prepare_cached("SELECT digests FROM pins WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let (None, Some(text)) = (named, text) else { return Ok(()) };
    connection.prepare_cached("DELETE FROM pins WHERE id = ?1")?.execute([id])?;
    let kept = all(connection)?;
    for digest in digests(&text).iter().filter(|digest| !kept.contains(*digest)) {
        connection.prepare_cached("DELETE FROM documents WHERE digest = ?1")?.execute([digest])?;
    }
    Ok(())
}

fn all(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let mut kept = BTreeSet::new();
    let mut statement = connection.prepare_cached("SELECT digests FROM pins")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        kept.extend(digests(row.get_ref(0)?.as_str().unwrap_or_default()));
    }
    Ok(kept)
}

fn digests(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

impl Reader {
    /// Every digest that some run pins: of workflow texts, graphs and plugins. What has none of these is nobody's.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pinned(&self) -> Result<BTreeSet<String>, ReadError> {
        self.query(all)
    }
}
