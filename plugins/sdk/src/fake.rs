//! The host's functions as tests see them off wasm: one small memory per thread, hence per test. It keeps the rules
//! that agents rely on (filters, order, ids), not the host's limits, ranking or durability.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde_json::Value;

use crate::log::Level;
use crate::memory::audit::Recorded;
use crate::memory::facts::{Fact, Hit, Query};
use crate::memory::{Error, ErrorKind};
use crate::model::{Event, Request, Response, ToolSpec};

#[derive(Default)]
struct Memory {
    denied: bool,
    thread_id: Option<String>,
    user_id: Option<String>,
    logged: Vec<String>,
    shown: Vec<String>,
    entries: Vec<Recorded>,
    facts: Vec<Hit>,
    slots: BTreeMap<String, Value>,
    ids: u32,
    asked: Vec<Request>,
    answers: VecDeque<Result<Response, Error>>,
    tools: Vec<(String, Rc<ToolFn>)>,
}

type ToolFn = dyn Fn(&Value) -> Result<Value, Error>;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

fn with<T>(act: impl FnOnce(&mut Memory) -> T) -> T {
    MEMORY.with_borrow_mut(act)
}

/// Like [`with`], for what needs the grant `memory`.
fn granted<T>(act: impl FnOnce(&mut Memory) -> Result<T, Error>) -> Result<T, Error> {
    with(|memory| {
        if memory.denied {
            return Err(refusal(ErrorKind::Denied, "memory-not-granted", "needs the grant `memory`"));
        }
        act(memory)
    })
}

fn refusal(kind: ErrorKind, code: &str, message: &str) -> Error {
    Error { kind, code: code.into(), message: message.into(), retry_after_ms: None }
}

impl Memory {
    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}-{}", self.ids)
    }
}

/// Forgets everything of this thread's fake host.
pub fn reset() {
    with(|memory| *memory = Memory::default());
}

/// Speaks from now on for calls of this thread and user.
pub fn speak_for(thread_id: Option<&str>, user_id: Option<&str>) {
    with(|memory| {
        memory.thread_id = thread_id.map(str::to_owned);
        memory.user_id = user_id.map(str::to_owned);
    });
}

/// Refuses all memory from now on, as a host without the grant.
pub fn deny_memory() {
    with(|memory| memory.denied = true);
}

/// Answers the next call of a model with this; several answer several calls, in order.
pub fn answer_with(response: Response) {
    with(|memory| memory.answers.push_back(Ok(response)));
}

/// Refuses the next call of a model with this.
pub fn refuse_with(error: Error) {
    with(|memory| memory.answers.push_back(Err(error)));
}

/// Grants a tool that answers so.
pub fn tool(name: &str, answer: impl Fn(&Value) -> Result<Value, Error> + 'static) {
    with(|memory| memory.tools.push((name.to_owned(), Rc::new(answer))));
}

/// What models were asked.
#[must_use]
pub fn asked() -> Vec<Request> {
    with(|memory| memory.asked.clone())
}

/// What was logged: level, message and fields in a line each.
#[must_use]
pub fn logged() -> Vec<String> {
    with(|memory| memory.logged.clone())
}

/// What was shown as progress.
#[must_use]
pub fn shown() -> Vec<String> {
    with(|memory| memory.shown.clone())
}

pub(crate) fn log(level: Level, message: &str, fields: &str) {
    let line = format!("{} {message} {fields}", format!("{level:?}").to_lowercase());
    with(|memory| memory.logged.push(line.trim_end().to_owned()));
}

pub(crate) fn chunk(text: &str) {
    with(|memory| memory.shown.push(text.to_owned()));
}

pub(crate) fn report(fraction: Option<f64>, message: &str) {
    let text = fraction.map_or_else(|| message.to_owned(), |fraction| format!("{fraction:.2} {message}"));
    with(|memory| memory.shown.push(text));
}

