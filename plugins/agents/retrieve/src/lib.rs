//! `retrieve`: finds facts by words, by tags or in the thread, and says how sure it is that they answer. Needs
//! `memory: read`.
//!
//! Input: `query` (the question, in words), `by`: `words` (default), `tags`, `thread`, or `probe` (tries all three and
//! offers them as options of the node's `route`), `tags` (default: the query's own content words), `user` (only facts
//! about this user), `limit` (default 5), `choose` (default true; with `probe`).
//!
//! Output: `by`, `hits`: `{ id, text, kind, tags, score, coverage, source, at }`, best first; `count`; `best` (text of the
//! first hit, or null), `missing` (query words no hit has). With `probe` also `options`: `{ name, confidence, reason }`
//! for `words`, `tags`, `thread`, best first, and the hits are those of the best.
//!
//! Confidence: what share of the query's words (or tags) the hits cover, weighed by how sure and salient the best hit
//! itself is; 0.05 without a hit. In the thread recency counts as well. Failures: `input-invalid`; `query-empty`; the
//! memory's own.

use std::collections::BTreeSet;

use bandstand_prose::content_words;
use bandstand_sdk::memory::facts::{self, Hit, Query};
use bandstand_sdk::{Call, Choice, Failure, Reply, agent};
use serde::{Deserialize, Serialize};

agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    query: String,
    #[serde(default)]
    by: By,
    #[serde(default)]
    tags: Vec<String>,
    user: Option<String>,
    #[serde(default = "five")]
    limit: u32,
    #[serde(default = "yes")]
    choose: bool,
}

fn five() -> u32 {
    5
}

fn yes() -> bool {
    true
}

/// A way to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Probe,
    Tags,
    Thread,
    #[default]
    Words,
}

#[derive(Serialize)]
struct Output {
    by: By,
    hits: Vec<Found>,
    count: usize,
    best: Option<String>,
    missing: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Vec<Choice>>,
}

#[derive(Serialize, Clone)]
struct Found {
    id: String,
    text: String,
    kind: String,
    tags: Vec<String>,
    score: f64,
    /// The share of the query's words that this one has.
    coverage: f64,
    source: String,
    at: String,
}

/// One search with its outcome.
struct Search {
    by: By,
    hits: Vec<Found>,
    missing: Vec<String>,
    confidence: f64,
    reason: String,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let asked: BTreeSet<String> = content_words(&input.query).collect();
    if asked.is_empty() && input.tags.is_empty() && input.by != By::Thread {
        return Err(Failure::permanent(
            "query-empty",
            "`query` holds no word to search for, and `tags` is empty",
        ));
    }
    if input.by != By::Probe {
        let search = search(&input, input.by, &asked, call)?;
        return Ok(reply(search, None));
    }
    let mut searches = Vec::new();
    for by in [By::Words, By::Tags, By::Thread] {
        searches.push(search(&input, by, &asked, call)?);
    }
    // Stable: the order above breaks ties.
    searches.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let name = |by: By| format!("{by:?}").to_lowercase();
    let options: Vec<Choice> = searches
        .iter()
        .map(|search| Choice::new(name(search.by), search.confidence).because(search.reason.clone()))
        .collect();
    let best = searches.swap_remove(0);
    let reply = reply(best, Some(options.clone()));
    Ok(if input.choose { reply.choose(options) } else { reply })
}

fn reply(search: Search, options: Option<Vec<Choice>>) -> Reply {
    let confidence = search.confidence;
    let best = search.hits.first().map(|hit| hit.text.clone());
    let count = search.hits.len();
    Reply::new(Output { by: search.by, count, best, hits: search.hits, missing: search.missing, options })
        .confidence(confidence)
}

fn search(input: &Input, by: By, asked: &BTreeSet<String>, call: &Call) -> Result<Search, Failure> {
    let base = Query { user_id: input.user.clone(), limit: input.limit.max(1), ..Query::default() };
    let wanted: BTreeSet<String> = match by {
        By::Tags if !input.tags.is_empty() => input.tags.iter().map(|tag| tag.to_lowercase()).collect(),
        _ => asked.clone(),
    };
    let hits = match by {
        By::Words | By::Probe => facts::search(&Query { text: input.query.clone(), ..base })?,
        By::Tags => by_tags(&wanted, &base)?,
        // Without a thread of its own a call would see the facts of all: there is none then.
        By::Thread => match &call.thread_id {
            Some(thread) => facts::search(&Query { thread_id: Some(thread.clone()), ..base })?,
            None => Vec::new(),
        },
    };
    let has = |hit: &Hit| -> BTreeSet<String> {
        match by {
            By::Tags => hit.fact.tags.iter().map(|tag| tag.to_lowercase()).collect(),
            _ => content_words(&hit.fact.text)
                .chain(hit.fact.tags.iter().map(|tag| tag.to_lowercase()))
                .collect(),
        }
    };
    let mut covered = BTreeSet::new();
    let mut ranked: Vec<(f64, Found)> = Vec::new();
    for (place, hit) in hits.into_iter().enumerate() {
        let own: BTreeSet<String> = has(&hit).intersection(&wanted).cloned().collect();
        let coverage = if wanted.is_empty() { 0.5 } else { own.len() as f64 / wanted.len() as f64 };
        let worth = 0.6 + 0.25 * hit.fact.confidence + 0.15 * hit.fact.salience;
        let recency = if by == By::Thread { 1.0 - 0.05 * place.min(6) as f64 } else { 1.0 };
        covered.extend(own);
        ranked.push((coverage * worth * recency, found(hit, coverage)));
    }
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let best = ranked.first().map_or(0.0, |(rank, _)| *rank);
    let together = if wanted.is_empty() { best } else { covered.len() as f64 / wanted.len() as f64 };
    // Mostly the best hit; what only several hits cover together counts less.
    let confidence = if ranked.is_empty() {
        0.05
    } else {
        (0.75 * best + 0.25 * together * best.sqrt()).clamp(0.05, 0.97)
    };
    let missing = wanted.difference(&covered).cloned().collect();
    let reason = format!("{} hits cover {} of {} words", ranked.len(), covered.len(), wanted.len());
    let hits = ranked.into_iter().map(|(_, hit)| hit).collect();
    Ok(Search { by, hits, missing, confidence: (confidence * 100.0).round() / 100.0, reason })
}

