//! A SQLite VFS that passes everything to the system's and fails on demand: fsync, or every write for want of space.
#![allow(unsafe_code)] // SQLite's VFS is a table of C functions; only tests use this one

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::ffi;

/// The name to open a file with.
pub(crate) const NAME: &str = "fault";

/// What fails from now on.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Fault {
    Nothing = 0,
    Sync = 1,
    Space = 2,
}

static FAULT: AtomicU8 = AtomicU8::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static SYSTEM: OnceLock<System> = OnceLock::new();
/// The system's methods (any file's: all share `xSync` and `xWrite`).
static THEIRS: OnceLock<ffi::sqlite3_io_methods> = OnceLock::new();
/// Ours for each table of the system's: database and log have different ones.
static OURS: Mutex<Vec<(usize, &'static ffi::sqlite3_io_methods)>> = Mutex::new(Vec::new());

struct System(*mut ffi::sqlite3_vfs);
// SAFETY: the system's VFS is a static of SQLite that is never changed or freed once registered.
unsafe impl Send for System {}
// SAFETY: as above; its functions may be called from any thread.
unsafe impl Sync for System {}

/// Registers the VFS, healthy. Tests that use it take turns: the guard is the turn.
pub(crate) fn register() -> MutexGuard<'static, ()> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    SYSTEM.get_or_init(|| {
        // SAFETY: the default VFS exists for the whole process; the copy below is leaked, so SQLite may keep it.
        unsafe {
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut ours = *system;
            ours.zName = c"fault".as_ptr();
            ours.pNext = std::ptr::null_mut();
            ours.xOpen = Some(open);
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0), ffi::SQLITE_OK);
            System(system)
        }
    });
    fail(Fault::Nothing);
    turn
}

pub(crate) fn fail(fault: Fault) {
    FAULT.store(fault as u8, Ordering::SeqCst);
}

fn is(fault: Fault) -> bool {
    FAULT.load(Ordering::SeqCst) == fault as u8
}

/// The system opens the file in SQLite's own memory; then two of its methods are replaced by ours.
unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(System(system)) = SYSTEM.get() else { return ffi::SQLITE_CANTOPEN };
    // SAFETY: SQLite calls this with valid arguments, of the sizes that the system's VFS asked for (ours is a copy).
    unsafe {
        let Some(system_open) = (**system).xOpen else { return ffi::SQLITE_CANTOPEN };
        let code = system_open(*system, name, file, flags, out_flags);
        if code == ffi::SQLITE_OK && !(*file).pMethods.is_null() && flags & ffi::SQLITE_OPEN_MEMORY == 0 {
            let theirs = (*file).pMethods;
            THEIRS.get_or_init(|| *theirs);
            let mut all = OURS.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.iter().find(|(of, _)| *of == theirs as usize).map(|(_, ours)| *ours);
            (*file).pMethods = known.unwrap_or_else(|| {
                let changed = ffi::sqlite3_io_methods { xSync: Some(sync), xWrite: Some(write), ..*theirs };
                let ours: &'static _ = Box::leak(Box::new(changed));
                all.push((theirs as usize, ours));
                ours
            });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    if is(Fault::Sync) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: `file` was opened by the system's VFS, whose method this is.
    THEIRS
        .get()
        .and_then(|theirs| theirs.xSync)
        .map_or(ffi::SQLITE_ERROR, |theirs| unsafe { theirs(file, flags) })
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    if is(Fault::Space) {
        return ffi::SQLITE_FULL;
    }
    let theirs = THEIRS.get().and_then(|theirs| theirs.xWrite);
    // SAFETY: `file` was opened by the system's VFS, whose method this is; the buffer is SQLite's.
    theirs.map_or(ffi::SQLITE_ERROR, |theirs| unsafe { theirs(file, bytes, length, offset) })
}
