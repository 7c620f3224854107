//! Reaches the runs of a data directory, whoever holds it: as its holder, or through its socket. When the holder
//! leaves, whoever is left takes its place. Or those of a server, which is asked over HTTP and has no other way.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bandstand_store::retention::PASSING_REQUEST;
use bandstand_store::{Lock, Retention};

use super::client::Client;
use super::error::HostError;
use super::holder::Host;
use super::request::{
    AnswerRequest, Drive, ForkRequest, HostOptions, RetryRequest, Settled, SignalRequest, StartRequest,
    SteerRequest, Taken, Watched,
};
use super::tidy::{Deleted, Pruned};
use super::watch::{NO_ROWS, Watch};
use crate::api::{Api, ApiError};

/// How long a holder may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// A way to the runs of a data directory. Clones are the same.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Of a data directory: how to take it. Of a server, none.
    options: Option<HostOptions>,
    way: RwLock<Way>,
    /// One at a time looks for another way.
    reopening: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
enum Way {
    Holder(Host),
    Remote(Client),
    /// A server named by its address.
    Api(Api),
    /// `close` was called.
    Closed,
}

/// Asks the host, wherever it is; again, when it left and another way was found. The arguments are made for each try.
macro_rules! by_either_way {
    ($access:expr, $verb:ident($($argument:expr),*)) => {
        by_either_way!($access, $verb($($argument),*), api => Err(ApiError::NotAsked))
    };
    ($access:expr, $verb:ident($($argument:expr),*), $api:ident => $asked:expr) => {
        loop {
            let done = match $access.way() {
                Way::Holder(host) => host.$verb($($argument),*).await,
                Way::Remote(client) => client.$verb($($argument),*).await,
                #[allow(unused_variables)]
                Way::Api($api) => $asked.map_err(HostError::Api),
                Way::Closed => Err(HostError::Closing),
            };
            if let Some(done) = $access.unless_gone(done).await? {
                return Ok(done);
            }
        }
    };
}

impl Access {
    /// Takes the directory, or reaches whoever holds it. A remote holder is told to drive what the options name.
    ///
    /// # Errors
    /// When neither works, or store or sandbox cannot be opened.
    pub async fn open(options: HostOptions) -> Result<Access, HostError> {
        let way = Way::open(&options).await?;
        let access = Access(Arc::new(Inner {
            options: Some(options),
            way: RwLock::new(way),
            reopening: tokio::sync::Mutex::default(),
        }));
        if let (false, Some(HostOptions { drive: Drive::Only(run_ids), .. })) =
            (access.is_holder(), &access.0.options)
        {
            for run_id in run_ids {
                access.drive(run_id).await?;
            }
        }
        Ok(access)
    }

    /// The runs of a server.
    pub fn at(api: Api) -> Access {
        let (way, reopening) = (RwLock::new(Way::Api(api)), tokio::sync::Mutex::default());
        Access(Arc::new(Inner { options: None, way, reopening }))
    }

    /// Whether this process holds the directory.
    pub fn is_holder(&self) -> bool {
        matches!(self.way(), Way::Holder(_))
    }

    /// Starts a run; it is durable when this returns its id.
    ///
    /// # Errors
    /// When the input does not fit, a plugin cannot be used, or there is no room on the disk.
    pub async fn start_run(&self, mut request: StartRequest) -> Result<String, HostError> {
        if !self.is_holder() {
            // Named, so that a repeated try finds the run that a holder started before it left.
            request.request_id.get_or_insert_with(|| format!("{PASSING_REQUEST}{}", uuid::Uuid::now_v7()));
        }
        by_either_way!(self, start_run(request.clone()))
    }

