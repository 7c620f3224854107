//! Where runs come from: forks, reruns and child runs, from both ends.

use rusqlite::{OptionalExtension, Row};

use crate::effect_apply::unsigned;
use crate::reader::{ReadError, Reader};

/// Links that one run shows at most, the newest.
const SHOWN_MAX: u32 = 100;

/// How one run comes from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// It adopted the other's results up to a point.
    Fork,
    /// It does the same again from the start.
    Rerun,
    /// It is an attempt of the other one.
    Child,
}

impl LinkKind {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            LinkKind::Fork => "fork",
            LinkKind::Rerun => "rerun",
            LinkKind::Child => "child",
        }
    }
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The run at the other end.
    pub run_id: String,
    /// How they are linked.
    pub kind: LinkKind,
    /// Of a fork: how many events of the run that it comes from had happened.
    pub seq: Option<u64>,
    /// Of a child: the attempt that it is, `PATH#ATTEMPT`.
    pub path: Option<String>,
}

/// The runs that one is linked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The run it comes from. It need not be in this store.
    pub from: Option<Link>,
    /// The runs that come from it, newest first.
    pub to: Vec<Link>,
}

impl Reader {
    /// The runs that a run comes from and that come from it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn links(&self, run_id: &str) -> Result<Links, ReadError> {
        self.query(|connection| {
            let from = connection
                .prepare_cached(
                    "SELECT l.from_run, l.kind, l.seq, l.path FROM run_links l JOIN runs r ON r.id = l.run WHERE r.run_id = ?1",
                )?
                .query_row([run_id], link)
                .optional()?;
            let to = connection
                .prepare_cached(
                    "SELECT r.run_id, l.kind, l.seq, l.path FROM run_links l JOIN runs r ON r.id = l.run \
                     WHERE l.from_run = ?1 ORDER BY l.run DESC LIMIT ?2",
                )?
                .query_map(rusqlite::params![run_id, SHOWN_MAX], link)?
                .collect::<Result<_, _>>()?;
            Ok(Links { from, to })
        })
    }

    /// The child runs of a run that have not ended.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open_children(&self, run_id: &str) -> Result<Vec<String>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT r.run_id FROM run_links l JOIN runs r ON r.id = l.run \
                     WHERE l.from_run = ?1 AND l.kind = 'child' AND r.ended_at IS NULL ORDER BY l.run",
                )?
                .query_map([run_id], |row| row.get(0))?
                .collect()
        })
    }

    /// Whether a run's parent does not want it any more, and whether that was killed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unwanted(&self, run_id: &str) -> Result<Option<bool>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT u.killed FROM unwanted u JOIN runs r ON r.id = u.run WHERE r.run_id = ?1",
                )?
                .query_row([run_id], |row| row.get(0))
                .optional()
        })
    }
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let kind: String = row.get(1)?;
    Ok(Link {
        run_id: row.get(0)?,
        kind: match kind.as_str() {
            "rerun" => LinkKind::Rerun,
            "child" => LinkKind::Child,
            _ => LinkKind::Fork,
        },
        seq: row.get::<_, Option<i64>>(2)?.map(unsigned),
        path: row.get(3)?,
    })
}
