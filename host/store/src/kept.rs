//! Replies that agents' nodes keep for equal visits, by the key that the engine makes. They are written in the transaction
//! of the event that says so, and are bounded in number and bytes: the oldest go.
//!
//! Not a read model: the run that gave a reply may be deleted while the reply is kept, and nothing is lost but time when a
//! reply is not. So a rebuild leaves them as they are, and an imported run brings none, since its file may say anything.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::Path;
use bandstand_engine::event::{CachedFrom, Event, Payload};
use bandstand_engine::input::{Choice, Reply, ReplyNext};
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::append::Refused;
use crate::codec::{self, INLINE_BYTES_MAX};
use crate::delete::{SWEEP_BYTES_MAX, SWEEP_ROWS_MAX, Swept};
use crate::effect_apply::{signed, unsigned};
use crate::open_run::load_blob;
use crate::owner;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// What a row takes besides its texts, about. Bytes.
const ROW_BYTES: u64 = 256;
/// Replies that make room for one that comes.
const MAKE_ROOM_MAX: u64 = 1_000;

/// How much is kept in a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Replies (`store.cache-entries`). Default 10,000.
    pub entries_max: u64,
    /// What they take together (`store.cache-bytes`); a larger one is not kept. Default 64 MiB.
    pub bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { entries_max: 10_000, bytes_max: 64 << 20 }
    }
}

/// A reply to be kept with the row that tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptReply {
    /// What an equal visit asks for.
    pub key: String,
    /// From then on it is not found. Milliseconds since 1970.
    pub until: i64,
    path: String,
    /// The reply as JSON; a large output by its digest.
    reply: String,
    /// Of a large output, which the row names as well.
    blob: Option<[u8; 32]>,
    bytes: u64,
}

/// The reply as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    output: Payload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choices: Option<Vec<Choice>>,
}

/// What these events of one row keep. They hold their values still.
pub(crate) fn of(events: &[Event]) -> Vec<KeptReply> {
    let kept = events.iter().filter_map(|event| match event {
        Event::NodeSucceeded(e) => Some((&e.p, e.kept.as_ref()?)),
        _ => None,
    });
    let replied = |p: &Path| {
        events.iter().rev().find_map(|event| match event {
            Event::AttemptSucceeded(e) if e.p == *p => Some(e),
            _ => None,
        })
    };
    kept.filter_map(|(p, kept)| {
        let reply = replied(p)?;
        let text = serde_json::to_vec(reply.output.value()?).ok()?;
        let (size, large) = (text.len() as u64, text.len() > INLINE_BYTES_MAX);
        let blob = large.then(|| *blake3::hash(&text).as_bytes());
        let stored = Stored {
            output: match &blob {
                Some(digest) => Payload::Blob { digest: codec::hex(digest), bytes: size },
                None => reply.output.clone(),
            },
            confidence: reply.confidence,
            choices: match &reply.next {
                ReplyNext::Edges => None,
                ReplyNext::Choose(choices) => Some(choices.clone()),
                ReplyNext::Goto(_) | ReplyNext::Review(_) => return None,
            },
        };
        let reply = serde_json::to_string(&stored).ok()?;
        let bytes = ROW_BYTES + reply.len() as u64 + if large { size } else { 0 };
        Some(KeptReply {
            key: kept.key.clone(),
            until: kept.until.0,
            path: p.to_string(),
            reply,
            blob,
            bytes,
        })
    })
    .collect()
}

