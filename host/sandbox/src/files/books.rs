//! What one attempt takes of the disk: entered before it happens, so that whatever a guest does, and in whatever order its
//! writes reach the disk, no more is there than the books say.

use super::Scratch;
use crate::disk::Disk;
use crate::guest::Ending;
use crate::meter::HostBytes;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What a file, a directory or a link counts besides its content: the system gives each a block. Bytes.
pub(crate) const ENTRY_BYTES: u64 = 4_096;

/// What one attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotas {
    /// In all its scratch directories. Bytes.
    pub(crate) bytes_max: u64,
    /// Files, directories and links there.
    pub(crate) entries_max: usize,
    /// Files, directories and streams of files that it holds open.
    pub(crate) open_max: usize,
}

/// The books of one attempt.
pub(crate) struct Books {
    quotas: Quotas,
    disk: Arc<Disk>,
    pub(crate) host_bytes: Arc<HostBytes>,
    scratch: Option<Scratch>,
    state: Mutex<State>,
    end: OnceLock<Ending>,
}

#[derive(Default)]
struct State {
    bytes: u64,
    entries: usize,
    sizes: HashMap<FileId, Size>,
    open: Vec<Weak<fs::File>>,
    /// Files without a name that somebody holds open, as far as is known.
    nameless: Vec<FileId>,
    streams: usize,
    /// Of the host's total.
    open_charged: u64,
}

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    pub(crate) fn of(file: &fs::File) -> std::io::Result<FileId> {
        let found = file.metadata()?;
        Ok(FileId(found.dev(), found.ino()))
    }
}

/// How large a file can be at most, whichever of its writes come first.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// The furthest end of writes to a place.
    end: u64,
    /// The sum of what was added at the end.
    appended: u64,
}

/// How a file grows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Growth {
    /// To this size, if it is smaller.
    To(u64),
    /// By this much.
    By(u64),
}

/// The quota does not hold out; why is in the books.
#[derive(Debug)]
pub(crate) struct UsedUp;

impl Books {
    pub(super) fn new(
        quotas: Quotas,
        disk: Arc<Disk>,
        host_bytes: Arc<HostBytes>,
        scratch: Option<Scratch>,
    ) -> Books {
        let (state, end) = (Mutex::default(), OnceLock::new());
        Books { quotas, disk, host_bytes, scratch, state, end }
    }

    /// Why the attempt must end, if a quota was used up.
    pub(crate) fn end(&self) -> Option<Ending> {
        self.end.get().cloned()
    }

    /// A file grows.
    pub(crate) fn grow(&self, file: FileId, growth: Growth) -> Result<(), UsedUp> {
        let mut state = self.state();
        let known = state.sizes.get(&file).copied().unwrap_or_default();
        let grown = match growth {
            Growth::To(end) => Size { end: known.end.max(end), ..known },
            Growth::By(more) => Size { appended: known.appended.saturating_add(more), ..known },
        };
        let total = |size: Size| size.end.saturating_add(size.appended);
        self.take(&mut state, total(grown).saturating_sub(total(known)))?;
        state.sizes.insert(file, grown);
        Ok(())
    }

    /// A file, directory or link is to be made.
    pub(crate) fn add_entry(&self) -> Result<(), UsedUp> {
        let mut state = self.state();
        if state.entries >= self.quotas.entries_max {
            return self.used_up(Ending::ScratchEntries);
        }
        self.take(&mut state, ENTRY_BYTES)?;
        state.entries += 1;
        Ok(())
    }

    /// It was not made, or is gone.
    pub(crate) fn remove_entry(&self) {
        let mut state = self.state();
        if state.entries > 0 {
            state.entries -= 1;
            self.give_back(&mut state, ENTRY_BYTES);
        }
    }

    /// The last name of a file is gone. What it took is free again, unless somebody holds it open.
    pub(crate) fn forget(&self, file: FileId) {
        let mut state = self.state();
        state.nameless.push(file);
        self.prune(&mut state);
    }

    /// Something was closed.
    pub(super) fn closed(&self) {
        self.prune(&mut self.state());
    }

