//! Notifications, between the event and whoever is told of it. An endpoint follows the journal by position; in one transaction
//! its place moves on and what it is to be told of is written down here. So a crash between event and delivery loses
//! nothing, and no event is written down twice. Sending is the host's work.
//!
//! No read model: what was delivered is known here only, so a rebuild leaves it as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{SyncSender, sync_channel};

use bandstand_engine::event::Event;
use bandstand_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::append::Refused;
use crate::codec;
use crate::effect_apply::unsigned;
use crate::open_run::load_blob;
use crate::queue::{Job, JobEnd};
use crate::reader::{ReadError, Reader};
use crate::store::Store;

/// Given-up deliveries that are forgotten at a time.
const FORGOTTEN_MAX: i64 = 1_000;

/// Notifications of one endpoint that wait at most.
pub const WAITING_MAX: u32 = 10_000;
/// Given-up notifications of one endpoint that are kept at most.
pub const GIVEN_UP_MAX: u32 = 10_000;

/// Which given-up notifications are to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resent {
    /// Of that id; one for each endpoint that has it.
    Id(String),
    /// All of an endpoint.
    Endpoint(String),
}

/// An event that somebody may be notified of.
#[derive(Clone, Debug, PartialEq)]
pub struct Notable {
    /// Its row's place in the journal.
    pub pos: i64,
    /// The run.
    pub run_id: String,
    /// The workflow's name.
    pub workflow: String,
    /// The run whose attempt this run is, if it is a child.
    pub parent: Option<Parent>,
    /// When.
    pub at: Timestamp,
    /// Which of the run's events it is, from 0.
    pub seq: u64,
    /// What happened, blobs back in their places.
    pub event: Event,
    /// Of an event about a review: its title, and when it expires.
    pub review: Option<(String, Timestamp)>,
}

/// Whose attempt a child run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent run.
    pub run_id: String,
    /// The attempt: `PATH#ATTEMPT`.
    pub path: Option<String>,
}

/// A stretch of the journal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotablePage {
    /// What is notable in it, in commit order.
    pub events: Vec<Notable>,
    /// Everything up to this place was looked at.
    pub up_to: i64,
    /// Whether there is more.
    pub more: bool,
}

/// A notification to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// To whom.
    pub endpoint: String,
    /// The same for one event, however often it is sent.
    pub id: String,
    /// The name of what it tells: `review.opened`.
    pub event: String,
    /// The run; its notifications keep their order.
    pub run_id: String,
    /// What is sent.
    pub body: String,
    /// When the event was.
    pub at: Timestamp,
}

/// A notification that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Their order.
    pub number: i64,
    /// To whom.
    pub endpoint: String,
    /// The same for one event, however often it is sent.
    pub id: String,
    /// What it tells.
    pub event: String,
    /// The run.
    pub run_id: String,
    /// What is sent.
    pub body: String,
    /// When the event was.
    pub created_at: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next; none: it was given up.
    pub next_at: Option<Timestamp>,
    /// When it was sent last.
    pub tried_at: Option<Timestamp>,
    /// Why that was in vain.
    pub problem: Option<String>,
}

/// What became of an attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// It was accepted: forgotten, and counted.
    Delivered,
    /// It was not, and is sent again then.
    Again {
        /// When.
        next_at: Timestamp,
        /// Why.
        problem: String,
    },
    /// It was not, and is not sent again. It stays to be seen.
    GivenUp {
        /// Why.
        problem: String,
    },
}

/// How far an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointState {
    /// Its name.
    pub name: String,
    /// Everything up to this place of the journal is written down.
    pub pos: i64,
    /// Delivered since it is known.
    pub delivered: u64,
    /// The last time.
    pub delivered_at: Option<Timestamp>,
    /// Those that wait.
    pub waiting: u64,
    /// Those that were given up.
    pub failed: u64,
}

/// What is told of an imported run begins after what came with its file.
pub(crate) fn imported(connection: &Connection, run_id: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO imported(run, pos) \
         SELECT r.id, max(j.pos) FROM runs r JOIN journal j ON j.run = r.id WHERE r.run_id = ?1 GROUP BY r.id",
        [run_id],
    )?;
    Ok(())
}

