//! Notifications (R2.8): whoever the operator names is told, by signed webhooks, when a review opens, is answered or expires, and
//! when a run ends.
//!
//! A notifier follows the journal by position. What an endpoint is to be told of becomes a row of the store, in the transaction that moves the
//! endpoint's place on; then it is sent until it is accepted or given up. So nothing is lost between event and delivery; a
//! delivery may come twice (the host died before it knew that it was accepted), with the same id. Only a host that drives all
//! runs notifies: what others leave, it finds in the journal.
//!
//! Here: who is told of what ([`Endpoint`]), the task that does it. What is sent: `message`. How: `send`.

mod endpoint;
mod message;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bandstand_engine::Timestamp;
use bandstand_store::{Delivery, DeliveryEnd, Resent, Store};
use tokio::task::JoinSet;

pub use endpoint::{Endpoint, EventKind, Persistence};
use send::{Sender, Sent};

use super::error::HostError;
use super::holder::{Host, Inner};
use super::signature::SigningKey;
use crate::driver::now;

/// How often it is looked whether something was committed or is due. Neither look reads the file when nothing was.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a look in vain: the store is behind, or cannot be read.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows of the journal that are looked at in one read.
const PAGE_ROWS: u32 = 1_000;
/// An endpoint's place is written down after so many rows at least, though there was nothing to tell.
const ROWS_UNWRITTEN_MAX: i64 = 10_000;
/// How long given-up deliveries are shown. Milliseconds.
const FAILED_KEPT_MS: u64 = 30 * 24 * 3_600_000;
/// How often older ones are looked for. Milliseconds.
const FORGET_EVERY_MS: u64 = 3_600_000;

/// Whom to tell, and whom to trust doing so.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    /// Those who are told.
    pub endpoints: Vec<Endpoint>,
    /// Files with certificates of authorities beside the usual ones.
    pub authorities: Vec<PathBuf>,
}

impl Notify {
    /// Sends an endpoint something that never happened, once.
    ///
    /// # Errors
    /// When there is no such endpoint, or it did not accept: why.
    pub async fn test(&self, name: &str) -> Result<(), String> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.name == name);
        let endpoint = endpoint.ok_or_else(|| format!("there is no [notify.{name}]"))?;
        let sender = Sender::new(&self.authorities)?;
        let key = endpoint.key()?;
        let at = now();
        let (id, body) = message::test(endpoint, at);
        match sender.send(endpoint, &key, (&id, &body), at).await {
            Sent::Accepted => Ok(()),
            Sent::Again { problem, .. } | Sent::Refused { problem } => Err(problem),
        }
    }
}

/// Begins to notify; nothing happens without endpoints. Ends with the host.
pub(super) async fn begin(host: &Arc<Inner>, notify: Notify) -> Result<(), HostError> {
    if notify.endpoints.is_empty() {
        return Ok(());
    }
    let sender = Sender::new(&notify.authorities).map_err(HostError::Outgoing)?;
    let names = notify.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let store = host.store.clone();
    // Before any run goes on: what happens from now on is told of.
    let places = tokio::task::spawn_blocking(move || store.begin_endpoints(names))
        .await
        .map_err(|_| HostError::Closing)?
        .map_err(|_| HostError::Closing)?;
    let lines: Vec<Line> = notify.endpoints.into_iter().map(Line::new).collect();
    let follower = Follower {
        endpoints: lines.iter().map(|line| line.endpoint.clone()).collect(),
        written: places.clone(),
        places,
    };
    tokio::spawn(work(Arc::downgrade(host), sender, follower, lines));
    Ok(())
}

impl Host {
    /// Has notifications that were given up sent again; how many. Durable when this returns. A host that notifies nobody
    /// leaves them to the next one that does.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub async fn resend(&self, which: Resent) -> Result<u64, HostError> {
        let store = self.0.store.clone();
        let resent = tokio::task::spawn_blocking(move || store.resend_deliveries(which, now()))
            .await
            .map_err(|_| HostError::Closing)?
            .map_err(|refused| HostError::Storage(refused.to_string()))?;
        self.0.resends.fetch_add(1, Ordering::Release);
        Ok(resent)
    }
}

/// Follows the journal for all endpoints.
#[derive(Clone, Debug)]
struct Follower {
    endpoints: Vec<Arc<Endpoint>>,
    /// Where each is.
    places: BTreeMap<String, i64>,
    /// Where each is in the file.
    written: BTreeMap<String, i64>,
}

