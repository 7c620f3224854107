//! A run's journal row by row, checked link by link as [`open_run`](crate::open_run) does, without holding it: what
//! is in memory is a page. A run that goes on is read up to its latest row.

use std::collections::VecDeque;

use bandstand_engine::run::JournalRow;
use bandstand_engine::time::Timestamp;

use crate::chain::{self, Check};
use crate::open_run::{OpenRunError, Opening, Pins};
use crate::reader::Reader;

/// Rows that are read at a time.
const PAGE_ROWS_MAX: u32 = 200;
/// Bytes of rows and large values of a page, beyond which no row is added.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The rows of a run, oldest first. It ends after the first error.
#[derive(Debug)]
pub struct RunRows {
    reader: Reader,
    run_id: String,
    /// The run's number: a run of that id that is imported after this one was deleted is another.
    run: i64,
    pins: Pins,
    check: Check,
    next_seq: u64,
    last_row: u64,
    page: VecDeque<JournalRow>,
    ended: bool,
}

impl Reader {
    /// A run's journal, to be read row by row.
    ///
    /// # Errors
    /// When there is no such run, or what it pins cannot be read.
    pub fn run_rows(&self, run_id: &str) -> Result<RunRows, OpenRunError> {
        let (run, pins) = self.read(|connection| {
            let opening = Opening { reader: self, connection, run_id };
            let (run, _) = opening.find()?;
            Ok::<_, OpenRunError>((run, opening.pinned(run)?))
        })?;
        Ok(RunRows {
            reader: self.clone(),
            run_id: run_id.to_owned(),
            run,
            pins,
            check: chain::genesis(run_id),
            next_seq: 0,
            last_row: 0,
            page: VecDeque::new(),
            ended: false,
        })
    }
}

impl RunRows {
    /// What the run pins.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The run's number in the store.
    pub(crate) fn run(&self) -> i64 {
        self.run
    }

    fn next_page(&mut self) -> Result<(), OpenRunError> {
        let reader = self.reader.clone();
        reader.read(|connection| {
            let opening = Opening { reader: &reader, connection, run_id: &self.run_id };
            let (run, head_seq) = opening.find()?;
            if run != self.run {
                return Err(OpenRunError::Unknown(self.run_id.clone()));
            }
            let mut bytes = 0;
            for row in opening.rows(run, self.next_seq, None, PAGE_ROWS_MAX)? {
                if bytes > PAGE_BYTES_MAX {
                    return Ok(());
                }
                bytes += row.events.len();
                let (check, events) =
                    opening.checked(&self.check, self.next_seq, &row, |blob| bytes += blob)?;
                self.check = check;
                self.last_row = row.seq;
                self.next_seq = self.next_seq.saturating_add(events.len() as u64);
                self.page.push_back(JournalRow { at: Timestamp(row.at), events });
            }
            if self.page.is_empty() && self.last_row < head_seq {
                return Err(opening.cut_short(self.next_seq, head_seq));
            }
            Ok(())
        })
    }
}

impl Iterator for RunRows {
    type Item = Result<JournalRow, OpenRunError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            let read = self.next_page();
            self.ended = read.is_err() || self.page.is_empty();
            if let Err(error) = read {
                self.page.clear();
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}