/// Whether a row's text can hold something notable. Names inside of values only cost a closer look.
fn may_be_notable(text: &str) -> bool {
    ["\"review.", "\"run.succeeded\"", "\"run.failed\"", "\"run.cancelled\"", "\"run.killed\""]
        .iter()
        .any(|name| text.contains(name))
}

fn review_of(event: &Event) -> Option<Option<&str>> {
    match event {
        Event::ReviewOpened(event) => Some(Some(&event.review_id)),
        Event::ReviewAnswered(event) => Some(Some(&event.review_id)),
        Event::ReviewDecided(event) => Some(Some(&event.review_id)),
        Event::RunSucceeded(_) | Event::RunFailed(_) | Event::RunCancelled(_) | Event::RunKilled(_) => {
            Some(None)
        }
        _ => None,
    }
}

struct Raw {
    pos: i64,
    run: i64,
    run_id: String,
    workflow: String,
    seq: u64,
    at: Timestamp,
    events: String,
}

impl Reader {
    /// What is notable after that place of the journal, in commit order; at most `limit` rows are looked at. A row that cannot be
    /// read is passed over: its run is called stuck when it is opened, and nobody else has to wait for it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn notable_after(&self, pos: i64, limit: u32) -> Result<NotablePage, ReadError> {
        self.query(|connection| {
            let end: i64 =
                connection.query_row("SELECT ifnull(max(pos), 0) FROM journal", [], |row| row.get(0))?;
            let mut statement = connection.prepare_cached(
                "SELECT j.pos, j.run, r.run_id, r.workflow, j.seq, j.at, j.events FROM journal j \
                 JOIN runs r ON r.id = j.run WHERE j.pos > ?1 ORDER BY j.pos LIMIT ?2",
            )?;
            let mut rows = statement.query(params![pos, limit])?;
            let mut page = NotablePage { events: Vec::new(), up_to: pos, more: false };
            let mut seen = 0;
            while let Some(row) = rows.next()? {
                page.up_to = row.get(0)?;
                seen += 1;
                let text = row.get_ref(6)?.as_str().unwrap_or_default();
                if may_be_notable(text) {
                    let raw = Raw {
                        pos: page.up_to,
                        run: row.get(1)?,
                        run_id: row.get(2)?,
                        workflow: row.get(3)?,
                        seq: unsigned(row.get(4)?),
                        at: Timestamp(row.get(5)?),
                        events: text.to_owned(),
                    };
                    notable(connection, &raw, &mut page.events)?;
                }
            }
            page.more = seen == limit;
            if !page.more {
                // Rows of deleted runs may come after the last one that was seen.
                page.up_to = page.up_to.max(end);
            }
            Ok(page)
        })
    }

    /// How far each endpoint is, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn endpoints(&self) -> Result<Vec<EndpointState>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT e.name, e.pos, e.delivered, e.delivered_at, \
                     (SELECT count(*) FROM deliveries d WHERE d.endpoint = e.name AND d.next_at IS NOT NULL), \
                     (SELECT count(*) FROM deliveries d WHERE d.endpoint = e.name AND d.next_at IS NULL) \
                     FROM endpoints e ORDER BY e.name",
                )?
                .query_map([], |row| {
                    Ok(EndpointState {
                        name: row.get(0)?,
                        pos: row.get(1)?,
                        delivered: unsigned(row.get(2)?),
                        delivered_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                        waiting: unsigned(row.get(4)?),
                        failed: unsigned(row.get(5)?),
                    })
                })?
                .collect()
        })
    }

    /// Notifications of an endpoint whose time has come, oldest time first: of each run only the first one that waits, so that
    /// what is told of a run keeps its order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn due_deliveries(
        &self,
        endpoint: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, ReadError> {
        self.deliveries_where(
            "d.endpoint = ?1 AND d.next_at <= ?2 AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE \
             e.endpoint = d.endpoint AND e.run_id = d.run_id AND e.number < d.number AND e.next_at IS NOT NULL) \
             ORDER BY d.next_at, d.number LIMIT ?3",
            params![endpoint, now.0, limit],
        )
    }

    /// How many notifications of the endpoint wait.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn waiting_deliveries(&self, endpoint: &str) -> Result<u64, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM deliveries WHERE endpoint = ?1 AND next_at IS NOT NULL",
                )?
                .query_row([endpoint], |row| Ok(unsigned(row.get(0)?)))
        })
    }

    /// When the next notification of the endpoint is due.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_delivery_at(&self, endpoint: &str) -> Result<Option<Timestamp>, ReadError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT min(next_at) FROM deliveries WHERE endpoint = ?1 AND next_at IS NOT NULL",
                )?
                .query_row([endpoint], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Timestamp)))
        })
    }

    /// Notifications that are not delivered, in order; those given up if `failed`, else those that wait. `after` is the number of
    /// the last one of the former page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deliveries(
        &self,
        endpoint: &str,
        failed: bool,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, ReadError> {
        let which = if failed { "IS NULL" } else { "IS NOT NULL" };
        self.deliveries_where(
            &format!("d.endpoint = ?1 AND d.number > ?2 AND d.next_at {which} ORDER BY d.number LIMIT ?3"),
            params![endpoint, after, limit],
        )
    }

    /// Notifications that are not delivered, of all endpoints or one, in order: those given up, those that wait, or both.
    /// `after` is the number of the last one of the former page.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn all_deliveries(
        &self,
        endpoint: Option<&str>,
        failed: Option<bool>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Delivery>, ReadError> {
        let which = match failed {
            None => "",
            Some(true) => "AND d.next_at IS NULL ",
            Some(false) => "AND d.next_at IS NOT NULL ",
        };
        self.deliveries_where(
            &format!("(?1 IS NULL OR d.endpoint = ?1) AND d.number > ?2 {which}ORDER BY d.number LIMIT ?3"),
            params![endpoint, after, limit],
        )
    }

    fn deliveries_where(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Delivery>, ReadError> {
        let sql = format!(
            "SELECT d.number, d.endpoint, d.id, d.event, d.run_id, d.body, d.created_at, d.attempts, d.next_at, \
             d.tried_at, d.problem FROM deliveries d WHERE {condition}"
        );
        self.query(|connection| connection.prepare_cached(&sql)?.query_map(parameters, delivery)?.collect())
    }
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        number: row.get(0)?,
        endpoint: row.get(1)?,
        id: row.get(2)?,
        event: row.get(3)?,
        run_id: row.get(4)?,
        body: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
        attempts: row.get(7)?,
        next_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        tried_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        problem: row.get(10)?,
    })
}

