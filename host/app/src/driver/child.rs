//! Child runs: what the core wants to be there is looked up in the store, and made ready to begin if it is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bandstand_driver::{LoadProblem, Message, NewChild, RunId};
use bandstand_engine::failure::{Class, Failure};
use bandstand_engine::run::NewRun;
use bandstand_engine::{Graph, Id, Run, Start};
use bandstand_store::{Document, Store};

use super::clock::now;
use super::load::Loader;

/// Child workflows whose texts and digests are kept at hand.
const KNOWN_MAX: usize = 64;

/// Makes child runs ready. Blocks.
pub(super) struct Children {
    store: Arc<Store>,
    loader: Arc<Loader>,
    /// Texts that a new run pins, kept with its first row.
    documents: Arc<Mutex<HashMap<RunId, Vec<Document>>>>,
    /// What a workflow of a parent's graph pins.
    known: Mutex<HashMap<(String, Id), Known>>,
}

#[derive(Clone)]
struct Known {
    graph: Arc<Graph>,
    documents: Vec<Document>,
}

impl Children {
    /// For runs of that store.
    pub(super) fn new(
        store: Arc<Store>,
        loader: Arc<Loader>,
        documents: Arc<Mutex<HashMap<RunId, Vec<Document>>>>,
    ) -> Children {
        Children { store, loader, documents, known: Mutex::default() }
    }

    /// What the core is told of a child run that `parent` wants to be there.
    pub(super) fn message(&self, parent: RunId, new: NewChild) -> Message {
        let run_id: RunId = new.child.run_id.as_str().into();
        match self.store.reader().run(&run_id) {
            Ok(Some(_)) => return Message::Drive { run_id },
            Ok(None) => {}
            Err(error) => {
                let problem = LoadProblem::Stuck(format!("whether it has begun cannot be read: {error}"));
                return Message::LoadFailed { run_id, problem };
            }
        }
        let Known { graph, documents } = self.known(&new);
        let [source, pinned] = documents.as_slice() else {
            unreachable!("a workflow pins its text and its graph")
        };
        let at = now();
        let id = new.child.id.clone();
        let start = Start::new(
            &graph,
            NewRun {
                source_digest: source.digest.clone(),
                graph_digest: pinned.digest.clone(),
                plugins: new.pins.plugins,
                children: new.pins.children,
                host_version: env!("CARGO_PKG_VERSION").to_owned(),
                seed: new.child.seed,
                thread_id: new.thread_id,
                user_id: new.user_id,
                starters: new.starters,
                parent: Some(new.parent),
                ..NewRun::new(new.child.run_id, (*new.child.input).clone())
            },
            at,
        );
        match start {
            Ok(start) => {
                let (run, decision) = Run::start(graph, start, at);
                self.documents.lock().unwrap_or_else(PoisonError::into_inner).insert(run_id, documents);
                Message::RunStarted { run: Box::new(run), decision, at, request: None }
            }
            Err(error) => {
                let failure = Failure::permanent(Class::Workflow, "child-refused", error.to_string());
                Message::ChildRefused { run_id: parent, id, failure }
            }
        }
    }

    fn known(&self, new: &NewChild) -> Known {
        let key = (new.parent_graph.clone(), new.child.workflow.clone());
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let documents = crate::host::documents(&new.definition.graph, new.definition.source.to_string());
        let graph = self.loader.share(&documents[1].digest, &new.definition.graph);
        let known = Known { graph, documents };
        let mut all = lock();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(key, known.clone());
        known
    }
}
