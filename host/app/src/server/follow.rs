//! Follows a run or a thread for one listener: from some place on, without gap or repeat, however slow the listener is. What it
//! missed is read from the store. Leaves out who follows all runs: that is [`all`](super::all).

use std::collections::VecDeque;

use bandstand_store::{HistoryRow, ReadError, ThreadKey};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use super::feed::{Counted, Feed, Piece, Place, Topic, journal_page, pieces, until};
use super::problem::Problem;

/// Rows read from the store at a time.
const PAGE_ROWS: u32 = 32;
/// What a listener keeps of what it read, about; at least one event. Bytes.
const KEPT_BYTES: usize = 1 << 20;

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// The next event of the run.
    Run { run_id: String, next_seq: u64 },
    /// The last event that was told, of whatever run of the thread.
    Thread { key: ThreadKey, last: Place },
}

/// What is followed.
#[derive(Clone, Debug)]
pub enum Of {
    /// A run, from this event on.
    Run(String, Option<u64>),
    /// The runs of a thread, from after this place on.
    Thread(ThreadKey, Option<Place>),
}

/// Follows a run or a thread.
pub struct Listener {
    feed: Counted,
    handed: Receiver<Piece>,
    closed: watch::Receiver<bool>,
    at: At,
    /// Read from the store and not told yet.
    read: VecDeque<Piece>,
    /// The store has what was not read.
    behind: bool,
    ended: bool,
    /// The place that was asked for is not in this journal.
    reset: bool,
}

impl Listener {
    /// Listens. A run is told from its first event on by default, a thread from now on.
    ///
    /// # Errors
    /// When there is no such run, the store cannot be read, or the server is closing.
    pub async fn open(feed: &Feed, of: Of) -> Result<Listener, Problem> {
        let topic = match &of {
            Of::Run(run_id, _) => Topic::Run(run_id.clone()),
            Of::Thread(key, _) => Topic::Thread(key.clone()),
        };
        let handed = feed.listen(&topic).await?;
        let (mut behind, mut reset) = (true, false);
        let at = match of {
            Of::Run(run_id, from) => {
                let mut next_seq = from.unwrap_or(0);
                if next_seq > 0 {
                    let of = run_id.clone();
                    // An event that there was not was of another store.
                    reset = feed.read(move |reader| reader.event_count(&of)).await? < next_seq;
                    next_seq = if reset { 0 } else { next_seq };
                }
                At::Run { run_id, next_seq }
            }
            Of::Thread(key, from) => {
                let last;
                (last, reset) = feed.last_told(from).await?;
                behind = from.is_some() && !reset;
                At::Thread { key, last }
            }
        };
        let (feed, closed) = (feed.counted(), feed.closed());
        let read = VecDeque::new();
        let mut listener = Listener { feed, handed, closed, at, read, behind, ended: false, reset };
        // Whether there is such a run, and whether it goes on, is told with the answer's head.
        if listener.behind {
            listener.catch_up().await?;
        }
        Ok(listener)
    }

    /// Whether the place that was asked for is not in this journal, so that what is known by it is to be forgotten.
    pub fn is_reset(&self) -> bool {
        self.reset
    }

    /// Whether the run has ended and all of it was told.
    pub fn is_over(&self) -> bool {
        self.ended && !self.behind && self.read.is_empty()
    }

    /// The next piece; `None`: the run has ended, or the server is closing. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Piece>, Problem> {
        loop {
            if let Some(piece) = self.read.pop_front() {
                if let Some(piece) = self.take(piece) {
                    return Ok(Some(piece));
                }
                continue;
            }
            if (self.ended && !self.behind) || *self.closed.borrow() {
                return Ok(None);
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            let handed = tokio::select! {
                handed = self.handed.recv() => handed,
                () = until(&mut self.closed) => return Ok(None),
            };
            match handed {
                Ok(piece) => {
                    if let Some(piece) = self.take(piece) {
                        return Ok(Some(piece));
                    }
                }
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    /// The next piece if it is there already.
    pub fn ready(&mut self) -> Option<Piece> {
        loop {
            let piece = match self.read.pop_front() {
                Some(piece) => piece,
                None if self.behind || self.ended => return None,
                None => match self.handed.try_recv() {
                    Ok(piece) => piece,
                    Err(TryRecvError::Lagged(_)) => {
                        self.behind = true;
                        return None;
                    }
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
                },
            };
            if let Some(piece) = self.take(piece) {
                return Some(piece);
            }
        }
    }

    /// The piece, if it is the next one.
    fn take(&mut self, piece: Piece) -> Option<Piece> {
        let (seq, place, ends) = match &piece {
            Piece::Event { seq, place, ends, .. } => (seq, place, ends),
            Piece::Live { .. } => return Some(piece),
            Piece::Large => {
                self.behind = true;
                return None;
            }
        };
        match &mut self.at {
            At::Run { next_seq, .. } => {
                if *seq < *next_seq {
                    return None;
                }
                if *seq > *next_seq {
                    self.behind = true;
                    return None;
                }
                *next_seq += 1;
                self.ended = *ends;
            }
            At::Thread { last, .. } => {
                if *place <= *last {
                    return None;
                }
                *last = *place;
            }
        }
        Some(piece)
    }

    /// Reads the next page from the store.
    async fn catch_up(&mut self) -> Result<(), Problem> {
        let at = self.at.clone();
        let read = self.feed.read(move |reader| -> Result<(Vec<HistoryRow>, bool, Option<i64>), ReadError> {
            match at {
                At::Run { run_id, next_seq } => {
                    let rows = reader.history_with(&run_id, next_seq, PAGE_ROWS)?.rows;
                    let none = !rows.iter().any(|row| row.seq + row.events.len() as u64 > next_seq);
                    let ended = none && reader.run(&run_id)?.is_none_or(|run| run.status.is_ended());
                    Ok((rows, ended, None))
                }
                At::Thread { key, last } => {
                    // The row of the last one may have more.
                    let after = last.pos.saturating_sub(1);
                    let page = journal_page(reader, Some(&key), after, PAGE_ROWS)?;
                    Ok((page.rows, false, page.more.then_some(page.next)))
                }
            }
        });
        let (rows, ended, more_after) = read.await?;
        let mut bytes = 0;
        let new = rows.iter().flat_map(pieces).filter(|piece| self.is_new(piece));
        let read: Vec<Piece> = new
            .take_while(|piece| {
                let room = bytes < KEPT_BYTES;
                bytes += if let Piece::Event { json, .. } = piece { json.len() } else { 0 };
                room
            })
            .collect();
        self.behind = !read.is_empty();
        if read.is_empty()
            && let (At::Thread { last, .. }, Some(next)) = (&mut self.at, more_after)
            && next > last.pos
        {
            // Rows that are damaged, or of other runs: what comes after them is the thread's.
            *last = Place { pos: next, index: u32::MAX };
            self.behind = true;
        }
        self.ended = ended;
        self.read.extend(read);
        Ok(())
    }

    fn is_new(&self, piece: &Piece) -> bool {
        let Piece::Event { seq, place, .. } = piece else { return true };
        match &self.at {
            At::Run { next_seq, .. } => seq >= next_seq,
            At::Thread { last, .. } => place > last,
        }
    }
}