/// Keeps a reply in place of an earlier one; the oldest go when there are too many.
pub(crate) fn put(
    connection: &Connection,
    run_id: &str,
    kept: &KeptReply,
    limits: &CacheLimits,
) -> rusqlite::Result<()> {
    let earlier: Option<i64> = connection
        .prepare_cached("SELECT id FROM kept_replies WHERE key = ?1")?
        .query_row([&kept.key], |row| row.get(0))
        .optional()?;
    if let Some(id) = earlier {
        remove(connection, id)?;
    }
    if kept.bytes > limits.bytes_max || limits.entries_max == 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO kept_replies(key, until, run_id, path, reply, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![kept.key, kept.until, run_id, kept.path, kept.reply, signed(kept.bytes)])?;
    let id = connection.last_insert_rowid();
    if let Some(digest) = &kept.blob {
        connection
            .prepare_cached("INSERT INTO blob_refs(digest, run) VALUES (?1, ?2)")?
            .execute(params![&digest[..], owner::kept_reply(id)])?;
    }
    total(connection, 1, signed(kept.bytes))?;
    for _ in 0..MAKE_ROOM_MAX {
        let (entries, bytes): (i64, i64) = connection
            .prepare_cached("SELECT entries, bytes FROM kept_total")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if unsigned(entries) <= limits.entries_max && unsigned(bytes) <= limits.bytes_max {
            break;
        }
        let oldest: Option<i64> = connection
            .prepare_cached("SELECT id FROM kept_replies ORDER BY id LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(oldest) = oldest else { break };
        remove(connection, oldest)?;
    }
    Ok(())
}

/// Removes a reply, and its output unless a run or another reply names it. How many bytes it had.
fn remove(connection: &Connection, id: i64) -> rusqlite::Result<i64> {
    let bytes: i64 = connection
        .prepare_cached("DELETE FROM kept_replies WHERE id = ?1 RETURNING bytes")?
        .query_row([id], |row| row.get(0))?;
    let digest: Option<Vec<u8>> = connection
        .prepare_cached("SELECT digest FROM blob_refs WHERE run = ?1")?
        .query_row([owner::kept_reply(id)], |row| row.get(0))
        .optional()?;
    if let Some(digest) = digest {
        connection
            .prepare_cached("DELETE FROM blob_refs WHERE digest = ?1 AND run = ?2")?
            .execute(params![digest, owner::kept_reply(id)])?;
        connection
            .prepare_cached(
                "DELETE FROM blobs WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.digest = ?1)",
            )?
            .execute([&digest])?;
    }
    total(connection, -1, -bytes)?;
    Ok(bytes)
}

fn total(connection: &Connection, entries: i64, bytes: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE kept_total SET entries = entries + ?1, bytes = bytes + ?2")?
        .execute([entries, bytes])?;
    Ok(())
}

impl Reader {
    /// The reply that is kept under a key, and where it was given; that run may have been deleted. `None`: there is none, or
    /// its time is over.
    ///
    /// # Errors
    /// When the file cannot be read, or what is kept is damaged.
    pub fn kept_reply(&self, key: &str, now: Timestamp) -> Result<Option<(Reply, CachedFrom)>, ReadError> {
        let found = self.query(|connection| {
            let row: Option<(String, String, String)> = connection
                .prepare_cached("SELECT run_id, path, reply FROM kept_replies WHERE key = ?1 AND until > ?2")?
                .query_row(params![key, now.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((run, path, reply)) = row else { return Ok(None) };
            let stored = serde_json::from_str::<Stored>(&reply).ok();
            let output = match stored.as_ref().map(|stored| &stored.output) {
                Some(Payload::Value(value)) => Some(value.clone()),
                Some(Payload::Blob { digest, .. }) => large(connection, digest)?,
                _ => None,
            };
            Ok(Some((run, path, stored, output)))
        })?;
        let Some((run, path, stored, output)) = found else { return Ok(None) };
        let (Some(stored), Some(output), Ok(p)) = (stored, output, path.parse()) else {
            return Err(ReadError::Damaged(format!("the reply that is kept under {key} is damaged")));
        };
        let next = stored.choices.map_or(ReplyNext::Edges, ReplyNext::Choose);
        Ok(Some((Reply { output, confidence: stored.confidence, next }, CachedFrom { run, p })))
    }

    /// How many replies are kept, and their bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn kept_total(&self) -> Result<(u64, u64), ReadError> {
        self.query(|connection| {
            connection.query_row("SELECT entries, bytes FROM kept_total", [], |row| {
                Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
            })
        })
    }

    /// Whether some are kept whose time is over.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_expired_replies(&self, now: Timestamp) -> Result<bool, ReadError> {
        self.query(|connection| {
            connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM kept_replies WHERE until <= ?1)",
                [now.0],
                |row| row.get(0),
            )
        })
    }
}

/// A value that is kept as a blob; none if it is not as it was.
fn large(connection: &Connection, digest: &str) -> rusqlite::Result<Option<Arc<Value>>> {
    let Some(key) = codec::unhex(digest) else { return Ok(None) };
    let bytes = load_blob(connection, &key)?.filter(|bytes| *blake3::hash(bytes).as_bytes() == key);
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).map(Arc::new))
}

impl Store {
    /// Removes replies whose time is over: at most [`SWEEP_ROWS_MAX`], or little more than [`SWEEP_BYTES_MAX`]. To be called
    /// until there is no more.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn forget_expired_replies(&self, now: Timestamp) -> Result<Swept, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Forget { now, swept: Swept::default(), sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

struct Forget {
    now: Timestamp,
    swept: Swept,
    sender: SyncSender<Swept>,
}

impl Job for Forget {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.swept = Swept::default();
        loop {
            let expired: Option<i64> = connection
                .prepare_cached("SELECT id FROM kept_replies WHERE until <= ?1 LIMIT 1")?
                .query_row([self.now.0], |row| row.get(0))
                .optional()?;
            let Some(id) = expired else { return Ok(JobEnd::Keep) };
            if self.swept.rows >= SWEEP_ROWS_MAX || self.swept.bytes >= SWEEP_BYTES_MAX {
                self.swept.more = true;
                return Ok(JobEnd::Keep);
            }
            self.swept.bytes += unsigned(remove(connection, id)?);
            self.swept.rows += 1;
        }
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.swept).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}
