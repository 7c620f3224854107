//! Follows the journal of all runs for one listener, page by page: from some place on, without gap or repeat, however slow the
//! listener is. Pages are shared with all others ([`Pages`](super::pages)).

use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;

use super::feed::{Counted, Feed, Piece, Place, Topic, until};
use super::pages::Page;
use super::problem::Problem;

/// Something to tell.
pub(super) enum Heard {
    /// What this page tells after this place.
    Events(Arc<Page>, Place),
    /// What an attempt says; not kept.
    Live(Piece),
}

/// Follows all runs.
pub(super) struct AllListener {
    feed: Counted,
    /// What attempts say.
    said: Receiver<Piece>,
    /// The journal's rows up to here can be read.
    written: watch::Receiver<i64>,
    closed: watch::Receiver<bool>,
    /// The last event that was told.
    last: Place,
    reset: bool,
}

impl AllListener {
    /// Listens from the place after `from` on, by default from now on.
    ///
    /// # Errors
    /// When the store cannot be read, or the server is closing.
    pub(super) async fn open(feed: &Feed, from: Option<Place>) -> Result<AllListener, Problem> {
        let said = feed.listen(&Topic::All).await?;
        let (last, reset) = feed.last_told(from).await?;
        let (written, closed) = (feed.written(), feed.closed());
        Ok(AllListener { feed: feed.counted(), said, written, closed, last, reset })
    }

    /// Whether the place that was asked for is not in this journal, so that what is known by it is to be forgotten.
    pub(super) fn is_reset(&self) -> bool {
        self.reset
    }

    /// What is next; `None`: the server is closing. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<Heard>, Problem> {
        loop {
            if *self.closed.borrow() {
                return Ok(None);
            }
            if let Some(heard) = self.ready() {
                return Ok(Some(heard));
            }
            let wanted = self.wanted();
            if *self.written.borrow_and_update() >= wanted {
                let page = self.feed.page_with(wanted).await?;
                if let Some(heard) = self.take(page) {
                    return Ok(Some(heard));
                }
                continue;
            }
            tokio::select! {
                changed = self.written.changed() => if changed.is_err() { return Ok(None) },
                said = self.said.recv() => match said {
                    Ok(piece) => return Ok(Some(Heard::Live(piece))),
                    // It is not kept, so what is missed stays missed.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(None),
                },
                () = until(&mut self.closed) => {}
            }
        }
    }

    /// What is next if it is there already.
    pub(super) fn ready(&mut self) -> Option<Heard> {
        loop {
            let wanted = self.wanted();
            if *self.written.borrow() < wanted {
                break;
            }
            let page = self.feed.page_kept(wanted)?;
            if let Some(heard) = self.take(page) {
                return Some(heard);
            }
        }
        loop {
            match self.said.try_recv() {
                Ok(piece) => return Some(Heard::Live(piece)),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// The row that is to be looked at next. That of the last event may have more.
    fn wanted(&self) -> i64 {
        self.last.pos.saturating_add(i64::from(self.last.index == u32::MAX))
    }

    /// Takes a page; `None`: it tells nothing new.
    fn take(&mut self, page: Arc<Page>) -> Option<Heard> {
        let last = std::mem::replace(&mut self.last, page.end());
        let tells = page.events_after(last).next().is_some();
        tells.then_some(Heard::Events(page, last))
    }
}
