//! Finding facts: by words (SQLite's full-text index), by meaning (cosine over a bounded window), by filters.
//!
//! A score is honest: it says how much of the question a fact answers, not how it ranks among the others, so a poor
//! best hit has a low score. Among equal scores the rarer words (bm25), then salience, then the newer fact win.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::facts::{COLUMNS, hit};
use super::{FactHit, FactQuery, MemoryError, Scope, SearchMode, json_list, within};
use crate::store::Store;

/// Words of a question that count; more are ignored.
const WORDS_MAX: usize = 16;
/// Facts that are looked at closely.
const CANDIDATES_MAX: u32 = 256;
/// Facts whose embeddings are compared: the newest.
const EMBEDDINGS_MAX: u32 = 20_000;

const FILTERS: &str = "f.workflow = :workflow \
     AND (:user IS NULL OR f.user_id = :user) AND (:thread IS NULL OR f.thread_id = :thread) \
     AND (:kinds = '[]' OR f.kind IN (SELECT value FROM json_each(:kinds))) \
     AND NOT EXISTS (SELECT 1 FROM json_each(:tags) t WHERE t.value NOT IN (SELECT value FROM json_each(f.tags)))";

/// A candidate: the hit, and what decides among equal scores.
type Candidates = BTreeMap<i64, (FactHit, f64)>;

impl Store {
    /// Facts of the scope's workflow, best first.
    ///
    /// # Errors
    /// When the query is wrong or above a limit, or the file cannot be read in time.
    pub fn facts_search(&self, scope: &Scope, query: &FactQuery) -> Result<Vec<FactHit>, MemoryError> {
        let limits = self.shared.options.memory;
        within("the question's bytes", query.text.len(), limits.text_bytes_max, "memory.text-bytes")?;
        limits.check_tags(&query.tags)?;
        within("kinds", query.kinds.len(), limits.tags_max, "memory.tags")?;
        let limit = limits.results(query.limit);
        let embedding = match (query.mode, query.embedding.as_deref()) {
            (SearchMode::Keyword, _) => &[],
            (_, Some(numbers)) if !numbers.is_empty() => {
                within(
                    "the embedding's numbers",
                    numbers.len(),
                    limits.embedding_numbers_max,
                    "memory.embedding-numbers",
                )?;
                numbers
            }
            (_, _) => {
                let message = "a search by meaning needs an embedding".to_owned();
                return Err(MemoryError::Invalid { code: "no-embedding", message });
            }
        };
        let words = words(&query.text);
        let found = self.reader().query(|connection| {
            let search = Search { connection, scope, query };
            Ok(match query.mode {
                SearchMode::Keyword if words.is_empty() => search.newest(limit)?,
                SearchMode::Keyword => search.by_words(&words)?,
                SearchMode::Vector => search.by_meaning(embedding)?,
                SearchMode::Hybrid => both(search.by_words(&words)?, search.by_meaning(embedding)?),
            })
        })?;
        let mut ranked: Vec<(i64, (FactHit, f64))> = found.into_iter().collect();
        ranked.sort_by(|(left_id, (left, left_tie)), (right_id, (right, right_tie))| {
            descending(left.score, right.score)
                .then(descending(*left_tie, *right_tie))
                .then(descending(left.fact.salience, right.fact.salience))
                .then(right_id.cmp(left_id))
        });
        ranked.truncate(limit as usize);
        Ok(ranked.into_iter().map(|(_, (hit, _))| hit).collect())
    }
}

fn descending(left: f64, right: f64) -> Ordering {
    right.total_cmp(&left)
}

/// The words of a question, each once.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        if !words.contains(&word) && words.len() < WORDS_MAX {
            words.push(word);
        }
    }
    words
}

struct Search<'a> {
    connection: &'a Connection,
    scope: &'a Scope,
    query: &'a FactQuery,
}

impl Search<'_> {
    fn newest(&self, limit: u32) -> rusqlite::Result<Candidates> {
        let sql = format!(
            "SELECT {COLUMNS}, 0.0 FROM facts f WHERE {FILTERS} AND :match = '' ORDER BY f.id DESC LIMIT :limit"
        );
        self.select(&sql, "", limit)
    }

    /// Facts with any of the words; the score is the share of the words that a fact has.
    fn by_words(&self, words: &[String]) -> rusqlite::Result<Candidates> {
        if words.is_empty() {
            return Ok(Candidates::new());
        }
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let sql = format!(
            "SELECT {COLUMNS}, -bm25(facts_words) FROM facts_words JOIN facts f ON f.id = facts_words.rowid \
             WHERE facts_words MATCH :match AND {FILTERS} ORDER BY bm25(facts_words) LIMIT :limit"
        );
        let mut found = self.select(&sql, &quoted.join(" OR "), CANDIDATES_MAX)?;
        let mut has = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM facts_words WHERE rowid = ?1 AND facts_words MATCH ?2)",
        )?;
        for (id, (hit, _)) in &mut found {
            let mut matched = 0_u32;
            for word in &quoted {
                matched += u32::from(has.query_row(params![id, word], |row| row.get::<_, bool>(0))?);
            }
            hit.score = f64::from(matched) / quoted.len() as f64;
        }
        Ok(found)
    }

    /// Facts with an embedding of the same length that points the same way.
    fn by_meaning(&self, embedding: &[f32]) -> rusqlite::Result<Candidates> {
        let sql = format!(
            "SELECT {COLUMNS}, 0.0 FROM facts f WHERE {FILTERS} AND f.embedding IS NOT NULL AND :match = '' \
             ORDER BY f.id DESC LIMIT :limit"
        );
        let mut found = self.select(&sql, "", EMBEDDINGS_MAX)?;
        for (hit, _) in found.values_mut() {
            hit.score = hit.fact.embedding.as_deref().map_or(0.0, |other| cosine(embedding, other));
        }
        found.retain(|_, (hit, _)| hit.score > 0.0);
        Ok(found)
    }

    fn select(&self, sql: &str, words: &str, limit: u32) -> rusqlite::Result<Candidates> {
        self.connection
            .prepare_cached(sql)?
            .query_map(
                rusqlite::named_params! {
                    ":workflow": self.scope.workflow,
                    ":user": self.query.user_id,
                    ":thread": self.query.thread_id,
                    ":kinds": json_list(&self.query.kinds),
                    ":tags": json_list(&self.query.tags),
                    ":match": words,
                    ":limit": limit,
                },
                |row| {
                    let (id, hit) = hit(row)?;
                    Ok((id, (hit, row.get(11)?)))
                },
            )?
            .collect()
    }
}

/// The mean of the two scores; what one search did not find counts 0 there.
fn both(by_words: Candidates, by_meaning: Candidates) -> Candidates {
    let mut all: Candidates = by_words
        .into_iter()
        .map(|(id, (hit, tie))| (id, (FactHit { score: hit.score / 2.0, ..hit }, tie)))
        .collect();
    for (id, (hit, tie)) in by_meaning {
        let half = hit.score / 2.0;
        all.entry(id)
            .and_modify(|(hit, _)| hit.score += half)
            .or_insert_with(|| (FactHit { score: half, ..hit }, tie));
    }
    all
}

/// Not below 0; 0 for vectors of different lengths or without direction.
fn cosine(left: &[f32], right: &[f32]) -> f64 {
    if left.len() != right.len() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(left, left) * dot(right, right)).sqrt();
    if lengths > 0.0 { (dot(left, right) / lengths).clamp(0.0, 1.0) } else { 0.0 }
}
