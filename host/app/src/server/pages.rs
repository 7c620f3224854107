//! The journal of all runs, written once as the text that streams send, for all who hear of all runs: a thousand of them cost one
//! look at the store and one writing, not a thousand.
//!
//! What was written is kept for a while, so much at most; what is older is read and written again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::feed::{JournalPage, Piece, Place, pieces};
use super::sse;

/// A page is full with this; it holds one row at least. Bytes.
const PAGE_BYTES: usize = 128 << 10;
/// All that is kept. Bytes.
const KEPT_BYTES_MAX: usize = 24 << 20;
/// Pages that are kept.
const KEPT_MAX: usize = 1_024;
/// What is older is not told from here: another process may have deleted it.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A stretch of the journal.
#[derive(Debug)]
pub(super) struct Page {
    /// The rows from here on...
    first: i64,
    /// ... and before here.
    next: i64,
    /// The events, as streams tell them.
    text: Bytes,
    /// The events, each with where its text begins.
    events: Vec<(usize, Piece)>,
    written: Instant,
}

impl Page {
    /// Writes as many rows as there is room for; they begin at place `first`. How many these are.
    pub(super) fn write(first: i64, read: &JournalPage) -> (Page, usize) {
        let (mut text, mut events, mut rows) = (String::new(), Vec::new(), 0);
        for row in &read.rows {
            if rows > 0 && text.len() >= PAGE_BYTES {
                break;
            }
            for piece in pieces(row) {
                let begins = text.len();
                let json = sse::write(&mut text, &piece, false);
                events.push((begins, json, piece));
            }
            rows += 1;
        }
        let next = match read.rows.get(rows) {
            None => read.next + 1,
            Some(_) => read.rows[rows - 1].pos + 1,
        };
        let text = Bytes::from(text);
        let events = events.into_iter().map(|(begins, range, piece)| (begins, within(piece, &text, range)));
        let events = events.collect();
        (Page { first, next, text, events, written: Instant::now() }, rows)
    }

    /// The place after its last row's last event.
    pub(super) fn end(&self) -> Place {
        Place { pos: self.next - 1, index: u32::MAX }
    }

    /// What it tells after that place, as text.
    pub(super) fn text_after(&self, last: Place) -> Bytes {
        let begins = self.events.get(self.told(last)).map_or(self.text.len(), |(begins, _)| *begins);
        self.text.slice(begins..)
    }

    /// What it tells after that place.
    pub(super) fn events_after(&self, last: Place) -> impl Iterator<Item = &Piece> {
        self.events[self.told(last)..].iter().map(|(_, piece)| piece)
    }

    /// How many of its events are not after that place.
    fn told(&self, last: Place) -> usize {
        self.events.partition_point(|(_, piece)| match piece {
            Piece::Event { place, .. } => *place <= last,
            Piece::Large | Piece::Live { .. } => true,
        })
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.events.len() * size_of::<(usize, Piece)>()
    }
}

/// The piece, its JSON being part of that text, so that it is not there twice.
fn within(piece: Piece, text: &Bytes, range: Range<usize>) -> Piece {
    match piece {
        Piece::Event { run_id, seq, place, kind, ends, .. } => {
            Piece::Event { run_id, seq, place, kind, json: text.slice(range), ends }
        }
        other => other,
    }
}

impl Kept {
    /// Forgets all if runs were deleted since.
    fn renew(&mut self, deletions: u64) {
        if self.deletions < deletions {
            *self = Kept { deletions, ..Kept::default() };
        }
    }
}

/// The pages that are kept.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By their first place; they do not overlap, except where one was written twice.
    pages: BTreeMap<i64, (u64, Arc<Page>)>,
    bytes: usize,
    /// How often runs had been deleted: pages of before may tell of those.
    deletions: u64,
    /// Counts what was asked for, so that what nobody asks for goes first.
    asked: u64,
}

impl Pages {
    /// The page with that row, if it is kept.
    pub(super) fn with(&self, pos: i64, deletions: u64) -> Option<Arc<Page>> {
        let mut kept = self.lock();
        kept.renew(deletions);
        kept.asked += 1;
        let asked = kept.asked;
        let (last, page) = kept.pages.range_mut(..=pos).next_back().map(|(_, kept)| kept)?;
        if page.next <= pos || page.written.elapsed() > KEPT_FOR {
            return None;
        }
        *last = asked;
        Some(page.clone())
    }