impl Follower {
    /// Writes down what is to be told of, up to the journal's end. Whether there was anything. Blocks.
    fn follow(&mut self, store: &Store) -> Result<bool, HostError> {
        // Nobody is left behind, however much waits: retention deletes runs, and what is not written down goes with them.
        let open = self.endpoints.clone();
        let mut planned = false;
        let place = |places: &BTreeMap<String, i64>, name: &str| places.get(name).copied().unwrap_or(0);
        while let Some(from) = open.iter().map(|endpoint| place(&self.places, &endpoint.name)).min() {
            let page = store.reader().notable_after(from, PAGE_ROWS)?;
            let mut deliveries = Vec::new();
            for row in page.events.chunk_by(|a, b| a.pos == b.pos) {
                for found in row {
                    let Some(kind) = message::kind(found) else { continue };
                    for endpoint in &open {
                        let new = found.pos > place(&self.places, &endpoint.name);
                        if new && endpoint.wants(kind, &found.workflow) {
                            deliveries.push(message::delivery(endpoint, kind, found, row, store.reader()));
                        }
                    }
                }
            }
            for endpoint in &open {
                let at = self.places.entry(endpoint.name.clone()).or_insert(0);
                *at = (*at).max(page.up_to);
            }
            let behind = open.iter().any(|endpoint| {
                place(&self.places, &endpoint.name) - place(&self.written, &endpoint.name)
                    >= ROWS_UNWRITTEN_MAX
            });
            if behind || !deliveries.is_empty() {
                planned |= !deliveries.is_empty();
                let places: Vec<(String, i64)> = open
                    .iter()
                    .map(|endpoint| (endpoint.name.clone(), place(&self.places, &endpoint.name)))
                    .collect();
                match store.plan_deliveries(deliveries, places.clone()) {
                    Ok(0) => {}
                    Ok(given_up) => {
                        tracing::warn!(
                            given_up,
                            "too much waits for an endpoint: the oldest is given up (bandstand notify list)"
                        );
                    }
                    Err(refused) => {
                        // Nothing of it is in the file: all is read again.
                        self.places.clone_from(&self.written);
                        return Err(HostError::Storage(refused.to_string()));
                    }
                }
                self.written.extend(places);
            }
            if !page.more || planned {
                // Sending begins before the next look.
                break;
            }
        }
        Ok(planned)
    }

    /// Whether it may be that not everything was looked at.
    fn is_behind(&self, end: i64) -> bool {
        self.places.values().any(|place| *place < end)
    }
}

/// What is under way to one endpoint.
struct Line {
    endpoint: Arc<Endpoint>,
    key: Result<SigningKey, String>,
    under_way: BTreeSet<i64>,
    /// When to look what is due; none: nothing waits.
    look_at: Option<Timestamp>,
}

impl Line {
    fn new(endpoint: Endpoint) -> Line {
        let key = endpoint.key();
        if let Err(problem) = &key {
            tracing::warn!(endpoint = endpoint.name, %problem, "an endpoint has no secret; what it is to be told of waits for a host that has");
        }
        Line { endpoint: Arc::new(endpoint), key, under_way: BTreeSet::new(), look_at: Some(Timestamp(0)) }
    }
}

/// What an attempt to deliver came to, written down.
struct Ended {
    line: usize,
    number: i64,
}