/// Adds what is notable in a row.
fn notable(connection: &Connection, row: &Raw, found: &mut Vec<Notable>) -> rusqlite::Result<()> {
    let imported: Option<i64> = connection
        .prepare_cached("SELECT pos FROM imported WHERE run = ?1")?
        .query_row([row.run], |found| found.get(0))
        .optional()?;
    if imported.is_some_and(|up_to| row.pos <= up_to) {
        return Ok(());
    }
    let events = match codec::decode(&row.events, |digest| load_blob(connection, digest)) {
        Ok(events) => events,
        Err(_) => {
            tracing::warn!(
                run_id = row.run_id,
                seq = row.seq,
                "a row of the journal does not read; nobody is notified of it"
            );
            return Ok(());
        }
    };
    let mut parent = None;
    for (seq, event) in (row.seq..).zip(events) {
        let Some(review_id) = review_of(&event) else { continue };
        let review = match review_id {
            Some(review_id) => connection
                .prepare_cached("SELECT title, deadline FROM reviews WHERE review_id = ?1")?
                .query_row([review_id], |review| Ok((review.get(0)?, Timestamp(review.get(1)?))))
                .optional()?,
            None => None,
        };
        if parent.is_none() {
            let link: Option<Parent> = connection
                .prepare_cached("SELECT from_run, path FROM run_links WHERE run = ?1 AND kind = 'child'")?
                .query_row([row.run], |link| Ok(Parent { run_id: link.get(0)?, path: link.get(1)? }))
                .optional()?;
            parent = Some(link);
        }
        found.push(Notable {
            pos: row.pos,
            run_id: row.run_id.clone(),
            workflow: row.workflow.clone(),
            parent: parent.clone().flatten(),
            at: row.at,
            seq,
            event,
            review,
        });
    }
    Ok(())
}

impl Store {
    /// Makes an endpoint known; a new one begins at the journal's end. Where each known one is.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn begin_endpoints(&self, names: Vec<String>) -> Result<BTreeMap<String, i64>, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Begin { names, known: BTreeMap::new(), sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }

