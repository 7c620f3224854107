//! What agents keep: an audit log, facts, working memory (R6). Everything belongs to a workflow; nothing of one is seen
//! by another. Writes are durable before they are answered. Grants are the sandbox's business.

mod audit;
mod consolidate;
mod facts;
mod search;
mod slots;

pub use audit::{AuditEntry, AuditRecord};
pub use facts::{Fact, FactHit, FactQuery, SearchMode};

use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;

use crate::append::Refused;
use crate::queue::{Job, JobEnd};
use crate::reader::ReadError;
use crate::store::Store;

/// For whom something is kept or asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The workflow.
    pub workflow: String,
    /// The run.
    pub run_id: String,
    /// Its thread.
    pub thread_id: Option<String>,
    /// Its user.
    pub user_id: Option<String>,
    /// The node.
    pub node: String,
}

impl Scope {
    /// What working memory and audit snapshots hang on: the thread, or the run where there is none.
    fn thread(&self) -> String {
        match &self.thread_id {
            Some(thread) => format!("thread:{thread}"),
            None => format!("run:{}", self.run_id),
        }
    }
}

/// Limits of what agents keep. Each is the setting `memory.NAME` of the host, NAME with `-` for `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Text of a fact. Default 16 KiB.
    pub text_bytes_max: usize,
    /// Payload of an audit entry. Default 64 KiB.
    pub payload_bytes_max: usize,
    /// Value of a slot. Default 256 KiB.
    pub slot_bytes_max: usize,
    /// Any name: action, kind, source, tag, slot. Default 256 bytes.
    pub name_bytes_max: usize,
    /// Tags of one thing. Default 32.
    pub tags_max: usize,
    /// Numbers of an embedding. Default 4,096.
    pub embedding_numbers_max: usize,
    /// Facts of one `put`. Default 100.
    pub put_facts_max: usize,
    /// Facts of a workflow. Default 100,000.
    pub facts_max: usize,
    /// Audit entries of a workflow. Default 1,000,000.
    pub audit_entries_max: usize,
    /// Slots of a thread. Default 64.
    pub slots_max: usize,
    /// Things of one answer; who asks for more gets so many. Default 100.
    pub results_max: usize,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits {
            text_bytes_max: 16 << 10,
            payload_bytes_max: 64 << 10,
            slot_bytes_max: 256 << 10,
            name_bytes_max: 256,
            tags_max: 32,
            embedding_numbers_max: 4_096,
            put_facts_max: 100,
            facts_max: 100_000,
            audit_entries_max: 1_000_000,
            slots_max: 64,
            results_max: 100,
        }
    }
}

/// Why memory did not do as asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The arguments are wrong.
    #[error("{message}")]
    Invalid {
        /// Kebab-case.
        code: &'static str,
        /// What is wrong.
        message: String,
    },
    /// There is no such thing in this workflow.
    #[error("this workflow has no {what} `{id}`")]
    NotFound {
        /// What was asked for.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Above a limit.
    #[error("{what}: {value} is above `{setting}` = {value_max}")]
    Limit {
        /// What is too large or too many.
        what: &'static str,
        /// How large.
        value: usize,
        /// The limit.
        value_max: usize,
        /// Its setting.
        setting: &'static str,
    },
    /// Not now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Refuses what is above a limit.
fn within(
    what: &'static str,
    value: usize,
    value_max: usize,
    setting: &'static str,
) -> Result<(), MemoryError> {
    if value > value_max { Err(MemoryError::Limit { what, value, value_max, setting }) } else { Ok(()) }
}

impl MemoryLimits {
    fn check_name(&self, what: &'static str, name: &str) -> Result<(), MemoryError> {
        if name.trim().is_empty() {
            return Err(MemoryError::Invalid { code: "empty-name", message: format!("{what} is empty") });
        }
        within(what, name.len(), self.name_bytes_max, "memory.name-bytes")
    }

    fn check_tags(&self, tags: &[String]) -> Result<(), MemoryError> {
        within("tags", tags.len(), self.tags_max, "memory.tags")?;
        tags.iter().try_for_each(|tag| self.check_name("a tag", tag))
    }

    /// How many things an answer has, when so many were asked for.
    fn results(&self, limit: u32) -> u32 {
        limit.min(u32::try_from(self.results_max).unwrap_or(u32::MAX))
    }
}

/// Tags or kinds as the tables hold them.
fn json_list(words: &[String]) -> String {
    serde_json::Value::from(words.to_vec()).to_string()
}

/// Back from [`json_list`].
fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// Adds to what a workflow keeps of something; how much that is then.
fn add(connection: &Connection, workflow: &str, what: &str, more: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO memory_counts(workflow, what, count) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET count = count + excluded.count RETURNING count",
        )?
        .query_row(rusqlite::params![workflow, what, more], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(0))
}

/// The number in an id such as `fact-12`.
fn number(id: &str, prefix: &str) -> Option<i64> {
    id.strip_prefix(prefix)?.parse().ok()
}

impl Store {
    /// Writes through the writer's thread and waits until it is durable. `write` may be called again after a rollback;
    /// what it refuses is undone.
    fn remember<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl FnMut(&Connection) -> rusqlite::Result<Result<T, MemoryError>> + Send + 'static,
    ) -> Result<T, MemoryError> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Remember { write, end: None, bytes: bytes as u64 + 256, sender }))?;
        receiver.recv().unwrap_or(Err(MemoryError::Refused(Refused::Stopped)))
    }
}

struct Remember<T, W> {
    write: W,
    end: Option<Result<T, MemoryError>>,
    bytes: u64,
    sender: SyncSender<Result<T, MemoryError>>,
}

impl<T, W> Job for Remember<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> rusqlite::Result<Result<T, MemoryError>> + Send,
{
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let end = (self.write)(connection)?;
        let keep = end.is_ok();
        self.end = Some(end);
        Ok(if keep { JobEnd::Keep } else { JobEnd::Undo })
    }

    fn answer(self: Box<Self>) {
        if let Some(end) = self.end {
            // Whoever asked may have gone.
            drop(self.sender.send(end));
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
