//! Which ended runs are kept: by age, number and size, for each workflow and status. Choosing only reads; what is chosen is
//! deleted by [`Store::delete_runs`](crate::Store::delete_runs), which looks again whether the run has ended.
//!
//! Never chosen: a run that has not ended (it runs, waits, is paused or stuck), a child run whose parent has not, and one
//! whose request may still be made again, because the answer to it is that run.

use std::collections::{HashMap, HashSet};

use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::append::{Refused, RunStatus};
use crate::delete::request_of;
use crate::effect_apply::{open_parent, signed, unsigned};
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;
use crate::writer::REQUEST_KEPT_MS;

/// A request whose key begins so was made by a process, not by a person or another program: it is asked again within
/// seconds, or never, so its run is not kept for it.
pub const PASSING_REQUEST: &str = "handover:";
/// Ended runs that are looked at in one reading.
const PAGE_RUNS: u32 = 1_000;

/// How much is kept of some runs. None: no bound of its own; that of the next wider rule holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Since their end. Milliseconds.
    pub age_ms: Option<u64>,
    /// How many, the newest.
    pub count: Option<u64>,
    /// How much they may take together, the newest first. A value that two runs name counts for both. Bytes.
    pub size_bytes: Option<u64>,
    /// All of them: wider rules do not hold here.
    pub all: bool,
}

/// A bound and for which runs it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Runs of that workflow; none: of every one.
    pub workflow: Option<String>,
    /// Runs that ended so; none: however.
    pub status: Option<RunStatus>,
    /// What is kept of them.
    pub keep: Keep,
}

/// What is kept, by rules of which the narrower one holds for each bound: that of workflow and status, of the workflow, of
/// the status, of all. A number or a size is that of all runs for which its rule holds, together. Without rules all stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// In any order.
    pub rules: Vec<Rule>,
}

/// Why a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// It ended too long ago.
    Age,
    /// There are enough newer ones.
    Count,
    /// Newer ones take all the room.
    Size,
}

/// A run that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// The run.
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// How it ended.
    pub status: RunStatus,
    /// Why it goes.
    pub because: Because,
    /// What goes with it: events, snapshot, and the values that no run names which stays. Bytes.
    pub bytes: u64,
}

/// Chooses, newest runs first, one page after the other.
#[derive(Debug)]
pub struct Chooser {
    reader: Reader,
    retention: Retention,
    now: Timestamp,
    /// Where the next page begins: end and number of the last run looked at.
    before: Option<(i64, i64)>,
    /// Runs and bytes that stay, by rule.
    kept: HashMap<usize, (u64, u64)>,
    going: HashSet<i64>,
    /// What was counted and is not in the file yet.
    counted: Vec<(i64, u64)>,
}

/// An ended run.
struct Ended {
    run: i64,
    run_id: String,
    workflow: String,
    status: RunStatus,
    started_at: i64,
    ended_at: i64,
    bytes: Option<u64>,
}

/// The bounds of a run, each with the rule that it comes from.
#[derive(Default)]
struct Bounds {
    age_ms: Option<u64>,
    count: Option<(usize, u64)>,
    size_bytes: Option<(usize, u64)>,
}

impl Because {
    /// The setting's word.
    pub fn name(self) -> &'static str {
        match self {
            Because::Age => "age",
            Because::Count => "count",
            Because::Size => "size",
        }
    }
}

impl Retention {
    /// Whether nothing bounds anything.
    pub fn is_empty(&self) -> bool {
        let bounds = |keep: &Keep| keep.age_ms.is_some() || keep.count.is_some() || keep.size_bytes.is_some();
        !self.rules.iter().any(|rule| bounds(&rule.keep))
    }

    fn bounds(&self, workflow: &str, status: RunStatus) -> Bounds {
        let mut bounds = Bounds::default();
        for (of, how) in
            [(Some(workflow), Some(status)), (Some(workflow), None), (None, Some(status)), (None, None)]
        {
            let rules = self.rules.iter().enumerate();
            for (index, rule) in
                rules.filter(|(_, rule)| (rule.workflow.as_deref(), rule.status) == (of, how))
            {
                let keep = &rule.keep;
                bounds.age_ms = bounds.age_ms.or(keep.age_ms);
                bounds.count = bounds.count.or(keep.count.map(|count| (index, count)));
                bounds.size_bytes = bounds.size_bytes.or(keep.size_bytes.map(|size| (index, size)));
                if keep.all {
                    return bounds;
                }
            }
        }
        bounds
    }
}

