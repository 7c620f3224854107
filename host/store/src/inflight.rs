//! Marks of the attempts that run right now. They survive the death of the process, not of the machine, so marking
//! costs one write to the page cache and no fsync: after the loss of power every owed attempt may have run anyway.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::place;

/// The file of marks.
pub const IN_FLIGHT_FILE_NAME: &str = "inflight";
/// Longest run id and command id together. Bytes.
pub const MARK_BYTES_MAX: usize = SLOT_BYTES - HEADER_BYTES;
/// Most attempts in flight at a time.
pub const MARKS_MAX: u32 = 65_536;

const SLOT_BYTES: usize = 2_048;
/// Sum (8), length of the run id (2), of the command id (2).
const HEADER_BYTES: usize = 12;

/// The marks of a data directory. Its host alone has it.
#[derive(Debug)]
pub struct InFlight {
    file: File,
    path: PathBuf,
    free: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// Slots below `used` that are empty; the lowest is taken first, so the file stays short.
    slots: BinaryHeap<Reverse<u32>>,
    used: u32,
}

/// A mark that is set. Dropping it leaves it set.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Mark(u32);

/// Why an attempt could not be marked. It must not start then.
#[derive(Debug, thiserror::Error)]
pub enum InFlightError {
    /// The file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The names are too long.
    #[error(
        "the id of attempt {command} has {bytes} bytes with its run's, above the limit of {MARK_BYTES_MAX}"
    )]
    TooLong {
        /// Which attempt.
        command: String,
        /// Bytes of both ids.
        bytes: usize,
    },
    /// Too many.
    #[error("{MARKS_MAX} attempts are in flight, which is the limit")]
    TooMany,
}

impl InFlight {
    /// Opens the marks, made if they are missing. Marks of a former process are still set: take them over with
    /// [`take_over`](InFlight::take_over), record the interruptions, then [`clear`](InFlight::clear) them.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(directory: &Path) -> Result<InFlight, InFlightError> {
        let path = directory.join(IN_FLIGHT_FILE_NAME);
        let io = |source| InFlightError::Io { path: path.clone(), source };
        place::create_directory(directory).map_err(io)?;
        let file = place::private_file(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        // New marks never overwrite those that are still to be read.
        let used = u32::try_from(length.div_ceil(SLOT_BYTES as u64)).unwrap_or(MARKS_MAX);
        Ok(InFlight { file, path, free: Mutex::new(Free { slots: BinaryHeap::new(), used }) })
    }

    /// Says that an attempt begins, before it does.
    ///
    /// # Errors
    /// When the mark cannot be set.
    pub fn mark(&self, run_id: &str, command: &str) -> Result<Mark, InFlightError> {
        let bytes = run_id.len() + command.len();
        let too_long = || InFlightError::TooLong { command: command.to_owned(), bytes };
        if bytes > MARK_BYTES_MAX {
            return Err(too_long());
        }
        let mut slot = Vec::with_capacity(HEADER_BYTES + bytes);
        slot.extend_from_slice(&[0; 8]);
        slot.extend_from_slice(&u16::try_from(run_id.len()).map_err(|_| too_long())?.to_le_bytes());
        slot.extend_from_slice(&u16::try_from(command.len()).map_err(|_| too_long())?.to_le_bytes());
        slot.extend_from_slice(run_id.as_bytes());
        slot.extend_from_slice(command.as_bytes());
        let sum = sum(&slot[8..]);
        slot[..8].copy_from_slice(&sum);
        let number = self.take_slot()?;
        match self.write(number, &slot) {
            Ok(()) => Ok(Mark(number)),
            Err(error) => {
                self.give_back(number);
                Err(error)
            }
        }
    }

    /// Says that an attempt has ended and its end was handled.
    ///
    /// # Errors
    /// When the mark cannot be taken away: the slot is then not used again.
    pub fn clear(&self, mark: Mark) -> Result<(), InFlightError> {
        self.write(mark.0, &[0; HEADER_BYTES])?;
        self.give_back(mark.0);
        Ok(())
    }

    /// Every mark that is set, as run id and command id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_all(&self) -> Result<Vec<(String, String)>, InFlightError> {
        Ok(self.bytes()?.chunks(SLOT_BYTES).filter_map(read_slot).collect())
    }

    fn bytes(&self) -> Result<Vec<u8>, InFlightError> {
        let io = |source| InFlightError::Io { path: self.path.clone(), source };
        let length = usize::try_from(self.file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(MARKS_MAX as usize * SLOT_BYTES)];
        self.file.read_exact_at(&mut bytes, 0).map_err(io)?;
        Ok(bytes)
    }

    /// The marks of a former process, as run id, command id and mark. They stay set until they are cleared: this
    /// process may die before it has recorded them, too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn take_over(&self) -> Result<Vec<(String, String, Mark)>, InFlightError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes()?;
        let mut found = Vec::new();
        *free = Free::default();
        for slot in bytes.chunks(SLOT_BYTES) {
            match read_slot(slot) {
                Some((run_id, command)) => found.push((run_id, command, Mark(free.used))),
                None => {
                    let empty = free.used;
                    free.slots.push(Reverse(empty));
                }
            }
            free.used += 1;
        }
        Ok(found)
    }

    /// Forgets every mark, at a clean end.
    ///
    /// # Errors
    /// When the file cannot be emptied.
    pub fn clear_all(&self) -> Result<(), InFlightError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.set_len(0).map_err(|source| InFlightError::Io { path: self.path.clone(), source })?;
        *free = Free::default();
        Ok(())
    }

    /// Forgets every mark but those that `keep` names, by run id and command id: at a clean end, those that were taken
    /// over and not looked at since.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn clear_all_but(&self, keep: impl Fn(&str, &str) -> bool) -> Result<(), InFlightError> {
        let mut kept = false;
        for (slot, bytes) in (0..).zip(self.bytes()?.chunks(SLOT_BYTES)) {
            match read_slot(bytes) {
                Some((run_id, command)) if keep(&run_id, &command) => kept = true,
                Some(_) => self.write(slot, &[0; HEADER_BYTES])?,
                None => {}
            }
        }
        if kept { Ok(()) } else { self.clear_all() }
    }

    fn take_slot(&self) -> Result<u32, InFlightError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Reverse(slot)) = free.slots.pop() {
            return Ok(slot);
        }
        if free.used >= MARKS_MAX {
            return Err(InFlightError::TooMany);
        }
        free.used += 1;
        Ok(free.used - 1)
    }

    fn give_back(&self, slot: u32) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).slots.push(Reverse(slot));
    }

    fn write(&self, slot: u32, bytes: &[u8]) -> Result<(), InFlightError> {
        self.file
            .write_all_at(bytes, u64::from(slot) * SLOT_BYTES as u64)
            .map_err(|source| InFlightError::Io { path: self.path.clone(), source })
    }
}

