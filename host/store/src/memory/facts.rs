//! Facts (R6.2): what a workflow knows. Putting, forgetting, and deriving them from audit entries; finding them is
//! `search`, merging duplicates `consolidate`.

use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::{MemoryError, Scope, add, json_list, list, number, within};
use crate::store::Store;

/// One thing known.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The fact in words.
    pub text: String,
    /// What sort of fact.
    pub kind: String,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Whom it is about; when putting, `None` means the scope's user.
    pub user_id: Option<String>,
    /// How much it matters, 0 to 1.
    pub salience: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Where it comes from.
    pub source: String,
    /// Its meaning.
    pub embedding: Option<Vec<f32>>,
}

/// How a search finds facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchMode {
    /// By words.
    #[default]
    Keyword,
    /// By nearness of embeddings.
    Vector,
    /// By both: the mean of the two scores.
    Hybrid,
}

/// What to look for; all filters must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactQuery {
    /// Words; empty: the filters alone decide, newer first.
    pub text: String,
    /// By words, by meaning, or both.
    pub mode: SearchMode,
    /// For the modes by meaning.
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
#[derive(Clone, Debug, PartialEq)]
pub struct FactHit {
    /// `fact-NUMBER`.
    pub id: String,
    /// 0 to 1. By words: the share of the words asked for that the fact has. By meaning: the cosine, not below 0.
    pub score: f64,
    /// When it was put.
    pub at: Timestamp,
    /// The thread that put it.
    pub thread_id: Option<String>,
    /// What was put.
    pub fact: Fact,
}

pub(super) const PREFIX: &str = "fact-";
pub(super) const COLUMNS: &str = "f.id, f.at, f.thread_id, f.text, f.kind, f.tags, f.user_id, f.salience, f.confidence, f.source, f.embedding";

impl Store {
    /// Puts facts, all or none; returns their ids in order.
    ///
    /// # Errors
    /// When one is wrong or above a limit, or they cannot be written now.
    pub fn facts_put(
        &self,
        scope: &Scope,
        at: Timestamp,
        facts: Vec<Fact>,
    ) -> Result<Vec<String>, MemoryError> {
        let limits = self.shared.options.memory;
        within("facts of one put", facts.len(), limits.put_facts_max, "memory.put-facts")?;
        facts.iter().try_for_each(|fact| self.check_fact(fact))?;
        let bytes = facts
            .iter()
            .map(|fact| fact.text.len() + fact.embedding.as_ref().map_or(0, Vec::len) * 4 + 256)
            .sum();
        let scope = scope.clone();
        self.remember(bytes, move |connection| {
            let all =
                add(connection, &scope.workflow, "facts", i64::try_from(facts.len()).unwrap_or(i64::MAX))?;
            if let Err(full) = within("facts of the workflow", all, limits.facts_max, "memory.facts") {
                return Ok(Err(full));
            }
            let ids: rusqlite::Result<Vec<String>> =
                facts.iter().map(|fact| insert(connection, &scope, at, fact)).collect();
            ids.map(Ok)
        })
    }

    /// Forgets a fact.
    ///
    /// # Errors
    /// When the workflow has no such fact, or it cannot be written now.
    pub fn facts_forget(&self, scope: &Scope, id: &str) -> Result<(), MemoryError> {
        let missing = || MemoryError::NotFound { what: "fact", id: id.to_owned() };
        let row = number(id, PREFIX).ok_or_else(missing)?;
        let workflow = scope.workflow.clone();
        let gone = self.remember(0, move |connection| delete(connection, &workflow, row).map(Ok))?;
        if gone { Ok(()) } else { Err(missing()) }
    }

    /// Derives facts from an audit entry and returns their ids. An entry whose payload has a list `facts` (texts, or
    /// objects with `text` and what else a fact has) gives those; any other gives one, its action and payload in words.
    /// An entry that was reflected before gives the same facts again.
    ///
    /// # Errors
    /// When the workflow has no such entry, a derived fact is wrong, or they cannot be written now.
    pub fn facts_reflect(
        &self,
        scope: &Scope,
        at: Timestamp,
        entry_id: &str,
    ) -> Result<Vec<String>, MemoryError> {
        let record = self.audit_entry(scope, entry_id)?;
        let source = format!("audit:{}", record.id);
        let known: Vec<String> = self.reader().query(|connection| {
            connection
                .prepare_cached("SELECT id FROM facts WHERE workflow = ?1 AND source = ?2 ORDER BY id")?
                .query_map([&scope.workflow, &source], |row| {
                    Ok(format!("{PREFIX}{}", row.get::<_, i64>(0)?))
                })?
                .collect()
        })?;
        if !known.is_empty() {
            return Ok(known);
        }
        let payload: Value = serde_json::from_str(&record.entry.payload).unwrap_or_default();
        let base = Fact {
            text: String::new(),
            kind: "reflection".to_owned(),
            tags: record.entry.tags.clone(),
            user_id: record.user_id.clone(),
            salience: 0.5,
            confidence: 0.5,
            source,
            embedding: None,
        };
        let facts = match payload.get("facts").and_then(Value::as_array) {
            Some(stated) => stated.iter().filter_map(|value| stated_fact(&base, value)).collect(),
            None => {
                let mut text = in_words(&payload);
                let room =
                    self.shared.options.memory.text_bytes_max.saturating_sub(record.entry.action.len() + 2);
                text.truncate(text.floor_char_boundary(room));
                vec![Fact { text: format!("{}: {text}", record.entry.action), ..base }]
            }
        };
        self.facts_put(scope, at, facts)
    }

