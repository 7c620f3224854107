//! Going on from what a run did: forks of it, and retries of one that failed.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use bandstand_driver::LoadProblem;
use bandstand_engine::event::Event;
use bandstand_engine::graph::SecondRun;
use bandstand_engine::input::Retry;
use bandstand_engine::run::{Edit, Fork, ForkError, NewRun, NotAnEditPath, NotRetried, Point, ThreadNow};
use bandstand_engine::{Graph, Input};
use bandstand_store::{Document, DocumentKind, LinkKind, Pins, ThreadKey};

use super::begin::{Asked, Beginning, How};
use super::error::HostError;
use super::holder::{self, Host};
use super::request::{ForkRequest, RetryRequest, Taken};
use super::uses::Uses;
use crate::driver::unopened;
use crate::telemetry::trace;

impl Host {
    /// Begins a fork; it is durable when this returns its id.
    ///
    /// # Errors
    /// When there is no such run or point, the edits do not fit, or there is no room on the disk.
    pub async fn fork(&self, request: ForkRequest) -> Result<String, HostError> {
        let asked =
            Asked { id: request.request_id.clone(), digest: request.request_digest.clone(), seed: None };
        self.begin(asked, move |host| host.prepare_fork(request)).await
    }

    /// Everything about a fork that takes time but no turn.
    fn prepare_fork(&self, request: ForkRequest) -> Result<Beginning, HostError> {
        let ForkRequest { run_id, seq, edits, latest, request_id, request_digest, mut starters, mut linked } =
            request;
        let cannot = |problem| unread(&run_id, problem);
        let (mut rows, graph) = self.0.loader.rows(&run_id).map_err(cannot)?;
        let (pinned, uses) = (pinned(rows.pins()), Uses::pinned(rows.pins()));
        let row = rows.next().transpose().map_err(|error| cannot(unopened(error)))?;
        let Some(Event::RunStarted(first)) = row.as_ref().and_then(|row| row.events.first()).cloned() else {
            return Err(HostError::Unreadable { run_id, problem: "its journal has no beginning".to_owned() });
        };
        // Folded as it is read: a long journal is not held.
        let reached = Point::reached(graph.clone(), row.map(Ok).into_iter().chain(rows), seq);
        let point = reached
            .map_err(|error| cannot(unopened(error)))?
            .map_err(|source| HostError::NoPoint { run_id: run_id.clone(), seq, source })?;
        let edits = edits.into_iter().map(edit).collect::<Result<Vec<_>, _>>()?;
        let (graph, plugins, documents): (Arc<Graph>, Uses<String>, Vec<Document>) = match latest {
            None => (graph, uses, pinned),
            Some(latest) => {
                let documents = holder::documents(&latest.graph, latest.source);
                let graph = self.0.loader.share(&documents[1].digest, &Arc::new(latest.graph));
                (graph, latest.plugins, documents)
            }
        };
        self.can_call(&graph, &plugins)?;
        let digest =
            |kind| documents.iter().find(|document| document.kind == kind).map(|it| it.digest.clone());
        let input = first.input.value().map(|input| (**input).clone()).unwrap_or_default();
        let pins = plugins.into_pins();
        starters.extend(first.starters);
        starters.dedup();
        linked.push(trace::of_run(&run_id));
        // A child run never had what its thread keeps, so a fork of it must not overwrite that.
        let has_thread = first.parent.is_none() || graph.second_run().is_none();
        let new = NewRun {
            run_id: uuid::Uuid::now_v7().to_string(),
            source_digest: digest(DocumentKind::Source).unwrap_or(first.workflow.source),
            graph_digest: digest(DocumentKind::Graph).unwrap_or(first.workflow.graph),
            plugins: pins.plugins,
            children: pins.children,
            // A fork of a child run is a run of its own: nobody waits for it.
            parent: None,
            host_version: env!("CARGO_PKG_VERSION").to_owned(),
            // The same delays, where nothing else differs.
            seed: first.seed,
            thread_id: first.thread_id.filter(|_| has_thread),
            user_id: first.user_id,
            input,
            start_at: None,
            request_id,
            request_digest,
            starters,
            linked,
            rerun_of: None,
            thread: None,
        };
        Ok(Beginning { graph, how: How::Fork(Box::new(Fork { new, point, edits })), documents })
    }

