//! Merging facts that say the same: alike in all but a tenth of their words, of one kind and about one user.

use std::collections::BTreeSet;

use rusqlite::params;

use super::facts::{COLUMNS, delete, hit};
use super::{FactHit, MemoryError, Scope, json_list};
use crate::store::Store;

/// Facts that one call compares: the newest.
const COMPARED_MAX: u32 = 2_000;
/// Share of common words, of all words of both, from which two facts say the same.
const ALIKE: f64 = 0.9;

/// A fact that stays, and what it takes over from those that go.
struct Merge {
    stays: i64,
    goes: Vec<i64>,
    tags: Vec<String>,
    salience: f64,
    confidence: f64,
}

impl Store {
    /// Merges the workflow's near duplicates: the newest stays and takes over the others' tags and the highest salience
    /// and confidence. Returns how many facts went.
    ///
    /// # Errors
    /// When the file cannot be read in time or written now.
    pub fn facts_consolidate(&self, scope: &Scope) -> Result<u32, MemoryError> {
        let facts: Vec<(i64, FactHit)> = self.reader().query(|connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM facts f WHERE f.workflow = ?1 ORDER BY f.id DESC LIMIT ?2"
                ))?
                .query_map(params![scope.workflow, COMPARED_MAX], hit)?
                .collect()
        })?;
        let merges = merges(&facts);
        if merges.is_empty() {
            return Ok(0);
        }
        let workflow = scope.workflow.clone();
        self.remember(merges.len() * 256, move |connection| {
            let mut gone = 0;
            for merge in &merges {
                // Meanwhile it may have been forgotten; then nothing goes.
                let stays = connection
                    .prepare_cached(
                        "UPDATE facts SET tags = ?3, salience = ?4, confidence = ?5 WHERE id = ?1 AND workflow = ?2",
                    )?
                    .execute(params![merge.stays, workflow, json_list(&merge.tags), merge.salience, merge.confidence])?;
                if stays == 1 {
                    for row in &merge.goes {
                        gone += u32::from(delete(connection, &workflow, *row)?);
                    }
                }
            }
            Ok(Ok(gone))
        })
    }
}

/// `facts` come newest first.
fn merges(facts: &[(i64, FactHit)]) -> Vec<Merge> {
    let words: Vec<BTreeSet<String>> = facts.iter().map(|(_, hit)| words(&hit.fact.text)).collect();
    let mut gone = vec![false; facts.len()];
    let mut merges = Vec::new();
    for (index, (stays, hit)) in facts.iter().enumerate() {
        if gone[index] {
            continue;
        }
        let fact = &hit.fact;
        let mut merge = Merge {
            stays: *stays,
            goes: Vec::new(),
            tags: fact.tags.clone(),
            salience: fact.salience,
            confidence: fact.confidence,
        };
        for (other_index, (other_id, other)) in facts.iter().enumerate().skip(index + 1) {
            let other = &other.fact;
            if gone[other_index]
                || (&other.kind, &other.user_id) != (&fact.kind, &fact.user_id)
                || !alike(&words[index], &words[other_index])
            {
                continue;
            }
            gone[other_index] = true;
            merge.goes.push(*other_id);
            for tag in &other.tags {
                if !merge.tags.contains(tag) {
                    merge.tags.push(tag.clone());
                }
            }
            merge.salience = merge.salience.max(other.salience);
            merge.confidence = merge.confidence.max(other.confidence);
        }
        if !merge.goes.is_empty() {
            merges.push(merge);
        }
    }
    merges
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn alike(left: &BTreeSet<String>, right: &BTreeSet<String>) -> bool {
    let (short, long) = (left.len().min(right.len()), left.len().max(right.len()));
    // Sizes alone settle most pairs.
    if long == 0 || (short as f64) < ALIKE * long as f64 {
        return false;
    }
    let common = left.intersection(right).count();
    common as f64 >= ALIKE * (left.len() + right.len() - common) as f64
}