    /// Keeps a page, if it is not so large that it would drive out too many others. `deletions` had been made when it was read.
    pub(super) fn keep(&self, page: &Arc<Page>, deletions: u64) {
        if page.bytes() > KEPT_BYTES_MAX / 4 {
            return;
        }
        let mut kept = self.lock();
        kept.renew(deletions);
        if kept.deletions != deletions {
            return;
        }
        let asked = kept.asked;
        kept.bytes += page.bytes();
        if let Some((_, replaced)) = kept.pages.insert(page.first, (asked, page.clone())) {
            kept.bytes -= replaced.bytes();
        }
        while kept.bytes > KEPT_BYTES_MAX || kept.pages.len() > KEPT_MAX {
            let oldest = kept.pages.iter().min_by_key(|(_, (asked, _))| *asked).map(|(first, _)| *first);
            let Some((_, gone)) = oldest.and_then(|first| kept.pages.remove(&first)) else { return };
            kept.bytes -= gone.bytes();
        }
    }

    /// Keeps none.
    pub(super) fn forget(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bandstand_engine::Timestamp;
    use bandstand_engine::event::Event;
    use bandstand_store::HistoryRow;
    use serde_json::json;

    /// Events of which the text fills a page.
    const MANY: usize = PAGE_BYTES / 100;

    fn event(p: &str) -> Event {
        serde_json::from_value(json!({ "type": "wait.ended", "p": p })).unwrap()
    }

    fn rows(of: &[(i64, &[&str])]) -> JournalPage {
        let row = |(pos, events): &(i64, &[&str])| HistoryRow {
            pos: *pos,
            run_id: "r".to_owned(),
            seq: 0,
            at: Timestamp(0),
            events: events.iter().map(|p| event(p)).collect(),
        };
        let rows: Vec<_> = of.iter().map(row).collect();
        JournalPage { next: rows.last().unwrap().pos, rows, more: false }
    }

    fn told(text: &Bytes) -> Vec<String> {
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("id: ").map(str::to_owned)).collect()
    }

    // R8.2
    #[test]
    fn a_page_tells_what_is_after_a_place_as_text_and_as_events_alike() {
        let (page, taken) = Page::write(3, &rows(&[(4, &["a@1", "b@1"]), (9, &["c@1"])]));
        assert_eq!((taken, page.next), (2, 10));
        let all = ["4.0", "4.1", "9.0"];
        let places = [(0, 0), (4, 0), (4, 1), (9, 0)];
        for (told_before, (pos, index)) in places.into_iter().enumerate() {
            let last = Place { pos, index };
            assert_eq!(told(&page.text_after(last)), all[told_before..].to_vec(), "{last:?}");
            let events = page.events_after(last).map(|piece| match piece {
                Piece::Event { place, json, .. } => {
                    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
                    assert_eq!(json["run_id"], "r");
                    format!("{}.{}", place.pos, place.index)
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(events.collect::<Vec<_>>(), all[told_before..].to_vec());
        }
        assert!(told(&page.text_after(page.end())).is_empty());
    }

    // R8.2
    #[test]
    fn a_page_that_is_full_leaves_the_next_row_to_the_next_page() {
        let read = rows(&[(1, &["a@1"; MANY]), (2, &["b@1"])]);
        let (page, taken) = Page::write(1, &read);
        assert_eq!((taken, page.next), (1, 2));
        assert_eq!(told(&page.text_after(Place::default())).len(), MANY);
    }

    // R8.2
    #[test]
    fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
        let pages = Pages::default();
        let all: i64 = 150;
        for pos in 1..=all {
            pages.keep(&Arc::new(Page::write(pos, &rows(&[(pos, &["a@1"; MANY])])).0), 0);
            assert!(pages.with(1, 0).is_some(), "{pos}");
        }
        assert!(
            pages.with(2, 0).is_none() && pages.with(all, 0).is_some() && pages.with(all + 1, 0).is_none()
        );
        // Of runs that were deleted nothing is told, nor is kept what was read before.
        let old = pages.with(all, 0).unwrap();
        assert!(pages.with(all, 1).is_none());
        pages.keep(&old, 0);
        assert!(pages.with(all, 1).is_none());
        pages.keep(&old, 1);
        assert!(pages.with(all, 1).is_some());
        let kept = pages.lock();
        assert!(kept.bytes <= KEPT_BYTES_MAX);
        assert_eq!(kept.bytes, kept.pages.values().map(|(_, page)| page.bytes()).sum::<usize>());
    }
}