/// Facts with any of these tags: the host's filter wants all of them at once, so each is asked for alone.
fn by_tags(wanted: &BTreeSet<String>, base: &Query) -> Result<Vec<Hit>, Failure> {
    let mut hits: Vec<Hit> = Vec::new();
    for tag in wanted.iter().take(16) {
        for hit in facts::search(&Query { tags: vec![tag.clone()], ..base.clone() })? {
            match hits.iter_mut().find(|old| old.id == hit.id) {
                Some(old) => old.score += 1.0,
                None => hits.push(Hit { score: 1.0, ..hit }),
            }
        }
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(base.limit as usize);
    Ok(hits)
}

fn found(hit: Hit, coverage: f64) -> Found {
    Found {
        id: hit.id,
        text: hit.fact.text,
        kind: hit.fact.kind,
        tags: hit.fact.tags,
        score: (hit.score * 1000.0).round() / 1000.0,
        coverage: (coverage * 100.0).round() / 100.0,
        source: hit.fact.source,
        at: hit.at,
    }
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::memory::facts::Fact;
    use bandstand_sdk::{Next, fake};
    use serde_json::{Value, json};

    use super::*;

    fn remember() {
        fake::reset();
        fake::speak_for(Some("case-7"), Some("ann"));
        let fact = |text: &str, tags: &[&str]| Fact {
            tags: tags.iter().map(ToString::to_string).collect(),
            confidence: 0.9,
            salience: 0.8,
            ..Fact::note(text)
        };
        facts::put(&[
            fact("Ann prefers reports in Markdown.", &["preference", "report"]),
            fact("The team decided to use Apache-2.0.", &["decision", "licence"]),
        ])
        .unwrap();
        fake::speak_for(Some("case-8"), Some("ben"));
        facts::put(&[fact("The audit is due on 3 May.", &["deadline", "audit"])]).unwrap();
    }

    fn ask(input: Value) -> (Value, f64) {
        let call = Call { thread_id: Some("case-7".into()), ..Call::with_input(input) };
        let reply = run(&call).unwrap();
        (reply.output(), reply.confidence_value().unwrap())
    }

    // R6.2
    #[test]
    fn words_find_what_they_cover() {
        remember();
        let (output, sure) = ask(json!({ "query": "Which reports does Ann prefer?" }));
        assert_eq!(output["best"], "Ann prefers reports in Markdown.");
        let (output, unsure) =
            ask(json!({ "query": "Which reports about bridges in Norway exist since when?" }));
        assert!(output["missing"].as_array().unwrap().contains(&json!("norway")), "{output:#}");
        assert!(sure > 0.75 && unsure < 0.5, "{sure} {unsure}");
        let (output, nothing) = ask(json!({ "query": "zebra" }));
        assert_eq!((&output["best"], &output["count"], nothing), (&Value::Null, &json!(0), 0.05));
    }

    #[test]
    fn tags_and_thread_are_ways_of_their_own() {
        remember();
        let (output, sure) = ask(json!({ "query": "what?", "by": "tags", "tags": ["Audit", "deadline"] }));
        assert_eq!(output["best"], "The audit is due on 3 May.");
        assert!(sure > 0.8, "{sure}");
        let (output, _) = ask(json!({ "by": "thread", "query": "licence decision" }));
        assert_eq!(
            (&output["count"], &output["best"]),
            (&json!(2), &json!("The team decided to use Apache-2.0."))
        );
    }

    #[test]
    fn a_probe_offers_the_ways_by_their_confidence() {
        remember();
        let call = Call {
            thread_id: Some("case-7".into()),
            ..Call::with_input(json!({ "query": "deadline", "by": "probe" }))
        };
        let reply = run(&call).unwrap();
        let Next::Choose(choices) = reply.next() else { unreachable!("a probe offers choices") };
        assert_eq!((choices[0].name.as_str(), choices.len()), ("tags", 3), "{choices:?}");
        assert!(choices[0].confidence > choices[1].confidence, "{choices:?}");
        assert_eq!(reply.output()["by"], "tags");
        assert_eq!(run(&Call::with_input(json!({ "query": "of the" }))).unwrap_err().code(), "query-empty");
    }
}
