//! The memory interfaces: checks grant, JSON and numbers, counts bytes, and asks the [`Memory`] behind the attempt
//! on a thread that may block.

use crate::bindings::{memory_audit as audit, memory_facts as facts, memory_slots as slots, types};
use crate::guest::{Ending, Guest};
use crate::memory::{AuditEntry, AuditRecord, Fact, FactHit, FactQuery, Memory, SearchMode};
use crate::power_error::{PowerError, error, invalid};
use crate::reply::json_problem;
use crate::settings::MemoryGrant;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::{JoinError, JoinHandle};
use wasmtime::{Result, bail};

/// The refusals' codes; an agent that fails with one of them failed for want of the grant.
const NOT_GRANTED: &str = "memory-not-granted";
pub(crate) const READ_ONLY: &str = "memory-read-only";

type Answer<T> = Result<std::result::Result<T, types::Error>>;

impl Guest {
    /// Refuses, or calls `ask` with the memory. `bytes` is what the guest sent, `size` measures what it gets.
    async fn ask_memory<T: Send + 'static>(
        &mut self,
        need: MemoryGrant,
        bytes: usize,
        size: impl FnOnce(&T) -> usize + Send,
        ask: impl FnOnce(&dyn Memory) -> std::result::Result<T, PowerError> + Send + 'static,
    ) -> Answer<T> {
        self.charge_call(bytes)?;
        match self.grants.memory {
            Some(granted) if granted >= need => {}
            Some(_) => {
                self.denied = Some(READ_ONLY);
                return Ok(Err(error(
                    types::ErrorKind::Denied,
                    READ_ONLY,
                    "memory is granted for reading only; to change it, the plugin needs `grants: {memory: write}`",
                )));
            }
            None => {
                self.denied = Some(NOT_GRANTED);
                return Ok(Err(error(
                    types::ErrorKind::Denied,
                    NOT_GRANTED,
                    "memory is not granted; the plugin needs `grants: {memory: read}` or `write`",
                )));
            }
        }
        let Some(memory) = self.memory.clone() else {
            return Ok(Err(error(types::ErrorKind::Unavailable, "no-memory", "this host keeps no memory")));
        };
        // Dropped with the attempt: what has not begun by then never does, though the attempt is made again.
        let asked = AbortOnDrop(tokio::task::spawn_blocking(move || ask(&*memory)));
        match asked.await {
            Ok(Ok(answer)) => {
                self.charge_answer(size(&answer))?;
                Ok(Ok(answer))
            }
            Ok(Err(told)) => Ok(Err(told.into())),
            Err(_) => {
                self.ending.get_or_insert(Ending::HostFault("the store of the memory panicked".to_owned()));
                bail!("the host's memory failed");
            }
        }
    }
}

/// A task that is aborted when nobody waits for it any more. What blocks already runs to its end.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl audit::Host for Guest {
    async fn append(&mut self, entry: audit::Entry) -> Answer<String> {
        if let Some(problem) = json_problem(&entry.payload) {
            return Ok(Err(invalid("payload-not-json", format!("payload is not JSON: {problem}"))));
        }
        let bytes = entry.action.len() + entry.payload.len() + sum(&entry.tags);
        let entry = AuditEntry { action: entry.action, payload: entry.payload, tags: entry.tags };
        self.ask_memory(MemoryGrant::Write, bytes, String::len, move |memory| memory.audit_append(entry))
            .await
    }

    async fn snapshot(&mut self, limit: u32) -> Answer<Vec<audit::Recorded>> {
        let size = |records: &Vec<AuditRecord>| {
            records.iter().map(|record| 128 + record.entry.payload.len() + sum(&record.entry.tags)).sum()
        };
        let found =
            self.ask_memory(MemoryGrant::Read, 0, size, move |memory| memory.audit_snapshot(limit)).await?;
        Ok(found.map(|records| records.into_iter().map(Into::into).collect()))
    }
}

impl facts::Host for Guest {
    async fn put(&mut self, put: Vec<facts::Fact>) -> Answer<Vec<String>> {
        let mut bytes = 0;
        let mut checked = Vec::with_capacity(put.len());
        for (index, fact) in put.into_iter().enumerate() {
            for (name, value) in [("salience", fact.salience), ("confidence", fact.confidence)] {
                // Written so that NaN fails it.
                if !(0.0..=1.0).contains(&value) {
                    let message = format!("facts[{index}].{name} is {value}, but must be between 0 and 1");
                    return Ok(Err(invalid("number-out-of-range", message)));
                }
            }
            if let Err(error) = check_embedding(fact.embedding.as_deref()) {
                return Ok(Err(error));
            }
            let fact = Fact::from(fact);
            bytes += fact_bytes(&fact);
            checked.push(fact);
        }
        self.ask_memory(
            MemoryGrant::Write,
            bytes,
            |ids: &Vec<String>| sum(ids),
            move |memory| memory.facts_put(checked),
        )
        .await
    }