async fn work(host: Weak<Inner>, sender: Sender, mut follower: Follower, mut lines: Vec<Line>) {
    let mut sending: JoinSet<Ended> = JoinSet::new();
    let mut commits = None;
    let mut forgotten_at = None;
    let mut resends = 0;
    loop {
        tokio::select! {
            Some(ended) = sending.join_next(), if !sending.is_empty() => {
                // A task that panicked leaves its number: it is not sent again by this host.
                if let Ok(ended) = ended && let Some(line) = lines.get_mut(ended.line) {
                    line.under_way.remove(&ended.number);
                    line.look_at = Some(Timestamp(0));
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // Asleep, it keeps nothing of a host that was closed.
        let Some(inner) = host.upgrade().filter(|inner| inner.is_held()) else { return };
        let store = inner.store.clone();
        let wanted = inner.resends.load(Ordering::Acquire);
        drop(inner);
        if wanted != resends {
            resends = wanted;
            lines.iter_mut().for_each(|line| line.look_at = Some(Timestamp(0)));
        }
        let seen = store.stats().commits;
        if commits != Some(seen) {
            match follow(&store, follower).await {
                Ok((told, Ok(planned))) => {
                    follower = told;
                    let behind = store.reader().journal_end().is_ok_and(|end| follower.is_behind(end));
                    commits = (!behind).then_some(seen);
                    if planned {
                        lines.iter_mut().for_each(|line| line.look_at = Some(Timestamp(0)));
                    }
                }
                Ok((told, Err(error))) => {
                    follower = told;
                    if !error.is_gone() {
                        tracing::warn!(%error, "the journal cannot be followed to notify anybody; next try in a second");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(()) => {
                    tracing::error!(
                        "following the journal failed; nobody is notified until this host is started again"
                    );
                    return;
                }
            }
        }
        for (index, line) in lines.iter_mut().enumerate() {
            if line.key.is_ok() && line.look_at.is_some_and(|at| at <= now()) {
                look(&store, &sender, (index, line), &mut sending);
            }
        }
        let now = now();
        if forgotten_at.is_none_or(|at: Timestamp| now.since_ms(at) >= FORGET_EVERY_MS) {
            forgotten_at = Some(now);
            let before = Timestamp(now.0.saturating_sub_unsigned(FAILED_KEPT_MS));
            tokio::task::spawn_blocking(move || {
                while store.forget_failed_deliveries(None, before).is_ok_and(|rows| rows > 0) {}
            });
        }
    }
}

async fn follow(
    store: &Arc<Store>,
    mut follower: Follower,
) -> Result<(Follower, Result<bool, HostError>), ()> {
    let store = store.clone();
    let followed = tokio::task::spawn_blocking(move || {
        let planned = follower.follow(&store);
        (follower, planned)
    });
    followed.await.map_err(|_| ())
}

/// Begins to send what is due, as far as there is room.
fn look(
    store: &Arc<Store>,
    sender: &Sender,
    (index, line): (usize, &mut Line),
    sending: &mut JoinSet<Ended>,
) {
    let room = line.endpoint.concurrency.saturating_sub(line.under_way.len());
    let Ok(key) = line.key.clone() else { return };
    if room == 0 {
        // Looked at again when one of them has ended.
        line.look_at = None;
        return;
    }
    // Those under way are due still.
    let limit = u32::try_from(line.under_way.len() + room).unwrap_or(u32::MAX);
    let name = &line.endpoint.name;
    let due = store.reader().due_deliveries(name, now(), limit);
    let due = due.and_then(|due| Ok((due, store.reader().next_delivery_at(name)?)));
    let (due, next) = match due {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(endpoint = name, %error, "what waits cannot be read; next try in a second");
            line.look_at = Some(now().plus_ms(1_000));
            return;
        }
    };
    let due: Vec<Delivery> =
        due.into_iter().filter(|delivery| !line.under_way.contains(&delivery.number)).take(room).collect();
    // While some are due already, the end of one of them is the next time to look, or a second from now.
    line.look_at = next.map(|next| {
        next.max(now().plus_ms(if line.under_way.is_empty() && due.is_empty() { 100 } else { 1_000 }))
    });
    for delivery in due {
        line.under_way.insert(delivery.number);
        let (store, sender, key) = (store.clone(), sender.clone(), key.clone());
        let endpoint = line.endpoint.clone();
        sending.spawn(async move {
            let number = delivery.number;
            deliver(store, sender, key, endpoint, delivery).await;
            Ended { line: index, number }
        });
    }
}

/// Sends one, and writes down what came of it.
async fn deliver(
    store: Arc<Store>,
    sender: Sender,
    key: SigningKey,
    endpoint: Arc<Endpoint>,
    delivery: Delivery,
) {
    let sent = sender.send(&endpoint, &key, (&delivery.id, &delivery.body), now()).await;
    let at = now();
    let attempts = delivery.attempts.saturating_add(1);
    let end = match sent {
        Sent::Accepted => DeliveryEnd::Delivered,
        Sent::Refused { problem } => DeliveryEnd::GivenUp { problem },
        Sent::Again { problem, retry_after_ms } => {
            match endpoint.persistence.next(delivery.created_at, attempts, retry_after_ms, at) {
                Some(next_at) => DeliveryEnd::Again { next_at, problem },
                None => {
                    DeliveryEnd::GivenUp { problem: format!("{problem}; given up after {attempts} attempts") }
                }
            }
        }
    };
    if let DeliveryEnd::GivenUp { problem } = &end {
        let (endpoint, id) = (&endpoint.name, &delivery.id);
        tracing::warn!(endpoint, id, %problem, "a notification was given up; bandstand notify list shows it");
    }
    // Not taken, it is sent again.
    let ended = tokio::task::spawn_blocking(move || store.end_delivery(delivery.number, at, end)).await;
    if !matches!(ended, Ok(Ok(()))) {
        tokio::time::sleep(PAUSE).await;
    }
}
