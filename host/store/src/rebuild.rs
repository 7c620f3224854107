//! Making the read models again from the journal: the proof that nothing is only in them.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use crate::append::{RunChange, RunStatus};
use crate::chain;
use crate::codec;
use crate::effect::{Effect, effects};
use crate::effect_apply::{self, Subject};
use crate::open_run::{From, OpenRunError, OpenedRun};
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::schema::READ_MODELS;
use crate::store::Store;

/// Journal rows that are held in memory at a time.
const SLICE_ROWS: usize = 1_000;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Runs in the journal.
    pub runs: u64,
    /// Rows read.
    pub rows: u64,
    /// Runs whose journal cannot be read; they are listed as `stuck`.
    pub stuck: Vec<String>,
}

/// Why nothing was rebuilt. The read models are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store was closed or has failed.
    #[error("the store no longer writes: it was closed or has failed")]
    Stopped,
    /// A run could not be read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Store {
    /// Empties every read model about runs and fills it from the journal, in one transaction. No run may be driven
    /// meanwhile. `stand` says where an opened run stands: the engine folds it, the store cannot.
    ///
    /// # Errors
    /// When the store cannot be written, or a run not even tried.
    pub fn rebuild(
        &self,
        mut stand: impl FnMut(OpenedRun) -> Result<RunChange, String>,
    ) -> Result<Rebuilt, RebuildError> {
        let (sender, receiver) = sync_channel(1);
        let job = Replay { done: Rebuilt::default(), run_ids: Vec::new(), sender };
        self.push_job(Box::new(job)).map_err(|_| RebuildError::Stopped)?;
        let (mut rebuilt, run_ids): (Rebuilt, Vec<String>) =
            receiver.recv().map_err(|_| RebuildError::Stopped)?;
        for run_id in run_ids {
            let stands = match self.reader().open_run(&run_id, From::Start) {
                Ok(opened) => stand(opened),
                Err(OpenRunError::Read(error)) => return Err(error.into()),
                Err(error) => Err(error.to_string()),
            };
            let change = stands.unwrap_or_else(|problem| {
                tracing::warn!(run_id, problem, "a run cannot be folded and is stuck");
                rebuilt.stuck.push(run_id.clone());
                RunChange {
                    status: RunStatus::Stuck,
                    stage: None,
                    held: None,
                    owed: false,
                    next_deadline: None,
                }
            });
            self.stand(&run_id, change)?;
        }
        Ok(rebuilt)
    }

    fn stand(&self, run_id: &str, change: RunChange) -> Result<(), RebuildError> {
        let (sender, receiver) = sync_channel(1);
        let job = Stand { run_id: run_id.to_owned(), change, sender };
        self.push_job(Box::new(job)).map_err(|_| RebuildError::Stopped)?;
        receiver.recv().map_err(|_| RebuildError::Stopped)
    }
}

/// Empties the read models and applies every row's effects again.
struct Replay {
    done: Rebuilt,
    run_ids: Vec<String>,
    sender: std::sync::mpsc::SyncSender<(Rebuilt, Vec<String>)>,
}

/// What the effects of a run's later rows need.
struct Known {
    workflow: String,
    started_at: i64,
}

impl Job for Replay {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.done = Rebuilt::default();
        self.run_ids.clear();
        for table in READ_MODELS {
            connection.execute_batch(&format!("DELETE FROM {table}"))?;
        }
        // What runs that are gone have added has no other source.
        connection.execute_batch("INSERT INTO routing_stats SELECT * FROM routing_kept")?;
        let mut known: HashMap<i64, Known> = HashMap::new();
        let mut pos = 0_i64;
        loop {
            let rows = slice(connection, pos)?;
            let Some(last) = rows.last() else { return Ok(JobEnd::KeepAndForgetRuns) };
            pos = last.pos;
            for row in rows {
                self.done.rows += 1;
                self.replay(connection, &mut known, &row)?;
            }
        }
    }

    fn answer(self: Box<Self>) {
        drop(self.sender.send((self.done, self.run_ids)));
    }

    fn bytes(&self) -> u64 {
        0
    }
}