    /// Writes notifications down and moves these endpoints on, at once. One that is written down already stays as it is. Of
    /// an endpoint of which more than [`WAITING_MAX`] wait then, the oldest are given up; how many. Of those given up only
    /// the newest [`GIVEN_UP_MAX`] are kept. Durable when this returns.
    ///
    /// # Errors
    /// When the store does not take it now: the endpoints are where they were.
    pub fn plan_deliveries(
        &self,
        deliveries: Vec<NewDelivery>,
        places: Vec<(String, i64)>,
    ) -> Result<u64, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Plan { deliveries, places, given_up: 0, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }

    /// Writes down what became of an attempt to deliver. Durable when this returns.
    ///
    /// # Errors
    /// When the store does not take it now: the notification will be sent again.
    pub fn end_delivery(&self, number: i64, at: Timestamp, end: DeliveryEnd) -> Result<(), Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(End { number, at, end, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }

    /// Notifications that were given up wait again, with all their attempts; how many. Durable when this returns.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn resend_deliveries(&self, which: Resent, at: Timestamp) -> Result<u64, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Resend { which, at, resent: 0, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }

    /// Forgets notifications that were given up before that time, of one endpoint or of all; at most a thousand, and how many.
    ///
    /// # Errors
    /// When the store does not take it now.
    pub fn forget_failed_deliveries(
        &self,
        endpoint: Option<String>,
        before: Timestamp,
    ) -> Result<u64, Refused> {
        let (sender, receiver) = sync_channel(1);
        self.push_job(Box::new(Forget { endpoint, before, forgotten: 0, sender }))?;
        receiver.recv().map_err(|_| Refused::Stopped)
    }
}

struct Begin {
    names: Vec<String>,
    known: BTreeMap<String, i64>,
    sender: SyncSender<BTreeMap<String, i64>>,
}

impl Job for Begin {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.known.clear();
        for name in &self.names {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO endpoints(name, pos, delivered) \
                     SELECT ?1, ifnull(max(pos), 0), 0 FROM journal",
                )?
                .execute([name])?;
            let pos = connection
                .prepare_cached("SELECT pos FROM endpoints WHERE name = ?1")?
                .query_row([name], |row| row.get(0))?;
            self.known.insert(name.clone(), pos);
        }
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        self.sender.send(self.known).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}

struct Plan {
    deliveries: Vec<NewDelivery>,
    places: Vec<(String, i64)>,
    given_up: u64,
    sender: SyncSender<u64>,
}

impl Job for Plan {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        self.given_up = 0;
        for new in &self.deliveries {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO deliveries(endpoint, id, event, run_id, body, created_at, attempts, next_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?6)",
                )?
                .execute(params![new.endpoint, new.id, new.event, new.run_id, new.body, new.at.0])?;
        }
        for (name, pos) in &self.places {
            connection
                .prepare_cached("UPDATE endpoints SET pos = ?2 WHERE name = ?1 AND pos < ?2")?
                .execute(params![name, pos])?;
        }
        // The store has no clock: it is given up when what did not fit any more happened.
        let at = self.deliveries.iter().map(|new| new.at.0).max().unwrap_or(0);
        let endpoints: BTreeSet<&str> = self.deliveries.iter().map(|new| new.endpoint.as_str()).collect();
        for endpoint in endpoints {
            self.given_up += bound(connection, endpoint, at)?;
        }
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        self.sender.send(self.given_up).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256 + self.deliveries.iter().map(|new| 256 + new.body.len() as u64).sum::<u64>()
    }
}

