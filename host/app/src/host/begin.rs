//! Beginning a run, whichever way: as a new one, again, or as a fork. A request that comes again finds the run it began,
//! also when several come at once; one that asks for something else is refused.

use std::sync::Arc;

use bandstand_driver::{Message, Refusal, RunId};
use bandstand_engine::event::{Event, RunAdopted, RunStarted};
use bandstand_engine::run::{Fork, NewRun, ThreadNow};
use bandstand_engine::{Decision, Graph, Run, Start, Timestamp};
use bandstand_store::Document;

use super::error::HostError;
use super::holder::Host;
use super::lease;
use crate::driver::now;

/// What differs, where only that it does is known; follows `began a run with`.
const ANOTHER_REQUEST: &str = "another body, or for somebody else";

/// A run that is ready to begin but for its thread; nothing of it is recorded.
pub(super) struct Beginning {
    /// What it runs.
    pub(super) graph: Arc<Graph>,
    /// How.
    pub(super) how: How,
    /// What it pins.
    pub(super) documents: Vec<Document>,
}

/// How a run begins.
#[derive(Clone)]
pub(super) enum How {
    /// At its start.
    Anew(Box<NewRun>),
    /// At a point of another one.
    Fork(Box<Fork>),
}

/// What a request says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Its id; none: it is no other one's repetition.
    pub(super) id: Option<String>,
    /// Digest of what it says, as it was sent.
    pub(super) digest: Option<String>,
    /// The seed that it names.
    pub(super) seed: Option<u64>,
}

impl How {
    fn begins(&self) -> &NewRun {
        match self {
            How::Anew(new) => new,
            How::Fork(fork) => &fork.new,
        }
    }
}

/// Begins a run in memory, whose thread is so; where that may take long.
async fn in_memory(
    graph: Arc<Graph>,
    how: How,
    thread: Option<ThreadNow>,
) -> Result<(Run, Decision, Timestamp), HostError> {
    let begun = tokio::task::spawn_blocking(move || {
        let now = now();
        let (run, decision) = match how {
            How::Anew(new) => {
                let start = Start::new(&graph, NewRun { thread, ..*new }, now)?;
                Run::start(graph, start, now)
            }
            How::Fork(mut fork) => {
                fork.new.thread = thread;
                Run::fork(graph, *fork, now)?
            }
        };
        Ok((run, decision, now))
    });
    begun.await.map_err(|_| HostError::Closing)?
}

impl Host {
    /// The run that a request began before, if it was this very request: whatever became of the workflow since.
    ///
    /// # Errors
    /// [`HostError::RequestTaken`] when a request of that id said something else.
    pub fn begun_before(&self, request_id: Option<&str>, digest: &str) -> Result<Option<String>, HostError> {
        let (Some(request), Some(run_id)) = (request_id, self.known(request_id)?) else { return Ok(None) };
        let rows = self.0.store.reader().history(&run_id, 0, 1)?.rows;
        let Some(Event::RunStarted(started)) = rows.first().and_then(|row| row.events.first()) else {
            return Ok(None);
        };
        match &started.request_digest {
            // It was begun otherwise, or by an older host: what it leads to is compared.
            None => Ok(None),
            Some(said) if said == digest => Ok(Some(run_id)),
            Some(_) => Err(HostError::RequestTaken {
                request: request.to_owned(),
                run_id,
                differs: ANOTHER_REQUEST.to_owned(),
            }),
        }
    }

    /// Begins what is prepared; durable when this returns its id. `prepare` is everything that takes time but no turn;
    /// it is asked also if the request is known, to compare.
    pub(super) async fn begin(
        &self,
        asked: Asked,
        prepare: impl FnOnce(&Host) -> Result<Beginning, HostError> + Send + 'static,
    ) -> Result<String, HostError> {
        let Asked { id: request, digest, seed } = asked;
        if let Some(digest) = &digest
            && let Some(run_id) = self.begun_before(request.as_deref(), digest)?
        {
            self.drive(&run_id).await?;
            return Ok(run_id);
        }
        let mut known = self.known(request.as_deref())?;
        if known.is_none() && self.0.store.low_space() {
            let free = "free some space, or name a data directory on another disk with --data";
            return Err(HostError::Storage(format!("the disk is nearly full and no run is started; {free}")));
        }
        let host = self.clone();
        let prepared = tokio::task::spawn_blocking(move || prepare(&host));
        let Beginning { graph, how, documents } = prepared.await.map_err(|_| HostError::Closing)??;
        let thread = lease::thread_key(&graph, how.begins().thread_id.as_deref());
        // Kept until the run is durable.
        let turn = match &thread {
            Some(thread) => Some(self.turn(thread).await),
            None => None,
        };
        if turn.is_some() {
            // The same request may have begun it while this one waited for the turn.
            known = self.known(request.as_deref())?;
        }
        let place = match thread.filter(|_| known.is_none()) {
            Some(thread) => {
                let second_run = graph.second_run().unwrap_or_default();
                if self.would_interrupt(&thread, second_run)? {
                    in_memory(graph.clone(), how.clone(), Some(self.kept(&thread)?)).await?;
                }
                Some(self.place(&thread, second_run, &how.begins().run_id).await?)
            }
            None => None,
        };
        let queued = place == Some(ThreadNow::Taken);
        let (run, decision, at) = in_memory(graph, how, place).await?;
        // What the run is begun with stands in these two at most.
        let again: Vec<Event> = decision.events.iter().take(2).cloned().collect();
        if let Some(run_id) = known {
            self.same_request(&run_id, &again, seed)?;
            self.drive(&run_id).await?;
            return Ok(run_id);
        }
        let run_id: RunId = run.id().into();
        self.documents().insert(run_id.clone(), documents);
        let early = self.listen_early(&run_id);
        let message =
            |request| Message::RunStarted { run: Box::new(run), decision, at, request: Some(request) };
        let taken = self.0.mailbox.ask(message).await.map_err(|_| HostError::Closing);
        self.documents().remove(&run_id);
        match taken? {
            Ok(_) => {
                drop(turn);
                if queued {
                    self.drive_queued(&run_id)?;
                }
                self.keep_early(run_id.clone(), early);
                Ok(run_id.to_string())
            }
            Err(refusal) => {
                // Two with the same request at once: the other one was first.
                let first = request.and_then(|key| self.0.store.reader().request(&key, now()).ok().flatten());
                let run_id = first.ok_or(match refusal {
                    Refusal::Stuck { problem, .. } => HostError::Storage(problem),
                    refusal => HostError::Refused(refusal),
                })?;
                self.same_request(&run_id, &again, seed)?;
                Ok(run_id)
            }
        }
    }