    /// A granted directory is to be opened: it is one of the host's open files for as long as the attempt lives.
    pub(super) fn charge_directory(&self) -> Result<(), UsedUp> {
        if !self.disk.files.charge(1) {
            return Err(UsedUp);
        }
        self.state().open_charged += 1;
        Ok(())
    }

    /// Whether there is room for one more open file.
    pub(crate) fn room_to_open(&self) -> Result<(), UsedUp> {
        let mut state = self.state();
        if state.open.len() + state.streams >= self.quotas.open_max {
            self.prune(&mut state);
        }
        if state.open.len() + state.streams >= self.quotas.open_max {
            return self.used_up(Ending::OpenFiles);
        }
        if self.disk.files.charge(1) {
            state.open_charged += 1;
        } else {
            self.prune(&mut state);
            if !self.disk.files.charge(1) {
                return self.used_up(Ending::HostOpenFiles(self.disk.files.max));
            }
            state.open_charged += 1;
        }
        Ok(())
    }

    /// It was opened, after [`Books::room_to_open`]. It counts until nobody holds it, its streams among them.
    pub(crate) fn opened(&self, file: &Arc<fs::File>) {
        let mut state = self.state();
        if !state.nameless.is_empty()
            && let Ok(id) = FileId::of(file)
            && let Some(place) = state.nameless.iter().position(|nameless| *nameless == id)
        {
            // It has a name, so it is another one, in the place of one that was closed a moment ago.
            state.nameless.swap_remove(place);
            self.settle(&mut state, id);
        }
        state.open.push(Arc::downgrade(file));
    }

    /// It was not opened.
    pub(crate) fn not_opened(&self) {
        self.close(&mut self.state(), 1);
    }

    /// A stream of a file is opened: it holds a buffer, and perhaps a thread.
    pub(super) fn stream(self: &Arc<Books>) -> Result<OpenStream, UsedUp> {
        let mut state = self.state();
        if state.open.len() + state.streams >= self.quotas.open_max {
            self.prune(&mut state);
        }
        if state.open.len() + state.streams >= self.quotas.open_max {
            return self.used_up(Ending::OpenFiles);
        }
        state.streams += 1;
        Ok(OpenStream(self.clone()))
    }

    fn prune(&self, state: &mut State) {
        let before = state.open.len();
        state.open.retain(|file| file.strong_count() > 0);
        self.close(state, before - state.open.len());
        if state.nameless.is_empty() {
            return;
        }
        let open = state.open.iter().filter_map(Weak::upgrade);
        let held: Vec<FileId> = open.filter_map(|open| FileId::of(&open).ok()).collect();
        let (kept, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.nameless).into_iter().partition(|file| held.contains(file));
        state.nameless = kept;
        for file in gone {
            self.settle(state, file);
        }
    }

    /// A file is gone from the disk.
    fn settle(&self, state: &mut State, file: FileId) {
        if let Some(size) = state.sizes.remove(&file) {
            self.give_back(state, size.end.saturating_add(size.appended));
        }
    }

    fn close(&self, state: &mut State, files: usize) {
        let files = u64::try_from(files).unwrap_or(u64::MAX).min(state.open_charged);
        state.open_charged -= files;
        self.disk.files.refund(files);
    }

    fn take(&self, state: &mut State, bytes: u64) -> Result<(), UsedUp> {
        if state.bytes.saturating_add(bytes) > self.quotas.bytes_max {
            return self.used_up(Ending::Scratch);
        }
        if !self.disk.bytes.charge(bytes) {
            return self.used_up(Ending::HostScratch(self.disk.bytes.max));
        }
        state.bytes += bytes;
        Ok(())
    }

    fn give_back(&self, state: &mut State, bytes: u64) {
        state.bytes -= bytes;
        self.disk.bytes.refund(bytes);
    }

    fn used_up<T>(&self, end: Ending) -> Result<T, UsedUp> {
        // The first one is what the attempt ends of.
        let _ = self.end.set(end);
        Err(UsedUp)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.disk.files.refund(state.open_charged);
        // What cannot be removed stays in the books of the host.
        if self.scratch.as_ref().is_none_or(Scratch::remove) {
            self.disk.bytes.refund(state.bytes);
        }
    }
}

/// A stream of a file, in the books for as long as it lives.
pub(super) struct OpenStream(Arc<Books>);

