//! What the driver's core is told.

use std::sync::Arc;

use bandstand_engine::failure::Failure;
use bandstand_engine::{CommandId, Decision, Input, Run, Timestamp};

use crate::{Evidence, Request, RunId, Token};

/// Something that happened outside.
#[derive(Debug)]
pub enum Message {
    /// A new run, and what starting it decided. `request` is answered once the run is durable.
    RunStarted {
        /// The run.
        run: Box<Run>,
        /// From [`Run::start`].
        decision: Decision,
        /// The time given to [`Run::start`].
        at: Timestamp,
        /// Who waits.
        request: Option<Request>,
    },
    /// A run was read from the store, after [`Action::Load`](crate::Action::Load).
    Loaded {
        /// The run, folded from everything durable.
        run: Box<Run>,
        /// Events after the snapshot it was folded from.
        tail_events: u64,
        /// Their bytes, as the store counts them.
        tail_bytes: u64,
        /// The marks found for it, of calls that were in flight when the process before died. Only with the run's
        /// first load in a process. Marks of commands that are not owed do no harm.
        interrupted: Vec<CommandId>,
        /// Of a child run: its parent does not want it any more, and the process before may have died before it was told.
        unwanted: Option<Unwanted>,
    },
    /// It could not be read.
    LoadFailed {
        /// Which.
        run_id: RunId,
        /// Why.
        problem: LoadProblem,
    },
    /// That run is to go on. Loads it unless it is in memory; also one that was stuck, since that may be mended.
    Drive {
        /// Which.
        run_id: RunId,
    },
    /// A run that is not in memory has a deadline; it is loaded then.
    Sleeper {
        /// Which.
        run_id: RunId,
        /// Its next deadline.
        deadline: Timestamp,
    },
    /// A person's answer or verb. Loads the run unless it is in memory.
    Input {
        /// Which run.
        run_id: RunId,
        /// [`Input::Answer`], or one of the verbs such as [`Input::Cancel`].
        input: Input,
        /// Who waits.
        request: Option<Request>,
    },
    /// What was found, after [`Action::LookUp`](crate::Action::LookUp).
    LookedUp {
        /// Which run's.
        run_id: RunId,
        /// For which attempt.
        id: CommandId,
        /// [`Input::Cached`] with the same id; none: nothing is kept, or it cannot be read. Then the call is made.
        found: Option<Input>,
    },
    /// A call gave its result.
    CallEnded {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
        /// [`Input::Done`] or [`Input::Failed`] with the same id.
        input: Input,
        /// What that shows of the plugin: [`Evidence::of`] the input, unless the fault is the host's.
        evidence: Evidence,
    },
    /// A plugin that an attempt called as a tool has ended. It is not one of the driver's own calls; only what it shows of
    /// the plugin matters here.
    ToolEnded {
        /// The plugin, by digest.
        plugin: Arc<str>,
        /// Its name in the workflow.
        name: String,
        /// The workflow, by name.
        workflow: String,
        /// What that shows of the plugin.
        evidence: Evidence,
        /// Why it failed, for people.
        fault: String,
        /// Whether it was let through although its breaker is open, since the cool-down is over.
        probe: bool,
    },
    /// A call ended without a result, because of [`Action::StopCall`](crate::Action::StopCall).
    CallStopped {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
    },
    /// The sandbox had no room. The attempt did not begin: it goes back to the front of its queue and is not spent.
    CallRefused {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
    },
    /// The call cannot be made until a person mends something. The attempt did not begin and is not spent. Nothing more
    /// of the run starts; when its other calls have ended and what they gave is durable, it is stuck. Driving it tries
    /// again.
    CallBlocked {
        /// Which run's.
        run_id: RunId,
        /// Which attempt.
        id: CommandId,
        /// For people: what is wrong, and what to do.
        problem: String,
    },
    /// A child run of [`Action::StartChild`](crate::Action::StartChild) cannot begin. Nothing was recorded of it.
    ChildRefused {
        /// The parent.
        run_id: RunId,
        /// Which attempt of it.
        id: CommandId,
        /// Why.
        failure: Failure,
    },
    /// An append is durable.
    Appended {
        /// Which.
        token: Token,
        /// Its size in the journal.
        size_bytes: u64,
    },
    /// The store did not take an append, for a reason of that run alone; nothing of it is on disk. The run is given up.
    AppendRefused {
        /// Which.
        token: Token,
        /// What the store says, and what to do.
        problem: String,
    },
    /// An append failed; whether it is on disk is unknown.
    AppendFailed {
        /// Which.
        token: Token,
        /// What the store says, and what to do.
        problem: String,
    },
    /// A person puts that plugin back in service: calls of it start again, and its faults are forgotten.
    /// [`Outcome::Unchanged`](bandstand_engine::Outcome::Unchanged): it was not in quarantine.
    PutBackInService {
        /// The plugin, by digest.
        plugin: Arc<str>,
        /// Who waits.
        request: Option<Request>,
    },
    /// `true`: start no call until told `false`, because the disk is nearly full. What ends is still recorded.
    Hold(bool),
    /// Time has passed. Early, late and repeated ones are harmless.
    Tick,
}

/// What becomes of a child run that its parent does not want any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// It is cancelled.
    Cancel,
    /// It is killed, as its parent was.
    Kill,
}

/// Why a run could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadProblem {
    /// There is none of that id.
    NoSuchRun,
    /// It is damaged, or of a newer host. For people: what, and what to do.
    Stuck(String),
}