pub(crate) fn audit_append(action: &str, payload: &Value, tags: &[String]) -> Result<String, Error> {
    granted(|memory| {
        let id = memory.id("entry");
        memory.entries.push(Recorded {
            id: id.clone(),
            at: "2026-01-01T00:00:00Z".into(),
            user_id: memory.user_id.clone(),
            thread_id: memory.thread_id.clone(),
            source: "node@1".into(),
            action: action.into(),
            payload: payload.clone(),
            tags: tags.to_vec(),
        });
        Ok(id)
    })
}

pub(crate) fn audit_snapshot(limit: u32) -> Result<Vec<Recorded>, Error> {
    granted(|memory| {
        let thread = memory.entries.iter().filter(|entry| entry.thread_id == memory.thread_id);
        let mut latest: Vec<_> = thread.rev().take(limit as usize).cloned().collect();
        latest.reverse();
        Ok(latest)
    })
}

pub(crate) fn facts_put(facts: &[Fact]) -> Result<Vec<String>, Error> {
    granted(|memory| {
        let mut ids = Vec::new();
        for fact in facts {
            let mut fact = fact.clone();
            fact.user_id = fact.user_id.or_else(|| memory.user_id.clone());
            let id = memory.id("fact");
            ids.push(id.clone());
            let (at, thread_id) = ("2026-01-01T00:00:00Z".into(), memory.thread_id.clone());
            memory.facts.push(Hit { id, score: 0.0, at, thread_id, fact });
        }
        Ok(ids)
    })
}

pub(crate) fn facts_search(query: &Query) -> Result<Vec<Hit>, Error> {
    let words = words(&query.text);
    granted(|memory| {
        let fits = |hit: &&Hit| {
            query.tags.iter().all(|tag| hit.fact.tags.contains(tag))
                && (query.kinds.is_empty() || query.kinds.contains(&hit.fact.kind))
                && (query.user_id.is_none() || query.user_id == hit.fact.user_id)
                && (query.thread_id.is_none() || query.thread_id == hit.thread_id)
        };
        let scored = memory.facts.iter().rev().filter(fits).map(|hit| {
            let present = self::words(&hit.fact.text);
            Hit { score: words.iter().filter(|word| present.contains(word)).count() as f64, ..hit.clone() }
        });
        let mut hits: Vec<Hit> = scored.filter(|hit| words.is_empty() || hit.score > 0.0).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score));
        hits.truncate(query.limit as usize);
        Ok(hits)
    })
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

pub(crate) fn facts_forget(id: &str) -> Result<(), Error> {
    granted(|memory| {
        let before = memory.facts.len();
        memory.facts.retain(|hit| hit.id != id);
        let gone = memory.facts.len() < before;
        gone.then_some(()).ok_or_else(|| refusal(ErrorKind::NotFound, "fact-not-found", "no such fact"))
    })
}

pub(crate) fn facts_reflect(entry_id: &str) -> Result<Vec<String>, Error> {
    let entry = granted(|memory| Ok(memory.entries.iter().find(|entry| entry.id == entry_id).cloned()))?;
    let entry = entry.ok_or_else(|| refusal(ErrorKind::NotFound, "entry-not-found", "no such entry"))?;
    facts_put(&[Fact { source: entry.id, tags: entry.tags, ..Fact::note(entry.payload.to_string()) }])
}

pub(crate) fn facts_consolidate() -> Result<u32, Error> {
    granted(|memory| {
        let (before, mut seen) = (memory.facts.len(), Vec::new());
        memory.facts.retain(|hit| {
            let key = (hit.fact.user_id.clone(), words(&hit.fact.text));
            let new = !seen.contains(&key);
            seen.push(key);
            new
        });
        Ok((before - memory.facts.len()) as u32)
    })
}

pub(crate) fn slots_get(name: &str) -> Result<Option<Value>, Error> {
    granted(|memory| Ok(memory.slots.get(name).cloned()))
}

pub(crate) fn slots_set(name: &str, value: &Value) -> Result<(), Error> {
    granted(|memory| {
        if value.is_null() {
            memory.slots.remove(name);
        } else {
            memory.slots.insert(name.to_owned(), value.clone());
        }
        Ok(())
    })
}