/// Gives up the oldest of an endpoint's notifications above the limit, and forgets the oldest given up above theirs.
fn bound(connection: &Connection, endpoint: &str, at: i64) -> rusqlite::Result<u64> {
    let over = |condition: &str, most: u32| -> rusqlite::Result<i64> {
        let sql = format!("SELECT count(*) - ?2 FROM deliveries WHERE endpoint = ?1 AND next_at {condition}");
        connection.prepare_cached(&sql)?.query_row(params![endpoint, most], |row| row.get(0))
    };
    let mut given_up = 0;
    let waiting = over("IS NOT NULL", WAITING_MAX)?;
    if waiting > 0 {
        given_up = connection
            .prepare_cached(
                "UPDATE deliveries SET next_at = NULL, tried_at = ?2, problem = ?3 WHERE number IN (\
                 SELECT number FROM deliveries WHERE endpoint = ?1 AND next_at IS NOT NULL ORDER BY created_at, number LIMIT ?4)",
            )?
            .execute(params![
                endpoint,
                at,
                format!("given up: more than {WAITING_MAX} waited for this endpoint, and this was the oldest"),
                waiting
            ])? as u64;
    }
    let kept = over("IS NULL", GIVEN_UP_MAX)?;
    if kept > 0 {
        connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE number IN (\
                 SELECT number FROM deliveries WHERE endpoint = ?1 AND next_at IS NULL ORDER BY number LIMIT ?2)",
            )?
            .execute(params![endpoint, kept])?;
    }
    Ok(given_up)
}

struct Resend {
    which: Resent,
    at: Timestamp,
    resent: u64,
    sender: SyncSender<u64>,
}

impl Job for Resend {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let (column, value) = match &self.which {
            Resent::Id(id) => ("id", id),
            Resent::Endpoint(endpoint) => ("endpoint", endpoint),
        };
        // Its age counts from now on, else it would be given up again at the first refusal.
        // As many as there is room for, the newest: what is above the limit would be given up at once.
        let waiting: u32 = connection
            .prepare_cached("SELECT count(*) FROM deliveries WHERE endpoint = ?1 AND next_at IS NOT NULL")?
            .query_row([value], |row| row.get(0))?;
        let sql = format!(
            "UPDATE deliveries SET next_at = ?2, created_at = ?2, attempts = 0, problem = NULL WHERE number IN (\
             SELECT number FROM deliveries WHERE next_at IS NULL AND {column} = ?1 ORDER BY number DESC LIMIT ?3)"
        );
        let room = WAITING_MAX.saturating_sub(waiting);
        self.resent = connection.prepare_cached(&sql)?.execute(params![value, self.at.0, room])? as u64;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        self.sender.send(self.resent).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        512
    }
}

struct End {
    number: i64,
    at: Timestamp,
    end: DeliveryEnd,
    sender: SyncSender<()>,
}

impl Job for End {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let (next_at, problem) = match &self.end {
            DeliveryEnd::Delivered => {
                let endpoint: Option<String> = connection
                    .prepare_cached("DELETE FROM deliveries WHERE number = ?1 RETURNING endpoint")?
                    .query_row([self.number], |row| row.get(0))
                    .optional()?;
                if let Some(endpoint) = endpoint {
                    connection
                        .prepare_cached(
                            "UPDATE endpoints SET delivered = delivered + 1, delivered_at = ?2 WHERE name = ?1",
                        )?
                        .execute(params![endpoint, self.at.0])?;
                }
                return Ok(JobEnd::Keep);
            }
            DeliveryEnd::Again { next_at, problem } => (Some(next_at.0), problem),
            DeliveryEnd::GivenUp { problem } => (None, problem),
        };
        connection
            .prepare_cached(
                "UPDATE deliveries SET attempts = attempts + 1, next_at = ?2, tried_at = ?3, problem = ?4 \
                 WHERE number = ?1",
            )?
            .execute(params![self.number, next_at, self.at.0, problem])?;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        self.sender.send(()).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        512
    }
}

struct Forget {
    endpoint: Option<String>,
    before: Timestamp,
    forgotten: u64,
    sender: SyncSender<u64>,
}

impl Job for Forget {
    fn apply(&mut self, connection: &Connection) -> rusqlite::Result<JobEnd> {
        let rows = connection
            .prepare_cached(
                "DELETE FROM deliveries WHERE number IN (SELECT number FROM deliveries WHERE next_at IS NULL \
                 AND tried_at < ?1 AND (?2 IS NULL OR endpoint = ?2) LIMIT ?3)",
            )?
            .execute(params![self.before.0, self.endpoint, FORGOTTEN_MAX])?;
        self.forgotten = rows as u64;
        Ok(JobEnd::Keep)
    }

    fn answer(self: Box<Self>) {
        self.sender.send(self.forgotten).unwrap_or_default();
    }

    fn bytes(&self) -> u64 {
        256
    }
}