    fn check_fact(&self, fact: &Fact) -> Result<(), MemoryError> {
        let limits = self.shared.options.memory;
        if fact.text.trim().is_empty() {
            return Err(MemoryError::Invalid {
                code: "empty-text",
                message: "a fact needs a text".to_owned(),
            });
        }
        within("the fact's bytes", fact.text.len(), limits.text_bytes_max, "memory.text-bytes")?;
        limits.check_name("the kind", &fact.kind)?;
        within("the source", fact.source.len(), limits.name_bytes_max, "memory.name-bytes")?;
        limits.check_tags(&fact.tags)?;
        for (name, number) in [("salience", fact.salience), ("confidence", fact.confidence)] {
            if !(0.0..=1.0).contains(&number) {
                let message = format!("{name} lies between 0 and 1, not {number}");
                return Err(MemoryError::Invalid { code: "out-of-range", message });
            }
        }
        let numbers = fact.embedding.as_deref().unwrap_or_default();
        if !numbers.iter().all(|number| number.is_finite()) {
            let message = "an embedding has finite numbers only".to_owned();
            return Err(MemoryError::Invalid { code: "not-finite", message });
        }
        within(
            "the embedding's numbers",
            numbers.len(),
            limits.embedding_numbers_max,
            "memory.embedding-numbers",
        )
    }
}

fn insert(connection: &Connection, scope: &Scope, at: Timestamp, fact: &Fact) -> rusqlite::Result<String> {
    connection
        .prepare_cached(
            "INSERT INTO facts(workflow, at, text, kind, tags, user_id, thread_id, salience, confidence, source, embedding) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            scope.workflow,
            at.0,
            fact.text,
            fact.kind,
            json_list(&fact.tags),
            fact.user_id.as_ref().or(scope.user_id.as_ref()),
            scope.thread_id,
            fact.salience,
            fact.confidence,
            fact.source,
            fact.embedding.as_deref().map(embedding_bytes),
        ])?;
    let row = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO facts_words(rowid, text) VALUES (?1, ?2)")?
        .execute(params![row, fact.text])?;
    Ok(format!("{PREFIX}{row}"))
}

/// Deletes a fact and its words; whether there was one.
pub(super) fn delete(connection: &Connection, workflow: &str, row: i64) -> rusqlite::Result<bool> {
    let text: Option<String> = connection
        .prepare_cached("SELECT text FROM facts WHERE id = ?1 AND workflow = ?2")?
        .query_row(params![row, workflow], |row| row.get(0))
        .optional()?;
    let Some(text) = text else { return Ok(false) };
    connection
        .prepare_cached("INSERT INTO facts_words(facts_words, rowid, text) VALUES ('delete', ?1, ?2)")?
        .execute(params![row, text])?;
    connection.prepare_cached("DELETE FROM facts WHERE id = ?1")?.execute([row])?;
    add(connection, workflow, "facts", -1)?;
    Ok(true)
}

/// Reads [`COLUMNS`]; the number of the fact, and the fact without a score.
pub(super) fn hit(row: &Row<'_>) -> rusqlite::Result<(i64, FactHit)> {
    let number: i64 = row.get(0)?;
    let embedding: Option<Vec<u8>> = row.get(10)?;
    let fact = Fact {
        text: row.get(3)?,
        kind: row.get(4)?,
        tags: list(row.get_ref(5)?.as_str().unwrap_or_default()),
        user_id: row.get(6)?,
        salience: row.get(7)?,
        confidence: row.get(8)?,
        source: row.get(9)?,
        embedding: embedding.map(|bytes| embedding_numbers(&bytes)),
    };
    let hit = FactHit {
        id: format!("{PREFIX}{number}"),
        score: 1.0,
        at: Timestamp(row.get(1)?),
        thread_id: row.get(2)?,
        fact,
    };
    Ok((number, hit))
}

fn embedding_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn embedding_numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).filter_map(|chunk| chunk.try_into().ok().map(f32::from_le_bytes)).collect()
}

/// A fact that an audit entry states itself.
fn stated_fact(base: &Fact, value: &Value) -> Option<Fact> {
    if let Some(text) = value.as_str() {
        return Some(Fact { text: text.to_owned(), ..base.clone() });
    }
    let number = |name: &str, default: f64| value.get(name).and_then(Value::as_f64).unwrap_or(default);
    let mut fact = Fact {
        text: value.get("text")?.as_str()?.to_owned(),
        salience: number("salience", base.salience),
        confidence: number("confidence", base.confidence),
        ..base.clone()
    };
    if let Some(kind) = value.get("kind").and_then(Value::as_str) {
        kind.clone_into(&mut fact.kind);
    }
    if let Some(tags) = value.get("tags").and_then(Value::as_array) {
        fact.tags.extend(tags.iter().filter_map(Value::as_str).map(str::to_owned));
        fact.tags.dedup();
    }
    Some(fact)
}

/// A payload as text that words can be found in: `key value, key value`.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| format!("{key} {}", in_words(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
