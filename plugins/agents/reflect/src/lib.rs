//! `reflect`: derives facts from a text, an event or the thread's audit log and keeps them. Needs `memory: write`.
//!
//! Input, one of: `text`; `event` (`{ action, payload?, tags? }`: its texts are read); `latest` (number: that many of the
//! thread's latest audit entries). And: `tags` (added to every fact), `source` (default: where the text came from),
//! `limit` (default 12 facts), `salience_min` (default 0.3), `summarize` (default false: also write the slots
//! `recent-summary` and `open-loops`).
//!
//! Output: `facts`: list of `{ id, text, kind, tags, salience, confidence }`; `known` (texts that the memory had
//! already), `passed_over` (sentences below `salience_min`), `summary`, `open_loops`.
//!
//! A sentence is salient by what it holds: numbers, dates, names, binding words, preferences, decisions; questions and
//! pleasantries are not. Kinds: `preference`, `decision`, `obligation`, `question`, `note`. Confidence: the mean of the
//! facts', 0.2 where none was found. Failures: `input-invalid`; `nothing-to-reflect`; the memory's own.

mod salience;

use bandstand_prose::{Document, content_words, flat, shorten};
use bandstand_sdk::memory::{audit, facts, slots};
use bandstand_sdk::{Call, Failure, Reply, agent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::salience::Judged;

agent!(run);

#[derive(Deserialize)]
struct Input {
    text: Option<String>,
    event: Option<Event>,
    latest: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    source: Option<String>,
    #[serde(default = "twelve")]
    limit: usize,
    #[serde(default = "low")]
    salience_min: f64,
    #[serde(default)]
    summarize: bool,
}

#[derive(Deserialize)]
struct Event {
    action: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    tags: Vec<String>,
}

fn twelve() -> usize {
    12
}

fn low() -> f64 {
    0.3
}

#[derive(Serialize)]
struct Kept {
    id: String,
    text: String,
    kind: String,
    tags: Vec<String>,
    salience: f64,
    confidence: f64,
}

/// A text to read and where it came from.
struct Source {
    text: String,
    name: String,
    tags: Vec<String>,
}

/// The agent; see the top of this file.
pub(crate) fn run(call: &Call) -> Result<Reply, Failure> {
    let input: Input = call.input()?;
    let sources = sources(&input, call)?;
    let (mut judged, mut passed_over) = (Vec::new(), 0);
    for source in &sources {
        for sentence in Document::read(&source.text).sentences() {
            let Some(mut one) = salience::judge(&flat(sentence.text)) else { continue };
            if one.salience < input.salience_min {
                passed_over += 1;
                continue;
            }
            one.tags.extend(source.tags.iter().chain(&input.tags).map(|tag| tag.to_lowercase()));
            one.tags.sort();
            one.tags.dedup();
            judged.push((one, source.name.clone()));
        }
    }
    let summary = summary(&judged);
    let open_loops: Vec<String> =
        judged.iter().filter(|(one, _)| one.kind == "question").map(|(one, _)| one.text.clone()).collect();
    judged.sort_by(|(a, _), (b, _)| b.salience.total_cmp(&a.salience));
    judged.truncate(input.limit);
    let (kept, known) = keep(judged)?;
    if input.summarize {
        slots::set("recent-summary", &json!(summary))?;
        slots::set("open-loops", &json!(open_loops))?;
    }
    let confidence = match kept.len() + known.len() {
        0 => 0.2,
        _ if kept.is_empty() => 0.6,
        _ => kept.iter().map(|fact| fact.confidence).sum::<f64>() / kept.len() as f64,
    };
    let output = json!({ "facts": kept, "known": known, "passed_over": passed_over, "summary": summary, "open_loops": open_loops });
    Ok(Reply::new(output).confidence((confidence * 100.0).round() / 100.0))
}

fn sources(input: &Input, call: &Call) -> Result<Vec<Source>, Failure> {
    let name = |own: String| input.source.clone().unwrap_or(own);
    let mut sources = Vec::new();
    if let Some(text) = &input.text {
        sources.push(Source { text: text.clone(), name: name(call.node.clone()), tags: Vec::new() });
    }
    if let Some(event) = &input.event {
        sources.push(Source {
            text: texts(&event.payload),
            name: name(event.action.clone()),
            tags: event.tags.clone(),
        });
    }
    if let Some(limit) = input.latest {
        for entry in audit::snapshot(limit)? {
            sources.push(Source { text: texts(&entry.payload), name: name(entry.id), tags: entry.tags });
        }
    }
    sources.retain(|source| !source.text.trim().is_empty());
    if sources.is_empty() {
        let message = "none of `text`, `event`, `latest` gave a text to reflect on";
        return Err(Failure::permanent("nothing-to-reflect", message));
    }
    Ok(sources)
}

/// Every text in a JSON value, one a paragraph.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(texts).collect::<Vec<_>>().join("\n\n"),
        Value::Object(members) => members.values().map(texts).collect::<Vec<_>>().join("\n\n"),
        _ => String::new(),
    }
}