    /// The run that the request began before.
    fn known(&self, request: Option<&str>) -> Result<Option<String>, HostError> {
        match request {
            Some(request) => Ok(self.0.store.reader().request(request, now())?),
            None => Ok(None),
        }
    }

    /// Whether a request asks again for the run that one of its name began.
    fn same_request(&self, run_id: &str, again: &[Event], seed: Option<u64>) -> Result<(), HostError> {
        let rows = self.0.store.reader().history(run_id, 0, 1)?.rows;
        let first = rows.first().map(|row| row.events.as_slice()).unwrap_or_default();
        let (Some(first), Some(again)) = (Begun::of(first), Begun::of(again)) else {
            return Err(HostError::Storage(format!("the journal of run {run_id} has no beginning")));
        };
        let other_seed =
            || seed.filter(|seed| first.started.seed != *seed).map(|_| "another seed".to_owned());
        let differs = match (&first.started.request_digest, &again.started.request_digest) {
            (Some(said), Some(says)) => (said != says).then(|| ANOTHER_REQUEST.to_owned()),
            _ => first.differs(&again).or_else(other_seed),
        };
        let Some(differs) = differs else { return Ok(()) };
        Err(HostError::RequestTaken {
            request: again.started.request_id.clone().unwrap_or_default(),
            run_id: run_id.to_owned(),
            differs,
        })
    }
}

/// What a run was begun with.
struct Begun<'a> {
    started: &'a RunStarted,
    adopted: Option<&'a RunAdopted>,
}

impl<'a> Begun<'a> {
    fn of(events: &'a [Event]) -> Option<Begun<'a>> {
        let Some(Event::RunStarted(started)) = events.first() else { return None };
        let adopted = match events.get(1) {
            Some(Event::RunAdopted(adopted)) => Some(&**adopted),
            _ => None,
        };
        Some(Begun { started, adopted })
    }

    /// What this one has that the other has not, in words that follow `began a run with`: the same text of the same
    /// workflow, the same input with its defaults, and of a fork the same point and the same edits.
    fn differs(&self, other: &Begun<'_>) -> Option<String> {
        let (this, that) = (self.started, other.started);
        if this.workflow.name != that.workflow.name {
            return Some(format!("workflow `{}`", this.workflow.name));
        }
        match (self.adopted, other.adopted) {
            (None, None) => {}
            (None, Some(wanted)) => return Some(format!("no fork of run {}", wanted.from.run)),
            (Some(fork), Some(wanted)) if fork.from.run != wanted.from.run => {
                return Some(format!("no fork of run {}", wanted.from.run));
            }
            (Some(fork), None) => return Some(format!("a fork of run {}", fork.from.run)),
            (Some(fork), Some(wanted)) if fork.from.seq != wanted.from.seq => {
                let (seq, other) = (fork.from.seq, wanted.from.seq);
                return Some(format!("a fork from event {seq}, not from event {other}"));
            }
            (Some(fork), Some(wanted)) if fork.edits != wanted.edits => {
                let edits: Vec<&str> = fork.edits.iter().map(|edit| edit.path.as_str()).collect();
                let edits = if edits.is_empty() { "nothing".to_owned() } else { edits.join(", ") };
                return Some(format!("other values: it set {edits}"));
            }
            // A fork can be of the same text with other plugins.
            (Some(_), Some(_)) if (&this.plugins, &this.children) != (&that.plugins, &that.children) => {
                return Some("other plugins".to_owned());
            }
            (Some(_), Some(_)) => {}
        }
        for (what, of, wanted) in
            [("thread", &this.thread_id, &that.thread_id), ("user", &this.user_id, &that.user_id)]
        {
            if of != wanted {
                return Some(of.as_ref().map_or(format!("no {what}"), |of| format!("{what} `{of}`")));
            }
        }
        if this.start_at.is_some() != that.start_at.is_some() {
            return Some(
                if this.start_at.is_some() { "a later beginning" } else { "no later beginning" }.to_owned(),
            );
        }
        if this.rerun_of != that.rerun_of {
            return Some(match (&this.rerun_of, &that.rerun_of) {
                (None, Some(wanted)) => format!("no rerun of run {wanted}"),
                (of, _) => format!("a rerun of run {}", of.as_deref().unwrap_or_default()),
            });
        }
        if this.workflow.source != that.workflow.source {
            return Some(format!("another text of workflow `{}`", this.workflow.name));
        }
        (this.input != that.input).then(|| "another input".to_owned())
    }
}
