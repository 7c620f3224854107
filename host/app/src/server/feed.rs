//! Feeds streams: follows the journal of all runs once, writes each event that somebody wants to hear as JSON once, and hands
//! it to those who listen to its run, to its thread or to all runs.
//!
//! Nobody waits for a listener. One that is too slow misses what it is handed and reads the store instead, from where it was
//! ([`Listener`](super::follow::Listener)). Who hears of all runs is handed pages instead
//! ([`AllListener`](super::all::AllListener)). The store is read here only while somebody listens.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use bandstand_store::{HistoryRow, ReadError, Reader, ThreadKey};
use tokio::sync::{broadcast, watch};

use super::pace::{Bandwidth, Pace};
use super::pages::{Page, Pages};
use super::problem::Problem;
use super::reading::Reading;
use crate::driver::Hub;
use crate::host::Live;
use crate::project::catalogue::Change;
use crate::view::{change_name, change_value, event_text, live_value};

/// Pieces that a listener may be behind before it reads the store.
const BEHIND_MAX: usize = 256;
/// A piece that is larger is not handed out: whoever listens reads it from the store, when it has room. Bytes.
const HANDED_BYTES_MAX: usize = 64 << 10;
/// Rows read from the journal at a time. A page that is read again ends at a multiple of it, so that those who are behind come
/// to share pages.
const PAGE_ROWS: u32 = 64;
/// Pages that are read again at once.
const PAGES_AT_ONCE: usize = 8;
/// Between two looks at the journal at least: what comes in between is read at once.
const PAUSE: Duration = Duration::from_millis(5);
/// Threads of runs that are remembered.
const THREADS_KNOWN_MAX: usize = 10_000;
/// Listeners that read the store at once; each needs a thread and a connection for that.
const READING_MAX: usize = 8;

/// What somebody listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// All runs.
    All,
    /// One run.
    Run(String),
    /// The runs of one thread.
    Thread(ThreadKey),
}

/// Something to tell.
#[derive(Clone, Debug)]
pub enum Piece {
    /// An event. Its number is in its run and, for who listens to several runs, in the journal.
    Event {
        /// The run.
        run_id: Arc<str>,
        /// Its number in the run.
        seq: u64,
        /// Where its row stands in the journal, and which of the row it is.
        place: Place,
        /// `run.started`, ...
        kind: &'static str,
        /// The event as JSON.
        json: Bytes,
        /// The run has ended with it.
        ends: bool,
    },
    /// There is something in the store that is too large to be handed out.
    Large,
    /// What an attempt says, or what became of a workflow file; not kept.
    Live {
        /// `live.log`, ..., `workflow.in-service`, ...
        kind: &'static str,
        /// It, as JSON.
        json: Bytes,
    },
}

/// A place in the journal of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The row.
    pub pos: i64,
    /// Which event of it.
    pub index: u32,
}

/// Feeds the streams of one server. Clones are the same.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    reader: Reader,
    topics: Mutex<BTreeMap<Topic, broadcast::Sender<Piece>>>,
    /// Which threads runs belong to, as far as they were looked up.
    threads: Mutex<HashMap<String, Option<ThreadKey>>>,
    /// Somebody has begun to listen.
    begun: watch::Sender<()>,
    /// The journal is followed: whatever becomes durable from now on is handed out. Changed with `topics` locked.
    follows: watch::Sender<bool>,
    /// Whoever hears of all runs can be told the rows up to here.
    written: watch::Sender<i64>,
    pages: Pages,
    /// Whose turn it is to read a page again; several pages share one.
    page_turns: [tokio::sync::Mutex<()>; PAGES_AT_ONCE],
    /// Listeners that there are.
    listeners: AtomicUsize,
    bandwidth: Bandwidth,
    /// Listeners that read the store at once.
    reading: Reading,
    closed: watch::Sender<bool>,
}

impl Feed {
    /// Starts to feed, on this tokio runtime.
    pub fn start(reader: Reader, hub: &Hub) -> Feed {
        let feed = Feed(Arc::new(Shared {
            reading: Reading::new(reader.clone(), READING_MAX),
            reader,
            topics: Mutex::default(),
            threads: Mutex::default(),
            begun: watch::Sender::new(()),
            follows: watch::Sender::new(false),
            written: watch::Sender::new(0),
            pages: Pages::default(),
            page_turns: Default::default(),
            listeners: AtomicUsize::new(0),
            bandwidth: Bandwidth::new(Instant::now()),
            closed: watch::Sender::new(false),
        }));
        tokio::spawn(feed.clone().rows(hub.rows()));
        tokio::spawn(feed.clone().said(hub.said()));
        feed
    }