/// Puts what is new; what says the same as a fact in memory or in this very list is only named.
fn keep(judged: Vec<(Judged, String)>) -> Result<(Vec<Kept>, Vec<String>), Failure> {
    let (mut new, mut known): (Vec<facts::Fact>, Vec<String>) = (Vec::new(), Vec::new());
    for (one, source) in judged {
        let found =
            facts::search(&facts::Query { text: one.text.clone(), limit: 3, ..facts::Query::default() })?;
        let same = |text: &str| overlap(text, &one.text) > 0.9;
        if found.iter().any(|hit| same(&hit.fact.text)) || new.iter().any(|fact| same(&fact.text)) {
            known.push(one.text);
            continue;
        }
        new.push(facts::Fact {
            kind: one.kind.to_owned(),
            tags: one.tags,
            salience: one.salience,
            confidence: one.confidence,
            source,
            ..facts::Fact::note(one.text)
        });
    }
    let ids = if new.is_empty() { Vec::new() } else { facts::put(&new)? };
    let kept = ids.into_iter().zip(new).map(|(id, fact)| Kept {
        id,
        text: fact.text,
        kind: fact.kind,
        tags: fact.tags,
        salience: fact.salience,
        confidence: fact.confidence,
    });
    Ok((kept.collect(), known))
}

/// The share of content words that two texts have in common.
fn overlap(a: &str, b: &str) -> f64 {
    let (a, b): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
        (content_words(a).collect(), content_words(b).collect());
    let shared = a.intersection(&b).count() as f64;
    shared / (a.len().max(b.len()).max(1)) as f64
}

/// The two most salient sentences in the order of the text.
fn summary(judged: &[(Judged, String)]) -> String {
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by(|a, b| judged[*b].0.salience.total_cmp(&judged[*a].0.salience));
    order.truncate(2);
    order.sort_unstable();
    order.iter().map(|at| shorten(&judged[*at].0.text, 200)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use bandstand_sdk::fake;

    use super::*;

    const NOTE: &str = "Hello there! Ann prefers reports in Markdown. The team decided to ship Bandstand 2.1 on 3 May 2026. \
                        You must keep the notice in every copy. Who pays for the audit? Thanks a lot.";

    // R6.2
    #[test]
    fn facts_are_derived_with_kind_and_salience() {
        fake::reset();
        let reply =
            run(&Call::with_input(json!({ "text": NOTE, "tags": ["Project"], "summarize": true }))).unwrap();
        let output = reply.output();
        let kinds: Vec<_> =
            output["facts"].as_array().unwrap().iter().map(|fact| fact["kind"].as_str().unwrap()).collect();
        for kind in ["preference", "decision", "obligation", "question"] {
            assert!(kinds.contains(&kind), "{kind} is not in {output:#}");
        }
        assert!(!output.to_string().contains("Hello there"), "{output:#}");
        assert!(output["facts"][0]["tags"].as_array().unwrap().contains(&json!("project")));
        assert_eq!(slots::get("open-loops").unwrap(), Some(json!(["Who pays for the audit?"])));
        assert!((0.5..0.95).contains(&reply.confidence_value().unwrap()));
    }

    #[test]
    fn what_is_known_is_not_put_twice() {
        fake::reset();
        let call = Call::with_input(json!({ "text": NOTE }));
        let first = run(&call).unwrap().output()["facts"].as_array().unwrap().len();
        let again = run(&call).unwrap().output();
        assert_eq!(
            (again["facts"].as_array().unwrap().len(), again["known"].as_array().unwrap().len()),
            (0, first)
        );
    }

    #[test]
    fn the_thread_s_log_can_be_reflected_on() {
        fake::reset();
        audit::append(
            "note-taken",
            &json!({ "note": "Ben decided to use Apache-2.0." }),
            &["licence".to_owned()],
        )
        .unwrap();
        let output = run(&Call::with_input(json!({ "latest": 5 }))).unwrap().output();
        assert_eq!(output["facts"][0]["kind"], "decision", "{output:#}");
        assert!(output["facts"][0]["tags"].as_array().unwrap().contains(&json!("licence")));
        let failure = run(&Call::with_input(json!({ "latest": 0 }))).unwrap_err();
        assert_eq!(failure.code(), "nothing-to-reflect");
    }
}