impl Replay {
    fn replay(
        &mut self,
        connection: &Connection,
        known: &mut HashMap<i64, Known>,
        row: &Raw,
    ) -> rusqlite::Result<()> {
        // A row that does not read has no effects; its run is called stuck when it is opened.
        let Ok(events) = codec::parse(&row.events) else { return Ok(()) };
        let effects = effects(&events);
        if let Some(started @ Effect::RunStarted { run_id, workflow, .. }) = effects.first()
            && row.seq == 0
            && chain::link(&chain::genesis(run_id), 0, row.at, row.events.as_bytes())[..] == row.check[..]
        {
            effect_apply::insert_run(
                connection,
                Some(row.run),
                started,
                row.at,
                &effect_apply::first_change(),
            )?;
            known.insert(row.run, Known { workflow: workflow.clone(), started_at: row.at });
            self.done.runs += 1;
            self.run_ids.push(run_id.clone());
        }
        let Some(run) = known.get_mut(&row.run) else { return Ok(()) };
        run.started_at = effect_apply::began_at(run.started_at, &effects, row.at);
        let subject = Subject {
            run: row.run,
            workflow: &run.workflow,
            started_at: run.started_at,
            seq: row.seq,
            pos: row.pos,
            at: row.at,
        };
        effects.iter().try_for_each(|effect| effect_apply::apply(connection, &subject, effect))
    }
}

struct Raw {
    pos: i64,
    run: i64,
    seq: i64,
    at: i64,
    check: Vec<u8>,
    events: String,
}

fn slice(connection: &Connection, pos: i64) -> rusqlite::Result<Vec<Raw>> {
    connection
        .prepare_cached(
            "SELECT pos, run, seq, at, \"check\", events FROM journal \
             WHERE pos > ?1 AND run NOT IN (SELECT run FROM doomed) ORDER BY pos LIMIT ?2",
        )?
        .query_map(params![pos, SLICE_ROWS as i64], |row| {
            Ok(Raw {
                pos: row.get(0)?,
                run: row.get(1)?,
                seq: row.get(2)?,
                at: row.get(3)?,
                check: row.get(4)?,
                events: String::from_utf8_lossy(row.get_ref(5)?.as_bytes().unwrap_or_default()).into_owned(),
            })
        })?
        .collect()
}

/// Writes where a run stands, with the time of its last row.
struct Stand {
    run_id: String,
    change: RunChange,
    sender: std::sync::mpsc::SyncSender<()>,
}

impl Job for Stand {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let last: Result<(i64, i64, i64), rusqlite::Error> = connection
            .prepare_cached(
                "SELECT r.id, j.seq, j.at FROM runs r JOIN journal j ON j.run = r.id WHERE r.run_id = ?1 \
                 ORDER BY j.seq DESC LIMIT 1",
            )?
            .query_row([&self.run_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        match last {
            Ok((run, seq, at)) => effect_apply::update_run(connection, run, at, seq, &self.change)?,
            Err(rusqlite::Error::QueryReturnedNoRows) => {}
            Err(error) => return Err(error),
        }
        Ok(JobEnd::KeepAndForgetRuns)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(()).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}

impl Reader {
    /// Every read model as text, a line for each row, for comparing one rebuild with another. `head_seq` is left out:
    /// it says when a run's row last changed, which a rebuild does not repeat; so is `bytes`, which is counted when it is
    /// asked for. Sums of confidences are shown without the last digits, which depend on the order of adding.
    ///
    /// # Errors
    /// When the file cannot be read.
    #[doc(hidden)]
    pub fn dump_read_models(&self) -> Result<Vec<String>, ReadError> {
        self.query(|connection| {
            let mut lines = Vec::new();
            for table in READ_MODELS {
                let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
                let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let mut line = table.to_owned();
                    let shown = |name: &str| !["head_seq", "bytes"].contains(&name);
                    for (index, name) in names.iter().enumerate().filter(|(_, name)| shown(name)) {
                        line.push_str(&match row.get_ref(index)? {
                            ValueRef::Real(number) => format!(" {name}={number:.9}"),
                            value => format!(" {name}={value:?}"),
                        });
                    }
                    lines.push(line);
                }
            }
            lines.sort();
            Ok(lines)
        })
    }
}