    /// Makes a run go on.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn drive(&self, run_id: &str) -> Result<(), HostError> {
        // A server makes all its runs go on.
        by_either_way!(self, drive(run_id), api => Ok(()))
    }

    /// Takes a person's answer; durable when this returns. Makes the run go on.
    ///
    /// # Errors
    /// When the run refuses it, or there is no such run.
    pub async fn answer(&self, mut answer: AnswerRequest) -> Result<Taken, HostError> {
        answer.request_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string());
        by_either_way!(self, answer(answer.clone()), api => api.answer(answer.clone()).await)
    }

    /// Takes a signal for a run; durable when this returns. Makes the run go on.
    ///
    /// # Errors
    /// When the run refuses it, or there is no such run.
    pub async fn signal(&self, mut request: SignalRequest) -> Result<Taken, HostError> {
        request.request_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string());
        by_either_way!(self, signal(request.clone()), api => api.signal(request.clone()).await)
    }

    /// Pauses, resumes, cancels or kills a run; durable when this returns.
    ///
    /// # Errors
    /// When it has ended otherwise, or there is no such run.
    pub async fn steer(&self, request: SteerRequest) -> Result<Taken, HostError> {
        by_either_way!(self, steer(request.clone()), api => api.steer(request.clone()).await)
    }

    /// Deletes runs that have ended, and what only they needed. Asked again by itself when a holder left meanwhile: then a
    /// run that it deleted already is told as unknown.
    ///
    /// # Errors
    /// When no host can be reached.
    pub async fn delete_runs(&self, run_ids: Vec<String>) -> Result<Deleted, HostError> {
        by_either_way!(self, delete_runs(run_ids.clone()), api => deleted(&api, &run_ids).await)
    }

    /// Begins a fork; durable when this returns its id.
    ///
    /// # Errors
    /// When there is no such run or point, or the edits do not fit.
    pub async fn fork(&self, mut request: ForkRequest) -> Result<String, HostError> {
        // Nobody asks for it again by this id once it has begun.
        request.request_id.get_or_insert_with(|| format!("{PASSING_REQUEST}{}", uuid::Uuid::now_v7()));
        by_either_way!(self, fork(request.clone()))
    }

    /// Deletes the ended runs that these rules do not keep, and what only they needed.
    ///
    /// # Errors
    /// When the store cannot be read, or no host can be reached.
    pub async fn prune(&self, retention: Retention) -> Result<Pruned, HostError> {
        by_either_way!(self, prune(retention.clone()))
    }

    /// Puts a plugin back in service, by digest: it leaves quarantine, and its faults are forgotten. Durable when this returns.
    ///
    /// # Errors
    /// When no host can be reached, or the storage failed.
    pub async fn release_plugin(&self, digest: &str) -> Result<Taken, HostError> {
        by_either_way!(self, release_plugin(digest), api => api.release_plugin(digest).await)
    }

    /// Has notifications that were given up sent again; how many.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub async fn resend(&self, which: &bandstand_store::Resent) -> Result<u64, HostError> {
        by_either_way!(self, resend(which.clone()))
    }

    /// Forgets what a thread keeps, for good. Asked again by itself when a holder left meanwhile: then a thread that it
    /// forgot already is told as unknown.
    ///
    /// # Errors
    /// When there is no such thread, or a run writes it or waits for it.
    pub async fn forget_thread(&self, workflow: &str, thread_id: &str) -> Result<(), HostError> {
        loop {
            let forgotten = match self.way() {
                Way::Holder(host) => host.forget_thread(workflow.to_owned(), thread_id.to_owned()).await,
                Way::Remote(client) => client.forget_thread(workflow, thread_id).await,
                Way::Api(api) => Ok(api.forget_thread(workflow, thread_id).await?),
                Way::Closed => Err(HostError::Closing),
            };
            if let Some(done) = self.unless_gone(forgotten).await? {
                return Ok(done);
            }
        }
    }

    /// Takes an exported run in; durable when this returns its id. Nobody drives it by that.
    ///
    /// # Errors
    /// When the file is not an export that adds up, or the run is here already.
    pub async fn import(&self, file: &std::path::Path) -> Result<String, HostError> {
        by_either_way!(self, import(file))
    }

    /// Makes a failed run go on; durable when this returns.
    ///
    /// # Errors
    /// When it has not failed, or there is no such run.
    pub async fn retry(&self, mut request: RetryRequest) -> Result<Taken, HostError> {
        request.request_id.get_or_insert_with(|| uuid::Uuid::now_v7().to_string());
        by_either_way!(self, retry(request.clone()), api => api.retry(request.clone()).await)
    }

    /// Follows a run: its journal from that event on, then what happens. It is made to go on, by this process if the
    /// holder leaves.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn watch(&self, run_id: &str, from_seq: u64) -> Result<Watch, HostError> {
        Ok(self.follow(run_id, from_seq).await?.with_access(self.clone()))
    }

    pub(super) async fn follow(&self, run_id: &str, from_seq: u64) -> Result<Watch, HostError> {
        by_either_way!(self, watch(run_id, from_seq), api => Ok(Watch::api(api, run_id.into(), from_seq)))
    }

    /// Waits until a run has ended or only people can move it.
    ///
    /// # Errors
    /// When there is no such run, or its journal cannot be read.
    pub async fn until_settled(&self, run_id: &str) -> Result<Settled, HostError> {
        let mut watch = self.watch(run_id, NO_ROWS).await?;
        loop {
            if let Watched::Settled(settled) = watch.next().await? {
                return Ok(settled);
            }
        }
    }

    /// Ends in order. A holder stops its calls and leaves one file; others take its place.
    ///
    /// # Errors
    /// When the directory cannot be left in order; the next start sees to it.
    pub async fn close(self) -> Result<(), HostError> {
        let way =
            std::mem::replace(&mut *self.0.way.write().unwrap_or_else(PoisonError::into_inner), Way::Closed);
        match way {
            Way::Holder(host) => host.close().await,
            Way::Remote(_) | Way::Api(_) | Way::Closed => Ok(()),
        }
    }

    /// Finds another way after the holder left.
    pub(super) async fn reopen(&self) -> Result<(), HostError> {
        let _turn = self.0.reopening.lock().await;
        match self.way() {
            Way::Closed => return Err(HostError::Closing),
            Way::Holder(_) | Way::Api(_) => return Ok(()),
            Way::Remote(_) => {}
        }
        let Some(options) = &self.0.options else { return Err(HostError::HolderLeft) };
        let way = Way::open(options).await?;
        *self.0.way.write().unwrap_or_else(PoisonError::into_inner) = way;
        Ok(())
    }

    /// `None`: the holder left, and another way was found.
    async fn unless_gone<T>(&self, result: Result<T, HostError>) -> Result<Option<T>, HostError> {
        match result {
            Err(error) if error.is_gone() && matches!(self.way(), Way::Remote(_)) => {
                self.reopen().await?;
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn way(&self) -> Way {
        self.0.way.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Deletes runs of a server; what else that made room for is the server's to know.
async fn deleted(api: &Api, run_ids: &[String]) -> Result<Deleted, ApiError> {
    Ok(Deleted { runs: api.delete_runs(run_ids).await?, ..Deleted::default() })
}

impl Way {
    async fn open(options: &HostOptions) -> Result<Way, HostError> {
        let begun = Instant::now();
        loop {
            let in_use = match Host::open(options.clone()).await {
                Ok(host) => return Ok(Way::Holder(host)),
                Err(error @ HostError::InUse { .. }) => error,
                Err(error) => return Err(error),
            };
            if let Some(client) = Client::connect(&options.data_dir).await {
                return Ok(Way::Remote(client));
            }
            // It has only just begun, or is about to end.
            if begun.elapsed() >= PATIENCE {
                // Who it is may have changed since the lock was tried.
                return match Lock::holder(&options.data_dir) {
                    Ok(Some(holder)) => {
                        Err(HostError::InUse { directory: options.data_dir.clone(), pid: Some(holder.pid) })
                    }
                    _ => Err(in_use),
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
