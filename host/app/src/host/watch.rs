//! Follows one run: its journal from some event on, then what happens, then that it has settled.
//!
//! Rows come without gaps and once each; whoever is too slow for the news reads the store. Log lines may be missing.

use std::collections::VecDeque;
use std::sync::Arc;

use bandstand_driver::{RunId, Standing};
use bandstand_store::Reader;
use tokio::sync::broadcast::error::RecvError;

use super::access::Access;
use super::client::Replies;
use super::error::HostError;
use super::request::{Published, Settled, Watched};
use super::wire::Reply;
use crate::driver::{Signal, Subscription};

/// Rows read from the store at a time.
const PAGE_ROWS: u32 = 200;
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
}

#[derive(Debug)]
struct Local {
    subscription: Subscription,
    reader: Reader,
    /// Read from the store and not told yet.
    rows: VecDeque<Published>,
    /// The store has rows that were not read.
    behind: bool,
}

impl Watch {
    pub(super) fn local(run_id: RunId, from_seq: u64, subscription: Subscription, reader: Reader) -> Watch {
        let local = Local { subscription, reader, rows: VecDeque::new(), behind: from_seq != NO_ROWS };
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
            if let Some(settled) = self.subscription.standing.take().as_ref().and_then(settled) {
                return Ok(Watched::Settled(settled));
            }
            match self.subscription.news.recv().await {
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
        Standing::Running | Standing::Sleeping(_) => None,
        Standing::People { reviews } => Some(Settled::WaitingForPeople { reviews: reviews.clone() }),
        Standing::Paused => Some(Settled::Paused),
        Standing::Ended(status) => Some(Settled::Ended(*status)),
        Standing::Stuck(problem) => Some(Settled::Stuck(problem.clone())),
    }
}