impl Chooser {
    /// Chooses by these rules at that time.
    pub fn new(reader: Reader, retention: Retention, now: Timestamp) -> Chooser {
        Chooser {
            reader,
            retention,
            now,
            before: None,
            kept: HashMap::new(),
            going: HashSet::new(),
            counted: Vec::new(),
        }
    }

    /// The runs that go from the next thousand ended ones; may be empty. `None`: all were looked at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_page(&mut self) -> Result<Option<Vec<Going>>, ReadError> {
        if self.retention.is_empty() {
            return Ok(None);
        }
        let page = self.page()?;
        let Some(last) = page.last() else { return Ok(None) };
        self.before = Some((last.ended_at, last.run));
        let mut going = Vec::new();
        for ended in page {
            if let Some(because) = self.because(&ended)? {
                self.going.insert(ended.run);
                let (run, set) = (ended.run, &self.going);
                let bytes = self.reader.query(|connection| freed(connection, run, set))?;
                let Ended { run_id, workflow, status, .. } = ended;
                going.push(Going { run_id, workflow, status, because, bytes });
            }
        }
        Ok(Some(going))
    }

    /// Sizes that were counted on the way: [`Store::keep_sizes`] saves counting them again.
    pub fn take_sizes(&mut self) -> Vec<(i64, u64)> {
        std::mem::take(&mut self.counted)
    }

    fn page(&self) -> Result<Vec<Ended>, ReadError> {
        let (ended_at, run) = self.before.unwrap_or((i64::MAX, i64::MAX));
        self.reader.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, run_id, workflow, status, started_at, ended_at, bytes FROM runs \
                     WHERE ended_at IS NOT NULL AND (ended_at, id) < (?1, ?2) ORDER BY ended_at DESC, id DESC LIMIT ?3",
                )?
                .query_map(params![ended_at, run, PAGE_RUNS], |row| {
                    let status: String = row.get(3)?;
                    Ok(Ended {
                        run: row.get(0)?,
                        run_id: row.get(1)?,
                        workflow: row.get(2)?,
                        status: RunStatus::from_name(&status).unwrap_or(RunStatus::Stuck),
                        started_at: row.get(4)?,
                        ended_at: row.get(5)?,
                        bytes: row.get::<_, Option<i64>>(6)?.map(unsigned),
                    })
                })?
                .collect()
        })
    }

    /// Why a run goes; none: it stays, and counts.
    fn because(&mut self, ended: &Ended) -> Result<Option<Because>, ReadError> {
        if !ended.status.is_ended() {
            return Ok(None);
        }
        let bounds = self.retention.bounds(&ended.workflow, ended.status);
        let age_ms = self.now.since_ms(Timestamp(ended.ended_at));
        let size = match bounds.size_bytes {
            Some(_) => self.size(ended)?,
            None => 0,
        };
        let kept = |of: Option<(usize, u64)>| {
            of.and_then(|(rule, _)| self.kept.get(&rule)).copied().unwrap_or_default()
        };
        let because = if bounds.age_ms.is_some_and(|age_ms_max| age_ms > age_ms_max) {
            Some(Because::Age)
        } else if bounds.count.is_some_and(|(_, count_max)| kept(bounds.count).0 >= count_max) {
            Some(Because::Count)
        } else if bounds.size_bytes.is_some_and(|(_, max)| {
            // The newest stays, however large.
            let newer = kept(bounds.size_bytes).1;
            newer > 0 && newer.saturating_add(size) > max
        }) {
            Some(Because::Size)
        } else {
            None
        };
        if because.is_some() && !self.may_be_asked_for(ended)? && !self.has_open_parent(ended)? {
            if let (Some(Because::Size), Some((rule, max))) = (because, bounds.size_bytes) {
                // What is older goes too, however small: no run stays that is older than one that went.
                self.kept.entry(rule).or_default().1 = max.saturating_add(1);
            }
            return Ok(because);
        }
        let rules = [bounds.count.map(|(rule, _)| rule), bounds.size_bytes.map(|(rule, _)| rule)];
        if let Some(rule) = rules[0] {
            self.kept.entry(rule).or_default().0 += 1;
        }
        if let Some(rule) = rules[1] {
            let bytes = &mut self.kept.entry(rule).or_default().1;
            *bytes = bytes.saturating_add(size);
        }
        Ok(None)
    }

    /// Whether it is a part of a run that goes on.
    fn has_open_parent(&self, ended: &Ended) -> Result<bool, ReadError> {
        self.reader.query(|connection| Ok(open_parent(connection, ended.run)?.is_some()))
    }

    /// Whether the request that began it is still remembered.
    fn may_be_asked_for(&self, ended: &Ended) -> Result<bool, ReadError> {
        let oldest = self.now.0.saturating_sub(REQUEST_KEPT_MS);
        if ended.started_at < oldest {
            return Ok(false);
        }
        self.reader.query(|connection| {
            let key = request_of(connection, ended.run)?;
            let Some(key) = key.filter(|key| !key.starts_with(PASSING_REQUEST)) else { return Ok(false) };
            connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM requests WHERE key = ?1 AND answer = ?2 AND at >= ?3)",
                )?
                .query_row(params![key, ended.run_id, oldest], |row| row.get(0))
        })
    }

    fn size(&mut self, ended: &Ended) -> Result<u64, ReadError> {
        if let Some(bytes) = ended.bytes {
            return Ok(bytes);
        }
        let bytes = self.reader.query(|connection| {
            let values: i64 = connection
                .prepare_cached(
                    "SELECT ifnull(sum(octet_length(b.bytes)), 0) FROM blob_refs r JOIN blobs b ON b.digest = r.digest \
                     WHERE r.run = ?1",
                )?
                .query_row([ended.run], |row| row.get(0))?;
            Ok(own(connection, ended.run)?.saturating_add(unsigned(values)))
        })?;
        self.counted.push((ended.run, bytes));
        Ok(bytes)
    }
}