pub(crate) fn slots_list() -> Result<Vec<String>, Error> {
    granted(|memory| Ok(memory.slots.keys().cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_order_hold() {
        reset();
        speak_for(Some("t"), Some("u"));
        let tagged = Fact { tags: vec!["law".into()], ..Fact::note("The licence asks for notice") };
        facts_put(&[tagged, Fact::note("A licence, a notice, and nothing")]).unwrap();
        let query = |text: &str, tags: &[&str]| Query {
            text: text.into(),
            tags: tags.iter().map(ToString::to_string).collect(),
            limit: 9,
            ..Query::default()
        };
        assert_eq!(facts_search(&query("notice asks", &[])).unwrap()[0].score, 2.0);
        assert_eq!(facts_search(&query("", &["law"])).unwrap().len(), 1);
        assert!(
            facts_search(&Query { user_id: Some("v".into()), ..query("notice", &[]) }).unwrap().is_empty()
        );
        deny_memory();
        assert_eq!(facts_search(&query("notice", &[])).unwrap_err().kind, ErrorKind::Denied);
    }

    #[test]
    fn entries_are_of_their_thread_and_oldest_first() {
        reset();
        for (thread, action) in [("a", "one"), ("b", "two"), ("a", "three"), ("a", "four")] {
            speak_for(Some(thread), None);
            audit_append(action, &Value::Null, &[]).unwrap();
        }
        let actions: Vec<_> = audit_snapshot(2).unwrap().into_iter().map(|entry| entry.action).collect();
        assert_eq!(actions, ["three", "four"]);
    }
}

/// An answer of the fake host.
pub(crate) struct Answer(VecDeque<Event>);

impl Answer {
    pub(crate) fn next(&mut self) -> Option<Result<Event, Error>> {
        self.0.pop_front().map(Ok)
    }
}

pub(crate) fn tools_list() -> Result<Vec<ToolSpec>, Error> {
    let spec = |(name, _): &(String, Rc<ToolFn>)| ToolSpec {
        name: name.clone(),
        description: String::new(),
        parameters: serde_json::json!({ "type": "object" }),
    };
    with(|memory| Ok(memory.tools.iter().map(spec).collect()))
}

pub(crate) fn tools_call(name: &str, arguments: &Value) -> Result<Value, Error> {
    let found =
        with(|memory| memory.tools.iter().find(|(known, _)| known == name).map(|(_, tool)| tool.clone()));
    let tool =
        found.ok_or_else(|| refusal(ErrorKind::Denied, "tools-not-granted", "call `fake::tool` first"))?;
    if !arguments.is_object() {
        return Err(refusal(ErrorKind::Invalid, "arguments-not-object", "arguments are a JSON object"));
    }
    tool(arguments)
}

pub(crate) fn model_chat(request: &Request) -> Result<Response, Error> {
    with(|memory| {
        memory.asked.push(request.clone());
        let none = || Err(refusal(ErrorKind::NotFound, "no-answer", "call `fake::answer_with` first"));
        memory.answers.pop_front().unwrap_or_else(none)
    })
}

pub(crate) fn model_stream(request: &Request) -> Result<Answer, Error> {
    let response = model_chat(request)?;
    let words = response.text.split_inclusive(' ').map(|word| Event::Text(word.to_owned()));
    let calls = response.tool_calls.iter().cloned().map(Event::ToolCall);
    let mut events: VecDeque<Event> = words.chain(calls).collect();
    events.push_back(Event::Done(response));
    Ok(Answer(events))
}

/// A vector of the counts of letters: enough to tell texts apart.
pub(crate) fn model_embed(_: Option<&str>, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
    let count =
        |text: &String, letter: char| text.chars().filter(|c| c.eq_ignore_ascii_case(&letter)).count();
    Ok(texts.iter().map(|text| ('a'..='z').map(|letter| count(text, letter) as f32).collect()).collect())
}