    async fn search(&mut self, query: facts::Query) -> Answer<Vec<facts::Hit>> {
        if let Err(error) = check_embedding(query.embedding.as_deref()) {
            return Ok(Err(error));
        }
        let bytes = query.text.len()
            + sum(&query.tags)
            + sum(&query.kinds)
            + 4 * query.embedding.as_ref().map_or(0, Vec::len);
        let query = FactQuery {
            text: query.text,
            mode: match query.mode {
                facts::SearchMode::Keyword => SearchMode::Keyword,
                facts::SearchMode::Vector => SearchMode::Vector,
                facts::SearchMode::Hybrid => SearchMode::Hybrid,
            },
            embedding: query.embedding,
            tags: query.tags,
            kinds: query.kinds,
            user_id: query.user_id,
            thread_id: query.thread_id,
            limit: query.limit,
        };
        let size = |hits: &Vec<FactHit>| hits.iter().map(|hit| fact_bytes(&hit.fact)).sum();
        let found =
            self.ask_memory(MemoryGrant::Read, bytes, size, move |memory| memory.facts_search(query)).await?;
        Ok(found.map(|hits| hits.into_iter().map(Into::into).collect()))
    }

    async fn forget(&mut self, id: String) -> Answer<()> {
        self.ask_memory(MemoryGrant::Write, id.len(), |()| 0, move |memory| memory.facts_forget(&id)).await
    }

    async fn reflect(&mut self, entry_id: String) -> Answer<Vec<String>> {
        let bytes = entry_id.len();
        self.ask_memory(
            MemoryGrant::Write,
            bytes,
            |ids: &Vec<String>| sum(ids),
            move |memory| memory.facts_reflect(&entry_id),
        )
        .await
    }

    async fn consolidate(&mut self) -> Answer<u32> {
        self.ask_memory(MemoryGrant::Write, 0, |_| 4, |memory| memory.facts_consolidate()).await
    }
}

impl slots::Host for Guest {
    async fn get(&mut self, name: String) -> Answer<Option<String>> {
        let size = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        self.ask_memory(MemoryGrant::Read, name.len(), size, move |memory| memory.slot_get(&name)).await
    }

    async fn set(&mut self, name: String, value: String) -> Answer<()> {
        if let Some(problem) = json_problem(&value) {
            return Ok(Err(invalid("value-not-json", format!("the slot's value is not JSON: {problem}"))));
        }
        let bytes = name.len() + value.len();
        self.ask_memory(MemoryGrant::Write, bytes, |()| 0, move |memory| memory.slot_set(&name, &value)).await
    }

    async fn list(&mut self) -> Answer<Vec<String>> {
        self.ask_memory(MemoryGrant::Read, 0, |names: &Vec<String>| sum(names), |memory| memory.slot_list())
            .await
    }
}

fn sum(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + 8).sum()
}

fn fact_bytes(fact: &Fact) -> usize {
    fact.text.len()
        + fact.kind.len()
        + fact.source.len()
        + sum(&fact.tags)
        + 64
        + 4 * fact.embedding.as_ref().map_or(0, Vec::len)
}

fn check_embedding(embedding: Option<&[f32]>) -> std::result::Result<(), types::Error> {
    match embedding {
        Some([]) => Err(invalid("embedding-empty", "an embedding has no numbers; leave it out instead")),
        Some(numbers) if numbers.iter().any(|number| !number.is_finite()) => {
            Err(invalid("number-out-of-range", "an embedding holds a number that is not finite"))
        }
        _ => Ok(()),
    }
}

impl From<AuditRecord> for audit::Recorded {
    fn from(record: AuditRecord) -> Self {
        let AuditEntry { action, payload, tags } = record.entry;
        Self {
            id: record.id,
            at: record.at,
            user_id: record.user_id,
            thread_id: record.thread_id,
            source: record.source,
            entry: audit::Entry { action, payload, tags },
        }
    }
}

impl From<facts::Fact> for Fact {
    fn from(fact: facts::Fact) -> Self {
        Self {
            text: fact.text,
            kind: fact.kind,
            tags: fact.tags,
            user_id: fact.user_id,
            salience: fact.salience,
            confidence: fact.confidence,
            source: fact.source,
            embedding: fact.embedding,
        }
    }
}

impl From<FactHit> for facts::Hit {
    fn from(hit: FactHit) -> Self {
        let fact = facts::Fact {
            text: hit.fact.text,
            kind: hit.fact.kind,
            tags: hit.fact.tags,
            user_id: hit.fact.user_id,
            salience: hit.fact.salience,
            confidence: hit.fact.confidence,
            source: hit.fact.source,
            embedding: hit.fact.embedding,
        };
        Self { id: hit.id, score: hit.score, at: hit.at, thread_id: hit.thread_id, fact }
    }
}