    /// Ends all streams.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
    }

    /// Whether the streams end, now.
    pub fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    /// Whether the streams end.
    pub fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }

    /// Reads the store for a listener; not too many do at once.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.0.reading.read(read).await
    }

    /// This feed, with one listener more until it is dropped.
    pub(super) fn counted(&self) -> Counted {
        self.0.listeners.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Listeners that there are.
    pub(super) fn listeners(&self) -> usize {
        self.0.listeners.load(Ordering::Relaxed)
    }

    /// How fast one more stream is written.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(&self.0.bandwidth, Instant::now())
    }

    /// Up to which row whoever hears of all runs can be told.
    pub(super) fn written(&self) -> watch::Receiver<i64> {
        self.0.written.subscribe()
    }

    /// The page of the journal with that row, if it is at hand.
    pub(super) fn page_kept(&self, pos: i64) -> Option<Arc<Page>> {
        self.0.pages.with(pos, self.0.reader.deletions())
    }

    /// The page of the journal with that row.
    ///
    /// # Errors
    /// When the store cannot be read, or the server is closing.
    pub(super) async fn page_with(&self, pos: i64) -> Result<Arc<Page>, Problem> {
        let stretch = pos.div_euclid(PAGE_ROWS.into());
        let turn = usize::try_from(stretch).unwrap_or_default() % PAGES_AT_ONCE;
        // Who waits for its turn finds what the one before it wrote.
        let _turn = self.0.page_turns[turn].lock().await;
        if let Some(page) = self.page_kept(pos) {
            return Ok(page);
        }
        let deletions = self.0.reader.deletions();
        let last = ((stretch + 1) * i64::from(PAGE_ROWS) - 1).min(*self.0.written.borrow());
        let page = self.read(move |reader| -> Result<_, ReadError> {
            let mut read = journal_page(reader, None, pos - 1, PAGE_ROWS)?;
            if !read.more || read.next > last {
                // Where rows are missing that were deleted, too, it is known up to there what there is.
                read.next = last;
            }
            read.rows.retain(|row| row.pos <= last);
            Ok(Arc::new(Page::write(pos, &read).0))
        });
        let page = page.await?;
        self.0.pages.keep(&page, deletions);
        Ok(page)
    }

    /// Listens from some moment before this returns on; what was before is in the store.
    ///
    /// # Errors
    /// When the server is closing.
    pub(super) async fn listen(&self, topic: &Topic) -> Result<broadcast::Receiver<Piece>, Problem> {
        let pieces = self.subscribe(topic);
        self.0.begun.send_replace(());
        let (mut follows, mut closed) = (self.0.follows.subscribe(), self.closed());
        tokio::select! {
            () = until(&mut follows) => Ok(pieces),
            () = until(&mut closed) => Err(Problem::closing()),
        }
    }

    /// The last place that a listener of several runs was told, by default the journal's end; and whether the place that it
    /// names is of another store, being beyond the end.
    ///
    /// # Errors
    /// When the store cannot be read, or the server is closing.
    pub(super) async fn last_told(&self, from: Option<Place>) -> Result<(Place, bool), Problem> {
        let end = self.read(Reader::journal_end).await?;
        let reset = from.is_some_and(|place| place.pos > end);
        Ok((from.filter(|_| !reset).unwrap_or(Place { pos: end, index: u32::MAX }), reset))
    }

    fn subscribe(&self, topic: &Topic) -> broadcast::Receiver<Piece> {
        let mut topics = self.topics();
        // Those that nobody listens to any more go, so that their number stays that of the listeners.
        topics.retain(|_, listeners| listeners.receiver_count() > 0);
        let listeners = topics.entry(topic.clone()).or_insert_with(|| broadcast::channel(BEHIND_MAX).0);
        listeners.subscribe()
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<Topic, broadcast::Sender<Piece>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody listens; if not, the journal is not followed from now on.
    fn is_heard(&self) -> bool {
        let topics = self.topics();
        let heard = topics.values().any(|listeners| listeners.receiver_count() > 0);
        if !heard {
            self.0.follows.send_replace(false);
        }
        heard
    }

    /// Follows the journal while somebody listens.
    async fn rows(self, mut rows: watch::Receiver<()>) {
        let (mut begun, mut closed) = (self.0.begun.subscribe(), self.closed());
        let mut pos = None;
        loop {
            if *closed.borrow_and_update() {
                return;
            }
            if !self.is_heard() {
                // From the journal's end on, once somebody listens.
                pos = None;
                self.0.pages.forget();
                tokio::select! {
                    changed = begun.changed() => if changed.is_err() { return },
                    _ = closed.changed() => {}
                }
                continue;
            }
            rows.borrow_and_update();
            let feed = self.clone();
            let read = tokio::task::spawn_blocking(move || feed.hand_out(pos)).await;
            match read {
                Ok(Ok((next, more))) => {
                    pos = Some(next);
                    self.0.follows.send_replace(true);
                    if more {
                        continue;
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the journal cannot be read for streams; next try in a second");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                Err(error) => {
                    // Listeners miss something, and will read it when they notice.
                    tracing::error!(%error, "what is streamed could not be handed out; next try in a second");
                    pos = None;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
            tokio::select! {
                changed = rows.changed() => if changed.is_err() { return },
                _ = closed.changed() => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hands out what the journal has after that place; without a place, nothing. The place then, and whether there is more.
    fn hand_out(&self, pos: Option<i64>) -> Result<(i64, bool), ReadError> {
        let Some(pos) = pos else {
            let end = self.0.reader.journal_end()?;
            self.0.written.send_replace(end);
            return Ok((end, true));
        };
        let deletions = self.0.reader.deletions();
        let mut read = journal_page(&self.0.reader, None, pos, PAGE_ROWS)?;
        if self.is_topic_heard(|topic| matches!(topic, Topic::All)) && read.next > pos {
            let (page, rows) = Page::write(pos + 1, &read);
            read.more |= rows < read.rows.len();
            read.rows.truncate(rows);
            read.next = page.end().pos;
            self.0.pages.keep(&Arc::new(page), deletions);
        }
        // Nobody is handed a row unless all who wait for it are known.
        let of_threads = self.is_topic_heard(|topic| matches!(topic, Topic::Thread(_)));
        let listeners = read.rows.iter().map(|row| {
            let thread = if of_threads { self.thread_of(&row.run_id)? } else { None };
            Ok(self
                .listeners_of([Topic::Run(row.run_id.clone())].into_iter().chain(thread.map(Topic::Thread))))
        });
        let listeners = listeners.collect::<Result<Vec<_>, ReadError>>()?;
        read.rows.iter().zip(listeners).for_each(|(row, listeners)| hand_out_row(row, &listeners));
        // Others stay asleep for what they do not hear.
        if read.next > pos {
            self.0.written.send_replace(read.next);
        }
        Ok((read.next, read.more))
    }

    /// Those who listen to one of these.
    fn listeners_of(&self, of: impl Iterator<Item = Topic>) -> Vec<broadcast::Sender<Piece>> {
        let topics = self.topics();
        let listeners = of.filter_map(|topic| topics.get(&topic));
        listeners.filter(|to| to.receiver_count() > 0).cloned().collect()
    }

    /// Whether somebody listens to such a topic.
    fn is_topic_heard(&self, such: impl Fn(&Topic) -> bool) -> bool {
        self.topics().iter().any(|(topic, listeners)| such(topic) && listeners.receiver_count() > 0)
    }

    fn threads(&self) -> MutexGuard<'_, HashMap<String, Option<ThreadKey>>> {
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn thread_of(&self, run_id: &str) -> Result<Option<ThreadKey>, ReadError> {
        if let Some(known) = self.threads().get(run_id) {
            return Ok(known.clone());
        }
        let Some(row) = self.0.reader.run(run_id)? else { return Ok(None) };
        let key = row.thread_id.map(|thread_id| ThreadKey { workflow: row.workflow, thread_id });
        let mut known = self.threads();
        if known.len() >= THREADS_KNOWN_MAX {
            known.clear();
        }
        known.insert(run_id.to_owned(), key.clone());
        Ok(key)
    }

    /// Tells those who listen to all runs what is no part of any, from now until the catalogue is gone or the server closes.
    pub fn tell_changes(&self, mut changes: broadcast::Receiver<Change>) {
        let (feed, mut closed) = (self.clone(), self.closed());
        tokio::spawn(async move {
            loop {
                let change = tokio::select! {
                    change = changes.recv() => change,
                    () = until(&mut closed) => return,
                };
                match change {
                    Ok(change) => {
                        let json = change_value(&change).to_string().into();
                        let piece = Piece::Live { kind: change_name(&change), json };
                        for listener in feed.listeners_of([Topic::All].into_iter()) {
                            let _ = listener.send(piece.clone());
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    async fn said(self, mut said: broadcast::Receiver<Arc<Live>>) {
        let mut closed = self.closed();
        loop {
            let live = tokio::select! {
                live = said.recv() => live,
                _ = closed.changed() => return,
            };
            match live {
                Ok(live) => self.hand_out_live(&live),
                // It is not kept, so what is missed stays missed.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn hand_out_live(&self, live: &Live) {
        // The store is not asked here: a row of the run that was handed out has told.
        let thread = self.threads().get(&live.run_id).cloned().flatten();
        let topics =
            [Topic::All, Topic::Run(live.run_id.clone())].into_iter().chain(thread.map(Topic::Thread));
        let listeners = self.listeners_of(topics);
        if listeners.is_empty() {
            return;
        }
        let piece = live_piece(live);
        for listener in listeners {
            let _ = listener.send(piece.clone());
        }
    }
}

/// A feed with one listener more.
pub(super) struct Counted(Feed);

impl std::ops::Deref for Counted {
    type Target = Feed;

    fn deref(&self) -> &Feed {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hands a row to those who listen.
fn hand_out_row(row: &HistoryRow, listeners: &[broadcast::Sender<Piece>]) {
    if listeners.is_empty() {
        return;
    }
    for mut piece in pieces(row) {
        if matches!(&piece, Piece::Event { json, .. } if json.len() > HANDED_BYTES_MAX) {
            piece = Piece::Large;
        }
        for listener in listeners {
            let _ = listener.send(piece.clone());
        }
    }
}

/// A page of the journal of all runs, or of one thread's.
pub(super) struct JournalPage {
    /// What could be read.
    pub(super) rows: Vec<HistoryRow>,
    /// The place up to which this is.
    pub(super) next: i64,
    /// Whether there may be more.
    pub(super) more: bool,
}

/// What the journal has after that place. Rows that are damaged are left out: one run's harm must not silence all others.
/// Blocks.
pub(super) fn journal_page(
    reader: &Reader,
    thread: Option<&ThreadKey>,
    after: i64,
    limit: u32,
) -> Result<JournalPage, ReadError> {
    let read = |after, limit| match thread {
        Some(key) => reader.thread_journal_after(key, after, limit),
        None => reader.journal_after(after, limit),
    };
    match read(after, limit) {
        Ok((rows, more)) => {
            let next = rows.last().map_or(after, |row| row.pos);
            Ok(JournalPage { rows, next, more })
        }
        Err(ReadError::Damaged(_)) => {
            // One by one, up to the first that is damaged and past it.
            let (mut rows, mut next) = (Vec::new(), after);
            for _ in 0..limit {
                match read(next, 1) {
                    Ok((row, _)) => {
                        let Some(row) = row.into_iter().next() else {
                            return Ok(JournalPage { rows, next, more: false });
                        };
                        next = row.pos;
                        rows.push(row);
                    }
                    Err(ReadError::Damaged(problem)) => {
                        tracing::warn!(problem, "a row is left out of streams");
                        next = reader.journal_pos_after(next)?.unwrap_or(next);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(JournalPage { rows, next, more: true })
        }
        Err(error) => Err(error),
    }
}

/// Waits until it is so, or until nobody can say so any more.
pub(super) async fn until(so: &mut watch::Receiver<bool>) {
    let _ = so.wait_for(|so| *so).await;
}

/// The events of a row.
pub(super) fn pieces(row: &HistoryRow) -> impl Iterator<Item = Piece> + '_ {
    let run_id: Arc<str> = row.run_id.as_str().into();
    (row.seq..).zip(0..).zip(&row.events).map(move |((seq, index), event)| Piece::Event {
        run_id: run_id.clone(),
        seq,
        place: Place { pos: row.pos, index },
        kind: event.name(),
        json: event_text(&run_id, seq, row.at, event).into(),
        ends: event.ends_run(),
    })
}

fn live_piece(live: &Live) -> Piece {
    Piece::Live { kind: live.what.name(), json: live_value(live).to_string().into() }
}