    /// Makes a failed run go on; durable when this returns.
    ///
    /// # Errors
    /// When it has not failed, or there is no such run.
    pub async fn retry(&self, request: RetryRequest) -> Result<Taken, HostError> {
        let RetryRequest { run_id, by, request_id } = request;
        let (host, of, key) = (self.clone(), run_id.clone(), request_id.clone());
        let point = tokio::task::spawn_blocking(move || host.point_of_failure(&of, key.as_deref()));
        let Some((point, thread)) = point.await.map_err(|_| HostError::Closing)?? else {
            return Ok(Taken::Known);
        };
        let Some((thread, second_run)) = thread else {
            let retry = Retry { by, request_id, point, thread: None };
            return self.input(&run_id, Input::Retry(Box::new(retry))).await;
        };
        let turn = self.turn(&thread).await;
        if self.0.store.reader().thread_of(&run_id)?.is_some() {
            // Somebody retried it while this one waited for the turn: the run itself says so.
            let retry = Retry { by, request_id, point, thread: None };
            return self.input(&run_id, Input::Retry(Box::new(retry))).await;
        }
        let place = self.place(&thread, second_run, &run_id).await?;
        let queued = place == ThreadNow::Taken;
        let retry = Retry { by, request_id, point, thread: Some(place) };
        let taken = self.input(&run_id, Input::Retry(Box::new(retry))).await?;
        drop(turn);
        if queued {
            self.drive_queued(&run_id)?;
        }
        Ok(taken)
    }

    /// Where it goes on, and the thread that it writes. `None`: the request was carried out before.
    fn point_of_failure(
        &self,
        run_id: &str,
        request_id: Option<&str>,
    ) -> Result<Option<Reopened>, HostError> {
        let cannot = |problem| unread(run_id, problem);
        let is_known = |event: &Event| match event {
            Event::RunRetried(e) => request_id.is_some() && e.request_id.as_deref() == request_id,
            _ => false,
        };
        let known = Cell::new(false);
        // The thread that the run may write, by its first event.
        let lease = RefCell::new(None);
        let rows = || {
            self.0.loader.each_row(run_id).inspect(|row| {
                if row.as_ref().is_ok_and(|row| row.events.iter().any(is_known)) {
                    known.set(true);
                }
                if let Ok(row) = row
                    && let Some(Event::RunStarted(started)) = row.events.first()
                {
                    lease.replace(started.lease.and(started.thread_id.clone()));
                }
            })
        };
        let (_, graph) = self.0.loader.rows(run_id).map_err(cannot)?;
        let point = Point::before_failure(graph.clone(), rows).map_err(cannot)?;
        if known.get() {
            return Ok(None);
        }
        let second_run = graph.second_run().unwrap_or_default();
        let thread = lease
            .into_inner()
            .map(|thread_id| (ThreadKey { workflow: graph.name.clone(), thread_id }, second_run));
        match point {
            Ok(point) => {
                self.is_nobodys_child(run_id)?;
                Ok(Some((point, thread)))
            }
            Err(source @ NotRetried::NotFailed) => {
                let row = self.0.store.reader().run(run_id)?;
                let problem = row.map_or_else(
                    || source.to_string(),
                    |row| format!("it is {}; only a failed run is retried", row.status.name()),
                );
                Err(HostError::NotFailed { run_id: run_id.to_owned(), problem })
            }
            Err(source) => Err(HostError::NotRetried { run_id: run_id.to_owned(), source }),
        }
    }

    /// A child run's failure has become its parent's: what it did from now on would reach nobody.
    fn is_nobodys_child(&self, run_id: &str) -> Result<(), HostError> {
        let reader = self.0.store.reader();
        let parent = reader.links(run_id)?.from.filter(|link| link.kind == LinkKind::Child);
        let Some(parent) = parent.map(|link| link.run_id) else { return Ok(()) };
        match reader.run(&parent)? {
            Some(_) => Err(HostError::ChildOf { run_id: run_id.to_owned(), parent }),
            None => Ok(()),
        }
    }
}

/// Where a failed run goes on; the thread that it writes, and what its workflow says of a second run.
type Reopened = (Point, Option<(ThreadKey, SecondRun)>);

fn edit((path, value): (String, serde_json::Value)) -> Result<Edit, HostError> {
    let parsed = path.parse().map_err(|problem: NotAnEditPath| {
        HostError::Fork(ForkError::Edit { path, problem: problem.to_string() })
    })?;
    Ok(Edit { path: parsed, value })
}

/// The texts that a run pins, as far as they were kept.
fn pinned(pins: &Pins) -> Vec<Document> {
    let document = |digest: &str, kind, text: &Option<String>| {
        text.as_ref().map(|text| Document {
            digest: digest.to_owned(),
            kind,
            bytes: text.clone().into_bytes(),
        })
    };
    let source = document(&pins.workflow.source, DocumentKind::Source, &pins.source);
    let graph = document(&pins.workflow.graph, DocumentKind::Graph, &pins.graph);
    source.into_iter().chain(graph).collect()
}

fn unread(run_id: &str, problem: LoadProblem) -> HostError {
    match problem {
        LoadProblem::NoSuchRun => HostError::NoSuchRun(run_id.to_owned()),
        LoadProblem::Stuck(problem) => HostError::Unreadable { run_id: run_id.to_owned(), problem },
    }
}
