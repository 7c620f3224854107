//! What the driver's core wants done.

use std::sync::Arc;

use bandstand_engine::event::{ChildPins, Parent};
use bandstand_engine::graph::{ChildWorkflow, Stage};
use bandstand_engine::run::ChildRun;
use bandstand_engine::{Command, CommandId, Event, Outcome, Rejected, Run, Snapshot, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Breaker, Request, RunId, Token};

/// Something to be done outside. The crate's documentation says which ones are reported back.
#[derive(Debug)]
pub enum Action {
    /// Write these rows, in order, after the run's earlier ones.
    Append {
        /// Which run's.
        run_id: RunId,
        /// At least one. The first row of a new run has `seq` 0.
        rows: Vec<Row>,
        /// The run's standing after the last row, for the store's table of runs.
        summary: Summary,
        /// To be named in the report.
        token: Token,
    },
    /// Look whether a reply is kept under that key, and its time not over. A read: it may be done twice.
    LookUp {
        /// Which run's.
        run_id: RunId,
        /// For which attempt.
        id: CommandId,
        /// As an equal visit kept it.
        key: String,
    },
    /// Mark the attempt, then make it. `timeout_ms` counts from when it has its instance, on a monotonic clock.
    StartCall {
        /// Which run's.
        run_id: RunId,
        /// What to call, and with what.
        command: Command,
    },
    /// See to it that this child run is there and goes on.
    StartChild {
        /// Which run's.
        run_id: RunId,
        /// The run that is to be there.
        new: Box<NewChild>,
    },
    /// Write this standing to the store's table of runs. Need not succeed: the run is looked at once more then.
    Change {
        /// Which run's.
        run_id: RunId,
        /// Its standing.
        summary: Summary,
    },
    /// End that call: nobody wants its result. It is still reported when it has ended.
    StopCall {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
    },
    /// Remove the mark of that attempt: what became of it is durable, or it never began.
    ClearMark {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
    },
    /// Tell whoever waits.
    Answer {
        /// Who.
        request: Request,
        /// How it was taken. Everything it rests on is durable.
        result: Result<Outcome, Refusal>,
    },
    /// Show these rows to whoever follows the run. They are durable.
    Publish {
        /// Which run's.
        run_id: RunId,
        /// At least one, in order; those of one append.
        rows: Vec<Row>,
    },
    /// How the run stands has changed, durably, or it was just loaded.
    Stands {
        /// Which run.
        run_id: RunId,
        /// How it stands.
        standing: Standing,
    },
    /// Read that run from the store.
    Load {
        /// Which.
        run_id: RunId,
    },
    /// The run left memory. Its next deadline is remembered.
    Evict {
        /// Which.
        run_id: RunId,
    },
    /// Keep this snapshot, instead of an earlier one. It is of a durable state. Need not succeed.
    SaveSnapshot {
        /// Which run's.
        run_id: RunId,
        /// The whole state.
        snapshot: Box<Snapshot>,
    },
    /// Send [`Message::Tick`](crate::Message::Tick) at this time. Replaces an earlier wish; `None`: there is none.
    WakeAt {
        /// When.
        at: Option<Timestamp>,
    },
    /// The run has ended, durably; comes after its last rows were published.
    RunEnded {
        /// Which.
        run_id: RunId,
        /// How.
        status: Status,
    },
    /// A run that wrote a thread, or waited for it, has ended, durably: the next one that waits may have it
    /// ([`Input::Enter`](bandstand_engine::Input::Enter)).
    ThreadLeft {
        /// The workflow's name.
        workflow: String,
        /// The thread's id.
        thread_id: String,
    },
    /// What is known against a plugin has changed. To be kept for the next start; need not succeed.
    Breaker {
        /// The plugin, by digest.
        plugin: Arc<str>,
        /// How its breaker is now. None: nothing is known against it any more.
        breaker: Option<Breaker>,
    },
    /// That call waits because its plugin is in quarantine, for whoever follows the run. May be told again.
    ShutOut {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
        /// The plugin's.
        breaker: Breaker,
    },
    /// The process must end at once, acknowledging nothing more (exit code 74).
    Die {
        /// For people.
        problem: String,
    },
}

/// A child run that is to be there: what it begins with, should it not have begun yet.
#[derive(Debug)]
pub struct NewChild {
    /// Its id, and what it is given.
    pub child: ChildRun,
    /// The attempt that it is.
    pub parent: Parent,
    /// Digest of the parent's graph; with the name of the child's workflow it tells what the child runs.
    pub parent_graph: String,
    /// What it runs, and the text of its file.
    pub definition: ChildWorkflow,
    /// The plugins that it and its own children use.
    pub pins: ChildPins,
    /// As the parent's.
    pub thread_id: Option<String>,
    /// As the parent's.
    pub user_id: Option<String>,
    /// As the parent's.
    pub starters: Vec<String>,
}

/// One decision of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of its first event in the run.
    pub seq: u64,
    /// When. Never before the row before.
    pub at: Timestamp,
    /// What was decided; never empty.
    pub events: Arc<Vec<Event>>,
}

/// What the store's table of runs says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Where it stands, in one word.
    pub status: Status,
    /// Its stage.
    pub stage: Stage,
    /// When it must be looked at again.
    pub next_deadline: Option<Timestamp>,
    /// Whether it owes a call that may start, or a child run that is not known to go on by itself: to be loaded at start.
    pub owes: bool,
}

impl Summary {
    /// Of a run of whose child runs nothing is known.
    pub fn of(run: &Run) -> Summary {
        let status = run.status();
        Summary {
            status,
            stage: run.stage(),
            next_deadline: run.next_deadline().filter(|_| !status.is_ended()),
            owes: run.owed().next().is_some() && !run.is_paused(),
        }
    }
}

/// Who or what can move a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Calls are owed, or child runs are at work.
    Running,
    /// Nothing before that time; maybe people too.
    Sleeping(Timestamp),
    /// Only people: reviews and signals. Their deadlines, and those of blocks round them, count as such.
    People {
        /// The open reviews, first deadline first; after them those of its child runs.
        reviews: Vec<String>,
    },
    /// The runs before it in its thread: it waits until they have ended.
    Queued,
    /// Only people: it is paused, and no call is in flight any more.
    Paused,
    /// Nothing: it has ended.
    Ended(Status),
    /// The host cannot go on with it. For people: what, and what to do.
    Stuck(String),
}

/// Why somebody's input was not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The run says no.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// There is none of that id.
    #[error("there is no run `{0}` here; `bandstand runs list` shows those there are")]
    NoSuchRun(RunId),
    /// The host cannot go on with the run.
    #[error("run `{run_id}` is stuck: {problem}")]
    Stuck {
        /// Which.
        run_id: RunId,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Too many wait for that run.
    #[error(
        "{waiting} inputs wait for run `{run_id}` to be loaded, the limit (`inputs-waiting-max`); try again in a moment"
    )]
    Busy {
        /// Which.
        run_id: RunId,
        /// The limit.
        waiting: u32,
    },
}
