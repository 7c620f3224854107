//! Follows one run: its journal from some event on, then what happens, then that it has settled.
//!
//! Rows come without gaps and once each; whoever is too slow for the news reads the store. Log lines may be missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bandstand_driver::{RunId, Standing};
use bandstand_store::Reader;
use tokio::sync::broadcast::error::RecvError;

use super::access::Access;
use super::client::Replies;
use super::error::HostError;
use super::request::{Published, Settled, Watched};
use super::wire::Reply;
use crate::api::{Api, Followed};
use crate::driver::{Hub, Signal, Subscription, Wanted};

/// Rows read from the store at a time.
const PAGE_ROWS: u32 = 200;
/// When nobody has the thread that a run waits for, how soon that is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// From here on no row is wanted, only what the run comes to.
pub(super) const NO_ROWS: u64 = u64::MAX;

/// Follows one run.
#[derive(Debug)]
pub struct Watch {
    run_id: RunId,
    next_seq: u64,
    source: Source,
    /// Told last, and nothing was published since.
    settled: Option<Settled>,
    /// Takes over when the holder leaves.
    access: Option<Access>,
}

#[derive(Debug)]
enum Source {
    Local(Box<Local>),
    Remote(Replies),
    Api(Followed),
}

#[derive(Debug)]
struct Local {
    subscription: Subscription,
    reader: Reader,
    /// Read from the store and not told yet.
    rows: VecDeque<Published>,
    /// The store has rows that were not read.
    behind: bool,
    hub: Arc<Hub>,
    /// The run waits for its thread.
    queued: bool,
    /// While it does: the run that has the thread.
    ahead: Option<Ahead>,
}

/// The run that a queued one waits for.
#[derive(Debug)]
struct Ahead {
    run_id: RunId,
    subscription: Subscription,
}

impl Watch {
    pub(super) fn local(
        run_id: RunId,
        from_seq: u64,
        subscription: Subscription,
        reader: Reader,
        hub: Arc<Hub>,
    ) -> Watch {
        let (rows, behind) = (VecDeque::new(), from_seq != NO_ROWS);
        let local = Local { subscription, reader, rows, behind, hub, queued: false, ahead: None };
        Watch {
            run_id,
            next_seq: from_seq,
            source: Source::Local(Box::new(local)),
            settled: None,
            access: None,
        }
    }

    pub(super) fn remote(run_id: RunId, from_seq: u64, replies: Replies) -> Watch {
        Watch { run_id, next_seq: from_seq, source: Source::Remote(replies), settled: None, access: None }
    }

    pub(super) fn api(api: Api, run_id: RunId, from_seq: u64) -> Watch {
        let source = Source::Api(Followed::new(api, &run_id, from_seq));
        Watch { run_id, next_seq: from_seq, source, settled: None, access: None }
    }

    pub(super) fn with_access(mut self, access: Access) -> Watch {
        self.access = Some(access);
        self
    }

    /// Events before this one were told.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// What happens next. After [`Watched::Settled`] it waits until the run goes on. Nothing is lost when the future is
    /// dropped and `next` called again.
    ///
    /// # Errors
    /// When the store cannot be read, or the holder left and nobody could take its place.
    pub async fn next(&mut self) -> Result<Watched, HostError> {
        loop {
            let watched = match &mut self.source {
                Source::Local(local) => local.next(&self.run_id, self.next_seq).await,
                Source::Remote(replies) => remote_next(replies).await,
                Source::Api(followed) => followed.next().await.map_err(HostError::Api),
            };
            let watched = match watched {
                Err(error) if error.is_gone() => {
                    self.take_over(error).await?;
                    continue;
                }
                watched => watched?,
            };
            match &watched {
                Watched::Published(row) => {
                    let after = row.seq + row.events.len() as u64;
                    if after <= self.next_seq {
                        continue;
                    }
                    self.next_seq = after;
                    self.settled = None;
                }
                Watched::Live(_) => {}
                Watched::Settled(settled) if self.settled.as_ref() == Some(settled) => continue,
                Watched::Settled(settled) => self.settled = Some(settled.clone()),
            }
            return Ok(watched);
        }
    }

    /// The holder left: whoever watches carries on, as holder or with the next one.
    async fn take_over(&mut self, error: HostError) -> Result<(), HostError> {
        let Some(access) = &self.access else { return Err(error) };
        access.reopen().await?;
        self.source = access.follow(&self.run_id, self.next_seq).await?.source;
        Ok(())
    }
}