/// What a run alone has: its events and its snapshot.
fn own(connection: &Connection, run: i64) -> rusqlite::Result<u64> {
    let bytes: i64 = connection
        .prepare_cached(
            "SELECT (SELECT ifnull(sum(octet_length(events)), 0) FROM journal WHERE run = ?1) \
             + (SELECT ifnull(sum(octet_length(bytes)), 0) FROM snapshots WHERE run = ?1)",
        )?
        .query_row([run], |row| row.get(0))?;
    Ok(unsigned(bytes))
}

/// What goes with a run when all of `going` go: what it alone has, and the values that nobody else names but these.
fn freed(connection: &Connection, run: i64, going: &HashSet<i64>) -> rusqlite::Result<u64> {
    let mut bytes = own(connection, run)?;
    let mut named = connection.prepare_cached("SELECT digest FROM blob_refs WHERE run = ?1")?;
    let digests: Vec<Vec<u8>> = named.query_map([run], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for digest in digests {
        let mut others = connection.prepare_cached("SELECT run FROM blob_refs WHERE digest = ?1")?;
        let mut rows = others.query([&digest])?;
        let mut last = true;
        while let Some(row) = rows.next()? {
            last &= going.contains(&row.get(0)?);
        }
        if last {
            let value: Option<i64> = connection
                .prepare_cached("SELECT octet_length(bytes) FROM blobs WHERE digest = ?1")?
                .query_row([&digest], |row| row.get(0))
                .optional()?;
            bytes = bytes.saturating_add(unsigned(value.unwrap_or(0)));
        }
    }
    Ok(bytes)
}

impl Store {
    /// Keeps what was counted, so that it is not counted again. Nobody waits for it.
    ///
    /// # Errors
    /// When the store does not take it now, which costs nothing but time.
    pub fn keep_sizes(&self, sizes: Vec<(i64, u64)>) -> Result<(), Refused> {
        if sizes.is_empty() { Ok(()) } else { self.push_job(Box::new(KeepSizes(sizes))) }
    }
}

struct KeepSizes(Vec<(i64, u64)>);

impl Job for KeepSizes {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        for (run, bytes) in &self.0 {
            connection
                .prepare_cached("UPDATE runs SET bytes = ?2 WHERE id = ?1 AND ended_at IS NOT NULL")?
                .execute(params![run, signed(*bytes)])?;
        }
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {}

    fn bytes(&self) -> u64 {
        self.0.len() as u64 * 32
    }
}