/// The ids of a slot; none if it is empty or was being written when the process died (the attempt had not begun then).
fn read_slot(slot: &[u8]) -> Option<(String, String)> {
    let length = |at: usize| Some(usize::from(u16::from_le_bytes([*slot.get(at)?, *slot.get(at + 1)?])));
    let (run_id, command) = (length(8)?, length(10)?);
    let end = HEADER_BYTES + run_id + command;
    let text = std::str::from_utf8(slot.get(HEADER_BYTES..end)?).ok()?;
    if text.is_empty() || slot[..8] != sum(&slot[8..end]) {
        return None;
    }
    let (run_id, command) = text.split_at_checked(run_id)?;
    Some((run_id.to_owned(), command.to_owned()))
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    let mut sum = [0; 8];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    // R5.4
    #[test]
    fn marks_are_still_there_for_the_next_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let marks = InFlight::open(directory.path()).expect("opened");
        let first = marks.mark("run-1", "ask@1#1").expect("set");
        let second = marks.mark("run-2", "fan@1/law/ask@2#3").expect("set");
        marks.clear(first).expect("cleared");
        drop((marks, second));

        let marks = InFlight::open(directory.path()).expect("opened again");
        let left = vec![("run-2".to_owned(), "fan@1/law/ask@2#3".to_owned())];
        assert_eq!(marks.read_all().expect("read"), left);
        let mine = marks.mark("run-3", "a@1#1").expect("set beside it");
        assert_eq!(marks.read_all().expect("read").len(), 2);
        marks.clear(mine).expect("cleared");
        assert_eq!(marks.read_all().expect("read"), left);
        marks.clear_all().expect("emptied");
        assert_eq!(marks.read_all().expect("read"), vec![]);
    }

    // R5.4
    #[test]
    fn marks_that_are_taken_over_stay_set_until_they_are_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let marks = InFlight::open(directory.path()).expect("opened");
        let first = marks.mark("run-1", "ask@1#1").expect("set");
        let second = marks.mark("run-2", "ask@1#1").expect("set");
        marks.clear(first).expect("cleared");
        drop((marks, second));

        // As often as a process dies before it has recorded them.
        for _ in 0..3 {
            let marks = InFlight::open(directory.path()).expect("opened again");
            let mut found = marks.take_over().expect("read");
            assert_eq!(found.len(), 1);
            let (run_id, command, _mark) = found.remove(0);
            assert_eq!((run_id.as_str(), command.as_str()), ("run-2", "ask@1#1"));
            assert_eq!(marks.read_all().expect("read").len(), 1);
        }
        let marks = InFlight::open(directory.path()).expect("opened again");
        let (_, _, mark) = marks.take_over().expect("read").remove(0);
        let beside = marks.mark("run-3", "a@1#1").expect("set in the empty slot");
        assert_eq!(marks.read_all().expect("read").len(), 2);
        assert!(marks.file.metadata().expect("there").len() <= 2 * SLOT_BYTES as u64);
        marks.clear(mark).expect("cleared");
        let left = vec![("run-3".to_owned(), "a@1#1".to_owned())];
        assert_eq!(marks.read_all().expect("read"), left);
        drop(beside);
        marks.clear_all_but(|run_id, _| run_id == "run-3").expect("cleared");
        assert_eq!(marks.read_all().expect("read"), left);
        marks.clear_all_but(|_, _| false).expect("cleared");
        assert_eq!(marks.file.metadata().expect("there").len(), 0);
    }

    #[test]
    fn a_torn_mark_is_no_mark_and_a_long_one_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let marks = InFlight::open(directory.path()).expect("opened");
        let mark = marks.mark("run", "ask@1#1").expect("set");
        marks.file.write_all_at(b"x", HEADER_BYTES as u64).expect("torn");
        assert_eq!(marks.read_all().expect("read"), vec![]);
        marks.clear(mark).expect("cleared");
        let refused = marks.mark("run", &"x".repeat(MARK_BYTES_MAX)).expect_err("too long");
        assert!(refused.to_string().contains("2036"), "{refused}");
    }

    #[test]
    fn slots_are_used_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let marks = InFlight::open(directory.path()).expect("opened");
        for _ in 0..100 {
            let mark = marks.mark("run", "ask@1#1").expect("set");
            marks.clear(mark).expect("cleared");
        }
        assert!(marks.file.metadata().expect("there").len() <= SLOT_BYTES as u64);
    }
}