impl Local {
    async fn next(&mut self, run_id: &RunId, next_seq: u64) -> Result<Watched, HostError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Watched::Published(row));
            }
            if self.behind {
                let (reader, of) = (self.reader.clone(), run_id.clone());
                let read = tokio::task::spawn_blocking(move || reader.history(&of, next_seq, PAGE_ROWS));
                let page = read.await.map_err(|_| HostError::Closing)??;
                self.behind = !page.rows.is_empty();
                self.rows.extend(page.rows.into_iter().map(|row| Published {
                    run_id: row.run_id,
                    seq: row.seq,
                    at: row.at,
                    events: Arc::new(row.events),
                }));
                continue;
            }
            if let Some(standing) = self.subscription.standing.take() {
                self.queued = standing == Standing::Queued;
                self.ahead = None;
                if let Some(settled) = settled(&standing) {
                    return Ok(Watched::Settled(settled));
                }
            }
            if self.queued
                && let Some(settled) = self.look_ahead(run_id)?
            {
                return Ok(Watched::Settled(settled));
            }
            let news = tokio::select! {
                news = self.subscription.news.recv() => news,
                _ = next_of(&mut self.ahead) => continue,
                // Nobody has the thread at this moment.
                () = tokio::time::sleep(LOOK_AGAIN), if self.queued && self.ahead.is_none() => continue,
            };
            match news {
                // News were missed: the store has them, this row included.
                Ok(Signal::Row(row)) if row.seq > next_seq => self.behind = true,
                Ok(Signal::Row(row)) => return Ok(Watched::Published(row)),
                Ok(Signal::Live(live)) => return Ok(Watched::Live(live)),
                Ok(Signal::Stands(standing)) => {
                    // What was published before it is told before it.
                    self.subscription.standing = Some(standing);
                }
                Err(RecvError::Lagged(_)) => self.behind = next_seq != NO_ROWS,
                Err(RecvError::Closed) => return Err(HostError::Closing),
            }
        }
    }
}

/// How the run stands that has the thread, once that is news.
async fn next_of(ahead: &mut Option<Ahead>) {
    let Some(ahead) = ahead else { return std::future::pending().await };
    match ahead.subscription.news.recv().await {
        Ok(Signal::Stands(standing)) => ahead.subscription.standing = Some(standing),
        Ok(_) | Err(RecvError::Lagged(_)) => {}
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

impl Local {
    /// Whether only a person can move the run that a queued one waits for.
    fn look_ahead(&mut self, run_id: &RunId) -> Result<Option<Settled>, HostError> {
        if self.ahead.is_none() {
            let Some((key, false)) = self.reader.thread_of(run_id)? else { return Ok(None) };
            let holder: Option<RunId> =
                self.reader.thread_runs(&key)?.holder.map(|holder| holder.run_id.as_str().into());
            self.ahead = holder.map(|run_id| {
                let subscription = self.hub.subscribe(&run_id, Wanted::Standing);
                Ahead { run_id, subscription }
            });
        }
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let Some(standing) = ahead.subscription.standing.take() else { return Ok(None) };
        Ok(match settled(&standing) {
            None => None,
            Some(Settled::Ended(_)) => {
                self.ahead = None;
                None
            }
            // A person has to see to it.
            Some(_) => Some(Settled::QueuedBehind { run_id: ahead.run_id.to_string() }),
        })
    }
}

async fn remote_next(replies: &mut Replies) -> Result<Watched, HostError> {
    match replies.next().await? {
        Reply::Published(row) => Ok(Watched::Published(row)),
        Reply::Live(live) => Ok(Watched::Live(live)),
        Reply::Settled(settled) => Ok(Watched::Settled(settled)),
        other => Err(HostError::Garbled(format!("{other:?} while a run is followed"))),
    }
}

/// Whether a run that stands so goes on by itself.
fn settled(standing: &Standing) -> Option<Settled> {
    match standing {
        Standing::Running | Standing::Sleeping(_) | Standing::Queued => None,
        Standing::People { reviews } => Some(Settled::WaitingForPeople { reviews: reviews.clone() }),
        Standing::Paused => Some(Settled::Paused),
        Standing::Ended(status) => Some(Settled::Ended(*status)),
        Standing::Stuck(problem) => Some(Settled::Stuck(problem.clone())),
    }
}