impl OpenStream {
    pub(super) fn books(&self) -> &Books {
        &self.0
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.streams -= 1;
        self.0.prune(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(bytes_max: u64, host_bytes_max: u64) -> Books {
        let disk = Arc::new(Disk::open(None, host_bytes_max).unwrap());
        let quotas = Quotas { bytes_max, entries_max: 3, open_max: 2 };
        Books::new(quotas, disk, HostBytes::new(usize::MAX), None)
    }

    const FILE: FileId = FileId(1, 1);

    // R7.4
    #[test]
    fn a_file_counts_what_it_can_come_to_in_any_order() {
        let books = books(100, 1_000);
        books.grow(FILE, Growth::To(40)).unwrap();
        books.grow(FILE, Growth::To(30)).unwrap();
        books.grow(FILE, Growth::By(10)).unwrap();
        // The addition may come after the write to a place, whichever was asked for first.
        books.grow(FILE, Growth::To(90)).unwrap();
        assert_eq!(books.state().bytes, 100);
        books.grow(FILE, Growth::By(1)).unwrap_err();
        assert_eq!(books.end(), Some(Ending::Scratch));
        assert_eq!(books.disk.bytes.in_use(), 100);
    }

    #[test]
    fn a_far_end_counts_though_nothing_is_before_it() {
        let books = books(1 << 30, u64::MAX);
        books.grow(FILE, Growth::To(u64::MAX)).unwrap_err();
        books.grow(FILE, Growth::By(u64::MAX)).unwrap_err();
        assert_eq!(books.disk.bytes.in_use(), 0);
    }

    #[test]
    fn entries_count_and_all_attempts_together_do() {
        let books = books(1 << 20, ENTRY_BYTES * 2);
        books.add_entry().unwrap();
        books.add_entry().unwrap();
        books.remove_entry();
        books.add_entry().unwrap();
        books.add_entry().unwrap_err();
        assert_eq!(books.end(), Some(Ending::HostScratch(ENTRY_BYTES * 2)));
        let disk = books.disk.clone();
        drop(books);
        assert_eq!(disk.bytes.in_use(), 0);
    }

    /// A file of 60 bytes whose name is gone and that somebody holds open.
    fn deleted_while_open() -> (Books, Arc<fs::File>, FileId) {
        let dir = tempfile::tempdir().unwrap();
        let file = Arc::new(fs::File::create(dir.path().join("f")).unwrap());
        let id = FileId::of(&file).unwrap();
        let books = books(100, 1_000);
        books.room_to_open().unwrap();
        books.opened(&file);
        books.grow(id, Growth::To(60)).unwrap();
        books.forget(id);
        (books, file, id)
    }

    #[test]
    fn what_is_deleted_is_given_back_unless_it_is_held_open() {
        let (books, file, _) = deleted_while_open();
        assert_eq!((books.state().bytes, books.disk.files.in_use()), (60, 1));
        drop(file);
        books.closed();
        assert_eq!((books.state().bytes, books.disk.files.in_use()), (0, 0));
    }

    #[test]
    fn a_new_file_in_the_place_of_a_deleted_one_counts_for_itself() {
        let (books, file, id) = deleted_while_open();
        // The same number, opened again: only another file can be that.
        books.room_to_open().unwrap();
        books.opened(&file);
        assert_eq!(books.state().bytes, 0);
        books.grow(id, Growth::To(10)).unwrap();
        drop(file);
        books.closed();
        assert_eq!(books.state().bytes, 10, "it has a name");
    }

    // R7.3
    #[test]
    fn open_files_count_until_nobody_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Arc::new(fs::File::open(dir.path()).unwrap());
        let books = Arc::new(books(100, 1_000));
        let first = open();
        books.room_to_open().unwrap();
        books.opened(&first);
        let stream = books.stream().unwrap();
        drop(first);
        // The closed one makes room.
        books.room_to_open().unwrap();
        let second = open();
        books.opened(&second);
        assert!(books.stream().is_err());
        assert_eq!(books.end(), Some(Ending::OpenFiles));
        assert_eq!(books.disk.files.in_use(), 1);
        drop(stream);
        let disk = books.disk.clone();
        drop(books);
        assert_eq!(disk.files.in_use(), 0);
    }
}
